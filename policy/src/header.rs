//! The tokens of an `Authorization` header or an environment value, by the bundle rules of macaroon-format §1:
//! elements that are not tokens do not affect the others.

use std::fmt;

use crate::decoded::for_each_ticket;
use crate::text::HeaderError;
use crate::unverified::{LABELS, UnverifiedToken};

/// Longest header text, in bytes.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Most elements of a header.
pub const MAX_HEADER_TOKENS: usize = 128;
/// Schemes before the tokens, compared without case.
const SCHEMES: [&str; 2] = ["FlyV1", "Bearer"];

/// The elements of a header, in order.
pub struct Header<'t> {
    elements: Vec<Element<'t>>,
    location: String,
}

/// One comma-separated part of a header.
pub struct Element<'t> {
    text: &'t str,
    content: Content,
}

/// What an element is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Content {
    /// A token; its location tells whether it is a permission token or a discharge.
    Token(UnverifiedToken),
    /// A text with the label of a token that does not decode.
    Malformed,
    /// Something else, such as an OAuth token.
    Foreign,
}

impl<'t> Header<'t> {
    /// Splits and decodes a header. `our_location` is the location of permission tokens; all other tokens count as
    /// discharges.
    ///
    /// # Errors
    /// [`HeaderError`] if the text is over 64 KiB or has over 128 elements; then nothing was decoded.
    pub fn parse(text: &'t str, our_location: &str) -> Result<Self, HeaderError> {
        if text.len() > MAX_HEADER_BYTES {
            return Err(HeaderError::TooLong);
        }
        let tokens = without_schemes(text);
        let parts =
            if tokens.is_empty() { 0 } else { tokens.bytes().filter(|byte| *byte == b',').count() + 1 };
        if parts > MAX_HEADER_TOKENS {
            return Err(HeaderError::TooManyTokens);
        }
        let elements = tokens
            .split(',')
            .map(|part| {
                let text = part.trim();
                Element { text, content: Content::of(text) }
            })
            .collect();
        Ok(Self { elements, location: our_location.to_owned() })
    }

    /// All elements, in order.
    pub fn elements(&self) -> &[Element<'t>] {
        &self.elements
    }

    /// The tokens at our location.
    pub fn permissions(&self) -> impl Iterator<Item = &UnverifiedToken> {
        self.tokens().filter(|token| token.location() == self.location)
    }

    /// All other tokens.
    pub fn discharges(&self) -> Vec<&UnverifiedToken> {
        self.tokens().filter(|token| token.location() != self.location).collect()
    }

    /// Location and ticket of the third-party caveats of our permission tokens that no discharge here answers.
    pub fn undischarged(&self) -> Vec<(&str, &[u8])> {
        let discharges = self.discharges();
        self.permissions().flat_map(|permission| permission.undischarged(&discharges)).collect()
    }

    /// The elements that a client forwards: all except malformed ones and discharges that answer no ticket of a
    /// permission token.
    pub fn forwardable(&self) -> impl Iterator<Item = &'t str> {
        self.elements.iter().filter(|element| self.is_forwardable(element)).map(|element| element.text)
    }

    fn is_forwardable(&self, element: &Element<'t>) -> bool {
        match &element.content {
            Content::Foreign => true,
            Content::Malformed => false,
            Content::Token(token) if token.location() == self.location => true,
            Content::Token(discharge) => {
                let mut answers = false;
                for permission in self.permissions() {
                    for_each_ticket(permission.caveats(), &mut |_, ticket| {
                        answers |= ticket == discharge.kid()
                    });
                }
                answers
            }
        }
    }

    fn tokens(&self) -> impl Iterator<Item = &UnverifiedToken> {
        self.elements.iter().filter_map(Element::token)
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Header({} elements)", self.elements.len())
    }
}

impl<'t> Element<'t> {
    /// The text, trimmed. A bearer secret.
    pub fn expose_text(&self) -> &'t str {
        self.text
    }

    /// What it is.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The token, if it is one.
    pub fn token(&self) -> Option<&UnverifiedToken> {
        match &self.content {
            Content::Token(token) => Some(token),
            Content::Malformed | Content::Foreign => None,
        }
    }
}

impl fmt::Debug for Element<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Element({:?})", self.content)
    }
}

impl Content {
    fn of(text: &str) -> Self {
        let has_label = text.split_once('_').is_some_and(|(label, _)| LABELS.contains(&label));
        match UnverifiedToken::parse(text) {
            Ok(token) => Self::Token(token),
            Err(_) if has_label => Self::Malformed,
            Err(_) => Self::Foreign,
        }
    }
}

/// Removes all schemes from the front.
fn without_schemes(text: &str) -> &str {
    let mut rest = text.trim();
    while let Some((word, tokens)) = rest.split_once(' ') {
        if !SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(word)) {
            break;
        }
        rest = tokens.trim();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeError, Macaroon, MacaroonKey, TextError};
    use data_encoding::BASE64;
    use proptest::prelude::*;

    const HERE: &str = "https://petsem.example";

    #[test]
    fn headers_over_the_limits_are_refused_before_decoding() {
        let many = vec!["fm2_AAAA"; 10_000].join(",");
        assert_eq!(Header::parse(&many, HERE).map(|_| ()), Err(HeaderError::TooLong));
        let many = vec!["fm2_A"; 129].join(",");
        assert_eq!(Header::parse(&many, HERE).map(|_| ()), Err(HeaderError::TooManyTokens));
        let most = vec!["fm2_A"; 128].join(",");
        assert_eq!(Header::parse(&most, HERE).map(|header| header.elements().len()), Ok(128));
    }

    #[test]
    fn excessive_depth_and_counts_are_refused_without_recursion() {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let token = Macaroon::mint(&MacaroonKey::new(&[1; 32]), b"kid", HERE, false, &mut rng).encode();
        // All bytes before the empty caveat set and the tail.
        let front = token.get(..token.len() - 35).unwrap();
        let with = |caveats: &[u8]| {
            let wire = [front, caveats, &[0xc4, 0x00]].concat();
            UnverifiedToken::parse(&format!("fm2_{}", BASE64.encode(&wire))).map(|_| ())
        };
        let nested_if = |levels: usize| {
            let mut set = [0x92, 0x0d, 0x92].repeat(levels);
            set.push(0x90);
            set.extend(vec![0x00; levels]);
            set
        };
        let content = |error| Err(TextError::Content(error));
        assert_eq!(with(&nested_if(16)), Ok(()));
        assert_eq!(with(&nested_if(17)), content(DecodeError::TooDeep));
        assert_eq!(with(&nested_if(15_000)), content(DecodeError::TooDeep));
        let mut nested_body = vec![0x92, 0x20];
        nested_body.extend(vec![0x91; 60_000]);
        assert_eq!(with(&nested_body), content(DecodeError::TooDeep));
        assert_eq!(with(&[0xdd, 0xff, 0xff, 0xff, 0xfe]), content(DecodeError::TooManyCaveats));
        let caveats = |count: u16| {
            let mut set = vec![0xdc];
            set.extend((2 * count).to_be_bytes());
            set.extend([0x1a, 0x00].repeat(usize::from(count)));
            set
        };
        assert_eq!(with(&caveats(512)), Ok(()));
        assert_eq!(with(&caveats(513)), content(DecodeError::TooManyCaveats));
    }

    #[test]
    fn other_elements_do_not_affect_the_tokens() {
        let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
        let token = Macaroon::mint(&MacaroonKey::new(&[1; 32]), b"kid", HERE, false, &mut rng);
        let text = format!("Bearer flyv1  xyz, fm2_!!, ,{} ", token.to_text().as_str());
        let header = Header::parse(&text, HERE).unwrap();
        let ids: Vec<_> = header.permissions().map(UnverifiedToken::id).collect();
        assert_eq!(ids, [token.id()]);
        assert_eq!(header.forwardable().collect::<Vec<_>>(), ["xyz", "", token.to_text().as_str()]);
        assert_eq!(format!("{header:?}"), "Header(4 elements)");
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_split_into_elements_without_tokens(text in "[ ,a-zA-Z0-9_+/=]{0,80}") {
            let header = Header::parse(&text, HERE).unwrap();
            prop_assert_eq!(header.elements().len(), text.matches(',').count() + 1);
            prop_assert_eq!(header.permissions().count(), 0);
        }
    }
}
