//! Which kinds are watched, and which of them have turns.

use breakwater_engine::ports::ObjectKey;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, TypeMeta};
use serde_json::Value;

/// One watched kind, as the API server names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In the cluster.
    Cluster,
    /// In a namespace.
    Namespaced,
}

/// What a kind is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Its objects have turns.
    Turned,
    /// Nothing is watched: it is read live.
    Live,
    /// Nothing is watched and nothing is read of its objects but their metadata: the operator makes some and removes them, in
    /// namespaces that let it.
    Made,
    /// Other kinds' turns look at the labels of its objects; nothing else of them is kept.
    Labels,
}

/// Everything this operator watches. A kind appears here and in RBAC, or nowhere.
pub const KINDS: &[Kind] = &[
    ours("AzureAccess", "azureaccesses", Scope::Cluster),
    ours("Approval", "approvals", Scope::Namespaced),
    ours("RecoveryVault", "recoveryvaults", Scope::Namespaced),
    ours("BackupPolicy", "backuppolicies", Scope::Namespaced),
    ours("ProtectedMachine", "protectedmachines", Scope::Namespaced),
    ours("BackupRun", "backupruns", Scope::Namespaced),
    ours("RestoreRun", "restoreruns", Scope::Namespaced),
    Kind { group: "", version: "v1", kind: "Namespace", plural: "namespaces", scope: Scope::Cluster, role: Role::Labels },
];

/// Kinds that are never watched: single objects are read live, whole.
pub const LIVE: &[Kind] = &[
    admission("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    admission("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
];

/// What holds scripts and their password. The operator has no right on any but where a namespace binds the ClusterRole
/// breakwater-file-recovery.
pub const SECRET: Kind = Kind { group: "", version: "v1", kind: "Secret", plural: "secrets", scope: Scope::Namespaced, role: Role::Made };

const fn admission(kind: &'static str, plural: &'static str) -> Kind {
    Kind { group: "admissionregistration.k8s.io", version: "v1", kind, plural, scope: Scope::Cluster, role: Role::Live }
}

/// The field that names an object of any kind of ours.
const TARGET: &str = "targetRef";

/// Fields of a spec that name another object, and its kind (api.md, "References").
pub const REFERENCES: &[(&str, &str)] =
    &[("vaultRef", "RecoveryVault"), ("policyRef", "BackupPolicy"), ("protectedMachineRef", "ProtectedMachine")];

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
        }
        if matches!(self.role, Role::Labels | Role::Made) {
            object.data = Value::Null;
        }
        let resource = self.resource();
        object.types = Some(TypeMeta { api_version: resource.api_version, kind: resource.kind });
    }
}

/// The objects that this one names in its spec, in its own namespace unless it says another.
pub fn named_by(object: &DynamicObject) -> Vec<ObjectKey> {
    let own = object.metadata.namespace.as_deref().unwrap_or_default();
    // A run's source names what it is restored from.
    let holders = ["/spec", "/spec/from/recoveryPoint"].iter().filter_map(|at| object.data.pointer(at));
    let named = |(holder, (field, kind)): (&Value, &(&str, &str))| {
        let reference = holder.get(field)?;
        let name = reference.get("name")?.as_str()?.to_owned();
        let namespace = reference.get("namespace").and_then(Value::as_str).unwrap_or(own).to_owned();
        Some(ObjectKey { kind: (*kind).to_owned(), namespace, name })
    };
    let target = || {
        let at = object.data.get("spec")?.get(TARGET)?;
        let text = |field: &str| Some(at.get(field)?.as_str()?.to_owned());
        Some(ObjectKey { kind: text("kind")?, namespace: own.to_owned(), name: text("name")? })
    };
    holders.flat_map(|holder| REFERENCES.iter().map(move |reference| (holder, reference))).filter_map(named).chain(target()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn trimming_keeps_what_turns_read() {
        let mut vault = object(json!({
            "metadata": { "name": "main", "managedFields": [{ "manager": "kubectl" }],
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "{}", "breakwater.io/requested-at": "1" } },
            "spec": { "location": "westeurope" }, "status": { "observedGeneration": 1 }
        }));
        KINDS.iter().find(|k| k.kind == "RecoveryVault").unwrap().trim(&mut vault);
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
        assert_eq!((shop.metadata.annotations, shop.data), (None, Value::Null));
        assert_eq!(shop.metadata.labels.unwrap()["team"], "a");
    }

    #[test]
    fn an_object_names_others_in_its_own_namespace_or_the_one_it_states() {
        let policy = object(json!({ "metadata": { "name": "daily", "namespace": "shop" }, "spec": { "vaultRef": { "name": "main" } } }));
        let machine = object(
            json!({ "metadata": { "name": "db", "namespace": "shop" }, "spec": { "policyRef": { "name": "daily", "namespace": "platform" } } }),
        );
        let key = |kind: &str, namespace: &str, name: &str| ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() };
        assert_eq!(named_by(&policy), [key("RecoveryVault", "shop", "main")]);
        assert_eq!(named_by(&machine), [key("BackupPolicy", "platform", "daily")]);
        let point = json!({ "protectedMachineRef": { "name": "db-1" } });
        let restore =
            object(json!({ "metadata": { "name": "back", "namespace": "shop" }, "spec": { "from": { "recoveryPoint": point } } }));
        assert_eq!(named_by(&restore), [key("ProtectedMachine", "shop", "db-1")]);
        let target = json!({ "kind": "BackupPolicy", "name": "daily" });
        let approval = object(json!({ "metadata": { "name": "yes", "namespace": "shop" }, "spec": { "targetRef": target } }));
        assert_eq!(named_by(&approval), [key("BackupPolicy", "shop", "daily")]);
    }

    #[test]
    fn the_table_agrees_with_the_definitions_we_ship() {
        use kube::CustomResourceExt;
        let shipped = [
            (breakwater_api::AzureAccess::api_resource(), breakwater_api::AzureAccess::crd()),
            (breakwater_api::Approval::api_resource(), breakwater_api::Approval::crd()),
            (breakwater_api::RecoveryVault::api_resource(), breakwater_api::RecoveryVault::crd()),
            (breakwater_api::BackupPolicy::api_resource(), breakwater_api::BackupPolicy::crd()),
            (breakwater_api::ProtectedMachine::api_resource(), breakwater_api::ProtectedMachine::crd()),
            (breakwater_api::BackupRun::api_resource(), breakwater_api::BackupRun::crd()),
            (breakwater_api::RestoreRun::api_resource(), breakwater_api::RestoreRun::crd()),
        ];
        let count = shipped.len();
        for (resource, definition) in shipped {
            let kind = KINDS.iter().find(|k| k.kind == resource.kind).expect("every kind is watched");
            assert_eq!(kind.resource(), resource);
            let scope = if definition.spec.scope == "Cluster" { Scope::Cluster } else { Scope::Namespaced };
            assert_eq!(kind.scope, scope, "{}", kind.kind);
        }
        assert_eq!(KINDS.iter().filter(|k| k.role == Role::Turned).count(), count);
    }
}
