//! Which kinds are watched, and which of them have turns.

use kube::core::{ApiResource, DynamicObject, GroupVersionKind, TypeMeta};

/// One watched kind, as the API server names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `breakwater.io`; empty for core kinds.
    pub group: &'static str,
    /// `v1alpha1`
    pub version: &'static str,
    /// `RecoveryVault`
    pub kind: &'static str,
    /// `recoveryvaults`
    pub plural: &'static str,
    /// Where its objects live.
    pub scope: Scope,
    /// What they are watched for.
    pub role: Role,
}

/// Where a kind's objects live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the cluster.
    Cluster,
    /// In a namespace.
    Namespaced,
}

/// What a kind is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its objects have turns.
    Turned,
    /// Other kinds' turns look at the labels of its objects; nothing else of them is kept.
    Labels,
}

/// Everything this operator watches. A kind appears here and in RBAC, or nowhere.
pub const KINDS: &[Kind] = &[
    ours("AzureAccess", "azureaccesses", Scope::Cluster),
    ours("RecoveryVault", "recoveryvaults", Scope::Namespaced),
    ours("BackupPolicy", "backuppolicies", Scope::Namespaced),
    ours("ProtectedMachine", "protectedmachines", Scope::Namespaced),
    Kind { group: "", version: "v1", kind: "Namespace", plural: "namespaces", scope: Scope::Cluster, role: Role::Labels },
];

const fn ours(kind: &'static str, plural: &'static str, scope: Scope) -> Kind {
    Kind { group: "breakwater.io", version: "v1alpha1", kind, plural, scope, role: Role::Turned }
}

impl Kind {
    /// The kind as kube's dynamic API wants it.
    pub fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group, self.version, self.kind), self.plural)
    }

    /// Drops what no turn reads, so that stores stay small (architecture.md, "Memory"), and names the type, which items of
    /// a list leave out.
    pub fn trim(&self, object: &mut DynamicObject) {
        object.metadata.managed_fields = None;
        if let Some(annotations) = object.metadata.annotations.as_mut() {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
        if self.role == Role::Labels {
            object.metadata.annotations = None;
            object.data = serde_json::Value::Null;
        }
        let resource = self.resource();
        object.types = Some(TypeMeta { api_version: resource.api_version, kind: resource.kind });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: serde_json::Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn trimming_keeps_what_turns_read() {
        let mut vault = object(json!({
            "metadata": { "name": "main", "managedFields": [{ "manager": "kubectl" }],
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "breakwater.io/requested-at": "1" } },
            "spec": { "location": "westeurope" }, "status": { "observedGeneration": 1 }
        }));
        KINDS[1].trim(&mut vault);
        assert_eq!(vault.metadata.managed_fields, None);
        assert_eq!(vault.metadata.annotations.unwrap().into_keys().collect::<Vec<_>>(), ["breakwater.io/requested-at"]);
        assert_eq!(vault.data, json!({ "spec": { "location": "westeurope" }, "status": { "observedGeneration": 1 } }));
        assert_eq!(vault.types.unwrap(), TypeMeta { api_version: "breakwater.io/v1alpha1".into(), kind: "RecoveryVault".into() });
    }

    #[test]
    fn of_a_namespace_only_names_and_labels_are_kept() {
        let mut shop = object(json!({
            "metadata": { "name": "shop", "labels": { "team": "a" }, "annotations": { "big": "text" } }, "spec": { "finalizers": ["kubernetes"] }
        }));
        KINDS.iter().find(|k| k.kind == "Namespace").unwrap().trim(&mut shop);
        assert_eq!((shop.metadata.annotations, shop.data), (None, serde_json::Value::Null));
        assert_eq!(shop.metadata.labels.unwrap()["team"], "a");
    }
}
