//! `RestoreRun`: one restore of a recovery point, exactly once for its key. The point is chosen once and saved; all that can
//! be known to go wrong is looked at, and Azure is asked, before anything is sent.

use breakwater_api::{Reason, RestoreRun, RestoreRunSpec, RestoreRunStatus, RunPhase, operations::Outcome};
use breakwater_arm::{
    bodies::validate_request,
    names,
    versions::VIRTUAL_MACHINES,
    wire::{Method, Request},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    restore_checks, restore_files, restore_made,
    restore_mark::{self, MARK},
    restore_paired, restore_report,
    restore_source::{self, POINT, Source, chosen, source},
    restore_target, restore_validation,
    run_jobs::Looked,
    runs, unreadable, vault_is_ours,
};
use crate::{
    facts::{Facts, Need},
    graph::{Acted, Counts, Desired, Goal, Hold, JobProof, Node, Ownership, Proof, Repeat},
    jobs::SeenJob,
    keys,
    kind::{Decided, Kind, Report, Restoring, Subject},
};

/// The node of the restore itself.
pub(super) const RESTORE: &str = "restore";

/// The node that stops the machine whose disks are replaced.
pub(super) const STOP: &str = "stop";

/// A run is begun within this of its creation, unless it says otherwise.
const EXPIRES_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// How long after that a machine that was stopped for it in time may still get its disks.
const STOPPED_FOR: SignedDuration = SignedDuration::from_hours(1);

impl Kind for RestoreRun {
    const NAME: &'static str = "RestoreRun";
    type Spec = RestoreRunSpec;
    type Status = RestoreRunStatus;

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        if is_over(s) {
            let machine = s.spec.from.recovery_point.protected_machine_ref.as_ref().map(|machine| machine.name.as_str());
            return runs::end_needs(s.spec.ttl_seconds_after_finished, &s.meta.namespace, machine);
        }
        let mut needs = restore_source::needs(s, known);
        let Ok(source) = source(s, known) else { return needs };
        if done_before(s, &source).is_some() {
            return needs;
        }
        if let Some(wanted) = &s.spec.to.files {
            needs.extend(restore_files::needs(s, wanted));
            return needs;
        }
        needs.extend(looked(s, &source).needs(&own(s, &source), known));
        match own(s, &source).name(seen_jobs(s, &source, known).as_deref()) {
            Some(name) => {
                let seen = seen_job(s, &source, known);
                needs.extend(match restore_paired::job_need(&source, &name, seen.as_ref()) {
                    Some(need) => Some(need),
                    None => runs::job_need(&source.vault, &name, seen.as_ref(), s.operations.contains_key(RESTORE), true),
                });
                if let Some(over) = seen.filter(|j| j.over) {
                    needs.extend(restore_made::needs(s, &source, known, &over));
                    needs.extend(restore_mark::bearer_need(s, &source, known, &over));
                }
            }
            // Azure has taken it, and its job is still to show.
            None if s.record(RESTORE).is_some_and(runs::is_begun) => {}
            // Also while an answer is lost: a second sending, if it comes to that, stands on what there is then.
            None => {
                let held = restore_checks::hold(s, &source, known).is_some();
                needs.extend(restore_target::needs(s, &source, held));
                needs.extend(restore_mark::need(s, &source));
                let ready = chosen(s).is_some() && !held;
                needs.extend(restore_paired::needs(&source, chosen(s).filter(|_| ready), known));
                needs.extend(
                    validation(s, &source, known).map(|request| restore_validation::need(request, stops(s, &source, known), known)),
                );
            }
        }
        needs
    }

    fn choose(s: &Subject<Self>, facts: &Facts) -> std::collections::BTreeMap<String, String> {
        let Ok(source) = source(s, facts) else { return std::collections::BTreeMap::new() };
        // What was begun elsewhere has its point already: choosing one now would tell of another.
        let known = || done_before(s, &source).is_some() || restore_mark::found(s, &source, facts).is_some();
        let begun = own(s, &source).name(seen_jobs(s, &source, facts).as_deref()).is_some() || known();
        // A mount has no job: what an earlier object of the same key mounted is closed by now, or a session that is refused.
        let listed = s.spec.to.files.is_some() || seen_jobs(s, &source, facts).is_some();
        let may = !begun && !is_over(s) && s.now < expires_at(s) && listed;
        let picked = restore_source::pick(s, &source, facts);
        picked.ok().filter(|_| may).map(|point| (POINT.to_owned(), point.name)).into_iter().collect()
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        desired(s, facts).map_err(|hold| restore_report::left_off(s, hold))
    }

    fn restoring(s: &Subject<Self>) -> Option<Restoring> {
        let begun = if s.status.job.is_some() { Restoring::Begun } else { Restoring::Awaited };
        (!is_over(s)).then_some(begun)
    }

    fn report(s: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report {
        restore_report::report(s, facts, decided)
    }

    const CLOSES: &'static [&'static str] = &["revokeInstantItemRecovery"];

    const LETS_GO: &'static str = "";

    fn nothing() -> Option<RestoreRunSpec> {
        serde_json::from_value(serde_json::json!({ "from": { "recoveryPoint": { "point": {} } }, "to": {} })).ok()
    }
}

/// What is wanted, as long as it is not over.
fn desired(s: &Subject<RestoreRun>, facts: &Facts) -> Result<Desired, Hold> {
    let mut graph = Desired::new();
    if is_over(s) {
        return Ok(graph);
    }
    let source = source(s, facts)?;
    if done_before(s, &source).is_some() {
        return Ok(graph);
    }
    if facts.resource(&source.vault).present().is_none() {
        return Err(unreadable(&source.vault, facts));
    }
    let job = seen_job(s, &source, facts);
    if job.is_none() && restore_mark::found(s, &source, facts).is_some() {
        return Ok(graph);
    }
    let mounted = s.spec.to.files.is_some() && restore_files::is_begun(s);
    let begun = mounted || s.status.job.is_some() || s.record(RESTORE).is_some_and(runs::is_begun);
    // What may have happened is followed, or asked about, also when its time is over.
    let open = s.record(RESTORE).is_some_and(runs::is_open);
    if job.is_none() && !begun && !open && s.now >= begins_until(s) {
        return Ok(graph);
    }
    if !begun
        && !open
        && let Some(hold) = restore_paired::hold(&source, facts)
    {
        return Err(hold);
    }
    // A point that was not chosen yet may still be looked at: in mode Plan none ever is.
    let name = match chosen(s) {
        Some(name) => name.to_owned(),
        None => restore_source::of_job(s, &source, facts).map_or_else(|| restore_source::pick(s, &source, facts), Ok)?.name,
    };
    let Some(point) = source.point(&name) else {
        return Err(Hold::stuck(Reason::InvalidSpec, format!("{name} is no name of a recovery point")));
    };
    if let Some(wanted) = &s.spec.to.files {
        return restore_files::desire(s, wanted, &source, facts, &name);
    }
    let body = restore_target::body(s, &source)?;
    let request = restore_checks::request(&source, facts, &point, &body);
    let before = own(s, &source).begun_before(job.as_ref());
    let hold = before.or_else(|| if job.is_some() { None } else { hold(s, &source, facts).or_else(|| refused(s)) });
    let hold = hold.map(|hold| restore_report::left_off(s, hold));
    let over = job.as_ref().is_some_and(|j| j.over) || s.finished.contains_key(RESTORE);
    let done = over || runs::said_to_have_happened(s, &key(s, &source));
    let stops = stops(s, &source, facts) && job.is_none() && !begun && !done;
    if stops {
        let node = Node::arm(source.machine.clone(), Goal::Acted(stop(s, &source, facts)), confirmed(&source));
        graph.node(STOP, node.locking(locks(s, &source)).held(hold.clone()).until(expires_at(s)));
    }
    let goal = Goal::Acted(restore(s, &source, request, done));
    let (vault, owner) = (source.vault.clone(), source.owner.clone());
    // In the other region nothing of a point can be read by its id: the vault is what must be there.
    let (point, ownership) = match &source.paired {
        Some(_) => (vault.clone(), Ownership::PointInRegion { vault, owner }),
        None => (point, Ownership::Point { vault, owner }),
    };
    let node = Node::arm(point.clone(), goal, ownership.clone()).locking(locks(s, &source)).held(hold).until(begins_until(s));
    graph.node(RESTORE, if stops { node.after(&[STOP]) } else { node });
    if let Some(over) = job.filter(|j| j.over) {
        if restore_made::is_awaited(s, &source, facts, &over) {
            let hold = Hold::wait(Reason::Settling, "the restore is done; waiting until Azure shows what it made");
            graph.node("made", Node::arm(point, Goal::Holds { met: false }, ownership).held(Some(hold)));
        } else if let Some(mark) = restore_mark::node(s, &source, facts, &over) {
            graph.node(MARK, mark);
        }
    }
    Ok(graph)
}

/// Whether nothing of it happens any more.
pub(super) fn is_over(s: &Subject<RestoreRun>) -> bool {
    s.status.phase.as_ref().is_some_and(RunPhase::is_over)
}

/// What the machine's own object remembers of another object of the same key that did it.
pub(super) fn done_before<'a>(s: &Subject<RestoreRun>, source: &'a Source) -> Option<&'a breakwater_api::runs::RunRecord> {
    let own = s.record(RESTORE).is_some() || s.status.job.is_some() || restore_files::is_begun(s);
    runs::done_before(source.memory.as_ref()?, &key(s, source)).filter(|_| !own)
}

/// From when on it is not begun any more.
pub(super) fn expires_at(s: &Subject<RestoreRun>) -> Timestamp {
    s.spec.expires_at.unwrap_or(s.meta.created + EXPIRES_AFTER)
}

/// The same, of a run whose machine was stopped for it in time: that was its first act, and it goes on.
pub(super) fn begins_until(s: &Subject<RestoreRun>) -> Timestamp {
    let more = if restore_report::stopped_at(s).is_some() { STOPPED_FOR } else { SignedDuration::ZERO };
    expires_at(s) + more
}

/// The once-key: the machine's item, and what the run says of itself or who it is and what it asks for.
pub(super) fn key(s: &Subject<RestoreRun>, source: &Source) -> String {
    let declared = match &s.spec.key {
        Some(key) => keys::hash(&["key", key]),
        None => {
            let spec = &s.spec;
            let mut asked = vec![
                json!(spec.from),
                json!(spec.to),
                json!(spec.staging),
                json!(spec.disk_access),
                json!(spec.disk_access_id),
                json!(spec.disk_encryption_set_id),
            ];
            // Fields of later versions count where they are set: the keys of runs without them stay what they were.
            asked.extend(spec.secured_vm_os_disk_encryption_set_id.as_ref().map(|set| json!({ "securedVmOsDiskEncryptionSetId": set })));
            keys::hash(&["object", &s.meta.namespace, &s.meta.name, &json!(asked).to_string()])
        }
    };
    // A mount and a restore of one key are two things.
    let what = if s.spec.to.files.is_some() { restore_files::MOUNT } else { RESTORE };
    keys::hash(&[what, &source.item.key(), &declared])[..32].to_owned()
}

fn restore(s: &Subject<RestoreRun>, source: &Source, request: Request, done: bool) -> Acted {
    let (vault, operation) = (source.jobs.clone(), restore_paired::operation(source).to_owned());
    Acted {
        request,
        proof: Proof::Job(JobProof { vault, operation, container: names::job_container(&source.machine), counts: Counts::Ours }),
        repeat: Repeat::Once,
        key: key(s, source),
        done,
        from: restore_paired::filled(source),
    }
}

/// The source, and the machine that is made: one operation at a time on either.
fn locks(s: &Subject<RestoreRun>, source: &Source) -> Vec<String> {
    let made = restore_target::new_machine(s, source).ok().flatten();
    [Some(source.machine.clone()), made].into_iter().flatten().map(|id| format!("machine:{}", id.key())).collect()
}

/// Whether the machine is stopped before its disks are replaced.
fn stops(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> bool {
    let asked = s.spec.to.replace_disks.as_ref().is_some_and(|wanted| wanted.stop_machine);
    let runs = restore_target::power(facts).is_some_and(|power| !restore_target::is_off(&power));
    asked && source.view.is_some() && (runs || s.operations.contains_key(STOP))
}

fn stop(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Acted {
    Acted {
        request: Request::new(Method::Post, format!("{}/deallocate", source.machine), VIRTUAL_MACHINES),
        proof: Proof::Field,
        repeat: Repeat::Safe,
        key: key(s, source),
        done: restore_target::power(facts).is_some_and(|power| restore_target::is_off(&power)),
        from: Vec::new(),
    }
}

fn confirmed(source: &Source) -> Ownership {
    Ownership::Confirmed { machine: source.machine.clone() }
}

/// What forbids to begin it.
fn hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    vault_is_ours(&source.vault, facts, &s.estate, &source.owner, &s.writer)
        .or_else(|| restore_checks::hold(s, source, facts))
        .or_else(|| looked(s, source).hold(facts))
        .or_else(|| restore_paired::allowed(source, facts))
        .or_else(|| validation(s, source, facts).and_then(|_| restore_validation::hold(facts, stops(s, source, facts))))
}

/// Azure's refusal, until it is tried again: told here where a machine was stopped for it, which a person must know as well.
fn refused(s: &Subject<RestoreRun>) -> Option<Hold> {
    let record = s.operations.get(RESTORE).filter(|record| record.outcome == Some(Outcome::Refused))?;
    let error = record.error.as_ref().filter(|error| error.retry_at.is_none_or(|at| at > s.now))?;
    let (reason, words) = runs::refusal(record).filter(|_| restore_report::stopped_at(s).is_some())?;
    let hold = Hold { until: error.retry_at, ..Hold::wait(reason, words) };
    Some(if error.waits { hold } else { Hold::stuck(reason, hold.message) })
}

/// Azure's own look at the restore, where one is wanted and all that we can see ourselves is well.
fn validation(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Request> {
    // Azure looks at restores in the vault's own region only.
    let ready = s.spec.validate_first && source.paired.is_none() && chosen(s).is_some() && restore_checks::hold(s, source, facts).is_none();
    let point = source.point(chosen(s)?)?;
    let body = restore_target::body(s, source).ok()?;
    ready.then(|| validate_request(&source.vault, &point, &body))
}

/// What this run has begun.
pub(super) fn own<'a>(s: &'a Subject<RestoreRun>, source: &Source) -> runs::Own<'a> {
    let record = s.record(RESTORE);
    runs::Own { estate: &s.estate, key: key(s, source), node: RESTORE, record, told: s.status.job.as_ref() }
}

/// The jobs that it looks through for its own.
pub(super) fn looked<'a>(s: &Subject<RestoreRun>, source: &'a Source) -> Looked<'a> {
    let begun = s.record(RESTORE).map(|o| o.intent_at).or_else(|| Some(s.status.job.as_ref()?.started_at.unwrap_or(s.meta.created)));
    Looked { vault: &source.jobs, machine: &source.machine, operation: restore_paired::operation(source), created: s.meta.created, begun }
}

/// The machine's jobs where this run's is; `None` while a list of them has not come.
pub(super) fn seen_jobs(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Vec<SeenJob>> {
    looked(s, source).jobs(facts)
}

/// The job that is this run, as the vault shows it.
pub(super) fn seen_job(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<SeenJob> {
    let (own, looked) = (own(s, source), looked(s, source));
    let name = || own.name(looked.jobs(facts).as_deref());
    own.seen(&looked, facts).or_else(|| restore_paired::job_seen(source, &name()?, facts))
}
