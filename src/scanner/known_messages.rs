//! The messages that the vendor's scanner is known to end with, each with its cause and cure.

/// Words of the scanner's log, and the cause with the cure.
const KNOWN: &[(&str, &str)] = &[
    (
        "Shared store is not mounted",
        "nothing is mounted at /usr/local/qualys: check that shared_dir exists on the Docker host and is not an empty mount",
    ),
    (
        "Private store is not mounted",
        "nothing is mounted at /usr/local/qualys/admin/etc: check that private_dir exists on the Docker host",
    ),
    (
        "perscode has already been used",
        "the personalization code was used before, from another private directory or host: give private_dir where the \
         scanner's identity is, or generate a new code in the Qualys subscription",
    ),
    ("required variable is not defined, use -e QUALYS_URL", "QUALYS_URL is missing: give qualys_url"),
];

/// The cause and cure for a known message in a scanner's `log`.
pub fn for_log(log: &[String]) -> Option<&'static str> {
    KNOWN.iter().find(|(words, _)| log.iter().any(|line| line.contains(words))).map(|(_, cure)| *cure)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Shared store is not mounted !", Some("shared_dir"))]
    #[case("2026-01-01 ERROR: Private store is not mounted", Some("private_dir"))]
    #[case("perscode has already been used", Some("generate a new code"))]
    #[case("QUALYS_URL: required variable is not defined, use -e QUALYS_URL=...", Some("give qualys_url"))]
    #[case("segmentation fault", None)]
    fn a_known_message_has_its_cure(#[case] line: &str, #[case] cure: Option<&str>) {
        let found = for_log(&["starting".to_owned(), line.to_owned()]);
        assert_eq!(found.is_some(), cure.is_some(), "{found:?}");
        assert!(found.is_none_or(|found| cure.is_some_and(|cure| found.contains(cure))), "{found:?}");
    }

    #[test]
    fn the_known_messages_are_those_of_the_documentation() {
        let page = include_str!("../../docs/troubleshooting.md");
        let section = page.split("\n## ").find(|it| it.starts_with("By the scanner's own message")).unwrap();
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.collect::<BTreeSet<_>>(), KNOWN.iter().map(|(words, _)| *words).collect());
    }
}
