//! Restores where something is wrong or goes wrong: the machine keeps running, the job's own point is told, one waits for the other.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule};
use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    azures_words::full,
    people::{PERSON, by_hand, edit, key, member, sent, taken_over},
    restores::{back_up, chosen_and_held, declare, disks, manifest, new_machine, phase, ready, replace, run_to, until},
};

const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";
const MACHINE: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1";

/// Restores that Azure took since so many requests.
fn restores(sim: &Simulation, since: usize) -> usize {
    sim.requests().iter().skip(since).filter(|line| line.contains("/restore -> 202")).count()
}

fn inject(sim: &Simulation, path: &str, fault: Fault) {
    let matches = Match { method: Some("POST".into()), path: Some(path.into()), ..Match::default() };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(Rule { id: path.into(), matches, fault });
}

#[test]
fn a_job_says_more_than_an_operation_that_failed() {
    let mut sim = ready();
    let from = sim.requests().len();
    let failed = || Fault::OperationFailed { code: "UserErrorGuestAgentStatusUnavailable".into(), message: "The agent is silent.".into() };
    inject(&sim, "*/backup", failed());
    inject(&sim, "*/restore", failed());
    let backup = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": "one", "namespace": "shop" },
        "spec": { "protectedMachineRef": { "name": member(&sim, "web-1") } } });
    sim.cluster.user().apply_object(&backup).expect("the API server takes it");
    declare(&sim, "one", disks(), json!({}));
    for kind in ["BackupRun", "RestoreRun"] {
        sim.run_until(&format!("{kind} is done"), SignedDuration::from_hours(8), |sim| sim.status(kind, "one")["phase"] == "Succeeded");
        assert!(sim.is_ready(kind, "one"), "{}", sim.tell());
    }
    sim.run_for(SignedDuration::from_hours(3));
    let posts = |word: &str| sim.requests().iter().skip(from).filter(|l| l.contains(" POST ") && l.contains(word)).count();
    assert_eq!((posts("/backup -> "), posts("/restore -> ")), (1, 1), "{:#?}", sent(&sim, from));
}

#[test]
fn a_machine_is_not_stopped_for_a_restore_that_its_grant_does_not_admit() {
    let mut sim = ready();
    let scope = |group: &str, acts: Value| json!({ "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": [group], "acts": acts });
    let allow =
        json!([scope("rg-shop", json!(["Read", "Protect", "ReplaceDisks"])), scope("rg-backup", json!(["Read", "Protect", "Backup"]))]);
    edit(&sim, "AzureAccess", "shop", json!({ "allow": allow }));
    let from = sim.requests().len();
    let (to, more) = replace(&sim, json!({}));
    declare(&sim, "one", to, more);
    sim.run_for(SignedDuration::from_mins(30));
    let (_, reason, message) = sim.condition("RestoreRun", "one", "Ready");
    assert!(reason == "AccessDenied" && message.contains("ReplaceDisks on") && message.contains("/rg-backup/"), "{reason}: {message}");
    let posts: Vec<String> = sent(&sim, from).into_iter().filter(|line| line.contains(" POST ")).collect();
    assert_eq!(posts, Vec::<String>::new(), "{message}");
}

#[test]
fn a_restore_whose_machines_object_is_deleted_meanwhile_comes_to_its_end() {
    let mut sim = ready();
    declare(&sim, "one", disks(), json!({}));
    sim.run_until("it runs", SignedDuration::from_hours(1), |sim| phase(sim, "one") == "Running");
    edit(&sim, "BackupPolicy", "daily", json!({ "suspend": true }));
    sim.cluster.user().delete(&key("ProtectedMachine", &member(&sim, "web-1"))).expect("it is there");
    until(&mut sim, "one", "Succeeded");
    let status = sim.status("RestoreRun", "one");
    assert_eq!(status["made"].as_array().map(Vec::len), Some(2), "{status:#}");
}

#[test]
fn a_machine_is_not_stopped_for_a_restore_that_azure_would_refuse() {
    let mut sim = ready();
    // The vault has an identity, and the identity no role on the account: Azure alone says so.
    let vault = format!("{GROUPS}/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu");
    let identity = json!({ "type": "SystemAssigned", "principalId": "0b1ec700-0000-4000-8000-000000000008",
        "tenantId": "72f988bf-0000-4000-8000-00000000000a" });
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": vault, "body": { "identity": identity } })]);
    sim.run_for(SignedDuration::from_mins(10));
    let from = sim.requests().len();
    let (to, mut more) = replace(&sim, json!({}));
    let account = run_to(&sim, "x", disks(), json!({}))["spec"]["staging"]["storageAccountId"].clone();
    more["staging"] = json!({ "storageAccountId": account, "identity": "System" });
    declare(&sim, "one", to, more);
    sim.run_until("it says why", SignedDuration::from_mins(15), |sim| sim.condition("RestoreRun", "one", "Ready").1 == "ValidationFailed");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(phase(&sim, "one"), "Expired", "{}", sim.tell());
    assert!(sent(&sim, from).is_empty(), "{:#?}", sent(&sim, from));
    let (_, view) = by_hand(&sim, PERSON, "GET", &format!("{MACHINE}/instanceView"), "2024-07-01", Value::Null);
    let on = view["statuses"].as_array().into_iter().flatten().any(|s| s["code"] == "PowerState/running");
    assert!(on, "{view:#}");
}

#[test]
fn a_restore_that_an_earlier_cluster_did_tells_the_point_that_it_took() {
    let mut sim = ready();
    declare(&sim, "one", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "one", "Succeeded");
    let point = sim.status("RestoreRun", "one")["point"]["name"].clone();
    back_up(&mut sim, "younger");
    let from = sim.requests().len();
    taken_over(&mut sim, &manifest(), SignedDuration::ZERO);
    declare(&sim, "one", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "one", "AlreadyDone");
    let status = sim.status("RestoreRun", "one");
    assert_eq!(status["point"]["name"], point, "{status:#}");
    assert!(status["choices"].is_null(), "it chose nothing: {status:#}");
    assert_eq!(restores(&sim, from), 0, "{:#?}", sent(&sim, from));
    // Another key takes the younger one.
    declare(&sim, "two", disks(), json!({ "key": "incident-8" }));
    until(&mut sim, "two", "Succeeded");
    assert_ne!(sim.status("RestoreRun", "two")["point"]["name"], point, "{}", sim.tell());
}

#[test]
fn two_restores_of_one_machine_go_one_after_the_other() {
    let mut sim = ready();
    declare(&sim, "one", disks(), json!({}));
    declare(&sim, "two", new_machine("web-9"), json!({}));
    until(&mut sim, "one", "Succeeded");
    until(&mut sim, "two", "Succeeded");
    let made = |name: &str| -> Vec<String> {
        let status = sim.status("RestoreRun", name);
        status["made"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str().map(str::to_lowercase)).collect()
    };
    let (one, two) = (made("one"), made("two"));
    assert_eq!((one.len(), two.len()), (2, 4), "{one:#?} {two:#?}");
    assert!(one.iter().all(|id| !two.contains(id)), "{one:#?} {two:#?}");
    let time = |name: &str, field: &str| sim.status("RestoreRun", name)["job"][field].as_str().expect("a time").to_owned();
    let (a, b) = if time("one", "startedAt") < time("two", "startedAt") { ("one", "two") } else { ("two", "one") };
    assert!(time(a, "endedAt") <= time(b, "startedAt"), "{} {}", time(a, "endedAt"), time(b, "startedAt"));
}

#[test]
fn disks_of_private_access_are_restored_as_the_run_says_and_not_without_its_word() {
    let mut sim = ready();
    let (_, vm) = by_hand(&sim, PERSON, "GET", MACHINE, "2024-07-01", Value::Null);
    let disk = vm.pointer("/properties/storageProfile/osDisk/managedDisk/id").and_then(Value::as_str).expect("a disk").to_owned();
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": disk, "body": { "properties": { "networkAccessPolicy": "AllowPrivate" } } })]);
    back_up(&mut sim, "private");
    let from = sim.requests().len();
    declare(&sim, "silent", disks(), json!({}));
    sim.run_until("it asks for the word", SignedDuration::from_mins(15), |sim| {
        sim.condition("RestoreRun", "silent", "Ready").2.contains("spec.diskAccess is needed")
    });
    assert_eq!(restores(&sim, from), 0);
    sim.cluster.user().delete(&key("RestoreRun", "silent")).expect("it is there");
    declare(&sim, "same", disks(), json!({ "diskAccess": "SameAsSource" }));
    until(&mut sim, "same", "Succeeded");
    let status = sim.status("RestoreRun", "same");
    let policies: Vec<Value> = (status["made"].as_array().into_iter().flatten())
        .map(|m| by_hand(&sim, PERSON, "GET", m["id"].as_str().expect("an id"), "2025-01-02", Value::Null).1)
        .map(|disk| disk["properties"]["networkAccessPolicy"].clone())
        .collect();
    assert_eq!(policies.iter().filter(|p| *p == "AllowPrivate").count(), 1, "{policies:#?}");
}

#[test]
fn no_point_is_read_for_nothing_while_azure_lists_no_jobs() {
    let mut sim = ready();
    chosen_and_held(&mut sim, "one");
    sim.run_for(SignedDuration::from_mins(5));
    full(&sim, "*/backupJobs", 1, 25);
    let from = sim.requests().len();
    edit(&sim, "RestoreRun", "one", json!({ "suspend": false }));
    until(&mut sim, "one", "Succeeded");
    let point = sim.status("RestoreRun", "one")["point"]["name"].as_str().expect("a point").to_owned();
    let reads = sim.requests()[from..].iter().filter(|line| line.ends_with(&format!("/recoveryPoints/{point} -> 200"))).count();
    assert_eq!((reads, restores(&sim, from)), (2, 1), "once before the refusal, once before it is sent: {:#?}", sim.requests());
}

#[test]
fn a_restore_whose_job_ended_unseen_stays_begun_while_azure_lists_no_jobs() {
    let mut sim = ready();
    declare(&sim, "one", disks(), json!({}));
    let from = sim.requests().len();
    sim.run_until("it is sent", SignedDuration::from_mins(10), |sim| restores(sim, from) == 1);
    // Neither its operation nor the list says anything for as long as it runs.
    ["*/backupOperations/*", "*/backupJobs"].iter().for_each(|path| full(&sim, path, 1, 120));
    sim.run_for(SignedDuration::from_mins(100));
    assert_eq!(sim.status("RestoreRun", "one")["job"], Value::Null, "{}", sim.tell());
    // Another process reads one list, which shows that it is over, and is refused the next one.
    let mut sim = sim.fork();
    full(&sim, "*/backupJobs", 2, 60);
    for _ in 0..60 {
        sim.run_for(SignedDuration::from_secs(30));
        let status = sim.status("RestoreRun", "one");
        let is_known = status["operations"].is_array() || status["job"]["name"].is_string();
        assert!(is_known && status["phase"] != "Pending", "nothing tells that it was begun: {}", sim.tell());
    }
    until(&mut sim, "one", "Succeeded");
    assert_eq!(restores(&sim, from), 1);
}
