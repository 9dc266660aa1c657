//! The declaration of a route: method and path, who may call it, its body with its limit, its query, its response and
//! the errors that it answers. A handler names the types; the rest is next to it, in the file of its group.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use axum::handler::Handler as AxumHandler;
use axum::http::StatusCode;
use axum::routing::{MethodFilter, MethodRouter, on};
use petsem_api::{AppRef, ErrorCode, OrgRef};
use petsem_engine::{AuditRecord, Failure};
use serde::de::DeserializeOwned;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, HttpMethod, Ref, Required};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, NoBody, NoQuery};
use super::components::{self, Components};
use super::credential::Credential;
use super::limits::BodyLimit;
use super::request::{FORM, Incoming, JSON};
use super::respond::{Reply, Statuses, refuse};
use super::tag::Tag;
use crate::http::state::ServerState;

/// A route: what the router needs of it, and what the OpenAPI document says of it.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) method: HttpMethod,
    pub(crate) operation: Operation,
    pub(crate) components: Components,
    pub(crate) handlers: MethodRouter<Arc<ServerState>>,
}

/// A handler: it gets the request and the record of its audit line.
pub(crate) trait Handler<'a, P: 'a, B: 'a, Q: 'a, T>:
    Fn(&'a Call<P, B, Q>, &'a mut AuditRecord) -> Self::Future
{
    /// What it returns.
    type Future: Future<Output = Result<T, Failure>> + Send + 'a;
}

impl<'a, P: 'a, B: 'a, Q: 'a, T, F, Fut> Handler<'a, P, B, Q, T> for F
where
    F: Fn(&'a Call<P, B, Q>, &'a mut AuditRecord) -> Fut,
    Fut: Future<Output = Result<T, Failure>> + Send + 'a,
{
    type Future = Fut;
}

/// A type of bodies, or none.
pub(crate) trait BodyForm: 'static {
    /// The reference to its schema.
    fn document(components: &mut Components) -> Option<Ref>;
}

impl<B: DeserializeOwned + ToSchema + 'static> BodyForm for B {
    fn document(components: &mut Components) -> Option<Ref> {
        Some(components.add::<B>())
    }
}

impl BodyForm for NoBody {
    fn document(_: &mut Components) -> Option<Ref> {
        None
    }
}

/// A type of queries, or none.
pub(crate) trait QueryForm: Sized + Send + Sync + 'static {
    /// Reads it.
    fn of(incoming: &Incoming) -> Result<Self, Failure>;
    /// Its parameters.
    fn document(components: &mut Components) -> Vec<Parameter>;
}

impl<Q: DeserializeOwned + IntoParams + Send + Sync + 'static> QueryForm for Q {
    fn of(incoming: &Incoming) -> Result<Self, Failure> {
        incoming.query()
    }

    fn document(_: &mut Components) -> Vec<Parameter> {
        Q::into_params(|| Some(ParameterIn::Query))
    }
}

impl QueryForm for NoQuery {
    fn of(_: &Incoming) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn document(_: &mut Components) -> Vec<Parameter> {
        Vec::new()
    }
}

/// The action of an audit line.
#[derive(Clone, Copy)]
enum Action {
    Always(&'static str),
    OfRequest(fn(&Incoming) -> &'static str),
}

impl Action {
    fn of(self, incoming: &Incoming) -> &'static str {
        match self {
            Self::Always(action) => action,
            Self::OfRequest(action) => action(incoming),
        }
    }
}

/// A route that lacks its handler.
pub(crate) struct Declaration {
    method: HttpMethod,
    path: &'static str,
    operation: OperationBuilder,
    action: Action,
    items_have_records: bool,
    answers: (StatusCode, &'static str),
    statuses: Statuses,
    media_type: &'static str,
    refusals: Vec<ErrorCode>,
    status_of: fn(ErrorCode) -> u16,
    limit: BodyLimit,
    afterwards: Option<fn(&ServerState)>,
    components: Components,
}

/// What every route that asks the engine may answer. A route with a raw handler names them itself.
pub(crate) const ALWAYS: &[ErrorCode] = &[
    ErrorCode::BadRequest,
    ErrorCode::Busy,
    ErrorCode::Integrity,
    ErrorCode::Internal,
    ErrorCode::AuditFull,
    ErrorCode::StoreUnavailable,
    ErrorCode::Stopping,
    ErrorCode::Sealed,
];
/// What a route with a body may answer.
const OF_BODIES: &[ErrorCode] = &[ErrorCode::BodyTooLarge, ErrorCode::UnsupportedMediaType];

impl Route {
    /// `GET` this path.
    pub(crate) fn get(path: &'static str) -> Declaration {
        Declaration::new(HttpMethod::Get, path)
    }

    /// `POST` to this path.
    pub(crate) fn post(path: &'static str) -> Declaration {
        Declaration::new(HttpMethod::Post, path)
    }

    /// `PUT` to this path.
    pub(crate) fn put(path: &'static str) -> Declaration {
        Declaration::new(HttpMethod::Put, path)
    }

    /// `DELETE` this path.
    pub(crate) fn delete(path: &'static str) -> Declaration {
        Declaration::new(HttpMethod::Delete, path)
    }
}

impl Declaration {
    fn new(method: HttpMethod, path: &'static str) -> Self {
        let declaration = Self {
            method,
            path,
            operation: OperationBuilder::new(),
            action: Action::Always(""),
            items_have_records: false,
            answers: (StatusCode::OK, ""),
            statuses: Vec::new(),
            media_type: JSON,
            refusals: Vec::new(),
            status_of: ErrorCode::http_status,
            limit: BodyLimit::Other,
            afterwards: None,
            components: Components::default(),
        };
        if path.contains("{app}") {
            declaration.param::<AppRef>("app", "The app, by id or by name.")
        } else if path.contains("{org}") {
            declaration.param::<OrgRef>("org", "The org, by id or by name.")
        } else {
            declaration
        }
    }

    /// Its id and group in the document, and what it does in a few words.
    pub(crate) fn named(mut self, id: &'static str, tag: Tag, summary: &'static str) -> Self {
        self.operation = self.operation.operation_id(Some(id)).tag(tag.name).summary(Some(summary));
        self
    }

    /// What it does, in full.
    pub(crate) fn described(mut self, text: &'static str) -> Self {
        self.operation = self.operation.description(Some(text));
        self
    }

    /// The action of its audit line.
    pub(crate) fn audited(mut self, action: &'static str) -> Self {
        self.action = Action::Always(action);
        self
    }

    /// The action of its audit line, where it depends on the request.
    pub(crate) fn audited_by(mut self, action: fn(&Incoming) -> &'static str) -> Self {
        self.action = Action::OfRequest(action);
        self
    }

    /// A request that succeeds has no audit line: each of its items has one.
    pub(crate) fn with_records_of_items(mut self) -> Self {
        self.items_have_records = true;
        self
    }

    /// A parameter of its path.
    pub(crate) fn param<T: ToSchema>(mut self, name: &'static str, description: &'static str) -> Self {
        let schema = self.components.add::<T>();
        // A parameter that is empty makes another path.
        self.refusals.extend([ErrorCode::BadName, ErrorCode::NoRoute]);
        self.operation = self.operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(description))
                .schema(Some(schema)),
        );
        self
    }

    /// The limit of its body.
    pub(crate) fn limited(mut self, limit: BodyLimit) -> Self {
        self.limit = limit;
        self
    }

    /// The status of its response, and what the response is.
    pub(crate) fn answers(mut self, status: StatusCode, description: &'static str) -> Self {
        self.answers = (status, description);
        self
    }

    /// The codes of its errors, beside those that its credential, its body and every route have.
    pub(crate) fn refuses(mut self, codes: &[ErrorCode]) -> Self {
        self.refusals.extend(codes);
        self
    }

    /// What happens after a response of success.
    pub(crate) fn afterwards(mut self, work: fn(&ServerState)) -> Self {
        self.afterwards = Some(work);
        self
    }

    /// The handler. Its types are the credential, the body, the query and the response of the route.
    pub(crate) fn by<P, B, Q, T, H>(mut self, handler: H) -> Route
    where
        P: Credential,
        B: BodyForm,
        Q: QueryForm,
        T: Reply,
        H: for<'a> Handler<'a, P, B, Q, T> + Copy + Send + Sync + 'static,
    {
        let (status, description) = self.answers;
        let statuses = T::document(status, description, &mut self.components);
        self.statuses.extend(statuses);
        self = self.from::<P>().taking::<B>(JSON);
        let parameters = Q::document(&mut self.components);
        for parameter in parameters {
            self.operation = self.operation.parameter(parameter);
        }
        self.refusals.extend(ALWAYS);
        let (action, limit, afterwards) = (self.action, self.limit, self.afterwards);
        let items_have_records = self.items_have_records;
        let codes: Arc<[ErrorCode]> = self.refusals.clone().into();
        let endpoint = move |incoming: Incoming| async move {
            let action = action.of(&incoming);
            let mut audit = incoming.audit(action);
            let state = Arc::clone(&incoming.state);
            let result = async {
                let credential = P::of(&incoming, &mut audit).await?;
                let query = Q::of(&incoming)?;
                let call = Call::new(incoming, credential, query, limit);
                handler(&call, &mut audit).await
            }
            .await;
            let id = audit.request_id();
            let result = match result {
                Ok(answer) if items_have_records => Ok(answer),
                result => state.engine.conclude(&audit, result).await,
            };
            match result {
                Ok(answer) => {
                    let response = answer.write(status, id);
                    if let Some(work) = afterwards {
                        work(&state);
                    }
                    response
                }
                Err(failure) => {
                    if !codes.contains(&failure.code()) {
                        tracing::error!(code = failure.code().as_str(), action, "undeclared error code");
                    }
                    refuse(&state, id, &failure)
                }
            }
        };
        self.route(endpoint)
    }

    /// A handler that writes its response itself; `giving` declares it, and `refuses` all of its errors.
    pub(crate) fn raw<H, M>(self, handler: H) -> Route
    where
        H: AxumHandler<M, Arc<ServerState>>,
        M: 'static,
    {
        self.route(handler)
    }

    /// Who may call a route with a raw handler.
    pub(crate) fn from<P: Credential>(mut self) -> Self {
        self.refusals.extend(P::REFUSALS.iter().copied().flatten());
        let schemes: Vec<_> =
            P::SCHEMES.iter().map(|scheme| SecurityRequirement::new(*scheme, [] as [&str; 0])).collect();
        self.operation = self.operation.securities(Some(schemes));
        self
    }

    /// The body of a route with a raw handler.
    pub(crate) fn taking<B: BodyForm>(mut self, media_type: &'static str) -> Self {
        if let Some(schema) = B::document(&mut self.components) {
            self = self.takes(media_type, schema);
        }
        self
    }

    /// The form of a route with a raw handler.
    pub(crate) fn taking_form<B: ToSchema>(mut self) -> Self {
        let schema = self.components.add::<B>();
        self.takes(FORM, schema)
    }

    fn takes(mut self, media_type: &'static str, schema: Ref) -> Self {
        self.refusals.extend(OF_BODIES);
        let bytes = self.limit.bytes();
        let body = RequestBodyBuilder::new()
            .description(Some(format!("At most {bytes} bytes; more is 413 `body_too_large`.")))
            .required(Some(Required::True))
            .content(media_type, ContentBuilder::new().schema(Some(schema)).build())
            .extensions(Some(components::max_bytes(bytes)));
        self.operation = self.operation.request_body(Some(body.build()));
        self
    }

    /// A response of a route with a raw handler.
    pub(crate) fn giving<T: ToSchema>(mut self, status: StatusCode, description: &'static str) -> Self {
        let schema = self.components.add::<T>();
        self.statuses.push((status, description, Some(schema)));
        self
    }

    /// The media type of its response, if it is not JSON.
    pub(crate) fn written_as(mut self, media_type: &'static str) -> Self {
        self.media_type = media_type;
        self
    }

    /// The status of each code, where a protocol has its own.
    pub(crate) fn with_statuses(mut self, status_of: fn(ErrorCode) -> u16) -> Self {
        self.status_of = status_of;
        self
    }

    fn route<H, M>(mut self, handler: H) -> Route
    where
        H: AxumHandler<M, Arc<ServerState>>,
        M: 'static,
    {
        let given: Vec<u16> = self.statuses.iter().map(|(status, ..)| status.as_u16()).collect();
        for (status, description, schema) in self.statuses {
            let mut response = ResponseBuilder::new().description(description);
            if let Some(schema) = schema {
                response =
                    response.content(self.media_type, ContentBuilder::new().schema(Some(schema)).build());
            }
            if !self.refusals.is_empty() {
                response = response.header_ref("petsem-request-id", components::request_id_header());
            }
            self.operation = self.operation.response(status.as_str(), response.build());
        }
        let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
        for code in ErrorCode::ALL.iter().filter(|code| self.refusals.contains(code)) {
            by_status.entry((self.status_of)(*code)).or_default().push(*code);
        }
        // Where a protocol has its own body for a status, there is no other.
        for (status, codes) in by_status.into_iter().filter(|(status, _)| !given.contains(status)) {
            self.operation =
                self.operation.response(status.to_string(), self.components.refusal(status, &codes));
        }
        let filter = match self.method {
            HttpMethod::Get => MethodFilter::GET,
            HttpMethod::Put => MethodFilter::PUT,
            HttpMethod::Delete => MethodFilter::DELETE,
            _ => MethodFilter::POST,
        };
        Route {
            path: self.path,
            method: self.method,
            operation: self.operation.build(),
            components: self.components,
            handlers: on(filter, handler),
        }
    }
}
