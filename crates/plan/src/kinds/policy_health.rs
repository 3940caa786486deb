//! How the machines of a policy do: counted for people, with those that nobody can look for named.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use breakwater_api::{
    BackupPolicy, BackupPolicyStatus, ConditionType, Protection, Reason,
    backup_policy::{Coverage, ExcludedMachine, PolicyRecovery},
    protected_machine::{RecoveryPoint, RecoveryPoints, RestoreTime, TierCounts},
    selector::MachineSelector,
    status::MAX_LISTED,
};
use breakwater_arm::ResourceId;

use super::{
    VaultView, machines_of,
    policy_members::{Meant, Member, candidates, is_admitted, is_of, selected, subscriptions, unlisted},
    selected::is_anothers,
};
use crate::{
    facts::{Facts, List},
    kind::{Said, Subject},
    selection::{self, Candidate},
    sighting::Trouble,
};

/// Counts for people; the first machine that another policy's object keeps, though that policy means it no more, is told in words.
pub(super) fn count(
    s: &Subject<BackupPolicy>,
    facts: &Facts,
    vault: &VaultView,
    members: &[Arc<Member>],
    status: &mut BackupPolicyStatus,
) -> Option<String> {
    let is_missing = |list: &List| facts.list(list).is_none() && unlistable(list, facts).is_none();
    if subscriptions(&s.spec).iter().any(|sub| is_missing(&machines_of(sub))) {
        return None; // an inventory that did not come whole counts nothing; one that never comes holds up no other
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
    let stranded: Vec<&Meant> = matched.iter().filter(|meant| is_stranded(s, meant, &scope, facts)).collect();
    failing += stranded.len() as i64;
    for Meant { machine, name, .. } in &matched {
        let mine = ours.get(name.as_str()).copied();
        let state = mine.and_then(|m| m.status.protection.clone());
        let left_out = machine.excluded.map(|r| r.to_string()).or_else(|| mine.and_then(|m| left_out(m)));
        if let Some(reason) = left_out {
            // Nobody else protects it either: somebody must make room, or somebody believes it protected who named it.
            let full = i64::from(reason == Reason::VaultFull.as_str());
            let in_vain = i64::from(machine.chosen == selection::Chosen::ById && machine.excluded.is_some_and(is_in_vain));
            (kept, failing) = (kept + full, failing + full + in_vain);
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
    stranded.first().map(|Meant { machine, name, .. }| {
        format!(
            "{} is kept by ProtectedMachine {name}, whose policy means it no more: set spec.policyRef.name of it to {}, or delete that object",
            machine.id, s.meta.name
        )
    })
}

/// Whether another policy's object holds a machine that no other policy means any more: it is protected as that one has it, and not
/// as this one does.
fn is_stranded(s: &Subject<BackupPolicy>, meant: &Meant, scope: &[Candidate], facts: &Facts) -> bool {
    let is_held = meant.machine.excluded == Some(Reason::Conflict) && meant.is_others;
    let candidate = scope.iter().find(|candidate| candidate.id == meant.machine.id);
    is_held && candidate.is_some_and(|machine| !is_anothers(&s.meta.namespace, &s.meta.name, machine, facts))
}

/// Whether a machine that is named is left out because it cannot be meant by this policy at all.
fn is_in_vain(reason: Reason) -> bool {
    matches!(reason, Reason::OutsideGrant | Reason::LocationMismatch)
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
    if let Some(reason) =
        [Reason::Conflict, Reason::DrillCopy, Reason::VaultFull, Reason::Unsupported].into_iter().find(|reason| not_ready(*reason))
    {
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

pub(super) fn healthy(status: &BackupPolicyStatus, blind: Option<&(Reason, String)>, stranded: Option<&str>) -> Said {
    let (matched, protected, failing) = (status.matched.unwrap_or(0), status.protected.unwrap_or(0), status.failing.unwrap_or(0));
    let also = stranded.map(|words| format!("; {words}")).unwrap_or_default();
    let message = format!("machines: {matched} matched, {protected} protected, {failing} failing{also}");
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

/// The first group that a selector names whole and that its access does not admit.
fn ungranted<'a>(s: &Subject<BackupPolicy>, selector: &'a MachineSelector) -> Option<&'a str> {
    let whole = selector.resource_groups.iter().filter(|group| !group.contains(['*', '?']));
    let within = |group: &str| format!("/subscriptions/{}/resourceGroups/{group}", selector.subscription_id).parse::<ResourceId>().ok();
    whole.map(String::as_str).find(|group| s.access.is_some() && within(group).is_some_and(|id| !is_admitted(s, &id)))
}

/// The first entry whose machines nobody can look for, or that names one that nobody can look at, and why: until that is mended
/// its machines are not known, and may be without protection.
pub(super) fn blind(s: &Subject<BackupPolicy>, facts: &Facts) -> Option<(Reason, String)> {
    s.spec.machines.iter().enumerate().find_map(|(at, entry)| {
        let (field, trouble) = match (&entry.selector, entry.id.as_ref().and_then(|id| id.parse::<ResourceId>().ok())) {
            (Some(selector), _) => {
                if let Some(group) = ungranted(s, selector) {
                    let access = s.access.as_ref().map_or("", |access| access.name.as_str());
                    let message = format!("spec.machines[{at}].selector.resourceGroups: AzureAccess {access} does not admit {group}: its machines are not seen");
                    return Some((Reason::OutsideGrant, message));
                }
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
