//! Times and durations as ARM writes them: with and without a zone, with sentinels, in three notations.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// A time as received. [`ArmTime::instant`] says what it means.
///
/// In JSON a bare text. Not `transparent`: the contract checks know times by the name that serde is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmTime(pub String);

impl ArmTime {
    /// The instant; `None` for Azure's ways to say "never" (years 1 and 2001, backup.md §3.2, §8.4), for an
    /// empty text, and for what is no time.
    pub fn instant(&self) -> Option<Timestamp> {
        parse_time(&self.0)
    }

    /// True when this is a time, or one of the ways to say "never"; false for garbage.
    pub fn is_readable(&self) -> bool {
        self.0.is_empty() || self.0.starts_with(NEVER) || self.instant().is_some() || is_sentinel(&self.0)
    }
}

/// A duration as received. [`ArmDuration::duration`] says how long it is.
///
/// In JSON a bare text, and not `transparent`, as [`ArmTime`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmDuration(pub String);

impl ArmDuration {
    /// How long; `None` for what is no duration.
    pub fn duration(&self) -> Option<SignedDuration> {
        parse_duration(&self.0)
    }
}

/// How .NET's smallest date begins: "not yet".
const NEVER: &str = "0001-01-01T00:00:00";

/// Backup's "no backup so far" (backup.md §8.4).
const NO_BACKUP_YET: &str = "2001-01-01T00:00:00";

fn is_sentinel(text: &str) -> bool {
    text.strip_prefix(NO_BACKUP_YET).is_some_and(|rest| rest.trim_matches(|c| "Z.0".contains(c)).is_empty())
}

/// Nothing in Azure is later: to a time at the end of the calendar, as .NET's largest date is, nothing can be added.
const LATEST: Timestamp = Timestamp::constant(7_258_118_400, 0); // 2200-01-01

/// RFC 3339, or the same without a zone (then UTC); sentinels and garbage are `None`, and what is after 2200 is then.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.starts_with(NEVER) || is_sentinel(text) {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.min(LATEST));
    }
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().min(LATEST))
}

/// A time as the property bags of jobs write it, UTC: `6/13/2024 12:00:00 AM` (backup.md §11.1).
pub fn parse_us_time(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime("%m/%d/%Y %I:%M:%S %p", text.trim()).ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().min(LATEST))
}

/// ISO 8601 (`PT41M11.1877936S`, `P15D`) or a .NET TimeSpan (`13.23:59:42.8656002`, `00:05:00`).
/// A day counts 24 hours; months and years, which have no length, are `None`.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    if text.trim_start_matches('-').starts_with(['P', 'p']) { parse_iso(text) } else { parse_time_span(text) }
}

fn parse_iso(text: &str) -> Option<SignedDuration> {
    let span: jiff::Span = text.parse().ok()?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return None;
    }
    span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()
}

/// `[-][d.]hh:mm:ss[.fffffff]`
fn parse_time_span(text: &str) -> Option<SignedDuration> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (hours, rest) = text.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let (days, hours) = hours.split_once('.').unwrap_or(("0", hours));
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let number = |s: &str, below: i64| s.parse::<i64>().ok().filter(|n| (0..below).contains(n));
    let whole = number(days, 10_000_000)? * 86_400 + number(hours, 24)? * 3600 + number(minutes, 60)? * 60 + number(seconds, 60)?;
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    let length = SignedDuration::new(whole, nanos);
    Some(if negative { -length } else { length })
}

/// The time format of Backup's list filters, UTC: `2024-05-01 12:00:00 AM` (backup.md §4.5).
pub fn backup_filter_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %I:%M:%S %p").to_string()
}

/// An HTTP `Date`: `Sun, 28 Apr 2024 06:40:09 GMT`.
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_a_zone_are_the_same_instant() {
        let zoned = parse_time("2024-10-11T08:32:23.8465440Z").unwrap();
        assert_eq!(parse_time("2024-10-11T08:32:23.8465440"), Some(zoned));
        assert_eq!(parse_time("2024-10-11T10:32:23.846544+02:00"), Some(zoned));
        assert_eq!(parse_time("2024-10-11T08:32:23.846544+00:00"), Some(zoned));
    }

    #[test]
    fn to_every_time_something_can_be_added() {
        for last in ["9999-12-30T21:59:59Z", "9999-12-30T21:59:59", "2200-01-01T00:00:01Z"] {
            assert_eq!(parse_time(last), Some(LATEST), "{last}");
        }
        assert_eq!(parse_us_time("12/30/9999 11:00:00 AM"), Some(LATEST));
    }

    #[test]
    fn sentinels_and_garbage_are_no_time_but_only_garbage_is_unreadable() {
        for never in ["0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "2001-01-01T00:00:00Z", ""] {
            assert_eq!(parse_time(never), None, "{never}");
            assert!(ArmTime(never.into()).is_readable(), "{never}");
        }
        assert!(!ArmTime("yesterday".into()).is_readable());
        assert!(parse_time("2001-01-01T00:00:01Z").is_some());
    }

    #[test]
    fn durations_in_each_notation() {
        let cases = [
            ("PT41M11.1877936S", Some((2471, 187_793_600))),
            ("PT1H2M24.1198378S", Some((3744, 119_837_800))),
            ("P15D", Some((15 * 86_400, 0))),
            ("13.23:59:42.8656002", Some((14 * 86_400 - 18, 865_600_200))),
            ("00:05:00", Some((300, 0))),
            ("-00:00:01.5", Some((-1, -500_000_000))),
            ("25:00:00", None),
            ("P1Y", None),
            ("soon", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_duration(text), wanted.map(|(s, n)| SignedDuration::new(s, n)), "{text}");
        }
    }

    #[test]
    fn the_times_of_property_bags_are_american_and_utc() {
        let cases = [
            ("6/13/2024 12:00:00 AM", Some("2024-06-13T00:00:00Z")),
            ("10/10/2024 8:36:42 AM", Some("2024-10-10T08:36:42Z")),
            ("2/25/2022 10:32:21 PM", Some("2022-02-25T22:32:21Z")),
            ("12/31/2026 12:30:00 PM", Some("2026-12-31T12:30:00Z")),
            ("13/6/2024 12:00:00 AM", None),
            ("6/13/2024 13:00:00 AM", None),
            ("6/13/2024", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_us_time(text), wanted.map(|t| t.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn filters_have_midnight_as_twelve() {
        assert_eq!(backup_filter_time("2024-05-01T00:00:00Z".parse().unwrap()), "2024-05-01 12:00:00 AM");
        assert_eq!(backup_filter_time("2024-05-01T15:04:05Z".parse().unwrap()), "2024-05-01 03:04:05 PM");
    }

    #[test]
    fn the_date_of_an_answer_is_an_instant() {
        assert_eq!(parse_http_date("Sun, 28 Apr 2024 06:40:09 GMT"), "2024-04-28T06:40:09Z".parse().ok());
        assert_eq!(parse_http_date("28 April"), None);
    }
}
