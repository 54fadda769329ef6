//! What is refused is refused before anything is touched: in check mode as well, with the cause and the cure.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::OnceLock;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Fault, Module, Proxy, Scanner, Trap, foretold, untouched};

#[rstest]
fn a_container_that_is_no_scanner(#[values("started", "present", "stopped", "absent")] state: &str) {
    let scanner = Scanner::new(Engine::shared());
    scanner.engine.docker(&[
        "run",
        "-d",
        "--name",
        &scanner.name,
        "-v",
        "/data",
        "--entrypoint=sleep",
        "qualys/qcsa:1",
        "99",
    ]);
    for whole in [true, false] {
        let module = || if whole { scanner.module() } else { scanner.run_state() };
        let message = refused(&scanner, "not_a_scanner", || {
            module().args(json!({"state": state, "purge": true, "restart": true})).arg("timeout", 20)
        });
        assert!(message.ends_with(&format!("`{}`", scanner.name)), "{message}");
    }
    assert!(!scanner.store().exists());
}

#[rstest]
#[case::name(json!({"name": ""}), "got: ``")]
#[case::name_too_short(json!({"name": "a"}), "got: `a`")]
#[case::name_with_slash(json!({"name": "a/b"}), "got: `a/b`")]
#[case::code_with_slash(json!({"personalization_code": "canary/x-4711"}), "put it in quotes")]
#[case::code_that_climbs(json!({"personalization_code": ".."}), "put it in quotes")]
#[case::code_empty(json!({"personalization_code": ""}), "put it in quotes")]
#[case::code_alone(json!({"qualys_url": null}), "missing parameter(s) required by 'personalization_code': qualys_url")]
#[case::url(json!({"qualys_url": "http://host"}), "got: `http://host`")]
#[case::url_with_a_user(json!({"qualys_url": "https://user@host"}), "got: `https://user@host`")]
#[case::image(json!({"image": "-v"}), "got: `-v`")]
#[case::image_path(json!({"image": "../containers"}), "got: `../containers`")]
#[case::image_empty(json!({"image": ""}), "got: ``")]
#[case::shared_dir(json!({"shared_dir": "relative"}), "got: `relative`")]
#[case::shared_dir_root(json!({"shared_dir": "/"}), "got: `/`")]
#[case::private_dir_colon(json!({"private_dir": "/a:b"}), "got: `/a:b`")]
#[case::private_dir_climbs(json!({"private_dir": "/a/../b"}), "got: `/a/../b`")]
#[case::private_dir_mode(json!({"private_dir_mode": 448}), "got: `448`")]
#[case::memory(json!({"memory": "1024X"}), "got: `1024X`")]
#[case::memory_negative(json!({"memory": -1}), "got: `-1`")]
#[case::memory_little(json!({"memory": "5M"}), "got: `5242880` bytes")]
#[case::memory_huge(json!({"memory": "99999999t"}), "got: `99999999t`")]
#[case::swap_alone(json!({"memory_swap": "1g"}), "got: `1073741824` without memory")]
#[case::swap_little(json!({"memory": "2g", "memory_swap": "1g"}), "got: `1073741824` bytes")]
#[case::cpus(json!({"cpus": 0.001}), "got: `0.001`")]
#[case::cpus_negative(json!({"cpus": "-1"}), "got: `-1`")]
#[case::cpus_beyond_the_host(json!({"cpus": 4096}), "CPUs of the host, got: `4096`")]
#[case::memory_empty(json!({"memory": ""}), "for no limit give 0, or leave it out, got: ``")]
#[case::memory_nothing(json!({"memory": "0%"}), "for no limit give 0, or leave it out, got: `0%`")]
#[case::swap_empty(json!({"memory": "1g", "memory_swap": " "}), "for no limit give 0, or leave it out, got: ``")]
#[case::cpus_empty(json!({"cpus": ""}), "for no limit give 0, or leave it out, got: ``")]
#[case::proxy(json!({"https_proxy": "https://canary-user:canary-pass@proxy:3128"}), "with no other scheme and no path")]
#[case::polling(json!({"polling_interval": 29}), "got: `29`")]
#[case::update(json!({"update_interval": 241}), "got: `241`")]
#[case::refresh(json!({"refresh_interval": 0}), "got: `0`")]
#[case::refresh_type(json!({"refresh_interval": "soon"}), "cannot be converted to an int")]
#[case::ca_dir(json!({"ca_dir": "/nonexistent/ca"}), "put the root CA there: `/nonexistent/ca`")]
#[case::ca_dir_file(json!({"ca_dir": "/etc/passwd"}), "put the root CA there: `/etc/passwd`")]
#[case::network(json!({"network": "no-such-network"}), "got: `no-such-network`")]
#[case::network_option(json!({"network": "--ip"}), "got: `--ip`")]
#[case::env_owned(json!({"env": {"QUALYS_URL": "x"}}), "use qualys_url instead of `QUALYS_URL`")]
#[case::env_type(json!({"env": {"A": 1}}), "put the value in quotes of: `A`")]
#[case::env_no_dict(json!({"env": ["A"]}), "to a dict")]
#[case::restart_policy(json!({"restart_policy": "sometimes"}), "got: sometimes")]
#[case::privileged(json!({"privileged": "maybe"}), "is not a valid boolean.")]
#[case::labels(json!({"labels": {"a": true}}), "put the value in quotes of: `a`")]
#[case::labels_reserved(json!({"labels": {"qcss_scanner.replaces": "x"}}), "another name than: `qcss_scanner.replaces`")]
#[case::pull(json!({"pull": "newer"}), "value of pull must be one of: missing, always, never, got: newer")]
#[case::state(json!({"state": "running"}), "value of state must be one of: started, present, stopped, absent, got: running")]
#[case::recreate(json!({"recreate": "maybe"}), "value of recreate must be one of: auto, always, never, got: maybe")]
#[case::restart(json!({"restart": "maybe"}), "is not a valid boolean.")]
#[case::purge(json!({"purge": "maybe"}), "is not a valid boolean.")]
#[case::settle(json!({"settle": -1}), "got: `-1`")]
#[case::settle_nan(json!({"settle": "nan"}), "'nan' cannot be converted to a float")]
#[case::stop_timeout(json!({"stop_timeout": -1}), "got: `-1`")]
#[case::timeout(json!({"timeout": 0}), "got: `0`")]
#[case::docker_host(json!({"docker_host": "tcp://10.0.0.1:2375"}), "got: `tcp://10.0.0.1:2375`")]
#[case::unknown(json!({"memroy": "1g"}), "Unsupported parameters for (qcss_scanner) module: memroy. Supported")]
fn bad_values(#[case] options: Value, #[case] end: &str) {
    static SCANNER: OnceLock<Scanner> = OnceLock::new();
    let scanner = SCANNER.get_or_init(|| {
        let scanner = Scanner::new(Engine::shared());
        scanner.by_hand(&[]);
        scanner
    });
    let message = untouched(scanner, || {
        let [check, real] = [true, false].map(|check| {
            let module = scanner.module().args(options.clone());
            if check { module.check().run() } else { module.run() }
        });
        assert_eq!(check["msg"], real["msg"]);
        assert!(!real.line.contains("canary"), "{}", real.line);
        real
    })
    .refused("invalid_arguments");
    assert!(message.contains(end.trim_end_matches('.')), "{message}");
    assert!(end.ends_with('`') <= message.ends_with(end), "{message}");
}

#[test]
fn the_beginning_of_an_id_is_no_name() {
    let scanner = Scanner::new(Engine::shared());
    let id = scanner.by_hand(&[]);
    for prefix in [&id[..12], &id] {
        for (state, error) in [("started", true), ("present", true), ("stopped", false), ("absent", false)] {
            let task = || scanner.run_state().arg("name", prefix).arg("state", state);
            let reply = untouched(&scanner, || foretold(&scanner, task));
            if error { drop(reply.refused("invalid_arguments")) } else { drop(reply.unchanged()) }
        }
        let message = refused(&scanner, "already_in_use", || scanner.module().arg("name", prefix));
        assert!(message.ends_with(&format!("`{}`", scanner.name)), "{message}");
    }
}

#[rstest]
#[case::code("other", "same", "personalization_code")]
#[case::directory("same", "other", "the private directory")]
#[case::parent("parent", "other", "the private directory")]
#[case::child("child", "other", "the private directory")]
fn what_another_scanner_uses(
    #[case] directory: &str,
    #[case] code: &str,
    #[case] named: &str,
    #[values("running", "exited", "created")] neighbours_status: &str,
) {
    let (scanner, neighbour) = (Scanner::new(Engine::shared()), Scanner::new(Engine::shared()));
    let store = match directory {
        "same" => scanner.store(),
        "parent" => scanner.private_dir(),
        "child" => scanner.store().join("below"),
        _ => neighbour.store(),
    };
    let code = if code == "same" { &scanner.code } else { &neighbour.code };
    let verb: &[&str] = if neighbours_status == "running" { &["run", "-d"] } else { &["create"] };
    let options = [
        format!("--volume={}:/usr/local/qualys:z", neighbour.shared_dir().display()),
        format!("--volume={}:/usr/local/qualys/admin/etc:z", store.display()),
        format!("--env=PERSONALIZATION_CODE={code}"),
        format!("--name={}", neighbour.name),
    ];
    let command: Vec<_> =
        verb.iter().copied().chain(options.iter().map(String::as_str)).chain(["qualys/qcsa:1"]).collect();
    scanner.engine.docker(&command);
    if neighbours_status == "exited" {
        scanner.engine.docker(&["start", &neighbour.name]);
        scanner.engine.docker(&["stop", &neighbour.name]);
    }
    let message = refused(&scanner, "already_in_use", || scanner.module());
    assert!(message.contains(named) && message.ends_with(&format!("`{}`", neighbour.name)), "{message}");
    assert!(!message.contains(code.as_str()), "{message}");
    assert_eq!(scanner.ids(), [""; 0]);
}

#[test]
fn a_start_beside_one_that_uses_the_same_code() {
    let (scanner, neighbour) = (Scanner::new(Engine::shared()), Scanner::new(Engine::shared()));
    scanner.by_hand(&[]);
    scanner.engine.docker(&["stop", &scanner.name]);
    let code = format!("PERSONALIZATION_CODE={}", scanner.code);
    let store = format!("{}:/usr/local/qualys/admin/etc", neighbour.store().display());
    scanner.engine.docker(&["create", "--name", &neighbour.name, "-e", &code, "-v", &store, "qualys/qcsa:1"]);
    refused(&scanner, "already_in_use", || scanner.module());
    refused(&scanner, "already_in_use", || scanner.run_state().arg("state", "started"));
    refused(&scanner, "already_in_use", || scanner.module().args(json!({"state": "present", "recreate": "always"})));
    foretold(&scanner, || scanner.module().arg("state", "stopped")).unchanged();
    foretold(&scanner, || scanner.module().arg("state", "absent")).changed();
}

#[test]
fn a_backup_of_all_private_directories_is_in_nobodys_way() {
    let scanner = Scanner::new(Engine::shared());
    let backup = format!("{}-backup", scanner.name);
    let mount = format!("{}:/backup:ro", scanner.private_dir().display());
    scanner.engine.docker(&["create", "--name", &backup, "-v", &mount, "qualys/qcsa:1"]);
    scanner.module().run().changed();
}

#[rstest]
#[case("shared_dir")]
#[case("private_dir")]
#[case("store")]
#[case("dangling")]
fn a_path_that_is_no_directory(#[case] path: &str) {
    let scanner = Scanner::new(Engine::shared());
    let path = match path {
        "shared_dir" => scanner.shared_dir(),
        "private_dir" => scanner.private_dir(),
        _ => {
            fs::create_dir(scanner.private_dir()).unwrap();
            scanner.store()
        }
    };
    fs::write(&path, "precious").unwrap();
    for state in ["started", "present", "stopped"] {
        let message = refused(&scanner, "invalid_arguments", || scanner.module().arg("state", state));
        assert!(message.contains("_dir must be a directory"), "{message}");
    }
    if path == scanner.store() {
        refused(&scanner, "invalid_arguments", || scanner.module().args(json!({"state": "absent", "purge": true})));
    }
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[rstest]
#[case::id(json!({"image": "0123456789ab"}), "`0123456789ab`")]
#[case::full_id(json!({"image": format!("sha256:{}", "0".repeat(64))}), "an id cannot be pulled")]
#[case::never(json!({"image": "qualys/qcsa:9", "pull": "never"}), "`qualys/qcsa:9`")]
#[case::registry_down(json!({"image": "127.0.0.1:1/qualys/qcsa:9"}), "`127.0.0.1:1/qualys/qcsa:9`")]
#[case::newest(json!({"image": "127.0.0.1:1/qualys/qcsa:1", "pull": "always"}), "`127.0.0.1:1/qualys/qcsa:1`")]
fn an_image_that_is_not_to_be_had(#[case] options: Value, #[case] named: &str, #[values(true, false)] exists: bool) {
    let scanner = Scanner::new(Engine::shared());
    if exists {
        scanner.by_hand_created(&[]);
    }
    for state in ["started", "present", "stopped"] {
        let message =
            refused(&scanner, "image_not_found", || scanner.module().args(options.clone()).arg("state", state));
        assert!(message.contains(named), "{message}");
    }
    assert_eq!(scanner.shared_dir().exists(), exists);
    scanner.module().args(options).arg("state", "absent").run();
}

#[test]
fn an_unknown_network_for_a_new_scanner_or_by_id() {
    let scanner = Scanner::new(Engine::bridged());
    let id = scanner.engine.docker(&["network", "inspect", "--format", "{{.Id}}", "bridge"]);
    for network in ["no-such-network", &id, &id[..12]] {
        let message = refused(&scanner, "invalid_arguments", || scanner.module().arg("network", network));
        assert!(message.ends_with(&format!("`{network}`")), "{message}");
    }
    assert!(!scanner.shared_dir().exists());
    scanner.module().args(json!({"network": "default", "state": "present"})).run().changed();
    scanner.module().args(json!({"network": "bridge", "state": "present"})).run().unchanged();
}

/// What an engine on cgroup v1 says of a limit below what is in use; on v2 it takes any, so that another answers in its place.
#[test]
fn a_limit_that_the_engine_refuses() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["--memory 256M"]);
    let proxy = Proxy::new(scanner.engine);
    let task = |memory: &str| scanner.module().through(&proxy).arg("memory", memory);
    task("192M").run().changed();
    let update = proxy.requests().iter().position(|it| it.path.ends_with("/update")).unwrap();
    proxy.set(Trap::once(Fault::Status(400), update));
    let message = untouched(&scanner, || task("128M").run()).refused("engine_error");
    assert!(message.starts_with("cannot update the scanner: "), "{message}");
    assert!(proxy.release());

    if scanner.engine.docker(&["info", "--format", "{{.CgroupVersion}}"]) == "1" {
        let fill = "busybox dd if=/dev/zero of=/dev/shm/fill bs=1048576 count=48";
        scanner.engine.docker(&["exec", &scanner.name, "sh", "-c", fill]);
        let message = untouched(&scanner, || scanner.module().arg("memory", "8M").run()).refused("engine_error");
        assert!(message.starts_with("cannot update the scanner: "), "{message}");
    }
    task("192M").run().unchanged();
}

#[rstest]
#[case("a restart would remove it", "started", json!({"restart": true}))]
#[case("a stop would remove it", "stopped", json!({}))]
#[case("a replacement (env)", "started", json!({"env": {"A": "1"}}))]
#[case("a replacement (env)", "started", json!({"env": {"A": "1"}, "recreate": "never"}))]
#[case("a replacement (recreate)", "started", json!({"recreate": "always"}))]
#[case("it cannot have a restart policy", "present", json!({"restart_policy": "always"}))]
#[case("it cannot have a restart policy", "started", json!({"restart_policy": "on-failure:3", "memory": "64M"}))]
fn what_would_lose_a_scanner_that_removes_itself(#[case] named: &str, #[case] state: &str, #[case] options: Value) {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["--rm"]);
    let message = refused(&scanner, "needs_replacement", || scanner.module().args(options.clone()).arg("state", state));
    assert!(message.contains("--rm") && message.contains(named), "{message}");
    assert!(message.contains("remove it first with state=absent"), "{message}");
    // What does not end it goes on as usual.
    foretold(&scanner, || scanner.module().args(json!({"cpus": 1, "restart_policy": "no"}))).changed();
    foretold(&scanner, || scanner.module().arg("state", "absent")).changed();
    assert_eq!(scanner.ids(), [""; 0]);
}

#[rstest]
fn an_engine_that_does_not_answer(#[values("gone", "dead", "file", "directory")] what: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    match what {
        "dead" => drop(UnixListener::bind(&path).unwrap()),
        "file" => fs::write(&path, "").unwrap(),
        "directory" => fs::create_dir(&path).unwrap(),
        _ => {}
    }
    unreachable(&path, "no Docker engine answers; start it, or give docker_host");
}

/// Other programs than Docker; the last one takes the connection and never says a word.
#[rstest]
#[case::hangs_up("")]
#[case::other_protocol("220 mail.example.org ESMTP\r\n")]
#[case::garbage("\u{0}\u{1}\u{2}\n\n\n\n")]
#[case::web_server("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<html>canary\r\n")]
#[case::not_found("HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\ncanary")]
#[case::other_json("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"canary\":1}")]
#[case::broken_json("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"canary\"")]
#[case::silent("(silent)")]
fn a_program_that_is_no_engine(#[case] answer: &'static str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if answer == "(silent)" {
                kept.push(stream);
                continue;
            }
            while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0)
                && stream.write_all(answer.as_bytes()).is_ok()
            {
                if !answer.starts_with("HTTP") {
                    break;
                }
            }
        }
    });
    unreachable(&path, if answer == "(silent)" { "give more timeout" } else { "is not that of a Docker engine" });
}

#[test]
fn a_user_who_may_not_talk_to_the_engine() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    for task in [scanner.module(), scanner.module().check(), scanner.run_state().arg("state", "stopped")] {
        let message = untouched(&scanner, || task.by_nobody().run()).refused("permission_denied");
        assert!(message.contains("become: true"), "{message}");
    }
}

#[test]
fn a_user_who_may_talk_to_the_engine_but_owns_nothing() {
    let scanner = Scanner::new(Engine::shared());
    let proxy = Proxy::new(scanner.engine);
    let host = proxy.host();
    let socket = Path::new(host.strip_prefix("unix://").unwrap());
    for (path, mode) in [(socket, 0o666), (socket.parent().unwrap(), 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for check in [true, false] {
        let module = scanner.module().arg("docker_host", host.as_str()).arg("_ansible_check_mode", check);
        let message = untouched(&scanner, || module.by_nobody().run()).refused("permission_denied");
        assert!(message.contains("become: true"), "{message}");
    }
    assert_eq!(proxy.writes(), []);
}

/// Refused, in check mode and for real, and nothing is touched; the message.
#[track_caller]
fn refused(scanner: &Scanner, error: &str, task: impl Fn() -> Module) -> String {
    untouched(scanner, || foretold(scanner, task)).refused(error)
}

fn unreachable(path: &Path, named: &str) {
    let scanner = Scanner::new(Engine::shared());
    let host = format!("unix://{}", path.display());
    for module in [scanner.module(), scanner.module().check(), scanner.run_state().arg("state", "absent")] {
        let reply = module.arg("docker_host", host.as_str()).arg("timeout", 1).run();
        assert!(!reply.line.contains("canary"), "{}", reply.line);
        let message = reply.refused("engine_unreachable");
        assert!(message.contains(named) && message.ends_with(&format!("`{host}`")), "{message}");
    }
    assert!(!scanner.shared_dir().exists());
}
