//! Machines that no entry of their policy means any more. Only a direct read of the machine says so, and only a policy that
//! declares it lets go of one, after its grace period.

use breakwater_api::{BackupPolicy, ProtectedMachine, Protection, backup_policy::WhenUnselected, protected_machine::DeclaredProtection};
use breakwater_arm::{ResourceId, bodies::ResourceListItem};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{PolicyView, machine_place::Place, machines_of, protection, seconds};
use crate::{
    facts::{Facts, Fresh, Need},
    keys,
    kind::{Kind, Subject},
    selection::{self, Candidate},
};

/// How long a machine is unselected before it is let go of, where nothing is declared (api.md).
const GRACE: SignedDuration = SignedDuration::from_hours(24);

/// How old the direct read may be that lets go of a machine.
const READ_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// Of a hundred machines of a policy, at most so many are let go of in an hour (api.md, "whenUnselected").
const MOST_PERCENT: i64 = 5;

/// Whether a person made the object, not the policy.
pub(super) fn is_made_by_hand(s: &Subject<ProtectedMachine>, p: &Place) -> bool {
    s.meta.name != keys::object_name(p.machine.name(), &[&p.machine.key()])
}

fn lets_go(s: &Subject<ProtectedMachine>, p: &Place) -> bool {
    // Who says that it is to be protected is believed before a selector: the policy itself never says so.
    let by_policy = !is_made_by_hand(s, p) && s.spec.protection != Some(DeclaredProtection::Protected);
    p.policy_view.spec.when_unselected == WhenUnselected::StopAndRetain && by_policy
}

/// Whether the policy's entries mean a machine that shows itself so.
fn is_meant(p: &Place, machine: &ResourceId, body: &Value) -> Option<bool> {
    let candidate = candidate(machine, body)?;
    Some(!selection::select(&p.policy_view.spec.machines, &[candidate], &p.vault_view.spec.location).is_empty())
}

fn candidate(machine: &ResourceId, body: &Value) -> Option<Candidate> {
    let item: ResourceListItem = serde_json::from_value(body.clone()).ok()?;
    Some(Candidate { id: machine.clone(), location: item.location.unwrap_or_default(), tags: item.tags.unwrap_or_default() })
}

/// Whether another policy of the namespace than that one means a machine: it is somebody's all the same, and nobody lets go of it.
pub(super) fn is_anothers(namespace: &str, policy: &str, machine: &Candidate, facts: &Facts) -> bool {
    let others = facts.objects::<PolicyView>(BackupPolicy::NAME, namespace);
    let means = |v: &PolicyView| !selection::select(&v.spec.machines, std::slice::from_ref(machine), &machine.location).is_empty();
    others.iter().any(|v| v.meta.name != policy && !v.meta.deleting && means(v))
}

/// Whether its own policy means it, or another one does that would have it.
fn is_somebodys(s: &Subject<ProtectedMachine>, p: &Place, body: &Value, facts: &Facts) -> Option<bool> {
    let by_another = || candidate(&p.machine, body).map(|it| is_anothers(&s.meta.namespace, &p.policy_view.meta.name, &it, facts));
    if is_meant(p, &p.machine, body)? { Some(true) } else { by_another() }
}

/// A machine that its listing no longer shows as meant is read by its own id.
pub(super) fn need(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Option<Need> {
    let listed = known.listed(&machines_of(p.machine.subscription_id()), &p.machine).into_present();
    let suspected = lets_go(s, p) && listed.is_none_or(|body| is_meant(p, &p.machine, &body) != Some(true));
    suspected.then(|| Need::Read { id: p.machine.clone(), fresh: Fresh::Within(READ_WITHIN) })
}

/// By a direct read of a moment ago: whether the policy means it. `None` where nothing says so, the machine is gone, or it
/// cannot be read: a right that is lost lets go of nothing.
fn read(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<bool> {
    if facts.trouble(&p.machine).is_some() {
        return None;
    }
    let body = facts.seen.get(&p.machine)?.read_since(s.now - READ_WITHIN)?.what.clone()?;
    is_somebodys(s, p, &body, facts)
}

/// For status: since when it is not meant.
pub(super) fn unselected_since(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Timestamp> {
    if !lets_go(s, p) {
        return None;
    }
    let listed = facts.listed(&machines_of(p.machine.subscription_id()), &p.machine).into_present();
    match read(s, p, facts).or_else(|| listed.and_then(|body| is_somebodys(s, p, &body, facts)).filter(|meant| *meant)) {
        Some(true) => None,
        Some(false) => s.status.unselected_since.or(Some(seconds(s.now))),
        None => s.status.unselected_since,
    }
}

/// When it is let go of, where it is not meant.
pub(super) fn let_go_at(s: &Subject<ProtectedMachine>, p: &Place) -> Option<Timestamp> {
    let grace = p.policy_view.spec.unselect_grace_period.as_ref().map_or(GRACE, |span| span.as_signed());
    lets_go(s, p).then(|| s.status.unselected_since.map(|at| at + grace)).flatten()
}

/// Whether it is let go of now: not meant by a direct read, for as long as the grace period.
pub(super) fn let_go(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> bool {
    let due = let_go_at(s, p).is_some_and(|at| at <= s.now);
    // What was let go of stays so when its machine is gone, or cannot be read for a moment: nothing is sent for it.
    let stopped = matches!(s.status.protection, Some(Protection::Stopped | Protection::Suspended));
    due && match read(s, p, facts) {
        // A policy that is suspended, or only plans, lets go of nothing.
        Some(meant) => !meant && (stopped || protection::acts(&p.policy_view)),
        None => stopped,
    }
}

/// How many machines of the policy may be let go of within an hour.
pub(super) fn most_an_hour(p: &Place, facts: &Facts) -> usize {
    let body = facts.resource(&p.policy).into_present();
    let machines = body.and_then(|b| b.pointer("/properties/protectedItemsCount")).and_then(Value::as_i64).unwrap_or(0);
    usize::try_from((machines * MOST_PERCENT / 100).max(1)).unwrap_or(1)
}
