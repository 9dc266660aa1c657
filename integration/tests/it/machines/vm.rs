//! The VM harness itself, with a synthetic bundle: it boots, its proof can fail, and DENY is received.

use std::path::{Path, PathBuf};

use getrandom::SysRng;
use getrandom::rand_core::{Rng, UnwrapErr};
use petsem_api::{AppId, Delivery};
use petsem_client::{
    Bundle, ChannelBinding, DenyReason, Identity, Injector, MachineChannel, MachineReceipt, keyed_digest,
};
use petsem_integration::vm::{FlippingProxy, Vm, VmClaims, VmImage, VmOutcome};
use tokio::task::{JoinHandle, spawn_blocking};

const CANARY: &[u8] = b"canary-51c0\nwith\0awkward\xffbytes";

fn bundle() -> Bundle {
    let identity = Identity::Machine {
        app: AppId::from_bytes([7; 16]),
        app_name: "shop".parse().unwrap(),
        machine: "m-1".parse().unwrap(),
    };
    Bundle::new(identity, 3, [("A".parse().unwrap(), CANARY.to_vec())])
}

fn channel(path: &Path) -> MachineChannel {
    let binding = ChannelBinding {
        app: AppId::from_bytes([7; 16]),
        app_name: "shop".parse().unwrap(),
        machine: "m-1".parse().unwrap(),
        boot: 1,
    };
    MachineChannel::bind(path, binding, &mut UnwrapErr(SysRng)).unwrap()
}

pub(super) fn claims(machine: &str) -> VmClaims {
    let mut challenge = [0; 32];
    UnwrapErr(SysRng).fill_bytes(&mut challenge);
    VmClaims { machine: machine.to_owned(), app: "shop".to_owned(), challenge }
}

/// Boots a VM with the channel that `serve` creates at a path; returns the results of both sides.
pub(super) async fn boot(
    claims: &VmClaims,
    serve: impl Fn(&Path) -> (PathBuf, JoinHandle<MachineReceipt>) + Send + 'static,
) -> (VmOutcome, MachineReceipt) {
    let directory = tempfile::tempdir().unwrap();
    let claims = claims.clone();
    let runtime = tokio::runtime::Handle::current();
    let (outcome, served) = spawn_blocking(move || {
        let image = VmImage::prepare().unwrap();
        let mut served = None;
        let outcome = Vm::boot_retrying(&image, &claims, |retries| {
            let _inside = runtime.enter();
            let (path, serving) = serve(&directory.path().join(format!("{retries}.sock")));
            served = Some(serving);
            Ok(path)
        });
        (outcome.unwrap(), served.unwrap())
    })
    .await
    .unwrap();
    println!("retries: {}", outcome.retries);
    (outcome, served.await.unwrap())
}

fn expected_proof(claims: &VmClaims) -> String {
    let digest = keyed_digest(&claims.challenge, &bundle().expose_canonical().unwrap());
    data_encoding::HEXLOWER.encode(&digest)
}

fn shows_no_value(outcome: &VmOutcome) {
    for text in outcome.argv.iter().chain([&outcome.serial]) {
        assert!(!text.contains("canary-51c0"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_proves_exactly_the_sent_bundle() {
    let claims = claims("m-1");
    let (outcome, receipt) = boot(&claims, |path| {
        let channel = channel(path);
        (path.to_owned(), tokio::spawn(async { channel.deliver(bundle()).await.unwrap() }))
    })
    .await;
    assert_eq!(outcome.proof(), Some(expected_proof(&claims).as_str()), "{}", outcome.serial);
    assert_eq!((outcome.denied(), outcome.ended()), (None, true));
    assert_eq!(receipt.delivery, Delivery::Proved);
    shows_no_value(&outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_flipped_in_transit_makes_the_proof_fail_and_the_proof_is_still_printed() {
    let claims = claims("");
    let (outcome, receipt) = boot(&claims, |path| {
        let behind = path.with_extension("behind");
        let channel = channel(&behind);
        FlippingProxy::start(path, &behind).unwrap();
        (path.to_owned(), tokio::spawn(async { channel.deliver(bundle()).await.unwrap() }))
    })
    .await;
    assert_eq!(outcome.proof().map(str::len), Some(64), "{}", outcome.serial);
    assert_ne!(outcome.proof(), Some(expected_proof(&claims).as_str()));
    assert!(outcome.ended());
    assert_eq!(receipt.delivery, Delivery::Mismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impostor_and_a_refused_machine_print_deny_and_shut_down() {
    let (outcome, receipt) = boot(&claims("m-2"), |path| {
        let channel = channel(path);
        (path.to_owned(), tokio::spawn(async { channel.deliver(bundle()).await.unwrap() }))
    })
    .await;
    assert_eq!(
        (outcome.proof(), outcome.denied(), outcome.ended()),
        (None, Some(2), true),
        "{}",
        outcome.serial
    );
    assert_eq!((receipt.delivery, receipt.denial), (Delivery::Denied, Some(DenyReason::WrongClaim)));
    shows_no_value(&outcome);

    let (outcome, receipt) = boot(&claims("m-1"), |path| {
        let channel = channel(path);
        (path.to_owned(), tokio::spawn(async { channel.deny(DenyReason::Refused, "revoked").await.unwrap() }))
    })
    .await;
    assert_eq!(
        (outcome.proof(), outcome.denied(), outcome.ended()),
        (None, Some(1), true),
        "{}",
        outcome.serial
    );
    assert_eq!((receipt.delivery, receipt.denial), (Delivery::Denied, Some(DenyReason::Refused)));
}
