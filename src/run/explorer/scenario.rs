//! What is explored: a task, and what it finds.

use std::fmt;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::TIMEOUT;
use crate::engine::fake::{Fake, made};
use crate::scanner::desired::Request;
use crate::scanner::observed::{Observed, Status};
use crate::testing::request;

/// Of an image whose containers end soon after their start.
pub const DYING: &str = "qualys/qcsa:dying";

/// One thing to do, and from where.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The scanner that there is.
    pub old: Option<Observed>,
    /// What the task says beside name, code, URL and directories.
    pub options: Value,
}

impl Scenario {
    /// All of them.
    pub fn all(directories: &TempDir) -> Vec<Self> {
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

    pub fn request(&self) -> Request {
        request(&self.options).unwrap()
    }

    pub fn engine(&self) -> Fake {
        engine(self.old.clone().into_iter().collect())
    }

    pub fn option(&self, name: &str) -> &str {
        self.options[name].as_str().unwrap_or_default()
    }

    pub fn dies(&self) -> bool {
        self.option("image") == DYING
    }

    /// Whether the scanner runs when the task is done.
    pub fn runs(&self) -> bool {
        match self.option("state") {
            "" => true,
            "present" => self.old.as_ref().is_some_and(|old| old.status.is_up()),
            _ => false,
        }
    }

    pub fn ran(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.status.is_up())
    }
}

pub fn with_directories(directories: &TempDir, options: &Value) -> Value {
    let path = |name: &str| directories.path().join(name);
    let mut all = json!({"shared_dir": path("shared"), "private_dir": path("private"), "settle": 0.3});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    all
}

pub fn old(directories: &TempDir, status: Status, policy: &str, podman: bool) -> Observed {
    let desired =
        request(&with_directories(directories, &json!({ "restart_policy": policy }))).unwrap().desired.unwrap();
    let started_at = (status != Status::Created).then(|| "2026-01-01T00:00:00Z".parse().unwrap());
    Observed { id: "old".to_owned(), name: "scanner".to_owned(), status, started_at, podman, ..made(&desired) }
}

pub fn engine(containers: Vec<Observed>) -> Fake {
    let fake = Fake::new(containers, TIMEOUT);
    fake.with(|world| world.dying.insert(format!("sha256:{DYING}")));
    fake
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
