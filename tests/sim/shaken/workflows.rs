//! Workflows of what is declared, and answered.

use std::time::Duration;

use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Workflow, led_by_others_at_every_step, shaken, shaken_by_all};
use crate::people::{
    PERSON, answer, approve, asked, by_hand, edit, granted, key, member, policy_with, protected_in, question, vault_with, wants,
};

/// One machine, a guard of other people, a key, and every shipped role.
const ESTATE: &str = "tests/sim/estates/guarded.yaml";
const GROUP: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";

/// One machine with a point.
pub fn one(manifest: &str) -> Simulation {
    protected_in(ESTATE, manifest, 1)
}

pub fn only(sim: &Simulation) -> String {
    member(sim, "web-1")
}

fn state(sim: &Simulation) -> String {
    sim.status("ProtectedMachine", &only(sim))["protection"].as_str().unwrap_or_default().to_owned()
}

pub fn all_ready(sim: &Simulation) -> bool {
    sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily") && sim.is_ready("ProtectedMachine", &only(sim))
}

/// Approves what is asked already.
fn approve_now(sim: &Simulation, kind: &str, name: &str, id: &str) {
    let asks = question(sim, kind, name, id).expect("it asks");
    answer(sim, (kind, name), &asks, "approve");
}

/// Waits until something is asked.
fn asking(mut sim: Simulation, kind: &str, name: &str, id: &str) -> Simulation {
    asked(&mut sim, kind, name, id);
    sim
}

const TAKEOVER: Workflow = Workflow {
    ready: || {
        let mut sim = one(&granted("Disabled"));
        sim.lose_cluster("cluster-two");
        sim.apply_the_rule();
        sim.apply(&granted("Disabled"));
        asking(sim, "RecoveryVault", "main", "takeover")
    },
    ask: |sim| approve_now(sim, "RecoveryVault", "main", "takeover"),
    done: |sim| sim.is_ready("RecoveryVault", "main") && !sim.cluster.live_all("ProtectedMachine").is_empty() && all_ready(sim),
    writes: 1..=1,
};

const STOP: Workflow = Workflow {
    ready: || {
        let sim = one(&granted("Unlocked"));
        wants(&sim, &only(&sim), "Stopped");
        let name = only(&sim);
        asking(sim, "ProtectedMachine", &name, "stop")
    },
    ask: |sim| approve_now(sim, "ProtectedMachine", &only(sim), "stop"),
    done: |sim| state(sim) == "Suspended" && all_ready(sim),
    writes: 1..=1,
};

const RESUMPTION_OF_WHAT_EXPIRES: Workflow = Workflow {
    ready: || {
        let mut sim = (STOP.ready)();
        (STOP.ask)(&mut sim);
        sim.run_until("suspended", SignedDuration::from_hours(2), |sim| (STOP.done)(sim));
        sim
    },
    ask: |sim| wants(sim, &only(sim), "Protected"),
    done: |sim| state(sim) == "Protected" && all_ready(sim),
    writes: 1..=1,
};

const RESUMPTION: Workflow = Workflow {
    ready: || {
        let mut sim = one(&granted("Disabled"));
        let name = only(&sim);
        wants(&sim, &name, "Stopped");
        sim.run_until("stopped", SignedDuration::from_hours(2), |sim| state(sim) == "Stopped" && all_ready(sim));
        wants(&sim, &name, "Protected");
        asking(sim, "ProtectedMachine", &name, "resume")
    },
    ask: |sim| approve_now(sim, "ProtectedMachine", &only(sim), "resume"),
    done: |sim| state(sim) == "Protected" && all_ready(sim),
    writes: 1..=1,
};

const STOP_ON_DELETION: Workflow = Workflow {
    ready: || {
        let mut sim = one(&granted("Disabled"));
        edit(&sim, "ProtectedMachine", &only(&sim), json!({ "deletionPolicy": "StopAndRetain" }));
        // The policy is suspended, or it would make the object anew.
        edit(&sim, "BackupPolicy", "daily", json!({ "suspend": true }));
        sim.run_for(SignedDuration::from_mins(10));
        sim
    },
    ask: |sim| sim.cluster.user().delete(&key("ProtectedMachine", &only(sim))).expect("it is there"),
    done: |sim| sim.cluster.live_all("ProtectedMachine").is_empty(),
    writes: 1..=1,
};

/// The item, as its object knows it.
fn item(sim: &Simulation) -> String {
    sim.status("ProtectedMachine", &only(sim))["itemId"].as_str().expect("an item").to_owned()
}

const UNDELETION: Workflow = Workflow {
    ready: || {
        let mut sim = one(&granted("Disabled"));
        let (status, body) = by_hand(&sim, PERSON, "DELETE", &item(&sim), "2024-04-01", Value::Null);
        assert_eq!(status, 202, "{body:#}");
        // Its end comes while nobody looks.
        sim.clock.advance(Duration::from_secs(60));
        sim.azure.lock().expect("no thread died").advance(sim.now());
        sim.behind_our_back(&[]);
        sim.run_until("it is seen", SignedDuration::from_hours(2), |sim| {
            sim.condition("ProtectedMachine", &only(sim), "Ready").1 == "SoftDeleted"
        });
        sim
    },
    ask: |sim| edit(sim, "ProtectedMachine", &only(sim), json!({ "undelete": true, "protection": "Stopped" })),
    done: |sim| state(sim) == "Stopped" && all_ready(sim),
    writes: 1..=1,
};

/// An empty vault with a policy of no machine, which may be deleted.
fn empty() -> Simulation {
    let manifest = vault_with(&policy_with(&granted("Disabled"), "deletionPolicy: Delete"), "deletionPolicy: Delete");
    let mut sim = protected_in(ESTATE, &manifest.replace("all: { app: [shop] }", "all: { app: [nothing] }"), 0);
    sim.run_until("both stand", SignedDuration::from_hours(2), |sim| {
        sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
    });
    sim
}

const DELETION_OF_A_POLICY: Workflow = Workflow {
    ready: empty,
    ask: |sim| sim.cluster.user().delete(&key("BackupPolicy", "daily")).expect("it is there"),
    done: |sim| sim.cluster.live_all("BackupPolicy").is_empty(),
    writes: 1..=1,
};

const DELETION_OF_A_VAULT: Workflow = Workflow {
    ready: || {
        let mut sim = empty();
        sim.cluster.user().delete(&key("BackupPolicy", "daily")).expect("it is there");
        sim.run_until("the policy is gone", SignedDuration::from_hours(2), |sim| sim.cluster.live_all("BackupPolicy").is_empty());
        sim
    },
    ask: |sim| sim.cluster.user().delete(&key("RecoveryVault", "main")).expect("it is there"),
    done: |sim| sim.cluster.live_all("RecoveryVault").is_empty(),
    writes: 1..=1,
};

/// The grant reaches the guard and its neighbours.
fn wide() -> String {
    granted("Disabled").replace("resourceGroups: [rg-shop, rg-backup]", "resourceGroups: [rg-shop, rg-backup, rg-guard]")
}

const KEY: Workflow = Workflow {
    ready: || one(&wide()),
    ask: |sim| {
        let reader = format!("{GROUP}/rg-backup/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-backup");
        let key = "https://kv-shop.vault.azure.net/keys/backup";
        edit(sim, "RecoveryVault", "main", json!({ "encryption": { "keyUri": key, "identity": reader } }));
        approve(sim, "RecoveryVault", "main", "one-way-encryption");
    },
    done: |sim| sim.status("RecoveryVault", "main")["keyUri"].is_string() && all_ready(sim),
    writes: 2..=2,
};

const GUARD: Workflow = Workflow {
    ready: || one(&wide()),
    ask: |sim| {
        let guard = format!("{GROUP}/rg-guard/providers/Microsoft.DataProtection/resourceGuards/guard");
        // Between the guard and the look that shows it, Azure refuses the stop, and it is sent once more.
        sim.invariants.rights_are_withdrawn();
        edit(sim, "RecoveryVault", "main", json!({ "resourceGuard": { "id": guard } }));
        wants(sim, &only(sim), "Stopped");
    },
    done: |sim| state(sim) == "Stopped" && all_ready(sim),
    writes: 2..=2,
};

/// A one-way door of the vault, asked about already.
fn door(spec: Value, question: &str) -> Simulation {
    let sim = one(&granted("Unlocked"));
    edit(&sim, "RecoveryVault", "main", spec);
    asking(sim, "RecoveryVault", "main", question)
}

const LOCK: Workflow = Workflow {
    ready: || door(json!({ "immutability": "Locked" }), "one-way-immutability"),
    ask: |sim| approve_now(sim, "RecoveryVault", "main", "one-way-immutability"),
    done: |sim| sim.status("RecoveryVault", "main")["vault"]["immutability"] == "Locked" && all_ready(sim),
    writes: 1..=1,
};

const ALWAYS_ON: Workflow = Workflow {
    ready: || door(json!({ "softDelete": { "state": "AlwaysOn", "retentionDays": 30 } }), "one-way-soft-delete"),
    ask: |sim| approve_now(sim, "RecoveryVault", "main", "one-way-soft-delete"),
    done: |sim| sim.status("RecoveryVault", "main")["vault"]["softDelete"]["state"] == "AlwaysON" && all_ready(sim),
    writes: 1..=1,
};

const PAIRED_REGION: Workflow = Workflow {
    ready: || door(json!({ "crossRegionRestore": true }), "one-way-cross-region-restore"),
    ask: |sim| approve_now(sim, "RecoveryVault", "main", "one-way-cross-region-restore"),
    done: |sim| sim.status("RecoveryVault", "main")["vault"]["crossRegionRestore"] == true && all_ready(sim),
    writes: 1..=1,
};

const TIER: Workflow = Workflow {
    ready: || {
        let sim = one(&granted("Disabled").replace("tier: Enhanced", "tier: Standard"));
        edit(&sim, "BackupPolicy", "daily", json!({ "tier": "Enhanced" }));
        asking(sim, "BackupPolicy", "daily", "one-way-tier")
    },
    ask: |sim| approve_now(sim, "BackupPolicy", "daily", "one-way-tier"),
    done: all_ready,
    writes: 1..=1,
};

const SHORTER: Workflow = Workflow {
    ready: || {
        let sim = one(&granted("Disabled"));
        edit(&sim, "BackupPolicy", "daily", json!({ "retention": { "daily": { "keep": "8d" } } }));
        asking(sim, "BackupPolicy", "daily", "points-expire")
    },
    ask: |sim| approve_now(sim, "BackupPolicy", "daily", "points-expire"),
    done: all_ready,
    writes: 1..=1,
};

const LONGER: Workflow = Workflow {
    ready: || one(&granted("Disabled")),
    ask: |sim| edit(sim, "BackupPolicy", "daily", json!({ "retention": { "daily": { "keep": "90d" } } })),
    done: |sim| {
        let azure = sim.azure.lock().expect("no thread died");
        let puts = azure.journal().entries().iter().filter(|e| e.applied && e.method == "PUT" && e.path.contains("/backupPolicies/"));
        let long = puts.filter(|e| e.body.to_string().contains("\"count\":90")).count();
        drop(azure);
        long > 0 && all_ready(sim)
    },
    writes: 1..=1,
};

/// A vault, its policy and a machine that somebody made by hand.
const ADOPTION: Workflow = Workflow {
    ready: || {
        let manifest = granted("Disabled");
        protected_in("tests/sim/estates/small.yaml", manifest.split("---").next().expect("the access is first"), 0)
    },
    ask: |sim| {
        let api = "breakwater.io/v1alpha1";
        let vault = json!({ "apiVersion": api, "kind": "RecoveryVault", "metadata": { "name": "legacy", "namespace": "shop" },
            "spec": { "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroup": "rg-backup", "location": "westeurope",
                "azureName": "rv-legacy", "adopt": "IfNotWeaker" } });
        let policy = json!({ "apiVersion": api, "kind": "BackupPolicy", "metadata": { "name": "ours", "namespace": "shop" },
            "spec": { "vaultRef": { "name": "legacy" }, "tier": "Standard", "schedule": { "daily": { "at": "16:30" } }, "timeZone": "UTC",
                "retention": { "instantRestoreDays": 2, "daily": { "keep": "30d" } }, "adopt": "IfNotWeaker",
                "machines": [{ "id": format!("{GROUP}/rg-shop/providers/Microsoft.Compute/virtualMachines/old-1") }] } });
        for object in [vault, policy] {
            sim.cluster.user().apply_object(&object).expect("the API server takes it");
        }
    },
    done: |sim| {
        let members = sim.cluster.live_all("ProtectedMachine");
        let old = members.iter().find(|o| o.metadata.name.as_ref().is_some_and(|n| n.starts_with("old-1-")));
        sim.is_ready("RecoveryVault", "legacy") && old.is_some_and(|o| o.data.pointer("/status/owned").is_some())
    },
    writes: 3..=3,
};

const UNSELECTION: Workflow = Workflow {
    ready: || one(&policy_with(&granted("Disabled"), "whenUnselected: StopAndRetain\n  unselectGracePeriod: 30m")),
    ask: |sim| {
        let machine = format!("{GROUP}/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
        sim.behind_our_back(&[json!({ "method": "PATCH", "id": machine, "body": { "tags": { "app": "other" } } })]);
    },
    done: |sim| state(sim) == "Stopped",
    writes: 1..=1,
};

/// Declares a run and nothing else.

#[test]
fn a_takeover_is_one_tag_write() {
    shaken(&TAKEOVER);
}

#[test]
fn a_machine_is_stopped_once_by_an_answer() {
    shaken(&STOP);
}

#[test]
fn a_machine_is_resumed_once_by_an_answer() {
    shaken(&RESUMPTION);
}

#[test]
fn a_machine_whose_points_expire_is_resumed_once() {
    shaken(&RESUMPTION_OF_WHAT_EXPIRES);
}

#[test]
fn a_machine_is_stopped_once_when_its_object_goes() {
    shaken(&STOP_ON_DELETION);
}

#[test]
fn a_soft_deleted_backup_is_brought_back_once() {
    shaken(&UNDELETION);
}

#[test]
fn a_policy_of_no_machine_is_deleted_once() {
    shaken(&DELETION_OF_A_POLICY);
}

#[test]
fn an_empty_vault_is_deleted_once() {
    shaken(&DELETION_OF_A_VAULT);
}

#[test]
fn a_vault_gets_its_key_once() {
    shaken(&KEY);
}

#[test]
fn a_guard_is_joined_once_and_its_calls_carry_it() {
    shaken(&GUARD);
}

#[test]
fn a_vault_is_locked_once() {
    shaken(&LOCK);
}

#[test]
fn soft_delete_is_made_always_on_once() {
    shaken(&ALWAYS_ON);
}

#[test]
fn the_paired_region_is_opened_once() {
    shaken(&PAIRED_REGION);
}

#[test]
fn a_policy_becomes_enhanced_once() {
    shaken(&TIER);
}

#[test]
fn a_policy_is_made_shorter_once() {
    shaken(&SHORTER);
}

#[test]
fn a_policy_is_made_longer_once() {
    shaken(&LONGER);
}

#[test]
fn what_was_made_by_hand_is_adopted_once() {
    shaken(&ADOPTION);
}

#[test]
fn what_is_unselected_is_let_go_of_once() {
    shaken(&UNSELECTION);
}

const ALL: [&Workflow; 18] = [
    &TAKEOVER,
    &STOP,
    &RESUMPTION,
    &RESUMPTION_OF_WHAT_EXPIRES,
    &STOP_ON_DELETION,
    &UNDELETION,
    &DELETION_OF_A_POLICY,
    &DELETION_OF_A_VAULT,
    &KEY,
    &GUARD,
    &LOCK,
    &ALWAYS_ON,
    &PAIRED_REGION,
    &TIER,
    &SHORTER,
    &LONGER,
    &ADOPTION,
    &UNSELECTION,
];

#[test]
#[ignore = "takes long: by hand"]
fn every_pair_of_asked_work_with_writes_to_kubernetes() {
    ALL.into_iter().for_each(shaken_by_all);
}

#[test]
#[ignore = "takes long: by hand"]
fn every_step_of_asked_work_may_lose_its_leader() {
    ALL.into_iter().for_each(led_by_others_at_every_step);
}
