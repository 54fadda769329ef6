//! A scanner that is not as wanted: what is changed live, what needs a replacement, and how `differences` and `diff` say it.

use std::fs;
use std::sync::OnceLock;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Ability, Engine, Scanner, foretold, four_tasks};

const MIB: u64 = 1 << 20;

#[rstest]
#[case::limits_newly_set("", json!({"memory": "64M", "memory_swap": "96M", "cpus": 0.5}),
    json!([["memory", null, 64 * MIB], ["memory_swap", null, 96 * MIB], ["cpus", null, 0.5]]))]
#[case::memory_alone("", json!({"memory": "64M"}),
    json!([["memory", null, 64 * MIB], ["memory_swap", null, 128 * MIB]]))]
#[case::memory_up("--memory 64M --memory-swap 96M", json!({"memory": "96M", "memory_swap": "96M"}),
    json!([["memory", 64 * MIB, 96 * MIB]]))]
#[case::memory_up_above_the_swap_limit("--memory 64M", json!({"memory": "256M"}),
    json!([["memory", 64 * MIB, 256 * MIB], ["memory_swap", 128 * MIB, 512 * MIB]]))]
#[case::memory_down("--memory 256M", json!({"memory": "64M"}),
    json!([["memory", 256 * MIB, 64 * MIB], ["memory_swap", 512 * MIB, 128 * MIB]]))]
#[case::swap_up("--memory 64M --memory-swap 64M", json!({"memory": "64M", "memory_swap": "80M"}),
    json!([["memory_swap", 64 * MIB, 80 * MIB]]))]
#[case::swap_down_to_the_default("--memory 64M --memory-swap 256M", json!({"memory": "64M"}),
    json!([["memory_swap", 256 * MIB, 128 * MIB]]))]
#[case::swap_unlimited("--memory 64M", json!({"memory": "64M", "memory_swap": "unlimited"}),
    json!([["memory_swap", 128 * MIB, "unlimited"]]))]
#[case::swap_limited("--memory 64M --memory-swap -1", json!({"memory": "64M", "memory_swap": "64M"}),
    json!([["memory_swap", "unlimited", 64 * MIB]]))]
#[case::cpus_up("--cpus 0.5", json!({"cpus": 1}), json!([["cpus", 0.5, 1.0]]))]
#[case::cpus_down("--cpus 1.5", json!({"cpus": "0.25"}), json!([["cpus", 1.5, 0.25]]))]
#[case::cpus_given_as_quota("--cpu-period 50000 --cpu-quota 25000", json!({"cpus": 1}), json!([["cpus", 0.5, 1.0]]))]
#[case::cpus_given_as_quota_alone("--cpu-quota 50000", json!({"cpus": 0.25}), json!([["cpus", 0.5, 0.25]]))]
#[case::cpu_period_alone("--cpu-period 50000", json!({"cpus": 1}), json!([["cpus", null, 1.0]]))]
#[case::cpu_quota_tiny("--cpu-quota 1000 --cpu-period 1000000", json!({"cpus": 1}), json!([["cpus", 0.001, 1.0]]))]
#[case::cpu_quota_that_says_no_limit("--cpu-quota=-1", json!({"cpus": 1}), json!([["cpus", null, 1.0]]))]
#[case::policy_set("", json!({"restart_policy": "unless-stopped"}), json!([["restart_policy", "no", "unless-stopped"]]))]
#[case::policy_off("--restart always", json!({"restart_policy": false}), json!([["restart_policy", "always", "no"]]))]
#[case::policy_count("--restart on-failure:3", json!({"restart_policy": "on-failure:5"}),
    json!([["restart_policy", "on-failure:3", "on-failure:5"]]))]
#[case::all_at_once("--memory 64M", json!({"memory": "96M", "memory_swap": -1, "cpus": 2, "restart_policy": "always"}),
    json!([["memory", 64 * MIB, 96 * MIB], ["memory_swap", 128 * MIB, "unlimited"], ["cpus", null, 2.0],
           ["restart_policy", "no", "always"]]))]
fn is_updated_live(#[case] made: &str, #[case] wanted: Value, #[case] differences: Value) {
    let scanner = Scanner::new(Engine::shared());
    if lacks(scanner.engine, made, &wanted) || scanner.engine.lacks(Ability::UpdatesLive) {
        return;
    }
    scanner.by_hand(&[made]);
    let before = scanner.inspect();

    let reply = four_tasks(&scanner, || scanner.module().args(wanted.clone()));

    assert_eq!(reply.actions(), ["update"], "{reply:#?}");
    assert_eq!(reply["differences"], by_way("update", &differences));
    assert_shown_in_diff(&reply["diff"], &differences);
    let after = scanner.inspect();
    assert_eq!([&after["Id"], &after["State"]], [&before["Id"], &before["State"]], "same container, still running");
    assert_eq!(reply["container"]["id"], before["Id"]);
    for (field, _, value) in triples(&differences) {
        match field {
            "memory" => {
                assert_eq!(cgroup(&scanner, "memory", &["memory.limit_in_bytes", "memory.max"]), value.to_string());
            }
            "cpus" => assert_eq!(Some(cpus(&scanner)), value.as_f64()),
            _ => {}
        }
    }
}

/// Whether the engine cannot have what a case has.
fn lacks(engine: &Engine, made: &str, wanted: &Value) -> bool {
    let has = |option: &str, flag: &str| wanted.get(option).is_some_and(|it| *it != 0) || made.contains(flag);
    let is_unlimited = json!([-1, "unlimited"]).as_array().unwrap().contains(&wanted["memory_swap"]);
    (has("memory", "--memory") && engine.lacks(Ability::LimitsMemory))
        || (has("cpus", "--cpu") && engine.lacks(Ability::LimitsCpus))
        || ((is_unlimited || made.contains("--memory-swap -1")) && engine.lacks(Ability::LimitsSwap))
        || (made.contains("--network host") && engine.lacks(Ability::HostsNamespaces))
        || (made == "-e QCSA_VERSION" && engine.lacks(Ability::TakesVariablesAway))
}

#[rstest]
#[case("created")]
#[case("exited")]
#[case("paused")]
fn is_updated_without_being_started(#[case] status: &str) {
    if status == "paused" && Engine::shared().lacks(Ability::Pauses) {
        return;
    }
    let scanner = Scanner::new(Engine::shared());
    let needed = if status == "exited" { Ability::UpdatesEnded } else { Ability::UpdatesLive };
    if scanner.engine.lacks(needed) {
        return;
    }
    if status == "created" {
        scanner.module().arg("state", "present").run().changed();
    } else {
        scanner.by_hand(&[]);
        scanner.engine.docker(&[if status == "paused" { "pause" } else { "stop" }, &scanner.name]);
    }
    let limits = json!({"state": "present", "memory": "64M", "cpus": 1, "restart_policy": "on-failure"});
    let reply = four_tasks(&scanner, || scanner.module().args(limits.clone()));
    assert_eq!(reply.actions(), ["update"]);
    assert_eq!(scanner.inspect()["State"]["Status"], status);
}

/// `<dir>` is the scanner's own directory. None of them runs, which is quicker; see below for running ones.
#[rstest]
#[case::memory_taken_away("--memory 64M", json!({}),
    json!([["memory", 64 * MIB, null], ["memory_swap", 128 * MIB, null]]))]
#[case::memory_zero("--memory 64M --cpus 1", json!({"memory": 0, "cpus": 1}),
    json!([["memory", 64 * MIB, null], ["memory_swap", 128 * MIB, null]]))]
#[case::cpus_taken_away("--memory 64M --cpus 1", json!({"memory": "64M"}), json!([["cpus", 1.0, null]]))]
#[case::cpu_quota_taken_away("--cpu-quota 50000", json!({}), json!([["cpus", 0.5, null]]))]
#[case::cpu_period_too_short_for_so_few("--cpu-quota 1000 --cpu-period 1000", json!({"cpus": 0.5}),
    json!([["cpus", 1.0, 0.5]]))]
#[case::cpu_period_alone_too_short("--cpu-period 10000", json!({"cpus": 0.05}), json!([["cpus", null, 0.05]]))]
#[case::one_more_and_one_less("--cpus 1", json!({"memory": "64M"}),
    json!([["memory", null, 64 * MIB], ["memory_swap", null, 128 * MIB], ["cpus", 1.0, null]]))]
#[case::image("", json!({"image": "qualys/qcsa:2"}), json!([["image", "qualys/qcsa:1", "qualys/qcsa:2"]]))]
#[case::image_and_env("", json!({"image": "qualys/qcsa:2", "env": {"A": "1"}}),
    json!([["image", "qualys/qcsa:1", "qualys/qcsa:2"], ["env", {}, {"A": "********"}]]))]
#[case::qualys_url("", json!({"qualys_url": "US2"}),
    json!([["qualys_url", "https://qualysguard.qualys.com", "https://qualysguard.qg2.apps.qualys.com"]]))]
#[case::proxy_set("", json!({"https_proxy": "canary-user:canary-pass@proxy:3128"}),
    json!([["https_proxy", null, "********"]]))]
#[case::proxy_changed("-e HTTPS_PROXY=old-user:old-pass@proxy:3128", json!({"https_proxy": "proxy:3128"}),
    json!([["https_proxy", "********", "********"]]))]
#[case::proxy_removed("-e HTTPS_PROXY=proxy:3128", json!({}), json!([["https_proxy", "********", null]]))]
#[case::polling("", json!({"polling_interval": 60}), json!([["polling_interval", null, "60"]]))]
#[case::update("-e UPDATE_INTERVAL_MIN=30", json!({"update_interval": "240"}),
    json!([["update_interval", "30", "240"]]))]
#[case::refresh("-e REFRESH_INTERVAL_MIN=10", json!({}), json!([["refresh_interval", "10", null]]))]
#[case::env_added("", json!({"env": {"A": "canary-1"}}), json!([["env", {}, {"A": "********"}]]))]
#[case::env_changed("-e A=canary-1 -e B=same", json!({"env": {"A": "canary-2", "B": "same"}}),
    json!([["env", {"A": "********"}, {"A": "********"}]]))]
#[case::env_removed("-e A=canary-1", json!({}), json!([["env", {"A": "********"}, {}]]))]
#[case::env_of_the_image_emptied("-e QCSA_VERSION=", json!({}),
    json!([["env", {"QCSA_VERSION": "********"}, {"QCSA_VERSION": "********"}]]))]
#[case::env_of_the_image_taken_away_and_wanted("-e QCSA_VERSION", json!({"env": {"QCSA_VERSION": "9"}}),
    json!([["env", {}, {"QCSA_VERSION": "********"}]]))]
#[case::env_of_the_image_overridden("-e QCSA_VERSION=mine", json!({}),
    json!([["env", {"QCSA_VERSION": "********"}, {"QCSA_VERSION": "********"}]]))]
#[case::shared_dir("", json!({"shared_dir": "<dir>/other"}), json!([["shared_dir", "<dir>/shared", "<dir>/other"]]))]
#[case::ca_dir_added("", json!({"ca_dir": "<dir>/ca"}), json!([["ca_dir", null, "<dir>/ca"]]))]
#[case::ca_dir_changed("-v <dir>/ca:/usr/local/bin:z", json!({"ca_dir": "<dir>/ca2"}),
    json!([["ca_dir", "<dir>/ca", "<dir>/ca2"]]))]
#[case::ca_dir_removed("-v <dir>/ca:/usr/local/bin:z", json!({}), json!([["ca_dir", "<dir>/ca", null]]))]
#[case::ca_dir_read_only("-v <dir>/ca:/usr/local/bin:ro", json!({"ca_dir": "<dir>/ca"}),
    json!([["ca_dir", "<dir>/ca (read-only)", "<dir>/ca"]]))]
#[case::network("", json!({"network": "net-a"}), json!([["network", "bridge", "net-a"]]))]
#[case::network_changed("--network net-a", json!({"network": "net-b"}), json!([["network", "net-a", "net-b"]]))]
#[case::network_left("--network net-a", json!({"network": "bridge"}), json!([["network", "net-a", "bridge"]]))]
#[case::network_of_the_host("--network host", json!({"network": "net-a"}), json!([["network", "host", "net-a"]]))]
#[case::label_added("", json!({"labels": {"team": "a"}}), json!([["labels", {"team": null}, {"team": "a"}]]))]
#[case::label_changed("--label team=a --label other=b", json!({"labels": {"team": "c"}}),
    json!([["labels", {"team": "********"}, {"team": "c"}]]))]
#[case::with_a_live_one("--memory 64M", json!({"memory": "96M", "labels": {"team": "a"}, "restart_policy": "always"}),
    json!([["memory", 64 * MIB, 96 * MIB], ["memory_swap", 128 * MIB, 192 * MIB],
           ["restart_policy", "no", "always"], ["labels", {"team": null}, {"team": "a"}]]))]
fn is_replaced(#[case] made: &str, #[case] wanted: Value, #[case] differences: Value) {
    let scanner = Scanner::new(Engine::bridged());
    if lacks(scanner.engine, made, &wanted) {
        return;
    }
    networks();
    let directory = scanner.shared_dir().parent().unwrap().to_owned();
    let here = |text: String| text.replace("<dir>", directory.to_str().unwrap());
    for ca_dir in ["ca", "ca2", "other"] {
        fs::create_dir(directory.join(ca_dir)).unwrap();
    }
    let old = scanner.by_hand_created(&[&here(made.to_owned())]);
    let wanted: Value = here(wanted.to_string()).parse().unwrap();
    let named = scanner.inspect()["Config"]["Image"].to_string(); // Podman's have a registry
    let differences = here(differences.to_string()).replace("\"qualys/qcsa:1\"", &named).parse().unwrap();

    let reply = four_tasks(&scanner, || scanner.module().arg("state", "present").args(wanted.clone()));

    assert_eq!(reply.actions(), ["replace"], "{reply:#?}");
    assert_eq!(reply["differences"], by_way("replace", &differences));
    assert_shown_in_diff(&reply["diff"], &differences);
    let inspect = scanner.inspect();
    assert_ne!(inspect["Id"], old);
    assert_eq!(scanner.ids(), [inspect["Id"].as_str().unwrap()], "no leftovers");
    assert!(!reply.line.contains("canary") && !reply.line.contains("old-pass"), "{}", reply.line);
}

/// Not started: a container must not have all rights everywhere.
#[rstest]
#[case::more("", true)]
#[case::less("--privileged", false)]
fn rights_are_replaced(#[case] made: &str, #[case] wanted: bool) {
    if Engine::shared().lacks(Ability::HostsNamespaces) {
        return;
    }
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand_created(&[made]);
    let task = || scanner.module().args(json!({"privileged": wanted, "state": "present"}));
    let reply = four_tasks(&scanner, task);
    assert_eq!(reply.actions(), ["replace"]);
    assert_eq!(reply["differences"], by_way("replace", &json!([["privileged", !wanted, wanted]])));
    let rights = |scanner: &Scanner| {
        let config = scanner.inspect()["HostConfig"].clone();
        ["Privileged", "MaskedPaths", "ReadonlyPaths", "SecurityOpt"]
            .map(|name| Some(config[name].clone()).filter(|value| *value != json!([])).unwrap_or_default())
    };
    let by_hand = Scanner::new(Engine::shared());
    by_hand.by_hand_created(&[if wanted { "--privileged" } else { "" }]);
    assert_eq!(rights(&scanner), rights(&by_hand));
}

#[test]
fn a_name_that_came_to_mean_another_image_is_a_difference() {
    let scanner = Scanner::new(Engine::shared());
    let tag = format!("moving:{}", scanner.name);
    let id = |image| scanner.engine.docker(&["image", "inspect", "--format", "{{.Id}}", image]);
    scanner.engine.docker(&["tag", "qualys/qcsa:1", &tag]);
    scanner.by_hand_from(&tag, &[]);
    scanner.module().arg("image", tag.as_str()).run().unchanged();

    scanner.engine.docker(&["tag", "qualys/qcsa:2", &tag]);
    let reply = four_tasks(&scanner, || scanner.module().arg("image", tag.as_str()));
    let (one, two) = (id("qualys/qcsa:1"), id("qualys/qcsa:2"));
    let registry = if scanner.engine.is_podman() { "docker.io/library/" } else { "" };
    let difference = json!([["image", format!("{registry}{tag} ({one})"), format!("{tag} ({two})")]]);
    assert_eq!(reply["differences"], by_way("replace", &difference));
    assert_eq!(reply["container"]["image_id"], two);
}

#[test]
fn a_scanner_moves_to_another_private_directory_with_its_identity() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    let identity = identity(&scanner);
    let moved = scanner.private_dir().with_file_name("moved");
    let store = moved.join(&scanner.code);
    fs::create_dir_all(&store).unwrap();
    fs::write(store.join("identity"), &identity).unwrap();

    let reply = four_tasks(&scanner, || scanner.module().arg("private_dir", moved.to_str().unwrap()));
    assert_eq!(reply.actions(), ["replace"]);
    assert_eq!(reply["differences"][0]["field"], "private_dir");
    assert_eq!(reply["scanner"]["private_dir"], moved.to_str().unwrap());
    assert!(scanner.log().contains(identity.trim()));
}

#[rstest]
#[case::taken_away("--memory 64M --cpus 1", json!({}))]
#[case::image("", json!({"image": "qualys/qcsa:2"}))]
#[case::env("-e A=1", json!({"env": {"B": "2"}}))]
#[case::ca_dir("", json!({"ca_dir": "<dir>"}))]
#[case::network("", json!({"network": "net-a"}))]
fn a_running_scanner_keeps_its_identity_and_runs(#[case] made: &str, #[case] wanted: Value) {
    if lacks(Engine::bridged(), made, &wanted) {
        return;
    }
    let scanner = Scanner::new(Engine::bridged());
    networks();
    let old = scanner.by_hand(&[made]);
    let identity = identity(&scanner);
    let directory = scanner.private_dir().with_file_name("ca");
    fs::create_dir(&directory).unwrap();
    let wanted: Value = wanted.to_string().replace("<dir>", directory.to_str().unwrap()).parse().unwrap();
    let reply = four_tasks(&scanner, || scanner.module().args(wanted.clone()));
    assert_eq!(reply.actions(), ["replace"], "{reply:#?}");
    let inspect = scanner.inspect();
    assert_eq!(scanner.ids(), [inspect["Id"].as_str().unwrap()], "no leftovers");
    assert_ne!(inspect["Id"], old);
    assert_eq!(inspect["State"]["Running"], true);
    assert_eq!(fs::read_to_string(scanner.store().join("identity")).unwrap(), identity);
}

#[test]
fn a_new_code_replaces_the_scanner_and_keeps_the_old_directory() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    let code = format!("9{}", scanner.code);
    let reply = four_tasks(&scanner, || scanner.module().arg("personalization_code", code.as_str()));
    assert_eq!(reply.actions(), ["create_directory", "replace"]);
    let fields: Vec<_> =
        reply["differences"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["personalization_code", "private_dir"]);
    assert!(!reply.line.contains(&scanner.code), "{}", reply.line);
    assert!(scanner.store().join("identity").exists());
}

#[rstest]
#[case("exited", "present", "created")]
#[case("exited", "stopped", "created")]
#[case("exited", "started", "running")]
#[case("running", "stopped", "created")]
#[case("paused", "present", "running")]
#[case("paused", "started", "running")]
fn a_replacement_runs_when_it_shall(#[case] from: &str, #[case] state: &str, #[case] to: &str) {
    if from == "paused" && Engine::shared().lacks(Ability::Pauses) {
        return;
    }
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&[]);
    match from {
        "exited" => drop(scanner.engine.docker(&["stop", &scanner.name])),
        "paused" => drop(scanner.engine.docker(&["pause", &scanner.name])),
        _ => {}
    }
    let task = || scanner.module().args(json!({"image": "qualys/qcsa:2", "state": state}));
    let reply = four_tasks(&scanner, task);
    assert_eq!(reply.actions(), ["replace"]);
    assert_eq!(scanner.inspect()["State"]["Status"], to);
    assert_eq!(scanner.ids().len(), 1);
}

#[test]
fn what_a_task_leaves_out_is_not_looked_at() {
    if Engine::bridged().lacks(Ability::HostsNamespaces) {
        return;
    }
    let scanner = Scanner::new(Engine::bridged());
    networks();
    scanner.by_hand_created(&["--restart always --network net-a --privileged --label team=a"]);
    foretold(&scanner, || scanner.module().arg("state", "present")).unchanged();
}

#[test]
fn a_directory_that_is_gone_is_shown_once() {
    let scanner = Scanner::new(Engine::shared());
    let shared = scanner.shared_dir();
    let fresh = foretold(&scanner, || scanner.module().arg("state", "present"));
    assert_shown_in_diff(&fresh["diff"], &json!([["shared_dir", null, shared]]));
    fs::remove_dir(&shared).unwrap();
    let reply = four_tasks(&scanner, || scanner.module().arg("state", "present"));
    assert_eq!(reply.actions(), ["create_directory"]);
    assert_shown_in_diff(&reply["diff"], &json!([["shared_dir", null, shared]]));
    for reply in [fresh, reply] {
        assert_eq!(reply["diff"]["after"].as_str().unwrap().matches("shared_dir:").count(), 1, "{reply:#?}");
    }
}

fn triples(differences: &Value) -> impl Iterator<Item = (&str, &Value, &Value)> {
    differences.as_array().unwrap().iter().map(|it| (it[0].as_str().unwrap(), &it[1], &it[2]))
}

/// `[field, before, after]` or `[field, before, after, way]` as `differences` has them.
pub fn by_way(way: &str, differences: &Value) -> Value {
    let differences = differences.as_array().unwrap().iter();
    differences.map(|it| json!({"field": it[0], "before": it[1], "after": it[2], "way": way})).collect()
}

/// Each difference is a line of its own in `--diff`; a side that has nothing has no line.
#[track_caller]
fn assert_shown_in_diff(diff: &Value, differences: &Value) {
    for (field, before, after) in triples(differences) {
        for (side, value) in [("before", before), ("after", after)] {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let line = format!("{field}: {value}\n");
            let has = diff[side].as_str().unwrap().contains(&line);
            assert_eq!(has, !["null", "{}"].contains(&value.as_str()), "{side} {line} {diff:#}");
        }
    }
}

/// What the kernel says inside of the scanner's container, by the names of cgroup v1 and v2.
pub fn cgroup(scanner: &Scanner, controller: &str, [v1, v2]: &[&str; 2]) -> String {
    let command = format!("cat /sys/fs/cgroup/{controller}/{v1} 2>/dev/null || cat /sys/fs/cgroup/{v2}");
    scanner.engine.docker(&["exec", &scanner.name, "sh", "-c", &command])
}

/// The CPUs that the kernel gives the scanner, negative for no limit.
pub fn cpus(scanner: &Scanner) -> f64 {
    let v1 = |file| cgroup(scanner, "cpu", &[file, "cpu.max"]);
    let (quota, period) = (v1("cpu.cfs_quota_us"), v1("cpu.cfs_period_us"));
    let number = |text: &str, index| text.split(' ').nth(index).unwrap().parse::<f64>().unwrap();
    if quota.starts_with("max") {
        return -1.0;
    }
    number(&quota, 0) / number(&period, usize::from(period.contains(' ')))
}

fn identity(scanner: &Scanner) -> String {
    let path = scanner.store().join("identity");
    crate::support::eventually("the scanner has its identity", || {
        fs::read_to_string(&path).is_ok_and(|it| it.len() > 30)
    });
    fs::read_to_string(path).unwrap()
}

/// The networks `net-a` and `net-b` of the shared engine.
fn networks() {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        for network in ["net-a", "net-b"] {
            Engine::bridged().docker(&["network", "create", network]);
        }
    });
}
