//! `petsem completions`.

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::output;

/// Print the completions of commands and options for a shell
///
/// For bash: petsem completions bash > ~/.local/share/bash-completion/completions/petsem
///
/// For zsh: petsem completions zsh > DIRECTORY/_petsem, where DIRECTORY is in $fpath before compinit runs
///
/// For fish: petsem completions fish > ~/.config/fish/completions/petsem.fish
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl From<Shell> for clap_complete::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Zsh => Self::Zsh,
            Shell::Fish => Self::Fish,
        }
    }
}

impl Completions {
    pub(crate) fn run(self, mut definition: clap::Command) -> Result<(), Failure> {
        let name = definition.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(clap_complete::Shell::from(self.shell), &mut definition, name, &mut script);
        output::write(&script)
    }
}
