//! A mount of files has no job by which Azure could tell that it was done: the machine's object remembers it.

use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    files,
    people::{key, member, sent},
    restores::{phase, ready, until},
};

const MACHINE: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// A mount of that key, of the machine by its object or by its vault and id.
fn run(sim: &Simulation, name: &str, mount_for: &str, by_id: bool) -> Value {
    let mut object = files::run(sim, name, mount_for);
    object["spec"]["key"] = json!("incident-7");
    if by_id {
        object["spec"]["from"]["recoveryPoint"] =
            json!({ "vaultRef": { "name": "main" }, "machineId": MACHINE, "point": { "latest": {} } });
    }
    object
}

fn delete(sim: &mut Simulation) {
    sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
    sim.run_until("it is gone", HOUR, |sim| sim.cluster.live_all("RestoreRun").is_empty());
}

fn mounts(sim: &Simulation) -> usize {
    sent(sim, 0).iter().filter(|line| line.contains("/provisionInstantItemRecovery -> 202")).count()
}

#[test]
fn a_mount_by_vault_and_id_is_not_made_again_when_its_run_is_applied_again() {
    let mut sim = ready();
    let object = run(&sim, "one", "15m", true);
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    until(&mut sim, "one", "Succeeded");
    delete(&mut sim);
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    sim.run_for(HOUR * 2);
    assert_eq!((mounts(&sim), phase(&sim, "one").as_str()), (1, "AlreadyDone"), "{:#?}", sent(&sim, 0));
}

#[test]
fn a_mount_by_object_is_not_made_again_when_its_run_was_deleted_under_it() {
    let mut sim = ready();
    let object = run(&sim, "one", "8h", false);
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    sim.run_until("its machine knows of it", HOUR * 2, |sim| {
        sim.status("ProtectedMachine", &member(sim, "web-1"))["runs"][0]["job"] == "file-recovery"
    });
    delete(&mut sim);
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
    sim.run_for(HOUR * 9);
    assert_eq!((mounts(&sim), phase(&sim, "one").as_str()), (1, "AlreadyDone"), "{:#?}", sent(&sim, 0));
}

/// As soon as it is over, before the machine's own object has taken its turn.
#[test]
fn a_mount_by_object_is_not_made_again_by_a_run_of_another_name_and_the_same_key() {
    let mut sim = ready();
    sim.cluster.user().apply_object(&run(&sim, "one", "15m", false)).expect("the API server takes it");
    until(&mut sim, "one", "Succeeded");
    delete(&mut sim);
    sim.cluster.user().apply_object(&run(&sim, "again", "15m", false)).expect("the API server takes it");
    sim.run_for(HOUR * 2);
    assert_eq!((mounts(&sim), phase(&sim, "again").as_str()), (1, "AlreadyDone"), "{:#?}", sent(&sim, 0));
}
