//! The questions that a `ProtectedMachine` answers beside `Ready`.

use breakwater_api::{ConditionType, Protection, Reason, conditions};

use super::{first_backup::FIRST_BACKUP, machine_place::Place, recovery_points};
use crate::{
    kind::{Decided, Promise, Said},
    planner::Verdict,
};

/// What the first backup asks of a person, where it does: `Ready` does not wait for it, so it is told here.
pub(super) fn question(decided: Decided<'_>) -> Option<(Reason, String)> {
    match decided.ok()?.verdicts.get(FIRST_BACKUP)? {
        Verdict::Stuck { reason, message, .. } => Some((*reason, message.clone())),
        _ => None,
    }
}

pub(super) fn conditions(
    p: &Place,
    status: &breakwater_api::ProtectedMachineStatus,
    settled: bool,
    promise: &Promise,
    asks: Option<(Reason, String)>,
) -> Vec<Said> {
    let points = status.recovery_points.as_ref();
    let latest = points.and_then(|r| r.latest.as_ref());
    let protected = if settled {
        Said::new(
            ConditionType::Protected,
            Some(true),
            Reason::AsDeclared,
            format!("{} is protected under policy {}", p.machine, p.policy.name()),
        )
    } else {
        Said::new(ConditionType::Protected, Some(false), promise.reason, promise.message.clone())
    };
    // What is remembered of points says nothing where the item is another machine's.
    let taken = promise.reason == Reason::NameTaken;
    let recoverable = match latest {
        _ if taken => Said::new(ConditionType::Recoverable, Some(false), promise.reason, promise.message.clone()),
        _ if status.protection == Some(Protection::Missing) => {
            Said::new(ConditionType::Recoverable, Some(false), Reason::Missing, "the backups were there and are gone from Azure")
        }
        Some(_) if status.protection == Some(Protection::SoftDeleted) => {
            let message = "the backups are soft-deleted: set spec.undelete: true before they are purged";
            Said::new(ConditionType::Recoverable, Some(false), Reason::SoftDeleted, message)
        }
        Some(point) => {
            Said::new(ConditionType::Recoverable, Some(true), Reason::Succeeded, format!("the youngest recovery point is of {}", point.at))
        }
        None => {
            let (reason, message) = asks.unwrap_or_else(|| (Reason::NoRecoveryPoint, no_point(status)));
            Said::new(ConditionType::Recoverable, Some(false), reason, message)
        }
    };
    let mut all = vec![protected, recoverable];
    if taken || status.protection == Some(Protection::Missing) {
        all.push(Said::new(ConditionType::WithinRpo, Some(false), promise.reason, promise.message.clone()));
    }
    if settled {
        let only_snapshot = latest.is_some() && points.is_some_and(|r| r.latest_in_vault.is_none());
        let reason = if only_snapshot { Reason::SnapshotOnly } else { promise.reason };
        all.push(Said::new(ConditionType::WithinRpo, Some(promise.kept), reason, promise.message.clone()));
    }
    if let Some(point) = latest.filter(|_| !taken) {
        let os = status.machine.as_ref().and_then(|m| m.os.as_deref());
        let holds = recovery_points::as_declared(point, p.policy_view.spec.consistency, os);
        let reason = if holds == Some(false) { Reason::LessConsistent } else { Reason::ConsistentAsDeclared };
        let message = format!("the youngest recovery point ({}) is {}", point.at, point.consistency);
        all.push(Said::new(ConditionType::ConsistentAsDeclared, holds, reason, message));
    }
    if !status.disks.is_empty() {
        let left: Vec<String> = status.disks.iter().filter(|d| !d.covered).map(|d| d.lun.to_string()).collect();
        let (reason, message) = if left.is_empty() {
            (Reason::AllDisksCovered, String::new())
        } else {
            (Reason::DiskExcluded, format!("not backed up: LUN {}", left.join(", ")))
        };
        all.push(Said::new(ConditionType::DiskNotCovered, Some(!left.is_empty()), reason, message));
    }
    all
}

/// The same while its vault or policy cannot be found: what was last known of it, and not that it holds.
pub(super) fn last_known(status: &breakwater_api::ProtectedMachineStatus, promise: &Promise) -> Vec<Said> {
    let asked = [
        ConditionType::Protected,
        ConditionType::Recoverable,
        ConditionType::WithinRpo,
        ConditionType::ConsistentAsDeclared,
        ConditionType::DiskNotCovered,
    ];
    let known = asked.into_iter().filter_map(|about| Some((about, conditions::find(&status.shared.conditions, about)?)));
    let told = known.map(|(about, before)| {
        let words = before.message.strip_prefix(LAST_KNOWN).unwrap_or(&before.message);
        let words = if words.is_empty() { &before.reason } else { words };
        Said::new(about, None, promise.reason, format!("{LAST_KNOWN}{words}"))
    });
    told.collect()
}

const LAST_KNOWN: &str = "it is not looked at now; last known: ";

fn no_point(status: &breakwater_api::ProtectedMachineStatus) -> String {
    match status.first_backup.as_ref().and_then(|f| f.result.as_deref()) {
        Some("Failed") => "the first backup failed and is not repeated; the schedule is next".into(),
        _ => "there is no recovery point yet".into(),
    }
}
