//! Whatever stands in the arguments file and whatever the engine answers: one line of valid JSON, exit code 0 or 1, no
//! secret in it, and never the word `internal`.
//!
//! `PROPTEST_CASES=1000000 cargo test --test it fuzz` runs for long. The module runs in this process, so that a case takes a
//! few milliseconds; needs no engine.

mod damage;
mod tasks;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use qcss_scanner::ansible::json;
use qcss_scanner::ansible::module;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::damage::{answers, damage};
use self::tasks::{task, task_for_engine};
use crate::support::{FakeEngine, checked, shows};

/// No case may take longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Every secret of a generated task begins with it, and nothing else has it.
const CANARY: &str = "canary";
/// Where no engine listens.
const NOBODY: &str = "unix:///nonexistent/docker.sock";

/// `count` of them, unless the environment says otherwise.
pub fn cases(count: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(count);
    // What is left aside is a part of all, however many there are.
    let max_global_rejects = cases;
    ProptestConfig { cases, max_global_rejects, failure_persistence: None, ..ProptestConfig::default() }
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
