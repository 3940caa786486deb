//! Acting on a plan: looking costs nothing; a write is an intent that is saved, a request that is sent, a handle
//! that is saved (architecture.md, rule 2).

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{
    Mode, OperationRecord, Reason, SharedSpec,
    azure_access::Act as ApiAct,
    operations::{Debt, Handle as ApiHandle, MAX_CODE, MAX_ERROR, MAX_OPERATIONS, RecordedError},
    questions::MAX_QUESTIONS,
};
use breakwater_arm::{
    ResourceId, excerpt,
    names::{PROTECTED_ITEM, VAULT},
    wire::{Method, Request},
};
use breakwater_plan::{
    graph::{Acted, Desired, Goal, Node, Ownership, Proof},
    keys,
    kind::Kind,
    kinds::all_items_of,
    planner::{Owed, Plan, Step, Write},
    questions::Approved,
    show,
    sighting::Sighting,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    answers, children, debts,
    gate::{LastLook, Order, Refusal},
    locks::Holder,
    ports::{ClusterError, ObjectKey, SendError},
    reader::Looker,
    resolve::Resolved,
    settle::settle,
    turn::{Met, Turn},
};

/// The vault that an id (or a path below one) lies in.
pub fn vault_of(path: &str) -> Option<ResourceId> {
    let id: ResourceId = path.parse().or_else(|_| path.rsplit_once('/').map_or("", |(id, _)| id).parse()).ok()?;
    id.ancestor(VAULT)
}

pub(crate) fn blank<K: Kind>(turn: &Turn<'_, K>, node: &str, request: &Request, attempt: i32, key: &str, at: Timestamp) -> OperationRecord {
    let act = breakwater_arm::classify(request.method, &request.path, request.body.as_ref())
        .map_or("Read".to_owned(), |c| format!("{:?}", c.act));
    OperationRecord {
        node: node.to_owned(),
        verb: request.method.as_str().to_ascii_lowercase(),
        method: request.method.as_str().to_owned(),
        target: request.path.clone(),
        act: ApiAct::from(act),
        intent_at: at,
        azure_date: turn.engine.reader.memory.azure_date(),
        attempt,
        key: key.to_owned(),
        client_request_id: keys::request_id(&turn.subject.estate, key, node, attempt).to_string(),
        known_jobs: Vec::new(),
        handle: None,
        next_poll: None,
        percent: None,
        job: None,
        ended_at: None,
        outcome: None,
        error: None,
        witness: false,
        jobs_of: None,
        locks: Vec::new(),
        brake: None,
        approvals: Vec::new(),
        debt: None,
    }
}

/// A handle as it is saved.
pub(crate) fn handle_of(handle: &breakwater_arm::Handle) -> ApiHandle {
    ApiHandle { family: format!("{:?}", handle.family()).into(), id: handle.id().to_owned() }
}

/// A message as a record or a condition takes it.
pub(crate) fn cut(text: &str) -> String {
    excerpt(text, MAX_ERROR)
}

/// An error as a record takes it, whatever Azure answered: a status that the API server refused would lose it.
pub(crate) fn error_of(reason: Reason, code: &str, message: &str) -> RecordedError {
    RecordedError { reason: reason.to_string(), code: excerpt(code, MAX_CODE), message: cut(message), waits: false, retry_at: None }
}

/// Saves intents, sends, saves handles; makes children. True when another turn should follow at once.
pub async fn act<K: Kind>(turn: &mut Turn<'_, K>, desired: &Desired, plan: &Plan, resolved: &Resolved) -> bool {
    let mut again = children::create(turn, desired, plan).await;
    let orders = orders(turn, desired, plan);
    if orders.is_empty() {
        return again;
    }
    if let Err(e) = hold_for(turn, &orders).await {
        tracing::debug!(error = %e, "no finalizer, no intent");
        release(turn, &orders);
        turn.refused(&e).await;
        let until = turn.engine.now() + turn.engine.backoff(if turn.unwritten { 8 } else { 1 });
        if turn.unwritten {
            let message = format!("the API server does not take the finalizer that comes before what is sent: {e}");
            turn.met = Some(Met::new(Reason::Retrying, cut(&message), Some(until)));
        }
        turn.come_back(Some(until));
        return again;
    }
    let old = turn.object.data.get("status").cloned().unwrap_or_else(|| json!({}));
    let before = turn.subject.operations.clone();
    let now = turn.engine.now();
    // The finalizer took its time: what is too late by now is not begun.
    let (orders, late): (Vec<_>, Vec<_>) = orders.into_iter().partition(|(order, _)| {
        let deadline = desired.nodes.get(&order.holder.1).and_then(|node| node.deadline);
        deadline.is_none_or(|at| now < at)
    });
    release(turn, &late);
    if orders.is_empty() {
        return again;
    }
    let answered = turn.answered.clone();
    for (order, write) in &orders {
        let record = intent(turn, order, write, desired, now);
        turn.subject.operations.insert(order.holder.1.clone(), record);
        order.consents.iter().for_each(|consent| use_answer(turn, consent, now));
    }
    // What is told with an intent knows of it: whoever reads it after a crash must not take it for somebody else's.
    let report = K::report(&turn.subject, &resolved.facts, Ok(plan));
    let intended = turn.compose(&old, &report, Some(desired), Ok(plan));
    let intent_wall = turn.engine.outside.clock.wall();
    if let Err(e) = turn.save(&old, &intended).await {
        // Lost the race, or nobody knows: nothing is sent. If it was saved after all, the next turn finds it.
        tracing::info!(error = %e, "intent not saved");
        turn.subject.operations = before;
        turn.answered = answered;
        release(turn, &orders);
        turn.come_back(Some(turn.engine.now() + turn.engine.backoff(1)));
        return again;
    }
    debts::note_lent(turn);
    for (order, _) in orders.iter().filter(|(_, write)| write.once) {
        let target = order.request.path.rsplit_once('/').and_then(|(id, _)| id.parse::<ResourceId>().ok());
        if let Some(item) = target.and_then(|id| id.ancestor(PROTECTED_ITEM)) {
            turn.engine.reader.memory.note_act(&item, now);
        }
    }
    let (engine, seen) = (turn.engine, &*turn);
    let sends = orders.iter().map(|(order, _)| {
        let order = Order { intent_wall, ..order.clone() };
        async move {
            let order = last_look(seen, order).await;
            let result = match seen.access_stands() {
                Ok(()) => engine.gate.send(&order).await,
                Err(refusal) => Err(refusal),
            };
            if let Err(_) | Ok(Err(SendError::NotSent(_) | SendError::BadLink(_) | SendError::NoToken(_))) = &result {
                engine.gate.give_back(&order);
            }
            (order.holder.1.clone(), order.request.clone(), result)
        }
    });
    let results = futures::future::join_all(sends).await;
    // Records that this process knows of: one that goes with its answer is not to come back from the object as it stands.
    let known: Vec<String> = turn.subject.operations.values().map(|o| o.client_request_id.clone()).collect();
    for (node, request, result) in results {
        again |= settle(turn, &node, &request, result);
    }
    save_handles(turn, desired, resolved, &known).await;
    again
}

/// Notes that an answer is used up; the note is saved with what it allows.
pub(crate) fn use_answer<K: Kind>(turn: &mut Turn<'_, K>, consent: &Approved, now: Timestamp) {
    let used = consent.used(&turn.subject.asker(), now);
    if !turn.answered.iter().any(|a| a.approval == used.approval) {
        turn.answered.push(used);
    }
}

/// What cannot be taken back: the object, its access, the vault's tags and the answers are read live once more, after the
/// intent was saved. An object that moved, is paused or is on its way out against what was planned leaves the order without
/// the mark that the gate asks for.
async fn last_look<K: Kind>(turn: &Turn<'_, K>, order: Order) -> Order {
    let Ok(by) = turn.access.as_ref() else { return order };
    if !turn.engine.gate.is_irreversible(&order) || !stands_live(turn).await {
        return order;
    }
    let answers_stand = answers::still_stand(turn, &order.consents).await;
    let id = order.request.path.parse::<ResourceId>().ok();
    let items = match id.filter(|id| order.request.method == Method::Delete && id.resource_type() == *VAULT) {
        Some(vault) => items_live(turn, by, &vault).await,
        None => None,
    };
    let look = |at| LastLook { at, answers_stand, items };
    let Some(vault) = vault_of(&order.request.path) else {
        return Order { looked_again: Some(look(turn.engine.outside.clock.wall())), ..order };
    };
    turn.engine.reader.read(by, &vault, turn.engine.now(), "").await;
    let seen = turn.engine.reader.memory.seen(&by.identity.access, &vault, turn.engine.now()).value;
    match seen.read_since(turn.engine.now() - turn.engine.bounds.read_every) {
        Some(vault) => Order { vault: Some(vault.clone()), looked_again: Some(look(turn.engine.outside.clock.wall())), ..order },
        None => order,
    }
}

/// Whether the object and its access are live what this turn was made from, and nothing pauses them.
async fn stands_live<K: Kind>(turn: &Turn<'_, K>) -> bool {
    let cluster = &turn.engine.outside.cluster;
    let Ok(Some(live)) = cluster.get(&turn.key).await else { return false };
    // A spec that cannot be read may say anything: also that nothing is to be sent.
    let Some(shared) = live.data.get("spec").cloned().and_then(|s| serde_json::from_value::<SharedSpec>(s).ok()) else { return false };
    let same = live.metadata.uid.as_deref() == Some(turn.subject.meta.uid.as_str())
        && live.metadata.generation == Some(turn.subject.meta.generation)
        && live.metadata.deletion_timestamp.is_some() == turn.subject.meta.deleting;
    if !same || shared.suspend || shared.mode != Mode::Manage {
        return false;
    }
    let Some(grant) = turn.subject.access.as_ref() else { return false };
    let key = ObjectKey { kind: "AzureAccess".into(), namespace: String::new(), name: grant.name.clone() };
    let (Ok(Some(live)), Some(cached)) = (cluster.get(&key).await, cluster.cached(&key)) else { return false };
    // The watched copy is what the turn is held against once more just before it sends.
    live.metadata.uid == cached.metadata.uid && live.metadata.generation == cached.metadata.generation
}

/// How many items of whatever workload a vault holds, by a whole listing of now.
async fn items_live<K: Kind>(turn: &Turn<'_, K>, by: &Looker, vault: &ResourceId) -> Option<usize> {
    let (list, now) = (all_items_of(vault), turn.engine.now());
    turn.engine.reader.list(by, &list, now, "").await;
    let listed = turn.engine.reader.memory.list(&by.identity.access, &list, now).value;
    listed.last.filter(|l| l.at >= now).map(|l| l.items.len())
}

/// Who holds a lock, as it may be told: another namespace's objects are not named.
pub(crate) fn who(key: &ObjectKey, by: &Holder) -> String {
    if by.0.namespace == key.namespace { format!("{} {}", by.0.kind, by.0.name) } else { "another operation".to_owned() }
}

/// Whether something of a node may be on its way in Azure: its locks stay then.
fn is_under_way<K: Kind>(turn: &Turn<'_, K>, node: &str) -> bool {
    turn.subject.operations.get(node).is_some_and(|record| record.ended_at.is_none() || record.debt.is_some())
}

fn release<K: Kind>(turn: &Turn<'_, K>, orders: &[(Order, Write)]) {
    for (order, _) in orders {
        turn.engine.gate.give_back(order);
        if !is_under_way(turn, &order.holder.1) {
            turn.engine.locks.release(&order.holder);
        }
    }
}

/// The writes that the gate would let pass, with their locks taken; the first that it would not is remembered.
fn orders<K: Kind>(turn: &mut Turn<'_, K>, desired: &Desired, plan: &Plan) -> Vec<(Order, Write)> {
    let digest = keys::hash(&[&show::show(desired, plan)]);
    let mut orders = Vec::new();
    for (key, step) in plan.steps() {
        let (Step::Write(write), Some(node)) = (step, desired.nodes.get(key)) else { continue };
        let open = turn.subject.operations.len() + orders.len();
        if open >= MAX_OPERATIONS && !turn.subject.operations.contains_key(key) {
            turn.met = Some(Met::new(Reason::AtBound, format!("{MAX_OPERATIONS} operations are open: nothing new is started"), None));
            continue;
        }
        let (generation, now) = (turn.subject.meta.generation, turn.engine.now());
        if let Some(off) = turn.engine.reader.memory.is_put_off(&turn.key, key, generation, now).filter(|_| !turn.is_forced()) {
            turn.met = Some(Met::new(off.reason, off.message, Some(off.until)));
            continue;
        }
        let Some(mut order) = order(turn, key, node, write, &digest) else { continue };
        if turn.answered.len() + order.consents.len() > MAX_QUESTIONS {
            turn.met = Some(Met::new(Reason::AtBound, format!("{MAX_QUESTIONS} answers were used: edit the object to go on"), None));
            continue;
        }
        let holder = order.holder.clone();
        if let Err((lock, by)) = turn.engine.locks.take(&order.locks, &holder) {
            let who = who(&turn.key, &by);
            let until = Some(turn.engine.now() + turn.engine.bounds.read_every * 2);
            turn.met = Some(Met::new(Reason::Busy, format!("{who} holds {lock}"), until));
            turn.come_back(until);
            continue;
        }
        match passed(turn, &mut order).and_then(|()| turn.engine.gate.afford(&order)) {
            Ok(()) => orders.push((order, (**write).clone())),
            Err(Refusal { reason, message, until, question }) => {
                if !is_under_way(turn, key) {
                    turn.engine.locks.release(&holder);
                }
                // What only a person or an edit mends is not asked about every few seconds.
                let until = until.or(Some(turn.engine.now() + SignedDuration::from_mins(10)));
                turn.come_back(until);
                if !node.beside {
                    turn.met = Some(Met { reason, message, until, question });
                } else {
                    tracing::info!(node = key.as_str(), %reason, message, "not sent");
                }
            }
        }
    }
    orders
}

/// Whether the gate would let it pass, with the answers to what the gate itself asks: one brake after the other.
fn passed<K: Kind>(turn: &Turn<'_, K>, order: &mut Order) -> Result<(), Refusal> {
    loop {
        let refusal = match turn.engine.gate.check(order) {
            Ok(_) => return Ok(()),
            Err(refusal) => refusal,
        };
        let given = refusal.question.as_deref().and_then(|asked| turn.subject.answers.to(asked, &turn.subject.asker()).cloned());
        let (Some(question), Some(given)) = (refusal.question.as_deref().cloned(), given) else { return Err(refusal) };
        // What was answered and is asked all the same is not asked for ever.
        if order.consents.iter().any(|consent| consent.question == question) {
            return Err(refusal);
        }
        order.consents.push(Approved { question, given });
    }
}

/// Resources beside the target that decide what is at stake: the vault, and the policies that an item leaves and gets.
fn around(
    request: &Request,
    evidence: Option<&Sighting>,
    read: impl Fn(&ResourceId) -> Option<Arc<Value>>,
) -> BTreeMap<ResourceId, Arc<Value>> {
    let policy = |body: &Value| body.pointer("/properties/policyId").and_then(Value::as_str).and_then(|p| p.parse::<ResourceId>().ok());
    let old = evidence.and_then(|s| s.what.as_deref()).and_then(policy);
    let new = request.body.as_ref().and_then(policy);
    let vault = vault_of(&request.path);
    [old, new, vault].into_iter().flatten().filter_map(|id| Some((id.clone(), read(&id)?))).collect()
}

fn order<K: Kind>(turn: &Turn<'_, K>, key: &str, node: &Node, write: &Write, digest: &str) -> Option<Order> {
    let by = turn.access.as_ref().ok()?;
    let id = node.id()?;
    let memory = &turn.engine.reader.memory;
    let seen = |id: &ResourceId| memory.seen(&by.identity.access, id, turn.began).value;
    let vault = match &node.ownership {
        Ownership::Named { vault, .. }
        | Ownership::Item { vault, .. }
        | Ownership::Point { vault, .. }
        | Ownership::PointInRegion { vault, .. } => seen(vault).read,
        Ownership::Tagged { .. } | Ownership::TakenOver { .. } | Ownership::Adopted { .. } => {
            id.ancestor(VAULT).and_then(|v| seen(&v).read)
        }
        Ownership::Child | Ownership::Confirmed { .. } | Ownership::Restored { .. } => None,
    };
    let mut request = write.request.clone();
    request.client_request_id = Some(keys::request_id(&turn.subject.estate, &write.key, key, write.attempt));
    fill(turn, node, &mut request)?;
    let evidence = seen(id).read;
    let around = around(&request, evidence.as_ref(), |id| seen(id).read?.what);
    Some(Order {
        consents: node.approved.iter().chain(&write.approved).cloned().collect(),
        around,
        brake: node.brake.clone(),
        holder: (turn.key.clone(), key.to_owned()),
        uid: turn.subject.meta.uid.clone(),
        generation: turn.subject.meta.generation,
        requested_by: turn.requested_by(),
        identity: by.identity.clone(),
        grant: by.grant.clone(),
        request,
        ownership: node.ownership.clone(),
        locks: node.locks.iter().cloned().collect(),
        paused: turn.paused(),
        debt: false,
        closes: &[],
        intent_wall: turn.engine.outside.clock.wall(),
        evidence,
        vault,
        owned: turn.subject.owned.iter().map(|o| o.id.clone()).collect(),
        plan_digest: digest.to_owned(),
        priority: by.priority,
        looked_again: None,
    })
}

/// Fills what comes from an ask's answer, in memory, at send. `None` while the answer is not there.
fn fill<K: Kind>(turn: &Turn<'_, K>, node: &Node, request: &mut Request) -> Option<()> {
    let Goal::Acted(Acted { from, .. }) = &node.goal else { return Some(()) };
    for part in from {
        let asked = turn.engine.reader.memory.asked(&turn.key, &part.ask)?;
        let value = asked.value.body.as_ref()?.pointer(&part.pointer)?.clone();
        *request.body.as_mut()?.pointer_mut(&part.into)? = value;
    }
    Some(())
}

/// The vault whose list of jobs tells of a record's action.
pub(crate) fn jobs_of(record: &OperationRecord) -> Option<ResourceId> {
    record.jobs_of.as_ref().and_then(|id| id.parse().ok()).or_else(|| vault_of(&record.target))
}

fn intent<K: Kind>(turn: &Turn<'_, K>, order: &Order, write: &Write, desired: &Desired, now: Timestamp) -> OperationRecord {
    let jobs = desired.nodes.get(&order.holder.1).and_then(|node| match &node.goal {
        Goal::Acted(Acted { proof: Proof::Job(proof), .. }) => Some(proof.vault.clone()),
        _ => None,
    });
    let mut record = blank(turn, &order.holder.1, &write.request, write.attempt, &write.key, now);
    record.known_jobs = write.known_jobs.iter().take(50).cloned().collect();
    record.witness = write.witness;
    record.jobs_of = jobs.filter(|vault| vault_of(&write.request.path).as_ref() != Some(vault)).map(|vault| vault.to_string());
    record.locks = order.locks.clone();
    record.brake = order.brake.as_ref().map(|brake| brake.scope.clone());
    record.approvals = order.consents.iter().map(|c| c.given.approval.clone()).collect();
    if write.once {
        record.verb = "act".into();
    }
    record.debt = write.debt.as_ref().map(|Owed { close, until, secret }| Debt {
        method: close.method.as_str().to_owned(),
        path: close.path.clone(),
        api_version: close.query.iter().find(|(k, _)| k == "api-version").map(|(_, v)| v.clone()).unwrap_or_default(),
        body: close.body.as_ref().map(Value::to_string),
        until: *until,
        secret: secret.clone(),
        trouble: None,
        retry_at: None,
        access: order.identity.access.clone(),
        attempts: 0,
        closing: None,
    });
    record
}

/// A finalizer where deletion may find something to do, before the first such intent.
async fn hold_for<K: Kind>(turn: &mut Turn<'_, K>, orders: &[(Order, Write)]) -> Result<(), ClusterError> {
    let needed = orders.iter().any(|(_, w)| w.once || w.debt.is_some());
    if needed { debts::hold(turn).await } else { Ok(()) }
}

/// Saves what the answers said. The object may have moved since the intent (an edit): the records go onto it as it
/// stands, for nobody else writes them.
async fn save_handles<K: Kind>(turn: &mut Turn<'_, K>, desired: &Desired, resolved: &Resolved, known: &[String]) {
    // What is told of the operation goes with its handle: one write instead of two.
    let plan = turn.plan(desired, resolved);
    let report = K::report(&turn.subject, &resolved.facts, Ok(&plan));
    for attempt in 0..3 {
        let old = turn.object.data.get("status").cloned().unwrap_or_else(|| json!({}));
        let mut new = if attempt == 0 { turn.compose(&old, &report, Some(desired), Ok(&plan)) } else { old.clone() };
        let operations: Vec<&OperationRecord> = turn.subject.operations.values().collect();
        new["operations"] = json!(operations);
        match turn.save_late(&old, &new).await {
            Ok(()) => return,
            Err(ClusterError::NotFound) => return,
            Err(e) => tracing::info!(error = %e, "handle not saved, trying on the object as it stands"),
        }
        let Ok(Some(live)) = turn.engine.outside.cluster.get(&turn.key).await else { return };
        // A new leader may have written since: its records are not ours to overwrite.
        let same = live.metadata.uid.as_deref() == Some(turn.subject.meta.uid.as_str());
        if !same || !turn.engine.outside.leadership.leads() {
            return;
        }
        for record in crate::object::shared(&live).map(|s| s.operations).unwrap_or_default() {
            if !known.contains(&record.client_request_id) {
                turn.subject.operations.insert(record.node.clone(), record);
            }
        }
        turn.take(live);
    }
}
