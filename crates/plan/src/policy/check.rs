//! Everything that Azure would refuse, and what can never hold, in words that name the field. What the schema says is said
//! again here: a definition may be older than the operator.

use std::collections::BTreeSet;

use breakwater_api::{
    BackupPolicySpec,
    backup_policy::{ArchiveMode, Tier},
    retention::{DayOfMonth, MonthDay},
    schedule::{DayOfWeek, HourlySchedule, TimeOfDay},
    selector::{Disks, MachineEntry},
};
use breakwater_arm::ResourceId;

use super::wire;
use crate::zones;

/// A spec that cannot be, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field} {message}")]
pub struct Invalid {
    /// The field, below `spec`.
    pub field: String,
    /// What is wrong with it: a sentence that begins with its verb.
    pub message: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Invalid { field: field.into(), message: message.into() }
    }
}

/// Azure keeps at most so many points of one machine (backup.md §7.3, from the limit on daily retention).
const MOST_POINTS: i64 = 9_999;

/// How many months a point must have left when it moves to the archive: it stays there for 180 days at least
/// (backup.md §7.3, §12.3).
const ARCHIVE_MONTHS: i64 = 6;

/// All that is wrong with a spec, in the order of its fields; empty when Azure would take it.
pub fn check(spec: &BackupPolicySpec) -> Vec<Invalid> {
    let mut wrong = Vec::new();
    schedule(spec, &mut wrong);
    if let Err(unknown) = zones::to_windows(&spec.time_zone) {
        wrong.push(Invalid::new("timeZone", format!("cannot be used: {unknown}")));
    }
    retention(spec, &mut wrong);
    instant(spec, &mut wrong);
    archive(spec, &mut wrong);
    spec.machines.iter().enumerate().for_each(|(at, entry)| machine(at, entry, &mut wrong));
    if wrong.is_empty() {
        promise(spec, &mut wrong);
        points(spec, &mut wrong);
    }
    wrong
}

fn schedule(spec: &BackupPolicySpec, wrong: &mut Vec<Invalid>) {
    let given = &spec.schedule;
    if [given.daily.is_some(), given.weekly.is_some(), given.hourly.is_some()].iter().filter(|yes| **yes).count() != 1 {
        wrong.push(Invalid::new("schedule", "needs exactly one of daily, weekly, hourly"));
    }
    if let Some(daily) = &given.daily {
        half_hour("schedule.daily.at", daily.at, wrong);
    }
    if let Some(weekly) = &given.weekly {
        half_hour("schedule.weekly.at", weekly.at, wrong);
        each_once("schedule.weekly.days", &weekly.days, wrong);
    }
    if let Some(every) = &given.hourly {
        hourly(spec.tier, every, wrong);
    }
}

fn hourly(tier: Tier, given: &HourlySchedule, wrong: &mut Vec<Invalid>) {
    if tier == Tier::Standard {
        wrong.push(Invalid::new("schedule.hourly", "needs tier: Enhanced"));
    }
    half_hour("schedule.hourly.from", given.from, wrong);
    let every = given.every.whole_hours().filter(|h| [4, 6, 8, 12].contains(h));
    let Some(every) = every else {
        wrong.push(Invalid::new("schedule.hourly.every", "must be 4h, 6h, 8h or 12h"));
        return;
    };
    if !given.window.whole_hours().is_some_and(|h| (4..=24).contains(&h) && h % every == 0) {
        wrong.push(Invalid::new("schedule.hourly.for", format!("must be a multiple of {every}h, up to 24h")));
    }
}

fn half_hour(field: &str, time: TimeOfDay, wrong: &mut Vec<Invalid>) {
    if !matches!(time.minute(), 0 | 30) {
        wrong.push(Invalid::new(field, format!("is {time}, and Azure takes full and half hours only")));
    }
}

fn each_once<T: Ord>(field: &str, list: &[T], wrong: &mut Vec<Invalid>) {
    if list.is_empty() {
        wrong.push(Invalid::new(field, "must name at least one"));
    }
    if list.iter().collect::<BTreeSet<_>>().len() != list.len() {
        wrong.push(Invalid::new(field, "names one of them twice"));
    }
}

fn between(field: &str, value: i32, least: i32, most: i32, wrong: &mut Vec<Invalid>) {
    if !(least..=most).contains(&value) {
        wrong.push(Invalid::new(field, format!("must be {least} to {most}")));
    }
}

/// Bounds beyond the daily ones are not from a page of Azure's (backup.md §7.3).
fn retention(spec: &BackupPolicySpec, wrong: &mut Vec<Invalid>) {
    let keep = &spec.retention;
    let weekly_days = spec.schedule.weekly.as_ref().map(|w| w.days.as_slice());
    match (&keep.daily, weekly_days) {
        (None, None) => wrong.push(Invalid::new("retention.daily", "is needed with a daily or hourly schedule")),
        (Some(_), Some(_)) => wrong.push(Invalid::new("retention.daily", "is impossible with a weekly schedule")),
        (Some(daily), None) if !daily.keep.whole_days().is_some_and(|d| (7..=9999).contains(&d)) => {
            wrong.push(Invalid::new("retention.daily.keep", "must be whole days, 7d to 9999d"));
        }
        _ => {}
    }
    match (&keep.weekly, weekly_days) {
        (None, Some(_)) => wrong.push(Invalid::new("retention.weekly", "is needed with a weekly schedule")),
        (Some(weekly), days) => {
            between("retention.weekly.keep", weekly.keep, 1, 5163, wrong);
            each_once("retention.weekly.days", &weekly.days, wrong);
            let set = |days: &[DayOfWeek]| days.iter().copied().collect::<BTreeSet<_>>();
            if days.is_some_and(|days| set(days) != set(&weekly.days)) {
                wrong.push(Invalid::new("retention.weekly.days", "must be the days of the weekly schedule"));
            }
        }
        (None, None) => {}
    }
    if let Some(monthly) = &keep.monthly {
        between("retention.monthly.keep", monthly.keep, 1, 1188, wrong);
        day_of_month("retention.monthly.when", &monthly.when, weekly_days, wrong);
    }
    if let Some(yearly) = &keep.yearly {
        between("retention.yearly.keep", yearly.keep, 1, 99, wrong);
        each_once("retention.yearly.months", &yearly.months, wrong);
        day_of_month("retention.yearly.when", &yearly.when, weekly_days, wrong);
    }
}

fn day_of_month(field: &str, when: &DayOfMonth, scheduled: Option<&[DayOfWeek]>, wrong: &mut Vec<Invalid>) {
    match (when.week, when.day, &when.days) {
        (Some(_), Some(day), None) => {
            if scheduled.is_some_and(|days| !days.contains(&day)) {
                wrong.push(Invalid::new(format!("{field}.day"), format!("is {day}, on which the weekly schedule has no backup")));
            }
        }
        (None, None, Some(days)) => {
            each_once(&format!("{field}.days"), days, wrong);
            if days.iter().any(|day| matches!(day, MonthDay::Date(date) if !(1..=28).contains(date))) {
                wrong.push(Invalid::new(format!("{field}.days"), "must be dates from 1 to 28, or last"));
            }
            if scheduled.is_some() {
                wrong.push(Invalid::new(format!("{field}.days"), "needs a backup every day: with a weekly schedule say week and day"));
            }
        }
        _ => wrong.push(Invalid::new(field, "needs either week and day together, or days")),
    }
}

/// How long snapshots are kept at most: there are so many of them ("Back up Azure VMs using Enhanced policy", Microsoft Learn).
fn most_snapshot_days(spec: &BackupPolicySpec) -> i32 {
    let every = spec.schedule.hourly.as_ref().map(|hourly| hourly.every.as_signed().as_hours());
    match every {
        Some(..=4) => 17,
        Some(5..=6) => 22,
        _ => 30,
    }
}

fn instant(spec: &BackupPolicySpec, wrong: &mut Vec<Invalid>) {
    let field = "retention.instantRestoreDays";
    let Some(days) = spec.retention.instant_restore_days else { return };
    match (spec.tier, spec.schedule.weekly.is_some()) {
        (Tier::Standard, true) if days != 5 => {
            wrong.push(Invalid::new(field, "must be 5 in tier Standard with a weekly schedule"));
        }
        (Tier::Standard, _) => between(field, days, 1, 5, wrong),
        (Tier::Enhanced, _) => between(field, days, 1, most_snapshot_days(spec), wrong),
    }
    let kept = spec.retention.daily.as_ref().and_then(|daily| daily.keep.whole_days());
    if let Some(kept) = kept.filter(|kept| *kept < i64::from(days)) {
        wrong.push(Invalid::new(field, format!("is {days}, longer than retention.daily keeps points ({kept} days): set at most {kept}")));
    }
}

/// Why no point would move to the archive that many months after it was made.
pub(super) fn too_late_for_archive(spec: &BackupPolicySpec, months: i64) -> Option<String> {
    let monthly = spec.retention.monthly.as_ref().map(|m| i64::from(m.keep));
    let yearly = spec.retention.yearly.as_ref().map(|y| i64::from(y.keep) * 12);
    let Some(longest) = monthly.max(yearly) else {
        return Some("it needs retention.monthly or retention.yearly: only those points move".to_owned());
    };
    let least = months + ARCHIVE_MONTHS;
    (months > 0 && longest < least).then(|| format!("no monthly or yearly point lives the {least} months that moving after {months} needs"))
}

fn archive(spec: &BackupPolicySpec, wrong: &mut Vec<Invalid>) {
    let Some(archive) = &spec.archive else { return };
    if spec.retention.monthly.is_none() && spec.retention.yearly.is_none() {
        wrong.push(Invalid::new("archive", "needs retention.monthly or retention.yearly: only those points move"));
        return;
    }
    match (archive.mode, archive.months) {
        (ArchiveMode::Recommended, None) => {}
        (ArchiveMode::Recommended, Some(_)) => wrong.push(Invalid::new("archive.months", "goes with mode: After only")),
        (ArchiveMode::After, None) => wrong.push(Invalid::new("archive.months", "is needed with mode: After")),
        (ArchiveMode::After, Some(months)) if months < 3 => wrong.push(Invalid::new("archive.months", "must be at least 3")),
        (ArchiveMode::After, Some(months)) => {
            if let Some(why) = too_late_for_archive(spec, months.into()) {
                wrong.push(Invalid::new("archive.months", format!("is too late: {why}")));
            }
        }
    }
}

fn machine(at: usize, entry: &MachineEntry, wrong: &mut Vec<Invalid>) {
    let field = format!("machines[{at}]");
    if entry.id.is_some() == entry.selector.is_some() {
        wrong.push(Invalid::new(&field, "needs exactly one of id, selector"));
    }
    if let Some(id) = &entry.id {
        let is_machine = |id: &ResourceId| id.resource_type() == *"Microsoft.Compute/virtualMachines";
        match id.parse::<ResourceId>() {
            Err(error) => wrong.push(Invalid::new(format!("{field}.id"), format!("cannot be read: {error}"))),
            Ok(id) if !is_machine(&id) => wrong.push(Invalid::new(format!("{field}.id"), format!("is not a virtual machine: {id}"))),
            Ok(_) => {}
        }
    }
    if let Some(given) = &entry.disks {
        disks(&format!("{field}.disks"), given, wrong);
    }
}

fn disks(field: &str, given: &Disks, wrong: &mut Vec<Invalid>) {
    if [given.include.is_some(), given.exclude.is_some(), given.os_only.is_some()].iter().filter(|yes| **yes).count() != 1 {
        wrong.push(Invalid::new(field, "needs exactly one of include, exclude, osOnly"));
    }
    if given.os_only == Some(false) {
        wrong.push(Invalid::new(format!("{field}.osOnly"), "can only be true: leave disks out to back up all of them"));
    }
    for (word, list) in [("include", &given.include), ("exclude", &given.exclude)] {
        if let Some(list) = list {
            each_once(&format!("{field}.{word}"), list, wrong);
            if list.iter().any(|lun| !(0..=63).contains(lun)) {
                wrong.push(Invalid::new(format!("{field}.{word}"), "must be LUNs from 0 to 63"));
            }
        }
    }
}

fn promise(spec: &BackupPolicySpec, wrong: &mut Vec<Invalid>) {
    let (Some(target), Ok((cadence, zone))) = (&spec.target, wire::cadence(spec)) else { return };
    let gap = cadence.largest_gap(&zone);
    if target.rpo.as_signed() < gap {
        let hours = gap.as_secs().div_euclid(3_600);
        let more = gap.as_secs().div_euclid(3_600) + i64::from(gap.as_secs().rem_euclid(3_600) > 0);
        wrong.push(Invalid::new(
            "target.rpo",
            format!(
                "is {}, and can never hold: the schedule leaves {hours}h between backups; set at least {more}h, or back up more often",
                target.rpo
            ),
        ));
    }
}

/// The points that a machine has when the policy has run for ever. A weekly point is a daily one too while both rules keep
/// it, so each rule counts from where the one before ends.
fn points(spec: &BackupPolicySpec, wrong: &mut Vec<Invalid>) {
    let Ok((cadence, _)) = wire::cadence(spec) else { return };
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let keep = &spec.retention;
    let days = keep.daily.as_ref().and_then(|d| d.keep.whole_days()).unwrap_or(0);
    let mut total = days * count(cadence.per_week()) / 7;
    let mut covered = days;
    let mut more = |lives: i64, period: i64, each: usize| {
        total += (lives - covered).max(0) / period * count(each);
        covered = covered.max(lives);
    };
    if let Some(weekly) = &keep.weekly {
        more(i64::from(weekly.keep) * 7, 7, weekly.days.len());
    }
    let dates = |when: &DayOfMonth| when.days.as_ref().map_or(1, Vec::len);
    if let Some(monthly) = &keep.monthly {
        more(i64::from(monthly.keep) * 30, 30, dates(&monthly.when));
    }
    if let Some(yearly) = &keep.yearly {
        more(i64::from(yearly.keep) * 365, 365, yearly.months.len() * dates(&yearly.when));
    }
    if total > MOST_POINTS {
        wrong.push(Invalid::new("retention", format!("would keep {total} points of each machine, and Azure keeps at most {MOST_POINTS}")));
    }
}
