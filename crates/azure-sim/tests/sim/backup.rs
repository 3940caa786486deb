//! What the front does for Recovery Services: tags, locks, rights, faults. The service itself has tests of its own.

use azure_sim::faults::{Fault, Rule};
use serde_json::{Value, json};

use crate::wire::{Client, RG, SUB, code, header, reader, small};

const TAIL: &str = "iaasvmcontainerv2;rg-one;vm-a";

fn vault() -> String {
    format!("{RG}/providers/Microsoft.RecoveryServices/vaults/rv-one")
}

fn item() -> String {
    format!("{}/backupFabrics/Azure/protectionContainers/IaasVMContainer%3B{TAIL}/protectedItems/VM%3B{TAIL}", vault())
}

fn vault_body() -> Value {
    json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "tags": {"cost": "1"}, "properties": {"publicNetworkAccess": "Enabled"}})
}

fn item_body() -> Value {
    json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "policyId": format!("{}/backupPolicies/DefaultPolicy", vault()),
        "sourceResourceId": format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a")}})
}

/// A client whose vault exists.
fn with_vault() -> Client {
    let mut client = small();
    assert_eq!(client.send("PUT", &vault(), vault_body()).status, 201);
    client.wait(120);
    client
}

fn protected() -> Client {
    let mut client = with_vault();
    let reply = client.send("PUT", &item(), item_body());
    assert_eq!(reply.status, 202, "{}", reply.json());
    client.wait(300);
    client
}

/// The operation of an answer, asked for by its bare id.
fn operation(client: &mut Client, reply: &azure_sim::wire::WireReply) -> azure_sim::wire::WireReply {
    client.get(&header(reply, "azure-asyncoperation"))
}

#[test]
fn tags_of_a_vault_are_resource_managers() {
    let mut client = with_vault();
    let tags = format!("{}/providers/Microsoft.Resources/tags/default", vault());
    assert_eq!(client.read(&vault())["tags"], json!({"cost": "1"}));
    client.send("PATCH", &tags, json!({"operation": "Merge", "properties": {"tags": {"owner": "me"}}}));
    assert_eq!(client.read(&vault())["tags"], json!({"cost": "1", "owner": "me"}));
    let listed = client.read(&format!("{SUB}/resources?$filter=tagName eq 'owner' and tagValue eq 'me'"));
    assert_eq!(listed["value"][0]["name"], "rv-one");
    let mut broken = vault_body();
    broken["tags"] = json!({"a?b": "c"});
    assert_eq!(client.send("PUT", &vault(), broken).status, 400);
    let moved = json!({"location": "northeurope", "sku": {"name": "RS0", "tier": "Standard"}, "tags": {"other": "x"}, "properties": {}});
    let refused = client.send("PUT", &vault(), moved);
    assert!(refused.status >= 400, "a vault cannot move: {}", refused.json());
    assert_eq!(client.read(&vault())["tags"], json!({"cost": "1", "owner": "me"}));
}

#[test]
fn locks_and_rights_hold_below_a_vault() {
    let mut client = protected();
    let lock = format!("{}/providers/Microsoft.Authorization/locks/l", vault());
    client.send("PUT", &lock, json!({"properties": {"level": "CanNotDelete"}}));
    assert_eq!(code(&client.send("DELETE", &item(), Value::Null)), "ScopeLocked");
    client.caller = reader();
    assert_eq!(client.get(&item()).status, 200);
    let refused = client.send("POST", &format!("{}/backup", item()), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(code(&refused), "AuthorizationFailed");
    let action = "'Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/backup/action'";
    assert!(message.contains(action), "{message}");
    let nothing = client.get(&format!("{SUB}/providers/Microsoft.RecoveryServices/vaults"));
    assert_eq!(nothing.json()["value"].as_array().map(Vec::len), Some(1), "a list shows what the reader of the group may read");
}

#[test]
fn a_group_takes_a_vault_without_items_along() {
    let mut client = with_vault();
    let reply = client.send("DELETE", RG, Value::Null);
    client.wait(300);
    assert_eq!(client.get(&header(&reply, "location")).status, 200);
    assert_eq!((code(&client.get(RG)).as_str(), client.get(&vault()).status), ("ResourceGroupNotFound", 404));
    client.send("PUT", RG, json!({"location": "westeurope"}));
    assert_eq!(client.get(&vault()).status, 404, "a group of the same name is another");
}

#[test]
fn a_group_with_a_vault_in_use_is_not_deleted() {
    let mut client = protected();
    let reply = client.send("DELETE", RG, Value::Null);
    assert_eq!(reply.status, 202);
    client.wait(300);
    let end = client.get(&header(&reply, "location"));
    assert_eq!(
        (end.status, end.json()["Error"]["Code"].as_str()),
        (409, Some("ResourceGroupDeletionBlocked")),
        "in Pascal case, as recorded"
    );
    assert_eq!((client.get(RG).status, client.get(&vault()).status), (200, 200));
}

#[test]
fn a_backup_job_fails_after_its_202() {
    let mut client = protected();
    client.azure.faults_mut().add(Rule::once("job", "POST", "*/backup", Fault::JobFailed { code: "400001".into() }));
    let reply = client.send("POST", &format!("{}/backup", item()), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
    assert_eq!(reply.status, 202, "{}", reply.json());
    client.wait(4 * 3_600);
    let jobs = client.read(&format!("{}/backupJobs", vault()));
    let job = jobs["value"].as_array().unwrap().iter().find(|job| job["properties"]["operation"] == "Backup").unwrap();
    assert_eq!(job["properties"]["status"], "Failed");
    let full = client.read(job["id"].as_str().unwrap());
    assert_eq!(full["properties"]["errorDetails"][0]["errorCode"], 400_001, "{full}");
}

#[test]
fn operations_of_the_service_stick_expire_and_fail_too() {
    let failed = Fault::OperationFailed { code: "Broken".into(), message: "no".into() };
    for (fault, status, word) in [(Fault::OperationStuck, 200, "InProgress"), (Fault::OperationExpired, 404, ""), (failed, 200, "Failed")] {
        let mut client = with_vault();
        client.azure.faults_mut().add(Rule::once("op", "PUT", "*/protectedItems/*", fault.clone()));
        let reply = client.send("PUT", &item(), item_body());
        client.wait(3_600);
        let poll = operation(&mut client, &reply);
        assert_eq!((poll.status, poll.json()["status"].as_str().unwrap_or("")), (status, word), "{fault:?}");
    }
}

#[test]
fn lists_of_the_service_lag_like_any_other() {
    let mut client = with_vault();
    let rule = Rule { id: "lag".into(), matches: Default::default(), fault: Fault::ListLag { seconds: 600.0 } };
    client.azure.faults_mut().add(rule);
    client.wait(1);
    client.send("PUT", &item(), item_body());
    client.wait(300);
    let list = format!("{}/backupProtectedItems", vault());
    assert_eq!((client.get(&item()).status, client.read(&list)["value"].as_array().unwrap().len()), (200, 0));
    client.wait(1_200);
    assert_eq!(client.read(&list)["value"].as_array().unwrap().len(), 1);
}

#[test]
fn a_vault_behind_our_back_is_gone_for_everybody() {
    let mut client = with_vault();
    let edit = serde_json::from_value(json!({"method": "DELETE", "id": vault()})).unwrap();
    azure_sim::edit::apply(&mut client.azure, edit).unwrap();
    assert_eq!(client.get(&vault()).status, 404);
    assert!(client.read(&format!("{RG}/resources"))["value"].as_array().unwrap().iter().all(|item| item["name"] != "rv-one"));
}
