//! The scanners of an engine. A scanner whose replacement is under way, or was interrupted, has two containers; to the user it
//! is one scanner all the time, under the name that they gave it.
//!
//! [`super::replacement`] defines the names and labels that tell which containers belong together.

use super::observed::{Observed, Status};
use super::values::name::of_scanner;

/// One scanner of an engine.
#[derive(Debug, Clone, Copy)]
pub struct InventoryEntry<'a> {
    /// Its own name, also where its container has a temporary one.
    pub name: &'a str,
    /// Its container; of two, the one that is up, else the old one.
    pub container: &'a Observed,
    /// The second container, during a replacement.
    pub other: Option<&'a Observed>,
}

impl InventoryEntry<'_> {
    /// Whether a replacement of it is under way, or was interrupted.
    pub fn is_unfinished(&self) -> bool {
        self.other.is_some() || self.name != self.container.name
    }
}

/// The scanners among `containers`, each of which has a scanner's mounts.
pub fn inventory<'a>(containers: &[&'a Observed]) -> Vec<InventoryEntry<'a>> {
    let old_of = |new: &Observed| containers.iter().copied().find(|old| replaces(new, old));
    let is_replaced = |old: &Observed| containers.iter().any(|new| replaces(new, old));
    let is_there = |name: &str| containers.iter().any(|it| it.name == name);
    let mut scanners = Vec::with_capacity(containers.len());
    for new in containers.iter().copied().filter(|it| !is_replaced(it)) {
        let name = of_scanner(&new.name);
        let old = old_of(new);
        let is_taken = old.is_none() && name != new.name && is_there(name);
        if is_taken && new.replaces.is_some() && new.status == Status::Created {
            // The container that it replaces is gone, and another scanner has the name: the next run removes it.
            continue;
        }
        let (container, other) = match old {
            Some(old) if !new.status.is_up() => (old, Some(new)),
            old => (new, old),
        };
        // A container with a temporary name but without a replacement's labels is a scanner of that name.
        let is_own = is_taken || (old.is_none() && new.replaces.is_none());
        scanners.push(InventoryEntry { name: if is_own { &new.name } else { name }, container, other });
    }
    scanners
}

/// Whether `new` is the replacement of `old`, both of one scanner.
fn replaces(new: &Observed, old: &Observed) -> bool {
    let noted = new.replaces.as_ref().is_some_and(|note| note.id == old.id);
    noted && new.id != old.id && of_scanner(&new.name) == of_scanner(&old.name)
}

#[cfg(test)]
mod tests {
    use super::super::example::by_hand;
    use super::super::observed::Note;
    use super::super::values::restart_policy::RestartPolicy;
    use super::*;
    use rstest::rstest;

    use Status::{Created, Exited, Running};

    /// Id, name, status, and the id in its labels.
    type Given = (&'static str, &'static str, Status, Option<&'static str>);

    fn observed((id, name, status, note): Given) -> Observed {
        let replaces = note.map(|id| Note { id: id.to_owned(), was_up: true, restart_policy: RestartPolicy::No });
        Observed { id: id.to_owned(), name: name.to_owned(), status, replaces, ..by_hand() }
    }

    /// Every row of the table in `replacement`, and what is left after someone changed containers by hand.
    #[rstest]
    #[case::nothing_replaced(&[("1", "a", Running, None), ("2", "b", Exited, None)], &["a: 1", "b: 2"])]
    #[case::finished_long_ago(&[("2", "a", Running, Some("1"))], &["a: 2"])]
    #[case::created(&[("1", "a", Running, None), ("2", "a.qcss-new", Created, Some("1"))], &["a: 1 and 2"])]
    #[case::stopped(&[("2", "a.qcss-new", Created, Some("1")), ("1", "a", Exited, None)], &["a: 1 and 2"])]
    #[case::set_aside(&[("1", "a.qcss-old", Exited, None), ("2", "a.qcss-new", Created, Some("1"))], &["a: 1 and 2"])]
    #[case::named(&[("1", "a.qcss-old", Exited, None), ("2", "a", Created, Some("1"))], &["a: 1 and 2"])]
    #[case::started(&[("2", "a", Running, Some("1")), ("1", "a.qcss-old", Exited, None)], &["a: 2 and 1"])]
    #[case::on_the_way_back(&[("1", "a.qcss-old", Exited, None), ("2", "a.qcss-new", Exited, Some("1"))], &["a: 1 and 2"])]
    #[case::of_one_that_was_replaced_before(
        &[("2", "a", Running, Some("1")), ("3", "a.qcss-new", Created, Some("2"))], &["a: 2 and 3"])]
    #[case::by_chance_alone(&[("1", "a.qcss-old", Exited, None)], &["a.qcss-old: 1"])]
    #[case::the_old_one_is_gone(&[("2", "a.qcss-new", Created, Some("1"))], &["a: 2"])]
    #[case::left_over(&[("3", "a", Running, None), ("2", "a.qcss-new", Created, Some("1"))], &["a: 3"])]
    #[case::no_left_over(&[("3", "a", Running, None), ("2", "a.qcss-new", Running, Some("1"))], &["a: 3", "a.qcss-new: 2"])]
    #[case::by_chance(&[("1", "a", Running, None), ("2", "a.qcss-old", Running, None)], &["a: 1", "a.qcss-old: 2"])]
    #[case::renamed_by_hand(&[("1", "b", Running, None), ("2", "a", Running, Some("1"))], &["b: 1", "a: 2"])]
    fn a_scanner_that_is_just_being_replaced_is_one(#[case] given: &[Given], #[case] expected: &[&str]) {
        let containers: Vec<_> = given.iter().copied().map(observed).collect();
        let shown = |it: &InventoryEntry| {
            let other = it.other.map(|other| format!(" and {}", other.id)).unwrap_or_default();
            format!("{}: {}{other}", it.name, it.container.id)
        };
        let scanners: Vec<_> = inventory(&containers.iter().collect::<Vec<_>>()).iter().map(shown).collect();
        assert_eq!(scanners, expected);
    }

    #[test]
    fn what_is_unfinished_says_so() {
        let containers =
            [("1", "a.qcss-new", Exited, Some("0")), ("2", "b", Running, Some("0")), ("3", "c.qcss-old", Exited, None)];
        let containers = containers.map(observed);
        let scanners = inventory(&containers.each_ref());
        assert_eq!(scanners.iter().map(InventoryEntry::is_unfinished).collect::<Vec<_>>(), [true, false, false]);
    }
}
