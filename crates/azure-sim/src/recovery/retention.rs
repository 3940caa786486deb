//! How long a policy keeps a point: the longest of its daily, weekly, monthly and yearly rules that fits (backup.md §7.1, §12.4).

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan};
use serde_json::Value;

use super::schedule::{OfDay, Slot, weekdays};

/// The rule that keeps a point, as `ruleName` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// `Daily`
    Daily,
    /// `Weekly`
    Weekly,
    /// `Monthly`
    Monthly,
    /// `Yearly`
    Yearly,
}

impl Rule {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Daily => "Daily",
            Rule::Weekly => "Weekly",
            Rule::Monthly => "Monthly",
            Rule::Yearly => "Yearly",
        }
    }
}

/// Until when, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The end of the point.
    pub until: Timestamp,
    /// The rule that says so.
    pub rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    Every,
    OfWeek(Vec<Weekday>),
    OfMonth { dates: Vec<i8>, last: bool },
    InWeeks { days: Vec<Weekday>, weeks: Vec<String> },
}

#[derive(Clone, Debug)]
struct Keeping {
    rule: Rule,
    days: Days,
    /// January is 1; empty is every month.
    months: Vec<i8>,
    count: i64,
    unit: String,
}

/// A policy's retention, read from its properties.
#[derive(Clone, Debug)]
pub struct Retention {
    keepings: Vec<Keeping>,
    zone: TimeZone,
}

impl Retention {
    /// The retention in a policy's `properties`, with dates in `zone`; `None` when some rule does not read.
    pub fn read(properties: &Value, zone: TimeZone) -> Option<Self> {
        let policy = &properties["retentionPolicy"];
        let mut keepings = Vec::new();
        for (field, rule) in [
            ("dailySchedule", Rule::Daily),
            ("weeklySchedule", Rule::Weekly),
            ("monthlySchedule", Rule::Monthly),
            ("yearlySchedule", Rule::Yearly),
        ] {
            if !policy[field].is_null() {
                keepings.push(Keeping::read(rule, &policy[field])?);
            }
        }
        Some(Retention { keepings, zone })
    }

    /// How long a point taken at `taken` for `slot` is kept; `None` when no rule wants it.
    pub fn keep(&self, taken: Timestamp, slot: &Slot) -> Option<Kept> {
        let wanted = self.keepings.iter().filter(|keeping| keeping.wants(slot));
        wanted
            .filter_map(|keeping| Some(Kept { until: self.end(taken, keeping.span()?)?, rule: keeping.rule }))
            .max_by_key(|kept| (kept.until, kept.rule))
    }

    /// Count and unit of one rule.
    pub fn duration(&self, rule: Rule) -> Option<(i64, &str)> {
        self.keepings.iter().find(|keeping| keeping.rule == rule).map(|keeping| (keeping.count, keeping.unit.as_str()))
    }

    /// Days of the week that the weekly rule names.
    pub fn weekly_days(&self) -> Option<&[Weekday]> {
        self.keepings.iter().find(|keeping| keeping.rule == Rule::Weekly).and_then(|keeping| match &keeping.days {
            Days::OfWeek(days) => Some(days.as_slice()),
            _ => None,
        })
    }

    /// Whether some rule of `self` is missing, or shorter, in `other`.
    pub fn shortened_by(&self, other: &Retention) -> bool {
        self.keepings.iter().any(|old| !other.keepings.iter().any(|new| new.rule == old.rule && new.rough_days() >= old.rough_days()))
    }

    fn end(&self, taken: Timestamp, span: Span) -> Option<Timestamp> {
        Some(taken.to_zoned(self.zone.clone()).checked_add(span).ok()?.timestamp())
    }
}

impl Keeping {
    fn read(rule: Rule, schedule: &Value) -> Option<Self> {
        let duration = &schedule["retentionDuration"];
        let days = match rule {
            Rule::Daily => Days::Every,
            Rule::Weekly => Days::OfWeek(weekdays(&schedule["daysOfTheWeek"])?),
            Rule::Monthly | Rule::Yearly => Days::read(schedule)?,
        };
        let months = match rule {
            Rule::Yearly => {
                schedule["monthsOfYear"].as_array()?.iter().map(|month| month_number(month.as_str()?)).collect::<Option<Vec<i8>>>()?
            }
            _ => Vec::new(),
        };
        Some(Keeping { rule, days, months, count: duration["count"].as_i64()?, unit: duration["durationType"].as_str()?.to_owned() })
    }

    fn wants(&self, slot: &Slot) -> bool {
        let month = self.months.is_empty() || self.months.contains(&slot.date.month());
        (self.rule == Rule::Daily || slot.of_day == OfDay::First) && month && self.days.contain(slot.date)
    }

    fn span(&self) -> Option<Span> {
        Some(match self.unit.as_str() {
            "Days" => self.count.days(),
            "Weeks" => self.count.weeks(),
            "Months" => self.count.months(),
            "Years" => self.count.years(),
            _ => return None,
        })
    }

    fn rough_days(&self) -> i64 {
        self.count
            * match self.unit.as_str() {
                "Weeks" => 7,
                "Months" => 30,
                "Years" => 365,
                _ => 1,
            }
    }
}

impl Days {
    fn read(schedule: &Value) -> Option<Self> {
        match schedule["retentionScheduleFormatType"].as_str()? {
            "Daily" => {
                let list = schedule["retentionScheduleDaily"]["daysOfTheMonth"].as_array().filter(|list| !list.is_empty())?;
                let last = list.iter().any(|day| day["isLast"].as_bool() == Some(true));
                let dates = list.iter().filter(|day| day["isLast"].as_bool() != Some(true));
                Some(Days::OfMonth { dates: dates.map(|day| i8::try_from(day["date"].as_i64()?).ok()).collect::<Option<_>>()?, last })
            }
            "Weekly" => {
                let body = &schedule["retentionScheduleWeekly"];
                let weeks = body["weeksOfTheMonth"].as_array().filter(|list| !list.is_empty())?;
                Some(Days::InWeeks {
                    days: weekdays(&body["daysOfTheWeek"])?,
                    weeks: weeks.iter().map(|week| week.as_str().map(str::to_owned)).collect::<Option<_>>()?,
                })
            }
            _ => None,
        }
    }

    fn contain(&self, date: Date) -> bool {
        match self {
            Days::Every => true,
            Days::OfWeek(days) => days.contains(&date.weekday()),
            Days::OfMonth { dates, last } => dates.contains(&date.day()) || (*last && date.day() == date.days_in_month()),
            Days::InWeeks { days, weeks } => {
                let ordinal = ["First", "Second", "Third", "Fourth", "Fifth"][usize::try_from((date.day() - 1) / 7).unwrap_or(0)];
                let is_last = date.day() + 7 > date.days_in_month();
                days.contains(&date.weekday()) && weeks.iter().any(|week| week == ordinal || (week == "Last" && is_last))
            }
        }
    }
}

fn month_number(name: &str) -> Option<i8> {
    const NAMES: [&str; 12] =
        ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
    NAMES.iter().position(|month| *month == name).and_then(|index| i8::try_from(index + 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn retention() -> Retention {
        let policy = json!({"retentionPolicy": {
            "dailySchedule": {"retentionDuration": {"count": 30, "durationType": "Days"}},
            "weeklySchedule": {"daysOfTheWeek": ["Sunday"], "retentionDuration": {"count": 12, "durationType": "Weeks"}},
            "monthlySchedule": {"retentionScheduleFormatType": "Weekly", "retentionScheduleWeekly": {"daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["First", "Last"]},
                "retentionDuration": {"count": 12, "durationType": "Months"}},
            "yearlySchedule": {"retentionScheduleFormatType": "Daily", "monthsOfYear": ["February"],
                "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 0, "isLast": true}]}, "retentionDuration": {"count": 7, "durationType": "Years"}}}});
        Retention::read(&policy, TimeZone::UTC).unwrap()
    }

    fn kept(date: &str, of_day: OfDay) -> (String, Rule) {
        let at: Timestamp = format!("{date}T02:00:00Z").parse().unwrap();
        let kept = retention().keep(at, &Slot { at, date: date.parse().unwrap(), of_day }).unwrap();
        (kept.until.to_string(), kept.rule)
    }

    #[test]
    fn the_longest_rule_that_fits_the_day_wins() {
        let cases = [
            ("2026-01-05", OfDay::First, "2026-02-04T02:00:00Z", Rule::Daily),
            ("2026-01-11", OfDay::First, "2026-04-05T02:00:00Z", Rule::Weekly),
            ("2026-01-04", OfDay::First, "2027-01-04T02:00:00Z", Rule::Monthly),
            ("2026-01-25", OfDay::First, "2027-01-25T02:00:00Z", Rule::Monthly),
            ("2026-02-28", OfDay::First, "2033-02-28T02:00:00Z", Rule::Yearly),
            ("2026-01-04", OfDay::Later, "2026-02-03T02:00:00Z", Rule::Daily),
        ];
        for (date, of_day, until, rule) in cases {
            assert_eq!(kept(date, of_day), (until.to_owned(), rule), "{date}");
        }
    }

    #[test]
    fn less_of_any_rule_is_a_shortening() {
        let policy =
            |days: i64| json!({"retentionPolicy": {"dailySchedule": {"retentionDuration": {"count": days, "durationType": "Days"}}}});
        let read = |days| Retention::read(&policy(days), TimeZone::UTC).unwrap();
        assert!(read(30).shortened_by(&read(29)));
        assert!(!read(30).shortened_by(&read(30)));
        assert!(!read(30).shortened_by(&retention()));
        assert!(retention().shortened_by(&read(9999)));
    }
}
