//! Customer-managed keys of a vault (backup.md §5.2, §5.3, §6.3): the identity that must be there, the access it must
//! have, and no way back.

use serde_json::Value;

use super::item::Finding;
use super::settings::Settings;
use super::state::{State, backup_error, merge, refused};
use super::vault::Vault;
use super::vault_rules::Refused;
use crate::wire::{KeyAccess, Neighbours};

/// `lastUpdateStatus` of the encryption config, as far as modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyUpdate {
    /// There never was a key.
    NotEnabled,
    Succeeded,
    Failed,
}

/// The encryption and identity of a vault after a write.
fn after(vault: Option<&Vault>, patch: &Value, identity: Option<&Value>) -> (Value, Value) {
    let mut encryption = vault.map(|vault| vault.settings["encryption"].clone()).unwrap_or_default();
    if patch["encryption"].is_object() {
        if encryption.is_null() {
            encryption = Value::Object(serde_json::Map::new());
        }
        merge(&mut encryption, &patch["encryption"]);
    }
    let identity = identity.cloned().or_else(|| vault.and_then(|vault| vault.identity.clone())).unwrap_or_default();
    (encryption, identity)
}

/// The object id that reads the key; `None` when the vault does not have the identity that the encryption names.
fn reader<'a>(encryption: &Value, identity: &'a Value) -> Option<&'a str> {
    let asked = &encryption["kekIdentity"];
    if asked["useSystemAssignedIdentity"] == true {
        return identity["principalId"].as_str();
    }
    let named = asked["userAssignedIdentity"].as_str()?;
    let users = identity["userAssignedIdentities"].as_object()?;
    users.iter().find(|(id, _)| id.eq_ignore_ascii_case(named)).and_then(|(_, user)| user["principalId"].as_str())
}

/// Refuses at once what cannot be: an encryption without key, a way back to platform keys, a key that no identity of
/// the vault reads. The codes are guesses.
pub(super) fn key_refusal(behaviour: &Settings, vault: Option<&Vault>, patch: &Value, identity: Option<&Value>) -> Result<(), Refused> {
    if !patch["encryption"].is_object() && identity.is_none() {
        return Ok(());
    }
    let (encryption, identity) = after(vault, patch, identity);
    if encryption.is_null() {
        return Ok(());
    }
    if encryption["keyVaultProperties"]["keyUri"].as_str().is_none_or(str::is_empty) {
        let had = vault.is_some_and(|vault| !vault.settings["encryption"].is_null());
        let reply = if had {
            refused(&behaviour.refusals.one_way, "A vault with a customer-managed key cannot go back to platform-managed keys.")
        } else {
            backup_error(400, "CloudInvalidInputError", "The key of the encryption is missing.")
        };
        return Err(Box::new(reply));
    }
    if reader(&encryption, &identity).is_none() {
        let message = "The managed identity that the encryption names is not an identity of the vault.";
        return Err(Box::new(refused(&behaviour.refusals.key_access, message)));
    }
    Ok(())
}

impl State {
    /// Whether an object id is the own identity of a vault.
    pub(crate) fn has_principal(&self, object_id: &str) -> bool {
        let own =
            |vault: &Vault| vault.identity.as_ref().and_then(|identity| identity["principalId"].as_str()).map(str::to_ascii_lowercase);
        self.vaults.values().any(|vault| own(vault).is_some_and(|own| own == object_id))
    }

    /// Why a vault's identity cannot use the key that a write names; `None` when it can, or no key is written.
    pub(super) fn key_denied(&self, n: &dyn Neighbours, vault: Option<&Vault>, patch: &Value, identity: Option<&Value>) -> Option<Finding> {
        if !patch["encryption"].is_object() {
            return None;
        }
        let (encryption, identity) = after(vault, patch, identity);
        let uri = encryption["keyVaultProperties"]["keyUri"].as_str()?;
        let message = match n.key_access(reader(&encryption, &identity)?, uri) {
            KeyAccess::Granted | KeyAccess::Unmodelled => return None,
            KeyAccess::Denied => format!("The vault's managed identity has no access to the key '{uri}': it needs get, wrap and unwrap."),
            KeyAccess::NoSuchKey => format!("The key '{uri}' was not found."),
        };
        Some(Finding::new(400_198, &self.settings.refusals.key_access.code, &message))
    }
}
