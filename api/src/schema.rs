//! Schemas of texts that several types share. A name or id has its schema beside its validation.

use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::exchange;

/// The pattern of standard base64 with padding. No bits that a decoder would drop, so that bytes have one spelling.
pub(crate) const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";
/// The format of 64-bit integers.
pub(crate) const INT64: SchemaFormat = SchemaFormat::KnownFormat(KnownFormat::Int64);

/// A text, described by a doc comment.
pub(crate) fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).description(Some(prose(description)))
}

/// A doc comment as Markdown: without the indentation and the links of rustdoc.
pub(crate) fn prose(comment: &str) -> String {
    let lines: Vec<&str> = comment.lines().map(str::trim).collect();
    lines.join("\n").trim().to_owned()
}

/// A JWK set, of which only the outline is described.
pub(crate) enum JwkSet {}

impl PartialSchema for JwkSet {
    fn schema() -> RefOr<Schema> {
        let key = ObjectBuilder::new()
            .property("kty", ObjectBuilder::new().schema_type(SchemaType::new(Type::String)))
            .required("kty");
        ObjectBuilder::new()
            .description(Some(
                "A JWK set (RFC 7517 §5). At least one of its keys is a public key for signatures.",
            ))
            .property("keys", ArrayBuilder::new().items(key).min_items(Some(1)))
            .required("keys")
            .into()
    }
}

impl ToSchema for JwkSet {}

/// Texts that are fields of several types: a name for `value_type`, and a component of the document.
macro_rules! texts {
    ($($(#[doc = $doc:literal])* $name:ident = |$text:ident| $schema:expr;)*) => {$(
        $(#[doc = $doc])*
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let $text = text(concat!($($doc, "\n"),*));
                $schema.into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

texts! {
    /// Bytes in standard base64 (RFC 4648 §4) with padding.
    Base64 = |text| text.content_encoding("base64").pattern(Some(BASE64));
    /// Bytes in standard base64 (RFC 4648 §4) with padding. `null` is no bytes, as Go writes an empty slice.
    NullableBase64 = |text| text
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .content_encoding("base64")
        .pattern(Some(BASE64));
    /// 32 bytes in standard base64.
    Base64Key = |text| text
        .content_encoding("base64")
        .pattern(Some("^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"));
    /// A time, RFC 3339.
    Timestamp = |text| text.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    /// A token as text, `fm2_…`.
    TokenText = |text| text.examples(["fm2_…"]);
    /// The exact `iss` of an issuer's JWTs.
    IssuerName = |text| text
        .min_length(Some(1))
        .max_length(Some(512))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]+$"))
        .examples(["https://issuer.example"]);
    /// An algorithm for signatures of JWTs (RFC 7518, RFC 8037, RFC 9864). None has a shared secret.
    Algorithm = |text| text.enum_values(Some([
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
    ]));
    /// An audience of JWTs.
    Audience = |text| text.min_length(Some(1)).max_length(Some(512)).examples(["api://default"]);
    /// The `typ` of a JWT's header; `none` means that it has no `typ`.
    JwtType = |text| text.enum_values(Some(["JWT", "JOSE", "at+jwt", "none"]));
    /// What a token may be used for.
    Action = |text| text.enum_values(Some([
        "read_value", "write", "list", "delete", "use_key", "boot", "enroll", "manage_policy", "mint", "operate",
    ]));
    /// Text on one line that is not blank.
    Reason = |text| text
        .min_length(Some(1))
        .max_length(Some(512))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u001f\u007f-\u009f]*$"))
        .examples(["incident 4711: the database is down"]);
    /// The person or service that holds a token: text on one line that is not blank.
    Subject = |text| text
        .min_length(Some(1))
        .max_length(Some(256))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*[^\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u001f\u007f-\u009f]*$"))
        .examples(["alice@example.com"]);
    /// The location of a discharger, as its tickets and discharges carry it: a URL of at most 200 visible
    /// ASCII characters without comma and `@`. A slash at the end is ignored.
    DischargerLocation = |text| text
        .max_length(Some(200))
        .pattern(Some("^https?://[!-+\\--?A-~]*[!-+\\-.0-?A-~][!-+\\--?A-~]*$"))
        .examples(["https://auth.example"]);
    /// The id of a discharger. Each key of a location has its own.
    DischargerId = |text| text.pattern(Some("^[0-9a-f]{32}$"));
    /// The grant of a token exchange.
    GrantType = |text| text.enum_values(Some([exchange::TOKEN_EXCHANGE]));
    /// A type of JWTs.
    SubjectTokenType = |text| text.enum_values(Some([exchange::JWT_TYPE, exchange::ID_TOKEN_TYPE]));
    /// A token for the API of petsem.
    IssuedTokenType = |text| text.enum_values(Some([exchange::ACCESS_TOKEN_TYPE]));
    /// How a token is sent.
    TokenType = |text| text.enum_values(Some(["Bearer"]));
    /// The name of a rule, unique in its policy.
    RuleName = |text| text.min_length(Some(1)).max_length(Some(128)).examples(["ci"]);
    /// The name of a claim of a JWT.
    ClaimName = |text| text.min_length(Some(1)).max_length(Some(128)).examples(["machine_id"]);
    /// A text that a claim must match. `*` is any text.
    MatchPattern = |text| text.min_length(Some(1)).examples(["repo:demo/shop:*"]);
    /// The URL of a JWK set. Redirects are not followed. Private addresses are refused unless the configuration
    /// lists the host.
    JwksUrl = |text| text
        .format(Some(SchemaFormat::Custom("uri".to_owned())))
        .examples(["https://issuer.example/jwks.json"]);
    /// A claim of a JWT, exactly: 1 to 4096 bytes.
    ClaimText = |text| text.min_length(Some(1)).max_length(Some(4096));
    /// A prefix of names of secrets.
    SecretPrefix = |text| text.examples(["DATABASE_"]);
    /// The process responds.
    HealthStatus = |text| text.enum_values(Some(["ok"]));
    /// `ready`: boots are possible. `not_ready`: they are not. `sealed`: no key is in memory.
    ReadinessStatus = |text| text.enum_values(Some(["ready", "not_ready", "sealed"]));
    /// The server wipes its keys.
    SealingStatus = |text| text.enum_values(Some(["sealing"]));
}
