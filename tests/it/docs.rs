//! What users read says what the module does: `library/*.yml`, as ansible-doc understands it, and the table of options.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use qcss_scanner::ansible::options::{self, Default, INFO_OPTIONS, OPTIONS, Opt, TASK_ONLY};
use qcss_scanner::error::Kind;
use serde_json::{Value, json};

use crate::support::{Ansible, Engine};

#[test]
fn the_documentation_has_the_options_of_the_module() {
    let docs = documentation();
    let documented = &docs["qcss_scanner"]["doc"]["options"];
    // Given a list of scanners, the task itself needs no name.
    let of_task =
        |option: &Opt| said(option, option.required && !OPTIONS.iter().any(|it| it.kind == options::Kind::Dicts));
    assert_eq!(described(documented), OPTIONS.iter().map(of_task).collect());

    let entries = OPTIONS.iter().filter(|option| !TASK_ONLY.contains(&option.name));
    let suboptions = &documented["scanners"]["suboptions"];
    assert_eq!(described(suboptions), entries.map(|option| said(option, option.required)).collect());

    let documented = &docs["qcss_scanner_info"]["doc"]["options"];
    assert_eq!(described(documented), INFO_OPTIONS.iter().map(|option| said(option, option.required)).collect());
}

#[test]
fn the_page_on_options_has_the_options_of_the_module() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/options.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Every option\n")).unwrap();
    let rows: BTreeMap<_, _> = section
        .lines()
        .filter_map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [option, about, meaning] = cells[..] else { return None };
            Some((option.strip_prefix('`')?.strip_suffix('`')?, (about, meaning)))
        })
        .collect();
    assert_eq!(
        rows.keys().copied().collect::<BTreeSet<_>>(),
        OPTIONS.iter().map(|option| option.name).collect::<BTreeSet<_>>()
    );
    for option in OPTIONS {
        let (about, meaning) = rows[option.name];
        let mut expected = if option.kind == options::Kind::Dicts {
            "list of dicts".to_owned()
        } else {
            option.kind.word().to_owned()
        };
        let default = match option.default {
            Default::Unset => None,
            Default::Str(text) => Some(format!("`{text}`")),
            Default::Bool(truth) => Some(if truth { "yes" } else { "no" }.to_owned()),
            Default::Int(int) => Some(int.to_string()),
        };
        let required = option.required.then(|| "required".to_owned());
        let secret = option
            .secret
            .then(|| (if option.kind == options::Kind::Dict { "secret values" } else { "secret" }).to_owned());
        for part in [required, secret, default].into_iter().flatten() {
            expected = format!("{expected}, {part}");
        }
        assert_eq!(about, expected, "{}", option.name);
        for choice in option.choices {
            assert!(meaning.contains(&format!("`{choice}`")), "{}: {choice}", option.name);
        }
    }
}

#[test]
fn ansible_doc_renders_both_modules() {
    for module in ["qcss_scanner", "qcss_scanner_info"] {
        let text = doc(&[module]);
        for part in ["OPTIONS", "ATTRIBUTES", "EXAMPLES", "RETURN VALUES", "docker_host"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let snippet = doc(&["--snippet", module]);
        assert!(snippet.contains(&format!("  {module}:\n")) && snippet.contains("docker_host:"), "{snippet}");
    }
}

#[test]
fn the_attributes_say_what_the_module_supports() {
    for (module, diff_mode) in [("qcss_scanner", "full"), ("qcss_scanner_info", "none")] {
        let attributes = &documentation()[module]["doc"]["attributes"];
        let support = |attribute: &str| attributes[attribute]["support"].clone();
        assert_eq!(["check_mode", "idempotent", "platform"].map(support), ["full"; 3]);
        assert_eq!(support("diff_mode"), diff_mode);
    }
}

#[test]
fn every_error_word_has_its_advice() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md")).unwrap();
    let about = documentation()["qcss_scanner"]["return"]["error"]["description"].to_string();
    for word in Kind::ALL.iter().map(|kind| kind.word()) {
        assert!(page.contains(&format!("\n| `{word}` | ")), "{word}");
        assert!(about.contains(&format!("C({word})")), "{word}");
    }
}

/// The examples are run as they are, but for the directories; and what they return is what is documented.
#[test]
fn the_examples_run_and_return_what_is_documented() {
    let engine = Engine::shared();
    let directory = engine.temp_dir();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("ca")).unwrap();
    engine.docker(&["network", "create", "qualys-ipv6"]);
    let docs = documentation();
    let defaults = json!({"docker_host": engine.host(), "overcommit": "allow", "settle": 0.2});
    let play = json!({
        "module_defaults": {"qcss_scanner": defaults, "qcss_scanner_info": {"docker_host": engine.host()}},
        "vars": {"vault_codes": ["canary-examples-0", "canary-examples-1", "canary-examples-2", "canary-examples-3",
            "canary-examples-4"]},
    });
    let mut tasks = Vec::new();
    for module in ["qcss_scanner", "qcss_scanner_info"] {
        let file = path(&format!("{module}.yml"));
        let examples = docs[module]["examples"].as_str().unwrap();
        fs::write(&file, elsewhere(examples, directory.path())).unwrap();
        tasks.push((module, json!({"ansible.builtin.import_tasks": file})));
    }
    let run = Ansible::play(engine, play, &tasks).secret("canary-examples").run().changed();
    let returned = |module: &str| {
        let keys = docs[module]["return"].as_object().unwrap();
        keys.keys().cloned().collect::<BTreeSet<String>>()
    };
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    // Of every module, or of Ansible.
    let common = ["changed", "failed", "invocation", "warnings", "outcome", "diff", "_ansible_no_log"];
    let (mut of_scanner, mut of_info) = (BTreeSet::new(), BTreeSet::new());
    for (name, result) in run.tasks() {
        let keys = fields(result).into_iter().filter(|key| !common.contains(&key.as_str()));
        if name.starts_with("Look at") {
            of_info.extend(keys);
        } else if !name.starts_with("Tell") {
            assert!(result["invocation"].is_object(), "{name}: {result:#}");
            of_scanner.extend(keys);
        }
    }
    let of_failures = ["error", "rolled_back"].map(str::to_owned);
    assert_eq!(of_scanner, &returned("qcss_scanner") - &BTreeSet::from(of_failures.clone()));
    assert_eq!(of_info, &returned("qcss_scanner_info") - &BTreeSet::from(of_failures));

    let limited = run.task("Create a limited scanner");
    for key in ["container", "scanner"] {
        let documented = &docs["qcss_scanner"]["return"][key]["contains"];
        assert_eq!(fields(&limited[key]), fields(documented), "{key}");
        for (field, about) in documented.as_object().unwrap() {
            assert_eq!(json_type(&limited[key][field]), about["type"], "{key}.{field}");
            assert_eq!(json_type(&about["sample"]), about["type"], "the sample of {key}.{field}");
        }
        let sample = &docs["qcss_scanner_info"]["return"]["scanners"]["contains"][key]["sample"];
        assert_eq!(fields(&limited[key]), fields(sample), "{key} of qcss_scanner_info");
    }
    let entry = &docs["qcss_scanner"]["return"]["differences"]["contains"];
    assert_eq!(fields(&limited["differences"][0]), fields(entry));
    let results = &run.task("Have two scanners that differ in little")["results"];
    assert_eq!(results.as_array().unwrap().len(), 2);
    assert_eq!(results[1]["scanner"]["memory"], 1 << 30);
}

/// `examples` with all directories below `directory`. Not by `module_defaults`: a task for the run state takes none.
fn elsewhere(examples: &str, directory: &Path) -> String {
    let image = "    image: qualys/qcsa:latest\n";
    let in_place = |example: &str| {
        let directories = "    shared_dir: /srv/qualys/shared\n    private_dir: /srv/qualys/private\n";
        let given = example.contains("    shared_dir: ");
        if given { example.to_owned() } else { example.replace(image, &format!("{image}{directories}")) }
    };
    let examples: Vec<_> = examples.split("\n\n").map(in_place).collect();
    examples.join("\n\n").replace("/srv/qualys", &directory.display().to_string())
}

/// `ansible-doc --json` of both modules.
fn documentation() -> Value {
    serde_json::from_str(&doc(&["--json", "qcss_scanner", "qcss_scanner_info"])).unwrap()
}

/// What ansible-doc prints, and nothing to its stderr.
fn doc(arguments: &[&str]) -> String {
    let ansible_doc = Ansible::doc(Engine::shared());
    let run = arguments.iter().fold(ansible_doc, |command, argument| command.option(argument)).run().succeeded();
    for word in ["WARNING", "ERROR", "Traceback"] {
        assert!(!run.output.contains(word), "{}", run.output);
    }
    run.output
}

/// Of each option its type, elements, default, choices, aliases, whether it is required, and whether the rest is there.
fn described(options: &Value) -> BTreeMap<String, Value> {
    let describe = |(name, about): (&String, &Value)| {
        assert!(!about["description"].is_null() && about["version_added"].is_string(), "{name}: {about:#}");
        let about = json!({
            "type": about["type"], "elements": about["elements"], "default": about["default"], "choices": about["choices"],
            "aliases": about["aliases"], "required": about["required"] == true,
        });
        (name.clone(), about)
    };
    options.as_object().unwrap().iter().map(describe).collect()
}

/// The same of an option as the module has it.
fn said(option: &Opt, required: bool) -> (String, Value) {
    let default = match option.default {
        Default::Unset => Value::Null,
        Default::Str(text) => json!(text),
        Default::Bool(truth) => json!(truth),
        Default::Int(int) => json!(int),
    };
    let choices = if option.choices.is_empty() { Value::Null } else { json!(option.choices) };
    let elements = if option.kind == options::Kind::Dicts { json!("dict") } else { Value::Null };
    let about = json!({
        "type": option.kind.word(), "elements": elements, "default": default, "choices": choices, "aliases": null,
        "required": required,
    });
    (option.name.to_owned(), about)
}

/// Ansible's name for the type of a value.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "str",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::Array(_) => "list",
        _ => "dict",
    }
}

/// docs/demo.svg, which `make recording` makes, shows what the demo says now, and may be shown anywhere.
#[test]
fn the_recording_is_of_this_demo() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recording = fs::read_to_string(root.join("docs/demo.svg")).unwrap();
    let demo = fs::read_to_string(root.join("tests/demo/run")).unwrap();
    let said = demo.lines().filter_map(|line| line.trim().strip_prefix("say \"")?.strip_suffix('"'));
    assert!(said.clone().count() > 8, "{demo}");
    for said in said {
        assert!(recording.contains(&format!(">{said}<")), "run `make recording`: {said}");
    }
    assert!(recording.len() <= 100_000 && !recording.contains("<script"), "{}", recording.len());
    assert!(recording.contains("prefers-color-scheme:dark") && recording.contains("prefers-reduced-motion"));
}

/// What the page on security says of its tests is what there is.
#[test]
fn the_page_on_security_counts_its_tests() {
    let list = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let count = |modules: &[&str]| {
        let is_of = |test: &&str| modules.iter().any(|module| test.starts_with(&format!("{module}::")));
        list.lines().filter_map(|line| line.strip_suffix(": test")).filter(is_of).count()
    };
    let (attacks, secrets, paths) =
        (count(&["attacks"]), count(&["disguises", "canaries"]), count(&["paths", "locks"]));
    let expected = format!(
        "`tests/it/attacks` has {attacks} cases of these, `tests/it/disguises.rs` and `tests/it/canaries.rs` {secrets} of secrets, \
         `tests/it/paths.rs` and `tests/it/locks.rs` {paths} of paths and locks"
    );
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md")).unwrap();
    assert!(page.split_whitespace().collect::<Vec<_>>().join(" ").contains(&expected), "{expected}");
}
