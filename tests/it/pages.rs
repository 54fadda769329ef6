//! What README and docs/ tell users to write is what the module takes, and moving to it from something else is no change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{Ansible, Engine, Scanner, eventually};

/// Each block of YAML with a task in it, as it stands there.
fn examples(page: &str) -> Vec<String> {
    blocks(page, "yaml").into_iter().filter(|block| block.contains("qcss_scanner")).collect()
}

/// The fenced blocks of one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n').map(str::to_owned)).collect()
}

/// A page's own links, and what is headed there.
#[test]
fn every_link_leads_somewhere_and_the_index_to_every_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect::<Vec<_>>()
    };
    for page in [pages(""), pages("docs"), pages("collection")].concat() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("https://") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            let headed =
                || fs::read_to_string(&target).unwrap().lines().any(|line| anchor(line) == Some(heading.into()));
            assert!(heading.is_empty() || headed(), "{}: {link}", page.display());
        }
    }
    let index = fs::read_to_string(root.join("docs/README.md")).unwrap();
    for page in pages("docs") {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name}");
    }
}

/// What a heading is linked by.
fn anchor(line: &str) -> Option<String> {
    let heading = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))?;
    let kept = heading.to_lowercase().replace(' ', "-");
    Some(kept.chars().filter(|it| it.is_alphanumeric() || "-_".contains(*it)).collect())
}

/// In check mode, since they are of many hosts: no option is misspelt and no value is wrong.
#[test]
fn the_module_takes_every_task_of_the_pages() {
    let engine = Engine::shared();
    let directory = engine.temp_dir();
    let codes = ["qualys_1", "qualys_2", "qualys_3"].map(|name| (name, format!("canary-{name}")));
    let variables = json!({
        "ansible_connection": "local", "code": "canary-code", "vault_code": "canary-code", "codes": BTreeMap::from(codes), "maintenance": true,
    });
    let head = format!("gather_facts: false\n  ignore_errors: true\n  environment: {{DOCKER_HOST: {}}}", engine.host());
    let pages = ["README.md", "docs/install.md", "docs/options.md", "docs/results.md", "docs/moving.md"];
    let mut plays = String::new();
    // What other tests have on the engine is not taken over.
    let examples = pages.into_iter().flat_map(examples).filter(|example| !example.contains(TAKEN_OVER));
    for (number, example) in examples.enumerate() {
        plays += &if example.contains("\n  hosts: ") {
            example.replace("gather_facts: false", &head)
        } else {
            let tasks = example.trim_end().replace('\n', "\n    ");
            format!("- name: Tasks\n  hosts: localhost\n  {head}\n  tasks:\n    {tasks}\n")
        }
        // A result is found by its task's name, which not only one of them has.
        .replace("- name: ", &format!("- name: {number} "))
        // The module that was just built, not the collection's.
        .replace("qcss.scanner.qcss_scanner", "qcss_scanner");
    }
    let file = directory.path().join("plays.yml");
    // The id of the vendor's sample is no image of this engine.
    fs::write(&file, plays.replace("6715167e4412", "qualys/qcsa:latest")).unwrap();
    let run = Ansible::playbook(engine, file.to_str().unwrap(), &variables).option("--check").secret("canary").run();
    let told: Vec<_> = run.tasks().filter(|(_, result)| result["invocation"].is_object()).collect();
    for (name, result) in &told {
        // The shared engine may have no room for it.
        assert!(result["error"].is_null() || result["error"] == "overcommit", "{name}: {result:#}");
    }
    assert!(told.len() >= plays.matches(" qcss_scanner").count(), "{plays}\n{}", run.output);
}

/// The name of the play that takes over a host.
const TAKEN_OVER: &str = "Take over what is there";

/// docs/moving.md: by name, without the codes.
#[test]
fn a_host_full_of_scanners_is_taken_over_without_their_codes() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    engine.docker(&["tag", "qualys/qcsa:2", "qualys/qcsa:latest"]);
    let scanners = [Scanner::new(&engine), Scanner::new(&engine)];
    for scanner in &scanners {
        scanner.by_hand(&["-e EXTRA=canary-extra"]);
        eventually("it has its identity", || scanner.identity().is_some());
    }
    engine.docker(&["stop", &scanners[1].name]);
    let play = examples("docs/moving.md").into_iter().find(|example| example.contains(TAKEN_OVER)).unwrap();
    let directory = engine.temp_dir();
    let file = directory.path().join("plays.yml");
    let head = format!("gather_facts: false\n  environment: {{DOCKER_HOST: {}}}", engine.host());
    fs::write(&file, play.replace("gather_facts: false", &head)).unwrap();
    let run = || {
        let run = Ansible::playbook(&engine, file.to_str().unwrap(), &json!({"ansible_connection": "local"}));
        scanners.iter().fold(run.secret("canary"), |run, scanner| run.secret(&scanner.code)).run()
    };
    run();
    for (scanner, runs) in scanners.iter().zip([true, false]) {
        let inspect = scanner.inspect();
        assert_eq!(inspect["Config"]["Image"], "qualys/qcsa:latest");
        assert_eq!(
            (&inspect["State"]["Running"], &inspect["HostConfig"]["RestartPolicy"]["Name"]),
            (&json!(runs), &json!("unless-stopped"))
        );
        assert!(inspect["Config"]["Env"].to_string().contains("EXTRA=canary-extra"));
    }
    run().unchanged();
}

/// No other test has it.
const NAME: &str = "moved_scanner";

/// docs/moving.md, word by word but for the directories, the image and the name, which other pages have, too: first as it was done before, then by the task.
#[test]
fn moving_from_the_vendors_command_changes_nothing() {
    let engine = Engine::shared();
    let directory = engine.temp_dir();
    let qualys = directory.path().join("qualys");
    let image = engine.docker(&["image", "inspect", "--format", "{{.Id}}", "qualys/qcsa:latest"]);
    let image = image.trim().trim_start_matches("sha256:").chars().take(12).collect::<String>();
    let [command] = &blocks("docs/moving.md", "sh")[..] else { panic!("one command") };
    let here = |text: &str| {
        let text = text.replace("/usr/qualys", &qualys.display().to_string()).replace("6715167e4412", &image);
        text.replace("Qualys_Container", NAME)
    };
    let command = here(command);
    let ran = Command::new("bash").args(["-euc", &command]).env("DOCKER_HOST", engine.host()).output().unwrap();
    assert!(ran.status.success(), "{command}: {ran:?}");

    let tasks = examples("docs/moving.md");
    let [by_id, _, by_name] = &tasks[..] else { panic!("{tasks:?}") };
    let variables = json!({"vault_code": "21808056913298"});
    let defaults = json!({
        "docker_host": engine.host(), "overcommit": "allow", "settle": 0.2,
        "shared_dir": qualys.join("shared"), "private_dir": qualys.join("private"),
    });
    let play = json!({"vars": variables, "module_defaults": {"qcss_scanner": defaults}});
    let have = |task: &str| {
        let file = directory.path().join("tasks.yml");
        fs::write(&file, here(task)).unwrap();
        let import = json!({"ansible.builtin.import_tasks": file});
        Ansible::play(engine, play.clone(), &[("import", import)]).secret("21808056913298").run()
    };
    let id = engine.inspect(NAME)["Id"].take();
    have(by_id).unchanged();
    // What docker_container made has a restart policy besides, which is changed live.
    engine.docker(&["update", "--restart", "unless-stopped", NAME]);
    have(by_name).unchanged();
    assert_eq!(engine.inspect(NAME)["Id"], id);
    engine.docker(&["rm", "--force", NAME]);
}
