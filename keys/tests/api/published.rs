//! Published vectors, as files.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// With `PETSEM_BLESS=1`, rewrites the file atomically: other tests may be reading it.
pub(crate) fn bless(path: &Path, vectors: &Value) {
    if std::env::var_os("PETSEM_BLESS").is_none_or(|bless| bless != "1") {
        return;
    }
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_string_pretty(vectors).unwrap() + "\n").unwrap();
    fs::rename(&new, path).unwrap();
}
