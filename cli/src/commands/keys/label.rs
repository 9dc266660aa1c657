//! Labels of keys and their versions, as in flyctl.

use clap::Args;
use petsem_api::{AppRef, SecretKeyList, SecretKeyName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::messages;
use crate::remote::Remote;

/// The label of a new key.
#[derive(Args)]
pub(super) struct NewLabel {
    /// The key's label; without a version at its end (v0, v1 …), it gets the next one
    label: String,

    /// Use the label as given, without a version
    #[arg(long)]
    no_version: bool,

    /// Replace an existing key with this label; what it encrypted can never be decrypted again
    #[arg(long)]
    force: bool,
}

impl NewLabel {
    /// The complete label; without --force, no existing key has it.
    pub(super) fn resolve(&self, remote: &Remote, app: &AppRef) -> Result<SecretKeyName, Failure> {
        let label = parse(&self.label)?;
        let keys = all(remote, app)?;
        let whole = if self.no_version || label.version().is_some() {
            label
        } else {
            let next = newest(&keys, label.as_str()).map_or(0, |(version, _)| version.saturating_add(1));
            parse(&format!("{label}v{next}"))?
        };
        if !self.force && keys.secret_keys.iter().any(|key| key.name == whole) {
            return Err(messages::key_exists(&whole));
        }
        Ok(whole)
    }
}

/// A label from an argument.
pub(super) fn parse(argument: &str) -> Result<SecretKeyName, Failure> {
    argument.parse().map_err(|error| messages::invalid_key_label(&error))
}

/// Posts to the key with exactly this label, else to its newest version.
pub(super) fn post<Answer: DeserializeOwned>(
    remote: &Remote,
    app: &AppRef,
    label: &SecretKeyName,
    operation: &str,
    request: &impl Serialize,
) -> Result<Answer, Failure> {
    let path = |label: &SecretKeyName| format!("/v1/apps/{app}/secretkeys/{label}/{operation}");
    if label.version().is_some() {
        return remote.post(&path(label), request);
    }
    // Asked first: a request for a label that does not exist would be a denied line in the audit log. So would be a
    // list for a token that may not list.
    if !remote.may_list() {
        return remote.post(&path(label), request);
    }
    let keys = all(remote, app)?;
    let exact = keys.secret_keys.iter().any(|key| key.name == *label);
    match newest(&keys, label.as_str()) {
        _ if exact => remote.post(&path(label), request),
        Some((_, newest)) => remote.post(&path(newest), request),
        None => Err(messages::key_not_found(label, app)),
    }
}

fn all(remote: &Remote, app: &AppRef) -> Result<SecretKeyList, Failure> {
    remote.get(&format!("/v1/apps/{app}/secretkeys"))
}

fn newest<'a>(keys: &'a SecretKeyList, label: &str) -> Option<(u64, &'a SecretKeyName)> {
    let version = |name: &'a SecretKeyName| {
        let (base, version) = name.version()?;
        (base == label).then_some((version, name))
    };
    keys.secret_keys.iter().filter_map(|key| version(&key.name)).max_by_key(|(version, _)| *version)
}

#[cfg(test)]
mod tests {
    use petsem_api::{SecretKey, SecretKeyType};

    use super::*;

    #[test]
    fn the_newest_version_is_the_highest_number_of_that_label() {
        let key = |name: &str| SecretKey {
            name: name.parse().unwrap(),
            kind: SecretKeyType::Hs256,
            public_key: None,
            created_at: String::new(),
            set_in_version: 1,
            author: String::new(),
        };
        let secret_keys = ["sign", "signv10", "signv9", "signerv11"].map(key).into();
        let keys = SecretKeyList { secret_keys, version: 4 };
        assert_eq!(
            newest(&keys, "sign").map(|(version, name)| (version, name.as_str())),
            Some((10, "signv10"))
        );
        assert_eq!(newest(&keys, "sig"), None);
    }
}
