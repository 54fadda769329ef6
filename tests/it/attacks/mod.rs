//! Whatever surrounds the module attacks it: each case bounds the time, the CPU and the memory that it takes, and there is a line.

mod answers;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Engine, FakeEngine, Module, Reply, Scanner};

/// The most time that a case takes, beside what the task allows it.
const TIME: Duration = Duration::from_secs(15);
/// The most CPU seconds.
const CPU: u32 = 10;
/// The most memory in MiB; the kernel refuses more address space, and the module has its line all the same.
const MEMORY: u32 = 64;
/// The same for large answers, which the release reads in 64: a debug build maps more, and takes more for the same.
const MEMORY_OF_ANSWERS: u32 = 96;

/// Runs `module` with these limits.
#[track_caller]
fn bounded(module: Module) -> Reply {
    bounded_by(MEMORY, module)
}

#[track_caller]
fn bounded_by(memory: u32, module: Module) -> Reply {
    let begin = Instant::now();
    let reply = module.with_address_space(memory).with_cpu_seconds(CPU).run();
    assert!(begin.elapsed() < TIME, "{:?}", begin.elapsed());
    reply
}

/// An engine that has one image less than the task wants, and a docker configuration.
fn without_image() -> FakeEngine {
    let engine = FakeEngine::new();
    engine.answer(|_, path| match path {
        "/containers/json" => (200, b"[]".to_vec()),
        "/info" => (200, b"{}".to_vec()),
        _ => (404, br#"{"message": "no such image"}"#.to_vec()),
    });
    engine
}

fn task(engine: &FakeEngine) -> Module {
    let directory = engine.directory();
    Module::new(Engine::shared()).args(json!({
        "docker_host": engine.host(), "name": "scanner-1", "personalization_code": "canary-code", "qualys_url": "US2",
        "image": "registry.example.com/qcsa:1", "timeout": 2,
        "shared_dir": directory.join("shared"), "private_dir": directory.join("private"),
    }))
}

/// With a docker configuration, and `script` as the helper `canary`.
fn with_helper(module: Module, directory: &Path, script: &str) -> Module {
    let program = directory.join("docker-credential-canary");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.join("config.json"), r#"{"credsStore": "canary"}"#).unwrap();
    module.env("DOCKER_CONFIG", directory).env("PATH", format!("{}:/usr/bin:/bin", directory.display()))
}

#[rstest]
#[case::hangs("sleep 60", "timeout", "the credential helper does not end within 2 s")]
#[case::hangs_deaf(
    "trap '' TERM HUP INT; sleep 60; sleep 60",
    "timeout",
    "the credential helper does not end within 2 s"
)]
#[case::forks_and_hangs("sleep 60 & exec sleep 60", "timeout", "the credential helper does not end within 2 s")]
#[case::prints_without_end("exec cat /dev/zero", "engine_error", "the credential helper prints more than 1 MiB")]
#[case::fails("echo canary-secret; exit 1", "image_not_found", "cannot get the image")]
#[case::says_nonsense("echo '{\"Username\": [\"canary-secret\"]}'", "image_not_found", "cannot get the image")]
fn a_credential_helper_is_bounded(
    #[case] script: &str,
    #[case] error: &str,
    #[case] words: &str,
    #[values(true, false)] check: bool,
) {
    let engine = without_image();
    let module = with_helper(task(&engine), engine.directory(), script);
    let reply = bounded(if check { module.check() } else { module });
    assert!(!reply.line.contains("canary-secret"), "{}", reply.line);
    let message = reply.refused(error);
    assert!(message.contains(words), "{message}");
    assert!(!engine.directory().join("shared").exists());
}

/// What it left behind would hold the output for ever.
#[test]
fn a_helper_that_forks_and_ends_has_said_what_it_says() {
    let engine = without_image();
    let script = "sleep 60 & echo '{\"Username\": \"u\", \"Secret\": \"canary-secret\"}'";
    let begin = Instant::now();
    let reply = bounded(with_helper(task(&engine), engine.directory(), script).arg("timeout", 30).check());
    assert!(!reply.line.contains("canary-secret"), "{}", reply.line);
    reply.refused("image_not_found");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[rstest]
#[case::a_path("../evil", "without its folder")]
#[case::below_the_working_directory("a/evil", "without its folder")]
fn a_helper_has_no_folder(#[case] name: &str, #[case] words: &str) {
    let engine = without_image();
    fs::write(engine.directory().join("config.json"), json!({"credsStore": name}).to_string()).unwrap();
    let reply = bounded(task(&engine).env("DOCKER_CONFIG", engine.directory()).check());
    let message = reply.refused("engine_error");
    assert!(message.contains(words) && message.ends_with(&format!("`{name}`")), "{message}");
}

#[test]
fn a_helper_is_not_looked_for_where_the_module_happens_to_run() {
    let engine = without_image();
    let mark = engine.directory().join("mark");
    let script = format!("touch {}", mark.display());
    // The module runs in `/`, below which the folder is found by a relative path.
    let relative = engine.directory().strip_prefix("/").unwrap().display().to_string();
    let module = with_helper(task(&engine), engine.directory(), &script);
    bounded(module.env("PATH", format!("{relative}:.:/bin")).check()).refused("image_not_found");
    assert!(!mark.exists());
}

#[rstest]
#[case::pipe("mkfifo config.json", "must be a regular file")]
#[case::endless("ln -s /dev/zero config.json", "must be a regular file")]
#[case::large("truncate -s 3G config.json", "at most 1 MiB")]
#[case::garbage("head -c 9000 /dev/urandom >config.json", "cannot get the image")]
#[case::deep("yes '[' | head -100000 | tr -d '\\n' >config.json", "cannot get the image")]
fn a_docker_configuration_is_bounded(#[case] make: &str, #[case] words: &str) {
    let engine = without_image();
    let made = Command::new("sh").args(["-c", make]).current_dir(engine.directory()).status().unwrap();
    assert!(made.success());
    for module in [task(&engine).check(), task(&engine)] {
        let reply = bounded(module.env("DOCKER_CONFIG", engine.directory()));
        assert!(reply["msg"].as_str().unwrap().contains(words), "{reply:#?}");
    }
}

/// What is named as an archive is not quoted, not waited for, and not read into memory.
#[rstest]
#[case::pipe("mkfifo x", "it is not a regular file")]
#[case::endless("ln -s /dev/zero x", "it is not a regular file")]
#[case::directory("mkdir x", "it is not a regular file")]
#[case::shadow("echo 'root:canary-hash:19000:0:99999:7:::' >x", "it is not an archive as docker save writes it")]
#[case::key(
    "(echo '-----BEGIN PRIVATE KEY-----'; yes canary | head -99999) >x",
    "it is not an archive as docker save writes it"
)]
#[case::manifest_of_another_type(
    "echo '[\"canary\"]' >manifest.json && tar cf x manifest.json",
    "it is not an archive as docker save writes it"
)]
#[case::many_tags(
    "(printf '[{\"Config\": \"c\", \"RepoTags\": [\"a:1\"'; seq -f ',\"a:%.0f\"' 100000; echo ']}]') >manifest.json && tar cf x manifest.json",
    "and 99996 more"
)]
#[case::large_manifest(
    "truncate -s 1G manifest.json && tar cf - manifest.json | gzip -1 >x",
    "it is not an archive as docker save writes it"
)]
#[case::deep_manifest(
    "yes '[' | head -100000 >manifest.json && tar cf x manifest.json",
    "it is not an archive as docker save writes it"
)]
#[case::wide_index(
    "(yes '{},' | head -600000 | tr -d '\\n' | sed 's/^/{\"manifests\": [/') >index.json && tar cf x index.json",
    "it is not an archive as docker save writes it"
)]
fn an_archive_is_bounded(#[case] make: &str, #[case] words: &str) {
    let engine = without_image();
    let made = Command::new("bash").args(["-c", make]).current_dir(engine.directory()).status().unwrap();
    assert!(made.success());
    for module in [task(&engine).check(), task(&engine)] {
        let reply = bounded(module.arg("image_archive", engine.directory().join("x").to_str().unwrap()));
        assert!(!reply.line.contains("canary-hash") && !reply.line.contains("canary\\n"), "{}", reply.line);
        let message = reply.refused("image_not_found");
        assert!(message.contains(words), "{message}");
    }
}

/// An entry that gives the next one its long name: a reader of names reads it whole.
#[test]
fn a_long_name_in_an_archive_is_not_read_into_memory() {
    let engine = without_image();
    let path = engine.directory().join("x");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size(100 << 20);
    header.set_cksum();
    let gzip = format!("(cat; head -c {} /dev/zero) | gzip -1 >{}", 100 << 20, path.display());
    let mut packing = Command::new("sh").args(["-c", &gzip]).stdin(Stdio::piped()).spawn().unwrap();
    packing.stdin.take().unwrap().write_all(header.as_bytes()).unwrap();
    assert!(packing.wait().unwrap().success());
    let reply = bounded(task(&engine).arg("image_archive", path.to_str().unwrap()).check());
    let message = reply.refused("image_not_found");
    assert!(message.contains("it is not an archive as docker save writes it"), "{message}");
}

/// The limits under which Ansible, a service or a container may run the module.
#[rstest]
#[case::address_space("ulimit -v 65536")]
#[case::stack("ulimit -s 256")]
#[case::file_size("ulimit -f 0")]
#[case::core("ulimit -c unlimited")]
fn there_is_a_line_under_any_limit(#[case] limit: &str) {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    let run = |module: Module| module.under_with_a_pipe(limit).run();
    assert_eq!(run(scanner.module())["changed"], false);
    run(scanner.module().arg("memory", "64M")).changed();
}

/// However few there are, what is missing is called by its name. How many a run needs depends on what it inherits.
#[test]
fn too_few_descriptors_are_called_so() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    let enough = (4..32).find(|count| {
        let limit = format!("ulimit -n {count}");
        let run = |module: Module| module.under_with_a_pipe(&limit).start().finish().unwrap();
        let replies = [run(scanner.module()), run(scanner.module().arg("memory", "64M"))];
        for reply in &replies {
            let lacks = reply.failed() && reply["msg"].as_str().unwrap().contains("too many open files");
            assert!(!reply.failed() || lacks, "{limit}: {reply:#?}");
        }
        replies.iter().all(|reply| !reply.failed())
    });
    assert!(enough.is_some(), "32 are too few");
}

#[rstest]
#[case::full(">/dev/full")]
#[case::closed(">&-")]
#[case::for_reading("1</dev/null")]
#[case::nobody_reads("| true")]
fn who_does_not_get_the_line_learns_it_from_the_exit_code(#[case] stdout: &str) {
    let directory = TempDir::new().unwrap();
    let args = directory.path().join("args");
    fs::write(&args, r#"{"_ansible_module_name": "qcss_scanner_info", "docker_host": "unix:///nonexistent"}"#).unwrap();
    let run = |arguments: &str| {
        // `true` has ended by then.
        let script =
            format!("set -o pipefail; (sleep 0.3; exec {} {arguments}) {stdout}", env!("CARGO_BIN_EXE_qcss_scanner"));
        Command::new("bash").args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null()).status().unwrap().code()
    };
    assert_eq!(run(args.to_str().unwrap()), Some(1));
    // This one would exit with 0.
    assert_eq!(run("--version"), Some(1));
}

#[test]
fn a_variable_that_is_not_text_does_not_lead_to_another_engine() {
    use std::os::unix::ffi::OsStringExt;
    let engine = without_image();
    let variable = std::ffi::OsString::from_vec(b"unix:///\xff.sock".to_vec());
    let message =
        bounded(task(&engine).without("docker_host").env("DOCKER_HOST", variable)).refused("invalid_arguments");
    assert!(message.starts_with("DOCKER_HOST must be text in UTF-8"), "{message}");
}

/// Nothing of the process can be dumped, and no other process of its user looks into it.
#[test]
fn the_process_keeps_its_secrets_to_itself() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let module = Module::new(Engine::shared()).args(json!({
        "docker_host": format!("unix://{}", path.display()), "name": "scanner-1", "personalization_code": "canary-code",
        "qualys_url": "US2", "image": "x", "timeout": 5,
    }));
    let anybody = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    anybody(directory.path(), 0o755);
    anybody(&path, 0o666);
    let running = module.by_nobody().start();
    let (mut client, _) = listener.accept().unwrap();
    let process = Path::new("/proc").join(running.pid().as_raw_nonzero().to_string());
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"]);
    // The kernel gives root the files of a process that cannot be dumped (proc(5)).
    assert_eq!(fs::metadata(process.join("environ")).unwrap().uid(), 0);
    client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
    drop(running.finish());
}

#[rstest]
#[case::html("<html><h1>canary</h1></html>")]
#[case::doctype("<!DOCTYPE html>canary")]
#[case::html_after_a_mark("\u{feff}\n <HTML>canary</HTML>")]
#[case::json_of_another_kind(r#"{"message": ["canary"]}"#)]
#[case::html_in_json(r#"{"message": "<html>canary</html>"}"#)]
fn a_page_of_a_proxy_is_not_quoted(#[case] body: &'static str) {
    let engine = FakeEngine::new();
    engine.answer(move |_, _| (502, body.as_bytes().to_vec()));
    let reply = bounded(task(&engine));
    assert!(
        !reply.line.contains("canary<") && reply["msg"].as_str().unwrap().contains("HTTP status 502"),
        "{reply:#?}"
    );
}

#[test]
fn an_engines_message_is_bounded_and_moves_no_cursor() {
    let engine = FakeEngine::new();
    let message = format!("\u{1b}[2Jno\r\n{}", "x".repeat(500_000));
    engine.answer(move |_, _| (400, json!({"message": message}).to_string().into_bytes()));
    let reply: Value = serde_json::from_str(&bounded(task(&engine)).line).unwrap();
    let shown = reply["msg"].as_str().unwrap();
    assert!(shown.len() < 10_000 && !shown.contains(['\u{1b}', '\r']), "{shown}");
}
