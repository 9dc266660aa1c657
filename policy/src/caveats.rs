//! petsem's own caveats: types 65536 to 65791, one file each.
//!
//! Bodies are canonical arrays (or a bare number), ids are 16 bytes of bin, lists are sorted and without
//! duplicates. They are read when a request is cleared, not before: then a type without a file here, or a
//! body in any other form, refuses. A type number is never used again, and a field added is a new type.

mod actions;
mod ancestors;
mod apps;
mod boot_grant;
mod hosts;
mod machines;
mod organization;
mod secret_names;
mod subject;

use std::ops::RangeInclusive;

pub use actions::Actions;
pub use ancestors::Ancestors;
pub use apps::Apps;
pub use boot_grant::{BootGrant, MAX_ASKER_BYTES};
pub use hosts::Hosts;
pub use machines::Machines;
pub use organization::Organization;
pub use secret_names::SecretNames;
pub use subject::Subject;

use crate::access::Access;
use crate::caveat::{Caveat, RawCaveat};
use crate::denial::Reason;
use crate::msgpack::{DecodeError, Reader, Write};

/// The block of type numbers that is petsem's.
pub const PETSEM_BLOCK: RangeInclusive<u64> = 65_536..=65_791;

/// A caveat of petsem's, read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PetsemCaveat {
    /// Only things of one org.
    Organization(Organization),
    /// Only these apps.
    Apps(Apps),
    /// Only these secrets.
    SecretNames(SecretNames),
    /// Only these actions.
    Actions(Actions),
    /// Only these Machines.
    Machines(Machines),
    /// Only from these hosts.
    Hosts(Hosts),
    /// Evidence that one Machine may boot.
    BootGrant(BootGrant),
    /// Who holds the token.
    Subject(Subject),
    /// From which tokens it was minted.
    Ancestors(Ancestors),
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

    fn read(kind: u64, body: &[u8]) -> Result<Option<Self>, DecodeError> {
        let reader = &mut Reader::new(body);
        let caveat = match kind {
            Organization::KIND => Self::Organization(Organization::read(reader)?),
            Apps::KIND => Self::Apps(Apps::read(reader)?),
            SecretNames::KIND => Self::SecretNames(SecretNames::read(reader)?),
            Actions::KIND => Self::Actions(Actions::read(reader)?),
            Machines::KIND => Self::Machines(Machines::read(reader)?),
            Hosts::KIND => Self::Hosts(Hosts::read(reader)?),
            BootGrant::KIND => Self::BootGrant(BootGrant::read(reader)?),
            Subject::KIND => Self::Subject(Subject::read(reader)?),
            Ancestors::KIND => Self::Ancestors(Ancestors::read(reader)?),
            _ => return Ok(None),
        };
        reader.finish()?;
        Ok(Some(caveat))
    }

    /// The type number.
    pub fn kind(&self) -> u64 {
        match self {
            Self::Organization(_) => Organization::KIND,
            Self::Apps(_) => Apps::KIND,
            Self::SecretNames(_) => SecretNames::KIND,
            Self::Actions(_) => Actions::KIND,
            Self::Machines(_) => Machines::KIND,
            Self::Hosts(_) => Hosts::KIND,
            Self::BootGrant(_) => BootGrant::KIND,
            Self::Subject(_) => Subject::KIND,
            Self::Ancestors(_) => Ancestors::KIND,
        }
    }

    /// What it means, for a person.
    pub fn describe(&self) -> String {
        match self {
            Self::Organization(caveat) => caveat.describe(),
            Self::Apps(caveat) => caveat.describe(),
            Self::SecretNames(caveat) => caveat.describe(),
            Self::Actions(caveat) => caveat.describe(),
            Self::Machines(caveat) => caveat.describe(),
            Self::Hosts(caveat) => caveat.describe(),
            Self::BootGrant(caveat) => caveat.describe(),
            Self::Subject(caveat) => caveat.describe(),
            Self::Ancestors(caveat) => caveat.describe(),
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
            Self::BootGrant(_) | Self::Subject(_) | Self::Ancestors(_) => Err(Reason::Misplaced),
        }
    }
}

impl From<PetsemCaveat> for Caveat {
    fn from(caveat: PetsemCaveat) -> Self {
        let mut body = Vec::new();
        match &caveat {
            PetsemCaveat::Organization(caveat) => caveat.write(&mut body),
            PetsemCaveat::Apps(caveat) => caveat.write(&mut body),
            PetsemCaveat::SecretNames(caveat) => caveat.write(&mut body),
            PetsemCaveat::Actions(caveat) => caveat.write(&mut body),
            PetsemCaveat::Machines(caveat) => caveat.write(&mut body),
            PetsemCaveat::Hosts(caveat) => caveat.write(&mut body),
            PetsemCaveat::BootGrant(caveat) => caveat.write(&mut body),
            PetsemCaveat::Subject(caveat) => caveat.write(&mut body),
            PetsemCaveat::Ancestors(caveat) => caveat.write(&mut body),
        }
        Self::Unregistered(RawCaveat::petsem(caveat.kind(), body))
    }
}

/// Each typed caveat becomes a caveat of the format directly.
macro_rules! into_caveat {
    ($($name:ident),+) => {$(
        impl From<$name> for Caveat {
            fn from(caveat: $name) -> Self {
                PetsemCaveat::$name(caveat).into()
            }
        }
    )+};
}

into_caveat!(Organization, Apps, SecretNames, Actions, Machines, Hosts, BootGrant, Subject, Ancestors);

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
