//! `no_log` of `AnsibleModule`: secret values of options are remembered for the masking pass, and masked in `invocation`.

use serde_json::{Map, Value};

use super::coerce::coerce;
use super::options::{Kind, Opt};
use crate::secret::{self, HIDDEN};

/// Remembers every leaf of the secret `options`, so that no message shows it.
pub fn remember(table: &[Opt], options: &Map<String, Value>) {
    for option in table {
        match option.given(options) {
            Some(value) if option.secret => remember_leaves(value, option.kind),
            Some(value) => remember_passwords(value),
            _ => {}
        }
    }
}

/// `https://user:password@host` where no password belongs; `AnsibleModule` keeps such from the log, too.
fn remember_passwords(value: &Value) {
    match value {
        Value::String(text) => secret::remember_passwords(text),
        Value::Array(items) => items.iter().for_each(remember_passwords),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            secret::remember_passwords(key);
            remember_passwords(value);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// No variable has such a name: somebody wrote `NAME=secret` or `NAME: secret` into it.
fn remember_odd_name(name: &str) {
    let rest = name.trim_start_matches(|c: char| c.is_alphanumeric() || "_.-".contains(c));
    let value = rest.trim_start_matches(|c: char| c.is_whitespace() || "=:".contains(c));
    secret::remember(value);
}

/// `values` with the secret ones masked as `AnsibleModule` masks them, for `invocation`; what the module does not know is
/// masked too, since it may be a secret under a misspelt name.
pub fn masked(table: &[Opt], values: &Map<String, Value>) -> Map<String, Value> {
    let entry = |entry: &Value| entry.as_object().map_or_else(|| mask(entry, Kind::Str), |it| masked(table, it).into());
    let shown = |name: &String, value: &Value| match (table.iter().find(|option| option.name == name), value) {
        (Some(Opt { kind: Kind::Dicts, .. }), Value::Array(entries)) => entries.iter().map(entry).collect(),
        // Not a list of dicts, but there may be secrets in it.
        (Some(Opt { kind: Kind::Dicts, .. }) | None, _) => mask(value, Kind::Str),
        (Some(option), _) if option.secret => mask(value, option.kind),
        (Some(_), _) => value.clone(),
    };
    values.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// Of a dict only the values are secret.
fn mask(value: &Value, kind: Kind) -> Value {
    match (value, kind) {
        (Value::Null, _) => Value::Null,
        (Value::Object(map), Kind::Dict) => {
            map.iter().map(|(key, value)| (key.clone(), mask(value, Kind::Str))).collect()
        }
        _ => Value::from(HIDDEN),
    }
}

/// Values of a dict are flags (`1`, `yes`) as often as secrets; such short ones are hidden by type alone.
fn remember_leaves(value: &Value, kind: Kind) {
    match (value, kind) {
        (Value::Object(map), Kind::Dict) => map.iter().for_each(|(name, value)| {
            remember_odd_name(name);
            remember_leaves(value, Kind::Dict);
        }),
        (Value::Object(map), _) => map.iter().for_each(|(key, value)| {
            // The option does not take a dict; all of it is secret.
            secret::remember(key);
            remember_leaves(value, kind);
        }),
        (Value::Array(items), _) => items.iter().for_each(|item| remember_leaves(item, kind)),
        (Value::String(text), Kind::Dict) => {
            secret::remember_value(text);
            // A dict given as a string: its values are secrets, not only the whole.
            if let Ok(Value::Object(map)) = coerce(Kind::Dict, value) {
                map.values().filter_map(Value::as_str).for_each(secret::remember_value);
            } else {
                text.split(['=', ',', ' ']).for_each(secret::remember_value);
            }
        }
        (Value::String(text), _) => secret::remember(text),
        (Value::Number(number), Kind::Dict) => secret::remember_value(&number.to_string()),
        (Value::Number(number), _) => secret::remember(&number.to_string()),
        (Value::Null | Value::Bool(_), _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{OPTIONS, RULES};
    use super::super::validate::{Valid, validate};
    use super::*;
    use crate::error::Result;
    use rstest::rstest;
    use serde_json::json;

    fn check(options: &Value) -> Result<Valid> {
        validate("qcss_scanner", OPTIONS, RULES, options.as_object().unwrap())
    }

    #[test]
    fn secrets_are_known_before_anything_is_said_about_them() {
        check(&json!({"name": "x", "personalization_code": 21_808_056_913_298_u64, "env": "A=canary-env B=2"}))
            .unwrap_err();
        for secret in ["21808056913298", "canary-env"] {
            assert!(secret::is_known(secret), "{secret}");
        }
    }

    #[test]
    fn invocation_hides_what_may_be_a_misspelt_secret_or_one_of_a_wrong_type() {
        let options =
            json!({"personalisation_code": "canary", "personalization_code": {"canary": ["canary"]}, "x": null});
        let masked = masked(OPTIONS, options.as_object().unwrap());
        assert_eq!(json!(masked), json!({"personalisation_code": HIDDEN, "personalization_code": HIDDEN, "x": null}));
        let error =
            check(&json!({"name": "x", "personalization_code": {"canary-key": {"a": "canary-1"}}})).unwrap_err();
        let shown = secret::mask().clean_text(&error.message);
        assert!(error.message.contains("canary") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn invocation_shows_which_secrets_were_given_and_none_of_them() {
        let valid = check(&json!({"name": "x", "env": {"A": "canary", "B": null}})).unwrap();
        let masked = masked(OPTIONS, &valid.values);
        assert_eq!(masked["env"], json!({"A": HIDDEN, "B": null}));
        assert_eq!(masked["https_proxy"], Value::Null);
        assert_eq!(masked["name"], "x");
    }

    #[rstest]
    #[case(json!("[{\"personalization_code\": \"canary\"}]"))]
    #[case(json!({"personalization_code": "canary"}))]
    #[case(json!(["personalization_code=canary"]))]
    fn scanners_of_another_form_are_masked_as_a_whole(#[case] scanners: Value) {
        let masked = masked(OPTIONS, json!({"scanners": scanners}).as_object().unwrap());
        assert!(!Value::from(masked).to_string().contains("canary"));
    }
}
