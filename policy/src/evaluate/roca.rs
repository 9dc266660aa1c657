//! Detection of RSA moduli that a faulty library generated and that can be factored (CVE-2017-15361; Nemec and
//! others, "The Return of Coppersmith's Attack", CCS 2017): with a factored key, an attacker signs as the issuer.

/// Primes that divide the primorial in the structure of such moduli, for all key lengths.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103,
    107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
/// Such moduli are powers of this number modulo each of the primes.
const GENERATOR: u32 = 65_537;

/// Whether the modulus (big-endian) has the fingerprint. One in 2²⁷ of all other moduli has it by chance.
pub(super) fn has_fingerprint(modulus: &[u8]) -> bool {
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
