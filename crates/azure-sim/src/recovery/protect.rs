//! PUT and DELETE of a protected item, and what becomes of it (backup.md §8.3, §9).

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::config::no_policy;
use super::item::{Finding, Health, Item, Protection, SoftDeleted};
use super::jobs::{Job, JobKind};
use super::limits::Daily;
use super::names::{ItemKey, OLD_VM_TYPE, VM_TYPE, canonical_location, leaf, lun};
use super::operations::{Asked, Effect, Family, Operation};
use super::policy_rules::Generation;
use super::settings::Span;
use super::state::{Event, State, backup_error, refused};
use super::vault::{SoftDelete, StorageTypeState, Vault, VaultPath};
use crate::wire::{Inbound, Neighbours, Reply};

/// What a PUT or DELETE of an item comes to.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// First protection.
    Protect {
        source_id: String,
        policy: String,
        disks: Option<Value>,
    },
    /// Another policy, other disks, or protection again.
    Move {
        policy: String,
        disks: Option<Value>,
    },
    /// Stop and retain.
    Stop,
    /// Stop and retain as the policy says.
    Suspend,
    Undelete,
    SoftDelete,
    HardDelete,
}

type Refused = Box<Reply>;

impl State {
    /// PUT of an item: 202 with an operation, or a refusal.
    pub(super) fn put_item(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, container: &str, item: &str) -> Reply {
        if self.vault(&path.key).is_none() {
            return path.not_found();
        }
        let Some(key) = item_key(container, item) else { return bad_request("The container or item name is not valid.") };
        let change = match self.read_put(&path.key, &key, &req.body["properties"]) {
            Ok(change) => change,
            Err(refusal) => return *refusal,
        };
        let (vault, asked) = (self.vault(&path.key).expect("looked up above"), &req.body["properties"]["resourceGuardOperationRequests"]);
        if let Err(refusal) = self.guarded_change(n, vault, &key, &change, asked) {
            return *refusal;
        }
        match self.start_change(n, req, &path.key, &key, change) {
            Ok(id) => {
                let raw = req.raw_path();
                self.accepted(req, &format!("{raw}/operationsStatus"), &format!("{raw}/operationResults"), &id)
            }
            Err(refusal) => *refusal,
        }
    }

    /// DELETE of an item: 204 when absent, else 202. Its status URLs lie under the vault (§3.2).
    pub(super) fn delete_item(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, container: &str, item: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(key) = item_key(container, item) else { return bad_request("The container or item name is not valid.") };
        let Some(item) = vault.items.get(&key) else { return Reply::empty(204) };
        if item.soft_deleted.is_some() {
            return refused(&self.settings.refusals.soft_deleted, "The item is in soft deleted state already. Undelete it first.");
        }
        if vault.forbids_loss(&self.settings) {
            return refused(&self.settings.refusals.immutable, "Backup data cannot be deleted while the vault is immutable.");
        }
        if let Err(refusal) = self.guarded_delete(n, vault, Some(&key)) {
            return *refusal;
        }
        let change = if vault.soft_delete() == SoftDelete::Off { Change::HardDelete } else { Change::SoftDelete };
        match self.start_change(n, req, &path.key, &key, change) {
            Ok(id) => self.accepted(req, &format!("{}/backupOperations", path.raw), &format!("{}/backupOperationResults", path.raw), &id),
            Err(refusal) => *refusal,
        }
    }

    /// GET of an item.
    pub(super) fn get_item(&self, req: &Inbound, path: &VaultPath, container: &str, item: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let found = item_key(container, item).and_then(|key| vault.items.get(&key));
        let Some(item) = found else { return no_item() };
        let mut body = item.render(vault, &self.settings, self.clock, req.api_version());
        let filter = req.query.get("$filter").map(|filter| filter.to_lowercase());
        if filter.is_some_and(|filter| filter.contains("extendedinfo")) {
            body["properties"]["extendedInfo"] = item.extended_info();
        }
        Reply::json(200, body)
    }

    /// `V/backupProtectedItems`: soft-deleted ones too (§9).
    pub(super) fn list_items(&self, req: &Inbound, path: &VaultPath) -> Reply {
        self.list(
            req,
            path,
            |vault, terms, _| Ok(vault.items.values().filter(|item| item.is_meant_by(terms)).collect()),
            |(vault, now), item: &Item| item.render(vault, &self.settings, now, req.api_version()),
        )
    }

    /// `I/operationsStatus/{id}` and `I/operationResults/{id}`.
    pub(super) fn poll_item_operation(&self, req: &Inbound, path: &VaultPath, names: (&str, &str), id: &str, asked: Asked) -> Reply {
        match item_key(names.0, names.1) {
            Some(key) => self.poll_backup_operation(req, path, id, Some(&Family::Item(key)), asked),
            None => no_item(),
        }
    }

    fn read_put(&self, vault: &str, key: &ItemKey, properties: &Value) -> Result<Change, Refused> {
        let vault = self.vault(vault).expect("the caller looked it up");
        let refusals = &self.settings.refusals;
        let of_machine = |kind: &str| [VM_TYPE, OLD_VM_TYPE].iter().any(|known| kind.eq_ignore_ascii_case(known));
        if !properties["protectedItemType"].as_str().is_some_and(of_machine) {
            return Err(Box::new(bad_request("The protected item type is not valid.")));
        }
        let old = vault.items.get(key);
        let source = properties["sourceResourceId"].as_str().or_else(|| properties["virtualMachineId"].as_str());
        let source = source.or_else(|| old.map(|item| item.source_id.as_str())).unwrap_or_default();
        let same_machine = old.is_none_or(|item| item.source_id.eq_ignore_ascii_case(source));
        if ItemKey::of_machine(source).as_ref() != Some(key) || !same_machine {
            return Err(Box::new(bad_request("The source resource does not belong to the item's name.")));
        }
        if old.is_some_and(|item| item.soft_deleted.is_some()) {
            return if properties["isRehydrate"] == true {
                Ok(Change::Undelete)
            } else {
                Err(Box::new(refused(&refusals.soft_deleted, "The item is in soft deleted state. Undelete it first.")))
            };
        }
        match properties["protectionState"].as_str() {
            Some("ProtectionStopped") => return self.read_stop(vault, old),
            Some("BackupsSuspended") => {
                // §4.3: a vault without immutability answers so, misleading as the code is.
                return if old.is_some() && vault.forbids_loss(&self.settings) {
                    Ok(Change::Suspend)
                } else {
                    Err(Box::new(refused(&refusals.immutable, "Retaining data as per policy needs an immutable vault.")))
                };
            }
            _ => {}
        }
        self.read_configure(vault, old, key, source, properties)
    }

    fn read_stop(&self, vault: &Vault, old: Option<&Item>) -> Result<Change, Refused> {
        if old.is_none() {
            return Err(Box::new(no_item()));
        }
        if vault.forbids_loss(&self.settings) {
            return Err(Box::new(refused(
                &self.settings.refusals.immutable,
                "On an immutable vault data can only be retained as per policy.",
            )));
        }
        Ok(Change::Stop)
    }

    fn read_configure(
        &self,
        vault: &Vault,
        old: Option<&Item>,
        key: &ItemKey,
        source: &str,
        properties: &Value,
    ) -> Result<Change, Refused> {
        let refusals = &self.settings.refusals;
        let asked = properties["policyId"].as_str().unwrap_or_default();
        // Whether a PUT without policyId keeps the policy is unverified (§8.3): here it must name one.
        let in_vault = asked.to_lowercase().starts_with(&format!("{}/backuppolicies/", vault.id.to_lowercase()));
        let Some(policy) = vault.policy(leaf(asked)).filter(|policy| in_vault && policy.is_for_machines()) else {
            return Err(Box::new(if asked.is_empty() { bad_request("The policy is missing.") } else { no_policy(asked) }));
        };
        let disks = properties.get("extendedProperties").filter(|value| value.is_object()).map(kept_disks);
        let name = policy.name.to_lowercase();
        let others = vault.items_under(&name) - usize::from(old.is_some_and(|item| item.policy.as_deref() == Some(name.as_str())));
        if others >= self.settings.limits.machines_per_policy {
            return Err(Box::new(refused(&refusals.machines, "The policy protects as many machines as it can.")));
        }
        // An item that was stopped or undeleted comes back no sooner than the other vault lets go: a guess for those.
        if let Some(other) = self.holder_beside(vault, key, source).filter(|_| old.is_none_or(|item| !item.state.backs_up())) {
            let message = format!("The virtual machine is already registered with the vault '{}'.", other.name);
            return Err(Box::new(refused(&refusals.elsewhere_protected, message)));
        }
        let Some(item) = old else {
            let coming = vault.busy.keys().filter(|busy| !vault.items.contains_key(busy)).count();
            if vault.items.len() + coming >= self.settings.limits.machines_per_vault {
                return Err(Box::new(refused(&refusals.machines, "The vault protects as many machines as it can.")));
            }
            return Ok(Change::Protect { source_id: source.to_owned(), policy: name, disks });
        };
        if item.generation > Generation::of(&policy.properties) {
            return Err(Box::new(refused(&refusals.policy_downgrade, "An item under an enhanced policy cannot move to a standard one.")));
        }
        let before = item.policy.as_deref().and_then(|name| vault.policy(name)).and_then(super::policy::Policy::retention);
        let shorter = matches!((before, policy.retention()), (Some(old), Some(new)) if old.shortened_by(&new));
        if shorter && vault.forbids_loss(&self.settings) {
            return Err(Box::new(refused(&refusals.immutable, "Retention cannot be reduced while the vault is immutable.")));
        }
        Ok(Change::Move { policy: name, disks })
    }

    fn start_change(
        &mut self,
        n: &dyn Neighbours,
        req: &Inbound,
        vault_key: &str,
        key: &ItemKey,
        change: Change,
    ) -> Result<String, Refused> {
        let (now, settings) = (self.clock, self.settings.clone());
        let vault = self.vault_mut(vault_key).expect("the caller looked it up");
        if vault.busy.contains_key(key) {
            return Err(Box::new(refused(
                &settings.refusals.item_busy,
                "Another operation is in progress on this item. Wait for it to end and try again.",
            )));
        }
        let limit = settings.limits.protection_changes;
        if !vault.protection_changes.admit(now, limit) {
            let message = format!("The limit of '{limit}' protection changes on this vault in 24 hours is reached.");
            return Err(Box::new(refused(&settings.refusals.protection_changes, message)));
        }
        let span = change.span(&settings.durations);
        let (kind, bag) = change.job(vault, key);
        let friendly = change.friendly_name(vault, key);
        let activity = req.client_request_id().map_or_else(|| n.guid(), str::to_owned);
        let (id, job_id) = (n.guid(), n.guid());
        vault.jobs.insert(job_id.clone(), Job::new(job_id.clone(), kind, key.clone(), friendly, now, activity, bag));
        vault.busy.insert(key.clone(), id.clone());
        let id = self.begin(n, vault_key, id, Family::Item(key.clone()), Effect::Item(change), span);
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.job = Some(job_id);
        }
        Ok(id)
    }

    /// Carries out what an operation was started for; the finding when it cannot be done after all.
    pub(super) fn item_changed(&mut self, n: &dyn Neighbours, operation: &Operation, change: &Change) -> Option<Finding> {
        let (vault, Family::Item(key)) = (&operation.vault, &operation.family) else { return None };
        match change {
            Change::Protect { source_id, policy, disks } => return self.protected(n, vault, key, source_id, policy, disks.clone()),
            Change::Move { policy, disks } => self.moved(n, vault, key, policy, disks.clone()),
            Change::Stop | Change::Suspend => {
                if let Some(item) = self.item_mut(vault, key) {
                    if matches!(change, Change::Stop) {
                        item.state = Protection::Stopped;
                        item.policy = None;
                    } else {
                        item.state = Protection::Suspended;
                    }
                }
                self.plan_backup(n, vault, key);
            }
            Change::Undelete => {
                let until = self.clock + self.settings.stale_container;
                if let Some(item) = self.item_mut(vault, key) {
                    item.soft_deleted = None;
                    item.stale_container_until = Some(until);
                }
            }
            Change::SoftDelete => {
                let days = self.vault(vault).map_or(14, Vault::soft_delete_days);
                let until = operation.started + SignedDuration::from_hours(24 * days);
                if let Some(item) = self.item_mut(vault, key) {
                    item.state = Protection::Stopped;
                    item.policy = None;
                    item.soft_deleted = Some(SoftDeleted { at: operation.started, until });
                }
                self.plan_backup(n, vault, key);
                self.after(until, Event::Purge { vault: vault.clone(), item: key.clone() });
            }
            Change::HardDelete => {
                if let Some(vault) = self.vault_mut(vault) {
                    vault.items.remove(key);
                }
            }
        }
        None
    }

    fn protected(
        &mut self,
        n: &dyn Neighbours,
        vault_key: &str,
        key: &ItemKey,
        source_id: &str,
        policy: &str,
        disks: Option<Value>,
    ) -> Option<Finding> {
        // Checked late, as documented (§8.3): the PUT was accepted.
        let Some(machine) = n.machine(source_id) else {
            return Some(Finding::new(400_136, "UserErrorVmNotFoundV2", "The virtual machine was not found."));
        };
        let schedule = self.next_number();
        let vault = self.vault_mut(vault_key)?;
        if canonical_location(&machine.location) != vault.location {
            return Some(Finding::new(
                400_175,
                "UserErrorVmVaultLocationMismatch",
                "The virtual machine and the vault are in different regions.",
            ));
        }
        let generation = vault.policy(policy).map_or(Generation::V1, |policy| Generation::of(&policy.properties));
        vault.storage = StorageTypeState::Locked;
        vault.discovered.remove(&source_id.to_lowercase());
        let item = Item {
            key: key.clone(),
            source_id: source_id.to_owned(),
            friendly_name: leaf(&machine.id).to_owned(),
            policy: Some(policy.to_owned()),
            generation,
            state: Protection::IrPending,
            extended: disks,
            soft_deleted: None,
            last_backup: None,
            last_point: None,
            data_id: digits(n.chance()).to_string(),
            health: Health::unknown(),
            failures_in_a_row: 0,
            points: Vec::new(),
            running: None,
            on_demand: Daily::default(),
            schedule,
            sweep_at: None,
            stale_container_until: None,
            overrides: BTreeMap::new(),
        };
        vault.items.insert(key.clone(), item);
        self.plan_backup(n, vault_key, key);
        None
    }

    fn moved(&mut self, n: &dyn Neighbours, vault_key: &str, key: &ItemKey, policy: &str, disks: Option<Value>) {
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let generation = vault.policy(policy).map(|policy| Generation::of(&policy.properties));
        let Some(item) = vault.items.get_mut(key) else { return };
        item.policy = Some(policy.to_owned());
        item.generation = generation.unwrap_or(item.generation);
        if !item.state.backs_up() {
            item.state = item.resumed_state();
        }
        if disks.is_some() {
            item.extended = disks;
        }
        self.keep_by_policy(vault_key, key);
        self.plan_backup(n, vault_key, key);
    }

    pub(super) fn purge(&mut self, vault: &str, key: &ItemKey) {
        let now = self.clock;
        if let Some(vault) = self.vault_mut(vault)
            && vault.items.get(key).and_then(|item| item.soft_deleted).is_some_and(|deleted| deleted.until <= now)
        {
            vault.items.remove(key);
        }
    }
}

impl Item {
    /// Whether a filter of `backupProtectedItems` lets the item through.
    pub(super) fn is_meant_by(&self, terms: &BTreeMap<String, String>) -> bool {
        let matches = |term: &str, value: &str| terms.get(term).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value));
        matches("backupmanagementtype", "AzureIaasVM")
            && matches("itemtype", "VM")
            && matches("policyname", self.policy.as_deref().unwrap_or_default())
            && matches("friendlyname", &self.friendly_name)
            && matches("containername", self.key.as_str())
    }
}

impl Change {
    fn span(&self, durations: &super::settings::Durations) -> Span {
        match self {
            Change::Protect { .. } => durations.enable,
            Change::Move { .. } => durations.change,
            Change::Stop | Change::Suspend => durations.stop,
            Change::Undelete => durations.undelete,
            Change::SoftDelete => durations.soft_delete,
            Change::HardDelete => durations.hard_delete,
        }
    }

    fn friendly_name(&self, vault: &Vault, key: &ItemKey) -> String {
        match self {
            Change::Protect { source_id, .. } => leaf(source_id).to_owned(),
            _ => vault.items.get(key).map(|item| item.friendly_name.clone()).unwrap_or_default(),
        }
    }

    /// Operation name and property bag of its job (§11.1).
    fn job(&self, vault: &Vault, key: &ItemKey) -> (JobKind, Map<String, Value>) {
        let mut bag = Map::new();
        bag.insert("VM Name".to_owned(), json!(self.friendly_name(vault, key)));
        let kind = match self {
            Change::Protect { policy, .. } | Change::Move { policy, .. } => {
                bag.insert("Policy Name".to_owned(), json!(vault.policy(policy).map(|policy| policy.name.as_str())));
                JobKind::ConfigureBackup
            }
            Change::Stop | Change::Suspend => {
                bag.insert("Policy Name".to_owned(), json!(""));
                JobKind::DisableBackup
            }
            Change::Undelete => {
                bag.insert("Undelete flag".to_owned(), json!("True"));
                JobKind::Undelete
            }
            Change::SoftDelete | Change::HardDelete => {
                let points = vault.items.get(key).map_or(0, |item| item.points.len());
                bag.insert("Number of Recovery Points".to_owned(), json!(points.to_string()));
                JobKind::DeleteBackupData
            }
        };
        (kind, bag)
    }
}

/// The key that both names of an item's path agree on.
pub(super) fn item_key(container: &str, item: &str) -> Option<ItemKey> {
    ItemKey::of_container(container).filter(|key| ItemKey::of_item(item).as_ref() == Some(key))
}

/// `extendedProperties` as kept: luns as numbers, and an empty exclusion list resets (§8.3).
fn kept_disks(extended: &Value) -> Value {
    let disks = &extended["diskExclusionProperties"];
    let Some(luns) = disks["diskLunList"].as_array() else { return extended.clone() };
    if disks["isInclusionList"] == false && luns.is_empty() {
        return json!({});
    }
    let mut kept = extended.clone();
    kept["diskExclusionProperties"]["diskLunList"] =
        luns.iter().map(|named| lun(named).map_or_else(|| named.clone(), Value::from)).collect();
    kept
}

fn bad_request(message: &str) -> Reply {
    backup_error(400, "BMSUserErrorInvalidConfigureProtectionRequest", message)
}

/// The answer for an item that is not there (§4.3).
pub(super) fn no_item() -> Reply {
    backup_error(
        404,
        "BMSUserErrorDataSourceObjectNotFound",
        "Datasource not found. Please check that the datasource is protected in this vault.",
    )
}

/// A number of 15 digits, as names of points and data (§1.3).
pub(super) fn digits(chance: f64) -> u64 {
    (1e14 + chance * 8.9e14) as u64
}
