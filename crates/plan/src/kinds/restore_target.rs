//! What a restore becomes: the request that asks for it, and what must be known around it.

use breakwater_api::{
    Reason, RestoreRun,
    ids::is_system,
    restore_run::{DiskAccess, NewMachine},
};
use breakwater_arm::{
    ResourceId,
    bodies::{
        DiskNetworkAccess, IdentityBasedRestore, RecoveryType, RestoreBody, RestoreFrom, RestoreIdentity, SecuredVmDetails, Staging,
        VirtualMachine,
    },
    names,
    versions::VIRTUAL_MACHINES,
    wire::{Method, Request},
};
use jiff::SignedDuration;

use super::restore_source::{self, Source, chosen};
use crate::{
    facts::{Facts, Fresh, Need},
    graph::Hold,
    kind::Subject,
};

/// The ask for the power state of a machine whose disks are to be replaced.
pub(super) const POWER: &str = "power";

/// How old what stands around a restore may be.
pub(super) const AROUND_WITHIN: SignedDuration = SignedDuration::from_mins(2);

/// How old an account or a network may be that was found to do: Azure looks at both once more itself.
const STANDING_WITHIN: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn invalid(message: impl Into<String>) -> Hold {
    Hold::stuck(Reason::InvalidSpec, message.into())
}

fn group(s: &Subject<RestoreRun>, source: &Source, subscription: Option<&str>, group: &str) -> Result<ResourceId, Hold> {
    let subscription = subscription.unwrap_or(source.machine.subscription_id());
    ResourceId::group(subscription, group).map_err(|e| invalid(format!("spec.to of {}: {e}", s.meta.name)))
}

/// The group that gets what is made; that of the machine where its disks are replaced.
pub(super) fn target_group(s: &Subject<RestoreRun>, source: &Source) -> Result<ResourceId, Hold> {
    match (&s.spec.to.new_machine, &s.spec.to.disks) {
        (Some(new), _) => group(s, source, new.subscription_id.as_deref(), &new.resource_group),
        (None, Some(disks)) => group(s, source, disks.subscription_id.as_deref(), &disks.resource_group),
        (None, None) => {
            let of_machine = source.machine.resource_group().unwrap_or_default();
            group(s, source, None, of_machine)
        }
    }
}

/// The machine that is to be made.
pub(super) fn new_machine(s: &Subject<RestoreRun>, source: &Source) -> Result<Option<ResourceId>, Hold> {
    let Some(new) = &s.spec.to.new_machine else { return Ok(None) };
    let group = target_group(s, source)?;
    let id = group.resource(names::VIRTUAL_MACHINE, &new.name);
    id.map(Some).map_err(|e| invalid(format!("spec.to.newMachine.name: {e}")))
}

pub(super) fn parsed(field: &str, text: &str) -> Result<ResourceId, Hold> {
    text.parse().map_err(|e| invalid(format!("{field}: {e}")))
}

pub(super) fn network_of(new: &NewMachine) -> Result<(ResourceId, ResourceId), Hold> {
    let subnet = parsed("spec.to.newMachine.subnetId", &new.subnet_id)?;
    let network = subnet.parent().ok_or_else(|| invalid("spec.to.newMachine.subnetId lies in no virtual network"))?;
    Ok((network, subnet))
}

/// What stands around the restore. What hinders it is looked at more often: somebody may be mending it.
pub(super) fn needs(s: &Subject<RestoreRun>, source: &Source, is_held: bool) -> Vec<Need> {
    let around = |id: ResourceId| Need::Read { id, fresh: Fresh::Within(AROUND_WITHIN) };
    let standing = |id: ResourceId| Need::Read { id, fresh: Fresh::Within(if is_held { AROUND_WITHIN } else { STANDING_WITHIN }) };
    let account = s.spec.staging.as_ref().and_then(|staging| parsed("", &staging.storage_account_id).ok());
    let mut needs: Vec<Need> = account.into_iter().map(standing).collect();
    needs.extend(new_machine(s, source).ok().flatten().map(around));
    needs.extend(s.spec.to.new_machine.as_ref().and_then(|new| network_of(new).ok()).map(|(network, _)| standing(network)));
    if s.spec.to.replace_disks.is_some() {
        needs.push(around(source.machine.clone()));
        let request = Request::new(Method::Get, source.machine.as_str(), VIRTUAL_MACHINES).with_query("$expand", "instanceView");
        needs.push(Need::Ask { name: POWER.into(), request, fresh: Fresh::Within(SignedDuration::from_secs(20)) });
    }
    needs
}

/// The request's body, of the chosen point.
///
/// # Errors
/// The field that cannot be sent.
pub(super) fn body(s: &Subject<RestoreRun>, source: &Source) -> Result<RestoreBody, Hold> {
    let to = &s.spec.to;
    let recovery_type = match (&to.new_machine, &to.disks, &to.replace_disks) {
        (Some(_), None, None) => RecoveryType::AlternateLocation,
        (None, Some(_), None) => RecoveryType::RestoreDisks,
        (None, None, Some(_)) => RecoveryType::OriginalLocation,
        _ => return Err(invalid("spec.to needs exactly one of newMachine, replaceDisks and disks")),
    };
    let mut body = RestoreBody::new(recovery_type);
    body.recovery_point_id = chosen(s).map(str::to_owned);
    body.source_resource_id = Some(source.machine.clone());
    body.region = Some(source.region().to_owned());
    body.staging = Some(staging(s)?);
    if let Some(wanted) = &s.spec.from.recovery_point.rehydrate {
        body.from = RestoreFrom::Archive { rehydration: restore_source::rehydration(wanted)? };
    }
    if let Some(new) = &to.new_machine {
        let (network, subnet) = network_of(new)?;
        body.target_virtual_machine_id = new_machine(s, source)?;
        (body.virtual_network_id, body.subnet_id) = (Some(network), Some(subnet));
        body.zones = new.zone.clone().map(|zone| vec![zone]);
    }
    if let Some(disks) = &to.disks {
        body.restore_disk_lun_list = disks.luns.as_ref().map(|luns| luns.iter().map(|lun| i64::from(*lun)).collect());
        body.zones = disks.zone.clone().map(|zone| vec![zone]);
    }
    if to.replace_disks.is_none() {
        body.target_resource_group_id = Some(target_group(s, source)?);
    }
    if let Some(set) = &s.spec.disk_encryption_set_id {
        body.disk_encryption_set_id = Some(parsed("spec.diskEncryptionSetId", set)?);
    }
    if let Some(set) = &s.spec.secured_vm_os_disk_encryption_set_id {
        let set = parsed("spec.securedVmOsDiskEncryptionSetId", set)?;
        body.secured_vm_details = Some(SecuredVmDetails { os_disk_encryption_set_id: Some(set), ..SecuredVmDetails::default() });
    }
    body.target_disk_network_access_settings = disk_access(s)?;
    Ok(body)
}

fn staging(s: &Subject<RestoreRun>) -> Result<Staging, Hold> {
    let Some(declared) = &s.spec.staging else { return Err(invalid("spec.staging is needed for every restore but files")) };
    let account = parsed("spec.staging.storageAccountId", &declared.storage_account_id)?;
    let identity = match declared.identity.as_deref() {
        None => return Ok(Staging::Account { account }),
        Some(word) if is_system(word) => RestoreIdentity::system_assigned(),
        Some(id) => RestoreIdentity::user_assigned(parsed("spec.staging.identity", id)?),
    };
    Ok(Staging::ByIdentity { identity, details: IdentityBasedRestore { target_storage_account_id: account } })
}

fn disk_access(s: &Subject<RestoreRun>) -> Result<Option<DiskNetworkAccess>, Hold> {
    let Some(access) = s.spec.disk_access else { return Ok(None) };
    Ok(Some(match (access, &s.spec.disk_access_id) {
        (DiskAccess::SameAsSource, _) => DiskNetworkAccess::SameAsOnSourceDisks,
        (DiskAccess::Public, _) => DiskNetworkAccess::EnablePublicAccessForAllDisks,
        (DiskAccess::Private, Some(id)) => {
            DiskNetworkAccess::EnablePrivateAccessForAllDisks { disk_access: parsed("spec.diskAccessId", id)? }
        }
        (DiskAccess::Private, None) => return Err(invalid("spec.diskAccessId is needed with diskAccess: Private")),
    }))
}

/// The power state of the machine: `running`, `deallocated`, ...
pub(super) fn power(facts: &Facts) -> Option<String> {
    let body = facts.answer(POWER)?.body.clone()?;
    let vm = VirtualMachine::parse(&body).ok()?;
    vm.properties.power_state().map(|word| word.to_string().to_ascii_lowercase())
}

/// Whether a machine holds no compute.
pub(super) fn is_off(power: &str) -> bool {
    power.eq_ignore_ascii_case("deallocated")
}
