//! `AzureAccess`: which namespaces may use which identity on which scopes, for which acts.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{ids, status::SharedStatus, words::open_words};

/// Which namespaces may use which identity on which subscriptions and resource groups, for which acts.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "breakwater.io",
    version = "v1alpha1",
    kind = "AzureAccess",
    plural = "azureaccesses",
    status = "AzureAccessStatus",
    doc = "Which namespaces may use which identity on which Azure subscriptions and resource groups, for which acts. Written by the cluster's admin.",
    shortname = "azaccess",
    category = "breakwater",
    printcolumn(name = "Cloud", type_ = "string", json_path = ".spec.cloud"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenantId"),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces.names"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct AzureAccessSpec {
    /// Which Azure cloud. Endpoints of your own need an operator flag.
    #[serde(default)]
    pub cloud: Cloud,
    /// The Entra tenant that the identity lives in.
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub tenant_id: String,
    /// How Breakwater proves who it is: exactly one of workload, operator, managed, clientSecret.
    pub identity: Identity,
    /// The namespaces whose objects may use this access: exactly one of names, selector.
    pub namespaces: Namespaces,
    /// While true, nothing new is started for any object that acts under this access; what is lent or half-open is still
    /// closed, and the world is told as it is.
    #[serde(default)]
    pub suspend: bool,
    /// What may be done where. Everything that no entry admits is refused before it is sent.
    #[schemars(length(min = 1, max = 64))]
    pub allow: Vec<Grant>,
}

/// Whether the identity can be used.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureAccessStatus {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedStatus,
}

/// The Azure clouds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Cloud {
    /// management.azure.com
    #[default]
    AzurePublic,
    /// management.usgovcloudapi.net
    AzureUSGovernment,
    /// management.chinacloudapi.cn
    AzureChina,
}

/// Exactly one of four ways to be somebody.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(has(self.workload) ? 1 : 0) + (has(self.operator) ? 1 : 0) + (has(self.managed) ? 1 : 0) + (has(self.clientSecret) ? 1 : 0) == 1").message("identity needs exactly one of workload, operator, managed, clientSecret"))]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// A ServiceAccount in the operator's namespace whose tokens Entra trusts; use one per AzureAccess.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadIdentity>,
    /// The operator pod's own federated identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<ClientIdentity>,
    /// A managed identity of the node, through the instance metadata service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<ClientIdentity>,
    /// A client secret in a Secret of the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretIdentity>,
}

/// A federated ServiceAccount.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// The client id of the app registration or user-assigned identity.
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub client_id: String,
    /// The ServiceAccount in the operator's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = ids::OBJECT_NAME))]
    pub service_account: String,
}

/// An identity that needs nothing but its client id.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientIdentity {
    /// The client id of the app registration or user-assigned identity.
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub client_id: String,
}

/// An app registration with a client secret.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretIdentity {
    /// The client id of the app registration.
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub client_id: String,
    /// Where the secret's value is, in the operator's namespace.
    pub secret_ref: SecretKey,
}

/// One key of a Secret in the operator's namespace.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = ids::OBJECT_NAME))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Exactly one of names and selector.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.names) != has(self.selector)").message("namespaces needs exactly one of names, selector"),
    validation = Rule::new("!has(self.selector) || !has(self.selector.matchExpressions) || self.selector.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))").message("an operator in matchExpressions is In or NotIn with values, or Exists or DoesNotExist without").field_path(".selector"),
)]
#[serde(rename_all = "camelCase")]
pub struct Namespaces {
    /// The namespaces by name, each spelt out; for patterns use selector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63), regex(pattern = ids::NAMESPACE)))]
    pub names: Option<Vec<String>>,
    /// The namespaces by their labels. An empty selector matches every namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl Namespaces {
    /// True when the namespace of that name and labels is admitted. An operator that we do not know admits nothing.
    pub fn admits(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match (&self.names, &self.selector) {
            (Some(names), _) => names.iter().any(|n| n == name),
            (None, Some(selector)) => selects(selector, labels),
            (None, None) => false,
        }
    }
}

pub(crate) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|rule| {
            let value = labels.get(&rule.key);
            let among = || value.is_some_and(|v| rule.values.iter().flatten().any(|w| w == v));
            match rule.operator.as_str() {
                "In" => among(),
                "NotIn" => !among(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// What may be done in some resource groups of one subscription.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The subscription.
    #[schemars(length(max = 36), regex(pattern = ids::GUID))]
    pub subscription_id: String,
    /// The resource groups, compared without case; * stands for any run of characters. ["*"] admits all of them.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 90), regex(pattern = ids::RESOURCE_GROUP_GLOB)))]
    pub resource_groups: Vec<String>,
    /// The acts: Read (look), Protect (vaults, policies, protection), Backup (start backups), Restore (to new machines and disks), ReplaceDisks (under a machine that is there), ReadData (mount the files of recovery points), Delete (remove, stop, let points expire earlier). Snapshot, Prune, Replicate, Drill, FailOver and RunRunbook are for kinds to come: they allow nothing yet.
    #[schemars(schema_with = "closed_acts")]
    pub acts: Vec<Act>,
}

open_words! {
    /// What a request does, as far as grants are concerned. Open in status, closed in the schema of `allow`.
    Act {
        /// Look.
        Read,
        /// Make and change vaults, policies and protection.
        Protect,
        /// Start a backup, or cancel one.
        Backup,
        /// Restore to something new: machines, disks.
        Restore,
        /// Put other disks under a machine that is there, and stop it for that.
        ReplaceDisks,
        /// Mount the files of a recovery point, and hand out what opens them.
        ReadData,
        /// Take snapshots.
        Snapshot,
        /// Remove snapshots that are due.
        Prune,
        /// Keep replication.
        Replicate,
        /// Test a failover.
        Drill,
        /// Fail over.
        FailOver,
        /// Run a runbook.
        RunRunbook,
        /// Remove something, stop protection, or let recovery points expire earlier.
        Delete,
    }
}

fn closed_acts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": Act::KNOWN.len(),
        "items": { "type": "string", "enum": Act::KNOWN },
        "x-kubernetes-list-type": "set",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn namespaces(json: serde_json::Value) -> Namespaces {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_namespace_is_admitted_by_name_or_by_labels_and_never_by_neither() {
        let by_name = namespaces(serde_json::json!({ "names": ["shop"] }));
        assert!(by_name.admits("shop", &labels(&[])) && !by_name.admits("shop2", &labels(&[])));
        let by_label = namespaces(serde_json::json!({ "selector": {
            "matchLabels": { "team": "a" },
            "matchExpressions": [{ "key": "env", "operator": "NotIn", "values": ["dev"] }, { "key": "dr", "operator": "Exists" }] } }));
        assert!(by_label.admits("x", &labels(&[("team", "a"), ("dr", "")])));
        for (no, why) in [
            (vec![("team", "b"), ("dr", "")], "label"),
            (vec![("team", "a"), ("env", "dev"), ("dr", "")], "NotIn"),
            (vec![("team", "a")], "Exists"),
        ] {
            assert!(!by_label.admits("x", &labels(&no)), "{why}");
        }
        assert!(!Namespaces::default().admits("shop", &labels(&[])));
        let odd =
            namespaces(serde_json::json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Gt", "values": ["1"] }] } }));
        assert!(!odd.admits("x", &labels(&[("a", "2")])));
    }
}
