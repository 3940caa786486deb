//! Looking: reads, job lists and polls that a plan asks for. Costs nothing but Azure's patience.

use std::collections::BTreeMap;

use breakwater_api::{
    Reason,
    operations::{Handle as ApiHandle, HandleFamily, Outcome, RecordedError},
};
use breakwater_arm::{Family, Handle, OperationState, OperationStatus, ResourceId, operation::poll_request, wire::Request};
use breakwater_plan::{
    graph::{Acted, Desired, Goal, Node, Proof, Repeat, Target},
    kind::Kind,
    planner::{Plan, Step, outcome_choice},
    questions::Approved,
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    act::{blank, error_of, use_answer},
    budget::Priority,
    handed::{HandedOver, handed_over},
    publish::Pause,
    reader::Looker,
    turn::Turn,
};

/// An operation that is younger is asked about only where Azure admits far more than was used: protecting a machine takes
/// 40 to 90 s, and Azure wants to be asked once a minute (backup.md §3.2).
const PATIENCE: SignedDuration = SignedDuration::from_secs(120);

/// Takes the steps that only look. True when something was learned and the plan must be made again.
pub async fn look<K: Kind>(turn: &mut Turn<'_, K>, desired: &Desired, plan: &Plan) -> bool {
    let Ok(by) = turn.access.clone() else { return false };
    let mut learned = false;
    let mut reads: Vec<ResourceId> = Vec::new();
    // The lists that the plan was made from: while this turn waits for its own, another one may read them.
    let listed: BTreeMap<&ResourceId, Option<Timestamp>> = plan.steps().filter_map(|(_, step)| jobs_seen(turn, &by, step)).collect();
    for (node, step) in plan.steps() {
        match step {
            Step::Read { id } if begins_without_jobs(turn, &by, desired.nodes.get(node), id) => learned = true,
            Step::Read { id } => reads.push(id.clone()),
            Step::Confirm { id } => {
                confirm(turn, node, id).await;
                learned = true;
            }
            Step::ListJobs { vault, since } => {
                turn.engine.reader.newer_jobs(&by, vault, *since, listed.get(vault).copied().flatten()).await;
                learned = true;
            }
            Step::Poll => {
                let goal = desired.nodes.get(node).map(|n| &n.goal);
                learned |= poll(turn, node, goal).await;
            }
            Step::Adopt { job } => learned |= adopt(turn, node, job, desired),
            Step::Named { job, approved } => learned |= recorded(turn, node, approved) && adopt(turn, node, job, desired),
            Step::Conclude(approved) => learned |= conclude(turn, node, approved),
            Step::Forget => {
                if let Some(record) = turn.subject.operations.remove(node) {
                    turn.engine.reader.memory.drop_progress(&turn.key, &record.client_request_id);
                    turn.engine.locks.release(&(turn.key.clone(), node.clone()));
                    if record.job.is_some() {
                        turn.subject.finished.insert(node.clone(), record);
                    }
                    learned = true;
                }
            }
            Step::Write(_) | Step::Create => {}
        }
    }
    reads.sort();
    reads.dedup();
    for id in reads {
        turn.engine.reader.read(&by, &id, turn.engine.now(), "").await;
        learned = true;
    }
    learned
}

/// The vault whose jobs a step lists, and when they were listed last.
fn jobs_seen<'p, K: Kind>(turn: &Turn<'_, K>, by: &Looker, step: &'p Step) -> Option<(&'p ResourceId, Option<Timestamp>)> {
    let Step::ListJobs { vault, .. } = step else { return None };
    let jobs = turn.engine.reader.memory.jobs(&by.identity.access, vault);
    Some((vault, jobs.and_then(|jobs| jobs.listed.last).map(|last| last.at)))
}

/// Whether a target would be read for an action that is proven by a list of jobs which cannot be had now.
fn begins_without_jobs<K: Kind>(turn: &Turn<'_, K>, by: &Looker, node: Option<&Node>, id: &ResourceId) -> bool {
    let Some(Node { goal: Goal::Acted(Acted { proof: Proof::Job(proof), .. }), .. }) = node else { return false };
    let (engine, now) = (turn.engine, turn.engine.now());
    !engine.reader.with_jobs(by, id, &proof.vault, now - engine.bounds.jobs_within)
}

/// Reads a target whose operation has ended, where reads are plenty. Else the next listing shows it, which is asked for
/// before its time; the object looks again when it came, and reads all the same when none did.
async fn confirm<K: Kind>(turn: &Turn<'_, K>, node: &str, id: &ResourceId) {
    let (engine, Ok(by)) = (turn.engine, &turn.access) else { return };
    if engine.reader.read_if_spare(by, id, engine.now(), "").await {
        return;
    }
    engine.list_soon(&by.identity.access, &turn.key, id);
    if let Some(record) = turn.subject.operations.get(node) {
        let ended = record.ended_at.unwrap_or(engine.now());
        engine.reader.memory.advance(&turn.key, &record.client_request_id, |p| p.next_poll = Some(ended + engine.bounds.listed_within));
    }
}

/// A person's word is in the audit record before it is used; used up with the next save.
fn recorded<K: Kind>(turn: &mut Turn<'_, K>, node: &str, approved: &Approved) -> bool {
    let (holder, now) = ((turn.key.clone(), node.to_owned()), turn.engine.now());
    let asker = turn.subject.asker();
    if let Err(e) = turn.engine.gate.record_answer(&holder, &asker.uid, asker.generation, approved) {
        tracing::error!(error = %e, "the audit record cannot be written: the answer is not used");
        turn.come_back(Some(now + turn.engine.backoff(3)));
        return false;
    }
    use_answer(turn, approved, now);
    true
}

/// A person says that it happened: kept as long as the object lives, so that it is never sent again.
fn conclude<K: Kind>(turn: &mut Turn<'_, K>, node: &str, approved: &Approved) -> bool {
    let Some(key) = turn.subject.operations.get(node).map(|record| record.key.clone()) else { return false };
    if turn.pause != Pause::None || !recorded(turn, node, approved) {
        return false;
    }
    turn.subject.choices.insert(outcome_choice(&key), approved.given.answer.clone());
    if let Some(record) = turn.subject.operations.remove(node) {
        turn.engine.reader.memory.drop_progress(&turn.key, &record.client_request_id);
        turn.engine.locks.release(&(turn.key.clone(), node.to_owned()));
    }
    true
}

/// Our job was found: followed from now on, under a record of its own where a rebuilt cluster has none.
fn adopt<K: Kind>(turn: &mut Turn<'_, K>, node: &str, job: &str, desired: &Desired) -> bool {
    if let Some(record) = turn.subject.operations.get_mut(node) {
        record.job = Some(job.to_owned());
        let (id, job) = (record.client_request_id.clone(), job.to_owned());
        turn.engine.reader.memory.advance(&turn.key, &id, |p| p.job = Some(job));
        return true;
    }
    let Some(Node { goal: Goal::Acted(acted), target: Target::Arm(_), locks, .. }) = desired.nodes.get(node) else { return false };
    let mut record = blank(turn, node, &acted.request, 1, &acted.key, turn.engine.now());
    record.job = Some(job.to_owned());
    record.locks = locks.iter().cloned().collect();
    if turn.engine.locks.take(&record.locks, &(turn.key.clone(), node.to_owned())).is_err() {
        turn.come_back(Some(turn.engine.now() + turn.engine.backoff(3)));
        return false;
    }
    turn.subject.operations.insert(node.to_owned(), record);
    true
}

/// Asks how an operation goes. True when the plan must be made again, which is always: at least the next poll moved.
async fn poll<K: Kind>(turn: &mut Turn<'_, K>, node: &str, goal: Option<&Goal>) -> bool {
    let Ok(by) = turn.access.clone() else { return false };
    let engine = turn.engine;
    let now = engine.now();
    let Some(record) = turn.subject.operations.get_mut(node) else { return false };
    let id = record.client_request_id.clone();
    let link = engine.reader.memory.progress(&turn.key, &id).link;
    let request = record.handle.as_ref().and_then(|handle| poll_of(handle, &record.target, link));
    let Some(request) = request else {
        // Only its link could be asked, and that died with an earlier process: the target itself is followed.
        engine.reader.memory.advance(&turn.key, &id, |p| p.lost = true);
        record.handle = None;
        return true;
    };
    // Most operations take longer than the first minute: who asks then asks twice, where reads are few.
    let patient = record.intent_at + PATIENCE;
    if now < patient && !engine.reader.spares(&Looker { priority: Priority::Spare, ..by.clone() }, &request) {
        engine.reader.memory.advance(&turn.key, &id, |p| p.next_poll = Some(patient));
        return true;
    }
    let answer = match engine.reader.poll(&by, &request).await {
        Ok(answer) => answer,
        // A link that is never followed tells nothing: the target itself is followed.
        Err(trouble) if request.link.is_some() && trouble.reason == Reason::RefusedByAzure => {
            tracing::warn!(node, why = trouble.message, "an operation cannot be asked about: its target is followed");
            engine.reader.memory.advance(&turn.key, &id, |p| (p.lost, p.link) = (true, None));
            record.handle = None;
            return true;
        }
        Err(trouble) => {
            engine.reader.memory.advance(&turn.key, &id, |p| p.next_poll = Some(trouble.until));
            return true;
        }
    };
    let wait = engine.reader.asked_to_wait(&answer).unwrap_or(SignedDuration::from_secs(30)).max(engine.bounds.read_every);
    match OperationStatus::parse(&answer) {
        Err(_) => engine.reader.memory.advance(&turn.key, &id, |p| p.next_poll = Some(now + wait)),
        Ok(status) => {
            let percent = status.percent.map(|p| p.clamp(0.0, 100.0) as i32);
            engine.reader.memory.advance(&turn.key, &id, |p| {
                p.next_poll = Some(now + wait);
                p.percent = percent;
                if let Some(link) = &status.next_poll {
                    p.link = Some(link.clone());
                }
            });
            match handed_over(turn, node, &status, &answer.body).await {
                HandedOver::Nothing => ended(turn, node, status, goal),
                HandedOver::Later => return true,
                HandedOver::Not => {}
            }
            if turn.subject.operations.get(node).is_some_and(|record| record.ended_at.is_some()) {
                engine.reader.memory.advance(&turn.key, &id, |p| p.next_poll = None);
            }
        }
    }
    true
}

/// The request that asks about an operation: by its handle where that is enough, else by its link. `path` is what was
/// sent to.
pub(crate) fn poll_of(handle: &ApiHandle, path: &str, link: Option<String>) -> Option<Request> {
    let family = match handle.family {
        HandleFamily::Backup => Family::Backup,
        HandleFamily::Vault => Family::Vault,
        HandleFamily::SiteRecovery => Family::SiteRecovery,
        HandleFamily::Validation => Family::Validation,
        HandleFamily::CrossRegion => Family::CrossRegion,
        HandleFamily::Arm | HandleFamily::Other(_) => Family::Arm,
    };
    let by_handle = Handle::new(family, handle.id.clone()).ok();
    let target: Option<ResourceId> = path.parse().ok().or_else(|| path.rsplit_once('/').and_then(|(id, _)| id.parse().ok()));
    by_handle.zip(target).and_then(|(h, t)| poll_request(&h, &t)).or_else(|| link.map(Request::follow))
}

fn ended<K: Kind>(turn: &mut Turn<'_, K>, node: &str, status: OperationStatus, goal: Option<&Goal>) {
    let engine = turn.engine;
    let now = engine.now();
    let Some(record) = turn.subject.operations.get_mut(node) else { return };
    // What nobody wants any more may still have a job: it is followed by it.
    let orphaned = goal.is_none() && record.verb == "act" && record.debt.is_none();
    let by_job = orphaned || matches!(goal, Some(Goal::Acted(Acted { proof: Proof::Job(_), .. })));
    // What happens once is never begun again by itself, however its operation ended; an unknown goal counts as once.
    let once =
        !matches!(goal, Some(Goal::Exists { .. } | Goal::Shared(_) | Goal::Gone { .. } | Goal::Acted(Acted { repeat: Repeat::Safe, .. })));
    match status.state {
        OperationState::InProgress => {}
        OperationState::Succeeded => {
            let job = status.job_id.clone().filter(|_| by_job);
            match &job {
                Some(job) => {
                    engine.reader.memory.advance(&turn.key, &record.client_request_id, |p| p.job = Some(job.clone()));
                    record.job = Some(job.clone());
                }
                None => {
                    record.ended_at = Some(now);
                    record.outcome = Some(Outcome::Succeeded);
                }
            }
        }
        OperationState::Gone => {
            engine.reader.memory.advance(&turn.key, &record.client_request_id, |p| p.lost = true);
            record.handle = None;
        }
        OperationState::Failed { code, message } => {
            let retry_at = (!once).then(|| now + engine.backoff(record.attempt).max(SignedDuration::from_mins(1)));
            record.ended_at = Some(now);
            record.outcome = Some(Outcome::Failed);
            record.error = Some(RecordedError { retry_at, ..error_of(Reason::RefusedByAzure, &code, &message) });
        }
        OperationState::Canceled => {
            record.ended_at = Some(now);
            record.outcome = Some(Outcome::Cancelled);
            let retry_at = (!once).then(|| now + SignedDuration::from_mins(10));
            let message = "the operation was cancelled in Azure";
            record.error = Some(RecordedError { retry_at, ..error_of(Reason::RefusedByAzure, "", message) });
        }
    }
}
