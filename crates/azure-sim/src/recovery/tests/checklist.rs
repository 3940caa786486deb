//! backup.md §17, point by point.

use serde_json::{Value, json};

use super::super::{Finding, GoneVaultStatus, Phase, Settings, VaultWrite, operation_id};
use super::lab::{Lab, SUB, VAULT, at, code, default_policy, header, item, vm};
use jiff::SignedDuration;

fn protecting(name: &str) -> Value {
    json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm(name), "policyId": default_policy(VAULT)}})
}

fn backup() -> Value {
    json!({"properties": {"objectType": "IaasVMBackupRequest"}})
}

#[test]
fn s17_01_items_answer_202_and_both_status_urls_serve_the_same_operation() {
    let mut lab = Lab::new();
    let reply = lab.put(&item("win"), protecting("win"));
    assert_eq!(reply.status, 202);
    let id = operation_id(&reply).unwrap();
    let by_header = header(&reply, "azure-asyncoperation").to_owned();
    let under_vault = format!("{VAULT}/backupOperations/{id}");
    assert!(by_header.contains("/operationsStatus/"));
    assert_eq!(lab.read(&by_header), lab.read(&under_vault));
    assert_eq!(lab.get(header(&reply, "location")).status, 202);
    lab.wait(90);
    assert_eq!(lab.read(&by_header), lab.read(&under_vault));
    assert_eq!(lab.read(&by_header)["status"], "Succeeded");
    let result = lab.get(header(&reply, "location"));
    assert_eq!((result.status, result.body.unwrap()["properties"]["protectionState"].clone()), (200, json!("IRPending")));
    // The other family: base64 ids under the vault, no times.
    let patch = lab.send("PATCH", VAULT, json!({"properties": {"publicNetworkAccess": "Disabled"}}));
    let poll = header(&patch, "azure-asyncoperation").to_owned();
    assert!(poll.contains("/operationStatus/NDA5NTs"), "4095; in base64");
    assert_eq!(lab.read(&poll).as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "name", "status"]);
    // A deleted item's operation lives under the vault (§3.2).
    let delete = lab.send("DELETE", &item("win"), Value::Null);
    assert!(header(&delete, "azure-asyncoperation").contains("/vaults/main/backupOperations/"));
}

#[test]
fn s17_02_a_running_operation_has_an_end_without_zone_and_its_job_comes_with_success() {
    let mut lab = Lab::new();
    let reply = lab.put(&item("win"), protecting("win"));
    let id = operation_id(&reply).unwrap();
    let poll = format!("{VAULT}/backupOperations/{id}");
    for _ in 0..3 {
        let running = lab.read(&poll);
        assert_eq!(
            (&running["status"], &running["endTime"], running.get("properties")),
            (&json!("InProgress"), &json!("0001-01-01T00:00:00"), None)
        );
        lab.wait(10);
    }
    lab.wait(60);
    let done = lab.read(&poll);
    assert_eq!((&done["status"], &done["endTime"]), (&json!("Succeeded"), &done["startTime"]));
    assert_ne!(done["properties"]["jobId"], json!(id));
    let job = lab.job(done["properties"]["jobId"].as_str().unwrap());
    assert_eq!(job["status"], "Completed", "configuration jobs are over when their operation is");
}

#[test]
fn s17_03_names_are_matched_without_case() {
    let mut lab = Lab::new();
    let url = item("win").replace("IaasVMContainer;", "iaasvmcontainer;").replace("VM;iaas", "vm;iaas").replace("rg-shop", "RG-SHOP");
    let reply = lab.put(&url.replace(';', "%3B").replace("%3B", ";"), protecting("win"));
    assert!(header(&reply, "location").contains("/protectedItems/vm;iaasvmcontainerv2;RG-SHOP;win/"), "headers echo the caller's case");
    lab.wait(90);
    let read = lab.read(&url.replace("/vaults/main", "/vaults/MAIN").replace("resourceGroups", "RESOURCEGROUPS"));
    assert_eq!(read["id"], json!(item("win")), "bodies have the stored spelling");
    assert_eq!(read["name"], "VM;iaasvmcontainerv2;rg-shop;win");
    assert_eq!(read["properties"]["sourceResourceId"], json!(vm("win")), "the machine's id keeps its case");
    let status = json!({"resourceType": "VM", "resourceId": vm("win").to_uppercase().replace("VIRTUALMACHINES", "virtualMachines")});
    let answer =
        lab.send("POST", &format!("{SUB}/providers/microsoft.recoveryservices/locations/WestEurope/backupStatus"), status).body.unwrap();
    assert_eq!(answer["protectionStatus"], "Protected");
    assert_eq!(answer["protectedItemName"], "vm;iaasvmcontainerv2;rg-shop;win");
}

#[test]
fn s17_04_a_backup_job_lives_longer_than_its_operation() {
    let mut lab = Lab::new();
    lab.protect("win");
    let reply = lab.send("POST", &format!("{}/backup", item("win")), backup());
    lab.wait(2);
    let done = lab.read(header(&reply, "azure-asyncoperation"));
    assert_eq!(done["status"], "Succeeded");
    let job = done["properties"]["jobId"].as_str().unwrap().to_owned();
    assert_eq!(lab.job(&job)["status"], "InProgress");
    let mut seen = Vec::new();
    while lab.job(&job)["status"] == "InProgress" {
        let info = lab.job(&job)["extendedInfo"].clone();
        seen.push((info["progressPercentage"].as_f64(), info["tasksList"][2]["status"].as_str().unwrap().to_owned()));
        lab.wait(60);
    }
    assert!(seen.contains(&(None, "NotStarted".to_owned())));
    assert!(seen.contains(&(Some(100.0), "InProgress".to_owned())), "100 % before done");
    assert_eq!(lab.job(&job)["status"], "Completed");
    let listed = lab.rows(&format!("{VAULT}/backupJobs"));
    assert_eq!(listed[0]["name"], json!(job), "newest first");
    assert!(listed.iter().all(|job| job["properties"].get("extendedInfo").is_none()));
    let again = lab.send("POST", &format!("{}/backup", item("win")), backup());
    let second = lab.state.job_of_operation(&operation_id(&again).unwrap()).unwrap().to_owned();
    lab.state.fail_job(&second, Phase::Transfer, Finding::new(400_052, "DiffCopyFailedToTransferData", "x")).unwrap();
    lab.wait(2 * 3600);
    assert_eq!(lab.job(&second)["status"], "CompletedWithWarnings");
    assert_eq!(lab.job(&second)["errorDetails"][0]["errorCode"], 400_052);
    assert_eq!(lab.item("win")["healthStatus"], "ActionSuggested");
}

#[test]
fn s17_05_a_point_is_instant_then_hardened_then_only_in_the_vault() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.send("POST", &format!("{}/backup", item("win")), backup());
    lab.wait(400);
    assert!(lab.points("win").is_empty(), "the snapshot is not done");
    assert_eq!(lab.item("win")["protectionState"], "IRPending");
    lab.wait(150);
    assert_eq!(lab.points("win")[0]["recoveryPointTierDetails"], json!([{"type": "InstantRP", "status": "Valid"}]));
    assert_eq!(lab.item("win")["protectionState"], "Protected", "before the job has ended");
    assert!(lab.item("win")["lastRecoveryPoint"].is_string());
    lab.wait(2 * 3600);
    let both = json!([{"type": "InstantRP", "status": "Valid"}, {"type": "HardenedRP", "status": "Valid"}]);
    assert_eq!(lab.points("win")[0]["recoveryPointTierDetails"], both);
    lab.wait_days(2);
    let vault_only = json!([{"type": "InstantRP", "status": "Deleted"}, {"type": "HardenedRP", "status": "Valid"}]);
    assert_eq!(lab.points("win").last().unwrap()["recoveryPointTierDetails"], vault_only, "after instantRpRetentionRangeInDays");
}

#[test]
fn s17_06_a_soft_deleted_item_is_listed_undeleted_or_purged() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    let deleted_at = lab.now;
    lab.settle("DELETE", &item("win"), Value::Null);
    let listed = lab.rows(&format!("{VAULT}/backupProtectedItems"));
    let properties = &listed[0]["properties"];
    assert_eq!(
        (&properties["isScheduledForDeferredDelete"], &properties["protectionState"], &properties["policyId"]),
        (&json!(true), &json!("ProtectionStopped"), &json!(""))
    );
    assert_eq!(at(properties["deferredDeleteTimeInUTC"].as_str().unwrap()), deleted_at, "of the delete, not of the purge");
    assert!(properties["deferredDeleteTimeRemaining"].as_str().unwrap().starts_with("13.23:"));
    let containers = format!("{VAULT}/backupProtectionContainers?$filter=backupManagementType eq 'AzureIaasVM'");
    assert!(lab.rows(&containers).is_empty());
    assert_eq!(lab.rows(&format!("{VAULT}/backupDeletedProtectionContainers"))[0]["properties"]["registrationStatus"], "SoftDeleted");
    assert_eq!(code(&lab.put(&item("win"), protecting("win"))), (400, "BMSUserErrorItemSoftDeleted".to_owned()), "undelete comes first");
    lab.configure("win", json!({"policyId": "", "protectionState": "ProtectionStopped", "isRehydrate": true}));
    assert_eq!(lab.item("win").get("isScheduledForDeferredDelete"), None);
    assert_eq!(lab.points("win").len(), 1, "undelete keeps the points");
    lab.wait_days(20);
    assert_eq!(lab.get(&item("win")).status, 200, "the purge of the first delete is void");
    lab.settle("DELETE", &item("win"), Value::Null);
    lab.wait_days(13);
    assert_eq!(lab.get(&item("win")).status, 200);
    lab.wait_days(1);
    assert_eq!(code(&lab.get(&item("win"))), (404, "BMSUserErrorDataSourceObjectNotFound".to_owned()));
    // Off: gone with its container when the operation ends.
    lab.send("PATCH", &format!("{VAULT}/backupconfig/vaultconfig"), json!({"properties": {"softDeleteFeatureState": "Disabled"}}));
    lab.protect("lin");
    lab.settle("DELETE", &item("lin"), Value::Null);
    assert_eq!(lab.get(&item("lin")).status, 404);
    assert!(lab.rows(&format!("{VAULT}/backupDeletedProtectionContainers")).is_empty());
}

#[test]
fn s17_07_a_vault_with_soft_deleted_items_is_deleted_only_when_secure_by_default() {
    let mut lab = Lab::new();
    lab.protect("win");
    assert_eq!(code(&lab.send("DELETE", VAULT, Value::Null)), (400, "ServiceResourceNotEmptyWithContainerDetails".to_owned()));
    lab.settle("DELETE", &item("win"), Value::Null);
    let refused = lab.send("DELETE", VAULT, Value::Null);
    assert_eq!(code(&refused), (400, "ServiceResourceNotEmptyWithBackendMessage".to_owned()));
    assert!(refused.body.unwrap()["error"]["message"].as_str().unwrap().contains(": win."), "names what blocks");
    lab.patch_vault(json!({"securitySettings": {"softDeleteSettings": {"softDeleteState": "AlwaysOn"}}}));
    let reply = lab.send("DELETE", VAULT, Value::Null);
    assert_eq!(reply.status, 202);
    lab.wait(60);
    // Told once, and then there is no vault to ask: both are recorded.
    assert_eq!(lab.read(header(&reply, "azure-asyncoperation"))["status"], "Succeeded");
    assert_eq!(code(&lab.get(header(&reply, "azure-asyncoperation"))), (404, "ResourceNotFound".to_owned()));
    let deleted = lab.rows(&format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/deletedVaults"));
    assert_eq!(deleted[0]["properties"]["vaultId"], json!(VAULT));
    assert!(deleted[0]["name"].as_str().unwrap().starts_with("RG-Backup_"));
    assert_eq!(lab.put(VAULT, json!({"location": "westeurope"})).status, 201, "the name is free");
    let mut other = Lab::with(Settings { gone_vault_status: GoneVaultStatus::Succeeded, ..Settings::default() });
    let reply = other.send("DELETE", VAULT, Value::Null);
    other.wait(60);
    assert_eq!(other.read(header(&reply, "azure-asyncoperation"))["status"], "Succeeded");
}

#[test]
fn s17_08_faults_can_be_injected() {
    let mut lab = Lab::with(Settings {
        stale_vaultconfig: SignedDuration::from_secs(90),
        vault_write: VaultWrite::ResetsConfig,
        ..Settings::default()
    });
    // Stale and reset vaultconfig after a vault write.
    let config = format!("{VAULT}/backupconfig/vaultconfig");
    lab.send("PATCH", &config, json!({"properties": {"softDeleteRetentionPeriodInDays": 30}}));
    assert_eq!(lab.read(&config)["properties"]["softDeleteRetentionPeriodInDays"], 14, "not yet seen");
    lab.wait(100);
    assert_eq!(lab.read(&config)["properties"]["softDeleteRetentionPeriodInDays"], 30);
    lab.patch_vault(json!({"publicNetworkAccess": "Disabled"}));
    lab.wait(100);
    assert_eq!(lab.read(&config)["properties"]["softDeleteRetentionPeriodInDays"], 14, "reset by the vault write");
    // A stale container list after undelete.
    lab.protect("win");
    lab.settle("DELETE", &item("win"), Value::Null);
    let reply = lab.put(&item("win"), json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win"), "isRehydrate": true}}));
    lab.wait(20);
    assert_eq!(lab.read(header(&reply, "azure-asyncoperation"))["status"], "Succeeded");
    let containers = format!("{VAULT}/backupProtectionContainers?$filter=backupManagementType eq 'AzureIaasVM' and status eq 'Registered'");
    assert_eq!(lab.rows(&containers)[0]["properties"]["registrationStatus"], "SoftDeleted");
    lab.wait(60);
    assert_eq!(lab.rows(&containers)[0]["properties"]["registrationStatus"], "Registered");
    // An operation that is forgotten, one that sticks, one that fails.
    let reply = lab.put(&item("lin"), protecting("lin"));
    lab.state.expire_operation(&operation_id(&reply).unwrap()).unwrap();
    assert_eq!(lab.get(header(&reply, "azure-asyncoperation")).status, 404);
    lab.wait(90);
    assert_eq!(lab.get(&item("lin")).status, 200, "its work went on");
    let stop = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("lin"), "protectionState": "ProtectionStopped"}});
    let reply = lab.put(&item("lin"), stop.clone());
    let id = operation_id(&reply).unwrap();
    lab.state.stick_operation(&id).unwrap();
    lab.wait_days(1);
    assert_eq!(lab.read(header(&reply, "azure-asyncoperation"))["status"], "InProgress");
    assert_ne!(lab.item("lin")["protectionState"], "ProtectionStopped");
    lab.state.release_operation(&lab.world, &id).unwrap();
    assert_eq!(lab.item("lin")["protectionState"], "ProtectionStopped");
    let reply = lab.put(&item("lin"), protecting("lin"));
    let id = operation_id(&reply).unwrap();
    lab.state.fail_operation(&id, "CloudInternalError", "x").unwrap();
    let failed = lab.read(header(&reply, "azure-asyncoperation"));
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("Failed"), &json!("CloudInternalError")));
    let job = lab.state.job_of_operation(&id).unwrap().to_owned();
    assert_eq!(lab.job(&job)["status"], "Failed");
    assert_eq!(lab.item("lin")["protectionState"], "ProtectionStopped", "nothing was done");
    // A job that fails after the 202.
    lab.protect("lin");
    let reply = lab.send("POST", &format!("{}/backup", item("lin")), backup());
    let job = lab.state.job_of_operation(&operation_id(&reply).unwrap()).unwrap().to_owned();
    lab.state.fail_job(&job, Phase::Snapshot, Finding::known("UserErrorGuestAgentStatusUnavailable")).unwrap();
    lab.wait(600);
    let jobs = lab.rows(&format!("{VAULT}/backupJobs?$filter=status eq 'Failed' and operation eq 'Backup'"));
    assert_eq!(jobs[0]["properties"]["errorDetails"][0]["errorCode"], 400_196);
    // Hooks take ids in any case, base64 ones too.
    let patch = lab.send("PATCH", VAULT, json!({"properties": {"publicNetworkAccess": "Enabled"}}));
    lab.state.stick_operation(&operation_id(&patch).unwrap().to_lowercase()).unwrap();
    lab.wait(300);
    assert_eq!(lab.read(header(&patch, "azure-asyncoperation"))["status"], "InProgress");
}

#[test]
fn s17_09_202s_say_when_to_come_back_and_give_long_signed_urls() {
    let mut lab = Lab::new();
    let reply = lab.put(&item("win"), protecting("win"));
    assert_eq!(header(&reply, "retry-after"), "60");
    for name in ["azure-asyncoperation", "location"] {
        let url = header(&reply, name);
        assert!((3500..5500).contains(&url.len()), "{name} has {} characters", url.len());
        for part in ["?api-version=2024-04-01", "&t=", "&c=", "&s=", "&h="] {
            assert!(url.contains(part), "{name} lacks {part}");
        }
    }
    let refresh = lab.send("POST", &format!("{VAULT}/backupFabrics/Azure/refreshContainers"), Value::Null);
    assert!(header(&refresh, "azure-asyncoperation").contains("api-version=2019-05-13-preview"), "whatever the caller's version");
    assert!(header(&refresh, "location").contains("api-version=2024-04-01"));
}

#[test]
fn s17_10_the_client_request_id_of_a_write_is_the_activity_of_its_job() {
    let mut lab = Lab::new();
    lab.request_id = Some("fb2f44d2-0529-11ef-b99c-644ed7a2823f".to_owned());
    let job = lab.protect("win");
    assert_eq!(lab.job(&job)["activityId"], "fb2f44d2-0529-11ef-b99c-644ed7a2823f");
    let listed = lab.rows(&format!("{VAULT}/backupJobs"));
    assert_eq!(listed[0]["properties"]["activityId"], "fb2f44d2-0529-11ef-b99c-644ed7a2823f", "so that an intent finds its job");
    lab.wait_days(1);
    let scheduled = lab.rows(&format!("{VAULT}/backupJobs?$filter=operation eq 'Backup'"));
    assert_eq!(scheduled.len(), 1);
    assert_ne!(scheduled[0]["properties"]["activityId"], "fb2f44d2-0529-11ef-b99c-644ed7a2823f", "the schedule has nobody's id");
    // What a stopped item has for a policy is an empty text, not an absent field.
    lab.configure("win", json!({"policyId": "", "protectionState": "ProtectionStopped"}));
    assert_eq!((lab.item("win")["policyId"].clone(), lab.item("win")["policyName"].clone()), (json!(""), json!("")));
}

#[test]
fn s17_11_lists_of_vaults_lack_settings_and_times_drop_their_zeros() {
    let mut lab = Lab::new();
    let listed = lab.rows(&format!("{SUB}/providers/Microsoft.RecoveryServices/vaults"));
    for field in ["securitySettings", "redundancySettings", "backupStorageVersion"] {
        assert!(listed[0]["properties"].get(field).is_none(), "{field} in a list");
        assert!(lab.read(VAULT)["properties"].get(field).is_some(), "{field} in a GET");
    }
    let mut policy = super::lab::daily("16:30", 30);
    policy["properties"]["schedulePolicy"]["scheduleRunTimes"] = json!(["2024-01-01T16:30:00.000Z"]);
    let echo = lab.put(&format!("{VAULT}/backupPolicies/zeros"), policy).body.unwrap();
    assert_eq!(echo["properties"]["schedulePolicy"]["scheduleRunTimes"], json!(["2024-01-01T16:30:00Z"]));
}

#[test]
fn s17_12_an_item_is_absent_soft_deleted_or_another_vaults() {
    let mut lab = Lab::new();
    lab.make_vault(super::lab::OTHER);
    assert_eq!(code(&lab.get(&item("win"))), (404, "BMSUserErrorDataSourceObjectNotFound".to_owned()));
    lab.protect("win");
    let elsewhere = super::lab::item_under(super::lab::OTHER, "win");
    let body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win"), "policyId": default_policy(super::lab::OTHER)}});
    assert_eq!(code(&lab.put(&elsewhere, body.clone())), (400, "BMSUserErrorVMAlreadyRegistered".to_owned()));
    lab.settle("DELETE", &item("win"), Value::Null);
    assert_eq!(lab.item("win")["isScheduledForDeferredDelete"], true);
    assert_eq!(lab.put(&elsewhere, body).status, 202, "another vault may protect what is soft-deleted here");
}

#[test]
fn s17_13_the_same_put_again_is_accepted_with_a_new_job() {
    let mut lab = Lab::new();
    let first = lab.protect("win");
    let second = lab.protect("win");
    assert_ne!(first, second);
    assert_eq!(lab.job(&second)["operation"], "ConfigureBackup");
    assert_eq!(lab.rows(&format!("{VAULT}/backupProtectedItems")).len(), 1);
}
