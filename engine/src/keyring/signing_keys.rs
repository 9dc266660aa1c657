//! Signing keys: listed, and replaced for new tokens; tokens of the old key stay valid.

use data_encoding::HEXLOWER;
use petsem_api::{RotateSigningKey, SigningKeyId, SigningKeyInfo, SigningKeyList, SigningKeyState};
use petsem_keys::SigningKey;

use crate::authz::decide::Principal;
use crate::clock::{Timestamp, time_text};
use crate::control::state::NoKey;
use crate::engine::Engine;
use crate::entropy;
use crate::error::Failure;
use crate::keyring::state::owned;
use crate::messages;
use crate::records::{FeedRow, OrgRow, Row, SigningKeyRow, expect};
use crate::request::AuditRecord;

/// Most unrevoked keys of one org or of the platform.
const MOST_OF_OWNER: usize = 64;
/// Keys in one response.
const MOST: u32 = 10_000;

impl Engine {
    /// Creates the key that signs new tokens from now on.
    pub async fn rotate_signing_key(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        wanted: &RotateSigningKey,
        now: Timestamp,
    ) -> Result<SigningKeyInfo, Failure> {
        principal.may_operate(audit, now)?;
        let org = match &wanted.org {
            None => None,
            Some(org) => Some(self.find_org(org).await?.ok_or_else(messages::no_such_org)?),
        };
        let owner = org.as_ref().map(|org| org.id);
        if self.control().live_keys_of(owner).await? >= MOST_OF_OWNER {
            return Err(messages::too_many_signing_keys(MOST_OF_OWNER));
        }
        let kid: [u8; 16] = entropy::bytes();
        let key = SigningKey::generate(&mut entropy::rng());
        let (keyring, fence) = self.wrapping().await?;
        let wrapped = keyring
            .wrap(&mut entropy::rng(), &key, &owned(self.store_id, kid, owner))
            .map_err(Failure::internal)?;
        let at = now.millis();
        let row = SigningKeyRow { org: owner, wrapped, created_at: at };
        let id = SigningKeyId::from_bytes(kid);
        if let Some(org) = owner {
            audit.set_org(org);
        }
        audit.set_detail(messages::signing_key(id));
        let feed = [FeedRow::SigningKeySet { key: HEXLOWER.encode(&kid), org: owner, version: 1, at }];
        self.commit_control(audit, &feed, |change| {
            // An org that is deleted in the meantime gets no key.
            change
                .expects
                .extend(org.as_ref().map(|org| expect::<OrgRow>(org.id.as_bytes(), org.row.version)));
            change.expects.push(fence.clone());
            change.expects.push(expect::<SigningKeyRow>(&kid, 0));
            change.puts.push(self.codec.write(&kid, 1, &row));
        })
        .await?;
        Ok(to_wire(id, &row, SigningKeyState::Current))
    }

    /// All signing keys.
    pub async fn list_signing_keys(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<SigningKeyList, Failure> {
        principal.may_operate(audit, now)?;
        let rows = self.rows::<SigningKeyRow>(MOST).await?;
        let control = self.control();
        let mut keys = Vec::with_capacity(rows.len());
        for (id, Row { content: row, .. }) in rows {
            let state = match control.signing_key(id.as_bytes()).await {
                Ok(_) if control.is_current_key(id).await? => SigningKeyState::Current,
                Ok(_) => SigningKeyState::Verifying,
                Err(NoKey::Revoked) => SigningKeyState::Revoked,
                // Its org was deleted, or the key was created a moment ago.
                Err(NoKey::Unknown) => continue,
                Err(NoKey::Failed(failure)) => return Err(failure),
            };
            keys.push((row.org, std::cmp::Reverse(row.created_at), to_wire(id, &row, state)));
        }
        keys.sort_by_key(|(org, made, _)| (*org, *made));
        Ok(SigningKeyList { signing_keys: keys.into_iter().map(|(_, _, key)| key).collect() })
    }
}

fn to_wire(id: SigningKeyId, row: &SigningKeyRow, state: SigningKeyState) -> SigningKeyInfo {
    SigningKeyInfo { id, org: row.org, state, created_at: time_text(row.created_at) }
}
