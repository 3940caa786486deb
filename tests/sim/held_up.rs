//! What got no answer, was refused, or came too late holds up nobody: neither the machine's lock, nor its restores, nor a namespace.

use azure_sim::faults::{Fault, Shape, When};
use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    azures_words::{answer, fault, mended},
    files::mounted,
    people::{self as person, PERSON, asked, by_hand, edit, key, member},
    restores::{declare, disks, ready, replace, run_to, until},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const ITEM: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;rg-shop;web-1/protectedItems/VM;iaasvmcontainerv2;rg-shop;web-1";

fn puts(sim: &Simulation, since: usize) -> usize {
    sim.requests().iter().skip(since).filter(|line| line.contains(" PUT ") && line.contains(";web-1")).count()
}

#[test]
fn a_machine_whose_undeletion_got_no_answer_can_be_restored() {
    let mut sim = ready();
    let name = member(&sim, "web-1");
    let (status, body) = by_hand(&sim, PERSON, "DELETE", ITEM, "2024-04-01", Value::Null);
    assert_eq!(status, 202, "{body:#}");
    // Its end comes while nobody looks.
    sim.clock.advance(std::time::Duration::from_secs(60));
    sim.azure.lock().expect("no thread died").advance(sim.now());
    sim.behind_our_back(&[]);
    sim.run_until("it is seen", HOUR * 2, |sim| sim.condition("ProtectedMachine", &name, "Ready").1 == "SoftDeleted");
    fault(&sim, "PUT", "*;web-1", Fault::DropAfterApply);
    edit(&sim, "ProtectedMachine", &name, json!({ "undelete": true }));
    sim.run_until("it is stopped", HOUR, |sim| sim.condition("ProtectedMachine", &name, "Ready").1 == "ProtectionStopped");
    mended(&sim);
    declare(&sim, "one", disks(), json!({}));
    until(&mut sim, "one", "Succeeded");
}

#[test]
fn what_azure_never_answers_is_sent_ever_more_slowly_and_holds_up_no_restore() {
    let mut sim = ready();
    sim.apply_the_rule();
    let name = member(&sim, "web-1");
    sim.run_for(SignedDuration::from_mins(5));
    let broken = Fault::Status { status: 500, retry_after: None, body: Shape::Empty, code: None, message: None, when: When::BeforeApply };
    fault(&sim, "PUT", "*;web-1", broken);
    let from = sim.requests().len();
    edit(&sim, "ProtectedMachine", &name, json!({ "disks": { "osOnly": true } }));
    let asks = asked(&mut sim, "ProtectedMachine", &name, "points-expire");
    person::answer(&sim, ("ProtectedMachine", &name), &asks, "approve");
    sim.run_for(HOUR);
    declare(&sim, "one", disks(), json!({}));
    until(&mut sim, "one", "Succeeded");
    let sent = puts(&sim, from);
    assert!((5..=10).contains(&sent), "{sent} requests in more than an hour");
    mended(&sim);
    sim.run_until("it is done at last", HOUR, |sim| sim.is_ready("ProtectedMachine", &name));
}

#[test]
fn a_retry_that_may_not_be_sent_any_more_holds_up_no_restore() {
    let mut sim = ready();
    let name = member(&sim, "web-1");
    sim.apply_the_rule();
    let from = sim.requests().len();
    fault(&sim, "PUT", "*;web-1", answer(409, "UserErrorConflict", "Another operation is in progress."));
    edit(&sim, "ProtectedMachine", &name, json!({ "disks": { "osOnly": true } }));
    let asks = asked(&mut sim, "ProtectedMachine", &name, "points-expire");
    person::answer(&sim, ("ProtectedMachine", &name), &asks, "approve");
    sim.run_until("it is sent", HOUR, |sim| puts(sim, from) > 0);
    sim.run_for(SignedDuration::from_secs(2));
    mended(&sim);
    let access = sim.cluster.live(&breakwater_engine::ports::ObjectKey { namespace: String::new(), ..key("AzureAccess", "shop") });
    let mut allow = access.expect("it is there").data["spec"]["allow"].clone();
    let acts = allow[0]["acts"].as_array_mut().expect("acts");
    acts.retain(|act| act != "Protect" && act != "Delete");
    crate::whose::edit_access(&sim, allow);
    sim.run_for(HOUR);
    declare(&sim, "one", disks(), json!({}));
    until(&mut sim, "one", "Succeeded");
}

#[test]
fn a_machine_that_was_stopped_in_time_gets_its_disks_though_the_time_is_over_by_then() {
    let mut sim = ready();
    let (to, mut more) = replace(&sim, json!({}));
    // Time enough to look at everything and to stop it, and not for that to end.
    let expires = sim.now() + SignedDuration::from_secs(105);
    more["expiresAt"] = json!(expires);
    declare(&sim, "one", to, more);
    until(&mut sim, "one", "Succeeded");
    let sent = |what: &str| -> jiff::Timestamp {
        let line = sim.requests().into_iter().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no {what}: {}", sim.tell()));
        line.split(' ').next().and_then(|at| at.parse().ok()).expect("a time")
    };
    assert!(sent("/deallocate -> 202") < expires && sent("/restore -> 202") > expires, "{}", sim.tell());
}

#[test]
fn a_mount_that_nobody_could_close_is_over_when_azure_has_ended_it() {
    let mut sim = mounted("8h");
    sim.cluster.user().delete(&breakwater_engine::ports::ObjectKey { namespace: String::new(), ..key("AzureAccess", "shop") }).unwrap();
    sim.cluster.user().delete(&key("RestoreRun", "one")).unwrap();
    sim.run_for(HOUR * 10);
    assert!(sim.cluster.live(&key("RestoreRun", "one")).is_some(), "it may be open still: {}", sim.tell());
    sim.run_until("it is gone", HOUR * 5, |sim| sim.cluster.live(&key("RestoreRun", "one")).is_none());
    assert!(sim.cluster.live(&key("Secret", "files")).is_none(), "{}", sim.tell());
}

/// For us it is gone, whatever others still have to do with it.
#[test]
fn a_deleted_run_that_somebody_else_holds_keeps_no_machine() {
    let mut sim = ready();
    let mut run = run_to(&sim, "held", disks(), json!({}));
    run["metadata"]["finalizers"] = json!(["example.com/hold"]);
    sim.cluster.user().apply_object(&run).expect("the API server takes it");
    sim.run_until("it is begun", HOUR, |sim| sim.status("RestoreRun", "held")["operations"][0]["intentAt"].is_string());
    // Azure works on it for a day.
    fault(&sim, "GET", "*/backupJobs*", answer(503, "ServiceUnavailable", "try later"));
    fault(&sim, "GET", "*/backupOperations/*", answer(503, "ServiceUnavailable", "try later"));
    sim.cluster.user().delete(&key("RestoreRun", "held")).expect("it is there");
    sim.run_for(SignedDuration::from_mins(20));
    mended(&sim);
    sim.die("and the next one reads what it left");
    declare(&sim, "another", disks(), json!({}));
    until(&mut sim, "another", "Succeeded");
    let held = sim.cluster.live(&key("RestoreRun", "held")).expect("somebody holds it");
    assert_eq!(held.metadata.finalizers.clone().unwrap_or_default(), ["example.com/hold"]);
}
