//! `AnsibleModule`'s conversions (`ansible.module_utils.common.validation`, words of 2.19), value by value.

use serde_json::{Map, Number, Value};

use super::json;
use super::options::Kind;

/// Converts `value` to `kind`; the error is the part of `AnsibleModule`'s message after the last colon.
pub fn coerce(kind: Kind, value: &Value) -> Result<Value, String> {
    match kind {
        Kind::Str => text(value).map(Value::String),
        Kind::Path => text(value).map(|path| Value::String(expand(&path))),
        Kind::Int => int(value).map(Value::from),
        Kind::Float => float(value).and_then(|float| {
            Number::from_f64(float)
                .map(Value::Number)
                .ok_or_else(|| format!("{} cannot be converted to a float", python_repr(value)))
        }),
        Kind::Bool => boolean(value).map(Value::Bool),
        Kind::Dict => dict(value).map(Value::Object),
        // Its entries are converted one by one, by a table of their own.
        Kind::Dicts => Ok(value.clone()),
    }
}

/// Python's name for the type of `value`.
pub fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// A scalar as Python prints it.
fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(true) => Ok("True".to_owned()),
        Value::Bool(false) => Ok("False".to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("'{}' is not a string and conversion is not allowed", python_repr(value)))
        }
    }
}

fn int(value: &Value) -> Result<i64, String> {
    let parsed = match value {
        Value::Bool(truth) => Some(i64::from(*truth)),
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        // Python's Decimal: white space around, underscores between digits, an exponent.
        Value::String(text) => {
            let text = text.trim().replace('_', "");
            text.parse().ok().or_else(|| {
                let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
                if plain { text.parse().ok().and_then(whole) } else { None }
            })
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    parsed.ok_or_else(|| format!("\"{}\" cannot be converted to an int", python_repr(value)))
}

/// `float` when it is a whole number that an i64 and an f64 both hold exactly.
fn whole(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53, as the condition says")]
    (float.fract() == 0.0 && float.abs() <= EXACT).then_some(float as i64)
}

fn float(value: &Value) -> Result<f64, String> {
    let parsed = match value {
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Number(number) => number.as_f64(),
        // Python's float takes underscores between digits only.
        Value::String(text) if text.trim().split('_').any(str::is_empty) => None,
        Value::String(text) => text.trim().replace('_', "").parse().ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    parsed.ok_or_else(|| format!("<class '{}'> cannot be converted to a float", python_type(value)))
}

fn boolean(value: &Value) -> Result<bool, String> {
    let spelled = match value {
        Value::Bool(truth) => return Ok(*truth),
        // The sum is 0 for the -0 that JSON has, too.
        Value::Number(number) => number.as_f64().map_or_else(String::new, |float| (float + 0.0).to_string()),
        Value::String(text) => text.trim().to_lowercase(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(format!("<class '{}'> cannot be converted to a bool", python_type(value)));
        }
    };
    match spelled.as_str() {
        "y" | "yes" | "on" | "1" | "true" | "t" => Ok(true),
        "n" | "no" | "off" | "0" | "false" | "f" => Ok(false),
        _ => Err(format!(
            "The value '{}' is not a valid boolean. Valid booleans include: 'y', 'yes', 'on', '1', 'true', 't', 1, \
             'n', 'no', 'off', '0', 'false', 'f', 0",
            text(value).unwrap_or_default()
        )),
    }
}

fn dict(value: &Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map.clone()),
        Value::String(text) if text.starts_with('{') => match json::parse(python_to_json(text).as_bytes()) {
            Ok(Value::Object(map)) => Ok(map),
            _ => Err("unable to evaluate string as dictionary".to_owned()),
        },
        Value::String(text) if text.contains('=') => key_values(text)
            .ok_or_else(|| "unable to evaluate string in the \"key=value\" format as dictionary".to_owned()),
        Value::String(_) => Err("dictionary requested, could not parse JSON or key=value".to_owned()),
        _ => Err(format!("<class '{}'> cannot be converted to a dict", python_type(value))),
    }
}

/// `{'a': 'b'}`, as Jinja writes a dict into a string, is JSON but for its quotes; anything else is left for the parser.
fn python_to_json(text: &str) -> String {
    if text.contains('"') { text.to_owned() } else { text.replace('\'', "\"") }
}

/// `k=v, k2="v 2"`: commas or spaces part the fields, quotes and backslashes protect them.
fn key_values(text: &str) -> Option<Map<String, Value>> {
    let mut fields = vec![String::new()];
    let (mut quote, mut escaped) = (None, false);
    for c in text.trim().chars() {
        let field = fields.last_mut()?;
        match (c, quote) {
            _ if escaped => {
                field.push(c);
                escaped = false;
            }
            ('\\', _) => escaped = true,
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(open)) if open == c => quote = None,
            (',' | ' ', None) => fields.push(String::new()),
            _ => field.push(c),
        }
    }
    fields
        .into_iter()
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').map(|(key, value)| (key.to_owned(), Value::from(value))))
        .collect()
}

/// Expands a leading `~` and every `$NAME` or `${NAME}` that the environment knows, as Python's os.path does.
fn expand(path: &str) -> String {
    let path = expand_variables(path);
    match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
            format!("{}{rest}", home.trim_end_matches('/'))
        }
        _ => path,
    }
}

fn expand_variables(path: &str) -> String {
    let mut expanded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, tail) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(parts) => parts,
            None => after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len())),
        };
        if let Ok(value) = std::env::var(name) {
            expanded.push_str(&value);
            rest = tail;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

/// `value` as Python's str prints it, near enough for a log.
pub fn python_text(value: &Value) -> String {
    value.as_str().map_or_else(|| python_repr(value), str::to_owned)
}

/// `value` as Python's repr prints it, but for what it escapes: the last pass must find a secret in it as it is.
fn python_repr(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Value::String(text) => format!("'{text}'"),
        Value::Null => "None".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(python_repr).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(key, value)| format!("'{key}': {}", python_repr(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        scalar => text(scalar).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(Kind::Str, json!(5), json!("5"))]
    #[case(Kind::Str, json!(true), json!("True"))]
    #[case(Kind::Str, json!(1.5), json!("1.5"))]
    #[case(Kind::Int, json!(" 5 "), json!(5))]
    #[case(Kind::Int, json!("1_000"), json!(1000))]
    #[case(Kind::Int, json!("1e3"), json!(1000))]
    #[case(Kind::Int, json!(2.0), json!(2))]
    #[case(Kind::Int, json!(true), json!(1))]
    #[case(Kind::Float, json!("2"), json!(2.0))]
    #[case(Kind::Float, json!(2), json!(2.0))]
    #[case(Kind::Bool, json!("Yes"), json!(true))]
    #[case(Kind::Bool, json!("oFF"), json!(false))]
    #[case(Kind::Bool, json!(1), json!(true))]
    #[case(Kind::Bool, json!(0.0), json!(false))]
    #[case(Kind::Bool, json!(-0.0), json!(false))]
    #[case(Kind::Dict, json!({"a": 1}), json!({"a": 1}))]
    #[case(Kind::Dict, json!("{\"a\": \"b\"}"), json!({"a": "b"}))]
    #[case(Kind::Dict, json!("{'a': 'b'}"), json!({"a": "b"}))]
    #[case(Kind::Dict, json!("a=b, c=\"d e\" f=g\\ h"), json!({"a": "b", "c": "d e", "f": "g h"}))]
    #[case(Kind::Path, json!("/a/$NO_SUCH_VARIABLE/b"), json!("/a/$NO_SUCH_VARIABLE/b"))]
    fn converts_as_ansible_does(#[case] kind: Kind, #[case] value: Value, #[case] expected: Value) {
        assert_eq!(coerce(kind, &value), Ok(expected));
    }

    #[rstest]
    #[case(Kind::Int, json!("abc"), "\"'abc'\" cannot be converted to an int")]
    #[case(Kind::Int, json!(1.5), "\"1.5\" cannot be converted to an int")]
    #[case(Kind::Int, json!("99999999999999999999"), "\"'99999999999999999999'\" cannot be converted to an int")]
    #[case(Kind::Int, json!([1]), "\"[1]\" cannot be converted to an int")]
    #[case(Kind::Float, json!("x"), "<class 'str'> cannot be converted to a float")]
    #[case(Kind::Float, json!("nan"), "'nan' cannot be converted to a float")]
    #[case(Kind::Bool, json!([]), "<class 'list'> cannot be converted to a bool")]
    #[case(Kind::Dict, json!("abc"), "dictionary requested, could not parse JSON or key=value")]
    #[case(Kind::Dict, json!("a=b c"), "unable to evaluate string in the \"key=value\" format as dictionary")]
    #[case(Kind::Dict, json!([1]), "<class 'list'> cannot be converted to a dict")]
    #[case(Kind::Dict, json!("{x"), "unable to evaluate string as dictionary")]
    #[case(Kind::Str, json!(["a"]), "'['a']' is not a string and conversion is not allowed")]
    #[case(Kind::Path, json!({}), "'{}' is not a string and conversion is not allowed")]
    #[case(Kind::Int, json!("it's"), "\"\"it's\"\" cannot be converted to an int")]
    #[case(Kind::Float, json!("1__0"), "<class 'str'> cannot be converted to a float")]
    #[case(Kind::Bool, json!(2), "The value '2' is not a valid boolean. Valid booleans include: 'y', 'yes', 'on', '1', \
        'true', 't', 1, 'n', 'no', 'off', '0', 'false', 'f', 0")]
    fn refuses_as_ansible_does(#[case] kind: Kind, #[case] value: Value, #[case] message: &str) {
        assert_eq!(coerce(kind, &value), Err(message.to_owned()));
    }

    #[test]
    fn a_path_knows_home_and_variables() {
        let home = std::env::var("HOME").unwrap();
        assert_eq!(coerce(Kind::Path, &json!("~/x")), Ok(json!(format!("{home}/x"))));
        assert_eq!(coerce(Kind::Path, &json!("${HOME}/x/$HOME")), Ok(json!(format!("{home}/x/{home}"))));
        assert_eq!(coerce(Kind::Path, &json!("/a~b/~")), Ok(json!("/a~b/~")));
    }
}
