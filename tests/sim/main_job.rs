//! The main job: a machine is backed up because YAML says so.

use breakwater_tests::{
    cluster::record::Verb,
    sim::{Options, Simulation},
};
use jiff::SignedDuration;

use crate::manifests::SMALL;

fn member(sim: &Simulation, prefix: &str) -> String {
    let all = sim.cluster.live_all("ProtectedMachine");
    let found = all.iter().filter_map(|o| o.metadata.name.clone()).find(|n| n.starts_with(prefix));
    found.unwrap_or_else(|| panic!("no member {prefix}: {}", sim.tell()))
}

/// Runs the main job until the first recovery points are there.
pub fn protected() -> Simulation {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    sim.run_until("both machines have recovery points", SignedDuration::from_hours(6), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let with_points = all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count();
        with_points == 2
    });
    sim
}

#[test]
fn machines_are_protected_and_backed_up_because_yaml_says_so() {
    let mut sim = protected();
    sim.run_for(SignedDuration::from_mins(30));
    assert!(sim.is_ready("RecoveryVault", "main"), "{}", sim.tell());
    assert!(sim.is_ready("BackupPolicy", "daily"), "{}", sim.tell());
    let (win, web, old) = (member(&sim, "win-1"), member(&sim, "web-1"), member(&sim, "old-1"));
    assert!(sim.is_ready("ProtectedMachine", &win) && sim.is_ready("ProtectedMachine", &web), "{}", sim.tell());
    assert_eq!(sim.condition("ProtectedMachine", &old, "Ready").1, "ElsewhereProtected");
    let status = sim.status("ProtectedMachine", &win);
    assert_eq!(status["lastBackup"]["consistency"], "ApplicationConsistent", "{status:#}");
    assert_eq!(sim.status("ProtectedMachine", &web)["lastBackup"]["consistency"], "FileSystemConsistent");
    assert_eq!(status["disks"].as_array().map(Vec::len), Some(3));
    let policy = sim.status("BackupPolicy", "daily");
    assert_eq!((policy["matched"].as_i64(), policy["protected"].as_i64()), (Some(2), Some(2)), "{policy:#}");
    let reasons: Vec<&str> = policy["excluded"].as_array().unwrap().iter().filter_map(|e| e["reason"].as_str()).collect();
    assert!(reasons.contains(&"ElsewhereProtected") && reasons.contains(&"TagsDoNotMatch"), "{reasons:?}");
}

#[test]
fn a_settled_world_is_never_written_again() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(&SMALL.replace("firstBackup: Now", "firstBackup: OnSchedule"));
    sim.run_for(SignedDuration::from_hours(2));
    let (arm, kube) = (sim.arm.writes(), sim.cluster.writes());
    // 16 hours without a scheduled backup would be too short to find a slow leak; the schedule is at 01:00 UTC.
    sim.run_for(SignedDuration::from_hours(14));
    assert_eq!(sim.arm.writes(), arm, "{}", sim.tell());
    assert_eq!(
        sim.cluster.writes(),
        kube,
        "{:#?}",
        sim.cluster.write_log(kube as usize).iter().map(ToString::to_string).collect::<Vec<_>>()
    );
}

#[test]
fn a_machines_whole_story_takes_ten_writes() {
    let sim = protected();
    let web = member(&sim, "web-1");
    let log = sim.cluster.write_log(0);
    let of = |verb: Verb| log.iter().filter(|w| w.key.name == web && w.verb == verb).count();
    // Protection and first backup: an intent and a handle each; the job, the snapshot's point, the end, the vault's point.
    assert_eq!((of(Verb::Create), of(Verb::PatchStatus)), (1, 8), "{:#?}", log.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(of(Verb::PatchMetadata), 2, "the finalizer comes and goes");
}

/// Requests since the n-th, by method and the end of the path.
fn asked(sim: &Simulation, from: usize, part: &str) -> usize {
    sim.requests().iter().skip(from).filter(|line| line.to_ascii_lowercase().contains(&part.to_ascii_lowercase())).count()
}

#[test]
fn at_rest_no_machine_is_read_for_itself() {
    let mut sim = protected();
    sim.run_for(SignedDuration::from_mins(30));
    let from = sim.requests().len();
    sim.run_for(SignedDuration::from_hours(3));
    let told = || sim.requests()[from..].join("\n");
    assert_eq!(asked(&sim, from, "/protectedItems/VM;iaasvmcontainerv2;rg-shop;web-1"), 0, "{}", told());
    assert_eq!(asked(&sim, from, "/virtualMachines/web-1"), 0, "{}", told());
    let (statuses, elsewhere) = (asked(&sim, from, "/backupStatus"), 1);
    assert!(statuses <= 4 * elsewhere, "hourly for the one machine of another vault, not {statuses} times: {}", told());
}

#[test]
fn what_is_paused_is_looked_at_now_and_then() {
    for pause in ["suspend: true", "mode: Plan", "mode: Observe"] {
        let mut sim = Simulation::new(Options::default());
        let (access, rest) = SMALL.split_once("kind: RecoveryVault").expect("the access comes first");
        sim.apply(&format!("{access}kind: RecoveryVault{}", rest.replace("spec:\n", &format!("spec:\n  {pause}\n"))));
        sim.run_for(SignedDuration::from_mins(10));
        let (steps, from) = (sim.steps, sim.requests().len());
        sim.run_for(SignedDuration::from_hours(1));
        let reads = sim.requests().len() - from;
        assert!(reads <= 30, "{pause}: {reads} requests an hour: {}", sim.requests()[from..].join("\n"));
        assert!(sim.steps - steps <= 300, "{pause}: {} steps an hour", sim.steps - steps);
        assert_eq!(sim.arm.writes(), 0, "{pause}");
    }
}
