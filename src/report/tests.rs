mod diff;

use std::collections::BTreeSet;

use rstest::rstest;

use super::*;
use crate::error::{Error, Kind};
use crate::scanner::capacity::{Capacity, Share};
use crate::scanner::compare::EngineTraits;
use crate::scanner::desired::tests::{parse, request};
use crate::scanner::directory::Mode as DirectoryMode;
use crate::scanner::example::{by_hand, same_image};
use crate::scanner::situation::{OnHost, Situation};

const REAL: Mode = Mode { check: false, diff: true };
const CHECK: Mode = Mode { check: true, diff: true };
const DIRECTORY: OnHost = OnHost::Directory(DirectoryMode::from_bits(0o700));

fn situation(observed: Option<Observed>) -> Situation {
    Situation {
        observed,
        image: Some(same_image()),
        engine: EngineTraits::default(),
        shared_dir: DIRECTORY,
        identity_dir: DIRECTORY,
        ca_dir: DIRECTORY,
    }
}

/// A report of a plan that was carried out, or would be.
fn report(request: &Request, situation: &Situation) -> Report {
    let plan = Plan::make(request, situation).unwrap();
    let mut report = Report::default();
    report.planned(&plan, situation.observed.as_ref());
    report.actions.extend(plan.steps.iter().map(crate::scanner::step::Step::word));
    report.finished = true;
    report
}

fn result(reply: Reply) -> Value {
    serde_json::from_str(&reply.into_line()).unwrap()
}

fn reply(options: &Value, situation: &Situation, mode: Mode) -> Value {
    let request = request(options).unwrap();
    result(report(&request, situation).into_reply(&request, mode, None, &Ok(())))
}

fn failed(kind: Kind, rolled_back: bool) -> Result<(), Stopped> {
    let failed = Failed { error: Error::new(kind, "no"), rolled_back, unfinished: false };
    Err(Stopped { at: Some(0), refused: false, failed })
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_keys_are_those_of_the_contract() {
    let quiet = reply(&json!({}), &situation(Some(by_hand())), Mode { check: false, diff: false });
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
    let mut full = report(&request, &situation(Some(by_hand())));
    full.warn("careful".to_owned());
    let capacity = Capacity { memory: 1 << 30, swap: Some(0), cpus: 2 };
    let share = Share { name: "scanner".to_owned(), memory: None, swap: None, cpus: None };
    let full = full.into_reply(&request, REAL, Some(Host::new(&capacity, &[share])), &failed(Kind::Timeout, false));
    let full = result(full);
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
#[case::nothing(json!({}), Some(by_hand()), false, "the scanner is as wanted: `scanner`", "the scanner is as wanted: `scanner`")]
#[case::create(json!({}), None, true, "created, started: `scanner`", "would create, start: `scanner`")]
#[case::update(json!({"cpus": 1}), Some(by_hand()), true, "updated: `scanner`", "would update: `scanner`")]
#[case::replace(json!({"recreate": "always"}), Some(by_hand()), true, "replaced: `scanner`", "would replace: `scanner`")]
#[case::two_updates_are_said_once(json!({"cpus": 1, "private_dir_mode": "0755"}), Some(by_hand()), true,
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
        let reply = reply(&options, &situation(observed.clone()), mode);
        assert_eq!([&reply["changed"], &reply["msg"]], [&json!(changed), &json!(message)]);
    }
}

#[rstest]
#[case::put_back(true, false, json!(["replace", "roll_back"]))]
#[case::not_put_back(false, true, json!(["replace"]))]
fn a_failure_says_whether_anything_changed(#[case] rolled_back: bool, #[case] changed: bool, #[case] actions: Value) {
    let request = request(&json!({"recreate": "always"})).unwrap();
    let report = report(&request, &situation(Some(by_hand())));
    let reply = result(report.into_reply(&request, REAL, None, &failed(Kind::StartFailed, rolled_back)));
    assert_eq!(
        [&reply["changed"], &reply["actions"], &reply["rolled_back"]],
        [&json!(changed), &actions, &json!(rolled_back)]
    );
}

#[test]
fn check_mode_shows_the_scanner_that_would_be() {
    let options = json!({"memory": "1g", "cpus": 1.5});
    let would_be = reply(&options, &situation(None), CHECK);
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
    assert_eq!(reply(&options, &situation(Some(made)), REAL)["scanner"], would_be["scanner"]);
}

#[rstest]
#[case::unlimited(by_hand(), json!(["unlimited", null, null, null]))]
#[case::limited(by_hand().limited(1 << 30, 3 << 30, 500_000_000), json!(["limited", 1 << 30, 2_u64 << 30, 0.5]))]
#[case::cpus_alone(by_hand().limited(0, 0, 500_000_000), json!(["limited", null, null, 0.5]))]
#[case::unlimited_swap(by_hand().limited(1 << 30, -1, 0), json!(["limited", 1 << 30, null, null]))]
fn a_scanner_in_figures(#[case] observed: Observed, #[case] figures: Value) {
    let scanner = &reply(&json!({}), &situation(Some(observed)), REAL)["scanner"];
    assert_eq!(json!([scanner["category"], scanner["memory"], scanner["swap"], scanner["cpus"]]), figures);
}

#[test]
fn without_its_three_options_a_task_has_no_command() {
    let request = parse(&json!({"name": "scanner", "state": "stopped"})).unwrap();
    let reply = result(report(&request, &situation(Some(by_hand()))).into_reply(&request, REAL, None, &Ok(())));
    assert_eq!(keys(&reply), ["actions", "changed", "container", "diff", "differences", "msg", "scanner"]);
    assert_eq!(reply["diff"]["before"], "state: running\n");
    assert_eq!(reply["diff"]["after"], "state: stopped\n");
}

#[test]
fn a_second_plan_that_finds_nothing_left_does_not_hide_the_first() {
    let request = request(&json!({"cpus": 1})).unwrap();
    let mut report = report(&request, &situation(Some(by_hand())));
    let done = situation(Some(by_hand().limited(0, 0, 1_000_000_000)));
    report.planned(&Plan::make(&request, &done).unwrap(), done.observed.as_ref());
    let reply = result(report.into_reply(&request, REAL, None, &Ok(())));
    assert_eq!(reply["differences"][0]["field"], "cpus");
    assert_eq!(reply["scanner"]["cpus"], 1.0);
}

/// Three scanners, of which the second failed.
#[test]
fn of_several_scanners_each_has_its_own_entry() {
    let options = |name: &str, code: &str, cpus: u32| json!({"name": name, "personalization_code": code, "cpus": cpus});
    let requests = [options("one", "code-0001", 1), options("two", "code-0002", 1), options("three", "code-0003", 1)];
    let requests = requests.map(|options| request(&options).unwrap());
    let fresh = situation(None);
    let mut reports: Vec<_> = requests.iter().map(|request| report(request, &fresh)).collect();
    reports[2].finished = false;
    reports[0].warn("careful".to_owned());
    let failed = Failed { error: Error::new(Kind::StartFailed, "it ended"), rolled_back: true, unfinished: false };
    let outcome = Err(Stopped { at: Some(1), refused: false, failed });
    let reply = result(reply_for_list(&requests, reports, REAL, None, &outcome));
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
    ["two",false,true,true,["create","start","roll_back"],"it ended"]
    ["three",false,null,null,[],"not reached: `three`"]
    "#);
    assert_eq!(reply["diff"].as_array().unwrap().len(), 3);
}

#[test]
fn several_scanners_that_are_as_wanted_change_nothing() {
    let requests = [request(&json!({})).unwrap()];
    let reports = vec![report(&requests[0], &situation(Some(by_hand())))];
    let reply = result(reply_for_list(&requests, reports, Mode { check: false, diff: false }, None, &Ok(())));
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
            let line = reply(&options, &situation(observed.clone()), mode).to_string();
            assert!(!line.contains("canary"), "{line}");
        }
    }
}
