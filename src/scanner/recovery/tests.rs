use super::super::example::by_hand;
use super::model::name;
use super::*;

/// A container of a replacement of `old`, which was up and had a restart policy.
fn new(name: &str, status: Status) -> Observed {
    let note = Replaces { id: "old".to_owned(), was_up: true, restart_policy: RestartPolicy::Always };
    let new = Observed { id: "new".to_owned(), name: name.to_owned(), replaces: Some(note), ..by_hand() };
    // It gets its policy before it gets the scanner's name.
    let is_fresh = status == Status::Created && name != "scanner";
    new.with_status(status).with_policy(if is_fresh { RestartPolicy::No } else { RestartPolicy::Always })
}

fn old(name: &str, status: Status) -> Observed {
    Observed { name: name.to_owned(), ..by_hand() }.with_status(status)
}

/// The way back from these containers, as text.
fn way_back(containers: impl IntoIterator<Item = Observed>, may_start: bool) -> String {
    let mut seen = [None, None, None];
    for container in containers {
        let at = ["scanner", "scanner.qcss-new", "scanner.qcss-old"].iter().position(|name| *name == container.name);
        seen[at.unwrap()] = Some(container);
    }
    let [current, incoming, outgoing] = seen;
    let scene = Scene::new(current, incoming, outgoing);
    let back = scene.way_back(&name(), may_start, StopOfOld::MaybeSent);
    let steps = back.steps.iter().map(|step| match step {
        Undo::Stop(id) => format!("stop {id}"),
        Undo::FinishStop(id) => format!("finish the stop of {id}"),
        Undo::Rename(id, name) => format!("rename {id} to {name}"),
        Undo::SetRestartPolicy(id, policy) => format!("set restart policy of {id} to {policy}"),
        Undo::Start(id) => format!("start {id}"),
        Undo::Remove(id) => format!("remove {id}"),
    });
    let first = if scene.is_interrupted() { "interrupted" } else { "in order" };
    let last = back.current.map_or("no scanner".to_owned(), |it| format!("{} is {}", it.id, it.status.word()));
    std::iter::once(first.to_owned()).chain(steps).chain([last]).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_way_back_from_every_row() {
    let (temporary, aside) = ("scanner.qcss-new", "scanner.qcss-old");
    let created = way_back([old("scanner", Status::Running), new(temporary, Status::Created)], true);
    insta::assert_snapshot!(created, @r"
    interrupted
    finish the stop of old
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let told_to_stop = way_back([old("scanner", Status::Exited), new(temporary, Status::Created)], true);
    insta::assert_snapshot!(told_to_stop, @r"
    interrupted
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let set_aside = way_back([old(aside, Status::Exited), new(temporary, Status::Created)], true);
    insta::assert_snapshot!(set_aside, @r"
    interrupted
    rename old to scanner
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let named = way_back([old(aside, Status::Exited), new("scanner", Status::Created)], true);
    insta::assert_snapshot!(named, @r"
    interrupted
    set restart policy of new to no
    set restart policy of old to always
    remove new
    rename old to scanner
    start old
    old is running
    ");
    let started = way_back([old(aside, Status::Exited), new("scanner", Status::Running)], true);
    insta::assert_snapshot!(started, @r"
    interrupted
    rename new to scanner.qcss-new
    set restart policy of new to no
    stop new
    rename old to scanner
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let on_the_way_back = way_back([old(aside, Status::Exited), new(temporary, Status::Exited)], true);
    insta::assert_snapshot!(on_the_way_back, @r"
    interrupted
    set restart policy of new to no
    stop new
    rename old to scanner
    set restart policy of old to always
    start old
    remove new
    old is running
    ");
    let done = way_back([new("scanner", Status::Running)], true);
    insta::assert_snapshot!(done, @r"
    in order
    new is running
    ");
    let nothing = way_back([], true);
    insta::assert_snapshot!(nothing, @r"
    in order
    no scanner
    ");
}

#[test]
fn what_shall_be_stopped_is_not_started_on_the_way_back() {
    let scene = [old("scanner.qcss-old", Status::Exited), new("scanner", Status::Running)];
    insta::assert_snapshot!(way_back(scene, false), @r"
    interrupted
    rename new to scanner.qcss-new
    set restart policy of new to no
    stop new
    rename old to scanner
    set restart policy of old to always
    remove new
    old is exited
    ");
}

#[test]
fn a_paused_one_stays_paused() {
    let scene = [old("scanner", Status::Paused), new("scanner.qcss-new", Status::Created)];
    insta::assert_snapshot!(way_back(scene, true), @r"
    interrupted
    set restart policy of old to always
    remove new
    old is paused
    ");
}

#[test]
fn where_someone_removed_the_old_one_the_new_one_takes_its_place() {
    insta::assert_snapshot!(way_back([new("scanner.qcss-new", Status::Created)], true), @r"
    interrupted
    rename new to scanner
    new is created
    ");
    let another = Observed { id: "another".to_owned(), ..by_hand() };
    insta::assert_snapshot!(way_back([another, new("scanner.qcss-new", Status::Created)], true), @r"
    interrupted
    remove new
    another is running
    ");
}

#[test]
fn where_someone_removed_the_new_one_the_old_one_gets_its_name() {
    insta::assert_snapshot!(way_back([old("scanner.qcss-old", Status::Exited)], true), @r"
    interrupted
    rename old to scanner
    old is exited
    ");
}

#[test]
fn what_only_bears_such_a_name_is_left_alone() {
    let no_scanner = old("scanner.qcss-old", Status::Running)
        .without_env("PERSONALIZATION_CODE")
        .without_mount("/usr/local/qualys")
        .without_mount("/usr/local/qualys/admin/etc");
    insta::assert_snapshot!(way_back([no_scanner.clone()], true), @r"
    in order
    no scanner
    ");
    let no_note = Observed { name: "scanner.qcss-new".to_owned(), id: "else".to_owned(), ..by_hand() };
    insta::assert_snapshot!(way_back([old("scanner", Status::Running), no_note, no_scanner], true), @r"
    in order
    old is running
    ");
    let of_another = Observed { id: "older".to_owned(), ..old("scanner.qcss-old", Status::Exited) };
    insta::assert_snapshot!(way_back([new("scanner", Status::Running), of_another], true), @r"
    in order
    new is running
    ");
}
