//! The mark of a restore: what was made tells for which key, when Azure has forgotten the job and the cluster is another one.

use breakwater_arm::names::TAG_RESTORE;
use breakwater_tests::sim::{ArmFault, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    azures_words::{answer, fault},
    people::{PERSON, by_hand, edit, key, sent, taken_over},
    restores::{declare, disks, manifest, new_machine, phase, ready, until},
};

const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const COPY: &str = "web-1-restored";

/// The marks that were written since, each as it went out.
fn marks(sim: &Simulation, since: usize) -> Vec<String> {
    sent(sim, since).into_iter().filter(|line| line.contains("/tags/default")).collect()
}

fn restores(sim: &Simulation, since: usize) -> usize {
    sim.requests().iter().skip(since).filter(|line| line.contains("/restore -> 202")).count()
}

fn copy() -> String {
    format!("{GROUPS}/rg-restore/providers/Microsoft.Compute/virtualMachines/{COPY}")
}

/// The tags of a resource, in the form that requests give them.
fn tags(sim: &Simulation, id: &str) -> Value {
    let version = if id.contains("/disks/") { "2025-01-02" } else { "2024-07-01" };
    by_hand(sim, PERSON, "GET", id, version, Value::Null).1["tags"].clone()
}

/// Those of what a run made that bear its mark.
fn bearers(sim: &Simulation, name: &str) -> Vec<String> {
    let status = sim.status("RestoreRun", name);
    let made = status["made"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str().map(str::to_owned));
    made.filter(|id| !id.contains("/networkInterfaces/") && tags(sim, id)[TAG_RESTORE] == status["key"]).collect()
}

/// Another cluster takes the vault over, long after Azure has forgotten the jobs of before.
fn much_later(sim: &mut Simulation) {
    taken_over(sim, &manifest(), HOUR * 24 * 32);
}

#[test]
fn what_was_restored_before_azure_and_the_cluster_forgot_it_is_not_restored_again() {
    let mut sim = ready();
    let from = sim.requests().len();
    declare(&sim, "machine", new_machine(COPY), json!({ "key": "incident-7" }));
    declare(&sim, "disks", disks(), json!({ "key": "incident-7-disks" }));
    until(&mut sim, "machine", "Succeeded");
    until(&mut sim, "disks", "Succeeded");
    assert_eq!((bearers(&sim, "machine"), bearers(&sim, "disks").len()), (vec![copy()], 1), "{:#?}", sent(&sim, from));
    assert_eq!((restores(&sim, from), marks(&sim, from).len()), (2, 2), "{:#?}", sent(&sim, from));
    much_later(&mut sim);
    let from = sim.requests().len();
    declare(&sim, "machine", new_machine(COPY), json!({ "key": "incident-7" }));
    declare(&sim, "by-another-name", disks(), json!({ "key": "incident-7-disks" }));
    for name in ["machine", "by-another-name"] {
        until(&mut sim, name, "AlreadyDone");
        let (status, reason, told) = sim.condition("RestoreRun", name, "Ready");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "AlreadyDone"), "{}", sim.tell());
        assert!(told.contains(TAG_RESTORE) && told.contains("/rg-restore/"), "{told}");
        assert!(sim.status("RestoreRun", name)["choices"].is_null(), "it chose nothing: {}", sim.tell());
    }
    assert_eq!(sent(&sim, from), Vec::<String>::new());
    // Another key is another restore.
    declare(&sim, "another-key", disks(), json!({ "key": "incident-8" }));
    until(&mut sim, "another-key", "Succeeded");
    assert_eq!(restores(&sim, from), 1, "{:#?}", sent(&sim, from));
}

#[test]
fn a_mark_of_another_key_means_nothing() {
    let mut sim = ready();
    declare(&sim, "disks", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "disks", "Succeeded");
    let bearer = bearers(&sim, "disks").remove(0);
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": bearer, "body": { "tags": { TAG_RESTORE: "f".repeat(32) } } })]);
    let from = sim.requests().len();
    declare(&sim, "others", disks(), json!({ "key": "incident-8" }));
    until(&mut sim, "others", "Succeeded");
    assert_eq!((restores(&sim, from), tags(&sim, &bearer)[TAG_RESTORE].clone()), (1, json!("f".repeat(32))), "somebody's disk is let be");
}

#[test]
fn a_mark_that_somebody_put_on_a_disk_of_his_own_means_nothing() {
    let mut sim = ready();
    declare(&sim, "one", disks(), json!({ "mode": "Plan" }));
    sim.run_until("its key", HOUR, |sim| sim.status("RestoreRun", "one")["key"].is_string());
    let forged = format!("{GROUPS}/rg-restore/providers/Microsoft.Compute/disks/mine");
    let body = json!({ "location": "westeurope", "sku": { "name": "Standard_LRS" }, "tags": { TAG_RESTORE: sim.status("RestoreRun", "one")["key"] },
        "properties": { "creationData": { "createOption": "Empty" }, "diskSizeGB": 4 } });
    sim.behind_our_back(&[json!({ "method": "PUT", "id": forged, "body": body })]);
    let from = sim.requests().len();
    edit(&sim, "RestoreRun", "one", json!({ "mode": "Manage" }));
    until(&mut sim, "one", "Succeeded");
    assert_eq!(restores(&sim, from), 1, "{:#?}", sent(&sim, from));
}

#[test]
fn a_restore_whose_mark_azure_refuses_is_done_all_the_same_and_says_so() {
    let mut sim = ready();
    fault(&sim, "PATCH", "*/tags/default", answer(403, "AuthorizationFailed", "no right to perform 'Microsoft.Resources/tags/write'"));
    declare(&sim, "one", new_machine(COPY), json!({}));
    until(&mut sim, "one", "Succeeded");
    let (ready, _, told) = sim.condition("RestoreRun", "one", "Ready");
    assert!(ready == "True" && told.contains("does not bear the tag") && told.contains("tags/write"), "{told}");
    let from = sim.requests().len();
    sim.run_for(HOUR * 2);
    assert_eq!(sent(&sim, from), Vec::<String>::new(), "it is over");
}

#[test]
fn one_mark_is_written_though_an_answer_is_lost_or_the_process_dies() {
    for lost in [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter] {
        let mut sim = ready();
        let from = sim.requests().len();
        declare(&sim, "one", new_machine(COPY), json!({}));
        // Its second write is the mark.
        sim.arm_fault(2, lost);
        until(&mut sim, "one", "Succeeded");
        assert_eq!(restores(&sim, from), 1, "{lost:?}: {:#?}", sent(&sim, from));
        assert_eq!(bearers(&sim, "one"), vec![copy()], "{lost:?}: {:#?}", sent(&sim, from));
    }
}

#[test]
fn a_run_that_is_deleted_before_its_mark_leaves_what_it_made() {
    let mut sim = ready();
    declare(&sim, "one", new_machine(COPY), json!({}));
    sim.run_until("it runs", HOUR, |sim| phase(sim, "one") == "Running");
    sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
    sim.run_for(HOUR * 6);
    assert_eq!(tags(&sim, &copy()).get(TAG_RESTORE), None, "who is gone marks nothing");
    assert_eq!(by_hand(&sim, PERSON, "GET", &copy(), "2024-07-01", Value::Null).0, 200);
}
