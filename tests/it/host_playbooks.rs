//! The playbooks about hosts as a whole: divide.yml and info.yml.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{Engine, Scanner};

#[test]
fn a_divided_host_is_shown_as_a_table() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let scanners = [(); 3].map(|()| Scanner::new(&engine));
    let [one, two, other] = &scanners;
    other.by_hand(&["-e STAND_IN_DIE=3"]);
    let variables = json!({
        "target_hosts": "localhost",
        "qualys_docker_host": engine.host(),
        "qualys_url": "US2",
        "qualys_image": "qualys/qcsa:1",
        "qualys_shared_dir": one.shared_dir(),
        "qualys_private_dir": one.private_dir(),
        "qualys_scanners": [{"name": one.name}, {"name": two.name}],
        "qualys_codes": {&one.name: one.code, &two.name: two.code, "elsewhere": "21809999999999"},
    });
    let play = |name: &str, options: &[&str]| playbook(&engine, name, &variables.to_string(), options);

    assert!(play("divide.yml", &["--check", "--diff"]).contains("changed=1"));
    assert!(play("divide.yml", &["-vvv"]).contains("changed=1"));
    assert!(play("divide.yml", &[]).contains("changed=0"));
    let cpus: f64 = engine.docker(&["info", "--format", "{{.NCPU}}"]).parse().unwrap();
    for scanner in [one, two] {
        let nano = scanner.inspect()["HostConfig"]["NanoCpus"].as_f64().unwrap();
        assert!((nano / 1e9 - cpus * 0.45).abs() < 0.011, "{nano}");
    }
    let refused = play("divide.yml", &["--extra-vars", "qualys_divided=220"]);
    assert!(refused.contains("failed=1") && refused.contains("memory must be"), "{refused}");

    let output = play("info.yml", &["--check"]);
    let line = |name: &str| output.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{output}"));
    for (name, words) in [("SCANNER", "HOST"), (&*one.name, "running"), (&other.name, "exited"), ("(free)", "1 unlim.")]
    {
        assert!(line(name).contains(words), "{output}");
    }
    assert!(line(&one.name).contains(" limited ") && line(&other.name).contains(" unlimited "), "{output}");
    assert!(output.contains("changed=0"), "{output}");
}

/// Runs one of the playbooks on this machine; what it printed, in which there must be no code.
fn playbook(engine: &Engine, name: &str, variables: &str, options: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = engine.temp_dir();
    for module in ["qcss_scanner", "qcss_scanner_info"] {
        symlink(env!("CARGO_BIN_EXE_qcss_scanner"), directory.path().join(module)).unwrap();
    }
    let vars = directory.path().join("vars.json");
    fs::write(&vars, variables).unwrap();
    let output = Command::new(root.join(".venv/bin/ansible-playbook"))
        .current_dir(root)
        .arg(root.join("playbooks").join(name))
        .args(["--inventory", "localhost,", "--connection", "local", "--extra-vars", &format!("@{}", vars.display())])
        .args(options)
        .env("ANSIBLE_LIBRARY", directory.path())
        .env("ANSIBLE_HOME", directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.contains("913298"), "a code is shown: {output}");
    output
}
