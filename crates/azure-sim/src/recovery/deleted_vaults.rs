//! Vaults that were deleted while their soft delete was always on: listed by region, and brought back (backup.md §5.4).
//!
//! Nobody recorded an undelete: paths, bodies and the operation's shape are the SDK's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::item::Finding;
use super::names::{canonical_location, group_of, time_text};
use super::operations::{Asked, Effect, Family, Memory, Operation, Outcome, unknown_operation};
use super::state::{Event, State, backup_error};
use super::vault::{Vault, VaultState};
use crate::wire::{Inbound, Neighbours, Reply};

/// A vault that was deleted while its soft delete was always on.
#[derive(Clone, Debug)]
pub(super) struct DeletedVault {
    subscription_id: String,
    location: String,
    name: String,
    at: Timestamp,
    purge_at: Timestamp,
    /// What it was.
    vault: Arc<Vault>,
}

impl DeletedVault {
    /// `purgeAt` is the deletion for an empty vault, else the purge of its last item (§5.4).
    pub fn of(vault: Arc<Vault>, now: Timestamp, guid: &str) -> Self {
        let last = vault.items.values().filter_map(|item| item.soft_deleted).map(|deleted| deleted.until).max();
        DeletedVault {
            subscription_id: vault.subscription_id.clone(),
            location: vault.location.clone(),
            name: format!("{}_{guid}", vault.resource_group),
            at: now,
            purge_at: last.unwrap_or(now),
            vault,
        }
    }

    fn id(&self) -> String {
        let place = format!("/subscriptions/{}/providers/Microsoft.RecoveryServices/locations/{}", self.subscription_id, self.location);
        format!("{place}/deletedVaults/{}", self.name)
    }

    fn render(&self) -> Value {
        json!({
            "id": self.id(),
            "name": self.name,
            "type": "Microsoft.RecoveryServices/locations/deletedVaults",
            "location": self.location,
            "properties": {"vaultId": self.vault.id, "vaultDeletionTime": time_text(self.at), "purgeAt": time_text(self.purge_at)},
        })
    }
}

/// For how long a vault that held nothing is still listed. A guess: its `purgeAt` is the moment of its deletion.
const EMPTY_VAULT_SHOWN: SignedDuration = SignedDuration::from_hours(24);

fn unknown(name: &str) -> Reply {
    Reply::error(404, "ResourceNotFound", format!("The deleted vault '{name}' was not found."))
}

impl State {
    fn deleted_there(&self, subscription: &str, location: &str) -> impl Iterator<Item = &DeletedVault> {
        let region = canonical_location(location);
        self.deleted.iter().filter(move |vault| {
            let shown_until = vault.purge_at.max(vault.at + EMPTY_VAULT_SHOWN);
            vault.subscription_id.eq_ignore_ascii_case(subscription) && vault.location == region && shown_until > self.clock
        })
    }

    /// GET `deletedVaults`, all or one of a region.
    pub(super) fn deleted_vaults(&self, req: &Inbound, subscription: &str, location: &str, name: Option<&str>) -> Reply {
        let mut there = self.deleted_there(subscription, location);
        match name {
            None => self.page(req, there.collect(), DeletedVault::render),
            Some(name) => there
                .find(|vault| vault.name.eq_ignore_ascii_case(name))
                .map_or_else(|| unknown(name), |vault| Reply::json(200, vault.render())),
        }
    }

    /// POST `deletedVaults/{n}/undelete`: 202, and the vault is back in the group that was asked for. That the group may
    /// be another than it was in is concluded from its being asked.
    pub(super) fn undelete_vault(
        &mut self,
        n: &dyn Neighbours,
        req: &Inbound,
        (subscription, location): (&str, &str),
        name: &str,
    ) -> Reply {
        let Some(found) = self.deleted_there(subscription, location).find(|vault| vault.name.eq_ignore_ascii_case(name)) else {
            return unknown(name);
        };
        let (deleted, vault) = (found.name.clone(), found.vault.name.clone());
        let group = req.body["properties"]["recoveryResourceGroupId"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        let own = group.split('/').nth(2).is_some_and(|id| id.eq_ignore_ascii_case(subscription));
        if !own || group_of(&group).is_empty() {
            let message = "Input provided for the call is invalid. recoveryResourceGroupId is not a resource group of the subscription.";
            return backup_error(400, "CloudInvalidInputError", message);
        }
        if n.group_location(subscription, group_of(&group)).is_none() {
            return Reply::error(404, "ResourceGroupNotFound", format!("Resource group '{}' could not be found.", group_of(&group)));
        }
        let id = format!("{group}/providers/Microsoft.RecoveryServices/vaults/{vault}");
        if self.vault(&id.to_lowercase()).is_some() {
            // The code is a guess.
            return backup_error(409, "ResourceAlreadyExists", format!("The vault '{vault}' exists already in the resource group."));
        }
        let operation = STANDARD.encode(format!("{};{}", n.guid(), n.guid()));
        let (effect, span) = (Effect::UndeleteVault { deleted, id: id.clone() }, self.settings.durations.vault_create);
        let operation = self.begin(n, &id.to_lowercase(), operation, Family::Deleted, effect, span);
        let raw = req.raw_path();
        let base = raw.rsplit_once('/').map_or(raw.as_str(), |(base, _)| base);
        self.accepted(req, &format!("{base}/operations"), &format!("{base}/operationResults"), &operation)
    }

    /// `deletedVaults/{n}/operations/{id}` [sdk], and the other URL, whose name is a guess.
    pub(super) fn poll_undelete(&self, req: &Inbound, name: &str, id: &str, asked: Asked) -> Reply {
        let of_it = |operation: &&Operation| {
            let same = matches!(&operation.effect, Effect::UndeleteVault { deleted, .. } if deleted.eq_ignore_ascii_case(name));
            same && operation.memory == Memory::Kept
        };
        let Some(operation) = self.operations.get(id).filter(of_it) else { return unknown_operation(id) };
        if asked == Asked::Result {
            return match &operation.outcome {
                Outcome::Running => Reply::empty(202)
                    .with_header("location", self.signed(req, &req.raw_path(), req.api_version()))
                    .with_header("retry-after", self.settings.retry_after.to_string()),
                Outcome::Succeeded => Reply::empty(200),
                Outcome::Failed { code, message } => backup_error(400, code, message.clone()),
            };
        }
        let mut body = super::operations::status_body(operation, req.api_version());
        body["id"] = json!(req.raw_path());
        Reply::json(200, body)
    }

    /// The vault is back with what its items still have; those past their end are not.
    pub(super) fn vault_undeleted(&mut self, deleted: &str, id: &str) -> Option<Finding> {
        let (now, key) = (self.clock, id.to_lowercase());
        let place = self.deleted.iter().position(|vault| vault.name == deleted);
        let Some(place) = place.filter(|_| !self.vaults.contains_key(&key)) else {
            return Some(Finding::new(0, "ResourceAlreadyExists", "The vault exists already."));
        };
        let mut stored = self.deleted.remove(place).vault;
        let vault = Arc::make_mut(&mut stored);
        vault.id = id.to_owned();
        vault.resource_group = group_of(id).to_owned();
        vault.provisioning = VaultState::Succeeded;
        vault.changed = now;
        vault.items.retain(|_, item| item.soft_deleted.is_none_or(|deleted| deleted.until > now));
        let ends: Vec<_> = vault.items.values().filter_map(|item| Some((item.soft_deleted?.until, item.key.clone()))).collect();
        self.vaults.insert(key.clone(), stored);
        for (until, item) in ends {
            self.after(until, Event::Purge { vault: key.clone(), item });
        }
        None
    }
}
