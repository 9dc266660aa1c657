//! Errors of tokens, tickets and caveats.

/// Why bytes are not a canonical value of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value.
    #[error("the token is truncated; copy it whole")]
    Truncated,
    /// Bytes follow the value.
    #[error("unexpected bytes after the end of the token; copy the token alone")]
    TrailingBytes,
    /// A value has another msgpack type than the format requires.
    #[error("a field has the wrong msgpack type; get the token again from its issuer")]
    WrongType,
    /// The value is not in its one canonical form (width, order, duplicates).
    #[error("a value is not in canonical form; write tokens with petsem or flyctl")]
    NotCanonical,
    /// A number or text is larger than its field.
    #[error("a number or text exceeds its field; get the token again from its issuer")]
    OutOfRange,
    /// A struct has the wrong number of fields.
    #[error("a struct has the wrong number of fields; get the token again from its issuer")]
    FieldCount,
    /// A caveat set has a type without a body.
    #[error("a caveat set has a type without a body; get the token again from its issuer")]
    OddCaveatSet,
    /// Text is not UTF-8.
    #[error("a text is not UTF-8; get the token again from its issuer")]
    NotUtf8,
    /// The body of an unknown caveat is nil, which cannot be written again.
    #[error("the body of an unknown caveat is nil; give it a value")]
    NilBody,
    /// A map has an array, a map or bytes as a key.
    #[error("a map key is an array, a map or bytes; use text or numbers as keys")]
    MapKey,
    /// The byte 0xc1, or an extension other than a timestamp.
    #[error("a value has a type that tokens must not contain; remove it")]
    ForbiddenValue,
    /// `IfPresent`, or the body of an unknown caveat, is nested deeper than allowed.
    #[error("values are nested too deep; nest IfPresent at most 16 deep, other bodies at most 32")]
    TooDeep,
    /// More caveats than allowed.
    #[error("more than 512 caveats; mint a new token instead of attenuating this one")]
    TooManyCaveats,
    /// More bytes than a token may have.
    #[error("the token is longer than 64 KiB; mint a new token instead of attenuating this one")]
    TooLong,
}

/// Why a text is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The text does not begin with the label of a token.
    #[error("not a token; tokens begin with fm2_")]
    NotAToken,
    /// The base64 is not the standard, padded one.
    #[error("the token is not standard base64 with padding; copy it whole")]
    Base64,
    /// The bytes are not a token.
    #[error("the token does not decode; copy it whole, or get it again from its issuer")]
    Content(#[source] DecodeError),
}

/// Why a header was refused before any of it was decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Over 64 KiB.
    #[error("the tokens are longer than 64 KiB; send only those that the request needs")]
    TooLong,
    /// Over 128 elements.
    #[error("more than 128 tokens; send only those that the request needs")]
    TooManyTokens,
}

/// A sealed text did not open, or a key is not 32 bytes long. The error does not say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed text does not open; use the key that it was sealed under")]
pub struct OpenError;

/// Why a ticket cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not open with this key.
    #[error("the ticket does not open; it was made for another discharger, or modified")]
    Open(#[source] OpenError),
    /// The plaintext is not a ticket.
    #[error("the ticket opened, but its content is not a ticket; make a new token")]
    Content(#[source] DecodeError),
    /// The discharge key in it does not have 32 bytes.
    #[error("the discharge key in the ticket does not have 32 bytes; make a new token")]
    KeyLength,
}

/// Why nothing was added to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// The token is a finalized proof: it cannot be attenuated.
    #[error("nothing can be added to a proof; ask its issuer for a narrower one")]
    Finalized,
    /// Only proofs can hold attestations.
    #[error("only a proof can hold an attestation; remove the attestation")]
    AttestationOutsideProof,
    /// A third-party caveat needs a ticket and a sealed key: use [`crate::Macaroon::add_third_party`].
    #[error("a third-party caveat needs a new ticket; add it by location and key")]
    ThirdParty,
    /// The token already has a third-party caveat for that location.
    #[error("the token already has a third-party caveat for that location; one is enough")]
    LocationTwice,
    /// More caveats than a reader accepts.
    #[error("a token has at most 512 caveats; mint a new one")]
    TooManyCaveats,
    /// The token's tail does not have 32 bytes, so the token cannot verify.
    #[error("the token's signature does not have 32 bytes; get the token again from its issuer")]
    Tail,
}

/// Why a token cannot mint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InheritError {
    /// Its third-party caveat cannot be copied: the key in it is sealed only for this token.
    #[error("a token with a third-party caveat cannot mint; mint with the token that it was attenuated from")]
    ThirdParty,
    /// It contains an attestation, which is not inherited.
    #[error("a token with an attestation cannot mint; mint with a petsem token")]
    Attestation,
    /// Too many ancestors.
    #[error("a token has at most 32 ancestors; mint with an ancestor of this token")]
    TooManyAncestors,
}

/// Why a network is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not an address and a prefix length.
    #[error("not a network; write it like 10.0.0.0/8 or 2001:db8::/32")]
    Text,
    /// The prefix length exceeds the number of address bits.
    #[error("the prefix length exceeds the address; IPv4 has 32 bits, IPv6 has 128")]
    Length,
    /// Bits after the prefix are set, so the network is ambiguous.
    #[error("the address has bits set after the prefix; set them to zero, or raise the prefix length")]
    HostBits,
    /// Over [`crate::MAX_NETWORKS`].
    #[error("a caveat has at most 256 networks; merge neighbors into shorter prefixes")]
    TooMany,
}

/// Why a token is not verified. `third_party` counts the token's third-party caveats from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The token was not signed with this key, or was modified.
    #[error("the token was not signed here, or was modified; request a new one")]
    Signature,
    /// A permission token is bound to a parent. Only discharges have parents.
    #[error("the token is bound to another token; send it with that token, as its discharge")]
    Binding,
    /// The token contains an attestation but is not a proof.
    #[error("the token contains an attestation but is not a proof; remove that caveat")]
    AttestationOutsideProof,
    /// No discharge was presented for the ticket.
    #[error(
        "the discharge for third-party caveat {third_party} is missing; get one from its location and send both"
    )]
    NoDischarge {
        /// Which third-party caveat.
        third_party: usize,
    },
    /// The discharge key in the caveat does not open.
    #[error("third-party caveat {third_party} is malformed; use the token without it")]
    VerifierKey {
        /// Which third-party caveat.
        third_party: usize,
    },
    /// Every discharge for the ticket was rejected.
    #[error("no discharge for third-party caveat {third_party} is valid: {reason}; get a new one")]
    DischargeRejected {
        /// Which third-party caveat.
        third_party: usize,
        /// Why the last discharge was rejected.
        reason: DischargeRejection,
    },
}

/// Why a discharge does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DischargeRejection {
    /// It was not signed with the discharge key, or was modified.
    #[error("it was signed with another key, or modified")]
    Signature,
    /// The ticket opened under a trusted key, but its content is not a ticket.
    #[error("the content of its ticket is not a ticket")]
    TicketContent,
    /// The ticket contains another discharge key than the token.
    #[error("its ticket was made for another token")]
    OtherKey,
    /// It has a third-party caveat of its own, which nothing can discharge.
    #[error("it requires a discharge itself")]
    ThirdParty,
    /// It is bound to another token.
    #[error("it is bound to another token")]
    Binding,
    /// It contains an attestation but is not a proof.
    #[error("it contains an attestation but is not a proof")]
    AttestationOutsideProof,
    /// The discharges and third-party caveats together exceed the [`crate::DischargeBudget`].
    #[error("there are too many discharges to try")]
    TooMuchWork,
}
