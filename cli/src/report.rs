//! The results of some commands as data: `--json` prints them, and [`crate::messages`] puts them into words.

use serde::Serialize;

/// A token as `petsem token inspect` describes it.
#[derive(Debug, Serialize)]
pub(crate) struct TokenDescription {
    /// Its id: what `petsem token revoke` takes.
    pub(crate) id: String,
    /// The installation that it names; no signature covers it.
    pub(crate) location: String,
    /// A proof, such as a discharge, takes no further caveats.
    pub(crate) proof: bool,
    /// Its caveats, in order.
    pub(crate) caveats: Vec<String>,
    /// The dischargers that it needs a discharge from.
    pub(crate) third_parties: Vec<String>,
    /// Its earliest expiry, RFC 3339; `None` if it does not expire.
    pub(crate) expires_at: Option<String>,
    /// Whether it has expired, by this machine's clock.
    pub(crate) expired: bool,
}

/// The answer of an app policy to `petsem policy test`.
#[derive(Serialize)]
pub(crate) struct PolicyTest {
    /// The rule that allows the request; `None` if no rule does.
    pub(crate) allowed_by: Option<String>,
    /// The rule that needs the fewest changes to allow it; `None` if a rule allows it or there is no rule.
    pub(crate) nearest: Option<String>,
    /// The answer of each rule.
    pub(crate) rules: Vec<RuleTest>,
    /// What was tested of the JWT beside the rules: its expiry and audience.
    pub(crate) jwt: Vec<String>,
}

/// The answer of one rule.
#[derive(Serialize)]
pub(crate) struct RuleTest {
    /// Its name.
    pub(crate) rule: String,
    /// The changes that it needs, all of them; empty if it allows the request.
    pub(crate) changes: Vec<String>,
}

/// The result of `petsem operator audit verify`.
#[derive(Serialize)]
pub(crate) struct AuditReport {
    pub(crate) node: Option<String>,
    pub(crate) first_line: u64,
    pub(crate) last_line: u64,
    pub(crate) head: String,
    pub(crate) checkpoints: u64,
    pub(crate) without_mac: u64,
    pub(crate) recovered: Vec<u64>,
    pub(crate) macs_verified: bool,
    pub(crate) signatures_verified: bool,
}
