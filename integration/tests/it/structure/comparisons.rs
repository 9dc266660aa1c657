//! Secrets are compared in constant time: their types have no `==`, and no source compares them by name.

use std::path::{Path, PathBuf};

/// Fails to compile for a type that has `==`, because `is_absent` is then ambiguous.
macro_rules! have_no_equality {
    ($($type:ty),+ $(,)?) => {$({
        trait Equality<Found> {
            fn is_absent() {}
        }
        impl<T: ?Sized> Equality<()> for T {}
        impl<T: ?Sized + PartialEq> Equality<u8> for T {}
        <$type as Equality<_>>::is_absent();
    })+};
}

#[test]
fn keys_tokens_and_values_cannot_be_compared_with_equals() {
    have_no_equality!(
        petsem_keys::RootKey,
        petsem_keys::SealKey,
        petsem_keys::Keyring,
        petsem_keys::KeyringKey,
        petsem_keys::AppKek,
        petsem_keys::SigningKey,
        petsem_keys::DischargerKey,
        petsem_keys::RowMacKey,
        petsem_keys::AuditMacKey,
        petsem_keys::AuditRatchetKey,
        petsem_keys::HostCacheKey,
        petsem_keys::SecretKeyMaterial,
        petsem_policy::MacaroonKey,
        petsem_policy::SharedKey,
        petsem_policy::Macaroon,
        petsem_policy::UnverifiedToken,
        petsem_policy::Token,
        petsem_policy::Ticket,
        petsem_client::Bundle,
    );
}

/// Words for secret bytes, as the last part of a name.
const SECRET: [&str; 15] = [
    "mac",
    "macs",
    "tail",
    "tag",
    "hmac",
    "challenge",
    "discharge_key",
    "seal_key",
    "root_key",
    "passphrase",
    "poll_secret",
    "secret_hash",
    "key_bytes",
    "expected_proof",
    "binding_id",
];

/// Compares by name, and so finds only names that follow this project's conventions: a lint, not a proof.
#[test]
fn no_source_compares_a_mac_or_a_key_with_equals() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let crates =
        ["api", "audit", "cli", "client", "engine", "keys", "outbound", "policy", "seals", "server", "store"];
    let mut sources = Vec::new();
    for name in crates {
        collect(&root.join(name).join("src"), &mut sources);
    }
    assert!(sources.len() > 200, "{} sources", sources.len());
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in std::fs::read_to_string(&source).unwrap().lines().enumerate() {
            if compares_a_secret(line) {
                found.push(format!("{}:{}: {}", source.display(), number + 1, line.trim()));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn the_search_finds_comparisons_of_secrets() {
    for bad in [
        "if mac == expected {",
        "self.mac != other",
        "HEXLOWER.encode(&self.mac) == text",
        "x == token.tail()",
        "a.starts_with(b) && &head.seal_key == key",
    ] {
        assert!(compares_a_secret(bad), "{bad}");
    }
    for good in
        ["// mac == x", "tail.len() == 32", "machine == self.machine", "had_mac != has_mac", "mac.ct_eq(x)"]
    {
        assert!(!compares_a_secret(good), "{good}");
    }
}

fn compares_a_secret(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["==", "!="].iter().any(|operator| {
        code.match_indices(operator).any(|(at, _)| {
            let (before, behind) = (&code[..at], &code[at + 2..]);
            let is_part = |c: char| c.is_alphanumeric() || "_.()&*".contains(c);
            let before = before.trim_end();
            let left = before.rfind(|c| !is_part(c)).map_or(before, |start| &before[start + 1..]);
            let right: String = behind.trim_start().chars().take_while(|c| is_part(*c)).collect();
            is_secret(left) || is_secret(&right)
        })
    })
}

/// Decides by the last name in the expression, without calls and brackets.
fn is_secret(expression: &str) -> bool {
    let last =
        expression.trim_matches(|c| "()&*".contains(c)).rsplit(['.', '(', '&']).next().unwrap_or_default();
    SECRET.contains(&last)
}

fn collect(directory: &Path, sources: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, sources);
            }
        } else if name.ends_with(".rs") && !name.contains("test") {
            sources.push(path);
        }
    }
}
