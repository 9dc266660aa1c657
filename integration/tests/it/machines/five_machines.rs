//! End to end: five Machines, each a real VM, with the real server, host side and crate. The test plays only
//! the orchestrator (boot-injection §5).
//!
//! good, foreign app, impostor, revoked, and the control whose bit is flipped in transit and must fail.

use std::path::Path;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use petsem_api::{AppRef, Delivery, ErrorCode, MachineId};
use petsem_client::{
    BootFlow, BootFlowError, Booted, Bundle, CallError, ChannelBinding, Client, Credentials, DenyReason,
    Endpoint, Identity, Injector, MachineChannel, keyed_digest,
};
use petsem_integration::dev::Dev;
use petsem_integration::vm::{FlippingProxy, VmClaims, VmOutcome};
use serde_json::{Value, json};

use super::vm::{boot, claims};

/// The values that the owner of `shop` set. The VM must prove exactly these.
const SHOP: [(&str, &[u8]); 3] =
    [("DATABASE_URL", b"postgres://canary-7e1f"), ("EMPTY", b""), ("PEM", b"-----BEGIN\nline\0two\n")];
/// The values that the owner of another app set. No Machine of `shop` proves them, and no Machine of that app
/// proves `SHOP`.
const OTHER: [(&str, &[u8]); 1] = [("DATABASE_URL", b"postgres://canary-0b2c")];

/// The orchestrator: one host, its token, and its proofs.
struct Orchestrator {
    dev: Dev,
    client: Arc<Client>,
    flow: BootFlow,
}

impl Orchestrator {
    fn start() -> Self {
        let dev = Dev::start();
        dev.app("warehouse", &json!({}));
        for (app, values) in [("shop", &SHOP[..]), ("warehouse", &OTHER[..])] {
            let encoded: serde_json::Map<String, Value> = values
                .iter()
                .map(|(name, value)| {
                    ((*name).to_owned(), json!({"value_b64": data_encoding::BASE64.encode(value)}))
                })
                .collect();
            dev.set(app, &Value::Object(encoded));
        }
        let endpoint = || vec![Endpoint::loopback(dev.server.address()).unwrap()];
        let client = Client::builder(endpoint())
            .discharger("https://petsem-dev.invalid/discharger", endpoint())
            .build();
        let client = Arc::new(client);
        let host = Credentials::new(&dev.host).unwrap();
        let flow = BootFlow::new(Arc::clone(&client), host).unwrap();
        Self { dev, client, flow }
    }

    fn proof(&self, app: &str, machine: &str) -> Credentials {
        Credentials::new(&self.dev.boot_jwt(app, machine)).unwrap()
    }

    async fn boot(&self, app: &str, machine: &str) -> Result<Booted, BootFlowError> {
        let proof = self.proof(app, machine);
        self.flow.boot(&app_ref(app), &machine_id(machine), None, Some(&proof)).await
    }

    fn binding(&self, app: &str, machine: &str) -> ChannelBinding {
        let shown = self.dev.operate("GET", &format!("/v1/apps/{app}"), None);
        ChannelBinding {
            app: shown.field("id").parse().unwrap(),
            app_name: app.parse().unwrap(),
            machine: machine_id(machine),
            boot: 1,
        }
    }

    /// The expected proof: a digest of the values under the VM's challenge, for this Machine of this app.
    fn expected(&self, app: &str, machine: &str, values: &[(&str, &[u8])], claims: &VmClaims) -> String {
        let binding = self.binding(app, machine);
        let identity =
            Identity::Machine { app: binding.app, app_name: binding.app_name, machine: binding.machine };
        let secrets = values.iter().map(|(name, value)| (name.parse().unwrap(), value.to_vec()));
        let bundle = Bundle::new(identity, 1, secrets);
        HEXLOWER.encode(&keyed_digest(&claims.challenge, &bundle.expose_canonical().unwrap()))
    }

    fn line(&self, action: &str, machine: &str) -> Value {
        let lines = self.dev.audit_lines();
        let found = lines.iter().rev().find(|line| line["action"] == action && line["machine"] == machine);
        found.unwrap_or_else(|| panic!("no line {action} of {machine}")).clone()
    }
}

fn app_ref(app: &str) -> AppRef {
    app.parse().unwrap()
}

fn machine_id(machine: &str) -> MachineId {
    machine.parse().unwrap()
}

fn channel(path: &Path, binding: &ChannelBinding) -> MachineChannel {
    MachineChannel::bind(path, binding.clone(), &mut UnwrapErr(SysRng)).unwrap()
}

fn claimed(app: &str, machine: &str) -> VmClaims {
    VmClaims { app: app.to_owned(), ..claims(machine) }
}

/// Asserts that a Machine received nothing: it prints DENY, proves nothing, and reaches its end line.
fn got_nothing(outcome: &VmOutcome, code: u8) {
    let seen = (outcome.proof(), outcome.denied(), outcome.ended());
    assert_eq!(seen, (None, Some(code), true), "{}", outcome.serial);
    shows_no_value(outcome);
}

fn shows_no_value(outcome: &VmOutcome) {
    for text in outcome.argv.iter().chain([&outcome.serial]) {
        assert!(!text.contains("canary-"), "{text}");
    }
}

fn refusal(error: &CallError) -> ErrorCode {
    match error {
        CallError::Refused { code, .. } => *code,
        other => panic!("petsem did not refuse: {other}"),
    }
}

async fn good(orchestrator: &Orchestrator) {
    let claims = claimed("shop", "m-good");
    let expected = orchestrator.expected("shop", "m-good", &SHOP, &claims);
    let booted = orchestrator.boot("shop", "m-good").await.unwrap();
    let (binding, bundle) = (orchestrator.binding("shop", "m-good"), Arc::new(booted));
    let served = Arc::clone(&bundle);
    let (outcome, receipt) = boot(&claims, move |path| {
        let (channel, bundle) = (channel(path, &binding), served.bundle());
        (path.to_owned(), tokio::spawn(async { channel.deliver(bundle).await.unwrap() }))
    })
    .await;
    assert_eq!(outcome.proof(), Some(expected.as_str()), "{}", outcome.serial);
    assert_eq!((outcome.denied(), outcome.ended(), receipt.delivery), (None, true, Delivery::Proved));
    shows_no_value(&outcome);
    orchestrator.flow.report(&bundle, receipt.delivery).await.unwrap();
    let line = orchestrator.line("boot.report", "m-good");
    assert_eq!(line["outcome"], "allowed");
    assert_eq!(line["detail"], "the Machine proved that it has the bundle");
}

/// A Machine of `warehouse`; its host requests the secrets of `shop` with its own grant.
async fn foreign_app(orchestrator: &Orchestrator) {
    let discharge = orchestrator.dev.discharge("warehouse", "m-foreign");
    let host = Credentials::new(&orchestrator.dev.host).unwrap();
    let discharge = Credentials::new(&discharge).unwrap();
    let machine = machine_id("m-foreign");
    let refused = orchestrator.client.boot(&app_ref("shop"), &machine, &host, &discharge, None).await;
    assert_eq!(refusal(&refused.unwrap_err()), ErrorCode::DischargeInvalid);
    let line = orchestrator.line("boot", "m-foreign");
    assert_eq!((&line["outcome"], &line["reason"]), (&json!("denied"), &json!("discharge_invalid")));
    denied(orchestrator, "warehouse", "m-foreign").await;
}

/// A Machine of `warehouse` that claims over its own socket to be the good one of `shop`.
async fn impostor(orchestrator: &Orchestrator) {
    let booted = Arc::new(orchestrator.boot("warehouse", "m-impostor").await.unwrap());
    let binding = orchestrator.binding("warehouse", "m-impostor");
    let served = Arc::clone(&booted);
    let (outcome, receipt) = boot(&claimed("shop", "m-good"), move |path| {
        let (channel, bundle) = (channel(path, &binding), served.bundle());
        (path.to_owned(), tokio::spawn(async { channel.deliver(bundle).await.unwrap() }))
    })
    .await;
    got_nothing(&outcome, DenyReason::WrongClaim.code());
    assert_eq!((receipt.delivery, receipt.denial), (Delivery::Denied, Some(DenyReason::WrongClaim)));
    orchestrator.flow.report(&booted, receipt.delivery).await.unwrap();
    let line = orchestrator.line("boot.report", "m-impostor");
    assert_eq!(line["detail"], "the Machine was denied");
}

/// A revoked Machine of `shop` itself.
async fn revoked(orchestrator: &Orchestrator) {
    let body = json!({"machine": {"app": "shop", "machine": "m-revoked"}});
    assert_eq!(orchestrator.dev.operate("POST", "/v1/revocations", Some(&body)).status, 201);
    let Err(BootFlowError::Discharge(error)) = orchestrator.boot("shop", "m-revoked").await else {
        panic!("a revoked Machine got a discharge");
    };
    assert_eq!(refusal(&error), ErrorCode::Revoked);
    assert_eq!(orchestrator.line("discharge", "m-revoked")["reason"], "revoked");
    denied(orchestrator, "shop", "m-revoked").await;
}

/// The control: one bit of the bundle is flipped in transit. The proof must be printed and must not match.
async fn control(orchestrator: &Orchestrator) {
    let claims = claimed("shop", "m-control");
    let expected = orchestrator.expected("shop", "m-control", &SHOP, &claims);
    let booted = Arc::new(orchestrator.boot("shop", "m-control").await.unwrap());
    let (binding, served) = (orchestrator.binding("shop", "m-control"), Arc::clone(&booted));
    let (outcome, receipt) = boot(&claims, move |path| {
        let behind = path.with_extension("behind");
        let (channel, bundle) = (channel(&behind, &binding), served.bundle());
        FlippingProxy::start(path, &behind).unwrap();
        (path.to_owned(), tokio::spawn(async { channel.deliver(bundle).await.unwrap() }))
    })
    .await;
    assert_eq!(outcome.proof().map(str::len), Some(64), "{}", outcome.serial);
    assert_ne!(outcome.proof(), Some(expected.as_str()));
    assert_eq!((outcome.ended(), receipt.delivery), (true, Delivery::Mismatch));
    orchestrator.flow.report(&booted, receipt.delivery).await.unwrap();
    assert_eq!(orchestrator.line("boot.report", "m-control")["detail"], "the Machine's proof did not match");
}

/// Boots the VM while its host has no secrets for it.
async fn denied(orchestrator: &Orchestrator, app: &str, machine: &str) {
    let binding = orchestrator.binding(app, machine);
    let (outcome, receipt) = boot(&claimed(app, machine), move |path| {
        let channel = channel(path, &binding);
        let serving = async { channel.deny(DenyReason::Refused, "petsem refused the boot").await.unwrap() };
        (path.to_owned(), tokio::spawn(serving))
    })
    .await;
    got_nothing(&outcome, DenyReason::Refused.code());
    assert_eq!(receipt.delivery, Delivery::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_legitimate_one_of_five_machines_proves_its_secrets() {
    let orchestrator = Orchestrator::start();
    // Two at a time, for a machine with two cores.
    tokio::join!(good(&orchestrator), foreign_app(&orchestrator));
    tokio::join!(impostor(&orchestrator), revoked(&orchestrator));
    control(&orchestrator).await;
    let log = orchestrator.dev.audit_log();
    assert!(!log.contains("canary-"), "the audit log contains a value");
}
