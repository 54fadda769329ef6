use rstest::rstest;
use serde_json::json;

use super::super::example::{by_hand, newer_image, same_image};
use super::super::values::restart_policy::RestartPolicy;
use super::*;
use crate::scanner::engine_traits::SwapLimits;
use crate::testing::{option_names, request};

const GIB: u64 = 1 << 30;

/// Options that are compared elsewhere (`name`, `private_dir_mode`), or say what to do and not what the scanner is.
pub(crate) const ELSEWHERE: &[&str] = &[
    "name",
    "private_dir_mode",
    "overcommit",
    "pull",
    "image_archive",
    "registry_username",
    "registry_password",
    "state",
    "recreate",
    "restart",
    "purge",
    "settle",
    "stop_timeout",
    "docker_host",
    "timeout",
    "scanners",
];

/// The differences as text, one a line.
fn differences(options: &Value, observed: &Observed, image: &WantedImage, engine: EngineTraits) -> String {
    let desired = request(options).unwrap().desired.unwrap();
    let line = |field: &Comparison| match field.verdict {
        Verdict::Same => None,
        Verdict::Differs(way) => {
            let way = if way == Way::Replace { "Replace" } else { "Update" };
            Some(format!("{}: {} -> {} by {way}", field.field, field.before, field.after))
        }
    };
    compare(&desired, observed, image, engine).iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

fn usual(options: &Value, observed: &Observed) -> String {
    differences(options, observed, &same_image(), EngineTraits::default())
}

/// The vendor's limited sample.
fn limited() -> Value {
    json!({"memory": "1024M", "memory_swap": "2048M", "cpus": 1})
}

#[rstest]
#[case::the_vendors_command(json!({}), by_hand())]
#[case::limited(limited(), by_hand().limited(GIB, 2 << 30, 1_000_000_000))]
#[case::swap_as_the_engine_chooses(json!({"memory": "1g"}), by_hand().limited(GIB, 2 << 30, 0))]
#[case::unlimited_swap(json!({"memory": "1g", "memory_swap": -1}), by_hand().limited(GIB, -1, 0))]
#[case::zero_is_unset(json!({"memory": 0, "memory_swap": "0", "cpus": 0}), by_hand())]
#[case::quota(json!({"cpus": 1.5}), by_hand().quota(150_000, 100_000))]
#[case::quota_of_another_period(json!({"cpus": "0.5"}), by_hand().quota(25_000, 50_000))]
#[case::quota_as_near_as_microseconds_get(json!({"cpus": 0.333_333_333}), by_hand().quota(33_333, 100_000))]
#[case::period_alone(json!({}), by_hand().quota(0, 50_000))]
#[case::quota_that_says_no_limit(json!({}), by_hand().quota(-1, 0))]
#[case::image_variable_taken_away(json!({}), by_hand().without_env("VERSION"))]
#[case::image_variable_emptied(json!({"env": {"VERSION": ""}}), by_hand().with_env("VERSION", ""))]
#[case::url_by_name(json!({"qualys_url": "us2"}), by_hand().with_env("QUALYS_URL", "https://QUALYSGUARD.qg2.apps.qualys.com/"))]
#[case::image_by_another_name(json!({"image": "6715167e4412"}), by_hand().with_image("qualys/qcsa:latest", "sha256:1111"))]
#[case::flags_of_mounts(json!({}), by_hand().with_mount("/usr/qualys/shared/", "/usr/local/qualys/", "rw,Z"))]
#[case::mount_without_z(json!({}), by_hand().with_mount("/usr/qualys/shared", "/usr/local/qualys", ""))]
#[case::further_mount(json!({}), by_hand().with_mount("/srv/log", "/var/log", ""))]
#[case::every_parameter(
    json!({"https_proxy": "u:p@proxy:1", "polling_interval": 30, "update_interval": 30, "refresh_interval": 10,
           "ca_dir": "/root/cert/", "network": "v6", "env": {"A": "", "VERSION": "9"}, "restart_policy": "on-failure:3",
           "privileged": true, "labels": {"a": "1"}}),
    by_hand().with_env("HTTPS_PROXY", "u:p@proxy:1").with_env("SCAND_POLL_INTERVAL_SEC", "30")
        .with_env("UPDATE_INTERVAL_MIN", "30").with_env("REFRESH_INTERVAL_MIN", "10").with_env("A", "")
        .with_env("VERSION", "9").with_mount("/root/cert", "/usr/local/bin", "z").with_network("v6")
        .with_policy(RestartPolicy::OnFailure(3)).privileged().with_label("a", "1").with_label("b", "2"),
)]
#[case::what_is_left_out_is_kept(
    json!({}),
    by_hand().with_network("v6").with_policy(RestartPolicy::Always).privileged().with_label("a", "1"),
)]
#[case::default_network(json!({"network": "default"}), by_hand())]
#[case::bridge(json!({"network": "bridge"}), by_hand())]
#[case::false_is_not_privileged(json!({"privileged": false}), by_hand())]
#[case::podman(json!({}), by_hand().on_podman())]
#[case::podman_limited(limited(), by_hand().limited(GIB, 2 << 30, 1_000_000_000).on_podman())]
#[case::podman_where_its_variable_is_wanted(json!({"env": {"TERM": "dumb"}}), by_hand().on_podman().with_env("TERM", "dumb"))]
fn means_the_same(#[case] options: Value, #[case] observed: Observed) {
    assert_eq!(usual(&options, &observed), "");
}

#[rstest]
#[case::code(json!({}), by_hand().with_env("PERSONALIZATION_CODE", "code-4712"),
    r#"personalization_code: "********" -> "********" by Replace"#)]
#[case::no_code(json!({}), by_hand().without_env("PERSONALIZATION_CODE"),
    r#"personalization_code: null -> "********" by Replace"#)]
#[case::url(json!({}), by_hand().with_env("QUALYS_URL", "https://else.where"),
    r#"qualys_url: "https://else.where" -> "https://qualysguard.qualys.com" by Replace"#)]
#[case::no_url(json!({}), by_hand().without_env("QUALYS_URL"),
    r#"qualys_url: null -> "https://qualysguard.qualys.com" by Replace"#)]
#[case::shared_dir(json!({"shared_dir": "/srv/shared"}), by_hand(),
    r#"shared_dir: "/usr/qualys/shared" -> "/srv/shared" by Replace"#)]
#[case::no_shared_dir(json!({}), by_hand().without_mount(mount::SHARED),
    r#"shared_dir: null -> "/usr/qualys/shared" by Replace"#)]
#[case::private_dir(json!({"private_dir": "/srv/private"}), by_hand(),
    r#"private_dir: "/usr/qualys/private/code-4711" -> "/srv/private/code-4711" by Replace"#)]
#[case::read_only(json!({}), by_hand().with_mount("/usr/qualys/private/code-4711", mount::PRIVATE, "ro,z"),
    r#"private_dir: "/usr/qualys/private/code-4711 (read-only)" -> "/usr/qualys/private/code-4711" by Replace"#)]
#[case::new_ca_dir(json!({"ca_dir": "/root/cert"}), by_hand(), r#"ca_dir: null -> "/root/cert" by Replace"#)]
#[case::no_ca_dir_any_more(json!({}), by_hand().with_mount("/root/cert", mount::CA, "z"),
    r#"ca_dir: "/root/cert" -> null by Replace"#)]
#[case::new_limits(
    limited(),
    by_hand(),
    "memory: null -> 1073741824 by Update\nmemory_swap: null -> 2147483648 by Update\ncpus: null -> 1.0 by Update"
)]
#[case::less_memory(json!({"memory": "512m", "memory_swap": "2g"}), by_hand().limited(GIB, 2 << 30, 0),
    "memory: 1073741824 -> 536870912 by Update")]
#[case::swap(json!({"memory": "1g", "memory_swap": "unlimited"}), by_hand().limited(GIB, 2 << 30, 0),
    r#"memory_swap: 2147483648 -> "unlimited" by Update"#)]
#[case::swap_left_to_the_engine(json!({"memory": "1g"}), by_hand().limited(GIB, -1, 0),
    r#"memory_swap: "unlimited" -> 2147483648 by Update"#)]
#[case::cpus(json!({"cpus": "1.5"}), by_hand().limited(0, 0, 1_000_000_000), "cpus: 1.0 -> 1.5 by Update")]
#[case::quota(json!({"cpus": "1.5"}), by_hand().quota(50_000, 100_000), "cpus: 0.5 -> 1.5 by Update")]
#[case::period_alone(json!({"cpus": 1}), by_hand().quota(0, 50_000), "cpus: null -> 1.0 by Update")]
#[case::quota_that_says_no_limit(json!({"cpus": 1}), by_hand().quota(-1, 0), "cpus: null -> 1.0 by Update")]
#[case::quota_too_tiny_for_an_engine(json!({"cpus": 0.01}), by_hand().quota(1_000, 1_000), "cpus: 1.0 -> 0.01 by Replace")]
#[case::cpus_that_a_restart_takes_away(json!({"cpus": 1}), by_hand().given_cpus(1_000_000_000, -1, 0),
    r#"cpus: "1 (not enforced, or only until the next start)" -> 1.0 by Replace"#)]
#[case::limits_taken_away(json!({}), by_hand().limited(GIB, 2 << 30, 1_000_000_000),
    "memory: 1073741824 -> null by Replace\nmemory_swap: 2147483648 -> null by Replace\ncpus: 1.0 -> null by Replace")]
#[case::cpus_taken_away(json!({"memory": "2g"}), by_hand().limited(GIB, 2 << 30, 1_000_000_000),
    "memory: 1073741824 -> 2147483648 by Update\nmemory_swap: 2147483648 -> 4294967296 by Update\n\
     cpus: 1.0 -> null by Replace")]
#[case::new_proxy(json!({"https_proxy": "proxy:1"}), by_hand(), r#"https_proxy: null -> "********" by Replace"#)]
#[case::no_proxy_any_more(json!({}), by_hand().with_env("HTTPS_PROXY", "u:p@proxy:1"),
    r#"https_proxy: "********" -> null by Replace"#)]
#[case::intervals(json!({"polling_interval": 31, "update_interval": 31}),
    by_hand().with_env("SCAND_POLL_INTERVAL_SEC", "30").with_env("REFRESH_INTERVAL_MIN", "10"),
    "polling_interval: \"30\" -> \"31\" by Replace\nupdate_interval: null -> \"31\" by Replace\n\
     refresh_interval: \"10\" -> null by Replace")]
#[case::env(json!({"env": {"SAME": "1", "CHANGED": "2", "NEW": "3"}}),
    by_hand().with_env("SAME", "1").with_env("CHANGED", "1").with_env("OLD", "1"),
    r#"env: {"CHANGED":"********","OLD":"********"} -> {"CHANGED":"********","NEW":"********"} by Replace"#)]
#[case::a_variable_of_the_image_is_emptied(json!({}), by_hand().with_env("VERSION", ""),
    r#"env: {"VERSION":"********"} -> {"VERSION":"********"} by Replace"#)]
#[case::one_that_was_taken_away_is_wanted(json!({"env": {"VERSION": "1"}}), by_hand().without_env("VERSION"),
    r#"env: {} -> {"VERSION":"********"} by Replace"#)]
#[case::a_variable_of_the_image_is_changed(json!({}), by_hand().with_env("VERSION", "9"),
    r#"env: {"VERSION":"********"} -> {"VERSION":"********"} by Replace"#)]
#[case::podmans_variables_on_docker(json!({}), by_hand().with_env("TERM", "xterm"),
    r#"env: {"TERM":"********"} -> {} by Replace"#)]
#[case::podman_where_its_variable_is_another(json!({"env": {"TERM": "dumb"}}), by_hand().on_podman(),
    r#"env: {"TERM":"********"} -> {"TERM":"********"} by Replace"#)]
#[case::podman_cannot_update(json!({"memory": "1g", "cpus": 1, "restart_policy": "always"}),
    by_hand().limited(GIB, 2 << 30, 2_000_000_000).on_podman(),
    "cpus: 2.0 -> 1.0 by Replace\nrestart_policy: \"no\" -> \"always\" by Replace")]
#[case::network(json!({"network": "v6"}), by_hand(), r#"network: "bridge" -> "v6" by Replace"#)]
#[case::restart_policy(json!({"restart_policy": "always"}), by_hand(), r#"restart_policy: "no" -> "always" by Update"#)]
#[case::how_often(json!({"restart_policy": "on-failure"}), by_hand().with_policy(RestartPolicy::OnFailure(3)),
    r#"restart_policy: "on-failure:3" -> "on-failure" by Update"#)]
#[case::privileged(json!({"privileged": true}), by_hand(), "privileged: false -> true by Replace")]
#[case::no_more_privileged(json!({"privileged": false}), by_hand().privileged(), "privileged: true -> false by Replace")]
#[case::labels(json!({"labels": {"a": "1", "b": "2", "c": "3"}}), by_hand().with_label("a", "1").with_label("b", "x"),
    r#"labels: {"a":"1","b":"********","c":null} -> {"a":"1","b":"2","c":"3"} by Replace"#)]
fn differs(#[case] options: Value, #[case] observed: Observed, #[case] expected: &str) {
    assert_eq!(usual(&options, &observed), expected);
}

#[test]
fn an_image_is_what_it_resolves_to() {
    let named =
        |image: &str, wanted| differences(&json!({"image": image}), &by_hand(), &wanted, EngineTraits::default());
    assert_eq!(
        named("qualys/qcsa", newer_image()),
        r#"image: "qualys/qcsa (sha256:1111)" -> "qualys/qcsa (sha256:2222)" by Replace"#
    );
    assert_eq!(named("qualys/qcsa:2", newer_image()), r#"image: "qualys/qcsa" -> "qualys/qcsa:2" by Replace"#);
    assert_eq!(
        named("qualys/qcsa", WantedImage::ToPull),
        r#"image: "qualys/qcsa (sha256:1111)" -> "qualys/qcsa (to be pulled)" by Replace"#
    );
}

#[test]
fn what_the_old_image_brought_is_no_difference_beside_another_image() {
    let gone = by_hand().with_env("MINE", "1").image_gone();
    let found = differences(&json!({"image": "qualys/qcsa:2"}), &gone, &newer_image(), EngineTraits::default());
    assert_eq!(found, r#"image: "qualys/qcsa" -> "qualys/qcsa:2" by Replace"#);
    let found = differences(&json!({"env": {"A": "1"}}), &gone, &WantedImage::ToPull, EngineTraits::default());
    assert_eq!(
        found,
        "image: \"qualys/qcsa (sha256:1111)\" -> \"qualys/qcsa (to be pulled)\" by Replace\n\
         env: {} -> {\"A\":\"********\"} by Replace"
    );
}

#[rstest]
#[case::on_docker(by_hand(), r#"shared_dir: "/usr/qualys/shared (without z)" -> "/usr/qualys/shared" by Replace"#)]
#[case::podman_never_tells(by_hand().on_podman(), "")]
fn a_missing_z_counts_where_the_engine_labels(#[case] observed: Observed, #[case] expected: &str) {
    let observed = observed.with_mount("/usr/qualys/shared", mount::SHARED, "rw");
    let labelling = EngineTraits { labels_enforced: true, ..EngineTraits::default() };
    assert_eq!(differences(&json!({}), &observed, &same_image(), labelling), expected);
    assert_eq!(usual(&json!({}), &observed), "");
}

#[rstest]
#[case::any_swap_is_reported_as_unlimited(json!({"memory": "1g", "memory_swap": "1g"}), by_hand().limited(GIB, -1, 0), "")]
#[case::memory_still_counts(json!({"memory": "2g"}), by_hand().limited(GIB, -1, 0),
    "memory: 1073741824 -> 2147483648 by Update")]
#[case::no_limit_at_all(json!({}), by_hand().limited(GIB, -1, 0),
    "memory: 1073741824 -> null by Replace\nmemory_swap: \"unlimited\" -> null by Replace")]
#[case::whatever_it_reports(json!({"memory": "1g"}), by_hand().limited(GIB, 3 << 30, 0), "")]
fn without_swap_accounting(#[case] options: Value, #[case] observed: Observed, #[case] expected: &str) {
    let engine = EngineTraits { swap: SwapLimits::Discarded, ..EngineTraits::default() };
    assert_eq!(differences(&options, &observed, &same_image(), engine), expected);
}

/// What an engine discards at every update or creation is no difference.
#[rstest]
#[case::memory(json!({"memory": "1g"}), by_hand(), "")]
#[case::another(json!({"memory": "1g", "memory_swap": "3g"}), by_hand().limited(2 * GIB, 2 << 30, 0), "")]
#[case::no_limit(json!({}), by_hand().limited(GIB, 2 << 30, 0),
    "memory: 1073741824 -> null by Replace\nmemory_swap: 2147483648 -> null by Replace")]
fn without_a_controller_for_memory(#[case] options: Value, #[case] observed: Observed, #[case] expected: &str) {
    let engine = EngineTraits { limits_memory: false, ..EngineTraits::default() };
    assert_eq!(differences(&options, &observed, &same_image(), engine), expected);
}

#[rstest]
#[case::unlimited(json!({"memory": "1g", "memory_swap": -1}), "")]
#[case::limited(json!({"memory": "1g", "memory_swap": "3g"}), "memory_swap: 2147483648 -> 3221225472 by Update")]
#[case::memory(json!({"memory": "2g", "memory_swap": -1}), "memory: 1073741824 -> 2147483648 by Update")]
#[case::cpus(json!({"memory": "1g", "cpus": 1}), "cpus: null -> 1.0 by Update")]
#[case::policy(json!({"memory": "1g", "restart_policy": "always"}), "restart_policy: \"no\" -> \"always\" by Update")]
fn on_podman_that_updates(#[case] options: Value, #[case] expected: &str) {
    let engine = EngineTraits { swap: SwapLimits::Limited, updates: true, ..EngineTraits::default() };
    let observed = by_hand().limited(GIB, 2 << 30, 0).on_podman();
    assert_eq!(differences(&options, &observed, &same_image(), engine), expected);
}

#[rstest]
#[case::for_good(Status::Exited)]
#[case::again_and_again(Status::Restarting)]
fn an_ended_container_of_podman_gets_other_limits_by_a_replacement(#[case] status: Status) {
    let engine = EngineTraits { updates: true, ..EngineTraits::default() };
    let ended = Observed { status, ..by_hand().on_podman() };
    let options = json!({"memory": "1g", "restart_policy": "always"});
    assert_eq!(
        differences(&options, &ended, &same_image(), engine),
        "memory: null -> 1073741824 by Replace\nmemory_swap: null -> 2147483648 by Replace\n\
         restart_policy: \"no\" -> \"always\" by Update"
    );
}

/// Measured on 5.4.2: it takes an update without a policy for one to `no`, and does not look at `NanoCpus`.
#[test]
fn an_update_on_podman_has_its_policy_and_a_share_of_cpus() {
    let engine = EngineTraits { updates: true, ..EngineTraits::default() };
    let observed = by_hand().with_policy(RestartPolicy::Always).on_podman();
    let desired = request(&json!({"cpus": 1.5})).unwrap().desired.unwrap();
    let comparisons = compare(&desired, &observed, &same_image(), engine);
    assert_eq!(
        live_update(&desired, &observed, &comparisons).changes,
        [Change::Cpus(Cpus::from_nano(1_500_000_000), Some(100_000)), Change::RestartPolicy(RestartPolicy::Always)]
    );
    assert_eq!(live_update(&desired, &observed, &[]).changes, []);
    let desired = request(&json!({"restart_policy": "no"})).unwrap().desired.unwrap();
    let comparisons = compare(&desired, &observed, &same_image(), engine);
    assert_eq!(
        live_update(&desired, &observed, &comparisons).changes,
        [Change::RestartPolicy(RestartPolicy::No)],
        "the task's, not the one that there was"
    );
}

#[test]
fn every_option_of_a_scanner_is_compared_once() {
    let options = json!({"network": "v6", "restart_policy": "always", "privileged": true, "labels": {"a": "1"}});
    let desired = request(&options).unwrap().desired.unwrap();
    let comparisons = compare(&desired, &by_hand(), &same_image(), EngineTraits::default());
    let mut fields: Vec<_> = comparisons.iter().map(|field| field.field).collect();
    fields.sort_unstable();
    let mut options: Vec<_> = option_names().collect();
    options.retain(|option| !ELSEWHERE.contains(option));
    options.sort_unstable();
    assert_eq!(fields, options);
}

proptest::proptest! {
    /// What an update sends for CPUs is what the next run reads back as wanted.
    #[test]
    fn cpus_given_as_a_quota_converge(nano in 10_000_000_u64..64_000_000_000, period in 1_000_u64..1_000_000) {
        let cpus = super::super::values::limits::Cpus::from_nano(nano);
        let observed = by_hand().quota(1_000, period);
        proptest::prop_assume!(observed.limits.can_be_given(cpus));
        let mut limits = observed.limits;
        limits.cpus = Some(super::super::values::limits::Cpus::from_quota(cpus.to_quota(period), period));
        proptest::prop_assert!(limits.has_cpus(Some(cpus)));
    }
}
