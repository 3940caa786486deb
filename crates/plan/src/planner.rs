//! The decision: desired graph, what was seen, what is in flight -> one verdict a node. Pure.

use std::collections::BTreeMap;

use breakwater_api::{OperationRecord, Reason};
use breakwater_arm::{ResourceId, wire::Request};
use jiff::{SignedDuration, Timestamp};

use crate::{
    graph::{Desired, Difference, Goal, Hold, HoldKind, Node, NodeKey, Shared},
    once,
    questions::{Answers, Asker},
    sighting::{Listed, Seen, Sighting, in_flight},
};

pub use crate::verdict::{Owed, Plan, Step, Verdict, Write};

/// How long things may take, in world time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Between two direct reads of one resource that is waited for.
    pub read_every: SignedDuration,
    /// Between two reads of a job list while a job runs.
    pub jobs_every: SignedDuration,
    /// How old a job list may be before an action that only ourselves could have begun: many that begin at once share one.
    pub jobs_within: SignedDuration,
    /// After a `Safe` request, how long a world that does not show it is not yet believed.
    pub settle: SignedDuration,
    /// The same for a `Once`: the longer of 5 min world and 30 s wall (architecture.md, "Time").
    pub settle_once: SignedDuration,
    /// How long the shared listings may take to show how an operation ended; then the target is read directly.
    pub listed_within: SignedDuration,
}

/// Attempts of one intent (architecture.md, rule 2).
pub const MOST_ATTEMPTS: i32 = 8;

/// Between two looks at what another node of the same object decides.
const RARELY: SignedDuration = SignedDuration::from_mins(10);

impl Bounds {
    /// Bounds for a world that runs `factor` times faster than the wall.
    pub fn for_factor(factor: f64) -> Self {
        let longer = |world: i64, wall: f64| SignedDuration::from_secs(world.max((wall * factor) as i64));
        Bounds {
            read_every: longer(5, 1.0),
            jobs_every: longer(60, 1.0),
            jobs_within: longer(15, 3.0),
            settle: longer(60, 5.0),
            settle_once: longer(300, 30.0),
            listed_within: longer(600, 30.0),
        }
    }
}

/// Everything that a decision looks at besides the desired graph.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// World time of the decision.
    pub now: Timestamp,
    /// A direct read at or after this instant is fresh enough to justify a write: when this turn began.
    pub fresh_since: Timestamp,
    /// Resources.
    pub seen: &'a BTreeMap<ResourceId, Seen>,
    /// Job lists by vault, read live.
    pub jobs: &'a BTreeMap<ResourceId, Listed>,
    /// How far back each of them reaches.
    pub jobs_reach: &'a BTreeMap<ResourceId, Timestamp>,
    /// Open operations by node, as saved in status.
    pub operations: &'a BTreeMap<NodeKey, OperationRecord>,
    /// When a running operation may be asked about again; missing means now.
    pub polls: &'a BTreeMap<NodeKey, Timestamp>,
    /// Who computes request ids.
    pub estate: &'a str,
    /// Who asks.
    pub asker: &'a Asker,
    /// What was answered.
    pub answers: &'a Answers,
    /// When this process last saved the intent of an action on an item, or below it: a list of jobs that is older says nothing
    /// of that action.
    pub acted: &'a BTreeMap<ResourceId, Timestamp>,
    /// Choices made once and saved; also what persons said of actions of unknown outcome ([`outcome_choice`]).
    pub choices: &'a BTreeMap<String, String>,
    /// How far Azure's clock is behind this process's; nought where it is ahead, or not known.
    pub azure_behind: SignedDuration,
}

/// The choice that keeps a person's word about an action of unknown outcome, for as long as the object lives.
pub fn outcome_choice(key: &str) -> String {
    format!("outcome-of-{}", key.chars().take(32).collect::<String>())
}

/// Decides. The same inputs give the same plan, in the same order.
pub fn plan(desired: &Desired, world: &World<'_>, bounds: &Bounds) -> Plan {
    let mut verdicts = BTreeMap::new();
    let mut busy: BTreeMap<&ResourceId, &NodeKey> = BTreeMap::new();
    for (key, record) in world.operations {
        if let Some(id) = desired.nodes.get(key).and_then(Node::id).filter(|_| record.ended_at.is_none() || record.error.is_none()) {
            busy.insert(id, key);
        }
    }
    for (key, node) in &desired.nodes {
        let mut verdict = Decision { key, node, desired, world, bounds }.verdict();
        if let (Verdict::Do(Step::Write(_)), Some(id)) = (&verdict, node.id())
            && *busy.entry(id).or_insert(key) != key
        {
            verdict = wait(world.now + bounds.read_every, Reason::Busy, format!("another operation of this object is open on {id}"));
        }
        verdicts.insert(key.clone(), verdict);
    }
    for (key, record) in world.operations.iter().filter(|(key, _)| !desired.nodes.contains_key(*key)) {
        verdicts.insert(key.clone(), once::orphan(key, record, world, bounds));
    }
    Plan { verdicts }
}

/// Whether a node is as wanted by what was last seen and nothing of it is open.
fn is_met(key: &str, node: &Node, world: &World<'_>) -> bool {
    if let Goal::Lent(lent) = &node.goal {
        return world.now < lent.until && world.operations.get(key).is_some_and(once::is_open);
    }
    !world.operations.contains_key(key) && node.hold.is_none() && goal_met(node, evidence(node, world))
}

/// After so many times that what a listing says is good for: an hour.
const BLIND_AFTER: i32 = 6;

/// The sighting that may say that a goal is met: listed or read for presence; read only for absence.
fn evidence<'a>(node: &Node, world: &'a World<'_>) -> Option<&'a Sighting> {
    let seen = world.seen.get(node.id()?)?;
    let by_reading = match &node.goal {
        Goal::Gone { .. } => true,
        Goal::Shared(shared) => shared.remove.is_some(),
        _ => false,
    };
    if by_reading { seen.read.as_ref() } else { seen.latest() }
}

/// Whether the goal is met by this sighting, which is the one that the kind saw.
pub(crate) fn goal_met(node: &Node, sighting: Option<&Sighting>) -> bool {
    let present = sighting.and_then(|s| s.what.as_ref());
    match &node.goal {
        Goal::Exists { change, .. } => change.is_none() && present.is_some_and(|body| !in_flight(body)),
        Goal::Holds { met } => *met,
        Goal::Acted(acted) => acted.done,
        Goal::Lent(_) => false,
        Goal::Gone { .. } => is_read_absent(sighting),
        Goal::Shared(Shared { remove: None, .. }) => present.is_some_and(|body| !in_flight(body)),
        // What somebody else still has something in stays.
        Goal::Shared(shared) => is_read_absent(sighting) || (present.is_some() && shared.is_empty == Some(false)),
        Goal::Child { exists, .. } => *exists,
    }
}

fn is_read_absent(sighting: Option<&Sighting>) -> bool {
    sighting.is_some_and(|s| s.how == crate::sighting::How::Read && s.what.is_none())
}

/// One node's decision: the pieces in the order in which they are asked.
pub(crate) struct Decision<'a> {
    pub key: &'a str,
    pub node: &'a Node,
    pub desired: &'a Desired,
    pub world: &'a World<'a>,
    pub bounds: &'a Bounds,
}

impl Decision<'_> {
    fn verdict(&self) -> Verdict {
        match &self.node.goal {
            Goal::Child { .. } => self.child(),
            Goal::Holds { .. } => self.holds(),
            Goal::Lent(lent) => once::lent(self, lent),
            Goal::Acted(acted) => once::acted(self, acted),
            Goal::Exists { .. } | Goal::Shared(_) | Goal::Gone { .. } => match self.world.operations.get(self.key) {
                Some(record) => self.recorded(record),
                None => self.unrecorded(),
            },
        }
    }

    fn child(&self) -> Verdict {
        match (&self.node.goal, &self.node.hold) {
            (Goal::Child { exists: true, .. }, _) => Verdict::Done,
            (_, Some(hold)) => self.held(hold),
            _ if !self.ready() => self.dependency(),
            _ => Verdict::Do(Step::Create),
        }
    }

    fn holds(&self) -> Verdict {
        match (&self.node.hold, self.node.id()) {
            _ if goal_met(self.node, None) => Verdict::Done,
            (Some(hold), _) => self.held(hold),
            (None, Some(id)) => wait(self.world.now + self.bounds.read_every, Reason::Retrying, format!("{id} is not as expected yet")),
            (None, None) => Verdict::Done,
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.node.after.iter().all(|key| self.desired.nodes.get(key).is_some_and(|node| is_met(key, node, self.world)))
    }

    pub(crate) fn dependency(&self) -> Verdict {
        let missing = self.node.after.iter().find(|key| !self.desired.nodes.get(*key).is_some_and(|n| is_met(key, n, self.world)));
        // The other node's own time comes first: to look for this one's sake would be to look for nothing.
        wait(self.world.now + RARELY, Reason::DependencyNotReady, format!("waits for {}", missing.map_or("", String::as_str)))
    }

    pub(crate) fn held(&self, hold: &Hold) -> Verdict {
        match hold.kind {
            HoldKind::Stuck => Verdict::Stuck { reason: hold.reason, message: hold.message.clone(), question: hold.question.clone() },
            HoldKind::Wait => wait(hold.until.unwrap_or(self.world.now + self.bounds.read_every * 6), hold.reason, hold.message.clone()),
        }
    }

    /// A direct read made in this turn, or the step that gets one; trouble with reading is a wait.
    pub(crate) fn fresh(&self, id: &ResourceId) -> Result<&Sighting, Verdict> {
        self.read_after(id, self.world.fresh_since)
    }

    /// Of a time that is still to come (whoever saved it had a clock that is ahead of ours) no look can be new enough: it is waited
    /// for, and nothing is asked in vain meanwhile.
    pub(crate) fn has_come(&self, since: Timestamp) -> Result<(), Verdict> {
        let is_ahead = since.duration_since(self.world.now) > SignedDuration::from_secs(1);
        let message = || format!("what is looked for began at {since}, which this process's clock has not reached");
        if is_ahead { Err(wait(since, Reason::Settling, message())) } else { Ok(()) }
    }

    /// A direct read not older than `since`, or the step that gets one.
    pub(crate) fn read_after(&self, id: &ResourceId, since: Timestamp) -> Result<&Sighting, Verdict> {
        self.has_come(since)?;
        let seen = self.world.seen.get(id);
        if let Some(trouble) = seen.and_then(|s| s.trouble.as_ref()).filter(|t| t.until > self.world.now) {
            return Err(wait(trouble.until, trouble.reason, format!("{id}: {}", trouble.message)));
        }
        seen.and_then(|s| s.read_since(since)).ok_or_else(|| Verdict::Do(Step::Read { id: id.clone() }))
    }

    /// How the target looks since its operation ended. That it ended is what Azure said of the operation itself; the look of
    /// what is there may come from a listing that others need anyway, and reads of one resource are few (backup.md §4.4).
    /// A listing that does not agree in due time says nothing: then, and for absence always, it is read directly.
    fn look_after(&self, id: &ResourceId, ended: Timestamp) -> Result<&Sighting, Verdict> {
        let listed = self.world.seen.get(id).filter(|s| s.read_since(ended).is_none()).and_then(|s| s.listed.as_ref());
        let Some(listed) = listed.filter(|_| matches!(self.node.goal, Goal::Exists { .. })) else { return self.read_after(id, ended) };
        if listed.at > ended && goal_met(self.node, Some(listed)) {
            return Ok(listed);
        }
        match self.world.polls.get(self.key) {
            _ if self.world.now >= ended + self.bounds.listed_within => self.read_after(id, ended),
            Some(due) if *due > self.world.now => {
                Err(wait(*due, Reason::Settling, format!("the operation on {id} ended; waiting until {id} shows it")))
            }
            _ => Err(Verdict::Do(Step::Confirm { id: id.clone() })),
        }
    }

    /// That nobody can look at the target any more, for so long that what was seen of it says nothing of how it is.
    fn blind(&self, id: &ResourceId) -> Option<Verdict> {
        let seen = self.world.seen.get(id)?;
        let (trouble, last) = (seen.trouble.as_ref()?, seen.latest()?.at);
        // What only our own patience keeps from being read is not the world's trouble.
        let is_blind = trouble.reason != Reason::Throttled
            && trouble.at > last
            && self.world.now.duration_since(last) > self.bounds.listed_within * BLIND_AFTER;
        let message =
            || format!("{id} was as declared at {}, and cannot be looked at since: {}", crate::kinds::seconds(last), trouble.message);
        // For a while the last word stands where something cannot be read (`publish`): by now it does not any more.
        let reason = if trouble.reason == Reason::Unreadable { Reason::NotYetObserved } else { trouble.reason };
        is_blind.then(|| wait(trouble.until.max(self.world.now + self.bounds.read_every), reason, message()))
    }

    /// After what while to read again what has not been as it must since that time: the longer that is, the longer, for reads of one
    /// resource are few (backup.md §4.4).
    pub(crate) fn rarer(&self, sighting: &Sighting, since: Timestamp) -> SignedDuration {
        self.bounds.read_every.max(sighting.at.duration_since(since) / 8)
    }

    /// The same again after a while, when the last read does not say what it must.
    pub(crate) fn again(&self, id: &ResourceId, sighting: &Sighting, after: SignedDuration, reason: Reason, message: String) -> Verdict {
        let due = sighting.at + after;
        if due <= self.world.now { Verdict::Do(Step::Read { id: id.clone() }) } else { wait(due, reason, message) }
    }

    fn unrecorded(&self) -> Verdict {
        let id = self.node.id().expect("only children are not Azure's");
        // What differs in nothing may still not be ours, or may be asked to become less: a person must hear of it.
        let stuck = self.node.hold.as_ref().filter(|h| h.kind == HoldKind::Stuck && matches!(self.node.goal, Goal::Exists { .. }));
        if stuck.is_none() && goal_met(self.node, evidence(self.node, self.world)) {
            return self.blind(id).unwrap_or(Verdict::Done);
        }
        if let Some(hold) = &self.node.hold {
            return self.held(hold);
        }
        if !self.ready() {
            return self.dependency();
        }
        // Nothing is written on hearsay: only a direct read of this turn justifies a write.
        let sighting = match self.fresh(id) {
            Ok(sighting) => sighting,
            Err(verdict) => return verdict,
        };
        if sighting.what.as_ref().is_some_and(|body| in_flight(body)) {
            let (after, message) = (self.bounds.read_every * 6, format!("somebody's operation runs on {id}"));
            return self.again(id, sighting, after, Reason::OperationRunning, message);
        }
        self.request(sighting).map_or_else(|verdict| verdict, |(request, differences)| self.write(request, differences, 1))
    }

    /// The request that would lead from this sighting to the goal.
    fn request(&self, sighting: &Sighting) -> Result<(Request, Vec<Difference>), Verdict> {
        let id = self.node.id().expect("only children are not Azure's");
        match (&self.node.goal, &sighting.what) {
            (Goal::Gone { request }, Some(_)) => Ok((request.clone(), Vec::new())),
            (Goal::Exists { create: Some(request), .. }, None) => Ok((request.clone(), Vec::new())),
            (Goal::Shared(Shared { create, remove: None, .. }), None) => Ok((create.clone(), Vec::new())),
            (Goal::Shared(Shared { remove: Some(request), is_empty: Some(true), .. }), Some(_)) => Ok((request.clone(), Vec::new())),
            (Goal::Shared(Shared { remove: Some(_), is_empty: None, .. }), Some(_)) => {
                Err(self.again(id, sighting, self.bounds.read_every, Reason::NotYetObserved, format!("what is in {id} is not known yet")))
            }
            (Goal::Exists { create: None, .. }, None) => Err(Verdict::Stuck {
                reason: Reason::Missing,
                message: format!("{id} does not exist, and it is not re-created empty: restore it, or make a new object for a new one"),
                question: None,
            }),
            (Goal::Exists { change: Some(change), .. }, Some(_)) => Ok((change.request.clone(), change.differences.clone())),
            _ => Err(self.again(id, sighting, self.bounds.read_every, Reason::Settling, format!("a listing and a read of {id} disagree"))),
        }
    }

    fn write(&self, request: Request, differences: Vec<Difference>, attempt: i32) -> Verdict {
        let key = crate::keys::safe_key(&request);
        let write =
            Write { request, differences, attempt, key, known_jobs: Vec::new(), witness: false, once: false, debt: None, approved: None };
        Verdict::Do(Step::Write(Box::new(write)))
    }

    /// An operation of this node is on record.
    fn recorded(&self, record: &OperationRecord) -> Verdict {
        let id = self.node.id().expect("only children are not Azure's");
        match (&record.ended_at, &record.handle) {
            (Some(ended), _) if record.error.is_some() => self.failed(record, *ended),
            (Some(ended), _) => match self.look_after(id, *ended) {
                Err(verdict) => verdict,
                Ok(s) if goal_met(self.node, Some(s)) || matches!(self.node.goal, Goal::Holds { .. }) => Verdict::Do(Step::Forget),
                // Another wish by now: what became of the old one does not matter.
                Ok(s) if self.world.now >= *ended + self.bounds.settle && self.wishes_otherwise(record, s) => Verdict::Do(Step::Forget),
                // Azure took it and does not show it: again, ever more slowly, or it would be written for ever.
                Ok(s) if self.world.now >= *ended + self.bounds.settle * (1 << record.attempt.clamp(0, 8)) => self.repeat(record, s),
                Ok(s) => self.again(
                    id,
                    s,
                    self.rarer(s, *ended),
                    Reason::Settling,
                    format!("the operation on {id} ended; waiting until {id} shows it"),
                ),
            },
            (None, Some(_)) => self.poll(id),
            // Intent without handle: we died, or the answer was lost, between "I will" and "ARM said yes".
            (None, None) => match self.read_after(id, record.intent_at + SignedDuration::from_nanos(1)) {
                Err(verdict) => verdict,
                Ok(s) if goal_met(self.node, Some(s)) => Verdict::Do(Step::Forget),
                Ok(s) if s.what.as_ref().is_some_and(|b| in_flight(b)) => {
                    self.again(id, s, self.rarer(s, record.intent_at), Reason::OperationRunning, format!("an operation runs on {id}"))
                }
                Ok(s) if self.world.now < record.intent_at + self.bounds.settle => {
                    let message = format!("an answer about {id} was lost; waiting until it shows what happened");
                    self.again(id, s, self.rarer(s, record.intent_at), Reason::Settling, message)
                }
                // It shows nothing of it, and it is not to be sent any more, or not as it was: nothing in it holds anybody up.
                Ok(s) if self.is_stuck() || self.wishes_otherwise(record, s) => Verdict::Do(Step::Forget),
                // No answer that says anything, time and again: ever more slowly.
                Ok(s) if self.world.now < record.intent_at + self.bounds.settle * (1 << (record.attempt - 2).clamp(0, 6)) => {
                    let message =
                        format!("Azure gave no answer to {} requests about {id}; it is sent again, ever more slowly", record.attempt);
                    self.again(id, s, self.rarer(s, record.intent_at), Reason::Retrying, message)
                }
                Ok(s) => self.repeat(record, s),
            },
        }
    }

    pub(crate) fn poll(&self, id: &ResourceId) -> Verdict {
        match self.world.polls.get(self.key) {
            Some(due) if *due > self.world.now => wait(*due, Reason::OperationRunning, format!("an operation runs on {id}")),
            _ => Verdict::Do(Step::Poll),
        }
    }

    /// The operation was refused or failed: again later, or at once when what is wanted has changed since.
    fn failed(&self, record: &OperationRecord, ended: Timestamp) -> Verdict {
        let id = self.node.id().expect("only children are not Azure's");
        let sighting = match self.read_after(id, ended) {
            Ok(sighting) => sighting,
            Err(verdict) => return verdict,
        };
        // Refused for good, and met or held by now: there is nothing in it that anybody must know.
        if goal_met(self.node, Some(sighting)) || self.node.hold.is_some() {
            return Verdict::Do(Step::Forget);
        }
        match self.request(sighting) {
            Ok((request, _)) if crate::keys::safe_key(&request) != record.key => Verdict::Do(Step::Forget),
            _ => match retry_verdict(record, self.world.now) {
                Some(verdict) => verdict,
                None => self.repeat(record, sighting),
            },
        }
    }

    /// Whether what forbids it passes by a person alone. What passes by itself costs no answer that was given.
    fn is_stuck(&self) -> bool {
        self.node.hold.as_ref().is_some_and(|hold| hold.kind == HoldKind::Stuck)
    }

    /// Whether the request that would lead to the goal is another one than the recorded.
    fn wishes_otherwise(&self, record: &OperationRecord, sighting: &Sighting) -> bool {
        self.request(sighting).is_ok_and(|(request, _)| crate::keys::safe_key(&request) != record.key)
    }

    /// Sends it again, on the same terms as the first time.
    fn repeat(&self, record: &OperationRecord, sighting: &Sighting) -> Verdict {
        if let Some(hold) = &self.node.hold {
            return self.held(hold);
        }
        if !self.ready() {
            return self.dependency();
        }
        if sighting.at < self.world.fresh_since {
            return Verdict::Do(Step::Read { id: self.node.id().expect("only children are not Azure's").clone() });
        }
        let attempt = (record.attempt + 1).min(MOST_ATTEMPTS);
        self.request(sighting).map_or_else(|verdict| verdict, |(request, differences)| self.write(request, differences, attempt))
    }
}

/// What to say of a record that carries an error, until its time to try again has come.
pub(crate) fn retry_verdict(record: &OperationRecord, now: Timestamp) -> Option<Verdict> {
    let error = record.error.as_ref()?;
    let reason = Reason::from_word(&error.reason).unwrap_or(Reason::RefusedByAzure);
    let again = error.retry_at.filter(|at| *at <= now);
    match again {
        Some(_) => None,
        None if error.waits => Some(wait(error.retry_at.unwrap_or(now + SignedDuration::from_hours(1)), reason, error.message.clone())),
        None => Some(Verdict::Stuck { reason, message: error.message.clone(), question: None }),
    }
}

pub(crate) fn wait(until: Timestamp, reason: Reason, message: String) -> Verdict {
    Verdict::Wait { until, reason, message }
}
