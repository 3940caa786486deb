//! Files of a recovery point, and the paired region, through kubectl with the real operator and its rights.

use std::time::Duration;

use breakwater_dev::stack::{ACCOUNT, Stack};
use breakwater_tests::e2e::{self, NAMESPACE, condition};
use serde_json::{Value, json};

use crate::runs::{PATIENCE, backed_up, carried_out, over, restore, with_a_point};

fn declare(stack: &Stack, name: &str, spec: &Value) {
    let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun",
        "metadata": { "name": name, "namespace": NAMESPACE }, "spec": spec });
    stack.kubectl().apply(&object.to_string()).unwrap();
}

fn files(pmach: &str, mount_for: &str) -> Value {
    json!({ "from": { "recoveryPoint": { "protectedMachineRef": { "name": pmach }, "point": { "latest": {} } } },
        "to": { "files": { "mountFor": mount_for, "secretName": "web-02-files" } } })
}

fn wait_for(stack: &Stack, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let get = ["get", "rrun", name, "-n", NAMESPACE];
    let seen = stack.kubectl().wait_until(what, PATIENCE, &get, |object| is(object).then(|| object.clone()));
    seen.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(40)))
}

fn secrets(stack: &Stack) -> Vec<Value> {
    let list: Value = serde_json::from_str(&stack.kubectl().run(&["get", "secrets", "-n", NAMESPACE, "-o", "json"]).unwrap()).unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

#[test]
fn files_are_mounted_by_a_secret_and_a_kill_leaves_nothing_open() {
    let mut stack = e2e::stack("files");
    let pmach = backed_up(&stack, "web-02");
    declare(&stack, "files", &files(&pmach, "1h"));
    // Nobody has bound the role yet: nothing is sent, and the remedy is told.
    let held = wait_for(&stack, "files", "it says what is missing", |o| condition(o, "Stalled")["reason"] == "SecretAccessMissing");
    let remedy = condition(&held, "Ready")["message"].as_str().unwrap_or_default().to_owned();
    assert!(
        remedy.contains("kubectl create rolebinding breakwater-file-recovery") && carried_out(&stack, "/provisionInstantItemRecovery") == 0,
        "{remedy}"
    );
    let account = format!("--serviceaccount={}:{ACCOUNT}", breakwater_dev::stack::NAMESPACE);
    let role = "--clusterrole=breakwater-file-recovery";
    stack.kubectl().run(&["create", "rolebinding", "breakwater-file-recovery", "-n", NAMESPACE, role, &account]).unwrap();
    stack.kubectl().run(&["annotate", "rrun/files", "-n", NAMESPACE, "breakwater.io/requested-at=now"]).unwrap();
    stack.kubectl().run(&["wait", "rrun/files", "-n", NAMESPACE, "--for=condition=Mounted", "--timeout=120s"]).unwrap();
    let all = secrets(&stack);
    let secret = all.iter().find(|s| s["metadata"]["name"] == "web-02-files").expect("a Secret");
    let keys: Vec<&String> = secret["data"].as_object().expect("data").keys().collect();
    assert!(keys.iter().any(|k| k.ends_with(".py")) && keys.iter().any(|k| *k == "password"), "{keys:?}");
    assert_eq!((&secret["immutable"], &secret["metadata"]["ownerReferences"][0]["name"]), (&json!(true), &json!("files")));
    // Killed while it is mounted, and started again: the Secret and the mount end in time, once.
    stack.take_operator().kill().unwrap();
    stack.start_operator(&[]).unwrap();
    let done = over(&stack, "RestoreRun", "files");
    assert_eq!(done["status"]["phase"], "Succeeded", "{done:#}");
    assert!(!secrets(&stack).iter().any(|s| s["metadata"]["name"] == "web-02-files"), "the Secret is gone");
    let counts = (carried_out(&stack, "/provisionInstantItemRecovery"), carried_out(&stack, "/revokeInstantItemRecovery"));
    assert_eq!(counts, (1, 1), "{done:#}");
    // Killed while Azure prepares the next one, and the run deleted before anybody is back: nothing stays open.
    declare(&stack, "again", &files(&pmach, "3h"));
    e2e::until(PATIENCE, || (carried_out(&stack, "/provisionInstantItemRecovery") == 2).then_some(())).unwrap();
    stack.take_operator().kill().unwrap();
    stack.kubectl().run(&["delete", "rrun/again", "-n", NAMESPACE, "--wait=false"]).unwrap();
    stack.start_operator(&[]).unwrap();
    stack.kubectl().run(&["wait", "rrun/again", "-n", NAMESPACE, "--for=delete", "--timeout=180s"]).unwrap();
    assert_eq!(carried_out(&stack, "/revokeInstantItemRecovery"), 2);
    let gone = || (!secrets(&stack).iter().any(|s| s["metadata"]["name"] == "web-02-files")).then_some(());
    e2e::until(Duration::from_secs(30), gone).unwrap();
}

#[test]
fn disks_are_restored_in_the_paired_region() {
    let stack = e2e::stack("paired");
    for name in ["00-namespace.yaml", "10-azure-access.yaml"] {
        stack.kubectl().apply(&e2e::sample(name)).unwrap();
    }
    stack.kubectl().apply(&e2e::sample("20-recovery-vault.yaml").replace("  tags:", "  crossRegionRestore: true\n  tags:")).unwrap();
    e2e::ready(&stack, &["rvault/main"]);
    let pmach = with_a_point(&stack, "web-02");
    let mut spec = restore(&pmach, &json!({ "disks": { "resourceGroup": "rg-restore-neu" } }));
    spec["from"]["recoveryPoint"]["region"] = json!("Paired");
    let group = format!("/subscriptions/{}/resourceGroups/rg-restore-neu", e2e::SUBSCRIPTION);
    spec["staging"] = json!({ "storageAccountId": format!("{group}/providers/Microsoft.Storage/storageAccounts/shopstageneu") });
    spec["expiresAt"] = json!(e2e::world_in(&stack, 20));
    declare(&stack, "there", &spec);
    let done = over(&stack, "RestoreRun", "there");
    assert_eq!((&done["status"]["phase"], carried_out(&stack, "/backupCrossRegionRestore")), (&json!("Succeeded"), 1), "{done:#}");
    let made = done["status"]["made"][0]["id"].as_str().unwrap_or_default().to_lowercase();
    assert!(made.contains("/resourcegroups/rg-restore-neu/"), "{done:#}");
}
