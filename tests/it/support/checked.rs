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

/// Whether a text or a key of `result` has `secret` in it; the line itself may have it by chance, as in `\u0012`.
pub fn shows(value: &Value, secret: &str) -> bool {
    match value {
        Value::String(text) => text.contains(secret),
        Value::Array(items) => items.iter().any(|item| shows(item, secret)),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains(secret) || shows(value, secret)),
        _ => false,
    }
}
