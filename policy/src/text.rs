//! The text that this crate shows to people, with the types that carry it: a fact, then a hint.
//!
//! Two topics have files of their own elsewhere: what a caveat means (`caveats/`, a file per caveat), and
//! JWTs and app policies (`evaluate/text.rs`).

mod denial;
mod error;

pub use denial::{Denial, DeniedCaveat, Origin, Reason, Resource, TicketDenial};
pub use error::{
    AddError, DecodeError, DischargeRejection, HeaderError, InheritError, NetworkError, OpenError, TextError,
    TicketError, VerifyError,
};
