//! What was lent is paid back: from its record, whatever the spec says by then (architecture.md, rule 8).

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::{
    OperationRecord, Reason,
    operations::{Debt, Outcome, RecordedError},
};
use breakwater_arm::wire::{Method, Request};
use breakwater_plan::{
    graph::{Hold, Ownership},
    kind::Kind,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{access, budget::Priority, engine::Next, gate::Order, publish::Pause, turn::Turn};

/// Holds an object until nothing of it is open.
pub const FINALIZER: &str = "breakwater.io/open-operations";

/// When the next debt is due; `early` closes what is open before its time.
pub fn next_due(operations: &BTreeMap<String, OperationRecord>, early: bool) -> Option<Timestamp> {
    let due = |o: &OperationRecord| {
        let until = o.debt.as_ref()?.until;
        Some(o.error.as_ref().and_then(|e| e.retry_at).map_or(until, |retry| if early { retry } else { retry.max(until) }))
    };
    operations.values().filter(|o| o.debt.is_some()).filter_map(due).min()
}

/// Closes what is due: by time, by suspension, by deletion, by a grant that was withdrawn.
pub async fn pay<K: Kind>(turn: &mut Turn<'_, K>) {
    let now = turn.engine.now();
    let early = turn.pause != Pause::None || turn.subject.meta.deleting || turn.access.is_err();
    let due: Vec<String> = turn
        .subject
        .operations
        .values()
        .filter(|o| o.debt.as_ref().is_some_and(|d| early || d.until <= now))
        .filter(|o| o.error.as_ref().and_then(|e| e.retry_at).is_none_or(|at| at <= now))
        .map(|o| o.node.clone())
        .collect();
    if due.is_empty() {
        return;
    }
    for node in due {
        close(turn, &node).await;
    }
    let old = turn.object.data.get("status").cloned().unwrap_or_else(|| json!({}));
    let mut new = old.clone();
    let operations: Vec<&OperationRecord> = turn.subject.operations.values().collect();
    new["operations"] = json!(operations);
    if let Err(e) = turn.save(&old, &new).await {
        tracing::warn!(error = %e, "a paid debt is not saved yet; closing twice does no harm");
    }
}

async fn close<K: Kind>(turn: &mut Turn<'_, K>, node: &str) {
    let now = turn.engine.now();
    let Some((record, debt)) = turn.subject.operations.get(node).and_then(|r| Some((r.clone(), r.debt.clone()?))) else { return };
    let result = match order(turn, &record, &debt) {
        Ok(order) => turn.engine.gate.send(&order).await.map_err(|r| (r.reason, r.message)),
        Err(hold) => Err((hold.reason, hold.message)),
    };
    let error = match result {
        Ok(Ok(answer)) if answer.is_success() || answer.status == 404 => {
            turn.subject.operations.remove(node);
            turn.engine.locks.release(&(turn.key.clone(), node.to_owned()));
            turn.engine.reader.memory.drop_progress(&record.client_request_id);
            return;
        }
        Ok(Ok(answer)) => (Reason::DebtUnpayable, breakwater_arm::ArmError::from_answer(&answer).to_string()),
        Ok(Err(e)) => (Reason::DebtOpen, e.to_string()),
        Err(refused) => refused,
    };
    if let Some(record) = turn.subject.operations.get_mut(node) {
        record.outcome = Some(Outcome::Unknown);
        let (reason, message) = (error.0.to_string(), error.1.chars().take(300).collect());
        let retry_at = Some(now + turn.engine.backoff(3));
        record.error = Some(RecordedError { reason, code: String::new(), message, waits: true, retry_at });
    }
}

/// The closing request, under the access that opened it, whatever it admits by now.
fn order<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, debt: &Debt) -> Result<Order, Hold> {
    let method = match debt.method.as_str() {
        "POST" => Method::Post,
        "PATCH" => Method::Patch,
        "PUT" => Method::Put,
        _ => Method::Delete,
    };
    let mut request = Request::new(method, debt.path.clone(), &debt.api_version);
    request.body = debt.body.as_ref().and_then(|b| serde_json::from_str::<Value>(b).ok());
    request.client_request_id =
        Some(breakwater_plan::keys::request_id(&turn.subject.estate, &format!("{} close", record.key), &record.node, record.attempt));
    let access = access::for_debt(&*turn.engine.outside.cluster, &debt.access)?;
    Ok(Order {
        holder: (turn.key.clone(), record.node.clone()),
        uid: turn.subject.meta.uid.clone(),
        generation: turn.subject.meta.generation,
        identity: access.identity,
        grant: Arc::clone(&access.grant),
        request,
        ownership: Ownership::Child,
        locks: Vec::new(),
        paused: turn.paused(),
        debt: true,
        intent_wall: turn.engine.outside.clock.wall(),
        evidence: None,
        vault: None,
        owned: Vec::new(),
        plan_digest: String::new(),
        priority: Priority::Debt,
    })
}

/// Takes the finalizer away when nothing is open that deletion would have to find. False when that was not written.
pub async fn let_go<K: Kind>(turn: &mut Turn<'_, K>) -> bool {
    let finalizers = turn.object.metadata.finalizers.clone().unwrap_or_default();
    let open = turn.subject.operations.values().any(|o| o.debt.is_some() || o.verb == "act");
    if open || !finalizers.iter().any(|f| f == FINALIZER) {
        return true;
    }
    let left: Vec<&String> = finalizers.iter().filter(|f| *f != FINALIZER).collect();
    let version = turn.object.metadata.resource_version.clone().unwrap_or_default();
    turn.engine.outside.telemetry.kube_write(K::NAME, "metadata");
    match turn.engine.outside.cluster.patch_metadata(&turn.key, &version, &json!({ "finalizers": left })).await {
        Ok(written) => turn.take(written),
        Err(_) => return false,
    }
    true
}

/// The object is on its way out: nothing new; debts are paid; then the finalizer goes.
pub async fn last_turn<K: Kind>(mut turn: Turn<'_, K>) -> Next {
    let finalizers = turn.object.metadata.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|f| f == FINALIZER) {
        return Next::At(turn.engine.now() + SignedDuration::from_hours(1));
    }
    if let Some(due) = next_due(&turn.subject.operations, true) {
        return Next::At(due.max(turn.engine.now() + turn.engine.bounds.read_every));
    }
    // What happens once goes on in Azure and is found there by its key, as soon as Azure shows it: so long the record stays.
    let settling = turn.subject.operations.values().filter(|o| o.verb == "act" && o.error.is_none() && o.ended_at.is_none());
    let settled = settling.map(|o| o.intent_at + turn.engine.bounds.settle_once).max();
    if let Some(at) = settled.filter(|at| *at > turn.engine.now()) {
        return Next::At(at);
    }
    turn.subject.operations.clear();
    match let_go(&mut turn).await {
        true => Next::At(turn.engine.now() + SignedDuration::from_hours(1)),
        false => Next::At(turn.engine.now() + turn.engine.backoff(1)),
    }
}
