//! Listens to the engine, and notices when two containers of one scanner run at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use super::Engine;

/// A listener, from its birth to its end; when the engine ends and comes back it listens again.
pub struct Events {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    process: Option<Child>,
    ended: bool,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    starts: usize,
    up: BTreeMap<String, BTreeSet<String>>,
    doubled: Vec<String>,
}

impl Events {
    /// Listens until dropped.
    pub fn of(engine: &Engine) -> Self {
        let host = engine.host();
        let shared = Arc::<Mutex<Shared>>::default();
        let listening = Arc::clone(&shared);
        thread::spawn(move || {
            while listen(&host, &listening) {
                // The engine ended; before it comes back it ends whatever ran on it.
                listening.lock().unwrap().seen.up.clear();
                sleep(Duration::from_millis(20));
            }
        });
        Self { shared }
    }

    /// Every time that a scanner was started while it ran in another container.
    pub fn doubled(&self) -> Vec<String> {
        sleep(Duration::from_millis(300)); // the last ones are on their way
        self.shared.lock().unwrap().seen.doubled.clone()
    }

    /// How many starts were seen; a listener that is deaf proves nothing.
    pub fn starts(&self) -> usize {
        self.shared.lock().unwrap().seen.starts
    }
}

/// Notes what the engine tells until one of both ends; whether to listen again.
fn listen(host: &str, shared: &Mutex<Shared>) -> bool {
    let mut command = Command::new("docker");
    command
        .args(["--host", host, "events", "--filter", "type=container", "--filter", "event=start"])
        // From its first moment on, so that nothing is missed while we connect.
        .args(["--filter", "event=die", "--since", "0"])
        .args(["--format", "{{.Action}} {{.ID}} {{index .Actor.Attributes \"name\"}}"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let lines = {
        let mut shared = shared.lock().unwrap();
        if shared.ended {
            return false;
        }
        let mut process = command.spawn().unwrap();
        let stdout = process.stdout.take().unwrap();
        shared.process = Some(process);
        BufReader::new(stdout).lines()
    };
    lines.map_while(Result::ok).for_each(|line| shared.lock().unwrap().seen.note(&line));
    let process = shared.lock().unwrap().process.take();
    process.is_some_and(|mut process| process.wait().is_ok())
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
        let mut shared = self.shared.lock().unwrap();
        shared.ended = true;
        if let Some(mut process) = shared.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
