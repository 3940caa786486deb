//! Vaults: create, patch, delete, read, list (backup.md §5).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::deleted_vaults::DeletedVault;
use super::guards::Proxy;
use super::item::{Finding, Item};
use super::jobs::Job;
use super::limits::Daily;
use super::names::{ItemKey, VAULT_TYPE, canonical_location, time_text};
use super::operations::{Effect, Family, Outcome, vault_operation_id};
use super::policy::{Policy, default_policies};
use super::replication::Fabric;
use super::route::unmodelled;
use super::settings::{Settings, VaultDeletion, VaultWrite};
use super::state::{State, backup_error, merge, refused};
use super::vault_keys::{KeyUpdate, key_refusal};
use super::vault_rules::{Refused, canonical_identity, initial_settings, settle};
use super::vault_view::{Echo, render};
use crate::arm::errors::gateway;
use crate::arm::subscriptions::is_region;
use crate::wire::{Inbound, Neighbours, Reply};

/// What a vault may be sold as (backup.md §5.1).
const SKUS: [&str; 2] = ["Standard", "RS0"];

/// A vault named in a request.
#[derive(Clone, Debug)]
pub(super) struct VaultPath {
    pub subscription: String,
    pub group: String,
    pub name: String,
    /// The vault's part of the path, as the caller spelled it.
    pub raw: String,
    /// The same in lower case: the key of the vault.
    pub key: String,
}

impl VaultPath {
    /// ARM's 404 for a vault, as recorded.
    pub fn not_found(&self) -> Reply {
        let message = format!(
            "The Resource '{VAULT_TYPE}/{}' under resource group '{}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            self.name, self.group
        );
        Reply::error(404, "ResourceNotFound", message).with_header("x-ms-failure-cause", "gateway")
    }
}

/// `provisioningState` of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaultState {
    /// Being created: a value the SDK's enum lacks (§3.1).
    Provisioning,
    /// There.
    Succeeded,
    /// On its way out.
    Deleting,
}

/// Whether the vault's redundancy may still be chosen (§5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageTypeState {
    /// Nothing was ever protected.
    Unlocked,
    /// Something was.
    Locked,
}

/// One vault with all that lies under it.
#[derive(Clone, Debug)]
pub struct Vault {
    /// ARM id in the spelling of its creation.
    pub id: String,
    /// Its subscription.
    pub subscription_id: String,
    /// Its resource group, as spelled at creation.
    pub resource_group: String,
    /// Its name.
    pub name: String,
    /// Canonical region.
    pub location: String,
    pub(super) sku: Value,
    pub(super) identity: Option<Value>,
    pub(super) settings: Value,
    pub(super) provisioning: VaultState,
    pub(super) storage: StorageTypeState,
    pub(super) created: Timestamp,
    pub(super) changed: Timestamp,
    pub(super) policies: BTreeMap<String, Policy>,
    pub(super) items: BTreeMap<ItemKey, Item>,
    pub(super) jobs: BTreeMap<String, Job>,
    /// Machines (lower-cased ids) that the last refresh found.
    pub(super) discovered: BTreeSet<String>,
    /// Items with an operation under way, first protection included.
    pub(super) busy: BTreeMap<ItemKey, String>,
    pub(super) policy_writes: Daily,
    pub(super) protection_changes: Daily,
    /// The resource guard before it.
    pub(super) proxy: Option<Proxy>,
    /// Regions between which Site Recovery replicates by it.
    pub(super) fabrics: Vec<Fabric>,
    /// How the last write of its key went.
    pub(super) key: KeyUpdate,
    /// What `vaultconfig` answers until a moment, instead of the truth.
    pub(super) stale_config: Option<(Timestamp, Value)>,
}

/// Soft delete of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SoftDelete {
    Off,
    On,
    AlwaysOn,
}

/// Immutability of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Immutability {
    Disabled,
    Unlocked,
    Locked,
}

impl Vault {
    fn create(path: &VaultPath, location: &str, now: Timestamp) -> Self {
        Vault {
            id: format!("/subscriptions/{}/resourceGroups/{}/providers/{VAULT_TYPE}/{}", path.subscription, path.group, path.name),
            subscription_id: path.subscription.clone(),
            resource_group: path.group.clone(),
            name: path.name.clone(),
            location: canonical_location(location),
            sku: json!({"name": "Standard"}),
            identity: None,
            settings: initial_settings(),
            provisioning: VaultState::Provisioning,
            storage: StorageTypeState::Unlocked,
            created: now,
            changed: now,
            policies: default_policies(now),
            items: BTreeMap::new(),
            jobs: BTreeMap::new(),
            discovered: BTreeSet::new(),
            busy: BTreeMap::new(),
            policy_writes: Daily::default(),
            protection_changes: Daily::default(),
            proxy: None,
            fabrics: Vec::new(),
            key: KeyUpdate::NotEnabled,
            stale_config: None,
        }
    }

    pub(super) fn soft_delete(&self) -> SoftDelete {
        match self.settings["securitySettings"]["softDeleteSettings"]["softDeleteState"].as_str() {
            Some("Disabled") => SoftDelete::Off,
            Some("AlwaysON") => SoftDelete::AlwaysOn,
            _ => SoftDelete::On,
        }
    }

    pub(super) fn soft_delete_days(&self) -> i64 {
        self.settings["securitySettings"]["softDeleteSettings"]["softDeleteRetentionPeriodInDays"].as_i64().unwrap_or(14)
    }

    pub(super) fn immutability(&self) -> Immutability {
        match self.settings["securitySettings"]["immutabilitySettings"]["state"].as_str() {
            Some("Unlocked") => Immutability::Unlocked,
            Some("Locked") => Immutability::Locked,
            _ => Immutability::Disabled,
        }
    }

    /// `W/"datetime'…'"`, changing with every write (§5.2).
    pub(super) fn etag(&self) -> String {
        format!("W/\"datetime'{}'\"", time_text(self.changed).replace(':', "%3A"))
    }

    /// Lays `patch` over the settings; `vaultconfig` may be reset by it, and may not be seen at once (§5.3).
    fn write_settings(&mut self, behaviour: &Settings, patch: &Value, now: Timestamp) {
        let before = self.config();
        let security = &patch["securitySettings"]["softDeleteSettings"];
        if behaviour.vault_write == VaultWrite::ResetsConfig && security.is_null() && self.soft_delete() != SoftDelete::AlwaysOn {
            self.settings["securitySettings"]["softDeleteSettings"] = initial_settings()["securitySettings"]["softDeleteSettings"].clone();
        }
        merge(&mut self.settings, patch);
        self.changed = now;
        self.hide_config(behaviour, before, now);
    }

    pub(super) fn hide_config(&mut self, behaviour: &Settings, before: Value, now: Timestamp) {
        if !behaviour.stale_vaultconfig.is_zero() && before != self.config() {
            self.stale_config = Some((now + behaviour.stale_vaultconfig, before));
        }
    }
}

impl State {
    /// PUT of a vault: 201 always, as recorded.
    pub(super) fn put_vault(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        if let Some(refusal) = self.refuse_put(n, req, path) {
            return refusal;
        }
        let location = req.body["location"].as_str().unwrap_or_default().to_owned();
        let (patch, identity) = match self.settled(n, req, path) {
            Ok(settled) => settled,
            Err(refusal) => return *refusal,
        };
        if let Some(finding) = self.key_denied(n, self.vault(&path.key), &patch, identity.as_ref()) {
            return refused(&self.settings.refusals.key_access, finding.message);
        }
        let now = self.clock;
        let behaviour = self.settings.clone();
        let is_new = self.vault(&path.key).is_none();
        let stored = self.vaults.entry(path.key.clone()).or_insert_with(|| Vault::create(path, &location, now).into());
        let vault = std::sync::Arc::make_mut(stored);
        vault.write_settings(&behaviour, &patch, now);
        if patch["encryption"].is_object() {
            vault.key = KeyUpdate::Succeeded;
        }
        if req.body["sku"].is_object() {
            vault.sku = req.body["sku"].clone();
        }
        if identity.is_some() {
            vault.identity = identity;
        }
        let echo = render(
            vault,
            n,
            if is_new {
                Echo::Created { body: &req.body, asked: &patch, version: req.api_version() }
            } else {
                Echo::Read { version: req.api_version() }
            },
        );
        let id = vault_operation_id(2047, &n.guid());
        let id = self.begin(n, &path.key, id, Family::Vault, Effect::CreateVault, behaviour.durations.vault_create);
        Reply::json(201, echo)
            .with_header("azure-asyncoperation", self.signed(req, &format!("{}/operationStatus/{id}", path.raw), req.api_version()))
            .with_header("retry-after", self.settings.retry_after.to_string())
    }

    /// What a PUT or PATCH changes, once every rule of the vault and its guard has let it.
    fn settled(&self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Result<(Value, Option<Value>), Refused> {
        let vault = self.vault(&path.key);
        let properties = &req.body["properties"];
        let patch = settle(&self.settings, vault, properties)?;
        let old = vault.and_then(|vault| vault.identity.as_ref());
        let identity = canonical_identity(n, &req.caller.tenant_id, old, &req.body["identity"])?;
        key_refusal(&self.settings, vault, &patch, identity.as_ref())?;
        if let Some(vault) = vault {
            self.guarded_settings(n, vault, &patch, &properties["resourceGuardOperationRequests"])?;
        }
        Ok((patch, identity))
    }

    fn refuse_put(&self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Option<Reply> {
        if n.group_location(&path.subscription, &path.group).is_none() {
            let message = format!("Resource group '{}' could not be found.", path.group);
            return Some(Reply::error(404, "ResourceGroupNotFound", message));
        }
        if !valid_vault_name(&path.name) {
            return Some(backup_error(400, "InvalidResourceName", format!("The vault name '{}' is invalid.", path.name)));
        }
        let Some(location) = req.body["location"].as_str() else {
            return Some(Reply::error(400, "LocationRequired", "The location property is required for this definition."));
        };
        let region = canonical_location(location);
        match self.vault(&path.key) {
            Some(vault) if vault.location != region => {
                let message = format!(
                    "The resource '{}' already exists in location '{}' in resource group '{}'. A resource with the same name cannot be created in location '{location}'. Please select a new resource name.",
                    path.name, vault.location, path.group
                );
                Some(Reply::error(409, "InvalidResourceLocation", message))
            }
            _ if req.body["sku"]["name"].as_str().is_some_and(|name| !SKUS.iter().any(|known| known.eq_ignore_ascii_case(name))) => {
                // What Azure answers was not recorded.
                Some(unmodelled(&format!("what Azure says to the SKU {}", req.body["sku"]["name"])))
            }
            Some(_) => None,
            None if !is_region(&region) => {
                let message = format!("The provided location '{location}' is not available for resource type '{VAULT_TYPE}'.");
                Some(gateway(400, "LocationNotAvailableForResourceType", message))
            }
            None => {
                let there = self
                    .vaults
                    .values()
                    .filter(|vault| vault.subscription_id.eq_ignore_ascii_case(&path.subscription) && vault.location == region);
                (there.count() >= self.settings.limits.vaults).then(|| {
                    backup_error(
                        400,
                        "CloudDosAbsoluteLimitReached",
                        "The number of vaults in this subscription has reached the limit for the region.",
                    )
                })
            }
        }
    }

    /// PATCH of a vault: 202, or 200 with the body for changes of identity without user identities (§5.2).
    pub(super) fn patch_vault(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        if self.vault(&path.key).is_none() {
            return path.not_found();
        }
        let (patch, identity) = match self.settled(n, req, path) {
            Ok(settled) => settled,
            Err(refusal) => return *refusal,
        };
        let with_users = req.body["identity"]["userAssignedIdentities"].is_object();
        let only_identity = identity.is_some() && req.body["properties"].is_null() && !with_users;
        if only_identity {
            self.vault_patched(n, &path.key, &patch, identity.as_ref());
            let vault = self.vault(&path.key).expect("looked up above");
            return Reply::json(200, render(vault, n, Echo::Read { version: req.api_version() }));
        }
        let id = vault_operation_id(4095, &n.guid());
        let span = self.settings.durations.vault_patch;
        let id = self.begin(n, &path.key, id, Family::Vault, Effect::PatchVault { patch, identity }, span);
        self.accepted(req, &format!("{}/operationStatus", path.raw), &format!("{}/operationResults", path.raw), &id)
    }

    /// DELETE of a vault: 204 when absent, 400 with what blocks, else 202 (§5.4).
    pub(super) fn delete_vault(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return Reply::empty(204) };
        if let Some(refusal) = self.blockers(vault) {
            return refusal;
        }
        if let Some(vault) = self.vault_mut(&path.key) {
            vault.provisioning = VaultState::Deleting;
        }
        let id = vault_operation_id(1023, &n.guid());
        let span = self.settings.durations.vault_delete;
        let id = self.begin(n, &path.key, id, Family::Vault, Effect::DeleteVault, span);
        self.accepted(req, &format!("{}/operationStatus", path.raw), &format!("{}/operationResults", path.raw), &id)
    }

    /// Whether nothing in the vault of that id keeps it from being deleted.
    pub fn is_deletable(&self, id: &str) -> bool {
        self.vault(&id.to_lowercase()).is_none_or(|vault| self.blockers(vault).is_none())
    }

    fn blockers(&self, vault: &Vault) -> Option<Reply> {
        const REST: &str = "Please ensure all containers have been unregistered from the vault and all private endpoints associated with the vault have been deleted, and retry operation. For more details, see https://aka.ms/AB-AA4ecq5";
        let (soft, live): (Vec<&Item>, Vec<&Item>) = vault.items.values().partition(|item| item.soft_deleted.is_some());
        let names = |items: &[&Item]| items.iter().map(|item| item.friendly_name.as_str()).collect::<Vec<_>>().join(", ");
        if !live.is_empty() || !vault.busy.is_empty() {
            // The code is documented, the words are modelled on the recorded ones below.
            let message = format!(
                "Recovery Services vault cannot be deleted as there are existing resources within the vault.  : {}. {REST}",
                names(&live)
            );
            return Some(backup_error(400, "ServiceResourceNotEmptyWithContainerDetails", message));
        }
        if !vault.fabrics.is_empty() {
            // That it fails is documented (site-recovery.md §6); code and words are modelled on those above.
            let names: Vec<&str> = vault.fabrics.iter().map(|fabric| fabric.name.as_str()).collect();
            let message = format!(
                "Recovery Services vault cannot be deleted as there are existing resources within the vault.  : {}. {REST}",
                names.join(", ")
            );
            return Some(backup_error(400, "ServiceResourceNotEmptyWithBackendMessage", message));
        }
        let classic = match self.settings.vault_deletion {
            VaultDeletion::Classic => true,
            VaultDeletion::SecureByDefault => false,
            VaultDeletion::BySoftDeleteState => vault.soft_delete() != SoftDelete::AlwaysOn,
        };
        // Locked immutability keeps a vault with data, soft-deleted or not (§5.4); that the answer is the same is a guess.
        let kept = vault.immutability() == Immutability::Locked && soft.iter().any(|item| !item.points.is_empty());
        ((classic || kept) && !soft.is_empty()).then(|| {
            let message = format!(
                "Recovery Services vault cannot be deleted as there are backup items still present in soft delete state. Visit the following link for the steps to permanently delete soft deleted items: https://aka.ms/undeletesoftdeleteditems.  : {}. {REST}",
                names(&soft)
            );
            backup_error(400, "ServiceResourceNotEmptyWithBackendMessage", message)
        })
    }

    pub(super) fn vault_created(&mut self, key: &str) {
        let now = self.clock;
        if let Some(vault) = self.vault_mut(key).filter(|vault| vault.provisioning == VaultState::Provisioning) {
            vault.provisioning = VaultState::Succeeded;
            vault.changed = now;
        }
    }

    /// The end of a PATCH; what kept it from being done, when its key cannot be used.
    pub(super) fn vault_patched(&mut self, n: &dyn Neighbours, key: &str, patch: &Value, identity: Option<&Value>) -> Option<Finding> {
        let (now, behaviour) = (self.clock, self.settings.clone());
        let denied = self.key_denied(n, self.vault(key), patch, identity);
        let vault = self.vault_mut(key)?;
        if patch["encryption"].is_object() {
            vault.key = if denied.is_some() { KeyUpdate::Failed } else { KeyUpdate::Succeeded };
        }
        if denied.is_some() {
            return denied;
        }
        vault.write_settings(&behaviour, patch, now);
        if let Some(identity) = identity {
            vault.identity = Some(identity.clone());
        }
        None
    }

    pub(super) fn vault_deleted(&mut self, n: &dyn Neighbours, key: &str) {
        let Some(vault) = self.take_vault(key) else { return };
        if vault.soft_delete() == SoftDelete::AlwaysOn {
            self.deleted.push(DeletedVault::of(vault, self.clock, &n.guid()));
        }
    }

    /// Takes a vault away, and ends what still runs on it: a new vault of that name must not feel it.
    pub(super) fn take_vault(&mut self, key: &str) -> Option<std::sync::Arc<Vault>> {
        for operation in self.operations.values_mut().filter(|operation| operation.vault == key && operation.outcome == Outcome::Running) {
            operation.outcome = match operation.effect {
                Effect::DeleteVault => Outcome::Succeeded,
                _ => Outcome::Failed { code: "ResourceNotFound".to_owned(), message: "The vault was deleted.".to_owned() },
            };
        }
        self.vaults.remove(key)
    }

    /// GET of a vault.
    pub(super) fn get_vault(&self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath) -> Reply {
        match self.vault(&path.key) {
            Some(vault) => Reply::json(200, render(vault, n, Echo::Read { version: req.api_version() })),
            None => path.not_found(),
        }
    }

    /// Vaults of a subscription, or of one resource group of it.
    pub(super) fn list_vaults(&self, n: &dyn Neighbours, req: &Inbound, subscription: &str, group: Option<&str>) -> Reply {
        let view = self.listed();
        let there = view.vaults.values().filter(|vault| {
            vault.subscription_id.eq_ignore_ascii_case(subscription)
                && group.is_none_or(|group| vault.resource_group.eq_ignore_ascii_case(group))
        });
        self.page(req, there.collect(), |vault| render(vault, n, Echo::Listed))
    }
}

/// 2 to 50 characters: a letter, then letters, digits and hyphens (§1.3).
fn valid_vault_name(name: &str) -> bool {
    (2..=50).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
