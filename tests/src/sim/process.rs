//! Processes: the one that works, one that died, and one that stands still in the middle of a turn while another took over.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use breakwater_engine::ports::{Cluster, Leadership, ObjectKey};
use futures::{FutureExt, future::BoxFuture};
use jiff::SignedDuration;

use super::{
    SimArm, Simulation,
    invariants::Eyes,
    run::{World, engine},
};
use crate::{
    cluster::{MemoryCluster, leadership::SwitchableLeadership, view::Cursor},
    halt::Halt,
};

/// How long a lease is good for that nobody renews, on the wall (crates/operator, lease.rs: 15 s).
const LEASE: Duration = Duration::from_secs(15);

/// How long a lease that was lost is nobody's.
const UNCLAIMED: SignedDuration = SignedDuration::from_secs(12);

/// A process that stands still with something half done.
pub struct Sleeper {
    going: BoxFuture<'static, ()>,
    arm: Arc<SimArm>,
    cluster: Arc<MemoryCluster>,
}

impl Simulation {
    /// Lets the process do something to its end. Nothing comes of it when the process dies in it, or stands still: then
    /// another process works on, for it has got the lease.
    pub(super) fn go<T: Send + 'static>(&mut self, mut going: BoxFuture<'static, T>, what: &str) -> Option<T> {
        if let Some(done) = (&mut going).now_or_never() {
            return Some(done);
        }
        match self.arm.halt().is_standing() {
            true => self.replace(Box::pin(async move { drop(going.await) }), what),
            false => self.die(what),
        }
        None
    }

    /// The process is gone; another one starts with nothing but what is saved.
    pub fn die(&mut self, why: &str) {
        self.deaths += 1;
        self.story.push(format!("{} the operator dies {why}", self.now()));
        self.watch(false, self.led);
        self.clock.advance(Duration::from_secs(3));
        let halt = self.arm.halt().clone();
        self.start(halt);
    }

    /// The process stands still until its lease is over, and another one takes it.
    fn replace(&mut self, going: BoxFuture<'static, ()>, what: &str) {
        self.story.push(format!("{} the operator stands still {what}", self.now()));
        self.watch(false, true);
        self.leadership.lose();
        self.sleeper = Some(Sleeper { going, arm: self.arm.clone(), cluster: self.cluster.clone() });
        self.clock.advance(LEASE);
        self.lead_anew();
    }

    /// The same world once more, with a process of its own that has just started: what happens there is not heard of here.
    ///
    /// # Panics
    /// When a process stands still: what it has in hand cannot be had twice.
    #[must_use]
    pub fn fork(&self) -> Self {
        assert!(self.sleeper.is_none(), "a process that stands still has no copy");
        let clock = Arc::new(self.clock.copy());
        let azure = Arc::new(Mutex::new(self.azure.lock().unwrap_or_else(PoisonError::into_inner).clone()));
        let leadership = Arc::new(SwitchableLeadership::leading());
        let halt = Arc::new(Halt::new(leadership.clone()));
        let cluster = Arc::new(self.cluster.copy(clock.clone(), self.options.seed).walking_with(halt.clone()));
        let arm = Arc::new(self.arm.before_another_azure(azure.clone(), clock.clone(), halt.clone()));
        let audit = Arc::new(self.audit.copy());
        let oracle = self.invariants.copy(&arm, &cluster, &clock, &leadership);
        let mut fork = Simulation::begins(World { clock, azure, cluster, arm, leadership, audit }, self.options.clone(), |_| oracle);
        (fork.story, fork.lag) = (self.story.clone(), self.lag);
        fork.start(halt);
        fork
    }

    /// Another process takes the lease that this one has lost.
    pub fn hand_over(&mut self) {
        self.story.push(format!("{} another operator takes over", self.now()));
        self.leadership.lose();
        self.lead_anew();
    }

    /// The heir, where there is one, has the lease a while after it was lost: until then the old one knows by itself, and idles.
    pub(super) fn inherit(&mut self) {
        let lost = (self.has_heir && !self.leadership.leads()).then_some(self.now());
        self.leaderless = lost.map(|now| self.leaderless.unwrap_or(now));
        if self.leaderless.is_some_and(|since| self.now() >= since + UNCLAIMED) {
            self.hand_over();
        }
    }

    fn lead_anew(&mut self) {
        self.leadership = Arc::new(self.leadership.successor());
        let halt = Arc::new(Halt::new(self.leadership.clone()));
        self.arm = Arc::new(self.arm.of_another_process(halt.clone()));
        self.invariants.listen(&self.arm, &self.cluster, &self.clock, &self.leadership);
        self.start(halt);
    }

    fn start(&mut self, halt: Arc<Halt>) {
        self.invariants.forget_process(self.now());
        let born = self.options.seed + self.deaths;
        self.cluster = Arc::new(self.cluster.another_process(born).walking_with(halt));
        self.cluster.set_lag(self.lag);
        self.cursor = Cursor::default();
        self.engine = engine(&self.options, &self.clock, &self.cluster, &self.arm, &self.leadership, &self.audit);
        self.due.clear();
        self.touched.clear();
        self.next_sweep = self.now();
        let now = self.now();
        for kind in self.engine.kinds() {
            for object in self.cluster.cached_all(kind, None) {
                let (namespace, name) =
                    (object.metadata.namespace.clone().unwrap_or_default(), object.metadata.name.clone().unwrap_or_default());
                self.due.insert(ObjectKey { kind: kind.to_owned(), namespace, name }, now);
            }
        }
    }

    /// Whether a process stands still.
    pub fn has_sleeper(&self) -> bool {
        self.sleeper.is_some()
    }

    /// The process that stood still goes on where it was, and does what it had begun to its end, or dies of it. It has no lease any more.
    ///
    /// # Panics
    /// With the rule that it broke.
    pub fn wake(&mut self) {
        let Some(mut sleeper) = self.sleeper.take() else { return };
        self.story.push(format!("{} the old operator wakes", self.now()));
        sleeper.arm.halt().wake();
        // In this world only a death never ends: a fault that was waiting for its next write struck it.
        if (&mut sleeper.going).now_or_never().is_none() {
            self.story.push(format!("{} and dies of what it does next", self.now()));
        }
        self.watch_as(&sleeper.cluster, Eyes { lives: false, leads: false, woken: true });
    }
}
