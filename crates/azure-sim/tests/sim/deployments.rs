//! Template deployments and tag names: what `az vm create` and `az tag` send.

use serde_json::{Value, json};

use crate::wire::{Client, RG, SUB, code, header, reader, small};

fn deployment(name: &str) -> String {
    format!("{}/providers/Microsoft.Resources/deployments/{name}", RG.replace("resourceGroups", "resourcegroups"))
}

/// What az sends for a machine with a network of its own, without what does not matter here.
fn template() -> Value {
    let network = json!({"type": "Microsoft.Network/virtualNetworks", "name": "vn", "apiVersion": "2015-06-15", "location": "westeurope", "dependsOn": [], "tags": {},
        "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]}});
    let subnet = "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'vn', 's')]";
    let interface = json!({"type": "Microsoft.Network/networkInterfaces", "name": "nic", "apiVersion": "2015-06-15", "location": "[resourceGroup().location]",
        "dependsOn": ["Microsoft.Network/virtualNetworks/vn"],
        "properties": {"ipConfigurations": [{"name": "ipconfig", "properties": {"subnet": {"id": subnet}}}]}});
    let machine = json!({"type": "Microsoft.Compute/virtualMachines", "name": "made", "apiVersion": "2024-11-01", "location": "westeurope", "dependsOn": ["Microsoft.Network/networkInterfaces/NIC"],
        "properties": {"hardwareProfile": {"vmSize": "Standard_B2s"}, "networkProfile": {"networkInterfaces": [{"id": "[resourceId('Microsoft.Network/networkInterfaces', 'nic')]"}]},
            "storageProfile": {"osDisk": {"createOption": "fromImage", "name": null, "diskSizeGb": 64}, "imageReference": {"publisher": "Canonical", "offer": "x", "sku": "y", "version": "latest"}},
            "osProfile": {"computerName": "made", "adminUsername": "u", "adminPassword": "[parameters('adminPassword')]"}}});
    // In an order that is not that of their dependencies.
    json!({"parameters": {"adminPassword": {"type": "securestring"}}, "variables": {}, "outputs": {"id": {"type": "string", "value": subnet}},
        "resources": [machine, interface, network]})
}

fn body(template: &Value) -> Value {
    json!({"properties": {"mode": "incremental", "template": template, "parameters": {"adminPassword": {"value": "hunter2"}}}})
}

fn state(client: &mut Client) -> Value {
    client.read(&deployment("d"))["properties"]["provisioningState"].clone()
}

#[test]
fn a_deployment_makes_its_resources_in_the_order_of_their_dependencies() {
    let mut client = small();
    let accepted = client.send("PUT", &deployment("d"), body(&template()));
    assert_eq!(
        (accepted.status, accepted.json()["properties"]["provisioningState"].clone()),
        (201, json!("Accepted")),
        "{}",
        accepted.json()
    );
    assert!(!accepted.json().to_string().contains("hunter2"), "secure parameters are not shown");
    let poll = header(&accepted, "azure-asyncoperation");
    assert_eq!(client.read(&poll)["status"], "Running");
    assert_eq!(client.send("PUT", &deployment("d"), body(&template())).status, 409, "one at a time");
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines/made");
    assert_eq!(client.get(&vm).status, 404, "its network is not there yet");
    client.wait(5);
    assert_eq!(client.read(&vm)["properties"]["provisioningState"], "Creating");
    client.wait(60);
    assert_eq!(client.read(&poll), json!({"status": "Succeeded"}));
    let done = client.read(&deployment("d"));
    assert_eq!(done["properties"]["outputResources"].as_array().unwrap().len(), 3);
    assert_eq!(
        done["properties"]["outputs"]["id"]["value"],
        json!(format!("{RG}/providers/Microsoft.Network/virtualNetworks/vn/subnets/s"))
    );
    assert_eq!(client.read(&format!("{}/operations", deployment("d")))["value"].as_array().unwrap().len(), 3);
    let machine = client.read(&vm);
    assert_eq!(machine["properties"]["storageProfile"]["osDisk"]["createOption"], "FromImage", "{machine}");
    assert_eq!(machine["properties"]["storageProfile"]["osDisk"]["diskSizeGB"], 64);
    assert_eq!(client.send("PUT", &deployment("d"), body(&template())).status, 200, "again, and it may");
    client.wait(120);
    assert_eq!(state(&mut client), "Succeeded");
    assert_eq!((client.send("DELETE", &deployment("d"), Value::Null).status, client.get(&deployment("d")).status), (204, 404));
}

#[test]
fn a_deployment_fails_with_what_its_resource_was_refused_for() {
    let mut client = small();
    let mut broken = template();
    broken["resources"][0]["properties"]["hardwareProfile"] = json!({});
    let accepted = client.send("PUT", &deployment("d"), body(&broken));
    client.wait(60);
    let poll = client.read(&header(&accepted, "azure-asyncoperation"));
    assert_eq!(
        (&poll["status"], &poll["error"]["code"], &poll["error"]["details"][0]["code"]),
        (&json!("Failed"), &json!("DeploymentFailed"), &json!("InvalidParameter"))
    );
    assert_eq!(state(&mut client), "Failed");
    assert_eq!(client.get(&format!("{RG}/providers/Microsoft.Network/networkInterfaces/nic")).status, 200, "what was made stays");
}

#[test]
fn a_template_that_is_wrong_or_not_modelled_is_refused_at_once() {
    let mut client = small();
    let mut circle = template();
    circle["resources"][2]["dependsOn"] = json!(["made"]);
    let mut stranger = template();
    stranger["resources"][2]["dependsOn"] = json!(["Microsoft.Network/virtualNetworks/none"]);
    let mut count = template();
    count["resources"][2]["copy"] = json!({"name": "c", "count": 2});
    for (template, status, word) in
        [(circle, 400, "InvalidTemplate"), (stranger, 400, "InvalidTemplate"), (count, 501, "SimulatorNotImplemented")]
    {
        let refused = client.send("PUT", &deployment("d"), body(&template));
        assert_eq!((refused.status, code(&refused).as_str()), (status, word), "{}", refused.json());
        assert_eq!(client.get(&deployment("d")).status, 404);
    }
    let valid = client.send("POST", &format!("{}/validate", deployment("d")), body(&template()));
    assert_eq!((valid.status, client.get(&deployment("d")).status), (200, 404), "validated, not made: {}", valid.json());
}

#[test]
fn the_rights_of_a_deployment_are_those_of_its_caller() {
    let mut client = small();
    client.caller = reader();
    let refused = client.send("PUT", &deployment("d"), body(&template()));
    assert_eq!((refused.status, code(&refused).as_str()), (403, "AuthorizationFailed"));
}

#[test]
fn tag_names_are_counted_over_a_subscription_and_may_be_put_ahead() {
    let mut client = small();
    let names = format!("{SUB}/tagNames");
    let listed = client.read(&names);
    assert_eq!(
        (&listed["value"][0]["tagName"], &listed["value"][0]["values"][0]["count"]["value"]),
        (&json!("app"), &json!(1)),
        "{listed}"
    );
    let value = format!("{names}/stage/tagValues/test");
    assert_eq!(client.send("PUT", &format!("{names}/stage"), Value::Null).status, 201);
    assert_eq!(client.send("PUT", &value, Value::Null).status, 201);
    assert_eq!(client.send("PUT", &value, Value::Null).status, 200);
    assert_eq!(client.read(&names)["value"][1]["values"][0]["tagValue"], "test");
    assert_eq!(client.send("DELETE", &format!("{names}/app"), Value::Null).status, 409, "in use");
    assert_eq!(
        (client.send("DELETE", &format!("{names}/stage"), Value::Null).status, client.read(&names)["value"].as_array().unwrap().len()),
        (200, 1)
    );
}
