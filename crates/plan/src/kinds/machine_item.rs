//! What a machine's item should be: its policy and its disks, and what may not be let go.

use breakwater_api::{ProtectedMachine, Reason, protected_machine::DeclaredProtection};
use breakwater_arm::{
    ResourceId, names,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use jiff::SignedDuration;
use serde_json::json;

use super::{
    machine_disks,
    machine_place::{Place, standing},
    machines_of, protection, selected, unreadable,
};
use crate::{
    defence,
    disks::Coverage,
    facts::{Facts, Fresh, Need},
    graph::{Change, Difference, Hold},
    kind::Subject,
    questions::{Approved, Question, rounded_up},
    selection,
};

/// The disks that are declared: the object's own, else those of the policy's entry that means the machine. `None` where that
/// cannot be told (the inventory did not come, the tags match no more).
pub(super) fn declared(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Coverage> {
    if s.spec.disks.is_some() {
        return Some(Coverage::declared(s.spec.disks.as_ref()));
    }
    let listed = facts.listed(&machines_of(p.machine.subscription_id()), &p.machine);
    let entry = listed.present().and_then(|body| {
        let tags = body.get("tags").and_then(|t| serde_json::from_value(t.clone()).ok()).unwrap_or_default();
        let candidate = selection::Candidate { id: p.machine.clone(), location: p.vault_view.spec.location.clone(), tags };
        selection::select(&p.policy_view.spec.machines, &[candidate], &p.vault_view.spec.location).into_iter().next()
    });
    entry.map(|entry| Coverage::declared(entry.disks.as_ref()))
}

/// The disks to cover now. Where nothing is declared that could be told, what the item has stays; `None` before there is one.
pub(super) fn coverage(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Coverage> {
    let item = p.item_body(facts).map(|body| Coverage::of_item(body));
    if let Some(declared) = declared(s, p, facts) {
        return Some(machine_disks::follow(s, p, facts, declared, item.as_ref()));
    }
    // What the policy made keeps its disks when the policy means it no more; what somebody made by hand means all of them.
    if selected::is_made_by_hand(s, p) {
        return Some(Coverage::All);
    }
    let listed = facts.listed(&machines_of(p.machine.subscription_id()), &p.machine);
    item.or_else(|| listed.present().map(|_| Coverage::All))
}

pub(super) fn body_of(p: &Place, coverage: &Coverage) -> serde_json::Value {
    let mut properties = json!({
        "protectedItemType": names::VIRTUAL_MACHINE,
        "sourceResourceId": p.machine,
        "policyId": p.policy,
    });
    if *coverage != Coverage::All {
        properties["extendedProperties"] = coverage.extended_properties();
    }
    json!({ "properties": properties })
}

pub(super) fn put(p: &Place, disks: &Coverage) -> Request {
    let body = body_of(p, disks);
    Request::new(Method::Put, p.item.as_str(), RECOVERY_SERVICES).with_body(body)
}

/// One PUT brings policy and disks together: it is a full statement of intent (backup.md §8.3). A stop, a resumption and an
/// undeletion are the same PUT with other words (§9).
pub(super) fn change(p: &Place, s: &Subject<ProtectedMachine>, facts: &Facts) -> Option<Change> {
    let body = p.item_body(facts)?;
    let item = protection::Item::read(body)?;
    let one = |field: &str, have: &str, want: &str, request: Request| {
        let differences = vec![Difference { field: field.into(), have: have.into(), want: want.into() }];
        Some(Change { differences, request })
    };
    if item.soft_deleted {
        let undelete = || one("undelete", "soft-deleted", "stopped, points kept", undeleting(p));
        return s.spec.undelete.then(undelete).flatten();
    }
    if wanted(s, p, facts) == Want::Stopped {
        let how = stopped_state(p, facts);
        return (!item.is_stopped()).then(|| one("protection", &item.state, how, stopping(p, how))).flatten();
    }
    let have = Coverage::of_item(body);
    let want = coverage(s, p, facts).unwrap_or_else(|| have.clone());
    let mut differences = Vec::new();
    if item.is_stopped() {
        differences.push(Difference { field: "protection".into(), have: item.state.clone(), want: "Protected".into() });
    }
    if item.policy.as_ref() != Some(&p.policy) {
        let from = item.policy.as_ref().map_or("none", |id| id.name()).to_owned();
        differences.push(Difference { field: "policyRef".into(), have: from, want: p.policy.name().to_owned() });
    }
    if have != want {
        differences.push(Difference { field: "disks".into(), have: have.show(), want: want.show() });
    }
    let mut body = body_of(p, &want);
    if want == Coverage::All && have != Coverage::All {
        body["properties"]["extendedProperties"] = want.extended_properties();
    }
    let request = Request::new(Method::Put, p.item.as_str(), RECOVERY_SERVICES).with_body(body);
    (!differences.is_empty()).then_some(Change { differences, request })
}

/// How a machine is stopped: with every point kept, or, where the vault is immutable, in the one way that Azure offers there:
/// no more backups, and the points expire as the policy says (backup.md §9, §4.3).
pub(super) fn stopped_state(p: &Place, facts: &Facts) -> &'static str {
    let vault = facts.resource(&p.vault).into_present();
    if vault.is_some_and(|vault| defence::is_immutable(vault)) { defence::SUSPENDED } else { "ProtectionStopped" }
}

/// A stop, in the words that clients send (backup.md §9; azure-cli sends no policy with either state).
fn stopping(p: &Place, state: &str) -> Request {
    let properties = json!({
        "protectedItemType": names::VIRTUAL_MACHINE,
        "sourceResourceId": p.machine,
        "policyId": "",
        "protectionState": state,
    });
    Request::new(Method::Put, p.item.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties }))
}

/// What is soft-deleted is brought back stopped, with all points (backup.md §9).
fn undeleting(p: &Place) -> Request {
    let mut request = stopping(p, "ProtectionStopped");
    if let Some(body) = &mut request.body {
        body["properties"]["isRehydrate"] = json!(true);
    }
    request
}

/// What the object, its deletion or its policy's selection wants of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Backups.
    Protected,
    /// None, points kept.
    Stopped,
}

/// What is wanted of the machine now.
pub(super) fn wanted(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Want {
    let declared = s.spec.protection == Some(DeclaredProtection::Stopped);
    if declared || s.meta.deleting || selected::let_go(s, p, facts) { Want::Stopped } else { Want::Protected }
}

/// How old what is read of a policy may be when a machine goes under it.
const READ_WITHIN: SignedDuration = SignedDuration::from_secs(15);

/// The policies by which points live and expire when the machine goes to another policy or is resumed: the one that it gets,
/// and the one that it leaves. None while it stays where it is.
fn gone_between(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Vec<ResourceId> {
    let Some(item) = p.item_body(facts).and_then(|body| protection::Item::read(body)) else { return Vec::new() };
    let goes = item.is_stopped() || item.policy.as_ref() != Some(&p.policy);
    if !goes || item.soft_deleted || wanted(s, p, facts) == Want::Stopped || standing(s, p, facts).hold.is_some() {
        return Vec::new();
    }
    let old = item.policy.filter(|old| *old != p.policy);
    std::iter::once(p.policy.clone()).chain(old).collect()
}

/// They are read right before: an edit of them may be on its way.
pub(super) fn policies_need(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Vec<Need> {
    gone_between(s, p, known).into_iter().map(|id| Need::Read { id, fresh: Fresh::Within(READ_WITHIN) }).collect()
}

/// That a policy which the machine leaves or gets is being changed, or was not read just now.
pub(super) fn unsettled(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Hold> {
    let policies = gone_between(s, p, facts);
    if policies.is_empty() {
        return None;
    }
    let view = &p.policy_view;
    let shared = &view.status.shared;
    let works = shared.operations.iter().any(|record| record.node == "policy" && record.outcome.is_none());
    if works || shared.observed_generation.is_some_and(|seen| seen != view.meta.generation) {
        return Some(Hold::wait(Reason::DependencyNotReady, format!("BackupPolicy {} is being changed", view.meta.name)));
    }
    let is_read = |id: &ResourceId| facts.seen.get(id).is_some_and(|seen| seen.read_since(s.now - READ_WITHIN).is_some());
    policies.iter().find(|id| !is_read(id)).map(|id| unreadable(id, facts))
}

/// The answer that a change needs: a stop in an immutable vault, a resumption, a move to a policy that keeps points shorter,
/// a disk dropped.
///
/// # Errors
/// The question, while nobody has answered it, or that a policy was not read yet.
pub(super) fn asked(p: &Place, s: &Subject<ProtectedMachine>, facts: &Facts, change: Option<&Change>) -> Result<Option<Approved>, Hold> {
    let Some(change) = change else { return Ok(None) };
    let before = p.item_body(facts).cloned();
    let old = before.as_ref().and_then(|b| protection::Item::read(b)?.policy).filter(|old| *old != p.policy);
    if let Some(old) = old.filter(|old| facts.resource(old).present().is_none()) {
        return Err(Hold::wait(Reason::NotYetObserved, format!("policy {} was not read yet", old.name())));
    }
    let around = |id: &ResourceId| facts.resource(id).into_present().cloned();
    let Some(stake) = defence::at_stake(&change.request, before.as_deref(), &around) else { return Ok(None) };
    let points = s.status.recovery_points.as_ref().map_or(0, |r| u64::try_from(r.count).unwrap_or(0));
    let up_to = rounded_up(points);
    let (id, reason, what) = match stake.field.as_str() {
        "protection" if defence::is_stopped(&stake.to) => {
            let what =
                format!("stops protection of {}; its vault is immutable, and Azure then lets up to {up_to} points expire", p.machine);
            ("stop", Reason::StopLetsPointsExpire, what)
        }
        "protection" => {
            let what = format!(
                "resumes protection of {}, then {}; those of its up to {up_to} points that it keeps no longer expire",
                p.machine, stake.to
            );
            ("resume", Reason::WouldExpirePoints, what)
        }
        "tier" => {
            let what = format!(
                "moves {} from a policy of tier {} to one of tier {}, and Azure lets no machine go back",
                p.machine, stake.from, stake.to
            );
            ("one-way-tier", Reason::OneWay, what)
        }
        field => {
            let what = format!("{field} of {}: {} -> {} lets points of it (up to {up_to}) expire", p.machine, stake.from, stake.to);
            ("points-expire", Reason::WouldExpirePoints, what)
        }
    };
    let asks = format!("This {what}. It stays as it is until then. Shall it be done");
    s.consent(reason, Question::to_approve(id, stake, points, asks)).map(Some)
}
