//! Listens to the engine, and notices when two containers of one scanner run at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use super::Engine;

/// A listener, from its birth to its end.
pub struct Events {
    process: Child,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    starts: usize,
    up: BTreeMap<String, BTreeSet<String>>,
    doubled: Vec<String>,
}

impl Events {
    /// Listens until dropped, or until the engine goes down.
    pub fn of(engine: &Engine) -> Self {
        let format = "{{.Action}} {{.ID}} {{index .Actor.Attributes \"name\"}}";
        let filters = ["--filter", "type=container", "--filter", "event=start", "--filter", "event=die"];
        let mut process = engine
            .command()
            .arg("events")
            .args(filters)
            // From its first moment on, so that nothing is missed while it connects.
            .args(["--since", "0", "--format", format])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let seen = Arc::<Mutex<Seen>>::default();
        let noting = Arc::clone(&seen);
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| noting.lock().unwrap().note(&line)));
        Self { process, seen }
    }

    /// Every time that a scanner was started while it ran in another container.
    pub fn doubled(&self) -> Vec<String> {
        sleep(Duration::from_millis(300)); // the last ones are on their way
        self.seen.lock().unwrap().doubled.clone()
    }

    /// How many starts were seen; a listener that is deaf proves nothing.
    pub fn starts(&self) -> usize {
        self.seen.lock().unwrap().starts
    }
}

impl Seen {
    fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(action), Some(id), Some(name)) = (words.next(), words.next(), words.next()) else { return };
        let scanner = name.trim_end_matches(".qcss-new").trim_end_matches(".qcss-old");
        let up = self.up.entry(scanner.to_owned()).or_default();
        if action == "die" {
            up.remove(id);
            return;
        }
        self.starts += 1;
        up.insert(id.to_owned());
        if up.len() > 1 {
            self.doubled.push(format!("{scanner}: {up:?}"));
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
