//! The deterministic driver: objects take turns in the order of their due times; when nothing is due, time jumps.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use azure_sim::{
    Azure, Estate,
    faults::{Fault, Match, Rule},
    wire::Caller,
};
use breakwater_api::{Approval, AzureAccess, BackupPolicy, BackupRun, ProtectedMachine, RecoveryVault, RestoreRun};
use breakwater_engine::{
    Engine, Next, Outside,
    ports::{Clock, Leadership, ObjectKey},
    telemetry::Quiet,
};
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    ArmFault, Invariants, SimArm,
    invariants::{Eyes, Scene},
    process::Sleeper,
};
use crate::{
    clock::VirtualClock,
    cluster::{
        MemoryCluster,
        audit::MemoryAudit,
        fault::FaultPlan,
        leadership::SwitchableLeadership,
        schema::Schemas,
        view::{Cursor, Lag},
    },
    entropy::SeededEntropy,
    halt::Halt,
};

/// Teaches an engine its kinds: the tests' own kind comes in through here.
pub type Register = fn(&mut Engine);

/// How a run starts.
#[derive(Clone)]
pub struct Options {
    /// The seed of everything random.
    pub seed: u64,
    /// The estate, below the workspace's root.
    pub estate: &'static str,
    /// The kinds.
    pub register: Register,
    /// Which cluster writes.
    pub writer: &'static str,
    /// More definitions than the shipped ones.
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { seed: 1, estate: "tests/sim/estates/small.yaml", register: shipped, writer: "cluster-one", strict: true }
    }
}

/// The kinds that the operator ships.
pub fn shipped(engine: &mut Engine) {
    engine.register::<AzureAccess>();
    engine.register::<Approval>();
    engine.register::<RecoveryVault>();
    engine.register::<BackupPolicy>();
    engine.register::<ProtectedMachine>();
    engine.register::<BackupRun>();
    engine.register::<RestoreRun>();
}

/// One run.
pub struct Simulation {
    /// World and wall time.
    pub clock: Arc<VirtualClock>,
    /// The pretend Azure.
    pub azure: Arc<Mutex<Azure>>,
    /// The pretend Kubernetes, as the operator's process sees it.
    pub cluster: Arc<MemoryCluster>,
    /// The port between them.
    pub arm: Arc<SimArm>,
    /// Whether the operator leads.
    pub leadership: Arc<SwitchableLeadership>,
    /// The audit record.
    pub audit: Arc<MemoryAudit>,
    /// What must hold after every step.
    pub invariants: Invariants,
    /// What happened, line by line.
    pub story: Vec<String>,
    pub(super) engine: Arc<Engine>,
    pub(super) options: Options,
    pub(super) sleeper: Option<Sleeper>,
    pub(super) due: BTreeMap<ObjectKey, Timestamp>,
    pub(super) cursor: Cursor,
    /// What a person or another controller changes of each object, as it was seen last.
    pub(super) touched: BTreeMap<ObjectKey, Value>,
    pub(super) next_sweep: Timestamp,
    pub(super) deaths: u64,
    /// Whether the process led when this step began: what it has in hand may end, though it dies of it.
    pub(super) led: bool,
    pub(super) lag: Lag,
    /// Whether another process takes a lease that was lost, soon after.
    pub has_heir: bool,
    pub(super) leaderless: Option<Timestamp>,
    /// Steps taken.
    pub steps: u64,
    /// How long the oracle took, on the wall of whoever runs the tests.
    pub watched: Duration,
}

/// What a run takes place in.
pub(super) struct World {
    pub(super) clock: Arc<VirtualClock>,
    pub(super) azure: Arc<Mutex<Azure>>,
    pub(super) cluster: Arc<MemoryCluster>,
    pub(super) arm: Arc<SimArm>,
    pub(super) leadership: Arc<SwitchableLeadership>,
    pub(super) audit: Arc<MemoryAudit>,
}

impl Simulation {
    /// A world with an estate, an empty cluster and an operator that leads.
    ///
    /// # Panics
    /// When the estate or the definitions cannot be read.
    pub fn new(options: Options) -> Self {
        let values = BTreeMap::from([("ISSUER".to_owned(), "https://issuer.example".to_owned())]);
        let estate = Estate::read(&root().join(options.estate), &values).expect("the estate");
        Self::of(estate, options)
    }

    /// The same with an estate that the test made; its apps are who identities with their client ids are in Azure.
    ///
    /// # Panics
    /// When the estate cannot be loaded.
    pub fn of(estate: Estate, options: Options) -> Self {
        let start = "2026-11-24T08:00:00Z".parse().expect("a literal time");
        let callers = estate.apps.iter().map(|app| (app.client_id.clone(), caller(&app.object_id, &app.client_id))).collect();
        let azure = Azure::new(estate, azure_sim::Options { seed: options.seed, start, ..Default::default() }).expect("the estate loads");
        let azure = Arc::new(Mutex::new(azure));
        let clock = Arc::new(VirtualClock::new(start));
        let leadership = Arc::new(SwitchableLeadership::leading());
        let halt = Arc::new(Halt::new(leadership.clone()));
        let cluster = MemoryCluster::with_schemas(clock.clone(), schemas(), options.seed).walking_with(halt.clone());
        let cluster = Arc::new(cluster);
        let usual = caller("0b1ec700-0000-4000-8000-000000000001", "c11e0000-0000-4000-8000-000000000001");
        let arm = Arc::new(SimArm::new(azure.clone(), clock.clone(), usual, callers, halt));
        let audit = Arc::new(MemoryAudit::default());
        let listens = |kinds: &[&str]| Invariants::new(start, kinds, &arm, &cluster, &clock, &leadership);
        let world =
            World { clock: clock.clone(), azure, cluster: cluster.clone(), arm: arm.clone(), leadership: leadership.clone(), audit };
        Self::begins(world, options, listens)
    }

    /// A run in that world, whose oracle is made for the kinds of its engine.
    pub(super) fn begins(world: World, options: Options, oracle: impl FnOnce(&[&str]) -> Invariants) -> Self {
        let World { clock, azure, cluster, arm, leadership, audit } = world;
        let engine = engine(&options, &clock, &cluster, &arm, &leadership, &audit);
        let (next_sweep, invariants) = (clock.now(), oracle(&engine.kinds()));
        Simulation {
            clock,
            azure,
            cluster,
            arm,
            leadership,
            audit,
            invariants,
            story: Vec::new(),
            engine,
            options,
            sleeper: None,
            due: BTreeMap::new(),
            cursor: Cursor::default(),
            touched: BTreeMap::new(),
            next_sweep,
            deaths: 0,
            led: true,
            lag: Lag::None,
            has_heir: false,
            leaderless: None,
            steps: 0,
            watched: Duration::ZERO,
        }
    }

    /// Applies manifests as `kubectl apply` does.
    ///
    /// # Panics
    /// When the API server refuses.
    pub fn apply(&mut self, yaml: &str) {
        self.cluster.user().apply(yaml).expect("the API server takes the manifest");
    }

    /// Plays a fault at the n-th write to Azure from now.
    pub fn arm_fault(&self, nth: u64, fault: ArmFault) {
        self.arm.fault_at(nth, fault);
    }

    /// Plays faults at writes to Kubernetes.
    pub fn cluster_faults(&self, plan: FaultPlan) {
        self.cluster.plan_faults(plan);
    }

    /// Lets watches be late from now on, those of the processes to come as well.
    pub fn set_watch_lag(&mut self, lag: Lag) {
        self.lag = lag;
        self.cluster.set_lag(lag);
    }

    /// Lets every list of Azure be behind what a read shows, until its faults are cleared.
    pub fn set_list_lag(&self, seconds: f64) {
        let rule = Rule { id: "lists lag".into(), matches: Match::default(), fault: Fault::ListLag { seconds } };
        self.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
    }

    /// World time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs for a while of world time.
    pub fn run_for(&mut self, time: SignedDuration) {
        let until = self.now() + time;
        while self.step(until) {}
    }

    /// Runs until a condition holds; the story is in the panic when it does not in time.
    ///
    /// # Panics
    /// When it does not hold within `time`.
    pub fn run_until(&mut self, what: &str, time: SignedDuration, mut holds: impl FnMut(&mut Self) -> bool) {
        let until = self.now() + time;
        loop {
            if holds(self) {
                return;
            }
            assert!(self.step(until), "{what}: not by {until}\n{}", self.tell());
        }
    }

    /// How things stand, shortly: conditions and open operations of every object, and the last requests.
    pub fn tell(&self) -> String {
        let mut lines: Vec<String> = self.story.iter().rev().take(10).rev().cloned().collect();
        for object in self.engine.kinds().iter().flat_map(|kind| self.cluster.live_all(kind)) {
            let name = object.metadata.name.clone().unwrap_or_default();
            for c in object.data.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten() {
                lines.push(format!("{name}: {}={} {} {}", c["type"], c["status"], c["reason"], c["message"]));
            }
            for o in object.data.pointer("/status/operations").and_then(Value::as_array).into_iter().flatten() {
                lines.push(format!("{name}: open {o}"));
            }
        }
        let azure = self.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = azure.journal().entries();
        let last = entries.iter().skip(entries.len().saturating_sub(15));
        lines.extend(last.map(|e| format!("{} {} {} -> {}", e.time, e.method, e.path, e.status)));
        lines.join("\n")
    }

    /// One step: what is due takes its turn, or time moves on to what is due next. False at the end of time.
    pub fn step(&mut self, until: Timestamp) -> bool {
        self.steps += 1;
        self.hear();
        self.invariants.begins(&self.cluster);
        let now = self.now();
        self.inherit();
        self.led = self.leadership.leads();
        if let Some(key) =
            self.due.iter().filter(|(_, at)| **at <= now).min_by_key(|(key, at)| (**at, (*key).clone())).map(|(k, _)| k.clone())
        {
            self.turn(key);
        } else if self.next_sweep <= now {
            self.sweep();
        } else {
            let azure = self.azure.lock().unwrap_or_else(PoisonError::into_inner).next_event();
            let times = self.due.values().copied().chain([self.next_sweep]).chain(azure);
            let next = times.filter(|at| *at > now).min().unwrap_or(until);
            if next > until {
                self.clock.set(until.max(now));
                return false;
            }
            self.clock.set(next);
            self.azure.lock().unwrap_or_else(PoisonError::into_inner).advance(next);
        }
        self.watch(true, self.led);
        true
    }

    /// Lets the oracle look. A process that is gone finishes nothing any more; one that led when the step began may end it.
    pub(super) fn watch(&mut self, lives: bool, led: bool) {
        let (cluster, leads) = (self.cluster.clone(), self.leadership.leads());
        self.watch_as(&cluster, Eyes { lives, leads: led || leads, woken: false });
    }

    /// The same for whatever process.
    pub(super) fn watch_as(&mut self, cluster: &MemoryCluster, eyes: Eyes) {
        let began = std::time::Instant::now();
        self.invariants.check(&Scene {
            eyes,
            now: self.clock.now(),
            factor: self.clock.factor(),
            azure: &self.azure,
            cluster,
            cursor: &self.cursor,
            audit: &self.audit,
            due: &self.due,
        });
        self.watched += began.elapsed();
    }

    fn turn(&mut self, key: ObjectKey) {
        let (now, engine, of) = (self.now(), self.engine.clone(), key.clone());
        let going: BoxFuture<'static, Next> = Box::pin(async move { engine.turn(of).await });
        match self.go(going, &format!("in the turn of {} {}", key.kind, key.name)) {
            Some(Next::At(at)) => drop(self.due.insert(key, at.max(now + SignedDuration::from_millis(1)))),
            Some(Next::Now) => drop(self.due.insert(key, now)),
            Some(Next::Gone) => drop(self.due.remove(&key)),
            None => {}
        }
        self.clock.advance(Duration::from_millis(1));
    }

    fn sweep(&mut self) {
        let engine = self.engine.clone();
        if let Some((wake, next)) = self.go(Box::pin(async move { engine.sweep().await }), "in a sweep") {
            let now = self.now();
            self.due.extend(wake.into_iter().map(|key| (key, now)));
            self.next_sweep = next;
        }
        self.clock.advance(Duration::from_millis(1));
    }

    /// Somebody changes Azure past its doors, and the oracle takes that for how things are.
    ///
    /// # Panics
    /// When there is nothing that could be changed so.
    pub fn behind_our_back(&mut self, edits: &[Value]) {
        let mut azure = self.azure.lock().unwrap_or_else(PoisonError::into_inner);
        for edit in edits {
            let edit = serde_json::from_value(edit.clone()).expect("an edit");
            azure_sim::edit::apply(&mut azure, edit).expect("the edit can be made");
        }
        self.invariants.accept(&mut azure);
    }

    /// The cluster is gone with its etcd, and another one, with another uid and nothing in it, takes its place before the same
    /// Azure. The rule of who may answer is not in it either.
    pub fn lose_cluster(&mut self, writer: &'static str) {
        self.story.push(format!("{} the cluster is lost; {writer} begins with nothing", self.now()));
        self.options.writer = writer;
        self.options.seed += 1000;
        let cluster = MemoryCluster::with_schemas(self.clock.clone(), schemas(), self.options.seed);
        self.cluster = Arc::new(cluster.walking_with(self.arm.halt().clone()));
        self.cursor = Cursor::default();
        self.engine = engine(&self.options, &self.clock, &self.cluster, &self.arm, &self.leadership, &self.audit);
        self.due.clear();
        self.touched.clear();
        self.next_sweep = self.now();
        self.invariants.move_to(self.now(), &self.engine.kinds(), &self.arm, &self.cluster, &self.clock, &self.leadership);
    }

    /// Applies the rule of who may answer, as the operator's manifests do, and lets it stand for a minute.
    ///
    /// # Panics
    /// When the shipped manifest cannot be read.
    pub fn apply_the_rule(&mut self) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kustomize/access/approvals.yaml");
        let manifest = std::fs::read_to_string(file).expect("the shipped manifest");
        let parts = manifest.split("\n---\n").filter(|part| part.contains("kind: ValidatingAdmissionPolicy"));
        parts.for_each(|part| self.apply(part));
        self.run_for(SignedDuration::from_mins(1));
    }

    /// Drops an object's next turn, as a driver would that lost it.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.due.remove(key);
    }

    /// How often the operator died.
    pub fn deaths(&self) -> u64 {
        self.deaths
    }

    /// An object's status as it stands.
    pub fn status(&self, kind: &str, name: &str) -> Value {
        let key = ObjectKey { kind: kind.into(), namespace: "shop".into(), name: name.into() };
        self.cluster.live(&key).and_then(|o| o.data.get("status").cloned()).unwrap_or(Value::Null)
    }

    /// A condition: (status, reason, message).
    pub fn condition(&self, kind: &str, name: &str, about: &str) -> (String, String, String) {
        let status = self.status(kind, name);
        let all = status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let found = all.into_iter().find(|c| c["type"] == about).unwrap_or_default();
        let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// Whether an object is ready.
    pub fn is_ready(&self, kind: &str, name: &str) -> bool {
        self.condition(kind, name, "Ready").0 == "True"
    }

    /// Objects that have a due time: nothing sleeps for ever.
    pub fn due(&self) -> &BTreeMap<ObjectKey, Timestamp> {
        &self.due
    }

    /// Every request that reached Azure, in order: when, what, the answer, and the fault that was played.
    pub fn requests(&self) -> Vec<String> {
        let azure = self.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |e: &azure_sim::journal::Entry| {
            let code = e.code.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
            let fault = e.fault.as_ref().map(|f| format!(" (fault: {f})")).unwrap_or_default();
            format!("{} {} {} -> {}{code}{fault}", e.time, e.method, e.path, e.status)
        };
        azure.journal().entries().iter().map(line).collect()
    }

    /// Everything that the run left behind, for "same seed, same bytes".
    pub fn fingerprint(&self) -> String {
        let azure = self.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let journal: Vec<String> = azure.journal().entries().iter().map(|e| serde_json::to_string(e).unwrap_or_default()).collect();
        format!("{}\n{}\n{}", self.cluster.dump(), journal.join("\n"), self.steps)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

fn caller(object_id: &str, client_id: &str) -> Caller {
    let tenant_id = "72f988bf-0000-4000-8000-00000000000a".to_owned();
    Caller { object_id: object_id.to_owned(), client_id: client_id.to_owned(), tenant_id }
}

/// The shipped definitions, compiled once a process.
fn schemas() -> Schemas {
    static COMPILED: OnceLock<Schemas> = OnceLock::new();
    COMPILED.get_or_init(|| Schemas::new(&breakwater_api::crdgen::crds()).expect("the definitions compile")).clone()
}

pub(super) fn engine(
    options: &Options,
    clock: &Arc<VirtualClock>,
    cluster: &Arc<MemoryCluster>,
    arm: &Arc<SimArm>,
    leadership: &Arc<SwitchableLeadership>,
    audit: &Arc<MemoryAudit>,
) -> Arc<Engine> {
    let mut engine = Engine::new(Outside {
        arm: arm.clone(),
        cluster: cluster.clone(),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(options.seed)),
        leadership: leadership.clone(),
        audit: audit.clone(),
        telemetry: Arc::new(Quiet),
        estate: "test-estate".into(),
        writer: options.writer.into(),
        region: Some("westeurope".into()),
        interval: SignedDuration::from_mins(5),
    });
    (options.register)(&mut engine);
    engine.prime();
    Arc::new(engine)
}
