//! Several people give the shares of a seal, one at a time, from several terminals on the node.
//!
//! A command that needs them (`--gather-shares`) collects them itself, with or without a running server: it listens on a
//! socket in the data directory, and the others give theirs with `petsem operator share`. So there is nothing to occupy:
//! each command has an attempt of its own, a share that is not of the seal is refused without ending it, and it ends
//! with its command, or after ten minutes. Other users reach no socket: the directory keeps them out, and the peer's
//! user is checked. Shares wait in locked memory.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use petsem_engine::{KeyMemory, LockedText, Timestamp, new_request_id};
use petsem_seals::ShareSet;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::error::StartError;
use crate::messages;
use crate::node::file_owner::foreign;
use crate::operator::seals::people_seals;
use crate::operator::socket::{SecretInput, is_trusted, read, write};
use crate::operator::unseal_input::UnsealInput;
use crate::settings::Settings;

/// How long an attempt stays open.
pub const OPEN_FOR: Duration = Duration::from_secs(600);
/// How long one exchange may take: a person types before it, not within.
const EXCHANGE: Duration = Duration::from_secs(5);
/// How names of sockets begin and end, around the id of the attempt.
const NAME: (&str, &str) = ("shares-", ".sock");

/// An attempt as the people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttemptStatus {
    /// Its id.
    pub id: String,
    /// The command that needs the shares.
    pub command: String,
    /// Who runs it.
    pub by: String,
    /// The shares that open the store, such as `any 3 of the 5 shares of set 3D7K0QZP`.
    pub needed: Vec<String>,
    /// The shares that were given, in this order.
    pub given: Vec<GivenShare>,
    /// How many are missing.
    pub missing: u8,
    /// When it ends (RFC 3339).
    pub open_until: String,
    /// Why the shares that wait may be swapped to disk, if they may.
    pub unlocked: Option<String>,
}

/// A share that was given; never its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenShare {
    /// Its number in its set.
    pub number: u8,
    /// Who gave it.
    pub by: String,
    /// When (RFC 3339).
    pub at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
enum ShareRequest {
    Show {},
    Give { share: SecretInput },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
enum ShareAnswer {
    Attempt { status: AttemptStatus },
    Refused { error: String },
}

/// A share that waits for the others.
struct WaitingShare {
    set: usize,
    given: GivenShare,
    text: LockedText,
}

/// An attempt of this process.
pub struct ShareAttempt {
    id: String,
    command: String,
    listener: UnixListener,
    path: PathBuf,
    /// Without shares: those that wait are in locked memory alone.
    sets: Vec<ShareSet>,
    waiting: Vec<WaitingShare>,
    ends: Instant,
    open_until: String,
}

impl ShareAttempt {
    /// Begins an attempt that stays open for this long. `command` is what the others are shown.
    ///
    /// # Errors
    /// [`StartError`]: no seal of the store has shares, or the socket cannot be made.
    pub async fn open(settings: &Settings, command: String, within: Duration) -> Result<Self, StartError> {
        let sets = people_seals(settings).await?.shares;
        if sets.is_empty() {
            return Err(messages::no_seal_with_shares());
        }
        let now = Timestamp::now();
        let id = new_request_id(now).to_string();
        // Its end is random, its beginning a time.
        let id = id.get(id.len().saturating_sub(8)..).unwrap_or_default().to_owned();
        let name = format!("{}{id}{}", NAME.0, NAME.1);
        let path = settings.data_directory.join(&name);
        let bind = || {
            let (_directory, short) = short(&settings.data_directory, &name)?;
            let listener = UnixListener::bind(short)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        };
        let listener = bind().map_err(|error| messages::shares_not_gathered(&path, &error))?;
        let length = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let open_until = Timestamp::from_millis(now.millis().saturating_add(length)).rfc3339();
        let waiting = Vec::new();
        Ok(Self { id, command, listener, path, sets, waiting, ends: Instant::now() + within, open_until })
    }

    /// The attempt as it is now.
    pub fn status(&self) -> AttemptStatus {
        AttemptStatus {
            id: self.id.clone(),
            command: self.command.clone(),
            by: who(rustix::process::geteuid().as_raw(), Some(std::process::id())),
            needed: self.sets.iter().map(ShareSet::describe).collect(),
            given: self.waiting.iter().map(|waiting| waiting.given.clone()).collect(),
            missing: self.missing(),
            open_until: self.open_until.clone(),
            unlocked: unlocked(),
        }
    }

    /// Adds a share of the person who runs the command.
    ///
    /// # Errors
    /// The share's fault, for people; the attempt goes on.
    pub fn give(&mut self, share: &str) -> Result<(), String> {
        self.take(share, who(rustix::process::geteuid().as_raw(), Some(std::process::id())))
    }

    /// Waits for the missing shares. `changed` is called after each share that was given, and with each fault.
    ///
    /// # Errors
    /// [`StartError`]: the time is over. The shares are wiped.
    pub async fn gathered(
        mut self,
        changed: &mut (dyn FnMut(&AttemptStatus, Option<&str>) + Send),
    ) -> Result<UnsealInput, StartError> {
        // Around all of it: connections that queue, or stall, delay no deadline.
        if tokio::time::timeout_at(self.ends, self.gather(changed)).await.is_err() {
            return Err(messages::shares_too_late(self.missing()));
        }
        let shares = self.waiting.iter().map(|waiting| waiting.text.expose_text()).collect();
        Ok(UnsealInput::new(None, shares))
    }

    async fn gather(&mut self, changed: &mut (dyn FnMut(&AttemptStatus, Option<&str>) + Send)) {
        while self.missing() > 0 {
            // Lets the deadline be noticed between connections that never wait.
            tokio::task::yield_now().await;
            let Ok((stream, _)) = self.listener.accept().await else { continue };
            // A connection that ends early, or stalls, is of no consequence.
            if let Ok(Ok(Some(outcome))) = tokio::time::timeout(EXCHANGE, self.converse(stream)).await {
                changed(&self.status(), outcome.err().as_deref());
            }
        }
    }

    /// Answers one request; what came of a share, if it gave one.
    async fn converse(&mut self, mut stream: UnixStream) -> std::io::Result<Option<Result<(), String>>> {
        let peer = stream.peer_cred()?;
        if !is_trusted(peer.uid()) {
            return Ok(None);
        }
        let text = read(&mut stream).await?;
        let outcome = match serde_json::from_slice(&text) {
            Ok(ShareRequest::Show {}) => None,
            Ok(ShareRequest::Give { share }) => {
                let process = peer.pid().and_then(|id| u32::try_from(id).ok());
                Some(self.take(&share.0, who(peer.uid(), process)))
            }
            Err(_) => Some(Err(messages::unknown_command().external().to_owned())),
        };
        let answer = match &outcome {
            Some(Err(error)) => ShareAnswer::Refused { error: error.clone() },
            _ => ShareAnswer::Attempt { status: self.status() },
        };
        write(&mut stream, &answer).await?;
        Ok(outcome)
    }

    /// Keeps a share of one of the seals that was not given yet.
    fn take(&mut self, share: &str, by: String) -> Result<(), String> {
        let mut fault = None;
        for (number, set) in self.sets.iter().enumerate() {
            let mut with = self.filled(number, set);
            let before: Vec<u8> = with.numbers().collect();
            match with.add(share) {
                Ok(_) => {
                    let new = with.numbers().find(|number| !before.contains(number)).unwrap_or_default();
                    let given = GivenShare { number: new, by, at: Timestamp::now().rfc3339() };
                    let text = LockedText::new(share.trim());
                    self.waiting.push(WaitingShare { set: number, given, text });
                    return Ok(());
                }
                Err(error) => fault = Some(error.to_string()),
            }
        }
        Err(fault.unwrap_or_default())
    }

    /// The set of this place with the shares that wait for it.
    fn filled(&self, place: usize, set: &ShareSet) -> ShareSet {
        let mut filled = set.emptied();
        for waiting in self.waiting.iter().filter(|waiting| waiting.set == place) {
            // It was added before.
            let _progress = filled.add(&waiting.text.expose_text());
        }
        filled
    }

    /// The fewest shares that open a seal.
    fn missing(&self) -> u8 {
        let missing = |(place, set)| self.filled(place, set).progress().missing();
        self.sets.iter().enumerate().map(missing).min().unwrap_or_default()
    }
}

/// Why the memory that shares wait in is not locked, if it is not: known before the first share is given.
fn unlocked() -> Option<String> {
    // The first one maps the pages.
    drop(LockedText::new("any"));
    let memory = KeyMemory::of_this_process();
    memory.refusal.filter(|_| memory.unlocked > 0).map(|refusal| refusal.to_string())
}

impl Drop for ShareAttempt {
    fn drop(&mut self) {
        // One that is left, by a kill, is removed by whoever looks for attempts.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The attempts on this node.
///
/// # Errors
/// The data directory cannot be read.
pub async fn share_attempts(settings: &Settings) -> Result<Vec<AttemptStatus>, StartError> {
    let directory = &settings.data_directory;
    let failed =
        |error| foreign(directory).unwrap_or_else(|| messages::shares_not_gathered(directory, &error));
    let mut attempts = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let id = name.strip_prefix(NAME.0).and_then(|rest| rest.strip_suffix(NAME.1));
        let Some(id) = id else { continue };
        match ask(directory, id, &ShareRequest::Show {}).await {
            Ok(ShareAnswer::Attempt { status }) => attempts.push(status),
            Ok(ShareAnswer::Refused { .. }) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                let _left_by_a_kill = std::fs::remove_file(directory.join(&name));
            }
            Err(_) => {}
        }
    }
    attempts.sort_by(|one, other| one.open_until.cmp(&other.open_until));
    Ok(attempts)
}

/// Gives a share to an attempt; the attempt after it.
///
/// # Errors
/// [`StartError`]: the attempt is over, or the share is none of its seal's.
pub async fn give_share(
    settings: &Settings,
    attempt: &str,
    share: Zeroizing<String>,
) -> Result<AttemptStatus, StartError> {
    let request = ShareRequest::Give { share: SecretInput(share) };
    match ask(&settings.data_directory, attempt, &request).await {
        Ok(ShareAnswer::Attempt { status }) => Ok(status),
        Ok(ShareAnswer::Refused { error }) => Err(StartError::Refused(error)),
        Err(error) => Err(messages::attempt_over(&error)),
    }
}

async fn ask(directory: &Path, attempt: &str, request: &ShareRequest) -> std::io::Result<ShareAnswer> {
    let exchange = async {
        let (_directory, short) = short(directory, &format!("{}{attempt}{}", NAME.0, NAME.1))?;
        let mut stream = UnixStream::connect(short).await?;
        if !is_trusted(stream.peer_cred()?.uid()) {
            return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        }
        write(&mut stream, request).await?;
        let text = read(&mut stream).await?;
        serde_json::from_slice(&text).map_err(std::io::Error::other)
    };
    tokio::time::timeout(EXCHANGE * 2, exchange).await?
}

/// A user, and who logged in as it: with `sudo`, everybody is root.
fn who(user: u32, process: Option<u32>) -> String {
    let login = process.and_then(|id| std::fs::read_to_string(format!("/proc/{id}/loginuid")).ok());
    match login.and_then(|text| text.trim().parse::<u32>().ok()).filter(|login| *login != u32::MAX) {
        Some(login) if login != user => format!("user {user}, logged in as user {login}"),
        _ => format!("user {user}"),
    }
}

/// A path that fits into a socket address at any depth of the directory. Valid while the directory is open.
fn short(directory: &Path, name: &str) -> std::io::Result<(File, PathBuf)> {
    let directory = File::open(directory)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()));
    Ok((directory, path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::install::{InstallOptions, install};

    /// An installation with shares, and its shares.
    async fn with_shares(directory: &Path) -> (Settings, Vec<Zeroizing<String>>) {
        let text = "name = \"test\"\nlocation = \"https://petsem.test\"\ndata_directory = \"data\"\n\
                    [[listener]]\naddress = \"127.0.0.1:0\"\n\
                    [[seal]]\nkind = \"shamir\"\nthreshold = 2\nshares = 3\n\
                    [audit]\nsegment_mib = 1\nreserve_mib = 2\n";
        let settings = Settings::from_toml(text, directory).unwrap();
        let options = InstallOptions { operator: "kim".to_owned(), life: 60 };
        let mut shares = Vec::new();
        let mut keep = |new: &[petsem_seals::NewShare]| {
            shares.extend(new.iter().map(|share| Zeroizing::new(share.text.to_string())));
            Ok(())
        };
        install(&settings, &options, &mut keep).await.unwrap();
        (settings, shares)
    }

    #[tokio::test]
    async fn an_attempt_ends_after_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let (settings, shares) = with_shares(directory.path()).await;
        let mut attempt = ShareAttempt::open(&settings, "petsem x".to_owned(), Duration::ZERO).await.unwrap();
        attempt.give(&shares[0]).unwrap();
        assert_eq!(attempt.status().missing, 1);
        let path = attempt.path.clone();
        let error = attempt.gathered(&mut |_, _| ()).await.unwrap_err().to_string();
        assert!(error.contains("the time is over, and 1 more") && error.contains("are wiped"), "{error}");
        assert!(!path.exists());
        assert_eq!(share_attempts(&settings).await.unwrap(), []);
    }

    #[tokio::test]
    async fn shares_come_one_at_a_time_and_a_wrong_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (settings, shares) = with_shares(directory.path()).await;
        let attempt = ShareAttempt::open(&settings, "petsem x".to_owned(), OPEN_FOR).await.unwrap();
        let id = attempt.status().id;
        let gathering = tokio::spawn(attempt.gathered_in_test());
        let give = async |share: &str| {
            let given = give_share(&settings, &id, Zeroizing::new(share.to_owned())).await;
            given.map(|status| status.missing).map_err(|error| error.to_string())
        };
        assert!(give("hello").await.unwrap_err().contains("a share has 90"));
        assert_eq!(give(&shares[2]).await, Ok(1));
        assert!(give(&shares[2]).await.unwrap_err().contains("share 3 was given already"));
        let seen = share_attempts(&settings).await.unwrap();
        assert_eq!(seen.iter().map(|seen| seen.missing).collect::<Vec<_>>(), [1]);
        assert_eq!(seen[0].given.iter().map(|given| given.number).collect::<Vec<_>>(), [3]);
        assert_eq!(give(&shares[0]).await, Ok(0));
        let input = gathering.await.unwrap().unwrap();
        let texts: Vec<&str> = input.shares.iter().map(|share| share.as_str()).collect();
        assert_eq!(texts, [shares[2].as_str(), shares[0].as_str()]);
        assert!(give(&shares[1]).await.unwrap_err().contains("the share was not taken"));
    }

    impl ShareAttempt {
        async fn gathered_in_test(self) -> Result<UnsealInput, StartError> {
            self.gathered(&mut |_, _| ()).await
        }
    }
}
