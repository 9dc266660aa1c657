//! RSA moduli that a faulty library made, and that can be factored (CVE-2017-15361; Nemec and others, "The Return
//! of Coppersmith's Attack", CCS 2017): whoever factors an issuer's key signs as that issuer.

/// Primes whose product divides the number that such moduli are built around, for all lengths of key.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
/// Of what those moduli are powers, modulo each of the primes.
const GENERATOR: u32 = 65_537;

/// Whether the modulus (big-endian) has their mark. One in 2²⁷ of all others has it by chance.
pub(super) fn has_mark(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|prime| is_power_of_generator(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

fn is_power_of_generator(residue: u32, prime: u32) -> bool {
    std::iter::successors(Some(1), |power| Some(power * (GENERATOR % prime) % prime))
        .take(usize::try_from(prime).unwrap_or(usize::MAX))
        .any(|power| power == residue)
}
