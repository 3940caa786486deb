//! What wakes whom: an object by its own changes as in the operator, its neighbours more freely than there.

use std::collections::BTreeSet;

use breakwater_engine::ports::{Cluster, ObjectKey};
use serde_json::{Value, json};

use super::Simulation;

impl Simulation {
    /// What the watch shows wakes the object, where more than its status moved, and its neighbours in the namespace.
    pub(super) fn hear(&mut self) {
        let changes = self.cluster.changes_since(&mut self.cursor);
        let kinds: BTreeSet<&str> = self.engine.kinds().into_iter().collect();
        let now = self.now();
        for change in changes {
            let all = kinds.iter().flat_map(|kind| self.cluster.cached_all(kind, None));
            for object in all {
                let key = ObjectKey {
                    kind: object.types.as_ref().map(|t| t.kind.clone()).unwrap_or_default(),
                    namespace: object.metadata.namespace.clone().unwrap_or_default(),
                    name: object.metadata.name.clone().unwrap_or_default(),
                };
                let related = change.key.namespace.is_empty() || change.key.namespace == key.namespace || names(&object, &change.key);
                if related && self.wakes(&change.key, &key) {
                    self.due.insert(key, now);
                }
            }
            // As in the operator, a status wakes others and not itself: what it waits for, its turn has said.
            if kinds.contains(change.key.kind.as_str()) && self.is_touched(&change.key) {
                self.due.insert(change.key, now);
            }
        }
    }

    /// A status of ours wakes those that stand on it, not its siblings.
    fn wakes(&self, changed: &ObjectKey, key: &ObjectKey) -> bool {
        matches!(
            (changed.kind.as_str(), key.kind.as_str()),
            ("ProtectedMachine" | "RecoveryVault", "BackupPolicy")
                | ("BackupPolicy" | "BackupRun" | "RestoreRun", "ProtectedMachine")
                | ("ProtectedMachine" | "RecoveryVault", "BackupRun" | "RestoreRun")
                | ("Approval", _)
                | ("RecoveryVault" | "BackupPolicy" | "ProtectedMachine" | "BackupRun" | "RestoreRun", "Approval")
                | ("AzureAccess" | "Namespace", _)
        )
    }

    /// Whether more than its status moved since this was asked last.
    fn is_touched(&mut self, key: &ObjectKey) -> bool {
        let touch = self.cluster.cached(key).map(|object| {
            let meta = &object.metadata;
            json!([meta.uid, meta.generation, meta.labels, meta.annotations, meta.finalizers, meta.deletion_timestamp])
        });
        match touch {
            Some(touch) => self.touched.insert(key.clone(), touch.clone()) != Some(touch),
            None => {
                self.touched.remove(key);
                true
            }
        }
    }
}

/// Whether an object names another one in another namespace.
fn names(object: &kube::core::DynamicObject, other: &ObjectKey) -> bool {
    let at = |field: &str| object.data.get("spec").and_then(|spec| spec.get(field)).and_then(|r| r.get("namespace"));
    ["vaultRef", "policyRef"].iter().any(|field| at(field).and_then(Value::as_str) == Some(other.namespace.as_str()))
}
