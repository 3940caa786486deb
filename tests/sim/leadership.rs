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

const TIMES: [Wakes; 3] = [Wakes::Soon, Wakes::Settled, Wakes::Late];

/// One step in so many is tried in the test run, each with one of the three times; all of them by hand:
/// `cargo test -p breakwater-tests --test sim -- --ignored every_step`.
const SAMPLE: u64 = 4;

#[test]
fn a_process_may_stand_still_between_two_steps_while_another_takes_over() {
    let steps = steps();
    assert!(steps > 60, "{steps} steps");
    for step in (1..=steps).step_by(SAMPLE as usize) {
        stands_still(step, TIMES[(step / SAMPLE % 3) as usize]);
    }
}

#[test]
#[ignore = "takes long: by hand"]
fn every_step_may_be_the_one_before_which_a_process_stands_still() {
    for step in 1..=steps() {
        TIMES.into_iter().for_each(|when| stands_still(step, when));
    }
}

/// One run in which the lease is lost before that step, in the middle of whatever turn it belongs to.
fn loses_lease(step: u64) {
    let (what, mut sim) = (format!("the lease is lost before step {step}"), world());
    sim.arm.halt().at(step, Incident::LosesLease);
    sim.run_until(&what, SignedDuration::from_hours(8), |sim| !sim.leadership.leads() || done(sim));
    assert!(!sim.leadership.leads(), "{what}: it never came to that");
    // It knows by itself that it leads no more, and idles.
    sim.run_for(SignedDuration::from_secs(12));
    sim.hand_over();
    until_done(&mut sim, &what);
}

#[test]
fn a_lease_may_be_lost_between_two_steps_and_another_takes_over() {
    (1..=steps()).skip(1).step_by(SAMPLE as usize).for_each(loses_lease);
}

#[test]
#[ignore = "takes long: by hand"]
fn every_step_may_be_the_one_before_which_the_lease_is_lost() {
    (1..=steps()).for_each(loses_lease);
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
