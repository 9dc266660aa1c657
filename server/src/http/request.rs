//! Between HTTP and the core: one way in, one way out.
//!
//! In: [`Call`] takes a request apart within limits and never fails by itself, so that every refusal has the
//! one error body and its audit line. Out: [`finish`] makes the audit line durable, and only then the answer.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use petsem_api::{ErrorBody, ErrorCode, RequestId, WipedBuffer};
use petsem_engine::{AuditRecord, Engine, Failure, Peer, Principal, Timestamp};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::http::state::ServerState;

/// Largest body of a set of secrets: a bundle of 1 MiB, escaped. And of a use of a secret key: a message of 1 MiB
/// and associated data as long, in base64.
const SECRETS_BODY: usize = 4 * 1024 * 1024;
/// Largest body of a batch of boots: 256 discharges.
const BOOT_BODY: usize = 2 * 1024 * 1024;
/// Largest body of anything else: a policy of 64 KiB, escaped.
const OTHER_BODY: usize = 256 * 1024;
/// Largest body of a token exchange: a JWT, and what goes with it.
const EXCHANGE_BODY: usize = 32 * 1024;
/// Media types of bodies.
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A request, taken apart.
pub(crate) struct Call {
    pub(crate) state: Arc<ServerState>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) peer: Peer,
    pub(crate) now: Timestamp,
    headers: HeaderMap,
    path: Option<HashMap<String, String>>,
    query: Option<String>,
    limit: usize,
    // Read late: whoever has no valid token makes the server keep nothing.
    body: Mutex<Option<Body>>,
}

impl FromRequest<Arc<ServerState>> for Call {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, state: &Arc<ServerState>) -> Result<Self, Self::Rejection> {
        let (mut parts, body) = request.into_parts();
        let path = match RawPathParams::from_request_parts(&mut parts, state).await {
            Ok(params) => {
                Some(params.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
            }
            // Not UTF-8 after decoding: no name, so the handler will refuse it.
            Err(_) => None,
        };
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_else(|| Peer {
            source: "unknown".to_owned(),
            address: None,
            host: None,
        });
        Ok(Self {
            state: Arc::clone(state),
            engine: Arc::clone(&state.engine),
            peer,
            now: state.engine.now(),
            headers: parts.headers,
            path,
            query: parts.uri.query().map(str::to_owned),
            limit: limit_of(parts.uri.path()),
            body: Mutex::new(Some(body)),
        })
    }
}

impl Call {
    /// The audit of this request.
    pub(crate) fn audit(&self, action: &'static str) -> AuditRecord {
        AuditRecord::new(self.now, &self.peer, action)
    }

    /// The `Authorization` header. One that stands twice, or is no text, is none.
    pub(crate) fn authorization(&self) -> Option<&str> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// The principal behind the `Authorization` header.
    pub(crate) fn authenticate(&self, audit: &mut AuditRecord) -> Result<Principal, Failure> {
        self.engine.authenticate(self.authorization(), audit)
    }

    /// A part of the path as the name or id that it must be.
    pub(crate) fn param<T: FromStr<Err: std::fmt::Display>>(&self, name: &str) -> Result<T, Failure> {
        let path = self.path.as_ref().ok_or_else(|| {
            Failure::new(
                ErrorCode::BadName,
                "the path is not UTF-8 once its % escapes are decoded; names and ids are letters, digits and a few signs",
            )
        })?;
        let text = path.get(name).map_or("", String::as_str);
        text.parse().map_err(|error| Failure::new(ErrorCode::BadName, format!("{name} in the path: {error}")))
    }

    /// The query. Unknown parameters are refused: a misspelt one would silently not narrow.
    pub(crate) fn query<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let text = self.query.as_deref().unwrap_or("");
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let mut map = serde_json::Map::new();
        for pair in pairs {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = match value {
                "true" => serde_json::Value::Bool(true),
                "false" => serde_json::Value::Bool(false),
                text => match text.parse::<u64>() {
                    Ok(number) => serde_json::Value::from(number),
                    Err(_) => serde_json::Value::from(text),
                },
            };
            if map.insert(key.to_owned(), value).is_some() {
                return Err(bad_query());
            }
        }
        serde_json::from_value(serde_json::Value::Object(map)).map_err(|_| bad_query())
    }

    /// The body as a form (RFC 6749, appendix B): names and values in order. It is read now, once, within its limit
    /// and time, and before anybody is known: for a part of the callers at once.
    pub(crate) async fn form(&self) -> Result<Vec<(String, String)>, Failure> {
        let body = self.body(FORM, "the body is no form by its header");
        let body = self.state.body_queue.wait_for(body).await.ok_or_else(|| {
            let text =
                "too many requests at once, and this one's body did not come; nothing was changed; try again";
            Failure::new(ErrorCode::Busy, text).retry_after(1)
        })??;
        Ok(form_urlencoded::parse(&body).into_owned().collect())
    }

    /// The body as JSON, of a principal whose tokens still stand when it came.
    pub(crate) async fn json_of<T: DeserializeOwned>(&self, principal: &Principal) -> Result<T, Failure> {
        let wanted = self.json().await?;
        self.engine.recheck_revocations(principal)?;
        Ok(wanted)
    }

    /// The body as JSON. It is read now, once, within its limit and time; authenticate first.
    pub(crate) async fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let body = self.body(JSON, "the body is not JSON by its header").await?;
        // serde reads a list as an object's fields in order; nobody means that.
        if !body.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(&body).is_ok() {
            return Err(Failure::new(
                ErrorCode::BadRequest,
                "the body is JSON, but no object; nothing was changed; see /openapi.json",
            ));
        }
        serde_json::from_slice(&body).map_err(|error| bad_json(&error))
    }

    /// The body, if its header says that it is of this kind.
    async fn body(&self, wanted: &str, otherwise: &str) -> Result<Bytes, Failure> {
        let body =
            self.body.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_else(Body::empty);
        let body = read(body, self.limit, self.state.limits.seconds).await?;
        let header = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = header.and_then(|value| value.split(';').next()).unwrap_or_default();
        if kind.trim().eq_ignore_ascii_case(wanted) {
            return Ok(body);
        }
        Err(Failure::new(
            ErrorCode::UnsupportedMediaType,
            format!("{otherwise}; send `Content-Type: {wanted}`"),
        ))
    }
}

/// The whole body, within its limit and time.
async fn read(body: Body, limit: usize, seconds: u64) -> Result<Bytes, Failure> {
    let collected =
        tokio::time::timeout(Duration::from_secs(seconds), Limited::new(body, limit).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Failure::new(
            ErrorCode::BodyTooLarge,
            format!("the body is over {limit} bytes; nothing was changed; send less at once"),
        )),
        Ok(Err(_)) => {
            Err(Failure::new(ErrorCode::BadRequest, "the body broke off; nothing was changed; send it again"))
        }
        Err(_) => Err(Failure::new(
            ErrorCode::BadRequest,
            format!("the body did not come within {seconds} seconds; nothing was changed; send it again"),
        )),
    }
}

fn limit_of(path: &str) -> usize {
    if path.contains("/secrets") || path.contains("/secretkeys") {
        SECRETS_BODY
    } else if path == "/v1/boot" {
        BOOT_BODY
    } else if path == "/v1/token" {
        EXCHANGE_BODY
    } else {
        OTHER_BODY
    }
}

fn bad_query() -> Failure {
    Failure::new(
        ErrorCode::BadRequest,
        "a query parameter is unknown here, stands twice, or has the wrong type; see /openapi.json",
    )
}

/// What is wrong with a body, without a word of it: a value may stand where a name was wanted.
fn bad_json(error: &serde_json::Error) -> Failure {
    // What is wrong with the object as a whole stands at no place.
    let place = match error.line() {
        0 => "the object".to_owned(),
        line => format!("line {line}, column {}", error.column()),
    };
    let text = error.to_string();
    // Texts of our own types, which never repeat their input.
    let ours: [(&str, ErrorCode); 7] = [
        ("a secret key's name is", ErrorCode::BadName),
        ("a secret key's type is", ErrorCode::BadKey),
        ("a secret's name is", ErrorCode::BadName),
        ("an app's name is", ErrorCode::BadName),
        ("an org's name is", ErrorCode::BadName),
        ("a machine id is", ErrorCode::BadName),
        ("a host id is", ErrorCode::BadName),
    ];
    let values = [
        "value and value_b64 were both",
        "no value was given",
        "value_b64 is not base64",
        "a byte field is not",
    ];
    let plain = [
        "a name stands twice",
        "more than 4096 names",
        "missing field",
        "expected_version belongs",
        "an empty list would narrow nothing",
    ];
    let fact = text.split(" at line ").next().unwrap_or_default();
    if let Some((_, code)) = ours.iter().find(|(start, _)| text.starts_with(start)) {
        return Failure::new(*code, format!("{fact} ({place} of the body); nothing was changed"));
    }
    if values.iter().any(|start| text.starts_with(start)) {
        return Failure::new(
            ErrorCode::BadValue,
            format!("{fact} ({place} of the body); nothing was changed"),
        );
    }
    if plain.iter().any(|start| text.starts_with(start)) {
        return Failure::new(
            ErrorCode::BadRequest,
            format!("{fact} ({place} of the body); nothing was changed"),
        );
    }
    let what = match error.classify() {
        serde_json::error::Category::Data => "a field of the body is unknown or of the wrong type",
        _ => "the body is not well-formed JSON",
    };
    Failure::new(ErrorCode::BadRequest, format!("{what}, at {place}; nothing was changed; see /openapi.json"))
}

/// Makes the record durable, then the answer.
pub(crate) async fn finish<T: Serialize>(
    call: &Call,
    audit: AuditRecord,
    status: StatusCode,
    result: Result<T, Failure>,
) -> Response {
    let id = audit.request_id();
    match call.engine.conclude(&audit, result).await {
        Ok(answer) => json(status, id, &answer),
        Err(failure) => refuse(&call.state, id, &failure),
    }
}

/// As [`finish`], with nothing to say but that it was done.
pub(crate) async fn finish_empty(call: &Call, audit: AuditRecord, result: Result<(), Failure>) -> Response {
    let mut response = finish(call, audit, StatusCode::NO_CONTENT, result).await;
    if response.status() == StatusCode::NO_CONTENT {
        response.headers_mut().remove(CONTENT_TYPE);
        *response.body_mut() = Body::empty();
    }
    response
}

/// The error body. The internal text goes to the log, under the request id.
pub(crate) fn refuse(state: &ServerState, id: RequestId, failure: &Failure) -> Response {
    log_refusal(state, id, failure);
    let body = error_body(id, failure);
    let status =
        StatusCode::from_u16(failure.code().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(status, id, failure.retry_after_seconds(), &body)
}

/// A JSON answer that may say when to come back.
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

/// What the principal reads of a refusal.
pub(crate) fn error_body(id: RequestId, failure: &Failure) -> ErrorBody {
    ErrorBody {
        error: failure.external().to_owned(),
        error_description: None,
        status: failure.code(),
        request_id: Some(id),
    }
}

/// Counts a refusal, and tells the log its internal text, under the request id.
pub(crate) fn log_refusal(state: &ServerState, id: RequestId, failure: &Failure) {
    state.counters.refused(failure.code());
    if let Some(internal) = failure.internal_text() {
        tracing::warn!(request = %id, status = failure.code().as_str(), reason = internal, "request failed");
    } else {
        tracing::debug!(request = %id, status = failure.code().as_str(), "request refused");
    }
}

/// A JSON answer. Nobody may cache it.
pub(crate) fn json<T: Serialize>(status: StatusCode, id: RequestId, body: &T) -> Response {
    let mut bytes = WipedBuffer::default();
    // Serialising our own types into memory has no way to fail; half an answer would be worse than none.
    let bytes = serde_json::to_writer(&mut bytes, body)
        .map(|()| Bytes::from_owner(bytes.into_inner()))
        .unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use petsem_api::BulkUpdate;

    use super::*;

    #[test]
    fn a_json_error_never_repeats_the_body() {
        for body in [
            r#"{"values":"canary"}"#,
            r#"{"values":{"A":["canary"]}}"#,
            r#"{"values":{"canary-x":"v"}}"#,
            r#"{"canary":1}"#,
            r#"{"values":{"A":"canary"#,
            r#"{"values":{"A":canary}}"#,
            r#"{"values":{"A":{"canary":"x"}}}"#,
        ] {
            let error = serde_json::from_str::<BulkUpdate>(body).unwrap_err();
            let failure = bad_json(&error);
            assert!(!failure.external().contains("canary"), "{}", failure.external());
            assert!(failure.external().contains("nothing was changed"), "{}", failure.external());
        }
    }
}
