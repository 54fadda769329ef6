//! Runs in which more than one thing goes wrong, which the explorer does not reach, each with the outcome that it must have.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::explorer::{DYING, ScannerRun, engine, old, outcome, with_directories};
use super::outcome::LastLook;
use crate::engine::fake::{Fake, Fault, made};
use crate::engine::{Engine, Failure};
use crate::scanner::desired::Request;
use crate::scanner::observed::{Note, Observed, Status};
use crate::scanner::values::restart_policy::RestartPolicy;
use crate::testing::{parse, request, wait};

/// The directories of a scanner.
fn directories() -> TempDir {
    let directories = tempfile::tempdir().unwrap();
    for name in ["shared", "private/code-4711"] {
        std::fs::create_dir_all(directories.path().join(name)).unwrap();
    }
    directories
}

fn task(directories: &TempDir, options: &Value) -> Request {
    request(&with_directories(directories, options)).unwrap()
}

fn by_name(state: &str) -> Request {
    parse(&json!({"name": "scanner", "state": state, "settle": 0.3})).unwrap()
}

/// The new container of a replacement of one that ran.
fn new(directories: &TempDir, image: &str, name: &str) -> Observed {
    let desired = task(directories, &json!({ "image": image })).desired.unwrap();
    let note = Note { id: "old".to_owned(), was_up: true, restart_policy: RestartPolicy::No };
    let (id, name) = ("new".to_owned(), name.to_owned());
    Observed { id, name, status: Status::Created, replaces: Some(note), ..made(&desired) }
}

/// A replacement that was left half-way while nothing runs.
fn half_way(directories: &TempDir) -> [Observed; 2] {
    let old = Observed { name: "scanner.qcss-old".to_owned(), ..old(directories, Status::Exited, "no", false) };
    [old, new(directories, "qualys/qcsa:2", "scanner.qcss-new")]
}

fn refused() -> Failure {
    Failure::Refused { status: 500, message: "no such device".to_owned() }
}

/// Lets every call fail that begins with `what`.
fn refuse(fake: &Fake, what: &'static str) {
    *fake.before_call.borrow_mut() =
        Box::new(move |call, _| if call.starts_with(what) { Err(refused()) } else { Ok(()) });
}

fn accept_all(fake: &Fake) {
    *fake.before_call.borrow_mut() = Box::new(|_, _| Ok(()));
}

/// Name, image, status of each container.
fn there(fake: &Fake) -> Vec<String> {
    let told = |it: &Observed| format!("{} {} {}", it.name, it.image.replace("qualys/qcsa:", ""), it.status.word());
    fake.world().containers.iter().map(told).collect()
}

fn word(run: &ScannerRun) -> &str {
    run.failure.as_ref().map_or("", |(_, word)| word)
}

#[test]
fn a_call_of_the_way_back_that_takes_all_the_time_is_not_the_last() {
    let directories = directories();
    for call in 0..16 {
        wait(async {
            let fake = engine(vec![old(&directories, Status::Running, "no", false)]);
            fake.set(Some((call, Fault::Late(usize::MAX))));
            let run = outcome(&fake, task(&directories, &json!({ "image": DYING })), false).await.unwrap();
            let runs = fake.world().containers.iter().any(|it| it.id == "old" && it.status.is_up());
            assert!(runs || !fake.hit(), "call {call}: {} {:?}", run.msg(), there(&fake));
        });
    }
}

#[test]
fn what_must_not_run_is_not_started_to_find_out_whether_it_works() {
    let directories = directories();
    for (state, left) in [("absent", vec![]), ("stopped", vec!["scanner qualys/qcsa exited"])] {
        wait(async {
            let [old, _] = half_way(&directories);
            let fake = engine(vec![old, new(&directories, DYING, "scanner")]);
            Engine::start(&fake, "new").await.unwrap();
            let run = outcome(&fake, task(&directories, &json!({ "state": state })), false).await.unwrap();
            assert!(run.failure.is_none(), "{}", run.msg());
            assert_eq!(there(&fake), left);
            assert!(!fake.world().log.iter().any(|line| line.starts_with("start old")), "{:?}", fake.world().log);
        });
    }
}

#[test]
fn an_old_one_that_cannot_be_started_keeps_its_note() {
    let directories = directories();
    wait(async {
        let fake = engine(half_way(&directories).into());
        refuse(&fake, "start");
        let run = outcome(&fake, task(&directories, &json!({})), false).await.unwrap();
        assert_eq!((word(&run), run.scanner.rolled_back), ("start_failed", Some(false)), "{}", run.msg());
        assert_eq!(there(&fake), ["scanner qualys/qcsa exited", "scanner.qcss-new 2 created"]);
        accept_all(&fake);
        let run = outcome(&fake, by_name("present"), false).await.unwrap();
        assert!(run.failure.is_none(), "{}", run.msg());
        assert_eq!(there(&fake), ["scanner qualys/qcsa running"]);
    });
}

#[test]
fn another_configuration_may_be_the_cure_of_one_that_cannot_be_started() {
    let directories = directories();
    let cure = json!({"image": "qualys/qcsa:3", "state": "started"});
    wait(async {
        let fake = engine(half_way(&directories).into());
        refuse(&fake, "start old");
        let run = outcome(&fake, task(&directories, &cure), false).await.unwrap();
        assert!(run.failure.is_none(), "{}", run.msg());
        assert_eq!(there(&fake), ["scanner 3 running"]);

        // Where it is not the cure, it is still known that the old one ran.
        let fake = engine(half_way(&directories).into());
        refuse(&fake, "start");
        let run = outcome(&fake, task(&directories, &cure), false).await.unwrap();
        assert_eq!((word(&run), run.scanner.rolled_back), ("start_failed", Some(false)), "{}", run.msg());
        accept_all(&fake);
        let run = outcome(&fake, by_name("present"), false).await.unwrap();
        assert_eq!(there(&fake), ["scanner qualys/qcsa running"], "{}", run.msg());
    });
}

#[test]
fn one_that_was_left_by_another_task_is_never_used() {
    let directories = directories();
    for image in ["qualys/qcsa:3", "qualys/qcsa"] {
        wait(async {
            let old = old(&directories, Status::Running, "no", false);
            let fake = engine(vec![old, new(&directories, "qualys/qcsa:2", "scanner.qcss-new")]);
            refuse(&fake, "stop old");
            let task = || task(&directories, &json!({ "image": image }));
            let run = outcome(&fake, task(), false).await.unwrap();
            assert!(
                there(&fake).contains(&"scanner qualys/qcsa running".to_owned()),
                "{} {:?}",
                run.msg(),
                there(&fake)
            );
            accept_all(&fake);
            let run = outcome(&fake, task(), false).await.unwrap();
            let wanted = format!("scanner {} running", image.replace("qualys/qcsa:", ""));
            assert_eq!(there(&fake), [wanted], "{}", run.msg());
        });
    }
}

#[test]
fn another_container_that_has_the_name_meanwhile_is_left_alone() {
    let directories = directories();
    for (check_mode, options) in [
        (true, json!({})),
        (false, json!({})),
        (false, json!({"state": "absent"})),
        (false, json!({"state": "stopped"})),
    ] {
        wait(async {
            let foreign = Observed { id: "foreign".to_owned(), name: "scanner".to_owned(), ..Observed::default() };
            let foreign = Observed { status: Status::Running, image: "nginx".to_owned(), ..foreign };
            let fake = engine(half_way(&directories).into_iter().chain([foreign]).collect());
            let before = there(&fake);
            let run = outcome(&fake, task(&directories, &options), check_mode).await.unwrap();
            assert_eq!(word(&run), "already_in_use", "{}", run.msg());
            assert!(run.msg().ends_with("rename or remove that container: `scanner`"), "{}", run.msg());
            assert_eq!((there(&fake), run.scanner.changed), (before, false));
        });
    }
}

#[test]
fn a_flapping_scanner_is_not_left_stopped_by_an_update_that_was_refused() {
    let directories = directories();
    wait(async {
        let fake = engine(vec![old(&directories, Status::Restarting, "always", false)]);
        refuse(&fake, "update");
        let run = outcome(&fake, task(&directories, &json!({"memory": "1g"})), false).await.unwrap();
        assert!(run.failure.is_some());
        assert_eq!((there(&fake), run.scanner.changed), (vec!["scanner qualys/qcsa running".to_owned()], true));
    });
}

#[test]
fn a_stop_between_two_starts_is_repeated() {
    let directories = directories();
    wait(async {
        let old = old(&directories, Status::Running, "always", true);
        let fake = engine(vec![Observed { restart_count: 1, ..old }]);
        fake.with(|world| world.ignored_stops = 50);
        let run = outcome(&fake, task(&directories, &json!({"state": "stopped"})), false).await.unwrap();
        assert!(run.failure.is_none(), "{}", run.msg());
        assert_eq!(run.scanner.actions, ["stop"]);
        assert_eq!(there(&fake), ["scanner qualys/qcsa exited"]);
    });
}

#[test]
fn a_stop_between_two_starts_is_repeated_in_a_replacement() {
    let directories = directories();
    wait(async {
        let old = old(&directories, Status::Running, "always", true);
        let fake = engine(vec![Observed { restart_count: 1, ..old }]);
        fake.with(|world| world.ignored_stops = 50);
        let options = json!({"image": "qualys/qcsa:2", "state": "stopped"});
        let run = outcome(&fake, task(&directories, &options), false).await.unwrap();
        assert!(run.failure.is_none(), "{}", run.msg());
        assert_eq!(there(&fake), ["scanner 2 created"]);
    });
}

#[test]
fn a_scanner_that_something_starts_after_each_stop_is_said() {
    let directories = directories();
    for options in [json!({"state": "stopped"}), json!({"image": "qualys/qcsa:2"})] {
        wait(async {
            let fake = engine(vec![old(&directories, Status::Running, "always", true)]);
            fake.with(|world| world.ignored_stops = usize::MAX);
            let run = outcome(&fake, task(&directories, &options), false).await.unwrap();
            let cure = "the scanner is up again after each stop; see what starts it and run the task again";
            assert_eq!((word(&run), run.msg().contains(cure)), ("engine_error", true), "{}", run.msg());
            assert_eq!(there(&fake), ["scanner qualys/qcsa running"]);
        });
    }
}

#[test]
fn an_answer_that_was_lost_is_found_by_the_next_refusal() {
    let directories = directories();
    wait(async {
        let fake = engine(vec![old(&directories, Status::Paused, "no", false)]);
        let calls = std::cell::Cell::new(0);
        *fake.before_call.borrow_mut() = Box::new(move |call, world| {
            assert!(call.starts_with("unpause"), "{call}");
            world.containers[0].status = Status::Running;
            calls.set(calls.get() + 1);
            if calls.get() == 1 { Err(Failure::Lost) } else { Err(Failure::Conflict("it is not paused".to_owned())) }
        });
        let run = outcome(&fake, task(&directories, &json!({})), false).await.unwrap();
        assert!(run.failure.is_none() && run.scanner.changed, "{}", run.msg());
        assert_eq!(run.scanner.actions, ["unpause"]);
    });
}

#[test]
fn a_task_that_is_refused_still_puts_the_scanner_back() {
    let directories = directories();
    let options = json!({"image": "qualys/qcsa:2", "recreate": "never"});
    wait(async {
        let fake = engine(half_way(&directories).into());
        let predicted = outcome(&fake, task(&directories, &options), true).await.unwrap();
        let run = outcome(&fake, task(&directories, &options), false).await.unwrap();
        assert_eq!((word(&predicted), word(&run)), ("needs_replacement", "needs_replacement"), "{}", run.msg());
        assert_eq!((run.scanner.actions.as_slice(), run.scanner.changed), (["recover"].as_slice(), true));
        assert!(matches!(&run.scanner.container, LastLook::There(it) if it.id == "old" && it.status.is_up()));
        assert_eq!(there(&fake), ["scanner qualys/qcsa running"]);
        assert_eq!(run.scanner.rolled_back, None);
    });
}

#[test]
fn a_network_that_cannot_be_connected_makes_no_scanner() {
    let directories = directories();
    wait(async {
        let fake = engine(vec![old(&directories, Status::Running, "no", false)]);
        refuse(&fake, "connect");
        let run = outcome(&fake, task(&directories, &json!({"image": "qualys/qcsa:2"})), false).await.unwrap();
        assert_eq!(run.scanner.rolled_back, Some(true), "{}", run.msg());
        assert_eq!(there(&fake), ["scanner qualys/qcsa running"]);
    });
}

#[test]
fn a_task_that_is_refused_asks_no_more_than_check_mode_where_nothing_is_half_way() {
    let directories = directories();
    let options = json!({"image": "qualys/qcsa:2", "recreate": "never"});
    let requests = [true, false].map(|check_mode| {
        wait(async {
            let fake = engine(vec![old(&directories, Status::Running, "no", false)]);
            let run = outcome(&fake, task(&directories, &options), check_mode).await.unwrap();
            assert_eq!(word(&run), "needs_replacement", "{}", run.msg());
            fake.requests.get()
        })
    });
    assert_eq!(requests[0], requests[1]);
}
