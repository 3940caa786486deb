//! What a `ProtectedMachine` tells: its machine, its points, its promise.

use breakwater_api::{
    ConditionType, ProtectedMachine, ProtectedMachineStatus, Protection, Reason,
    protected_machine::{LastBackup, ObservedDisk, ObservedMachine, RecoveryPoints},
    status::Owned,
};
use breakwater_arm::bodies::VirtualMachine;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    first_backup::{backup_jobs, first_backup_record, wants_first_backup},
    machine_conditions::{conditions, last_known, question},
    machine_disks,
    machine_item::{Want, coverage, declared, wanted},
    machine_place::{Place, not_granted, place, standing, vm},
    protected_machine::{points_next, points_of},
    protection::Item,
    recovery_points, runs, seconds, selected,
};
use crate::{
    disks::Coverage,
    facts::Facts,
    graph::{Hold, HoldKind},
    kind::{Decided, Promise, Report, Said, Subject},
    policy,
    sighting::Packed,
};

/// What is remembered of points is another machine's.
fn forget_points(status: &mut ProtectedMachineStatus) {
    (status.recovery_points, status.item_id) = (None, None);
    status.points.clear();
}

/// The whole report.
pub(super) fn report(s: &Subject<ProtectedMachine>, facts: &Facts, decided: Decided<'_>) -> Report {
    let mut status = s.status.clone();
    status.runs = runs::remembered(s, facts);
    let Ok(p) = place(s, facts) else {
        let promise =
            decided.err().map_or_else(|| Promise::broken(Reason::NotYetObserved, ""), |h| Promise::broken(h.reason, h.message.clone()));
        let conditions = last_known(&status, &promise);
        return told(&status, promise, conditions, s.owned.clone(), None);
    };
    if let Some(hold) = not_granted(s, &p) {
        return not_shown(s, &p, status, &hold);
    }
    let body = p.item_body(facts).cloned();
    let item = body.as_ref().and_then(|b| Item::read(b));
    let stands = standing(s, &p, facts);
    if stands.protection != Protection::Unknown || s.status.protection.is_none() {
        status.protection = Some(stands.protection.clone());
        status.elsewhere = stands.elsewhere.clone();
    }
    look_at_machine(s, &p, facts, body.as_deref(), &mut status);
    status.unselected_since = selected::unselected_since(s, &p, facts);
    let ours = matches!(stands.protection, Protection::Protected | Protection::InitialBackupPending) && stands.hold.is_none();
    let settled = ours && decided.is_ok() && item.as_ref().is_some_and(|i| i.policy.as_ref() == Some(&p.policy));
    // A world that cannot be read is as it was, until the promise falls due.
    let waits = decided.err().or(stands.hold.as_ref()).is_some_and(|h| h.kind == HoldKind::Wait);
    let was = matches!(s.status.protection, Some(Protection::Protected | Protection::InitialBackupPending)) && s.owns(&p.item);
    let taken = stands.hold.as_ref().is_some_and(|h| h.reason == Reason::NameTaken);
    let unseen = waits && was && item.is_none() && !taken;
    let settled = settled || unseen;
    match (taken, unseen) {
        (true, _) => forget_points(&mut status),
        (_, true) => status.protection = s.status.protection.clone(),
        _ => {}
    }
    let mut owned = s.owned.clone();
    // Since when, once it is known which jobs came before: a window that is too short would hide a first backup.
    let looked = !wants_first_backup(s, &p) || facts.jobs.get(&p.vault).is_some_and(|l| l.last.is_some());
    if ours && (looked || s.operations.contains_key("protection")) {
        status.protected_since = status.protected_since.or(Some(seconds(s.now)));
    }
    if ours && decided.is_ok() {
        status.item_id = Some(p.item.to_string());
        if !s.owns(&p.item) {
            owned = vec![Owned { id: p.item.to_string(), name: Some("protection".into()), since: seconds(s.now) }];
        }
    }
    if let Some(item) = &item {
        take_points(&p, facts, item, &mut status);
        status.first_backup = first_backup_record(s, &p, facts);
        status.last_backup = last_backup(s, &p, facts, item, status.recovery_points.as_ref());
    }
    // The policy tells what it promises: computing it anew for each machine walks a year of its schedule.
    let told_rpo = p.policy_view.status.rpo.as_ref().map(|span| span.as_signed());
    let rpo = told_rpo.or_else(|| policy::promised_rpo(&p.policy_view.spec).ok()).unwrap_or(SignedDuration::from_hours(28));
    let (promise, due) = match (&stands.hold, settled) {
        (_, true) => recovery_points::promise(status.recovery_points.as_ref(), status.protected_since, rpo, s.now),
        (Some(hold), _) => (Promise::broken(hold.reason, hold.message.clone()), None),
        (None, false)
            if wanted(s, &p, facts) == Want::Stopped && matches!(stands.protection, Protection::Stopped | Protection::Suspended) =>
        {
            (stopped_as_declared(&p, &stands.protection), None)
        }
        (None, false) if wanted(s, &p, facts) == Want::Stopped && stands.protection == Protection::NotProtected => {
            let message = format!("{} has no backups here, and none are taken, as declared", p.machine);
            (Promise::kept(Reason::ProtectionStopped, message), None)
        }
        (None, false) => (Promise::broken(Reason::NotProtected, format!("{} is not protected as declared yet", p.machine)), None),
    };
    let conditions = conditions(&p, &status, settled, &promise, question(decided));
    let hourly = matches!(stands.protection, Protection::ElsewhereProtected).then(|| s.now + SignedDuration::from_hours(1));
    let let_go = selected::let_go_at(s, &p).filter(|at| *at > s.now);
    told(&status, promise, conditions, owned, [due, hourly, let_go, points_next(s, &p, facts)].into_iter().flatten().min())
}

/// The machine as it is by now, with its disks.
fn look_at_machine(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts, body: Option<&Value>, status: &mut ProtectedMachineStatus) {
    if let Some(vm) = vm(p, facts) {
        // Another vmId under the same id is another machine: what was known stays, and the hold says so.
        let seen = observed_as_of(&vm, s, p, facts);
        let same = s.status.machine.as_ref().and_then(|m| m.vm_id.clone()).is_none_or(|was| seen.vm_id.as_ref() == Some(&was));
        if same {
            status.machine = Some(seen);
            let covered = body.map(Coverage::of_item).or_else(|| coverage(s, p, facts));
            status.disks = disks(&vm, &covered.unwrap_or(Coverage::All));
        }
    }
    if let Some(disks) = declared(s, p, facts) {
        status.pinned_disks = machine_disks::pinned(s, p, facts, &disks);
    }
    if let Some(machine) = status.machine.as_mut() {
        machine.power_state = power_state(p, facts).or(machine.power_state.take());
    }
}

/// Of a machine that is not granted nothing is told anew: what was known of an item of ours stays, as what was last known.
fn not_shown(s: &Subject<ProtectedMachine>, p: &Place, status: ProtectedMachineStatus, hold: &Hold) -> Report {
    let promise = Promise::broken(hold.reason, hold.message.clone());
    if s.owns(&p.item) || s.operations.contains_key("protection") {
        let conditions = last_known(&status, &promise);
        return told(&status, promise, conditions, s.owned.clone(), None);
    }
    let status = ProtectedMachineStatus { shared: status.shared, runs: status.runs, ..ProtectedMachineStatus::default() };
    let conditions = vec![Said::new(ConditionType::Protected, None, hold.reason, hold.message.clone())];
    told(&status, promise, conditions, s.owned.clone(), None)
}

fn stopped_as_declared(p: &Place, protection: &Protection) -> Promise {
    if *protection == Protection::Suspended {
        let message = format!(
            "backups of {} are suspended, as declared; its vault is immutable, and its points expire as their policy says",
            p.machine
        );
        return Promise::kept(Reason::BackupsSuspended, message);
    }
    Promise::kept(Reason::ProtectionStopped, format!("protection of {} is stopped, as declared; its points are kept", p.machine))
}

fn told(
    status: &breakwater_api::ProtectedMachineStatus,
    promise: Promise,
    conditions: Vec<Said>,
    owned: Vec<Owned>,
    next: Option<Timestamp>,
) -> Report {
    Report { status: super::as_map(status), promise, conditions, owned, next, remove_at: None }
}

/// The machine as its body shows it.
pub(super) fn observed(vm: &VirtualMachine, before: Option<&ObservedMachine>) -> ObservedMachine {
    let p = &vm.properties;
    ObservedMachine {
        vm_id: p.vm_id.clone(),
        os: p.os_type().map(ToString::to_string),
        location: vm.location.clone(),
        as_of: before.and_then(|b| b.as_of.clone()),
        power_state: p.power_state().map(|w| w.to_string()).or_else(|| before.and_then(|b| b.power_state.clone())),
    }
}

fn observed_as_of(vm: &VirtualMachine, s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> ObservedMachine {
    let mut seen = observed(vm, s.status.machine.as_ref());
    let listed = facts.listed(&super::machines_of(p.machine.subscription_id()), &p.machine);
    let version = listed.present().and_then(|b| b.get("changedTime")).and_then(|t| t.as_str()).map(str::to_owned);
    seen.as_of = version.or(seen.as_of);
    seen
}

fn power_state(p: &Place, facts: &Facts) -> Option<String> {
    let listed = facts.listed(&super::power_states_of(p.machine.subscription_id()), &p.machine);
    let vm = VirtualMachine::parse(listed.present()?).ok()?;
    vm.properties.power_state().map(|word| word.to_string())
}

fn disks(vm: &VirtualMachine, covered: &Coverage) -> Vec<ObservedDisk> {
    let Some(storage) = &vm.properties.storage_profile else { return Vec::new() };
    let id = |d: Option<&breakwater_arm::bodies::ManagedDisk>| d.and_then(|m| m.id.as_ref()).map(|i| i.0.clone()).unwrap_or_default();
    let os = storage.os_disk.iter().map(|d| ObservedDisk { id: id(d.managed_disk.as_ref()), lun: -1, covered: true });
    let data = storage.data_disks.iter().flatten().map(|d| {
        let lun = d.lun.unwrap_or_default();
        ObservedDisk { id: id(d.managed_disk.as_ref()), lun: i32::try_from(lun).unwrap_or(0), covered: covered.covers(lun) }
    });
    os.chain(data).take(65).collect()
}

fn take_points(p: &Place, facts: &Facts, item: &Item, status: &mut ProtectedMachineStatus) {
    let token = item.token();
    // A listing that failed says nothing of what moved: the one before it is not taken for it.
    let listed = facts.lists.get(&points_of(&p.item)).filter(|listed| listed.trouble.is_none());
    if let Some(points) = listed.and_then(|listed| listed.last.as_ref()) {
        let points: Vec<Value> = points.items.values().map(Packed::open).collect();
        status.recovery_points = Some(recovery_points::sum_up(points.iter(), token));
        status.points = recovery_points::youngest(points.iter());
    }
    let vault = p.vault_view.status.vault.as_ref();
    if let Some(points) = &mut status.recovery_points {
        points.regions = recovery_points::regions(&p.vault_view.spec.location, vault.is_some_and(|v| v.cross_region_restore == Some(true)));
    }
    if let Some(vm) = vm(p, facts) {
        status.restore_times = recovery_points::restore_times(size(&vm));
    }
}

/// How many GB its disks are, where all of them tell.
fn size(vm: &VirtualMachine) -> Option<i64> {
    let storage = vm.properties.storage_profile.as_ref()?;
    let data = storage.data_disks.iter().flatten().map(|disk| disk.disk_size_gb);
    storage.os_disk.iter().map(|disk| disk.disk_size_gb).chain(data).sum()
}

fn last_backup(
    s: &Subject<ProtectedMachine>,
    p: &Place,
    facts: &Facts,
    item: &Item,
    points: Option<&RecoveryPoints>,
) -> Option<LastBackup> {
    let jobs = backup_jobs(s, p, facts);
    let job = jobs.first();
    if item.last_result.is_empty() && job.is_none() {
        return s.status.last_backup.clone();
    }
    let begun = item.last_backup.or_else(|| job.and_then(|j| j.start));
    // A running job is never called failed because it is old.
    let running = job.filter(|j| !j.over && j.start >= item.last_backup);
    let result = running.map(|j| j.status.clone()).or_else(|| Some(item.last_result.clone()).filter(|r| !r.is_empty()));
    let failed = result.as_deref() == Some("Failed");
    let before = s.status.last_backup.clone().unwrap_or_default();
    let same = before.at == begun.map(seconds);
    let point = points.and_then(|r| r.latest.as_ref()).filter(|_| running.is_none() && !failed);
    let named = job.filter(|j| running.is_some() || j.start == begun || Some(&j.status) == result.as_ref());
    Some(LastBackup {
        at: running.and_then(|j| j.start).or(begun).map(seconds),
        result,
        job: named.map(|j| j.name.clone()).or_else(|| before.job.filter(|_| same)),
        consistency: point.map(|p| p.consistency.clone()),
        tier: point.map(|p| p.tiers.join("And")).filter(|t| !t.is_empty()),
        error: failed.then(|| item.health.clone()).flatten().map(|h| h.chars().take(400).collect()),
    })
}
