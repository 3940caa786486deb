//! The pretend Kubernetes: a versioned store behind the engine's `Cluster` port, with watches that lag and writes that fail
//! when the test says so. Deterministic, in process, in virtual time.
//!
//! A [`MemoryCluster`] is one process's connection: [`another_process`](MemoryCluster::another_process) gives a second one over
//! the same objects, with watches of its own. People act through [`user`](MemoryCluster::user). After "etcd is gone" make a new
//! cluster with another seed, so that uids differ as they would.

pub mod audit;
pub mod fault;
pub mod leadership;
pub(crate) mod merge;
mod metadata;
mod openapi;
mod port;
pub mod record;
pub mod schema;
pub mod store;
pub mod user;
pub mod view;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use breakwater_engine::ports::{Clock, ClusterError, MayLeave, ObjectKey};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use self::{
    fault::{FaultPlan, WriteFault},
    record::{Outcome, RecordedEvent, Verb, WriteRecord, Writer},
    schema::Schemas,
    store::{Part, Store, UnknownFields, Written},
    user::User,
    view::{Cursor, Lag, SeenChange, View},
};
use crate::{clock::VirtualClock, halt::Halt};

/// One process's connection to the pretend API server.
#[derive(Debug)]
pub struct MemoryCluster {
    server: Arc<Server>,
    view: Mutex<View>,
    /// The version of each object that this process's watch gave out last.
    handed: Mutex<BTreeMap<ObjectKey, String>>,
    /// Versions that live reads have answered with.
    got: Mutex<Vec<(ObjectKey, String)>>,
    /// Where this process stands still, if it may.
    halt: Option<Arc<Halt>>,
}

#[derive(Debug)]
struct Server {
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    store: Store,
    plan: FaultPlan,
    reach: Reach,
    garbage: GarbageCollection,
    writes: Vec<WriteRecord>,
    counts: BTreeMap<(Verb, String), u64>,
    events: Vec<RecordedEvent>,
    deaths: u64,
}

/// Whether the operator's calls arrive at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// They do.
    Up,
    /// Every read and write of the operator fails without effect; people reach the server all the same.
    Down,
}

/// When dependents of owners that are gone are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GarbageCollection {
    /// With the write that made them garbage.
    AtOnce,
    /// When the test calls [`MemoryCluster::collect_garbage`].
    OnDemand,
}

/// What somebody is about to write.
struct Attempt<'a> {
    writer: Writer,
    verb: Verb,
    key: &'a ObjectKey,
    body: &'a Value,
    condition: Option<&'a str>,
}

/// What a call of the operator comes to.
enum Reply {
    Answer(Result<Written, ClusterError>),
    /// The process is dead: nobody will hear of it.
    Death,
}

impl MemoryCluster {
    /// An empty cluster with these CRDs. The seed decides uids and the chances of lagging watches. Objects of kinds without a
    /// CRD are taken as they come, with `status` as a subresource.
    ///
    /// # Errors
    /// When a CRD has no schema or a rule or pattern in it does not compile.
    pub fn new(clock: Arc<VirtualClock>, crds: &[CustomResourceDefinition], seed: u64) -> anyhow::Result<Self> {
        Ok(Self::with_schemas(clock, Schemas::new(crds)?, seed))
    }

    /// The same with schemas that were compiled before: many runs share them.
    pub fn with_schemas(clock: Arc<VirtualClock>, schemas: Schemas, seed: u64) -> Self {
        let store = Store::new(schemas, seed);
        let view = Mutex::new(View::new(&store, seed));
        let state = State {
            store,
            plan: FaultPlan::default(),
            reach: Reach::Up,
            garbage: GarbageCollection::AtOnce,
            writes: Vec::new(),
            counts: BTreeMap::new(),
            events: Vec::new(),
            deaths: 0,
        };
        Self {
            server: Arc::new(Server { clock, state: Mutex::new(state) }),
            view,
            handed: Mutex::default(),
            got: Mutex::default(),
            halt: None,
        }
    }

    /// A new process on the same cluster: its watches begin with a fresh list. The seed decides the chances of their lag.
    #[must_use]
    pub fn another_process(&self, seed: u64) -> Self {
        let view = Mutex::new(View::new(&self.state().store, seed));
        Self { server: self.server.clone(), view, handed: Mutex::default(), got: Mutex::default(), halt: None }
    }

    /// Another cluster with another clock that holds what this one holds, as a new process sees it; what was written so far
    /// is told of it as well. No fault is planned for it.
    #[must_use]
    pub fn copy(&self, clock: Arc<VirtualClock>, seed: u64) -> Self {
        let state = self.state();
        let view = Mutex::new(View::new(&state.store, seed));
        let state = State {
            store: state.store.clone(),
            plan: FaultPlan::default(),
            reach: state.reach,
            garbage: state.garbage,
            writes: state.writes.clone(),
            counts: state.counts.clone(),
            events: state.events.clone(),
            deaths: state.deaths,
        };
        let server = Arc::new(Server { clock, state: Mutex::new(state) });
        Self { server, view, handed: Mutex::default(), got: Mutex::default(), halt: None }
    }

    /// The same connection of a process that may stand still.
    #[must_use]
    pub fn walking_with(self, halt: Arc<Halt>) -> Self {
        Self { halt: Some(halt), ..self }
    }

    async fn step(&self) {
        if let Some(halt) = &self.halt {
            halt.step().await;
        }
    }

    /// A person with kubectl, or Git.
    #[must_use]
    pub fn user(&self) -> User<'_> {
        User::new(self)
    }

    // Faults

    /// Sets what will go wrong with the operator's writes from now on; the plan counts from here.
    pub fn plan_faults(&self, plan: FaultPlan) {
        self.state().plan = plan;
    }

    /// Cuts the operator off, or lets it through again.
    pub fn set_reach(&self, reach: Reach) {
        self.state().reach = reach;
    }

    /// How many writes ended in the death of the process (`DiesBefore`, `DiesAfter`). A driver that sees this grow drops the
    /// engine's future, which will never be ready.
    #[must_use]
    pub fn deaths(&self) -> u64 {
        self.state().deaths
    }

    // Watches

    /// Sets how late all watches of this process are.
    pub fn set_lag(&self, lag: Lag) {
        self.view().set_lag(None, lag);
    }

    /// Sets how late this process's watch of one kind is, until `set_lag` is called.
    pub fn set_lag_of(&self, kind: &str, lag: Lag) {
        self.view().set_lag(Some(kind), lag);
    }

    /// Stops the watches where they are.
    pub fn hold_watch(&self) {
        let mut view = self.view();
        // What has happened up to here was seen, unless a lag hid it.
        view.changes_since(&self.state().store, &mut Cursor::default());
        view.set_lag(None, Lag::Held);
    }

    /// Lets the watches catch up, and keep up from now on.
    pub fn release_watch(&self) {
        self.set_lag(Lag::None);
    }

    /// Breaks the watches off and lists everything anew.
    pub fn restart_watch(&self) {
        self.view().list(&self.state().store, 0);
    }

    /// Breaks the watches off and gets a list from a cache that is so many versions old: the view may go backwards.
    pub fn restart_watch_from_old_list(&self, versions_ago: u64) {
        self.view().list(&self.state().store, versions_ago);
    }

    /// Which objects this process has seen to change since the cursor was last used, in order. Counts as a look.
    pub fn changes_since(&self, cursor: &mut Cursor) -> Vec<SeenChange> {
        let mut view = self.view();
        view.changes_since(&self.state().store, cursor)
    }

    /// How many changes this process has not seen yet: at rest, and with nothing held, it is 0.
    #[must_use]
    pub fn behind(&self) -> usize {
        self.view().behind(&self.state().store)
    }

    /// An object as this process's watch last showed it; asking brings no news.
    #[must_use]
    pub fn shown(&self, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
        self.view().shown(key).cloned()
    }

    /// The version of an object that the watch gave out when this process last asked for it.
    #[must_use]
    pub fn handed(&self, key: &ObjectKey) -> Option<String> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// The versions that this process's live reads have answered with since the last time this was asked.
    pub fn take_got(&self) -> Vec<(ObjectKey, String)> {
        std::mem::take(&mut self.got.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a change of an object is still to come for somebody who has read so far.
    #[must_use]
    pub fn is_pending(&self, key: &ObjectKey, cursor: &Cursor) -> bool {
        self.view().is_pending(&self.state().store, key, *cursor)
    }

    /// Whether any watch of this process is set to be late.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        self.view().is_lagging()
    }

    // What is and what was

    /// An object as it is, whatever the watches say.
    #[must_use]
    pub fn live(&self, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
        self.state().store.get(key).map(|stored| stored.object.clone())
    }

    /// All objects of a kind as they are, in key order.
    #[must_use]
    pub fn live_all(&self, kind: &str) -> Vec<Arc<DynamicObject>> {
        self.state().store.objects().filter(|(key, _)| key.kind == kind).map(|(_, stored)| stored.object.clone()).collect()
    }

    /// The store's version: it grows with every change and only then.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state().store.version()
    }

    /// Every object, one line of JSON each, in key order: two runs of one seed are the same byte by byte.
    #[must_use]
    pub fn dump(&self) -> String {
        self.state().store.objects().map(|(_, stored)| format!("{}\n", stored.value)).collect()
    }

    /// How many writes the operator has tried so far, whatever came of them.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.state().counts.values().sum()
    }

    /// How many of them were of this verb and kind.
    #[must_use]
    pub fn writes_of(&self, verb: Verb, kind: &str) -> u64 {
        self.state().counts.get(&(verb, kind.to_owned())).copied().unwrap_or(0)
    }

    /// How many writes anybody has tried so far.
    #[must_use]
    pub fn written(&self) -> usize {
        self.state().writes.len()
    }

    /// Every write of anybody, from the given number (0 is the first) on.
    #[must_use]
    pub fn write_log(&self, from: usize) -> Vec<WriteRecord> {
        self.state().writes.get(from..).unwrap_or_default().to_vec()
    }

    /// Every Event published.
    #[must_use]
    pub fn events(&self) -> Vec<RecordedEvent> {
        self.state().events.clone()
    }

    /// Says when garbage is collected.
    pub fn set_garbage_collection(&self, when: GarbageCollection) {
        self.state().garbage = when;
    }

    /// Collects what is garbage now.
    pub fn collect_garbage(&self) {
        self.server.collect_garbage(&mut self.state());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.server.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Taken before `state`, where both are.
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A write by somebody to whom nothing goes wrong.
    fn write_as(
        &self,
        writer: Writer,
        verb: Verb,
        key: &ObjectKey,
        body: &Value,
        write: impl FnOnce(&mut Store) -> Result<Written, ClusterError>,
    ) -> Result<Written, ClusterError> {
        let mut state = self.state();
        let result = write(&mut state.store);
        self.server.record(&mut state, &Attempt { writer, verb, key, body, condition: None }, &result, None);
        if state.garbage == GarbageCollection::AtOnce && makes_garbage(&result) {
            self.server.collect_garbage(&mut state);
        }
        result
    }

    /// A write of the operator, as the plan of faults has it.
    async fn write(
        &self,
        (verb, key, body): (Verb, &ObjectKey, &Value),
        condition: Option<&str>,
        may_leave: &MayLeave<'_>,
        write: impl FnOnce(&mut Store) -> Result<Written, ClusterError> + Send,
    ) -> Result<DynamicObject, ClusterError> {
        self.step().await;
        if !may_leave() {
            return Err(ClusterError::TooLate);
        }
        match self.try_write(&Attempt { writer: Writer::Operator, verb, key, body, condition }, write) {
            Reply::Answer(result) => result.map(|written| written.answer.object.as_ref().clone()),
            Reply::Death => std::future::pending().await,
        }
    }

    fn try_write(&self, attempt: &Attempt<'_>, write: impl FnOnce(&mut Store) -> Result<Written, ClusterError>) -> Reply {
        let (verb, key) = (attempt.verb, attempt.key);
        let mut state = self.state();
        *state.counts.entry((verb, key.kind.clone())).or_default() += 1;
        let unknown = |what: &str| Err(ClusterError::Unknown(what.to_owned()));
        let fault = match state.reach {
            Reach::Up => state.plan.next(verb, &key.kind),
            Reach::Down => Some(WriteFault::NeverSent),
        };
        let unsent = match &fault {
            Some(WriteFault::NeverSent | WriteFault::DiesBefore) => Some(unknown("connection refused")),
            Some(WriteFault::Conflict) => Some(Err(ClusterError::Conflict)),
            Some(WriteFault::Refused(words)) => Some(Err(ClusterError::Refused(words.clone()))),
            Some(WriteFault::AppliedAnswerLost | WriteFault::DiesAfter) | None => None,
        };
        let result = unsent.unwrap_or_else(|| write(&mut state.store));
        self.server.record(&mut state, attempt, &result, fault.clone());
        if state.garbage == GarbageCollection::AtOnce && makes_garbage(&result) {
            self.server.collect_garbage(&mut state);
        }
        match fault {
            Some(WriteFault::DiesBefore | WriteFault::DiesAfter) => {
                state.deaths += 1;
                Reply::Death
            }
            Some(WriteFault::AppliedAnswerLost) => Reply::Answer(unknown("connection reset by peer")),
            _ => Reply::Answer(result),
        }
    }
}

impl Server {
    fn record(&self, state: &mut State, attempt: &Attempt<'_>, result: &Result<Written, ClusterError>, fault: Option<WriteFault>) {
        let Attempt { writer, verb, key, body, condition } = *attempt;
        let (outcome, written) = match result {
            Ok(written) if written.before == written.after => (Outcome::NoChange, Some(written)),
            Ok(written) => (Outcome::Applied, Some(written)),
            Err(_) if matches!(fault, Some(WriteFault::NeverSent | WriteFault::DiesBefore)) => (Outcome::NotSent, None),
            Err(error) => (Outcome::Failed(error.clone()), None),
        };
        state.writes.push(WriteRecord {
            writer,
            verb,
            key: key.clone(),
            body: body.clone(),
            condition: condition.map(str::to_owned),
            before: written.and_then(|written| written.before.clone()),
            after: written.and_then(|written| written.after.clone()),
            at: self.clock.now(),
            outcome,
            fault,
            pruned: written.map(|written| written.pruned.clone()).unwrap_or_default(),
        });
    }

    fn collect_garbage(&self, state: &mut State) {
        while let Some((key, held)) = state.store.garbage() {
            let (verb, body, result) = if held.is_empty() {
                (Verb::Delete, Value::Null, state.store.delete(&key, None, self.clock.wall_timestamp()))
            } else {
                let body = json!({"metadata": {"ownerReferences": held}});
                let patch = |object: &mut Value| merge::merge(object, &body);
                let result = state.store.update(&key, None, Part::Object, UnknownFields::Dropped, patch);
                (Verb::PatchMetadata, body, result)
            };
            self.record(state, &Attempt { writer: Writer::Garbage, verb, key: &key, body: &body, condition: None }, &result, None);
            if result.is_err() {
                break; // an object that is invalid as it stands: the real collector tries again for ever
            }
        }
    }
}

/// Whether something may be garbage after this: only what is gone, or what names owners, makes any.
fn makes_garbage(result: &Result<Written, ClusterError>) -> bool {
    result.as_ref().is_ok_and(|written| written.after.as_ref().is_none_or(|after| after.value["metadata"]["ownerReferences"].is_array()))
}
