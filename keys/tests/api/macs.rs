//! Row MACs, the feed's chain, digests.

use petsem_keys::{DigestKey, IntegrityError, RowContext, RowMacKey};

use crate::seeded::SeededRng;

const ROW: RowContext<'static> = RowContext { table: 3, id: b"app", epoch: 1, row_version: 5 };

#[test]
fn a_row_mac_verifies_only_for_its_own_row() {
    let mut rng = SeededRng::new("row");
    let key = RowMacKey::generate(&mut rng);
    let tag = key.tag(&ROW, b"content");
    assert_eq!(key.verify(&ROW, b"content", &tag), Ok(()));
    for (row, content) in [
        (RowContext { table: 4, ..ROW }, b"content".as_slice()),
        (RowContext { id: b"apq", ..ROW }, b"content"),
        (RowContext { id: b"appc", ..ROW }, b"ontent"),
        (RowContext { epoch: 2, ..ROW }, b"content"),
        (RowContext { row_version: 4, ..ROW }, b"content"),
        (ROW, b"contens"),
        (ROW, b""),
    ] {
        assert_eq!(key.verify(&row, content, &tag), Err(IntegrityError::TagMismatch), "{row:?}");
    }
    let other = RowMacKey::generate(&mut rng);
    assert_eq!(other.verify(&ROW, b"content", &tag), Err(IntegrityError::TagMismatch));
}

#[test]
fn a_tag_with_any_bit_changed_does_not_verify() {
    let key = RowMacKey::generate(&mut SeededRng::new("tag bits"));
    let tag = key.tag(&ROW, b"content");
    for position in 0..32 {
        for bit in 0..8 {
            let mut changed = tag;
            changed[position] ^= 1 << bit;
            assert_eq!(key.verify(&ROW, b"content", &changed), Err(IntegrityError::TagMismatch));
        }
    }
}

#[test]
fn a_control_change_verifies_only_at_its_number_and_after_its_predecessor() {
    let key = RowMacKey::generate(&mut SeededRng::new("feed"));
    let first = key.feed_tag(1, 1, &[0; 32], b"revoke");
    let second = key.feed_tag(1, 2, &first, b"delete");
    assert_eq!(key.verify_feed(1, 2, &first, b"delete", &second), Ok(()));
    for (epoch, number, previous, content) in [
        (2, 2, first, b"delete".as_slice()),
        (1, 3, first, b"delete"),
        (1, 2, [0; 32], b"delete"),
        (1, 2, first, b"revoke"),
    ] {
        let refused = key.verify_feed(epoch, number, &previous, content, &second);
        assert_eq!(refused, Err(IntegrityError::TagMismatch), "{epoch} {number}");
    }
}

#[test]
fn digests_of_equal_values_differ_between_names_and_apps() {
    let mut rng = SeededRng::new("digests");
    let (one, other) = (DigestKey::generate(&mut rng), DigestKey::generate(&mut rng));
    let digest = one.digest("NAME", b"value");
    assert_eq!(one.digest("NAME", b"value"), digest);
    assert_ne!(one.digest("NAMES", b"value"), digest);
    assert_ne!(one.digest("NAM", b"Evalue"), digest);
    assert_ne!(one.digest("NAME", b"values"), digest);
    assert_ne!(other.digest("NAME", b"value"), digest);
}
