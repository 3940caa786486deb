//! The gate: the only door for ARM writes, sole owner of the client that can send them. Whatever the planner
//! thinks, it checks again. A refusal is a condition, never a retry loop.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use breakwater_api::Reason;
use breakwater_arm::{
    Act, Effect, ResourceId, classify, ids_in,
    names::{BACKUP_POLICY, VAULT},
    wire::{Answer, Method, Request},
};
use breakwater_plan::{defence, graph::Ownership, kind::Grant, sighting::Sighting};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    budget::{Budget, Priority},
    locks::{Holder, Locks},
    ports::{Arm, AuditSink, Clock, Identity, Leadership, SendError},
    telemetry::Telemetry,
};

/// Nothing leaves later than this after its intent, in wall time (architecture.md, rule 2).
pub const SEND_WITHIN: Duration = Duration::from_secs(20);

/// A last look is good for this long, in wall time.
pub const LAST_LOOK: Duration = Duration::from_secs(5);

/// Destructive calls at most, an hour and access.
const BRAKE: usize = 20;

/// One write that wants to pass.
#[derive(Clone, Debug)]
pub struct Order {
    /// The object and its node.
    pub holder: Holder,
    /// The object's uid.
    pub uid: String,
    /// The generation that the plan was made from.
    pub generation: i64,
    /// Who to be.
    pub identity: Identity,
    /// What is granted.
    pub grant: Arc<Grant>,
    /// The whole request, with its client request id.
    pub request: Request,
    /// Why it is ours.
    pub ownership: Ownership,
    /// What must be held.
    pub locks: Vec<String>,
    /// Whether the object is suspended or in a mode that sends nothing.
    pub paused: bool,
    /// Whether this closes what was opened: goes through pauses.
    pub debt: bool,
    /// When its intent was saved, on the wall clock.
    pub intent_wall: Duration,
    /// The fresh direct read of the target that justifies it; `None` for a debt.
    pub evidence: Option<Sighting>,
    /// The newest sighting of the vault, for tags.
    pub vault: Option<Sighting>,
    /// Ids in `status.owned`.
    pub owned: Vec<String>,
    /// SHA-256 of the printed plan.
    pub plan_digest: String,
    /// Who may go first.
    pub priority: Priority,
    /// When the object and the vault's tags were read live after the intent, on the wall clock: what cannot be taken back
    /// needs it (architecture.md, rule 6).
    pub looked_again: Option<Duration>,
}

/// Why an order did not pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// For the condition.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// When to come back, where time alone mends it.
    pub until: Option<Timestamp>,
}

/// The gate.
pub struct Gate {
    arm: Arc<dyn Arm>,
    clock: Arc<dyn Clock>,
    leadership: Arc<dyn Leadership>,
    audit: Arc<dyn AuditSink>,
    budget: Arc<Budget>,
    locks: Arc<Locks>,
    telemetry: Arc<dyn Telemetry>,
    estate: String,
    writer: String,
    destructive: Mutex<BTreeMap<String, VecDeque<Timestamp>>>,
}

/// The doors and rules that a gate is made of.
pub struct GateParts {
    /// The sending client.
    pub arm: Arc<dyn Arm>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether we lead.
    pub leadership: Arc<dyn Leadership>,
    /// Where the record goes.
    pub audit: Arc<dyn AuditSink>,
    /// Azure's patience.
    pub budget: Arc<Budget>,
    /// Locks.
    pub locks: Arc<Locks>,
    /// Counts.
    pub telemetry: Arc<dyn Telemetry>,
    /// Who we are.
    pub estate: String,
    /// Which cluster writes.
    pub writer: String,
}

impl Gate {
    /// A gate over its parts.
    pub fn new(parts: GateParts) -> Self {
        let GateParts { arm, clock, leadership, audit, budget, locks, telemetry, estate, writer } = parts;
        Gate { arm, clock, leadership, audit, budget, locks, telemetry, estate, writer, destructive: Mutex::default() }
    }

    /// Checks that need no token: done before the intent is saved, so that what would be refused leaves no trace.
    ///
    /// # Errors
    /// The first rule that the order breaks.
    pub fn check(&self, order: &Order) -> Result<Act, Refusal> {
        let refuse = |reason, message: String| Err(Refusal { reason, message, until: None });
        if !self.leadership.leads() {
            return refuse(Reason::Busy, "this process does not hold the lease".into());
        }
        if order.paused && !order.debt {
            return refuse(Reason::Suspended, "nothing is sent while suspended".into());
        }
        let Request { method, path, body, .. } = &order.request;
        let class = match classify(*method, path, body.as_ref()) {
            Some(class) if class.effect == Effect::Write => class,
            _ => return refuse(Reason::InternalError, format!("{method} {path} is no write that the table knows")),
        };
        let act = if self.lets_points_expire(order) { Act::Delete } else { class.act };
        let word = format!("{act:?}");
        let ids = match ids_in(path, body.as_ref()) {
            Ok(ids) => ids,
            Err(e) => return refuse(Reason::InvalidSpec, e.to_string()),
        };
        if !order.debt {
            self.seen_just_now(order)?;
            // What is protected needs the act as much as where it is protected; the rest of the ids must be readable.
            let source = body.as_ref().and_then(|b| b.pointer("/properties/sourceResourceId")).and_then(Value::as_str);
            let source: Option<ResourceId> = source.and_then(|s| s.parse().ok());
            let acted_on = |id: &ResourceId| *id == class.target || source.as_ref() == Some(id);
            let named = |id: &ResourceId| order.grant.admits(if acted_on(id) { &word } else { "Read" }, id);
            if let Some(id) = ids.iter().chain([&class.target]).find(|id| !named(id)) {
                let need = if acted_on(id) { word.as_str() } else { "Read" };
                return refuse(
                    Reason::AccessDenied,
                    format!("AzureAccess {} does not allow {need} on {id}: add it to spec.allow, or leave it out", order.grant.name),
                );
            }
            self.owned(order, &class.target)?;
            self.defended(order, act)?;
        }
        if order.debt && act == Act::Delete {
            // What was lent is given back; nothing that was there before is ever removed on a record's word alone.
            self.defended(order, act)?;
        }
        if !order.locks.is_empty() && !self.locks.holds(&order.locks, &order.holder) {
            return refuse(Reason::Busy, "its locks are not held".into());
        }
        self.brake(order, act)?;
        Ok(act)
    }

    /// Takes what the order costs of Azure's patience.
    ///
    /// # Errors
    /// When it is spent, with the time to come back.
    pub fn afford(&self, order: &Order) -> Result<(), Refusal> {
        self.budget.take(&order.identity.access, &order.request, order.priority, self.clock.now()).map_err(|(class, until)| Refusal {
            reason: Reason::Throttled,
            message: format!("the budget of {} calls is spent", class.as_str()),
            until: Some(until),
        })
    }

    /// Sends one order, once. Checked again; written to the audit record before and after.
    ///
    /// # Errors
    /// A refusal: it certainly did not leave.
    pub async fn send(&self, order: &Order) -> Result<Result<Answer, SendError>, Refusal> {
        // A token may take its time: it is had before the clock of the intent is looked at.
        if let Err(e) = self.arm.ready(&order.identity).await {
            return Ok(Err(e));
        }
        let act = self.check(order)?;
        self.looked_again(order)?;
        if self.clock.wall().saturating_sub(order.intent_wall) > SEND_WITHIN {
            return Err(Refusal { reason: Reason::Retrying, message: "its intent is older than 20 s".into(), until: None });
        }
        self.record(order, act, "sending", None)?;
        if act == Act::Delete {
            let mut sent = self.destructive.lock().unwrap_or_else(PoisonError::into_inner);
            sent.entry(order.identity.access.clone()).or_default().push_back(self.clock.now());
        }
        let result = self.arm.call(&order.identity, &order.request).await;
        self.telemetry.arm_call(&order.request, &result);
        let answer = match &result {
            Ok(answer) => json!({ "status": answer.status, "requestId": answer.header("x-ms-request-id") }),
            Err(e) => json!({ "error": e.to_string() }),
        };
        if let Err(refusal) = self.record(order, act, "answered", Some(answer)) {
            tracing::error!(reason = %refusal.reason, message = %refusal.message, "audit");
        }
        Ok(result)
    }

    /// Whether it cannot be taken back: by the one table, or because points would expire earlier. A debt is only closed.
    pub fn is_irreversible(&self, order: &Order) -> bool {
        let Request { method, path, body, .. } = &order.request;
        let by_table = || classify(*method, path, body.as_ref()).is_some_and(|class| class.is_irreversible());
        !order.debt && (by_table() || self.lets_points_expire(order))
    }

    /// What cannot be taken back leaves only right after a last live look at the object and at the vault's writer tag.
    fn looked_again(&self, order: &Order) -> Result<(), Refusal> {
        if !self.is_irreversible(order) {
            return Ok(());
        }
        let now = self.clock.wall();
        if order.looked_again.is_some_and(|at| now.saturating_sub(at) <= LAST_LOOK) {
            return Ok(());
        }
        let message = format!("{} cannot be taken back, and nobody looked again just before", order.request.path);
        Err(Refusal { reason: Reason::Retrying, message, until: None })
    }

    fn record(&self, order: &Order, act: Act, event: &str, answer: Option<Value>) -> Result<(), Refusal> {
        let (object, node) = &order.holder;
        let line = json!({
            "at": self.clock.now().to_string(), "event": event, "act": act, "method": order.request.method, "path": order.request.path,
            "clientRequestId": order.request.client_request_id, "kind": object.kind, "namespace": object.namespace, "name": object.name,
            "node": node, "uid": order.uid, "generation": order.generation, "access": order.identity.access,
            "planDigest": order.plan_digest, "debt": order.debt, "answer": answer,
        });
        self.audit.write(&line).map_err(|e| Refusal {
            reason: Reason::InternalError,
            message: format!("the audit record cannot be written ({e}): nothing is sent without it"),
            until: None,
        })
    }

    /// Only a direct read of a moment ago justifies a write.
    fn seen_just_now(&self, order: &Order) -> Result<(), Refusal> {
        let now = self.clock.now();
        let age = SignedDuration::from_secs_f64(60.0 * self.clock.factor().max(1.0));
        if order.evidence.as_ref().is_some_and(|e| e.at + age >= now) {
            return Ok(());
        }
        let message = format!("{} was not read just before", order.request.path);
        Err(Refusal { reason: Reason::Unreadable, message, until: Some(now + SignedDuration::from_secs(10)) })
    }

    /// Ours by tag, name and group together; a tag alone licenses nothing (api.md, "Whose is it?").
    fn owned(&self, order: &Order, target: &ResourceId) -> Result<(), Refusal> {
        let deny = |reason, message: String| Err(Refusal { reason, message, until: None });
        match &order.ownership {
            Ownership::Child => deny(Reason::InternalError, "a Kubernetes child is never sent to Azure".into()),
            Ownership::Tagged { owner } => {
                let resource =
                    if target.resource_type() == *VAULT { target.clone() } else { target.parent().unwrap_or_else(|| target.clone()) };
                let seen = order.vault.as_ref().or(order.evidence.as_ref());
                match seen.and_then(|s| s.what.as_ref()) {
                    None => self.carries_our_tags(order, owner),
                    Some(body) => self.tagged(&resource, body, owner),
                }
            }
            Ownership::Named { vault, owner, name } => {
                self.vault_is_ours(order, vault, owner)?;
                let ours = target.within(vault)
                    && (target.name().eq_ignore_ascii_case(name) || order.owned.iter().any(|o| o.eq_ignore_ascii_case(target.as_str())));
                if ours { Ok(()) } else { deny(Reason::NotOurs, format!("{target} is not ours by name")) }
            }
            Ownership::Item { vault, owner, policies } => {
                self.vault_is_ours(order, vault, owner)?;
                let body = order.evidence.as_ref().and_then(|s| s.what.as_ref());
                let policy = body.and_then(|b| b.pointer("/properties/policyId")).and_then(Value::as_str).filter(|p| !p.is_empty());
                let ours = target.within(vault)
                    && match (body, policy) {
                        (None, _) => true,
                        (Some(_), Some(p)) => p.parse::<ResourceId>().is_ok_and(|p| policies.contains(&p)),
                        (Some(_), None) => order.owned.iter().any(|o| o.eq_ignore_ascii_case(target.as_str())),
                    };
                if ours { Ok(()) } else { deny(Reason::ForeignPolicy, format!("{target} is under a policy that is not ours")) }
            }
        }
    }

    fn vault_is_ours(&self, order: &Order, vault: &ResourceId, owner: &str) -> Result<(), Refusal> {
        match order.vault.as_ref().and_then(|s| s.what.as_ref()) {
            Some(body) => self.tagged(vault, body, owner),
            None => Err(Refusal { reason: Reason::DependencyNotReady, message: format!("{vault} was not seen in this turn"), until: None }),
        }
    }

    fn tagged(&self, id: &ResourceId, body: &Value, owner: &str) -> Result<(), Refusal> {
        match defence::tag_owner(body, &self.estate, owner, &self.writer) {
            defence::TagOwner::Ours => Ok(()),
            defence::TagOwner::OtherWriter(other) => Err(Refusal {
                reason: Reason::OwnedByOtherCluster,
                message: format!("{id} carries the writer tag of another cluster ({other}): nothing is written"),
                until: None,
            }),
            defence::TagOwner::NotOurs => {
                Err(Refusal { reason: Reason::NotOurs, message: format!("{id} exists and does not carry our tags"), until: None })
            }
        }
    }

    fn carries_our_tags(&self, order: &Order, owner: &str) -> Result<(), Refusal> {
        let body = order.request.body.clone().unwrap_or_default();
        match defence::tag_owner(&body, &self.estate, owner, &self.writer) {
            defence::TagOwner::Ours => Ok(()),
            _ => Err(Refusal { reason: Reason::InternalError, message: "a new resource must carry our tags".into(), until: None }),
        }
    }

    fn lets_points_expire(&self, order: &Order) -> bool {
        let before = order.evidence.as_ref().and_then(|s| s.what.as_ref());
        match (before, &order.request.body) {
            (Some(before), Some(after)) => defence::lets_points_expire(&order.request.path, before, after),
            _ => false,
        }
    }

    /// Never lower a defence, never shorten a retention, never delete what may hold points.
    fn defended(&self, order: &Order, act: Act) -> Result<(), Refusal> {
        let deny = |reason, message: String| Err(Refusal { reason, message, until: None });
        if act == Act::Delete {
            let before = order.evidence.as_ref().and_then(|s| s.what.as_deref());
            let id = order.request.path.parse::<ResourceId>().ok().filter(|_| order.request.method == Method::Delete);
            return match id.map(|id| defence::may_be_removed(&id, before)) {
                Some(Ok(())) => Ok(()),
                Some(Err(why)) => deny(Reason::WouldExpirePoints, why),
                None => {
                    deny(Reason::WouldExpirePoints, format!("{} {} could cost recovery points", order.request.method, order.request.path))
                }
            };
        }
        if let (Some(before), Some(after)) = (order.evidence.as_ref().and_then(|s| s.what.as_ref()), &order.request.body)
            && let Some(weaker) = defence::weaker_defence(before, after)
        {
            return deny(Reason::WouldWeaken, weaker);
        }
        let kind = order.request.path.parse::<ResourceId>().ok().map(|id| id.resource_type());
        let is_ours_to_make = order.request.method != Method::Put || kind.is_none_or(|k| k != *BACKUP_POLICY || order.evidence.is_some());
        if is_ours_to_make { Ok(()) } else { deny(Reason::Unreadable, "a policy is written only after it was read".into()) }
    }

    fn brake(&self, order: &Order, act: Act) -> Result<(), Refusal> {
        if act != Act::Delete {
            return Ok(());
        }
        let now = self.clock.now();
        let mut all = self.destructive.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = all.entry(order.identity.access.clone()).or_default();
        while sent.front().is_some_and(|at| *at + SignedDuration::from_hours(1) < now) {
            sent.pop_front();
        }
        if sent.len() < BRAKE {
            return Ok(());
        }
        let until = sent.front().map(|at| *at + SignedDuration::from_hours(1));
        Err(Refusal { reason: Reason::AtBound, message: format!("{BRAKE} destructive calls were sent within the hour"), until })
    }
}
