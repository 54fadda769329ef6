//! Arguments as `AnsibleModule` itself takes them: each arguments file goes to the module and to `AnsibleModule` of
//! ansible-core, which is told of the same options (`tests/twin/twin.py`), and the two must say the same: whether it is
//! valid, in which words it is not, how each option is understood, what is logged.
//!
//! Where the module means to differ is in [`it_differs_where_it_is_safer`], and no other test has such values.

mod pair;

use std::cell::RefCell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use qcss_scanner::ansible::options::{INFO_OPTIONS, Kind, NO_RULES, OPTIONS, RULES, TASK_ONLY};
use serde_json::{Map, Value, json};

use crate::fuzz;
use pair::{Ours, Twin};

#[test]
fn the_two_agree_on_what_people_write() {
    let mut twin = Twin::of(OPTIONS, RULES);
    for task in [
        // What is missing, exclusive, together, unsupported, and in which order that is looked at.
        "{}",
        r#"{"timeout": "abc"}"#,
        r#"{"nope": 1, "timeout": "abc"}"#,
        r#"{"name": "xx", "nope": 1, "Name": null, "state": "started"}"#,
        r#"{"name": "xx", "state": "Started", "image": "i"}"#,
        r#"{"name": "xx", "state": "bogus", "settle": "abc", "nope": 1}"#,
        r#"{"name": "xx", "image": "i", "nope": 1}"#,
        r#"{"name": "xx", "registry_username": "u", "image": "i"}"#,
        r#"{"name": "xx", "personalization_code": "canary-1"}"#,
        r#"{"name": "xx", "personalization_code": "canary-1", "image": "i"}"#,
        r#"{"name": "xx", "personalization_code": "canary-1", "registry_username": "u", "nope": 1}"#,
        r#"{"name": "xx", "qualys_url": "u", "private_dir": "/p"}"#,
        r#"{"name": "xx", "registry_username": "u"}"#,
        // Words for truth, whole numbers, numbers, texts, dicts.
        r#"{"name": "xx", "purge": " YES ", "restart": "oFf", "privileged": 0.0}"#,
        r#"{"name": "xx", "purge": 2}"#,
        r#"{"name": "xx", "purge": ""}"#,
        r#"{"name": "xx", "purge": []}"#,
        r#"{"name": "xx", "timeout": " 5 ", "stop_timeout": "1_0", "update_interval": "1e2", "refresh_interval": 2.0}"#,
        r#"{"name": "xx", "timeout": 1, "stop_timeout": "-0", "update_interval": "+5", "refresh_interval": "007"}"#,
        r#"{"name": "xx", "timeout": "0x10"}"#,
        r#"{"name": "xx", "timeout": 1.5}"#,
        r#"{"name": "xx", "timeout": ""}"#,
        r#"{"name": "xx", "timeout": "5 s"}"#,
        r#"{"name": "xx", "timeout": {"a": [1, null, "it's"]}}"#,
        r#"{"name": "xx", "settle": "1_0.5", "memory": 1024, "memory_swap": -1, "cpus": 1.50}"#,
        r#"{"name": "xx", "settle": "1__0"}"#,
        r#"{"name": "xx", "settle": true, "memory": true, "cpus": 0, "network": false}"#,
        r#"{"name": 12, "memory": 123456789012345678901234567890, "network": null, "private_dir_mode": 448}"#,
        r#"{"name": "", "memory": "", "network": null}"#,
        r#"{"name": "xx", "labels": "a=b, c=\"d e\" f=g\\ h,"}"#,
        r#"{"name": "xx", "labels": "a=b c"}"#,
        r#"{"name": "xx", "labels": "{'a': 'b'}"}"#,
        r#"{"name": "xx", "labels": "{\"a\": {\"b\": [1, null, true]}}"}"#,
        r#"{"name": "xx", "labels": "{'a', 'b'}"}"#,
        r#"{"name": "xx", "labels": "a"}"#,
        r#"{"name": "xx", "labels": ["a=b"]}"#,
        r#"{"name": "xx", "labels": {"a": 1, "b": null}, "env": {}}"#,
        r#"{"name": "xx", "shared_dir": "~/x", "private_dir": "${HOME}/$HOME", "ca_dir": "$NO_SUCH/${NO_SUCH}/$"}"#,
        r#"{"name": "xx", "shared_dir": "", "private_dir": 5, "image_archive": "/a//b/../c/"}"#,
        // Secrets by type, and where they stand in what is none.
        r#"{"name": "xx", "personalization_code": "canary-1", "qualys_url": "https://canary-1.com", "image": "i", "network": "canary-1"}"#,
        r#"{"name": "xx", "personalization_code": 21808056913298, "qualys_url": "u", "image": "x21808056913298x"}"#,
        r#"{"name": "xx", "env": {"A": "canary-2", "B": null, "canary-3": 4444}, "network": "a canary-2 b 4444"}"#,
        r#"{"name": "xx", "https_proxy": "canary", "network": "canary canary-long", "env": {"A": "canary-long"}}"#,
        r#"{"name": "xx", "https_proxy": "canary-4", "state": "canary-4"}"#,
        // What Ansible adds.
        r#"{"name": "xx", "_ansible_no_log": true}"#,
        r#"{"name": "xx", "_ansible_syslog_facility": "LOG_LOCAL7", "_ansible_target_log_info": "job 7", "_ansible_diff": true}"#,
        r#"{"name": "xx", "_ansible_syslog_facility": "LOG_BOGUS"}"#,
        r#"{"name": "xx", "_ansible_module_name": "ns.coll.qcss_scanner", "_ansible_verbosity": 3, "_ansible_debug": false}"#,
        r#"{"name": "xx", "_ansible_module_name": "ns.coll.qcss_scanner", "nope": 1}"#,
    ] {
        twin.agrees(task).unwrap();
    }
    let mut twin = Twin::of(INFO_OPTIONS, NO_RULES);
    for task in [
        r#"{"_ansible_module_name": "qcss_scanner_info"}"#,
        r#"{"_ansible_module_name": "qcss_scanner_info", "name": 5, "timeout": "30"}"#,
        r#"{"_ansible_module_name": "ns.coll.qcss_scanner_info", "name": null, "state": "started"}"#,
    ] {
        twin.agrees(task).unwrap();
    }
}

#[test]
fn the_two_agree_on_several_scanners() {
    let mut twin = Twin::of_list();
    for task in [
        r#"{"scanners": []}"#,
        r#"{"scanners": [{"name": "a"}, {"name": "b", "memory": 64, "cpus": 1.5, "purge": "yes", "timeout": null}]}"#,
        r#"{"scanners": [{"name": "a", "labels": "k=v"}, {"name": "b", "labels": {"k": 1}, "polling_interval": "60"}]}"#,
        r#"{"scanners": [{"name": "a"}], "name": "b"}"#,
        r#"{"scanners": [{"name": "a"}, {}]}"#,
        r#"{"scanners": [{"name": "a"}], "timeout": "x"}"#,
        r#"{"scanners": [{"name": "a", "purge": "maybe", "state": "bogus"}]}"#,
        r#"{"scanners": [{"name": "a", "state": "bogus"}, {"name": "b", "purge": "maybe"}]}"#,
        r#"{"scanners": [{"name": "a", "image": "i"}]}"#,
        r#"{"scanners": [{"name": "a", "nope": 1}, {"name": "b", "docker_host": "x"}]}"#,
        r#"{"scanners": [{"name": "a", "nope": 1, "state": "bogus"}]}"#,
        // Entries that are texts, and a list that is one.
        r#"{"scanners": ["name=a memory=64M", "{\"name\": \"b\"}", {"name": "c"}]}"#,
        r#"{"scanners": "name=a memory=64M"}"#,
        r#"{"scanners": "name=a,name=b state=stopped"}"#,
        r#"{"scanners": ["name=a personalization_code=canary-5 qualys_url=u image=i"]}"#,
        r#"{"scanners": [{"name": "a", "personalization_code": "canary-6", "qualys_url": "canary-6", "image": "i"}]}"#,
    ] {
        twin.agrees(task).unwrap();
    }
}

/// The task, how that begins which `AnsibleModule` says, and how that begins which the module says; an empty text is: valid.
#[test]
fn it_differs_where_it_is_safer() {
    let (mut one, mut several) = (Twin::of(OPTIONS, RULES), Twin::of_list());
    for (task, theirs, ours) in [
        // A list or dict for a text is a mistake, and its text is of no use.
        (r#"{"name": ["a"]}"#, "", "argument 'name' is of type list"),
        (r#"{"name": "xx", "shared_dir": {}}"#, "", "argument 'shared_dir' is of type dict"),
        // Null is as good as left out, as people mean it: `state:`, or a variable without a value.
        (r#"{"name": null}"#, "", "missing required arguments: name"),
        (r#"{"name": "xx", "state": null}"#, "value of state must be one of", ""),
        (r#"{"name": "xx", "timeout": null}"#, "argument 'timeout' is of type NoneType", ""),
        (r#"{"name": "xx", "registry_username": null}"#, "parameters are required together", ""),
        // A purge needs the code alone.
        (
            r#"{"name": "xx", "personalization_code": "canary-1", "state": "absent"}"#,
            "missing parameter(s) required by",
            "",
        ),
        // The contract has YAML's truth values beside the choices.
        (r#"{"name": "xx", "recreate": true}"#, "value of recreate must be one of", ""),
        // Numbers that are none, or that nothing here can hold.
        (r#"{"name": "xx", "settle": NaN}"#, "", "argument 'settle' is of type str"),
        (r#"{"name": "xx", "timeout": 99999999999999999999}"#, "", "argument 'timeout' is of type str"),
        // Bytes that are no text, which no engine takes.
        (r#"{"name": "\udcff"}"#, "", "`name` holds text that is not valid Unicode"),
        // Python literals that are no JSON; the quotes alone may be Python's.
        (r#"{"name": "xx", "labels": "{'a': True}"}"#, "", "argument 'labels' is of type str"),
        // What a newer Ansible adds must not break an older module.
        (r#"{"name": "xx", "_ansible_new_in_2031": {"a": [NaN]}}"#, "Unsupported parameters", ""),
        // Only action plugins send this, and none of them calls this module.
        (r#"{"name": "xx", "nope": 1, "_ansible_ignore_unknown_opts": true}"#, "", "Unsupported parameters"),
        // AnsibleModule stumbles over these before it comes to say where they are.
        (r#"{"scanners": [5]}"#, "Value '5' in the sub", "Elements value for option 'scanners' is of type int"),
        (r#"{"scanners": "a"}"#, "dictionary requested", "Elements value for option 'scanners' is of type str"),
    ] {
        let twin = if task.contains("scanners") { &mut several } else { &mut one };
        let theirs_said = twin.answer(task)["result"]["msg"].as_str().unwrap_or_default().to_owned();
        let ours_said = Ours::to(task).verdict.unwrap_or_default();
        for (said, begin) in [(theirs_said, theirs), (ours_said, ours)] {
            assert!(said.starts_with(begin) && said.is_empty() == begin.is_empty(), "{task}: {said}");
        }
    }
}

#[test]
fn the_two_agree_on_generated_tasks() {
    let (one, several) = (RefCell::new(Twin::of(OPTIONS, RULES)), RefCell::new(Twin::of_list()));
    let mut runner = TestRunner::new(fuzz::cases(150));
    let unsupported = || prop_oneof![4 => Just(None), 1 => select(vec!["nope", "Name", "scanner"]).prop_map(Some)];
    let task = (options(), unsupported(), prop_oneof![2 => Just(None), 1 => vec(options(), 0..3).prop_map(Some)]);
    let outcome = runner.run(&task, |(mut task, nope, entries)| {
        if let Some(nope) = nope {
            task.insert(nope.to_owned(), json!(1));
        }
        let Some(mut entries) = entries else {
            return one.borrow_mut().agrees(&json!(task).to_string()).map_err(TestCaseError::fail);
        };
        if let Some(entry) = entries.last_mut() {
            *entry = task;
            entry.remove("docker_host");
        }
        several.borrow_mut().agrees(&json!({"scanners": entries}).to_string()).map_err(TestCaseError::fail)
    });
    outcome.unwrap();
}

/// Some options, each with a value that may be right or wrong for it, but for those of [`it_differs_where_it_is_safer`].
fn options() -> impl Strategy<Value = Map<String, Value>> {
    let numbers = "| |5| 5 |1_000|_1|1__0|1e3|1.0|1.50|.5|5.|+5|+-5|0x10|00|-0|25%";
    let words = "y|Yes|ON|t|n|off|F|maybe|None|deny|started|always|missing|it's|ä";
    let dicts = "a=b|a=b, c=d|a=b c=\"d e\"|a=b,c|=|=x|a==b|{\"a\": \"b\"}|{'a': 'b'}|{\"a\"|{|{}|[1]";
    let paths = "~|~/x|$HOME|${HOME}/x|$HOME$HOME|$|$$|${|${}|$NOPE|a$HOMEb|$HÖME";
    let texts = [numbers, words, dicts, paths].into_iter().flat_map(|texts| texts.split('|'));
    let others = [
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(60),
        json!(1.0),
        json!(0.5),
        json!(-0.0),
        json!(123_456_789_012.5),
    ];
    let structured =
        [json!([]), json!(["a"]), json!([[1]]), json!({}), json!({"a": "b"}), json!({"a": {"b": [1, null]}})];
    let names: Vec<_> = OPTIONS.iter().filter(|option| !TASK_ONLY.contains(&option.name)).collect();
    let entry = select(names).prop_flat_map(move |option| {
        let truths = ["y", "Yes", "ON", "t", "n", "off", "F"];
        let mut values: Vec<_> = texts.clone().map(|text| json!(text)).chain(others.clone()).collect();
        if option.truths.is_some() {
            values.retain(|value| value.as_str().is_some_and(|text| !truths.contains(&text)));
        }
        if !matches!(option.kind, Kind::Str | Kind::Path) {
            values.extend(structured.clone());
        }
        if option.kind == Kind::Int {
            // To Python they are whole numbers already, and stay what they are.
            values.retain(|value| !value.is_boolean());
        }
        if option.secret {
            // A short one may be part of what is no secret, and the two mask that in different places.
            values = vec![json!("canary-7"), json!(21_808_056_913_298_u64)];
            if option.kind == Kind::Dict {
                values = vec![json!({"A": "canary-8", "B": "canary-9"}), json!({}), json!(5.5), json!(["canary-10"])];
            }
        }
        (Just(option.name.to_owned()), select(values))
    });
    vec(entry, 0..4).prop_map(|entries| std::iter::once(("name".to_owned(), json!("xx"))).chain(entries).collect())
}
