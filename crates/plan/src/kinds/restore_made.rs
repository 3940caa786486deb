//! What a restore made, also where it failed: it leaves behind what it had made by then (backup.md §13).

mod names;

use breakwater_api::{RestoreRun, restore_run::Made};
use breakwater_arm::{ArmTime, ResourceId, bodies::VirtualMachine, versions};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub(super) use self::names::{is_named_for, looks_restored};
use self::names::{is_restored, made_by, plain, stem_of, tagged};
use super::{
    restore_run::seen_job,
    restore_source::Source,
    restore_target::{new_machine, target_group},
};
use crate::{
    facts::{Facts, Fresh, List, Need},
    jobs::SeenJob,
    kind::Subject,
    sighting::Packed,
};

/// The clocks of a job and of a disk need not agree to the second.
pub(super) const SLACK: SignedDuration = SignedDuration::from_secs(60);

/// Between two looks at what a job says it made.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(2);

/// How long what was made may take to show after its job ended.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_mins(15);

/// How long it is tried to look at it: then the job's word is all there is.
const READABLE_WITHIN: SignedDuration = SignedDuration::from_hours(6);

/// Disks of a group.
pub(super) fn disks_of(group: &ResourceId) -> List {
    let path = format!("{group}/providers/Microsoft.Compute/disks");
    List { path, query: Vec::new(), api_version: versions::DISKS, partial: false }
}

/// Everything of a group, with the time when it was made.
fn all_of(group: &ResourceId) -> List {
    let query = vec![("$expand".to_owned(), "createdTime".to_owned())];
    List { path: format!("{group}/resources"), query, api_version: versions::RESOURCES, partial: false }
}

/// What is looked at when the job is over: at once, and now and then until it shows what the job says it did.
pub(super) fn needs(s: &Subject<RestoreRun>, source: &Source, known: &Facts, over: &SeenJob) -> Vec<Need> {
    // One look after the end serves all restores into that group which have ended by then. What did its work is looked at until it
    // shows; what a failed one left behind is looked for well after its end.
    let once = || Fresh::Version(format!("made by {}", over.name));
    let slack = if over.succeeded() { SignedDuration::ZERO } else { SLACK };
    let after = over.end.map(|end| end + slack).filter(|at| *at <= s.now);
    let mut fresh = vec![after.map_or_else(once, Fresh::After)];
    if is_looked_at(s, source, known, over) && is_awaited(s, source, known, over) {
        fresh.push(Fresh::Within(LOOK_EVERY));
    }
    let mut needs = Vec::new();
    for fresh in fresh {
        let lists = target_group(s, source).map(|group| lists(s, &group)).unwrap_or_default();
        needs.extend(lists.into_iter().map(|list| Need::ListUnder { list, fresh: fresh.clone() }));
        needs.extend(machine(s, source).map(|id| Need::Read { id, fresh }));
    }
    needs
}

/// The listings of a group in which what was made shows.
fn lists(s: &Subject<RestoreRun>, group: &ResourceId) -> Vec<List> {
    let all = s.spec.to.new_machine.is_some().then(|| all_of(group));
    [Some(disks_of(group)), all].into_iter().flatten().collect()
}

/// The machine that shows what came of it: the new one, or the one that got other disks.
fn machine(s: &Subject<RestoreRun>, source: &Source) -> Option<ResourceId> {
    match s.spec.to.replace_disks {
        Some(_) => Some(source.machine.clone()),
        None => new_machine(s, source).ok().flatten(),
    }
}

/// Whether all of it was looked at since the job ended: what was seen before says nothing.
fn is_looked_at(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> bool {
    let since = over.end.unwrap_or(s.now) - SLACK;
    let listed = |list: &List| facts.listed_at(list).is_some_and(|at| at >= since);
    let read = |id: ResourceId| facts.seen.get(&id).and_then(|seen| seen.read.as_ref()).is_some_and(|read| read.at >= since);
    target_group(s, source).is_ok_and(|group| lists(s, &group).iter().all(listed)) && machine(s, source).is_none_or(read)
}

/// Whether what was made is still to be looked at: until it could be, and, where the job says that it did its work, for a while
/// until it shows.
pub(super) fn is_awaited(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> bool {
    let ended = over.end.unwrap_or(s.now);
    if !is_looked_at(s, source, facts, over) {
        return s.now < ended + READABLE_WITHIN;
    }
    over.status.starts_with("Completed") && !shows(s, source, facts) && s.now < ended + SHOWN_WITHIN
}

/// The disks of a machine, by its body.
pub(super) fn disks_of_machine(vm: &VirtualMachine) -> Vec<Made> {
    let Some(storage) = &vm.properties.storage_profile else { return Vec::new() };
    let id = |disk: Option<&breakwater_arm::bodies::ManagedDisk>| Some(disk?.id.as_ref()?.0.clone());
    let os = storage.os_disk.iter().filter_map(|d| Some(Made { id: id(d.managed_disk.as_ref())?, lun: Some(-1) }));
    let data = storage.data_disks.iter().flatten().filter_map(|d| {
        let lun = d.lun.and_then(|lun| i32::try_from(lun).ok());
        Some(Made { id: id(d.managed_disk.as_ref())?, lun })
    });
    os.chain(data).collect()
}

/// What is kept of the disks that a machine had before: not those that it runs on still (a policy may leave disks out of its
/// backups, and Azure leaves them in place). As it was told, where the machine was not looked at since.
pub(super) fn taken_out(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> Vec<Made> {
    let looked_at = is_looked_at(s, source, facts, over);
    let now = vm(s, source, facts).filter(|_| looked_at).map(|vm| disks_of_machine(&vm)).unwrap_or_default();
    let runs_on = |old: &Made| now.iter().any(|disk| disk.id.eq_ignore_ascii_case(&old.id));
    s.status.old_disks.iter().filter(|old| !runs_on(old)).cloned().collect()
}

/// The body of the machine whose disks are replaced, or that is made.
pub(super) fn vm(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<VirtualMachine> {
    let body: &Value = facts.read(&machine(s, source)?).into_present()?;
    VirtualMachine::parse(body).ok()
}

/// Everything that the restore made, by id: what the machine shows, and what appeared in the target group while the job ran.
/// Nothing else tells it: a job names disks by name at best, and of a failed one nothing at all.
pub(super) fn all(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Vec<Made> {
    let Some(job) = seen_job(s, source, facts).filter(|j| j.over) else { return Vec::new() };
    let Some(start) = job.start else { return Vec::new() };
    let window = (start - SLACK, job.end.unwrap_or(s.now) + SLACK);
    let mut made = Vec::new();
    let before: Vec<&str> = s.status.old_disks.iter().map(|d| d.id.as_str()).collect();
    if let Some(vm) = vm(s, source, facts) {
        if s.spec.to.new_machine.is_some() {
            made.extend(machine(s, source).map(|id| Made { id: id.to_string(), lun: None }));
            made.extend(interfaces(s, source, facts));
        }
        let disks = disks_of_machine(&vm);
        made.extend(disks.into_iter().filter(|d| !before.iter().any(|old| old.eq_ignore_ascii_case(&d.id))));
    }
    let Ok(group) = target_group(s, source) else { return made };
    let restored = restored_disks(s, source, facts, &group, &job, window).into_iter();
    let others = facts.list(&all_of(&group)).into_iter().flatten();
    let others = others.filter(|(id, body)| is_beside(s, id) && within(&body.open(), "/createdTime", window)).map(|(id, _)| id.to_string());
    for id in restored.chain(others) {
        if !made.iter().any(|m| m.id.eq_ignore_ascii_case(&id)) {
            made.push(Made { id, lun: None });
        }
    }
    made.truncate(80);
    made
}

/// Disks that the job made in a group in that time: those that bear its name, and of those that bear no job's the ones that are
/// named for the machine. Where nothing is, a disk of another make counts that was restored there then.
fn restored_disks(
    s: &Subject<RestoreRun>,
    source: &Source,
    facts: &Facts,
    group: &ResourceId,
    job: &SeenJob,
    window: Window,
) -> Vec<String> {
    let listed = || facts.list(&disks_of(group)).into_iter().flatten();
    let name = s.spec.to.new_machine.as_ref().map_or(source.machine.name(), |new| &new.name);
    let named_for = |id: &ResourceId| is_named_for(id.name(), name);
    let found = |is: &dyn Fn(&ResourceId, &Value) -> bool, may_be: &dyn Fn(&ResourceId, &Packed) -> bool| -> Vec<String> {
        // By names first: of many disks that restores left in one group few are opened.
        let opened = listed().filter(|(id, body)| may_be(id, body)).map(|(id, body)| (id, body.open()));
        opened.filter(|(id, body)| within(body, "/properties/timeCreated", window) && is(id, body)).map(|(id, _)| id.to_string()).collect()
    };
    let ours = found(
        &|id, body| is_restored(body) && tagged(body).map_or_else(|| named_for(id), |of| of.eq_ignore_ascii_case(&job.name)),
        &|id, body| named_for(id) || body.mentions(&job.name),
    );
    let of_another_make = |id: &ResourceId| stem_of(id.name()).is_none();
    if ours.is_empty() {
        found(&|_, body| made_by(body, &["Restore"]) && tagged(body).is_none(), &|id, _| of_another_make(id))
    } else {
        ours
    }
}

/// From when to when.
type Window = (Timestamp, Timestamp);

/// Interfaces of the new machine.
fn interfaces(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Vec<Made> {
    let body = machine(s, source).and_then(|id| facts.read(&id).into_present().cloned());
    let all = body.as_ref().and_then(|b| b.pointer("/properties/networkProfile/networkInterfaces")).and_then(Value::as_array);
    let ids = all.into_iter().flatten().filter_map(|i| i.get("id")?.as_str().map(str::to_owned));
    ids.map(|id| Made { id, lun: None }).collect()
}

fn within(body: &Value, pointer: &str, (from, to): Window) -> bool {
    let at = body.pointer(pointer).and_then(|t| serde_json::from_value::<ArmTime>(t.clone()).ok()).and_then(|t| t.instant());
    at.is_some_and(|at| at >= from && at <= to)
}

/// The new machine, or an interface that Azure named for it (`web-1-nic-0123…`): not what another restore makes beside it under a
/// name that begins like this one.
fn is_beside(s: &Subject<RestoreRun>, id: &ResourceId) -> bool {
    let Some(new) = &s.spec.to.new_machine else { return false };
    let is = |kind: &str| id.resource_type().as_str().eq_ignore_ascii_case(kind);
    let stem = || Some(&id.name()[..id.name().to_ascii_lowercase().rfind("-nic-")?]);
    match () {
        () if is("Microsoft.Compute/virtualMachines") => id.name().eq_ignore_ascii_case(&new.name),
        () if is("Microsoft.Network/networkInterfaces") => stem().is_some_and(|stem| plain(stem) == plain(&new.name)),
        () => false,
    }
}

/// Whether the world shows that the restore did what it was to do: a job that ended with warnings may have left no more than
/// disks (backup.md §13).
pub(super) fn shows(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> bool {
    match (&s.spec.to.new_machine, &s.spec.to.replace_disks) {
        (Some(_), _) => vm(s, source, facts).is_some(),
        (None, Some(_)) => vm(s, source, facts).is_some_and(|vm| {
            let now = disks_of_machine(&vm);
            let os = now.iter().find(|d| d.lun == Some(-1));
            os.is_some_and(|os| !s.status.old_disks.iter().any(|old| old.id.eq_ignore_ascii_case(&os.id)))
        }),
        (None, None) => all(s, source, facts).iter().any(|made| made.id.to_ascii_lowercase().contains("/microsoft.compute/disks/")),
    }
}
