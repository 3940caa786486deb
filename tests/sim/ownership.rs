//! Whose it is: adoption of what was made by hand, references across namespaces, accesses that are suspended.

use breakwater_engine::ports::ObjectKey;
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    manifests::SMALL,
    people::{key, sent},
};

const LEGACY: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-legacy";
const OLD: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/old-1";

/// The access alone.
fn access() -> String {
    SMALL.split("---").next().expect("the access is first").to_owned()
}

fn legacy(adopt: &str) -> Value {
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RecoveryVault", "metadata": { "name": "legacy", "namespace": "shop" },
        "spec": { "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroup": "rg-backup", "location": "westeurope",
            "azureName": "rv-legacy", "adopt": adopt } })
}

fn policy(name: &str, more: Value) -> Value {
    let mut spec = json!({ "vaultRef": { "name": "legacy" }, "tier": "Standard", "schedule": { "daily": { "at": "16:30" } }, "timeZone": "UTC",
        "retention": { "instantRestoreDays": 2, "daily": { "keep": "30d" } }, "machines": [{ "id": OLD }] });
    spec.as_object_mut().expect("a spec").extend(more.as_object().expect("fields").clone());
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupPolicy", "metadata": { "name": name, "namespace": "shop" }, "spec": spec })
}

#[test]
fn a_vault_a_policy_and_a_machine_made_by_hand_are_adopted_by_one_merge_of_tags() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(&access());
    let before = sent(&sim, 0).len();
    sim.cluster.user().apply_object(&legacy("Never")).unwrap();
    let by_name = |more: Value| {
        let mut all = json!({ "azureName": "DefaultPolicy", "adopt": "IfNotWeaker" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        policy("default", all)
    };
    sim.cluster.user().apply_object(&by_name(json!({}))).unwrap();
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sim.condition("RecoveryVault", "legacy", "Ready").1, "NotOurs", "{}", sim.tell());
    assert!(sim.condition("RecoveryVault", "legacy", "Ready").2.contains("adopt: IfNotWeaker"));
    assert_eq!(sent(&sim, 0).len(), before, "nothing is touched unasked");
    // The first plan is shown before anything is sent.
    let plan = json!({ "spec": { "adopt": "IfNotWeaker", "mode": "Plan" } });
    sim.cluster.user().patch(&key("RecoveryVault", "legacy"), &plan).unwrap();
    sim.run_for(SignedDuration::from_mins(30));
    let shown = sim.status("RecoveryVault", "legacy")["plan"].as_str().unwrap_or_default().to_owned();
    assert!(shown.contains("ownership: PATCH") && shown.contains("tags.breakwater-owner"), "{shown}");
    assert_eq!((sim.condition("RecoveryVault", "legacy", "Ready").1.as_str(), sent(&sim, 0).len()), ("PlanOnly", before));
    sim.cluster.user().patch(&key("RecoveryVault", "legacy"), &json!({ "spec": { "mode": "Manage" } })).unwrap();
    sim.run_for(SignedDuration::from_hours(2));
    let written = sent(&sim, 0).split_off(before);
    assert!(
        written.len() == 1 && written[0].contains("/vaults/rv-legacy/providers/Microsoft.Resources/tags/default"),
        "{written:#?}\n{}",
        sim.tell()
    );
    assert!(sim.is_ready("RecoveryVault", "legacy") && sim.is_ready("BackupPolicy", "default"), "{}", sim.tell());
    let members = sim.cluster.live_all("ProtectedMachine");
    assert_eq!(members.len(), 1);
    assert!(members[0].data.pointer("/status/itemId").is_some(), "{}", sim.tell());
    assert_eq!(members[0].data.pointer("/status/itemId").and_then(Value::as_str).map(|id| id.starts_with(LEGACY)), Some(true));
    assert!(members[0].data.pointer("/status/owned").is_some(), "{}", sim.tell());
}

#[test]
fn a_machine_under_somebody_elses_policy_is_taken_over_only_where_declared_and_not_into_a_shorter_life() {
    for (keep, adopt, takes) in [("30d", "Never", false), ("30d", "IfNotWeaker", true), ("14d", "IfNotWeaker", false)] {
        let mut sim = Simulation::new(Options::default());
        sim.apply(&access());
        sim.cluster.user().apply_object(&legacy("IfNotWeaker")).unwrap();
        let more = json!({ "adopt": adopt, "retention": { "instantRestoreDays": 2, "daily": { "keep": keep } } });
        sim.cluster.user().apply_object(&policy("ours", more)).unwrap();
        sim.run_for(SignedDuration::from_hours(3));
        let moves = sent(&sim, 0).into_iter().filter(|line| line.contains("PUT") && line.contains("/protectedItems/")).count();
        assert_eq!(moves, usize::from(takes), "{keep} {adopt}: {}", sim.tell());
        let name = sim.cluster.live_all("ProtectedMachine")[0].metadata.name.clone().unwrap();
        let reason = sim.condition("ProtectedMachine", &name, "Ready").1;
        assert_eq!(reason == "ForeignPolicy", !takes, "{keep} {adopt}: {reason}");
    }
}

/// A second namespace whose policy names the shop's vault.
const TEAM: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: team, labels: { tier: trusted } }
---
apiVersion: breakwater.io/v1alpha1
kind: BackupPolicy
metadata: { name: teams, namespace: team }
spec:
  vaultRef: { name: main, namespace: shop }
  schedule: { daily: { at: "03:00" } }
  retention: { daily: { keep: 30d } }
  machines: [{ id: /subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/off-1 }]
"#;

fn told(sim: &Simulation, kind: &str, name: &str) -> (String, String) {
    let object = sim.cluster.live(&ObjectKey { namespace: "team".into(), ..key(kind, name) }).expect("the object");
    let all = object.data.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let ready = all.into_iter().find(|c| c["type"] == "Ready").unwrap_or_default();
    (ready["reason"].as_str().unwrap_or_default().to_owned(), ready["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_vault_serves_other_namespaces_only_where_it_says_so_and_what_is_not_admitted_is_as_if_it_were_not_there() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(&SMALL.replace("names: [shop]", "names: [shop, team]"));
    sim.apply(TEAM);
    sim.run_for(SignedDuration::from_hours(1));
    let closed = told(&sim, "BackupPolicy", "teams");
    assert_eq!(closed.0, "ReferenceNotFound", "{closed:?}");
    let nothing = TEAM.replace("name: main, namespace: shop", "name: nothing, namespace: shop").replace("name: teams", "name: teams2");
    sim.apply(&nothing);
    sim.run_for(SignedDuration::from_mins(30));
    assert_eq!(told(&sim, "BackupPolicy", "teams2").1.replace("nothing", "main"), closed.1, "absent and closed are told alike");
    let admit = |labels: Value| json!({ "spec": { "allowedNamespaces": { "from": "Selector", "selector": { "matchLabels": labels } } } });
    sim.cluster.user().patch(&key("RecoveryVault", "main"), &admit(json!({ "tier": "other" }))).unwrap();
    sim.run_for(SignedDuration::from_mins(30));
    assert_eq!(told(&sim, "BackupPolicy", "teams").0, "ReferenceNotFound");
    sim.cluster.user().patch(&key("RecoveryVault", "main"), &admit(json!({ "tier": "trusted" }))).unwrap();
    sim.run_until("protected from another namespace", SignedDuration::from_hours(3), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        all.iter().any(|o| o.metadata.namespace.as_deref() == Some("team") && o.data.pointer("/status/owned").is_some())
    });
    let ours = sent(&sim, 0).into_iter().filter(|line| line.contains("PUT") && line.contains("off-1")).count();
    assert_eq!(ours, 1, "{}", sim.tell());
    // Closed again: nothing is undone, nothing new is begun.
    let before = sent(&sim, 0).len();
    sim.cluster.user().patch(&key("RecoveryVault", "main"), &json!({ "spec": { "allowedNamespaces": null } })).unwrap();
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!((told(&sim, "BackupPolicy", "teams").0.as_str(), sent(&sim, 0).len()), ("ReferenceNotFound", before), "{}", sim.tell());
}

#[test]
fn in_a_shared_vault_a_policy_whose_object_is_gone_is_no_other_tenants_booty() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(&SMALL.replace("names: [shop]", "names: [shop, team]"));
    let admit = json!({ "spec": { "allowedNamespaces": { "from": "Selector", "selector": { "matchLabels": { "tier": "trusted" } } } } });
    sim.cluster.user().patch(&key("RecoveryVault", "main"), &admit).unwrap();
    sim.run_until("its policy stands", SignedDuration::from_hours(6), |sim| sim.is_ready("BackupPolicy", "daily"));
    let id = sim.status("BackupPolicy", "daily")["policyId"].as_str().expect("an id").to_owned();
    let name = id.rsplit('/').next().expect("a name");
    sim.cluster.user().delete(&key("BackupPolicy", "daily")).unwrap();
    sim.run_for(SignedDuration::from_mins(10));
    let before = sent(&sim, 0).len();
    sim.apply(&TEAM.replace("vaultRef: {", &format!("azureName: {name}\n  adopt: IfNotWeaker\n  vaultRef: {{")));
    sim.run_for(SignedDuration::from_hours(2));
    let (reason, words) = told(&sim, "BackupPolicy", "teams");
    assert!(reason == "NotOurs" && words.contains("spec.azureName"), "{reason}: {words}");
    assert_eq!(sent(&sim, 0).len(), before, "{}", sim.tell());
}

#[test]
fn a_suspended_access_starts_nothing_for_anybody_and_goes_on_where_it_was() {
    let mut sim = Simulation::new(Options::default());
    let suspended = SMALL.replace("  namespaces: { names: [shop] }", "  namespaces: { names: [shop] }\n  suspend: true");
    sim.apply(&suspended);
    let before = sent(&sim, 0).len();
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sent(&sim, 0).len(), before, "{}", sim.tell());
    let (status, reason, message) = sim.condition("RecoveryVault", "main", "Suspended");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Suspended"));
    assert!(message.contains("AzureAccess"), "{message}");
    assert_eq!(sim.condition("RecoveryVault", "main", "Ready").0, "False");
    assert!(sim.cluster.live_all("ProtectedMachine").is_empty(), "nothing is made either");
    let access = key("AzureAccess", "shop");
    sim.cluster.user().patch(&access, &json!({ "spec": { "suspend": false } })).unwrap();
    sim.run_until("the vault", SignedDuration::from_hours(1), |sim| sim.is_ready("RecoveryVault", "main"));
    // In the middle of it all, and settled: the world is told as it is.
    sim.cluster.user().patch(&access, &json!({ "spec": { "suspend": true } })).unwrap();
    sim.run_for(SignedDuration::from_mins(10));
    let before = sent(&sim, 0).len();
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sent(&sim, 0).len(), before, "{}", sim.tell());
    assert_eq!(sim.condition("RecoveryVault", "main", "Ready").0, "True", "a vault that stands is told so");
}
