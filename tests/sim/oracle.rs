//! The oracle sees what it is there to see: whatever a broken operator would do is planted into a sound run and told.

use std::sync::PoisonError;

use azure_sim::{
    edit,
    faults::{Fault, Match, Rule, Shape, When},
    wire::{Caller, WireRequest},
};
use breakwater_arm::wire::{Method, Request};
use breakwater_engine::ports::{Arm, AuditSink, Cloud, Cluster, Credential, Identity, ObjectKey};
use breakwater_tests::sim::Simulation;
use futures::FutureExt;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    azures_words::full,
    main_job::protected,
    people::{self, answer, approval, asked, granted, key, member, policy_with},
    restores,
};

const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
const VAULT: &str = "resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu";

/// A request as the operator's process would send it.
fn send(sim: &Simulation, method: Method, path: &str) {
    let mut request = Request::new(method, format!("{SUBSCRIPTION}/{path}"), "2024-04-01");
    request.body = (method != Method::Get).then(|| json!({}));
    leave(sim, &request);
}

fn leave(sim: &Simulation, request: &Request) {
    let credential =
        Credential::Workload { client_id: "c11e0000-0000-4000-8000-000000000001".into(), service_account: "azure-shop".into() };
    let identity = Identity { access: "shop".into(), cloud: Cloud::AzurePublic, tenant_id: String::new(), credential };
    drop(sim.arm.call(&identity, request).now_or_never());
}

/// The id of a request that a broken operator sends.
const PLANTED: &str = "6f1c1a3e-0000-5000-8000-000000000009";

/// Has an object's status tell that a request is about to leave, and the audit record too, as a broken operator would; the
/// fields of `more` are put over those of the record, but a generation, which the audit record tells.
fn plant(sim: &Simulation, (kind, name): (&str, &str), request: &Request, more: Value) {
    let mut record = json!({ "node": "planted", "verb": "put", "method": request.method.as_str(), "target": request.path, "act": "Protect",
        "intentAt": sim.now(), "attempt": 1, "key": "planted", "clientRequestId": PLANTED });
    for (field, value) in more.as_object().into_iter().flatten().filter(|(field, _)| *field != "generation") {
        record[field] = value.clone();
    }
    sim.cluster.user().patch_status(&key(kind, name), &json!({ "operations": [record] })).expect("it can be planted");
    let approvals: Vec<Value> = record["approvals"].as_array().into_iter().flatten().map(|uid| told(sim, uid)).collect();
    let line = json!({ "event": "sending", "clientRequestId": PLANTED, "approvals": approvals, "generation": more["generation"] });
    sim.audit.write(&line).expect("it is written");
}

/// An Approval as the audit record tells it.
fn told(sim: &Simulation, uid: &Value) -> Value {
    let all = sim.cluster.live_all("Approval");
    let found = all.iter().find(|object| object.metadata.uid.as_deref() == uid.as_str()).expect("the Approval");
    let spec = &found.data["spec"];
    json!({ "uid": uid, "by": spec["approvedBy"], "question": spec["question"], "digest": spec["digest"], "answer": spec["answer"] })
}

/// A write of that body, with the planted id.
fn write(method: Method, path: &str, body: Value) -> Request {
    let mut request = Request::new(method, path, "2024-04-01").with_body(body);
    request.client_request_id = Some(PLANTED.parse().expect("an id"));
    request
}

/// A PATCH of the vault that changes nothing, right after a look at it.
fn harmless(sim: &Simulation) -> Request {
    send(sim, Method::Get, VAULT);
    write(Method::Patch, &format!("{SUBSCRIPTION}/{VAULT}"), json!({ "properties": {} }))
}

/// The policy as Azure has it.
fn policy(sim: &Simulation) -> String {
    sim.status("BackupPolicy", "daily")["policyId"].as_str().expect("its id").to_owned()
}

/// The policy in Azure keeps daily points for so many days, and nobody was told of it.
fn keeps(sim: &Simulation, days: i64) {
    let daily = json!({ "dailySchedule": { "retentionDuration": { "count": days } } });
    edit(sim, json!({ "method": "PATCH", "id": policy(sim), "body": { "properties": { "retentionPolicy": daily } } }));
    person_tags(sim);
}

fn declares(sim: &Simulation, days: i64) {
    people::edit(sim, "BackupPolicy", "daily", json!({ "retention": { "daily": { "keep": format!("{days}d") } } }));
}

const DAILY: (&str, &str) = ("BackupPolicy", "daily");

/// A policy that a person lets keep less, and that keeps less since.
fn shortened(days: i64) -> Simulation {
    let mut sim = people::protected(&granted("Disabled"));
    declares(&sim, days);
    let asks = asked(&mut sim, DAILY.0, DAILY.1, "points-expire");
    answer(&sim, DAILY, &asks, "approve");
    sim.run_until("it keeps less", SignedDuration::from_hours(2), |sim| sim.is_ready(DAILY.0, DAILY.1));
    sim.run_for(SignedDuration::from_mins(1));
    sim
}

#[test]
#[should_panic(expected = "keeps shorter: Daily from 20 to 8 days")]
fn a_second_edit_after_one_that_was_agreed_to() {
    let mut sim = shortened(20);
    keeps(&sim, 8);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "keeps shorter: Daily from 30 to 20 days")]
fn what_was_agreed_to_and_done_once_done_again() {
    let mut sim = shortened(20);
    keeps(&sim, 30);
    on(&mut sim, 1);
    keeps(&sim, 20);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "keeps shorter: Daily from 30 to 20 days")]
fn what_was_agreed_to_and_azure_refused() {
    let mut sim = people::protected(&granted("Disabled"));
    declares(&sim, 20);
    let asks = asked(&mut sim, DAILY.0, DAILY.1, "points-expire");
    let status =
        Fault::Status { status: 409, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    let matches = Match { method: Some("PUT".into()), path: Some("*/backupPolicies/*".into()), ..Match::default() };
    sim.azure.lock().expect("no thread died").faults_mut().add(Rule { id: "no edits".into(), matches, fault: status });
    let from = sim.requests().len();
    answer(&sim, DAILY, &asks, "approve");
    sim.run_until("it is refused", SignedDuration::from_hours(1), |sim| sim.requests()[from..].iter().any(|line| line.contains("-> 409")));
    keeps(&sim, 20);
    on(&mut sim, 1);
}

/// An Approval of a question that was asked, changed so; a write leaves by it, planned from the generation that asked or a later one.
fn answered(change: impl FnOnce(&mut Value), generations_later: i64) {
    let mut sim = people::protected(&granted("Disabled"));
    declares(&sim, 20);
    let asks = asked(&mut sim, DAILY.0, DAILY.1, "points-expire");
    let mut object = approval(&sim, DAILY, &asks, "approve");
    change(&mut object["spec"]);
    // Nobody acts on it but whom this test plants.
    let made = sim.cluster.user().apply_object(&object).expect("the API server takes it");
    let uid = made.metadata.uid.clone().expect("a uid");
    let generation = sim.cluster.live(&key(DAILY.0, DAILY.1)).and_then(|o| o.metadata.generation).expect("a generation");
    let request = harmless(&sim);
    plant(&sim, DAILY, &request, json!({ "approvals": [uid], "generation": generation + generations_later }));
    leave(&sim, &request);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "left by an answer to what nobody asked")]
fn an_answer_to_a_question_that_nobody_asked() {
    answered(|spec| spec["digest"] = json!("0".repeat(64)), 0);
}

#[test]
#[should_panic(expected = "whose digest is of points-expire")]
fn an_answer_that_names_another_question() {
    answered(|spec| spec["question"] = json!("takeover"), 0);
}

#[test]
#[should_panic(expected = "left by the answer 'no'")]
fn an_answer_that_was_not_offered() {
    answered(|spec| spec["answer"] = json!("no"), 0);
}

#[test]
#[should_panic(expected = "left by an answer to a question of generation")]
fn an_answer_to_a_question_of_an_earlier_generation() {
    answered(|_| {}, 1);
}

#[test]
#[should_panic(expected = "was stopped")]
fn a_machine_that_is_meant_is_let_go_of() {
    let mut sim = people::protected(&policy_with(&granted("Disabled"), "whenUnselected: StopAndRetain"));
    let (web, machine) = (member(&sim, "web-1"), "resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    let id = sim.status("ProtectedMachine", &web)["itemId"].as_str().expect("an item").to_owned();
    leave(&sim, &Request::new(Method::Get, id.clone(), "2024-04-01"));
    let body = json!({ "properties": { "protectedItemType": "Microsoft.Compute/virtualMachines", "protectionState": "ProtectionStopped",
        "policyId": "", "sourceResourceId": format!("{SUBSCRIPTION}/{machine}") } });
    let request = write(Method::Put, &id, body);
    plant(&sim, ("ProtectedMachine", &web), &request, json!({ "handle": { "family": "Backup", "id": "x" } }));
    leave(&sim, &request);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "under a suspended AzureAccess")]
fn a_write_under_an_access_that_is_suspended() {
    let mut sim = people::protected(&granted("Disabled"));
    people::edit(&sim, "AzureAccess", "shop", json!({ "suspend": true }));
    sim.run_for(SignedDuration::from_mins(1));
    let request = harmless(&sim);
    plant(&sim, ("RecoveryVault", "main"), &request, json!({}));
    leave(&sim, &request);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "was last read at")]
fn a_write_on_hearsay() {
    let mut sim = people::protected(&granted("Disabled"));
    let request = harmless(&sim);
    sim.run_for(SignedDuration::from_mins(2));
    plant(&sim, ("RecoveryVault", "main"), &request, json!({}));
    leave(&sim, &request);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "a second time, for one key")]
fn a_second_restore_under_one_key_from_another_point() {
    let mut sim = restores::ready();
    restores::declare(&sim, "one", restores::disks(), json!({}));
    restores::until(&mut sim, "one", "Succeeded");
    restores::back_up(&mut sim, "more");
    let first = {
        let azure = sim.azure.lock().expect("no thread died");
        azure.journal().entries().iter().find(|entry| entry.path.ends_with("/restore")).cloned().expect("the restore")
    };
    let old = sim.status("RestoreRun", "one");
    let newest = sim.status("ProtectedMachine", &member(&sim, "web-1"))["recoveryPoints"]["latest"]["name"].clone();
    let (point, newest) = (old["point"]["name"].as_str().expect("a point"), newest.as_str().expect("a point"));
    assert_ne!(point, newest);
    let body = serde_json::from_str(&first.body.to_string().replace(point, newest)).expect("JSON");
    let path = first.path.replace(point, newest);
    let request = write(Method::Post, &path, body);
    plant(&sim, ("RestoreRun", "one"), &request, json!({ "node": "restore", "verb": "act", "act": "Restore", "key": once_key(&sim) }));
    leave(&sim, &request);
    on(&mut sim, 1);
}

/// The once-key under which the first restore was begun, as its record had it.
fn once_key(sim: &Simulation) -> String {
    let writes = sim.cluster.write_log(0);
    let records =
        writes.iter().filter(|w| w.key.kind == "RestoreRun").filter_map(|w| w.after.as_ref()?.value.pointer("/status/operations/0"));
    let key = records.filter(|record| record["node"] == "restore").find_map(|record| record["key"].as_str().map(str::to_owned));
    key.expect("a record of the restore")
}

#[test]
#[should_panic(expected = "redundancy of")]
fn a_redundancy_that_is_lowered() {
    let mut sim = protected();
    sim.run_for(SignedDuration::from_mins(1));
    let body = json!({ "properties": { "redundancySettings": { "standardTierStorageRedundancy": "LocallyRedundant" } } });
    edit(&sim, json!({ "method": "PATCH", "id": format!("{SUBSCRIPTION}/{VAULT}"), "body": body }));
    person_tags(&sim);
    on(&mut sim, 1);
}

/// An edit in Azure that the oracle was not told of: for all it knows, the operator did it.
fn edit(sim: &Simulation, edit: Value) {
    let mut azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    edit::apply(&mut azure, serde_json::from_value(edit).expect("an edit")).expect("it can be made");
}

/// Somebody writes to Azure, so that the oracle looks before the operator mends anything.
fn person_tags(sim: &Simulation) {
    let caller = Caller {
        object_id: "0b1ec700-0000-4000-8000-000000000002".into(),
        client_id: "c11e0000-0000-4000-8000-000000000002".into(),
        tenant_id: "72f988bf-0000-4000-8000-00000000000a".into(),
    };
    let request = WireRequest {
        method: "PATCH".into(),
        url: format!("{SUBSCRIPTION}/{VAULT}/providers/Microsoft.Resources/tags/default?api-version=2022-09-01"),
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        body: json!({ "operation": "Merge", "properties": { "tags": { "seen": "yes" } } }).to_string().into_bytes(),
        origin: "https://management.azure.com".into(),
    };
    let reply = sim.azure.lock().unwrap_or_else(PoisonError::into_inner).handle_as(sim.now(), caller, request);
    assert_eq!(reply.status, 200);
}

fn item(sim: &Simulation) -> String {
    let all = sim.cluster.live_all("ProtectedMachine");
    let found = all.iter().find_map(|o| o.data.pointer("/status/itemId").and_then(Value::as_str).map(str::to_owned));
    found.unwrap_or_else(|| panic!("no item: {}", sim.tell()))
}

fn on(sim: &mut Simulation, hours: i64) {
    sim.run_for(SignedDuration::from_hours(hours));
}

#[test]
#[should_panic(expected = "does not allow Read")]
fn a_read_outside_the_grant() {
    let mut sim = protected();
    send(&sim, Method::Get, "resourceGroups/rg-other/providers/Microsoft.Compute/virtualMachines/alien-1");
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "without a saved intent")]
fn a_write_without_an_intent() {
    let mut sim = protected();
    send(&sim, Method::Patch, VAULT);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "without the lease")]
fn a_write_without_the_lease() {
    let mut sim = protected();
    sim.leadership.lose();
    send(&sim, Method::Patch, VAULT);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "soft delete days of")]
fn a_defence_that_is_lowered() {
    let mut sim = protected();
    // The vault has just had its turn: it would mend this before anybody looks.
    sim.run_for(SignedDuration::from_mins(1));
    let body = json!({ "properties": { "securitySettings": { "softDeleteSettings": { "softDeleteRetentionPeriodInDays": 14 } } } });
    edit(&sim, json!({ "method": "PATCH", "id": format!("{SUBSCRIPTION}/{VAULT}"), "body": body }));
    person_tags(&sim);
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "was stopped")]
fn a_protection_that_is_stopped() {
    let mut sim = protected();
    let id = item(&sim);
    edit(&sim, json!({ "method": "PATCH", "id": id, "body": { "properties": { "protectionState": "ProtectionStopped" } } }));
    on(&mut sim, 20);
}

#[test]
#[should_panic(expected = "is gone, with")]
fn an_item_that_is_removed_with_its_points() {
    let mut sim = protected();
    let id = item(&sim);
    edit(&sim, json!({ "method": "DELETE", "id": id }));
    on(&mut sim, 20);
}

#[test]
#[should_panic(expected = "has no next turn")]
fn an_object_that_nobody_will_look_at_again() {
    let mut sim = protected();
    sim.forget(&ObjectKey { kind: "RecoveryVault".into(), namespace: "shop".into(), name: "main".into() });
    on(&mut sim, 2);
}

#[test]
#[should_panic(expected = "a write at rest")]
fn a_write_for_which_there_is_no_cause() {
    let mut sim = protected();
    // The next backup is at 01:00 UTC: until then nothing moves by itself.
    on(&mut sim, 4);
    let key = ObjectKey { kind: "RecoveryVault".into(), namespace: "shop".into(), name: "main".into() };
    let version = sim.cluster.live(&key).and_then(|o| o.metadata.resource_version.clone()).expect("it is there");
    drop(sim.cluster.patch_status(&key, &version, &json!({ "plan": "again" }), &|| true).now_or_never());
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "two operations are open on")]
fn two_operations_on_one_machine() {
    let mut sim = protected();
    let target = format!("{}/backup", item(&sim));
    let record = |node: &str| {
        json!({ "node": node, "verb": "act", "method": "POST", "target": target, "act": "Backup", "intentAt": "2026-11-24T08:00:00Z",
            "attempt": 1, "key": node, "clientRequestId": "6f1c1a3e-0000-5000-8000-000000000001" })
    };
    let all = sim.cluster.live_all("ProtectedMachine");
    let name = all.first().and_then(|o| o.metadata.name.clone()).expect("a member");
    let key = ObjectKey { kind: "ProtectedMachine".into(), namespace: "shop".into(), name };
    sim.cluster.user().patch_status(&key, &json!({ "operations": [record("one"), record("two")] })).expect("somebody meddles");
    on(&mut sim, 1);
}

#[test]
#[should_panic(expected = "nothing tells that it was begun")]
fn a_run_that_forgets_its_job() {
    let mut sim = restores::ready();
    restores::declare(&sim, "one", restores::disks(), json!({}));
    let from = sim.requests().len();
    sim.run_until("it is sent", SignedDuration::from_mins(10), |sim| {
        sim.requests()[from..].iter().any(|line| line.contains("/restore -> 202"))
    });
    // Its job ends while nobody hears of it.
    ["*/backupOperations/*", "*/backupJobs"].iter().for_each(|path| full(&sim, path, 1, 240));
    on(&mut sim, 2);
    let key = ObjectKey { kind: "RestoreRun".into(), namespace: "shop".into(), name: "one".into() };
    let version = sim.cluster.live(&key).and_then(|o| o.metadata.resource_version.clone()).expect("it is there");
    drop(sim.cluster.patch_status(&key, &version, &json!({ "operations": null, "phase": "Pending" }), &|| true).now_or_never());
    on(&mut sim, 1);
}

#[test]
fn a_sound_run_comes_to_rest_and_the_oracle_looks_at_it_there() {
    let mut sim = protected();
    on(&mut sim, 4);
    assert!(sim.invariants.rested() > 10, "{}", sim.invariants.rested());
}
