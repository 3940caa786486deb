//! Every write of vault, policy, protection and first backup x {never sent, applied and answer lost, applied} x crash.

use breakwater_tests::{
    cluster::fault::{FaultPlan, Strike, WriteFault},
    sim::{ArmFault, Options, Simulation},
};
use jiff::SignedDuration;

use crate::manifests::SMALL;

/// Protected, with a point of each machine's first backup.
fn done(sim: &Simulation) -> bool {
    let all = sim.cluster.live_all("ProtectedMachine");
    let points = all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count();
    let open = all.iter().filter(|o| o.data.pointer("/status/operations").is_some()).count();
    points == 2 && open == 0 && sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
}

fn world() -> Simulation {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    sim
}

/// How many writes a run without faults makes: (to Azure, to Kubernetes).
fn writes() -> (u64, u64) {
    let mut sim = world();
    let before = sim.cluster.writes();
    sim.run_until("the fault-free run", SignedDuration::from_hours(4), |sim| done(sim));
    (sim.arm.writes(), sim.cluster.writes() - before)
}

#[test]
fn every_write_to_azure_may_be_lost_or_be_the_last() {
    let (arm, _) = writes();
    assert!((7..=12).contains(&arm), "{arm} writes to Azure");
    for nth in 1..=arm {
        for fault in [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter] {
            let mut sim = world();
            sim.arm_fault(nth, fault);
            sim.run_until(&format!("write {nth} to Azure, {fault:?}"), SignedDuration::from_hours(8), |sim| done(sim));
            let dies = matches!(fault, ArmFault::DiesBefore | ArmFault::DiesAfter);
            assert_eq!(sim.deaths() > 0, dies, "write {nth}, {fault:?}: the fault was not played");
        }
    }
}

#[test]
fn every_write_to_kubernetes_may_be_lost_or_be_the_last() {
    let (_, kube) = writes();
    for nth in 1..=kube {
        for fault in [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter] {
            let mut sim = world();
            sim.cluster_faults(FaultPlan::seeded(1).with(Strike::Nth(nth), fault.clone()));
            sim.run_until(&format!("write {nth} to Kubernetes, {fault:?}"), SignedDuration::from_hours(8), |sim| done(sim));
        }
    }
}
