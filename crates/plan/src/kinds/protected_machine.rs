//! `ProtectedMachine`: one machine under one policy. Protects it, takes a first backup exactly once where that is
//! declared, and tells whether the promise holds. Touches nothing that is not ours.

use breakwater_api::{
    BackupPolicy, ProtectedMachine, ProtectedMachineSpec, ProtectedMachineStatus, Protection, Reason,
    protected_machine::MachineDeletionPolicy, status::Owned,
};
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    PolicyView,
    first_backup::{FIRST_BACKUP, first_backup, first_backup_known, jobs_since, wants_first_backup},
    gone, items_of, kept, machine_disks,
    machine_item::{Want, asked, change, coverage, declared, policies_need, put, stopped_state, unsettled, wanted},
    machine_place::{Place, machine_hold, not_granted, not_yet, place, policy_ref, standing, vanished, vault_full, vault_ref, vm},
    machine_report, machines_of, power_states_of, protection, runs, selected, unreadable, vault_guard, vault_is_ours,
};
use crate::{
    facts::{Facts, Fresh, List, Need},
    graph::{Brake, Desired, Goal, Hold, Node, Ownership},
    kind::{Claim, Decided, Kind, Meta, Report, Subject},
    sighting::Known,
};

impl Kind for ProtectedMachine {
    const NAME: &'static str = "ProtectedMachine";
    type Spec = ProtectedMachineSpec;
    type Status = ProtectedMachineStatus;
    const LISTS: &'static [&'static str] = &["points"];

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let policies = Need::Objects { kind: BackupPolicy::NAME, namespace: policy_ref(s).namespace, naming: None };
        let mut needs = vec![Need::Object(policy_ref(s)), Need::Namespace(s.meta.namespace.clone()), policies];
        needs.extend(runs::runs_on(&s.meta.namespace, &s.meta.name, &s.spec.machine_id));
        let Some(view) = known.object::<PolicyView>(&policy_ref(s)) else { return needs };
        needs.extend([Need::Object(vault_ref(&view)), Need::Namespace(view.meta.namespace.clone())]);
        let Ok(p) = place(s, known) else { return needs };
        needs.push(Need::Inventory { list: items_of(&p.vault), watch: Some(vec![p.item.clone()]) });
        needs.extend([kept(&p.vault), kept(&p.policy)]);
        needs.extend(vault_guard::need(&p.vault, &p.vault_view));
        // Of a machine that is not granted nothing is looked at.
        if not_granted(s, &p).is_some() {
            return needs;
        }
        needs.push(Need::Inventory { list: machines_of(p.machine.subscription_id()), watch: Some(vec![p.machine.clone()]) });
        needs.extend(machine_need(s, &p, known));
        needs.extend(declared(s, &p, known).map(|disks| machine_disks::needs(s, &p, known, &disks)).unwrap_or_default());
        needs.extend(gone::machine_needs(s, &p, known));
        needs.extend(selected::need(s, &p, known));
        needs.push(Need::Inventory { list: power_states_of(p.machine.subscription_id()), watch: Some(vec![p.machine.clone()]) });
        // Before the listing is there, nothing is known of the item: it would be read, and Azure asked, for every machine.
        if !known.lists.contains_key(&items_of(&p.vault)) {
            return needs;
        }
        match known.resource(&p.item) {
            Known::Present(_, body) => {
                needs.extend(points_need(s, &p, known));
                // What a move would let expire is told by both policies.
                needs.extend(protection::Item::read(body).and_then(|i| i.policy).filter(|old| *old != p.policy).map(|old| kept(&old)));
                needs.extend(policies_need(s, &p, known));
            }
            // Not listed, or no listing came: only a direct read says that what was there is gone. Of what was never there it
            // is read together with the question about other vaults: reads of items are the scarcest of all.
            seen => {
                let asks = whereabouts(s, &p, known);
                if seen.is_unknown() || s.owns(&p.item) || !asks.is_empty() {
                    needs.push(kept(&p.item));
                }
                needs.extend(asks);
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
        let hold = vault_is_ours(&p.vault, facts, &s.estate, &p.owner, &s.writer).or(stands.hold);
        let stops = wanted(s, &p, facts) == Want::Stopped;
        // A machine that is gone can still be stopped (backup.md §9).
        let hold = hold.or_else(|| if stops { None } else { machine_hold(s, &p, facts).or_else(|| vault_full(&p, facts)) });
        let ours = protection::our_policies(&s.estate, &p, facts, stops);
        let ownership = Ownership::Item { vault: p.vault.clone(), owner: p.owner.clone(), policies: ours };
        let lock = || [format!("machine:{}", p.machine.key())];
        let mut graph = Desired::new();
        // There is nothing to stop where nothing is protected, or where it is soft-deleted: that is brought back first, on request.
        let brought_back = s.spec.undelete && stands.protection == Protection::SoftDeleted;
        let stoppable = matches!(stands.protection, Protection::Protected | Protection::InitialBackupPending | Protection::Unknown);
        if stops && !stoppable && !brought_back {
            return looked(s, &p, facts).map_or(Ok(graph), Err);
        }
        let keyless =
            facts.resource(&p.vault).present().is_some_and(|body| !vault_guard::stands(p.vault_view.spec.encryption.as_ref(), body));
        let new = keyless && facts.resource(&p.item).present().is_none();
        let hold = hold.or_else(|| {
            let message = || format!("{} does not encrypt with the declared key yet: nothing is put into it before", p.vault);
            new.then(|| Hold::wait(Reason::DependencyNotReady, message()))
        });
        let disks = coverage(s, &p, facts);
        let hold = hold.or_else(|| disks.is_none().then(|| Hold::wait(Reason::NotYetObserved, "which disks are meant is not known yet")));
        let mut change = change(&p, s, facts);
        if let Some(change) = &mut change {
            let operations = if stops { vault_guard::stop_into(stopped_state(&p, facts)) } else { &["protectedItems/write"] };
            vault_guard::guarded(&mut change.request, &p.vault, facts, operations);
        }
        let (approved, asked) = match asked(&p, s, facts, change.as_ref()) {
            Ok(approved) => (approved, None),
            Err(hold) => (None, Some(hold)),
        };
        let hold = hold.or(asked).or_else(|| unsettled(s, &p, facts));
        let create = disks.filter(|_| !stops).map(|disks| put(&p, &disks));
        let goal = Goal::Exists { create, change };
        let brake = selected::let_go(s, &p, facts).then(|| Brake { scope: p.policy.key(), most: selected::most_an_hour(&p, facts) });
        let node = Node::arm(p.item.clone(), goal, ownership.clone()).locking(lock()).held(hold.clone()).approved(approved);
        graph.node("protection", node.braked(brake));
        if wants_first_backup(s, &p) && !stops {
            let goal = Goal::Acted(first_backup(s, &p, facts));
            graph.node(FIRST_BACKUP, Node::arm(p.item.clone(), goal, ownership).after(&["protection"]).locking(lock()).beside().held(hold));
        }
        Ok(graph)
    }

    fn report(s: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report {
        machine_report::report(s, facts, decided)
    }

    fn acts_on_deletion(spec: &ProtectedMachineSpec) -> bool {
        spec.deletion_policy == MachineDeletionPolicy::StopAndRetain
    }

    fn claims(meta: &Meta, spec: &ProtectedMachineSpec, owned: &[Owned]) -> Vec<Claim> {
        let key = |id: &ResourceId| format!("protection of {}", id.key());
        let claim =
            |id: ResourceId| Claim { key: key(&id), target: id, holds: !owned.is_empty(), explicit: !meta.controlled || meta.named };
        spec.machine_id.parse().map(claim).into_iter().collect()
    }
}

/// No listing ends anything: an object that is to stop its machine's protection goes only when the item itself was looked at, or
/// shows that there is nothing to stop.
fn looked(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Hold> {
    let known = facts.read(&p.item).is_absent() || facts.resource(&p.item).present().is_some();
    (s.meta.deleting && !known).then(|| match facts.trouble(&p.item) {
        Some(_) => unreadable(&p.item, facts),
        None => Hold::wait(Reason::NotYetObserved, format!("whether {} is protected still is read before this object goes", p.item)),
    })
}

/// The machine is read when its listing shows another change time than the one it was read under.
fn machine_need(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Option<Need> {
    let listed = known.listed(&machines_of(p.machine.subscription_id()), &p.machine);
    let version = listed.present().and_then(|b| b.get("changedTime")).and_then(|t| t.as_str()).unwrap_or_default().to_owned();
    let read_under = s.status.machine.as_ref().and_then(|m| m.as_of.clone());
    match listed {
        Known::Unknown => None,
        // A read that found nothing is not believed beside a listing that shows it.
        Known::Present(..) if !version.is_empty() && read_under.as_ref() == Some(&version) && !known.read(&p.machine).is_absent() => None,
        Known::Present(..) if !version.is_empty() => Some(Need::Read { id: p.machine.clone(), fresh: Fresh::Version(version) }),
        // Not listed: only a direct read may say that it is gone.
        _ => Some(Need::Read { id: p.machine.clone(), fresh: Fresh::Within(SignedDuration::from_hours(1)) }),
    }
}

pub(super) fn points_of(item: &ResourceId) -> List {
    List { path: format!("{item}/recoveryPoints"), query: Vec::new(), api_version: RECOVERY_SERVICES, partial: false }
}

/// Recovery points are read when the item shows that they moved; jobs while the first backup is not known.
fn points_need(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Vec<Need> {
    let Some(item) = p.item_body(known).and_then(|b| protection::Item::read(b)) else { return Vec::new() };
    let mut needs = Vec::new();
    let token = item.token();
    if item.last_point.is_some() && s.status.recovery_points.as_ref().and_then(|r| r.as_of.as_ref()) != Some(&token) {
        needs.push(Need::ListUnder { list: points_of(&p.item), fresh: Fresh::Version(token) });
    } else if is_quiet(s) {
        needs.push(Need::ListUnder { list: points_of(&p.item), fresh: Fresh::Within(QUIET) });
    }
    if wants_first_backup(s, p) && !first_backup_known(s) {
        let since = jobs_since(s);
        needs.push(Need::Jobs { vault: p.vault.clone(), since, fresh: Fresh::Within(SignedDuration::from_hours(1)) });
    }
    needs
}

/// Between two looks at the points of a quiet machine.
const QUIET: SignedDuration = SignedDuration::from_hours(26);

/// Whether no point comes any more: what is there may expire or move between tiers, and nothing of its item shows it. A machine
/// that is backed up shows it with its next point, a week later at most.
fn is_quiet(s: &Subject<ProtectedMachine>) -> bool {
    let stopped = matches!(s.status.protection, Some(Protection::Stopped | Protection::Suspended));
    let quiet = if stopped { QUIET } else { SignedDuration::from_hours(8 * 24) };
    s.status.recovery_points.as_ref().and_then(|points| points.latest.as_ref()).is_some_and(|latest| latest.at + quiet < s.now)
}

/// When the points of a quiet machine are looked at again.
pub(super) fn points_next(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Timestamp> {
    let listed = facts.listed_at(&points_of(&p.item)).filter(|_| is_quiet(s))?;
    Some(listed + QUIET + SignedDuration::from_secs(1)).filter(|at| *at > s.now)
}

/// No item in the listing: read it directly, and ask whether another vault has the machine: before the first
/// protection, and hourly after.
fn whereabouts(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Vec<Need> {
    let location = s.status.machine.as_ref().and_then(|m| m.location.clone()).or_else(|| vm(p, known)?.location);
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
