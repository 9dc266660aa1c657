//! The way out: the audit line becomes durable, and only then does the response leave.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use petsem_api::{Approval, ErrorBody, RequestId, WipedBuffer};
use petsem_engine::{Engine, Failure, Requested, new_request_id};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Ref;

use super::components::Components;
use crate::http::state::ServerState;

/// The statuses of a response, each with a description and the reference to its schema.
pub(crate) type Statuses = Vec<(StatusCode, &'static str, Option<Ref>)>;

/// Room for a common answer: growing copies and wipes.
const COMMON_LENGTH: usize = 4 * 1024;

/// What a handler answers.
pub(crate) trait Reply: Send + 'static {
    /// The response, if it has this status when all went well.
    fn write(self, status: StatusCode, id: RequestId) -> Response;

    /// Its statuses, in the OpenAPI document.
    fn document(status: StatusCode, description: &'static str, components: &mut Components) -> Statuses;
}

impl<T: Serialize + ToSchema + Send + 'static> Reply for T {
    fn write(self, status: StatusCode, id: RequestId) -> Response {
        json(status, id, &self)
    }

    fn document(status: StatusCode, description: &'static str, components: &mut Components) -> Statuses {
        vec![(status, description, Some(components.add::<T>()))]
    }
}

/// No body.
pub(crate) struct NoContent;

impl Reply for NoContent {
    fn write(self, status: StatusCode, id: RequestId) -> Response {
        let mut response = json(status, id, &());
        response.headers_mut().remove(CONTENT_TYPE);
        *response.body_mut() = Body::empty();
        response
    }

    fn document(status: StatusCode, description: &'static str, _: &mut Components) -> Statuses {
        vec![(status, description, None)]
    }
}

/// A change that was made at once, or that waits for a second person: 202.
pub(crate) struct Answered<T>(pub(crate) Requested<T>);

impl<T: Reply> Reply for Answered<T> {
    fn write(self, status: StatusCode, id: RequestId) -> Response {
        match self.0 {
            Requested::Done(answer) => answer.write(status, id),
            Requested::Pending(approval) => json(StatusCode::ACCEPTED, id, &*approval),
        }
    }

    fn document(status: StatusCode, description: &'static str, components: &mut Components) -> Statuses {
        let mut statuses = T::document(status, description, components);
        statuses.push((
            StatusCode::ACCEPTED,
            "The request waits for a second person.",
            Some(components.add::<Approval>()),
        ));
        statuses
    }
}

/// The error body. The internal text goes to the log, under the request id.
pub(crate) fn refuse(state: &ServerState, id: RequestId, failure: &Failure) -> Response {
    log_refusal(state, id, failure);
    refusal(id, failure)
}

/// The id of a request that is refused before it has a record.
pub(crate) fn request_id(engine: &Engine) -> RequestId {
    new_request_id(engine.now())
}

/// The response of a refusal: the error body, under its status.
pub(crate) fn refusal(id: RequestId, failure: &Failure) -> Response {
    let body = error_body(id, failure);
    let status =
        StatusCode::from_u16(failure.code().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, id, failure.retry_after_seconds(), &body)
}

/// A JSON response that may say when to try again.
pub(crate) fn answer<T: Serialize>(
    status: StatusCode,
    id: RequestId,
    retry_after: Option<u32>,
    body: &T,
) -> Response {
    let mut response = json(status, id, body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The body of a refusal.
pub(crate) fn error_body(id: RequestId, failure: &Failure) -> ErrorBody {
    ErrorBody {
        error: failure.external().to_owned(),
        error_description: None,
        status: failure.code(),
        request_id: Some(id),
    }
}

/// Counts a refusal, and writes its internal text to the log, under the request id. Only some of many have a line.
pub(crate) fn log_refusal(state: &ServerState, id: RequestId, failure: &Failure) {
    state.metrics.refused(failure.code());
    let status = failure.code().as_str();
    let Some(internal) = failure.internal_text() else {
        tracing::debug!(request = %id, status, "request refused");
        return;
    };
    match state.refusal_lines.line(failure.code(), state.engine.now().seconds()) {
        None => {}
        Some(0) => tracing::warn!(request = %id, status, reason = internal, "request failed"),
        Some(left_out) => {
            tracing::warn!(
                request = %id,
                status,
                reason = internal,
                left_out,
                "request failed; others with this status have no line"
            );
        }
    }
}

/// A JSON response, which is never cached.
pub(crate) fn json<T: Serialize>(status: StatusCode, id: RequestId, body: &T) -> Response {
    written_json(status, id, COMMON_LENGTH, |out| serde_json::to_writer(out, body))
}

/// As [`json`], of about this size, by a type that writes itself.
pub(crate) fn written_json(
    status: StatusCode,
    id: RequestId,
    size: usize,
    write: impl FnOnce(&mut WipedBuffer) -> serde_json::Result<()>,
) -> Response {
    let mut bytes = WipedBuffer::with_capacity(size);
    // Serializing our own types into memory cannot fail; half a response would be worse than none.
    let bytes = write(&mut bytes).map(|()| Bytes::from_owner(bytes.into_inner())).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert("petsem-request-id", id.clone());
        headers.insert("fly-request-id", id);
    }
    response
}
