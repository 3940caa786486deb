//! What a restore finds wrong: in its job after the 202, or before it when set so, and in a validation without any.

use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, RG, code, header};

/// (what is asked on top, the title that is found)
fn wrong_ways() -> Vec<(Value, &'static str)> {
    let machine = |field: &str, value: Value| {
        let mut asked = new_machine("vm-a2");
        asked[field] = value;
        asked
    };
    vec![
        (json!({"storageAccountId": account("nowhere")}), "UserErrorBCMRestoreStorageAccountNotFound"),
        (json!({"storageAccountId": account("stagefar")}), "UserErrorStorageAccountRegionMismatch"),
        (json!({"storageAccountId": account("stageblob")}), "UserErrorStorageAccountNotSupported"),
        (json!({"storageAccountId": account("stagezrs")}), "UserErrorStorageAccountZoneRedundant"),
        (json!({"storageAccountId": account("stagewall")}), "UserErrorStorageAccountNetworkRules"),
        (json!({"targetResourceGroupId": format!("{RG}-gone")}), "UserErrorGenericResourceNotFound"),
        (machine("subnetId", json!(format!("{RG}/providers/Microsoft.Network/virtualNetworks/v/subnets/s"))), "UserErrorSubnetNotFound"),
        (machine("subnetId", json!(subnet(&RG.replace("rg-one", "rg-north"), "northeurope"))), "UserErrorVnetRegionMismatch"),
        (machine("targetVirtualMachineId", json!(vm("vm-w"))), "UserErrorTargetVmAlreadyExists"),
    ]
}

#[test]
fn trouble_is_found_by_the_job_and_nothing_is_made() {
    for (more, title) in wrong_ways() {
        let mut client = world();
        let before = resources(&mut client);
        let ended = restore(&mut client, "vm-a", &more);
        assert_eq!(trouble(&ended), format!("Failed {title}"), "{more}");
        assert_eq!(ended["extendedInfo"]["tasksList"][0]["status"], "Failed");
        assert!(ended["errorDetails"][0]["recommendations"].as_array().is_some_and(|advice| !advice.is_empty()));
        assert_eq!(resources(&mut client), before, "{more}");
    }
}

#[test]
fn trouble_can_be_found_before_the_202_instead() {
    for (more, title) in wrong_ways() {
        let mut client = world_with("{ restore: { checked: AtOnce } }", &json!({}));
        let refused = post(&mut client, "vm-a", &more);
        assert_eq!((refused.status, code(&refused).as_str()), (400, title), "{more}");
    }
}

fn validate(client: &mut Client, name: &str, more: &Value) -> Value {
    let id = point(client, name);
    let request = asking(name, more)["properties"].clone();
    let body = json!({"id": id, "properties": {"objectType": "ValidateIaasVMRestoreOperationRequest", "restoreRequest": request}});
    let started = client.send("POST", &format!("{}/backupTriggerValidateOperation", vault()), body);
    assert_eq!(started.status, 202, "{}", started.json());
    let (status, result) = (header(&started, "azure-asyncoperation"), header(&started, "location"));
    assert!(status.contains("/backupValidateOperationsStatuses/"), "{status}");
    assert_eq!((client.read(&status)["status"].as_str(), client.get(&result).status), (Some("InProgress"), 202));
    client.wait(60);
    let ended = client.read(&status);
    assert_eq!(ended["properties"]["objectType"], "OperationStatusValidateOperationExtendedInfo");
    assert_eq!(client.read(&result)["validateOperationResponse"], ended["properties"]["validateOperationResponse"]);
    ended["properties"]["validateOperationResponse"]["validationResults"].clone()
}

#[test]
fn a_validation_finds_what_a_restore_would_find_and_restores_nothing() {
    let mut client = world();
    let before = resources(&mut client);
    assert_eq!(validate(&mut client, "vm-a", &json!({})), json!([]));
    assert_eq!(validate(&mut client, "vm-a", &new_machine("vm-a2")), json!([]));
    assert_eq!(validate(&mut client, "vm-a", &replacing()), json!([]));
    for (more, title) in wrong_ways() {
        let found = validate(&mut client, "vm-a", &more);
        assert_eq!(found[0]["code"], title, "{found}");
        assert!(found[0]["message"].is_string() && found[0]["recommendations"].is_array());
    }
    let refused = validate(&mut client, "vm-a", &json!({"zones": ["3"]}));
    assert_eq!(refused[0]["code"], "UserErrorCrossZonalRestoreNotSupported", "what would be refused is found too");
    let two =
        validate(&mut client, "vm-a", &json!({"storageAccountId": account("nowhere"), "targetResourceGroupId": format!("{RG}-gone")}));
    assert_eq!(two.as_array().map(Vec::len), Some(2), "all of it: {two}");
    assert_eq!(resources(&mut client), before);
}

#[test]
fn a_firewall_that_lets_azure_in_is_no_trouble() {
    let mut client = world();
    assert_eq!(restore(&mut client, "vm-a", &json!({"storageAccountId": account("stagedoor")}))["status"], "Completed");
}

#[test]
fn requests_that_do_not_fit_are_refused_before_any_job() {
    let mut client = world();
    for more in [
        json!({"region": "northeurope"}),
        json!({"sourceResourceId": vm("vm-w")}),
        json!({"recoveryPointId": "1"}),
        json!({"restoreDiskLunList": [7]}),
        json!({"recoveryType": "Sideways"}),
        json!({"objectType": "IaasVMRestoreWithRehydrationRequest"}),
        json!({"securedVMDetails": {"securedVMOsDiskEncryptionSetId": "/x"}}),
        json!({"encryptionDetails": {"encryptionEnabled": true}}),
    ] {
        assert_eq!(post(&mut client, "vm-a", &more).status, 400, "{more}");
    }
    let unknown = post(&mut client, "vm-a", &json!({"securedVMDetails": {"dataDiskEncryptionSettings": {}}}));
    assert_eq!((unknown.status, code(&unknown).as_str()), (501, "SimulatorNotImplemented"));
    let body = asking("vm-a", &json!({}));
    let missing = client.send("POST", &format!("{}/recoveryPoints/123/restore", item("vm-a")), body);
    assert_eq!(missing.status, 404);
    let jobs = client.read(&format!("{}/backupJobs?$filter=operation eq 'Restore'", vault()));
    assert_eq!(jobs["value"], json!([]));
}

/// Gives the identity a role somewhere.
fn give(client: &mut Client, role: &str, scope: &str) -> String {
    let id = client.azure.world().access.role(role).unwrap().id.clone();
    let name = format!("0000{}-0000-4000-8000-000000000000", &id[..4]);
    let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
    let definition = format!("/providers/Microsoft.Authorization/roleDefinitions/{id}");
    let body = json!({"properties": {"roleDefinitionId": definition, "principalId": IDENTITY_OBJECT, "principalType": "ServicePrincipal"}});
    let reply = client.send("PUT", &path, body);
    assert!(reply.status < 300, "{}", reply.json());
    path
}

#[test]
fn a_managed_identity_needs_its_roles() {
    let asked = json!({"storageAccountId": null, "identityInfo": {"managedIdentityResourceId": IDENTITY},
        "identityBasedRestoreDetails": {"targetStorageAccountId": account("stage")}});
    let mut client = world();
    let denied = restore(&mut client, "vm-a", &asked);
    assert_eq!(
        (trouble(&denied).as_str(), &denied["errorDetails"][0]["errorCode"]),
        ("Failed UserErrorInsufficientMSIPermissions", &json!(400_390))
    );
    give(&mut client, "Storage Blob Data Contributor", &account("stage"));
    assert_eq!(trouble(&restore(&mut client, "vm-a", &asked)), "Failed UserErrorInsufficientMSIPermissions", "nothing on the target group");
    give(&mut client, "Contributor", TWO);
    assert_eq!(restore(&mut client, "vm-a", &asked)["status"], "Completed");
    let mut staging_alone = world_with("{ restore: { identityReach: Staging } }", &json!({}));
    let path = give(&mut staging_alone, "Storage Blob Data Contributor", &account("stage"));
    assert_eq!(restore(&mut staging_alone, "vm-a", &asked)["status"], "Completed", "as documented");
    edit(&mut staging_alone, json!({"method": "DELETE", "id": path}));
    assert_eq!(trouble(&restore(&mut staging_alone, "vm-a", &asked)), "Failed UserErrorInsufficientMSIPermissions", "withdrawn");
}

#[test]
fn an_identity_that_is_not_the_vaults_restores_nothing() {
    let mut client = world();
    let asked = json!({"storageAccountId": null, "identityInfo": {"managedIdentityResourceId": format!("{IDENTITY}x")},
        "identityBasedRestoreDetails": {"targetStorageAccountId": account("stage")}});
    assert_eq!(trouble(&restore(&mut client, "vm-a", &asked)), "Failed UserErrorIdentityNotAssociatedWithVault");
    let own = json!({"storageAccountId": null, "identityInfo": {"isSystemAssignedIdentity": true},
        "identityBasedRestoreDetails": {"targetStorageAccountId": account("stage")}});
    assert_eq!(trouble(&restore(&mut client, "vm-a", &own)), "Failed UserErrorInsufficientMSIPermissions");
}

#[test]
fn a_quota_that_is_used_up_leaves_the_disks() {
    let mut client = world();
    edit(&mut client, json!({"method": "PATCH", "id": crate::wire::SUB, "body": {"coresLeft": {"westeurope": 3}}}));
    let (one, two) = (start(&mut client, "vm-a", &new_machine("vm-1")), start(&mut client, "vm-a", &new_machine("vm-2")));
    client.wait(3_600);
    let ends = [trouble(&job(&mut client, &one)), trouble(&job(&mut client, &two))];
    assert!(ends.contains(&"Completed -".to_owned()), "{ends:?}");
    assert!(ends.contains(&"Failed UserErrorCoreCountSubscriptionQuotaReached".to_owned()), "{ends:?}");
    let machines = names(&mut client, TWO, "Microsoft.Compute/virtualMachines").len();
    assert_eq!((machines, disks(&mut client, TWO).len()), (1, 6), "the disks of the other are there all the same, as documented");
}

#[test]
fn locks_and_policies_of_the_target_group_stop_a_restore() {
    let mut client = world();
    let lock = format!("{TWO}/providers/Microsoft.Authorization/locks/l");
    client.send("PUT", &lock, json!({"properties": {"level": "ReadOnly"}}));
    assert_eq!(trouble(&restore(&mut client, "vm-a", &json!({}))), "Failed UserErrorResourceGroupLocked");
}

#[test]
fn what_vanishes_between_the_202_and_the_work_fails_the_job() {
    let mut client = world();
    let id = start(&mut client, "vm-a", &json!({"targetResourceGroupId": null}));
    client.wait(600);
    edit(&mut client, json!({"method": "DELETE", "id": account("stage")}));
    client.wait(7_200);
    assert_eq!(trouble(&job(&mut client, &id)), "Failed UserErrorBCMRestoreStorageAccountNotFound");
    let mut client = world();
    let (id, gone) = (start(&mut client, "vm-a", &json!({})), point(&mut client, "vm-a"));
    edit(&mut client, json!({"method": "DELETE", "id": gone.replace("%3B", ";")}));
    client.wait(600);
    assert_eq!(trouble(&job(&mut client, &id)), "Failed UserErrorInstantRpNotFound");
    let mut client = world();
    let wall = json!({"properties": {"networkAcls": {"defaultAction": "Deny", "bypass": "None"}}});
    edit(&mut client, json!({"method": "PATCH", "id": account("stage"), "body": wall}));
    assert_eq!(trouble(&restore(&mut client, "vm-a", &json!({}))), "Failed UserErrorStorageAccountNetworkRules");
}

#[test]
fn a_point_whose_end_is_brought_forward_goes() {
    let mut client = world();
    let id = point(&mut client, "vm-a").replace("%3B", ";");
    let soon = json!({"properties": {"recoveryPointProperties": {"expiryTime": "2026-11-24T20:00:00.0000000"}}});
    edit(&mut client, json!({"method": "PATCH", "id": id, "body": soon}));
    client.wait(86_400);
    let left = client.read(&format!("{}/recoveryPoints", item("vm-a")));
    assert!(left["value"].as_array().unwrap().iter().all(|point| point["id"] != id.as_str()), "{left}");
}
