//! A scanner that was made by hand with the vendor's command is the module's from then on, untouched.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Engine, Proxy, Scanner, without_empty};

#[rstest]
fn the_same_arguments_change_nothing(
    #[values("unlimited", "limited")] category: &str,
    #[values("by_tag", "by_id")] made: &str,
) {
    let engine = Engine::bridged();
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
        let said = json!([inspect["HostConfig"], inspect["Config"]["Env"], inspect["Config"]["Cmd"]]);
        let said = without_empty(&said, &json!([null, [], {}, "", "no"]));
        let own = scanner.shared_dir().parent().unwrap().display().to_string();
        said.to_string().replace(&scanner.code, "<code>").replace(&own, "<directory>")
    };
    assert_eq!(comparable(&by_module), comparable(&by_hand));
}

/// The engine lists mounts in any order.
fn without_order(mut inspect: Value) -> Value {
    inspect["Mounts"].as_array_mut().unwrap().sort_by_key(|mount| mount["Destination"].to_string());
    inspect
}

fn unlimited() -> (&'static [&'static str], Value) {
    (&[], json!({}))
}

/// The limits of the vendor's sample, as the docker command and as the module take them.
fn limited() -> (&'static [&'static str], Value) {
    let options = &["--memory", "1024M", "--memory-swap", "2048M", "--cpus", "1"];
    (options, json!({"memory": "1024M", "memory_swap": "2048M", "cpus": 1}))
}
