//! `petsem man`: a page for each command, from the same definition as its help.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use clap_mangen::Man as Page;

use crate::failure::Failure;
use crate::private_file::PrivateFileError;
use crate::process::InheritedUmask;
use crate::{messages, output};

/// Write the man pages, one for each command
///
/// Existing pages are replaced. `man -l DIRECTORY/petsem.1` shows a page where it is.
#[derive(Args)]
pub(crate) struct Man {
    /// The directory, such as /usr/local/share/man/man1; created if it does not exist
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(self, umask: InheritedUmask, definition: clap::Command) -> Result<(), Failure> {
        // Pages are for everyone, and this command reads no secret.
        umask.restore();
        let source = format!("petsem {}", definition.get_version().unwrap_or_default());
        // "petsem-help-…" would repeat every page.
        let mut definition = definition.disable_help_subcommand(true);
        definition.build();
        std::fs::create_dir_all(&self.directory).map_err(|error| not_written(&self.directory, error))?;
        let count = write(&definition, &source, &self.directory)?;
        output::line(&messages::pages_written(count, &self.directory))
    }
}

/// The pages of a command and of those below it that help lists; their number.
fn write(command: &clap::Command, source: &str, directory: &Path) -> Result<usize, Failure> {
    let mut count = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        count += write(below, source, directory)?;
    }
    let page = Page::new(command.clone()).source(source).manual("petsem");
    let path = directory.join(page.get_filename());
    let mut text = Vec::new();
    let written = page.render(&mut text).and_then(|()| std::fs::write(&path, &text));
    written.map_err(|error| not_written(&path, error))?;
    Ok(count)
}

fn not_written(path: &Path, source: io::Error) -> PrivateFileError {
    PrivateFileError::Write { path: path.into(), source }
}
