//! `/v1/operator/seal`. Unsealing is no route: it is done on the node, where no stranger can stand in its way.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::Sealing;

use petsem_engine::{AuditRecord, Failure};

use crate::http::request::{Call, finish};

/// `POST /v1/operator/seal`: the answer leaves first, then the keys go; `/readyz` says when they are gone.
pub(super) async fn seal(call: Call) -> Response {
    let mut audit = call.audit("operator.seal");
    let result = seal_it(&call, &mut audit);
    let response = finish(&call, audit, StatusCode::ACCEPTED, result).await;
    if response.status() == StatusCode::ACCEPTED {
        call.state.seal_requested.notify_one();
    }
    response
}

fn seal_it(call: &Call, audit: &mut AuditRecord) -> Result<Sealing, Failure> {
    let principal = call.authenticate(audit)?;
    call.engine.may_seal(audit, &principal, call.now)?;
    Ok(Sealing { status: "sealing".to_owned() })
}
