//! A policy's body, whoever wrote it, in a form that can be compared: times by time of day, lists as sets, words without
//! case (backup.md §7.2).

use std::{collections::BTreeSet, fmt};

use breakwater_api::schedule::{DayOfWeek, TimeOfDay};
use serde_json::Value;

use super::cadence::Cadence;

/// What a policy's body says. A part that is absent, or that this version cannot read, is told apart.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub enhanced: bool,
    pub zone: Option<String>,
    pub schedule: Part<Cadence>,
    pub daily: Part<Rule>,
    pub weekly: Part<Rule>,
    pub monthly: Part<Rule>,
    pub yearly: Part<Rule>,
    pub instant_days: Option<i64>,
    pub snapshot_group: Option<(String, String)>,
    pub archive: Option<String>,
    pub crash_only: bool,
}

/// A part of a body.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part<T> {
    /// Not there.
    Absent,
    /// There, and understood.
    Read(T),
    /// There, and not understood: the JSON as it is.
    Unread(String),
}

impl<T: fmt::Display> fmt::Display for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Absent => f.write_str("none"),
            Part::Read(part) => part.fmt(f),
            Part::Unread(json) => f.write_str(json),
        }
    }
}

/// How long the points of some days live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// How many of `unit`.
    pub count: i64,
    /// Days, weeks, months or years.
    pub unit: Unit,
    /// Which points: `First Sunday`, `January 1`, ... Empty for every day's.
    pub of: BTreeSet<String>,
}

/// Azure's `durationType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Days,
    Weeks,
    Months,
    Years,
}

impl Rule {
    /// About how many days a point lives; exact between rules of one unit.
    pub(super) fn days(&self) -> i64 {
        self.count
            * match self.unit {
                Unit::Days => 1,
                Unit::Weeks => 7,
                Unit::Months => 30,
                Unit::Years => 365,
            }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.count, format!("{:?}", self.unit).to_lowercase())?;
        if self.of.is_empty() { Ok(()) } else { write!(f, " of {}", self.of.iter().cloned().collect::<Vec<_>>().join(", ")) }
    }
}

impl Shape {
    /// Reads a policy: the whole resource, or its `properties`.
    pub(super) fn read(body: &Value) -> Self {
        let properties = body.get("properties").unwrap_or(body);
        let retention = &properties["retentionPolicy"];
        let details = &properties["instantRPDetails"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let group = (text(&details["azureBackupRGNamePrefix"]), text(&details["azureBackupRGNameSuffix"]));
        Shape {
            enhanced: is(&properties["policyType"], "V2"),
            zone: properties["timeZone"].as_str().map(str::to_owned),
            schedule: part(&properties["schedulePolicy"], cadence),
            daily: part(&retention["dailySchedule"], |rule| read_rule(rule, |_| Some(BTreeSet::new()))),
            weekly: part(&retention["weeklySchedule"], |rule| read_rule(rule, |rule| names(&rule["daysOfTheWeek"]))),
            monthly: part(&retention["monthlySchedule"], |rule| read_rule(rule, days_of_month)),
            yearly: part(&retention["yearlySchedule"], |rule| read_rule(rule, days_of_year)),
            instant_days: properties["instantRpRetentionRangeInDays"].as_i64(),
            snapshot_group: (group != (String::new(), String::new())).then_some(group),
            archive: archive(&properties["tieringPolicy"]["ArchivedRP"]),
            crash_only: is(&properties["snapshotConsistencyType"], "OnlyCrashConsistent"),
        }
    }
}

fn is(value: &Value, word: &str) -> bool {
    value.as_str().is_some_and(|text| text.eq_ignore_ascii_case(word))
}

fn part<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Part<T> {
    if value.is_null() {
        return Part::Absent;
    }
    read(value).map_or_else(|| Part::Unread(value.to_string()), Part::Read)
}

fn cadence(policy: &Value) -> Option<Cadence> {
    let frequency = &policy["scheduleRunFrequency"];
    // V1 has the times at the top, V2 below the schedule of its frequency.
    let below = |name: &str| if policy[name].is_null() { policy } else { &policy[name] }.clone();
    if is(frequency, "Daily") {
        Some(Cadence::Daily { at: times(&below("dailySchedule")["scheduleRunTimes"])? })
    } else if is(frequency, "Weekly") {
        let weekly = below("weeklySchedule");
        Some(Cadence::Weekly { days: weekdays(&weekly["scheduleRunDays"])?, at: times(&weekly["scheduleRunTimes"])? })
    } else if is(frequency, "Hourly") {
        let hourly = &policy["hourlySchedule"];
        let from = time_of_day(&hourly["scheduleWindowStartTime"])?;
        let every = hourly["interval"].as_i64().filter(|hours| *hours > 0)?;
        Some(Cadence::Hourly { every, from, hours: hourly["scheduleWindowDuration"].as_i64()? })
    } else {
        None
    }
}

/// `2024-01-01T02:00:00.000Z` is 02:00: the date means nothing.
fn time_of_day(value: &Value) -> Option<TimeOfDay> {
    let (_, time) = value.as_str()?.split_once(['T', 't'])?;
    time.get(..5)?.parse().ok()
}

fn times(list: &Value) -> Option<BTreeSet<TimeOfDay>> {
    list.as_array().filter(|list| !list.is_empty())?.iter().map(time_of_day).collect()
}

fn weekdays(list: &Value) -> Option<BTreeSet<DayOfWeek>> {
    let day = |value: &Value| DayOfWeek::ALL.into_iter().find(|day| is(value, day.as_str()));
    list.as_array().filter(|list| !list.is_empty())?.iter().map(day).collect()
}

/// A list of words as a set, in Azure's spelling: `sunday` is `Sunday`.
fn names(list: &Value) -> Option<BTreeSet<String>> {
    let name = |value: &Value| {
        let word = value.as_str()?;
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + &letters.as_str().to_ascii_lowercase())
    };
    list.as_array().filter(|list| !list.is_empty())?.iter().map(name).collect()
}

fn read_rule(rule: &Value, of: impl Fn(&Value) -> Option<BTreeSet<String>>) -> Option<Rule> {
    let duration = &rule["retentionDuration"];
    let units = [("Days", Unit::Days), ("Weeks", Unit::Weeks), ("Months", Unit::Months), ("Years", Unit::Years)];
    let (_, unit) = units.into_iter().find(|(word, _)| is(&duration["durationType"], word))?;
    Some(Rule { count: duration["count"].as_i64()?, unit, of: of(rule)? })
}

fn days_of_month(rule: &Value) -> Option<BTreeSet<String>> {
    if is(&rule["retentionScheduleFormatType"], "Weekly") {
        let format = &rule["retentionScheduleWeekly"];
        return Some(pairs(&names(&format["weeksOfTheMonth"])?, &names(&format["daysOfTheWeek"])?));
    }
    let date = |day: &Value| match (day["isLast"].as_bool(), day["date"].as_i64()) {
        (Some(true), _) => Some("last".to_owned()),
        (_, Some(date)) => Some(date.to_string()),
        _ => None,
    };
    rule["retentionScheduleDaily"]["daysOfTheMonth"].as_array().filter(|list| !list.is_empty())?.iter().map(date).collect()
}

fn days_of_year(rule: &Value) -> Option<BTreeSet<String>> {
    Some(pairs(&names(&rule["monthsOfYear"])?, &days_of_month(rule)?))
}

fn pairs(first: &BTreeSet<String>, second: &BTreeSet<String>) -> BTreeSet<String> {
    first.iter().flat_map(|a| second.iter().map(move |b| format!("{a} {b}"))).collect()
}

/// `None` for no archiving: absent, or `DoNotTier`. What comes back beside `TierRecommended` (0, `Invalid`) says nothing.
fn archive(tiering: &Value) -> Option<String> {
    let mode = tiering["tieringMode"].as_str()?;
    if mode.eq_ignore_ascii_case("TierRecommended") {
        Some("recommended".to_owned())
    } else if mode.eq_ignore_ascii_case("TierAfter") {
        let unit = tiering["durationType"].as_str().unwrap_or("Months").to_lowercase();
        Some(format!("after {} {unit}", tiering["duration"]))
    } else if mode.eq_ignore_ascii_case("DoNotTier") || mode.eq_ignore_ascii_case("Invalid") {
        None
    } else {
        Some(mode.to_owned())
    }
}
