use std::collections::BTreeSet;

use super::super::example::by_hand;
use super::super::replacement::{Call, calls};
use super::*;

const POLICIES: [RestartPolicy; 4] =
    [RestartPolicy::No, RestartPolicy::OnFailure(3), RestartPolicy::Always, RestartPolicy::UnlessStopped];
const STATUSES: [Status; 5] = [Status::Created, Status::Running, Status::Paused, Status::Restarting, Status::Exited];

fn name() -> Name {
    Name::parse("scanner").unwrap()
}

/// What outlives the one who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnItsWay {
    StopOfOld,
    StartOfNew,
}

/// An engine in memory, which never lets two scanners run and never loses one.
#[derive(Debug, Clone)]
struct Engine {
    containers: Vec<Observed>,
    /// Ids of those that were stopped and not started since, which an engine remembers.
    stopped_by_hand: BTreeSet<String>,
    /// Asked for by a run that did not live to see it.
    on_its_way: Option<OnItsWay>,
    /// The new one, and with it the note whether the old one ran, had to go before the old one could be started.
    forgot: bool,
    /// What the new one does after its start.
    new_becomes: Status,
    /// Whether the new one was seen to work, or need not.
    new_works: bool,
    /// What happened, for a failure's message.
    log: Vec<String>,
}

impl Engine {
    fn new(old: Observed, start: bool, new_becomes: Status) -> Self {
        let stopped_by_hand = (old.status == Status::Exited).then(|| old.id.clone()).into_iter().collect();
        let containers = vec![old];
        Self {
            containers,
            stopped_by_hand,
            on_its_way: None,
            forgot: false,
            new_becomes,
            new_works: !start,
            log: Vec::new(),
        }
    }

    fn get(&mut self, id: &str) -> &mut Observed {
        self.containers.iter_mut().find(|container| container.id == id).unwrap()
    }

    fn look(&self) -> Scene {
        let called = |name: &str| self.containers.iter().find(|container| container.name == name).cloned();
        Scene::new(called("scanner"), called("scanner.qcss-new"), called("scanner.qcss-old"))
    }

    /// A call on the way forward, from `old` as it was when the run began.
    fn forward(&mut self, call: Call, old: &Observed) {
        self.log.push(format!("{call:?}"));
        match call {
            Call::CreateNew => {
                let restart_policy = old.restart_policy;
                let note = Replaces { id: old.id.clone(), was_up: old.status.is_up(), restart_policy };
                let podman = old.podman;
                let new = Observed {
                    id: "new".to_owned(),
                    name: name().incoming(),
                    replaces: Some(note),
                    podman,
                    ..by_hand()
                };
                let policy = if podman { old.restart_policy } else { RestartPolicy::No };
                self.containers.push(new.with_status(Status::Created).with_policy(policy));
            }
            Call::SwitchOffOld => self.set_policy("old", RestartPolicy::No),
            Call::StopOld => self.stop("old"),
            Call::SetOldAside => self.rename("old", &name().outgoing()),
            Call::SwitchOnNew => self.set_policy("new", old.restart_policy),
            Call::NameNew => self.rename("new", "scanner"),
            Call::StartNew => self.start("new"),
            Call::RemoveOld => self.remove("old"),
        }
        self.check();
    }

    fn back(&mut self, call: &Undo) {
        self.log.push(format!("{call:?}"));
        match call {
            Undo::Stop(id) | Undo::FinishStop(id) => self.stop(id),
            Undo::Rename(id, name) => self.rename(id, name),
            Undo::SetRestartPolicy(id, policy) => self.set_policy(id, *policy),
            Undo::Start(id) => self.start(id),
            Undo::Remove(id) => self.remove(id),
        }
        self.check();
    }

    fn set_policy(&mut self, id: &str, policy: RestartPolicy) {
        assert!(self.get(id).is_updatable(), "Podman cannot: {:#?}", self.log);
        self.get(id).restart_policy = policy;
    }

    /// A stop ends with the container's end; one that is sent while another is under way waits for the same.
    fn stop(&mut self, id: &str) {
        self.on_its_way = self.on_its_way.filter(|it| (id, *it) != ("old", OnItsWay::StopOfOld));
        if self.get(id).status != Status::Created {
            self.get(id).status = Status::Exited;
            self.stopped_by_hand.insert(id.to_owned());
        }
    }

    /// What a run asked for that did not live to see it.
    fn come_true(&mut self) {
        let Some(it) = self.on_its_way.take() else { return };
        self.log.push(format!("{it:?} comes true"));
        match it {
            OnItsWay::StopOfOld => self.stop("old"),
            OnItsWay::StartOfNew => self.start("new"),
        }
        self.check();
    }

    fn rename(&mut self, id: &str, name: &str) {
        assert!(self.containers.iter().all(|it| it.name != name || it.id == id), "{name} is taken: {:#?}", self.log);
        name.clone_into(&mut self.get(id).name);
    }

    fn start(&mut self, id: &str) {
        let before = self.get(id).status;
        assert_ne!(before, Status::Paused, "an engine refuses this: {:#?}", self.log);
        self.get(id).status = if id == "new" { self.new_becomes } else { Status::Running };
        self.on_its_way = self.on_its_way.filter(|it| (id, *it) != ("new", OnItsWay::StartOfNew));
        self.forgot &= id != "old";
        self.new_works |= id == "new" && self.new_becomes == Status::Running;
        self.stopped_by_hand.remove(id);
    }

    fn remove(&mut self, id: &str) {
        self.forgot = id == "new" && self.get(id).status == Status::Created;
        self.on_its_way = self.on_its_way.filter(|it| (id, *it) != ("new", OnItsWay::StartOfNew));
        self.containers.retain(|container| container.id != id);
    }

    /// dockerd ends and starts again: policies are at work, for the stopped ones too (seen on 20.10), not for the created ones.
    fn restart(&mut self) {
        if self.containers.iter().any(|container| container.podman) {
            return; // it has no daemon
        }
        self.log.push("the engine restarts".to_owned());
        self.on_its_way = None;
        for container in &mut self.containers {
            let by_hand = self.stopped_by_hand.contains(&container.id);
            let comes_back = match container.restart_policy {
                RestartPolicy::No => false,
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure(_) | RestartPolicy::UnlessStopped => !by_hand,
            };
            if container.status != Status::Created {
                container.status = if comes_back { Status::Running } else { Status::Exited };
            }
        }
        self.check();
    }

    /// Without the history that led here.
    fn state(&self) -> String {
        let containers: Vec<_> =
            self.containers.iter().map(|it| (&it.id, &it.name, it.status, it.restart_policy)).collect();
        let Self { stopped_by_hand, on_its_way, forgot, new_becomes, new_works, .. } = self;
        format!("{containers:?} {stopped_by_hand:?} {on_its_way:?} {forgot} {new_becomes:?} {new_works}")
    }

    fn check(&self) {
        let up = self.containers.iter().filter(|container| container.status.is_up()).count();
        assert!(up <= 1, "two run: {:#?}", self.log);
        let safe = |it: &Observed| it.id == "old" || (it.name == "scanner" && self.new_works);
        assert!(self.containers.iter().any(safe), "the scanner is lost: {:#?}", self.log);
    }
}

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
                    self.next_run(
                        &Engine { on_its_way: Some(OnItsWay::StopOfOld), ..engine.clone() },
                        restart.is_some(),
                    );
                }
                if *call == Call::StartNew {
                    self.next_run(
                        &Engine { on_its_way: Some(OnItsWay::StartOfNew), ..engine.clone() },
                        restart.is_some(),
                    );
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

/// A container of a replacement of `old`, which was up and had a restart policy.
fn new(name: &str, status: Status) -> Observed {
    let note = Replaces { id: "old".to_owned(), was_up: true, restart_policy: RestartPolicy::Always };
    let new = Observed { id: "new".to_owned(), name: name.to_owned(), replaces: Some(note), ..by_hand() };
    // It gets its policy before it gets the scanner's name.
    let is_fresh = status == Status::Created && name != "scanner";
    new.with_status(status).with_policy(if is_fresh { RestartPolicy::No } else { RestartPolicy::Always })
}

fn old(name: &str, status: Status) -> Observed {
    Observed { name: name.to_owned(), ..by_hand() }.with_status(status)
}

/// The way back from these containers, as text.
fn way_back(containers: impl IntoIterator<Item = Observed>, may_start: bool) -> String {
    let mut seen = [None, None, None];
    for container in containers {
        let at = ["scanner", "scanner.qcss-new", "scanner.qcss-old"].iter().position(|name| *name == container.name);
        seen[at.unwrap()] = Some(container);
    }
    let [current, incoming, outgoing] = seen;
    let scene = Scene::new(current, incoming, outgoing);
    let back = scene.way_back(&name(), may_start, StopOfOld::MaybeSent);
    let steps = back.steps.iter().map(|step| match step {
        Undo::Stop(id) => format!("stop {id}"),
        Undo::FinishStop(id) => format!("finish the stop of {id}"),
        Undo::Rename(id, name) => format!("rename {id} to {name}"),
        Undo::SetRestartPolicy(id, policy) => format!("set restart policy of {id} to {policy}"),
        Undo::Start(id) => format!("start {id}"),
        Undo::Remove(id) => format!("remove {id}"),
    });
    let first = if scene.is_interrupted() { "interrupted" } else { "in order" };
    let last = back.current.map_or("no scanner".to_owned(), |it| format!("{} is {}", it.id, it.status.word()));
    std::iter::once(first.to_owned()).chain(steps).chain([last]).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_way_back_from_every_row() {
    let (temporary, aside) = ("scanner.qcss-new", "scanner.qcss-old");
    let created = way_back([old("scanner", Status::Running), new(temporary, Status::Created)], true);
    insta::assert_snapshot!(created, @r"
    interrupted
    finish the stop of old
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let told_to_stop = way_back([old("scanner", Status::Exited), new(temporary, Status::Created)], true);
    insta::assert_snapshot!(told_to_stop, @r"
    interrupted
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let set_aside = way_back([old(aside, Status::Exited), new(temporary, Status::Created)], true);
    insta::assert_snapshot!(set_aside, @r"
    interrupted
    rename old to scanner
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let named = way_back([old(aside, Status::Exited), new("scanner", Status::Created)], true);
    insta::assert_snapshot!(named, @r"
    interrupted
    set restart policy of new to no
    set restart policy of old to always
    remove new
    rename old to scanner
    start old
    old is running
    ");
    let started = way_back([old(aside, Status::Exited), new("scanner", Status::Running)], true);
    insta::assert_snapshot!(started, @r"
    interrupted
    rename new to scanner.qcss-new
    set restart policy of new to no
    stop new
    rename old to scanner
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let on_the_way_back = way_back([old(aside, Status::Exited), new(temporary, Status::Exited)], true);
    insta::assert_snapshot!(on_the_way_back, @r"
    interrupted
    set restart policy of new to no
    stop new
    rename old to scanner
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let done = way_back([new("scanner", Status::Running)], true);
    insta::assert_snapshot!(done, @r"
    in order
    new is running
    ");
    let nothing = way_back([], true);
    insta::assert_snapshot!(nothing, @r"
    in order
    no scanner
    ");
}

#[test]
fn what_shall_be_stopped_is_not_started_on_the_way_back() {
    let scene = [old("scanner.qcss-old", Status::Exited), new("scanner", Status::Running)];
    insta::assert_snapshot!(way_back(scene, false), @r"
    interrupted
    rename new to scanner.qcss-new
    set restart policy of new to no
    stop new
    rename old to scanner
    set restart policy of old to always
    remove new
    old is exited
    ");
}

#[test]
fn a_paused_one_stays_paused() {
    let scene = [old("scanner", Status::Paused), new("scanner.qcss-new", Status::Created)];
    insta::assert_snapshot!(way_back(scene, true), @r"
    interrupted
    set restart policy of old to always
    remove new
    old is paused
    ");
}

#[test]
fn where_someone_removed_the_old_one_the_new_one_takes_its_place() {
    insta::assert_snapshot!(way_back([new("scanner.qcss-new", Status::Created)], true), @r"
    interrupted
    rename new to scanner
    new is created
    ");
    let another = Observed { id: "another".to_owned(), ..by_hand() };
    insta::assert_snapshot!(way_back([another, new("scanner.qcss-new", Status::Created)], true), @r"
    interrupted
    remove new
    another is running
    ");
}

#[test]
fn where_someone_removed_the_new_one_the_old_one_gets_its_name() {
    insta::assert_snapshot!(way_back([old("scanner.qcss-old", Status::Exited)], true), @r"
    interrupted
    rename old to scanner
    old is exited
    ");
}

#[test]
fn what_only_bears_such_a_name_is_left_alone() {
    let no_scanner = old("scanner.qcss-old", Status::Running)
        .without_env("PERSONALIZATION_CODE")
        .without_mount("/usr/local/qualys")
        .without_mount("/usr/local/qualys/admin/etc");
    insta::assert_snapshot!(way_back([no_scanner.clone()], true), @r"
    in order
    no scanner
    ");
    let no_note = Observed { name: "scanner.qcss-new".to_owned(), id: "else".to_owned(), ..by_hand() };
    insta::assert_snapshot!(way_back([old("scanner", Status::Running), no_note, no_scanner], true), @r"
    in order
    old is running
    ");
    let of_another = Observed { id: "older".to_owned(), ..old("scanner.qcss-old", Status::Exited) };
    insta::assert_snapshot!(way_back([new("scanner", Status::Running), of_another], true), @r"
    in order
    new is running
    ");
}
