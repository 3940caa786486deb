//! Role definitions and assignments, and the one question they answer: may this principal do this there?

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::arm::locks::covers;

/// Where a role definition comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Azure's own.
    BuiltIn,
    /// Somebody wrote it.
    Custom,
}

/// A role definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its GUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Built in or custom.
    pub origin: Origin,
    /// Allowed actions, with wildcards.
    pub actions: Vec<String>,
    /// Actions taken away again.
    pub not_actions: Vec<String>,
    /// Allowed data actions.
    pub data_actions: Vec<String>,
    /// Data actions taken away again.
    pub not_data_actions: Vec<String>,
    /// Where it may be assigned.
    pub assignable_scopes: Vec<String>,
}

/// Azure's JSON format for custom roles, as `az role definition create` takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct RoleFile {
    /// The role's name.
    pub name: String,
    /// Its GUID, when fixed.
    #[serde(default)]
    pub id: Option<String>,
    /// Always true in a file.
    #[serde(default)]
    pub is_custom: Option<bool>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Allowed actions.
    #[serde(default)]
    pub actions: Vec<String>,
    /// Actions taken away.
    #[serde(default)]
    pub not_actions: Vec<String>,
    /// Allowed data actions.
    #[serde(default)]
    pub data_actions: Vec<String>,
    /// Data actions taken away.
    #[serde(default)]
    pub not_data_actions: Vec<String>,
    /// Where it may be assigned.
    #[serde(default)]
    pub assignable_scopes: Vec<String>,
}

impl RoleFile {
    /// The role, under its own GUID or one derived from its name.
    pub fn into_role(self) -> Role {
        let derived = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, self.name.as_bytes()).to_string();
        Role {
            id: self.id.unwrap_or(derived).to_ascii_lowercase(),
            name: self.name,
            description: self.description,
            origin: Origin::Custom,
            actions: self.actions,
            not_actions: self.not_actions,
            data_actions: self.data_actions,
            not_data_actions: self.not_data_actions,
            assignable_scopes: self.assignable_scopes,
        }
    }
}

/// One role given to one principal at one scope.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Its ARM id.
    pub id: String,
    /// Its GUID.
    pub name: String,
    /// Where it holds, and below.
    pub scope: String,
    /// The role's GUID, lower case.
    pub role: String,
    /// The principal's object id.
    pub principal: String,
    /// `ServicePrincipal`, ...
    pub principal_type: String,
    /// When it was made.
    pub created: Timestamp,
}

/// All roles and assignments.
#[derive(Clone, Debug)]
pub struct Access {
    /// By lower-case GUID.
    pub roles: BTreeMap<String, Role>,
    /// By lower-case ARM id.
    pub assignments: BTreeMap<String, Assignment>,
}

impl Default for Access {
    fn default() -> Self {
        // (GUID, name, actions, notActions): the three that everybody uses; ids are Azure's own.
        let elsewhere =
            ["Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write", "Microsoft.Authorization/elevateAccess/Action"];
        let built_in: [(&str, &str, &str, &[&str]); 4] = [
            ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", "*", &[]),
            ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", "*", &elsewhere),
            ("acdd72a7-3385-48ef-bd42-f606fba81ae7", "Reader", "*/read", &[]),
            (
                "e147488a-f6f5-4113-8e2d-b22465e65bf6",
                "Key Vault Crypto Service Encryption User",
                "Microsoft.EventGrid/eventSubscriptions/read",
                &[],
            ),
        ];
        let roles = built_in.into_iter().map(|(id, name, actions, not_actions)| {
            let role = Role {
                id: id.to_owned(),
                name: name.to_owned(),
                description: format!("Built-in role {name}."),
                origin: Origin::BuiltIn,
                actions: vec![actions.to_owned()],
                not_actions: not_actions.iter().map(|&action| action.to_owned()).collect(),
                data_actions: Vec::new(),
                not_data_actions: Vec::new(),
                assignable_scopes: vec!["/".to_owned()],
            };
            (id.to_owned(), role)
        });
        let mut roles: BTreeMap<String, Role> = roles.collect();
        if let Some(role) = roles.get_mut("e147488a-f6f5-4113-8e2d-b22465e65bf6") {
            role.data_actions =
                ["read", "wrap/action", "unwrap/action"].map(|act| format!("Microsoft.KeyVault/vaults/keys/{act}")).to_vec();
        }
        // What a restore's identity takes on the staging account (the service's page on restoring with managed identities).
        let mut writer = roles["acdd72a7-3385-48ef-bd42-f606fba81ae7"].clone();
        writer.id = "ba92f5b4-2d11-453d-a403-e96b0029c9fe".to_owned();
        writer.name = "Storage Blob Data Contributor".to_owned();
        writer.actions =
            ["delete", "read", "write"].map(|act| format!("Microsoft.Storage/storageAccounts/blobServices/containers/{act}")).to_vec();
        writer.data_actions = ["delete", "read", "write", "move/action", "add/action"]
            .map(|act| format!("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/{act}"))
            .to_vec();
        roles.insert(writer.id.clone(), writer);
        // What a critical operation takes on its resource guard (backup.md §6.4).
        let mut operator = roles["acdd72a7-3385-48ef-bd42-f606fba81ae7"].clone();
        operator.id = "f54b6d04-23c6-443e-b462-9c16ab7b4a52".to_owned();
        operator.name = "Backup MUA Operator".to_owned();
        operator.actions = ["Microsoft.Authorization/*/read", "Microsoft.DataProtection/*/action", "Microsoft.DataProtection/*/read"]
            .map(str::to_owned)
            .to_vec();
        roles.insert(operator.id.clone(), operator);
        Access { roles, assignments: BTreeMap::new() }
    }
}

impl Access {
    /// A role by GUID or by name, without case.
    pub fn role(&self, key: &str) -> Option<&Role> {
        self.roles.get(&key.to_ascii_lowercase()).or_else(|| self.roles.values().find(|role| role.name.eq_ignore_ascii_case(key)))
    }

    /// Whether a principal may do `action` at `scope`.
    pub fn may(&self, principal: &str, action: &str, scope: &str) -> bool {
        let mine = self.assignments.values().filter(|given| given.principal.eq_ignore_ascii_case(principal) && covers(&given.scope, scope));
        mine.filter_map(|given| self.roles.get(&given.role)).any(|role| {
            let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
            any(&role.actions) && !any(&role.not_actions)
        })
    }

    /// Whether a principal may do a data action at `scope`.
    pub fn may_with_data(&self, principal: &str, action: &str, scope: &str) -> bool {
        let mine = self.assignments.values().filter(|given| given.principal.eq_ignore_ascii_case(principal) && covers(&given.scope, scope));
        mine.filter_map(|given| self.roles.get(&given.role)).any(|role| {
            let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
            any(&role.data_actions) && !any(&role.not_data_actions)
        })
    }

    /// Whether a principal has any role at a scope, above or below it.
    pub fn reaches_into(&self, principal: &str, scope: &str) -> bool {
        let mine = self.assignments.values().filter(|given| given.principal.eq_ignore_ascii_case(principal));
        mine.into_iter().any(|given| covers(&given.scope, scope) || covers(scope, &given.scope))
    }
}

/// Whether a pattern with `*` admits an action, without case.
pub fn matches(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_azure_matches_them() {
        let cases = [
            ("*", "Microsoft.Compute/disks/read", true),
            ("*/read", "Microsoft.Compute/disks/READ", true),
            ("*/read", "Microsoft.Compute/disks/write", false),
            ("Microsoft.RecoveryServices/Vaults/backupJobs/*", "microsoft.recoveryservices/vaults/backupjobs/cancel/action", true),
            ("Microsoft.Compute/*/read", "Microsoft.Compute/disks/read", true),
            ("Microsoft.Compute/disks/read", "Microsoft.Compute/disks/readX", false),
            ("Microsoft.Compute/disks", "Microsoft.Compute/disks/read", false),
        ];
        for (pattern, action, expected) in cases {
            assert_eq!(matches(pattern, action), expected, "{pattern} {action}");
        }
    }
}
