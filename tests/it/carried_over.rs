//! What a replacement takes over from the old container, and what it must not; and that the two never run at once.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Scanner, eventually, foretold, without_empty};

#[test]
fn everything_that_the_task_does_not_manage() {
    let scanner = Scanner::new(Engine::bridged());
    let extra = scanner.shared_dir().with_file_name("extra");
    std::fs::create_dir(&extra).unwrap();
    let made = format!(
        "--hostname box --domainname example.org --dns 192.0.2.1 --dns-search example.org --dns-option ndots:2 \
         --add-host platform:192.0.2.2 -v {}:/extra:ro -v named-{name}:/named --volume /anonymous --tmpfs /scratch \
         --ulimit nofile=100:200 --log-opt max-size=1m --cap-add SYS_PTRACE --cap-drop MKNOD --label team=a \
         --restart on-failure:2 --shm-size 32m --device /dev/null:/dev/mine --pids-limit 200 --sysctl net.ipv4.ip_forward=0 \
         --security-opt no-new-privileges --stop-signal USR1 --stop-timeout 3 --user 0:0 --workdir /bin --init --tty \
         --publish 127.0.0.1::80 --expose 81 --health-cmd true --group-add 7 --cpu-shares 512 --cpuset-cpus 0 \
         --memory-reservation 16m --oom-kill-disable=false --ipc private --pid host",
        extra.display(),
        name = scanner.name,
    );
    let old = scanner.by_hand(&[&made]);
    let before = scanner.inspect();
    foretold(&scanner, || scanner.module().arg("image", "qualys/qcsa:2")).changed();
    let after = scanner.inspect();

    assert_ne!(after["Id"], old);
    let mut expected = comparable(&before);
    expected["Config"]["Image"] = json!("qualys/qcsa:2");
    expected["Config"]["Labels"]["version"] = json!("2");
    for entry in expected["Config"]["Env"].as_array_mut().unwrap() {
        *entry = entry.as_str().unwrap().replace("QCSA_VERSION=1", "QCSA_VERSION=2").into();
    }
    // An anonymous volume has a name after all, and goes over by it.
    let mounts = before["Mounts"].as_array().unwrap();
    let anonymous = mounts.iter().find(|mount| mount["Destination"] == "/anonymous").unwrap()["Name"].as_str().unwrap();
    let binds = expected["HostConfig"]["Binds"].as_array_mut().unwrap();
    binds.push(format!("{anonymous}:/anonymous").into());
    binds.sort_by_key(Value::to_string);
    expected["Config"].as_object_mut().unwrap().remove("Volumes");
    assert_eq!(comparable(&after), expected);
    scanner.engine.docker(&["rm", "-f", &scanner.name]);
    scanner.engine.docker(&["volume", "rm", &format!("named-{}", scanner.name), anonymous]);
}

#[test]
fn but_not_what_the_old_image_brought() {
    let scanner = Scanner::new(Engine::bridged());
    let (engine, image) = (scanner.engine, format!("rich:{}", scanner.name));
    let changes = [
        "ENV OLD=1",
        "LABEL old=1",
        "EXPOSE 80",
        "VOLUME /old",
        "WORKDIR /bin",
        "HEALTHCHECK CMD true",
        "USER 0:0",
        "CMD [\"sh\", \"/bin/scanner\"]",
        "ENTRYPOINT [\"env\"]",
    ];
    engine.derive(&image, &changes);

    scanner.by_hand_from(&image, &["--label own=1"]);
    let volume = scanner.inspect()["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .find_map(|mount| mount["Name"].as_str().map(str::to_owned));
    foretold(&scanner, || scanner.module()).changed();
    let plain = Scanner::new(engine);
    plain.by_hand(&["--label own=1"]);
    let config = |scanner: &Scanner| {
        let mut config = comparable(&scanner.inspect());
        for secret in ["Env", "Hostname"] {
            config["Config"].as_object_mut().unwrap().remove(secret);
        }
        config["HostConfig"].as_object_mut().unwrap().remove("Binds");
        config
    };
    assert_eq!(config(&scanner), config(&plain));
    assert!(!scanner.inspect()["Config"]["Env"].to_string().contains("OLD"));
    assert!(!engine.docker(&["volume", "ls", "-q"]).contains(&volume.unwrap()), "the old image's volume is gone");
}

#[test]
fn other_networks_with_what_was_configured_on_them() {
    let scanner = Scanner::new(Engine::bridged());
    let networks = ["one", "two", "three"].map(|number| format!("{number}-{}", scanner.name));
    let third = scanner.name.trim_start_matches("scanner").parse::<u32>().unwrap() % 250;
    for (index, network) in networks.iter().enumerate() {
        let subnet = format!("10.{}.{third}.0/24", 200 + index);
        scanner.engine.docker(&["network", "create", "--subnet", &subnet, network]);
    }
    let [one, two, three] = &networks;
    let address = |index: u32| format!("10.{}.{third}.77", 200 + index);
    scanner.by_hand(&["--network", one, "--network-alias", "first", "--ip", &address(0)]);
    let connect = ["network", "connect", "--alias", "second", "--ip", &address(1), two, &scanner.name];
    scanner.engine.docker(&connect);
    let seen = || {
        let inspect = scanner.inspect();
        let networks = inspect["NetworkSettings"]["Networks"].as_object().unwrap();
        let seen = networks.iter().map(|(name, endpoint)| {
            let aliases =
                endpoint["Aliases"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned());
            let aliases: BTreeSet<_> = aliases.filter(|it| !inspect["Id"].as_str().unwrap().starts_with(it)).collect();
            (name.clone(), aliases, endpoint["IPAddress"].as_str().unwrap().to_owned())
        });
        seen.collect::<Vec<_>>()
    };
    let before = seen();
    assert_eq!(before.len(), 2);
    foretold(&scanner, || scanner.module().arg("image", "qualys/qcsa:2")).changed();
    assert_eq!(seen(), before);

    foretold(&scanner, || scanner.module().args(json!({"image": "qualys/qcsa:2", "network": three}))).changed();
    let names: Vec<_> = seen().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, [three.as_str(), two.as_str()]);
    scanner.engine.docker(&["rm", "-f", &scanner.name]);
    scanner.engine.docker(&["network", "rm", one, two, three]);
}

#[rstest]
#[case("--network host")]
#[case("--network none")]
#[case("--network container:<neighbour>")]
#[case("--uts host")]
#[case("--ipc shareable")]
#[case("--restart always")]
#[case("--mount type=tmpfs,destination=/scratch,tmpfs-size=1m")]
#[case("--memory 64M --memory-reservation 32M --memory-swappiness 10")]
#[case("--cpu-period 50000 --cpu-quota 25000")]
#[case("--link <neighbour>:other")]
#[case("--volumes-from <neighbour>")]
#[case("--read-only --tmpfs /tmp")]
fn a_replacement_works_whatever_the_old_one_had(#[case] made: &str) {
    let scanner = Scanner::new(Engine::bridged());
    let neighbour = format!("{}-neighbour", scanner.name);
    scanner.engine.docker(&[
        "run",
        "-d",
        "--name",
        &neighbour,
        "-v",
        "/data",
        "--entrypoint=sleep",
        "qualys/qcsa:1",
        "9999",
    ]);
    scanner.by_hand(&[&made.replace("<neighbour>", &neighbour)]);
    let before = scanner.inspect();
    let limits = match made {
        text if text.contains("--memory ") => json!({"memory": "64M"}),
        text if text.contains("--cpu-quota") => json!({"cpus": 0.5}),
        _ => json!({}),
    };
    let reply = foretold(&scanner, || scanner.module().args(limits.clone()).arg("recreate", "always")).changed();
    assert_eq!(reply.actions(), ["replace"]);
    let (mut before, mut after) = (comparable(&before), comparable(&scanner.inspect()));
    for quota in ["CpuQuota", "CpuPeriod", "NanoCpus"] {
        // Half a CPU is half a CPU.
        for side in [&mut before, &mut after] {
            side["HostConfig"].as_object_mut().unwrap().remove(quota);
        }
    }
    assert_eq!(after, before);
    scanner.module().args(limits).run().unchanged();
}

#[test]
fn a_scanner_that_leaves_the_hosts_network_leaves_its_name_too() {
    let scanner = Scanner::new(Engine::bridged());
    scanner.by_hand(&["--network host"]);
    scanner.module().arg("network", "bridge").run().changed();
    let inspect = scanner.inspect();
    assert!(
        inspect["Id"].as_str().unwrap().starts_with(inspect["Config"]["Hostname"].as_str().unwrap()),
        "{inspect:#}"
    );
}

#[test]
fn the_two_never_run_at_the_same_time() {
    let scanner = Scanner::new(Engine::bridged());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let old = scanner.by_hand(&["--restart always"]);
    let begin = now();
    let reply = scanner.module().arg("image", "qualys/qcsa:2").run().changed();
    let new = reply["container"]["id"].as_str().unwrap().to_owned();

    let events = || {
        let (since, until) = (format!("{begin:.9}"), format!("{:.9}", now()));
        let format = "{{.ID}} {{.Action}}";
        let events = ["events", "--since", &since, "--until", &until, "--filter", "type=container", "--format", format];
        scanner.engine.docker(&events).replace(&old, "old").replace(&new, "new")
    };
    eventually("the old one is gone", || events().contains("old destroy"));
    let events = events();
    let order: Vec<_> = events.lines().filter(|line| line.starts_with("old ") || line.starts_with("new ")).collect();
    let order: Vec<_> = order.into_iter().filter(|line| !line.ends_with("update")).collect();
    assert_eq!(
        order,
        ["new create", "old kill", "old die", "old stop", "old rename", "new rename", "new start", "old destroy"]
    );
    assert_eq!(scanner.inspect()["HostConfig"]["RestartPolicy"]["Name"], "always");
}

/// `Config` and `HostConfig` without what differs between any two containers.
fn comparable(inspect: &Value) -> Value {
    // How the terminal that made it was attached (false, a size of 0) is of no further use.
    let empty = json!([null, [], {}, "", false, 0, [0, 0]]);
    let mut config = without_empty(&inspect["Config"], &empty);
    let mut host_config = without_empty(&inspect["HostConfig"], &empty);
    let id = inspect["Id"].as_str().unwrap();
    if id.starts_with(config["Hostname"].as_str().unwrap_or("-")) {
        config.as_object_mut().unwrap().remove("Hostname");
    }
    if let Some(labels) = config["Labels"].as_object_mut() {
        labels.retain(|label, _| !label.starts_with("qcss_scanner."));
    }
    for list in [&mut config["Env"], &mut host_config["Binds"]] {
        list.as_array_mut().unwrap().sort_by_key(Value::to_string);
    }
    json!({"Config": config, "HostConfig": host_config})
}
