//! `DATA/operator.sock`: the connection of commands on the node to the server that runs there, sealed or not.
//!
//! The socket is in the data directory (0700) and has mode 0600. Both ends check the user of the other: the server
//! answers its own user and root only, and a command sends nothing to a server of another user. So no other user can
//! block an unsealing, and the network offers none. It is not an API: one JSON object in each direction, between a
//! `petsem` and a server of the same version.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use petsem_api::{ErrorCode, RequestId, RotationList};
use petsem_engine::{Failure, NodeAnswer, StoreStatus};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::error::StartError;
use crate::messages;
use crate::node::file_owner::foreign;
use crate::operator::unseal_input::UnsealInput;

/// Its name in the data directory.
const NAME: &str = "operator.sock";
/// Longest request or answer, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// Connections at once.
const CONNECTIONS: usize = 16;
/// How long it may take to receive a request, and to send its answer.
const TRANSFER: Duration = Duration::from_secs(10);
/// How long the server may work on a request: an unreachable KMS takes long to time out.
const WORK: Duration = Duration::from_secs(90);

/// What a command on the node sends.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum SocketCommand {
    /// Report the server's status.
    Status {},
    /// Open the store with this input, or with the configured seals if it is empty.
    Unseal {
        /// A passphrase.
        passphrase: Option<SecretInput>,
        /// Shares.
        shares: Vec<SecretInput>,
    },
    /// Open the store with this input, or with the configured seals, and accept the loss of the audit log.
    AcceptLoss {
        /// A passphrase.
        passphrase: Option<SecretInput>,
        /// Shares.
        shares: Vec<SecretInput>,
    },
    /// Carry out this command of a process that opened a seal: a note with its MAC, base64.
    CarryOut {
        /// The id under which the note was written.
        id: RequestId,
        /// The note.
        note: String,
    },
}

/// The server's answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// The status.
    Status {
        /// The server's status.
        status: Box<ServerStatus>,
    },
    /// The store is open.
    Unsealed {
        /// The seal that opened it.
        by: String,
    },
    /// The store was open before; nothing was tried.
    NotSealed {
        /// The seal that opened it.
        by: String,
    },
    /// The server serves again.
    LossAccepted {
        /// What was accepted; `None` if nothing is lost.
        detail: Option<String>,
    },
    /// The command is carried out.
    CarriedOut {
        /// What came of it.
        result: NodeAnswer,
    },
    /// The request was refused.
    Refused {
        /// The machine-readable reason.
        code: ErrorCode,
        /// The text for people.
        error: String,
    },
}

impl Answer {
    /// A refusal.
    pub(crate) fn refused(failure: &Failure) -> Self {
        Self::Refused { code: failure.code(), error: failure.external().to_owned() }
    }
}

/// The status of a running server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its version.
    pub version: String,
    /// Whether it is sealed: it has no key.
    pub sealed: bool,
    /// Whether it waits because its audit log is lost. It has no key then.
    pub audit_lost: bool,
    /// What is changed or missing of it.
    #[serde(default)]
    pub audit_loss: Option<String>,
    /// Since when it is sealed or open (RFC 3339).
    pub since: String,
    /// The seal that opened it.
    pub opened_by: Option<String>,
    /// Why it is sealed, and what opens it.
    pub why_sealed: Vec<String>,
    /// Seconds since the control feed was read to its end.
    pub feed_age_seconds: Option<u64>,
    /// Lines that the server wrote to the audit log since it was opened.
    pub audit_lines: Option<u64>,
    /// Preallocated bytes that the audit log can still write on a full disk.
    pub audit_reserve_bytes: Option<u64>,
    /// Denials that are in force only on this node.
    pub denials_waiting: Option<usize>,
    /// The rotations in progress.
    pub rotations: Option<RotationList>,
    /// Problems, each with what to do.
    pub problems: Vec<String>,
    /// What does not keep it from being ready, as `/readyz` says it; each with what to do.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The store as the server sees it; none while it is sealed.
    pub store: Option<StoreStatus>,
}

/// A passphrase or share that a person typed.
pub(crate) struct SecretInput(pub(crate) Zeroizing<String>);

impl Serialize for SecretInput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl fmt::Debug for SecretInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretInput(..)")
    }
}

/// A command that waits for the server's loop, which handles one at a time.
pub(crate) struct PendingCommand {
    pub(crate) command: SocketCommand,
    /// The sender, for the audit log.
    pub(crate) source: String,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The socket, listening.
pub(crate) struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OperatorSocket {
    /// Opens the socket. Only the holder of the store's lock does this, so an existing file is stale.
    pub(crate) fn bind(data_directory: &Path) -> io::Result<Self> {
        let path = data_directory.join(NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_directory, short) = short(data_directory)?;
        let listener = UnixListener::bind(short)?;
        // Until then the directory's mode keeps other users out, and each peer's user is checked anyway.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Accepts requests until the server ends.
    pub(crate) async fn run(self, requests: mpsc::Sender<PendingCommand>, mut ended: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                _ = ended.changed() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else { continue };
                    let requests = requests.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, &requests).await {
                            tracing::debug!(%error, "a command on the node was not answered");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the operator's socket was not accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "the operator's socket was not removed");
        }
    }
}

async fn converse(mut stream: UnixStream, requests: &mpsc::Sender<PendingCommand>) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if !is_trusted(user) {
        tracing::warn!(user, "a connection of another user to the operator's socket was refused");
        return Ok(());
    }
    let text = tokio::time::timeout(TRANSFER, read(&mut stream)).await?;
    let answer = match text.map(|text| serde_json::from_slice(&text).ok())? {
        Some(command) => {
            let (answer, answered) = oneshot::channel();
            let request = PendingCommand { command, source: format!("{NAME} uid {user}"), answer };
            match requests.try_send(request) {
                Ok(()) => tokio::time::timeout(WORK, answered)
                    .await?
                    .unwrap_or_else(|_| Answer::refused(&messages::stopping())),
                Err(_) => Answer::refused(&messages::too_many_commands()),
            }
        }
        None => Answer::refused(&messages::unknown_command()),
    };
    tokio::time::timeout(TRANSFER, write(&mut stream, &answer)).await?
}

/// Why a command got no answer.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// Nothing listens on the socket: no server runs on this data directory, or it has another version.
    NoServer,
    /// This user may not reach the socket, so whether a server runs is unknown.
    NotAllowed { data_directory: PathBuf },
    /// A process of another user listens on the socket.
    OtherUser { user: u32 },
    /// The connection failed.
    Broken(io::Error),
}

impl From<CommandError> for StartError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::NoServer => messages::no_operator_socket(),
            CommandError::NotAllowed { data_directory } => {
                foreign(&data_directory).unwrap_or_else(|| messages::operator_socket_denied(&data_directory))
            }
            CommandError::OtherUser { user } => messages::operator_socket_of_another_user(user),
            CommandError::Broken(error) => messages::answer_incomplete(&error),
        }
    }
}

/// Sends a command to the server that runs on this data directory.
pub(crate) async fn send(data_directory: &Path, command: &SocketCommand) -> Result<Answer, CommandError> {
    let not_reached = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => CommandError::NotAllowed { data_directory: data_directory.into() },
        _ => CommandError::NoServer,
    };
    let (_directory, short) = short(data_directory).map_err(not_reached)?;
    let mut stream = UnixStream::connect(short).await.map_err(not_reached)?;
    let user = stream.peer_cred().map_err(CommandError::Broken)?.uid();
    if !is_trusted(user) {
        return Err(CommandError::OtherUser { user });
    }
    write(&mut stream, command).await.map_err(CommandError::Broken)?;
    let text = read(&mut stream).await.map_err(CommandError::Broken)?;
    serde_json::from_slice(&text).map_err(|error| CommandError::Broken(io::Error::other(error)))
}

/// Whether a user may receive and send what opens the store: this process's own user, and root, which can read it
/// anyway.
pub(crate) fn is_trusted(user: u32) -> bool {
    trusts(rustix::process::geteuid().as_raw(), user)
}

fn trusts(own: u32, user: u32) -> bool {
    user == own || user == 0
}

/// A path of the socket that fits into a socket address (108 bytes) at any depth of the directory. Valid while the
/// directory is open.
fn short(data_directory: &Path) -> io::Result<(File, PathBuf)> {
    let directory = File::open(data_directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
    Ok((directory, path))
}

/// One object and the end of the stream.
pub(crate) async fn write<T: Serialize>(stream: &mut UnixStream, object: &T) -> io::Result<()> {
    let text = Zeroizing::new(serde_json::to_vec(object).map_err(io::Error::other)?);
    stream.write_all(&text).await?;
    stream.shutdown().await
}

pub(crate) async fn read(stream: &mut UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    let length = stream.take(LONGEST + 1).read_to_end(&mut text).await?;
    if length as u64 > LONGEST {
        return Err(messages::message_too_long());
    }
    Ok(text)
}

/// The command that sends this input to the server.
pub(crate) fn unseal_command(input: &UnsealInput) -> SocketCommand {
    let (passphrase, shares) = typed(input);
    SocketCommand::Unseal { passphrase, shares }
}

/// The command that accepts the loss of the audit log, with this input for the seals.
pub(crate) fn accept_loss_command(input: &UnsealInput) -> SocketCommand {
    let (passphrase, shares) = typed(input);
    SocketCommand::AcceptLoss { passphrase, shares }
}

fn typed(input: &UnsealInput) -> (Option<SecretInput>, Vec<SecretInput>) {
    let passphrase = input.passphrase.as_ref().map(|passphrase| SecretInput(passphrase.expose_text()));
    (passphrase, input.shares.iter().map(|share| SecretInput(share.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_and_root_are_trusted() {
        assert!(trusts(1000, 1000) && trusts(1000, 0) && trusts(0, 0));
        assert!(!trusts(1000, 1001) && !trusts(0, 1000));
    }

    #[test]
    fn debug_does_not_show_typed_secrets() {
        let typed = SecretInput(Zeroizing::new("canary".to_owned()));
        assert_eq!(format!("{typed:?}"), "SecretInput(..)");
    }

    #[tokio::test]
    async fn the_socket_works_in_a_deep_directory() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let socket = OperatorSocket::bind(&deep).unwrap();
        let mode = std::fs::metadata(deep.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (sender, mut requests) = mpsc::channel(1);
        let (_ending, ended) = watch::channel(false);
        let running = tokio::spawn(socket.run(sender, ended));
        let answering = tokio::spawn(async move {
            let request = requests.recv().await.unwrap();
            assert!(matches!(request.command, SocketCommand::Unseal { passphrase: None, .. }));
            request.answer.send(Answer::Unsealed { by: "a seal".to_owned() }).unwrap();
        });
        let answer = send(&deep, &unseal_command(&UnsealInput::default())).await.unwrap();
        assert!(matches!(answer, Answer::Unsealed { by } if by == "a seal"));
        answering.await.unwrap();
        running.abort();
    }
}
