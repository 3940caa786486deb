//! Leadership is lost between any two steps of the main job, and a process that stood still wakes with what it had in hand:
//! another one has gone on meanwhile, and nothing is done twice or undone.

use breakwater_engine::ports::Leadership;
use breakwater_tests::{
    halt::Incident,
    sim::{ArmFault, Simulation},
};
use jiff::SignedDuration;

use crate::one::{done, until_done, world, writes};

/// How long the new leader works before the old one wakes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wakes {
    /// As soon as the lease was taken.
    Soon,
    /// When an answer that was lost has been looked for long enough.
    Settled,
    /// When everything is done.
    Late,
}

/// How many steps the main job takes: reads, tokens, writes to Azure and to Kubernetes.
fn steps() -> u64 {
    let mut sim = world();
    until_done(&mut sim, "the fault-free run");
    sim.arm.halt().steps()
}

/// Lets the new leader work for a while, then wakes the old one, and ends the job.
fn wakes(sim: &mut Simulation, what: &str, when: Wakes) {
    match when {
        Wakes::Soon => sim.run_for(SignedDuration::from_secs(20)),
        Wakes::Settled => sim.run_for(SignedDuration::from_mins(7)),
        Wakes::Late => until_done(sim, what),
    }
    sim.wake();
    until_done(sim, what);
    sim.run_for(SignedDuration::from_mins(30));
    assert!(done(sim), "{what}: {}", sim.tell());
}

/// One run in which the process stands still before that step.
fn stands_still(step: u64, when: Wakes) {
    let (what, mut sim) = (format!("it stands still before step {step}, and wakes {when:?}"), world());
    sim.arm.halt().at(step, Incident::StandsStill);
    sim.run_until(&what, SignedDuration::from_hours(8), |sim| sim.has_sleeper() || done(sim));
    assert!(sim.has_sleeper(), "{what}: it never came to that");
    wakes(&mut sim, &what, when);
}

/// Each step is tried with one of the three times, turn and turn about; half of the steps, so that two threads share them.
fn every_step(part: u64) {
    let steps = steps();
    assert!(steps > 60, "{steps} steps");
    for step in (1..=steps).filter(|step| step % 2 == part) {
        stands_still(step, [Wakes::Soon, Wakes::Settled, Wakes::Late][(step / 2 % 3) as usize]);
    }
}

#[test]
fn a_process_may_stand_still_before_any_even_step_while_another_takes_over() {
    every_step(0);
}

#[test]
fn a_process_may_stand_still_before_any_odd_step_while_another_takes_over() {
    every_step(1);
}

#[test]
fn a_lease_may_be_lost_between_any_two_steps_and_another_takes_over() {
    let steps = steps();
    for step in 1..=steps {
        let (what, mut sim) = (format!("the lease is lost before step {step}"), world());
        sim.arm.halt().at(step, Incident::LosesLease);
        sim.run_until(&what, SignedDuration::from_hours(8), |sim| !sim.leadership.leads() || done(sim));
        assert!(!sim.leadership.leads(), "{what}: it never came to that");
        // It knows by itself that it leads no more, and idles.
        sim.run_for(SignedDuration::from_secs(12));
        sim.hand_over();
        until_done(&mut sim, &what);
    }
}

/// The process is stopped by force between the gate's last look and the wire: the request leaves when it wakes.
fn request_in_hand(when: Wakes) {
    let (arm, _) = writes();
    for nth in 1..=arm {
        let (what, mut sim) = (format!("it wakes {when:?} with the request of write {nth} in hand"), world());
        sim.arm_fault(nth, ArmFault::StandsStill);
        sim.run_until(&what, SignedDuration::from_hours(8), |sim| sim.has_sleeper() || done(sim));
        assert!(sim.has_sleeper(), "{what}: it never came to that");
        wakes(&mut sim, &what, when);
    }
}

#[test]
fn a_process_that_wakes_soon_with_an_old_request_in_hand_does_not_send_it() {
    request_in_hand(Wakes::Soon);
}

#[test]
fn a_process_that_wakes_late_with_an_old_request_in_hand_does_not_send_it() {
    request_in_hand(Wakes::Late);
}
