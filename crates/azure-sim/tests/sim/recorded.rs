//! Shapes against recorded traffic: every field that Azure showed for the same act, we show too.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::wire::{Client, RG, SUB, header, reader, small};

fn recorded(name: &str) -> Value {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/azure/recorded");
    let folder = std::env::var_os("BREAKWATER_RECORDED").map_or_else(default, PathBuf::from);
    let path = folder.join("compute").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Fields of the recorded value that ours lacks, as pointers. Free-form maps and what a later machine reports are not fields.
fn lacking(theirs: &Value, ours: &Value, at: &str, into: &mut Vec<String>) {
    if at.ends_with("/tags") {
        return;
    }
    match (theirs, ours) {
        (Value::Object(theirs), _) => {
            for (name, inner) in theirs {
                match ours.get(name) {
                    Some(found) => lacking(inner, found, &format!("{at}/{name}"), into),
                    None => into.push(format!("{at}/{name}")),
                }
            }
        }
        (Value::Array(theirs), Value::Array(ours)) => {
            if let (Some(their), Some(our)) = (theirs.first(), ours.first()) {
                lacking(their, our, &format!("{at}/0"), into);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (theirs, ours) if std::mem::discriminant(theirs) != std::mem::discriminant(ours) => into.push(format!("{at}: another type")),
        _ => {}
    }
}

/// Compares status, protocol headers and body with a recording; `except` are the differences that are meant.
fn same_shape(name: &str, reply: &azure_sim::wire::WireReply, except: &[&str]) {
    let recorded = recorded(name);
    let response = &recorded["response"];
    assert_eq!(response["status"], reply.status, "{name}: {}", reply.json());
    let mut missing = Vec::new();
    lacking(&response["body"], &reply.json(), "", &mut missing);
    for protocol in ["azure-asyncoperation", "location", "x-ms-failure-cause", "www-authenticate"] {
        if response["headers"].get(protocol).is_some() != reply.header(protocol).is_some() {
            missing.push(format!("header {protocol}"));
        }
    }
    missing.retain(|field| !except.contains(&field.as_str()));
    assert!(missing.is_empty(), "{name} lacks {missing:#?} in {}", reply.json());
}

fn body(name: &str, location: &str) -> Value {
    let mut body = recorded(name)["request"]["body"].clone();
    body["location"] = json!(location);
    body
}

#[test]
fn disks_answer_as_recorded() {
    let mut client = small();
    let disk = format!("{RG}/providers/Microsoft.Compute/disks/disk1");
    let put = client.send("PUT", &disk, body("disk_put_empty_premium__202_updating", "westeurope"));
    same_shape("disk_put_empty_premium__202_updating", &put, &[]);
    same_shape("diskoperation_get_disk_copy__200_inprogress", &client.get(&header(&put, "azure-asyncoperation")), &[]);
    client.wait(5);
    same_shape("diskoperation_get_disk_put__200_succeeded_with_output", &client.get(&header(&put, "azure-asyncoperation")), &[]);
    same_shape("disk_get_empty_premium__200", &client.get(&disk), &[]);
    let gone = client.send("DELETE", &disk, Value::Null);
    same_shape("disk_delete__202_2025-01-02", &gone, &[]);
    client.wait(60);
    same_shape("disk_delete_missing__204", &client.send("DELETE", &disk, Value::Null), &[]);
    let data = |client: &mut Client, vm: &str| {
        client.read(vm)["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].as_str().unwrap().to_owned()
    };
    let off = data(&mut client, &format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-b"));
    same_shape("disk_get_reserved_vm_deallocated__200", &client.get(&off), &["/tags"]);
    same_shape("disk_delete_attached__409_operationnotallowed", &client.send("DELETE", &off, Value::Null), &[]);
}

#[test]
fn machines_and_networks_answer_as_recorded() {
    let mut client = small();
    let network = format!("{RG}/providers/Microsoft.Network/virtualNetworks/v");
    let reply = client.send("PUT", &network, body("vnet_put__201_updating", "westeurope"));
    same_shape("vnet_put__201_updating", &reply, &[]);
    client.wait(10);
    same_shape("network_operation_get__200_succeeded", &client.get(&header(&reply, "azure-asyncoperation")), &[]);
    same_shape(
        "subnet_put__201_updating",
        &client.send("PUT", &format!("{network}/subnets/s"), json!({"properties": {"addressPrefix": "10.0.0.0/24"}})),
        &[],
    );
    client.wait(10);
    let nic = format!("{RG}/providers/Microsoft.Network/networkInterfaces/n");
    let config = json!({"name": "ipconfig1", "properties": {"privateIPAllocationMethod": "Dynamic", "subnet": {"id": format!("{network}/subnets/s")}}});
    let reply = client.send("PUT", &nic, json!({"location": "westeurope", "properties": {"ipConfigurations": [config]}}));
    same_shape("nic_put__201_succeeded", &reply, &[]);
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines/asotest");
    let mut asked = body("vm_put_create_from_image__201_creating", "westeurope");
    asked["properties"]["networkProfile"]["networkInterfaces"][0]["id"] = json!(nic);
    let reply = client.send("PUT", &vm, asked.clone());
    same_shape("vm_put_create_from_image__201_creating", &reply, &[]);
    same_shape("operation_get_vm_create__200_inprogress", &client.get(&header(&reply, "azure-asyncoperation")), &[]);
    client.wait(60);
    same_shape("operation_get_vm_create__200_succeeded", &client.get(&header(&reply, "azure-asyncoperation")), &[]);
    same_shape("vm_get__200", &client.get(&vm), &[]);
    let running = client.get(&format!("{vm}?$expand=instanceView"));
    // What the guest reports of its own system is not modelled.
    same_shape(
        "vm_get_instanceview_running__200",
        &running,
        &["/tags", "/properties/instanceView/osName", "/properties/instanceView/osVersion"],
    );
    same_shape("vm_put_update__200_updating", &client.send("PUT", &vm, asked), &["/properties/diagnosticsProfile"]);
    client.wait(60);
    same_shape("vm_deallocate__202_accepted", &client.send("POST", &format!("{vm}/deallocate"), Value::Null), &[]);
    client.wait(60);
    let off = client.get(&format!("{vm}?$expand=instanceView"));
    same_shape("vm_get_instanceview_deallocated__200", &off, &["/tags", "/resources", "/properties/storageProfile/osDisk/vhd"]);
    same_shape("vm_start__202_accepted", &client.send("POST", &format!("{vm}/start"), Value::Null), &[]);
    same_shape("vm_delete__202_accepted", &client.send("DELETE", &vm, Value::Null), &[]);
    client.wait(46);
    same_shape("vm_get_after_delete__404_notfound_from_rp", &client.get(&vm), &[]);
    same_shape("vm_delete_missing__204", &client.send("DELETE", &vm, Value::Null), &[]);
}

#[test]
fn resource_manager_answers_as_recorded() {
    let mut client = small();
    let group = format!("{SUB}/resourceGroups/asotest");
    let made = client.send("PUT", &group, body("rg_put__201_created", "westeurope"));
    same_shape("rg_put__201_created", &made, &[]);
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/l");
    same_shape("arm_lock_put_rg__201", &client.send("PUT", &lock, json!({"properties": {"level": "CanNotDelete"}})), &[]);
    let update = json!({"properties": {"level": "ReadOnly", "notes": "n"}});
    same_shape("arm_lock_put_update_readonly__200", &client.send("PUT", &lock, update), &[]);
    same_shape("arm_lock_list_rg__200", &client.get(&format!("{group}/providers/Microsoft.Authorization/locks")), &[]);
    same_shape("arm_rg_delete__409_scopelocked", &client.send("DELETE", &group, Value::Null), &[]);
    same_shape("arm_lock_delete__200", &client.send("DELETE", &lock, Value::Null), &[]);
    let gone = client.send("DELETE", &group, Value::Null);
    same_shape("rg_delete__202_accepted", &gone, &[]);
    let poll = client.get(&header(&gone, "location"));
    same_shape("rg_delete_operationresult__202_still_running", &poll, &[]);
    client.wait(100);
    same_shape("rg_delete_operationresult__200_done_empty_body", &client.get(&header(&poll, "location")), &[]);
    let disk = |group: &str| format!("{SUB}/resourceGroups/{group}/providers/Microsoft.Compute/disks/d");
    same_shape("snapshot_get_missing__404_resourcenotfound_from_gateway", &client.get(&disk("rg-one")), &[]);
    same_shape("snapshot_delete_rg_gone__404_resourcegroupnotfound", &client.send("DELETE", &disk("nowhere"), Value::Null), &[]);
    let tags = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a/providers/Microsoft.Resources/tags/default");
    let patch = json!({"operation": "Merge", "properties": {"tags": {"a": "b"}}});
    same_shape("tags_patch_merge_vm__200", &client.send("PATCH", &tags, patch), &[]);
    let bad = client.send("PUT", &format!("{SUB}/resourceGroups/bad"), json!({"location": "BadLocation"}));
    same_shape("arm__400_locationnotavailableforresourcegroup", &bad, &[]);
    client.caller = reader();
    same_shape("arm__403_authorizationfailed", &client.get(&disk("rg-two")), &[]);
    let bare = client.azure.handle(client.now, crate::wire::request("GET", SUB, Value::Null));
    same_shape("arm__401_authenticationfailed_header_missing", &bare, &[]);
}
