//! Locks on a host with several addresses of one engine, with other users, and with users who are not root.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use qcss_scanner::host::lock::LockKey;
use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Engine, Events, Module, NOBODY, Scanner, at_once, eventually, stdout};

/// An engine that listens at a second socket, too.
struct Addressed {
    engine: Engine,
    /// The second socket is in here.
    _directory: TempDir,
    second: PathBuf,
}

impl Addressed {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let second = directory.path().join("second.sock");
        let host = format!("unix://{}", second.display());
        let engine = Engine::private(&[Engine::WITHOUT_BRIDGE, &["-H", &host]].concat());
        fs::hard_link(engine.socket(), engine.directory().join("linked.sock")).unwrap();
        File::create(engine.directory().join("bound.sock")).unwrap();
        Self { engine, _directory: directory, second }
    }

    /// `module` at one of the addresses: the engine's own, its second one, a hard link and a bind mount of the socket.
    fn at(&self, number: usize, module: Module) -> Module {
        let host = |path: &Path| format!("unix://{}", path.display());
        let directory = self.engine.directory();
        let bound = directory.join("bound.sock");
        match number % 4 {
            0 => module,
            1 => module.arg("docker_host", host(&self.second)),
            2 => module.arg("docker_host", host(&directory.join("linked.sock"))),
            _ => module.arg("docker_host", host(&bound)).after(&format!(
                "mount -n --bind {} {}",
                self.engine.socket().display(),
                bound.display()
            )),
        }
    }
}

#[test]
fn of_twenty_tasks_with_one_code_over_all_addresses_one_gets_it() {
    let addressed = Addressed::new();
    let owner = Scanner::new(&addressed.engine);
    for _ in 0..2 {
        let scanners: Vec<_> = (0..20).map(|_| Scanner::new(&addressed.engine)).collect();
        let replies = at_once(scanners.iter().enumerate().collect(), |(number, scanner)| {
            let task = scanner.module().args(quick()).arg("personalization_code", owner.code.as_str());
            addressed.at(number, task).disturbed().run()
        });
        let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| !reply.failed());
        assert_eq!(won.len(), 1, "{won:#?}");
        assert_eq!(scanners.iter().map(|scanner| scanner.containers().len()).sum::<usize>(), 1);
        for reply in lost {
            reply.refused("already_in_use");
        }
    }
}

#[rstest]
#[case::created(json!({"state": "absent"}))]
#[case::grown(json!({"cpus": 0.01}))]
#[case::replaced(json!({"image": "qualys/qcsa:2", "cpus": 0.01}))]
fn of_twenty_tasks_over_all_addresses_the_host_gets_what_it_holds(#[case] before: Value) {
    let addressed = Addressed::new();
    let cpus = addressed.engine.get("/info")["NCPU"].as_f64().unwrap();
    // Two of them fit, three do not.
    let wanted = json!({"cpus": (cpus * 0.4 * 100.0).floor() / 100.0, "overcommit": "deny"});
    let scanners: Vec<_> = (0..20).map(|_| Scanner::new(&addressed.engine)).collect();
    if before["state"] != "absent" {
        for scanner in &scanners {
            scanner.module().args(quick()).args(before.clone()).arg("state", "present").run().changed();
        }
    }
    let replies = at_once(scanners.iter().enumerate().collect(), |(number, scanner)| {
        let task = scanner.module().args(quick()).args(wanted.clone()).arg("state", "present");
        addressed.at(number, task).disturbed().run()
    });
    let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| !reply.failed());
    assert_eq!(won.len(), 2, "{won:#?}");
    for reply in lost {
        reply.refused("overcommit");
    }
    let nano_cpus = |scanner: &Scanner| scanner.inspect()["HostConfig"]["NanoCpus"].as_f64().unwrap() / 1e9;
    let sum: f64 = scanners.iter().filter(|scanner| scanner.exists()).map(nano_cpus).sum();
    assert!(sum <= cpus, "{sum} of {cpus}");
}

#[test]
fn replacements_over_all_addresses_take_turns() {
    let addressed = Addressed::new();
    let events = Events::of(&addressed.engine);
    let scanner = Scanner::new(&addressed.engine);
    scanner.module().args(quick()).run().changed();
    let replies = at_once((0..20).collect(), |number: usize| {
        let image = format!("qualys/qcsa:{}", 1 + number % 2);
        let task = scanner.module().args(quick()).args(json!({"image": image, "recreate": "always"}));
        addressed.at(number / 2, task).disturbed().run()
    });
    for reply in &replies {
        assert!(!reply.failed() && !reply.actions().contains(&"recover"), "{reply:#?}");
        assert_eq!(reply.actions(), ["replace"], "{reply:#?}");
    }
    assert_eq!(scanner.containers().len(), 1);
    assert_eq!(events.doubled(), [""; 0]);
    assert!(events.starts() >= 20);
}

/// Whoever comes first: the directory of a scanner that was created is there.
#[rstest]
fn a_purge_and_a_task_that_takes_its_code_do_not_both_get_the_directory(#[values(true, false)] is_there: bool) {
    let engine = Engine::shared();
    for round in 0..8 {
        let (old, new) = (Scanner::new(engine), Scanner::new(engine));
        let purge = old.module().args(json!({"state": "absent", "purge": true}));
        let create = new.module().args(quick()).args(
            json!({"personalization_code": old.code, "private_dir": old.private_dir(), "shared_dir": old.shared_dir()}),
        );
        if is_there {
            old.by_hand_created(&[]);
        }
        fs::create_dir_all(old.store()).unwrap();
        for file in 0..500 {
            fs::write(old.store().join(format!("file{file}")), "").unwrap();
        }
        let replies = at_once(vec![(0, purge), (round * 5, create)], |(delay, module)| {
            thread::sleep(std::time::Duration::from_millis(delay));
            module.disturbed().run()
        });
        let [purged, created] = replies.as_slice() else { unreachable!() };
        if created.failed() {
            assert_eq!(created["error"], "already_in_use", "{created:#?}");
            assert!(!purged.failed() && !old.store().exists(), "{purged:#?}");
        } else {
            // It may have been purged before it was created; what is there belongs to the scanner that runs.
            let identity = old.store();
            eventually("it registers", || fs::read_to_string(identity.join("identity")).is_ok_and(|it| !it.is_empty()));
            assert!(purged.failed() || !identity.join("file0").exists(), "{purged:#?}");
        }
    }
}

/// A folder for `/var/lib`, which the module finds there.
fn var_lib(engine: &Engine) -> (TempDir, PathBuf, String) {
    let directory = engine.temp_dir();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let folder = directory.path().join("qcss_scanner");
    let setup = format!("mount -n --bind {} /var/lib", directory.path().display());
    (directory, folder, setup)
}

/// Runs `script` as a user without rights until dropped.
struct Hostile(Child);

impl Hostile {
    fn new(script: &str, folder: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(folder).uid(NOBODY).gid(NOBODY).process_group(0);
        command.current_dir("/").stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process_group(rustix::process::Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// They take whatever lock they can get, on the folder as well, and put all kinds of things into it where they can.
#[rstest]
fn hostile_users_keep_nobody_waiting(#[values(None, Some(0o755), Some(0o777))] left: Option<u32>) {
    let engine = Engine::shared();
    let (_directory, folder, setup) = var_lib(engine);
    let scanner = Scanner::new(engine);
    let names = lock_files(&scanner);
    if let Some(mode) = left {
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        for name in &names {
            fs::write(folder.join(name), "process 1").unwrap();
        }
    }
    let hold = Hostile::new("cd \"$1\" || exit; for f in . *; do flock \"$f\" sleep 600 & done; wait", &folder);
    let plant = names.iter().map(|name| format!("ln -sf /etc/passwd '{name}'; rm -f '{name}'; mkfifo '{name}'"));
    let poll = format!(
        "while :; do cd \"$1\" && {{ {}; for f in . *; do flock -n \"$f\" sleep 0.1 & done; }}; sleep 0.01; done",
        plant.collect::<Vec<_>>().join("; ")
    );
    let pollers = [Hostile::new(&poll, &folder), Hostile::new(&poll, &folder)];
    if left.is_some() {
        thread::sleep(std::time::Duration::from_millis(300));
    }
    let before = fs::read("/etc/passwd").unwrap();
    for (options, changes) in [
        (json!({}), true),
        (json!({"image": "qualys/qcsa:2"}), true),
        (json!({"image": "qualys/qcsa:2"}), false),
        (json!({"image": "qualys/qcsa:2", "memory": "64M"}), true),
        (json!({"state": "absent", "purge": true}), true),
    ] {
        let reply = scanner.module().args(quick()).args(options).arg("timeout", 5).after(&setup).run();
        assert_eq!((reply.failed(), &reply["changed"]), (false, &json!(changes)), "{reply:#?}");
    }
    drop((hold, pollers));
    assert_eq!(fs::read("/etc/passwd").unwrap(), before);
    assert_eq!(folder.metadata().unwrap().mode() & 0o7777, 0o700);
    for name in names {
        assert!(!folder.join(&name).exists(), "{name}");
    }
}

/// The names of the files for `scanner` and its engine.
fn lock_files(scanner: &Scanner) -> Vec<String> {
    let root_dir = scanner.engine.root_dir().replace('/', "%");
    vec![format!("scanner {} of {root_dir}", scanner.name), format!("resources of {root_dir}")]
}

/// What others can do does not depend on who started the module.
#[test]
fn the_umask_does_not_matter() {
    let home = Home::new();
    let engine = &home.engine;
    let (_directory, of_root, setup) = var_lib(engine);
    let scanner = Scanner::new(engine);
    scanner.module().args(quick()).run().changed();
    let bits = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    for umask in ["0", "0277", "0777"] {
        for is_root in [true, false] {
            let folder = if is_root { of_root.clone() } else { home.folder() };
            let module =
                scanner.run_state().args(json!({"restart": true, "settle": 60})).after(&format!("umask {umask}"));
            let running = if is_root { module.after(&setup) } else { home.owner(module) }.start();
            let file = folder.join(&lock_files(&scanner)[0]);
            eventually("it is locked", || file.metadata().is_ok_and(|it| it.len() > 0));
            assert_eq!((bits(&folder), bits(&file)), (0o700, 0o600), "{umask}");
            running.signal(Signal::TERM);
            running.finish().unwrap().refused("interrupted");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "{umask}");
            fs::remove_dir(&folder).unwrap();
        }
    }
}

/// An engine that everybody may use, and a user who is not root, as that of a rootless one.
struct Home {
    engine: Engine,
    directory: PathBuf,
    passwd: PathBuf,
}

impl Home {
    fn new() -> Self {
        let engine = Engine::private(Engine::WITHOUT_BRIDGE);
        fs::set_permissions(engine.socket(), Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(engine.directory(), Permissions::from_mode(0o755)).unwrap();
        let directory = engine.directory().join("home");
        fs::create_dir(&directory).unwrap();
        chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
        let passwd = engine.directory().join("passwd");
        let line = format!("nobody:x:{NOBODY}:{NOBODY}::{}:/bin/sh\n", directory.display());
        fs::write(&passwd, format!("root:x:0:0::/root:/bin/sh\n{line}")).unwrap();
        Self { engine, directory, passwd }
    }

    fn folder(&self) -> PathBuf {
        self.directory.join(".qcss_scanner")
    }

    /// `module` run by this user, whom the user database knows.
    fn owner(&self, module: Module) -> Module {
        module.by_nobody().after(&format!("mount -n --bind {} /etc/passwd", self.passwd.display()))
    }
}

#[test]
fn a_user_who_is_not_root_locks_at_home() {
    let home = Home::new();
    let engine = &home.engine;
    let scanner = Scanner::new(engine);
    let directories =
        json!({"shared_dir": home.directory.join("shared"), "private_dir": home.directory.join("private")});
    let elsewhere = engine.temp_dir();
    chown(elsewhere.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let task = |options: Value| {
        let module = scanner.module().args(quick()).args(directories.clone()).args(options);
        // What a run finds in its environment is not what the next one finds.
        let variables = ["HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"];
        home.owner(variables.iter().fold(module, |module, name| module.env(name, elsewhere.path())))
    };
    task(json!({})).check().run().changed();
    assert!(!home.folder().exists());
    let replies = at_once(vec![json!({}); 6], |options| task(options).disturbed().run());
    assert!(replies.iter().all(|reply| !reply.failed()), "{replies:#?}");
    assert_eq!(replies.iter().filter(|reply| reply["changed"] == true).count(), 1, "{replies:#?}");
    let folder = home.folder().metadata().unwrap();
    assert_eq!((folder.mode() & 0o7777, folder.uid()), (0o700, NOBODY));
    task(json!({})).run().unchanged();

    let replacing = task(json!({"image": "qualys/qcsa:2", "settle": 60})).start();
    let file = &lock_files(&scanner)[0];
    eventually("it is locked", || home.folder().join(file).exists());
    assert!(!LockKey::scanner(&engine.root_dir(), &scanner.name).exists());
    let waiting = task(json!({"state": "stopped", "timeout": 1, "settle": 0, "stop_timeout": 1})).disturbed().run();
    let message = waiting.refused("timeout");
    assert!(message.contains(&format!("scanner `{}`", scanner.name)), "{message}");
    replacing.signal(Signal::KILL);
    assert!(replacing.finish().is_none());
    let reply = task(json!({"image": "qualys/qcsa:2"})).run().changed();
    assert_eq!(reply.actions(), ["recover"]);
    task(json!({"state": "absent", "purge": true})).run().changed();
    assert_eq!(fs::read_dir(home.folder()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn home_is_a_variable_only_for_users_whom_the_database_does_not_know() {
    let home = Home::new();
    let engine = &home.engine;
    let scanner = Scanner::new(engine);
    scanner.module().args(quick()).run().changed();
    let stop = || scanner.run_state().args(json!({"state": "stopped", "stop_timeout": 1}));
    fs::write(&home.passwd, "root:x:0:0::/root:/bin/sh\n").unwrap();
    for check in [true, false] {
        let module = |home: &str| if check { stop().check().env("HOME", home) } else { stop().env("HOME", home) };
        for wrong in ["", "relative", "/nonexistent"] {
            let message = home.owner(module(wrong)).run().refused("permission_denied");
            assert!(message.contains("no home directory") && message.contains("become: true"), "{message}");
        }
        home.owner(module(home.directory.to_str().unwrap())).run().changed();
    }
    assert!(home.folder().is_dir());
}

/// The disk is full, but not of files: a lock is a file without contents then, and goes as any other.
#[test]
fn a_full_disk_keeps_no_scanner_from_being_managed_and_no_file() {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().args(quick()).run().changed();
    let (directory, folder, setup) = var_lib(scanner.engine);
    stdout(Command::new("mount").args(["-n", "-t", "tmpfs", "-o", "size=4k,mode=755", "none"]).arg(directory.path()));
    let _ = fs::write(directory.path().join("all"), [0; 8192]);
    let reply = scanner.module().args(json!({"state": "absent", "purge": true})).after(&setup).run();
    let left = fs::read_dir(&folder).map(Iterator::count);
    stdout(Command::new("umount").arg(directory.path()));
    reply.changed();
    assert_eq!(left.unwrap(), 0);
}

fn quick() -> Value {
    json!({"settle": 0.2, "stop_timeout": 1})
}
