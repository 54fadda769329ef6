//! The four states, from every state that a scanner can be in; restart, recreate and purge.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Ability, Engine, Module, Scanner, eventually, foretold, four_tasks, stdout, untouched};

/// Brings a scanner into the state that Docker calls `status`.
fn bring_to(status: &str) -> Scanner<'static> {
    let scanner = Scanner::new(Engine::shared());
    let docker = |command: &str| scanner.engine.docker(&[command, &scanner.name]);
    match status {
        "nothing" => {}
        "created" => drop(scanner.module().arg("state", "present").run().changed()),
        "running" => drop(scanner.by_hand(&[])),
        "paused" => {
            scanner.by_hand(&[]);
            docker("pause");
        }
        "exited" => {
            scanner.by_hand(&[]);
            docker("stop");
        }
        other => panic!("{other}"),
    }
    scanner
}

/// What `status` is after a task, `nothing` when there is no container.
fn status(scanner: &Scanner) -> String {
    if scanner.ids().is_empty() {
        return "nothing".to_owned();
    }
    scanner.inspect()["State"]["Status"].as_str().unwrap().to_owned()
}

#[rstest]
#[case("nothing", "started", "create_directory create_directory create start", "running")]
#[case("nothing", "present", "create_directory create_directory create", "created")]
#[case("nothing", "stopped", "create_directory create_directory create", "created")]
#[case("nothing", "absent", "", "nothing")]
#[case("created", "started", "start", "running")]
#[case("created", "present", "", "created")]
#[case("created", "stopped", "", "created")]
#[case("created", "absent", "remove", "nothing")]
#[case("running", "started", "", "running")]
#[case("running", "present", "", "running")]
#[case("running", "stopped", "stop", "exited")]
#[case("running", "absent", "remove", "nothing")]
#[case("paused", "started", "unpause", "running")]
#[case("paused", "present", "", "paused")]
#[case("paused", "stopped", "stop", "exited")]
#[case("paused", "absent", "remove", "nothing")]
#[case("exited", "started", "start", "running")]
#[case("exited", "present", "", "exited")]
#[case("exited", "stopped", "", "exited")]
#[case("exited", "absent", "remove", "nothing")]
fn every_state_is_reached_from_every_other(
    #[case] from: &str,
    #[case] state: &str,
    #[case] actions: &str,
    #[case] to: &str,
) {
    if from == "paused" && Engine::shared().lacks(Ability::Pauses) {
        return;
    }
    for whole in [true, false] {
        let scanner = bring_to(from);
        let task = || if whole { scanner.module() } else { scanner.run_state() }.arg("state", state);
        if !whole && from == "nothing" && ["started", "present"].contains(&state) {
            let message = foretold(&scanner, task).refused("invalid_arguments");
            assert!(
                message.contains("give all three") && message.ends_with(&format!("`{}`", scanner.name)),
                "{message}"
            );
            continue;
        }
        if actions.is_empty() || from == "nothing" && !whole {
            foretold(&scanner, task).unchanged();
            if from == "nothing" {
                assert_eq!(status(&scanner), "nothing");
                continue;
            }
        } else {
            let reply = four_tasks(&scanner, task);
            assert_eq!(reply.actions().join(" "), actions, "{reply:#?}");
        }
        assert_eq!(status(&scanner), to);
        assert!(scanner.store().exists(), "absent keeps the identity");
    }
}

#[rstest]
#[case("running", "started", "restart")]
#[case("running", "present", "restart")]
#[case("running", "stopped", "stop")]
#[case("paused", "started", "unpause")]
#[case("exited", "started", "start")]
#[case("exited", "present", "")]
#[case("nothing", "started", "create_directory create_directory create start")]
fn restart_is_for_a_scanner_that_runs_and_needs_nothing_else(
    #[case] from: &str,
    #[case] state: &str,
    #[case] actions: &str,
    #[values(true, false)] whole: bool,
) {
    if from == "paused" && Engine::shared().lacks(Ability::Pauses) {
        return;
    }
    if from == "nothing" && !whole {
        return;
    }
    let scanner = bring_to(from);
    let before = (from != "nothing").then(|| scanner.inspect());
    let task =
        || if whole { scanner.module() } else { scanner.run_state() }.args(json!({"state": state, "restart": true}));
    let reply = foretold(&scanner, task);
    assert_eq!(reply.actions().join(" "), actions, "{reply:#?}");
    if actions == "restart" {
        let after = scanner.inspect();
        let before = before.unwrap();
        assert_eq!(after["Id"], before["Id"]);
        assert_ne!(after["State"]["StartedAt"], before["State"]["StartedAt"]);
        assert_eq!(
            reply["differences"],
            json!([{"field": "restart", "before": false, "after": true, "way": "restart"}])
        );
        assert_eq!(foretold(&scanner, task).actions(), ["restart"]);
    }
}

#[test]
fn a_live_update_makes_a_restart_needless() {
    if Engine::shared().lacks(Ability::UpdatesLive) {
        return;
    }
    let scanner = bring_to("running");
    let started_at = scanner.inspect()["State"]["StartedAt"].clone();
    let task = || scanner.module().args(json!({"memory": "64M", "restart": true}));
    assert_eq!(foretold(&scanner, task).actions(), ["update"]);
    assert_eq!(scanner.inspect()["State"]["StartedAt"], started_at);
    assert_eq!(foretold(&scanner, task).actions(), ["restart"]);
}

#[rstest]
#[case("created", "started", "running")]
#[case("created", "present", "created")]
#[case("running", "started", "running")]
#[case("running", "present", "running")]
#[case("running", "stopped", "created")]
#[case("paused", "started", "running")]
#[case("exited", "started", "running")]
#[case("exited", "stopped", "created")]
fn recreate_always_replaces_without_a_difference(#[case] from: &str, #[case] state: &str, #[case] to: &str) {
    if from == "paused" && Engine::shared().lacks(Ability::Pauses) {
        return;
    }
    let scanner = bring_to(from);
    let id = scanner.inspect()["Id"].clone();
    let task = || scanner.module().args(json!({"recreate": true, "state": state}));
    let reply = foretold(&scanner, task).changed();
    assert_eq!(reply.actions(), ["replace"], "{reply:#?}");
    assert_eq!(reply["differences"][0]["field"], "recreate");
    assert_ne!(scanner.inspect()["Id"], id);
    assert_eq!(reply["container"]["id"], scanner.inspect()["Id"]);
    assert_eq!(status(&scanner), to);
    assert_eq!(scanner.ids().len(), 1);
    scanner.module().args(json!({"recreate": "no", "state": state})).run().unchanged();
}

#[test]
fn recreate_always_creates_what_is_missing_and_lets_absent_be() {
    let scanner = bring_to("nothing");
    let task = |state| scanner.module().args(json!({"recreate": "always", "state": state}));
    foretold(&scanner, || task("absent")).unchanged();
    let reply = foretold(&scanner, || task("started")).changed();
    assert_eq!(reply.actions(), ["create_directory", "create_directory", "create", "start"]);
    assert_eq!(foretold(&scanner, || task("absent")).changed().actions(), ["remove"]);
}

#[test]
fn recreate_never_updates_and_starts_but_does_not_replace() {
    if Engine::shared().lacks(Ability::UpdatesEnded) {
        return;
    }
    let scanner = bring_to("exited");
    let task = |options: Value| scanner.module().arg("recreate", "never").args(options);
    let drift = json!({"image": "qualys/qcsa:2", "env": {"A": "1"}, "memory": "64M"});
    let message = untouched(&scanner, || foretold(&scanner, || task(drift.clone()))).refused("needs_replacement");
    assert!(message.contains("image, env;") && message.contains("recreate=auto"), "{message}");
    let reply = four_tasks(&scanner, || task(json!({"memory": "64M"})));
    assert_eq!(reply.actions(), ["update", "start"]);
    task(json!({})).run().refused("needs_replacement");
}

#[rstest]
fn purge_deletes_the_private_directory_with_the_scanner(
    #[values("nothing", "created", "running", "paused", "exited")] from: &str,
    #[values(true, false)] whole: bool,
) {
    if from == "paused" && Engine::shared().lacks(Ability::Pauses) {
        return;
    }
    let scanner = bring_to(from);
    let task =
        || if whole { scanner.module() } else { scanner.run_state() }.args(json!({"state": "absent", "purge": true}));
    if from == "nothing" {
        foretold(&scanner, task).unchanged();
        return;
    }
    let reply = four_tasks(&scanner, task);
    assert_eq!(reply.actions(), ["purge_directory", "remove"]);
    assert_eq!(status(&scanner), "nothing");
    assert!(!scanner.store().exists() && scanner.private_dir().exists() && scanner.shared_dir().exists());
}

#[test]
fn purge_comes_later_as_well() {
    let scanner = bring_to("running");
    scanner.module().arg("state", "absent").run().changed();
    let purge = |module: Module| module.args(json!({"state": "absent", "purge": true}));
    purge(scanner.run_state()).run().unchanged();
    assert!(scanner.store().exists());
    assert_eq!(four_tasks(&scanner, || purge(scanner.module())).actions(), ["purge_directory"]);
    assert!(!scanner.store().exists());
}

#[rstest]
#[case("started")]
#[case("present")]
#[case("stopped")]
fn purge_without_absent_does_nothing(#[case] state: &str) {
    let scanner = bring_to("running");
    // Not before: one that is stopped at once may never have written it.
    let has_identity = || scanner.store().join("identity").exists();
    eventually("the scanner has its identity", has_identity);
    scanner.module().args(json!({"state": state, "purge": true})).run();
    assert!(has_identity());
}

#[rstest]
fn purge_spares_what_others_use(#[values(true, false)] whole: bool) {
    let scanner = bring_to("running");
    let store = scanner.store().display().to_string();
    let neighbour = format!("neighbour-of-{}", scanner.name);
    let mount = format!("{store}:/backup:ro");
    scanner.engine.docker(&["create", "--name", &neighbour, "--volume", &mount, "qualys/qcsa:1"]);
    let task =
        || if whole { scanner.module() } else { scanner.run_state() }.args(json!({"state": "absent", "purge": true}));
    let message = untouched(&scanner, || foretold(&scanner, task)).refused("already_in_use");
    assert!(message.ends_with(&format!("`{neighbour}`")), "{message}");
    scanner.engine.docker(&["rm", &neighbour]);
}

#[test]
fn purge_never_deletes_the_shared_directory() {
    let scanner = bring_to("running");
    let shared = scanner.shared_dir();
    fs::write(shared.join("precious"), "").unwrap();
    // The code is the name of the shared directory, which makes the two one.
    let (parent, name) = (shared.parent().unwrap(), shared.file_name().unwrap().to_str().unwrap());
    for state in ["started", "absent"] {
        let task = || {
            let options = json!({"private_dir": parent, "personalization_code": name, "state": state, "purge": true});
            scanner.module().arg("name", format!("{}-other", scanner.name)).args(options)
        };
        untouched(&scanner, || foretold(&scanner, task)).refused("invalid_arguments");
    }
    // With the code alone, too.
    let options = json!({"private_dir": parent, "personalization_code": name, "state": "absent", "purge": true});
    let task = || scanner.run_state().args(options.clone()).arg("shared_dir", shared.to_str().unwrap());
    untouched(&scanner, || foretold(&scanner, task)).refused("invalid_arguments");
    scanner.run_state().arg("state", "absent").run().changed();
    foretold(&scanner, task).refused("invalid_arguments");
    assert!(shared.join("precious").exists());
}

/// The container tells what its shared directory is, whatever the task calls by this name.
#[rstest]
fn purge_spares_the_shared_directory_of_the_container(#[values(true, false)] whole: bool) {
    let scanner = Scanner::new(Engine::shared());
    let shared = scanner.store().join("shared");
    fs::create_dir_all(&shared).unwrap();
    fs::write(shared.join("precious"), "").unwrap();
    let options = [
        format!("--volume={}:/usr/local/qualys", shared.display()),
        format!("--volume={}:/usr/local/qualys/admin/etc", scanner.store().display()),
        format!("--env=PERSONALIZATION_CODE={}", scanner.code),
    ];
    let mut create = vec!["create", "--name", &scanner.name];
    create.extend(options.iter().map(String::as_str));
    create.push("qualys/qcsa:1");
    scanner.engine.docker(&create);
    let task =
        || if whole { scanner.module() } else { scanner.run_state() }.args(json!({"state": "absent", "purge": true}));
    let message = untouched(&scanner, || foretold(&scanner, task)).refused("invalid_arguments");
    assert!(message.contains("shared_dir"), "{message}");
    assert!(shared.join("precious").exists());
}

#[test]
fn purge_by_name_alone_does_not_guess() {
    let scanner = Scanner::new(Engine::shared());
    let store = scanner.private_dir().join("elsewhere");
    let options = [
        format!("--volume={}:/usr/local/qualys", scanner.shared_dir().display()),
        format!("--volume={}:/usr/local/qualys/admin/etc", store.display()),
        format!("--env=PERSONALIZATION_CODE={}", scanner.code),
    ];
    let mut run = vec!["create", "--name", &scanner.name];
    run.extend(options.iter().map(String::as_str));
    run.push("qualys/qcsa:1");
    scanner.engine.docker(&run);
    let task = || scanner.run_state().args(json!({"state": "absent", "purge": true}));
    let message = untouched(&scanner, || foretold(&scanner, task)).refused("invalid_arguments");
    assert!(message.contains("by hand"), "{message}");
}

#[test]
fn the_private_directorys_mode_is_set_and_held() {
    let scanner = bring_to("nothing");
    let task = |mode: &'static str| scanner.module().arg("private_dir_mode", mode);
    four_tasks(&scanner, || task("0700"));
    let mode = || scanner.engine.inspect(&scanner.name)["Id"].clone();
    let id = mode();
    let reply = four_tasks(&scanner, || task("0750"));
    assert_eq!(reply.actions(), ["update"]);
    assert_eq!(
        reply["differences"],
        json!([{"field": "private_dir_mode", "before": "0700", "after": "0750", "way": "update"}])
    );
    assert_eq!(mode(), id);
    scanner.module().run().unchanged();
}

/// What an engine makes of a container whose files it cannot delete.
#[test]
fn a_dead_scanner_is_replaced() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    if engine.lacks(Ability::DeadContainers) {
        return;
    }
    let scanner = Scanner::new(&engine);
    let id = scanner.by_hand(&[]);
    let stuck = Stuck::new(Path::new(&engine.root_dir()).join("containers").join(&id).join("stuck"));
    assert!(!engine.try_docker(&["rm", "--force", &id]).status.success());
    assert_eq!(scanner.inspect()["State"]["Status"], "dead");

    scanner.run_state().run().refused("needs_replacement");
    scanner.module().arg("recreate", "never").run().refused("needs_replacement");
    drop(stuck);
    let reply = four_tasks(&scanner, || scanner.module());
    assert_eq!(reply.actions(), ["replace"]);
    assert_eq!(scanner.ids().len(), 1);
}

/// A file that nobody can delete while this lives.
struct Stuck(PathBuf);

impl Stuck {
    fn new(path: PathBuf) -> Self {
        fs::write(&path, "").unwrap();
        stdout(Command::new("chattr").arg("+i").arg(&path));
        Self(path)
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(&self.0).status();
    }
}
