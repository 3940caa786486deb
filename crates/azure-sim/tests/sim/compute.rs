//! Compute and Network.

use azure_sim::{Azure, Estate, Options};
use serde_json::{Value, json};

use crate::wire::{Client, RG, SMALL, SUB, code, disk, empty_disk, header, nic, owner, small, vm, with_more, with_settings};

fn machine(nic: &str) -> Value {
    json!({"location": "westeurope", "properties": {
        "hardwareProfile": {"vmSize": "Standard_B2s"},
        "storageProfile": {"imageReference": {"publisher": "Canonical", "offer": "x", "sku": "y", "version": "latest"}},
        "osProfile": {"computerName": "c", "adminUsername": "u", "adminPassword": "hunter2"},
        "networkProfile": {"networkInterfaces": [{"id": nic}]}}})
}

fn interface() -> Value {
    let subnet = format!("{RG}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope/subnets/default");
    json!({"location": "westeurope", "properties": {"ipConfigurations": [{"name": "ipconfig1", "properties": {"subnet": {"id": subnet}}}]}})
}

#[test]
fn i01_disk_put_answers_202_always() {
    let mut client = small();
    for _ in 0..2 {
        let reply = client.send("PUT", &disk("d"), empty_disk(200));
        assert_eq!((reply.status, header(&reply, "retry-after").as_str()), (202, "2"));
        assert!(reply.header("azure-asyncoperation").is_some() && reply.header("location").is_some());
        client.wait(5);
    }
}

#[test]
fn i01_machine_put_answers_201_then_200_without_a_location_header() {
    let mut client = small();
    assert_eq!(client.send("PUT", &nic("n"), interface()).status, 201);
    let created = client.send("PUT", &vm("new"), machine(&nic("n")));
    assert_eq!((created.status, created.json()["properties"]["provisioningState"].as_str()), (201, Some("Creating")));
    assert_eq!((header(&created, "retry-after").as_str(), created.header("location")), ("10", None));
    assert!(!String::from_utf8_lossy(&created.body).contains("hunter2"));
    assert!(created.json().pointer("/properties/storageProfile/osDisk/managedDisk/id").is_none(), "the 201 does not name the disk");
    let view = |client: &mut Client| client.read(&format!("{}?$expand=instanceView", vm("new")))["properties"]["instanceView"].clone();
    let made = view(&mut client);
    assert!(made.get("vmAgent").is_none() && made.get("computerName").is_none(), "as recorded: {made}");
    client.wait(60);
    assert_eq!(view(&mut client)["vmAgent"]["statuses"][0]["displayStatus"], "Ready");
    let update = client.send("PUT", &vm("new"), machine(&nic("n")));
    assert_eq!((update.status, update.json()["properties"]["provisioningState"].as_str()), (200, Some("Updating")));
    assert_eq!((update.header("retry-after"), update.header("location"), update.header("etag")), (None, None, Some("\"2\"")));
}

#[test]
fn a_machine_shows_who_its_identities_are_and_loses_those_that_are_taken_away() {
    let id = |name: &str| format!("{RG}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
    let (client_id, object_id) = ("cccccccc-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-000000000002");
    let lines = format!("managedIdentities: [{{ name: one, clientId: {client_id}, objectId: {object_id}, resourceId: {} }}]", id("one"));
    let mut client = with_more(&lines);
    let mut patch = |identity: Value| {
        let reply = client.send("PATCH", &vm("vm-a"), json!({"identity": identity}));
        client.wait(60);
        (reply.status, client.read(&vm("vm-a"))["identity"].clone())
    };
    let (status, shown) = patch(json!({"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {id("one"): {}}}));
    assert_eq!((status, &shown["userAssignedIdentities"][id("one")]), (200, &json!({"principalId": object_id, "clientId": client_id})));
    let own = shown["principalId"].clone();
    assert!(own.is_string());
    assert_eq!(patch(json!({"type": "UserAssigned", "userAssignedIdentities": {id("nobody"): {}}})).0, 501, "what Azure says is not known");
    let (_, shown) = patch(json!({"userAssignedIdentities": {id("one"): null}}));
    assert_eq!((&shown["userAssignedIdentities"], &shown["principalId"]), (&json!({}), &own));
    let (_, shown) = patch(json!({"type": "UserAssigned", "userAssignedIdentities": {id("one"): {}}}));
    assert!(shown.get("principalId").is_none() && shown["userAssignedIdentities"][id("one")]["clientId"] == client_id, "{shown}");
    assert_eq!(patch(json!({"type": "None"})).1, Value::Null);
}

#[test]
fn i01_interface_put_is_done_at_once_and_groups_are_synchronous() {
    let mut client = small();
    let reply = client.send("PUT", &nic("n"), interface());
    assert_eq!((reply.status, reply.json()["properties"]["provisioningState"].as_str()), (201, Some("Succeeded")));
    assert_eq!(reply.header("azure-asyncoperation"), None, "as recorded");
    let group = format!("{SUB}/resourcegroups/rg-new");
    assert_eq!(client.send("PUT", &group, json!({"location": "West Europe"})).status, 201);
    assert_eq!(client.send("PUT", &group, json!({"location": "westeurope"})).status, 200);
    let network = format!("{RG}/providers/Microsoft.Network/virtualNetworks/v");
    let reply = client.send(
        "PUT",
        &network,
        json!({"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}),
    );
    assert_eq!((reply.status, reply.json()["properties"]["provisioningState"].as_str()), (201, Some("Updating")));
    let again = client.send("PUT", &format!("{network}/subnets/s"), json!({"properties": {"addressPrefix": "10.0.0.0/24"}}));
    assert_eq!((again.status, code(&again).as_str()), (409, "AnotherOperationInProgress"));
    client.wait(5);
    assert_eq!(client.get(&header(&reply, "azure-asyncoperation")).json(), json!({"status": "Succeeded"}));
}

#[test]
fn i02_the_echo_says_updating_a_get_says_creating_without_sizes() {
    let mut client = small();
    let reply = client.send("PUT", &disk("d"), empty_disk(200));
    let echo = reply.json();
    assert_eq!(echo["properties"]["provisioningState"], "Updating");
    assert_eq!((&echo["properties"]["uniqueId"], &echo["sku"]["tier"]), (&Value::Null, &Value::Null));
    let during = client.read(&disk("d"));
    assert_eq!((during["properties"]["provisioningState"].as_str(), &during["properties"]["diskSizeGB"]), (Some("Creating"), &Value::Null));
    assert!(during["properties"]["uniqueId"].is_string());
    client.wait(5);
    let after = client.read(&disk("d"));
    assert_eq!(
        (after["properties"]["provisioningState"].as_str(), after["properties"]["diskSizeGB"].as_i64()),
        (Some("Succeeded"), Some(200))
    );
    assert_eq!(
        (after["properties"]["tier"].as_str(), after["properties"]["diskIOPSReadWrite"].as_i64()),
        (Some("P15"), Some(1100)),
        "as recorded"
    );
    let status = client.get(&header(&reply, "azure-asyncoperation"));
    assert_eq!((status.json()["status"].as_str(), status.header("retry-after")), (Some("Succeeded"), None));
    assert_eq!(status.json()["properties"]["output"]["name"], "d");
    assert_eq!(client.read(&header(&reply, "location"))["name"], "d", "the monitor form is the bare resource");
}

#[test]
fn i03_operation_urls_are_signed_long_and_of_two_forms() {
    let mut client = small();
    let reply = client.send("PUT", &disk("d"), empty_disk(8));
    let (status, monitor) = (header(&reply, "azure-asyncoperation"), header(&reply, "location"));
    assert!(status.len() > 2_800 && status.len() < 4_000, "{}", status.len());
    assert!(monitor.contains("monitor=true") && !status.contains("monitor=true") && status.contains("/DiskOperations/"));
    let tail = |url: &str| url.split("&s=").nth(1).unwrap().to_owned();
    assert_ne!(tail(&status), tail(&monitor));
    let unknown =
        client.get(&format!("{SUB}/providers/Microsoft.Compute/locations/westeurope/DiskOperations/00000000-0000-4000-8000-000000000000"));
    assert_eq!(unknown.status, 404);
}

#[test]
fn i03_polls_of_a_machine_operation_ask_for_patience_twice() {
    let mut client = small();
    let reply = client.send("POST", &format!("{}/deallocate", vm("vm-a")), Value::Null);
    assert_eq!((reply.status, reply.body.len(), header(&reply, "retry-after").as_str()), (202, 0, "10"));
    let url = header(&reply, "azure-asyncoperation");
    assert!(url.contains(&header(&reply, "x-ms-request-id")), "the request id is the operation's");
    let waits: Vec<Option<String>> = (0..3).map(|_| client.get(&url).header("retry-after").map(str::to_owned)).collect();
    assert_eq!(waits, [Some("35".into()), Some("35".into()), None]);
    assert_eq!(client.get(&header(&reply, "location")).status, 202);
    client.wait(60);
    assert_eq!(client.get(&url).json()["status"], "Succeeded");
    let monitor = client.get(&header(&reply, "location"));
    assert_eq!((monitor.status, monitor.body.len()), (200, 0));
}

#[test]
fn i04_lists_of_a_subscription_upper_case_the_group() {
    let mut client = small();
    let whole = client.read(&format!("{SUB}/providers/Microsoft.Compute/virtualMachines"));
    assert!(whole["value"][0]["id"].as_str().unwrap().contains("/resourceGroups/RG-ONE/"), "{whole}");
    assert!(whole["value"][0]["properties"]["networkProfile"]["networkInterfaces"][0]["id"].as_str().unwrap().contains("/rg-one/"));
    let group = client.read(&format!("{RG}/providers/Microsoft.Compute/virtualMachines"));
    assert!(group["value"][0]["id"].as_str().unwrap().contains("/resourceGroups/rg-one/"));
    let disks = client.read(&format!("{SUB}/providers/Microsoft.Compute/disks"));
    assert!(disks["value"].as_array().unwrap().iter().all(|disk| disk["id"].as_str().unwrap().contains("/RG-ONE/")));
    assert!(disks["value"][0]["managedBy"].as_str().unwrap().contains("/rg-one/"));
    let other = format!("{SUB}/resourcegroups/RG-One/providers/microsoft.compute/VirtualMachines/VM-A");
    assert_eq!(client.read(&other)["id"], vm("vm-a"), "ids are compared without case and keep their spelling");
    let placed = client.read(&format!("{SUB}/providers/Microsoft.Compute/locations/WestEurope/virtualMachines"));
    assert_eq!(placed["value"].as_array().unwrap().len(), 2, "regions too");
}

#[test]
fn i05_a_deleted_resource_is_gone_in_two_steps() {
    let mut client = small();
    client.send("PUT", &disk("d"), empty_disk(8));
    client.wait(5);
    let reply = client.send("DELETE", &disk("d"), Value::Null);
    assert_eq!((reply.status, reply.header("retry-after"), reply.body.len()), (202, None, 0));
    assert_eq!(client.read(&disk("d"))["properties"]["provisioningState"], "Deleting");
    client.wait(3);
    let provider = client.get(&disk("d"));
    assert_eq!((provider.status, code(&provider).as_str(), provider.header("x-ms-failure-cause")), (404, "NotFound", None));
    client.wait(30);
    let gateway = client.get(&disk("d"));
    assert_eq!((gateway.status, code(&gateway).as_str(), gateway.header("x-ms-failure-cause")), (404, "ResourceNotFound", Some("gateway")));
    assert_eq!(client.send("DELETE", &disk("d"), Value::Null).status, 204);
    assert_eq!(client.send("DELETE", &vm("nobody"), Value::Null).status, 204);
    let nowhere = client.send("DELETE", &disk("d").replace("rg-one", "rg-none"), Value::Null);
    assert_eq!((nowhere.status, code(&nowhere).as_str()), (404, "ResourceGroupNotFound"));
}

#[test]
fn i09_a_second_disk_write_conflicts_and_a_second_machine_write_supersedes() {
    let mut client = small();
    client.send("PUT", &disk("d"), empty_disk(8));
    let second = client.send("PUT", &disk("d"), empty_disk(16));
    assert_eq!((second.status, code(&second).as_str()), (409, "Conflict"));
    let first = client.send("POST", &format!("{}/deallocate", vm("vm-a")), Value::Null);
    let start = client.send("POST", &format!("{}/start", vm("vm-a")), Value::Null);
    assert_eq!(start.status, 202);
    let superseded = client.read(&header(&first, "azure-asyncoperation"));
    assert_eq!((superseded["status"].as_str(), superseded["error"]["code"].as_str()), (Some("Failed"), Some("OperationPreempted")));
    client.wait(60);
    assert_eq!(client.read(&format!("{}/instanceView", vm("vm-a")))["statuses"][1]["code"], "PowerState/running");
}

#[test]
fn i12_disks_are_attached_reserved_and_released_with_their_machine() {
    let mut client = small();
    let state = |client: &mut crate::wire::Client, id: &str| client.read(id)["properties"]["diskState"].as_str().unwrap().to_owned();
    let held = client.read(&vm("vm-a"))["properties"]["storageProfile"]["dataDisks"][0]["managedDisk"]["id"].as_str().unwrap().to_owned();
    assert_eq!(state(&mut client, &held), "Attached");
    let refused = client.send("DELETE", &held, Value::Null);
    assert_eq!((refused.status, code(&refused).as_str()), (409, "OperationNotAllowed"));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("is attached to VM"));
    client.send("POST", &format!("{}/deallocate", vm("vm-a")), Value::Null);
    client.wait(60);
    assert_eq!(state(&mut client, &held), "Reserved");
    client.send("DELETE", &vm("vm-a"), Value::Null);
    client.wait(60);
    assert_eq!((client.get(&vm("vm-a")).status, state(&mut client, &held).as_str()), (404, "Unattached"));
    assert!(client.read(&nic("vm-a-nic"))["properties"].get("virtualMachine").is_none());
}

#[test]
fn i12_the_os_disk_is_swapped_only_when_the_machine_is_off() {
    let mut client = small();
    let before = client.read(&vm("vm-a"));
    let old = before["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].as_str().unwrap().to_owned();
    let copy = json!({"location": "westeurope", "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": old}}});
    assert_eq!(client.send("PUT", &disk("copy"), copy).status, 202);
    client.wait(5);
    assert_eq!(client.read(&disk("copy"))["properties"]["osType"], "Linux", "the copy carries the operating system on");
    let mut swap = before.clone();
    swap["properties"]["storageProfile"]["osDisk"]["managedDisk"] = json!({"id": disk("copy")});
    let refused = client.send("PUT", &vm("vm-a"), swap.clone());
    assert_eq!((refused.status, code(&refused).as_str()), (409, "OperationNotAllowed"));
    client.send("POST", &format!("{}/powerOff", vm("vm-a")), Value::Null);
    client.wait(60);
    assert_eq!(client.send("PUT", &vm("vm-a"), swap).status, 200);
    client.wait(60);
    assert_eq!(client.read(&vm("vm-a"))["properties"]["storageProfile"]["osDisk"]["name"], "copy");
    assert_eq!(client.read(&old)["properties"]["diskState"], "Unattached");
}

#[test]
fn i12_vm_id_changes_when_a_machine_is_made_again_and_only_then() {
    let mut client = small();
    let first = client.read(&vm("vm-a"))["properties"]["vmId"].clone();
    client.send("PATCH", &vm("vm-a"), json!({"tags": {"only": "this"}}));
    client.wait(30);
    let patched = client.read(&vm("vm-a"));
    assert_eq!(
        (&patched["properties"]["vmId"], &patched["tags"]),
        (&first, &json!({"only": "this"})),
        "tags of a PATCH replace the whole set"
    );
    client.send("DELETE", &vm("vm-a"), Value::Null);
    client.wait(90);
    assert_eq!(client.send("PUT", &vm("vm-a"), machine(&nic("vm-a-nic"))).status, 201);
    assert_ne!(client.read(&vm("vm-a"))["properties"]["vmId"], first);
}

#[test]
fn shrinking_a_disk_is_accepted_and_fails_later() {
    let mut client = small();
    client.send("PUT", &disk("d"), empty_disk(64));
    client.wait(5);
    let reply = client.send("PUT", &disk("d"), empty_disk(32));
    assert_eq!(reply.status, 202);
    client.wait(5);
    let status = client.read(&header(&reply, "azure-asyncoperation"));
    assert_eq!((status["status"].as_str(), status["error"]["code"].as_str()), (Some("Failed"), Some("InvalidParameter")));
    assert_eq!(client.read(&disk("d"))["properties"]["diskSizeGB"], 64);
}

#[test]
fn preconditions_and_fixed_fields_are_kept() {
    let mut client = small();
    let mut wrong = crate::wire::request("PATCH", &vm("vm-a"), json!({"tags": {}}));
    wrong.headers.insert("if-match".into(), "\"77\"".into());
    let reply = client.azure.handle_as(client.now, client.caller.clone(), wrong);
    assert_eq!((reply.status, code(&reply).as_str()), (412, "PreconditionFailed"));
    let reply = client.send("PATCH", &vm("vm-a"), json!({"properties": {"osProfile": {"computerName": "other"}}}));
    assert_eq!((reply.status, code(&reply).as_str()), (409, "PropertyChangeNotAllowed"));
    assert_eq!(reply.json()["error"]["target"], "osProfile.computerName");
    let moved = client.send("PUT", &disk("x"), json!({"location": "mars", "properties": {}}));
    assert_eq!(code(&moved), "LocationNotAvailableForResourceType");
    let used = client.send("DELETE", &nic("vm-a-nic"), Value::Null);
    assert_eq!((used.status, code(&used).as_str()), (400, "NicInUse"));
}

#[test]
fn instance_views_and_status_only_lists_show_the_power_state() {
    let mut client = small();
    let off = client.read(&format!("{}?$expand=instanceView", vm("vm-b")));
    assert_eq!(off["properties"]["instanceView"]["statuses"][1]["code"], "PowerState/deallocated");
    let list = client.read(&format!("{SUB}/providers/Microsoft.Compute/virtualMachines?statusOnly=true"));
    let codes: Vec<&str> = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vm| vm["properties"]["instanceView"]["statuses"][1]["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["PowerState/running", "PowerState/deallocated"]);
    let refused = client.send("POST", &format!("{}/restart", vm("vm-b")), Value::Null);
    assert_eq!((refused.status, code(&refused).as_str()), (409, "OperationNotAllowed"));
}

#[test]
fn lists_of_machines_and_disks_come_in_pages_that_are_followed_to_the_end() {
    let mut client = with_settings("{ pages: { compute: 1 } }");
    for scope in [SUB, RG] {
        for kind in ["virtualMachines", "disks"] {
            let mut seen: Vec<String> = Vec::new();
            let mut next = Some(format!("{scope}/providers/Microsoft.Compute/{kind}?api-version=2024-07-01&$expand=instanceView"));
            while let Some(url) = next {
                let page = client.read(&url);
                let ids = page["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned());
                seen.extend(ids);
                next = page["nextLink"].as_str().map(str::to_owned);
                assert!(next.as_ref().is_none_or(|link| link.contains("api-version=2024-07-01") && link.contains("%24expand")), "{next:?}");
            }
            let expected = if kind == "disks" { 3 } else { 2 };
            assert_eq!(seen.len(), expected, "{scope} {seen:?}");
            seen.dedup();
            assert_eq!(seen.len(), expected, "no item twice");
        }
    }
}

#[test]
fn extensions_of_a_machine_are_shown_with_it_and_listed_and_stay_when_it_is_put() {
    let extension = "{ name: SiteRecovery-Windows, publisher: Microsoft.Azure.RecoveryServices.SiteRecovery, type: Windows }";
    let text = SMALL.replace("power: deallocated }", &format!("power: deallocated, extensions: [{extension}] }}"));
    let options = Options::default();
    let now = options.start;
    let azure = Azure::new(Estate::parse(&text, &Default::default()).unwrap(), options).unwrap();
    let mut client = Client { azure, now, caller: owner() };
    let mut shown = client.read(&vm("vm-b"));
    let extension = shown["resources"][0].clone();
    assert_eq!(extension["id"], format!("{}/extensions/SiteRecovery-Windows", vm("vm-b")));
    assert_eq!(extension["properties"]["publisher"], "Microsoft.Azure.RecoveryServices.SiteRecovery");
    assert_eq!(client.read(&format!("{}/extensions", vm("vm-b")))["value"], json!([extension]));
    assert_eq!(client.read(&format!("{}/extensions", vm("vm-a")))["value"], json!([]));
    shown["tags"] = json!({"a": "b"});
    let put = client.send("PUT", &vm("vm-b"), shown);
    assert!(put.status < 300, "{put:?}");
    client.wait(60);
    let shown = client.read(&vm("vm-b"));
    assert_eq!((&shown["tags"]["a"], &shown["resources"]), (&json!("b"), &json!([extension])));
    assert!(client.read(&vm("vm-a")).get("resources").is_none());
}

#[test]
fn data_disks_are_attached_and_detached_by_an_action() {
    let mut client = small();
    let disk = format!("{RG}/providers/Microsoft.Compute/disks/extra");
    client.send(
        "PUT",
        &disk,
        json!({"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}}),
    );
    client.wait(60);
    let act = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a/attachDetachDataDisks");
    let attached = client.send("POST", &act, json!({"dataDisksToAttach": [{"diskId": disk, "caching": "ReadOnly"}]}));
    assert_eq!((attached.status, attached.json()["dataDisks"][1]["lun"].clone()), (200, json!(1)));
    assert!(header(&attached, "azure-asyncoperation").contains("/operations/"));
    client.wait(60);
    assert_eq!(client.read(&disk)["properties"]["diskState"], "Attached");
    let twice = client.send("POST", &act, json!({"dataDisksToAttach": [{"diskId": disk, "lun": 0}]}));
    assert_eq!(twice.status, 400, "the LUN is taken");
    let detached = client.send("POST", &act, json!({"dataDisksToDetach": [{"diskId": disk.to_uppercase()}]}));
    assert_eq!((detached.status, detached.json()["dataDisks"].as_array().unwrap().len()), (200, 1));
    client.wait(60);
    assert_eq!(client.read(&disk)["properties"]["diskState"], "Unattached");
    let none = client.send("POST", &act, json!({"dataDisksToDetach": [{"diskId": disk}]}));
    assert_eq!(none.status, 400);
}

#[test]
fn images_are_found_in_the_marketplace_and_others_are_not() {
    let mut client = small();
    let at = format!("{SUB}/providers/Microsoft.Compute/locations/westeurope/publishers");
    assert!(client.read(&at).as_array().unwrap().iter().any(|publisher| publisher["name"] == "Canonical"));
    let versions = format!("{at}/canonical/artifacttypes/vmimage/offers/ubuntu-24_04-lts/skus/server/versions");
    let listed = client.read(&format!("{versions}?$top=1&$orderby=name%20desc&api-version=2024-07-01"));
    let image = client.read(listed[0]["id"].as_str().unwrap());
    assert_eq!(image["properties"]["osDiskImage"]["operatingSystem"], "Linux");
    assert_eq!(image["id"], listed[0]["id"]);
    let absent = client.get(&versions.replace("server", "desktop"));
    assert_eq!((absent.status, code(&absent).as_str()), (404, "NotFound"));
}

#[test]
fn a_machine_without_extensions_lists_none_and_takes_a_reapply() {
    let mut client = small();
    assert_eq!(client.read(&format!("{}/extensions", vm("vm-a"))), json!({"value": []}));
    assert_eq!(client.get(&format!("{}/extensions", vm("none"))).status, 404);
    let power = |client: &mut Client| client.read(&format!("{}/instanceView", vm("vm-b")))["statuses"][1]["code"].clone();
    let before = power(&mut client);
    assert_eq!(client.send("POST", &format!("{}/reapply", vm("vm-b")), Value::Null).status, 202);
    client.wait(120);
    assert_eq!(power(&mut client), before);
}
