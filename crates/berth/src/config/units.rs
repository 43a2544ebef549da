//! Values with units, as people write them: `250ms`, `10s`, `64KiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(pub Duration);

impl Period {
    pub const fn days(days: u64) -> Self {
        Self::seconds(days * 24 * 60 * 60)
    }

    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

const PERIODS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        amount(text, PERIODS)
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| format!("`{text}` is not a length of time: write a whole number and ms, s, m, h or d, such as 10s"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_amount(f, u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX), PERIODS, "s")
    }
}

/// A number of bytes: a whole number and `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

const SIZES: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        amount(text, SIZES)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size: write a whole number and B, KiB, MiB or GiB, such as 1MiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_amount(f, self.0, SIZES, "B")
    }
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (_, factor) = units.iter().find(|(unit, _)| *unit == &text[digits..])?;
    text[..digits].parse::<u64>().ok()?.checked_mul(*factor)
}

fn write_amount(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)], of_zero: &str) -> fmt::Result {
    if value == 0 {
        return write!(f, "0{of_zero}");
    }
    let (unit, factor) = units.iter().find(|(_, factor)| value.is_multiple_of(*factor)).unwrap_or(&("", 1));
    write!(f, "{}{unit}", value / factor)
}

macro_rules! as_text {
    ($($type:ty),+) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )+ };
}

as_text!(Period, Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_in_the_largest_unit_that_fits() {
        for (text, written) in [("10s", "10s"), ("1500ms", "1500ms"), ("60s", "1m"), ("24h", "1d"), ("0s", "0s")] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), written);
        }
        for (text, written) in [("1024B", "1KiB"), ("1500B", "1500B"), ("3MiB", "3MiB")] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn a_number_without_a_unit_or_too_large_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
