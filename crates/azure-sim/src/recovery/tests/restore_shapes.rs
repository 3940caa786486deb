//! Answers of restores, file recovery and the secondary region have the recorded shapes: no key more, no key less.

use serde_json::{Value, json};

use super::super::{BackupTasks, Settings, operation_id};
use super::lab::{Lab, SUB, VAULT, header, item, vm};
use super::shapes::{last_body, recorded, same_head, same_shape};

/// The settings of the years of a recording.
fn of_year(tasks: BackupTasks) -> Settings {
    Settings { backup_tasks: tasks, ..Settings::default() }
}

/// A lab with a point of a machine.
fn lab(settings: Settings) -> Lab {
    let mut lab = Lab::with(settings);
    for name in ["win", "lin"] {
        lab.protect(name);
        lab.back_up(name);
    }
    lab
}

fn point(lab: &mut Lab, name: &str) -> String {
    lab.rows(&format!("{}/recoveryPoints", item(name)))[0]["id"].as_str().unwrap().to_owned()
}

/// The request of a recording, moved into the lab.
fn moved(exchange: &Value, other_subscription: bool) -> Value {
    let mut properties = exchange["request"]["body"]["properties"].clone();
    let target = if other_subscription { "/subscriptions/00000000-0000-0000-0000-000000000002" } else { SUB };
    let fields = [
        ("sourceResourceId", vm("win")),
        ("targetResourceGroupId", format!("{target}/resourceGroups/RG-Target")),
        ("storageAccountId", format!("{SUB}/resourceGroups/RG-Shop/providers/Microsoft.Storage/storageAccounts/stage")),
        ("targetVirtualMachineId", format!("{target}/resourceGroups/RG-Target/providers/Microsoft.Compute/virtualMachines/new")),
        ("virtualNetworkId", format!("{target}/resourceGroups/RG-Net/providers/Microsoft.Network/virtualNetworks/net")),
        ("subnetId", format!("{target}/resourceGroups/RG-Net/providers/Microsoft.Network/virtualNetworks/net/subnets/s")),
        ("region", "westeurope".to_owned()),
    ];
    for (name, value) in fields {
        if !properties[name].is_null() {
            properties[name] = json!(value);
        }
    }
    properties.as_object_mut().map(|fields| fields.remove("recoveryPointId"));
    json!({"properties": properties})
}

/// Bodies of the recorded job, first state first, without the operation that started it.
fn jobs(exchanges: &[Value]) -> Vec<Value> {
    let of_job = |exchange: &&Value| exchange["request"]["url"].as_str().unwrap().contains("/backupJobs/");
    exchanges.iter().filter(of_job).map(|exchange| exchange["response"]["body"].clone()).collect()
}

/// Holds every recorded state of a restore's job against ours at these moments, in seconds after the POST.
#[track_caller]
fn restore_as_recorded(file: &str, mut lab: Lab, other_subscription: bool, moments: &[i64]) {
    let exchanges = recorded(file);
    let point = point(&mut lab, "win");
    let started = lab.send("POST", &format!("{point}/restore"), moved(&exchanges[0], other_subscription));
    assert_eq!(started.status, 202, "{file}: {:?}", started.body);
    if !file.contains("subscription") {
        same_head(&started, &exchanges[0]);
    }
    let id = operation_id(&started).unwrap();
    let mut passed = 0;
    for (moment, theirs) in moments.iter().zip(jobs(&exchanges)) {
        lab.wait(moment - passed);
        passed = *moment;
        let mut ours = lab.read(&format!("{VAULT}/backupJobs/{id}"));
        if theirs["properties"]["actionsInfo"][0].is_number() {
            ours["properties"]["actionsInfo"] = json!([1]);
            ours["properties"]["extendedInfo"]["tasksList"].as_array_mut().unwrap().iter_mut().for_each(|task| {
                task.as_object_mut().map(|fields| fields.remove("taskType"));
            });
        }
        assert_eq!(ours["properties"]["status"], theirs["properties"]["status"], "{file} at {moment}");
        let tasks = |job: &Value| {
            let list = job["properties"]["extendedInfo"]["tasksList"].as_array().cloned().unwrap_or_default();
            list.into_iter().map(|task| (task["taskId"].clone(), task["status"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(tasks(&ours), tasks(&theirs), "{file} at {moment}");
        let words = ["Job Type", "Recovery point time "].map(|name| ours["properties"]["extendedInfo"]["propertyBag"][name].is_null());
        assert_eq!(
            words,
            ["Job Type", "Recovery point time "].map(|name| theirs["properties"]["extendedInfo"]["propertyBag"][name].is_null())
        );
        same_shape(&ours, &theirs);
    }
}

#[test]
fn restores_of_disks_have_the_recorded_states() {
    restore_as_recorded("restore_disks_managed_targetrg__202_poll_job.json", lab(of_year(BackupTasks::Two)), false, &[2, 50, 100]);
    restore_as_recorded("restore_disks_unmanaged__202_poll_job_progress.json", lab(of_year(BackupTasks::Two)), false, &[2, 4000]);
    restore_as_recorded("restore_disks_lun_subset__202_poll_job.json", lab(of_year(BackupTasks::Two)), false, &[2, 50, 100]);
    let mut later = lab(of_year(BackupTasks::Three));
    later.version = "2025-02-01";
    restore_as_recorded("restore_disks_cross_zone_nozone__202_poll_job.json", later, false, &[2, 4, 50]);
}

#[test]
fn restores_of_machines_have_the_recorded_states() {
    restore_as_recorded("restore_alternate_location_new_vm__202_poll_job.json", lab(of_year(BackupTasks::Two)), false, &[2, 50, 200]);
    restore_as_recorded("restore_original_location__202_poll_job.json", lab(of_year(BackupTasks::Two)), false, &[2, 50, 1400]);
    let cross = "restore_cross_subscription_alternate_location__202_poll_job.json";
    restore_as_recorded(cross, lab(Settings { restore: slow(), ..of_year(BackupTasks::Two) }), true, &[2, 1150, 1300]);
}

/// A transfer from the vault that takes a known time.
fn slow() -> super::super::RestoreSettings {
    let mut restore = super::super::RestoreSettings::default();
    restore.durations.from_vault = super::super::Span::exactly(1100);
    restore
}

#[test]
fn a_restore_of_private_disks_has_the_recorded_states() {
    let mut lab = Lab::with(of_year(BackupTasks::Two));
    lab.machine("win").disks[0].network_access = "AllowPrivate".to_owned();
    lab.protect("win");
    lab.back_up("win");
    restore_as_recorded("restore_alternate_location_networkaccess_enableprivate__202_poll_job.json", lab, false, &[2, 60, 200]);
}

#[test]
fn a_failed_restore_has_the_recorded_shape() {
    let mut lab = lab(of_year(BackupTasks::Two));
    let point = point(&mut lab, "win");
    let exchange = &recorded("restore_disks_unmanaged__202_poll_job_progress.json")[0];
    let id = operation_id(&lab.send("POST", &format!("{point}/restore"), moved(exchange, false))).unwrap();
    let fate = super::super::Fate::Fails { at: super::super::Stage::Transfer, finding: super::super::Finding::restore_failed() };
    lab.state.doom_restore(&id, fate).unwrap();
    lab.wait(4000);
    let (ours, theirs) = (lab.read(&format!("{VAULT}/backupJobs/{id}")), last_body("job_get_failed_restore_400003__200.json"));
    assert_eq!(ours["properties"]["errorDetails"], theirs["properties"]["errorDetails"]);
    same_shape(&ours, &theirs);
}

#[test]
fn a_mount_and_its_end_have_the_recorded_shapes() {
    let mut lab = lab(of_year(BackupTasks::Two));
    let point = point(&mut lab, "win");
    let (mount, unmount) =
        (recorded("ilr_provision_windows__202_poll_scripts.json"), recorded("ilr_revoke__202_poll_succeeded_without_job.json"));
    let body = json!({"properties": {"objectType": "IaasVMILRRegistrationRequest", "virtualMachineId": vm("win"), "renewExistingRegistration": false}});
    let started = lab.send("POST", &format!("{point}/provisionInstantItemRecovery"), body);
    assert_eq!((started.status, header(&started, "retry-after")), (202, "60"));
    let id = operation_id(&started).unwrap();
    same_shape(&lab.read(&format!("{VAULT}/backupOperations/{id}")), &mount[1]["response"]["body"]);
    lab.wait(60);
    let ended = lab.read(&format!("{VAULT}/backupOperations/{id}"));
    same_shape(&ended, &mount[2]["response"]["body"]);
    let lengths = |operation: &Value| {
        let suffix = operation["properties"]["recoveryTarget"]["clientScripts"][0]["scriptNameSuffix"].as_str().unwrap().to_owned();
        suffix.split('_').skip(1).map(str::len).collect::<Vec<_>>()
    };
    let (ours, theirs) = (lengths(&ended), lengths(&mount[2]["response"]["body"]));
    assert_eq!((ours.len(), ours.last()), (theirs.len(), theirs.last()));
    let revoked = lab.send("POST", &format!("{point}/revokeInstantItemRecovery"), Value::Null);
    let id = operation_id(&revoked).unwrap();
    lab.wait(60);
    same_shape(&lab.read(&format!("{VAULT}/backupOperations/{id}")), &unmount[1]["response"]["body"]);
}

#[test]
fn the_secondary_region_has_the_recorded_shapes() {
    let mut settings = of_year(BackupTasks::Two);
    settings.restore.secondary_lag = jiff::SignedDuration::ZERO;
    let mut lab = Lab::with(settings);
    lab.patch_vault(json!({"redundancySettings": {"crossRegionRestore": "Enabled", "standardTierStorageRedundancy": "GeoRedundant"}}));
    lab.protect("win");
    lab.back_up("win");
    let point = point(&mut lab, "win");
    lab.version = "2021-11-15";
    let items = lab.read(&format!("{VAULT}/backupProtectedItems/?$filter=backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'"));
    same_shape(&items, &last_body("crr_secondary_protecteditems_list__200.json"));
    let points = lab.read(&format!("{}/recoveryPoints/", item("win")));
    same_shape(&points, &last_body("crr_secondary_recoverypoints_list__200.json"));
    let region = format!("{SUB}/providers/Microsoft.RecoveryServices/locations/northeurope");
    let aad = lab.read(&format!("{region}/backupAadProperties"));
    same_shape(&aad, &last_body("crr_aadproperties_get__200.json"));
    let token = lab.send("POST", &format!("{point}/accessToken"), aad).body.unwrap();
    same_shape(&token, &last_body("crr_accesstoken__200.json"));
    let exchanges = recorded("crr_restore__202_poll_job.json");
    let mut request =
        moved(&json!({"request": {"body": {"properties": exchanges[0]["request"]["body"]["restoreRequest"]}}}), false)["properties"]
            .clone();
    request["region"] = json!("northeurope");
    request["storageAccountId"] = json!(format!("{SUB}/resourceGroups/RG-North/providers/Microsoft.Storage/storageAccounts/north"));
    let body = json!({"crossRegionRestoreAccessDetails": token["properties"], "restoreRequest": request});
    let started = lab.send("POST", &format!("{region}/backupCrossRegionRestore"), body);
    assert_eq!(started.status, 202, "{:?}", started.body);
    lab.wait(5);
    let status = lab.read(header(&started, "azure-asyncoperation").to_owned().as_str());
    same_shape(&status, &exchanges[1]["response"]["body"]);
    let asked = json!({"resourceId": VAULT, "jobName": status["properties"]["jobId"]});
    for (wait, theirs) in [(5, &exchanges[2]), (4000, &exchanges[3])] {
        lab.wait(wait);
        let job = lab.send("POST", &format!("{region}/backupCrrJob"), asked.clone()).body.unwrap();
        assert_eq!(job["properties"]["status"], theirs["response"]["body"]["properties"]["status"]);
        same_shape(&job, &theirs["response"]["body"]);
    }
}
