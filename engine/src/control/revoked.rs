//! The set of revocations, which every use of a credential checks.
//!
//! Tokens, keys, Machines and hosts stay revoked forever. Entries about JWTs are removed once nothing derived from such
//! a JWT can still be valid. A JWT lives minutes, and so does a token exchanged for it. The longest-lived thing derived
//! from a JWT without another check is a renewal of [`LONGEST_RENEWAL`]; each further renewal is checked here.

use std::collections::{HashMap, HashSet};

use petsem_api::{AppId, HostId, MachineId, SigningKeyId, TokenUuid};
use petsem_policy::TokenId;

use crate::authn::token_id::token_uuid;
use crate::records::FeedRow;

/// Longest `renewal_life` of an app, in seconds.
pub(crate) const LONGEST_RENEWAL: u64 = 30 * 24 * 60 * 60;
/// How long an entry about JWTs is kept, in seconds, after its creation or the time that it names, whichever is later:
/// the longest renewal, and a day for the JWT's own lifetime and clock differences.
const KEPT: i64 = LONGEST_RENEWAL.cast_signed() + 24 * 60 * 60;

/// All revocations.
#[derive(Clone, Debug, Default)]
pub(crate) struct RevokedSet {
    tokens: HashSet<TokenUuid>,
    keys: HashSet<SigningKeyId>,
    machines: HashMap<AppId, HashSet<MachineId>>,
    hosts: HashSet<HostId>,
    jwts: HashMap<String, OfIssuer>,
}

/// The revoked JWTs of one issuer. Each entry has the unix second until which it is kept.
#[derive(Clone, Debug, Default)]
struct OfIssuer {
    ids: HashMap<String, i64>,
    subjects: HashMap<String, IssuedBefore>,
    all: Option<IssuedBefore>,
}

#[derive(Clone, Copy, Debug)]
struct IssuedBefore {
    before: i64,
    kept: i64,
}

impl IssuedBefore {
    fn new(before: i64, at: u64) -> Self {
        Self { before, kept: seconds(at).max(before).saturating_add(KEPT) }
    }

    /// The union of two revocations: a later one with an earlier time does not restore anything.
    fn and(self, other: Self) -> Self {
        Self { before: self.before.max(other.before), kept: self.kept.max(other.kept) }
    }

    fn has(self, issued_at: i64) -> bool {
        issued_at < self.before
    }
}

impl RevokedSet {
    /// Whether this token, discharge or renewal was revoked, or the signing key with this id in lineages
    /// ([`TokenId::of_key`]).
    pub(crate) fn has_token(&self, token: &TokenUuid) -> bool {
        self.tokens.contains(token)
    }

    /// Whether this signing key was revoked.
    pub(crate) fn has_key(&self, key: SigningKeyId) -> bool {
        self.keys.contains(&key)
    }

    /// Whether this Machine was revoked.
    pub(crate) fn has_machine(&self, app: AppId, machine: &MachineId) -> bool {
        self.machines.get(&app).is_some_and(|machines| machines.contains(machine))
    }

    /// Whether this host was revoked.
    pub(crate) fn has_host(&self, host: &HostId) -> bool {
        self.hosts.contains(host)
    }

    /// Whether a JWT was revoked: by its `jti`, or with all JWTs of its subject or issuer that were issued before a
    /// time. `issued_at` in unix seconds.
    pub(crate) fn has_jwt(&self, issuer: &str, sub: Option<&str>, jti: Option<&str>, issued_at: i64) -> bool {
        let Some(revoked) = self.jwts.get(issuer) else { return false };
        jti.is_some_and(|jti| revoked.ids.contains_key(jti))
            || revoked.subjects.get(sub.unwrap_or_default()).is_some_and(|entry| entry.has(issued_at))
            || revoked.all.is_some_and(|entry| entry.has(issued_at))
    }

    /// Applies a revocation; ignores any other change.
    pub(crate) fn apply(&mut self, row: &FeedRow) {
        match row {
            FeedRow::TokenRevoked { token, .. } => {
                self.tokens.insert(*token);
            }
            FeedRow::SigningKeyRevoked { key, .. } => {
                self.keys.insert(*key);
                self.tokens.insert(token_uuid(TokenId::of_key(key.as_bytes())));
            }
            FeedRow::MachineRevoked { app, machine, .. } => {
                self.machines.entry(*app).or_default().insert(machine.clone());
            }
            FeedRow::HostRevoked { host, .. } => {
                self.hosts.insert(host.clone());
            }
            FeedRow::JwtRevoked { issuer, jti, at } => {
                let kept = seconds(*at).saturating_add(KEPT);
                self.of_issuer(issuer).ids.insert(jti.clone(), kept);
            }
            FeedRow::JwtSubjectRevoked { issuer, sub, before, at } => {
                let new = IssuedBefore::new(*before, *at);
                let entry = self.of_issuer(issuer).subjects.entry(sub.clone()).or_insert(new);
                *entry = entry.and(new);
            }
            FeedRow::JwtIssuerRevoked { issuer, before, at } => {
                let new = IssuedBefore::new(*before, *at);
                let all = &mut self.of_issuer(issuer).all;
                *all = Some(all.map_or(new, |entry| entry.and(new)));
            }
            _ => {}
        }
    }

    /// Removes the Machines of a deleted app.
    pub(crate) fn remove_app(&mut self, app: AppId) {
        self.machines.remove(&app);
    }

    /// Removes expired entries about JWTs. `now` in unix seconds.
    pub(crate) fn remove_expired(&mut self, now: i64) {
        self.jwts.retain(|_, revoked| {
            revoked.ids.retain(|_, kept| *kept >= now);
            revoked.subjects.retain(|_, entry| entry.kept >= now);
            revoked.all = revoked.all.filter(|entry| entry.kept >= now);
            !(revoked.ids.is_empty() && revoked.subjects.is_empty() && revoked.all.is_none())
        });
    }

    fn of_issuer(&mut self, issuer: &str) -> &mut OfIssuer {
        self.jwts.entry(issuer.to_owned()).or_default()
    }
}

fn seconds(millis: u64) -> i64 {
    i64::try_from(millis / 1000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://issuer.example";

    fn subject(sub: &str, before: i64, at: i64) -> FeedRow {
        let at = u64::try_from(at).unwrap() * 1000;
        FeedRow::JwtSubjectRevoked { issuer: ISSUER.to_owned(), sub: sub.to_owned(), before, at }
    }

    fn jwt(jti: &str, at: i64) -> FeedRow {
        let at = u64::try_from(at).unwrap() * 1000;
        FeedRow::JwtRevoked { issuer: ISSUER.to_owned(), jti: jti.to_owned(), at }
    }

    #[test]
    fn jwts_of_a_subject_are_revoked_up_to_the_latest_given_time() {
        let mut revoked = RevokedSet::default();
        for before in [100, 200, 150] {
            revoked.apply(&subject("ann", before, 1000));
        }
        let has = |issuer, sub, issued_at| revoked.has_jwt(issuer, sub, None, issued_at);
        assert_eq!([has(ISSUER, Some("ann"), 199), has(ISSUER, Some("ann"), 200)], [true, false]);
        assert_eq!([has(ISSUER, Some("bob"), 0), has("other", Some("ann"), 0)], [false, false]);
        assert!(!has(ISSUER, None, 0));
    }

    #[test]
    fn a_jwt_is_revoked_by_issuer_and_jti() {
        let mut revoked = RevokedSet::default();
        revoked.apply(&jwt("one", 1000));
        assert!(revoked.has_jwt(ISSUER, Some("ann"), Some("one"), i64::MAX));
        assert!(!revoked.has_jwt(ISSUER, Some("ann"), Some("two"), 0));
        assert!(!revoked.has_jwt("other", Some("ann"), Some("one"), 0));
        assert!(!revoked.has_jwt(ISSUER, Some("one"), None, 0));
    }

    #[test]
    fn all_jwts_of_an_issuer_are_revoked_up_to_the_latest_given_time() {
        let mut revoked = RevokedSet::default();
        for before in [200, 100] {
            let issuer = ISSUER.to_owned();
            revoked.apply(&FeedRow::JwtIssuerRevoked { issuer, before, at: 1_000_000 });
        }
        let has = |issuer, sub, issued_at| revoked.has_jwt(issuer, sub, None, issued_at);
        assert_eq!([has(ISSUER, Some("ann"), 199), has(ISSUER, None, 199)], [true, true]);
        assert_eq!([has(ISSUER, Some("ann"), 200), has("other", Some("ann"), 0)], [false, false]);
        revoked.remove_expired(1000 + KEPT);
        assert!(revoked.has_jwt(ISSUER, None, None, 0), "the entry is kept through its last second");
        revoked.remove_expired(1001 + KEPT);
        assert!(revoked.jwts.is_empty());
    }

    #[test]
    fn entries_about_jwts_are_removed_when_nothing_derived_from_them_can_be_valid() {
        let mut revoked = RevokedSet::default();
        revoked.apply(&jwt("one", 1000));
        revoked.apply(&subject("ann", 5000, 1000));
        revoked.remove_expired(1000 + KEPT);
        assert!(revoked.has_jwt(ISSUER, None, Some("one"), 0), "the entry is kept through its last second");
        revoked.remove_expired(1001 + KEPT);
        assert!(!revoked.has_jwt(ISSUER, None, Some("one"), 0));
        assert!(revoked.has_jwt(ISSUER, Some("ann"), None, 0), "the entry names a later time");
        revoked.remove_expired(5001 + KEPT);
        assert!(!revoked.has_jwt(ISSUER, Some("ann"), None, 0));
        assert!(revoked.jwts.is_empty());
    }

    #[test]
    fn a_revoked_key_is_revoked_as_an_ancestor_too() {
        let mut revoked = RevokedSet::default();
        let key = SigningKeyId::from_bytes([3; 16]);
        revoked.apply(&FeedRow::SigningKeyRevoked { key, at: 0 });
        assert!(revoked.has_key(key));
        assert!(revoked.has_token(&token_uuid(TokenId::of_key(&[3; 16]))));
        assert!(!revoked.has_key(SigningKeyId::from_bytes([4; 16])));
    }
}
