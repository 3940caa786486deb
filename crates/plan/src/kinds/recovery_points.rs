//! Recovery points: how many, which ones matter, and whether the promise holds.

use breakwater_api::{
    Reason,
    backup_policy::DeclaredConsistency,
    protected_machine::{Consistency, RecoveryPoint, RecoveryPoints},
};
use breakwater_arm::{
    ArmTime,
    bodies::{self, RecoveryPointProperties},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::kind::Promise;

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
    }
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
