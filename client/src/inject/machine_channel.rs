//! The host's end of a Machine channel ([protocol](crate::GuestChannel)): one socket for one boot.

use std::fmt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use petsem_api::{AppId, AppName, Delivery, MachineId, WipedBuffer};
use rand_core::CryptoRng;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use zeroize::Zeroizing;

use super::Injector;
use crate::bundle::{Bundle, Identity};
use crate::channel::{
    ACK, BUNDLE, CHALLENGE, DENY, DenyReason, HELLO, Hello, LONGEST_ACK, LONGEST_FRAME, LONGEST_HELLO,
    denial, prove,
};
use crate::error::{ANOTHER_MACHINE, BindError, DeliveryError, HELLO_FIRST, Rejection};
use crate::fetch::clock;

/// A socket for one boot of one Machine. It serves one connection and unlinks itself, also when it is dropped
/// without a connection.
pub struct MachineChannel {
    listener: StdListener,
    path: UnlinkOnDrop,
    binding: ChannelBinding,
    challenge: [u8; CHALLENGE],
    deadlines: ChannelDeadlines,
}

/// What the socket is bound to. The guest's claims are only compared with this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBinding {
    /// The app's id.
    pub app: AppId,
    /// The app's name, which a guest may claim instead of the id.
    pub app_name: AppName,
    /// The Machine.
    pub machine: MachineId,
    /// The orchestrator's number for this boot: for its records, never on the wire.
    pub boot: u64,
}

/// How long the host waits for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelDeadlines {
    /// Until the VM monitor connects. Default 30 s.
    pub connect: Duration,
    /// From then until the guest's HELLO is complete: the guest's kernel boots meanwhile. Default 60 s.
    pub hello: Duration,
    /// Until BUNDLE (or DENY) is written, and again until the ACK is complete. Default 10 s.
    pub answer: Duration,
}

impl Default for ChannelDeadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            hello: Duration::from_secs(60),
            answer: Duration::from_secs(10),
        }
    }
}

/// The outcome with one Machine. Nothing that the guest does is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct MachineReceipt {
    /// The outcome for the audit log.
    pub delivery: Delivery,
    /// Why the Machine was denied, if it was; also if it disconnected before it received the DENY.
    pub denial: Option<DenyReason>,
    /// What the socket was bound to.
    pub binding: ChannelBinding,
}

/// The answer to the Machine's HELLO.
enum Answer<'a> {
    Bundle(&'a [u8]),
    Deny(DenyReason, &'a str),
}

impl MachineChannel {
    /// Makes the socket (mode 0600 when it appears) and draws this boot's challenge. `path` must be free and have at
    /// most 107 bytes; its directory should be accessible only to the host.
    pub fn bind(path: &Path, binding: ChannelBinding, rng: &mut dyn CryptoRng) -> Result<Self, BindError> {
        let failed = |source: rustix::io::Errno| BindError { path: path.into(), source: source.into() };
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
        let socket = socket.map_err(failed)?;
        // Linux gives the file the mode of the socket, so it is never accessible to others (unix(7)).
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        rustix::net::bind(&socket, &address).map_err(failed)?;
        let path = UnlinkOnDrop(path.to_owned());
        rustix::net::listen(&socket, 1).map_err(failed)?;
        let mut challenge = [0; CHALLENGE];
        rng.fill_bytes(&mut challenge);
        let deadlines = ChannelDeadlines::default();
        Ok(Self { listener: socket.into(), path, binding, challenge, deadlines })
    }

    /// Other deadlines than the defaults.
    #[must_use]
    pub fn deadlines(mut self, deadlines: ChannelDeadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// The path to which the VM monitor connects.
    pub fn path(&self) -> &Path {
        &self.path.0
    }

    /// Tells the Machine that it gets nothing, so that its init does not wait for its deadline. `text` is for people
    /// and has nothing secret in it.
    pub async fn deny(self, reason: DenyReason, text: &str) -> Result<MachineReceipt, DeliveryError> {
        self.serve(Answer::Deny(reason, text)).await
    }

    async fn serve(self, answer: Answer<'_>) -> Result<MachineReceipt, DeliveryError> {
        let Self { listener, path, binding, challenge, deadlines } = self;
        let failed = |source| DeliveryError::Channel { path: path.0.clone(), source };
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        let accepted = clock::within(deadlines.connect, listener.accept()).await;
        drop(listener);
        let stream = accepted.transpose().map_err(failed)?.map(|(stream, _)| stream);
        drop(path);
        let (delivery, denial) = match stream {
            None => (Delivery::Unanswered, None),
            Some(stream) => Conversation { stream, deadlines }.run(&binding, &challenge, answer).await,
        };
        Ok(MachineReceipt { delivery, denial, binding })
    }
}

impl Injector for MachineChannel {
    type Receipt = MachineReceipt;

    fn check(&self, bundle: &Bundle) -> Result<(), Rejection> {
        encode(&self.binding, bundle).map(|_| ())
    }

    async fn deliver(self, bundle: Bundle) -> Result<MachineReceipt, DeliveryError> {
        let canonical = encode(&self.binding, &bundle)?;
        drop(bundle);
        self.serve(Answer::Bundle(&canonical)).await
    }
}

fn encode(binding: &ChannelBinding, bundle: &Bundle) -> Result<Zeroizing<Vec<u8>>, Rejection> {
    match bundle.identity() {
        Identity::Machine { app, machine, .. } if *app == binding.app && *machine == binding.machine => {}
        _ => return Err(Rejection::AnotherMachine),
    }
    let canonical = bundle.expose_canonical().ok_or(Rejection::TooLarge)?;
    if 1 + CHALLENGE + canonical.len() > LONGEST_FRAME { Err(Rejection::TooLarge) } else { Ok(canonical) }
}

/// One connection, from HELLO to its end.
struct Conversation {
    stream: UnixStream,
    deadlines: ChannelDeadlines,
}

/// What was received instead of the frame.
enum ReadError {
    /// The guest disconnected, or the deadline passed.
    Silence,
    /// Bytes that are not such a frame.
    Garbage,
}

impl Conversation {
    async fn run(
        mut self,
        binding: &ChannelBinding,
        challenge: &[u8; CHALLENGE],
        answer: Answer<'_>,
    ) -> (Delivery, Option<DenyReason>) {
        let payload = self.read::<LONGEST_HELLO>(HELLO, self.deadlines.hello).await;
        let hello = payload.and_then(|payload| Hello::decode(&payload).ok_or(ReadError::Garbage));
        let hello = match hello {
            Ok(hello) => hello,
            Err(ReadError::Silence) => return (Delivery::Unanswered, None),
            Err(ReadError::Garbage) => return self.refuse(DenyReason::Malformed, HELLO_FIRST).await,
        };
        if !binding.admits(&hello) {
            return self.refuse(DenyReason::WrongClaim, ANOTHER_MACHINE).await;
        }
        match answer {
            Answer::Deny(reason, text) => self.refuse(reason, text).await,
            Answer::Bundle(canonical) => (self.give(challenge, &hello, canonical).await, None),
        }
    }

    async fn give(&mut self, challenge: &[u8; CHALLENGE], hello: &Hello, canonical: &[u8]) -> Delivery {
        if self.write(BUNDLE, &[challenge, canonical]).await.is_none() {
            return Delivery::Unanswered;
        }
        let expected = prove(challenge, &hello.nonce, canonical);
        match self.read::<LONGEST_ACK>(ACK, self.deadlines.answer).await {
            Ok(proof) if bool::from(proof.as_slice().ct_eq(&expected)) => Delivery::Proved,
            Ok(_) | Err(ReadError::Garbage) => Delivery::Mismatch,
            Err(ReadError::Silence) => Delivery::Unanswered,
        }
    }

    async fn refuse(&mut self, reason: DenyReason, text: &str) -> (Delivery, Option<DenyReason>) {
        if self.write(DENY, &[&denial(reason, text)]).await.is_none() {
            return (Delivery::Unanswered, Some(reason));
        }
        // A close with unread bytes resets the connection, and the guest may lose the DENY.
        drop(self.stream.shutdown().await);
        let mut rest = [0; 256];
        let drained = async { while matches!(self.stream.read(&mut rest).await, Ok(1..)) {} };
        clock::within(self.deadlines.answer, drained).await;
        (Delivery::Denied, Some(reason))
    }

    /// Reads one frame of this kind, of at most `LONGEST` bytes, into a buffer of that size.
    async fn read<const LONGEST: usize>(&mut self, kind: u8, limit: Duration) -> Result<Vec<u8>, ReadError> {
        let read = async {
            let length = self.stream.read_u32().await.map_err(|_| ReadError::Silence)?;
            let length = usize::try_from(length).map_err(|_| ReadError::Garbage)?;
            let mut frame = [0; LONGEST];
            let frame = frame.get_mut(..length).ok_or(ReadError::Garbage)?;
            self.stream.read_exact(frame).await.map_err(|_| ReadError::Silence)?;
            match frame.split_first() {
                Some((found, payload)) if *found == kind => Ok(payload.to_vec()),
                _ => Err(ReadError::Garbage),
            }
        };
        clock::within(limit, read).await.unwrap_or(Err(ReadError::Silence))
    }

    async fn write(&mut self, kind: u8, payload: &[&[u8]]) -> Option<()> {
        let length = 1 + payload.iter().map(|part| part.len()).sum::<usize>();
        let mut frame = WipedBuffer::with_capacity(4 + length);
        frame.extend(&u32::try_from(length).ok()?.to_be_bytes());
        frame.extend(&[kind]);
        payload.iter().for_each(|part| frame.extend(part));
        let frame = frame.into_inner();
        clock::within(self.deadlines.answer, self.stream.write_all(&frame)).await?.ok()
    }
}

impl ChannelBinding {
    /// Whether the guest's claims match what the socket is bound to.
    fn admits(&self, hello: &Hello) -> bool {
        let machine = hello.machine.is_empty() || hello.machine == self.machine.as_str();
        let app = hello.app.is_empty()
            || hello.app == self.app_name.as_str()
            || hello.app.parse::<AppId>().is_ok_and(|app| app == self.app);
        machine && app
    }
}

impl fmt::Debug for MachineChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineChannel")
            .field("path", &self.path.0)
            .field("binding", &self.binding)
            .finish_non_exhaustive()
    }
}

/// Removes the socket's name, so that no second client connects.
struct UnlinkOnDrop(PathBuf);

impl Drop for UnlinkOnDrop {
    fn drop(&mut self) {
        // If it is already gone, nothing is left to do.
        drop(std::fs::remove_file(&self.0));
    }
}
