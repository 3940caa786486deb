//! Hooks for faults and for edits behind everybody's back.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use thiserror::Error;

use super::backup::Phase;
use super::item::{Finding, Protection};
use super::jobs::TaskStatus;
use super::names::{ItemKey, VAULT_TYPE, leaf};
use super::operations::{Effect, Hold, Memory, Operation, Outcome};
use super::restore::{Fate, Stage};
use super::state::{Event, State};
use crate::wire::Neighbours;

/// Why a hook did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HookError {
    /// No resource, job or operation of that id.
    #[error("there is no {0}")]
    Unknown(String),
    /// It is over, so it can neither fail nor stick.
    #[error("{0} has ended")]
    Ended(String),
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
    /// The pointer does not lead to something that can be set so.
    #[error("{pointer} of {id} cannot be set to that value")]
    NotSettable {
        /// The resource.
        id: String,
        /// The JSON pointer.
        pointer: String,
    },
}

/// A vault as Resource Manager lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// ARM id.
    pub id: String,
    /// `Microsoft.RecoveryServices/vaults`
    pub kind: &'static str,
    /// Canonical region.
    pub location: String,
    /// As Resource Manager has them.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created: Timestamp,
    /// When its own settings last changed.
    pub changed: Timestamp,
}

impl State {
    /// Every vault, for `/subscriptions/{s}/resources`; as of a while ago when lists lag.
    pub fn resources(&self, n: &dyn Neighbours) -> Vec<Resource> {
        let rows = self.listed().vaults.values().map(|vault| Resource {
            id: vault.id.clone(),
            kind: VAULT_TYPE,
            location: vault.location.clone(),
            tags: n.tags(&vault.id),
            created: vault.created,
            changed: vault.changed,
        });
        rows.collect()
    }

    /// Whether a vault of that id exists, without case.
    pub fn has_vault(&self, id: &str) -> bool {
        self.vault(&id.trim_end_matches('/').to_lowercase()).is_some()
    }

    /// Keeps an operation `InProgress`, and its work undone, until [`State::release_operation`].
    ///
    /// # Errors
    ///
    /// When there is no such operation or it has ended.
    pub fn stick_operation(&mut self, id: &str) -> Result<(), HookError> {
        let operation = self.operation_mut(id)?;
        if operation.outcome != Outcome::Running {
            return Err(HookError::Ended(id.to_owned()));
        }
        operation.hold = Hold::Stuck;
        Ok(())
    }

    /// Lets a stuck operation end now.
    ///
    /// # Errors
    ///
    /// When there is no such operation.
    pub fn release_operation(&mut self, n: &dyn Neighbours, id: &str) -> Result<(), HookError> {
        let operation = self.operation_mut(id)?;
        operation.hold = Hold::Free;
        let id = operation.id.clone();
        self.end_operation(n, &id);
        self.remember();
        Ok(())
    }

    /// Lets polls of an operation answer 404 from now on; its work goes on.
    ///
    /// # Errors
    ///
    /// When there is no such operation.
    pub fn expire_operation(&mut self, id: &str) -> Result<(), HookError> {
        self.operation_mut(id)?.memory = Memory::Expired;
        Ok(())
    }

    /// Ends a running operation as `Failed`, its configuration job with it and its work undone.
    ///
    /// # Errors
    ///
    /// When there is no such operation or it has ended.
    pub fn fail_operation(&mut self, id: &str, code: &str, message: &str) -> Result<(), HookError> {
        let operation = self.operation_mut(id)?.clone();
        if operation.outcome != Outcome::Running {
            return Err(HookError::Ended(id.to_owned()));
        }
        if let (Effect::DeleteVault, Some(vault)) = (&operation.effect, self.vault_mut(&operation.vault)) {
            vault.provisioning = super::vault::VaultState::Succeeded;
        }
        self.conclude(&operation, Some(Finding::new(400_002, code, message)));
        self.remember();
        Ok(())
    }

    fn operation_mut(&mut self, id: &str) -> Result<&mut Operation, HookError> {
        let key = self.operation_key(id);
        key.and_then(|key| self.operations.get_mut(&key)).ok_or_else(|| HookError::Unknown(id.to_owned()))
    }

    /// Gives a running restore its fate; one that was stuck goes on with it.
    ///
    /// # Errors
    ///
    /// When there is no such restore or it has ended.
    pub fn doom_restore(&mut self, id: &str, fate: Fate) -> Result<(), HookError> {
        let id = id.to_lowercase();
        let found = self.vaults.iter().find_map(|(key, vault)| Some((key.clone(), vault.jobs.get(&id)?.status)));
        let (vault_key, status) = found.ok_or_else(|| HookError::Unknown(id.clone()))?;
        if !status.is_running() {
            return Err(HookError::Ended(id));
        }
        self.set_fate(&vault_key, &id, fate).ok_or_else(|| HookError::Unknown(id.clone()))?;
        self.remember();
        Ok(())
    }

    /// Lets a running backup job fail at the end of a phase, at once when that phase is over. Of a restore the first two
    /// phases are its transfer, the last is what follows.
    ///
    /// # Errors
    ///
    /// When there is no such backup or restore or it has ended.
    pub fn fail_job(&mut self, id: &str, at: Phase, finding: Finding) -> Result<(), HookError> {
        let id = id.to_lowercase();
        let unknown = || HookError::Unknown(id.clone());
        let vault_key =
            self.vaults.iter().find(|(_, vault)| vault.jobs.contains_key(&id)).map(|(key, _)| key.clone()).ok_or_else(unknown)?;
        let job = self.vault_mut(&vault_key).and_then(|vault| vault.jobs.get_mut(&id)).ok_or_else(unknown)?;
        if !job.status.is_running() {
            return Err(HookError::Ended(id));
        }
        if job.work.restore().is_some() {
            let at = if at == Phase::Validate { Stage::Finish } else { Stage::Transfer };
            self.set_fate(&vault_key, &id, Fate::Fails { at, finding });
            self.remember();
            return Ok(());
        }
        let run = job.work.backup_mut().ok_or_else(unknown)?;
        if run.phase > at {
            self.fail_backup(&vault_key, &id, finding, TaskStatus::Failed);
        } else {
            run.doom = Some((at, finding));
        }
        self.remember();
        Ok(())
    }

    /// Lets `vaultconfig` of a vault answer `config` for a while, whatever is true.
    ///
    /// # Errors
    ///
    /// When there is no such vault.
    pub fn set_stale_config(&mut self, vault_id: &str, config: Value, lasting: SignedDuration) -> Result<(), HookError> {
        let until = self.clock + lasting;
        let vault = self.vault_mut(&vault_id.to_lowercase()).ok_or_else(|| HookError::Unknown(vault_id.to_owned()))?;
        vault.stale_config = Some((until, config));
        Ok(())
    }

    /// Whether there is a vault, policy, item or point of that id.
    pub fn has(&self, id: &str) -> bool {
        let (vault, part) = split(id);
        self.vault(&vault).is_some_and(|vault| match part {
            Part::Vault => true,
            Part::Policy(name) => vault.policies.contains_key(&name),
            Part::Item(key) => vault.items.contains_key(&key),
            Part::Point(key, name) => vault.items.get(&key).is_some_and(|item| item.point(&name).is_some()),
        })
    }

    /// Ends an operation now, and says how it went.
    ///
    /// # Errors
    ///
    /// When there is no such operation, or in its words when it failed.
    pub fn finish_operation(&mut self, n: &dyn Neighbours, id: &str) -> Result<(), HookError> {
        self.release_operation(n, id)?;
        match &self.operation_mut(id)?.outcome {
            Outcome::Failed { code, message } => Err(HookError::Failed(format!("{code}: {message}"))),
            _ => Ok(()),
        }
    }

    /// Uses up a share of a day's limit, as another tool would: of a vault's `policyWrites` and `protectionChanges`, of
    /// an item's `onDemandBackups`.
    ///
    /// # Errors
    ///
    /// When there is no such vault or item, or no such limit of it.
    pub fn spend(&mut self, id: &str, limit: &str, count: usize) -> Result<(), HookError> {
        let now = self.clock;
        let (vault_key, part) = split(id);
        let unknown = || HookError::Unknown(id.to_owned());
        let vault = self.vault_mut(&vault_key).ok_or_else(unknown)?;
        match (part, limit) {
            (Part::Vault, "policyWrites") => vault.policy_writes.spend(now, count),
            (Part::Vault, "protectionChanges") => vault.protection_changes.spend(now, count),
            (Part::Item(key), "onDemandBackups") => vault.items.get_mut(&key).ok_or_else(unknown)?.on_demand.spend(now, count),
            _ => return Err(HookError::NotSettable { id: id.to_owned(), pointer: format!("/spent/{limit}") }),
        }
        Ok(())
    }

    /// Removes a vault, policy, item or point at once, as someone with more rights might.
    ///
    /// # Errors
    ///
    /// When there is no such resource.
    pub fn remove(&mut self, id: &str) -> Result<(), HookError> {
        let unknown = || HookError::Unknown(id.to_owned());
        let (vault_key, part) = split(id);
        match part {
            Part::Vault => self.take_vault(&vault_key).map(|_| ()).ok_or_else(unknown)?,
            Part::Policy(name) => {
                self.vault_mut(&vault_key).and_then(|vault| vault.policies.remove(&name)).map(|_| ()).ok_or_else(unknown)?
            }
            Part::Item(key) => self.vault_mut(&vault_key).and_then(|vault| vault.items.remove(&key)).map(|_| ()).ok_or_else(unknown)?,
            Part::Point(key, name) => {
                let item = self.item_mut(&vault_key, &key).filter(|item| item.point(&name).is_some()).ok_or_else(unknown)?;
                item.points.retain(|point| point.name != name);
            }
        }
        self.remember();
        Ok(())
    }

    /// Sets a field of a vault, policy, item or point, without a request, an operation or a rule. `pointer` is a JSON pointer
    /// into the resource as a GET shows it (`/properties/policyId`). What the model lives by changes its behaviour
    /// too; any other property of an item is shown from then on as set.
    ///
    /// # Errors
    ///
    /// When there is no such resource, or the field is not one that can be set.
    pub fn edit(&mut self, n: &dyn Neighbours, id: &str, pointer: &str, value: Value) -> Result<(), HookError> {
        let (vault_key, part) = split(id);
        let now = self.clock;
        let vault = self.vault_mut(&vault_key).ok_or_else(|| HookError::Unknown(id.to_owned()))?;
        let refuse = || HookError::NotSettable { id: id.to_owned(), pointer: pointer.to_owned() };
        let inner = pointer.strip_prefix("/properties").filter(|rest| rest.starts_with('/'));
        match part {
            Part::Vault => {
                match (inner, pointer) {
                    (Some(inner), _) => *reach(&mut vault.settings, inner).ok_or_else(refuse)? = value,
                    (None, "/sku") => vault.sku = value,
                    (None, "/identity") => vault.identity = Some(value),
                    _ => return Err(refuse()),
                }
                vault.changed = now;
            }
            Part::Policy(name) => {
                let policy = vault.policies.get_mut(&name).ok_or_else(|| HookError::Unknown(id.to_owned()))?;
                *reach(&mut policy.properties, inner.ok_or_else(refuse)?).ok_or_else(refuse)? = value;
                let users: Vec<ItemKey> = vault
                    .items
                    .values()
                    .filter(|item| item.policy.as_deref() == Some(name.as_str()))
                    .map(|item| item.key.clone())
                    .collect();
                for key in users {
                    self.keep_by_policy(&vault_key, &key);
                    self.plan_backup(n, &vault_key, &key);
                }
            }
            Part::Item(key) => {
                let field = inner.and_then(|inner| inner.strip_prefix('/')).ok_or_else(refuse)?;
                self.edit_item(&vault_key, &key, field, value).ok_or_else(refuse)?;
                self.keep_by_policy(&vault_key, &key);
                self.plan_backup(n, &vault_key, &key);
            }
            Part::Point(key, name) => {
                let item = vault.items.get_mut(&key).ok_or_else(|| HookError::Unknown(id.to_owned()))?;
                let point = item.point_mut(&name).ok_or_else(|| HookError::Unknown(id.to_owned()))?;
                point.edit(inner.unwrap_or_default(), &value).ok_or_else(refuse)?;
                self.arm_sweep(&vault_key, &key);
            }
        }
        self.remember();
        Ok(())
    }

    fn edit_item(&mut self, vault_key: &str, key: &ItemKey, field: &str, value: Value) -> Option<()> {
        let vault = self.vault_mut(vault_key)?;
        let policy = match (field, value.as_str()) {
            ("policyId", Some("")) => None,
            ("policyId", Some(id)) => Some(vault.policy(leaf(id))?.name.to_lowercase()),
            _ => None,
        };
        let item = vault.items.get_mut(key)?;
        match field {
            "policyId" => item.policy = policy,
            "protectionState" => item.state = Protection::named(value.as_str()?)?,
            "extendedProperties" => item.extended = Some(value),
            inner if inner.starts_with("extendedProperties/") => {
                *reach(item.extended.get_or_insert_default(), inner.trim_start_matches("extendedProperties"))? = value;
            }
            "lastRecoveryPoint" => item.last_point = Some(value.as_str()?.parse().ok()?),
            "sourceResourceId" => item.source_id = value.as_str()?.to_owned(),
            "deferredDeleteTimeInUTC" => {
                let deleted = item.soft_deleted.as_mut()?;
                let period = deleted.until.duration_since(deleted.at);
                deleted.at = value.as_str()?.parse().ok()?;
                deleted.until = deleted.at + period;
                let until = deleted.until;
                self.after(until, Event::Purge { vault: vault_key.to_owned(), item: key.clone() });
            }
            other if !other.contains('/') => {
                item.overrides.insert(other.to_owned(), value);
            }
            _ => return None,
        }
        Some(())
    }
}

enum Part {
    Vault,
    Policy(String),
    Item(ItemKey),
    Point(ItemKey, String),
}

/// The vault's key and what is meant below it.
fn split(id: &str) -> (String, Part) {
    let lower = id.trim_end_matches('/').to_lowercase();
    if let Some((vault, name)) = lower.split_once("/backuppolicies/") {
        return (vault.to_owned(), Part::Policy(name.to_owned()));
    }
    let point = lower.rsplit_once("/recoverypoints/").and_then(|(item, name)| {
        Some((item.split_once("/backupfabrics/")?.0.to_owned(), Part::Point(ItemKey::of_item(leaf(item))?, name.to_owned())))
    });
    if let Some(found) = point {
        return found;
    }
    match lower.split_once("/backupfabrics/").and_then(|(vault, rest)| Some((vault, ItemKey::of_item(leaf(rest))?))) {
        Some((vault, key)) => (vault.to_owned(), Part::Item(key)),
        None => (lower, Part::Vault),
    }
}

/// The place a pointer leads to, objects on the way made when missing; `None` when something else is in the way.
fn reach<'a>(value: &'a mut Value, pointer: &str) -> Option<&'a mut Value> {
    pointer.split('/').skip(1).try_fold(value, |at, name| {
        if at.is_null() {
            *at = json!({});
        }
        match at {
            Value::Object(map) => Some(map.entry(name).or_insert(Value::Null)),
            Value::Array(list) => list.get_mut(name.parse::<usize>().ok()?),
            _ => None,
        }
    })
}
