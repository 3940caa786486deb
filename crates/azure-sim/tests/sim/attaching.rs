//! Disks by size, source, sku and place, and interfaces and user data of a machine.

use serde_json::{Value, json};

use crate::wire::{Client, RG, SUB, code, disk, empty_disk, header, nic, small, vm};

fn data_disk(client: &mut Client) -> String {
    client.read(&vm("vm-a"))["properties"]["storageProfile"]["dataDisks"][0]["managedDisk"]["id"].as_str().unwrap().to_owned()
}

/// The data disks of `vm-a` with one more.
fn with_disk(client: &mut Client, lun: i64, id: &str) -> Value {
    let mut disks = client.read(&vm("vm-a"))["properties"]["storageProfile"]["dataDisks"].clone();
    disks.as_array_mut().unwrap().push(json!({"lun": lun, "createOption": "Attach", "managedDisk": {"id": id}}));
    json!({"properties": {"storageProfile": {"dataDisks": disks}}})
}

#[test]
fn small_premium_disks_have_tiers_of_their_own() {
    let mut client = small();
    for (size, tier) in [(4, "P1"), (5, "P2"), (8, "P2"), (16, "P3"), (32, "P4"), (33, "P6")] {
        let id = disk(&format!("d{size}"));
        client.send("PUT", &id, empty_disk(size));
        client.wait(5);
        let properties = client.read(&id)["properties"].clone();
        assert_eq!(properties["tier"], tier, "{size}");
        assert_eq!(properties["diskIOPSReadWrite"], if size == 33 { 240 } else { 120 }, "as recorded for P1");
    }
}

#[test]
fn a_copy_is_not_smaller_than_its_source() {
    let mut client = small();
    let source = data_disk(&mut client);
    let copy = |size: i64| {
        let creation = json!({"createOption": "Copy", "sourceResourceId": source});
        json!({"location": "westeurope", "properties": {"creationData": creation, "diskSizeGB": size}})
    };
    let refused = client.send("PUT", &disk("copy"), copy(63));
    assert_eq!((refused.status, code(&refused).as_str()), (400, "InvalidParameter"));
    assert_eq!(client.send("PUT", &disk("copy"), copy(65)).status, 202);
    client.wait(5);
    assert_eq!(client.read(&disk("copy"))["properties"]["diskSizeGB"], 65);
}

#[test]
fn the_sku_of_a_disk_changes_only_while_no_running_machine_holds_it() {
    let mut client = small();
    let held = data_disk(&mut client);
    let sku = |name: &str| json!({"sku": {"name": name}});
    let refused = client.send("PATCH", &held, sku("StandardSSD_LRS"));
    assert_eq!((refused.status, code(&refused).as_str()), (409, "OperationNotAllowed"));
    assert_eq!(client.send("PATCH", &held, sku("Premium_LRS")).status, 202, "the sku that it has is no change");
    client.wait(5);
    client.send("POST", &format!("{}/deallocate", vm("vm-a")), Value::Null);
    client.wait(60);
    assert_eq!(client.send("PATCH", &held, sku("StandardSSD_LRS")).status, 202);
    client.wait(5);
    assert_eq!(client.read(&held)["sku"]["name"], "StandardSSD_LRS");
}

#[test]
fn two_disks_do_not_share_a_lun() {
    let mut client = small();
    client.send("PUT", &disk("d"), empty_disk(8));
    client.wait(5);
    let twice = with_disk(&mut client, 0, &disk("d"));
    let refused = client.send("PATCH", &vm("vm-a"), twice);
    assert_eq!((refused.status, refused.json()["error"]["target"].as_str()), (400, Some("dataDisks.lun")));
    assert_eq!(client.read(&disk("d"))["properties"]["diskState"], "Unattached");
    let beside = with_disk(&mut client, 1, &disk("d"));
    assert_eq!(client.send("PATCH", &vm("vm-a"), beside).status, 200);
}

#[test]
fn a_disk_of_another_region_or_zone_is_not_attached() {
    let mut client = small();
    let far = disk("d").replace("rg-one", "rg-two");
    let mut body = empty_disk(8);
    body["location"] = json!("northeurope");
    client.send("PUT", &far, body);
    let mut zonal = empty_disk(8);
    zonal["zones"] = json!(["1"]);
    client.send("PUT", &disk("zonal"), zonal.clone());
    zonal["sku"] = json!({"name": "Premium_ZRS"});
    client.send("PUT", &disk("everywhere"), zonal);
    client.wait(5);
    for (id, status, expected) in [(far, 404, "NotFound"), (disk("zonal"), 400, "BadRequest"), (disk("everywhere"), 200, "")] {
        let attach = with_disk(&mut client, 1, &id);
        let reply = client.send("PATCH", &vm("vm-a"), attach);
        assert_eq!((reply.status, code(&reply).as_str()), (status, expected), "{id}");
    }
}

#[test]
fn one_interface_of_a_machine_is_primary() {
    let mut client = small();
    let subnet = format!("{RG}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope/subnets/default");
    let plain =
        json!({"location": "westeurope", "properties": {"ipConfigurations": [{"name": "i", "properties": {"subnet": {"id": subnet}}}]}});
    client.send("PUT", &nic("second"), plain.clone());
    let mut primary = |marks: [Value; 2]| {
        let named = json!([{"id": nic("vm-a-nic"), "properties": marks[0]}, {"id": nic("SECOND"), "properties": marks[1]}]);
        let reply = client.send("PATCH", &vm("vm-a"), json!({"properties": {"networkProfile": {"networkInterfaces": named}}}));
        assert_eq!(reply.status, 200, "{}", reply.json());
        client.wait(60);
        ["vm-a-nic", "second"].map(|name| client.read(&nic(name))["properties"]["primary"].clone())
    };
    let mark = |is: bool| json!({"primary": is});
    assert_eq!(primary([mark(false), mark(true)]), [json!(false), json!(true)]);
    assert_eq!(primary([json!({}), json!({})]), [json!(true), json!(false)], "the first where none is marked");
    client.send("PUT", &nic("second"), plain);
    assert_eq!(client.read(&nic("second"))["properties"]["primary"], false, "a write of its own does not change it");
}

#[test]
fn user_data_is_shown_to_who_asks_for_it() {
    let mut client = small();
    let reply = client.send("PATCH", &vm("vm-a"), json!({"properties": {"userData": "aGVsbG8="}}));
    assert_eq!((reply.status, reply.json().pointer("/properties/userData")), (200, None));
    client.wait(60);
    client.send("PATCH", &vm("vm-a"), json!({"tags": {"a": "b"}}));
    client.wait(60);
    for (expand, shown) in [("", false), ("?$expand=instanceView", false), ("?$expand=userData", true)] {
        let properties = client.read(&format!("{}{expand}", vm("vm-a")))["properties"].clone();
        assert_eq!(properties.get("userData").is_some(), shown, "{expand}");
    }
    let listed = client.read(&format!("{SUB}/providers/Microsoft.Compute/virtualMachines"));
    assert!(!listed.to_string().contains("userData"));
}

#[test]
fn who_has_a_role_on_a_group_follows_what_they_started_there() {
    let mut client = small();
    let assignment = format!("{RG}/providers/Microsoft.Authorization/roleAssignments/cccccccc-0000-4000-8000-000000000009");
    let contributor = format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c");
    let given = json!({"properties": {"principalId": crate::wire::reader().object_id, "roleDefinitionId": contributor}});
    assert_eq!(client.send("PUT", &assignment, given).status, 201);
    client.caller = crate::wire::reader();
    let network = format!("{RG}/providers/Microsoft.Network/virtualNetworks/v");
    let account = format!("{RG}/providers/Microsoft.Storage/storageAccounts/fresh01");
    let kinds = json!({"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}});
    let started = [
        client.send("PUT", &disk("d"), empty_disk(8)),
        client.send("PUT", &network, kinds.clone()),
        client.send("PUT", &account, kinds),
        client.send("POST", &format!("{}/deallocate", vm("vm-a")), Value::Null),
    ];
    client.wait(60);
    let polls: Vec<String> = started
        .iter()
        .flat_map(|reply| ["azure-asyncoperation", "location"].map(|name| reply.header(name).map(str::to_owned)))
        .flatten()
        .collect();
    assert_eq!(polls.len(), 6, "{polls:?}");
    for poll in &polls {
        assert_eq!(client.get(poll).status, 200, "{poll}");
    }
    client.caller.object_id = "nobody".to_owned();
    let refused = client.get(&header(&started[0], "location"));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "AuthorizationFailed"));
}
