//! Recovery points: how many, which ones matter, and whether the promise holds.

use breakwater_api::{
    Reason,
    backup_policy::DeclaredConsistency,
    durations::Span,
    protected_machine::{Consistency, RecoveryPoint, RecoveryPoints, RestoreTime, TierCounts},
};
use breakwater_arm::{
    ArmTime,
    bodies::{self, RecoveryPointProperties},
    regions,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::kind::Promise;

/// So many points a status tells: four days of six a day.
const MOST_POINTS: usize = 24;

/// Sums up a listing.
pub fn sum_up<'a>(points: impl Iterator<Item = &'a Value>, as_of: String) -> RecoveryPoints {
    let all = all(points);
    let usable: Vec<&RecoveryPoint> = all.iter().filter(|p| !p.tiers.is_empty()).collect();
    let newest = |pick: fn(&RecoveryPoint) -> bool| usable.iter().find(|p| pick(p)).map(|p| (*p).clone());
    RecoveryPoints {
        count: usable.len() as i64,
        as_of: Some(as_of),
        oldest: usable.last().map(|p| (*p).clone()),
        latest: newest(|_| true),
        latest_application_consistent: newest(|p| p.consistency == Consistency::ApplicationConsistent),
        latest_in_vault: newest(in_vault),
        tiers: Some(counts(&usable)),
        regions: Vec::new(),
    }
}

fn counts(points: &[&RecoveryPoint]) -> TierCounts {
    let count = |tier: &str| points.iter().filter(|p| p.tiers.iter().any(|t| t == tier)).count() as i64;
    TierCounts { snapshot: count("Snapshot"), vault: count("Vault"), archive: count("Archive") }
}

/// The youngest usable points, as many as a status tells.
pub fn youngest<'a>(points: impl Iterator<Item = &'a Value>) -> Vec<RecoveryPoint> {
    all(points).into_iter().filter(|p| !p.tiers.is_empty()).take(MOST_POINTS).collect()
}

/// The regions that a vault's points can be restored in.
pub fn regions(location: &str, cross_region: bool) -> Vec<String> {
    let paired = regions::paired(location).filter(|_| cross_region);
    [location].into_iter().chain(paired).map(str::to_owned).collect()
}

/// How long a restore of disks of so many GB may take, by tier. From a snapshot disks are made within minutes, whatever their
/// size; from the vault a disk of 127 GB took 55 minutes at most (backup.md §16, 107 recorded restores); from the archive the
/// data is brought back first, which Azure says takes up to 15 hours.
pub fn restore_times(gigabytes: Option<i64>) -> Vec<RestoreTime> {
    let time = |tier: &str, up_to, basis: &str| RestoreTime { tier: tier.to_owned(), up_to, basis: basis.to_owned() };
    let snapshot = time("Snapshot", Span::minutes(5), "recorded restores of disks took 65 to 152 s, whatever their size");
    let Some(gigabytes) = gigabytes.filter(|gb| *gb > 0) else { return vec![snapshot] };
    // In quarters of an hour: what nobody can know to the minute is not told to the minute.
    let minutes = (gigabytes * 55 / 127 / 15 + 1) * 15;
    let minutes = u16::try_from(minutes).unwrap_or(u16::MAX);
    let of = format!("{gigabytes} GB provisioned, at the slowest recorded rate of 127 GB in 55 min");
    vec![
        snapshot,
        time("Vault", Span::minutes(minutes), &of),
        time(
            "Archive",
            Span::minutes(minutes.saturating_add(15 * 60)),
            "as from the vault, after up to 15 h of rehydration (Standard priority)",
        ),
    ]
}

/// The points of a listing, newest first.
pub fn all<'a>(points: impl Iterator<Item = &'a Value>) -> Vec<RecoveryPoint> {
    let mut all: Vec<RecoveryPoint> = points.filter_map(read).collect();
    all.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.name.cmp(&b.name)));
    all
}

fn in_vault(point: &RecoveryPoint) -> bool {
    point.tiers.iter().any(|t| t != "Snapshot")
}

fn read(body: &Value) -> Option<RecoveryPoint> {
    of(&bodies::RecoveryPoint::parse(body).ok()?)
}

/// A point as status shows it.
pub fn of(point: &bodies::RecoveryPoint) -> Option<RecoveryPoint> {
    let p = &point.properties;
    let expires = p.recovery_point_properties.as_ref().and_then(|e| e.expiry_time.as_ref()).and_then(ArmTime::instant);
    Some(RecoveryPoint {
        name: point.name.clone()?,
        at: super::seconds(p.recovery_point_time.as_ref().and_then(ArmTime::instant)?),
        consistency: consistency(p),
        tiers: tiers(p),
        expires: expires.map(super::seconds),
    })
}

/// Azure's word for it (backup.md §12.1) in ours.
fn consistency(p: &RecoveryPointProperties) -> Consistency {
    match p.recovery_point_type.as_ref().map(|w| w.to_string().to_ascii_lowercase()).as_deref() {
        Some("appconsistent") => Consistency::ApplicationConsistent,
        Some("filesystemconsistent") => Consistency::FileSystemConsistent,
        Some("crashconsistent") => Consistency::CrashConsistent,
        other => Consistency::Other(other.unwrap_or_default().to_owned()),
    }
}

fn tiers(p: &RecoveryPointProperties) -> Vec<String> {
    let known = [("InstantRP", "Snapshot"), ("HardenedRP", "Vault"), ("ArchivedRP", "Archive")];
    known.iter().filter(|(azure, _)| p.is_in(azure)).map(|(_, ours)| (*ours).to_owned()).collect()
}

/// How a point compares with what is declared; `None` when the word is not known.
fn rank(c: &Consistency) -> Option<u8> {
    match c {
        Consistency::CrashConsistent => Some(0),
        Consistency::FileSystemConsistent => Some(1),
        Consistency::ApplicationConsistent => Some(2),
        Consistency::Other(_) => None,
    }
}

/// Whether a point is as consistent as declared for that operating system.
pub fn as_declared(point: &RecoveryPoint, declared: DeclaredConsistency, os: Option<&str>) -> Option<bool> {
    let least = match declared {
        DeclaredConsistency::CrashConsistent => 0,
        DeclaredConsistency::FileSystemConsistent => 1,
        DeclaredConsistency::ApplicationConsistent => 2,
        DeclaredConsistency::BestForOs if os?.eq_ignore_ascii_case("Windows") => 2,
        DeclaredConsistency::BestForOs => 1,
    };
    Some(rank(&point.consistency)? >= least)
}

/// The promise: the youngest point in the vault is not older than the rpo, counted from protection before the first.
/// Answers when it falls due, too.
pub fn promise(
    points: Option<&RecoveryPoints>,
    protected_since: Option<Timestamp>,
    rpo: SignedDuration,
    now: Timestamp,
) -> (Promise, Option<Timestamp>) {
    let last = points.and_then(|p| p.latest_in_vault.as_ref());
    let Some(base) = last.map(|p| p.at).or(protected_since) else {
        // A time that moves with the clock would be written anew at every look.
        let message = "protected; since when is told as soon as the vault's jobs can be read";
        return (Promise::kept(Reason::AwaitingFirstBackup, message), None);
    };
    let due = base + rpo;
    let promise = match (last, now <= due) {
        (None, true) => Promise::kept(
            Reason::AwaitingFirstBackup,
            format!("protected since {base}; the first recovery point in the vault is due by {due}"),
        ),
        (None, false) => Promise::broken(Reason::NoRecoveryPoint, format!("no recovery point in the vault, and one was due by {due}")),
        (Some(p), true) => {
            Promise::kept(Reason::WithinTarget, format!("the last recovery point in the vault is of {}; the next is due by {due}", p.at))
        }
        (Some(p), false) => Promise::broken(
            Reason::RecoveryPointTooOld,
            format!("the last recovery point in the vault is of {}, and the next was due by {due}", p.at),
        ),
    };
    (promise, (now <= due).then_some(due + SignedDuration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_restore_takes_is_told_in_quarters_of_an_hour_and_only_where_the_size_is_known() {
        let told = |gb| restore_times(gb).iter().map(|t| format!("{} {}", t.tier, t.up_to)).collect::<Vec<_>>();
        assert_eq!(told(None), ["Snapshot 5m"]);
        assert_eq!(told(Some(30)), ["Snapshot 5m", "Vault 15m", "Archive 15h15m"]);
        assert_eq!(told(Some(127)), ["Snapshot 5m", "Vault 1h", "Archive 16h"]);
        assert_eq!(told(Some(i64::from(u16::MAX))).len(), 3, "more than can be told is cut, and nothing overflows");
    }

    #[test]
    fn the_paired_region_is_told_where_the_vault_allows_restores_there() {
        assert_eq!(regions("westeurope", false), ["westeurope"]);
        assert_eq!(regions("westeurope", true), ["westeurope", "northeurope"]);
        assert_eq!(regions("nowhere", true), ["nowhere"]);
    }
}
