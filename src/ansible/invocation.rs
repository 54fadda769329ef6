//! The arguments file: the task's own options, and Ansible's `_ansible_*` keys beside them.

use std::path::Path;

use serde_json::{Map, Value};

use super::json;
use super::syslog::Log;
use crate::error::{Error, Result};
use crate::file;

/// One call by Ansible.
#[derive(Debug, Default)]
pub struct Invocation {
    /// As the user wrote it in the task, without collection: `qcss_scanner`.
    pub module: String,
    /// Predict, change nothing.
    pub check_mode: bool,
    /// Report `diff`.
    pub diff: bool,
    /// What goes into the target's log.
    pub log: Log,
    /// The task's own options, as they came.
    pub options: Map<String, Value>,
}

impl Invocation {
    /// Reads the arguments file at `path`.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            Error::invalid(format!("cannot read the arguments file `{}`: {}", path.display(), file::reason(&error)))
        })?;
        Self::parse(&bytes)
            .map_err(|cause| Error::invalid(format!("cannot use the arguments file `{}`: {cause}", path.display())))
    }

    /// Separates the keys that Ansible adds from the user's.
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let Value::Object(entries) = json::parse(bytes)? else {
            return Err("it is not a JSON object".to_owned());
        };
        let mut invocation = Self::default();
        for (key, value) in entries {
            match key.strip_prefix("_ansible_") {
                None => {
                    invocation.options.insert(key, value);
                }
                Some("check_mode") => invocation.check_mode = value == Value::Bool(true),
                Some("diff") => invocation.diff = value == Value::Bool(true),
                Some("module_name") => {
                    let name = text(value);
                    // `ansible.legacy.qcss_scanner` and `ns.coll.qcss_scanner` are `qcss_scanner`.
                    invocation.module = name.rsplit('.').next().unwrap_or_default().to_owned();
                    invocation.log.module = name;
                }
                Some("syslog_facility") => invocation.log.facility = text(value),
                Some("target_log_info") => {
                    invocation.log.target_log_info = Some(text(value)).filter(|it| !it.is_empty());
                }
                Some("no_log") => invocation.log.is_off = value == Value::Bool(true),
                Some(_) => {}
            }
        }
        Ok(invocation)
    }
}

/// A string; anything else, which Ansible does not send, counts as empty.
fn text(value: Value) -> String {
    if let Value::String(text) = value { text } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_ansible_are_parted_from_the_options() {
        let text = br#"{"name": "x", "_ansible_check_mode": true, "_ansible_new_in_2031": {"a": NaN},
                        "_ansible_no_log": true, "_ansible_syslog_facility": "LOG_CRON", "_ansible_target_log_info": null,
                        "_ansible_module_name": "ns.coll.qcss_scanner", "_ansible_diff": false, "nul": null}"#;
        let invocation = Invocation::parse(text).unwrap();
        assert_eq!((invocation.check_mode, invocation.diff), (true, false));
        assert_eq!(invocation.module, "qcss_scanner");
        let log = &invocation.log;
        assert_eq!((log.module.as_str(), log.facility.as_str()), ("ns.coll.qcss_scanner", "LOG_CRON"));
        assert_eq!((log.is_off, &log.target_log_info), (true, &None));
        assert_eq!(invocation.options.keys().collect::<Vec<_>>(), ["name", "nul"]);
    }

    #[test]
    fn anything_but_an_object_is_refused() {
        for text in ["[]", "\"x\"", "", "{"] {
            Invocation::parse(text.as_bytes()).unwrap_err();
        }
        let error = Invocation::read(Path::new("/nonexistent/args")).unwrap_err();
        assert!(error.message.starts_with("cannot read the arguments file `/nonexistent/args`: "), "{error}");
    }
}
