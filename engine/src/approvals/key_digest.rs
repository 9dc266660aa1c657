//! The digest of an issuer's keys: what a second person compares with the issuer's own.

use data_encoding::HEXLOWER;
use petsem_policy::evaluate::Jwks;
use sha2::{Digest as _, Sha256};

/// The thumbprint of one key (RFC 7638); of several, the SHA-256 of their thumbprints, sorted, one a line, in hex.
pub(crate) fn digest_of_keys(keys: &Jwks) -> String {
    match keys.thumbprints().as_slice() {
        [one] => (*one).to_owned(),
        several => HEXLOWER.encode(&Sha256::digest(several.join("\n"))),
    }
}
