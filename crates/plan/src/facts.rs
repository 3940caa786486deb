//! What a kind asks to know, and what is known. The engine resolves needs until nothing new is asked.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use breakwater_api::SharedStatus;
use breakwater_arm::{
    ResourceId,
    wire::{Method, Request},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::sighting::{Known, Listed, Packed, Seen, Trouble};

/// One thing that a kind must know. A closed enum of the engine: a new kind needs no new variant.
#[derive(Clone, Debug, PartialEq)]
pub enum Need {
    /// One Kubernetes object.
    Object(ObjectRef),
    /// All objects of a kind in a namespace (everywhere when empty).
    Objects {
        /// The kind.
        kind: &'static str,
        /// Empty for every namespace.
        namespace: String,
        /// Only those are looked into of which one of these references or ids in spec is that; the others are known by name alone.
        naming: Option<Vec<(&'static str, String)>>,
    },
    /// What objects of a kind say in their status that they made or are making in Azure, everywhere. They may be many: nothing else of
    /// them is looked into.
    Made {
        /// The kind.
        kind: &'static str,
        /// The node of it that makes something.
        node: &'static str,
    },
    /// The labels of a namespace.
    Namespace(String),
    /// What any object of ours shows of itself, whatever its kind.
    Shared {
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A listing that many objects share, kept not older than the inventory interval.
    Inventory {
        /// What to list.
        list: List,
        /// The items of interest: a change of one of them wakes the object, and it counts as listed there or not.
        /// `None` is the whole listing.
        watch: Option<Vec<ResourceId>>,
    },
    /// One resource by its own id.
    Read {
        /// What to GET.
        id: ResourceId,
        /// How new it must be.
        fresh: Fresh,
    },
    /// A listing for this object alone.
    ListUnder {
        /// What to list.
        list: List,
        /// How new it must be.
        fresh: Fresh,
    },
    /// The job list of a vault, read live and paged to its end: the one listing that may decide (rule 3).
    Jobs {
        /// The vault.
        vault: ResourceId,
        /// How far back it must reach.
        since: Timestamp,
        /// How new it must be.
        fresh: Fresh,
    },
    /// Whether a Secret of that name could be made in the object's namespace, and removed again: tried dry, nothing is written.
    NewSecret {
        /// Its name.
        name: String,
    },
    /// A POST that the table in `arm` marks as a read.
    Ask {
        /// Names the answer in `Facts`.
        name: String,
        /// The request; its class is checked by the gate's table.
        request: Request,
        /// How new the answer must be.
        fresh: Fresh,
    },
}

/// How new a fact must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// Asked again when it is older than this.
    Within(SignedDuration),
    /// The same, of a resource that is only of use to people: read where Azure admits far more than was used, else left as it
    /// is known.
    Spare(SignedDuration),
    /// Never asked: as it is known. What is read before a write is shown to the kind by it.
    Known,
    /// Asked again when it is older than that moment.
    After(Timestamp),
    /// Asked again when the token differs from the one it was asked under: a `changedTime`, a `lastRecoveryPoint`.
    Version(String),
    /// The same, of a resource that is only of use to people.
    SpareVersion(String),
}

/// A collection: its path, with the query that selects from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct List {
    /// `/subscriptions/{s}/resources`, `{vault}/backupProtectedItems`, ...
    pub path: String,
    /// Query pairs besides `api-version`.
    pub query: Vec<(String, String)>,
    /// The api-version of the collection.
    pub api_version: &'static str,
    /// True where its items show a part of the resource only, its run-time status: such a listing says nothing of the
    /// resource itself, and is made every third interval (15 min by default; architecture.md, "Inventory").
    pub partial: bool,
}

impl List {
    /// The GET of its first page.
    pub fn request(&self) -> Request {
        let mut first = Request::new(Method::Get, self.path.as_str(), self.api_version);
        first.query.extend(self.query.iter().cloned());
        first
    }

    /// How many inventory intervals pass between two listings.
    pub fn intervals(&self) -> i32 {
        if self.partial { 3 } else { 1 }
    }
}

/// One Kubernetes object by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: &'static str,
    /// Empty where cluster-scoped.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What any object shows of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SharedView {
    /// Its uid.
    pub uid: String,
    /// The shared part of its status.
    pub status: SharedStatus,
}

/// An answer to an `Ask`. `Debug` does not show it: it may hold an access token.
#[derive(Clone, PartialEq)]
pub struct Asked {
    /// World time of the answer.
    pub at: Timestamp,
    /// The body of a 2xx.
    pub body: Option<Arc<Value>>,
    /// Why there is none.
    pub trouble: Option<Trouble>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("at", &self.at).field("trouble", &self.trouble).finish_non_exhaustive()
    }
}

/// Whether a Secret could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewSecret {
    /// It could, and be removed again.
    Possible,
    /// There is one of that name.
    Exists,
    /// The namespace does not let the operator; the API server's words.
    Forbidden(String),
    /// The API server would refuse it for another reason; its words.
    Refused(String),
    /// The API server did not say; why.
    Unknown(String),
}

/// A typed Kubernetes object, whatever its kind: a `View<K>`.
pub type AnyObject = Arc<dyn Any + Send + Sync>;

/// Everything known in this turn.
#[derive(Clone, Default)]
pub struct Facts {
    /// Resources by id.
    pub seen: BTreeMap<ResourceId, Seen>,
    /// Collections, the shared inventory and this object's own.
    pub lists: BTreeMap<List, Listed>,
    /// Job lists by vault.
    pub jobs: BTreeMap<ResourceId, Listed>,
    /// How far back each of them reaches.
    pub jobs_reach: BTreeMap<ResourceId, Timestamp>,
    /// Answers to asks by name.
    pub asked: BTreeMap<String, Asked>,
    /// Secrets that could be made, by name.
    pub new_secrets: BTreeMap<String, NewSecret>,
    /// Objects by reference; `None` is seen absent from the watched store.
    pub objects: BTreeMap<ObjectRef, Option<AnyObject>>,
    /// What objects of a kind made, and since when it may be there.
    pub made: BTreeMap<ResourceId, Timestamp>,
    /// Labels by namespace; a namespace that is not known has none.
    pub namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Any objects by (kind, namespace, name).
    pub shared: BTreeMap<(String, String, String), SharedView>,
    /// Objects by kind and namespace.
    pub collections: BTreeMap<(&'static str, String), Vec<AnyObject>>,
    /// The names of objects that were not looked into, by kind and namespace.
    pub others: BTreeMap<(&'static str, String), BTreeSet<String>>,
}

impl Facts {
    /// The newest sighting of a resource.
    pub fn resource(&self, id: &ResourceId) -> Known<&Arc<Value>> {
        match self.seen.get(id).and_then(Seen::latest) {
            None => Known::Unknown,
            Some(s) => s.what.as_ref().map_or(Known::Absent(s.at), |body| Known::Present(s.at, body)),
        }
    }

    /// The newest direct read of a resource: the only sighting that says absent.
    pub fn read(&self, id: &ResourceId) -> Known<&Arc<Value>> {
        match self.seen.get(id).and_then(|s| s.read.as_ref()) {
            None => Known::Unknown,
            Some(s) => s.what.as_ref().map_or(Known::Absent(s.at), |body| Known::Present(s.at, body)),
        }
    }

    /// Why a resource could not be read, if it could not.
    pub fn trouble(&self, id: &ResourceId) -> Option<&Trouble> {
        self.seen.get(id)?.trouble.as_ref()
    }

    /// One item of a whole listing: `Absent` when the listing came whole without it.
    pub fn listed(&self, list: &List, id: &ResourceId) -> Known<Value> {
        match self.lists.get(list).and_then(|l| l.last.as_ref()) {
            None => Known::Unknown,
            Some(l) => l.items.get(id).map_or(Known::Absent(l.at), |body| Known::Present(l.at, body.open())),
        }
    }

    /// A whole listing's items, `None` when it never came whole.
    pub fn list(&self, list: &List) -> Option<&BTreeMap<ResourceId, Packed>> {
        self.lists.get(list)?.last.as_ref().map(|l| &**l.items)
    }

    /// When a listing last came whole.
    pub fn listed_at(&self, list: &List) -> Option<Timestamp> {
        self.lists.get(list)?.last.as_ref().map(|l| l.at)
    }

    /// One object, typed. `None` when it does not exist or was not asked for.
    pub fn object<T: Send + Sync + 'static>(&self, at: &ObjectRef) -> Option<Arc<T>> {
        self.objects.get(at)?.clone()?.downcast::<T>().ok()
    }

    /// All objects asked for by `Need::Objects`, typed, in name order.
    pub fn objects<T: Send + Sync + 'static>(&self, kind: &'static str, namespace: &str) -> Vec<Arc<T>> {
        let found = self.collections.get(&(kind, namespace.to_owned()));
        found.into_iter().flatten().filter_map(|o| o.clone().downcast::<T>().ok()).collect()
    }

    /// Whether there is such an object that was not looked into.
    pub fn is_other(&self, kind: &'static str, namespace: &str, name: &str) -> bool {
        self.others.get(&(kind, namespace.to_owned())).is_some_and(|names| names.contains(name))
    }

    /// An ask's answer.
    pub fn answer(&self, name: &str) -> Option<&Asked> {
        self.asked.get(name)
    }
}
