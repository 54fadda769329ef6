//! The line that `AnsibleModule` leaves in the target's log: which module was invoked, with which parameters.
//!
//! It never makes a run fail: if there is no log, or the log does not take the line at once, nothing is logged.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use serde_json::{Map, Value};

use super::coerce::python_text;
use super::options::Opt;
use crate::secret;
use crate::secret::mask::Mask;

/// Where the target's log listens.
pub const SOCKET: &str = "/dev/log";

/// `AnsibleModule`'s word for a parameter that is a secret, whether it is given or not.
const NOT_LOGGED: &str = "NOT_LOGGING_PARAMETER";

/// The severity, `LOG_INFO`.
const INFO: u8 = 6;

/// How Ansible wants the line to be.
#[derive(Debug, Default)]
pub struct Log {
    /// As the user wrote it in the task, with its collection.
    pub module: String,
    /// `_ansible_syslog_facility`: `LOG_USER` and the like.
    pub facility: String,
    /// `_ansible_target_log_info`, which goes before everything.
    pub target_log_info: Option<String>,
    /// `_ansible_no_log`: nothing at all.
    pub is_off: bool,
}

impl Log {
    /// Sends the line with `values`, which are validated by `table` and masked as for `invocation`, to the log at `socket`; not
    /// when the module's name is unknown, since then it was not Ansible that called.
    pub fn tell(&self, socket: &Path, table: &[Opt], values: &Map<String, Value>) {
        if !self.is_off && !self.module.is_empty() {
            let mask = secret::mask();
            let _ = send(socket, &self.datagram(&mask, &invoked_with(&mask, table, values)));
        }
    }

    /// As RFC 3164 has it, but without a time: every log takes its own then, and knows the time zone.
    fn datagram(&self, mask: &Mask, text: &str) -> String {
        let prefix = self.target_log_info.as_ref().map(|info| format!("{info} ")).unwrap_or_default();
        let text = mask.clean_text(&format!("{prefix}{text}"));
        // A line feed in a value would start another line of the log.
        let escaped: String = text.chars().flat_map(escape).collect();
        format!("<{}>ansible-{}: {escaped}", facility(&self.facility) * 8 + INFO, self.module)
    }
}

/// `Invoked with name=x memory=None`, in the order of `table`.
fn invoked_with(mask: &Mask, table: &[Opt], values: &Map<String, Value>) -> String {
    table.iter().fold("Invoked with".to_owned(), |line, option| {
        let shown = values.get(option.name).unwrap_or(&Value::Null);
        let value = if option.secret { NOT_LOGGED.to_owned() } else { mask.clean_text(&python_text(shown)) };
        format!("{line} {}={value}", option.name)
    })
}

fn send(socket: &Path, datagram: &str) -> io::Result<usize> {
    let sender = UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?;
    sender.send_to(datagram.as_bytes(), socket)
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if c.is_control() { (None, Some(c.escape_default())) } else { (Some(c), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// The number of a facility, of `LOG_USER` for an unknown one.
fn facility(name: &str) -> u8 {
    const NAMES: &[&str] =
        &["KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV"];
    let name = name.strip_prefix("LOG_").unwrap_or(name);
    let local = name.strip_prefix("LOCAL").and_then(|number| number.parse().ok()).filter(|number| *number < 8);
    let named = || NAMES.iter().zip(0..).find(|(known, _)| **known == name).map(|(_, number)| number);
    local.map(|number: u8| 16 + number).or_else(named).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::super::no_log::masked;
    use super::super::options::{INFO_OPTIONS, NO_RULES, OPTIONS, RULES};
    use super::super::validate::validate;
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn log() -> Log {
        Log { module: "qcss_scanner".to_owned(), facility: "LOG_USER".to_owned(), ..Log::default() }
    }

    /// The line that arrives at a log.
    fn told(log: &Log, table: &'static [Opt], options: &Value) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("log");
        let listener = UnixDatagram::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let rules = if table.len() == OPTIONS.len() { RULES } else { NO_RULES };
        let valid = validate("qcss_scanner", table, rules, options.as_object().unwrap()).unwrap();
        log.tell(&socket, table, &masked(table, &valid.values));
        let mut buffer = [0; 8192];
        let length = listener.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    #[test]
    fn it_reads_like_that_of_ansible_module() {
        let options = json!({"name": "scanner-1", "timeout": "5"});
        assert_eq!(
            told(&log(), INFO_OPTIONS, &options).unwrap(),
            "<14>ansible-qcss_scanner: Invoked with name=scanner-1 docker_host=None timeout=5"
        );
        let told = told(&log(), OPTIONS, &json!({"name": "scanner-1", "purge": "yes", "labels": {"a": "b"}})).unwrap();
        for part in [" purge=True ", " labels={'a': 'b'} ", " memory=None ", " shared_dir=/usr/qualys/shared "] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn secrets_are_not_in_it() {
        let entry = json!({"name": "b", "personalization_code": "canary-2", "env": {"A": "canary-3"}});
        let options = json!({
            "personalization_code": "canary-1", "qualys_url": "https://canary-1.example.com",
            "image": "https://user:canary-5@registry/i", "network": "canary-1",
            "https_proxy": "u:canary-4@h:1", "scanners": [entry],
        });
        let told = told(&log(), OPTIONS, &options).unwrap();
        assert!(!told.contains("canary"), "{told}");
        for part in [
            " personalization_code=NOT_LOGGING_PARAMETER ",
            " env=NOT_LOGGING_PARAMETER ",
            " qualys_url=https://********.example.com ",
            " image=https://user:********@registry/i ",
            " network=VALUE_SPECIFIED_IN_NO_LOG_PARAMETER ",
            "'personalization_code': 'VALUE_SPECIFIED_IN_NO_LOG_PARAMETER'",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn it_is_as_ansible_wants_it() {
        let log = Log {
            module: "ns.coll.qcss_scanner_info".to_owned(),
            facility: "LOG_LOCAL7".to_owned(),
            target_log_info: Some("job 7".to_owned()),
            is_off: false,
        };
        assert_eq!(
            told(&log, INFO_OPTIONS, &json!({"name": "a\nb\u{7f}"})).unwrap(),
            "<190>ansible-ns.coll.qcss_scanner_info: job 7 Invoked with name=a\\nb\\u{7f} docker_host=None timeout=60"
        );
        assert_eq!(told(&Log { is_off: true, ..log }, INFO_OPTIONS, &json!({})), None);
    }

    #[rstest]
    #[case("LOG_KERN", 0)]
    #[case("LOG_USER", 1)]
    #[case("LOG_AUTHPRIV", 10)]
    #[case("LOG_LOCAL0", 16)]
    #[case("LOG_LOCAL8", 1)]
    #[case("", 1)]
    fn facilities_have_their_numbers(#[case] name: &str, #[case] number: u8) {
        assert_eq!(facility(name), number);
    }

    #[test]
    fn a_host_without_a_log_is_fine() {
        log().tell(Path::new("/nonexistent/log"), INFO_OPTIONS, &Map::new());
    }
}
