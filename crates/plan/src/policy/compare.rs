//! What Azure has against what is declared, and the write that brings the two together.

use breakwater_api::{BackupPolicySpec, backup_policy::Tier};
use serde_json::{Map, Value, json};

use super::{
    check::{self, Invalid},
    shape::Shape,
    weaken::weakens,
    wire,
};
use crate::zones;

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field, below `spec`.
    pub field: &'static str,
    /// What is declared, in words.
    pub want: String,
    /// What Azure has, in words.
    pub have: String,
}

/// The fields in which Azure's policy differs from the spec. A field that the spec leaves out is not managed and never
/// differs, and neither does one that Azure does not show.
///
/// # Errors
/// When the spec could not be sent at all.
pub fn differences(spec: &BackupPolicySpec, echoed: &Value) -> Result<Vec<Difference>, Invalid> {
    let want = Shape::read(&wire::to_azure(spec)?);
    let have = Shape::read(echoed);
    let mut found = Vec::new();
    let mut compare = |field: &'static str, same: bool, want: &dyn ToString, have: &dyn ToString| {
        if !same {
            found.push(Difference { field, want: want.to_string(), have: have.to_string() });
        }
    };
    let tier = |enhanced: bool| if enhanced { Tier::Enhanced } else { Tier::Standard };
    compare("tier", want.enhanced == have.enhanced, &word(tier(want.enhanced)), &word(tier(have.enhanced)));
    compare("schedule", want.schedule == have.schedule, &want.schedule, &have.schedule);
    if let (Some(want), Some(have)) = (&want.zone, &have.zone) {
        compare("timeZone", same_zone(want, have), want, have);
    }
    if let (Some(want), Some(have)) = (spec.retention.instant_restore_days, have.instant_days) {
        compare("retention.instantRestoreDays", i64::from(want) == have, &want, &have);
    }
    if spec.retention.instant_restore_resource_group.is_some() {
        let said =
            |group: &Option<(String, String)>| group.as_ref().map_or("none".to_owned(), |(prefix, suffix)| format!("{prefix}*{suffix}"));
        let (wanted, seen) = (said(&want.snapshot_group), said(&have.snapshot_group));
        compare("retention.instantRestoreResourceGroup", want.snapshot_group == have.snapshot_group, &wanted, &seen);
    }
    compare("retention.daily", want.daily == have.daily, &want.daily, &have.daily);
    compare("retention.weekly", want.weekly == have.weekly, &want.weekly, &have.weekly);
    compare("retention.monthly", want.monthly == have.monthly, &want.monthly, &have.monthly);
    compare("retention.yearly", want.yearly == have.yearly, &want.yearly, &have.yearly);
    if spec.archive.is_some() {
        let said = |archive: &Option<String>| archive.clone().unwrap_or("none".to_owned());
        compare("archive", want.archive == have.archive, &said(&want.archive), &said(&have.archive));
    }
    let said = |crash_only: bool| if crash_only { "crash consistent only" } else { "as consistent as the machine allows" };
    compare("consistency", want.crash_only == have.crash_only, &said(want.crash_only), &said(have.crash_only));
    Ok(found)
}

fn word(tier: Tier) -> &'static str {
    match tier {
        Tier::Standard => "Standard",
        Tier::Enhanced => "Enhanced",
    }
}

/// Windows ids are compared without case, and by the clock that they stand for.
fn same_zone(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || zones::to_iana(a).is_some_and(|iana| zones::to_iana(b) == Some(iana))
}

/// The fields that this module knows at each level; all others are kept as they are.
const SCHEDULE: &[&str] = &[
    "schedulePolicyType",
    "scheduleRunFrequency",
    "scheduleRunTimes",
    "scheduleRunDays",
    "scheduleWeeklyFrequency",
    "hourlySchedule",
    "dailySchedule",
    "weeklySchedule",
];
const RULES: &[&str] = &["dailySchedule", "weeklySchedule", "monthlySchedule", "yearlySchedule"];
const RULE: &[&str] = &[
    "retentionTimes",
    "retentionDuration",
    "daysOfTheWeek",
    "monthsOfYear",
    "retentionScheduleFormatType",
    "retentionScheduleWeekly",
    "retentionScheduleDaily",
];

/// What Azure keeps of instant restore with a weekly schedule in tier Standard: days, and no other number.
const WEEKLY_INSTANT_DAYS: i64 = 5;

/// The body that makes Azure's policy what the spec says and keeps everything that the spec does not speak of: fields that
/// it leaves out, and fields that this version does not know.
///
/// # Errors
/// When the spec could not be sent at all.
pub fn merged(echoed: &Value, spec: &BackupPolicySpec) -> Result<Value, Invalid> {
    let wanted = wire::to_azure(spec)?["properties"].take();
    let mut properties = echoed.get("properties").unwrap_or(echoed).as_object().cloned().unwrap_or_default();
    properties.remove("protectedItemsCount");
    for name in ["backupManagementType", "timeZone"] {
        properties.insert(name.into(), wanted[name].clone());
    }
    for (name, managed) in [
        ("policyType", true),
        ("snapshotConsistencyType", true),
        ("tieringPolicy", spec.archive.is_some()),
        ("instantRPDetails", spec.retention.instant_restore_resource_group.is_some()),
        ("instantRpRetentionRangeInDays", spec.retention.instant_restore_days.is_some()),
    ] {
        if managed {
            replace(&mut properties, name, &wanted[name]);
        }
    }
    // Azure takes no other number with a weekly schedule (backup.md §7.3): what a daily one had would be refused.
    if spec.tier == Tier::Standard && spec.schedule.weekly.is_some() {
        properties.insert("instantRpRetentionRangeInDays".into(), WEEKLY_INSTANT_DAYS.into());
    }
    let schedule = overlaid(properties.get("schedulePolicy"), &wanted["schedulePolicy"], SCHEDULE);
    properties.insert("schedulePolicy".into(), schedule);
    let before = properties.get("retentionPolicy").cloned().unwrap_or_default();
    let mut retention = overlaid(Some(&before), &wanted["retentionPolicy"], RULES);
    for name in RULES {
        if !wanted["retentionPolicy"][*name].is_null() {
            retention[*name] = overlaid(before.get(*name), &wanted["retentionPolicy"][*name], RULE);
        }
    }
    properties.insert("retentionPolicy".into(), retention);
    Ok(json!({ "properties": properties }))
}

/// The same, with what Azure has stronger left as it is: the body that raises what is weaker there, and the fields that it leaves.
/// None where nothing is weaker, or where a whole tier or schedule is the stronger one: its rules are its own.
///
/// # Errors
/// When the spec could not be sent at all.
pub fn raised(echoed: &Value, spec: &BackupPolicySpec) -> Result<Option<(Value, Vec<&'static str>)>, Invalid> {
    let mut body = merged(echoed, spec)?;
    let had = echoed.get("properties").unwrap_or(echoed);
    let stronger: Vec<&'static str> = weakens(echoed, &body).iter().map(|weaker| weaker.field).collect();
    // Azure wants the times of every rule to be the schedule's.
    let times = RULES.iter().find_map(|rule| body.pointer(&format!("/properties/retentionPolicy/{rule}/retentionTimes")).cloned());
    for field in &stronger {
        let (place, name) = match *field {
            "retention.daily" => ("/properties/retentionPolicy", "dailySchedule"),
            "retention.weekly" => ("/properties/retentionPolicy", "weeklySchedule"),
            "retention.monthly" => ("/properties/retentionPolicy", "monthlySchedule"),
            "retention.yearly" => ("/properties/retentionPolicy", "yearlySchedule"),
            "retention.instantRestoreDays" => ("/properties", "instantRpRetentionRangeInDays"),
            "consistency" => ("/properties", "snapshotConsistencyType"),
            _ => return Ok(None),
        };
        let kept = had.pointer(place.strip_prefix("/properties").unwrap_or(place)).and_then(|at| at.get(name));
        let mut kept = kept.cloned().unwrap_or_default();
        if let (Some(rule), Some(times)) = (kept.as_object_mut(), &times) {
            rule.insert("retentionTimes".into(), times.clone());
        }
        if let Some(at) = body.pointer_mut(place).and_then(Value::as_object_mut) {
            replace(at, name, &kept);
        }
    }
    let raises = weakens(echoed, &body).is_empty() && !weakens(&body, echoed).is_empty();
    Ok(raises.then_some((body, stronger)))
}

/// What Azure would refuse in that body though nobody declared it: the policy there moves points to the archive, and none would live
/// as long any more.
pub fn refused(merged: &Value, spec: &BackupPolicySpec) -> Option<Invalid> {
    let tiering = merged.pointer("/properties/tieringPolicy/ArchivedRP").filter(|_| spec.archive.is_none())?;
    let mode = tiering.get("tieringMode").and_then(Value::as_str)?;
    let after = match mode {
        _ if mode.eq_ignore_ascii_case("TierAfter") => tiering.get("duration").and_then(Value::as_i64)?,
        _ if mode.eq_ignore_ascii_case("TierRecommended") => 0,
        _ => return None,
    };
    let why = check::too_late_for_archive(spec, after)?;
    Some(Invalid::new(
        "archive",
        format!(
            "is not declared, and the policy in Azure moves points to the archive ({mode}): {why}; declare spec.archive, or keep monthly or yearly points longer"
        ),
    ))
}

/// `V1` is Azure's word for what we leave out.
fn replace(properties: &mut Map<String, Value>, name: &str, value: &Value) {
    match value {
        Value::Null => drop(properties.remove(name)),
        value => drop(properties.insert(name.into(), value.clone())),
    }
}

/// `new`, and what `old` has beside the `known` fields.
fn overlaid(old: Option<&Value>, new: &Value, known: &[&str]) -> Value {
    let mut whole = old.and_then(Value::as_object).cloned().unwrap_or_default();
    whole.retain(|name, _| !known.contains(&name.as_str()));
    whole.extend(new.as_object().cloned().unwrap_or_default());
    Value::Object(whole)
}
