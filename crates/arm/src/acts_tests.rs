//! The table of acts, row by row, and what it refuses.

use serde_json::json;

use super::*;
use crate::wire::Method::{Get, Patch, Put};

const SUB: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";
const V: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v";
const VM: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/a/providers/Microsoft.Compute/virtualMachines/m";

const WEU: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/providers/Microsoft.RecoveryServices/locations/westeurope";

fn point() -> String {
    format!("{}/recoveryPoints/182457315790203", item())
}

fn item() -> String {
    format!("{V}/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;a;m/protectedItems/VM;iaasvmcontainerv2;a;m")
}

#[test]
fn each_request_is_its_act() {
    let protect = json!({"properties": {"policyId": "x", "sourceResourceId": VM}});
    let merge = json!({"operation": "Merge", "properties": {"tags": {}}});
    let mark = json!({"operation": "Merge", "properties": {"tags": {"breakwater-restore": "k"}}});
    let more = json!({"operation": "Merge", "properties": {"tags": {"breakwater-restore": "k", "a": "b"}}});
    let cases = [
        (Get, SUB.to_owned(), None, "Read Read"),
        (Get, format!("{SUB}/resources"), None, "Read Read"),
        (Get, format!("{SUB}/resourceGroups"), None, "Read Read"),
        (Get, format!("{SUB}/resourceGroups/a/resources"), None, "Read Read"),
        (Get, format!("{SUB}/providers/Microsoft.Compute/virtualMachines"), None, "Read Read"),
        (Get, format!("{VM}/instanceView"), None, "Read Read"),
        (Get, format!("{VM}/providers/Microsoft.Authorization/locks"), None, "Read Read"),
        (Get, format!("{V}/backupJobs"), None, "Read Read"),
        (Get, format!("{}/recoveryPoints", item()), None, "Read Read"),
        (Get, format!("{V}/operationStatus/MjA0Nzs="), None, "Read Read"),
        (Post, format!("{SUB}/providers/Microsoft.RecoveryServices/locations/weu/backupStatus"), None, "Read Read"),
        (Get, format!("{SUB}/providers/Microsoft.RecoveryServices/locations/weu/deletedVaults"), None, "Read Read"),
        (Get, format!("{V}/replicationFabrics"), None, "Read Read"),
        (Post, format!("{}/recoveryPointsRecommendedForMove", item()), None, "Read Read"),
        (Post, format!("{V}/backupFabrics/Azure/refreshContainers"), None, "Protect Write"),
        (Put, V.to_owned(), None, "Protect Write"),
        (Patch, format!("{V}/backupconfig/vaultconfig"), None, "Protect Write"),
        (Put, item(), Some(&protect), "Protect Write"),
        (Post, format!("{}/backup", item()), None, "Backup Write"),
        (Patch, format!("{V}/providers/Microsoft.Resources/tags/default"), Some(&merge), "Protect Write"),
        (Patch, format!("{VM}/providers/Microsoft.Resources/tags/default"), Some(&mark), "Restore Write"),
        (Patch, format!("{VM}/providers/Microsoft.Resources/tags/default"), Some(&more), "Protect Write"),
        (Method::Delete, item(), None, "Delete Write"),
        (Method::Delete, VM.to_owned(), None, "Delete Write"),
    ];
    for (method, path, body, wanted) in cases {
        let got = classify(method, &path, body).map(|c| format!("{:?} {:?}", c.act, c.effect));
        assert_eq!(got.as_deref(), Some(wanted), "{method} {path}");
    }
}

#[test]
fn each_request_of_a_restore_is_its_act() {
    let rg = format!("{SUB}/resourceGroups/a/providers");
    let cases = [
        (Post, format!("{}/provisionInstantItemRecovery", point()), "ReadData Write"),
        (Post, format!("{}/revokeInstantItemRecovery", point()), "ReadData Write"),
        (Post, format!("{}/listInstantItemRecoveryOperationResult", point()), "ReadData Read"),
        (Post, format!("{}/accessToken", point()), "Restore Read"),
        (Post, format!("{V}/backupTriggerValidateOperation"), "Read Read"),
        (Get, format!("{V}/backupValidateOperationsStatuses/22222222-2222-2222-2222-222222222222"), "Read Read"),
        (Get, format!("{V}/backupValidateOperationResults/22222222-2222-2222-2222-222222222222"), "Read Read"),
        (Get, format!("{V}/backupJobs/j/operationsStatus/o"), "Read Read"),
        (Get, format!("{V}/backupJobs/j/operationResults/o"), "Read Read"),
        (Post, format!("{V}/backupJobs/j/cancel"), "Backup Write"),
        (Get, format!("{WEU}/backupAadProperties"), "Read Read"),
        (Post, format!("{WEU}/backupCrrJob"), "Read Read"),
        (Post, format!("{WEU}/backupCrrJobs"), "Read Read"),
        (Get, format!("{WEU}/backupCrrOperationsStatus/ODk5NDc5ODY2MTgyNDU2ODI5MjszZDgw="), "Read Read"),
        (Get, format!("{WEU}/backupCrrOperationResults/ODk5NDc5ODY2MTgyNDU2ODI5MjszZDgw="), "Read Read"),
        (Get, format!("{rg}/Microsoft.Storage/storageAccounts/s"), "Read Read"),
        (Get, format!("{rg}/Microsoft.Network/virtualNetworks/v"), "Read Read"),
        (Get, format!("{rg}/Microsoft.Network/virtualNetworks/v/subnets/s"), "Read Read"),
        (Get, format!("{rg}/Microsoft.Network/networkInterfaces/n"), "Read Read"),
        (Get, format!("{rg}/Microsoft.Compute/diskAccesses/d"), "Read Read"),
        (Get, format!("{rg}/Microsoft.Compute/diskEncryptionSets/d"), "Read Read"),
        (Get, format!("{rg}/Microsoft.ManagedIdentity/userAssignedIdentities/u"), "Read Read"),
        (Get, format!("{rg}/Microsoft.Compute/disks"), "Read Read"),
        (Get, format!("{SUB}/providers/Microsoft.Compute/disks"), "Read Read"),
        (Get, format!("{SUB}/providers/Microsoft.Compute/locations/westeurope/usages"), "Read Read"),
        (Post, format!("{VM}/deallocate"), "ReplaceDisks Write"),
        (Post, format!("{VM}/start"), "ReplaceDisks Write"),
    ];
    for (method, path, wanted) in cases {
        let got = classify(method, &path, None).map(|c| format!("{:?} {:?}", c.act, c.effect));
        assert_eq!(got.as_deref(), Some(wanted), "{method} {path}");
    }
    assert!(classify(Post, &format!("{}/revokeinstantitemrecovery", point()), None).unwrap().gives_back());
    assert!(!classify(Post, &format!("{}/provisionInstantItemRecovery", point()), None).unwrap().gives_back());
}

#[test]
fn what_a_restore_is_is_read_from_its_body() {
    let plain = "IaasVMRestoreRequest";
    let cases = [
        (json!({"objectType": plain, "recoveryType": "AlternateLocation"}), Some(Act::Restore), Some(Act::Restore)),
        (json!({"objectType": plain, "recoveryType": "restoreDISKS"}), Some(Act::Restore), Some(Act::Restore)),
        (
            json!({"objectType": "iaasvmrestorewithrehydrationrequest", "recoveryType": "RestoreDisks"}),
            Some(Act::Restore),
            Some(Act::Restore),
        ),
        (json!({"objectType": plain, "recoveryType": "OriginalLocation"}), Some(Act::ReplaceDisks), None),
        (json!({"objectType": plain, "recoveryType": "originallocation"}), Some(Act::ReplaceDisks), None),
        (json!({"objectType": plain, "RecoveryType": "OriginalLocation"}), Some(Act::ReplaceDisks), None),
        (json!({"objectType": plain, "recoveryType": "RestoreDisks", "RecoveryType": "OriginalLocation"}), None, None),
        (json!({"objectType": plain, "recoveryType": "Offline"}), None, None),
        (json!({"objectType": plain, "recoveryType": ["RestoreDisks"]}), None, None),
        (json!({"objectType": plain}), None, None),
        (json!({"recoveryType": "RestoreDisks"}), None, None),
        (json!({"objectType": "AzureFileShareRestoreRequest", "recoveryType": "RestoreDisks"}), None, None),
        (Value::Null, None, None),
    ];
    let act = |path: String, body: Value| classify(Post, &path, Some(&body)).map(|c| c.act);
    for (request, here, there) in cases {
        assert_eq!(act(format!("{}/restore", point()), json!({"properties": request})), here, "{request}");
        assert_eq!(act(format!("{WEU}/backupCrossRegionRestore"), json!({"restoreRequest": request})), there, "{request}");
        assert_eq!(act(format!("{}/RESTORE", point()), json!({"properties": request})), here, "in any case: {request}");
        assert_eq!(act(format!("{}/restore", point()), request.clone()), None, "without its wrapper: {request}");
    }
    let two = json!({"properties": {"objectType": plain, "recoveryType": "RestoreDisks"}, "Properties": {}});
    assert_eq!(act(format!("{}/restore", point()), two), None);
    let there = classify(Post, &format!("{WEU}/backupCrrJob"), None).unwrap();
    assert_eq!((there.target, there.resource_type.as_str()), (WEU.parse().unwrap(), crate::names::LOCATION));
}

#[test]
fn stopping_protection_is_a_delete_in_whatever_words() {
    for body in [
        json!({"properties": {"policyId": "", "protectionState": "ProtectionStopped"}}),
        json!({"properties": {"policyId": "x", "protectionState": "BackupsSuspended"}}),
        json!({"properties": {"policyId": "x", "protectionState": "SomethingNew"}}),
        json!({"properties": {}}),
    ] {
        assert_eq!(classify(Put, &item(), Some(&body)).unwrap().act, Act::Delete, "{body}");
    }
    assert_eq!(classify(Put, &item(), None).unwrap().act, Act::Delete);
}

#[test]
fn what_the_table_does_not_hold_is_refused() {
    let replace = json!({"operation": "Replace", "properties": {"tags": {}}});
    for (method, path, body) in [
        (Post, format!("{VM}/powerOff"), None),
        (Put, VM.to_owned(), None),
        (Put, format!("{V}/providers/Microsoft.Resources/tags/default"), None),
        (Patch, format!("{V}/providers/Microsoft.Resources/tags/default"), Some(&replace)),
        (Post, format!("{}/restore", point()), None),
        (Post, format!("{}/move", point()), None),
        (Post, format!("{}/restore", item()), None),
        (Post, format!("{WEU}/backupCrossRegionRestore"), None),
        (Get, format!("{V}/secrets"), None),
        (Get, "/subscriptions".into(), None),
        (Get, format!("{V}/backupJobs?x"), None),
        (Get, format!("{SUB}/resourceGroups/a%2Fb"), None),
        (Method::Delete, format!("{V}/backupJobs"), None),
        (Method::Delete, format!("{SUB}/resourceGroups/a/providers/Microsoft.Web/sites/s"), None),
    ] {
        assert_eq!(classify(method, &path, body), None, "{method} {path}");
    }
}

#[test]
fn what_is_read_is_not_deletable_unless_it_is_said_to_be() {
    let mut deletable: Vec<&str> = Vec::new();
    for (_, resource_type, ..) in TABLE {
        let (namespace, types) = resource_type.split_once('/').unwrap();
        let path = match *resource_type {
            "Microsoft.Resources/subscriptions" => SUB.to_owned(),
            "Microsoft.Resources/resourceGroups" => format!("{SUB}/resourceGroups/a"),
            _ => format!("{SUB}/resourceGroups/a/providers/{namespace}/{}/x", types.replace('/', "/x/")),
        };
        let class = classify(Method::Delete, &path, None);
        assert!(class.as_ref().is_none_or(|c| (c.act, c.effect) == (Act::Delete, Effect::Write)), "{path}");
        if class.is_some() {
            deletable.push(resource_type);
        }
    }
    deletable.sort_unstable();
    deletable.dedup();
    let mut wanted = DELETABLE.to_vec();
    wanted.sort_unstable();
    assert_eq!(deletable, wanted, "each deletable type is in the table, and no other is deletable");
    let rg = format!("{SUB}/resourceGroups/a/providers");
    for kept in [
        format!("{V}/backupJobs/j"),
        point(),
        SUB.to_owned(),
        format!("{rg}/Microsoft.Storage/storageAccounts/s"),
        format!("{rg}/Microsoft.Network/virtualNetworks/v"),
        format!("{rg}/Microsoft.Network/virtualNetworks/v/subnets/s"),
        format!("{rg}/Microsoft.Network/networkInterfaces/n"),
        format!("{rg}/Microsoft.Compute/diskAccesses/d"),
        format!("{rg}/Microsoft.Compute/diskEncryptionSets/d"),
        format!("{rg}/Microsoft.ManagedIdentity/userAssignedIdentities/u"),
    ] {
        assert_eq!(classify(Method::Delete, &kept, None), None, "{kept}");
    }
}

#[test]
fn a_collection_is_sent_to_the_resource_that_holds_it() {
    assert_eq!(classify(Get, &format!("{V}/backupJobs"), None).unwrap().target, V.parse().unwrap());
    let list = classify(Get, &format!("{SUB}/providers/Microsoft.RecoveryServices/vaults"), None).unwrap();
    assert_eq!((list.target, list.resource_type.as_str()), (SUB.parse().unwrap(), "Microsoft.RecoveryServices/vaults"));
}

#[test]
fn ids_are_found_wherever_they_hide() {
    let upper = VM.to_uppercase();
    let body = json!({
        "a": [{"b": format!("https://management.azure.com{V}?api-version=1")}],
        format!("{SUB}/resourceGroups/key"): null,
        "text": format!("before '{upper}' and {SUB}/resourceGroups/two, after"),
        "encoded": VM.replace('/', "%2F"),
        "harmless": "/a/subscription",
    });
    let found = ids_in(&item(), Some(&body)).unwrap();
    let wanted: Vec<ResourceId> = [&*item(), VM, V, VM, &format!("{SUB}/resourceGroups/two"), &format!("{SUB}/resourceGroups/key")]
        .map(|s| s.parse().unwrap())
        .into();
    let sorted = |mut ids: Vec<ResourceId>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(found), sorted(wanted));
}

#[test]
fn what_looks_like_an_id_and_is_none_is_an_error() {
    for text in [
        "/subscriptions/not-a-guid/resourceGroups/x".to_owned(),
        format!("{SUB}/resourceGroups/a/../b"),
        format!("https://management.azure.com{SUB}/resourceGroups/a/oops"),
        format!("{SUB}/resourceGroups/a,{SUB}/resourceGroups/b"),
        "subscriptions/11111111-1111-1111-1111-111111111111".to_owned(),
        "/providers/Microsoft.Management/managementGroups/all".to_owned(),
    ] {
        assert!(ids_in(SUB, Some(&json!({"x": [text]}))).is_err(), "{text}");
    }
    assert!(ids_in("/providers/Microsoft.ResourceGraph/resources", None).is_err());
}
