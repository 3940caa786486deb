//! Workflows of runs: a backup, a restore, files.

use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Workflow, led_by_others_at_every_step, shaken, shaken_by_all, workflows::only};
use crate::people::{edit, key};
use crate::{files, paired, restore_demands, restores};

fn run(sim: &Simulation, object: &Value) {
    sim.cluster.user().apply_object(object).expect("the API server takes it");
}

const BACKUP: Workflow = Workflow {
    ready: restores::ready,
    ask: |sim| {
        let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": "one", "namespace": "shop" },
            "spec": { "protectedMachineRef": { "name": only(sim) }, "expiresAt": sim.now() + SignedDuration::from_hours(12) } });
        run(sim, &object);
    },
    done: |sim| sim.status("BackupRun", "one")["phase"] == "Succeeded",
    writes: 1..=1,
};

const CANCELLED_BACKUP: Workflow = Workflow {
    ready: || {
        let mut sim = restores::ready();
        let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": "one", "namespace": "shop" },
            "spec": { "protectedMachineRef": { "name": only(&sim) }, "cancelOnDelete": true } });
        run(&sim, &object);
        sim.run_until("its job", SignedDuration::from_hours(1), |sim| sim.status("BackupRun", "one")["job"]["name"].is_string());
        sim
    },
    ask: |sim| sim.cluster.user().delete(&key("BackupRun", "one")).expect("it is there"),
    done: |sim| sim.cluster.live_all("BackupRun").is_empty(),
    writes: 1..=1,
};

const RESTORE: Workflow = Workflow {
    ready: restores::ready,
    ask: |sim| {
        let more = json!({ "expiresAt": sim.now() + SignedDuration::from_hours(12) });
        run(sim, &restores::run_to(sim, "one", restores::new_machine("web-2"), more));
    },
    done: |sim| sim.status("RestoreRun", "one")["phase"] == "Succeeded",
    writes: 2..=2,
};

const RESTORE_OF_DISKS: Workflow = Workflow {
    ready: restores::ready,
    ask: |sim| {
        let more = json!({ "expiresAt": sim.now() + SignedDuration::from_hours(12) });
        run(sim, &restores::run_to(sim, "one", restores::disks(), more));
    },
    done: |sim| sim.status("RestoreRun", "one")["phase"] == "Succeeded" && disks_made(sim) == 2,
    writes: 2..=2,
};

const RESTORE_FROM_THE_ARCHIVE: Workflow = Workflow {
    ready: || restore_demands::archived().0,
    ask: |sim| {
        let rehydrate = json!({ "priority": "High", "retainFor": "12d" });
        let mut object = restore_demands::run_from_old("one", &restore_demands::archived_point(sim), rehydrate);
        object["spec"]["expiresAt"] = json!(sim.now() + SignedDuration::from_hours(12));
        run(sim, &object);
    },
    done: |sim| sim.status("RestoreRun", "one")["phase"] == "Succeeded" && disks_made(sim) == 1,
    writes: 2..=2,
};

/// Disks that the run tells of.
fn disks_made(sim: &Simulation) -> usize {
    sim.status("RestoreRun", "one")["made"].as_array().map_or(0, Vec::len)
}

const REPLACEMENT: Workflow = Workflow {
    ready: restores::ready,
    ask: |sim| {
        let (to, _) = restores::replace(sim, json!({}));
        run(sim, &restores::run_to(sim, "one", to, json!({ "expiresAt": sim.now() + SignedDuration::from_hours(12) })));
    },
    done: |sim| sim.status("RestoreRun", "one")["phase"] == "Succeeded",
    writes: 2..=2,
};

const RESTORE_THERE: Workflow = Workflow {
    ready: paired::practised,
    ask: |sim| run(sim, &paired::run(sim, "one", paired::machine_there())),
    done: |sim| sim.status("RestoreRun", "one")["phase"] == "Succeeded",
    writes: 2..=2,
};

/// What is lent is closed whatever happens: a mount whose script was lost on its way is closed and made once more.
const MOUNT: Workflow = Workflow {
    ready: restores::ready,
    ask: |sim| run(sim, &files::run(sim, "one", "20m")),
    done: |sim| {
        let over = ["Succeeded", "Failed"].contains(&restores::phase(sim, "one").as_str());
        over && sim.cluster.live_all("Secret").is_empty() && !files::is_mounted(sim)
    },
    writes: 2..=6,
};

/// A world in which files are mounted for long.
fn mounted() -> Simulation {
    let mut sim = restores::ready();
    run(&sim, &files::run(&sim, "one", "8h"));
    sim.run_until("it is mounted", SignedDuration::from_hours(1), |sim| sim.condition("RestoreRun", "one", "Mounted").0 == "True");
    sim
}

const MOUNT_OF_A_DELETED_RUN: Workflow = Workflow {
    ready: mounted,
    ask: |sim| sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there"),
    done: |sim| sim.cluster.live_all("RestoreRun").is_empty() && sim.cluster.live_all("Secret").is_empty() && !files::is_mounted(sim),
    writes: 1..=4,
};

const MOUNT_OF_A_SUSPENDED_RUN: Workflow = Workflow {
    ready: mounted,
    ask: |sim| edit(sim, "RestoreRun", "one", json!({ "suspend": true })),
    done: |sim| restores::phase(sim, "one") == "Succeeded" && sim.cluster.live_all("Secret").is_empty() && !files::is_mounted(sim),
    writes: 1..=4,
};

#[test]
fn a_restore_in_the_paired_region_makes_one_machine() {
    shaken(&RESTORE_THERE);
}

#[test]
fn a_mount_is_revoked_and_its_secret_goes() {
    shaken(&MOUNT);
}

#[test]
fn a_mount_is_revoked_when_its_run_is_deleted() {
    shaken(&MOUNT_OF_A_DELETED_RUN);
}

#[test]
fn a_mount_is_revoked_when_its_run_is_suspended() {
    shaken(&MOUNT_OF_A_SUSPENDED_RUN);
}

#[test]
fn a_backup_run_takes_one_backup() {
    shaken(&BACKUP);
}

#[test]
fn a_backup_run_that_is_deleted_is_cancelled_once() {
    shaken(&CANCELLED_BACKUP);
}

#[test]
fn a_restore_run_makes_one_machine() {
    shaken(&RESTORE);
}

#[test]
fn a_restore_run_makes_its_disks_once() {
    shaken(&RESTORE_OF_DISKS);
}

#[test]
fn a_point_is_brought_back_from_the_archive_and_restored_once() {
    shaken(&RESTORE_FROM_THE_ARCHIVE);
}

#[test]
fn a_machine_is_stopped_once_and_its_disks_are_replaced_once() {
    shaken(&REPLACEMENT);
}

/// Its Secret is new: no version tells a process that wakes with it in hand that it comes too late.
#[test]
fn a_mount_may_lose_its_leader_before_every_step() {
    led_by_others_at_every_step(&MOUNT);
}

const ALL: [&Workflow; 10] = [
    &RESTORE_THERE,
    &MOUNT,
    &MOUNT_OF_A_DELETED_RUN,
    &MOUNT_OF_A_SUSPENDED_RUN,
    &BACKUP,
    &CANCELLED_BACKUP,
    &RESTORE,
    &RESTORE_OF_DISKS,
    &RESTORE_FROM_THE_ARCHIVE,
    &REPLACEMENT,
];

#[test]
#[ignore = "takes long: by hand"]
fn every_pair_of_runs_with_writes_to_kubernetes() {
    ALL.into_iter().for_each(shaken_by_all);
}

#[test]
#[ignore = "takes long: by hand"]
fn every_step_of_runs_may_lose_its_leader() {
    ALL.into_iter().for_each(led_by_others_at_every_step);
}
