//! `/v1/apps/{app}/boot`, renewals, reports, and the batch.

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use petsem_api::{
    AppRef, BATCH_ANSWERS, BATCH_AT_ONCE, BatchBootAnswer, BatchBootItem, BatchBootRequest,
    BatchBootResponse, BootAnswer, BootReport, BootRequest, BootResponse, ErrorBody, ErrorCode, MAX_BATCH,
    MachineId, Recorded, RenewRequest, RenewResponse, RequestId,
};
use petsem_engine::{AuditRecord, Boot, Failure};
use petsem_policy::UnverifiedToken;

use crate::http::{
    BodyLimit, Call, Components, HostAlone, HostAndDischarge, Incoming, Reply, Route, Statuses, error_body,
    log_refusal, tag, written_json,
};
use crate::messages;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post("/v1/apps/{app}/boot")
            .named("boot", tag::BOOTS, "Boot a Machine: the secrets of its app")
            .described("The header carries the host token and the discharge of this boot. Answered on listeners that know their host.")
            .audited("boot")
            .answers(StatusCode::OK, "What a booting Machine gets.")
            .refuses(&[ErrorCode::VersionNotReached])
            .by(single),
        Route::post("/v1/apps/{app}/boot/renew")
            .named("renewBoot", tag::BOOTS, "Renew a renewal; no values")
            .audited("boot.renew")
            .answers(StatusCode::OK, "A renewal without values.")
            .by(renew),
        Route::post("/v1/apps/{app}/boot/report")
            .named("reportBoot", tag::BOOTS, "Record the outcome of a boot")
            .described("Neither challenge nor digest is sent or recorded.")
            .audited("boot.report")
            .answers(StatusCode::OK, "The outcome was recorded.")
            .by(report),
        Route::post("/v1/boot")
            .named("bootMany", tag::BOOTS, "Boot many Machines of one host")
            .described(
                "The header carries only the host token; each discharge is sent with its Machine. A Machine that is refused \
                 does not fail the others.",
            )
            .audited("boot.batch")
            .with_records_of_items()
            .limited(BodyLimit::Boots)
            .answers(StatusCode::OK, "The results, in the order of the request.")
            .refuses(&[ErrorCode::BadName])
            .by(batch),
    ]
}

/// Answers as a [`BootResponse`].
struct Booted(BootAnswer);

impl Reply for Booted {
    fn write(self, status: StatusCode, id: RequestId) -> Response {
        written_json(status, id, self.0.size(), |out| self.0.write(out))
    }

    fn document(status: StatusCode, description: &'static str, components: &mut Components) -> Statuses {
        BootResponse::document(status, description, components)
    }
}

/// Answers as a [`BatchBootResponse`].
struct BatchBooted(BatchBootAnswer);

impl Reply for BatchBooted {
    fn write(self, status: StatusCode, id: RequestId) -> Response {
        written_json(status, id, self.0.size(), |out| self.0.write(out))
    }

    fn document(status: StatusCode, description: &'static str, components: &mut Components) -> Statuses {
        BatchBootResponse::document(status, description, components)
    }
}

async fn single(
    call: &Call<HostAndDischarge, BootRequest>,
    audit: &mut AuditRecord,
) -> Result<Booted, Failure> {
    let wanted = call.body().await?;
    let app = call.param("app")?;
    let boot = Boot { min_version: wanted.min_version, ..boot_of(call, &app, &wanted.machine) };
    let answer = call.engine.boot(audit, &boot).await?;
    call.state.metrics.boot();
    Ok(Booted(answer))
}

async fn renew(
    call: &Call<HostAndDischarge, RenewRequest>,
    audit: &mut AuditRecord,
) -> Result<RenewResponse, Failure> {
    let wanted = call.body().await?;
    let app = call.param("app")?;
    call.engine.renew_boot(audit, &boot_of(call, &app, &wanted.machine)).await
}

async fn report(
    call: &Call<HostAndDischarge, BootReport>,
    audit: &mut AuditRecord,
) -> Result<Recorded, Failure> {
    let wanted = call.body().await?;
    let app = call.param("app")?;
    call.engine.report_boot(audit, &boot_of(call, &app, &wanted.machine), &wanted).await?;
    Ok(Recorded {})
}

/// Each Machine is verified, decided, recorded and answered independently.
async fn batch(
    call: &Call<HostAlone, BatchBootRequest>,
    _: &mut AuditRecord,
) -> Result<BatchBooted, Failure> {
    let wanted = call.body().await?;
    if wanted.boots.len() > MAX_BATCH {
        return Err(messages::batch_too_long());
    }
    let boots = boot_all(call, &call.credential.0, &wanted.boots).await;
    Ok(BatchBooted(BatchBootAnswer { boots }))
}

fn boot_of<'a>(
    call: &'a Call<HostAndDischarge, impl Sized>,
    app: &'a AppRef,
    machine: &'a MachineId,
) -> Boot<'a> {
    Boot { verified: &call.credential.0, app, machine, min_version: None, peer: &call.peer, now: call.now }
}

/// Some at a time: their audit lines share syncs. The answers are in the order of the request, and bounded.
async fn boot_all(
    call: &Incoming,
    host: &UnverifiedToken,
    items: &[BatchBootItem],
) -> Vec<Result<BootAnswer, ErrorBody>> {
    let mut results: Vec<Result<BootAnswer, ErrorBody>> = Vec::with_capacity(items.len());
    let mut bytes: usize = 0;
    for group in items.chunks(BATCH_AT_ONCE) {
        if bytes > BATCH_ANSWERS {
            let failure = messages::batch_response_full();
            let refused = || {
                let audit = call.audit("boot");
                log_refusal(&call.state, audit.request_id(), &failure);
                Err(error_body(audit.request_id(), &failure))
            };
            results.extend(group.iter().map(|_| refused()));
            continue;
        }
        let machines: Vec<_> = group.iter().map(|item| boot_one(call, host, item)).collect();
        let answers: Vec<_> = stream::iter(machines).buffered(BATCH_AT_ONCE).collect().await;
        bytes = bytes.saturating_add(answers.iter().flatten().map(BootAnswer::size).sum());
        results.extend(answers);
    }
    results
}

async fn boot_one(
    call: &Incoming,
    host: &UnverifiedToken,
    item: &BatchBootItem,
) -> Result<BootAnswer, ErrorBody> {
    let mut audit = call.audit("boot");
    match call.engine.boot_in_batch(&mut audit, host, item, &call.peer, call.now).await {
        Ok(answer) => {
            call.state.metrics.boot();
            Ok(answer)
        }
        Err(failure) => {
            log_refusal(&call.state, audit.request_id(), &failure);
            Err(error_body(audit.request_id(), &failure))
        }
    }
}
