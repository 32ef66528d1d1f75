//! Lifetimes as people write them: `90d`.

const UNITS: [(char, u64); 6] =
    [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 604_800), ('y', 365 * 86_400)];
/// A hundred years: longer is a mistake, and "never" is said by saying nothing.
const SECONDS_MAX: u64 = 100 * 365 * 86_400;

/// Reads a number and a unit; answers seconds.
pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "write a number and a unit (s, m, h, d, w or y), such as `90d`".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (_, factor) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(wrong)?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    match number.checked_mul(*factor) {
        Some(seconds @ 1..=SECONDS_MAX) => Ok(seconds),
        Some(0) => Err("it would have expired already".to_owned()),
        Some(_) | None => Err("at most `100y`; leave it out for a token that does not expire".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_number_and_a_unit() {
        assert_eq!(seconds("90d"), Ok(90 * 86_400));
        assert_eq!(seconds("1y"), Ok(31_536_000));
        for bad in [
            "",
            "d",
            "90",
            "-1d",
            "1.5h",
            "0s",
            "101y",
            "99999999999999999999s",
            "5€",
            "18446744073709551615y",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
