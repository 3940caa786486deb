//! The engine at scale: a driver without an oracle. It wakes objects as the operator's controllers do (crates/operator,
//! watch.rs and dependencies.rs): an object that is due waits in a line with the others, once, however often it is woken.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use azure_sim::{Azure, wire::Caller};
use breakwater_engine::{
    Engine, Next, Outside,
    calm::Calm,
    ports::{Clock, ObjectKey},
    telemetry::Quiet,
};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;
use serde_json::Value;

use super::{
    calls::Calls,
    layout::Layout,
    objects::{Changed, Objects},
};
use crate::{
    clock::VirtualClock,
    cluster::{audit::MemoryAudit, leadership::SwitchableLeadership, record::Verb},
    entropy::SeededEntropy,
    halt::Halt,
    sim::{SimArm, shipped},
};

/// Fields of a spec that name another object, and its kind (crates/operator/src/kinds.rs, `REFERENCES`).
const REFERENCES: [(&str, &str); 3] =
    [("vaultRef", "RecoveryVault"), ("policyRef", "BackupPolicy"), ("protectedMachineRef", "ProtectedMachine")];

/// The inventory interval of a default installation.
pub const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

/// Between two sweeps at most (crates/operator/src/wiring.rs, `SWEEP_AT_LEAST`).
const SWEEP_AT_LEAST: SignedDuration = SignedDuration::from_secs(5);

/// What a turn takes, so that order has a time.
const TURN: Duration = Duration::from_millis(1);

/// A world of any size with one operator in it.
pub struct Fleet {
    /// How large it is.
    pub layout: Layout,
    /// World time.
    pub clock: Arc<VirtualClock>,
    /// Kubernetes.
    pub objects: Arc<Objects>,
    /// Turns taken so far.
    pub turns: u64,
    /// What turns of each kind took of the wall.
    pub spent: BTreeMap<String, (u64, Duration)>,
    azure: Arc<Mutex<Azure>>,
    arm: Arc<SimArm>,
    engine: Engine,
    calls: Calls,
    journal: u64,
    line: VecDeque<ObjectKey>,
    in_line: BTreeSet<ObjectKey>,
    later: BTreeSet<(Timestamp, ObjectKey)>,
    due: BTreeMap<ObjectKey, Timestamp>,
    /// Who names an object.
    named_by: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    calm: Calm,
    next_sweep: Timestamp,
}

impl Fleet {
    /// What is left of each budget, as a share of its size.
    pub fn budget_levels(&self) -> BTreeMap<&'static str, f64> {
        self.engine.budget_levels()
    }

    /// An estate of that layout, with everything applied and no turn taken yet.
    ///
    /// # Panics
    /// When azure-sim does not take the estate.
    pub fn new(layout: Layout) -> Self {
        let start = "2026-11-24T08:00:00Z".parse().expect("a literal time");
        let azure = Azure::new(layout.estate(), azure_sim::Options { seed: 1, start, ..Default::default() }).expect("the estate loads");
        let azure = Arc::new(Mutex::new(azure));
        let clock = Arc::new(VirtualClock::new(start));
        let caller = Caller {
            object_id: "0b1ec700-0000-4000-8000-000000000001".into(),
            client_id: "c11e0000-0000-4000-8000-000000000001".into(),
            tenant_id: "72f988bf-0000-4000-8000-00000000000a".into(),
        };
        let halt = Arc::new(Halt::new(Arc::new(SwitchableLeadership::leading())));
        let arm = Arc::new(SimArm::new(azure.clone(), clock.clone(), caller, BTreeMap::new(), halt));
        let objects = Arc::new(Objects::new(clock.clone()));
        layout.manifests().iter().for_each(|manifest| objects.apply(manifest));
        let engine = engine(&clock, &objects, &arm);
        Fleet {
            layout,
            clock,
            objects,
            turns: 0,
            spent: BTreeMap::new(),
            azure,
            arm,
            engine,
            calls: Calls::default(),
            journal: 0,
            line: VecDeque::new(),
            in_line: BTreeSet::new(),
            later: BTreeSet::new(),
            due: BTreeMap::new(),
            named_by: BTreeMap::new(),
            calm: Calm::default(),
            next_sweep: start,
        }
    }

    /// World time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What was asked of Azure so far.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// What the operator has written to Kubernetes so far.
    pub fn kube_writes(&self) -> u64 {
        self.objects.writes().values().sum()
    }

    /// The same for one kind and verb.
    pub fn kube_writes_of(&self, verb: Verb, kind: &str) -> u64 {
        self.objects.writes().get(&(verb, kind.to_owned())).copied().unwrap_or(0)
    }

    /// How many machines' status answers `holds` with true.
    pub fn machines_where(&self, holds: impl Fn(&Value) -> bool) -> usize {
        self.objects.all("ProtectedMachine").iter().filter(|o| o.data.get("status").is_some_and(&holds)).count()
    }

    /// How many machines Azure protects, by status.
    pub fn protected(&self) -> usize {
        self.machines_where(|s| matches!(s["protection"].as_str(), Some("Protected" | "InitialBackupPending")) && open(s) == 0)
    }

    /// Turns that stand in line or fall due by now.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// The pretend Azure.
    pub fn azure(&self) -> MutexGuard<'_, Azure> {
        self.azure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody changes Azure past its doors.
    ///
    /// # Panics
    /// When the edit cannot be made.
    pub fn behind_our_back(&self, edit: Value) {
        let edit = serde_json::from_value(edit).expect("an edit");
        azure_sim::edit::apply(&mut self.azure(), edit).expect("the edit can be made");
    }

    /// Runs for a while of world time.
    pub fn run_for(&mut self, time: SignedDuration) {
        let until = self.now() + time;
        while self.step(until) {}
    }

    /// Runs until a condition holds, which is looked at every `every`; false when it does not within `time`.
    pub fn run_until(&mut self, time: SignedDuration, every: SignedDuration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now() + time;
        while self.now() < until {
            if holds(self) {
                return true;
            }
            self.run_for(every);
        }
        holds(self)
    }

    /// The process ends; another one starts with nothing but what is saved.
    pub fn restart(&mut self) {
        self.engine = engine(&self.clock, &self.objects, &self.arm);
        self.line.clear();
        self.in_line.clear();
        self.later.clear();
        self.due.clear();
        self.calm = Calm::default();
        self.next_sweep = self.now();
        for kind in self.engine.kinds() {
            self.objects.keys(kind).into_iter().for_each(|key| self.wake(key));
        }
    }

    /// One step: a sweep or a turn that is due, else time moves on. False at the end of time.
    pub fn step(&mut self, until: Timestamp) -> bool {
        self.hear();
        let now = self.now();
        self.fall_due(now);
        if self.next_sweep <= now {
            let (woken, next) = self.engine.sweep().now_or_never().expect("nothing here waits");
            woken.into_iter().for_each(|key| self.wake(key));
            self.next_sweep = next.min(self.now() + SWEEP_AT_LEAST);
        } else if let Some(key) = self.line.pop_front() {
            self.in_line.remove(&key);
            self.turn(key);
        } else {
            let calm = self.calm.next().and_then(|at| Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok());
            let times = [self.later.first().map(|(at, _)| *at), calm, Some(self.next_sweep)];
            let next = times.into_iter().flatten().min().unwrap_or(until);
            self.clock.set(next.min(until).max(now));
            return next <= until;
        }
        self.note_calls();
        true
    }

    fn turn(&mut self, key: ObjectKey) {
        let began = Instant::now();
        let next = self.engine.turn(key.clone()).now_or_never().expect("nothing here waits");
        let (count, spent) = self.spent.entry(key.kind.clone()).or_default();
        *count += 1;
        *spent += began.elapsed();
        self.turns += 1;
        self.clock.advance(TURN);
        match next {
            Next::At(at) => self.later_at(key, at.max(self.now() + SignedDuration::from_millis(1))),
            Next::Now => self.wake(key),
            Next::Gone => self.forget_due(&key),
        }
    }

    fn forget_due(&mut self, key: &ObjectKey) {
        if let Some(before) = self.due.remove(key) {
            self.later.remove(&(before, key.clone()));
        }
    }

    fn later_at(&mut self, key: ObjectKey, at: Timestamp) {
        self.forget_due(&key);
        self.later.insert((at, key.clone()));
        self.due.insert(key, at);
    }

    fn wake(&mut self, key: ObjectKey) {
        if self.in_line.insert(key.clone()) {
            self.line.push_back(key);
        }
    }

    fn fall_due(&mut self, now: Timestamp) {
        for key in self.calm.over(since_1970(now)) {
            self.wake(key);
        }
        while let Some((at, _)) = self.later.first()
            && *at <= now
            && let Some((_, key)) = self.later.pop_first()
        {
            self.due.remove(&key);
            self.wake(key);
        }
    }

    fn hear(&mut self) {
        for changed in self.objects.take_news() {
            self.learn_names(&changed);
            let (woken, named, now) = (self.woken_by(&changed), names(&changed.key, &changed.after), since_1970(self.now()));
            for key in woken.into_iter().filter(|key| key.kind != "Namespace") {
                if !named.contains(&key) || self.calm.passes(&key, now) {
                    self.wake(key);
                }
            }
        }
    }

    fn learn_names(&mut self, changed: &Changed) {
        if changed.before.is_none() {
            for named in names(&changed.key, &changed.after) {
                self.named_by.entry(named).or_default().insert(changed.key.clone());
            }
        }
    }

    fn woken_by(&self, changed: &Changed) -> Vec<ObjectKey> {
        let mut woken = names(&changed.key, &changed.after);
        let before = changed.before.as_deref();
        let touched = before.is_none_or(|before| touch(before) != touch(&changed.after));
        if touched {
            woken.push(changed.key.clone());
        }
        if touched || before.is_none_or(|before| standing(before) != standing(&changed.after)) {
            woken.extend(self.named_by.get(&changed.key).into_iter().flatten().cloned());
            if changed.key.kind == "AzureAccess" {
                let others = self.engine.kinds().into_iter().filter(|kind| *kind != "AzureAccess");
                woken.extend(others.flat_map(|kind| self.objects.keys(kind)));
            }
        }
        woken
    }

    fn note_calls(&mut self) {
        let mut azure = self.azure.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in azure.journal().since(self.journal) {
            self.calls.count(entry);
            self.journal = entry.seq;
        }
        // The last one stays: the journal counts on from it.
        azure.journal_mut().trim(1);
    }
}

fn since_1970(at: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// How many operations a status holds.
fn open(status: &Value) -> usize {
    status["operations"].as_array().map_or(0, Vec::len)
}

fn names(key: &ObjectKey, object: &DynamicObject) -> Vec<ObjectKey> {
    let holders = ["/spec", "/spec/from/recoveryPoint"].iter().filter_map(|at| object.data.pointer(at));
    let named = |(holder, (field, kind)): (&Value, &(&str, &str))| {
        let name = holder.get(field)?.get("name")?.as_str()?.to_owned();
        Some(ObjectKey { kind: (*kind).to_owned(), namespace: key.namespace.clone(), name })
    };
    holders.flat_map(|holder| REFERENCES.iter().map(move |reference| (holder, reference))).filter_map(named).collect()
}

/// What a person or another controller changes.
fn touch(object: &DynamicObject) -> impl PartialEq + use<> {
    let meta = &object.metadata;
    (meta.uid.clone(), meta.generation, meta.labels.clone(), meta.annotations.clone(), meta.finalizers.clone())
}

/// What others wait for.
fn standing(object: &DynamicObject) -> impl PartialEq + use<> {
    let status = object.data.get("status");
    let ready = status.and_then(|s| s.get("conditions")?.as_array()?.iter().find(|c| c["type"] == "Ready"));
    let word = |field: &str| ready.and_then(|r| r.get(field)?.as_str().map(str::to_owned));
    (status.and_then(|s| s.get("observedGeneration")?.as_i64()), word("status"), word("reason"))
}

fn engine(clock: &Arc<VirtualClock>, objects: &Arc<Objects>, arm: &Arc<SimArm>) -> Engine {
    let mut engine = Engine::new(Outside {
        arm: arm.clone(),
        cluster: objects.clone(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(1)),
        leadership: Arc::new(SwitchableLeadership::leading()),
        audit: Arc::new(MemoryAudit::default()),
        telemetry: Arc::new(Quiet),
        estate: "fleet".into(),
        writer: "cluster-one".into(),
        region: Some("westeurope".into()),
        interval: INTERVAL,
    });
    shipped(&mut engine);
    engine.prime();
    engine
}
