use rstest::rstest;
use serde_json::{Value, json};

use super::super::fixtures::{self, container};
use super::*;
use crate::scanner::values::limits::Cpus;

/// What is seen of the fixture `name` after `change`.
fn observed(name: &str, change: impl Fn(&mut Value)) -> Observed {
    let mut json = fixtures::json(name);
    change(&mut json);
    container(json).observe(None)
}

#[test]
fn the_vendors_limited_sample_as_docker_reports_it() {
    let seen = observed("limited", |_| {});
    assert_eq!((seen.name.as_str(), seen.image.as_str(), seen.status), ("limited", "qualys/qcsa:1", Status::Running));
    assert_eq!(seen.image_id, fixtures::json("image")["Id"]);
    assert_eq!(
        seen.limits,
        ActualLimits {
            memory: Some(1 << 30),
            memory_swap: Some(MemorySwap::Bytes(2 << 30)),
            cpus: Some(Cpus::from_nano(1_000_000_000)),
            ..ActualLimits::default()
        }
    );
    assert!(seen.mount(mount::SHARED).unwrap().serves("/usr/qualys/shared", true));
    assert!(seen.mount(mount::PRIVATE).unwrap().serves("/usr/qualys/private/21808056913298", true));
    assert_eq!(
        (seen.network.made_on.as_str(), seen.restart_policy, seen.privileged),
        ("bridge", RestartPolicy::No, false)
    );
    assert_eq!((seen.auto_remove, seen.stop_timeout, seen.replaces, seen.podman), (false, None, None, false));
    assert_eq!(seen.env.value(environment::CODE), Some("21808056913298"));
}

#[test]
fn a_rich_scanner_as_docker_reports_it() {
    let seen = observed("rich", |_| {});
    assert_eq!((seen.restart_policy, seen.stop_timeout), (RestartPolicy::OnFailure(3), Some(33)));
    assert_eq!(seen.network.made_on, "back");
    assert_eq!(
        seen.limits,
        ActualLimits {
            memory: Some(512 << 20),
            memory_swap: Some(MemorySwap::Unlimited),
            cpus: Some(Cpus::from_nano(1_500_000_000)),
            cpu_period: Some(100_000),
            ..ActualLimits::default()
        }
    );
    let (shared, private) = (seen.mount(mount::SHARED).unwrap(), seen.mount(mount::PRIVATE).unwrap());
    assert!(!shared.relabel && private.relabel && shared.read_write && !seen.mount(mount::CA).unwrap().read_write);
    assert_eq!(seen.mounts.len(), 8);
}

#[test]
fn whatever_is_secret_in_a_container_is_known_from_then_on() {
    observed("rich", |_| {});
    for text in ["21808056913299", "u:proxy-password@proxy:3128", "proxy-password", "my-value"] {
        assert!(secret::is_known(text), "{text}");
    }
}

#[rstest]
#[case::created(json!({"Status": "created"}), Status::Created)]
#[case::running(json!({"Status": "running", "Running": true}), Status::Running)]
#[case::paused(json!({"Status": "paused", "Running": true, "Paused": true}), Status::Paused)]
#[case::restarting(json!({"Status": "restarting", "Running": true, "Restarting": true}), Status::Restarting)]
#[case::both(json!({"Status": "running", "Running": true, "Restarting": true}), Status::Restarting)]
#[case::removing(json!({"Status": "removing"}), Status::Removing)]
#[case::exited(json!({"Status": "exited", "ExitCode": 1}), Status::Exited)]
#[case::dead(json!({"Status": "dead", "Dead": true}), Status::Dead)]
#[case::stopping(json!({"Status": "stopping"}), Status::Running)]
#[case::unsaid(json!({}), Status::Created)]
#[case::ended_on_podman(json!({"Status": "stopped"}), Status::Exited)]
#[case::made_on_podman(json!({"Status": "initialized"}), Status::Created)]
#[case::configured_on_podman(json!({"Status": "configured"}), Status::Created)]
#[case::unknown_to_podman(json!({"Status": "unknown"}), Status::Exited)]
#[case::new_word(json!({"Status": "checkpointed", "Running": true}), Status::Running)]
#[case::new_word_for_paused(json!({"Status": "frozen", "Running": true, "Paused": true}), Status::Paused)]
fn each_status(#[case] state: Value, #[case] expected: Status) {
    assert_eq!(observed("limited", |json| json["State"] = state.clone()).status, expected);
}

#[rstest]
#[case::docker("2026-11-22T16:43:27.326674675Z", Some("2026-11-22T16:43:27.326674675Z"))]
#[case::whole_seconds("2026-11-22T16:43:27Z", Some("2026-11-22T16:43:27Z"))]
#[case::podman("2026-11-22T17:43:27.5+01:00", Some("2026-11-22T16:43:27.5Z"))]
#[case::never_ran("0001-01-01T00:00:00Z", None)]
#[case::nonsense("2026-13-01T00:00:00Z", None)]
#[case::far_too_late("9999-12-31T18446744073709551615:59:59Z", None)]
#[case::far_offset("2026-01-01T00:00:00+999999999999999999:00", None)]
#[case::nothing("", None)]
fn each_time(#[case] text: &str, #[case] expected: Option<&str>) {
    let state = json!({"Status": "running", "StartedAt": text, "FinishedAt": text});
    let seen = observed("limited", |json| json["State"] = state.clone());
    for seen in [seen.started_at, seen.finished_at] {
        assert_eq!(seen.map(|time| time.to_string()).as_deref(), expected);
    }
}

#[rstest]
#[case::unlimited(json!({"Memory": 0, "MemorySwap": 0, "NanoCpus": 0}), ActualLimits::default())]
#[case::swap_without_memory(json!({"Memory": 0, "MemorySwap": -1}), ActualLimits::default())]
#[case::swap_unsaid(json!({"Memory": 6_291_456}),
    ActualLimits { memory: Some(6 << 20), memory_swap: Some(MemorySwap::Bytes(12 << 20)), ..ActualLimits::default() })]
#[case::quota_without_period(json!({"CpuQuota": 50_000}), ActualLimits {
    cpus: Some(Cpus::from_nano(500_000_000)), cpu_period: Some(100_000), ..ActualLimits::default()
})]
#[case::quota_taken_away(json!({"CpuQuota": -1, "CpuPeriod": 100_000}), ActualLimits {
    cpu_period: Some(100_000), ..ActualLimits::default()
})]
#[case::cpus_beside_no_quota(json!({"NanoCpus": 1_000_000_000, "CpuQuota": -1}), ActualLimits {
    cpus: Some(Cpus::from_nano(1_000_000_000)), cpus_lapse: true, ..ActualLimits::default()
})]
#[case::reservation(json!({"MemoryReservation": 16_777_216}), ActualLimits {
    memory_reservation: Some(16 << 20), ..ActualLimits::default()
})]
#[case::podman_fills_both(json!({"NanoCpus": 1_500_000_000, "CpuQuota": 150_000, "CpuPeriod": 100_000}), ActualLimits {
    cpus: Some(Cpus::from_nano(1_500_000_000)), ..ActualLimits::default()
})]
#[case::nonsense(json!({"Memory": -5, "NanoCpus": -1, "CpuQuota": -7, "CpuPeriod": -1}), ActualLimits {
    cpu_period: Some(100_000), ..ActualLimits::default()
})]
fn each_form_of_limits(#[case] host_config: Value, #[case] expected: ActualLimits) {
    assert_eq!(observed("limited", |json| json["HostConfig"] = host_config.clone()).limits, expected);
}

#[rstest]
#[case(json!({"Name": "no"}), RestartPolicy::No)]
#[case(json!({"Name": "", "MaximumRetryCount": 0}), RestartPolicy::No)]
#[case(json!({"Name": "always"}), RestartPolicy::Always)]
#[case(json!({"Name": "unless-stopped"}), RestartPolicy::UnlessStopped)]
#[case(json!({"Name": "on-failure", "MaximumRetryCount": 0}), RestartPolicy::OnFailure(0))]
#[case(json!({"Name": "on-failure", "MaximumRetryCount": 5}), RestartPolicy::OnFailure(5))]
#[case(json!({"Name": "whatever"}), RestartPolicy::No)]
#[case(json!(null), RestartPolicy::No)]
fn each_restart_policy(#[case] policy: Value, #[case] expected: RestartPolicy) {
    let seen = observed("limited", |json| json["HostConfig"]["RestartPolicy"] = policy.clone()).restart_policy;
    assert_eq!(seen, expected);
    // What is sent is read back as the same.
    let sent = serde_json::from_value(json!(to_api_policy(seen))).unwrap();
    assert_eq!(restart_policy(&sent), seen);
}

#[rstest]
#[case::default("default", "bridge")]
#[case::newer_engines("bridge", "bridge")]
#[case::unsaid("", "bridge")]
#[case::host("host", "host")]
#[case::by_name("back", "back")]
#[case::by_id("ff943c4e9c7d577f5969df743af9d6a4ff0cd365a91237a5d41b784adec9899d", "back")]
fn the_network_by_name(#[case] mode: &str, #[case] expected: &str) {
    assert_eq!(observed("rich", |json| json["HostConfig"]["NetworkMode"] = json!(mode)).network.made_on, expected);
}

#[test]
fn podman_says_bridge_for_every_network_of_this_kind() {
    let on = |networks: Value| {
        let mut json = fixtures::json("limited");
        json["HostConfig"]["NetworkMode"] = json!("bridge");
        json["NetworkSettings"]["Networks"] = networks;
        Container { podman: true, ..container(json) }.observe(None).network.made_on
    };
    assert_eq!(on(json!({"podman": {}})), "bridge");
    assert_eq!(on(json!({"v6": {}})), "v6");
    assert_eq!(on(json!({"podman": {}, "v6": {}})), "bridge");
    assert_eq!(on(json!(null)), "bridge");
}

#[test]
fn what_podman_shows_of_one_that_is_down_and_on_no_network_is_none() {
    let attached = |podman| {
        let mut json = fixtures::json("limited");
        json["NetworkSettings"]["Networks"] = json!({"bridge": {"NetworkID": "bridge"}});
        Container { podman, ..container(json) }.observe(None).network.networks.len()
    };
    assert_eq!((attached(true), attached(false)), (0, 1));
}

/// `podman run` with the vendor's limited sample, in what differs from Docker's answer.
#[test]
fn the_vendors_limited_sample_as_podman_reports_it() {
    let mut json = fixtures::json("limited");
    let image_id = json["Image"].as_str().unwrap().strip_prefix("sha256:").unwrap().to_owned();
    json["Image"] = json!(image_id);
    json["HostConfig"]["Binds"] = json!([
        "/usr/qualys/shared:/usr/local/qualys:rw,rprivate,rbind",
        "/usr/qualys/private/21808056913298:/usr/local/qualys/admin/etc:rw,rprivate,rbind",
    ]);
    for mount in json["Mounts"].as_array_mut().unwrap() {
        mount["Mode"] = json!("");
    }
    json["HostConfig"]["CpuQuota"] = json!(100_000);
    json["HostConfig"]["CpuPeriod"] = json!(100_000);
    json["HostConfig"]["MemorySwappiness"] = json!(-1);
    json["HostConfig"]["NetworkMode"] = json!("bridge");
    json["Config"]["Env"]
        .as_array_mut()
        .unwrap()
        .extend(["container=podman", "TERM=xterm", "HOSTNAME=0123456789ab", "HOME=/root"].map(|entry| json!(entry)));
    let env = Environment::from_entries(&fixtures::image_env("image"));
    let brought = Brought { env, ..Brought::default() };
    let seen = Container { podman: true, ..container(json) }.observe(Some(brought.clone()));
    let options = json!({
        "personalization_code": "21808056913298", "memory": "1024M", "memory_swap": "2048M", "cpus": 1,
    });
    let desired = crate::testing::request(&options).unwrap().desired.unwrap();
    let wanted = crate::scanner::values::image::WantedImage::Local { id: format!("sha256:{image_id}"), brought };
    let labelling = crate::scanner::engine_traits::EngineTraits { labels_enforced: true, ..Default::default() };
    for field in crate::scanner::compare::compare(&desired, &seen, &wanted, labelling) {
        assert_eq!(field.verdict, crate::scanner::compare::Verdict::Same, "{field:?}");
    }
}

#[test]
fn the_note_of_a_replacement_is_read_back() {
    let note = |labels: Value| observed("limited", |json| json["Config"]["Labels"] = labels.clone()).replaces;
    assert_eq!(
        note(json!({(REPLACES): "old", (WAS_UP): "true", (RESTART_POLICY): "on-failure:3"})),
        Some(Note { id: "old".to_owned(), was_up: true, restart_policy: RestartPolicy::OnFailure(3) })
    );
    // Whatever was done to the labels by hand: no note, or the careful reading of it.
    assert_eq!(note(json!({(WAS_UP): "true"})), None);
    assert_eq!(
        note(json!({(REPLACES): "old", (RESTART_POLICY): "often"})),
        Some(Note { id: "old".to_owned(), was_up: false, restart_policy: RestartPolicy::No })
    );
}

#[test]
fn an_answer_with_next_to_nothing_in_it_is_still_a_container() {
    let seen = container(json!({"Id": "1", "Name": "/ab"})).observe(None);
    assert_eq!((seen.name.as_str(), seen.status, seen.network.made_on.as_str()), ("ab", Status::Created, "bridge"));
    assert!(!seen.is_scanner());
}

#[test]
fn what_podman_puts_into_every_environment_is_no_secret() {
    let env = ["container=podman", "TERM=xterm", "HOME=/root", "TOKEN=canary-1"];
    let seen = Container { podman: true, ..container(json!({"Config": {"Env": env}})) }.observe(None);
    assert_eq!(seen.env.value("container"), Some("podman"));
    assert!(secret::is_known("canary-1"));
    assert!(!["podman", "xterm", "/root"].into_iter().any(secret::is_known));
}
