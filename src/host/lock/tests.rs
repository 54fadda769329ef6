use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rstest::rstest;
use tempfile::TempDir;

use super::*;

const NOW: Duration = Duration::ZERO;

/// A place for lock files, in a folder of its own.
struct Bench {
    temp: TempDir,
    place: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let place = temp.path().join("qcss_scanner");
        Self { temp, place }
    }

    fn folder(mode: u32) -> Self {
        let bench = Self::new();
        fs::create_dir(&bench.place).unwrap();
        fs::set_permissions(&bench.place, Permissions::from_mode(mode)).unwrap();
        bench
    }

    fn key(&self) -> LockKey {
        LockKey { place: Ok(self.place.clone()), ..LockKey::scanner("/var/lib/docker", "scanner") }
    }

    fn file(&self) -> PathBuf {
        self.place.join(self.key().file)
    }

    fn lock(&self) -> Result<Lock> {
        wait(self.key().lock("scanner", NOW))
    }

    /// The lock is taken, keeps others out, and leaves nothing.
    #[track_caller]
    fn works(&self) {
        let lock = self.lock().unwrap();
        assert_eq!((mode(&self.place), mode(&self.file())), (0o700, 0o600));
        assert_eq!(self.lock().unwrap_err().kind, Kind::Timeout);
        drop(lock);
        assert_eq!((names(&self.place), names(self.temp.path()).len()), (vec![], 1));
    }

    /// Nobody is waited for, and nothing is changed by that.
    #[track_caller]
    fn keeps_nobody_waiting(&self) {
        let before = self.everything();
        wait(self.key().wait(NOW)).unwrap();
        assert_eq!(self.everything(), before);
    }

    fn everything(&self) -> Vec<(String, u32, u64)> {
        let found = |path: &Path| {
            let found = path.symlink_metadata().unwrap();
            (path.display().to_string(), found.mode(), found.ino())
        };
        let within = names(&self.place).into_iter().map(|name| found(&self.place.join(name)));
        let mut all: Vec<_> = self.place.exists().then(|| found(&self.place)).into_iter().chain(within).collect();
        all.sort();
        all
    }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_lock_excludes_and_leaves_nothing() {
    let bench = Bench::new();
    let other = LockKey { place: Ok(bench.place.clone()), ..LockKey::scanner("/var/lib/docker2", "scanner") };
    assert!(!bench.key().exists());
    bench.keeps_nobody_waiting();
    assert!(!bench.place.exists());
    let lock = bench.lock().unwrap();
    assert!(bench.key().exists() && !other.exists());
    drop(wait(other.lock("scanner", NOW)).unwrap());
    let waited = || wait(bench.key().wait(NOW)).unwrap_err();
    for error in [bench.lock().unwrap_err(), waited()] {
        let holder = format!("another run (process {}, scanner `scanner`); ", std::process::id());
        assert!(
            error.message.contains(&holder) && error.message.ends_with("it hangs: the scanner `scanner`"),
            "{error}"
        );
        assert_eq!(error.kind, Kind::Timeout);
    }
    drop(lock);
    assert!(!bench.key().exists());
    bench.works();
}

/// As 0.1.0 left it, as it is under any umask, and worse.
#[rstest]
fn a_folder_is_closed_to_others(#[values(0, 0o500, 0o700, 0o711, 0o755, 0o777, 0o1777, 0o2770)] mode: u32) {
    let bench = Bench::folder(mode);
    bench.keeps_nobody_waiting();
    bench.works();
}

/// Each stands where the folder should be, and stays as it is.
#[rstest]
#[case::file(|path: &Path| fs::write(path, "precious").unwrap(), "not a directory")]
#[case::link(|path: &Path| symlink("/etc", path).unwrap(), "a link")]
#[case::dangling(|path: &Path| symlink("nowhere", path).unwrap(), "a link")]
#[case::loops(|path: &Path| symlink(path, path).unwrap(), "a link")]
#[case::fifo(mkfifo, "not a directory")]
#[case::socket(|path: &Path| drop(UnixListener::bind(path).unwrap()), "not a directory")]
#[case::another_users(|path: &Path| { fs::create_dir(path).unwrap(); chown(path, Some(65534), None).unwrap() }, "another user")]
fn what_is_no_folder_of_ours_is_refused(#[case] make: fn(&Path), #[case] reason: &str) {
    let bench = Bench::new();
    make(&bench.place);
    let before = (bench.place.symlink_metadata().unwrap().ino(), mode(&bench.place));
    let refusals = [
        bench.lock().unwrap_err(),
        wait(bench.key().wait(NOW)).unwrap_err(),
        Folder::may_be_used(&bench.place).unwrap_err(),
    ];
    for error in refusals {
        assert!(error.message.contains(reason) && error.message.contains("; remove it, "), "{error}");
        assert!(error.message.ends_with(&format!(": `{}`", bench.place.display())), "{error}");
    }
    assert_eq!((bench.place.symlink_metadata().unwrap().ino(), mode(&bench.place)), before);
}

/// Each stands where the lock file should be: something else takes its place.
#[rstest]
#[case::of_a_killed_run(|path: &Path| { fs::write(path, "process 1").unwrap(); set_mode(path, 0o600) })]
#[case::of_a_run_killed_under_a_umask(|path: &Path| { fs::write(path, "").unwrap(); set_mode(path, 0) })]
#[case::of_0_1_0(|path: &Path| fs::write(path, "process 1").unwrap())]
#[case::writable(|path: &Path| { fs::write(path, "").unwrap(); set_mode(path, 0o666) })]
#[case::another_users(|path: &Path| { fs::write(path, "").unwrap(); set_mode(path, 0o600); chown(path, Some(65534), None).unwrap() })]
#[case::dangling(|path: &Path| symlink("nowhere", path).unwrap())]
#[case::loops(|path: &Path| symlink(path, path).unwrap())]
#[case::fifo(mkfifo)]
#[case::socket(|path: &Path| drop(UnixListener::bind(path).unwrap()))]
#[case::device(|path: &Path| assert!(Command::new("mknod").arg(path).args(["c", "1", "7"]).status().unwrap().success()))]
#[case::directory(|path: &Path| fs::create_dir(path).unwrap())]
fn what_is_no_lock_file_of_ours_makes_room(#[case] make: fn(&Path), #[values(0o700, 0o777)] folder: u32) {
    let bench = Bench::folder(folder);
    make(&bench.file());
    bench.keeps_nobody_waiting();
    bench.works();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A link, symbolic or hard, to a file with other contents.
#[rstest]
#[case::symbolic(|file: &Path, link: &Path| symlink(file, link).unwrap())]
#[case::hard(|file: &Path, link: &Path| fs::hard_link(file, link).unwrap())]
fn no_other_file_is_written_to(#[case] link: fn(&Path, &Path), #[values(0o600, 0o644)] mode: u32) {
    let (bench, elsewhere) = (Bench::folder(0o777), tempfile::tempdir().unwrap());
    let precious = elsewhere.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    set_mode(&precious, mode);
    link(&precious, &bench.file());
    bench.keeps_nobody_waiting();
    bench.works();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

/// Somebody who could open the file, or made it, has a lock on it.
#[rstest]
fn nobody_else_can_hold_a_lock(#[values(0o600, 0o644)] mode: u32, #[values(0, 65534)] owner: u32) {
    let bench = Bench::folder(0o777);
    let file = File::create(bench.file()).unwrap();
    set_mode(&bench.file(), mode);
    chown(bench.file(), Some(owner), None).unwrap();
    file.lock().unwrap();
    if (mode, owner) == (0o600, 0) {
        assert_eq!(bench.lock().unwrap_err().kind, Kind::Timeout);
    } else {
        bench.keeps_nobody_waiting();
        bench.works();
    }
}

#[test]
fn a_directory_that_is_not_empty_is_named() {
    let bench = Bench::folder(0o700);
    fs::create_dir_all(bench.file().join("below")).unwrap();
    let error = bench.lock().unwrap_err();
    assert!(error.message.ends_with(&format!("remove it: `{}`", bench.file().display())), "{error}");
    assert!(bench.file().join("below").is_dir() && names(bench.temp.path()).len() == 1);
}

#[test]
fn files_of_killed_runs_go_with_the_next_and_no_others() {
    let bench = Bench::folder(0o700);
    let held = LockKey { place: Ok(bench.place.clone()), ..LockKey::resources("/var/lib/docker") };
    let lock = wait(held.lock("other", NOW)).unwrap();
    for name in ["killed", "of 0.1.0"] {
        fs::write(bench.place.join(name), "").unwrap();
    }
    set_mode(&bench.place.join("killed"), 0o600);
    drop(bench.lock().unwrap());
    let mut left = names(&bench.place);
    left.sort();
    assert_eq!(left, ["of 0.1.0", "resources of %var%lib%docker"]);
    drop(lock);
}

/// Somebody removes the folder while a run has a lock in it: the next runs agree on the new one.
#[test]
fn a_folder_that_is_gone_is_made_anew() {
    let bench = Bench::new();
    let orphan = bench.lock().unwrap();
    fs::remove_dir_all(&bench.place).unwrap();
    let lock = bench.lock().unwrap();
    drop(orphan);
    assert_eq!(bench.lock().unwrap_err().kind, Kind::Timeout);
    drop(lock);
    bench.works();
}

#[test]
fn a_name_says_what_it_is_about_and_is_never_too_long() {
    let file = |root: &str, name: &str| LockKey::scanner(root, name).file;
    assert_eq!(file("/var/lib/docker", "ab"), "scanner ab of %var%lib%docker");
    assert_eq!(LockKey::resources("/a\0b\n").file, "resources of %a%b%");
    assert_eq!(LockKey::resources("").file, "resources of ");
    let long = "x".repeat(300);
    assert!(file(&long, "ab").len() < 255 && file(&long, "ab") != file(&format!("{long}y"), "ab"));
}

#[test]
fn an_identity_directory_is_known_by_what_its_parent_is() {
    let temp = tempfile::tempdir().unwrap();
    let (parent, link) = (temp.path().join("private"), temp.path().join("link"));
    assert!(LockKey::identity(&parent.join("21800002913298")).unwrap().is_none());
    fs::create_dir(&parent).unwrap();
    symlink(&parent, &link).unwrap();
    let file = |path: PathBuf| LockKey::identity(&path).unwrap().unwrap().file;
    let one = file(parent.join("21800002913298"));
    assert_eq!(one, file(link.join("21800002913298")));
    assert_ne!(one, file(parent.join("21800002913299")));
    assert_ne!(one, file(temp.path().join("21800002913298")));
    let found = parent.metadata().unwrap();
    let suffix = format!(" in {}:{} {}", major(found.dev()), minor(found.dev()), found.ino());
    let hash = one.strip_prefix("identity ").and_then(|rest| rest.strip_suffix(&suffix)).unwrap();
    assert!(hash.len() == 8 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{one}");
}

#[test]
fn many_take_turns() {
    let bench = Bench::folder(0o777);
    fs::write(bench.file(), "").unwrap();
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    wait(async {
                        let lock = bench.key().lock("scanner", Duration::from_secs(60)).await.unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    });
                }
            });
        }
    });
    bench.works();
}
