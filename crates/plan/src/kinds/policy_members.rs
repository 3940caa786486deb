//! The machines of a policy: which ones its entries mean, and their objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use breakwater_api::{BackupPolicy, BackupPolicySpec, ProtectedMachine, Reason, runs::RunRecord};
use breakwater_arm::{ArmTime, ResourceId, bodies::ResourceListItem};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PolicyView, VaultView, machines_of};
use crate::{
    facts::Facts,
    keys,
    kind::{Kind, NAMED, Subject, View},
    selection::{self, Candidate, Matched},
};

/// A member as the policy sees it.
pub(super) type Member = View<ProtectedMachine>;

pub(super) fn subscriptions(spec: &BackupPolicySpec) -> Vec<String> {
    let of_id = |id: &String| id.parse::<ResourceId>().ok().map(|id| id.subscription_id().to_ascii_lowercase());
    let of = |e: &breakwater_api::selector::MachineEntry| {
        e.selector.as_ref().map(|s| s.subscription_id.to_ascii_lowercase()).or_else(|| e.id.as_ref().and_then(of_id))
    };
    let mut all: Vec<String> = spec.machines.iter().filter_map(of).collect();
    all.sort();
    all.dedup();
    all
}

/// A machine that the entries mean.
pub(super) struct Meant {
    /// Which, and by what.
    pub machine: Matched,
    /// The name of its object.
    pub name: String,
    /// Whether that is another policy's.
    pub is_others: bool,
}

/// The machines that the entries mean, within what the access admits.
pub(super) fn selected(s: &Subject<BackupPolicy>, facts: &Facts, vault: &VaultView, machines: &[Candidate]) -> Vec<Meant> {
    let matched = selection::select(&s.spec.machines, machines, &vault.spec.location);
    let mut meant: Vec<Meant> =
        matched.into_iter().map(|machine| Meant { name: member_name(&machine.id), machine, is_others: false }).collect();
    let members = members(s, facts);
    let names = |of_us: bool| -> BTreeSet<&str> { members.iter().filter(|m| is_of(m, s) == of_us).map(|m| m.meta.name.as_str()).collect() };
    let (mine, others) = (names(true), names(false));
    let restored = restored(s, facts);
    for Meant { machine, name, is_others } in &mut meant {
        if !is_admitted(s, &machine.id) {
            machine.excluded = Some(Reason::OutsideGrant);
        }
        // What a restore made is the same logical machine again: only its id means it (api.md, "One logical machine").
        let by_tags = machine.chosen == selection::Chosen::BySelector && !mine.contains(name.as_str());
        if machine.excluded.is_none() && by_tags && restored.get(&machine.id).is_some_and(|since| is_made_since(&machine.id, *since, facts))
        {
            machine.excluded = Some(Reason::RestoredCopy);
        }
        // The holder keeps it; where nobody holds it yet, an explicit id comes before a selector (api.md).
        let held = mine.contains(name.as_str());
        *is_others = others.contains(name.as_str()) || facts.is_other(ProtectedMachine::NAME, &s.meta.namespace, name);
        let named = machine.chosen == selection::Chosen::BySelector && named_elsewhere(s, facts, &machine.id);
        if machine.excluded.is_none() && (*is_others || (named && !held)) {
            machine.excluded = Some(Reason::Conflict);
        }
    }
    // Machines outside the grant are not even counted by name: another tenant's stay unseen.
    meant.retain(|m| m.machine.excluded != Some(Reason::OutsideGrant) || m.machine.chosen == selection::Chosen::ById);
    meant
}

/// Machines that restores made or are making, and since when: by their objects, and, for those need not stay, by the machines
/// that they were restored from. What a run merely names is no copy: it may be anybody's machine.
fn restored(s: &Subject<BackupPolicy>, facts: &Facts) -> BTreeMap<ResourceId, Timestamp> {
    let members = members(s, facts);
    let by_now = facts.made.iter().map(|(id, since)| (id.clone(), *since));
    let remembered = |run: &RunRecord| Some((run.made.as_ref()?.parse::<ResourceId>().ok()?, run.at?));
    by_now.chain(members.iter().flat_map(|member| member.status.runs.iter().filter_map(remembered))).collect()
}

/// Whether a machine is not older than the restore that is said to have made it; one of unknown age is taken for a copy.
fn is_made_since(machine: &ResourceId, since: Timestamp, facts: &Facts) -> bool {
    let list = machines_of(&machine.subscription_id().to_ascii_lowercase());
    let body = facts.listed(&list, machine);
    let created = body.present().and_then(|b| serde_json::from_value::<ArmTime>(b.get("createdTime")?.clone()).ok()?.instant());
    created.is_none_or(|at| at + CLOCKS_DIFFER >= since)
}

/// The clocks of Azure's services need not agree.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// Whether another policy of the namespace names the machine by its id.
fn named_elsewhere(s: &Subject<BackupPolicy>, facts: &Facts, machine: &ResourceId) -> bool {
    let policies = facts.objects::<PolicyView>(BackupPolicy::NAME, &s.meta.namespace);
    let names = |p: &PolicyView| p.spec.machines.iter().any(|e| e.id.as_ref().and_then(|id| id.parse().ok()).as_ref() == Some(machine));
    policies.iter().any(|p| p.meta.name != s.meta.name && !p.meta.deleting && names(p))
}

pub(super) fn is_admitted(s: &Subject<BackupPolicy>, machine: &ResourceId) -> bool {
    s.access.as_ref().is_some_and(|a| a.admits("Read", machine))
}

/// The machines of the listings that an entry names or that are where a selector looks, and those that an entry names and a
/// direct read shows though no listing does. Of ten thousand in a subscription a policy means a few: only they are read.
pub(super) fn candidates(s: &Subject<BackupPolicy>, facts: &Facts) -> Vec<Candidate> {
    let lists = subscriptions(&s.spec);
    let items = lists.iter().filter_map(|sub| facts.list(&machines_of(sub))).flatten();
    let unlisted = unlisted(s, facts);
    let listed = items.filter_map(|(id, body)| Some((id, body.read::<ResourceListItem>()?)));
    let read = unlisted.iter().filter_map(|id| Some((id, ResourceListItem::deserialize(&**facts.read(id).into_present()?).ok()?)));
    let named: BTreeSet<ResourceId> = s.spec.machines.iter().filter_map(|entry| entry.id.as_ref()?.parse().ok()).collect();
    let selectors: Vec<_> = s.spec.machines.iter().filter_map(|entry| entry.selector.as_ref()).collect();
    let concerns = |id: &ResourceId, location: &str| {
        named.contains(id) || selectors.iter().any(|selector| selection::is_where(selector, id, location))
    };
    listed
        .chain(read)
        .filter(|(id, item)| concerns(id, item.location.as_deref().unwrap_or_default()))
        .map(|(id, item)| Candidate { id: id.clone(), location: item.location.unwrap_or_default(), tags: item.tags.unwrap_or_default() })
        .collect()
}

/// Machines that an entry names by id and that the whole listing of their subscription does not hold: only a direct read
/// says whether they exist.
pub(super) fn unlisted(s: &Subject<BackupPolicy>, facts: &Facts) -> Vec<ResourceId> {
    let named = s.spec.machines.iter().filter_map(|entry| entry.id.as_ref()?.parse::<ResourceId>().ok());
    let listed = |id: &ResourceId| facts.list(&machines_of(id.subscription_id().to_ascii_lowercase().as_str())).map(|l| l.contains_key(id));
    let mut all: Vec<ResourceId> = named.filter(|id| is_admitted(s, id) && listed(id) == Some(false)).collect();
    all.sort();
    all.dedup();
    all
}

/// Whether a machine's object names this policy.
pub(super) fn is_of(member: &Member, s: &Subject<BackupPolicy>) -> bool {
    let at = &member.spec.policy_ref;
    at.name == s.meta.name && at.namespace_from(&member.meta.namespace) == s.meta.namespace
}

/// The machines' objects that have the policy's name in their reference.
pub(super) fn members(s: &Subject<BackupPolicy>, facts: &Facts) -> Vec<Arc<Member>> {
    facts.objects::<Member>(ProtectedMachine::NAME, &s.meta.namespace)
}

/// `<machine>-<hash8 of its id>`
pub(super) fn member_name(machine: &ResourceId) -> String {
    keys::object_name(machine.name(), &[&machine.key()])
}

pub(super) fn member(s: &Subject<BackupPolicy>, Meant { machine, name, .. }: &Meant) -> Value {
    let owner = json!([{ "apiVersion": "breakwater.io/v1alpha1", "kind": BackupPolicy::NAME, "name": s.meta.name, "uid": s.meta.uid, "controller": true, "blockOwnerDeletion": false }]);
    let mut spec = json!({ "policyRef": { "name": s.meta.name }, "machineId": machine.id });
    // Its machines work under the access that it works under itself, whatever admits the namespace by then.
    if let Some(access) = &s.access {
        spec["accessRef"] = json!({ "name": access.name });
    }
    let mut metadata = json!({ "name": name, "namespace": s.meta.namespace, "ownerReferences": owner, "labels": { "breakwater.io/policy": label(&s.meta.name) } });
    // Of two namespaces that want one machine, who names it comes before who selects it (api.md).
    if machine.chosen == selection::Chosen::ById {
        metadata["annotations"] = json!({ NAMED: "true" });
    }
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": ProtectedMachine::NAME, "metadata": metadata, "spec": spec })
}

/// A label value holds 63 characters.
pub(super) fn label(name: &str) -> String {
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.', '_']).to_owned()
}
