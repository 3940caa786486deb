//! The main job on one machine: small enough to be run a thousand times.

use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;

use crate::manifests::SMALL;

/// The longest that it may take, with faults.
pub const IN_TIME: SignedDuration = SignedDuration::from_hours(8);

/// One machine that waits to be protected and backed up.
pub fn world() -> Simulation {
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/one.yaml", ..Options::default() });
    sim.apply(SMALL);
    sim
}

/// Protected, with a point of the first backup, and nothing open.
pub fn done(sim: &Simulation) -> bool {
    let all = sim.cluster.live_all("ProtectedMachine");
    let with_point = all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count();
    let open = all.iter().filter(|o| o.data.pointer("/status/operations").is_some()).count();
    with_point == 1 && open == 0 && sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
}

/// Runs until it is done.
pub fn until_done(sim: &mut Simulation, what: &str) {
    sim.run_until(what, IN_TIME, |sim| done(sim));
}

/// How many writes a run without faults makes: (to Azure, to Kubernetes).
pub fn writes() -> (u64, u64) {
    let mut sim = world();
    let before = sim.cluster.writes();
    until_done(&mut sim, "the fault-free run");
    (sim.arm.writes(), sim.cluster.writes() - before)
}
