//! Multi-user authorisation: the proxy of a resource guard at a vault, and what it refuses (backup.md §6.4).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::names::{ItemKey, leaf, time_text};
use super::policy::Policy;
use super::protect::Change;
use super::state::{State, backup_error, merge, refused};
use super::vault::{Immutability, SoftDelete, Vault, VaultPath};
use super::vault_rules::Refused;
use crate::guards::Guarded;
use crate::wire::{GuardView, Inbound, Neighbours, Reply};

/// How long an `unlockDelete` lets a DELETE through: recorded twice.
const UNLOCKED: SignedDuration = SignedDuration::from_mins(30);

/// How long a security PIN is good for, documented.
const PIN_LIFE: SignedDuration = SignedDuration::from_mins(5);

/// The only name of a proxy.
const NAME: &str = "VaultProxy";

/// A guard at a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    /// ARM id of the guard, as sent.
    guard: String,
    updated: Timestamp,
    /// Until when the DELETE of an item is let through; `None` is that of the proxy itself.
    unlocked: BTreeMap<Option<ItemKey>, Timestamp>,
}

impl Vault {
    fn guarding(&self, n: &dyn Neighbours, operation: Guarded) -> Option<(&Proxy, Option<GuardView>)> {
        let proxy = self.proxy.as_ref()?;
        let guard = n.guard(&proxy.guard);
        // A guard that is gone guards everything, and nobody can answer for it: a guess.
        guard.as_ref().is_none_or(|guard| guard.guards(operation)).then_some((proxy, guard))
    }
}

impl State {
    fn refuse_guarded(&self, operation: Guarded, guard: &str) -> Refused {
        // The first sentence is documented (§4.3), the second a guess.
        let message = format!(
            "ResourceGuard Operation requestid is either null or empty. The operation '{}' is protected by the resource guard '{guard}'.",
            operation.operation()
        );
        Box::new(refused(&self.settings.refusals.guarded, message))
    }

    /// Refuses a guarded call whose `resourceGuardOperationRequests` do not name the operation's request.
    pub(super) fn guarded(&self, n: &dyn Neighbours, vault: &Vault, operation: Guarded, asked: &Value) -> Result<(), Refused> {
        let Some((proxy, guard)) = vault.guarding(n, operation) else { return Ok(()) };
        if guard.is_some() && names(asked, &operation.request_id(&proxy.guard)) {
            return Ok(());
        }
        Err(self.refuse_guarded(operation, &proxy.guard))
    }

    /// Refuses a guarded DELETE that was not unlocked.
    pub(super) fn guarded_delete(&self, n: &dyn Neighbours, vault: &Vault, item: Option<&ItemKey>) -> Result<(), Refused> {
        let operation = if item.is_some() { Guarded::DeleteItem } else { Guarded::DeleteProxy };
        let Some((proxy, _)) = vault.guarding(n, operation) else { return Ok(()) };
        if proxy.unlocked.get(&item.cloned()).is_some_and(|until| *until > self.clock) {
            return Ok(());
        }
        Err(self.refuse_guarded(operation, &proxy.guard))
    }

    /// Refuses a write of the vault's settings that lowers what is guarded. That fewer days of soft delete count as
    /// disabling it, and a first key as modifying the encryption, are guesses.
    pub(super) fn guarded_settings(&self, n: &dyn Neighbours, vault: &Vault, patch: &Value, asked: &Value) -> Result<(), Refused> {
        if vault.proxy.is_none() {
            return Ok(());
        }
        let mut new = vault.clone();
        merge(&mut new.settings, patch);
        let enhanced = |vault: &Vault| vault.settings["securitySettings"]["softDeleteSettings"]["enhancedSecurityState"] == "Disabled";
        let lowered = (vault.soft_delete() != SoftDelete::Off && new.soft_delete() == SoftDelete::Off)
            || new.soft_delete_days() < vault.soft_delete_days()
            || (!enhanced(vault) && enhanced(&new));
        if lowered {
            self.guarded(n, vault, Guarded::DisableSoftDelete, asked)?;
        }
        if vault.immutability() != Immutability::Disabled && new.immutability() == Immutability::Disabled {
            self.guarded(n, vault, Guarded::ReduceImmutability, asked)?;
        }
        if vault.settings["encryption"] != new.settings["encryption"] {
            self.guarded(n, vault, Guarded::ModifyEncryption, asked)?;
        }
        Ok(())
    }

    /// Refuses a change of an item that is guarded.
    pub(super) fn guarded_change(
        &self,
        n: &dyn Neighbours,
        vault: &Vault,
        key: &ItemKey,
        change: &Change,
        asked: &Value,
    ) -> Result<(), Refused> {
        match change {
            Change::Stop | Change::Suspend => self.guarded(n, vault, Guarded::StopWithRetain, asked),
            Change::Move { policy, .. } => {
                let before = vault.items.get(key).and_then(|item| vault.policy(item.policy.as_deref()?));
                let lowers = matches!((before, vault.policy(policy)), (Some(old), Some(new)) if old.lowered_by(new));
                if lowers { self.guarded(n, vault, Guarded::UpdateItem, asked) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// POST `V/backupSecurityPIN` [sdk]: what the agents of other workloads are told before they delete. Nothing here asks
    /// for it back.
    pub(super) fn security_pin(&self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        if let Err(refusal) = self.guarded(n, vault, Guarded::SecurityPin, &req.body["resourceGuardOperationRequests"]) {
            return *refusal;
        }
        let pin = format!("{:06}", (n.chance() * 1e6) as u32);
        let until = self.clock + PIN_LIFE;
        let ticks = until.as_nanosecond() / 100 + 621_355_968_000_000_000;
        Reply::json(200, json!({"token": pin, "expiryTimeInUtcTicks": i64::try_from(ticks).unwrap_or(i64::MAX), "securityPIN": pin}))
    }

    /// `V/backupResourceGuardProxies`
    pub(super) fn list_guards(&self, n: &dyn Neighbours, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let value: Vec<Value> = vault.proxy.iter().map(|proxy| show(n, vault, proxy)).collect();
        Reply::json(200, json!({"value": value}))
    }

    /// GET of a proxy.
    pub(super) fn get_guard(&self, n: &dyn Neighbours, path: &VaultPath, name: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let found = vault.proxy.as_ref().filter(|_| name.eq_ignore_ascii_case(NAME));
        found.map_or_else(|| no_proxy(name), |proxy| Reply::json(200, show(n, vault, proxy)))
    }

    /// PUT of a proxy: 200 also when it is new, as recorded.
    pub(super) fn put_guard(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, name: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(guard) = req.body["properties"]["resourceGuardResourceId"].as_str().and_then(|id| n.guard(id)) else {
            return backup_error(
                400,
                "BMSUserErrorInvalidInput",
                "Input provided for the call is invalid. There is no such resource guard.",
            );
        };
        if !name.eq_ignore_ascii_case(NAME) {
            return backup_error(
                400,
                "BMSUserErrorInvalidInput",
                format!("Input provided for the call is invalid. A proxy is named {NAME}."),
            );
        }
        // Another guard in place of the one that stands would take that one off: a guess.
        if let Some(held) = vault.proxy.as_ref().filter(|held| !held.guard.eq_ignore_ascii_case(&guard.id)) {
            return *self.refuse_guarded(Guarded::DeleteProxy, &held.guard);
        }
        let updated = self.clock;
        let vault = self.vault_mut(&path.key).expect("looked up above");
        let unlocked = vault.proxy.take().map(|held| held.unlocked).unwrap_or_default();
        vault.proxy = Some(Proxy { guard: guard.id, updated, unlocked });
        self.get_guard(n, path, NAME)
    }

    /// POST `…/unlockDelete`: 200 with the end of the time in which the DELETE is let through.
    pub(super) fn unlock_delete(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(proxy) = &vault.proxy else { return no_proxy(NAME) };
        let item = match req.body["resourceToBeDeleted"].as_str() {
            None => None,
            Some(id) => match ItemKey::of_item(&leaf(id).to_lowercase().replace("%3b", ";")) {
                Some(key) => Some(key),
                None => return backup_error(400, "BMSUserErrorInvalidInput", "Input provided for the call is invalid."),
            },
        };
        let operation = if item.is_some() { Guarded::DeleteItem } else { Guarded::DeleteProxy };
        let known = n.guard(&proxy.guard).is_some();
        if !known || !names(&req.body["resourceGuardOperationRequests"], &operation.request_id(&proxy.guard)) {
            return *self.refuse_guarded(operation, &proxy.guard);
        }
        let until = self.clock + UNLOCKED;
        if let Some(proxy) = self.vault_mut(&path.key).and_then(|vault| vault.proxy.as_mut()) {
            proxy.unlocked.insert(item, until);
        }
        Reply::json(200, json!({"unlockDeleteExpiryTime": time_text(until)}))
    }

    /// DELETE of a proxy: 200 with an empty object, as recorded; 204 when absent.
    pub(super) fn delete_guard(&mut self, n: &dyn Neighbours, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        if vault.proxy.is_none() {
            return Reply::empty(204);
        }
        if let Err(refusal) = self.guarded_delete(n, vault, None) {
            return *refusal;
        }
        if let Some(vault) = self.vault_mut(&path.key) {
            vault.proxy = None;
        }
        Reply::json(200, json!({}))
    }
}

impl Policy {
    /// Whether `other` keeps points for a shorter time, or makes fewer of them.
    pub(super) fn lowered_by(&self, other: &Policy) -> bool {
        let kept = matches!((self.retention(), other.retention()), (Some(old), Some(new)) if old.shortened_by(&new));
        let made = matches!((self.schedule(), other.schedule()), (Some(old), Some(new)) if new.per_week() < old.per_week());
        kept || made
    }
}

fn names(asked: &Value, wanted: &str) -> bool {
    let ids = asked.as_array().into_iter().flatten().filter_map(Value::as_str);
    ids.into_iter().any(|id| id.trim_end_matches('/').eq_ignore_ascii_case(wanted))
}

fn show(n: &dyn Neighbours, vault: &Vault, proxy: &Proxy) -> Value {
    let guard = n.guard(&proxy.guard);
    let guarded = Guarded::ALL.into_iter().filter(|operation| guard.as_ref().is_none_or(|guard| guard.guards(*operation)));
    let details: Vec<Value> = guarded
        .map(|operation| {
            json!({"vaultCriticalOperation": operation.operation(), "defaultResourceRequest": operation.request_id(&proxy.guard)})
        })
        .collect();
    let properties = json!({
        // In lower case, as recorded.
        "resourceGuardResourceId": proxy.guard.replace("/resourceGroups/", "/resourcegroups/"),
        "resourceGuardOperationDetails": details,
        "lastUpdatedTime": time_text(proxy.updated),
        "description": guard.map(|guard| guard.description).unwrap_or_default(),
    });
    vault.child("backupResourceGuardProxies", NAME, properties)
}

/// The answer for a proxy that is not there: the code is a guess.
fn no_proxy(name: &str) -> Reply {
    backup_error(404, "ResourceNotFound", format!("The resource guard proxy '{name}' was not found in the vault."))
}
