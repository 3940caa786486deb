//! What forbids a restore before anything is sent, by all that was looked at: each a condition that names the field and what to
//! do.

mod grant;

use breakwater_api::{Reason, RestoreRun, restore_run::ReplaceDisks};
use breakwater_arm::{
    ResourceId,
    bodies::{self, VirtualMachine},
};
use jiff::SignedDuration;

pub(super) use self::grant::request;
use super::{
    recovery_points, restore_demands, restore_mark, restore_paired,
    restore_run::{own, seen_jobs},
    restore_source::{self, Source},
    restore_target::{invalid, is_off, network_of, new_machine, parsed, power},
    runs, unreadable, vault_guard,
};
use crate::{defence::made_at, facts::Facts, graph::Hold, kind::Subject, selection, sighting::Known};

/// Replaced disks are begun within this of the run's creation.
const REPLACED_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// What was read and makes no sense says nothing: nothing is begun on it.
pub(super) fn illegible(id: &ResourceId) -> Hold {
    Hold::wait(Reason::Unreadable, format!("{id} was read, and its body cannot be understood"))
}

/// What forbids the restore, by all that was looked at; nothing is sent while it does.
pub(super) fn hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    grant::hold(s, source, facts)
        .or_else(|| restore_source::stranger(source, facts))
        .or_else(|| restore_paired::hold(source, facts))
        .or_else(|| restore_demands::hold(s, source, facts))
        .or_else(|| staging_hold(s, source, facts))
        .or_else(|| machine_hold(s, source, facts))
        .or_else(|| restore_mark::hold(s, source, facts))
        .or_else(|| s.spec.to.replace_disks.as_ref().and_then(|wanted| replace_hold(s, wanted, source, facts)))
}

/// The hold of a run whose access does not admit what it does with the machine's data.
pub(super) fn machine_not_granted(s: &Subject<RestoreRun>, machine: &ResourceId) -> Option<Hold> {
    runs::not_granted(s, act(s), machine)
}

fn act(s: &Subject<RestoreRun>) -> &'static str {
    match (&s.spec.to.files, &s.spec.to.replace_disks) {
        (Some(_), _) => "ReadData",
        (None, Some(_)) => "ReplaceDisks",
        (None, None) => "Restore",
    }
}

/// Azure's rules for the staging account (backup.md §13).
fn staging_hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    // Without one, the body cannot be made and says so.
    let declared = s.spec.staging.as_ref()?;
    if let Some(wanted) = declared.identity.as_deref()
        && let Known::Present(_, vault) = facts.resource(&source.vault)
        && !vault_guard::has_identity(wanted, vault)
    {
        let message = format!(
            "spec.staging.identity: {} does not have the identity {wanted}: give it to the vault, or name another one in a new RestoreRun",
            source.vault
        );
        return Some(invalid(message));
    }
    let id = match parsed("spec.staging.storageAccountId", &declared.storage_account_id) {
        Ok(id) => id,
        Err(hold) => return Some(hold),
    };
    let field = "spec.staging.storageAccountId";
    let body = match facts.read(&id) {
        Known::Present(_, body) => body,
        Known::Absent(_) => {
            return Some(invalid(format!("{field}: {id} does not exist: make it, or name another one in a new RestoreRun")));
        }
        Known::Unknown => return Some(unreadable(&id, facts)),
    };
    let account = bodies::StorageAccount::parse(body);
    let Ok(account) = account else { return Some(illegible(&id)) };
    let there = source.region();
    let sku = account.sku.as_ref().and_then(|sku| sku.name.clone()).unwrap_or_default();
    let kind = account.kind.clone().unwrap_or_default();
    let wrong = match account.location.as_deref() {
        Some(here) if !selection::same_location(here, there) => format!("is in {here}, and must be in the region of the data, {there}"),
        _ if ["BlobStorage", "BlockBlobStorage", "FileStorage"].iter().any(|k| k.eq_ignore_ascii_case(&kind)) => {
            format!("is a {kind} account, and must be a general-purpose one")
        }
        _ if account.is_zone_redundant() == Some(true) => {
            format!("is zone-redundant ({sku}), which Azure Backup does not stage in")
        }
        _ if account.properties.admits_azure_services() == Some(false) => {
            "has a firewall that does not let trusted Azure services in: let them pass".to_owned()
        }
        _ => return None,
    };
    Some(invalid(format!("{field}: {id} {wrong}; mend it, or name another one in a new RestoreRun")))
}

/// What a new machine needs: a name that is free and a subnet in the region.
fn machine_hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    let new = s.spec.to.new_machine.as_ref()?;
    let target = match new_machine(s, source) {
        Ok(target) => target?,
        Err(hold) => return Some(hold),
    };
    match facts.read(&target) {
        Known::Present(..) => {
            let message = format!(
                "spec.to.newMachine.name: {target} exists already: nothing is restored over it; make a new RestoreRun with another name"
            );
            return Some(Hold::stuck(Reason::TargetExists, message));
        }
        Known::Unknown => return Some(unreadable(&target, facts)),
        Known::Absent(_) => {}
    }
    let (network, subnet) = match network_of(new) {
        Ok(ids) => ids,
        Err(hold) => return Some(hold),
    };
    let field = "spec.to.newMachine.subnetId";
    let body = match facts.read(&network) {
        Known::Present(_, body) => match bodies::VirtualNetwork::parse(body) {
            Ok(network) => network,
            Err(_) => return Some(illegible(&network)),
        },
        Known::Absent(_) => return Some(invalid(format!("{field}: {network} does not exist: make a new RestoreRun with another subnet"))),
        Known::Unknown => return Some(unreadable(&network, facts)),
    };
    let there = source.region();
    if let Some(here) = body.location.as_deref().filter(|here| !selection::same_location(here, there)) {
        let message =
            format!("{field}: {network} is in {here}, and the machine is restored in {there}: make a new RestoreRun with a subnet there");
        return Some(Hold::stuck(Reason::LocationMismatch, message));
    }
    body.subnet(&subnet)
        .is_none()
        .then(|| invalid(format!("{field}: {network} has no subnet {}: make a new RestoreRun with another one", subnet.name())))
}

/// A restore of the machine that Azure works on and that is not this run's: its object may be gone.
fn working(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<String> {
    let jobs = seen_jobs(s, source, facts)?;
    let own = own(s, source).name(Some(&jobs));
    let others = jobs.into_iter().filter(|job| !job.over && job.operation.eq_ignore_ascii_case("Restore"));
    others.map(|job| job.name).find(|name| Some(name) != own.as_ref())
}

/// What stands against other disks under a living machine.
fn replace_hold(s: &Subject<RestoreRun>, wanted: &ReplaceDisks, source: &Source, facts: &Facts) -> Option<Hold> {
    let machine = &source.machine;
    if wanted.confirm != machine.name() {
        let message = format!(
            "spec.to.replaceDisks.confirm says {:?}, and the machine's name is {:?}: spell it out in a new RestoreRun",
            wanted.confirm,
            machine.name()
        );
        return Some(invalid(message));
    }
    if s.spec.expires_at.is_none_or(|at| at > s.meta.created + REPLACED_WITHIN) {
        return Some(invalid(
            "spec.expiresAt must lie within 24 hours of this object's creation where disks are replaced: make a new RestoreRun",
        ));
    }
    let Some(view) = &source.view else {
        return Some(invalid(
            "spec.from.recoveryPoint.protectedMachineRef is needed where disks are replaced: by it the machine is known to be the same",
        ));
    };
    let (body, vm) = match facts.read(machine) {
        Known::Present(_, body) => match VirtualMachine::parse(body) {
            Ok(vm) => (body, vm),
            Err(_) => return Some(illegible(machine)),
        },
        Known::Absent(_) => {
            let message = format!("{machine} does not exist: its disks cannot be replaced; restore a new machine");
            return Some(Hold::stuck(Reason::MachineNotFound, message));
        }
        Known::Unknown => return Some(unreadable(machine, facts)),
    };
    let (is, was) = (vm.properties.vm_id.as_deref(), view.status.machine.as_ref().and_then(|m| m.vm_id.as_deref()));
    match (is, was) {
        (Some(is), Some(was)) if is.eq_ignore_ascii_case(was) => {}
        (Some(is), Some(was)) => {
            let message = format!(
                "{machine} is another machine now (vmId {is}, was {was}): its disks are not replaced by the old one's; restore a new machine"
            );
            return Some(Hold::stuck(Reason::IdentityChanged, message));
        }
        _ => return Some(Hold::wait(Reason::NotYetObserved, format!("which machine {machine} is, is not known yet (vmId)"))),
    }
    let made = made_at(body);
    let taken = restore_source::read(s, source, facts).as_ref().and_then(recovery_points::of).map(|point| point.at);
    if let Some((made, taken)) = made.zip(taken).filter(|(made, taken)| taken < made) {
        let message = format!(
            "{machine} was made {made}, after the recovery point of {taken}: that is another machine's, whose disks are not put under this \
             one; restore a new machine"
        );
        return Some(Hold::stuck(Reason::IdentityChanged, message));
    }
    if let Some(job) = working(s, source, facts) {
        let message = format!("job {job} restores disks of {machine}: nothing is begun until it is over");
        return Some(Hold::wait(Reason::Busy, message));
    }
    if let Some(extension) = bodies::replicating_extension(body).filter(|_| wanted.when_replicating.is_none()) {
        let message = format!(
            "Azure Site Recovery replicates {machine} (extension {extension}), and replication does not survive other disks: disable it \
             first, or say whenReplicating: Break in a new RestoreRun and set it up anew afterwards; or restore a new machine"
        );
        return Some(Hold::stuck(Reason::MachineReplicates, message));
    }
    match power(facts) {
        Some(state) if is_off(&state) => None,
        Some(_) if wanted.stop_machine => None,
        Some(state) => {
            let message = format!(
                "{machine} is {state}: its disks are replaced while it is deallocated; stop it, or say stopMachine: true in a new RestoreRun"
            );
            Some(Hold::stuck(Reason::MachineRunning, message))
        }
        None => Some(Hold::wait(Reason::NotYetObserved, format!("whether {machine} runs is not known yet"))),
    }
}
