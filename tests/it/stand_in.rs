//! The stand-in scanner behaves as the vendor's is known to, and misbehaves as told: what the other tests build on.

use std::fs;
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::support::{Engine, Scanner, eventually};

const SHARED: &str = "/usr/local/qualys";
const PRIVATE: &str = "/usr/local/qualys/admin/etc";
const CODE: &[&str] = &["-e", "PERSONALIZATION_CODE=21808056913298"];
const URL: &[&str] = &["-e", "QUALYS_URL=https://qualysguard.qualys.com"];

#[rstest]
#[case::shared_store(&[PRIVATE], &[CODE, URL], "Shared store is not mounted")]
#[case::private_store(&[SHARED], &[CODE, URL], "Private store is not mounted")]
#[case::code(&[SHARED, PRIVATE], &[URL], "required variable is not defined, use -e PERSONALIZATION_CODE")]
#[case::url(&[SHARED, PRIVATE], &[CODE], "required variable is not defined, use -e QUALYS_URL")]
fn ends_with_the_vendors_words_when_something_is_missing(
    #[case] mounts: &[&str],
    #[case] env: &[&[&str]],
    #[case] message: &str,
) {
    let mounts: Vec<_> = mounts.iter().map(|mount| format!("--volume={mount}")).collect();
    let mut run = vec!["run", "--rm"];
    run.extend(mounts.iter().map(String::as_str));
    run.extend(env.iter().copied().flatten());
    run.push("qualys/qcsa:1");

    let output = Engine::shared().try_docker(&run);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr).trim_end(), message);
}

#[test]
fn keeps_its_identity_in_its_private_store() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    scanner.by_hand(&[]);
    is_up(&scanner);
    let identity = fs::read_to_string(scanner.store().join("identity")).unwrap();
    assert!(scanner.log().contains(identity.trim_end()));

    engine.docker(&["rm", "-f", &scanner.name]);
    scanner.by_hand_from("qualys/qcsa:2", &[]);
    is_up(&scanner);
    assert!(scanner.log().contains(identity.trim_end()));
}

#[test]
fn refuses_a_code_that_was_used_with_another_private_store() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    scanner.by_hand(&[]);
    is_up(&scanner);

    engine.docker(&["rm", "-f", &scanner.name]);
    fs::remove_file(scanner.store().join("identity")).unwrap();
    scanner.by_hand(&[]);
    assert_eq!(exit_code(&scanner), 1);
    assert_eq!(scanner.log(), "perscode has already been used\n");
}

#[test]
fn ends_on_sigterm_at_once() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    is_up(&scanner);
    assert!(time_to_stop(&scanner) < Duration::from_secs(3));
    assert_eq!(exit_code(&scanner), 0);
}

#[test]
fn is_deaf_to_sigterm_when_told() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["-e STAND_IN_DEAF=1 --stop-timeout 1"]);
    is_up(&scanner);
    assert!(time_to_stop(&scanner) > Duration::from_secs(1));
    assert_eq!(exit_code(&scanner), 137);
}

#[rstest]
#[case::at_once("STAND_IN_DIE=3", 3)]
#[case::later("STAND_IN_DIE_AFTER=0.3", 1)]
#[case::later_with_a_code("STAND_IN_DIE=4 -e STAND_IN_DIE_AFTER=0.3", 4)]
fn dies_when_told(#[case] env: &str, #[case] code: i64) {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["-e", env]);
    assert_eq!(exit_code(&scanner), code);
}

#[test]
fn can_be_told_by_a_file_in_its_private_store() {
    let scanner = Scanner::new(Engine::shared());
    fs::create_dir_all(scanner.store()).unwrap();
    fs::write(scanner.store().join("stand-in.conf"), "STAND_IN_DIE=5\nSTAND_IN_LEAK=1\n").unwrap();
    scanner.by_hand(&[]);
    assert_eq!(exit_code(&scanner), 5);
    assert!(scanner.log().contains(&scanner.code));
}

#[test]
fn shows_its_code_to_nobody() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    is_up(&scanner);
    assert!(!scanner.log().contains(&scanner.code));
}

#[test]
fn has_versions_that_differ_in_id_environment_and_label() {
    let show = |tag| {
        let format = "{{.Id}} {{.Config.Env}} {{.Config.Labels}}";
        Engine::shared().docker(&["image", "inspect", "--format", format, tag])
    };
    let (one, two) = (show("qualys/qcsa:1"), show("qualys/qcsa:2"));
    assert_eq!(one.get(71..), Some(" [PATH=/bin QCSA_VERSION=1] map[vendor:stand-in version:1]"));
    assert_eq!(two.get(71..), Some(" [PATH=/bin QCSA_VERSION=2] map[vendor:stand-in version:2]"));
    assert_ne!(one.get(..71), two.get(..71));
    assert_eq!(show("qualys/qcsa"), one);
}

fn is_up(scanner: &Scanner) {
    eventually("scanner is up", || scanner.log().contains(" is up"));
}

fn exit_code(scanner: &Scanner) -> i64 {
    eventually("scanner has ended", || scanner.inspect()["State"]["Status"] == "exited");
    scanner.inspect()["State"]["ExitCode"].as_i64().unwrap()
}

fn time_to_stop(scanner: &Scanner) -> Duration {
    let start = Instant::now();
    Engine::shared().docker(&["stop", &scanner.name]);
    start.elapsed()
}
