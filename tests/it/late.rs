//! What the engine does when the run that asked for it waits no more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, FakeEngine, Fault, Module, Proxy, Reply, Scanner, Trap, eventually};

/// Longer than a rollback takes.
const LATENESS: Duration = Duration::from_secs(2);

/// It refuses to when a flapping scanner ends just then.
#[test]
fn a_restart_policy_is_not_lost_when_the_engine_is_slow_to_change_it() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let slow = Slow::new(&engine, "/update", json!({"restart_policy": "always"}));
    slow.proxy.set(Trap::once(Fault::Status(500), slow.call));
    assert_eq!(slow.module("qualys/qcsa:1").run().changed().actions(), ["replace"]);
    assert!(slow.proxy.release());

    // Nor is it lost when it is switched off behind the back of a run that gave up.
    slow.give_up("qualys/qcsa:2");
    eventually("the engine did it late", || slow.proxy.was_late());
    assert_eq!(slow.scanner.inspect()["HostConfig"]["RestartPolicy"]["Name"], "no");
    assert_eq!(slow.module("qualys/qcsa:2").run().changed().actions(), ["recover", "replace"]);
    assert_eq!(slow.scanner.inspect()["HostConfig"]["RestartPolicy"]["Name"], "always");
}

#[test]
fn a_stop_that_comes_when_the_old_scanner_is_back_does_not_leave_it_stopped_for_good() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let slow = Slow::new(&engine, "/stop", json!({"stop_timeout": 1}));
    let reply = slow.give_up("qualys/qcsa:1");
    // Nobody knows whether it still comes, so the note stays.
    assert_eq!(
        (&reply["rolled_back"], &reply["container"]["running"]),
        (&json!(false), &json!(true)),
        "{}",
        reply.line
    );
    eventually("the engine did it late", || slow.proxy.was_late());
    eventually("it is stopped", || slow.scanner.inspect()["State"]["Running"] == false);
    assert_eq!(slow.scanner.containers().len(), 2);
    let present = slow.module("qualys/qcsa:2").arg("state", "present").run().changed();
    assert_eq!(present.actions(), ["recover"]);
    assert_eq!(slow.scanner.inspect()["State"]["Running"], true);
    assert_eq!(slow.scanner.containers().len(), 1);
    assert_eq!(slow.module("qualys/qcsa:1").run().changed().actions(), ["replace"]);
}

/// As after an engine that was killed, or of one that was run with --rm.
#[rstest]
#[case::goes(3, None)]
#[case::stays(usize::MAX, Some("engine_error"))]
fn a_scanner_that_the_engine_is_just_removing_is_waited_for(#[case] looks: usize, #[case] error: Option<&str>) {
    let engine = FakeEngine::new();
    let looked = AtomicUsize::new(0);
    engine.answer(move |_, path| match path {
        "/containers/json" if looked.load(Ordering::Relaxed) < looks => {
            (200, br#"[{"Id": "1", "Names": ["/scanner"]}]"#.to_vec())
        }
        "/containers/json" => (200, b"[]".to_vec()),
        "/containers/1/json" if looked.fetch_add(1, Ordering::Relaxed) < looks => {
            let scanner = json!({
                "Id": "1", "Name": "/scanner", "Image": "sha256:1111", "State": {"Status": "removing"},
                "Config": {"Env": ["PERSONALIZATION_CODE=21808056913298"]},
                "Mounts": [{"Source": "/q/1", "Destination": "/usr/local/qualys/admin/etc", "RW": true}],
            });
            (200, scanner.to_string().into_bytes())
        }
        _ => (404, br#"{"message": "not found"}"#.to_vec()),
    });
    let module = Module::new(Engine::shared()).args(json!({"docker_host": engine.host(), "name": "scanner"}));
    let reply = module.arg("state", "absent").arg("timeout", 1).disturbed().run();
    assert_eq!(reply["error"].as_str(), error, "{}", reply.line);
    assert_eq!(reply["changed"], false);
}

/// A scanner, of the image `qualys/qcsa:2`, whose engine is slow at one call of a replacement.
struct Slow<'engine> {
    scanner: Scanner<'engine>,
    proxy: Proxy,
    options: Value,
    call: usize,
}

impl<'engine> Slow<'engine> {
    /// The call is the one whose path has `part`. Nothing else may be on the `engine`: with neighbours that come and go the
    /// calls would not be the same each time.
    fn new(engine: &'engine Engine, part: &str, options: Value) -> Self {
        let mut slow = Self { scanner: Scanner::new(engine), proxy: Proxy::new(engine), options, call: 0 };
        slow.module("qualys/qcsa:1").run().changed();
        let begin = slow.proxy.requests().len();
        slow.module("qualys/qcsa:2").run().changed();
        let requests = slow.proxy.requests().split_off(begin);
        slow.call = requests.iter().position(|request| request.path.contains(part)).unwrap();
        slow
    }

    fn module(&self, image: &str) -> Module {
        self.scanner.module().through(&self.proxy).arg("image", image).args(self.options.clone())
    }

    /// A run for which the engine is too slow; it does what was asked nevertheless.
    fn give_up(&self, image: &str) -> Reply {
        self.proxy.set(Trap::once(Fault::Late(LATENESS), self.call));
        let reply = self.module(image).arg("timeout", 1).disturbed().run();
        assert_eq!(reply["error"], "timeout", "{}", reply.line);
        reply
    }
}
