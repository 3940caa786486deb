//! What a `RestoreRun` tells: the point, what Azure found, how far it is, what was made.

use breakwater_api::{
    Reason, RestoreRun, RestoreRunStatus, RunPhase,
    restore_run::{HandOff, Made},
};
use breakwater_arm::names::TAG_RESTORE;
use jiff::{SignedDuration, Timestamp};

use super::{
    as_map, hand_off, recovery_points, restore_files,
    restore_made::{self, disks_of_machine},
    restore_mark, restore_paired,
    restore_run::{RESTORE, STOP, begins_until, done_before, expires_at, is_over, key, looked, own, seen_job, seen_jobs},
    restore_source::{self, Source, chosen, source},
    restore_target, restore_validation, runs, seconds,
};
use crate::{
    facts::Facts,
    graph::Hold,
    jobs::SeenJob,
    kind::{Decided, Promise, Report, Subject},
};

/// Between two looks at what keeps a run from beginning.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(2);

/// The whole report.
pub(super) fn report(s: &Subject<RestoreRun>, facts: &Facts, decided: Decided<'_>) -> Report {
    let mut status = s.status.clone();
    if !is_over(s) {
        status.target = Some(target(s));
        status.expires_at = Some(seconds(expires_at(s)));
        look(s, facts, &mut status);
        if status.phase == Some(RunPhase::Expired) {
            status.error = status.error.or_else(|| runs::kept_back(&s.status.shared));
        }
        status.finished_at = status.phase.as_ref().filter(|p| p.is_over()).map(|_| seconds(s.now));
    }
    let over = status.phase.as_ref().is_some_and(RunPhase::is_over);
    let promise = promise(s, &status, decided).last_if(over);
    let pending = status.phase == Some(RunPhase::Pending);
    let end = runs::End {
        ttl: s.spec.ttl_seconds_after_finished,
        phase: status.phase.as_ref(),
        finished_at: status.finished_at,
        started_at: status.job.as_ref().and_then(|job| job.started_at).or_else(|| status.files.as_ref()?.mounted_at),
        namespace: &s.meta.namespace,
        machine: s.spec.from.recovery_point.protected_machine_ref.as_ref().map(|machine| machine.name.as_str()),
        key: status.key.as_deref(),
    };
    let remove_at = runs::removed_at(&end, facts);
    // What a person mends around it shows when it is looked at again.
    let again = pending.then(|| (s.now + LOOK_EVERY).min(begins_until(s)));
    let next = [again, remove_at, end.look_again(facts, s.now)].into_iter().flatten().filter(|at| *at > s.now).min();
    let conditions = restore_files::mounted(&status).into_iter().collect();
    Report { status: as_map(&status), promise, conditions, owned: s.owned.clone(), next, remove_at }
}

/// What it becomes, in a word and a name.
fn target(s: &Subject<RestoreRun>) -> String {
    let to = &s.spec.to;
    if let Some(files) = &to.files {
        return format!("files by Secret {}", files.secret_name);
    }
    match (&to.new_machine, &to.replace_disks, &to.disks) {
        (Some(new), ..) => format!("machine {} in {}", new.name, new.resource_group),
        (_, Some(replace), _) => format!("disks of {}", replace.confirm),
        (.., Some(disks)) => format!("disks in {}", disks.resource_group),
        _ => String::new(),
    }
}

/// Brings the status to what the vault shows.
fn look(s: &Subject<RestoreRun>, facts: &Facts, status: &mut RestoreRunStatus) {
    let record = s.record(RESTORE);
    status.job = status.job.take().or_else(|| runs::job_that_ended(s.finished.get(RESTORE)?));
    let expired = s.now >= begins_until(s);
    let before = status.phase.clone();
    status.phase = Some(if record.is_some() || status.job.is_some() { RunPhase::Running } else { RunPhase::Pending });
    if let Some((_, words)) = record.and_then(runs::refusal) {
        status.error = Some(words);
    }
    status.machine_stopped_at = stopped_at(s);
    let Ok(source) = source(s, facts) else {
        if let Some(wanted) = &s.spec.to.files {
            return restore_files::look(s, wanted, expired, status);
        }
        if record.is_none() && status.job.is_none() && expired {
            status.phase = Some(RunPhase::Expired);
        }
        return;
    };
    status.key = Some(key(s, &source));
    if s.spec.from.recovery_point.protected_machine_ref.is_some() {
        status.source = Some(runs::kept_source(&s.meta.namespace, &source.vault_view.meta, &source.machine));
    }
    status.target_id = restore_target::new_machine(s, &source).ok().flatten().map(|id| id.to_string());
    if let Some(done) = done_before(s, &source) {
        status.phase = Some(RunPhase::AlreadyDone);
        status.job = Some(runs::job_of_record(done)).filter(|_| s.spec.to.files.is_none());
        return;
    }
    point(s, &source, facts, status);
    if let Some(wanted) = &s.spec.to.files {
        return restore_files::look(s, wanted, expired, status);
    }
    status.validation = restore_validation::found(facts).filter(|_| s.spec.validate_first).or(status.validation.take());
    let jobs = seen_jobs(s, &source, facts);
    let name = own(s, &source).name(jobs.as_deref());
    // What the machine runs on until then, saved with the intent at the latest: later it may run on other disks already. Where no
    // list of jobs says that none is this run's, it may do so by now.
    let before_it = name.is_none() && jobs.is_some() && record.is_none_or(|record| record.intent_at >= s.now);
    if s.spec.to.replace_disks.is_some()
        && before_it
        && let Some(vm) = restore_made::vm(s, &source, facts)
    {
        status.old_disks = disks_of_machine(&vm);
    }
    let Some(name) = name else {
        if let Some(marked) = restore_mark::found(s, &source, facts) {
            status.phase = Some(RunPhase::AlreadyDone);
            status.made = vec![Made { id: marked.to_string(), lun: None }];
            return;
        }
        let said = runs::said_to_have_happened(s, &key(s, &source));
        let (own, looked) = (own(s, &source), looked(s, &source));
        let (listed, unclear) = (looked.listed_at(facts), own.is_unclear(&looked, facts));
        let at = runs::Unbegun { said, expired, listed, unclear, refused: status.error.is_some() };
        status.phase = Some(own.phase_without_job(&at));
        return;
    };
    // What was done before this object had anything to do with it.
    let was_done = record.is_none() && s.status.job.is_none() && before.is_none_or(|b| b == RunPhase::Pending);
    let seen = seen_job(s, &source, facts);
    let read = restore_paired::job_read(&source, &name, facts);
    status.job = Some(runs::told(&name, seen.as_ref(), read.as_ref(), s.status.job.as_ref()));
    status.phase = Some(RunPhase::Running);
    status.error = None;
    let Some(over) = seen.filter(|j| j.over) else { return };
    if restore_made::is_awaited(s, &source, facts, &over) || restore_mark::is_awaited(s, &source, facts, &over) {
        return;
    }
    ended(s, &source, facts, &over, was_done, status);
}

fn ended(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob, was_done: bool, status: &mut RestoreRunStatus) {
    status.made = restore_made::all(s, source, facts);
    status.old_disks = restore_made::taken_out(s, source, facts, over);
    let words = over.error.clone().unwrap_or_default();
    let told = format!("job {} ended {}: {words}", over.name, over.status).trim_end_matches([':', ' ']).chars().take(1000).collect();
    // Another object's old disks are not known here: of those only the job can tell.
    let shown = restore_made::shows(s, source, facts);
    // A job that ended with warnings did what the world shows.
    let did = over.status.starts_with("Completed") && shown;
    status.phase = Some(match () {
        () if (over.succeeded() || did) && was_done => RunPhase::AlreadyDone,
        () if did => RunPhase::Succeeded,
        () => RunPhase::Failed,
    });
    if !over.succeeded() || status.phase == Some(RunPhase::Failed) {
        status.error = Some(told);
    } else {
        status.error = restore_mark::missing(s, source, facts, over).map(|words| words.chars().take(1000).collect());
    }
    let room = hand_off::room(as_map(status).into_iter().map(|(field, value)| field.len() + value.to_string().len() + 4).sum());
    status.hand_off = Some(hand_off::terraform(&status.made, room)).filter(|t| !t.is_empty()).map(|terraform| HandOff { terraform });
}

/// The point: as it was chosen, or as it would be chosen now.
fn point(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, status: &mut RestoreRunStatus) {
    let own_points = restore_source::stranger(source, facts).is_none();
    let read = restore_source::read(s, source, facts).filter(|_| own_points).as_ref().and_then(recovery_points::of);
    let known = |name: &str| status.point.clone().filter(|p| p.name.eq_ignore_ascii_case(name));
    status.point = match chosen(s) {
        Some(name) => read.or_else(|| known(name)).or_else(|| restore_source::pick(s, source, facts).ok().filter(|p| p.name == name)),
        // What another object began has the point that its job tells, and no other.
        None if own(s, source).name(seen_jobs(s, source, facts).as_deref()).is_some() => {
            restore_source::of_job(s, source, facts).or(status.point.take())
        }
        None => restore_source::pick(s, source, facts).ok(),
    };
}

fn promise(s: &Subject<RestoreRun>, status: &RestoreRunStatus, decided: Decided<'_>) -> Promise {
    let again = "make a new RestoreRun to try again";
    let anew = &runs::anew("RestoreRun", s.spec.key.as_deref());
    let words = status.error.clone().unwrap_or_default();
    let files = s.spec.to.files.is_some();
    let of = status.point.as_ref().map_or(String::new(), |p| format!(" from the recovery point of {} ({})", p.at, p.consistency));
    match &status.phase {
        Some(RunPhase::Succeeded) if files => Promise::kept(Reason::Succeeded, format!("{}{of}", restore_files::over(status))),
        Some(RunPhase::Failed) if files => restore_files::failed(s, status, again),
        Some(RunPhase::Succeeded) if status.job.is_none() => {
            Promise::kept(Reason::Succeeded, "a person said that this restore happened; its job is not known")
        }
        Some(RunPhase::Succeeded) => {
            let warned = if words.is_empty() { String::new() } else { format!("; {words}") };
            Promise::kept(Reason::Succeeded, format!("{}{of}{warned}", restored(s, status)))
        }
        Some(RunPhase::AlreadyDone) if files => {
            let message = "the files of this key were mounted by another object before this one: nothing was sent";
            Promise::kept(Reason::AlreadyDone, message)
        }
        Some(RunPhase::AlreadyDone) if status.job.is_none() => {
            let marked = status.made.first().map_or("something", |made| &made.id);
            let message = format!(
                "{marked} bears the once-key of this restore (tag {TAG_RESTORE}): it had been done before this object was made, and nothing was \
                 sent; where that is wrong, take the tag off and make a new RestoreRun"
            );
            Promise::kept(Reason::AlreadyDone, message)
        }
        Some(RunPhase::AlreadyDone) => {
            let job = status.job.as_ref().map_or(String::new(), |job| format!("its job was {}", job.name));
            let what = if status.made.is_empty() { job } else { restored(s, status) };
            let message = format!("this restore had been done before this object was made, and nothing was sent: {what}{of}");
            Promise::kept(Reason::AlreadyDone, message)
        }
        Some(RunPhase::Expired) => {
            let sent = match status.machine_stopped_at {
                Some(_) => format!("the restore was not sent{}", is_left_off(s)),
                None => "nothing was sent".to_owned(),
            };
            runs::expired(status.expires_at, &sent, status.error.as_deref(), again)
        }
        Some(RunPhase::Failed) => failed(s, status, &words, if status.job.is_some() { anew } else { again }),
        _ => match decided {
            Err(hold) => Promise::broken(hold.reason, hold.message.clone()),
            Ok(_) if status.phase == Some(RunPhase::Pending) => {
                let what = if files { "mount" } else { "restore" };
                Promise::broken(Reason::NotYetObserved, format!("the {what} has not begun{}", is_left_off(s)))
            }
            Ok(_) if files => Promise::broken(Reason::OperationRunning, format!("{}{of}", restore_files::running(status))),
            Ok(_) => {
                let job = status.job.as_ref().map_or(String::new(), |j| format!(" by job {}", j.name));
                let is_over = status.job.as_ref().is_some_and(|job| job.ended_at.is_some());
                let marked = format!("the restore is done{job}{of}; what it made gets the tag {TAG_RESTORE}");
                let message = if is_over { marked } else { format!("the restore runs{job}{of}") };
                Promise::broken(Reason::OperationRunning, message)
            }
        },
    }
}

fn restored(s: &Subject<RestoreRun>, status: &RestoreRunStatus) -> String {
    let count = |made: &[Made]| made.iter().filter(|m| m.id.to_ascii_lowercase().contains("/disks/")).count();
    let disks = count(&status.made);
    match (&s.spec.to.new_machine, &s.spec.to.replace_disks) {
        (Some(new), _) => format!("machine {} was restored; disks restored: {disks}", new.name),
        (None, Some(replace)) => {
            let old = match status.old_disks.len() {
                0 => "its old disks are kept, and this object does not know them".to_owned(),
                n => format!("old disks kept: {n} (status.oldDisks)"),
            };
            format!("the disks of {} were replaced; disks restored: {disks}; {old}{}", replace.confirm, is_left_off(s))
        }
        (None, None) => format!("disks restored: {disks}"),
    }
}

/// When the machine was told to stop for its disks.
pub(super) fn stopped_at(s: &Subject<RestoreRun>) -> Option<Timestamp> {
    let told = || Some(seconds(s.operations.get(STOP).filter(|record| runs::is_begun(record))?.intent_at));
    s.status.machine_stopped_at.or_else(told)
}

/// What a person must know of a machine that was stopped for its disks.
fn is_left_off(s: &Subject<RestoreRun>) -> String {
    let stopped = s.spec.to.replace_disks.as_ref().zip(stopped_at(s));
    stopped.map_or(String::new(), |(wanted, at)| format!("; {} was stopped for it at {at} and is not started by this run", wanted.confirm))
}

/// The same, said with what keeps the restore from going on.
pub(super) fn left_off(s: &Subject<RestoreRun>, hold: Hold) -> Hold {
    Hold { message: format!("{}{}", hold.message, is_left_off(s)), ..hold }
}

fn failed(s: &Subject<RestoreRun>, status: &RestoreRunStatus, words: &str, again: &str) -> Promise {
    let left = match status.made.len() {
        0 => String::new(),
        n => format!("; left behind: {n} (status.made)"),
    };
    let job_status = status.job.as_ref().and_then(|j| j.status.as_deref()).unwrap_or_default();
    let (reason, message) = match (status.job.is_some(), job_status) {
        (false, _) => (Reason::RefusedByAzure, format!("Azure refused the restore, or failed to begin it: {words}")),
        (true, "Cancelled") => (Reason::JobCancelled, words.to_owned()),
        (true, status) if status.starts_with("Completed") => {
            (Reason::NothingMade, format!("{words}, and what it was to make is not there"))
        }
        (true, _) => (Reason::JobFailed, words.to_owned()),
    };
    Promise::broken(reason, format!("{message}{left}{}; {again}", is_left_off(s)))
}
