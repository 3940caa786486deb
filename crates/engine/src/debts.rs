//! What was lent is paid back: from its record, whatever the spec says by then (architecture.md, rule 8).

use std::collections::BTreeMap;

use breakwater_api::{
    OperationRecord, Reason,
    operations::{Debt, Handle as ApiHandle, HandleFamily, Outcome, RecordedError},
};
use breakwater_arm::{Accepted, ArmError, OperationState, OperationStatus, ResourceId, error::says_absent, excerpt, wire::Answer};
use breakwater_plan::{
    graph::{Hold, HoldKind},
    kind::Kind,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    act::{self, handle_of},
    engine::Next,
    handed,
    look::poll_of,
    memory::Memory,
    payer::{looker, order, target_of},
    ports::{ClusterError, ObjectKey},
    publish::Pause,
    turn::Turn,
};

/// Holds an object until nothing of it is open.
pub const FINALIZER: &str = "breakwater.io/open-operations";

/// When the next debt is due; `early` closes what is open before its time.
pub fn next_due(key: &ObjectKey, operations: &BTreeMap<String, OperationRecord>, memory: &Memory, early: bool) -> Option<Timestamp> {
    let due = |o: &OperationRecord| {
        let until = o.debt.as_ref()?.until;
        // One that was tried was due.
        let early = is_early(o, early) || o.debt.as_ref().is_some_and(|debt| debt.retry_at.is_some());
        // What lost its scripts is closed as soon as nothing of it can be on its way any more.
        let due = if early { o.intent_at } else { lost_at(o).map_or(until, |at| at.min(until)) };
        Some(not_before(key, o, memory).map_or(due, |again| again.max(due)))
    };
    operations.values().filter_map(due).min()
}

/// Before its time: by a pause, because its opening failed half way, or because closing it has begun.
fn is_early(record: &OperationRecord, early: bool) -> bool {
    early || has_failed(record) || record.debt.as_ref().is_some_and(|debt| debt.closing.is_some())
}

/// Whether what was handed out would not be handed out any more: the act was taken from the grant.
pub(crate) fn is_withdrawn<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord) -> bool {
    let hands_out = record.debt.as_ref().is_some_and(|debt| debt.secret.is_some());
    let target = record.target.rsplit_once('/').and_then(|(id, _)| id.parse::<ResourceId>().ok());
    let act = record.act.to_string();
    hands_out && turn.access.as_ref().ok().zip(target).is_some_and(|(by, target)| !by.grant.admits(&act, &target))
}

fn has_failed(record: &OperationRecord) -> bool {
    matches!(record.outcome, Some(Outcome::Failed | Outcome::Cancelled | Outcome::Lost))
}

/// From when on an opening of which nobody can be asked any more is known not to hand out its scripts. A process that was
/// stopped with the request in hand has dropped it by then.
fn lost_at(record: &OperationRecord) -> Option<Timestamp> {
    let secret = record.debt.as_ref()?.secret.as_ref();
    let unasked = record.handle.is_none() && record.ended_at.is_none() && record.outcome.is_none();
    secret.filter(|_| unasked).map(|_| record.intent_at + LOST_AFTER)
}

/// Well above what a request may take to leave (the gate's 20 s) and what Azure was recorded to take to open (four minutes and
/// more): what is closed before it is open would stay open.
const LOST_AFTER: SignedDuration = SignedDuration::from_mins(15);

/// An opening that has not ended by then is not waited for any more.
const OPENED_WITHIN: SignedDuration = SignedDuration::from_mins(30);

/// When a closing that was tried may be tried, or asked about, again.
fn not_before(key: &ObjectKey, record: &OperationRecord, memory: &Memory) -> Option<Timestamp> {
    let asked = memory.progress(key, &closing_id(record)).next_poll;
    record.debt.as_ref().and_then(|debt| debt.retry_at).max(asked)
}

/// The name under which this process remembers how a closing goes.
fn closing_id(record: &OperationRecord) -> String {
    format!("{} close", record.client_request_id)
}

/// Notes for whom something is lent, while the access still says so: when it does not any more, the note tells a debt from a
/// forged one.
pub(crate) fn note_lent<K: Kind>(turn: &Turn<'_, K>) {
    let Ok(by) = &turn.access else { return };
    let debts = turn.subject.operations.values().filter_map(|record| record.debt.as_ref());
    let granted = |debt: &&Debt| debt.access == by.grant.name && target_of(debt).is_some_and(|id| by.grant.admits("Read", &id));
    if let Some(until) = debts.filter(granted).map(|debt| debt.until).max() {
        turn.engine.gate.lend(&by.grant.name, &turn.key.namespace, until);
    }
}

/// Whether the access is not there, or does not admit the namespace; that it was not seen yet is no such word.
pub(crate) fn is_refused<K: Kind>(turn: &Turn<'_, K>) -> bool {
    turn.access.as_ref().is_err_and(|hold| hold.kind == HoldKind::Stuck)
}

/// Closes what is due: by time, by suspension, by deletion, by a grant that was withdrawn.
pub async fn pay<K: Kind>(turn: &mut Turn<'_, K>) {
    note_lent(turn);
    let now = turn.engine.now();
    let early = turn.pause != Pause::None || turn.subject.meta.deleting || is_refused(turn);
    let memory = turn.engine.reader.memory.clone();
    for record in turn.subject.operations.values_mut().filter(|o| lost_at(o).is_some_and(|at| at <= now)) {
        let message = "the script was lost on its way: nobody knows what became of the request, or Azure does not know it any more";
        (record.outcome, record.error) = (Some(Outcome::Lost), Some(unopened(Reason::ScriptsLost, message)));
    }
    let due: Vec<String> = turn
        .subject
        .operations
        .values()
        .filter(|o| o.debt.as_ref().is_some_and(|d| is_early(o, early) || is_withdrawn(turn, o) || d.until <= now))
        .filter(|o| not_before(&turn.key, o, &memory).is_none_or(|at| at <= now))
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

/// One step of closing one debt: asks how a closing goes that Azure has taken, else sends it.
async fn close<K: Kind>(turn: &mut Turn<'_, K>, node: &str) {
    let Some((record, debt)) = turn.subject.operations.get(node).and_then(|r| Some((r.clone(), r.debt.clone()?))) else { return };
    if let Some(again) = still_opening(turn, &record).await {
        return turn.engine.reader.memory.advance(&turn.key, &closing_id(&record), |p| p.next_poll = Some(again));
    }
    let step = match &debt.closing {
        Some(closing) if is_revoked(closing) => Closing::Over,
        Some(_) => follow(turn, &record, &debt).await,
        None => {
            // What opens the door goes first; that it went is made sure of when the door is closed.
            if let Some(secret) = &debt.secret
                && let Err((reason, message)) = handed::take_back(turn, secret, &record).await
            {
                tracing::warn!(%reason, message, "a Secret was not removed yet");
            }
            send(turn, &record, &debt).await
        }
    };
    let step = match (step, &debt.secret) {
        // The Secret goes with what it is for, and both are owed.
        (Closing::Over, Some(secret)) => match handed::take_back(turn, secret, &record).await {
            Ok(()) => Closing::Over,
            Err((reason, message)) => {
                if let Some(debt) = turn.subject.operations.get_mut(node).and_then(|r| r.debt.as_mut()) {
                    debt.closing = Some(ApiHandle { family: HandleFamily::Arm, id: REVOKED.into() });
                }
                Closing::Failed(reason, message)
            }
        },
        (step, _) => step,
    };
    let step = match step {
        // Azure ends a mount by itself (backup.md §15): what nobody could close by then, or hear the end of, is closed. The Secret is
        // owed still.
        Closing::Failed(..) | Closing::Runs(_)
            if is_past(&record, turn.engine.now()) && debt.closing.as_ref().is_none_or(|closing| !is_revoked(closing)) =>
        {
            let gone = match &debt.secret {
                Some(secret) => handed::take_back(turn, secret, &record).await,
                None => Ok(()),
            };
            gone.map_or_else(|(reason, message)| Closing::Failed(reason, message), |()| Closing::Over)
        }
        step => step,
    };
    match step {
        Closing::Over => paid(turn, node, &debt),
        Closing::Runs(handle) => {
            if let Some(debt) = turn.subject.operations.get_mut(node).and_then(|r| r.debt.as_mut()) {
                debt.closing = Some(handle);
            }
        }
        Closing::Failed(reason, message) => failed(turn, node, reason, &message),
    }
}

/// Whether Azure has ended by itself what was opened: a mount, twelve hours after it was asked for, and an hour for the clocks.
fn is_past(record: &OperationRecord, now: Timestamp) -> bool {
    let is_mount = record.debt.as_ref().is_some_and(|debt| debt.path.to_ascii_lowercase().ends_with("/revokeinstantitemrecovery"));
    is_mount && now >= record.intent_at + SignedDuration::from_hours(13)
}

/// When to look again at an opening that may still come true: what is closed before it is open would stay open.
async fn still_opening<K: Kind>(turn: &mut Turn<'_, K>, record: &OperationRecord) -> Option<Timestamp> {
    let now = turn.engine.now();
    let closes = record.debt.as_ref().is_some_and(|debt| debt.closing.is_some());
    if closes || record.ended_at.is_some() || now >= record.intent_at + OPENED_WITHIN {
        return None;
    }
    let Some(handle) = &record.handle else {
        return lost_at(record).filter(|at| *at > now);
    };
    let debt = record.debt.as_ref()?;
    let link = turn.engine.reader.memory.progress(&turn.key, &record.client_request_id).link;
    let (request, looker) = (poll_of(handle, &record.target, link)?, looker(turn, record, debt).ok()?);
    let answer = match turn.engine.reader.poll(&looker, &request).await {
        Ok(answer) => answer,
        Err(trouble) => return Some(trouble.until.max(now + turn.engine.bounds.read_every)),
    };
    // What it hands out is not looked at any more.
    let outcome = match OperationStatus::parse(&answer).map(|status| status.state) {
        Err(_) | Ok(OperationState::InProgress) => return Some(now + wait_of(turn, &answer)),
        Ok(OperationState::Failed { .. }) => Some(Outcome::Failed),
        Ok(_) => Some(Outcome::Cancelled),
    };
    if let Some(record) = turn.subject.operations.get_mut(&record.node) {
        (record.ended_at, record.outcome) = (Some(now), record.outcome.clone().or(outcome));
    }
    None
}

/// What one step of closing came to.
enum Closing {
    /// It is closed.
    Over,
    /// Azure works on it.
    Runs(ApiHandle),
    /// It is still open.
    Failed(Reason, String),
}

async fn send<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, debt: &Debt) -> Closing {
    let order = match order(turn, record, debt) {
        Ok(order) => order,
        Err(hold) => return Closing::Failed(hold.reason, hold.message),
    };
    match turn.engine.gate.send(&order).await {
        Err(refused) => Closing::Failed(refused.reason, refused.message),
        Ok(Err(e)) => Closing::Failed(Reason::DebtOpen, e.to_string()),
        Ok(Ok(answer)) if says_absent(&answer) => Closing::Over,
        Ok(Ok(answer)) if answer.is_success() => taken(turn, record, &answer),
        Ok(Ok(answer)) => Closing::Failed(Reason::DebtUnpayable, ArmError::from_answer(&answer).to_string()),
    }
}

/// A closing that Azure took: done with the answer, or to be followed. A bare 202 names nothing that could be followed.
fn taken<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, answer: &Answer) -> Closing {
    if answer.is_page() {
        return Closing::Failed(Reason::DebtOpen, "the answer is no answer of Azure's: a page, perhaps a proxy's".to_owned());
    }
    let Some(taken) = Accepted::from_answer(answer) else { return Closing::Over };
    let wait = wait_of(turn, answer);
    // An operation whose id cannot be kept is asked about by its link, as long as this process lives; then it is closed again.
    let by_link = || taken.poll.is_some().then(|| ApiHandle { family: HandleFamily::Arm, id: "link".into() });
    let Some(handle) = taken.handle.as_ref().map(handle_of).or_else(by_link) else { return Closing::Over };
    turn.engine.reader.memory.advance(&turn.key, &closing_id(record), |p| {
        p.link = taken.poll;
        p.next_poll = Some(turn.engine.now() + wait);
    });
    Closing::Runs(handle)
}

fn wait_of<K: Kind>(turn: &Turn<'_, K>, answer: &Answer) -> SignedDuration {
    turn.engine.reader.asked_to_wait(answer).unwrap_or(SignedDuration::from_secs(30)).max(turn.engine.bounds.read_every)
}

/// Asks how a closing goes. One that cannot be asked about any more is sent again: closing twice does no harm.
async fn follow<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, debt: &Debt) -> Closing {
    let Some(handle) = debt.closing.clone() else { return Closing::Over };
    let memory = &turn.engine.reader.memory;
    let Some(request) = poll_of(&handle, &debt.path, memory.progress(&turn.key, &closing_id(record)).link) else {
        return send(turn, record, debt).await;
    };
    let looker = match looker(turn, record, debt) {
        Ok(looker) => looker,
        Err(hold) => return Closing::Failed(hold.reason, hold.message),
    };
    let answer = match turn.engine.reader.poll(&looker, &request).await {
        Ok(answer) => answer,
        Err(trouble) => {
            memory.advance(&turn.key, &closing_id(record), |p| p.next_poll = Some(trouble.until));
            return Closing::Runs(handle);
        }
    };
    let wait = wait_of(turn, &answer);
    let status = OperationStatus::parse(&answer);
    memory.advance(&turn.key, &closing_id(record), |p| {
        p.next_poll = Some(turn.engine.now() + wait);
        if let Some(link) = status.as_ref().ok().and_then(|s| s.next_poll.clone()) {
            p.link = Some(link);
        }
    });
    match status.map(|s| s.state) {
        Err(_) | Ok(OperationState::InProgress) => Closing::Runs(handle),
        Ok(OperationState::Succeeded) => Closing::Over,
        Ok(OperationState::Gone) => send(turn, record, debt).await,
        Ok(OperationState::Failed { code, message }) => Closing::Failed(Reason::DebtUnpayable, format!("{code} {message}")),
        Ok(OperationState::Canceled) => Closing::Failed(Reason::DebtUnpayable, "closing it was cancelled in Azure".into()),
    }
}

/// It is closed. Before its time (a pause) the record stays until then, so that it is not opened a second time.
fn paid<K: Kind>(turn: &mut Turn<'_, K>, node: &str, debt: &Debt) {
    let now = turn.engine.now();
    turn.engine.locks.release(&(turn.key.clone(), node.to_owned()));
    let Some(record) = turn.subject.operations.get_mut(node) else { return };
    for id in [record.client_request_id.clone(), closing_id(record)] {
        turn.engine.reader.memory.drop_progress(&turn.key, &id);
    }
    if debt.until <= now || turn.subject.meta.deleting {
        turn.subject.operations.remove(node);
        return;
    }
    record.verb = LENT.into();
    (record.debt, record.handle, record.next_poll) = (None, None, None);
    record.locks.clear();
    record.ended_at = Some(now);
    // An opening that failed half way is told until then.
    record.error = match record.outcome.get_or_insert(Outcome::Cancelled) {
        Outcome::Lost | Outcome::Failed => {
            let unknown = || unopened(Reason::RefusedByAzure, "opening it failed in Azure");
            Some(record.error.take().unwrap_or_else(unknown))
        }
        Outcome::Cancelled => record.error.take(),
        _ => None,
    };
}

/// Why something that was to be opened is not.
pub(crate) fn unopened(reason: Reason, message: &str) -> RecordedError {
    act::error_of(reason, "", message)
}

/// The verb of a record whose debt is paid.
const LENT: &str = "lent";

fn failed<K: Kind>(turn: &mut Turn<'_, K>, node: &str, reason: Reason, message: &str) {
    let now = turn.engine.now();
    let Some(record) = turn.subject.operations.get_mut(node) else { return };
    let Some(debt) = record.debt.as_mut() else { return };
    debt.attempts = debt.attempts.saturating_add(1);
    // What is revoked stays so: only the Secret is owed then.
    debt.closing = debt.closing.take().filter(is_revoked);
    debt.retry_at = Some(now + turn.engine.backoff(debt.attempts.saturating_add(2)));
    debt.trouble = Some(format!("{reason}: {}", excerpt(message, 300)));
}

/// What stands for the handle of a closing that is over, while its Secret is still owed.
const REVOKED: &str = "revoked";

fn is_revoked(closing: &ApiHandle) -> bool {
    closing.id == REVOKED
}

/// Whether the finalizer holds an object.
pub fn is_held(object: &kube::core::DynamicObject) -> bool {
    object.metadata.finalizers.iter().flatten().any(|f| f == FINALIZER)
}

/// Whether only others keep an object from going, by their finalizers: for us it is gone, and holds nobody up.
pub fn is_left(object: &kube::core::DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some() && !is_held(object)
}

/// Whether an object that is on its way out never came to anything: it is wrong as it is declared, or names what is not there,
/// and nothing was ever done or seen for it. Its finalizer would wait for what nobody can give it any more.
pub fn has_nothing_to_undo<K: Kind>(turn: &Turn<'_, K>, hold: &Hold) -> bool {
    const SEEN: [&str; 3] = ["vault", "policyId", "itemId"];
    let subject = &turn.subject;
    let is_blank = subject.operations.is_empty()
        && subject.owned.is_empty()
        && SEEN.iter().all(|field| turn.own.get(*field).is_none_or(Value::is_null));
    let is_wrong = matches!(hold.reason, Reason::InvalidSpec | Reason::ReferenceNotFound | Reason::NoAccess);
    subject.meta.deleting && is_blank && is_wrong
}

/// Puts the finalizer on, by a write of its own; nothing where it is there.
///
/// # Errors
/// When it was not written.
pub async fn hold<K: Kind>(turn: &mut Turn<'_, K>) -> Result<(), ClusterError> {
    if is_held(&turn.object) {
        return Ok(());
    }
    if !turn.engine.outside.leadership.leads() {
        return Err(ClusterError::Refused("this process does not hold the lease any more".into()));
    }
    let mut finalizers = turn.object.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(FINALIZER.to_owned());
    let version = turn.object.metadata.resource_version.clone().unwrap_or_default();
    turn.engine.outside.telemetry.kube_write(K::NAME, "metadata");
    let written = turn
        .engine
        .outside
        .cluster
        .patch_metadata(&turn.key, &version, &json!({ "finalizers": finalizers }), &turn.engine.outside.leads())
        .await?;
    turn.take(written);
    Ok(())
}

/// Takes the finalizer away when nothing is open that deletion would have to find. False when that was not written.
pub async fn let_go<K: Kind>(turn: &mut Turn<'_, K>) -> bool {
    let finalizers = turn.object.metadata.finalizers.clone().unwrap_or_default();
    let open = turn.subject.operations.values().any(|o| o.debt.is_some() || o.verb == "act");
    // Where deletion itself is an act, the finalizer stays until that is done.
    let held = K::acts_on_deletion(&turn.subject.spec) && !turn.subject.meta.deleting;
    if open || held || !finalizers.iter().any(|f| f == FINALIZER) {
        return true;
    }
    if !turn.engine.outside.leadership.leads() {
        return false;
    }
    let left: Vec<&String> = finalizers.iter().filter(|f| *f != FINALIZER).collect();
    let version = turn.object.metadata.resource_version.clone().unwrap_or_default();
    turn.engine.outside.telemetry.kube_write(K::NAME, "metadata");
    match turn
        .engine
        .outside
        .cluster
        .patch_metadata(&turn.key, &version, &json!({ "finalizers": left }), &turn.engine.outside.leads())
        .await
    {
        Ok(written) => turn.take(written),
        Err(e) => {
            turn.refused(&e).await;
            return false;
        }
    }
    true
}

/// The object is on its way out: nothing new; debts are paid; then the finalizer goes.
pub async fn last_turn<K: Kind>(turn: &mut Turn<'_, K>) -> Next {
    if !is_held(&turn.object) {
        return Next::At(turn.engine.now() + SignedDuration::from_hours(1));
    }
    if let Some(due) = next_due(&turn.key, &turn.subject.operations, &turn.engine.reader.memory, true) {
        // Who waits for the deletion sees what it waits for.
        let trouble = turn.subject.operations.values().find_map(|record| record.debt.as_ref()?.trouble.clone());
        if let Some(trouble) = trouble {
            let hold = Hold::wait(Reason::DebtUnpayable, format!("what was lent is not closed yet: {trouble}"));
            turn.tell_hold(&hold).await;
        }
        return Next::At(due.max(turn.engine.now() + turn.engine.bounds.read_every));
    }
    // What happens once goes on in Azure and is found there by its key, as soon as Azure shows it: so long the record stays.
    let settling = turn.subject.operations.values().filter(|o| o.verb == "act" && o.error.is_none() && o.ended_at.is_none());
    let settled = settling.map(|o| o.intent_at + turn.engine.bounds.settle_once).max();
    if let Some(at) = settled.filter(|at| *at > turn.engine.now()) {
        return Next::At(at);
    }
    turn.subject.operations.clear();
    match let_go(turn).await {
        true => Next::At(turn.engine.now() + SignedDuration::from_hours(1)),
        false => Next::At(turn.engine.now() + turn.engine.backoff(if turn.unwritten { 8 } else { 1 })),
    }
}
