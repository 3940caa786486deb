//! The driver: a controller of kube's runtime per kind, which calls one turn at a time per object and asks it when to come
//! back.
//!
//! A turn is caused by a touch of its object (never by a status we wrote), by another object it depends on, by the engine's
//! waker, or by time. A panic in a turn is that object's trouble only. On stop nothing starts and what runs may finish.
//!
//! Who is due stands in line, first come, first served: kube's own limit takes what waits out of a hash set, in no order, so
//! that where more is due than can be done some are served again and again and others never.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use breakwater_engine::{
    calm::Calm,
    ports::{Entropy, ObjectKey},
};
use futures::{FutureExt, Stream, StreamExt, stream};
use kube::{
    ResourceExt,
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::ObjectRef,
    },
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    dependencies::is_woken_by_many,
    kinds::Role,
    metrics::{Metrics, TurnResult},
    watch::{Change, Kept, Watches, What},
};

/// No object waits longer for its next turn, so that nothing sleeps for ever.
const LONGEST: Duration = Duration::from_secs(3600);
/// No object comes back sooner, so that nothing spins.
const SHORTEST: Duration = Duration::from_millis(50);
/// The first wait after a turn that failed or panicked; it doubles with every further one.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// The longest such wait.
const LAST_RETRY: Duration = Duration::from_secs(600);

/// kube's word for no limit: the line has it.
const UNLIMITED: u16 = 0;

/// What the driver calls: the engine.
#[async_trait]
pub trait Turns: Send + Sync + 'static {
    /// One turn of one object. The object was in its store a moment ago.
    async fn turn(&self, key: &ObjectKey) -> Turned;

    /// Whose turns look at the object that changed. The driver wakes them; the object itself needs no mention.
    fn woken_by(&self, change: &Change) -> Vec<ObjectKey>;
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It said when to come back, wall time.
    ComeBack(Duration),
    /// It could not come to an end; the driver backs off, longer with every failure in a row.
    Failed,
}

/// Wakes objects: what the engine calls when a listing shows something new. Cheap to clone.
#[derive(Clone)]
pub struct Waker {
    watches: Arc<Watches>,
    queues: Arc<BTreeMap<&'static str, mpsc::UnboundedSender<ObjectRef<Kept>>>>,
    standing: Standing,
}

impl Waker {
    /// Gives an object a turn soon. Of several calls before that turn one counts; an object that is not there gets none.
    pub fn wake(&self, key: &ObjectKey) {
        // Who stands in line has not looked yet.
        if self.standing.has(key) {
            return;
        }
        if let (Some(queue), Some(watched)) = (self.queues.get(key.kind.as_str()), self.watches.of(&key.kind)) {
            // A queue whose controller has ended belongs to a driver that is stopping: nobody is waiting for the turn.
            let _ended = queue.send(watched.reference(&key.namespace, &key.name));
        }
    }
}

/// Who stands in line for a turn that has not begun.
#[derive(Clone, Default)]
struct Standing(Arc<Mutex<HashSet<ObjectKey>>>);

impl Standing {
    fn keys(&self) -> std::sync::MutexGuard<'_, HashSet<ObjectKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, key: &ObjectKey) -> bool {
        self.keys().contains(key)
    }
}

/// A controller or the router ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("the controller of {0} ended by itself")]
pub struct Ended(String);

/// One term of leadership: made before the engine, because the engine holds its waker; run once.
pub struct Driver {
    watches: Arc<Watches>,
    queues: Vec<(&'static str, mpsc::UnboundedReceiver<ObjectRef<Kept>>)>,
    changes: mpsc::UnboundedReceiver<Change>,
    waker: Waker,
    shared: Shared,
    concurrency: u16,
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    entropy: Arc<dyn Entropy>,
    failures: Arc<Mutex<HashMap<ObjectKey, u32>>>,
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
        let waker = Waker { watches: watches.clone(), queues: Arc::new(senders), standing: Standing::default() };
        let shared = Shared { metrics, entropy, failures: Arc::default() };
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
            let controller = control(&watches, kind, queue, halt.clone());
            let line = Line { places: Semaphore::new(concurrency.into()), standing: waker.standing.clone(), halt: halt.clone() };
            let context = Arc::new(Context { kind, turns: turns.clone(), shared: shared.clone(), line });
            tasks.spawn(async move {
                controller.run(in_line, give_up, context).for_each(|turn| async { note(turn) }).await;
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

/// One kind's controller. Its only trigger is its queue: touches, dependencies and the engine's wake-ups all go there.
fn control(watches: &Watches, kind: &str, queue: mpsc::UnboundedReceiver<ObjectRef<Kept>>, stop: CancellationToken) -> Controller<Kept> {
    let watched = watches.of(kind).expect("queues are made from the watched kinds");
    Controller::for_stream_with(stream::pending(), watched.store.clone(), watched.kind)
        .with_config(controller::Config::default().concurrency(UNLIMITED))
        .reconcile_on(received(queue))
        .graceful_shutdown_on(stop.cancelled_owned())
}

fn received<T: Send + 'static>(mut queue: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::poll_fn(move |context| queue.poll_recv(context))
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
                shared.failures().remove(&change.key);
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

struct Context {
    kind: &'static str,
    turns: Arc<dyn Turns>,
    shared: Shared,
    line: Line,
}

/// The line for turns of one kind: so many at once, in the order in which they were due.
struct Line {
    places: Semaphore,
    standing: Standing,
    halt: CancellationToken,
}

/// A turn when it is this object's. Nothing begins after the stop, though it was in line.
async fn in_line(object: Arc<Kept>, context: Arc<Context>) -> Result<Action, std::convert::Infallible> {
    let line = &context.line;
    let key = key(context.kind, &object);
    line.standing.keys().insert(key.clone());
    let place = line.halt.run_until_cancelled(line.places.acquire()).await;
    // Whoever wakes it from here on means a turn after this one.
    line.standing.keys().remove(&key);
    match place {
        Some(Ok(_place)) if !line.halt.is_cancelled() => guarded(key, &context).await,
        _ => Ok(Action::await_change()),
    }
}

/// One turn. It cannot fail: what goes wrong inside is counted and comes back later. An unguarded panic would end the whole
/// controller (rust-stack.md, trap 4).
async fn guarded(key: ObjectKey, context: &Context) -> Result<Action, std::convert::Infallible> {
    let began = Instant::now();
    let turned = AssertUnwindSafe(context.turns.turn(&key)).catch_unwind().await;
    let result = match &turned {
        Ok(Turned::ComeBack(_)) => TurnResult::Done,
        Ok(Turned::Failed) => TurnResult::Failed,
        Err(_) => TurnResult::Panicked,
    };
    context.shared.metrics.record_turn(context.kind, result, began.elapsed());
    if let Err(panic) = &turned {
        tracing::error!(kind = %key.kind, namespace = %key.namespace, name = %key.name, panic = said(panic.as_ref()), "a turn panicked: this is a bug");
    }
    let after = match turned {
        Ok(Turned::ComeBack(after)) => {
            context.shared.failures().remove(&key);
            after.clamp(SHORTEST, LONGEST)
        }
        Ok(Turned::Failed) | Err(_) => context.shared.failed(key),
    };
    Ok(Action::requeue(after))
}

impl Shared {
    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectKey, u32>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more failure in a row and says how long to wait: doubling, and between half and all of it, so that objects
    /// that failed together do not come back together.
    fn failed(&self, key: ObjectKey) -> Duration {
        let in_a_row = {
            let mut failures = self.failures();
            let count = failures.entry(key).or_default();
            *count = count.saturating_add(1);
            *count
        };
        let whole = FIRST_RETRY.saturating_mul(1 << (in_a_row - 1).min(16)).min(LAST_RETRY);
        whole.mul_f64(0.5 + self.entropy.unit() / 2.0)
    }
}

fn give_up(_: Arc<Kept>, never: &std::convert::Infallible, _: Arc<Context>) -> Action {
    match *never {}
}

fn note<Q>(turn: Result<(ObjectRef<Kept>, Action), controller::Error<std::convert::Infallible, Q>>)
where
    Q: std::error::Error,
{
    match turn {
        // An object that went between its wake-up and its turn: what depended on it heard of that from the router.
        Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "the controller"),
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
