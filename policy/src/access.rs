//! What a request asks for, as data: caveats are evaluated against it.

use std::net::IpAddr;

use crate::action::Action;

/// A request to petsem. `None` means that the request does not name that resource. A caveat that restricts it
/// then answers "resource unspecified", which refuses, except inside `IfPresent`.
///
/// Of the format's own caveats, a petsem request clears `ValidityWindow` and `IfPresent`; all others refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access<'a> {
    /// Unix seconds, read once for the request.
    pub now_unix_seconds: i64,
    /// Nanoseconds into that second, below 10⁹.
    pub now_nanos: u32,
    /// The action.
    pub action: Action,
    /// The id of the org that owns the resource.
    pub org: Option<[u8; 16]>,
    /// The id of the app.
    pub app: Option<[u8; 16]>,
    /// The name of the secret.
    pub secret: Option<&'a str>,
    /// The label of the secret key.
    pub secret_key: Option<&'a str>,
    /// The Machine.
    pub machine: Option<&'a str>,
    /// The client's host, as the listener authenticated it; never from a body or header.
    pub host: Option<&'a str>,
    /// The client's address, from the socket; never from a header. `None` for a Unix socket.
    pub peer: Option<IpAddr>,
}

impl Access<'_> {
    /// A request that names no resource.
    pub const fn new(action: Action, now_unix_seconds: i64, now_nanos: u32) -> Self {
        Self {
            now_unix_seconds,
            now_nanos,
            action,
            org: None,
            app: None,
            secret: None,
            secret_key: None,
            machine: None,
            host: None,
            peer: None,
        }
    }

    /// Whether now is later than the start of that second, to the nanosecond.
    pub(crate) fn is_after(&self, unix_seconds: i64) -> bool {
        (self.now_unix_seconds, self.now_nanos) > (unix_seconds, 0)
    }
}

/// A request for a discharge: the conditions in its ticket are evaluated against it.
///
/// It clears what an [`Access`] clears, and `MaxValidity`. Of petsem's caveats it clears Organization, Apps,
/// Actions, Machines and Hosts, and SecondPerson for the approved request. All others refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DischargeRequest<'a> {
    /// What the discharge will be used for.
    pub access: Access<'a>,
    /// When the discharge will expire, in unix seconds.
    pub expires_unix_seconds: i64,
    /// The request that a second person approved, if any.
    pub approved: Option<[u8; 16]>,
}
