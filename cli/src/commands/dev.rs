//! `petsem dev`: a complete installation in one directory and one process, to try petsem.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use petsem_server::{Bound, Development, serve_development};

use crate::context::{self, Context};
use crate::failure::Failure;
use crate::{log, messages, output, private_file, remote};

/// Run a server to try petsem
///
/// One process with its own store. The first start creates an org, an app, its policy, an issuer of JWTs, and tokens.
/// All keys are in one directory: anyone who can read it can read every value. `petsem server` refuses such a store.
#[derive(Args)]
pub(crate) struct Dev {
    /// The directory for all data; created if it does not exist
    #[arg(long, value_name = "DIRECTORY", default_value = context::DEFAULT_DIRECTORY)]
    dir: PathBuf,

    /// The loopback address and port to listen on; port 0 chooses a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8200")]
    listen: SocketAddr,
}

impl Dev {
    pub(crate) fn run(self) -> Result<(), Failure> {
        log::start()?;
        let development = Development::at(&self.dir);
        let listen = self.listen.to_string();
        let serving = serve_development(&development, &listen, |bound| self.greet(bound));
        Ok(remote::serve(serving)??)
    }

    /// Writes the context file and the configuration for other commands, and prints what to type.
    fn greet(&self, bound: &Bound) {
        let endpoint = bound.listeners.first().map(|address| format!("http://{address}")).unwrap_or_default();
        let path = self.dir.join(context::FILE_NAME);
        let config = Development::at(&self.dir).configuration();
        let greeted = write_context(&path, &endpoint)
            .and_then(|()| write_configuration(&config, bound))
            .and_then(|()| output::line(&messages::development_ready(&endpoint, &self.dir, &path, &config)));
        // The server runs all the same; this says why other commands do not find it.
        if let Err(failure) = greeted {
            output::failure(&failure);
        }
    }
}

/// For commands on the node: with the seal, they replace the second person that a trial lacks. A file that `petsem dev`
/// did not write stays.
fn write_configuration(path: &Path, bound: &Bound) -> Result<(), Failure> {
    let Some(listen) = bound.listeners.first() else { return Ok(()) };
    let text =
        format!("{}{}", messages::DEVELOPMENT_CONFIGURATION_HEADER, Development::configuration_text(listen));
    replace_own(path, &text)
}

fn replace_own(path: &Path, text: &str) -> Result<(), Failure> {
    let header = messages::DEVELOPMENT_CONFIGURATION_HEADER.as_bytes();
    if std::fs::read(path).is_ok_and(|found| !found.starts_with(header)) {
        return Err(messages::configuration_of_others(path));
    }
    Ok(private_file::replace(path, text.as_bytes())?)
}

fn write_context(path: &Path, endpoint: &str) -> Result<(), Failure> {
    let development = Development::at("");
    let context = Context {
        endpoint: endpoint.to_owned(),
        token_file: Some(development.operator_token()),
        host_token_file: Some(development.host_token()),
        host: Development::HOST.parse().ok(),
        org: Development::ORG.parse().ok(),
        app: Development::APP.parse().ok(),
        development_issuer_key: Some(development.issuer_key()),
    };
    let text = toml::to_string(&context).map_err(messages::output_failed)?;
    let text = format!("{}{text}", messages::CONTEXT_HEADER);
    Ok(private_file::replace(path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_petsem_dev_did_not_write_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("petsem.toml");
        let own = |text: &str| format!("{}{text}", messages::DEVELOPMENT_CONFIGURATION_HEADER);
        replace_own(&path, &own("a = 1")).unwrap();
        replace_own(&path, &own("a = 2")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), own("a = 2"));

        std::fs::write(&path, "name = \"petsem\"").unwrap();
        assert!(replace_own(&path, &own("a = 3")).unwrap_err().fact.ends_with("it was left as it is"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "name = \"petsem\"");
    }
}
