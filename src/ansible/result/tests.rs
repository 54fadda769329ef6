mod diff;

use std::collections::BTreeSet;

use rstest::rstest;

use super::*;
use crate::error::{Error, Kind};
use crate::run::outcome::Failed;
use crate::scanner::allocation::{Allocation, Host};
use crate::scanner::example::{by_hand, observation};
use crate::scanner::observation::{Observation, OnHost};
use crate::scanner::operation::Operation;
use crate::scanner::plan::Plan;
use crate::scanner::replacement::Containers;
use crate::scanner::values::capacity::Capacity;
use crate::testing::{parse, request};

const REAL: Mode = Mode { check: false, diff: true };
const CHECK: Mode = Mode { check: true, diff: true };

/// What comes of a plan that was carried out, or would be.
fn outcome(request: &Request, observation: &Observation) -> ScannerOutcome {
    let plan = Plan::make(request, observation).unwrap();
    let mut outcome = ScannerOutcome { reached: true, ..ScannerOutcome::default() };
    outcome.planned(&plan);
    outcome.actions = plan.operations.iter().filter_map(Operation::word).collect();
    outcome.changed = !outcome.actions.is_empty();
    let current = observation.observed.clone();
    outcome.container = LastLook::new(Some(&Containers { current, ..Containers::default() }));
    outcome
}

fn result(reply: Reply) -> Value {
    serde_json::from_str(&reply.into_line()).unwrap()
}

/// The reply for one scanner.
fn alone(request: Request, scanner: ScannerOutcome, mode: Mode) -> Value {
    let outcome = Outcome { scanners: vec![scanner], ..Outcome::default() };
    result(super::reply(&[request], &outcome, false, mode))
}

fn reply(options: &Value, observation: &Observation, mode: Mode) -> Value {
    let request = request(options).unwrap();
    let outcome = outcome(&request, observation);
    alone(request, outcome, mode)
}

fn failed(kind: Kind, at: usize, message: &str) -> Failed {
    Failed { at: Some(at), refused: false, error: Error::new(kind, message).into() }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_keys_are_those_of_the_contract() {
    let quiet = reply(&json!({}), &observation(Some(by_hand())), Mode { check: false, diff: false });
    assert_eq!(keys(&quiet), ["actions", "changed", "command", "container", "differences", "msg", "scanner"]);
    assert_eq!(
        keys(&quiet["container"]),
        ["exit_code", "id", "image", "image_id", "name", "restart_count", "running", "started_at", "status"]
    );
    assert_eq!(
        keys(&quiet["scanner"]),
        ["category", "cpus", "memory", "private_dir", "qualys_url", "shared_dir", "swap"]
    );

    let request = request(&json!({"cpus": 1})).unwrap();
    let mut scanner = outcome(&request, &observation(Some(by_hand())));
    scanner.rolled_back = Some(false);
    let capacity = Capacity { memory: 1 << 30, swap: Some(0), cpus: 2 };
    let allocation = Allocation { name: "scanner".to_owned(), memory: None, swap: None, cpus: None };
    let full = Outcome {
        scanners: vec![scanner],
        host: Some(Host::new(&capacity, &[allocation])),
        warnings: vec!["careful".to_owned()],
        failure: Some(failed(Kind::Timeout, 0, "no")),
    };
    let full = result(super::reply(&[request], &full, false, REAL));
    assert_eq!(
        keys(&full),
        [
            "actions",
            "changed",
            "command",
            "container",
            "diff",
            "differences",
            "error",
            "failed",
            "host",
            "msg",
            "rolled_back",
            "scanner",
            "warnings",
        ]
    );
    assert_eq!(keys(&full["differences"][0]), ["after", "before", "field", "way"]);
    assert_eq!(keys(&full["host"]), ["cpus", "memory", "swap"]);
    assert_eq!(keys(&full["host"]["memory"]), ["allocated", "available", "total"]);
    assert_eq!([&full["failed"], &full["error"], &full["msg"]], [&json!(true), &json!("timeout"), &json!("no")]);
}

#[test]
fn every_action_has_its_word_and_its_sentence() {
    let words: BTreeSet<_> = ACTIONS.iter().map(|(word, ..)| *word).collect();
    let contract = [
        "create",
        "create_directory",
        "load_image",
        "pull_image",
        "purge_directory",
        "recover",
        "remove",
        "replace",
        "restart",
        "roll_back",
        "start",
        "stop",
        "unpause",
        "update",
    ];
    assert_eq!(words.into_iter().collect::<Vec<_>>(), contract);
    assert_eq!(ACTIONS.len(), contract.len());
}

#[rstest]
#[case::nothing(json!({}), Some(by_hand()), false, "the scanner is already in the desired state: `scanner`", "the scanner is already in the desired state: `scanner`")]
#[case::create(json!({}), None, true, "created, started: `scanner`", "would create, start: `scanner`")]
#[case::update(json!({"cpus": 1}), Some(by_hand()), true, "updated: `scanner`", "would update: `scanner`")]
#[case::replace(json!({"recreate": "always"}), Some(by_hand()), true, "replaced: `scanner`", "would replace: `scanner`")]
#[case::two_updates_are_said_once(json!({"cpus": 1, "private_dir_mode": "0750"}), Some(by_hand()), true,
    "updated: `scanner`", "would update: `scanner`")]
#[case::remove(json!({"state": "absent", "purge": true}), Some(by_hand()), true,
    "deleted the private directory, removed: `scanner`", "would delete the private directory, remove: `scanner`")]
#[case::unpause(json!({}), Some(by_hand().with_status(Status::Paused)), true,
    "unpaused: `scanner`", "would unpause: `scanner`")]
fn one_line_for_people(
    #[case] options: Value,
    #[case] observed: Option<Observed>,
    #[case] changed: bool,
    #[case] done: &str,
    #[case] would: &str,
) {
    for (mode, message) in [(REAL, done), (CHECK, would)] {
        let reply = reply(&options, &observation(observed.clone()), mode);
        assert_eq!([&reply["changed"], &reply["msg"]], [&json!(changed), &json!(message)]);
    }
}

#[test]
fn a_failure_says_what_came_of_it_the_first_cause_first() {
    let request = request(&json!({"recreate": "always"})).unwrap();
    let mut scanner = outcome(&request, &observation(Some(by_hand())));
    (scanner.changed, scanner.rolled_back, scanner.actions) = (true, Some(true), vec!["roll_back"]);
    let error = anyhow::Error::new(Error::new(Kind::StartFailed, "it ended")).context("the old scanner is back");
    let failure = Some(Failed { at: Some(0), refused: false, error });
    let outcome = Outcome { scanners: vec![scanner], failure, ..Outcome::default() };
    let reply = result(super::reply(&[request], &outcome, false, REAL));
    assert_eq!(
        json!([reply["changed"], reply["actions"], reply["rolled_back"], reply["error"], reply["msg"]]),
        json!([true, ["roll_back"], true, "start_failed", "it ended; the old scanner is back"])
    );
}

#[test]
fn where_nobody_could_look_there_is_no_container() {
    let request = request(&json!({})).unwrap();
    let mut scanner = outcome(&request, &observation(Some(by_hand())));
    scanner.container = LastLook::Unknown;
    assert_eq!(keys(&alone(request, scanner, REAL)), ["actions", "changed", "command", "diff", "differences", "msg"]);
}

#[test]
fn check_mode_shows_the_scanner_that_would_be() {
    let options = json!({"memory": "1g", "cpus": 1.5});
    let would_be = reply(&options, &observation(None), CHECK);
    assert_eq!(
        would_be["scanner"],
        json!({
            "category": "limited", "memory": 1 << 30, "swap": 1 << 30, "cpus": 1.5,
            "qualys_url": "https://qualysguard.qualys.com", "shared_dir": "/usr/qualys/shared",
            "private_dir": "/usr/qualys/private",
        })
    );
    assert_eq!(would_be["container"], Value::Null);
    // And the one that it is made of reads the same.
    let made = by_hand().limited(1 << 30, 2 << 30, 1_500_000_000);
    assert_eq!(reply(&options, &observation(Some(made)), REAL)["scanner"], would_be["scanner"]);
}

#[rstest]
#[case::unlimited(by_hand(), json!(["unlimited", null, null, null]))]
#[case::limited(by_hand().limited(1 << 30, 3 << 30, 500_000_000), json!(["limited", 1 << 30, 2_u64 << 30, 0.5]))]
#[case::cpus_alone(by_hand().limited(0, 0, 500_000_000), json!(["limited", null, null, 0.5]))]
#[case::unlimited_swap(by_hand().limited(1 << 30, -1, 0), json!(["limited", 1 << 30, null, null]))]
fn a_scanner_in_figures(#[case] observed: Observed, #[case] figures: Value) {
    let scanner = &reply(&json!({}), &observation(Some(observed)), REAL)["scanner"];
    assert_eq!(json!([scanner["category"], scanner["memory"], scanner["swap"], scanner["cpus"]]), figures);
}

#[test]
fn without_its_three_options_a_task_has_no_command() {
    let request = parse(&json!({"name": "scanner", "state": "stopped"})).unwrap();
    let outcome = outcome(&request, &observation(Some(by_hand())));
    let reply = alone(request, outcome, REAL);
    assert_eq!(keys(&reply), ["actions", "changed", "container", "diff", "differences", "msg", "scanner"]);
    assert_eq!(reply["diff"]["before"], "state: running\n");
    assert_eq!(reply["diff"]["after"], "state: stopped\n");
}

/// Three scanners, of which the second failed.
#[test]
fn of_several_scanners_each_has_its_own_entry() {
    let options = |name: &str, code: &str, cpus: u32| json!({"name": name, "personalization_code": code, "cpus": cpus});
    let requests = [options("one", "code-0001", 1), options("two", "code-0002", 1), options("three", "code-0003", 1)];
    let requests = requests.map(|options| request(&options).unwrap());
    let fresh = observation(None);
    let mut scanners: Vec<_> = requests.iter().map(|request| outcome(request, &fresh)).collect();
    (scanners[1].changed, scanners[1].rolled_back) = (false, Some(true));
    (scanners[2].reached, scanners[2].changed, scanners[2].actions) = (false, false, Vec::new());
    let failure = Some(failed(Kind::StartFailed, 1, "it ended"));
    let outcome = Outcome { scanners, warnings: vec!["careful".to_owned()], failure, ..Outcome::default() };
    let reply = result(super::reply(&requests, &outcome, true, REAL));
    assert_eq!(keys(&reply), ["changed", "diff", "error", "failed", "msg", "results", "rolled_back", "warnings"]);
    assert_eq!(reply["msg"], "scanner `two`: it ended; done before it: `one`");
    assert_eq!(reply["changed"], true);
    let entries = reply["results"].as_array().unwrap();
    let said: Vec<_> = entries
        .iter()
        .map(|it| {
            json!([it["name"], it["changed"], it["failed"], it["rolled_back"], it["actions"], it["msg"]]).to_string()
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r#"
    ["one",true,null,null,["create","start"],"created, started: `one`"]
    ["two",false,true,true,["create","start"],"it ended"]
    ["three",false,null,null,[],"not reached: `three`"]
    "#);
    assert!(entries.iter().all(|it| it["command"].as_str().is_some_and(|it| it.contains("docker run"))));
    assert_eq!(reply["diff"].as_array().unwrap().len(), 3);
}

#[test]
fn several_scanners_that_are_as_desired_change_nothing() {
    let requests = [request(&json!({})).unwrap()];
    let scanners = vec![outcome(&requests[0], &observation(Some(by_hand())))];
    let outcome = Outcome { scanners, ..Outcome::default() };
    let reply = result(super::reply(&requests, &outcome, true, Mode { check: false, diff: false }));
    assert_eq!(keys(&reply), ["changed", "msg", "results"]);
    assert_eq!([&reply["changed"], &reply["msg"]], [&json!(false), &json!("changed 0 of 1 scanners")]);
}

#[test]
fn nothing_secret_is_in_a_reply() {
    let options = json!({
        "personalization_code": "canary-1", "https_proxy": "u:canary-2@proxy:1", "env": {"A": "canary-3"},
        "labels": {"id": "canary-1"}, "private_dir": "/srv/canary-1",
    });
    let old =
        by_hand().with_env("HTTPS_PROXY", "u:canary-2@proxy:1").with_env("A", "canary-3").with_label("id", "canary-1");
    for observed in [None, Some(old)] {
        for mode in [REAL, CHECK] {
            let line = reply(&options, &observation(observed.clone()), mode).to_string();
            assert!(!line.contains("canary"), "{line}");
        }
    }
}
