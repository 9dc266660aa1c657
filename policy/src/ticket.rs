//! Tickets: what a third party is asked to check, and how it answers (macaroon-format §5.2).

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::access::{DischargeRequest, Refusal};
use crate::caveat::{Budget, CaveatSet};
use crate::caveats::{PetsemCaveat, SecondPerson};
use crate::clear::clear_caveat;
use crate::denial::Reason;
use crate::key::{MacaroonKey, OpenError, SharedKey};
use crate::macaroon::Macaroon;
use crate::msgpack::{DecodeError, Reader, Write};

/// An opened ticket: the key to sign the discharge with, and the conditions to check before.
pub struct Ticket {
    sealed: Vec<u8>,
    discharge_key: Zeroizing<[u8; 32]>,
    caveats: CaveatSet,
}

impl Ticket {
    /// Opens a ticket with the key shared with whoever wrote it.
    ///
    /// # Errors
    /// [`TicketError`] when it does not open, or is not the canonical form with a key of 32 bytes.
    pub fn open(sealed: &[u8], key: &SharedKey) -> Result<Self, TicketError> {
        let plaintext = key.open(sealed).map_err(TicketError::Open)?;
        Self::decode(sealed, &plaintext)
    }

    pub(crate) fn decode(sealed: &[u8], plaintext: &[u8]) -> Result<Self, TicketError> {
        let mut reader = Reader::new(plaintext);
        let read = |reader: &mut Reader<'_>| {
            reader.fields(2)?;
            let key = reader.bin()?;
            let caveats = CaveatSet::read(reader, &mut Budget::default())?;
            reader.finish()?;
            Ok((key.to_vec(), caveats))
        };
        let (key, caveats) = read(&mut reader).map_err(TicketError::Content)?;
        let key = Zeroizing::new(key);
        let mut discharge_key = Zeroizing::new([0; 32]);
        if key.len() != discharge_key.len() {
            return Err(TicketError::KeyLength);
        }
        discharge_key.copy_from_slice(&key);
        Ok(Self { sealed: sealed.to_vec(), discharge_key, caveats })
    }

    /// Seals `[discharge key, caveats]` for the third party.
    pub(crate) fn seal(
        discharge_key: &[u8; 32],
        caveats: &CaveatSet,
        key: &SharedKey,
        rng: &mut dyn CryptoRng,
    ) -> Vec<u8> {
        let mut plaintext = Zeroizing::new(Vec::with_capacity(64));
        plaintext.array(2);
        plaintext.bin(discharge_key);
        caveats.write(&mut plaintext);
        key.seal(&plaintext, rng)
    }

    /// The conditions of whoever wrote the ticket; [`Self::clear`] checks them.
    pub fn caveats(&self) -> &[crate::Caveat] {
        self.caveats.as_slice()
    }

    /// Whether the third party may discharge this: every condition must allow it, and unknown ones refuse.
    ///
    /// # Errors
    /// [`TicketDenial`] with the first condition that refuses.
    pub fn clear(&self, request: &DischargeRequest<'_>) -> Result<(), TicketDenial> {
        for (index, caveat) in self.caveats.as_slice().iter().enumerate() {
            clear_caveat(request, caveat).map_err(|Refusal { kind, reason }| TicketDenial {
                index,
                kind,
                reason,
            })?;
        }
        Ok(())
    }

    /// The request that a second person must approve before this ticket is discharged: its one [`SecondPerson`].
    /// More than one is none; [`Self::clear`] then refuses.
    pub fn second_person(&self) -> Option<SecondPerson> {
        let mut found = None;
        for caveat in self.caveats() {
            if let Some(Ok(Some(PetsemCaveat::SecondPerson(condition)))) = PetsemCaveat::of(caveat)
                && found.replace(condition).is_some()
            {
                return None;
            }
        }
        found
    }

    /// A discharge of this ticket: a proof, so that its holder cannot add to it. Clear the ticket first.
    ///
    /// `location` is the third party's own; `rng` gives the 16 random bytes of the nonce.
    pub fn discharge(&self, location: &str, rng: &mut dyn CryptoRng) -> Macaroon {
        let key = MacaroonKey::new(self.discharge_key.as_slice());
        Macaroon::mint(&key, &self.sealed, location, true, rng)
    }

    /// The key that signs the discharge.
    pub fn expose_discharge_key(&self) -> &[u8; 32] {
        &self.discharge_key
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ticket(..)")
    }
}

/// The condition of a ticket that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TicketDenial {
    /// Its place in the ticket, from 0.
    pub index: usize,
    /// Its type.
    pub kind: u64,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for TicketDenial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::text::ticket_denial(self, out)
    }
}

impl std::error::Error for TicketDenial {}

/// Why a ticket cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not open with this key.
    Open(OpenError),
    /// What it holds is no ticket.
    Content(DecodeError),
    /// The discharge key in it has not 32 bytes.
    KeyLength,
}

impl fmt::Display for TicketError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(crate::text::ticket_error(*self))
    }
}

impl std::error::Error for TicketError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Open(source) => Some(source),
            Self::Content(source) => Some(source),
            Self::KeyLength => None,
        }
    }
}
