//! Text of others on a terminal: names of issuers, subjects, reasons, a server's messages.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Whether a terminal does not show the character as it is: control characters (C0, DEL, C1) move the cursor and change
/// colors, format characters (`Cf`, such as U+202E) reorder or hide text, and line separators begin a line.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    matches!(
        character.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

/// The text with each [unprintable](is_unprintable) character that `keeps` does not name as `\u{…}`.
#[must_use]
pub fn escaped(text: &str, keeps: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) && !keeps.contains(&character) {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The text as a shell takes it for one word, for commands that people copy.
#[must_use]
pub fn shell_quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%=,".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_quoted_text_for_one_word() {
        for (text, quoted) in [
            ("/etc/petsem/petsem.toml", "/etc/petsem/petsem.toml"),
            ("", "''"),
            ("my file", "'my file'"),
            ("it's `x` $y", r"'it'\''s `x` $y'"),
        ] {
            assert_eq!(shell_quoted(text), quoted);
        }
    }

    #[test]
    fn what_moves_hides_or_reorders_text_is_escaped() {
        let shown = "Zoë – 日本語 🙂 \u{301}";
        assert_eq!(escaped(shown, &[]), shown);
        let unprintable = [
            0x00, 0x07, 0x09, 0x0a, 0x1b, 0x7f, 0x85, 0x9b, 0xad, 0x61c, 0x200b, 0x200e, 0x2028, 0x2029,
            0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xfff9, 0xe0001, 0xe0041,
        ];
        for code in unprintable {
            let character = char::from_u32(code).unwrap();
            assert_eq!(escaped(&format!("a{character}b"), &[]), format!("a\\u{{{code:x}}}b"));
        }
        assert_eq!(escaped("a\n\tb\u{9b}", &['\n']), "a\n\\u{9}b\\u{9b}");
    }
}
