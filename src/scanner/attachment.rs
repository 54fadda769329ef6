//! The networks that a container is attached to, which may be others than the one that it was made on.

use std::collections::BTreeMap;

/// The name that this module gives to an engine's default network.
pub const DEFAULT: &str = "bridge";

/// The name that Podman gives to its default network.
pub const PODMANS_DEFAULT: &str = "podman";

/// What Podman shows as the network of a container that is down and has none; no network of it has this name.
pub const OF_NONE: &str = "bridge";

/// Networks that every engine has; no other network takes their names, and a container does not note their ids for long.
const BUILT_IN: &[&str] = &[DEFAULT, "host", "none"];

/// The networks of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The network that it was made on, by name; `bridge` for the engine's default. Of a container that has no network of its
    /// own, the engine's word for what it has instead: `host`, `none`, `container:ID`.
    pub made_on: String,
    /// Whether `made_on` is a network that a container can be disconnected from.
    pub is_detachable: bool,
    /// The networks that it is attached to, by name, each with the id that the container noted of it; the id is empty before
    /// the container is first started on that network.
    pub networks: BTreeMap<String, String>,
}

impl Attachment {
    /// Whether it is attached to the network called `name`.
    pub fn is_on(&self, name: &str) -> bool {
        self.networks.contains_key(name) || (!self.is_detachable && self.made_on == name)
    }

    /// Whether it was disconnected from the network that it was made on.
    pub fn is_off_its_own(&self) -> bool {
        self.is_detachable && !self.networks.contains_key(&self.made_on)
    }

    /// The networks that it is attached to beside the one that it was made on.
    pub fn further(&self) -> impl Iterator<Item = &str> {
        self.networks.keys().map(String::as_str).filter(|name| *name != self.made_on)
    }

    /// The networks that may have been removed while it was down, each with the id that the container noted.
    pub fn removable(&self) -> impl Iterator<Item = (&str, &str)> {
        let built_in = |name: &str| BUILT_IN.contains(&name);
        self.networks.iter().map(|(name, id)| (name.as_str(), id.as_str())).filter(move |(name, _)| !built_in(name))
    }

    /// For people: the names of the networks; `None` where there is none.
    pub fn shown(&self) -> Option<String> {
        if self.is_detachable || !self.networks.is_empty() {
            let names: Vec<_> = self.networks.keys().map(String::as_str).collect();
            return (!names.is_empty()).then(|| names.join(", "));
        }
        (!self.made_on.is_empty()).then(|| self.made_on.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    pub fn attachment(made_on: &str, is_detachable: bool, networks: &[&str]) -> Attachment {
        let networks = networks.iter().map(|&name| (name.to_owned(), String::new())).collect();
        Attachment { made_on: made_on.to_owned(), is_detachable, networks }
    }

    #[rstest]
    #[case::as_made("bridge", true, &["bridge"], "bridge", false, &[], Some("bridge"))]
    #[case::connected_to_another("bridge", true, &["bridge", "lan"], "lan", false, &["lan"], Some("bridge, lan"))]
    #[case::moved("bridge", true, &["lan"], "lan", true, &["lan"], Some("lan"))]
    #[case::the_hosts("host", false, &["host"], "host", false, &[], Some("host"))]
    #[case::the_hosts_on_podman("host", false, &[], "host", false, &[], Some("host"))]
    #[case::anothers("container:1", false, &[], "container:1", false, &[], Some("container:1"))]
    fn is_what_counts_and_not_where_it_was_made(
        #[case] made_on: &str,
        #[case] is_detachable: bool,
        #[case] networks: &[&str],
        #[case] on: &str,
        #[case] is_off: bool,
        #[case] further: &[&str],
        #[case] shown: Option<&str>,
    ) {
        let attachment = attachment(made_on, is_detachable, networks);
        assert!(attachment.is_on(on));
        assert!(!attachment.is_on("other"));
        assert_eq!(attachment.is_off_its_own(), is_off);
        assert_eq!(attachment.further().collect::<Vec<_>>(), further);
        assert_eq!(attachment.shown().as_deref(), shown);
    }

    #[test]
    fn may_be_to_nothing() {
        let nowhere = attachment("lan", true, &[]);
        assert!(nowhere.is_off_its_own() && !nowhere.is_on("lan"));
        assert_eq!(nowhere.shown(), None);
    }

    #[test]
    fn only_networks_that_people_make_can_be_removed() {
        let attachment = attachment("bridge", true, &["bridge", "host", "lan", "none"]);
        assert_eq!(attachment.removable().collect::<Vec<_>>(), [("lan", "")]);
    }
}
