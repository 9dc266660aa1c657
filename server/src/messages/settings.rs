//! Values of the configuration that are refused: the key, and what to write instead.

use crate::error::SettingsError;

pub(crate) fn invalid_name(written: &str) -> SettingsError {
    value("name", written, "give 1 to 200 printable ASCII characters without spaces")
}

pub(crate) fn invalid_location(written: &str) -> SettingsError {
    value("location", written, "give the URL that tokens carry, like https://petsem.example")
}

pub(crate) fn invalid_discharger_location(written: &str) -> SettingsError {
    value(
        "discharger.location",
        written,
        "give the URL at which clients reach this server, another one than `location`",
    )
}

pub(crate) fn no_listener() -> SettingsError {
    value("listener", "", "give at least one [[listener]]")
}

pub(crate) fn listener_twice(written: &str) -> SettingsError {
    value("listener.address", written, "two listeners have this address; give each its own")
}

pub(crate) fn path_of_shell(key: &'static str, written: &std::path::Path) -> SettingsError {
    value(key, &written.display().to_string(), "`~` is not replaced here; write the whole path")
}

pub(crate) fn no_seal() -> SettingsError {
    value("seal", "", "give at least one [[seal]]")
}

pub(crate) fn invalid_listener_host(written: &str) -> SettingsError {
    value("listener.host", written, "give 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'")
}

pub(crate) fn invalid_listener_address(written: &str) -> SettingsError {
    value("listener.address", written, "give ADDRESS:PORT, like 127.0.0.1:8200, or unix:/path")
}

pub(crate) fn listener_needs_tls(written: &str) -> SettingsError {
    value(
        "listener.address",
        written,
        "this build has no TLS yet: listen on a loopback address (127.0.0.1, [::1]) or on unix:/path",
    )
}

pub(crate) fn invalid_node_name(written: &str) -> SettingsError {
    value("node.name", written, "give 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'")
}

pub(crate) fn invalid_segment_size(written: u64) -> SettingsError {
    value("audit.segment_mib", &written.to_string(), "give 1 to 4096")
}

pub(crate) fn invalid_reserve_size(written: u64) -> SettingsError {
    value("audit.reserve_mib", &written.to_string(), "give 0 to 65536")
}

pub(crate) fn invalid_disk_warning(written: u64) -> SettingsError {
    value("disk.warn_below_mib", &written.to_string(), "give 0 to 1073741824; 0 turns the warning off")
}

pub(crate) fn invalid_approval_page(written: &str) -> SettingsError {
    value(
        "discharger.approval_page",
        written,
        "give a URL with {id} in it once, like https://console.example/approve/{id}",
    )
}

pub(crate) fn invalid_rewrap_rate(written: u32) -> SettingsError {
    value("rotation.rewraps_per_second", &written.to_string(), "give 1 to 1000000")
}

pub(crate) fn invalid_fetch_seconds(written: u64) -> SettingsError {
    value("outgoing.seconds", &written.to_string(), "give 1 to 60")
}

pub(crate) fn invalid_refetch_seconds(written: u64) -> SettingsError {
    value("issuers.refetch_seconds", &written.to_string(), "give 1 to 300")
}

pub(crate) fn invalid_private_host(written: &str) -> SettingsError {
    value(
        "outgoing.private_hosts",
        written,
        "give names or addresses without ports, like keys.internal or 10.0.0.7",
    )
}

pub(crate) fn invalid_origin(written: &str) -> SettingsError {
    value("outgoing.origin.url", written, "give https://HOST[:PORT], without a path")
}

pub(crate) fn origin_twice(written: &str) -> SettingsError {
    value("outgoing.origin.url", written, "two entries have this origin; make them one")
}

pub(crate) fn invalid_proxy(written: &str) -> SettingsError {
    value("outgoing.origin.proxy", written, "give http://HOST:PORT, without a user or password")
}

pub(crate) fn invalid_request_limit(written: usize) -> SettingsError {
    value("limits.requests", &written.to_string(), "give 1 to 100000")
}

pub(crate) fn invalid_connection_limit(written: usize) -> SettingsError {
    value("limits.connections", &written.to_string(), "give 1 to 1000000")
}

pub(crate) fn invalid_time_limit(written: u64) -> SettingsError {
    value("limits.seconds", &written.to_string(), "give 1 to 600")
}

fn value(key: &'static str, value: &str, remedy: &'static str) -> SettingsError {
    SettingsError::Value { key, value: value.to_owned(), remedy }
}
