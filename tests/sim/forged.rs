//! Records that nobody of us wrote: a status may be a tenant's own writing, the access that it pins too.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    files::{closed, mounted},
    people::{edit, key, member, sent},
    restores,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const TAGS: &str = "providers/Microsoft.Resources/tags/default";

/// An access of somebody else's, as strong as ours, that admits another namespace.
fn others_access() -> Value {
    json!({ "metadata": { "name": "other" }, "spec": { "namespaces": { "names": ["elsewhere"] } } })
}

/// A record with a debt that is due, of something that was never lent.
fn record(target: &str, (method, path, body): (&str, &str, Value), access: &str) -> Value {
    let debt = json!({ "method": method, "path": path, "apiVersion": "2024-04-01", "body": body.to_string(),
        "until": "2026-01-01T00:00:00Z", "access": access, "attempts": 0 });
    json!({ "node": "mount", "verb": "post", "method": "POST", "target": target, "act": "ReadData", "intentAt": "2026-01-01T00:00:00Z",
        "attempt": 1, "key": "k", "clientRequestId": "6f1c1a3e-0000-5000-8000-000000000001", "endedAt": "2026-01-01T00:00:01Z",
        "outcome": "Succeeded", "debt": debt })
}

#[test]
fn a_debt_under_anothers_access_is_paid_by_nobody_whatever_the_status_pins() {
    let mut sim = restores::ready();
    let access = sim.cluster.live(&key("AzureAccess", "shop")).expect("it is there");
    let mut other = serde_json::to_value(&*access).expect("JSON");
    other["metadata"] = json!({ "name": "other" });
    other["spec"]["namespaces"] = others_access()["spec"]["namespaces"].clone();
    sim.cluster.user().apply_object(&other).expect("it is taken");
    let status = sim.status("ProtectedMachine", &member(&sim, "web-1"));
    let point = format!("{}/recoveryPoints/1", status["itemId"].as_str().expect("an item"));
    let machine = sim.cluster.live(&key("ProtectedMachine", &member(&sim, "web-1"))).expect("there").data["spec"]["machineId"].clone();
    let machine = machine.as_str().expect("an id").to_owned();
    let tags = json!({ "operation": "Merge", "properties": { "tags": { "backup": "off" } } });
    let revoke = (format!("{point}/revokeInstantItemRecovery"), format!("{point}/provisionInstantItemRecovery"));
    let forged = [
        (record(&revoke.1, ("POST", &revoke.0, Value::Null), "other"), "other"),
        (record(&revoke.1, ("POST", &revoke.0, Value::Null), "other"), "shop"),
        (record(&format!("{machine}/{TAGS}"), ("PATCH", &format!("{machine}/{TAGS}"), tags.clone()), "other"), "other"),
        (record(&revoke.1, ("PATCH", &format!("{machine}/{TAGS}"), tags), "shop"), "shop"),
    ];
    for (nth, (operation, pinned)) in forged.into_iter().enumerate() {
        let name = format!("forged-{nth}");
        // Of a kind that lends: no other closes anything.
        let run = restores::run_to(&sim, &name, restores::disks(), json!({ "suspend": true }));
        sim.cluster.user().apply_object(&run).expect("the API server takes it");
        let status = json!({ "access": { "name": pinned }, "operations": [operation] });
        sim.cluster.user().patch_status(&key("RestoreRun", &name), &status).expect("it may write the status");
    }
    let from = sim.requests().len();
    sim.run_for(HOUR * 2);
    sim.die("restarted");
    sim.run_for(HOUR * 2);
    let sent: Vec<String> = sent(&sim, from).into_iter().filter(|line| line.contains("revoke") || line.contains("/tags/")).collect();
    assert_eq!(sent, Vec::<String>::new());
}

#[test]
fn what_was_lent_is_closed_though_its_access_admits_the_namespace_no_more() {
    for dies in [false, true] {
        let mut sim = mounted("8h");
        edit(&sim, "AzureAccess", "shop", json!({ "namespaces": { "names": ["elsewhere"] } }));
        if dies {
            sim.die("restarted");
        }
        sim.run_until(&format!("dies: {dies}: it is closed"), SignedDuration::from_mins(10), |sim| closed(sim));
    }
}

#[test]
fn a_time_at_the_end_of_the_calendar_in_a_status_stops_no_leader() {
    let mut sim = restores::ready();
    let record = |node: &str| {
        json!({ "node": node, "verb": "delete", "method": "DELETE", "target": "/x", "act": "Delete", "intentAt": "9999-12-30T22:00:00Z",
            "attempt": 1, "key": "k", "clientRequestId": "6f1c1a3e-0000-5000-8000-000000000001" })
    };
    let forged = json!({ "operations": [record("a"), record("b")] });
    sim.cluster.user().patch_status(&key("BackupPolicy", "daily"), &forged).expect("it may write the status");
    sim.die("restarted");
    restores::back_up(&mut sim, "after");
}

#[test]
fn a_run_of_anothers_namespace_names_no_machine_a_copy_that_its_access_does_not_reach() {
    let mut sim = restores::ready();
    let web = sim.cluster.live(&key("ProtectedMachine", &member(&sim, "web-1"))).expect("it is there");
    let target = web.data["spec"]["machineId"].as_str().expect("an id").to_owned();
    let run = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun", "metadata": { "name": "claims", "namespace": "elsewhere" },
        "spec": { "from": { "recoveryPoint": { "machineId": target, "vaultId": "/x", "point": { "latest": {} } } }, "to": restores::disks() } });
    let at = breakwater_engine::ports::ObjectKey { kind: "RestoreRun".into(), namespace: "elsewhere".into(), name: "claims".into() };
    if sim.cluster.user().apply_object(&run).is_err() {
        let mut named = restores::run_to(&sim, "claims", restores::disks(), json!({}));
        named["metadata"]["namespace"] = json!("elsewhere");
        sim.cluster.user().apply_object(&named).expect("the API server takes it");
    }
    // Long before the machine was made, as it says.
    let status = json!({ "targetId": target, "job": { "name": "j", "startedAt": "2000-01-01T00:00:00Z" } });
    sim.cluster.user().patch_status(&at, &status).expect("it may write the status");
    sim.cluster.user().delete(&key("ProtectedMachine", &member(&sim, "web-1"))).expect("it is there");
    sim.run_until("it is made again", HOUR * 3, |sim| {
        sim.cluster.live_all("ProtectedMachine").iter().any(|o| o.data.pointer("/status/protection") == Some(&json!("Protected")))
    });
}

#[test]
fn a_forged_source_shows_nothing_of_a_machine_that_is_not_granted() {
    let mut sim = restores::ready();
    let web = sim.cluster.live(&key("ProtectedMachine", &member(&sim, "web-1"))).expect("it is there");
    let machine = web.data["spec"]["machineId"].as_str().expect("an id").to_owned();
    restores::back_up(&mut sim, "own");
    let job = sim.status("BackupRun", "own")["job"]["name"].as_str().expect("its job").to_owned();
    let narrow = json!([{ "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": ["rg-backup"],
        "acts": ["Read", "Protect", "Backup"] }]);
    edit(&sim, "AzureAccess", "shop", json!({ "allow": narrow }));
    let run = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": "forged", "namespace": "shop" },
        "spec": { "protectedMachineRef": { "name": "none-such" } } });
    sim.cluster.user().apply_object(&run).expect("the API server takes it");
    let status = json!({ "source": { "vaultRef": { "name": "main" }, "machineId": machine }, "job": { "name": job } });
    sim.cluster.user().patch_status(&key("BackupRun", "forged"), &status).expect("it may write the status");
    let from = sim.requests().len();
    sim.run_for(HOUR * 2);
    let told = sim.status("BackupRun", "forged");
    assert!(told["job"]["status"].is_null() && told["recoveryPoint"].is_null(), "{told:#}");
    let read = sim.requests().into_iter().skip(from).filter(|line| line.contains(&format!("/backupJobs/{job}"))).collect::<Vec<_>>();
    assert_eq!(read, Vec::<String>::new());
}
