//! Tokens and policy: who may do what, as data.
//!
//! Macaroons in the wire format of Fly.io, petsem's own caveats in the block 65536–65791, tickets and
//! discharges; with the feature `evaluate` also JWT checks and app policies. The walk of a request:
//!
//! ```text
//! Header::parse ─► UnverifiedToken::verify ─► Token::clear ─► Ok, or a Denial that names the caveat
//! ```
//!
//! Only a [`Token`] reaches a decision, and verification is the only way to one.
//!
//! What this crate refuses to know: storage, HTTP, the clock (time is an argument), the operating system's
//! randomness (a parameter), which keys exist, what was revoked. It has no cache. Policies and decisions are
//! data; nothing here runs code that a caller wrote.

mod access;
mod action;
mod caveat;
mod caveats;
mod chain;
mod clear;
mod denial;
#[cfg(feature = "evaluate")]
pub mod evaluate;
pub mod fly;
mod header;
mod inherit;
mod key;
mod macaroon;
mod msgpack;
mod narrow;
mod nonce;
mod text;
mod ticket;
mod token;
mod unverified;
mod verify;

pub use access::{Access, DischargeRequest};
pub use action::{Action, ActionSet};
pub use caveat::{Caveat, CaveatSet, CommandArgs, IfPresent, RawCaveat, ResourceSet, ThirdParty};
pub use caveats::{
    Actions, Ancestors, Apps, BootGrant, BreakGlass, CaveatType, Exchanged, Hosts, MAX_ASKER_BYTES,
    MAX_BREAK_GLASS_SECONDS, MAX_EXCHANGED_CLAIMS_BYTES, MAX_NETWORKS, MAX_REASON_BYTES, Machines, Network,
    NetworkError, Networks, Operator, Organization, PETSEM_BLOCK, PetsemCaveat, Place, SecondPerson,
    SecretKeys, SecretNames, Subject, Unnamed,
};
pub use denial::{Denial, DeniedCaveat, Origin, Reason, Resource};
pub use header::{Content, Element, Header, HeaderError, MAX_HEADER_BYTES, MAX_HEADER_TOKENS};
pub use inherit::{InheritError, MAX_ANCESTORS};
pub use key::{MacaroonKey, OpenError, SharedKey};
pub use macaroon::{AddError, Macaroon};
pub use msgpack::DecodeError;
pub use narrow::BootTarget;
pub use nonce::{Nonce, TokenId};
pub use ticket::{Ticket, TicketDenial, TicketError};
pub use token::{GrantEvidence, PlacedCaveat, Token};
pub use unverified::{MAX_TOKEN_BYTES, TextError, UnverifiedToken};
pub use verify::{DischargeBudget, DischargeRejection, Trusted, VerifyError};
