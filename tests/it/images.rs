//! When an image is pulled, and what an image that is there is good for. There is no registry here: every pull fails.

use rstest::rstest;
use serde_json::json;

use crate::support::{Ability, Engine, Proxy, Scanner, foretold, four_tasks, untouched};

#[rstest]
fn an_image_that_is_there_is_not_pulled(
    #[values("missing", "never")] pull: &str,
    #[values("qualys/qcsa:1", "qualys/qcsa", "docker.io/qualys/qcsa:1", "id")] image: &str,
) {
    let scanner = Scanner::new(Engine::shared());
    if image.starts_with("docker.io/") && scanner.engine.lacks(Ability::PlainNames) {
        return;
    }
    let image = if image == "id" { id("qualys/qcsa:1") } else { image.to_owned() };
    let reply = four_tasks(&scanner, || scanner.module().args(json!({"pull": pull, "image": image})));
    assert_eq!(reply["container"]["image_id"], id("qualys/qcsa:1"));
    if !scanner.engine.is_podman() {
        assert_eq!(scanner.inspect()["Config"]["Image"], image);
    }
}

#[test]
fn an_id_is_never_pulled() {
    let scanner = Scanner::new(Engine::shared());
    let id = id("qualys/qcsa:1");
    for image in [&id, &id[7..], &id[7..19]] {
        let proxy = Proxy::new(scanner.engine);
        let task = scanner.module().through(&proxy).args(json!({"pull": "always", "image": image}));
        task.run();
        assert!(
            !proxy
                .requests()
                .iter()
                .any(|it| it.path.starts_with("/images/create") || it.path.contains("distribution"))
        );
        assert_eq!(scanner.inspect()["Image"], id);
    }
}

#[rstest]
#[case::missing("missing", "127.0.0.1:1/qualys/qcsa:9")]
#[case::always("always", "127.0.0.1:1/qualys/qcsa:9")]
#[case::always_though_it_is_there("always", "127.0.0.1:1/qualys/qcsa:1")]
fn a_pull_that_fails_touches_nothing(#[case] pull: &str, #[case] image: &str) {
    let scanner = Scanner::new(Engine::shared());
    if scanner.engine.lacks(Ability::Distribution) {
        return;
    }
    scanner.engine.docker(&["tag", "qualys/qcsa:1", "127.0.0.1:1/qualys/qcsa:1"]);
    scanner.by_hand(&[]);
    let task = || scanner.module().args(json!({"pull": pull, "image": image}));
    let message = untouched(&scanner, || foretold(&scanner, task)).refused("image_not_found");
    assert!(message.contains("cannot get the image from ") && message.ends_with(&format!("`{image}`")), "{message}");
    // The run state, and the end, of a scanner do not need its image.
    foretold(&scanner, || scanner.run_state().arg("state", "stopped")).changed();
    foretold(&scanner, || task().arg("state", "absent")).changed();
}

#[test]
fn a_scanner_whose_image_lost_its_name_is_kept() {
    let scanner = Scanner::new(Engine::shared());
    let tag = format!("lost:{}", scanner.name);
    scanner.engine.docker(&["tag", "qualys/qcsa:1", &tag]);
    scanner.by_hand_from(&tag, &[]);
    scanner.engine.docker(&["rmi", &tag]);
    foretold(&scanner, || scanner.module()).unchanged();
    foretold(&scanner, || scanner.run_state().arg("state", "stopped")).changed();
    untouched(&scanner, || scanner.module().args(json!({"image": tag, "pull": "never"})).run())
        .refused("image_not_found");
}

#[test]
fn a_scanner_whose_image_is_gone_is_replaced_all_the_same() {
    let scanner = Scanner::new(Engine::shared());
    if scanner.engine.lacks(Ability::ImagesGo) {
        return;
    }
    let tag = format!("doomed:{}", scanner.name);
    scanner.engine.derive(&tag, &["ENV DOOMED=1"]);
    scanner.by_hand_from(&tag, &["--label mine=1"]);
    scanner.engine.docker(&["rmi", "--force", &tag]);
    let reply = four_tasks(&scanner, || scanner.module());
    assert_eq!(reply.actions(), ["replace"]);
    let config = scanner.inspect()["Config"].clone();
    assert!(!config["Env"].to_string().contains("DOOMED"), "{config:#}");
    assert_eq!(config["Labels"]["mine"], "1");
}

fn id(image: &str) -> String {
    Engine::shared().docker(&["image", "inspect", "--format", "{{.Id}}", image])
}
