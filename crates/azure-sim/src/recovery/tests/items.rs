//! Items: what a PUT may ask, what it leads to, and who is refused.

use serde_json::{Value, json};

use super::super::{Limits, Settings, SoftDeletedStatus};
use super::lab::{Lab, OTHER, SUB, VAULT, code, default_policy, item, vm};

fn body(properties: Value) -> Value {
    let mut body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines"}});
    body["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    body
}

fn protecting(name: &str) -> Value {
    body(json!({"sourceResourceId": vm(name), "policyId": default_policy(VAULT)}))
}

#[test]
fn a_put_that_contradicts_itself_is_refused() {
    let mut lab = Lab::new();
    let invalid = "BMSUserErrorInvalidConfigureProtectionRequest";
    let cases = [
        (item("win"), protecting("lin"), invalid),
        (item("win").replace("/VM;iaasvmcontainerv2;rg-shop;win", "/VM;iaasvmcontainerv2;rg-shop;lin"), protecting("win"), invalid),
        (item("win").replace("VM;iaasvmcontainerv2;rg-shop;win", "win"), protecting("win"), invalid),
        (item("win"), json!({"properties": {"sourceResourceId": vm("win"), "policyId": default_policy(VAULT)}}), invalid),
        (item("win"), body(json!({"sourceResourceId": vm("win")})), invalid),
        (
            item("win"),
            body(json!({"sourceResourceId": vm("win"), "policyId": format!("{VAULT}/backupPolicies/none")})),
            "BMSUserErrorPolicyNotFound",
        ),
        (item("win"), body(json!({"sourceResourceId": vm("win"), "policyId": default_policy(OTHER)})), "BMSUserErrorPolicyNotFound"),
        (
            item("win"),
            body(json!({"sourceResourceId": vm("win"), "policyId": format!("{VAULT}/backupPolicies/HourlyLogBackup")})),
            "BMSUserErrorPolicyNotFound",
        ),
        (
            item("win"),
            body(json!({"sourceResourceId": vm("win"), "protectionState": "ProtectionStopped"})),
            "BMSUserErrorDataSourceObjectNotFound",
        ),
        (
            item("win"),
            body(json!({"sourceResourceId": vm("win"), "protectionState": "BackupsSuspended"})),
            "UserErrorOperationDeniedOnImmutableItem",
        ),
    ];
    for (url, body, wanted) in cases {
        let reply = lab.put(&url, body.clone());
        assert_eq!(code(&reply).1, wanted, "{url} {body}");
        assert!(reply.status >= 400);
    }
}

#[test]
fn an_item_appears_when_its_operation_ends_and_is_busy_until_then() {
    let mut lab = Lab::new();
    assert_eq!(lab.put(&item("win"), protecting("win")).status, 202);
    assert_eq!(lab.get(&item("win")).status, 404);
    assert_eq!(code(&lab.put(&item("win"), protecting("win"))), (409, "UserErrorConflictingOperationInProgress".to_owned()));
    let status = lab.send(
        "POST",
        &format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus"),
        json!({"resourceType": "VM", "resourceId": vm("win")}),
    );
    assert_eq!(status.body.unwrap()["protectionStatus"], "Protecting");
    assert_eq!(code(&lab.send("DELETE", VAULT, Value::Null)).0, 400, "its container blocks the vault already");
    lab.wait(90);
    assert_eq!(lab.item("win")["protectionState"], "IRPending");
}

#[test]
fn a_machine_that_is_gone_or_far_away_fails_late() {
    let mut lab = Lab::new();
    lab.machine("win").location = "northeurope".to_owned();
    lab.world.machines.remove(&vm("lin").to_lowercase());
    for (name, error) in [("win", "UserErrorVmVaultLocationMismatch"), ("lin", "UserErrorVmNotFoundV2")] {
        let reply = lab.put(&item(name), protecting(name));
        assert_eq!(reply.status, 202, "the PUT knows nothing of it");
        lab.wait(90);
        let id = super::super::operation_id(&reply).unwrap();
        let end = lab.read(&format!("{VAULT}/backupOperations/{id}"));
        assert_eq!((&end["status"], &end["error"]["code"]), (&json!("Failed"), &json!(error)));
        assert_eq!(lab.get(&item(name)).status, 404);
        assert_eq!(lab.put(&item(name), protecting(name)).status, 202, "not busy any more");
        lab.wait(90);
    }
}

#[test]
fn stopping_keeps_points_and_resuming_returns_to_protected() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    lab.configure("win", json!({"policyId": "", "protectionState": "ProtectionStopped"}));
    lab.wait_days(60);
    assert_eq!(lab.points("win").len(), 1, "kept past its thirty days");
    assert_eq!(
        code(&lab.send("POST", &format!("{}/backup", item("win")), json!({"properties": {"objectType": "IaasVMBackupRequest"}}))).0,
        400
    );
    lab.protect("win");
    assert_eq!(lab.item("win")["protectionState"], "Protected");
    lab.wait(2 * 3600);
    assert_eq!(lab.points("win").len(), 0, "then its end is past");
    lab.protect("lin");
    lab.configure("lin", json!({"policyId": "", "protectionState": "ProtectionStopped"}));
    lab.protect("lin");
    assert_eq!(lab.item("lin")["protectionState"], "IRPending", "without points the first copy is pending again");
}

#[test]
fn an_immutable_vault_suspends_and_refuses_the_rest() {
    let mut lab = Lab::new();
    lab.put(&format!("{VAULT}/backupPolicies/week"), super::lab::daily("02:00", 7));
    lab.configure("win", json!({"policyId": format!("{VAULT}/backupPolicies/week")}));
    lab.wait_days(3);
    lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}));
    let denied = (400, "UserErrorOperationDeniedOnImmutableItem".to_owned());
    assert_eq!(code(&lab.send("DELETE", &item("win"), Value::Null)), denied);
    assert_eq!(
        code(&lab.put(&item("win"), body(json!({"sourceResourceId": vm("win"), "policyId": "", "protectionState": "ProtectionStopped"})))),
        denied
    );
    let job = lab.configure("win", json!({"protectionState": "BackupsSuspended"}));
    assert_eq!(
        (lab.job(&job)["operation"].clone(), lab.item("win")["protectionState"].clone()),
        (json!("DisableBackup"), json!("BackupsSuspended"))
    );
    assert_eq!(lab.points("win").len(), 3);
    lab.wait_days(6);
    assert!((1..3).contains(&lab.points("win").len()), "no new points, and the old ones expire");
    lab.wait_days(4);
    assert!(lab.points("win").is_empty());
}

#[test]
fn azure_powershells_other_item_type_stops_suspends_and_resumes() {
    let mut lab = Lab::new();
    lab.protect("win");
    let sent = |more: Value| {
        let mut body = json!({"properties": {"protectedItemType": "AzureIaaSVMProtectedItem", "sourceResourceId": vm("win")}});
        body["properties"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let resumed = json!({"policyId": super::lab::default_policy(super::lab::VAULT), "protectionState": "ProtectionConfigured"});
    lab.settle("PUT", &item("win"), sent(json!({"policyId": "", "protectionState": "ProtectionStopped"})));
    assert_eq!(lab.item("win")["protectionState"], "ProtectionStopped");
    lab.settle("PUT", &item("win"), sent(resumed.clone()));
    lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}));
    lab.settle("PUT", &item("win"), sent(json!({"protectionState": "BackupsSuspended"})));
    assert_eq!(lab.item("win")["protectionState"], "BackupsSuspended");
    lab.settle("PUT", &item("win"), sent(resumed));
    assert_ne!(lab.item("win")["protectionState"], "BackupsSuspended");
    assert_eq!(lab.item("win")["protectedItemType"], "Microsoft.Compute/virtualMachines", "it is shown as ever");
}

#[test]
fn capacity_and_daily_changes_are_bounded() {
    let mut lab =
        Lab::with(Settings { limits: Limits { machines_per_vault: 1, protection_changes: 3, ..Limits::default() }, ..Settings::default() });
    lab.protect("win");
    assert_eq!(code(&lab.put(&item("lin"), protecting("lin"))), (400, "CloudDosAbsoluteLimitReached".to_owned()));
    lab.protect("win");
    lab.protect("win");
    assert_eq!(code(&lab.put(&item("win"), protecting("win"))), (400, "CloudDosTimeboudLimitReached".to_owned()));
    lab.wait_days(1);
    lab.protect("win");
    let mut lab = Lab::with(Settings { limits: Limits { machines_per_vault: 1, ..Limits::default() }, ..Settings::default() });
    assert_eq!(lab.put(&item("win"), protecting("win")).status, 202);
    assert_eq!(code(&lab.put(&item("lin"), protecting("lin"))).1, "CloudDosAbsoluteLimitReached", "one on its way counts");
    let mut lab = Lab::with(Settings { limits: Limits { machines_per_policy: 1, ..Limits::default() }, ..Settings::default() });
    lab.protect("win");
    lab.protect("win");
    assert_eq!(code(&lab.put(&item("lin"), protecting("lin"))), (400, "CloudDosAbsoluteLimitReached".to_owned()));
    assert_eq!((Limits::default().machines_per_vault, Limits::default().protection_changes), (1000, 1000));
}

#[test]
fn backup_status_says_what_the_setting_says_of_soft_deleted_items() {
    for (setting, wanted) in [(SoftDeletedStatus::NotProtected, "NotProtected"), (SoftDeletedStatus::Protected, "Protected")] {
        let mut lab = Lab::with(Settings { soft_deleted_status: setting, ..Settings::default() });
        lab.protect("win");
        lab.settle("DELETE", &item("win"), Value::Null);
        let url = format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus");
        let asked = json!({"resourceType": "VM", "resourceId": vm("win")});
        let status = lab.send("POST", &url, asked.clone()).body.unwrap();
        assert_eq!(status["protectionStatus"], wanted);
        let elsewhere = lab.send("POST", &url.replace("westeurope", "northeurope"), asked).body.unwrap();
        assert_eq!(elsewhere["protectionStatus"], "NotProtected", "a region knows its own vaults only");
    }
}

#[test]
fn discovery_finds_machines_of_the_region_that_nobody_protects() {
    let mut lab = Lab::new();
    lab.make_vault(OTHER);
    lab.add_machine("far", "Linux");
    lab.machine("far").location = "northeurope".to_owned();
    let list = format!("{OTHER}/backupProtectableItems?$filter=backupManagementType eq 'AzureIaasVM'");
    lab.send("POST", &format!("{OTHER}/backupFabrics/Azure/refreshContainers"), Value::Null);
    lab.wait(30);
    assert_eq!(lab.rows(&list).len(), 2);
    lab.add_machine("new", "Linux");
    lab.protect("win");
    let names: Vec<Value> = lab.rows(&list).into_iter().map(|row| row["properties"]["friendlyName"].clone()).collect();
    assert_eq!(names, ["lin"], "new needs a refresh, win is another vault's");
    lab.settle("DELETE", &item("win"), Value::Null);
    assert_eq!(lab.rows(&list).len(), 2, "free for other vaults once it is soft-deleted");
    lab.send("POST", &format!("{VAULT}/backupFabrics/Azure/refreshContainers"), Value::Null);
    lab.wait(30);
    let names: Vec<Value> =
        lab.rows(&list.replace(OTHER, VAULT)).into_iter().map(|row| row["properties"]["friendlyName"].clone()).collect();
    assert_eq!(names, ["lin", "new"], "but not for its own, which must undelete it");
    assert_eq!(
        code(&lab.get(&format!("{OTHER}/backupProtectionContainers"))),
        (400, "BMSUserErrorInvalidInput".to_owned()),
        "the type is required"
    );
}

#[test]
fn extended_info_comes_when_asked_for() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.back_up("win");
    assert!(lab.item("win").get("extendedInfo").is_none());
    let info = lab.read(&format!("{}?$filter=expand eq 'extendedinfo'", item("win")))["properties"]["extendedInfo"].clone();
    assert_eq!((&info["recoveryPointCount"], &info["policyInconsistent"]), (&json!(1), &json!(false)));
    assert!(info["oldestRecoveryPoint"].is_string());
}

#[test]
fn an_empty_exclusion_list_resets_the_choice_of_disks() {
    let mut lab = Lab::new();
    let disks = |luns: Value, inclusion: bool| json!({"policyId": default_policy(VAULT), "extendedProperties": {"diskExclusionProperties": {"diskLunList": luns, "isInclusionList": inclusion}}});
    for (luns, inclusion, attached) in
        [(json!([0, 1]), true, Some(3)), (json!([]), true, Some(1)), (json!([2]), false, Some(3)), (json!([]), false, None)]
    {
        lab.configure("win", disks(luns.clone(), inclusion));
        lab.back_up("win");
        let configuration = lab.points("win")[0].get("recoveryPointDiskConfiguration").cloned();
        assert_eq!(configuration.map(|disks| disks["numberOfDisksIncludedInBackup"].as_i64().unwrap()), attached, "{luns} {inclusion}");
    }
    lab.protect("win");
    lab.configure("lin", disks(json!([0]), true));
    lab.protect("lin");
    assert_eq!(lab.item("lin")["extendedProperties"]["diskExclusionProperties"]["diskLunList"], json!([0]), "left out means kept");
}

#[test]
fn luns_are_read_from_texts_as_well_and_shown_as_numbers() {
    let mut lab = Lab::new();
    let disks = json!({"diskExclusionProperties": {"diskLunList": ["0", "2"], "isInclusionList": true}});
    lab.configure("win", json!({"policyId": default_policy(VAULT), "extendedProperties": disks}));
    assert_eq!(lab.item("win")["extendedProperties"]["diskExclusionProperties"]["diskLunList"], json!([0, 2]));
    lab.back_up("win");
    assert_eq!(lab.points("win")[0]["recoveryPointDiskConfiguration"]["numberOfDisksIncludedInBackup"], 3);
}

#[test]
fn an_operation_answers_only_where_it_belongs() {
    let mut lab = Lab::new();
    lab.make_vault(OTHER);
    lab.protect("lin");
    let reply = lab.put(&item("win"), protecting("win"));
    let id = super::super::operation_id(&reply).unwrap();
    assert_eq!(lab.get(&format!("{VAULT}/backupOperations/{id}")).status, 200);
    assert_eq!(lab.get(&format!("{}/operationsStatus/{id}", item("win"))).status, 200);
    for url in [
        format!("{OTHER}/backupOperations/{id}"),
        format!("{}/operationsStatus/{id}", item("lin")),
        format!("{VAULT}/backupFabrics/Azure/operationResults/{id}"),
        format!("{VAULT}/operationStatus/{id}"),
    ] {
        assert_eq!(lab.get(&url).status, 404, "{url}");
    }
}

#[test]
fn the_purge_of_an_earlier_delete_is_void() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.settle("DELETE", &item("win"), Value::Null);
    lab.wait_days(10);
    lab.configure("win", json!({"policyId": "", "protectionState": "ProtectionStopped", "isRehydrate": true}));
    lab.settle("DELETE", &item("win"), Value::Null);
    lab.wait_days(13);
    assert_eq!(lab.item("win")["isScheduledForDeferredDelete"], true, "day 23: the first delete's fourteen days are over");
    lab.wait_days(1);
    assert_eq!(lab.get(&item("win")).status, 404);
}
