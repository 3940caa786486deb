//! Errors: those that a caller earns, and those that just happen.

use azure_sim::faults::{Fault, Rule, Shape, When};
use breakwater_arm::wire::Method;
use serde_json::{Value, json};

use super::{BARE, GROUP, SUB, Traveller, caller};

/// All of it.
pub fn walk(tour: &mut Traveller) {
    earned(tour);
    stranger(tour);
    happening(tour);
    throttled(tour);
}

fn vm(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}")
}

fn earned(tour: &mut Traveller) {
    tour.get("/subscriptions/33333333-3333-4333-8333-333333333333/resourceGroups");
    tour.get(&format!("{SUB}/resourceGroups/nowhere"));
    tour.send(Method::Delete, &format!("{SUB}/resourceGroups/nowhere/providers/Microsoft.Compute/disks/d"), Value::Null);
    tour.put(&format!("{SUB}/resourceGroups/bad"), json!({"location": "Nowhere"}));
    tour.get(&vm("nobody"));
    tour.get(&format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/nobody"));
    for registered in ["Microsoft.Compute/disks/d", "Microsoft.RecoveryServices/vaults/v"] {
        let url = format!("{BARE}/resourceGroups/rg-bare/providers/{registered}");
        tour.put(&url, json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {}}));
    }
    tour.send(Method::Patch, &vm("win"), json!({"properties": {"osProfile": {"computerName": "other"}}}));
    let disk = json!({"osDisk": {"managedDisk": {"id": format!("{GROUP}/providers/Microsoft.Compute/disks/none")}}});
    tour.send(Method::Patch, &vm("win"), json!({"properties": {"storageProfile": disk}}));
    tour.put(&vm("new"), json!({"location": "westeurope", "properties": {}}));
    tour.put(&format!("{GROUP}/providers/Microsoft.Compute/disks/e"), json!({"location": "westeurope", "properties": {}}));
    let orphan = format!("{GROUP}/providers/Microsoft.Network/virtualNetworks/none/subnets/s");
    tour.put(&orphan, json!({"properties": {"addressPrefix": "10.0.0.0/24"}}));
    tour.send(Method::Post, &format!("{}/powerOff", vm("off")), Value::Null);
}

/// May make machines, and may not join networks.
fn mechanic(tour: &mut Traveller) {
    let (role, assignment) = ("22222222-2222-4333-8444-555555555555", "33333333-2222-4333-8444-555555555555");
    let definition = format!("{SUB}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let properties = json!({"roleName": "Mechanic", "type": "CustomRole", "assignableScopes": [SUB],
        "permissions": [{"actions": ["Microsoft.Compute/*"], "notActions": [], "dataActions": [], "notDataActions": []}]});
    tour.put(&definition, json!({"properties": properties}));
    let url = format!("{GROUP}/providers/Microsoft.Authorization/roleAssignments/{assignment}");
    let principal = "bbbbbbbb-0000-4000-8000-000000000002";
    tour.put(&url, json!({"properties": {"roleDefinitionId": definition, "principalId": principal, "principalType": "ServicePrincipal"}}));
}

fn stranger(tour: &mut Traveller) {
    mechanic(tour);
    let owner = std::mem::replace(&mut tour.caller, caller("bbbbbbbb"));
    tour.get(&format!("{SUB}/resourceGroups/rg-two/providers/Microsoft.Compute/virtualMachines/x"));
    tour.send(Method::Delete, &vm("win"), Value::Null);
    let mut item = json!({"location": "westeurope", "properties": {}});
    item["properties"]["networkProfile"] =
        json!({"networkInterfaces": [{"id": format!("{GROUP}/providers/Microsoft.Network/networkInterfaces/win-nic")}]});
    tour.put(&vm("win"), item);
    tour.caller = owner;
    tour.unsigned(&format!("{SUB}/resourceGroups"), None);
    tour.unsigned(&format!("{SUB}/resourceGroups"), Some("Bearer of.bad.news"));
}

/// Faults have the bodies that were recorded (compute-and-arm.md E.4).
fn happening(tour: &mut Traveller) {
    let list = format!("{GROUP}/providers/Microsoft.Compute/virtualMachines");
    for (status, code, body, retry_after) in [
        (409, Some("Conflict"), Shape::Standard, None),
        (429, Some("ResourceRequestsThrottled"), Shape::Standard, Some(17)),
        (429, Some("SubscriptionRequestsThrottled"), Shape::Standard, Some(17)),
        (429, Some("RetryableError"), Shape::Standard, Some(12)),
        (500, Some("CloudInternalError"), Shape::Standard, None),
        (500, Some("CloudInternalError"), Shape::NonArm, None),
        (502, None, Shape::Standard, None),
        (503, None, Shape::Standard, None),
        (503, None, Shape::Empty, Some(1)),
        (504, None, Shape::Standard, None),
        (404, None, Shape::Html, None),
    ] {
        let fault = Fault::Status { status, retry_after, body, code: code.map(str::to_owned), message: None, when: When::BeforeApply };
        tour.azure.faults_mut().add(Rule::once("tour", "GET", "*", fault));
        tour.get(&list);
    }
    for fault in [
        Fault::OperationFailed { code: "VMAgentStatusCommunicationError".into(), message: "VM has reported a failure.".into() },
        Fault::OperationStuck,
        Fault::OperationExpired,
    ] {
        tour.azure.faults_mut().add(Rule::once("tour", "POST", "*/start", fault));
        let started = tour.send(Method::Post, &format!("{}/start", vm("off")), Value::Null);
        tour.follow(&started, 120);
        tour.send(Method::Post, &format!("{}/deallocate", vm("off")), Value::Null);
        tour.wait(120);
    }
    tour.azure.faults_mut().clear();
}

/// Real buckets, so small that one request empties them.
fn throttled(tour: &mut Traveller) {
    for limits in [json!({"reads": {"bucket": 1, "perSecond": 0.01}}), json!({"backupJobReadsPerHour": 1, "backupReadsPerHour": 1})] {
        let mut poor = Traveller::new("2024-04-01", &json!({"throttling": limits}));
        let vault = format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/v");
        poor.put(&vault, json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {}}));
        poor.wait(120);
        for _ in 0..3 {
            poor.get(&format!("{vault}/backupJobs/00000000-0000-4000-8000-000000000000"));
            poor.get(&format!("{vault}/backupProtectedItems"));
            poor.get(&vm("win"));
        }
        tour.seen.append(&mut poor.seen);
    }
}
