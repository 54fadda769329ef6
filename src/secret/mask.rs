//! The last pass over the output: masks every secret in every text, however it is written there.
//!
//! A secret is found in other case, percent-encoded or -decoded, escaped or quoted as JSON, Python or a shell do it, with a
//! terminal's sequences or line ends inside ([`super::view`]), and a password in a URL by its place alone ([`super::url`]). What was
//! found is one set of ranges of the text, so that secrets which overlap leave nothing of each other. As `AnsibleModule` has it,
//! a text that is a secret as a whole is replaced by [`HIDDEN`], a part of a text by [`MASK`].
//!
//! Never masked: numbers and truth values, names of scanners, this program's own keys and the fixed words that stand there. A secret that is
//! such a word, or has fewer than four characters, is masked only where it is a whole value.

use std::collections::HashSet;
use std::ops::Range;

use serde_json::{Map, Value};

use super::forms::{Forms, SHORTEST};
use super::view::{View, is_plain, printable, views};
use super::words::is_word;
use super::{HIDDEN, MASK, url};

/// Keys of this program whose values are fixed words, names of scanners, or ids and times of the engine.
const FIXED: &[&str] = &[
    "action",
    "actions",
    "after_header",
    "before_header",
    "category",
    "error",
    "exit_code",
    "field",
    "id",
    "image_id",
    "name",
    "started_at",
    "status",
    "way",
];

/// Options whose values are fixed words.
const CHOICES: &[&str] = &["overcommit", "pull", "recreate", "restart_policy", "state"];

/// The most characters of a message; the rest is left out.
const LONGEST_MESSAGE: usize = 8 << 10;

/// The most bytes of any text. To look for secrets takes many times as much memory.
const LONGEST_TEXT: usize = 64 << 10;

/// All secrets of a run.
#[derive(Debug)]
pub struct Mask {
    forms: Forms,
    /// In lower case, those that are masked only as whole values.
    whole: HashSet<String>,
}

/// Whose keys are below a value.
#[derive(Clone, Copy, PartialEq)]
enum Keys {
    /// This program's, as in the result.
    Ours,
    /// The options of the task.
    Options,
    /// A user's, as of labels.
    Users,
}

impl Mask {
    /// A mask for `secrets`; `names` are those of scanners, which are seen everywhere.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>, names: &HashSet<String>) -> Self {
        let (mut forms, mut whole) = (Vec::new(), HashSet::new());
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            let is_name = || names.iter().any(|name| name.eq_ignore_ascii_case(secret));
            if secret.chars().count() < SHORTEST || is_word(secret) || is_name() {
                whole.insert(secret.to_lowercase());
                continue;
            }
            for view in views(secret) {
                if view.bytes.contains(&b' ') {
                    // A form of the web has a plus there.
                    forms.push(view.bytes.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect());
                }
                forms.push(view.bytes);
            }
        }
        Self { forms: Forms::new(forms), whole }
    }

    /// Masks every text below `reply`, its keys where users give them, and takes out of messages what would move a terminal's
    /// cursor.
    pub fn clean(&self, reply: &mut Map<String, Value>) {
        self.clean_map(reply, Keys::Ours);
    }

    fn clean_value(&self, value: &mut Value, keys: Keys) {
        match value {
            Value::String(text) => {
                if text.len() > LONGEST_TEXT {
                    *text = self.beginning(text);
                } else if let Some(masked) = self.masked(text) {
                    *text = masked;
                }
                if keys == Keys::Ours && text.chars().any(|c| c.is_control() && c != '\n') {
                    *text = printable(text);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.clean_value(item, keys)),
            Value::Object(map) => self.clean_map(map, keys),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn clean_map(&self, map: &mut Map<String, Value>, keys: Keys) {
        // A difference; what it is about may be a word of this program (a state) or a user's (a label).
        let of_user = map.get("field").map(|field| ["labels", "env"].iter().any(|users| field == users));
        for (key, value) in map.iter_mut().filter(|(key, value)| !is_exempt(key, value, keys)) {
            let below = match (keys, key.as_str()) {
                (Keys::Ours, "after" | "before") if of_user == Some(false) && value.as_str().is_some_and(is_word) => {
                    continue;
                }
                (Keys::Ours, "after" | "before") if of_user.is_some() => Keys::Users,
                (Keys::Ours, "module_args") | (Keys::Options, "scanners") => Keys::Options,
                (Keys::Ours, _) => Keys::Ours,
                (Keys::Options | Keys::Users, _) => Keys::Users,
            };
            self.clean_value(value, below);
            if keys == Keys::Ours && ["msg", "warnings"].contains(&key.as_str()) {
                shorten(value);
            }
        }
        if keys != Keys::Ours && map.keys().any(|key| self.masked(key).is_some()) {
            let entries = std::mem::take(map).into_iter();
            *map = entries.map(|(key, value)| (self.clean_text(&key), value)).collect();
        }
    }

    /// `text` without any secret.
    pub fn clean_text(&self, text: &str) -> String {
        self.masked(text).unwrap_or_else(|| text.to_owned())
    }

    /// The lines of a log without any secret, whole or cut: the first line may begin in the middle of one, the last one end there,
    /// and one that is cut may go on in the next line.
    pub fn clean_log(&self, lines: &[String]) -> Vec<String> {
        let text = lines.join("\n");
        let mut found = self.found(&text);
        let view = View::shown(&text);
        found.extend(self.cut_at_end(&view));
        let from_end: Vec<_> = view.bytes.iter().rev().copied().collect();
        if let Some(cut) = self.forms.reversed().cut_at_end(&from_end) {
            found.extend(view.origin(0..cut));
        }
        let masked = replace(&text, found).unwrap_or(text);
        masked.lines().map(printable).filter(|line| !line.is_empty()).collect()
    }

    /// As much of a long text as is shown, without any secret, nor the half of one where it is cut.
    fn beginning(&self, text: &str) -> String {
        let end = (0..=LONGEST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let (shown, rest) = text.split_at(end);
        let mut found = self.found(shown);
        found.extend(self.cut_at_end(&View::shown(shown)));
        let masked = replace(shown, found).unwrap_or_else(|| shown.to_owned());
        format!("{masked}… ({} more bytes)", rest.len())
    }

    /// Where the last characters are the beginning of a secret.
    fn cut_at_end(&self, view: &View) -> Option<Range<usize>> {
        let length = view.bytes.len();
        view.origin(length - self.forms.cut_at_end(&view.bytes)?..length)
    }

    /// `text` without any secret; `None`: there is none in it.
    fn masked(&self, text: &str) -> Option<String> {
        if text.is_empty() || text == HIDDEN || text == MASK {
            return None;
        }
        if text.len() < 64 && self.whole.contains(&text.trim().to_lowercase()) {
            return Some(HIDDEN.to_owned());
        }
        replace(text, self.found(text))
    }

    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = url::passwords(text);
        if is_plain(text) {
            // Nearly every text is, and then each byte is where it comes from.
            found.extend(self.secrets(text.to_ascii_lowercase().as_bytes()));
            return found;
        }
        for view in views(text) {
            found.extend(self.secrets(&view.bytes).filter_map(|range| view.origin(range)));
        }
        found
    }

    /// Where secrets are in `bytes`, which are in lower case.
    fn secrets<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        let at = |start: usize| Some(start..start + self.forms.longest_at(bytes.get(start..)?)?);
        (0..bytes.len()).filter_map(at)
    }
}

/// Whether what stands at `key` is never masked.
fn is_exempt(key: &str, value: &Value, keys: Keys) -> bool {
    match (keys, value) {
        (Keys::Ours, Value::String(_)) => FIXED.contains(&key),
        (Keys::Ours, Value::Array(items)) => FIXED.contains(&key) && items.iter().all(Value::is_string),
        (Keys::Options, Value::String(text)) if key == "name" => is_name(text),
        (Keys::Options, Value::String(text)) => CHOICES.contains(&key) && (is_word(text) || text == "no"),
        _ => false,
    }
}

/// What is no name of a container may be anything.
fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// `text` with the union of `ranges` masked; `None` where there are none.
fn replace(text: &str, mut ranges: Vec<Range<usize>>) -> Option<String> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut union: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match union.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => union.push(range),
        }
    }
    if union.first()? == &(0..text.len()) {
        return Some(HIDDEN.to_owned());
    }
    let mut masked = String::with_capacity(text.len());
    let mut end = 0;
    for range in union {
        masked.push_str(text.get(end..range.start).unwrap_or_default());
        masked.push_str(MASK);
        end = range.end;
    }
    masked.push_str(text.get(end..).unwrap_or_default());
    Some(masked)
}

/// Bounds the length of the messages in `value`.
fn shorten(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
                let (shown, rest) = text.split_at(end);
                *text = format!("{shown}… ({} more characters)", rest.chars().count());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
    }
}

#[cfg(test)]
mod tests;
