//! When a policy backs up: its times of day in its own time zone (backup.md §7.1, §7.3).

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, ToSpan};
use serde_json::Value;
use windows_timezones::WindowsTimezone;

/// Which backup of its day a slot is: weekly, monthly and yearly retention tag one backup a day, and for
/// several a day that it is the first is a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfDay {
    /// The first, or the only one.
    First,
    /// A later one of an hourly schedule.
    Later,
}

/// One moment at which a policy wants a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The instant.
    pub at: Timestamp,
    /// The local date of the day (hourly: of the window) it belongs to.
    pub date: Date,
    /// Its place in that day.
    pub of_day: OfDay,
}

/// A policy's schedule, read from its properties.
#[derive(Clone, Debug)]
pub struct Schedule {
    cadence: Cadence,
    zone: TimeZone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cadence {
    Daily { times: Vec<Time> },
    Weekly { days: Vec<Weekday>, times: Vec<Time> },
    Hourly { every: i64, from: Time, hours: i64 },
}

impl Schedule {
    /// The schedule in a policy's `properties`; `None` for what is not a machine policy's.
    pub fn read(properties: &Value) -> Option<Self> {
        let zone = zone(properties.get("timeZone").and_then(Value::as_str).unwrap_or("UTC"))?;
        Some(Schedule { cadence: Cadence::read(&properties["schedulePolicy"])?, zone })
    }

    /// Its time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Backups in a week.
    pub fn per_week(&self) -> i64 {
        let count = |list: usize| i64::try_from(list).unwrap_or(i64::MAX);
        match &self.cadence {
            Cadence::Daily { times } => 7 * count(times.len()),
            Cadence::Weekly { days, times } => count(days.len() * times.len()),
            Cadence::Hourly { every, hours, .. } => 7 * (hours / every.max(&1) + 1).min(24 / every.max(&1)),
        }
    }

    /// The first slot later than `after`.
    ///
    /// Local times that a change of clocks skips move later by its width, and of those that come twice the first
    /// counts (jiff's "compatible"); what the service does there is not documented.
    pub fn next_after(&self, after: Timestamp) -> Option<Slot> {
        let today = after.to_zoned(self.zone.clone()).date();
        // A window may have begun yesterday; a weekly schedule comes round within eight days. Days do not overlap, since
        // no window is longer than a day: the first slot found is the earliest.
        (-1..=8).filter_map(|days| today.checked_add(days.days()).ok()).flat_map(|date| self.slots_of(date)).find(|slot| slot.at > after)
    }

    fn slots_of(&self, date: Date) -> Vec<Slot> {
        let offsets: Vec<(Time, Span, OfDay)> = match &self.cadence {
            Cadence::Daily { times } => times.iter().map(|time| (*time, Span::new(), OfDay::First)).collect(),
            Cadence::Weekly { days, times } if days.contains(&date.weekday()) => {
                times.iter().map(|time| (*time, Span::new(), OfDay::First)).collect()
            }
            Cadence::Weekly { .. } => Vec::new(),
            // Both ends of the window count (every 4 h over 12 h is four backups); over 24 h the end is the next day's start.
            Cadence::Hourly { every, from, hours } => (0..=hours / every.max(&1))
                .filter(|turn| turn * every < 24)
                .map(|turn| (*from, (turn * every).hours(), if turn == 0 { OfDay::First } else { OfDay::Later }))
                .collect(),
        };
        let instant = |time: Time, offset: Span| date.to_datetime(time).checked_add(offset).ok()?.to_zoned(self.zone.clone()).ok();
        offsets
            .into_iter()
            .filter_map(|(time, offset, of_day)| Some(Slot { at: instant(time, offset)?.timestamp(), date, of_day }))
            .collect()
    }
}

impl Cadence {
    /// Reads a `schedulePolicy` of either generation.
    pub(super) fn read(policy: &Value) -> Option<Self> {
        let frequency = policy["scheduleRunFrequency"].as_str()?;
        let v2 = policy["schedulePolicyType"].as_str()? == "SimpleSchedulePolicyV2";
        match frequency {
            "Daily" => Some(Cadence::Daily { times: times(if v2 { &policy["dailySchedule"] } else { policy }, "scheduleRunTimes")? }),
            "Weekly" => {
                let body = if v2 { &policy["weeklySchedule"] } else { policy };
                Some(Cadence::Weekly { days: weekdays(&body["scheduleRunDays"])?, times: times(body, "scheduleRunTimes")? })
            }
            "Hourly" if v2 => {
                let body = &policy["hourlySchedule"];
                Some(Cadence::Hourly {
                    every: body["interval"].as_i64()?,
                    from: time_of_day(&body["scheduleWindowStartTime"])?,
                    hours: body["scheduleWindowDuration"].as_i64()?,
                })
            }
            _ => None,
        }
    }

    /// The time every `retentionTimes` must equal (§7.3): the schedule's own, or the start of the window.
    pub(super) fn retention_time(&self) -> Option<Time> {
        match self {
            Cadence::Daily { times } | Cadence::Weekly { times, .. } => times.first().copied(),
            Cadence::Hourly { from, .. } => Some(*from),
        }
    }
}

/// The zone of a Windows zone id (`W. Europe Standard Time`); `None` when it is none.
pub fn zone(windows_id: &str) -> Option<TimeZone> {
    let zone: WindowsTimezone = windows_id.parse().ok()?;
    TimeZone::get(zone.tzdb_id()).ok()
}

/// The time of day in a full date-time string, whose date means nothing (§7.2).
pub(super) fn time_of_day(value: &Value) -> Option<Time> {
    let time: Timestamp = value.as_str()?.parse().ok()?;
    Some(time.to_zoned(TimeZone::UTC).time())
}

/// Every time of day in a list; `None` when the list is missing, empty or has something else in it.
pub(super) fn times(body: &Value, field: &str) -> Option<Vec<Time>> {
    let list = body[field].as_array().filter(|list| !list.is_empty())?;
    list.iter().map(time_of_day).collect()
}

/// Every weekday in a list of English names; `None` as for [`times`].
pub(super) fn weekdays(list: &Value) -> Option<Vec<Weekday>> {
    let list = list.as_array().filter(|list| !list.is_empty())?;
    list.iter().map(|day| weekday(day.as_str()?)).collect()
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name {
        "Monday" => Weekday::Monday,
        "Tuesday" => Weekday::Tuesday,
        "Wednesday" => Weekday::Wednesday,
        "Thursday" => Weekday::Thursday,
        "Friday" => Weekday::Friday,
        "Saturday" => Weekday::Saturday,
        "Sunday" => Weekday::Sunday,
        _ => return None,
    })
}

/// How many days a policy keeps snapshots beside the machine (`instantRpRetentionRangeInDays`).
pub fn instant_days(properties: &Value) -> SignedDuration {
    SignedDuration::from_hours(24 * properties["instantRpRetentionRangeInDays"].as_i64().unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn daily(zone: &str, time: &str) -> Value {
        json!({"timeZone": zone, "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily",
            "scheduleRunTimes": [format!("2024-01-01T{time}:00Z")]}})
    }

    fn run(properties: &Value, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::read(properties).unwrap();
        let mut last = at(from);
        (0..count)
            .map(|_| {
                last = schedule.next_after(last).unwrap().at;
                last.to_string()
            })
            .collect()
    }

    #[test]
    fn a_daily_time_is_local_and_follows_the_change_of_clocks() {
        let policy = daily("W. Europe Standard Time", "02:30");
        // 29 March 2026: 02:30 does not exist and becomes 03:30; 25 October: it comes twice and the first counts.
        assert_eq!(run(&policy, "2026-03-27T12:00:00Z", 3), ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]);
        assert_eq!(run(&policy, "2026-10-23T12:00:00Z", 3), ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    }

    #[test]
    fn backups_of_a_week_are_as_many_as_its_slots() {
        let v2 = |schedule: Value| json!({"timeZone": "UTC", "schedulePolicy": schedule});
        let hourly = |every: i64, hours: i64| {
            v2(json!({"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Hourly",
                "hourlySchedule": {"interval": every, "scheduleWindowStartTime": "2024-01-01T08:00:00Z", "scheduleWindowDuration": hours}}))
        };
        let weekly = v2(json!({"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Weekly",
            "scheduleRunDays": ["Monday", "Friday"], "scheduleRunTimes": ["2024-01-01T02:00:00Z"]}));
        for (properties, wanted) in
            [(daily("UTC", "02:00"), 7), (weekly, 2), (hourly(4, 12), 28), (hourly(4, 24), 42), (hourly(12, 12), 14)]
        {
            let schedule = Schedule::read(&properties).unwrap();
            let (mut slots, mut last) = (0, at("2026-01-05T00:00:00Z"));
            while let Some(slot) = schedule.next_after(last).filter(|slot| slot.at <= at("2026-01-12T00:00:00Z")) {
                (slots, last) = (slots + 1, slot.at);
            }
            assert_eq!((schedule.per_week(), slots), (wanted, wanted), "{properties}");
        }
    }

    #[test]
    fn a_slot_is_strictly_later() {
        assert_eq!(run(&daily("UTC", "16:30"), "2026-01-01T16:30:00Z", 1), ["2026-01-02T16:30:00Z"]);
        assert_eq!(run(&daily("UTC", "16:30"), "2026-01-01T16:29:59Z", 1), ["2026-01-01T16:30:00Z"]);
    }

    #[test]
    fn an_hourly_window_counts_both_ends_and_may_pass_midnight() {
        let policy = |from: &str, every: i64, hours: i64| {
            json!({"timeZone": "UTC", "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Hourly",
                "hourlySchedule": {"interval": every, "scheduleWindowStartTime": format!("2024-01-01T{from}:00Z"), "scheduleWindowDuration": hours}}})
        };
        let day = run(&policy("08:00", 4, 12), "2026-01-01T00:00:00Z", 5);
        assert_eq!(
            day,
            ["2026-01-01T08:00:00Z", "2026-01-01T12:00:00Z", "2026-01-01T16:00:00Z", "2026-01-01T20:00:00Z", "2026-01-02T08:00:00Z"]
        );
        let night = run(&policy("20:00", 4, 8), "2026-01-01T19:00:00Z", 4);
        assert_eq!(night, ["2026-01-01T20:00:00Z", "2026-01-02T00:00:00Z", "2026-01-02T04:00:00Z", "2026-01-02T20:00:00Z"]);
        let whole = run(&policy("08:00", 12, 24), "2026-01-01T00:00:00Z", 3);
        assert_eq!(whole, ["2026-01-01T08:00:00Z", "2026-01-01T20:00:00Z", "2026-01-02T08:00:00Z"]);
        let first = Schedule::read(&policy("08:00", 12, 24)).unwrap().next_after(at("2026-01-02T07:00:00Z")).unwrap();
        assert_eq!((first.date.to_string().as_str(), first.of_day), ("2026-01-02", OfDay::First));
        let slot = Schedule::read(&policy("20:00", 4, 8)).unwrap().next_after(at("2026-01-01T23:00:00Z")).unwrap();
        assert_eq!((slot.date.to_string().as_str(), slot.of_day), ("2026-01-01", OfDay::Later));
    }

    #[test]
    fn a_weekly_schedule_runs_on_its_days_only() {
        let policy = json!({"timeZone": "Tokyo Standard Time", "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy",
            "scheduleRunFrequency": "Weekly", "scheduleRunDays": ["Sunday", "Wednesday"], "scheduleRunTimes": ["2024-01-01T01:00:00Z"]}});
        // 1 January 2026 is a Thursday; 01:00 in Tokyo is 16:00 UTC of the day before.
        assert_eq!(run(&policy, "2026-01-01T00:00:00Z", 3), ["2026-01-03T16:00:00Z", "2026-01-06T16:00:00Z", "2026-01-10T16:00:00Z"]);
    }

    #[test]
    fn every_zone_has_one_daily_slot_a_day_for_years() {
        let zones = [
            "UTC",
            "W. Europe Standard Time",
            "GMT Standard Time",
            "Pacific Standard Time",
            "India Standard Time",
            "AUS Eastern Standard Time",
            "E. South America Standard Time",
            "Lord Howe Standard Time",
            "Chatham Islands Standard Time",
            "Egypt Standard Time",
            "Samoa Standard Time",
        ];
        for name in zones {
            for time in ["00:00", "01:30", "02:00", "02:30", "23:30"] {
                let schedule = Schedule::read(&daily(name, time)).unwrap();
                let mut slot = schedule.next_after(at("2024-01-01T12:00:00Z")).unwrap();
                for _ in 0..800 {
                    let next = schedule.next_after(slot.at).unwrap();
                    assert_eq!(next.date, slot.date.tomorrow().unwrap(), "{name} {time} after {slot:?}");
                    let local = next.at.to_zoned(schedule.zone().clone()).strftime("%H:%M").to_string();
                    assert!(local.as_str() >= time, "{name}: {local} is before {time}");
                    slot = next;
                }
            }
        }
    }

    #[test]
    fn an_iana_name_is_no_windows_zone() {
        assert!(zone("Europe/Amsterdam").is_none());
        assert!(zone("E. South America Standard Time").is_some());
    }
}
