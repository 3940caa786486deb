//! What people do with kubectl, and what Git does.

use std::sync::Arc;

use breakwater_engine::ports::{ClusterError, ObjectKey};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{
    MemoryCluster,
    merge::{merge, remove_dropped},
    record::{Verb, Writer},
    schema::Scope,
    store::{Part, Store, UnknownFields, Written},
};

/// Where kubectl keeps what was applied last, to know later what was taken out.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A person at a terminal. Faults and lag do not touch them.
#[derive(Debug)]
pub struct User<'a>(&'a MemoryCluster);

impl<'a> User<'a> {
    pub(super) fn new(cluster: &'a MemoryCluster) -> Self {
        Self(cluster)
    }

    /// `kubectl apply -f`: every document of a manifest, in order, as far as the server takes them.
    ///
    /// # Errors
    /// `Refused`, with the server's words or the parser's; documents before the refused one stay applied.
    pub fn apply(&self, manifest: &str) -> Result<Vec<Arc<DynamicObject>>, ClusterError> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(manifest).map_err(|error| ClusterError::Refused(format!("error parsing manifest: {error}")))?;
        documents.iter().filter(|document| !document.is_null()).map(|document| self.apply_object(document)).collect()
    }

    /// `kubectl apply` of one object: creates it, or merges what it says and takes out what the last apply said and this one
    /// does not. The status is left alone. Unknown fields are refused, as kubectl asks. An object of a namespaced kind that
    /// names no namespace goes to `default`.
    ///
    /// # Errors
    /// `Refused`, with the server's words.
    pub fn apply_object(&self, manifest: &Value) -> Result<Arc<DynamicObject>, ClusterError> {
        if !manifest["metadata"].is_object() {
            return Err(ClusterError::Refused("error validating data: metadata is not set".to_owned()));
        }
        let key = self.key_of(manifest);
        let mut wanted = manifest.clone();
        wanted["metadata"]["annotations"][LAST_APPLIED] = json!(format!("{manifest}\n"));
        if self.0.live(&key).is_none() {
            let now = self.0.server.clock.wall_timestamp();
            return self.write(Verb::Create, &key, manifest, |store| store.create(&key, &wanted, UnknownFields::Refused, now));
        }
        self.update(&key, manifest, UnknownFields::Refused, |object| {
            let last = object["metadata"]["annotations"].get(LAST_APPLIED).and_then(Value::as_str);
            let last = last.and_then(|last| serde_json::from_str(last).ok()).unwrap_or_else(|| json!({}));
            remove_dropped(object, &last, &wanted);
            merge(object, &wanted);
        })
    }

    /// `kubectl patch --type=merge`; the status is left alone.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` with the server's words.
    pub fn patch(&self, key: &ObjectKey, patch: &Value) -> Result<Arc<DynamicObject>, ClusterError> {
        self.update(key, patch, UnknownFields::Refused, |object| merge(object, patch))
    }

    /// `kubectl annotate`; no value takes the annotation away.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` with the server's words.
    pub fn annotate(&self, key: &ObjectKey, name: &str, value: Option<&str>) -> Result<Arc<DynamicObject>, ClusterError> {
        self.patch(key, &json!({"metadata": {"annotations": {name: value}}}))
    }

    /// `kubectl patch --subresource=status --type=merge`: somebody meddles.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` with the server's words.
    pub fn patch_status(&self, key: &ObjectKey, status: &Value) -> Result<Arc<DynamicObject>, ClusterError> {
        let body = json!({"status": status});
        self.write(Verb::PatchStatus, key, status, |store| {
            store.update(key, None, Part::Status, UnknownFields::Refused, |object| merge(object, &body))
        })
    }

    /// An object that was stored while another version of the definitions stood, status and all.
    ///
    /// # Errors
    /// `Exists`, or `Refused` where it cannot be decoded.
    pub fn left_behind(&self, object: &Value) -> Result<Arc<DynamicObject>, ClusterError> {
        let (key, now) = (self.key_of(object), self.0.server.clock.wall_timestamp());
        self.write(Verb::Create, &key, object, |store| store.leave_behind(&key, object, now))
    }

    /// `kubectl delete --wait=false`: gone at once, or marked where a finalizer holds it.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn delete(&self, key: &ObjectKey) -> Result<(), ClusterError> {
        let now = self.0.server.clock.wall_timestamp();
        self.write(Verb::Delete, key, &Value::Null, |store| store.delete(key, None, now)).map(drop)
    }

    fn update(
        &self,
        key: &ObjectKey,
        body: &Value,
        unknown: UnknownFields,
        change: impl FnOnce(&mut Value),
    ) -> Result<Arc<DynamicObject>, ClusterError> {
        // A version in the manifest is a condition, as `kubectl replace` would have it.
        let version = body["metadata"]["resourceVersion"].as_str();
        self.write(Verb::Update, key, body, |store| store.update(key, version, Part::Object, unknown, change))
    }

    fn write(
        &self,
        verb: Verb,
        key: &ObjectKey,
        body: &Value,
        write: impl FnOnce(&mut Store) -> Result<Written, ClusterError>,
    ) -> Result<Arc<DynamicObject>, ClusterError> {
        self.0.write_as(Writer::User, verb, key, body, write).map(|written| written.answer.object.clone())
    }

    fn key_of(&self, manifest: &Value) -> ObjectKey {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = text(&manifest["kind"]);
        let mut namespace = text(&manifest["metadata"]["namespace"]);
        let namespaced = self.0.state().store.schemas().of(&kind).is_some_and(|schema| schema.scope == Scope::Namespaced);
        if namespace.is_empty() && namespaced {
            "default".clone_into(&mut namespace);
        }
        ObjectKey { kind, namespace, name: text(&manifest["metadata"]["name"]) }
    }
}
