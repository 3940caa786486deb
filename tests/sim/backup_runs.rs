//! One backup now, exactly once for its key.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_tests::sim::{ArmFault, Simulation};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::people::{PERSON, answer, asked, by_hand, edit, granted, key, member, protected_in, taken_over};

const ESTATE: &str = "tests/sim/estates/guarded.yaml";

/// One machine with the point of its first backup.
pub fn ready() -> Simulation {
    protected_in(ESTATE, &granted("Disabled"), 1)
}

/// A run on that machine.
fn run_with(sim: &Simulation, name: &str, spec: Value) -> Value {
    let mut whole = json!({ "protectedMachineRef": { "name": member(sim, "web-1") } });
    for (field, value) in spec.as_object().expect("fields") {
        whole[field] = value.clone();
    }
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": name, "namespace": "shop" }, "spec": whole })
}

pub fn declare(sim: &Simulation, name: &str, spec: Value) {
    sim.cluster.user().apply_object(&run_with(sim, name, spec)).expect("the API server takes it");
}

pub fn phase(sim: &Simulation, name: &str) -> String {
    sim.status("BackupRun", name)["phase"].as_str().unwrap_or_default().to_owned()
}

pub fn until(sim: &mut Simulation, name: &str, wanted: &str) {
    sim.run_until(&format!("{name} is {wanted}"), SignedDuration::from_hours(8), |sim| phase(sim, name) == wanted);
}

/// Backups that Azure was asked for since so many requests, and took.
pub fn backups(sim: &Simulation, since: usize) -> usize {
    let all = sim.requests();
    all.iter().skip(since).filter(|line| line.contains(" POST ") && line.contains("/backup -> 202")).count()
}

/// Names of backup jobs of the vault, by hand.
fn jobs(sim: &Simulation) -> Vec<String> {
    let vault = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu";
    let (status, body) = by_hand(sim, PERSON, "GET", &format!("{vault}/backupJobs"), "2024-04-01", Value::Null);
    assert_eq!(status, 200, "{body:#}");
    let backups = body["value"].as_array().into_iter().flatten().filter(|j| j["properties"]["operation"] == "Backup");
    backups.filter_map(|j| j["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_run_takes_one_backup_shows_how_far_it_is_and_names_its_point() {
    let mut sim = ready();
    let (from, writes) = (sim.requests().len(), sim.arm.writes());
    declare(&sim, "before-upgrade", json!({ "retainUntil": "2027-01-31T00:00:00Z" }));
    sim.run_until("the snapshot is taken", SignedDuration::from_hours(2), |sim| {
        let tasks = sim.status("BackupRun", "before-upgrade")["job"]["tasks"].clone();
        tasks[0]["status"] == "Completed" && tasks[1]["status"] == "InProgress"
    });
    assert_eq!(phase(&sim, "before-upgrade"), "Running");
    assert_eq!(sim.condition("BackupRun", "before-upgrade", "Reconciling").0, "True", "{}", sim.tell());
    until(&mut sim, "before-upgrade", "Succeeded");
    let status = sim.status("BackupRun", "before-upgrade");
    assert!(sim.is_ready("BackupRun", "before-upgrade"), "{status:#}");
    let point = &status["recoveryPoint"];
    assert_eq!(point["consistency"], "FileSystemConsistent", "{status:#}");
    assert_eq!(point["tiers"], json!(["Snapshot", "Vault"]));
    assert_eq!(point["expires"], "2027-01-31T00:00:00Z");
    assert_eq!((&status["job"]["status"], &status["job"]["percent"]), (&json!("Completed"), &json!(100)), "{status:#}");
    assert!(status["job"]["sizeBytes"].as_i64().is_some_and(|bytes| bytes > 1 << 20), "{status:#}");
    assert_eq!((backups(&sim, from), sim.arm.writes() - writes), (1, 1));
    // Over is over: nothing is written or asked any more for its sake.
    let log = sim.cluster.write_log(0).len();
    sim.run_for(SignedDuration::from_hours(3));
    let later: Vec<String> = sim.cluster.write_log(log).iter().filter(|w| w.key.kind == "BackupRun").map(ToString::to_string).collect();
    assert!(later.is_empty(), "{later:#?}");
}

#[test]
fn a_run_that_is_applied_again_or_made_anew_under_its_key_does_nothing() {
    let mut sim = ready();
    declare(&sim, "one", json!({}));
    declare(&sim, "keyed", json!({ "key": "release-41" }));
    until(&mut sim, "one", "Succeeded");
    until(&mut sim, "keyed", "Succeeded");
    let from = sim.requests().len();
    for name in ["one", "keyed"] {
        sim.cluster.user().delete(&key("BackupRun", name)).expect("it is there");
    }
    sim.run_until("they are gone", SignedDuration::from_mins(5), |sim| sim.cluster.live_all("BackupRun").is_empty());
    declare(&sim, "one", json!({}));
    declare(&sim, "another-name", json!({ "key": "release-41" }));
    until(&mut sim, "one", "AlreadyDone");
    until(&mut sim, "another-name", "AlreadyDone");
    assert_eq!(
        sim.condition("BackupRun", "one", "Ready"),
        ("True".into(), "AlreadyDone".into(), sim.condition("BackupRun", "one", "Ready").2)
    );
    assert!(sim.status("BackupRun", "another-name")["job"]["name"].is_string(), "{}", sim.tell());
    assert_eq!(backups(&sim, from), 0, "{}", sim.tell());
    // The machine remembers it longer than Azure's lists of jobs reach back.
    let name = member(&sim, "web-1");
    let known = sim.status("ProtectedMachine", &name)["runs"].as_array().map_or(0, Vec::len);
    assert_eq!(known, 2, "{:#}", sim.status("ProtectedMachine", &name));
    // Another key is another backup.
    declare(&sim, "next", json!({ "key": "release-42" }));
    until(&mut sim, "next", "Succeeded");
    assert_eq!(backups(&sim, from), 1);
}

#[test]
fn a_rebuilt_cluster_does_not_back_up_again() {
    let mut sim = ready();
    declare(&sim, "one", json!({}));
    until(&mut sim, "one", "Succeeded");
    let before = jobs(&sim).len();
    taken_over(&mut sim, &granted("Disabled"), SignedDuration::ZERO);
    declare(&sim, "one", json!({}));
    until(&mut sim, "one", "AlreadyDone");
    assert_eq!(sim.status("BackupRun", "one")["recoveryPoint"]["consistency"], "FileSystemConsistent");
    assert_eq!(jobs(&sim).len(), before, "{}", sim.tell());
}

#[test]
fn what_is_not_begun_in_time_is_not_begun() {
    let mut sim = ready();
    let from = sim.requests().len();
    let past: Timestamp = sim.now() - SignedDuration::from_secs(1);
    declare(&sim, "late", json!({ "expiresAt": past }));
    until(&mut sim, "late", "Expired");
    assert_eq!(sim.condition("BackupRun", "late", "Stalled").1, "Expired");
    // Held until its last second, and let go one second later.
    let soon = Timestamp::from_second(sim.now().as_second()).expect("a time") + SignedDuration::from_mins(20);
    declare(&sim, "held", json!({ "expiresAt": soon, "suspend": true }));
    sim.run_for(soon.duration_since(sim.now()));
    edit(&sim, "BackupRun", "held", json!({ "suspend": false }));
    until(&mut sim, "held", "Expired");
    // By itself, an hour after it was made.
    declare(&sim, "default", json!({ "suspend": true }));
    sim.run_for(SignedDuration::from_mins(61));
    assert_eq!(phase(&sim, "default"), "Expired", "{}", sim.tell());
    assert_eq!(backups(&sim, from), 0, "{}", sim.tell());
}

#[test]
fn a_run_in_plan_mode_shows_its_plan_and_goes_when_it_is_let() {
    let mut sim = ready();
    let from = sim.requests().len();
    declare(&sim, "one", json!({ "mode": "Plan" }));
    sim.run_until("it shows its plan", SignedDuration::from_mins(10), |sim| sim.status("BackupRun", "one")["plan"].is_string());
    let plan = sim.status("BackupRun", "one")["plan"].as_str().unwrap_or_default().to_owned();
    assert!(plan.contains("/backup"), "{plan}");
    assert_eq!((backups(&sim, from), sim.condition("BackupRun", "one", "Ready").1.as_str()), (0, "PlanOnly"));
    let back = sim.cluster.user().patch(&key("BackupRun", "one"), &json!({ "spec": { "retainUntil": "2027-01-01T00:00:00Z" } }));
    assert!(back.is_err_and(|e| e.to_string().contains("make a new BackupRun")));
    edit(&sim, "BackupRun", "one", json!({ "mode": "Manage" }));
    until(&mut sim, "one", "Succeeded");
    let again = sim.cluster.user().patch(&key("BackupRun", "one"), &json!({ "spec": { "mode": "Plan" } }));
    assert!(again.is_err_and(|e| e.to_string().contains("from Plan to Manage")));
}

#[test]
fn an_answer_that_was_lost_is_found_in_the_jobs() {
    for fault in [ArmFault::AnswerLost, ArmFault::DiesAfter, ArmFault::NeverSent, ArmFault::DiesBefore] {
        let mut sim = ready();
        let from = sim.requests().len();
        sim.arm_fault(1, fault);
        declare(&sim, "one", json!({}));
        until(&mut sim, "one", "Succeeded");
        assert_eq!(backups(&sim, from), 1, "{fault:?}: {}", sim.tell());
    }
}

/// Azure takes the request, forgets the operation, and shows no job for so many hours.
pub fn taken_and_not_seen(sim: &mut Simulation, hours: f64) -> Value {
    let seconds = hours * 3600.0;
    let rule = |id: &str, path: &str, fault| Rule { id: id.into(), matches: Match { path: Some(path.into()), ..Match::default() }, fault };
    let rules = [rule("forgets", "*/backup", Fault::OperationExpired), rule("late", "*/backupJobs", Fault::ListLag { seconds })];
    for rule in rules {
        sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
    }
    declare(sim, "one", json!({}));
    let asks = asked(sim, "BackupRun", "one", "outcome-of-backup");
    assert_eq!(sim.condition("BackupRun", "one", "Ready").1, "OutcomeUnknown", "{}", sim.tell());
    asks
}

#[test]
fn a_backup_that_nobody_knows_of_is_asked_about_and_found_when_it_shows() {
    let mut sim = ready();
    let from = sim.requests().len();
    taken_and_not_seen(&mut sim, 2.0);
    until(&mut sim, "one", "Succeeded");
    assert!(sim.status("BackupRun", "one")["recoveryPoint"]["name"].is_string(), "{}", sim.tell());
    assert_eq!(backups(&sim, from), 1, "{}", sim.tell());
}

#[test]
fn a_persons_word_ends_a_backup_that_nobody_knows_of() {
    let mut sim = ready();
    let from = sim.requests().len();
    let asks = taken_and_not_seen(&mut sim, 9.0);
    // The person looks at the vault, and sees the job and its end.
    sim.run_for(SignedDuration::from_hours(3));
    answer(&sim, ("BackupRun", "one"), &asks, "happened");
    until(&mut sim, "one", "Succeeded");
    assert_eq!(backups(&sim, from), 1, "{}", sim.tell());
    let used = sim.audit.lines().iter().any(|line| line["event"] == "answer used" && line["kind"] == "BackupRun");
    assert!(used, "its answer is in the audit record");
}

#[test]
fn a_backup_that_fails_is_told_and_not_repeated() {
    let mut sim = ready();
    let from = sim.requests().len();
    let fails = Rule { id: "fails".into(), matches: Match::default(), fault: Fault::JobFailed { code: "UserErrorVmNotFound".into() } };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(fails);
    declare(&sim, "one", json!({}));
    until(&mut sim, "one", "Failed");
    let (status, reason, message) = sim.condition("BackupRun", "one", "Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "JobFailed"), "{message}");
    assert!(message.contains("make a BackupRun with another name"), "{message}");
    sim.run_for(SignedDuration::from_hours(3));
    assert_eq!(backups(&sim, from), 1);
}

#[test]
fn deleting_a_run_cancels_its_backup_only_where_it_says_so() {
    for (cancels, wanted) in [(true, "Cancelled"), (false, "Completed")] {
        let mut sim = ready();
        declare(&sim, "one", json!({ "cancelOnDelete": cancels }));
        sim.run_until("its job", SignedDuration::from_mins(20), |sim| sim.status("BackupRun", "one")["job"]["name"].is_string());
        let name = sim.status("BackupRun", "one")["job"]["name"].as_str().expect("a job").to_owned();
        sim.cluster.user().delete(&key("BackupRun", "one")).expect("it is there");
        sim.run_until("it is gone", SignedDuration::from_mins(20), |sim| sim.cluster.live_all("BackupRun").is_empty());
        sim.run_for(SignedDuration::from_hours(3));
        assert_eq!(job_status(&sim, &name), wanted, "cancelOnDelete: {cancels}");
    }
}

#[test]
fn a_cancel_that_azure_puts_off_is_asked_for_again() {
    let mut sim = ready();
    declare(&sim, "one", json!({ "cancelOnDelete": true }));
    sim.run_until("its job", SignedDuration::from_mins(20), |sim| sim.status("BackupRun", "one")["job"]["name"].is_string());
    let from = sim.requests().len();
    let busy =
        Fault::Status { status: 429, retry_after: Some(60), body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(Rule::once("busy", "POST", "*/cancel", busy));
    sim.cluster.user().delete(&key("BackupRun", "one")).expect("it is there");
    sim.run_until("it is gone", SignedDuration::from_hours(1), |sim| sim.cluster.live_all("BackupRun").is_empty());
    let cancels: Vec<String> = sim.requests().into_iter().skip(from).filter(|line| line.contains("/cancel -> ")).collect();
    assert!(cancels.len() == 2 && cancels[1].contains("/cancel -> 202"), "{cancels:#?}");
}

/// What Azure says of a backup job of the vault, by hand.
fn job_status(sim: &Simulation, name: &str) -> String {
    let vault = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu";
    let (_, job) = by_hand(sim, PERSON, "GET", &format!("{vault}/backupJobs/{name}"), "2024-04-01", Value::Null);
    job["properties"]["status"].as_str().unwrap_or_default().to_owned()
}

/// A run with a job, whose machine's object, and with `pruned` its policy's too, was deleted.
fn orphaned(spec: Value, pruned: bool) -> (Simulation, String) {
    let mut sim = ready();
    declare(&sim, "one", spec);
    sim.run_until("its job", SignedDuration::from_mins(20), |sim| sim.status("BackupRun", "one")["job"]["name"].is_string());
    let name = sim.status("BackupRun", "one")["job"]["name"].as_str().expect("a job").to_owned();
    edit(&sim, "BackupPolicy", "daily", json!({ "suspend": true }));
    sim.cluster.user().delete(&key("ProtectedMachine", &member(&sim, "web-1"))).expect("it is there");
    if pruned {
        sim.cluster.user().delete(&key("BackupPolicy", "daily")).expect("it is there");
    }
    (sim, name)
}

#[test]
fn a_run_whose_machine_is_deleted_before_it_is_cancelled_all_the_same() {
    for pruned in [false, true] {
        let (mut sim, name) = orphaned(json!({ "cancelOnDelete": true }), pruned);
        sim.cluster.user().delete(&key("BackupRun", "one")).expect("it is there");
        sim.run_until("it is gone", SignedDuration::from_mins(20), |sim| sim.cluster.live_all("BackupRun").is_empty());
        sim.run_for(SignedDuration::from_hours(1));
        assert_eq!(job_status(&sim, &name), "Cancelled", "{}", sim.tell());
    }
}

#[test]
fn a_backup_whose_machines_object_is_deleted_meanwhile_comes_to_its_end() {
    for pruned in [false, true] {
        let (mut sim, name) = orphaned(json!({}), pruned);
        until(&mut sim, "one", "Succeeded");
        let status = sim.status("BackupRun", "one");
        assert_eq!(status["job"]["name"], json!(name), "{status:#}");
        assert!(status["recoveryPoint"]["name"].is_string(), "{status:#}");
        assert_eq!(backups(&sim, 0), 2, "the first backup and this one: {:#?}", sim.requests());
    }
}

#[test]
fn a_run_goes_after_its_time_and_one_that_found_its_work_done_stays() {
    let mut sim = ready();
    declare(&sim, "one", json!({ "key": "k", "ttlSecondsAfterFinished": 3600 }));
    until(&mut sim, "one", "Succeeded");
    sim.run_for(SignedDuration::from_mins(59));
    assert_eq!(sim.cluster.live_all("BackupRun").len(), 1);
    sim.run_for(SignedDuration::from_mins(2));
    assert!(sim.cluster.live_all("BackupRun").is_empty(), "{}", sim.tell());
    declare(&sim, "two", json!({ "key": "k", "ttlSecondsAfterFinished": 0 }));
    until(&mut sim, "two", "AlreadyDone");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sim.cluster.live_all("BackupRun").len(), 1);
}

#[test]
fn the_audit_record_names_who_asked_for_a_run() {
    let mut sim = ready();
    declare(&sim, "anns", json!({ "requestedBy": "ann@example.com" }));
    until(&mut sim, "anns", "Succeeded");
    let all = sim.audit.lines();
    let of = |kind: &str| all.iter().filter(|line| line["kind"] == kind && line["event"] == "sending").collect::<Vec<_>>();
    let (runs, machines) = (of("BackupRun"), of("ProtectedMachine"));
    assert!(!runs.is_empty() && runs.iter().all(|line| line["requestedBy"] == "ann@example.com"), "{runs:#?}");
    assert!(!machines.is_empty() && machines.iter().all(|line| line["requestedBy"].is_null()), "{machines:#?}");
    let other = run_with(&sim, "anns", json!({ "requestedBy": "bob@example.com" }));
    let refused = sim.cluster.user().apply_object(&other).map(drop).expect_err("who asked does not change");
    assert!(format!("{refused:?}").contains("requestedBy is immutable"), "{refused:?}");
}

#[test]
fn a_run_on_a_machine_outside_the_grant_sends_nothing() {
    let mut sim = ready();
    let narrow = granted("Disabled").replace(
        "    - { subscriptionId: 50b50000-0000-4000-8000-000000000001, resourceGroups: [rg-shop, rg-backup], acts: [Read, Protect, Backup, Delete] }",
        "    - { subscriptionId: 50b50000-0000-4000-8000-000000000001, resourceGroups: [rg-backup], acts: [Read, Protect, Backup, Delete] }\n    - { subscriptionId: 50b50000-0000-4000-8000-000000000001, resourceGroups: [rg-shop], acts: [Read, Protect] }",
    );
    sim.apply(narrow.split("---").next().expect("the access"));
    let from = sim.requests().len();
    declare(&sim, "one", json!({}));
    sim.run_until("it says so", SignedDuration::from_mins(10), |sim| sim.condition("BackupRun", "one", "Ready").1 == "AccessDenied");
    until(&mut sim, "one", "Expired");
    assert_eq!(backups(&sim, from), 0, "{}", sim.tell());
}
