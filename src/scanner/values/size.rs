//! Sizes as Docker takes them.

use parse_size::Config;

/// The bytes that `text` means: a number, maybe with a fraction, and one of b k m g t (also `kb`, `KiB`), in powers of 1024.
pub fn parse(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let known = ["", "b"].contains(&unit.as_str())
        || unit.strip_prefix(['k', 'm', 'g', 't', 'p']).is_some_and(|rest| ["", "b", "ib"].contains(&rest));
    if !known || !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    let bytes = Config::new().with_binary().parse_size(format!("{number}{unit}")).ok()?;
    // Less than a byte must not become 0, which takes a limit away.
    let is_lost = bytes == 0 && number.contains(|c: char| c.is_ascii_digit() && c != '0');
    Some(bytes).filter(|bytes| !is_lost && i64::try_from(*bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("0", 0)]
    #[case("1073741824", 1 << 30)]
    #[case("6291456b", 6 << 20)]
    #[case("1024M", 1 << 30)]
    #[case("1G", 1 << 30)]
    #[case("1g", 1 << 30)]
    #[case("1.5g", 3 << 29)]
    #[case("0.5G", 1 << 29)]
    #[case("1GB", 1 << 30)]
    #[case("1 GiB", 1 << 30)]
    #[case("2t", 2 << 40)]
    fn takes_what_docker_takes(#[case] text: &str, #[case] bytes: u64) {
        assert_eq!(parse(text), Some(bytes));
    }

    #[rstest]
    #[case("")]
    #[case("0.1")]
    #[case("0.0001k")]
    #[case("M")]
    #[case("1024X")]
    #[case("-1")]
    #[case("+1")]
    #[case("1.G")]
    #[case(".5G")]
    #[case("1.2.3G")]
    #[case("1_000")]
    #[case("1e3")]
    #[case("1Gb s")]
    #[case("1  G")]
    #[case("9999999999999999999")]
    #[case("99999999p")]
    #[case("25%")]
    fn refuses_the_rest(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }

    proptest::proptest! {
        #[test]
        fn every_unit_is_a_power_of_1024(count in 0_u64..4096, (unit, power) in proptest::sample::select(
            vec![("b", 0_u32), ("k", 1), ("m", 2), ("g", 3), ("t", 4)]
        )) {
            proptest::prop_assert_eq!(parse(&format!("{count}{unit}")), Some(count * 1024_u64.pow(power)));
        }
    }
}
