//! What runs on a machine have in common: the machine they name, the job that does their work, the end they came to.

use std::sync::Arc;

use breakwater_api::{
    BackupRun, ConditionType, OperationRecord, ProtectedMachine, Reason, RecoveryVault, RestoreRun, RestoreRunStatus, RunJob, RunPhase,
    RunTask, conditions,
    operations::Outcome,
    questions::HAPPENED,
    references::ObjectReference,
    runs::{MAX_REMEMBERED, MAX_TASKS, RunRecord, RunSource},
    status::SharedStatus,
};
use breakwater_arm::{ResourceId, bodies::Job, excerpt, names, redacted};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    machine_place::{Place, place_of, policy_of, vault_ref},
    no_such,
    run_jobs::Looked,
    seconds,
};
use crate::{
    facts::{Facts, Fresh, Need, ObjectRef},
    graph::Hold,
    jobs::SeenJob,
    kind::{Kind, Meta, Promise, Subject, View},
    once,
    planner::outcome_choice,
};

/// A machine's object as runs see it.
pub(super) type MachineView = View<ProtectedMachine>;

/// Between two looks at a job that runs.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(2);

/// How far Azure's clock may differ from what a job says: as `once` has it.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// The machine's object, in the run's own namespace.
pub(super) fn machine_ref(own: &str, name: &str) -> ObjectRef {
    ObjectRef { kind: ProtectedMachine::NAME, namespace: own.to_owned(), name: name.to_owned() }
}

/// What is needed to know where a machine's backups are.
pub(super) fn machine_needs(own: &str, name: &str, known: &Facts) -> Vec<Need> {
    let at = machine_ref(own, name);
    let mut needs = vec![Need::Object(at.clone()), Need::Namespace(own.to_owned())];
    let Some(machine) = known.object::<MachineView>(&at) else { return needs };
    let policy = policy_of(own, &machine.spec);
    needs.push(Need::Object(policy.clone()));
    let Some(policy) = known.object::<super::PolicyView>(&policy) else { return needs };
    needs.extend([Need::Object(vault_ref(&policy)), Need::Namespace(policy.meta.namespace.clone())]);
    needs
}

/// What a run keeps of where its machine's backups are.
pub(super) fn kept_source(own: &str, vault: &Meta, machine: &ResourceId) -> RunSource {
    let namespace = (vault.namespace != own).then(|| vault.namespace.clone());
    RunSource { vault_ref: ObjectReference { name: vault.name.clone(), namespace }, machine_id: machine.to_string() }
}

/// The vault's object that a run kept.
pub(super) fn vault_of(own: &str, source: &RunSource) -> ObjectRef {
    let namespace = source.vault_ref.namespace_from(own).to_owned();
    ObjectRef { kind: RecoveryVault::NAME, namespace, name: source.vault_ref.name.clone() }
}

/// Whether what a run kept is there.
pub(super) fn is_at(own: &str, kept: &RunSource, vault: &Meta, machine: &ResourceId) -> bool {
    let is_machine = kept.machine_id.parse::<ResourceId>().is_ok_and(|id| id == *machine);
    is_machine && kept.vault_ref.name == vault.name && kept.vault_ref.namespace_from(own) == vault.namespace
}

/// What a run is told whose machine's object points elsewhere since it was begun.
pub(super) fn moved(name: &str) -> Hold {
    let message =
        format!("ProtectedMachine {name} has its backups elsewhere since this run was begun, which is followed where status.source says");
    Hold::wait(Reason::DependencyNotReady, message)
}

/// The machine that a run names, and where its backups are.
pub(super) fn machine<K: Kind>(s: &Subject<K>, name: &str, facts: &Facts) -> Result<(Arc<MachineView>, Place), Hold> {
    machine_at(s, "spec.protectedMachineRef", name, facts)
}

/// The same, named in that field.
pub(super) fn machine_at<K: Kind>(s: &Subject<K>, field: &str, name: &str, facts: &Facts) -> Result<(Arc<MachineView>, Place), Hold> {
    let (own, at) = (s.meta.namespace.as_str(), machine_ref(&s.meta.namespace, name));
    let view = facts.object::<MachineView>(&at).ok_or_else(|| no_such(field, ProtectedMachine::NAME, name, own, own))?;
    // What is wrong there stands in fields of the machine's object, not of the run.
    let of_machine = |hold: Hold| Hold { message: format!("{} {name}: {}", ProtectedMachine::NAME, hold.message), ..hold };
    let place = place_of(&s.estate, own, &view.spec, facts).map_err(of_machine)?;
    Ok((view, place))
}

/// The hold of a run whose machine its access does not admit for that act: what a shared policy protects is not everybody's.
pub(super) fn not_granted<K: Kind>(s: &Subject<K>, act: &str, machine: &ResourceId) -> Option<Hold> {
    let grant = s.access.as_ref()?;
    (!grant.admits(act, machine)).then(|| {
        let message = format!("AzureAccess {} does not allow {act} on {machine}: add it to spec.allow", grant.name);
        Hold::stuck(Reason::AccessDenied, message)
    })
}

/// A machine's jobs in a vault, as they were listed; `None` while no list came.
pub(super) fn jobs(vault: &ResourceId, machine: &ResourceId, facts: &Facts) -> Option<Vec<SeenJob>> {
    let list = facts.jobs.get(vault)?.last.as_ref()?;
    Some(SeenJob::of(list, &names::job_container(machine)))
}

/// A job's own id.
pub(super) fn job_id(vault: &ResourceId, name: &str) -> Option<ResourceId> {
    vault.child("backupJobs", name).ok()
}

/// One job, read for what the list leaves out: while it runs now and then, and once more when it is over. Where only people use
/// that of one that succeeded (`for_people`), it is read where Azure admits far more reads of jobs than were used. One that no
/// list shows and no record follows is asked for by its name.
pub(super) fn job_need(vault: &ResourceId, name: &str, seen: Option<&SeenJob>, followed: bool, for_people: bool) -> Option<Need> {
    let fresh = match seen {
        Some(job) if job.over => {
            let ended = format!("{} {:?}", job.status, job.end);
            if for_people && job.succeeded() { Fresh::SpareVersion(ended) } else { Fresh::Version(ended) }
        }
        None if !followed => Fresh::Within(LOOK_EVERY),
        _ => Fresh::Spare(LOOK_EVERY),
    };
    Some(Need::Read { id: job_id(vault, name)?, fresh })
}

/// What was read of a job by its own id.
pub(super) fn job_read(vault: &ResourceId, name: &str, facts: &Facts) -> Option<Job> {
    let body: &Value = facts.read(&job_id(vault, name)?).into_present()?;
    Job::parse(body).ok()
}

/// The job of an operation that is no longer on record: its name stays in status, or nothing would tell that the run had begun.
pub(super) fn job_that_ended(record: &OperationRecord) -> Option<RunJob> {
    Some(RunJob { name: record.job.clone()?, ..RunJob::default() })
}

/// A job as status shows it: what is not known any more stays as it was.
pub(super) fn told(name: &str, seen: Option<&SeenJob>, read: Option<&Job>, before: Option<&RunJob>) -> RunJob {
    let mut job = before.filter(|b| b.name == name).cloned().unwrap_or_else(|| RunJob { name: name.to_owned(), ..RunJob::default() });
    if let Some(seen) = seen {
        job.status = Some(seen.status.clone()).filter(|s| !s.is_empty()).or(job.status);
        job.started_at = seen.start.map(seconds).or(job.started_at);
        job.ended_at = seen.end.map(seconds).filter(|_| seen.over);
        job.error = seen.error.as_ref().filter(|_| seen.over).map(|e| excerpt(e, 500));
    }
    if let Some(p) = read.map(|job| &job.properties) {
        job.percent = p.percent().map(|percent| (percent / 10.0) as i32 * 10).or(job.percent);
        let task = |(name, status): (&str, &breakwater_arm::Word)| RunTask { name: redacted(name, 120), status: Some(status.to_string()) };
        let tasks: Vec<RunTask> = p.tasks().map(task).take(MAX_TASKS).collect();
        if !tasks.is_empty() {
            job.tasks = tasks;
        }
        job.size_bytes = p.backup_size_bytes().and_then(|bytes| i64::try_from(bytes).ok()).or(job.size_bytes);
    }
    job
}

/// What a run has begun: by its once-key, its record and what its status told.
pub(super) struct Own<'a> {
    pub estate: &'a str,
    pub key: String,
    pub node: &'static str,
    pub record: Option<&'a OperationRecord>,
    pub told: Option<&'a RunJob>,
}

impl Own<'_> {
    /// The job's name: on record, in status, or by its request id in the vault's list.
    pub fn name(&self, jobs: Option<&[SeenJob]>) -> Option<String> {
        let on_record = self.record.and_then(|o| o.job.clone());
        on_record.or_else(|| Some(self.told?.name.clone())).or_else(|| Some(self.by_id(jobs?)?.name.clone()))
    }

    /// The job, as the vault's list shows it, or as it was read by its name where no list of late does.
    pub fn seen(&self, looked: &Looked<'_>, facts: &Facts) -> Option<SeenJob> {
        let named = |jobs: Vec<SeenJob>, name: &str| jobs.into_iter().find(|j| j.name.eq_ignore_ascii_case(name));
        let name = self.name(looked.jobs(facts).as_deref())?;
        let of_late = jobs(looked.vault, looked.machine, facts).and_then(|jobs| named(jobs, &name));
        let read = || Some(SeenJob::read(&name, facts.read(&job_id(looked.vault, &name)?).into_present()?));
        of_late.or_else(read).or_else(|| named(looked.earlier(facts)?, &name))
    }

    /// The job that carries one of this run's request ids.
    pub fn by_id<'j>(&self, jobs: &'j [SeenJob]) -> Option<&'j SeenJob> {
        once::job_of(self.estate, &self.key, self.node, jobs)
    }

    /// A run that had a job has begun, whatever a list shows by now: nothing is sent for it a second time. A job that the vault
    /// shows as its own is followed instead.
    pub fn begun_before(&self, seen: Option<&SeenJob>) -> Option<Hold> {
        let told = self.told.filter(|_| self.record.is_none())?;
        let own = seen.is_some_and(|j| self.by_id(std::slice::from_ref(j)).is_some());
        (!own).then(|| {
            let message = format!("job {} is this run's, and is waited for: nothing is sent a second time", told.name);
            Hold::wait(Reason::OperationRunning, message)
        })
    }

    /// How far a run is of which no job is known.
    pub fn phase_without_job(&self, at: &Unbegun) -> RunPhase {
        match self.record {
            _ if at.said => RunPhase::Succeeded,
            // A job may be its own all the same: a person is asked.
            Some(record) if was_taken(record) && at.unclear => RunPhase::Running,
            // Azure took it, it failed, and no job of it is there: what happens once is not begun again.
            Some(record) if has_failed(record, at.listed) => RunPhase::Failed,
            Some(record) if refusal(record).is_none() => RunPhase::Running,
            // Only a list of jobs can say that an earlier object of the same key did not do it.
            None if at.expired && at.listed.is_some() && at.refused => RunPhase::Failed,
            None if at.expired && at.listed.is_some() => RunPhase::Expired,
            _ => RunPhase::Pending,
        }
    }

    /// Whether the list of late shows a job that may be its own and does not say whose it is, as `once` has it.
    pub fn is_unclear(&self, looked: &Looked<'_>, facts: &Facts) -> bool {
        let Some(record) = self.record.filter(|record| !record.witness) else { return false };
        let begun = record.azure_date.map_or(record.intent_at, |azure| azure.min(record.intent_at));
        let container = names::job_container(looked.machine);
        let fits = |job: &SeenJob| {
            job.operation.eq_ignore_ascii_case(looked.operation)
                && job.container.eq_ignore_ascii_case(&container)
                && !record.known_jobs.contains(&job.name)
                && job.start.is_none_or(|at| at + CLOCKS_DIFFER >= begun)
        };
        jobs(looked.vault, looked.machine, facts).is_some_and(|jobs| jobs.iter().any(fits))
    }
}

/// What is known of a run without a job.
pub(super) struct Unbegun {
    /// A person said that it happened.
    pub said: bool,
    /// Its time is over.
    pub expired: bool,
    /// When the vault's jobs were listed, those of earlier days too.
    pub listed: Option<Timestamp>,
    /// Whether one of them may be its own.
    pub unclear: bool,
    /// Azure refused it.
    pub refused: bool,
}

/// Whether Azure took what has failed by now.
fn was_taken(record: &OperationRecord) -> bool {
    matches!(record.outcome, Some(Outcome::Failed | Outcome::Cancelled))
}

/// Whether an operation that Azure took has failed, and the jobs were listed since.
fn has_failed(record: &OperationRecord, listed: Option<Timestamp>) -> bool {
    was_taken(record) && listed.is_some_and(|at| record.ended_at.is_none_or(|ended| at >= ended))
}

/// When a run's object is to be deleted: when it succeeded, and its machine remembers that. Any other would only be made again by
/// whatever applies it: what found its work done would find it done again, for ever; what failed or was too late would be so again,
/// until Azure has forgotten the job, and then be done without a word; and what nobody else remembers would be done twice.
pub(super) fn removed_at(end: &End<'_>, facts: &Facts) -> Option<Timestamp> {
    let ttl = end.ttl.filter(|_| end.phase == Some(&RunPhase::Succeeded))?;
    let at = end.finished_at? + SignedDuration::from_secs(i64::from(ttl));
    end.is_remembered(facts).then_some(at)
}

/// What is asked for when a run is over: whether its machine remembers it.
pub(super) fn end_needs(ttl: Option<i32>, own: &str, machine: Option<&str>) -> Vec<Need> {
    ttl.and(machine).map(|name| Need::Object(machine_ref(own, name))).into_iter().collect()
}

/// How a run ended.
pub(super) struct End<'a> {
    /// How long its object is kept then.
    pub ttl: Option<i32>,
    pub phase: Option<&'a RunPhase>,
    pub finished_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub namespace: &'a str,
    /// The machine's object; none where the run names the machine by its id.
    pub machine: Option<&'a str>,
    pub key: Option<&'a str>,
}

impl End<'_> {
    /// Whether the machine's object remembers it; one that is gone cannot.
    fn is_remembered(&self, facts: &Facts) -> bool {
        let (Some(name), Some(key)) = (self.machine, self.key) else { return false };
        let at = machine_ref(self.namespace, name);
        match facts.object::<MachineView>(&at) {
            Some(view) => {
                let runs = &view.status.runs;
                // Of many runs the oldest are forgotten in time: this one was remembered before.
                let is_later = |run: &RunRecord| self.started_at.is_some_and(|at| run.at.is_some_and(|other| other > at));
                let is_past = runs.len() >= MAX_REMEMBERED && runs.iter().all(is_later);
                is_past || runs.iter().any(|run| run.key == key && run.result.is_some())
            }
            None => facts.objects.contains_key(&at),
        }
    }

    /// When it is looked at again, where it is to go and is not remembered yet: soon, or it is not going to be (a run that a person
    /// says happened names no job).
    pub fn look_again(&self, facts: &Facts, now: Timestamp) -> Option<Timestamp> {
        let finished = self.finished_at?;
        let is_to_go = self.phase == Some(&RunPhase::Succeeded) && self.ttl.is_some() && self.machine.is_some();
        let waits = is_to_go && removed_at(self, facts).is_none();
        let soon = now.duration_since(finished) < SignedDuration::from_mins(10);
        let after = if soon { SignedDuration::from_secs(30) } else { SignedDuration::from_hours(1) };
        waits.then_some(now + after)
    }
}

/// Whether Azure may work on what a record says: it was not certainly refused, and did not fail.
pub(super) fn is_begun(record: &OperationRecord) -> bool {
    let taken = record.job.is_some() || record.handle.is_some() || record.next_poll.is_some() || record.ended_at.is_some();
    taken && record.error.is_none()
}

/// Why an operation certainly did not happen, in Azure's words.
pub(super) fn refusal(record: &OperationRecord) -> Option<(Reason, String)> {
    let error = record.error.as_ref()?;
    let refused = matches!(record.outcome, Some(Outcome::Refused | Outcome::Failed | Outcome::Cancelled));
    refused.then(|| (Reason::from_word(&error.reason).unwrap_or(Reason::RefusedByAzure), error.message.clone()))
}

/// Whether what a record says may have happened: it is followed, or asked about, also when the run's time is over.
pub(super) fn is_open(record: &OperationRecord) -> bool {
    refusal(record).is_none() || was_taken(record)
}

/// What kept a run from beginning until its time was over, as its `Ready` says still.
pub(super) fn kept_back(shared: &SharedStatus) -> Option<String> {
    const SAY_NOTHING: [Reason; 4] = [Reason::OperationRunning, Reason::NotYetObserved, Reason::Acting, Reason::Expired];
    let ready = conditions::find(&shared.conditions, ConditionType::Ready).filter(|ready| ready.status != "True")?;
    let is_word = Reason::from_word(&ready.reason).is_none_or(|reason| !SAY_NOTHING.contains(&reason));
    Some(excerpt(&ready.message, 500)).filter(|message| is_word && !message.is_empty())
}

/// How a run that failed is tried again: another object of its key finds the same job, and ends as this one.
pub(super) fn anew(kind: &str, key: Option<&str>) -> String {
    let other = if key.is_some() { "another spec.key" } else { "another name" };
    format!("make a {kind} with {other} to try again")
}

/// The last word of a run that was not begun in time.
pub(super) fn expired(until: Option<Timestamp>, sent: &str, why: Option<&str>, again: &str) -> Promise {
    let until = until.unwrap_or_default();
    let why = why.map_or(String::new(), |why| format!("; what kept it: {why}"));
    Promise::broken(Reason::Expired, format!("not begun by {until}, and not begun any more: {sent}{why}; {again}"))
}

/// The runs on a machine that its own object remembers: those that it knew, and what their objects say by now.
pub(super) fn remembered(s: &Subject<ProtectedMachine>, facts: &Facts) -> Vec<RunRecord> {
    let mut all = s.status.runs.clone();
    let own = s.meta.namespace.as_str();
    for view in facts.objects::<View<BackupRun>>(BackupRun::NAME, own) {
        let st = &view.status;
        note(&mut all, record_of(BackupRun::NAME, &view.meta.name, (&st.key, &st.job, &st.phase)));
    }
    for view in facts.objects::<View<RestoreRun>>(RestoreRun::NAME, own) {
        let st = &view.status;
        let by_job = record_of(RestoreRun::NAME, &view.meta.name, (&st.key, &st.job, &st.phase));
        let record = by_job.map(|record| RunRecord { made: st.target_id.clone(), ..record });
        note(&mut all, record.or_else(|| record_of_mount(&view.meta.name, st)));
    }
    all.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.key.cmp(&b.key)));
    all.truncate(MAX_REMEMBERED);
    all
}

/// A mount has no job: it counts as done when it stood.
fn record_of_mount(name: &str, status: &RestoreRunStatus) -> Option<RunRecord> {
    let files = status.files.as_ref()?;
    let result = files.closed_at.map(|_| "Completed".to_owned());
    let (key, at) = (status.key.clone()?, files.mounted_at?);
    Some(RunRecord { key, run: format!("{} {name}", RestoreRun::NAME), job: MOUNT_JOB.to_owned(), result, at: Some(at), made: None })
}

/// How a job ended that did its work, in Azure's word.
const DONE: &str = "Completed";

/// What stands where a job's name would.
const MOUNT_JOB: &str = "file-recovery";

type Told<'a> = (&'a Option<String>, &'a Option<RunJob>, &'a Option<RunPhase>);

/// What a run's status says of the job that it started itself.
fn record_of(kind: &str, name: &str, (key, job, phase): Told<'_>) -> Option<RunRecord> {
    let (key, job) = (key.as_ref()?, job.as_ref()?);
    // With warnings a job may have done its work, or left half of it: the run knows.
    let done = (*phase == Some(RunPhase::Succeeded)).then(|| DONE.to_owned());
    let result = done.or_else(|| job.status.clone()).filter(|_| job.ended_at.is_some());
    let own = *phase != Some(RunPhase::AlreadyDone);
    own.then(|| RunRecord {
        key: key.clone(),
        run: format!("{kind} {name}"),
        job: job.name.clone(),
        result,
        at: job.started_at,
        made: None,
    })
}

fn note(all: &mut Vec<RunRecord>, record: Option<RunRecord>) {
    let Some(record) = record else { return };
    match all.iter_mut().find(|known| known.key == record.key) {
        Some(known) => *known = record,
        None => all.push(record),
    }
}

/// The run of that key that the machine's object remembers as done. What was mounted was handed out, closed or not.
pub(super) fn done_before<'a>(view: &'a MachineView, key: &str) -> Option<&'a RunRecord> {
    let done = |r: &RunRecord| r.job == MOUNT_JOB || r.result.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(DONE));
    view.status.runs.iter().find(|r| r.key == key && done(r))
}

/// The job of a run that was done before, as far as it is remembered.
pub(super) fn job_of_record(record: &RunRecord) -> RunJob {
    RunJob { name: record.job.clone(), status: record.result.clone(), started_at: record.at, ..RunJob::default() }
}

/// The runs that name a machine, by its object or by its id.
pub(super) fn runs_on(own: &str, name: &str, machine: &str) -> [Need; 2] {
    [BackupRun::NAME, RestoreRun::NAME].map(|kind| Need::Objects {
        kind,
        namespace: own.to_owned(),
        naming: Some(vec![("protectedMachineRef", name.to_owned()), ("machineId", machine.to_owned())]),
    })
}

/// Whether a person said that the action of that key happened.
pub(super) fn said_to_have_happened<K: Kind>(s: &Subject<K>, key: &str) -> bool {
    s.choices.get(&outcome_choice(key)).is_some_and(|word| word == HAPPENED)
}
