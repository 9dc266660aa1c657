//! petsem's own caveats: types 65536 to 65791, one file each.
//!
//! Bodies are canonical arrays (or a bare number), ids are 16 bytes of bin, lists are sorted and without
//! duplicates. They are read when a request is cleared, not before: then a type without a file here, or a
//! body in any other form, refuses. A type number is never used again, and a field added is a new type.

mod actions;
mod ancestors;
mod apps;
mod boot_grant;
mod break_glass;
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

pub use actions::Actions;
pub use ancestors::Ancestors;
pub use apps::Apps;
pub use boot_grant::{BootGrant, MAX_ASKER_BYTES};
pub use break_glass::{BreakGlass, MAX_BREAK_GLASS_SECONDS};
pub use exchanged::{Exchanged, MAX_EXCHANGED_CLAIMS_BYTES};
pub use hosts::Hosts;
pub use machines::Machines;
pub use networks::{MAX_NETWORKS, Network, NetworkError, Networks};
pub use operator::Operator;
pub use organization::Organization;
pub use second_person::{MAX_REASON_BYTES, SecondPerson};
pub use secret_keys::SecretKeys;
pub use secret_names::SecretNames;
pub use subject::Subject;

use crate::access::Access;
use crate::caveat::{Caveat, RawCaveat};
use crate::denial::Reason;
use crate::msgpack::{DecodeError, Reader, Write};

/// The block of type numbers that is petsem's.
pub const PETSEM_BLOCK: RangeInclusive<u64> = 65_536..=65_791;

/// What a type is, for people: `docs/caveats.md` is made of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaveatType {
    /// The type number.
    pub number: u64,
    /// The name.
    pub name: &'static str,
    /// The body on the wire.
    pub body: &'static str,
    /// What it lets through, in a sentence.
    pub meaning: &'static str,
    /// What it answers to a request that does not name what it is about.
    pub unnamed: Unnamed,
    /// Where it can be met. In any other place it refuses everything.
    pub places: &'static [Place],
    /// The version of petsem that knew it first.
    pub since: &'static str,
}

/// What a caveat answers to a request that does not name what the caveat is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unnamed {
    /// Resource unspecified: refuses; inside `IfPresent` it is set aside.
    Unspecified,
    /// Every request has what it is about, so it always answers; inside `IfPresent` it always counts.
    AlwaysNamed,
    /// It lets every request pass; inside `IfPresent` it refuses.
    Label,
    /// It refuses everywhere but in a proof by a trusted discharger for the first third-party caveat.
    Evidence,
    /// It refuses everywhere but in a ticket.
    Condition,
}

/// What may hold a caveat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A token, put there by whoever minted it or holds it.
    Token,
    /// A discharge, put there by the discharger. Evidence counts only in a proof by a trusted one for the
    /// token's first third-party caveat.
    Discharge,
    /// A ticket, as a condition of the discharge.
    Ticket,
}

impl Place {
    /// All places.
    pub const EVERYWHERE: &[Self] = &[Self::Token, Self::Discharge, Self::Ticket];
}

/// One list for everything that all types have.
macro_rules! petsem_caveats {
    ($($(#[$meaning:meta])+ $name:ident,)+) => {
        /// A caveat of petsem's, read.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum PetsemCaveat {
            $($(#[$meaning])+ $name($name),)+
        }

        impl PetsemCaveat {
            /// All types, by number.
            pub const TYPES: &'static [CaveatType] = &[$($name::TYPE),+];

            fn read(kind: u64, body: &[u8]) -> Result<Option<Self>, DecodeError> {
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

            /// What it means, for a person.
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
    /// Only things of one org.
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
    /// Evidence that one Machine may boot.
    BootGrant,
    /// Who holds the token.
    Subject,
    /// From which tokens it was minted.
    Ancestors,
    /// Only these secret keys.
    SecretKeys,
    /// Only from these networks.
    Networks,
    /// Only the installation itself.
    Operator,
    /// From which JWT the token came.
    Exchanged,
    /// Evidence that one person may read one app, for the other person's word.
    BreakGlass,
    /// In a ticket: a second person must have approved the request.
    SecondPerson,
}

impl PetsemCaveat {
    /// Reads a caveat as petsem's.
    ///
    /// `None`: a type outside petsem's block. `Some(Ok(None))`: inside it, and not assigned.
    ///
    /// # Errors
    /// [`DecodeError`] inside the option when the body is not the canonical form of its type.
    pub fn of(caveat: &Caveat) -> Option<Result<Option<Self>, DecodeError>> {
        match caveat {
            Caveat::Unregistered(raw) if PETSEM_BLOCK.contains(&raw.kind()) => {
                Some(Self::read(raw.kind(), raw.body()))
            }
            _ => None,
        }
    }

    /// The caveat's own answer. Labels and evidence never get here at top level; inside `IfPresent` they
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
        Self::Unregistered(RawCaveat::petsem(caveat.kind(), body))
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

/// An id as people see it: UUID text.
fn id_text(id: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*id).to_string()
}

fn list_text(items: impl IntoIterator<Item = String>) -> String {
    let text = items.into_iter().collect::<Vec<_>>().join(", ");
    if text.is_empty() { "none".to_owned() } else { text }
}
