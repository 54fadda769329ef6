//! Tasks in a row, as a person runs them who wants to be sure.

use std::thread;

use serde_json::{Value, json};

use super::{Module, Proxy, Reply, Scanner};

/// What check mode says of a run that succeeds, of the task and of each of its `scanners`.
const FORETOLD: &[&str] = &["changed", "actions", "differences", "diff", "warnings"];
/// What check mode says of a run that is refused.
const FORETOLD_REFUSAL: &[&str] = &["failed", "error", "msg", "changed", "warnings"];

/// The block of four by which community.docker tests itself: check, real, again, again in check. The real run changes
/// something, check mode says what and writes nothing, and then there is nothing left to do. Returns the real run's reply.
#[track_caller]
pub fn four_tasks(scanner: &Scanner, task: impl Fn() -> Module) -> Reply {
    let reply = foretold(scanner, &task).changed();
    let after = scanner.everything();
    let proxy = Proxy::new(scanner.engine);
    let again = || task().through(&proxy).diff();
    for idle in [again().once(), again().check().run()] {
        let idle = idle.unchanged();
        assert_eq!(idle["differences"], serde_json::json!([]), "{idle:#?}");
        assert_eq!(idle["diff"]["before"], idle["diff"]["after"], "{idle:#?}");
    }
    assert_eq!(proxy.writes(), []);
    assert_eq!(scanner.everything(), after);
    reply
}

/// The first two of the four: a real run does just what check mode says, and check mode writes nothing.
#[track_caller]
pub fn foretold(scanner: &Scanner, task: impl Fn() -> Module) -> Reply {
    let proxy = Proxy::new(scanner.engine);
    let check = untouched(scanner, || task().through(&proxy).check().diff().run());
    assert_eq!(proxy.writes(), []);
    let real = task().diff().once();
    assert_foretold(&check, &real);
    real
}

/// Asserts that a `real` run did what check mode said: the same actions for the same differences, or the same refusal. How far
/// a run came that failed on its way is all the same.
#[track_caller]
pub fn assert_foretold(check: &Reply, real: &Reply) {
    let is_refused = real.failed() && real["rolled_back"].is_null();
    let keys = match (is_refused || check.failed(), real.failed()) {
        (true, _) => FORETOLD_REFUSAL,
        (false, true) => &[],
        (false, false) => FORETOLD,
    };
    let task = (&real.result, &check.result);
    let entries = |reply: &Reply| reply["results"].as_array().cloned().unwrap_or_default();
    let (reals, checks) = (entries(real), entries(check));
    for (real_part, check_part) in std::iter::once(task).chain(reals.iter().zip(&checks)) {
        for key in keys {
            // Which image comes, and so whether it is another one, is known only when it is there.
            let mut parts = [real_part, check_part].map(|part| known(part, key, fetches(check_part)));
            if parts[0].as_str().is_some_and(|it| it.contains(CONTAINERDS_WORDS)) {
                parts = parts.map(|part| frame(&part));
            }
            assert_eq!(parts[0], parts[1], "{key} is not as foretold\nforetold: {check:#?}\nreal: {real:#?}");
        }
    }
}

/// How an engine with containerd's store tells of a pull that failed; of the question to the registry it tells in others.
const CONTAINERDS_WORDS: &str = "failed to resolve reference";

/// A message without the engine's own words in its middle.
fn frame(message: &Value) -> Value {
    let text = message.as_str().unwrap();
    json!([text.split_once(": ").map(|it| it.0), text.rsplit_once("; ").map(|it| it.1)])
}

fn fetches(check: &Value) -> bool {
    let is_fetched = |action: &Value| action == "pull_image" || action == "load_image";
    check["actions"].as_array().is_some_and(|actions| actions.iter().any(is_fetched))
}

/// What of `key` check mode can know when an image `is_fetched`, or not.
fn known(part: &Value, key: &str, is_fetched: bool) -> Value {
    match (key, &part[key]) {
        ("differences", Value::Array(all)) if is_fetched => {
            all.iter().filter(|difference| difference["field"] != "image").cloned().collect()
        }
        ("diff", _) if is_fetched => Value::Null,
        // The messages of a task say what is done or would be; those of an entry do even where the task is refused.
        ("msg", _) if part["failed"] != true => Value::Null,
        // Where the image cannot be had, check mode does not come to what it says of a rootless engine.
        ("warnings", Value::Array(all)) if part["error"] == "image_not_found" => {
            let is_of_engine = |it: &&Value| it.as_str().is_some_and(|it| it.starts_with("the engine runs rootless"));
            let rest: Vec<_> = all.iter().filter(|it| !is_of_engine(it)).collect();
            if rest.is_empty() { Value::Null } else { json!(rest) }
        }
        (_, value) => value.clone(),
    }
}

/// Runs something that must change nothing about the scanner.
#[track_caller]
pub fn untouched(scanner: &Scanner, run: impl FnOnce() -> Reply) -> Reply {
    let before = scanner.everything();
    let reply = run();
    assert_eq!(scanner.everything(), before, "{reply:#?}");
    reply
}

/// Runs all of them at the same time; returns the replies in order.
pub fn at_once<T: Send>(inputs: Vec<T>, run: impl Fn(T) -> Reply + Sync) -> Vec<Reply> {
    let run = &run;
    thread::scope(|scope| {
        let threads: Vec<_> = inputs.into_iter().map(|input| scope.spawn(move || run(input))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
