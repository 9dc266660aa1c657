//! One call over several endpoints: the nearest first, the next on failure, until the deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use petsem_api::{ErrorBody, ErrorCode};
use petsem_outbound::{OutboundClient, OutboundUrl};
use zeroize::Zeroizing;

use super::clock::{self, Instant};
use super::connection::{Answer, ExchangeError, Pool};
use super::endpoint::Endpoint;
use super::outside::OutsideDischarger;
use crate::error::{CallError, EndpointFailure, FailureKind, MalformedAnswer, no_reason, printable};

/// The deadlines of calls and how they are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// A whole call, with all its retries. Default 10 s.
    pub call: Duration,
    /// One attempt of a call that may be retried. Default 4 s.
    pub attempt: Duration,
    /// The pause before an endpoint is called a second time; it doubles each time, with jitter. Default 50 ms.
    pub first_pause: Duration,
    /// The longest such pause. Default 2 s.
    pub longest_pause: Duration,
    /// How often one endpoint is called in one call. Default 4.
    pub attempts: u32,
    /// The pause before a discharger is polled a second time; it doubles each time. Default 1 s.
    pub first_poll: Duration,
    /// The longest such pause. Default 16 s: once the person has decided, the caller waits no longer.
    pub longest_poll: Duration,
    /// How long equal requests get a remembered refusal. Default 2 s, at most 5 s.
    pub refusals: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(10),
            attempt: Duration::from_secs(4),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
            attempts: 4,
            first_poll: Duration::from_secs(1),
            longest_poll: Duration::from_secs(16),
            refusals: Duration::from_secs(2),
        }
    }
}

/// A request before its endpoint is chosen.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
    /// The media type of the body.
    pub(crate) content: HeaderValue,
    /// Whether it may be carried out twice.
    pub(crate) repeatable: bool,
}

/// The servers of one kind of call, nearest first.
pub(crate) struct Transport {
    servers: Vec<Server>,
    timing: Timing,
}

/// A server that is called.
enum Server {
    /// petsem, or a discharger on this machine, over kept connections.
    Pool(Pool),
    /// A third party over HTTPS.
    Outside(OutsideDischarger),
}

/// The state of one server during one call.
struct Attempts {
    made: u32,
    ready_at: Instant,
    failure: Option<FailureKind>,
}

impl Transport {
    pub(crate) fn new(endpoints: Vec<Endpoint>, timing: Timing) -> Self {
        Self {
            servers: endpoints.into_iter().map(|endpoint| Server::Pool(Pool::new(endpoint))).collect(),
            timing,
        }
    }

    /// An outside discharger, called over HTTPS at its own location.
    pub(crate) fn outside(location: OutboundUrl, client: Arc<OutboundClient>, timing: Timing) -> Self {
        Self { servers: vec![Server::Outside(OutsideDischarger::new(location, client))], timing }
    }

    /// The body of petsem's success, of at most `largest` bytes.
    pub(crate) async fn send(
        &self,
        outgoing: Outgoing,
        largest: usize,
    ) -> Result<(Endpoint, Zeroizing<Vec<u8>>), CallError> {
        let answer = self.send_with_retries(outgoing, largest, assess_petsem).await?;
        Ok((answer.endpoint, answer.body))
    }

    /// The answer of a third party with any status, except those that are retried (502, 503, 504) and 1xx and
    /// redirects, which are never followed.
    pub(crate) async fn send_to_third_party(
        &self,
        outgoing: Outgoing,
        largest: usize,
    ) -> Result<ServerAnswer, CallError> {
        self.send_with_retries(outgoing, largest, assess_third_party).await
    }

    async fn send_with_retries(
        &self,
        outgoing: Outgoing,
        largest: usize,
        assess: fn(&Endpoint, Answer) -> Result<Assessment, CallError>,
    ) -> Result<ServerAnswer, CallError> {
        let begin = clock::now();
        let deadline = begin + self.timing.call;
        let outgoing = SharedRequest::new(outgoing);
        let mut tried: Vec<_> =
            self.servers.iter().map(|_| Attempts { made: 0, ready_at: begin, failure: None }).collect();
        let mut perhaps_done = false;
        while let Some(next) = self.next(&tried).filter(|next| next.ready_at < deadline) {
            let Some((server, state)) = self.servers.get(next.at).zip(tried.get_mut(next.at)) else { break };
            clock::wait_until(next.ready_at).await;
            state.made += 1;
            let (failure, pause, sent) = match self.attempt(server, &outgoing, largest, deadline).await? {
                Outcome::Answer(answer) => match assess(server.endpoint(), answer)? {
                    Assessment::Success(status, body) => {
                        return Ok(ServerAnswer { endpoint: server.endpoint().clone(), status, body });
                    }
                    Assessment::Failure(kind, retry_after) => {
                        let sent = !declined(&kind);
                        (kind, retry_after, sent)
                    }
                },
                Outcome::NotSent(kind) => (kind, None, false),
                Outcome::Sent(kind) => (kind, None, true),
            };
            let backoff = clock::jittered(self.pause(state.made));
            state.ready_at = clock::now() + pause.map_or(backoff, |pause| pause.max(backoff));
            state.failure = Some(failure);
            if sent && !outgoing.repeatable {
                perhaps_done = true;
                break;
            }
        }
        // Without an endpoint nothing was tried, so this is not an outage.
        let all_tried = !tried.is_empty() && tried.iter().all(|state| state.failure.is_some());
        let failures = self.servers.iter().zip(tried).filter_map(|(server, state)| {
            state.failure.map(|kind| EndpointFailure { endpoint: server.endpoint().clone(), kind })
        });
        Err(CallError::Unavailable { failures: failures.collect(), all_tried, perhaps_done })
    }

    /// The server to call next: of those that are ready the one called least, else the one that is ready first.
    fn next(&self, tried: &[Attempts]) -> Option<Next> {
        let now = clock::now();
        let open = tried.iter().enumerate().filter(|(_, state)| state.made < self.timing.attempts.max(1));
        open.map(|(at, state)| (state.ready_at.max(now), state.made, at))
            .min()
            .map(|(ready_at, _, at)| Next { at, ready_at })
    }

    fn pause(&self, made: u32) -> Duration {
        let doubled = self.timing.first_pause.saturating_mul(2_u32.saturating_pow(made.saturating_sub(1)));
        doubled.min(self.timing.longest_pause)
    }

    async fn attempt(
        &self,
        server: &Server,
        outgoing: &SharedRequest,
        largest: usize,
        deadline: Instant,
    ) -> Result<Outcome, CallError> {
        let left = deadline.saturating_duration_since(clock::now());
        let limit = if outgoing.repeatable { left.min(self.timing.attempt) } else { left };
        match clock::within(limit, server.exchange(outgoing, largest)).await {
            None => Ok(Outcome::Sent(FailureKind::TimedOut(limit))),
            Some(Ok(answer)) => Ok(Outcome::Answer(answer)),
            Some(Err(ExchangeError::Connect(kind))) => Ok(Outcome::NotSent(kind)),
            Some(Err(ExchangeError::Exchange(kind))) => Ok(Outcome::Sent(kind)),
            Some(Err(ExchangeError::TooLarge)) => Err(protocol(server.endpoint(), MalformedAnswer::TooLarge)),
            Some(Err(ExchangeError::Redirect(status))) => {
                Err(protocol(server.endpoint(), MalformedAnswer::Status(status)))
            }
            Some(Err(ExchangeError::Unsendable)) => Err(CallError::Unsendable),
            Some(Err(ExchangeError::NotCallable(source))) => Err(CallError::OutsideDischarger { source }),
        }
    }
}

impl Server {
    fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Pool(pool) => pool.endpoint(),
            Self::Outside(discharger) => discharger.endpoint(),
        }
    }

    async fn exchange(&self, outgoing: &SharedRequest, largest: usize) -> Result<Answer, ExchangeError> {
        match self {
            Self::Pool(pool) => {
                let request = outgoing.request(pool.endpoint())?;
                pool.exchange(request, !outgoing.repeatable, largest).await
            }
            Self::Outside(discharger) => discharger.exchange(outgoing, largest).await,
        }
    }
}

/// An answer, and the endpoint that gave it.
pub(crate) struct ServerAnswer {
    pub(crate) endpoint: Endpoint,
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

struct Next {
    at: usize,
    ready_at: Instant,
}

enum Outcome {
    Answer(Answer),
    NotSent(FailureKind),
    Sent(FailureKind),
}

enum Assessment {
    Success(u16, Zeroizing<Vec<u8>>),
    Failure(FailureKind, Option<Duration>),
}

/// A request whose body all attempts share.
pub(crate) struct SharedRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) body: Option<Bytes>,
    pub(super) content: HeaderValue,
    repeatable: bool,
}

impl SharedRequest {
    fn new(outgoing: Outgoing) -> Self {
        let Outgoing { method, path, authorization, body, content, repeatable } = outgoing;
        // The bytes stay in one wiped buffer; attempts have references to it.
        Self { method, path, authorization, body: body.map(Bytes::from_owner), content, repeatable }
    }

    fn request(&self, endpoint: &Endpoint) -> Result<Request<Full<Bytes>>, ExchangeError> {
        let mut builder = Request::builder()
            .method(self.method.clone())
            .uri(self.path.as_str())
            .header(HOST, endpoint.authority())
            .header(ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            builder = builder.header(AUTHORIZATION, authorization.clone());
        }
        if self.body.is_some() {
            builder = builder.header(CONTENT_TYPE, self.content.clone());
        }
        builder.body(Full::new(self.body.clone().unwrap_or_default())).map_err(|_| ExchangeError::Unsendable)
    }
}

fn assess_petsem(endpoint: &Endpoint, answer: Answer) -> Result<Assessment, CallError> {
    let status = answer.status;
    let error_body = || serde_json::from_slice::<ErrorBody>(&answer.body).ok();
    match status {
        200..=299 => Ok(Assessment::Success(status, answer.body)),
        // 401 with `Retry-After` is not a refusal: the key of a JWT may be known by then.
        401 | 502..=504 if status != 401 || answer.retry_after.is_some() => {
            let body = error_body();
            let kind = FailureKind::Status {
                status,
                code: body.as_ref().map(|body| body.status),
                request_id: body.as_ref().and_then(|body| body.request_id),
                message: body.map(|body| printable(body.text())),
            };
            Ok(Assessment::Failure(kind, answer.retry_after))
        }
        400..=599 => Err(match error_body() {
            Some(body) => CallError::Refused {
                status,
                code: body.status,
                message: printable(body.text()),
                request_id: body.request_id,
            },
            None => CallError::Refused {
                status,
                code: ErrorCode::Unknown,
                message: no_reason(endpoint, status),
                request_id: None,
            },
        }),
        _ => Err(protocol(endpoint, MalformedAnswer::Status(status))),
    }
}

/// The answer of a third party, unless it is one that is retried.
fn assess_third_party(endpoint: &Endpoint, answer: Answer) -> Result<Assessment, CallError> {
    match answer.status {
        502..=504 => assess_petsem(endpoint, answer),
        status @ (200..=299 | 400..=599) => Ok(Assessment::Success(status, answer.body)),
        status => Err(protocol(endpoint, MalformedAnswer::Status(status))),
    }
}

/// Whether the server refused before it did anything.
fn declined(kind: &FailureKind) -> bool {
    let FailureKind::Status { code: Some(code), .. } = kind else { return false };
    matches!(
        code,
        ErrorCode::TokenInvalid
            | ErrorCode::Busy
            | ErrorCode::Stopping
            | ErrorCode::Sealed
            | ErrorCode::VersionNotReached
            | ErrorCode::IssuerUnavailable
    )
}

pub(crate) fn protocol(endpoint: &Endpoint, malformed: MalformedAnswer) -> CallError {
    CallError::Protocol { endpoint: endpoint.clone(), malformed }
}
