//! Workflows of an edit that needs nobody's answer, and of what somebody changes in Azure.

use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    Workflow, led_by_others_at_every_step, shaken, shaken_by_all,
    workflows::{all_ready, one, only},
};
use crate::people::{approve, edit, granted};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// How often Azure carried out a request of that method whose path holds a word.
fn carried_out(sim: &Simulation, method: &str, word: &str) -> usize {
    let azure = sim.azure.lock().expect("no thread died");
    azure.journal().entries().iter().filter(|e| e.applied && e.method == method && e.path.contains(word)).count()
}

fn shows(sim: &Simulation, pointer: &str) -> Value {
    sim.status("RecoveryVault", "main").pointer(pointer).cloned().unwrap_or_default()
}

const RAISED: Workflow = Workflow {
    ready: || one(&granted("Disabled")),
    ask: |sim| edit(sim, "RecoveryVault", "main", json!({ "immutability": "Unlocked" })),
    done: |sim| shows(sim, "/vault/immutability") == "Unlocked" && all_ready(sim),
    writes: 1..=1,
};

/// From Disabled by way of Unlocked, and the door asked about then.
const LOCKED: Workflow = Workflow {
    ready: || one(&granted("Disabled")),
    ask: |sim| {
        edit(sim, "RecoveryVault", "main", json!({ "immutability": "Locked" }));
        approve(sim, "RecoveryVault", "main", "one-way-immutability");
    },
    done: |sim| shows(sim, "/vault/immutability") == "Locked" && all_ready(sim),
    writes: 2..=2,
};

const MORE_DAYS: Workflow = Workflow {
    ready: || one(&granted("Disabled")),
    ask: |sim| edit(sim, "RecoveryVault", "main", json!({ "softDelete": { "state": "Enabled", "retentionDays": 60 } })),
    done: |sim| shows(sim, "/vault/softDelete/retentionDays") == 60 && all_ready(sim),
    writes: 1..=1,
};

const TAGGED: Workflow = Workflow {
    ready: || one(&granted("Disabled")),
    ask: |sim| edit(sim, "RecoveryVault", "main", json!({ "tags": { "team": "shop" } })),
    done: |sim| carried_out(sim, "PATCH", "/tags/default") > 0 && all_ready(sim),
    writes: 1..=1,
};

const MOVED: Workflow = Workflow {
    ready: || {
        let manifest = granted("Disabled");
        let mut sim = one(&manifest);
        let other = manifest.split("---").last().expect("the policy").replace("name: daily,", "name: other,");
        sim.cluster.user().apply(&other.replace("all: { app: [shop] }", "all: { app: [nothing] }")).expect("the API server takes it");
        sim.run_until("the other policy", HOUR, |sim| sim.is_ready("BackupPolicy", "other"));
        sim
    },
    ask: |sim| edit(sim, "ProtectedMachine", &only(sim), json!({ "policyRef": { "name": "other" } })),
    done: |sim| sim.condition("ProtectedMachine", &only(sim), "Protected").2.ends_with("-other") && all_ready(sim),
    writes: 1..=1,
};

/// A disk that was left out is backed up as well.
const MORE_DISKS: Workflow = Workflow {
    ready: || {
        let mut sim = one(&granted("Disabled"));
        let name = only(&sim);
        edit(&sim, "ProtectedMachine", &name, json!({ "disks": { "osOnly": true } }));
        approve(&mut sim, "ProtectedMachine", &name, "points-expire");
        sim.run_until("it is left out", HOUR, |sim| carried_out(sim, "PUT", ";web-1") > 1 && all_ready(sim));
        sim
    },
    ask: |sim| edit(sim, "ProtectedMachine", &only(sim), json!({ "disks": null })),
    done: |sim| carried_out(sim, "PUT", ";web-1") > 2 && all_ready(sim),
    writes: 1..=1,
};

/// Somebody shortens a policy in Azure.
const PUT_BACK: Workflow = Workflow {
    ready: || one(&granted("Disabled")),
    ask: |sim| {
        let policy = sim.status("BackupPolicy", "daily")["policyId"].as_str().expect("an id").to_owned();
        let shorter = json!({ "dailySchedule": { "retentionDuration": { "count": 8 } } });
        sim.behind_our_back(&[json!({ "method": "PATCH", "id": policy, "body": { "properties": { "retentionPolicy": shorter } } })]);
    },
    done: |sim| carried_out(sim, "PUT", "/backupPolicies/") > 1 && all_ready(sim),
    writes: 1..=1,
};

#[test]
fn a_vault_is_raised_once() {
    shaken(&RAISED);
}

#[test]
fn a_vault_without_immutability_is_raised_once_and_locked_once() {
    shaken(&LOCKED);
}

#[test]
fn soft_delete_gets_more_days_once() {
    shaken(&MORE_DAYS);
}

#[test]
fn a_vault_gets_its_tags_once() {
    shaken(&TAGGED);
}

#[test]
fn a_machine_moves_to_another_policy_once() {
    shaken(&MOVED);
}

#[test]
fn a_disk_that_was_left_out_is_backed_up_as_well_once() {
    shaken(&MORE_DISKS);
}

#[test]
fn a_policy_that_somebody_shortened_is_put_back_once() {
    shaken(&PUT_BACK);
}

const ALL: [&Workflow; 7] = [&RAISED, &LOCKED, &MORE_DAYS, &TAGGED, &MOVED, &MORE_DISKS, &PUT_BACK];

#[test]
#[ignore = "takes long: by hand"]
fn every_pair_of_changes_with_writes_to_kubernetes() {
    ALL.into_iter().for_each(shaken_by_all);
}

#[test]
#[ignore = "takes long: by hand"]
fn every_step_of_changes_may_lose_its_leader() {
    ALL.into_iter().for_each(led_by_others_at_every_step);
}
