//! Machines that change under everybody: moved, made again, resized, protected by somebody else, and limits that others
//! use up.

use std::slice::from_ref;

use azure_sim::edit::{Edit, apply};
use serde_json::{Value, json};

use crate::wire::{Client, RG, SUB, code, header, reader, small};

fn vm(group: &str, name: &str) -> String {
    format!("{SUB}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/{name}")
}

fn vault(name: &str) -> String {
    format!("{RG}/providers/Microsoft.RecoveryServices/vaults/{name}")
}

fn item(vault: &str, group: &str, name: &str) -> String {
    let tail = format!("iaasvmcontainerv2;{group};{name}");
    format!("{vault}/backupFabrics/Azure/protectionContainers/IaasVMContainer%3B{tail}/protectedItems/VM%3B{tail}")
}

fn protecting(vault: &str, vm: &str) -> Value {
    json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm,
        "policyId": format!("{vault}/backupPolicies/DefaultPolicy")}})
}

fn edit(client: &mut Client, edit: Value) -> Result<Value, String> {
    apply(&mut client.azure, serde_json::from_value::<Edit>(edit).unwrap())
}

/// A vault `rv-one` that protects `vm-a`, backed up once.
fn protected() -> Client {
    let mut client = small();
    let one = vault("rv-one");
    let body = json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "properties": {}});
    assert_eq!(client.send("PUT", &one, body).status, 201);
    client.wait(120);
    assert_eq!(client.send("PUT", &item(&one, "rg-one", "vm-a"), protecting(&one, &vm("rg-one", "vm-a"))).status, 202);
    client.wait(120);
    back_up(&mut client);
    client
}

fn back_up(client: &mut Client) {
    let url = format!("{}/backup", item(&vault("rv-one"), "rg-one", "vm-a"));
    assert_eq!(client.send("POST", &url, json!({"properties": {"objectType": "IaasVMBackupRequest"}})).status, 202);
    // Long enough for a backup; four of them are over before the policy's own at 16:30.
    client.wait(2 * 3600);
}

fn newest_point(client: &mut Client) -> Value {
    let list = client.read(&format!("{}/recoveryPoints", item(&vault("rv-one"), "rg-one", "vm-a")));
    client.read(list["value"][0]["id"].as_str().unwrap())["properties"].clone()
}

fn moving(ids: &[String], group: &str) -> Value {
    json!({"resources": ids, "targetResourceGroup": format!("{SUB}/resourceGroups/{group}")})
}

#[test]
fn a_moved_machine_keeps_vm_id_and_tags_under_another_id() {
    let mut client = protected();
    let (old, new) = (vm("rg-one", "vm-a"), vm("rg-two", "vm-a"));
    let before = client.read(&old);
    let reply = client.send("POST", &format!("{RG}/validateMoveResources"), moving(from_ref(&old), "rg-two"));
    client.wait(120);
    assert_eq!((reply.status, client.get(&header(&reply, "location")).status), (202, 204));
    assert_eq!(client.get(&old).status, 200, "it was only asked whether");
    let reply = client.send("POST", &format!("{RG}/moveResources"), moving(from_ref(&old), "rg-two"));
    let poll = header(&reply, "location");
    assert_eq!((reply.status, client.get(&poll).status, client.get(&old).status), (202, 202, 200));
    client.wait(61);
    assert_eq!(client.get(&poll).status, 204);
    let gone = client.get(&old);
    assert_eq!((gone.status, code(&gone).as_str()), (404, "NotFound"));
    let after = client.read(&new);
    assert_eq!((&after["properties"]["vmId"], &after["tags"]), (&before["properties"]["vmId"], &before["tags"]));
    let disk = after["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].as_str().unwrap().to_owned();
    assert_eq!(client.read(&disk)["managedBy"], json!(new), "what stays behind knows where it went");
    client.wait(60);
    assert_eq!(code(&client.get(&old)), "ResourceNotFound");
}

#[test]
fn the_item_of_a_moved_machine_stays_under_the_old_id_and_fails() {
    let mut client = protected();
    edit(
        &mut client,
        json!({"method": "MOVE", "id": vm("rg-one", "vm-a"), "body": {"resourceGroup": format!("{SUB}/resourceGroups/rg-two")}}),
    )
    .unwrap();
    assert_eq!(client.azure.journal().entries().iter().filter(|entry| entry.path.contains("moveResources")).count(), 0);
    let (one, old) = (vault("rv-one"), item(&vault("rv-one"), "rg-one", "vm-a"));
    client.wait(86_400);
    let seen = client.read(&old)["properties"].clone();
    assert_eq!(seen["sourceResourceId"], json!(vm("rg-one", "vm-a")));
    assert_eq!((&seen["healthStatus"], &seen["lastBackupStatus"]), (&json!("ActionRequired"), &json!("Failed")));
    assert_eq!(seen["kpisHealths"]["BackupOperationStatusKPI"]["resourceHealthDetails"][0]["code"], 320_001);
    let stop = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("rg-one", "vm-a"),
        "policyId": "", "protectionState": "ProtectionStopped"}});
    assert_eq!(client.send("PUT", &old, stop).status, 202, "stop with retain still works");
    client.wait(60);
    let far = client.read(&vm("rg-two", "vm-a"));
    assert_eq!(far["location"], "westeurope", "the group's region is not the machine's");
    let new = item(&one, "rg-two", "vm-a");
    assert_eq!(client.send("PUT", &new, protecting(&one, &vm("rg-two", "vm-a"))).status, 202, "and a new item is made");
    client.wait(120);
    assert_eq!(client.read(&new)["properties"]["protectionState"], "IRPending");
    assert_eq!(client.read(&old)["properties"]["protectionState"], "ProtectionStopped");
}

#[test]
fn a_move_is_refused_where_it_cannot_be() {
    let mut client = small();
    let (machine, stranger) = (vm("rg-one", "vm-a"), vm("rg-two", "vm-x"));
    let url = format!("{RG}/moveResources");
    let cases = [
        (moving(from_ref(&machine), "rg-none"), 404, "ResourceGroupNotFound"),
        (moving(&[stranger], "rg-two"), 404, "ResourceNotFound"),
        (moving(from_ref(&machine), "rg-one"), 409, "ResourceMoveProviderValidationFailed"),
        (moving(&[], "rg-two"), 400, "InvalidRequestContent"),
    ];
    for (body, status, word) in cases {
        let reply = client.send("POST", &url, body);
        assert_eq!((reply.status, code(&reply).as_str()), (status, word));
    }
    client.caller = reader();
    assert_eq!(code(&client.send("POST", &url, moving(from_ref(&machine), "rg-two"))), "AuthorizationFailed");
    client.caller = crate::wire::owner();
    assert!(edit(&mut client, json!({"method": "MOVE", "id": machine, "body": {"resourceGroup": "/nowhere"}})).is_err());
}

#[test]
fn a_machine_made_again_under_its_id_has_another_vm_id_and_its_item_goes_on() {
    let mut client = protected();
    let id = vm("rg-one", "vm-a");
    let before = client.read(&id);
    assert_eq!(client.send("DELETE", &id, Value::Null).status, 202);
    client.wait(60);
    assert_eq!(client.get(&id).status, 404);
    assert_eq!(client.read(&item(&vault("rv-one"), "rg-one", "vm-a"))["properties"]["protectionState"], "Protected", "the item stays");
    let properties = json!({"hardwareProfile": before["properties"]["hardwareProfile"], "networkProfile": before["properties"]["networkProfile"],
        "storageProfile": {"imageReference": before["properties"]["storageProfile"]["imageReference"], "osDisk": {"createOption": "FromImage"}},
        "osProfile": {"computerName": "vm-a", "adminUsername": "me"}});
    assert_eq!(client.send("PUT", &id, json!({"location": "westeurope", "properties": properties})).status, 201);
    client.wait(60);
    assert_ne!(client.read(&id)["properties"]["vmId"], before["properties"]["vmId"]);
    client.wait(86_400);
    let seen = client.read(&item(&vault("rv-one"), "rg-one", "vm-a"))["properties"].clone();
    assert_eq!((&seen["lastBackupStatus"], &seen["sourceResourceId"]), (&json!("Completed"), &json!(id)), "whoever bears the name");
}

#[test]
fn a_point_holds_the_size_and_the_disks_of_its_day() {
    let mut client = protected();
    let (id, one) = (vm("rg-one", "vm-a"), vault("rv-one"));
    assert_eq!(newest_point(&mut client)["virtualMachineSize"], "Standard_D2s_v5");
    client.send("PATCH", &id, json!({"properties": {"hardwareProfile": {"vmSize": "Standard_E4s_v5"}}}));
    client.wait(60);
    back_up(&mut client);
    let point = newest_point(&mut client);
    assert_eq!((&point["virtualMachineSize"], point.get("recoveryPointDiskConfiguration")), (&json!("Standard_E4s_v5"), None));
    let mut chosen = protecting(&one, &id);
    chosen["properties"]["extendedProperties"] = json!({"diskExclusionProperties": {"diskLunList": [0], "isInclusionList": true}});
    assert_eq!(client.send("PUT", &item(&one, "rg-one", "vm-a"), chosen).status, 202);
    client.wait(60);
    let disk = format!("{RG}/providers/Microsoft.Compute/disks/late");
    client.send(
        "PUT",
        &disk,
        json!({"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}}),
    );
    client.wait(10);
    let attach = json!({"dataDisksToAttach": [{"diskId": disk, "lun": 5}]});
    assert_eq!(client.send("POST", &format!("{id}/attachDetachDataDisks"), attach).status, 200);
    client.wait(60);
    back_up(&mut client);
    let disks = newest_point(&mut client)["recoveryPointDiskConfiguration"].clone();
    assert_eq!((&disks["numberOfDisksIncludedInBackup"], &disks["numberOfDisksAttachedToVm"]), (&json!(2), &json!(3)));
    assert_eq!(
        (&disks["excludedDiskList"][0]["lun"], &disks["excludedDiskList"][0]["name"]),
        (&json!(5), &json!("late")),
        "nobody covers it"
    );
    let detach = json!({"dataDisksToDetach": [{"diskId": disk}]});
    assert_eq!(client.send("POST", &format!("{id}/attachDetachDataDisks"), detach).status, 200);
    client.wait(60);
    back_up(&mut client);
    assert_eq!(newest_point(&mut client).get("recoveryPointDiskConfiguration"), None);
}

#[test]
fn somebody_else_protects_a_machine_out_of_band() {
    let mut client = protected();
    let (two, machine) = (vault("rv-policy"), vm("rg-one", "vm-b"));
    let made = json!({"location": "westeurope", "tags": {"by": "Azure Policy"}, "properties": {}});
    edit(&mut client, json!({"method": "PUT", "id": two, "body": made})).unwrap();
    assert_eq!(
        (client.read(&two)["properties"]["provisioningState"].as_str(), client.read(&two)["tags"]["by"].as_str()),
        (Some("Succeeded"), Some("Azure Policy"))
    );
    let url = item(&two, "rg-one", "vm-b");
    let count = client.azure.journal().entries().len();
    edit(&mut client, json!({"method": "PUT", "id": url, "body": protecting(&two, &machine)})).unwrap();
    assert_eq!(client.azure.journal().entries().len(), count, "nobody asked through the door");
    let status = client.send(
        "POST",
        &format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus"),
        json!({"resourceType": "VM", "resourceId": machine}),
    );
    assert_eq!((&status.json()["protectionStatus"], &status.json()["vaultId"]), (&json!("Protected"), &json!(two)));
    let one = vault("rv-one");
    let refused = client.send("PUT", &item(&one, "rg-one", "vm-b"), protecting(&one, &machine));
    assert_eq!(code(&refused), "BMSUserErrorVMAlreadyRegistered");
    let again = edit(&mut client, json!({"method": "PUT", "id": item(&one, "rg-one", "vm-b"), "body": protecting(&one, &machine)}));
    assert!(again.unwrap_err().contains("rv-policy"), "the service's rules hold for others too");
}

#[test]
fn others_use_up_a_days_limits() {
    let mut client = protected();
    let one = vault("rv-one");
    let policy = |index: usize| format!("{}/backupPolicies/policy{index}", vault("rv-one"));
    let body = client.read(&format!("{one}/backupPolicies/DefaultPolicy"))["properties"].clone();
    let body = json!({"properties": body});
    edit(&mut client, json!({"method": "PATCH", "id": one, "body": {"spent": {"policyWrites": 48, "protectionChanges": 998}}})).unwrap();
    let writes: Vec<u16> = (0..3).map(|index| client.send("PUT", &policy(index), body.clone()).status).collect();
    assert_eq!(writes, [200, 200, 400], "two of fifty were left");
    assert_eq!(code(&client.send("PUT", &policy(4), body.clone())), "CloudDosTimeboudLimitReached");
    let url = item(&one, "rg-one", "vm-a");
    assert_eq!(client.send("PUT", &url, protecting(&one, &vm("rg-one", "vm-a"))).status, 202, "protecting vm-a was one itself");
    client.wait(60);
    assert_eq!(code(&client.send("PUT", &url, protecting(&one, &vm("rg-one", "vm-a")))), "CloudDosTimeboudLimitReached");
    edit(&mut client, json!({"method": "PATCH", "id": url, "body": {"spent": {"onDemandBackups": 8}}})).unwrap();
    let backup = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
    assert_eq!(code(&client.send("POST", &format!("{url}/backup"), backup)), "CloudDosTimeboudLimitReached");
    client.wait(86_400);
    assert_eq!(client.send("PUT", &policy(4), body).status, 200, "a day later");
    assert!(edit(&mut client, json!({"method": "PATCH", "id": one, "body": {"spent": {"wishes": 3}}})).is_err());
}
