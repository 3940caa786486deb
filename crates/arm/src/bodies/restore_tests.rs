//! What is asked for, against what was recorded.

use serde_json::json;

use super::*;
use crate::{
    Act, classify,
    versions::{RECOVERY_SERVICES, RECOVERY_SERVICES_CROSS_REGION, RECOVERY_SERVICES_SCRIPTS},
    wire::{Method, Request},
};

const SUB: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

fn id(text: &str) -> ResourceId {
    format!("{SUB}{text}").parse().unwrap()
}

fn group(name: &str) -> ResourceId {
    id(&format!("/resourceGroups/{name}"))
}

fn vm() -> ResourceId {
    id("/resourceGroups/a/providers/Microsoft.Compute/virtualMachines/m")
}

fn vault() -> ResourceId {
    id("/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v")
}

fn point() -> ResourceId {
    crate::names::item_id(&vault(), &vm()).unwrap().child("recoveryPoints", "520981742781621").unwrap()
}

fn account() -> ResourceId {
    id("/resourceGroups/a/providers/Microsoft.Storage/storageAccounts/s")
}

fn location() -> ResourceId {
    crate::names::location_id("11111111-1111-1111-1111-111111111111", "northeurope").unwrap()
}

fn disks() -> RestoreBody {
    RestoreBody {
        recovery_point_id: Some(point().name().into()),
        source_resource_id: Some(vm()),
        target_resource_group_id: Some(group("t")),
        staging: Some(Staging::Account { account: account() }),
        region: Some("westeurope".into()),
        ..RestoreBody::new(RecoveryType::RestoreDisks)
    }
}

fn recorded_disks() -> Value {
    json!({
        "objectType": "IaasVMRestoreRequest", "recoveryPointId": "520981742781621", "recoveryType": "RestoreDisks",
        "sourceResourceId": vm(), "targetResourceGroupId": group("t"), "storageAccountId": account(),
        "region": "westeurope", "createNewCloudService": false, "originalStorageAccountOption": false
    })
}

fn changed(mut value: Value, fields: Value) -> Value {
    for (name, field) in fields.as_object().unwrap() {
        match field {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            field => value[name] = field.clone(),
        }
    }
    value
}

#[test]
fn restored_disks_are_asked_for_as_recorded() {
    let wanted = recorded_disks();
    assert_eq!(restore_body(&disks()), json!({"properties": wanted}));
    let luns = |luns: &[i64]| RestoreBody { restore_disk_lun_list: Some(luns.to_vec()), ..disks() };
    assert_eq!(restore_body(&luns(&[]))["properties"], changed(wanted.clone(), json!({"restoreDiskLunList": []})));
    assert_eq!(restore_body(&luns(&[0]))["properties"]["restoreDiskLunList"], json!([0]));
    let anywhere = RestoreBody { zones: Some(vec!["NoZone".into()]), ..disks() };
    assert_eq!(restore_body(&anywhere)["properties"], changed(wanted, json!({"zones": ["NoZone"]})));
}

#[test]
fn a_new_machine_and_replaced_disks_are_asked_for_as_recorded() {
    let network = id("/resourceGroups/t/providers/Microsoft.Network/virtualNetworks/n");
    let subnet = network.child("subnets", "default").unwrap();
    let target = id("/resourceGroups/t/providers/Microsoft.Compute/virtualMachines/new");
    let machine = RestoreBody {
        recovery_type: RecoveryType::AlternateLocation,
        target_virtual_machine_id: Some(target.clone()),
        virtual_network_id: Some(network.clone()),
        subnet_id: Some(subnet.clone()),
        target_disk_network_access_settings: Some(DiskNetworkAccess::SameAsOnSourceDisks),
        ..disks()
    };
    let wanted = json!({
        "recoveryType": "AlternateLocation", "targetVirtualMachineId": target, "virtualNetworkId": network, "subnetId": subnet,
        "targetDiskNetworkAccessSettings": {"targetDiskNetworkAccessOption": "SameAsOnSourceDisks"}
    });
    assert_eq!(restore_body(&machine)["properties"], changed(recorded_disks(), wanted));
    let replaced = RestoreBody { recovery_type: RecoveryType::OriginalLocation, target_resource_group_id: None, ..disks() };
    let wanted = json!({"recoveryType": "OriginalLocation", "targetResourceGroupId": null});
    assert_eq!(restore_body(&replaced)["properties"], changed(recorded_disks(), wanted));
}

#[test]
fn an_identity_takes_the_place_of_the_account() {
    let by = |identity| RestoreBody {
        staging: Some(Staging::ByIdentity { identity, details: IdentityBasedRestore { target_storage_account_id: account() } }),
        ..disks()
    };
    let details = json!({"targetStorageAccountId": account()});
    let wanted = |info: Value| {
        changed(recorded_disks(), json!({"storageAccountId": null, "identityInfo": info, "identityBasedRestoreDetails": details}))
    };
    let own = restore_body(&by(RestoreIdentity::system_assigned()));
    assert_eq!(own["properties"], wanted(json!({"isSystemAssignedIdentity": true})));
    let other = id("/resourceGroups/a/providers/Microsoft.ManagedIdentity/userAssignedIdentities/u");
    let by_other = restore_body(&by(RestoreIdentity::user_assigned(other.clone())));
    assert_eq!(by_other["properties"], wanted(json!({"managedIdentityResourceId": other})));
}

#[test]
fn a_point_in_the_archive_is_asked_for_under_another_type() {
    let rehydration = Rehydration::new(RehydrationPriority::High, 15).unwrap();
    let archived = RestoreBody { from: RestoreFrom::Archive { rehydration }, ..disks() };
    let wanted = json!({
        "objectType": "IaasVMRestoreWithRehydrationRequest",
        "recoveryPointRehydrationInfo": {"rehydrationPriority": "High", "rehydrationRetentionDuration": "P15D"}
    });
    assert_eq!(restore_body(&archived)["properties"], changed(recorded_disks(), wanted));
    for days in [9, 31] {
        assert_eq!(Rehydration::new(RehydrationPriority::Standard, days), None, "{days}");
    }
}

#[test]
fn the_names_that_are_no_camel_case_are_spelt_as_the_service_does() {
    let set = id("/resourceGroups/a/providers/Microsoft.Compute/diskEncryptionSets/d");
    let access = id("/resourceGroups/a/providers/Microsoft.Compute/diskAccesses/x");
    let one = DiskEncryption { lun: Some(0), disk_encryption_set_id: Some(set.clone()) };
    let data = DataDiskEncryption { per_disk_encryption_set_ids: Some(vec![one]), ..DataDiskEncryption::default() };
    let restore = RestoreBody {
        secured_vm_details: Some(SecuredVmDetails {
            os_disk_encryption_set_id: Some(set.clone()),
            data_disk_encryption_settings: Some(data),
        }),
        disk_encryption_set_id: Some(set.clone()),
        target_disk_network_access_settings: Some(DiskNetworkAccess::EnablePrivateAccessForAllDisks { disk_access: access.clone() }),
        ..disks()
    };
    let wanted = json!({
        "securedVMDetails": {
            "securedVMOsDiskEncryptionSetId": set,
            "dataDiskEncryptionSettings": {"perDiskEncryptionSetIds": [{"lun": 0, "diskEncryptionSetId": set}]}
        },
        "diskEncryptionSetId": set,
        "targetDiskNetworkAccessSettings": {
            "targetDiskNetworkAccessOption": "EnablePrivateAccessForAllDisks", "targetDiskAccessId": access
        }
    });
    assert_eq!(restore_body(&restore)["properties"], changed(recorded_disks(), wanted));
}

#[test]
fn a_validation_carries_the_restore_and_the_points_id() {
    let body = validate_body(&point(), &disks());
    let wanted = json!({"objectType": "ValidateIaasVMRestoreOperationRequest", "restoreRequest": recorded_disks()});
    assert_eq!(body, json!({"id": point(), "properties": wanted}));
}

#[test]
fn a_mount_is_asked_for_as_recorded() {
    let wanted = json!({
        "objectType": "IaasVMILRRegistrationRequest", "recoveryPointId": "520981742781621", "virtualMachineId": vm(),
        "renewExistingRegistration": false
    });
    assert_eq!(provision_body(&point(), &vm(), None, false), json!({"properties": wanted}));
    let renewed = provision_body(&point(), &vm(), Some("breakwater"), true);
    let wanted = changed(wanted, json!({"renewExistingRegistration": true, "initiatorName": "breakwater"}));
    assert_eq!(renewed["properties"], wanted);
}

fn aad() -> Value {
    json!({"properties": {
        "tenantId": "33e01921-4d64-4f8c-a055-5bdaffd5e33d", "audience": "https://RecoveryServices/IaasCoord/aadmgmt/ecy",
        "servicePrincipalObjectId": "933276fc-1bb7-4ecb-94e6-af78325f726a"
    }})
}

fn token() -> Value {
    json!({"properties": {"objectType": "CrrAccessToken", "accessTokenString": "CANARY-TOKEN", "bMSActiveRegion": "x", "new": [1]}})
}

#[test]
fn a_restore_in_the_other_region_carries_the_whole_token() {
    let properties = AadProperties::parse(&aad()).unwrap();
    assert_eq!(access_token_body(&properties), aad());
    assert_eq!(AadProperties::parse(&json!({"properties": {"tenantId": "x", "audience": "y"}})), None);
    let there = RestoreBody { region: Some("northeurope".into()), ..disks() };
    let wanted = json!({
        "crossRegionRestoreAccessDetails": token()["properties"],
        "restoreRequest": changed(recorded_disks(), json!({"region": "northeurope"}))
    });
    assert_eq!(cross_region_body(token()["properties"].clone(), &there), wanted);
    assert_eq!(crr_job_body(&vault(), "j"), json!({"resourceId": vault(), "jobName": "j"}));
}

#[test]
fn each_request_is_known_to_the_table_and_sent_under_its_version() {
    let (location, point, vault, restore) = (location(), point(), vault(), disks());
    let aad = AadProperties::parse(&aad()).unwrap();
    let replaced = RestoreBody::new(RecoveryType::OriginalLocation);
    let crr = RECOVERY_SERVICES_CROSS_REGION;
    let cases: Vec<(Request, Act, &str)> = vec![
        (restore_request(&point, &restore), Act::Restore, RECOVERY_SERVICES),
        (restore_request(&point, &replaced), Act::ReplaceDisks, RECOVERY_SERVICES),
        (validate_request(&vault, &point, &restore), Act::Read, RECOVERY_SERVICES),
        (provision_request(&point, &vm(), None, false), Act::ReadData, RECOVERY_SERVICES),
        (scripts_request(&point, "o"), Act::ReadData, RECOVERY_SERVICES_SCRIPTS),
        (revoke_request(&point), Act::ReadData, RECOVERY_SERVICES),
        (aad_properties_request(&location), Act::Read, crr),
        (access_token_request(&point, &aad), Act::Restore, crr),
        (cross_region_request(&location, token()["properties"].clone(), &restore), Act::Restore, crr),
        (crr_job_request(&location, &vault, "j"), Act::Read, crr),
        (crr_jobs_request(&location, &vault), Act::Read, crr),
    ];
    for (request, act, version) in cases {
        let class = classify(request.method, &request.path, request.body.as_ref());
        assert_eq!(class.map(|c| c.act), Some(act), "{} {}", request.method, request.path);
        assert_eq!(request.query, [("api-version".to_owned(), version.to_owned())], "{}", request.path);
        assert_eq!(request.body.is_none(), request.method == Method::Get || request.path.ends_with("revokeInstantItemRecovery"));
        assert!(crate::ids_in(&request.path, request.body.as_ref()).is_ok(), "{}", request.path);
    }
}
