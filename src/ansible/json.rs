//! Reads the JSON that Python writes, which is a little more than JSON: `NaN`, `Infinity`, lone surrogates and integers of
//! any size. What JSON (or a Rust string) cannot hold is kept as a string, so that validation refuses it by the option's name.

use serde_json::Value;

/// Stands for half a surrogate pair, which is how Python carries bytes that are not UTF-8.
pub const UNREPRESENTABLE: char = '\u{fffd}';

/// Parses `bytes`.
pub fn parse(bytes: &[u8]) -> Result<Value, String> {
    let text = String::from_utf8_lossy(bytes);
    serde_json::from_str(&to_strict(&text)).map_err(|error| {
        let what = if error.is_eof() { "it ends too early" } else { "it is not valid JSON" };
        format!("{what} (line {}, column {})", error.line(), error.column())
    })
}

/// Rewrites what only Python's parser accepts.
fn to_strict(text: &str) -> String {
    let mut strict = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => copy_string(rest, &mut strict),
            'N' | 'I' | '-' | '0'..='9' => copy_number(rest, &mut strict),
            _ => {
                strict.push(first);
                first.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    strict
}

/// Copies the string literal at the start of `text`, with [`UNREPRESENTABLE`] for lone surrogates; returns its length.
fn copy_string(text: &str, strict: &mut String) -> usize {
    let mut at = 1;
    strict.push('"');
    while let Some(rest) = text.get(at..)
        && let Some(first) = rest.chars().next()
    {
        let length = match first {
            '"' => {
                strict.push('"');
                return at + 1;
            }
            '\\' => escape_length(rest),
            _ => first.len_utf8(),
        };
        match rest.get(..length) {
            Some(lone) if length == 6 && is_surrogate(lone) => strict.push(UNREPRESENTABLE),
            Some(piece) => strict.push_str(piece),
            None => {
                strict.push_str(rest);
                return text.len();
            }
        }
        at += length;
    }
    text.len()
}

/// 2 for `\n` and the like, 6 for `\u0041`, 12 for a pair of surrogates.
fn escape_length(text: &str) -> usize {
    if !text.starts_with("\\u") {
        return 1 + text.chars().nth(1).map_or(1, char::len_utf8);
    }
    let half = |at: usize| text.get(at..at + 6).and_then(surrogate);
    match (half(0), half(6)) {
        (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
        _ => 6,
    }
}

fn is_surrogate(escape: &str) -> bool {
    surrogate(escape).is_some_and(|unit| (0xd800..=0xdfff).contains(&unit))
}

fn surrogate(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok()
}

/// Copies the number at the start of `text`; what fits no machine number becomes a string of the same digits.
fn copy_number(text: &str, strict: &mut String) -> usize {
    for (python, spelled) in [("NaN", "\"nan\""), ("Infinity", "\"inf\""), ("-Infinity", "\"-inf\"")] {
        if text.starts_with(python) {
            strict.push_str(spelled);
            return python.len();
        }
    }
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(text.len());
    let (number, _) = text.split_at(end.max(1).min(text.len()));
    let whole = !number.contains(['.', 'e', 'E']);
    let fits = if whole {
        number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok()
    } else {
        number.parse::<f64>().is_ok_and(f64::is_finite)
    };
    // A leading zero or a stray `-` is not JSON; the parser says so.
    let digits = number.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
    if fits || (whole && (!digits || number.len() < 19)) || number.parse::<f64>().is_err() {
        strict.push_str(number);
    } else {
        strict.push('"');
        strict.push_str(number);
        strict.push('"');
    }
    number.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(r#"{"a": NaN, "b": [Infinity, -Infinity]}"#, json!({"a": "nan", "b": ["inf", "-inf"]}))]
    #[case(r#"["NaN", "Infinity \" NaN"]"#, json!(["NaN", "Infinity \" NaN"]))]
    #[case(r#"["a\udcffb"]"#, json!(["a\u{fffd}b"]))]
    #[case(r#"["\ud83d\ude00", "\ud83d", "\ude00\ud83d"]"#, json!(["😀", "\u{fffd}", "\u{fffd}\u{fffd}"]))]
    #[case("[18446744073709551615, -9223372036854775808]", json!([u64::MAX, i64::MIN]))]
    #[case("[18446744073709551616]", json!(["18446744073709551616"]))]
    #[case("[-99999999999999999999]", json!(["-99999999999999999999"]))]
    #[case("[1e999, 1.5, -0.0, 2.0]", json!(["1e999", 1.5, -0.0, 2.0]))]
    #[case(r#"["\\", "\\\"", "\u00e4ä"]"#, json!(["\\", "\\\"", "ää"]))]
    #[case("\"\\u2028\"", json!("\u{2028}"))]
    fn reads_what_python_writes(#[case] text: &str, #[case] expected: Value) {
        assert_eq!(parse(text.as_bytes()), Ok(expected));
    }

    #[rstest]
    #[case("")]
    #[case("{\"a\": \"secret")]
    #[case("{\"a\": \"secret\\")]
    #[case("{\"a\": \"secret\\u12")]
    #[case("{\"a\": 01}")]
    #[case("{\"a\": -}")]
    #[case("{\"a\": nan}")]
    #[case("{} {}")]
    fn says_where_it_goes_wrong_and_shows_nothing(#[case] text: &str) {
        let message = parse(text.as_bytes()).unwrap_err();
        assert!(message.contains("line 1") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn invalid_utf8_is_carried_as_unrepresentable() {
        assert_eq!(parse(b"[\"a\xffb\"]"), Ok(json!(["a\u{fffd}b"])));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0u8..=255, 0..64)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_json_can_hold_is_left_alone(text in "\\PC*", int in i64::MIN..i64::MAX, quarters in -4000..4000) {
            let value = json!({"text": text, "int": int, "float": f64::from(quarters) / 4.0, "nested": [{"text": text}]});
            proptest::prop_assert_eq!(parse(value.to_string().as_bytes()), Ok(value));
        }
    }
}
