//! Every end that an interrupted replacement may have.

use std::collections::BTreeSet;

use super::super::example::by_hand;
use super::super::replacement::{Call, calls};
use super::model::{Engine, OnItsWay, name};
use super::*;

const POLICIES: [RestartPolicy; 4] =
    [RestartPolicy::No, RestartPolicy::OnFailure(3), RestartPolicy::Always, RestartPolicy::UnlessStopped];
const STATUSES: [Status; 5] = [Status::Created, Status::Running, Status::Paused, Status::Restarting, Status::Exited];

/// Goes through everything that may happen: a kill after any call, an engine that restarts before any call, over and over,
/// until no state comes up that was not seen before.
struct Explorer {
    old: Observed,
    start: bool,
    seen: BTreeSet<String>,
    ends: u64,
}

impl Explorer {
    /// The run that replaces, cut off after each of its calls.
    fn replace(&mut self, engine: &Engine) {
        let calls = calls(&self.old, self.old.restart_policy, self.start);
        for restart in (0..=calls.len()).map(Some).chain([None]) {
            let mut engine = engine.clone();
            for (at, call) in calls.iter().enumerate() {
                self.next_run(&engine, restart.is_some_and(|restart| restart < at));
                if restart == Some(at) {
                    engine.restart();
                }
                if *call == Call::StopOld && matches!(engine.get("old").status, Status::Running | Status::Restarting) {
                    self.next_run(&engine.with_on_its_way(OnItsWay::StopOfOld), restart.is_some());
                }
                if *call == Call::StartNew {
                    self.next_run(&engine.with_on_its_way(OnItsWay::StartOfNew), restart.is_some());
                }
                engine.forward(*call, &self.old);
                if *call == Call::StartNew && engine.get("new").status != Status::Running {
                    break; // it did not stay up, and is undone by the same look as after a kill
                }
            }
            self.next_run(&engine, restart.is_some());
        }
    }

    /// The next run looks, and goes back or finishes; cut off after each call.
    fn next_run(&mut self, engine: &Engine, restarted: bool) {
        if !self.seen.insert(format!("{restarted} {}", engine.state())) {
            return;
        }
        for also_restarted in [false, true] {
            let mut engine = engine.clone();
            if also_restarted {
                engine.restart();
            }
            let (restarted, scene) = (restarted || also_restarted, engine.look());
            if !scene.is_interrupted() {
                self.end(&engine, restarted, true);
                continue;
            }
            for may_start in [true, false] {
                let way_back = scene.way_back(&name(), may_start, StopOfOld::MaybeSent);
                self.walk(&engine, &way_back.steps, restarted, may_start, &way_back.current.unwrap());
            }
            if let Some((new, old)) = scene.finishable(false).filter(|_| self.start) {
                let mut engine = engine.clone();
                engine.new_becomes = Status::Running;
                let steps = [Undo::Start(new.id.clone()), Undo::Remove(old.id.clone())];
                let finished = new.clone().with_status(Status::Running);
                self.walk(&engine, &steps, restarted, true, &finished);
            }
        }
    }

    fn walk(&mut self, engine: &Engine, steps: &[Undo], restarted: bool, may_start: bool, foreseen: &Observed) {
        if engine.on_its_way.is_some() {
            // What was asked for comes true before any of the calls.
            for comes_true in 0..=steps.len() {
                let mut engine = engine.clone();
                for (at, step) in steps.iter().enumerate() {
                    if at == comes_true {
                        engine.come_true();
                    }
                    engine.back(step);
                }
                self.end(&engine, restarted, may_start);
            }
        }
        for restart in (0..=steps.len()).map(Some).chain([None]) {
            let mut engine = engine.clone();
            for (at, step) in steps.iter().enumerate() {
                if restart == Some(at) {
                    engine.restart();
                }
                engine.back(step);
                if at + 1 < steps.len() {
                    self.next_run(&engine, restarted || restart.is_some_and(|restart| restart <= at));
                }
            }
            self.end(&engine, restarted || restart.is_some(), may_start);
            if restart.is_none() {
                let [left] = engine.containers.as_slice() else { unreachable!() };
                assert_eq!(
                    (&left.id, left.restart_policy),
                    (&foreseen.id, foreseen.restart_policy),
                    "{:#?}",
                    engine.log
                );
                assert_eq!(left.status.is_up(), foreseen.status.is_up(), "{:#?}", engine.log);
            }
        }
    }

    /// Everything is as before, or as wanted, and nothing is left over.
    fn end(&mut self, engine: &Engine, restarted: bool, may_start: bool) {
        self.ends += 1;
        let [left] = engine.containers.as_slice() else { panic!("something is left over: {engine:#?}") };
        assert!(engine.on_its_way.is_none(), "it comes true when nobody looks any more: {:#?}", engine.log);
        assert_eq!(left.name, "scanner", "{:#?}", engine.log);
        assert_eq!(left.restart_policy, self.old.restart_policy, "{:#?}", engine.log);
        let runs = if left.id == "old" { self.old.status.is_up() } else { self.start };
        // An engine that restarts makes its own choice of what comes back.
        if may_start && !restarted && !engine.forgot {
            assert_eq!(left.status.is_up(), runs, "{:#?}", engine.log);
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the count is a figure of the test")]
fn no_kill_and_no_restart_of_the_engine_loses_or_doubles_a_scanner() {
    let mut ends = 0;
    for policy in POLICIES {
        for status in STATUSES {
            for (start, new_becomes) in
                [(false, Status::Running), (true, Status::Running), (true, Status::Exited), (true, Status::Restarting)]
            {
                for podman in [false, true] {
                    let old = Observed { podman, ..by_hand().with_status(status).with_policy(policy) };
                    let mut explorer = Explorer { old: old.clone(), start, seen: BTreeSet::new(), ends: 0 };
                    explorer.replace(&Engine::new(old, start, new_becomes));
                    ends += explorer.ends;
                }
            }
        }
    }
    println!("{ends} ends of interrupted replacements, 0 lost, 0 doubled");
}
