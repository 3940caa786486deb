//! `BackupPolicy`: one policy in a vault, and one `ProtectedMachine` for each machine that its entries mean. An edit
//! that would let points expire stops; what somebody made longer in Azure is said and left.

use std::{collections::BTreeSet, sync::Arc};

use breakwater_api::{
    BackupPolicy, BackupPolicySpec, BackupPolicyStatus, ConditionType, ProtectedMachine, Reason, RecoveryVault, RestoreRun,
    references::{Adopt, DeletionPolicy},
    status::Owned,
};
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    DRIFT_WITHIN, VaultView, gone, is_admitted_by, items_of, kept, machines_of, no_such,
    policy_changes::{asked, change, digest, is_made, not_ours, put, rivals_needs, still_used, taken},
    policy_health::{blind, count, healthy},
    policy_id,
    policy_members::{Meant, candidates, member, members, selected, subscriptions, unlisted},
    restore_run::RESTORE,
    seconds, unreadable, vault_guard, vault_id, vault_is_ours,
};
use crate::{
    facts::{Facts, Fresh, Need, ObjectRef},
    graph::{Desired, Goal, Hold, Node, Ownership},
    keys,
    kind::{Decided, Kind, Promise, Report, Said, Subject},
    planner::Verdict,
    policy,
};

impl Kind for BackupPolicy {
    const NAME: &'static str = "BackupPolicy";
    type Spec = BackupPolicySpec;
    type Status = BackupPolicyStatus;
    const LISTS: &'static [&'static str] = &["excluded"];

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let namespace = s.meta.namespace.clone();
        let mine = Some(vec![("policyRef", s.meta.name.clone())]);
        let mut needs = vec![
            Need::Object(vault_ref(s)),
            Need::Namespace(namespace.clone()),
            Need::Objects { kind: ProtectedMachine::NAME, namespace: namespace.clone(), naming: mine },
            Need::Objects { kind: BackupPolicy::NAME, namespace, naming: None },
            Need::Made { kind: RestoreRun::NAME, node: RESTORE },
        ];
        // An edit puts the points of every machine under it at stake, whichever namespace its object is in.
        if s.spec.allowed_namespaces.is_some() {
            let naming = Some(vec![("policyRef", s.meta.name.clone())]);
            needs.push(Need::Objects { kind: ProtectedMachine::NAME, namespace: String::new(), naming });
        }
        needs.extend(rivals_needs(s, known));
        needs.extend(subscriptions(&s.spec).iter().map(|sub| Need::Inventory { list: machines_of(sub), watch: None }));
        let rarely = Fresh::Within(SignedDuration::from_hours(1));
        needs.extend(unlisted(s, known).into_iter().map(|id| Need::Read { id, fresh: rarely.clone() }));
        if let Ok((vault, id)) = ids(s, known) {
            needs.push(kept(&vault));
            needs.extend(vault_view(s, known).ok().and_then(|view| vault_guard::need(&vault, &view)));
            if known.resource(&vault).present().is_some() {
                needs.extend([kept(&id), Need::Inventory { list: items_of(&vault), watch: Some(vec![]) }]);
            }
        }
        needs
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        let wrong: Vec<String> = policy::check(&s.spec).iter().map(ToString::to_string).collect();
        // What is not to be made any more need not be possible.
        if !wrong.is_empty() && !s.meta.deleting {
            return Err(Hold::stuck(Reason::InvalidSpec, wrong.join("; ")));
        }
        let view = vault_view(s, facts)?;
        let (vault, id) = ids(s, facts)?;
        if facts.resource(&vault).is_unknown() {
            return Err(unreadable(&vault, facts));
        }
        // A vault that is gone took its policies along.
        if s.meta.deleting && facts.read(&vault).is_absent() {
            return Ok(Desired::new());
        }
        if view.status.vault.is_some() && facts.read(&vault).is_absent() {
            return Err(gone::missing(&vault, &format!("RecoveryVault {}", view.meta.name)));
        }
        if view.status.vault.is_none() || facts.resource(&vault).is_absent() {
            return Err(Hold::wait(Reason::DependencyNotReady, format!("RecoveryVault {} is not in Azure yet", view.meta.name)));
        }
        let owner = keys::owner_hash(&s.estate, &view.meta.namespace, RecoveryVault::NAME, &view.meta.name);
        let foreign =
            vault_is_ours(&vault, facts, &s.estate, &owner, &s.writer).or_else(|| taken(s, &id, facts)).or_else(|| not_ours(s, &id, facts));
        let ownership = Ownership::Named { vault: vault.clone(), owner, name: id.name().to_owned() };
        let lock = [format!("policy:{}", id.key())];
        let mut graph = Desired::new();
        if s.meta.deleting {
            let goal = Goal::Gone { request: Request::new(Method::Delete, id.as_str(), RECOVERY_SERVICES) };
            let hold = foreign.or_else(|| still_used(&id, facts));
            graph.node("policy", Node::arm(id.clone(), goal, ownership).locking(lock).held(hold));
            return Ok(graph);
        }
        // An edit that waits for a person holds up nobody: machines go on under the policy as it stands.
        let after: &[&str] = if foreign.is_none() && facts.resource(&id).present().is_some() { &[] } else { &["policy"] };
        let mut change = change(s, &id, facts);
        if let Some(change) = &mut change {
            vault_guard::guarded(&mut change.request, &vault, facts, &["backupPolicies/write"]);
        }
        let (approved, asked) = match asked(s, &id, facts, change.as_ref()) {
            Ok(approved) => (approved, None),
            Err(hold) => (None, Some(hold)),
        };
        let refused = change.as_ref().and_then(|change| policy::refused(change.request.body.as_ref()?, &s.spec));
        let refused = refused.map(|wrong| Hold::stuck(Reason::InvalidSpec, wrong.to_string()));
        let create = s.status.policy_id.is_none().then(|| put(&id, policy::to_azure(&s.spec).unwrap_or_default()));
        let goal = Goal::Exists { create, change };
        let node = Node::arm(id.clone(), goal, ownership).locking(lock).held(foreign.or(refused).or(asked)).approved(approved);
        graph.node("policy", node);
        let members = members(s, facts);
        let there: BTreeSet<&str> = members.iter().map(|m| m.meta.name.as_str()).collect();
        let all = selected(s, facts, &view, &candidates(s, facts));
        for meant @ Meant { name, .. } in all.iter().filter(|m| m.machine.excluded.is_none()) {
            let exists = there.contains(name.as_str());
            // Of a thousand that are there, nothing needs to be said again.
            let object = if exists { Value::Null } else { member(s, meant) };
            graph.node(&format!("machine-{name}"), Node::child(ProtectedMachine::NAME, name, exists, object).after(after));
        }
        Ok(graph)
    }

    fn report(s: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report {
        let mut status = s.status.clone();
        let found = ids(s, facts);
        let present = found.as_ref().ok().and_then(|(_, id)| facts.resource(id).into_present().cloned());
        if let (Ok((_, id)), Some(body)) = (&found, &present) {
            // In a vault of ours, a name that derives from this object is its own.
            let is_derived = s.spec.azure_name.is_none();
            let stands = decided.is_ok_and(|plan| plan.verdicts.get("policy") == Some(&Verdict::Done));
            let is_adopted = s.spec.adopt == Adopt::IfNotWeaker && stands;
            if is_adopted || s.status.policy_id.is_some() || is_made(s) || s.owns(id) || is_derived {
                status.policy_id = Some(id.to_string());
            }
            if policy::differences(&s.spec, body).is_ok_and(|d| d.is_empty()) {
                status.applied = Some(digest(&s.spec));
            }
        }
        status.rpo = policy::promised_span(&s.spec).ok();
        let members = members(s, facts);
        let stranded = vault_view(s, facts).ok().and_then(|view| count(s, facts, &view, &members, &mut status));
        let owned = match (&found, status.policy_id.is_some()) {
            (Ok((_, id)), true) if !s.owns(id) => vec![Owned { id: id.to_string(), name: Some("policy".into()), since: seconds(s.now) }],
            _ => s.owned.clone(),
        };
        let blind = blind(s, facts);
        let promise = match (decided, &blind) {
            (Ok(plan), _) if plan.verdicts.get("policy") != Some(&Verdict::Done) => {
                Promise::broken(Reason::NotYetObserved, "the policy is not in Azure as declared")
            }
            (Ok(_), Some((reason, why))) => Promise::broken(*reason, why.clone()),
            (Ok(_), None) if status.matched == Some(0) && !s.spec.machines.is_empty() => {
                let words = match status.excluded_count {
                    None | Some(0) => "its entries match no machine".to_owned(),
                    Some(n) => format!("its entries leave no machine to protect; left out: {n}, see status.excluded"),
                };
                Promise::kept(Reason::NoMachines, format!("the policy is in Azure; {words}"))
            }
            (Ok(_), None) => Promise::kept(Reason::AsDeclared, "the policy is in Azure as declared"),
            (Err(hold), _) => Promise::broken(hold.reason, hold.message.clone()),
        };
        let conditions = vec![healthy(&status, blind.as_ref(), stranded.as_deref()), drifted(s, present.as_deref())];
        let status = serde_json::to_value(&status).ok().and_then(|v| v.as_object().cloned()).unwrap_or_default();
        Report { status, promise, conditions, owned, next: Some(s.now + DRIFT_WITHIN), remove_at: None }
    }

    fn acts_on_deletion(spec: &BackupPolicySpec) -> bool {
        spec.deletion_policy == DeletionPolicy::Delete
    }
}

pub(super) fn vault_ref(s: &Subject<BackupPolicy>) -> ObjectRef {
    let namespace = s.spec.vault_ref.namespace_from(&s.meta.namespace).to_owned();
    ObjectRef { kind: RecoveryVault::NAME, namespace, name: s.spec.vault_ref.name.clone() }
}

/// The vault that it names, where that admits this namespace.
fn vault_view(s: &Subject<BackupPolicy>, facts: &Facts) -> Result<Arc<VaultView>, Hold> {
    let (at, own) = (vault_ref(s), s.meta.namespace.as_str());
    let found = facts.object::<VaultView>(&at);
    let admitted = found.filter(|v| is_admitted_by(v.spec.allowed_namespaces.as_ref(), &at.namespace, own, facts));
    admitted.ok_or_else(|| no_such("spec.vaultRef", at.kind, &at.name, &at.namespace, own))
}

fn ids(s: &Subject<BackupPolicy>, facts: &Facts) -> Result<(ResourceId, ResourceId), Hold> {
    let view = vault_view(s, facts)?;
    let vault = vault_id(&view.meta, &view.spec)?;
    let id = policy_id(&s.estate, &s.meta, &s.spec, &vault)?;
    Ok((vault, id))
}

fn drifted(s: &Subject<BackupPolicy>, body: Option<&Value>) -> Said {
    let Some(body) = body else { return Said::new(ConditionType::Drifted, None, Reason::NotYetObserved, "") };
    let differences = policy::differences(&s.spec, body).unwrap_or_default();
    if differences.is_empty() {
        return Said::new(ConditionType::Drifted, Some(false), Reason::AsDeclared, "");
    }
    let words = differences.iter().map(|d| format!("{}: {}, declared {}", d.field, d.have, d.want)).collect::<Vec<_>>().join("; ");
    let stronger = policy::merged(body, &s.spec)
        .is_ok_and(|declared| !policy::weakens(body, &declared).is_empty() && policy::weakens(&declared, body).is_empty());
    let reason = if stronger { Reason::StrongerThanDeclared } else { Reason::Drifted };
    Said::new(ConditionType::Drifted, Some(true), reason, words)
}
