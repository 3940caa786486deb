//! The objects as etcd and the API server hold them: versions, generations, deletion, garbage.
//!
//! Left out, because nothing here leans on it: managedFields, foreground deletion, and that a namespace must exist and
//! takes its objects with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use breakwater_engine::ports::{ClusterError, ObjectKey};
use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    metadata,
    schema::{Schemas, Scope, invalid},
};

/// etcd's default limit of one request, in bytes.
const OBJECT_MAX: usize = 1_572_864;

/// One object at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// As JSON.
    pub value: Value,
    /// As the ports hand it out.
    pub object: Arc<DynamicObject>,
}

/// One step of the store's history.
#[derive(Clone, Debug)]
pub struct Change {
    /// The store's version with this change in.
    pub version: u64,
    /// Which object.
    pub key: ObjectKey,
    /// What it became; none when it is gone.
    pub object: Option<Arc<DynamicObject>>,
}

/// What one write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// The object before; none when there was none.
    pub before: Option<Arc<Stored>>,
    /// The object after; none when it is gone; the same as `before` when nothing changed.
    pub after: Option<Arc<Stored>>,
    /// What the server answers with.
    pub answer: Arc<Stored>,
    /// Fields of the writer's that the schema does not know.
    pub pruned: Vec<String>,
}

/// Which part of the object a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Object,
    /// The status alone.
    Status,
}

/// `fieldValidation` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// Dropped, as clients other than kubectl have it.
    Dropped,
    /// Refused, as kubectl asks.
    Refused,
}

/// The store. Every method is one request; `now` is wall time.
#[derive(Clone, Debug)]
pub struct Store {
    schemas: Schemas,
    objects: BTreeMap<ObjectKey, Arc<Stored>>,
    log: Vec<Change>,
    /// Every kind that the log speaks of.
    kinds: BTreeSet<String>,
    version: u64,
    births: u64,
    seed: u64,
}

impl Store {
    /// An empty store; `seed` decides the uids.
    #[must_use]
    pub fn new(schemas: Schemas, seed: u64) -> Self {
        Self { schemas, objects: BTreeMap::new(), log: Vec::new(), kinds: BTreeSet::new(), version: 1, births: 0, seed }
    }

    /// The version that counts every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All changes, oldest first.
    #[must_use]
    pub fn log(&self) -> &[Change] {
        &self.log
    }

    /// Every kind that ever had an object.
    #[must_use]
    pub fn kinds(&self) -> &BTreeSet<String> {
        &self.kinds
    }

    /// All objects, in key order.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Arc<Stored>)> {
        self.objects.iter()
    }

    /// One object.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Stored>> {
        self.objects.get(key)
    }

    /// The kinds that have a CRD.
    #[must_use]
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// POST.
    ///
    /// # Errors
    /// `Refused` when it is not valid, `Exists` when there is one.
    pub fn create(&mut self, key: &ObjectKey, object: &Value, unknown: UnknownFields, now: Timestamp) -> Result<Written, ClusterError> {
        let mut object = object.clone();
        self.address(key, &mut object)?;
        metadata::normalise(&mut object)?;
        if object["metadata"].get("resourceVersion").is_some() {
            return Err(ClusterError::Refused("resourceVersion should not be set on objects to be created".to_owned()));
        }
        if let Some(fields) = object.as_object_mut()
            && self.status_apart(&key.kind)
        {
            fields.remove("status");
        }
        let uid = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}/{}/{key:?}", self.seed, self.births).as_bytes());
        object["metadata"]["uid"] = json!(uid.to_string());
        object["metadata"]["creationTimestamp"] = stamp(now);
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            drop(object["metadata"].as_object_mut().and_then(|fields| fields.remove(field)));
        }
        if self.counts_generations(&object) {
            object["metadata"]["generation"] = json!(1);
        }
        let pruned = self.admit(&key.kind, &mut object, None, unknown)?;
        if self.objects.contains_key(key) {
            return Err(ClusterError::Exists);
        }
        self.births += 1;
        let after = self.put(key, object)?;
        Ok(Written { before: None, after: Some(after.clone()), answer: after, pruned })
    }

    /// What another version of the definitions let in, new or in place of what is there: nothing of it is looked at.
    ///
    /// # Errors
    /// `Refused` where it cannot be decoded at all.
    pub fn leave_behind(&mut self, key: &ObjectKey, object: &Value, now: Timestamp) -> Result<Written, ClusterError> {
        let mut object = object.clone();
        if self.objects.contains_key(key) {
            let after = self.put(key, object)?;
            return Ok(Written { before: None, after: Some(after.clone()), answer: after, pruned: Vec::new() });
        }
        let uid = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{}/{}/{key:?}", self.seed, self.births).as_bytes());
        object["metadata"]["uid"] = json!(uid.to_string());
        object["metadata"]["creationTimestamp"] = stamp(now);
        object["metadata"]["generation"] = json!(1);
        self.births += 1;
        let after = self.put(key, object)?;
        Ok(Written { before: None, after: Some(after.clone()), answer: after, pruned: Vec::new() })
    }

    /// PUT or PATCH: `change` is applied to the object as it is, and of the result only `part` counts. `version` is the
    /// `resourceVersion` that the writer carries.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the object is at another version; `Refused` when the result is not valid.
    pub fn update(
        &mut self,
        key: &ObjectKey,
        version: Option<&str>,
        part: Part,
        unknown: UnknownFields,
        change: impl FnOnce(&mut Value),
    ) -> Result<Written, ClusterError> {
        let before = self.objects.get(key).cloned().ok_or(ClusterError::NotFound)?;
        let old = &before.value;
        if version.is_some_and(|version| old["metadata"]["resourceVersion"] != *version) {
            return Err(ClusterError::Conflict);
        }
        let mut changed = old.clone();
        change(&mut changed);
        let mut new = match part {
            Part::Object if self.status_apart(&key.kind) => with_field(changed, "status", old.get("status").cloned()),
            Part::Object => changed,
            Part::Status => with_field(old.clone(), "status", changed.get("status").cloned()),
        };
        metadata::normalise(&mut new)?;
        metadata::keep_servers_own(&mut new, old)?;
        let pruned = self.admit(&key.kind, &mut new, Some(old), unknown)?;
        if self.counts_generations(&new) && self.spec_differs(&key.kind, &new, old) {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        if metadata::is_deleting(&new) && metadata::finalizers(&new).next().is_none() {
            let answer = stored(new)?;
            self.remove(key);
            return Ok(Written { before: Some(before), after: None, answer, pruned });
        }
        let after = if new == *old { before.clone() } else { self.put(key, new)? };
        Ok(Written { before: Some(before), after: Some(after.clone()), answer: after, pruned })
    }

    /// DELETE, with the uid as precondition if given. Finalizers turn it into a mark; the mark counts as a change of the
    /// spec (registry/store.go, `markAsDeleting`, bumps the generation).
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when the object has another uid.
    pub fn delete(&mut self, key: &ObjectKey, uid: Option<&str>, now: Timestamp) -> Result<Written, ClusterError> {
        let before = self.objects.get(key).cloned().ok_or(ClusterError::NotFound)?;
        if uid.is_some_and(|uid| before.value["metadata"]["uid"] != *uid) {
            return Err(ClusterError::Conflict);
        }
        if metadata::finalizers(&before.value).next().is_none() {
            self.remove(key);
            return Ok(Written { before: Some(before.clone()), after: None, answer: before, pruned: Vec::new() });
        }
        let after = if metadata::is_deleting(&before.value) {
            before.clone()
        } else {
            let mut new = before.value.clone();
            new["metadata"]["deletionTimestamp"] = stamp(now);
            new["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            if let Some(generation) = new["metadata"]["generation"].as_i64() {
                new["metadata"]["generation"] = json!(generation + 1);
            }
            self.put(key, new)?
        };
        Ok(Written { before: Some(before), after: Some(after.clone()), answer: after, pruned: Vec::new() })
    }

    /// One object that the garbage collector would act on, with the owner references that still hold: none left means that
    /// it goes.
    #[must_use]
    pub fn garbage(&self) -> Option<(ObjectKey, Vec<Value>)> {
        self.objects.iter().find_map(|(key, stored)| {
            let owners = stored.value["metadata"]["ownerReferences"].as_array()?;
            let held: Vec<Value> = owners.iter().filter(|owner| self.owner_exists(key, owner)).cloned().collect();
            let done = held.len() == owners.len() || (held.is_empty() && metadata::is_deleting(&stored.value));
            (!done).then(|| (key.clone(), held))
        })
    }

    /// Owners are looked for by kind and name in the dependent's namespace or none, and must have the uid.
    fn owner_exists(&self, dependent: &ObjectKey, owner: &Value) -> bool {
        let text = |field: &str| owner[field].as_str().unwrap_or_default().to_owned();
        [dependent.namespace.clone(), String::new()].into_iter().any(|namespace| {
            let key = ObjectKey { kind: text("kind"), namespace, name: text("name") };
            self.objects.get(&key).is_some_and(|found| found.value["metadata"]["uid"] == owner["uid"])
        })
    }

    /// Fills in and checks what the URL of a request says.
    fn address(&self, key: &ObjectKey, object: &mut Value) -> Result<(), ClusterError> {
        let refuse = |what: String| Err(ClusterError::Refused(what));
        let Some(fields) = object.as_object_mut() else { return refuse(format!("{}: not an object", key.kind)) };
        fields.entry("metadata").or_insert_with(|| json!({}));
        for (pointer, wanted) in [("/kind", &key.kind), ("/metadata/name", &key.name), ("/metadata/namespace", &key.namespace)] {
            match object.pointer(pointer).and_then(Value::as_str) {
                Some(said) if said != wanted => return refuse(format!("{pointer}: {said:?} does not match {wanted:?} of the request")),
                _ => {}
            }
        }
        object["metadata"]["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            object["metadata"]["namespace"] = json!(key.namespace);
        }
        let version = object["apiVersion"].as_str().unwrap_or_default();
        if object.get("kind").is_none() || version.is_empty() {
            return refuse("Object 'Kind' or 'apiVersion' is missing".to_owned());
        }
        let Some(schema) = self.schemas.of(&key.kind) else { return Ok(()) };
        if schema.api_version != version {
            return refuse(format!("no matches for kind {:?} in version {version:?}", key.kind));
        }
        match (schema.scope, key.namespace.is_empty()) {
            (Scope::Namespaced, true) => refuse("an empty namespace may not be set during creation".to_owned()),
            (Scope::Cluster, false) => refuse(format!("{} is not namespaced", key.kind)),
            _ => Ok(()),
        }
    }

    /// Prunes, defaults and validates; answers the pruned fields.
    fn admit(&self, kind: &str, new: &mut Value, old: Option<&Value>, unknown: UnknownFields) -> Result<Vec<String>, ClusterError> {
        let schema = self.schemas.of(kind);
        let pruned = schema.map(|schema| schema.prepare(new)).unwrap_or_default();
        if let Some(first) = pruned.first().filter(|_| unknown == UnknownFields::Refused) {
            return Err(ClusterError::Refused(format!("{kind}: strict decoding error: unknown field {first:?}")));
        }
        let errors = metadata::errors(new);
        if !errors.is_empty() {
            return Err(ClusterError::Refused(invalid(schema.map_or("", |schema| &schema.group), new, &errors)));
        }
        if let Some(schema) = schema {
            schema.validate(new, old).map_err(ClusterError::Refused)?;
        }
        if new.to_string().len() > OBJECT_MAX {
            return Err(ClusterError::Refused("etcdserver: request is too large".to_owned()));
        }
        Ok(pruned)
    }

    /// Kinds without a CRD are taken to keep status apart too.
    fn status_apart(&self, kind: &str) -> bool {
        self.schemas.of(kind).is_none_or(|schema| schema.status_apart)
    }

    /// Secrets, ConfigMaps and Namespaces have no generation; custom resources do.
    fn counts_generations(&self, object: &Value) -> bool {
        object["apiVersion"] != "v1"
    }

    fn spec_differs(&self, kind: &str, new: &Value, old: &Value) -> bool {
        let spec = |object: &Value| {
            let mut fields = object.as_object().cloned().unwrap_or_default();
            fields.remove("metadata");
            if self.status_apart(kind) {
                fields.remove("status");
            }
            fields
        };
        spec(new) != spec(old)
    }

    fn put(&mut self, key: &ObjectKey, mut object: Value) -> Result<Arc<Stored>, ClusterError> {
        object["metadata"]["resourceVersion"] = json!((self.version + 1).to_string());
        let stored = stored(object)?;
        self.version += 1;
        self.objects.insert(key.clone(), stored.clone());
        self.kinds.insert(key.kind.clone());
        self.log.push(Change { version: self.version, key: key.clone(), object: Some(stored.object.clone()) });
        Ok(stored)
    }

    fn remove(&mut self, key: &ObjectKey) {
        self.version += 1;
        self.objects.remove(key);
        self.log.push(Change { version: self.version, key: key.clone(), object: None });
    }
}

fn stored(value: Value) -> Result<Arc<Stored>, ClusterError> {
    let object = serde_json::from_value(value.clone()).map_err(|error| ClusterError::Refused(format!("cannot be decoded: {error}")))?;
    Ok(Arc::new(Stored { object: Arc::new(object), value }))
}

fn with_field(mut object: Value, name: &str, field: Option<Value>) -> Value {
    if let Some(fields) = object.as_object_mut() {
        match field {
            Some(field) => drop(fields.insert(name.to_owned(), field)),
            None => drop(fields.remove(name)),
        }
    }
    object
}

/// A time as Kubernetes writes it: whole seconds.
fn stamp(now: Timestamp) -> Value {
    json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}
