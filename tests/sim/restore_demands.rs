//! What a point or its vault demands of a restore: to be brought back from the archive, a key for the disks, a guard's reference.

use azure_sim::faults::{Fault, Rule, Shape, When};
use breakwater_tests::sim::{Options, Simulation, manifests::OLD_VAULT};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    people::{PERSON, by_hand, protected_in, vault_with},
    restores::{back_up, declare, disks, manifest, phase, run_to, until},
};

const ESTATE: &str = "tests/sim/estates/demands.yaml";
const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";
const ITEM: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-old/providers/Microsoft.RecoveryServices/vaults/rv-old/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;rg-old;ledger-1/protectedItems/VM;iaasvmcontainerv2;rg-old;ledger-1";

fn widened(manifest: &str) -> String {
    manifest.replace("rg-restore, rg-far]", "rg-restore, rg-old, rg-guard]")
}

/// The youngest restore that Azure took: its `properties`.
pub fn last_restore(sim: &Simulation) -> Value {
    let azure = sim.azure.lock().expect("no thread died");
    let mut taken = azure.journal().entries().iter().filter(|e| e.method == "POST" && e.path.ends_with("/restore") && e.status == 202);
    taken.next_back().map(|e| e.body["properties"].clone()).expect("a restore")
}

/// Five months of other people's backups, the oldest point that may go moved to the archive; then ours begins.
pub fn archived() -> (Simulation, String) {
    let mut sim = Simulation::new(Options { estate: ESTATE, ..Options::default() });
    sim.apply_the_rule();
    sim.run_for(SignedDuration::from_hours(24 * 150));
    let ask = |path: &str, body: Value| by_hand(&sim, PERSON, "POST", &format!("{ITEM}/{path}"), "2025-08-01", body);
    let (_, movable) = ask("recoveryPointsRecommendedForMove", json!({ "excludedRPList": [] }));
    let name = movable["value"].as_array().and_then(|all| all.last()?["name"].as_str()).unwrap_or_else(|| panic!("{movable:#}")).to_owned();
    let tiers = json!({ "objectType": "MoveRPAcrossTiersRequest", "sourceTierType": "HardenedRP", "targetTierType": "ArchivedRP" });
    assert_eq!(ask(&format!("recoveryPoints/{name}/move"), tiers).0, 202);
    sim.run_for(SignedDuration::from_hours(4));
    let access = manifest().split("---").next().expect("the access").to_owned();
    sim.apply(&widened(&format!("{access}{OLD_VAULT}")));
    sim.run_until("the vault is known", SignedDuration::from_hours(1), |sim| sim.status("RecoveryVault", "old")["conditions"].is_array());
    (sim, name)
}

/// The name of the point that is in the archive.
pub fn archived_point(sim: &Simulation) -> String {
    let (_, all) = by_hand(sim, PERSON, "GET", &format!("{ITEM}/recoveryPoints"), "2025-08-01", Value::Null);
    let is_archived = |point: &&Value| {
        let tiers = point["properties"]["recoveryPointTierDetails"].as_array();
        tiers.into_iter().flatten().any(|tier| tier["type"] == "ArchivedRP" && tier["status"] == "Valid")
    };
    let found = all["value"].as_array().and_then(|points| points.iter().find(is_archived)?["name"].as_str());
    found.unwrap_or_else(|| panic!("{all:#}")).to_owned()
}

/// A run that restores the disks of that point of the old vault.
pub fn run_from_old(name: &str, point: &str, rehydrate: Value) -> Value {
    let vm = format!("{GROUPS}/rg-old/providers/Microsoft.Compute/virtualMachines/ledger-1");
    let mut source = json!({ "vaultRef": { "name": "old" }, "machineId": vm, "point": { "name": point } });
    if !rehydrate.is_null() {
        source["rehydrate"] = rehydrate;
    }
    let spec = json!({ "from": { "recoveryPoint": source }, "to": disks(),
        "staging": { "storageAccountId": format!("{GROUPS}/rg-backup/providers/Microsoft.Storage/storageAccounts/stage") } });
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun", "metadata": { "name": name, "namespace": "shop" }, "spec": spec })
}

fn from_old(sim: &Simulation, name: &str, point: &str, rehydrate: Value) {
    sim.cluster.user().apply_object(&run_from_old(name, point, rehydrate)).expect("the API server takes it");
}

#[test]
fn a_point_in_the_archive_is_brought_back_first_and_only_when_the_run_says_so() {
    let (mut sim, point) = archived();
    from_old(&sim, "unsaid", &point, Value::Null);
    sim.run_until("it is refused", SignedDuration::from_mins(30), |sim| sim.condition("RestoreRun", "unsaid", "Ready").1 == "InvalidSpec");
    let said = sim.condition("RestoreRun", "unsaid", "Ready").2;
    assert!(said.contains("spec.from.recoveryPoint.rehydrate is needed") && said.contains("archive"), "{said}");
    // A plan, which chooses no point, says so as well.
    let mut planned = run_from_old("planned", &point, Value::Null);
    planned["spec"]["mode"] = json!("Plan");
    sim.cluster.user().apply_object(&planned).expect("the API server takes it");
    sim.run_until("its plan is refused", SignedDuration::from_mins(30), |sim| {
        sim.condition("RestoreRun", "planned", "Ready").2.contains("spec.from.recoveryPoint.rehydrate is needed")
    });
    let since: Timestamp = sim.now();
    from_old(&sim, "said", &point, json!({ "priority": "High", "retainFor": "12d" }));
    sim.run_until("it ends", SignedDuration::from_hours(48), |sim| phase(sim, "said") == "Succeeded");
    let status = sim.status("RestoreRun", "said");
    assert_eq!((&status["point"]["name"], status["made"].as_array().map(Vec::len)), (&json!(point), Some(1)), "{status:#}");
    assert!(sim.now().duration_since(since) > SignedDuration::from_mins(30), "it took the archive's time");
    let sent = last_restore(&sim);
    assert_eq!(sent["objectType"], "IaasVMRestoreWithRehydrationRequest", "{sent:#}");
    let how = json!({ "rehydrationPriority": "High", "rehydrationRetentionDuration": "P12D" });
    assert_eq!(sent["recoveryPointRehydrationInfo"], how, "{sent:#}");
    // A point that is brought back is no longer in the archive alone; one that never was there is not brought back.
    let (_, young) = by_hand(&sim, PERSON, "GET", &format!("{ITEM}/recoveryPoints"), "2025-08-01", Value::Null);
    let young = young["value"].as_array().expect("points").iter().filter_map(|p| p["name"].as_str()).find(|name| *name != point);
    from_old(&sim, "needless", young.expect("another point"), json!({ "priority": "High", "retainFor": "12d" }));
    sim.run_until("it is refused", SignedDuration::from_mins(30), |sim| {
        sim.condition("RestoreRun", "needless", "Ready").1 == "InvalidSpec"
    });
    assert!(sim.condition("RestoreRun", "needless", "Ready").2.contains("rehydrate must be left out"));
}

#[test]
fn restored_disks_are_encrypted_with_the_set_that_the_run_names() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let set = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/diskEncryptionSets/des-shop");
    sim.cluster.user().apply_object(&run_to(&sim, "one", disks(), json!({ "diskEncryptionSetId": set }))).expect("taken");
    until(&mut sim, "one", "Succeeded");
    assert_eq!(last_restore(&sim)["diskEncryptionSetId"], set);
    for made in sim.status("RestoreRun", "one")["made"].as_array().expect("disks") {
        let (_, disk) = by_hand(&sim, PERSON, "GET", made["id"].as_str().expect("an id"), "2025-01-02", Value::Null);
        assert_eq!(disk["properties"]["encryption"]["diskEncryptionSetId"], set, "{disk:#}");
    }
    // The set is read on the way: one outside the grant is not named to Azure.
    let outside = format!("{GROUPS}/rg-guard/providers/Microsoft.Compute/diskEncryptionSets/des-other");
    sim.cluster.user().apply_object(&run_to(&sim, "outside", disks(), json!({ "diskEncryptionSetId": outside }))).expect("taken");
    sim.run_until("it is refused", SignedDuration::from_mins(30), |sim| {
        sim.condition("RestoreRun", "outside", "Ready").1 == "AccessDenied"
    });
    assert_eq!(last_restore(&sim)["diskEncryptionSetId"], set);
}

/// The machine as somebody changed it, and a backup of it since.
pub fn changed(sim: &mut Simulation, body: Value) {
    let machine = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": machine, "body": body })]);
    back_up(sim, "since");
}

/// What a run is told that is refused before anything is sent.
pub fn refused(world: &Simulation, to: Value, more: Value) -> String {
    let mut sim = world.fork();
    let from = sim.requests().len();
    declare(&sim, "refused", to, more);
    let soon = SignedDuration::from_mins(15);
    sim.run_until("it is refused", soon, |sim| sim.condition("RestoreRun", "refused", "Ready").1 == "InvalidSpec");
    assert!(sim.requests().iter().skip(from).all(|line| !line.contains("POST")), "{}", sim.tell());
    sim.condition("RestoreRun", "refused", "Ready").2
}

#[test]
fn the_set_of_a_confidential_os_disk_goes_with_points_of_such_machines_alone() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let set = |group: &str| format!("{GROUPS}/{group}/providers/Microsoft.Compute/diskEncryptionSets/des-confidential");
    let more = |group: &str| json!({ "securedVmOsDiskEncryptionSetId": set(group) });
    let told = refused(&sim, disks(), more("rg-shop"));
    assert!(told.contains("spec.securedVmOsDiskEncryptionSetId must be left out") && told.contains("security type is None"), "{told}");
    changed(&mut sim, json!({ "properties": { "securityProfile": { "securityType": "ConfidentialVM" } } }));
    declare(&sim, "one", disks(), more("rg-shop"));
    until(&mut sim, "one", "Succeeded");
    assert_eq!(last_restore(&sim)["securedVMDetails"], json!({ "securedVMOsDiskEncryptionSetId": set("rg-shop") }));
    // The set is read on the way: one outside the grant is not named to Azure.
    declare(&sim, "outside", disks(), more("rg-guard"));
    sim.run_until("it is refused", SignedDuration::from_mins(30), |sim| {
        sim.condition("RestoreRun", "outside", "Ready").1 == "AccessDenied"
    });
    assert_eq!(last_restore(&sim)["securedVMDetails"], json!({ "securedVMOsDiskEncryptionSetId": set("rg-shop") }));
}

#[test]
fn a_restore_under_a_resource_guard_carries_its_reference_and_a_refusal_names_the_operation() {
    const GUARD: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-guard/providers/Microsoft.DataProtection/resourceGuards/guard";
    let guarded = vault_with(&widened(&manifest()), &format!("resourceGuard: {{ id: {GUARD} }}"));
    let mut sim = protected_in(ESTATE, &guarded, 1);
    sim.cluster.user().apply_object(&run_to(&sim, "one", disks(), json!({}))).expect("taken");
    until(&mut sim, "one", "Succeeded");
    let references = last_restore(&sim)["resourceGuardOperationRequests"].clone();
    assert!(references[0].as_str().is_some_and(|r| r.ends_with("/triggerRestoreRequests/default")), "{references:#}");
    // The security team takes the right back.
    let right = {
        let azure = sim.azure.lock().expect("no thread died");
        let mut given = azure.world().access.assignments.values();
        given.find(|a| a.scope.eq_ignore_ascii_case(GUARD)).expect("the right on the guard").id.clone()
    };
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": right })]);
    sim.invariants.rights_are_withdrawn();
    sim.run_for(SignedDuration::from_mins(30));
    sim.cluster.user().apply_object(&run_to(&sim, "two", disks(), json!({}))).expect("taken");
    sim.run_until("it is refused", SignedDuration::from_mins(50), |sim| sim.condition("RestoreRun", "two", "Ready").1 == "ResourceGuarded");
    let said = sim.condition("RestoreRun", "two", "Ready").2;
    assert!(said.contains("triggerRestoreRequests") && said.contains("resourceGuards/guard"), "{said}");
}

#[test]
fn a_refusal_of_any_length_is_kept_and_shown_with_its_beginning_and_its_end() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let (code, message) = ("Long".repeat(60), format!("At first. {}At last.", "é and so on, ".repeat(400)));
    let fault = Fault::Status {
        status: 400,
        retry_after: None,
        body: Shape::Standard,
        code: Some(code),
        message: Some(message),
        when: When::BeforeApply,
    };
    sim.azure.lock().expect("no thread died").faults_mut().add(Rule::once("long", "POST", "*/restore", fault));
    sim.cluster.user().apply_object(&run_to(&sim, "one", disks(), json!({}))).expect("taken");
    sim.run_until("it is refused", SignedDuration::from_mins(30), |sim| sim.condition("RestoreRun", "one", "Ready").1 == "RefusedByAzure");
    let said = sim.condition("RestoreRun", "one", "Ready").2;
    assert!(said.contains("LongLong") && said.contains("At last."), "{said}");
    assert!(sim.status("RestoreRun", "one")["operations"][0]["error"]["message"].as_str().is_some_and(|m| m.ends_with("At last.")));
}

#[test]
fn a_vault_under_somebodys_lock_restores_nothing_until_the_lock_is_gone_and_then_once() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let lock =
        format!("{GROUPS}/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu/providers/Microsoft.Authorization/locks/audit");
    sim.behind_our_back(&[json!({ "method": "PUT", "id": lock, "body": { "properties": { "level": "ReadOnly" } } })]);
    let from = sim.requests().len();
    let expires = sim.now() + SignedDuration::from_hours(6);
    sim.cluster.user().apply_object(&run_to(&sim, "one", disks(), json!({ "expiresAt": expires }))).expect("taken");
    sim.run_until("it is refused", SignedDuration::from_mins(30), |sim| sim.condition("RestoreRun", "one", "Ready").1 == "Locked");
    assert!(sim.condition("RestoreRun", "one", "Ready").2.contains("lock"), "{}", sim.tell());
    sim.run_for(SignedDuration::from_hours(1));
    let all = |sim: &Simulation, answer: &str| {
        let of = |line: &&String| line.contains("/restore -> ") && line.contains(answer);
        sim.requests().iter().skip(from).filter(of).count()
    };
    assert_eq!(all(&sim, "202"), 0);
    assert!(!sim.requests().iter().skip(from).any(|line| line.contains(" DELETE ")), "no lock is ever removed");
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": lock })]);
    until(&mut sim, "one", "Succeeded");
    assert_eq!(all(&sim, "202"), 1);
}
