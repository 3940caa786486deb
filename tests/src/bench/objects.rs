//! A Kubernetes that keeps ten thousand objects and counts: no schemas, no history, no faults. What the API server refuses
//! and what it defaults is `MemoryCluster`'s matter; here only the number of writes is looked at.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use breakwater_engine::ports::{Cluster, ClusterError, Event, MayLeave, ObjectKey, Opening};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    clock::VirtualClock,
    cluster::{merge::merge, record::Verb},
};

/// One object that changed: how it was, and how it is.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Which.
    pub key: ObjectKey,
    /// None when it is new.
    pub before: Option<Arc<DynamicObject>>,
    /// As it is.
    pub after: Arc<DynamicObject>,
}

/// The store and its counts.
#[derive(Debug)]
pub struct Objects {
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By kind, then namespace and name.
    kinds: BTreeMap<String, BTreeMap<(String, String), Arc<DynamicObject>>>,
    version: u64,
    news: Vec<Changed>,
    writes: BTreeMap<(Verb, String), u64>,
    events: u64,
}

impl State {
    fn find(&self, key: &ObjectKey) -> Option<&Arc<DynamicObject>> {
        self.kinds.get(&key.kind)?.get(&(key.namespace.clone(), key.name.clone()))
    }

    fn put(&mut self, key: &ObjectKey, mut object: DynamicObject) -> DynamicObject {
        self.version += 1;
        object.metadata.resource_version = Some(self.version.to_string());
        let after = Arc::new(object.clone());
        let before = self.kinds.entry(key.kind.clone()).or_default().insert((key.namespace.clone(), key.name.clone()), after.clone());
        self.news.push(Changed { key: key.clone(), before, after });
        object
    }

    /// The object, when it is still at the version that the write was made from.
    fn at(&self, key: &ObjectKey, version: &str) -> Result<DynamicObject, ClusterError> {
        let object = self.find(key).ok_or(ClusterError::NotFound)?;
        match object.metadata.resource_version.as_deref() {
            Some(current) if current == version => Ok((**object).clone()),
            _ => Err(ClusterError::Conflict),
        }
    }
}

impl Objects {
    /// An empty one.
    pub fn new(clock: Arc<VirtualClock>) -> Self {
        Objects { clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody applies a manifest; a spec that differs is a new generation. Not counted.
    ///
    /// # Panics
    /// When it is no object.
    pub fn apply(&self, manifest: &Value) {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = ObjectKey { kind: text("/kind"), namespace: text("/metadata/namespace"), name: text("/metadata/name") };
        let mut state = self.state();
        let Some(mut object) = state.find(&key).map(|o| (**o).clone()) else {
            let object = self.born(&key, manifest).expect("a manifest is an object");
            state.put(&key, object);
            return;
        };
        object.data["spec"] = manifest["spec"].clone();
        object.metadata.generation = object.metadata.generation.map(|generation| generation + 1);
        state.put(&key, object);
    }

    fn born(&self, key: &ObjectKey, manifest: &Value) -> Result<DynamicObject, ClusterError> {
        let mut object: DynamicObject =
            serde_json::from_value(manifest.clone()).map_err(|error| ClusterError::Refused(format!("cannot be decoded: {error}")))?;
        let stamp = self.clock.wall_timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        object.metadata.uid = Some(Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{key:?}").as_bytes()).to_string());
        object.metadata.creation_timestamp = serde_json::from_value(json!(stamp)).ok();
        object.metadata.generation = Some(1);
        Ok(object)
    }

    /// All objects of a kind.
    pub fn all(&self, kind: &str) -> Vec<Arc<DynamicObject>> {
        self.state().kinds.get(kind).into_iter().flat_map(|objects| objects.values().cloned()).collect()
    }

    /// The keys of all objects of a kind.
    pub fn keys(&self, kind: &str) -> Vec<ObjectKey> {
        let state = self.state();
        let keys = state.kinds.get(kind).into_iter().flat_map(BTreeMap::keys);
        keys.map(|(namespace, name)| ObjectKey { kind: kind.to_owned(), namespace: namespace.clone(), name: name.clone() }).collect()
    }

    /// What changed since this was last asked.
    pub fn take_news(&self) -> Vec<Changed> {
        std::mem::take(&mut self.state().news)
    }

    /// How many writes the operator has made, by verb and kind.
    pub fn writes(&self) -> BTreeMap<(Verb, String), u64> {
        self.state().writes.clone()
    }

    /// How many Events it has published.
    pub fn events(&self) -> u64 {
        self.state().events
    }

    fn count(&self, verb: Verb, key: &ObjectKey) -> MutexGuard<'_, State> {
        let mut state = self.state();
        *state.writes.entry((verb, key.kind.clone())).or_default() += 1;
        state
    }
}

#[async_trait]
impl Cluster for Objects {
    fn cached(&self, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
        self.state().find(key).cloned()
    }

    fn cached_all(&self, kind: &str, namespace: Option<&str>) -> Opening<'_> {
        let state = self.state();
        let Some(objects) = state.kinds.get(kind) else { return Box::new(std::iter::empty()) };
        let all: Vec<_> = match namespace {
            None => objects.values().cloned().collect(),
            Some(wanted) => {
                let here = objects.range((wanted.to_owned(), String::new())..).take_while(|((namespace, _), _)| namespace == wanted);
                here.map(|(_, object)| object.clone()).collect()
            }
        };
        Box::new(all.into_iter())
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<DynamicObject>, ClusterError> {
        Ok(self.state().find(key).map(|object| (**object).clone()))
    }

    async fn patch_status(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        status: &Value,
        _: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError> {
        let mut state = self.count(Verb::PatchStatus, key);
        let mut object = state.at(key, resource_version)?;
        merge(&mut object.data["status"], status);
        Ok(state.put(key, object))
    }

    async fn patch_metadata(
        &self,
        key: &ObjectKey,
        resource_version: &str,
        metadata: &Value,
        _: &MayLeave<'_>,
    ) -> Result<DynamicObject, ClusterError> {
        let mut state = self.count(Verb::PatchMetadata, key);
        let mut object = state.at(key, resource_version)?;
        let refused = |error: serde_json::Error| ClusterError::Refused(format!("metadata cannot be decoded: {error}"));
        let mut merged = serde_json::to_value(&object.metadata).map_err(refused)?;
        merge(&mut merged, metadata);
        object.metadata = serde_json::from_value(merged).map_err(refused)?;
        Ok(state.put(key, object))
    }

    async fn create(&self, key: &ObjectKey, object: &Value, _: &MayLeave<'_>) -> Result<DynamicObject, ClusterError> {
        let object = self.born(key, object)?;
        let mut state = self.count(Verb::Create, key);
        if state.find(key).is_some() {
            return Err(ClusterError::Exists);
        }
        Ok(state.put(key, object))
    }

    async fn may_create(&self, key: &ObjectKey, object: &Value) -> Result<(), ClusterError> {
        self.born(key, object)?;
        if self.state().find(key).is_some() { Err(ClusterError::Exists) } else { Ok(()) }
    }

    async fn delete(&self, key: &ObjectKey, _: &str, _: &MayLeave<'_>) -> Result<(), ClusterError> {
        Err(ClusterError::Refused(format!("{} {}: nothing is deleted in a bench", key.kind, key.name)))
    }

    async fn event(&self, _: &DynamicObject, _: &Event) {
        self.state().events += 1;
    }
}
