//! Whatever stands in the arguments file and whatever the engine answers: one line of valid JSON, exit code 0 or 1, no
//! secret in it, and never the word `internal`.
//!
//! `PROPTEST_CASES=1000000 cargo test --test it fuzz` runs for long. The module runs in this process, so that a case takes a
//! few milliseconds; needs no engine.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use qcss_scanner::module;
use qcss_scanner::protocol::json;
use qcss_scanner::protocol::options::OPTIONS;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::support::{ANSWERS, Answer, FakeEngine, checked, healthy, healthy_status, kind};

/// No case may take longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Every secret of a generated task begins with it, and nothing else has it.
const CANARY: &str = "canary";
/// Where no engine listens.
const NOBODY: &str = "unix:///nonexistent/docker.sock";

/// `count` of them, unless the environment says otherwise.
pub fn cases(count: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(count);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// One for each test, which runs in a thread of its own.
fn args_file() -> PathBuf {
    thread_local!(static DIRECTORY: TempDir = tempfile::tempdir().unwrap());
    DIRECTORY.with(|directory| directory.path().join("args"))
}

/// Answers the arguments file `bytes` and checks what holds for every answer.
fn answer(path: &Path, bytes: &[u8], secrets: &[&str]) -> Result<Value, TestCaseError> {
    fs::write(path, bytes).unwrap();
    let (sender, receiver) = mpsc::channel();
    // A thread of its own: secrets are remembered by thread, and one case must not hide for another.
    let file = path.to_owned();
    thread::spawn(move || {
        let reply = module::answer(&file);
        let _ = sender.send((reply.exit_code(), reply.into_line()));
    });
    let answered = receiver.recv_timeout(DEADLINE);
    // The module silences panics, which a failing test needs.
    drop(std::panic::take_hook());
    let Ok((code, line)) = answered else {
        return Err(TestCaseError::fail(format!("no answer: {}", String::from_utf8_lossy(bytes))));
    };
    let result = checked(code, &line).map_err(TestCaseError::fail)?;
    for secret in secrets {
        prop_assert!(!shows(&result, secret), "the secret {secret} is shown: {line}");
    }
    Ok(result)
}

fn shows(value: &Value, secret: &str) -> bool {
    match value {
        Value::String(text) => text.contains(secret),
        Value::Array(items) => items.iter().any(|item| shows(item, secret)),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains(secret) || shows(value, secret)),
        _ => false,
    }
}

/// Texts that someone may write, or should not.
fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "0",
        "-1",
        "1",
        "25%",
        "1024M",
        "1.5g",
        "1e3",
        "99999999999999999999",
        "unlimited",
        "US2",
        "no",
        "yes",
        "started",
        "absent",
        "always",
        "never",
        "qualys/qcsa:1",
        "6715167e4412",
        "https://host/path",
        "/",
        "/usr/qualys/",
        "~",
        "~/x",
        "$HOME/${HOME}/$",
        "../..",
        "a:b",
        "on-failure:3",
        "on-failure:",
        "user:pass@host:1",
        "@",
        "--rm",
        "\0",
        "\n",
        "\u{85}\u{2028}",
        "\u{fffd}",
        "😀",
        "NaN",
        "{'a': 'b'}",
        "a=b, c=\"d",
        "{",
        "id",
        "0700",
        "448",
        "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER",
        "********",
        "unix://",
        "unix:///nonexistent",
        "tcp://1.2.3.4:1",
    ];
    prop_oneof![
        8 => select(odd.to_vec()).prop_map(str::to_owned),
        2 => "\\PC{0,12}",
        1 => any::<String>(),
        1 => "[a-z]".prop_map(|letter| letter.repeat(10_000)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        2 => (-5..500_i64).prop_map(Value::from),
        2 => any::<f64>().prop_map(Value::from),
        6 => text().prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["id", "status", "error", "way", "field", "A", "QUALYS_URL", "A=B", "", "actions", "category"])
            .prop_map(str::to_owned),
        text(),
    ]
}

/// Something secret, in any shape.
fn secret() -> impl Strategy<Value = Value> {
    let text = text().prop_map(|text| format!("{CANARY}{text}"));
    let code = "[A-Za-z0-9_-]{1,20}".prop_map(|text| format!("{CANARY}{text}"));
    let proxy = "[a-z]{1,5}".prop_map(|text| format!("{CANARY}:{CANARY}{text}@host:1"));
    let scalar = prop_oneof![text, code, proxy].prop_map(Value::from);
    prop_oneof![
        6 => scalar.clone(),
        1 => vec(scalar.clone(), 0..3).prop_map(Value::from),
        3 => vec(("[A-Z]{1,3}", scalar.clone()), 0..4).prop_map(|it| Value::Object(it.into_iter().collect())),
        1 => vec(("[A-Z]{1,3}", scalar), 0..4).prop_map(|it| {
            let fields: Vec<_> = it.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
            Value::from(fields.join(", "))
        }),
        1 => value(),
    ]
}

/// One that gets further than the first check.
fn plausible(option: &'static str) -> BoxedStrategy<Value> {
    let among = |values: &[Value]| select(values.to_vec()).boxed();
    match option {
        "name" => among(&[json!("scanner-1"), json!("ab"), json!(12), json!("x.qcss-new")]),
        "personalization_code" => "canary[A-Za-z0-9_-]{1,20}".prop_map(Value::from).boxed(),
        "qualys_url" => among(&[json!("US2"), json!("https://host/")]),
        "image" => among(&[json!("qualys/qcsa"), json!("6715167e4412"), json!("registry:5000/a/b@sha256:12")]),
        "shared_dir" | "private_dir" | "ca_dir" => {
            among(&[json!("/nonexistent/a"), json!("/nonexistent/b/"), json!("~/c")])
        }
        "memory" | "memory_swap" => {
            among(&[json!("1g"), json!(0), json!("-1"), json!("6m"), json!(1e10), json!("25%")])
        }
        "cpus" => among(&[json!(1.5), json!("50%"), json!("0.01"), json!(1e308), json!(-0.0)]),
        "state" => among(&[json!("started"), json!("present"), json!("stopped"), json!("absent")]),
        "env" => vec(("[A-Z]{1,3}", "canary.{0,8}"), 0..3)
            .prop_map(|it| Value::Object(it.into_iter().map(|(key, value)| (key, Value::from(value))).collect()))
            .boxed(),
        "settle" | "timeout" | "stop_timeout" => {
            among(&[json!(0), json!("1"), json!(2.0), json!(86_400), json!(1e300)])
        }
        _ => value().boxed(),
    }
}

/// An option with a value as it should be or as it should not be.
fn option() -> impl Strategy<Value = (String, Value)> {
    select(OPTIONS.iter().filter(|option| option.name != "scanners").collect::<Vec<_>>()).prop_flat_map(|option| {
        let wild = if option.secret { secret().boxed() } else { value().boxed() };
        (Just(option.name.to_owned()), prop_oneof![2 => plausible(option.name), 1 => wild])
    })
}

/// Something that the module does not know, which may be a secret under a misspelt name.
fn unknown() -> impl Strategy<Value = (String, Value)> {
    ("[a-z]{1,12}", prop_oneof![secret(), value()])
}

/// A scanner's options; with name, code, URL and image for sure when `whole`.
fn scanner() -> impl Strategy<Value = Map<String, Value>> {
    let fields = prop_oneof![20 => option(), 1 => unknown()];
    let whole = select(vec![true, true, true, false]);
    (vec(fields, 0..12), whole, plausible("personalization_code"), any::<bool>()).prop_map(
        |(fields, whole, code, all)| {
            let mut scanner = Map::new();
            if whole {
                scanner.insert("name".to_owned(), json!("scanner-1"));
            }
            if whole && all {
                scanner.insert("personalization_code".to_owned(), code);
                scanner.insert("qualys_url".to_owned(), json!("US2"));
                scanner.insert("image".to_owned(), json!("qualys/qcsa"));
            }
            scanner.extend(fields);
            scanner
        },
    )
}

fn scanners() -> impl Strategy<Value = Value> {
    let as_text = scanner().prop_map(|it| Value::from(Value::Object(it).to_string()));
    let entry = prop_oneof![8 => scanner().prop_map(Value::Object), 1 => as_text, 1 => secret(), 1 => value()];
    prop_oneof![9 => vec(entry, 0..4).prop_map(Value::from), 1 => secret(), 1 => value()]
}

/// A task for one scanner or for several, with keys of Ansible's own.
fn task() -> impl Strategy<Value = Map<String, Value>> {
    let flag = (select(vec!["_ansible_check_mode", "_ansible_diff", "_ansible_no_log"]), value());
    let ansible = prop_oneof![
        flag.prop_map(|(key, value)| (key.to_owned(), value)),
        ("_ansible_[a-z_]{1,9}", value()),
        Just(("_ansible_module_name".to_owned(), json!("qcss_scanner_info"))),
    ];
    let several = prop_oneof![3 => Just(None), 1 => (scanners(), any::<bool>()).prop_map(Some)];
    (scanner(), vec(ansible, 0..3), several).prop_map(|(mut task, ansible, several)| {
        task.extend(ansible);
        if let Some((scanners, nameless)) = several {
            task.insert("scanners".to_owned(), scanners);
            if nameless {
                task.remove("name");
            }
        }
        let host = task.get("docker_host").and_then(Value::as_str);
        if host.is_none_or(|host| host.is_empty() || host.contains("docker.sock")) {
            task.insert("docker_host".to_owned(), json!(NOBODY));
        }
        task
    })
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn any_task_is_answered(task in task()) {
        answer(&args_file(), json!(task).to_string().as_bytes(), &[CANARY])?;
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..200)) {
        answer(&args_file(), &bytes, &[])?;
    }

    #[test]
    fn a_damaged_arguments_file_is_answered(
        task in task(),
        damages in vec((any::<Index>(), prop_oneof![
            Just(Vec::new()), vec(any::<u8>(), 1..4),
            select(vec!["NaN", "-Infinity", "\"\\udcff\"", "\\ud83d", "\"", "{", "]", "1e999", "0x", "\u{feff}", "\\u00"])
                .prop_map(|text| text.as_bytes().to_vec()),
        ], 0..3_usize), 1..4),
    ) {
        let mut bytes = json!(task).to_string().into_bytes();
        for (at, insert, remove) in damages {
            let at = at.index(bytes.len() + 1);
            let end = (at + remove).min(bytes.len());
            bytes.splice(at..end, insert);
        }
        // Nothing that could be meant for an engine of this machine.
        let host = json::parse(&bytes).ok().map(|task| task["docker_host"].as_str().unwrap_or_default().to_owned());
        prop_assume!(host.is_none_or(|host| host.contains("nonexistent")));
        answer(&args_file(), &bytes, &[])?;
    }
}

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
struct Damage {
    answer: &'static str,
    /// Which child to go down to, again and again; the last one is changed.
    path: Vec<Index>,
    change: Change,
    /// Afterwards.
    status: Option<u16>,
    cut_off_at: Option<Index>,
}

fn damage() -> impl Strategy<Value = Damage> {
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
fn answers(damages: &[Damage], left_over: bool) -> impl Fn(&str, &str) -> Answer + Send + 'static {
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

/// A task for the scanner that the healthy engine has.
fn task_for_engine() -> impl Strategy<Value = Value> {
    let base = select(vec![
        json!({}),
        json!({"personalization_code": "21808056913299", "qualys_url": "US1", "image": "qualys/qcsa:rich"}),
        json!({"personalization_code": "21808056913299", "qualys_url": "US1", "image": "qualys/qcsa:rich",
               "https_proxy": "u:proxy-password@proxy:3128", "env": {"MINE": "my-value"}, "memory": "512m",
               "memory_swap": -1, "cpus": 1.5, "network": "back", "ca_dir": "/"}),
        json!({"personalization_code": "21808056913299", "qualys_url": "US1", "image": "qualys/qcsa:rich",
               "memory": "1g", "cpus": 2, "restart_policy": "always", "labels": {"a": "1"}}),
    ]);
    let further = select(vec![
        json!({}),
        json!({"restart": true}),
        json!({"state": "stopped"}),
        json!({"state": "present"}),
        json!({"state": "absent"}),
        json!({"state": "absent", "purge": true}),
        json!({"recreate": "always"}),
        json!({"pull": "always"}),
    ]);
    let form = select(vec!["one", "one", "one", "list", "info"]);
    (base, further, prop_oneof![4 => Just(true), 1 => Just(false)], any::<bool>(), form).prop_map(
        |(mut task, further, check_mode, diff, form)| {
            let (task_fields, further) = (task.as_object_mut().unwrap(), further.as_object().unwrap().clone());
            let managed = task_fields.contains_key("image");
            task_fields.extend(
                further.into_iter().filter(|(key, _)| managed || !["recreate", "pull"].contains(&key.as_str())),
            );
            task["settle"] = json!(0);
            task["timeout"] = json!(5);
            task["name"] = json!("rich");
            match form {
                "info" => task = json!({"_ansible_module_name": "qcss_scanner_info"}),
                "list" => {
                    task.as_object_mut().unwrap().remove("name");
                    task["scanners"] = json!([{"name": "rich"}]);
                }
                _ => {}
            }
            task["_ansible_check_mode"] = json!(check_mode);
            task["_ansible_diff"] = json!(diff);
            task
        },
    )
}

#[test]
fn any_answer_of_an_engine_is_survived() {
    let engine = FakeEngine::new();
    let args = engine.directory().join("args");
    let managed = |mut task: Value| {
        task["docker_host"] = json!(engine.host());
        if task.get("image").is_some() {
            task["shared_dir"] = json!(engine.directory().join("shared"));
            task["private_dir"] = json!(engine.directory().join("private"));
        }
        task.to_string()
    };
    let secrets = ["21808056913299", "proxy-password", "my-value"];
    let passed = Cell::new(0);
    let strategy = (task_for_engine(), vec(damage(), 0..4), select(vec![false, false, false, true]));
    let mut runner = proptest::test_runner::TestRunner::new(cases(300));
    let outcome = runner.run(&strategy, |(task, damages, left_over)| {
        engine.answer(answers(&damages, left_over));
        let damaged = damages.iter().any(|damage| damage.answer == "container" || damage.answer == "list");
        // Where the damage hits the very place that makes it a secret, nobody can know it.
        let known = if damaged { &[] } else { &secrets[..] };
        let result = answer(&args, managed(task).as_bytes(), known)?;
        passed.set(passed.get() + u32::from(result.get("failed").is_none()));
        Ok(())
    });
    // The last word is a healthy engine's, which takes away the mark of whatever was left unfinished.
    engine.answer(answers(&[], false));
    answer(&args, managed(json!({"name": "rich", "state": "present"})).as_bytes(), &secrets).unwrap();
    outcome.unwrap();
    assert!(passed.get() > 0, "no case got through: the healthy answers are not");
}
