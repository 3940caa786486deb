//! What may be done to a policy in Azure: made, changed in place, asked about, never made weaker by itself.

use std::{collections::BTreeSet, sync::Arc};

use breakwater_api::{BackupPolicy, BackupPolicySpec, Mode, ProtectedMachine, Protection, Reason, operations::Outcome, references::Adopt};
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use serde_json::Value;

use super::{
    PolicyView, VaultView,
    backup_policy::vault_ref,
    is_admitted_by, policy_id,
    policy_members::{Member, is_of, members},
    vault_id,
};
use crate::{
    defence,
    facts::{Facts, Need},
    graph::{Change, Difference, Hold},
    keys,
    kind::{Kind as _, Subject},
    policy,
    questions::{Approved, Question, Stake, rounded_up},
    sighting::Known,
};

/// How many machines a question names.
const MOST_NAMED: usize = 8;

/// So many points of one machine are counted at most: its status may be anybody's writing.
const MOST_POINTS: u64 = 9_999;

/// Where a policy shows how many machines are under it.
const ITEMS: &str = "/properties/protectedItemsCount";

pub(super) fn put(id: &ResourceId, body: Value) -> Request {
    Request::new(Method::Put, id.as_str(), RECOVERY_SERVICES).with_body(body)
}

/// A policy that stands under a declared name and that we never made, where it is not to be taken over.
pub(super) fn not_ours(s: &Subject<BackupPolicy>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let known = s.spec.azure_name.is_none() || s.status.policy_id.is_some() || s.owns(id) || is_made(s);
    let Known::Present(_, body) = facts.read(id) else { return None };
    if known {
        return None;
    }
    if s.spec.adopt == Adopt::Never {
        let message = format!(
            "{id} exists and was not made by this object: leave azureName out, choose another, or set spec.adopt: IfNotWeaker to take it over"
        );
        return Some(Hold::stuck(Reason::NotOurs, message));
    }
    let weaker = policy::weakens(body, &policy::merged(body, &s.spec).ok()?);
    let first = weaker.first()?;
    let all = weaker.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let message = format!("{id} is stronger than declared ({all}) and is not taken over: declare spec.{} at least so", first.field);
    Some(Hold::stuck(Reason::WouldWeaken, message))
}

/// Whether an operation of this object's made it, as far as any is on record: now, or when this turn began.
pub(super) fn is_made(s: &Subject<BackupPolicy>) -> bool {
    let before = || s.status.shared.operations.iter().find(|record| record.node == "policy");
    let record = s.operations.get("policy").or_else(before);
    record.is_some_and(|record| !matches!(record.outcome, Some(Outcome::Refused | Outcome::Failed | Outcome::Cancelled)))
}

/// The other policies that a declared name may be in conflict with: a name that derives from its object is nobody else's.
fn rivals(s: &Subject<BackupPolicy>, facts: &Facts) -> Vec<Arc<PolicyView>> {
    let vault = vault_ref(s);
    let same_vault = |v: &PolicyView| {
        let at = &v.spec.vault_ref;
        at.name == vault.name && at.namespace_from(&v.meta.namespace) == vault.namespace
    };
    let of_all = if s.spec.azure_name.is_some() { facts.objects::<PolicyView>(BackupPolicy::NAME, "") } else { Vec::new() };
    of_all.into_iter().filter(|v| v.meta.uid != s.meta.uid && v.spec.shared.mode != Mode::Observe && same_vault(v)).collect()
}

/// What is needed to know them, and whether the vault admits their namespaces, and the policy those of the machines that name it.
pub(super) fn rivals_needs(s: &Subject<BackupPolicy>, known: &Facts) -> Vec<Need> {
    let of_machines: BTreeSet<String> = of_others(s, known).into_iter().map(|m| m.meta.namespace.clone()).collect();
    let mut needs: Vec<Need> = of_machines.into_iter().map(Need::Namespace).collect();
    if s.spec.azure_name.is_some() {
        needs.push(Need::Objects { kind: BackupPolicy::NAME, namespace: String::new(), naming: None });
        needs.extend(rivals(s, known).into_iter().map(|v| Need::Namespace(v.meta.namespace.clone())));
    }
    needs
}

/// The machines' objects of other namespaces that name the policy, admitted or not.
fn of_others(s: &Subject<BackupPolicy>, facts: &Facts) -> Vec<Arc<Member>> {
    let everywhere = facts.objects::<Member>(ProtectedMachine::NAME, "");
    everywhere.into_iter().filter(|m| m.meta.namespace != s.meta.namespace && is_of(m, s)).collect()
}

/// The machines' objects that have points under the policy or bring some: what something else protects does not, unless it is
/// on its way here. First those of its own namespace, then those of others that it admits.
fn under(s: &Subject<BackupPolicy>, facts: &Facts) -> (Vec<Arc<Member>>, Vec<Arc<Member>>) {
    let elsewhere = |m: &Member| matches!(m.status.protection, Some(Protection::ElsewhereProtected | Protection::ForeignPolicy));
    let moves = |m: &Member| m.status.shared.operations.iter().any(|record| record.node == "protection" && record.outcome.is_none());
    let is_under = |m: &Member| !elsewhere(m) || moves(m);
    let admitted = |m: &Member| is_admitted_by(s.spec.allowed_namespaces.as_ref(), &s.meta.namespace, &m.meta.namespace, facts);
    let own = members(s, facts).into_iter().filter(|m| is_of(m, s) && is_under(m)).collect();
    let others = of_others(s, facts).into_iter().filter(|m| is_under(m) && admitted(m)).collect();
    (own, others)
}

fn points_of(m: &Member) -> u64 {
    let count = m.status.recovery_points.as_ref().map_or(0, |points| u64::try_from(points.count).unwrap_or(0));
    count.min(MOST_POINTS)
}

/// A policy that nothing is under in Azure, with the machines that bring points to it by now: what moves to it or is resumed
/// falls under what it keeps then, and was not asked about by that.
fn with_coming(s: &Subject<BackupPolicy>, facts: &Facts, body: &Arc<Value>) -> Arc<Value> {
    let mut body = body.clone();
    if body.pointer(ITEMS).and_then(Value::as_i64) == Some(0)
        && let Some(items) = Arc::make_mut(&mut body).pointer_mut(ITEMS)
    {
        let (own, others) = under(s, facts);
        *items = own.iter().chain(&others).filter(|m| points_of(m) > 0).count().into();
    }
    body
}

/// That another object has this policy of Azure: the one whose name it derives from, else the one that was made first.
pub(super) fn taken(s: &Subject<BackupPolicy>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let at = vault_ref(s);
    let vault_view = facts.object::<VaultView>(&at)?;
    let vault = vault_id(&vault_view.meta, &vault_view.spec).ok()?;
    let admitted = |v: &PolicyView| is_admitted_by(vault_view.spec.allowed_namespaces.as_ref(), &at.namespace, &v.meta.namespace, facts);
    let first = |v: &PolicyView| {
        let theirs = (v.meta.created, &v.meta.namespace, &v.meta.name);
        v.spec.azure_name.is_none() || theirs < (s.meta.created, &s.meta.namespace, &s.meta.name)
    };
    let names = |v: &PolicyView| policy_id(&s.estate, &v.meta, &v.spec, &vault).is_ok_and(|theirs| theirs == *id);
    let known = rivals(s, facts).into_iter().any(|v| names(&v) && admitted(&v) && first(&v)).then(|| {
        let message = format!(
            "spec.azureName: another BackupPolicy has {} in this vault already, and keeps it: choose another name, or delete the other object",
            id.name()
        );
        Hold::stuck(Reason::Conflict, message)
    });
    known.or_else(|| derived_of_another(s, id, &at.namespace))
}

/// A name that derives from an object, which may be gone while its machines are protected under it still: in a vault that tenants
/// share it may have been another tenant's.
fn derived_of_another(s: &Subject<BackupPolicy>, id: &ResourceId, vault_namespace: &str) -> Option<Hold> {
    let hash = s.spec.azure_name.as_deref()?.strip_prefix("bw-")?.get(..9)?.strip_suffix('-')?;
    let derived = hash.chars().all(|c| c.is_ascii_hexdigit());
    let own = BackupPolicySpec { azure_name: None, ..s.spec.clone() };
    let is_own = id.parent().and_then(|vault| policy_id(&s.estate, &s.meta, &own, &vault).ok()).is_some_and(|own| own == *id);
    (derived && !is_own && !s.owns(id) && vault_namespace != s.meta.namespace).then(|| {
        let message = format!(
            "spec.azureName: {} derives from another object, and in a vault of another namespace that may be another tenant's: leave it out, or choose another name",
            id.name()
        );
        Hold::stuck(Reason::NotOurs, message)
    })
}

/// One read-modify-write in place, which keeps fields that we do not know, and what somebody made stronger in Azure: of an edit
/// there that made one field stronger and another weaker the weaker one is raised again.
pub(super) fn change(s: &Subject<BackupPolicy>, id: &ResourceId, facts: &Facts) -> Option<Change> {
    let body = facts.resource(id).into_present()?;
    let differences = policy::differences(&s.spec, body).ok().filter(|d| !d.is_empty())?;
    let merged = policy::merged(body, &s.spec).ok()?;
    let (merged, kept) = if is_drift(s) && !policy::weakens(body, &merged).is_empty() {
        policy::raised(body, &s.spec).ok().flatten()?
    } else {
        (merged, Vec::new())
    };
    let differences = differences.into_iter().filter(|d| !kept.contains(&d.field));
    let differences = differences.map(|d| Difference { field: d.field.to_owned(), have: d.have, want: d.want });
    Some(Change { differences: differences.collect(), request: put(id, merged) })
}

/// The spec is as it was when Azure last showed it so: whatever differs was changed in Azure.
fn is_drift(s: &Subject<BackupPolicy>) -> bool {
    s.status.applied.as_deref() == Some(&digest(&s.spec))
}

pub(super) fn digest(spec: &BackupPolicySpec) -> String {
    keys::hash(&[&policy::to_azure(spec).unwrap_or_default().to_string()])[..32].to_owned()
}

/// The answer that an edit needs, where it puts something at stake.
///
/// # Errors
/// The question, while nobody has answered it.
pub(super) fn asked(s: &Subject<BackupPolicy>, id: &ResourceId, facts: &Facts, change: Option<&Change>) -> Result<Option<Approved>, Hold> {
    let Some(change) = change else { return Ok(None) };
    let before = facts.resource(id).into_present().map(|body| with_coming(s, facts, body));
    let around = |id: &ResourceId| facts.resource(id).into_present().cloned();
    let Some(stake) = defence::at_stake(&change.request, before.as_deref(), &around) else { return Ok(None) };
    let (reason, question) = match stake.loses_points {
        true => (Reason::WouldExpirePoints, expiry(s, facts, before.as_deref(), stake)),
        false => {
            let asks =
                format!("policy {}: {}: {} -> {} can never be taken back. Shall it be done", id.name(), stake.field, stake.from, stake.to);
            (Reason::OneWay, Question::to_approve("one-way-tier", stake, 1, asks))
        }
    };
    s.consent(reason, question).map(Some)
}

/// The question that counts the points by machine: at most all that there are.
fn expiry(s: &Subject<BackupPolicy>, facts: &Facts, before: Option<&Value>, stake: Stake) -> Question {
    let in_azure = before.and_then(|b| b.pointer(ITEMS)).and_then(Value::as_i64);
    let (own, others) = under(s, facts);
    let mut points: Vec<(String, u64)> = own.iter().map(|m| (name_of(&m.spec.machine_id), points_of(m))).collect();
    points.sort();
    // Machines of other tenants are counted, and not named.
    let of_others: Vec<u64> = others.iter().map(|m| points_of(m)).collect();
    let counted = points.len() + of_others.len();
    let mut named: Vec<String> =
        points.iter().filter(|(_, n)| *n > 0).take(MOST_NAMED).map(|(name, n)| format!("{name}: up to {}", rounded_up(*n))).collect();
    let more = points.iter().filter(|(_, n)| *n > 0).count() - named.len() + of_others.len();
    named.extend((more > 0).then(|| format!("more machines: {more}")));
    // Of a machine without an object at least its one point is at stake.
    let uncounted = in_azure.and_then(|n| u64::try_from(n).ok()).unwrap_or(0).saturating_sub(counted as u64);
    named.extend((uncounted > 0).then(|| format!("machines without an object here, not counted: {uncounted}")));
    let total = points.iter().map(|(_, n)| n).chain(&of_others).fold(uncounted, |all, n| all.saturating_add(*n));
    let machines = in_azure.map_or_else(|| counted.to_string(), |n| n.to_string());
    let fields: Vec<String> = fields_of(&stake);
    let asks = format!(
        "{}: up to {} points (machines: {machines}) would expire earlier, or fewer would be made ({}). The policy stays as it is until then. Shall it be done",
        fields.join("; "),
        rounded_up(total),
        if named.is_empty() { "not counted".to_owned() } else { named.join(", ") },
    );
    Question::to_approve("points-expire", stake, total, asks)
}

/// `retention.daily: 30 days -> 7 days`, a line each.
fn fields_of(stake: &Stake) -> Vec<String> {
    let parts = |text: &str| text.split("; ").map(str::to_owned).collect::<Vec<_>>();
    let (fields, from, to) = (parts(&stake.field), parts(&stake.from), parts(&stake.to));
    if fields.len() != from.len() || fields.len() != to.len() {
        return vec![format!("{}: {} -> {}", stake.field, stake.from, stake.to)];
    }
    fields.iter().zip(from).zip(to).map(|((field, from), to)| format!("{field}: {from} -> {to}")).collect()
}

fn name_of(machine: &str) -> String {
    machine.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Machines under a policy keep it from being deleted.
pub(super) fn still_used(id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let body = facts.read(id).into_present()?;
    let count = body.pointer(ITEMS).and_then(Value::as_i64);
    (count != Some(0)).then(|| {
        let machines = count.map_or("not told".to_owned(), |n| n.to_string());
        let message = format!(
            "machines under {id}: {machines}; it is not deleted while there are any: move or stop them first, or set deletionPolicy: Retain to let this object go"
        );
        Hold::stuck(Reason::Blocked, message)
    })
}
