//! Every write of vault, policy, protection and first backup x {never sent, applied and answer lost, applied} x crash, in a
//! world that is up to date and in worlds that lag.

use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        view::Lag,
    },
    sim::{ArmFault, Options, Simulation},
};
use jiff::SignedDuration;

use crate::manifests::SMALL;

/// How late the operator learns what is.
#[derive(Clone, Copy, Debug)]
enum Weather {
    /// At once.
    Clear,
    /// Every list of Azure is behind what a read shows: vaults, policies, items, jobs.
    ListsLag,
    /// The watches of every process stall.
    WatchesStall,
}

const WEATHERS: [Weather; 3] = [Weather::Clear, Weather::ListsLag, Weather::WatchesStall];

/// The whole matrix is played in clear weather, and a quarter of it in each of the other two, turn and turn about.
fn is_played(weather: Weather, nth: u64, fault: usize) -> bool {
    let turn = (nth + fault as u64) % 4;
    match weather {
        Weather::Clear => true,
        Weather::ListsLag => turn == 0,
        Weather::WatchesStall => turn == 2,
    }
}

/// Protected, with a point of each machine's first backup.
fn done(sim: &Simulation) -> bool {
    let all = sim.cluster.live_all("ProtectedMachine");
    let points = all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count();
    let open = all.iter().filter(|o| o.data.pointer("/status/operations").is_some()).count();
    points == 2 && open == 0 && sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
}

fn world(weather: Weather) -> Simulation {
    let mut sim = Simulation::new(Options::default());
    match weather {
        Weather::Clear => {}
        Weather::ListsLag => sim.set_list_lag(90.0),
        Weather::WatchesStall => sim.set_watch_lag(Lag::Random { stall: 0.5 }),
    }
    sim.apply(SMALL);
    sim
}

/// How many writes a run without faults makes: (to Azure, to Kubernetes).
fn writes(weather: Weather) -> (u64, u64) {
    let mut sim = world(weather);
    let before = sim.cluster.writes();
    sim.run_until(&format!("the fault-free run, {weather:?}"), SignedDuration::from_hours(4), |sim| done(sim));
    (sim.arm.writes(), sim.cluster.writes() - before)
}

#[test]
fn every_write_to_azure_may_be_lost_or_be_the_last() {
    for weather in WEATHERS {
        let (arm, _) = writes(weather);
        assert!((7..=12).contains(&arm), "{arm} writes to Azure, {weather:?}");
        for nth in 1..=arm {
            let faults = [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter];
            for (_, fault) in faults.into_iter().enumerate().filter(|(at, _)| is_played(weather, nth, *at)) {
                let (what, mut sim) = (format!("write {nth} to Azure, {fault:?}, {weather:?}"), world(weather));
                sim.arm_fault(nth, fault);
                sim.run_until(&what, SignedDuration::from_hours(8), |sim| done(sim));
                let dies = matches!(fault, ArmFault::DiesBefore | ArmFault::DiesAfter);
                assert_eq!(sim.deaths() > 0, dies, "{what}: the fault was not played");
            }
        }
    }
}

/// Half of the writes, so that two threads share them.
fn kubernetes(part: u64) {
    for weather in WEATHERS {
        let (_, kube) = writes(weather);
        for nth in (1..=kube).filter(|nth| nth % 2 == part) {
            let faults = [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter];
            for (_, fault) in faults.into_iter().enumerate().filter(|(at, _)| is_played(weather, nth, *at)) {
                let (what, mut sim) = (format!("write {nth} to Kubernetes, {fault:?}, {weather:?}"), world(weather));
                sim.cluster_faults(FaultPlan::seeded(1).with(Strike::Nth(nth), fault.clone()));
                sim.run_until(&what, SignedDuration::from_hours(8), |sim| done(sim));
            }
        }
    }
}

#[test]
fn every_even_write_to_kubernetes_may_be_lost_or_be_the_last() {
    kubernetes(0);
}

#[test]
fn every_odd_write_to_kubernetes_may_be_lost_or_be_the_last() {
    kubernetes(1);
}
