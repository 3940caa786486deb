//! `ProtectedMachine`: one machine under one policy. Protects it, takes a first backup exactly once where that is
//! declared, and tells whether the promise holds. Touches nothing that is not ours.

use std::sync::Arc;

use breakwater_api::{
    BackupPolicy, ProtectedMachine, ProtectedMachineSpec, ProtectedMachineStatus, Protection, Reason, RecoveryVault,
    backup_policy::FirstBackup,
    protected_machine::{FirstBackupRecord, ObservedMachine},
    status::Owned,
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
    PolicyView, VaultView, items_of, kept, machine_report, machines_of, policy_id, power_states_of, protection, unreadable, vault_id,
    vault_is_ours,
};
use crate::{
    disks::Coverage,
    facts::{Facts, Fresh, List, Need, ObjectRef},
    graph::{Acted, Change, Counts, Desired, Difference, Goal, Hold, JobProof, Node, Ownership, Proof, Repeat},
    jobs::SeenJob,
    keys,
    kind::{Claim, Decided, Kind, Meta, Report, Subject},
    policy, selection,
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
                Known::Absent(_) => return Err(Hold::wait(Reason::DependencyNotReady, format!("{id} is not in Azure yet"))),
                Known::Present(..) => {}
            }
        }
        let stands = standing(s, &p, facts);
        let hold = vault_is_ours(&p.vault, facts, &s.estate, &p.owner, &s.writer).or(stands.hold).or_else(|| machine_hold(s, &p, facts));
        let hold = hold.or_else(|| expires(&p, s, facts));
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
        let claim = |id: ResourceId| Claim { key: format!("protection of {}", id.key()), holds: !owned.is_empty(), explicit: false };
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

pub(super) fn standing(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> protection::Standing {
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

fn body_of(p: &Place, coverage: &Coverage) -> serde_json::Value {
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

fn put(p: &Place, disks: &Coverage) -> Request {
    let body = body_of(p, disks);
    Request::new(Method::Put, p.item.as_str(), RECOVERY_SERVICES).with_body(body)
}

/// One PUT brings policy and disks together: it is a full statement of intent (backup.md §8.3).
fn change(p: &Place, s: &Subject<ProtectedMachine>, facts: &Facts) -> Option<Change> {
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
fn expires(p: &Place, s: &Subject<ProtectedMachine>, facts: &Facts) -> Option<Hold> {
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

pub(super) fn wants_first_backup(s: &Subject<ProtectedMachine>, p: &Place) -> bool {
    p.policy_view.spec.first_backup == FirstBackup::Now || s.operations.contains_key("first-backup")
}

/// Whether status already tells which job counted as the first backup and how it ended.
pub(super) fn first_backup_known(s: &Subject<ProtectedMachine>) -> bool {
    s.status.first_backup.as_ref().is_some_and(|f| f.result.is_some())
}

/// The once-key: vault, machine and the machine's own identity.
pub(super) fn first_backup_key(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> String {
    let vm_id = vm(p, facts).and_then(|vm| vm.properties.vm_id).or_else(|| s.status.machine.as_ref()?.vm_id.clone()).unwrap_or_default();
    keys::hash(&[&p.vault.key(), &p.machine.key(), &vm_id.to_ascii_lowercase()])[..32].to_owned()
}

/// The container's name as jobs show it, without its prefix.
pub(super) fn container(p: &Place) -> String {
    names::container_name(&p.machine).trim_start_matches("IaasVMContainer;").to_owned()
}

/// How far back jobs count as the first backup: since protection. A machine that is found protected (a rebuilt cluster)
/// was protected at an unknown time: then as far as Azure keeps jobs in reach.
fn jobs_since(s: &Subject<ProtectedMachine>) -> jiff::Timestamp {
    match s.status.protected_since {
        Some(since) => since - SignedDuration::from_mins(10),
        None => s.now - SignedDuration::from_hours(60 * 24),
    }
}

/// Backup jobs of this machine since it was protected, newest first.
pub(super) fn backup_jobs(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Vec<SeenJob> {
    let since = jobs_since(s);
    let container = container(p);
    let listed = facts.jobs.get(&p.vault).and_then(|l| l.last.as_ref());
    let mut jobs: Vec<SeenJob> = listed.map(SeenJob::all).unwrap_or_default();
    jobs.retain(|j| {
        j.operation.eq_ignore_ascii_case("Backup") && j.container.eq_ignore_ascii_case(&container) && j.start.is_none_or(|at| at >= since)
    });
    jobs.sort_by(|a, b| b.start.cmp(&a.start));
    jobs
}

/// Any Backup job since protection, or a recovery point, counts as it, whoever started it; a failed one is not repeated.
fn first_backup(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Acted {
    let point = facts.resource(&p.item).present().and_then(|b| protection::Item::read(b)).and_then(|i| i.last_point);
    let done = first_backup_known(s) || point.is_some() || !backup_jobs(s, p, facts).is_empty();
    let body = json!({ "properties": { "objectType": "IaasVMBackupRequest" } });
    Acted {
        request: Request::new(Method::Post, format!("{}/backup", p.item), RECOVERY_SERVICES).with_body(body),
        proof: Proof::Job(JobProof {
            vault: p.vault.clone(),
            operation: "Backup".into(),
            container: container(p),
            counts: Counts::Anybodys,
        }),
        repeat: Repeat::Once,
        key: first_backup_key(s, p, facts),
        done,
        from: Vec::new(),
    }
}

/// What status tells of the first backup.
pub(super) fn first_backup_record(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<FirstBackupRecord> {
    if first_backup_known(s) || !wants_first_backup(s, p) {
        return s.status.first_backup.clone();
    }
    let jobs = backup_jobs(s, p, facts);
    let first = jobs.last()?;
    let result = first.over.then(|| first.status.clone());
    Some(FirstBackupRecord { key: first_backup_key(s, p, facts), job: Some(first.name.clone()), result })
}
