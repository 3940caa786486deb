//! Durations as users write them: `400d`, `1d12h`, `15m`.

use std::{fmt, str::FromStr, time::Duration};

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in whole seconds; a day is always 24 hours.
///
/// Parses any sequence of `<number><d|h|m|s>`; `Display` is canonical (largest units first), so `36h` prints `1d12h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u32);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It does not follow `^([0-9]+(d|h|m|s))+$`.
    #[error("{0:?} is not a duration: write numbers with units, like 30d, 1d12h or 15m")]
    Malformed(String),
    /// It is longer than 100 years.
    #[error("{0:?} is longer than 100 years")]
    TooLong(String),
}

const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
const LONGEST: u32 = 36_525 * 86_400;

impl Span {
    /// The pattern of the schema.
    pub const PATTERN: &'static str = "^([0-9]+(d|h|m|s))+$";

    /// So many days of 24 hours; at most 100 years.
    pub fn days(days: u16) -> Self {
        Span((u32::from(days) * 86_400).min(LONGEST))
    }

    /// So many hours.
    pub fn hours(hours: u16) -> Self {
        Span(u32::from(hours) * 3_600)
    }

    /// So many minutes.
    pub fn minutes(minutes: u16) -> Self {
        Span(u32::from(minutes) * 60)
    }

    /// The length in seconds.
    pub fn as_secs(self) -> i64 {
        i64::from(self.0)
    }

    /// As std's unsigned duration.
    pub fn as_duration(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }

    /// As jiff's signed duration, to add to a timestamp.
    pub fn as_signed(self) -> SignedDuration {
        SignedDuration::from_secs(self.as_secs())
    }

    /// The number of days, when it is a whole one.
    pub fn whole_days(self) -> Option<i64> {
        self.0.is_multiple_of(86_400).then(|| self.as_secs() / 86_400)
    }

    /// The number of hours, when it is a whole one.
    pub fn whole_hours(self) -> Option<i64> {
        self.0.is_multiple_of(3_600).then(|| self.as_secs() / 3_600)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let malformed = || SpanError::Malformed(text.into());
        let too_long = || SpanError::TooLong(text.into());
        let mut total: u32 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&at| at > 0).ok_or_else(malformed)?;
            let (number, tail) = rest.split_at(digits);
            let unit = tail.chars().next().ok_or_else(malformed)?;
            let (_, seconds) = UNITS.iter().find(|(letter, _)| *letter == unit).ok_or_else(malformed)?;
            let part = number.parse::<u32>().ok().and_then(|n| n.checked_mul(*seconds)).ok_or_else(too_long)?;
            total = total.checked_add(part).filter(|t| *t <= LONGEST).ok_or_else(too_long)?;
            rest = &tail[1..];
        }
        if text.is_empty() { Err(malformed()) } else { Ok(Span(total)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut left = self.0;
        for (letter, seconds) in UNITS {
            if left >= seconds {
                write!(f, "{}{letter}", left / seconds)?;
                left %= seconds;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Span::PATTERN, "maxLength": 32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_prints_in_its_canonical_form() {
        for (written, printed, seconds) in
            [("400d", "400d", 34_560_000), ("36h", "1d12h", 129_600), ("15m", "15m", 900), ("90s30m", "31m30s", 1_890), ("0h", "0s", 0)]
        {
            let span: Span = written.parse().unwrap();
            assert_eq!((span.to_string().as_str(), span.as_secs()), (printed, seconds), "{written}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in ["", "d", "30", "30 d", "-1d", "1w", "1.5h", "d30", "30dd", "１d"] {
            assert!(matches!(bad.parse::<Span>(), Err(SpanError::Malformed(_))), "{bad}");
        }
        for bad in ["36526d", "99999999999d", "4294967295s1s"] {
            assert!(matches!(bad.parse::<Span>(), Err(SpanError::TooLong(_))), "{bad}");
        }
    }

    #[test]
    fn whole_days_and_hours_are_none_when_something_is_left_over() {
        assert_eq!(Span::days(30).whole_days(), Some(30));
        assert_eq!("1d12h".parse::<Span>().unwrap().whole_days(), None);
        assert_eq!("1d12h".parse::<Span>().unwrap().whole_hours(), Some(36));
        assert_eq!("90m".parse::<Span>().unwrap().whole_hours(), None);
    }
}
