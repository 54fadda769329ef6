//! Answers of an engine, damaged.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::tasks::value;
use crate::support::{ANSWERS, Answer, healthy, healthy_status, kind};

/// What happens to one place of an answer.
#[derive(Debug, Clone)]
enum Change {
    Remove,
    Replace(Value),
    Deep(usize),
    Long(usize),
}

/// What happens to the answers to one kind of request.
#[derive(Debug, Clone)]
pub struct Damage {
    pub answer: &'static str,
    /// Which child to go down to, again and again; the last one is changed.
    path: Vec<Index>,
    change: Change,
    /// Afterwards.
    status: Option<u16>,
    cut_off_at: Option<Index>,
}

pub fn damage() -> impl Strategy<Value = Damage> {
    let odd = prop_oneof![
        value(),
        select(vec![json!(i64::MAX), json!(i64::MIN), json!(u64::MAX), json!(-1), json!(1e308), json!(0.5), json!("")]),
        select(vec![
            "2026-11-22T99999999999999999999:00:00Z",
            "9999-12-31T18446744073709551615:59:59Z",
            "0000-00-00T::Z",
            "2026-01-01T00:00:1e19Z",
            "2026-01-01T00:00:00+999999999999999999:00",
            "/",
            ":::",
            "sha256:",
            "=",
            "==x",
            "on-failure",
            "restarting",
            "paused",
            "removing",
            "dead",
            "/usr/local/qualys/admin/etc"
        ])
        .prop_map(Value::from),
    ];
    let change = prop_oneof![
        3 => Just(Change::Remove),
        6 => odd.prop_map(Change::Replace),
        1 => (1..400_usize).prop_map(Change::Deep),
        1 => (1..200_000_usize).prop_map(Change::Long),
    ];
    let statuses = vec![200, 201, 204, 301, 304, 400, 401, 403, 404, 409, 418, 500, 503];
    (
        prop_oneof![4 => Just("container"), 3 => select(ANSWERS.to_vec())],
        vec(any::<Index>(), 0..5),
        change,
        prop_oneof![9 => Just(None), 1 => select(statuses).prop_map(Some)],
        prop_oneof![19 => Just(None), 1 => any::<Index>().prop_map(Some)],
    )
        .prop_map(|(answer, path, change, status, cut_off_at)| Damage { answer, path, change, status, cut_off_at })
}

impl Damage {
    fn apply(&self, value: &mut Value) {
        self.apply_at(value, &self.path);
    }

    fn apply_at(&self, value: &mut Value, path: &[Index]) {
        let remove = path.len() == 1 && matches!(self.change, Change::Remove);
        match (value, path) {
            (Value::Array(items), [index, deeper @ ..]) if !items.is_empty() => {
                let at = index.index(items.len());
                if remove {
                    items.remove(at);
                } else {
                    self.apply_at(&mut items[at], deeper);
                }
            }
            (Value::Object(fields), [index, deeper @ ..]) if !fields.is_empty() => {
                let key = fields.keys().nth(index.index(fields.len())).unwrap().clone();
                if remove {
                    fields.remove(&key);
                } else {
                    self.apply_at(&mut fields[&key], deeper);
                }
            }
            (value, _) => *value = self.change.result(),
        }
    }
}

impl Change {
    fn result(&self) -> Value {
        match self {
            Self::Remove => Value::Null,
            Self::Replace(value) => value.clone(),
            Self::Deep(depth) => (0..*depth).fold(Value::Null, |inner, _| json!([inner])),
            Self::Long(length) => json!("x".repeat(*length)),
        }
    }
}

/// The engine's answers with all `damages`; containers that a replacement would leave are there when `left_over`.
pub fn answers(damages: &[Damage], left_over: bool) -> impl Fn(&str, &str) -> Answer + Send + 'static {
    let bodies: Vec<(&str, Answer)> = ANSWERS
        .iter()
        .map(|answer| {
            let (mut value, mut status, mut cut_off_at) = (healthy(answer), None, None);
            for damage in damages.iter().filter(|damage| damage.answer == *answer) {
                damage.apply(&mut value);
                status = status.or(damage.status);
                cut_off_at = cut_off_at.or(damage.cut_off_at);
            }
            let mut body = value.to_string().into_bytes();
            if let Some(at) = cut_off_at {
                body.truncate(at.index(body.len() + 1));
            }
            (*answer, (status.unwrap_or_else(|| healthy_status(answer)), body))
        })
        .collect();
    move |method, path| {
        if !left_over && (path.contains(".qcss-new") || path.contains(".qcss-old")) {
            return (404, br#"{"message": "No such container"}"#.to_vec());
        }
        let kind = kind(method, path);
        bodies.iter().find(|(answer, _)| *answer == kind).unwrap().1.clone()
    }
}
