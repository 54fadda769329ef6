//! A scanner that was made by hand with the vendor's command is the module's from then on, untouched.

use rstest::rstest;
use serde_json::{Value, json};

use crate::drift::{cgroup, cpus};
use crate::support::{Ability, Engine, Proxy, Scanner, eventually, foretold, four_tasks, without_empty};

#[rstest]
fn the_same_arguments_change_nothing(
    #[values("unlimited", "limited")] category: &str,
    #[values("by_tag", "by_id")] made: &str,
) {
    let engine = Engine::bridged();
    if category == "limited" && lacks_limits() {
        return;
    }
    let (options, limits) = if category == "limited" { limited() } else { unlimited() };
    let image_id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", "qualys/qcsa:1"]);
    let digits = image_id.strip_prefix("sha256:").unwrap();
    let scanner = Scanner::new(engine);
    let id = scanner.by_hand_from(if made == "by_id" { &digits[..12] } else { "qualys/qcsa:1" }, options);
    let before = without_order(scanner.inspect());

    for image in ["qualys/qcsa:1", "qualys/qcsa", &image_id, digits, &digits[..12]] {
        let module = || scanner.module().args(limits.clone()).arg("image", image);
        module().check().diff().run().unchanged();
        let reply = module().diff().run().unchanged();
        assert_eq!(reply["container"]["id"], id);
    }
    assert_eq!(without_order(scanner.inspect()), before);
}

#[test]
fn a_run_with_nothing_to_do_asks_three_times_on_one_connection() {
    let engine = Engine::bridged();
    if lacks_limits() {
        return;
    }
    let scanner = Scanner::new(engine);
    let (options, limits) = limited();
    scanner.by_hand(options);

    let proxy = Proxy::new(engine);
    scanner.module().args(limits).through(&proxy).run().unchanged();
    let requests: Vec<_> = proxy.requests().iter().map(ToString::to_string).collect();
    assert!(requests.len() <= 3, "{requests:#?}");
    assert_eq!(proxy.writes(), []);
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_scanner_that_the_module_made_is_like_one_made_by_hand() {
    let engine = Engine::bridged();
    if lacks_limits() {
        return;
    }
    let (by_hand, by_module) = (Scanner::new(engine), Scanner::new(engine));
    let (options, limits) = limited();
    by_hand.by_hand(options);
    let reply = by_module.module().args(limits).run().changed();
    assert!(reply.actions().contains(&"create"), "{reply:#?}");

    let comparable = |scanner: &Scanner| {
        let mut inspect = scanner.inspect();
        // The docker command sends them in any order.
        for list in ["/HostConfig/Binds", "/Config/Env"] {
            inspect.pointer_mut(list).unwrap().as_array_mut().unwrap().sort_by_key(Value::to_string);
        }
        // Podman's own, which are different in each container.
        inspect["Config"]["Env"].as_array_mut().unwrap().retain(|it| !it.as_str().unwrap().starts_with("HOSTNAME="));
        let config = &inspect["Config"];
        let said = json!([inspect["HostConfig"], config["Env"], config["Cmd"], config["StopTimeout"]]);
        let said = without_empty(&said, &json!([null, [], {}, "", "no"]));
        let own = scanner.shared_dir().parent().unwrap().display().to_string();
        said.to_string().replace(&scanner.code, "<code>").replace(&own, "<directory>")
    };
    assert_eq!(comparable(&by_module), comparable(&by_hand));
}

/// A container without a memory limit is another one for some engines, see Podman's swappiness.
#[rstest]
fn one_made_by_hand_is_adopted_adjusted_limited_replaced_stopped_and_removed(#[values("", "--memory 64M")] made: &str) {
    let scanner = Scanner::new(Engine::bridged());
    if lacks_limits() {
        return;
    }
    let id = scanner.by_hand(&[made]);
    eventually("it has its identity", || scanner.identity().is_some());
    let identity = scanner.identity();
    let memory = if made.is_empty() { json!({}) } else { json!({"memory": "64M"}) };
    let adopted = foretold(&scanner, || scanner.module().args(memory.clone())).unchanged();
    assert_eq!(adopted["container"]["id"], id);

    let task = |options: Value| four_tasks(&scanner, || scanner.run_state().args(options.clone()));
    let enforced = |limit: &str| {
        assert_eq!(cgroup(&scanner, "memory", &["memory.limit_in_bytes", "memory.max"]), limit);
        assert!((cpus(&scanner) - 0.5).abs() < 1e-9);
    };
    assert_eq!(task(json!({"env": {"A": "1"}})).actions(), ["replace"]);
    task(json!({"memory": "96M", "cpus": 0.5}));
    enforced("100663296");
    assert_eq!(task(json!({"image": "qualys/qcsa:2"})).actions(), ["replace"]);
    enforced("100663296");
    assert!(scanner.inspect()["Config"]["Env"].as_array().unwrap().contains(&json!("A=1")));
    assert_eq!(scanner.identity(), identity);

    assert_eq!(task(json!({"state": "stopped"})).actions(), ["stop"]);
    assert_eq!(task(json!({"state": "absent"})).actions(), ["remove"]);
    assert_eq!(scanner.ids(), [""; 0]);
}

/// The forms that are in use, the vendor's own and what the docker command itself puts in.
#[rstest]
fn a_proxy_in_whichever_form(
    #[values(
        "proxy:3128",
        "u:p@proxy:3128",
        "u:p@proxy",
        ":@proxy:3128",
        "http://proxy:3128",
        "http://u:p@proxy:3128"
    )]
    proxy: &str,
) {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["-e", &format!("HTTPS_PROXY={proxy}")]);
    foretold(&scanner, || scanner.module().arg("https_proxy", proxy)).unchanged();
}

/// On a host whose docker command has `proxies` in its configuration, that command adds six variables.
#[test]
fn what_the_docker_command_adds_is_no_difference_and_goes_along() {
    let engine = Engine::shared();
    if engine.lacks(Ability::ClientsProxies) {
        return;
    }
    let scanner = Scanner::new(engine);
    let config = docker_config(
        engine,
        &json!({
            "httpProxy": "http://proxy:1", "httpsProxy": "http://user:canary-pass@proxy:2", "noProxy": "127.0.0.1,.example.org",
        }),
    );
    scanner.by_hand_configured(config.path(), &["-e OWN=1"]);
    let added = |scanner: &Scanner| {
        let env = scanner.inspect()["Config"]["Env"].clone();
        let env = env.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned());
        let mut added: Vec<_> = env.filter(|it| it.to_lowercase().contains("_proxy=")).collect();
        added.sort();
        added
    };
    let six = added(&scanner);
    assert_eq!(six.len(), 6, "{six:?}");
    let task = |own: &str| scanner.module().arg("env", json!({"OWN": own})).env("DOCKER_CONFIG", config.path());

    let proxy = Proxy::new(engine);
    task("1").through(&proxy).run().unchanged();
    assert_eq!(proxy.requests().len(), 3);
    let reply = four_tasks(&scanner, || task("2"));
    assert_eq!(reply.actions(), ["replace"]);
    assert_eq!(reply["differences"][0]["before"], json!({"OWN": "********"}));
    assert!(!reply.line.contains("canary"), "{}", reply.line);
    assert_eq!(added(&scanner), six);

    // An option, or `env`, that names one of them decides.
    four_tasks(&scanner, || task("2").arg("https_proxy", "other:3"));
    let one_option: Vec<_> = six.iter().filter(|it| !it.to_lowercase().starts_with("https_")).cloned().collect();
    assert_eq!(added(&scanner), [&["HTTPS_PROXY=other:3".to_owned()][..], &one_option].concat());
    let named = json!({"OWN": "2", "no_proxy": "mine"});
    four_tasks(&scanner, || task("2").arg("https_proxy", "other:3").arg("env", named.clone()));
    assert!(added(&scanner).contains(&"no_proxy=mine".to_owned()));

    // Another value than the configuration has is somebody's wish.
    let other = docker_config(engine, &json!({"httpProxy": "http://another:1"}));
    let reply = scanner.module().env("DOCKER_CONFIG", other.path()).check().run().changed();
    assert_eq!(reply.actions(), ["replace"]);

    let fresh = Scanner::new(engine);
    fresh.module().env("DOCKER_CONFIG", config.path()).run().changed();
    assert_eq!(added(&fresh), [""; 0]);
}

/// `docker run -e NAME`, where the client has no such variable, takes an image's variable away. A task cannot say that, and what
/// the container has is what the task says.
#[test]
fn an_images_variable_that_the_container_took_away_is_no_difference_and_stays_away() {
    let scanner = Scanner::new(Engine::shared());
    if scanner.engine.lacks(Ability::TakesVariablesAway) {
        return;
    }
    scanner.by_hand(&["-e QCSA_VERSION"]);
    let version = || scanner.engine.docker(&["exec", &scanner.name, "sh", "-c", "echo ${QCSA_VERSION-none}"]);
    assert_eq!(version(), "none");
    foretold(&scanner, || scanner.module()).unchanged();
    four_tasks(&scanner, || scanner.module().arg("image", "qualys/qcsa:2"));
    assert_eq!(version(), "none");
    four_tasks(&scanner, || scanner.module().args(json!({"image": "qualys/qcsa:2", "env": {"QCSA_VERSION": "9"}})));
    assert_eq!(version(), "9");
}

#[test]
fn an_images_variable_that_the_container_empties_is_one_that_a_task_can_empty() {
    let scanner = Scanner::new(Engine::shared());
    scanner.by_hand(&["-e QCSA_VERSION="]);
    let task = |image: &'static str| scanner.module().args(json!({"image": image, "env": {"QCSA_VERSION": ""}}));
    foretold(&scanner, || task("qualys/qcsa:1")).unchanged();
    four_tasks(&scanner, || task("qualys/qcsa:2"));
}

/// A folder with the docker command's configuration.
fn docker_config(engine: &Engine, proxies: &Value) -> tempfile::TempDir {
    let directory = engine.temp_dir();
    let config = json!({"proxies": {"default": proxies}});
    std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    directory
}

/// The engine lists mounts in any order.
fn without_order(mut inspect: Value) -> Value {
    inspect["Mounts"].as_array_mut().unwrap().sort_by_key(|mount| mount["Destination"].to_string());
    inspect
}

fn lacks_limits() -> bool {
    Engine::bridged().lacks_any(&[Ability::LimitsMemory, Ability::LimitsCpus])
}

fn unlimited() -> (&'static [&'static str], Value) {
    (&[], json!({}))
}

/// The limits of the vendor's sample, as the docker command and as the module take them.
fn limited() -> (&'static [&'static str], Value) {
    let options = &["--memory", "1024M", "--memory-swap", "2048M", "--cpus", "1"];
    (options, json!({"memory": "1024M", "memory_swap": "2048M", "cpus": 1}))
}
