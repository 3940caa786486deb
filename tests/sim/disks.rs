//! Which disks are backed up when LUNs are declared and disks move about: those that were meant, and never fewer.

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    manifests::SMALL,
    people::{OPERATOR, by_hand, is_free, member},
};

const GROUP: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute";

/// The small estate, its policy with these disks; win-1 has data disks at LUN 0 and 1.
fn world(disks: &str) -> Simulation {
    let mut sim = Simulation::new(Options::default());
    sim.apply(&SMALL.replace("    - selector:", &format!("    - disks: {disks}\n      selector:")));
    sim.run_until("win-1 is protected, its disks pinned", SignedDuration::from_hours(6), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let points = all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count();
        points == 2 && is_free(sim) && !pins(sim).is_empty()
    });
    sim
}

fn status(sim: &Simulation) -> Value {
    sim.status("ProtectedMachine", &member(sim, "win-1"))
}

/// `(LUN, unique id)` as pinned.
fn pins(sim: &Simulation) -> Vec<(i64, String)> {
    let status = status(sim);
    let all = status["pinnedDisks"]["disks"].as_array().cloned().unwrap_or_default();
    all.iter().map(|d| (d["lun"].as_i64().expect("a lun"), d["uniqueId"].as_str().expect("an id").to_owned())).collect()
}

fn get(sim: &Simulation, id: &str) -> Value {
    let (status, body) = by_hand(sim, OPERATOR, "GET", id, "2024-07-01", Value::Null);
    assert_eq!(status, 200, "{body:#}");
    body
}

/// The LUNs that the item names, and whether they are what it covers.
fn covered(sim: &Simulation) -> (Vec<i64>, bool) {
    let item = status(sim)["itemId"].as_str().expect("an item").to_owned();
    let (_, body) = by_hand(sim, OPERATOR, "GET", &item, "2024-04-01", Value::Null);
    let seen = body.pointer("/properties/extendedProperties/diskExclusionProperties").cloned().unwrap_or_default();
    let luns = seen["diskLunList"].as_array().cloned().unwrap_or_default();
    (luns.iter().filter_map(Value::as_i64).collect(), seen["isInclusionList"] == true)
}

/// Attaches disks of win-1 at other LUNs: who is at `from` goes to `to`.
fn reattach(sim: &mut Simulation, moves: &[(i64, i64)]) {
    let machine = format!("{GROUP}/virtualMachines/win-1");
    let mut disks = get(sim, &machine)["properties"]["storageProfile"]["dataDisks"].as_array().cloned().expect("data disks");
    for disk in &mut disks {
        let lun = disk["lun"].as_i64().expect("a LUN");
        disk["lun"] = json!(moves.iter().find(|(from, _)| *from == lun).map_or(lun, |(_, to)| *to));
    }
    let body = json!({ "properties": { "storageProfile": { "dataDisks": disks } } });
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": machine, "body": body })]);
}

#[test]
fn a_disk_that_is_to_be_backed_up_is_followed_to_another_lun() {
    let mut sim = world("{ include: [0] }");
    let disk =
        get(&sim, &format!("{GROUP}/virtualMachines/win-1"))["properties"]["storageProfile"]["dataDisks"][0]["managedDisk"]["id"].clone();
    let unique = get(&sim, disk.as_str().expect("an id"))["properties"]["uniqueId"].as_str().expect("a unique id").to_owned();
    assert_eq!((pins(&sim), covered(&sim)), (vec![(0, unique.clone())], (vec![0], true)));
    reattach(&mut sim, &[(0, 1), (1, 0)]);
    sim.run_until("both places are covered", SignedDuration::from_hours(2), |sim| covered(sim) == (vec![0, 1], true) && is_free(sim));
    assert_eq!(pins(&sim), [(0, unique)], "what was meant stays meant");
    sim.run_for(SignedDuration::from_hours(4));
    assert!(sim.invariants.rested() > 0);
    // A new process knows it from status, and changes nothing.
    let writes = sim.arm.writes();
    sim.die("for a test");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!((covered(&sim), sim.arm.writes()), ((vec![0, 1], true), writes));
}

#[test]
fn a_disk_in_the_place_of_one_that_is_left_out_is_backed_up() {
    let mut sim = world("{ exclude: [1] }");
    assert_eq!((pins(&sim).len(), covered(&sim)), (1, (vec![1], false)));
    reattach(&mut sim, &[(0, 1), (1, 0)]);
    sim.run_until("all disks are covered", SignedDuration::from_hours(2), |sim| covered(sim).0.is_empty() && is_free(sim));
    let name = member(&sim, "win-1");
    assert_eq!(sim.condition("ProtectedMachine", &name, "DiskNotCovered").0, "False", "{}", sim.tell());
    let writes = sim.arm.writes();
    sim.die("for a test");
    sim.run_for(SignedDuration::from_hours(4));
    assert_eq!((covered(&sim).0.len(), sim.arm.writes()), (0, writes));
    // Back in its place, it is what was meant to be left out: but points of it exist by now, so a person is asked.
    reattach(&mut sim, &[(0, 1), (1, 0)]);
    sim.run_until("a person is asked", SignedDuration::from_hours(2), |sim| {
        status(sim)["questions"].as_array().is_some_and(|q| q.iter().any(|q| q["id"] == "points-expire"))
    });
    assert_eq!((covered(&sim).0.len(), sim.arm.writes()), (0, writes));
}

#[test]
fn where_disks_may_not_be_read_the_luns_count_and_everything_goes_on() {
    let mut sim = Simulation::new(Options::default());
    let denied =
        Fault::Status { status: 403, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    let matches = Match { path: Some("*/Microsoft.Compute/disks/*".into()), ..Match::default() };
    sim.azure.lock().expect("no thread died").faults_mut().add(Rule { id: "no disks".into(), matches, fault: denied });
    sim.apply(&SMALL.replace("    - selector:", "    - disks: { include: [0] }\n      selector:"));
    sim.run_for(SignedDuration::from_hours(6));
    assert_eq!((pins(&sim), covered(&sim)), (vec![], (vec![0], true)));
    assert!(sim.is_ready("ProtectedMachine", &member(&sim, "win-1")), "{}", sim.tell());
    let asked = sim.requests().iter().filter(|line| line.contains("/disks/")).count();
    assert!((1..=80).contains(&asked), "{asked} reads of what is denied in six hours");
}
