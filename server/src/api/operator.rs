//! `/v1/operator/seal`. Unsealing is not a route: it happens on the node, where no remote client can prevent it.

use axum::http::StatusCode;
use petsem_api::Sealing;
use petsem_engine::{AuditRecord, Failure, Principal};

use crate::http::{Call, Route, tag};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/operator/seal")
            .named("sealServer", tag::SERVER, "Seal the server: wipe its keys")
            .described(
                "Needs the action `operate`. The response leaves first. Then requests end, the keys are wiped, and every \
                 route except health and metrics answers 503 `sealed`. `/readyz` says when it is done. No route unseals: \
                 that happens on the node, with `petsem operator unseal`.",
            )
            .audited("operator.seal")
            .answers(StatusCode::ACCEPTED, "Sealing has started.")
            .afterwards(|state| state.seal_requested.notify_one())
            .by(seal),
    ]
}

async fn seal(call: &Call<Principal>, audit: &mut AuditRecord) -> Result<Sealing, Failure> {
    call.credential.may_operate(audit, call.now)?;
    Ok(Sealing { status: "sealing".to_owned() })
}
