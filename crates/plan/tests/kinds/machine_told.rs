//! What a `ProtectedMachine` promises and tells.

use std::sync::Arc;

use breakwater_api::{ConditionType, ProtectedMachine, Reason};
use breakwater_plan::{
    facts::{List, Need},
    kind::{Kind as _, Report, Subject},
};
use serde_json::{Value, json};

use crate::{
    estate::*,
    machine::{backup_job, declares, item, jobs, owner, protected},
};

fn point(name: &str, at: &str, consistency: &str, tiers: &[&str]) -> (breakwater_arm::ResourceId, Value) {
    let tiers: Vec<Value> = tiers.iter().map(|t| json!({ "type": t, "status": "Valid" })).collect();
    let body = json!({ "name": name, "properties": { "objectType": "IaasVMRecoveryPoint", "recoveryPointType": consistency,
        "recoveryPointTime": at, "recoveryPointTierDetails": tiers } });
    (item().child("recoveryPoints", name).unwrap(), body)
}

/// Protected since 1 March 10:00 with an rpo of 28 h, and with these points.
fn told_with(since: &str, points: &[(breakwater_arm::ResourceId, Value)]) -> Report {
    let target = json!({ "target": { "rpo": "28h" } });
    let item_state = match points.last() {
        Some((_, newest)) => json!({ "protectionState": "Protected", "lastBackupStatus": "Completed",
            "lastBackupTime": newest["properties"]["recoveryPointTime"], "lastRecoveryPoint": newest["properties"]["recoveryPointTime"] }),
        None => json!({}),
    };
    let mut facts = protected(target, item_state);
    let of_item = List {
        path: format!("{}/recoveryPoints", item()),
        query: vec![],
        api_version: breakwater_arm::versions::RECOVERY_SERVICES,
        partial: false,
    };
    list(&mut facts, of_item, points);
    reported(&owner(json!({ "protectedSince": since })), &facts)
}

#[test]
fn the_promise_counts_from_protection_and_then_from_the_youngest_point_in_the_vault() {
    let vault_point = |at| [point("p1", at, "AppConsistent", &["InstantRP", "HardenedRP"])];
    #[rustfmt::skip]
    let cases = [
        // situation            told                                                                             kept   reason                        due
        ("no point yet",        told_with("2026-03-01T10:00:00Z", &[]),                                          true,  Reason::AwaitingFirstBackup, "2026-03-02T14:00:00Z"),
        ("no point in time",    told_with("2026-02-20T10:00:00Z", &[]),                                          false, Reason::NoRecoveryPoint,     "2026-02-21T14:00:00Z"),
        ("a young point",       told_with("2026-02-20T10:00:00Z", &vault_point("2026-03-01T02:00:00Z")),         true,  Reason::WithinTarget,        "2026-03-02T06:00:00Z"),
        ("an old point",        told_with("2026-02-20T10:00:00Z", &vault_point("2026-02-27T02:00:00Z")),         false, Reason::RecoveryPointTooOld, "2026-02-28T06:00:00Z"),
    ];
    for (situation, report, kept, reason, due) in cases {
        assert_eq!((report.promise.kept, report.promise.reason), (kept, reason), "{situation}: {:?}", report.promise);
        assert!(report.promise.message.contains(due), "{situation}: {}", report.promise.message);
        let next = kept.then(|| due.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(1));
        assert_eq!(report.next, next, "{situation}: looked at again when it falls due");
        assert_eq!(said(&report, ConditionType::WithinRpo).holds, Some(kept), "{situation}");
        assert_eq!(said(&report, ConditionType::Protected).holds, Some(true), "{situation}");
    }
}

#[test]
fn when_the_vault_is_gone_nothing_is_called_protected_or_recoverable() {
    let points = json!({ "count": 1, "latest": { "name": "p1", "at": "2026-03-01T02:00:00Z", "consistency": "ApplicationConsistent", "tiers": ["Vault"] } });
    let status = json!({ "protection": "Protected", "protectedSince": "2026-02-20T10:00:00Z", "recoveryPoints": points });
    let mut facts = protected(json!({}), json!({ "protectionState": "Protected" }));
    for id in [vault(), item(), daily()] {
        see(&mut facts, &id, None);
    }
    let report = reported(&owner(status), &facts);
    assert_eq!((report.promise.kept, report.promise.reason), (false, Reason::Missing));
    assert_eq!(report.status["protection"], "Missing");
    for about in [ConditionType::Protected, ConditionType::Recoverable, ConditionType::WithinRpo] {
        assert_eq!(said(&report, about).holds, Some(false), "{about:?}");
    }
}

#[test]
fn a_point_in_a_snapshot_only_is_recoverable_and_no_promise_kept() {
    let report = told_with("2026-02-20T10:00:00Z", &[point("p1", "2026-03-01T02:00:00Z", "AppConsistent", &["InstantRP"])]);
    assert_eq!(said(&report, ConditionType::Recoverable).holds, Some(true));
    let rpo = said(&report, ConditionType::WithinRpo);
    assert_eq!((rpo.holds, rpo.reason), (Some(false), Reason::SnapshotOnly));
    assert!(!report.promise.kept);
    assert!(report.status["recoveryPoints"].get("latestInVault").is_none());
}

#[test]
fn consistency_is_the_points_own_and_compared_with_what_is_declared_for_the_system() {
    for (azure, ours, holds) in [
        ("AppConsistent", "ApplicationConsistent", Some(true)),
        ("FileSystemConsistent", "FileSystemConsistent", Some(false)),
        ("CrashConsistent", "CrashConsistent", Some(false)),
    ] {
        let report = told_with("2026-02-20T10:00:00Z", &[point("p1", "2026-03-01T02:00:00Z", azure, &["HardenedRP"])]);
        assert_eq!(report.status["recoveryPoints"]["latest"]["consistency"], ours);
        assert_eq!(report.status["lastBackup"]["consistency"], ours);
        assert_eq!(said(&report, ConditionType::ConsistentAsDeclared).holds, holds, "BestForOs on Windows, {azure}");
    }
}

#[test]
fn a_failed_first_backup_is_told_and_a_running_one_is_never_called_failed() {
    let told = |status: &str| {
        let mut facts = protected(json!({ "firstBackup": "Now" }), json!({}));
        jobs(&mut facts, &[backup_job("j", "2026-03-01T10:05:00Z", status)]);
        reported(&owner(json!({ "protectedSince": "2026-03-01T10:00:00Z" })), &facts)
    };
    let running = told("InProgress");
    assert_eq!(running.status["firstBackup"]["job"], "j");
    assert!(running.status["firstBackup"].get("result").is_none());
    assert_eq!(running.status["lastBackup"]["result"], "InProgress");
    let failed = told("Failed");
    assert_eq!(failed.status["firstBackup"]["result"], "Failed");
    assert!(said(&failed, ConditionType::Recoverable).message.contains("not repeated"));
}

#[test]
fn a_disk_that_is_left_out_is_told_by_its_lun() {
    let disks = json!({ "extendedProperties": { "diskExclusionProperties": { "diskLunList": [1], "isInclusionList": false } } });
    let report = reported(&owner(json!({})), &protected(json!({}), disks));
    let left_out = said(&report, ConditionType::DiskNotCovered);
    assert_eq!((left_out.holds, left_out.reason), (Some(true), Reason::DiskExcluded));
    assert_eq!(left_out.message, "not backed up: LUN 1");
    let covered: Vec<bool> = report.status["disks"].as_array().unwrap().iter().map(|d| d["covered"].as_bool().unwrap()).collect();
    assert_eq!(covered, [true, true, false], "the OS disk, LUN 0, LUN 1");
}

#[test]
fn of_a_machine_that_is_not_granted_nothing_is_looked_at_and_nothing_told_anew() {
    let at = "2026-03-01T02:00:00Z";
    let mut facts = protected(
        json!({}),
        json!({ "protectionState": "Protected", "lastBackupStatus": "Completed", "lastBackupTime": at, "lastRecoveryPoint": at }),
    );
    let path = format!("{}/recoveryPoints", item());
    let of_item = List { path, query: vec![], api_version: breakwater_arm::versions::RECOVERY_SERVICES, partial: false };
    list(&mut facts, of_item, &[point("p1", at, "AppConsistent", &["HardenedRP"])]);
    let shut = |s: Subject<ProtectedMachine>| {
        let mut grant = (*s.access.clone().unwrap()).clone();
        grant.allow[0].resource_groups = vec!["rg-backup".into()];
        Subject { access: Some(Arc::new(grant)), ..s }
    };
    let by_hand = shut(declares(json!({}), json!({})));
    assert_eq!(told(&planned(&by_hand, &facts), "protection"), "stuck: AccessDenied");
    let looks = |need: &Need| match need {
        Need::ListUnder { .. } | Need::Ask { .. } | Need::Jobs { .. } => true,
        Need::Read { id, .. } => *id == machine() || *id == item(),
        _ => false,
    };
    assert!(!ProtectedMachine::needs(&by_hand, &facts).iter().any(looks));
    let report = reported(&by_hand, &facts);
    assert_eq!((report.promise.kept, report.promise.reason), (false, Reason::AccessDenied));
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    for field in ["protection", "recoveryPoints", "points", "lastBackup", "machine", "disks", "itemId"] {
        assert!(report.status.get(field).is_none_or(is_empty), "{field}: {:?}", report.status);
    }
    // What was known of an item of ours before its grant was narrowed stays, and moves no more.
    let ours = reported(&shut(owner(json!({ "protection": "Protected", "recoveryPoints": { "count": 7 } }))), &facts);
    assert_eq!((&ours.status["protection"], &ours.status["recoveryPoints"]["count"]), (&json!("Protected"), &json!(7)));
    assert_eq!((ours.promise.reason, ours.owned.len()), (Reason::AccessDenied, 1));
}
