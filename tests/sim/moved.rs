//! What is no longer where it was: told where it is, and nothing is made in its place.

use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::json;

use crate::manifests::SMALL;

const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";

/// Answers of that status to requests whose path ends so.
fn answered(sim: &Simulation, ending: &str, status: u16) -> usize {
    let azure = sim.azure.lock().expect("no thread died");
    azure.journal().since(0).iter().filter(|e| e.path.ends_with(ending) && e.status == status).count()
}

#[test]
fn a_machine_that_moved_to_another_group_is_told_by_its_new_id_and_its_points_stay() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    let name = |sim: &Simulation| {
        let all = sim.cluster.live_all("ProtectedMachine");
        all.iter().filter_map(|o| o.metadata.name.clone()).find(|n| n.starts_with("web-1"))
    };
    sim.run_until("web-1 has a point", SignedDuration::from_hours(8), |sim| {
        name(sim).is_some_and(|n| {
            let status = sim.status("ProtectedMachine", &n);
            status.pointer("/recoveryPoints/latestInVault").is_some() && status["operations"].is_null()
        })
    });
    let web = name(&sim).expect("a member");
    let (points, writes) = (sim.status("ProtectedMachine", &web)["recoveryPoints"].clone(), sim.arm.writes());
    let old = format!("{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    sim.behind_our_back(&[
        json!({ "method": "MOVE", "id": old, "body": { "resourceGroup": format!("{SUBSCRIPTION}/resourceGroups/rg-backup") } }),
    ]);
    sim.run_for(SignedDuration::from_hours(2));
    let (ready, reason, message) = sim.condition("ProtectedMachine", &web, "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Moved"), "{}", sim.tell());
    assert!(message.to_lowercase().contains("/resourcegroups/rg-backup/"), "{message}");
    assert_eq!(sim.status("ProtectedMachine", &web)["recoveryPoints"]["count"], points["count"]);
    assert_eq!(sim.arm.writes(), writes, "{}", sim.tell());
}

#[test]
fn a_vault_that_is_gone_is_looked_for_once_an_interval_and_never_made_again() {
    let mut sim = Simulation::new(Options::default());
    let vault_alone: Vec<&str> = SMALL.split("---").take(2).collect();
    sim.apply(&vault_alone.join("---"));
    sim.run_until("the vault stands", SignedDuration::from_hours(1), |sim| sim.is_ready("RecoveryVault", "main"));
    let writes = sim.arm.writes();
    let id = format!("{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu");
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": id })]);
    sim.run_for(SignedDuration::from_hours(2));
    let (ready, reason, message) = sim.condition("RecoveryVault", "main", "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Missing"), "{message}");
    let looked = answered(&sim, "/locations/westeurope/deletedVaults", 200);
    assert!((1..=26).contains(&looked), "{looked}: {}", sim.tell());
    assert_eq!(sim.arm.writes(), writes, "{}", sim.tell());
}
