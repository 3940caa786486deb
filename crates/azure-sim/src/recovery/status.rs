//! What is asked of a region instead of a vault: is this machine protected, can it be, and is its kind supported (backup.md §8.1).

use serde_json::json;

use super::item::Item;
use super::names::{ItemKey, canonical_location};
use super::route::not_modelled;
use super::settings::SoftDeletedStatus;
use super::state::{State, backup_error};
use crate::wire::{Inbound, Neighbours, Reply};

impl State {
    /// POST `backupStatus`: names come back also for machines that nobody protects.
    pub(super) fn backup_status(&self, req: &Inbound, location: &str) -> Reply {
        let id = req.body["resourceId"].as_str().unwrap_or_default();
        let Some(key) = ItemKey::of_machine(id).filter(|_| req.body["resourceType"] == "VM") else {
            return backup_error(400, "BMSUserErrorInvalidInput", "Input provided for the call is invalid.");
        };
        let mut body = json!({
            "protectionStatus": "NotProtected",
            "fabricName": "Azure",
            // In lower case, unlike in lists (§1.3).
            "containerName": key.container().to_lowercase(),
            "protectedItemName": key.item().to_lowercase(),
            "protectedItemsCount": 0,
            "objectType": "BackupStatusResponse",
        });
        let region = canonical_location(location);
        let of_region = || self.vaults.values().filter(|vault| vault.location == region);
        let holds = |item: &&Item| {
            item.source_id.eq_ignore_ascii_case(id)
                && (item.soft_deleted.is_none() || self.settings.soft_deleted_status == SoftDeletedStatus::Protected)
        };
        // Of a vault that keeps old points and one that backs up, the latter (a guess: nobody recorded both).
        let found = || of_region().filter_map(|vault| Some((vault, vault.items.get(&key).filter(holds)?)));
        if let Some((vault, item)) = found().find(|(_, item)| item.state.backs_up()).or_else(|| found().next()) {
            body["protectionStatus"] = json!("Protected");
            body["vaultId"] = json!(vault.id);
            if let Some(policy) = item.policy.as_deref().and_then(|name| vault.policy(name)) {
                body["policyName"] = json!(policy.name);
            }
        } else if of_region().any(|vault| vault.busy.contains_key(&key) && !vault.items.contains_key(&key)) {
            // An SDK value that no recording shows: while the first protection is under way (a guess).
            body["protectionStatus"] = json!("Protecting");
        }
        Reply::json(200, body)
    }

    /// POST `backupPreValidateProtection`: what the first PUT of an item would be refused for, or fail with (the shape and
    /// the code of a machine that is protected are the service's own example).
    pub(super) fn prevalidate(&self, n: &dyn Neighbours, req: &Inbound, location: &str) -> Reply {
        let id = req.body["resourceId"].as_str().unwrap_or_default();
        let Some(key) = ItemKey::of_machine(id).filter(|_| req.body["resourceType"] == "VM") else {
            return backup_error(400, "BMSUserErrorInvalidInput", "Input provided for the call is invalid.");
        };
        let asked = req.body["vaultId"].as_str().unwrap_or_default().trim_end_matches('/').to_lowercase();
        let held = self.vaults.values().any(|vault| vault.items.get(&key).is_some_and(|item| item.holds(id)));
        let kept = self.vault(&asked).is_some_and(|vault| vault.items.get(&key).is_some_and(|item| item.soft_deleted.is_some()));
        let flaw = match n.machine(id) {
            None => Some(("UserErrorVmNotFoundV2", "The virtual machine was not found.")),
            Some(_) if held => Some(("VirtualMachineAlreadyProtected", "The virtual machine is already protected.")),
            Some(_) if kept => Some((self.settings.refusals.soft_deleted.code.as_str(), "The item is in soft deleted state.")),
            Some(machine) if canonical_location(&machine.location) != canonical_location(location) => {
                Some(("UserErrorVmVaultLocationMismatch", "The virtual machine and the vault are in different regions."))
            }
            Some(_) => None,
        };
        let mut body = json!({
            "status": if flaw.is_some() { "Failed" } else { "Succeeded" },
            "containerName": key.container().to_lowercase(),
            "protectedItemName": key.item().to_lowercase(),
        });
        if let Some((code, message)) = flaw {
            body["errorCode"] = json!(code);
            body["errorMessage"] = json!(message);
            body["recommendation"] = json!("");
        }
        Reply::json(200, body)
    }

    /// POST `backupValidateFeatures`. That every size is supported here is a simplification; goals of backup are not modelled.
    pub(super) fn validate_features(&self, req: &Inbound) -> Reply {
        match req.body["featureType"].as_str() {
            Some("AzureVMResourceBackup") => Reply::json(200, json!({"supportStatus": "Supported"})),
            Some(_) => not_modelled(req),
            None => backup_error(400, "BMSUserErrorInvalidInput", "Input provided for the call is invalid. featureType is missing."),
        }
    }
}
