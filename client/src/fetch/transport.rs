//! One call over several endpoints: the near one first, the next on failure, until the deadline.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request};
use petsem_api::{ErrorBody, ErrorCode};
use zeroize::Zeroizing;

use super::clock::{self, Instant};
use super::connection::{Answer, ExchangeError, Pool};
use super::endpoint::Endpoint;
use super::error::{CallError, EndpointFailure, FailureKind, MalformedAnswer, printable};

/// How long calls take at most and how they are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// A whole call, with all its repetitions. Default 10 s.
    pub call: Duration,
    /// One attempt of a call that may be repeated. Default 4 s.
    pub attempt: Duration,
    /// The pause before an endpoint is asked a second time; it doubles each time, with jitter. Default 50 ms.
    pub first_pause: Duration,
    /// The longest such pause. Default 2 s.
    pub longest_pause: Duration,
    /// How often one endpoint is asked in one call. Default 4.
    pub attempts: u32,
    /// The pause before a discharger is polled a second time; it doubles each time. Default 1 s.
    pub first_poll: Duration,
    /// The longest such pause. Default 16 s: a person decided, and somebody waits.
    pub longest_poll: Duration,
    /// How long a refusal answers equal requests without asking again. Default 2 s, at most 5 s.
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

/// A request before it knows where it goes.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) body: Option<Zeroizing<Vec<u8>>>,
    /// What the body is.
    pub(crate) content: HeaderValue,
    /// Whether carrying it out twice is the same as once.
    pub(crate) repeatable: bool,
}

/// The endpoints that serve one kind of call, near one first.
pub(crate) struct Transport {
    pools: Vec<Pool>,
    timing: Timing,
}

/// What is known of one endpoint during one call.
struct Attempts {
    made: u32,
    ready_at: Instant,
    failure: Option<FailureKind>,
}

impl Transport {
    pub(crate) fn new(endpoints: Vec<Endpoint>, timing: Timing) -> Self {
        Self { pools: endpoints.into_iter().map(Pool::new).collect(), timing }
    }

    /// The body of petsem's success, of so many bytes at most, or why there is none.
    pub(crate) async fn send(
        &self,
        outgoing: Outgoing,
        largest: usize,
    ) -> Result<(Endpoint, Zeroizing<Vec<u8>>), CallError> {
        let said = self.carry(outgoing, largest, judge).await?;
        Ok((said.endpoint, said.body))
    }

    /// What a third party says, whatever the status, but for what is tried again and what HTTP itself means
    /// (1xx, and redirects, which are never followed).
    pub(crate) async fn ask(&self, outgoing: Outgoing, largest: usize) -> Result<Said, CallError> {
        self.carry(outgoing, largest, hear).await
    }

    async fn carry(
        &self,
        outgoing: Outgoing,
        largest: usize,
        judge: fn(&Endpoint, Answer) -> Result<Judged, CallError>,
    ) -> Result<Said, CallError> {
        let begin = clock::now();
        let deadline = begin + self.timing.call;
        let outgoing = Shared::new(outgoing);
        let mut tried: Vec<_> =
            self.pools.iter().map(|_| Attempts { made: 0, ready_at: begin, failure: None }).collect();
        let mut perhaps_done = false;
        while let Some(next) = self.next(&tried).filter(|next| next.ready_at < deadline) {
            let Some((pool, state)) = self.pools.get(next.at).zip(tried.get_mut(next.at)) else { break };
            clock::wait_until(next.ready_at).await;
            state.made += 1;
            let (failure, pause, sent) = match self.attempt(pool, &outgoing, largest, deadline).await? {
                Outcome::Answer(answer) => match judge(pool.endpoint(), answer)? {
                    Judged::Success(status, body) => {
                        return Ok(Said { endpoint: pool.endpoint().clone(), status, body });
                    }
                    Judged::Failure(kind, retry_after) => {
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
        // Without an endpoint nothing was tried, and nothing is known to be down.
        let all_tried = !tried.is_empty() && tried.iter().all(|state| state.failure.is_some());
        let failures = self.pools.iter().zip(tried).filter_map(|(pool, state)| {
            state.failure.map(|kind| EndpointFailure { endpoint: pool.endpoint().clone(), kind })
        });
        Err(CallError::Unavailable { failures: failures.collect(), all_tried, perhaps_done })
    }

    /// The endpoint to ask next: the one asked least that is ready, else the one that is ready first.
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
        pool: &Pool,
        outgoing: &Shared,
        largest: usize,
        deadline: Instant,
    ) -> Result<Outcome, CallError> {
        let left = deadline.saturating_duration_since(clock::now());
        let limit = if outgoing.repeatable { left.min(self.timing.attempt) } else { left };
        let exchange = pool.exchange(outgoing.request(pool.endpoint())?, !outgoing.repeatable, largest);
        match clock::within(limit, exchange).await {
            None => Ok(Outcome::Sent(FailureKind::TimedOut(limit))),
            Some(Ok(answer)) => Ok(Outcome::Answer(answer)),
            Some(Err(ExchangeError::Connect(kind))) => Ok(Outcome::NotSent(kind)),
            Some(Err(ExchangeError::Exchange(kind))) => Ok(Outcome::Sent(kind)),
            Some(Err(ExchangeError::TooLarge)) => Err(protocol(pool.endpoint(), MalformedAnswer::TooLarge)),
        }
    }
}

/// An answer, and who gave it.
pub(crate) struct Said {
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

enum Judged {
    Success(u16, Zeroizing<Vec<u8>>),
    Failure(FailureKind, Option<Duration>),
}

/// A request whose body every attempt shares.
struct Shared {
    method: Method,
    path: String,
    authorization: Option<HeaderValue>,
    body: Option<Bytes>,
    content: HeaderValue,
    repeatable: bool,
}

impl Shared {
    fn new(outgoing: Outgoing) -> Self {
        let Outgoing { method, path, authorization, body, content, repeatable } = outgoing;
        // The bytes stay in the one wiped buffer; attempts hold references to it.
        Self { method, path, authorization, body: body.map(Bytes::from_owner), content, repeatable }
    }

    fn request(&self, endpoint: &Endpoint) -> Result<Request<Full<Bytes>>, CallError> {
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
        builder.body(Full::new(self.body.clone().unwrap_or_default())).map_err(|_| CallError::Unsendable)
    }
}

fn judge(endpoint: &Endpoint, answer: Answer) -> Result<Judged, CallError> {
    let status = answer.status.as_u16();
    let said = || serde_json::from_slice::<ErrorBody>(&answer.body).ok();
    match status {
        200..=299 => Ok(Judged::Success(status, answer.body)),
        // With a time to come back, 401 is no verdict: the key of a JWT may be known by then.
        401 | 502..=504 if status != 401 || answer.retry_after.is_some() => {
            let body = said();
            let kind = FailureKind::Status {
                status,
                code: body.as_ref().map(|body| body.status),
                request_id: body.as_ref().and_then(|body| body.request_id),
                message: body.map(|body| printable(body.text())),
            };
            Ok(Judged::Failure(kind, answer.retry_after))
        }
        400..=599 => Err(match said() {
            Some(body) => CallError::Refused {
                status,
                code: body.status,
                message: printable(body.text()),
                request_id: body.request_id,
            },
            None => CallError::Refused {
                status,
                code: ErrorCode::Unknown,
                message: format!("{endpoint} answered HTTP {status} without petsem's reason"),
                request_id: None,
            },
        }),
        _ => Err(protocol(endpoint, MalformedAnswer::Status(status))),
    }
}

/// A third party's answer: only what passes is no answer.
fn hear(endpoint: &Endpoint, answer: Answer) -> Result<Judged, CallError> {
    match answer.status.as_u16() {
        502..=504 => judge(endpoint, answer),
        status @ (200..=299 | 400..=599) => Ok(Judged::Success(status, answer.body)),
        status => Err(protocol(endpoint, MalformedAnswer::Status(status))),
    }
}

/// Whether the server said so before it did anything.
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
