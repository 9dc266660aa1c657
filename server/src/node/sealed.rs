//! A sealed node: it listens, refuses every request with a notice, and waits to be unsealed.
//!
//! No key is in memory. The audit log continues: each line is chained to the one before, but has no MAC until there
//! are keys again. Nothing on the network can unseal the node; only the operator socket can.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use petsem_api::{ErrorCode, Readiness};
use petsem_audit::{AuditEvent, AuditLog, AuditOpenError, Outcome};
use petsem_engine::{AuditRecord, Failure, Timestamp, new_request_id, unlock};
use petsem_seals::SealSource;
use petsem_store::Store;

use crate::api::alive;
use crate::error::StartError;
use crate::http::{metrics, refusal};
use crate::messages;
use crate::node::identity::{has_lines, node_id};
use crate::node::lost_log::start_accepting_loss;
use crate::node::start::{Started, open_audit, start_opened};
use crate::operator::unseal_input::UnsealInput;
use crate::settings::Settings;

/// A node that holds the store, but no key.
pub(crate) struct SealedNode {
    pub(crate) settings: Settings,
    store: Arc<dyn Store>,
    audit: Option<AuditLog>,
    pub(crate) why: Why,
    pub(crate) since: Timestamp,
}

/// Why a node is sealed.
#[derive(Clone, Debug)]
pub(crate) enum Why {
    /// No seal opened the store at start.
    NoSeal {
        /// The error of each seal that was tried.
        tried: Vec<String>,
        /// The inputs from people that can open the store.
        people: Vec<String>,
    },
    /// An operator sealed it.
    Operator,
    /// A seal opens the store, but the audit log is missing or changed.
    LogLost {
        /// Which log, and what is wrong with it.
        what: String,
        /// The same without what to do about it.
        loss: String,
    },
}

impl Why {
    pub(crate) fn is_lost_log(&self) -> bool {
        self.loss().is_some()
    }

    /// What is changed or missing of a lost log.
    pub(crate) fn loss(&self) -> Option<&String> {
        match self {
            Self::LogLost { loss, .. } => Some(loss),
            Self::NoSeal { .. } | Self::Operator => None,
        }
    }

    /// The reason, one line for each fact.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Operator => vec![messages::SEALED_BY_OPERATOR.to_owned()],
            Self::LogLost { what, .. } => vec![what.clone()],
            Self::NoSeal { tried, people } => {
                let mut lines = tried.clone();
                if tried.is_empty() {
                    lines.push(messages::NO_SEAL_WITHOUT_A_PERSON.to_owned());
                }
                lines.extend(people.iter().map(|people| messages::opened_with(people)));
                lines
            }
        }
    }
}

/// The outcome of an attempt to unseal.
pub(crate) enum Unsealing {
    /// The store is open; with what was accepted of a lost audit log.
    Open(Box<Started>, Option<String>),
    /// The node is still sealed.
    Still(Box<SealedNode>, StartError),
    /// A seal opened the store, but the store cannot be served.
    Ended(StartError),
}

impl SealedNode {
    /// A sealed node, whose audit log is opened without keys.
    pub(crate) async fn begin(
        settings: Settings,
        store: Arc<dyn Store>,
        why: Why,
    ) -> Result<Self, StartError> {
        // Without a line there is no chain to continue: the node begins one once it has keys, or its log is lost.
        let audit = match node_id(&settings)?.filter(|_| has_lines(&settings)) {
            Some(node) => match open_audit(&settings, node, None) {
                Ok(opened) => Some(opened.log),
                Err(StartError::Audit(lost)) if lost.is_loss() => {
                    tracing::error!(reason = lost.to_string(), "the sealed server writes no audit lines");
                    None
                }
                Err(error) => return Err(error),
            },
            None => None,
        };
        let node = Self { settings, store, audit, why, since: Timestamp::now() };
        for reason in node.why.lines() {
            tracing::warn!(reason, "the server is sealed; `petsem operator unseal` opens it");
        }
        node.note("server.sealed", Outcome::Allowed, &node.why.lines().join("; "), None).await;
        Ok(node)
    }

    /// A node that waits for its audit log, or for an operator who accepts the loss.
    pub(crate) fn without_lines(settings: Settings, store: Arc<dyn Store>, lost: &AuditOpenError) -> Self {
        tracing::error!(reason = lost.to_string(), "the server does not serve without its audit log");
        let loss = lost.loss().unwrap_or_default();
        Self::without_log(settings, store, Why::LogLost { what: lost.to_string(), loss })
    }

    /// A sealed node whose audit log cannot be opened.
    pub(crate) fn without_log(settings: Settings, store: Arc<dyn Store>, why: Why) -> Self {
        Self { settings, store, audit: None, why, since: Timestamp::now() }
    }

    /// Whether it tries its configured seals again without a request: a seal that was unavailable may be available
    /// again, and so may a lost log. It tries no seal that counts wrong PINs, and none after an operator sealed the
    /// node.
    pub(crate) fn retries(&self) -> bool {
        !matches!(self.why, Why::Operator) && self.settings.seals.iter().any(SealSource::is_retryable)
    }

    /// Opens the store with the input, or with the configured seals if the input is empty. With `accepts_loss`, the
    /// node also serves if its audit log is lost.
    pub(crate) async fn unseal(
        self,
        input: UnsealInput,
        source: &str,
        is_requested: bool,
        accepts_loss: bool,
    ) -> Unsealing {
        let settings = self.settings.clone().opened_by(input);
        let mut tried = settings.clone();
        if !is_requested {
            tried.seals.retain(SealSource::is_retryable);
        }
        let unlocked = match unlock(&tried.seal_sources(), &*self.store).await {
            Ok(unlocked) => unlocked,
            Err(error) => {
                let error = tried.unlock_failed(error);
                if is_requested {
                    let text = error.to_string();
                    self.note("operator.unseal", Outcome::Denied, &text, Some(source)).await;
                }
                return Unsealing::Still(Box::new(self), error);
            }
        };
        // What people typed is not kept.
        let Self { settings, store, audit, why, .. } = self;
        if let Some(audit) = audit
            && let Err(error) = audit.close().await
        {
            return Unsealing::Ended(messages::audit_log_blocks_unsealing(&error));
        }
        let (own, held) = (settings.clone(), Arc::clone(&store));
        let started = match accepts_loss {
            true => start_accepting_loss(own, held, unlocked, source).await,
            false => start_opened(own, held, unlocked).await.map(|started| (started, None)),
        };
        let (started, accepted) = match started {
            Ok(started) => started,
            Err(StartError::Audit(lost)) if lost.is_loss() => {
                let node = Self::without_lines(settings, store, &lost);
                return Unsealing::Still(Box::new(node), StartError::Audit(lost));
            }
            Err(error) if accepts_loss => {
                return Unsealing::Still(Box::new(Self::without_log(settings, store, why)), error);
            }
            Err(error) => return Unsealing::Ended(error),
        };
        if accepted.is_some() {
            return Unsealing::Open(Box::new(started), accepted);
        }
        let mut audit = AuditRecord::on_node(started.state.engine.now(), source, "operator.unseal");
        audit.set_detail(messages::opened_by(&started.opened_by.description));
        match started.state.engine.record(&audit).await {
            Ok(()) => Unsealing::Open(Box::new(started), None),
            Err(failure) => Unsealing::Ended(failure.into()),
        }
    }

    /// Closes what is open.
    pub(crate) async fn stop(self) -> Result<(), String> {
        let audit = match &self.audit {
            Some(audit) => audit.close().await.map_err(|error| error.to_string()),
            None => Ok(()),
        };
        let store = self.store.close().await.map_err(|error| error.to_string());
        audit.and(store)
    }

    async fn note(&self, action: &'static str, outcome: Outcome, detail: &str, source: Option<&str>) {
        let Some(audit) = &self.audit else { return };
        let now = Timestamp::now();
        let id = new_request_id(now);
        let mut event = AuditEvent::new(now.millis(), id.to_string(), action, outcome);
        event.detail = Some(detail.to_owned());
        event.source = source.map(str::to_owned);
        if outcome == Outcome::Denied {
            event.reason = Some(ErrorCode::Sealed.as_str().into());
        }
        if let Err(error) = audit.append(event).await {
            tracing::error!(%error, action, "the audit line of this action was not written");
        }
    }
}

/// Every route of a node that has no key.
pub(crate) fn router(why: &Why) -> Router {
    match why {
        Why::LogLost { .. } => routes("audit_lost", messages::log_lost),
        Why::NoSeal { .. } | Why::Operator => routes("sealed", messages::node_sealed),
    }
}

/// Every route of a node that is dropping its keys.
pub(crate) fn sealing_router() -> Router {
    routes("not_ready", messages::node_sealing)
}

fn routes(status: &'static str, notice: fn() -> Failure) -> Router {
    // The request is not examined: there is no key to verify it.
    let refused = move || async move { refusal(new_request_id(Timestamp::now()), &notice()) };
    let measured = move || async move {
        let is_sealed = notice().code() == ErrorCode::Sealed;
        ([(CONTENT_TYPE, metrics::MEDIA_TYPE)], metrics::page_without_keys(is_sealed))
    };
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(move || async move { unready(status, &notice()) }))
        .route("/metrics", get(measured))
        .fallback(refused)
        .method_not_allowed_fallback(refused)
}

fn unready(status: &str, notice: &Failure) -> Response {
    let problems = vec![notice.external().to_owned()];
    let body = Readiness { ready: false, status: status.to_owned(), problems, warnings: Vec::new() };
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use petsem_api::ErrorBody;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn refusals_have_the_form_of_an_open_servers() {
        let lost = Why::LogLost { what: "it is missing".to_owned(), loss: String::new() };
        for (router, code) in [
            (router(&Why::Operator), ErrorCode::Sealed),
            (router(&lost), ErrorCode::AuditLost),
            (sealing_router(), ErrorCode::Stopping),
        ] {
            let request = Request::post("/v1/apps").body(Body::empty()).unwrap();
            let (head, body) = router.oneshot(request).await.unwrap().into_parts();
            let header = |name: &str| head.headers[name].to_str().unwrap();
            let body: ErrorBody = serde_json::from_slice(&to_bytes(body, 4096).await.unwrap()).unwrap();
            assert_eq!((head.status, body.status), (StatusCode::SERVICE_UNAVAILABLE, code));
            let id = body.request_id.unwrap().to_string();
            assert_eq!((header("petsem-request-id"), header("fly-request-id")), (&*id, &*id));
            assert_eq!((header("content-type"), header("cache-control")), ("application/json", "no-store"));
            assert_eq!(header("retry-after"), "30");
        }
    }
}
