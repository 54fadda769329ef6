//! Surroundings that mean no good: whatever they are, one line says what is wrong, and nothing is half-done.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, FakeEngine, Module, Scanner, eventually};

#[test]
fn private_dir_may_be_a_link() {
    let scanner = Scanner::new(Engine::shared());
    let target = scanner.shared_dir().with_file_name("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, scanner.private_dir()).unwrap();
    scanner.module().arg("settle", 0.2).run().changed();
    scanner.module().run().unchanged();
    eventually("it registers", || target.join(&scanner.code).join("identity").exists());

    scanner.module().args(json!({"state": "absent", "purge": true})).run().changed();
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
}

#[rstest]
fn a_path_that_leads_through_something_else_is_refused(
    #[values("file", "dangling link", "link to itself", "socket")] what: &str,
    #[values("shared_dir", "private_dir", "the identity itself")] which: &str,
) {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir_all(scanner.private_dir()).unwrap();
    let path = match which {
        "the identity itself" => scanner.store(),
        which => scanner.shared_dir().with_file_name(format!("bad-{which}")),
    };
    match what {
        "file" => fs::write(&path, "precious").unwrap(),
        "dangling link" => symlink("/nonexistent/directory", &path).unwrap(),
        "link to itself" => symlink(&path, &path).unwrap(),
        _ => drop(UnixListener::bind(&path).unwrap()),
    }
    let module = || match which {
        "the identity itself" => scanner.module(),
        which => scanner.module().arg(which, path.join("below").to_str().unwrap()),
    };
    let message = module().run().refused("invalid_arguments");
    assert!(message.contains("must be a directory"), "{message}");
    module().check().run().refused("invalid_arguments");
    assert_eq!(scanner.containers(), []);
    if which != "shared_dir" {
        module().args(json!({"state": "absent", "purge": true})).run().refused("invalid_arguments");
    }
    assert!(fs::symlink_metadata(&path).is_ok());
    if what == "file" {
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}

/// The file system is like that for the module alone, and goes away with it.
#[rstest]
#[case::read_only(
    "mount -t tmpfs -o ro none",
    "engine_error",
    "read-only file system; choose a path on a writable file system"
)]
#[case::full("mount -t tmpfs -o nr_inodes=1 none", "engine_error", "free some space")]
fn a_directory_that_cannot_be_made_is_said_before_anything_is_done(
    #[case] mount: &str,
    #[case] error: &str,
    #[case] words: &str,
    #[values("shared", "private")] which: &str,
) {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir(scanner.shared_dir()).unwrap();
    fs::create_dir(scanner.private_dir()).unwrap();
    let path = if which == "shared" { scanner.shared_dir() } else { scanner.private_dir() };
    let below = if which == "shared" { json!({"shared_dir": path.join("below")}) } else { json!({}) };
    let setup = format!("{mount} {}", path.display());
    let message = scanner.module().args(below.clone()).after(&setup).run().refused(error);
    assert!(message.contains(words) && message.contains(path.to_str().unwrap()), "{message}");
    assert_eq!(scanner.containers(), []);
    scanner.module().args(below).arg("settle", 0.2).run().changed();
}

#[rstest]
#[case::read_only("mount -t tmpfs -o ro none /var/lib")]
#[case::full("mount -t tmpfs -o nr_inodes=1 none /var/lib")]
fn without_a_place_for_the_lock_nothing_is_touched(#[case] setup: &str) {
    let scanner = Scanner::new(Engine::shared());
    let id = scanner.by_hand(&[]);
    scanner.module().after(setup).run().unchanged();
    // Check mode makes no lock, and so does not see that there is no place left for one.
    let module = scanner.module().arg("state", "absent").after(setup).disturbed();
    let message = module.run().refused("engine_error");
    assert!(message.contains("/var/lib/qcss_scanner"), "{message}");
    assert_eq!(scanner.inspect()["Id"], id);
}

#[test]
fn a_purge_that_the_host_forbids_can_be_made_good() {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().arg("settle", 0.2).run().changed();
    eventually("it registers", || scanner.identity().is_some());
    let folder = scanner.private_dir().display().to_string();
    let purge = json!({"name": scanner.name, "state": "absent", "purge": true});
    let module = || Module::new(Engine::shared()).args(purge.clone());
    let setup = format!("mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}");
    module().after(&setup).run().refused("engine_error");
    assert!(scanner.identity().is_some());
    module().run().changed();
    assert!(!scanner.store().exists());
    assert_eq!(scanner.containers(), []);
}

#[rstest]
#[case::nothing_at_all(b"")]
#[case::another_protocol(b"SSH-2.0-OpenSSH_9.2p1\r\n")]
#[case::binary(b"\x16\x03\x01\x02\x00\x00\xff\xfe")]
#[case::a_web_page(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>")]
#[case::another_api(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")]
#[case::a_list(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]")]
#[case::not_found(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found")]
#[case::elsewhere(b"HTTP/1.1 301 Moved\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n")]
#[case::no_content(b"HTTP/1.1 204 No Content\r\n\r\n")]
#[case::length_that_lies(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{")]
#[case::length_that_is_none(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{")]
fn what_is_no_engine_is_said_to_be_none(#[case] answer: &'static [u8]) {
    let scanner = Scanner::new(Engine::shared());
    let host = listen(&scanner, answer, false);
    for module in [scanner.module(), scanner.module().arg("state", "absent").check()] {
        let begin = Instant::now();
        let reply = module.args(json!({"docker_host": host, "timeout": 1})).run();
        let error = reply["error"].as_str().unwrap_or_default();
        assert!(["engine_unreachable", "engine_error"].contains(&error), "{reply:#?}");
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
    assert!(!scanner.shared_dir().exists());
}

#[rstest]
#[case::headers(b"HTTP/1.1 200 OK\r\n", b"X-More: and more and more and more and more\r\n")]
#[case::body(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n\"", b"and more and more and more and more")]
#[case::chunks(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\n    \r\n")]
#[case::progress(b"", b"HTTP/1.1 100 Continue\r\n\r\n")]
fn an_answer_without_end_comes_to_one(#[case] begin: &'static [u8], #[case] more: &'static [u8]) {
    let scanner = Scanner::new(Engine::shared());
    let started = Instant::now();
    let host = listen_with(&scanner, move |client| {
        let mut going = client.write_all(begin);
        let block = more.repeat(100);
        while going.is_ok() && started.elapsed() < Duration::from_secs(10) {
            going = client.write_all(&block);
        }
    });
    scanner.module().args(json!({"docker_host": host, "timeout": 1})).run().refused("engine_unreachable");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_program_that_never_answers_is_not_waited_for() {
    let scanner = Scanner::new(Engine::shared());
    let host = listen(&scanner, b"", true);
    let begin = Instant::now();
    let message = scanner.module().args(json!({"docker_host": host, "timeout": 1})).run().refused("engine_unreachable");
    assert!(message.contains("does not answer in time"), "{message}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[rstest]
#[case::missing("none", "engine_unreachable")]
#[case::file("file", "engine_unreachable")]
#[case::directory("", "engine_unreachable")]
#[case::below_a_file("file/docker.sock", "engine_unreachable")]
fn what_is_no_socket_is_no_engine(#[case] name: &str, #[case] error: &str) {
    let scanner = Scanner::new(Engine::shared());
    let directory = scanner.shared_dir().with_file_name("sockets");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("file"), "").unwrap();
    let host = format!("unix://{}", directory.join(name).display());
    scanner.module().arg("docker_host", host).run().refused(error);
}

#[rstest]
fn an_image_that_looks_like_something_else_is_no_image(
    #[values(
        "--privileged",
        "-v",
        "-",
        "qualys/qcsa:1 --privileged",
        "qualys/qcsa:1\n",
        "../../etc",
        "/etc/passwd",
        "a;reboot",
        "$(reboot)",
        "qualys/qcsa?x=1",
        "qualys/qcsa#x",
        "qualys/qcsa%2f..",
        "qualys/qcsa:1/json",
        "https://qualys/qcsa",
        ":1",
        "qualys/qcsa@sha256:1",
        "sha256:",
        "sha256:xyz",
        "QUALYS/QCSA",
        " ",
        "qualys/qcsa:\u{1f600}"
    )]
    image: &str,
) {
    let scanner = Scanner::new(Engine::shared());
    let reply = scanner.module().arg("image", image).arg("pull", "never").run();
    let error = reply["error"].as_str().unwrap_or_default();
    assert!(["invalid_arguments", "image_not_found"].contains(&error), "{reply:#?}");
    assert_eq!(scanner.containers(), []);
    assert!(!scanner.shared_dir().exists());
}

#[test]
fn values_of_env_arrive_as_they_are() {
    let scanner = Scanner::new(Engine::shared());
    let env = json!({
        "LINES": "first\nsecond\r\n\tthird ", "QUOTES": "it's \"quoted\" `here` $HOME ${X} $(reboot)", "EQUAL": "a=b=c",
        "UNICODE": "\u{e4} \u{1f600} \u{2028} \u{85}", "EMPTY": "", "LONG": "x".repeat(10_000), "-v": "option", "a b": "space",
    });
    let module = || scanner.module().args(json!({"settle": 0.2, "env": env}));
    module().run().changed();
    module().run().unchanged();
    let inspect = scanner.inspect();
    let entries: Vec<_> = inspect["Config"]["Env"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    for (name, value) in env.as_object().unwrap() {
        let entry = format!("{name}={}", value.as_str().unwrap());
        assert!(entries.contains(&entry.as_str()), "{entry:?} is not in {entries:?}");
    }
}

#[rstest]
#[case::nul_in_a_value("A", "a\0b")]
#[case::nul_in_a_name("A\0B", "b")]
#[case::equal_sign_in_a_name("A=B", "b")]
#[case::no_name("", "b")]
fn what_no_environment_can_hold_is_refused(#[case] name: &str, #[case] value: &str) {
    let scanner = Scanner::new(Engine::shared());
    scanner.module().args(json!({"env": {name: value}})).run().refused("invalid_arguments");
    assert_eq!(scanner.containers(), []);
}

#[rstest]
fn ten_thousand_characters_are_refused_or_taken(
    #[values(
        "name",
        "personalization_code",
        "qualys_url",
        "image",
        "shared_dir",
        "private_dir",
        "private_dir_mode",
        "memory",
        "memory_swap",
        "cpus",
        "https_proxy",
        "ca_dir",
        "network",
        "restart_policy",
        "pull",
        "state",
        "recreate",
        "docker_host",
        "settle",
        "timeout",
        "polling_interval",
        "privileged"
    )]
    option: &str,
    #[values("x", "/x", "9", "\u{1f600}", "../")] unit: &str,
) {
    let scanner = Scanner::new(Engine::shared());
    let value = unit.repeat(10_000);
    let begin = Instant::now();
    let reply = scanner.module().args(json!({"settle": 0.2, "pull": "never", option: value})).run();
    assert!(begin.elapsed() < Duration::from_secs(20));
    if reply.failed() {
        let sensible = ["invalid_arguments", "image_not_found", "start_failed", "engine_error"];
        let error = reply["error"].as_str().unwrap();
        assert!(sensible.contains(&error), "{error}: {}", reply["msg"]);
        assert_eq!(scanner.containers(), []);
    }
}

/// Listens at a socket as a program that answers every connection's first request with `answer`.
fn listen(scanner: &Scanner, answer: &'static [u8], stays: bool) -> String {
    listen_with(scanner, move |client| {
        let _ = client.write_all(answer);
        if stays {
            thread::sleep(Duration::from_secs(10));
        }
    })
}

fn listen_with(scanner: &Scanner, serve: impl Fn(&mut dyn Write) + Send + Sync + Copy + 'static) -> String {
    let path = scanner.shared_dir().with_file_name("other.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let _ = client.read(&mut [0; 4096]);
                serve(&mut client);
            });
        }
    });
    format!("unix://{}", path.display())
}

/// The engine's host and this one may disagree on the time, and both may be set in the middle.
#[rstest]
fn a_clock_that_was_set_makes_no_scanner_dead(
    #[values(
        "2099-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "2026-02-30T25:61:61+99:99",
        "yesterday",
        ""
    )]
    started_at: &'static str,
) {
    let engine = FakeEngine::new();
    engine.answer(move |_, path| {
        let found = |value: Value| (200, value.to_string().into_bytes());
        match path {
            "/containers/json" => found(json!([{"Id": "1", "Names": ["/scanner"]}])),
            "/containers/1/json" => found(json!({
                "Id": "1", "Name": "/scanner", "Image": "sha256:1111", "RestartCount": 3,
                "State": {"Status": "running", "Running": true, "StartedAt": started_at},
                "Config": {"Env": ["PERSONALIZATION_CODE=21808056913298"]},
                "Mounts": [{"Source": "/q/1", "Destination": "/usr/local/qualys/admin/etc", "RW": true}],
            })),
            _ => (404, br#"{"message": "not found"}"#.to_vec()),
        }
    });
    let module = Module::new(Engine::shared()).args(json!({"docker_host": engine.host(), "name": "scanner"}));
    module.arg("settle", 0.3).run().unchanged();
}
