//! What nobody knows the outcome of, while something stands in the way: held up, too late, or another's by now.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::Verb,
    },
    sim::Simulation,
};
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    backup_runs::{backups, declare, phase, ready, taken_and_not_seen, until},
    people::{answer, member, sent, wants},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The vault itself cannot be read, as long as this rule stands.
const UNREADABLE: &str = "the vault cannot be read";

fn unreadable(sim: &Simulation) {
    let fault = Fault::Status { status: 503, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    let matches = Match { method: Some("GET".into()), path: Some("*/vaults/rv-shop-weu".into()), ..Match::default() };
    let rule = Rule { id: UNREADABLE.into(), matches, fault };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
}

fn well_again(sim: &Simulation, rules: &[&str]) {
    let mut azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    for rule in rules {
        assert!(azure.faults_mut().remove(rule), "{rule}");
    }
}

#[test]
fn an_unknown_outcome_outlasts_a_turn_that_cannot_say_what_should_be() {
    let mut sim = ready();
    let from = sim.requests().len();
    taken_and_not_seen(&mut sim, 200.0);
    unreadable(&sim);
    sim.die("restarted");
    sim.run_for(HOUR / 3);
    well_again(&sim, &[UNREADABLE]);
    sim.run_for(HOUR * 2);
    assert_eq!(backups(&sim, from), 1, "{}", sim.tell());
    assert_eq!(sim.condition("BackupRun", "one", "Ready").1, "OutcomeUnknown", "{}", sim.tell());
}

#[test]
fn a_run_whose_time_is_over_is_asked_about_all_the_same_and_ends_by_the_answer() {
    let mut sim = ready();
    let asks = taken_and_not_seen(&mut sim, 200.0);
    sim.run_for(HOUR * 3);
    assert_eq!(sim.condition("BackupRun", "one", "Ready").1, "OutcomeUnknown", "{}", sim.tell());
    answer(&sim, ("BackupRun", "one"), &asks, "not-happened");
    sim.run_until("it is over", HOUR, |sim| phase(sim, "one") == "Expired");
    let used = sim.audit.lines().iter().any(|line| line["event"] == "answer used" && line["kind"] == "BackupRun");
    assert!(used, "the answer is in the audit record");
    // Nothing of it stands in the way of another.
    well_again(&sim, &["forgets", "late"]);
    declare(&sim, "two", json!({}));
    until(&mut sim, "two", "Succeeded");
}

#[test]
fn an_intent_that_was_not_saved_once_is_tried_again_at_once() {
    let mut sim = ready();
    let web = member(&sim, "web-1");
    let from = sim.requests().len();
    let first = Strike::NthOf { verb: Verb::PatchStatus, kind: "ProtectedMachine".into(), n: 1 };
    sim.cluster_faults(FaultPlan::seeded(1).with(first, WriteFault::NeverSent));
    wants(&sim, &web, "Stopped");
    // Nothing else wakes it: its own status does not.
    sim.run_until("it is sent", SignedDuration::from_mins(2), |sim| sent(sim, from).iter().any(|line| line.contains(" PUT ")));
}
