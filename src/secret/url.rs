//! Passwords in URLs, by their place alone: nobody has to know them.

use std::ops::Range;

/// Where in `text` passwords are: `https://user:PASSWORD@host`, the same without a scheme (an image, a proxy), and the values of a
/// query (`?token=PASSWORD`).
pub fn passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    if !text.contains(['@', '?']) {
        return found;
    }
    let mut begin = 0;
    for word in text.split_inclusive(|c: char| c.is_whitespace() || "`\"<>".contains(c)) {
        let within = |range: Range<usize>| begin + range.start..begin + range.end;
        found.extend(of_user(word).map(within));
        found.extend(of_query(word).into_iter().map(within));
        begin += word.len();
    }
    found
}

/// The part between the user and the host.
fn of_user(word: &str) -> Option<Range<usize>> {
    let ends = word.rmatch_indices('@').map(|(at, _)| at);
    // `name:tag@sha256:…` is an image.
    let end = ends.into_iter().find(|at| !word.get(at + 1..).is_some_and(|host| host.starts_with("sha256:")))?;
    let (scheme, rest) = match word.get(..end)?.split_once("://") {
        Some((scheme, rest)) => (scheme.len() + 3, rest),
        None => (0, word.get(..end)?),
    };
    let (user, password) = rest.split_once(':')?;
    // A mount is `/host:/container`.
    let is_path = scheme == 0 && user.contains('/');
    (!is_path && !password.is_empty()).then_some(scheme + user.len() + 1..end)
}

/// The values behind a question mark.
fn of_query(word: &str) -> Vec<Range<usize>> {
    let Some((before, query)) = word.split_once('?') else { return Vec::new() };
    let mut begin = before.len() + 1;
    let mut values = Vec::new();
    for part in query.split_inclusive(['&', ';', '#']) {
        let end = part.trim_end_matches(|c: char| c.is_whitespace() || "`\"<>&;#".contains(c)).len();
        let named =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-[]%".contains(&b));
        if let Some(name) = part.find('=').filter(|at| part.get(..*at).is_some_and(named))
            && name + 1 < end
        {
            values.push(begin + name + 1..begin + end);
        }
        begin += part.len();
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://u:PW@h", &["PW"])]
    #[case("tcp://u:PW@10.0.0.1:2375", &["PW"])]
    #[case("see `https://u:P@W@h/x` and http://v:QW@h.", &["P@W", "QW"])]
    #[case("u:PW@reg/x", &["PW"])]
    #[case("reg/x:1@sha256:00", &[])]
    #[case("u:PW@reg/x:1@sha256:00", &["PW"])]
    #[case("https://u:p/w:1@h", &["p/w:1"])]
    #[case("https://u@h:443/x", &[])]
    #[case("-v /a:/b@c:z", &[])]
    #[case("mail x@y", &[])]
    #[case("https://h?token=PW&x=QW`; why?", &["PW", "QW"])]
    #[case("https://h/?=&a=", &[])]
    #[case("https://u:PW@h?t=QW#rest", &["PW", "QW"])]
    #[case("is it so? a=b", &[])]
    fn passwords_are_found_by_their_place(#[case] text: &str, #[case] expected: &[&str]) {
        let found: Vec<_> = passwords(text).into_iter().map(|range| &text[range]).collect();
        assert_eq!(found, expected);
    }
}
