//! Several engines, for many things to be tried side by side.

use std::sync::Mutex;
use std::thread;

use crate::support::{Engine, Events};

/// With neighbours on its engine a run would make more calls, and one could not tell which is the next: so each of what
/// goes on at the same time has an engine of its own.
pub struct Lab {
    engines: Vec<(Engine, Events)>,
}

impl Lab {
    pub fn new(size: usize) -> Self {
        let start = || {
            let engine = Engine::private(Engine::WITHOUT_BRIDGE);
            let events = Events::of(&engine);
            (engine, events)
        };
        let engines = thread::scope(|scope| {
            let starting: Vec<_> = (0..size).map(|_| scope.spawn(start)).collect();
            starting.into_iter().map(|engine| engine.join().unwrap()).collect()
        });
        Self { engines }
    }

    /// Does `work` for each of `jobs`, on whichever engine is free; what came of them, in their order.
    pub fn each<J: Send, R: Send>(&self, jobs: Vec<J>, work: impl Fn(&Engine, J) -> R + Sync) -> Vec<R> {
        let jobs = Mutex::new(jobs.into_iter().enumerate());
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for (engine, _) in &self.engines {
                scope.spawn(|| {
                    while let Some((number, job)) = { jobs.lock().unwrap().next() } {
                        let outcome = work(engine, job);
                        done.lock().unwrap().push((number, outcome));
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap();
        done.sort_by_key(|(number, _)| *number);
        done.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// What ran twice at the same time on any of them.
    pub fn doubled(&self) -> Vec<String> {
        assert!(self.engines.iter().all(|(_, events)| events.starts() > 0), "the events are not heard");
        self.engines.iter().flat_map(|(_, events)| events.doubled()).collect()
    }
}
