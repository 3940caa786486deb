//! What a machine's item should be: its policy and its disks, and what may not be let go.

use breakwater_api::{ProtectedMachine, Reason};
use breakwater_arm::{
    names,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use serde_json::json;

use super::{machine_place::Place, machines_of, protection};
use crate::{
    disks::Coverage,
    facts::Facts,
    graph::{Change, Difference, Hold},
    keys,
    kind::Subject,
    policy, selection,
};

/// The disks that are declared: the object's own, else those of the policy's entry that means the machine. Where that
/// cannot be told (the inventory did not come, the tags match no more), what the item has stays; `None` before there is one.
pub(super) fn coverage(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Coverage> {
    if s.spec.disks.is_some() {
        return Some(Coverage::declared(s.spec.disks.as_ref()));
    }
    let listed = facts.listed(&machines_of(p.machine.subscription_id()), &p.machine);
    let entry = listed.present().and_then(|body| {
        let tags = body.get("tags").and_then(|t| serde_json::from_value(t.clone()).ok()).unwrap_or_default();
        let candidate = selection::Candidate { id: p.machine.clone(), location: p.vault_view.spec.location.clone(), tags };
        selection::select(&p.policy_view.spec.machines, &[candidate], &p.vault_view.spec.location).into_iter().next()
    });
    let item = facts.resource(&p.item).into_present().map(|body| Coverage::of_item(body));
    // What the policy made keeps its disks when the policy means it no more; what somebody made by hand means all of them.
    let by_hand = s.meta.name != keys::object_name(p.machine.name(), &[&p.machine.key()]);
    match (entry, item) {
        (Some(entry), _) => Some(Coverage::declared(entry.disks.as_ref())),
        (None, _) if by_hand => Some(Coverage::All),
        (None, Some(item)) => Some(item),
        (None, None) => listed.present().map(|_| Coverage::All),
    }
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

/// One PUT brings policy and disks together: it is a full statement of intent (backup.md §8.3).
pub(super) fn change(p: &Place, s: &Subject<ProtectedMachine>, facts: &Facts) -> Option<Change> {
    let body = facts.resource(&p.item).into_present()?;
    let item = protection::Item::read(body)?;
    let have = Coverage::of_item(body);
    let want = coverage(s, p, facts).unwrap_or_else(|| have.clone());
    let mut differences = Vec::new();
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

/// A move to a policy that keeps points shorter, or a disk dropped, lets points expire: a person decides.
pub(super) fn expires(p: &Place, s: &Subject<ProtectedMachine>, facts: &Facts) -> Option<Hold> {
    let body = facts.resource(&p.item).into_present()?;
    let item = protection::Item::read(body)?;
    if let Some(wanted) = coverage(s, p, facts).filter(|wanted| Coverage::of_item(body).loses_by(wanted)) {
        let (have, want) = (Coverage::of_item(body).show(), wanted.show());
        let message = format!(
            "disks would go from {have} to {want}, and points of the dropped disks would expire: it stays as it is; set disks back"
        );
        return Some(Hold::stuck(Reason::WouldExpirePoints, message));
    }
    let old = item.policy.filter(|old| *old != p.policy)?;
    let (before, after) = (facts.resource(&old).present().cloned(), facts.resource(&p.policy).present().cloned());
    let (Some(before), Some(after)) = (before, after) else {
        return Some(Hold::wait(Reason::NotYetObserved, format!("policy {} was not read yet", old.name())));
    };
    let weaker = policy::weakens(&before, &after).first().map(ToString::to_string);
    weaker.map(|w| {
        Hold::stuck(
            Reason::WouldExpirePoints,
            format!("a move from policy {} would let points expire ({w}): it stays under its policy; set policyRef back", old.name()),
        )
    })
}
