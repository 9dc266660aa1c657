//! Tickets: the conditions that a third party checks before it discharges (macaroon-format §5.2).

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::access::DischargeRequest;
use crate::caveat::{Budget, Caveat, CaveatSet};
use crate::caveats::{PetsemCaveat, SecondPerson};
use crate::clear::{Refusal, clear_caveat};
use crate::key::SharedKey;
use crate::msgpack::{Reader, Write};
use crate::text::{TicketDenial, TicketError};

/// An opened ticket: the key that signs the discharge, and the conditions to check first.
pub struct Ticket {
    sealed: Vec<u8>,
    discharge_key: Zeroizing<[u8; 32]>,
    caveats: CaveatSet,
}

impl Ticket {
    /// Opens a ticket with the key shared with its author.
    ///
    /// # Errors
    /// [`TicketError`] if it does not open, or is not in canonical form with a key of 32 bytes.
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

    /// The sealed bytes: the key id of the discharge.
    pub(crate) fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// The conditions, as the ticket's author wrote them. [`Self::clear`] checks them.
    pub fn caveats(&self) -> &[Caveat] {
        self.caveats.as_slice()
    }

    /// Whether the third party may discharge the ticket: every condition must allow it, and unknown conditions
    /// refuse.
    ///
    /// # Errors
    /// [`TicketDenial`] with the first condition that refuses.
    pub fn clear(&self, request: &DischargeRequest<'_>) -> Result<(), TicketDenial> {
        self.caveats().iter().enumerate().try_for_each(|(index, caveat)| {
            clear_caveat(request, caveat).map_err(|Refusal { kind, reason }| TicketDenial {
                index,
                kind,
                reason,
            })
        })
    }

    /// The request that a second person must approve before this ticket is discharged: its only
    /// [`SecondPerson`]. `None` also if there is more than one; [`Self::clear`] then refuses.
    pub fn second_person(&self) -> Option<SecondPerson> {
        let mut found = None;
        for caveat in self.caveats() {
            if let Some(Ok(Some(PetsemCaveat::SecondPerson(condition)))) = PetsemCaveat::of(caveat)
                && found.replace(condition).is_some()
            {
                return None;
            }
        }
        found.cloned()
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
