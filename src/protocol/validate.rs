//! `AnsibleModule`'s validation: its order, its words (2.19), the first error only.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::coerce::{coerce, python_type};
use super::json::UNREPRESENTABLE;
use super::options::{Default, Kind, Opt, TASK_ONLY};
use crate::error::{Error, Result};
use crate::secret;

/// Options that passed, each with its type.
#[derive(Debug)]
pub struct Valid {
    /// Every option of the module, null where it has no value.
    pub values: Map<String, Value>,
    /// The options that the task itself gave.
    pub given: BTreeSet<&'static str>,
    /// One for each entry of `scanners`, which has the task's own options as its defaults; `None`: the task has no such list.
    pub entries: Option<Vec<Valid>>,
}

/// Checks `options` against `table`; every leaf of a secret one is remembered first, so that no message shows it.
///
/// # Errors
/// The first thing that `AnsibleModule` would refuse: exclusive, missing, wrong type, no choice, not together, the entries of
/// a list, unsupported.
pub fn validate(
    module: &str,
    table: &'static [Opt],
    together: &[&[&str]],
    options: &Map<String, Value>,
) -> Result<Valid> {
    let list = table.iter().find(|option| option.kind == Kind::Dicts && given(options, option).is_some());
    remember_secrets(table, options);
    let mut entries = Vec::new();
    if let Some(list) = list {
        entries = entries_of(list, given(options, list).unwrap_or(&Value::Null))?;
        for entry in &entries {
            remember_secrets(table, entry);
        }
        if let Some(name) = table.iter().find(|option| option.required && given(options, option).is_some()) {
            return Err(Error::invalid(format!("parameters are mutually exclusive: {}|{}", name.name, list.name)));
        }
    }
    let task = Scope { module, table, together, found_in: None };
    // With a list, what is required or belongs together is asked of each entry.
    let mut valid = task.check(options, list.is_none())?;
    if let Some(list) = list {
        let scope = Scope { found_in: Some(list.name), ..task };
        let checked = entries.iter().map(|entry| scope.check(&with_defaults(entry, options), true));
        let checked = checked.collect::<Result<Vec<_>>>()?;
        // As with any option it is what was understood that is shown.
        let understood = checked.iter().map(|entry| {
            let mut own = entry.values.clone();
            for name in TASK_ONLY {
                own.remove(*name);
            }
            Value::Object(own)
        });
        valid.values.insert(list.name.to_owned(), Value::Array(understood.collect()));
        valid.entries = Some(checked);
        scope.refuse_unsupported(entries.iter().flat_map(Map::keys))?;
    }
    task.refuse_unsupported(options.keys())?;
    Ok(valid)
}

/// A value that counts: null is as good as left out.
fn given<'a>(options: &'a Map<String, Value>, option: &Opt) -> Option<&'a Value> {
    options.get(option.name).filter(|value| !value.is_null())
}

fn entries_of(list: &Opt, value: &Value) -> Result<Vec<Map<String, Value>>> {
    let items = match value {
        Value::Array(items) => items.clone(),
        // A scalar is a list of its parts between commas.
        scalar => {
            let Ok(text) = coerce(Kind::Str, scalar) else {
                let cause = format!("<class '{}'> cannot be converted to a list", python_type(value));
                return Err(unconvertible(list.name, value, None, "list", &cause));
            };
            text.as_str().unwrap_or_default().split(',').map(Value::from).collect()
        }
    };
    let entry = |item: &Value| match coerce(Kind::Dict, item) {
        Ok(Value::Object(entry)) => Ok(entry),
        Ok(_) => Ok(Map::new()),
        Err(cause) => Err(Error::invalid(format!(
            "Elements value for option '{}' is of type {} and we were unable to convert to dict: {cause}",
            list.name,
            python_type(item)
        ))),
    };
    items.iter().map(entry).collect()
}

/// `entry` with what the task itself gives for all entries.
fn with_defaults(entry: &Map<String, Value>, task: &Map<String, Value>) -> Map<String, Value> {
    let shared = task.iter().filter(|(name, _)| !is_of_task(name));
    let mut all: Map<_, _> = shared.map(|(name, value)| (name.clone(), value.clone())).collect();
    all.extend(entry.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())));
    all
}

fn is_of_task(name: &str) -> bool {
    TASK_ONLY.contains(&name)
}

/// Where options are looked at: the task, or the entries of one of its lists.
#[derive(Clone, Copy)]
struct Scope<'a> {
    module: &'a str,
    table: &'static [Opt],
    together: &'a [&'a [&'a str]],
    found_in: Option<&'static str>,
}

impl Scope<'_> {
    fn check(&self, options: &Map<String, Value>, complete: bool) -> Result<Valid> {
        let missing = |option: &&Opt| complete && option.required && given(options, option).is_none();
        let missing: Vec<_> = self.table.iter().filter(missing).collect();
        if !missing.is_empty() {
            return Err(self.refuse(format!("missing required arguments: {}", names(missing))));
        }
        let mut values = Map::new();
        for option in self.table {
            let value = match given(options, option) {
                Some(value) => self.convert(option, value)?,
                None => default(option),
            };
            values.insert(option.name.to_owned(), value);
        }
        for option in self.table.iter().filter(|option| !option.choices.is_empty()) {
            self.check_choice(option, values.get(option.name).unwrap_or(&Value::Null))?;
        }
        for together in self.together.iter().filter(|_| complete) {
            let has_value = |name: &&&str| values.get(**name).is_some_and(|value| !value.is_null());
            let count = together.iter().filter(has_value).count();
            if count != 0 && count != together.len() {
                return Err(self.refuse(format!("parameters are required together: {}", together.join(", "))));
            }
        }
        let given = self.table.iter().filter(|option| given(options, option).is_some()).map(|option| option.name);
        Ok(Valid { values, given: given.collect(), entries: None })
    }

    fn refuse(&self, message: String) -> Error {
        Error::invalid(match self.found_in {
            Some(list) => format!("{message} found in {list}"),
            None => message,
        })
    }

    fn refuse_unsupported<'k>(&self, keys: impl Iterator<Item = &'k String>) -> Result<()> {
        let supported = || self.table.iter().filter(|option| self.found_in.is_none() || !is_of_task(option.name));
        let unsupported: BTreeSet<_> =
            keys.filter(|key| !supported().any(|option| option.name == key.as_str())).map(String::as_str).collect();
        if unsupported.is_empty() {
            return Ok(());
        }
        let prefix = self.found_in.map(|list| format!("{list}.")).unwrap_or_default();
        let unsupported: Vec<_> = unsupported.into_iter().map(|key| format!("{prefix}{key}")).collect();
        Err(Error::invalid(format!(
            "Unsupported parameters for ({}) module: {}. Supported parameters include: {}.",
            self.module,
            unsupported.join(", "),
            names(supported())
        )))
    }

    fn convert(&self, option: &Opt, value: &Value) -> Result<Value> {
        let truth = option.truths.zip(coerce(Kind::Bool, value).ok()).filter(|_| !is_choice(option, value));
        if let Some(([yes, no], truth)) = truth {
            return Ok(Value::from(if truth == Value::Bool(true) { yes } else { no }));
        }
        let converted = coerce(option.kind, value)
            .map_err(|cause| unconvertible(option.name, value, self.found_in, kind_name(option.kind), &cause))?;
        if is_unrepresentable(&converted) {
            return Err(Error::invalid(format!(
                "`{}` holds text that is not valid Unicode; write it in UTF-8",
                option.name
            )));
        }
        Ok(converted)
    }

    fn check_choice(&self, option: &Opt, value: &Value) -> Result<()> {
        if value.is_null() || is_choice(option, value) {
            return Ok(());
        }
        Err(self.refuse(format!(
            "value of {} must be one of: {}, got: {}",
            option.name,
            option.choices.join(", "),
            value.as_str().unwrap_or_default()
        )))
    }
}

fn unconvertible(name: &str, value: &Value, found_in: Option<&str>, kind: &str, cause: &str) -> Error {
    let found_in = found_in.map(|list| format!(" found in '{list}'.")).unwrap_or_default();
    Error::invalid(format!(
        "argument '{name}' is of type {}{found_in} and we were unable to convert to {kind}: {cause}",
        python_type(value)
    ))
}

fn remember_secrets(table: &[Opt], options: &Map<String, Value>) {
    for option in table {
        match given(options, option) {
            Some(value) if option.secret => remember_leaves(value, option.kind),
            Some(Value::String(text)) => remember_password_of_url(text),
            _ => {}
        }
    }
}

/// `https://user:password@host` where no password belongs; `AnsibleModule` keeps such from the log, too.
fn remember_password_of_url(text: &str) {
    let user = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
    if let Some((_, password)) = user.and_then(|(user, _)| user.split_once(':')) {
        secret::remember(password);
    }
}

/// `values` with the secret ones masked as `AnsibleModule` masks them, for `invocation`; what the module does not know is
/// masked too, since it may be a secret under a misspelt name.
#[must_use]
pub fn masked(table: &[Opt], values: &Map<String, Value>) -> Map<String, Value> {
    let entry = |entry: &Value| entry.as_object().map_or_else(|| mask(entry, Kind::Str), |it| masked(table, it).into());
    let shown = |name: &String, value: &Value| match (table.iter().find(|option| option.name == name), value) {
        (Some(Opt { kind: Kind::Dicts, .. }), Value::Array(entries)) => entries.iter().map(entry).collect(),
        // No list, or nothing that is known, but there may be secrets in it.
        (Some(Opt { kind: Kind::Dicts, .. }) | None, _) => mask(value, Kind::Str),
        (Some(option), _) if option.secret => mask(value, option.kind),
        (Some(_), _) => value.clone(),
    };
    values.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

/// `AnsibleModule`'s word for a value that is a secret as a whole.
pub const HIDDEN: &str = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER";

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
        (Value::Object(map), Kind::Dict) => map.values().for_each(|value| remember_leaves(value, Kind::Dict)),
        (Value::Object(map), _) => map.iter().for_each(|(key, value)| {
            // No dict is wanted here; whatever this is, all of it is secret.
            secret::remember(key);
            remember_leaves(value, kind);
        }),
        (Value::Array(items), _) => items.iter().for_each(|item| remember_leaves(item, kind)),
        (Value::String(text), Kind::Dict) => {
            secret::remember_value(text);
            // A dict given as text: its values are the secrets, not only the whole.
            if let Ok(Value::Object(map)) = coerce(Kind::Dict, value) {
                map.values().filter_map(Value::as_str).for_each(secret::remember_value);
            }
        }
        (Value::String(text), _) => secret::remember(text),
        (Value::Number(number), Kind::Dict) => secret::remember_value(&number.to_string()),
        (Value::Number(number), _) => secret::remember(&number.to_string()),
        (Value::Null | Value::Bool(_), _) => {}
    }
}

fn is_choice(option: &Opt, value: &Value) -> bool {
    value.as_str().is_some_and(|text| option.choices.contains(&text))
}

fn is_unrepresentable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(UNREPRESENTABLE),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains(UNREPRESENTABLE) || is_unrepresentable(value)),
        Value::Array(items) => items.iter().any(is_unrepresentable),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn default(option: &Opt) -> Value {
    match option.default {
        Default::Unset => Value::Null,
        Default::Str(text) => Value::from(text),
        Default::Bool(truth) => Value::from(truth),
        // 2 is 2.0 where a float is meant.
        Default::Int(int) => coerce(option.kind, &Value::from(int)).unwrap_or_default(),
    }
}

/// Names as `AnsibleModule` lists them: sorted.
fn names<'a>(options: impl IntoIterator<Item = &'a Opt>) -> String {
    let names: BTreeSet<_> = options.into_iter().map(|option| option.name).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Str => "str",
        Kind::Int => "int",
        Kind::Float => "float",
        Kind::Bool => "bool",
        Kind::Path => "path",
        Kind::Dict => "dict",
        Kind::Dicts => "list",
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{OPTIONS, TOGETHER};
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn check(options: &Value) -> Result<Valid> {
        validate("qcss_scanner", OPTIONS, TOGETHER, options.as_object().unwrap())
    }

    #[rstest]
    #[case(json!({}), "missing required arguments: name")]
    #[case(json!({"name": null}), "missing required arguments: name")]
    #[case(json!({"name": "x", "timeout": "abc"}),
        "argument 'timeout' is of type str and we were unable to convert to int: \"'abc'\" cannot be converted to an int")]
    #[case(json!({"name": "x", "state": "bogus"}),
        "value of state must be one of: started, present, stopped, absent, got: bogus")]
    #[case(json!({"name": "x", "recreate": "maybe"}), "value of recreate must be one of: auto, always, never, got: maybe")]
    #[case(json!({"name": "x", "image": "i"}),
        "parameters are required together: personalization_code, qualys_url, image")]
    #[case(json!({"name": "a\u{fffd}"}), "`name` holds text that is not valid Unicode; write it in UTF-8")]
    #[case(json!({"name": ["x"]}), "argument 'name' is of type list and we were unable to convert to str: \
        '['x']' is not a string and conversion is not allowed")]
    // An order of its own: a missing one before a wrong type, a wrong type before a choice, unsupported last.
    #[case(json!({"timeout": "abc"}), "missing required arguments: name")]
    #[case(json!({"name": "x", "state": "bogus", "settle": "abc"}),
        "argument 'settle' is of type str and we were unable to convert to float: \
        <class 'str'> cannot be converted to a float")]
    #[case(json!({"name": "x", "image": "i", "nope": 1, "state": "started"}),
        "parameters are required together: personalization_code, qualys_url, image")]
    #[case(json!({"name": "x", "pull": "often", "image": "i", "state": "bogus"}),
        "value of pull must be one of: missing, always, never, got: often")]
    #[case(json!({"name": "x", "purge": "maybe", "restart": "maybe"}),
        "argument 'restart' is of type str and we were unable to convert to bool: The value 'maybe' is not a valid \
        boolean. Valid booleans include: 'y', 'yes', 'on', '1', 'true', 't', 1, 'n', 'no', 'off', '0', 'false', 'f', 0")]
    #[case(json!({"name": "x", "labels": "a"}),
        "argument 'labels' is of type str and we were unable to convert to dict: dictionary requested, could not parse \
        JSON or key=value")]
    #[case(json!({"name": "x", "state": "bogus", "nope": 1}),
        "value of state must be one of: started, present, stopped, absent, got: bogus")]
    fn refuses_in_the_words_of_ansible(#[case] options: Value, #[case] message: &str) {
        assert_eq!(check(&options).unwrap_err(), Error::invalid(message));
    }

    #[test]
    fn unsupported_options_are_listed_sorted_beside_all_that_is_supported() {
        let message = check(&json!({"name": "x", "zeta": 1, "alpha": null})).unwrap_err().message;
        let start = "Unsupported parameters for (qcss_scanner) module: alpha, zeta. Supported parameters include: ca_dir, cpus, ";
        assert!(message.starts_with(start) && message.ends_with(", update_interval."), "{message}");
    }

    #[rstest]
    #[case("recreate", json!(true), "always")]
    #[case("recreate", json!("yes"), "always")]
    #[case("recreate", json!(false), "auto")]
    #[case("recreate", json!("never"), "never")]
    #[case("restart_policy", json!(false), "no")]
    #[case("restart_policy", json!("no"), "no")]
    #[case("restart_policy", json!("on-failure:3"), "on-failure:3")]
    #[case("memory", json!(1024), "1024")]
    fn yaml_truth_values_mean_what_the_user_wrote(#[case] name: &str, #[case] value: Value, #[case] expected: &str) {
        let valid = check(&json!({"name": "x", name: value})).unwrap();
        assert_eq!(valid.values[name], expected);
    }

    #[test]
    fn defaults_are_filled_in_and_only_what_the_task_gave_counts_as_given() {
        let valid = check(&json!({"name": 12, "memory": null})).unwrap();
        assert_eq!(valid.given.iter().copied().collect::<Vec<_>>(), ["name"]);
        assert_eq!(valid.values["name"], "12");
        assert_eq!(valid.values["state"], "started");
        assert_eq!(valid.values["memory"], Value::Null);
        assert_eq!(valid.values.len(), OPTIONS.len());
    }

    #[test]
    fn secrets_are_known_before_anything_is_said_about_them() {
        check(&json!({"name": "x", "personalization_code": 21_808_056_913_298_u64, "env": "A=canary-env B=2"}))
            .unwrap_err();
        for secret in ["21808056913298", "canary-env"] {
            assert!(crate::secret::known().iter().any(|text| text == secret), "{secret}");
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
        let shown = super::super::redact::Redactor::new(secret::known()).clean_text(&error.message);
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
