//! Header texts.

use data_encoding::BASE64;
use petsem_policy::{Content, Header, HeaderError, MAX_HEADER_BYTES, MAX_HEADER_TOKENS};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::allocations::allocations_of;
use crate::caveat_body::{BYTES_BESIDE, BYTES_PER_BYTE};
use crate::caveats::HERE;
use crate::corpus::{Corpus, vectors};
use crate::engine::{self, Observation};
use crate::token::tokens_of_vectors;

const WORDS: &[&str] = &[
    "FlyV1 ",
    "Bearer ",
    "flyv1 ",
    "bEARER ",
    "fm2_",
    "fm1r_",
    "fm1a_",
    "FM2_",
    ",",
    ", ",
    " ,",
    "  ",
    "\t",
    "=",
    "==",
    "\u{a0}",
    "_",
    "fo1_abc",
    "fm2_,fm2_",
];

/// Most memory for an element, besides its token.
const BYTES_PER_ELEMENT: usize = 512;

#[test]
fn a_header_is_split_and_every_token_reencodes_to_its_text() {
    let texts = vectors();
    let texts = texts["cases"].as_array().unwrap().iter().filter_map(|case| case["header"].as_str());
    let corpus = Corpus::new(texts.map(str::as_bytes));
    let tokens = Corpus::new(tokens_of_vectors());
    let token = (select(["fm2", "fm2", "fm1r", "fm1a", "fm9"].as_slice()), tokens.mutated(&[]))
        .prop_map(|(label, wire)| format!("{label}_{}", BASE64.encode(&wire)));
    let element = prop_oneof![3 => token, 1 => "[ -~]{0,12}", 1 => select(WORDS).prop_map(str::to_owned)];
    let list = (vec(select(WORDS), 0..3), vec(element, 0..6))
        .prop_map(|(schemes, elements)| [schemes.concat(), elements.join(",")].concat());
    let many = (select(WORDS), 120_usize..140).prop_map(|(word, times)| vec![word; times].join(","));
    let mutated = corpus.mutated(WORDS).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let inputs = prop_oneof![6 => mutated, 6 => list, 1 => many];
    let counts = engine::run("header", &corpus, inputs, |text| {
        let (header, memory) = allocations_of(|| Header::parse(&text, HERE));
        let header = match header {
            Ok(header) => header,
            Err(HeaderError::TooLong) => {
                prop_assert!(text.len() > MAX_HEADER_BYTES && memory.allocations == 0);
                return Ok(Observation::new("too long", 0, text.as_bytes()));
            }
            Err(error) => {
                prop_assert_eq!(error, HeaderError::TooManyTokens);
                prop_assert!(text.matches(',').count() >= MAX_HEADER_TOKENS && memory.allocations == 0);
                return Ok(Observation::new("too many tokens", 0, text.as_bytes()));
            }
        };
        let elements = header.elements();
        prop_assert_eq!(elements.len(), text.matches(',').count() + 1);
        let bound = BYTES_PER_BYTE * text.len() + elements.len() * (BYTES_PER_ELEMENT + BYTES_BESIDE);
        prop_assert!(memory.peak <= bound, "{:?}", memory);

        let (mut tokens, mut malformed) = (0_usize, 0_usize);
        for element in elements {
            prop_assert_eq!(element.expose_text(), element.expose_text().trim());
            let labelled = element.expose_text().split_once('_');
            let label = labelled.filter(|(label, _)| ["fm2", "fm1r", "fm1a"].contains(label));
            match element.content() {
                Content::Token(token) => {
                    tokens += 1;
                    let base64 = label.map(|(_, base64)| base64.to_owned());
                    prop_assert_eq!(base64, Some(BASE64.encode(token.expose_wire())));
                }
                Content::Malformed => {
                    malformed += 1;
                    prop_assert!(label.is_some());
                }
                _ => prop_assert!(label.is_none()),
            }
        }
        // Each token is either a permission token or a discharge.
        prop_assert_eq!(header.permissions().count() + header.discharges().len(), tokens);
        prop_assert!(header.permissions().all(|token| token.location() == HERE));
        let discharges = header.discharges();
        for (_, ticket) in header.undischarged() {
            prop_assert!(discharges.iter().all(|discharge| discharge.kid() != ticket));
        }

        // The forwarded elements parse to the same tokens.
        let forwarded: Vec<&str> = header.forwardable().collect();
        let again = forwarded.join(",");
        let again = Header::parse(&again, HERE).unwrap();
        // Schemes are removed only at the front, so an element with a scheme must not become the first.
        let moved = forwarded.first().is_some_and(|first| first.contains(' '));
        if moved {
            return Ok(Observation::new("a scheme in the middle", 0, text.as_bytes()));
        }
        prop_assert!(again.elements().iter().all(|element| !matches!(element.content(), Content::Malformed)));
        prop_assert_eq!(again.permissions().count(), header.permissions().count());
        prop_assert_eq!(again.undischarged(), header.undischarged());
        let answer = match (tokens, malformed) {
            (0, 0) => "nothing of ours",
            (0, _) => "malformed tokens",
            (_, 0) => "tokens",
            _ => "tokens, and malformed ones",
        };
        let path = (tokens, malformed, elements.len(), memory.allocations.min(200));
        Ok(Observation::new(answer, path, text.as_bytes()))
    });
    counts.reached(&[
        "nothing of ours",
        "malformed tokens",
        "tokens",
        "tokens, and malformed ones",
        "too many tokens",
    ]);
}
