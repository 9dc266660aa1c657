//! What the OpenAPI document says of a route. A server that starts does not need it, so it is only assembled when the
//! document is asked for: until then it is names and functions.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use petsem_api::ErrorCode;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, HttpMethod, Ref, Required};

use super::components::{self, Components};
use super::limits::BodyLimit;
use super::request::JSON;
use super::respond::Statuses;

/// Adds the schema of a type.
pub(super) type AddSchema = fn(&mut Components) -> Ref;
/// Names the statuses of a response, and adds its schema.
type Answers = fn(StatusCode, &'static str, &mut Components) -> Statuses;

/// What the document says of a route.
pub(crate) struct Description {
    pub(super) method: HttpMethod,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) text: Option<&'static str>,
    /// Names, texts and schemas of the parameters in its path.
    pub(super) parameters: Vec<(&'static str, &'static str, AddSchema)>,
    pub(super) query: fn(&mut Components) -> Vec<Parameter>,
    /// Names of the security schemes, one of which is needed.
    pub(super) schemes: &'static [&'static str],
    /// Media type, limit and schema of its body.
    pub(super) body: Option<(&'static str, BodyLimit, AddSchema)>,
    /// Its responses that are no refusals.
    pub(super) answers: Vec<(StatusCode, &'static str, Answers)>,
    pub(super) media_type: &'static str,
    /// The codes of its errors.
    pub(super) refusals: Vec<ErrorCode>,
    pub(super) status_of: fn(ErrorCode) -> u16,
}

impl Description {
    /// Of a route that is not declared yet.
    pub(super) fn new(method: HttpMethod) -> Self {
        Self {
            method,
            id: "",
            tag: "",
            summary: "",
            text: None,
            parameters: Vec::new(),
            query: |_| Vec::new(),
            schemes: &[],
            body: None,
            answers: Vec::new(),
            media_type: JSON,
            refusals: Vec::new(),
            status_of: ErrorCode::http_status,
        }
    }

    /// The operation in the document. Adds what it refers to.
    pub(super) fn operation(&self, components: &mut Components) -> Operation {
        let schemes = self.schemes.iter().map(|scheme| SecurityRequirement::new(*scheme, [] as [&str; 0]));
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag)
            .summary(Some(self.summary))
            .description(self.text)
            .securities(Some(schemes));
        for (name, text, schema) in &self.parameters {
            let parameter = ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(*text))
                .schema(Some(schema(components)));
            operation = operation.parameter(parameter);
        }
        for parameter in (self.query)(components) {
            operation = operation.parameter(parameter);
        }
        operation = operation.request_body(self.request_body(components));
        self.add_responses(operation, components).build()
    }

    fn request_body(&self, components: &mut Components) -> Option<RequestBody> {
        let (media_type, limit, schema) = self.body?;
        let bytes = limit.bytes();
        let body = RequestBodyBuilder::new()
            .description(Some(format!("At most {bytes} bytes; more is 413 `body_too_large`.")))
            .required(Some(Required::True))
            .content(media_type, ContentBuilder::new().schema(Some(schema(components))).build())
            .extensions(Some(components::max_bytes(bytes)));
        Some(body.build())
    }

    fn add_responses(
        &self,
        mut operation: OperationBuilder,
        components: &mut Components,
    ) -> OperationBuilder {
        let statuses = self.answers.iter().flat_map(|(status, text, of)| of(*status, text, components));
        let statuses: Statuses = statuses.collect();
        let given: Vec<u16> = statuses.iter().map(|(status, ..)| status.as_u16()).collect();
        for (status, text, schema) in statuses {
            let mut response = ResponseBuilder::new().description(text);
            if let Some(schema) = schema {
                response =
                    response.content(self.media_type, ContentBuilder::new().schema(Some(schema)).build());
            }
            if !self.refusals.is_empty() {
                response = response.header_ref("petsem-request-id", components::request_id_header());
            }
            operation = operation.response(status.as_str(), response.build());
        }
        let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
        for code in ErrorCode::ALL.iter().filter(|code| self.refusals.contains(code)) {
            by_status.entry((self.status_of)(*code)).or_default().push(*code);
        }
        // Where a protocol has its own body for a status, there is no other.
        for (status, codes) in by_status.into_iter().filter(|(status, _)| !given.contains(status)) {
            operation = operation.response(status.to_string(), components.refusal(status, &codes));
        }
        operation
    }
}

/// A response with a body of this type.
pub(super) fn given<T: ToSchema>(
    status: StatusCode,
    text: &'static str,
    components: &mut Components,
) -> Statuses {
    vec![(status, text, Some(components.add::<T>()))]
}
