//! The engine: what one process needs to turn objects, whatever their kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use breakwater_api::{OperationRecord, SharedSpec, SharedStatus, azure_access::Act, operations::Outcome};
use breakwater_arm::ResourceId;
use breakwater_plan::{
    facts::{AnyObject, List},
    kind::{Grant, Kind, View},
    planner::Bounds,
};
use futures::{StreamExt, future::BoxFuture};
use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;

use crate::{
    access,
    brake::Sent,
    budget::{Budget, Priority},
    demand::Demand,
    gate::{Gate, GateParts},
    locks::{Claims, Locks},
    memory::Memory,
    object,
    ports::{Arm, AuditSink, Clock, Cluster, Entropy, Leadership, ObjectKey},
    reader::{Looker, Reader},
    resolve::{Parser, Resolved},
    telemetry::Telemetry,
    turn,
    views::Views,
};

/// The world outside, and who we are in it.
#[derive(Clone)]
pub struct Outside {
    /// Azure.
    pub arm: Arc<dyn Arm>,
    /// Kubernetes.
    pub cluster: Arc<dyn Cluster>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The lease.
    pub leadership: Arc<dyn Leadership>,
    /// The audit record.
    pub audit: Arc<dyn AuditSink>,
    /// Counts.
    pub telemetry: Arc<dyn Telemetry>,
    /// `--estate`
    pub estate: String,
    /// The kube-system namespace's uid.
    pub writer: String,
    /// `--cluster-region`
    pub region: Option<String>,
    /// How old shared listings may be, in world time.
    pub interval: SignedDuration,
}

impl Outside {
    /// What a write to Kubernetes is asked as it leaves.
    pub fn leads(&self) -> impl Fn() -> bool + Send + Sync + '_ {
        || self.leadership.leads()
    }
}

/// When to look at an object again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// At this world time.
    At(Timestamp),
    /// At once.
    Now,
    /// Never: it is gone.
    Gone,
}

type TurnFn = for<'a> fn(&'a Engine, ObjectKey) -> BoxFuture<'a, Next>;
type PrimeFn = fn(&Engine, &DynamicObject) -> Vec<Sent>;

struct Entry {
    turn: TurnFn,
    prime: PrimeFn,
}

/// Who wants to hear of a change in a listing: objects, with the items that they care for.
type Watchers = BTreeMap<(String, List), BTreeMap<ObjectKey, Option<Vec<ResourceId>>>>;

/// One per process.
pub struct Engine {
    /// The world outside.
    pub outside: Outside,
    /// Looks at Azure.
    pub reader: Reader,
    /// The only door for writes.
    pub gate: Gate,
    /// Locks of open operations.
    pub locks: Arc<Locks>,
    /// Who claims what.
    pub claims: Claims,
    /// How long things may take.
    pub bounds: Bounds,
    budget: Arc<Budget>,
    demand: Demand,
    kinds: BTreeMap<&'static str, Entry>,
    /// One parser a kind.
    pub parsers: BTreeMap<&'static str, Parser>,
    /// What kinds saw of watched objects.
    pub(crate) views: Views,
    watchers: Mutex<Watchers>,
    /// Who waits for a listing before its time.
    soon: Mutex<BTreeMap<(String, List), BTreeSet<ObjectKey>>>,
    /// Who began to watch a listing that was made anew since it looked.
    late: Mutex<BTreeSet<ObjectKey>>,
}

impl Engine {
    /// An engine without kinds.
    pub fn new(outside: Outside) -> Self {
        let memory = Arc::new(Memory::default());
        let budget = Arc::new(Budget::default());
        let locks = Arc::new(Locks::default());
        let reader = Reader::new(outside.arm.clone(), outside.clock.clone(), memory, budget.clone(), outside.telemetry.clone());
        let gate = Gate::new(GateParts {
            arm: outside.arm.clone(),
            clock: outside.clock.clone(),
            leadership: outside.leadership.clone(),
            audit: outside.audit.clone(),
            budget: budget.clone(),
            locks: locks.clone(),
            telemetry: outside.telemetry.clone(),
            estate: outside.estate.clone(),
            writer: outside.writer.clone(),
        });
        let bounds = Bounds { listed_within: outside.interval * 2, ..Bounds::for_factor(outside.clock.factor()) };
        let (claims, kinds, parsers, watchers) = (Claims::default(), BTreeMap::new(), BTreeMap::new(), Mutex::default());
        Engine {
            outside,
            reader,
            gate,
            locks,
            claims,
            bounds,
            budget,
            demand: Demand::default(),
            kinds,
            parsers,
            views: Views::default(),
            watchers,
            soon: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// Teaches it a kind.
    pub fn register<K: Kind>(&mut self) {
        self.parsers.insert(K::NAME, view::<K>);
        let entry = Entry { turn: |engine, key| Box::pin(turn::turn::<K>(engine, key)), prime: prime::<K> };
        self.kinds.insert(K::NAME, entry);
    }

    /// The kinds it keeps, by name.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.kinds.keys().copied().collect()
    }

    /// Rebuilds locks, claims and the brake from every object and the lease, before a new leader's first write.
    pub fn prime(&self) {
        let mut destructive = Vec::new();
        for (kind, entry) in &self.kinds {
            for object in self.outside.cluster.cached_all(kind, None) {
                destructive.extend((entry.prime)(self, &object));
            }
        }
        self.gate.recall(&destructive);
    }

    /// One turn of one object.
    pub async fn turn(&self, key: ObjectKey) -> Next {
        match self.kinds.get(key.kind.as_str()) {
            Some(entry) => (entry.turn)(self, key).await,
            None => Next::Gone,
        }
    }

    /// An object is gone: what it claimed, locked and wanted is free.
    pub fn gone(&self, key: &ObjectKey) {
        self.claims.withdraw(key);
        self.locks.keep_only(key, &[]);
        self.reader.memory.forget(key);
        self.watch("", key, &Resolved::default());
        self.soon().values_mut().for_each(|askers| askers.retain(|asker| asker != key));
        self.late().remove(key);
    }

    /// World time.
    pub fn now(&self) -> Timestamp {
        self.outside.clock.now()
    }

    /// A while with full jitter, growing with the attempt: 5 s to 10 min of world time, never under a wall second.
    pub fn backoff(&self, attempt: i32) -> SignedDuration {
        let cap = (5.0 * 2.0_f64.powi(attempt.clamp(1, 8) - 1)).min(600.0);
        let jitter = cap / 2.0 + cap / 2.0 * self.outside.entropy.unit();
        SignedDuration::from_secs_f64(jitter.max(self.outside.clock.factor()))
    }

    /// The lowest level of each class of calls, as a share of its bucket.
    pub fn budget_levels(&self) -> BTreeMap<&'static str, f64> {
        self.budget.levels()
    }

    /// Notes what an object wants to hear of. What came since it looked for the first time, it hears of with the next sweep.
    pub fn watch(&self, access: &str, key: &ObjectKey, resolved: &Resolved) {
        let watched = &resolved.watched;
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        for ((by, list), objects) in watchers.iter_mut() {
            if by != access || !watched.iter().any(|(l, _)| l == list) {
                objects.remove(key);
            }
        }
        for (list, items) in watched {
            let before = watchers.entry((access.to_owned(), list.clone())).or_default().insert(key.clone(), items.clone());
            let seen = resolved.facts.lists.get(list).and_then(|listed| listed.last.as_ref()).map(|last| last.at);
            if before.as_ref() != Some(items) && seen != self.reader.memory.listed_at(access, list) {
                self.late().insert(key.clone());
            }
        }
        watchers.retain(|_, objects| !objects.is_empty());
    }

    /// Asks for the listings in which an object watches this item before their time; the object is woken when they came.
    pub fn list_soon(&self, access: &str, key: &ObjectKey, id: &ResourceId) {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let shows = |objects: &BTreeMap<ObjectKey, Option<Vec<ResourceId>>>| {
            objects.get(key).is_some_and(|i| i.as_ref().is_some_and(|i| i.contains(id)))
        };
        let lists = watchers.iter().filter(|((by, list), objects)| by == access && !list.partial && shows(objects));
        for (list, _) in lists {
            self.soon().entry(list.clone()).or_default().insert(key.clone());
        }
    }

    fn soon(&self) -> MutexGuard<'_, BTreeMap<(String, List), BTreeSet<ObjectKey>>> {
        self.soon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn late(&self) -> MutexGuard<'_, BTreeSet<ObjectKey>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists again whatever is due and wanted; answers the objects that should look, and when to sweep next.
    pub async fn sweep(&self) -> (Vec<ObjectKey>, Timestamp) {
        let now = self.now();
        let interval = self.outside.interval;
        // Runs that were to come may be gone, and none is left that would say so.
        if self.budget.expects() {
            self.expect_restores();
        }
        let wanted = self.reader.memory.wanted_lists(now);
        let mut next = now + interval;
        let (mut wake, mut due_now) = (Vec::new(), Vec::new());
        for (key, last, not_before) in wanted {
            let list = &key.1;
            let every = interval * list.intervals();
            let not_before = not_before.unwrap_or(Timestamp::MIN);
            let due = last.map_or(now, |at| at + every).max(not_before);
            let early = due > now && self.soon().contains_key(&key) && last.is_none_or(|at| at + NOT_SOONER <= now);
            if due > now && (!early || not_before > now) {
                next = next.min(due);
                continue;
            }
            let Some(looker) = self.looker_of(&key) else { continue };
            if early && !self.reader.spares(&Looker { priority: Priority::Early, ..looker.clone() }, &list.request()) {
                next = next.min(due);
                continue;
            }
            let since = if early { now } else { now - every + SignedDuration::from_nanos(1) };
            due_now.push((key, looker, since));
        }
        // One region that does not answer keeps the others waiting no longer than it must.
        let listed = due_now.into_iter().map(|(key, looker, since)| async move {
            let changed = self.reader.list(&looker, &key.1, since, "").await;
            (key, since, changed)
        });
        let mut listed = std::pin::pin!(futures::stream::iter(listed).buffer_unordered(LISTED_AT_ONCE));
        while let Some((key, since, changed)) = listed.next().await {
            wake.extend(self.concerned(&key, &changed.into_iter().collect()));
            if self.reader.memory.list(&key.0, &key.1, now).value.last.is_some_and(|l| l.at >= since) {
                wake.extend(self.soon().remove(&key).unwrap_or_default());
            }
        }
        // Turns list too, and each looks only after its own object.
        for (listing, changed) in self.reader.memory.take_changed() {
            wake.extend(self.concerned(&listing, &changed));
        }
        wake.extend(std::mem::take(&mut *self.late()));
        self.reader.memory.prune(now);
        wake.sort();
        wake.dedup();
        (wake, next.max(now + SignedDuration::from_secs(1)))
    }

    /// Counts what restores are about to need, where that was not done a moment ago.
    pub(crate) fn expect_restores(&self) {
        let counted = self.demand.count(&*self.outside.cluster, self.outside.clock.wall());
        counted.into_iter().for_each(|expected| self.budget.expect(expected));
    }

    /// A listing is looked at as the first watcher whose access still stands. Of ten thousand none is copied.
    fn looker_of(&self, listing: &(String, List)) -> Option<Looker> {
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut namespaces: Vec<&str> = watchers.get(listing)?.keys().map(|key| key.namespace.as_str()).collect();
        namespaces.dedup();
        let found = namespaces
            .into_iter()
            .find_map(|namespace| access::resolve(&*self.outside.cluster, namespace, None, Some(listing.0.as_str())).ok())?;
        Some(Looker { identity: found.identity, grant: found.grant, priority: Priority::Sweep, namespace: "".into() })
    }

    /// Who watches one of those in a listing, or the whole of it.
    fn concerned(&self, listing: &(String, List), changed: &BTreeSet<ResourceId>) -> Vec<ObjectKey> {
        if changed.is_empty() {
            return Vec::new();
        }
        let cares = |items: &Option<Vec<ResourceId>>| items.as_ref().is_none_or(|ids| ids.iter().any(|id| changed.contains(id)));
        let watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let concerned = watchers.get(listing).into_iter().flatten().filter(|(_, items)| cares(items));
        concerned.map(|(key, _)| key.clone()).collect()
    }
}

/// So many listings are on their way in a sweep.
const LISTED_AT_ONCE: usize = 8;

/// Between two listings of one collection, however many ask for it.
const NOT_SOONER: SignedDuration = SignedDuration::from_secs(10);

/// How far the clocks of two leaders lie apart at most.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// The acts whose writes lock something: who may only look at it locks nothing.
const LOCKING: [&str; 6] = ["Protect", "Backup", "Restore", "ReplaceDisks", "ReadData", "Delete"];

/// For how long after its intent a record brings locks into a new process: a first backup of a large machine takes days.
const LOCKS_LAST: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What is lent is closed long before (debts.rs). A record that says more than it is may say anything.
const LENT_LASTS: SignedDuration = SignedDuration::from_hours(48);

/// Whether a record tells of something that is open and may hold locks.
fn may_lock(record: &OperationRecord, now: Timestamp) -> bool {
    let (at, last) = match &record.debt {
        Some(debt) => (debt.until.min(record.intent_at), LENT_LASTS),
        None => (record.intent_at, LOCKS_LAST),
    };
    (record.ended_at.is_none() || record.debt.is_some()) && now.duration_since(at).abs() <= last
}

/// The locks that a record holds: of what is open, and only where its object's grant reaches.
pub(crate) fn locks_of(record: &OperationRecord, grant: &Grant, now: Timestamp) -> Vec<String> {
    let reached = |lock: &&String| {
        let id = lock.split_once(':').and_then(|(_, id)| id.parse::<ResourceId>().ok());
        id.is_some_and(|id| LOCKING.iter().any(|act| grant.admits(act, &id)))
    };
    if may_lock(record, now) { record.locks.iter().filter(reached).cloned().collect() } else { Vec::new() }
}

/// What other kinds see of an object.
fn view<K: Kind>(object: &DynamicObject) -> Option<AnyObject> {
    let parsed = object::Typed::<K>::of(object).ok()?;
    let view = View::<K> { meta: object::meta(K::NAME, object, None), spec: parsed.spec, status: parsed.status };
    Some(Arc::new(view))
}

/// The destructive calls that an object's records tell of, by the access that it works under. One of the future was not
/// written by us.
fn destructive_intents(operations: &[OperationRecord], access: &str, now: Timestamp) -> Vec<Sent> {
    let destructive = |record: &&OperationRecord| {
        record.act == Act::Delete && record.outcome != Some(Outcome::Refused) && record.intent_at.duration_since(now) <= CLOCKS_DIFFER
    };
    let sent = |r: &OperationRecord| Sent { access: access.to_owned(), own: r.brake.clone(), at: r.intent_at };
    operations.iter().filter(destructive).map(sent).collect()
}

/// Takes the locks and states the claims of one object; answers the destructive calls that it tells of. A status may be a
/// tenant's own writing: only where the object's access reaches does it count.
fn prime<K: Kind>(engine: &Engine, object: &DynamicObject) -> Vec<Sent> {
    let key = object::key(K::NAME, object);
    let shared = object::shared(object).unwrap_or_else(|_| SharedStatus::default());
    let spec: SharedSpec = object.data.get("spec").cloned().and_then(|s| serde_json::from_value(s).ok()).unwrap_or_default();
    let named = spec.access_ref.as_ref().map(|r| r.name.as_str());
    let access = access::resolve(&*engine.outside.cluster, &key.namespace, shared.access.as_ref(), named).ok();
    let grant = access.as_ref().map(|a| &*a.grant);
    let now = engine.now();
    for record in shared.operations.iter().filter(|_| !crate::debts::is_left(object)) {
        let locks = grant.map(|grant| locks_of(record, grant, now)).unwrap_or_default();
        if let Err((lock, (by, _))) = engine.locks.take(&locks, &(key.clone(), record.node.clone())) {
            // Two open operations under one lock: each is followed, and neither is sent again without it.
            tracing::error!(kind = K::NAME, namespace = key.namespace, name = key.name, lock, holder = by.name, "a lock is held twice");
        }
    }
    if let Some(parsed) = object::Typed::<K>::of(object).ok().filter(|_| !crate::debts::is_left(object)) {
        let meta = object::meta(K::NAME, object, Some(&*engine.outside.clock));
        engine.claims.state(&key, &meta.uid, meta.created, &turn::claims::<K>(&meta, &parsed.spec, &shared.owned, grant));
    }
    grant.map(|grant| destructive_intents(&shared.operations, &grant.name, now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_time_brings_no_locks() {
        let now: Timestamp = "2026-06-10T12:00:00Z".parse().unwrap();
        let record = |intent: &str, until: Option<&str>| {
            let mut record = serde_json::json!({
                "node": "backup", "verb": "act", "method": "POST", "target": "/subscriptions/s", "act": "Backup", "intentAt": intent,
                "attempt": 1, "key": "k", "clientRequestId": "one",
            });
            if let Some(until) = until {
                let (method, path) = ("POST", "/subscriptions/s");
                record["debt"] = serde_json::json!({ "method": method, "path": path, "apiVersion": "1", "until": until, "access": "a" });
            }
            serde_json::from_value::<OperationRecord>(record).unwrap()
        };
        let cases = [
            ("2026-06-10T11:00:00Z", None, true),
            ("2026-06-10T11:00:00Z", Some("2199-01-01T00:00:00Z"), true),
            ("2026-06-01T11:00:00Z", None, true),
            ("2026-05-20T11:00:00Z", None, false),
            ("2026-06-08T11:00:00Z", Some("2199-01-01T00:00:00Z"), false),
            ("2199-01-01T00:00:00Z", None, false),
        ];
        for (intent, until, wanted) in cases {
            assert_eq!(may_lock(&record(intent, until), now), wanted, "{intent} {until:?}");
        }
    }
}
