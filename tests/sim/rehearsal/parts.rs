//! Further parts of a rehearsal: a choice, an action that its field proves, one that its operation proves, something to be
//! gone, and an action on everything that a vault is seen to hold.

use std::collections::BTreeMap;

use breakwater_api::Reason;
use breakwater_api::operations::Outcome;
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use breakwater_plan::{
    facts::{Facts, Fresh, List, Need},
    graph::{Acted, Desired, Goal, Hold, Node, Ownership, Proof, Repeat},
    keys,
    kind::Subject,
    kinds::{items_of, text},
    sighting::{Known, Packed},
};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::kind::{Place, Rehearsal, item, job_over, once, retag};

/// The choice.
pub const STAMP: &str = "stamp";

const REFRESH: &str = "refresh";

/// What the further parts must know.
pub fn needs(s: &Subject<Rehearsal>, p: &Place) -> Vec<Need> {
    let mut needs = Vec::new();
    if s.spec.back_up_all {
        let since = s.meta.created - SignedDuration::from_hours(24);
        needs.push(Need::ListUnder { list: items(p), fresh: Fresh::Within(SignedDuration::from_mins(5)) });
        needs.push(Need::Jobs { vault: p.vault.clone(), since, fresh: Fresh::Within(SignedDuration::from_hours(1)) });
    }
    let removed = s.spec.remove.iter().filter(|id| s.status.removed.as_ref() != Some(*id));
    needs.extend(removed.map(|id| Need::Read { id: id.clone(), fresh: Fresh::Within(SignedDuration::from_mins(5)) }));
    needs
}

/// Chosen from what is seen and from the moment: a second choosing would come to something else.
pub fn choose(s: &Subject<Rehearsal>, p: &Place, facts: &Facts) -> BTreeMap<String, String> {
    match facts.resource(&p.vault) {
        Known::Present(_, vault) if s.spec.choose => {
            let seen = keys::hash(&[&vault.to_string()]);
            [(STAMP.to_owned(), format!("{}-{}", s.now.as_millisecond(), &seen[..8]))].into()
        }
        _ => BTreeMap::new(),
    }
}

/// Adds the further parts.
pub fn desire(s: &Subject<Rehearsal>, p: &Place, facts: &Facts, hold: Option<&Hold>, graph: &mut Desired) -> Result<(), Hold> {
    let Known::Present(_, vault) = facts.resource(&p.vault) else { return Ok(()) };
    let tagged = || Ownership::Tagged { owner: p.owner.clone() };
    let mut on_vault = |name: &str, acted: Acted, waits: Option<Hold>| {
        graph.node(name, Node::arm(p.vault.clone(), Goal::Acted(acted), tagged()).held(hold.cloned().or(waits)));
    };
    if s.spec.choose {
        let chosen = s.choices.get(STAMP).cloned();
        let waits = chosen.is_none().then(|| Hold::wait(Reason::NotYetObserved, "nothing is chosen yet"));
        on_vault("chosen", set(p, vault, "chosen", &chosen.unwrap_or_default(), Repeat::Safe), waits);
    }
    if s.spec.mark {
        on_vault("mark", set(p, vault, "marked", "yes", Repeat::Once), None);
    }
    if s.spec.refresh {
        on_vault(REFRESH, refresh(s, p), None);
    }
    if let Some(id) = &s.spec.remove {
        let ownership = Ownership::Named { vault: p.vault.clone(), owner: p.owner.clone(), name: id.name().to_owned() };
        let request = Request::new(Method::Delete, id.as_str(), RECOVERY_SERVICES);
        graph.node("removed", Node::arm(id.clone(), Goal::Gone { request }, ownership).held(hold.cloned()));
    }
    for (machine, node) in machines(s, p, facts) {
        let target = item(p, &machine)?;
        let done = s.status.jobs.contains_key(machine.name()) || job_over(s, p, &machine, &node, facts).is_some();
        let ownership = Ownership::Item { vault: p.vault.clone(), owner: p.owner.clone(), policies: [p.policy.clone()].into() };
        let acted = Goal::Acted(once(s, p, &machine, &target, done));
        let lock = [format!("machine:{}", machine.key())];
        graph.node(&node, Node::arm(target, acted, ownership).locking(lock).held(hold.cloned()));
    }
    Ok(())
}

/// What the further parts were seen to have done.
pub fn report(s: &Subject<Rehearsal>, p: &Place, facts: &Facts) -> Map<String, Value> {
    let mut status = Map::new();
    let mut jobs = s.status.jobs.clone();
    for (machine, node) in machines(s, p, facts) {
        jobs.extend(job_over(s, p, &machine, &node, facts).map(|job| (machine.name().to_owned(), job)));
    }
    let record = s.operations.get(REFRESH).filter(|record| record.outcome == Some(Outcome::Succeeded));
    let refreshed = s.status.refreshed.or(record.and_then(|record| record.ended_at));
    let gone = s.spec.remove.clone().filter(|id| facts.read(id).is_absent());
    let removed = s.status.removed.clone().or(gone);
    let fields = [("jobs", json!(jobs), jobs.is_empty()), ("refreshed", json!(refreshed), refreshed.is_none())];
    let fields = fields.into_iter().chain([("removed", json!(removed), removed.is_none())]);
    status.extend(fields.filter(|(_, _, absent)| !absent).map(|(name, value, _)| (name.to_owned(), value)));
    status
}

fn items(p: &Place) -> List {
    items_of(&p.vault)
}

/// The machines that the vault is seen to hold, with their nodes.
fn machines(s: &Subject<Rehearsal>, p: &Place, facts: &Facts) -> Vec<(ResourceId, String)> {
    let listed = facts.list(&items(p)).filter(|_| s.spec.back_up_all);
    let machines = listed.into_iter().flat_map(|items| items.values()).map(Packed::open);
    let machines = machines.filter_map(|item| text(&item, "/properties/sourceResourceId")?.parse::<ResourceId>().ok());
    machines.map(|machine| (machine.clone(), format!("backup-{}", machine.name()))).collect()
}

fn set(p: &Place, vault: &Value, name: &str, value: &str, repeat: Repeat) -> Acted {
    Acted {
        request: retag(p, name, value),
        proof: Proof::Field,
        repeat,
        key: keys::hash(&[name, &p.vault.key(), value])[..32].to_owned(),
        done: text(vault, &format!("/tags/{name}")) == Some(value),
        from: Vec::new(),
    }
}

/// A POST that Azure answers with 202 and an operation.
pub fn look_for_machines(p: &Place) -> Request {
    Request::new(Method::Post, format!("{}/backupFabrics/Azure/refreshContainers", p.vault), RECOVERY_SERVICES)
}

fn refresh(s: &Subject<Rehearsal>, p: &Place) -> Acted {
    Acted {
        request: look_for_machines(p),
        proof: Proof::Operation,
        repeat: Repeat::Safe,
        key: keys::hash(&[REFRESH, &p.vault.key(), &s.meta.namespace, &s.meta.name])[..32].to_owned(),
        done: s.status.refreshed.is_some(),
        from: Vec::new(),
    }
}
