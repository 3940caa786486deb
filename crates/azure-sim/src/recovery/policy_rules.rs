//! What Azure demands of a machine policy, and how it echoes one (backup.md §7.2, §7.3).

use jiff::civil::Time;
use serde_json::{Map, Value, json};

use super::names::time_text;
use super::retention::{Retention, Rule};
use super::schedule::{Cadence, times, zone};

/// The one message Azure has for every bad policy (§4.3).
pub const INVALID_POLICY: &str = "Input for create or update policy is not in proper format\r\nPlease check format of parameters like schedule time, schedule days, retention time and retention days ";

/// Generation of a policy, one-way from the first to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// Standard: absent on the wire, or `V1`.
    V1,
    /// Enhanced: `V2`.
    V2,
}

impl Generation {
    /// The generation of a policy by its properties.
    pub fn of(properties: &Value) -> Self {
        if properties["policyType"] == "V2" { Generation::V2 } else { Generation::V1 }
    }

    /// `V1` or `V2`.
    pub fn name(self) -> &'static str {
        match self {
            Generation::V1 => "V1",
            Generation::V2 => "V2",
        }
    }
}

/// Why a policy is refused: for the tests and the journal, Azure itself does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw(pub &'static str);

/// Checks the `properties` of a PUT and gives what will be stored: defaults filled in, times normalised, what is
/// not the caller's left out.
pub fn accept(properties: &Value) -> Result<Value, Flaw> {
    let body = properties.as_object().ok_or(Flaw("no properties"))?;
    let schedule = &properties["schedulePolicy"];
    let generation = generation(properties)?;
    let cadence = cadence(schedule, generation)?;
    let zone_id = properties["timeZone"].as_str().unwrap_or("UTC");
    let zone = zone(zone_id).ok_or(Flaw("timeZone is not a Windows zone id"))?;
    if properties["retentionPolicy"]["retentionPolicyType"] != "LongTermRetentionPolicy" {
        return Err(Flaw("retentionPolicyType"));
    }
    let retention = Retention::read(properties, zone).ok_or(Flaw("retentionPolicy does not read"))?;
    retention_times(&properties["retentionPolicy"], &cadence)?;
    retention_counts(&retention, &cadence)?;
    let days = instant_days(properties, generation, &cadence)?;
    tiering(properties, &retention)?;
    match properties.get("snapshotConsistencyType").and_then(Value::as_str) {
        None => {}
        Some("OnlyCrashConsistent") if generation == Generation::V2 => {}
        Some(_) => return Err(Flaw("snapshotConsistencyType")),
    }

    let mut stored = Map::new();
    for (name, value) in body {
        if !matches!(name.as_str(), "protectedItemsCount" | "resourceGuardOperationRequests") && !value.is_null() {
            stored.insert(name.clone(), normalised(value));
        }
    }
    stored.insert("timeZone".to_owned(), json!(zone_id));
    stored.insert("instantRpRetentionRangeInDays".to_owned(), json!(days));
    stored.entry("instantRPDetails").or_insert_with(|| json!({}));
    if generation == Generation::V1 {
        stored.remove("policyType");
        if let Some(Value::Object(schedule)) = stored.get_mut("schedulePolicy") {
            schedule.entry("scheduleWeeklyFrequency").or_insert_with(|| json!(0));
        }
    }
    Ok(Value::Object(stored))
}

fn generation(properties: &Value) -> Result<Generation, Flaw> {
    match properties.get("policyType").and_then(Value::as_str) {
        None | Some("V1") => Ok(Generation::V1),
        Some("V2") => Ok(Generation::V2),
        Some(_) => Err(Flaw("policyType")),
    }
}

fn cadence(schedule: &Value, generation: Generation) -> Result<Cadence, Flaw> {
    let wanted = match generation {
        Generation::V1 => "SimpleSchedulePolicy",
        Generation::V2 => "SimpleSchedulePolicyV2",
    };
    if schedule["schedulePolicyType"] != wanted {
        return Err(Flaw("schedulePolicyType does not belong to policyType"));
    }
    let cadence = Cadence::read(schedule).ok_or(Flaw("schedulePolicy does not read"))?;
    if generation == Generation::V2 {
        let parts = ["hourlySchedule", "dailySchedule", "weeklySchedule"];
        if parts.iter().filter(|part| !schedule[**part].is_null()).count() != 1 {
            return Err(Flaw("exactly one of hourlySchedule, dailySchedule and weeklySchedule"));
        }
    }
    match &cadence {
        Cadence::Hourly { every, from, hours } => {
            let whole = matches!(every, 4 | 6 | 8 | 12) && (4..=24).contains(hours) && hours % every == 0;
            if !whole || !on_the_half_hour(*from) {
                return Err(Flaw("hourlySchedule"));
            }
        }
        // One backup a day unless hourly.
        Cadence::Daily { times } | Cadence::Weekly { times, .. } if times.len() != 1 || !on_the_half_hour(times[0]) => {
            return Err(Flaw("scheduleRunTimes"));
        }
        _ => {}
    }
    Ok(cadence)
}

fn on_the_half_hour(time: Time) -> bool {
    matches!(time.minute(), 0 | 30) && time.second() == 0 && time.subsec_nanosecond() == 0
}

fn retention_times(retention: &Value, cadence: &Cadence) -> Result<(), Flaw> {
    let wanted = cadence.retention_time();
    for part in ["dailySchedule", "weeklySchedule", "monthlySchedule", "yearlySchedule"] {
        if !retention[part].is_null() {
            let times = times(&retention[part], "retentionTimes").ok_or(Flaw("retentionTimes"))?;
            if times.iter().any(|time| Some(*time) != wanted) {
                return Err(Flaw("retentionTimes differ from the schedule"));
            }
        }
    }
    Ok(())
}

fn retention_counts(retention: &Retention, cadence: &Cadence) -> Result<(), Flaw> {
    // Bounds beyond the daily ones are from memory (§7.3).
    let bounds = [
        (Rule::Daily, "Days", 7, 9999),
        (Rule::Weekly, "Weeks", 1, 5163),
        (Rule::Monthly, "Months", 1, 1188),
        (Rule::Yearly, "Years", 1, 99),
    ];
    for (rule, unit, least, most) in bounds {
        if let Some((count, given)) = retention.duration(rule)
            && (given != unit || !(least..=most).contains(&count))
        {
            return Err(Flaw("retentionDuration"));
        }
    }
    match cadence {
        Cadence::Weekly { days, .. } => {
            let same = retention.weekly_days().is_some_and(|kept| kept.len() == days.len() && kept.iter().all(|day| days.contains(day)));
            if retention.duration(Rule::Daily).is_some() || !same {
                return Err(Flaw("a weekly schedule keeps the same days and has no dailySchedule"));
            }
        }
        Cadence::Daily { .. } | Cadence::Hourly { .. } if retention.duration(Rule::Daily).is_none() => {
            return Err(Flaw("dailySchedule missing"));
        }
        _ => {}
    }
    Ok(())
}

fn instant_days(properties: &Value, generation: Generation, cadence: &Cadence) -> Result<i64, Flaw> {
    let weekly = matches!(cadence, Cadence::Weekly { .. });
    let allowed = match (generation, weekly) {
        (Generation::V1, false) => 1..=5,
        (Generation::V1, true) => 5..=5,
        (Generation::V2, _) => 1..=30,
    };
    // 2 is the service's default for V1 (§7.3); V2's without the portal is a guess.
    let default = if generation == Generation::V1 && weekly { 5 } else { 2 };
    let days = match &properties["instantRpRetentionRangeInDays"] {
        Value::Null => default,
        given => given.as_i64().ok_or(Flaw("instantRpRetentionRangeInDays"))?,
    };
    if allowed.contains(&days) { Ok(days) } else { Err(Flaw("instantRpRetentionRangeInDays")) }
}

fn tiering(properties: &Value, retention: &Retention) -> Result<(), Flaw> {
    let archive = &properties["tieringPolicy"]["ArchivedRP"];
    match archive["tieringMode"].as_str() {
        None | Some("DoNotTier" | "TierRecommended") => Ok(()),
        Some("TierAfter") => {
            let months = archive["duration"].as_i64().filter(|_| archive["durationType"] == "Months").unwrap_or(0);
            let longest = retention
                .duration(Rule::Yearly)
                .map(|(count, _)| count * 12)
                .max(retention.duration(Rule::Monthly).map(|(count, _)| count));
            // The archive keeps 180 days at least, so six months must be left after the move.
            if months >= 3 && longest.is_some_and(|kept| kept >= months + 6) { Ok(()) } else { Err(Flaw("TierAfter")) }
        }
        Some(_) => Err(Flaw("tieringMode")),
    }
}

/// The same value with every date-time string as the service echoes it (`…000Z` becomes `…Z`, §7.2).
fn normalised(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.parse::<jiff::Timestamp>() {
            Ok(time) => Value::String(time_text(time)),
            Err(_) => value.clone(),
        },
        Value::Array(list) => Value::Array(list.iter().map(normalised).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), normalised(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v1() -> Value {
        json!({"backupManagementType": "AzureIaasVM",
            "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": ["2024-04-28T16:30:00.000Z"]},
            "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy",
                "dailySchedule": {"retentionTimes": ["2024-04-28T16:30:00.000Z"], "retentionDuration": {"count": 30, "durationType": "Days"}}}})
    }

    fn hourly() -> Value {
        let mut policy = v1();
        policy["policyType"] = json!("V2");
        policy["schedulePolicy"] = json!({"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Hourly",
            "hourlySchedule": {"interval": 4, "scheduleWindowStartTime": "2024-04-28T16:30:00Z", "scheduleWindowDuration": 12}});
        policy
    }

    fn weekly() -> Value {
        let mut policy = v1();
        policy["schedulePolicy"]["scheduleRunFrequency"] = json!("Weekly");
        policy["schedulePolicy"]["scheduleRunDays"] = json!(["Monday"]);
        policy["retentionPolicy"] = json!({"retentionPolicyType": "LongTermRetentionPolicy", "weeklySchedule": {"daysOfTheWeek": ["Monday"],
            "retentionTimes": ["2024-04-28T16:30:00Z"], "retentionDuration": {"count": 12, "durationType": "Weeks"}}});
        policy
    }

    #[test]
    fn defaults_are_filled_in_and_times_normalised() {
        let mut policy = v1();
        policy["protectedItemsCount"] = json!(2);
        let stored = accept(&policy).unwrap();
        assert_eq!(stored["schedulePolicy"]["scheduleRunTimes"], json!(["2024-04-28T16:30:00Z"]));
        assert_eq!((&stored["timeZone"], &stored["instantRpRetentionRangeInDays"]), (&json!("UTC"), &json!(2)));
        assert_eq!((&stored["instantRPDetails"], &stored["schedulePolicy"]["scheduleWeeklyFrequency"]), (&json!({}), &json!(0)));
        assert_eq!((stored.get("protectedItemsCount"), stored.get("policyType")), (None, None));
        assert_eq!(accept(&weekly()).unwrap()["instantRpRetentionRangeInDays"], 5);
        assert_eq!(accept(&hourly()).unwrap()["policyType"], "V2");
    }

    #[test]
    fn every_rule_of_a_policy_refuses_its_breach() {
        type Breach = (&'static str, fn() -> Value, &'static str, Value);
        let cases: [Breach; 18] = [
            ("minutes off the half hour", v1, "/schedulePolicy/scheduleRunTimes", json!(["2024-01-01T16:15:00Z"])),
            ("two times a day", v1, "/schedulePolicy/scheduleRunTimes", json!(["2024-01-01T16:30:00Z", "2024-01-01T17:30:00Z"])),
            ("not a date-time", v1, "/schedulePolicy/scheduleRunTimes", json!(["16:30"])),
            ("retention at another time", v1, "/retentionPolicy/dailySchedule/retentionTimes", json!(["2024-01-01T17:00:00Z"])),
            ("six days", v1, "/retentionPolicy/dailySchedule/retentionDuration/count", json!(6)),
            ("ten thousand days", v1, "/retentionPolicy/dailySchedule/retentionDuration/count", json!(10_000)),
            ("days in weeks", v1, "/retentionPolicy/dailySchedule/retentionDuration/durationType", json!("Weeks")),
            ("no daily rule", v1, "/retentionPolicy/dailySchedule", Value::Null),
            ("schedule of the other generation", v1, "/schedulePolicy/schedulePolicyType", json!("SimpleSchedulePolicyV2")),
            ("hourly without V2", v1, "/schedulePolicy/scheduleRunFrequency", json!("Hourly")),
            ("interval of five hours", hourly, "/schedulePolicy/hourlySchedule/interval", json!(5)),
            ("window not a multiple", hourly, "/schedulePolicy/hourlySchedule/scheduleWindowDuration", json!(10)),
            ("window too long", hourly, "/schedulePolicy/hourlySchedule/scheduleWindowDuration", json!(28)),
            ("window off the half hour", hourly, "/schedulePolicy/hourlySchedule/scheduleWindowStartTime", json!("2024-04-28T16:31:00Z")),
            ("weekly keeps other days", weekly, "/retentionPolicy/weeklySchedule/daysOfTheWeek", json!(["Tuesday"])),
            ("weekly without days", weekly, "/schedulePolicy/scheduleRunDays", json!([])),
            ("too many weeks", weekly, "/retentionPolicy/weeklySchedule/retentionDuration/count", json!(5164)),
            ("unknown retention", v1, "/retentionPolicy/retentionPolicyType", json!("SimpleRetentionPolicy")),
        ];
        for (what, base, pointer, value) in cases {
            let mut policy = base();
            assert!(accept(&policy).is_ok(), "{what}: the base must be good");
            *policy.pointer_mut(pointer).unwrap() = value;
            assert!(accept(&policy).is_err(), "{what}");
        }
    }

    #[test]
    fn fields_with_bounds_of_their_own_are_checked() {
        let with = |base: Value, field: &str, value: Value| {
            let mut policy = base;
            policy[field] = value;
            accept(&policy).is_ok()
        };
        assert!(with(v1(), "instantRpRetentionRangeInDays", json!(5)) && !with(v1(), "instantRpRetentionRangeInDays", json!(6)));
        assert!(with(hourly(), "instantRpRetentionRangeInDays", json!(30)) && !with(hourly(), "instantRpRetentionRangeInDays", json!(31)));
        assert!(with(weekly(), "instantRpRetentionRangeInDays", json!(5)) && !with(weekly(), "instantRpRetentionRangeInDays", json!(4)));
        assert!(with(hourly(), "snapshotConsistencyType", json!("OnlyCrashConsistent")));
        assert!(!with(v1(), "snapshotConsistencyType", json!("OnlyCrashConsistent")));
        assert!(!with(v1(), "timeZone", json!("Europe/Berlin")));
        assert!(!with(v1(), "tieringPolicy", json!({"ArchivedRP": {"tieringMode": "TierAfter", "duration": 3, "durationType": "Months"}})));
        assert!(with(
            v1(),
            "tieringPolicy",
            json!({"ArchivedRP": {"tieringMode": "TierRecommended", "duration": 0, "durationType": "Invalid"}})
        ));
    }

    #[test]
    fn tiering_needs_long_rules() {
        let tiered = |months_kept: i64| {
            let mut policy = v1();
            policy["retentionPolicy"]["monthlySchedule"] = json!({"retentionScheduleFormatType": "Daily",
                "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 1, "isLast": false}]},
                "retentionTimes": ["2024-04-28T16:30:00Z"], "retentionDuration": {"count": months_kept, "durationType": "Months"}});
            policy["tieringPolicy"] = json!({"ArchivedRP": {"tieringMode": "TierAfter", "duration": 3, "durationType": "Months"}});
            accept(&policy).is_ok()
        };
        assert!(tiered(9));
        assert!(!tiered(8));
    }
}
