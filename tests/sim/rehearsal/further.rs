//! Choices, actions that a field or an operation proves, something to be gone, and everything that a vault holds.

use std::collections::BTreeSet;

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::{Verb, Writer},
    },
    sim::{ArmFault, Simulation},
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    parts::STAMP,
    stage::{all_backed_up_once, azure, is_free, key, operations, person_makes_policy, rehearse, sent, tag, world},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const ARM: [ArmFault; 4] = [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter];
const KUBE: [WriteFault; 4] = [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter];
const VERBS: [Verb; 2] = [Verb::PatchStatus, Verb::PatchMetadata];

/// Plays parts of a rehearsal to their end, without a fault and at every write that is lost or the last.
fn at_every_write(parts: &Value, is_over: impl Fn(&Simulation) -> bool, holds: impl Fn(&Simulation, &str)) {
    let mut sim = world();
    let before = sim.arm.writes();
    rehearse(&sim, parts.clone());
    sim.run_until("the fault-free run", HOUR * 8, |sim| is_over(sim));
    holds(&sim, "without faults");
    let arm = sim.arm.writes() - before;
    let kube = VERBS.map(|verb| (verb, sim.cluster.writes_of(verb, "Rehearsal")));
    assert!(arm >= 1 && kube[0].1 >= 2, "{arm} writes to Azure, {kube:?} to Kubernetes");
    let play = |what: String, set: &dyn Fn(&Simulation)| {
        let mut sim = world();
        set(&sim);
        rehearse(&sim, parts.clone());
        sim.run_until(&what, HOUR * 8, |sim| is_over(sim));
        holds(&sim, &what);
        assert!(sim.steps < 1000, "{what}: a storm of {} steps", sim.steps);
    };
    for nth in 1..=arm {
        for fault in ARM {
            play(format!("write {nth} to Azure, {fault:?}"), &|sim| sim.arm_fault(nth, fault));
        }
    }
    for (verb, count) in kube {
        for n in 1..=count {
            for fault in KUBE {
                let strike = || Strike::NthOf { verb, kind: "Rehearsal".into(), n };
                play(format!("{verb:?} {n}, {fault:?}"), &|sim| {
                    sim.cluster_faults(FaultPlan::seeded(1).with(strike(), fault.clone()));
                });
            }
        }
    }
}

fn chosen(sim: &Simulation) -> Option<String> {
    sim.status("Rehearsal", "one").pointer(&format!("/choices/{STAMP}"))?.as_str().map(str::to_owned)
}

#[test]
fn a_choice_is_made_once_and_saved_before_it_is_used() {
    let is_over = |sim: &Simulation| chosen(sim).is_some() && tag(sim, "chosen") == chosen(sim) && is_free(sim);
    at_every_write(&json!({ "choose": true }), is_over, |sim, what| {
        let saved: Vec<(jiff::Timestamp, String)> = sim
            .cluster
            .write_log(0)
            .iter()
            .filter(|w| w.writer == Writer::Operator && w.key == key())
            .filter_map(|w| Some((w.at, w.after.as_ref()?.value.pointer(&format!("/status/choices/{STAMP}"))?.as_str()?.to_owned())))
            .collect();
        let values: BTreeSet<&String> = saved.iter().map(|(_, value)| value).collect();
        assert_eq!(values.len(), 1, "{what}: chosen anew: {values:?}");
        for request in sent(sim, "PATCH", "/tags/default") {
            assert_eq!(request.body.pointer("/properties/tags/chosen").and_then(Value::as_str), Some(saved[0].1.as_str()), "{what}");
            assert!(request.time >= saved[0].0, "{what}: used before it was saved");
        }
    });
}

#[test]
fn an_action_that_its_field_proves_is_never_sent_twice() {
    let asks = |sim: &Simulation| sim.condition("Rehearsal", "one", "Ready").1 == "OutcomeUnknown";
    let is_over = move |sim: &Simulation| (tag(sim, "marked").is_some() && is_free(sim)) || asks(sim);
    at_every_write(&json!({ "mark": true }), is_over, |sim, what| {
        let left = sent(sim, "PATCH", "/tags/default").len();
        let asks = sim.condition("Rehearsal", "one", "Ready").1 == "OutcomeUnknown";
        assert_eq!(left, usize::from(!asks), "{what}: {}", sim.tell());
        assert!(!asks || operations(sim).len() == 1, "{what}: what nobody knows stays on record");
    });
}

#[test]
fn everything_that_a_vault_holds_is_acted_on_once_each() {
    let is_over = |sim: &Simulation| {
        let jobs = sim.status("Rehearsal", "one")["jobs"].as_object().map_or(0, serde_json::Map::len);
        jobs == 2 && is_free(sim)
    };
    at_every_write(&json!({ "backUpAll": true }), is_over, all_backed_up_once);
}

#[test]
fn what_is_to_be_gone_is_gone_only_when_a_read_says_so() {
    let mut sim = world();
    let spare = person_makes_policy(&sim, "spare");
    rehearse(&sim, json!({ "remove": spare }));
    sim.run_for(SignedDuration::from_mins(30));
    let (ready, reason, message) = sim.condition("Rehearsal", "one", "Ready");
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "AccessDenied"), "{message}");
    assert!(message.contains("Delete") && message.contains("spare"), "{message}");
    assert!(sim.status("Rehearsal", "one")["removed"].is_null(), "{}", sim.tell());
    // A right that is lost, or an answer that is no answer, is no absence.
    let matches = Match { path: Some("*/backupPolicies/spare".into()), ..Match::default() };
    let fault = Fault::Status { status: 403, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    azure(&sim).faults_mut().add(Rule { id: "right".into(), matches, fault });
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": spare })]);
    sim.run_for(HOUR * 2);
    assert!(sim.status("Rehearsal", "one")["removed"].is_null(), "{}", sim.tell());
    azure(&sim).faults_mut().clear();
    sim.run_until("a read says so", HOUR * 2, |sim| sim.is_ready("Rehearsal", "one"));
    assert_eq!(sim.status("Rehearsal", "one")["removed"], json!(spare));
    assert!(operations(&sim).is_empty() && sent(&sim, "DELETE", "spare").is_empty(), "{}", sim.tell());
}
