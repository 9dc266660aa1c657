//! Frames and their payloads, written and read.

pub(crate) const HELLO: u8 = 1;
pub(crate) const BUNDLE: u8 = 2;
pub(crate) const DENY: u8 = 3;
pub(crate) const ACK: u8 = 4;

/// Longest frame, type and payload together.
pub(crate) const LONGEST_FRAME: usize = 2 * 1024 * 1024;
/// Longest HELLO: type, version, nonce, two claims.
#[cfg(feature = "fetch")]
pub(crate) const LONGEST_HELLO: usize = 1 + 1 + 16 + 2 * 256;
/// The one length of an ACK.
#[cfg(feature = "fetch")]
pub(crate) const LONGEST_ACK: usize = 1 + 32;
/// Length of the challenge before a bundle.
pub(crate) const CHALLENGE: usize = 32;
/// Longest text of a DENY, in bytes.
const LONGEST_TEXT: usize = 200;
/// The protocol that this build speaks.
const VERSION: u8 = 1;

/// The guest's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) nonce: [u8; 16],
    pub(crate) machine: String,
    pub(crate) app: String,
}

impl Hello {
    /// The payload. `None` if a claim is over 255 bytes.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.nonce);
        for claim in [&self.machine, &self.app] {
            out.push(u8::try_from(claim.len()).ok()?);
            out.extend_from_slice(claim.as_bytes());
        }
        Some(out)
    }

    /// Reads a payload. `None` for everything that [`Self::encode`] does not write.
    #[cfg(feature = "fetch")]
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = payload.split_first()? else { return None };
        let (nonce, rest) = rest.split_first_chunk::<16>()?;
        let (machine, rest) = claim(rest)?;
        let (app, rest) = claim(rest)?;
        rest.is_empty().then_some(Self { nonce: *nonce, machine, app })
    }
}

#[cfg(feature = "fetch")]
fn claim(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(length))?;
    Some((std::str::from_utf8(text).ok()?.to_owned(), rest))
}

/// Why a guest gets nothing. The number is on the wire and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DenyReason {
    /// 1: petsem refused the boot.
    Refused,
    /// 2: the guest claimed another app or Machine than its socket is bound to.
    WrongClaim,
    /// 3: the guest did not follow this protocol.
    Malformed,
    /// 4: petsem cannot be reached, and the host's cache may not be used.
    Unavailable,
    /// A number that this build does not know.
    Other(u8),
}

impl DenyReason {
    /// The number on the wire.
    pub fn code(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::WrongClaim => 2,
            Self::Malformed => 3,
            Self::Unavailable => 4,
            Self::Other(code) => code,
        }
    }

    /// The reason with this number.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Refused,
            2 => Self::WrongClaim,
            3 => Self::Malformed,
            4 => Self::Unavailable,
            other => Self::Other(other),
        }
    }
}

/// The payload of a DENY; the text is cut to its limit.
#[cfg(feature = "fetch")]
pub(crate) fn denial(reason: DenyReason, text: &str) -> Vec<u8> {
    let mut out = vec![reason.code()];
    out.extend_from_slice(text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default().as_bytes());
    out
}

/// Reads the payload of a DENY.
pub(crate) fn read_denial(payload: &[u8]) -> Option<(DenyReason, String)> {
    let (&code, text) = payload.split_first()?;
    if text.len() > LONGEST_TEXT {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    Some((DenyReason::from_code(code), text.chars().filter(|c| !c.is_control()).collect()))
}

#[cfg(all(test, feature = "fetch"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hello_reads_back_and_a_cut_longer_or_newer_one_is_refused() {
        let hello = Hello { nonce: [9; 16], machine: "m-1".into(), app: String::new() };
        let payload = hello.encode().unwrap();
        assert_eq!(Hello::decode(&payload), Some(hello));
        for cut in 0..payload.len() {
            assert_eq!(Hello::decode(&payload[..cut]), None, "{cut}");
        }
        assert_eq!(Hello::decode(&[payload.as_slice(), b"x"].concat()), None);
        let mut newer = payload;
        newer[0] = 2;
        assert_eq!(Hello::decode(&newer), None);
    }

    #[test]
    fn a_denial_is_cut_between_characters() {
        let payload = denial(DenyReason::WrongClaim, &"é".repeat(150));
        assert_eq!(read_denial(&payload), Some((DenyReason::WrongClaim, "é".repeat(100))));
        assert_eq!(read_denial(&[7]), Some((DenyReason::Other(7), String::new())));
        assert_eq!(read_denial(&[1, 0xff]), None);
        assert_eq!(read_denial(&[1; 300]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn a_hello_of_any_claims_reads_back(nonce: [u8; 16], machine in ".{0,80}", app in ".{0,80}") {
            let hello = Hello { nonce, machine, app };
            let fits = hello.machine.len() <= 255 && hello.app.len() <= 255;
            let payload = hello.encode();
            prop_assert_eq!(payload.is_some(), fits);
            prop_assert_eq!(payload.and_then(|payload| Hello::decode(&payload)), fits.then_some(hello));
        }

        #[test]
        fn bytes_that_decode_as_a_hello_are_what_it_encodes_to(
            head in prop::collection::vec(prop_oneof![Just(1_u8), 0_u8..4, any::<u8>()], 17..20),
            rest in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..20),
        ) {
            let bytes = [head, rest].concat();
            if let Some(hello) = Hello::decode(&bytes) {
                prop_assert_eq!(hello.encode(), Some(bytes));
            }
        }

        #[test]
        fn a_denial_is_a_reason_and_at_most_200_bytes_of_utf8(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                ".{0,220}".prop_map(String::into_bytes),
            ],
        ) {
            let expected = bytes.split_first().and_then(|(&code, text)| {
                let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= 200)?;
                let shown = text.chars().filter(|c| !c.is_control()).collect::<String>();
                Some((code, shown))
            });
            let read = read_denial(&bytes).map(|(reason, text)| (reason.code(), text));
            prop_assert_eq!(read, expected);
        }
    }
}
