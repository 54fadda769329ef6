//! A replacement that does not come to its end, and what is told of it: by the result, and by what is on the engine alone.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Engine, Module, Scanner, eventually, foretold, stdout};

/// A device that the scanner has and the host may lose.
struct Device(PathBuf);

impl Device {
    fn new(scanner: &Scanner) -> Self {
        let device = Self(scanner.shared_dir().parent().unwrap().join("device"));
        device.plug();
        device
    }

    fn plug(&self) {
        stdout(Command::new("mknod").arg(&self.0).args(["c", "1", "3"]));
    }

    fn pull(&self) {
        fs::remove_file(&self.0).unwrap();
    }

    /// The vendor's command with this device.
    fn by_hand(&self, scanner: &Scanner) -> String {
        let id = scanner.by_hand(&["--device", &format!("{}:/dev/extra", self.0.display())]);
        eventually("the scanner is up", || scanner.log().contains(" is up"));
        id
    }
}

fn replace(scanner: &Scanner) -> Module {
    scanner.module().args(json!({"qualys_url": "EU1", "timeout": 3}))
}

fn state(scanner: &Scanner) -> Vec<(String, bool)> {
    let mut all: Vec<_> = scanner.containers().into_iter().map(|it| (it.name, it.running)).collect();
    all.sort();
    all
}

#[test]
fn an_old_scanner_that_cannot_be_started_again_is_not_said_to_be_back() {
    let scanner = Scanner::new(Engine::shared());
    let device = Device::new(&scanner);
    let id = device.by_hand(&scanner);
    device.pull();

    let reply = replace(&scanner).run();
    let told = json!([reply["rolled_back"], reply["changed"], reply["container"]["status"], reply["container"]["id"]]);
    assert_eq!(told, json!([false, true, "exited", id]), "{}", reply.line);
    let message = reply.refused("start_failed");
    assert!(message.contains("could not be started again") && !message.contains("back and running"), "{message}");
    // The new one stays as the note.
    let [name, new] = [scanner.name.clone(), format!("{}.qcss-new", scanner.name)];
    assert_eq!(state(&scanner), [(name, false), (new, false)]);

    // The next run of whatever task knows that it ran.
    device.plug();
    let present = || scanner.run_state().arg("state", "present");
    assert_eq!(foretold(&scanner, present).changed().actions(), ["recover"]);
    assert_eq!(state(&scanner), [(scanner.name.clone(), true)]);
    assert_eq!(scanner.inspect()["Id"], id.as_str());
}

#[test]
fn a_device_that_comes_back_in_time_lets_the_old_scanner_start_again() {
    let scanner = Scanner::new(Engine::shared());
    let device = Device::new(&scanner);
    device.by_hand(&scanner);
    device.pull();
    let running = replace(&scanner).arg("timeout", 20).start();
    eventually("the old one is stopped", || scanner.containers().iter().all(|it| !it.running));
    thread::sleep(Duration::from_millis(700));
    device.plug();
    let reply = running.finish().unwrap();
    assert_eq!((&reply["rolled_back"], &reply["changed"]), (&json!(true), &json!(true)), "{}", reply.line);
    assert_eq!(reply["container"]["running"], true);
    assert!(reply.refused("start_failed").ends_with("the old scanner is back and running"));
    assert_eq!(state(&scanner), [(scanner.name.clone(), true)]);
}

#[test]
fn what_was_begun_through_one_address_is_seen_through_another() {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().run().changed();
    let replacing = scanner.module().args(json!({"settle": 60, "qualys_url": "EU1"})).start();
    let old = format!("{}.qcss-old", scanner.name);
    eventually("the new one is watched", || {
        let all = state(&scanner);
        all.contains(&(scanner.name.clone(), true)) && all.contains(&(old.clone(), false))
    });
    // A run through another address waits for the same lock.
    let link = scanner.shared_dir().parent().unwrap().join("other.sock");
    symlink(scanner.engine.socket(), &link).unwrap();
    let other = format!("unix://{}", link.display());
    let through = |module: Module| module.arg("docker_host", other.as_str());
    let hasty = through(scanner.run_state()).args(json!({"timeout": 1, "stop_timeout": 0, "state": "present"}));
    let message = hasty.run().refused("timeout");
    assert!(message.contains(&format!("scanner `{}`", scanner.name)), "{message}");

    replacing.signal(Signal::KILL);
    assert!(replacing.finish().is_none());
    let task = || through(scanner.module().arg("qualys_url", "EU1"));
    assert_eq!(foretold(&scanner, task).changed().actions(), ["recover"]);
    assert_eq!(state(&scanner), [(scanner.name.clone(), true)]);
    task().run().unchanged();
}

#[test]
fn a_container_that_only_bears_such_a_name_is_left_alone() {
    for suffix in ["old", "new"] {
        let scanner = Scanner::new(Engine::shared());
        scanner.by_hand(&[]);
        let stranger = format!("{}.qcss-{suffix}", scanner.name);
        scanner.engine.docker(&["create", "--name", &stranger, "qualys/qcsa:1"]);
        // In nobody's way as long as no such name is needed.
        scanner.module().run().unchanged();
        scanner.module().arg("memory", "256M").run().changed();
        let message = foretold(&scanner, || replace(&scanner)).refused("already_in_use");
        assert!(message.ends_with(&format!("rename or remove that container: `{stranger}`")), "{message}");
        assert_eq!(scanner.inspect()["State"]["Running"], true);

        scanner.engine.docker(&["rm", "-f", &scanner.name]);
        foretold(&scanner, || scanner.module()).refused("already_in_use");
        assert_eq!(state(&scanner), [(stranger, false)]);
    }
}

#[test]
fn the_code_of_a_stranger_is_in_use() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    scanner.engine.docker(&["rename", &scanner.name, &format!("{}.qcss-old", scanner.name)]);
    let other = Scanner::new(Engine::shared());
    let task = || other.module().arg("personalization_code", scanner.code.as_str());
    foretold(&other, task).refused("already_in_use");
    foretold(&scanner, || scanner.module()).refused("already_in_use");
    assert!(scanner.containers().iter().all(|it| it.running));
}

/// As release 0.1.0 left them, in its own words.
#[test]
fn what_the_first_release_left_half_way_is_put_in_order() {
    for (new_name, old_name, old_runs, actions) in [
        (".qcss-new", "", true, &["recover"][..]),
        (".qcss-new", "", false, &["recover"]),
        (".qcss-new", ".qcss-old", false, &["recover"]),
        ("", ".qcss-old", false, &["recover"]),
    ] {
        let scanner = Scanner::new(Engine::shared());
        let old = scanner.by_hand(&[]);
        eventually("the scanner is up", || scanner.log().contains(" is up"));
        let name = |suffix: &str| format!("{}{suffix}", scanner.name);
        scanner.engine.docker(&["rename", &old, &name(".qcss-old")]);
        if !old_runs {
            scanner.engine.docker(&["stop", &old]);
        }
        let note = format!(
            "--label qcss_scanner.replaces={old} --label qcss_scanner.was_up=true --label qcss_scanner.restart_policy=no"
        );
        let new = scanner.by_hand_created(&[&note]);
        scanner.engine.docker(&["rename", &new, &name(".temporary")]);
        if old_name.is_empty() {
            scanner.engine.docker(&["rename", &old, &name("")]);
        }
        scanner.engine.docker(&["rename", &new, &name(new_name)]);

        let reply = foretold(&scanner, || scanner.run_state().arg("state", "present")).changed();
        assert_eq!(reply.actions(), actions);
        assert_eq!(state(&scanner), [(scanner.name.clone(), true)], "from {new_name:?} and {old_name:?}");
    }
}

#[test]
fn an_empty_directory_that_was_made_for_nothing_goes_again() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand_created(&[]); // it has no identity that would be left behind
    let elsewhere = scanner.private_dir().with_file_name("elsewhere");
    // Its image cannot be started, so nothing is ever written there.
    let image = format!("nothing:{}", scanner.name);
    scanner.engine.derive(&image, &["CMD [\"no-such-program\"]"]);
    let reply = scanner.module().args(json!({"image": image, "private_dir": elsewhere})).run();
    assert_eq!(reply["rolled_back"], true, "{}", reply.line);
    reply.refused("start_failed");
    assert!(!elsewhere.exists());
    scanner.engine.docker(&["rmi", &image]);
}

#[test]
fn a_mode_that_was_set_is_a_change_although_the_rest_failed() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    scanner.engine.docker(&["stop", &scanner.name]);
    let options = json!({"private_dir_mode": "0700", "env": {"STAND_IN_DIE": "3"}, "settle": 1.5});
    let reply = scanner.module().args(options).run();
    // The scanner itself did not run, and was not touched.
    assert_eq!((&reply["rolled_back"], &reply["changed"]), (&json!(true), &json!(true)), "{}", reply.line);
    reply.refused("start_failed");
    let unchanged = json!({"env": {"STAND_IN_DIE": "3"}, "settle": 1.5});
    let reply = scanner.module().args(unchanged).run();
    assert_eq!((&reply["rolled_back"], &reply["changed"]), (&json!(true), &json!(false)), "{}", reply.line);
}

#[test]
fn of_two_who_want_the_same_one_has_nothing_to_do() {
    let scanner = Scanner::new(Engine::shared());
    let running: Vec<_> = (0..2).map(|_| scanner.module().start()).collect();
    let replies: Vec<_> = running.into_iter().map(|running| running.finish().unwrap()).collect();
    let did: Vec<_> = replies.iter().filter(|reply| reply["changed"] == true).collect();
    assert_eq!(did.len(), 1, "{replies:#?}");
    for reply in &replies {
        let says = reply["differences"].as_array().unwrap().is_empty();
        assert_eq!(says, reply["changed"] == false, "{}", reply.line);
        assert_eq!(reply["container"]["running"], true);
    }
}

#[test]
fn a_list_is_foretold_where_one_entry_brings_the_image_for_all() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let scanners = [Scanner::new(&engine), Scanner::new(&engine)];
    let archive = engine.directory().join("image.tar");
    engine.docker(&["save", "--output", archive.to_str().unwrap(), "qualys/qcsa:2"]);
    engine.docker(&["rmi", "qualys/qcsa:2"]);
    let entry = |at: usize| {
        let mut entry: Value = scanners[at].args();
        entry["image"] = json!("qualys/qcsa:2");
        entry
    };
    let mut first = entry(0);
    first["image_archive"] = json!(archive);
    let task = || Module::new(&engine).args(json!({"scanners": [first, entry(1)], "settle": 0.3}));
    let check = task().check().run();
    let real = task().run().changed();
    for at in 0..2 {
        let [foretold, done] = [&check, &real].map(|reply| reply["results"][at].clone());
        assert_eq!(foretold["actions"], done["actions"], "{check:#?}\n{real:#?}");
        assert!(done["command"].as_str().unwrap().starts_with("docker run -d "), "{done}");
    }
    assert_eq!(real["results"][0]["actions"][0], "load_image");
}
