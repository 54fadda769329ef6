//! Many runs at once: each of them sees a scanner that is whole, and one changes what one is enough for.

use std::thread;
use std::time::{Duration, Instant};

use qcss_scanner::host::lock::LockKey;
use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Engine, Events, Module, Scanner, at_once, eventually};

const MANY: usize = 10;

#[rstest]
#[case::create(json!({"state": "absent"}), json!({}))]
#[case::update(json!({"memory": "64M"}), json!({"memory": "96M"}))]
#[case::replace(json!({}), json!({"image": "qualys/qcsa:2"}))]
#[case::start(json!({"state": "stopped"}), json!({}))]
#[case::stop(json!({}), json!({"state": "stopped"}))]
#[case::remove(json!({}), json!({"state": "absent"}))]
fn of_many_equal_runs_one_changes(#[case] before: Value, #[case] wanted: Value) {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().args(quick()).args(before).run();
    let replies = at_once(vec![wanted; MANY], |wanted| scanner.module().args(quick()).args(wanted).disturbed().run());
    assert!(replies.iter().all(|reply| !reply.failed()), "{replies:#?}");
    assert_eq!(replies.iter().filter(|reply| reply["changed"] == true).count(), 1, "{replies:#?}");
    is_whole(&scanner);
}

#[test]
fn opposite_tasks_take_turns() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let events = Events::of(&engine);
    let scanner = Scanner::new(&engine);
    let tasks = [
        json!({}),
        json!({"state": "stopped"}),
        json!({"state": "absent"}),
        json!({"image": "qualys/qcsa:2"}),
        json!({"memory": "64M", "restart": true}),
        json!({"image": "qualys/qcsa:2", "recreate": "always", "state": "present", "restart_policy": "always"}),
    ];
    for _ in 0..2 {
        let tasks = tasks.iter().cycle().take(2 * tasks.len()).cloned().collect();
        let replies = at_once(tasks, |task| scanner.module().args(quick()).args(task).disturbed().run());
        assert!(replies.iter().all(|reply| !reply.failed()), "{replies:#?}");
        let recovered = replies.iter().filter(|reply| reply.actions().contains(&"recover"));
        assert_eq!(recovered.count(), 0, "someone saw a half-done state: {replies:#?}");
        is_whole(&scanner);
    }
    assert_eq!(events.doubled(), [""; 0]);
    scanner.module().args(quick()).run();
    scanner.module().args(quick()).run().unchanged();
}

#[test]
fn many_scanners_come_to_life_at_once() {
    let scanners: Vec<_> = (0..MANY).map(|_| Scanner::new(Engine::shared())).collect();
    let replies = at_once(scanners.iter().collect(), |scanner| scanner.module().args(quick()).run());
    for reply in replies {
        reply.changed();
    }
    scanners.iter().for_each(is_whole);
}

/// Each of them looks before any of them has made its container.
#[rstest]
#[case::code("personalization_code")]
#[case::directory("private_dir")]
fn of_many_who_claim_one_identity_one_gets_it(#[case] identity: &str) {
    let scanners: Vec<_> = (0..6).map(|_| Scanner::new(Engine::shared())).collect();
    let owner = Scanner::new(Engine::shared());
    let claimed = match identity {
        "private_dir" => json!({"private_dir": owner.private_dir(), "personalization_code": owner.code}),
        _ => json!({"personalization_code": owner.code}),
    };
    let replies = at_once(scanners.iter().collect(), |scanner| {
        scanner.module().args(quick()).args(claimed.clone()).disturbed().run()
    });
    let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| !reply.failed());
    assert_eq!(won.len(), 1, "{won:#?}");
    for reply in lost {
        reply.refused("already_in_use");
    }
}

/// What is added to a task, whether it is a whole one, and what it may do or predict.
type Look = (fn(Module) -> Module, bool, &'static [&'static [&'static str]]);

#[test]
fn nobody_sees_a_replacement_half_done() {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().args(quick()).run().changed();
    let replacing = scanner.module().args(quick()).arg("settle", 1.5).arg("image", "qualys/qcsa:2").start();
    let whole = |image: &str| scanner.module().args(quick()).arg("image", image);
    let looks: &[Look] = &[
        (|by_name| by_name, false, &[&[]]),
        (|by_name| by_name.arg("state", "present"), false, &[&[]]),
        (Module::check, false, &[&[]]),
        (|by_name| by_name.arg("state", "stopped").check(), false, &[&["stop"]]),
        (|by_name| by_name.arg("state", "absent").check(), false, &[&["remove"]]),
        (Module::check, true, &[&["replace"], &[]]),
    ];
    let deadline = Instant::now() + Duration::from_secs(3);
    thread::scope(|scope| {
        for (look, is_whole_task, expected) in looks {
            let (whole, scanner) = (&whole, &scanner);
            scope.spawn(move || {
                while Instant::now() < deadline {
                    let reply = look(if *is_whole_task { whole("qualys/qcsa:2") } else { by_name(scanner) }).run();
                    assert!(!reply.failed(), "{reply:#?}");
                    assert!(expected.contains(&reply.actions().as_slice()), "not {expected:?}: {reply:#?}");
                    assert_eq!(reply["container"]["running"], true, "{reply:#?}");
                }
            });
        }
    });
    replacing.finish().unwrap().changed();
    is_whole(&scanner);
}

#[test]
fn the_lock_dies_with_its_holder() {
    let scanner = Scanner::new(Engine::shared());
    let old = scanner.module().args(quick()).run().changed()["container"]["id"].clone();
    let replacing = scanner.module().args(quick()).arg("settle", 60).arg("image", "qualys/qcsa:2").start();
    eventually("the new one is being watched", || {
        scanner.containers().iter().any(|it| it.name == scanner.name && it.running && old != it.id.as_str())
    });
    replacing.signal(Signal::KILL);
    assert!(replacing.finish().is_none());

    let begin = Instant::now();
    let reply = scanner.module().args(quick()).arg("image", "qualys/qcsa:2").run().changed();
    assert_eq!(reply.actions(), ["recover"]);
    assert!(begin.elapsed() < Duration::from_secs(10));
    is_whole(&scanner);
}

#[test]
fn waiting_is_bounded_and_says_for_whom() {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().args(quick()).run().changed();
    let replacing = scanner.module().args(quick()).arg("settle", 60).arg("image", "qualys/qcsa:2").start();
    eventually("it is locked", || lock_key(&scanner).exists());

    let impatient =
        || by_name(&scanner).args(json!({"timeout": 3, "settle": 0, "stop_timeout": 1, "state": "stopped"}));
    let holder = format!("another run (process {}, scanner `{}`); ", replacing.pid().as_raw_nonzero(), scanner.name);
    for waiting in [impatient().disturbed(), impatient().check()] {
        let begin = Instant::now();
        let message = waiting.run().refused("timeout");
        assert!(
            message.contains(&holder) && message.ends_with(&format!(": the scanner `{}`", scanner.name)),
            "{message}"
        );
        assert!((4..20).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    }
    // Others need not wait.
    let other = Scanner::new(Engine::shared());
    other.module().args(quick()).arg("timeout", 5).run().changed();

    replacing.signal(Signal::TERM);
    replacing.finish().unwrap().refused("interrupted");
    impatient().run().changed();
    is_whole(&scanner);
}

#[test]
fn a_long_stop_or_settling_keeps_no_other_scanner_waiting() {
    let engine = Engine::shared();
    let (deaf, settling, quick_one) = (Scanner::new(engine), Scanner::new(engine), Scanner::new(engine));
    deaf.by_hand(&["-e STAND_IN_DEAF=1"]);
    eventually("it is deaf", || deaf.log().contains(" is up"));
    let stopping = by_name(&deaf).args(json!({"state": "stopped", "stop_timeout": 8})).start();
    let starting = settling.module().args(json!({"settle": 8})).start();
    eventually("both are at it", || lock_key(&deaf).exists() && settling.containers().iter().any(|it| it.running));
    let begin = Instant::now();
    quick_one.module().args(quick()).disturbed().run().changed();
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    stopping.finish().unwrap().changed();
    starting.finish().unwrap().changed();
}

fn quick() -> Value {
    json!({"settle": 0.2, "stop_timeout": 2})
}

fn by_name(scanner: &Scanner) -> Module {
    Module::new(Engine::shared()).arg("name", scanner.name.as_str())
}

fn lock_key(scanner: &Scanner) -> LockKey {
    LockKey::scanner(&scanner.engine.root_dir(), &scanner.name)
}

/// Nothing of a replacement is left, and no lock.
fn is_whole(scanner: &Scanner) {
    let containers = scanner.containers();
    assert!(containers.iter().all(|container| container.name == scanner.name), "{containers:#?}");
    assert!(!lock_key(scanner).exists());
}
