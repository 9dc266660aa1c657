//! Keep-alive connections to one endpoint, and one exchange over one of them.
//!
//! The pool is a short list. A host makes few calls at a time: a missing connection is opened, and one that does
//! not fit into the list is closed.
//!
//! It is hyper and not a complete client such as `reqwest`: Unix sockets are called like loopback addresses; a request
//! is repeated only if hyper gives it back unsent; and an answer goes into one buffer that is wiped. Outside
//! dischargers are called by `petsem-outbound`, whose page says why that one is not complete either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use petsem_api::WipedBuffer;
use petsem_outbound::OutboundError;
use tokio::net::{TcpStream, UnixStream};
use zeroize::Zeroizing;

use super::endpoint::{Endpoint, Place};
use crate::error::FailureKind;

/// Idle connections that are kept for one endpoint.
const IDLE: usize = 16;
/// Longest `Retry-After` that is used, in seconds.
const LONGEST_PAUSE: u64 = 3600;

type Sender = SendRequest<Full<Bytes>>;

/// One endpoint with its idle connections.
pub(crate) struct Pool {
    endpoint: Endpoint,
    idle: Mutex<Vec<Sender>>,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// What went wrong in one exchange.
pub(crate) enum ExchangeError {
    /// Nothing was sent.
    Connect(FailureKind),
    /// The request, or a part of it, was sent.
    Exchange(FailureKind),
    /// The answer is over its limit.
    TooLarge,
    /// The answer of an outside discharger is a redirect.
    Redirect(u16),
    /// The request cannot be written.
    Unsendable,
    /// An outside discharger may not be called, or is not trusted.
    NotCallable(Arc<OutboundError>),
}

impl Pool {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, idle: Mutex::default() }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends one request and reads the whole answer. With `fresh`, never over a kept connection, which the
    /// server may have closed meanwhile. An answer over `largest` bytes is not read to its end.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        fresh: bool,
        largest: usize,
    ) -> Result<Answer, ExchangeError> {
        let kept = if fresh { None } else { self.take() };
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await.map_err(ExchangeError::Connect)?,
        };
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => {
                let Some(request) = error.take_message() else {
                    return Err(broken(error.into_error()));
                };
                // A kept connection was closed and nothing was sent: retry over a new one.
                sender = self.connect().await.map_err(ExchangeError::Connect)?;
                let again = sender.send_request(request).await;
                again.map_err(broken)?
            }
        };
        let answer = read(response, largest).await?;
        self.put_back(sender);
        Ok(answer)
    }

    async fn connect(&self) -> Result<Sender, FailureKind> {
        match self.endpoint.place() {
            Place::Loopback(address) => {
                let stream = TcpStream::connect(address).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                start(TokioIo::new(stream)).await
            }
            // An outside discharger has no pool.
            Place::Outside(_) => {
                Err(FailureKind::Unreachable(Arc::new(std::io::Error::from(std::io::ErrorKind::Unsupported))))
            }
            Place::Unix(path) => {
                start(TokioIo::new(UnixStream::connect(path).await.map_err(unreachable)?)).await
            }
        }
    }

    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let ready = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(ready))
    }

    fn put_back(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !sender.is_closed() && idle.len() < IDLE {
            idle.push(sender);
        }
    }
}

async fn start<S>(stream: TokioIo<S>) -> Result<Sender, FailureKind>
where
    TokioIo<S>: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new().handshake(stream).await.map_err(unreachable)?;
    // It ends with its sender, whose caller gets the same error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

async fn read(response: Response<Incoming>, largest: usize) -> Result<Answer, ExchangeError> {
    let (head, mut incoming) = response.into_parts();
    let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.parse::<u64>().ok());
    // The header may only save a re-allocation; the limit applies regardless.
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let mut body = WipedBuffer::with_capacity(announced.min(64 * 1024));
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if body.len().saturating_add(data.len()) > largest {
            return Err(ExchangeError::TooLarge);
        }
        body.extend(data);
    }
    Ok(Answer {
        status: head.status.as_u16(),
        retry_after: retry_after.map(|seconds| Duration::from_secs(seconds.min(LONGEST_PAUSE))),
        body: body.into_inner().into(),
    })
}

fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> FailureKind {
    FailureKind::Unreachable(Arc::new(error))
}

fn broken(error: hyper::Error) -> ExchangeError {
    ExchangeError::Exchange(FailureKind::Broken(Arc::new(error)))
}
