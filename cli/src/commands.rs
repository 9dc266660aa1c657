//! The command tree. One file per subcommand; a subcommand with subcommands of its own has a directory.

mod app;
mod approve;
mod boot;
mod break_glass;
mod completions;
mod config;
mod dev;
mod discharger;
mod host;
mod issuer;
mod keys;
mod man;
mod operator;
mod org;
mod policy;
mod run;
mod secrets;
mod server;
mod signing_key;
mod token;
mod whoami;

use clap::Subcommand;

pub(crate) use policy::{TakenAway, Unmatched};
pub(crate) use secrets::Readers;
pub(crate) use token::Descendants;
pub(crate) use whoami::Identity;

use crate::failure::Failure;
use crate::process::InheritedUmask;

#[derive(Subcommand)]
pub(crate) enum Command {
    Dev(dev::Dev),
    Server(server::Server),
    /// Set up, unseal and check an installation on its node; rotate its keys while it runs
    #[command(subcommand)]
    Operator(operator::Operator),
    /// Check a configuration file, or print a documented one
    #[command(subcommand)]
    Config(config::Config),
    /// Create, list and delete orgs
    #[command(subcommand)]
    Org(org::Org),
    /// Create, list and delete apps
    #[command(subcommand)]
    App(app::App),
    /// Set, list and roll back an app's secrets; values are shown only with another person's approval
    #[command(subcommand)]
    Secrets(secrets::Secrets),
    /// Generate, import and use an app's secret keys; they are never shown
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Create, narrow, inspect, explain, list and revoke tokens
    #[command(subcommand)]
    Token(token::Token),
    /// List the keys that sign tokens, and replace them
    #[command(subcommand)]
    SigningKey(signing_key::SigningKey),
    /// Show, set and test the rules that let JWTs read an app's secrets or boot its Machines
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Register, list, show and delete issuers of JWTs
    #[command(subcommand)]
    Issuer(issuer::Issuer),
    /// Register, list and delete outside dischargers
    #[command(subcommand)]
    Discharger(discharger::Discharger),
    /// Enroll hosts, which boot Machines
    #[command(subcommand)]
    Host(host::Host),
    BreakGlass(break_glass::BreakGlass),
    Approve(approve::Approve),
    Run(run::Run),
    Boot(boot::Boot),
    #[command(name = "whoami")]
    WhoAmI(whoami::WhoAmI),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Runs it; `definition` is the command line that it is from.
    pub(crate) fn run(self, umask: InheritedUmask, definition: fn() -> clap::Command) -> Result<(), Failure> {
        match self {
            Self::Dev(dev) => dev.run(),
            Self::Server(server) => server.run(),
            Self::Operator(operator) => operator.run(),
            Self::Config(config) => config.run(),
            Self::Org(org) => org.run(),
            Self::App(app) => app.run(),
            Self::Secrets(secrets) => secrets.run(),
            Self::Keys(keys) => keys.run(),
            Self::Token(token) => token.run(),
            Self::SigningKey(key) => key.run(),
            Self::Policy(policy) => policy.run(),
            Self::Issuer(issuer) => issuer.run(),
            Self::Discharger(discharger) => discharger.run(),
            Self::Host(host) => host.run(),
            Self::BreakGlass(break_glass) => break_glass.run(),
            Self::Approve(approve) => approve.run(),
            Self::Run(run) => run.run(umask),
            Self::Boot(boot) => boot.run(umask),
            Self::WhoAmI(whoami) => whoami.run(),
            Self::Completions(completions) => completions.run(definition()),
            Self::Man(man) => man.run(umask, definition()),
        }
    }
}
