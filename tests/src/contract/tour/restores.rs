//! Restores: of disks, of machines, of files, in the secondary region; with their jobs in every state.

use azure_sim::faults::{Ending, Fault, Rule};
use breakwater_arm::wire::{Answer, Method};
use serde_json::{Value, json};

use super::{GROUP, SUB, Traveller};

const PASSIVE: &str = "api-version=2021-11-15";
const TAIL: &str = "iaasvmcontainerv2%3Brg-one%3Bres";

fn vault() -> String {
    format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/cross")
}

fn item() -> String {
    format!("{}/backupFabrics/Azure/protectionContainers/IaasVMContainer%3B{TAIL}/protectedItems/VM%3B{TAIL}", vault())
}

fn machine() -> String {
    format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/res")
}

/// The request for a restore, with more on top; a null takes a field away.
fn asked(more: &Value) -> Value {
    let mut properties = json!({"objectType": "IaasVMRestoreRequest", "recoveryType": "RestoreDisks", "sourceResourceId": machine(),
        "targetResourceGroupId": group("rg-three"), "region": "westeurope", "createNewCloudService": false,
        "originalStorageAccountOption": false, "storageAccountId": format!("{GROUP}/providers/Microsoft.Storage/storageAccounts/stage")});
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    json!({"properties": properties})
}

fn group(name: &str) -> String {
    format!("{SUB}/resourceGroups/{name}")
}

fn new_machine(name: &str) -> Value {
    let network = format!("{GROUP}/providers/Microsoft.Network/virtualNetworks/vnet-westeurope");
    json!({"recoveryType": "AlternateLocation", "virtualNetworkId": network, "subnetId": format!("{network}/subnets/default"),
        "targetVirtualMachineId": format!("{}/providers/Microsoft.Compute/virtualMachines/{name}", group("rg-three"))})
}

fn operation(started: &Answer) -> Option<String> {
    let link = started.header("azure-asyncoperation")?;
    link.split('?').next()?.rsplit('/').next().map(str::to_owned)
}

/// Starts a restore and looks at its operation and job until it is over.
fn restore(tour: &mut Traveller, point: &str, more: &Value) {
    let started = tour.send(Method::Post, &format!("{point}/restore"), asked(more));
    let Some(id) = operation(&started) else { return };
    for moment in [0, 1, 1, 3, 50, 1_500, 3_600] {
        tour.wait(moment);
        tour.get(&format!("{}/backupOperations/{id}", vault()));
        tour.get(&format!("{}/backupJobs/{id}", vault()));
        tour.get(&format!("{}/backupJobs", vault()));
    }
    tour.follow(&started, 1);
}

/// The newest point.
fn point(tour: &mut Traveller) -> String {
    let list = tour.get(&format!("{}/recoveryPoints", item()));
    list.body["value"][0]["id"].as_str().unwrap_or_default().replace(';', "%3B")
}

/// All of it, in a vault of its own.
pub fn walk(tour: &mut Traveller) {
    let redundancy = json!({"standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Enabled"});
    let body = json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {"redundancySettings": redundancy}});
    tour.change(Method::Put, &vault(), body, 120);
    let protect = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": machine(),
        "policyId": format!("{}/backupPolicies/DefaultPolicy", vault())}});
    tour.change(Method::Put, &item(), protect, 200);
    tour.send(Method::Post, &format!("{}/backup", item()), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
    tour.wait(3 * 3_600);
    let point = point(tour);
    machines_and_disks(tour, &point);
    failures(tour, &point);
    files(tour, &point);
    far(tour, &point);
    tour.send(Method::Post, &format!("{}/recoveryPointsRecommendedForMove", item()), json!({"excludedRPList": []}));
}

fn machines_and_disks(tour: &mut Traveller, point: &str) {
    let bare = "/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg-bare";
    for more in [
        json!({}),
        json!({"targetResourceGroupId": null}),
        json!({"restoreDiskLunList": []}),
        json!({"zones": ["NoZone"]}),
        json!({"targetResourceGroupId": bare}),
        new_machine("one"),
        json!({"recoveryType": "OriginalLocation", "targetResourceGroupId": null}),
    ] {
        restore(tour, point, &more);
    }
    let mut there = new_machine("two");
    there["targetVirtualMachineId"] = json!(format!("{bare}/providers/Microsoft.Compute/virtualMachines/two"));
    there["targetResourceGroupId"] = json!(bare);
    restore(tour, point, &there);
    let id = json!({"id": point, "properties": {"objectType": "ValidateIaasVMRestoreOperationRequest", "restoreRequest": asked(&json!({}))["properties"]}});
    tour.change(Method::Post, &format!("{}/backupTriggerValidateOperation", vault()), id, 60);
}

fn failures(tour: &mut Traveller, point: &str) {
    for how in [Ending::FailsInTransfer, Ending::Warns] {
        tour.azure.faults_mut().add(Rule::once("fate", "POST", "*/restore", Fault::RestoreFate { how, code: None }));
        restore(tour, point, &json!({"targetResourceGroupId": null}));
    }
    let started = tour.send(Method::Post, &format!("{point}/restore"), asked(&json!({"targetResourceGroupId": null})));
    let Some(id) = operation(&started) else { return };
    tour.wait(60);
    let cancelled = tour.send(Method::Post, &format!("{}/backupJobs/{id}/cancel", vault()), Value::Null);
    tour.get(&format!("{}/backupJobs/{id}", vault()));
    tour.follow(&cancelled, 120);
    tour.get(&format!("{}/backupJobs/{id}", vault()));
}

fn files(tour: &mut Traveller, point: &str) {
    let body = json!({"properties": {"objectType": "IaasVMILRRegistrationRequest", "virtualMachineId": machine(), "renewExistingRegistration": false}});
    for (verb, body) in [("provisionInstantItemRecovery", body), ("revokeInstantItemRecovery", Value::Null)] {
        let started = tour.send(Method::Post, &format!("{point}/{verb}"), body);
        let Some(id) = operation(&started) else { continue };
        for moment in [1, 60] {
            tour.wait(moment);
            tour.get(&format!("{}/backupOperations/{id}", vault()));
            tour.get(point);
        }
    }
}

fn far(tour: &mut Traveller, point: &str) {
    let region = format!("{SUB}/providers/Microsoft.RecoveryServices/locations/northeurope");
    tour.wait(2 * 3_600);
    tour.get(&format!("{}/backupProtectedItems/?{PASSIVE}", vault()));
    tour.get(&format!("{}/recoveryPoints/?{PASSIVE}", item()));
    let aad = tour.get(&format!("{region}/backupAadProperties?{PASSIVE}")).body;
    let token = tour.send(Method::Post, &format!("{point}/accessToken?{PASSIVE}"), aad).body["properties"].clone();
    let staging = format!("{}/providers/Microsoft.Storage/storageAccounts/stagenorth", group("rg-two"));
    let more = json!({"region": "northeurope", "targetResourceGroupId": group("rg-two"), "storageAccountId": staging});
    let body = json!({"crossRegionRestoreAccessDetails": token, "restoreRequest": asked(&more)["properties"]});
    let started = tour.send(Method::Post, &format!("{region}/backupCrossRegionRestore?{PASSIVE}"), body);
    tour.follow(&started, 10);
    let Some(link) = started.header("azure-asyncoperation").map(str::to_owned) else { return };
    let job = tour.get(&link).body["properties"]["jobId"].clone();
    for moment in [1, 60, 7_200] {
        tour.wait(moment);
        tour.send(Method::Post, &format!("{region}/backupCrrJob?{PASSIVE}"), json!({"resourceId": vault(), "jobName": job}));
        tour.send(Method::Post, &format!("{region}/backupCrrJobs?{PASSIVE}"), json!({"resourceId": vault()}));
    }
}
