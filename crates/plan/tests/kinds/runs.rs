//! Runs: what is never sent a second time, and never for less than a whole answer.

use std::sync::Arc;

use breakwater_api::{BackupRun, OperationRecord, Reason, RestoreRun};
use breakwater_arm::versions::{DISKS, RECOVERY_SERVICES};
use breakwater_plan::{
    facts::{Facts, List, Need},
    keys,
    kind::{Grant, Kind, Subject},
    sighting::{Listed, Listing, Trouble},
};
use serde_json::{Value, json};

use crate::{
    estate::*,
    machine::{backup_job, item, jobs, protected},
};

pub const POINT: &str = "1234567890";

/// The job of a run that is over.
pub const JOB: &str = "a1b1c1d1-0000-4000-8000-000000000001";

/// The run, with a grant that admits it.
pub fn granted<K: Kind>(mut s: Subject<K>) -> Subject<K> {
    let mut grant: Grant = s.access.as_deref().cloned().unwrap();
    grant.allow[0].acts.extend(["Backup".into(), "Restore".into()]);
    s.access = Some(Arc::new(grant));
    s
}

pub fn backup(status: Value) -> Subject<BackupRun> {
    granted(subject("one", json!({ "protectedMachineRef": { "name": "db1" } }), status))
}

fn points() -> List {
    let path = format!("{}/recoveryPoints", item());
    List { path, query: Vec::new(), api_version: RECOVERY_SERVICES, partial: false }
}

pub fn restore(status: Value) -> Subject<RestoreRun> {
    let account = id("rg-backup", "Microsoft.Storage/storageAccounts/stage");
    let from = json!({ "recoveryPoint": { "protectedMachineRef": { "name": "db1" }, "point": { "latest": {} } } });
    let spec = json!({ "from": from, "to": { "disks": { "resourceGroup": "rg-shop" } }, "staging": { "storageAccountId": account }, "validateFirst": false });
    let mut s = granted(subject::<RestoreRun>("one", spec, status));
    s.choices.insert("recovery-point".into(), POINT.into());
    s
}

/// A protected machine with one recovery point, and no job in its vault's list.
pub fn standing() -> Facts {
    let mut facts = protected(json!({}), json!({ "protectionState": "Protected" }));
    add_member(&mut facts, "db1", "daily", json!({ "machine": { "vmId": "VM-1" } }));
    jobs(&mut facts, &[]);
    let point = item().child("recoveryPoints", POINT).unwrap();
    let tier = json!({ "type": "HardenedRP", "status": "Valid" });
    let body = json!({ "id": point, "name": POINT, "properties": { "objectType": "IaasVMRecoveryPoint", "recoveryPointType": "AppConsistent",
        "recoveryPointTime": "2026-03-01T02:00:00Z", "recoveryPointTierDetails": [tier] } });
    see(&mut facts, &point, Some(body.clone()));
    list(&mut facts, points(), &[(point, body)]);
    let account = json!({ "location": "westeurope", "kind": "StorageV2", "sku": { "name": "Standard_LRS" }, "properties": { "provisioningState": "Succeeded" } });
    see(&mut facts, &id("rg-backup", "Microsoft.Storage/storageAccounts/stage"), Some(account));
    // No disk of the group tells that it was made by this restore.
    list(&mut facts, disks(), &[]);
    // Nor does a job of earlier days.
    let wanted = earlier(&backup(json!({})), &facts).into_iter().chain(earlier(&restore(json!({})), &facts)).collect::<Vec<_>>();
    wanted.into_iter().for_each(|jobs| list(&mut facts, jobs, &[]));
    facts
}

/// The lists of jobs of earlier days that a run asks for.
pub fn earlier<K: Kind>(s: &Subject<K>, facts: &Facts) -> Vec<List> {
    let needs = K::needs(s, facts).into_iter();
    let lists = needs.filter_map(|need| if let Need::ListUnder { list, .. } = need { Some(list) } else { None });
    lists.filter(|list| list.path.ends_with("/backupJobs")).collect()
}

pub fn disks() -> List {
    let group = id("rg-shop", "Microsoft.Compute/disks/d").resource_group_id().unwrap();
    List { path: format!("{group}/providers/Microsoft.Compute/disks"), query: Vec::new(), api_version: DISKS, partial: false }
}

#[test]
fn what_was_never_begun_is_sent() {
    let facts = standing();
    assert_eq!(told(&planned(&backup(json!({})), &facts), "backup"), "POST");
    assert_eq!(told(&planned(&restore(json!({})), &facts), "restore"), "POST");
    // Before the jobs of earlier days came, one of them may be the run's own.
    let mut facts = facts;
    facts.lists.retain(|list, _| !list.path.ends_with("/backupJobs"));
    assert_eq!(told(&planned(&backup(json!({})), &facts), "backup"), "wait: NotYetObserved");
    assert_eq!(told(&planned(&restore(json!({})), &facts), "restore"), "wait: NotYetObserved");
}

/// The record of a request whose job is over.
fn finished(node: &str) -> OperationRecord {
    OperationRecord { job: Some("11111111-0000-4000-8000-000000000001".into()), outcome: None, error: None, ended_at: None, ..failed(node) }
}

#[test]
fn a_run_whose_record_went_in_this_turn_is_begun_and_its_job_is_told_though_no_list_shows_it() {
    let facts = standing();
    let (mut one, mut two) = (backup(json!({ "phase": "Running" })), restore(json!({ "phase": "Running" })));
    one.finished.insert("backup".into(), finished("backup"));
    two.finished.insert("restore".into(), finished("restore"));
    assert_eq!((told(&planned(&one, &facts), "backup"), told(&planned(&two, &facts), "restore")), ("done".into(), "done".into()));
    let mut unresolved = facts.clone();
    unresolved.objects.clear();
    for told in [reported(&one, &facts), reported(&two, &facts), reported(&one, &unresolved), reported(&two, &unresolved)] {
        let (phase, job) = (&told.status["phase"], &told.status["job"]["name"]);
        assert_eq!((phase, job), (&json!("Running"), &json!("11111111-0000-4000-8000-000000000001")), "{:#?}", told.status);
    }
}

#[test]
fn a_run_that_had_a_job_is_sent_no_second_time_though_no_list_and_no_record_knows_of_it() {
    let status =
        json!({ "phase": "Running", "job": { "name": "11111111-0000-4000-8000-000000000001", "startedAt": "2026-03-01T11:00:00Z" } });
    let facts = standing();
    assert_eq!(told(&planned(&backup(status.clone()), &facts), "backup"), "wait: OperationRunning");
    assert_eq!(told(&planned(&restore(status.clone()), &facts), "restore"), "wait: OperationRunning");
    // Its time passes: it was begun all the same.
    let spec = json!({ "protectedMachineRef": { "name": "db1" }, "expiresAt": "2026-03-01T11:30:00Z" });
    let late: Subject<BackupRun> = granted(subject("one", spec, status));
    assert_eq!(told(&planned(&late, &facts), "backup"), "wait: OperationRunning");
    assert_eq!(reported(&late, &facts).status["phase"], "Running");
}

/// A record of a request that Azure took at 11:58 and failed at 11:59.
pub fn failed(node: &str) -> OperationRecord {
    let record = json!({ "node": node, "verb": "act", "act": "Backup", "method": "POST", "target": item(), "key": "k", "attempt": 1,
        "clientRequestId": "7a1f7dce-dc00-5ddf-b7ad-76590810e4e4", "intentAt": "2026-03-01T11:58:00Z", "endedAt": "2026-03-01T11:59:00Z",
        "outcome": "Failed", "error": { "reason": "RefusedByAzure", "code": "AgentSilent", "message": "The agent is silent.", "waits": false } });
    serde_json::from_value(record).unwrap()
}

#[test]
fn what_azure_took_and_failed_ends_the_run_once_the_jobs_show_none() {
    let (mut one, mut two) = (backup(json!({ "phase": "Running" })), restore(json!({ "phase": "Running" })));
    one.operations.insert("backup".into(), failed("backup"));
    two.operations.insert("restore".into(), failed("restore"));
    let mut facts = standing();
    for told in [reported(&one, &facts), reported(&two, &facts)] {
        assert_eq!((&told.status["phase"], told.promise.reason, told.promise.last), (&json!("Failed"), Reason::RefusedByAzure, true));
        assert!(told.promise.message.contains("The agent is silent.; make a new"), "{}", told.promise.message);
    }
    // A list from before its end says nothing.
    let before = facts.jobs[&vault()].last.clone().map(|list| Listing { at: "2026-03-01T11:58:30Z".parse().unwrap(), ..list });
    facts.jobs.insert(vault(), Listed { last: before, trouble: None });
    for told in [reported(&one, &facts), reported(&two, &facts)] {
        assert_eq!((&told.status["phase"], told.promise.last), (&json!("Pending"), false));
    }
}

#[test]
fn what_azure_took_and_failed_is_asked_about_while_a_job_may_be_its_own() {
    let phase = |record: OperationRecord, start: &str| {
        let (mut s, mut facts) = (backup(json!({ "phase": "Running" })), standing());
        s.operations.insert("backup".into(), record);
        jobs(&mut facts, &[backup_job(JOB, start, "InProgress")]);
        reported(&s, &facts).status["phase"].clone()
    };
    assert_eq!(phase(failed("backup"), "2026-03-01T11:55:00Z"), "Running");
    assert_eq!(phase(failed("backup"), "2026-03-01T11:52:00Z"), "Failed", "it began well before");
    let known = OperationRecord { known_jobs: vec![JOB.into()], ..failed("backup") };
    assert_eq!(phase(known, "2026-03-01T11:55:00Z"), "Failed", "it was there before");
    let witnessed = OperationRecord { witness: true, ..failed("backup") };
    assert_eq!(phase(witnessed, "2026-03-01T11:55:00Z"), "Failed", "a job of ours would say that it is");
}

/// A record of a request of 11:20 whose answer was lost.
fn lost(node: &str) -> OperationRecord {
    OperationRecord { intent_at: "2026-03-01T11:20:00Z".parse().unwrap(), ended_at: None, outcome: None, error: None, ..failed(node) }
}

#[test]
fn what_may_have_happened_is_asked_about_though_its_time_is_over() {
    let facts = standing();
    let spec = json!({ "protectedMachineRef": { "name": "db1" }, "expiresAt": "2026-03-01T11:30:00Z" });
    let mut s: Subject<BackupRun> = granted(subject("one", spec, json!({ "phase": "Running" })));
    assert_eq!(planned(&s, &facts).verdicts.len(), 0, "what was never sent is not begun");
    for record in [lost("backup"), failed("backup")] {
        s.operations.insert("backup".into(), record);
        assert!(BackupRun::desire(&s, &facts).is_ok_and(|graph| graph.nodes.contains_key("backup")));
    }
    s.operations.insert("backup".into(), lost("backup"));
    assert_eq!(reported(&s, &facts).status["phase"], "Running");
}

#[test]
fn a_run_whose_time_is_over_says_what_kept_it() {
    let facts = standing();
    let spec = json!({ "protectedMachineRef": { "name": "db1" }, "expiresAt": "2026-03-01T11:30:00Z" });
    for (reason, kept) in [("NotProtected", true), ("NotYetObserved", false)] {
        let ready =
            json!({ "type": "Ready", "status": "False", "reason": reason, "message": "db1 is not protected", "lastTransitionTime": now() });
        let s: Subject<BackupRun> = granted(subject("one", spec.clone(), json!({ "phase": "Pending", "conditions": [ready] })));
        let told = reported(&s, &facts);
        assert_eq!((&told.status["phase"], told.promise.reason), (&json!("Expired"), Reason::Expired));
        assert_eq!(told.promise.message.contains("; what kept it: db1 is not protected; make a new"), kept, "{}", told.promise.message);
        assert_eq!(told.status.contains_key("error"), kept, "{:#?}", told.status);
    }
}

#[test]
fn a_run_is_followed_where_it_was_begun_though_its_machines_object_points_elsewhere() {
    let facts = standing();
    let kept = json!({ "vaultRef": { "name": "main" }, "machineId": id("rg-shop", "Microsoft.Compute/virtualMachines/db0") });
    let begun = json!({ "phase": "Running", "source": kept, "job": { "name": JOB } });
    let (one, two) = (backup(begun.clone()), restore(begun));
    for (told, here) in
        [(reported(&one, &facts), key(&backup(json!({})), &facts)), (reported(&two, &facts), key(&restore(json!({})), &facts))]
    {
        assert_eq!((&told.status["source"], &told.status["phase"]), (&kept, &json!("Running")), "{:#?}", told.status);
        assert_ne!(told.status["key"], here);
    }
    // What is begun in this turn is where its record says.
    let mut three = backup(json!({ "source": kept }));
    three.operations.insert("backup".into(), OperationRecord { key: key(&backup(json!({})), &facts), ..lost("backup") });
    assert_eq!(reported(&three, &facts).status["source"]["machineId"], json!(machine()));
}

#[test]
fn a_cancel_that_was_put_off_is_not_taken_for_asked() {
    let mut facts = standing();
    let spec = json!({ "protectedMachineRef": { "name": "db1" }, "cancelOnDelete": true });
    let mut s: Subject<BackupRun> = granted(subject("one", spec, json!({ "phase": "Running", "job": { "name": JOB } })));
    let mut job = job_of(&key(&s, &facts), "backup", ("2026-03-01T11:00:00Z", "2026-03-01T11:00:00Z"));
    job["properties"]["status"] = "InProgress".into();
    jobs(&mut facts, &[job]);
    s.meta.deleting = true;
    for (reason, waits, asked) in [("Throttled", true, false), ("AuthorizationFailed", false, false), ("RefusedByAzure", false, true)] {
        let error = json!({ "reason": reason, "message": "No.", "waits": waits, "retryAt": "2026-03-01T12:10:00Z" });
        let record = with(json!(failed("cancel")), json!({ "outcome": "Refused", "error": error }));
        s.operations.insert("cancel".into(), serde_json::from_value(record).unwrap());
        assert!(BackupRun::desire(&s, &facts).is_ok_and(|graph| graph.nodes.contains_key("cancel")), "{reason}");
        assert_eq!(reported(&s, &facts).status.contains_key("cancelAskedAt"), asked, "{reason}");
    }
}

#[test]
fn a_job_that_warns_or_fails_is_told_with_the_point_that_it_left_in_the_vault() {
    let mut facts = standing();
    let s = backup(json!({ "phase": "Running", "job": { "name": JOB } }));
    for (status, phase, reason) in [("CompletedWithWarnings", "Succeeded", Reason::Succeeded), ("Failed", "Failed", Reason::JobFailed)] {
        let mut job = job_of(&key(&s, &facts), "backup", ("2026-03-01T01:59:30Z", "2026-03-01T02:40:00Z"));
        let details = json!([{ "errorCode": 7, "errorString": "The agent is old." }]);
        job["properties"] = with(job["properties"].clone(), json!({ "status": status, "errorDetails": details }));
        jobs(&mut facts, &[job]);
        let told = reported(&s, &facts);
        assert_eq!((&told.status["phase"], told.promise.reason), (&json!(phase), reason), "{:#?}", told.status);
        let message = &told.promise.message;
        assert!(message.contains("The agent is old.") && message.contains("(Vault)") && !message.contains("did not reach"), "{message}");
    }
}

#[test]
fn a_point_that_cannot_be_listed_is_not_waited_for_without_end() {
    let mut facts = standing();
    let mut s = backup(json!({ "phase": "Running", "job": { "name": JOB } }));
    s.meta.created = "2026-03-01T01:59:00Z".parse().unwrap();
    let job = job_of(&key(&s, &facts), "backup", ("2026-03-01T01:59:30Z", "2026-03-01T02:40:00Z"));
    jobs(&mut facts, &[job]);
    for (reason, phase) in [(Reason::AuthorizationFailed, "Failed"), (Reason::Throttled, "Running")] {
        let trouble = Trouble { at: now(), reason, message: "No.".into(), until: now() };
        facts.lists.insert(points(), Listed { last: None, trouble: Some(trouble) });
        let told = reported(&s, &facts);
        assert_eq!(told.status["phase"], phase, "{:#?}", told.status);
        let message = &told.promise.message;
        let gave_up =
            told.promise.reason == Reason::NoRecoveryPoint && message.contains("could not be listed since 2026-03-01T02:40:00Z: No.");
        assert_eq!(gave_up, phase == "Failed", "{message}");
    }
}

/// The key that a run tells.
pub fn key<K: Kind>(s: &Subject<K>, facts: &Facts) -> String {
    reported(s, facts).status["key"].as_str().expect("a key").to_owned()
}

/// A job of the machine that was begun under that key, and is over.
pub fn job_of(key: &str, node: &str, (start, end): (&str, &str)) -> Value {
    let mut job = backup_job(JOB, start, "Completed");
    let more = json!({ "endTime": end, "activityId": keys::request_id("acme", key, node, 1).to_string() });
    job["properties"] = with(job["properties"].clone(), more);
    job
}

#[test]
fn a_backup_that_was_done_before_is_done_though_its_point_has_expired_since() {
    let mut facts = standing();
    let s = backup(json!({}));
    let job = job_of(&key(&s, &facts), "backup", ("2026-02-10T02:00:00Z", "2026-02-10T02:40:00Z"));
    jobs(&mut facts, &[job]);
    let first = reported(&s, &facts);
    assert_eq!((&first.status["phase"], first.promise.reason), (&json!("AlreadyDone"), Reason::AlreadyDone), "{:#?}", first.status);
    assert!(first.promise.kept && first.promise.message.contains(JOB), "{}", first.promise.message);
    // So it is where the points could not be listed in the first turn.
    let again = backup(json!({ "phase": "Running", "job": first.status["job"].clone() }));
    assert_eq!(reported(&again, &facts).status["phase"], "AlreadyDone");
    // What this object began itself, and made no point, has failed.
    let own = json!({ "phase": "Running", "job": first.status["job"].clone() });
    let mut began: Subject<BackupRun> = backup(own);
    began.meta.created = "2026-02-10T01:59:00Z".parse().unwrap();
    assert_eq!(reported(&began, &facts).status["phase"], "Failed");
}

#[test]
fn a_backup_run_that_is_deleted_after_its_machine_follows_what_is_on_record_and_goes() {
    let mut facts = standing();
    facts.objects.values_mut().for_each(|object| *object = None);
    let spec = json!({ "protectedMachineRef": { "name": "db1" }, "cancelOnDelete": true });
    let job = json!({ "phase": "Running", "job": { "name": "11111111-0000-4000-8000-000000000001" } });
    let mut s: Subject<BackupRun> = granted(subject("one", spec, job));
    assert!(BackupRun::desire(&s, &facts).is_err(), "as long as it stays, the machine is asked for");
    s.meta.deleting = true;
    s.operations.insert("backup".into(), finished("backup"));
    assert_eq!(BackupRun::desire(&s, &facts).map(|graph| graph.nodes.len()), Ok(0));
    s.operations.clear();
    assert_eq!(BackupRun::desire(&s, &facts).map(|graph| graph.nodes.len()), Ok(0));
}

#[test]
fn a_run_that_a_person_said_happened_is_kept_as_long_as_nobody_remembers_it() {
    let facts = standing();
    let status = json!({ "phase": "Succeeded", "finishedAt": "2026-03-01T11:00:00Z", "key": "k" });
    let (mut one, mut two) = (backup(status.clone()), restore(status.clone()));
    one.spec.ttl_seconds_after_finished = Some(0);
    two.spec.ttl_seconds_after_finished = Some(0);
    assert_eq!((reported(&one, &facts).remove_at, reported(&two, &facts).remove_at), (None, None));
    // Nor do fifty others that came after it, whenever that was.
    let mut full = facts.clone();
    let other =
        |n: usize| json!({ "key": format!("k{n}"), "run": "BackupRun x", "job": "j", "result": "Completed", "at": "2026-03-01T11:30:00Z" });
    add_member(&mut full, "db1", "daily", json!({ "machine": { "vmId": "VM-1" }, "runs": (0..50).map(other).collect::<Vec<_>>() }));
    assert_eq!(reported(&one, &full).remove_at, None);
    // What did not succeed stays, remembered or not: made again from Git it would come to the same end, until Azure has forgotten its
    // job, and then be done without a word.
    let mut known = facts.clone();
    let of = |result: &str| json!({ "key": "k", "run": "BackupRun one", "job": "j", "result": result, "at": "2026-03-01T10:30:00Z" });
    for (phase, result) in [("Failed", "Failed"), ("Expired", "Completed"), ("AlreadyDone", "Completed")] {
        add_member(&mut known, "db1", "daily", json!({ "machine": { "vmId": "VM-1" }, "runs": [of(result)] }));
        let mut ended = backup(with(status.clone(), json!({ "phase": phase })));
        ended.spec.ttl_seconds_after_finished = Some(0);
        ended.spec.expires_at = Some("2026-03-01T11:30:00Z".parse().unwrap());
        assert_eq!(reported(&ended, &known).remove_at, None, "{phase}");
    }
    assert_eq!(reported(&one, &known).remove_at, one.status.finished_at);
}
