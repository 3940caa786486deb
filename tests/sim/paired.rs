//! Restores in the paired region: points that arrive hours later, what allows the restore, and its job over there.

use azure_sim::recovery::CANARY_TOKEN;
use breakwater_tests::sim::{ArmFault, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    people::{PERSON, by_hand, protected_in, sent, vault_with},
    restores::{manifest, phase, run_to, until},
};

const ESTATE: &str = "tests/sim/estates/restore.yaml";
const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// One machine with a point, in a vault that copies to the paired region.
pub fn ready() -> Simulation {
    protected_in(ESTATE, &vault_with(&manifest(), "crossRegionRestore: true"), 1)
}

/// The same, when the point is there as well.
pub fn arrived() -> Simulation {
    let mut sim = ready();
    sim.run_for(HOUR * 13);
    sim
}

/// The same, when something was restored there before: only a list of jobs that reaches back tells that one is not in it.
pub fn practised() -> Simulation {
    let mut sim = arrived();
    declare(&sim, &run(&sim, "before", disks_there()));
    until(&mut sim, "before", "Succeeded");
    sim
}

fn account(name: &str) -> Value {
    let group = if name == "stagefar" { "rg-far" } else { "rg-backup" };
    json!({ "storageAccountId": format!("{GROUPS}/{group}/providers/Microsoft.Storage/storageAccounts/{name}") })
}

/// A run of that name in the paired region.
pub fn run(sim: &Simulation, name: &str, to: Value) -> Value {
    let mut object = run_to(sim, name, to, json!({ "staging": account("stagefar"), "expiresAt": sim.now() + HOUR * 24 }));
    object["spec"]["from"]["recoveryPoint"]["region"] = json!("Paired");
    object
}

fn declare(sim: &Simulation, object: &Value) {
    sim.cluster.user().apply_object(object).expect("the API server takes it");
}

pub fn machine_there() -> Value {
    let subnet = format!("{GROUPS}/rg-far/providers/Microsoft.Network/virtualNetworks/vnet-northeurope/subnets/default");
    json!({ "newMachine": { "name": "web-9", "resourceGroup": "rg-far", "subnetId": subnet } })
}

fn disks_there() -> Value {
    json!({ "disks": { "resourceGroup": "rg-far" } })
}

/// Restores that Azure took.
fn restores(sim: &Simulation) -> usize {
    sim.requests().iter().filter(|line| line.contains("/backupCrossRegionRestore -> 202")).count()
}

#[test]
fn a_machine_is_restored_in_the_paired_region_when_its_point_is_there() {
    let mut sim = ready();
    declare(&sim, &run(&sim, "one", machine_there()));
    sim.run_for(HOUR);
    assert_eq!(sim.condition("RestoreRun", "one", "Ready").1, "NoRecoveryPoint", "{}", sim.tell());
    assert_eq!(restores(&sim), 0);
    sim.run_until("it is restored", HOUR * 20, |sim| phase(sim, "one") == "Succeeded");
    let status = sim.status("RestoreRun", "one");
    assert!(status["point"]["name"].is_string() && status["job"]["status"] == "Completed", "{status:#}");
    assert_eq!(status["made"].as_array().map(Vec::len), Some(4), "{status:#}");
    let (code, machine) = by_hand(&sim, PERSON, "GET", status["targetId"].as_str().expect("an id"), "2024-07-01", Value::Null);
    assert_eq!((code, machine["location"].as_str()), (200, Some("northeurope")), "{machine:#}");
    sim.run_for(HOUR * 3);
    assert_eq!(restores(&sim), 1, "{:#?}", sent(&sim, 0));
    // What allowed it is told to nobody.
    for kind in ["RestoreRun", "ProtectedMachine", "RecoveryVault"] {
        let told: Vec<String> = sim.cluster.live_all(kind).iter().map(|o| serde_json::to_string(&**o).expect("JSON")).collect();
        assert!(!told.iter().any(|text| text.contains(CANARY_TOKEN)), "{told:#?}");
    }
}

#[test]
fn disks_are_restored_in_the_paired_region_once_for_their_key() {
    let mut sim = arrived();
    for name in ["one", "two"] {
        let mut object = run(&sim, name, disks_there());
        object["spec"]["key"] = json!("incident-7");
        declare(&sim, &object);
        until(&mut sim, name, if name == "one" { "Succeeded" } else { "AlreadyDone" });
    }
    let made = sim.status("RestoreRun", "one")["made"].clone();
    let region = |id: &str| by_hand(&sim, PERSON, "GET", id, "2025-01-02", Value::Null).1["location"].clone();
    let regions: Vec<Value> = made.as_array().into_iter().flatten().map(|m| region(m["id"].as_str().expect("an id"))).collect();
    assert_eq!(regions, [json!("northeurope"), json!("northeurope")], "{made:#}");
    assert_eq!(restores(&sim), 1);
}

#[test]
fn a_first_restore_there_whose_answer_is_lost_is_found_by_its_job_or_asked_about() {
    for (fault, wanted) in [(ArmFault::AnswerLost, "Succeeded"), (ArmFault::NeverSent, "OutcomeUnknown")] {
        let mut sim = arrived();
        sim.arm_fault(1, fault);
        declare(&sim, &run(&sim, "one", disks_there()));
        // No job was there before: that none is there now says nothing, and a person is asked.
        sim.run_until(wanted, HOUR * 3, |sim| sim.condition("RestoreRun", "one", "Ready").1 == wanted);
        // Also when its time is over.
        sim.run_for(HOUR * 30);
        assert!(restores(&sim) <= 1 && sim.condition("RestoreRun", "one", "Ready").1 == wanted, "{}", sim.tell());
    }
}

#[test]
fn what_the_paired_region_holds_of_another_machine_of_that_name_is_neither_shown_nor_restored() {
    let mut sim = arrived();
    let item = format!(
        "{GROUPS}/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu/backupFabrics/Azure/protectionContainers/\
         IaasVMContainer;iaasvmcontainerv2;rg-shop;web-1/protectedItems/VM;iaasvmcontainerv2;rg-shop;web-1"
    );
    let other =
        "/subscriptions/50b50000-0000-4000-8000-000000000002/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1";
    let from = sim.requests().len();
    declare(&sim, &run(&sim, "one", disks_there()));
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": item, "body": { "properties": { "sourceResourceId": other } } })]);
    sim.run_until("it says so", HOUR, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "NameTaken");
    let status = sim.status("RestoreRun", "one");
    assert!(status["point"].is_null() && status["choices"].is_null(), "{status:#}");
    sim.run_for(HOUR * 2);
    assert_eq!(sent(&sim, from), Vec::<String>::new());
}

#[test]
fn what_cannot_be_restored_there_is_told_with_its_field_and_nothing_is_sent() {
    let mut sim = arrived();
    let (from, quarter) = (sim.requests().len(), SignedDuration::from_mins(15));
    let mut here = run(&sim, "here", disks_there());
    here["spec"]["staging"] = account("stage");
    declare(&sim, &here);
    sim.run_until("it says where the account must be", quarter, |sim| {
        let message = sim.condition("RestoreRun", "here", "Ready").2;
        message.contains("spec.staging.storageAccountId") && message.contains("northeurope")
    });
    let subnet = format!("{GROUPS}/rg-shop/providers/Microsoft.Network/virtualNetworks/vnet-westeurope/subnets/default");
    let mut near = run(&sim, "near", machine_there());
    near["spec"]["to"]["newMachine"]["subnetId"] = json!(subnet);
    declare(&sim, &near);
    sim.run_until("it says where the subnet must be", quarter, |sim| sim.condition("RestoreRun", "near", "Ready").1 == "LocationMismatch");
    let mut sealed = run(&sim, "sealed", disks_there());
    let set = format!("{GROUPS}/rg-far/providers/Microsoft.Compute/diskEncryptionSets/des-far");
    sealed["spec"]["securedVmOsDiskEncryptionSetId"] = json!(set);
    declare(&sim, &sealed);
    sim.run_until("it says that the field is not for there", quarter, |sim| {
        let message = sim.condition("RestoreRun", "sealed", "Ready").2;
        message.contains("spec.securedVmOsDiskEncryptionSetId") && message.contains("the vault's own region")
    });
    let refused = |change: fn(&mut Value)| {
        let mut object = run(&sim, "never", disks_there());
        change(&mut object["spec"]);
        sim.cluster.user().apply_object(&object).expect_err("it makes no sense").to_string()
    };
    let words = "region Paired goes with to.newMachine and to.disks";
    assert!(refused(|spec| spec["to"] = json!({ "replaceDisks": { "confirm": "web-1" } })).contains(words));
    assert!(refused(|spec| spec["from"]["recoveryPoint"]["rehydrate"] = json!({ "priority": "High", "retainFor": "10d" })).contains(words));
    assert!(sent(&sim, from).is_empty() && phase(&sim, "here") == "Pending", "{:#?}", sent(&sim, from));
    // A vault that copies nothing there.
    let mut sim = crate::restores::ready();
    declare(&sim, &run(&sim, "one", disks_there()));
    sim.run_until("it says so", quarter, |sim| sim.condition("RestoreRun", "one", "Ready").2.contains("spec.crossRegionRestore"));
    assert_eq!(restores(&sim), 0);
}
