use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use petsem_api::Delivery;
use petsem_client::{
    Bundle, ChannelBinding, ChannelDeadlines, Claims, DeliveryError, DenyReason, GuestChannel, GuestError,
    Identity, Injector, MachineChannel, MachineReceipt, Received, Rejection,
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::sample;

struct Socket {
    _directory: TempDir,
    path: PathBuf,
}

fn socket() -> Socket {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("m-1.sock");
    Socket { _directory: directory, path }
}

fn binding() -> ChannelBinding {
    ChannelBinding {
        app: sample::app(),
        app_name: "shop".parse().unwrap(),
        machine: "m-1".parse().unwrap(),
        boot: 1,
    }
}

fn channel(path: &Path) -> MachineChannel {
    MachineChannel::bind(path, binding(), &mut UnwrapErr(SysRng)).unwrap()
}

fn with_short_deadlines(channel: MachineChannel) -> MachineChannel {
    let mut deadlines = ChannelDeadlines::default();
    deadlines.connect = Duration::from_millis(50);
    deadlines.hello = Duration::from_millis(50);
    deadlines.answer = Duration::from_millis(50);
    channel.deadlines(deadlines)
}

/// A guest on its own thread, with a deadline of its own.
async fn guest(path: &Path, machine: &'static str, app: &'static str) -> Result<Received, GuestError> {
    let path = path.to_owned();
    spawn_blocking(move || {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        GuestChannel::new(stream).receive(Claims { machine, app }, [5; 16])
    })
    .await
    .unwrap()
}

/// A client that is not a guest: sends bytes and reads to the end.
async fn send_raw(path: &Path, bytes: Vec<u8>) -> Vec<u8> {
    let path = path.to_owned();
    spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap()
}

fn receipt(delivery: Delivery, denial: Option<DenyReason>) -> MachineReceipt {
    MachineReceipt { delivery, denial, binding: binding() }
}

#[tokio::test]
async fn a_guest_gets_exactly_the_bundle_and_proves_it() {
    for (machine, app) in [("", ""), ("m-1", "shop"), ("m-1", "07070707-0707-0707-0707-070707070707")] {
        let socket = socket();
        let deliver = channel(&socket.path).deliver(sample::edge_case_bundle());
        let (receipt_, received) = tokio::join!(deliver, guest(&socket.path, machine, app));
        assert_eq!(receipt_.unwrap(), receipt(Delivery::Proved, None));
        let Received::Bundle(bundle) = received.unwrap() else { panic!("denied") };
        assert_eq!(
            bundle.expose_canonical(),
            sample::edge_case_bundle().expose_canonical().unwrap().as_slice()
        );
        assert_eq!(bundle.read().unwrap().expose_secrets()[2], ("RAW", &b"\0\xff\0"[..]));
    }
}

#[tokio::test]
async fn a_bundle_of_a_mebibyte_is_delivered() {
    let socket = socket();
    let big = || sample::bundle(1, &[("BIG", &[0xab; 1024 * 1024])]);
    let (receipt_, received) =
        tokio::join!(channel(&socket.path).deliver(big()), guest(&socket.path, "", ""));
    assert_eq!(receipt_.unwrap(), receipt(Delivery::Proved, None));
    let Received::Bundle(bundle) = received.unwrap() else { panic!("denied") };
    assert_eq!(bundle.expose_canonical(), big().expose_canonical().unwrap().as_slice());
}

#[tokio::test]
async fn a_guest_with_a_wrong_claim_is_denied() {
    for (machine, app) in [("m-2", ""), ("", "other"), ("m-1", "other"), ("M-1", "shop")] {
        let socket = socket();
        let deliver = channel(&socket.path).deliver(sample::edge_case_bundle());
        let (receipt_, received) = tokio::join!(deliver, guest(&socket.path, machine, app));
        assert_eq!(receipt_.unwrap(), receipt(Delivery::Denied, Some(DenyReason::WrongClaim)));
        let Received::Denied { reason, text } = received.unwrap() else { panic!("it got secrets") };
        assert_eq!(
            (reason, text.as_str()),
            (DenyReason::WrongClaim, "this socket belongs to another Machine")
        );
    }
}

#[tokio::test]
async fn a_refused_boot_is_answered_with_deny() {
    let socket = socket();
    let deny = channel(&socket.path).deny(DenyReason::Refused, "revoked");
    let (receipt_, received) = tokio::join!(deny, guest(&socket.path, "m-1", "shop"));
    assert_eq!(receipt_.unwrap(), receipt(Delivery::Denied, Some(DenyReason::Refused)));
    let Received::Denied { reason, text } = received.unwrap() else { panic!("it got secrets") };
    assert_eq!((reason, text.as_str()), (DenyReason::Refused, "revoked"));
}

#[tokio::test]
async fn bytes_that_are_not_hello_are_denied() {
    let update = [0, 0, 0, 1, 5].to_vec();
    let huge = [&u32::MAX.to_be_bytes()[..], &[1; 64]].concat();
    let empty = [0; 4].to_vec();
    let cut_hello = [0, 0, 0, 3, 1, 1, 0].to_vec();
    for bytes in [update, huge, empty, cut_hello, b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let socket = socket();
        let deliver = channel(&socket.path).deliver(sample::edge_case_bundle());
        let (receipt_, answer) = tokio::join!(deliver, send_raw(&socket.path, bytes.clone()));
        assert_eq!(receipt_.unwrap(), receipt(Delivery::Denied, Some(DenyReason::Malformed)), "{bytes:?}");
        assert_eq!(answer.get(4..6), Some(&[3, 3][..]), "{bytes:?}");
        assert_eq!(answer.windows(6).filter(|window| *window == b"canary").count(), 0);
    }
}

#[tokio::test]
async fn a_bit_flipped_in_transit_is_a_mismatch() {
    let socket = socket();
    let path = socket.path.clone();
    let flipping = spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        let (machine_end, mut proxy_end) = UnixStream::pair().unwrap();
        let guest = std::thread::spawn(move || {
            GuestChannel::new(machine_end).receive(Claims { machine: "", app: "" }, [5; 16])
        });
        let mut hello = [0; 24];
        proxy_end.read_exact(&mut hello).unwrap();
        stream.write_all(&hello).unwrap();
        let mut head = [0; 4];
        stream.read_exact(&mut head).unwrap();
        let mut rest = vec![0; u32::from_be_bytes(head) as usize];
        stream.read_exact(&mut rest).unwrap();
        *rest.last_mut().unwrap() ^= 1;
        proxy_end.write_all(&[&head[..], &rest].concat()).unwrap();
        let mut acknowledgement = [0; 37];
        proxy_end.read_exact(&mut acknowledgement).unwrap();
        stream.write_all(&acknowledgement).unwrap();
        guest.join().unwrap()
    });
    let (receipt_, received) =
        tokio::join!(channel(&socket.path).deliver(sample::edge_case_bundle()), flipping);
    assert_eq!(receipt_.unwrap(), receipt(Delivery::Mismatch, None));
    assert!(matches!(received.unwrap().unwrap(), Received::Bundle(_)));
}

#[tokio::test]
async fn silence_at_any_step_is_unanswered() {
    let unused = socket();
    let outcome =
        with_short_deadlines(channel(&unused.path)).deliver(sample::edge_case_bundle()).await.unwrap();
    assert_eq!(outcome, receipt(Delivery::Unanswered, None));

    let mute = socket();
    let waiting = with_short_deadlines(channel(&mute.path)).deliver(sample::edge_case_bundle());
    let (outcome, answer) = tokio::join!(waiting, send_raw(&mute.path, vec![0, 0]));
    assert_eq!((outcome.unwrap(), answer), (receipt(Delivery::Unanswered, None), Vec::new()));

    let unproving = socket();
    let hello = [&[0, 0, 0, 20, 1, 1][..], &[5; 16], &[0, 0]].concat();
    let waiting = with_short_deadlines(channel(&unproving.path)).deliver(sample::edge_case_bundle());
    let (outcome, answer) = tokio::join!(waiting, send_raw(&unproving.path, hello));
    assert_eq!(outcome.unwrap(), receipt(Delivery::Unanswered, None));
    assert_eq!(answer.get(4), Some(&2));
}

#[tokio::test]
async fn the_socket_has_mode_0600_and_serves_one_connection() {
    let socket = socket();
    let channel = channel(&socket.path);
    assert_eq!(std::fs::metadata(&socket.path).unwrap().permissions().mode() & 0o7777, 0o600);
    let again =
        MachineChannel::bind(&socket.path, binding(), &mut UnwrapErr(SysRng)).map(|_| ()).unwrap_err();
    assert_eq!(again.source.kind(), std::io::ErrorKind::AddrInUse);
    let first = UnixStream::connect(&socket.path).unwrap();
    let waiting = with_short_deadlines(channel).deliver(sample::edge_case_bundle());
    let second = {
        let path = socket.path.clone();
        async move { (waiting.await, UnixStream::connect(path).map(|_| ()).unwrap_err().kind()) }
    };
    let (outcome, refused) = second.await;
    assert_eq!(outcome.unwrap(), receipt(Delivery::Unanswered, None));
    assert_eq!(refused, std::io::ErrorKind::NotFound);
    drop(first);
}

#[tokio::test]
async fn a_channel_accepts_only_the_bundle_of_its_own_machine() {
    let socket = socket();
    let Identity::Machine { app, app_name, .. } = sample::identity() else { panic!("a machine") };
    let other = Identity::Machine { app, app_name, machine: "m-2".parse().unwrap() };
    let workload = Identity::Workload { app: "shop".parse().unwrap() };
    for identity in [other, workload] {
        let channel = channel(&socket.path);
        assert_eq!(channel.check(&Bundle::new(identity.clone(), 1, [])), Err(Rejection::AnotherMachine));
        let error = channel.deliver(Bundle::new(identity, 1, [])).await.unwrap_err();
        assert!(matches!(error, DeliveryError::Rejected(Rejection::AnotherMachine)), "{error:?}");
        assert!(!socket.path.exists());
    }
    let large = sample::bundle(1, &[("A", &vec![1; 2 * 1024 * 1024])]);
    assert_eq!(channel(&socket.path).check(&large), Err(Rejection::TooLarge));
}
