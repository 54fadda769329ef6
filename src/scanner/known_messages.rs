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
    use super::*;

    #[test]
    fn each_known_message_has_its_cure() {
        for (words, cure) in KNOWN {
            let log = ["starting".to_owned(), format!("2026-01-01 ERROR: {words} !")];
            assert_eq!(for_log(&log), Some(*cure));
        }
        assert_eq!(for_log(&["segmentation fault".to_owned()]), None);
    }
}
