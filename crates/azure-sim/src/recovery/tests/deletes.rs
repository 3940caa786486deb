//! Stops, deletes, undeletes and what keeps a vault (backup.md §5.4, §9), beyond the checklist.

use serde_json::{Value, json};

use super::super::Settings;
use super::lab::{Lab, OTHER, SUB, VAULT, code, daily, default_policy, item, item_under, vm};

fn stopped() -> Value {
    json!({"policyId": "", "protectionState": "ProtectionStopped"})
}

fn rehydrated() -> Value {
    json!({"policyId": "", "protectionState": "ProtectionStopped", "isRehydrate": true})
}

fn put(properties: Value) -> Value {
    let mut body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win")}});
    body["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    body
}

#[test]
fn an_item_whose_machine_is_gone_is_stopped_deleted_and_undeleted_all_the_same() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    lab.world.machines.remove(&vm("win").to_lowercase());
    lab.wait_days(1);
    let seen = lab.item("win");
    assert_eq!((&seen["healthStatus"], &seen["lastBackupStatus"]), (&json!("ActionRequired"), &json!("Failed")));
    assert_eq!(seen["healthDetails"][0]["code"], 320_001);
    lab.configure("win", stopped());
    assert_eq!((lab.item("win")["protectionState"].clone(), lab.points("win").len()), (json!("ProtectionStopped"), 1));
    lab.settle("DELETE", &item("win"), Value::Null);
    let job = lab.configure("win", rehydrated());
    assert_eq!(lab.job(&job)["operation"], "Undelete");
    assert_eq!((lab.item("win")["protectionState"].clone(), lab.points("win").len()), (json!("ProtectionStopped"), 1));
    lab.protect("win");
    lab.wait_days(1);
    assert_eq!(lab.item("win")["lastBackupStatus"], "Failed", "resumed, but there is nothing to back up");
}

#[test]
fn an_undeleted_item_stays_stopped_until_a_policy_resumes_it() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    lab.settle("DELETE", &item("win"), Value::Null);
    let points = lab.points("win");
    assert_eq!(points.len(), 1, "its points are still there");
    assert_eq!(code(&lab.send("DELETE", &item("win"), Value::Null)), (400, "BMSUserErrorItemSoftDeleted".to_owned()));
    let backup = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
    assert_eq!(code(&lab.send("POST", &format!("{}/backup", item("win")), backup)), (400, "BMSUserErrorItemSoftDeleted".to_owned()));
    lab.configure("win", rehydrated());
    lab.wait_days(3);
    assert_eq!(lab.points("win").len(), 1, "no backups yet");
    lab.protect("win");
    assert_eq!(lab.item("win")["protectionState"], "Protected");
    lab.wait_days(2);
    assert_eq!(lab.points("win").len(), 3);
}

#[test]
fn points_of_a_soft_deleted_item_outlive_their_own_end_and_say_so() {
    let mut lab = Lab::new();
    lab.put(&format!("{VAULT}/backupPolicies/week"), daily("02:00", 7));
    lab.configure("win", json!({"policyId": format!("{VAULT}/backupPolicies/week")}));
    lab.wait_days(3);
    assert_eq!(lab.points("win")[0]["recoveryPointProperties"]["isSoftDeleted"], false);
    lab.settle("DELETE", &item("win"), Value::Null);
    lab.wait_days(12);
    assert_eq!(lab.points("win").len(), 3, "nothing expires while it may come back");
    assert_eq!(lab.points("win")[0]["recoveryPointProperties"]["isSoftDeleted"], true);
    let left = lab.item("win")["deferredDeleteTimeRemaining"].as_str().unwrap().to_owned();
    assert!(left.starts_with("1.23:"), "two of fourteen days are left: {left}");
    lab.wait_days(2);
    assert_eq!(lab.get(&item("win")).status, 404);
    assert!(lab.rows(&format!("{VAULT}/backupDeletedProtectionContainers")).is_empty());
    assert!(lab.rows(&format!("{VAULT}/backupProtectedItems")).is_empty());
}

#[test]
fn a_suspended_item_resumes_under_a_policy() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}));
    lab.configure("win", json!({"protectionState": "BackupsSuspended"}));
    let suspended = lab.item("win");
    assert_eq!((&suspended["protectionState"], &suspended["policyName"]), (&json!("BackupsSuspended"), &json!("DefaultPolicy")));
    lab.wait_days(2);
    assert_eq!(lab.points("win").len(), 1);
    lab.protect("win");
    assert_eq!(lab.item("win")["protectionState"], "Protected");
    lab.wait_days(2);
    assert_eq!(lab.points("win").len(), 3);
}

#[test]
fn an_item_does_not_come_back_while_another_vault_holds_its_machine() {
    let mut lab = Lab::new();
    lab.make_vault(OTHER);
    lab.protect("win");
    lab.settle("DELETE", &item("win"), Value::Null);
    let elsewhere = put(json!({"policyId": default_policy(OTHER)}));
    assert_eq!(lab.put(&item_under(OTHER, "win"), elsewhere).status, 202);
    lab.wait(120);
    lab.configure("win", rehydrated());
    let resumed = lab.put(&item("win"), put(json!({"policyId": default_policy(VAULT)})));
    assert_eq!(code(&resumed), (400, "BMSUserErrorVMAlreadyRegistered".to_owned()));
    lab.send("PATCH", &format!("{OTHER}/backupconfig/vaultconfig"), json!({"properties": {"softDeleteFeatureState": "Disabled"}}));
    lab.settle("DELETE", &item_under(OTHER, "win"), Value::Null);
    lab.protect("win");
}

#[test]
fn a_machine_that_is_stopped_in_one_vault_is_protected_in_another_and_its_points_stay() {
    let mut lab = Lab::new();
    lab.make_vault(OTHER);
    lab.protect("win");
    lab.back_up("win");
    let protectable = format!("{OTHER}/backupProtectableItems?$filter=backupManagementType eq 'AzureIaasVM'");
    let is_offered = |lab: &mut Lab| lab.rows(&protectable).iter().any(|row| row["properties"]["friendlyName"] == "win");
    lab.send("POST", &format!("{OTHER}/backupFabrics/Azure/refreshContainers"), Value::Null);
    lab.wait(60);
    let elsewhere = put(json!({"policyId": default_policy(OTHER)}));
    assert!(!is_offered(&mut lab));
    assert_eq!(code(&lab.put(&item_under(OTHER, "win"), elsewhere.clone())), (400, "BMSUserErrorVMAlreadyRegistered".to_owned()));
    lab.configure("win", stopped());
    // What azure-cli looks for before it protects there.
    assert!(is_offered(&mut lab));
    assert_eq!(lab.put(&item_under(OTHER, "win"), elsewhere).status, 202);
    lab.wait(120);
    assert_eq!((lab.points("win").len(), is_offered(&mut lab)), (1, false));
    let asked = json!({"resourceType": "VM", "resourceId": vm("win")});
    let url = format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus");
    let status = lab.send("POST", &url, asked).body.unwrap();
    assert_eq!(status["vaultId"].as_str().map(str::to_lowercase), Some(OTHER.to_lowercase()), "{status}");
    let resumed = lab.put(&item("win"), put(json!({"policyId": default_policy(VAULT)})));
    assert_eq!(code(&resumed), (400, "BMSUserErrorVMAlreadyRegistered".to_owned()), "one vault backs it up at a time");
}

#[test]
fn a_vault_is_cleared_the_classic_way() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    lab.settle("DELETE", &item("win"), Value::Null);
    let config = format!("{VAULT}/backupconfig/vaultconfig");
    assert_eq!(lab.send("PATCH", &config, json!({"properties": {"softDeleteFeatureState": "Disabled"}})).status, 200);
    assert_eq!(
        code(&lab.send("DELETE", VAULT, Value::Null)).1,
        "ServiceResourceNotEmptyWithBackendMessage",
        "what is soft-deleted stays so"
    );
    assert_eq!(code(&lab.send("DELETE", &item("win"), Value::Null)).0, 400);
    lab.configure("win", rehydrated());
    assert_eq!(code(&lab.send("DELETE", VAULT, Value::Null)).1, "ServiceResourceNotEmptyWithContainerDetails");
    let job = lab.settle("DELETE", &item("win"), Value::Null);
    assert_eq!(lab.job(&job)["extendedInfo"]["propertyBag"]["Number of Recovery Points"], "1");
    let containers = format!("{VAULT}/backupProtectionContainers?$filter=backupManagementType eq 'AzureIaasVM'");
    assert!(lab.rows(&containers).is_empty(), "at once");
    assert_eq!(lab.send("DELETE", VAULT, Value::Null).status, 202);
    lab.wait(60);
    assert_eq!(lab.get(VAULT).status, 404);
}

#[test]
fn locked_immutability_keeps_a_vault_with_soft_deleted_data() {
    for with_points in [true, false] {
        let mut lab = Lab::with(Settings::default());
        lab.protect("win");
        if with_points {
            lab.back_up("win");
        }
        lab.settle("DELETE", &item("win"), Value::Null);
        for state in ["Unlocked", "Locked"] {
            lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": state},
                "softDeleteSettings": {"softDeleteState": "AlwaysON"}}}));
        }
        let reply = lab.send("DELETE", VAULT, Value::Null);
        assert_eq!(reply.status, if with_points { 400 } else { 202 }, "{:?}", reply.body);
    }
}

#[test]
fn a_machine_made_again_under_its_old_id_finds_its_old_item() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    lab.settle("DELETE", &item("win"), Value::Null);
    lab.machine("win").vm_id = "another".to_owned();
    let protecting = put(json!({"policyId": default_policy(VAULT)}));
    assert_eq!(code(&lab.put(&item("win"), protecting)), (400, "BMSUserErrorItemSoftDeleted".to_owned()), "names know no vmId");
    lab.configure("win", rehydrated());
    lab.protect("win");
    lab.back_up("win");
    assert_eq!(lab.points("win").len(), 2, "the points of both lie under one item");
}
