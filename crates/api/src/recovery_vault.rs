//! `RecoveryVault`: one Recovery Services vault, with its defences.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ids,
    references::{Adopt, AllowedNamespaces, DeletionPolicy},
    spec::SharedSpec,
    status::SharedStatus,
    times,
};

/// One Recovery Services vault: where it is and how strongly it defends what it holds.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "breakwater.io",
    version = "v1alpha1",
    kind = "RecoveryVault",
    namespaced,
    doc = "One Azure Recovery Services vault. A defence that is left out is not managed; a declared one is raised when Azure shows less, and never lowered.",
    status = "RecoveryVaultStatus",
    shortname = "rvault",
    category = "breakwater",
    category = "backup",
    validation = Rule::new("!has(self.spec.accessRef) || !has(self.status) || !has(self.status.access) || self.spec.accessRef.name == self.status.access.name").message("accessRef was resolved to status.access.name and is kept: set it to that or leave it out; to act under another AzureAccess make a new object"),
    validation = Rule::new("has(self.spec.azureName) || self.metadata.name.matches('^[a-z][a-z0-9-]{1,49}$')").message("metadata.name cannot be a vault's name in Azure (2 to 50 letters, digits and hyphens, starting with a letter): set spec.azureName"),
    validation = Rule::new("(has(self.spec.azureName) ? self.spec.azureName : self.metadata.name) == (has(oldSelf.spec.azureName) ? oldSelf.spec.azureName : oldSelf.metadata.name)").message("azureName is immutable: make a new RecoveryVault"),
    printcolumn(name = "Location", type_ = "string", json_path = ".spec.location"),
    printcolumn(name = "Redundancy", type_ = "string", json_path = ".status.vault.redundancy"),
    printcolumn(name = "Soft delete", type_ = "string", json_path = ".status.vault.softDelete.state", priority = 1),
    printcolumn(name = "Immutability", type_ = "string", json_path = ".status.vault.immutability", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, kube(cel))]
#[x_kube(validation = Rule::new("!has(self.crossRegionRestore) || !self.crossRegionRestore || !has(self.redundancy) || self.redundancy == 'GeoRedundant'").message("crossRegionRestore needs redundancy: GeoRedundant").field_path(".crossRegionRestore"))]
#[serde(rename_all = "camelCase")]
pub struct RecoveryVaultSpec {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedSpec,
    /// The subscription that holds the vault.
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("subscriptionId is immutable: make a new RecoveryVault"))]
    pub subscription_id: String,
    /// The resource group that holds the vault. It must exist.
    #[schemars(length(min = 1, max = 90), regex(pattern = ids::RESOURCE_GROUP))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("resourceGroup is immutable: make a new RecoveryVault"))]
    pub resource_group: String,
    /// The region, by its short name (westeurope). Only machines of this region can be backed up into the vault.
    #[schemars(length(max = 50), regex(pattern = ids::LOCATION))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("location is immutable: make a new RecoveryVault"))]
    pub location: String,
    /// The vault's name in Azure; metadata.name when left out. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 50), regex(pattern = ids::VAULT_NAME))]
    pub azure_name: Option<String>,
    /// How backups are stored; GeoRedundant when a new vault is made without it. Azure changes it only before the first protection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redundancy: Option<Redundancy>,
    /// Whether backups can be restored in the paired region. One-way: once on, Azure never turns it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_region_restore: Option<bool>,
    /// What happens to deleted backups; Enabled with 14 days when a new vault is made without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_delete: Option<SoftDelete>,
    /// Whether points can be made to expire earlier than promised; Unlocked when a new vault is made without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutability: Option<Immutability>,
    /// Whether the vault can be reached over public networks; Enabled when a new vault is made without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_network_access: Option<PublicNetworkAccess>,
    /// With which key the vault encrypts; not managed when left out. One-way. Protection waits until it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The resource guard whose permission Azure asks for before guarded operations; calls that it guards carry the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_guard: Option<ResourceGuard>,
    /// Which namespaces' BackupPolicies may name this vault; only this one's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// Whether a vault of that name that this object did not make is taken over. IfNotWeaker: where no defence would become
    /// weaker; its tags are merged, and what is left out here stays as it is.
    #[serde(default)]
    pub adopt: Adopt,
    /// What happens to the vault when this object is deleted. Delete: it is deleted too, once nothing is in it; what blocks
    /// is in status.blockers.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Tags to keep on the vault, beside those that others set. Keys that begin with breakwater- are ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 40), schema_with = "tags")]
    #[x_kube(
        validation = Rule::new("self.all(key, !key.lowerAscii().startsWith('breakwater-'))").message("tags that begin with breakwater-, however written, are kept by Breakwater: leave them out"),
        validation = Rule::new("self.all(key, self.exists_one(other, other.lowerAscii() == key.lowerAscii()))").message("tags names one key twice: Azure compares keys without case"),
        validation = Rule::new(r"self.all(key, key.size() > 0 && key.size() <= 512 && !key.matches('[<>%&\\\\?/]'))").message("a tag's key has 1 to 512 characters, and none of < > % & \\ ? /"),
    )]
    pub tags: BTreeMap<String, String>,
}

fn tags(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "maxProperties": 40, "additionalProperties": { "type": "string", "maxLength": 256 } })
}

impl RecoveryVault {
    /// The vault's name in Azure: declared, else the object's own.
    pub fn azure_name(&self) -> &str {
        self.spec.azure_name.as_deref().or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}

/// How a vault stores what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Redundancy {
    /// Three copies in one datacentre.
    LocallyRedundant,
    /// Three copies in three zones of the region.
    ZoneRedundant,
    /// Six copies, three of them in the paired region.
    GeoRedundant,
}

/// What happens to backups that somebody deletes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SoftDelete {
    /// Enabled, or AlwaysOn, which nobody can turn off again.
    pub state: SoftDeleteState,
    /// For how many days deleted backups can be brought back, 14 to 180; 14 when a new vault is made without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 14, max = 180))]
    pub retention_days: Option<i32>,
}

/// A customer-managed key.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Encryption {
    /// The key in Key Vault, with its version or without: https://<vault>.vault.azure.net/keys/<name>.
    #[schemars(length(min = 16, max = 512), regex(pattern = ids::KEY_URI))]
    pub key_uri: String,
    /// Who reads the key: SystemAssigned (the vault's own identity) or the ARM id of a user-assigned identity. It must have been given
    /// rights on the key.
    #[schemars(length(min = 1, max = 512), regex(pattern = ids::KEY_READER))]
    pub identity: String,
}

/// A resource guard.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceGuard {
    /// Its full ARM id.
    #[schemars(length(max = 512), regex(pattern = ids::RESOURCE_GUARD_ID))]
    pub id: String,
}

/// How firmly soft delete is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SoftDeleteState {
    /// On.
    Enabled,
    /// On for ever.
    AlwaysOn,
}

/// Whether points can be made to expire earlier than promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Immutability {
    /// They can.
    Disabled,
    /// They cannot, and the setting can be taken back.
    Unlocked,
    /// They cannot, and nobody can take the setting back: asked in status.questions first.
    Locked,
}

/// Whether the vault can be reached over public networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PublicNetworkAccess {
    /// It can.
    Enabled,
    /// Through private endpoints only.
    Disabled,
}

/// What was seen of the vault.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryVaultStatus {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedStatus,
    /// The vault as Azure shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<ObservedVault>,
    /// True once the vault was seen holding an item: one-way settings then wait for a person.
    #[serde(default)]
    pub ever_protected: bool,
    /// The strongest value of each defence that spec declared and Azure showed: a spec that asks for less stops.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub declared: BTreeMap<String, String>,
    /// What keeps the vault from being deleted, in Azure's words and ids; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 1024)))]
    pub blockers: Vec<String>,
    /// The key that the vault encrypts with; absent with platform keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub key_uri: Option<String>,
    /// How many machines the vault protects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_items: Option<i64>,
}

/// The vault as Azure shows it; words are Azure's own.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedVault {
    /// The vault's ARM id.
    #[schemars(length(max = 1024))]
    pub id: String,
    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub location: Option<String>,
    /// How it stores what it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub redundancy: Option<String>,
    /// Whether cross-region restore is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cross_region_restore: Option<bool>,
    /// Soft delete as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_delete: Option<ObservedSoftDelete>,
    /// Immutability as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub immutability: Option<String>,
    /// Public network access as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub public_network_access: Option<String>,
    /// The resource guard without whose leave its defences are not lowered, where spec.resourceGuard names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub resource_guard: Option<String>,
    /// When the vault was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub first_seen: Option<Timestamp>,
}

/// Soft delete as Azure shows it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedSoftDelete {
    /// Azure's word.
    #[schemars(length(max = 64))]
    pub state: String,
    /// For how many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<i32>,
}
