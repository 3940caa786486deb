//! The machines of a policy: which ones its entries mean, their objects, and how they do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use breakwater_api::{
    BackupPolicy, BackupPolicySpec, BackupPolicyStatus, ConditionType, ProtectedMachine, Protection, Reason, RestoreRun,
    backup_policy::{Coverage, ExcludedMachine, PolicyRecovery},
    protected_machine::{RecoveryPoint, RecoveryPoints, RestoreTime, TierCounts},
    status::MAX_LISTED,
};
use breakwater_arm::{ArmTime, ResourceId, bodies::ResourceListItem};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{PolicyView, VaultView, machines_of, restore_run::RESTORE};
use crate::{
    facts::{Facts, List},
    keys,
    kind::{Kind, NAMED, Said, Subject, View},
    selection::{self, Candidate, Matched},
    sighting::Trouble,
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
}

/// The machines that the entries mean, within what the access admits.
pub(super) fn selected(s: &Subject<BackupPolicy>, facts: &Facts, vault: &VaultView, machines: &[Candidate]) -> Vec<Meant> {
    let matched = selection::select(&s.spec.machines, machines, &vault.spec.location);
    let mut meant: Vec<Meant> = matched.into_iter().map(|machine| Meant { name: member_name(&machine.id), machine }).collect();
    let members = members(s, facts);
    let names = |of_us: bool| -> BTreeSet<&str> { members.iter().filter(|m| is_of(m, s) == of_us).map(|m| m.meta.name.as_str()).collect() };
    let (mine, others) = (names(true), names(false));
    let restored = restored(s, facts);
    for Meant { machine, name } in &mut meant {
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
        let is_others = others.contains(name.as_str()) || facts.is_other(ProtectedMachine::NAME, &s.meta.namespace, name);
        let named = machine.chosen == selection::Chosen::BySelector && named_elsewhere(s, facts, &machine.id);
        if machine.excluded.is_none() && (is_others || (named && !held)) {
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
    let runs = facts.objects::<View<RestoreRun>>(RestoreRun::NAME, "");
    let members = members(s, facts);
    let by_now = runs.iter().filter_map(|run| {
        let begun = run.status.shared.operations.iter().find(|o| o.node == RESTORE).map(|o| o.intent_at);
        let since = run.status.job.as_ref().and_then(|job| job.started_at).or(begun)?;
        // A status may be anybody's writing: nothing was restored before its run was made.
        Some((run.status.target_id.clone()?, since.max(run.meta.created)))
    });
    let before = members.iter().flat_map(|member| member.status.runs.iter().filter_map(|run| Some((run.made.clone()?, run.at?))));
    by_now.chain(before).filter_map(|(id, since)| Some((id.parse::<ResourceId>().ok()?, since))).collect()
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

fn is_admitted(s: &Subject<BackupPolicy>, machine: &ResourceId) -> bool {
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

/// Machines that an entry names, with the reason why there is nothing to protect.
fn named_in_vain(s: &Subject<BackupPolicy>, facts: &Facts) -> Vec<(ResourceId, Reason)> {
    let named = s.spec.machines.iter().filter_map(|entry| entry.id.as_ref()?.parse::<ResourceId>().ok());
    let outside = named.filter(|id| !is_admitted(s, id)).map(|id| (id, Reason::OutsideGrant));
    let gone = unlisted(s, facts).into_iter().filter_map(|id| {
        let refused = facts.trouble(&id).filter(|trouble| lasts(trouble)).map(|trouble| trouble.reason);
        Some((id.clone(), refused.or(facts.read(&id).is_absent().then_some(Reason::MachineNotFound))?))
    });
    let unseen = s.spec.machines.iter().filter_map(|entry| entry.id.as_ref()?.parse::<ResourceId>().ok()).filter_map(|id| {
        let list = machines_of(&id.subscription_id().to_ascii_lowercase());
        Some((id.clone(), unlistable(&list, facts).filter(|_| is_admitted(s, &id) && facts.list(&list).is_none())?.reason))
    });
    outside.chain(gone).chain(unseen).collect()
}

/// Whether a person must mend it: it does not pass by itself.
fn lasts(trouble: &Trouble) -> bool {
    !matches!(trouble.reason, Reason::Throttled | Reason::Unreadable)
}

/// Why the machines of a subscription cannot be listed, where that lasts.
fn unlistable<'f>(list: &List, facts: &'f Facts) -> Option<&'f Trouble> {
    facts.lists.get(list)?.trouble.as_ref().filter(|trouble| lasts(trouble))
}

/// The first entry whose machines nobody can look for, or that names one that nobody can look at, and why: until that is mended
/// its machines are not known, and may be without protection.
pub(super) fn blind(s: &Subject<BackupPolicy>, facts: &Facts) -> Option<(Reason, String)> {
    s.spec.machines.iter().enumerate().find_map(|(at, entry)| {
        let (field, trouble) = match (&entry.selector, entry.id.as_ref().and_then(|id| id.parse::<ResourceId>().ok())) {
            (Some(selector), _) => {
                let list = machines_of(&selector.subscription_id.to_ascii_lowercase());
                ("selector.subscriptionId", unlistable(&list, facts)?)
            }
            // Outside the grant it is among those that are left out.
            (None, Some(id)) if is_admitted(s, &id) => {
                let of_list = unlistable(&machines_of(&id.subscription_id().to_ascii_lowercase()), facts);
                ("id", of_list.or(facts.trouble(&id).filter(|trouble| lasts(trouble)))?)
            }
            _ => return None,
        };
        Some((trouble.reason, format!("spec.machines[{at}].{field}: its machines cannot be looked at: {}", trouble.message)))
    })
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

pub(super) fn member(s: &Subject<BackupPolicy>, Meant { machine, name }: &Meant) -> Value {
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

/// Counts for people.
pub(super) fn count(s: &Subject<BackupPolicy>, facts: &Facts, vault: &VaultView, members: &[Arc<Member>], status: &mut BackupPolicyStatus) {
    let is_missing = |list: &List| facts.list(list).is_none() && unlistable(list, facts).is_none();
    if subscriptions(&s.spec).iter().any(|sub| is_missing(&machines_of(sub))) {
        return; // an inventory that did not come whole counts nothing; one that never comes holds up no other
    }
    let scope = candidates(s, facts);
    let matched = selected(s, facts, vault, &scope);
    let chosen: BTreeSet<&ResourceId> = matched.iter().map(|m| &m.machine.id).collect();
    let in_vain: Vec<(ResourceId, Reason)> = named_in_vain(s, facts).into_iter().filter(|(id, _)| !chosen.contains(id)).collect();
    let ours = members.iter().filter(|m| is_of(m, s));
    let ours: BTreeMap<&str, &Arc<Member>> = ours.map(|m| (m.meta.name.as_str(), m)).collect();
    let mut excluded: Vec<ExcludedMachine> = Vec::new();
    excluded.extend(in_vain.iter().map(|(id, reason)| ExcludedMachine { machine: id.to_string(), reason: reason.to_string() }));
    // A name that means nothing is a machine that somebody believes protected.
    let (mut protected, mut failing, mut kept) = (0, in_vain.len() as i64, 0);
    // Members that no entry means any more are still protected, and may still fail.
    let meant: BTreeSet<&str> = matched.iter().map(|m| m.name.as_str()).collect();
    let left = ours.values().filter(|m| !meant.contains(m.meta.name.as_str()));
    failing += left.filter(|m| is_failing(m)).count() as i64;
    for Meant { machine, name } in &matched {
        let mine = ours.get(name.as_str()).copied();
        let state = mine.and_then(|m| m.status.protection.clone());
        let left_out = machine.excluded.map(|r| r.to_string()).or_else(|| mine.and_then(|m| left_out(m)));
        if let Some(reason) = left_out {
            // Nobody else protects it either: somebody must make room.
            let full = i64::from(reason == Reason::VaultFull.as_str());
            (kept, failing) = (kept + full, failing + full);
            excluded.push(ExcludedMachine { machine: machine.id.to_string(), reason });
            continue;
        }
        kept += 1;
        protected += i64::from(matches!(state, Some(Protection::Protected | Protection::InitialBackupPending)));
        failing += i64::from(mine.is_some_and(|m| is_failing(m)));
    }
    let unmatched = scope.iter().filter(|c| !chosen.contains(&c.id));
    let in_scope = |c: &&Candidate| s.spec.machines.iter().filter_map(|e| e.selector.as_ref()).any(|sel| selection::in_scope(sel, c));
    let by_tags: Vec<&Candidate> = unmatched.filter(in_scope).filter(|c| is_admitted(s, &c.id)).collect();
    excluded.extend(by_tags.iter().map(|c| ExcludedMachine { machine: c.id.to_string(), reason: "TagsDoNotMatch".into() }));
    let elsewhere =
        excluded.iter().filter(|e| e.reason == Reason::ElsewhereProtected.as_str() || e.reason == Reason::ForeignPolicy.as_str()).count()
            as i64;
    let machines = (matched.len() + in_vain.len() + by_tags.len()) as i64;
    status.coverage = Some(Coverage { machines, protected: protected + elsewhere });
    (status.matched, status.protected, status.failing) = (Some(kept), Some(protected), Some(failing));
    status.excluded_count = Some(excluded.len() as i64);
    status.recovery = recovery(ours.values().copied());
    excluded.truncate(MAX_LISTED);
    status.excluded = excluded;
}

/// What all members could be restored to.
fn recovery<'a>(members: impl Iterator<Item = &'a Arc<Member>>) -> Option<PolicyRecovery> {
    let known = |m: &'a Arc<Member>| Some((m.status.recovery_points.as_ref().filter(|p| p.count > 0)?, &m.status.restore_times));
    let all: Vec<(&RecoveryPoints, &Vec<RestoreTime>)> = members.filter_map(known).collect();
    let of = |pick: fn(&RecoveryPoints) -> Option<&RecoveryPoint>| all.iter().filter_map(move |(p, _)| pick(p)).map(|point| point.at);
    let mut regions: Vec<String> = all.iter().flat_map(|(p, _)| &p.regions).cloned().collect();
    regions.sort();
    regions.dedup();
    let tiers = all.iter().filter_map(|(p, _)| p.tiers.as_ref()).fold(TierCounts::default(), |sum, t| TierCounts {
        snapshot: sum.snapshot + t.snapshot,
        vault: sum.vault + t.vault,
        archive: sum.archive + t.archive,
    });
    let mut longest: BTreeMap<&str, &RestoreTime> = BTreeMap::new();
    for time in all.iter().flat_map(|(_, times)| *times) {
        let kept = longest.entry(&time.tier).or_insert(time);
        if time.up_to.as_signed() > kept.up_to.as_signed() {
            *kept = time;
        }
    }
    let restore_times = ["Snapshot", "Vault", "Archive"].iter().filter_map(|tier| longest.get(tier)).map(|time| (*time).clone()).collect();
    (!all.is_empty()).then(|| PolicyRecovery {
        recoverable: all.len() as i64,
        application_consistent: of(|p| p.latest_application_consistent.as_ref()).count() as i64,
        all_from: of(|p| p.oldest.as_ref()).max(),
        all_to: of(|p| p.latest.as_ref()).min(),
        tiers: Some(tiers),
        restore_times,
        regions: regions.into_iter().take(2).collect(),
    })
}

/// Why a member that exists cannot be protected by us.
pub(super) fn left_out(member: &Member) -> Option<String> {
    let not_ready = |reason: Reason| {
        member.status.shared.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "False" && c.reason == reason.as_str())
    };
    if let Some(reason) = [Reason::Conflict, Reason::DrillCopy, Reason::VaultFull].into_iter().find(|reason| not_ready(*reason)) {
        return Some(reason.to_string());
    }
    match member.status.protection.as_ref()? {
        Protection::ElsewhereProtected => Some(Reason::ElsewhereProtected.to_string()),
        Protection::ForeignPolicy => Some(Reason::ForeignPolicy.to_string()),
        _ => None,
    }
}

pub(super) fn is_failing(member: &Member) -> bool {
    member.status.shared.conditions.iter().any(|c| c.type_ == "Stalled" && c.status == "True")
        || member.status.shared.conditions.iter().any(|c| c.type_ == "WithinRPO" && c.status == "False")
        || member.status.shared.conditions.iter().any(|c| c.type_ == "Recoverable" && c.reason == Reason::OutcomeUnknown.as_str())
        || member.status.last_backup.as_ref().is_some_and(|b| b.result.as_deref() == Some("Failed"))
}

pub(super) fn healthy(status: &BackupPolicyStatus, blind: Option<&(Reason, String)>) -> Said {
    let (matched, protected, failing) = (status.matched.unwrap_or(0), status.protected.unwrap_or(0), status.failing.unwrap_or(0));
    let message = format!("{matched} machines matched, {protected} protected, {failing} failing");
    match (status.matched, failing, protected == matched) {
        (None, ..) => Said::new(ConditionType::MachinesHealthy, None, Reason::NotYetObserved, "the machines were not counted yet"),
        (_, 0, true) => match blind {
            Some((reason, why)) => {
                let message = format!("{message}, as far as they are known: {why}");
                Said::new(ConditionType::MachinesHealthy, None, *reason, message)
            }
            None => Said::new(ConditionType::MachinesHealthy, Some(true), Reason::AllHealthy, message),
        },
        _ => Said::new(ConditionType::MachinesHealthy, Some(false), Reason::SomeUnhealthy, message),
    }
}
