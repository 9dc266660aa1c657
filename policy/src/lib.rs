//! Tokens and policy: which principal may do what, as data.
//!
//! ```text
//! Authorization header ─Header::parse→ UnverifiedToken ─verify(root key, discharges)→ Token
//! Token ─clear(Access)→ Ok, or a Denial that names the caveat
//! ticket ─Ticket::open→ Ticket ─clear(DischargeRequest)→ Ok ─discharge→ Macaroon, sent along with the token
//! JWT ─evaluate::verify_jwt→ Claims ─AppPolicy::decide→ Allowed, or a PolicyDenial that names the rule
//! ```
//!
//! Tokens are macaroons in the wire format of Fly.io. A *caveat* narrows a token, and any holder can append one.
//! A *discharge* answers a third-party caveat. petsem's own caveats have the types 65536 to 65791. Only a
//! [`Token`] reaches a decision, and only verification makes one.
//!
//! ```
//! use petsem_policy::{
//!     Access, Action, ActionSet, Actions, Apps, Caveat, Header, Macaroon, MacaroonKey, Organization, Reason,
//!     UnverifiedToken,
//! };
//! # use std::error::Error;
//! # fn main() -> Result<(), Box<dyn Error>> {
//! # let (org, app, location) = ([1; 16], [2; 16], "https://petsem.example");
//! let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! let key = MacaroonKey::generate(&mut rng);
//! let mut token = Macaroon::mint(&key, b"key id", location, false, &mut rng);
//! token.add([Caveat::from(Organization { org }), Apps::new([app]).into()])?;
//! let bearer = format!("Bearer {}", token.to_text().as_str());
//!
//! let header = Header::parse(&bearer, location)?;
//! let received = header.permissions().next().ok_or("no token")?;
//! let verified = received.verify(&key, &header.discharges(), &[])?;
//! let list = Access { org: Some(org), app: Some(app), ..Access::new(Action::List, 1_800_000_000, 0) };
//! assert_eq!(verified.clear(&list), Ok(()));
//!
//! // Any holder can attenuate the token, without a key.
//! let mut narrowed = Macaroon::from_token(received)?;
//! narrowed.add([Actions(ActionSet::from_iter([Action::Write])).into()])?;
//! let narrowed = UnverifiedToken::decode(&narrowed.encode())?.verify(&key, &[], &[])?;
//! let denial = narrowed.clear(&list).err().ok_or("allowed")?;
//! assert_eq!(denial.reason, Reason::Action(Action::List));
//! # Ok(())
//! # }
//! ```
//!
//! `examples/third_party.rs` adds a third-party caveat, a discharge and a boot grant.
//!
//! # Formats
//! | what | bytes |
//! |---|---|
//! | token | MessagePack `[nonce, location, caveats, tail]`; as text `fm2_` and standard base64 |
//! | nonce | `[key id: bin, random: bin16, proof: bool]`; the historical form lacks the third field |
//! | tail | HMAC-SHA-256 (RFC 2104) chain over the nonce and each caveat, 32 bytes; one more HMAC for a proof |
//! | caveat set | `[type, body, type, body, …]` |
//! | ticket, verifier key | nonce 12, ciphertext, tag 16; ChaCha20-Poly1305 (RFC 8439) |
//! | token id | UUIDv5 (RFC 9562) of the random part, in the namespace of the key id |
//! | JWT | compact JWS (RFC 7515, RFC 7519), with pinned algorithms only |
//!
//! "macaroon-format §…" in this crate is a section of the macaroon format's specification. `docs/caveats.md` lists
//! petsem's caveats. `tests/vectors/macaroon.json` has the published examples of everything; a change that alters one
//! of them breaks tokens in use.
//!
//! # Limits
//! They apply before anything is allocated or hashed: 64 KiB and 128 tokens in a header, 64 KiB and 512 caveats in a
//! token, `IfPresent` 16 deep, unknown bodies 32 deep, 64 discharges for a ticket, and a [`DischargeBudget`] for all
//! tokens of a request.
//!
//! # Non-goals
//! This crate knows no storage and no HTTP. It reads neither the clock nor the operating system's randomness: both
//! are arguments. It does not know which keys exist or what is revoked, and it caches nothing. Policies and decisions
//! are data; no code of a caller runs here. Of Fly.io's own caveats it clears only `ValidityWindow`, `IfPresent` and,
//! for a discharge, `MaxValidity`.

mod access;
mod action;
mod boot_target;
mod caveat;
mod caveats;
mod chain;
mod clear;
mod decoded;
#[cfg(feature = "evaluate")]
pub mod evaluate;
mod header;
mod inherit;
mod key;
mod macaroon;
mod msgpack;
mod nonce;
mod text;
mod ticket;
mod token;
mod unverified;
mod verify;

pub use access::{Access, DischargeRequest};
pub use action::{Action, ActionSet};
pub use boot_target::BootTarget;
pub use caveat::{Caveat, CaveatSet, CommandArgs, IfPresent, RawCaveat, ResourceSet, ThirdParty};
pub use caveats::{
    Actions, Ancestors, Apps, BootGrant, BreakGlass, CaveatType, Container, Exchanged, Hosts,
    MAX_BREAK_GLASS_SECONDS, MAX_EXCHANGED_CLAIMS_BYTES, MAX_NETWORKS, MAX_PERSON_BYTES,
    MAX_PROVENANCE_BYTES, MAX_REASON_BYTES, Machines, Network, Networks, Operator, Organization,
    PETSEM_BLOCK, PetsemCaveat, SecondPerson, SecretKeys, SecretNames, Subject, WhenUnspecified,
};
pub use header::{Content, Element, Header, MAX_HEADER_BYTES, MAX_HEADER_TOKENS};
pub use inherit::MAX_ANCESTORS;
pub use key::{MacaroonKey, SharedKey};
pub use macaroon::Macaroon;
pub use nonce::{Nonce, TokenId};
pub use text::{
    AddError, DecodeError, Denial, DeniedCaveat, DischargeRejection, HeaderError, InheritError, NetworkError,
    OpenError, Origin, Reason, Resource, TextError, TicketDenial, TicketError, VerifyError,
};
pub use ticket::Ticket;
pub use token::{GrantEvidence, PlacedCaveat, Token};
pub use unverified::{MAX_TOKEN_BYTES, UnverifiedToken};
pub use verify::{DischargeBudget, TrustedDischarger};
