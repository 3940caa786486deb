//! Machines under protection: discovery, configuration, backups, points, stop, deletion and return.

use azure_sim::faults::{Fault, Rule};
use breakwater_arm::wire::{Answer, Method};
use serde_json::{Value, json};

use super::{GROUP, SUB, Traveller, vaults::main_vault};

const DAY: i64 = 86_400;

fn machine(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/{name}")
}

fn item(name: &str) -> String {
    let tail = format!("iaasvmcontainerv2%3Brg-one%3B{name}");
    format!("{}/backupFabrics/Azure/protectionContainers/IaasVMContainer%3B{tail}/protectedItems/VM%3B{tail}", main_vault())
}

fn policy(name: &str) -> String {
    format!("{}/backupPolicies/{name}", main_vault())
}

/// What a PUT of an item asks for, with these properties.
fn asked(name: &str, properties: &Value) -> Value {
    let mut body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": machine(name)}});
    if let (Some(ours), Some(more)) = (body["properties"].as_object_mut(), properties.as_object()) {
        ours.extend(more.clone());
    }
    body
}

/// Looks at everything that a vault says of its items.
fn look(tour: &mut Traveller) {
    let vault = main_vault();
    for list in [
        "backupProtectedItems",
        "backupProtectedItems?$filter=backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'",
        "backupJobs",
        "backupProtectionContainers?$filter=backupManagementType eq 'AzureIaasVM' and status eq 'Registered'",
        "backupDeletedProtectionContainers",
        "backupProtectableItems?$filter=backupManagementType eq 'AzureIaasVM'",
        "usages",
    ] {
        tour.get(&format!("{vault}/{list}"));
    }
    for name in ["win", "lin"] {
        tour.get(&item(name));
        tour.get(&format!("{}?$filter=expand eq 'extendedinfo'", item(name)));
        let status = format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus");
        tour.send(Method::Post, &status, json!({"resourceType": "VM", "resourceId": machine(name)}));
    }
    jobs(tour);
}

/// Reads every job by itself.
fn jobs(tour: &mut Traveller) {
    let vault = main_vault();
    let list = tour.get(&format!("{vault}/backupJobs"));
    let names = list.body["value"].as_array().into_iter().flatten().filter_map(|job| job["name"].as_str().map(str::to_owned));
    for name in names.collect::<Vec<_>>() {
        tour.get(&format!("{vault}/backupJobs/{name}"));
    }
}

/// Reads an item's points, in the list and one by one.
fn points(tour: &mut Traveller, name: &str) {
    let list = tour.get(&format!("{}/recoveryPoints", item(name)));
    let names = list.body["value"].as_array().into_iter().flatten().filter_map(|point| point["name"].as_str().map(str::to_owned));
    for point in names.take(3).collect::<Vec<_>>() {
        tour.get(&format!("{}/recoveryPoints/{point}", item(name)));
    }
}

/// The operation of an item's write: by its links, and by its bare id under the vault.
fn configure(tour: &mut Traveller, method: Method, url: &str, body: Value) -> Answer {
    let started = tour.send(method, url, body);
    let Some(link) = started.header("azure-asyncoperation").map(str::to_owned) else { return started };
    let id = link.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
    let vault = main_vault();
    for moment in [1, 1, 200] {
        tour.wait(moment);
        tour.get(&format!("{vault}/backupOperations/{id}"));
        tour.get(&format!("{vault}/backupOperationResults/{id}"));
        tour.get(&link);
        if let Some(location) = started.header("location").map(str::to_owned) {
            tour.get(&location);
        }
        tour.get(&format!("{vault}/backupProtectedItems"));
        jobs(tour);
    }
    started
}

/// All of it, in the vault `main` with the policies of [`super::vaults`].
pub fn walk(tour: &mut Traveller) {
    let vault = main_vault();
    look(tour);
    tour.change(Method::Post, &format!("{vault}/backupFabrics/Azure/refreshContainers"), Value::Null, 60);
    look(tour);
    configure(tour, Method::Put, &item("off"), asked("off", &exclusion(json!([0]), Luns::Excluded)));
    for name in ["win", "lin", "mute"] {
        configure(tour, Method::Put, &item(name), asked(name, &json!({"policyId": policy("DefaultPolicy")})));
    }
    look(tour);
    tour.put(&policy("DefaultPolicy"), tour_policy());
    tour.send(Method::Delete, &policy("DefaultPolicy"), Value::Null);
    backups(tour);
    changes(tour);
    leaving(tour);
}

/// What a list of disks means.
enum Luns {
    Included,
    Excluded,
}

fn exclusion(luns: Value, meaning: Luns) -> Value {
    let disks = json!({"diskLunList": luns, "isInclusionList": matches!(meaning, Luns::Included)});
    json!({"policyId": policy("DefaultPolicy"), "extendedProperties": {"diskExclusionProperties": disks}})
}

fn tour_policy() -> Value {
    let times = json!(["2026-04-28T16:30:00.000Z"]);
    json!({"properties": {"backupManagementType": "AzureIaasVM", "timeZone": "UTC", "instantRpRetentionRangeInDays": 2,
        "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": times},
        "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy",
            "dailySchedule": {"retentionTimes": times, "retentionDuration": {"count": 30, "durationType": "Days"}}}}})
}

fn backups(tour: &mut Traveller) {
    let vault = main_vault();
    let request = json!({"properties": {"objectType": "IaasVMBackupRequest", "recoveryPointExpiryTimeInUTC": "2027-02-05T00:00:00.000Z"}});
    for name in ["win", "lin", "mute", "off"] {
        configure(tour, Method::Post, &format!("{}/backup", item(name)), request.clone());
        tour.send(Method::Post, &format!("{}/backup", item(name)), request.clone());
    }
    for _ in 0..8 {
        tour.wait(600);
        jobs(tour);
    }
    look(tour);
    for code in ["400001", "UserErrorVmNotFoundV2"] {
        tour.azure.faults_mut().add(Rule::once("job", "POST", "*/backup", Fault::JobFailed { code: code.into() }));
        configure(tour, Method::Post, &format!("{}/backup", item("lin")), request.clone());
        tour.wait(4 * 3_600);
        look(tour);
    }
    let started = tour.send(Method::Post, &format!("{}/backup", item("win")), request);
    tour.wait(30);
    let list = tour.get(&format!("{vault}/backupJobs"));
    let running = list.body["value"].as_array().into_iter().flatten().find(|job| job["properties"]["status"] == "InProgress");
    if let Some(job) = running.and_then(|job| job["name"].as_str()).map(str::to_owned) {
        let cancelled = tour.send(Method::Post, &format!("{vault}/backupJobs/{job}/cancel"), Value::Null);
        look(tour);
        tour.follow(&cancelled, 300);
        tour.send(Method::Post, &format!("{vault}/backupJobs/{job}/cancel"), Value::Null);
    }
    tour.follow(&started, 600);
    for _ in 0..4 {
        tour.wait(DAY + 7_000);
        look(tour);
    }
    for name in ["win", "lin", "mute", "off"] {
        points(tour, name);
    }
}

/// Backups that fail, and one that is cancelled when its snapshot is there already.
pub fn fail(tour: &mut Traveller) {
    let vault = main_vault();
    let request = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
    for name in ["win", "lin"] {
        configure(tour, Method::Put, &item(name), asked(name, &json!({"policyId": policy("DefaultPolicy")})));
    }
    tour.azure.faults_mut().add(Rule::once("job", "POST", "*/backup", Fault::JobFailed { code: "UserErrorVmNotFoundV2".into() }));
    configure(tour, Method::Post, &format!("{}/backup", item("lin")), request.clone());
    tour.wait(4 * 3_600);
    look(tour);
    tour.send(Method::Post, &format!("{}/backup", item("win")), request);
    for _ in 0..60 {
        tour.wait(120);
        let list = tour.get(&format!("{vault}/backupJobs"));
        let running = list.body["value"].as_array().into_iter().flatten().find(|job| job["properties"]["status"] == "InProgress");
        let Some(name) = running.and_then(|job| job["name"].as_str()).map(str::to_owned) else { continue };
        let job = tour.get(&format!("{vault}/backupJobs/{name}"));
        if job.body["properties"]["extendedInfo"]["tasksList"][0]["status"] == "Completed" {
            tour.send(Method::Post, &format!("{vault}/backupJobs/{name}/cancel"), Value::Null);
            break;
        }
    }
    tour.wait(4 * 3_600);
    look(tour);
}

fn changes(tour: &mut Traveller) {
    let stop = json!({"policyId": "", "protectionState": "ProtectionStopped"});
    let changes = [json!({"policyId": policy("daily")}), exclusion(json!([0]), Luns::Included), exclusion(json!([1]), Luns::Excluded)];
    for change in changes {
        configure(tour, Method::Put, &item("win"), asked("win", &change));
        look(tour);
    }
    configure(tour, Method::Post, &format!("{}/backup", item("win")), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
    tour.wait(3 * 3_600);
    points(tour, "win");
    configure(tour, Method::Put, &item("lin"), asked("lin", &json!({"policyId": policy("hourly")})));
    tour.wait(2 * DAY);
    look(tour);
    points(tour, "lin");
    for name in ["lin", "off", "mute"] {
        configure(tour, Method::Put, &item(name), asked(name, &stop));
    }
    look(tour);
    tour.send(Method::Post, &format!("{}/backup", item("lin")), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
    configure(tour, Method::Put, &item("lin"), asked("lin", &json!({"policyId": policy("hourly")})));
    look(tour);
}

fn leaving(tour: &mut Traveller) {
    let vault = main_vault();
    let undelete = json!({"policyId": "", "protectionState": "ProtectionStopped", "isRehydrate": true});
    configure(tour, Method::Delete, &item("lin"), Value::Null);
    look(tour);
    points(tour, "lin");
    configure(tour, Method::Put, &item("lin"), asked("lin", &json!({"policyId": policy("DefaultPolicy")})));
    tour.send(Method::Delete, &vault, Value::Null);
    configure(tour, Method::Put, &item("lin"), asked("lin", &undelete));
    look(tour);
    for name in ["win", "mute", "off", "lin"] {
        configure(tour, Method::Delete, &item(name), Value::Null);
    }
    tour.send(Method::Delete, &vault, Value::Null);
    configure(tour, Method::Put, &item("lin"), asked("lin", &undelete));
    let off = json!({"properties": {"enhancedSecurityState": "Disabled", "softDeleteFeatureState": "Disabled"}});
    tour.send(Method::Patch, &format!("{vault}/backupconfig/vaultconfig"), off);
    for name in ["win", "lin", "mute", "off"] {
        configure(tour, Method::Delete, &item(name), Value::Null);
    }
    look(tour);
    tour.get(&item("nobody"));
    tour.get(&format!("{vault}/backupJobs/00000000-0000-4000-8000-000000000000"));
    configure(tour, Method::Delete, &vault, Value::Null);
}
