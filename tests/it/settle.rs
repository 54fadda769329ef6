//! A scanner that does not stay up is a failure that says why, and whatever was there before is there again.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Ability, Engine, Scanner, eventually, foretold, four_tasks, untouched};

/// Makes the stand-in misbehave from its next start on.
fn tell(scanner: &Scanner, conf: &str) {
    scanner.make_store();
    fs::write(scanner.store().join("stand-in.conf"), conf).unwrap();
}

/// A scanner that is started again and again by its restart policy.
fn flapping() -> Scanner<'static> {
    let scanner = Scanner::new(Engine::shared());
    tell(&scanner, "STAND_IN_DIE=7\n");
    scanner.by_hand(&["--restart always"]);
    eventually("the scanner flaps", || scanner.inspect()["RestartCount"].as_i64() > Some(1));
    scanner
}

#[rstest]
#[case::at_once("STAND_IN_DIE=3\n", 1.5, 3, "no")]
#[case::at_once_and_again("STAND_IN_DIE=3\n", 1.5, 3, "always")]
#[case::a_few_times("STAND_IN_DIE=3\n", 1.5, 3, "on-failure:3")]
#[case::later("STAND_IN_DIE_AFTER=0.4\n", 1.5, 1, "no")]
#[case::later_and_again("STAND_IN_DIE_AFTER=0.4\n", 1.5, 1, "unless-stopped")]
fn a_first_start_that_fails_leaves_nothing(
    #[case] conf: &str,
    #[case] settle: f64,
    #[case] code: i64,
    #[case] policy: &str,
) {
    let scanner = Scanner::new(Engine::shared());
    tell(&scanner, conf);
    let reply = scanner.module().args(json!({"settle": settle, "restart_policy": policy})).run();
    // Its directories stay, and what it wrote there.
    assert_eq!((&reply["changed"], &reply["rolled_back"]), (&json!(true), &json!(true)), "{reply:#?}");
    assert!(reply["container"].is_null(), "{reply:#?}");
    let message = reply.refused("start_failed");
    // The engine forgets the code with the next start.
    let says_code = message.contains(&format!("exit code {code}")) || message.contains("it ended and");
    assert!(says_code && message.contains("its last lines: scanner died"), "{message}");
    assert_eq!(scanner.ids(), [""; 0]);
    assert!(scanner.store().join("identity").exists(), "the private directory is kept");
}

#[rstest]
#[case::not_looked_at("STAND_IN_DIE=3\n", 0.0, "no")]
#[case::flapping_not_looked_at("STAND_IN_DIE=3\n", 0.0, "always")]
#[case::not_looked_at_for_long("STAND_IN_DIE_AFTER=2\n", 0.3, "no")]
fn what_happens_after_settle_is_not_seen(#[case] conf: &str, #[case] settle: f64, #[case] policy: &str) {
    let scanner = Scanner::new(Engine::shared());
    tell(&scanner, conf);
    scanner.module().args(json!({"settle": settle, "restart_policy": policy})).run().changed();
    eventually("the scanner has ended", || {
        ["exited", "stopped", "restarting"].contains(&scanner.inspect()["State"]["Status"].as_str().unwrap())
    });
}

#[test]
fn settle_takes_as_long_as_it_is_told() {
    let scanner = Scanner::new(Engine::shared());
    let begin = Instant::now();
    scanner.module().arg("settle", 1.5).run().changed();
    assert!(begin.elapsed() >= Duration::from_millis(1500));
    let begin = Instant::now();
    scanner.module().arg("settle", 30).run().unchanged();
    assert!(begin.elapsed() < Duration::from_secs(5), "nothing was started");
}

#[rstest]
#[case::exited("start", "exited")]
#[case::running("restart", "running")]
fn an_existing_scanner_that_fails_to_start_stays_there(#[case] action: &str, #[case] from: &str) {
    let scanner = Scanner::new(Engine::shared());
    let id = scanner.by_hand(&[]);
    eventually("the scanner is up", || scanner.log().contains(" is up"));
    if from == "exited" {
        scanner.engine.docker(&["stop", &scanner.name]);
    }
    tell(&scanner, "STAND_IN_DIE=3\n");
    let mut ran = from == "running";
    for module in [scanner.module(), scanner.run_state().arg("state", "started")] {
        let reply = module.args(json!({"restart": action == "restart", "settle": 1.5})).run();
        // It ran, and was started again; or it did not run, and does not now.
        assert_eq!((&reply["rolled_back"], &reply["changed"]), (&json!(!ran), &json!(true)), "{reply:#?}");
        let shown = (&reply["container"]["id"], &reply["container"]["running"]);
        assert_eq!(shown, (&json!(id), &json!(false)), "{reply:#?}");
        ran = false;
        let message = reply.refused("start_failed");
        assert!(message.contains("exit code 3"), "{message}");
    }
    assert_eq!(scanner.inspect()["Id"], id);
}

#[rstest]
fn a_flapping_scanner_is_never_ok(#[values("started", "present")] state: &str) {
    let scanner = flapping();
    for whole in [true, false] {
        for check in [true, false] {
            let module = if whole { scanner.module() } else { scanner.run_state() };
            // Its restarts are counted, and it goes on restarting.
            // Not all engines wait between two starts, and then it runs most of the time.
            let module = module.arg("state", state).arg("settle", 1).disturbed();
            let message = if check { module.check() } else { module }.run().refused("start_failed");
            assert!(message.contains("again and again"), "{message}");
        }
    }
    for options in [json!({"restart": true}), json!({"memory": "64M"}), json!({"memory": "64M", "env": {"A": "1"}})] {
        let module = scanner.module().args(options).args(json!({"state": state, "settle": 1})).disturbed();
        module.run().refused("start_failed");
    }
    assert_eq!(scanner.ids().len(), 1);
    assert_eq!(scanner.inspect()["HostConfig"]["RestartPolicy"]["Name"], "always");
}

#[rstest]
#[case(json!({"state": "stopped"}), "stop")]
#[case(json!({"state": "absent"}), "remove")]
fn a_flapping_scanner_can_be_stopped_and_removed(#[case] options: Value, #[case] action: &str) {
    let scanner = flapping();
    let reply = scanner.module().args(options.clone()).disturbed().run().changed();
    assert_eq!(reply.actions(), [action]);
    scanner.module().args(options).run().unchanged();
    assert!(scanner.ids().is_empty() || scanner.inspect()["State"]["Status"] == "exited");
}

/// What is changed of it must show while it is stopped, too.
#[test]
fn a_flapping_scanner_is_stopped_and_limited() {
    if Engine::shared().lacks(Ability::LimitsMemory) {
        return;
    }
    let scanner = flapping();
    let task = || scanner.module().args(json!({"memory": "64M", "state": "stopped"}));
    // Engines refuse to update one that ends meanwhile.
    eventually("the task comes between two starts", || task().disturbed().run()["error"] != "start_failed");
    task().run().unchanged();
    assert_eq!(scanner.inspect()["HostConfig"]["Memory"], 64 << 20);
}

/// The engine waits longer before each start, and then for a second or two.
fn wait_for_a_pause(scanner: &Scanner) {
    let waits = |it: &Value| it["RestartCount"].as_i64() > Some(4) && it["State"]["Status"] == "restarting";
    eventually("the scanner waits for its next start", || waits(&scanner.inspect()));
}

#[rstest]
#[case("started", &["stop", "update", "start"], "running")]
#[case("stopped", &["stop", "update"], "exited")]
fn more_memory_may_be_the_cure(#[case] state: &str, #[case] actions: &[&str], #[case] to: &str) {
    if Engine::shared().lacks_any(&[Ability::WaitsBetweenStarts, Ability::LimitsMemory]) {
        return;
    }
    let scanner = flapping();
    let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    tell(&scanner, &format!("[ \"$({limit})\" = 67108864 ] || STAND_IN_DIE=7\n"));
    let id = scanner.inspect()["Id"].clone();
    let task = || scanner.module().args(json!({"memory": "64M", "state": state}));
    wait_for_a_pause(&scanner);
    assert_eq!(task().check().run().changed().actions(), actions);
    assert_eq!(task().run().changed().actions(), actions);
    assert_eq!((&scanner.inspect()["Id"], &scanner.inspect()["State"]["Status"]), (&id, &json!(to)));
    task().run().unchanged();
}

#[test]
fn a_flapping_scanner_is_cured_by_what_cures_it() {
    let scanner = flapping();
    tell(&scanner, "");
    let reply = scanner.module().arg("env", json!({"A": "1"})).disturbed().run().changed();
    assert_eq!(reply.actions(), ["replace"]);
    scanner.module().arg("env", json!({"A": "1"})).run().unchanged();
}

#[rstest]
#[case::stop("stopped", &[], json!(1), 1)]
#[case::stop_at_once("stopped", &[], json!(0), 0)]
#[case::by_the_container("stopped", &["--stop-timeout 1"], json!(null), 1)]
#[case::remove("absent", &[], json!(1), 1)]
#[case::restart("restart", &[], json!(1), 1)]
#[case::replace("replace", &[], json!(1), 1)]
fn a_scanner_that_is_deaf_is_killed_when_its_time_is_over(
    #[case] by: &str,
    #[case] made: &[&str],
    #[case] stop_timeout: Value,
    #[case] seconds: u64,
) {
    let scanner = Scanner::new(Engine::shared());
    tell(&scanner, "STAND_IN_DEAF=1\n");
    scanner.by_hand(made);
    eventually("scanner is up", || scanner.log().contains(" is up"));
    let options = match by {
        "restart" => json!({"restart": true}),
        "replace" => json!({"recreate": "always"}),
        state => json!({"state": state}),
    };
    let begin = Instant::now();
    let reply =
        scanner.module().args(options).args(json!({"stop_timeout": stop_timeout, "timeout": 5})).run().changed();
    let took = begin.elapsed();
    // Docker's own grace would be ten seconds.
    assert!((seconds..9).contains(&took.as_secs()), "{took:?} {reply:#?}");
    if by == "stopped" {
        assert_eq!(reply["container"]["exit_code"], 137);
    }
}

#[test]
fn the_vendors_words_lead_to_the_cure() {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().run().changed();
    scanner.module().arg("state", "absent").run().changed();
    fs::remove_file(scanner.store().join("identity")).unwrap();
    let message = scanner.module().arg("settle", 1.5).run().refused("start_failed");
    assert!(message.contains("generate a new code") && message.contains("perscode has already been used"), "{message}");
}

#[test]
fn a_log_that_cannot_be_read_hides_nothing() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["--log-driver none"]);
    let message =
        scanner.module().args(json!({"env": {"STAND_IN_DIE": "9"}, "settle": 1.5})).run().refused("start_failed");
    assert!(message.contains("exit code 9") && message.ends_with("the old scanner is back and running"), "{message}");
}

/// Why the new one does not work: it dies, it cannot be started, it cannot be made.
#[rstest]
#[case::dies(json!({"env": {"STAND_IN_DIE": "3"}}), "start_failed", "exit code 3", "running", "no")]
#[case::dies_in_the_place_of_an_ended_one(json!({"env": {"STAND_IN_DIE": "3"}}), "start_failed", "exit code 3", "exited", "always")]
#[case::dies_in_the_place_of_a_paused_one(json!({"env": {"STAND_IN_DIE": "3"}}), "start_failed", "exit code 3", "paused", "always")]
#[case::dies_later(json!({"env": {"STAND_IN_DIE_AFTER": "0.5"}}), "start_failed", "exit code 1", "running", "no")]
#[case::flaps(json!({"env": {"STAND_IN_DIE": "3"}, "restart_policy": "always"}), "start_failed", "again and again", "running", "no")]
#[case::no_program(json!({"image": "broken:1"}), "start_failed", "no-such-program", "running", "always")]
#[case::other_store(json!({"private_dir": "/<dir>/elsewhere"}), "start_failed", "give private_dir where", "running", "on-failure:2")]
fn a_replacement_that_fails_puts_the_old_one_back(
    #[case] options: Value,
    #[case] error: &str,
    #[case] named: &str,
    #[case] from: &str,
    #[case] policy: &str,
) {
    if from == "paused" && Engine::shared().lacks(Ability::Pauses) {
        return;
    }
    let scanner = Scanner::new(Engine::shared());
    if named == "again and again" && scanner.engine.lacks(Ability::WaitsBetweenStarts) {
        return;
    }
    broken_image();
    let id = scanner.by_hand(&["--restart", policy]);
    eventually("scanner is up", || scanner.log().contains(" is up"));
    match from {
        "exited" => drop(scanner.engine.docker(&["stop", &scanner.name])),
        "paused" => drop(scanner.engine.docker(&["pause", &scanner.name])),
        _ => {}
    }
    let identity = || fs::read_to_string(scanner.store().join("identity")).unwrap();
    let directory = scanner.shared_dir().parent().unwrap().display().to_string();
    let options: Value = options.to_string().replace("/<dir>", &directory).parse().unwrap();
    // Somebody's identity, or the task would be refused.
    let elsewhere = Path::new(&directory).join("elsewhere").join(&scanner.code);
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("identity"), "another").unwrap();
    let before = (settings(&scanner), identity());

    let reply = scanner.module().arg("settle", 1.5).args(options).run();
    // One that ran was stopped and started again.
    assert_eq!((&reply["changed"], &reply["rolled_back"]), (&json!(from != "exited"), &json!(true)), "{reply:#?}");
    assert_eq!(reply["container"]["id"], id);
    assert!(reply.actions().contains(&"roll_back"), "{reply:#?}");
    let message = reply.refused(error);
    // An engine that does not wait before it forgets the code with the next start.
    let forgets = policy == "always" && !scanner.engine.has(Ability::WaitsBetweenStarts);
    let says_why = message.contains(named) || (forgets && message.contains("it ended and"));
    assert!(says_why && message.contains("the old scanner is back"), "{message}");

    assert_eq!(scanner.ids(), [id]);
    assert_eq!((settings(&scanner), identity()), before);
    let runs = if from == "exited" { "exited" } else { "running" };
    assert_eq!(scanner.inspect()["State"]["Status"], runs);
    foretold(&scanner, || scanner.module().arg("state", "present")).unchanged();
}

#[test]
fn a_replacement_that_cannot_even_be_made_changes_nothing() {
    let scanner = Scanner::new(Engine::shared());
    if scanner.engine.lacks(Ability::RefusesMounts) {
        return;
    }
    let volume = format!("gone-{}", scanner.name);
    let gone = scanner.shared_dir().with_file_name("gone");
    fs::create_dir(&gone).unwrap();
    let mount = format!("--mount type=bind,source={},target=/mnt", gone.display());
    scanner.by_hand(&["--network", "bridge", "-v", &format!("{volume}:/gone"), &mount]);
    // A mount that is carried over, and with which the engine makes no container any more.
    fs::remove_dir(&gone).unwrap();
    let options = json!({"env": {"A": "1"}});
    let reply = untouched(&scanner, || scanner.module().args(options).run());
    assert_eq!((&reply["changed"], &reply["rolled_back"]), (&json!(false), &json!(true)), "{reply:#?}");
    let message = reply.refused("engine_error");
    assert!(message.starts_with("cannot create container"), "{message}");
    scanner.engine.docker(&["rm", "-f", &scanner.name]);
    scanner.engine.docker(&["volume", "rm", &volume]);
}

#[test]
fn a_failed_replacement_can_be_tried_again() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    let task = || scanner.module().args(json!({"image": "qualys/qcsa:2", "settle": 1.5}));
    tell(&scanner, "[ \"$QCSA_VERSION\" = 1 ] || STAND_IN_DIE=3\n");
    task().run().refused("start_failed");
    task().run().refused("start_failed");
    tell(&scanner, "");
    assert_eq!(four_tasks(&scanner, task).actions(), ["replace"]);
}

/// Name and configuration, without what is different after each start.
fn settings(scanner: &Scanner) -> Value {
    let inspect = scanner.inspect();
    json!([inspect["Name"], inspect["Config"], inspect["HostConfig"]])
}

/// An image whose program is missing: `broken:1`.
fn broken_image() {
    static MADE: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    MADE.get_or_init(|| {
        Engine::shared().derive("broken:1", &["CMD [\"no-such-program\"]"]);
    });
}
