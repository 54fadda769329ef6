//! The engine's times.

use std::time::{Duration, SystemTime};

/// How long ago the RFC 3339 time `text` was, in UTC as engines write it; `None` when it is no such time or in the future
/// (a clock was set).
#[must_use]
pub fn since(text: &str) -> Option<Duration> {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + since_epoch(text)?).ok()
}

fn since_epoch(text: &str) -> Option<Duration> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, offset) = time.split_at(time.find(['Z', '+', '-'])?);
    let mut time = time.splitn(3, ':');
    let (hour, minute): (u64, u64) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let seconds: f64 = time.next()?.parse().ok()?;
    if hour > 23 || minute > 59 || !(0.0..61.0).contains(&seconds) {
        return None;
    }
    let local = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60;
    Duration::try_from_secs_f64(seconds).ok()?.checked_add(Duration::from_secs(local))?.checked_sub(ahead(offset)?)
}

/// How far the zone `offset` is ahead of UTC; behind it (which no engine in UTC writes) is not read.
fn ahead(offset: &str) -> Option<Duration> {
    if offset == "Z" {
        return Some(Duration::ZERO);
    }
    let (hours, minutes) = offset.strip_prefix('+')?.split_once(':')?;
    let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 23 && minutes <= 59).then(|| Duration::from_secs(hours * 3600 + minutes * 60))
}

/// Days from 1970 to a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468).filter(|_| in_range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("1970-01-01T00:00:00Z", Some(0.0))]
    #[case("2026-11-22T16:18:42.123456789Z", Some(1_795_364_322.123_456_7))]
    #[case("2000-02-29T23:59:59.5Z", Some(951_868_799.5))]
    #[case("2026-11-22T17:18:42+01:00", Some(1_795_364_322.0))]
    #[case("0001-01-01T00:00:00Z", None)]
    #[case("2026-13-01T00:00:00Z", None)]
    #[case("2026-01-01T24:00:00Z", None)]
    #[case("2026-01-01T18446744073709551615:00:00Z", None)]
    #[case("2026-01-01T00:00:1e19Z", None)]
    #[case("2026-01-01T00:00:00+18446744073709551615:00", None)]
    #[case("9999-12-31T23:59:59Z", Some(253_402_300_799.0))]
    #[case("yesterday", None)]
    #[case("", None)]
    fn reads_what_engines_write(#[case] text: &str, #[case] seconds: Option<f64>) {
        let read = since_epoch(text).map(|time| time.as_secs_f64());
        assert!(
            match (read, seconds) {
                (Some(read), Some(seconds)) => (read - seconds).abs() < 1e-3,
                (read, seconds) => read.is_none() && seconds.is_none(),
            },
            "{read:?}"
        );
    }

    #[test]
    fn the_future_is_no_age() {
        assert_eq!(since("9999-01-01T00:00:00Z"), None);
        assert!(since("2020-01-01T00:00:00Z").is_some());
    }
}
