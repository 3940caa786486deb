//! What a `BackupRun` tells: how far it is, what came out of it.

use breakwater_api::{
    BackupRun, BackupRunStatus, OperationRecord, Reason, RunPhase, operations::RecordedError, protected_machine::RecoveryPoint,
};
use breakwater_arm::excerpt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    as_map,
    backup_run::{BACKUP, LISTED_WITHIN, expires_at, found, is_done_before, is_over, key, looked, of_record, own, retain_until, seen_job},
    machine_place::Site,
    protected_machine::points_of,
    recovery_points, runs, seconds,
};
use crate::{
    facts::Facts,
    jobs::SeenJob,
    kind::{Decided, Promise, Report, Subject},
    sighting::{Packed, Trouble},
};

/// Azure's clock, the job's and the point's need not agree to the second.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// How long it is tried to list the point of a job that is over, or of one that was over before this object was made.
const READABLE_WITHIN: SignedDuration = SignedDuration::from_hours(6);

/// Between two looks at what keeps a run from beginning.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(5);

/// The whole report.
pub(super) fn report(s: &Subject<BackupRun>, facts: &Facts, decided: Decided<'_>) -> Report {
    let mut status = s.status.clone();
    if !is_over(s) {
        status.expires_at = Some(seconds(expires_at(s)));
        status.retain_until = Some(retain_until(s));
        look(s, facts, &mut status);
        if status.phase == Some(RunPhase::Expired) {
            status.error = status.error.or_else(|| runs::kept_back(&s.status.shared));
        }
        status.finished_at = status.phase.as_ref().filter(|p| p.is_over()).map(|_| seconds(s.now));
    }
    let over = status.phase.as_ref().is_some_and(RunPhase::is_over);
    let promise = promise(s, &status, decided).last_if(over);
    let pending = status.phase == Some(RunPhase::Pending);
    // What a person mends around it shows when it is looked at again.
    let again = pending.then(|| (s.now + LOOK_EVERY).min(expires_at(s)));
    let end = runs::End {
        ttl: s.spec.ttl_seconds_after_finished,
        phase: status.phase.as_ref(),
        finished_at: status.finished_at,
        started_at: status.job.as_ref().and_then(|job| job.started_at),
        namespace: &s.meta.namespace,
        machine: Some(&s.spec.protected_machine_ref.name),
        key: status.key.as_deref(),
    };
    let remove_at = runs::removed_at(&end, facts);
    let next = [again, remove_at, end.look_again(facts, s.now)].into_iter().flatten().filter(|at| *at > s.now).min();
    Report { status: as_map(&status), promise, conditions: Vec::new(), owned: s.owned.clone(), next, remove_at }
}

/// Brings the status to what the vault shows.
fn look(s: &Subject<BackupRun>, facts: &Facts, status: &mut BackupRunStatus) {
    let record = s.record(BACKUP);
    status.job = status.job.take().or_else(|| runs::job_that_ended(s.finished.get(BACKUP)?));
    let expired = s.now >= expires_at(s);
    let before = status.phase.clone();
    status.phase = Some(if record.is_some() || status.job.is_some() { RunPhase::Running } else { RunPhase::Pending });
    if let Some((_, words)) = record.and_then(runs::refusal) {
        status.error = Some(words);
    }
    if s.meta.deleting && s.operations.get("cancel").is_some_and(is_asked) {
        status.cancel_asked_at = status.cancel_asked_at.or(Some(seconds(s.now)));
    }
    let found = found(s, facts);
    let Some(p) = found.as_ref().map_or_else(|_| of_record(s, facts), |(_, place)| Some(place.site.clone())) else {
        if record.is_none() && status.job.is_none() && expired {
            status.phase = Some(RunPhase::Expired);
        }
        return;
    };
    status.key = Some(key(s, &p));
    status.source = Some(runs::kept_source(&s.meta.namespace, &p.vault_view.meta, &p.machine));
    if let Ok((view, _)) = &found
        && let Some(done) = runs::done_before(view, &key(s, &p)).filter(|_| is_done_before(s, view, &p))
    {
        status.phase = Some(RunPhase::AlreadyDone);
        status.job = Some(runs::job_of_record(done));
        return;
    }
    let (seen, name) = (seen_job(s, &p, facts), own(s, &p).name(looked(s, &p).jobs(facts).as_deref()));
    // What was done before this object had anything to do with it.
    let was_done = record.is_none() && s.status.job.is_none() && before.is_none_or(|b| b == RunPhase::Pending);
    let Some(name) = name else {
        let said = runs::said_to_have_happened(s, &key(s, &p));
        let (own, looked) = (own(s, &p), looked(s, &p));
        let (listed, unclear) = (looked.listed_at(facts), own.is_unclear(&looked, facts));
        let at = runs::Unbegun { said, expired, listed, unclear, refused: status.error.is_some() };
        status.phase = Some(own.phase_without_job(&at));
        return;
    };
    let read = runs::job_read(&p.vault, &name, facts);
    status.job = Some(runs::told(&name, seen.as_ref(), read.as_ref(), s.status.job.as_ref()));
    status.phase = Some(RunPhase::Running);
    status.error = None;
    let Some(over) = seen.filter(|j| j.over) else { return };
    status.recovery_point = point(s, &p, facts).map(|mut point| {
        // A point of its own says nothing of its end; the job does.
        point.expires = point.expires.or_else(|| read.as_ref()?.properties.expiry().map(seconds));
        point
    });
    let ended = over.end.unwrap_or(s.now);
    let may_show = status.recovery_point.is_none() && may_still_show(s, &p, facts, ended);
    // What ended before this object was made has had its time: its point may have expired since.
    let was_done = was_done || (record.is_none() && ended + SLACK < s.meta.created && status.recovery_point.is_none());
    // A job that warns has done its work where its point is in the vault.
    let done = over.succeeded() || (is_completed(&over) && status.recovery_point.as_ref().is_some_and(|point| !is_snapshot(point)));
    status.phase = Some(match () {
        () if is_completed(&over) && may_show => RunPhase::Running,
        () if done && was_done => RunPhase::AlreadyDone,
        () if done && status.recovery_point.is_some() => RunPhase::Succeeded,
        () => RunPhase::Failed,
    });
    let failed = status.phase == Some(RunPhase::Failed);
    if failed || (done && !over.succeeded()) {
        let none =
            if failed && is_completed(&over) && status.recovery_point.is_none() { no_point(&p, facts, ended) } else { String::new() };
        let words = over.error.clone().unwrap_or_default();
        let told: String = format!("job {name} ended {}: {words}", over.status).trim_end_matches([':', ' ']).chars().take(600).collect();
        status.error = Some(format!("{told}{none}"));
    }
}

/// Whether Azure was asked to cancel: it took the request, or says that the job cannot be cancelled. What was refused for another
/// reason is sent again as long as the job runs.
fn is_asked(record: &OperationRecord) -> bool {
    let is_refusal = |error: &RecordedError| !error.waits && Reason::from_word(&error.reason) == Some(Reason::RefusedByAzure);
    let is_final = record.error.as_ref().is_none_or(is_refusal);
    record.handle.is_some() || record.next_poll.is_some() || (record.ended_at.is_some() && is_final)
}

/// Whether the job did its work, with warnings or without.
fn is_completed(job: &SeenJob) -> bool {
    job.status.starts_with("Completed")
}

/// Whether a point never reached the vault.
fn is_snapshot(point: &RecoveryPoint) -> bool {
    point.tiers == ["Snapshot"]
}

/// Why the list of points does not come, where it does not.
fn list_trouble<'f>(p: &Site, facts: &'f Facts) -> Option<&'f Trouble> {
    facts.lists.get(&points_of(&p.item))?.trouble.as_ref()
}

/// What is said of a job that is done and has no point.
fn no_point(p: &Site, facts: &Facts, ended: Timestamp) -> String {
    let listed = facts.listed_at(&points_of(&p.item));
    match list_trouble(p, facts).filter(|_| listed.is_none_or(|at| at < ended + LISTED_WITHIN)) {
        Some(trouble) => {
            let since = seconds(listed.unwrap_or(ended));
            format!(", and the recovery points could not be listed since {since}: {}", excerpt(&trouble.message, 300))
        }
        None => ", and Azure lists no recovery point of it".to_owned(),
    }
}

/// Whether the job did its work and its point is still to be listed.
pub(super) fn awaits_its_point(s: &Subject<BackupRun>, p: &Site, facts: &Facts) -> bool {
    let done = seen_job(s, p, facts).filter(|j| j.over && is_completed(j));
    done.is_some_and(|j| may_still_show(s, p, facts, j.end.unwrap_or(s.now))) && point(s, p, facts).is_none()
}

/// Whether the point of a job that ended then may still be listed: a list that could not be read says nothing, until it was
/// tried for long enough. That Azure answers too many questions passes, and is waited for.
fn may_still_show(s: &Subject<BackupRun>, p: &Site, facts: &Facts, ended: Timestamp) -> bool {
    let tried = s.now >= ended.max(s.meta.created) + READABLE_WITHIN;
    let given_up = tried && list_trouble(p, facts).is_some_and(|trouble| trouble.reason != Reason::Throttled);
    !given_up && facts.listed_at(&points_of(&p.item)).is_none_or(|at| at < ended + LISTED_WITHIN)
}

/// The recovery point that a job made: one job of a machine runs at a time, so what appeared while it ran is its own.
pub(super) fn point(s: &Subject<BackupRun>, p: &Site, facts: &Facts) -> Option<RecoveryPoint> {
    let job = seen_job(s, p, facts).filter(|j| j.over)?;
    let (start, end) = (job.start? - SLACK, job.end.unwrap_or(s.now) + SLACK);
    let bodies: Vec<Value> = facts.list(&points_of(&p.item))?.values().map(Packed::open).collect();
    let within = recovery_points::all(bodies.iter()).into_iter().filter(|point| point.at >= start && point.at <= end);
    within.filter(|point| !point.tiers.is_empty()).max_by_key(|point| point.at)
}

fn promise(s: &Subject<BackupRun>, status: &BackupRunStatus, decided: Decided<'_>) -> Promise {
    let words = status.error.clone().unwrap_or_default();
    let of_point = |point: &RecoveryPoint| {
        let until = point.expires.or(status.retain_until).map_or(String::new(), |at| format!(", kept until {at}"));
        format!("recovery point {} of {} is {} ({}){until}", point.name, point.at, point.consistency, point.tiers.join(" and "))
    };
    let again = "make a new BackupRun to try again";
    let anew = &runs::anew("BackupRun", s.spec.key.as_deref());
    match (&status.phase, &status.recovery_point) {
        (Some(RunPhase::Succeeded), Some(point)) => {
            let warned = if words.is_empty() { String::new() } else { format!("; {words}") };
            Promise::kept(Reason::Succeeded, format!("{}{warned}", of_point(point)))
        }
        (Some(RunPhase::Succeeded), None) => {
            Promise::kept(Reason::Succeeded, "a person said that this backup happened; its job is not known")
        }
        (Some(RunPhase::AlreadyDone), point) => {
            let job = || status.job.as_ref().map(|job| format!("job {} took it", job.name));
            let made = point.as_ref().map(of_point).or_else(job).unwrap_or_default();
            Promise::kept(
                Reason::AlreadyDone,
                format!("this backup had been taken before this object was made, and nothing was sent: {made}"),
            )
        }
        (Some(RunPhase::Expired), _) => runs::expired(status.expires_at, "nothing was sent", status.error.as_deref(), again),
        (Some(RunPhase::Failed), point) => failed(
            status,
            point.as_ref().map(|point| (is_snapshot(point), of_point(point))),
            &words,
            if status.job.is_some() { anew } else { again },
        ),
        _ => match decided {
            Err(hold) => Promise::broken(hold.reason, hold.message.clone()),
            Ok(_) if status.phase == Some(RunPhase::Pending) => Promise::broken(Reason::NotYetObserved, "the backup has not begun"),
            Ok(_) => {
                let job = status.job.as_ref().map_or(String::new(), |j| format!(" by job {}", j.name));
                Promise::broken(Reason::OperationRunning, format!("the backup is being taken{job}"))
            }
        },
    }
}

/// The words of a failure; of a point whether it is in a snapshot only.
fn failed(status: &BackupRunStatus, point: Option<(bool, String)>, words: &str, again: &str) -> Promise {
    let job_status = status.job.as_ref().and_then(|j| j.status.as_deref()).unwrap_or_default();
    let (reason, message) = match (status.job.is_some(), job_status, point) {
        (false, ..) => (Reason::RefusedByAzure, format!("Azure refused the backup, or failed to begin it: {words}; {again}")),
        (true, "Cancelled", _) => (Reason::JobCancelled, format!("{words}; {again}")),
        (true, _, Some((false, point))) => (Reason::JobFailed, format!("{words}; it left a point all the same: {point}; {again}")),
        (true, _, Some((true, point))) => {
            let message = format!(
                "{words}; its snapshot can be restored from as long as Azure keeps snapshots, but did not reach the vault: {point}; {again}"
            );
            (Reason::SnapshotOnly, message)
        }
        (true, "Completed" | "CompletedWithWarnings", None) => (Reason::NoRecoveryPoint, format!("{words}; {again}")),
        (true, ..) => (Reason::JobFailed, format!("{words}; {again}")),
    };
    Promise::broken(reason, message)
}
