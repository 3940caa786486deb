//! `ProtectedMachine`: one machine under one policy. Protects it, takes a first backup exactly once where that is
//! declared, and tells whether the promise holds. Touches nothing that is not ours.

use std::sync::Arc;

use breakwater_api::{
    BackupPolicy, ProtectedMachine, ProtectedMachineSpec, ProtectedMachineStatus, Protection, Reason, RecoveryVault,
    protected_machine::ObservedMachine, status::Owned,
};
use breakwater_arm::{
    ResourceId,
    bodies::VirtualMachine,
    names,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use jiff::SignedDuration;
use serde_json::json;

use super::{
    PolicyView, VaultView,
    first_backup::{first_backup, first_backup_known, jobs_since, wants_first_backup},
    gone, items_of, kept,
    machine_item::{change, coverage, expires, put},
    machine_report, machines_of, policy_id, power_states_of, protection, unreadable, vault_id, vault_is_ours,
};
use crate::{
    facts::{Facts, Fresh, List, Need, ObjectRef},
    graph::{Desired, Goal, Hold, Node, Ownership},
    keys,
    kind::{Claim, Decided, Kind, Meta, Report, Subject},
    selection,
    sighting::Known,
};

/// Everything that this machine's decisions stand on: resolved references and derived ids.
pub(super) struct Place {
    pub vault_view: Arc<VaultView>,
    pub policy_view: Arc<PolicyView>,
    pub vault: ResourceId,
    pub policy: ResourceId,
    pub machine: ResourceId,
    pub item: ResourceId,
    pub owner: String,
}

impl Kind for ProtectedMachine {
    const NAME: &'static str = "ProtectedMachine";
    type Spec = ProtectedMachineSpec;
    type Status = ProtectedMachineStatus;

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let policies = Need::Objects { kind: BackupPolicy::NAME, namespace: s.meta.namespace.clone() };
        let mut needs = vec![Need::Object(policy_ref(s)), policies];
        let Some(view) = known.object::<PolicyView>(&policy_ref(s)) else { return needs };
        needs.push(Need::Object(vault_ref(&view)));
        let Ok(p) = place(s, known) else { return needs };
        needs.push(Need::Inventory { list: items_of(&p.vault), watch: Some(vec![p.item.clone()]) });
        needs.push(Need::Inventory { list: machines_of(p.machine.subscription_id()), watch: Some(vec![p.machine.clone()]) });
        needs.extend([kept(&p.vault), kept(&p.policy)]);
        needs.extend(machine_need(s, &p, known));
        let fresh = Fresh::Within(SignedDuration::from_mins(15));
        needs.push(Need::ListUnder { list: power_states_of(p.machine.subscription_id()), fresh });
        // Before the listing is there, nothing is known of the item: it would be read, and Azure asked, for every machine.
        if !known.lists.contains_key(&items_of(&p.vault)) {
            return needs;
        }
        match known.resource(&p.item) {
            Known::Present(_, body) => {
                needs.extend(points_need(s, &p, known));
                // What a move would let expire is told by both policies.
                needs.extend(protection::Item::read(body).and_then(|i| i.policy).filter(|old| *old != p.policy).map(|old| kept(&old)));
            }
            // Not listed, or no listing came: only a direct read says absent, and only then another vault is asked about.
            Known::Absent(_) | Known::Unknown => {
                needs.push(kept(&p.item));
                needs.extend(whereabouts(s, &p, known));
            }
        }
        needs
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        let p = place(s, facts)?;
        for id in [&p.vault, &p.policy] {
            match facts.resource(id) {
                Known::Unknown => return Err(unreadable(id, facts)),
                Known::Absent(_) => return Err(vanished(&p, facts).unwrap_or_else(|| not_yet(id))),
                Known::Present(..) => {}
            }
        }
        let stands = standing(s, &p, facts);
        let hold = vault_is_ours(&p.vault, facts, &s.estate, &p.owner, &s.writer).or(stands.hold).or_else(|| machine_hold(s, &p, facts));
        let hold = hold.or_else(|| expires(&p, s, facts)).or_else(|| vault_full(&p, facts));
        let ours = protection::our_policies(&s.estate, &p.policy_view.spec.vault_ref.name, &s.meta.namespace, &p.vault, facts);
        let ownership = Ownership::Item { vault: p.vault.clone(), owner: p.owner.clone(), policies: ours };
        let lock = || [format!("machine:{}", p.machine.key())];
        let wanted = coverage(s, &p, facts);
        let hold = hold.or_else(|| wanted.is_none().then(|| Hold::wait(Reason::NotYetObserved, "which disks are meant is not known yet")));
        let goal = Goal::Exists { create: wanted.map(|disks| put(&p, &disks)), change: change(&p, s, facts) };
        let mut graph = Desired::new();
        graph.node("protection", Node::arm(p.item.clone(), goal, ownership.clone()).locking(lock()).held(hold.clone()));
        if wants_first_backup(s, &p) {
            let goal = Goal::Acted(first_backup(s, &p, facts));
            graph.node(
                "first-backup",
                Node::arm(p.item.clone(), goal, ownership).after(&["protection"]).locking(lock()).beside().held(hold),
            );
        }
        Ok(graph)
    }

    fn report(s: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report {
        machine_report::report(s, facts, decided)
    }

    fn claims(_: &Meta, spec: &ProtectedMachineSpec, owned: &[Owned]) -> Vec<Claim> {
        let key = |id: &ResourceId| format!("protection of {}", id.key());
        let claim = |id: ResourceId| Claim { key: key(&id), target: id, holds: !owned.is_empty(), explicit: false };
        spec.machine_id.parse().map(claim).into_iter().collect()
    }
}

pub(super) fn policy_ref(s: &Subject<ProtectedMachine>) -> ObjectRef {
    ObjectRef { kind: BackupPolicy::NAME, namespace: s.meta.namespace.clone(), name: s.spec.policy_ref.name.clone() }
}

fn vault_ref(policy: &PolicyView) -> ObjectRef {
    ObjectRef { kind: RecoveryVault::NAME, namespace: policy.meta.namespace.clone(), name: policy.spec.vault_ref.name.clone() }
}

/// Resolves references and derives ids.
pub(super) fn place(s: &Subject<ProtectedMachine>, facts: &Facts) -> Result<Place, Hold> {
    let missing = |field: &str, kind: &str, name: &str| {
        Hold::wait(
            Reason::ReferenceNotFound,
            format!("{field} names {kind} {name}, which does not exist in namespace {}: create it", s.meta.namespace),
        )
    };
    let policy_view =
        facts.object::<PolicyView>(&policy_ref(s)).ok_or_else(|| missing("spec.policyRef", "BackupPolicy", &s.spec.policy_ref.name))?;
    let vault_view = facts
        .object::<VaultView>(&vault_ref(&policy_view))
        .ok_or_else(|| missing("the policy's spec.vaultRef", "RecoveryVault", &policy_view.spec.vault_ref.name))?;
    if policy_view.status.policy_id.is_none() {
        return Err(Hold::wait(Reason::DependencyNotReady, format!("BackupPolicy {} is not in Azure yet", policy_view.meta.name)));
    }
    let vault = vault_id(&vault_view.meta, &vault_view.spec)?;
    let policy = policy_id(&s.estate, &policy_view.meta, &policy_view.spec, &vault)?;
    let machine: ResourceId = s.spec.machine_id.parse().map_err(|e| Hold::stuck(Reason::InvalidSpec, format!("spec.machineId: {e}")))?;
    if machine.resource_type() != *names::VIRTUAL_MACHINE {
        return Err(Hold::stuck(Reason::InvalidSpec, format!("spec.machineId: {machine} is no virtual machine")));
    }
    let item = names::item_id(&vault, &machine).map_err(|e| Hold::stuck(Reason::InvalidSpec, format!("spec.machineId: {e}")))?;
    let owner = keys::owner_hash(&s.estate, &vault_view.meta.namespace, RecoveryVault::NAME, &vault_view.meta.name);
    Ok(Place { vault_view, policy_view, vault, policy, machine, item, owner })
}

/// The machine is read when its listing shows another change time than the one it was read under.
fn machine_need(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Option<Need> {
    let listed = known.listed(&machines_of(p.machine.subscription_id()), &p.machine);
    let version = listed.present().and_then(|b| b.get("changedTime")).and_then(|t| t.as_str()).unwrap_or_default().to_owned();
    let read_under = s.status.machine.as_ref().and_then(|m| m.as_of.clone());
    match listed {
        Known::Unknown => None,
        Known::Present(..) if !version.is_empty() && read_under.as_ref() == Some(&version) => None,
        Known::Present(..) if !version.is_empty() => Some(Need::Read { id: p.machine.clone(), fresh: Fresh::Version(version) }),
        // Not listed: only a direct read may say that it is gone.
        _ => Some(Need::Read { id: p.machine.clone(), fresh: Fresh::Within(SignedDuration::from_hours(1)) }),
    }
}

pub(super) fn points_of(item: &ResourceId) -> List {
    List { path: format!("{item}/recoveryPoints"), query: Vec::new(), api_version: RECOVERY_SERVICES }
}

/// Recovery points are read when the item shows that they moved; jobs while the first backup is not known.
fn points_need(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Vec<Need> {
    let Some(item) = known.resource(&p.item).present().and_then(|b| protection::Item::read(b)) else { return Vec::new() };
    let mut needs = Vec::new();
    let token = item.token();
    if item.last_point.is_some() && s.status.recovery_points.as_ref().and_then(|r| r.as_of.as_ref()) != Some(&token) {
        needs.push(Need::ListUnder { list: points_of(&p.item), fresh: Fresh::Version(token) });
    }
    if wants_first_backup(s, p) && !first_backup_known(s) {
        let since = jobs_since(s);
        needs.push(Need::Jobs { vault: p.vault.clone(), since, fresh: Fresh::Within(SignedDuration::from_hours(1)) });
    }
    needs
}

/// No item in the listing: read it directly, and ask whether another vault has the machine: before the first
/// protection, and hourly after.
fn whereabouts(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Vec<Need> {
    let location = s.status.machine.as_ref().and_then(|m| m.location.clone()).or_else(|| Some(vm(p, known)?.location?));
    let Some(location) = location else { return Vec::new() };
    let region = location.to_ascii_lowercase().replace(' ', "");
    let path =
        format!("/subscriptions/{}/providers/Microsoft.RecoveryServices/locations/{region}/backupStatus", p.machine.subscription_id());
    let body = json!({ "resourceType": "VM", "resourceId": p.machine });
    let elsewhere = s.status.protection == Some(Protection::ElsewhereProtected);
    let fresh = Fresh::Within(if elsewhere { SignedDuration::from_hours(1) } else { SignedDuration::from_mins(5) });
    let request = Request::new(Method::Post, path, RECOVERY_SERVICES).with_body(body);
    vec![Need::Ask { name: protection::BACKUP_STATUS.into(), request, fresh }]
}

/// The machine's body, when it was read in this process.
pub(super) fn vm(p: &Place, facts: &Facts) -> Option<VirtualMachine> {
    facts.read(&p.machine).present().and_then(|b| VirtualMachine::parse(b).ok())
}

fn not_yet(id: &ResourceId) -> Hold {
    Hold::wait(Reason::DependencyNotReady, format!("{id} is not in Azure yet"))
}

/// The vault or the policy that this machine stood on is gone, by a direct read.
fn vanished(p: &Place, facts: &Facts) -> Option<Hold> {
    if p.vault_view.status.vault.is_some() && facts.read(&p.vault).is_absent() {
        return Some(gone(&p.vault, &format!("RecoveryVault {}", p.vault_view.meta.name)));
    }
    facts.read(&p.policy).is_absent().then(|| gone(&p.policy, &format!("BackupPolicy {}", p.policy_view.meta.name)))
}

pub(super) fn standing(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> protection::Standing {
    if let Some(hold) = vanished(p, facts).filter(|_| facts.read(&p.vault).is_absent()) {
        return protection::Standing { protection: Protection::Missing, hold: Some(hold), elsewhere: None };
    }
    let ours = protection::our_policies(&s.estate, &p.policy_view.spec.vault_ref.name, &s.meta.namespace, &p.vault, facts);
    let question = protection::Question {
        item: &p.item,
        vault: &p.vault,
        machine: &p.machine,
        ours: &ours,
        owned: s.owns(&p.item),
        working: s.operations.contains_key("protection"),
    };
    protection::standing(&question, facts)
}

/// Azure keeps so many machines in one vault (backup.md §4.4).
const MOST_MACHINES: usize = 1000;

/// A machine that is not in the vault yet has no place in a full one.
fn vault_full(p: &Place, facts: &Facts) -> Option<Hold> {
    let items = facts.list(&items_of(&p.vault))?;
    let full = items.len() >= MOST_MACHINES && !items.contains_key(&p.item) && facts.read(&p.item).is_absent();
    let message = || format!("{} holds {} machines, as many as Azure allows: use another vault for {}", p.vault, items.len(), p.machine);
    full.then(|| Hold::stuck(Reason::VaultFull, message()))
}

/// What the machine itself forbids.
fn machine_hold(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Hold> {
    if facts.read(&p.machine).is_absent() {
        return Some(Hold::stuck(
            Reason::MachineNotFound,
            format!("{} does not exist: its recovery points, if any, stay restorable", p.machine),
        ));
    }
    let seen = match (vm(p, facts), &s.status.machine) {
        (Some(vm), before) => machine_report::observed(&vm, before.as_ref()),
        (None, Some(before)) => before.clone(),
        (None, None) => return Some(unreadable(&p.machine, facts)),
    };
    let before: Option<&ObservedMachine> = s.status.machine.as_ref();
    if let (Some(was), Some(is)) = (before.and_then(|b| b.vm_id.as_ref()), seen.vm_id.as_ref())
        && !was.eq_ignore_ascii_case(is)
    {
        let message = format!(
            "{} is another machine now (vmId {is}, was {was}): the old one's points stay restorable; delete this object and make a new one",
            p.machine
        );
        return Some(Hold::stuck(Reason::IdentityChanged, message));
    }
    let (here, there) = (seen.location.unwrap_or_default(), &p.vault_view.spec.location);
    if !selection::same_location(&here, there) {
        return Some(Hold::stuck(
            Reason::LocationMismatch,
            format!("{} is in {here} and the vault in {there}: use a vault in the machine's region", p.machine),
        ));
    }
    let unmanaged = vm(p, facts).is_some_and(|vm| vm.properties.has_unmanaged_disks());
    unmanaged.then(|| Hold::stuck(Reason::Unsupported, format!("{} has unmanaged disks: convert them to managed disks", p.machine)))
}
