//! petsem's own caveats: types 65536 to 65791, one file each, with the texts that describe them.
//!
//! Bodies are canonical arrays (or a bare number), ids are bin of 16 bytes, lists are sorted and without
//! duplicates. A body is parsed only when a request is cleared, and once: an unassigned type, or a body that is not in
//! canonical form, then refuses. A type number is never reused, and a new field requires a new type.

mod actions;
mod ancestors;
mod apps;
mod boot_grant;
mod break_glass;
mod describe;
mod exchanged;
mod hosts;
mod machines;
mod networks;
mod operator;
mod organization;
mod second_person;
mod secret_keys;
mod secret_names;
mod subject;

use std::ops::RangeInclusive;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use actions::Actions;
pub use ancestors::Ancestors;
pub use apps::Apps;
pub use boot_grant::{BootGrant, MAX_PROVENANCE_BYTES};
pub use break_glass::{BreakGlass, MAX_BREAK_GLASS_SECONDS};
pub use exchanged::{Exchanged, MAX_EXCHANGED_CLAIMS_BYTES};
pub use hosts::Hosts;
pub use machines::Machines;
pub use networks::{MAX_NETWORKS, Network, Networks};
pub use operator::Operator;
pub use organization::Organization;
pub use second_person::{MAX_PERSON_BYTES, MAX_REASON_BYTES, SecondPerson};
pub use secret_keys::SecretKeys;
pub use secret_names::SecretNames;
pub use subject::Subject;

use crate::access::Access;
use crate::caveat::{Caveat, RawCaveat};
use crate::msgpack::{Reader, Write};
use crate::text::{DecodeError, Reason, Resource};

/// petsem's block of type numbers.
pub const PETSEM_BLOCK: RangeInclusive<u64> = 65_536..=65_791;

/// The documentation of a type; `docs/caveats.md` is generated from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaveatType {
    /// The type number.
    pub number: u64,
    /// The name.
    pub name: &'static str,
    /// The body on the wire.
    pub body: &'static str,
    /// What it allows, in a sentence.
    pub meaning: &'static str,
    /// Its answer to a request that does not name the resource that it restricts.
    pub when_unspecified: WhenUnspecified,
    /// What may contain it. Elsewhere it refuses everything.
    pub containers: &'static [Container],
    /// The first version of petsem with this type.
    pub since: &'static str,
}

/// A caveat's answer to a request that does not name the resource that the caveat restricts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenUnspecified {
    /// It refuses with "resource unspecified"; inside `IfPresent` it is skipped.
    Refuses,
    /// Every request names what it restricts, so it always applies, inside `IfPresent` too.
    AlwaysSpecified,
    /// It allows every request; inside `IfPresent` it refuses.
    Label,
    /// It refuses, except in a proof of a trusted discharger for the first third-party caveat.
    Evidence,
    /// It refuses, except in a ticket.
    Condition,
}

/// What may contain a caveat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Container {
    /// A token: its issuer or a holder added the caveat.
    Token,
    /// A discharge: the discharger added the caveat. Evidence counts only in a proof of a trusted discharger for
    /// the token's first third-party caveat.
    Discharge,
    /// A ticket: the caveat is a condition of the discharge.
    Ticket,
}

impl Container {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Token, Self::Discharge, Self::Ticket];
}

/// Generates what all types have in common from one list.
macro_rules! petsem_caveats {
    ($($(#[$meaning:meta])+ $name:ident,)+) => {
        /// A parsed petsem caveat.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum PetsemCaveat {
            $($(#[$meaning])+ $name($name),)+
        }

        impl PetsemCaveat {
            /// All types, in the order of their numbers.
            pub const TYPES: &'static [CaveatType] = &[$($name::TYPE),+];

            pub(crate) fn read(kind: u64, body: &[u8]) -> Result<Option<Self>, DecodeError> {
                let reader = &mut Reader::new(body);
                let caveat = match kind {
                    $($name::KIND => Self::$name($name::read(reader)?),)+
                    _ => return Ok(None),
                };
                reader.finish()?;
                Ok(Some(caveat))
            }

            fn write(&self, body: &mut Vec<u8>) {
                match self {
                    $(Self::$name(caveat) => caveat.write(body),)+
                }
            }

            /// The type number.
            pub fn kind(&self) -> u64 {
                match self {
                    $(Self::$name(_) => $name::KIND,)+
                }
            }

            /// What it means, as text for people.
            pub fn describe(&self) -> String {
                match self {
                    $(Self::$name(caveat) => caveat.describe(),)+
                }
            }
        }

        $(impl From<$name> for Caveat {
            fn from(caveat: $name) -> Self {
                PetsemCaveat::$name(caveat).into()
            }
        })+
    };
}

petsem_caveats! {
    /// Only resources of one org.
    Organization,
    /// Only these apps.
    Apps,
    /// Only these secrets.
    SecretNames,
    /// Only these actions.
    Actions,
    /// Only these Machines.
    Machines,
    /// Only from these hosts.
    Hosts,
    /// Evidence that a Machine may boot.
    BootGrant,
    /// The holder of the token.
    Subject,
    /// The tokens that it was minted from.
    Ancestors,
    /// Only these secret keys.
    SecretKeys,
    /// Only from these networks.
    Networks,
    /// Only the installation itself.
    Operator,
    /// The JWT that the token was exchanged for.
    Exchanged,
    /// Evidence that a person may read an app, approved by a second person.
    BreakGlass,
    /// A condition in a ticket: a second person must have approved the request.
    SecondPerson,
}

impl PetsemCaveat {
    /// Parses a caveat of petsem's block.
    ///
    /// `None`: the type is outside the block. `Some(Ok(None))`: the type is not assigned.
    ///
    /// # Errors
    /// [`DecodeError`] inside the option if the body is not in the canonical form of its type.
    pub fn of(caveat: &Caveat) -> Option<Result<Option<&Self>, DecodeError>> {
        match caveat {
            Caveat::Unregistered(raw) if PETSEM_BLOCK.contains(&raw.kind()) => Some(raw.parsed()),
            _ => None,
        }
    }

    /// Evaluates the caveat. [`crate::Token`] handles labels and evidence at the top level; inside `IfPresent` they
    /// are misplaced.
    pub(crate) fn clears(&self, access: &Access<'_>) -> Result<(), Reason> {
        match self {
            Self::Organization(caveat) => caveat.clears(access),
            Self::Apps(caveat) => caveat.clears(access),
            Self::SecretNames(caveat) => caveat.clears(access),
            Self::Actions(caveat) => caveat.clears(access),
            Self::Machines(caveat) => caveat.clears(access),
            Self::Hosts(caveat) => caveat.clears(access),
            Self::SecretKeys(caveat) => caveat.clears(access),
            Self::Networks(caveat) => caveat.clears(access),
            Self::Operator(caveat) => caveat.clears(access),
            Self::BootGrant(_)
            | Self::BreakGlass(_)
            | Self::SecondPerson(_)
            | Self::Subject(_)
            | Self::Ancestors(_)
            | Self::Exchanged(_) => Err(Reason::Misplaced),
        }
    }
}

impl From<PetsemCaveat> for Caveat {
    fn from(caveat: PetsemCaveat) -> Self {
        let mut body = Vec::new();
        caveat.write(&mut body);
        Self::Unregistered(RawCaveat::new(caveat.kind(), body))
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<[u8; 16], DecodeError> {
    reader.bin()?.try_into().map_err(|_| DecodeError::OutOfRange)
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.str().map(str::to_owned)
}

/// A list in ascending order, without duplicates.
fn read_sorted<T: Ord>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut list: Vec<T> = Vec::new();
    for _ in 0..reader.array()? {
        let item = read(reader)?;
        if list.last().is_some_and(|last| *last >= item) {
            return Err(DecodeError::NotCanonical);
        }
        list.push(item);
    }
    Ok(list)
}

fn write_ids(out: &mut Vec<u8>, ids: &[[u8; 16]]) {
    out.array(ids.len());
    for id in ids {
        out.bin(id);
    }
}

fn write_texts(out: &mut Vec<u8>, texts: &[String]) {
    out.array(texts.len());
    for text in texts {
        out.str(text);
    }
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = items.into_iter().collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// Whether a text is in `exact`, or has one of `prefixes`. Both are sorted, so most lists are not read in full.
fn is_listed(exact: &[String], prefixes: &[String], text: &str) -> bool {
    exact.binary_search_by(|one| one.as_str().cmp(text)).is_ok() || has_prefix(prefixes, text.as_bytes())
}

fn has_prefix(prefixes: &[String], mut text: &[u8]) -> bool {
    loop {
        let below = prefixes.partition_point(|prefix| prefix.as_bytes() <= text);
        let Some(nearest) = below.checked_sub(1).and_then(|index| prefixes.get(index)) else { return false };
        if text.starts_with(nearest.as_bytes()) {
            return true;
        }
        // A shorter prefix of the text sorts before this one, which then has it as a prefix, too.
        let common = nearest.bytes().zip(text).take_while(|(one, other)| one == *other).count();
        text = text.get(..common).unwrap_or_default();
    }
}

/// Evaluates a caveat on one resource: refuses if the request does not name it, or names another one.
fn check_resource<T: Copy>(
    resource: Resource,
    requested: Option<T>,
    allows: impl FnOnce(T) -> bool,
) -> Result<(), Reason> {
    match requested {
        None => Err(Reason::Unspecified(resource)),
        Some(requested) if allows(requested) => Ok(()),
        Some(_) => Err(Reason::Other(resource)),
    }
}

/// An id as UUID text.
fn id_text(id: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*id).to_string()
}

/// UTC as RFC 3339, or the number if the calendar cannot represent it.
fn rfc3339(unix_seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_seconds)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("unix second {unix_seconds}"))
}

fn list_text(items: impl IntoIterator<Item = String>) -> String {
    let text = items.into_iter().collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_as_by_comparing_it_with_each_prefix() {
        let parts = ["", "A", "AB", "ABC", "AC", "B", "BA", "É", "Éa", "È"];
        let texts = || parts.iter().flat_map(|one| parts.iter().map(move |other| format!("{one}{other}")));
        for chosen in 0..1_u32 << parts.len() {
            let prefixes = sorted(
                (0..parts.len()).filter(|bit| chosen >> bit & 1 == 1).map(|bit| parts[bit].to_owned()),
            );
            for text in texts() {
                let expected = prefixes.iter().any(|prefix| text.starts_with(prefix.as_str()));
                assert_eq!(has_prefix(&prefixes, text.as_bytes()), expected, "{prefixes:?} {text:?}");
            }
        }
    }
}
