//! `AnsibleModule`'s validation: its order, its words (2.19), the first error only.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::coerce::{coerce, python_type};
use super::json::UNREPRESENTABLE;
use super::no_log;
use super::options::{Default, Kind, Opt, Rules, TASK_ONLY};
use crate::error::{Error, Result};

const PRIVATE_DIR: &str = "private_dir";

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
pub fn validate(module: &str, table: &'static [Opt], rules: Rules, options: &Map<String, Value>) -> Result<Valid> {
    let list = table.iter().find(|option| option.kind == Kind::Dicts && option.given(options).is_some());
    no_log::remember(table, options);
    let mut entries = Vec::new();
    if let Some(list) = list {
        entries = entries_of(list, list.given(options).unwrap_or(&Value::Null))?;
        for entry in &entries {
            no_log::remember(table, entry);
        }
        if let Some(name) = table.iter().find(|option| option.required && option.given(options).is_some()) {
            return Err(Error::invalid(format!("parameters are mutually exclusive: {}|{}", name.name, list.name)));
        }
    }
    let task = Scope { module, table, rules, found_in: None };
    // With a list, `required` and the rules apply to each entry.
    let mut valid = task.check(options, list.is_none())?;
    if let Some(list) = list {
        let scope = Scope { found_in: Some(list.name), ..task };
        let checked = entries.iter().map(|entry| scope.check_entry(entry, options)).collect::<Result<Vec<_>>>()?;
        // `invocation` shows the converted values, as for any option.
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

/// What is being checked: the task, or the entries of one of its lists.
#[derive(Clone, Copy)]
struct Scope<'a> {
    module: &'a str,
    table: &'static [Opt],
    rules: Rules,
    found_in: Option<&'static str>,
}

impl Scope<'_> {
    fn check(&self, options: &Map<String, Value>, complete: bool) -> Result<Valid> {
        let missing = |option: &&Opt| complete && option.required && option.given(options).is_none();
        let missing: Vec<_> = self.table.iter().filter(missing).collect();
        if !missing.is_empty() {
            return Err(self.refuse(format!("missing required arguments: {}", names(missing))));
        }
        let mut values = Map::new();
        for option in self.table {
            let value = match option.given(options) {
                Some(value) => self.convert(option, value)?,
                None => default(option),
            };
            values.insert(option.name.to_owned(), value);
        }
        for option in self.table.iter().filter(|option| !option.choices.is_empty()) {
            self.check_choice(option, values.get(option.name).unwrap_or(&Value::Null))?;
        }
        if complete {
            self.check_rules(&values)?;
        }
        let given = self.table.iter().filter(|option| option.given(options).is_some()).map(|option| option.name);
        Ok(Valid { values, given: given.collect(), entries: None })
    }

    /// An entry of a list, whose defaults are the options of the `task`.
    fn check_entry(&self, entry: &Map<String, Value>, task: &Map<String, Value>) -> Result<Valid> {
        let mut valid = self.check(&with_defaults(entry, task), true)?;
        // As a default it is for the entries that have a code; beside no code it would be a claim about this one.
        if entry.get(PRIVATE_DIR).is_none_or(Value::is_null) {
            valid.given.remove(PRIVATE_DIR);
        }
        Ok(valid)
    }

    fn check_rules(&self, values: &Map<String, Value>) -> Result<()> {
        let has_value = |name: &&&str| values.get(**name).is_some_and(|value| !value.is_null());
        for together in self.rules.together {
            let count = together.iter().filter(has_value).count();
            if count != 0 && count != together.len() {
                return Err(self.refuse(format!("parameters are required together: {}", together.join(", "))));
            }
        }
        let is_absent = values.get("state").is_some_and(|state| state == "absent");
        for (option, needed) in self.rules.required_by.iter().filter(|(option, _)| !is_absent && has_value(&option)) {
            let missing: Vec<_> = needed.iter().filter(|name| !has_value(name)).copied().collect();
            if !missing.is_empty() {
                let missing = missing.join(", ");
                return Err(self.refuse(format!("missing parameter(s) required by '{option}': {missing}")));
            }
        }
        Ok(())
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
            .map_err(|cause| unconvertible(option.name, value, self.found_in, option.kind.word(), &cause))?;
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

#[cfg(test)]
mod tests;
