//! Every key of `Config` and `HostConfig` that this engine shows is carried over by a replacement, or is in a list that says why
//! not. A key that a table below does not have fails the test.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::support::{Engine, Scanner, foretold};

/// The keys that a replacement does not leave as they are, and why.
const CHANGED: &[(&str, &str)] = &[
    ("Config.AttachStderr", "how the client that made the old one was attached"),
    ("Config.AttachStdin", "the same"),
    ("Config.AttachStdout", "the same"),
    ("Config.OnBuild", "for a build from the image, not for a container"),
    ("Config.ArgsEscaped", "of images for Windows"),
    ("Config.Image", "the task's; it is another spelling here"),
    ("Config.Labels", "has what this module notes about a replacement"),
    ("Config.Volumes", "an anonymous volume is bound by its name, see Binds"),
    ("HostConfig.Binds", "the same"),
    ("HostConfig.ConsoleSize", "of the client's terminal"),
    ("HostConfig.ContainerIDFile", "a file of the client"),
    ("HostConfig.CpuPeriod", "the task's cpus are sent as NanoCpus"),
    ("HostConfig.CpuQuota", "the same"),
    ("HostConfig.NanoCpus", "the same"),
];

/// The keys that no container of this test can have set, and why.
const NOT_SET: &[(&str, &str)] = &[
    ("HostConfig.AutoRemove", "a scanner with --rm is never replaced"),
    ("HostConfig.BlkioWeight", "this kernel does not weigh input and output, and the engine drops it"),
    ("HostConfig.BlkioWeightDevice", "the same"),
    ("HostConfig.CpuPercent", "Windows only"),
    ("HostConfig.CpuRealtimePeriod", "this kernel schedules no groups in real time, and the engine drops it"),
    ("HostConfig.CpuRealtimeRuntime", "the same"),
    ("HostConfig.IOMaximumBandwidth", "Windows only"),
    ("HostConfig.IOMaximumIOps", "Windows only"),
    ("HostConfig.Isolation", "Windows only"),
];

/// Containers whose keys go together, beside a container called `other`. A key may be in more than one.
fn tables(other: &str) -> Vec<Value> {
    serde_json::from_str(&include_str!("every_key.json").replace("<other>", other)).unwrap()
}

#[test]
fn is_carried_over_or_in_the_list() {
    let engine = Engine::private(&["--add-runtime", "another=runc"]);
    let other = other(&engine);
    let plain = Scanner::new(&engine);
    create(&plain, &json!({"Config": {}, "HostConfig": {}}));
    let plain = plain.inspect();
    let (mut seen, mut set, mut changed) = (keys(&plain), BTreeSet::new(), BTreeSet::new());
    for table in tables(&other) {
        let scanner = Scanner::new(&engine);
        create(&scanner, &table);
        let before = scanner.inspect();
        let task = task(&before);
        foretold(&scanner, || scanner.module().args(task.clone()).arg("recreate", "always")).changed();
        let after = scanner.inspect();
        assert_ne!(before["Id"], after["Id"]);
        for key in keys(&before).union(&keys(&after)) {
            seen.insert(key.clone());
            let [of_plain, of_old, of_new] = [&plain, &before, &after].map(|inspect| value(inspect, key));
            if of_old != of_plain && !["Config.Env", "HostConfig.Binds"].contains(&key.as_str()) {
                set.insert(key.clone());
            }
            if of_new != of_old {
                let is_listed = CHANGED.iter().any(|(listed, _)| listed == key);
                assert!(is_listed, "{key} is not carried over: {of_old} became {of_new}");
                changed.insert(key.clone());
            }
        }
    }
    // Every scanner has these.
    set.extend(["Config.Env", "Config.Image", "HostConfig.Binds"].map(str::to_owned));
    let listed = |list: &[(&str, &str)]| list.iter().map(|(key, _)| (*key).to_owned()).collect::<BTreeSet<_>>();
    let left: Vec<_> = seen.difference(&set).filter(|key| !listed(NOT_SET).contains(*key)).collect();
    assert_eq!(left, [""; 0], "no table above sets these keys");
    let idle: Vec<_> = set.intersection(&listed(NOT_SET)).cloned().collect();
    assert_eq!(idle, [""; 0], "set after all");
    let stay: Vec<_> = listed(CHANGED).difference(&changed).cloned().collect();
    assert_eq!(stay, [""; 0], "carried over after all");
}

/// Half of them to the other image and half of them back.
#[test]
fn fifty_replacements_leave_the_oddest_scanner_as_it_was() {
    let engine = Engine::private(&["--add-runtime", "another=runc"]);
    let other = other(&engine);
    for network in ["lan", "two"] {
        engine.docker(&["network", "create", network]);
    }
    let scanner = Scanner::new(&engine);
    let mut odd = tables(&other).swap_remove(0);
    odd["HostConfig"]["NetworkMode"] = json!("lan");
    create(&scanner, &odd);
    engine.docker(&["network", "connect", "--alias", "odd", "two", &scanner.name]);
    engine.docker(&["network", "disconnect", "lan", &scanner.name]);
    let task = task(&scanner.inspect());
    let replace =
        |image: &str| scanner.module().args(task.clone()).args(json!({"image": image, "settle": 0})).run().changed();
    // The first one binds the anonymous volume by its name.
    scanner.module().args(task.clone()).args(json!({"recreate": "always", "settle": 0})).run().changed();
    let before = comparable(&scanner.inspect());
    for _ in 0..25 {
        replace("qualys/qcsa:2");
        replace("qualys/qcsa:1");
    }
    assert_eq!(comparable(&scanner.inspect()), before);
    assert_eq!(scanner.containers().len(), 1);
}

/// All that inspect says, but for ids, times, paths that have an id in them, and the label with the id of the old container.
fn comparable(inspect: &Value) -> Value {
    let mut inspect = inspect.clone();
    let id = inspect["Id"].as_str().unwrap().to_owned();
    for key in ["Id", "Created", "HostnamePath", "HostsPath", "LogPath", "ResolvConfPath", "GraphDriver", "Image"] {
        inspect.as_object_mut().unwrap().remove(key);
    }
    inspect["Config"]["Labels"].as_object_mut().unwrap().remove("qcss_scanner.replaces");
    inspect["Mounts"].as_array_mut().unwrap().sort_by_key(|mount| mount["Destination"].to_string());
    inspect["HostConfig"]["Binds"].as_array_mut().unwrap().sort_by_key(Value::to_string);
    let text = inspect.to_string().replace(&id[..12], "<id>");
    serde_json::from_str(&text).unwrap()
}

/// A container that runs and has a volume; its name.
fn other(engine: &Engine) -> String {
    let command = ["run", "-d", "--name", "other", "-v", "/data", "--entrypoint=sleep", "qualys/qcsa:1", "9999"];
    engine.docker(&command);
    "other".to_owned()
}

/// Creates the scanner with the keys of `table`; it is never started, since a host need not have all that this takes.
fn create(scanner: &Scanner, table: &Value) {
    let (shared, store) = (scanner.shared_dir(), scanner.store());
    std::fs::create_dir_all(&shared).unwrap();
    std::fs::create_dir_all(&store).unwrap();
    let mut body = table["Config"].clone();
    body["Image"] = json!(scanner.engine.docker(&["image", "inspect", "--format", "{{.Id}}", "qualys/qcsa:1"]));
    body["Env"] =
        json!([format!("PERSONALIZATION_CODE={}", scanner.code), "QUALYS_URL=https://qualysguard.qualys.com"]);
    body["HostConfig"] = table["HostConfig"].clone();
    body["HostConfig"]["Binds"] = json!([
        format!("{}:/usr/local/qualys:z", shared.display()),
        format!("{}:/usr/local/qualys/admin/etc:z", store.display()),
    ]);
    scanner.engine.post(&format!("/containers/create?name={}", scanner.name), &body);
}

/// The options with the limits that the scanner has.
fn task(inspect: &Value) -> Value {
    let config = &inspect["HostConfig"];
    let has = |key: &str| config[key].as_i64().filter(|value| *value > 0);
    let mut task = Map::from_iter([("state".to_owned(), json!("present"))]);
    if let (Some(memory), Some(swap)) = (has("Memory"), has("MemorySwap")) {
        task.extend([("memory".to_owned(), json!(memory)), ("memory_swap".to_owned(), json!(swap))]);
    }
    if has("NanoCpus").or(has("CpuQuota")).is_some() {
        task.insert("cpus".to_owned(), json!(0.5));
    }
    task.into()
}

/// `Config.Env` and so on.
fn keys(inspect: &Value) -> BTreeSet<String> {
    let of = |section: &str| -> Vec<_> {
        inspect[section].as_object().unwrap().keys().map(|key| format!("{section}.{key}")).collect()
    };
    ["Config", "HostConfig"].into_iter().flat_map(of).collect()
}

/// What is at a key; nothing, an empty list and zero are the same. A hostname that the engine made of the id is none.
fn value(inspect: &Value, key: &str) -> Value {
    let (section, key) = key.split_once('.').unwrap();
    let mut value = inspect[section][key].clone();
    if let Value::Array(items) = &mut value {
        items.sort_by_key(Value::to_string);
    }
    let is_made_up = key == "Hostname" && inspect["Id"].as_str().unwrap().starts_with(value.as_str().unwrap_or("-"));
    if key == "RestartPolicy" && value["Name"] == "" {
        // As an engine understands it.
        value["Name"] = json!("no");
    }
    let empty = [json!(null), json!([]), json!({}), json!(""), json!(0), json!(false), json!([0, 0])];
    if empty.contains(&value) || is_made_up { Value::Null } else { value }
}
