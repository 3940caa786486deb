//! One turn: look, decide, act, tell. Identical for every kind.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{
    Mode, REQUESTED_AT, Reason, SharedSpec,
    questions::UsedAnswer,
    status::{Owned, PinnedAccess},
};
use breakwater_arm::{ResourceId, names::PROTECTED_ITEM};
use breakwater_plan::{
    graph::{Desired, Hold, HoldKind},
    kind::{AccessNeed, Claim, Grant, Kind, Meta, Restoring, Subject},
    planner::{self, Plan, Step, Verdict, World},
    questions::Question,
};
use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::{
    access::{self, Access},
    act, answers,
    budget::Priority,
    debts,
    engine::{Engine, Next},
    held::Orphans,
    look,
    object::{self, Parsed},
    ports::ObjectKey,
    publish::Pause,
    reader::Looker,
    resolve::{Resolved, Resolver},
    unreadable,
};

/// Nothing sleeps for ever.
pub(crate) const AT_THE_LATEST: SignedDuration = SignedDuration::from_hours(1);

/// Looking and deciding again within one turn, at most.
const MOST_ROUNDS: usize = 16;

/// What is applied together need not arrive together: for so long after it was made an object waits for its access, and is not said
/// to need a person.
const ARRIVES_WITHIN: SignedDuration = SignedDuration::from_secs(30);

fn unless_new(hold: Hold, created: Timestamp, now: Timestamp) -> Hold {
    let is_new = hold.reason == Reason::NoAccess && now.duration_since(created) < ARRIVES_WITHIN;
    if is_new { Hold::wait(hold.reason, hold.message) } else { hold }
}

/// One turn of one object.
#[tracing::instrument(skip_all, fields(kind = K::NAME, object = %format_args!("{}/{}", key.namespace, key.name)))]
pub async fn turn<K: Kind>(engine: &Engine, key: ObjectKey) -> Next {
    if !engine.outside.leadership.leads() {
        return Next::At(engine.now() + SignedDuration::from_secs(5));
    }
    let Some(object) = newest(engine, &key) else {
        engine.gone(&key);
        return Next::Gone;
    };
    let next = match Turn::<K>::begin(engine, key, object) {
        Ok(turn) => turn.run().await,
        Err((key, object, why)) => unreadable::told::<K>(engine, key, object, &why).await,
    };
    match next {
        Next::At(at) => Next::At(at.min(engine.now() + AT_THE_LATEST)),
        other => other,
    }
}

/// The watched object, or what our own last write answered when the watch has not shown that yet.
fn newest(engine: &Engine, key: &ObjectKey) -> Option<Arc<DynamicObject>> {
    let cached = engine.outside.cluster.cached(key)?;
    match engine.reader.memory.written(key) {
        Some(written) if object::is_newer(&written, &cached) && written.metadata.uid == cached.metadata.uid => Some(written),
        _ => {
            engine.reader.memory.caught_up(key);
            Some(cached)
        }
    }
}

/// A JSON object with those fields in place of its own.
pub(crate) fn with(old: &Value, more: Value) -> Value {
    let mut all = old.as_object().cloned().unwrap_or_default();
    all.extend(more.as_object().cloned().unwrap_or_default());
    Value::Object(all)
}

/// One turn's state. Dies with the turn.
pub struct Turn<'e, K: Kind> {
    /// The engine.
    pub engine: &'e Engine,
    /// The object.
    pub key: ObjectKey,
    /// As it stands: moves with each of our writes.
    pub object: DynamicObject,
    /// What decisions look at.
    pub subject: Subject<K>,
    /// The kind's own part of its status.
    pub own: serde_json::Map<String, Value>,
    pub(crate) shared_spec: SharedSpec,
    /// The access that it works under, as saved.
    pub pinned: Option<PinnedAccess>,
    /// The token that an earlier turn has echoed.
    handled: Option<String>,
    /// Its access, or why there is none.
    pub access: Result<Looker, Hold>,
    /// Why nothing new is started.
    pub pause: Pause,
    /// When this turn began.
    pub began: Timestamp,
    /// When to come back for a node that `Ready` does not wait for.
    pub beside: Option<Timestamp>,
    /// A refusal met while acting.
    pub met: Option<Met>,
    /// The API server refused the status: it will again.
    pub unwritten: bool,
    /// Answers of this generation that were used.
    pub answered: Vec<UsedAnswer>,
}

/// Why something that was due was not done.
#[derive(Clone, Debug)]
pub struct Met {
    /// For the condition.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// When it is tried again.
    pub until: Option<Timestamp>,
    /// The question that an Approval would answer, where one does.
    pub question: Option<Box<Question>>,
}

impl Met {
    /// Without a question.
    pub fn new(reason: Reason, message: impl Into<String>, until: Option<Timestamp>) -> Self {
        Met { reason, message: message.into(), until, question: None }
    }
}

impl<'e, K: Kind> Turn<'e, K> {
    fn begin(engine: &'e Engine, key: ObjectKey, object: Arc<DynamicObject>) -> Result<Self, (ObjectKey, Arc<DynamicObject>, String)> {
        let parsed = match Parsed::<K>::of(&object) {
            Ok(parsed) => parsed,
            Err(why) => return Err((key, object, why)),
        };
        let observed = parsed.shared.observed_generation;
        let mut turn = Turn::of(engine, key, &object, parsed);
        let urgent = observed != Some(turn.subject.meta.generation);
        if let Ok(by) = &mut turn.access {
            engine.reader.memory.stands_as(&by.identity);
            by.priority = match K::restoring(&turn.subject) {
                Some(Restoring::Awaited) => {
                    engine.expect_restores();
                    Priority::Restore
                }
                Some(Restoring::Begun) => Priority::Begun,
                None if urgent => Priority::UserChange,
                None => Priority::Backup,
            };
        }
        Ok(turn)
    }

    /// As the object stands: nothing was asked yet.
    pub(crate) fn of(engine: &'e Engine, key: ObjectKey, object: &DynamicObject, parsed: Parsed<K>) -> Self {
        let now = engine.now();
        let meta = object::meta(K::NAME, object, Some(&*engine.outside.clock));
        let spec_json = object.data.get("spec").cloned().unwrap_or_default();
        let shared_spec: SharedSpec = serde_json::from_value(spec_json).unwrap_or_default();
        let named = shared_spec.access_ref.as_ref().map(|r| r.name.as_str());
        let pinned = parsed.shared.access.clone();
        let resolved = match K::ACCESS {
            AccessNeed::Own => access::of_itself(object),
            AccessNeed::Namespace => access::resolve(&*engine.outside.cluster, &key.namespace, pinned.as_ref(), named),
            AccessNeed::None => Err(Hold::wait(Reason::NothingDue, "")),
        };
        let suspended = resolved.as_ref().is_ok_and(|a| a.suspended) && K::ACCESS == AccessNeed::Namespace;
        let namespace: Arc<str> = key.namespace.as_str().into();
        let looker = |a: Access| Looker { identity: a.identity, grant: a.grant, priority: Priority::Backup, namespace };
        let access = resolved.map(looker).map_err(|hold| unless_new(hold, meta.created, now));
        let pin = |a: &Looker| PinnedAccess { name: a.grant.name.clone(), uid: Some(a.grant.uid.clone()) };
        let pinned = if K::ACCESS == AccessNeed::Namespace { pinned.or_else(|| access.as_ref().ok().map(pin)) } else { None };
        let subject = Subject {
            meta,
            spec: parsed.spec,
            status: parsed.status,
            operations: parsed.shared.operations.iter().map(|o| (o.node.clone(), o.clone())).collect(),
            finished: BTreeMap::new(),
            owned: parsed.shared.owned.clone(),
            choices: parsed.shared.choices.clone(),
            now,
            estate: engine.outside.estate.as_str().into(),
            writer: engine.outside.writer.as_str().into(),
            region: engine.outside.region.as_deref().map(Into::into),
            access: access.as_ref().ok().map(|a| a.grant.clone()),
            answers: Arc::default(),
        };
        let handled = parsed.shared.last_handled_request.clone();
        let pause = match (shared_spec.suspend, shared_spec.mode) {
            (true, _) => Pause::Suspended,
            (_, Mode::Plan) => Pause::Plan,
            (_, Mode::Observe) => Pause::Observe,
            (false, Mode::Manage) if suspended => Pause::AccessSuspended,
            (false, Mode::Manage) => Pause::None,
        };
        let arrives = access.as_ref().err().filter(|hold| hold.kind == HoldKind::Wait).map(|_| subject.meta.created + ARRIVES_WITHIN);
        Turn {
            engine,
            key,
            object: object.clone(),
            subject,
            own: parsed.own,
            shared_spec,
            pinned,
            handled,
            access,
            pause,
            began: now,
            beside: arrives.filter(|at| *at > now),
            met: None,
            unwritten: false,
            answered: parsed.shared.answered,
        }
    }

    async fn run(mut self) -> Next {
        self.hold_locks();
        debts::pay(&mut self).await;
        let acts = K::acts_on_deletion(&self.subject.spec);
        if self.subject.meta.deleting && !(acts && debts::is_held(&self.object)) {
            return debts::last_turn(&mut self).await;
        }
        if acts
            && !self.subject.meta.deleting
            && let Err(e) = debts::hold(&mut self).await
        {
            return self.not_written(&e).await;
        }
        self.subject.answers = Arc::new(answers::given(&self).await);
        if let Err(lost) = self.claim() {
            // What another object has is that one's to let go of: nothing is done to it, and nothing keeps this one.
            if self.subject.meta.deleting && self.subject.operations.is_empty() {
                return debts::last_turn(&mut self).await;
            }
            return self.lost_its_claim(&lost).await;
        }
        self.overlay();
        let mut resolved = self.resolve().await;
        if let Some(next) = self.choose(&resolved).await {
            return next;
        }
        for _ in 0..MOST_ROUNDS {
            let desired = match K::desire(&self.subject, &resolved.facts) {
                Ok(desired) => desired,
                Err(hold) => {
                    self.follow_orphans(&resolved, Orphans::Untold).await;
                    let comes_to_nothing = debts::has_nothing_to_undo(&self, &hold);
                    return if comes_to_nothing { debts::last_turn(&mut self).await } else { self.tell_hold(&hold).await };
                }
            };
            let plan = self.plan(&desired, &resolved);
            if look::look(&mut self, &desired, &plan).await {
                resolved = self.resolve().await;
                continue;
            }
            return self.finish(&desired, plan, &resolved).await;
        }
        tracing::warn!("looked many times and still not decided");
        self.tell_hold(&Hold::wait(Reason::Retrying, "still looking: Azure changes faster than it can be read")).await
    }

    /// The token by which somebody asked for this turn.
    pub(crate) fn requested(&self) -> Option<String> {
        let token = self.object.metadata.annotations.as_ref()?.get(REQUESTED_AT)?;
        Some(token.chars().take(256).collect())
    }

    /// Claims what the object claims; a claim that another one wins is a hold that says nothing of the other.
    fn claim(&mut self) -> Result<(), Hold> {
        let meta = &self.subject.meta;
        let claims = claims::<K>(meta, &self.subject.spec, &self.subject.owned, self.access.as_ref().ok().map(|by| &*by.grant));
        self.engine.claims.state(&self.key, &meta.uid, meta.created, &claims);
        match self.engine.claims.lost(&self.key, &claims) {
            None => Ok(()),
            Some(what) => Err(Hold::stuck(
                Reason::Conflict,
                format!("another object claims {what}: it keeps it until that object is deleted; delete this one, or the other"),
            )),
        }
    }

    /// What this process knows of running operations beyond their records.
    pub(crate) fn overlay(&mut self) {
        let does = |id: &str| self.subject.operations.values().any(|record| record.client_request_id == id);
        self.engine.reader.memory.keep_progress(&self.key, does);
        for record in self.subject.operations.values_mut() {
            let progress = self.engine.reader.memory.progress(&self.key, &record.client_request_id);
            if record.job.is_none() {
                record.job = progress.job;
            }
            // What Azure has answered is known, also where no write of it came through.
            if record.handle.is_none() && record.ended_at.is_none() && record.outcome.is_none() && progress.next_poll.is_some() {
                (record.handle, record.next_poll) = (progress.handle, record.next_poll.or(progress.next_poll));
            }
            record.percent = progress.percent.or(record.percent);
            if progress.lost {
                record.handle = None;
            }
        }
    }

    pub(crate) async fn resolve(&self) -> Resolved {
        let resolver = self.resolver();
        let mut resolved = resolver.resolve(&self.subject).await;
        if let Ok(by) = &self.access {
            self.engine.watch(&by.identity.access, &self.key, &resolved);
            // Job lists that the planner asked for are facts too.
            for record in self.subject.operations.values() {
                if let Some(vault) = act::jobs_of(record) {
                    resolver.take_jobs(by, &vault, &mut resolved.facts);
                }
            }
        }
        resolved
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver {
            reader: &self.engine.reader,
            cluster: &*self.engine.outside.cluster,
            parsers: &self.engine.parsers,
            views: &self.engine.views,
            looker: self.access.as_ref().ok(),
            key: &self.key,
            began: self.began,
            interval: self.engine.outside.interval,
            forced: self.is_forced(),
        }
    }

    /// Whether somebody asked for this turn: nothing is put off in it.
    pub(crate) fn is_forced(&self) -> bool {
        self.requested() != self.handled
    }

    /// Saves new choices before they are used.
    async fn choose(&mut self, resolved: &Resolved) -> Option<Next> {
        let mut choices = K::choose(&self.subject, &resolved.facts);
        choices.retain(|name, _| !self.subject.choices.contains_key(name));
        if choices.is_empty() || self.pause != Pause::None {
            return None;
        }
        self.subject.choices.extend(choices);
        let old = self.object.data.get("status").cloned().unwrap_or_else(|| json!({}));
        let new = with(&old, json!({ "choices": self.subject.choices }));
        match self.save(&old, &new).await {
            Ok(()) => None,
            Err(e) => Some(self.not_written(&e).await),
        }
    }

    pub(crate) fn plan(&self, desired: &Desired, resolved: &Resolved) -> Plan {
        let mut facts = resolved.facts.clone();
        if let Ok(by) = &self.access {
            // What the planner reads directly is in memory; the facts hold only what the kind asked for.
            // A read that the kind has not seen must not justify what the kind made of an older one.
            for id in desired.nodes.values().filter_map(|n| n.id()).filter(|id| !resolved.facts.seen.contains_key(id)) {
                self.resolver().take(by, id, &mut facts);
            }
            let of_nodes = desired.nodes.values().filter_map(|n| n.id()).filter_map(|id| act::vault_of(id.as_str()));
            let of_records = self.subject.operations.values().filter_map(act::jobs_of);
            for vault in of_nodes.chain(of_records) {
                self.resolver().take_jobs(by, &vault, &mut facts);
            }
        }
        let memory = &self.engine.reader.memory;
        let polls: BTreeMap<String, Timestamp> = self
            .subject
            .operations
            .iter()
            .filter_map(|(node, record)| Some((node.clone(), memory.progress(&self.key, &record.client_request_id).next_poll?)))
            .collect();
        let items = desired.nodes.values().filter_map(|n| n.id()?.ancestor(PROTECTED_ITEM));
        let acted: BTreeMap<ResourceId, Timestamp> = items.filter_map(|item| Some((item.clone(), memory.acted(&item)?))).collect();
        let world = World {
            now: self.engine.now(),
            fresh_since: self.began,
            seen: &facts.seen,
            jobs: &facts.jobs,
            jobs_reach: &facts.jobs_reach,
            operations: &self.subject.operations,
            polls: &polls,
            estate: &self.subject.estate,
            asker: &self.subject.asker(),
            answers: &self.subject.answers,
            acted: &acted,
            choices: &self.subject.choices,
            azure_behind: memory.azure_behind(),
        };
        let mut plan = planner::plan(desired, &world, &self.engine.bounds);
        self.wait_for_locks(desired, &mut plan);
        plan
    }

    /// What cannot begin before another operation ends is not looked at for it either: reads and job lists are few.
    fn wait_for_locks(&self, desired: &Desired, plan: &mut Plan) {
        let begins = |step: &Step| matches!(step, Step::Read { .. } | Step::ListJobs { .. } | Step::Write(_));
        for (key, verdict) in &mut plan.verdicts {
            let Some(node) = desired.nodes.get(key).filter(|_| !self.subject.operations.contains_key(key)) else { continue };
            if !matches!(verdict, Verdict::Do(step) if begins(step)) {
                continue;
            }
            let holder = (self.key.clone(), key.clone());
            if let Some((lock, by)) = self.engine.locks.held_by_another(&node.locks, &holder) {
                *verdict = Verdict::Wait {
                    until: self.engine.now() + self.engine.bounds.read_every * 6,
                    reason: Reason::Busy,
                    message: format!("{} holds {lock}", act::who(&self.key, &by)),
                };
            }
        }
    }

    /// Acts on a plan that needs no more looking, and tells.
    async fn finish(&mut self, desired: &Desired, mut plan: Plan, resolved: &Resolved) -> Next {
        let due = plan.steps().any(|(_, step)| matches!(step, Step::Write(_) | Step::Create));
        let mut again = false;
        if due && self.pause == Pause::None {
            again = act::act(self, desired, &plan, resolved).await;
            // What is told is how it stands by now, with the operations that were begun.
            plan = self.plan(desired, resolved);
        }
        self.rest(&plan);
        let report = K::report(&self.subject, &resolved.facts, Ok(&plan));
        // An object on its way out is let go of in its last turn only.
        let told = self.publish(&report, Some(desired), Ok(&plan)).await && (self.subject.meta.deleting || debts::let_go(self).await);
        if self.subject.meta.deleting && told && plan.converged() {
            return debts::last_turn(self).await;
        }
        let result = self.met.as_ref().map_or(report.promise.reason, |m| m.reason);
        self.engine.outside.telemetry.turn(K::NAME, result.as_str());
        if told && self.is_to_go(report.remove_at) {
            return self.remove().await;
        }
        if again && told {
            return Next::Now;
        }
        let met = self.met.as_ref().map(|m| m.until.unwrap_or(self.engine.now() + self.engine.backoff(4)));
        let debts = debts::next_due(&self.key, &self.subject.operations, &self.engine.reader.memory, self.pause != Pause::None);
        let now = self.engine.now();
        if self.unwritten {
            let next = now + self.engine.backoff(8);
            return Next::At(debts.map_or(next, |at| at.max(now + self.engine.bounds.read_every).min(next)));
        }
        let soon = (!told).then(|| now + self.engine.backoff(1));
        let retry = self.subject.operations.values().filter_map(|o| o.error.as_ref()?.retry_at).filter(|at| *at > now).min();
        let times = [plan.next(), report.next, met, debts, soon, retry, self.beside];
        let earliest = times.into_iter().flatten().min().unwrap_or(self.engine.now() + AT_THE_LATEST);
        // A time that is past and could not be used is no reason to turn again at once.
        Next::At(earliest.max(now + self.engine.bounds.read_every))
    }

    /// Who asked for what it does, where the object says so.
    pub(crate) fn requested_by(&self) -> Option<String> {
        self.object.data.pointer("/spec/requestedBy").and_then(Value::as_str).map(str::to_owned)
    }

    /// Whether spec says to send nothing; read by the gate's order.
    pub fn paused(&self) -> bool {
        self.pause != Pause::None || self.shared_spec.suspend
    }
}

/// The claims that count: what the access admits. That it is held stands in a status, which a tenant may be able to write.
pub fn claims<K: Kind>(meta: &Meta, spec: &K::Spec, owned: &[Owned], grant: Option<&Grant>) -> Vec<Claim> {
    let counts = |claim: &Claim| grant.is_some_and(|g| g.admits("Protect", &claim.target));
    K::claims(meta, spec, owned).into_iter().filter(counts).collect()
}
