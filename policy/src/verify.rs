//! From an unverified token to a token: macaroon-format §6, with the order of §12.12 (the token's own MAC
//! first, then bindings, then discharges).

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::caveat::Caveat;
use crate::chain::{Tail, binding_id, finalized, first_tail, next_tail};
use crate::key::{MacaroonKey, SharedKey, open_key};
use crate::ticket::Ticket;
use crate::token::{Accepted, Token};
use crate::unverified::{Decoded, UnverifiedToken};

/// How many discharges of one ticket are tried.
pub(crate) const MAX_DISCHARGES: usize = 64;
/// How many MACs are spent on discharges: a holder may present many third-party caveats with one ticket, and many
/// discharges of it.
const MAX_DISCHARGE_MACS: usize = 16_384;

/// The MACs that verifications may spend on discharges: of one token, or of all that come with one request.
#[derive(Debug)]
pub struct DischargeBudget(usize);

impl DischargeBudget {
    /// At most so many MACs, and at most what one verification may spend: 16,384.
    pub fn of(macs: usize) -> Self {
        Self(macs.min(MAX_DISCHARGE_MACS))
    }
}

impl Default for DischargeBudget {
    fn default() -> Self {
        Self(MAX_DISCHARGE_MACS)
    }
}

/// A discharger whose word about people and Machines is believed.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'k> {
    /// The location that its discharges carry. It only selects the key; the key is what proves.
    pub location: &'k str,
    /// The key shared with it.
    pub key: &'k SharedKey,
    /// What the caller calls it; comes back in [`crate::Origin::Discharge`].
    pub discharger: [u8; 16],
}

impl UnverifiedToken {
    /// Verifies the token under the root key that its key id names, with the discharges at hand.
    ///
    /// Discharges for other tickets are ignored. Of several for one ticket the first good one counts; at
    /// most 64 are tried. A discharge whose location is in `trusted` must have been made from a ticket
    /// under that key; what an untrusted one says about people is dropped, its conditions count.
    ///
    /// # Errors
    /// [`VerifyError`]. Nothing of the token may then be believed, its id included.
    pub fn verify(
        &self,
        key: &MacaroonKey,
        discharges: &[&UnverifiedToken],
        trusted: &[Trusted<'_>],
    ) -> Result<Token, VerifyError> {
        self.verify_within(key, discharges, trusted, &mut DischargeBudget::default())
    }

    /// As [`Self::verify`], for one of the tokens that came with a request: they share what their discharges cost,
    /// or one header would have it spent anew for each of its tokens.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_within(
        &self,
        key: &MacaroonKey,
        discharges: &[&UnverifiedToken],
        trusted: &[Trusted<'_>],
        budget: &mut DischargeBudget,
    ) -> Result<Token, VerifyError> {
        let own = &self.0;
        let tails = tails_of(own, key.expose_bytes());
        if !tail_matches(own, &tails) {
            return Err(VerifyError::Signature);
        }
        // Bindings are compared with a parent, and this token has none.
        if own.caveats.iter().any(|caveat| matches!(caveat, Caveat::BindToParent(_))) {
            return Err(VerifyError::Binding);
        }
        if !own.nonce.proof() && own.caveats.iter().any(Caveat::is_attestation) {
            return Err(VerifyError::AttestationOutsideProof);
        }
        let mut work = Work { parent: &tails, parent_ids: None, budget };
        let mut accepted = Vec::new();
        let third_parties = own.caveats.iter().zip(tails.iter()).filter_map(|(caveat, tail)| match caveat {
            Caveat::ThirdParty(third_party) => Some((third_party, tail)),
            _ => None,
        });
        for (index, (third_party, tail)) in third_parties.enumerate() {
            let discharge_key = third_party
                .verifier_key
                .as_deref()
                .and_then(|sealed| open_key(tail, sealed))
                .ok_or(VerifyError::VerifierKey { third_party: index })?;
            let mut refused = None;
            let made_for_it = discharges
                .iter()
                .filter(|discharge| discharge.kid() == third_party.ticket)
                .take(MAX_DISCHARGES);
            for discharge in made_for_it {
                match work.try_discharge(&discharge.0, &discharge_key, trusted) {
                    Ok(discharger) => {
                        refused = None;
                        let decoded = Arc::clone(&discharge.0);
                        accepted.push(Accepted { decoded, third_party: index, discharger });
                        break;
                    }
                    Err(reason) => refused = Some(reason),
                }
            }
            if let Some(reason) = refused {
                return Err(VerifyError::DischargeRejected { third_party: index, reason });
            }
            if accepted.last().is_none_or(|last| last.third_party != index) {
                return Err(VerifyError::NoDischarge { third_party: index });
            }
        }
        Ok(Token::new(Arc::clone(own), accepted))
    }
}

/// What the discharges of one token share.
struct Work<'t> {
    parent: &'t [Tail],
    /// Made when the first binding is met.
    parent_ids: Option<Vec<[u8; 32]>>,
    budget: &'t mut DischargeBudget,
}

impl Work<'_> {
    fn try_discharge(
        &mut self,
        discharge: &Decoded,
        discharge_key: &Tail,
        trusted: &[Trusted<'_>],
    ) -> Result<Option<[u8; 16]>, DischargeRejection> {
        let macs = discharge.caveats.len() + 2;
        self.budget.0 = self.budget.0.checked_sub(macs).ok_or(DischargeRejection::TooMuchWork)?;
        let tails = tails_of(discharge, discharge_key.as_slice());
        if !tail_matches(discharge, &tails) {
            return Err(DischargeRejection::Signature);
        }
        let discharger = trusted_discharger(discharge, discharge_key, trusted)?;
        for caveat in &discharge.caveats {
            match caveat {
                // A discharge gets no discharges of its own.
                Caveat::ThirdParty(_) => return Err(DischargeRejection::ThirdParty),
                Caveat::BindToParent(prefix) if !self.is_parent(prefix) => {
                    return Err(DischargeRejection::Binding);
                }
                attestation if attestation.is_attestation() && !discharge.nonce.proof() => {
                    return Err(DischargeRejection::AttestationOutsideProof);
                }
                _ => {}
            }
        }
        Ok(discharger)
    }

    fn is_parent(&mut self, prefix: &[u8]) -> bool {
        let parent = self.parent;
        self.parent_ids
            .get_or_insert_with(|| parent.iter().map(|tail| binding_id(tail.as_slice())).collect())
            .iter()
            .any(|id| id.get(..prefix.len()).is_some_and(|start| start.ct_eq(prefix).into()))
    }
}

/// Whose ticket it was: the discharger under whose key the ticket opens with the very discharge key that
/// the token's maker sealed in the token.
fn trusted_discharger(
    discharge: &Decoded,
    discharge_key: &Tail,
    trusted: &[Trusted<'_>],
) -> Result<Option<[u8; 16]>, DischargeRejection> {
    for candidate in trusted.iter().filter(|candidate| candidate.location == discharge.location) {
        let Ok(plaintext) = candidate.key.open(discharge.nonce.kid()) else { continue };
        let ticket = Ticket::decode(discharge.nonce.kid(), &plaintext)
            .map_err(|_| DischargeRejection::TicketContent)?;
        let same = ticket.expose_discharge_key().ct_eq(discharge_key.as_slice());
        return if bool::from(same) {
            Ok(Some(candidate.discharger))
        } else {
            Err(DischargeRejection::OtherKey)
        };
    }
    Ok(None)
}

/// The states of the chain: after the nonce, and after each caveat.
fn tails_of(token: &Decoded, key: &[u8]) -> Vec<Tail> {
    let mut tails = Vec::with_capacity(token.caveats.len() + 1);
    let mut tail = first_tail(key, token.nonce_bytes());
    for (_, bytes) in token.placed() {
        let next = next_tail(&tail, bytes);
        tails.push(std::mem::replace(&mut tail, next));
    }
    tails.push(tail);
    tails
}

/// Compares in constant time; a tail of another length never matches.
fn tail_matches(token: &Decoded, tails: &[Tail]) -> bool {
    let Some(last) = tails.last() else { return false };
    let matches = if token.nonce.proof() {
        finalized(last).as_slice().ct_eq(token.tail())
    } else {
        last.as_slice().ct_eq(token.tail())
    };
    matches.into()
}

/// Why a token is not to be believed. `third_party` counts the token's third-party caveats from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError {
    /// The token was not signed with this key, or was changed.
    Signature,
    /// A permission token is bound to a parent, which it cannot have.
    Binding,
    /// The token says who someone is, but is no proof.
    AttestationOutsideProof,
    /// No discharge was presented for the ticket.
    NoDischarge {
        /// Which third-party caveat.
        third_party: usize,
    },
    /// The discharge key in the caveat does not open.
    VerifierKey {
        /// Which third-party caveat.
        third_party: usize,
    },
    /// Every discharge for the ticket was refused.
    DischargeRejected {
        /// Which third-party caveat.
        third_party: usize,
        /// Why the last one was.
        reason: DischargeRejection,
    },
}

impl fmt::Display for VerifyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::text::verify_error(*self, out)
    }
}

impl std::error::Error for VerifyError {}

/// Why a discharge does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DischargeRejection {
    /// It was not made with the discharge key, or was changed.
    Signature,
    /// The ticket opened under a trusted key, and holds no ticket.
    TicketContent,
    /// The ticket holds another discharge key than the token.
    OtherKey,
    /// It has a third-party caveat of its own, which nothing can discharge.
    ThirdParty,
    /// It is bound to another token.
    Binding,
    /// It says who someone is, but is no proof.
    AttestationOutsideProof,
    /// So many discharges and third-party caveats that trying them all is refused.
    TooMuchWork,
}

impl fmt::Display for DischargeRejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(crate::text::discharge_rejection(*self))
    }
}
