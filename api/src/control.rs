//! Orgs, apps, policies, issuers, tokens, and the server's own state.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{AppId, IssuerId, OrgId, SigningKeyId, TokenUuid};
use crate::name::{AppName, AppRef, HostId, MachineId, OrgName, OrgRef, SecretName};

/// `POST /v1/orgs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateOrg {
    /// Its label.
    pub name: OrgName,
}

/// An org.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Its label.
    pub name: OrgName,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// `GET /v1/orgs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrgList {
    /// The orgs that the caller may list.
    pub orgs: Vec<Org>,
}

/// `POST /v1/apps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateApp {
    /// The org that owns it.
    pub org: OrgRef,
    /// Its label, unique in the whole store.
    pub name: AppName,
    /// Settings; defaults where absent.
    #[serde(default)]
    pub settings: AppSettings,
}

/// What an app's owner may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    /// How long a renewal is good, in seconds; 0 = none. Default 24 h, at most 30 days.
    #[serde(default = "AppSettings::default_renewal_life")]
    pub renewal_life: u64,
    /// How many values of each secret are kept, the current one included. Default 20, at most 100.
    #[serde(default = "AppSettings::default_history")]
    pub history: u32,
}

impl AppSettings {
    fn default_renewal_life() -> u64 {
        24 * 60 * 60
    }

    fn default_history() -> u32 {
        20
    }
}

impl Default for AppSettings {
    fn default() -> Self {
        Self { renewal_life: Self::default_renewal_life(), history: Self::default_history() }
    }
}

/// An app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Its label.
    pub name: AppName,
    /// The org that owns it.
    pub org: OrgId,
    /// Its current app version; 0 before the first secret.
    pub version: u64,
    /// Its settings.
    pub settings: AppSettings,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// `GET /v1/apps?org=…`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppList {
    /// The org's apps, by id.
    pub apps: Vec<App>,
    /// Pass it as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<AppId>,
}

/// `DELETE /v1/apps/{app}` says what is gone and what is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedApp {
    /// The app that was deleted.
    pub id: AppId,
    /// What older copies still hold, and how to end that.
    pub notice: String,
}

/// `GET /v1/apps/{app}/policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDocument {
    /// Counts the policies that the app has had; 0 = none yet.
    pub version: u64,
    /// The rules, as they were set.
    pub policy: serde_json::Value,
}

/// `PUT /v1/apps/{app}/policy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutPolicy {
    /// The rules; their form is told by the server's documentation of policies. No name may stand twice.
    #[serde(deserialize_with = "crate::unique::unique_json")]
    pub policy: serde_json::Value,
    /// Refuse unless the policy stands at this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

/// A registration of an issuer of JWTs, as an operator gives it. Its keys come from exactly one of `keys`,
/// `jwks_url` and `discovery`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutIssuer {
    /// The exact `iss`.
    pub issuer: String,
    /// The algorithms that it may use, such as `ES256`.
    pub algorithms: Vec<String>,
    /// Its public keys: a JWK set (RFC 7517).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<serde_json::Value>,
    /// Where it publishes them: an `https` URL of a JWK set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Whether it says so itself, at `issuer` + `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discovery: bool,
}

/// A registered issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// Its id.
    pub id: IssuerId,
    /// The exact `iss`.
    pub issuer: String,
    /// The algorithms that it may use.
    pub algorithms: Vec<String>,
    /// Whether it is the issuer of `petsem dev`.
    pub development: bool,
    /// Where its keys come from.
    #[serde(default)]
    pub keys_from: KeysFrom,
    /// The registered URL of its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// What this node holds of keys that it fetches; absent for registered ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<FetchedKeys>,
}

/// Where an issuer's keys come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeysFrom {
    /// They were registered.
    #[default]
    Registration,
    /// From a registered URL.
    JwksUrl,
    /// From where the issuer says.
    Discovery,
}

/// What a node holds of an issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedKeys {
    /// How many can be used.
    pub keys: u64,
    /// Seconds since they were fetched; absent if they never were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// Why the latest fetch failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// `GET /v1/issuers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerList {
    /// All issuers.
    pub issuers: Vec<Issuer>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Runs the installation (platform key).
    Operator,
    /// Boots Machines on one host, with a discharge for each (platform key).
    Host,
    /// Works inside one org (the org's key).
    Org,
    /// Reads one app's values once a second person approved (the org's key). `POST /v1/apps/{app}/break-glass`
    /// makes it, `POST /v1/tokens` does not.
    BreakGlass,
}

/// `POST /v1/tokens`. What is absent does not narrow; nothing that the caller's token lacks is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What it is for.
    pub kind: TokenKind,
    /// The org that it works in (kind `org`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgRef>,
    /// The host that it is for (kind `host`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The location of the registered discharger that its discharges come from (kind `host`). Default: this
    /// installation itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discharger: Option<String>,
    /// Only these apps.
    #[serde(default, deserialize_with = "naming", skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppRef>,
    /// Only these secrets.
    #[serde(default, deserialize_with = "naming", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretName>,
    /// Only secrets whose names start so.
    #[serde(default, deserialize_with = "naming", skip_serializing_if = "Vec::is_empty")]
    pub secret_prefixes: Vec<String>,
    /// Only these actions, such as `write`, `list`, `delete`, `boot`, `manage_policy`, `mint`.
    #[serde(default, deserialize_with = "naming", skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<String>,
    /// Only these Machines.
    #[serde(default, deserialize_with = "naming", skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineId>,
    /// How long it lives, in seconds. Default: one day; at most 30 days for hosts, 366 days otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// The person or service that will hold it; inherited when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A list that narrows. An empty one would read as nothing, and be everything.
fn naming<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(serde::de::Error::custom(
            "an empty list would narrow nothing: leave it out, or name something",
        ));
    }
    Ok(list)
}

/// A token, answered once.
#[derive(Serialize, Deserialize)]
pub struct MintedToken {
    /// Its id: the handle for listing and revoking.
    pub id: TokenUuid,
    /// The token's text, `fm2_…`. It is not kept.
    pub token: String,
    /// Its end, RFC 3339.
    pub expires_at: String,
}

impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintedToken")
            .field("id", &self.id)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What is known of a token; never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its id.
    pub id: TokenUuid,
    /// What it is for.
    pub kind: TokenKind,
    /// The org that its key speaks for; none for platform keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// Who holds it.
    pub subject: String,
    /// The token that it was minted from, and that one's parents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<TokenUuid>,
    /// What narrows it, in words.
    pub caveats: Vec<String>,
    /// When it was minted, RFC 3339.
    pub created_at: String,
    /// Its end, RFC 3339.
    pub expires_at: String,
    /// Whether it or an ancestor was revoked.
    pub revoked: bool,
}

/// `GET /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenList {
    /// Tokens that the caller may see, at most 10,000, or 4 MiB.
    pub tokens: Vec<TokenInfo>,
    /// Whether there are more.
    #[serde(default)]
    pub truncated: bool,
}

/// `POST /v1/revocations`: what shall not be accepted from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RevokeRequest {
    /// A token (or a discharge, or a renewal) and all that descend from it.
    Token {
        /// Its id.
        id: TokenUuid,
    },
    /// A Machine of an app: it boots nowhere.
    Machine {
        /// The app.
        app: AppRef,
        /// The Machine.
        machine: MachineId,
    },
    /// A host: nothing boots there.
    Host {
        /// The host.
        host: HostId,
    },
    /// A signing key: all tokens of it, and all that descend from them. The one that signs new tokens is refused.
    SigningKey {
        /// The key.
        id: SigningKeyId,
    },
    /// The JWTs of a subject that were issued before a time, and the renewals and tokens that came of them.
    JwtSubject {
        /// The exact `iss`.
        issuer: String,
        /// The exact `sub`; empty for JWTs that name none.
        sub: String,
        /// Unix seconds: an `iat` before it is refused. Default: all that were issued so far, by an issuer whose
        /// clock runs at most 30 s ahead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<i64>,
    },
    /// All JWTs of an issuer that were issued before a time, and the renewals and tokens that came of them.
    JwtIssuer {
        /// The exact `iss`.
        issuer: String,
        /// As with a subject's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<i64>,
    },
    /// One JWT, and the renewals and tokens that came of it.
    Jwt {
        /// The exact `iss`.
        issuer: String,
        /// The exact `jti`.
        jti: String,
    },
}

/// The control change that holds the revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Its number in the control feed.
    pub number: u64,
}

/// `GET /healthz`: the process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// petsem's version.
    pub version: String,
}

/// `GET /readyz`: 200 when boots can be answered, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether boots can be answered.
    pub ready: bool,
    /// `ready`, `not_ready`, or `sealed`: no key is in memory, and people may be needed.
    pub status: String,
    /// What stands in the way, each with what to do.
    pub problems: Vec<String>,
    /// What will, or stands in the way of some; boots go on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `POST /v1/operator/seal`: the server has begun to forget its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealing {
    /// `sealing`; `/readyz` says `sealed` when it is done.
    pub status: String,
}

/// `POST /v1/signing-keys`: a new key for new tokens. Those of older keys stay good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateSigningKey {
    /// Whose tokens; none = the platform's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgRef>,
}

/// What is known of a signing key; never the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyInfo {
    /// Its id: random, and the KID of the tokens that it signed.
    pub id: SigningKeyId,
    /// The org that it speaks for; none = the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgId>,
    /// What it is good for.
    pub state: SigningKeyState,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// What a signing key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SigningKeyState {
    /// It signs new tokens.
    Current,
    /// Its tokens are good, new ones are signed with another.
    Verifying,
    /// Nothing that it signed is good any more.
    Revoked,
}

/// `GET /v1/signing-keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeyList {
    /// The platform's first, then the orgs', each from new to old.
    pub signing_keys: Vec<SigningKeyInfo>,
}
