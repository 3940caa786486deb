//! Two faults in one run: every pair of writes of the main job x {never sent, applied and answer lost, died before, died
//! after}, twice. Between Azure's writes all of them are played in the test run; of the pairs with writes to Kubernetes a
//! sample, and all of them by hand:
//! `cargo test -p breakwater-tests --test sim -- --ignored every_pair`.

use breakwater_tests::{
    cluster::fault::{FaultPlan, Strike, WriteFault},
    sim::{ArmFault, Simulation},
};

use crate::one::{until_done, world, writes};

/// A fault may make the operator write again: by hand the second one is looked for so many writes beyond the fault-free
/// run's last.
const MORE_WRITES: u64 = 2;

/// Of the pairs with a write to Kubernetes one in so many is played in the test run.
const SAMPLE: u64 = 61;

const ARM: [ArmFault; 4] = [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter];
const KUBE: [WriteFault; 4] = [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter];

/// One fault: where, which write, and which of the four.
#[derive(Clone, Copy, Debug)]
enum Hit {
    Azure(u64, usize),
    Kubernetes(u64, usize),
}

/// Sets a run's faults.
fn strike(sim: &Simulation, hits: [Hit; 2]) {
    let mut plan = FaultPlan::seeded(1);
    for hit in hits {
        match hit {
            Hit::Azure(nth, fault) => sim.arm_fault(nth, ARM[fault]),
            Hit::Kubernetes(nth, fault) => plan = plan.with(Strike::Nth(nth), KUBE[fault].clone()),
        }
    }
    sim.cluster_faults(plan);
}

fn play(hits: [Hit; 2]) {
    let mut sim = world();
    strike(&sim, hits);
    until_done(&mut sim, &format!("{hits:?}"));
}

/// Both faults, in every combination.
fn combinations() -> impl Iterator<Item = (usize, usize)> {
    (0..4).flat_map(|first| (0..4).map(move |second| (first, second)))
}

/// All pairs of writes to Azure, up to so many more than a run without faults makes.
fn of_azure(more: u64) -> Vec<[Hit; 2]> {
    let (arm, _) = writes();
    let pairs = (1..=arm).flat_map(|first| (first + 1..=arm + more).map(move |second| (first, second)));
    pairs.flat_map(|(i, j)| combinations().map(move |(a, b)| [Hit::Azure(i, a), Hit::Azure(j, b)])).collect()
}

/// All pairs of writes to Kubernetes, and of one of each.
fn of_kubernetes() -> Vec<[Hit; 2]> {
    let (arm, kube) = writes();
    let among = (1..=kube).flat_map(|i| (i + 1..=kube + MORE_WRITES).map(move |j| (i, j)));
    let among = among.flat_map(|(i, j)| combinations().map(move |(a, b)| [Hit::Kubernetes(i, a), Hit::Kubernetes(j, b)]));
    let mixed = (1..=arm).flat_map(|i| (1..=kube + MORE_WRITES).map(move |j| (i, j)));
    let mixed = mixed.flat_map(|(i, j)| combinations().map(move |(a, b)| [Hit::Azure(i, a), Hit::Kubernetes(j, b)]));
    among.chain(mixed).collect()
}

/// Half of the pairs, so that two threads share them.
fn play_half(pairs: &[[Hit; 2]], part: usize, one_in: u64) {
    let chosen = pairs.iter().enumerate().filter(|(nth, _)| (*nth as u64).is_multiple_of(one_in)).map(|(_, hits)| *hits);
    let mine: Vec<[Hit; 2]> = chosen.enumerate().filter(|(nth, _)| nth % 2 == part).map(|(_, hits)| hits).collect();
    println!("{} of {} pairs", mine.len(), pairs.len());
    assert!(mine.len() > 20, "{} pairs are no proof", mine.len());
    mine.into_iter().for_each(play);
}

#[test]
fn any_two_writes_to_azure_may_be_lost_or_be_the_last_1() {
    play_half(&of_azure(0), 0, 1);
}

#[test]
fn any_two_writes_to_azure_may_be_lost_or_be_the_last_2() {
    play_half(&of_azure(0), 1, 1);
}

#[test]
fn a_sample_of_pairs_with_writes_to_kubernetes_1() {
    play_half(&of_kubernetes(), 0, SAMPLE);
}

#[test]
fn a_sample_of_pairs_with_writes_to_kubernetes_2() {
    play_half(&of_kubernetes(), 1, SAMPLE);
}

#[test]
#[ignore = "takes long: by hand"]
fn every_pair_of_writes_to_azure_and_of_what_they_cause() {
    of_azure(MORE_WRITES).into_iter().for_each(play);
}

#[test]
#[ignore = "takes long: by hand"]
fn every_pair_with_writes_to_kubernetes_1() {
    play_half(&of_kubernetes(), 0, 1);
}

#[test]
#[ignore = "takes long: by hand"]
fn every_pair_with_writes_to_kubernetes_2() {
    play_half(&of_kubernetes(), 1, 1);
}
