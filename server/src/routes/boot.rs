//! `/v1/apps/{app}/boot`, renewals, reports, and the batch.

use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use petsem_api::{
    AppRef, BATCH_ANSWERS, BATCH_AT_ONCE, BatchBootItem, BatchBootRequest, BatchBootResponse,
    BatchBootResult, BootReport, BootRequest, BootResponse, Delivery, ErrorCode, MAX_BATCH, MachineId,
    RenewRequest, RenewResponse,
};
use petsem_policy::{DischargeBudget, Header, UnverifiedToken};
use serde_json::Value;

use crate::authority::Verified;
use crate::boots::{Boot, host_token};
use crate::failure::Failure;
use crate::http::{Call, conclude, error_body, finish, json, log_refusal};
use crate::request::Trail;

/// MACs that the discharge of one Machine of a batch may cost: a grant has a dozen caveats.
const MACS_OF_ONE: usize = 2048;

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
    let tokens = Tokens::of(call, trail)?;
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
    let tokens = Tokens::of(call, trail)?;
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
    let tokens = Tokens::of(call, trail)?;
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
    match read_batch(&call, &mut trail).await {
        Ok((host, wanted)) => {
            // Some at a time: their audit lines share syncs, and the order of the answers is that of the request.
            let boots = boot_all(&call, &host, &wanted.boots).await;
            json(StatusCode::OK, trail.request_id(), &BatchBootResponse { boots })
        }
        Err(failure) => {
            trail.set_detail("a batch that was not looked into");
            finish::<BatchBootResponse>(&call, trail, StatusCode::OK, Err(failure)).await
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
                let trail = call.trail("boot");
                log_refusal(&call.core, trail.request_id(), &failure);
                BatchBootResult::Refused(error_body(trail.request_id(), &failure))
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

async fn read_batch(call: &Call, trail: &mut Trail) -> Result<(UnverifiedToken, BatchBootRequest), Failure> {
    let header = header(call)?;
    let host = host_token(&header)?.clone();
    call.core.check_host_token(trail, &host)?;
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
    let verified = discharge_of(&item.discharge).and_then(|discharge| {
        call.core.verify_host_token(host, &[&discharge], DischargeBudget::of_macs(MACS_OF_ONE))
    });
    let result = match &verified {
        Ok(verified) => {
            let boot = Boot {
                verified,
                app: &item.app,
                machine: &item.machine,
                min_version: item.min_version,
                peer: &call.peer,
                now: call.now,
            };
            call.core.boot(&mut trail, &boot).await
        }
        Err(_) => Err(Failure::internal("a boot was not verified")),
    };
    let result = verified.and(result);
    match conclude(&call.core, &trail, result).await {
        Ok(answer) => {
            call.core.counters.boot();
            BatchBootResult::Booted(Box::new(answer))
        }
        Err(failure) => {
            log_refusal(&call.core, trail.request_id(), &failure);
            BatchBootResult::Refused(error_body(trail.request_id(), &failure))
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

/// The header of a single boot: one host token, verified with the discharges that came with it.
struct Tokens(Verified);

impl Tokens {
    fn of(call: &Call, trail: &mut Trail) -> Result<Self, Failure> {
        let header = header(call)?;
        let verified = call.core.verify_host_token(
            host_token(&header)?,
            &header.discharges(),
            DischargeBudget::default(),
        )?;
        // From here on the request has its own line, also when its body is of no use.
        trail.verified_token(&verified.token);
        Ok(Self(verified))
    }

    fn boot<'a>(&'a self, call: &'a Call, app: &'a AppRef, machine: &'a MachineId) -> Boot<'a> {
        Boot { verified: &self.0, app, machine, min_version: None, peer: &call.peer, now: call.now }
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
