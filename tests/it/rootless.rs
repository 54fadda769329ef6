//! An engine that a user runs who is not root: the module run by root, and by that user.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Module, Scanner, eventually};

/// Who runs the module.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Root,
    Owner,
}

/// The engine, whose user has an entry in a user database of the tests' own.
fn rootless() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let engine = Engine::of_kind("host/docker+rootless", Engine::WITHOUT_BRIDGE);
        let (user, group) = engine.containers_root();
        let home = engine.directory().display();
        let entries = format!("root:x:0:0::/root:/bin/sh\nrootless:x:{user}:{group}::{home}:/bin/sh\n");
        fs::write(engine.directory().join("passwd"), entries).unwrap();
        engine
    })
}

impl By {
    fn run(self, module: Module) -> Module {
        let engine = rootless();
        match self {
            Self::Root => module,
            Self::Owner => {
                let passwd = engine.directory().join("passwd");
                module
                    .by(engine.containers_root().0)
                    .after(&format!("mount -n --bind {} /etc/passwd", passwd.display()))
            }
        }
    }
}

fn owner(path: &Path) -> (u32, u32) {
    let found = fs::metadata(path).unwrap();
    (found.uid(), found.gid())
}

#[rstest]
fn a_scanner_is_made_kept_replaced_and_removed(#[values(By::Root, By::Owner)] by: By) {
    let engine = rootless();
    let scanner = Scanner::new(engine);
    let task = |options: Value| by.run(scanner.module().args(options)).run();
    let made = task(json!({"private_dir_mode": "0700"})).changed();
    assert!(made.warnings().contains("the engine runs rootless"), "{}", made.warnings());
    eventually("it has its identity", || scanner.identity().is_some());
    for path in [scanner.shared_dir(), scanner.private_dir(), scanner.store()] {
        assert_eq!(owner(&path), engine.containers_root(), "{}", path.display());
    }
    task(json!({})).unchanged();
    let identity = scanner.identity();
    let newer = json!({"image": "qualys/qcsa:2", "env": {"A": "1"}});
    assert_eq!(task(newer.clone()).changed().actions(), ["replace"]);
    task(newer.clone()).unchanged();
    assert_eq!((scanner.identity(), &scanner.inspect()["State"]["Status"]), (identity, &json!("running")));
    assert_eq!(by.run(scanner.run_state().arg("state", "stopped")).run().changed().actions(), ["stop"]);
    assert_eq!(task(newer).changed().actions(), ["start"]);
    task(json!({"state": "absent", "purge": true})).changed();
    assert!(scanner.ids().is_empty() && !scanner.store().exists());
}

#[rstest]
fn one_that_the_vendors_command_made_is_adopted(#[values(By::Root, By::Owner)] by: By) {
    let scanner = Scanner::new(rootless());
    let id = scanner.by_hand(&[]);
    by.run(scanner.module()).run().unchanged();
    let adjusted = by.run(scanner.run_state().arg("env", json!({"A": "1"}))).run().changed();
    assert_eq!(adjusted.actions(), ["replace"]);
    assert_ne!(scanner.ids(), [id]);
}

/// In version 1 of cgroups it cannot limit anything.
#[rstest]
fn what_it_cannot_limit_is_refused_or_without_effect(#[values(By::Root, By::Owner)] by: By) {
    let scanner = Scanner::new(rootless());
    let task = |options: Value| by.run(scanner.module().args(options)).run();
    let info = rootless().get("/info");
    if info["CpuCfsQuota"] == false {
        let message = task(json!({"cpus": 1})).refused("unsupported");
        assert!(message.contains("cpus"), "{message}");
    }
    let made = task(json!({"memory": "64M"})).changed();
    let is_limited = info["MemoryLimit"] == true;
    assert_eq!(made.warnings().contains("memory"), !is_limited, "{}", made.warnings());
    task(json!({"memory": "64M"})).unchanged();
}
