//! Calls without a usable answer, and endpoints that cannot be called.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use petsem_api::{ErrorCode, MAX_BATCH, RequestId, SecretName, is_unprintable};
use petsem_outbound::OutboundError;
use thiserror::Error;

use crate::fetch::Endpoint;

/// Longest text of a server that is repeated to people, in characters.
const REPEATED_MAXIMUM: usize = 500;

/// Why a text is not an endpoint. Each holds the text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Neither `http://HOST:PORT` nor `unix:/PATH`.
    #[error("{0} is not an endpoint; give http://127.0.0.1:PORT or unix:/absolute/path")]
    Malformed(String),
    /// `https://`, which this build does not support.
    #[error(
        "{0} cannot be called, TLS is not implemented: TLS comes with a later release; until then give \
         http://127.0.0.1:PORT or unix:/absolute/path"
    )]
    Tls(String),
    /// Plain HTTP to another machine.
    #[error(
        "{0} would carry secrets over a network in the clear: without TLS only loopback addresses and Unix sockets \
         are called; give http://127.0.0.1:PORT or unix:/absolute/path"
    )]
    NotLoopback(String),
}

/// What an [`EndpointError`] shows for an address with a password in it.
pub(crate) fn with_credentials() -> String {
    "(an address with credentials in it)".to_owned()
}

/// Why a call has no answer. Cloned when equal calls share one answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The server refused. The same request would be refused again.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code that programs act on.
        code: ErrorCode,
        /// The server's fact and hint.
        message: String,
        /// The request, as the audit log names it.
        request_id: Option<RequestId>,
    },
    /// No endpoint gave an answer within the call's deadline: the latest failure of each that was tried.
    Unavailable {
        /// In the order of the configuration.
        failures: Vec<EndpointFailure>,
        /// Whether every configured endpoint was tried. If not, this is not yet an outage.
        all_tried: bool,
        /// Whether the request may have been carried out.
        perhaps_done: bool,
    },
    /// An endpoint sent something that is not an answer to this call.
    Protocol {
        /// The endpoint.
        endpoint: Endpoint,
        /// What is wrong with it.
        malformed: MalformedAnswer,
    },
    /// The request could not be written: an invalid path or header.
    Unsendable,
    /// The credential cannot be sent in a header.
    BadCredentials,
    /// The token's third party is not in the configuration.
    UnknownDischarger {
        /// The location that the token names.
        location: String,
    },
    /// An outside discharger may not be called, or is not trusted. It was sent nothing.
    OutsideDischarger {
        /// The cause.
        source: Arc<OutboundError>,
    },
    /// The third party's poll URL is not on its own origin, or not absolute. It was not called.
    PollElsewhere {
        /// The location that the token names.
        location: String,
    },
    /// The third party requires a person to open a page, and the caller cannot show one.
    NeedsPerson {
        /// The location that the token names.
        location: String,
    },
    /// The third party had no decision within the time limit.
    NotReady {
        /// The location that the token names.
        location: String,
        /// The time limit.
        waited: Duration,
    },
    /// The answer lacks a secret that was requested by name.
    SecretMissing {
        /// The name.
        name: SecretName,
    },
    /// More Machines than one batch may have.
    BatchTooLarge {
        /// How many there were.
        boots: usize,
    },
}

/// What happened at one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointFailure {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The failure.
    pub kind: FailureKind,
}

/// How an endpoint failed to answer. Of these, only a broken connection does not count as an outage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection.
    Unreachable(Arc<dyn std::error::Error + Send + Sync>),
    /// A connection that broke before the answer was complete: a server was there.
    Broken(Arc<dyn std::error::Error + Send + Sync>),
    /// No complete answer within this time.
    TimedOut(Duration),
    /// 502, 503 or 504, or 401 with `Retry-After`.
    Status {
        /// The HTTP status.
        status: u16,
        /// The code of petsem's own error body, if there was one.
        code: Option<ErrorCode>,
        /// The message of that body.
        message: Option<String>,
        /// The request, as the audit log names it.
        request_id: Option<RequestId>,
    },
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MalformedAnswer {
    /// A body over its limit: 8 MiB, of a batch 288 MiB, of a discharger 128 KiB.
    #[error("is over its size limit")]
    TooLarge,
    /// Neither a discharge nor a poll URL.
    #[error("has neither a discharge nor a poll URL")]
    NoDischarge,
    /// A page for a person that is not an http URL.
    #[error("has a page for a person that is not an http URL")]
    NoPage,
    /// A success whose body is not the JSON of this call.
    #[error("is not the JSON of this call")]
    NotTheJson,
    /// A status that petsem does not use (1xx, 3xx).
    #[error("has HTTP status {0}, which petsem never uses")]
    Status(u16),
    /// The number of results differs from the number of Machines in the batch.
    #[error("has another number of results than the batch has Machines")]
    BatchLength,
    /// Another app or Machine than requested.
    #[error("is for another app or Machine")]
    AnotherMachine,
    /// A lower app version than requested.
    #[error("has an older version than was requested")]
    OlderVersion,
}

impl CallError {
    /// The code that programs act on, if petsem gave one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unavailable { failures, .. } => failures.iter().find_map(|failure| match failure.kind {
                FailureKind::Status { code, .. } => code,
                _ => None,
            }),
            _ => None,
        }
    }

    /// Whether petsem is down: every endpoint was tried, and each gave no connection, a timeout, or 502, 503 or
    /// 504. Only then may a host use its cache.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable { failures, all_tried: true, .. } => {
                failures.iter().all(|failure| !matches!(failure.kind, FailureKind::Broken(_)))
            }
            _ => false,
        }
    }

    /// Whether every endpoint answered and gave its reason: those texts have their own hints.
    fn every_endpoint_gave_its_reason(&self) -> bool {
        let Self::Unavailable { failures, .. } = self else { return false };
        let gave = |failure: &EndpointFailure| {
            matches!(failure.kind, FailureKind::Status { code: Some(_), message: Some(_), .. })
        };
        !failures.is_empty() && failures.iter().all(gave)
    }

    /// Whether the same request gets this answer again for a while.
    pub(crate) fn is_definite(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                matches!(status, 401 | 403 | 404 | 410) || *code == ErrorCode::Integrity
            }
            _ => false,
        }
    }
}

// By hand: the source of `Unavailable` is that of one of its failures.
impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message, code, request_id, .. } => {
                write!(f, "petsem refused ({code}): {message}{}", request(*request_id))
            }
            Self::Unavailable { failures, perhaps_done, .. } => {
                let answered = self.every_endpoint_gave_its_reason();
                f.write_str(if answered { "petsem cannot do it now: " } else { "petsem does not answer: " })?;
                for (at, failure) in failures.iter().enumerate() {
                    write!(f, "{}{failure}", if at == 0 { "" } else { "; " })?;
                }
                f.write_str(match (perhaps_done, answered) {
                    (true, _) => ". The request may have been carried out: look before you repeat it",
                    (false, true) => "",
                    (false, false) => ". Check that petsem runs and that the endpoint is right",
                })
            }
            Self::Protocol { endpoint, malformed } => write!(
                f,
                "the answer of {endpoint} {malformed}; check that the endpoint is a petsem server of this version"
            ),
            Self::Unsendable => f.write_str("the request cannot be written as HTTP; check path and names"),
            Self::BadCredentials => f.write_str(
                "the token cannot be sent in a header; give the text that starts with fm2_, or a JWT, under 64 KiB",
            ),
            Self::UnknownDischarger { location } => write!(
                f,
                "the token needs a discharge from {location}, which is not a configured discharger; add it to the \
                 configuration if you trust it with your proofs"
            ),
            Self::OutsideDischarger { source } => write!(f, "{source}; {}", outside_hint(source)),
            Self::PollElsewhere { location } => write!(
                f,
                "the discharger {location} gave a poll URL of another origin, which was not called; tell its operator"
            ),
            Self::NeedsPerson { location } => write!(
                f,
                "the discharger {location} requires a person to open a page, and none can be shown here; repeat \
                 this where a person can open it"
            ),
            Self::NotReady { location, waited } => write!(
                f,
                "no decision at {location} within {} s; ask again and wait longer, or remind the approver",
                waited.as_secs()
            ),
            Self::SecretMissing { name } => {
                write!(f, "the app has no secret {name} that this credential may read; check name and policy")
            }
            Self::BatchTooLarge { boots } => {
                write!(f, "{boots} Machines are too many for one batch; boot at most {MAX_BATCH} together")
            }
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable { failures, .. } => failures.iter().find_map(std::error::Error::source),
            Self::OutsideDischarger { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl fmt::Display for EndpointFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = &self.endpoint;
        match &self.kind {
            FailureKind::Unreachable(source) => write!(f, "{endpoint} cannot be reached ({source})"),
            FailureKind::Broken(source) => write!(f, "{endpoint} gave no complete answer ({source})"),
            FailureKind::TimedOut(after) => {
                write!(f, "{endpoint} gave no answer within {:.1} s", after.as_secs_f64())
            }
            FailureKind::Status { status, code: None, .. } => write!(f, "{endpoint} answered HTTP {status}"),
            FailureKind::Status { code: Some(code), message, request_id, .. } => {
                write!(f, "{endpoint} answered {code}")?;
                if let Some(message) = message {
                    write!(f, ": {message}")?;
                }
                f.write_str(&request(*request_id))
            }
        }
    }
}

// By hand: the source is that of `kind`, which is not an error itself.
impl std::error::Error for EndpointFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            FailureKind::Unreachable(source) | FailureKind::Broken(source) => Some(source.as_ref()),
            FailureKind::TimedOut(_) | FailureKind::Status { .. } => None,
        }
    }
}

/// The message of a refusal without a readable error body.
pub(crate) fn no_reason(endpoint: &Endpoint, status: u16) -> String {
    format!("{endpoint} answered HTTP {status} without a reason")
}

/// A server's text as an error may repeat it: short, on one line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(REPEATED_MAXIMUM).map(|c| if is_unprintable(c) { ' ' } else { c }).collect()
}

fn request(id: Option<RequestId>) -> String {
    id.map_or(String::new(), |id| format!(" (request {id})"))
}

fn outside_hint(error: &OutboundError) -> &'static str {
    match error {
        OutboundError::PrivateAddress { .. } => "if this is intended, list the host as private",
        OutboundError::NoSystemCas => "install them, or name a file of CAs",
        OutboundError::Tls { .. } => "check its certificate, and the CAs that are trusted here",
        _ => "check the location",
    }
}
