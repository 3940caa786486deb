//! What is asked of a region instead of a vault: is this machine protected, and which vaults were deleted (backup.md §5.4, §8.1).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::item::Item;
use super::names::{ItemKey, canonical_location, time_text};
use super::settings::SoftDeletedStatus;
use super::state::{State, backup_error};
use super::vault::Vault;
use crate::wire::{Inbound, Reply};

/// A vault that was deleted while its soft delete was always on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DeletedVault {
    subscription_id: String,
    location: String,
    name: String,
    vault_id: String,
    at: Timestamp,
    purge_at: Timestamp,
}

impl DeletedVault {
    /// `purgeAt` is the deletion for an empty vault, else the purge of its last item (§5.4).
    pub fn of(vault: &Vault, now: Timestamp, guid: &str) -> Self {
        let last = vault.items.values().filter_map(|item| item.soft_deleted).map(|deleted| deleted.until).max();
        DeletedVault {
            subscription_id: vault.subscription_id.clone(),
            location: vault.location.clone(),
            name: format!("{}_{guid}", vault.resource_group),
            vault_id: vault.id.clone(),
            at: now,
            purge_at: last.unwrap_or(now),
        }
    }

    fn render(&self) -> Value {
        json!({
            "id": format!("/subscriptions/{}/providers/Microsoft.RecoveryServices/locations/{}/deletedVaults/{}", self.subscription_id, self.location, self.name),
            "name": self.name,
            "type": "Microsoft.RecoveryServices/locations/deletedVaults",
            "location": self.location,
            "properties": {"vaultId": self.vault_id, "vaultDeletionTime": time_text(self.at), "purgeAt": time_text(self.purge_at)},
        })
    }
}

/// For how long a vault that held nothing is still listed. A guess: its `purgeAt` is the moment of its deletion.
const EMPTY_VAULT_SHOWN: SignedDuration = SignedDuration::from_hours(24);

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
        if let Some((vault, item)) = of_region().find_map(|vault| Some((vault, vault.items.get(&key).filter(holds)?))) {
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

    /// GET `deletedVaults`, all or one of a region.
    pub(super) fn deleted_vaults(&self, req: &Inbound, subscription: &str, location: &str, name: Option<&str>) -> Reply {
        let region = canonical_location(location);
        let there = self.deleted.iter().filter(|vault| {
            let shown_until = vault.purge_at.max(vault.at + EMPTY_VAULT_SHOWN);
            vault.subscription_id.eq_ignore_ascii_case(subscription) && vault.location == region && shown_until > self.clock
        });
        match name {
            None => self.page(req, there.collect(), DeletedVault::render),
            Some(name) => there.into_iter().find(|vault| vault.name.eq_ignore_ascii_case(name)).map_or_else(
                || Reply::error(404, "ResourceNotFound", format!("The deleted vault '{name}' was not found.")),
                |vault| Reply::json(200, vault.render()),
            ),
        }
    }
}
