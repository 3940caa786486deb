//! Deletion on request, stops, resumption, undeletion: what is asked for in as many words, and nothing else.

use breakwater_engine::ports::ObjectKey;
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::manifests::SMALL;

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: kind.into(), namespace: "shop".into(), name: name.into() }
}

fn granted(immutability: &str) -> String {
    SMALL
        .replace("acts: [Read, Protect, Backup]", "acts: [Read, Protect, Backup, Delete]")
        .replace("immutability: Unlocked", &format!("immutability: {immutability}"))
}

fn world(manifest: &str) -> Simulation {
    let mut sim = Simulation::new(Options::default());
    sim.apply_the_rule();
    sim.apply(manifest);
    sim.run_until("two machines with points", SignedDuration::from_hours(6), |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        let open = all.iter().filter(|o| o.data.pointer("/status/operations").is_some()).count();
        open == 0 && all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count() == 2
    });
    sim
}

fn member(sim: &Simulation, prefix: &str) -> String {
    let all = sim.cluster.live_all("ProtectedMachine");
    all.iter().filter_map(|o| o.metadata.name.clone()).find(|n| n.starts_with(prefix)).unwrap_or_else(|| panic!("{}", sim.tell()))
}

fn sent(sim: &Simulation) -> Vec<String> {
    let is_write = |line: &&String| !line.contains(" GET ") && !line.to_ascii_lowercase().contains("/backupstatus");
    sim.requests().iter().filter(is_write).cloned().collect()
}

fn asked(sim: &mut Simulation, kind: &str, name: &str, id: &str) -> Value {
    let find = |sim: &Simulation| {
        let status = sim.status(kind, name);
        status["questions"].as_array().into_iter().flatten().find(|q| q["id"] == id).cloned()
    };
    sim.run_until(&format!("{name} asks {id}"), SignedDuration::from_hours(2), |sim| find(sim).is_some());
    find(sim).expect("it asks")
}

fn answer(sim: &Simulation, kind: &str, name: &str, question: &Value) {
    let uid = sim.cluster.live(&key(kind, name)).and_then(|o| o.metadata.uid.clone()).expect("the object");
    let id = question["id"].as_str().unwrap();
    let approval = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "Approval", "metadata": { "name": format!("{name}-{id}"), "namespace": "shop" },
        "spec": { "targetRef": { "kind": kind, "name": name }, "targetUid": uid, "question": id, "digest": question["digest"], "answer": "approve",
            "approvedBy": "ann@example.com", "expiresAt": sim.now() + SignedDuration::from_hours(4) } });
    sim.cluster.user().apply_object(&approval).expect("the API server takes it");
}

fn protection(sim: &Simulation, name: &str) -> String {
    sim.status("ProtectedMachine", name)["protection"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_machine_is_stopped_in_an_immutable_vault_only_by_an_answer_and_resumed_by_another() {
    let mut sim = world(&granted("Unlocked"));
    let web = member(&sim, "web-1");
    let before = sent(&sim).len();
    sim.cluster.user().patch(&key("ProtectedMachine", &web), &json!({ "spec": { "protection": "Stopped" } })).unwrap();
    let asks = asked(&mut sim, "ProtectedMachine", &web, "stop");
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!(sent(&sim).len(), before, "nothing is sent while nobody answers");
    answer(&sim, "ProtectedMachine", &web, &asks);
    sim.run_for(SignedDuration::from_hours(1));
    let told = (protection(&sim, &web), sim.condition("ProtectedMachine", &web, "Ready"));
    // Azure's own word decides: some vaults refuse it, and then it is said.
    if told.0 == "Stopped" {
        assert!(sim.is_ready("ProtectedMachine", &web), "{}", sim.tell());
        sim.cluster.user().patch(&key("ProtectedMachine", &web), &json!({ "spec": { "protection": "Protected" } })).unwrap();
        let asks = asked(&mut sim, "ProtectedMachine", &web, "resume");
        answer(&sim, "ProtectedMachine", &web, &asks);
        sim.run_until("resumed", SignedDuration::from_hours(2), |sim| sim.is_ready("ProtectedMachine", &web));
        assert_eq!(sent(&sim).len(), before + 2, "{:#?}", sent(&sim).split_off(before));
    } else {
        assert_eq!(told.1.0, "False", "{}", sim.tell());
    }
}

#[test]
fn stop_and_retain_on_deletion_stops_and_keeps_every_point_and_retain_does_nothing() {
    let mut sim = world(&granted("Disabled"));
    let (web, win) = (member(&sim, "web-1"), member(&sim, "win-1"));
    sim.cluster.user().patch(&key("ProtectedMachine", &web), &json!({ "spec": { "deletionPolicy": "StopAndRetain" } })).unwrap();
    sim.run_for(SignedDuration::from_mins(10));
    let held = |sim: &Simulation, name: &str| sim.cluster.live(&key("ProtectedMachine", name)).and_then(|o| o.metadata.finalizers.clone());
    assert_eq!(held(&sim, &web).map(|f| f.len()), Some(1), "a finalizer, before anything is intended");
    assert_eq!(held(&sim, &win).filter(|f| !f.is_empty()), None);
    let before = sent(&sim).len();
    // The policy is suspended, or it would make them anew.
    sim.cluster.user().patch(&key("BackupPolicy", "daily"), &json!({ "spec": { "suspend": true } })).unwrap();
    for name in [&web, &win] {
        sim.cluster.user().delete(&key("ProtectedMachine", name)).unwrap();
    }
    sim.run_until("both are gone", SignedDuration::from_hours(2), |sim| {
        [&web, &win].iter().all(|name| sim.cluster.live(&key("ProtectedMachine", name)).is_none())
    });
    let written = sent(&sim).split_off(before);
    assert!(written.len() == 1 && written[0].contains("PUT") && written[0].contains("web-1"), "{written:#?}");
}

#[test]
fn a_policy_and_a_vault_go_on_request_only_when_nothing_is_in_them() {
    let manifest = granted("Disabled")
        .replace("firstBackup: Now", "firstBackup: Now\n  deletionPolicy: Delete")
        .replace("  tags: { cost-center: shop }", "  tags: { cost-center: shop }\n  deletionPolicy: Delete");
    let mut sim = world(&manifest);
    let before = sent(&sim).len();
    sim.cluster.user().delete(&key("BackupPolicy", "daily")).unwrap();
    sim.cluster.user().delete(&key("RecoveryVault", "main")).unwrap();
    sim.run_for(SignedDuration::from_hours(3));
    assert_eq!(sent(&sim).len(), before, "{:#?}", sent(&sim).split_off(before));
    let (blocked, reason, message) = sim.condition("RecoveryVault", "main", "Blocked");
    assert_eq!((blocked.as_str(), reason.as_str()), ("True", "Blocked"), "{}", sim.tell());
    assert!(message.contains("deletionPolicy: Retain"), "{message}");
    assert_eq!(sim.condition("BackupPolicy", "daily", "Blocked").1, "Blocked", "{}", sim.tell());
    let blockers = sim.status("RecoveryVault", "main")["blockers"].clone();
    assert!(blockers.as_array().is_some_and(|b| b.iter().any(|b| b.as_str().unwrap().contains("web-1"))), "{blockers}");
    // Retain lets the objects go as they are.
    for (kind, name) in [("BackupPolicy", "daily"), ("RecoveryVault", "main")] {
        sim.cluster.user().patch(&key(kind, name), &json!({ "spec": { "deletionPolicy": "Retain" } })).unwrap();
    }
    sim.run_for(SignedDuration::from_mins(30));
    assert!(sim.cluster.live(&key("RecoveryVault", "main")).is_none() && sim.cluster.live(&key("BackupPolicy", "daily")).is_none());
    assert_eq!(sent(&sim).len(), before);
}

#[test]
fn an_empty_vault_and_a_policy_of_no_machine_are_deleted_on_request() {
    let manifest = granted("Disabled")
        .replace("tags: { all: { app: [shop] }", "tags: { all: { app: [nothing] }")
        .replace("firstBackup: Now", "firstBackup: Now\n  deletionPolicy: Delete")
        .replace("  tags: { cost-center: shop }", "  tags: { cost-center: shop }\n  deletionPolicy: Delete");
    let mut sim = Simulation::new(Options::default());
    sim.apply(&manifest);
    sim.run_until("both stand", SignedDuration::from_hours(2), |sim| {
        sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
    });
    let before = sent(&sim).len();
    sim.cluster.user().delete(&key("BackupPolicy", "daily")).unwrap();
    sim.run_until("the policy is gone", SignedDuration::from_hours(2), |sim| sim.cluster.live(&key("BackupPolicy", "daily")).is_none());
    sim.cluster.user().delete(&key("RecoveryVault", "main")).unwrap();
    sim.run_until("the vault is gone", SignedDuration::from_hours(2), |sim| sim.cluster.live(&key("RecoveryVault", "main")).is_none());
    let written = sent(&sim).split_off(before);
    let deletes = written.iter().filter(|line| line.contains("DELETE")).count();
    assert!(written.len() == 2 && deletes == 2, "{written:#?}");
}

#[test]
fn deletion_where_the_access_is_lost_says_so_and_how_to_let_go() {
    let manifest = granted("Disabled").replace("  tags: { cost-center: shop }", "  tags: { cost-center: shop }\n  deletionPolicy: Delete");
    let mut sim = world(&manifest);
    sim.cluster.user().delete(&ObjectKey { kind: "AzureAccess".into(), namespace: String::new(), name: "shop".into() }).unwrap();
    sim.cluster.user().delete(&key("RecoveryVault", "main")).unwrap();
    sim.run_for(SignedDuration::from_hours(1));
    let (blocked, reason, message) = sim.condition("RecoveryVault", "main", "Blocked");
    assert_eq!((blocked.as_str(), reason.as_str()), ("True", "AccessLost"), "{}", sim.tell());
    assert!(message.contains("deletionPolicy: Retain"), "{message}");
    sim.cluster.user().patch(&key("RecoveryVault", "main"), &json!({ "spec": { "deletionPolicy": "Retain" } })).unwrap();
    sim.run_for(SignedDuration::from_mins(30));
    assert!(sim.cluster.live(&key("RecoveryVault", "main")).is_none(), "{}", sim.tell());
}

#[test]
fn a_machine_that_loses_its_tag_is_kept_by_default_and_let_go_of_after_its_grace_where_declared() {
    let tagless = json!({ "method": "PATCH", "id": "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1", "body": { "tags": { "app": "other" } } });
    let mut kept = world(&granted("Disabled"));
    kept.behind_our_back(&[tagless.clone()]);
    let before = sent(&kept).len();
    kept.run_for(SignedDuration::from_hours(5));
    assert_eq!(sent(&kept).len(), before, "{}", kept.tell());
    let mut sim = world(
        &granted("Disabled").replace("firstBackup: Now", "firstBackup: Now\n  whenUnselected: StopAndRetain\n  unselectGracePeriod: 3h"),
    );
    let web = member(&sim, "web-1");
    sim.behind_our_back(&[tagless]);
    let before = sent(&sim).len();
    sim.run_for(SignedDuration::from_hours(2));
    assert_eq!(sent(&sim).len(), before, "the grace period is not over");
    assert!(sim.status("ProtectedMachine", &web)["unselectedSince"].is_string(), "{}", sim.tell());
    // What is due by time alone is due in a world at rest: the oracle is told that something is.
    for _ in 0..36 {
        sim.behind_our_back(&[]);
        sim.run_for(SignedDuration::from_mins(5));
    }
    assert_eq!(protection(&sim, &web), "Stopped", "{}", sim.tell());
    assert_eq!(sent(&sim).len(), before + 1, "{:#?}", sent(&sim).split_off(before));
    assert!(sim.cluster.live(&key("ProtectedMachine", &web)).is_some(), "its object stays while it has points");
}

#[test]
fn rights_that_are_lost_let_go_of_nothing() {
    let mut sim = world(
        &granted("Disabled").replace("firstBackup: Now", "firstBackup: Now\n  whenUnselected: StopAndRetain\n  unselectGracePeriod: 1h"),
    );
    let before = sent(&sim).len();
    let roles: Vec<Value> = {
        let azure = sim.azure.lock().unwrap();
        let all = &azure.world().access.assignments;
        all.iter().filter(|(_, a)| a.principal.ends_with("000000000001")).map(|(id, _)| json!({ "method": "DELETE", "id": id })).collect()
    };
    assert!(!roles.is_empty());
    sim.invariants.rights_are_withdrawn();
    sim.behind_our_back(&roles);
    sim.run_for(SignedDuration::from_hours(6));
    assert_eq!(sent(&sim).len(), before, "{:#?}", sent(&sim).split_off(before));
    assert!(sim.cluster.live_all("ProtectedMachine").iter().all(|o| o.data.pointer("/status/unselectedSince").is_none()), "{}", sim.tell());
}
