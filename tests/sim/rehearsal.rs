//! What no shipped kind uses yet, and later ones are made of: an ask whose answer fills a request, a debt that is paid
//! whatever happens, and an action that counts only when it is ours.

mod further;
mod kind;
mod parts;
mod questions;
mod stage;

use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::{Verb, Writer},
    },
    sim::{ArmFault, Simulation},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stage::{
    ANSWER, after, backed_up_once, is_free, is_gone, job, key, machine, operations, person_backs_up, person_tags, refuse_tags, rehearse,
    sent, tag, world,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// All three parts at once; answers until when it lends.
fn everything(sim: &Simulation) -> Timestamp {
    let until = after(sim, 30);
    rehearse(sim, json!({ "answerOf": machine("off-1"), "lentUntil": until, "backUp": machine("web-1") }));
    until
}

/// All that `everything` declares is so, and nothing is open.
fn is_over(sim: &Simulation, until: Timestamp) -> bool {
    let lent = tag(sim, "lent").is_some_and(|t| t == "no");
    sim.now() >= until && lent && tag(sim, "answer").as_deref() == Some(ANSWER) && job(sim).is_some() && is_free(sim)
}

/// Lends until an hour from now, and waits until it is open.
fn lends() -> (Simulation, Timestamp) {
    let mut sim = world();
    let until = after(&sim, 60);
    rehearse(&sim, json!({ "lentUntil": until }));
    sim.run_until("it is open", SignedDuration::from_mins(5), |sim| {
        tag(sim, "lent").as_deref() == Some("yes") && operations(sim).iter().any(|o| o["endedAt"].is_string())
    });
    (sim, until)
}

fn is_closed(sim: &Simulation) -> bool {
    tag(sim, "lent").as_deref() == Some("no")
}

#[test]
fn an_answer_is_filled_in_at_send_and_is_kept_nowhere() {
    let mut sim = world();
    rehearse(&sim, json!({ "answerOf": machine("off-1") }));
    sim.run_until("the answer is a tag", HOUR, |sim| tag(sim, "answer").as_deref() == Some(ANSWER) && is_free(sim));
    assert!(!sim.cluster.dump().contains(ANSWER));
    let told = |body: &Value| body.to_string().contains(ANSWER);
    let log = sim.cluster.write_log(0);
    assert!(log.iter().any(|w| w.writer == Writer::Operator && w.body.to_string().contains("clientRequestId")));
    assert!(log.iter().all(|w| !told(&w.body)), "a status or an intent holds it");
    assert!(!sim.audit.lines().iter().any(told));
    assert_eq!(sent(&sim, "PATCH", "/tags/default").iter().filter(|e| told(&e.body)).count(), 1);
}

#[test]
fn each_part_happens_once_at_every_write_to_azure_that_is_lost_or_the_last() {
    let mut sim = world();
    let before = sim.arm.writes();
    let until = everything(&sim);
    sim.run_until("the fault-free run", HOUR * 8, |sim| is_over(sim, until));
    assert_eq!(sim.arm.writes() - before, 4, "answer, open, back up, close: {:#?}", sim.requests());
    for nth in 1..=4 {
        for fault in [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter] {
            let (what, mut sim) = (format!("write {nth} to Azure, {fault:?}"), world());
            sim.arm_fault(nth, fault);
            let until = everything(&sim);
            sim.run_until(&what, HOUR * 8, |sim| is_over(sim, until));
            assert_eq!(sim.deaths() > 0, matches!(fault, ArmFault::DiesBefore | ArmFault::DiesAfter), "{what}: not played");
            backed_up_once(&sim, "web-1", &what);
            assert!(sim.steps < 1000, "{what}: a storm of {} steps", sim.steps);
        }
    }
}

/// How often a rehearsal is written without faults, by verb.
fn writes() -> Vec<(Verb, u64)> {
    let mut sim = world();
    let until = everything(&sim);
    sim.run_until("the fault-free run", HOUR * 8, |sim| is_over(sim, until));
    [Verb::PatchStatus, Verb::PatchMetadata].map(|verb| (verb, sim.cluster.writes_of(verb, "Rehearsal"))).into()
}

#[test]
fn each_part_happens_once_at_every_write_to_kubernetes_that_is_lost_or_the_last() {
    for (verb, count) in writes() {
        assert!(count >= 2, "{verb:?}: {count}");
        for n in 1..=count {
            for fault in [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter] {
                let (what, mut sim) = (format!("{verb:?} {n}, {fault:?}"), world());
                let strike = Strike::NthOf { verb, kind: "Rehearsal".into(), n };
                sim.cluster_faults(FaultPlan::seeded(1).with(strike, fault.clone()));
                let until = everything(&sim);
                sim.run_until(&what, HOUR * 8, |sim| is_over(sim, until));
                backed_up_once(&sim, "web-1", &what);
                assert!(sim.steps < 1000, "{what}: a storm of {} steps", sim.steps);
            }
        }
    }
}

#[test]
fn somebody_elses_backup_that_runs_already_does_not_count() {
    let mut sim = world();
    person_backs_up(&sim, "web-1");
    rehearse(&sim, json!({ "backUp": machine("web-1") }));
    sim.run_until("ours is over too", HOUR * 12, |sim| job(sim).is_some() && is_free(sim));
    backed_up_once(&sim, "web-1", "after somebody else's");
}

#[test]
fn somebody_elses_backup_between_our_intent_and_our_request_does_not_count() {
    for fault in [ArmFault::NeverSent, ArmFault::DiesBefore] {
        let (what, mut sim) = (format!("{fault:?}"), world());
        let before = sim.arm.writes();
        sim.arm_fault(1, fault);
        rehearse(&sim, json!({ "backUp": machine("web-1") }));
        sim.run_until(&what, HOUR, |sim| sim.arm.writes() > before);
        assert!(sent(&sim, "POST", "/backup").is_empty() && operations(&sim).len() == 1, "{what}");
        person_backs_up(&sim, "web-1");
        sim.run_until(&what, HOUR * 12, |sim| job(sim).is_some() && is_free(sim));
        backed_up_once(&sim, "web-1", &what);
    }
}

#[test]
fn an_object_made_anew_finds_its_backup_and_starts_no_other() {
    for fault in [ArmFault::DiesAfter, ArmFault::AnswerLost] {
        let (what, mut sim) = (format!("{fault:?}"), world());
        let before = sim.arm.writes();
        sim.arm_fault(1, fault);
        rehearse(&sim, json!({ "backUp": machine("web-1") }));
        sim.run_until(&what, HOUR, |sim| sim.arm.writes() > before);
        sim.cluster.user().delete(&key()).expect("it is there");
        sim.run_until("it is gone", HOUR * 8, |sim| is_gone(sim));
        rehearse(&sim, json!({ "backUp": machine("web-1") }));
        sim.run_until("it finds its job", HOUR * 8, |sim| job(sim).is_some() && is_free(sim));
        backed_up_once(&sim, "web-1", &what);
    }
}

#[test]
fn what_is_lent_is_closed_in_time() {
    let (mut sim, until) = lends();
    assert_eq!(sim.condition("Rehearsal", "one", "DebtOutstanding").1, "DebtOpen", "{}", sim.tell());
    sim.run_for(until.duration_since(sim.now()) - SignedDuration::from_secs(1));
    assert!(!is_closed(&sim), "closed too early: {}", sim.tell());
    sim.run_until("it is closed", SignedDuration::from_secs(5), |sim| is_closed(sim));
    sim.run_for(HOUR * 2);
    assert!(is_free(&sim) && sent(&sim, "PATCH", "/tags/default").len() == 2, "{}", sim.tell());
}

#[test]
fn what_is_lent_is_closed_when_the_object_is_paused() {
    for pause in [json!({ "suspend": true }), json!({ "mode": "Plan" }), json!({ "mode": "Observe" })] {
        let (mut sim, _) = lends();
        sim.cluster.user().patch(&key(), &json!({ "spec": pause })).expect("it is there");
        sim.run_until(&format!("{pause}"), SignedDuration::from_secs(5), |sim| is_closed(sim));
        sim.run_for(HOUR * 2);
        assert_eq!(sent(&sim, "PATCH", "/tags/default").len(), 2, "{pause}: {}", sim.tell());
        assert!(operations(&sim).is_empty(), "{pause}: {}", sim.tell());
    }
}

#[test]
fn a_deleted_object_stays_until_its_debt_is_paid() {
    let (mut sim, until) = lends();
    refuse_tags(&sim, 503, 3);
    sim.cluster.user().delete(&key()).expect("it is there");
    sim.run_for(SignedDuration::from_secs(2));
    assert!(!is_gone(&sim) && !is_closed(&sim), "{}", sim.tell());
    sim.run_until("it is gone", SignedDuration::from_mins(10), |sim| is_gone(sim));
    assert!(is_closed(&sim) && sim.now() < until, "{}", sim.tell());
}

#[test]
fn an_overdue_debt_is_paid_first_after_a_restart_whatever_the_spec_says_by_then() {
    for spec in [json!({}), json!({ "policy": "gone" }), json!({ "lentUntil": null })] {
        let (mut sim, until) = lends();
        sim.die("for three hours");
        sim.cluster.user().patch(&key(), &json!({ "spec": spec })).expect("it is there");
        sim.clock.set(until + HOUR * 2);
        // Every object takes one turn before any takes a second.
        let (steps, turns) = (sim.steps, sim.due().len() as u64 + 1);
        sim.run_until(&format!("{spec}"), SignedDuration::from_secs(5), |sim| is_closed(sim));
        assert!(sim.steps - steps <= turns, "{spec}: not in its first turn, but after {} of {turns}", sim.steps - steps);
        sim.run_for(HOUR);
        assert_eq!(sent(&sim, "PATCH", "/tags/default").len(), 2, "{spec}: {:#?}", sim.requests());
    }
}

#[test]
fn a_closing_that_takes_its_time_is_followed_to_its_end_also_by_the_next_process() {
    for dies in [false, true] {
        let mut sim = world();
        let until = after(&sim, 10);
        rehearse(&sim, json!({ "lentUntil": until, "slowReturn": true }));
        let closing = |sim: &Simulation| operations(sim).iter().any(|o| o["debt"]["closing"]["id"].is_string());
        sim.run_until("Azure has taken the closing", HOUR, |sim| closing(sim));
        assert!(!is_free(&sim) && sim.now() >= until, "{}", sim.tell());
        if dies {
            sim.die("while it is being closed");
        }
        sim.run_until("it is over", HOUR, |sim| is_free(sim));
        assert_eq!(sent(&sim, "POST", "/refreshcontainers").len(), 1, "dies: {dies}: {}", sim.tell());
    }
}

#[test]
fn what_somebody_else_opened_is_neither_opened_nor_closed() {
    let mut sim = world();
    person_tags(&sim, "lent", "yes");
    rehearse(&sim, json!({ "lentUntil": after(&sim, 30) }));
    sim.run_for(SignedDuration::from_mins(20));
    assert_eq!(sim.condition("Rehearsal", "one", "Ready").1, "NotOurs", "{}", sim.tell());
    sim.run_for(HOUR);
    assert!(sent(&sim, "PATCH", "/tags/default").is_empty() && !is_closed(&sim), "{}", sim.tell());
}

#[test]
fn an_opening_that_azure_refuses_is_no_debt_and_no_storm() {
    let mut sim = world();
    let steps = sim.steps;
    refuse_tags(&sim, 409, 1);
    rehearse(&sim, json!({ "lentUntil": after(&sim, 60) }));
    sim.run_for(SignedDuration::from_mins(30));
    assert!(sim.steps - steps < 1000, "{} steps in half an hour: {}", sim.steps - steps, sim.tell());
    sim.run_until("it was opened after all, or never, and is closed", HOUR * 2, |sim| is_free(sim));
    assert_ne!(tag(&sim, "lent").as_deref(), Some("yes"), "{}", sim.tell());
}
