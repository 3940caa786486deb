//! The estate file: what exists in the simulated Azure before anybody calls.

pub mod load;
mod machines;
mod many;
mod vaults;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    arm::locks::Level,
    compute::machines::Agent,
    identity::{authorise::RoleFile, directory::FederatedCredential},
    settings::Settings,
};

/// Why an estate cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum EstateError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not YAML, or has a field that is unknown, missing or of the wrong kind.
    #[error("{path}: {message}")]
    Shape {
        /// Which file.
        path: String,
        /// What and where.
        message: String,
    },
    /// A field has a value that cannot be.
    #[error("{field}: {message}")]
    Field {
        /// Which field.
        field: String,
        /// Why not.
        message: String,
    },
}

impl EstateError {
    /// An error about one field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        EstateError::Field { field: field.into(), message: message.into() }
    }
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Estate {
    /// The tenant of everything that names none.
    pub tenant_id: String,
    /// Hours of world time before the start during which the estate already stood: its policies have run that long.
    #[serde(default)]
    pub history_hours: i64,
    /// Subscriptions with all that is in them.
    pub subscriptions: Vec<SubscriptionEntry>,
    /// App registrations.
    #[serde(default)]
    pub apps: Vec<AppEntry>,
    /// Managed identities.
    #[serde(default)]
    pub managed_identities: Vec<IdentityEntry>,
    /// Custom roles.
    #[serde(default)]
    pub role_definitions: Vec<RoleEntry>,
    /// Who may do what where.
    #[serde(default)]
    pub role_assignments: Vec<AssignmentEntry>,
    /// What Azure Policy denies where.
    #[serde(default)]
    pub policy_assignments: Vec<DenyEntry>,
    /// Limits, lags, durations.
    #[serde(default)]
    pub settings: Settings,
    /// Where relative paths begin; set by [`Estate::read`].
    #[serde(skip)]
    pub base: PathBuf,
}

/// A subscription.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubscriptionEntry {
    /// Its GUID.
    pub id: String,
    /// What people call it.
    pub display_name: String,
    /// Its tenant, when it is another one.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// Namespaces that are not registered.
    #[serde(default)]
    pub unregistered: Vec<String>,
    /// Cores that its quota leaves for restored machines, by region; no end to them where none is named.
    #[serde(default)]
    pub cores_left: BTreeMap<String, i64>,
    /// Its groups.
    #[serde(default)]
    pub resource_groups: Vec<GroupEntry>,
    /// Locks on the subscription.
    #[serde(default)]
    pub locks: Vec<LockEntry>,
}

/// A resource group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupEntry {
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Locks on the group.
    #[serde(default)]
    pub locks: Vec<LockEntry>,
    /// Machines; disks, interfaces and a network are made for them.
    #[serde(default)]
    pub machines: Vec<MachineEntry>,
    /// Resource guards.
    #[serde(default)]
    pub resource_guards: Vec<GuardEntry>,
    /// Key vaults, for the keys of vaults.
    #[serde(default)]
    pub key_vaults: Vec<KeyVaultEntry>,
    /// Storage accounts, for restores.
    #[serde(default)]
    pub storage_accounts: Vec<AccountEntry>,
    /// Recovery Services vaults.
    #[serde(default)]
    pub vaults: Vec<VaultEntry>,
}

/// A storage account: what a restore asks of it, and nothing that is in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountEntry {
    /// Its name.
    pub name: String,
    /// Its region, the group's when missing.
    #[serde(default)]
    pub location: Option<String>,
    /// `StorageV2`, `BlobStorage`, ...
    #[serde(default = "usual_account")]
    pub kind: String,
    /// `Standard_LRS`, `Standard_ZRS`, ...
    #[serde(default = "usual_redundancy")]
    pub sku: String,
    /// Its `networkAcls`; open to all when missing.
    #[serde(default)]
    pub network_acls: Value,
}

fn usual_account() -> String {
    "StorageV2".to_owned()
}

fn usual_redundancy() -> String {
    "Standard_LRS".to_owned()
}

/// A resource guard (Microsoft.DataProtection).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardEntry {
    /// Its name.
    pub name: String,
    /// What its owner wrote about it.
    #[serde(default)]
    pub description: String,
    /// Critical operations that it does not guard, by their whole name.
    #[serde(default)]
    pub excluded: Vec<String>,
}

/// A key vault: who may use its keys is a matter of roles at its id,
/// `{group}/providers/Microsoft.KeyVault/vaults/{name}`. A key vault that no estate has says yes to everybody.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyVaultEntry {
    /// Its name: `https://{name}.vault.azure.net`.
    pub name: String,
    /// Names of its keys.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// An Azure Policy assignment with the effect `deny`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DenyEntry {
    /// Its name.
    pub name: String,
    /// What people call it; the name when left out.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Where it holds: the id of a subscription, group or resource, or `/`.
    pub scope: String,
    /// The resource type whose PUT and PATCH it denies: `Microsoft.RecoveryServices/vaults`.
    pub deny: String,
    /// Denies only what lacks this tag.
    #[serde(default)]
    pub without_tag: Option<String>,
}

/// A lock.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LockEntry {
    /// Its name.
    pub name: String,
    /// `CanNotDelete` or `ReadOnly`.
    pub level: Level,
    /// What somebody wrote about it.
    #[serde(default)]
    pub notes: Option<String>,
}

/// The operating system of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Os {
    /// Windows.
    #[serde(alias = "windows")]
    Windows,
    /// Linux.
    #[serde(alias = "linux")]
    Linux,
}

/// A power state that lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PowerEntry {
    /// On.
    #[default]
    Running,
    /// Off, still paid for.
    Stopped,
    /// Off and released.
    Deallocated,
}

/// A machine in short form.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MachineEntry {
    /// Its name.
    pub name: String,
    /// So many of them, with `{n}` in the name.
    #[serde(default)]
    pub count: Option<u32>,
    /// Windows or Linux.
    pub os: Os,
    /// `vmSize`
    #[serde(default = "usual_size")]
    pub size: String,
    /// Its region, the group's when missing.
    #[serde(default)]
    pub location: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Sizes of its data disks in GiB, lun by lun.
    #[serde(default)]
    pub data_disks: Vec<i64>,
    /// Its power state.
    #[serde(default)]
    pub power: PowerEntry,
    /// Its availability zones.
    #[serde(default)]
    pub zones: Vec<String>,
    /// `TrustedLaunch`, ...
    #[serde(default)]
    pub security_type: Option<String>,
    /// Whether the guest agent is there.
    #[serde(default)]
    pub agent: Agent,
    /// Extensions that are in it.
    #[serde(default)]
    pub extensions: Vec<ExtensionEntry>,
    /// Locks on the machine.
    #[serde(default)]
    pub locks: Vec<LockEntry>,
}

/// An extension of a machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtensionEntry {
    /// Its name: `SiteRecovery-Linux`.
    pub name: String,
    /// Whose it is: `Microsoft.Azure.RecoveryServices.SiteRecovery`.
    pub publisher: String,
    /// Its type: `Linux`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its version.
    #[serde(default = "first_version")]
    pub version: String,
}

fn first_version() -> String {
    "1.0".to_owned()
}

fn usual_size() -> String {
    "Standard_D2s_v5".to_owned()
}

/// A vault in short form. Bodies are ARM's own and go through the same PUT as a client's.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VaultEntry {
    /// Its name.
    pub name: String,
    /// Its region, the group's when missing.
    #[serde(default)]
    pub location: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its `identity`, as ARM takes it: what reads the key of `properties.encryption`.
    #[serde(default)]
    pub identity: Option<Value>,
    /// `properties` of the vault. An immutability of `Locked` is reached as clients reach it, by a second write.
    #[serde(default)]
    pub properties: Value,
    /// `properties` of `backupconfig/vaultconfig`, when not the default.
    #[serde(default)]
    pub config: Option<Value>,
    /// Its policies.
    #[serde(default)]
    pub policies: Vec<PolicyEntry>,
    /// What it protects.
    #[serde(default)]
    pub protected_items: Vec<ItemEntry>,
    /// The resource guard before it: its name in this group, or its id.
    #[serde(default)]
    pub resource_guard: Option<String>,
    /// The fabrics of Site Recovery in it, by name, each with its region.
    #[serde(default)]
    pub replication_fabrics: BTreeMap<String, String>,
}

/// A backup policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyEntry {
    /// Its name.
    pub name: String,
    /// Its `properties`, as ARM takes them.
    pub properties: Value,
}

/// A protected machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ItemEntry {
    /// The machine: its name in this group, or its id.
    pub machine: String,
    /// So many of them, with `{n}` in the name.
    #[serde(default)]
    pub count: Option<u32>,
    /// The policy's name in this vault.
    pub policy: String,
    /// Whether a first backup was asked for.
    #[serde(default)]
    pub first_backup: bool,
}

/// An app registration.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppEntry {
    /// What people call it.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// Its service principal's object id.
    pub object_id: String,
    /// Its tenant, when it is another one.
    #[serde(default)]
    pub tenant_id: Option<String>,
    /// Client secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Federated credentials.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// A managed identity.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityEntry {
    /// What people call it.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// Its object id.
    pub object_id: String,
    /// Its ARM id, when user-assigned.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// Federated credentials.
    #[serde(default)]
    pub federated_credentials: Vec<FederatedCredential>,
}

/// Custom roles: a file, a folder of files, or one written here.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum RoleEntry {
    /// A JSON file in Azure's custom-role format, relative to the estate file.
    File {
        /// Its path.
        file: PathBuf,
    },
    /// Every `.json` of a folder, in order of name.
    Folder {
        /// Its path.
        folder: PathBuf,
    },
    /// Written here in the same format.
    Inline(RoleFile),
}

/// One assignment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignmentEntry {
    /// An app or identity by name, client id or object id.
    pub principal: String,
    /// A role by name or GUID.
    pub role: String,
    /// Where: `/`, a subscription, a group or a resource.
    pub scope: String,
}

impl Estate {
    /// Reads a file. `${NAME}` and `${NAME:-default}` in it are replaced by `values`.
    ///
    /// # Errors
    /// When it cannot be read or has another shape; the message names the field and its place.
    pub fn read(path: &Path, values: &BTreeMap<String, String>) -> Result<Self, EstateError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| EstateError::Read { path: shown.clone(), source })?;
        let mut estate = Estate::parse(&text, values).map_err(|error| match error {
            EstateError::Shape { message, .. } => EstateError::Shape { path: shown.clone(), message },
            other => other,
        })?;
        estate.base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(estate)
    }

    /// Reads a text; relative paths in it begin at the working directory.
    ///
    /// # Errors
    /// As [`Estate::read`].
    pub fn parse(text: &str, values: &BTreeMap<String, String>) -> Result<Self, EstateError> {
        let text = substitute(text, values)?;
        serde_saphyr::from_str(&text).map_err(|error| EstateError::Shape { path: "estate".to_owned(), message: error.to_string() })
    }
}

fn substitute(text: &str, values: &BTreeMap<String, String>) -> Result<String, EstateError> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, tail) = after.split_once('}').ok_or_else(|| EstateError::field("${", "is not closed by }"))?;
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, default)| (name, Some(default)));
        let value = values.get(name).map(String::as_str).or(default);
        result.push_str(before);
        result.push_str(value.ok_or_else(|| EstateError::field(format!("${{{name}}}"), "has no value: give one with --set NAME=VALUE"))?);
        rest = tail;
    }
    result.push_str(rest);
    Ok(result)
}
