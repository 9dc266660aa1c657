//! The declaration of a route: method and path, who may call it, its body with its limit, its query, its response and
//! the errors that it answers. A handler names the types; the rest is next to it, in the file of its group.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequest as _, Request, State};
use axum::handler::Handler as AxumHandler;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use petsem_api::{AppRef, ErrorCode, OrgRef};
use petsem_engine::{AuditRecord, Failure, Peer};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use utoipa::openapi::HttpMethod;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::call::{Call, NoBody, NoQuery};
use super::components::Components;
use super::credential::Credential;
use super::description::{AddSchema, Description, given};
use super::limits::BodyLimit;
use super::permits::Priority;
use super::progress::with_permit;
use super::request::{FORM, Incoming, JSON};
use super::respond::{Reply, refuse};
use super::tag::Tag;
use crate::http::state::ServerState;

/// A route: what the router needs of it, and what the OpenAPI document says of it.
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) description: Description,
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
    /// Adds its schema.
    const SCHEMA: Option<AddSchema>;
}

impl<B: DeserializeOwned + ToSchema + 'static> BodyForm for B {
    const SCHEMA: Option<AddSchema> = Some(Components::add::<B>);
}

impl BodyForm for NoBody {
    const SCHEMA: Option<AddSchema> = None;
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
    fn of(incoming: &Incoming) -> Result<Self, Failure> {
        incoming.no_query().map(|()| Self)
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
    path: &'static str,
    description: Description,
    action: Action,
    items_have_records: bool,
    answers: (StatusCode, &'static str),
    limit: BodyLimit,
    priority: Priority,
    afterwards: Option<fn(&ServerState)>,
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

    /// `PATCH` this path.
    pub(crate) fn patch(path: &'static str) -> Declaration {
        Declaration::new(HttpMethod::Patch, path)
    }

    /// `DELETE` this path.
    pub(crate) fn delete(path: &'static str) -> Declaration {
        Declaration::new(HttpMethod::Delete, path)
    }
}

impl Declaration {
    fn new(method: HttpMethod, path: &'static str) -> Self {
        let declaration = Self {
            path,
            description: Description::new(method),
            action: Action::Always(""),
            items_have_records: false,
            answers: (StatusCode::OK, ""),
            limit: BodyLimit::Other,
            priority: Priority::Other,
            afterwards: None,
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
        (self.description.id, self.description.tag, self.description.summary) = (id, tag.name, summary);
        self.priority = tag.priority();
        self
    }

    /// What it does, in full.
    pub(crate) fn described(mut self, text: &'static str) -> Self {
        self.description.text = Some(text);
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
    pub(crate) fn param<T: ToSchema>(mut self, name: &'static str, text: &'static str) -> Self {
        // A parameter that is empty makes another path.
        self.description.refusals.extend([ErrorCode::BadName, ErrorCode::NoRoute]);
        self.description.parameters.push((name, text, Components::add::<T>));
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
        self.description.refusals.extend(codes);
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
        let (status, text) = self.answers;
        self.description.answers.push((status, text, T::document));
        self.description.query = Q::document;
        self = self.from::<P>().taking::<B>(JSON).refuses(ALWAYS);
        let (action, limit, afterwards) = (self.action, self.limit, self.afterwards);
        let items_have_records = self.items_have_records;
        let codes: Arc<[ErrorCode]> = self.description.refusals.clone().into();
        let endpoint = move |incoming: Incoming| async move {
            let action = action.of(&incoming);
            let mut audit = incoming.audit(action);
            let state = Arc::clone(&incoming.state);
            // Until the record is durable, too.
            let mut share = None;
            let result = async {
                let credential = P::of(&incoming, &mut audit).await?;
                let query = Q::of(&incoming)?;
                if credential.queue(&state).is_none() {
                    share = Some(state.permits.share(&incoming.peer, credential.holders())?);
                }
                let call = Call::new(incoming, credential, query, limit);
                handler(&call, &mut audit).await
            }
            .await;
            let id = audit.request_id();
            let result = match result {
                Ok(answer) if items_have_records => Ok(answer),
                result => state.engine.conclude(&mut audit, result).await,
            };
            drop(share);
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
        self.raw(endpoint)
    }

    /// A handler that writes its response itself; `giving` declares it, and `refuses` all of its errors.
    pub(crate) fn raw<F, Fut>(self, handler: F) -> Route
    where
        F: FnOnce(Incoming) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        let (path, priority) = (self.path, self.priority);
        let (_, method) = served(&self.description.method);
        let timer = Arc::new(OnceLock::new());
        self.route(move |State(state): State<Arc<ServerState>>, request: Request| {
            let (handler, timer) = (handler.clone(), Arc::clone(&timer));
            async move {
                let begun = Instant::now();
                let own = Arc::clone(&state);
                let is_of_host =
                    request.extensions().get::<Arc<Peer>>().is_some_and(|peer| peer.host.is_some());
                // Boxed: one copy of what all routes do with it, not one for each.
                let work = Box::pin(async move {
                    let Ok(incoming) = Incoming::from_request(request, &own).await;
                    handler(incoming).await
                });
                let response = with_permit(&state, priority, is_of_host, work).await;
                let timer = timer.get_or_init(|| state.metrics.timer(method, path));
                timer.observe(begun.elapsed().as_secs_f64());
                response
            }
        })
    }

    /// As [`Self::raw`], for what the process says about itself: without a limit of requests.
    pub(crate) fn unlimited<H, M>(self, handler: H) -> Route
    where
        H: AxumHandler<M, Arc<ServerState>>,
        M: 'static,
    {
        self.route(handler)
    }

    /// Who may call a route with a raw handler.
    pub(crate) fn from<P: Credential>(mut self) -> Self {
        self.description.refusals.extend(P::REFUSALS.iter().copied().flatten());
        self.description.schemes = P::SCHEMES;
        self
    }

    /// The body of a route with a raw handler.
    pub(crate) fn taking<B: BodyForm>(self, media_type: &'static str) -> Self {
        match B::SCHEMA {
            Some(schema) => self.takes(media_type, schema),
            None => self,
        }
    }

    /// The form of a route with a raw handler.
    pub(crate) fn taking_form<B: ToSchema>(self) -> Self {
        self.takes(FORM, Components::add::<B>)
    }

    fn takes(mut self, media_type: &'static str, schema: AddSchema) -> Self {
        self.description.refusals.extend(OF_BODIES);
        self.description.body = Some((media_type, self.limit, schema));
        self
    }

    /// A response of a route with a raw handler.
    pub(crate) fn giving<T: ToSchema>(mut self, status: StatusCode, text: &'static str) -> Self {
        self.description.answers.push((status, text, given::<T>));
        self
    }

    /// The media type of its response, if it is not JSON.
    pub(crate) fn written_as(mut self, media_type: &'static str) -> Self {
        self.description.media_type = media_type;
        self
    }

    /// The status of each code, where a protocol has its own.
    pub(crate) fn with_statuses(mut self, status_of: fn(ErrorCode) -> u16) -> Self {
        self.description.status_of = status_of;
        self
    }

    fn route<H, M>(self, handler: H) -> Route
    where
        H: AxumHandler<M, Arc<ServerState>>,
        M: 'static,
    {
        let (filter, _) = served(&self.description.method);
        Route { path: self.path, description: self.description, handlers: on(filter, handler) }
    }
}

/// The methods that a route of this method serves, and their name in metrics: HEAD counts as GET.
fn served(method: &HttpMethod) -> (MethodFilter, &'static str) {
    match method {
        HttpMethod::Get => (MethodFilter::GET, "GET"),
        HttpMethod::Put => (MethodFilter::PUT, "PUT"),
        HttpMethod::Patch => (MethodFilter::PATCH, "PATCH"),
        HttpMethod::Delete => (MethodFilter::DELETE, "DELETE"),
        _ => (MethodFilter::POST, "POST"),
    }
}
