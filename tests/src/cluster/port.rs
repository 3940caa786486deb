//! The engine's `Cluster` port, as one process is connected.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use breakwater_engine::ports::{Clock, Cluster, ClusterError, Event, MayLeave, ObjectKey, Opening};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{
    MemoryCluster, Reach, merge,
    record::{RecordedEvent, Verb},
    store::{Part, UnknownFields},
};

/// The version that a patch carries; an empty one makes no condition, as on the server.
fn condition(resource_version: &str) -> Option<&str> {
    Some(resource_version).filter(|version| !version.is_empty())
}

#[async_trait]
impl Cluster for MemoryCluster {
    fn cached(&self, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
        let mut view = self.view();
        let object = view.objects(&self.state().store, &key.kind).get(key).cloned();
        if let Some(version) = object.as_ref().and_then(|object| object.metadata.resource_version.clone()) {
            self.handed.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), version);
        }
        object
    }

    fn cached_all(&self, kind: &str, namespace: Option<&str>) -> Opening<'_> {
        let mut view = self.view();
        let objects = view.objects(&self.state().store, kind).iter();
        let here = objects.filter(|(key, _)| namespace.is_none_or(|namespace| key.namespace == namespace));
        Box::new(here.map(|(_, object)| object.clone()).collect::<Vec<_>>().into_iter())
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<DynamicObject>, ClusterError> {
        self.step().await;
        let state = self.state();
        match state.reach {
            Reach::Up => {
                let object = state.store.get(key).map(|stored| stored.object.as_ref().clone());
                let version = object.as_ref().and_then(|object| object.metadata.resource_version.clone());
                self.got.lock().unwrap_or_else(PoisonError::into_inner).extend(version.map(|version| (key.clone(), version)));
                Ok(object)
            }
            Reach::Down => Err(ClusterError::Unknown("connection refused".to_owned())),
        }
    }

    async fn patch_status(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        status: &Value,
        may_leave: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError> {
        let body = json!({"status": status});
        self.write((Verb::PatchStatus, key, status), condition(resource_version), may_leave, |store| {
            let patch = |object: &mut Value| merge::merge(object, &body);
            store.update(key, condition(resource_version), Part::Status, UnknownFields::Dropped, patch)
        })
        .await
    }

    async fn patch_metadata(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        metadata: &Value,
        may_leave: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError> {
        let body = json!({"metadata": metadata});
        self.write((Verb::PatchMetadata, key, metadata), condition(resource_version), may_leave, |store| {
            let patch = |object: &mut Value| merge::merge(object, &body);
            store.update(key, condition(resource_version), Part::Object, UnknownFields::Dropped, patch)
        })
        .await
    }

    async fn create(&self, key: &ObjectKey, object: &Value, may_leave: &MayLeave<'_>) -> Result<DynamicObject, ClusterError> {
        let now = self.server.clock.wall_timestamp();
        self.write((Verb::Create, key, object), None, may_leave, |store| store.create(key, object, UnknownFields::Dropped, now)).await
    }

    async fn may_create(&self, key: &ObjectKey, object: &Value) -> Result<(), ClusterError> {
        self.step().await;
        let now = self.server.clock.wall_timestamp();
        let state = self.state();
        if state.reach == Reach::Down {
            return Err(ClusterError::Unknown("connection refused".to_owned()));
        }
        if let Some(words) = state.plan.refusal(Verb::Create, &key.kind).or_else(|| state.plan.refusal(Verb::Delete, &key.kind)) {
            return Err(ClusterError::Refused(words));
        }
        state.store.clone().create(key, object, UnknownFields::Dropped, now).map(drop)
    }

    async fn delete(&self, key: &ObjectKey, uid: &str, may_leave: &MayLeave<'_>) -> Result<(), ClusterError> {
        let now = self.server.clock.wall_timestamp();
        self.write((Verb::Delete, key, &Value::Null), None, may_leave, |store| store.delete(key, Some(uid), now)).await.map(drop)
    }

    async fn event(&self, about: &DynamicObject, event: &Event) {
        self.step().await;
        let mut state = self.state();
        if state.reach == Reach::Down {
            return;
        }
        let about_key = ObjectKey {
            kind: about.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default(),
            namespace: about.metadata.namespace.clone().unwrap_or_default(),
            name: about.metadata.name.clone().unwrap_or_default(),
        };
        let uid = about.metadata.uid.clone().unwrap_or_default();
        let at = self.server.clock.now();
        state.events.push(RecordedEvent { about: about_key, uid, event: event.clone(), at });
    }
}
