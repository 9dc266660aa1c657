//! Verification: macaroon-format §6, in the order of §12.12 (the token's own MAC, then bindings, then
//! discharges).

use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::caveat::Caveat;
use crate::chain::{Tail, binding_id, finalized, first_tail, next_tail};
use crate::decoded::DecodedToken;
use crate::key::{MacaroonKey, SharedKey, open_key};
use crate::text::{DischargeRejection, VerifyError};
use crate::ticket::Ticket;
use crate::token::{AcceptedDischarge, Token};
use crate::unverified::UnverifiedToken;

/// Most discharges tried for one ticket.
const MAX_DISCHARGES: usize = 64;
/// Most MACs computed for discharges: a holder may present many third-party caveats with one ticket, and many
/// discharges of it.
const MAX_DISCHARGE_MACS: usize = 16_384;

/// The MACs that verification may compute for the discharges of one token, or of all tokens of a request.
#[derive(Debug)]
pub struct DischargeBudget(usize);

impl DischargeBudget {
    /// At most this many MACs, and never more than 16,384.
    pub fn of_macs(macs: usize) -> Self {
        Self(macs.min(MAX_DISCHARGE_MACS))
    }
}

impl Default for DischargeBudget {
    fn default() -> Self {
        Self(MAX_DISCHARGE_MACS)
    }
}

/// A discharger whose attestations and grants count.
#[derive(Debug, Clone, Copy)]
pub struct TrustedDischarger<'k> {
    /// The location of its discharges. It only selects the key; the key is the proof.
    pub location: &'k str,
    /// The key shared with the discharger.
    pub key: &'k SharedKey,
    /// The caller's id for it, returned in [`crate::Origin::Discharge`].
    pub discharger: [u8; 16],
}

impl UnverifiedToken {
    /// Verifies the token under the root key that its key id names, with the available discharges.
    ///
    /// Discharges for other tickets are ignored. Of several for one ticket, the first valid one counts; at most
    /// 64 are tried. A discharge is trusted if its ticket opens under the key of a discharger in `trusted` with
    /// its location. Attestations of an untrusted discharge are dropped; its conditions count.
    ///
    /// # Errors
    /// [`VerifyError`]. Then nothing in the token is authentic, its id included.
    pub fn verify(
        &self,
        key: &MacaroonKey,
        discharges: &[&UnverifiedToken],
        trusted: &[TrustedDischarger<'_>],
    ) -> Result<Token, VerifyError> {
        let trusted = trusted.iter().copied();
        self.verify_within(key, discharges, trusted, &mut DischargeBudget::default())
    }

    /// As [`Self::verify`], for one of several tokens of a request. They share one budget for their discharges, so
    /// the work does not grow with the number of tokens.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_within<'k>(
        &self,
        key: &MacaroonKey,
        discharges: &[&UnverifiedToken],
        trusted: impl Iterator<Item = TrustedDischarger<'k>> + Clone,
        budget: &mut DischargeBudget,
    ) -> Result<Token, VerifyError> {
        let own = &self.0;
        let tails = tails_of(own, key.expose_bytes());
        if !tail_matches(own, &tails) {
            return Err(VerifyError::Signature);
        }
        // Only a discharge has a parent to be bound to.
        if own.caveats.iter().any(|caveat| matches!(caveat, Caveat::BindToParent(_))) {
            return Err(VerifyError::Binding);
        }
        if !own.nonce.proof() && own.caveats.iter().any(Caveat::is_attestation) {
            return Err(VerifyError::AttestationOutsideProof);
        }
        let mut verifier = DischargeVerifier { parent: &tails, parent_ids: None, budget };
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
            let mut rejected = None;
            let candidates = discharges
                .iter()
                .filter(|discharge| discharge.kid() == third_party.ticket)
                .take(MAX_DISCHARGES);
            for discharge in candidates {
                match verifier.verify(&discharge.0, &discharge_key, trusted.clone()) {
                    Ok(discharger) => {
                        rejected = None;
                        let decoded = Arc::clone(&discharge.0);
                        accepted.push(AcceptedDischarge { decoded, third_party: index, discharger });
                        break;
                    }
                    Err(reason) => rejected = Some(reason),
                }
            }
            if let Some(reason) = rejected {
                return Err(VerifyError::DischargeRejected { third_party: index, reason });
            }
            if accepted.last().is_none_or(|last| last.third_party != index) {
                return Err(VerifyError::NoDischarge { third_party: index });
            }
        }
        Ok(Token::new(Arc::clone(own), accepted))
    }
}

/// Verifies the discharges of one token.
struct DischargeVerifier<'t> {
    parent: &'t [Tail],
    /// Computed at the first binding.
    parent_ids: Option<Vec<[u8; 32]>>,
    budget: &'t mut DischargeBudget,
}

impl DischargeVerifier<'_> {
    fn verify<'k>(
        &mut self,
        discharge: &DecodedToken,
        discharge_key: &Tail,
        trusted: impl Iterator<Item = TrustedDischarger<'k>>,
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
                // Nothing discharges a discharge.
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

/// The discharger under whose key the ticket opens. The ticket must contain the discharge key that is sealed in
/// the token.
fn trusted_discharger<'k>(
    discharge: &DecodedToken,
    discharge_key: &Tail,
    trusted: impl Iterator<Item = TrustedDischarger<'k>>,
) -> Result<Option<[u8; 16]>, DischargeRejection> {
    for candidate in trusted.filter(|candidate| candidate.location == discharge.location) {
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

/// The states of the chain: after the nonce and after each caveat.
fn tails_of(token: &DecodedToken, key: &[u8]) -> Vec<Tail> {
    let mut tails = Vec::with_capacity(token.caveats.len() + 1);
    let mut tail = first_tail(key, token.nonce_bytes());
    for bytes in token.caveat_bytes() {
        let next = next_tail(&tail, bytes);
        tails.push(std::mem::replace(&mut tail, next));
    }
    tails.push(tail);
    tails
}

/// Compares in constant time; a tail of another length never matches.
fn tail_matches(token: &DecodedToken, tails: &[Tail]) -> bool {
    let Some(last) = tails.last() else { return false };
    let matches = if token.nonce.proof() {
        finalized(last).as_slice().ct_eq(token.tail())
    } else {
        last.as_slice().ct_eq(token.tail())
    };
    matches.into()
}
