//! One scanner that everything is done to, and what must hold however that goes wrong.

use std::fs;

use qcss_scanner::host::lock::LockKey;
use serde_json::{Value, json};

use super::cases::Case;
use super::operations::{End, Operation, Turn};
use crate::support::{Container, Engine, Module, Proxy, Reply, Request, Scanner, Trap, eventually};

/// The words that a fault may be answered with.
const ERRORS: &[&str] = &[
    "engine_unreachable",
    "engine_error",
    "timeout",
    "start_failed",
    "already_in_use",
    "image_not_found",
    "interrupted",
    "invalid_arguments",
];

pub struct Bed<'engine> {
    engine: &'engine Engine,
    scanner: Scanner<'engine>,
    proxy: Proxy,
    turn: Turn,
}

impl<'engine> Bed<'engine> {
    pub fn new(engine: &'engine Engine) -> Self {
        Self { engine, scanner: Scanner::new(engine), proxy: Proxy::new(engine), turn: Turn(false) }
    }

    /// Does the operation of `case` with a run for each of its traps, then without one. Returns how many of them hit; not all
    /// turns make all calls.
    pub fn run(&mut self, case: &Case) -> usize {
        let Case { operation, traps } = case;
        let (from, to) = operation.tasks(self.turn);
        self.turn = Turn(!self.turn.0);
        self.prepare(operation, from);
        let hits = traps.iter().filter(|trap| self.fail(operation, &to, **trap)).count();
        let ended = traps.iter().any(|trap| trap.fault.ends_engine());
        self.converge(operation, &to, ended);
        hits
    }

    /// The requests of `operation` when all goes well.
    pub fn requests(&mut self, operation: &Operation) -> Vec<Request> {
        let (from, to) = operation.tasks(self.turn);
        self.prepare(operation, from);
        let begin = self.proxy.requests().len();
        let reply = self.task(operation, &to).run();
        assert!(!reply.failed(), "{}: {}", operation.name, reply.line);
        self.proxy.requests().split_off(begin)
    }

    fn prepare(&self, operation: &Operation, from: Value) {
        if self.scanner.identity().is_none() {
            // After a purge: the code is not used by anyone any more.
            let _ = fs::remove_dir_all(self.scanner.shared_dir().join("stand-in"));
        }
        let reply = self.module().args(from).run();
        assert!(!reply.failed(), "prepare: {}", reply.line);
        if operation.paused {
            self.engine.docker(&["pause", &self.scanner.name]);
        }
        if self.running() == 1 {
            eventually("it has its identity", || self.scanner.identity().is_some());
        }
    }

    /// One run that goes wrong; whether it came to the call that was to go wrong.
    fn fail(&self, operation: &Operation, to: &Value, trap: Trap) -> bool {
        let (before, identity) = (self.scanner.containers(), self.scanner.identity());
        let engine = self.engine.pid();
        self.proxy.set(trap);
        let timeout = if trap.fault.hangs() { 1 } else { 30 };
        let running = self.task(operation, to).arg("timeout", timeout).start();
        self.proxy.aim(running.pid());
        let reply = running.finish();
        if trap.fault.is_late() {
            eventually("the engine did it late", || self.proxy.was_late());
        }
        let hit = self.proxy.release();
        let ended = trap.fault.ends_engine() && hit;
        if ended {
            eventually("the engine is back", || self.engine.pid() != engine && self.engine.is_up());
        }

        assert!(reply.is_some() || (trap.fault.kills() && hit), "it died by itself");
        let after = self.scanner.containers();
        assert!(self.running() <= 1, "more than one runs: {after:#?}");
        if let Some(reply) = reply {
            self.check_reply(&reply);
            // What was found half-way is put in order before. What ran does not run on when the engine ended, and what is late
            // comes after the last word.
            let whole = before.iter().all(|it| it.name == self.scanner.name);
            if reply["rolled_back"] == true && whole && !ended && !trap.fault.is_late() {
                // A call that was not waited for may still come true; the new one that it makes never runs.
                let is_new = |it: &Container| trap.fault.hangs() && !it.running && it.name.ends_with(".qcss-new");
                // One that was paused is back when it runs.
                let state = |it: &Container| (it.name.clone(), it.id.clone(), it.running || operation.paused);
                let was: Vec<_> = before.iter().map(state).collect();
                let is: Vec<_> = after.iter().filter(|it| before.contains(it) || !is_new(it)).map(state).collect();
                assert_eq!(is, was, "not rolled back: {}", reply.line);
            }
        }
        if !before.is_empty() && ![End::Gone, End::Purged].contains(&operation.end) {
            assert!(
                after.iter().any(|it| it.name == self.scanner.name || before.iter().any(|old| old.id == it.id)),
                "lost"
            );
        }
        if operation.end != End::Purged && identity.is_some() {
            assert_eq!(self.scanner.identity(), identity, "the identity is gone");
        }
        hit
    }

    fn check_reply(&self, reply: &Reply) {
        assert!(!reply.line.contains(&self.scanner.code), "the code is shown: {}", reply.line);
        if reply.failed() {
            let error = reply["error"].as_str().unwrap();
            assert!(ERRORS.contains(&error), "{}", reply.line);
        }
    }

    /// The same task without a fault.
    fn converge(&self, operation: &Operation, to: &Value, engine_ended: bool) {
        let identity = self.scanner.identity();
        let begin = self.proxy.writes().len();
        let predicted = self.task(operation, to).check().run();
        assert!(!predicted.failed(), "check mode: {}", predicted.line);
        assert_eq!(self.proxy.writes().len(), begin, "check mode writes");
        // What an earlier run did not wait for may still come true.
        let reply = self.task(operation, to).disturbed().run();
        assert!(!reply.failed(), "does not converge: {}", reply.line);
        let both = format!("check mode: {}\nthen: {}", predicted.line, reply.line);
        assert_eq!(reply["changed"], predicted["changed"], "{both}");
        if operation.is_repeatable() {
            self.task(operation, to).run().unchanged();
        }
        self.check_end(operation, to, identity.as_ref(), engine_ended);
    }

    fn check_end(&self, operation: &Operation, to: &Value, identity: Option<&String>, engine_ended: bool) {
        let containers = self.scanner.containers();
        let names: Vec<_> = containers.iter().map(|it| it.name.as_str()).collect();
        let expected =
            if [End::Gone, End::Purged].contains(&operation.end) { vec![] } else { vec![&self.scanner.name] };
        assert_eq!(names, expected, "left over or lost");
        // An engine that ends takes all with it, and `present` asks for no more than there is then.
        if !(engine_ended && to["state"] == "present") {
            assert_eq!(self.running(), usize::from(operation.end == End::Running), "{containers:#?}");
        }
        if operation.name.contains("always") {
            assert_eq!(self.scanner.inspect()["HostConfig"]["RestartPolicy"]["Name"], "always");
        }
        match operation.end {
            End::Purged => assert!(!self.scanner.store().exists(), "not purged"),
            _ if identity.is_some() => assert_eq!(self.scanner.identity().as_ref(), identity),
            _ => {}
        }
        let (root_dir, name) = (self.engine.root_dir(), self.scanner.name.as_str());
        for lock_key in [LockKey::scanner(&root_dir, name), LockKey::resources(&root_dir)] {
            assert!(!lock_key.exists(), "a lock is left: {lock_key:?}");
        }
    }

    fn running(&self) -> usize {
        self.scanner.containers().iter().filter(|it| it.running).count()
    }

    fn task(&self, operation: &Operation, to: &Value) -> Module {
        let module = self.module();
        let by_name = ["personalization_code", "qualys_url", "image", "shared_dir", "private_dir"];
        let module = if operation.by_name { by_name.into_iter().fold(module, Module::without) } else { module };
        module.args(to.clone())
    }

    fn module(&self) -> Module {
        let common = json!({"settle": 0.3, "stop_timeout": 1, "timeout": 30});
        Module::new(self.engine).args(self.scanner.args()).args(common).through(&self.proxy)
    }
}
