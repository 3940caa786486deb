//! What the engine does not do yet: tests that fail until it does.

use breakwater_tests::sim::ArmFault;
use jiff::SignedDuration;
use serde_json::json;

use super::stage::{is_free, rehearse, sent, world};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn an_operation_that_proves_itself_is_sent_once_and_then_known_to_have_happened() {
    let mut sim = world();
    rehearse(&sim, json!({ "refresh": true }));
    sim.run_for(HOUR);
    let sent = sent(&sim, "POST", "/refreshcontainers");
    assert_eq!(sent.len(), 1, "{:?}", sent.iter().map(|e| e.time).take(5).collect::<Vec<_>>());
    assert!(sim.status("Rehearsal", "one")["refreshed"].is_string() && is_free(&sim), "{}", sim.tell());
}

#[test]
fn a_question_to_a_person_names_the_act() {
    let mut sim = world();
    sim.arm_fault(1, ArmFault::NeverSent);
    rehearse(&sim, json!({ "mark": true }));
    sim.run_until("a person is asked", HOUR, |sim| sim.condition("Rehearsal", "one", "Ready").1 == "OutcomeUnknown");
    let (_, _, message) = sim.condition("Rehearsal", "one", "Ready");
    assert_eq!(sim.condition("Rehearsal", "one", "Stalled").0, "True");
    assert!(message.contains("PATCH") && message.contains("/tags/default"), "which act? {message}");
}
