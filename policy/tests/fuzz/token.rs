//! Bytes of tokens: mutated, and mutated then signed again.

use hmac::{Hmac, KeyInit, Mac};
use petsem_policy::{
    Action, AddError, Caveat, CaveatSet, Denial, Macaroon, MacaroonKey, Nonce, Reason, SharedKey, Ticket,
    TrustedDischarger, UnverifiedToken, VerifyError,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sha2::{Digest, Sha256};

use crate::allocations::allocations_of;
use crate::caveat_body::{BYTES_BESIDE, BYTES_PER_BYTE, name};
use crate::caveats::{HERE, NOW, THIRD_PARTY, any_caveat, request};
use crate::corpus::{Corpus, bytes_of_vectors};
use crate::counting::Counting;
use crate::engine::{self, Observation};

/// All tokens of the vectors, permission tokens and discharges.
pub(crate) fn tokens_of_vectors() -> Vec<Vec<u8>> {
    let kinds = ["verify", "mint", "add", "add_3p", "bind", "tickets"];
    bytes_of_vectors(&kinds, &["token", "discharges", "token_out", "parent"])
}

#[test]
fn token_bytes_are_refused_or_preserved_and_verify_only_with_the_signing_key() {
    let keys: Vec<_> =
        bytes_of_vectors(&["verify"], &["key"]).iter().map(|key| MacaroonKey::new(key)).collect();
    let keys = &keys[..1];
    let corpus = Corpus::new(tokens_of_vectors());
    let inputs = (corpus.mutated(&[]), request());
    let counts = engine::run("token", &corpus, inputs, |(bytes, access)| {
        let (token, memory) = allocations_of(|| UnverifiedToken::decode(&bytes));
        prop_assert!(memory.peak <= BYTES_PER_BYTE * bytes.len() + BYTES_BESIDE, "{:?}", memory);
        let path = memory.allocations.min(200);
        let token = match token {
            Ok(token) => token,
            Err(error) => return Ok(Observation::new(name(error), path, &bytes)),
        };
        prop_assert_eq!(token.expose_wire(), bytes.as_slice());
        let text = token.expose_text();
        let parsed = UnverifiedToken::parse(&text).unwrap();
        prop_assert_eq!(parsed.expose_wire(), bytes.as_slice());
        prop_assert_eq!(Nonce::decode(&token.nonce().encode()), Ok(token.nonce().clone()));
        match Macaroon::from_token(&token) {
            // A finalized proof is encoded unchanged.
            Ok(same) => prop_assert_eq!(same.encode().to_vec(), bytes.clone()),
            Err(error) => prop_assert_eq!((error, tail_of(&token)), (AddError::Tail, None)),
        }
        prop_assert!(token.danger_denials(&[], &access).len() <= token.caveats().len() + 1);
        let mut answer = "decoded";
        for key in keys {
            let signed = is_signed(&token, key.expose_bytes());
            match token.verify(key, &[], &[]) {
                Ok(verified) => {
                    prop_assert!(signed);
                    prop_assert_eq!(verified.expires_at(), token.expires_at());
                    prop_assert_eq!(
                        verified.clear(&access).err(),
                        verified.denials(&access).first().copied()
                    );
                    answer = "verified";
                }
                Err(VerifyError::Signature) => prop_assert!(!signed),
                Err(_) => {
                    prop_assert!(signed);
                    answer = "signed, and refused";
                }
            }
        }
        let kinds: Vec<u64> = token.caveats().iter().map(Caveat::kind).take(8).collect();
        Ok(Observation::new(answer, (kinds, path), &bytes))
    });
    counts.reached(&["decoded", "verified", "signed, and refused", "truncated", "not canonical"]);
}

/// The attacker has the key here: a token with a valid MAC must still decode to what was encoded.
#[test]
fn a_mutated_and_signed_token_verifies_if_and_only_if_it_needs_no_discharge_parent_or_proof() {
    let key = MacaroonKey::new(&[7; 32]);
    let shared = SharedKey::new([8; 32]);
    let sets = bytes_of_vectors(&["caveat_codec"], &["wire"]);
    let corpus = Corpus::new(sets);
    let made = vec(any_caveat(), 0..5).prop_map(|caveats| CaveatSet::new(caveats).encode());
    let set = prop_oneof![2 => corpus.mutated(&[]), 1 => made];
    let inputs = (set, any::<bool>(), request());
    let counts = engine::run("token signed again", &corpus, inputs, |(set, proof, access)| {
        let Ok(read) = CaveatSet::decode(&set) else { return Ok(Observation::new("no set", 0, &set)) };
        let caveats = read.as_slice();
        let empty = Macaroon::mint(&key, b"kid", HERE, proof, &mut Counting(0));
        let wire = signed_token(&key, &empty, caveats, &set);
        let token = UnverifiedToken::decode(&wire);
        prop_assert_eq!(token.as_ref().map(UnverifiedToken::caveats), Ok(caveats));
        let token = token.unwrap();
        prop_assert!(is_signed(&token, key.expose_bytes()));
        let verified = token.verify(
            &key,
            &[],
            &[TrustedDischarger { location: THIRD_PARTY, key: &shared, discharger: [9; 16] }],
        );
        let third_party = caveats.iter().any(|caveat| matches!(caveat, Caveat::ThirdParty(_)));
        let bound = caveats.iter().any(|caveat| matches!(caveat, Caveat::BindToParent(_)));
        let attested = !proof && caveats.iter().any(Caveat::is_attestation);
        prop_assert_eq!(verified.is_ok(), !(third_party || bound || attested));
        let other = MacaroonKey::new(&[6; 32]);
        prop_assert_eq!(token.verify(&other, &[], &[]).err(), Some(VerifyError::Signature));
        let kinds: Vec<u64> = caveats.iter().map(Caveat::kind).take(8).collect();
        let Ok(verified) = verified else { return Ok(Observation::new("refused", kinds, &set)) };
        // Without a discharge there is no grant, whatever the token contains.
        let missing = |denial: Denial| denial.reason;
        prop_assert_eq!(verified.boot_grant().map_err(missing), Err(Reason::GrantMissing));
        prop_assert_eq!(verified.break_glass_grant().map_err(missing), Err(Reason::BreakGlassMissing));
        prop_assert!(verified.clear_boot(&access).is_err());
        let allowed = verified.clear(&access).is_ok();
        if allowed {
            // An unknown caveat at the top level denies.
            let known = |caveat: &Caveat| {
                let own = matches!(caveat, Caveat::ValidityWindow { .. } | Caveat::IfPresent(_));
                own || caveat.is_attestation() || (65_536..=65_550).contains(&caveat.kind())
            };
            prop_assert!(caveats.iter().all(known));
        }
        let answer = if allowed { "verified and allowed" } else { "verified and denied" };
        Ok(Observation::new(answer, kinds, &set))
    });
    counts.reached(&["no set", "refused", "verified and allowed", "verified and denied"]);
}

/// Mutated discharges, and discharges with any caveats. A discharge is accepted if and only if the discharge key
/// signed it, it is for this ticket, needs no discharge itself and is not bound to another token.
#[test]
fn a_discharge_is_accepted_only_for_its_token_and_with_its_key() {
    let (root, shared) = (MacaroonKey::new(&[7; 32]), SharedKey::new([8; 32]));
    let mut parent = Macaroon::mint(&root, b"kid", HERE, false, &mut Counting(0));
    let first = *parent.expose_tail();
    parent.add_third_party(THIRD_PARTY, &shared, &CaveatSet::default(), &mut Counting(1)).unwrap();
    let tails = [first, *parent.expose_tail()].map(|tail| Sha256::digest(tail).to_vec());
    let [Caveat::ThirdParty(third_party)] = parent.caveats() else { panic!("a third-party caveat") };
    let ticket = Ticket::open(&third_party.ticket, &shared).unwrap();
    let parent = UnverifiedToken::decode(&parent.encode()).unwrap();
    let key = MacaroonKey::new(ticket.expose_discharge_key());
    let signed = |caveats: &[Caveat], proof: bool| {
        let empty = Macaroon::mint(&key, &third_party.ticket, THIRD_PARTY, proof, &mut Counting(0));
        signed_token(&key, &empty, caveats, &CaveatSet::new(caveats.to_vec()).encode())
    };
    let ends = Caveat::ValidityWindow { not_before: 0, not_after: NOW };
    let bound = Caveat::BindToParent(tails[1][..16].to_vec());
    let corpus = Corpus::new([
        signed(&[], true),
        signed(&[ends.clone(), bound.clone()], true),
        signed(&[Caveat::FlyioUserId(7), Caveat::MaxValidity(60)], true),
    ]);
    let bindings =
        (select(tails.to_vec()), 0..33_usize, any::<bool>()).prop_map(|(mut id, length, other)| {
            id[0] ^= u8::from(other);
            id.truncate(length);
            Caveat::BindToParent(id)
        });
    let made = (
        vec(prop_oneof![2 => any_caveat(), 1 => bindings, 1 => Just(bound), 1 => Just(ends)], 0..4),
        any::<bool>(),
    )
        .prop_map(|(caveats, proof)| signed(&caveats, proof));
    let trusted = [TrustedDischarger { location: THIRD_PARTY, key: &shared, discharger: [9; 16] }];
    let inputs = prop_oneof![corpus.mutated(&[]), made];
    let counts = engine::run("discharge", &corpus, inputs, |bytes| {
        let Ok(discharge) = UnverifiedToken::decode(&bytes) else {
            return Ok(Observation::new("no token", 0, &bytes));
        };
        let signed = is_signed(&discharge, ticket.expose_discharge_key());
        let for_it = discharge.kid() == third_party.ticket;
        let sound = discharge.caveats().iter().all(|caveat| match caveat {
            Caveat::ThirdParty(_) => false,
            Caveat::BindToParent(prefix) => tails.iter().any(|tail| tail.starts_with(prefix)),
            caveat => discharge.nonce().proof() || !caveat.is_attestation(),
        });
        let answer = match parent.verify(&root, &[&discharge], &trusted) {
            Ok(token) => {
                prop_assert!(signed && for_it && sound);
                prop_assert_eq!(token.discharge_ids(), [discharge.id()]);
                "accepted"
            }
            Err(VerifyError::NoDischarge { .. }) => {
                prop_assert!(!for_it);
                "for another ticket"
            }
            Err(error) => {
                let rejected = matches!(error, VerifyError::DischargeRejected { third_party: 0, .. });
                prop_assert!(for_it && rejected && !(signed && sound), "{error}");
                if signed { "signed, and rejected" } else { "rejected" }
            }
        };
        Ok(Observation::new(answer, discharge.caveats().len(), &bytes))
    });
    counts.reached(&["no token", "accepted", "for another ticket", "rejected", "signed, and rejected"]);
}

/// Whether the tail is the chain of macaroon-format §5, computed here from the decoded token.
fn is_signed(token: &UnverifiedToken, key: &[u8]) -> bool {
    tail_of(token) == Some(chain(key, token.nonce(), token.caveats()).as_slice())
}

fn chain(key: &[u8], nonce: &Nonce, caveats: &[Caveat]) -> Vec<u8> {
    let mut tail = mac(key, &nonce.encode());
    for caveat in caveats {
        tail = mac(&tail, &CaveatSet::new(vec![caveat.clone()]).encode());
    }
    if nonce.proof() { mac(b"proof-signature-finalization", &tail) } else { tail }
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The last field, after the other three, if it has 32 bytes.
fn tail_of(token: &UnverifiedToken) -> Option<&[u8]> {
    let location = match token.location().len() {
        short @ 0..32 => 1 + short,
        byte @ 32..256 => 2 + byte,
        long => 3 + long,
    };
    let set = CaveatSet::new(token.caveats().to_vec()).encode();
    let start = 1 + token.nonce().encode().len() + location + set.len();
    match token.expose_wire().get(start..)? {
        [0xc4, 32, tail @ ..] => Some(tail),
        _ => None,
    }
}

/// `empty` with this caveat set, which may be mutated, and the chain for it.
fn signed_token(key: &MacaroonKey, empty: &Macaroon, caveats: &[Caveat], set: &[u8]) -> Vec<u8> {
    let empty = empty.encode();
    // All bytes before the empty set and the tail of 32 bytes.
    let front = &empty[..empty.len() - 35];
    let token = UnverifiedToken::decode(&empty).unwrap();
    [front, set, &[0xc4, 32], &chain(key.expose_bytes(), token.nonce(), caveats)].concat()
}

#[test]
fn the_chain_of_this_test_is_that_of_minted_tokens() {
    let key = MacaroonKey::new(&[7; 32]);
    for (proof, action) in [(false, Action::List), (true, Action::Boot)] {
        let mint = || Macaroon::mint(&key, b"kid", HERE, proof, &mut Counting(0));
        let mut token = mint();
        token.add([Caveat::Action(action.bit()), Caveat::MaxValidity(7)]).unwrap();
        let set = CaveatSet::new(token.caveats().to_vec()).encode();
        assert_eq!(signed_token(&key, &mint(), token.caveats(), &set), token.encode().to_vec());
    }
}
