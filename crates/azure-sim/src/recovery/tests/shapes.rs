//! The model's answers have the recorded shapes: the same key paths with the same JSON types.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::lab::{Lab, SUB, VAULT, code, default_policy, header, item, vm};
use crate::wire::Reply;

/// The exchanges of one recording.
pub(super) fn recorded(file: &str) -> Vec<Value> {
    let root = std::env::var_os("BREAKWATER_RECORDED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/azure/recorded"), PathBuf::from);
    let path = root.join("backup").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value: Value = serde_json::from_str(&text).unwrap();
    value["sequence"].as_array().cloned().unwrap_or_else(|| vec![value])
}

pub(super) fn body(file: &str, exchange: usize) -> Value {
    recorded(file)[exchange]["response"]["body"].clone()
}

pub(super) fn last_body(file: &str) -> Value {
    recorded(file).last().unwrap()["response"]["body"].clone()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Every path at which two values differ in keys or types. Elements of our array are held against the recorded
/// element that they resemble most.
fn differences(ours: &Value, theirs: &Value, at: &str) -> Vec<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let missing = theirs.keys().filter(|name| !ours.contains_key(*name)).map(|name| format!("{at}/{name} is missing"));
            let extra = ours.keys().filter(|name| !theirs.contains_key(*name)).map(|name| format!("{at}/{name} is not recorded"));
            let inner = ours.iter().filter_map(|(name, value)| Some(differences(value, theirs.get(name)?, &format!("{at}/{name}"))));
            missing.chain(extra).chain(inner.flatten()).collect()
        }
        (Value::Array(ours), Value::Array(theirs)) if !theirs.is_empty() => ours
            .iter()
            .flat_map(|element| {
                theirs.iter().map(|known| differences(element, known, &format!("{at}[]"))).min_by_key(Vec::len).unwrap_or_default()
            })
            .collect(),
        _ if kind(ours) == kind(theirs) => Vec::new(),
        _ => vec![format!("{at} is {} but recorded as {}", kind(ours), kind(theirs))],
    }
}

#[track_caller]
pub(super) fn same_shape(ours: &Value, theirs: &Value) {
    let found = differences(ours, theirs, "");
    assert!(found.is_empty(), "{found:#?}\nours: {ours:#}");
}

/// Status and long-running headers of an answer are as recorded, links apart.
#[track_caller]
pub(super) fn same_head(reply: &Reply, exchange: &Value) {
    assert_eq!(json!(reply.status), exchange["response"]["status"]);
    for name in ["azure-asyncoperation", "location"] {
        let words = |url: &str| {
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            let kinds: Vec<String> = path
                .split('/')
                .skip(9)
                .map(|word| if word.contains(';') || word.len() > 30 { "*".to_owned() } else { word.to_owned() })
                .collect();
            let keys: Vec<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap_or("")).collect();
            let version = query.split('&').find(|pair| pair.starts_with("api-version")).unwrap_or("").to_owned();
            (kinds.join("/"), keys.join("&"), version)
        };
        let theirs = exchange["response"]["headers"][name].as_str().unwrap_or("");
        assert_eq!(
            words(header(reply, name).trim_start_matches("https://sim.test")),
            words(theirs.trim_start_matches("https://management.azure.com")),
            "{name}"
        );
    }
}

#[test]
fn the_comparison_sees_missing_keys_extra_keys_and_other_types() {
    let theirs = json!({"a": 1, "b": [{"c": "x"}], "d": null});
    assert!(differences(&json!({"a": 2, "b": [], "d": null}), &theirs, "").is_empty());
    assert_eq!(differences(&json!({"a": "1", "b": [{"c": "x", "e": 1}]}), &theirs, "").len(), 3);
}

#[test]
fn a_vault_is_created_read_and_listed_as_recorded() {
    let file = "vault_create__201_then_operationstatus_inprogress_succeeded_get.json";
    let exchanges = recorded(file);
    let mut lab = Lab::bare(Default::default());
    let created = lab.put(VAULT, exchanges[0]["request"]["body"].clone());
    same_head(&created, &exchanges[0]);
    assert_eq!(header(&created, "retry-after"), "60");
    same_shape(created.body.as_ref().unwrap(), &exchanges[0]["response"]["body"]);
    let poll = header(&created, "azure-asyncoperation").to_owned();
    let running = lab.get(&poll);
    same_head(&running, &exchanges[1]);
    assert_eq!(running.body.as_ref().unwrap()["status"], "InProgress");
    same_shape(running.body.as_ref().unwrap(), &exchanges[1]["response"]["body"]);
    lab.wait(60);
    let done = lab.get(&poll);
    same_head(&done, &exchanges[2]);
    assert_eq!(done.body.as_ref().unwrap()["status"], "Succeeded");
    same_shape(&lab.read(VAULT), &exchanges[3]["response"]["body"]);
    let list = lab.read(&format!("{SUB}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults"));
    same_shape(&list, &last_body("vault_list_by_resourcegroup__200.json"));
}

#[test]
fn other_ways_to_create_a_vault_echo_as_recorded() {
    for file in [
        "vault_create_immutability_unlocked_csr_disabled_pna_disabled__201.json",
        "vault_create_2026_softdelete_alwayson__201_then_inprogress.json",
    ] {
        let exchanges = recorded(file);
        let mut lab = Lab::bare(Default::default());
        if file.contains("2026") {
            lab.version = "2026-05-01";
        }
        let created = lab.put(VAULT, exchanges[0]["request"]["body"].clone());
        same_shape(created.body.as_ref().unwrap(), &exchanges[0]["response"]["body"]);
        let (ours, theirs) = (&created.body.as_ref().unwrap()["properties"], &exchanges[0]["response"]["body"]["properties"]);
        for field in ["secureScore", "bcdrSecurityLevel", "securitySettings", "publicNetworkAccess", "restoreSettings"] {
            assert_eq!(ours[field], theirs[field], "{file} {field}");
        }
        if let Some(read) = exchanges.get(2) {
            lab.wait(60);
            same_shape(&lab.read(VAULT), &read["response"]["body"]);
            assert_eq!(lab.read(VAULT)["properties"]["bcdrSecurityLevel"], read["response"]["body"]["properties"]["bcdrSecurityLevel"]);
        }
    }
}

#[test]
fn a_vault_is_patched_as_recorded() {
    for file in [
        "vault_patch_redundancy_lrs__202_then_succeeded.json",
        "vault_patch_publicnetworkaccess__202_then_succeeded.json",
        "vault_patch_monitoring__202_then_succeeded.json",
    ] {
        let exchanges = recorded(file);
        let mut lab = Lab::bare(Default::default());
        let mut create = recorded("vault_create__201_then_operationstatus_inprogress_succeeded_get.json")[0]["request"]["body"].clone();
        let immutability = &exchanges.last().unwrap()["response"]["body"]["properties"]["securitySettings"]["immutabilitySettings"];
        if immutability.is_object() {
            create["properties"]["securitySettings"] = json!({"immutabilitySettings": immutability});
        }
        lab.put(VAULT, create);
        lab.wait(60);
        let reply = lab.send("PATCH", VAULT, exchanges[0]["request"]["body"].clone());
        same_head(&reply, &exchanges[0]);
        assert_eq!(reply.body, None);
        lab.wait(60);
        let read = lab.read(VAULT);
        same_shape(&read, &exchanges.last().unwrap()["response"]["body"]);
        for (name, value) in exchanges[0]["request"]["body"]["properties"].as_object().unwrap() {
            assert_eq!(read["properties"][name], *value, "{file}");
        }
    }
}

#[test]
fn an_identity_is_patched_as_recorded() {
    let mut lab = Lab::new();
    for (file, kind) in
        [("vault_identity_patch_systemassigned__200_sync.json", "SystemAssigned"), ("vault_identity_patch_none__200_sync.json", "None")]
    {
        let exchange = &recorded(file)[0];
        let reply = lab.send("PATCH", VAULT, exchange["request"]["body"].clone());
        assert_eq!(reply.status, 200);
        let body = reply.body.unwrap();
        same_shape(&body["identity"], &exchange["response"]["body"]["identity"]);
        assert_eq!(body["identity"]["type"], kind);
    }
    let users = recorded("vault_identity_patch_userassigned__202_then_get.json");
    let both = json!({"identity": {"type": "systemassigned,userassigned", "userAssignedIdentities": {"/a": {}, "/b": {}}}});
    assert_eq!(lab.send("PATCH", VAULT, both).status, 202);
    lab.wait(60);
    let identity = lab.read(VAULT)["identity"].clone();
    assert_eq!(identity["type"], "SystemAssigned, UserAssigned");
    let theirs = users.last().unwrap()["response"]["body"]["identity"]["userAssignedIdentities"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    same_shape(&identity["userAssignedIdentities"]["/a"], &theirs);
    lab.send("PATCH", VAULT, json!({"identity": {"type": "userassigned", "userAssignedIdentities": {"/a": null}}}));
    lab.wait(60);
    let left = lab.read(VAULT)["identity"]["userAssignedIdentities"].clone();
    assert_eq!(left.as_object().unwrap().keys().collect::<Vec<_>>(), ["/b"]);
}

#[test]
fn a_vault_is_deleted_as_recorded() {
    let exchanges = recorded("vault_delete__202_inprogress_then_operationstatus_404.json");
    let mut lab = Lab::new();
    let reply = lab.send("DELETE", VAULT, Value::Null);
    same_head(&reply, &exchanges[0]);
    let poll = header(&reply, "azure-asyncoperation").to_owned();
    same_head(&lab.get(&poll), &exchanges[1]);
    lab.wait(60);
    assert_eq!(lab.read(&poll)["status"], "Succeeded");
    let gone = lab.get(&poll);
    same_head(&gone, &exchanges[2]);
    same_shape(gone.body.as_ref().unwrap(), &exchanges[2]["response"]["body"]);
    assert_eq!(code(&lab.get(VAULT)), (404, "ResourceNotFound".to_owned()));
}

#[test]
fn policies_are_written_and_read_as_recorded() {
    let mut lab = Lab::new();
    same_shape(&lab.read(&format!("{VAULT}/backupPolicies/?x=1")), &body("policy_list__200.json", 0));
    for file in [
        "policy_put_v1_create__200.json",
        "policy_put_v2_hourly__200.json",
        "policy_put_monthly_tiering_instantrp_rg__200.json",
        "policy_put_v1_without_instantrp_api_2016__200.json",
    ] {
        let exchange = &recorded(file)[0];
        lab.version = if file.contains("2016") { "2016-12-01" } else { "2024-04-01" };
        let url = format!("{VAULT}/backupPolicies/{}", file.split("__").next().unwrap());
        let reply = lab.put(&url, exchange["request"]["body"].clone());
        assert_eq!(reply.status, 200, "{file}: {:?}", reply.body);
        assert_eq!(reply.body.as_ref().unwrap()["properties"], exchange["response"]["body"]["properties"], "{file}");
        same_shape(reply.body.as_ref().unwrap(), &exchange["response"]["body"]);
    }
    lab.version = "2024-04-01";
    same_shape(&lab.read(&default_policy(VAULT)), &body("policy_get_default__200.json", 0));
    let deleted = lab.send("DELETE", &format!("{VAULT}/backupPolicies/policy_put_v1_create"), Value::Null);
    assert_eq!((deleted.status, deleted.body), (200, None));
}

#[test]
fn configs_and_usages_are_as_recorded() {
    let mut lab = Lab::new();
    same_shape(&lab.read(&format!("{VAULT}/backupconfig/vaultconfig")), &body("vaultconfig_get__200.json", 0));
    for file in [
        "vaultconfig_patch_enhancedsecurity_disable__200.json",
        "vaultconfig_patch_enhancedsecurity_enable__200.json",
        "vaultconfig_patch_softdelete_disable__200.json",
    ] {
        let exchange = &recorded(file)[0];
        let reply = lab.send("PATCH", &format!("{VAULT}/backupconfig/vaultconfig"), exchange["request"]["body"].clone());
        assert_eq!(reply.body.unwrap()["properties"], exchange["response"]["body"]["properties"], "{file}");
    }
    let storage = recorded("backupstorageconfig_get_put__200.json");
    let url = format!("{VAULT}/backupstorageconfig/vaultstorageconfig");
    assert_eq!(lab.read(&url)["properties"], storage[0]["response"]["body"]["properties"]);
    let put = lab.put(&url, storage[1]["request"]["body"].clone());
    assert_eq!(put.body.unwrap()["properties"], storage[1]["response"]["body"]["properties"]);
    assert_eq!(lab.send("PATCH", &url, json!({"properties": {"storageModelType": "GeoRedundant"}})).status, 204);
    let encryption = format!("{VAULT}/backupEncryptionConfigs/backupResourceEncryptionConfig");
    assert_eq!(lab.read(&encryption)["properties"], body("backupencryptionconfig_get_platform__200.json", 0)["properties"]);
    assert_eq!(lab.read(&format!("{VAULT}/backupResourceGuardProxies")), body("resourceguardproxies_list_empty__200.json", 0));
    let (usages, theirs) = (lab.read(&format!("{VAULT}/usages")), body("vault_usages__200.json", 0));
    same_shape(&usages, &theirs);
    let names = |all: &Value| all["value"].as_array().unwrap().iter().map(|row| row["name"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&usages), names(&theirs), "every counter, in its order");
}

#[test]
fn an_encrypted_vault_shows_its_key_as_recorded() {
    let exchanges = recorded("vault_cmk_patch_userassigned_key__202_then_gets.json");
    let mut lab = Lab::new();
    let users: Vec<String> = exchanges
        .iter()
        .filter_map(|exchange| exchange["response"]["body"]["identity"]["userAssignedIdentities"].as_object())
        .flat_map(|users| users.keys().cloned())
        .collect();
    let users: Value = users.into_iter().map(|id| (id, json!({}))).collect();
    lab.send("PATCH", VAULT, json!({"identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": users}}));
    lab.wait(60);
    let patch = exchanges.iter().find(|exchange| !exchange["request"]["body"]["properties"]["encryption"].is_null()).unwrap();
    assert_eq!(lab.send("PATCH", VAULT, patch["request"]["body"].clone()).status, 202);
    lab.wait(60);
    let read = exchanges.iter().map(|exchange| &exchange["response"]["body"]).find(|body| body["properties"]["encryption"].is_object());
    same_shape(&lab.read(VAULT)["properties"]["encryption"], &read.unwrap()["properties"]["encryption"]);
    let theirs = exchanges
        .iter()
        .map(|exchange| &exchange["response"]["body"])
        .find(|body| body["properties"]["encryptionAtRestType"] == "CustomerManaged")
        .unwrap();
    same_shape(&lab.read(&format!("{VAULT}/backupEncryptionConfigs/backupResourceEncryptionConfig")), theirs);
}

#[test]
fn a_guard_stands_before_a_vault_as_recorded() {
    let guard = super::guards::GUARD;
    let mut lab = Lab::new();
    let view = crate::wire::GuardView { id: guard.to_owned(), description: "d".to_owned(), excluded: Vec::new() };
    lab.world.guards.insert(guard.to_lowercase(), view);
    same_shape(&lab.read(&format!("{VAULT}/backupResourceGuardProxies")), &body("resourceguardproxies_list_empty__200.json", 0));
    let proxy = format!("{VAULT}/backupResourceGuardProxies/VaultProxy");
    let made = lab.put(&proxy, json!({"properties": {"resourceGuardResourceId": guard}}));
    same_head(&made, &recorded("mua_proxy_put__200.json")[0]);
    let (ours, theirs) = (made.body.unwrap(), body("mua_proxy_put__200.json", 0));
    same_shape(&ours, &theirs);
    let tails = |shown: &Value| -> Vec<(Value, String)> {
        let details = shown["properties"]["resourceGuardOperationDetails"].as_array().unwrap().iter();
        let tail = |request: &Value| request.as_str().unwrap().rsplitn(3, '/').take(2).collect::<Vec<_>>().join("/");
        details.map(|detail| (detail["vaultCriticalOperation"].clone(), tail(&detail["defaultResourceRequest"]))).collect()
    };
    assert_eq!(tails(&ours)[..9], tails(&theirs)[..], "the tenth came later");
    let asked = json!([crate::guards::Guarded::DeleteProxy.request_id(guard)]);
    let unlocked = lab.send("POST", &format!("{proxy}/unlockDelete"), json!({"resourceGuardOperationRequests": asked}));
    same_shape(unlocked.body.as_ref().unwrap(), &body("mua_unlockdelete__200.json", 0));
    let deleted = lab.send("DELETE", &proxy, Value::Null);
    same_shape(deleted.body.as_ref().unwrap(), &last_body("mua_proxy_delete__200.json"));
}

#[test]
fn protection_begins_as_recorded() {
    let exchanges = recorded("protecteditem_enable__202_poll_succeeded_job.json");
    let mut lab = Lab::new();
    let status = |name: &str| json!({"resourceType": "VM", "resourceId": vm(name)});
    let backup_status = format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/backupStatus");
    same_shape(lab.send("POST", &backup_status, status("win")).body.as_ref().unwrap(), &body("backupstatus_notprotected__200.json", 0));
    let put = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("win"), "policyId": default_policy(VAULT)}});
    let reply = lab.put(&item("win"), put);
    same_head(&reply, &exchanges[0]);
    assert_eq!((reply.body.as_ref(), header(&reply, "retry-after")), (None, "60"));
    let id = super::super::operation_id(&reply).unwrap();
    let poll = format!("{VAULT}/backupOperations/{id}");
    let (running, done) = (&exchanges[1]["response"]["body"], &exchanges[3]["response"]["body"]);
    same_shape(&lab.read(&poll), running);
    lab.wait(90);
    let end = lab.read(&poll);
    same_shape(&end, done);
    same_shape(
        &lab.read(&format!("{VAULT}/backupJobs/{}", end["properties"]["jobId"].as_str().unwrap())),
        &exchanges[4]["response"]["body"],
    );
    same_shape(&lab.read(&item("win")), &body("protecteditem_get__200.json", 0));
    same_shape(&lab.read(&format!("{VAULT}/backupProtectedItems")), &body("protecteditems_list_irpending__200.json", 0));
    same_shape(lab.send("POST", &backup_status, status("win")).body.as_ref().unwrap(), &body("backupstatus_protected__200.json", 0));
    let containers = format!("{VAULT}/backupProtectionContainers?$filter=backupManagementType eq 'AzureIaasVM' and status eq 'Registered'");
    same_shape(&lab.read(&containers), &body("containers_list_by_friendlyname__200.json", 0));
}

#[test]
fn every_later_change_of_an_item_is_as_recorded() {
    let mut lab = Lab::new();
    lab.put(&format!("{VAULT}/backupPolicies/other"), super::lab::daily("03:00", 30));
    lab.protect("win");
    let list = format!("{VAULT}/backupProtectedItems?$filter=backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'");
    let stop = json!({"policyId": "", "protectionState": "ProtectionStopped"});
    let undelete = json!({"policyId": "", "protectionState": "ProtectionStopped", "isRehydrate": true});
    let disks = json!({"policyId": default_policy(VAULT), "extendedProperties": {"diskExclusionProperties": {"diskLunList": [0, 1], "isInclusionList": true}}});
    let check_job = |lab: &mut Lab, job: &str, file: &str| {
        let theirs = last_body(file);
        let ours = lab.read(&format!("{VAULT}/backupJobs/{job}"));
        same_shape(&ours, &theirs);
        assert_eq!(ours["properties"]["operation"], theirs["properties"]["operation"], "{file}");
    };
    let job = lab.configure("win", json!({"policyId": format!("{VAULT}/backupPolicies/other")}));
    check_job(&mut lab, &job, "protecteditem_change_policy__202_poll_job.json");
    let job = lab.configure("win", disks);
    check_job(&mut lab, &job, "protecteditem_disk_exclude_luns__202_poll_job.json");
    same_shape(&lab.read(&list), &body("protecteditems_list_disk_exclusion__200.json", 0));
    lab.configure("win", json!({"policyId": default_policy(VAULT), "extendedProperties": {"diskExclusionProperties": {"diskLunList": [], "isInclusionList": false}}}));
    lab.protect("lin");
    let job = lab.settle("PUT", &item("lin"), stopping("lin", &stop));
    check_job(&mut lab, &job, "protecteditem_stop_retain__202_poll_job.json");
    let stopped = lab.read(&item("lin"));
    same_shape(&stopped, &body("protecteditems_list_protectionstopped__200.json", 0)["value"][0]);
    let job = lab.settle("PUT", &item("lin"), stopping("lin", &json!({"policyId": default_policy(VAULT)})));
    check_job(&mut lab, &job, "protecteditem_resume_with_policy__202_poll_job.json");
    let delete = recorded("protecteditem_delete_softdelete_on__202_poll_job.json");
    same_head(&lab.send("DELETE", &item("lin"), Value::Null), &delete[0]);
    lab.wait(30);
    same_shape(&lab.read(&item("lin")), &body("protecteditems_list_softdeleted__200.json", 0)["value"][0]);
    same_shape(&lab.read(&format!("{VAULT}/backupDeletedProtectionContainers")), &body("deletedcontainers_list__200.json", 0));
    let job = lab.settle("PUT", &item("lin"), stopping("lin", &undelete));
    check_job(&mut lab, &job, "protecteditem_undelete_rehydrate__202_poll_job.json");
    same_shape(&lab.read(&item("lin")), &body("protecteditems_list_after_undelete__200.json", 0)["value"][0]);
}

fn stopping(name: &str, properties: &Value) -> Value {
    let mut body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm(name)}});
    body["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    body
}

#[test]
fn machines_are_discovered_as_recorded() {
    let exchanges = recorded("refreshcontainers__202_poll_202_204_then_item_listed.json");
    let mut lab = Lab::new();
    let list = format!("{VAULT}/backupProtectableItems?$filter=backupManagementType eq 'AzureIaasVM'");
    assert_eq!(lab.read(&list), body("protectableitems_list_empty__200.json", 0));
    let reply = lab.send("POST", &format!("{VAULT}/backupFabrics/Azure/refreshContainers"), Value::Null);
    same_head(&reply, &exchanges[0]);
    let poll = header(&reply, "location").to_owned();
    same_head(&lab.get(&poll), &exchanges[1]);
    lab.wait(30);
    same_head(&lab.get(&poll), &exchanges[3]);
    let found = lab.read(&list);
    same_shape(&found, &exchanges[4]["response"]["body"]);
    assert_eq!(found["value"].as_array().unwrap().len(), 2);
}

#[test]
fn a_backup_runs_as_recorded() {
    let exchanges = recorded("backup_trigger__202_poll_job_to_completed.json");
    let mut lab = Lab::with(super::super::Settings { backup_tasks: super::super::BackupTasks::Two, ..Default::default() });
    lab.protect("win");
    let mut request = exchanges[0]["request"]["body"].clone();
    request["properties"]["recoveryPointExpiryTimeInUTC"] = json!("2026-02-05T00:00:00.000Z");
    let reply = lab.send("POST", &format!("{}/backup", item("win")), request);
    same_head(&reply, &exchanges[0]);
    lab.wait(2);
    let operation = lab.read(&format!("{VAULT}/backupOperations/{}", super::super::operation_id(&reply).unwrap()));
    same_shape(&operation, &exchanges[1]["response"]["body"]);
    let job = format!("{VAULT}/backupJobs/{}", operation["properties"]["jobId"].as_str().unwrap());
    same_shape(&lab.read(&job), &exchanges[2]["response"]["body"]);
    lab.wait(2 * 3600);
    same_shape(&lab.read(&job), &last_body("backup_trigger__202_poll_job_to_completed.json"));
    same_shape(&lab.read(&format!("{VAULT}/backupJobs")), &body("jobs_list_all__200.json", 0));
    let points = lab.read(&format!("{}/recoveryPoints", item("win")));
    same_shape(&points, &body("recoverypoints_list__200.json", 0));
    let name = points["value"][0]["name"].as_str().unwrap();
    same_shape(&lab.read(&format!("{}/recoveryPoints/{name}", item("win"))), &body("recoverypoint_get__200.json", 0));
    same_shape(&lab.read(&format!("{VAULT}/backupProtectedItems")), &body("protecteditems_list_protected_after_backup__200.json", 0));
    lab.version = "2025-02-01";
    same_shape(&lab.read(&format!("{VAULT}/backupProtectedItems")), &body("protecteditems_list_2026_protected__200.json", 0));
}

#[test]
fn a_job_of_2026_and_a_point_with_excluded_disks_are_as_recorded() {
    let exchanges = recorded("job_get_backup_2026_third_task_validate_backup__200.json");
    let mut lab = Lab::new();
    lab.configure("win", json!({"policyId": default_policy(VAULT), "extendedProperties": {"diskExclusionProperties": {"diskLunList": [1], "isInclusionList": false}}}));
    let reply = lab.send("POST", &format!("{}/backup", item("win")), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
    lab.wait(600);
    let id = lab.state.job_of_operation(&super::super::operation_id(&reply).unwrap()).unwrap().to_owned();
    let job = lab.read(&format!("{VAULT}/backupJobs/{id}"));
    same_shape(&job, &exchanges[0]["response"]["body"]);
    assert_eq!(job["properties"]["extendedInfo"]["progressPercentage"], 50.0);
    lab.wait(2 * 3600);
    let points = lab.read(&format!("{}/recoveryPoints", item("win")));
    same_shape(&points, &body("recoverypoints_list_disk_counts_only__200.json", 0));
    let name = points["value"][0]["name"].as_str().unwrap();
    let point = lab.read(&format!("{}/recoveryPoints/{name}", item("win")));
    same_shape(&point, &body("recoverypoint_get_disk_configuration__200.json", 0));
    assert_eq!(point["properties"]["recoveryPointDiskConfiguration"]["excludedDiskList"], json!([{"lun": 1, "name": "win-1"}]));
}

#[test]
fn scheduled_points_are_as_recorded() {
    let mut lab = Lab::new();
    lab.protect("lin");
    lab.machine("lin").zones = vec!["1".to_owned()];
    lab.wait_days(5);
    let points = lab.read(&format!("{}/recoveryPoints", item("lin")));
    same_shape(&points, &body("recoverypoints_list_27_mixed_instantrp_tiers__200.json", 0));
    assert_eq!(points["value"].as_array().unwrap().len(), 5);
}
