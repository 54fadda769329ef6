//! Where the image comes from: an archive, a registry, with or without a user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Engine, Module, PASSWORD, Proxy, Registry, Scanner, USER, foretold, stdout, untouched};

#[rstest]
fn an_archive_is_loaded_where_the_image_is_missing(
    #[values("plain", "gzip")] form: &str,
    #[values("tag", "id", "short id")] named: &str,
) {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let id = engine.docker(&["image", "inspect", "--format", "{{.Id}}", "qualys/qcsa:2"]);
    let mut archive = Archive::of(&engine, &["qualys/qcsa:2"]);
    if form == "gzip" {
        archive.compress();
    }
    engine.docker(&["rmi", "qualys/qcsa:2"]);
    let image = match named {
        "tag" => "docker.io/qualys/qcsa:2",
        "id" => &id,
        _ => &id[7..19],
    };
    let scanner = Scanner::new(&engine);
    let module = || {
        scanner.module().arg("image", image).arg("pull", "never").arg("settle", 0).arg("image_archive", archive.path())
    };

    let predicted = module().check().run().changed();
    assert!(!engine.try_docker(&["image", "inspect", image]).status.success() && !scanner.exists());
    let reply = module().run().changed();
    assert_eq!((reply.actions()[0], reply.actions().last()), ("load_image", Some(&"start")));
    let sorted = |reply: &crate::support::Reply| {
        let mut actions: Vec<_> = reply.actions().into_iter().map(str::to_owned).collect();
        actions.sort();
        actions
    };
    assert_eq!(sorted(&predicted), sorted(&reply));
    assert_eq!(reply["container"]["image_id"], id);

    // The archive is not even looked at when the image is there.
    drop(archive.directory);
    scanner.module().arg("image", image).arg("image_archive", "/nonexistent.tar").run().unchanged();
}

/// Unpacked and packed again: the entries are called `./manifest.json` and so on, in any order.
#[rstest]
#[case::packed_again("tar -xf image.tar -C content && tar -cf image.tar -C content .")]
#[case::last_first(
    "tar -xf image.tar -C content && (cd content && find . -type f | sort -r) | tar -cf image.tar -C content -T -"
)]
#[case::bzip2("bzip2 image.tar && mv image.tar.bz2 image.tar")]
#[case::xz("xz image.tar && mv image.tar.xz image.tar")]
fn an_archive_is_loaded_in_each_form_that_docker_load_takes(#[case] change: &str) {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let archive = Archive::of(&engine, &["qualys/qcsa:2"]);
    let script = format!("mkdir content && {change}");
    stdout(Command::new("sh").args(["-c", &script]).current_dir(archive.directory.path()));
    engine.docker(&["rmi", "qualys/qcsa:2"]);
    let scanner = Scanner::new(&engine);
    let task = || scanner.module().args(json!({"image": "qualys/qcsa:2", "image_archive": archive.path()}));
    assert_eq!(foretold(&scanner, task).changed().actions()[0], "load_image");
    foretold(&scanner, task).unchanged();
}

/// Docker before 23 does not take zstd, and none takes xz where that program is missing or the file is damaged.
#[rstest]
#[case::zstd("zstd", b"\x28\xb5\x2f\xfd canary", true)]
#[case::damaged_xz("xz", b"\xfd7zXZ\x00 canary", false)]
#[case::damaged_bzip2("bzip2", b"BZh91AY canary", false)]
fn a_compression_that_the_engine_cannot_take_is_named(
    #[case] compression: &str,
    #[case] content: &[u8],
    #[case] is_known_before: bool,
) {
    let scanner = Scanner::new(Engine::shared());
    let archive = Archive::of(scanner.engine, &["qualys/qcsa:2"]);
    fs::write(&archive.path, content).unwrap();
    let task =
        || scanner.module().args(json!({"image": "qualys/other:1", "image_archive": archive.path(), "timeout": 1}));
    // Only the engine knows what is in it, when it reads it.
    let reply = if is_known_before { foretold(&scanner, task) } else { task().disturbed().run() };
    let message = untouched(&scanner, || reply).refused("unsupported");
    assert!(
        message.contains(&format!("compressed with {compression}"))
            && message.ends_with(&format!("`{}`", archive.path())),
        "{message}"
    );
    assert!(message.contains("plain or compressed with gzip") && !message.contains("canary"), "{message}");
    assert!(!scanner.shared_dir().exists());
}

#[test]
fn an_archive_that_cannot_help_is_refused_with_what_it_holds() {
    let engine = Engine::shared();
    let scanner = Scanner::new(engine);
    let archive = Archive::of(engine, &["qualys/qcsa:1", "qualys/qcsa:2"]);
    let refused = |image: &str, path: &Path| {
        let module = || scanner.module().arg("image", image).arg("image_archive", path.to_str().unwrap());
        let message = module().check().run().refused("image_not_found");
        assert_eq!(module().run().refused("image_not_found"), message);
        assert!(!scanner.shared_dir().exists());
        message
    };
    let path = archive.path.display();
    assert_eq!(
        refused("qualys/other:1", &archive.path),
        format!(
            "image_archive `{path}` does not contain the image, it contains qualys/qcsa:1, qualys/qcsa:2; \
             save the image by its name into it: `qualys/other:1`"
        )
    );
    assert!(refused("0123456789ab", &archive.path).ends_with("`0123456789ab`"));
    let message = refused("qualys/other:1", Path::new("/nonexistent/image.tar"));
    assert!(message.contains("copy it to the Docker host first"), "{message}");
    assert!(message.ends_with("`/nonexistent/image.tar`"), "{message}");

    let text = b"canary ".repeat(200);
    for (name, content) in [("text.tar", &text[..]), ("empty.tar", b""), ("cut.tgz", b"\x1f\x8b\x08\x00")] {
        let path = archive.directory.path().join(name);
        fs::write(&path, content).unwrap();
        let message = refused("qualys/other:1", &path);
        assert!(message.contains("give a tar of docker save, plain or gzip"), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
    refused("qualys/other:1", archive.directory.path());
    let message = scanner.module().arg("image_archive", "image.tar").run().refused("invalid_arguments");
    assert_eq!(message, "image_archive must be an absolute path on the Docker host, got: `image.tar`");
}

#[test]
fn a_large_archive_is_streamed_and_may_take_longer_than_an_engine_call() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let directory = engine.temp_dir();
    let layer = directory.path().join("layer");
    fs::File::create(&layer).unwrap().set_len(512 << 20).unwrap();
    let build = "echo 'FROM qualys/qcsa:1
                       COPY layer /layer' >Dockerfile && DOCKER_BUILDKIT=0 docker build --quiet --tag qualys/qcsa:large .";
    stdout(Command::new("sh").args(["-c", build]).current_dir(&directory).env("DOCKER_HOST", engine.host()));
    let archive = Archive::of(&engine, &["qualys/qcsa:large"]);
    assert!(fs::metadata(&archive.path).unwrap().len() > 512 << 20);
    engine.docker(&["rmi", "qualys/qcsa:large"]);

    let scanner = Scanner::new(&engine);
    let module = scanner.module().arg("image", "qualys/qcsa:large").arg("image_archive", archive.path());
    let reply = module.arg("timeout", 1).arg("state", "present").with_address_space(96).run().changed();
    assert_eq!(reply.actions()[0], "load_image");
}

#[test]
fn many_scanners_load_or_pull_an_image_once() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let registry = Registry::open(&engine);
    registry.push("qualys/qcsa:1", "qcsa:1");
    let archive = Archive::of(&engine, &["qualys/qcsa:2"]);
    engine.docker(&["rmi", "qualys/qcsa:2"]);
    let scanners = [(); 3].map(|()| Scanner::new(&engine));
    for (options, path, word) in [
        (json!({"image": "qualys/qcsa:2", "image_archive": archive.path()}), "/images/load", "load_image"),
        (json!({"image": registry.image("qcsa:1"), "pull": "always"}), "/images/create", "pull_image"),
    ] {
        let entries =
            scanners.each_ref().map(|scanner| json!({"name": scanner.name, "personalization_code": scanner.code}));
        let mut defaults = scanners[0].args();
        defaults.as_object_mut().unwrap().retain(|name, _| !["name", "personalization_code"].contains(&name.as_str()));
        let module = || {
            Module::new(&engine)
                .args(defaults.clone())
                .args(options.clone())
                .arg("state", "present")
                .arg("scanners", json!(entries))
        };
        let predicted = module().check().run().changed();
        let proxy = Proxy::new(&engine);
        let reply = module().through(&proxy).run().changed();
        assert_eq!(
            proxy.writes().iter().filter(|request| request.path.starts_with(path)).count(),
            1,
            "{:?}",
            proxy.writes()
        );
        for reply in [predicted, reply] {
            let fetched = |result: &Value| result["actions"].as_array().unwrap().contains(&json!(word));
            let fetched: Vec<_> = reply["results"].as_array().unwrap().iter().map(fetched).collect();
            assert_eq!(fetched, [true, false, false], "{reply:#?}");
        }
    }
}

#[test]
fn a_missing_image_is_pulled_unless_never() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let registry = Registry::open(&engine);
    registry.push("qualys/qcsa:1", "missing:1");
    let (image, scanner) = (registry.image("missing:1"), Scanner::new(&engine));
    let module = || scanner.module().arg("image", &*image).arg("settle", 0);
    for run in [module().check(), module()] {
        let message = run.arg("pull", "never").run().refused("image_not_found");
        assert!(message.contains("pull=never") && message.ends_with(&format!("`{image}`")), "{message}");
    }
    assert_eq!(
        module().check().run().changed().actions(),
        ["pull_image", "create_directory", "create_directory", "create", "start"]
    );
    assert!(!engine.try_docker(&["image", "inspect", &image]).status.success());
    assert_eq!(module().run().changed().actions()[0], "pull_image");
    assert_eq!(module().run().unchanged()["container"]["image"], image);
}

#[test]
fn always_pulling_replaces_the_scanner_only_for_a_newer_image() {
    let engine = Engine::private(Engine::WITHOUT_BRIDGE);
    let registry = Registry::open(&engine);
    registry.push("qualys/qcsa:1", "qcsa:latest");
    let (image, scanner) = (registry.image("qcsa"), Scanner::new(&engine));
    let module = || scanner.module().arg("image", &*image).arg("pull", "always").arg("settle", 0);
    let id = module().run().changed()["container"]["id"].clone();
    module().check().run().unchanged();
    assert_eq!(module().run().unchanged()["container"]["id"], id);

    let image_2 = engine.docker(&["image", "inspect", "--format", "{{.Id}}", "qualys/qcsa:2"]);
    engine.docker(&["tag", &image, "old"]);
    registry.push("qualys/qcsa:2", "qcsa:latest");
    engine.docker(&["tag", "old", &image]);
    assert_eq!(module().check().run().changed().actions(), ["pull_image", "replace"]);
    assert_eq!(scanner.inspect()["Id"], id);
    let reply = module().run().changed();
    assert_eq!(reply.actions(), ["pull_image", "replace"]);
    assert_eq!(reply["container"]["image_id"], image_2);
    module().run().unchanged();

    // Without asking the registry nobody knows.
    engine.docker(&["tag", "old", &image]);
    assert_eq!(scanner.module().arg("image", &*image).arg("pull", "missing").run().changed().actions(), ["replace"]);
}

#[rstest]
fn a_registry_that_wants_a_user_gets_it_from_the_task_or_from_the_host(
    #[values("options", "auths", "helper", "helper of that registry", "helper of another registry")] source: &str,
) {
    let engine = Engine::shared();
    let registry = Registry::with_login(engine);
    registry.push("qualys/qcsa:1", "qcsa:1");
    let (image, scanner) = (registry.image("qcsa:1"), Scanner::new(engine));
    let helpers = helper(engine, registry.address());
    let path = format!("{}:{}", helpers.path().display(), std::env::var("PATH").unwrap());
    let nothing = json!({});
    let (config, options) = match source {
        "options" => (nothing, json!({"registry_username": USER, "registry_password": PASSWORD})),
        "auths" => (registry.login(), json!({})),
        "helper" => (json!({"credsStore": "canary"}), json!({})),
        "helper of that registry" => (json!({"credHelpers": {registry.address(): "canary"}}), json!({})),
        _ => {
            let mut config = registry.login();
            config["credHelpers"] = json!({"example.com": "canary"});
            (config, json!({}))
        }
    };
    let module = || {
        let config = registry.docker_config(&config);
        scanner
            .module()
            .arg("image", &*image)
            .args(options.clone())
            .arg("settle", 0)
            .env("DOCKER_CONFIG", config)
            .env("PATH", &path)
    };
    let replies =
        [module().check().run().changed(), module().run().changed(), module().arg("pull", "always").run().unchanged()];
    assert_eq!(replies[1].actions()[0], "pull_image");
    for reply in replies {
        assert!(!reply.line.contains(PASSWORD), "{}", reply.line);
    }
    engine.docker(&["rm", "--force", &scanner.name]);
    engine.docker(&["rmi", &image]);
}

#[rstest]
#[case::nobody(json!({}), "give registry_username and registry_password")]
#[case::wrong(json!({"registry_username": USER, "registry_password": "canary-wrong-word"}), "the registry wants other credentials")]
fn a_wrong_user_is_said_to_be_the_cause(#[case] options: Value, #[case] cause: &str) {
    let engine = Engine::shared();
    let registry = Registry::with_login(engine);
    let (image, scanner) = (registry.image("qcsa:1"), Scanner::new(engine));
    let config = engine.temp_dir();
    let module = || scanner.module().arg("image", &*image).args(options.clone()).env("DOCKER_CONFIG", config.path());
    for run in [module().check(), module()] {
        let message = run.run().refused("image_not_found");
        assert!(message.contains(cause), "{message}");
        assert!(
            message.contains(&format!(" {}:", registry.address())) && message.ends_with(&format!("`{image}`")),
            "{message}"
        );
    }
    assert!(!scanner.shared_dir().exists() && !scanner.exists());
}

#[test]
fn a_registry_without_the_image_or_none_at_all_is_said_to_be_the_cause() {
    let engine = Engine::shared();
    let registry = Registry::open(engine);
    registry.push("qualys/qcsa:1", "qcsa:1");
    let scanner = Scanner::new(engine);
    let refused = |image: &str, cause: &str| {
        for run in [scanner.module().check(), scanner.module()] {
            let message = run.arg("image", image).run().refused("image_not_found");
            assert!(message.contains(cause) && message.ends_with(&format!("`{image}`")), "{message}");
        }
    };
    refused(&registry.image("qcsa:none"), "the registry has no such image or tag: check the name");
    refused(&registry.image("none:1"), "the registry has no such image or tag: check the name");
    refused(
        "127.0.0.1:1/qcsa:1",
        "the Docker host cannot reach the registry: check its network and proxy, or give image_archive",
    );
    refused(
        "registry.invalid/qcsa:1",
        "the Docker host cannot reach the registry: check its network and proxy, or give image_archive",
    );
    let message = scanner.module().arg("image", "0123456789ab").run().refused("image_not_found");
    assert!(message.contains("an id cannot be pulled"), "{message}");
    assert!(!scanner.shared_dir().exists());
}

#[test]
fn a_user_needs_a_password() {
    let module = Scanner::new(Engine::shared()).module().arg("registry_username", "somebody");
    let message = module.run().refused("invalid_arguments");
    assert_eq!(message, "parameters are required together: registry_username, registry_password");
}

/// An archive of `docker save`.
struct Archive {
    directory: TempDir,
    path: PathBuf,
}

impl Archive {
    fn of(engine: &Engine, images: &[&str]) -> Self {
        let directory = engine.temp_dir();
        let path = directory.path().join("image.tar");
        let mut save = vec!["save", "--output", path.to_str().unwrap()];
        save.extend(images);
        engine.docker(&save);
        Self { directory, path }
    }

    fn compress(&mut self) {
        stdout(Command::new("gzip").arg(&self.path));
        self.path.set_extension("tar.gz");
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// A folder with `docker-credential-canary`, which knows one registry's user.
fn helper(engine: &Engine, registry: &str) -> TempDir {
    let directory = engine.temp_dir();
    let program = directory.path().join("docker-credential-canary");
    let script = format!(
        "#!/bin/sh
        [ \"$1 $(cat)\" = 'get {registry}' ] || {{ echo 'credentials not found in native keychain'; exit 1; }}
        echo '{{\"ServerURL\": \"{registry}\", \"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'
        echo 'a word on stderr' >&2\n"
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}
