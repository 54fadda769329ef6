//! Tasks as someone may write them, or should not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use qcss_scanner::ansible::options::OPTIONS;
use serde_json::{Map, Value, json};

use super::{CANARY, NOBODY};

/// Texts that someone may write, or should not.
fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "0",
        "-1",
        "1",
        "25%",
        "1024M",
        "1.5g",
        "1e3",
        "99999999999999999999",
        "unlimited",
        "US2",
        "no",
        "yes",
        "started",
        "absent",
        "always",
        "never",
        "qualys/qcsa:1",
        "6715167e4412",
        "https://host/path",
        "/",
        "/usr/qualys/",
        "~",
        "~/x",
        "$HOME/${HOME}/$",
        "../..",
        "a:b",
        "on-failure:3",
        "on-failure:",
        "user:pass@host:1",
        "@",
        "--rm",
        "\0",
        "\n",
        "\u{85}\u{2028}",
        "\u{fffd}",
        "😀",
        "NaN",
        "{'a': 'b'}",
        "a=b, c=\"d",
        "{",
        "id",
        "0700",
        "448",
        "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER",
        "********",
        "unix://",
        "unix:///nonexistent",
        "tcp://1.2.3.4:1",
    ];
    prop_oneof![
        8 => select(odd.to_vec()).prop_map(str::to_owned),
        2 => "\\PC{0,12}",
        1 => any::<String>(),
        1 => "[a-z]".prop_map(|letter| letter.repeat(10_000)),
    ]
}

pub fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        1 => any::<u64>().prop_map(Value::from),
        2 => (-5..500_i64).prop_map(Value::from),
        2 => any::<f64>().prop_map(Value::from),
        6 => text().prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["id", "status", "error", "way", "field", "A", "QUALYS_URL", "A=B", "", "actions", "category"])
            .prop_map(str::to_owned),
        text(),
    ]
}

/// Something secret, in any shape.
fn secret() -> impl Strategy<Value = Value> {
    let text = text().prop_map(|text| format!("{CANARY}{text}"));
    let code = "[A-Za-z0-9_-]{1,20}".prop_map(|text| format!("{CANARY}{text}"));
    let proxy = "[a-z]{1,5}".prop_map(|text| format!("{CANARY}:{CANARY}{text}@host:1"));
    let scalar = prop_oneof![text, code, proxy].prop_map(Value::from);
    prop_oneof![
        6 => scalar.clone(),
        1 => vec(scalar.clone(), 0..3).prop_map(Value::from),
        3 => vec(("[A-Z]{1,3}", scalar.clone()), 0..4).prop_map(|it| Value::Object(it.into_iter().collect())),
        1 => vec(("[A-Z]{1,3}", scalar), 0..4).prop_map(|it| {
            let fields: Vec<_> = it.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
            Value::from(fields.join(", "))
        }),
        1 => value(),
    ]
}

/// One that gets further than the first check.
fn plausible(option: &'static str) -> BoxedStrategy<Value> {
    let among = |values: &[Value]| select(values.to_vec()).boxed();
    match option {
        "name" => among(&[json!("scanner-1"), json!("ab"), json!(12), json!("x.qcss-new")]),
        "personalization_code" => "canary[A-Za-z0-9_-]{1,20}".prop_map(Value::from).boxed(),
        "qualys_url" => among(&[json!("US2"), json!("https://host/")]),
        "image" => among(&[json!("qualys/qcsa"), json!("6715167e4412"), json!("registry:5000/a/b@sha256:12")]),
        "shared_dir" | "private_dir" | "ca_dir" => {
            among(&[json!("/nonexistent/a"), json!("/nonexistent/b/"), json!("~/c")])
        }
        "memory" | "memory_swap" => {
            among(&[json!("1g"), json!(0), json!("-1"), json!("6m"), json!(1e10), json!("25%")])
        }
        "cpus" => among(&[json!(1.5), json!("50%"), json!("0.01"), json!(1e308), json!(-0.0)]),
        "state" => among(&[json!("started"), json!("present"), json!("stopped"), json!("absent")]),
        "env" => vec(("[A-Z]{1,3}", "canary.{0,8}"), 0..3)
            .prop_map(|it| Value::Object(it.into_iter().map(|(key, value)| (key, Value::from(value))).collect()))
            .boxed(),
        "settle" | "timeout" | "stop_timeout" => {
            among(&[json!(0), json!("1"), json!(2.0), json!(86_400), json!(1e300)])
        }
        _ => value().boxed(),
    }
}

/// An option with a value as it should be or as it should not be.
fn option() -> impl Strategy<Value = (String, Value)> {
    select(OPTIONS.iter().filter(|option| option.name != "scanners").collect::<Vec<_>>()).prop_flat_map(|option| {
        let wild = if option.secret { secret().boxed() } else { value().boxed() };
        (Just(option.name.to_owned()), prop_oneof![2 => plausible(option.name), 1 => wild])
    })
}

/// Something that the module does not know, which may be a secret under a misspelt name.
fn unknown() -> impl Strategy<Value = (String, Value)> {
    ("[a-z]{1,12}", prop_oneof![secret(), value()])
}

/// A scanner's options; with name, code, URL and image for sure when `whole`.
fn scanner() -> impl Strategy<Value = Map<String, Value>> {
    let fields = prop_oneof![20 => option(), 1 => unknown()];
    let whole = select(vec![true, true, true, false]);
    (vec(fields, 0..12), whole, plausible("personalization_code"), any::<bool>()).prop_map(
        |(fields, whole, code, all)| {
            let mut scanner = Map::new();
            if whole {
                scanner.insert("name".to_owned(), json!("scanner-1"));
            }
            if whole && all {
                scanner.insert("personalization_code".to_owned(), code);
                scanner.insert("qualys_url".to_owned(), json!("US2"));
                scanner.insert("image".to_owned(), json!("qualys/qcsa"));
            }
            scanner.extend(fields);
            scanner
        },
    )
}

fn scanners() -> impl Strategy<Value = Value> {
    let as_text = scanner().prop_map(|it| Value::from(Value::Object(it).to_string()));
    let entry = prop_oneof![8 => scanner().prop_map(Value::Object), 1 => as_text, 1 => secret(), 1 => value()];
    prop_oneof![9 => vec(entry, 0..4).prop_map(Value::from), 1 => secret(), 1 => value()]
}

/// A task for one scanner or for several, with keys of Ansible's own.
pub fn task() -> impl Strategy<Value = Map<String, Value>> {
    let flag = (select(vec!["_ansible_check_mode", "_ansible_diff", "_ansible_no_log"]), value());
    let ansible = prop_oneof![
        flag.prop_map(|(key, value)| (key.to_owned(), value)),
        ("_ansible_[a-z_]{1,9}", value()),
        Just(("_ansible_module_name".to_owned(), json!("qcss_scanner_info"))),
    ];
    let several = prop_oneof![3 => Just(None), 1 => (scanners(), any::<bool>()).prop_map(Some)];
    (scanner(), vec(ansible, 0..3), several).prop_map(|(mut task, ansible, several)| {
        task.extend(ansible);
        if let Some((scanners, nameless)) = several {
            task.insert("scanners".to_owned(), scanners);
            if nameless {
                task.remove("name");
            }
        }
        let host = task.get("docker_host").and_then(Value::as_str);
        if host.is_none_or(|host| host.is_empty() || host.contains("docker.sock")) {
            task.insert("docker_host".to_owned(), json!(NOBODY));
        }
        task
    })
}

/// A task for the scanner that the healthy engine has.
pub fn task_for_engine() -> impl Strategy<Value = Value> {
    let base = select(vec![
        json!({}),
        json!({"personalization_code": "21808056913299", "qualys_url": "US1", "image": "qualys/qcsa:rich"}),
        json!({"personalization_code": "21808056913299", "qualys_url": "US1", "image": "qualys/qcsa:rich",
               "https_proxy": "u:proxy-password@proxy:3128", "env": {"MINE": "my-value"}, "memory": "512m",
               "memory_swap": -1, "cpus": 1.5, "network": "back", "ca_dir": "/"}),
        json!({"personalization_code": "21808056913299", "qualys_url": "US1", "image": "qualys/qcsa:rich",
               "memory": "1g", "cpus": 2, "restart_policy": "always", "labels": {"a": "1"}}),
    ]);
    let further = select(vec![
        json!({}),
        json!({"restart": true}),
        json!({"state": "stopped"}),
        json!({"state": "present"}),
        json!({"state": "absent"}),
        json!({"state": "absent", "purge": true}),
        json!({"recreate": "always"}),
        json!({"pull": "always"}),
    ]);
    let form = select(vec!["one", "one", "one", "list", "info"]);
    (base, further, prop_oneof![4 => Just(true), 1 => Just(false)], any::<bool>(), form).prop_map(
        |(mut task, further, check_mode, diff, form)| {
            let (task_fields, further) = (task.as_object_mut().unwrap(), further.as_object().unwrap().clone());
            let managed = task_fields.contains_key("image");
            task_fields.extend(
                further.into_iter().filter(|(key, _)| managed || !["recreate", "pull"].contains(&key.as_str())),
            );
            task["settle"] = json!(0);
            task["timeout"] = json!(5);
            task["name"] = json!("rich");
            match form {
                "info" => task = json!({"_ansible_module_name": "qcss_scanner_info"}),
                "list" => {
                    task.as_object_mut().unwrap().remove("name");
                    task["scanners"] = json!([{"name": "rich"}]);
                }
                _ => {}
            }
            task["_ansible_check_mode"] = json!(check_mode);
            task["_ansible_diff"] = json!(diff);
            task
        },
    )
}
