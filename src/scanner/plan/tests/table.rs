//! What is done from every status for every state.

use super::*;

/// The steps' words for each status (down) and each state (across).
fn matrix(make: impl Fn(&str) -> Request, observed: &Observed) -> String {
    let statuses = [
        Status::Created,
        Status::Running,
        Status::Paused,
        Status::Restarting,
        Status::Exited,
        Status::Dead,
        Status::Removing,
    ];
    let rows = statuses.into_iter().map(|status| Some(observed.clone().with_status(status))).chain([None]);
    let rows = rows.map(|observed| {
        let status = observed.as_ref().map_or("no container", |observed| observed.status.word());
        let cells = ["started", "present", "stopped", "absent"].map(|state| {
            let cell = match Plan::make(&make(state), &observation(observed.clone())) {
                Ok(plan) if plan.is_empty() => "-".to_owned(),
                Ok(plan) => plan.operations.iter().filter_map(Operation::word).collect::<Vec<_>>().join(", "),
                Err(error) => format!("({})", error.kind.word()),
            };
            format!("{cell:20}")
        });
        format!("{status:14}{}", cells.join("")).trim_end().to_owned()
    });
    let header = format!("{:14}{:20}{:20}{:20}absent", "", "started", "present", "stopped");
    std::iter::once(header).chain(rows).collect::<Vec<_>>().join("\n")
}

fn managed(further: &Value) -> impl Fn(&str) -> Request {
    move |state| {
        let mut options = further.clone();
        options["state"] = json!(state);
        request(&options).unwrap()
    }
}

#[test]
fn every_state_from_every_status() {
    insta::assert_snapshot!(matrix(managed(&json!({})), &by_hand()), @r"
                  started             present             stopped             absent
    created       start               -                   -                   remove
    running       -                   -                   stop                remove
    paused        unpause             -                   stop                remove
    restarting    -                   -                   stop                remove
    exited        start               -                   -                   remove
    dead          replace             -                   -                   remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  create, start       create              create              -
    ");
}

#[test]
fn every_state_from_every_status_with_restart() {
    insta::assert_snapshot!(matrix(managed(&json!({"restart": true})), &by_hand()), @r"
                  started             present             stopped             absent
    created       start               -                   -                   remove
    running       restart             restart             stop                remove
    paused        unpause             restart             stop                remove
    restarting    restart             restart             stop                remove
    exited        start               -                   -                   remove
    dead          replace             -                   -                   remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  create, start       create              create              -
    ");
}

#[test]
fn every_state_from_every_status_with_a_live_difference() {
    insta::assert_snapshot!(matrix(managed(&json!({"memory": "1g", "restart": true})), &by_hand()), @r"
                  started             present             stopped             absent
    created       update, start       update              update              remove
    running       update              update              update, stop        remove
    paused        update, unpause     update              update, stop        remove
    restarting    stop, update, start stop, update, start stop, update        remove
    exited        update, start       update              update              remove
    dead          replace             update              update              remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  create, start       create              create              -
    ");
}

#[test]
fn every_state_from_every_status_with_a_difference_that_needs_a_replacement() {
    insta::assert_snapshot!(matrix(managed(&json!({"env": {"A": "1"}, "memory": "1g"})), &by_hand()), @r"
                  started             present             stopped             absent
    created       replace             replace             replace             remove
    running       replace             replace             replace             remove
    paused        replace             replace             replace             remove
    restarting    replace             replace             replace             remove
    exited        replace             replace             replace             remove
    dead          replace             replace             replace             remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  create, start       create              create              -
    ");
}

#[test]
fn every_state_from_every_status_where_no_replacement_is_allowed() {
    let options = json!({"env": {"A": "1"}, "memory": "1g", "recreate": "never"});
    insta::assert_snapshot!(matrix(managed(&options), &by_hand()), @r"
                  started             present             stopped             absent
    created       (needs_replacement) (needs_replacement) (needs_replacement) remove
    running       (needs_replacement) (needs_replacement) (needs_replacement) remove
    paused        (needs_replacement) (needs_replacement) (needs_replacement) remove
    restarting    (needs_replacement) (needs_replacement) (needs_replacement) remove
    exited        (needs_replacement) (needs_replacement) (needs_replacement) remove
    dead          (needs_replacement) (needs_replacement) (needs_replacement) remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  create, start       create              create              -
    ");
}

#[test]
fn every_state_from_every_status_of_a_scanner_that_vanishes_when_it_stops() {
    insta::assert_snapshot!(matrix(managed(&json!({"restart": true})), &by_hand().removed_when_stopped()), @r"
                  started             present             stopped             absent
    created       start               -                   -                   remove
    running       (needs_replacement) (needs_replacement) (needs_replacement) remove
    paused        unpause             (needs_replacement) (needs_replacement) remove
    restarting    (needs_replacement) (needs_replacement) (needs_replacement) remove
    exited        start               -                   -                   remove
    dead          (needs_replacement) -                   -                   remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  create, start       create              create              -
    ");
    let options = json!({"recreate": "always"});
    insta::assert_snapshot!(matrix(managed(&options), &by_hand().removed_when_stopped()), @r"
                  started             present             stopped             absent
    created       (needs_replacement) (needs_replacement) (needs_replacement) remove
    running       (needs_replacement) (needs_replacement) (needs_replacement) remove
    paused        (needs_replacement) (needs_replacement) (needs_replacement) remove
    restarting    (needs_replacement) (needs_replacement) (needs_replacement) remove
    exited        (needs_replacement) (needs_replacement) (needs_replacement) remove
    dead          (needs_replacement) (needs_replacement) (needs_replacement) remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  create, start       create              create              -
    ");
}

#[test]
fn every_state_from_every_status_when_only_the_run_state_is_managed() {
    let make = |state: &str| run_state(&json!({"state": state}));
    insta::assert_snapshot!(matrix(make, &by_hand()), @r"
                  started             present             stopped             absent
    created       start               -                   -                   remove
    running       -                   -                   stop                remove
    paused        unpause             -                   stop                remove
    restarting    -                   -                   stop                remove
    exited        start               -                   -                   remove
    dead          (needs_replacement) -                   -                   remove
    removing      (engine_error)      (engine_error)      (engine_error)      (engine_error)
    no container  (invalid_arguments) (invalid_arguments) -                   -
    ");
}
