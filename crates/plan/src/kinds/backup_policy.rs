//! `BackupPolicy`: one policy in a vault, and one `ProtectedMachine` for each machine that its entries mean. An edit
//! that would let points expire stops; what somebody made longer in Azure is said and left.

use std::{collections::BTreeSet, sync::Arc};

use breakwater_api::{
    BackupPolicy, BackupPolicySpec, BackupPolicyStatus, ConditionType, ProtectedMachine, Reason, RecoveryVault, status::Owned,
};
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use jiff::SignedDuration;
use serde_json::Value;

use super::{
    DRIFT_WITHIN, VaultView, gone, items_of, kept, machines_of, policy_id,
    policy_members::{count, healthy, member, member_name, members, selected, subscriptions, unlisted},
    seconds, unreadable, vault_id, vault_is_ours,
};
use crate::{
    facts::{Facts, Fresh, Need, ObjectRef},
    graph::{Change, Desired, Difference, Goal, Hold, Node, Ownership},
    keys,
    kind::{Claim, Decided, Kind, Meta, Promise, Report, Said, Subject},
    planner::Verdict,
    policy,
    sighting::Known,
};

impl Kind for BackupPolicy {
    const NAME: &'static str = "BackupPolicy";
    type Spec = BackupPolicySpec;
    type Status = BackupPolicyStatus;

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let mut needs =
            vec![Need::Object(vault_ref(s)), Need::Objects { kind: ProtectedMachine::NAME, namespace: s.meta.namespace.clone() }];
        needs.push(Need::Objects { kind: BackupPolicy::NAME, namespace: s.meta.namespace.clone() });
        needs.extend(subscriptions(&s.spec).iter().map(|sub| Need::Inventory { list: machines_of(sub), watch: None }));
        let rarely = Fresh::Within(SignedDuration::from_hours(1));
        needs.extend(unlisted(s, known).into_iter().map(|id| Need::Read { id, fresh: rarely.clone() }));
        if let Ok((vault, id)) = ids(s, known) {
            needs.push(kept(&vault));
            if known.resource(&vault).present().is_some() {
                needs.extend([kept(&id), Need::Inventory { list: items_of(&vault), watch: Some(vec![]) }]);
            }
        }
        needs
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        if let Some(wrong) = policy::check(&s.spec).first() {
            return Err(Hold::stuck(Reason::InvalidSpec, wrong.to_string()));
        }
        let view = vault_view(s, facts)?;
        let (vault, id) = ids(s, facts)?;
        if facts.resource(&vault).is_unknown() {
            return Err(unreadable(&vault, facts));
        }
        if view.status.vault.is_some() && facts.read(&vault).is_absent() {
            return Err(gone(&vault, &format!("RecoveryVault {}", view.meta.name)));
        }
        if view.status.vault.is_none() || facts.resource(&vault).is_absent() {
            return Err(Hold::wait(Reason::DependencyNotReady, format!("RecoveryVault {} is not in Azure yet", view.meta.name)));
        }
        let owner = keys::owner_hash(&s.estate, &view.meta.namespace, RecoveryVault::NAME, &view.meta.name);
        let foreign = vault_is_ours(&vault, facts, &s.estate, &owner, &s.writer).or_else(|| not_ours(s, &id, facts));
        // An edit that waits for a person holds up nobody: machines go on under the policy as it stands.
        let after: &[&str] = if foreign.is_none() && facts.resource(&id).present().is_some() { &[] } else { &["policy"] };
        let hold = foreign.or_else(|| expires(s, &id, facts));
        let ownership = Ownership::Named { vault: vault.clone(), owner, name: id.name().to_owned() };
        let create = s.status.policy_id.is_none().then(|| put(&id, policy::to_azure(&s.spec).unwrap_or_default()));
        let goal = Goal::Exists { create, change: change(s, &id, facts) };
        let mut graph = Desired::new();
        graph.node("policy", Node::arm(id.clone(), goal, ownership).locking([format!("policy:{}", id.key())]).held(hold));
        let members = members(s, facts);
        let there: BTreeSet<&str> = members.iter().map(|m| m.meta.name.as_str()).collect();
        for machine in selected(s, facts, &view).iter().filter(|m| m.excluded.is_none()) {
            let name = member_name(&machine.id);
            let exists = there.contains(name.as_str());
            graph.node(
                &format!("machine-{name}"),
                Node::child(ProtectedMachine::NAME, &name, exists, member(s, &name, &machine.id)).after(after),
            );
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
            if s.status.policy_id.is_some() || s.operations.contains_key("policy") || s.owns(id) || is_derived {
                status.policy_id = Some(id.to_string());
            }
            if policy::differences(&s.spec, body).is_ok_and(|d| d.is_empty()) {
                status.applied = Some(digest(&s.spec));
            }
        }
        status.rpo = policy::promised_span(&s.spec).ok();
        let members = members(s, facts);
        if let Ok(view) = vault_view(s, facts) {
            count(s, facts, &view, &members, &mut status);
        }
        let owned = match (&found, status.policy_id.is_some()) {
            (Ok((_, id)), true) if !s.owns(id) => vec![Owned { id: id.to_string(), name: Some("policy".into()), since: seconds(s.now) }],
            _ => s.owned.clone(),
        };
        let promise = match (decided, status.matched) {
            (Ok(plan), _) if plan.verdicts.get("policy") != Some(&Verdict::Done) => {
                Promise::broken(Reason::NotYetObserved, "the policy is not in Azure as declared")
            }
            (Ok(_), Some(0)) if !s.spec.machines.is_empty() => {
                let words = match status.excluded_count {
                    None | Some(0) => "its entries match no machine".to_owned(),
                    Some(n) => format!("its entries leave no machine to protect: {n} are left out, see status.excluded"),
                };
                Promise::kept(Reason::NoMachines, format!("the policy is in Azure; {words}"))
            }
            (Ok(_), _) => Promise::kept(Reason::AsDeclared, "the policy is in Azure as declared"),
            (Err(hold), _) => Promise::broken(hold.reason, hold.message.clone()),
        };
        let conditions = vec![healthy(&status), drifted(s, present.as_deref())];
        let status = serde_json::to_value(&status).ok().and_then(|v| v.as_object().cloned()).unwrap_or_default();
        Report { status, promise, conditions, owned, next: Some(s.now + DRIFT_WITHIN) }
    }

    fn claims(_: &Meta, _: &BackupPolicySpec, _: &[Owned]) -> Vec<Claim> {
        Vec::new() // its name derives from itself: nobody else makes it
    }
}

fn vault_ref(s: &Subject<BackupPolicy>) -> ObjectRef {
    ObjectRef { kind: RecoveryVault::NAME, namespace: s.meta.namespace.clone(), name: s.spec.vault_ref.name.clone() }
}

fn vault_view(s: &Subject<BackupPolicy>, facts: &Facts) -> Result<Arc<VaultView>, Hold> {
    let missing = || {
        format!(
            "spec.vaultRef names RecoveryVault {}, which does not exist in namespace {}: create it",
            s.spec.vault_ref.name, s.meta.namespace
        )
    };
    facts.object::<VaultView>(&vault_ref(s)).ok_or_else(|| Hold::wait(Reason::ReferenceNotFound, missing()))
}

fn ids(s: &Subject<BackupPolicy>, facts: &Facts) -> Result<(ResourceId, ResourceId), Hold> {
    let view = vault_view(s, facts)?;
    let vault = vault_id(&view.meta, &view.spec)?;
    let id = policy_id(&s.estate, &s.meta, &s.spec, &vault)?;
    Ok((vault, id))
}

/// A policy that stands under a declared name and that we never made.
fn not_ours(s: &Subject<BackupPolicy>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let foreign = s.spec.azure_name.is_some() && s.status.policy_id.is_none() && !s.owns(id) && !s.operations.contains_key("policy");
    (foreign && matches!(facts.read(id), Known::Present(..))).then(|| {
        Hold::stuck(Reason::NotOurs, format!("{id} exists and was not made by this object: leave azureName out, or choose another"))
    })
}

fn put(id: &ResourceId, body: Value) -> Request {
    Request::new(Method::Put, id.as_str(), RECOVERY_SERVICES).with_body(body)
}

/// One read-modify-write in place, which keeps fields that we do not know; none where it would weaken what somebody
/// made stronger in Azure.
fn change(s: &Subject<BackupPolicy>, id: &ResourceId, facts: &Facts) -> Option<Change> {
    let body = facts.resource(id).into_present()?;
    let differences = policy::differences(&s.spec, body).ok().filter(|d| !d.is_empty())?;
    let merged = policy::merged(body, &s.spec).ok()?;
    if is_drift(s) && !policy::weakens(body, &merged).is_empty() {
        return None;
    }
    let differences = differences.into_iter().map(|d| Difference { field: d.field.to_owned(), have: d.have, want: d.want });
    Some(Change { differences: differences.collect(), request: put(id, merged) })
}

/// The spec is as it was when Azure last showed it so: whatever differs was changed in Azure.
fn is_drift(s: &Subject<BackupPolicy>) -> bool {
    s.status.applied.as_deref() == Some(&digest(&s.spec))
}

fn digest(spec: &BackupPolicySpec) -> String {
    keys::hash(&[&policy::to_azure(spec).unwrap_or_default().to_string()])[..32].to_owned()
}

/// An edit that would let existing points expire stops, and says how many machines it touches.
fn expires(s: &Subject<BackupPolicy>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let body = facts.resource(id).into_present()?;
    if is_drift(s) || body.pointer("/properties/protectedItemsCount").and_then(Value::as_i64) == Some(0) {
        return None;
    }
    let weaker = policy::weakens(body, &policy::merged(body, &s.spec).ok()?);
    let first = weaker.first()?;
    let machines = body.pointer("/properties/protectedItemsCount").and_then(Value::as_i64).map_or("its".to_owned(), |n| n.to_string());
    let all = weaker.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Some(Hold::stuck(
        Reason::WouldExpirePoints,
        format!(
            "points of {machines} machines would expire earlier, or fewer would be made ({all}): the policy stays as it is; set spec.{} back, or make a new BackupPolicy",
            first.field
        ),
    ))
}

fn drifted(s: &Subject<BackupPolicy>, body: Option<&Value>) -> Said {
    let Some(body) = body else { return Said::new(ConditionType::Drifted, None, Reason::NotYetObserved, "") };
    let differences = policy::differences(&s.spec, body).unwrap_or_default();
    if differences.is_empty() {
        return Said::new(ConditionType::Drifted, Some(false), Reason::AsDeclared, "");
    }
    let words = differences.iter().map(|d| format!("{}: {}, declared {}", d.field, d.have, d.want)).collect::<Vec<_>>().join("; ");
    let stronger = policy::merged(body, &s.spec).is_ok_and(|m| !policy::weakens(body, &m).is_empty());
    let reason = if stronger { Reason::StrongerThanDeclared } else { Reason::Drifted };
    Said::new(ConditionType::Drifted, Some(true), reason, words)
}
