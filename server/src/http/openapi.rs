//! The OpenAPI document, assembled from the declarations of the routes and the schemas of the wire types. A test
//! compares it with the file in the repository, which the server serves.

use petsem_api::{CreateApp, CreateToken, PutIssuer, RequestId};
use serde_json::{Map, Value, json};
use utoipa::openapi::path::{PathItem, PathsBuilder};
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::server::ServerBuilder;
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{InfoBuilder, License, OpenApiBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::components::Components;
use super::route::Route;
use super::tag;

const DESCRIPTION: &str = "\
Every response outside 2xx has the body `ErrorBody`: a program acts on its `status` and shows its `error`. Unknown paths \
answer 404 `no_route`, unknown methods 405 `method_not_allowed`. Unknown fields are refused with 400, and so are unknown \
parameters of a query where a route has any. More requests at once than the limit of the server get 503 `busy`.

The routes under `/v1/apps/{app}/secrets` have the shapes of the public Machines API.";

/// A secret in a path, of which the document has only the form.
macro_rules! hex_params {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {$(
        $(#[doc = $doc])*
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(SchemaType::new(Type::String))
                    .description(Some(concat!($($doc),*).trim()))
                    .pattern(Some("^[0-9a-f]{32}$"))
                    .into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

hex_params! {
    /// The id of a discharger. Each key of a location has its own.
    DischargerId;
    /// The secret of a poll: 32 hex digits.
    PollSecret;
}

/// The document of these routes.
pub(crate) fn document(routes: impl IntoIterator<Item = Route>) -> Value {
    let mut components = Components::default();
    components.add::<RequestId>();
    let mut paths = PathsBuilder::new();
    for route in routes {
        let Route { path, description, .. } = route;
        let operation = description.operation(&mut components);
        paths = paths.path(path, PathItem::new(description.method, operation));
    }
    let components = ComponentsBuilder::new()
        .schemas_from_iter(components.schemas)
        .responses_from_iter(components.refusals)
        .build();
    let document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("petsem")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(DESCRIPTION))
                .license(Some(License::builder().name("Apache-2.0").identifier(Some("Apache-2.0")).build())),
        )
        .servers(Some([ServerBuilder::new()
            .url("http://127.0.0.1:8200")
            .description(Some("A loopback listener. Unix sockets serve the same."))
            .build()]))
        .paths(paths)
        .components(Some(components))
        .tags(Some(
            tag::ALL
                .iter()
                .map(|tag| TagBuilder::new().name(tag.name).description(Some(tag.description)).build()),
        ))
        .build();
    let mut document = serde_json::to_value(document).unwrap_or_default();
    // utoipa has no HTTP scheme of its own name, and no headers among its components.
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("securitySchemes".to_owned(), security_schemes());
        components.insert("headers".to_owned(), headers());
    }
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        state_choices(schemas);
    }
    complete(&mut document);
    document
}

fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "FlyV1",
            "description": "`Authorization: FlyV1 fm2_…`: tokens and discharges, separated by commas; `Bearer` is accepted as well. At most 64 KiB and 128 tokens."
        },
        "hostToken": {
            "type": "http",
            "scheme": "FlyV1",
            "description": "`Authorization: FlyV1 fm2_…,fm2_…`: one host token, and for a single boot its discharge or renewal."
        },
        "jwt": {
            "type": "http",
            "scheme": "Bearer",
            "bearerFormat": "JWT",
            "description": "A JWT of a registered issuer, with the name of the installation in `aud`, or another audience that its registration and the rule name. At most 16 KiB, and 15 minutes for reading, 5 for a discharge, or what the registration and the rule allow."
        }
    })
}

fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The id of the request, as the audit log has it; also as `fly-request-id`.",
            "required": true,
            "schema": { "$ref": "#/components/schemas/RequestId" }
        },
        "RetryAfter": {
            "description": "Seconds after which trying again makes sense.",
            "schema": { "type": "integer", "minimum": 0 }
        }
    })
}

/// One way to fill in an object whose fields go together. A test compares the names with the fields of the type.
#[derive(Default)]
struct Choice {
    without: &'static [&'static str],
    required: &'static [&'static str],
    /// A field with one value.
    fixed: Option<(&'static str, Value)>,
    /// A number with a lower maximum.
    at_most: Option<(&'static str, u64)>,
}

/// What JSON Schema can state and a derived schema cannot: fields that go together.
fn state_choices(schemas: &mut Map<String, Value>) {
    choose::<CreateToken>(schemas, choices_of_tokens());
    choose::<PutIssuer>(schemas, choices_of_issuers());
    choose::<CreateApp>(schemas, choices_of_apps());
}

/// The kinds of tokens.
fn choices_of_tokens() -> Vec<Choice> {
    let kind = |kind| Some(("kind", json!({ "const": kind })));
    vec![
        Choice {
            without: &["org", "host", "discharger"],
            required: &["kind"],
            fixed: kind("operator"),
            ..Choice::default()
        },
        Choice {
            without: &["host", "discharger"],
            required: &["kind", "org"],
            fixed: kind("org"),
            ..Choice::default()
        },
        Choice {
            without: &["org", "apps", "secrets", "secret_prefixes", "actions", "machines", "subject"],
            required: &["kind", "host"],
            fixed: kind("host"),
            at_most: Some(("expires_in", 30 * 24 * 60 * 60)),
        },
    ]
}

/// How the org of a new app is named.
fn choices_of_apps() -> Vec<Choice> {
    vec![
        Choice { without: &["org_slug"], required: &["org", "name"], ..Choice::default() },
        Choice { without: &["org"], required: &["org_slug", "name"], ..Choice::default() },
    ]
}

/// Where the keys of an issuer come from.
fn choices_of_issuers() -> Vec<Choice> {
    let discovery = |is_used: bool| Some(("discovery", json!({ "const": is_used })));
    vec![
        Choice {
            without: &["jwks_url"],
            required: &["issuer", "algorithms", "keys"],
            fixed: discovery(false),
            ..Choice::default()
        },
        Choice {
            without: &["keys"],
            required: &["issuer", "algorithms", "jwks_url"],
            fixed: discovery(false),
            ..Choice::default()
        },
        Choice {
            without: &["keys", "jwks_url"],
            required: &["issuer", "algorithms", "discovery"],
            fixed: discovery(true),
            ..Choice::default()
        },
    ]
}

/// Replaces the schema of an object by its choices.
fn choose<T: ToSchema>(schemas: &mut Map<String, Value>, choices: Vec<Choice>) {
    let Some(Value::Object(whole)) = schemas.get(&*T::name()) else { return };
    let choices: Vec<Value> = choices
        .into_iter()
        .map(|choice| {
            let mut object = whole.clone();
            object.remove("description");
            object.insert("required".to_owned(), json!(choice.required));
            if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
                properties.retain(|name, _| !choice.without.contains(&name.as_str()));
                if let Some((name, schema)) = choice.fixed {
                    properties.insert(name.to_owned(), schema);
                }
                if let Some((name, maximum)) = choice.at_most
                    && let Some(Value::Object(property)) = properties.get_mut(name)
                {
                    property.insert("maximum".to_owned(), json!(maximum));
                }
            }
            Value::Object(object)
        })
        .collect();
    let chosen = json!({ "description": whole.get("description"), "oneOf": choices });
    schemas.insert(T::name().into_owned(), chosen);
}

/// Bounds integers, whose format JSON Schema does not enforce, and makes Markdown of doc comments.
fn complete(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let (least, most) =
                match (object.get("format").and_then(Value::as_str), object.contains_key("minimum")) {
                    (Some("int32"), true) => (json!(0), json!(u32::MAX)),
                    (Some("int64"), true) => (json!(0), json!(u64::MAX)),
                    (Some("int64"), false) => (json!(i64::MIN), json!(i64::MAX)),
                    _ => (Value::Null, Value::Null),
                };
            if !most.is_null() {
                object.entry("minimum").or_insert(least);
                object.entry("maximum").or_insert(most);
            }
            if let Some(Value::String(text)) = object.get_mut("description") {
                let paragraphs: Vec<String> =
                    text.split("\n\n").map(|part| part.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n").replace("[`", "`").replace("`]", "`");
            }
            object.values_mut().for_each(complete);
        }
        Value::Array(items) => items.iter_mut().for_each(complete),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choices_name_fields_of_the_type() {
        let tokens = (CreateToken::schema(), choices_of_tokens());
        let issuers = (PutIssuer::schema(), choices_of_issuers());
        let apps = (CreateApp::schema(), choices_of_apps());
        for (schema, choices) in [tokens, issuers, apps] {
            let schema = serde_json::to_value(schema).unwrap();
            let fields = schema["properties"].as_object().unwrap();
            for Choice { without, required, fixed, at_most } in choices {
                let named = without.iter().chain(required).copied();
                let named = named.chain(fixed.map(|(name, _)| name)).chain(at_most.map(|(name, _)| name));
                let absent: Vec<_> = named.filter(|name| !fields.contains_key(*name)).collect();
                assert_eq!(absent, Vec::<&str>::new());
            }
        }
    }

    #[test]
    fn an_object_is_replaced_by_its_choices() {
        let mut schemas = Map::new();
        for (name, schema) in
            [(CreateToken::name(), CreateToken::schema()), (PutIssuer::name(), PutIssuer::schema())]
        {
            schemas.insert(name.into_owned(), serde_json::to_value(schema).unwrap());
        }
        state_choices(&mut schemas);
        assert_eq!(schemas["CreateToken"]["oneOf"].as_array().unwrap().len(), 3);
        assert_eq!(schemas["CreateToken"]["oneOf"][2]["properties"]["expires_in"]["maximum"], 2_592_000);
        assert_eq!(schemas["PutIssuer"]["oneOf"].as_array().unwrap().len(), 3);
    }
}
