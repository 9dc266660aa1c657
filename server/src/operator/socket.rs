//! `DATA/operator.sock`: how commands on the node talk to the server that runs there, sealed or not.
//!
//! It lies in the data directory (0700), has mode 0600, and both ends look at who the other is: the server answers
//! its own user and root, and a command tells nothing to a stranger that sits in the server's place. So nobody else
//! can occupy an unsealing, and none is offered on the network. It is no API: one JSON object each way, between a
//! `petsem` and the server of the same version.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use petsem_api::{ErrorCode, RequestId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::node::start_error::StartError;
use crate::operator::unseal_input::UnsealInput;
use petsem_engine::{Failure, StoreStatus};

/// Its name in the data directory.
const NAME: &str = "operator.sock";
/// Longest request or answer, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// Connections at once.
const CONNECTIONS: usize = 16;
/// How long a request may take to come, and its answer to go.
const TRANSFER: Duration = Duration::from_secs(10);
/// How long the server may work on one: a KMS that is down takes its time.
const WORK: Duration = Duration::from_secs(90);

/// What a command asks.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// How are you?
    Status {},
    /// Open the store by what people gave, or by the configured seals if they gave nothing.
    Unseal {
        /// A passphrase.
        passphrase: Option<SecretInput>,
        /// Shares.
        shares: Vec<SecretInput>,
    },
    /// Make this change of the seal list: a note with its MAC, base64.
    ChangeSeals {
        /// Under which id the note was written.
        id: RequestId,
        /// The note.
        note: String,
    },
}

/// What the server says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// How it is.
    Status {
        /// That.
        status: Box<ServerStatus>,
    },
    /// The store is open.
    Unsealed {
        /// The seal that opened it.
        by: String,
    },
    /// The change is made.
    Changed {},
    /// It was not done.
    Refused {
        /// The machine's reason.
        code: ErrorCode,
        /// For people.
        error: String,
    },
}

impl Answer {
    /// A refusal.
    pub(crate) fn refused(failure: &Failure) -> Self {
        Self::Refused { code: failure.code(), error: failure.external().to_owned() }
    }
}

/// How a running server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its version.
    pub version: String,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Since when it is sealed or open (RFC 3339).
    pub since: String,
    /// The seal that opened it.
    pub opened_by: Option<String>,
    /// Why it is sealed, and what opens it.
    pub why_sealed: Vec<String>,
    /// Seconds since the control feed was read to its end.
    pub feed_age_seconds: Option<u64>,
    /// Lines that it wrote to the audit log since it was opened.
    pub audit_lines: Option<u64>,
    /// Preallocated bytes that the audit log has left for a full disk.
    pub audit_reserve_bytes: Option<u64>,
    /// What stands in its way, each with what to do.
    pub problems: Vec<String>,
    /// The store as it sees it; none while it is sealed.
    pub store: Option<StoreStatus>,
}

/// Something that a person typed, and that opens the store.
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

/// A request on its way to the server's own loop, which works on one at a time.
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    /// Who asks, for the audit log.
    pub(crate) source: String,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The socket, listening.
pub(crate) struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OperatorSocket {
    /// Opens it. Whoever holds the store's lock is the only one: what lies in its place is old.
    pub(crate) fn bind(data_directory: &Path) -> io::Result<Self> {
        let path = data_directory.join(NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_directory, short) = short(data_directory)?;
        let listener = UnixListener::bind(short)?;
        // The directory is closed to others until then, and peers are looked at anyway.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Takes requests until the server ends.
    pub(crate) async fn run(self, asked: mpsc::Sender<Asked>, mut ended: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                _ = ended.changed() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                    let asked = asked.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, &asked).await {
                            tracing::debug!(%error, "a command on the node was not answered");
                        }
                        drop(place);
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

async fn converse(mut stream: UnixStream, asked: &mpsc::Sender<Asked>) -> io::Result<()> {
    let user = stream.peer_cred()?.uid();
    if !is_trusted(user) {
        tracing::warn!(user, "a stranger was turned away from the operator's socket");
        return Ok(());
    }
    let answer = match tokio::time::timeout(TRANSFER, read(&mut stream)).await?.map(|text| parse(&text))? {
        Some(ask) => {
            let (answer, answered) = oneshot::channel();
            let request = Asked { ask, source: format!("{NAME} uid {user}"), answer };
            match asked.try_send(request) {
                Ok(()) => tokio::time::timeout(WORK, answered).await?.unwrap_or_else(|_| stopping()),
                Err(_) => busy(),
            }
        }
        None => Answer::Refused {
            code: ErrorCode::BadRequest,
            error: "the request is not understood; use the `petsem` of the same version as the server's"
                .to_owned(),
        },
    };
    tokio::time::timeout(TRANSFER, write(&mut stream, &answer)).await?
}

fn parse(text: &[u8]) -> Option<Ask> {
    serde_json::from_slice(text).ok()
}

fn stopping() -> Answer {
    Answer::Refused { code: ErrorCode::Stopping, error: "the server is stopping".to_owned() }
}

fn busy() -> Answer {
    Answer::Refused {
        code: ErrorCode::Busy,
        error: "the server has many requests of operators already; try again".to_owned(),
    }
}

/// Why a command got no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// Nothing listens there: no server runs on this data directory, or it is of another version.
    NoServer,
    /// Somebody else sits in the server's place.
    Stranger { user: u32 },
    /// It broke off.
    Broken(io::Error),
}

impl From<AskError> for StartError {
    fn from(error: AskError) -> Self {
        Self::Refused(match error {
            AskError::NoServer => {
                "the server that holds the store does not listen on operator.sock in the data directory\nlook at its log; use the `petsem` \
                 of the same version as the server's"
                    .to_owned()
            }
            AskError::Stranger { user } => format!(
                "user {user} listens on operator.sock in the data directory, and that is neither you nor root; nothing was told\n\
                 run this as the user that runs the server, and look who can write to the data directory"
            ),
            AskError::Broken(error) => format!(
                "the server did not answer to the end: {error}\n`petsem operator status` says how it is; look at its log"
            ),
        })
    }
}

/// Asks the server that runs on this data directory.
pub(crate) async fn ask(data_directory: &Path, ask: &Ask) -> Result<Answer, AskError> {
    let (_directory, short) = short(data_directory).map_err(|_| AskError::NoServer)?;
    let mut stream = UnixStream::connect(short).await.map_err(|_| AskError::NoServer)?;
    let user = stream.peer_cred().map_err(AskError::Broken)?.uid();
    if !is_trusted(user) {
        return Err(AskError::Stranger { user });
    }
    write(&mut stream, ask).await.map_err(AskError::Broken)?;
    let text = read(&mut stream).await.map_err(AskError::Broken)?;
    serde_json::from_slice(&text).map_err(|error| AskError::Broken(io::Error::other(error)))
}

/// Whether a user may be told what opens the store, and may say it: this one, and root, who could read it anyway.
fn is_trusted(user: u32) -> bool {
    trusts(rustix::process::geteuid().as_raw(), user)
}

fn trusts(own: u32, user: u32) -> bool {
    user == own || user == 0
}

/// The socket's path, short enough for one (108 bytes) however deep the directory lies; good as long as the directory
/// is open.
fn short(data_directory: &Path) -> io::Result<(File, PathBuf)> {
    let directory = File::open(data_directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
    Ok((directory, path))
}

/// One object and the end of the stream.
async fn write<T: Serialize>(stream: &mut UnixStream, object: &T) -> io::Result<()> {
    let text = Zeroizing::new(serde_json::to_vec(object).map_err(io::Error::other)?);
    stream.write_all(&text).await?;
    stream.shutdown().await
}

async fn read(stream: &mut UnixStream) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::new());
    let length = stream.take(LONGEST + 1).read_to_end(&mut text).await?;
    if length as u64 > LONGEST {
        return Err(io::Error::other("the text is too long"));
    }
    Ok(text)
}

/// What people gave, for the server.
pub(crate) fn unseal_request(given: &UnsealInput) -> Ask {
    Ask::Unseal {
        passphrase: given.passphrase.as_ref().map(|passphrase| SecretInput(passphrase.expose_text())),
        shares: given.shares.iter().map(|share| SecretInput(share.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_own_user_and_root_are_trusted_and_nobody_else() {
        assert!(trusts(1000, 1000) && trusts(1000, 0) && trusts(0, 0));
        assert!(!trusts(1000, 1001) && !trusts(0, 1000));
    }

    #[test]
    fn what_was_typed_is_in_no_debug_text() {
        let typed = SecretInput(Zeroizing::new("canary".to_owned()));
        assert_eq!(format!("{typed:?}"), "SecretInput(..)");
    }

    #[tokio::test]
    async fn a_deep_directory_has_a_socket_too() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let socket = OperatorSocket::bind(&deep).unwrap();
        let mode = std::fs::metadata(deep.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (sender, mut asked) = mpsc::channel(1);
        let (_ending, ended) = watch::channel(false);
        let running = tokio::spawn(socket.run(sender, ended));
        let answering = tokio::spawn(async move {
            let request = asked.recv().await.unwrap();
            assert!(matches!(request.ask, Ask::Unseal { passphrase: None, .. }));
            request.answer.send(Answer::Unsealed { by: "a seal".to_owned() }).unwrap();
        });
        let answer = ask(&deep, &unseal_request(&UnsealInput::default())).await.unwrap();
        assert!(matches!(answer, Answer::Unsealed { by } if by == "a seal"));
        answering.await.unwrap();
        running.abort();
    }
}
