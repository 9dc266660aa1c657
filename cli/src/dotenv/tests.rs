use proptest::prelude::*;

use super::*;

fn read(file: &str) -> Vec<(String, String)> {
    read_bytes(file.as_bytes())
}

fn read_bytes(file: &[u8]) -> Vec<(String, String)> {
    read_as(file, Dollar::Refused)
}

fn read_as(file: &[u8], dollar: Dollar) -> Vec<(String, String)> {
    parse(file, dollar)
        .unwrap()
        .entries
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8(value.expose_bytes().to_vec()).unwrap()))
        .collect()
}

fn value(file: &str) -> String {
    let entries = read(file);
    assert_eq!(entries.len(), 1, "{file:?}");
    entries[0].1.clone()
}

fn problems(file: &[u8]) -> Vec<(usize, ProblemKind)> {
    parse(file, Dollar::Refused)
        .unwrap_err()
        .problems
        .iter()
        .map(|problem| (problem.line, problem.kind))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn names_values_comments_and_export_are_read_in_order() {
    let file = "# a comment\n\nA=1\n  export B=two\nexport\tC = three \n\t# another\nexport=4\nD=\n";
    assert_eq!(read(file), pairs(&[("A", "1"), ("B", "two"), ("C", "three"), ("export", "4"), ("D", "")]));
}

#[test]
fn a_name_may_start_with_export() {
    assert_eq!(read("exported=1\nexport exportX=2\n"), pairs(&[("exported", "1"), ("exportX", "2")]));
}

#[test]
fn unquoted_values_end_at_a_blank_and_a_hash_and_are_trimmed() {
    assert_eq!(value("A=  x y  "), "x y");
    assert_eq!(value("A=x # comment"), "x");
    assert_eq!(value("A=x\t# comment"), "x");
    assert_eq!(value("A=x#y # z # w"), "x#y");
    assert_eq!(value("A=https://h/p?a=b&c=d==#frag"), "https://h/p?a=b&c=d==#frag");
    assert_eq!(value("A=#f00"), "#f00");
    assert_eq!(value("A= # nothing"), "");
    assert_eq!(value("A=a\"b'c\\n$1$?"), "a\"b'c\\n$1$?");
    assert_eq!(value("A={\"k\": \"v\", \"n\": [1, 2]}"), "{\"k\": \"v\", \"n\": [1, 2]}");
}

#[test]
fn double_quotes_have_six_escapes_and_no_others() {
    assert_eq!(value(r#"A="a\nb\rc\td\"e\\f\$g""#), "a\nb\rc\td\"e\\f$g");
    assert_eq!(value(r#"A="\d+ \u00e9 \/ C:\Users \'""#), r"\d+ \u00e9 \/ C:\Users \'");
    assert_eq!(value(r#"A="\\n""#), r"\n");
    assert_eq!(value(r#"A="\\" # comment with a " quote"#), r"\");
    assert_eq!(value("A=\"a\\\nb\""), "a\\\nb");
    assert_eq!(value("A=\"\\$HOME \\${X} `id` 5$\""), "$HOME ${X} `id` 5$");
    assert_eq!(value("A=\" # not a comment \""), " # not a comment ");
}

#[test]
fn single_quotes_have_no_escapes() {
    assert_eq!(value(r#"A='a\nb\\ "c" $d # e'"#), r#"a\nb\\ "c" $d # e"#);
    assert_eq!(value(r"A='\'"), r"\");
    assert_eq!(value("A=''"), "");
}

#[test]
fn quoted_values_span_lines_and_the_lines_are_counted() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIB+/==\n-----END PRIVATE KEY-----\n";
    assert_eq!(value(&format!("KEY=\"{pem}\"\n")), pem);
    assert_eq!(value(&format!("KEY='{pem}' # a key\n")), pem);
    assert_eq!(problems(format!("KEY=\"{pem}\"\n?\n").as_bytes()), [(5, ProblemKind::NoEqualsSign)]);
}

#[test]
fn carriage_returns_of_line_ends_are_not_part_of_values() {
    let file = "A=1\r\nB=\"x\r\ny\"\r\n\r\n# c\r\nC='z'\r\nD=\r\nE=last\r";
    assert_eq!(read(file), pairs(&[("A", "1"), ("B", "x\ny"), ("C", "z"), ("D", ""), ("E", "last")]));
    assert_eq!(value("A=\"x\ry\""), "x\ry");
}

#[test]
fn utf_8_is_kept_and_a_byte_order_mark_is_not() {
    assert_eq!(read_bytes(b"\xef\xbb\xbfA=Gr\xc3\xbc\xc3\x9fe \xe2\x9c\x93\n"), pairs(&[("A", "Grüße ✓")]));
    assert_eq!(problems(b"A=1\nB=\xff\n"), [(2, ProblemKind::NotUtf8)]);
}

#[test]
fn an_empty_file_is_an_empty_result() {
    for file in ["", "\n\n", "# only\n", "\u{feff}", " \t", "\r\n"] {
        assert_eq!(read(file), [], "{file:?}");
    }
}

#[test]
fn every_invalid_line_is_named() {
    let file = "A=1\nno equals\n2B=x\n=x\nC D=x\nE=\"x\" y\nF=`id`\nG='x'#y\nexport H\nÜ=1\n";
    assert_eq!(
        problems(file.as_bytes()),
        [
            (2, ProblemKind::NoEqualsSign),
            (3, ProblemKind::BadName),
            (4, ProblemKind::BadName),
            (5, ProblemKind::BadName),
            (6, ProblemKind::TextAfterQuote),
            (7, ProblemKind::Backtick),
            (8, ProblemKind::TextAfterQuote),
            (9, ProblemKind::NoEqualsSign),
            (10, ProblemKind::BadName),
        ]
    );
}

#[test]
fn an_unclosed_quote_is_named_by_its_first_line() {
    assert_eq!(problems(b"A=1\nB=\"x\nC=2\n"), [(2, ProblemKind::UnclosedQuote)]);
    assert_eq!(problems(b"A=\"x\\\"\n"), [(1, ProblemKind::UnclosedQuote)]);
}

#[test]
fn a_pem_without_quotes_is_refused_with_its_own_reason() {
    let found = problems(b"K=-----BEGIN KEY-----\nMIIB\n-----END KEY-----\n");
    assert_eq!(found[0], (1, ProblemKind::UnquotedPem));
    assert_eq!(
        value("K=-----BEGIN K-----\\nMIIB\\n-----END K-----"),
        "-----BEGIN K-----\\nMIIB\\n-----END K-----"
    );
}

#[test]
fn what_other_programs_expand_is_refused_unless_it_is_in_single_quotes_or_taken_literally() {
    // Laravel's form, an address, passwords and hashes, defaults, commands, an escape of docker compose.
    let values = [
        "${APP_NAME}",
        "postgres://${DB_USER}:${DB_PASS}@db/shop",
        "pa$sword",
        "$2y$10$abcdefghijk",
        "${REGION:-eu}",
        "$(cat /run/key)",
        "a$$b",
        "$_",
    ];
    for value in values {
        for line in [format!("A={value}\n"), format!("export A=\"{value}\"\n"), format!("A={value} # why\n")]
        {
            let file = format!("FIRST=1\n{line}");
            assert_eq!(problems(file.as_bytes()), [(2, ProblemKind::Reference)], "{line}");
            let taken = read_as(file.as_bytes(), Dollar::Literal);
            assert_eq!(taken, pairs(&[("FIRST", "1"), ("A", value)]), "{line}");
        }
        assert_eq!(read(&format!("A='{value}'")), pairs(&[("A", value)]));
        let escaped = value.replace('$', "\\$");
        assert_eq!(read(&format!("A=\"{escaped}\"")), pairs(&[("A", value)]));
        // Outside quotes, a backslash escapes nothing.
        if !value.contains("$$") {
            assert_eq!(problems(format!("A={escaped}").as_bytes()), [(1, ProblemKind::Reference)]);
        }
    }
    assert_eq!(problems(b"A=\"\\\\${X}\""), [(1, ProblemKind::Reference)]);
    for plain in ["100$", "$1", "$ x", "a$-b", "$", "$."] {
        assert_eq!(value(&format!("A={plain}")), plain);
    }
}

/// What people hand over in place of a `.env` file, and lines that shells read in another way.
#[test]
fn what_other_tools_write_is_refused_by_line_or_taken_as_it_stands() {
    use ProblemKind::{BadName, NoEqualsSign, Reference, TextAfterQuote, UnclosedQuote};
    let refused: [(&str, &[(usize, ProblemKind)]); 20] = [
        // YAML, JSON, INI.
        ("A: b\nC: d\n", &[(1, NoEqualsSign), (2, NoEqualsSign)]),
        ("A=|\n  two\n  lines\n", &[(2, NoEqualsSign), (3, NoEqualsSign)]),
        ("{\"A\": \"b\"}\n", &[(1, NoEqualsSign)]),
        ("[production]\nA=b\n", &[(1, NoEqualsSign)]),
        // Shells: bash, fish, PowerShell, cmd.
        ("A=$'a\\nb'\n", &[(1, Reference)]),
        ("A=$\"text\"\n", &[(1, Reference)]),
        ("A=$(pass show a)\n", &[(1, Reference)]),
        ("A=\"b\" C=d\n", &[(1, TextAfterQuote)]),
        ("A='b'\"c\"\n", &[(1, TextAfterQuote)]),
        ("A=\"b\"; export A\n", &[(1, TextAfterQuote)]),
        ("A+=b\n", &[(1, BadName)]),
        ("A=(b c)\nunset A\nexport A\n", &[(2, NoEqualsSign), (3, NoEqualsSign)]),
        ("source other.env\n. other.env\n", &[(1, NoEqualsSign), (2, NoEqualsSign)]),
        ("A=<<END\nb\nEND\n", &[(2, NoEqualsSign), (3, NoEqualsSign)]),
        ("set -x A b\nset -gx A=b\n", &[(1, NoEqualsSign), (2, BadName)]),
        ("$env:A = \"b\"\n", &[(1, BadName)]),
        ("set A=b\n", &[(1, BadName)]),
        // Quotes of other languages.
        ("A='it''s'\n", &[(1, TextAfterQuote)]),
        ("A=\"\"\"\nb\n\"\"\"\n", &[(1, TextAfterQuote), (2, NoEqualsSign), (3, NoEqualsSign)]),
        ("A=\"b\n", &[(1, UnclosedQuote)]),
    ];
    for (file, expected) in refused {
        assert_eq!(problems(file.as_bytes()), expected, "{file:?}");
    }
    // All readers of such files take these alike.
    for taken in [
        "it's",
        "Server=db;Password=a;b",
        "“quoted”",
        "~/x",
        "%PATH%",
        "<(x)",
        "a|b&c",
        "!x",
        "\\u0041",
        "@/x",
    ] {
        assert_eq!(value(&format!("A={taken}\n")), taken);
    }
    assert_eq!(read_as(b"A=$'a\\nb'\n", Dollar::Literal), pairs(&[("A", "$'a\\nb'")]));
}

#[test]
fn a_line_that_other_programs_would_join_with_the_next_is_refused() {
    assert_eq!(problems(b"A=one \\\nB=2\n"), [(1, ProblemKind::Continuation)]);
    assert_eq!(problems(b"A=C:\\dir\\\r\n"), [(1, ProblemKind::Continuation)]);
    assert_eq!(read_as(b"A=C:\\dir\\\n", Dollar::Literal), pairs(&[("A", "C:\\dir\\")]));
    assert_eq!(value("A='C:\\dir\\'"), "C:\\dir\\");
}

#[test]
fn utf_16_is_named() {
    for file in [&b"\xff\xfeA\0=\0"[..], b"\xfe\xff\0A\0=", b"A\0=\x001\0"] {
        assert_eq!(problems(file), [(1, ProblemKind::Utf16)]);
    }
}

#[test]
fn a_repeated_name_is_refused_and_both_lines_are_named() {
    let file = b"A=1\nB=2\nA=3\nA=1\n";
    let first = ProblemKind::Duplicate { first: 1 };
    assert_eq!(problems(file), [(3, first), (4, first)]);
}

#[test]
fn control_characters_and_values_over_the_limit_are_refused() {
    assert_eq!(problems(b"A=x\0y"), [(1, ProblemKind::ControlCharacter)]);
    assert_eq!(problems(b"A=\"x\0y\""), [(1, ProblemKind::ControlCharacter)]);
    assert_eq!(problems(b"A=x\x1by"), [(1, ProblemKind::ControlCharacter)]);
    assert_eq!(problems(b"A=x\ry\n"), [(1, ProblemKind::ControlCharacter)]);
    assert_eq!(value(&format!("A={}", "x".repeat(MAX_VALUE))).len(), MAX_VALUE);
    let over = format!("A={}", "x".repeat(MAX_VALUE + 1));
    assert_eq!(problems(over.as_bytes()), [(1, ProblemKind::ValueTooLarge)]);
}

#[test]
fn errors_and_debug_hold_nothing_of_the_file() {
    let file = "CANARY\nA=\"CANARY\" CANARY\nB='CANARY\n";
    let error = parse(file.as_bytes(), Dollar::Refused).unwrap_err();
    let fact = crate::messages::dotenv_refused(std::path::Path::new("x.env"), &error).fact;
    assert!(!format!("{fact} {error:?}").contains("CANARY"), "{fact}");
    let good = parse(b"A=CANARY\n", Dollar::Refused).unwrap();
    assert!(!format!("{good:?}").contains("CANARY"));
}

#[test]
fn the_demo_file_holds_forty_variables() {
    let file = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/shop.env")).unwrap();
    let entries = read_bytes(&file);
    assert_eq!(entries.len(), 40);
    let of = |wanted: &str| entries.iter().find(|(name, _)| name == wanted).unwrap().1.clone();
    assert!(of("JWT_SIGNING_KEY").ends_with("-----END PRIVATE KEY-----\n"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&of("FEATURE_FLAGS")).unwrap()["checkout_v2"], true);
    assert_eq!(of("SENTRY_DSN_BROWSER"), "");
}

/// A line that this parser and dotenvy define alike: no `$`, backtick or carriage return, no quote or backslash in an
/// unquoted value, and no backslash in single quotes.
fn line() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        "[a-z0-9/:=@+.-]{0,20}",
        r"'[^'\\\r$\x00]{0,20}'",
        r#""([^"\\\r$\x00]|\\[n"\\$]){0,20}""#
    ];
    let comment = prop_oneof!["", " +# [a-z =]{0,10}"];
    prop_oneof![
        4 => ("(export )?", value, comment).prop_map(|(export, value, comment)| format!("{export}NAME={value}{comment}\n")),
        1 => "# [a-z =]{0,10}\n".prop_map(|comment| comment),
        1 => Just("\n".to_owned()),
    ]
}

/// Parsed entries survive a round trip in double quotes; a refusal names lines of the file.
fn refused_by_line_or_round_trip(file: &[u8]) -> Result<(), TestCaseError> {
    match parse(file, Dollar::Literal) {
        Ok(dotenv) => {
            let mut written = Vec::new();
            for (name, value) in &dotenv.entries {
                written.extend_from_slice(format!("{name}=\"").as_bytes());
                for byte in value.expose_bytes() {
                    match byte {
                        b'\r' => written.extend_from_slice(b"\\r"),
                        b'\\' | b'"' => written.extend_from_slice(&[b'\\', *byte]),
                        byte => written.push(*byte),
                    }
                }
                written.extend_from_slice(b"\"\n");
            }
            prop_assert_eq!(read_as(&written, Dollar::Literal), read_as(file, Dollar::Literal));
        }
        Err(error) => {
            prop_assert!(!error.problems.is_empty());
            let lines = 1 + newlines(file);
            prop_assert!(error.problems.iter().all(|problem| (1..=lines).contains(&problem.line)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_refused_by_line_or_survive_a_round_trip(
        file in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        refused_by_line_or_round_trip(&file)?;
    }

    #[test]
    fn any_text_of_names_quotes_and_comments_is_refused_by_line_or_survives_a_round_trip(
        file in "[A-C \t\r\n='\"\\\\#$`é\u{feff}]{0,60}",
    ) {
        refused_by_line_or_round_trip(file.as_bytes())?;
    }

    #[test]
    fn files_that_dotenvy_defines_alike_read_alike(lines in proptest::collection::vec(line(), 0..12)) {
        let lines = lines.iter().enumerate().map(|(at, line)| line.replacen("NAME", &format!("N{at}"), 1));
        let file: String = lines.collect();
        let reference: Vec<_> = dotenvy::from_read_iter(file.as_bytes()).map(Result::unwrap).collect();
        prop_assert_eq!(read(&file), reference);
    }

    #[test]
    fn every_value_survives_double_quotes(text in "[^\0\r]{0,80}") {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('$', "\\$");
        prop_assert_eq!(value(&format!("A=\"{quoted}\"\n")), text);
    }

    #[test]
    fn every_value_without_single_quotes_survives_single_quotes(text in "[^\0\r']{0,80}") {
        prop_assert_eq!(value(&format!("A='{text}'\n")), text);
    }
}
