//! Another user, who owns the folder of an identity directory, exchanges directory and link all the time, while the module
//! makes, changes and deletes: nothing outside may be made, changed or deleted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rstest::rstest;
use rustix::fs::{CWD, Mode as Bits, RenameFlags, mkdirat, renameat_with};

use super::tests::directory;
use super::{create, open, open_in, set_aside, set_mode};
use crate::scanner::values::directory::{Mode, Owner};

const ROUNDS: usize = 1000;

/// What was there, with modes and inodes.
fn snapshot(path: &Path) -> Vec<(PathBuf, u32, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let metadata = fs::symlink_metadata(&folder).unwrap();
        found.push((folder.clone(), metadata.permissions().mode(), metadata.ino()));
        if metadata.is_dir() {
            folders.extend(fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

/// Puts `below/x` into the directory `code` of `folder`, following no link itself.
fn fill(folder: &Path) -> rustix::io::Result<()> {
    let mut directory = open_in(open(folder)?, Path::new("code"))?;
    for name in ["below", "x"] {
        let _ = mkdirat(&directory, name, Bits::RWXU);
        directory = open_in(&directory, Path::new(name))?;
    }
    Ok(())
}

#[rstest]
#[case::the_directory_itself("code")]
#[case::something_in_it("code/below")]
fn nothing_escapes(#[case] swapped: &str) {
    let temp = tempfile::tempdir().unwrap();
    let outside = temp.path().join("outside");
    fs::create_dir_all(outside.join("below/deep")).unwrap();
    fs::write(outside.join("below/precious"), "").unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o751)).unwrap();
    let before = snapshot(&outside);
    let folder = temp.path().join("private");
    let identity = folder.join("code");
    let (victim, link) = (folder.join(swapped), folder.join("link"));
    let is_over = AtomicBool::new(false);
    let swapper = || {
        while !is_over.load(Ordering::Relaxed) {
            let _ = renameat_with(CWD, &victim, CWD, &link, RenameFlags::EXCHANGE);
        }
    };
    let mut done = [0_usize; 3];
    std::thread::scope(|scope| {
        fs::create_dir(&folder).unwrap();
        symlink(&outside, &link).unwrap();
        scope.spawn(swapper);
        let mode = Mode::parse("0700").unwrap();
        for _ in 0..ROUNDS {
            let path = directory(&identity);
            done[0] += usize::from(create(&path, Some(mode), &Owner::Root, &mut Vec::new()).is_ok());
            let _ = fill(&folder);
            done[1] += usize::from(set_mode(&path, mode).is_ok());
            done[2] += usize::from(set_aside(&path).and_then(super::Aside::delete).is_ok());
            // Both may be gone now, or the directory may be where the link was.
            if fs::symlink_metadata(&link).is_err() {
                let _ = symlink(&outside, &link);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(snapshot(&outside), before);
    assert!(done.iter().all(|done| *done > 0), "not everything was tried: {done:?}");
}
