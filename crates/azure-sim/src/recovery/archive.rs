//! The archive: points that are moved there, and brought back for a while (backup.md §12.2, §12.3).

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::item::{Item, Protection};
use super::jobs::{Job, JobKind, JobStatus, Work};
use super::names::{ItemKey, time_text};
use super::operations::{Effect, Family};
use super::points::{Detail, Life, Point, Tier, no_point};
use super::protect::{item_key, no_item};
use super::restore::Named;
use super::restore_settings::RestoreSettings;
use super::retention::Rule;
use super::state::{Event, State, refused};
use super::vault::VaultPath;
use crate::wire::{Inbound, Neighbours, Reply};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A point and the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Archive {
    /// It never was there.
    Never,
    /// It is there alone.
    Kept,
    /// It can be restored until then.
    Rehydrated { until: Timestamp },
}

impl Archive {
    /// Whether it was brought back and that still holds.
    pub fn is_back(self, now: Timestamp) -> bool {
        matches!(self, Archive::Rehydrated { until } if until > now)
    }

    /// Its element of `recoveryPointTierDetails`. The name of the end of a rehydration is the SDK's (azure-powershell).
    pub fn tier(self, now: Timestamp) -> Option<Value> {
        match self {
            Archive::Never => None,
            Archive::Rehydrated { until } if until > now => {
                let info = json!({"RehydratedRPExpiryTime": time_text(until)});
                Some(json!({"type": "ArchivedRP", "status": "Rehydrated", "extendedInfo": info}))
            }
            Archive::Kept | Archive::Rehydrated { .. } => Some(json!({"type": "ArchivedRP", "status": "Valid"})),
        }
    }
}

impl Point {
    /// `recoveryPointMoveReadinessInfo.ArchivedRP`; the words are recorded, which of them when is a guess.
    pub(super) fn readiness(&self, settings: &RestoreSettings, now: Timestamp) -> Value {
        match self.why_not_movable(settings, now) {
            None => json!({"isReadyForMove": true}),
            Some(why) => json!({"isReadyForMove": false, "additionalInfo": why}),
        }
    }

    /// What keeps the point out of the archive: it must be in the vault and kept by a monthly or yearly rule, old enough,
    /// with enough of its retention left.
    pub(super) fn why_not_movable(&self, settings: &RestoreSettings, now: Timestamp) -> Option<&'static str> {
        const UNKNOWN: &str = "We're still determining if this Recovery Point can be moved.. Please check again after some time.";
        const SHORT: &str = "Recovery point cannot be moved to Archive tier due to insufficient retention duration specified in policy.. Update policy on the protected item with appropriate retention setting and try again.";
        let long = matches!(self.life, Life::Scheduled { kept: Some(kept), .. } if matches!(kept.rule, Rule::Monthly | Rule::Yearly));
        if self.hardened != Tier::Valid || !long || now.duration_since(self.taken.time) < DAY * days(settings.archive_age_days) {
            return Some(UNKNOWN);
        }
        let left = self.until().map(|until| until.duration_since(now));
        left.is_none_or(|left| left < DAY * days(settings.archive_left_days)).then_some(SHORT)
    }
}

/// Days as the factor of a duration.
fn days(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl State {
    /// POST `I/recoveryPointsRecommendedForMove`: the points that can go, but those that the caller left out.
    pub(super) fn recommended(&self, req: &Inbound, path: &VaultPath, container: &str, item: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(item) = item_key(container, item).and_then(|key| vault.items.get(&key)) else { return no_item() };
        let left_out: Vec<&str> = req.body["excludedRPList"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let movable = |point: &&Point| {
            self.refuses_move(item, point).is_none() && !left_out.iter().any(|name| name.rsplit('/').next() == Some(point.name.as_str()))
        };
        let id = item.id(vault);
        let shown = |point: &Point| point.render(item, &id, Detail::Counts, (self.clock, &self.settings.restore));
        let value: Vec<Value> = item.points.iter().rev().filter(movable).map(shown).collect();
        Reply::json(200, json!({"value": value}))
    }

    /// Why a point stays where it is. Points of stopped items stay, documented.
    fn refuses_move(&self, item: &Item, point: &Point) -> Option<&'static str> {
        if matches!(item.state, Protection::Stopped | Protection::Suspended) || item.soft_deleted.is_some() {
            return Some("Recovery points of an item whose protection is stopped cannot be moved.");
        }
        point.why_not_movable(&self.settings.restore, self.clock)
    }

    /// POST `R/move`: the operation succeeds at once, the job goes on.
    pub(super) fn move_point(&mut self, n: &dyn Neighbours, req: &Inbound, named: &Named<'_>) -> Reply {
        let (key, name) = (&named.key, named.point);
        let Some(held) = self.item(&named.path.key, key) else { return no_item() };
        let Some(point) = held.point(name) else { return no_point(name) };
        let refusals = &self.settings.restore.refusals;
        let asked = (req.body["sourceTierType"].as_str(), req.body["targetTierType"].as_str());
        // The SDK's model leaves its type out unless it is told, and azure-cli does not tell it.
        let typed = req.body["objectType"].as_str().is_none_or(|kind| kind == "MoveRPAcrossTiersRequest");
        if !typed || asked != (Some("HardenedRP"), Some("ArchivedRP")) {
            return refused(&refusals.request, "Recovery points are moved from HardenedRP to ArchivedRP alone.");
        }
        if let Some(why) = self.refuses_move(held, point) {
            return refused(&refusals.not_movable, why);
        }
        let job = self.start_move(n, req, &named.path.key, key, name);
        let id =
            self.begin(n, &named.path.key, n.guid(), Family::Item(key.clone()), Effect::Accepted, self.settings.restore.durations.accept);
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.job = Some(job);
        }
        self.accepted_of_item(req, &id)
    }

    fn start_move(&mut self, n: &dyn Neighbours, req: &Inbound, vault_key: &str, key: &ItemKey, name: &str) -> String {
        let (now, id, step) = (self.clock, n.guid(), self.next_number());
        let due = now + self.settings.restore.durations.archive.pick(n.chance());
        let activity = req.client_request_id().map_or_else(|| n.guid(), str::to_owned);
        if let Some(vault) = self.vault_mut(vault_key) {
            let friendly = vault.items.get(key).map(|item| item.friendly_name.clone()).unwrap_or_default();
            let mut bag = Map::new();
            bag.insert("VM Name".to_owned(), json!(friendly));
            let mut job = Job::new(id.clone(), JobKind::MoveToArchive, key.clone(), friendly, now, activity, bag);
            job.work = Work::Archive(name.to_owned());
            job.step = step;
            vault.jobs.insert(id.clone(), job);
        }
        self.after(due, Event::Job { vault: vault_key.to_owned(), job: id.clone(), step });
        id
    }

    /// The move is over. A point that went meanwhile ends it badly.
    pub(super) fn archived(&mut self, vault_key: &str, job_id: &str, name: &str) {
        let (now, gone) = (self.clock, self.settings.restore.findings.snapshot_gone.finding());
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let Some(job) = vault.jobs.get_mut(job_id) else { return };
        job.end = Some(now);
        match vault.items.get_mut(&job.item).and_then(|item| item.point_mut(name)) {
            Some(point) => {
                point.archive = Archive::Kept;
                point.hardened = Tier::Deleted;
                job.status = JobStatus::Completed;
            }
            None => {
                job.status = JobStatus::Failed;
                job.errors.push(gone);
            }
        }
    }
}
