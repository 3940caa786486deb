//! Restores: what they made, what is believed of what is there, and what the grant must admit before anything is sent.

use std::sync::Arc;

use breakwater_api::{OperationRecord, Reason, RestoreRun};
use breakwater_arm::ResourceId;
use breakwater_plan::{
    facts::{Asked, Facts},
    kind::{Allowed, Grant, Kind, Subject},
};
use serde_json::{Value, json};

use crate::{
    estate::*,
    machine::{item, jobs, vm},
    runs::{JOB, POINT, disks, failed, job_of, key, restore, standing},
};

const OTHER: &str = "22222222-0000-4000-8000-000000000002";

fn disk(name: &str) -> ResourceId {
    id("rg-shop", &format!("Microsoft.Compute/disks/{name}"))
}

/// A disk that was made at 11:02 in that way, with these tags.
fn disk_made(name: &str, option: &str, tags: Value) -> (ResourceId, Value) {
    let properties = json!({ "creationData": { "createOption": option }, "timeCreated": "2026-03-01T16:32:00.1234567+05:30" });
    (disk(name), json!({ "id": disk(name), "tags": tags, "properties": properties }))
}

/// A restore that ran from 11:00 to 11:05, and is over.
fn over(mut s: Subject<RestoreRun>, facts: &mut Facts) -> Subject<RestoreRun> {
    let mut job = job_of(&key(&s, facts), "restore", ("2026-03-01T11:00:00Z", "2026-03-01T11:05:00Z"));
    job["properties"]["operation"] = "Restore".into();
    jobs(facts, &[job]);
    s.status.phase = Some(breakwater_api::RunPhase::Running);
    s.status.job = serde_json::from_value(json!({ "name": JOB, "startedAt": "2026-03-01T11:00:00Z" })).unwrap();
    s
}

fn names(made: &Value) -> Vec<String> {
    let ids = made.as_array().into_iter().flatten().filter_map(|m| m["id"].as_str()?.rsplit('/').next().map(str::to_owned));
    ids.collect()
}

/// The names of what a restore to disks tells that it made, of these in the group.
fn made(all: &[(ResourceId, Value)]) -> Vec<String> {
    let mut facts = standing();
    let s = over(restore(json!({})), &mut facts);
    list(&mut facts, disks(), all);
    names(&reported(&s, &facts).status.get("made").cloned().unwrap_or_default())
}

#[test]
fn what_a_restore_made_is_known_by_the_jobs_name_on_it_or_by_the_machines() {
    let tag = |job: &str| json!({ "RSVaultBackup": job });
    let os = "db1-osdisk-20260301-110002";
    for option in ["Restore", "Import", "Upload"] {
        assert_eq!(made(&[disk_made(os, option, json!({}))]), [os], "{option}");
    }
    // Another job's disk is another restore's, however it is called, and the job's own is this one's.
    let all = [
        disk_made(os, "Import", tag(OTHER)),
        disk_made("anything", "Import", json!({ "rsvaultbackup": JOB })),
        disk_made("db1-datadisk-000-20260301-110002", "Import", tag(&JOB.to_uppercase())),
        disk_made("db2-osdisk-20260301-110002", "Restore", json!({})),
        disk_made("db1-datadisk-001-by-hand", "Empty", tag(JOB)),
    ];
    assert_eq!(made(&all), ["anything", "db1-datadisk-000-20260301-110002"]);
    assert_eq!(made(&[disk_made(os, "Restore", tag(OTHER)), disk_made("x", "Restore", tag(OTHER))]), [""; 0]);
    // Of another make, and of nobody: as long as it was restored.
    assert_eq!(made(&[disk_made("x", "Restore", json!({})), disk_made("y", "Upload", json!({}))]), ["x"]);
}

#[test]
fn a_machine_whose_name_has_more_than_letters_and_digits_gets_its_disks() {
    let mut facts = standing();
    let mut s = restore(json!({}));
    let new = json!({ "name": "sql-osdisk_1.Test", "resourceGroup": "rg-shop", "subnetId": id("rg-shop", "Microsoft.Network/virtualNetworks/v/subnets/s") });
    s.spec.to = serde_json::from_value(json!({ "newMachine": new })).unwrap();
    let s = over(s, &mut facts);
    see(&mut facts, &id("rg-shop", "Microsoft.Compute/virtualMachines/sql-osdisk_1.Test"), None);
    list(&mut facts, disks(), &[disk_made("sqlosdisk1test-osdisk-20260301-110002", "Upload", json!({}))]);
    let group = id("rg-shop", "x/y/z").resource_group_id().unwrap();
    let needs = RestoreRun::needs(&s, &facts).into_iter();
    let beside = needs.filter_map(|need| if let breakwater_plan::facts::Need::ListUnder { list, .. } = need { Some(list) } else { None });
    let beside: Vec<_> = beside.filter(|list| list.path == format!("{group}/resources")).collect();
    let interface = id("rg-shop", "Microsoft.Network/networkInterfaces/sqlosdisk1test-nic-1");
    list(&mut facts, beside[0].clone(), &[(interface.clone(), json!({ "id": interface, "createdTime": "2026-03-01T11:03:00Z" }))]);
    let told = reported(&s, &facts);
    assert_eq!(told.status["phase"], "Failed", "the machine is not there: {:#?}", told.status);
    assert_eq!(names(&told.status["made"]), ["sqlosdisk1test-osdisk-20260301-110002", "sqlosdisk1test-nic-1"]);
    assert!(told.status["handOff"]["terraform"].as_str().is_some_and(|text| text.contains("sqlosdisk1test-osdisk")));
}

#[test]
fn a_mark_is_believed_on_what_looks_restored_alone() {
    let mut facts = standing();
    let s = restore(json!({}));
    let marked = |job: Option<&str>| {
        let mut tags = json!({ "breakwater-restore": key(&s, &standing()) });
        job.into_iter().for_each(|job| tags["RSVaultBackup"] = job.into());
        tags
    };
    list(&mut facts, disks(), &[disk_made("by-hand", "Empty", marked(Some(OTHER))), disk_made("uploaded", "Upload", marked(None))]);
    assert_eq!(told(&planned(&s, &facts), "restore"), "POST", "a tag is put on in a moment");
    for (name, job) in [("db1-osdisk-20260101-110002", None), ("anything", Some(OTHER))] {
        list(&mut facts, disks(), &[disk_made(name, "Upload", marked(job))]);
        assert_eq!((planned(&s, &facts).verdicts.len(), &reported(&s, &facts).status["phase"]), (0, &json!("AlreadyDone")), "{name}");
    }
    // A machine is one where its own disk is.
    let new =
        json!({ "name": "db-9", "resourceGroup": "rg-shop", "subnetId": id("rg-shop", "Microsoft.Network/virtualNetworks/v/subnets/s") });
    let mut s = restore(json!({}));
    s.spec.to = serde_json::from_value(json!({ "newMachine": new })).unwrap();
    for (os, wanted) in [("db9-osdisk-20260101-110002", "AlreadyDone"), ("db-9_OsDisk_1_06", "Pending")] {
        let tags = json!({ "breakwater-restore": key(&s, &standing()) });
        let storage = json!({ "osDisk": { "managedDisk": { "id": disk(os) } } });
        let body = json!({ "tags": tags, "properties": { "vmId": "VM-9", "storageProfile": storage } });
        see(&mut facts, &id("rg-shop", "Microsoft.Compute/virtualMachines/db-9"), Some(body));
        assert_eq!(reported(&s, &facts).status["phase"], wanted, "{os}");
    }
}

/// The run with these acts on the machine's group and those on the vault's.
fn allowed(mut s: Subject<RestoreRun>, shop: &[&str], backup: &[&str]) -> Subject<RestoreRun> {
    let scope = |group: &str, acts: &[&str]| Allowed {
        subscription_id: SUB.into(),
        resource_groups: vec![group.into()],
        acts: acts.iter().map(|act| (*act).to_owned()).collect(),
    };
    s.access =
        Some(Arc::new(Grant { name: "shop".into(), uid: "a".into(), allow: vec![scope("rg-shop", shop), scope("rg-backup", backup)] }));
    s
}

/// What the grant lacks, as the node of the restore says it.
fn lacks(s: &Subject<RestoreRun>, facts: &Facts, node: &str) -> Option<String> {
    let graph = RestoreRun::desire(s, facts).unwrap_or_else(|hold| panic!("{hold:?}"));
    graph.nodes[node].hold.clone().filter(|hold| hold.reason == Reason::AccessDenied).map(|hold| hold.message)
}

#[test]
fn all_that_the_gate_asks_of_the_grant_is_asked_before_a_machine_is_stopped() {
    let mut facts = standing();
    see(&mut facts, &machine(), Some(vm(json!({}))));
    let running = json!({ "properties": { "instanceView": { "statuses": [{ "code": "PowerState/running" }] } } });
    facts.asked.insert("power".into(), Asked { at: now(), body: Some(Arc::new(running)), trouble: None });
    let mut s = restore(json!({}));
    s.spec.to = serde_json::from_value(json!({ "replaceDisks": { "confirm": "db1", "stopMachine": true } })).unwrap();
    s.spec.expires_at = Some("2026-03-01T13:00:00Z".parse().unwrap());
    let both = |s: &Subject<RestoreRun>| (lacks(s, &facts, "stop"), lacks(s, &facts, "restore"));
    let all = ["Read", "ReplaceDisks"];
    assert_eq!(both(&allowed(s.clone(), &all, &all)), (None, None));
    let (stop, then) = both(&allowed(s.clone(), &all, &["Read"]));
    let point = item().child("recoveryPoints", POINT).unwrap();
    assert!(stop.as_ref().is_some_and(|m| m.contains(&format!("ReplaceDisks on {point}"))) && stop == then, "{stop:?}, {then:?}");
    let (stop, _) = both(&allowed(s.clone(), &all, &["ReplaceDisks"]));
    assert!(stop.is_some_and(|m| m.contains("Read on") && m.contains("storageAccounts/stage")));
    // A guard's reference goes along, and must be readable where its owners keep it.
    let reference = "/subscriptions/50b50000-0000-4000-8000-0000000000ff/resourceGroups/rg-guard/providers/Microsoft.DataProtection/resourceGuards/g/deleteProtectedItemRequests/default";
    let detail = json!({ "vaultCriticalOperation": "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action", "defaultResourceRequest": reference });
    see(
        &mut facts,
        &vault().child("backupResourceGuardProxies", "VaultProxy").unwrap(),
        Some(json!({ "properties": { "resourceGuardOperationDetails": [detail] } })),
    );
    let told = lacks(&allowed(s, &all, &all), &facts, "stop");
    assert!(told.as_ref().is_some_and(|m| m.contains("Read on") && m.contains("rg-guard")), "{told:?}");
}

#[test]
fn a_restore_beside_its_source_needs_its_act_at_the_point_too() {
    let facts = standing();
    let s = restore(json!({}));
    assert_eq!(lacks(&allowed(s.clone(), &["Read", "Restore"], &["Read", "Restore"]), &facts, "restore"), None);
    let told = lacks(&allowed(s, &["Read", "Restore"], &["Read"]), &facts, "restore");
    assert!(told.as_ref().is_some_and(|m| m.contains("does not allow Restore on") && m.contains("/recoveryPoints/")), "{told:?}");
}

#[test]
fn files_are_opened_once_more_only_where_the_grant_still_admits_it() {
    let facts = standing();
    let mut s = restore(json!({}));
    (s.spec.staging, s.spec.to) = (None, serde_json::from_value(json!({ "files": { "mountFor": "2h", "secretName": "files" } })).unwrap());
    let record = OperationRecord { outcome: Some(breakwater_api::operations::Outcome::Lost), ..failed("mount") };
    s.operations.insert("mount".into(), record);
    let all = ["Read", "ReadData"];
    assert_eq!(lacks(&allowed(s.clone(), &all, &all), &facts, "mount"), None);
    for (shop, backup, what) in [(&["Read"][..], &all[..], "virtualMachines/db1"), (&all, &["Read"], "/recoveryPoints/")] {
        let told = lacks(&allowed(s.clone(), shop, backup), &facts, "mount");
        assert!(told.as_ref().is_some_and(|m| m.contains("ReadData on") && m.contains(what)), "{told:?}");
    }
}

#[test]
fn whatever_keeps_a_restore_from_going_on_says_that_the_machine_was_stopped_for_it() {
    let mut facts = standing();
    let mut s = restore(json!({ "machineStoppedAt": "2026-03-01T11:50:00Z" }));
    s.spec.to = serde_json::from_value(json!({ "replaceDisks": { "confirm": "db1", "stopMachine": true } })).unwrap();
    s.spec.expires_at = Some("2026-03-01T13:00:00Z".parse().unwrap());
    let says = |s: &Subject<RestoreRun>, facts: &Facts| match RestoreRun::desire(s, facts) {
        Ok(graph) => graph.nodes["restore"].hold.clone().expect("it is held"),
        Err(hold) => hold,
    };
    let withdrawn = says(&s, &facts);
    assert!(withdrawn.reason == Reason::AccessDenied && withdrawn.message.contains("db1 was stopped for it"), "{withdrawn:?}");
    let mut s = allowed(s, &["Read", "ReplaceDisks"], &["Read", "ReplaceDisks"]);
    // Azure refuses it: told with the same words until it is tried again.
    see(&mut facts, &machine(), Some(vm(json!({}))));
    let off = json!({ "properties": { "instanceView": { "statuses": [{ "code": "PowerState/deallocated" }] } } });
    facts.asked.insert("power".into(), Asked { at: now(), body: Some(Arc::new(off)), trouble: None });
    let mut record = OperationRecord { outcome: Some(breakwater_api::operations::Outcome::Refused), ended_at: None, ..failed("restore") };
    record.error.as_mut().unwrap().retry_at = Some("2026-03-01T12:10:00Z".parse().unwrap());
    s.operations.insert("restore".into(), record.clone());
    let refused = says(&s, &facts);
    assert!(refused.message.starts_with("The agent is silent.; db1 was stopped for it"), "{refused:?}");
    record.error.as_mut().unwrap().retry_at = Some(now());
    s.operations.insert("restore".into(), record);
    assert_eq!(RestoreRun::desire(&s, &facts).map(|graph| graph.nodes["restore"].hold.clone()), Ok(None), "it is tried again");
}

#[test]
fn a_point_that_was_brought_back_from_the_archive_is_the_youngest_where_it_is() {
    let mut facts = standing();
    let mut s = restore(json!({}));
    s.choices.clear();
    for (status, wanted) in [("Rehydrated", Some(POINT)), ("Valid", None)] {
        let id = item().child("recoveryPoints", POINT).unwrap();
        let tier = json!({ "type": "ArchivedRP", "status": status });
        let body = json!({ "id": id, "name": POINT, "properties": { "objectType": "IaasVMRecoveryPoint", "recoveryPointType": "AppConsistent",
            "recoveryPointTime": "2026-03-01T02:00:00Z", "recoveryPointTierDetails": [tier] } });
        let points = facts.lists.keys().find(|list| list.path.ends_with("/recoveryPoints")).expect("they were listed").clone();
        list(&mut facts, points, &[(id, body)]);
        assert_eq!(RestoreRun::choose(&s, &facts).get("recovery-point").map(String::as_str), wanted, "{status}");
    }
}

#[test]
fn what_goes_into_another_subscription_comes_from_the_vault() {
    let mut facts = standing();
    let mut s = restore(json!({}));
    s.choices.clear();
    let point = |name: &str, hour: u8, tiers: Value| {
        let id = item().child("recoveryPoints", name).unwrap();
        let properties = json!({ "objectType": "IaasVMRecoveryPoint", "recoveryPointType": "AppConsistent",
            "recoveryPointTime": format!("2026-03-01T{hour:02}:00:00Z"), "recoveryPointTierDetails": tiers });
        (id.clone(), json!({ "id": id, "name": name, "properties": properties }))
    };
    let (instant, hardened) = (json!({ "type": "InstantRP", "status": "Valid" }), json!({ "type": "HardenedRP", "status": "Valid" }));
    let points = facts.lists.keys().find(|list| list.path.ends_with("/recoveryPoints")).expect("they were listed").clone();
    list(&mut facts, points, &[point("young", 9, json!([instant])), point("old", 2, json!([instant, hardened]))]);
    let chosen = |s: &Subject<RestoreRun>| RestoreRun::choose(s, &facts).get("recovery-point").cloned();
    assert_eq!(chosen(&s).as_deref(), Some("young"));
    let there = json!({ "disks": { "resourceGroup": "rg-shop", "subscriptionId": OTHER } });
    s.spec.to = serde_json::from_value(there).unwrap();
    assert_eq!(chosen(&s).as_deref(), Some("old"));
}

#[test]
fn a_restore_whose_machines_object_is_gone_comes_to_its_end() {
    let mut facts = standing();
    let s = over(restore(json!({})), &mut facts);
    list(&mut facts, disks(), &[disk_made("db1-osdisk-20260301-110002", "Restore", json!({}))]);
    let source = reported(&s, &facts).status["source"].clone();
    assert_eq!(source, json!({ "vaultRef": { "name": "main" }, "machineId": machine() }));
    let gone = facts.objects.iter_mut().filter(|(at, _)| at.kind == "ProtectedMachine" || at.kind == "BackupPolicy");
    gone.for_each(|(_, object)| *object = None);
    assert!(RestoreRun::desire(&s, &facts).is_err(), "nothing tells where its job is");
    let mut s = s;
    s.status.source = serde_json::from_value(source).unwrap();
    let told = reported(&s, &facts);
    assert_eq!((&told.status["phase"], names(&told.status["made"]).len()), (&json!("Succeeded"), 1), "{:#?}", told.status);
    // What was not begun is not begun on a status's word, and what is not granted is not looked at on it.
    let unbegun = Subject { status: breakwater_api::RestoreRunStatus { job: None, ..s.status.clone() }, ..s.clone() };
    assert!(RestoreRun::desire(&unbegun, &facts).is_err());
    assert!(RestoreRun::desire(&allowed(s, &["Read"], &["Read", "Restore"]), &facts).is_err());
}

#[test]
fn disks_that_a_machine_still_runs_on_are_not_told_as_its_old_ones() {
    let mut facts = standing();
    let (old, left) = (disk("db1-os"), disk("left-out"));
    let mut s = restore(json!({ "oldDisks": [{ "id": old, "lun": -1 }, { "id": left, "lun": 0 }] }));
    s.spec.to = serde_json::from_value(json!({ "replaceDisks": { "confirm": "db1" } })).unwrap();
    let all = ["Read", "ReplaceDisks"];
    let s = over(allowed(s, &all, &all), &mut facts);
    let disk_of = |id: &ResourceId| json!({ "id": id });
    let now_on = disk("db1-osdisk-20260301-110002");
    let storage = json!({ "osDisk": { "managedDisk": disk_of(&now_on) }, "dataDisks": [{ "lun": 0, "managedDisk": disk_of(&left) }] });
    see(&mut facts, &machine(), Some(vm(json!({ "storageProfile": storage }))));
    let told = reported(&s, &facts);
    assert_eq!(told.status["phase"], "Succeeded", "{:#?}", told.status);
    assert_eq!(
        (names(&told.status["oldDisks"]), names(&told.status["made"])),
        (vec!["db1-os".into()], vec!["db1-osdisk-20260301-110002".into()])
    );
    assert!(told.promise.message.contains("old disks kept: 1 (status.oldDisks)"), "{}", told.promise.message);
}

#[test]
fn the_longest_status_is_as_long_as_a_status_may_be() {
    let (longest, mut facts) = ("n".repeat(253), standing());
    let mut s = restore(json!({}));
    (s.spec.staging, s.spec.to) = (None, serde_json::from_value(json!({ "files": { "mountFor": "2h", "secretName": longest } })).unwrap());
    let target = reported(&s, &facts).status["target"].as_str().map_or(0, str::len);
    let crd = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds/restoreruns.yaml")).unwrap();
    let (_, field) = crd.split_once("\n              target:\n").expect("status.target");
    let most: usize = field.split_once("maxLength: ").and_then(|(_, rest)| rest.lines().next()).unwrap().trim().parse().unwrap();
    assert!(target > 256 && target <= most, "{target} of {most}");
    // Sixty-five disks of long names leave little room for what is handed off.
    let s = over(restore(json!({})), &mut facts);
    let many: Vec<(ResourceId, Value)> =
        (0..65).map(|n| disk_made(&format!("db1-datadisk-{n:03}-{}", "x".repeat(60)), "Restore", json!({}))).collect();
    list(&mut facts, disks(), &many);
    let status = reported(&s, &facts).status;
    let bytes = json!(status).to_string().len();
    assert!(bytes < 27 * 1024 && names(&status["made"]).len() == 65, "{bytes}");
    assert!(status["handOff"]["terraform"].as_str().is_some_and(|text| text.contains("more are in status.made")));
}
