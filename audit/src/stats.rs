//! Numbers for the metrics.

/// What the log did since it was opened, and how it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditStats {
    /// Number of the last durable line.
    pub line: u64,
    /// Lines made durable, checkpoints included.
    pub lines: u64,
    /// Calls of `fdatasync` on lines.
    pub syncs: u64,
    /// Bytes of lines made durable.
    pub bytes: u64,
    /// Checkpoints made durable.
    pub checkpoints: u64,
    /// Bytes that can be written before more of the disk is needed.
    pub reserve_left: u64,
    /// Whether the reserve is smaller than it should be and cannot be filled: the disk is full.
    pub reserve_short: bool,
    /// Lines that wait.
    pub queue: u64,
    /// Requests counted as unverified.
    pub unverified: u64,
    /// Times that a file was found deleted or replaced underneath, and written anew.
    pub files_restored: u64,
    /// Why the log refuses, while it does. It tries again once a second by itself.
    pub error: Option<String>,
}
