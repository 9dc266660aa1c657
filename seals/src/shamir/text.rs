//! A share as text: 18 groups of five symbols; the last symbol of each group is a check of the other four and
//! of the group's position.
//!
//! Symbols are Crockford's base32: digits and letters without I, L, O and U; small letters, and O, I and L
//! for 0, 1 and 1, are read too. Five bytes are eight symbols in two groups. The check of the group at
//! position p, from 0, is over the field GF(2^5) with x^5 + x^2 + 1 and its root a: the fifth symbol is p +
//! a·s1 + a²·s2 + a³·s3 + a⁴·s4. It detects, and locates in the group, any one changed symbol, any two
//! swapped within a group, and any two swapped groups.

use zeroize::Zeroizing;

use super::error::TypingFault;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Symbols of a group that carry data.
const DATA: usize = 4;

/// Symbols of a group.
pub(super) const GROUP: usize = DATA + 1;

/// Groups of a share.
pub(super) const GROUPS: usize = 18;

/// Bytes of a share.
pub(super) const BYTES: usize = GROUPS * DATA * 5 / 8;

/// The longest text that is parsed, in bytes: a share with room for white space.
const TEXT_MAXIMUM: usize = 512;

/// The 107 characters of a share.
pub(super) fn print(bytes: &[u8; BYTES]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(GROUPS * (GROUP + 1)));
    let (blocks, _) = bytes.as_chunks();
    for (block_place, block) in blocks.iter().enumerate() {
        let values = Zeroizing::new(values(block));
        let (groups, _) = values.as_chunks::<DATA>();
        for (group_place, group) in groups.iter().enumerate() {
            let place = block_place * 2 + group_place;
            if place > 0 {
                text.push('-');
            }
            group.iter().for_each(|value| text.push(symbol(*value)));
            text.push(symbol(check(place, group)));
        }
    }
    text
}

/// The eight symbols of five bytes, without checks.
pub(super) fn encode_block(block: &[u8; 5]) -> [char; 8] {
    values(block).map(symbol)
}

/// The result of reading a text.
pub(super) struct Reading {
    /// Correct in the groups that are.
    pub(super) bytes: Zeroizing<[u8; BYTES]>,
    /// Whether the first group is complete and correct.
    pub(super) begins_well: bool,
    /// The fault of the text.
    pub(super) fault: Option<TypingFault>,
}

/// Reads a share. Dashes and white space between groups are optional.
pub(super) fn read(text: &str) -> Reading {
    let mut values = Zeroizing::new([0; GROUPS * GROUP]);
    let mut bytes = Zeroizing::new([0; BYTES]);
    let (symbols, fault) = fill(text, &mut values);
    let (groups, _) = values.as_chunks::<GROUP>();
    let (blocks, _) = bytes.as_chunks_mut::<5>();
    let (pairs, _) = groups.as_chunks::<2>();
    for (block, [[a, b, c, d, _], [e, f, g, h, _]]) in blocks.iter_mut().zip(pairs) {
        let joined =
            [a, b, c, d, e, f, g, h].iter().fold(0, |joined, value| joined << 5 | u64::from(**value));
        let [_, _, _, rest @ ..] = joined.to_be_bytes();
        *block = rest;
    }
    let wrong: Vec<usize> = groups
        .iter()
        .enumerate()
        .filter(|(place, [data @ .., last])| check(*place, data) != *last)
        .map(|(place, _)| place + 1)
        .collect();
    let begins_well = symbols >= GROUP && wrong.first() != Some(&1);
    let fault = fault.or_else(|| (!wrong.is_empty()).then_some(TypingFault::Checks { groups: wrong }));
    Reading { bytes, begins_well, fault }
}

/// Writes the values of the symbols up to the first invalid one; returns how many were valid.
fn fill(text: &str, values: &mut [u8; GROUPS * GROUP]) -> (usize, Option<TypingFault>) {
    let mut symbols = 0;
    if text.len() > TEXT_MAXIMUM {
        return (symbols, Some(TypingFault::TooLong));
    }
    for character in text.trim().chars() {
        let group = symbols / GROUP + 1;
        if is_separator(character) {
            if symbols % GROUP != 0 {
                return (symbols, Some(TypingFault::GroupLength { group, symbols: symbols % GROUP }));
            }
            continue;
        }
        let Some(value) = value(character) else {
            return (symbols, Some(TypingFault::Symbol { group }));
        };
        if let Some(place) = values.get_mut(symbols) {
            *place = value;
        }
        symbols += 1;
    }
    (symbols, (symbols != values.len()).then_some(TypingFault::Length { symbols }))
}

/// Dashes, including those of word processors, and white space.
fn is_separator(character: char) -> bool {
    character == '-' || character.is_whitespace() || ('\u{2010}'..='\u{2015}').contains(&character)
}

/// The eight values of five bytes, most significant first.
fn values(block: &[u8; 5]) -> [u8; 8] {
    let joined = block.iter().fold(0, |joined: u64, byte| joined << 8 | u64::from(*byte));
    std::array::from_fn(|place| (joined >> (35 - 5 * place) & 0x1f) as u8)
}

fn symbol(value: u8) -> char {
    ALPHABET.get(usize::from(value & 0x1f)).map_or('0', |symbol| char::from(*symbol))
}

fn value(character: char) -> Option<u8> {
    let folded = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    (0_u8..32).find(|value| symbol(*value) == folded)
}

fn check(place: usize, data: &[u8; DATA]) -> u8 {
    // Horner's rule from the last symbol; eighteen positions fit into five bits.
    let weighted = data.iter().rev().fold(0, |sum, value| times_a(sum ^ value));
    weighted ^ (place & 0x1f) as u8
}

/// Multiplies by the root of x^5 + x^2 + 1.
fn times_a(value: u8) -> u8 {
    ((value << 1) & 0x1f) ^ ((value >> 4 & 1) * 0b00101)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(text: &str) -> Option<TypingFault> {
        read(text).fault
    }

    fn example() -> ([u8; BYTES], String) {
        let bytes = std::array::from_fn(|place| (place * 37 + 11) as u8);
        (bytes, print(&bytes).to_string())
    }

    #[test]
    fn a_share_has_eighteen_groups_of_five_and_is_read_back() {
        let (bytes, text) = example();
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [5; 18]);
        assert_eq!((*read(&text).bytes, fault(&text)), (bytes, None));
    }

    #[test]
    fn case_confusable_letters_and_separators_do_not_matter() {
        let (bytes, text) = example();
        let spellings = [
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', "\n  "),
            text.replace('-', "\u{2013}"),
            text.replace('0', "o").replace('1', "l"),
            format!("\t{text}\r\n"),
        ];
        for spelling in spellings {
            assert_eq!((*read(&spelling).bytes, fault(&spelling)), (bytes, None), "{spelling}");
        }
    }

    #[test]
    fn a_wrong_symbol_is_found_in_its_group() {
        let (_, text) = example();
        for (position, old) in text.char_indices().filter(|(_, old)| *old != '-') {
            for new in ALPHABET.iter().map(|symbol| char::from(*symbol)).filter(|new| *new != old) {
                let mut typed = text.clone();
                typed.replace_range(position..=position, new.encode_utf8(&mut [0; 4]));
                assert_eq!(fault(&typed), Some(TypingFault::Checks { groups: vec![position / 6 + 1] }));
            }
        }
    }

    #[test]
    fn two_exchanged_symbols_are_found_in_their_group() {
        let (_, text) = example();
        for group in 0..GROUPS {
            for (one, other) in (0..GROUP).flat_map(|one| (0..one).map(move |other| (one, other))) {
                let mut typed = text.clone().into_bytes();
                typed.swap(group * 6 + one, group * 6 + other);
                let typed = String::from_utf8(typed).unwrap();
                let expected = (typed != text).then(|| TypingFault::Checks { groups: vec![group + 1] });
                assert_eq!(fault(&typed), expected, "{typed}");
            }
        }
    }

    #[test]
    fn two_exchanged_groups_are_both_found() {
        let (_, text) = example();
        for (one, other) in (0..GROUPS).flat_map(|one| (0..one).map(move |other| (one, other))) {
            let mut groups: Vec<&str> = text.split('-').collect();
            groups.swap(one, other);
            let expected = TypingFault::Checks { groups: vec![other + 1, one + 1] };
            assert_eq!(fault(&groups.join("-")), Some(expected));
        }
    }

    #[test]
    fn missing_and_additional_symbols_are_found_in_their_group_or_counted() {
        let (_, text) = example();
        let mut missing = text.clone();
        missing.remove(6 * 4 + 2);
        assert_eq!(fault(&missing), Some(TypingFault::GroupLength { group: 5, symbols: 4 }));
        let mut additional = text.clone();
        additional.insert(6 * 4 + 2, '7');
        assert_eq!(fault(&additional), Some(TypingFault::GroupLength { group: 6, symbols: 1 }));
        assert_eq!(fault(&text.replace('-', "")[..89]), Some(TypingFault::Length { symbols: 89 }));
        assert_eq!(fault(&text[..6 * 17 - 1]), Some(TypingFault::Length { symbols: 85 }));
        assert_eq!(fault(&format!("{text}-00000")), Some(TypingFault::Length { symbols: 95 }));
        assert_eq!(fault(""), Some(TypingFault::Length { symbols: 0 }));
    }

    #[test]
    fn an_invalid_symbol_is_found_in_its_group() {
        let (_, text) = example();
        for wrong in ['U', 'u', '_', '*', 'é'] {
            let mut typed = text.clone();
            typed.replace_range(12..=12, wrong.encode_utf8(&mut [0; 4]));
            assert_eq!(fault(&typed), Some(TypingFault::Symbol { group: 3 }), "{wrong}");
        }
    }

    #[test]
    fn a_text_of_any_length_costs_no_more_than_a_share() {
        assert_eq!(fault(&"0".repeat(10_000_000)), Some(TypingFault::TooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn arbitrary_text_is_read_without_a_panic(text in "\\PC*") {
            read(&text);
        }

        #[test]
        fn arbitrary_bytes_are_read_as_they_were_printed(bytes: [u8; BYTES]) {
            let text = print(&bytes);
            prop_assert_eq!(fault(&text), None);
            prop_assert_eq!(*read(&text).bytes, bytes);
        }
    }
}
