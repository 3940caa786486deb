//! Restores: `POST R/restore` and the job that follows (backup.md §13).
//!
//! The operation succeeds at once; the job looks at where it is to restore to, brings the data, and makes what was asked
//! for by orders to its neighbours. What it has made when it fails it leaves behind.

mod checks;
mod request;
mod results;
mod rules;
mod shown;
mod steps;
mod validate;

use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

pub(super) use request::{Ask, Flaw, Goal};
pub(super) use rules::Wanted;

use results::stem_of;

use super::item::Finding;
use super::jobs::{Job, JobKind, TaskStatus, Work};
use super::names::ItemKey;
use super::operations::{Effect, Family};
use super::points::{Taken, no_point};
use super::protect::{item_key, no_item};
use super::restore_settings::Checked;
use super::settings::BackupTasks;
use super::state::{Event, State, backup_error, refused};
use super::vault::VaultPath;
use super::vault_rules::Refused;
use crate::guards::Guarded;
use crate::wire::{Inbound, Neighbours, Reply};

/// Where in a restore something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It looks at where it is to restore to.
    Preflight,
    /// A point comes back from the archive.
    Rehydrate,
    /// Task "Transfer data from vault": at its end there are disks.
    Transfer,
    /// What follows: a machine of them, or a machine with them.
    Finish,
}

/// What a test wants to become of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It fails at the end of a stage. At the end of the last one all but the machine is made.
    Fails {
        /// The stage.
        at: Stage,
        /// What its job says.
        finding: Finding,
    },
    /// It ends `CompletedWithWarnings`, all of it done.
    Warns(Finding),
    /// It ends `CompletedWithWarnings`, and nothing came of it but disks: seen with `OlrBackupFailed`, when the backup
    /// before the replacing of disks failed (MicrosoftDocs/azure-docs#50541).
    WarnsUndone(Finding),
    /// It never ends.
    Sticks,
}

/// Where a restore reads its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Snapshot,
    Vault,
}

/// A restore as it was accepted. It holds all it needs of its point, which may end meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub ask: Ask,
    pub taken: Taken,
    /// Name of the point.
    pub point: String,
    /// ARM id and name of the machine that the point is of.
    pub source_id: String,
    pub friendly_name: String,
    /// `protectedItemDataId` of the item: the service names its collection of snapshots by it.
    pub data_id: String,
    /// Subscription, group and name of the vault.
    pub vault: (String, String, String),
    pub reads: Reads,
    /// The vault's secondary region, of a restore there.
    pub secondary: Option<String>,
}

/// A restore under way, or over.
#[derive(Clone, Debug)]
pub(super) struct RestoreRun {
    pub plan: Plan,
    pub stage: Stage,
    pub fate: Option<Fate>,
    job: String,
    /// When its data began to come: disks are named by it.
    stamp: Timestamp,
    /// From when on the job's bag names the time of the point.
    point_known: Timestamp,
    tasks: Vec<(&'static str, TaskStatus)>,
    /// Blob container in the staging account.
    container: String,
    /// Ids of disks by lun that are there by now; names of blobs when unmanaged.
    made: Vec<(i32, String)>,
    era: BackupTasks,
}

impl RestoreRun {
    fn new(plan: Plan, job: String, start: Timestamp, point_known: SignedDuration, guid: &str, era: BackupTasks) -> Self {
        let mut tasks = vec![("Transfer data from vault", TaskStatus::InProgress)];
        match plan.ask.goal {
            Goal::Disks { .. } => {}
            Goal::Machine { .. } => tasks.push(("Create the restored virtual machine", TaskStatus::NotStarted)),
            Goal::Replace => tasks.push(("Update the virtual machine", TaskStatus::NotStarted)),
        }
        let container = format!("{}-{}", stem_of(&plan.friendly_name), guid.replace('-', ""));
        // Null in the first seconds is recorded of 2026, with the third task of backups.
        let point_known = if era == BackupTasks::Three { start + point_known } else { start };
        RestoreRun { plan, stage: Stage::Preflight, fate: None, job, stamp: start, point_known, tasks, container, made: Vec::new(), era }
    }

    /// Whether its job can be cancelled: "till the data transfer phase", documented.
    pub fn is_cancellable(&self) -> bool {
        self.stage < Stage::Finish
    }
}

/// A point that a request names, and whose it is.
pub(super) struct Named<'a> {
    pub path: &'a VaultPath,
    pub key: ItemKey,
    pub point: &'a str,
}

impl State {
    /// POST `R/restore`.
    pub(super) fn post_restore(&mut self, n: &dyn Neighbours, req: &Inbound, named: &Named<'_>) -> Reply {
        let plan = match self.accept_restore(n, req, named) {
            Ok(plan) => plan,
            Err(refusal) => return *refusal,
        };
        let id = n.guid();
        self.start_restore(n, req, named, plan, (id.clone(), JobKind::Restore));
        let span = self.settings.restore.durations.accept;
        // The job's id is the operation's, recorded since 2021.
        let id = self.begin(n, &named.path.key, id, Family::Item(named.key.clone()), Effect::Accepted, span);
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.job = Some(id.clone());
        }
        self.accepted_of_item(req, &id)
    }

    /// The point of a path; 404s in the order of the path.
    pub(super) fn named_point<'a>(&self, path: &'a VaultPath, container: &str, item: &str, name: &'a str) -> Result<Named<'a>, Refused> {
        let vault = self.vault(&path.key).ok_or_else(|| Box::new(path.not_found()))?;
        let key = item_key(container, item).filter(|key| vault.items.contains_key(key)).ok_or_else(|| Box::new(no_item()))?;
        vault.items[&key].point(name).ok_or_else(|| Box::new(no_point(name)))?;
        Ok(Named { path, key, point: name })
    }

    /// Whether the guest encrypted its disks when a point was made.
    pub(super) fn is_encrypted(&self, named: &Named<'_>) -> bool {
        let item = self.item(&named.path.key, &named.key);
        item.and_then(|item| item.point(named.point)).is_some_and(|point| point.taken.encrypted)
    }

    fn accept_restore(&self, n: &dyn Neighbours, req: &Inbound, named: &Named<'_>) -> Result<Plan, Refused> {
        let properties = &req.body["properties"];
        let ask = Ask::read(properties).map_err(|flaw| Box::new(self.flawed(req, &flaw)))?;
        let plan = self.plan_restore(n, named, ask, Wanted::Here)?;
        let vault = self.vault(&named.path.key).ok_or_else(|| Box::new(named.path.not_found()))?;
        self.guarded(n, vault, Guarded::Restore, &properties["resourceGuardOperationRequests"])?;
        if let Some(found) = self.machine_findings(n, &plan).first() {
            return Err(Box::new(refused(&self.settings.restore.refusals.replace, found.message.clone())));
        }
        match self.restore_findings(n, vault, &plan).first() {
            Some(found) if self.settings.restore.checked == Checked::AtOnce => {
                Err(Box::new(backup_error(400, &found.title, found.message.clone())))
            }
            _ => Ok(plan),
        }
    }

    /// The answer to a request that does not read.
    pub(super) fn flawed(&self, req: &Inbound, flaw: &Flaw) -> Reply {
        match flaw {
            Flaw::Wrong(message) => refused(&self.settings.restore.refusals.request, message.clone()),
            Flaw::Unmodelled(field) => {
                let message = format!("azure-sim does not model {field} of {} {}", req.method, req.raw_path());
                Reply::error(501, "SimulatorNotImplemented", message)
            }
        }
    }

    /// Puts the job of a restore into its vault and plans its first step.
    pub(super) fn start_restore(
        &mut self,
        n: &dyn Neighbours,
        req: &Inbound,
        named: &Named<'_>,
        plan: Plan,
        (id, kind): (String, JobKind),
    ) {
        let (now, step) = (self.clock, self.next_number());
        let durations = self.settings.restore.durations.clone();
        let activity = req.client_request_id().map_or_else(|| n.guid(), str::to_owned);
        let (known, due) = (durations.point_known.pick(n.chance()), now + durations.preflight.pick(n.chance()));
        let (guid, era) = (n.guid(), self.settings.backup_tasks);
        let Some(vault) = self.vault_mut(&named.path.key) else { return };
        let mut job = Job::new(id.clone(), kind, named.key.clone(), plan.friendly_name.clone(), now, activity, Map::new());
        job.work = Work::Restore(Box::new(RestoreRun::new(plan, id.clone(), now, known, &guid, era)));
        job.step = step;
        vault.jobs.insert(id.clone(), job);
        self.after(due, Event::Job { vault: named.path.key.clone(), job: id, step });
    }

    /// 202 with the operation's URLs below the item, whatever lies below it in the request (§3.2).
    pub(super) fn accepted_of_item(&self, req: &Inbound, id: &str) -> Reply {
        let end = req.path.iter().position(|word| word.eq_ignore_ascii_case("recoveryPoints")).unwrap_or(req.path.len());
        let base = crate::path::joined(&req.path[..end]);
        self.accepted(req, &format!("{base}/operationsStatus"), &format!("{base}/operationResults"), id)
    }
}
