//! The form of an app's policy, for the OpenAPI document. The crate that evaluates policies also reads them;
//! here a policy is any JSON.
#![expect(dead_code, reason = "the fields are those of the schema")]

use std::collections::BTreeMap;

use serde::Deserialize;
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::{PartialSchema, ToSchema};

use crate::schema::{Audience, ClaimName, DischargerLocation, IssuerName, MatchPattern, RuleName};

/// Which JWTs may boot the Machines of an app or read its secrets. Without a rule there is no access. At most
/// 64 KiB as JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppPolicy {
    /// The version of this form.
    #[schema(minimum = 1, maximum = 1)]
    format: u32,
    /// One rule that allows is enough. Their names differ.
    #[schema(max_items = 100)]
    rules: Vec<Rule>,
}

/// A rule allows boots, reads, or both; of JWTs, or of an outside discharger.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Rule {
    /// A rule that allows boots.
    Boot(BootRule),
    /// A rule that allows reads.
    Read(ReadRule),
    /// A rule that allows boots and reads.
    BootAndRead(BootAndReadRule),
    /// A rule that lets an outside discharger vouch for boots.
    Discharger(DischargerRule),
}

/// A rule that lets an outside discharger vouch for boots by naming only a subject.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DischargerRule {
    /// The name of the rule in audit lines and refusals.
    #[schema(value_type = RuleName)]
    name: String,
    /// The location of a registered discharger.
    #[schema(value_type = DischargerLocation)]
    discharger: String,
    /// The subjects that it may vouch for. Default: all.
    #[serde(default)]
    #[schema(nullable = false)]
    claims: Option<SubjectClaim>,
    /// What is allowed.
    #[schema(min_items = 1, max_items = 1)]
    actions: Vec<BootAction>,
}

/// The subject that a discharger names.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectClaim {
    /// A pattern that the subject matches.
    #[schema(value_type = MatchPattern)]
    sub: String,
}

/// A rule that allows boots.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BootRule {
    /// The name of the rule in audit lines and refusals.
    #[schema(value_type = RuleName)]
    name: String,
    /// The exact `iss` of a registered issuer.
    #[schema(value_type = IssuerName)]
    issuer: String,
    /// Claims by name, and what they must be.
    #[serde(default)]
    claims: BTreeMap<String, ClaimConditions>,
    /// Values within claims by JSON pointer (RFC 6901), which steps through objects only.
    #[serde(default)]
    pointers: BTreeMap<String, ClaimConditions>,
    /// What is allowed.
    #[schema(min_items = 1, max_items = 1)]
    actions: Vec<BootAction>,
    /// The claims that name the boot that the JWT was made for.
    bind: Bind,
    /// Longest life of the JWT, from `iat` to `exp`. Default: 300. More counts only if the issuer is registered with it.
    #[serde(default)]
    #[schema(nullable = false, minimum = 1, maximum = 3600)]
    max_life_seconds: Option<u32>,
}

/// A rule that allows reads.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadRule {
    /// The name of the rule in audit lines and refusals.
    #[schema(value_type = RuleName)]
    name: String,
    /// The exact `iss` of a registered issuer.
    #[schema(value_type = IssuerName)]
    issuer: String,
    /// Claims by name, and what they must be. One condition here or in `pointers` is neither `*` nor a boolean.
    #[serde(default)]
    claims: BTreeMap<String, ClaimConditions>,
    /// Values within claims by JSON pointer (RFC 6901), which steps through objects only.
    #[serde(default)]
    pointers: BTreeMap<String, ClaimConditions>,
    /// What is allowed.
    #[schema(min_items = 1, max_items = 1)]
    actions: Vec<ReadAction>,
    /// The secrets that it reads.
    secrets: SecretSelection,
    /// Audiences besides this installation's name that are accepted. The issuer must be registered with them.
    #[serde(default)]
    #[schema(value_type = Vec<Audience>, max_items = 16)]
    audiences: Vec<String>,
    /// Longest life of the JWT, from `iat` to `exp`. Default: 900. More counts only if the issuer is registered with it.
    #[serde(default)]
    #[schema(nullable = false, minimum = 1, maximum = 86400)]
    max_life_seconds: Option<u32>,
}

/// A rule that allows boots and reads.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BootAndReadRule {
    /// The name of the rule in audit lines and refusals.
    #[schema(value_type = RuleName)]
    name: String,
    /// The exact `iss` of a registered issuer.
    #[schema(value_type = IssuerName)]
    issuer: String,
    /// Claims by name, and what they must be. One condition here or in `pointers` is neither `*` nor a boolean.
    #[serde(default)]
    claims: BTreeMap<String, ClaimConditions>,
    /// Values within claims by JSON pointer (RFC 6901), which steps through objects only.
    #[serde(default)]
    pointers: BTreeMap<String, ClaimConditions>,
    /// What is allowed: both actions, each once.
    #[schema(schema_with = both_actions)]
    actions: Vec<RuleAction>,
    /// The claims that name the boot that the JWT was made for.
    bind: Bind,
    /// The secrets that it reads.
    secrets: SecretSelection,
    /// Longest life of the JWT, from `iat` to `exp`. Default: 300 to boot, 900 to read. More counts only if the issuer is
    /// registered with it.
    #[serde(default)]
    #[schema(nullable = false, minimum = 1, maximum = 3600)]
    max_life_seconds: Option<u32>,
}

/// What a claim must be. A claim that is missing or of another type does not match.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ClaimConditions {
    /// One condition.
    One(ClaimCondition),
    /// Several conditions, at most 16, all of which must hold.
    All(Vec<ClaimCondition>),
}

/// A condition of a claim.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ClaimCondition {
    /// The claim is this.
    Is(ClaimValue),
    /// The claim is a list with this item.
    Contains(ContainsCondition),
}

/// The claim is a list, and this is one of its items.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainsCondition {
    /// The item.
    contains: ClaimValue,
}

/// Text that matches a pattern, exactly an integer, or a boolean.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ClaimValue {
    /// Text that matches.
    #[schema(value_type = MatchPattern)]
    Text(String),
    /// This integer.
    Integer(i64),
    /// This boolean.
    Boolean(bool),
}

/// The action of a rule that allows boots.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BootAction {
    /// Boot a Machine.
    Boot,
}

/// The action of a rule that allows reads.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReadAction {
    /// Read values.
    ReadValue,
}

fn both_actions() -> ArrayBuilder {
    ArrayBuilder::new()
        .items(RuleAction::schema())
        .min_items(Some(2))
        .max_items(Some(2))
        .unique_items(true)
        .description(Some("What is allowed: both actions, each once."))
}

/// What a rule can allow.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuleAction {
    /// Boot a Machine.
    Boot,
    /// Read values.
    ReadValue,
}

/// Secrets by name and by prefix. At least one of either is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretSelection {
    /// Exact names.
    #[serde(default)]
    names: Vec<String>,
    /// Prefixes of names. The empty prefix selects every name.
    #[serde(default)]
    prefixes: Vec<String>,
}

/// Three different claims, none of them `iss`, `aud`, `exp`, `iat` or `nbf`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bind {
    /// The claim with the id or name of the app.
    #[schema(value_type = ClaimName)]
    app: String,
    /// The claim with the Machine.
    #[schema(value_type = ClaimName)]
    machine: String,
    /// The claim with the host.
    #[schema(value_type = ClaimName)]
    host: String,
}
