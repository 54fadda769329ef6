//! What holds for every answer of the module, whatever it was asked.

use serde_json::{Value, json};

/// The result that the module printed as `line` and exited for with `code`; or what is wrong with it.
pub fn checked(code: u8, line: &str) -> Result<Value, String> {
    if !line.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err(format!("not one line of ASCII: {line}"));
    }
    let Ok(result @ Value::Object(_)) = serde_json::from_str::<Value>(line) else {
        return Err(format!("no JSON object: {line}"));
    };
    if code != u8::from(result.get("failed") == Some(&json!(true))) {
        return Err(format!("exit code {code}: {line}"));
    }
    if result.get("error") == Some(&json!("internal")) {
        return Err(format!("a defect: {line}"));
    }
    if !result["changed"].is_boolean() || !result["msg"].is_string() {
        return Err(format!("no `changed` or no `msg`: {line}"));
    }
    Ok(result)
}

/// `value` without the fields that are one of `empty`: the docker command sends many that others leave out.
pub fn without_empty(value: &Value, empty: &Value) -> Value {
    let is_empty = |value: &Value| empty.as_array().unwrap().contains(value);
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), without_empty(value, empty)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        Value::Array(items) => items.iter().map(|item| without_empty(item, empty)).collect(),
        other => other.clone(),
    }
}

/// Whether a text or a key of `result` has `secret` in it; the line itself may have it by chance, as in `\u0012`.
pub fn shows(value: &Value, secret: &str) -> bool {
    match value {
        Value::String(text) => text.contains(secret),
        Value::Array(items) => items.iter().any(|item| shows(item, secret)),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains(secret) || shows(value, secret)),
        _ => false,
    }
}
