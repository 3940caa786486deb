//! The gate: the only door for ARM writes, sole owner of the client that can send them. Whatever the planner
//! thinks, it checks again. A refusal is a condition, never a retry loop.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use breakwater_api::{Reason, questions::APPROVE};
use breakwater_arm::{
    Act, Effect, ResourceId, classify, ids_in,
    names::{BACKUP_POLICY, LOCATION, VAULT},
    wire::{Answer, Method, Request},
};
use breakwater_plan::{
    defence,
    graph::Ownership,
    questions::{Answers, Approved, Asker, Question, Stake},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    brake::Brake,
    budget::{Budget, Caller, SPENT, is_daily},
    locks::{Holder, Locks},
    owned::{Us, restored_from},
    ports::{Arm, AuditSink, Clock, Leadership, SendError},
    telemetry::Telemetry,
};

pub use crate::{
    brake::Sent,
    order::{LastLook, Order, Refusal},
};

/// Nothing leaves later than this after its intent, in wall time (architecture.md, rule 2).
pub const SEND_WITHIN: Duration = Duration::from_secs(20);

/// A last look is good for this long, in wall time.
pub const LAST_LOOK: Duration = Duration::from_secs(5);

/// The gate.
pub struct Gate {
    arm: Arc<dyn Arm>,
    clock: Arc<dyn Clock>,
    leadership: Arc<dyn Leadership>,
    audit: Arc<dyn AuditSink>,
    budget: Arc<Budget>,
    locks: Arc<Locks>,
    telemetry: Arc<dyn Telemetry>,
    us: Us,
    brake: Brake,
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
        Gate { arm, clock, leadership, audit, budget, locks, telemetry, us: Us { estate, writer }, brake: Brake::default() }
    }

    /// What was sent of destructive calls before this process led: as the last leader wrote it down, and by records that
    /// are still there.
    pub fn recall(&self, intents: &[Sent]) {
        let noted: BTreeMap<String, Vec<i64>> = serde_json::from_str(&self.leadership.noted()).unwrap_or_default();
        let (spent, sent) = noted.into_iter().partition(|(of, _)| of.starts_with(SPENT));
        self.brake.recall(sent);
        self.budget.recall(&spent);
        self.brake.recall_intents(intents);
    }

    /// Notes under which access something is lent to a namespace, until then.
    pub fn lend(&self, access: &str, namespace: &str, until: Timestamp) {
        if self.brake.lend(access, namespace, until, self.clock.now()) {
            self.note();
        }
    }

    /// Writes down what the next leader must know: it goes with the lease's next renewal.
    fn note(&self) {
        let now = self.clock.now();
        let mut all = self.brake.noted(now);
        all.extend(self.budget.spent(now));
        self.leadership.note(&serde_json::to_string(&all).unwrap_or_default());
    }

    /// Whether something was lent to a namespace under an access: by our own note, not by anybody's status.
    pub fn has_lent(&self, access: &str, namespace: &str) -> bool {
        self.brake.has_lent(access, namespace)
    }

    /// Checks that need no token: done before the intent is saved, so that what would be refused leaves no trace.
    ///
    /// # Errors
    /// The first rule that the order breaks.
    pub fn check(&self, order: &Order) -> Result<Act, Refusal> {
        let refuse = |reason, message: String| Err(Refusal::new(reason, message));
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
        let stake = self.stake(order);
        let act = if stake.as_ref().is_some_and(|s| s.loses_points) { Act::Delete } else { class.act };
        let word = format!("{act:?}");
        let ids = match ids_in(path, body.as_ref()) {
            Ok(ids) => ids,
            Err(e) => return refuse(Reason::InvalidSpec, e.to_string()),
        };
        if !order.debt {
            self.seen_just_now(order)?;
            // What is protected needs the act as much as where it is protected; the rest of the ids must be readable.
            let source = |b: &Value| b.pointer("/properties/sourceResourceId").and_then(Value::as_str).and_then(|s| s.parse().ok());
            let there = |b: &Value| b.pointer("/restoreRequest/sourceResourceId").and_then(Value::as_str).and_then(|s| s.parse().ok());
            let mounted = |b: &Value| b.pointer("/properties/virtualMachineId").and_then(Value::as_str).and_then(|s| s.parse().ok());
            let declared: Option<ResourceId> = body.as_ref().and_then(|b| source(b).or_else(|| there(b)).or_else(|| mounted(b)));
            // An action's body need not name the machine: the item it is done to does.
            let shown: Option<ResourceId> = match order.ownership {
                Ownership::Item { .. } => order.evidence.as_ref().and_then(|e| e.what.as_deref()).and_then(source),
                _ => None,
            };
            // An item's name holds no subscription: it may be another machine's that bears the same.
            if shown.as_ref().zip(declared.as_ref()).is_some_and(|(shown, declared)| shown != declared) {
                let message = format!("{} is of another machine than the one it would be written for", class.target);
                return refuse(Reason::NameTaken, message);
            }
            // A restore acts where it makes something, too.
            let made: Vec<ResourceId> = body.as_ref().map(made_in).unwrap_or_default();
            // A region is nobody's: the vault whose point is restored there stands for it.
            let of_region = class.target.resource_type() == *LOCATION;
            let vault_there: Option<ResourceId> = body.as_ref().filter(|_| of_region).and_then(restored_from);
            let acted_on = |id: &ResourceId| {
                (*id == class.target && !of_region)
                    || vault_there.as_ref() == Some(id)
                    || declared.as_ref() == Some(id)
                    || shown.as_ref() == Some(id)
                    || made.contains(id)
            };
            let named = |id: &ResourceId| order.grant.admits(if acted_on(id) { &word } else { "Read" }, id);
            if let Some(id) = ids.iter().chain([&class.target]).chain(shown.as_ref()).chain(vault_there.as_ref()).find(|id| !named(id)) {
                let need = if acted_on(id) { word.as_str() } else { "Read" };
                return refuse(
                    Reason::AccessDenied,
                    format!("AzureAccess {} does not allow {need} on {id}: add it to spec.allow, or leave it out", order.grant.name),
                );
            }
            self.us.owned(order, &class.target)?;
            self.consented(order, stake.as_ref())?;
            self.defended(order, act, stake.is_some())?;
        }
        // What gives back nothing but what was lent may go whatever the grant admits by now; anything else only within it.
        let within = class.gives_back() || order.grant.admits(&word, &class.target);
        let is =
            |word: &&str| [class.action.as_deref(), Some(&*class.resource_type)].iter().flatten().any(|a| a.eq_ignore_ascii_case(word));
        if order.debt && !(within && order.closes.iter().any(is)) {
            // A record may be anybody's word: by it alone things are closed that were lent, and nothing else is ever done.
            return refuse(
                Reason::DebtUnpayable,
                format!("{method} {path} closes nothing that was lent: it is not sent on a record's word"),
            );
        }
        if !order.locks.is_empty() && !self.locks.holds(&order.locks, &order.holder) {
            return refuse(Reason::Busy, "its locks are not held".into());
        }
        self.braked(order, act)?;
        Ok(act)
    }

    /// Takes what the order costs of Azure's patience.
    ///
    /// # Errors
    /// When it is spent, with the time to come back.
    pub fn afford(&self, order: &Order) -> Result<(), Refusal> {
        let caller = Caller { access: &order.identity.access, namespace: &order.holder.0.namespace };
        self.budget.take(caller, &order.request, order.priority, self.clock.now()).map_err(|(class, until)| Refusal {
            reason: Reason::Throttled,
            message: format!("the budget of {} calls is spent", class.as_str()),
            until: Some(until),
            question: None,
        })
    }

    /// Gives back what [`Gate::afford`] took for an order that certainly did not leave.
    pub fn give_back(&self, order: &Order) {
        self.budget.give_back(&order.identity.access, &order.request, self.clock.now());
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
        let in_time = || self.clock.wall().saturating_sub(order.intent_wall) <= SEND_WITHIN;
        if !in_time() {
            return Err(Refusal::new(Reason::Retrying, "its intent is older than 20 s"));
        }
        // Others may have been sent since it was checked.
        if act == Act::Delete {
            let held = self.brake.count(order, self.clock.now(), |question| order.debt || lifts(order, question));
            held.map_or(Ok(()), |held| Err(braked(held)))?;
        }
        self.record(order, act, "sending", None)?;
        if act == Act::Delete || is_daily(&order.request) {
            self.note();
        }
        // Asked once more where it leaves: a process may be stopped anywhere before that.
        let may_leave = || in_time() && self.leadership.leads();
        let result = self.arm.call_if(&order.identity, &order.request, &may_leave).await;
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

    /// Whether it cannot be taken back: by the one table, or because something is at stake. A debt is only closed.
    pub fn is_irreversible(&self, order: &Order) -> bool {
        let Request { method, path, body, .. } = &order.request;
        let by_table = || classify(*method, path, body.as_ref()).is_some_and(|class| class.is_irreversible());
        !order.debt && (by_table() || !order.consents.is_empty() || self.stake(order).is_some())
    }

    /// What cannot be taken back leaves only right after a last live look at the object, at the vault's writer tag and at the
    /// answers that allow it; a vault only when that look found it empty.
    fn looked_again(&self, order: &Order) -> Result<(), Refusal> {
        if !self.is_irreversible(order) {
            return Ok(());
        }
        let refuse = |why: &str| Err(Refusal::new(Reason::Retrying, format!("{} cannot be taken back, and {why}", order.request.path)));
        let now = self.clock.wall();
        let Some(look) = order.looked_again.as_ref().filter(|look| now.saturating_sub(look.at) <= LAST_LOOK) else {
            return refuse("nobody looked again just before");
        };
        if !order.consents.is_empty() && !look.answers_stand {
            return refuse("its answer does not stand any more");
        }
        let id = order.request.path.parse::<ResourceId>().ok().filter(|id| id.resource_type() == *VAULT);
        if order.request.method == Method::Delete && id.is_some() && look.items != Some(0) {
            return refuse("something may be in it");
        }
        Ok(())
    }

    /// What is at stake is agreed to, in exactly these words, for exactly this object as it was declared.
    fn consented(&self, order: &Order, stake: Option<&Stake>) -> Result<(), Refusal> {
        let Some(stake) = stake else { return Ok(()) };
        let asker = Asker { uid: order.uid.clone(), generation: order.generation };
        let agrees = |consent: &&Approved| {
            let Approved { question, given } = consent;
            let answers = Answers { given: vec![given.clone()], not_in_force: None };
            question.stake == *stake
                && given.expires > self.clock.now()
                && answers.to(question, &asker).is_some_and(|g| g.answer == APPROVE)
        };
        if order.consents.iter().any(|c| agrees(&c)) {
            return Ok(());
        }
        let reason = if stake.loses_points { Reason::WouldExpirePoints } else { Reason::OneWay };
        let message = format!("{}: {} -> {} on {}, and nobody has agreed to it", stake.field, stake.from, stake.to, order.request.path);
        Err(Refusal::new(reason, message))
    }

    fn record(&self, order: &Order, act: Act, event: &str, answer: Option<Value>) -> Result<(), Refusal> {
        let (object, node) = &order.holder;
        let line = json!({
            "at": self.clock.now().to_string(), "event": event, "act": act, "method": order.request.method, "path": order.request.path,
            "clientRequestId": order.request.client_request_id, "kind": object.kind, "namespace": object.namespace, "name": object.name,
            "node": node, "uid": order.uid, "generation": order.generation, "access": order.identity.access,
            "requestedBy": order.requested_by,
            "planDigest": order.plan_digest, "debt": order.debt, "answer": answer,
            "approvals": order.consents.iter().map(of_consent).collect::<Vec<_>>(),
        });
        self.audit.write(&line).map_err(|e| Refusal {
            reason: Reason::InternalError,
            message: format!("the audit record cannot be written ({e}): nothing is sent without it"),
            until: None,
            question: None,
        })
    }

    /// Writes to the audit record that a person's word on an action was used without a request: it happened, or which job it is.
    ///
    /// # Errors
    /// When the record cannot be written: then the word is not used.
    pub fn record_answer(&self, holder: &Holder, uid: &str, generation: i64, consent: &Approved) -> std::io::Result<()> {
        let (object, node) = holder;
        self.audit.write(&json!({
            "at": self.clock.now().to_string(), "event": "answer used", "kind": object.kind, "namespace": object.namespace,
            "name": object.name, "node": node, "uid": uid, "generation": generation, "approvals": [of_consent(consent)],
        }))
    }

    /// Only a direct read of a moment ago justifies a write.
    fn seen_just_now(&self, order: &Order) -> Result<(), Refusal> {
        let now = self.clock.now();
        let age = SignedDuration::from_secs_f64(60.0 * self.clock.factor().max(1.0));
        if order.evidence.as_ref().is_some_and(|e| e.at + age >= now) {
            return Ok(());
        }
        let message = format!("{} was not read just before", order.request.path);
        Err(Refusal { reason: Reason::Unreadable, message, until: Some(now + SignedDuration::from_secs(10)), question: None })
    }

    /// What the order puts at stake, by what was read of it and around it.
    fn stake(&self, order: &Order) -> Option<Stake> {
        let marks = matches!(order.ownership, Ownership::TakenOver { .. } | Ownership::Adopted { .. });
        let seen = order.vault.as_ref().filter(|_| marks).or(order.evidence.as_ref());
        let before = seen.and_then(|s| s.what.as_deref());
        let vault = |id: &ResourceId| (id.resource_type() == *VAULT).then(|| order.vault.as_ref()?.what.clone()).flatten();
        let around = |id: &ResourceId| order.around.get(id).cloned().or_else(|| vault(id));
        defence::at_stake(&order.request, before, &around)
    }

    /// Never lower a defence, never delete what may hold points; what lets points expire was agreed to before.
    fn defended(&self, order: &Order, act: Act, agreed: bool) -> Result<(), Refusal> {
        let deny = |reason, message: String| Err(Refusal::new(reason, message));
        if order.request.method == Method::Delete {
            let before = order.evidence.as_ref().and_then(|s| s.what.as_deref());
            return match order.request.path.parse::<ResourceId>().ok().map(|id| defence::may_be_removed(&id, before)) {
                Some(Ok(())) => Ok(()),
                Some(Err(why)) => deny(Reason::WouldExpirePoints, why),
                None => deny(Reason::WouldExpirePoints, format!("DELETE {} could cost recovery points", order.request.path)),
            };
        }
        if act == Act::Delete && !agreed && !defence::stops_and_retains(&order.request) {
            let message = format!("{} {} could cost recovery points", order.request.method, order.request.path);
            return deny(Reason::WouldExpirePoints, message);
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

    /// Destructive calls within the hour; beyond them a person is asked, call by call.
    fn braked(&self, order: &Order, act: Act) -> Result<(), Refusal> {
        if act != Act::Delete || order.debt {
            return Ok(());
        }
        let held = self.brake.holds(order, self.clock.now(), |question| lifts(order, question));
        held.map_or(Ok(()), |held| Err(braked(held)))
    }
}

/// Whether a person let this order pass the brake.
fn lifts(order: &Order, question: &Question) -> bool {
    let asker = Asker { uid: order.uid.clone(), generation: order.generation };
    order.consents.iter().any(|c| c.question == *question && c.given.digest == question.digest(&asker))
}

fn braked((question, until): (Question, Timestamp)) -> Refusal {
    let message = format!("{} It goes on by itself within the hour, or when question {} is answered", question.asks, question.id);
    Refusal { reason: Reason::Brake, message, until: Some(until), question: Some(Box::new(question)) }
}

/// Where a restore makes something, by its body: the group, and the machine.
fn made_in(body: &Value) -> Vec<ResourceId> {
    let fields = ["targetResourceGroupId", "targetVirtualMachineId"];
    let within = ["/properties", "/restoreRequest"].iter().filter_map(|at| body.pointer(at));
    within.flat_map(|at| fields.iter().filter_map(|field| at.get(field)?.as_str()?.parse().ok())).collect()
}

fn of_consent(consent: &Approved) -> Value {
    let given = &consent.given;
    json!({ "uid": given.approval, "name": given.name, "by": given.by, "question": given.question, "digest": given.digest, "answer": given.answer })
}
