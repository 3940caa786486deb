//! The Entra directory: app registrations and managed identities.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A federated credential of an app or a user-assigned identity (compute-and-arm.md H).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FederatedCredential {
    /// The issuer, exactly as in the assertion's `iss`.
    pub issuer: String,
    /// The subject: `system:serviceaccount:{namespace}:{name}`.
    pub subject: String,
    /// The audience.
    #[serde(default = "token_exchange")]
    pub audience: String,
}

fn token_exchange() -> String {
    "api://AzureADTokenExchange".to_owned()
}

/// How a principal came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nature {
    /// An app registration with its service principal.
    App,
    /// A managed identity, with its ARM id when user-assigned.
    ManagedIdentity {
        /// Its ARM id.
        resource_id: Option<String>,
    },
}

/// Somebody who can get a token.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The client id.
    pub client_id: String,
    /// The service principal's object id.
    pub object_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// What people call it.
    pub name: String,
    /// Client secrets that are valid.
    pub secrets: Vec<String>,
    /// Federated credentials.
    pub federated: Vec<FederatedCredential>,
    /// App or managed identity.
    pub nature: Nature,
}

/// All principals of all tenants.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    principals: BTreeMap<String, Principal>,
}

impl Directory {
    /// Adds one.
    pub fn add(&mut self, principal: Principal) {
        self.principals.insert(principal.client_id.to_ascii_lowercase(), principal);
    }

    /// By client id.
    pub fn by_client_id(&self, client_id: &str) -> Option<&Principal> {
        self.principals.get(&client_id.to_ascii_lowercase())
    }

    /// By name, client id or object id: what an estate file may write.
    pub fn find(&self, word: &str) -> Option<&Principal> {
        let is = |p: &&Principal| p.name == word || p.client_id.eq_ignore_ascii_case(word) || p.object_id.eq_ignore_ascii_case(word);
        self.principals.values().find(is)
    }

    /// All of them, by client id.
    pub fn all(&self) -> impl Iterator<Item = &Principal> {
        self.principals.values()
    }

    /// The managed identity that IMDS answers for: the named one, or the first in the order of client ids.
    pub fn managed(&self, client_id: Option<&str>, object_id: Option<&str>, resource_id: Option<&str>) -> Option<&Principal> {
        let managed = self.principals.values().filter(|p| matches!(p.nature, Nature::ManagedIdentity { .. }));
        let id_of = |p: &Principal| match &p.nature {
            Nature::ManagedIdentity { resource_id } => resource_id.clone().unwrap_or_default(),
            Nature::App => String::new(),
        };
        managed.into_iter().find(|p| {
            client_id.is_none_or(|id| p.client_id.eq_ignore_ascii_case(id))
                && object_id.is_none_or(|id| p.object_id.eq_ignore_ascii_case(id))
                && resource_id.is_none_or(|id| id_of(p).eq_ignore_ascii_case(id))
        })
    }

    /// Whether any principal lives in a tenant.
    pub fn knows_tenant(&self, tenant: &str) -> bool {
        self.principals.values().any(|p| p.tenant_id.eq_ignore_ascii_case(tenant))
    }
}
