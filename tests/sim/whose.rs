//! Whose a thing is, and what is said of it: what one object merely names is not its own, what another has is not shown, and what
//! was last known is not told as if it held.

use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    manifests::SMALL,
    people::{answer, asked, edit, granted, key, member, protected, protected_in, sent, vault_with, wants},
    restores::{declare, disks, manifest, new_machine, replace, run_to, until},
};

const ESTATE: &str = "tests/sim/estates/restore.yaml";
const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[test]
fn a_machine_that_a_restore_merely_names_is_protected_all_the_same() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let mut named = new_machine("off-1");
    named["newMachine"]["resourceGroup"] = json!("rg-shop");
    declare(&sim, "names-it", named, json!({}));
    sim.run_for(HOUR * 2);
    let there = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/off-1");
    assert_eq!(sim.status("RestoreRun", "names-it")["targetId"], json!(there));
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": there, "body": { "tags": { "app": "shop" } } })]);
    sim.run_for(HOUR);
    assert!(member(&sim, "off-1").starts_with("off-1-"), "{}", sim.tell());
}

#[test]
fn the_points_of_a_machine_that_is_not_granted_are_not_shown() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    edit_access(
        &sim,
        json!([{ "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": ["rg-backup", "rg-restore"],
        "acts": ["Read", "Protect", "Backup", "Restore", "ReadData"] }]),
    );
    let from = json!({ "recoveryPoint": { "vaultRef": { "name": "main" }, "point": { "latest": { "before": "2020-01-01T00:00:00Z" } },
        "machineId": format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1") } });
    declare(&sim, "too-early", disks(), json!({ "from": from }));
    let mut youngest = from.clone();
    youngest["recoveryPoint"]["point"] = json!({ "latest": {} });
    declare(&sim, "youngest", disks(), json!({ "from": youngest }));
    sim.run_for(HOUR / 2);
    for name in ["too-early", "youngest"] {
        let status = sim.status("RestoreRun", name);
        assert_eq!(sim.condition("RestoreRun", name, "Ready").1, "AccessDenied", "{status:#}");
        assert!(status["point"].is_null() && status["choices"].is_null(), "{status:#}");
        assert!(!status.to_string().contains("points, from"), "{status:#}");
    }
}

pub fn edit_access(sim: &Simulation, allow: Value) {
    edit(sim, "AzureAccess", "shop", json!({ "allow": allow }));
}

#[test]
fn a_machine_that_was_stopped_for_a_restore_that_never_began_is_told_as_stopped() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let (to, more) = replace(&sim, json!({}));
    declare(&sim, "one", to, more);
    let stopped = |sim: &Simulation| sim.requests().iter().any(|line| line.contains("/deallocate -> 202"));
    while !stopped(&sim) {
        let until = sim.now() + SignedDuration::from_mins(1);
        sim.step(until);
    }
    let lock =
        format!("{GROUPS}/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu/providers/Microsoft.Authorization/locks/audit");
    sim.behind_our_back(&[json!({ "method": "PUT", "id": lock, "body": { "properties": { "level": "ReadOnly" } } })]);
    sim.run_until("held", HOUR, |sim| sim.condition("RestoreRun", "one", "Ready").1 == "Locked");
    assert!(sim.condition("RestoreRun", "one", "Ready").2.contains("web-1 was stopped for it"), "{}", sim.tell());
    until(&mut sim, "one", "Expired");
    let told = sim.condition("RestoreRun", "one", "Ready").2;
    assert!(told.contains("web-1 was stopped for it") && !told.contains("nothing was sent"), "{told}");
    assert!(sim.status("RestoreRun", "one")["machineStoppedAt"].is_string());
}

#[test]
fn a_rebuilt_cluster_does_not_take_the_restored_disks_for_the_old_ones() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let (to, more) = replace(&sim, json!({}));
    let run = run_to(&sim, "one", to, more);
    sim.cluster.user().apply_object(&run).expect("taken");
    until(&mut sim, "one", "Succeeded");
    assert_eq!(sim.status("RestoreRun", "one")["oldDisks"].as_array().map(Vec::len), Some(2));
    sim.lose_cluster("cluster-two");
    sim.apply_the_rule();
    sim.apply(&manifest());
    let takeover = asked(&mut sim, "RecoveryVault", "main", "takeover");
    answer(&sim, ("RecoveryVault", "main"), &takeover, "approve");
    sim.run_until("it is known", HOUR * 2, |sim| {
        sim.cluster.live_all("ProtectedMachine").iter().any(|o| o.data.pointer("/status/recoveryPoints/latest").is_some())
    });
    sim.cluster.user().apply_object(&run).expect("Git applies it again");
    until(&mut sim, "one", "AlreadyDone");
    let status = sim.status("RestoreRun", "one");
    assert!(status["oldDisks"].is_null() && status["made"].as_array().is_some_and(|made| made.len() >= 2), "{status:#}");
    assert!(sim.condition("RestoreRun", "one", "Ready").2.contains("does not know them"), "{}", sim.tell());
}

#[test]
fn what_a_suspended_machine_has_is_looked_at_though_nothing_of_its_item_moves() {
    let mut sim = protected_in(ESTATE, &manifest().replace("immutability: Disabled", "immutability: Unlocked"), 1);
    let web = member(&sim, "web-1");
    wants(&sim, &web, "Stopped");
    let asks = asked(&mut sim, "ProtectedMachine", &web, "stop");
    answer(&sim, ("ProtectedMachine", &web), &asks, "approve");
    sim.run_until("stopped", HOUR, |sim| sim.is_ready("ProtectedMachine", &web));
    let tiers = |sim: &Simulation| sim.status("ProtectedMachine", &web)["recoveryPoints"]["tiers"].clone();
    assert_eq!(tiers(&sim), json!({ "snapshot": 1, "vault": 1, "archive": 0 }));
    let from = sim.requests().len();
    for _ in 0..4 * 8 {
        // What passes by time alone passes in a world at rest: the oracle is told that something is due.
        sim.behind_our_back(&[]);
        sim.run_for(HOUR * 3);
    }
    assert_eq!(tiers(&sim), json!({ "snapshot": 0, "vault": 1, "archive": 0 }), "its snapshot is kept for two days");
    let looks = sim.requests().iter().skip(from).filter(|line| line.contains("/recoveryPoints ")).count();
    assert!((2..=4).contains(&looks), "{looks} looks in four days");
}

#[test]
fn two_policies_of_one_name_do_not_undo_each_other() {
    let named =
        granted("Disabled").replace("vaultRef: { name: main }", "vaultRef: { name: main }\n  azureName: everybodys\n  adopt: IfNotWeaker");
    let mut sim = protected(&named);
    let other = named.split("---").last().expect("the policy").replace("name: daily,", "name: nightly,").replace("02:00", "03:30");
    let from = sim.requests().len();
    sim.cluster.user().apply(&other).expect("the API server takes it");
    sim.run_for(HOUR * 24);
    assert_eq!(sim.condition("BackupPolicy", "nightly", "Ready").1, "Conflict", "{}", sim.tell());
    let puts: Vec<String> = sent(&sim, from).into_iter().filter(|line| line.contains("/backupPolicies/")).collect();
    assert_eq!(puts, Vec::<String>::new());
    // The name that derives from an object is that object's, whoever declares it.
    let derived = sim.status("BackupPolicy", "daily")["policyId"].as_str().is_some_and(|id| id.ends_with("/everybodys"));
    assert!(derived, "{}", sim.tell());
    sim.cluster.user().delete(&key("BackupPolicy", "daily")).expect("it is deleted");
    sim.run_until("the other takes it over", HOUR * 2, |sim| sim.is_ready("BackupPolicy", "nightly"));
}

#[test]
fn a_deletion_that_waits_because_nothing_may_be_sent_says_so() {
    let mut sim = protected(&vault_with(&granted("Disabled"), "deletionPolicy: Delete"));
    edit(&sim, "RecoveryVault", "main", json!({ "suspend": true }));
    sim.run_for(HOUR / 2);
    sim.cluster.user().delete(&key("RecoveryVault", "main")).expect("deletion begins");
    sim.run_for(HOUR / 2);
    let (blocked, reason, message) = sim.condition("RecoveryVault", "main", "Blocked");
    assert_eq!((blocked.as_str(), reason.as_str()), ("True", "Suspended"), "{}", sim.tell());
    assert!(message.contains("spec.suspend is true") && message.contains("deletionPolicy: Retain"), "{message}");
}

#[test]
fn a_machine_whose_vault_object_is_pruned_keeps_what_was_last_known_of_it() {
    let mut sim = protected(SMALL);
    let web = member(&sim, "web-1");
    let before = sim.condition("ProtectedMachine", &web, "Recoverable");
    assert_eq!(before.0, "True");
    sim.cluster.user().delete(&key("RecoveryVault", "main")).expect("it is pruned");
    sim.run_for(HOUR * 2);
    for about in ["Protected", "Recoverable", "WithinRPO"] {
        let (state, _, message) = sim.condition("ProtectedMachine", &web, about);
        assert_eq!(state, "Unknown", "{about}: {}", sim.tell());
        assert!(message.starts_with("it is not looked at now; last known: "), "{about}: {message}");
    }
    assert!(sim.condition("ProtectedMachine", &web, "Recoverable").2.ends_with(&before.2));
    sim.apply(SMALL);
    sim.run_until("it is known again", HOUR, |sim| sim.condition("ProtectedMachine", &web, "Recoverable").0 == "True");
}

#[test]
fn a_run_that_no_point_fits_is_over_when_its_time_is() {
    let mut sim = protected_in(ESTATE, &manifest(), 1);
    let point = |sim: &Simulation, point: Value| json!({ "recoveryPoint": { "protectedMachineRef": { "name": member(sim, "web-1") }, "point": point } });
    for (nth, latest) in [json!({}), json!({ "consistency": "ApplicationConsistent" }), json!({})].into_iter().enumerate() {
        let from = point(&sim, json!({ "latest": latest }));
        declare(&sim, &format!("run-{nth}"), disks(), json!({ "from": from, "expiresAt": sim.now() + HOUR / 2 }));
        sim.run_for(SignedDuration::from_mins(3));
    }
    until(&mut sim, "run-0", "Succeeded");
    until(&mut sim, "run-2", "Succeeded");
    sim.run_for(HOUR);
    assert_eq!(sim.status("RestoreRun", "run-1")["phase"], "Expired", "{:#}", sim.status("RestoreRun", "run-1"));
}
