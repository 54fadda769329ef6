//! What a scanner has in anonymous volumes.

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Ability, Engine, Scanner, foretold, untouched};

#[test]
fn data_in_a_volume_of_the_image_goes_along_and_goes_with_the_scanner() {
    if Engine::shared().lacks(Ability::IsQuiet) {
        return;
    }
    let lab = Lab::new();
    lab.scanner.by_hand_from(&lab.images[0], &[]);
    lab.put("/data", "kept");
    let volume = lab.volume("/data").unwrap();
    for image in [&lab.images[1], &lab.images[0]] {
        let reply = foretold(&lab.scanner, || lab.scanner.module().arg("image", image.as_str())).changed();
        assert_eq!(reply.warnings(), "");
        assert_eq!(lab.got("/data"), "kept");
        assert_eq!(lab.volume("/data").as_ref(), Some(&volume));
    }
    // Also to an image that does not ask for it any more: it is the container's own by now.
    foretold(&lab.scanner, || lab.scanner.module().arg("image", "qualys/qcsa:1")).changed();
    assert_eq!(lab.got("/data"), "kept");
    foretold(&lab.scanner, || lab.scanner.run_state().arg("state", "absent")).changed();
    assert!(!lab.has(&volume));
}

#[test]
fn a_volume_that_something_else_uses_by_then_stays() {
    let lab = Lab::new();
    lab.scanner.by_hand_from(&lab.images[0], &[]);
    let volume = lab.volume("/data").unwrap();
    lab.scanner.module().arg("image", lab.images[1].as_str()).run().changed();
    let other = format!("{}-other", lab.scanner.name);
    lab.scanner.engine.docker(&["create", "--name", &other, "-v", &format!("{volume}:/data"), "qualys/qcsa:1"]);
    lab.scanner.run_state().arg("state", "absent").run().changed();
    assert!(lab.has(&volume));
    lab.scanner.engine.docker(&["rm", &other]);
    lab.scanner.engine.docker(&["volume", "rm", &volume]);
}

#[test]
fn a_volume_that_does_not_go_along_is_named() {
    if Engine::shared().lacks(Ability::IsQuiet) {
        return;
    }
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::VolumesStay) {
        return;
    }
    lab.scanner.by_hand_from(&lab.images[0], &[]);
    let volume = lab.volume("/data").unwrap();
    let module = || lab.scanner.module().arg("image", "qualys/qcsa:2");
    let check = untouched(&lab.scanner, || module().check().run());
    let real = module().run().changed();
    for reply in [check, real] {
        let warnings = reply.warnings();
        assert!(warnings.contains("/data is deleted") && warnings.ends_with(&format!("`{volume}`")), "{warnings}");
    }
    assert!(!lab.has(&volume));
    assert_eq!(lab.volume("/data"), None);
}

#[rstest]
#[case("-v /own")]
#[case("--mount type=volume,destination=/own")]
fn a_volume_that_the_container_asked_for_goes_along_and_goes_with_it(#[case] made: &str) {
    let lab = Lab::new();
    lab.scanner.by_hand(&[made]);
    lab.put("/own", "kept");
    let volume = lab.volume("/own").unwrap();
    for _ in 0..2 {
        foretold(&lab.scanner, || lab.scanner.module().arg("recreate", "always")).changed();
        assert_eq!((lab.got("/own").as_str(), lab.volume("/own").as_ref()), ("kept", Some(&volume)));
    }
    lab.scanner.run_state().arg("state", "absent").run().changed();
    assert!(!lab.has(&volume));
}

#[test]
fn a_volume_that_has_a_name_is_never_removed() {
    let lab = Lab::new();
    let name = format!("named-{}", lab.scanner.name);
    lab.scanner.by_hand(&["-v", &format!("{name}:/named"), "--label", &format!("qcss_scanner.volumes={name}")]);
    lab.scanner.module().arg("recreate", "always").run().changed();
    lab.scanner.run_state().arg("state", "absent").run().changed();
    assert!(lab.has(&name));
    lab.scanner.engine.docker(&["volume", "rm", &name]);
}

#[test]
fn a_mount_in_memory_hinders_no_other_scanner() {
    if Engine::shared().lacks(Ability::IsQuiet) {
        return;
    }
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let (scanner, other) = (Scanner::new(&engine), Scanner::new(&engine));
    scanner.by_hand(&["--mount type=tmpfs,destination=/scratch"]);
    let reply = foretold(&other, || other.module()).changed();
    assert_eq!(reply.warnings(), "");
}

#[test]
fn what_came_from_the_old_image_and_was_changed_in_part_is_the_new_images() {
    let scanner = Scanner::new(Engine::bridged());
    if scanner.engine.lacks(Ability::TellsOfHealthchecks) {
        return;
    }
    let old = image(&scanner, "old", &["HEALTHCHECK --interval=3s CMD old", "EXPOSE 80"]);
    let new = image(&scanner, "new", &["HEALTHCHECK --interval=9s --retries=4 CMD new", "EXPOSE 90"]);
    scanner.by_hand_from(&old, &["--health-interval 7s --expose 81"]);
    foretold(&scanner, || scanner.module().arg("image", new.as_str())).changed();
    let config = &scanner.inspect()["Config"];
    let check = &config["Healthcheck"];
    assert_eq!(check["Test"], json!(["CMD-SHELL", "new"]));
    assert_eq!((&check["Interval"], &check["Retries"]), (&json!(7_000_000_000_u64), &json!(4)));
    assert_eq!(config["ExposedPorts"], json!({"81/tcp": {}, "90/tcp": {}}));
}

/// A scanner, and two images with a VOLUME at `/data`.
struct Lab {
    scanner: Scanner<'static>,
    images: [String; 2],
}

impl Lab {
    fn new() -> Self {
        let scanner = Scanner::new(Engine::bridged());
        let images = ["one", "two"].map(|tag| image(&scanner, tag, &["VOLUME /data", &format!("ENV NUMBER={tag}")]));
        Self { scanner, images }
    }

    fn put(&self, path: &str, text: &str) {
        let script = format!("echo {text} >{path}/file");
        self.scanner.engine.docker(&["exec", &self.scanner.name, "sh", "-c", &script]);
    }

    fn got(&self, path: &str) -> String {
        self.scanner.engine.docker(&["exec", &self.scanner.name, "cat", &format!("{path}/file")])
    }

    /// The name of the volume at `path`.
    fn volume(&self, path: &str) -> Option<String> {
        let inspect = self.scanner.inspect();
        let mut mounts = inspect["Mounts"].as_array().unwrap().iter();
        let mount: &Value = mounts.find(|mount| mount["Destination"] == path)?;
        Some(mount["Name"].as_str().unwrap().to_owned())
    }

    fn has(&self, volume: &str) -> bool {
        self.scanner.engine.docker(&["volume", "ls", "-q"]).lines().any(|name| name == volume)
    }
}

/// Makes an image of this scanner's test with these instructions; its name.
fn image(scanner: &Scanner, tag: &str, changes: &[&str]) -> String {
    let engine = scanner.engine;
    let name = format!("image-{}:{tag}", scanner.name);
    engine.derive(&name, changes);
    name
}
