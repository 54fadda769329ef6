//! An identity directory that is a link, was purged half-way, or is not where the scanner has its identity.

use super::*;

#[test]
fn an_identity_that_would_be_left_behind() {
    let elsewhere = by_hand().with_mount("/srv/else", mount::PRIVATE, "z");
    let left = Observation { leaves_identity: true, ..observation(Some(elsewhere.clone())) };
    insta::assert_snapshot!(plan(&json!({}), &left), @"already_in_use: the scanner keeps its identity in `/srv/else`, and without it would have to register anew, which its code allows only once; stop the scanner and copy the content of that directory to <private_dir>/<personalization_code> first, or give the private_dir that it is in, got: `/usr/qualys/private`");
    // With another code it registers anew.
    let other_code = Observation { observed: Some(elsewhere.with_env("PERSONALIZATION_CODE", "other")), ..left };
    assert!(plan(&json!({}), &other_code).ends_with("=> replace, running"));
}

#[test]
fn a_link_is_never_started() {
    let link = |status| Observation { identity_dir: OnHost::Other, ..observation(Some(by_hand().with_status(status))) };
    let start = |observation: &Observation| text(Plan::make(&run_state(&json!({"state": "started"})), observation));
    insta::assert_snapshot!(start(&link(Status::Exited)), @"invalid_arguments: the directory that the scanner has mounted at /usr/local/qualys/admin/etc is a link or no directory now, so that it would start with another identity; put the directory back in its place: `scanner`");
    assert_eq!(start(&link(Status::Running)), "nothing");
    let stop = Plan::make(&run_state(&json!({"state": "stopped"})), &link(Status::Running));
    assert!(text(stop).ends_with("=> stop"));
}

#[test]
fn what_a_killed_purge_left_is_purged() {
    let left = Observation { identity_dir: OnHost::HalfPurged, ..observation(None) };
    insta::assert_snapshot!(plan(&json!({"state": "absent", "purge": true}), &left), @r#"
    private_dir: "/usr/qualys/private/code-4711" -> null by purge_directory
    => purge_directory /usr/qualys/private/code-4711
    "#);
    assert!(plan(&json!({}), &left).contains("=> create_directory /usr/qualys/private/code-4711"));
}
