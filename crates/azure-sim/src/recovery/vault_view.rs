//! How a vault is shown: the echo of its creation, a read, and a list differ (backup.md §5.2).

use serde_json::{Map, Value, json};

use super::names::VAULT_TYPE;
use super::vault::{Immutability, SoftDelete, StorageTypeState, Vault, VaultState};
use crate::wire::Neighbours;

/// From this api-version on a vault shows what the service added in 2026 [recorded].
const VERSION_2026: &str = "2026-01-01";

/// Which of a vault's three faces is shown.
pub(super) enum Echo<'a> {
    /// The 201 of a PUT that makes it: only the settings that were asked for.
    Created { body: &'a Value, asked: &'a Value, version: &'a str },
    /// A GET, or the answer of a synchronous write.
    Read { version: &'a str },
    /// An element of a list, served from ARM's cache.
    Listed,
}

/// The vault as JSON.
pub(super) fn render(vault: &Vault, n: &dyn Neighbours, echo: Echo<'_>) -> Value {
    let mut body = json!({
        "id": vault.id,
        "name": vault.name,
        "type": VAULT_TYPE,
        "location": vault.location,
        "etag": vault.etag(),
        "sku": vault.sku,
        "properties": properties(vault, &echo),
    });
    // Resource Manager keeps tags; those of a PUT are not with it yet.
    let tags = match &echo {
        Echo::Created { body, .. } if body["tags"].is_object() => body["tags"].clone(),
        _ => json!(n.tags(&vault.id)),
    };
    if tags.as_object().is_some_and(|tags| !tags.is_empty()) {
        body["tags"] = tags;
    }
    if let Some(identity) = &vault.identity {
        body["identity"] = identity.clone();
    }
    body
}

fn properties(vault: &Vault, echo: &Echo<'_>) -> Value {
    let state = match vault.provisioning {
        VaultState::Provisioning => "Provisioning",
        VaultState::Succeeded => "Succeeded",
        VaultState::Deleting => "Deleting",
    };
    let (score, level) = security_level(vault, echo);
    let mut shown = Map::new();
    for (name, value) in [
        ("provisioningState", state),
        ("privateEndpointStateForBackup", "None"),
        ("privateEndpointStateForSiteRecovery", "None"),
        ("secureScore", score),
        ("bcdrSecurityLevel", level),
    ] {
        shown.insert(name.to_owned(), json!(value));
    }
    for name in ["publicNetworkAccess", "monitoringSettings", "restoreSettings", "encryption", "costManagementSettings"] {
        if let Some(value) = vault.settings.get(name) {
            shown.insert(name.to_owned(), value.clone());
        }
    }
    // Whose the key is not is said too [recorded].
    if let Some(kek) = shown.get_mut("encryption").and_then(|e| e.get_mut("kekIdentity")).and_then(Value::as_object_mut) {
        kek.entry("userAssignedIdentity").or_insert(Value::Null);
    }
    let version = match echo {
        Echo::Listed => return Value::Object(shown),
        Echo::Created { version, .. } | Echo::Read { version } => *version,
    };
    shown.insert("redundancySettings".to_owned(), vault.settings["redundancySettings"].clone());
    let mut security = match echo {
        Echo::Created { asked, .. } => asked.get("securitySettings").map(created_security),
        _ => Some(read_security(vault)),
    };
    if !matches!(echo, Echo::Created { .. }) {
        let storage = if vault.items.is_empty() && vault.storage == StorageTypeState::Unlocked { "Unassigned" } else { "V2" };
        shown.insert("backupStorageVersion".to_owned(), json!(storage));
    }
    if version >= VERSION_2026 {
        shown.insert("regionOfChoiceSettings".to_owned(), json!({"status": "Disabled"}));
        if let Some(security) = &mut security {
            security["sourceScanConfiguration"] = json!({"state": "Disabled"});
        }
    }
    if let Some(security) = security {
        shown.insert("securitySettings".to_owned(), security);
    }
    Value::Object(shown)
}

/// In the echo of a PUT: what was asked, a null for soft delete that was not, and an `Invalid` that means nothing.
fn created_security(asked: &Value) -> Value {
    let mut security = json!({"softDeleteSettings": asked.get("softDeleteSettings"), "multiUserAuthorization": "Invalid"});
    if let Some(immutability) = asked.get("immutabilitySettings") {
        security["immutabilitySettings"] = immutability.clone();
    }
    security
}

fn read_security(vault: &Vault) -> Value {
    let security = &vault.settings["securitySettings"];
    json!({
        "immutabilitySettings": security["immutabilitySettings"],
        "softDeleteSettings": security["softDeleteSettings"],
        "multiUserAuthorization": if vault.proxy.is_some() { "Enabled" } else { "Disabled" },
    })
}

/// `secureScore` and `bcdrSecurityLevel`: None/Poor, Minimum/Fair when immutable or behind a resource guard or both,
/// Adequate/Good when soft delete is always on are recorded; Maximum/Excellent for always on with one of the others is a
/// guess. The echo of a PUT counts neither yet.
fn security_level(vault: &Vault, echo: &Echo<'_>) -> (&'static str, &'static str) {
    let (immutable, guarded) = (vault.immutability() != Immutability::Disabled, vault.proxy.is_some());
    let kept = (immutable || guarded) && !matches!(echo, Echo::Created { .. });
    match (vault.soft_delete() == SoftDelete::AlwaysOn, kept) {
        (false, false) => ("None", "Poor"),
        (false, true) => ("Minimum", "Fair"),
        (true, false) => ("Adequate", "Good"),
        (true, true) => ("Maximum", "Excellent"),
    }
}
