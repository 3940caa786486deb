//! What a machine's protection stands on: its references resolved, its ids, and what forbids to protect it.

use std::{ops::Deref, sync::Arc};

use breakwater_api::{
    BackupPolicy, ProtectedMachine, ProtectedMachineSpec, Protection, Reason, RecoveryVault,
    protected_machine::{DeclaredProtection, ObservedMachine},
};
use breakwater_arm::{ResourceId, bodies::VirtualMachine, names};
use serde_json::Value;

use super::{
    PolicyView, VaultView, gone, is_admitted_by, items_of, machine_item, machine_report, no_such, policy_id, protection, runs, selected,
    unreadable, vault_id,
};
use crate::{
    facts::{Facts, ObjectRef},
    graph::Hold,
    keys,
    kind::{Kind, Subject},
    selection,
};

/// Where a machine's backups are.
#[derive(Clone)]
pub(super) struct Site {
    pub vault_view: Arc<VaultView>,
    pub vault: ResourceId,
    pub machine: ResourceId,
    pub item: ResourceId,
    pub owner: String,
}

impl Site {
    /// By the vault and the machine's id, which stands in that field.
    pub fn of(estate: &str, vault_view: Arc<VaultView>, field: &str, machine: &str) -> Result<Self, Hold> {
        let invalid = |why: String| Hold::stuck(Reason::InvalidSpec, format!("{field}: {why}"));
        let vault = vault_id(&vault_view.meta, &vault_view.spec)?;
        let machine: ResourceId = machine.parse().map_err(|e: breakwater_arm::IdError| invalid(e.to_string()))?;
        if machine.resource_type() != *names::VIRTUAL_MACHINE {
            return Err(invalid(format!("{machine} is no virtual machine")));
        }
        let item = names::item_id(&vault, &machine).map_err(|e| invalid(e.to_string()))?;
        let owner = keys::owner_hash(estate, &vault_view.meta.namespace, RecoveryVault::NAME, &vault_view.meta.name);
        Ok(Site { vault_view, vault, machine, item, owner })
    }
}

/// Everything that this machine's decisions stand on: resolved references and derived ids.
pub(super) struct Place {
    pub site: Site,
    pub policy_view: Arc<PolicyView>,
    pub policy: ResourceId,
}

impl Deref for Place {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Place {
    /// The machine's item as it was seen; none where the item of that name is of another machine.
    pub fn item_body<'f>(&self, facts: &'f Facts) -> Option<&'f Arc<Value>> {
        facts.resource(&self.item).into_present().filter(|body| !protection::of_another(body, &self.machine))
    }
}

pub(super) fn policy_ref(s: &Subject<ProtectedMachine>) -> ObjectRef {
    policy_of(&s.meta.namespace, &s.spec)
}

/// The policy that a machine of a namespace names.
pub(super) fn policy_of(own: &str, spec: &ProtectedMachineSpec) -> ObjectRef {
    let namespace = spec.policy_ref.namespace_from(own).to_owned();
    ObjectRef { kind: BackupPolicy::NAME, namespace, name: spec.policy_ref.name.clone() }
}

pub(super) fn vault_ref(policy: &PolicyView) -> ObjectRef {
    let namespace = policy.spec.vault_ref.namespace_from(&policy.meta.namespace).to_owned();
    ObjectRef { kind: RecoveryVault::NAME, namespace, name: policy.spec.vault_ref.name.clone() }
}

/// Resolves references and derives ids.
pub(super) fn place(s: &Subject<ProtectedMachine>, facts: &Facts) -> Result<Place, Hold> {
    place_of(&s.estate, &s.meta.namespace, &s.spec, facts)
}

/// The same for a machine of namespace `own` that this object is not itself: a run's.
pub(super) fn place_of(estate: &str, own: &str, spec: &ProtectedMachineSpec, facts: &Facts) -> Result<Place, Hold> {
    let at = policy_of(own, spec);
    let policy_view = facts
        .object::<PolicyView>(&at)
        .filter(|v| is_admitted_by(v.spec.allowed_namespaces.as_ref(), &at.namespace, own, facts))
        .ok_or_else(|| no_such("spec.policyRef", at.kind, &at.name, &at.namespace, own))?;
    // The vault admits the policy's namespace; what is behind another tenant's policy is not told.
    let at = vault_ref(&policy_view);
    let vault_view = facts
        .object::<VaultView>(&at)
        .filter(|v| is_admitted_by(v.spec.allowed_namespaces.as_ref(), &at.namespace, &policy_view.meta.namespace, facts))
        .ok_or_else(|| match policy_view.meta.namespace == own {
            true => no_such("the policy's spec.vaultRef", at.kind, &at.name, &at.namespace, own),
            false => Hold::wait(Reason::DependencyNotReady, format!("BackupPolicy {} has no vault yet", policy_view.meta.name)),
        })?;
    if policy_view.status.policy_id.is_none() {
        return Err(Hold::wait(Reason::DependencyNotReady, format!("BackupPolicy {} is not in Azure yet", policy_view.meta.name)));
    }
    let site = Site::of(estate, vault_view, "spec.machineId", &spec.machine_id)?;
    let policy = policy_id(estate, &policy_view.meta, &policy_view.spec, &site.vault)?;
    Ok(Place { site, policy_view, policy })
}

/// The machine's body, when it was read in this process.
pub(super) fn vm(p: &Place, facts: &Facts) -> Option<VirtualMachine> {
    facts.read(&p.machine).present().and_then(|b| VirtualMachine::parse(b).ok())
}

pub(super) fn not_yet(id: &ResourceId) -> Hold {
    Hold::wait(Reason::DependencyNotReady, format!("{id} is not in Azure yet"))
}

/// The vault or the policy that this machine stood on is gone, by a direct read.
pub(super) fn vanished(p: &Place, facts: &Facts) -> Option<Hold> {
    if p.vault_view.status.vault.is_some() && facts.read(&p.vault).is_absent() {
        return Some(gone::missing(&p.vault, &format!("RecoveryVault {}", p.vault_view.meta.name)));
    }
    facts.read(&p.policy).is_absent().then(|| gone::missing(&p.policy, &format!("BackupPolicy {}", p.policy_view.meta.name)))
}

/// That its access does not let anybody look at the machine: nothing of it is shown then, and nothing is done to it.
pub(super) fn not_granted(s: &Subject<ProtectedMachine>, p: &Place) -> Option<Hold> {
    runs::not_granted(s, "Read", &p.machine)
}

pub(super) fn standing(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> protection::Standing {
    if let Some(hold) = not_granted(s, p) {
        return protection::Standing { protection: Protection::Unknown, hold: Some(hold), elsewhere: None };
    }
    if let Some(hold) = vanished(p, facts).filter(|_| facts.read(&p.vault).is_absent()) {
        return protection::Standing { protection: Protection::Missing, hold: Some(hold), elsewhere: None };
    }
    let stops = machine_item::wanted(s, p, facts) == machine_item::Want::Stopped;
    let ours = protection::our_policies(&s.estate, p, facts, stops);
    let question = protection::Question {
        item: &p.item,
        vault: &p.vault,
        machine: &p.machine,
        ours: &ours,
        owned: s.owns(&p.item),
        working: s.operations.contains_key("protection"),
        grant: s.access.as_deref(),
        wanted: protection::Wanted {
            resumed: s.spec.protection == Some(DeclaredProtection::Protected),
            stopped: stops,
            undeleted: s.spec.undelete,
        },
    };
    protection::standing(&question, facts)
}

/// Azure keeps so many machines in one vault (backup.md §4.4).
const MOST_MACHINES: usize = 1000;

/// A machine that is not in the vault yet has no place in a full one.
pub(super) fn vault_full(p: &Place, facts: &Facts) -> Option<Hold> {
    let items = facts.list(&items_of(&p.vault))?;
    let full = items.len() >= MOST_MACHINES && !items.contains_key(&p.item) && facts.read(&p.item).is_absent();
    let message = || format!("{} holds {} machines, as many as Azure allows: use another vault for {}", p.vault, items.len(), p.machine);
    full.then(|| Hold::stuck(Reason::VaultFull, message()))
}

/// What the machine itself forbids.
pub(super) fn machine_hold(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Hold> {
    if let Some(hold) = gone::machine_hold(s, p, facts) {
        return Some(hold);
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
    let vm = vm(p, facts);
    let chosen = !selected::is_made_by_hand(s, p) && !selection::is_named(&p.policy_view.spec.machines, &p.machine);
    if chosen && !s.owns(&p.item) && vm.as_ref().is_some_and(gone::is_drill_copy) {
        let message = format!("{} is a copy that a test failover made: a policy that is to mean it names it by its id", p.machine);
        return Some(Hold::stuck(Reason::DrillCopy, message));
    }
    let unmanaged = vm.is_some_and(|vm| vm.properties.has_unmanaged_disks());
    unmanaged.then(|| Hold::stuck(Reason::Unsupported, format!("{} has unmanaged disks: convert them to managed disks", p.machine)))
}
