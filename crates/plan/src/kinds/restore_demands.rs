//! What a recovery point and its vault demand of a restore: fields that must be said, and fields that must not.

use breakwater_api::{Reason, RestoreRun};
use breakwater_arm::bodies::RecoveryPointProperties;

use super::{
    restore_checks::illegible,
    restore_source::{self, Source, considered},
    restore_target::{invalid, target_group},
    text, unreadable,
};
use crate::{facts::Facts, graph::Hold, kind::Subject, sighting::Known};

/// What the chosen point, or the one that would be, and its vault forbid, or miss: in mode Plan none is ever chosen.
pub(super) fn hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    considered(s, source, facts)?;
    let point = match point(s, source, facts) {
        Ok(point) => point,
        Err(hold) => return Some(hold),
    };
    access_hold(s, source, &point)
        .or_else(|| archive_hold(s, &point))
        .or_else(|| encryption_hold(s, source, &point))
        .or_else(|| confidential_hold(s, source, &point))
        .or_else(|| zone_hold(s, source, facts, &point))
        .or_else(|| crossing_hold(s, source, facts))
}

/// The chosen point as Azure shows it.
///
/// # Errors
/// That it is gone, or cannot be read.
pub(super) fn point(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Result<RecoveryPointProperties, Hold> {
    let name = considered(s, source, facts).unwrap_or_default();
    let Some(id) = source.point(&name) else { return Err(invalid(format!("{name} is no name of a recovery point"))) };
    match (restore_source::shown(s, source, facts), restore_source::read(s, source, facts)) {
        (_, Some(point)) => Ok(point.properties),
        (Known::Absent(at), _) => {
            let message = format!(
                "recovery point {name}, which this run chose, is gone since {at}: it expired; make a new RestoreRun for another point"
            );
            Err(Hold::stuck(Reason::NoRecoveryPoint, message))
        }
        _ if source.paired.is_some() => restore_source::pick(s, source, facts).and(Err(illegible(&id))),
        _ => Err(unreadable(&id, facts)),
    }
}

/// Whether the disks can be reached is said where one of the point allows private access only, and only then (backup.md §13).
fn access_hold(s: &Subject<RestoreRun>, source: &Source, point: &RecoveryPointProperties) -> Option<Hold> {
    // In the paired region the access of disks cannot be chosen (azure-cli, `--disk-access-option`): the run's own word stands, and
    // Azure's answer.
    if source.paired.is_some() {
        return None;
    }
    let private = point.is_private_access_enabled_on_any_disk == Some(true);
    if private && s.spec.disk_access.is_none() {
        let message = "spec.diskAccess is needed: a disk of this point allows private access only; say SameAsSource, Private or Public in a new RestoreRun";
        return Some(invalid(message));
    }
    if !private && s.spec.disk_access.is_some() {
        let message = "spec.diskAccess must be left out: no disk of this point allows private access only, and Azure takes it for such points alone; make a new RestoreRun without it";
        return Some(invalid(message));
    }
    None
}

/// A point in the archive is brought back first, when the run says so (backup.md §12).
fn archive_hold(s: &Subject<RestoreRun>, point: &RecoveryPointProperties) -> Option<Hold> {
    let archived = point.is_archived_only();
    if archived && s.spec.from.recovery_point.rehydrate.is_none() {
        let message = "spec.from.recoveryPoint.rehydrate is needed: this point is in the archive only, and is brought back first, which takes hours; say its priority and retainFor in a new RestoreRun";
        return Some(invalid(message));
    }
    if !archived && s.spec.from.recovery_point.rehydrate.is_some() {
        let message =
            "spec.from.recoveryPoint.rehydrate must be left out: this point is not in the archive; make a new RestoreRun without it";
        return Some(invalid(message));
    }
    None
}

/// Disks that the guest encrypted keep its keys: they take no encryption set (so do `az backup` and Azure PowerShell, which offer
/// it for other points alone), are restored in their subscription, and are not replaced under a machine ("Back up and restore
/// encrypted Azure virtual machines", "Troubleshoot backup errors on encrypted Azure VMs").
fn encryption_hold(s: &Subject<RestoreRun>, source: &Source, point: &RecoveryPointProperties) -> Option<Hold> {
    if point.is_source_vm_encrypted != Some(true) {
        return None;
    }
    if s.spec.to.replace_disks.is_some() {
        let message = "spec.to.replaceDisks: the machine was encrypted inside when this recovery point was made, and Azure replaces no disks of such a machine: restore a new machine or disks";
        return Some(invalid(message));
    }
    if s.spec.disk_encryption_set_id.is_some() {
        let message = "spec.diskEncryptionSetId must be left out: the machine was encrypted inside when this recovery point was made, and its disks keep those keys; make a new RestoreRun without it";
        return Some(invalid(message));
    }
    let there = target_group(s, source).ok()?;
    let crosses = !there.subscription_id().eq_ignore_ascii_case(source.machine.subscription_id());
    crosses.then(|| {
        invalid(format!(
            "spec.to: the machine was encrypted inside when this recovery point was made, and Azure restores such a machine in its own subscription alone ({}): make a new RestoreRun into that",
            source.machine.subscription_id()
        ))
    })
}

/// The encryption set of a confidential machine's OS disk goes with points of such machines, in their own region, alone (so it is
/// with `az backup`). Whether one needs it is told by no point: where the key is the platform's, it does not.
fn confidential_hold(s: &Subject<RestoreRun>, source: &Source, point: &RecoveryPointProperties) -> Option<Hold> {
    s.spec.secured_vm_os_disk_encryption_set_id.as_ref()?;
    let field = "spec.securedVmOsDiskEncryptionSetId must be left out";
    let instead = "say diskEncryptionSetId, or neither, in a new RestoreRun";
    if let Some(paired) = &source.paired {
        return Some(invalid(format!(
            "{field}: Azure takes it for restores in the vault's own region, and not in {}; {instead}",
            paired.region
        )));
    }
    let told = point.security_type.as_ref();
    let is_confidential = told.is_some_and(|word| word.is("ConfidentialVM"));
    (!is_confidential).then(|| {
        let told = told.map_or_else(|| "not told".to_owned(), ToString::to_string);
        invalid(format!("{field}: it is for confidential machines, and this recovery point's security type is {told}; {instead}"))
    })
}

/// Another zone than the machine's is reached from a zone-redundant vault, or in the paired region ("Restore VMs", Azure PowerShell).
fn zone_hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts, point: &RecoveryPointProperties) -> Option<Hold> {
    let to = &s.spec.to;
    let (field, zone) = match (&to.new_machine, &to.disks) {
        (Some(new), _) => ("spec.to.newMachine.zone", new.zone.as_ref()?),
        (None, Some(disks)) => ("spec.to.disks.zone", disks.zone.as_ref()?),
        (None, None) => return None,
    };
    let of_point = point.zones.as_deref().unwrap_or_default();
    if source.paired.is_some() || of_point.contains(zone) {
        return None;
    }
    let body = facts.resource(&source.vault).into_present()?;
    let redundancy = text(body, "/properties/redundancySettings/standardTierStorageRedundancy")?;
    (!redundancy.eq_ignore_ascii_case("ZoneRedundant")).then(|| {
        let was = if of_point.is_empty() { "was in no zone".to_owned() } else { format!("was in zone {}", of_point.join(", ")) };
        invalid(format!(
            "{field}: the machine {was}, and Azure restores into another zone from zone-redundant vaults alone ({} is {redundancy}): make a new RestoreRun without a zone",
            source.vault
        ))
    })
}

/// A vault may forbid restores into other subscriptions (backup.md §5.1, `crossSubscriptionRestoreState`).
fn crossing_hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    let target = target_group(s, source).ok()?;
    let there = target.subscription_id();
    let body = facts.resource(&source.vault).into_present()?;
    let state = body.pointer("/properties/restoreSettings/crossSubscriptionRestoreSettings/crossSubscriptionRestoreState")?.as_str()?;
    let crosses = !there.eq_ignore_ascii_case(source.vault.subscription_id());
    (crosses && !state.eq_ignore_ascii_case("Enabled")).then(|| {
        invalid(format!(
            "spec.to: {} lets nothing be restored into another subscription ({there}; its cross-subscription restore is {state}): make a new RestoreRun into its own, or have it allowed on the vault",
            source.vault
        ))
    })
}
