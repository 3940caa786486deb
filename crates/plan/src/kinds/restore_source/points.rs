//! The points of a restore's source: which one fits, and what is known of the one that was chosen.

use breakwater_api::{
    Reason, RestoreRun,
    protected_machine::RecoveryPoint,
    restore_run::{LatestPoint, Rehydrate, RehydratePriority},
};
use breakwater_arm::bodies::{self, Rehydration, RehydrationPriority};
use serde_json::Value;

use super::{
    super::{recovery_points, restore_paired, restore_run::own, restore_run::seen_jobs, restore_target::target_group, seconds},
    Source, considered, from, stranger,
};
use crate::{
    facts::Facts,
    graph::Hold,
    kind::Subject,
    sighting::{Known, Packed},
};

/// A point of a listing.
pub(super) struct ListedPoint {
    pub point: RecoveryPoint,
    /// Whether it must be brought back from the archive first.
    pub is_archived: bool,
}

/// The points of the item, newest first; `None` while no list came.
pub(super) fn listed(source: &Source, facts: &Facts) -> Option<Vec<ListedPoint>> {
    let read = |body: &Packed| {
        let read = bodies::RecoveryPoint::parse(&body.open()).ok()?;
        Some(ListedPoint { point: recovery_points::of(&read)?, is_archived: read.properties.is_archived_only() })
    };
    let mut all: Vec<ListedPoint> = facts.list(&source.points())?.values().filter_map(read).collect();
    all.sort_by(|a, b| b.point.at.cmp(&a.point.at).then_with(|| a.point.name.cmp(&b.point.name)));
    Some(all)
}

/// The point that a job restored, of a run that was begun by another object: the job tells its time.
pub(in super::super) fn of_job(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<RecoveryPoint> {
    let name = own(s, source).name(seen_jobs(s, source, facts).as_deref())?;
    let at = seconds(restore_paired::job_read(source, &name, facts)?.properties.point_time()?);
    listed(source, facts)?.into_iter().map(|listed| listed.point).find(|point| point.at == at)
}

/// The point that fits now, or why none does.
pub(in super::super) fn pick(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Result<RecoveryPoint, Hold> {
    if let Some(hold) = stranger(source, facts) {
        return Err(hold);
    }
    let Some(points) = listed(source, facts) else {
        let trouble = facts.lists.get(&source.points()).and_then(|l| l.trouble.as_ref());
        let none = || Hold::wait(Reason::NotYetObserved, format!("the recovery points of {} were not listed yet", source.machine));
        return Err(trouble.map_or_else(none, |t| Hold::trouble(t, format!("the recovery points of {}: {}", source.machine, t.message))));
    };
    let usable: Vec<&ListedPoint> = points.iter().filter(|p| !p.point.tiers.is_empty()).collect();
    let wanted = &from(s).point;
    if let Some(name) = &wanted.name {
        let found = usable.iter().find(|p| p.point.name.eq_ignore_ascii_case(name)).map(|p| p.point.clone());
        return found.ok_or_else(|| none_fits(source, &format!("point.name: there is no recovery point {name}"), &usable, true));
    }
    let latest = wanted.latest.clone().unwrap_or_default();
    // Azure restores into another subscription from the vault, not from a snapshot ("Restore VMs", Microsoft Learn).
    let from_vault =
        target_group(s, source).is_ok_and(|group| !group.subscription_id().eq_ignore_ascii_case(source.vault.subscription_id()));
    let is_there = |p: &ListedPoint| !from_vault || p.point.tiers.iter().any(|tier| tier != "Snapshot");
    let fits = usable.iter().find(|p| is_there(p) && is_fit(p, &latest, from(s).rehydrate.is_some())).map(|p| p.point.clone());
    let what = if from_vault { "point.latest: no recovery point in the vault fits" } else { "point.latest: no recovery point fits" };
    // No point that comes will be of a time that is over.
    let never = latest.before.is_some_and(|before| before <= s.now);
    fits.ok_or_else(|| none_fits(source, what, &usable, never))
}

/// What was brought back from the archive is as good as any other, as long as that lasts.
fn is_fit(listed: &ListedPoint, wanted: &LatestPoint, from_archive: bool) -> bool {
    let point = &listed.point;
    wanted.before.is_none_or(|before| point.at <= before)
        && wanted.consistency.is_none_or(|least| least.is_met(&point.consistency))
        && (from_archive || !listed.is_archived)
}

fn none_fits(source: &Source, what: &str, usable: &[&ListedPoint], never: bool) -> Hold {
    let there = match (usable.first(), usable.last()) {
        (Some(youngest), Some(oldest)) => format!("points: {}, from {} to {}", usable.len(), oldest.point.at, youngest.point.at),
        _ => "no points".to_owned(),
    };
    let message = format!("spec.from.recoveryPoint.{what}; {} has {there}: make a new RestoreRun that names one of them", source.machine);
    if never { Hold::stuck(Reason::NoRecoveryPoint, message) } else { Hold::wait(Reason::NoRecoveryPoint, message) }
}

/// The chosen point, or the one that would be, as the region shows it that the data is taken from.
pub(in super::super) fn shown(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Known<Value> {
    let Some(name) = considered(s, source, facts) else { return Known::Unknown };
    let Some(id) = source.point(&name) else { return Known::Unknown };
    if source.paired.is_some() {
        return facts.listed(&source.points(), &id);
    }
    let read = match facts.read(&id) {
        Known::Present(at, body) => Known::Present(at, (**body).clone()),
        Known::Absent(at) => Known::Absent(at),
        Known::Unknown => Known::Unknown,
    };
    // The newer of both; that it is not listed says nothing.
    match (read, facts.listed(&source.points(), &id)) {
        (Known::Present(at, _) | Known::Absent(at), Known::Present(listed, body)) if listed > at => Known::Present(listed, body),
        (Known::Unknown, Known::Present(listed, body)) => Known::Present(listed, body),
        (read, _) => read,
    }
}

/// The same, read.
pub(in super::super) fn read(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<bodies::RecoveryPoint> {
    bodies::RecoveryPoint::parse(&shown(s, source, facts).into_present()?).ok()
}

/// How a point is brought back from the archive, as the request says it.
pub(in super::super) fn rehydration(wanted: &Rehydrate) -> Result<Rehydration, Hold> {
    let priority = match wanted.priority {
        RehydratePriority::Standard => RehydrationPriority::Standard,
        RehydratePriority::High => RehydrationPriority::High,
    };
    let days = wanted.retain_for.whole_days().and_then(|days| u8::try_from(days).ok());
    days.and_then(|days| Rehydration::new(priority, days)).ok_or_else(|| {
        let message = "spec.from.recoveryPoint.rehydrate.retainFor: whole days from 10d to 30d, as Azure takes them: make a new RestoreRun";
        Hold::stuck(Reason::InvalidSpec, message)
    })
}
