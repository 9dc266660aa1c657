//! Lists tokens: what each allows and whether it is revoked, never the token itself.

use petsem_api::{OrgRef, TokenInfo, TokenKind, TokenList};
use petsem_policy::Action;

use crate::authz::decide::Principal;
use crate::clock::{Timestamp, rfc3339_seconds, time_text};
use crate::engine::Engine;
use crate::error::Failure;
use crate::records::{Row, TokenRow};
use crate::request::AuditRecord;
use crate::tokens::mint::host_of;

/// Tokens in one response.
const MOST: usize = 10_000;
/// Bytes after which a list of tokens ends, so that the long tokens of one org do not exhaust memory.
const LIST_BYTES: usize = 4 * 1024 * 1024;
/// Rows read at once.
const PAGE: u32 = 250;

impl Engine {
    /// The tokens of an org, or all tokens for operators.
    ///
    /// # Errors
    /// Refused.
    pub async fn list_tokens(
        &self,
        audit: &mut AuditRecord,
        principal: &Principal,
        org: Option<&OrgRef>,
        now: Timestamp,
    ) -> Result<TokenList, Failure> {
        let org = match org {
            None => {
                principal.may_operate(audit, now)?;
                None
            }
            Some(org) => Some(self.org_for(audit, principal, org, Action::List, now).await?.id),
        };
        let control = self.control();
        let mut approvals = None;
        let mut tokens = Vec::new();
        let (mut bytes, mut truncated) = (0, false);
        let mut scan = self.scan::<TokenRow>(PAGE);
        // Reads to the end, so that the many tokens of one org do not hide those of another.
        'all: loop {
            let page = scan.next_page().await?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                let (id, Row { content: row, .. }) = entry?;
                if org.is_some() && row.org != org {
                    continue;
                }
                if bytes > LIST_BYTES || tokens.len() >= MOST {
                    truncated = true;
                    break 'all;
                }
                bytes += 512 + row.ancestors.len() * 40 + row.caveats.iter().map(String::len).sum::<usize>();
                let mut revoked = row.is_revoked(&control, &id).await?;
                if let Some(host) = host_of(&row) {
                    revoked |= control.is_host_revoked(&host).await?;
                }
                let mut approval = None;
                if row.kind == TokenKind::BreakGlass {
                    let approvals = match &mut approvals {
                        Some(approvals) => approvals,
                        none => none.insert(self.break_glass_approvals(now).await?),
                    };
                    if let Some((state, is_void)) = approvals.get(&id) {
                        revoked |= is_void;
                        approval = Some(*state);
                    }
                }
                tokens.push(TokenInfo {
                    id,
                    kind: row.kind,
                    org: row.org,
                    subject: row.subject,
                    ancestors: row.ancestors,
                    caveats: row.caveats,
                    created_at: time_text(row.created_at),
                    expires_at: rfc3339_seconds(row.expires_at),
                    revoked,
                    approval,
                });
            }
        }
        Ok(TokenList { tokens, truncated })
    }
}
