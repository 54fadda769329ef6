//! The environment of a scanner: how options reach it, and whether a variable comes from the task, the image or the engine.

use std::collections::BTreeMap;
use std::fmt;

use crate::secret::MASK;

/// Carries `personalization_code`.
pub const CODE: &str = "PERSONALIZATION_CODE";
/// Carries `qualys_url`.
pub const URL: &str = "QUALYS_URL";
/// Carries `https_proxy`.
pub const PROXY: &str = "HTTPS_PROXY";
/// Carries `polling_interval`, in seconds.
pub const POLLING_INTERVAL: &str = "SCAND_POLL_INTERVAL_SEC";
/// Carries `update_interval`, in minutes.
pub const UPDATE_INTERVAL: &str = "UPDATE_INTERVAL_MIN";
/// Carries `refresh_interval`, in minutes.
pub const REFRESH_INTERVAL: &str = "REFRESH_INTERVAL_MIN";

/// The variables that options own, each with its option: `env` may not name them.
pub const OWNED: &[(&str, &str)] = &[
    (CODE, "personalization_code"),
    (URL, "qualys_url"),
    (PROXY, "https_proxy"),
    (POLLING_INTERVAL, "polling_interval"),
    (UPDATE_INTERVAL, "update_interval"),
    (REFRESH_INTERVAL, "refresh_interval"),
];

/// Variables whose values everyone may see.
const PUBLIC: &[&str] = &[URL, POLLING_INTERVAL, UPDATE_INTERVAL, REFRESH_INTERVAL];

/// What the docker command adds from the `proxies` of its configuration, each in lower case as well.
pub const PROXIES: &[&str] = &["HTTP_PROXY", PROXY, "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// What Podman adds to a container's environment by itself.
const PODMAN: &[&str] = &["container", "HOME", "HOSTNAME", "TERM"];

/// What Podman adds where neither image nor user has a `PATH`.
const PODMANS_PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// Variables and their values; prints only the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// From the engine's `NAME=value` entries; the last of a name counts, as in the container.
    pub fn from_entries<'a>(entries: impl IntoIterator<Item = &'a String>) -> Self {
        Self(
            entries
                .into_iter()
                .filter_map(|entry| entry.split_once('='))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    /// As the engine's `NAME=value` entries, sorted by name.
    pub fn to_entries(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Adds a variable.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// The value of `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether there is no variable.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The environment of a container whose image brings this one when it is run with `own`.
    pub fn overlaid(&self, own: &Self) -> Self {
        let mut all = self.0.clone();
        all.extend(own.0.clone());
        Self(all)
    }

    /// Only the variables that `other` has as well, whatever their values.
    pub fn only_those_of(&self, other: &Self) -> Self {
        self.filtered(|name, _| other.0.contains_key(name))
    }

    /// Without the variables that `other` has, whatever their values.
    pub fn without_those_of(&self, other: &Self) -> Self {
        self.filtered(|name, _| !other.0.contains_key(name))
    }

    /// Only the proxy variables that `image` does not bring and that `wanted` does not name: by its own name, or, for `HTTPS_PROXY`
    /// that an option sets, in either case.
    pub fn foreign_proxies(&self, image: Option<&Self>, wanted: &Self) -> Self {
        let is_wanted = |name: &str| {
            wanted.0.contains_key(name) || (name.eq_ignore_ascii_case(PROXY) && wanted.0.contains_key(PROXY))
        };
        let is_of_image = |name: &str, value: &str| image.is_some_and(|image| image.value(name) == Some(value));
        let is_proxy = |name: &str| PROXIES.iter().any(|proxy| name == *proxy || name == proxy.to_ascii_lowercase());
        self.filtered(|name, value| is_proxy(name) && !is_wanted(name) && !is_of_image(name, value))
    }

    /// Only the variables that `other` has with the same value.
    pub fn common_with(&self, other: &Self) -> Self {
        self.filtered(|name, value| other.value(name) == Some(value))
    }

    /// The part of a container's environment that its `image` does not bring; all of it where the image is gone.
    pub fn beside(&self, image: Option<&Self>) -> Self {
        self.filtered(|name, value| image.is_none_or(|image| image.value(name) != Some(value)))
    }

    fn filtered(&self, keep: impl Fn(&str, &str) -> bool) -> Self {
        let kept = self.iter().filter(|(name, value)| keep(name, value));
        Self(kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Without what the engine itself put there: Podman's additions that `expected` does not ask for.
    pub fn without_podmans(&self, expected: &Self) -> Self {
        let is_podmans = |name: &str, value: &str| PODMAN.contains(&name) || (name, value) == PODMANS_PATH;
        self.filtered(|name, value| !is_podmans(name, value) || expected.0.contains_key(name))
    }

    /// The values that must not be shown, given what `image` brings: everything but the image's own and the public ones.
    pub fn secrets<'a>(&'a self, image: Option<&'a Self>) -> impl Iterator<Item = &'a str> {
        self.iter().filter_map(move |(name, value)| {
            let of_image = image.is_some_and(|image| image.value(name) == Some(value));
            (!of_image && !PUBLIC.contains(&name)).then_some(value)
        })
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, MASK))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment::from_entries(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_entry_of_a_name_counts_and_values_may_hold_anything() {
        let env = environment(&["A=1", "A=2", "B=x=y", "C=", "D=line\ntwo", "NO_VALUE"]);
        assert_eq!(env.to_entries(), ["A=2", "B=x=y", "C=", "D=line\ntwo"]);
    }

    #[test]
    fn own_variables_win_over_those_of_the_image() {
        let all = environment(&["PATH=/bin", "V=1"]).overlaid(&environment(&["V=2", "W=3"]));
        assert_eq!(all.to_entries(), ["PATH=/bin", "V=2", "W=3"]);
    }

    #[test]
    fn foreign_proxies_are_those_of_nobody_else() {
        let env = environment(&[
            "HTTP_PROXY=a",
            "http_proxy=a",
            "HTTPS_PROXY=b",
            "https_proxy=b",
            "no_proxy=c",
            "Ftp_Proxy=d",
        ]);
        let foreign = |image: &[&str], wanted: &[&str]| {
            env.foreign_proxies(Some(&environment(image)), &environment(wanted)).to_entries().join(" ")
        };
        assert_eq!(foreign(&[], &[]), "HTTPS_PROXY=b HTTP_PROXY=a http_proxy=a https_proxy=b no_proxy=c");
        assert_eq!(
            foreign(&["no_proxy=c", "http_proxy=x"], &["HTTP_PROXY=z"]),
            "HTTPS_PROXY=b http_proxy=a https_proxy=b"
        );
        assert_eq!(foreign(&[], &["HTTPS_PROXY=z"]), "HTTP_PROXY=a http_proxy=a no_proxy=c");
        assert_eq!(foreign(&[], &["https_proxy=z"]), "HTTPS_PROXY=b HTTP_PROXY=a http_proxy=a no_proxy=c");
    }

    #[test]
    fn podmans_additions_do_not_count_unless_they_were_asked_for() {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let actual = environment(&["A=1", "TERM=xterm", "container=podman", "HOSTNAME=x", path]);
        assert_eq!(actual.without_podmans(&environment(&["PATH=/bin"])).to_entries(), ["A=1", path]);
        assert_eq!(environment(&["PATH=/bin"]).without_podmans(&environment(&[])).to_entries(), ["PATH=/bin"]);
        assert_eq!(actual.without_podmans(&environment(&["TERM=dumb"])).to_entries(), ["A=1", "TERM=xterm"]);
    }

    #[test]
    fn debug_and_secrets_keep_values_apart() {
        let env = environment(&["PERSONALIZATION_CODE=canary", "QUALYS_URL=https://x", "PATH=/bin", "MINE=secret"]);
        assert!(!format!("{env:?}").contains("canary"));
        let image = environment(&["PATH=/bin"]);
        let secrets: Vec<_> = env.secrets(Some(&image)).collect();
        assert_eq!(secrets, ["secret", "canary"]);
    }
}
