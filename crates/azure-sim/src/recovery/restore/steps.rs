//! The steps of a restore's job: one stage after another, each with what can still go wrong.

use jiff::SignedDuration;

use super::super::archive::Archive;
use super::super::backup::Origin;
use super::super::item::Finding;
use super::super::jobs::{JobStatus, TaskStatus};
use super::super::names::ItemKey;
use super::super::points::Tier;
use super::super::restore_settings::BeforeReplace;
use super::super::state::{Event, State};
use super::request::{Goal, Priority};
use super::{Fate, Reads, RestoreRun, Stage};
use crate::wire::Neighbours;

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// How long the point lives that is made before disks are replaced. A guess: "in accordance with the retention policy".
const SAFETY_LIFE: SignedDuration = SignedDuration::from_hours(24 * 30);

impl State {
    /// A stage of a restore is over, or its cancellation.
    pub(in crate::recovery) fn step_restore(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str) {
        let Some(job) = self.vault(vault_key).and_then(|vault| vault.jobs.get(job_id)) else { return };
        let Some(run) = job.work.restore().cloned() else { return };
        let (key, status) = (job.item.clone(), job.status);
        if status == JobStatus::Cancelling {
            let finding = self.settings.restore.findings.cancelled.finding();
            return self.end_restore(vault_key, job_id, JobStatus::Cancelled, Some(finding));
        }
        if run.fate == Some(Fate::Sticks) {
            return;
        }
        if let Some(finding) = self.trouble(n, vault_key, &key, &run) {
            if run.stage == Stage::Finish && matches!(run.fate, Some(Fate::Fails { at: Stage::Finish, .. })) {
                self.orders.extend(run.last_orders(n, false));
            }
            return self.end_restore(vault_key, job_id, JobStatus::Failed, Some(finding));
        }
        match run.stage {
            Stage::Preflight if run.plan.ask.rehydration.is_some() => self.rehydrate(n, vault_key, job_id, &run),
            Stage::Preflight => self.transfer(n, vault_key, job_id, &run),
            Stage::Rehydrate => {
                self.rehydrated(vault_key, &key, &run);
                self.transfer(n, vault_key, job_id, &run);
            }
            Stage::Transfer => self.transferred(n, vault_key, job_id, &key, &run),
            Stage::Finish => self.finish(n, vault_key, job_id, &run),
        }
    }

    /// What ends the restore at the end of its stage: a test's wish, or what has become of the world.
    fn trouble(&self, n: &dyn Neighbours, vault_key: &str, key: &ItemKey, run: &RestoreRun) -> Option<Finding> {
        match &run.fate {
            Some(Fate::Fails { at, finding }) if *at <= run.stage => return Some(finding.clone()),
            _ => {}
        }
        let vault = self.vault(vault_key)?;
        let point = vault.items.get(key).and_then(|item| item.point(&run.plan.point));
        let readable = point.is_some_and(|point| match run.plan.reads {
            Reads::Snapshot => point.instant == Tier::Valid || point.is_readable_in_vault(self.clock),
            Reads::Vault => point.is_readable_in_vault(self.clock) || point.archive != Archive::Never,
        });
        if run.stage < Stage::Transfer && !readable {
            return Some(self.settings.restore.findings.snapshot_gone.finding());
        }
        self.stage_findings(n, vault, &run.plan, run.stage).into_iter().next()
    }

    fn next_stage(&mut self, vault_key: &str, job_id: &str, stage: Stage, due: SignedDuration) {
        let (now, step) = (self.clock, self.next_number());
        let Some(job) = self.job_mut(vault_key, job_id) else { return };
        job.step = step;
        if let Some(run) = job.work.restore_mut() {
            run.stage = stage;
            if stage == Stage::Finish {
                run.tasks[0].1 = TaskStatus::Completed;
                run.tasks.iter_mut().skip(1).for_each(|task| task.1 = TaskStatus::InProgress);
            }
        }
        self.after(now + due, Event::Job { vault: vault_key.to_owned(), job: job_id.to_owned(), step });
    }

    fn rehydrate(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str, run: &RestoreRun) {
        let durations = &self.settings.restore.durations;
        let span = match run.plan.ask.rehydration.map(|rehydration| rehydration.priority) {
            Some(Priority::High) => durations.rehydrate_high,
            _ => durations.rehydrate_standard,
        };
        self.next_stage(vault_key, job_id, Stage::Rehydrate, span.pick(n.chance()));
    }

    /// The point can be restored for as many days as were asked for.
    fn rehydrated(&mut self, vault_key: &str, key: &ItemKey, run: &RestoreRun) {
        let (now, days) = (self.clock, run.plan.ask.rehydration.map_or(0, |rehydration| rehydration.days));
        if let Some(point) = self.item_mut(vault_key, key).and_then(|item| item.point_mut(&run.plan.point)) {
            point.archive = Archive::Rehydrated { until: now + DAY * i32::try_from(days).unwrap_or(i32::MAX) };
        }
    }

    fn transfer(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str, run: &RestoreRun) {
        let now = self.clock;
        if let Some(run) = self.job_mut(vault_key, job_id).and_then(|job| job.work.restore_mut()) {
            run.stamp = now;
        }
        let durations = &self.settings.restore.durations;
        let span = if run.plan.reads == Reads::Snapshot { durations.from_snapshot } else { durations.from_vault };
        self.next_stage(vault_key, job_id, Stage::Transfer, span.pick(n.chance()));
    }

    /// The disks are there. Before they replace others, the machine is backed up as it is (documented).
    fn transferred(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str, key: &ItemKey, run: &RestoreRun) {
        let (orders, made) = run.disk_orders(n);
        self.orders.extend(orders);
        if let Some(run) = self.job_mut(vault_key, job_id).and_then(|job| job.work.restore_mut()) {
            run.made = made;
        }
        let durations = &self.settings.restore.durations;
        let span = match run.plan.ask.goal {
            Goal::Disks { .. } => durations.finish_disks,
            Goal::Machine { .. } => durations.create_machine,
            Goal::Replace => durations.replace_disks,
        };
        self.next_stage(vault_key, job_id, Stage::Finish, span.pick(n.chance()));
        let backs_up = self.item(vault_key, key).is_some_and(|item| item.state.backs_up() && item.running.is_none());
        if run.plan.ask.goal == Goal::Replace && backs_up && self.settings.restore.before_replace == BeforeReplace::BacksUp {
            let origin = Origin::OnDemand { until: self.clock + SAFETY_LIFE };
            self.start_backup(n, vault_key, key, origin, n.guid());
        }
    }

    fn finish(&mut self, n: &dyn Neighbours, vault_key: &str, job_id: &str, run: &RestoreRun) {
        let undone = matches!(run.fate, Some(Fate::WarnsUndone(_)));
        if !undone {
            self.orders.extend(run.last_orders(n, true));
        }
        let (status, finding) = match &run.fate {
            Some(Fate::Warns(finding) | Fate::WarnsUndone(finding)) => (JobStatus::CompletedWithWarnings, Some(finding.clone())),
            _ => (JobStatus::Completed, None),
        };
        self.end_restore(vault_key, job_id, status, finding);
    }

    /// Ends the job. The task under way ends as the job does; one that was not begun stays so.
    fn end_restore(&mut self, vault_key: &str, job_id: &str, status: JobStatus, finding: Option<Finding>) {
        let now = self.clock;
        let Some(job) = self.job_mut(vault_key, job_id) else { return };
        job.status = status;
        job.end = Some(now);
        job.errors.extend(finding);
        let ended = match status {
            JobStatus::Failed => TaskStatus::Failed,
            JobStatus::Cancelled => TaskStatus::Cancelled,
            _ => TaskStatus::Completed,
        };
        if let Some(run) = job.work.restore_mut() {
            run.tasks.iter_mut().filter(|task| task.1 == TaskStatus::InProgress).for_each(|task| task.1 = ended);
        }
    }

    /// Stores a fate; what is stuck already stays so, and what was stuck goes on when it gets another.
    pub(in crate::recovery) fn set_fate(&mut self, vault_key: &str, job_id: &str, fate: Fate) -> Option<()> {
        let (now, step) = (self.clock, self.next_number());
        let run = self.job_mut(vault_key, job_id)?.work.restore_mut()?;
        let was_stuck = run.fate == Some(Fate::Sticks);
        run.fate = Some(fate);
        if was_stuck {
            self.job_mut(vault_key, job_id)?.step = step;
            self.after(now, Event::Job { vault: vault_key.to_owned(), job: job_id.to_owned(), step });
        }
        Some(())
    }
}
