//! Which settings a vault takes, and which of them only go one way (backup.md §5.1, §5.3).

use serde_json::{Map, Value, json};

use super::names::VAULT_TYPE;
use super::route::unmodelled;
use super::settings::Settings;
use super::state::{backup_error, merge, refused};
use super::vault::{Immutability, SoftDelete, StorageTypeState, Vault};
use crate::wire::{Neighbours, Reply};

/// A refusal, boxed because it is rare and large.
pub(super) type Refused = Box<Reply>;

const SWITCH: &[&str] = &["Enabled", "Disabled"];
const SOFT_DELETE: &[&str] = &["Enabled", "Disabled", "AlwaysON"];

/// Every enum setting with its values, in the spelling that the service echoes (`AlwaysOn` comes back as `AlwaysON`).
const ENUMS: [(&str, &[&str]); 10] = [
    ("/publicNetworkAccess", SWITCH),
    ("/redundancySettings/standardTierStorageRedundancy", &["LocallyRedundant", "GeoRedundant", "ZoneRedundant"]),
    ("/redundancySettings/crossRegionRestore", SWITCH),
    ("/securitySettings/immutabilitySettings/state", &["Disabled", "Unlocked", "Locked"]),
    ("/securitySettings/softDeleteSettings/softDeleteState", SOFT_DELETE),
    ("/securitySettings/softDeleteSettings/enhancedSecurityState", SOFT_DELETE),
    ("/restoreSettings/crossSubscriptionRestoreSettings/crossSubscriptionRestoreState", &["Enabled", "Disabled", "PermanentlyDisabled"]),
    ("/monitoringSettings/azureMonitorAlertSettings/alertsForAllJobFailures", SWITCH),
    ("/monitoringSettings/classicAlertSettings/alertsForCriticalOperations", SWITCH),
    ("/encryption/infrastructureEncryption", SWITCH),
];

/// Settings that a caller may write; the rest of `properties` is read-only and ignored.
const WRITABLE: [&str; 7] = [
    "publicNetworkAccess",
    "monitoringSettings",
    "redundancySettings",
    "securitySettings",
    "restoreSettings",
    "encryption",
    "costManagementSettings",
];

/// A new vault's settings (§5.2).
pub(super) fn initial_settings() -> Value {
    json!({
        "publicNetworkAccess": "Enabled",
        "redundancySettings": {"standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Disabled"},
        "securitySettings": {"immutabilitySettings": null,
            "softDeleteSettings": {"softDeleteRetentionPeriodInDays": 14, "softDeleteState": "Enabled", "enhancedSecurityState": "Enabled"}},
        "restoreSettings": {"crossSubscriptionRestoreSettings": {"crossSubscriptionRestoreState": "Enabled"}},
    })
}

/// Checks the `properties` of a vault PUT or PATCH against the vault as it is (`None`: there is none yet) and gives
/// what to lay over its settings.
pub(super) fn settle(behaviour: &Settings, vault: Option<&Vault>, properties: &Value) -> Result<Value, Refused> {
    let mut patch = Map::new();
    for (name, value) in properties.as_object().into_iter().flatten() {
        if WRITABLE.contains(&name.as_str()) && !value.is_null() {
            patch.insert(name.clone(), value.clone());
        }
    }
    let mut patch = Value::Object(patch);
    if let Some(security) = patch.get_mut("securitySettings").and_then(Value::as_object_mut) {
        // Clients send back what they read, `Disabled`; anything else would be taken and forgotten.
        if security.get("sourceScanConfiguration").is_some_and(|scan| scan["state"].as_str().is_some_and(|state| state != "Disabled")) {
            return Err(Box::new(unmodelled("a sourceScanConfiguration other than Disabled")));
        }
        security.retain(|name, value| matches!(name.as_str(), "softDeleteSettings" | "immutabilitySettings") && !value.is_null());
    }
    if patch["encryption"].is_object() && vault.is_none_or(|vault| vault.settings["encryption"].is_null()) {
        // The first key fills in what it does not say [recorded].
        let mut first = json!({"infrastructureEncryption": "Disabled", "kekIdentity": {"useSystemAssignedIdentity": false}});
        merge(&mut first, &patch["encryption"]);
        patch["encryption"] = first;
    }
    // One identity reads the key: the other is none any more [recorded].
    if let Some(kek) = patch.pointer_mut("/encryption/kekIdentity").and_then(Value::as_object_mut) {
        if kek.get("useSystemAssignedIdentity") == Some(&json!(true)) {
            kek.insert("userAssignedIdentity".to_owned(), Value::Null);
        } else if kek.get("userAssignedIdentity").is_some_and(Value::is_string) {
            kek.insert("useSystemAssignedIdentity".to_owned(), json!(false));
        }
    }
    spell(&mut patch)?;
    check_steps(behaviour, vault, &patch)?;
    Ok(patch)
}

fn spell(patch: &mut Value) -> Result<(), Refused> {
    for (pointer, values) in ENUMS {
        if let Some(value) = patch.pointer_mut(pointer) {
            let known = value.as_str().and_then(|text| values.iter().find(|known| known.eq_ignore_ascii_case(text)));
            let Some(known) = known else {
                return Err(Box::new(backup_error(400, "CloudInvalidInputError", format!("The value of '{pointer}' is not valid."))));
            };
            *value = json!(known);
        }
    }
    let days = &patch["securitySettings"]["softDeleteSettings"]["softDeleteRetentionPeriodInDays"];
    // 14 to 180 days is documented for vaults that are secure by default (§5.4); that others share it is a guess.
    if !days.is_null() && !days.as_i64().is_some_and(|days| (14..=180).contains(&days)) {
        return Err(Box::new(backup_error(
            400,
            "CloudInvalidInputError",
            "The soft delete retention period must be between 14 and 180 days.",
        )));
    }
    Ok(())
}

fn check_steps(behaviour: &Settings, vault: Option<&Vault>, patch: &Value) -> Result<(), Refused> {
    let refusals = &behaviour.refusals;
    let old = vault.map_or_else(initial_settings, |vault| vault.settings.clone());
    let mut new = old.clone();
    merge(&mut new, patch);

    let from = vault.map_or(Immutability::Disabled, Vault::immutability);
    let to = new["securitySettings"]["immutabilitySettings"]["state"].as_str().unwrap_or("Disabled");
    let allowed = match from {
        // Locked neither at create nor from Disabled.
        Immutability::Disabled => to != "Locked",
        Immutability::Unlocked => true,
        Immutability::Locked => to == "Locked",
    };
    if !allowed {
        return Err(Box::new(refused(&refusals.immutability_step, format!("Immutability of the vault cannot be changed to '{to}'."))));
    }

    let always_on = vault.is_some_and(|vault| vault.soft_delete() == SoftDelete::AlwaysOn);
    if always_on && new["securitySettings"]["softDeleteSettings"]["softDeleteState"] != "AlwaysON" {
        return Err(Box::new(backup_error(
            400,
            "BMSUserErrorSoftDeleteStateAlwaysOn",
            "Soft delete is always on for this vault and cannot be disabled.",
        )));
    }

    let redundancy =
        |settings: &Value| settings["redundancySettings"]["standardTierStorageRedundancy"].as_str().unwrap_or_default().to_owned();
    let cross_region = |settings: &Value| settings["redundancySettings"]["crossRegionRestore"] == "Enabled";
    if redundancy(&old) != redundancy(&new) && vault.is_some_and(|vault| vault.storage == StorageTypeState::Locked) {
        return Err(Box::new(refused(
            &refusals.redundancy_locked,
            "Storage redundancy cannot be changed after the first item was protected.",
        )));
    }
    if cross_region(&new) && redundancy(&new) != "GeoRedundant" {
        return Err(Box::new(refused(&refusals.one_way, "Cross region restore needs geo-redundant storage.")));
    }
    if cross_region(&old) && !cross_region(&new) {
        return Err(Box::new(refused(&refusals.one_way, "Cross region restore cannot be disabled once it is enabled.")));
    }

    let cross_subscription = |settings: &Value| {
        settings["restoreSettings"]["crossSubscriptionRestoreSettings"]["crossSubscriptionRestoreState"] == "PermanentlyDisabled"
    };
    if cross_subscription(&old) && !cross_subscription(&new) {
        return Err(Box::new(refused(&refusals.one_way, "Cross subscription restore is permanently disabled.")));
    }
    if old["encryption"]["infrastructureEncryption"] != new["encryption"]["infrastructureEncryption"] && !old["encryption"].is_null() {
        return Err(Box::new(refused(&refusals.one_way, "Infrastructure encryption can only be chosen with the first key.")));
    }
    Ok(())
}

/// The identity after a write, as the service echoes it (§5.2): canonical type, ids filled in, user identities merged,
/// a null removing one. `None` when the request says nothing of identity.
pub(super) fn canonical_identity(n: &dyn Neighbours, tenant: &str, old: Option<&Value>, asked: &Value) -> Result<Option<Value>, Refused> {
    let Some(kind) = asked["type"].as_str() else { return Ok(None) };
    let words: Vec<String> = kind.split(',').map(|word| word.trim().to_lowercase()).collect();
    let has = |word: &str| words.iter().any(|known| known == word);
    if words.iter().any(|word| !matches!(word.as_str(), "none" | "systemassigned" | "userassigned")) {
        return Err(Box::new(backup_error(400, "CloudInvalidInputError", format!("'{kind}' is not an identity type of {VAULT_TYPE}."))));
    }
    let mut identity = Map::new();
    if has("systemassigned") {
        let kept = old.and_then(|old| old["principalId"].as_str()).map_or_else(|| n.guid(), str::to_owned);
        identity.insert("principalId".to_owned(), json!(kept));
    }
    if has("userassigned") {
        let mut users = old.and_then(|old| old["userAssignedIdentities"].as_object()).cloned().unwrap_or_default();
        for (id, value) in asked["userAssignedIdentities"].as_object().into_iter().flatten() {
            users.retain(|known, _| !known.eq_ignore_ascii_case(id) || !value.is_null());
            if !value.is_null() && !users.keys().any(|known| known.eq_ignore_ascii_case(id)) {
                let Some((principal, client)) = n.identity(id) else {
                    return Err(Box::new(unmodelled(&format!("what Azure says to {id}, which does not exist"))));
                };
                users.insert(id.clone(), json!({"principalId": principal, "clientId": client}));
            }
        }
        identity.insert("userAssignedIdentities".to_owned(), Value::Object(users));
    }
    let name = match (has("systemassigned"), has("userassigned")) {
        (true, true) => "SystemAssigned, UserAssigned",
        (true, false) => "SystemAssigned",
        (false, true) => "UserAssigned",
        (false, false) => "None",
    };
    identity.insert("type".to_owned(), json!(name));
    if name != "None" {
        identity.insert("tenantId".to_owned(), json!(tenant));
    }
    Ok(Some(Value::Object(identity)))
}
