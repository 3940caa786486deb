//! What stands between tenants, and what conditions say while the world refuses or is silent.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_engine::ports::ObjectKey;
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{main_job::protected, manifests::SMALL};

const GROUP: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Another tenant, whose access admits nothing of the shop's, and who names the shop's vault and machine.
const SQUATTER: &str = r#"
apiVersion: breakwater.io/v1alpha1
kind: AzureAccess
metadata: { name: team2 }
spec:
  tenantId: 72f988bf-0000-4000-8000-00000000000a
  identity: { workload: { clientId: c11e0000-0000-4000-8000-000000000001, serviceAccount: azure-shop } }
  namespaces: { names: [team2] }
  allow:
    - { subscriptionId: 50b50000-0000-4000-8000-000000000001, resourceGroups: [rg-other], acts: [Read, Protect, Backup] }
---
apiVersion: breakwater.io/v1alpha1
kind: RecoveryVault
metadata: { name: mine, namespace: team2 }
spec:
  subscriptionId: 50b50000-0000-4000-8000-000000000001
  resourceGroup: rg-backup
  location: westeurope
  azureName: rv-shop-weu
---
apiVersion: breakwater.io/v1alpha1
kind: ProtectedMachine
metadata: { name: yours, namespace: team2 }
spec:
  policyRef: { name: none }
  machineId: /subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1
"#;

fn status_of(sim: &Simulation, kind: &str, namespace: &str, name: &str) -> Value {
    let key = ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() };
    sim.cluster.live(&key).and_then(|o| o.data.get("status").cloned()).unwrap_or_default()
}

fn condition(status: &Value, about: &str) -> (String, String, String) {
    let all = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = all.into_iter().find(|c| c["type"] == about).unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

fn fault(sim: &Simulation, path: &str, fault: Fault) {
    let rule = Rule { id: "f".into(), matches: Match { path: Some(path.into()), ..Match::default() }, fault };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
}

#[test]
fn nobody_blocks_what_is_not_granted_to_him_and_hears_nothing_of_its_owner() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SQUATTER);
    sim.run_for(SignedDuration::from_mins(10));
    sim.apply(SMALL);
    sim.run_until("the owner is protected all the same", HOUR * 6, |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let shops = all.iter().filter(|o| o.metadata.namespace.as_deref() == Some("shop"));
        sim.is_ready("RecoveryVault", "main") && shops.filter(|o| o.data.pointer("/status/recoveryPoints/latest").is_some()).count() == 2
    });
    let told = status_of(&sim, "RecoveryVault", "team2", "mine");
    let (ready, reason, message) = condition(&told, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "AccessDenied"), "{message}");
    assert!(message.contains("team2") && message.contains("spec.allow"), "{message}");
    for status in [told, status_of(&sim, "ProtectedMachine", "team2", "yours")] {
        let text = status.to_string();
        assert!(!text.contains("Conflict") && !text.contains("daily") && !text.contains("RecoveryVault main"), "{text}");
    }
}

#[test]
fn what_only_a_person_mends_stays_stalled_and_is_tried_ever_more_slowly() {
    let mut sim = Simulation::new(Options::default());
    let lock = format!("{GROUP}/providers/Microsoft.Authorization/locks/closed");
    sim.behind_our_back(&[json!({ "method": "PUT", "id": lock, "body": { "properties": { "level": "ReadOnly" } } })]);
    sim.apply(SMALL);
    let is_stalled = |sim: &Simulation| sim.condition("RecoveryVault", "main", "Stalled").0 == "True";
    sim.run_until("it is locked", HOUR, |sim| is_stalled(sim));
    assert_eq!(sim.condition("RecoveryVault", "main", "Ready").1, "Locked", "{}", sim.tell());
    let (since, sent) = (sim.now(), sim.arm.writes());
    while sim.step(since + HOUR * 6) {
        assert!(is_stalled(&sim), "it comes and goes: {}", sim.tell());
    }
    let again = sim.arm.writes() - sent;
    assert!((3..=9).contains(&again), "{again} tries in six hours");
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": lock })]);
    sim.run_until("the lock is gone", HOUR * 2, |sim| sim.is_ready("RecoveryVault", "main"));
}

#[test]
fn a_machine_whose_protection_was_throttled_once_is_protected_as_soon_as_azure_lets_it() {
    let mut sim = Simulation::new(Options::default());
    let throttled = |retry_after| {
        let when = When::BeforeApply;
        Fault::Status { status: 429, retry_after: Some(retry_after), body: Shape::Standard, code: None, message: None, when }
    };
    for path in ["*/protectedItems/*", "*/backupPolicies/*"] {
        let matches = Match { method: Some("PUT".into()), path: Some(path.into()), count: Some(1), ..Match::default() };
        let rule = Rule { id: path.into(), matches, fault: throttled(20) };
        sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
    }
    sim.apply(SMALL);
    let all = |sim: &mut Simulation| {
        let machines = sim.cluster.live_all("ProtectedMachine");
        machines.iter().filter(|o| o.data.pointer("/status/protectedSince").is_some()).count() == 2
    };
    sim.run_until("both machines are protected", SignedDuration::from_mins(15), all);
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(azure.journal().entries().iter().filter(|entry| entry.status == 429).count(), 2, "both were played");
}

#[test]
fn while_azure_throttles_the_last_word_stands_until_a_promise_falls_due() {
    let mut sim = protected();
    sim.run_for(HOUR);
    let all = ["RecoveryVault main", "BackupPolicy daily"].map(|text| text.split_once(' ').expect("a kind and a name"));
    fault(
        &sim,
        "*",
        Fault::Status { status: 429, retry_after: Some(60), body: Shape::Standard, code: None, message: None, when: When::BeforeApply },
    );
    let until = sim.now() + HOUR * 2;
    while sim.step(until) {
        for (kind, name) in all {
            assert!(sim.is_ready(kind, name), "{kind}: {}", sim.tell());
        }
        assert_eq!(condition(&status_of(&sim, "AzureAccess", "", "shop"), "Ready").0, "True", "{}", sim.tell());
    }
    sim.run_for(HOUR * 48);
    let machines = sim.cluster.live_all("ProtectedMachine");
    let old = machines.iter().filter(|o| condition(&o.data["status"], "Ready").1 == "RecoveryPointTooOld").count();
    assert_eq!(old, 2, "two days of silence: {}", sim.tell());
}
