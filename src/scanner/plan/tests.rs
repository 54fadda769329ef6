mod identity;
mod kept;
mod table;

use rstest::rstest;

use super::super::example::{by_hand, newer_image, observation};
use super::super::operation::Change;
use super::super::values::mount;
use super::super::values::restart_policy::RestartPolicy;
use super::*;
use crate::testing::{parse, request};

const GIB: u64 = 1 << 30;

fn bare(observed: Option<Observed>) -> Observation {
    let nothing = OnHost::Missing;
    Observation { shared_dir: nothing, identity_dir: nothing, ca_dir: nothing, ..observation(observed) }
}

/// A task without the three options that make a scanner.
fn run_state(options: &Value) -> Request {
    let mut all = json!({"name": "scanner"});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    parse(&all).unwrap()
}

/// A plan to read: why, then what.
fn text(plan: Result<Plan>) -> String {
    let plan = match plan {
        Ok(plan) if plan.is_empty() && plan.differences.is_empty() => return "nothing".to_owned(),
        Ok(plan) => plan,
        Err(error) => return format!("{}: {error}", error.kind.word()),
    };
    let why = plan.differences.iter().map(|it| format!("{}: {} -> {} by {}", it.field, it.before, it.after, it.way));
    why.chain(plan.operations.iter().filter_map(operation)).collect::<Vec<_>>().join("\n")
}

/// An operation that is an action, to read.
fn operation(operation: &Operation) -> Option<String> {
    let word = operation.word()?;
    Some(match operation {
        Operation::CreateDirectory(path, None) | Operation::PurgeDirectory(path) => format!("=> {word} {path}"),
        Operation::CreateDirectory(path, Some(mode)) | Operation::SetMode(path, mode) => {
            format!("=> {word} {path} {mode}")
        }
        Operation::Update(Update { changes, grows }) => {
            let change = |change: &Change| match change {
                Change::Memory(memory, swap) => format!("memory {memory} swap {swap}"),
                Change::Cpus(cpus, period) => format!("cpus {cpus}{}", period.map_or("", |_| " as quota")),
                Change::RestartPolicy(policy) => format!("restart_policy {policy}"),
            };
            let grows = grows.then(|| "which grows".to_owned());
            format!("=> {word} {}", changes.iter().map(change).chain(grows).collect::<Vec<_>>().join(", "))
        }
        Operation::Replace { start, .. } => format!("=> {word}{}", if *start { ", running" } else { ", not running" }),
        _ => format!("=> {word}"),
    })
}

fn plan(options: &Value, observation: &Observation) -> String {
    text(Plan::make(&request(options).unwrap(), observation))
}

#[test]
fn a_scanner_from_nothing() {
    let options = json!({"private_dir_mode": "0700", "memory": "1g"});
    insta::assert_snapshot!(plan(&options, &bare(None)), @r#"
    shared_dir: null -> "/usr/qualys/shared" by create_directory
    private_dir: null -> "/usr/qualys/private/code-4711" by create_directory
    state: "absent" -> "started" by create
    => create_directory /usr/qualys/shared
    => create_directory /usr/qualys/private/code-4711 0700
    => create
    => start
    "#);
    let to_pull = Observation { image: Some(WantedImage::ToPull), ..observation(None) };
    insta::assert_snapshot!(plan(&json!({"state": "present"}), &to_pull), @r#"
    state: "absent" -> "present" by create
    => pull_image
    => create
    "#);
}

#[test]
fn directories_that_went_away_come_back_beside_any_other_change() {
    insta::assert_snapshot!(plan(&json!({}), &bare(Some(by_hand()))), @r#"
    shared_dir: null -> "/usr/qualys/shared" by create_directory
    private_dir: null -> "/usr/qualys/private/code-4711" by create_directory
    => create_directory /usr/qualys/shared
    => create_directory /usr/qualys/private/code-4711
    "#);
    insta::assert_snapshot!(plan(&json!({"state": "stopped", "cpus": 1}), &bare(Some(by_hand()))), @r#"
    shared_dir: null -> "/usr/qualys/shared" by create_directory
    private_dir: null -> "/usr/qualys/private/code-4711" by create_directory
    cpus: null -> 1.0 by update
    state: "running" -> "stopped" by stop
    => create_directory /usr/qualys/shared
    => create_directory /usr/qualys/private/code-4711
    => update cpus 1, which grows
    => stop
    "#);
}

#[test]
fn a_mode_is_enforced_only_when_given() {
    insta::assert_snapshot!(plan(&json!({"private_dir_mode": "0700"}), &observation(Some(by_hand()))), @r#"
    private_dir_mode: "0755" -> "0700" by update
    => update /usr/qualys/private/code-4711 0700
    "#);
    insta::assert_snapshot!(plan(&json!({"private_dir_mode": "0755"}), &observation(Some(by_hand()))), @"nothing");
    insta::assert_snapshot!(plan(&json!({"private_dir_mode": "0700", "restart": true}), &observation(Some(by_hand()))), @r#"
    private_dir_mode: "0755" -> "0700" by update
    restart: false -> true by restart
    => update /usr/qualys/private/code-4711 0700
    => restart
    "#);
}

#[test]
fn limits_and_the_restart_policy_change_in_one_update() {
    let options = json!({"memory": "1g", "cpus": 1.5, "restart_policy": "on-failure:3"});
    insta::assert_snapshot!(plan(&options, &observation(Some(by_hand()))), @r#"
    memory: null -> 1073741824 by update
    memory_swap: null -> 2147483648 by update
    cpus: null -> 1.5 by update
    restart_policy: "no" -> "on-failure:3" by update
    => update memory 1073741824 swap 2147483648, cpus 1.5, restart_policy on-failure:3, which grows
    "#);
    let options = json!({"memory": "1g", "memory_swap": "unlimited"});
    let swap_only = by_hand().limited(GIB, 2 << 30, 0);
    insta::assert_snapshot!(plan(&options, &observation(Some(swap_only))), @r#"
    memory_swap: 2147483648 -> "unlimited" by update
    => update memory 1073741824 swap unlimited
    "#);
    let quota = by_hand().quota(50_000, 100_000);
    insta::assert_snapshot!(plan(&json!({"cpus": 2}), &observation(Some(quota))), @r"
    cpus: 0.5 -> 2.0 by update
    => update cpus 2 as quota, which grows
    ");
    let stopped = by_hand().with_status(Status::Exited);
    insta::assert_snapshot!(plan(&json!({"cpus": 2}), &observation(Some(stopped))), @r#"
    cpus: null -> 2.0 by update
    state: "exited" -> "started" by start
    => update cpus 2, which grows
    => start
    "#);
}

#[test]
fn one_difference_that_needs_a_replacement_takes_the_live_ones_with_it() {
    let options = json!({"memory": "1g", "labels": {"team": "a"}, "restart": true});
    insta::assert_snapshot!(plan(&options, &observation(Some(by_hand()))), @r#"
    memory: null -> 1073741824 by replace
    memory_swap: null -> 2147483648 by replace
    labels: {"team":null} -> {"team":"a"} by replace
    => replace, running
    "#);
}

#[test]
fn another_image_is_pulled_first_or_is_there() {
    let newer = Observation { image: Some(newer_image()), ..observation(Some(by_hand())) };
    insta::assert_snapshot!(plan(&json!({}), &newer), @r#"
    image: "qualys/qcsa (sha256:1111)" -> "qualys/qcsa (sha256:2222)" by replace
    => replace, running
    "#);
    let to_pull = Observation { image: Some(WantedImage::ToPull), ..observation(Some(by_hand())) };
    insta::assert_snapshot!(plan(&json!({}), &to_pull), @r#"
    image: "qualys/qcsa (sha256:1111)" -> "qualys/qcsa (to be pulled)" by replace
    => pull_image
    => replace, running
    "#);
}

#[test]
fn a_replacement_says_where_the_state_changes_too() {
    let options = json!({"recreate": "always", "state": "stopped"});
    insta::assert_snapshot!(plan(&options, &observation(Some(by_hand()))), @r#"
    recreate: null -> "always" by replace
    state: "running" -> "stopped" by stop
    => replace, not running
    "#);
    let options = json!({"recreate": "always"});
    insta::assert_snapshot!(plan(&options, &observation(Some(by_hand().with_status(Status::Paused)))), @r#"
    recreate: null -> "always" by replace
    state: "paused" -> "started" by start
    => replace, running
    "#);
    insta::assert_snapshot!(plan(&options, &observation(Some(by_hand()))), @r#"
    recreate: null -> "always" by replace
    => replace, running
    "#);
}

#[test]
fn purge_deletes_the_directory_of_the_code() {
    let options = json!({"state": "absent", "purge": true});
    insta::assert_snapshot!(plan(&options, &observation(Some(by_hand()))), @r#"
    private_dir: "/usr/qualys/private/code-4711" -> null by purge_directory
    state: "running" -> "absent" by remove
    => purge_directory /usr/qualys/private/code-4711
    => remove
    "#);
    insta::assert_snapshot!(plan(&options, &observation(None)), @r#"
    private_dir: "/usr/qualys/private/code-4711" -> null by purge_directory
    => purge_directory /usr/qualys/private/code-4711
    "#);
    insta::assert_snapshot!(plan(&options, &bare(Some(by_hand()))), @r#"
    state: "running" -> "absent" by remove
    => remove
    "#);
    insta::assert_snapshot!(plan(&options, &bare(None)), @"nothing");
    insta::assert_snapshot!(plan(&json!({"state": "started", "purge": true}), &observation(Some(by_hand()))), @"nothing");
    let file = Observation { identity_dir: OnHost::Other, ..observation(Some(by_hand())) };
    insta::assert_snapshot!(plan(&options, &file), @"invalid_arguments: private_dir must be a directory on the Docker host; move what is there, or choose another path: `/usr/qualys/private/code-4711`");
}

#[test]
fn purge_without_the_code_trusts_only_a_directory_that_bears_it() {
    let purge = run_state(&json!({"state": "absent", "purge": true}));
    let plan = |observed| text(Plan::make(&purge, &observation(observed)));
    insta::assert_snapshot!(plan(Some(by_hand())), @r#"
    private_dir: "/usr/qualys/private/code-4711" -> null by purge_directory
    state: "running" -> "absent" by remove
    => purge_directory /usr/qualys/private/code-4711
    => remove
    "#);
    insta::assert_snapshot!(plan(None), @"nothing");
    insta::assert_snapshot!(plan(Some(by_hand().with_mount("/srv/else", mount::PRIVATE, "z"))), @"invalid_arguments: purge deletes <private_dir>/<code> only, and this scanner keeps its identity elsewhere; give personalization_code and private_dir, or delete the directory by hand: `scanner`");
    insta::assert_snapshot!(plan(Some(by_hand().with_env("PERSONALIZATION_CODE", ""))), @"invalid_arguments: purge deletes <private_dir>/<code> only, and this scanner keeps its identity elsewhere; give personalization_code and private_dir, or delete the directory by hand: `scanner`");
    insta::assert_snapshot!(plan(Some(by_hand().without_mount(mount::PRIVATE))), @r#"
    state: "running" -> "absent" by remove
    => remove
    "#);
}

#[rstest]
#[case::of_its_own("started")]
#[case::whatever_the_task_wants("absent")]
fn a_container_that_is_no_scanner_is_left_alone(#[case] state: &str) {
    let other =
        by_hand().without_env("PERSONALIZATION_CODE").without_mount(mount::PRIVATE).without_mount(mount::SHARED);
    for request in [request(&json!({"state": state})).unwrap(), run_state(&json!({"state": state}))] {
        let error = Plan::make(&request, &observation(Some(other.clone()))).unwrap_err();
        assert_eq!(error.kind, Kind::NotAScanner);
        assert!(error.message.ends_with(": `scanner`"), "{error}");
    }
}

#[test]
fn half_a_scanner_is_repaired() {
    let half = by_hand().without_env("PERSONALIZATION_CODE").without_mount(mount::PRIVATE);
    insta::assert_snapshot!(plan(&json!({}), &observation(Some(half))), @r#"
    personalization_code: null -> "********" by replace
    private_dir: null -> "/usr/qualys/private/code-4711" by replace
    => replace, running
    "#);
}

#[test]
fn refusals_say_what_and_how_to_go_on() {
    let never = json!({"recreate": "never", "env": {"A": "1"}, "labels": {"a": "1"}, "cpus": 1});
    insta::assert_snapshot!(plan(&never, &observation(Some(by_hand()))), @"needs_replacement: recreate=never, but the scanner must be replaced to change env, labels; allow it with recreate=auto: `scanner`");
    let vanishing = observation(Some(by_hand().removed_when_stopped()));
    insta::assert_snapshot!(plan(&json!({"recreate": "always"}), &vanishing), @"needs_replacement: the scanner was started with --rm, so that a replacement (recreate) that fails could not be undone; remove it first with state=absent, and let the next task make it anew: `scanner`");
    insta::assert_snapshot!(plan(&json!({"restart": true}), &vanishing), @"needs_replacement: the scanner was started with --rm, so that a restart would remove it; remove it first with state=absent, and let the next task make it anew: `scanner`");
    insta::assert_snapshot!(plan(&json!({"state": "stopped"}), &vanishing), @"needs_replacement: the scanner was started with --rm, so that a stop would remove it; remove it first with state=absent, and let the next task make it anew: `scanner`");
    insta::assert_snapshot!(plan(&json!({"recreate": "never", "cpus": 1, "env": {"A": "1"}}), &vanishing), @"needs_replacement: the scanner was started with --rm, so that a replacement (env) that fails could not be undone; remove it first with state=absent, and let the next task make it anew: `scanner`");
    insta::assert_snapshot!(plan(&json!({"restart_policy": "always"}), &vanishing), @"needs_replacement: the scanner was started with --rm, so that it cannot have a restart policy; remove it first with state=absent, and let the next task make it anew: `scanner`");
    insta::assert_snapshot!(plan(&json!({"restart_policy": "no", "cpus": 1}), &vanishing), @r"
    cpus: null -> 1.0 by update
    => update cpus 1, which grows
    ");
    let lowered = observation(Some(by_hand().limited(512 << 20, 1 << 30, 0).reserved(800 << 20)));
    insta::assert_snapshot!(plan(&json!({"memory": "512M", "env": {"A": "1"}}), &lowered), @"unsupported: the scanner must be replaced, and has a reservation of more than memory (536870912 bytes), with which no engine makes a container; lower it with `docker update --memory-reservation 536870912 scanner`, got: `838860800` bytes");
    insta::assert_snapshot!(plan(&json!({}), &observation(Some(by_hand().with_status(Status::Removing)))), @"engine_error: the engine is removing the scanner; run the task again when it is gone: `scanner`");
    insta::assert_snapshot!(text(Plan::make(&run_state(&json!({})), &observation(None))), @"invalid_arguments: there is no scanner of this name, and without personalization_code, qualys_url and image none can be created; give all three: `scanner`");
    for in_the_way in [
        Observation { shared_dir: OnHost::Other, ..observation(None) },
        Observation { identity_dir: OnHost::Other, ..observation(None) },
    ] {
        let refused = plan(&json!({}), &in_the_way);
        assert!(refused.starts_with("invalid_arguments: ") && refused.contains("must be a directory"), "{refused}");
    }
    let no_ca = Observation { ca_dir: OnHost::Missing, ..observation(None) };
    insta::assert_snapshot!(plan(&json!({"ca_dir": "/root/cert"}), &no_ca), @"invalid_arguments: ca_dir must be a directory on the Docker host; create it and put the root CA there: `/root/cert`");
}

#[test]
fn what_a_plan_needs_looked_at() {
    let asks = |options: &Value, observed: Option<Observed>| {
        let plan = Plan::make(&request(options).unwrap(), &observation(observed)).unwrap();
        [plan.claims_identity(), plan.creates(), plan.demand() != ResourceDemand::Nothing, plan.starts()]
    };
    let exited = || Some(by_hand().with_status(Status::Exited));
    let purge = json!({"state": "absent", "purge": true});
    assert_eq!(asks(&json!({}), Some(by_hand())), [false; 4]);
    assert_eq!(asks(&json!({}), None), [true; 4]);
    assert_eq!(asks(&json!({"state": "present"}), None), [true, true, true, false]);
    assert_eq!(asks(&json!({}), exited()), [true, false, true, true]);
    assert_eq!(asks(&json!({"memory": "1g"}), Some(by_hand())), [false, false, true, false]);
    assert_eq!(asks(&json!({"memory": "1g"}), Some(by_hand().limited(2 << 30, 4 << 30, 0))), [false; 4]);
    assert_eq!(asks(&json!({"cpus": 1}), Some(by_hand())), [false, false, true, false]);
    assert_eq!(asks(&json!({"env": {"A": "1"}}), Some(by_hand())), [true; 4]);
    assert_eq!(asks(&json!({"restart": true}), Some(by_hand())), [true, false, false, true]);
    assert_eq!(asks(&purge, Some(by_hand())), [true, false, false, false]);
    assert_eq!(asks(&json!({"state": "absent"}), Some(by_hand())), [false; 4]);
}

#[test]
fn scanners_of_one_task_make_their_shared_directory_once() {
    let mut made = Vec::new();
    let words = ["code-4711", "code-4712"].map(|code| {
        let request = request(&json!({"personalization_code": code})).unwrap();
        let mut plan = Plan::make(&request, &bare(None)).unwrap();
        plan.leave_out_made(&mut made);
        (plan.operations.iter().filter_map(Operation::word).collect::<Vec<_>>(), plan.differences.len())
    });
    assert_eq!(words[0], (vec!["create_directory", "create_directory", "create", "start"], 3));
    assert_eq!(words[1], (vec!["create_directory", "create", "start"], 2));
}

#[test]
fn a_start_is_watched_and_a_scanner_that_goes_is_stopped_first() {
    let operations =
        |options: &Value, observed| Plan::make(&request(options).unwrap(), &observation(observed)).unwrap().operations;
    let settle = Operation::Settle(Role::Scanner);
    let start = Operation::Start(Role::Scanner);
    assert_eq!(operations(&json!({}), None), [Operation::Create, start.clone(), settle.clone()]);
    assert_eq!(operations(&json!({"settle": 0}), None), [Operation::Create, start]);
    assert_eq!(operations(&json!({"restart": true}), Some(by_hand())), [Operation::Restart, settle]);
    let (stop, remove) = (Operation::Stop(Role::Old), Operation::Remove(Role::Scanner));
    assert_eq!(operations(&json!({"state": "absent"}), Some(by_hand())), [stop, remove.clone()]);
    assert_eq!(operations(&json!({"state": "absent"}), Some(by_hand().with_status(Status::Exited))), [remove]);
}

#[rstest]
#[case::replaced(json!({"recreate": "always"}), Some(by_hand()), true)]
#[case::made(json!({}), None, true)]
#[case::made_stopped(json!({"state": "stopped"}), None, true)]
#[case::as_it_is(json!({}), Some(by_hand()), false)]
#[case::removed(json!({"state": "absent"}), Some(by_hand()), false)]
fn a_stranger_with_a_name_that_a_replacement_uses(
    #[case] options: Value,
    #[case] observed: Option<Observed>,
    #[case] is_refused: bool,
) {
    let observation = Observation { stranger: Some("scanner.qcss-old".to_owned()), ..observation(observed) };
    let planned = plan(&options, &observation);
    let words = "already_in_use: another container has a name that this module needs for replacements; rename or remove that container: `scanner.qcss-old`";
    assert_eq!(planned == words, is_refused, "{planned}");
}

#[test]
fn a_directory_that_is_new_and_was_mounted_from_elsewhere_is_one_difference() {
    let options = json!({"private_dir": "/srv/private"});
    insta::assert_snapshot!(plan(&options, &bare(Some(by_hand().with_mount("/usr/qualys/shared", mount::SHARED, "z")))), @r#"
    shared_dir: null -> "/usr/qualys/shared" by create_directory
    private_dir: "/usr/qualys/private/code-4711" -> "/srv/private/code-4711" by replace
    => create_directory /usr/qualys/shared
    => create_directory /srv/private/code-4711
    => replace, running
    "#);
}

#[test]
fn nothing_secret_is_in_a_plan() {
    let options =
        json!({"personalization_code": "canary-1", "https_proxy": "u:canary-2@proxy:1", "env": {"A": "canary-3"}});
    let old =
        by_hand().with_env("HTTPS_PROXY", "u:canary-4@proxy:1").with_env("A", "canary-5").with_env("B", "canary-6");
    for observed in [None, Some(old)] {
        let plan = Plan::make(&request(&options).unwrap(), &observation(observed)).unwrap();
        let shown = json!({"differences": plan.differences}).to_string();
        // The private directory bears the code; there the last pass over the output takes it away.
        let shown = shown.replace("/usr/qualys/private/canary-1", "");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
