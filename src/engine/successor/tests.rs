use rstest::rstest;
use serde_json::{Value, json};

use super::super::answer::Container;
use super::super::fixtures::{self, container, image, lines, said};
use super::*;
use crate::scanner::values::environment::Environment;
use crate::scanner::values::image::Brought;
use crate::testing::request;

/// The successor's body and further networks, as they go over the wire.
fn successor_json(options: &Value, old: &Value, image: Option<&Value>) -> Value {
    successor_of(&container(old.clone()).observe(image.map(brought)), options, old, image)
}

fn successor_of(observed: &Observed, options: &Value, old: &Value, image: Option<&Value>) -> Value {
    let desired = request(options).unwrap().desired.unwrap();
    let successor = successor(
        &desired,
        observed,
        &Note::of(observed),
        old,
        image,
        OnEngine { host_name: "host", made_on_is_gone: false, volumes: &BTreeSet::new() },
    );
    said(&json!({"body": successor.body, "further networks": successor.further_networks}))
}

fn brought(image: &Value) -> Brought {
    let env = Environment::from_entries(&serde_json::from_value::<Vec<String>>(image["Env"].clone()).unwrap());
    let volumes = image["Volumes"].as_object().into_iter().flatten().map(|(path, _)| path.clone()).collect();
    Brought { env, volumes }
}

/// The same scanner, made anew.
fn same() -> Value {
    json!({"personalization_code": "21808056913298"})
}

#[test]
fn a_successor_of_the_vendors_limited_sample_has_nothing_of_the_image() {
    insta::assert_snapshot!(lines(&successor_json(&same(), &fixtures::json("limited"), Some(&image("image")))), @r#"
    Env: ["PERSONALIZATION_CODE=21808056913298","QUALYS_URL=https://qualysguard.qualys.com"]
    Binds: ["/usr/qualys/shared:/usr/local/qualys:z","/usr/qualys/private/21808056913298:/usr/local/qualys/admin/etc:z"]
    CgroupnsMode: "host"
    IpcMode: "private"
    LogConfig: {"Type":"json-file"}
    MaskedPaths: ["/proc/asound","/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/proc/scsi","/sys/firmware"]
    NetworkMode: "default"
    ReadonlyPaths: ["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]
    RestartPolicy: {"Name":"no"}
    Runtime: "runc"
    ShmSize: 67108864
    Image: "qualys/qcsa"
    Labels: {"qcss_scanner.replaces":"fdc38c09a57048350b60b61a5b71705292750b1e14b6a64a5aac4ef09115f41b","qcss_scanner.restart_policy":"no","qcss_scanner.was_up":"true"}
    "#);
}

#[test]
fn a_successor_takes_over_everything_that_the_task_does_not_manage() {
    insta::assert_snapshot!(lines(&successor_json(&same(), &fixtures::json("rich"), Some(&image("image-rich")))), @r#"
    Cmd: ["serve","--now"]
    Entrypoint: ["scanner"]
    Env: ["PERSONALIZATION_CODE=21808056913298","QUALYS_URL=https://qualysguard.qualys.com"]
    Binds: ["named:/named:ro","/usr/qualys/extra:/extra","63b0ab5ab93d45d20a0faa4caad93b3ea792206f465da90abf29d714fa2e9d8d:/anonymous","/usr/qualys/shared:/usr/local/qualys:z","/usr/qualys/private/21808056913298:/usr/local/qualys/admin/etc:z"]
    CapAdd: ["CAP_NET_ADMIN"]
    CapDrop: ["CAP_MKNOD"]
    CgroupnsMode: "host"
    Devices: [{"CgroupPermissions":"rwm","PathInContainer":"/dev/null","PathOnHost":"/dev/null"}]
    Dns: ["1.1.1.1"]
    ExtraHosts: ["a:1.2.3.4"]
    Init: true
    IpcMode: "private"
    LogConfig: {"Config":{"max-size":"1m"},"Type":"json-file"}
    MaskedPaths: ["/proc/asound","/proc/acpi","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/proc/scsi","/sys/firmware"]
    MemorySwappiness: 10
    Mounts: [{"Target":"/tmp/x","Type":"tmpfs"}]
    NetworkMode: "back"
    OomScoreAdj: 5
    PidsLimit: 500
    PortBindings: {"8080/tcp":[{"HostIp":"127.0.0.1","HostPort":"18080"}]}
    ReadonlyPaths: ["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]
    RestartPolicy: {"Name":"no"}
    Runtime: "runc"
    SecurityOpt: ["no-new-privileges","label=disable"]
    ShmSize: 33554432
    Sysctls: {"net.ipv4.ip_forward":"0"}
    Ulimits: [{"Hard":200,"Name":"nofile","Soft":100}]
    Hostname: "scanner.example"
    Image: "qualys/qcsa"
    Labels: {"both":"container","mine":"1","qcss_scanner.replaces":"64b6b603511bcf3956d0621b61617986de4cfe7535d7774cf8db61616df4f8bb","qcss_scanner.restart_policy":"on-failure:3","qcss_scanner.volumes":"63b0ab5ab93d45d20a0faa4caad93b3ea792206f465da90abf29d714fa2e9d8d","qcss_scanner.was_up":"true"}
    NetworkingConfig: {"EndpointsConfig":{"back":{"Aliases":["scan","scanner.example"],"IPAMConfig":{"IPv4Address":"10.77.0.9"},"Links":["other:peer"]}}}
    StopSignal: "SIGQUIT"
    StopTimeout: 33
    User: "0"
    WorkingDir: "/work"
    further networks: [["front",{"Aliases":["f1","scanner.example"]}],["three",{"Aliases":["scanner.example"]}]]
    "#);
}

#[test]
fn with_the_image_gone_what_may_be_its_own_stays_behind() {
    let successor = successor_json(&same(), &fixtures::json("rich"), None);
    let body = successor["body"].as_object().unwrap();
    for field in ["User", "Cmd", "Entrypoint", "WorkingDir", "Healthcheck", "StopSignal", "ExposedPorts"] {
        assert!(!body.contains_key(field), "{field} is carried over");
    }
    assert_eq!(body["Hostname"], "scanner.example");
}

#[test]
fn a_command_behind_an_entrypoint_of_its_own_goes_over_even_if_it_is_the_images() {
    let command = |entrypoint: Value, command: Value| {
        let mut old = fixtures::json("rich");
        old["Config"]["Entrypoint"] = entrypoint;
        old["Config"]["Cmd"] = command;
        let body = &successor_json(&same(), &old, Some(&image("image-rich")))["body"];
        json!([body["Entrypoint"], body["Cmd"]]).to_string()
    };
    assert_eq!(command(json!(["env"]), json!(["scanner"])), r#"[["env"],["scanner"]]"#);
    assert_eq!(command(json!(["env"]), json!(null)), r#"[["env"],null]"#);
    assert_eq!(command(json!(["sh", "-c"]), json!(["scanner"])), "[null,null]");
    assert_eq!(command(json!(["sh", "-c"]), json!(["serve"])), r#"[null,["serve"]]"#);
}

#[test]
fn links_are_asked_for_as_the_docker_command_does() {
    let successor = successor_json(&same(), &fixtures::json("linked"), Some(&image("image")));
    assert_eq!(successor["body"]["HostConfig"]["Links"], json!(["peer:other", "peer:peer"]));
    assert_eq!(successor["body"]["HostConfig"]["Privileged"], true);
    assert_eq!(successor["body"]["HostConfig"]["SecurityOpt"], json!(["label=user:x", "label=type:y"]));
}

#[test]
fn what_the_engine_derived_from_privileges_goes_with_them() {
    let successor = |options: &Value, mut old: Value| {
        old["HostConfig"]["SecurityOpt"] = json!(["no-new-privileges", "label=disable"]);
        successor_json(options, &old, Some(&image("image")))["body"]["HostConfig"].clone()
    };
    let privileged = json!({"privileged": true});
    let gained = successor(&privileged, fixtures::json("limited"));
    assert_eq!([&gained["MaskedPaths"], &gained["ReadonlyPaths"]], [&Value::Null; 2]);
    assert_eq!(gained["SecurityOpt"], json!(["no-new-privileges"]));
    let lost = successor(&json!({"privileged": false}), fixtures::json("linked"));
    assert_eq!([&lost["Privileged"], &lost["MaskedPaths"], &lost["ReadonlyPaths"]], [&Value::Null; 3]);
    assert_eq!(lost["SecurityOpt"], json!(["no-new-privileges"]));
    let kept = successor(&json!({}), fixtures::json("limited"));
    assert!(kept["MaskedPaths"].is_array());
    assert_eq!(kept["SecurityOpt"], json!(["no-new-privileges", "label=disable"]));
}

#[test]
fn another_network_takes_the_place_of_the_first_one_and_the_others_stay() {
    let networks = |network: &str| {
        let options = json!({"network": network});
        let successor = successor_json(&options, &fixtures::json("rich"), Some(&image("image-rich")));
        let mode = &successor["body"]["HostConfig"]["NetworkMode"];
        let endpoints = &successor["body"]["NetworkingConfig"]["EndpointsConfig"];
        json!([mode, endpoints, successor["further networks"]]).to_string()
    };
    let front = r#"["front",{"Aliases":["f1","scanner.example"]}],["three",{"Aliases":["scanner.example"]}]"#;
    assert_eq!(networks("v6"), format!(r#"["v6",{{"v6":{{"Links":["other:peer"]}}}},[{front}]]"#));
    // It is attached to that one already.
    let back =
        r#"{"Aliases":["scan","scanner.example"],"IPAMConfig":{"IPv4Address":"10.77.0.9"},"Links":["other:peer"]}"#;
    assert_eq!(networks("front"), format!(r#"["back",{{"back":{back}}},[{front}]]"#));
}

#[test]
fn only_the_engines_own_alias_and_hostname_are_left_behind() {
    let mut old = fixtures::json("rich");
    // The beginning of the id as well, but chosen by a person.
    old["Config"]["Hostname"] = json!("64b6");
    old["NetworkSettings"]["Networks"]["back"]["Aliases"] = json!(["6", "64b6b603511b", "64b6b603511"]);
    let successor = successor_json(&same(), &old, Some(&image("image-rich")));
    assert_eq!(successor["body"]["Hostname"], "64b6");
    let aliases = &successor["body"]["NetworkingConfig"]["EndpointsConfig"]["back"]["Aliases"];
    assert_eq!(*aliases, json!(["6", "64b6b603511"]));
}

#[test]
fn podmans_default_network_has_another_name_than_its_mode() {
    let mut old = fixtures::json("limited");
    old["HostConfig"]["NetworkMode"] = json!("bridge");
    let networks = old["NetworkSettings"]["Networks"].as_object_mut().unwrap();
    let bridge = networks.remove("bridge").unwrap();
    networks.insert("podman".to_owned(), bridge);
    let observed = Container { podman: true, ..container(old.clone()) }.observe(None);
    let successor = |options: &Value, old: &Value| successor_of(&observed, options, old, Some(&image("image")));
    for stays in [same(), json!({"network": "podman"}), json!({"network": "default"})] {
        let successor = successor(&stays, &old);
        assert_eq!(successor["further networks"], Value::Null);
        assert_eq!(successor["body"]["HostConfig"]["NetworkMode"], "bridge");
    }
    let moved = successor(&json!({"network": "v6"}), &old);
    assert_eq!(moved["further networks"], Value::Null);
    assert_eq!(moved["body"]["HostConfig"]["NetworkMode"], "v6");
}

/// On Podman the create call names all networks: the mode tells none, and where none is named it takes its default one.
#[rstest]
#[case::made_on_another(&["lan"], json!({}), "bridge", &["lan"], None)]
#[case::on_two(&["lan", "podman"], json!({}), "bridge", &["lan", "podman"], None)]
#[case::on_none(&[], json!({}), "bridge", &[], Some("podman"))]
#[case::to_another(&["podman", "two"], json!({"network": "lan"}), "lan", &["lan", "two"], None)]
#[case::to_the_default(&["lan", "two"], json!({"network": "bridge"}), "bridge", &["podman", "two"], None)]
#[case::to_the_hosts(&["podman"], json!({"network": "host"}), "host", &[], None)]
fn podmans_networks_are_those_of_the_create_call(
    #[case] on: &[&str],
    #[case] options: Value,
    #[case] mode: &str,
    #[case] named: &[&str],
    #[case] left: Option<&str>,
) {
    let mut old = fixtures::json("limited");
    old["HostConfig"]["NetworkMode"] = json!("bridge");
    old["NetworkSettings"]["Networks"] = on.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    let observed = Container { podman: true, ..container(old.clone()) }.observe(None);
    let desired = request(&options).unwrap().desired.unwrap();
    let engine = OnEngine { host_name: "host", made_on_is_gone: false, volumes: &BTreeSet::new() };
    let made = successor(&desired, &observed, &Note::of(&observed), &old, Some(&image("image")), engine);
    assert_eq!(made.body["HostConfig"]["NetworkMode"], mode);
    let endpoints = made.body["NetworkingConfig"]["EndpointsConfig"].as_object();
    assert_eq!(endpoints.into_iter().flatten().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), named);
    assert_eq!((made.further_networks, made.left_network.as_deref()), (Vec::new(), left));
}

#[test]
fn an_anonymous_volume_given_as_a_mount_goes_over_with_its_data() {
    let (mut old, name) = (fixtures::json("limited"), "0a".repeat(32));
    old["HostConfig"]["Mounts"] = json!([
        {"Type": "volume", "Target": "/data"},
        {"Type": "volume", "Source": "named", "Target": "/named", "ReadOnly": true},
    ]);
    old["Mounts"].as_array_mut().unwrap().extend([
        json!({"Type": "volume", "Name": name, "Source": format!("/v/{name}/_data"), "Destination": "/data", "RW": true}),
        json!({"Type": "volume", "Name": "named", "Source": "/v/named/_data", "Destination": "/named", "RW": false}),
    ]);
    let successor = successor_json(&same(), &old, Some(&image("image")));
    assert_eq!(
        successor["body"]["HostConfig"]["Mounts"],
        json!([
            {"Type": "volume", "Source": name, "Target": "/data"},
            {"Type": "volume", "Source": "named", "Target": "/named", "ReadOnly": true},
        ])
    );
}

#[test]
fn a_chain_of_successors_keeps_no_old_notes() {
    let mut old = fixtures::json("limited");
    old["Config"]["Labels"] = json!({(REPLACES): "older", (WAS_UP): "false", (RESTART_POLICY): "always", "mine": "1"});
    let labels = &successor_json(&same(), &old, Some(&image("image")))["body"]["Labels"];
    assert_eq!(*labels, json!({(REPLACES): old["Id"], (WAS_UP): "true", (RESTART_POLICY): "no", "mine": "1"}));
}

#[test]
fn limits_of_the_task_replace_every_form_of_the_old_ones() {
    let options = json!({"memory": "1g", "cpus": 2});
    let host_config =
        &successor_json(&options, &fixtures::json("rich"), Some(&image("image-rich")))["body"]["HostConfig"];
    let limits =
        ["Memory", "MemorySwap", "NanoCpus", "CpuQuota", "CpuPeriod", "MemorySwappiness"].map(|it| &host_config[it]);
    assert_eq!(json!(limits), json!([1 << 30, null, 2_000_000_000, null, null, 10]));
    let mut podman = fixtures::json("limited");
    podman["HostConfig"]["MemorySwappiness"] = json!(-1);
    let host_config = &successor_json(&same(), &podman, Some(&image("image")))["body"]["HostConfig"];
    assert_eq!(host_config["MemorySwappiness"], Value::Null);
}

#[test]
fn what_this_program_has_never_heard_of_goes_along() {
    let mut old = fixtures::json("rich");
    old["Config"]["NewField"] = json!({"a": [1, null, 2.5]});
    old["HostConfig"]["NewLimit"] = json!(18_446_744_073_709_551_615_u64);
    old["HostConfig"]["KernelMemory"] = json!(1 << 30);
    old["HostConfig"]["Mounts"][0]["NewOptions"] = json!({"Mode": "x"});
    old["NetworkSettings"]["Networks"]["back"]["GwPriority"] = json!(7);
    old["NetworkSettings"]["Networks"]["front"]["NewField"] = json!("new");
    let successor = successor_json(&same(), &old, Some(&image("image-rich")));
    let body = &successor["body"];
    assert_eq!(body["NewField"], json!({"a": [1, null, 2.5]}));
    assert_eq!(body["HostConfig"]["NewLimit"], json!(18_446_744_073_709_551_615_u64));
    assert_eq!(body["HostConfig"]["KernelMemory"], json!(1 << 30));
    assert_eq!(body["HostConfig"]["Mounts"][0]["NewOptions"], json!({"Mode": "x"}));
    assert_eq!(body["NetworkingConfig"]["EndpointsConfig"]["back"]["GwPriority"], json!(7));
    assert_eq!(successor["further networks"][0][1]["NewField"], "new");
}

#[test]
fn where_the_container_changed_a_part_of_what_the_image_brings_only_that_part_goes_along() {
    let mut image = image("image");
    image["Healthcheck"] = json!({"Test": ["CMD", "check"], "Interval": 30, "Retries": 3});
    image["ExposedPorts"] = json!({"80/tcp": {}});
    let mut old = fixtures::json("limited");
    old["Config"]["Healthcheck"] = json!({"Test": ["CMD", "check"], "Interval": 5, "Retries": 3});
    old["Config"]["ExposedPorts"] = json!({"80/tcp": {}, "443/tcp": {}});
    let desired = request(&same()).unwrap().desired.unwrap();
    let observed = container(old.clone()).observe(None);
    let body = successor(
        &desired,
        &observed,
        &Note::of(&observed),
        &old,
        Some(&image),
        OnEngine { host_name: "host", made_on_is_gone: false, volumes: &BTreeSet::new() },
    )
    .body;
    assert_eq!(body["Healthcheck"], json!({"Interval": 5}));
    assert_eq!(body["ExposedPorts"], json!({"443/tcp": {}}));
}

#[test]
fn what_podman_says_without_being_asked_is_not_the_containers_own() {
    let mut old = fixtures::json("limited");
    old["Config"]["Entrypoint"] = json!([]);
    old["Config"]["WorkingDir"] = json!("/");
    old["Config"]["StopSignal"] = json!("15");
    old["HostConfig"]["MemorySwappiness"] = json!(0);
    let mut image = image("image");
    for field in ["Entrypoint", "WorkingDir", "StopSignal"] {
        image[field] = json!(null);
    }
    let observed = Observed { podman: true, ..container(old.clone()).observe(None) };
    let body = &successor_of(&observed, &same(), &old, Some(&image))["body"];
    for field in ["Entrypoint", "Cmd", "WorkingDir", "StopSignal"] {
        assert_eq!(body[field], Value::Null, "{field} is carried over");
    }
    let swappiness = |podman: bool| {
        let observed = Observed { podman, ..observed.clone() };
        let desired = request(&same()).unwrap().desired.unwrap();
        successor(
            &desired,
            &observed,
            &Note::of(&observed),
            &old,
            Some(&image),
            OnEngine { host_name: "host", made_on_is_gone: false, volumes: &BTreeSet::new() },
        )
        .body["HostConfig"]["MemorySwappiness"]
            .clone()
    };
    assert_eq!([swappiness(true), swappiness(false)], [json!(null), json!(0)]);
    // Here it says something, since the image says something else.
    image["WorkingDir"] = json!("/work");
    assert_eq!(successor_of(&observed, &same(), &old, Some(&image))["body"]["WorkingDir"], "/");
}

/// Podman believes its notes: a container with that of all rights has them for its inspect, whatever the call said.
#[test]
fn what_podman_derives_from_all_rights_does_not_outlive_them() {
    let mut old = fixtures::json("limited");
    let host_config = old["HostConfig"].as_object_mut().unwrap();
    host_config.insert("Privileged".to_owned(), json!(true));
    host_config.insert("CapDrop".to_owned(), json!(["SYS_RESOURCE"]));
    host_config.insert("SecurityOpt".to_owned(), json!(["unmask=all", "mine"]));
    let podmans = ["io.podman.annotations.privileged", "io.container.manager", "org.opencontainers.image.stopSignal"];
    let annotations = podmans.iter().chain(&["mine"]).map(|key| ((*key).to_owned(), json!("x"))).collect();
    host_config.insert("Annotations".to_owned(), Value::Object(annotations));
    let carried = |podman: bool, options: &Value| {
        let observed = Observed { podman, ..container(old.clone()).observe(None) };
        let host_config = &successor_of(&observed, options, &old, Some(&image("image")))["body"]["HostConfig"];
        json!([host_config["SecurityOpt"], host_config["CapDrop"], host_config["Annotations"]])
    };
    let less = json!({"privileged": false});
    assert_eq!(carried(true, &less), json!([["mine"], null, {"mine": "x"}]));
    assert_eq!(carried(true, &same()), json!([["unmask=all", "mine"], ["SYS_RESOURCE"], {"mine": "x"}]));
    assert_eq!(carried(false, &less)[1], json!(["SYS_RESOURCE"]));
}

#[test]
fn an_address_that_somebody_chose_goes_along_unless_its_network_does_not() {
    let mut old = fixtures::json("rich");
    old["Config"]["MacAddress"] = json!("02:42:ac:11:00:99");
    let stays = successor_json(&same(), &old, Some(&image("image-rich")));
    assert_eq!(stays["body"]["MacAddress"], "02:42:ac:11:00:99");
    assert_eq!(stays["body"]["NetworkingConfig"]["EndpointsConfig"]["back"]["MacAddress"], "02:42:ac:11:00:99");
    let moves = successor_json(&json!({"network": "v6"}), &old, Some(&image("image-rich")));
    assert_eq!(moves["body"]["MacAddress"], Value::Null);
}

#[test]
fn a_variable_of_the_image_that_the_container_took_away_stays_away_unless_it_is_wanted() {
    let mut old = fixtures::json("limited");
    old["Config"]["Env"].as_array_mut().unwrap().extend([json!("QCSA_VERSION"), json!("LANG")]);
    let mut task = same();
    task["env"] = json!({"LANG": "C"});
    let env = successor_json(&task, &old, Some(&image("image")))["body"]["Env"].clone();
    let code = "PERSONALIZATION_CODE=21808056913298";
    assert_eq!(env, json!(["LANG=C", code, "QUALYS_URL=https://qualysguard.qualys.com", "QCSA_VERSION"]));
}
