//! Jobs: what shows that something was done, and how it went (backup.md §11).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::backup::Run;
use super::item::Finding;
use super::lists::span_of;
use super::names::{ItemKey, NO_TIME, VAULT_TYPE, duration_text, time_text};
use super::operations::{Asked, Effect, Family};
use super::restore::RestoreRun;
use super::settings::Span;
use super::state::{Event, State, backup_error, refused};
use super::vault::{Vault, VaultPath};
use crate::wire::{Inbound, Neighbours, Reply};

/// `operation` of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobKind {
    Backup,
    ConfigureBackup,
    DisableBackup,
    Undelete,
    DeleteBackupData,
    Restore,
    CrossRegionRestore,
    MoveToArchive,
}

impl JobKind {
    fn name(self) -> &'static str {
        match self {
            JobKind::Backup => "Backup",
            JobKind::ConfigureBackup => "ConfigureBackup",
            JobKind::DisableBackup => "DisableBackup",
            JobKind::Undelete => "Undelete",
            JobKind::DeleteBackupData => "DeleteBackupData",
            JobKind::Restore => "Restore",
            JobKind::CrossRegionRestore => "CrossRegionRestore",
            // A guess: nobody recorded one.
            JobKind::MoveToArchive => "MoveRecoveryPoint",
        }
    }
}

/// `status` of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JobStatus {
    InProgress,
    Completed,
    CompletedWithWarnings,
    Failed,
    Cancelling,
    Cancelled,
}

impl JobStatus {
    fn name(self) -> &'static str {
        match self {
            JobStatus::InProgress => "InProgress",
            JobStatus::Completed => "Completed",
            JobStatus::CompletedWithWarnings => "CompletedWithWarnings",
            JobStatus::Failed => "Failed",
            JobStatus::Cancelling => "Cancelling",
            JobStatus::Cancelled => "Cancelled",
        }
    }

    pub fn is_running(self) -> bool {
        matches!(self, JobStatus::InProgress | JobStatus::Cancelling)
    }
}

/// What a job does by itself, step by step.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Nothing: it ends with its operation.
    Settled,
    Backup(Box<Run>),
    Restore(Box<RestoreRun>),
    /// The point of that name goes to the archive.
    Archive(String),
}

impl Work {
    pub fn backup(&self) -> Option<&Run> {
        if let Work::Backup(run) = self { Some(run) } else { None }
    }

    pub fn backup_mut(&mut self) -> Option<&mut Run> {
        if let Work::Backup(run) = self { Some(run) } else { None }
    }

    pub fn restore(&self) -> Option<&RestoreRun> {
        if let Work::Restore(run) = self { Some(run) } else { None }
    }

    pub fn restore_mut(&mut self) -> Option<&mut RestoreRun> {
        if let Work::Restore(run) = self { Some(run) } else { None }
    }
}

/// One job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub id: String,
    pub kind: JobKind,
    pub item: ItemKey,
    pub friendly_name: String,
    pub start: Timestamp,
    pub end: Option<Timestamp>,
    pub status: JobStatus,
    /// The caller's `x-ms-client-request-id`; a fresh GUID for what the schedule starts.
    pub activity_id: String,
    pub bag: Map<String, Value>,
    pub errors: Vec<Finding>,
    pub work: Work,
    /// Number of the next step; older step events are void.
    pub step: u64,
}

impl Job {
    pub fn new(
        id: String,
        kind: JobKind,
        item: ItemKey,
        friendly_name: String,
        start: Timestamp,
        activity_id: String,
        bag: Map<String, Value>,
    ) -> Self {
        Job {
            id,
            kind,
            item,
            friendly_name,
            start,
            end: None,
            status: JobStatus::InProgress,
            activity_id,
            bag,
            errors: Vec::new(),
            work: Work::Settled,
            step: 0,
        }
    }

    /// As in a list: without `extendedInfo`.
    pub fn summary(&self, vault: &Vault, now: Timestamp) -> Value {
        let mut properties = json!({
            "jobType": "AzureIaaSVMJob",
            "containerName": self.item.as_str(),
            "duration": duration_text(self.end.unwrap_or(now).duration_since(self.start)),
            "virtualMachineVersion": "Compute",
            "entityFriendlyName": self.friendly_name,
            "backupManagementType": "AzureIaasVM",
            "operation": self.kind.name(),
            "status": self.status.name(),
            "startTime": time_text(self.start),
            "activityId": self.activity_id,
        });
        if let Some(end) = self.end {
            properties["endTime"] = json!(time_text(end));
        }
        // Says nothing: it stays when the job is over (§11.1).
        if matches!(self.kind, JobKind::Backup | JobKind::Restore | JobKind::CrossRegionRestore) {
            properties["actionsInfo"] = json!(["Cancellable"]);
        }
        if !self.errors.is_empty() {
            properties["errorDetails"] = self.errors.iter().map(Finding::as_error).collect();
        }
        json!({"id": format!("{}/backupJobs/{}", vault.id, self.id), "name": self.id, "type": format!("{VAULT_TYPE}/backupJobs"), "properties": properties})
    }

    /// As in a GET.
    pub fn render(&self, vault: &Vault, now: Timestamp) -> Value {
        let mut body = self.summary(vault, now);
        if let Some(run) = self.work.restore() {
            body["properties"]["extendedInfo"] = run.extended_info(self.status, now);
            return body;
        }
        let mut info = json!({"tasksList": [], "propertyBag": self.bag});
        if let Some(run) = self.work.backup() {
            info["tasksList"] = run.tasks.iter().map(|task| task.render(now, self.end)).collect();
            info["internalPropertyBag"] = json!({"IsInstantRpJob": "True"});
            if let Some(percent) = run.progress().filter(|_| self.status.is_running()) {
                info["progressPercentage"] = json!(percent);
            }
        }
        body["properties"]["extendedInfo"] = info;
        body
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskStatus {
    NotStarted,
    InProgress,
    Completed,
    Failed,
    Cancelled,
}

/// One task of a job.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub id: &'static str,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub status: TaskStatus,
}

impl TaskStatus {
    pub fn name(self) -> &'static str {
        match self {
            TaskStatus::NotStarted => "NotStarted",
            TaskStatus::InProgress => "InProgress",
            TaskStatus::Completed => "Completed",
            TaskStatus::Failed => "Failed",
            TaskStatus::Cancelled => "Cancelled",
        }
    }
}

impl Task {
    fn render(&self, now: Timestamp, job_end: Option<Timestamp>) -> Value {
        let status = self.status.name();
        let time = |time: Option<Timestamp>| time.map_or_else(|| NO_TIME.to_owned(), time_text);
        let until = self.end.or(job_end).unwrap_or(now);
        let duration = self.start.map_or_else(|| "PT0S".to_owned(), |start| duration_text(until.duration_since(start)));
        json!({"taskId": self.id, "startTime": time(self.start), "endTime": time(self.end), "duration": duration, "status": status, "taskType": "Normal"})
    }
}

impl State {
    /// GET of a job. Restores in the secondary region are among those of the vault's own [recorded], with the same id and
    /// activity; below the region they have ids of its own (§14).
    pub(super) fn get_job(&self, path: &VaultPath, id: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        vault.jobs.get(&id.to_lowercase()).map_or_else(|| no_job(id), |job| Reply::json(200, job.render(vault, self.clock)))
    }

    /// Jobs of a vault, newest first.
    pub(super) fn list_jobs(&self, req: &Inbound, path: &VaultPath) -> Reply {
        self.list(req, path, |vault, terms, _| newest_first(vault.jobs.values(), terms), |(vault, now), job| job.summary(vault, now))
    }

    /// POST `…/cancel`: 202, then the job is `Cancelling` and ends `Cancelled`, or `CompletedWithWarnings` once there is a snapshot
    /// of a backup.
    pub(super) fn cancel_job(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, id: &str) -> Reply {
        let job_id = id.to_lowercase();
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(job) = vault.jobs.get(&job_id) else { return no_job(id) };
        let span = match &job.work {
            Work::Backup(_) => Some(self.settings.durations.cancel),
            // "Till the data transfer phase", documented: not once the machine is being made or changed.
            Work::Restore(run) if run.is_cancellable() => Some(self.settings.restore.durations.cancel),
            _ => None,
        };
        let Some(span) = span.filter(|_| job.status == JobStatus::InProgress) else {
            return refused(&self.settings.refusals.not_cancellable, "The job cannot be cancelled in its present state.");
        };
        let due = self.clock + span.pick(n.chance());
        let step = self.next_number();
        if let Some(job) = self.vault_mut(&path.key).and_then(|vault| vault.jobs.get_mut(&job_id)) {
            job.status = JobStatus::Cancelling;
            job.step = step;
        }
        self.after(due, Event::Job { vault: path.key.clone(), job: job_id.clone(), step });
        let operation = self.begin(n, &path.key, n.guid(), Family::Job(job_id), Effect::Accepted, Span::exactly(5));
        let base = format!("{}/backupJobs/{id}", path.raw);
        self.accepted(req, &format!("{base}/operationsStatus"), &format!("{base}/operationResults"), &operation)
    }

    /// A running job takes its next step, unless it went another way since that was planned.
    pub(super) fn step_job(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str, step: u64) {
        let job = self.vault(vault_key).and_then(|vault| vault.jobs.get(job_id));
        let Some(job) = job.filter(|job| job.step == step && job.status.is_running()) else { return };
        match &job.work {
            Work::Settled => {}
            Work::Backup(_) => self.step_backup(n, vault_key, job_id),
            Work::Restore(_) => self.step_restore(n, vault_key, job_id),
            Work::Archive(point) => {
                let point = point.clone();
                self.archived(vault_key, job_id, &point);
            }
        }
    }

    pub(super) fn job_mut(&mut self, vault_key: &str, job_id: &str) -> Option<&mut Job> {
        self.vault_mut(vault_key)?.jobs.get_mut(job_id)
    }

    /// `V/backupJobs/{job}/operationsStatus/{id}` and `…/operationResults/{id}`.
    pub(super) fn poll_job_operation(&self, req: &Inbound, path: &VaultPath, job: &str, id: &str, asked: Asked) -> Reply {
        self.poll_backup_operation(req, path, id, Some(&Family::Job(job.to_lowercase())), asked)
    }
}

/// The jobs that a filter lets through, newest first. `startTime` and `endTime` of the filter bound the start of the job;
/// without them all are shown (§4.5: a default window is not enforced by REST).
pub(super) fn newest_first<'a>(jobs: impl Iterator<Item = &'a Job>, terms: &BTreeMap<String, String>) -> Result<Vec<&'a Job>, Box<Reply>> {
    let inside = span_of(terms, ("starttime", "endtime"))?;
    let matches = |term: &str, value: &str| terms.get(term).is_none_or(|wanted| wanted.eq_ignore_ascii_case(value));
    let wanted = |job: &&Job| {
        matches("status", job.status.name())
            && matches("operation", job.kind.name())
            && matches("jobid", &job.id)
            && matches("backupmanagementtype", "AzureIaasVM")
            && inside(job.start)
    };
    let mut jobs: Vec<&Job> = jobs.filter(wanted).collect();
    jobs.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
    Ok(jobs)
}

/// The answer for a job that is not there: the code is a guess.
pub(super) fn no_job(id: &str) -> Reply {
    backup_error(404, "ResourceNotFound", format!("The job '{id}' was not found in the vault."))
}
