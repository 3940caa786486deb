//! A world to restore in: two machines with a point each, accounts of every kind, networks in two regions.

use azure_sim::{Azure, Estate, Options, wire::WireReply};
use serde_json::{Value, json};

use crate::wire::{Client, RG, SUB, owner};

pub const TWO: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-two";
pub const OTHER: &str = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg-other";
pub const FOREIGN: &str = "/subscriptions/33333333-3333-4333-8333-333333333333/resourceGroups/rg-foreign";
pub const IDENTITY: &str = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one/providers/Microsoft.ManagedIdentity/userAssignedIdentities/restorer";
pub const IDENTITY_OBJECT: &str = "cccccccc-0000-4000-8000-000000000002";

const ESTATE: &str = r#"
tenantId: 99999999-9999-4999-8999-999999999999
subscriptions:
  - id: 11111111-1111-4111-8111-111111111111
    displayName: One
    resourceGroups:
      - name: rg-one
        location: westeurope
        machines:
          - { name: vm-a, os: Linux, dataDisks: [64, 32], zones: ["1"] }
          - { name: vm-w, os: Windows, securityType: TrustedLaunch }
        storageAccounts:
          - { name: stage }
          - { name: stagefar, location: northeurope }
          - { name: stageblob, kind: BlobStorage }
          - { name: stagezrs, sku: Standard_ZRS }
          - { name: stagewall, networkAcls: { defaultAction: Deny, bypass: None } }
          - { name: stagedoor, networkAcls: { defaultAction: Deny, bypass: "Logging, AzureServices" } }
      - name: rg-two
        location: westeurope
      - name: rg-north
        location: northeurope
        machines:
          - { name: vm-n, os: Linux }
        storageAccounts:
          - { name: stagenorth }
  - id: 22222222-2222-4222-8222-222222222222
    displayName: Two
    resourceGroups:
      - name: rg-other
        location: westeurope
        machines:
          - { name: vm-o, os: Linux }
  - id: 33333333-3333-4333-8333-333333333333
    displayName: Foreign
    tenantId: 88888888-8888-4888-8888-888888888888
    resourceGroups:
      - { name: rg-foreign, location: westeurope }
apps:
  - name: owner
    clientId: aaaaaaaa-0000-4000-8000-000000000001
    objectId: aaaaaaaa-0000-4000-8000-000000000002
  - name: operator
    clientId: dddddddd-0000-4000-8000-000000000001
    objectId: dddddddd-0000-4000-8000-000000000002
managedIdentities:
  - name: restorer
    clientId: cccccccc-0000-4000-8000-000000000001
    objectId: cccccccc-0000-4000-8000-000000000002
    resourceId: /subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-one/providers/Microsoft.ManagedIdentity/userAssignedIdentities/restorer
roleAssignments:
  - { principal: owner, role: Owner, scope: / }
"#;

pub fn vault() -> String {
    format!("{RG}/providers/Microsoft.RecoveryServices/vaults/rv-one")
}

pub fn vm(name: &str) -> String {
    format!("{RG}/providers/Microsoft.Compute/virtualMachines/{name}")
}

pub fn account(name: &str) -> String {
    format!("{RG}/providers/Microsoft.Storage/storageAccounts/{name}")
}

pub fn subnet(group: &str, region: &str) -> String {
    format!("{group}/providers/Microsoft.Network/virtualNetworks/vnet-{region}/subnets/default")
}

pub fn item(name: &str) -> String {
    let tail = format!("iaasvmcontainerv2;rg-one;{name}");
    format!("{}/backupFabrics/Azure/protectionContainers/IaasVMContainer%3B{tail}/protectedItems/VM%3B{tail}", vault())
}

/// A world whose machines `vm-a` and `vm-w` have a point each, in its snapshot and in the vault.
pub fn world() -> Client {
    world_with("{}", &json!({}))
}

/// The same with these settings of Recovery Services (YAML) and these properties of the vault.
pub fn world_with(recovery: &str, properties: &Value) -> Client {
    let mut client = empty(recovery, properties);
    for name in ["vm-a", "vm-w"] {
        protect(&mut client, name);
        back_up(&mut client, name);
    }
    client
}

/// The world with its vault and nothing in it.
pub fn empty(recovery: &str, properties: &Value) -> Client {
    let estate = Estate::parse(&format!("{ESTATE}settings: {{ recovery: {recovery} }}\n"), &Default::default()).unwrap();
    let options = Options::default();
    let now = options.start;
    let mut client = Client { azure: Azure::new(estate, options).unwrap(), now, caller: owner() };
    let body = json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "properties": properties,
        "identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}});
    let made = client.send("PUT", &vault(), body);
    assert_eq!(made.status, 201, "{}", made.json());
    client.wait(120);
    client
}

pub fn protect(client: &mut Client, name: &str) {
    let body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm(name),
        "policyId": format!("{}/backupPolicies/DefaultPolicy", vault())}});
    assert_eq!(client.send("PUT", &item(name), body).status, 202);
    client.wait(200);
}

pub fn back_up(client: &mut Client, name: &str) {
    let body = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
    assert_eq!(client.send("POST", &format!("{}/backup", item(name)), body).status, 202);
    client.wait(3 * 3_600);
}

/// The newest point of a machine: its whole id.
pub fn point(client: &mut Client, name: &str) -> String {
    let list = client.read(&format!("{}/recoveryPoints", item(name)));
    list["value"][0]["id"].as_str().unwrap().replace(';', "%3B")
}

/// What the newest point of a machine shows.
pub fn shown(client: &mut Client, name: &str) -> Value {
    let id = point(client, name);
    client.read(&id)["properties"].clone()
}

/// A request for managed disks in `rg-two`, with more on top; a null takes a field away.
pub fn asking(name: &str, more: &Value) -> Value {
    let mut properties = json!({"objectType": "IaasVMRestoreRequest", "recoveryType": "RestoreDisks", "sourceResourceId": vm(name),
        "targetResourceGroupId": TWO, "storageAccountId": account("stage"), "region": "westeurope", "createNewCloudService": false,
        "originalStorageAccountOption": false});
    for (field, value) in more.as_object().unwrap() {
        if value.is_null() {
            properties.as_object_mut().unwrap().remove(field);
        } else {
            properties[field] = value.clone();
        }
    }
    json!({"properties": properties})
}

/// The fields that make it a new machine.
pub fn new_machine(name: &str) -> Value {
    json!({"recoveryType": "AlternateLocation", "targetVirtualMachineId": format!("{TWO}/providers/Microsoft.Compute/virtualMachines/{name}"),
        "virtualNetworkId": format!("{RG}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope"), "subnetId": subnet(RG, "westeurope")})
}

/// The fields that make it replace disks.
pub fn replacing() -> Value {
    json!({"recoveryType": "OriginalLocation", "targetResourceGroupId": null})
}

/// Sends a restore of the newest point.
pub fn post(client: &mut Client, name: &str, more: &Value) -> WireReply {
    let point = point(client, name);
    client.send("POST", &format!("{point}/restore"), asking(name, more))
}

/// Starts a restore that must be accepted; its job's id.
pub fn start(client: &mut Client, name: &str, more: &Value) -> String {
    let reply = post(client, name, more);
    assert_eq!(reply.status, 202, "{}", reply.json());
    let url = crate::wire::header(&reply, "azure-asyncoperation");
    url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

pub fn job(client: &mut Client, id: &str) -> Value {
    client.read(&format!("{}/backupJobs/{id}", vault()))["properties"].clone()
}

/// A whole restore; the properties of its job.
pub fn restore(client: &mut Client, name: &str, more: &Value) -> Value {
    let id = start(client, name, more);
    client.wait(2 * 3_600);
    job(client, &id)
}

/// Title of the first error of a job.
pub fn trouble(job: &Value) -> String {
    format!("{} {}", job["status"].as_str().unwrap(), job["errorDetails"][0]["errorTitle"].as_str().unwrap_or("-"))
}

/// Names of the resources of a type in a group.
pub fn names(client: &mut Client, group: &str, kind: &str) -> Vec<String> {
    let list = client.read(&format!("{group}/providers/{kind}"));
    list["value"].as_array().unwrap().iter().map(|found| found["name"].as_str().unwrap().to_owned()).collect()
}

pub fn disks(client: &mut Client, group: &str) -> Vec<String> {
    names(client, group, "Microsoft.Compute/disks")
}

pub fn edit(client: &mut Client, edit: Value) {
    azure_sim::edit::apply(&mut client.azure, serde_json::from_value(edit).unwrap()).unwrap();
}

/// Everything in the subscription.
pub fn resources(client: &mut Client) -> usize {
    client.read(&format!("{SUB}/resources"))["value"].as_array().unwrap().len()
}
