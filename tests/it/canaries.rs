//! Canaries wherever a secret can be, every way that a run can go, every place where it can be seen: none is.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Ansible, Engine, Fault, Module, PASSWORD, Proxy, Registry, Reply, Scanner, Trap, USER};

/// In every planted secret but codes and the registry's password; no other test has it.
const CANARY: &str = "c4n4ry";
/// Of the scanner that a task describes, and of the one that was there before.
const PROXY: &str = "c4n4ry-user:c4n4ry-pass@proxy.example.org:3128";
/// Every word of `error`; `internal` has a test beside the code, since nothing leads to it from outside.
const ERRORS: &[&str] = &[
    "already_in_use",
    "engine_error",
    "engine_unreachable",
    "image_not_found",
    "invalid_arguments",
    "needs_replacement",
    "not_a_scanner",
    "overcommit",
    "permission_denied",
    "start_failed",
    "timeout",
];
/// Where locks are.
const LOCKS: &str = "/var/lib/qcss_scanner";

#[test]
fn none_is_seen_anywhere_whatever_a_run_does() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let registry = Registry::with_login(&engine);
    registry.push("qualys/qcsa:1", "qcsa:1");
    let (scanner, neighbour, other) = (Scanner::new(&engine), Scanner::new(&engine), Scanner::new(&engine));
    scanner.by_hand(&["--memory 64M -e", &format!("HTTPS_PROXY={PROXY}"), "-e TOKEN=c4n4ry-old"]);
    neighbour.by_hand(&["--memory 64M -e HTTPS_PROXY=c4n4ry-user2:c4n4ry-pass2@proxy:3128 -e TOKEN=c4n4ry-neighbour"]);
    engine.docker(&[
        "create",
        "--name",
        &other.name,
        "-e",
        "TOKEN=c4n4ry-other",
        "-l",
        "a=c4n4ry-other",
        "qualys/qcsa:1",
    ]);
    let canaries = [CANARY, PASSWORD, &scanner.code, &neighbour.code];

    let watched = watching(&canaries, || {
        let run = |module: Module| through(&engine, &canaries, module);
        let whole = || {
            scanner.module().args(json!({
                "https_proxy": PROXY, "registry_username": USER, "registry_password": PASSWORD, "memory": "64M",
                "env": {"TOKEN": "c4n4ry-new", "LINES": "c4n4ry-1\nc4n4ry-2"}, "labels": {"a": "b"},
            }))
        };
        let by_name = || scanner.run_state();
        let with = |more: Value| whole().args(more);
        let proxy = Proxy::new(&engine);
        let mut errors = BTreeSet::new();
        let mut refused = |word: &str, module: Module| {
            run(module).refused(word);
            errors.insert(word.to_owned());
        };

        run(by_name().arg("state", "stopped")).changed();
        run(whole().check().diff()).changed();
        run(whole().diff()).changed();
        run(whole().diff()).unchanged();
        run(with(json!({"memory": "96M"})).diff()).changed();
        run(with(json!({"memory": "96M", "_ansible_verbosity": 5, "_ansible_debug": true}))).unchanged();
        run(with(json!({"image": registry.image("qcsa:1"), "env": {"TOKEN": "c4n4ry-third"}})).diff()).changed();

        refused("invalid_arguments", with(json!({"personalization_code": format!("{CANARY}/x")})));
        refused("invalid_arguments", with(json!({"unknown": "x", "env": CANARY})));
        refused("engine_unreachable", with(json!({"docker_host": "unix:///nonexistent/docker.sock"})));
        refused("permission_denied", whole().by_nobody());
        let wrong = json!({"image": registry.image("none:1"), "registry_password": "c4n4ry-wrong"});
        refused("image_not_found", with(wrong.clone()));
        refused("image_not_found", with(wrong).check());
        refused("not_a_scanner", with(json!({"name": other.name, "personalization_code": "c4n4ry-code"})));
        refused("already_in_use", with(json!({"personalization_code": neighbour.code})).diff());
        refused("overcommit", with(json!({"memory": "100%", "overcommit": "deny", "cpus": "100%"})).diff());
        refused("needs_replacement", with(json!({"recreate": "never"})).diff());
        let dies = json!({"STAND_IN_LEAK": "1", "STAND_IN_DIE": "1", "TOKEN": "c4n4ry-dead"});
        refused("start_failed", with(json!({"settle": 2, "env": dies})).diff());
        let read_only = scanner.shared_dir().with_file_name("read-only");
        fs::create_dir(&read_only).unwrap();
        let setup = format!("mount -n -t tmpfs -o ro none {}", read_only.display());
        refused("engine_error", with(json!({"shared_dir": read_only.join("below")})).after(&setup));
        proxy.set(Trap::lasting(Fault::HangBefore, 2));
        refused("timeout", with(json!({"timeout": 1})).through(&proxy).disturbed());
        proxy.release();
        assert_eq!(errors.iter().map(String::as_str).collect::<Vec<_>>(), ERRORS);

        let info = || Module::new(&engine).without("overcommit").arg("_ansible_module_name", "qcss_scanner_info");
        run(info()).unchanged();
        run(info().arg("name", neighbour.name.as_str())).unchanged();
        let several = json!({
            "scanners": [{"name": scanner.name}, {
                "name": neighbour.name, "personalization_code": neighbour.code, "private_dir": neighbour.private_dir(),
            }],
            "_ansible_diff": true,
        });
        run(with(several).without("name").check()).changed();
        through_ansible(&engine, &canaries, &scanner);
        run(with(json!({"state": "absent", "purge": true})).diff()).changed();
    });
    assert_eq!(watched, BTreeSet::new());
}

/// Runs the module; looks at its answer, and at what it tells the host's log.
fn through(engine: &Engine, canaries: &[&str], module: Module) -> Reply {
    let directory = engine.temp_dir();
    let path = directory.path().join("log");
    let log = UnixDatagram::bind(&path).unwrap();
    log.set_nonblocking(true).unwrap();
    let reply = if module.is_by_nobody() { module } else { module.syslog(&path) }.run();
    let mut line = [0; 1 << 13];
    let told = log.recv(&mut line).map(|length| String::from_utf8_lossy(&line[..length]).into_owned());
    for text in [&reply.line, &told.unwrap_or_default()] {
        assert_eq!(canaries.iter().find(|canary| text.contains(**canary)), None, "{text}");
    }
    reply
}

/// With everything that Ansible can be made to say.
fn through_ansible(engine: &Engine, canaries: &[&str], scanner: &Scanner) {
    let task = |image: &str| {
        let mut args = scanner.args();
        args["docker_host"] = json!(engine.host());
        args["https_proxy"] = json!(PROXY);
        args["env"] = json!({"TOKEN": "c4n4ry-new"});
        args["image"] = json!(image);
        json!({"qcss_scanner": args, "ignore_errors": true})
    };
    let tasks = [("replace", task("qualys/qcsa:2")), ("fail", task("127.0.0.1:1/none"))];
    let play = Ansible::play(engine, json!({}), &tasks).option("-vvvvv").option("--diff");
    let run = canaries.iter().fold(play, |play, canary| play.secret(canary)).run();
    assert_eq!(run.task("replace")["changed"], true, "{}", run.output);
    assert_eq!(run.task("fail")["error"], "image_not_found", "{}", run.output);
}

/// Does `work`, and looks meanwhile again and again at the arguments of all processes and at all locks; what was found.
fn watching(canaries: &[&str], work: impl FnOnce()) -> BTreeSet<String> {
    let (found, looks) = (Mutex::new(BTreeSet::new()), Mutex::new((0, 0)));
    let done = AtomicBool::new(false);
    let look = |path: &str, text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        if canaries.iter().any(|canary| text.contains(canary)) {
            found.lock().unwrap().insert(format!("{path}: {text}"));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for (number, (folder, file)) in [("/proc", "/cmdline"), (LOCKS, "")].into_iter().enumerate() {
                    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                        let path = format!("{}{file}", entry.path().display());
                        let Ok(text) = fs::read(&path) else { continue };
                        look(&path, &text);
                        look(&path, path.as_bytes());
                        let mut looks = looks.lock().unwrap();
                        if number == 0 { looks.0 += 1 } else { looks.1 += 1 }
                    }
                }
                thread::sleep(Duration::from_millis(3));
            }
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let (of_processes, of_locks) = looks.into_inner().unwrap();
    assert!(of_processes > 0 && of_locks > 0, "{of_processes} looks at processes, {of_locks} at locks");
    found.into_inner().unwrap()
}
