//! What the engine does not do yet: tests that fail until it does.

use breakwater_tests::sim::ArmFault;
use jiff::SignedDuration;
use serde_json::json;

use super::stage::{is_free, key, rehearse, sent, world};

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

/// The question that is asked, answered in a word; the world turns on.
fn answered(word: &str) -> breakwater_tests::sim::Simulation {
    let mut sim = world();
    sim.apply_the_rule();
    sim.arm_fault(1, ArmFault::NeverSent);
    rehearse(&sim, json!({ "mark": true }));
    sim.run_until("a person is asked", HOUR, |sim| sim.condition("Rehearsal", "one", "Ready").1 == "OutcomeUnknown");
    let status = sim.status("Rehearsal", "one");
    let asked = status["questions"][0].clone();
    assert_eq!(asked["answers"], json!(["happened", "not-happened"]), "{asked}");
    assert!(asked["id"].as_str().expect("an id").starts_with("outcome-of-"), "{asked}");
    let uid = sim.cluster.live(&key()).and_then(|o| o.metadata.uid.clone()).expect("a uid");
    let approval = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "Approval", "metadata": { "name": "said", "namespace": "shop" },
        "spec": { "targetRef": { "kind": "Rehearsal", "name": "one" }, "targetUid": uid, "question": asked["id"], "digest": asked["digest"],
            "answer": word, "approvedBy": "ann@example.com", "expiresAt": sim.now() + HOUR } });
    sim.cluster.user().apply_object(&approval).expect("the API server takes it");
    sim.run_for(HOUR * 2);
    sim
}

#[test]
fn a_person_says_that_it_happened_and_it_is_never_sent_again() {
    let mut sim = answered("happened");
    assert!(is_free(&sim) && sent(&sim, "PATCH", "/tags/default").is_empty(), "{}", sim.tell());
    assert_ne!(sim.condition("Rehearsal", "one", "Ready").1, "OutcomeUnknown");
    let told = sim.audit.lines().into_iter().filter(|line| line["event"] == "answer used").count();
    assert_eq!(told, 1, "each answer used is in the audit record");
    // Not after an edit either, nor after a death: the word is kept.
    sim.cluster.user().patch(&key(), &json!({ "spec": { "refresh": true } })).unwrap();
    sim.die("to begin anew");
    sim.run_for(HOUR);
    assert!(sent(&sim, "PATCH", "/tags/default").is_empty(), "{}", sim.tell());
}

#[test]
fn a_person_says_that_it_did_not_happen_and_it_is_sent_once_more() {
    let sim = answered("not-happened");
    assert_eq!(sent(&sim, "PATCH", "/tags/default").len(), 1, "{}", sim.tell());
    assert!(is_free(&sim) && sim.is_ready("Rehearsal", "one"), "{}", sim.tell());
    let used = sim.status("Rehearsal", "one")["answered"][0].clone();
    assert_eq!((&used["answer"], &used["by"]), (&json!("not-happened"), &json!("ann@example.com")));
}

#[test]
fn a_word_that_was_not_offered_answers_nothing() {
    let sim = answered("0f3b1c52-0000-4000-8000-000000000000");
    assert_eq!(sim.condition("Rehearsal", "one", "Ready").1, "OutcomeUnknown", "{}", sim.tell());
    assert!(sent(&sim, "PATCH", "/tags/default").is_empty());
}
