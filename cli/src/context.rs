//! The server's address and the token files: from flags and the environment, else from the context file that
//! `petsem dev` writes.
//!
//! The token of a context file is sent only to the endpoint of that file: a command that names another endpoint
//! must also name a token file. Tokens themselves are never arguments and never in the environment.
//!
//! A context file that was found in the working directory may be anybody's. It counts only if it and its directory belong
//! to this user alone, and only for files in the same directory.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use clap::Args;
use petsem_api::{AppName, AppRef, HostId, OrgName, OrgRef};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::{messages, output, private_file};

/// The directory of `petsem dev`, and of the context file if `PETSEM_CONTEXT` names none.
pub(crate) const DEFAULT_DIRECTORY: &str = "petsem-dev";
/// The context file in it.
pub(crate) const FILE_NAME: &str = "context.toml";

/// The server, and the token for it.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The server: http://127.0.0.1:PORT or unix:/PATH [default: from the context file]
    #[arg(long, value_name = "URL", env = "PETSEM_ENDPOINT", hide_env_values = true)]
    pub(crate) endpoint: Option<String>,

    /// The file that holds the token (mode 0600) [default: from the context file]
    #[arg(long, value_name = "FILE", env = "PETSEM_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,

    /// Endpoint and token files, as `petsem dev` writes them [default: petsem-dev/context.toml]
    #[arg(long, value_name = "FILE", env = "PETSEM_CONTEXT", hide_env_values = true)]
    pub(crate) context: Option<PathBuf>,
}

/// The app that a command works on.
#[derive(Args)]
pub(crate) struct AppArgument {
    /// The app, by name or id [default: the context file's]
    #[arg(long, value_name = "APP", env = "PETSEM_APP", hide_env_values = true)]
    pub(crate) app: Option<AppRef>,
}

/// The context file. Paths in it are relative to its directory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The server.
    pub(crate) endpoint: String,
    /// The token of a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// The token of the host that boots Machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host_token_file: Option<PathBuf>,
    /// The host that this token is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<HostId>,
    /// The default org.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) org: Option<OrgName>,
    /// The default app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<AppName>,
    /// The private key of the issuer of `petsem dev`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) development_issuer_key: Option<PathBuf>,
}

/// Where the server's address, or the name of the token file, is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Option(&'static str),
    Variable(&'static str),
    /// The context file, which the caller named.
    Context(PathBuf),
    /// The context file, which nobody named.
    Found(PathBuf),
}

/// Flags, environment and context file, combined.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) endpoint: String,
    pub(crate) endpoint_from: Origin,
    token_file: Option<PathBuf>,
    pub(crate) token_from: Origin,
    context: Option<Context>,
    /// The directory of the context file that the endpoint is from, if the caller did not name that file.
    implicit: Option<PathBuf>,
}

/// Whether a file is directly in a directory. A link is not: a repository can contain the directory, and in it a link to a
/// token.
fn is_in(directory: &Path, file: &Path) -> bool {
    let relative = |path: &Path| path.strip_prefix(".").unwrap_or(path).to_owned();
    let (directory, name) = (relative(directory), relative(file));
    let mut components = match name.strip_prefix(&directory) {
        Ok(rest) => rest.components(),
        Err(_) => return false,
    };
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) && !file.is_symlink()
}

/// clap does not tell an option from its variable: if both name the same, either is right.
fn given_by(option: &'static str, variable: &'static str, value: &OsStr) -> Origin {
    match is_of_variable(variable, value) {
        true => Origin::Variable(variable),
        false => Origin::Option(option),
    }
}

fn is_of_variable(variable: &str, value: &OsStr) -> bool {
    std::env::var_os(variable).is_some_and(|set| set == value)
}

/// Largest context file.
const MAX_CONTEXT: usize = 64 * 1024;

impl Connection {
    /// Combines flags, environment and context file, in this order; but a context file on the command line comes before
    /// the environment, which may be of another installation.
    ///
    /// # Errors
    /// The context file cannot be read, or no endpoint is given.
    pub(crate) fn resolve(&self) -> Result<Resolved, Failure> {
        self.before_variables(is_of_variable).combined()
    }

    /// Without what only variables give, if the context file is from the command line.
    fn before_variables(&self, is_of_variable: impl Fn(&str, &OsStr) -> bool) -> Self {
        let Self { mut endpoint, mut token_file, context } = self.clone();
        if context.as_ref().is_some_and(|file| !is_of_variable("PETSEM_CONTEXT", file.as_os_str())) {
            endpoint = endpoint.filter(|url| !is_of_variable("PETSEM_ENDPOINT", url.as_ref()));
            token_file = token_file.filter(|file| !is_of_variable("PETSEM_TOKEN_FILE", file.as_os_str()));
        }
        Self { endpoint, token_file, context }
    }

    fn combined(&self) -> Result<Resolved, Failure> {
        if std::env::var_os("PETSEM_TOKEN").is_some_and(|token| !token.is_empty()) {
            output::notice(messages::TOKEN_VARIABLE_IGNORED);
        }
        let context = match self.context_file() {
            // The command names its server, so it needs no file.
            Err(_) if self.endpoint.is_some() && self.context.is_none() => None,
            context => context?,
        };
        if let Some(endpoint) = &self.endpoint {
            // Its tokens, and the names in it, are for its own endpoint only.
            let context = context.filter(|context| context.endpoint == *endpoint);
            return Ok(self.resolved(endpoint.clone(), context, None));
        }
        let context = context.ok_or_else(messages::no_endpoint)?;
        let implicit = self.context.is_none().then(|| PathBuf::from(DEFAULT_DIRECTORY));
        let resolved = self.resolved(context.endpoint.clone(), Some(context), implicit);
        if let Some(file) = &self.token_file {
            resolved.check_named(file)?;
        }
        Ok(resolved)
    }

    fn resolved(&self, endpoint: String, context: Option<Context>, implicit: Option<PathBuf>) -> Resolved {
        let default = || context.as_ref().and_then(|context| context.token_file.clone());
        let token_file = self.token_file.clone().or_else(default);
        let endpoint_from = match &self.endpoint {
            Some(given) => given_by("--endpoint", "PETSEM_ENDPOINT", given.as_ref()),
            None => self.context_origin(),
        };
        let token_from = match &self.token_file {
            Some(given) => given_by("--token-file", "PETSEM_TOKEN_FILE", given.as_ref()),
            None => self.context_origin(),
        };
        Resolved { endpoint, endpoint_from, token_file, token_from, context, implicit }
    }

    fn context_origin(&self) -> Origin {
        match &self.context {
            Some(path) => Origin::Context(path.clone()),
            None => Origin::Found(Path::new(DEFAULT_DIRECTORY).join(FILE_NAME)),
        }
    }

    fn context_file(&self) -> Result<Option<Context>, Failure> {
        let default = Path::new(DEFAULT_DIRECTORY).join(FILE_NAME);
        match &self.context {
            Some(path) => Ok(Some(Context::load(path)?)),
            None if default.exists() => Ok(Some(Context::load_implicit(&default)?)),
            None => Ok(None),
        }
    }
}

impl Resolved {
    /// The file with the person's token.
    pub(crate) fn token_file(&self) -> Result<&Path, Failure> {
        self.token_file.as_deref().ok_or_else(messages::no_token_file)
    }

    /// The file with the host token: the one given, else the context file's.
    pub(crate) fn host_token_file<'a>(&'a self, given: Option<&'a Path>) -> Result<&'a Path, Failure> {
        if let Some(file) = given {
            self.check_named(file)?;
        }
        let default = self.context.as_ref().and_then(|context| context.host_token_file.as_deref());
        given.or(default).ok_or_else(messages::no_host_token_file)
    }

    /// Refuses to send a token that the caller named to a server that the caller did not name.
    pub(crate) fn check_named(&self, file: &Path) -> Result<(), Failure> {
        match &self.implicit {
            Some(directory) if !is_in(directory, file) => {
                Err(messages::token_without_endpoint(file, &directory.join(FILE_NAME)))
            }
            _ => Ok(()),
        }
    }

    /// Notes how a command names the server, if a token was written to a file that [`Self::check_named`] refuses.
    pub(crate) fn note_use_of(&self, file: &Path) {
        self.use_of(file).iter().for_each(|note| output::notice(note));
    }

    fn use_of(&self, file: &Path) -> Option<String> {
        let directory = self.implicit.as_ref().filter(|directory| !is_in(directory, file))?;
        Some(messages::token_needs_context(file, &directory.join(FILE_NAME)))
    }

    /// The app to work on.
    pub(crate) fn app(&self, given: &AppArgument) -> Result<AppRef, Failure> {
        let default = || self.context.as_ref().and_then(|context| context.app.clone()).map(AppRef::Name);
        given.app.clone().or_else(default).ok_or_else(messages::no_app)
    }

    /// The org to work in.
    pub(crate) fn org(&self, given: Option<&OrgRef>) -> Result<OrgRef, Failure> {
        let default = || self.context.as_ref().and_then(|context| context.org.clone()).map(OrgRef::Name);
        given.cloned().or_else(default).ok_or_else(messages::no_org)
    }

    /// The host whose token boots Machines here.
    pub(crate) fn host(&self) -> Option<&HostId> {
        self.context.as_ref().and_then(|context| context.host.as_ref())
    }

    /// The private key of the issuer of `petsem dev`.
    pub(crate) fn development_issuer_key(&self) -> Option<&Path> {
        self.context.as_ref().and_then(|context| context.development_issuer_key.as_deref())
    }
}

impl Context {
    /// As [`Self::load`], for a file that was found in the working directory.
    ///
    /// # Errors
    /// Another user could have written it, or it names files elsewhere.
    fn load_implicit(path: &Path) -> Result<Self, Failure> {
        let this_user = rustix::process::geteuid().as_raw();
        for owned in [path.parent().unwrap_or(path), path] {
            let metadata = owned.metadata().map_err(|error| messages::no_metadata(owned, &error))?;
            if metadata.uid() != this_user || metadata.mode() & 0o022 != 0 {
                return Err(messages::context_of_others(path, owned));
            }
        }
        let context = Self::load(path)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let files = [&context.token_file, &context.host_token_file, &context.development_issuer_key];
        if let Some(file) = files.into_iter().flatten().find(|file| !is_in(directory, file)) {
            return Err(messages::context_names_elsewhere(path, file));
        }
        Ok(context)
    }

    /// Reads a context file and makes its paths independent of the working directory.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has an unknown key.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let (bytes, _) = private_file::read_bytes(path, MAX_CONTEXT)?;
        let text = private_file::trimmed_text(path, &bytes)?;
        let mut context: Self =
            toml::from_str(&text).map_err(|error| messages::invalid_context(path, &error))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let files =
            [&mut context.token_file, &mut context.host_token_file, &mut context.development_issuer_key];
        for file in files.into_iter().flatten() {
            *file = directory.join(&*file);
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn connection(endpoint: Option<&str>, token_file: Option<&str>, context: &Path) -> Connection {
        Connection {
            endpoint: endpoint.map(str::to_owned),
            token_file: token_file.map(PathBuf::from),
            context: Some(context.into()),
        }
    }

    fn context_file(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join("context.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    const WHOLE: &str = r#"
        endpoint = "http://127.0.0.1:8200"
        token_file = "operator.token"
        host_token_file = "/else/host.token"
        app = "shop"
    "#;

    #[test]
    fn paths_of_a_context_file_are_relative_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = context_file(directory.path(), WHOLE);
        let resolved = connection(None, None, &path).resolve().unwrap();
        assert_eq!(resolved.endpoint, "http://127.0.0.1:8200");
        assert_eq!(resolved.token_file().unwrap(), directory.path().join("operator.token"));
        assert_eq!(resolved.host_token_file(None).unwrap(), Path::new("/else/host.token"));
        assert_eq!(resolved.app(&AppArgument { app: None }).unwrap().to_string(), "shop");
        let from = (resolved.endpoint_from, resolved.token_from);
        assert_eq!(from, (Origin::Context(path.clone()), Origin::Context(path)));
    }

    #[test]
    fn a_context_file_on_the_command_line_comes_before_variables() {
        let given = connection(Some("http://127.0.0.1:1"), Some("t"), Path::new("c"));
        let (url, file) = (given.endpoint.clone(), given.token_file.clone());
        let cases: [(&[&str], _); 6] = [
            (&[], (url.clone(), file.clone())),
            (&["PETSEM_ENDPOINT"], (None, file.clone())),
            (&["PETSEM_TOKEN_FILE"], (url.clone(), None)),
            (&["PETSEM_ENDPOINT", "PETSEM_TOKEN_FILE"], (None, None)),
            (&["PETSEM_CONTEXT", "PETSEM_ENDPOINT"], (url.clone(), file.clone())),
            (&["PETSEM_CONTEXT", "PETSEM_ENDPOINT", "PETSEM_TOKEN_FILE"], (url, file)),
        ];
        for (variables, (endpoint, token_file)) in cases {
            let counts = given.before_variables(|variable, _| variables.contains(&variable));
            let context = given.context.clone();
            assert_eq!(counts, Connection { endpoint, token_file, context }, "{variables:?}");
        }
        let without = Connection { context: None, ..given };
        assert_eq!(without.before_variables(|_, _| true), without);
    }

    #[test]
    fn the_token_of_a_context_file_is_sent_to_no_other_endpoint() {
        let directory = tempfile::tempdir().unwrap();
        let path = context_file(directory.path(), WHOLE);
        let resolved = connection(Some("http://127.0.0.1:9999"), None, &path).resolve().unwrap();
        assert_eq!(resolved.token_file().unwrap_err().fact, messages::no_token_file().fact);
        assert_eq!(resolved.host_token_file(None).unwrap_err().fact, messages::no_host_token_file().fact);
        let named = connection(Some("http://127.0.0.1:9999"), Some("mine"), &path).resolve().unwrap();
        assert_eq!(named.token_file().unwrap(), Path::new("mine"));
        let from = (named.endpoint_from, named.token_from);
        assert_eq!(from, (Origin::Option("--endpoint"), Origin::Option("--token-file")));
    }

    fn implicit(directory: &Path, text: &str) -> Result<Context, Failure> {
        Context::load_implicit(&context_file(directory, text))
    }

    #[test]
    fn a_context_file_that_was_not_named_is_the_users_own_and_names_files_beside_it() {
        let beside = "endpoint = \"http://127.0.0.1:1\"\ntoken_file = \"operator.token\"\n";
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("petsem-dev");
        std::fs::create_dir(&directory).unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let token = directory.join("operator.token");
        assert_eq!(implicit(&directory, beside).unwrap().token_file.as_ref(), Some(&token));

        for elsewhere in ["/etc/token", "../operator.token", "keys/operator.token", "..", "."] {
            let fact = implicit(&directory, &beside.replace("operator.token", elsewhere)).unwrap_err().fact;
            assert!(fact.ends_with("which is not beside it"), "{fact}");
        }
        std::os::unix::fs::symlink("/etc/hostname", &token).unwrap();
        let fact = implicit(&directory, beside).unwrap_err().fact;
        assert!(fact.ends_with("which is not beside it"), "{fact}");
        std::fs::remove_file(&token).unwrap();

        for writable in [directory.clone(), directory.join(FILE_NAME)] {
            for mode in [0o722, 0o720, 0o702] {
                set(&writable, mode);
                let fact = implicit(&directory, beside).unwrap_err().fact;
                assert!(fact.ends_with(&format!("other users can write {}", writable.display())), "{fact}");
            }
            set(&writable, 0o700);
        }
        assert_eq!(implicit(&directory, beside).unwrap().token_file.as_ref(), Some(&token));
    }

    fn fact_of(result: Result<(), Failure>) -> Result<(), String> {
        result.map_err(|failure| failure.fact)
    }

    #[test]
    fn a_token_is_not_sent_to_a_server_that_the_caller_did_not_name() {
        let context = Context {
            endpoint: "http://127.0.0.1:1".to_owned(),
            token_file: None,
            host_token_file: None,
            host: None,
            org: None,
            app: None,
            development_issuer_key: None,
        };
        let connection = connection(None, None, Path::new("unused"));
        let directory = PathBuf::from(DEFAULT_DIRECTORY);
        let found = connection.resolved(context.endpoint.clone(), Some(context), Some(directory));
        for elsewhere in ["look.token", "/home/ann/look.token", "petsem-dev/old/look.token", "-"] {
            let refused = found.check_named(Path::new(elsewhere)).unwrap_err();
            assert!(refused.fact.starts_with(&format!("{elsewhere} is not sent")), "{}", refused.fact);
            let host = found.host_token_file(Some(Path::new(elsewhere))).unwrap_err();
            assert_eq!(host.fact, refused.fact);
        }
        assert_eq!(fact_of(found.check_named(Path::new("petsem-dev/owner.token"))), Ok(()));
        // What writes a token there says how to use it.
        assert_eq!(found.use_of(Path::new("petsem-dev/owner.token")), None);
        let said = "a command that uses break-glass.token must name the server, too: --context petsem-dev/context.toml, or \
                    PETSEM_CONTEXT=petsem-dev/context.toml";
        assert_eq!(found.use_of(Path::new("break-glass.token")), Some(said.to_owned()));
        let named = connection.resolved("http://127.0.0.1:1".to_owned(), None, None);
        assert_eq!(fact_of(named.check_named(Path::new("look.token"))), Ok(()));
        assert_eq!(named.use_of(Path::new("look.token")), None);
    }

    #[test]
    fn unknown_keys_of_a_context_file_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = context_file(directory.path(), "endpoint = \"http://127.0.0.1:1\"\ntoken = \"fm2_x\"\n");
        let fact = Context::load(&path).unwrap_err().fact;
        assert!(fact.contains("is not a context file: unknown field `token`"), "{fact}");
    }
}
