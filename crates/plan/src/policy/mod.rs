//! A BackupPolicy in Azure's words and back (backup.md §7): the body to send, what of an echoed body differs from what is
//! declared, what a change would weaken, and what the schedule promises. Pure translation.

mod cadence;
mod check;
mod compare;
mod shape;
mod weaken;
mod wire;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use breakwater_api::{BackupPolicySpec, Span};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

pub use check::{Invalid, check};
pub use compare::{Difference, differences, merged, raised, refused};
pub use weaken::{Weakening, weakens};
pub use wire::to_azure;

/// What Azure takes from a backup's start to a point in the vault, and then some: the part of a default promise that the
/// schedule does not explain.
pub const GRACE: SignedDuration = SignedDuration::from_hours(4);

/// The first moment after `after` at which the schedule starts a backup.
///
/// # Errors
/// When the spec has no valid schedule or zone.
pub fn next_backup(spec: &BackupPolicySpec, after: Timestamp) -> Result<Timestamp, Invalid> {
    let (cadence, zone) = wire::cadence(spec)?;
    cadence.next_after(&zone, after).ok_or_else(|| Invalid::new("schedule", "has no backup in the next weeks"))
}

/// The longest time between two backups of the schedule, in real time: nights, weeks and changes of the clock included.
///
/// # Errors
/// When the spec has no valid schedule or zone.
pub fn largest_gap(spec: &BackupPolicySpec) -> Result<SignedDuration, Invalid> {
    let (cadence, zone) = wire::cadence(spec)?;
    let key = json!([spec.schedule, spec.time_zone]).to_string();
    let mut known = GAPS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(gap) = known.get(&key) {
        return Ok(*gap);
    }
    let gap = cadence.largest_gap(&zone);
    if known.len() >= MOST_GAPS {
        known.clear();
    }
    known.insert(key, gap);
    Ok(gap)
}

/// What was worked out before: a policy's every turn needs it, and it walks a year of the schedule.
static GAPS: Mutex<BTreeMap<String, SignedDuration>> = Mutex::new(BTreeMap::new());
const MOST_GAPS: usize = 1024;

/// How old the youngest point may be: as declared, else the largest gap and [`GRACE`].
///
/// # Errors
/// When nothing is declared and the spec has no valid schedule or zone.
pub fn promised_rpo(spec: &BackupPolicySpec) -> Result<SignedDuration, Invalid> {
    match &spec.target {
        Some(target) => Ok(target.rpo.as_signed()),
        None => Ok(largest_gap(spec)? + GRACE),
    }
}

/// The same as a duration that status can carry.
///
/// # Errors
/// As [`promised_rpo`].
pub fn promised_span(spec: &BackupPolicySpec) -> Result<Span, Invalid> {
    let promised = promised_rpo(spec)?;
    format!("{}s", promised.as_secs()).parse().map_err(|_| Invalid::new("target.rpo", "is too long"))
}
