//! The parts of the OpenAPI document that routes refer to by name.

use std::collections::BTreeMap;

use petsem_api::{ErrorBody, ErrorCode};
use utoipa::ToSchema;
use utoipa::openapi::extensions::{Extensions, ExtensionsBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Schema};

/// The named parts of the document: schemas, and responses with errors.
#[derive(Default)]
pub(crate) struct Components {
    pub(super) schemas: BTreeMap<String, RefOr<Schema>>,
    pub(super) refusals: BTreeMap<String, Response>,
}

impl Components {
    /// Adds a type and all that it refers to.
    pub(crate) fn add<T: ToSchema>(&mut self) -> Ref {
        let mut referred = Vec::new();
        T::schemas(&mut referred);
        self.schemas.extend(referred);
        self.schemas.insert(T::name().into_owned(), T::schema());
        Ref::from_schema_name(T::name())
    }

    /// Adds a response with one of these errors. Its name has all that it may say.
    pub(super) fn refusal(&mut self, status: u16, codes: &[ErrorCode]) -> Ref {
        let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let only = ObjectBuilder::new().property(
            "status",
            ObjectBuilder::new()
                .schema_type(SchemaType::new(Type::String))
                .enum_values(Some(names.iter().copied())),
        );
        let body = AllOfBuilder::new().item(self.add::<ErrorBody>()).item(only);
        let mut response = ResponseBuilder::new()
            .description(format!("Codes: `{}`.", names.join("`, `")))
            .content(
                "application/json",
                ContentBuilder::new().schema(Some(Schema::AllOf(body.build()))).build(),
            )
            .header_ref("petsem-request-id", request_id_header());
        if matches!(status, 503 | 507) {
            response = response.header_ref("retry-after", header_ref("RetryAfter"));
        }
        let name = format!("{status}.{}", names.join("."));
        self.refusals.insert(name.clone(), response.build());
        Ref::from_response_name(name)
    }
}

pub(super) fn request_id_header() -> Ref {
    header_ref("RequestId")
}

fn header_ref(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

/// The limit of a body, for programs.
pub(super) fn max_bytes(bytes: usize) -> Extensions {
    ExtensionsBuilder::new().add("x-max-bytes", bytes).build()
}
