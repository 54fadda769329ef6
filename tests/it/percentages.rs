//! Limits as shares of the host.

use rstest::rstest;
use serde_json::json;

use crate::support::{Ability, Engine, Proxy, Scanner};

#[test]
fn are_whole_mebibytes_and_hundredths_of_what_the_engine_has_and_stay_the_same() {
    let engine = Engine::shared();
    if engine.lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus]) {
        return;
    }
    let scanner = Scanner::new(engine);
    let limits = json!({"memory": "12.5%", "memory_swap": "20%", "cpus": "33.3%", "settle": 0});
    let module = || scanner.module().args(limits.clone());
    let predicted = module().check().run().changed();
    let reply = module().run().changed();
    assert_eq!(reply["scanner"], predicted["scanner"]);
    assert_eq!(reply["command"], predicted["command"]);

    let info = engine.docker(&["info", "--format", "{{.MemTotal}} {{.NCPU}}"]);
    let (total, cpus) =
        info.split_once(' ').map(|(a, b)| (a.parse::<u64>().unwrap(), b.parse::<u64>().unwrap())).unwrap();
    let (memory, both) = ((total / 8) >> 20 << 20, (total / 5) >> 20 << 20);
    let config = &scanner.inspect()["HostConfig"];
    assert_eq!((&config["Memory"], &config["NanoCpus"]), (&json!(memory), &json!(cpus * 333 / 10 * 10_000_000)));
    assert_eq!(reply["scanner"]["memory"], memory);
    assert_eq!(reply["scanner"]["swap"], both - memory);
    assert_eq!(reply["scanner"]["category"], "limited");

    let proxy = Proxy::new(engine);
    module().through(&proxy).run().unchanged();
    // Beside the three: what the host has.
    assert_eq!((proxy.requests().len(), proxy.writes().len()), (4, 0), "{:?}", proxy.requests());
    // The same in another spelling.
    scanner
        .module()
        .args(json!({"memory": memory, "memory_swap": both, "cpus": reply["scanner"]["cpus"]}))
        .run()
        .unchanged();
    assert_eq!(module().arg("memory", "10%").run().changed().actions(), [engine.way_of_limits()]);
}

#[rstest]
#[case(json!({"memory": "101%"}), "memory must be a size such as 1024M, 1.5g or plain bytes, or a percentage of the host's memory such as 25%, got: `101%`")]
#[case(json!({"cpus": "0.1%"}), "cpus must be at least 0.01, got: `0.1%` of 2 CPUs")]
#[case(json!({"memory": "0.0001%"}), "memory must be at least 6 MiB (6291456 bytes), got: `0` bytes")]
#[case(json!({"memory_swap": "50%"}), "memory_swap is memory and swap together and needs memory beside it")]
#[case(json!({"memory": "50%", "memory_swap": "40%"}), "memory_swap is memory and swap together and must not be less than memory")]
fn are_refused_like_plain_values(#[case] limits: serde_json::Value, #[case] message: &str) {
    let engine = Engine::shared();
    let host = Proxy::posing(engine, &json!({"NCPU": 2}));
    let scanner = Scanner::new(engine);
    let said = scanner.module().args(limits).arg("docker_host", host.host()).run().refused("invalid_arguments");
    assert!(said.starts_with(message), "{said}");
    assert!(!scanner.shared_dir().exists());
}
