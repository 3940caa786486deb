//! The driver: for each kind, one turn at a time per object, which says when it wants to come back.
//!
//! A turn is caused by a touch of its object (never by a status we wrote), by another object it depends on, by the engine's
//! waker, or by time. A panic in a turn is that object's trouble only. On stop nothing starts and what runs may finish.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use breakwater_arm::redacted;
use breakwater_engine::{
    calm::Calm,
    ports::{Entropy, ObjectKey},
};
use futures::FutureExt;
use kube::ResourceExt;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    dependencies::is_woken_by_many,
    kinds::Role,
    line::Line,
    logs::MAX_PANIC,
    metrics::{Metrics, TurnResult},
    watch::{Change, Kept, Watches, What},
};

/// No object waits longer for its next turn, so that nothing sleeps for ever.
const LONGEST: Duration = Duration::from_secs(3600);
/// No object comes back sooner, so that nothing spins.
const SHORTEST: Duration = Duration::from_millis(50);
/// The first wait after a turn that panicked; it doubles with every further one.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// The longest such wait.
const LAST_RETRY: Duration = Duration::from_secs(600);

/// What the driver calls: the engine.
#[async_trait]
pub trait Turns: Send + Sync + 'static {
    /// One turn of one object, which was in its store a moment ago. Answers in what wall time it comes back.
    async fn turn(&self, key: &ObjectKey) -> Duration;

    /// Whose turns look at the object that changed. The driver wakes them; the object itself needs no mention.
    fn woken_by(&self, change: &Change) -> Vec<ObjectKey>;
}

/// Wakes objects: what the engine calls when a listing shows something new. Cheap to clone.
#[derive(Clone)]
pub struct Waker {
    queues: Arc<BTreeMap<&'static str, mpsc::UnboundedSender<ObjectKey>>>,
}

impl Waker {
    /// Gives an object a turn soon. Of several calls before that turn one counts; an object that is not there gets none.
    pub fn wake(&self, key: &ObjectKey) {
        if let Some(queue) = self.queues.get(key.kind.as_str()) {
            // A queue whose controller has ended belongs to a driver that is stopping: nobody is waiting for the turn.
            let _ended = queue.send(key.clone());
        }
    }
}

/// A controller or the router ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("the controller of {0} ended by itself")]
pub struct Ended(String);

/// One term of leadership: made before the engine, because the engine holds its waker; run once.
pub struct Driver {
    watches: Arc<Watches>,
    queues: Vec<(&'static str, mpsc::UnboundedReceiver<ObjectKey>)>,
    changes: mpsc::UnboundedReceiver<Change>,
    waker: Waker,
    shared: Shared,
    concurrency: u16,
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    entropy: Arc<dyn Entropy>,
    panics: Arc<Mutex<HashMap<ObjectKey, u32>>>,
}

impl Driver {
    /// A driver over stores that are synced. Changes are collected from here on; turns begin with [`Driver::run`].
    pub fn new(watches: &Arc<Watches>, metrics: Metrics, entropy: Arc<dyn Entropy>, concurrency: u16) -> Self {
        let mut senders = BTreeMap::new();
        let mut queues = Vec::new();
        for watched in watches.all().filter(|w| w.kind.role == Role::Turned) {
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.insert(watched.kind.kind, sender);
            queues.push((watched.kind.kind, receiver));
        }
        let waker = Waker { queues: Arc::new(senders) };
        let shared = Shared { metrics, entropy, panics: Arc::default() };
        Driver { watches: watches.clone(), queues, changes: watches.subscribe(), waker, shared, concurrency }
    }

    /// For the engine.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Gives every object a turn, then goes on until `stop`; returns when the last running turn has ended.
    ///
    /// # Errors
    /// When a controller ended without being asked to. The others are stopped first.
    pub async fn run(self, turns: Arc<dyn Turns>, stop: CancellationToken) -> Result<(), Ended> {
        let Driver { watches, queues, changes, waker, shared, concurrency } = self;
        let mut tasks: JoinSet<String> = JoinSet::new();
        let halt = stop.child_token();
        for (kind, queue) in queues {
            let lead = lead(kind, queue, watches.clone(), (turns.clone(), shared.clone()), concurrency.into(), halt.clone());
            tasks.spawn(async move {
                lead.await;
                kind.to_owned()
            });
        }
        for watched in watches.all() {
            let keys = watched.store.state().into_iter().map(|object| key(watched.kind.kind, &object));
            keys.for_each(|key| waker.wake(&key));
        }
        let router = route(changes, turns, waker, shared);
        tasks.spawn({
            let halt = halt.clone();
            async move {
                halt.run_until_cancelled(router).await;
                "wake-ups".to_owned()
            }
        });
        let mut ended = None;
        while let Some(task) = tasks.join_next().await {
            if !halt.is_cancelled() {
                ended = Some(Ended(task.unwrap_or_else(|panic| panic.to_string())));
                halt.cancel();
            }
        }
        ended.map_or(Ok(()), Err)
    }
}

/// One kind's controller: so many turns at once, in the order in which they were due. Its only trigger beside time is its queue:
/// touches, dependencies and the engine's wake-ups all go there.
async fn lead(
    kind: &'static str,
    mut queue: mpsc::UnboundedReceiver<ObjectKey>,
    watches: Arc<Watches>,
    (turns, shared): (Arc<dyn Turns>, Shared),
    at_once: usize,
    halt: CancellationToken,
) {
    let watched = watches.of(kind).expect("queues are made from the watched kinds");
    let is_there = |key: &ObjectKey| watched.store.get(&watched.reference(&key.namespace, &key.name)).is_some();
    let (mut line, mut running) = (Line::default(), JoinSet::new());
    while !halt.is_cancelled() {
        while running.len() < at_once
            && let Some(key) = line.begin()
        {
            // What went between its wake-up and its turn: who depended on it heard of that from the router.
            if !is_there(&key) {
                line.leave(&key);
                continue;
            }
            let (turns, shared) = (turns.clone(), shared.clone());
            running.spawn(async move {
                let after = guarded(&key, &*turns, &shared).await;
                (key, after)
            });
        }
        tokio::select! {
            () = halt.cancelled() => {}
            Some(ended) = running.join_next() => match ended {
                Ok((key, after)) => line.end(key, after),
                Err(error) => {
                    tracing::error!(%kind, %error, "a turn ended without an end: this is a bug");
                    break;
                }
            },
            woken = queue.recv() => match woken {
                Some(key) => line.wake(Arc::new(key)),
                None => break,
            },
            key = line.come_back() => line.wake(key),
        }
    }
    while running.join_next().await.is_some() {}
}

/// Turns changes into wake-ups. Whom many wake is not woken by each of them.
async fn route(mut changes: mpsc::UnboundedReceiver<Change>, turns: Arc<dyn Turns>, waker: Waker, shared: Shared) {
    let (mut calm, began) = (Calm::default(), tokio::time::Instant::now());
    loop {
        let end = calm.next().map(|at| began + at);
        let change = tokio::select! {
            change = changes.recv() => change,
            () = sleep_until(end) => {
                calm.over(began.elapsed()).iter().for_each(|key| waker.wake(key));
                continue;
            }
        };
        let Some(change) = change else { return };
        match change.what {
            What::Touched => waker.wake(&change.key),
            What::Standing | What::Status => {}
            What::Gone => {
                shared.panics().remove(&change.key);
            }
        }
        for key in turns.woken_by(&change) {
            if !is_woken_by_many(&key, &change) || calm.passes(&key, began.elapsed()) {
                waker.wake(&key);
            }
        }
    }
}

async fn sleep_until(end: Option<tokio::time::Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// One turn, and when the next one is. It cannot fail: a panic inside is counted and comes back later.
async fn guarded(key: &ObjectKey, turns: &dyn Turns, shared: &Shared) -> Duration {
    let began = Instant::now();
    let turned = AssertUnwindSafe(turns.turn(key)).catch_unwind().await;
    let result = if turned.is_ok() { TurnResult::Done } else { TurnResult::Panicked };
    shared.metrics.record_turn(&key.kind, result, began.elapsed());
    match turned {
        Ok(after) => {
            shared.panics().remove(key);
            after.clamp(SHORTEST, LONGEST)
        }
        Err(panic) => {
            tracing::error!(kind = %key.kind, namespace = %key.namespace, name = %key.name, panic = redacted(said(panic.as_ref()), MAX_PANIC), "a turn panicked: this is a bug");
            shared.panicked(key.clone())
        }
    }
}

impl Shared {
    fn panics(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, u32>> {
        self.panics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more panic in a row and says how long to wait: doubling, and between half and all of it, so that objects
    /// that panicked together do not come back together.
    fn panicked(&self, key: ObjectKey) -> Duration {
        let in_a_row = {
            let mut panics = self.panics();
            let count = panics.entry(key).or_default();
            *count = count.saturating_add(1);
            *count
        };
        let whole = FIRST_RETRY.saturating_mul(1 << (in_a_row - 1).min(16)).min(LAST_RETRY);
        whole.mul_f64(0.5 + self.entropy.unit() / 2.0)
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no text)")
}

fn key(kind: &str, object: &Kept) -> ObjectKey {
    ObjectKey { kind: kind.to_owned(), namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

#[cfg(test)]
#[path = "controllers_tests.rs"]
mod tests;
