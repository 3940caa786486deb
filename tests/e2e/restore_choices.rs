//! What a restore may be told, through kubectl with the real operator: a zone, another subscription, the identity that brings the
//! data, some disks, and a point that is in the archive.

use breakwater_dev::progress::Progress;
use breakwater_dev::stack::{Settings, Stack};
use breakwater_dev::workspace;
use breakwater_tests::{
    e2e::{self, NAMESPACE, SUBSCRIPTION, condition},
    sim::manifests::OLD_VAULT,
};
use serde_json::{Value, json};

use crate::runs::{carried_out, restore, run, with_a_point};

const THERE: &str = "50b50000-0000-4000-8000-000000000002";

fn group(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

/// The estate five months on, before anybody has begun anything.
fn stack(name: &str) -> Stack {
    let estate_file = workspace::root().join("tests/e2e/estates/choices.yaml");
    let settings = Settings { estate_file, ..Settings::shop(e2e::dir(name), e2e::CLOCK_FACTOR) };
    let stack = Stack::start_without_operator(e2e::tools(), &settings, &Progress::start()).unwrap();
    stack.simulator().tell("/clock", &json!({ "advance": "PT3600H" })).unwrap();
    stack
}

/// A request as a person makes it.
pub fn by_hand(stack: &Stack, method: &str, path: &str, body: &Value) -> Value {
    let form = "grant_type=client_credentials&client_id=c11e0000-0000-4000-8000-000000000002&client_secret=azure-sim-admin-secret\
                &scope=https%3A%2F%2Fmanagement.azure.com%2F.default";
    let typed = [("content-type", "application/x-www-form-urlencoded")];
    let token = "/72f988bf-0000-4000-8000-00000000000a/oauth2/v2.0/token";
    let (_, answer) = stack.simulator().call("POST", token, &typed, form).unwrap();
    let token: Value = serde_json::from_str(&answer).unwrap();
    let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap_or_else(|| panic!("{token:#}")));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let sent = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = stack.simulator().call(method, &path.replace(';', "%3B"), &headers, &sent).unwrap();
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    serde_json::from_str(&answer).unwrap_or_default()
}

/// Moves the oldest point that may go into the archive; its name.
fn archive(stack: &Stack) -> String {
    let names = "iaasvmcontainerv2;rg-old;ledger-1";
    let vault = format!("{}/providers/Microsoft.RecoveryServices/vaults/rv-old", group("rg-old"));
    let item = format!("{vault}/backupFabrics/Azure/protectionContainers/IaasVMContainer;{names}/protectedItems/VM;{names}");
    let post = |path: &str, body: &Value| by_hand(stack, "POST", &format!("{item}/{path}?api-version=2025-08-01"), body);
    let movable = post("recoveryPointsRecommendedForMove", &json!({ "excludedRPList": [] }));
    let name = movable["value"].as_array().and_then(|all| all.last()?["name"].as_str()).unwrap_or_else(|| panic!("{movable:#}"));
    let tiers = json!({ "objectType": "MoveRPAcrossTiersRequest", "sourceTierType": "HardenedRP", "targetTierType": "ArchivedRP" });
    post(&format!("recoveryPoints/{name}/move"), &tiers);
    stack.simulator().tell("/clock", &json!({ "advance": "PT4H" })).unwrap();
    name.to_owned()
}

/// The access, into the other subscription and the old vault's group as well.
fn access() -> String {
    let groups = "resourceGroups: [rg-shop, rg-backup, rg-restore, rg-restore-neu]";
    let more = format!("    - subscriptionId: {THERE}\n      resourceGroups: [rg-there]\n      acts: [Read, Restore]\n");
    e2e::sample("10-azure-access.yaml").replace(groups, "resourceGroups: [rg-shop, rg-backup, rg-restore, rg-old]") + &more
}

fn succeeded(stack: &Stack, name: &str, spec: &Value) -> Value {
    let done = run(stack, "RestoreRun", name, spec);
    assert_eq!(done["status"]["phase"], "Succeeded", "{done:#}");
    done["status"].clone()
}

fn made(status: &Value) -> Vec<String> {
    status["made"].as_array().into_iter().flatten().filter_map(|made| made["id"].as_str().map(str::to_owned)).collect()
}

fn seen(stack: &Stack, id: &str) -> Value {
    let version = if id.contains("/disks/") { "2025-01-02" } else { "2024-07-01" };
    by_hand(stack, "GET", &format!("{id}?api-version={version}"), &Value::Null)
}

#[test]
fn a_restore_goes_into_a_zone_into_another_subscription_by_an_identity_and_out_of_the_archive() {
    let mut stack = stack("restore-choices");
    let archived = archive(&stack);
    stack.start_operator(&[]).unwrap();
    stack.kubectl().apply(&e2e::sample("00-namespace.yaml")).unwrap();
    stack.kubectl().apply(&access()).unwrap();
    stack.kubectl().apply(&e2e::sample("20-recovery-vault.yaml").replace("GeoRedundant", "ZoneRedundant")).unwrap();
    stack.kubectl().apply(OLD_VAULT).unwrap();
    e2e::ready(&stack, &["rvault/main", "rvault/old"]);
    let pmach = with_a_point(&stack, "web-02");

    let subnet = |group: &str| format!("{group}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope/subnets/default");
    let zoned =
        json!({ "newMachine": { "name": "web-03", "resourceGroup": "rg-restore", "subnetId": subnet(&group("rg-shop")), "zone": "2" } });
    let status = succeeded(&stack, "zoned", &restore(&pmach, &zoned));
    let machine = seen(&stack, status["targetId"].as_str().unwrap_or_default());
    assert_eq!((&machine["zones"], &machine["tags"]["breakwater-restore"]), (&json!(["2"]), &status["key"]), "{machine:#}");

    let there = format!("/subscriptions/{THERE}/resourceGroups/rg-there");
    let elsewhere =
        json!({ "newMachine": { "name": "web-04", "resourceGroup": "rg-there", "subscriptionId": THERE, "subnetId": subnet(&there) } });
    let status = succeeded(&stack, "elsewhere", &restore(&pmach, &elsewhere));
    assert!(made(&status).len() == 5 && made(&status).iter().all(|id| id.starts_with(&there)), "{status:#}");

    let identity = json!({ "type": "SystemAssigned", "principalId": "0b1ec700-0000-4000-8000-000000000008",
        "tenantId": "72f988bf-0000-4000-8000-00000000000a" });
    let vault = format!("{}/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu", group("rg-backup"));
    let mut some = restore(&pmach, &json!({ "disks": { "resourceGroup": "rg-restore", "luns": [1] } }));
    some["staging"]["identity"] = json!("SystemAssigned");
    // Nobody has given the vault an identity yet.
    some["expiresAt"] = json!(e2e::world_in(&stack, 20));
    let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "RestoreRun", "metadata": { "name": "some", "namespace": NAMESPACE }, "spec": some });
    stack.kubectl().apply(&object.to_string()).unwrap();
    let get = ["get", "rrun", "some", "-n", NAMESPACE];
    let words = stack.kubectl().wait_until("why not", crate::runs::PATIENCE, &get, |run| {
        let ready = condition(run, "Ready");
        (ready["reason"] == "InvalidSpec").then(|| ready["message"].as_str().unwrap_or_default().to_owned())
    });
    assert!(words.as_ref().is_ok_and(|words| words.contains("spec.staging.identity")), "{words:?}");
    stack.simulator().tell("/edit", &json!({ "method": "PATCH", "id": vault, "body": { "identity": identity } })).unwrap();
    let status = crate::runs::over(&stack, "RestoreRun", "some")["status"].clone();
    assert_eq!((&status["phase"], made(&status).len()), (&json!("Succeeded"), 2), "the disk of the system and one more: {status:#}");
    assert!(made(&status).iter().all(|id| id.contains("osdisk") || id.contains("datadisk-001")), "{status:#}");

    let ledger = format!("{}/providers/Microsoft.Compute/virtualMachines/ledger-1", group("rg-old"));
    let mut cold = restore(&pmach, &json!({ "disks": { "resourceGroup": "rg-restore" } }));
    cold["from"]["recoveryPoint"] = json!({ "vaultRef": { "name": "old" }, "machineId": ledger, "point": { "name": archived },
        "rehydrate": { "priority": "High", "retainFor": "12d" } });
    let status = succeeded(&stack, "cold", &cold);
    assert_eq!((&status["point"]["name"], made(&status).len()), (&json!(archived), 1), "{status:#}");
    assert_eq!(carried_out(&stack, "/restore"), 4);
}
