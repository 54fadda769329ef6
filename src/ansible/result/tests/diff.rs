//! The diff, as a user reads it.

use super::*;
use crate::scanner::example::newer_image;
use crate::scanner::values::image::WantedImage;

fn diff(options: &Value, observation: &Observation) -> String {
    let diff = &reply(options, observation, REAL)["diff"];
    assert_eq!(keys(diff), ["after", "after_header", "before", "before_header"]);
    assert_eq!([&diff["before_header"], &diff["after_header"]], ["scanner"; 2]);
    let side = |side: &str| diff[side].as_str().unwrap().to_owned();
    format!("{}---\n{}", side("before"), side("after"))
}

#[test]
fn the_diff_of_a_new_scanner_has_every_managed_field() {
    let nothing = Observation { shared_dir: OnHost::Missing, identity_dir: OnHost::Missing, ..observation(None) };
    let options = json!({
        "memory": "1g", "memory_swap": "unlimited", "cpus": 1.5, "https_proxy": "u:canary@proxy:1", "polling_interval": 30,
        "ca_dir": "/root/cert", "network": "v6", "env": {"A": "canary"}, "restart_policy": "always", "privileged": true,
        "labels": {"a": "1"}, "private_dir_mode": "0700",
    });
    insta::assert_snapshot!(diff(&options, &nothing), @r#"
    state: absent
    ---
    image: qualys/qcsa
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    https_proxy: ********
    polling_interval: 30
    env: {"A":"********"}
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    ca_dir: /root/cert
    memory: 1073741824
    memory_swap: unlimited
    cpus: 1.5
    network: v6
    restart_policy: always
    privileged: true
    labels: {"a":"1"}
    state: started
    "#);
    insta::assert_snapshot!(diff(&json!({}), &observation(None)), @r"
    state: absent
    ---
    image: qualys/qcsa
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    state: started
    ");
}

#[test]
fn the_diff_of_a_scanner_that_is_as_wanted_has_equal_sides() {
    let observed = by_hand()
        .with_image("qualys/qcsa:latest", "sha256:1111")
        .with_env("QUALYS_URL", "https://QUALYSGUARD.qualys.com/");
    insta::assert_snapshot!(diff(&json!({"labels": {"vendor": "stand-in"}}), &observation(Some(observed))), @r#"
    image: qualys/qcsa:latest
    qualys_url: https://QUALYSGUARD.qualys.com/
    personalization_code: ********
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    labels: {"vendor":"stand-in"}
    ---
    image: qualys/qcsa:latest
    qualys_url: https://QUALYSGUARD.qualys.com/
    personalization_code: ********
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    labels: {"vendor":"stand-in"}
    "#);
}

#[test]
fn the_diff_of_a_change_shows_what_changes_beside_what_stays() {
    let old = by_hand().with_env("OLD", "canary").limited(1 << 30, 2 << 30, 0);
    let options = json!({"memory": "2g", "env": {"NEW": "canary"}, "private_dir_mode": "0750", "state": "stopped"});
    insta::assert_snapshot!(diff(&options, &observation(Some(old))), @r#"
    image: qualys/qcsa
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    env: {"OLD":"********"}
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    memory: 1073741824
    memory_swap: 2147483648
    private_dir_mode: 0755
    state: running
    ---
    image: qualys/qcsa
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    env: {"NEW":"********"}
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    memory: 2147483648
    memory_swap: 4294967296
    private_dir_mode: 0750
    state: stopped
    "#);
    let newer = Observation { image: Some(newer_image()), ..observation(Some(by_hand())) };
    insta::assert_snapshot!(diff(&json!({}), &newer), @r"
    image: qualys/qcsa (sha256:1111)
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    ---
    image: qualys/qcsa (sha256:2222)
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    ");
    let to_pull = Observation { image: Some(WantedImage::ToPull), ..observation(Some(by_hand())) };
    insta::assert_snapshot!(diff(&json!({}), &to_pull), @r"
    image: qualys/qcsa (sha256:1111)
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    ---
    image: qualys/qcsa (to be pulled)
    qualys_url: https://qualysguard.qualys.com
    personalization_code: ********
    shared_dir: /usr/qualys/shared
    private_dir: /usr/qualys/private/********
    ");
}

#[test]
fn the_diff_of_a_removal() {
    let options = json!({"state": "absent", "purge": true});
    insta::assert_snapshot!(diff(&options, &observation(Some(by_hand()))), @r"
    private_dir: /usr/qualys/private/********
    state: running
    ---
    state: absent
    ");
}
