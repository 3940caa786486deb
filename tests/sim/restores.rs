//! Restores: to a new machine, to disks, in place of disks; what is refused before anything is sent.

use std::sync::PoisonError;

use azure_sim::faults::{Ending, Fault, Rule};
use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::Verb,
    },
    sim::{ArmFault, Simulation},
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::people::{PERSON, by_hand, edit, granted, key, member, protected_in, sent};

const ESTATE: &str = "tests/sim/estates/restore.yaml";
const GROUPS: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups";

/// The grant of restores, on the groups that they may reach.
pub fn manifest() -> String {
    granted("Disabled")
        .replace("resourceGroups: [rg-shop, rg-backup]", "resourceGroups: [rg-shop, rg-backup, rg-restore, rg-far]")
        .replace("acts: [Read, Protect, Backup, Delete]", "acts: [Read, Protect, Backup, Delete, Restore, ReplaceDisks, ReadData]")
}

/// One machine with the point of its first backup.
pub fn ready() -> Simulation {
    protected_in(ESTATE, &manifest(), 1)
}

/// A run to that, from the youngest point of the machine.
pub fn run_to(sim: &Simulation, name: &str, to: Value, more: Value) -> Value {
    let machine = member(sim, "web-1");
    let mut spec = json!({
        "from": { "recoveryPoint": { "protectedMachineRef": { "name": machine }, "point": { "latest": {} } } },
        "to": to,
        "staging": { "storageAccountId": format!("{GROUPS}/rg-backup/providers/Microsoft.Storage/storageAccounts/stage") },
    });
    for (field, value) in more.as_object().expect("fields") {
        spec[field] = value.clone();
    }
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun", "metadata": { "name": name, "namespace": "shop" }, "spec": spec })
}

/// The same, applied.
pub fn declare(sim: &Simulation, name: &str, to: Value, more: Value) {
    sim.cluster.user().apply_object(&run_to(sim, name, to, more)).expect("the API server takes it");
}

/// A run to disks whose point was chosen, and that somebody holds back since.
pub fn chosen_and_held(sim: &mut Simulation, name: &str) {
    declare(sim, name, disks(), json!({}));
    sim.run_until("the choice", SignedDuration::from_mins(5), |sim| {
        sim.status("RestoreRun", name)["choices"]["recovery-point"].is_string()
    });
    edit(sim, "RestoreRun", name, json!({ "suspend": true }));
}

/// Another backup of the machine, to its end.
pub fn back_up(sim: &mut Simulation, name: &str) {
    let run = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "protectedMachineRef": { "name": member(sim, "web-1") } } });
    sim.cluster.user().apply_object(&run).expect("the API server takes it");
    sim.run_until(&format!("backup {name}"), SignedDuration::from_hours(8), |sim| sim.status("BackupRun", name)["phase"] == "Succeeded");
}

pub fn new_machine(name: &str) -> Value {
    let subnet = format!("{GROUPS}/rg-shop/providers/Microsoft.Network/virtualNetworks/vnet-westeurope/subnets/default");
    json!({ "newMachine": { "name": name, "resourceGroup": "rg-restore", "subnetId": subnet } })
}

pub fn disks() -> Value {
    json!({ "disks": { "resourceGroup": "rg-restore" } })
}

/// In place of the machine's disks, within the hour.
pub fn replace(sim: &Simulation, more: Value) -> (Value, Value) {
    let mut wanted = json!({ "confirm": "web-1", "stopMachine": true });
    for (field, value) in more.as_object().expect("fields") {
        wanted[field] = value.clone();
    }
    (json!({ "replaceDisks": wanted }), json!({ "expiresAt": sim.now() + SignedDuration::from_hours(1) }))
}

pub fn phase(sim: &Simulation, name: &str) -> String {
    sim.status("RestoreRun", name)["phase"].as_str().unwrap_or_default().to_owned()
}

pub fn until(sim: &mut Simulation, name: &str, wanted: &str) {
    sim.run_until(&format!("{name} is {wanted}"), SignedDuration::from_hours(8), |sim| phase(sim, name) == wanted);
}

/// Restores that Azure took since so many requests.
fn restores(sim: &Simulation, since: usize) -> usize {
    sim.requests().iter().skip(since).filter(|line| line.contains("/restore -> 202")).count()
}

fn exists(sim: &Simulation, id: &str, version: &str) -> bool {
    by_hand(sim, PERSON, "GET", id, version, Value::Null).0 == 200
}

fn made(sim: &Simulation, name: &str) -> Vec<String> {
    let status = sim.status("RestoreRun", name);
    status["made"].as_array().into_iter().flatten().filter_map(|m| m["id"].as_str().map(str::to_owned)).collect()
}

fn reason(sim: &Simulation, name: &str) -> String {
    sim.condition("RestoreRun", name, "Ready").1
}

/// Runs until the object says why not; what it says.
fn refused(sim: &mut Simulation, name: &str, why: &str) -> String {
    let what = format!("{name} says {why}");
    sim.run_until(&what, SignedDuration::from_mins(15), |sim| reason(sim, name) == why);
    sim.condition("RestoreRun", name, "Ready").2
}

#[test]
fn a_machine_is_restored_beside_its_source_and_all_that_was_made_is_named() {
    let mut sim = ready();
    let (from, writes) = (sim.requests().len(), sim.arm.writes());
    declare(&sim, "one", new_machine("web-1-restored"), json!({}));
    until(&mut sim, "one", "Succeeded");
    let status = sim.status("RestoreRun", "one");
    assert!(sim.is_ready("RestoreRun", "one"), "{status:#}");
    assert_eq!(status["point"]["consistency"], "FileSystemConsistent", "{status:#}");
    assert_eq!(status["choices"]["recovery-point"], status["point"]["name"]);
    assert!(status["validation"]["at"].is_string() && status["validation"]["findings"].is_null(), "{status:#}");
    let made = made(&sim, "one");
    let of = |kind: &str| made.iter().filter(|id| id.to_lowercase().contains(kind)).count();
    assert_eq!((of("/virtualmachines/"), of("/networkinterfaces/"), of("/disks/")), (1, 1, 2), "{made:#?}");
    let machine = format!("{GROUPS}/rg-restore/providers/Microsoft.Compute/virtualMachines/web-1-restored");
    assert!(exists(&sim, &machine, "2024-07-01"), "{}", sim.tell());
    let terraform = status["handOff"]["terraform"].as_str().expect("a hand-off");
    assert_eq!(terraform.matches("import {").count(), 4, "{terraform}");
    // The restore, and its mark on what it made.
    assert_eq!((restores(&sim, from), sim.arm.writes() - writes), (1, 2), "{:#?}", sent(&sim, from));
    // Validation comes before the restore, and both after the choice.
    let all = sim.requests();
    let place = |word: &str| all.iter().skip(from).position(|line| line.contains(word));
    assert!(place("/backupTriggerValidateOperation") < place("/restore -> 202"), "{all:#?}");
    let log = sim.cluster.write_log(0).len();
    sim.run_for(SignedDuration::from_hours(2));
    let later: Vec<String> = sim.cluster.write_log(log).iter().filter(|w| w.key.kind == "RestoreRun").map(ToString::to_string).collect();
    assert!(later.is_empty(), "{later:#?}");
}

#[test]
fn what_a_restore_made_is_meant_by_no_selector() {
    let everywhere = manifest().replace("resourceGroups: [rg-shop]\n", "resourceGroups: [rg-shop, rg-restore]\n");
    assert_ne!(everywhere, manifest());
    let mut sim = protected_in(ESTATE, &everywhere, 1);
    declare(&sim, "one", new_machine("web-2"), json!({ "ttlSecondsAfterFinished": 0 }));
    sim.run_until("done and gone", SignedDuration::from_hours(4), |sim| sim.cluster.live_all("RestoreRun").is_empty());
    // Somebody tags the copy as the original is.
    let machine = format!("{GROUPS}/rg-restore/providers/Microsoft.Compute/virtualMachines/web-2");
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": machine, "body": { "tags": { "app": "shop" } } })]);
    sim.run_for(SignedDuration::from_hours(1));
    let excluded = sim.status("BackupPolicy", "daily")["excluded"].clone();
    let reason = excluded.as_array().into_iter().flatten().find(|e| e["machine"].as_str().is_some_and(|m| m.ends_with("/web-2")));
    assert_eq!(reason.map(|e| e["reason"].clone()), Some(json!("RestoredCopy")), "{excluded:#}");
    assert_eq!(sim.cluster.live_all("ProtectedMachine").len(), 1);
}

#[test]
fn a_run_goes_by_its_time_to_live_only_when_its_machine_remembers_it() {
    let mut sim = ready();
    declare(&sim, "one", disks(), json!({ "ttlSecondsAfterFinished": 0 }));
    sim.run_until("it runs", SignedDuration::from_hours(4), |sim| phase(sim, "one") == "Running");
    // The machine's status cannot be written meanwhile.
    let strike = Strike::Every { verb: Verb::PatchStatus, kind: "ProtectedMachine".into() };
    sim.cluster_faults(FaultPlan::seeded(1).with(strike, WriteFault::Refused("etcd is full".into())));
    until(&mut sim, "one", "Succeeded");
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(phase(&sim, "one"), "Succeeded", "it is there as long as nobody remembers it");
    sim.cluster_faults(FaultPlan::seeded(1));
    sim.run_until("it is gone", SignedDuration::from_hours(2), |sim| sim.cluster.live_all("RestoreRun").is_empty());
    let runs = sim.status("ProtectedMachine", &member(&sim, "web-1"))["runs"].clone();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs:#}");
}

#[test]
fn disks_are_restored_all_or_some() {
    for (luns, count) in [(Value::Null, 2), (json!([]), 1), (json!([0]), 2)] {
        let mut sim = ready();
        let mut to = disks();
        if !luns.is_null() {
            to["disks"]["luns"] = luns.clone();
        }
        declare(&sim, "one", to, json!({}));
        until(&mut sim, "one", "Succeeded");
        let made = made(&sim, "one");
        assert_eq!(made.len(), count, "{luns}: {made:#?}");
        assert!(made.iter().all(|id| exists(&sim, id, "2025-01-02") && id.contains("/rg-restore/")), "{made:#?}");
    }
}

#[test]
fn disks_are_replaced_under_a_machine_that_is_stopped_first_and_the_old_ones_are_kept() {
    let mut sim = ready();
    let from = sim.requests().len();
    let (to, more) = replace(&sim, json!({}));
    declare(&sim, "one", to, more);
    until(&mut sim, "one", "Succeeded");
    let status = sim.status("RestoreRun", "one");
    let ids = |field: &str| -> Vec<String> {
        status[field].as_array().into_iter().flatten().filter_map(|d| d["id"].as_str().map(str::to_lowercase)).collect()
    };
    let (old, new) = (ids("oldDisks"), ids("made"));
    assert_eq!((old.len(), new.len()), (2, 2), "{status:#}");
    assert!(old.iter().all(|id| !new.contains(id) && exists(&sim, id, "2025-01-02")), "{status:#}");
    let vm = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    let (_, body) = by_hand(&sim, PERSON, "GET", &vm, "2024-07-01", Value::Null);
    let os = body.pointer("/properties/storageProfile/osDisk/managedDisk/id").and_then(Value::as_str).expect("a disk").to_lowercase();
    assert!(new.contains(&os), "{body:#}");
    let posts: Vec<String> = sent(&sim, from).into_iter().filter(|l| l.contains(" POST ") && !l.contains("alidate")).collect();
    assert!(posts.len() == 2 && posts[0].contains("/deallocate") && posts[1].contains("/restore"), "{posts:#?}");
}

#[test]
fn disks_are_not_replaced_where_anything_speaks_against_it() {
    let mut sim = ready();
    let from = sim.requests().len();
    let cases = [
        ("wrong-name", json!({ "confirm": "web-2" }), "InvalidSpec", "spell it out"),
        ("runs", json!({ "stopMachine": false }), "MachineRunning", "stopMachine: true"),
    ];
    for (name, wanted, why, words) in cases {
        let (to, more) = replace(&sim, wanted);
        declare(&sim, name, to, more);
        let said = refused(&mut sim, name, why);
        assert!(said.contains(words), "{said}");
    }
    let (to, _) = replace(&sim, json!({}));
    let without = sim.cluster.user().apply_object(&run_to(&sim, "without", to.clone(), json!({})));
    assert!(without.is_err_and(|e| e.to_string().contains("needs expiresAt")));
    declare(&sim, "far-ahead", to.clone(), json!({ "expiresAt": sim.now() + SignedDuration::from_hours(30) }));
    assert!(refused(&mut sim, "far-ahead", "InvalidSpec").contains("within 24 hours"));
    // A machine that replicates.
    let vm = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    let extension =
        |publisher: &str, name: &str| json!({ "id": format!("{vm}/extensions/{name}"), "properties": { "publisher": publisher } });
    let edit = |resources: Value| [json!({ "method": "PATCH", "id": vm, "body": { "resources": resources } })];
    let other = extension("Microsoft.OSTCExtensions", "enablevmaccess");
    sim.behind_our_back(&edit(json!([other, extension("Microsoft.Azure.RecoveryServices.SiteRecovery2", "SiteRecovery-Linux")])));
    declare(&sim, "replicates", to.clone(), json!({ "expiresAt": sim.now() + SignedDuration::from_hours(1) }));
    let said = refused(&mut sim, "replicates", "MachineReplicates");
    assert!(said.contains("SiteRecovery-Linux") && said.contains("whenReplicating: Break"), "{said}");
    let (broken, more) = replace(&sim, json!({ "whenReplicating": "Break", "stopMachine": false }));
    declare(&sim, "breaks-it", broken, more);
    assert!(refused(&mut sim, "breaks-it", "MachineRunning").contains("stopMachine"));
    sim.behind_our_back(&edit(json!([other])));
    // Another machine under the same id.
    let vm = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    sim.behind_our_back(&[
        json!({ "method": "PATCH", "id": vm, "body": { "properties": { "vmId": "00000000-0000-4000-8000-0000000000ff" } } }),
    ]);
    let (to, more) = replace(&sim, json!({}));
    declare(&sim, "another", to, more);
    assert!(refused(&mut sim, "another", "IdentityChanged").contains("another machine"));
    let posts: Vec<String> = sent(&sim, from).into_iter().filter(|l| l.contains(" POST ")).collect();
    assert!(posts.is_empty(), "{posts:#?}");
}

#[test]
fn bad_input_is_named_before_anything_is_sent() {
    let mut sim = ready();
    let from = sim.requests().len();
    let account = |group: &str, name: &str| json!({ "staging": { "storageAccountId": format!("{GROUPS}/{group}/providers/Microsoft.Storage/storageAccounts/{name}") } });
    let subnet = |group: &str, network: &str, subnet: &str| {
        let mut to = new_machine("web-9");
        to["newMachine"]["subnetId"] =
            json!(format!("{GROUPS}/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"));
        to
    };
    let into = |group: &str| json!({ "disks": { "resourceGroup": group } });
    let point = |choice: Value| json!({ "from": { "recoveryPoint": { "protectedMachineRef": { "name": member(&sim, "web-1") }, "point": choice } } });
    let mut taken = new_machine("web-1");
    taken["newMachine"]["resourceGroup"] = json!("rg-shop");
    let cases = [
        ("no-account", disks(), account("rg-backup", "nowhere"), "InvalidSpec", "does not exist"),
        ("zone-account", disks(), account("rg-backup", "stagezone"), "InvalidSpec", "zone-redundant"),
        ("blob-account", disks(), account("rg-backup", "stageblob"), "InvalidSpec", "general-purpose"),
        ("walled-account", disks(), account("rg-backup", "stagewall"), "InvalidSpec", "firewall"),
        ("far-account", disks(), account("rg-far", "stagefar"), "InvalidSpec", "must be in the region of the data, westeurope"),
        ("far-subnet", subnet("rg-far", "vnet-northeurope", "default"), json!({}), "LocationMismatch", "northeurope"),
        ("no-subnet", subnet("rg-shop", "vnet-westeurope", "none"), json!({}), "InvalidSpec", "no subnet none"),
        ("no-network", subnet("rg-shop", "vnet-none", "default"), json!({}), "InvalidSpec", "does not exist"),
        ("taken", taken, json!({}), "TargetExists", "exists already"),
        ("outside", into("rg-private"), json!({}), "AccessDenied", "does not allow Restore"),
        ("no-point", disks(), point(json!({ "name": "1234567890" })), "NoRecoveryPoint", "there is no recovery point"),
        (
            "too-early",
            disks(),
            point(json!({ "latest": { "before": "2020-01-01T00:00:00Z" } })),
            "NoRecoveryPoint",
            "no recovery point fits",
        ),
        (
            "too-good",
            disks(),
            point(json!({ "latest": { "consistency": "ApplicationConsistent" } })),
            "NoRecoveryPoint",
            "no recovery point fits",
        ),
        ("not-private", disks(), json!({ "diskAccess": "SameAsSource" }), "InvalidSpec", "diskAccess must be left out"),
        (
            "no-identity",
            disks(),
            json!({ "staging": { "storageAccountId": format!("{GROUPS}/rg-backup/providers/Microsoft.Storage/storageAccounts/stage"), "identity": "SystemAssigned" } }),
            "InvalidSpec",
            "does not have the identity SystemAssigned",
        ),
    ];
    for (name, to, more, why, words) in cases {
        declare(&sim, name, to, more);
        let said = refused(&mut sim, name, why);
        assert!(said.contains(words), "{name}: {said}");
    }
    let posts: Vec<String> = sent(&sim, from).into_iter().filter(|l| l.contains(" POST ")).collect();
    assert!(posts.is_empty(), "{posts:#?}");
}

#[test]
fn what_azure_finds_is_told_and_nothing_is_restored_until_it_finds_nothing() {
    let mut sim = ready();
    let from = sim.requests().len();
    // No room for the machine: nothing that we look at ourselves shows it.
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": "/subscriptions/50b50000-0000-4000-8000-000000000001", "body": { "coresLeft": { "westeurope": 0 } } })]);
    declare(&sim, "one", new_machine("web-2"), json!({}));
    let said = refused(&mut sim, "one", "ValidationFailed");
    let status = sim.status("RestoreRun", "one");
    assert!(status["validation"]["findings"][0]["code"].is_string(), "{said}: {status:#}");
    assert_eq!(restores(&sim, from), 0);
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": "/subscriptions/50b50000-0000-4000-8000-000000000001", "body": { "coresLeft": { "westeurope": 50 } } })]);
    until(&mut sim, "one", "Succeeded");
    assert_eq!(restores(&sim, from), 1);
}

#[test]
fn a_restore_that_fails_names_what_it_left_behind() {
    let mut sim = ready();
    let from = sim.requests().len();
    let fails = Rule::once("fails late", "POST", "*/restore", Fault::RestoreFate { how: Ending::FailsLate, code: None });
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(fails);
    declare(&sim, "one", new_machine("web-1-restored"), json!({}));
    until(&mut sim, "one", "Failed");
    let (status, why, message) = sim.condition("RestoreRun", "one", "Ready");
    assert_eq!((status.as_str(), why.as_str()), ("False", "JobFailed"), "{message}");
    let (_, all) = by_hand(&sim, PERSON, "GET", &format!("{GROUPS}/rg-restore/resources"), "2022-09-01", Value::Null);
    assert!(
        message.contains("left behind: 3 (status.made)"),
        "{message}: {:#?} of {all:#}",
        sim.requests().iter().filter(|l| l.contains("/rg-restore/")).collect::<Vec<_>>()
    );
    assert!(made(&sim, "one").iter().all(|id| id.contains("/rg-restore/")));
    sim.run_for(SignedDuration::from_hours(3));
    assert_eq!(restores(&sim, from), 1, "it is not repeated");
}

#[test]
fn a_job_that_says_it_is_done_and_made_nothing_has_failed() {
    let mut sim = ready();
    let undone = Rule::once("undone", "POST", "*/restore", Fault::RestoreFate { how: Ending::WarnsUndone, code: None });
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(undone);
    let (to, more) = replace(&sim, json!({}));
    declare(&sim, "one", to, more);
    until(&mut sim, "one", "Failed");
    assert_eq!(reason(&sim, "one"), "NothingMade", "{}", sim.tell());
}

#[test]
fn a_restore_is_done_once_however_often_it_is_declared() {
    let mut sim = ready();
    let from = sim.requests().len();
    declare(&sim, "one", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "one", "Succeeded");
    sim.cluster.user().delete(&key("RestoreRun", "one")).expect("it is there");
    sim.run_until("it is gone", SignedDuration::from_mins(5), |sim| sim.cluster.live_all("RestoreRun").is_empty());
    declare(&sim, "again", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "again", "AlreadyDone");
    assert_eq!(restores(&sim, from), 1, "{}", sim.tell());
    assert!(sim.status("RestoreRun", "again")["job"]["name"].is_string(), "{}", sim.tell());
    for fault in [ArmFault::AnswerLost, ArmFault::DiesAfter, ArmFault::NeverSent, ArmFault::DiesBefore] {
        let from = sim.requests().len();
        let name = format!("run-{}", sim.requests().len());
        sim.arm_fault(1, fault);
        declare(&sim, &name, disks(), json!({}));
        until(&mut sim, &name, "Succeeded");
        assert_eq!(restores(&sim, from), 1, "{fault:?}: {}", sim.tell());
    }
}

#[test]
fn a_restore_that_azure_did_with_warnings_is_done_and_not_done_again() {
    let mut sim = ready();
    let from = sim.requests().len();
    let warns = Rule::once("warns", "POST", "*/restore", Fault::RestoreFate { how: Ending::Warns, code: None });
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(warns);
    declare(&sim, "one", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "one", "Succeeded");
    assert_eq!(sim.status("RestoreRun", "one")["job"]["status"], "CompletedWithWarnings", "{}", sim.tell());
    let marks = || sent(&sim, from).into_iter().filter(|line| line.contains("/tags/default")).count();
    assert_eq!(marks(), 1, "what it made bears its mark: {}", sim.tell());
    let key_of = |name: &str| key("RestoreRun", name);
    sim.cluster.user().delete(&key_of("one")).expect("it is there");
    sim.run_until("it is gone", SignedDuration::from_mins(5), |sim| sim.cluster.live_all("RestoreRun").is_empty());
    // By Azure's jobs, and when it has forgotten them by what the machine's object remembers.
    for (name, days) in [("soon", 0), ("late", 40)] {
        sim.run_for(SignedDuration::from_hours(24 * days));
        declare(&sim, name, disks(), json!({ "key": "incident-7" }));
        until(&mut sim, name, "AlreadyDone");
    }
    assert_eq!(restores(&sim, from), 1, "{}", sim.tell());
}

#[test]
fn what_another_restore_makes_beside_it_is_not_told_as_made() {
    let mut sim = ready();
    declare(&sim, "shorter", new_machine("web-1-copy"), json!({}));
    until(&mut sim, "shorter", "Running");
    let beside = |name: &str| {
        let id = format!("{GROUPS}/rg-restore/providers/Microsoft.Network/networkInterfaces/{name}");
        let subnet = new_machine("any")["newMachine"]["subnetId"].clone();
        let config = json!({ "name": "ip", "properties": { "subnet": { "id": subnet }, "privateIPAllocationMethod": "Dynamic" } });
        json!({ "method": "PUT", "id": id, "body": { "location": "westeurope", "properties": { "ipConfigurations": [config] } } })
    };
    sim.behind_our_back(&[beside("web-1-copy-two-nic-0123456789abcdef"), beside("web-1-copy-two")]);
    until(&mut sim, "shorter", "Succeeded");
    assert!(made(&sim, "shorter").iter().any(|id| id.contains("/networkInterfaces/web-1-copy-nic-")), "{:#?}", made(&sim, "shorter"));
    assert!(made(&sim, "shorter").iter().all(|id| !id.contains("web-1-copy-two")), "{:#?}", made(&sim, "shorter"));
}

#[test]
fn the_point_is_chosen_once_though_a_younger_one_comes() {
    let mut sim = ready();
    chosen_and_held(&mut sim, "one");
    let chosen = sim.status("RestoreRun", "one")["choices"]["recovery-point"].clone();
    back_up(&mut sim, "younger");
    edit(&sim, "RestoreRun", "one", json!({ "suspend": false }));
    until(&mut sim, "one", "Succeeded");
    let status = sim.status("RestoreRun", "one");
    assert_eq!((&status["choices"]["recovery-point"], &status["point"]["name"]), (&chosen, &chosen), "{status:#}");
}

#[test]
fn a_machine_that_is_long_gone_is_restored_by_its_vault_and_id() {
    let mut sim = ready();
    edit(&sim, "BackupPolicy", "daily", json!({ "suspend": true }));
    let name = member(&sim, "web-1");
    sim.cluster.user().delete(&key("ProtectedMachine", &name)).expect("it is there");
    let vm = format!("{GROUPS}/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": vm })]);
    let source = json!({ "recoveryPoint": { "vaultRef": { "name": "main" }, "machineId": vm, "point": { "latest": {} } } });
    let whole = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun", "metadata": { "name": "one", "namespace": "shop" },
        "spec": { "from": source, "to": disks(), "staging": { "storageAccountId": format!("{GROUPS}/rg-backup/providers/Microsoft.Storage/storageAccounts/stage") } } });
    sim.cluster.user().apply_object(&whole).expect("taken");
    until(&mut sim, "one", "Succeeded");
    assert_eq!(made(&sim, "one").len(), 2, "{}", sim.tell());
}

#[test]
fn a_plan_shows_the_point_and_the_request_and_sends_nothing() {
    let mut sim = ready();
    let from = sim.requests().len();
    declare(&sim, "one", disks(), json!({ "mode": "Plan" }));
    sim.run_until("its plan", SignedDuration::from_mins(10), |sim| sim.status("RestoreRun", "one")["plan"].is_string());
    let status = sim.status("RestoreRun", "one");
    assert!(status["plan"].as_str().is_some_and(|p| p.contains("/restore")) && status["point"]["name"].is_string(), "{status:#}");
    assert_eq!(restores(&sim, from), 0);
    edit(&sim, "RestoreRun", "one", json!({ "mode": "Manage" }));
    until(&mut sim, "one", "Succeeded");
}

#[test]
fn what_the_vault_holds_of_another_machine_of_that_name_is_neither_shown_nor_touched() {
    let mut sim = ready();
    let name = member(&sim, "web-1");
    let item = format!(
        "{GROUPS}/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu/backupFabrics/Azure/protectionContainers/\
         IaasVMContainer;iaasvmcontainerv2;rg-shop;web-1/protectedItems/VM;iaasvmcontainerv2;rg-shop;web-1"
    );
    let other =
        "/subscriptions/50b50000-0000-4000-8000-000000000002/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1";
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": item, "body": { "properties": { "sourceResourceId": other } } })]);
    sim.run_for(SignedDuration::from_mins(20));
    let from = sim.requests().len();
    for kind in ["Ready", "Recoverable", "WithinRPO"] {
        let (is, why, said) = sim.condition("ProtectedMachine", &name, kind);
        assert!(is == "False" && (kind != "Ready" || why == "NameTaken" && said.contains("sourceResourceId")), "{kind}: {is} {why} {said}");
    }
    assert_eq!(sim.status("ProtectedMachine", &name)["protection"], "NotProtected");
    declare(&sim, "one", disks(), json!({}));
    assert!(refused(&mut sim, "one", "NameTaken").contains("use another vault"));
    let run = sim.status("RestoreRun", "one");
    assert!(run["point"].is_null() && run["choices"].is_null(), "another's point is neither chosen nor shown: {run:#}");
    let backup = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": "b", "namespace": "shop" },
        "spec": { "protectedMachineRef": { "name": name } } });
    sim.cluster.user().apply_object(&backup).expect("the API server takes it");
    sim.run_until("it is refused", SignedDuration::from_mins(30), |sim| sim.condition("BackupRun", "b", "Ready").1 == "NameTaken");
    edit(&sim, "ProtectedMachine", &name, json!({ "protection": "Stopped" }));
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sent(&sim, from), Vec::<String>::new());
}

#[test]
fn a_chosen_point_that_expired_is_told_where_the_run_waited_for_something_else() {
    let mut sim = protected_in(ESTATE, &manifest().replace("daily: { keep: 30d }", "daily: { keep: 7d }"), 1);
    // The point of the schedule, which is kept for a week.
    sim.run_for(SignedDuration::from_hours(24));
    let nowhere = format!("{GROUPS}/rg-backup/providers/Microsoft.Storage/storageAccounts/nowhere");
    let more = json!({ "expiresAt": sim.now() + SignedDuration::from_hours(24 * 60), "staging": { "storageAccountId": nowhere } });
    declare(&sim, "one", disks(), more);
    assert!(refused(&mut sim, "one", "InvalidSpec").contains("does not exist"));
    let chosen = sim.status("RestoreRun", "one")["point"]["name"].as_str().expect("a point").to_owned();
    edit(&sim, "RestoreRun", "one", json!({ "suspend": true }));
    sim.run_for(SignedDuration::from_hours(24 * 5));
    edit(&sim, "RestoreRun", "one", json!({ "suspend": false }));
    sim.run_for(SignedDuration::from_hours(24 * 3));
    assert!(refused(&mut sim, "one", "NoRecoveryPoint").contains(&format!("recovery point {chosen}, which this run chose, is gone")));
}
