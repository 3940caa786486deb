//! How long recovery points live.

use std::fmt;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{durations::Span, schedule::DayOfWeek};

/// How long recovery points live: by day, week, month and year. A point that several rules keep lives as long as the
/// longest of them says.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// For how many days snapshots stay beside the machine, for fast restores: 1 to 5 in tier Standard (exactly 5 with a weekly
    /// schedule), 1 to 30 in Enhanced. A new policy made without it gets 2 (5 in Standard with a weekly schedule).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 30))]
    pub instant_restore_days: Option<i32>,
    /// The resource group that Azure makes for those snapshots: its name is prefix, a number, suffix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant_restore_resource_group: Option<SnapshotGroup>,
    /// Points of every day. Needed with a daily or hourly schedule, impossible with a weekly one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<DailyRetention>,
    /// Points of some days of every week. Needed with a weekly schedule, on the same days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<WeeklyRetention>,
    /// One point or more of every month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<MonthlyRetention>,
    /// One point or more of some months of every year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<YearlyRetention>,
}

/// How the snapshots' resource group is called.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotGroup {
    /// What its name begins with.
    #[schemars(length(min = 1, max = 60), regex(pattern = r"^[-\w().]+$"))]
    pub prefix: String,
    /// What its name ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 25), regex(pattern = r"^[-\w().]*[-\w()]$"))]
    pub suffix: Option<String>,
}

/// Points of every day.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DailyRetention {
    /// How long each lives, in whole days: 7d to 9999d.
    #[x_kube(validation = Rule::new("self.matches('^0*([7-9]|[1-9][0-9]{1,3})d$')").message("retention.daily.keep must be whole days, 7d to 9999d"))]
    pub keep: Span,
}

/// Points of some days of every week.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeeklyRetention {
    /// For how many weeks each lives, 1 to 5163.
    #[schemars(range(min = 1, max = 5163))]
    pub keep: i32,
    /// Of which days the points are.
    #[schemars(length(min = 1, max = 7))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub days: Vec<DayOfWeek>,
}

/// One point or more of every month.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonthlyRetention {
    /// For how many months each lives, 1 to 1188.
    #[schemars(range(min = 1, max = 1188))]
    pub keep: i32,
    /// Which days of the month.
    pub when: DayOfMonth,
}

/// One point or more of some months of every year.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct YearlyRetention {
    /// For how many years each lives, 1 to 99.
    #[schemars(range(min = 1, max = 99))]
    pub keep: i32,
    /// Of which months.
    #[schemars(length(min = 1, max = 12))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub months: Vec<Month>,
    /// Which days of those months.
    pub when: DayOfMonth,
}

/// Days of a month, called `when` and not `on`, which YAML 1.1 (and so kubectl) reads as true: either a weekday of a week (week, day) or dates (days).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.week) == has(self.day) && has(self.week) != has(self.days)").message("when needs either week and day together, or days"))]
#[serde(rename_all = "camelCase")]
pub struct DayOfMonth {
    /// Which week of the month: First, Second, Third, Fourth, Last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub week: Option<WeekOfMonth>,
    /// Which day of that week.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<DayOfWeek>,
    /// Which dates: 1 to 28, or last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 29))]
    pub days: Option<Vec<MonthDay>>,
}

/// A week of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the names say it")]
pub enum WeekOfMonth {
    First,
    Second,
    Third,
    Fourth,
    Last,
}

impl WeekOfMonth {
    /// Azure's word.
    pub fn as_str(self) -> &'static str {
        match self {
            WeekOfMonth::First => "First",
            WeekOfMonth::Second => "Second",
            WeekOfMonth::Third => "Third",
            WeekOfMonth::Fourth => "Fourth",
            WeekOfMonth::Last => "Last",
        }
    }
}

/// The months of the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Month {
    January,
    February,
    March,
    April,
    May,
    June,
    July,
    August,
    September,
    October,
    November,
    December,
}

impl Month {
    /// Azure's word.
    pub fn as_str(self) -> &'static str {
        const WORDS: [&str; 12] =
            ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
        WORDS[self as usize]
    }
}

/// A date in any month: 1 to 28, or the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MonthDay {
    /// The date. Checked to be 1 to 28 by `policy::check`.
    Date(u8),
    /// The last day of the month.
    Last,
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MonthDay::Date(date) => write!(f, "{date}"),
            MonthDay::Last => f.write_str("last"),
        }
    }
}

impl Serialize for MonthDay {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            MonthDay::Date(date) => s.serialize_u8(*date),
            MonthDay::Last => s.serialize_str("last"),
        }
    }
}

impl<'de> Deserialize<'de> for MonthDay {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reader;
        impl serde::de::Visitor<'_> for Reader {
            type Value = MonthDay;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date from 1 to 28, or last")
            }

            fn visit_u64<E: serde::de::Error>(self, date: u64) -> Result<MonthDay, E> {
                u8::try_from(date).map(MonthDay::Date).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(date), &self))
            }

            fn visit_i64<E: serde::de::Error>(self, date: i64) -> Result<MonthDay, E> {
                u8::try_from(date).map(MonthDay::Date).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(date), &self))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<MonthDay, E> {
                match word {
                    "last" => Ok(MonthDay::Last),
                    _ => word.parse().map(MonthDay::Date).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(word), &self)),
                }
            }
        }
        d.deserialize_any(Reader)
    }
}

impl JsonSchema for MonthDay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MonthDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "x-kubernetes-validations": [{
                "rule": "self == 'last' || self in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28]",
                "message": "a day of the month is a date from 1 to 28, or last",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_the_month_is_a_number_or_the_word_last() {
        let days: Vec<MonthDay> = serde_json::from_str(r#"[1, 28, "last"]"#).unwrap();
        assert_eq!(days, [MonthDay::Date(1), MonthDay::Date(28), MonthDay::Last]);
        assert_eq!(serde_json::to_string(&days).unwrap(), r#"[1,28,"last"]"#);
        for bad in ["[300]", "[-1]", r#"["first"]"#, "[true]"] {
            assert!(serde_json::from_str::<Vec<MonthDay>>(bad).is_err(), "{bad}");
        }
    }
}
