//! Everything that may go wrong, with the real executor on the engine in memory: no scanner is lost, none runs twice, and
//! nothing in the result is a lie.

use std::fmt::{self, Write as _};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::failure::summary;
use super::interrupt::Interrupt;
use super::outcome::{LastLook, Outcome, ScannerOutcome};
use super::{Settings, run};
use crate::engine::fake::{FOREIGN, Fake, Fault, World, made};
use crate::scanner::desired::Request;
use crate::scanner::observed::{Observed, Status};
use crate::scanner::values::restart_policy::RestartPolicy;
use crate::testing::{parse, request};

/// For each call; no time passes but that of the runtime's own clock.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What can happen to one call.
const FAULTS: &[Fault] = &[
    Fault::Refused,
    Fault::RefusedForGood,
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Late(1),
    Fault::Late(2),
    Fault::Late(4),
    Fault::Late(usize::MAX),
    Fault::KillBefore,
    Fault::KillAfter,
    Fault::RestartBefore,
    Fault::RestartAfter,
    Fault::Prune,
    Fault::TakeName,
    Fault::TermBefore,
    Fault::TermAfter,
];
/// Of an image whose containers end soon after their start.
pub(super) const DYING: &str = "qualys/qcsa:dying";

/// One thing to do, and from where.
#[derive(Debug, Clone)]
struct Scenario {
    /// The scanner that there is.
    old: Option<Observed>,
    /// What the task says beside name, code, URL and directories.
    options: Value,
}

impl Scenario {
    /// All of them.
    fn all(directories: &TempDir) -> Vec<Self> {
        let with_old = [
            json!({}),
            json!({"image": "qualys/qcsa:2"}),
            json!({"image": "qualys/qcsa:2", "state": "present"}),
            json!({"image": "qualys/qcsa:2", "state": "stopped"}),
            json!({"image": "qualys/qcsa:2", "restart_policy": "on-failure:3", "settle": 0}),
            json!({"image": DYING}),
            json!({"state": "stopped"}),
            json!({"restart": true}),
            json!({"memory": "1g", "restart_policy": "unless-stopped"}),
            json!({"state": "absent"}),
        ];
        let without = [json!({}), json!({"state": "present", "memory": "1g"}), json!({"image": DYING})];
        let statuses = [Status::Running, Status::Exited, Status::Created, Status::Paused, Status::Restarting];
        let mut all = Vec::new();
        for options in without {
            all.push(Self { old: None, options: with_directories(directories, &options) });
        }
        for (policy, podman) in [("no", false), ("always", false), ("always", true)] {
            for status in statuses {
                for options in &with_old {
                    let old = old(directories, status, policy, podman);
                    all.push(Self { old: Some(old), options: with_directories(directories, options) });
                }
            }
        }
        all
    }

    fn request(&self) -> Request {
        request(&self.options).unwrap()
    }

    fn engine(&self) -> Fake {
        engine(self.old.clone().into_iter().collect())
    }

    fn option(&self, name: &str) -> &str {
        self.options[name].as_str().unwrap_or_default()
    }

    fn dies(&self) -> bool {
        self.option("image") == DYING
    }

    /// Whether the scanner runs when the task is done.
    fn runs(&self) -> bool {
        match self.option("state") {
            "" => true,
            "present" => self.old.as_ref().is_some_and(|old| old.status.is_up()),
            _ => false,
        }
    }

    fn ran(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.status.is_up())
    }
}

pub(super) fn with_directories(directories: &TempDir, options: &Value) -> Value {
    let path = |name: &str| directories.path().join(name);
    let mut all = json!({"shared_dir": path("shared"), "private_dir": path("private"), "settle": 0.3});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    all
}

pub(super) fn old(directories: &TempDir, status: Status, policy: &str, podman: bool) -> Observed {
    let desired =
        request(&with_directories(directories, &json!({ "restart_policy": policy }))).unwrap().desired.unwrap();
    let started_at = (status != Status::Created).then(|| "2026-01-01T00:00:00Z".parse().unwrap());
    Observed { id: "old".to_owned(), name: "scanner".to_owned(), status, started_at, podman, ..made(&desired) }
}

pub(super) fn engine(containers: Vec<Observed>) -> Fake {
    let fake = Fake::new(containers, TIMEOUT);
    fake.with(|world| world.dying.insert(format!("sha256:{DYING}")));
    fake
}

/// The same engine some time later.
fn later(world: &World) -> Fake {
    let fake = Fake::new(Vec::new(), TIMEOUT);
    fake.with(|now| now.clone_from(world));
    fake
}

/// What came of a run; `None`: it was killed.
pub(super) async fn outcome(fake: &Fake, request: Request, check_mode: bool) -> Option<ScannerRun> {
    let interrupt = Rc::new(Interrupt::default());
    let raise = Rc::clone(&interrupt);
    *fake.on_term.borrow_mut() = Box::new(move || raise.raise("SIGTERM"));
    let mut requests = [request];
    let running = run(fake, Settings { timeout: TIMEOUT, check_mode }, &mut requests, &interrupt);
    let ended = match select(pin!(running), pin!(fake.killed.notified())).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(_) => None,
    }?;
    Some(ScannerRun::new(ended))
}

pub(super) struct ScannerRun {
    pub(super) scanner: ScannerOutcome,
    /// The message and the stable word of a failure.
    pub(super) failure: Option<(String, &'static str)>,
}

impl ScannerRun {
    fn new(mut outcome: Outcome) -> Self {
        let failure = outcome.failure.map(|failed| summary(&failed.error));
        Self {
            scanner: outcome.scanners.pop().unwrap(),
            failure: failure.map(|error| (error.message.clone(), error.kind.word())),
        }
    }

    pub(super) fn msg(&self) -> &str {
        self.failure.as_ref().map_or("", |(message, _)| message)
    }
}

/// What is wrong with the end of a run of `scenario` that began with `before`.
fn lies(scenario: &Scenario, before: &World, after: &World, run: &ScannerRun) -> Vec<String> {
    let mut lies = Vec::new();
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
        lies.extend(unfinished(scenario, after));
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
async fn aftermath(scenario: &Scenario, world: &World, call: usize, wrong: &mut Vec<String>) {
    // The other container goes before the task is run again; and what others removed is not there to be kept.
    let (mut scenario, mut world) = (scenario.clone(), world.clone());
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

fn was_pruned(world: &World) -> bool {
    world.log.iter().any(|line| line.starts_with("somebody removes"))
}

fn doubled(world: &World, wrong: &mut Vec<String>) {
    if world.doubled {
        wrong.push("two ran at the same time".to_owned());
    }
    if world.incomplete {
        wrong.push("one was started that lacks a network".to_owned());
    }
}

/// One scenario with one fault, and maybe a `second` one in the run after it; `None` when a run never comes to that call. What
/// is wrong, if anything is.
fn explore(scenario: &Scenario, (call, fault): (usize, Fault), second: Option<(usize, Fault)>) -> Option<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fake = scenario.engine();
        let before = fake.world();
        fake.set(Some((call, fault)));
        let run = outcome(&fake, scenario.request(), false).await;
        if !fake.hit() {
            return None;
        }
        let mut wrong = Vec::new();
        let after = fake.world();
        if let Some(run) = &run {
            wrong.extend(lies(scenario, &before, &after, run).into_iter().map(|lie| format!("{lie} ({})", run.msg())));
            if matches!(fault, Fault::TermBefore | Fault::TermAfter) {
                let runs = after.containers.iter().any(|it| it.status.is_up());
                if scenario.ran() && scenario.runs() && !scenario.dies() && !runs {
                    wrong.push(format!("nothing runs after SIGTERM ({})", run.msg()));
                }
            }
        }
        fake.settle();
        let after = fake.world();
        doubled(&after, &mut wrong);
        let exists = |world: &World| world.containers.iter().any(Observed::is_scanner);
        if fault == Fault::TakeName && after.log.iter().any(|line| line.starts_with("somebody takes")) {
            let foreign = after.containers.iter().find(|it| it.id == FOREIGN);
            if foreign.is_none_or(|it| it.name != "scanner" || !it.status.is_up()) {
                wrong.push(format!("another's container was touched: {foreign:?}"));
            }
            if run.as_ref().is_some_and(|run| run.failure.is_none()) && scenario.option("state") != "absent" {
                wrong.push("another has the name, and the result is no failure".to_owned());
            }
        }
        if scenario.option("state") != "absent" && exists(&before) && !exists(&after) && !was_pruned(&after) {
            wrong.push("it is lost".to_owned());
        }
        let mut after = after;
        if let Some(second) = second {
            let fake = later(&after);
            fake.set(Some(second));
            let run = outcome(&fake, scenario.request(), false).await;
            if !fake.hit() {
                return None;
            }
            if let Some(run) = &run {
                let lies = lies(scenario, &after, &fake.world(), run);
                wrong.extend(lies.into_iter().map(|lie| format!("the second run: {lie} ({})", run.msg())));
            }
            fake.settle();
            after = fake.world();
            doubled(&after, &mut wrong);
        }
        aftermath(scenario, &after, call, &mut wrong).await;
        if !wrong.is_empty() {
            let mut told = String::new();
            let _ = write!(told, "    {}", after.log.join("\n    "));
            wrong.push(told);
        }
        Some(wrong)
    })
}

/// What is explored of each scenario.
#[derive(Debug, Clone, Copy)]
enum Faults {
    /// One.
    One,
    /// One in each of two runs, of all such pairs each how many-th.
    Two(usize),
}

/// How many ends `scenarios` have, and those that are wrong.
fn explore_all(scenarios: Vec<&Scenario>, faults: Faults) -> (usize, Vec<String>) {
    let (mut ends, mut wrong, mut pairs) = (0, Vec::new(), 0);
    let mut note = |found: Vec<String>, name: String| {
        ends += 1;
        if !found.is_empty() {
            wrong.push(format!("{name}\n  {}", found.join("\n  ")));
        }
    };
    for scenario in scenarios {
        for fault in FAULTS {
            for call in 0.. {
                let first = (call, *fault);
                let name = format!("{scenario}: {fault:?} at call {call}");
                let Some(found) = explore(scenario, first, None) else { break };
                let Faults::Two(stride) = faults else {
                    note(found, name);
                    continue;
                };
                for fault in FAULTS {
                    for call in 0..20 {
                        pairs += 1;
                        if pairs % stride == 0
                            && let Some(found) = explore(scenario, first, Some((call, *fault)))
                        {
                            note(found, format!("{name}, then {fault:?} at call {call}"));
                        }
                    }
                }
            }
        }
    }
    (ends, wrong)
}

/// Names a scenario, and with it what to do again.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let old = self.old.as_ref().map(|old| (old.status.word(), old.restart_policy.to_string(), old.podman));
        let mut options = self.options.clone();
        let shown = |key: &String| !["shared_dir", "private_dir", "settle"].contains(&key.as_str());
        options.as_object_mut().unwrap().retain(|key, _| shown(key));
        write!(f, "{old:?} {options}")
    }
}

/// With `QCSS_EXPLORE=2` two faults, one in each of two runs; with a number after it (`2/50`) each how many-th of these pairs.
#[test]
#[expect(clippy::print_stdout, reason = "the count is a figure of the test")]
fn no_fault_loses_a_scanner_or_makes_the_result_lie() {
    let wanted = std::env::var("QCSS_EXPLORE").unwrap_or_default();
    let faults = match wanted.split_once('/') {
        Some(("2", stride)) => Faults::Two(stride.parse().unwrap()),
        _ if wanted == "2" => Faults::Two(1),
        _ => Faults::One,
    };
    let directories = tempfile::tempdir().unwrap();
    for name in ["shared", "private/code-4711"] {
        std::fs::create_dir_all(directories.path().join(name)).unwrap();
    }
    let (mut ends, mut wrong) = (0, Vec::new());
    let scenarios = Scenario::all(&directories);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let chunks: Vec<Vec<_>> = (0..threads).map(|at| scenarios.iter().skip(at).step_by(threads).collect()).collect();
    std::thread::scope(|scope| {
        let exploring: Vec<_> =
            chunks.into_iter().map(|chunk| scope.spawn(move || explore_all(chunk, faults))).collect();
        for explored in exploring {
            let (count, found) = explored.join().unwrap();
            ends += count;
            wrong.extend(found);
        }
    });
    println!("{ends} ends of runs with {faults:?} fault, {} wrong", wrong.len());
    let shown: Vec<_> = wrong.iter().take(400).cloned().collect();
    assert!(wrong.is_empty(), "{} of {ends}:\n{}", wrong.len(), shown.join("\n"));
    if matches!(faults, Faults::One) {
        let page = include_str!("../../docs/reliability.md");
        let counted = format!("| {} {:03} | 0 lost, 0 doubled, 0 lies |", ends / 1000, ends % 1000);
        assert!(page.contains(&counted), "docs/reliability.md does not say: {counted}");
    }
}
