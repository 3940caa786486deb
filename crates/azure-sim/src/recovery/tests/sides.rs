//! What clients ask beside backups and restores: deleted vaults, summaries, exports, checks before a protection, and lists that
//! are empty where there are machines alone.

use serde_json::{Value, json};

use super::lab::{Lab, OTHER, SUB, VAULT, code, default_policy, header, item, vm};

const PLACE: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.RecoveryServices/locations/westeurope";

/// A vault that was deleted with a soft-deleted item; its name among deleted vaults.
fn deleted(lab: &mut Lab) -> String {
    lab.patch_vault(json!({"securitySettings": {"softDeleteSettings": {"softDeleteState": "AlwaysOn"}}}));
    lab.protect("win");
    lab.back_up("win");
    lab.settle("DELETE", &item("win"), Value::Null);
    assert_eq!(lab.send("DELETE", VAULT, Value::Null).status, 202);
    lab.wait(60);
    lab.rows(&format!("{PLACE}/deletedVaults"))[0]["name"].as_str().unwrap().to_owned()
}

fn undelete(lab: &mut Lab, name: &str, group: &str) -> crate::wire::Reply {
    let body = json!({"properties": {"recoveryResourceGroupId": format!("{SUB}/resourceGroups/{group}")}});
    lab.send("POST", &format!("{PLACE}/deletedVaults/{name}/undelete"), body)
}

#[test]
fn a_deleted_vault_comes_back_with_what_its_items_have() {
    let mut lab = Lab::new();
    let name = deleted(&mut lab);
    let reply = undelete(&mut lab, &name, "RG-Backup");
    assert_eq!(reply.status, 202, "{:?}", reply.body);
    let (status, result) = (header(&reply, "azure-asyncoperation").to_owned(), header(&reply, "location").to_owned());
    assert!(status.contains(&format!("/deletedVaults/{name}/operations/")), "{status}");
    assert_eq!((lab.read(&status)["status"].clone(), lab.get(&result).status, lab.get(VAULT).status), (json!("InProgress"), 202, 404));
    lab.wait(60);
    let ended = lab.read(&status);
    assert_eq!((&ended["status"], lab.get(&result).status), (&json!("Succeeded"), 200));
    assert!(ended["id"].as_str().unwrap().ends_with(ended["name"].as_str().unwrap()), "a whole id: {ended}");
    assert_eq!(lab.read(VAULT)["properties"]["provisioningState"], "Succeeded");
    assert!(lab.rows(&format!("{PLACE}/deletedVaults")).is_empty());
    assert_eq!(lab.get(&format!("{PLACE}/deletedVaults/{name}")).status, 404);
    assert_eq!(lab.points("win").len(), 1, "its item is there, soft-deleted as it was");
    assert_eq!(code(&undelete(&mut lab, &name, "RG-Backup")).0, 404, "not twice");
    lab.wait_days(15);
    assert_eq!(lab.get(&item("win")).status, 404, "and is purged when its time comes");
}

#[test]
fn a_deleted_vault_comes_back_in_another_group_and_in_no_ones_place() {
    let mut lab = Lab::new();
    let name = deleted(&mut lab);
    assert_eq!(code(&undelete(&mut lab, &name, "nowhere")), (404, "ResourceGroupNotFound".to_owned()));
    let foreign = json!({"properties": {"recoveryResourceGroupId": "/subscriptions/other/resourceGroups/RG-Backup"}});
    assert_eq!(lab.send("POST", &format!("{PLACE}/deletedVaults/{name}/undelete"), foreign).status, 400);
    assert_eq!(lab.send("POST", &format!("{PLACE}/deletedVaults/{name}/undelete"), Value::Null).status, 400);
    lab.make_vault(VAULT);
    assert_eq!(code(&undelete(&mut lab, &name, "RG-Backup")).0, 409, "a new vault has its place");
    assert_eq!(undelete(&mut lab, &name, "RG-Other").status, 202);
    lab.wait(60);
    let there = VAULT.replace("RG-Backup", "RG-Other");
    assert_eq!(lab.read(&there)["id"], json!(there));
    assert_eq!(lab.get(&super::lab::item_under(&there, "win")).status, 200);
    lab.wait_days(15);
    assert_eq!(lab.get(&super::lab::item_under(&there, "win")).status, 404);
}

#[test]
fn two_undeletes_at_once_make_one_vault() {
    let mut lab = Lab::new();
    let name = deleted(&mut lab);
    let (one, two) = (undelete(&mut lab, &name, "RG-Backup"), undelete(&mut lab, &name, "RG-Backup"));
    lab.wait(120);
    let ended = [one, two].map(|reply| lab.read(header(&reply, "azure-asyncoperation"))["status"].clone());
    assert!(ended.contains(&json!("Succeeded")) && ended.contains(&json!("Failed")), "{ended:?}");
}

#[test]
fn summaries_count_machines_by_workload() {
    let mut lab = Lab::new();
    let url = |kind: &str| format!("{VAULT}/backupUsageSummaries?$filter=type eq '{kind}'");
    let counts = |lab: &mut Lab, kind: &str| {
        let rows = lab.rows(&url(kind));
        rows.iter()
            .map(|row| (row["name"]["value"].as_str().unwrap().to_owned(), row["currentValue"].as_i64().unwrap()))
            .collect::<Vec<_>>()
    };
    lab.protect("win");
    lab.protect("lin");
    lab.settle("DELETE", &item("lin"), Value::Null);
    let items = counts(&mut lab, "BackupProtectedItemCountSummary");
    assert_eq!((items.len(), items[0].clone(), items[1].1), (5, ("AzureIaasVM".to_owned(), 1), 0));
    let containers = counts(&mut lab, "BackupProtectionContainerCountSummary");
    assert!(containers.len() == 3 && containers.iter().all(|(_, count)| *count == 0), "{containers:?}");
    assert_eq!(lab.get(&format!("{VAULT}/backupUsageSummaries")).status, 400);
    assert_eq!(lab.get(&url("Everything")).status, 400);
    assert_eq!(lab.get(&format!("{OTHER}/backupUsageSummaries")).status, 404);
}

#[test]
fn jobs_are_exported_to_where_a_link_leads() {
    let mut lab = Lab::new();
    lab.protect("win");
    let export = format!("{VAULT}/backupJobsExport");
    let reply = lab.send("POST", &format!("{export}?$filter=operation eq 'Backup'"), Value::Null);
    assert_eq!(reply.status, 202, "{:?}", reply.body);
    let (status, result) = (header(&reply, "azure-asyncoperation").to_owned(), header(&reply, "location").to_owned());
    assert!(result.contains("/backupJobs/operationResults/"), "{result}");
    let running = lab.get(&result);
    assert_eq!((running.status, header(&running, "retry-after")), (202, "60"));
    assert_eq!(running.body.unwrap()["operation"], json!({"objectType": "ExportJobsOperationResultInfo"}));
    lab.wait(60);
    let done = lab.read(&result)["operation"].clone();
    assert!(done["blobUrl"].as_str().unwrap().starts_with("https://") && done["blobSasKey"].is_string(), "{done}");
    assert_eq!(lab.read(&status)["status"], "Succeeded");
    assert_eq!(lab.send("POST", &format!("{export}?$filter=startTime eq 'once'"), Value::Null).status, 400);
    assert_eq!(lab.get(&format!("{VAULT}/backupJobs/operationResults/00000000-0000-0000-0000-00000000abcd")).status, 404);
}

#[test]
fn a_protection_is_checked_before_it_is_asked_for() {
    let mut lab = Lab::new();
    let check = |lab: &mut Lab, name: &str, region: &str| {
        let body = json!({"resourceType": "VM", "resourceId": vm(name), "vaultId": VAULT, "properties": ""});
        let url = format!("{PLACE}/backupPreValidateProtection").replace("westeurope", region);
        let reply = lab.send("POST", &url, body);
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        reply.body.unwrap()
    };
    let fine = check(&mut lab, "win", "westeurope");
    assert_eq!((&fine["status"], fine.get("errorCode")), (&json!("Succeeded"), None));
    assert_eq!(fine["containerName"], "iaasvmcontainer;iaasvmcontainerv2;rg-shop;win");
    assert_eq!(fine["protectedItemName"], "vm;iaasvmcontainerv2;rg-shop;win");
    assert_eq!(check(&mut lab, "gone", "westeurope")["errorCode"], "UserErrorVmNotFoundV2");
    assert_eq!(check(&mut lab, "win", "northeurope")["errorCode"], "UserErrorVmVaultLocationMismatch");
    lab.make_vault(OTHER);
    lab.settle(
        "PUT",
        &super::lab::item_under(OTHER, "win"),
        json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win"),
            "policyId": default_policy(OTHER)}}),
    );
    let held = check(&mut lab, "win", "westeurope");
    assert_eq!((&held["status"], &held["errorCode"]), (&json!("Failed"), &json!("VirtualMachineAlreadyProtected")));
    lab.protect("lin");
    lab.settle("DELETE", &item("lin"), Value::Null);
    assert_eq!(check(&mut lab, "lin", "westeurope")["errorCode"], "BMSUserErrorItemSoftDeleted");
    let feature = |kind: &str| json!({"featureType": kind, "vmSize": "Standard_D2s_v5", "vmSku": "Premium"});
    let features = format!("{PLACE}/backupValidateFeatures");
    let told = lab.send("POST", &features, feature("AzureVMResourceBackup"));
    assert_eq!((told.status, told.body), (200, Some(json!({"supportStatus": "Supported"}))));
    assert_eq!(code(&lab.send("POST", &features, feature("AzureBackupGoals"))).0, 501);
    assert_eq!(code(&lab.send("POST", &features, json!({}))).0, 400);
}

#[test]
fn what_only_other_workloads_have_is_listed_as_nothing() {
    let mut lab = Lab::new();
    lab.protect("win");
    for list in ["backupFabrics/Azure/protectableContainers", "backupProtectionIntents", "backupEngines"] {
        assert_eq!(lab.read(&format!("{VAULT}/{list}"))["value"], json!([]), "{list}");
        assert_eq!(lab.get(&format!("{OTHER}/{list}")).status, 404, "no vault: {list}");
        assert_eq!(lab.get(&format!("{VAULT}/{list}?$filter=name is x")).status, 400, "{list}");
    }
}

#[test]
fn a_policy_has_no_operation_to_poll() {
    let mut lab = Lab::new();
    let job = lab.protect("win");
    for word in ["operations", "operationResults"] {
        let reply = lab.get(&format!("{}/{word}/{job}", default_policy(VAULT)));
        assert_eq!(code(&reply), (404, "ResourceNotFound".to_owned()));
        assert_eq!(code(&lab.get(&format!("{VAULT}/backupPolicies/none/{word}/{job}"))).1, "BMSUserErrorPolicyNotFound");
        assert_eq!(lab.get(&format!("{}/{word}/{job}", default_policy(OTHER))).status, 404);
    }
}
