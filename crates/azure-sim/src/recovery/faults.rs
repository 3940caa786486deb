//! Hooks for faults and for edits behind everybody's back.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use thiserror::Error;

use super::backup::Phase;
use super::item::{Finding, Protection};
use super::jobs::TaskStatus;
use super::names::{ItemKey, VAULT_TYPE, leaf};
use super::operations::{Effect, Hold, Memory, Outcome};
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
        let operation = self.operations.get_mut(id).ok_or_else(|| HookError::Unknown(id.to_owned()))?;
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
        self.operations.get_mut(id).ok_or_else(|| HookError::Unknown(id.to_owned()))?.hold = Hold::Free;
        self.end_operation(n, id);
        self.remember();
        Ok(())
    }

    /// Lets polls of an operation answer 404 from now on; its work goes on.
    ///
    /// # Errors
    ///
    /// When there is no such operation.
    pub fn expire_operation(&mut self, id: &str) -> Result<(), HookError> {
        self.operations.get_mut(id).ok_or_else(|| HookError::Unknown(id.to_owned()))?.memory = Memory::Expired;
        Ok(())
    }

    /// Ends a running operation as `Failed`, its configuration job with it and its work undone.
    ///
    /// # Errors
    ///
    /// When there is no such operation or it has ended.
    pub fn fail_operation(&mut self, id: &str, code: &str, message: &str) -> Result<(), HookError> {
        let operation = self.operations.get(id).cloned().ok_or_else(|| HookError::Unknown(id.to_owned()))?;
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

    /// Lets a running backup job fail at the end of a phase, at once when that phase is over.
    ///
    /// # Errors
    ///
    /// When there is no such backup job or it has ended.
    pub fn fail_job(&mut self, id: &str, at: Phase, finding: Finding) -> Result<(), HookError> {
        let id = id.to_lowercase();
        let unknown = || HookError::Unknown(id.clone());
        let vault_key =
            self.vaults.iter().find(|(_, vault)| vault.jobs.contains_key(&id)).map(|(key, _)| key.clone()).ok_or_else(unknown)?;
        let job = self.vault_mut(&vault_key).and_then(|vault| vault.jobs.get_mut(&id)).ok_or_else(unknown)?;
        if !job.status.is_running() {
            return Err(HookError::Ended(id));
        }
        let run = job.run.as_mut().ok_or_else(unknown)?;
        if run.phase > at {
            self.fail_backup(&vault_key, &id, finding, TaskStatus::Failed);
        } else {
            run.doom = Some((at, finding));
        }
        self.remember();
        Ok(())
    }

    /// Lets the job that the latest request on a path led to fail: a configuration job with its operation, a backup at the
    /// end of its snapshot. Call it right after the request's 202; nothing happens when the path has no running job.
    /// `code` is a service code by number or name (`UserErrorGuestAgentStatusUnavailable`), or any other name.
    pub fn fail_next_job(&mut self, path: &str, code: &str) {
        let finding = known_finding(code);
        let (vault_key, Part::Item(key)) = split(path.trim_end_matches('/').trim_end_matches("/backup")) else { return };
        let Some(vault) = self.vault(&vault_key) else { return };
        let operation = vault.busy.get(&key).cloned();
        let backup = vault.items.get(&key).and_then(|item| item.running.clone());
        if let Some(operation) = operation.and_then(|id| self.operations.get_mut(&id)) {
            operation.doom = Some(finding);
        } else if let Some(job) = backup {
            // Refused only when the job has just ended, and then there is nothing left to fail.
            let _ended = self.fail_job(&job, Phase::Snapshot, finding);
        }
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

    /// Removes a vault, policy or item at once, as someone with more rights might.
    ///
    /// # Errors
    ///
    /// When there is no such resource.
    pub fn remove(&mut self, id: &str) -> Result<(), HookError> {
        let unknown = || HookError::Unknown(id.to_owned());
        let (vault_key, part) = split(id);
        match part {
            Part::Vault => self.vaults.remove(&vault_key).map(|_| ()).ok_or_else(unknown)?,
            Part::Policy(name) => {
                self.vault_mut(&vault_key).and_then(|vault| vault.policies.remove(&name)).map(|_| ()).ok_or_else(unknown)?
            }
            Part::Item(key) => self.vault_mut(&vault_key).and_then(|vault| vault.items.remove(&key)).map(|_| ()).ok_or_else(unknown)?,
        }
        self.remember();
        Ok(())
    }

    /// Sets a field of a vault, policy or item, without a request, an operation or a rule. `pointer` is a JSON pointer
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
}

/// The vault's key and what is meant below it.
fn split(id: &str) -> (String, Part) {
    let lower = id.trim_end_matches('/').to_lowercase();
    if let Some((vault, name)) = lower.split_once("/backuppolicies/") {
        return (vault.to_owned(), Part::Policy(name.to_owned()));
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

/// Codes seen on jobs and items (§9, §11.2).
const KNOWN: [(i64, &str); 16] = [
    (320_001, "ResourceNotFound"),
    (400_136, "UserErrorVmNotFoundV2"),
    (400_175, "UserErrorVmVaultLocationMismatch"),
    (400_196, "UserErrorGuestAgentStatusUnavailable"),
    (380_016, "UserErrorGuestAgentVersionUnsupported"),
    (400_039, "GuestAgentSnapshotTaskStatusError"),
    (400_206, "ExtensionSnapshotFailedNoNetwork"),
    (380_020, "ExtensionVCRedistInstallationFailure"),
    (400_198, "UserErrorKeyVaultPermissionsNotConfigured"),
    (400_288, "UserErrorRpCollectionDeleted"),
    (400_349, "UserErrorCrpReportedUserError"),
    (400_002, "BackUpOperationFailed"),
    (400_158, "UserErrorJobSuccessfullyCancelled"),
    (400_052, "DiffCopyFailedToTransferData"),
    (400_048, "UserErrorBCMRestoreStorageAccountNotFound"),
    (400_309, "UserErrorGenericResourceNotFound"),
];

/// The finding of a code by number or name; a name that is not known gets the number of "Backup failed with an internal error".
fn known_finding(code: &str) -> Finding {
    let known = KNOWN.iter().find(|(number, name)| name.eq_ignore_ascii_case(code) || number.to_string() == code);
    match known {
        Some((320_001, _)) => Finding::machine_gone(),
        Some((number, name)) => Finding::new(*number, name, &format!("The operation failed: {name}.")),
        None => Finding::new(400_002, code, "Backup failed with an internal error."),
    }
}
