//! Minting tokens and discharges, and attenuating them (macaroon-format §5.1).

use std::fmt;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::caveat::{Caveat, CaveatSet, MAX_CAVEATS, ThirdParty};
use crate::chain::{TAIL_LENGTH, Tail, binding_id, finalized, first_tail, next_tail};
use crate::decoded::for_each_ticket;
use crate::key::{MacaroonKey, SharedKey};
use crate::msgpack::Write;
use crate::nonce::{Nonce, TokenId};
use crate::text::AddError;
use crate::ticket::Ticket;
use crate::unverified::{UnverifiedToken, to_text};

/// A token that its issuer mints, or that a holder attenuates.
pub struct Macaroon {
    nonce: Nonce,
    location: String,
    caveats: Vec<Caveat>,
    /// The current tail; for a finalized proof, the finalized one.
    tail: Tail,
    finalized: bool,
}

impl Macaroon {
    /// A token without caveats. `kid` names the key for the verifier; `rng` provides the 16 random bytes that make
    /// the token unique. A proof is finalized when it is encoded, so that a holder cannot add to it.
    pub fn mint(key: &MacaroonKey, kid: &[u8], location: &str, proof: bool, rng: &mut dyn CryptoRng) -> Self {
        let mut rnd = [0; 16];
        rng.fill_bytes(&mut rnd);
        let nonce = Nonce::new(kid.to_vec(), rnd, proof);
        let tail = first_tail(key.expose_bytes(), &nonce.encode());
        Self { nonce, location: location.to_owned(), caveats: Vec::new(), tail, finalized: false }
    }

    /// A holder's token, to be attenuated.
    ///
    /// # Errors
    /// [`AddError::Tail`] if its tail does not have 32 bytes, so that it can never verify.
    pub fn from_token(token: &UnverifiedToken) -> Result<Self, AddError> {
        let mut tail = Zeroizing::new([0; TAIL_LENGTH]);
        if token.0.tail().len() != TAIL_LENGTH {
            return Err(AddError::Tail);
        }
        tail.copy_from_slice(token.0.tail());
        Ok(Self {
            nonce: token.nonce().clone(),
            location: token.location().to_owned(),
            caveats: token.caveats().to_vec(),
            tail,
            finalized: token.nonce().proof(),
        })
    }

    /// Adds caveats in order, all or none. A caveat that the token already has is skipped.
    ///
    /// # Errors
    /// [`AddError`]; the token is then unchanged. Only [`Self::add_third_party`] adds third-party caveats.
    pub fn add(&mut self, caveats: impl IntoIterator<Item = Caveat>) -> Result<(), AddError> {
        if self.finalized {
            return Err(AddError::Finalized);
        }
        let mut present: Vec<Vec<u8>> = self.caveats.iter().map(Caveat::as_set).collect();
        let mut tail = self.tail.clone();
        let mut added = Vec::new();
        for caveat in caveats {
            let bytes = caveat.as_set();
            if present.contains(&bytes) {
                continue;
            }
            if matches!(caveat, Caveat::ThirdParty(_)) {
                return Err(AddError::ThirdParty);
            }
            if caveat.is_attestation() && !self.nonce.proof() {
                return Err(AddError::AttestationOutsideProof);
            }
            tail = extend(&tail, &bytes);
            present.push(bytes);
            added.push(caveat);
        }
        if self.caveats.len() + added.len() > MAX_CAVEATS {
            return Err(AddError::TooManyCaveats);
        }
        self.caveats.append(&mut added);
        self.tail = tail;
        Ok(())
    }

    /// Adds a third-party caveat: the token then needs a discharge from the party at `location`, which shares `key`
    /// and checks `conditions`. `rng` provides the discharge key (32 bytes), then the nonces of the ticket and of
    /// the verifier key (12 each).
    ///
    /// # Errors
    /// [`AddError`]; the token is then unchanged. A location can have one third-party caveat.
    pub fn add_third_party(
        &mut self,
        location: &str,
        key: &SharedKey,
        conditions: &CaveatSet,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), AddError> {
        if self.finalized {
            return Err(AddError::Finalized);
        }
        let mut seen = false;
        for_each_ticket(&self.caveats, &mut |other, _| seen |= other == location);
        if seen {
            return Err(AddError::LocationTwice);
        }
        if self.caveats.len() >= MAX_CAVEATS {
            return Err(AddError::TooManyCaveats);
        }
        let mut discharge_key = Zeroizing::new([0; 32]);
        rng.fill_bytes(discharge_key.as_mut_slice());
        let ticket = Ticket::seal(&discharge_key, conditions, key, rng);
        let verifier_key = Some(SharedKey::new(*self.tail).seal(discharge_key.as_slice(), rng));
        let caveat = Caveat::ThirdParty(ThirdParty { location: location.to_owned(), verifier_key, ticket });
        self.tail = extend(&self.tail, &caveat.as_set());
        self.caveats.push(caveat);
        Ok(())
    }

    /// Binds a discharge to the token that it is sent with: it then discharges only that token and its
    /// attenuations.
    ///
    /// # Errors
    /// [`AddError`], as [`Self::add`].
    pub fn bind_to_parent(&mut self, parent: &UnverifiedToken) -> Result<(), AddError> {
        let mut prefix = binding_id(parent.0.tail()).to_vec();
        prefix.truncate(16);
        self.add([Caveat::BindToParent(prefix)])
    }

    /// The identity, for audit records and revocations.
    pub fn id(&self) -> TokenId {
        self.nonce.token_id()
    }

    /// The caveats, in order.
    pub fn caveats(&self) -> &[Caveat] {
        &self.caveats
    }

    /// The tail before finalization, for comparison with published vectors.
    pub fn expose_tail(&self) -> &[u8; 32] {
        &self.tail
    }

    /// The bytes of the token. A bearer secret.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(512));
        out.array(4);
        out.extend_from_slice(&self.nonce.encode());
        out.str(&self.location);
        out.array(2 * self.caveats.len());
        for caveat in &self.caveats {
            caveat.write(&mut out);
        }
        if self.nonce.proof() && !self.finalized {
            out.bin(finalized(&self.tail).as_slice());
        } else {
            out.bin(self.tail.as_slice());
        }
        out
    }

    /// The token as text, `fm2_` and base64. A bearer secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        to_text(&self.encode())
    }
}

impl Ticket {
    /// A discharge of this ticket: a proof, so that its holder cannot add to it. Clear the ticket first.
    ///
    /// `location` is the third party's own; `rng` provides the 16 random bytes of the nonce.
    pub fn discharge(&self, location: &str, rng: &mut dyn CryptoRng) -> Macaroon {
        let key = MacaroonKey::new(self.expose_discharge_key());
        Macaroon::mint(&key, self.sealed(), location, true, rng)
    }
}

impl fmt::Debug for Macaroon {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Macaroon({})", self.id())
    }
}

/// `set` is the caveat as a set of one; the chain adds the set's header itself.
fn extend(tail: &Tail, set: &[u8]) -> Tail {
    next_tail(tail, set.get(1..).unwrap_or_default())
}
