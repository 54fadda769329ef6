//! Ways of writing that mean the same are no difference, on either side.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Scanner, foretold};

/// One scanner made by hand, and everything that a task can say for the same.
#[rstest]
fn of_the_task() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["--memory 1024M --memory-swap 2048M --cpus 1 --restart on-failure -e REFRESH_INTERVAL_MIN=60"]);
    let id = scanner.engine.docker(&["image", "inspect", "--format", "{{.Id}}", "qualys/qcsa:1"]);
    let directory = |path: &str| format!("{}/{path}", scanner.shared_dir().parent().unwrap().display());
    let same = [
        (
            "memory",
            vec![
                json!("1G"),
                json!("1g"),
                json!("1048576k"),
                json!(1_073_741_824),
                json!("1073741824"),
                json!("1073741824b"),
                json!("1.0g"),
                json!("1GiB"),
                json!("1gb"),
                json!(" 1024M "),
            ],
        ),
        ("memory_swap", vec![json!("2G"), json!(2_147_483_648_u64), json!("2048m"), json!(null)]),
        ("cpus", vec![json!(1), json!(1.0), json!("1"), json!("1.00"), json!("1e0")]),
        ("restart_policy", vec![json!("on-failure"), json!("on-failure:0"), json!(null), json!("")]),
        ("refresh_interval", vec![json!(60), json!("60"), json!(60.0)]),
        (
            "qualys_url",
            vec![
                json!("US1"),
                json!("us1"),
                json!("https://qualysguard.qualys.com/"),
                json!("https://QualysGuard.qualys.com"),
            ],
        ),
        (
            "image",
            vec![
                json!("qualys/qcsa"),
                json!("qualys/qcsa:latest"),
                json!("docker.io/qualys/qcsa:1"),
                json!("index.docker.io/qualys/qcsa:1"),
                json!(id),
                json!(id[7..]),
                json!(id[7..19]),
                json!(id[..19]),
            ],
        ),
        ("shared_dir", vec![json!(directory("shared/")), json!(directory("/shared")), json!(directory("./shared/."))]),
        ("private_dir", vec![json!(directory("private//")), json!(directory("private/."))]),
        ("env", vec![json!({}), json!(null), json!("")]),
        ("labels", vec![json!({}), json!(null)]),
        ("network", vec![json!("bridge"), json!("default"), json!("")]),
        ("privileged", vec![json!(false), json!("no"), json!(null)]),
        ("ca_dir", vec![json!(""), json!(null)]),
    ];
    let wanted = json!({"memory": "1024M", "memory_swap": "2048M", "cpus": 1, "refresh_interval": 60});
    for (option, value) in same.iter().flat_map(|(option, values)| values.iter().map(move |value| (option, value))) {
        let reply = scanner.module().args(wanted.clone()).arg(option, value.clone()).diff().run();
        assert_eq!((&reply["changed"], reply.actions()), (&json!(false), vec![]), "{option} {value} {reply:#?}");
        assert_eq!(reply["diff"]["before"], reply["diff"]["after"], "{option} {value} {reply:#?}");
    }
}

/// `<shared>` and `<store>` are the scanner's directories.
#[rstest]
#[case::no_flags("-v <shared>:/usr/local/qualys -v <store>:/usr/local/qualys/admin/etc", json!({}))]
#[case::rw("-v <shared>:/usr/local/qualys:rw -v <store>:/usr/local/qualys/admin/etc:rw,z", json!({}))]
#[case::order_of_flags("-v <shared>:/usr/local/qualys:z,rw -v <store>:/usr/local/qualys/admin/etc:Z", json!({}))]
#[case::propagation("-v <shared>:/usr/local/qualys:rprivate,z -v <store>:/usr/local/qualys/admin/etc:z", json!({}))]
#[case::trailing_slash("-v <shared>/:/usr/local/qualys/:z -v <store>/:/usr/local/qualys/admin/etc/:z", json!({}))]
#[case::order("-v <store>:/usr/local/qualys/admin/etc:z -v <shared>:/usr/local/qualys:z", json!({}))]
#[case::mount("--mount type=bind,source=<shared>,target=/usr/local/qualys \
               --mount type=bind,src=<store>/,dst=/usr/local/qualys/admin/etc/", json!({}))]
#[case::half_and_half("--mount type=bind,source=<shared>,target=/usr/local/qualys \
               -v <store>:/usr/local/qualys/admin/etc:z", json!({}))]
#[case::quota("<mounts> --cpu-period 100000 --cpu-quota 150000", json!({"cpus": 1.5}))]
#[case::quota_alone("<mounts> --cpu-quota 50000", json!({"cpus": 0.5}))]
#[case::odd_quota("<mounts> --cpu-period 30000 --cpu-quota 10000", json!({"cpus": "0.33333333"}))]
#[case::swap_unlimited("<mounts> --memory 64M --memory-swap -1", json!({"memory": "64M", "memory_swap": "unlimited"}))]
#[case::swap_minus_one("<mounts> --memory 64M --memory-swap -1", json!({"memory": "64M", "memory_swap": -1}))]
#[case::swap_zero("<mounts> --memory 64M --memory-swap 0", json!({"memory": "64M"}))]
#[case::url("<mounts> -e QUALYS_URL=https://qualysguard.qg2.apps.qualys.com/", json!({"qualys_url": "us2"}))]
#[case::env_order("<mounts> -e B=2 -e A=1 -e A=1", json!({"env": {"A": "1", "B": "2"}}))]
#[case::env_of_the_image("<mounts> -e QCSA_VERSION=1", json!({"env": {"QCSA_VERSION": "1"}}))]
#[case::policy("<mounts> --restart on-failure:0", json!({"restart_policy": "on-failure"}))]
#[case::no_policy("<mounts> --restart no", json!({"restart_policy": false}))]
#[case::network("<mounts> --network bridge", json!({"network": "default"}))]
#[case::labels("<mounts> --label b=2 --label a=1 --label c=3", json!({"labels": {"a": "1", "b": "2"}}))]
fn of_the_container(#[case] made: &str, #[case] wanted: Value) {
    let scanner = Scanner::new(Engine::shared());
    std::fs::create_dir_all(scanner.store()).unwrap();
    std::fs::create_dir_all(scanner.shared_dir()).unwrap();
    let made = made
        .replace("<mounts>", "-v <shared>:/usr/local/qualys:z -v <store>:/usr/local/qualys/admin/etc:z")
        .replace("<shared>", scanner.shared_dir().to_str().unwrap())
        .replace("<store>", scanner.store().to_str().unwrap());
    let code = format!("PERSONALIZATION_CODE={}", scanner.code);
    let mut create = vec!["create", "--name", &scanner.name, "-e", &code];
    if !made.contains("QUALYS_URL") {
        create.extend(["-e", "QUALYS_URL=https://qualysguard.qualys.com"]);
    }
    create.extend(made.split_whitespace());
    create.push("qualys/qcsa:1");
    scanner.engine.docker(&create);
    foretold(&scanner, || scanner.module().arg("state", "present").args(wanted.clone())).unchanged();
}

#[test]
fn of_the_containers_network() {
    let id = network();
    for network in [&id, &id[..12]] {
        let scanner = Scanner::new(Engine::shared());
        scanner.by_hand(&["--network", network]);
        foretold(&scanner, || scanner.module().arg("network", "net-spelling")).unchanged();
    }
}

/// The id of the network `net-spelling` of the shared engine.
fn network() -> String {
    static MADE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    MADE.get_or_init(|| Engine::shared().docker(&["network", "create", "net-spelling"])).clone()
}
