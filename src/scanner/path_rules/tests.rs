use super::*;
use rstest::rstest;

fn used(path: &str, mounted: bool) -> UsedPath {
    UsedPath { place: Place::plain(path), text: path.to_owned(), mounted }
}

/// `identity shared ca`; `-` is none.
fn scanner<'a>(name: &'a str, paths: &str, mounted: bool) -> ScannerPaths<'a> {
    let mut paths = paths.split(' ').map(|path| (path != "-").then(|| used(path, mounted)));
    let mut next = || paths.next().flatten();
    ScannerPaths { name, identity: next(), shared: next(), ca: next() }
}

fn reserved() -> Reserved {
    Reserved {
        system: SYSTEM.map(Place::plain).to_vec(),
        engine: Some(Place::plain("/var/lib/docker")),
        socket: Place::plain("/run/docker/docker.sock"),
    }
}

/// `destination=source` of a scanner, or of another container.
fn other(is_scanner: bool, mount: &'static str) -> OtherPaths<'static> {
    let (destination, source) = mount.split_once('=').unwrap();
    let destination = match destination {
        "identity" => PRIVATE,
        "shared" => SHARED,
        "ca" => CA,
        other => other,
    };
    let (mut mounts, mut borrowed) = (Vec::new(), Vec::new());
    match destination {
        "borrowed" => borrowed.push(Place::plain(source)),
        destination => mounts.push((destination, Place::plain(source))),
    }
    OtherPaths { name: "other", is_scanner, mounts, borrowed }
}

const PLAIN: &str = "/q/private/1 /q/shared /q/ca";

#[rstest]
#[case::plain(PLAIN, None)]
#[case::another_device("/disk/1 /usr/q -", None)]
#[case::shared_above("/q/private/1 /q -", Some("shared_dir"))]
#[case::shared_is("/q/1 /q/1 -", Some("shared_dir"))]
#[case::shared_below("/q/1 /q/1/s -", Some("shared_dir"))]
#[case::ca_above("/q/private/1 /q/s /q/private", Some("ca_dir"))]
#[case::ca_below("/q/1 /q/s /q/1/ca", Some("ca_dir"))]
#[case::ca_in_shared("/q/1 /q/s /q/s/ca", Some("ca_dir"))]
#[case::ca_is_shared("/q/1 /q/s /q/s", Some("ca_dir"))]
#[case::ca_above_shared("/p/1 /q/s /q", Some("ca_dir"))]
#[case::system("/q/1 /run -", Some("shared_dir"))]
#[case::system_ca("/q/1 /q/s /etc", Some("ca_dir"))]
#[case::system_identity("/home /q/s -", Some("private_dir"))]
#[case::in_system("/home/1 /usr/q -", None)]
#[case::socket("/q/1 /run/docker -", Some("shared_dir"))]
#[case::engine("/var/lib/docker /q/s -", Some("private_dir"))]
#[case::above_engine("/q/1 /var/lib -", Some("shared_dir"))]
#[case::in_engine("/q/1 /var/lib/docker/x -", Some("shared_dir"))]
fn the_paths_of_one_scanner(#[case] paths: &str, #[case] offending: Option<&str>) {
    let checked = check(&scanner("own", paths, false), &[], &[], &reserved());
    let named = checked.as_ref().err().map(|error| (error.kind, error.message.split(' ').next().unwrap()));
    assert_eq!(named, offending.map(|option| (Kind::InvalidArguments, option)), "{checked:?}");
    // A container that has them already goes on being managed.
    let warnings = check(&scanner("own", paths, true), &[], &[], &reserved()).unwrap();
    assert_eq!(warnings.is_empty(), offending.is_none(), "{warnings:?}");
}

#[rstest]
#[case::same_shared(true, "shared=/q/shared", "", "")]
#[case::same_ca(true, "ca=/q/ca", "", "")]
#[case::beside(true, "identity=/q/private/2", "", "")]
#[case::identity(true, "identity=/q/private/1", "uses the private directory", "uses the private directory")]
#[case::identity_above(true, "identity=/q/private", "uses the private directory", "uses the private directory")]
#[case::identity_below(true, "identity=/q/private/1/x", "uses the private directory", "uses the private directory")]
#[case::own_is_others_shared(true, "shared=/q/private/1", "uses the private directory", "uses the private directory")]
#[case::others_shared_above(true, "shared=/q/private", "lies in a directory", "")]
#[case::others_backup(true, "/backup=/q/private", "lies in a directory", "")]
#[case::others_ca(true, "ca=/q", "lies in a directory", "")]
#[case::own_shared_is_others_identity(true, "identity=/q/shared", "shared_dir is", "")]
#[case::own_shared_above_others(true, "identity=/q/shared/2", "shared_dir is", "")]
#[case::own_ca_above_others(true, "identity=/q/ca/2", "ca_dir is", "")]
#[case::own_ca_in_others_shared(true, "shared=/q/ca", "ca_dir is", "")]
#[case::own_shared_in_others_ca(true, "ca=/q/shared", "shared_dir is", "")]
#[case::monitoring(false, "/host=/", "", "")]
#[case::backup(false, "/backup=/q/private", "", "")]
#[case::mounted_elsewhere(false, "/data=/q/private/1", "uses the private directory", "uses the private directory")]
#[case::something_in_it(false, "/data=/q/private/1/x", "uses the private directory", "uses the private directory")]
#[case::shared_elsewhere(false, "/data=/q/shared", "", "")]
#[case::of_a_dependent(false, "borrowed=/q/private/1", "", "")]
fn beside_another_container(
    #[case] is_scanner: bool,
    #[case] mount: &'static str,
    #[case] for_a_new_one: &str,
    #[case] for_one_that_is_there: &str,
) {
    for (mounted, expected) in [(false, for_a_new_one), (true, for_one_that_is_there)] {
        let checked = check(&scanner("own", PLAIN, mounted), &[&other(is_scanner, mount)], &[], &reserved());
        match (&checked, expected) {
            (Ok(warnings), "") => assert_eq!(warnings.is_empty(), for_a_new_one.is_empty(), "{warnings:?}"),
            (Err(error), expected) => {
                assert_eq!(error.kind, Kind::AlreadyInUse);
                let named = !expected.is_empty() && error.message.contains(expected);
                assert!(named && error.message.ends_with(": `other`"), "{error}");
            }
            _ => panic!("{checked:?}"),
        }
    }
}

#[test]
fn two_entries_of_one_task() {
    let of_task = [
        scanner("a", "/q/private/1 /q/shared -", false),
        scanner("b", "/q/private/2 /q/shared -", false),
        scanner("c", "/q/private/1/x /q/shared -", false),
        scanner("d", "/q/private/3 /q/private -", false),
    ];
    check(&of_task[0], &[], &of_task[..2], &reserved()).unwrap();
    for other in &of_task[2..] {
        let error = check(&of_task[0], &[], &[of_task[0].clone(), other.clone()], &reserved()).unwrap_err();
        assert_eq!(error.kind, Kind::InvalidArguments);
        assert!(error.message.ends_with(&format!("`a` and `{}`", other.name)), "{error}");
    }
}

#[rstest]
#[case::plain("/q/private/1", true, "shared=/q/shared", None)]
#[case::in_use("/q/private/1", false, "/data=/q/private/1", Some(Kind::AlreadyInUse))]
#[case::in_it("/q/private/1", false, "/data=/q/private/1/x", Some(Kind::AlreadyInUse))]
#[case::monitoring("/q/private/1", false, "/host=/", None)]
#[case::of_a_dependent("/q/private/1", false, "borrowed=/q/private/1", Some(Kind::AlreadyInUse))]
#[case::in_a_scanners("/q/private/1", true, "/data=/q/private", Some(Kind::AlreadyInUse))]
#[case::above_others("/q", true, "identity=/q/private/2", Some(Kind::AlreadyInUse))]
#[case::above_own_shared("/own", true, "shared=/q/shared", Some(Kind::InvalidArguments))]
#[case::is_own_ca("/ca", true, "shared=/q/shared", Some(Kind::InvalidArguments))]
#[case::system("/home", true, "shared=/q/shared", Some(Kind::InvalidArguments))]
#[case::engine("/var/lib/docker", true, "shared=/q/shared", Some(Kind::InvalidArguments))]
#[case::in_task("/q/private/9", true, "shared=/q/shared", Some(Kind::InvalidArguments))]
fn a_purge(#[case] path: &str, #[case] is_scanner: bool, #[case] mount: &'static str, #[case] expected: Option<Kind>) {
    let spared = [("ca_dir", used("/ca", true)), ("shared_dir", used("/own/shared", true))];
    let task = [scanner("own", "- /own/shared -", true), scanner("two", "/q/private/9/x /s -", false)];
    let checked = check_purge("own", &used(path, true), &spared, &[&other(is_scanner, mount)], &task, &reserved());
    assert_eq!(checked.as_ref().err().map(|error| error.kind), expected, "{checked:?}");
}
