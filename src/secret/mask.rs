//! The last pass over the output: masks every secret in every value.
//!
//! As `AnsibleModule` does it: a text equal to a secret is replaced as a whole, a part of a text by asterisks, the longest
//! secret first. Keys are never masked, and neither are values that this program or the engine makes (ids, times, stable
//! words): a code like `a` or `0` must not change them. Such short secrets are masked only where they stand alone.

use serde_json::Value;

use super::{HIDDEN, MASK};

/// Below this length a secret is masked only between characters that are no letters or digits.
const SHORT: usize = 4;

/// Keys whose values are fixed words of this program, or ids and times of the engine.
const NEVER_MASKED: &[&str] =
    &["action", "actions", "category", "error", "exit_code", "field", "id", "image_id", "started_at", "status", "way"];

/// Keys below which everything comes from a user, the keys too: a label may be called `id` and hold the code.
const FROM_USERS: &[&str] = &["after", "before", "module_args"];

/// All secrets of a run, the longest first.
#[derive(Debug)]
pub struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    /// A mask for `secrets`.
    pub fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        secrets.dedup();
        Self { secrets }
    }

    /// Masks every text below `value`.
    pub fn clean(&self, value: &mut Value) {
        self.clean_below(value, NEVER_MASKED);
    }

    fn clean_below(&self, value: &mut Value, never_masked: &[&str]) {
        match value {
            Value::String(text) => *text = self.clean_text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_below(item, never_masked)),
            Value::Object(map) => {
                for (key, value) in map.iter_mut().filter(|(key, _)| !never_masked.contains(&key.as_str())) {
                    self.clean_below(value, if FROM_USERS.contains(&key.as_str()) { &[] } else { never_masked });
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// `text` without any secret.
    pub fn clean_text(&self, text: &str) -> String {
        if text == HIDDEN {
            return text.to_owned();
        }
        if self.secrets.iter().any(|secret| secret == text) {
            return HIDDEN.to_owned();
        }
        self.secrets.iter().fold(text.to_owned(), |text, secret| mask(text, secret))
    }
}

/// Replaces `secret` in `text`; a short one only where it stands alone.
fn mask(text: String, secret: &str) -> String {
    if !holds(&text, secret) {
        return text;
    }
    if secret.len() >= SHORT {
        return text.replace(secret, MASK);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once(secret) {
        let joined = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let previous = before.chars().next_back().or_else(|| masked.chars().next_back());
        masked.push_str(before);
        masked.push_str(if joined(previous) || joined(after.chars().next()) { secret } else { MASK });
        rest = after;
    }
    masked.push_str(rest);
    masked
}

/// Like `str::contains`, which prepares more for a search than these short texts take: with many scanners in a task there
/// are as many secrets, and each is looked for in everything that is said of each.
fn holds(text: &str, secret: &str) -> bool {
    let (text, secret) = (text.as_bytes(), secret.as_bytes());
    text.windows(secret.len()).any(|part| part.first() == secret.first() && part == secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn mask(secrets: &[&str]) -> Mask {
        Mask::new(secrets.iter().map(|&secret| secret.to_owned()).collect())
    }

    #[rstest]
    #[case(&["canary"], "/private/canary/x", "/private/********/x")]
    #[case(&["canary"], "canary", HIDDEN)]
    #[case(&["can", "canary"], "a canary can sing", "a ******** ******** sing")]
    #[case(&["a"], "a=a, started a scanner", "********=********, started ******** scanner")]
    #[case(&["0"], "1024 0 10.0.0.1", "1024 ******** 10.********.********.1")]
    #[case(&["aa"], "aaa aa aaaa", "aaa ******** aaaa")]
    #[case(&["true"], "structured true", "structured ********")]
    #[case(&[""], "text", "text")]
    #[case(&["ä"], "xäx ä", "xäx ********")]
    fn masks(#[case] secrets: &[&str], #[case] text: &str, #[case] expected: &str) {
        assert_eq!(mask(secrets).clean_text(text), expected);
    }

    #[test]
    fn keys_numbers_and_fixed_words_stay() {
        let mut value = json!({
            "name": "name", "changed": true, "error": "name", "actions": ["name"],
            "container": {"id": "name", "exit_code": 0}, "list": ["x name y"],
        });
        mask(&["name", "0", "true"]).clean(&mut value);
        assert_eq!(
            value,
            json!({
                "name": HIDDEN, "changed": true, "error": "name", "actions": ["name"],
                "container": {"id": "name", "exit_code": 0}, "list": ["x ******** y"],
            })
        );
    }

    #[test]
    fn a_users_own_key_protects_no_secret() {
        let labels = json!({"id": "canary", "status": ["x canary"]});
        let mut value = json!({
            "differences": [{"field": "canary", "before": labels, "after": {"way": "canary"}, "way": "replace"}],
            "invocation": {"module_args": {"labels": labels, "state": "started"}},
        });
        mask(&["canary", "started"]).clean(&mut value);
        let cleaned = json!({"id": HIDDEN, "status": ["x ********"]});
        assert_eq!(
            value,
            json!({
                "differences": [{"field": "canary", "before": cleaned, "after": {"way": HIDDEN}, "way": "replace"}],
                "invocation": {"module_args": {"labels": cleaned, "state": HIDDEN}},
            })
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_of_a_long_secret_survives(before in "[a-z ]{0,9}", secret in "[A-Z0-9]{4,20}", after in "[a-z ]{0,9}") {
            let text = mask(&[&secret]).clean_text(&format!("{before}{secret}{after}"));
            proptest::prop_assert!(!text.contains(&secret) || text == HIDDEN, "{}", text);
        }
    }
}
