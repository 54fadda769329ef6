//! The options of one task with their types: what the user typed, not yet what is meant ([`crate::scanner::desired`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};

/// One field for each entry of [`super::options::OPTIONS`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the options are documented where users read, in library/qcss_scanner.yml")]
pub struct Arguments {
    pub name: Option<String>,
    pub personalization_code: Option<String>,
    pub qualys_url: Option<String>,
    pub image: Option<String>,
    pub shared_dir: String,
    pub private_dir: String,
    pub private_dir_mode: Option<String>,
    pub memory: Option<String>,
    pub memory_swap: Option<String>,
    pub cpus: Option<String>,
    pub overcommit: Overcommit,
    pub https_proxy: Option<String>,
    pub polling_interval: Option<i64>,
    pub update_interval: Option<i64>,
    pub refresh_interval: Option<i64>,
    pub ca_dir: Option<String>,
    pub network: Option<String>,
    pub env: Option<BTreeMap<String, Value>>,
    pub restart_policy: Option<String>,
    pub privileged: Option<bool>,
    pub labels: Option<BTreeMap<String, Value>>,
    pub pull: Pull,
    pub image_archive: Option<String>,
    pub registry_username: Option<String>,
    pub registry_password: Option<String>,
    pub state: State,
    pub recreate: Recreate,
    pub restart: bool,
    pub purge: bool,
    pub settle: f64,
    pub stop_timeout: Option<i64>,
    pub docker_host: Option<String>,
    pub timeout: i64,
    pub scanners: Option<Value>,
    /// The options that the task itself gave.
    #[serde(skip)]
    pub given: BTreeSet<&'static str>,
}

/// What to do when the limits of all scanners together would exceed the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overcommit {
    /// Refuse.
    Deny,
    /// Warn.
    Warn,
    /// Nothing.
    Allow,
}

/// When to pull the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// When it is not there.
    Missing,
    /// Each time, to have the newest.
    Always,
    /// Not at all.
    Never,
}

/// The state that the scanner shall be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There and running.
    Started,
    /// There, running or not.
    Present,
    /// There and not running.
    Stopped,
    /// Not there.
    Absent,
}

impl State {
    /// The user's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Present => "present",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
        }
    }
}

/// Whether a scanner may be, or must be, replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recreate {
    /// When a difference needs it.
    Auto,
    /// Also without a difference.
    Always,
    /// Not at all: fail instead.
    Never,
}

impl Arguments {
    /// Takes validated `values`.
    pub fn new(values: Map<String, Value>, given: BTreeSet<&'static str>) -> Result<Self> {
        let arguments: Self = serde_json::from_value(Value::Object(values))
            .map_err(|_| Error::new(Kind::Internal, "an option is missing in the program; report this as a defect"))?;
        Ok(Self { given, ..arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{OPTIONS, TOGETHER};
    use super::super::validate::validate;
    use super::*;
    use serde_json::json;

    #[test]
    fn every_option_has_its_field_and_every_choice_its_variant() {
        let options = json!({"name": "ab"});
        let valid = validate("qcss_scanner", OPTIONS, TOGETHER, options.as_object().unwrap()).unwrap();
        Arguments::new(valid.values.clone(), valid.given.clone()).unwrap();
        for option in OPTIONS {
            for choice in option.choices {
                let mut values = valid.values.clone();
                values.insert(option.name.to_owned(), json!(choice));
                Arguments::new(values, valid.given.clone()).unwrap();
            }
        }
    }
}
