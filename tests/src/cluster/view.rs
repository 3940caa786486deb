//! What a process has seen of the store through its watches: late, in order, never backwards unless a watch is restarted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use breakwater_engine::ports::{Entropy, ObjectKey};
use kube::core::DynamicObject;

use super::store::{Change, Store};
use crate::entropy::SeededEntropy;

/// How late a watch is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Lag {
    /// Every look sees everything.
    #[default]
    None,
    /// A change is seen once so many further changes have happened anywhere in the cluster. The last ones are seen only after
    /// the lag is set to something else.
    Versions(u64),
    /// Every look sees nothing new with this chance, else one change more, and so on until the chance strikes.
    Random {
        /// In `0.0..1.0`.
        stall: f64,
    },
    /// Nothing new is seen.
    Held,
}

/// How an object was seen to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there, new or changed, or listed again.
    Applied,
    /// Its end was watched. An object that vanished between two lists is never seen to end, as in a real watch.
    Deleted,
}

/// One object that was seen to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenChange {
    /// Which object.
    pub key: ObjectKey,
    /// How.
    pub seen: Seen,
}

/// How far somebody has read a view's changes. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor(usize);

#[derive(Debug, Default)]
struct Stream {
    /// The first entry of the store's log that was not seen.
    next: usize,
    objects: BTreeMap<ObjectKey, Arc<DynamicObject>>,
}

/// One process's watches, one stream per kind.
#[derive(Debug)]
pub struct View {
    streams: BTreeMap<String, Stream>,
    /// Where a kind's stream begins that had no object at the last list.
    listed: usize,
    lag: Lag,
    lags: BTreeMap<String, Lag>,
    seen: Vec<SeenChange>,
    chance: SeededEntropy,
}

impl View {
    /// Watches that begin with a fresh list of everything.
    #[must_use]
    pub fn new(store: &Store, seed: u64) -> Self {
        let mut view = Self {
            streams: BTreeMap::new(),
            listed: 0,
            lag: Lag::None,
            lags: BTreeMap::new(),
            seen: Vec::new(),
            chance: SeededEntropy::new(seed),
        };
        view.list(store, 0);
        view
    }

    /// Lists everything anew, as it was so many versions ago: 0 is now. A list from the API server's cache (`resourceVersion=0`)
    /// may be older than what was watched before.
    pub fn list(&mut self, store: &Store, versions_ago: u64) {
        let version = store.version().saturating_sub(versions_ago);
        let limit = store.log().partition_point(|change| change.version <= version);
        self.streams.clear();
        for change in &store.log()[..limit] {
            let stream = self.streams.entry(change.key.kind.clone()).or_insert_with(|| Stream { next: limit, objects: BTreeMap::new() });
            apply(stream, change);
        }
        self.listed = limit;
        let listed = self.streams.values().flat_map(|stream| stream.objects.keys());
        self.seen.extend(listed.map(|key| SeenChange { key: key.clone(), seen: Seen::Applied }));
    }

    /// Sets the lag of every kind, or of one.
    pub fn set_lag(&mut self, kind: Option<&str>, lag: Lag) {
        match kind {
            Some(kind) => drop(self.lags.insert(kind.to_owned(), lag)),
            None => {
                self.lags.clear();
                self.lag = lag;
            }
        }
    }

    /// The objects of a kind as seen now: this look may bring news.
    pub fn objects(&mut self, store: &Store, kind: &str) -> &BTreeMap<ObjectKey, Arc<DynamicObject>> {
        self.look(store, &[kind.to_owned()].into());
        &self.streams[kind].objects
    }

    /// What was seen to change since the cursor was last used, over all kinds, in the order of the changes.
    pub fn changes_since(&mut self, store: &Store, cursor: &mut Cursor) -> Vec<SeenChange> {
        self.look(store, store.kinds());
        let news = self.seen[cursor.0..].to_vec();
        cursor.0 = self.seen.len();
        news
    }

    /// How many changes have happened that were not seen.
    #[must_use]
    pub fn behind(&self, store: &Store) -> usize {
        let next = |kind: &str| self.streams.get(kind).map_or(self.listed, |stream| stream.next);
        let first = store.kinds().iter().map(|kind| next(kind)).min().unwrap_or(0);
        store.log().iter().enumerate().skip(first).filter(|(index, change)| *index >= next(&change.key.kind)).count()
    }

    /// An object as it was last seen. No look: nothing new comes in.
    #[must_use]
    pub fn shown(&self, key: &ObjectKey) -> Option<&Arc<DynamicObject>> {
        self.streams.get(&key.kind)?.objects.get(key)
    }

    /// Whether a change of that object is still to come: not seen yet, or seen and not read by that cursor.
    #[must_use]
    pub fn is_pending(&self, store: &Store, key: &ObjectKey, cursor: Cursor) -> bool {
        let next = self.streams.get(&key.kind).map_or(self.listed, |stream| stream.next);
        self.seen.iter().skip(cursor.0).any(|change| change.key == *key) || store.log().iter().skip(next).any(|change| change.key == *key)
    }

    /// Whether any watch is late.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        std::iter::once(&self.lag).chain(self.lags.values()).any(|lag| *lag != Lag::None)
    }

    fn look(&mut self, store: &Store, kinds: &BTreeSet<String>) {
        let mut limits = BTreeMap::new();
        for kind in kinds {
            let listed = self.listed;
            let next = self.streams.entry(kind.clone()).or_insert_with(|| Stream { next: listed, objects: BTreeMap::new() }).next;
            let limit = self.limit(store, kind, next);
            limits.insert(kind.as_str(), next..limit.max(next));
        }
        let first = limits.values().filter(|range| !range.is_empty()).map(|range| range.start).min();
        let Some(first) = first else { return };
        for (index, change) in store.log().iter().enumerate().skip(first) {
            let Some(range) = limits.get(change.key.kind.as_str()) else { continue };
            if range.contains(&index)
                && let Some(stream) = self.streams.get_mut(&change.key.kind)
            {
                self.seen.push(SeenChange { key: change.key.clone(), seen: apply(stream, change) });
            }
        }
        for (kind, range) in limits {
            if let Some(stream) = self.streams.get_mut(kind) {
                stream.next = range.end;
            }
        }
    }

    /// Up to which entry of the log a look at this kind sees.
    fn limit(&self, store: &Store, kind: &str, next: usize) -> usize {
        let log = store.log();
        match self.lags.get(kind).copied().unwrap_or(self.lag) {
            Lag::None => log.len(),
            Lag::Held => next,
            Lag::Versions(versions) => {
                let version = store.version().saturating_sub(versions);
                log.partition_point(|change| change.version <= version)
            }
            Lag::Random { stall } => {
                let waiting = log.iter().enumerate().skip(next).filter(|(_, change)| change.key.kind == kind);
                waiting.map(|(index, _)| index + 1).take_while(|_| self.chance.unit() >= stall).last().unwrap_or(next)
            }
        }
    }
}

fn apply(stream: &mut Stream, change: &Change) -> Seen {
    match &change.object {
        Some(object) => {
            stream.objects.insert(change.key.clone(), object.clone());
            Seen::Applied
        }
        None => {
            stream.objects.remove(&change.key);
            Seen::Deleted
        }
    }
}
