//! Shamir's sharing of 32 bytes over GF(2^8) (the field of AES), each byte with its own polynomial.

use rand_core::CryptoRng;
use vsss_rs::{Gf256, IdentifierGf256, ShareIdentifier};
use zeroize::Zeroizing;

/// 32 bytes of a share or of the key. Boxed, so that they are not moved before they are wiped.
pub(super) type Secret = Box<Zeroizing<[u8; 32]>>;

/// The values at 1, 2 … `count` of polynomials of degree `threshold - 1` with `key` at 0.
pub(super) fn split(rng: &mut dyn CryptoRng, key: &[u8; 32], threshold: u8, count: u8) -> Vec<Secret> {
    // Uniform over the whole field, including zero: otherwise k - 1 shares would reveal something.
    let mut coefficients = Zeroizing::new(vec![[0; 32]; usize::from(threshold) - 1]);
    coefficients.iter_mut().for_each(|row| rng.fill_bytes(row));
    (1..=count).map(|x| evaluate(Gf256(x), key, &coefficients)).collect()
}

/// The value at 0 of the lowest-degree polynomials through these points, whose x are different and not 0;
/// `None` if two are equal.
pub(super) fn combine(points: &[(u8, &[u8; 32])]) -> Option<Secret> {
    let mut key = Secret::default();
    for (number, (x, y)) in points.iter().enumerate() {
        let mut weight = Gf256(1);
        for (other, (other_x, _)) in points.iter().enumerate() {
            if number != other {
                let difference = Gf256(*other_x) - Gf256(*x);
                weight *= Gf256(*other_x) * *IdentifierGf256(difference).invert().ok()?;
            }
        }
        for (byte, y) in key.iter_mut().zip(y.iter()) {
            *byte ^= (Gf256(*y) * weight).0;
        }
    }
    Some(key)
}

/// Horner's rule for all 32 polynomials in parallel.
fn evaluate(x: Gf256, constants: &[u8; 32], coefficients: &[[u8; 32]]) -> Secret {
    let mut values = Secret::default();
    for row in coefficients.iter().rev().chain([constants]) {
        for (value, coefficient) in values.iter_mut().zip(row) {
            *value = (Gf256(*value) * x + Gf256(*coefficient)).0;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use rand_core::{Rng, UnwrapErr};

    use super::*;

    #[test]
    fn splitting_and_combining_agree_with_the_field_crate() {
        let rng = &mut UnwrapErr(SysRng);
        let mut key = [0; 32];
        for (threshold, count) in [(2, 2), (3, 5), (16, 16)] {
            rng.fill_bytes(&mut key);
            let shares = split(rng, &key, threshold, count);
            let theirs: Vec<Vec<u8>> =
                (1..=count).zip(&shares).map(|(x, y)| [&[x], y.as_slice()].concat()).collect();
            let some = theirs[theirs.len() - usize::from(threshold)..].to_vec();
            assert_eq!(Gf256::combine_bytes(some).unwrap(), key);

            let theirs = Gf256::split_bytes(threshold.into(), count.into(), key, *rng).unwrap();
            let points: Vec<(u8, [u8; 32])> =
                theirs.iter().map(|share| (share[0], share[1..].try_into().unwrap())).collect();
            let points: Vec<(u8, &[u8; 32])> = points.iter().map(|(x, y)| (*x, y)).collect();
            assert_eq!(**combine(&points[..usize::from(threshold)]).unwrap(), key);
        }
    }

    #[test]
    fn a_repeated_point_is_refused() {
        let y = [7; 32];
        assert_eq!(combine(&[(1, &y), (1, &y)]), None);
    }

    /// f(x) = 0x53 + 0xca·x over the field of AES; 0x53 · 0xca = 1 (FIPS 197 §4.2).
    #[test]
    fn values_are_computed_in_the_field_of_aes() {
        assert_eq!(**evaluate(Gf256(1), &[0x53; 32], &[[0xca; 32]]), [0x53 ^ 0xca; 32]);
        assert_eq!(**evaluate(Gf256(0x53), &[0; 32], &[[0xca; 32]]), [1; 32]);
    }
}
