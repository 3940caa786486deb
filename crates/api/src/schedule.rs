//! When machines are backed up.

use std::{fmt, str::FromStr};

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{durations::Span, ids};

/// When backups are taken: exactly one of daily, weekly, hourly.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(has(self.daily) ? 1 : 0) + (has(self.weekly) ? 1 : 0) + (has(self.hourly) ? 1 : 0) == 1").message("schedule needs exactly one of daily, weekly, hourly"))]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Once a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<DailySchedule>,
    /// Once on each of some days of the week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<WeeklySchedule>,
    /// Several times a day inside a window (tier Enhanced only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<HourlySchedule>,
}

/// Once a day.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DailySchedule {
    /// The time of day, HH:00 or HH:30, in spec.timeZone.
    pub at: TimeOfDay,
}

/// Once on each of some days of the week.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeeklySchedule {
    /// The days: Sunday, Monday, ...
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<DayOfWeek>,
    /// The time of day, HH:00 or HH:30, in spec.timeZone.
    pub at: TimeOfDay,
}

/// Several times a day.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("self.__for__ in (self.every == '4h' ? ['4h', '8h', '12h', '16h', '20h', '24h', '1d'] : self.every == '6h' ? ['6h', '12h', '18h', '24h', '1d'] : self.every == '8h' ? ['8h', '16h', '24h', '1d'] : ['12h', '24h', '1d'])").message("hourly.for must be a multiple of hourly.every, up to 24h"))]
#[serde(rename_all = "camelCase")]
pub struct HourlySchedule {
    /// The interval: 4h, 6h, 8h or 12h.
    #[x_kube(validation = Rule::new("self in ['4h', '6h', '8h', '12h']").message("hourly.every must be 4h, 6h, 8h or 12h"))]
    pub every: Span,
    /// When the window begins, HH:00 or HH:30, in spec.timeZone.
    pub from: TimeOfDay,
    /// How long the window is: a multiple of every, 4h to 24h.
    #[serde(rename = "for")]
    pub window: Span,
}

/// The days of the week, in Azure's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the names say it")]
pub enum DayOfWeek {
    Sunday,
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
}

impl DayOfWeek {
    /// All seven, Sunday first.
    pub const ALL: [DayOfWeek; 7] = [
        DayOfWeek::Sunday,
        DayOfWeek::Monday,
        DayOfWeek::Tuesday,
        DayOfWeek::Wednesday,
        DayOfWeek::Thursday,
        DayOfWeek::Friday,
        DayOfWeek::Saturday,
    ];

    /// Azure's word.
    pub fn as_str(self) -> &'static str {
        match self {
            DayOfWeek::Sunday => "Sunday",
            DayOfWeek::Monday => "Monday",
            DayOfWeek::Tuesday => "Tuesday",
            DayOfWeek::Wednesday => "Wednesday",
            DayOfWeek::Thursday => "Thursday",
            DayOfWeek::Friday => "Friday",
            DayOfWeek::Saturday => "Saturday",
        }
    }

    /// The day in jiff's words.
    pub fn weekday(self) -> jiff::civil::Weekday {
        jiff::civil::Weekday::from_sunday_zero_offset(self as i8).expect("seven days, Sunday is zero")
    }
}

impl fmt::Display for DayOfWeek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A time of day to the minute: `02:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

/// Why a text is no time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time of day: write HH:MM, like 02:00")]
pub struct TimeOfDayError(String);

impl TimeOfDay {
    /// The time, when there is one with that hour and minute.
    pub fn new(hour: u8, minute: u8) -> Option<Self> {
        (hour < 24 && minute < 60).then_some(TimeOfDay { hour, minute })
    }

    /// 0 to 23.
    pub fn hour(self) -> u8 {
        self.hour
    }

    /// 0 to 59.
    pub fn minute(self) -> u8 {
        self.minute
    }

    /// As jiff's civil time.
    pub fn civil(self) -> jiff::civil::Time {
        jiff::civil::time(self.hour as i8, self.minute as i8, 0, 0)
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let digits = |s: &str| (s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit())).then(|| s.parse().ok()).flatten();
        text.split_once(':').and_then(|(h, m)| TimeOfDay::new(digits(h)?, digits(m)?)).ok_or_else(|| TimeOfDayError(text.into()))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TimeOfDay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": ids::TIME_OF_DAY, "maxLength": 5 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_two_digits_and_two_digits() {
        assert_eq!("02:30".parse::<TimeOfDay>().unwrap().to_string(), "02:30");
        for bad in ["", "2:00", "24:00", "12:60", "12", "12:00:00", "+1:00", "aa:bb"] {
            assert!(bad.parse::<TimeOfDay>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_is_the_same_day_for_jiff() {
        assert_eq!(DayOfWeek::Sunday.weekday(), jiff::civil::Weekday::Sunday);
        assert_eq!(DayOfWeek::Saturday.weekday(), jiff::civil::Weekday::Saturday);
    }
}
