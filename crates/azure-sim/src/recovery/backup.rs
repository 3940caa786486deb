//! Backups: on demand and by schedule, from snapshot to vault (backup.md §9, §10, §11).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};

use super::archive::Archive;
use super::item::{BackupResult, Finding, Health, HealthStatus, Item, Protection};
use super::jobs::{Job, JobKind, JobStatus, Task, TaskStatus, Work};
use super::names::{ItemKey, us_text};
use super::operations::{Effect, Family};
use super::points::{Life, Point, Taken, Tier};
use super::protect::{item_key, no_item};
use super::schedule::{Slot, instant_days};
use super::settings::BackupTasks;
use super::state::{Event, State, backup_error, refused};
use super::vault::VaultPath;
use crate::wire::{Inbound, Neighbours, Reply};

/// How long on-demand points live when the request does not say (§10).
const ON_DEMAND_LIFE: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How soon a backup of a machine that is gone fails. A guess.
const GONE_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// Where in a backup something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Task "Take Snapshot".
    Snapshot,
    /// Task "Transfer data to vault": there is an instant-only point by now.
    Transfer,
    /// Task "Validate Backup".
    Validate,
}

/// Why a backup runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    OnDemand { until: Timestamp },
    Scheduled { slot: Slot },
}

/// A backup under way.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub origin: Origin,
    pub phase: Phase,
    pub tasks: Vec<Task>,
    /// What the snapshot holds; `None` when the machine was gone.
    pub taken: Option<Taken>,
    /// Name of the point it made.
    pub point: Option<String>,
    /// Fails at the end of that phase.
    pub doom: Option<(Phase, Finding)>,
}

impl Run {
    /// `progressPercentage`: 50.0 while transferring and 100.0 while the third task still runs, as recorded (§11.2).
    pub fn progress(&self) -> Option<f64> {
        match self.phase {
            Phase::Snapshot => None,
            Phase::Transfer => Some(50.0),
            Phase::Validate => Some(100.0),
        }
    }

    fn task(&mut self) -> &mut Task {
        let index = match self.phase {
            Phase::Snapshot => 0,
            Phase::Transfer => 1,
            Phase::Validate => 2,
        };
        &mut self.tasks[index]
    }

    fn close(&mut self, status: TaskStatus, now: Timestamp) {
        let task = self.task();
        task.status = status;
        task.end = Some(now);
    }

    fn open(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        let task = self.task();
        task.status = TaskStatus::InProgress;
        task.start = Some(now);
    }
}

impl State {
    /// POST `I/backup`: the operation succeeds at once, the job goes on (§10).
    pub(super) fn post_backup(&mut self, n: &dyn Neighbours, req: &Inbound, path: &VaultPath, container: &str, item: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(key) = item_key(container, item).filter(|key| vault.items.contains_key(key)) else { return no_item() };
        let until = match self.check_backup(req, path, &key) {
            Ok(until) => until,
            Err(refusal) => return *refusal,
        };
        let (now, limit) = (self.clock, self.settings.limits.on_demand_backups);
        let item = self.item_mut(&path.key, &key).expect("looked up above");
        if !item.on_demand.admit(now, limit) {
            return refused(
                &self.settings.refusals.on_demand_backups,
                "The limit of on-demand backups of this item in 24 hours is reached.",
            );
        }
        let activity = req.client_request_id().map_or_else(|| n.guid(), str::to_owned);
        let job = self.start_backup(n, &path.key, &key, Origin::OnDemand { until }, activity);
        let span = self.settings.durations.backup_accept;
        let id = self.begin(n, &path.key, n.guid(), Family::Item(key), Effect::Accepted, span);
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.job = job;
        }
        let raw = req.raw_path();
        let base = raw.strip_suffix("/backup").unwrap_or_else(|| raw.rsplit_once('/').map_or(raw.as_str(), |(base, _)| base));
        self.accepted(req, &format!("{base}/operationsStatus"), &format!("{base}/operationResults"), &id)
    }

    fn check_backup(&self, req: &Inbound, path: &VaultPath, key: &ItemKey) -> Result<Timestamp, Box<Reply>> {
        let refusals = &self.settings.refusals;
        let vault = self.vault(&path.key).expect("the caller looked it up");
        let item = &vault.items[key];
        if req.body["properties"]["objectType"] != "IaasVMBackupRequest" {
            return Err(Box::new(backup_error(400, "UserErrorInvalidRequestParameter", "The object type of the request is not valid.")));
        }
        let until = match req.body["properties"]["recoveryPointExpiryTimeInUTC"].as_str() {
            None => self.clock + ON_DEMAND_LIFE,
            Some(text) => text
                .parse()
                .map_err(|_| Box::new(backup_error(400, "UserErrorInvalidRequestParameter", format!("'{text}' is not a time."))))?,
        };
        if item.soft_deleted.is_some() {
            return Err(Box::new(refused(&refusals.soft_deleted, "The item is in soft deleted state. Undelete it first.")));
        }
        if !item.state.backs_up() {
            return Err(Box::new(refused(&refusals.stopped, "Backup is not possible while protection is stopped.")));
        }
        if vault.busy.contains_key(key) {
            return Err(Box::new(refused(
                &refusals.item_busy,
                "Another operation is in progress on this item. Wait for it to end and try again.",
            )));
        }
        if item.running.is_some() {
            return Err(Box::new(refused(&refusals.backup_running, "A backup of this item is in progress.")));
        }
        Ok(until)
    }

    /// Starts the backup job of an item; its id, or `None` when the item is gone.
    pub(super) fn start_backup(
        &mut self,
        n: &dyn Neighbours,
        vault_key: &str,
        key: &ItemKey,
        origin: Origin,
        activity: String,
    ) -> Option<String> {
        let now = self.clock;
        let three = self.settings.backup_tasks == BackupTasks::Three;
        let (id, step) = (n.guid(), self.next_number());
        let vault = self.vault_mut(vault_key)?;
        let item = vault.items.get(key)?;
        let policy = item.policy.as_deref().and_then(|name| vault.policy(name));
        let crash_only = policy.is_some_and(|policy| policy.properties["snapshotConsistencyType"] == "OnlyCrashConsistent");
        let machine = n.machine(&item.source_id);
        let taken = machine.map(|machine| {
            let time = now + SignedDuration::from_millis(4400);
            Taken::of(&machine, n.tags(&machine.id), item.extended.as_ref(), item.generation, crash_only, time)
        });
        let until = match origin {
            Origin::OnDemand { until } => Some(until),
            Origin::Scheduled { slot } => policy.and_then(|policy| Some(policy.retention()?.keep(now, &slot)?.until)),
        };
        let mut bag = Map::new();
        bag.insert("VM Name".to_owned(), json!(item.friendly_name));
        bag.insert("Recovery Point Expiry Time in UTC".to_owned(), json!(until.map(us_text)));
        let mut names = vec!["Take Snapshot", "Transfer data to vault"];
        if three {
            // Both came with 2026 [recorded].
            names.push("Validate Backup");
            bag.insert("VM Subscription ID".to_owned(), json!(item.source_id.split('/').nth(2)));
        }
        let tasks = names.into_iter().map(|id| Task { id, start: None, end: None, status: TaskStatus::NotStarted }).collect();
        let mut run = Run { origin, phase: Phase::Snapshot, tasks, taken, point: None, doom: None };
        run.open(Phase::Snapshot, now);
        let gone = run.taken.is_none();
        let mut job = Job::new(id.clone(), JobKind::Backup, key.clone(), item.friendly_name.clone(), now, activity, bag);
        job.work = Work::Backup(Box::new(run));
        job.step = step;
        vault.jobs.insert(id.clone(), job);
        if let Some(item) = vault.items.get_mut(key) {
            item.running = Some(id.clone());
        }
        let due = now + if gone { GONE_AFTER } else { self.settings.durations.snapshot.pick(n.chance()) };
        self.after(due, Event::Job { vault: vault_key.to_owned(), job: id.clone(), step });
        Some(id)
    }

    /// Plans the next scheduled backup of an item anew; none while it does not back up.
    pub(super) fn plan_backup(&mut self, n: &dyn Neighbours, vault_key: &str, key: &ItemKey) {
        let from = self.clock;
        self.plan_after(n, vault_key, key, from);
    }

    fn plan_after(&mut self, n: &dyn Neighbours, vault_key: &str, key: &ItemKey, from: Timestamp) {
        let generation = self.next_number();
        let now = self.clock;
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let Some(item) = vault.items.get_mut(key) else { return };
        item.schedule = generation;
        let backs_up = item.state.backs_up() && item.soft_deleted.is_none();
        let policy = item.policy.clone().filter(|_| backs_up);
        let slot = policy.and_then(|name| vault.policy(&name)?.schedule()?.next_after(from));
        if let Some(slot) = slot {
            let due = (slot.at + self.settings.durations.schedule_jitter.pick(n.chance())).max(now);
            self.after(due, Event::Backup { vault: vault_key.to_owned(), item: key.clone(), generation, slot });
        }
    }

    /// The schedule asks for a backup. One that still runs makes it skip the turn (a guess).
    pub(super) fn run_schedule(&mut self, n: &dyn Neighbours, vault_key: &str, key: &ItemKey, generation: u64, slot: Slot) {
        let Some(item) = self.item(vault_key, key).filter(|item| item.schedule == generation) else { return };
        if item.running.is_none() {
            self.start_backup(n, vault_key, key, Origin::Scheduled { slot }, n.guid());
        }
        self.plan_after(n, vault_key, key, slot.at);
    }

    /// The phase of a backup is over, or its cancellation.
    pub(super) fn step_backup(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str) {
        let Some(job) = self.vault(vault_key).and_then(|vault| vault.jobs.get(job_id)) else { return };
        let Work::Backup(run) = &job.work else { return };
        let (status, phase, key) = (job.status, run.phase, job.item.clone());
        let doom = run.doom.clone().filter(|(at, _)| *at <= phase).map(|(_, finding)| finding);
        let gone = run.taken.is_none();
        let still_runs =
            self.item(vault_key, &key).is_some_and(|item| item.running.as_deref() == Some(job_id) && item.soft_deleted.is_none());
        if !still_runs || status == JobStatus::Cancelling {
            let finding = Finding::new(400_158, "UserErrorJobSuccessfullyCancelled", "Job is cancelled.");
            return self.fail_backup(vault_key, job_id, finding, TaskStatus::Cancelled);
        }
        if let Some(finding) = doom.or_else(|| gone.then(Finding::machine_gone)) {
            return self.fail_backup(vault_key, job_id, finding, TaskStatus::Failed);
        }
        match phase {
            Phase::Snapshot => {
                self.make_point(n, vault_key, job_id, &key);
                let due = self.settings.durations.transfer.pick(n.chance());
                self.next_phase(vault_key, job_id, Phase::Transfer, due);
            }
            Phase::Transfer => {
                self.harden_point(vault_key, job_id, &key);
                if self.settings.backup_tasks == BackupTasks::Three {
                    let due = self.settings.durations.validate.pick(n.chance());
                    self.next_phase(vault_key, job_id, Phase::Validate, due);
                } else {
                    self.complete_backup(n, vault_key, job_id, &key);
                }
            }
            Phase::Validate => self.complete_backup(n, vault_key, job_id, &key),
        }
    }

    fn next_phase(&mut self, vault_key: &str, job_id: &str, phase: Phase, due: SignedDuration) {
        let (now, step) = (self.clock, self.next_number());
        let Some(job) = self.job_mut(vault_key, job_id) else { return };
        job.step = step;
        if let Some(run) = job.work.backup_mut() {
            run.close(TaskStatus::Completed, now);
            // A job whose tasks were two when it began keeps to them.
            if phase == Phase::Validate && run.tasks.len() < 3 {
                run.tasks.push(Task { id: "Validate Backup", start: None, end: None, status: TaskStatus::NotStarted });
            }
            run.open(phase, now);
        }
        self.after(now + due, Event::Job { vault: vault_key.to_owned(), job: job_id.to_owned(), step });
    }

    /// The snapshot is there: an instant-only point appears, and the item is protected before its job ends (§12.2, §9).
    fn make_point(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str, key: &ItemKey) {
        let first = super::protect::digits(n.chance());
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let taken_names = vault.items.get(key).map(|item| item.points.iter().map(|point| point.name.as_str()).collect::<BTreeSet<_>>());
        let name = free_name(first, &taken_names.unwrap_or_default());
        let Some(run) = vault.jobs.get_mut(job_id).and_then(|job| job.work.backup_mut()) else { return };
        let Some(taken) = run.taken.clone() else { return };
        run.point = Some(name.clone());
        let origin = run.origin;
        let Some(item) = vault.items.get(key) else { return };
        let policy = item.policy.as_deref().and_then(|name| vault.policies.get(name));
        let life = match origin {
            Origin::OnDemand { until } => Life::OnDemand { until },
            Origin::Scheduled { slot } => {
                Life::Scheduled { slot, kept: policy.and_then(|policy| policy.retention()?.keep(taken.time, &slot)) }
            }
        };
        let instant_until = policy.map(|policy| taken.time + instant_days(&policy.properties));
        let time = taken.time;
        let point = Point {
            name,
            taken,
            instant: Tier::Valid,
            hardened: Tier::Absent,
            hardened_at: None,
            archive: Archive::Never,
            mounted_until: None,
            instant_until,
            life,
        };
        let Some(item) = vault.items.get_mut(key) else { return };
        item.last_point = Some(time);
        item.points.push(point);
        if item.state == Protection::IrPending {
            item.state = Protection::Protected;
        }
        self.arm_sweep(vault_key, key);
    }

    fn harden_point(&mut self, vault_key: &str, job_id: &str, key: &ItemKey) {
        let now = self.clock;
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let name = vault.jobs.get(job_id).and_then(|job| job.work.backup()?.point.clone());
        if let Some(point) =
            vault.items.get_mut(key).and_then(|item| item.points.iter_mut().find(|point| Some(&point.name) == name.as_ref()))
        {
            point.hardened = Tier::Valid;
            point.hardened_at = Some(now);
        }
    }

    fn complete_backup(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str, key: &ItemKey) {
        let (now, chance) = (self.clock, n.chance());
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let Some(job) = vault.jobs.get_mut(job_id) else { return };
        let Some(item) = vault.items.get_mut(key) else { return };
        job.status = JobStatus::Completed;
        job.end = Some(now);
        if let Some(run) = job.work.backup_mut() {
            run.close(TaskStatus::Completed, now);
            let gigabytes = run.taken.as_ref().map_or(0, Taken::gigabytes);
            // About 90 MB per GB for the first copy (11390 MB of a 127 GB disk recorded), a few percent of that afterwards.
            let share = if item.points.len() <= 1 { 1.0 } else { 0.01 + 0.04 * chance };
            job.bag.insert("Backup Size".to_owned(), json!(format!("{} MB", (gigabytes as f64 * 90.0 * share) as i64)));
        }
        item.running = None;
        item.last_backup = Some((job.start, BackupResult::Completed));
        item.health = Health::good();
        item.failures_in_a_row = 0;
        if item.state == Protection::Error {
            item.state = Protection::Protected;
        }
    }

    /// Ends a backup badly: `CompletedWithWarnings` once there is a point, else `Failed` or `Cancelled` (§11.2, §11.3).
    pub(super) fn fail_backup(&mut self, vault_key: &str, job_id: &str, finding: Finding, task: TaskStatus) {
        let (now, error_after) = (self.clock, self.settings.error_state_after);
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let Some(job) = vault.jobs.get_mut(job_id) else { return };
        let Some(run) = job.work.backup_mut() else { return };
        run.close(task, now);
        let has_point = run.point.is_some();
        job.end = Some(now);
        job.errors.push(finding.clone());
        job.status = match (has_point, task) {
            (true, _) => JobStatus::CompletedWithWarnings,
            (false, TaskStatus::Cancelled) => JobStatus::Cancelled,
            (false, _) => JobStatus::Failed,
        };
        if has_point {
            job.bag.insert("Backup Size".to_owned(), json!("0 MB"));
        }
        let (start, status) = (job.start, job.status);
        if let Some(item) = vault.items.get_mut(&job.item).filter(|item| item.running.as_deref() == Some(job_id)) {
            item.running = None;
            item.take_failure(start, status, finding, error_after);
        }
    }
}

/// The first decimal name from `first` on that is not taken.
fn free_name(first: u64, taken: &BTreeSet<&str>) -> String {
    (first..).map(|number| number.to_string()).find(|name| !taken.contains(name.as_str())).expect("fewer points than numbers")
}

impl Item {
    fn take_failure(&mut self, start: Timestamp, status: JobStatus, finding: Finding, error_after: u32) {
        self.last_backup = Some((start, BackupResult::Failed));
        let gone = matches!(finding.code, 320_001 | 400_136);
        let kpi = if status == JobStatus::CompletedWithWarnings { "TransientDegraded" } else { "TransientUnhealthy" };
        self.health = Health {
            status: if gone { HealthStatus::ActionRequired } else { HealthStatus::ActionSuggested },
            details: Some(finding.clone()),
            backup: Some((kpi, finding)),
        };
        self.failures_in_a_row += 1;
        if error_after > 0 && self.failures_in_a_row >= error_after && self.state.backs_up() {
            self.state = Protection::Error;
        }
    }
}
