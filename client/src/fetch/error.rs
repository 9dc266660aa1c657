//! What a call that yields nothing says. All text that people read about calls stands in this file; none of
//! it holds a token or a value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use petsem_api::{ErrorCode, RequestId, SecretName};

use super::endpoint::Endpoint;

/// Longest foreign text that is repeated to people, in characters.
const LONGEST_FOREIGN: usize = 500;

/// Why a call has no answer. Cloned when equal calls share one answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// petsem answered, and the answer is no. Asking again changes nothing by itself.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code that programs act on.
        code: ErrorCode,
        /// What happened and what to do, in the server's words.
        message: String,
        /// The request, as the audit log names it.
        request_id: Option<RequestId>,
    },
    /// No endpoint gave an answer within the call's deadline: the latest failure of each that was tried.
    Unavailable {
        /// In the order of the configuration.
        failures: Vec<EndpointFailure>,
        /// Whether every configured endpoint was tried. If not, this is no outage yet.
        all_tried: bool,
        /// Whether the request may have been carried out all the same.
        perhaps_done: bool,
    },
    /// An endpoint answered something that is no answer to this call.
    Protocol {
        /// Which.
        endpoint: Endpoint,
        /// What was wrong with it.
        malformed: MalformedAnswer,
    },
    /// The request could not be written down: a path or header out of form.
    Unsendable,
    /// The credential that was given cannot stand in a header.
    BadCredentials,
    /// The token's third party is none of those in the configuration.
    UnknownDischarger {
        /// The location that the token names.
        location: String,
    },
    /// The third party's poll URL is not on its own origin, or no absolute URL: it was not asked.
    PollElsewhere {
        /// The location that the token names.
        location: String,
    },
    /// The third party wants a person to open a page, and there is no way to show one.
    NeedsPerson {
        /// The location that the token names.
        location: String,
    },
    /// Nobody decided within the time that there was.
    NotReady {
        /// The location that the token names.
        location: String,
        /// How long it was asked.
        waited: Duration,
    },
    /// A secret that was asked for by name did not come.
    SecretMissing {
        /// The name.
        name: SecretName,
    },
    /// More Machines than one batch takes.
    BatchTooLarge {
        /// How many there were.
        boots: usize,
    },
}

/// What happened at one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointFailure {
    /// Which.
    pub endpoint: Endpoint,
    /// What.
    pub kind: FailureKind,
}

/// How an endpoint failed to answer. Only a broken answer does not count as "petsem is down".
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection.
    Unreachable(Arc<dyn std::error::Error + Send + Sync>),
    /// A connection that broke before the answer was whole. Somebody was there.
    Broken(Arc<dyn std::error::Error + Send + Sync>),
    /// No whole answer within this time.
    TimedOut(Duration),
    /// 502, 503 or 504.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MalformedAnswer {
    /// A body over its bound: 8 MiB, of a batch 288 MiB, of a discharger 128 KiB.
    TooLarge,
    /// Neither a discharge nor a way to one.
    NoDischarge,
    /// A page for a person that is no http URL.
    NoPage,
    /// A success whose body is not the JSON of this call.
    NotTheJson,
    /// A status that petsem does not answer (1xx, 3xx).
    Status(u16),
    /// Another number of results than Machines in the batch.
    BatchLength,
    /// Another app or Machine than was asked for.
    AnotherMachine,
    /// A lower app version than was asked for.
    OlderVersion,
}

impl CallError {
    /// The code that programs act on, where petsem named one.
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

    /// Whether the centre is down: every endpoint was tried, and each gave no connection, a time-out, or
    /// 502, 503 or 504. Only then may a host fall back on what it keeps.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable { failures, all_tried: true, .. } => {
                failures.iter().all(|failure| !matches!(failure.kind, FailureKind::Broken(_)))
            }
            _ => false,
        }
    }

    /// Whether petsem answered everywhere, and said why not now: its texts carry their own advice.
    fn every_endpoint_gave_its_reason(&self) -> bool {
        let Self::Unavailable { failures, .. } = self else { return false };
        let gave = |failure: &EndpointFailure| {
            matches!(failure.kind, FailureKind::Status { code: Some(_), message: Some(_), .. })
        };
        !failures.is_empty() && failures.iter().all(gave)
    }

    /// Whether this is an answer that stays the same for a while.
    pub(crate) fn is_definite(&self) -> bool {
        match self {
            Self::Refused { status, code, .. } => {
                matches!(status, 401 | 403 | 404 | 410) || *code == ErrorCode::Integrity
            }
            _ => false,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message, code, request_id, .. } => {
                write!(f, "petsem refused ({code}): {message}")?;
                request(f, *request_id)
            }
            Self::Unavailable { failures, perhaps_done, .. } => {
                let answered = self.every_endpoint_gave_its_reason();
                f.write_str(if answered { "petsem cannot do it now: " } else { "petsem does not answer: " })?;
                for (at, failure) in failures.iter().enumerate() {
                    if at > 0 {
                        f.write_str("; ")?;
                    }
                    failure.fmt(f)?;
                }
                if *perhaps_done {
                    f.write_str(
                        ". It is not known whether the request was carried out: look before you repeat it",
                    )
                } else if answered {
                    Ok(())
                } else {
                    f.write_str(". Check that petsem runs and that the endpoint is right")
                }
            }
            Self::Protocol { endpoint, malformed } => {
                write!(f, "{endpoint} answered {malformed}: check that this is a petsem server, of this version")
            }
            Self::Unsendable => f.write_str("the request cannot be written as HTTP: check path and names"),
            Self::BadCredentials => f.write_str(
                "the token cannot stand in a header: give the text that starts with fm2_, or a JWT, under 64 KiB",
            ),
            Self::UnknownDischarger { location } => write!(
                f,
                "the token wants a discharge from {location}, which is none of the configured dischargers: name \
                 it in the configuration if you trust it with your proofs"
            ),
            Self::PollElsewhere { location } => write!(
                f,
                "the discharger {location} named a place to ask again that is not its own; it was not asked: tell \
                 whoever runs it"
            ),
            Self::NeedsPerson { location } => write!(
                f,
                "the discharger {location} wants a person to open a page, and none can be shown here: ask where \
                 there is somebody to open it"
            ),
            Self::NotReady { location, waited } => write!(
                f,
                "nobody decided at {location} within {} s: ask again, and wait longer or remind them",
                waited.as_secs()
            ),
            Self::SecretMissing { name } => {
                write!(f, "the app has no secret {name} that this credential may read: check name and policy")
            }
            Self::BatchTooLarge { boots } => write!(
                f,
                "{boots} Machines in one batch are too many: boot at most {} together",
                petsem_api::MAX_BATCH
            ),
        }
    }
}

/// A foreign text as it may stand in an error: short, on one line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(LONGEST_FOREIGN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn request(f: &mut fmt::Formatter<'_>, id: Option<RequestId>) -> fmt::Result {
    id.map_or(Ok(()), |id| write!(f, " (request {id})"))
}

impl fmt::Display for EndpointFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = &self.endpoint;
        match &self.kind {
            FailureKind::Unreachable(source) => write!(f, "{endpoint} cannot be reached ({source})"),
            FailureKind::Broken(source) => write!(f, "{endpoint} broke off its answer ({source})"),
            FailureKind::TimedOut(after) => {
                write!(f, "{endpoint} gave no answer within {:.1} s", after.as_secs_f64())
            }
            FailureKind::Status { status, code: None, .. } => write!(f, "{endpoint} answered HTTP {status}"),
            FailureKind::Status { code: Some(code), message, request_id, .. } => {
                write!(f, "{endpoint} answered {code}")?;
                if let Some(message) = message {
                    write!(f, ": {message}")?;
                }
                request(f, *request_id)
            }
        }
    }
}

impl fmt::Display for MalformedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("more than it may"),
            Self::NoDischarge => f.write_str("neither a discharge nor a way to one"),
            Self::NoPage => f.write_str("with a page for a person that is no http URL"),
            Self::NotTheJson => f.write_str("something that is not the JSON of this call"),
            Self::Status(status) => write!(f, "HTTP {status}, which petsem never does"),
            Self::BatchLength => f.write_str("another number of results than there were Machines"),
            Self::AnotherMachine => f.write_str("for another app or Machine than was asked for"),
            Self::OlderVersion => f.write_str("with an older version than was asked for"),
        }
    }
}

impl std::error::Error for CallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable { failures, .. } => failures.iter().find_map(|failure| match &failure.kind {
                FailureKind::Unreachable(source) | FailureKind::Broken(source) => {
                    Some(source.as_ref() as &(dyn std::error::Error + 'static))
                }
                _ => None,
            }),
            _ => None,
        }
    }
}
