//! `/v1/apps/{app}/boot`, renewals, reports, and the batch.

use axum::http::StatusCode;
use axum::response::Response;
use petsem_api::{
    AppRef, BatchBootItem, BatchBootRequest, BatchBootResponse, BatchBootResult, BootReport, BootRequest,
    BootResponse, Delivery, ErrorBody, ErrorCode, MAX_BATCH, MachineId, RenewRequest, RenewResponse,
};
use petsem_policy::{Header, UnverifiedToken};
use serde_json::Value;

use crate::boots::{Boot, host_token};
use crate::failure::Failure;
use crate::http::{Call, conclude, finish, json, log_refusal};
use crate::request::Trail;

/// `POST /v1/apps/{app}/boot`
pub(super) async fn single(call: Call) -> Response {
    let mut trail = call.trail("boot");
    let result = boot(&call, &mut trail).await;
    if result.is_ok() {
        call.core.counters.boot();
    }
    finish(&call, trail, StatusCode::OK, result).await
}

async fn boot(call: &Call, trail: &mut Trail) -> Result<BootResponse, Failure> {
    let tokens = Tokens::of(call)?;
    let wanted: BootRequest = call.json().await?;
    let app = call.param("app")?;
    let boot = Boot { min_version: wanted.min_version, ..tokens.boot(call, &app, &wanted.machine) };
    call.core.boot(trail, &boot).await
}

/// `POST /v1/apps/{app}/boot/renew`
pub(super) async fn renew(call: Call) -> Response {
    let mut trail = call.trail("boot.renew");
    let result = renew_boot(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn renew_boot(call: &Call, trail: &mut Trail) -> Result<RenewResponse, Failure> {
    let tokens = Tokens::of(call)?;
    let wanted: RenewRequest = call.json().await?;
    let app = call.param("app")?;
    call.core.renew(trail, &tokens.boot(call, &app, &wanted.machine)).await
}

/// `POST /v1/apps/{app}/boot/report`
pub(super) async fn report(call: Call) -> Response {
    let mut trail = call.trail("boot.report");
    let result = report_boot(&call, &mut trail).await;
    finish(&call, trail, StatusCode::OK, result).await
}

async fn report_boot(call: &Call, trail: &mut Trail) -> Result<Value, Failure> {
    let tokens = Tokens::of(call)?;
    let wanted: BootReport = call.json().await?;
    let app = call.param("app")?;
    call.core.check_boot(trail, &tokens.boot(call, &app, &wanted.machine)).await?;
    trail.set_version(wanted.version);
    trail.set_detail(match wanted.delivery {
        Delivery::Proved => "the Machine proved that it holds the bundle",
        Delivery::Mismatch => "the Machine's proof did not match",
        Delivery::Denied => "the Machine was told DENY",
        Delivery::Unanswered => "the Machine never answered",
    });
    Ok(Value::Object(serde_json::Map::new()))
}

/// `POST /v1/boot`: each Machine is verified, decided, recorded and answered alone.
pub(super) async fn batch(call: Call) -> Response {
    let mut trail = call.trail("boot.batch");
    match read_batch(&call).await {
        Ok((host, wanted)) => {
            let mut boots = Vec::with_capacity(wanted.boots.len());
            for item in &wanted.boots {
                boots.push(boot_one(&call, &host, item).await);
            }
            json(StatusCode::OK, trail.request_id(), &BatchBootResponse { boots })
        }
        Err(failure) => {
            trail.set_detail("a batch that was not looked into");
            finish::<BatchBootResponse>(&call, trail, StatusCode::OK, Err(failure)).await
        }
    }
}

async fn read_batch(call: &Call) -> Result<(UnverifiedToken, BatchBootRequest), Failure> {
    let header = header(call)?;
    let host = host_token(&header)?.clone();
    call.core.check_host_token(&host)?;
    if !header.discharges().is_empty() {
        return Err(Failure::new(
            ErrorCode::BadRequest,
            "the header of a batch carries the host token alone; each discharge goes with its Machine in the body",
        ));
    }
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
    let mut trail = call.trail("boot");
    let result = match discharge_of(&item.discharge) {
        Ok(discharge) => {
            let boot = Boot {
                host_token: host,
                discharges: std::slice::from_ref(&discharge),
                app: &item.app,
                machine: &item.machine,
                min_version: item.min_version,
                peer: &call.peer,
                now: call.now,
            };
            call.core.boot(&mut trail, &boot).await
        }
        Err(failure) => Err(failure),
    };
    match conclude(&call.core, &trail, result).await {
        Ok(answer) => {
            call.core.counters.boot();
            BatchBootResult::Booted(Box::new(answer))
        }
        Err(failure) => {
            log_refusal(&call.core, trail.request_id(), &failure);
            BatchBootResult::Refused(ErrorBody {
                error: failure.external().to_owned(),
                status: failure.code(),
                request_id: Some(trail.request_id()),
            })
        }
    }
}

fn discharge_of(text: &str) -> Result<UnverifiedToken, Failure> {
    UnverifiedToken::parse(text.trim()).map_err(|_| {
        Failure::new(
            ErrorCode::DischargeInvalid,
            "the discharge cannot be read; give it as the discharger answered it, one fm2_… text",
        )
    })
}

/// The header of a single boot: one host token, and the discharges that came with it.
struct Tokens {
    host: UnverifiedToken,
    discharges: Vec<UnverifiedToken>,
}

impl Tokens {
    fn of(call: &Call) -> Result<Self, Failure> {
        let header = header(call)?;
        let host = host_token(&header)?.clone();
        let discharges = header.discharges().into_iter().cloned().collect();
        Ok(Self { host, discharges })
    }

    fn boot<'a>(&'a self, call: &'a Call, app: &'a AppRef, machine: &'a MachineId) -> Boot<'a> {
        Boot {
            host_token: &self.host,
            discharges: &self.discharges,
            app,
            machine,
            min_version: None,
            peer: &call.peer,
            now: call.now,
        }
    }
}

fn header(call: &Call) -> Result<Header<'_>, Failure> {
    let text = call.authorization().ok_or_else(|| {
        Failure::new(
            ErrorCode::TokenMissing,
            "no host token came with the request; send `Authorization: FlyV1 fm2_…`",
        )
    })?;
    Header::parse(text, &call.core.settings.location)
        .map_err(|error| Failure::new(ErrorCode::TokenMalformed, error.to_string()))
}
