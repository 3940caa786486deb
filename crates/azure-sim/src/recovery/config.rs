//! Configuration resources under a vault: soft delete, storage, encryption (backup.md §6).

use serde_json::{Value, json};

use super::names::leaf;
use super::state::{State, backup_error, merge, refused};
use super::vault::{SoftDelete, StorageTypeState, Vault, VaultPath};
use super::vault_keys::{KeyUpdate, key_refusal};
use super::vault_rules::settle;
use crate::wire::{Inbound, Neighbours, Reply};

impl Vault {
    /// The properties of `vaultconfig`: another view of the vault's soft delete settings (§6.2).
    pub(super) fn config(&self) -> Value {
        let soft = &self.settings["securitySettings"]["softDeleteSettings"];
        json!({
            "enhancedSecurityState": soft["enhancedSecurityState"],
            "softDeleteFeatureState": soft["softDeleteState"],
            "softDeleteRetentionPeriodInDays": soft["softDeleteRetentionPeriodInDays"],
            // False when always on is a guess.
            "isSoftDeleteFeatureStateEditable": self.soft_delete() != SoftDelete::AlwaysOn,
        })
    }

    fn storage_config(&self) -> Value {
        let settings = &self.settings["redundancySettings"];
        let state = match self.storage {
            StorageTypeState::Unlocked => "Unlocked",
            StorageTypeState::Locked => "Locked",
        };
        json!({
            "storageModelType": settings["standardTierStorageRedundancy"],
            "storageType": settings["standardTierStorageRedundancy"],
            "dedupState": "Disabled",
            "xcoolState": "Disabled",
            "storageTypeState": state,
            "crossRegionRestoreFlag": settings["crossRegionRestore"] == "Enabled",
        })
    }

    /// A resource of its own under the vault: `V/{kind}/{name}`.
    pub(super) fn child(&self, kind: &str, name: &str, properties: Value) -> Value {
        json!({"id": format!("{}/{kind}/{name}", self.id), "name": name, "type": format!("{}/{kind}", super::names::VAULT_TYPE), "properties": properties})
    }
}

impl State {
    /// GET of `vaultconfig`, which may still show what was before a write (§5.3).
    pub(super) fn get_config(&self, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let stale = vault.stale_config.as_ref().filter(|(until, _)| self.clock < *until).map(|(_, config)| config.clone());
        Reply::json(200, vault.child("backupconfig", "vaultconfig", stale.unwrap_or_else(|| vault.config())))
    }

    /// PATCH or PUT of `vaultconfig`: 200 at once.
    pub(super) fn write_config(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let asked = &req.body["properties"];
        let mut soft = json!({});
        for (field, setting) in [
            ("enhancedSecurityState", "enhancedSecurityState"),
            ("softDeleteFeatureState", "softDeleteState"),
            ("softDeleteRetentionPeriodInDays", "softDeleteRetentionPeriodInDays"),
        ] {
            if !asked[field].is_null() {
                soft[setting] = asked[field].clone();
            }
        }
        let patch = match settle(&self.settings, Some(vault), &json!({"securitySettings": {"softDeleteSettings": soft}})) {
            Ok(patch) => patch,
            Err(refusal) => return *refusal,
        };
        if let Err(refusal) = self.guarded_settings(n, vault, &patch, &asked["resourceGuardOperationRequests"]) {
            return *refusal;
        }
        let (now, behaviour) = (self.clock, self.settings.clone());
        let vault = self.vault_mut(&path.key).expect("looked up above");
        let before = vault.config();
        merge(&mut vault.settings, &patch);
        vault.changed = now;
        vault.hide_config(&behaviour, before, now);
        Reply::json(200, vault.child("backupconfig", "vaultconfig", vault.config()))
    }

    /// GET of `vaultstorageconfig`.
    pub(super) fn get_storage(&self, path: &VaultPath) -> Reply {
        match self.vault(&path.key) {
            Some(vault) => Reply::json(200, vault.child("backupstorageconfig", "vaultstorageconfig", vault.storage_config())),
            None => path.not_found(),
        }
    }

    /// PUT (200 with body) or PATCH (204) of `vaultstorageconfig`: the same facts as `redundancySettings` (§6.1).
    pub(super) fn write_storage(&mut self, req: &Inbound, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let asked = &req.body["properties"];
        let mut redundancy = json!({});
        if let Some(model) = asked["storageModelType"].as_str().or_else(|| asked["storageType"].as_str()) {
            redundancy["standardTierStorageRedundancy"] = json!(model);
        }
        if let Some(flag) = asked["crossRegionRestoreFlag"].as_bool() {
            redundancy["crossRegionRestore"] = json!(if flag { "Enabled" } else { "Disabled" });
        }
        let patch = match settle(&self.settings, Some(vault), &json!({"redundancySettings": redundancy})) {
            Ok(patch) => patch,
            Err(refusal) => return *refusal,
        };
        let now = self.clock;
        let vault = self.vault_mut(&path.key).expect("looked up above");
        merge(&mut vault.settings, &patch);
        vault.changed = now;
        if req.method == "PATCH" {
            return Reply::empty(204);
        }
        Reply::json(200, vault.child("backupstorageconfig", "vaultstorageconfig", vault.storage_config()))
    }

    /// GET of the encryption config (§6.3): platform keys, or what the vault's `encryption` says.
    pub(super) fn get_encryption(&self, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let encryption = &vault.settings["encryption"];
        let properties = if encryption.is_null() {
            // `Failed` where a first key failed is a guess: the value is the SDK's.
            let status = if vault.key == KeyUpdate::Failed { "Failed" } else { "NotEnabled" };
            json!({"useSystemAssignedIdentity": true, "encryptionAtRestType": "MicrosoftManaged", "lastUpdateStatus": status, "infrastructureEncryptionState": "Disabled"})
        } else {
            let mut shown = json!({
                "encryptionAtRestType": "CustomerManaged",
                "keyUri": encryption["keyVaultProperties"]["keyUri"],
                "subscriptionId": "",
                "lastUpdateStatus": if vault.key == KeyUpdate::Failed { "Failed" } else { "Succeeded" },
                "infrastructureEncryptionState": encryption["infrastructureEncryption"].as_str().unwrap_or("Disabled"),
                "useSystemAssignedIdentity": encryption["kekIdentity"]["useSystemAssignedIdentity"].as_bool().unwrap_or(false),
            });
            if let Some(user) = encryption.pointer("/kekIdentity/userAssignedIdentity").filter(|user| user.is_string()) {
                shown["userAssignedIdentity"] = user.clone();
            }
            shown
        };
        Reply::json(200, vault.child("backupEncryptionConfigs", "backupResourceEncryptionConfig", properties))
    }

    /// PUT (200 without a body [sdk]) or PATCH of the encryption config: the same facts as the vault's `encryption`.
    pub(super) fn write_encryption(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let asked = &req.body["properties"];
        if vault.settings["encryption"].is_null() && asked["encryptionAtRestType"] == "MicrosoftManaged" {
            return Reply::empty(200);
        }
        let patch = match settle(&self.settings, Some(vault), &json!({"encryption": encryption_of(asked)})) {
            Ok(patch) => patch,
            Err(refusal) => return *refusal,
        };
        let allowed = key_refusal(&self.settings, Some(vault), &patch, None)
            .and_then(|()| self.guarded_settings(n, vault, &patch, &asked["resourceGuardOperationRequests"]));
        if let Err(refusal) = allowed {
            return *refusal;
        }
        if let Some(finding) = self.key_denied(n, Some(vault), &patch, None) {
            return refused(&self.settings.refusals.key_access, finding.message);
        }
        let now = self.clock;
        let vault = self.vault_mut(&path.key).expect("looked up above");
        merge(&mut vault.settings, &patch);
        vault.key = KeyUpdate::Succeeded;
        vault.changed = now;
        Reply::empty(200)
    }

    /// What Site Recovery keeps of a vault that never replicated: no migration solution (site-recovery.md §5; the shape is
    /// the service's own example, the null is a guess). OpenTofu's azurerm reads it with every vault.
    pub(super) fn get_replication_settings(&self, path: &VaultPath) -> Reply {
        match self.vault(&path.key) {
            Some(vault) => Reply::json(200, vault.child("replicationVaultSettings", "default", json!({"migrationSolutionId": null}))),
            None => path.not_found(),
        }
    }

    /// Usages: counts of items and jobs; everything of other workloads is zero.
    pub(super) fn usages(&self, path: &VaultPath) -> Reply {
        match self.vault(&path.key) {
            Some(vault) => Reply::json(200, json!({"value": super::usages::rows(vault)})),
            None => path.not_found(),
        }
    }
}

/// The `encryption` of a vault in the words of the encryption config. Which identity reads the key is always said, so that
/// the other is none any more.
fn encryption_of(asked: &Value) -> Value {
    let mut encryption = json!({"keyVaultProperties": {"keyUri": asked["keyUri"].as_str().unwrap_or_default()}});
    let system = asked["useSystemAssignedIdentity"] == true;
    if system || asked["userAssignedIdentity"].is_string() {
        let user = if system { Value::Null } else { asked["userAssignedIdentity"].clone() };
        encryption["kekIdentity"] = json!({"useSystemAssignedIdentity": system, "userAssignedIdentity": user});
    }
    if let Some(state @ ("Enabled" | "Disabled")) = asked["infrastructureEncryptionState"].as_str() {
        encryption["infrastructureEncryption"] = json!(state);
    }
    encryption
}

/// The service's answer for a policy that is not there (the code is a guess).
pub(super) fn no_policy(policy: &str) -> Reply {
    backup_error(404, "BMSUserErrorPolicyNotFound", format!("The policy '{}' was not found in the vault.", leaf(policy)))
}
