//! What is wrong with the end of a run, and with the runs after it.

use serde_json::json;

use super::super::outcome::LastLook;
use super::scenario::Scenario;
use super::{ScannerRun, later, outcome};
use crate::engine::fake::{FOREIGN, World};
use crate::scanner::observed::{Observed, Status};
use crate::scanner::values::restart_policy::RestartPolicy;
use crate::testing::parse;

/// What is wrong with the end of a run of `scenario` that began with `before`.
pub fn lies(scenario: &Scenario, before: &World, after: &World, run: &ScannerRun) -> Vec<String> {
    let mut lies = Vec::new();
    let scenario = &kept(scenario, after);
    let fact = |it: &Observed| {
        (
            it.id.clone(),
            it.name.clone(),
            it.restart_policy,
            it.limits,
            it.status.is_up(),
            it.status == Status::Paused,
            it.started_at,
        )
    };
    let facts = |world: &World| world.containers.iter().map(fact).collect::<Vec<_>>();
    // A scanner that flaps changes by itself, and so does one that dies.
    let is_steady = scenario.old.as_ref().is_none_or(|old| old.status != Status::Restarting);
    let truth = facts(before) != facts(after);
    if run.scanner.changed != truth && is_steady && !before.log.iter().any(|line| line.contains("restarts")) {
        let restarted = after.log.iter().any(|line| line == "the engine restarts");
        if !restarted {
            lies.push(format!("changed: {}, which is not so", run.scanner.changed));
        }
    }
    let was = before.containers.iter().find(|it| it.name == "scanner");
    let is = after.containers.iter().find(|it| it.name == "scanner");
    let halfway = after.containers.iter().any(|it| it.name != "scanner");
    let restored = match (was, is) {
        (None, None) => !halfway,
        (Some(was), Some(is)) => {
            let runs = is.status.is_up() == was.status.is_up();
            was.id == is.id && was.restart_policy == is.restart_policy && runs && !halfway
        }
        _ => false,
    };
    let unknown = matches!(run.scanner.container, LastLook::Unknown);
    // Of one that was half-way it is the scanner that came of it, which is not known here.
    let was_halfway = before.containers.iter().any(|it| it.name != "scanner");
    if !unknown && !was_halfway && run.scanner.rolled_back.is_some_and(|said| said != restored) {
        lies.push(format!("rolled_back: {:?}, which is not so", run.scanner.rolled_back));
    }
    match &run.scanner.container {
        LastLook::There(shown) => match after.containers.iter().find(|it| it.id == shown.id) {
            Some(real) if (real.status, &real.name) == (shown.status, &shown.name) => {}
            real => lies.push(format!("container: {} {}, but it is {real:?}", shown.id, shown.status.word())),
        },
        LastLook::Missing if is.is_some() => lies.push("container: null, but there is one".to_owned()),
        _ => {}
    }
    if run.msg().contains("back and running") && !is.is_some_and(|it| it.status.is_up()) {
        lies.push("it is not back and running".to_owned());
    }
    if run.failure.is_none() {
        let ended = after.log.iter().any(|line| line == "the engine restarts");
        let by_the_engine = |it: &String| ended && it == "it does not run" && scenario.option("state") == "present";
        lies.extend(unfinished(scenario, after).into_iter().filter(|it| !by_the_engine(it)));
    } else if scenario.ran() && scenario.option("state") != "absent" && scenario.option("state") != "stopped" {
        let runs = after.containers.iter().any(|it| it.status.is_up());
        let said = match &run.scanner.container {
            LastLook::There(it) => !it.status.is_up(),
            LastLook::Missing => true,
            LastLook::Unknown => false,
        };
        if !runs && !said && !unknown {
            lies.push("it ran, and does not, and the result does not say so".to_owned());
        }
    }
    if run.failure.as_ref().is_some_and(|(_, word)| *word == "internal") {
        lies.push("a defect".to_owned());
    }
    lies
}

/// What keeps `world` from being what the task wants.
fn unfinished(scenario: &Scenario, world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    if scenario.option("state") == "absent" {
        if !world.containers.is_empty() {
            wrong.push("it is not gone".to_owned());
        }
        return wrong;
    }
    match world.containers.as_slice() {
        [one] if one.name == "scanner" => {
            if world.unconnected.contains(&one.id) {
                wrong.push("it lacks a network".to_owned());
            }
            let policy = scenario.option("restart_policy");
            if !policy.is_empty() && one.restart_policy != RestartPolicy::parse(policy).unwrap() {
                wrong.push(format!("the restart policy is {}", one.restart_policy));
            }
            if policy.is_empty() && scenario.old.as_ref().is_some_and(|old| old.restart_policy != one.restart_policy) {
                wrong.push(format!("the restart policy has become {}", one.restart_policy));
            }
            if scenario.runs() && !one.status.is_up() {
                wrong.push("it does not run".to_owned());
            }
            if scenario.option("state") == "stopped" && one.status.is_up() {
                wrong.push("it runs".to_owned());
            }
        }
        _ => wrong.push("it is lost, or something is left over".to_owned()),
    }
    wrong
}

/// The runs after a fault: each must put everything in order.
pub async fn aftermath(scenario: &Scenario, world: &World, call: usize, wrong: &mut Vec<String>) {
    // The other container goes before the task is run again; and what others removed is not there to be kept.
    let (mut scenario, mut world) = (kept(scenario, world), world.clone());
    world.containers.retain(|it| it.id != FOREIGN);
    if was_pruned(&world) && world.containers.is_empty() {
        scenario.old = None;
    }
    let (scenario, world) = (&scenario, &world);
    let restarted = world.log.iter().any(|line| line == "the engine restarts");
    let exists = !world.containers.is_empty();
    let fake = later(world);
    let predicted = outcome(&fake, scenario.request(), true).await.unwrap();
    let real = outcome(&fake, scenario.request(), false).await.unwrap();
    let now = fake.world();
    let after = |what: String| format!("the next run: {what} ({})", real.msg());
    if scenario.dies() {
        let back = now.containers.iter().filter(|it| it.name == "scanner").count();
        if now.containers.len() != usize::from(exists) || back != now.containers.len() {
            wrong.push(after("not one scanner is there".to_owned()));
        }
        if scenario.ran() && !restarted && !now.containers.iter().any(|it| it.status.is_up()) {
            wrong.push(after("the old one does not run".to_owned()));
        }
    } else {
        wrong.extend(
            unfinished(scenario, &now)
                .into_iter()
                .filter(|it| !(restarted && it == "it does not run" && scenario.option("state") == "present"))
                .map(after),
        );
        if real.failure.is_some() {
            wrong.push(after("it fails".to_owned()));
        }
        if predicted.failure.is_none() && predicted.scanner.actions != real.scanner.actions {
            wrong.push(after(format!(
                "check mode said {:?}, done was {:?}",
                predicted.scanner.actions, real.scanner.actions
            )));
        }
        if predicted.failure.is_some() {
            wrong.push(format!("check mode fails: {}", predicted.msg()));
        }
        let idle = outcome(&fake, scenario.request(), false).await.unwrap();
        if scenario.options["restart"] != true && (idle.failure.is_some() || !idle.scanner.actions.is_empty()) {
            wrong.push(format!("the run after it: {:?} {}", idle.scanner.actions, idle.msg()));
        }
    }
    doubled(&now, wrong);

    // Somebody who has changed his mind, after each call in another way.
    let minds = [json!({"state": "absent"}), json!({"state": "stopped"}), json!({"image": "qualys/qcsa:3"})];
    if let Some(mut options) = minds.into_iter().nth(call % 3) {
        for path in ["shared_dir", "private_dir", "settle"] {
            options[path] = scenario.options[path].clone();
        }
        let other = Scenario { old: None, options };
        let fake = later(world);
        let run = outcome(&fake, other.request(), false).await.unwrap();
        let now = fake.world();
        let failed = run.failure.is_some().then(|| "it fails".to_owned());
        let after = |what| format!("a run with {}: {what} ({})", other.options, run.msg());
        wrong.extend(unfinished(&other, &now).into_iter().chain(failed).map(after));
        doubled(&now, wrong);
    }

    // Somebody who only wants it to be there.
    let fake = later(world);
    let present = parse(&json!({"name": "scanner", "state": "present", "settle": 0.3})).unwrap();
    let run = outcome(&fake, present, false).await.unwrap();
    let now = fake.world();
    let after = |what: &str| format!("a run that wants it to be there: {what} ({})", run.msg());
    if exists && scenario.option("state") != "absent" {
        let steady = scenario.old.as_ref().is_none_or(|old| old.status != Status::Restarting);
        let dead = scenario.dies() && (scenario.old.is_none() || was_pruned(world));
        match now.containers.as_slice() {
            [one] if one.name == "scanner" => {
                let must_run = scenario.ran() && scenario.runs() && !restarted && steady && !dead;
                if must_run && !one.status.is_up() {
                    wrong.push(after("it ran and does not"));
                }
            }
            _ => wrong.push(after("it is lost, or something is left over")),
        }
    }
    doubled(&now, wrong);
}

/// The scenario without what others removed.
fn kept(scenario: &Scenario, world: &World) -> Scenario {
    let old = scenario.old.clone().filter(|_| !world.emptied);
    Scenario { old, options: scenario.options.clone() }
}

pub fn was_pruned(world: &World) -> bool {
    world.log.iter().any(|line| line.starts_with("somebody removes"))
}

pub fn doubled(world: &World, wrong: &mut Vec<String>) {
    if world.doubled {
        wrong.push("two ran at the same time".to_owned());
    }
    if world.incomplete {
        wrong.push("one was started that lacks a network".to_owned());
    }
}
