//! Destroys signing keys that are no longer needed: every token that they signed has expired or was revoked.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use petsem_api::{OrgId, SigningKeyId};

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Failure;
use crate::messages;
use crate::records::{FeedRow, Row, SigningKeyRow, TokenRow, expect};
use crate::request::local_record;

/// How often to check.
const CHECK_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Seconds that a key stays after its successor was created: by then, a token that was being minted with it has its row.
const KEPT_AFTER_REPLACEMENT: i64 = 60 * 60;
/// Most keys that are checked.
const MOST: u32 = 10_000;
/// Tokens on one page.
const PAGE: u32 = 512;

/// Checks at start and every hour.
pub(super) async fn follow(engine: &Engine) {
    let mut ticks = tokio::time::interval(CHECK_INTERVAL);
    loop {
        ticks.tick().await;
        if let Err(failure) = engine.destroy_ended_signing_keys(engine.now()).await {
            let reason = failure.operator_text();
            tracing::warn!(reason, "expired signing keys could not be destroyed; this will be retried");
        }
    }
}

impl Engine {
    /// Destroys the keys that sign no new tokens and have signed no token that is valid at `now`; returns them.
    pub(crate) async fn destroy_ended_signing_keys(
        &self,
        now: Timestamp,
    ) -> Result<Vec<SigningKeyId>, Failure> {
        let replaced = self.replaced_signing_keys(now).await?;
        if replaced.is_empty() {
            return Ok(Vec::new());
        }
        let needed = self.keys_of_living_tokens(now).await?;
        let mut destroyed = Vec::new();
        for (key, version) in replaced {
            if !needed.contains(&key) {
                self.destroy_signing_key(key, version, now).await?;
                destroyed.push(key);
            }
        }
        Ok(destroyed)
    }

    /// Keys that were replaced long enough ago, with the versions of their rows.
    async fn replaced_signing_keys(&self, now: Timestamp) -> Result<Vec<(SigningKeyId, u64)>, Failure> {
        let control = self.control();
        let (mut current, mut others): (HashMap<Option<OrgId>, u64>, Vec<_>) = Default::default();
        for (key, row) in self.rows::<SigningKeyRow>(MOST).await? {
            if control.is_current_key(key).await? {
                current.insert(row.content.org, row.content.created_at);
            } else {
                others.push((key, row.version, row.content.org));
            }
        }
        let stays = |org: &Option<OrgId>| {
            let since = current.get(org).map(|at| Timestamp::from_millis(*at).seconds());
            since.is_none_or(|since| since.saturating_add(KEPT_AFTER_REPLACEMENT) > now.seconds())
        };
        Ok(others
            .into_iter()
            .filter(|(.., org)| !stays(org))
            .map(|(key, version, _)| (key, version))
            .collect())
    }

    /// The keys that signed valid tokens: neither the token nor a token that it was minted from is expired or revoked.
    async fn keys_of_living_tokens(&self, now: Timestamp) -> Result<HashSet<SigningKeyId>, Failure> {
        let control = self.control();
        let mut keys = HashSet::new();
        let mut tokens = self.scan::<TokenRow>(PAGE);
        loop {
            let page = tokens.next_page().await?;
            if page.is_empty() {
                return Ok(keys);
            }
            for entry in page {
                let (id, Row { content: row, .. }) = entry?;
                if row.expires_at >= now.seconds() && !row.is_revoked(&control, &id).await? {
                    keys.insert(row.key);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn destroy_signing_key(
        &self,
        key: SigningKeyId,
        version: u64,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut audit = local_record(now, "signing_key.destroy");
        audit.set_detail(messages::signing_key(key));
        let feed = [FeedRow::SigningKeyDestroyed { key, at: now.millis() }];
        self.commit_control(&mut audit, &feed, |change| {
            change.expects.push(expect::<SigningKeyRow>(key.as_bytes(), version));
            change.erases = true;
        })
        .await?;
        tracing::info!(%key, "a signing key without valid tokens was destroyed");
        self.record(&audit).await
    }
}

#[cfg(test)]
mod tests {
    use petsem_api::{RevokeRequest, RotateSigningKey, TokenUuid};
    use petsem_policy::Subject;
    use petsem_store::RecordKind;

    use super::*;
    use crate::control::state::NoKey;
    use crate::lab::Lab;

    const HOUR: u64 = 60 * 60;

    /// An installation, a token of its first platform key with a lifetime of this many hours, and a second platform key.
    async fn rotated(hours: u64) -> (Lab, SigningKeyId, TokenUuid) {
        let lab = Lab::new().await;
        let engine = &lab.engine;
        let (now, mut audit) = (engine.now(), local_record(engine.now(), "test"));
        let old = engine.control().keys_of(None).await.unwrap().current().unwrap();
        let subject = Subject { issuer: "test".to_owned(), sub: "kim".to_owned() };
        let token = engine.mint_first_token(&mut audit, subject, hours * HOUR, now).await.unwrap();
        let header = format!("FlyV1 {}", token.token);
        let principal = engine.authenticate(Some(&header), &mut audit).await.unwrap();
        let new =
            engine.rotate_signing_key(&mut audit, &principal, &RotateSigningKey { org: None }, now).await;
        assert_ne!(new.unwrap().id, old);
        (lab, old, token.id)
    }

    fn hours_later(engine: &Engine, hours: u64) -> Timestamp {
        Timestamp::from_millis(engine.now().millis() + hours * HOUR * 1000)
    }

    #[tokio::test]
    async fn a_replaced_key_is_destroyed_when_its_last_token_has_expired() {
        let (lab, old, _) = rotated(3).await;
        let engine = &lab.engine;
        let destroyed =
            async |hours| engine.destroy_ended_signing_keys(hours_later(engine, hours)).await.unwrap();
        assert_eq!(destroyed(0).await, []);
        assert_eq!(destroyed(2).await, []);
        assert_eq!(engine.control().signing_key(old.as_bytes()).await.unwrap().id, *old.as_bytes());
        assert_eq!(destroyed(4).await, [old]);
        assert_eq!(destroyed(4).await, []);
        assert!(matches!(engine.control().signing_key(old.as_bytes()).await, Err(NoKey::Unknown)));
        assert_eq!(engine.store.record(RecordKind::SigningKey, old.as_bytes()).await.unwrap(), None);
        // The feed has the change, so a start applies it too.
        let lab = lab.restarted().await;
        assert!(lab.engine.control().key_for_new_tokens(None).await.is_ok());
        assert!(matches!(lab.engine.control().signing_key(old.as_bytes()).await, Err(NoKey::Unknown)));
    }

    #[tokio::test]
    async fn a_replaced_key_with_revoked_tokens_stays_an_hour_and_is_then_destroyed() {
        let (lab, old, token) = rotated(100).await;
        let engine = &lab.engine;
        let mut audit = local_record(engine.now(), "test");
        assert_eq!(engine.destroy_ended_signing_keys(hours_later(engine, 2)).await.unwrap(), []);
        let row =
            engine.denial_row(&mut audit, &RevokeRequest::Token { id: token, unknown: false }).await.unwrap();
        engine.commit_control(&mut audit, &[row], |_| {}).await.unwrap();
        assert_eq!(engine.destroy_ended_signing_keys(engine.now()).await.unwrap(), []);
        assert_eq!(engine.destroy_ended_signing_keys(hours_later(engine, 2)).await.unwrap(), [old]);
    }
}
