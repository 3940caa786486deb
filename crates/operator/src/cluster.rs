//! The Kubernetes port over kube: cached reads from the stores, live reads, and writes that are sent once.

use std::sync::Arc;

use async_trait::async_trait;
use breakwater_engine::ports::{Cluster, ClusterError, Event, MayLeave, ObjectKey, Opening};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    core::{DynamicObject, Status},
};
use serde_json::{Value, json};

use crate::{
    clients::Clients,
    events::Events,
    kinds::{Kind, LIVE, SECRET, Scope},
    metrics::Metrics,
    watch::{Watched, Watches},
};

/// Who the API server notes as the author of fields.
const MANAGER: &str = "breakwater-operator";

/// The real Kubernetes.
pub struct KubeCluster {
    watches: Arc<Watches>,
    reads: Client,
    writes: Client,
    events: Events,
    metrics: Metrics,
}

impl KubeCluster {
    /// Over these stores and clients.
    pub fn new(watches: Arc<Watches>, clients: &Clients, events: Events, metrics: Metrics) -> Self {
        KubeCluster { watches, reads: clients.reads.clone(), writes: clients.writes.clone(), events, metrics }
    }

    fn watched(&self, kind: &str) -> Result<&Watched, ClusterError> {
        self.watches
            .of(kind)
            .ok_or_else(|| ClusterError::Refused(format!("{kind} is no kind that this operator watches; nothing was sent")))
    }

    fn api(&self, client: &Client, key: &ObjectKey) -> Result<(&Watched, Api<DynamicObject>), ClusterError> {
        let watched = self.watched(&key.kind)?;
        let api = match watched.kind.scope {
            Scope::Cluster => Api::all_with(client.clone(), &watched.resource),
            Scope::Namespaced => Api::namespaced_with(client.clone(), &key.namespace, &watched.resource),
        };
        Ok((watched, api))
    }

    /// The kind as it is watched, or as it is made.
    fn api_to_write(&self, key: &ObjectKey) -> Result<(Kind, Api<DynamicObject>), ClusterError> {
        if key.kind == SECRET.kind {
            return Ok((SECRET, Api::namespaced_with(self.writes.clone(), &key.namespace, &SECRET.resource())));
        }
        self.api(&self.writes, key).map(|(watched, api)| (watched.kind, api))
    }

    /// The metadata of a Secret, which is all that is asked for.
    async fn secret(&self, key: &ObjectKey) -> Result<Option<DynamicObject>, ClusterError> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.reads.clone(), &key.namespace, &SECRET.resource());
        let found = self.answered(SECRET.kind, "get", api.get_metadata_opt(&key.name).await)?;
        Ok(found.map(|found| DynamicObject { types: found.types, metadata: found.metadata, data: Value::Null }))
    }

    fn born(key: &ObjectKey, kind: &Kind, object: &Value) -> Result<DynamicObject, ClusterError> {
        // A serde error may quote what it met: of a Secret that is not told.
        let unfit = |_: serde_json::Error| ClusterError::Refused("not sent: it is no object".to_owned());
        let mut object: DynamicObject = serde_json::from_value(object.clone()).map_err(unfit)?;
        // The key is who it is, whatever the body left out.
        object.metadata.name = Some(key.name.clone());
        object.metadata.namespace = Some(key.namespace.clone()).filter(|n| !n.is_empty());
        let resource = kind.resource();
        object.types.get_or_insert(kube::core::TypeMeta { api_version: resource.api_version, kind: resource.kind });
        Ok(object)
    }

    fn answered<T>(&self, kind: &str, verb: &'static str, answer: kube::Result<T>) -> Result<T, ClusterError> {
        let answer = answer.map_err(told);
        let result = match &answer {
            Ok(_) => "ok",
            Err(ClusterError::Conflict) => "conflict",
            Err(ClusterError::Exists) => "exists",
            Err(ClusterError::NotFound) => "not-found",
            Err(ClusterError::Refused(_)) => "refused",
            Err(ClusterError::Unknown(_) | ClusterError::TooLate) => "unknown",
        };
        self.metrics.record_kubernetes_call(kind, verb, result);
        answer
    }
}

/// The last look before a write goes to the wire.
fn leaves(may_leave: &MayLeave<'_>) -> Result<(), ClusterError> {
    if may_leave() { Ok(()) } else { Err(ClusterError::TooLate) }
}

/// What an error of kube means for a write: whether it certainly did not happen, and why.
fn told(error: kube::Error) -> ClusterError {
    match error {
        kube::Error::Api(status) => refusal(&status),
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => ClusterError::Refused(format!("not sent: {error}")),
        other => ClusterError::Unknown(other.to_string()),
    }
}

fn refusal(status: &Status) -> ClusterError {
    let words = if status.message.is_empty() { status.reason.clone() } else { status.message.clone() };
    match status.code {
        409 if status.reason == "AlreadyExists" => ClusterError::Exists,
        409 => ClusterError::Conflict,
        404 => ClusterError::NotFound,
        // A timeout of the API server, or a refusal of load that a proxy may have made after the fact.
        408 | 429 => ClusterError::Unknown(words),
        400..=499 => ClusterError::Refused(words),
        code => ClusterError::Unknown(format!("{code}: {words}")),
    }
}

fn patching() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() }
}

#[async_trait]
impl Cluster for KubeCluster {
    fn cached(&self, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
        self.watches.of(&key.kind)?.get(&key.namespace, &key.name)
    }

    fn cached_all(&self, kind: &str, namespace: Option<&str>) -> Opening<'_> {
        let kept = self.watches.of(kind).map(|watched| watched.within(namespace)).unwrap_or_default();
        Box::new(kept.into_iter().map(|kept| Arc::new(kept.open())))
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<DynamicObject>, ClusterError> {
        if let Some(kind) = LIVE.iter().find(|k| k.kind == key.kind) {
            let api: Api<DynamicObject> = Api::all_with(self.reads.clone(), &kind.resource());
            return self.answered(kind.kind, "get", api.get_opt(&key.name).await);
        }
        if key.kind == SECRET.kind {
            return self.secret(key).await;
        }
        let (watched, api) = self.api(&self.reads, key)?;
        let found = self.answered(&key.kind, "get", api.get_opt(&key.name).await)?;
        Ok(found.map(|object| trimmed(watched, object)))
    }

    async fn patch_status(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        status: &Value,
        may_leave: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError> {
        let (watched, api) = self.api(&self.writes, key)?;
        let patch = Patch::Merge(json!({ "metadata": { "resourceVersion": resource_version }, "status": status }));
        leaves(may_leave)?;
        let patched = self.answered(&key.kind, "patch-status", api.patch_status(&key.name, &patching(), &patch).await)?;
        Ok(trimmed(watched, patched))
    }

    async fn patch_metadata(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        metadata: &Value,
        may_leave: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError> {
        let (watched, api) = self.api(&self.writes, key)?;
        let mut metadata = metadata.clone();
        metadata["resourceVersion"] = json!(resource_version);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        leaves(may_leave)?;
        let patched = self.answered(&key.kind, "patch", api.patch(&key.name, &patching(), &patch).await)?;
        Ok(trimmed(watched, patched))
    }

    async fn create(&self, key: &ObjectKey, object: &Value, may_leave: &MayLeave<'_>) -> Result<DynamicObject, ClusterError> {
        let (kind, api) = self.api_to_write(key)?;
        let object = Self::born(key, &kind, object)?;
        leaves(may_leave)?;
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let mut created = self.answered(&key.kind, "create", api.create(&params, &object).await)?;
        kind.trim(&mut created);
        Ok(created)
    }

    async fn may_create(&self, key: &ObjectKey, object: &Value) -> Result<(), ClusterError> {
        let (kind, api) = self.api_to_write(key)?;
        let object = Self::born(key, &kind, object)?;
        let dry = PostParams { dry_run: true, field_manager: Some(MANAGER.to_owned()) };
        self.answered(&key.kind, "dry-create", api.create(&dry, &object).await)?;
        // Nothing of that name is there: whoever may delete it is told so.
        let dry = DeleteParams { dry_run: true, ..DeleteParams::background() };
        match self.answered(&key.kind, "dry-delete", api.delete(&key.name, &dry).await) {
            Ok(_) | Err(ClusterError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, key: &ObjectKey, uid: &str, may_leave: &MayLeave<'_>) -> Result<(), ClusterError> {
        let (_, api) = self.api_to_write(key)?;
        let only = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(only), ..DeleteParams::background() };
        leaves(may_leave)?;
        self.answered(&key.kind, "delete", api.delete(&key.name, &params).await).map(|_| ())
    }

    async fn event(&self, about: &DynamicObject, event: &Event) {
        tracing::debug!(object = %about.name_any(), reason = %event.reason, note = %event.note, "event");
        self.events.publish(about, event).await;
    }
}

fn trimmed(watched: &Watched, mut object: DynamicObject) -> DynamicObject {
    watched.kind.trim(&mut object);
    object
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
