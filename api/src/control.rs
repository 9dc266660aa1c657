//! Orgs, apps, policies, issuers, tokens, and the state of the server.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::approval::ApprovalState;
use crate::id::{AppId, IssuerId, OrgId, SigningKeyId, TokenUuid};
use crate::json::{Violation, refused};
use crate::name::{AppName, AppRef, HostId, MachineId, OrgName, OrgRef, SecretName};
use crate::policy::AppPolicy;
use crate::schema::{
    Action, Algorithm, Audience, ClaimName, ClaimText, DischargerLocation, HealthStatus, IssuerName, JwkSet,
    JwksUrl, JwtType, ReadinessStatus, SealingStatus, SecretPrefix, Subject, Timestamp, TokenText,
};
use crate::unique::unique_names;

/// `POST /v1/orgs`: a new org.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOrg {
    /// Its name.
    pub name: OrgName,
}

/// An org.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Org {
    /// The id of the org.
    pub id: OrgId,
    /// Its name.
    pub name: OrgName,
    /// When it was created.
    #[schema(value_type = Timestamp)]
    pub created_at: String,
}

/// `DELETE /v1/orgs/{org}`: the org that was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedOrg {
    /// The id of the org that was deleted.
    pub id: OrgId,
}

/// `GET /v1/orgs`: the orgs that the caller may list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrgList {
    /// The orgs.
    pub orgs: Vec<Org>,
}

/// `POST /v1/apps`: a new app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApp {
    /// The org that owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgRef>,
    /// The same, in the words of Fly.io's clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org_slug: Option<OrgRef>,
    /// Its name, unique in the whole store.
    pub name: AppName,
    /// Its settings. Absent ones have their defaults.
    #[serde(default)]
    pub settings: AppSettings,
    /// Empty: petsem has no networks. Fly.io's clients send it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 0)]
    pub network: String,
    /// Empty: petsem has no roles of apps. Fly.io's clients send it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 0)]
    pub app_role_id: String,
}

impl CreateApp {
    /// A new app in an org, with these settings.
    #[must_use]
    pub fn new(org: OrgRef, name: AppName, settings: AppSettings) -> Self {
        let (network, app_role_id) = (String::new(), String::new());
        Self { org: Some(org), org_slug: None, name, settings, network, app_role_id }
    }
}

/// Most names that the settings of an app allow.
pub const MAX_ALLOWED_NAMES: usize = 64;

/// What the owner of an app may set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    /// The life of a renewal in seconds: at most 30 days; 0 for none.
    #[serde(default = "AppSettings::default_renewal_life")]
    #[schema(maximum = 2592000, default = 86400)]
    pub renewal_life: u64,
    /// How many values of each secret are kept, including the current one.
    #[serde(default = "AppSettings::default_history")]
    #[schema(minimum = 1, maximum = 100, default = 20)]
    pub history: u32,
    /// The reserved names that secrets of this app may have, and that its environments carry. A name is reserved if
    /// programs obey it by themselves, such as `PATH` and `BASH_ENV`: its value can choose what code runs.
    #[serde(default, deserialize_with = "unique_names", skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(max_items = 64)]
    pub allowed_reserved_names: BTreeSet<SecretName>,
}

/// `PATCH /v1/apps/{app}/settings`: changes of settings. What is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAppSettings {
    /// The life of a renewal in seconds: at most 30 days; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 2592000)]
    pub renewal_life: Option<u64>,
    /// How many values of each secret are kept, including the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 100)]
    pub history: Option<u32>,
    /// Adds these to `allowed_reserved_names`; each must be reserved.
    #[serde(default, deserialize_with = "unique_names", skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(max_items = 64)]
    pub allow_reserved_names: BTreeSet<SecretName>,
    /// Takes these out of `allowed_reserved_names`. A name that is also in `allow_reserved_names` is refused.
    #[serde(default, deserialize_with = "unique_names", skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(max_items = 64)]
    pub withdraw_reserved_names: BTreeSet<SecretName>,
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
        Self {
            renewal_life: Self::default_renewal_life(),
            history: Self::default_history(),
            allowed_reserved_names: BTreeSet::new(),
        }
    }
}

/// An app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// The id of the app.
    pub id: AppId,
    /// Its name.
    pub name: AppName,
    /// The org that owns it.
    pub org: OrgId,
    /// The same with its name, in the form that Fly.io's clients read.
    pub organization: AppOrganization,
    /// For Fly.io's clients always `pending`, not deployed: petsem deploys nothing.
    pub status: AppStatus,
    /// Its current app version; 0 before the first secret.
    pub version: u64,
    /// Its settings.
    pub settings: AppSettings,
    /// When it was created.
    #[schema(value_type = Timestamp)]
    pub created_at: String,
}

/// The org of an app, in the form that Fly.io's clients read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppOrganization {
    /// Its name.
    pub name: OrgName,
    /// Its name.
    pub slug: OrgName,
}

/// The state of an app, in the words of Fly.io's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AppStatus {
    /// Not deployed.
    Pending,
}

/// `GET /v1/apps?org=…`: a page of the apps of an org.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppList {
    /// The apps of this page, by id.
    pub apps: Vec<App>,
    /// Pass it as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<AppId>,
}

/// `DELETE /v1/apps/{app}`: what was deleted, and what older copies still hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedApp {
    /// The app that was deleted.
    pub id: AppId,
    /// What older copies still hold, and how to end that.
    pub notice: String,
}

/// `GET /v1/apps/{app}/policy`: the policy of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDocument {
    /// How many policies the app has had; 0 if none yet.
    pub version: u64,
    /// The rules, as they were set.
    #[schema(value_type = AppPolicy)]
    pub policy: serde_json::Value,
}

/// `PUT /v1/apps/{app}/policy`: a policy that replaces the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPolicy {
    /// The rules. No object in it has a name twice.
    #[serde(deserialize_with = "crate::unique::unique_json")]
    #[schema(value_type = AppPolicy)]
    pub policy: serde_json::Value,
    /// The request is refused unless the policy is at this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected_version: Option<u64>,
}

/// A registration of an issuer of JWTs. Its keys come from exactly one of `keys`, `jwks_url` and `discovery`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutIssuer {
    /// The exact `iss`.
    #[schema(value_type = IssuerName)]
    pub issuer: String,
    /// The algorithms that it may use.
    #[schema(value_type = Vec<Algorithm>, min_items = 1)]
    pub algorithms: Vec<String>,
    /// Its public keys: a JWK set (RFC 7517). RSA keys have 2048 to 8192 bits. Keys that cannot verify any of the
    /// algorithms are left out; at least one must be left. Private and symmetric keys are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<JwkSet>)]
    pub keys: Option<serde_json::Value>,
    /// Where it publishes them: an `https` URL of a JWK set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<JwksUrl>)]
    pub jwks_url: Option<String>,
    /// Whether it publishes that URL at `issuer` + `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discovery: bool,
    /// The longest life of its JWTs, from `iat` to `exp`, in seconds. A life above 900 counts only for rules that name
    /// it. Default: 900.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 86400)]
    pub longest_life_seconds: Option<u32>,
    /// The same for JWTs that prove boots. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 3600)]
    pub longest_boot_life_seconds: Option<u32>,
    /// The audiences that it issues besides this installation's name. They count only for rules that name them, and never
    /// for a boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Audience>, max_items = 16)]
    pub audiences: Vec<String>,
    /// The claim that is the audience, where it is not `aud`. A present `aud` must match, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<ClaimName>)]
    pub audience_claim: Option<String>,
    /// The accepted `typ`s of its JWTs' headers. Default: `JWT`, `at+jwt` and `none`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<JwtType>, max_items = 4)]
    pub types: Vec<String>,
    /// The claims from which a request for a discharge takes the app and the Machine that it does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub boot_claims: Option<BootClaims>,
}

/// Two different claims, none of them `iss`, `aud`, `exp`, `iat` or `nbf`. They only name the boot; the app's policy
/// decides whether the JWT proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BootClaims {
    /// The claim with the id or name of the app.
    #[schema(value_type = ClaimName)]
    pub app: String,
    /// The claim with the Machine.
    #[schema(value_type = ClaimName)]
    pub machine: String,
}

/// A registered issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Issuer {
    /// The id of the issuer.
    pub id: IssuerId,
    /// The exact `iss`.
    #[schema(value_type = IssuerName)]
    pub issuer: String,
    /// The algorithms that it may use.
    #[schema(value_type = Vec<Algorithm>)]
    pub algorithms: Vec<String>,
    /// Whether it is the issuer of `petsem dev`.
    pub development: bool,
    /// Where its keys come from.
    #[serde(default)]
    pub keys_from: KeysFrom,
    /// The registered URL of its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<JwksUrl>)]
    pub jwks_url: Option<String>,
    /// The claims that name the app and the Machine of a boot, if they were registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub boot_claims: Option<BootClaims>,
    /// The longest life of its JWTs, from `iat` to `exp`, in seconds. A life above 900 counts only for rules that name
    /// it. Default: 900.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 86400)]
    pub longest_life_seconds: Option<u32>,
    /// The same for JWTs that prove boots. Default: 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 3600)]
    pub longest_boot_life_seconds: Option<u32>,
    /// The audiences that it issues besides this installation's name. They count only for rules that name them, and never
    /// for a boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Audience>, max_items = 16)]
    pub audiences: Vec<String>,
    /// The claim that is the audience, where it is not `aud`. A present `aud` must match, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<ClaimName>)]
    pub audience_claim: Option<String>,
    /// The accepted `typ`s of its JWTs' headers. Default: `JWT`, `at+jwt` and `none`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<JwtType>, max_items = 4)]
    pub types: Vec<String>,
    /// How many of its keys can verify one of the algorithms now.
    #[serde(default)]
    pub usable_keys: u64,
    /// The keys of its set that are not used, in the order of the set; at most 64 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 64)]
    pub left_out: Vec<LeftOutKey>,
    /// How many keys of its set are not used.
    #[serde(default)]
    pub left_out_count: u64,
    /// The keys that this node has fetched; absent if the keys were registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fetched: Option<FetchedKeys>,
}

/// A key of an issuer's set that is not used. The other keys are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftOutKey {
    /// Its place in the set.
    #[schema(minimum = 1)]
    pub position: u64,
    /// Its `kid`, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kid: Option<String>,
    /// Why it is not used, in words.
    pub problem: String,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeysFrom {
    /// The registration.
    #[default]
    Registration,
    /// A registered URL.
    JwksUrl,
    /// The discovery document of the issuer.
    Discovery,
}

/// The keys of an issuer that a node has fetched. They are fetched again every five minutes, and valid for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FetchedKeys {
    /// How many are usable.
    pub keys: u64,
    /// Seconds since they were fetched; absent if they never were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub age_seconds: Option<u64>,
    /// Why the latest fetch failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<String>,
}

/// `GET /v1/issuers`: the registered issuers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuerList {
    /// All issuers.
    pub issuers: Vec<Issuer>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Runs the installation (platform key).
    Operator,
    /// Boots Machines on one host, with a discharge for each (platform key).
    Host,
    /// Works inside one org (the org's key).
    Org,
    /// Reads the values of one app once a second person approved (the org's key). Only
    /// `POST /v1/apps/{app}/break-glass` mints it.
    BreakGlass,
}

/// `POST /v1/tokens`: what the new token is for. An absent field does not narrow it. It never allows more than the
/// token of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// What the token is for.
    pub kind: TokenKind,
    /// The org that it works in (kind `org`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgRef>,
    /// The host that it is for (kind `host`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub host: Option<HostId>,
    /// The location of the registered discharger that its discharges come from (kind `host`). Default: this
    /// installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<DischargerLocation>)]
    pub discharger: Option<String>,
    /// Only these apps.
    #[serde(default, deserialize_with = "not_empty", skip_serializing_if = "Vec::is_empty")]
    #[schema(min_items = 1)]
    pub apps: Vec<AppRef>,
    /// Only these secrets.
    #[serde(default, deserialize_with = "not_empty", skip_serializing_if = "Vec::is_empty")]
    #[schema(min_items = 1)]
    pub secrets: Vec<SecretName>,
    /// Only secrets with these prefixes.
    #[serde(default, deserialize_with = "not_empty", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<SecretPrefix>, min_items = 1)]
    pub secret_prefixes: Vec<String>,
    /// Only these actions.
    #[serde(default, deserialize_with = "not_empty", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Action>, min_items = 1)]
    pub actions: Vec<String>,
    /// Only these Machines.
    #[serde(default, deserialize_with = "not_empty", skip_serializing_if = "Vec::is_empty")]
    #[schema(min_items = 1)]
    pub machines: Vec<MachineId>,
    /// Its life in seconds. Default: one day. At most 30 days for hosts and 366 days for others, and never longer than
    /// the token of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 31622400)]
    pub expires_in: Option<u64>,
    /// The person or service that will hold it. Default: that of the token of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Subject>)]
    pub subject: Option<String>,
}

/// A list that narrows. An empty one would look like nothing and mean everything.
fn not_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let list = Vec::deserialize(deserializer)?;
    if list.is_empty() {
        return Err(refused(Violation::EmptyList));
    }
    Ok(list)
}

/// A token, shown once.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct MintedToken {
    /// The id of the token, for listing and revoking.
    pub id: TokenUuid,
    /// The token as text, `fm2_…`. The server does not keep it.
    #[schema(value_type = TokenText)]
    pub token: String,
    /// When it expires.
    #[schema(value_type = Timestamp)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenInfo {
    /// The id of the token.
    pub id: TokenUuid,
    /// What the token is for.
    pub kind: TokenKind,
    /// The org that its key speaks for; absent for platform keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgId>,
    /// The person or service that holds it.
    pub subject: String,
    /// The token that it was minted from, and the ancestors of that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<TokenUuid>,
    /// What narrows it, in words.
    pub caveats: Vec<String>,
    /// When it was minted.
    #[schema(value_type = Timestamp)]
    pub created_at: String,
    /// When it expires.
    #[schema(value_type = Timestamp)]
    pub expires_at: String,
    /// Whether it or an ancestor was revoked; of a break-glass token also a token of its approver.
    pub revoked: bool,
    /// The state of the request of a break-glass token, which opens nothing unless it is approved. Absent if the
    /// request was closed and is no longer stored, and for other tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approval: Option<ApprovalState>,
}

/// `GET /v1/tokens`: tokens that the caller may see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// The tokens: at most 10,000, or 4 MiB.
    pub tokens: Vec<TokenInfo>,
    /// Whether there are more.
    #[serde(default)]
    #[schema(required = true)]
    pub truncated: bool,
}

/// `POST /v1/revocations`: what is not accepted from now on. What petsem does not know, such as an issuer that is not
/// registered, is 404 `not_found` unless `unknown` is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RevokeRequest {
    /// A token, discharge or renewal, and all that descend from it.
    Token {
        /// The id of the token, discharge or renewal. Discharges and renewals are not stored, so they are unknown.
        id: TokenUuid,
        /// Revoke it although petsem does not know it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
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
        /// Revoke it although petsem does not know it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
    },
    /// A signing key: all its tokens, and all that descend from them. Only for operators. 409 `conflict` for the key
    /// that signs new tokens, and for one that the token of the caller descends from.
    SigningKey {
        /// The key.
        id: SigningKeyId,
    },
    /// The JWTs of a subject that were issued before a time, and the renewals and tokens from them. Only for operators.
    JwtSubject {
        /// The exact `iss`.
        #[schema(value_type = ClaimText)]
        issuer: String,
        /// The exact `sub`; empty for JWTs without one.
        #[schema(max_length = 4096)]
        sub: String,
        /// Unix seconds, at most 366 days from now: an `iat` before it is refused. Default: all JWTs issued so far, by
        /// an issuer whose clock is at most 30 s ahead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        before: Option<i64>,
        /// Revoke it although petsem does not know it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
    },
    /// The boots that an outside discharger proved for a subject before a time, and their renewals. Only for operators.
    DischargerSubject {
        /// The location of the discharger.
        #[schema(value_type = ClaimText)]
        discharger: String,
        /// The exact subject.
        #[schema(value_type = ClaimText)]
        sub: String,
        /// Unix seconds, as for `jwt_subject`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        before: Option<i64>,
        /// Revoke it although petsem does not know it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
    },
    /// All JWTs of an issuer that were issued before a time, and the renewals and tokens from them. Only for operators.
    JwtIssuer {
        /// The exact `iss`.
        #[schema(value_type = ClaimText)]
        issuer: String,
        /// Unix seconds, as for `jwt_subject`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        before: Option<i64>,
        /// Revoke it although petsem does not know it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
    },
    /// One JWT, and the renewals and tokens from it. Only for operators.
    Jwt {
        /// The exact `iss`.
        #[schema(value_type = ClaimText)]
        issuer: String,
        /// The exact `jti`.
        #[schema(value_type = ClaimText)]
        jti: String,
        /// Revoke it although petsem does not know it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unknown: bool,
    },
}

impl RevokeRequest {
    /// Revokes it although petsem may not know it.
    pub fn accept_unknown(&mut self) {
        match self {
            Self::Token { unknown, .. }
            | Self::Host { unknown, .. }
            | Self::JwtSubject { unknown, .. }
            | Self::DischargerSubject { unknown, .. }
            | Self::JwtIssuer { unknown, .. }
            | Self::Jwt { unknown, .. } => *unknown = true,
            Self::Machine { .. } | Self::SigningKey { .. } => {}
        }
    }
}

/// The control change with the revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revoked {
    /// Its number in the control feed.
    pub number: u64,
}

/// `GET /healthz`: the process responds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    #[schema(value_type = HealthStatus)]
    pub status: String,
    /// The version of petsem.
    pub version: String,
}

/// `GET /readyz`: 200 if boots are possible, otherwise 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether boots are possible.
    pub ready: bool,
    /// `ready`, `not_ready`, or `sealed`: no key is in memory, and an operator may be needed.
    #[schema(value_type = ReadinessStatus)]
    pub status: String,
    /// What prevents boots, each with what to do.
    pub problems: Vec<String>,
    /// What will prevent boots, or affects some of them now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// `POST /v1/operator/seal`: the server has started to wipe its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sealing {
    /// `sealing`. `/readyz` says `sealed` when it is done.
    #[schema(value_type = SealingStatus)]
    pub status: String,
}

/// `POST /v1/signing-keys`: a new key for new tokens. Tokens of older keys stay valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateSigningKey {
    /// The org whose tokens it signs; absent for the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgRef>,
}

/// What is known of a signing key; never the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningKeyInfo {
    /// The id of the key: random, and the KID of the tokens that it signed.
    pub id: SigningKeyId,
    /// The org that it speaks for; absent for the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub org: Option<OrgId>,
    /// Its state.
    pub state: SigningKeyState,
    /// When it was created.
    #[schema(value_type = Timestamp)]
    pub created_at: String,
}

/// The state of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SigningKeyState {
    /// It signs new tokens.
    Current,
    /// Its tokens are valid; another key signs new ones.
    Verifying,
    /// Nothing that it signed is valid.
    Revoked,
}

/// `GET /v1/signing-keys`: the signing keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SigningKeyList {
    /// Those of the platform first, then those of orgs, each from new to old.
    pub signing_keys: Vec<SigningKeyInfo>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_allowed_names_have_the_form_that_they_had_before_there_were_any() {
        let stored = r#"{"renewal_life":86400,"history":20}"#;
        let read: AppSettings = serde_json::from_str(stored).unwrap();
        assert_eq!(read, AppSettings::default());
        assert_eq!(serde_json::to_string(&read).unwrap(), stored);
    }
}
