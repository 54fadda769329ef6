//! The networks of a scanner that people connected and disconnected, removed and made again.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Ability, Engine, Scanner, foretold, four_tasks};

#[rstest]
#[case::moved("", &["connect lan", "disconnect bridge"], &["lan"])]
#[case::attached_to_nothing("", &["disconnect bridge"], &[])]
#[case::disconnected_from_its_own("--network lan", &["disconnect lan"], &[])]
#[case::in_two("--network lan", &["connect two"], &["lan", "two"])]
#[case::moved_from_its_own("--network lan", &["connect two", "disconnect lan"], &["two"])]
fn a_replacement_attaches_to_what_the_old_one_was_attached_to(
    #[case] made: &str,
    #[case] changes: &[&str],
    #[case] expected: &[&str],
    #[values(true, false)] is_up: bool,
) {
    let lab = Lab::new();
    lab.by_hand(made, changes);
    if !is_up {
        lab.docker("stop -t 0 <scanner>");
    }
    let mode = lab.scanner.inspect()["HostConfig"]["NetworkMode"].clone();
    let state = if is_up { "started" } else { "present" };
    foretold(&lab.scanner, || lab.module(&json!({"image": "qualys/qcsa:2", "state": state}))).changed();
    assert_eq!(lab.attached(), lab.names(expected));
    assert_eq!(lab.scanner.inspect()["HostConfig"]["NetworkMode"], mode);
    // An engine may attach a container when it starts it.
    lab.docker("restart -t 0 <scanner>");
    assert_eq!(lab.attached(), lab.names(expected));
}

#[test]
fn a_network_that_it_was_made_on_and_then_taken_off_may_be_gone() {
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::DockersNetworks) {
        return;
    }
    lab.by_hand("--network lan", &["connect two", "disconnect lan"]);
    lab.docker("network rm lan");
    foretold(&lab.scanner, || lab.module(&json!({"image": "qualys/qcsa:2"}))).changed();
    assert_eq!(lab.attached(), lab.names(&["two"]));
    lab.docker("network disconnect two <scanner>");
    lab.docker("network rm two");
    foretold(&lab.scanner, || lab.module(&json!({"image": "qualys/qcsa:1"}))).changed();
    assert_eq!(lab.attached(), lab.names(&["none"]));
}

#[rstest]
#[case::moved("", &["connect lan", "disconnect bridge"])]
#[case::connected("", &["connect lan"])]
#[case::as_made("--network lan", &[])]
fn a_scanner_on_the_network_of_the_task_stays_as_it_is(#[case] made: &str, #[case] changes: &[&str]) {
    let lab = Lab::new();
    lab.by_hand(made, changes);
    let before = lab.attached();
    lab.module(&json!({"network": lab.name("lan")})).run().unchanged();
    // Also when something else is changed.
    let task = json!({"network": lab.name("lan"), "image": "qualys/qcsa:2"});
    four_tasks(&lab.scanner, || lab.module(&task));
    assert_eq!(lab.attached(), before);
}

#[rstest]
#[case::disconnected_from_it("--network lan", &["disconnect lan"], &["lan"], Value::Null)]
#[case::moved_elsewhere("--network lan", &["connect two", "disconnect lan"], &["lan", "two"], json!("<two>"))]
#[case::attached_to_nothing("", &["disconnect bridge"], &["lan"], Value::Null)]
#[case::on_another("", &[], &["lan"], json!("bridge"))]
fn a_scanner_off_the_network_of_the_task_gets_it(
    #[case] made: &str,
    #[case] changes: &[&str],
    #[case] expected: &[&str],
    #[case] before: Value,
) {
    let lab = Lab::new();
    lab.by_hand(made, changes);
    let reply = four_tasks(&lab.scanner, || lab.module(&json!({"network": lab.name("lan")})));
    let is_told = expected.len() == 1 || lab.scanner.engine.has(Ability::TellsFirstNetwork);
    // Else it leaves the one that it is on.
    let expected = if is_told { expected } else { &["lan"] };
    let before = before.as_str().map(|text| text.replace("<two>", &lab.name("two")));
    let expected_difference =
        json!([{"field": "network", "before": before, "after": lab.name("lan"), "way": "replace"}]);
    assert_eq!(reply["differences"], expected_difference);
    assert_eq!(lab.attached(), lab.names(expected));
}

#[rstest]
fn one_without_any_networking_gets_none_unless_the_task_says_so(#[values(true, false)] wanted: bool) {
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::DockersNetworks) {
        return;
    }
    let body = json!({"NetworkDisabled": true, "Image": "qualys/qcsa:1", "Env": lab.env(), "HostConfig": {"Binds": lab.binds()}});
    lab.create(&body);
    lab.scanner.run_state().run().changed();
    let task = if wanted { json!({"network": lab.name("lan")}) } else { json!({"image": "qualys/qcsa:2"}) };
    four_tasks(&lab.scanner, || lab.module(&task));
    assert_eq!(lab.scanner.inspect()["Config"]["NetworkDisabled"].as_bool().unwrap_or_default(), !wanted);
    assert_eq!(lab.attached(), lab.names(if wanted { &["lan"] } else { &[] }));
}

#[rstest]
#[case::on_the_default_network(json!("default"))]
#[case::on_its_own(json!("<lan>"))]
fn a_mac_address_that_somebody_set_goes_along_but_to_another_network(#[case] mode: Value) {
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::DockersNetworks) {
        return;
    }
    let mode = mode.as_str().unwrap().replace("<lan>", &lab.name("lan"));
    let host_config = json!({"Binds": lab.binds(), "NetworkMode": mode, "KernelMemory": 64 << 20});
    lab.create(&json!({"MacAddress": "02:42:ac:11:77:99", "Image": "qualys/qcsa:1", "Env": lab.env(), "HostConfig": host_config}));
    lab.scanner.run_state().run().changed();
    let facts = || {
        let inspect = lab.scanner.inspect();
        let endpoint = inspect["NetworkSettings"]["Networks"].as_object().unwrap().values().next().unwrap();
        json!([inspect["Config"]["MacAddress"], endpoint["MacAddress"], inspect["HostConfig"]["KernelMemory"]])
    };
    let before = facts();
    assert_eq!((&before[0], &before[1]), (&json!("02:42:ac:11:77:99"), &json!("02:42:ac:11:77:99")));
    // Newer engines know no such limit.
    assert!(before[2] == 64 << 20 || before[2].as_u64().unwrap_or_default() == 0, "{before}");
    foretold(&lab.scanner, || lab.module(&json!({"image": "qualys/qcsa:2"}))).changed();
    assert_eq!(facts(), before);
    foretold(&lab.scanner, || lab.module(&json!({"network": lab.name("two")}))).changed();
    assert_ne!(facts()[1], before[1]);
}

#[rstest]
fn one_that_was_removed_and_made_again_is_known_by_its_name(
    #[values("--network <lan>", "--network <lan-id> --network-alias extra", "")] made: &str,
    #[values("start", "replacement", "recreate")] task: &str,
) {
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::DockersNetworks) {
        return;
    }
    lab.by_hand(made, if made.is_empty() { &["connect --alias extra lan"] } else { &[] });
    let before = lab.attached();
    let aliases = lab.aliases();
    lab.docker("stop -t 0 <scanner>");
    lab.docker("network rm lan");
    lab.docker("network create lan");
    let reply = match task {
        "start" => {
            let reply = foretold(&lab.scanner, || lab.scanner.run_state());
            if reply.failed() && made.contains("<lan-id>") {
                // Newer engines know it by its id alone.
                let message = reply.refused("start_failed");
                assert!(message.contains("could not find a network matching network mode"), "{message}");
                return;
            }
            reply.changed()
        }
        "replacement" => foretold(&lab.scanner, || lab.module(&json!({"image": "qualys/qcsa:2"}))).changed(),
        _ => foretold(&lab.scanner, || lab.module(&json!({"recreate": "always"}))).changed(),
    };
    assert_eq!(reply.actions(), [if task == "start" { "start" } else { "replace" }]);
    assert_eq!(lab.attached(), before);
    assert_eq!(lab.aliases(), aliases);
    let id = lab.scanner.engine.docker(&["network", "inspect", "--format", "{{.Id}}", &lab.name("lan")]);
    assert_eq!(lab.scanner.inspect()["NetworkSettings"]["Networks"][lab.name("lan")]["NetworkID"], id);
}

#[rstest]
#[case::create_it("network create lan", true)]
#[case::disconnect("network disconnect --force lan <scanner>", false)]
fn one_that_is_gone_is_refused_with_a_cure_that_works(
    #[case] cure: &str,
    #[case] is_back: bool,
    #[values("start", "replacement")] task: &str,
    #[values("--network <lan>", "")] made: &str,
) {
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::DockersNetworks) {
        return;
    }
    lab.by_hand(made, if made.is_empty() { &["connect lan"] } else { &[] });
    lab.docker("stop -t 0 <scanner>");
    lab.docker("network rm lan");
    let module = || match task {
        "start" => lab.scanner.run_state(),
        _ => lab.module(&json!({"image": "qualys/qcsa:2"})),
    };
    let message = foretold(&lab.scanner, module).refused("unsupported");
    assert!(message.ends_with(&format!("`{}`", lab.name("lan"))), "{message}");
    assert!(message.contains(&lab.filled(cure)), "{message}");
    lab.docker(cure);
    foretold(&lab.scanner, module).changed();
    assert_eq!(lab.attached().contains(&lab.name("lan")), is_back);
}

#[rstest]
#[case::host_beside_a_network("", &["connect lan"], "host", "network disconnect lan <scanner>")]
#[case::none_beside_a_network("", &["connect lan"], "none", "network disconnect lan <scanner>")]
#[case::host_beside_a_link("--link <other>:other", &[], "host", "rm --link <scanner>/other")]
fn what_the_network_of_the_task_does_not_allow_beside_it_is_refused(
    #[case] made: &str,
    #[case] changes: &[&str],
    #[case] network: &str,
    #[case] cure: &str,
) {
    let lab = Lab::new();
    if (made.contains("--link") && lab.scanner.engine.lacks(Ability::DockersNetworks))
        || (network == "host" && lab.scanner.engine.lacks(Ability::HostsNamespaces))
    {
        return;
    }
    lab.by_hand(made, changes);
    let module = || lab.module(&json!({"network": network}));
    let message = foretold(&lab.scanner, module).refused("unsupported");
    assert!(message.contains(lab.filled(cure).trim_end_matches("/other")), "{message}");
    lab.docker(cure);
    four_tasks(&lab.scanner, module);
    assert_eq!(lab.scanner.inspect()["HostConfig"]["NetworkMode"], network);
    // An older Podman shows none for these.
    let is_unshown = lab.scanner.engine.is_podman() && lab.attached().is_empty();
    assert!(is_unshown || lab.attached() == lab.names(&[network]), "{:?}", lab.attached());
}

#[test]
fn the_hosts_network_and_its_name_go_along_together() {
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::HostsNamespaces) {
        return;
    }
    lab.by_hand("--network host --uts host", &[]);
    foretold(&lab.scanner, || lab.module(&json!({"image": "qualys/qcsa:2"}))).changed();
    assert_eq!(lab.scanner.inspect()["HostConfig"]["UTSMode"], "host");
    foretold(&lab.scanner, || lab.module(&json!({"network": lab.name("lan")}))).changed();
    assert_eq!(lab.scanner.inspect()["HostConfig"]["UTSMode"], "host");
}

#[rstest]
#[case::to_another("--link <other>:alias", "<lan>", json!([null, ["<other>:alias"]]))]
#[case::and_back("--network <lan> --link <other>:alias", "bridge", json!([["/<other>:/<scanner>/alias"], null]))]
#[case::from_one_to_another("--network <lan> --link <other>:alias", "<two>", json!([null, ["<other>:alias"]]))]
fn a_link_goes_along_to_another_network(#[case] made: &str, #[case] network: &str, #[case] expected: Value) {
    let lab = Lab::new();
    if lab.scanner.engine.lacks(Ability::DockersNetworks) {
        return;
    }
    lab.by_hand(made, &[]);
    foretold(&lab.scanner, || lab.module(&json!({"network": lab.filled(network)}))).changed();
    let inspect = lab.scanner.inspect();
    let endpoint = inspect["NetworkSettings"]["Networks"].as_object().unwrap().values().next().unwrap();
    let links = json!([inspect["HostConfig"]["Links"], endpoint["Links"]]);
    assert_eq!(links.to_string(), lab.filled(&expected.to_string()));
}

/// A scanner, two networks `lan` and `two` and a container `other` that runs, under names of this test alone.
struct Lab {
    scanner: Scanner<'static>,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { scanner: Scanner::new(Engine::bridged()) };
        lab.docker("network create lan");
        lab.docker("network create two");
        lab.docker("run -d --stop-timeout 0 --name <other> --entrypoint sleep qualys/qcsa:1 9999");
        lab
    }

    fn name(&self, network: &str) -> String {
        format!("{network}-{}", self.scanner.name)
    }

    /// The networks called so, which the engine may have made by itself.
    fn names(&self, networks: &[&str]) -> BTreeSet<String> {
        let is_ours = |network: &str| ["lan", "two"].contains(&network);
        networks.iter().map(|it| if is_ours(it) { self.name(it) } else { self.of_engine(it) }).collect()
    }

    /// What the engine itself calls its default network.
    fn of_engine(&self, network: &str) -> String {
        if network == "bridge" && self.scanner.engine.is_podman() { "podman" } else { network }.to_owned()
    }

    fn filled(&self, text: &str) -> String {
        let name = &self.scanner.name;
        let words = text.replace("<scanner>", name).replace("<other>", &format!("{name}-other"));
        let words = words.replace("<lan>", &self.name("lan")).replace("<two>", &self.name("two"));
        let words =
            words.split(' ').map(|word| if ["lan", "two"].contains(&word) { self.name(word) } else { word.to_owned() });
        words.collect::<Vec<_>>().join(" ")
    }

    fn docker(&self, command: &str) {
        let command = self.filled(command);
        self.scanner.engine.docker(&command.split(' ').collect::<Vec<_>>());
    }

    fn by_hand(&self, made: &str, changes: &[&str]) {
        let format = "{{.Id}}";
        let id = || self.scanner.engine.docker(&["network", "inspect", "--format", format, &self.name("lan")]);
        let made = if made.contains("<lan-id>") { made.replace("<lan-id>", &id()) } else { made.to_owned() };
        self.scanner.by_hand(&[&self.filled(&made)]);
        for change in changes {
            let (verb, network) = change.split_once(' ').unwrap();
            self.docker(&format!("network {verb} {} <scanner>", self.of_engine(network)));
        }
    }

    fn module(&self, options: &Value) -> crate::support::Module {
        self.scanner.module().args(options.clone())
    }

    fn attached(&self) -> BTreeSet<String> {
        let inspect = self.scanner.inspect();
        let mut networks: BTreeSet<_> =
            inspect["NetworkSettings"]["Networks"].as_object().unwrap().keys().cloned().collect();
        if self.scanner.engine.is_podman() {
            // What it shows of one that is down and has none.
            networks.remove("bridge");
        }
        networks
    }

    fn aliases(&self) -> BTreeSet<String> {
        let inspect = self.scanner.inspect();
        let endpoint = &inspect["NetworkSettings"]["Networks"][self.name("lan")];
        let aliases = endpoint["Aliases"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned());
        aliases.filter(|it| !inspect["Id"].as_str().unwrap().starts_with(it)).collect()
    }

    fn env(&self) -> Vec<String> {
        vec![
            format!("PERSONALIZATION_CODE={}", self.scanner.code),
            "QUALYS_URL=https://qualysguard.qualys.com".to_owned(),
        ]
    }

    fn binds(&self) -> Vec<String> {
        let (shared, store) = (self.scanner.shared_dir(), self.scanner.store());
        vec![
            format!("{}:/usr/local/qualys:z", shared.display()),
            format!("{}:/usr/local/qualys/admin/etc:z", store.display()),
        ]
    }

    /// Creates the scanner by the engine's API, which has fields for which the docker command has no option.
    fn create(&self, body: &Value) {
        self.scanner.make_directories();
        self.scanner.engine.post(&format!("/containers/create?name={}", self.scanner.name), body);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let engine = self.scanner.engine;
        let other = self.filled("<other>");
        engine.try_docker(&["rm", "-f", &self.scanner.name, &other]);
        engine.try_docker(&["network", "rm", &self.name("lan"), &self.name("two")]);
    }
}
