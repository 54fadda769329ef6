use super::*;
use proptest::prelude::Strategy;
use rstest::rstest;
use serde_json::json;

fn mask(secrets: &[&str]) -> Mask {
    Mask::new(secrets.iter().copied(), &HashSet::from(["scanner-1".to_owned()]))
}

fn cleaned(secrets: &[&str], mut value: Value) -> Value {
    mask(secrets).clean(value.as_object_mut().unwrap());
    value
}

#[rstest]
#[case::part(&["canary"], "/private/canary/x", "/private/********/x")]
#[case::whole(&["canary"], "canary", HIDDEN)]
#[case::one_in_another(&["cana", "canary"], "a canary cana sing", "a ******** ******** sing")]
#[case::overlapping(&["abcdef", "defghi"], "x abcdefghi y", "x ******** y")]
#[case::overlapping_itself(&["abab"], "ababab!", "********!")]
#[case::other_case(&["CaNary"], "a cANARY", "a ********")]
#[case::umlauts(&["Schlüssel"], "der SCHLÜSSEL, schl%C3%9Cssel", "der ********, ********")]
#[case::decoded(&["p%40ss"], "x p@ss y", "x ******** y")]
#[case::encoded(&["p@ss"], "x p%40ss y", "x ******** y")]
#[case::encoded_twice(&["p@ss"], "x p%2540ss y", "x ******** y")]
#[case::half_encoded(&["a%40b@c"], "x a%40b%40c y", "x ******** y")]
#[case::form(&["pass word"], "x=pass+word&", "x=********&")]
#[case::json(&["p\"s\\s"], r#"{"a": "p\"s\\s"}"#, r#"{"a": "********"}"#)]
#[case::json_in_json(&["p\"ss"], r#""{\"a\": \"p\\\"ss\"}""#, r#""{\"a\": \"********\"}""#)]
#[case::unicode(&["pä😀s"], r"x p\u00e4\ud83d\ude00s y", "x ******** y")]
#[case::backslashes(&[r"C:\new"], r"C:\new, C:\\new", "********, ********")]
#[case::python(&["it's\ta"], r"'it\'s\ta', it\x27s\x09a", "'********', ********")]
#[case::shell(&["it's"], r#"'it'\''s' 'it'"'"'s' it\'s"#, "'********' '********' ********")]
#[case::percent_in_json(&["p\"ss"], r"x p\u002522ss, p%5C%22ss y", "x ********, ******** y")]
#[case::colours(&["canary"], "x can\u{1b}[31;1mary\u{1b}[0m y", "x ********\u{1b}[0m y")]
#[case::colours_inside_escapes(&["can@ry"], "x can%\u{1b}[m40ry y", "x ******** y")]
#[case::title(&["canary"], "x can\u{1b}]0;title\u{7}ary y", "x ******** y")]
#[case::title_without_end(&["canary"], "x \u{1b}]0;\ncanary y", "x \u{1b}]0;\n******** y")]
#[case::line_ends(&["canary"], "x can\r\nary y", "x ******** y")]
#[case::lines_of_a_key(&["one\ntwo"], r"x one\ntwo y", "x ******** y")]
#[case::short(&["abc", "a", "0"], "abc a 0", "abc a 0")]
#[case::short_and_whole(&["abc"], "ABC", HIDDEN)]
#[case::word(&["https", "started"], "started https://h", "started https://h")]
#[case::name(&["scanner-1"], "removed: `scanner-1`", "removed: `scanner-1`")]
#[case::url(&[], "https://u:PW@h and u:QW@reg/x?token=RW", "https://u:********@h and u:********@reg/x?token=********")]
#[case::nothing(&[""], "text", "text")]
#[case::hidden(&["VALUE"], HIDDEN, HIDDEN)]
#[case::stars(&["****"], MASK, MASK)]
#[case::no_escape(&["canary"], "100% \\ 'x' %zz \\u12 \u{1b}", "100% \\ 'x' %zz \\u12 \u{1b}")]
fn masks(#[case] secrets: &[&str], #[case] text: &str, #[case] expected: &str) {
    assert_eq!(mask(secrets).clean_text(text), expected);
}

#[rstest]
#[case::whole(&["a canary b"], &["a ******** b"])]
#[case::split(&["x can", "ary y"], &["x ******** y"])]
#[case::begun_before(&["nary y"], &["******** y"])]
#[case::goes_on(&["x cana"], &["x ********"])]
#[case::too_short_to_tell(&["ary x", "y can"], &["ary x", "y can"])]
#[case::colours(&["\u{1b}[31mred\u{1b}[0m", "\u{1b}[2J"], &["red"])]
#[case::nothing(&[], &[])]
fn a_log_is_masked_where_it_is_cut(#[case] lines: &[&str], #[case] expected: &[&str]) {
    let lines: Vec<_> = lines.iter().map(|&line| line.to_owned()).collect();
    assert_eq!(mask(&["canary"]).clean_log(&lines), expected);
}

#[test]
fn names_numbers_and_fixed_words_stay() {
    let reply = json!({
        "name": "canary", "changed": true, "error": "canary", "actions": ["canary"], "number": 2180,
        "container": {"id": "canary", "exit_code": 0, "name": "canary", "status": "canary", "image": "canary"},
        "differences": [
            {"field": "state", "before": "exited", "after": "started", "way": "start"},
            {"field": "labels", "before": {"a": "started"}, "after": "started"},
        ],
        "diff": {"before_header": "canary", "after_header": "canary", "after": "state: started\n"},
        "invocation": {"module_args": {"name": "canary", "state": "started", "timeout": 2180, "scanners": [{"name": "canary"}]}},
    });
    let mut expected = reply.clone();
    expected["container"]["image"] = json!(HIDDEN);
    expected["differences"][1]["before"]["a"] = json!(HIDDEN);
    expected["differences"][1]["after"] = json!(HIDDEN);
    assert_eq!(cleaned(&["canary", "started", "exited", "2180", "true"], reply), expected);
}

#[test]
fn a_users_own_keys_are_masked_and_protect_no_secret() {
    let labels = json!({"id": "canary", "status": ["x canary"], "x-canary": "", "name": "canary"});
    let reply = json!({
        "differences": [{"field": "labels", "before": labels, "after": {"way": "canary"}, "way": "replace"}],
        "invocation": {"module_args": {"labels": labels, "name": "canary/x", "state": "canary", "canary=1": null}},
    });
    let masked = json!({"id": HIDDEN, "status": ["x ********"], "x-********": "", "name": HIDDEN});
    let expected = json!({
        "differences": [{"field": "labels", "before": masked, "after": {"way": HIDDEN}, "way": "replace"}],
        "invocation": {"module_args": {"labels": masked, "name": "********/x", "state": HIDDEN, "********=1": null}},
    });
    assert_eq!(cleaned(&["canary"], reply), expected);
}

#[test]
fn messages_are_printable_and_bounded() {
    let reply =
        json!({"msg": format!("\u{1b}[2J{}\r\u{9b}1m", "ä".repeat(LONGEST_MESSAGE + 7)), "warnings": ["a\u{8}b"]});
    let expected = json!({"msg": format!("{}… (7 more characters)", "ä".repeat(LONGEST_MESSAGE)), "warnings": ["ab"]});
    assert_eq!(cleaned(&[], reply), expected);
}

#[test]
fn a_hundred_thousand_secrets_and_a_long_text_take_no_time() {
    let secrets: Vec<_> = (0..100_000).map(|number| format!("secret-{}-{number}", "a".repeat(number % 50))).collect();
    let mask = mask(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
    let text = format!("{} secret-a-51 secret--100000", "secret-aaaa".repeat(20_000));
    let begin = std::time::Instant::now();
    assert_eq!(mask.clean_text(&text), text.replace("secret--100000", "********0").replace("secret-a-51", "********"));
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn a_long_text_is_cut_and_no_secret_with_it() {
    let text = |end: &str| format!("{}{end}", "x".repeat(LONGEST_TEXT - 4));
    let shown = |text: &str| cleaned(&["canary"], json!({"image": text}))["image"].as_str().unwrap().to_owned();
    assert_eq!(shown(&text("1234")), text("1234"));
    assert_eq!(shown(&text("canary")), text("********… (2 more bytes)"));
    assert_eq!(shown(&text("12ä4")), text("12ä… (1 more bytes)"));
}

/// One of the ways to write a text that hide it from a plain search.
fn disguise(text: &str, way: usize) -> String {
    let each = |write: &dyn Fn(char) -> String| text.chars().map(write).collect::<String>();
    let percents =
        |c: char| c.encode_utf8(&mut [0; 4]).bytes().flat_map(|b| format!("%{b:02X}").into_bytes()).collect();
    let percents = |c: char| String::from_utf8(percents(c)).unwrap();
    let plain = |c: char| c.is_ascii_alphanumeric();
    match way {
        0 => text.to_owned(),
        1 => text.to_uppercase(),
        2 => each(&|c| if plain(c) { c.to_string() } else { percents(c) }),
        3 => each(&percents),
        4 => json!(text).to_string().trim_matches('"').to_owned(),
        5 => text.encode_utf16().fold(String::new(), |text, unit| format!("{text}\\u{unit:04x}")),
        6 => each(&|c| if c == '\'' { r"'\''".to_owned() } else { c.to_string() }),
        7 => each(&|c| if plain(c) || !c.is_ascii() { c.to_string() } else { format!("\\{c}") }),
        8 => text.split("").filter(|c| !c.is_empty()).collect::<Vec<_>>().join("\u{1b}[1m"),
        _ => text.split("").filter(|c| !c.is_empty()).collect::<Vec<_>>().join("\n"),
    }
}

fn secrets() -> impl Strategy<Value = String> {
    // Long enough that its form without an escape is no short one.
    "[a-zA-Z0-9]{4}[a-zA-Z0-9@:/ \"'\\\\%+&äß-]{0,12}[a-zA-Z0-9]{2}"
}

proptest::proptest! {
    #[test]
    fn no_form_of_a_secret_survives(
        // No sequence has another one inside it.
        secret in secrets(), other in secrets(), ways in (0..10usize, 0..8usize), before in "[a-z ]{0,9}",
    ) {
        let disguised = disguise(&disguise(&secret, ways.0), ways.1);
        let text = format!("{before}<{disguised}>");
        let masked = mask(&[&secret, &other]).clean_text(&text);
        let left = masked.replace(MASK, "");
        proptest::prop_assert!(left.len() <= before.len() + 2 + 8, "{secret:?} in {text:?}: {masked:?}");
        proptest::prop_assert!(masked.starts_with(&format!("{before}<********")), "{secret:?} in {text:?}: {masked:?}");
    }

    #[test]
    fn no_text_makes_it_panic_and_without_secrets_it_stays(text in "(\\PC|[%\\\\'\u{1b}\u{9b}u0-9\n\\[\\]]){0,40}") {
        proptest::prop_assert_eq!(mask(&["canary-77"]).clean_text(&text), replace(&text, url::passwords(&text)).unwrap_or(text.clone()));
    }
}
