//! `/v1/apps/{app}/boot`, renewals, reports, and the batch.

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use petsem_api::{
    AppRef, BATCH_ANSWERS, BATCH_AT_ONCE, BatchBootItem, BatchBootRequest, BatchBootResponse,
    BatchBootResult, BootReport, BootRequest, BootResponse, ErrorCode, MAX_BATCH, MachineId, RenewRequest,
    RenewResponse,
};
use petsem_engine::{AuditRecord, Boot, Failure, Verified};
use petsem_policy::UnverifiedToken;
use serde_json::Value;

use crate::http::request::{Call, error_body, finish, json, log_refusal};

/// `POST /v1/apps/{app}/boot`
pub(super) async fn single(call: Call) -> Response {
    let mut audit = call.audit("boot");
    let result = boot(&call, &mut audit).await;
    if result.is_ok() {
        call.state.counters.boot();
    }
    finish(&call, audit, StatusCode::OK, result).await
}

async fn boot(call: &Call, audit: &mut AuditRecord) -> Result<BootResponse, Failure> {
    let verified = call.engine.host_token(call.authorization(), audit)?;
    let wanted: BootRequest = call.json().await?;
    let app = call.param("app")?;
    let boot = Boot { min_version: wanted.min_version, ..boot_of(call, &verified, &app, &wanted.machine) };
    call.engine.boot(audit, &boot).await
}

/// `POST /v1/apps/{app}/boot/renew`
pub(super) async fn renew(call: Call) -> Response {
    let mut audit = call.audit("boot.renew");
    let result = renew_boot(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn renew_boot(call: &Call, audit: &mut AuditRecord) -> Result<RenewResponse, Failure> {
    let verified = call.engine.host_token(call.authorization(), audit)?;
    let wanted: RenewRequest = call.json().await?;
    let app = call.param("app")?;
    call.engine.renew_boot(audit, &boot_of(call, &verified, &app, &wanted.machine)).await
}

/// `POST /v1/apps/{app}/boot/report`
pub(super) async fn report(call: Call) -> Response {
    let mut audit = call.audit("boot.report");
    let result = report_boot(&call, &mut audit).await;
    finish(&call, audit, StatusCode::OK, result).await
}

async fn report_boot(call: &Call, audit: &mut AuditRecord) -> Result<Value, Failure> {
    let verified = call.engine.host_token(call.authorization(), audit)?;
    let wanted: BootReport = call.json().await?;
    let app = call.param("app")?;
    call.engine.report_boot(audit, &boot_of(call, &verified, &app, &wanted.machine), &wanted).await?;
    Ok(Value::Object(serde_json::Map::new()))
}

fn boot_of<'a>(call: &'a Call, verified: &'a Verified, app: &'a AppRef, machine: &'a MachineId) -> Boot<'a> {
    Boot { verified, app, machine, min_version: None, peer: &call.peer, now: call.now }
}

/// `POST /v1/boot`: each Machine is verified, decided, recorded and answered alone.
pub(super) async fn batch(call: Call) -> Response {
    let mut audit = call.audit("boot.batch");
    match read_batch(&call, &mut audit).await {
        Ok((host, wanted)) => {
            // Some at a time: their audit lines share syncs, and the order of the answers is that of the request.
            let boots = boot_all(&call, &host, &wanted.boots).await;
            json(StatusCode::OK, audit.request_id(), &BatchBootResponse { boots })
        }
        Err(failure) => {
            audit.set_detail("a batch that was not looked into");
            finish::<BatchBootResponse>(&call, audit, StatusCode::OK, Err(failure)).await
        }
    }
}

/// Some at a time: their audit lines share syncs. The answers are in the order of the request, and bounded.
async fn boot_all(call: &Call, host: &UnverifiedToken, items: &[BatchBootItem]) -> Vec<BatchBootResult> {
    let mut results = Vec::with_capacity(items.len());
    let mut bytes: usize = 0;
    for group in items.chunks(BATCH_AT_ONCE) {
        if bytes > BATCH_ANSWERS {
            let failure = Failure::new(
                ErrorCode::Busy,
                "the answer to this batch is large enough; ask for this Machine in another batch",
            );
            let refused = || {
                let audit = call.audit("boot");
                log_refusal(&call.state, audit.request_id(), &failure);
                BatchBootResult::Refused(error_body(audit.request_id(), &failure))
            };
            results.extend(group.iter().map(|_| refused()));
            continue;
        }
        let machines: Vec<_> = group.iter().map(|item| boot_one(call, host, item)).collect();
        let answers: Vec<_> = stream::iter(machines).buffered(BATCH_AT_ONCE).collect().await;
        bytes = bytes.saturating_add(answers.iter().map(size_of_answer).sum());
        results.extend(answers);
    }
    results
}

fn size_of_answer(result: &BatchBootResult) -> usize {
    match result {
        BatchBootResult::Booted(boot) => boot
            .secrets
            .iter()
            .filter_map(|secret| secret.value.as_ref())
            .map(|value| size_in_json(value.expose_bytes()) + 512)
            .sum(),
        BatchBootResult::Refused(_) => 512,
    }
}

/// Bytes of a value in JSON: base64 takes four for three; in text control characters take six, quotes and backslashes
/// two.
fn size_in_json(value: &[u8]) -> usize {
    if std::str::from_utf8(value).is_err() {
        return value.len().div_ceil(3) * 4;
    }
    let escaped = value.iter().map(|byte| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    });
    escaped.sum()
}

async fn read_batch(
    call: &Call,
    audit: &mut AuditRecord,
) -> Result<(UnverifiedToken, BatchBootRequest), Failure> {
    let host = call.engine.batch_token(call.authorization(), audit)?;
    let wanted: BatchBootRequest = call.json().await?;
    if wanted.boots.len() > MAX_BATCH {
        return Err(Failure::new(
            ErrorCode::BadRequest,
            format!("at most {MAX_BATCH} boots go in one batch; send several"),
        ));
    }
    Ok((host, wanted))
}

async fn boot_one(call: &Call, host: &UnverifiedToken, item: &BatchBootItem) -> BatchBootResult {
    let mut audit = call.audit("boot");
    match call.engine.boot_in_batch(&mut audit, host, item, &call.peer, call.now).await {
        Ok(answer) => {
            call.state.counters.boot();
            BatchBootResult::Booted(Box::new(answer))
        }
        Err(failure) => {
            log_refusal(&call.state, audit.request_id(), &failure);
            BatchBootResult::Refused(error_body(audit.request_id(), &failure))
        }
    }
}
