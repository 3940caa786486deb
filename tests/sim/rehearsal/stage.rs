//! Where rehearsals are played: a vault with two protected machines that nobody has backed up yet.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{MutexGuard, PoisonError},
};

use azure_sim::{
    Azure, Estate,
    faults::{Fault, Match, Rule, Shape, When},
    journal::Entry,
};
use breakwater_arm::{ResourceId, names};
use breakwater_engine::{Engine, ports::ObjectKey};
use breakwater_plan::{keys, planner::MOST_ATTEMPTS};
use breakwater_tests::sim::{Options, Simulation, shipped};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::kind::{BACKUP, Rehearsal, once_key};
use crate::{
    manifests::SMALL,
    people::{OPERATOR, PERSON, by_hand},
};

const VAULT: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu";
const MACHINES: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines";

/// What `backupStatus` answers of off-1, which no object protects: this text comes from nowhere else.
pub const ANSWER: &str = "vm;iaasvmcontainerv2;rg-shop;off-1";

/// The kinds of the product, and ours.
fn kinds(engine: &mut Engine) {
    shipped(engine);
    engine.register::<Rehearsal>();
}

/// The small estate, where the operator may also do what no shipped kind does yet.
fn estate() -> Estate {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/estates/small.yaml");
    let mut estate = Estate::read(&path, &BTreeMap::new()).expect("the estate");
    let fabric = "Microsoft.RecoveryServices/Vaults/backupFabrics";
    let actions = [format!("{fabric}/refreshContainers/action"), format!("{fabric}/operationResults/read")];
    let role = json!({ "Name": "Rehearsal", "Actions": actions });
    let group = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup";
    let assignment = json!({ "principal": "operator", "role": "Rehearsal", "scope": group });
    estate.role_definitions.push(serde_json::from_value(role).expect("a role"));
    estate.role_assignments.push(serde_json::from_value(assignment).expect("an assignment"));
    estate
}

/// A settled world: both machines are protected, and the schedule is far away.
pub fn world() -> Simulation {
    let mut sim = Simulation::of(estate(), Options { register: kinds, ..Options::default() });
    sim.apply(&SMALL.replace("firstBackup: Now", "firstBackup: OnSchedule"));
    sim.run_until("both machines are protected", SignedDuration::from_hours(3), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let pending = all.iter().filter(|o| o.data.pointer("/status/protection").is_some_and(|p| p == "InitialBackupPending")).count();
        let open = all.iter().filter(|o| o.data.pointer("/status/operations").is_some()).count();
        pending == 2 && open == 0 && sim.is_ready("RecoveryVault", "main")
    });
    sim.run_for(SignedDuration::from_mins(10));
    sim
}

pub fn key() -> ObjectKey {
    ObjectKey { kind: "Rehearsal".into(), namespace: "shop".into(), name: "one".into() }
}

/// Applies the one rehearsal with these parts of its spec.
pub fn rehearse(sim: &Simulation, parts: Value) {
    let mut spec = json!({ "policy": "daily" });
    for (name, value) in parts.as_object().expect("parts are fields") {
        spec[name] = value.clone();
    }
    let metadata = json!({ "name": "one", "namespace": "shop" });
    let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "Rehearsal", "metadata": metadata, "spec": spec });
    sim.cluster.user().apply_object(&object).expect("a kind without a definition is taken as it is");
}

pub fn machine(name: &str) -> ResourceId {
    format!("{MACHINES}/{name}").parse().expect("a literal id")
}

fn vault() -> ResourceId {
    VAULT.parse().expect("a literal id")
}

pub fn azure(sim: &Simulation) -> MutexGuard<'_, Azure> {
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A tag of the vault, as Azure holds it.
pub fn tag(sim: &Simulation, name: &str) -> Option<String> {
    azure(sim).world().tags.get(&vault().key()).and_then(|tags| tags.get(name)).cloned()
}

/// Requests of the operator that Azure carried out, by method and the end of the path.
pub fn sent(sim: &Simulation, method: &str, end: &str) -> Vec<Entry> {
    let azure = azure(sim);
    let ours = azure.journal().entries().iter().filter(|e| e.applied && e.client.ends_with(OPERATOR));
    ours.filter(|e| e.method == method && e.path.to_ascii_lowercase().ends_with(end)).cloned().collect()
}

/// Somebody presses "Backup now" in the portal.
pub fn person_backs_up(sim: &Simulation, name: &str) {
    let item = names::item_id(&vault(), &machine(name)).expect("a machine has an item");
    let body = json!({ "properties": { "objectType": "IaasVMBackupRequest" } });
    let (status, body) = by_hand(sim, PERSON, "POST", &format!("{item}/backup"), "2024-04-01", body);
    assert_eq!(status, 202, "{body:#}");
}

/// Somebody puts a tag on the vault.
pub fn person_tags(sim: &Simulation, name: &str, value: &str) {
    let body = json!({ "operation": "Merge", "properties": { "tags": { name: value } } });
    let (status, body) = by_hand(sim, PERSON, "PATCH", &format!("{VAULT}/providers/Microsoft.Resources/tags/default"), "2022-09-01", body);
    assert_eq!(status, 200, "{body:#}");
}

/// Azure refuses the next writes of tags with this status.
pub fn refuse_tags(sim: &Simulation, status: u16, times: u32) {
    let matches = Match { method: Some("PATCH".into()), path: Some("*/tags/default".into()), count: Some(times), ..Match::default() };
    let fault = Fault::Status { status, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    azure(sim).faults_mut().add(Rule { id: "tags".into(), matches, fault });
}

pub fn operations(sim: &Simulation) -> Vec<Value> {
    sim.status("Rehearsal", "one")["operations"].as_array().cloned().unwrap_or_default()
}

/// The job that status names.
pub fn job(sim: &Simulation) -> Option<String> {
    sim.status("Rehearsal", "one")["job"].as_str().map(str::to_owned)
}

/// Somebody makes a policy like another one in the vault.
pub fn person_makes_policy(sim: &Simulation, name: &str) -> ResourceId {
    let (status, policies) = by_hand(sim, OPERATOR, "GET", &format!("{VAULT}/backupPolicies"), "2024-04-01", Value::Null);
    assert_eq!(status, 200, "{policies:#}");
    let mut properties = policies["value"][0]["properties"].clone();
    properties.as_object_mut().expect("an object").remove("protectedItemsCount");
    let path = format!("{VAULT}/backupPolicies/{name}");
    let (status, body) = by_hand(sim, PERSON, "PUT", &path, "2024-04-01", json!({ "properties": properties }));
    assert!(status < 300, "{status} {body:#}");
    path.parse().expect("an id")
}

/// Each machine of the vault was backed up once, by a job of ours that status names.
pub fn all_backed_up_once(sim: &Simulation, what: &str) {
    let sent = sent(sim, "POST", "/backup");
    let paths: std::collections::BTreeSet<&str> = sent.iter().map(|e| e.path.as_str()).collect();
    assert_eq!((sent.len(), paths.len()), (2, 2), "{what}: {sent:#?}\n{}", sim.tell());
    let jobs = sim.status("Rehearsal", "one")["jobs"].as_object().cloned().unwrap_or_default();
    assert_eq!(jobs.len(), 2, "{what}: {jobs:?}");
    assert_ne!(jobs["web-1"], jobs["win-1"], "{what}");
}

/// It was carried out once, and the job that status names is the one that we started.
pub fn backed_up_once(sim: &Simulation, name: &str, what: &str) {
    let sent = sent(sim, "POST", "/backup");
    assert_eq!(sent.len(), 1, "{what}: {sent:#?}\n{}", sim.tell());
    let (status, jobs) = by_hand(sim, OPERATOR, "GET", &format!("{VAULT}/backupJobs"), "2024-04-01", Value::Null);
    assert_eq!(status, 200, "{jobs:#}");
    let once = once_key("shop", "one", &vault(), &machine(name));
    let ids: Vec<String> = (1..=MOST_ATTEMPTS).map(|n| keys::request_id("test-estate", &once, BACKUP, n).to_string()).collect();
    let all = jobs["value"].as_array().expect("a list").iter();
    let ours = |j: &&Value| j.pointer("/properties/activityId").and_then(Value::as_str).is_some_and(|a| ids.iter().any(|id| id == a));
    let ours: Vec<&str> = all.filter(ours).filter_map(|j| j["name"].as_str()).collect();
    assert_eq!(ours, [job(sim).unwrap_or_default()], "{what}: {jobs:#}");
}

/// Whether nothing holds the object any more.
pub fn is_free(sim: &Simulation) -> bool {
    let object = sim.cluster.live(&key());
    object.is_none_or(|o| o.metadata.finalizers.as_ref().is_none_or(Vec::is_empty)) && operations(sim).is_empty()
}

pub fn is_gone(sim: &Simulation) -> bool {
    sim.cluster.live(&key()).is_none()
}

/// In this while.
pub fn after(sim: &Simulation, minutes: i64) -> Timestamp {
    sim.now() + SignedDuration::from_mins(minutes)
}
