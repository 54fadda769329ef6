//! Where the lock files of a user are: root's in `/var/lib`, anybody else's at home.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::geteuid;

use crate::error::{Error, Kind, Result};

/// Root's folder.
const OF_ROOT: &str = "/var/lib/qcss_scanner";
/// Anybody else's, in the home.
const AT_HOME: &str = ".qcss_scanner";
/// The user database. Read here and not by getpwuid: that needs `unsafe`, and the one of musl reads no more than this file.
const USERS: &str = "/etc/passwd";
/// More than the user database of any host has.
const MOST: u64 = 16 << 20;

/// The folder for the lock files of the user that this process runs as.
///
/// Not a variable of the environment, which two runs of one user need not have in common: `become_user` keeps some of the
/// variables of the user who logs in.
pub fn of_user() -> Result<PathBuf> {
    let user = geteuid();
    if user.is_root() {
        return Ok(PathBuf::from(OF_ROOT));
    }
    // Users of a directory service are not in the file.
    let variable = || std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home = users().ok().and_then(|users| home(users, user.as_raw())).or_else(variable);
    home.map(|home| home.join(AT_HOME)).ok_or_else(|| {
        let message =
            "this user has no home directory for lock files; run the task with become: true, or as a user who has one";
        Error::new(Kind::PermissionDenied, format!("{message}: uid `{}`", user.as_raw()))
    })
}

fn users() -> io::Result<impl BufRead> {
    let file = File::from(open(USERS, OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    Ok(BufReader::new(file.take(MOST)))
}

/// The home of `user` among the lines `name:password:uid:gid:comment:home:shell`, if it is an absolute path. A comment need
/// not be UTF-8.
fn home(users: impl BufRead, user: u32) -> Option<PathBuf> {
    let lines = users.split(b'\n').map_while(Result::ok);
    let mut homes = lines.filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':').skip(2);
        let is_it = str::from_utf8(fields.next()?).ok()?.parse() == Ok(user);
        let home = Path::new(OsStr::from_bytes(fields.nth(2)?));
        (is_it && home.is_absolute()).then(|| home.to_owned())
    });
    homes.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const USERS: &str = "\
root:x:0:0:root:/root:/bin/bash
+nis::::::
short:x:1000
\u{fffd}\n\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
relative:x:1001:1001::home:/bin/sh
empty:x:1002:1002:::
scanner:x:1003:1003:Scanner, Room 1:/srv/with space:/bin/sh
again:x:1003:1003::/home/again:/bin/sh
last:x:1004:1004::/home/last";

    #[rstest]
    #[case(65534, Some("/nonexistent"))]
    #[case(1000, None)]
    #[case(1001, None)]
    #[case(1002, None)]
    #[case(1003, Some("/srv/with space"))]
    #[case(1004, Some("/home/last"))]
    #[case(1, None)]
    fn a_home_is_the_first_of_its_uid(#[case] user: u32, #[case] expected: Option<&str>) {
        assert_eq!(home(USERS.as_bytes(), user).as_deref(), expected.map(Path::new));
    }

    #[test]
    fn bytes_that_are_no_text_are_taken_as_they_are() {
        let users = [&b"a:x:7:7:\xff:/a:/bin/sh\n"[..], b"b:x:8:8:\xe9:/\xe9:/bin/sh"].concat();
        assert_eq!(home(users.as_slice(), 7).unwrap(), Path::new("/a"));
        assert_eq!(home(users.as_slice(), 8).unwrap(), Path::new(OsStr::from_bytes(b"/\xe9")));
    }
}
