//! Resource guards and keys through the front: who may do what to them.

use azure_sim::{
    edit::{Edit, apply},
    guards::Guarded,
    wire::{Caller, WireReply},
};
use serde_json::{Value, json};

use crate::wire::{Client, RG, SUB, code, owner, reader};

const SAFE: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-safe";
const ESTATE: &str = r#"
tenantId: 99999999-9999-4999-8999-999999999999
subscriptions:
  - id: 11111111-1111-4111-8111-111111111111
    displayName: One
    resourceGroups:
      - name: rg-safe
        location: westeurope
        resourceGuards:
          - name: second-eyes
            description: Ask Ann.
            excluded: [Microsoft.RecoveryServices/vaults/backupSecurityPIN/action]
        keyVaults:
          - { name: kv-one, keys: [backup] }
      - name: rg-one
        location: westeurope
        machines:
          - { name: vm-a, os: Linux }
        vaults:
          - name: rv-one
            protectedItems: [{ machine: vm-a, policy: DefaultPolicy }]
            resourceGuard: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-safe/providers/Microsoft.DataProtection/resourceGuards/second-eyes
          - name: rv-two
  - id: 22222222-2222-4222-8222-222222222222
    displayName: Another tenant's
    tenantId: 88888888-8888-4888-8888-888888888888
    resourceGroups:
      - name: rg-far
        location: westeurope
        resourceGuards: [{ name: far }]
apps:
  - { name: owner, clientId: aaaaaaaa-0000-4000-8000-000000000001, objectId: aaaaaaaa-0000-4000-8000-000000000002 }
  - { name: admin, clientId: bbbbbbbb-0000-4000-8000-000000000001, objectId: bbbbbbbb-0000-4000-8000-000000000002 }
managedIdentities:
  - name: key-reader-0
    clientId: cccccccc-0000-4000-8000-000000000010
    objectId: cccccccc-0000-4000-8000-000000000020
    resourceId: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one/providers/Microsoft.ManagedIdentity/userAssignedIdentities/key-reader
  - name: key-reader-1
    clientId: cccccccc-0000-4000-8000-000000000011
    objectId: cccccccc-0000-4000-8000-000000000021
    resourceId: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-safe/providers/Microsoft.ManagedIdentity/userAssignedIdentities/key-reader
roleAssignments:
  - { principal: owner, role: Owner, scope: / }
  - { principal: admin, role: Contributor, scope: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one }
  - { principal: admin, role: Reader, scope: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-safe }
"#;

fn guarded() -> Client {
    let options = azure_sim::Options::default();
    let now = options.start;
    let azure = azure_sim::Azure::new(azure_sim::Estate::parse(ESTATE, &Default::default()).unwrap(), options).unwrap();
    Client { azure, now, caller: backup_admin() }
}

fn backup_admin() -> Caller {
    reader()
}

fn guard() -> String {
    format!("{SAFE}/providers/Microsoft.DataProtection/resourceGuards/second-eyes")
}

fn vault(name: &str) -> String {
    format!("{RG}/providers/Microsoft.RecoveryServices/vaults/{name}")
}

fn disabling(request: Option<String>) -> Value {
    let mut body = json!({"properties": {"softDeleteFeatureState": "Disabled"}});
    if let Some(request) = request {
        body["properties"]["resourceGuardOperationRequests"] = json!([request]);
    }
    body
}

fn message(reply: &WireReply) -> String {
    reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

fn give(client: &mut Client, principal: &str, role: &str, scope: &str) {
    let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/cccccccc-0000-4000-8000-00000000000c");
    let body = json!({"properties": {"principalId": principal, "roleDefinitionId": format!("/x/{role}")}});
    let edit: Edit = serde_json::from_value(json!({"method": "PUT", "id": id, "body": body})).unwrap();
    apply(&mut client.azure, edit).unwrap();
}

#[test]
fn the_reference_alone_does_not_do_without_a_role_on_the_guard() {
    let mut client = guarded();
    let config = format!("{}/backupconfig/vaultconfig", vault("rv-one"));
    assert_eq!(code(&client.send("PATCH", &config, disabling(None))), "BMSUserErrorResourceGuardOperationRequestMissing");
    let request = Guarded::DisableSoftDelete.request_id(&guard());
    let refused = client.send("PATCH", &config, disabling(Some(request.clone())));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "LinkedAuthorizationFailed"), "Reader does not do");
    assert!(
        message(&refused).contains("disableSoftDeleteRequests/action") && message(&refused).contains(&request),
        "{}",
        message(&refused)
    );
    let operator = "f54b6d04-23c6-443e-b462-9c16ab7b4a52";
    let me = client.caller.object_id.clone();
    give(&mut client, &me, operator, &guard());
    assert_eq!(client.send("PATCH", &config, disabling(Some(request))).status, 200);
}

#[test]
fn an_unlock_needs_the_role_too() {
    let mut client = guarded();
    let tail = "iaasvmcontainerv2;rg-one;vm-a";
    let item = format!("{}/backupFabrics/Azure/protectionContainers/IaasVMContainer;{tail}/protectedItems/VM;{tail}", vault("rv-one"));
    let unlock = format!("{}/backupResourceGuardProxies/VaultProxy/unlockDelete", vault("rv-one"));
    let body = json!({"resourceGuardOperationRequests": [Guarded::DeleteItem.request_id(&guard())], "resourceToBeDeleted": item});
    assert_eq!(client.send("DELETE", &item, Value::Null).status, 403);
    assert_eq!(code(&client.send("POST", &unlock, body.clone())), "LinkedAuthorizationFailed");
    client.caller = owner();
    assert_eq!(client.send("POST", &unlock, body).status, 200);
    client.caller = backup_admin();
    assert_eq!(client.send("DELETE", &item, Value::Null).status, 202, "unlocked, whoever did it");
}

#[test]
fn a_guard_is_put_before_a_vault_by_who_may_read_it() {
    let mut client = guarded();
    let proxy = format!("{}/backupResourceGuardProxies/VaultProxy", vault("rv-two"));
    let body = |guard: &str| json!({"properties": {"resourceGuardResourceId": guard}});
    let far =
        "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg-far/providers/Microsoft.DataProtection/resourceGuards/far";
    let refused = client.send("PUT", &proxy, body(far));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "LinkedAuthorizationFailed"));
    assert!(message(&refused).contains("is not authorized to access linked subscription '22222222"), "{}", message(&refused));
    assert_eq!(client.send("PUT", &proxy, body(&guard())).status, 200);
    let shown = client.read(&format!("{}/backupResourceGuardProxies", vault("rv-two")));
    assert_eq!(shown["value"][0]["properties"]["description"], "Ask Ann.");
}

#[test]
fn guards_are_resources_like_others() {
    let mut client = guarded();
    let shown = client.read(&guard());
    assert_eq!(shown["properties"]["resourceGuardOperations"].as_array().unwrap().len(), 9, "one of ten is excluded");
    assert_eq!(code(&client.send("PUT", &guard(), json!({"location": "westeurope"}))), "AuthorizationFailed");
    assert_eq!(client.read(&format!("{SUB}/providers/Microsoft.DataProtection/resourceGuards"))["value"][0]["name"], "second-eyes");
    let requests = client.read(&format!("{}/disableSoftDeleteRequests", guard()));
    assert_eq!(requests["value"][0]["id"], Guarded::DisableSoftDelete.request_id(&guard()));
    assert_eq!(client.get(&format!("{}/disableSoftDeleteRequests/default", guard())).status, 200);
    assert_eq!(client.get(&format!("{}/getBackupSecurityPINRequests/default", guard())).status, 404, "excluded");
    assert_eq!(client.get(&format!("{}/wonders", guard())).status, 501);
    client.caller = owner();
    let excluding = |operation: Guarded| json!({"location": "westeurope", "tags": {"a": "b"}, "properties": {"vaultCriticalOperationExclusionList": [operation.operation()]}});
    assert_eq!(client.send("PUT", &guard(), excluding(Guarded::DisableSoftDelete)).status, 400, "mandatory");
    assert_eq!(client.send("PUT", &guard(), excluding(Guarded::StopWithRetain)).status, 200);
    assert_eq!(client.read(&guard())["tags"], json!({"a": "b"}));
    let listed = client.read(&format!("{SUB}/resources?$filter=resourceType eq 'Microsoft.DataProtection/resourceGuards'"));
    assert_eq!(listed["value"].as_array().unwrap().len(), 1);
    assert_eq!((client.send("DELETE", &guard(), Value::Null).status, client.get(&guard()).status), (200, 404));
}

#[test]
fn a_vault_takes_a_key_only_when_its_identity_may_use_it() {
    let mut client = guarded();
    client.caller = owner();
    let url = vault("rv-two");
    client.send("PATCH", &url, json!({"identity": {"type": "SystemAssigned"}}));
    let principal = client.read(&url)["identity"]["principalId"].as_str().unwrap().to_owned();
    let encrypting = |uri: &str| json!({"properties": {"encryption": {"keyVaultProperties": {"keyUri": uri}, "kekIdentity": {"useSystemAssignedIdentity": true}}}});
    let ended = |client: &mut Client, uri: &str| {
        let reply = client.send("PATCH", &url, encrypting(uri));
        assert_eq!(reply.status, 202);
        client.wait(120);
        client.read(reply.header("azure-asyncoperation").unwrap())["status"].as_str().unwrap().to_owned()
    };
    let key = "https://kv-one.vault.azure.net/keys/backup/1";
    assert_eq!(ended(&mut client, key), "Failed");
    let crypto = "e147488a-f6f5-4113-8e2d-b22465e65bf6";
    give(&mut client, &principal, crypto, &format!("{SAFE}/providers/Microsoft.KeyVault/vaults/kv-one"));
    assert_eq!(ended(&mut client, "https://kv-one.vault.azure.net/keys/other/1"), "Failed", "there is no such key");
    assert_eq!(ended(&mut client, key), "Succeeded");
    let shown = client.read(&format!("{url}/backupEncryptionConfigs/backupResourceEncryptionConfig"));
    assert_eq!((&shown["properties"]["keyUri"], &shown["properties"]["lastUpdateStatus"]), (&json!(key), &json!("Succeeded")));
}

#[test]
fn an_identity_is_given_to_a_resource_by_who_may_assign_it() {
    let mut client = guarded();
    let action = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";
    let person = |group: &str| format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/key-reader");
    let with = |id: &str, value: Value| json!({"identity": {"type": "UserAssigned", "userAssignedIdentities": {id: value}}});
    let fresh = |id: &str| {
        let mut body = with(id, json!({}));
        body["location"] = json!("westeurope");
        body["sku"] = json!({"name": "RS0", "tier": "Standard"});
        body["properties"] = json!({});
        body
    };
    let machine = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a");
    let theirs = person(SAFE);
    let calls = [
        ("PATCH", vault("rv-two"), with(&theirs, json!({})), "Microsoft.RecoveryServices/vaults/write"),
        ("PUT", vault("rv-new"), fresh(&theirs), "Microsoft.RecoveryServices/vaults/write"),
        ("PATCH", machine, with(&theirs, json!({})), "Microsoft.Compute/virtualMachines/write"),
    ];
    for (method, url, body, own) in &calls {
        let refused = client.send(method, url, body.clone());
        assert_eq!((refused.status, code(&refused).as_str()), (403, "LinkedAuthorizationFailed"), "Reader does not do: {method} {url}");
        let (said, me) = (message(&refused), &client.caller);
        let words = format!(
            "The client '{}' with object id '{}' has permission to perform action '{own}' on scope '{url}'; however, it does not have \
             permission to perform action(s) '{action}' on the linked scope(s) '{theirs}' (respectively) or the linked scope(s) are invalid.",
            me.client_id, me.object_id
        );
        assert!(said.eq_ignore_ascii_case(&words), "{said}\n{words}");
    }
    assert_eq!(client.get(&vault("rv-new")).status, 404, "nothing was made");
    assert_eq!(client.send("PATCH", &vault("rv-two"), with(&theirs, Value::Null)).status, 202, "to take one away asks for nothing");
    client.wait(120);
    assert_eq!(client.send("PATCH", &vault("rv-two"), with(&person(RG), json!({}))).status, 202, "its own group's");
    client.wait(120);

    // The one action, on the one identity.
    let role = "eeeeeeee-0000-4000-8000-000000000001";
    let definition = format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let body = json!({"properties": {"roleName": "Assigns", "type": "CustomRole", "assignableScopes": ["/"],
        "permissions": [{"actions": [action], "notActions": [], "dataActions": [], "notDataActions": []}]}});
    let admin = std::mem::replace(&mut client.caller, owner());
    assert!(client.send("PUT", &definition, body).status < 300);
    client.caller = admin;
    let me = client.caller.object_id.clone();
    give(&mut client, &me, role, &theirs);
    for (method, url, body, _) in calls {
        let taken = client.send(method, &url, body);
        assert!(taken.status < 300, "{method} {url}: {}", taken.json());
        client.wait(120);
    }
    let users = client.read(&vault("rv-two"))["identity"]["userAssignedIdentities"].as_object().unwrap().len();
    assert_eq!(users, 2, "and the other one stays");
}
