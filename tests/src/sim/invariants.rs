//! What must hold after every step, whatever was injected. The oracle looks at what Azure and Kubernetes hold and at what
//! crossed the ports, never at what the engine thinks; and only at what changed since it last looked.

mod actions;
mod call;
mod grant;
mod intents;
mod leave;
mod looked;
mod meant;
mod pauses;
mod points;
mod rest;
mod truth;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use azure_sim::{Azure, journal::Entry};
use breakwater_arm::classify;
use breakwater_engine::{FINALIZER, ports::ObjectKey};
use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;

use self::{
    actions::Actions,
    call::{Call, Listener, key_of},
    intents::Intents,
    leave::{Around, Leave, sending},
    looked::Looked,
    points::Points,
    rest::Rest,
    truth::text,
};
pub use self::{
    call::is_write,
    truth::{Truth, Vault},
};
use super::SimArm;
use crate::{
    clock::VirtualClock,
    cluster::{
        MemoryCluster,
        audit::MemoryAudit,
        leadership::SwitchableLeadership,
        record::{Outcome, WriteRecord, Writer},
        view::Cursor,
    },
};

/// Fine, or the rule that is broken, in words.
pub type Verdict = Result<(), String>;

/// The oracle of a run.
#[derive(Clone)]
pub struct Invariants {
    heard: Arc<Mutex<Vec<Call>>>,
    kinds: Vec<String>,
    truth: Truth,
    next_event: Option<Timestamp>,
    journal: u64,
    writes: usize,
    audited: usize,
    version: u64,
    /// Every object of those kinds at that version.
    objects: Vec<ObjectKey>,
    points: Points,
    leave: Leave,
    actions: Actions,
    intents: Intents,
    looked: Looked,
    rest: Rest,
    /// When debts fall due and what expires does.
    dues: BTreeSet<Timestamp>,
    /// Accesses as this process's watch had shown them when the step began.
    shown: BTreeMap<String, Arc<DynamicObject>>,
    /// Accesses that were suspended when what is looked at now was done.
    suspended: BTreeSet<String>,
}

/// Whose step it was.
#[derive(Clone, Copy, Debug)]
pub struct Eyes {
    /// Whether the process lives on: if not, it could not finish what it was at.
    pub lives: bool,
    /// Whether it led, at the latest when the step began.
    pub leads: bool,
    /// Whether it stood still and was woken: it may try what it had in hand, and must not get it through.
    pub woken: bool,
}

/// How things stand after a step.
pub struct Scene<'a> {
    /// Whose step.
    pub eyes: Eyes,
    /// World time.
    pub now: Timestamp,
    /// World seconds in one of the wall's.
    pub factor: f64,
    /// Azure.
    pub azure: &'a Mutex<Azure>,
    /// Kubernetes, as the operator's process sees it.
    pub cluster: &'a MemoryCluster,
    /// How far the driver has read the watch.
    pub cursor: &'a Cursor,
    /// The audit record.
    pub audit: &'a MemoryAudit,
    /// When objects take their next turns.
    pub due: &'a BTreeMap<ObjectKey, Timestamp>,
}

impl Invariants {
    /// Listens at the port from now on. `kinds` are those that the engine keeps.
    pub fn new(
        now: Timestamp,
        kinds: &[&str],
        arm: &SimArm,
        cluster: &Arc<MemoryCluster>,
        clock: &Arc<VirtualClock>,
        leadership: &Arc<SwitchableLeadership>,
    ) -> Self {
        let oracle = Invariants {
            heard: Arc::default(),
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            truth: Truth::default(),
            next_event: None,
            journal: 0,
            writes: 0,
            audited: 0,
            version: 0,
            objects: Vec::new(),
            points: Points::default(),
            leave: Leave::default(),
            actions: Actions::default(),
            intents: Intents::default(),
            looked: Looked::default(),
            rest: Rest::new(now),
            dues: BTreeSet::new(),
            shown: BTreeMap::new(),
            suspended: BTreeSet::new(),
        };
        oracle.listen(arm, cluster, clock, leadership);
        oracle
    }

    /// The oracle of a run that goes on from here in a world of its own: it remembers what this one does, and listens there.
    #[must_use]
    pub fn copy(
        &self,
        arm: &SimArm,
        cluster: &Arc<MemoryCluster>,
        clock: &Arc<VirtualClock>,
        leadership: &Arc<SwitchableLeadership>,
    ) -> Self {
        let oracle = Invariants { heard: Arc::default(), ..self.clone() };
        oracle.listen(arm, cluster, clock, leadership);
        oracle
    }

    /// Listens to another process as well, which has that lease.
    pub fn listen(&self, arm: &SimArm, cluster: &Arc<MemoryCluster>, clock: &Arc<VirtualClock>, leadership: &Arc<SwitchableLeadership>) {
        arm.listen(Box::new(Listener {
            heard: self.heard.clone(),
            cluster: cluster.clone(),
            clock: clock.clone(),
            leadership: leadership.clone(),
            kinds: self.kinds.clone(),
        }));
    }

    /// The process is gone: what only it knew is gone with it.
    pub fn forget_process(&mut self, now: Timestamp) {
        self.intents.forget_process();
        self.looked.forget_process();
        self.shown.clear();
        self.rest.disturb(now);
    }

    /// Another cluster takes the place of the one that is lost: what was promised of Azure stays promised.
    pub fn move_to(
        &mut self,
        now: Timestamp,
        kinds: &[&str],
        arm: &SimArm,
        cluster: &Arc<MemoryCluster>,
        clock: &Arc<VirtualClock>,
        leadership: &Arc<SwitchableLeadership>,
    ) {
        let fresh = Invariants::new(now, kinds, arm, cluster, clock, leadership);
        (self.heard, self.writes, self.version) = (fresh.heard, 0, 0);
        (self.intents, self.rest) = (fresh.intents, fresh.rest);
        (self.looked, self.shown, self.suspended) = (fresh.looked, fresh.shown, fresh.suspended);
    }

    /// Somebody who is not the operator changed Azure, through its doors or past them: that is how it is from now on, and what
    /// was asked of Azure between two steps is theirs.
    pub fn accept(&mut self, azure: &mut Azure) {
        self.journal = azure.journal().next_seq() - 1;
        self.truth = Truth::read(azure);
        self.points.accept(azure.now(), &self.truth);
        self.rest.disturb(azure.now());
    }

    /// A test takes rights away from the operator: denials are no finding from here on.
    pub fn rights_are_withdrawn(&mut self) {
        self.actions.rights_are_withdrawn = true;
    }

    /// A step begins: a turn may go on with what its process was shown by now, though the watch moves on meanwhile.
    pub fn begins(&mut self, cluster: &MemoryCluster) {
        let keys = self.objects.iter().filter(|key| key.kind == "AzureAccess").cloned();
        let all: BTreeSet<ObjectKey> = keys.chain(self.shown.keys().map(|name| access_key(name))).collect();
        self.shown = all.into_iter().filter_map(|key| Some((key.name.clone(), cluster.shown(&key)?))).collect();
    }

    /// In how many steps all was at rest, so that a write would have been told.
    pub fn rested(&self) -> u64 {
        self.rest.looked
    }

    /// Checks everything since the last step.
    ///
    /// # Panics
    /// With the rule that was broken.
    pub fn check(&mut self, scene: &Scene<'_>) {
        if let Err(why) = self.verdict(scene) {
            panic!("{}: {why}", scene.now);
        }
    }

    /// The same, in words.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn verdict(&mut self, scene: &Scene<'_>) -> Verdict {
        let calls = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        let writes = scene.cluster.write_log(self.writes);
        let audit = scene.audit.since(self.audited);
        self.audited += audit.len();
        self.hear(scene, &calls, &writes, &audit)?;
        let entries = self.look_at_azure(scene)?;
        entries.iter().try_for_each(|entry| self.actions.look(entry, &self.leave))?;
        entries.iter().for_each(|entry| self.intents.journalled(entry));
        self.look_at_requests(scene, &calls, &writes, &audit)?;
        let got = scene.cluster.take_got();
        if !scene.eyes.woken {
            self.intents.learn(got);
        }
        self.look_at_rest(scene, &calls, &writes, &entries)?;
        self.writes += writes.len();
        if self.version != scene.cluster.version() {
            self.version = scene.cluster.version();
            let objects: Vec<_> = self.kinds.iter().flat_map(|kind| scene.cluster.live_all(kind)).collect();
            let records = objects.iter().flat_map(|object| {
                let all = object.data.pointer("/status/operations").and_then(Value::as_array);
                all.into_iter().flatten().map(|record| (key_of(object), record))
            });
            let records: Vec<_> = records.collect();
            let due = |record: &Value| record.pointer("/debt/until").and_then(Value::as_str).and_then(|at| at.parse::<Timestamp>().ok());
            self.dues.extend(records.iter().filter_map(|(_, record)| due(record)));
            // What a person or a run has until then is over by itself.
            let ends = objects.iter().filter_map(|object| text(&object.data, "/spec/expiresAt").parse::<Timestamp>().ok());
            self.dues.extend(ends.filter(|at| *at > scene.now));
            // What only others keep from going is gone for us, and for what it would have held up.
            let gone: BTreeSet<ObjectKey> = objects.iter().filter(|object| is_left(object)).map(|object| key_of(object)).collect();
            actions::one_at_a_time(records.into_iter().filter(|(key, _)| !gone.contains(key)))?;
            self.objects = objects.iter().map(|object| key_of(object)).collect();
        }
        if !scene.eyes.lives {
            return Ok(());
        }
        turns::check(scene.now, &self.objects, scene.due, |key| scene.cluster.is_pending(key, scene.cursor))
    }

    /// What is asked for, by which leave and for which key, before what came of it is judged.
    fn hear(&mut self, scene: &Scene<'_>, calls: &[Call], writes: &[WriteRecord], audit: &[Value]) -> Verdict {
        writes.iter().for_each(|write| self.leave.told(write));
        let azure = scene.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let around = Around { cluster: scene.cluster, azure: &azure, audit };
        calls.iter().try_for_each(|call| self.leave.hear(call, &around))?;
        calls.iter().for_each(|call| self.actions.hear(call));
        Ok(())
    }

    /// Whether nothing new may be started under an access, and the process could know it: its watch had shown it when the step
    /// began. What cannot be taken back is looked at live once more: there it counts as it is.
    fn is_suspended(&self, name: &str, call: Option<&Call>) -> bool {
        let looks_again = |call: &Call| {
            let by_table = classify(call.request.method, &call.request.path, call.request.body.as_ref());
            let by_answer = call.holder.as_ref().is_some_and(|holder| holder.record["approvals"].is_array());
            by_answer || by_table.is_some_and(|class| class.is_irreversible())
        };
        let is_shown = || self.shown.get(name).is_some_and(|access| access.data.pointer("/spec/suspend") == Some(&Value::Bool(true)));
        self.suspended.contains(name) && (is_shown() || call.is_some_and(looks_again))
    }

    /// What came to pass in Azure; its state is read anew only when something can have changed it.
    fn look_at_azure(&mut self, scene: &Scene<'_>) -> Result<Vec<Entry>, String> {
        let mut azure = scene.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = azure.journal().since(self.journal).to_vec();
        self.journal = entries.last().map_or(self.journal, |entry| entry.seq);
        let passed = self.next_event.is_some_and(|at| at <= azure.now());
        if passed {
            self.rest.disturb(scene.now);
        }
        entries.iter().for_each(|entry| self.leave.took(entry));
        if passed || entries.iter().any(changes) {
            self.truth = Truth::read(&mut azure);
            self.points.look(scene.now, &self.truth, &self.leave)?;
            self.leave.use_up(|id, allowed| points::came_true(id, allowed, &self.truth));
        }
        self.next_event = azure.next_event();
        Ok(entries)
    }

    /// Requests and writes in the order in which they were made.
    fn look_at_requests(&mut self, scene: &Scene<'_>, calls: &[Call], writes: &[WriteRecord], audit: &[Value]) -> Verdict {
        let mut next = 0;
        for call in calls {
            let until = call.writes_before.saturating_sub(self.writes).min(writes.len());
            writes[next..until.max(next)].iter().try_for_each(|write| self.look_at_write(scene, write))?;
            next = next.max(until);
            pauses::sends(call, call.is_write && self.is_suspended(&call.access, Some(call)))?;
            self.granted(scene, call)?;
            self.looked.hear(call, scene.factor)?;
            self.intents.sent(call, scene.factor, sending(call, audit))?;
        }
        writes[next..].iter().try_for_each(|write| self.look_at_write(scene, write))?;
        for call in calls.iter().filter(|call| scene.eyes.lives && call.accepted()) {
            let Some(holder) = &call.holder else { continue };
            let after = writes.iter().skip(call.writes_before.saturating_sub(self.writes)).filter(|write| write.key == holder.key);
            let saved = after.into_iter().all(|write| write.fault.is_none() && !matches!(write.outcome, Outcome::Failed(_)));
            let live = scene.cluster.live(&holder.key);
            let records = live.as_ref().and_then(|object| object.data.pointer("/status/operations")).and_then(Value::as_array);
            let record = records.into_iter().flatten().find(|record| record["clientRequestId"] == call.id().as_str());
            Intents::handled(call, record, saved)?;
        }
        Ok(())
    }

    fn look_at_write(&mut self, scene: &Scene<'_>, write: &WriteRecord) -> Verdict {
        if write.key.kind == "AzureAccess" && write.outcome == Outcome::Applied {
            let suspends = write.after.as_ref().is_some_and(|after| after.value.pointer("/spec/suspend") == Some(&Value::Bool(true)));
            if suspends {
                self.suspended.insert(write.key.name.clone())
            } else {
                self.suspended.remove(&write.key.name)
            };
        }
        let owner = |reference: &Value| {
            let (kind, name) = (text(reference, "/kind").to_owned(), text(reference, "/name").to_owned());
            let key = ObjectKey { kind, namespace: write.key.namespace.clone(), name };
            let object = scene.cluster.shown(&key)?;
            let access = text(&object.data, "/status/access/name");
            Some((object.data["spec"].clone(), self.is_suspended(access, None)))
        };
        // What a process tries after it was woken is only wrong where it gets it through. A handle may come late: it begins nothing,
        // and the version of the object fences it.
        let is_fenced = || write.condition.is_some() && !intents::begins(write);
        if !scene.eyes.woken || (write.outcome == Outcome::Applied && !is_fenced()) {
            pauses::writes(write, scene.eyes.leads, owner)?;
        }
        let handed = scene.cluster.handed(&write.key);
        // Writes are looked at in their order: who suspends it after the intent was saved is heard when the request leaves.
        let suspended: Vec<String> = self.suspended.iter().filter(|name| self.is_suspended(name, None)).cloned().collect();
        self.intents.wrote(write, handed.as_deref(), |id| self.truth.runs(id), |name| suspended.iter().any(|s| s == name))
    }

    fn granted(&self, scene: &Scene<'_>, call: &Call) -> Verdict {
        let key = access_key(&call.access);
        let (live, shown) = (scene.cluster.live(&key), scene.cluster.shown(&key));
        let before = self.shown.get(&call.access).filter(|_| scene.cluster.is_lagging()).cloned();
        let version = |object: &Arc<DynamicObject>| object.metadata.resource_version.clone();
        let stale = shown.into_iter().chain(before).filter(|stale| live.as_ref().map(version) != Some(version(stale)));
        let stale: Vec<_> = stale.collect();
        let versions: Vec<_> = live.into_iter().chain(stale).filter_map(|object| grant::parse(&object)).collect();
        let namespace = call.holder.as_ref().map(|holder| holder.key.namespace.clone()).unwrap_or_default();
        let namespace = ObjectKey { kind: "Namespace".into(), namespace: String::new(), name: namespace };
        let labels = scene.cluster.live(&namespace).and_then(|object| object.metadata.labels.clone()).unwrap_or_default();
        grant::check(call, &versions, &labels)
    }

    fn look_at_rest(&mut self, scene: &Scene<'_>, calls: &[Call], writes: &[WriteRecord], entries: &[Entry]) -> Verdict {
        let ours: BTreeSet<String> = calls.iter().map(Call::id).filter(|id| !id.is_empty()).collect();
        let is_ours = |entry: &Entry| entry.client_request_id.as_ref().is_some_and(|id| ours.contains(id));
        let went_wrong = |entry: &Entry| entry.fault.is_some() || entry.throttled || (entry.status >= 400 && entry.status != 404);
        let disturbed = !scene.eyes.leads
            || scene.cluster.is_lagging()
            || writes.iter().any(|write| write.writer != Writer::Operator || write.fault.is_some())
            || entries.iter().any(|entry| went_wrong(entry) || (changes(entry) && !is_ours(entry)))
            || calls.iter().any(|call| call.is_write && !call.accepted());
        // A debt that falls due moves the world as much as a person does, and so does what expires.
        let fell_due = self.dues.iter().any(|at| *at <= scene.now);
        self.dues.retain(|at| *at > scene.now);
        if disturbed || fell_due {
            self.rest.disturb(scene.now);
        }
        let written = writes.iter().filter(|write| write.writer == Writer::Operator).map(ToString::to_string);
        let sent = calls.iter().filter(|call| call.is_write).map(Call::line);
        self.rest.check(scene.now, &written.chain(sent).collect::<Vec<_>>())
    }
}

/// Whether a request can have changed Azure.
fn changes(entry: &Entry) -> bool {
    entry.applied && entry.method != "GET" && !entry.path.to_ascii_lowercase().ends_with("/backupstatus")
}

fn access_key(name: &str) -> ObjectKey {
    ObjectKey { kind: "AzureAccess".into(), namespace: String::new(), name: name.to_owned() }
}

/// Whether only others keep an object from going, by their finalizers.
fn is_left(object: &DynamicObject) -> bool {
    let held = object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER);
    object.metadata.deletion_timestamp.is_some() && !held
}
