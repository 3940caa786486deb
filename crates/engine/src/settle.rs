//! What came of a send: an answer, a refusal, or nothing that anybody knows (architecture.md, rule 2).

use breakwater_api::{
    Reason,
    operations::{Outcome, RecordedError},
};
use breakwater_arm::{
    Accepted,
    error::{ArmError, Remedy, Service, remedy, whole_refusal},
    wire::{Answer, Request},
};
use breakwater_plan::kind::Kind;
use jiff::{SignedDuration, Timestamp};

use crate::{
    act::{cut, error_of, handle_of, vault_of},
    gate::Refusal,
    memory::{Progress, PutOff},
    ports::SendError,
    turn::{Met, Turn},
};

/// What one send came to. True when another turn should follow at once.
pub fn settle<K: Kind>(turn: &mut Turn<'_, K>, node: &str, request: &Request, result: Result<Result<Answer, SendError>, Refusal>) -> bool {
    let engine = turn.engine;
    let now = engine.now();
    match result {
        Err(Refusal { reason, message, until, question }) => {
            // It certainly did not leave: the record says nothing that anybody must know, and its answers are not used.
            let unsent = turn.subject.operations.remove(node).map(|record| record.approvals).unwrap_or_default();
            turn.answered.retain(|a| !unsent.contains(&a.approval));
            engine.locks.release(&(turn.key.clone(), node.to_owned()));
            turn.met = Some(Met { reason, message, until, question });
            false
        }
        Ok(Err(SendError::Unknown(why))) => {
            tracing::warn!(node, why, "outcome unknown");
            true
        }
        Ok(Err(SendError::NotSent(why) | SendError::BadLink(why))) => refused(turn, node, Reason::Unreadable, "", &why, true, None),
        Ok(Err(SendError::NoToken(why))) => refused(turn, node, Reason::TokenRefused, "", &why, false, None),
        Ok(Ok(answer)) => {
            if let Ok(by) = turn.access.clone() {
                engine.reader.learn(&by, request, &answer);
            }
            if answer.is_success() {
                tracing::info!(node, method = %request.method, id = %request.path, status = answer.status, "accepted");
                accepted(turn, node, &answer, now);
                return true;
            }
            if !whole_refusal(answer.status) {
                tracing::warn!(node, status = answer.status, "outcome unknown");
                return true;
            }
            let error = ArmError::from_answer(&answer);
            let service = vault_of(&request.path).map_or(Service::Other, |_| Service::RecoveryServices);
            let attempt = turn.subject.operations.get(node).map_or(1, |r| r.attempt);
            let (waits, after) = match remedy(service, request.method, &error) {
                Remedy::Retry { .. } => (true, engine.reader.asked_to_wait(&answer)),
                Remedy::RetrySlowly => (true, Some(slowly(attempt) / 2)),
                Remedy::AwaitHuman => (false, Some(slowly(attempt))),
                Remedy::AwaitEdit => (false, Some(SignedDuration::from_hours(1))),
            };
            // What passes by itself is no news for anybody at night.
            match waits {
                true => tracing::info!(node, id = %request.path, status = error.status, code = %error.code, "refused for now"),
                false => tracing::warn!(node, id = %request.path, status = error.status, code = %error.code, "refused"),
            }
            refused(turn, node, reason_of(&error), &error.code, &error.to_string(), waits, after)
        }
    }
}

/// What a person must mend is tried again after ten minutes, then ever more slowly, hourly at last.
fn slowly(attempt: i32) -> SignedDuration {
    SignedDuration::from_mins((10 << (attempt.clamp(1, 4) - 1)).min(60))
}

fn accepted<K: Kind>(turn: &mut Turn<'_, K>, node: &str, answer: &Answer, now: Timestamp) {
    let engine = turn.engine;
    let wait = engine.reader.asked_to_wait(answer).unwrap_or(SignedDuration::from_secs(30)).max(engine.bounds.read_every);
    let Some(record) = turn.subject.operations.get_mut(node) else { return };
    match Accepted::from_answer(answer) {
        // What it was to hand out did not come with it: it counts as lost (debts.rs).
        None if record.debt.as_ref().is_some_and(|debt| debt.secret.is_some()) => {}
        None => {
            record.ended_at = Some(now);
            record.outcome = Some(Outcome::Succeeded);
        }
        Some(taken) => {
            record.handle = taken.handle.as_ref().map(handle_of);
            record.next_poll = Some(now + wait);
            // What was known of an earlier request of that id is nothing of this one.
            let begun = Progress { link: taken.poll, next_poll: Some(now + wait), handle: record.handle.clone(), ..Progress::default() };
            engine.reader.memory.advance(&turn.key, &record.client_request_id, |p| *p = begun);
        }
    }
}

fn refused<K: Kind>(
    turn: &mut Turn<'_, K>,
    node: &str,
    reason: Reason,
    code: &str,
    message: &str,
    waits: bool,
    after: Option<SignedDuration>,
) -> bool {
    let engine = turn.engine;
    let now = engine.now();
    if let Some(record) = turn.subject.operations.get_mut(node).filter(|r| r.debt.is_some() && r.attempt > 1) {
        // Refused because the first one, of which nobody knew, may have opened after all: closed once more.
        (record.ended_at, record.outcome) = (Some(now), Some(Outcome::Lost));
        record.error = Some(error_of(Reason::ScriptsLost, code, message));
        return true;
    }
    if turn.subject.operations.get(node).is_some_and(|r| r.debt.is_some()) {
        // Nothing was opened: nothing is owed.
        turn.subject.operations.remove(node);
        engine.locks.release(&(turn.key.clone(), node.to_owned()));
        let until = now + after.unwrap_or(SignedDuration::from_mins(10)).max(engine.bounds.read_every);
        let put_off = PutOff { generation: turn.subject.meta.generation, reason, message: cut(message), until };
        engine.reader.memory.put_off(&turn.key, node, put_off);
        turn.met = Some(Met::new(reason, cut(message), Some(until)));
        return false;
    }
    if let Some(record) = turn.subject.operations.get_mut(node) {
        let wait = after.unwrap_or_else(|| engine.backoff(record.attempt)).max(engine.bounds.read_every);
        record.ended_at = Some(now);
        record.outcome = Some(Outcome::Refused);
        record.error = Some(RecordedError { waits, retry_at: Some(now + wait), ..error_of(reason, code, message) });
        engine.locks.release(&(turn.key.clone(), node.to_owned()));
    }
    true
}

fn names_guard(error: &ArmError) -> bool {
    let inner = error.details.iter().map(|detail| &detail.message);
    std::iter::once(&error.message).chain(inner).any(|message| message.to_ascii_lowercase().contains("resourceguard"))
}

/// The word that a refused request puts into the condition.
pub fn reason_of(error: &ArmError) -> Reason {
    let has = |codes: &[&str]| codes.iter().any(|c| error.has_code(c));
    match error.status {
        _ if has(&["ScopeLocked"]) => Reason::Locked,
        _ if has(&["RequestDisallowedByPolicy", "UserErrorRequestDisallowedByPolicy"]) => Reason::DeniedByPolicy,
        _ if has(&["MissingSubscriptionRegistration", "SubscriptionNotFound", "ReadOnlyDisabledSubscription"]) => {
            Reason::SubscriptionNotReady
        }
        _ if has(&["CloudDosAbsoluteLimitReached", "QuotaExceeded", "CloudDosTimeboudLimitReached"]) => Reason::QuotaReached,
        403 if names_guard(error) => Reason::ResourceGuarded,
        429 => Reason::Throttled,
        401 | 403 => Reason::AuthorizationFailed,
        409 | 412 => Reason::Busy,
        _ => Reason::RefusedByAzure,
    }
}
