//! Numbers for the metrics.

/// Counters since the log was opened, and its present state.
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
    /// Bytes that can be written without allocating more disk space.
    pub reserve_left: u64,
    /// Whether the reserve is smaller than it should be and cannot be filled: the disk is full.
    pub reserve_short: bool,
    /// Lines in the queue.
    pub queue: u64,
    /// Lines that are not durable yet: those of the queue, and those that are being written.
    pub pending: u64,
    /// Requests counted as unverified.
    pub unverified: u64,
    /// How often a file was found deleted or replaced while in use, and was restored.
    pub files_restored: u64,
    /// Whether the file is not at its path and cannot be restored there: its directory is gone. Lines still reach it.
    pub is_displaced: bool,
    /// Why the log refuses events at present. It retries once a second.
    pub error: Option<String>,
}
