//! The mark of a restore: its once-key as a tag on what it made. Azure forgets jobs and a cluster may be built anew; what was made
//! still says for which key. A mark is believed for one thing only, and only on what looks restored: that this was done, and is not
//! to be done again.

use std::sync::Arc;

use breakwater_api::{Reason, RestoreRun, RunPhase};
use breakwater_arm::{
    ResourceId,
    bodies::VirtualMachine,
    names::TAG_RESTORE,
    versions::RESOURCES,
    wire::{Method, Request},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    restore_made::{self, SLACK, disks_of, disks_of_machine, is_named_for, looks_restored},
    restore_run::{RESTORE, key, seen_jobs},
    restore_source::Source,
    restore_target::{self, AROUND_WITHIN, new_machine},
    runs,
};
use crate::{
    defence::{is_restored_for, made_at},
    facts::{Facts, Fresh, List, Need},
    graph::{Change, Difference, Goal, Hold, Node, Ownership},
    jobs::SeenJob,
    kind::Subject,
    sighting::Known,
};

/// The node of the mark.
pub(super) const MARK: &str = "mark";

/// How long after its job's end a restore waits for its mark.
const MARKED_WITHIN: SignedDuration = SignedDuration::from_mins(30);

/// The disks among which one may bear the mark, where disks are restored.
fn disks(s: &Subject<RestoreRun>, source: &Source) -> Option<List> {
    s.spec.to.disks.as_ref()?;
    restore_target::target_group(s, source).ok().map(|group| disks_of(&group))
}

/// What is looked at before a restore is begun. A new machine is looked at anyway.
pub(super) fn need(s: &Subject<RestoreRun>, source: &Source) -> Option<Need> {
    disks(s, source).map(|list| Need::ListUnder { list, fresh: Fresh::Within(AROUND_WITHIN) })
}

/// Whether the run itself has begun, or may have.
fn is_begun(s: &Subject<RestoreRun>) -> bool {
    let told = s.status.phase.as_ref().is_some_and(|phase| *phase != RunPhase::Pending);
    s.record(RESTORE).is_some() || s.status.job.is_some() || told
}

/// What bears this run's key though the run itself has begun nothing. Azure's own jobs tell more, where they still tell.
pub(super) fn found(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<ResourceId> {
    if is_begun(s) {
        return None;
    }
    seen_jobs(s, source, facts)?;
    let key = key(s, source);
    if let Some(machine) = new_machine(s, source).ok().flatten() {
        let is_it = |body: &Value| is_restored_for(body, &key) && runs_on_restored(body, machine.name());
        return facts.read(&machine).into_present().filter(|body| is_it(body)).map(|_| machine.clone());
    }
    let listed = facts.list(&disks(s, source)?)?;
    let is_it = |id: &ResourceId, body: &Value| is_restored_for(body, &key) && looks_restored(id, body, source.machine.name());
    listed.iter().find(|(id, body)| body.mentions(&key) && is_it(id, &body.open())).map(|(id, _)| id.clone())
}

/// Whether a machine stands on disks that bear the names which a restore of it gives: a tag alone anybody can put on anything.
fn runs_on_restored(body: &Value, machine: &str) -> bool {
    let disks = VirtualMachine::parse(body).map(|vm| disks_of_machine(&vm)).unwrap_or_default();
    let named = |id: &str| id.parse::<ResourceId>().is_ok_and(|id| is_named_for(id.name(), machine));
    disks.iter().any(|disk| disk.lun == Some(-1) && named(&disk.id))
}

/// Disks that were not looked at may bear the mark.
pub(super) fn hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    let list = disks(s, source)?;
    if facts.list(&list).is_some() {
        return None;
    }
    let why = "one of them may tell that this restore was done before";
    let trouble = facts.lists.get(&list).and_then(|listed| listed.trouble.as_ref());
    let unlisted = || Hold::wait(Reason::NotYetObserved, format!("{} was not listed yet, and {why}", list.path));
    Some(trouble.map_or_else(unlisted, |t| Hold::trouble(t, format!("{} cannot be listed, and {why}: {}", list.path, t.message))))
}

/// What the mark goes on: the machine that was made, or the first of the disks.
fn bearer(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<ResourceId> {
    if s.spec.to.new_machine.is_some() {
        return new_machine(s, source).ok().flatten();
    }
    s.spec.to.disks.as_ref()?;
    let made = restore_made::all(s, source, facts).into_iter().filter_map(|made| made.id.parse::<ResourceId>().ok());
    made.min_by_key(ResourceId::key)
}

/// What the mark goes on is read only just before it is written: until then it is known as it was listed.
pub(super) fn bearer_need(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> Option<Need> {
    let is_there = did(s, source, facts, over) && !restore_made::is_awaited(s, source, facts, over);
    Some(Need::Read { id: bearer(s, source, facts).filter(|_| is_there)?, fresh: Fresh::Known })
}

/// As it was seen last.
fn seen(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, id: &ResourceId) -> Option<Arc<Value>> {
    match facts.resource(id) {
        Known::Present(_, body) => Some(body.clone()),
        Known::Absent(_) => None,
        Known::Unknown => disks(s, source).and_then(|list| facts.listed(&list, id).into_present()).map(Arc::new),
    }
}

/// Whether the mark is still to come: not where nothing shows that could bear it, where it was refused, or after a while.
pub(super) fn is_awaited(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> bool {
    let in_time = s.now < over.end.unwrap_or(s.now) + MARKED_WITHIN;
    let refused = s.operations.get(MARK).is_some_and(|record| runs::refusal(record).is_some());
    in_time && !refused && unmarked(s, source, facts, over).is_some()
}

/// What a person is told when what was made bears no mark.
pub(super) fn missing(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> Option<String> {
    let (id, ..) = unmarked(s, source, facts, over)?;
    let why = s.operations.get(MARK).and_then(runs::refusal).map_or_else(|| "it was not written in time".to_owned(), |(_, words)| words);
    Some(format!("{id} does not bear the tag {TAG_RESTORE}, which would tell a rebuilt cluster that this was done: {why}"))
}

/// Whether the job did its work: with warnings, where the world shows it.
fn did(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> bool {
    over.succeeded() || (over.status.starts_with("Completed") && restore_made::shows(s, source, facts))
}

/// What was made by this run and does not bear its mark; nothing, where that is not known. What another object of its key had done
/// is that one's to mark.
fn unmarked(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> Option<(ResourceId, Arc<Value>, Timestamp)> {
    let since = over.start? - SLACK;
    let id = bearer(s, source, facts).filter(|_| is_begun(s) && did(s, source, facts, over))?;
    let body = seen(s, source, facts, &id)?;
    let is_ours = made_at(&body).is_some_and(|at| at >= since);
    (is_ours && !is_restored_for(&body, &key(s, source))).then_some((id, body, since))
}

/// The node that writes it.
pub(super) fn node(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, over: &SeenJob) -> Option<Node> {
    let (id, body, since) = unmarked(s, source, facts, over)?;
    let group = restore_target::target_group(s, source).ok()?;
    let key = key(s, source);
    let have = body.pointer(&format!("/tags/{TAG_RESTORE}")).and_then(Value::as_str).unwrap_or("none").to_owned();
    let sent = json!({ "operation": "Merge", "properties": { "tags": { TAG_RESTORE: key } } });
    let change = Change {
        differences: vec![Difference { field: format!("tags.{TAG_RESTORE}"), have, want: key.clone() }],
        request: Request::new(Method::Patch, format!("{id}/providers/Microsoft.Resources/tags/default"), RESOURCES).with_body(sent),
    };
    let goal = Goal::Exists { create: None, change: Some(change) };
    Some(Node::arm(id, goal, Ownership::Restored { group, since, key }))
}
