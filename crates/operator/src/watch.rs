//! The watched copies: per kind one stream with its own backoff, and one store that everybody reads (rust-stack.md, trap 3:
//! share stores, not streams).
//!
//! Each feed also tells its listeners what changed, and whether a person or a controller changed it: a status that we
//! wrote ourselves must not cause the next turn.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use breakwater_engine::{
    object::{opened, packed},
    ports::ObjectKey,
};
use breakwater_plan::sighting::{Packed, Sample};
use futures::{StreamExt, pin_mut};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{ApiResource, DynamicObject, DynamicResourceScope, ObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::{ObjectRef, Store, store::Writer},
        watcher::{self, Event},
    },
};
use serde::{Deserialize, Deserializer};
use tokio::sync::mpsc;

use crate::{
    kinds::{KINDS, Kind, named_by},
    metrics::Metrics,
};

/// How long one watch lasts, in seconds. The API server ends it then, with a bookmark just before, and kube goes on from there
/// without a list. One that is silent for 5 s longer has lost its peer, and kube begins it anew: so long may an edit go unseen.
pub const WATCH_LASTS: u32 = 60;

/// One thing that happened to a watched object. The store shows it already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which object.
    pub key: ObjectKey,
    /// What happened.
    pub what: What,
    /// The objects that it names in its spec, or named when it was last seen.
    pub names: Vec<ObjectKey>,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new, or its generation, labels, annotations, finalizers or deletion moved: it wants a turn.
    Touched,
    /// Its `Ready` condition or its observed generation moved: others may go on.
    Standing,
    /// Something else of its status moved.
    Status,
    /// It is no more.
    Gone,
}

/// All stores.
pub struct Watches {
    stores: BTreeMap<&'static str, Watched>,
    listeners: Arc<Listeners>,
}

/// One kind's store.
pub struct Watched {
    /// The kind.
    pub kind: Kind,
    /// The kind, as kube's dynamic API wants it.
    pub resource: ApiResource,
    /// The copies.
    pub store: Store<Kept>,
    synced: Arc<AtomicBool>,
}

/// A watched copy: ten thousand are kept, and a turn opens a few.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name, namespace and resourceVersion; nothing else.
    meta: ObjectMeta,
    /// The objects that it names in its spec.
    names: Arc<[ObjectKey]>,
    whole: Packed,
}

/// What fills one store. Run it.
pub struct Feed {
    kind: Kind,
    writer: Writer<Kept>,
    synced: Arc<AtomicBool>,
    listeners: Arc<Listeners>,
}

/// A store whose feed ended before the first list was read.
#[derive(Debug, thiserror::Error)]
#[error("the watch of {0} ended before it began")]
pub struct NeverSynced(pub &'static str);

#[derive(Default)]
struct Listeners(Mutex<Vec<mpsc::UnboundedSender<Change>>>);

impl Listeners {
    fn tell(&self, change: &Change) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|listener| listener.send(change.clone()).is_ok());
    }
}

impl Watches {
    /// Empty stores and the feeds that fill them.
    pub fn unread(kinds: &[Kind]) -> (Self, Vec<Feed>) {
        let listeners = Arc::new(Listeners::default());
        let mut feeds = Vec::new();
        let mut stores = BTreeMap::new();
        for &kind in kinds {
            let resource = kind.resource();
            let writer = Writer::new(kind);
            let synced = Arc::new(AtomicBool::new(false));
            let store = writer.as_reader();
            feeds.push(Feed { kind, writer, synced: synced.clone(), listeners: listeners.clone() });
            stores.insert(kind.kind, Watched { kind, resource, store, synced });
        }
        (Watches { stores, listeners }, feeds)
    }

    /// One kind's store; `None` for a kind that is not watched.
    pub fn of(&self, kind: &str) -> Option<&Watched> {
        self.stores.get(kind)
    }

    /// Every store, in the order of kinds' names.
    pub fn all(&self) -> impl Iterator<Item = &Watched> {
        self.stores.values()
    }

    /// The kinds whose first list was not read whole yet.
    pub fn unsynced(&self) -> Vec<&'static str> {
        self.stores.values().filter(|w| !w.synced.load(Ordering::Acquire)).map(|w| w.kind.kind).collect()
    }

    /// Waits until every store was read whole once.
    ///
    /// # Errors
    /// When a feed ended before that.
    pub async fn synced(&self) -> Result<(), NeverSynced> {
        for watched in self.stores.values() {
            watched.store.wait_until_ready().await.map_err(|_| NeverSynced(watched.kind.kind))?;
        }
        Ok(())
    }

    /// Every change from now on, of all kinds. Not bounded: a slow listener must not stop a store.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.listeners.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
    }
}

impl Watched {
    /// The watched copy of one object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<DynamicObject>> {
        self.store.get(&self.reference(namespace, name)).map(|kept| Arc::new(kept.open()))
    }

    /// The watched copies in a namespace, or all of them, in the order of their names.
    pub fn within(&self, namespace: Option<&str>) -> Vec<Arc<Kept>> {
        let mut all = self.store.state_filter(|kept| namespace.is_none_or(|n| kept.namespace().unwrap_or_default() == n));
        all.sort_by(|a, b| (&a.meta.namespace, &a.meta.name).cmp(&(&b.meta.namespace, &b.meta.name)));
        all
    }

    /// kube's name for one object of this kind.
    pub fn reference(&self, namespace: &str, name: &str) -> ObjectRef<Kept> {
        let reference = ObjectRef::new_with(name, self.kind);
        if namespace.is_empty() { reference } else { reference.within(namespace) }
    }
}

impl Feed {
    /// Which kind it feeds.
    pub fn kind(&self) -> &'static str {
        self.kind.kind
    }

    /// Lists, watches, and begins again for ever.
    pub async fn run(self, client: Client, metrics: Metrics) {
        let Feed { kind, mut writer, synced, listeners } = self;
        let store = writer.as_reader();
        let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
        let config = watcher::Config::default().timeout(WATCH_LASTS);
        let events = watcher::watcher(api, config).default_backoff().modify(move |object| kind.trim(object));
        pin_mut!(events);
        let (mut seen, mut packer) = (Seen::new(kind), Packer::default());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let changes = seen.see(&event);
                    let event = packer.event(event);
                    writer.apply_watcher_event(&event);
                    changes.iter().for_each(|change| listeners.tell(change));
                    if matches!(event, Event::InitDone) {
                        synced.store(true, Ordering::Release);
                    }
                    if !matches!(event, Event::Init | Event::InitApply(_)) {
                        metrics.record_objects(kind.kind, store.len());
                    }
                }
                Err(error) => {
                    metrics.record_watch_error(kind.kind);
                    tracing::warn!(kind = kind.kind, %error, "the watch failed and begins again (404: is its CRD installed? 403: is RBAC?)");
                }
            }
        }
    }
}

/// What objects of one kind are packed by.
#[derive(Default)]
struct Packer {
    sample: Option<Sample>,
    /// What the last object named: of a policy's machines the next one names the same.
    names: Arc<[ObjectKey]>,
}

impl Packer {
    fn event(&mut self, event: Event<DynamicObject>) -> Event<Kept> {
        match event {
            Event::Apply(object) => Event::Apply(self.pack(object)),
            Event::InitApply(object) => Event::InitApply(self.pack(object)),
            Event::Delete(object) => Event::Delete(self.pack(object)),
            Event::Init => Event::Init,
            Event::InitDone => Event::InitDone,
        }
    }

    fn pack(&mut self, object: DynamicObject) -> Kept {
        let whole = packed(&object, &mut self.sample);
        let names = named_by(&object);
        if *self.names != *names {
            self.names = names.into();
        }
        let ObjectMeta { name, namespace, resource_version, .. } = object.metadata;
        Kept { meta: ObjectMeta { name, namespace, resource_version, ..ObjectMeta::default() }, names: self.names.clone(), whole }
    }
}

impl Kept {
    /// The object as it was watched.
    pub fn open(&self) -> DynamicObject {
        opened(&self.whole)
    }

    /// Whether it names another object in its spec.
    pub fn names(&self, other: &ObjectKey) -> bool {
        self.names.contains(other)
    }
}

/// kube's controllers ask for it of whatever they keep.
impl<'de> Deserialize<'de> for Kept {
    fn deserialize<D: Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        DynamicObject::deserialize(object).map(|object| Packer::default().pack(object))
    }
}

impl Resource for Kept {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;

    fn kind(kind: &Kind) -> Cow<'_, str> {
        kind.kind.into()
    }

    fn group(kind: &Kind) -> Cow<'_, str> {
        kind.group.into()
    }

    fn version(kind: &Kind) -> Cow<'_, str> {
        kind.version.into()
    }

    fn plural(kind: &Kind) -> Cow<'_, str> {
        kind.plural.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// What one feed has shown so far, to tell a touch from a status and to notice what is missing from a new list.
struct Seen {
    kind: Kind,
    marks: HashMap<ObjectKey, Mark>,
    listing: Option<(HashSet<ObjectKey>, Vec<Change>)>,
}

struct Mark {
    version: Option<String>,
    touch: u64,
    standing: u64,
    names: Vec<ObjectKey>,
}

impl Seen {
    fn new(kind: Kind) -> Self {
        Seen { kind, marks: HashMap::new(), listing: None }
    }

    /// The changes that this event makes known. Those of a list are told at its end, when the store shows them.
    fn see(&mut self, event: &Event<DynamicObject>) -> Vec<Change> {
        match event {
            Event::Apply(object) => self.mark(object).into_iter().collect(),
            Event::Delete(object) => {
                let key = self.key(object);
                self.marks.remove(&key);
                vec![Change { key, what: What::Gone, names: named_by(object) }]
            }
            Event::Init => {
                // A list that was cut short showed changes that the next one will not show again.
                let untold = self.listing.take().map(|(_, changes)| changes).unwrap_or_default();
                self.listing = Some((HashSet::new(), untold));
                Vec::new()
            }
            Event::InitApply(object) => {
                let change = self.mark(object);
                let key = self.key(object);
                let (listed, changes) = self.listing.get_or_insert_default();
                listed.insert(key);
                changes.extend(change);
                Vec::new()
            }
            Event::InitDone => {
                let (listed, mut changes) = self.listing.take().unwrap_or_default();
                let mut gone: Vec<ObjectKey> = self.marks.keys().filter(|key| !listed.contains(key)).cloned().collect();
                gone.sort();
                for key in gone {
                    let names = self.marks.remove(&key).map(|mark| mark.names).unwrap_or_default();
                    changes.push(Change { key, what: What::Gone, names });
                }
                changes
            }
        }
    }

    fn mark(&mut self, object: &DynamicObject) -> Option<Change> {
        let key = self.key(object);
        let mark = Mark { version: object.resource_version(), touch: touch(object), standing: standing(object), names: named_by(object) };
        let what = match self.marks.get(&key) {
            Some(before) if before.touch != mark.touch => What::Touched,
            Some(before) if before.standing != mark.standing => What::Standing,
            Some(before) if before.version != mark.version => What::Status,
            Some(_) => return None,
            None => What::Touched,
        };
        let names = mark.names.clone();
        self.marks.insert(key.clone(), mark);
        Some(Change { key, what, names })
    }

    fn key(&self, object: &DynamicObject) -> ObjectKey {
        ObjectKey { kind: self.kind.kind.to_owned(), namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

/// A hash of what a person or another controller changes: everything but spec (its generation stands for it) and status.
fn touch(object: &DynamicObject) -> u64 {
    let meta = &object.metadata;
    let mut hasher = DefaultHasher::new();
    (&meta.uid, meta.generation, &meta.labels, &meta.annotations, &meta.finalizers).hash(&mut hasher);
    meta.deletion_timestamp.as_ref().map(|time| time.0.as_nanosecond()).hash(&mut hasher);
    hasher.finish()
}

/// A hash of what others wait for: whether its promise holds, why, and for which generation.
fn standing(object: &DynamicObject) -> u64 {
    let status = object.data.get("status");
    let ready = status.and_then(|s| s.get("conditions")?.as_array()?.iter().find(|c| c["type"] == "Ready"));
    let mut hasher = DefaultHasher::new();
    status.and_then(|s| s.get("observedGeneration")?.as_i64()).hash(&mut hasher);
    ["status", "reason"].map(|field| ready.and_then(|r| r.get(field)?.as_str())).hash(&mut hasher);
    hasher.finish()
}

/// Stores for [`KINDS`] and their feeds.
pub fn unread() -> (Arc<Watches>, Vec<Feed>) {
    let (watches, feeds) = Watches::unread(KINDS);
    (Arc::new(watches), feeds)
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
