//! The cases: one file for each group, and one line in [`ALL`].

mod batch;
pub(crate) mod boots;
mod long;
mod reads;
mod secret_keys;
pub(crate) mod start;
mod writes;

use petsem_integration::http::Request;

use crate::failure::Failure;
use crate::peer::Peer;
use crate::scene::Scene;

/// Every case, in the order in which they run.
const ALL: &[&[Case]] =
    &[boots::CASES, batch::CASES, writes::CASES, reads::CASES, secret_keys::CASES, long::CASES, start::CASES];

/// What is sent, and to which server.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) connections: u32,
    /// Clients that only hold connections to petsem meanwhile.
    pub(crate) slow_clients: u32,
    /// Settings of petsem that this case needs, in TOML; all others have their defaults.
    pub(crate) settings: &'static str,
    /// The requests, which the load sends in turn.
    pub(crate) prepare: fn(&Scene) -> Result<Vec<Request>, Failure>,
    pub(crate) span: Span,
    /// The same for a Vault-compatible server, if it has a counterpart.
    pub(crate) peer: Option<fn(&Peer) -> Vec<Request>>,
}

impl Case {
    /// A case in rounds, with 64 connections.
    const fn new(
        name: &'static str,
        about: &'static str,
        prepare: fn(&Scene) -> Result<Vec<Request>, Failure>,
    ) -> Self {
        let span = Span::Rounds;
        Self { name, about, connections: 64, slow_clients: 0, settings: "", prepare, span, peer: None }
    }
}

/// How long a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// Rounds, by turns with the bare server.
    Rounds,
    /// The same, with requests that are prepared before each round because they expire.
    FreshRounds,
    /// Minutes, petsem alone; it runs only if it is named.
    Long,
    /// Starts of petsem, alone and without load; it runs only if it is named.
    Starts,
}

/// Every case.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    ALL.iter().copied().flatten()
}

/// The named cases; without a name, all that send requests in rounds.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Case>, Failure> {
    if names.is_empty() {
        return Ok(all().filter(|case| !matches!(case.span, Span::Long | Span::Starts)).collect());
    }
    let known: Vec<_> = all().map(|case| case.name).collect();
    let find = |name: &String| {
        all().find(|case| case.name == name.as_str()).ok_or_else(|| {
            Failure::new(format!("no case is named {name}"), format!("the cases are: {}", known.join(", ")))
        })
    };
    names.iter().map(find).collect()
}
