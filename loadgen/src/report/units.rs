//! Numbers as people read them.

use indicatif::{HumanBytes, HumanCount};

/// A number with three digits that count, and thousands apart.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("{sign}{}", HumanCount(size.round() as u64))
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.2}")
    }
}

/// A number that is round already, such as an axis' tick.
pub fn number_round(value: f64) -> String {
    let (value, unit) = if value.abs() >= 1e6 {
        (value / 1e6, " M")
    } else {
        (value, "")
    };
    if value.fract() == 0.0 {
        return format!("{}{unit}", HumanCount(value as u64));
    }
    let text = format!("{value:.3}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A count, thousands apart.
pub fn count(count: u64) -> String {
    HumanCount(count).to_string()
}

/// A time given in microseconds, in the unit that suits it.
pub fn time(microseconds: f64) -> String {
    if microseconds < 0.9995 {
        format!("{} ns", number((microseconds * 1e3).round()))
    } else if microseconds < 999.5 {
        format!("{} µs", number(microseconds))
    } else if microseconds < 999.5e3 {
        format!("{} ms", number(microseconds / 1e3))
    } else {
        format!("{} s", number(microseconds / 1e6))
    }
}

/// A time in microseconds that is round already, such as an axis' tick.
pub fn time_round(microseconds: f64) -> String {
    let (value, unit) = match microseconds {
        0.0..1.0 => (microseconds * 1e3, "ns"),
        1.0..1e3 => (microseconds, "µs"),
        1e3..1e6 => (microseconds / 1e3, "ms"),
        _ => (microseconds / 1e6, "s"),
    };
    format!("{} {unit}", number_round(value))
}

/// Bytes, in the unit that suits them.
pub fn bytes(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    format!("{sign}{}", HumanBytes(bytes.abs().round() as u64))
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{}%", number(share * 100.0))
}

/// Seconds; minutes and hours are left to the reader.
pub fn seconds(seconds: f64) -> String {
    format!("{} s", number(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_take_the_unit_that_suits_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.234, "1.23"),
            (9.999, "10.0"),
            (99.96, "100"),
            (12_345.6, "12,346"),
            (-1234.0, "-1,234"),
        ] {
            assert_eq!(number(value), text);
        }
        for (microseconds, text) in [
            (0.064, "64.0 ns"),
            (0.99951, "1.00 µs"),
            (35.61, "35.6 µs"),
            (999.6, "1.00 ms"),
            (12_345.0, "12.3 ms"),
            (1.5e6, "1.50 s"),
        ] {
            assert_eq!(time(microseconds), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (5000.0, "5,000"),
            (2.5e6, "2.5 M"),
        ] {
            assert_eq!(number_round(value), text);
        }
        for (microseconds, text) in [
            (0.5, "500 ns"),
            (20.0, "20 µs"),
            (5e3, "5 ms"),
            (1e6, "1 s"),
        ] {
            assert_eq!(time_round(microseconds), text);
        }
        assert_eq!(bytes(-2048.0), "-2.00 KiB");
        assert_eq!(percent(0.051), "5.10%");
    }
}
