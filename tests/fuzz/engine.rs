//! Any answer of an engine is survived. An input is five bytes, and the body of what is answered to one kind of request: the
//! task, the kind, the status, whether an interrupted replacement is there, and how often the body is repeated.

#![no_main]

mod support;

use std::collections::HashMap;
use std::fs;
use std::sync::{LazyLock, Mutex};

use serde_json::{Value, json};

use support::{ANSWERS, FakeEngine, healthy, healthy_status, kind, shows};

/// Instead of a healthy engine's, which is as likely as all of them.
const STATUSES: [u16; 8] = [200, 201, 204, 304, 404, 409, 500, 503];

/// The most bytes of an answer.
const MOST: usize = 4 << 20;

/// The secrets of [`TASKS`].
const SECRETS: [&str; 3] = ["21808056913299", "proxy-password", "my-value"];

static ENGINE: LazyLock<Mutex<FakeEngine>> = LazyLock::new(|| Mutex::new(FakeEngine::new()));

/// A healthy engine's answers.
static HEALTHY: LazyLock<HashMap<&str, Vec<u8>>> =
    LazyLock::new(|| ANSWERS.iter().map(|kind| (*kind, healthy(kind).to_string().into_bytes())).collect());

/// What to do with the scanner that the engine has.
static TASKS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let managed = [
        json!({}),
        json!({"restart": true}),
        json!({"state": "stopped"}),
        json!({"state": "present", "recreate": "always"}),
        json!({"state": "absent", "purge": true}),
        json!({"https_proxy": "u:proxy-password@proxy:3128", "env": {"MINE": "my-value"}, "memory": "25%",
               "memory_swap": -1, "cpus": "50%", "network": "back", "ca_dir": "/"}),
        json!({"pull": "always", "restart_policy": "always", "labels": {"a": "1"}}),
    ];
    let both = managed.iter().flat_map(|task| [(task, false), (task, true)]);
    let tasks = both.map(|(task, check_mode)| {
        let code = SECRETS[0];
        let mut all = json!({"name": "rich", "personalization_code": code, "qualys_url": "US1", "image": "qualys/qcsa:rich",
                             "settle": 0, "stop_timeout": 0, "timeout": 2,
                             "_ansible_check_mode": check_mode, "_ansible_diff": true});
        merge(&mut all, task);
        all
    });
    let further = [json!({"_ansible_module_name": "qcss_scanner_info"}), json!({"name": "rich", "state": "present"})];
    tasks.chain(further).collect()
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [task, broken, status, interrupted, times, body @ ..] = input else { return };
    let engine = ENGINE.lock().unwrap();
    let broken = ANSWERS[usize::from(*broken) % ANSWERS.len()];
    let status = STATUSES.get(usize::from(*status) % (2 * STATUSES.len())).copied();
    let interrupted = interrupted % 4 == 0;
    // More than any answer but a list may have.
    let times = (1 << (times % 16)).min(MOST / body.len().max(1)).max(1);
    let body = body.repeat(times);
    engine.answer(move |method, path| {
        if !interrupted && (path.contains(".qcss-new") || path.contains(".qcss-old")) {
            return (404, br#"{"message": "No such container"}"#.to_vec());
        }
        let kind = kind(method, path);
        if kind == broken {
            (status.unwrap_or(healthy_status(kind)), body.clone())
        } else {
            (healthy_status(kind), HEALTHY[kind].clone())
        }
    });

    let mut task = TASKS[usize::from(*task) % TASKS.len()].clone();
    let path = |name: &str| engine.directory().join(name);
    merge(&mut task, &json!({"docker_host": engine.host()}));
    if task.get("image").is_some() {
        merge(&mut task, &json!({"shared_dir": path("shared"), "private_dir": path("private")}));
    }
    let task = task.to_string();
    fs::write(path("args"), &task).unwrap();
    let result = support::answer(&path("args"));
    // Of a container that is not described as one of a scanner, nobody can know what in it is secret.
    if !["container", "list"].contains(&broken) {
        for secret in SECRETS.iter().filter(|secret| task.contains(**secret)) {
            assert!(!shows(&result, secret), "{secret} is shown: {result}");
        }
    }
});

fn merge(task: &mut Value, further: &Value) {
    task.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
}
