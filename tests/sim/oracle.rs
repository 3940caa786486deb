//! The oracle sees what it is there to see: whatever a broken operator would do is planted into a sound run and told.

use std::sync::PoisonError;

use azure_sim::{
    edit,
    wire::{Caller, WireRequest},
};
use breakwater_arm::wire::{Method, Request};
use breakwater_engine::ports::{Arm, Cloud, Cluster, Credential, Identity, ObjectKey};
use breakwater_tests::sim::Simulation;
use futures::FutureExt;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{azures_words::full, main_job::protected, restores};

const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
const VAULT: &str = "resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu";

/// A request as the operator's process would send it.
fn send(sim: &Simulation, method: Method, path: &str) {
    let credential =
        Credential::Workload { client_id: "c11e0000-0000-4000-8000-000000000001".into(), service_account: "azure-shop".into() };
    let identity = Identity { access: "shop".into(), cloud: Cloud::AzurePublic, tenant_id: String::new(), credential };
    let mut request = Request::new(method, format!("{SUBSCRIPTION}/{path}"), "2024-04-01");
    request.body = (method != Method::Get).then(|| json!({}));
    drop(sim.arm.call(&identity, &request).now_or_never());
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
    drop(sim.cluster.patch_status(&key, &version, &json!({ "plan": "again" })).now_or_never());
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
    drop(sim.cluster.patch_status(&key, &version, &json!({ "operations": null, "phase": "Pending" })).now_or_never());
    on(&mut sim, 1);
}

#[test]
fn a_sound_run_comes_to_rest_and_the_oracle_looks_at_it_there() {
    let mut sim = protected();
    on(&mut sim, 4);
    assert!(sim.invariants.rested() > 10, "{}", sim.invariants.rested());
}
