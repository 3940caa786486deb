//! Deletion on request, stops, resumption, undeletion: what is asked for in as many words, and nothing else.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule};
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::azures_words::{answer as answer_of_azure, fault, mended};
use crate::people::{answer, asked, edit, granted, key, member, policy_with, protected, sent, vault_with, wants};

fn protection(sim: &Simulation, name: &str) -> String {
    sim.status("ProtectedMachine", name)["protection"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_machine_is_stopped_in_an_immutable_vault_only_by_an_answer_and_resumed_on_request() {
    let mut sim = protected(&granted("Unlocked"));
    let web = member(&sim, "web-1");
    let before = sim.requests().len();
    edit(&sim, "ProtectedMachine", &web, json!({ "protection": "Stopped" }));
    let asks = asked(&mut sim, "ProtectedMachine", &web, "stop");
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "nothing is sent while nobody answers");
    answer(&sim, ("ProtectedMachine", &web), &asks, "approve");
    sim.run_until("stopped", SignedDuration::from_hours(1), |sim| sim.is_ready("ProtectedMachine", &web));
    // Azure keeps no point for good in an immutable vault.
    assert_eq!(protection(&sim, &web), "Suspended", "{}", sim.tell());
    assert_eq!(sim.condition("ProtectedMachine", &web, "Ready").1, "BackupsSuspended");
    wants(&sim, &web, "Protected");
    let resumed = |sim: &Simulation| protection(sim, &web) == "Protected" && sim.is_ready("ProtectedMachine", &web);
    sim.run_until("resumed", SignedDuration::from_hours(2), |sim| resumed(sim));
    assert_eq!(sent(&sim, before).len(), 2, "{:#?}", sent(&sim, before));
}

#[test]
fn stop_and_retain_on_deletion_stops_and_keeps_every_point_and_retain_does_nothing() {
    let mut sim = protected(&granted("Disabled"));
    let (web, win) = (member(&sim, "web-1"), member(&sim, "win-1"));
    edit(&sim, "ProtectedMachine", &web, json!({ "deletionPolicy": "StopAndRetain" }));
    sim.run_for(SignedDuration::from_mins(10));
    let held = |sim: &Simulation, name: &str| sim.cluster.live(&key("ProtectedMachine", name)).and_then(|o| o.metadata.finalizers.clone());
    assert_eq!(held(&sim, &web).map(|f| f.len()), Some(1), "a finalizer, before anything is intended");
    assert_eq!(held(&sim, &win).filter(|f| !f.is_empty()), None);
    let before = sim.requests().len();
    // The policy is suspended, or it would make them anew.
    edit(&sim, "BackupPolicy", "daily", json!({ "suspend": true }));
    for name in [&web, &win] {
        sim.cluster.user().delete(&key("ProtectedMachine", name)).unwrap();
    }
    sim.run_until("both are gone", SignedDuration::from_hours(2), |sim| {
        [&web, &win].iter().all(|name| sim.cluster.live(&key("ProtectedMachine", name)).is_none())
    });
    let written = sent(&sim, before);
    assert!(written.len() == 1 && written[0].contains("PUT") && written[0].contains("web-1"), "{written:#?}");
}

#[test]
fn a_listing_that_lacks_the_item_lets_go_of_no_object_that_is_to_stop_it() {
    let mut sim = protected(&granted("Disabled"));
    let hour = SignedDuration::from_hours(1);
    // Two hours from now lists are three hours old: from before the machine was protected.
    let late = Rule {
        id: "late".into(),
        matches: Match { path: Some("*/backupProtectedItems".into()), after: Some(sim.now() + hour * 2), ..Match::default() },
        fault: Fault::ListLag { seconds: 3.0 * 3600.0 },
    };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(late);
    let machine =
        "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/off-1";
    let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "ProtectedMachine", "metadata": { "name": "off", "namespace": "shop" },
        "spec": { "policyRef": { "name": "daily" }, "machineId": machine, "deletionPolicy": "StopAndRetain" } });
    sim.run_for(hour / 2);
    sim.cluster.user().apply_object(&object).unwrap();
    sim.run_until("it is protected", hour, |sim| ["Protected", "InitialBackupPending"].contains(&protection(sim, "off").as_str()));
    sim.run_for(hour * 2);
    assert_eq!(protection(&sim, "off"), "Protected", "the item itself is read: {}", sim.tell());
    fault(&sim, "GET", "*/protectedItems/*off-1", answer_of_azure(503, "ServiceUnavailable", "try later"));
    sim.run_for(hour);
    let before = sim.requests().len();
    sim.cluster.user().delete(&key("ProtectedMachine", "off")).unwrap();
    sim.run_for(hour);
    assert!(sim.cluster.live(&key("ProtectedMachine", "off")).is_some(), "{}", sim.tell());
    mended(&sim);
    sim.run_until("it is gone", hour * 3, |sim| sim.cluster.live(&key("ProtectedMachine", "off")).is_none());
    let written = sent(&sim, before);
    assert!(written.len() == 1 && written[0].contains("PUT") && written[0].contains("off-1"), "{written:#?}");
}

#[test]
fn a_policy_and_a_vault_go_on_request_only_when_nothing_is_in_them() {
    let manifest = vault_with(&policy_with(&granted("Disabled"), "deletionPolicy: Delete"), "deletionPolicy: Delete");
    let mut sim = protected(&manifest);
    let before = sim.requests().len();
    sim.cluster.user().delete(&key("BackupPolicy", "daily")).unwrap();
    sim.cluster.user().delete(&key("RecoveryVault", "main")).unwrap();
    sim.run_for(SignedDuration::from_hours(3));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "{:#?}", sent(&sim, before));
    let (blocked, reason, message) = sim.condition("RecoveryVault", "main", "Blocked");
    assert_eq!((blocked.as_str(), reason.as_str()), ("True", "Blocked"), "{}", sim.tell());
    assert!(message.contains("deletionPolicy: Retain"), "{message}");
    assert_eq!(sim.condition("BackupPolicy", "daily", "Blocked").1, "Blocked", "{}", sim.tell());
    let blockers = sim.status("RecoveryVault", "main")["blockers"].clone();
    assert!(blockers.as_array().is_some_and(|b| b.iter().any(|b| b.as_str().unwrap().contains("web-1"))), "{blockers}");
    // Retain lets the objects go as they are.
    for (kind, name) in [("BackupPolicy", "daily"), ("RecoveryVault", "main")] {
        edit(&sim, kind, name, json!({ "deletionPolicy": "Retain" }));
    }
    sim.run_for(SignedDuration::from_mins(30));
    assert!(sim.cluster.live(&key("RecoveryVault", "main")).is_none() && sim.cluster.live(&key("BackupPolicy", "daily")).is_none());
    assert_eq!(sent(&sim, before), Vec::<String>::new());
}

#[test]
fn an_empty_vault_and_a_policy_of_no_machine_are_deleted_on_request() {
    let manifest = vault_with(&policy_with(&granted("Disabled"), "deletionPolicy: Delete"), "deletionPolicy: Delete");
    let manifest = manifest.replace("all: { app: [shop] }", "all: { app: [nothing] }");
    let mut sim = Simulation::new(Options::default());
    sim.apply(&manifest);
    sim.run_until("both stand", SignedDuration::from_hours(2), |sim| {
        sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
    });
    let before = sim.requests().len();
    sim.cluster.user().delete(&key("BackupPolicy", "daily")).unwrap();
    sim.run_until("the policy is gone", SignedDuration::from_hours(2), |sim| sim.cluster.live(&key("BackupPolicy", "daily")).is_none());
    sim.cluster.user().delete(&key("RecoveryVault", "main")).unwrap();
    sim.run_until("the vault is gone", SignedDuration::from_hours(2), |sim| sim.cluster.live(&key("RecoveryVault", "main")).is_none());
    let written = sent(&sim, before);
    let deletes = written.iter().filter(|line| line.contains("DELETE")).count();
    assert!(written.len() == 2 && deletes == 2, "{written:#?}");
}

#[test]
fn a_vault_by_which_machines_are_replicated_is_not_deleted_and_says_so() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(&vault_with(&granted("Disabled"), "deletionPolicy: Delete").replace("all: { app: [shop] }", "all: { app: [nothing] }"));
    sim.run_until("it stands", SignedDuration::from_hours(2), |sim| sim.is_ready("RecoveryVault", "main"));
    let vault = sim.status("RecoveryVault", "main")["vault"]["id"].as_str().unwrap().to_owned();
    sim.azure.lock().unwrap().recovery_mut().add_fabric(&vault, "asr-weu", "westeurope");
    let before = sim.requests().len();
    sim.cluster.user().delete(&key("RecoveryVault", "main")).unwrap();
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim, before), Vec::<String>::new());
    assert_eq!(sim.condition("RecoveryVault", "main", "Blocked").1, "Blocked", "{}", sim.tell());
    let blockers = sim.status("RecoveryVault", "main")["blockers"].clone();
    assert_eq!(blockers, json!(["replication of machines in West Europe (fabric asr-weu)"]));
}

#[test]
fn deletion_where_the_access_is_lost_says_so_and_how_to_let_go() {
    let manifest = vault_with(&granted("Disabled"), "deletionPolicy: Delete");
    let mut sim = protected(&manifest);
    sim.cluster.user().delete(&key("AzureAccess", "shop")).unwrap();
    sim.cluster.user().delete(&key("RecoveryVault", "main")).unwrap();
    sim.run_for(SignedDuration::from_hours(1));
    let (blocked, reason, message) = sim.condition("RecoveryVault", "main", "Blocked");
    assert_eq!((blocked.as_str(), reason.as_str()), ("True", "AccessLost"), "{}", sim.tell());
    assert!(message.contains("deletionPolicy: Retain"), "{message}");
    edit(&sim, "RecoveryVault", "main", json!({ "deletionPolicy": "Retain" }));
    sim.run_for(SignedDuration::from_mins(30));
    assert!(sim.cluster.live(&key("RecoveryVault", "main")).is_none(), "{}", sim.tell());
}

#[test]
fn a_machine_that_loses_its_tag_is_kept_by_default_and_let_go_of_after_its_grace_where_declared() {
    let tagless = json!({ "method": "PATCH", "id": "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1", "body": { "tags": { "app": "other" } } });
    let mut kept = protected(&granted("Disabled"));
    kept.behind_our_back(std::slice::from_ref(&tagless));
    let before = kept.requests().len();
    kept.run_for(SignedDuration::from_hours(5));
    assert_eq!(sent(&kept, before), Vec::<String>::new(), "{}", kept.tell());
    let mut sim = protected(&policy_with(&granted("Disabled"), "whenUnselected: StopAndRetain\n  unselectGracePeriod: 3h"));
    let web = member(&sim, "web-1");
    sim.behind_our_back(&[tagless]);
    let before = sim.requests().len();
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "the grace period is not over");
    assert!(sim.status("ProtectedMachine", &web)["unselectedSince"].is_string(), "{}", sim.tell());
    // What is due by time alone is due in a world at rest: the oracle is told that something is.
    for _ in 0..36 {
        sim.behind_our_back(&[]);
        sim.run_for(SignedDuration::from_mins(5));
    }
    assert_eq!(protection(&sim, &web), "Stopped", "{}", sim.tell());
    assert_eq!(sent(&sim, before).len(), 1, "{:#?}", sent(&sim, before));
    assert!(sim.cluster.live(&key("ProtectedMachine", &web)).is_some(), "its object stays while it has points");
}

/// Two machines that lost their tag, one of them let go of and the other held back by the brake: both, and which one.
fn braked() -> (Simulation, [String; 2], String) {
    let mut sim = protected(&policy_with(&granted("Disabled"), "whenUnselected: StopAndRetain\n  unselectGracePeriod: 3h"));
    let tagless = |machine: &str| {
        let id = format!(
            "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/{machine}"
        );
        json!({ "method": "PATCH", "id": id, "body": { "tags": { "app": "other" } } })
    };
    sim.behind_our_back(&[tagless("web-1"), tagless("win-1")]);
    let both = [member(&sim, "web-1"), member(&sim, "win-1")];
    let held = |sim: &Simulation| both.iter().find(|name| sim.condition("ProtectedMachine", name, "Ready").1 == "Brake").cloned();
    for _ in 0..48 {
        sim.behind_our_back(&[]);
        sim.run_for(SignedDuration::from_mins(5));
        if held(&sim).is_some() {
            break;
        }
    }
    let name = held(&sim).unwrap_or_else(|| panic!("nothing is held back: {}", sim.tell()));
    (sim, both, name)
}

#[test]
fn what_the_brake_holds_back_is_asked_about_until_it_may_go_by_itself() {
    let (mut sim, both, name) = braked();
    let question = sim.status("ProtectedMachine", &name)["questions"][0].clone();
    let ends: jiff::Timestamp = question["expiresAt"].as_str().expect("it ends").parse().expect("a time");
    assert!(question["id"] == "brake-protection" && ends > sim.now() && ends <= sim.now() + SignedDuration::from_hours(1), "{question:#}");
    for _ in 0..15 {
        sim.behind_our_back(&[]);
        sim.run_for(SignedDuration::from_mins(5));
    }
    assert!(both.iter().all(|name| protection(&sim, name) == "Stopped"), "{}", sim.tell());
    assert!(sim.status("ProtectedMachine", &name)["questions"].is_null(), "{}", sim.tell());
}

#[test]
fn what_the_brake_holds_back_goes_on_by_an_answer() {
    let (mut sim, _, name) = braked();
    let asks = asked(&mut sim, "ProtectedMachine", &name, "brake-protection");
    answer(&sim, ("ProtectedMachine", &name), &asks, "approve");
    sim.run_until("it is stopped", SignedDuration::from_mins(15), |sim| protection(sim, &name) == "Stopped");
    let used = sim.audit.lines().iter().any(|line| line["event"] == "sending" && line["approvals"][0]["question"] == "brake-protection");
    assert!(used, "the answer is in the audit record: {:#?}", sim.audit.lines());
}

#[test]
fn rights_that_are_lost_let_go_of_nothing() {
    let mut sim = protected(&policy_with(&granted("Disabled"), "whenUnselected: StopAndRetain\n  unselectGracePeriod: 1h"));
    let before = sim.requests().len();
    let roles: Vec<Value> = {
        let azure = sim.azure.lock().unwrap();
        let all = &azure.world().access.assignments;
        all.iter().filter(|(_, a)| a.principal.ends_with("000000000001")).map(|(id, _)| json!({ "method": "DELETE", "id": id })).collect()
    };
    assert!(!roles.is_empty());
    sim.invariants.rights_are_withdrawn();
    sim.behind_our_back(&roles);
    sim.run_for(SignedDuration::from_hours(6));
    assert_eq!(sent(&sim, before), Vec::<String>::new(), "{:#?}", sent(&sim, before));
    assert!(sim.cluster.live_all("ProtectedMachine").iter().all(|o| o.data.pointer("/status/unselectedSince").is_none()), "{}", sim.tell());
}

/// Wrong as they are declared, or naming what is not there: their finalizer would wait for what nobody can give it any more.
#[test]
fn what_never_came_to_anything_is_deleted_whatever_its_deletion_policy_says() {
    let mut sim = protected(&granted("Disabled"));
    let of = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": name, "namespace": "shop" }, "spec": spec });
    let wrong = json!({ "vaultRef": { "name": "main" }, "schedule": { "daily": { "at": "02:00" } }, "timeZone": "Europe/Atlantis",
        "retention": { "daily": { "keep": "30d" } }, "machines": [], "deletionPolicy": "Delete" });
    let vm = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/off-1";
    let mistyped = json!({ "policyRef": { "name": "dayly" }, "machineId": vm, "deletionPolicy": "StopAndRetain" });
    let objects = [("BackupPolicy", "wrong", wrong), ("ProtectedMachine", "mistyped", mistyped)];
    for (kind, name, spec) in &objects {
        sim.cluster.user().apply_object(&of(kind, name, spec.clone())).expect("the API server takes it");
    }
    let held = |sim: &Simulation, kind: &str, name: &str| {
        sim.cluster.live(&key(kind, name)).is_some_and(|o| o.metadata.finalizers.as_ref().is_some_and(|all| !all.is_empty()))
    };
    sim.run_until("they are held", SignedDuration::from_mins(10), |sim| objects.iter().all(|(kind, name, _)| held(sim, kind, name)));
    let before = sim.requests().len();
    for (kind, name, _) in &objects {
        sim.cluster.user().delete(&key(kind, name)).expect("it is there");
    }
    sim.run_for(SignedDuration::from_mins(10));
    assert_eq!(objects.iter().filter(|(kind, name, _)| sim.cluster.live(&key(kind, name)).is_some()).count(), 0, "{}", sim.tell());
    assert_eq!(sent(&sim, before), Vec::<String>::new());
}
