//! The body that Azure takes (backup.md §7.1).

use std::collections::BTreeSet;

use breakwater_api::{
    BackupPolicySpec,
    backup_policy::{Archive, ArchiveMode, DeclaredConsistency, Tier},
    retention::{DayOfMonth, MonthDay},
    schedule::{DayOfWeek, TimeOfDay},
};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::{
    cadence::Cadence,
    check::{Invalid, check},
};
use crate::zones;

/// The whole body of a PUT for this spec: what a policy that is not there yet is made from.
///
/// # Errors
/// The first thing that Azure would refuse.
pub fn to_azure(spec: &BackupPolicySpec) -> Result<Value, Invalid> {
    if let Some(first) = check(spec).into_iter().next() {
        return Err(first);
    }
    let (cadence, _) = cadence(spec)?;
    let time = retention_time(&cadence);
    let windows = zones::to_windows(&spec.time_zone).map_err(|error| Invalid::new("timeZone", error.to_string()))?;
    let mut properties = Map::new();
    let mut put = |name: &str, value: Value| properties.insert(name.to_owned(), value);
    put("backupManagementType", json!("AzureIaasVM"));
    if spec.tier == Tier::Enhanced {
        put("policyType", json!("V2"));
    }
    put("instantRPDetails", snapshot_group(spec));
    put("schedulePolicy", schedule_policy(spec.tier, &cadence));
    put("retentionPolicy", retention_policy(spec, time));
    if let Some(archive) = &spec.archive {
        put("tieringPolicy", json!({ "ArchivedRP": tiering(archive) }));
    }
    put("instantRpRetentionRangeInDays", json!(instant_days(spec)));
    put("timeZone", json!(windows));
    if crash_only(spec) {
        put("snapshotConsistencyType", json!("OnlyCrashConsistent"));
    }
    Ok(json!({ "properties": properties }))
}

/// The spec's schedule and its zone.
pub(super) fn cadence(spec: &BackupPolicySpec) -> Result<(Cadence, TimeZone), Invalid> {
    let given = &spec.schedule;
    let cadence = match (&given.daily, &given.weekly, &given.hourly) {
        (Some(daily), None, None) => Cadence::Daily { at: BTreeSet::from([daily.at]) },
        (None, Some(weekly), None) => Cadence::Weekly { days: weekly.days.iter().copied().collect(), at: BTreeSet::from([weekly.at]) },
        (None, None, Some(hourly)) => {
            let hours = |field: &str, span: breakwater_api::Span| {
                span.whole_hours().filter(|h| *h > 0).ok_or_else(|| Invalid::new(format!("schedule.hourly.{field}"), "must be whole hours"))
            };
            Cadence::Hourly { every: hours("every", hourly.every)?, from: hourly.from, hours: hours("for", hourly.window)? }
        }
        _ => return Err(Invalid::new("schedule", "needs exactly one of daily, weekly, hourly")),
    };
    let zone = zones::zone(&spec.time_zone).map_err(|error| Invalid::new("timeZone", error.to_string()))?;
    Ok((cadence, zone))
}

/// True when Azure is asked for agentless snapshots, which only its V2 policies have.
pub(super) fn crash_only(spec: &BackupPolicySpec) -> bool {
    spec.tier == Tier::Enhanced && spec.consistency == DeclaredConsistency::CrashConsistent
}

/// As declared; else Azure's own defaults for a policy made through its API (backup.md §7.3).
fn instant_days(spec: &BackupPolicySpec) -> i32 {
    let weekly_standard = spec.tier == Tier::Standard && spec.schedule.weekly.is_some();
    spec.retention.instant_restore_days.unwrap_or(if weekly_standard { 5 } else { 2 })
}

fn snapshot_group(spec: &BackupPolicySpec) -> Value {
    let mut details = Map::new();
    if let Some(group) = &spec.retention.instant_restore_resource_group {
        details.insert("azureBackupRGNamePrefix".into(), json!(group.prefix));
        if let Some(suffix) = &group.suffix {
            details.insert("azureBackupRGNameSuffix".into(), json!(suffix));
        }
    }
    Value::Object(details)
}

/// Every retention rule carries the time of the schedule, or the start of its window (backup.md §7.3).
fn retention_time(cadence: &Cadence) -> TimeOfDay {
    match cadence {
        Cadence::Daily { at } | Cadence::Weekly { at, .. } => at.first().copied().unwrap_or_default(),
        Cadence::Hourly { from, .. } => *from,
    }
}

/// Azure wants a whole date-time and means its time of day; the date is any (backup.md §7.2).
fn date_time(time: TimeOfDay) -> String {
    format!("2024-01-01T{time}:00Z")
}

fn words(days: &[DayOfWeek]) -> Vec<&'static str> {
    days.iter().copied().collect::<BTreeSet<_>>().into_iter().map(DayOfWeek::as_str).collect()
}

fn schedule_policy(tier: Tier, cadence: &Cadence) -> Value {
    let times = |at: &BTreeSet<TimeOfDay>| at.iter().map(|t| date_time(*t)).collect::<Vec<_>>();
    match (tier, cadence) {
        (Tier::Standard, Cadence::Weekly { days, at }) => json!({
            "schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Weekly",
            "scheduleRunDays": days.iter().map(|d| d.as_str()).collect::<Vec<_>>(), "scheduleRunTimes": times(at), "scheduleWeeklyFrequency": 0 }),
        (Tier::Standard, Cadence::Daily { at }) => json!({
            "schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily",
            "scheduleRunTimes": times(at), "scheduleWeeklyFrequency": 0 }),
        (Tier::Enhanced, Cadence::Weekly { days, at }) => json!({
            "schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Weekly",
            "weeklySchedule": { "scheduleRunDays": days.iter().map(|d| d.as_str()).collect::<Vec<_>>(), "scheduleRunTimes": times(at) } }),
        (Tier::Enhanced, Cadence::Daily { at }) => json!({
            "schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Daily",
            "dailySchedule": { "scheduleRunTimes": times(at) } }),
        (_, Cadence::Hourly { every, from, hours }) => json!({
            "schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Hourly",
            "hourlySchedule": { "interval": every, "scheduleWindowStartTime": date_time(*from), "scheduleWindowDuration": hours } }),
    }
}

fn retention_policy(spec: &BackupPolicySpec, time: TimeOfDay) -> Value {
    let keep = &spec.retention;
    let times = json!([date_time(time)]);
    let lives = |count: i64, unit: &str| json!({ "count": count, "durationType": unit });
    let mut policy = Map::from_iter([("retentionPolicyType".to_owned(), json!("LongTermRetentionPolicy"))]);
    if let Some(days) = keep.daily.as_ref().and_then(|daily| daily.keep.whole_days()) {
        policy.insert("dailySchedule".into(), json!({ "retentionTimes": times, "retentionDuration": lives(days, "Days") }));
    }
    if let Some(weekly) = &keep.weekly {
        let rule = json!({ "daysOfTheWeek": words(&weekly.days), "retentionTimes": times, "retentionDuration": lives(weekly.keep.into(), "Weeks") });
        policy.insert("weeklySchedule".into(), rule);
    }
    if let Some(monthly) = &keep.monthly {
        let mut rule = day_of_month(&monthly.when);
        rule.insert("retentionTimes".into(), times.clone());
        rule.insert("retentionDuration".into(), lives(monthly.keep.into(), "Months"));
        policy.insert("monthlySchedule".into(), Value::Object(rule));
    }
    if let Some(yearly) = &keep.yearly {
        let months: BTreeSet<_> = yearly.months.iter().copied().collect();
        let mut rule = day_of_month(&yearly.when);
        rule.insert("monthsOfYear".into(), json!(months.into_iter().map(|m| m.as_str()).collect::<Vec<_>>()));
        rule.insert("retentionTimes".into(), times.clone());
        rule.insert("retentionDuration".into(), lives(yearly.keep.into(), "Years"));
        policy.insert("yearlySchedule".into(), Value::Object(rule));
    }
    Value::Object(policy)
}

fn day_of_month(when: &DayOfMonth) -> Map<String, Value> {
    let mut rule = Map::new();
    if let (Some(week), Some(day)) = (when.week, when.day) {
        rule.insert("retentionScheduleFormatType".into(), json!("Weekly"));
        rule.insert("retentionScheduleWeekly".into(), json!({ "daysOfTheWeek": [day.as_str()], "weeksOfTheMonth": [week.as_str()] }));
    } else {
        let date = |day: &MonthDay| match day {
            MonthDay::Date(date) => json!({ "date": date, "isLast": false }),
            MonthDay::Last => json!({ "date": 0, "isLast": true }),
        };
        let dates: BTreeSet<_> = when.days.iter().flatten().copied().collect();
        rule.insert("retentionScheduleFormatType".into(), json!("Daily"));
        rule.insert("retentionScheduleDaily".into(), json!({ "daysOfTheMonth": dates.iter().map(date).collect::<Vec<_>>() }));
    }
    rule
}

fn tiering(archive: &Archive) -> Value {
    match (archive.mode, archive.months) {
        (ArchiveMode::After, Some(months)) => json!({ "tieringMode": "TierAfter", "duration": months, "durationType": "Months" }),
        _ => json!({ "tieringMode": "TierRecommended", "duration": 0, "durationType": "Invalid" }),
    }
}
