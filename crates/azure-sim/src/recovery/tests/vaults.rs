//! Vaults: settings that go one way, lists, lag, and edits behind everybody's back.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::{Limits, Settings, Span, VaultDeletion};
use super::lab::{Lab, OTHER, SUB, VAULT, code, default_policy, header, item};

fn setting(pointer: &str, value: &str) -> Value {
    pointer.rsplit('/').filter(|name| !name.is_empty()).fold(json!(value), |inner, name| json!({name: inner}))
}

/// Pointer and value.
type Setting = (&'static str, &'static str);

const IMMUTABILITY: &str = "/securitySettings/immutabilitySettings/state";
const SOFT_DELETE: &str = "/securitySettings/softDeleteSettings/softDeleteState";
const REDUNDANCY: &str = "/redundancySettings/standardTierStorageRedundancy";
const CROSS_REGION: &str = "/redundancySettings/crossRegionRestore";
const CROSS_SUBSCRIPTION: &str = "/restoreSettings/crossSubscriptionRestoreSettings/crossSubscriptionRestoreState";

#[test]
fn settings_go_only_the_ways_that_azure_lets_them_go() {
    // what is set before, what is asked, whether it is accepted
    let cases: [(&[Setting], Setting, bool); 15] = [
        (&[], (IMMUTABILITY, "Unlocked"), true),
        (&[], (IMMUTABILITY, "Locked"), false),
        (&[(IMMUTABILITY, "Unlocked")], (IMMUTABILITY, "Locked"), true),
        (&[(IMMUTABILITY, "Unlocked")], (IMMUTABILITY, "Disabled"), true),
        (&[(IMMUTABILITY, "Unlocked"), (IMMUTABILITY, "Locked")], (IMMUTABILITY, "Unlocked"), false),
        (&[(IMMUTABILITY, "Unlocked"), (IMMUTABILITY, "Locked")], (IMMUTABILITY, "Disabled"), false),
        (&[], (CROSS_REGION, "Enabled"), true),
        (&[(CROSS_REGION, "Enabled")], (CROSS_REGION, "Disabled"), false),
        (&[(REDUNDANCY, "ZoneRedundant")], (CROSS_REGION, "Enabled"), false),
        (&[(CROSS_SUBSCRIPTION, "PermanentlyDisabled")], (CROSS_SUBSCRIPTION, "Enabled"), false),
        (&[(CROSS_SUBSCRIPTION, "Disabled")], (CROSS_SUBSCRIPTION, "Enabled"), true),
        (&[(SOFT_DELETE, "Disabled")], (SOFT_DELETE, "Enabled"), true),
        (&[(SOFT_DELETE, "AlwaysON")], (SOFT_DELETE, "Enabled"), false),
        (&[], (SOFT_DELETE, "Sometimes"), false),
        (&[(REDUNDANCY, "LocallyRedundant")], (REDUNDANCY, "ZoneRedundant"), true),
    ];
    for (before, (pointer, value), accepted) in cases {
        let mut lab = Lab::new();
        for (pointer, value) in before {
            lab.patch_vault(setting(pointer, value));
        }
        let reply = lab.send("PATCH", VAULT, json!({"properties": setting(pointer, value)}));
        assert_eq!(reply.status, if accepted { 202 } else { 400 }, "{before:?} then {pointer} {value}");
        lab.wait(60);
        assert_eq!(lab.read(VAULT)["properties"].pointer(pointer) == Some(&json!(value)), accepted, "{before:?} then {pointer} {value}");
    }
    let mut lab = Lab::bare(Settings::default());
    let locked = json!({"location": "westeurope", "properties": setting(IMMUTABILITY, "Locked")});
    assert_eq!(lab.put(VAULT, locked).status, 400, "not at create either");
}

#[test]
fn redundancy_is_locked_by_the_first_protection() {
    let mut lab = Lab::new();
    let storage = format!("{VAULT}/backupstorageconfig/vaultstorageconfig");
    assert_eq!(lab.read(VAULT)["properties"]["backupStorageVersion"], "Unassigned");
    lab.protect("win");
    assert_eq!(lab.read(&storage)["properties"]["storageTypeState"], "Locked");
    assert_eq!(lab.read(VAULT)["properties"]["backupStorageVersion"], "V2");
    assert_eq!(lab.send("PATCH", VAULT, json!({"properties": setting(REDUNDANCY, "LocallyRedundant")})).status, 400);
    assert_eq!(lab.send("PATCH", &storage, json!({"properties": {"storageModelType": "LocallyRedundant"}})).status, 400);
    assert_eq!(lab.send("PATCH", VAULT, json!({"properties": setting(CROSS_REGION, "Enabled")})).status, 202);
}

#[test]
fn always_on_soft_delete_cannot_be_turned_off_through_vaultconfig() {
    let mut lab = Lab::new();
    lab.patch_vault(setting(SOFT_DELETE, "AlwaysOn"));
    let config = format!("{VAULT}/backupconfig/vaultconfig");
    let read = lab.read(&config)["properties"].clone();
    assert_eq!((&read["softDeleteFeatureState"], &read["isSoftDeleteFeatureStateEditable"]), (&json!("AlwaysON"), &json!(false)));
    let off = lab.send("PATCH", &config, json!({"properties": {"softDeleteFeatureState": "Disabled"}}));
    assert_eq!(code(&off), (400, "BMSUserErrorSoftDeleteStateAlwaysOn".to_owned()));
    let days = lab.send("PATCH", &config, json!({"properties": {"softDeleteRetentionPeriodInDays": 13}}));
    assert_eq!(days.status, 400);
}

#[test]
fn a_vault_needs_a_group_a_region_and_a_good_name() {
    let mut lab = Lab::bare(Settings { limits: Limits { vaults: 1, ..Limits::default() }, ..Settings::default() });
    let body = json!({"location": "westeurope"});
    assert_eq!(code(&lab.put(&VAULT.replace("RG-Backup", "none"), body.clone())), (404, "ResourceGroupNotFound".to_owned()));
    assert_eq!(lab.put(VAULT, json!({})).status, 400);
    assert_eq!(lab.put(&VAULT.replace("/main", "/1main"), body.clone()).status, 400);
    assert_eq!(lab.put(VAULT, json!({"location": "West Europe"})).body.unwrap()["location"], "westeurope");
    assert_eq!(code(&lab.put(VAULT, json!({"location": "northeurope"}))), (409, "InvalidResourceLocation".to_owned()));
    assert_eq!(code(&lab.put(OTHER, body)), (400, "CloudDosAbsoluteLimitReached".to_owned()));
    assert_eq!(lab.read(VAULT)["properties"]["provisioningState"], "Provisioning");
    let etag = lab.read(VAULT)["etag"].clone();
    lab.wait(60);
    assert_ne!(lab.read(VAULT)["etag"], etag);
    assert_eq!(lab.send("DELETE", OTHER, Value::Null).status, 204);
}

#[test]
fn a_put_on_a_vault_changes_what_it_names_and_keeps_the_rest() {
    let mut lab = Lab::new();
    lab.patch_vault(setting(REDUNDANCY, "LocallyRedundant"));
    let reply = lab.put(VAULT, json!({"location": "westeurope", "properties": {"publicNetworkAccess": "Disabled"}}));
    let echo = reply.body.unwrap();
    assert_eq!((reply.status, &echo["properties"]["provisioningState"]), (201, &json!("Succeeded")));
    lab.wait(60);
    let read = lab.read(VAULT)["properties"].clone();
    assert_eq!((read.pointer(REDUNDANCY), &read["publicNetworkAccess"]), (Some(&json!("LocallyRedundant")), &json!("Disabled")));
}

#[test]
fn tags_are_those_of_resource_manager() {
    let mut lab = Lab::new();
    assert!(lab.read(VAULT).get("tags").is_none());
    lab.world.tags.insert(VAULT.to_lowercase(), [("a".to_owned(), "b".to_owned())].into());
    assert_eq!(lab.read(VAULT)["tags"], json!({"a": "b"}));
    let resources = lab.state.resources(&lab.world);
    assert_eq!(
        (resources[0].id.as_str(), resources[0].kind, resources[0].tags["a"].as_str()),
        (VAULT, "Microsoft.RecoveryServices/vaults", "b")
    );
    let echo = lab.put(OTHER, json!({"location": "westeurope", "tags": {"c": "d"}})).body.unwrap();
    assert_eq!(echo["tags"], json!({"c": "d"}), "of a new vault: what was sent");
}

#[test]
fn lists_lag_behind_reads_of_one_thing() {
    let mut lab = Lab::new();
    lab.state.set_list_lag(SignedDuration::from_secs(300));
    lab.wait(400);
    lab.make_vault(OTHER);
    lab.protect("win");
    let vaults = format!("{SUB}/providers/Microsoft.RecoveryServices/vaults");
    assert_eq!(lab.get(OTHER).status, 200);
    assert_eq!(lab.get(&item("win")).status, 200);
    assert_eq!(lab.rows(&format!("{VAULT}/backupProtectedItems")).len(), 0);
    assert_eq!(lab.rows(&format!("{VAULT}/backupJobs")).len(), 0);
    lab.wait(150);
    assert_eq!(lab.rows(&vaults).len(), 2, "{:?} ago the vault was there", 300);
    assert_eq!(lab.rows(&format!("{VAULT}/backupProtectedItems")).len(), 0, "but not yet the item");
    assert_eq!(lab.rows(&format!("{VAULT}/backupJobs"))[0]["properties"]["status"], "InProgress", "its job as it was then");
    lab.wait(300);
    assert_eq!(lab.rows(&format!("{VAULT}/backupProtectedItems")).len(), 1);
    lab.state.remove(&item("win")).unwrap();
    assert_eq!(lab.rows(&format!("{VAULT}/backupProtectedItems")).len(), 1, "gone, and still listed");
    lab.state.set_list_lag(SignedDuration::ZERO);
    assert_eq!(lab.rows(&format!("{VAULT}/backupProtectedItems")).len(), 0);
}

#[test]
fn long_lists_come_in_pages_that_are_followed_to_the_end() {
    let mut lab = Lab::with(Settings { page_size: 2, ..Settings::default() });
    let mut url = format!("{VAULT}/backupPolicies?$filter=backupManagementType eq 'AzureIaasVM'");
    for index in 0..3 {
        lab.put(&format!("{VAULT}/backupPolicies/policy{index}"), super::lab::daily("02:00", 30));
    }
    let mut names = Vec::new();
    loop {
        let page = lab.read(&url);
        assert!(page["value"].as_array().unwrap().len() <= 2);
        names.extend(page["value"].as_array().unwrap().iter().map(|policy| policy["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["nextLink"].as_str() else { break };
        url = next.to_owned();
    }
    assert_eq!(names, ["DefaultPolicy", "EnhancedPolicy", "policy0", "policy1", "policy2"]);
}

#[test]
fn things_change_behind_everybodys_back() {
    let mut lab = Lab::new();
    lab.protect("win");
    lab.state.edit(&lab.world, VAULT, &format!("/properties{SOFT_DELETE}"), json!("Disabled")).unwrap();
    assert_eq!(lab.read(&format!("{VAULT}/backupconfig/vaultconfig"))["properties"]["softDeleteFeatureState"], "Disabled");
    lab.state
        .edit(&lab.world, &default_policy(VAULT), "/properties/retentionPolicy/dailySchedule/retentionDuration/count", json!(7))
        .unwrap();
    assert_eq!(lab.read(&default_policy(VAULT))["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"], 7);
    lab.state.edit(&lab.world, &item("win"), "/properties/policyId", json!(format!("{VAULT}/backupPolicies/EnhancedPolicy"))).unwrap();
    assert_eq!(lab.item("win")["policyName"], "EnhancedPolicy");
    lab.state.edit(&lab.world, &item("win"), "/properties/healthStatus", json!("ActionRequired")).unwrap();
    assert_eq!(lab.item("win")["healthStatus"], "ActionRequired");
    lab.state.edit(&lab.world, &item("win"), "/properties/protectionState", json!("ProtectionStopped")).unwrap();
    assert_eq!(lab.item("win")["protectionState"], "ProtectionStopped");
    assert!(lab.state.edit(&lab.world, &item("win"), "/properties/protectionState", json!("Asleep")).is_err());
    let luns = "/properties/extendedProperties/diskExclusionProperties/diskLunList";
    lab.state.edit(&lab.world, &item("win"), luns, json!([1])).unwrap();
    assert_eq!(lab.item("win")["extendedProperties"], json!({"diskExclusionProperties": {"diskLunList": [1]}}));
    assert!(lab.state.edit(&lab.world, OTHER, "/sku", json!({})).is_err());
    lab.wait_days(3);
    assert!(lab.points("win").is_empty(), "a stopped item is not backed up");
    lab.state.remove(&format!("{VAULT}/backupPolicies/EnhancedPolicy")).unwrap();
    assert_eq!(lab.get(&format!("{VAULT}/backupPolicies/EnhancedPolicy")).status, 404);
    lab.state.set_stale_config(VAULT, json!({"softDeleteFeatureState": "Enabled"}), SignedDuration::from_secs(60)).unwrap();
    let config = format!("{VAULT}/backupconfig/vaultconfig");
    assert_eq!(lab.read(&config)["properties"]["softDeleteFeatureState"], "Enabled");
    lab.wait(61);
    assert_eq!(lab.read(&config)["properties"]["softDeleteFeatureState"], "Disabled");
}

#[test]
fn a_failed_delete_leaves_the_vault_and_a_classic_one_forgets_it() {
    let settings = Settings { vault_deletion: VaultDeletion::Classic, ..Settings::default() };
    let mut lab = Lab::with(settings);
    let reply = lab.send("DELETE", VAULT, Value::Null);
    assert_eq!(lab.read(VAULT)["properties"]["provisioningState"], "Deleting");
    lab.state.fail_operation(&super::super::operation_id(&reply).unwrap(), "CloudInternalError", "x").unwrap();
    lab.wait(60);
    let poll = lab.read(header(&reply, "azure-asyncoperation"));
    assert_eq!((&poll["status"], &lab.read(VAULT)["properties"]["provisioningState"]), (&json!("Failed"), &json!("Succeeded")));
    lab.send("DELETE", VAULT, Value::Null);
    lab.wait(60);
    assert!(lab.rows(&format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/deletedVaults")).is_empty());
    assert_eq!(code(&lab.get(&format!("{VAULT}/backupPolicies"))), (404, "ResourceNotFound".to_owned()));
}

#[test]
fn what_a_vault_cannot_be_is_not_taken_and_forgotten() {
    let mut lab = Lab::new();
    let new = VAULT.replace("/vaults/", "/vaults/another-");
    let body = |location: &str, sku: &str| json!({"location": location, "sku": {"name": sku}, "properties": {}});
    assert_eq!(code(&lab.put(&new, body("atlantis", "RS0"))), (400, "LocationNotAvailableForResourceType".to_owned()));
    assert_eq!(code(&lab.put(&new, body("westeurope", "Gold"))), (501, "SimulatorNotImplemented".to_owned()));
    assert_eq!(lab.get(&new).status, 404);
    assert_eq!(lab.put(&new, body("West Europe", "Standard")).status, 201);
    let scan = |state: &str| json!({"properties": {"securitySettings": {"sourceScanConfiguration": {"state": state}}}});
    assert_eq!(code(&lab.send("PATCH", VAULT, scan("Enabled"))), (501, "SimulatorNotImplemented".to_owned()));
    assert!(lab.send("PATCH", VAULT, scan("Disabled")).status < 300, "clients send back what they read");
}

#[test]
fn a_vault_with_fabrics_of_site_recovery_shows_them_and_is_not_deleted() {
    let mut lab = Lab::new();
    let all = format!("{VAULT}/replicationFabrics");
    assert_eq!(lab.get(&all).body.unwrap()["value"], json!([]));
    let (status, _) = code(&lab.get(&format!("{all}/weu")));
    assert_eq!(status, 400, "of a vault that never held any");
    lab.state.add_fabric(VAULT, "weu", "West Europe");
    let listed = lab.get(&all).body.unwrap()["value"][0].clone();
    assert_eq!(listed["properties"]["friendlyName"], "West Europe");
    assert_eq!(listed["properties"]["customDetails"], json!({"instanceType": "Azure", "location": "westeurope", "containerIds": null}));
    assert_eq!(lab.get(&format!("{all}/WEU")).body.unwrap(), listed);
    assert_eq!(code(&lab.get(&format!("{all}/neu"))), (404, "NotFound".to_owned()));
    let refused = lab.send("DELETE", VAULT, Value::Null);
    assert_eq!(refused.status, 400);
    assert!(refused.body.unwrap()["error"]["message"].as_str().unwrap().contains(": weu."));
}

#[test]
fn what_is_not_modelled_is_refused_with_its_path() {
    let mut lab = Lab::new();
    lab.protect("win");
    let calls = [
        ("POST", format!("{}/recoveryPoints/1/wonders", item("win"))),
        ("POST", format!("{}/recoveryPoints/1/listInstantItemRecoveryOperationResult", item("win"))),
        ("PUT", format!("{VAULT}/backupFabrics/Azure/backupProtectionIntent/vm")),
        ("POST", format!("{VAULT}/backupFabrics/Azure/protectionContainers/x/inquire")),
        ("GET", format!("{VAULT}/replicationPolicies")),
        ("GET", "/providers/Microsoft.RecoveryServices/operations".to_owned()),
    ];
    for (method, url) in calls {
        let reply = lab.send(method, &url, json!({}));
        assert_eq!(code(&reply), (501, "SimulatorNotImplemented".to_owned()), "{url}");
        assert!(reply.body.unwrap()["error"]["message"].as_str().unwrap().contains(&url), "{url}");
    }
}

#[test]
fn the_same_requests_give_the_same_answers() {
    let story = || {
        let mut lab = Lab::with(Settings::default());
        lab.protect("win");
        lab.protect("lin");
        lab.back_up("win");
        lab.wait_days(40);
        let urls = [
            VAULT.to_owned(),
            format!("{VAULT}/backupJobs"),
            format!("{VAULT}/backupProtectedItems"),
            format!("{}/recoveryPoints", item("lin")),
        ];
        urls.map(|url| lab.read(&url).to_string())
    };
    assert_eq!(story(), story());
    let mut slow = Settings::default();
    slow.durations.enable = Span::exactly(80);
    let mut lab = Lab::with(slow);
    let next = lab.state.next_event();
    assert_eq!(next, None, "an idle world has nothing to wait for");
    lab.put(&item("win"), json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": super::lab::vm("win"), "policyId": default_policy(VAULT)}}));
    assert_eq!(lab.state.next_event(), Some(lab.now + SignedDuration::from_secs(80)));
}

#[test]
fn nothing_is_written_under_a_vault_that_is_being_deleted() {
    let mut lab = Lab::new();
    lab.send("DELETE", VAULT, Value::Null);
    let writes = [
        ("PUT", format!("{VAULT}/backupPolicies/shop"), super::lab::daily("02:00", 30)),
        ("PUT", item("win"), json!({"properties": {}})),
        ("PATCH", format!("{VAULT}/backupconfig/vaultconfig"), json!({"properties": {}})),
        ("PATCH", VAULT.to_owned(), json!({"properties": {}})),
    ];
    for (method, url, body) in writes {
        assert_eq!(code(&lab.send(method, &url, body)), (409, "ResourceBeingDeleted".to_owned()), "{method} {url}");
    }
    assert_eq!(lab.get(&format!("{VAULT}/backupPolicies")).status, 200);
}

#[test]
fn a_vault_made_anew_feels_nothing_of_the_old_ones_operations() {
    let mut settings = Settings::default();
    settings.durations.vault_delete = Span::exactly(20);
    settings.durations.vault_patch = Span::exactly(100);
    let mut lab = Lab::with(settings);
    lab.send("PATCH", VAULT, json!({"properties": {"publicNetworkAccess": "Disabled"}}));
    lab.send("DELETE", VAULT, Value::Null);
    lab.wait(10);
    assert_eq!(lab.send("DELETE", VAULT, Value::Null).status, 202);
    lab.wait(11);
    assert_eq!(lab.get(VAULT).status, 404);
    lab.make_vault(VAULT);
    lab.wait(200);
    assert_eq!(lab.read(VAULT)["properties"]["publicNetworkAccess"], "Enabled");
}
