//! Arguments that several commands share.

use clap::Args;
use petsem_api::{AppRef, SecretName};

use crate::context::{AppArgument, Connection, Resolved};
use crate::failure::Failure;
use crate::messages;
use crate::remote::Remote;

/// For a command that calls the server and prints its answer.
#[derive(Args)]
pub(crate) struct ServerArguments {
    /// Print the server's answer as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// For a command that works on one app and prints the server's answer.
#[derive(Args)]
pub(crate) struct AppArguments {
    #[command(flatten)]
    app: AppArgument,

    #[command(flatten)]
    server: ServerArguments,
}

/// For a command that works on one app and whose result is bytes.
#[derive(Args)]
pub(crate) struct AppConnection {
    #[command(flatten)]
    app: AppArgument,

    #[command(flatten)]
    connection: Connection,
}

/// A condition on a change.
#[derive(Args)]
pub(crate) struct IfVersion {
    /// Change nothing unless the app is at this version
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
}

/// Consent to what secrets do to an environment.
#[derive(Args)]
pub(crate) struct AllowedNames {
    /// Put this secret into the environment though its name is set already, or obeyed by programs; may be repeated
    #[arg(long = "allow", value_name = "NAME")]
    allowed: Vec<String>,

    /// Put a secret into the environment as this variable, whatever its name; may be repeated
    #[arg(long = "map", value_name = "VARIABLE=SECRET")]
    mapped: Vec<String>,
}

impl AllowedNames {
    /// The names.
    ///
    /// # Errors
    /// One of them is not the name of a secret.
    pub(crate) fn names(&self) -> Result<Vec<SecretName>, Failure> {
        secret_names(&self.allowed)
    }

    /// Variables and their secrets.
    ///
    /// # Errors
    /// One of them has another form, or two name one variable.
    pub(crate) fn mapped(&self) -> Result<Vec<(SecretName, SecretName)>, Failure> {
        let mut pairs: Vec<(SecretName, SecretName)> = Vec::new();
        for text in &self.mapped {
            let (variable, secret) = text.split_once('=').ok_or_else(messages::not_a_mapping)?;
            let (variable, secret): (SecretName, _) = (secret_name(variable)?, secret_name(secret)?);
            if pairs.iter().any(|(other, _)| *other == variable) {
                return Err(messages::mapped_twice(&variable));
            }
            pairs.push((variable, secret));
        }
        Ok(pairs)
    }
}

impl ServerArguments {
    /// Reads the context file and the token file. Nothing is sent yet.
    pub(crate) fn remote(&self) -> Result<Remote, Failure> {
        Remote::open(&self.connection.resolve()?)
    }
}

impl AppArguments {
    /// The server and the app. Nothing is sent yet.
    pub(crate) fn open(&self) -> Result<(Remote, AppRef), Failure> {
        open(&self.app, &self.server.connection)
    }

    /// As [`Self::open`], for a command that reads the token itself.
    pub(crate) fn resolve(&self) -> Result<(Resolved, AppRef), Failure> {
        let resolved = self.server.connection.resolve()?;
        let app = resolved.app(&self.app)?;
        Ok((resolved, app))
    }

    pub(crate) fn json(&self) -> bool {
        self.server.json
    }
}

impl AppConnection {
    /// The server and the app. Nothing is sent yet.
    pub(crate) fn open(&self) -> Result<(Remote, AppRef), Failure> {
        open(&self.app, &self.connection)
    }
}

fn open(app: &AppArgument, connection: &Connection) -> Result<(Remote, AppRef), Failure> {
    let resolved = connection.resolve()?;
    let app = resolved.app(app)?;
    Ok((Remote::open(&resolved)?, app))
}

/// Names of secrets from arguments.
pub(crate) fn secret_names<C: FromIterator<SecretName>>(arguments: &[String]) -> Result<C, Failure> {
    arguments.iter().map(|name| secret_name(name)).collect()
}

/// A secret's name from an argument. Not parsed by clap, which would repeat `NAME=value` in its error.
pub(crate) fn secret_name(argument: &str) -> Result<SecretName, Failure> {
    match argument.parse() {
        Ok(name) => Ok(name),
        Err(_) if argument.contains('=') => Err(messages::value_in_argument()),
        Err(error) => Err(messages::invalid_secret_name(&error)),
    }
}
