//! Bundles for tests.

use petsem_api::AppId;
use petsem_client::{Bundle, Identity};

/// Part of every value that no output may show.
pub(crate) const CANARY: &str = "canary-7f3a";

pub(crate) fn app() -> AppId {
    AppId::from_bytes([7; 16])
}

pub(crate) fn identity() -> Identity {
    Identity::Machine { app: app(), app_name: "shop".parse().unwrap(), machine: "m-1".parse().unwrap() }
}

pub(crate) fn bundle(version: u64, secrets: &[(&str, &[u8])]) -> Bundle {
    let secrets = secrets.iter().map(|(name, value)| (name.parse().unwrap(), value.to_vec()));
    Bundle::new(identity(), version, secrets)
}

/// Newlines, NUL and 0xff, like the values that the channels were measured with.
pub(crate) fn edge_case_bundle() -> Bundle {
    bundle(
        3,
        &[("PEM", b"-----BEGIN-----\nx\n"), ("RAW", b"\0\xff\0"), ("EMPTY", b""), ("TEXT", b"canary-7f3a")],
    )
}
