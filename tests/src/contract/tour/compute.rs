//! Groups, tags, locks, roles, networks, disks and machines.

use breakwater_arm::wire::Method;
use serde_json::{Value, json};

use super::{GROUP, SUB, Traveller};

/// All of it.
pub fn walk(tour: &mut Traveller) {
    subscriptions(tour);
    groups(tour);
    access(tour);
    disks(tour);
    networks(tour);
    machines(tour);
}

fn subscriptions(tour: &mut Traveller) {
    for url in [
        "/subscriptions".to_owned(),
        SUB.to_owned(),
        format!("{SUB}/locations"),
        format!("{SUB}/providers"),
        format!("{SUB}/providers/Microsoft.Compute"),
        format!("{SUB}/resourceGroups"),
        format!("{SUB}/resources"),
        format!("{GROUP}/resources"),
        format!("{SUB}/resources?$expand=createdTime,changedTime,provisioningState"),
    ] {
        tour.get(&url);
    }
    tour.send(Method::Post, &format!("{SUB}/providers/Microsoft.Compute/register"), Value::Null);
}

fn groups(tour: &mut Traveller) {
    let group = format!("{SUB}/resourceGroups/made");
    for _ in 0..2 {
        tour.put(&group, json!({"location": "westeurope", "tags": {"a": "b"}}));
    }
    tour.get(&group);
    tour.send(Method::Patch, &group, json!({"tags": {"c": "d"}}));
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/l");
    tour.put(&lock, json!({"properties": {"level": "CanNotDelete"}}));
    tour.put(&lock, json!({"properties": {"level": "ReadOnly", "notes": "n"}}));
    tour.get(&lock);
    tour.get(&format!("{group}/providers/Microsoft.Authorization/locks"));
    tour.send(Method::Delete, &group, Value::Null);
    tour.send(Method::Delete, &lock, Value::Null);
    remove(tour, &group);
    tour.get(&group);
    // a group with a vault in it stays
    let full = format!("{SUB}/resourceGroups/full");
    tour.put(&full, json!({"location": "westeurope"}));
    let vault = format!("{full}/providers/Microsoft.RecoveryServices/vaults/v?api-version=2024-04-01");
    tour.change(Method::Put, &vault, json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {}}), 120);
    remove(tour, &full);
    let tags = format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/win/providers/Microsoft.Resources/tags/default");
    tour.get(&tags);
    for operation in ["Merge", "Replace", "Delete"] {
        tour.send(Method::Patch, &tags, json!({"operation": operation, "properties": {"tags": {"a": "b"}}}));
    }
    tour.put(&tags, json!({"properties": {"tags": {"app": "x"}}}));
}

/// Deletes a group and follows the places that it is told.
fn remove(tour: &mut Traveller, group: &str) {
    let mut link = tour.send(Method::Delete, group, Value::Null).header("location").map(str::to_owned);
    for _ in 0..60 {
        let Some(url) = link.take() else { break };
        link = tour.get(&url).header("location").map(str::to_owned);
        tour.wait(20);
    }
}

fn access(tour: &mut Traveller) {
    let (role, assignment) = ("11111111-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555");
    let definition = format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let properties = json!({"roleName": "Tourist", "description": "looks", "type": "CustomRole", "assignableScopes": [SUB],
        "permissions": [{"actions": ["*/read"], "notActions": [], "dataActions": [], "notDataActions": []}]});
    tour.put(&definition, json!({"properties": properties}));
    tour.get(&definition);
    tour.get(&format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions"));
    let url = format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments/{assignment}");
    let body = |principal: &str| json!({"properties": {"roleDefinitionId": definition, "principalId": principal, "principalType": "ServicePrincipal"}});
    tour.put(&url, body("bbbbbbbb-0000-4000-8000-000000000002"));
    tour.get(&url);
    tour.get(&format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments"));
    tour.put(&url.replace("66666666", "77777777"), body("cccccccc-0000-4000-8000-000000000002"));
    tour.send(Method::Delete, &url, Value::Null);
}

fn disks(tour: &mut Traveller) {
    let disk = |name: &str| format!("{GROUP}/providers/Microsoft.Compute/disks/{name}");
    let empty = json!({"location": "westeurope", "sku": {"name": "Premium_LRS"}, "zones": ["1"], "tags": {"a": "b"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 200, "osType": "Linux", "hyperVGeneration": "V2"}});
    let started = tour.put(&disk("d"), empty);
    tour.get(&disk("d"));
    tour.follow(&started, 10);
    tour.get(&disk("d"));
    let win = tour.get(&format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/win"));
    let os = win.body["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].clone();
    let copy = json!({"location": "westeurope", "sku": {"name": "Premium_LRS"}, "tags": {"a": "b"}, "properties": {"diskSizeGB": 200,
        "osType": "Windows", "hyperVGeneration": "V2", "creationData": {"createOption": "Copy", "sourceResourceId": os}}});
    tour.change(Method::Put, &disk("copy"), copy, 10);
    tour.get(&disk("copy"));
    for size in [256, 64] {
        tour.change(Method::Patch, &disk("d"), json!({"properties": {"diskSizeGB": size}}), 10);
    }
    let machines = tour.get(&format!("{GROUP}/providers/Microsoft.Compute/virtualMachines"));
    for machine in machines.body["value"].as_array().cloned().unwrap_or_default() {
        if let Some(os) = machine["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].as_str() {
            tour.get(os);
            tour.send(Method::Delete, os, Value::Null);
        }
        for data in machine["properties"]["storageProfile"]["dataDisks"].as_array().into_iter().flatten() {
            tour.get(data["managedDisk"]["id"].as_str().unwrap_or_default());
        }
    }
    for list in [GROUP, SUB] {
        tour.get(&format!("{list}/providers/Microsoft.Compute/disks"));
    }
    tour.change(Method::Delete, &disk("d"), Value::Null, 3);
    tour.get(&disk("d"));
    tour.wait(60);
    tour.get(&disk("d"));
    tour.send(Method::Delete, &disk("d"), Value::Null);
}

fn networks(tour: &mut Traveller) {
    let of = |kind: &str, name: &str| format!("{GROUP}/providers/Microsoft.Network/{kind}/{name}");
    let network = of("virtualNetworks", "v");
    let body = json!({"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}}});
    tour.change(Method::Put, &network, body.clone(), 10);
    let subnet = format!("{network}/subnets/s");
    // a subnet while its network is being changed
    let changing = tour.put(&network, body);
    tour.put(&subnet, json!({"properties": {"addressPrefix": "10.0.0.0/24"}}));
    tour.follow(&changing, 60);
    for name in ["s", "s", "t"] {
        tour.put(&format!("{network}/subnets/{name}"), json!({"properties": {"addressPrefix": "10.0.0.0/24"}}));
        tour.wait(10);
    }
    for url in
        [network.clone(), subnet.clone(), format!("{network}/subnets"), format!("{GROUP}/providers/Microsoft.Network/virtualNetworks")]
    {
        tour.get(&url);
    }
    let guard = json!({"location": "westeurope", "properties": {"securityRules": []}});
    tour.change(Method::Put, &of("networkSecurityGroups", "g"), guard, 10);
    let address = json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"publicIPAllocationMethod": "Static"}});
    tour.change(Method::Put, &of("publicIPAddresses", "p"), address, 10);
    let config = json!({"name": "ipconfig1", "properties": {"privateIPAllocationMethod": "Dynamic", "subnet": {"id": subnet},
        "publicIPAddress": {"id": of("publicIPAddresses", "p")}}});
    let body = json!({"location": "westeurope", "tags": {"a": "b"},
        "properties": {"ipConfigurations": [config], "networkSecurityGroup": {"id": of("networkSecurityGroups", "g")}}});
    tour.change(Method::Put, &of("networkInterfaces", "n"), body, 10);
    for name in ["n", "win-nic"] {
        tour.get(&of("networkInterfaces", name));
    }
    tour.get(&format!("{GROUP}/providers/Microsoft.Network/networkInterfaces"));
}

fn machines(tour: &mut Traveller) {
    let vm = format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/made");
    let interface = format!("{GROUP}/providers/Microsoft.Network/networkInterfaces/n");
    let image = json!({"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"});
    let os = json!({"createOption": "FromImage", "osType": "Linux", "managedDisk": {"storageAccountType": "Premium_LRS"}});
    let identity = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a");
    let keys = json!({"disablePasswordAuthentication": true, "ssh": {"publicKeys": [{"keyData": "ssh-rsa AAAA", "path": "/home/u/.ssh/authorized_keys"}]}});
    let body = json!({
        "location": "westeurope", "tags": {"a": "b"}, "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity: {}}},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "diagnosticsProfile": {"bootDiagnostics": {"enabled": true}},
            "storageProfile": {"imageReference": image, "osDisk": os, "dataDisks": [{"lun": 0, "createOption": "Empty", "diskSizeGB": 32}]},
            "osProfile": {"computerName": "made", "adminUsername": "u", "linuxConfiguration": keys},
            "networkProfile": {"networkInterfaces": [{"id": interface, "properties": {"primary": true, "deleteOption": "Detach"}}]},
        },
    });
    let started = tour.put(&vm, body.clone());
    for url in [vm.clone(), format!("{vm}?$expand=instanceView")] {
        tour.get(&url);
    }
    tour.follow(&started, 60);
    tour.change(Method::Put, &vm, body, 60);
    tour.change(Method::Patch, &vm, json!({"tags": {"c": "d"}}), 60);
    lists(tour);
    for url in [vm.clone(), format!("{vm}?$expand=instanceView")] {
        tour.get(&url);
    }
    tour.change(Method::Patch, &vm, json!({"identity": {"type": "SystemAssigned"}}), 60);
    for url in [vm.clone(), format!("{vm}?$expand=instanceView"), format!("{vm}/instanceView")] {
        tour.get(&url);
    }
    for verb in ["deallocate", "start", "powerOff", "start", "restart", "deallocate"] {
        let started = tour.send(Method::Post, &format!("{vm}/{verb}"), Value::Null);
        tour.get(&format!("{GROUP}/providers/Microsoft.Compute/disks"));
        tour.get(&format!("{vm}?$expand=instanceView"));
        tour.follow(&started, 60);
        tour.get(&format!("{vm}?$expand=instanceView"));
    }
    for name in ["win", "lin", "mute", "off"] {
        let vm = format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}");
        for url in [vm.clone(), format!("{vm}?$expand=instanceView"), format!("{vm}/instanceView")] {
            tour.get(&url);
        }
    }
    lists(tour);
    from_disks(tour);
    let started = tour.send(Method::Delete, &vm, Value::Null);
    tour.get(&vm);
    tour.follow(&started, 45);
    tour.get(&vm);
    tour.wait(60);
    tour.get(&vm);
    tour.send(Method::Delete, &vm, Value::Null);
    leftovers(tour);
}

/// The disks that a machine leaves behind, plain and tagged.
fn leftovers(tour: &mut Traveller) {
    let lists = [GROUP, SUB].map(|scope| format!("{scope}/providers/Microsoft.Compute/disks"));
    let all = tour.get(&lists[0]);
    for disk in all.body["value"].as_array().into_iter().flatten().filter(|disk| disk["properties"]["diskState"] == "Unattached") {
        tour.change(Method::Patch, disk["id"].as_str().unwrap_or_default(), json!({"tags": {"a": "b"}}), 10);
    }
    lists.iter().for_each(|list| drop(tour.get(list)));
}

/// Machines as lists show them, and their disks, of which one is reserved by a machine that is off.
fn lists(tour: &mut Traveller) {
    for list in [GROUP, SUB] {
        tour.get(&format!("{list}/providers/Microsoft.Compute/virtualMachines"));
        tour.get(&format!("{list}/resources"));
    }
    tour.get(&format!("{SUB}/providers/Microsoft.Compute/virtualMachines?statusOnly=true"));
    tour.get(&format!("{SUB}/providers/Microsoft.Compute/locations/westeurope/virtualMachines"));
    let off = tour.get(&format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/off"));
    for disk in off.body["properties"]["storageProfile"]["dataDisks"].as_array().into_iter().flatten() {
        let id = disk["managedDisk"]["id"].as_str().unwrap_or_default();
        tour.change(Method::Patch, id, json!({"tags": {"a": "b"}}), 10);
        tour.get(id);
    }
}

/// A machine on the disk that was copied, with one more disk attached later.
fn from_disks(tour: &mut Traveller) {
    let of = |kind: &str, name: &str| format!("{GROUP}/providers/{kind}/{name}");
    let (vm, interface) = (of("Microsoft.Compute/virtualMachines", "copied"), of("Microsoft.Network/networkInterfaces", "n2"));
    let subnet = format!("{}/subnets/s", of("Microsoft.Network/virtualNetworks", "v"));
    let config = json!({"name": "ipconfig1", "properties": {"subnet": {"id": subnet}}});
    tour.put(&interface, json!({"location": "westeurope", "properties": {"ipConfigurations": [config]}}));
    let os = json!({"createOption": "Attach", "osType": "Windows", "name": "copy", "managedDisk": {"id": of("Microsoft.Compute/disks", "copy")}});
    let mut body = json!({"location": "westeurope", "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {"osDisk": os}, "networkProfile": {"networkInterfaces": [{"id": interface}]}}});
    for disks in [json!([{"lun": 0, "createOption": "Empty", "diskSizeGB": 32}]), json!([])] {
        body["properties"]["storageProfile"]["dataDisks"] = disks;
        tour.change(Method::Put, &vm, body.clone(), 60);
        tour.get(&vm);
    }
}
