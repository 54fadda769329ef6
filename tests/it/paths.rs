//! Paths that would make the module, or the engine, a way into the host: each is refused before anything is touched, and what
//! is outside of a scanner's own directories stays as it is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Module, Scanner, eventually, foretold, untouched};

/// The folder that the scanner's directories are in.
fn folder(scanner: &Scanner) -> PathBuf {
    scanner.shared_dir().parent().unwrap().to_owned()
}

/// A directory outside of the scanner's own, with something in it.
fn outside(scanner: &Scanner) -> PathBuf {
    let outside = folder(scanner).join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    outside
}

/// Options whose paths begin in the scanner's folder, which is written `@`.
fn options(scanner: &Scanner, options: &Value) -> Value {
    let text = options.to_string().replace('@', folder(scanner).to_str().unwrap()).replace("CODE", &scanner.code);
    serde_json::from_str(&text.replace("ENGINE", scanner.engine.directory().to_str().unwrap())).unwrap()
}

/// The vendor's command, with other directories.
fn by_hand(scanner: &Scanner, shared: &str, identity: &str) {
    let (shared, identity) =
        (format!("{shared}:/usr/local/qualys:z"), format!("{identity}:/usr/local/qualys/admin/etc:z"));
    let code = format!("PERSONALIZATION_CODE={}", scanner.code);
    let url = "QUALYS_URL=https://qualysguard.qualys.com";
    let name = &scanner.name;
    scanner.engine.docker(&[
        "run",
        "-d",
        "-v",
        &shared,
        "-v",
        &identity,
        "-e",
        &code,
        "--name",
        name,
        "-e",
        url,
        "qualys/qcsa:1",
    ]);
}

fn purge(module: Module) -> Module {
    module.args(json!({"state": "absent", "purge": true}))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[rstest]
#[case::shared_above_private(json!({"shared_dir": "@", "private_dir": "@/private"}), "shared_dir")]
#[case::shared_above_by_a_link(json!({"shared_dir": "@/link", "private_dir": "@/private"}), "shared_dir")]
#[case::private_in_shared_by_a_link(json!({"shared_dir": "@/real", "private_dir": "@/link/real/x"}), "shared_dir")]
#[case::shared_is_the_identity(json!({"shared_dir": "@/private/CODE", "private_dir": "@/private"}), "shared_dir")]
#[case::shared_in_the_identity(json!({"shared_dir": "@/private/CODE/shared", "private_dir": "@/private"}), "shared_dir")]
#[case::ca_in_shared(json!({"shared_dir": "@/real", "ca_dir": "@/real/ca"}), "ca_dir")]
#[case::ca_is_shared(json!({"shared_dir": "@/real", "ca_dir": "@/link/real"}), "ca_dir")]
#[case::ca_above_private(json!({"private_dir": "@/real/ca/x", "ca_dir": "@/real/ca"}), "ca_dir")]
#[case::a_system_directory(json!({"shared_dir": "/var/run"}), "shared_dir")]
#[case::a_system_directory_by_dots(json!({"ca_dir": "/usr/./"}), "ca_dir")]
#[case::the_folder_of_the_socket(json!({"shared_dir": "ENGINE"}), "shared_dir")]
#[case::the_engines_own(json!({"shared_dir": "ENGINE/data/volumes"}), "shared_dir")]
#[case::the_engines_own_as_identity(json!({"private_dir": "ENGINE", "personalization_code": "data"}), "private_dir")]
fn own_paths_that_break_a_rule(#[case] given: Value, #[case] named: &str) {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir_all(folder(&scanner).join("real/ca")).unwrap();
    symlink(folder(&scanner), folder(&scanner).join("link")).unwrap();
    let task = || scanner.module().args(options(&scanner, &given));
    let message = untouched(&scanner, || foretold(&scanner, task)).refused("invalid_arguments");
    assert!(message.starts_with(&format!("{named} must not ")) && message.contains("got: `"), "{message}");
    assert_eq!(fs::read_dir(folder(&scanner)).unwrap().count(), 2, "something was made");
}

/// A container that is there goes on being managed; what is wrong with it is said.
#[test]
fn a_scanner_with_its_identity_in_its_shared_directory_goes_on() {
    let scanner = Scanner::new(Engine::shared());
    let shared = folder(&scanner);
    by_hand(&scanner, &shared.display().to_string(), &scanner.store().display().to_string());
    let task = || scanner.module().arg("shared_dir", shared.to_str().unwrap());
    assert_eq!(task().run().unchanged().warnings(), "");
    let warned = |reply: &crate::support::Reply| {
        let warnings = reply.warnings();
        let named = warnings.contains(&scanner.name) && warnings.contains("shared_dir must not");
        assert!(named && warnings.contains("choose another path"), "{warnings}");
    };
    warned(&foretold(&scanner, || task().arg("image", "qualys/qcsa:2")).changed());
    scanner.run_state().arg("state", "stopped").run().changed();
    warned(&scanner.run_state().run().changed());
    // Whatever the scanner put in the place of its directory is no longer started.
    scanner.run_state().arg("state", "stopped").run().changed();
    let target = outside(&scanner);
    fs::rename(scanner.store(), folder(&scanner).join("moved")).unwrap();
    symlink(&target, scanner.store()).unwrap();
    let before = mode(&target);
    for task in [scanner.run_state(), task(), task().arg("private_dir_mode", "0700"), purge(scanner.run_state())] {
        untouched(&scanner, || task.run()).refused("invalid_arguments");
    }
    assert_eq!((mode(&target), target.join("precious").exists()), (before, true));
    scanner.run_state().arg("state", "absent").run().changed();
    assert!(target.join("precious").exists());
}

#[rstest]
fn an_identity_directory_that_is_a_link_is_refused(#[values("shared", "outside", "another identity")] to: &str) {
    let (scanner, other) = (Scanner::new(Engine::shared()), Scanner::new(Engine::shared()));
    fs::create_dir_all(scanner.private_dir()).unwrap();
    let target = match to {
        "shared" => {
            fs::create_dir(scanner.shared_dir()).unwrap();
            scanner.shared_dir()
        }
        "outside" => outside(&scanner),
        _ => {
            other.module().run().changed();
            eventually("the other one has its identity", || other.identity().is_some());
            other.store()
        }
    };
    symlink(&target, scanner.store()).unwrap();
    let entries = || fs::read_dir(&target).unwrap().count();
    let before = (entries(), mode(&target));
    for task in [scanner.module(), scanner.module().arg("private_dir_mode", "0700"), purge(scanner.module())] {
        untouched(&scanner, || task.run()).refused("invalid_arguments");
    }
    assert_eq!((entries(), mode(&target)), before);
}

#[rstest]
#[case::others_identity_as_shared(json!({"shared_dir": "<identity>"}))]
#[case::folder_of_all_identities_as_shared(json!({"shared_dir": "<private>"}))]
#[case::below_others_identity_as_ca(json!({"ca_dir": "<identity>/ca"}))]
#[case::others_shared_as_ca(json!({"ca_dir": "<shared>"}))]
#[case::identity_in_others_shared(json!({"private_dir": "<shared>/private"}))]
#[case::identity_in_others_identity(json!({"private_dir": "<identity>"}))]
fn what_another_scanner_can_write_to_is_refused(#[case] given: Value, #[values(false, true)] by_link: bool) {
    let (scanner, other) = (Scanner::new(Engine::shared()), Scanner::new(Engine::shared()));
    other.module().run().changed();
    fs::create_dir(other.store().join("ca")).unwrap();
    let root = folder(&scanner).join("link");
    symlink(folder(&other), &root).unwrap();
    let root = if by_link { root } else { folder(&other) };
    let path = |name: &str| root.join(name).display().to_string();
    let text = given.to_string();
    let text = text.replace("<identity>", &path(&format!("private/{}", other.code)));
    let text = text.replace("<private>", &path("private")).replace("<shared>", &path("shared"));
    let given: Value = serde_json::from_str(&text).unwrap();
    let message =
        untouched(&scanner, || foretold(&scanner, || scanner.module().args(given.clone()))).refused("already_in_use");
    assert!(message.ends_with(&format!("`{}`", other.name)), "{message}");
}

/// Only the table of mounts shows it: the device is the same.
#[rstest]
fn a_bind_mount_leads_where_it_leads(#[values("shared", "in the identity")] where_: &str) {
    let (scanner, other) = (Scanner::new(Engine::shared()), Scanner::new(Engine::shared()));
    other.module().run().changed();
    fs::create_dir_all(scanner.shared_dir().join("leak")).unwrap();
    fs::create_dir_all(scanner.store().join("leak")).unwrap();
    let leak = if where_ == "shared" { scanner.shared_dir() } else { scanner.store() }.join("leak");
    let setup = format!("mount --bind {} {}", other.store().display(), leak.display());
    let reply = untouched(&scanner, || scanner.module().after(&setup).run());
    let message = reply.refused("already_in_use");
    assert!(message.ends_with(&format!("`{}`", other.name)), "{message}");
}

#[test]
fn plain_setups_notice_nothing() {
    let first = Scanner::new(Engine::shared());
    let agent = format!("{}-agent", first.name);
    let disk = folder(&first).join("disk");
    fs::create_dir_all(disk.join("qualys/ca")).unwrap();
    symlink(&disk, folder(&first).join("opt")).unwrap();
    first.engine.docker(&["create", "--name", &agent, "-v", "/:/host", "qualys/qcsa:1"]);
    let directories = options(
        &first,
        &json!({"shared_dir": "@/opt/qualys/shared", "private_dir": "@/opt/qualys/private", "ca_dir": "@/opt/qualys/ca"}),
    );
    let second = Scanner::new(Engine::shared());
    for scanner in [&first, &second] {
        let task = || scanner.module().args(directories.clone());
        assert_eq!(foretold(scanner, task).changed().warnings(), "");
        assert_eq!(task().run().unchanged().warnings(), "");
        assert_eq!(task().arg("image", "qualys/qcsa:2").run().changed().warnings(), "");
    }
    for scanner in [&first, &second] {
        purge(scanner.module().args(directories.clone())).run().changed();
    }
    assert_eq!(fs::read_dir(disk.join("qualys/private")).unwrap().count(), 0);
    first.engine.docker(&["rm", "-f", &agent]);
}

#[rstest]
#[case::it_is_one("{}", false)]
#[case::below("{}/below", true)]
fn purge_deletes_nothing_that_is_mounted(#[case] point: &str, #[case] make: bool) {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().run().changed();
    eventually("it has its identity", || scanner.identity().is_some());
    let (precious, point) = (outside(&scanner), point.replace("{}", scanner.store().to_str().unwrap()));
    if make {
        fs::create_dir(&point).unwrap();
    }
    let setup = format!("mount --bind {} {point}", precious.display());
    for task in [purge(scanner.module()), purge(scanner.run_state())] {
        let message = untouched(&scanner, || task.after(&setup).run()).refused("invalid_arguments");
        assert!(message.contains("unmount it first"), "{message}");
    }
    assert!(precious.join("precious").exists() && scanner.identity().is_some());
    purge(scanner.run_state()).run().changed();
}

#[test]
fn purge_of_a_directory_above_others_is_refused() {
    let (scanner, other) = (Scanner::new(Engine::shared()), Scanner::new(Engine::shared()));
    other.module().run().changed();
    // The folder of all identities has the name of a code.
    let private = other.private_dir();
    let task = || {
        let options =
            json!({"private_dir": folder(&other), "personalization_code": private.file_name().unwrap().to_str()});
        purge(scanner.module()).args(options)
    };
    untouched(&other, || foretold(&scanner, task)).refused("already_in_use");
    assert!(other.store().exists());
}

#[test]
fn depth_is_not_bounded_by_descriptors() {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().run().changed();
    let deep =
        format!("cd {} && for i in $(seq 1100); do mkdir d && cd -P d || exit 1; done", scanner.store().display());
    let made = std::process::Command::new("bash").args(["-c", &deep]).status().unwrap();
    assert!(made.success());
    purge(scanner.module()).under("ulimit -n 64").run().changed();
    assert!(!scanner.store().exists());
    assert_eq!(fs::read_dir(scanner.private_dir()).unwrap().count(), 0);
}

#[rstest]
#[case(0o000, 0o755)]
#[case(0o022, 0o755)]
#[case(0o027, 0o750)]
#[case(0o777, 0o700)]
fn what_the_umask_leaves_is_never_too_much(#[case] umask: u32, #[case] expected: u32) {
    let scanner = Scanner::new(Engine::shared());
    let task = || scanner.module().under(&format!("umask {umask:03o}"));
    task().run().changed();
    for path in [scanner.shared_dir(), scanner.private_dir(), scanner.store()] {
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    task().arg("private_dir_mode", "0710").run().changed();
    assert_eq!(mode(&scanner.store()), 0o710);
    task().arg("private_dir_mode", "1777").run().refused("invalid_arguments");
}

#[test]
fn new_directories_are_roots_whatever_the_folder_hands_on() {
    let scanner = Scanner::new(Engine::shared());
    chown(folder(&scanner), Some(1234), Some(5678)).unwrap();
    fs::set_permissions(folder(&scanner), fs::Permissions::from_mode(0o2775)).unwrap();
    scanner.module().run().changed();
    for path in [scanner.shared_dir(), scanner.private_dir(), scanner.store()] {
        let found = fs::metadata(path).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (0, 0, 0o755));
    }
}

/// The mounts of a container are compared by what they lead to.
#[rstest]
fn a_mount_through_a_link_is_no_difference(#[values(true, false)] by_hand_through_it: bool) {
    let scanner = Scanner::new(Engine::shared());
    let real = folder(&scanner);
    let link = real.with_extension("link");
    symlink(&real, &link).unwrap();
    fs::create_dir(real.join("ca")).unwrap();
    let through = json!({
        "shared_dir": link.join("shared"), "private_dir": link.join("private"), "ca_dir": link.join("ca"),
    });
    let plain = json!({"ca_dir": real.join("ca")});
    let (first, then) = if by_hand_through_it { (through, plain) } else { (plain, through) };
    scanner.module().args(first).run().changed();
    scanner.module().args(then.clone()).run().unchanged();
    // It still is none when there is another reason to replace it.
    let reply = scanner.module().args(then).arg("image", "qualys/qcsa:2").run().changed();
    assert_eq!(reply["differences"].as_array().unwrap().len(), 1, "{reply:#?}");
    fs::remove_file(link).unwrap();
}

#[rstest]
#[case::volume(true, "running")]
#[case::directory(false, "exited")]
fn an_identity_elsewhere_is_not_left_behind(#[case] volume: bool, #[case] status: &str) {
    let scanner = Scanner::new(Engine::shared());
    let elsewhere = folder(&scanner).join("elsewhere");
    let source = if volume { format!("identity-of-{}", scanner.name) } else { elsewhere.display().to_string() };
    by_hand(&scanner, &scanner.shared_dir().display().to_string(), &source);
    eventually("it has its identity", || scanner.log().contains(" is up"));
    if status == "exited" {
        scanner.engine.docker(&["stop", &scanner.name]);
    }
    let task = || scanner.module().arg("image", "qualys/qcsa:2");
    let message = untouched(&scanner, || foretold(&scanner, task)).refused("already_in_use");
    assert!(message.contains("copy the content") && message.contains("private_dir"), "{message}");
    // As the message says.
    let mount = scanner.inspect()["Mounts"].as_array().unwrap().iter().find_map(|it| {
        (it["Destination"] == "/usr/local/qualys/admin/etc").then(|| it["Source"].as_str().unwrap().to_owned())
    });
    scanner.engine.docker(&["stop", &scanner.name]);
    fs::create_dir_all(scanner.private_dir()).unwrap();
    let copied = std::process::Command::new("cp").args(["-a", &mount.unwrap()]).arg(scanner.store()).status().unwrap();
    assert!(copied.success());
    foretold(&scanner, task).changed();
    if volume {
        scanner.engine.docker(&["volume", "rm", &source]);
    }
}

#[test]
fn two_entries_of_one_task_in_each_others_way() {
    let (one, two) = (Scanner::new(Engine::shared()), Scanner::new(Engine::shared()));
    let link = folder(&two).join("link");
    symlink(folder(&one), &link).unwrap();
    for (private, named) in [
        (one.store(), "one inside the other"),
        (link.join("private").join(&one.code), "in each other's way"),
        (link.join("shared"), "in each other's way"),
    ] {
        let mut other = two.args();
        other["private_dir"] = json!(private);
        let task = || Module::new(one.engine).arg("scanners", json!([one.args(), other]));
        let message = untouched(&one, || foretold(&one, task)).refused("invalid_arguments");
        assert!(message.contains(named) && message.contains(&two.name), "{message}");
        assert_eq!(fs::read_dir(folder(&one)).unwrap().count(), 0);
    }
}

/// There root in a container is another user on the host, whom the vendor's scanner needs to be able to write.
#[test]
fn a_scanner_starts_where_users_are_remapped() {
    let options = [Engine::WITHOUT_BRIDGE, &["--userns-remap=dockremap"]].concat();
    let engine = Engine::private(&options);
    let scanner = Scanner::new(&engine);
    fs::set_permissions(folder(&scanner), fs::Permissions::from_mode(0o755)).unwrap();
    chown(folder(&scanner), Some(0), Some(0)).unwrap();
    let task = || scanner.module().arg("private_dir_mode", "0700");
    foretold(&scanner, task).changed();
    eventually("it has its identity", || scanner.identity().is_some());
    let remapped: u32 = engine.root_dir().rsplit('.').next().unwrap().parse().unwrap();
    for path in [scanner.shared_dir(), scanner.private_dir(), scanner.store()] {
        let found = fs::metadata(path).unwrap();
        assert_eq!((found.uid(), found.gid()), (remapped, remapped));
    }
    task().run().unchanged();
    purge(scanner.module()).run().changed();
    assert!(!scanner.store().exists());
}
