//! What a run costs, counted in requests: time is for those who measure on a quiet machine.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::support::{Engine, Module, Proxy, Reply, Scanner};

const FOREIGN: usize = 300;

#[test]
fn nothing_to_do_costs_the_same_beside_any_number_of_other_containers() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let scanners: Vec<_> = (0..50).map(|_| Scanner::new(&engine)).collect();
    let (one, ten, fifty) = (task(&engine, &scanners[..1]), task(&engine, &scanners[..10]), task(&engine, &scanners));
    fifty().run().changed();

    let alone = [&one, &ten, &fifty].map(|task| requests(&engine, task()).1);
    assert_eq!(alone.each_ref().map(Vec::len), [1 + 1 + 1, 1 + 1 + 10, 1 + 1 + 50]);
    let twenty = task(&engine, &scanners[..20]);
    let mut images = twenty();
    images = images.arg("scanners", two_images(&scanners[..20]));
    assert_eq!(requests(&engine, images).1.len(), 1 + 2 + 20);

    crowd(&engine);
    for (task, alone) in [&one, &ten, &fifty].into_iter().zip(alone) {
        assert_eq!(requests(&engine, task()).1, alone);
    }

    // With something to do, others are listed once, and only scanners are looked at one by one.
    engine.docker(&["rm", &scanners[0].name]);
    let proxy = Proxy::new(&engine);
    one().through(&proxy).run().changed();
    let looks = proxy.requests().iter().filter(|request| request.method == "GET").count();
    assert!(looks < 2 * 49 + 20, "{looks}");

    let (reply, asked) =
        requests(&engine, Module::new(&engine).without("overcommit").arg("_ansible_module_name", "qcss_scanner_info"));
    assert_eq!(reply["msg"], "50 of 50 scanners");
    // The host, the list, the image that all of them have.
    assert_eq!(asked.len(), 3 + 50, "{asked:?}");
}

/// Runs a task that has nothing to do; what it asked, sorted: three scanners are looked at at the same time.
fn requests(engine: &Engine, task: Module) -> (Reply, Vec<String>) {
    let proxy = Proxy::new(engine);
    let reply = task.through(&proxy).run().unchanged();
    assert_eq!(proxy.writes(), []);
    assert!(proxy.connections() <= 3, "{}", proxy.connections());
    let mut asked: Vec<_> = proxy.requests().iter().map(ToString::to_string).collect();
    asked.sort_unstable();
    (reply, asked)
}

/// One task for `scanners`, none of which is started.
fn task<'a>(engine: &'a Engine, scanners: &'a [Scanner<'a>]) -> impl Fn() -> Module + 'a {
    move || {
        let Value::Object(mut defaults) = scanners[0].args() else { unreachable!() };
        defaults.retain(|name, _| !["name", "personalization_code"].contains(&name.as_str()));
        Module::new(engine).args(defaults.into()).arg("state", "present").arg("scanners", entries(scanners))
    }
}

fn entries(scanners: &[Scanner]) -> Vec<Value> {
    let entry = |scanner: &Scanner| json!({"name": scanner.name, "personalization_code": scanner.code});
    scanners.iter().map(entry).collect()
}

/// The same image by two names.
fn two_images(scanners: &[Scanner]) -> Vec<Value> {
    let mut entries = entries(scanners);
    entries[0]["image"] = json!("qualys/qcsa");
    entries
}

/// Creates containers that are no scanners, some with mounts; without the docker command, which takes longer than the engine.
fn crowd(engine: &Engine) {
    let body = |number| {
        let volume = format!("/tmp:/data{}", number % 2);
        json!({"Image": "qualys/qcsa:1", "Cmd": ["sleep", "1"], "HostConfig": {"Binds": [volume]}}).to_string()
    };
    for body in (0..FOREIGN).map(body) {
        let mut stream = UnixStream::connect(engine.socket()).unwrap();
        let head =
            "POST /containers/create HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/json";
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    }
}
