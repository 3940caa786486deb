//! Containers, protectable machines and the refresh that finds them (backup.md §8.2, §9).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::item::Item;
use super::names::{ItemKey, VAULT_TYPE, VM_TYPE, group_of, leaf};
use super::operations::{Asked, Effect, Family};
use super::state::{State, backup_error};
use super::vault::{Vault, VaultPath};
use crate::wire::{Inbound, Neighbours, Reply};

fn render_container(vault: &Vault, item: &Item, registration: &str) -> Value {
    let name = item.key.container();
    json!({
        "id": format!("{}/backupFabrics/Azure/protectionContainers/{name}", vault.id),
        "name": name,
        "type": format!("{VAULT_TYPE}/backupFabrics/protectionContainers"),
        "properties": {
            "virtualMachineId": item.source_id,
            "virtualMachineVersion": "Compute",
            "resourceGroup": group_of(&item.source_id),
            "friendlyName": item.friendly_name,
            "backupManagementType": "AzureIaasVM",
            "registrationStatus": registration,
            "healthStatus": "Healthy",
            "containerType": VM_TYPE,
            "protectableObjectType": VM_TYPE,
        },
    })
}

fn shown((vault, now): (&Vault, Timestamp), item: &Item) -> Value {
    render_container(vault, item, registration(item, now))
}

/// What the container list says, also when it is stale after an undelete (§9).
fn registration(item: &Item, now: Timestamp) -> &'static str {
    if item.soft_deleted.is_some() || item.stale_container_until.is_some_and(|until| now < until) { "SoftDeleted" } else { "Registered" }
}

impl State {
    /// `V/backupProtectionContainers`: containers of items that are not soft-deleted. Its filter on `status` looks at
    /// the truth, its `registrationStatus` may be stale, as recorded.
    pub(super) fn list_containers(&self, req: &Inbound, path: &VaultPath) -> Reply {
        self.list(
            req,
            path,
            |vault, terms, _| {
                // Required (§4.3).
                let Some(kind) = terms.get("backupmanagementtype") else {
                    return Err(Box::new(backup_error(
                        400,
                        "BMSUserErrorInvalidInput",
                        "Input provided for the call is invalid. backupManagementType is missing.",
                    )));
                };
                let registered = terms.get("status").is_none_or(|status| status.eq_ignore_ascii_case("Registered"));
                let wanted = vault.items.values().filter(|item| {
                    kind.eq_ignore_ascii_case("AzureIaasVM")
                        && registered
                        && item.soft_deleted.is_none()
                        && terms.get("friendlyname").is_none_or(|name| name.eq_ignore_ascii_case(&item.friendly_name))
                });
                Ok(wanted.collect())
            },
            shown,
        )
    }

    /// `V/backupDeletedProtectionContainers`.
    pub(super) fn list_deleted_containers(&self, req: &Inbound, path: &VaultPath) -> Reply {
        self.list(
            req,
            path,
            |vault, terms, _| {
                let of_kind = terms.get("backupmanagementtype").is_none_or(|kind| kind.eq_ignore_ascii_case("AzureIaasVM"));
                let wanted = vault.items.values().filter(|item| of_kind && item.soft_deleted.is_some());
                Ok(wanted.collect())
            },
            shown,
        )
    }

    /// GET of one container.
    pub(super) fn get_container(&self, path: &VaultPath, container: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        match ItemKey::of_container(container).and_then(|key| vault.items.get(&key)) {
            Some(item) => Reply::json(200, render_container(vault, item, registration(item, self.clock))),
            // The code is a guess.
            None => backup_error(404, "BMSUserErrorContainerObjectNotFound", "The container was not found in the vault."),
        }
    }

    /// `V/backupProtectableItems`: machines that the last refresh found, minus those protected anywhere.
    pub(super) fn list_protectable(&self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        let view = self.listed();
        let show = |(vault, _): (&Vault, Timestamp), (key, id): (ItemKey, String)| render_protectable(vault, &key, &id);
        self.list(
            req,
            path,
            |vault, terms, _| {
                let matches = |term: &str, value: &str| terms.get(term).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value));
                let mut found = Vec::new();
                for id in
                    vault.discovered.iter().filter(|_| matches("backupmanagementtype", "AzureIaasVM") && matches("status", "NotProtected"))
                {
                    let (Some(key), Some(machine)) = (ItemKey::of_machine(id), n.machine(id)) else { continue };
                    let protected = vault.items.contains_key(&key)
                        || view.vaults.values().any(|other| other.items.get(&key).is_some_and(|item| item.holds(id)));
                    if !protected && matches("friendlyname", leaf(&machine.id)) {
                        found.push((key, machine.id));
                    }
                }
                Ok(found)
            },
            show,
        )
    }

    /// POST `refreshContainers`: what it finds is listed when its operation is over.
    pub(super) fn refresh(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        if self.vault(&path.key).is_none() {
            return path.not_found();
        }
        let span = self.settings.durations.refresh;
        let id = self.begin(n, &path.key, n.guid(), Family::Fabric, Effect::Discover, span);
        let fabric = format!("{}/backupFabrics/Azure", path.raw);
        self.accepted(req, &format!("{fabric}/operationsStatus"), &format!("{fabric}/operationResults"), &id)
    }

    pub(super) fn poll_refresh(&self, req: &Inbound, path: &VaultPath, id: &str, asked: Asked) -> Reply {
        self.poll_backup_operation(req, path, id, Some(&Family::Fabric), asked)
    }

    pub(super) fn discovered(&mut self, n: &dyn Neighbours, vault_key: &str) {
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let machines = n.machines_in(&vault.subscription_id, &vault.location);
        vault.discovered = machines.into_iter().map(|machine| machine.id.to_lowercase()).collect();
    }
}

fn render_protectable(vault: &Vault, key: &ItemKey, machine: &str) -> Value {
    let container = key.container();
    json!({
        "id": format!("{}/backupFabrics/Azure/protectionContainers/{container}/protectableItems/vm;{}", vault.id, key.as_str()),
        // No `vm;` here.
        "name": key.as_str(),
        "type": format!("{VAULT_TYPE}/backupFabrics/protectionContainers/protectableItems"),
        "properties": {
            "virtualMachineId": machine,
            "virtualMachineVersion": "Compute",
            "resourceGroup": group_of(machine),
            "backupManagementType": "AzureIaasVM",
            "protectableItemType": VM_TYPE,
            "friendlyName": leaf(machine),
            "protectionState": "NotProtected",
        },
    })
}
