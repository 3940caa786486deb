//! Vaults with all their settings, configurations and policies.

use breakwater_arm::wire::Method;
use serde_json::{Value, json};

use super::{GROUP, SUB, Traveller};

/// The vault that protects.
pub fn main_vault() -> String {
    vault("main")
}

fn vault(name: &str) -> String {
    format!("{GROUP}/providers/Microsoft.RecoveryServices/vaults/{name}")
}

/// A body of a vault, as portals and tools send it.
fn body(properties: Value) -> Value {
    let alerts = json!({"azureMonitorAlertSettings": {"alertsForAllJobFailures": "Enabled", "alertsForAllReplicationIssues": "Enabled",
        "alertsForAllFailoverIssues": "Enabled"}, "classicAlertSettings": {"alertsForCriticalOperations": "Enabled",
        "emailNotificationsForSiteRecovery": "Enabled"}});
    let mut all = json!({"publicNetworkAccess": "Enabled", "monitoringSettings": alerts});
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), properties) {
        all.extend(more);
    }
    json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "tags": {"MAB Used": "Yes"}, "properties": all})
}

/// All of it; leaves the vault `main`.
pub fn walk(tour: &mut Traveller) {
    let main = main_vault();
    tour.get(&main);
    tour.get(&format!("{main}/backupProtectedItems"));
    let started = tour.put(&main, json!({"location": "westeurope", "sku": {"name": "Standard"}, "properties": {}}));
    tour.get(&main);
    tour.follow(&started, 120);
    tour.get(&main);
    settings(tour);
    identities_and_keys(tour);
    configurations(tour, &main);
    policies(tour, &main);
    for list in [GROUP, SUB] {
        tour.get(&format!("{list}/providers/Microsoft.RecoveryServices/vaults"));
    }
    let first = tour.get(&format!("{SUB}/providers/Microsoft.RecoveryServices/vaults"));
    if let Some(next) = first.body["nextLink"].as_str().map(str::to_owned) {
        tour.get(&next);
    }
    removal(tour);
}

fn settings(tour: &mut Traveller) {
    let full = vault("full");
    let shut = json!({"publicNetworkAccess": "Disabled", "securitySettings": {"immutabilitySettings": {"state": "Unlocked"}},
        "restoreSettings": {"crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "Disabled"}}});
    tour.change(Method::Put, &full, body(shut), 120);
    tour.get(&full);
    for properties in [
        json!({"publicNetworkAccess": "Enabled"}),
        json!({"redundancySettings": {"standardTierStorageRedundancy": "LocallyRedundant", "crossRegionRestore": "Disabled"}}),
        json!({"redundancySettings": {"standardTierStorageRedundancy": "ZoneRedundant", "crossRegionRestore": "Disabled"}}),
        json!({"redundancySettings": {"standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Enabled"}}),
        json!({"monitoringSettings": body(Value::Null)["properties"]["monitoringSettings"]}),
        json!({"restoreSettings": {"crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "PermanentlyDisabled"}}}),
    ] {
        tour.change(Method::Patch, &full, json!({"properties": properties}), 120);
        tour.get(&full);
    }
    let always = json!({"securitySettings": {"softDeleteSettings": {"enhancedSecurityState": "AlwaysON", "softDeleteState": "AlwaysON",
        "softDeleteRetentionPeriodInDays": 14}}, "costManagementSettings": {"granularityLevel": "VaultLevel"}});
    tour.change(Method::Put, &vault("modern"), body(always), 120);
    tour.get(&vault("modern"));
    tour.change(Method::Patch, &full, json!({"tags": {"a": "b"}}), 120);
}

fn identities_and_keys(tour: &mut Traveller) {
    let kept = vault("keys");
    let person = |name: &str| format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
    tour.change(Method::Put, &kept, body(Value::Null), 120);
    for identity in [
        json!({"type": "SystemAssigned"}),
        json!({"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {person("a"): {}, person("b"): {}}}),
        json!({"type": "UserAssigned", "userAssignedIdentities": {person("a"): {}, person("b"): null}}),
    ] {
        tour.change(Method::Patch, &kept, json!({"identity": identity}), 120);
        tour.get(&kept);
    }
    tour.change(
        Method::Patch,
        &kept,
        json!({"identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {person("a"): {}}}}),
        120,
    );
    let key = json!({"keyUri": "https://kv.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef"});
    for (name, identity) in [("keys", json!({"userAssignedIdentity": person("a")})), ("keys", json!({"useSystemAssignedIdentity": true}))] {
        let encryption = json!({"keyVaultProperties": key, "kekIdentity": identity, "infrastructureEncryption": "Enabled"});
        tour.change(Method::Patch, &vault(name), json!({"properties": {"encryption": encryption}}), 120);
        tour.get(&vault(name));
        tour.get(&format!("{}/backupEncryptionConfigs/backupResourceEncryptionConfig", vault(name)));
    }
    let bare = vault("person");
    tour.change(Method::Put, &bare, body(Value::Null), 120);
    tour.change(Method::Patch, &bare, json!({"identity": {"type": "SystemAssigned"}}), 120);
    tour.change(Method::Patch, &bare, json!({"identity": {"type": "None"}}), 120);
    tour.get(&bare);
}

fn configurations(tour: &mut Traveller, vault: &str) {
    let config = format!("{vault}/backupconfig/vaultconfig");
    tour.get(&config);
    for (enhanced, soft) in [("Disabled", "Disabled"), ("Enabled", "Disabled"), ("Enabled", "Enabled")] {
        let asked = json!({"properties": {"enhancedSecurityState": enhanced, "softDeleteFeatureState": soft, "softDeleteRetentionPeriodInDays": 14}});
        tour.send(Method::Patch, &config, asked.clone());
        tour.put(&config, asked);
    }
    let storage = format!("{vault}/backupstorageconfig/vaultstorageconfig");
    tour.get(&storage);
    for model in ["LocallyRedundant", "GeoRedundant"] {
        let asked = json!({"properties": {"storageModelType": model, "crossRegionRestoreFlag": false}});
        tour.put(&storage, asked.clone());
        tour.send(Method::Patch, &storage, asked);
        tour.get(&storage);
    }
    tour.get(&format!("{vault}/backupEncryptionConfigs/backupResourceEncryptionConfig"));
    tour.get(&format!("{vault}/backupResourceGuardProxies"));
    tour.get(&format!("{vault}/usages"));
}

/// Policies of every schedule and retention.
/// Names and properties of policies of every shape.
fn shapes() -> Vec<(&'static str, Value)> {
    let (time, days) = ("2026-04-28T16:30:00.000Z", json!({"count": 30, "durationType": "Days"}));
    let times = json!([time]);
    let daily = json!({"retentionTimes": times, "retentionDuration": days});
    let weekly = json!({"daysOfTheWeek": ["Sunday"], "retentionTimes": times, "retentionDuration": {"count": 12, "durationType": "Weeks"}});
    let by_day = json!({"daysOfTheMonth": [{"date": 1, "isLast": false}]});
    let by_week = json!({"daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["First"]});
    let monthly = json!({"retentionScheduleFormatType": "Daily", "retentionScheduleDaily": by_day, "retentionTimes": times,
        "retentionDuration": {"count": 60, "durationType": "Months"}});
    let yearly = json!({"retentionScheduleFormatType": "Weekly", "monthsOfYear": ["January"], "retentionScheduleWeekly": by_week,
        "retentionTimes": times, "retentionDuration": {"count": 10, "durationType": "Years"}});
    let long = |mut parts: Value| {
        parts["retentionPolicyType"] = json!("LongTermRetentionPolicy");
        parts
    };
    let v1 = json!({"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": times});
    let of_week = json!({"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Weekly", "scheduleRunDays": ["Sunday"], "scheduleRunTimes": times});
    let hourly = json!({"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Hourly",
        "hourlySchedule": {"interval": 4, "scheduleWindowStartTime": time, "scheduleWindowDuration": 12}});
    let v2_daily = json!({"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Daily", "dailySchedule": {"scheduleRunTimes": times}});
    let v2_weekly = json!({"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Weekly",
        "weeklySchedule": {"scheduleRunDays": ["Sunday"], "scheduleRunTimes": times}});
    let all = long(json!({"dailySchedule": daily, "weeklySchedule": weekly, "monthlySchedule": monthly, "yearlySchedule": yearly}));
    let mut yearly_by_day = monthly.clone();
    yearly_by_day["monthsOfYear"] = json!(["January"]);
    yearly_by_day["retentionDuration"] = json!({"count": 10, "durationType": "Years"});
    let mut monthly_by_week = yearly.clone();
    monthly_by_week["monthsOfYear"] = Value::Null;
    monthly_by_week["retentionDuration"] = json!({"count": 60, "durationType": "Months"});
    let rare = long(json!({"weeklySchedule": weekly, "monthlySchedule": monthly_by_week, "yearlySchedule": yearly_by_day}));
    let after = json!({"ArchivedRP": {"tieringMode": "TierAfter", "duration": 3, "durationType": "Months"}});
    let tiering = json!({"ArchivedRP": {"tieringMode": "TierRecommended", "duration": 0, "durationType": "Invalid"}});
    let groups = json!({"azureBackupRGNamePrefix": "RG_prefix", "azureBackupRGNameSuffix": "RG_suffix"});
    vec![
        (
            "daily",
            json!({"schedulePolicy": v1, "retentionPolicy": long(json!({"dailySchedule": daily})), "instantRPDetails": {}, "instantRpRetentionRangeInDays": 2}),
        ),
        ("plain", json!({"schedulePolicy": v1, "retentionPolicy": long(json!({"dailySchedule": daily}))})),
        (
            "all",
            json!({"schedulePolicy": v1, "retentionPolicy": all, "tieringPolicy": tiering, "instantRPDetails": groups, "instantRpRetentionRangeInDays": 2}),
        ),
        (
            "weekly",
            json!({"schedulePolicy": of_week, "retentionPolicy": long(json!({"weeklySchedule": weekly})), "instantRpRetentionRangeInDays": 5}),
        ),
        (
            "hourly",
            json!({"schedulePolicy": hourly, "retentionPolicy": long(json!({"dailySchedule": daily})), "policyType": "V2", "instantRpRetentionRangeInDays": 2}),
        ),
        (
            "v2daily",
            json!({"schedulePolicy": v2_daily, "retentionPolicy": long(json!({"dailySchedule": daily})), "policyType": "V2", "instantRpRetentionRangeInDays": 7}),
        ),
        (
            "v2weekly",
            json!({"schedulePolicy": v2_weekly, "retentionPolicy": long(json!({"weeklySchedule": weekly})), "policyType": "V2", "instantRpRetentionRangeInDays": 5}),
        ),
        (
            "weekly-all",
            json!({"schedulePolicy": of_week, "policyType": "V1", "retentionPolicy": rare, "tieringPolicy": after, "instantRpRetentionRangeInDays": 5}),
        ),
        (
            "crash",
            json!({"schedulePolicy": hourly, "retentionPolicy": long(json!({"dailySchedule": daily})), "policyType": "V2",
                "snapshotConsistencyType": "OnlyCrashConsistent", "instantRpRetentionRangeInDays": 2}),
        ),
        ("wrong", json!({"schedulePolicy": v1})),
    ]
}

fn policies(tour: &mut Traveller, vault: &str) {
    tour.get(&format!("{vault}/backupPolicies"));
    for (name, mut properties) in shapes() {
        properties["backupManagementType"] = json!("AzureIaasVM");
        properties["timeZone"] = json!("UTC");
        tour.put(&format!("{vault}/backupPolicies/{name}"), json!({"properties": properties}));
        tour.get(&format!("{vault}/backupPolicies/{name}"));
    }
    tour.get(&format!("{vault}/backupPolicies"));
    tour.get(&format!("{vault}/backupPolicies/DefaultPolicy"));
    tour.send(Method::Delete, &format!("{vault}/backupPolicies/plain"), Value::Null);
    tour.get(&format!("{vault}/backupPolicies/plain"));
}

fn removal(tour: &mut Traveller) {
    let gone = vault("gone");
    tour.change(Method::Put, &gone, body(Value::Null), 120);
    let started = tour.send(Method::Delete, &gone, Value::Null);
    tour.get(&gone);
    tour.follow(&started, 120);
    tour.get(&gone);
    tour.send(Method::Delete, &gone, Value::Null);
    tour.get(&format!("{SUB}/providers/Microsoft.RecoveryServices/locations/westeurope/deletedVaults"));
}
