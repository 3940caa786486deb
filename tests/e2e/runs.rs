//! Backups on demand and restores through kubectl, with the real operator: one file for what a person runs once.

use std::time::Duration;

use breakwater_dev::stack::Stack;
use breakwater_tests::e2e::{self, NAMESPACE, OpenOperations, condition};
use serde_json::{Value, json};

pub const PATIENCE: Duration = Duration::from_secs(240);

/// One machine with the point of its first backup; its object's name.
pub fn backed_up(stack: &Stack, machine: &str) -> String {
    e2e::vault(stack);
    with_a_point(stack, machine)
}

/// The same, where the vault stands already.
pub fn with_a_point(stack: &Stack, machine: &str) -> String {
    stack.kubectl().apply(&e2e::policy(machine, "30d", "Now", "")).unwrap();
    let get = ["get", "pmach", "-n", NAMESPACE];
    let name = stack.kubectl().wait_until("a recovery point", PATIENCE, &get, |list| {
        let found = list["items"].as_array()?.iter().find(|m| m["status"]["recoveryPoints"]["latestInVault"].is_object())?;
        found["metadata"]["name"].as_str().map(str::to_owned)
    });
    name.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(40)))
}

/// Applies a run, and waits until it is over; the object.
pub fn run(stack: &Stack, kind: &str, name: &str, spec: &Value) -> Value {
    let object =
        json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
    stack.kubectl().apply(&object.to_string()).unwrap();
    over(stack, kind, name)
}

pub fn over(stack: &Stack, kind: &str, name: &str) -> Value {
    let get = ["get", kind, name, "-n", NAMESPACE];
    let over = |object: &Value| matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Expired" | "AlreadyDone"));
    let done = stack.kubectl().wait_until(&format!("{kind} {name} is over"), PATIENCE, &get, |o| over(o).then(|| o.clone()));
    done.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(60)))
}

pub fn restore(pmach: &str, to: &Value) -> Value {
    let group = format!("/subscriptions/{}/resourceGroups/rg-backup", e2e::SUBSCRIPTION);
    json!({ "from": { "recoveryPoint": { "protectedMachineRef": { "name": pmach }, "point": { "latest": {} } } }, "to": to,
        "staging": { "storageAccountId": format!("{group}/providers/Microsoft.Storage/storageAccounts/shopstage") } })
}

fn new_machine(name: &str) -> Value {
    let network =
        format!("/subscriptions/{}/resourceGroups/rg-shop/providers/Microsoft.Network/virtualNetworks/vnet-westeurope", e2e::SUBSCRIPTION);
    json!({ "newMachine": { "name": name, "resourceGroup": "rg-restore", "subnetId": format!("{network}/subnets/default") } })
}

/// How often Azure carried out a POST of that ending.
pub fn carried_out(stack: &Stack, ending: &str) -> usize {
    let all = stack.simulator().journal().writes_to("POST", ending).unwrap();
    all.iter().filter(|request| request["applied"] == true).count()
}

#[test]
fn a_backup_and_every_kind_of_restore_through_kubectl() {
    let stack = e2e::stack("runs");
    let kubectl = stack.kubectl();
    let pmach = backed_up(&stack, "web-02");
    let backup = run(
        &stack,
        "BackupRun",
        "before-upgrade",
        &json!({ "protectedMachineRef": { "name": pmach }, "retainUntil": "2028-01-31T00:00:00Z" }),
    );
    assert_eq!(
        (&backup["status"]["phase"], &backup["status"]["recoveryPoint"]["expires"]),
        (&json!("Succeeded"), &json!("2028-01-31T00:00:00Z")),
        "{backup:#}"
    );
    kubectl.run(&["wait", "--for=condition=Ready", "--timeout=5s", "-n", NAMESPACE, "brun/before-upgrade"]).unwrap();
    let changed = kubectl.refusal_of(&json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": "before-upgrade", "namespace": NAMESPACE },
        "spec": { "protectedMachineRef": { "name": pmach }, "retainUntil": "2029-01-31T00:00:00Z" } }).to_string());
    assert!(changed.as_ref().is_ok_and(|words| words.contains("make a new BackupRun")), "{changed:?}");

    let beside = run(&stack, "RestoreRun", "beside", &restore(&pmach, &new_machine("web-02-restored")));
    assert_eq!(
        (&beside["status"]["phase"], condition(&beside, "Ready")["status"].as_str()),
        (&json!("Succeeded"), Some("True")),
        "{beside:#}"
    );
    assert_eq!(beside["status"]["made"].as_array().map(Vec::len), Some(3), "machine, interface and disk: {beside:#}");
    assert!(beside["status"]["handOff"]["terraform"].as_str().is_some_and(|text| text.contains("azurerm_managed_disk")), "{beside:#}");
    let disks = run(&stack, "RestoreRun", "disks", &restore(&pmach, &json!({ "disks": { "resourceGroup": "rg-restore" } })));
    assert_eq!(disks["status"]["phase"], "Succeeded", "{disks:#}");
    let mut spec = restore(&pmach, &json!({ "replaceDisks": { "confirm": "web-02", "stopMachine": true } }));
    spec["expiresAt"] = json!(e2e::world_in(&stack, 12));
    let replaced = run(&stack, "RestoreRun", "in-place", &spec);
    assert_eq!(
        (&replaced["status"]["phase"], replaced["status"]["oldDisks"].as_array().map(Vec::len)),
        (&json!("Succeeded"), Some(1)),
        "{replaced:#}"
    );
    assert_eq!((carried_out(&stack, "/backup"), carried_out(&stack, "/restore"), carried_out(&stack, "/deallocate")), (2, 3, 1));

    let table = kubectl.run(&["get", "brun,rrun", "-n", NAMESPACE]).unwrap();
    for word in ["PHASE", "before-upgrade", "machine web-02-restored in rg-restore", "disks of web-02", "FileSystemConsistent"] {
        assert!(table.contains(word), "{word}:\n{table}");
    }
    // A run that says so goes by itself, and what it made stays.
    kubectl.run(&["patch", "rrun", "beside", "-n", NAMESPACE, "--type=merge", "-p", r#"{"spec":{"ttlSecondsAfterFinished":0}}"#]).unwrap();
    kubectl.run(&["wait", "--for=delete", "--timeout=60s", "-n", NAMESPACE, "rrun/beside"]).unwrap();
    let again = run(&stack, "RestoreRun", "beside", &restore(&pmach, &new_machine("web-02-restored")));
    assert_eq!((&again["status"]["phase"], carried_out(&stack, "/restore")), (&json!("AlreadyDone"), 3), "{again:#}");
}

/// Begins a run, and leaves it to itself.
fn begin(stack: &Stack, kind: &str, name: &str, spec: &Value) {
    let object =
        json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
    stack.kubectl().apply(&object.to_string()).unwrap();
}

#[test]
fn what_is_restored_is_chosen_by_name_by_time_and_by_id_and_what_does_not_fit_is_not_begun() {
    let stack = e2e::stack("runs-choices");
    let pmach = backed_up(&stack, "web-02");
    let backup = run(&stack, "BackupRun", "second", &json!({ "protectedMachineRef": { "name": pmach } }));
    let second = backup["status"]["recoveryPoint"].clone();
    let points = stack.kubectl().json(&["get", "pmach", &pmach, "-n", NAMESPACE]).unwrap()["status"].clone();
    let first = points["recoveryPoints"]["oldest"].clone();
    assert_ne!(first["name"], second["name"], "{points:#}");
    let disks = json!({ "disks": { "resourceGroup": "rg-restore" } });
    let from = |from: Value| {
        let mut spec = restore(&pmach, &disks);
        spec["from"]["recoveryPoint"] = from;
        spec
    };
    let of_machine = |point: Value| from(json!({ "protectedMachineRef": { "name": pmach }, "point": point }));
    let machine = format!("/subscriptions/{}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-02", e2e::SUBSCRIPTION);
    begin(&stack, "RestoreRun", "by-name", &of_machine(json!({ "name": first["name"] })));
    begin(&stack, "RestoreRun", "by-time", &of_machine(json!({ "latest": { "before": first["at"] } })));
    let by_id = json!({ "vaultRef": { "name": "main" }, "machineId": machine, "point": { "latest": {} } });
    begin(&stack, "RestoreRun", "by-id", &from(by_id));
    let mut unfit = of_machine(json!({ "latest": { "consistency": "ApplicationConsistent" } }));
    unfit["expiresAt"] = json!(e2e::world_in(&stack, 1));
    begin(&stack, "RestoreRun", "unfit", &unfit);
    let mut late = of_machine(json!({ "latest": {} }));
    late["expiresAt"] = json!("2026-01-01T00:00:00Z");
    begin(&stack, "RestoreRun", "late", &late);
    for (name, phase, point) in [
        ("by-name", "Succeeded", &first),
        ("by-time", "Succeeded", &first),
        ("by-id", "Succeeded", &second),
        ("unfit", "Expired", &Value::Null),
        // What it would have taken is shown; it was not chosen.
        ("late", "Expired", &second),
    ] {
        let done = over(&stack, "RestoreRun", name);
        assert_eq!((&done["status"]["phase"], &done["status"]["point"]["name"]), (&json!(phase), &point["name"]), "{name}: {done:#}");
        assert_eq!(done["status"]["choices"].is_null(), phase == "Expired", "{name}: {done:#}");
    }
    assert_eq!(carried_out(&stack, "/restore"), 3);
    // Deleting a run cancels its job only where it says so.
    begin(&stack, "BackupRun", "given-up", &json!({ "protectedMachineRef": { "name": pmach }, "cancelOnDelete": true }));
    let get = ["get", "brun", "given-up", "-n", NAMESPACE];
    stack.kubectl().wait_until("a job", PATIENCE, &get, |o| o["status"]["job"]["name"].as_str().map(str::to_owned)).unwrap();
    stack.kubectl().run(&["delete", "brun", "given-up", "-n", NAMESPACE, "--timeout=120s"]).unwrap();
    assert_eq!(carried_out(&stack, "/cancel"), 1);
}

#[test]
fn a_kill_in_the_middle_of_replacing_disks_replaces_them_once() {
    let mut stack = e2e::stack("runs-killed");
    let pmach = backed_up(&stack, "web-02");
    for (round, path) in ["*/deallocate", "*/restore"].iter().enumerate() {
        // Carried out at once, answered five world minutes later: the operator has its intent saved and waits.
        let fault =
            json!({ "id": "held", "match": { "method": "POST", "path": path, "count": 1 }, "fault": { "delay": { "seconds": 300 } } });
        stack.simulator().tell("/faults", &fault).unwrap();
        let name = format!("round-{round}");
        let mut spec = restore(&pmach, &json!({ "replaceDisks": { "confirm": "web-02", "stopMachine": true } }));
        spec["expiresAt"] = json!(e2e::world_in(&stack, 20));
        let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun", "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
        let before = (carried_out(&stack, "/restore"), carried_out(&stack, "/deallocate"));
        let mut watch = OpenOperations::of(&stack, "rrun");
        stack.kubectl().apply(&object.to_string()).unwrap();
        let ending = path.trim_start_matches('*');
        let seen = watch.until(&format!("an intent of {ending}"), |o| o["target"].as_str().is_some_and(|t| t.ends_with(ending)));
        let sent =
            || stack.simulator().journal().writes().unwrap().iter().any(|r| r["clientRequestId"] == seen["clientRequestId"]).then_some(());
        e2e::until(PATIENCE, sent).unwrap();
        stack.take_operator().kill().unwrap();
        let _ = stack.simulator().withdraw("/faults");
        stack.start_operator(&[]).unwrap();
        let done = over(&stack, "RestoreRun", &name);
        assert_eq!(done["status"]["phase"], "Succeeded", "{done:#}");
        let after = (carried_out(&stack, "/restore"), carried_out(&stack, "/deallocate"));
        // The second time the machine is off already.
        let stops = usize::from(round == 0);
        assert_eq!(after, (before.0 + 1, before.1 + stops), "{ending}: {done:#}");
    }
}
