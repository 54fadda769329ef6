//! The role `scanners`: from a list to scanners, with the image from an archive or a registry, and a table.

use std::path::Path;

use rstest::rstest;
use serde_json::json;

use crate::support::{Ansible, Engine, PASSWORD, Registry, Scanner, USER};

#[rstest]
fn the_role_divides_the_host_among_its_scanners_and_tells_of_them(#[values("archive", "registry")] source: &str) {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let directory = engine.temp_dir();
    let archive = directory.path().join("image.tar");
    let registry = Registry::with_login(&engine);
    let [one, two] = [Scanner::new(&engine), Scanner::new(&engine)];
    let supply = if source == "archive" {
        engine.docker(&["save", "--output", archive.to_str().unwrap(), "qualys/qcsa:2"]);
        engine.docker(&["rmi", "qualys/qcsa:2"]);
        json!({"qualys_image": "qualys/qcsa:2", "qualys_image_archive": archive, "qualys_pull": "never"})
    } else {
        registry.push("qualys/qcsa:2", "qcsa:2");
        json!({
            "qualys_image": registry.image("qcsa:2"),
            "qualys_registry_username": USER, "qualys_registry_password": PASSWORD,
        })
    };
    let mut variables = json!({
        "ansible_connection": "local",
        "qualys_docker_host": engine.host(),
        "qualys_url": "US2",
        "qualys_shared_dir": one.shared_dir(),
        "qualys_private_dir": one.private_dir(),
        "qualys_divided": 80,
        // What the entry says of its memory does not count, what it says of its state does.
        "qualys_scanners": [{"name": one.name, "memory": "6M"}, {"name": two.name, "state": "stopped"}],
        "qualys_codes": {&one.name: one.code, &two.name: two.code, "elsewhere": "21809999999999"},
    });
    variables.as_object_mut().unwrap().extend(supply.as_object().unwrap().clone());
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/roles/scanners");
    let play = |option: &str| {
        let play = json!({"vars": variables, "roles": [role]});
        let run = Ansible::play(&engine, play, &[]).secret(&one.code).secret(&two.code).secret(PASSWORD);
        run.secret("21809999999999").option(option).run()
    };

    play("--check").changed();
    assert!(!one.exists());
    let run = play("-vvv").changed();
    for (scanner, state) in [(&one, "running"), (&two, "created")] {
        let row = run.output.lines().find(|line| line.contains(&scanner.name) && line.contains(" limited "));
        assert!(row.is_some_and(|row| row.contains(state)), "{}", run.output);
        let total = engine.get("/info")["MemTotal"].as_f64().unwrap();
        let memory = scanner.inspect()["HostConfig"]["Memory"].as_f64().unwrap();
        assert!((memory / total - 0.4).abs() < 0.001, "{memory} of {total}");
        assert!(scanner.inspect()["Config"]["Env"].to_string().contains("QCSA_VERSION=2"));
    }
    play("--diff").unchanged();
}

/// No scanner is touched when one of them has no code, or when two entries are of one name, whatever else they say.
#[rstest]
#[case::no_code(false)]
#[case::one_name(true)]
fn the_role_refuses_a_wrong_list_as_a_whole(#[case] is_named_twice: bool) {
    let engine = Engine::shared();
    let [one, two] = [Scanner::new(engine), Scanner::new(engine)];
    let mut scanners = vec![json!({"name": one.name}), json!({"name": two.name})];
    let mut codes = json!({&one.name: one.code});
    if is_named_twice {
        scanners.insert(1, json!({"name": one.name, "memory": "64M"}));
        codes[&two.name] = json!(two.code);
    }
    let variables = json!({
        "ansible_connection": "local", "qualys_docker_host": engine.host(), "qualys_url": "US2",
        "qualys_image": "qualys/qcsa:1", "qualys_scanners": scanners, "qualys_codes": codes,
    });
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/roles/scanners");
    let play = json!({"vars": variables, "roles": [role]});
    let run = Ansible::play(engine, play, &[]).secret(&one.code).secret(&two.code).option("-vvv").run();
    let named = if is_named_twice { &one } else { &two };
    assert!(!run.succeeded && run.output.contains(&named.name), "{}", run.output);
    assert!(!one.exists() && !two.exists());
}
