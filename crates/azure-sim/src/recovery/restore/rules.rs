//! Which restores a vault and a point allow at all: what is refused before the 202.

use super::super::archive::Archive;
use super::super::names::canonical_location;
use super::super::points::{Point, Tier};
use super::super::settings::Refusal;
use super::super::state::{State, refused};
use super::super::vault::Vault;
use super::super::vault_rules::Refused;
use super::request::{Ask, Goal, Zone};
use super::{Named, Plan, Reads};
use crate::wire::Neighbours;

/// `securityType` of a confidential machine.
pub(super) const CONFIDENTIAL: &str = "ConfidentialVM";

/// Where a restore is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recovery) enum Wanted {
    /// In the vault's region.
    Here,
    /// In its secondary region.
    There(String),
}

/// The subscription in an ARM id, in lower case.
fn subscription(id: &str) -> String {
    id.split('/').nth(2).unwrap_or_default().to_lowercase()
}

impl State {
    /// What a request comes to, once every rule of the vault and the point has let it.
    pub(in crate::recovery) fn plan_restore(
        &self,
        n: &dyn Neighbours,
        named: &Named<'_>,
        ask: Ask,
        wanted: Wanted,
    ) -> Result<Plan, Refused> {
        let vault = self.vault(&named.path.key).ok_or_else(|| Box::new(named.path.not_found()))?;
        let item = &vault.items[&named.key];
        if item.soft_deleted.is_some() {
            return self.no(&self.settings.refusals.soft_deleted, "The item is in soft deleted state. Undelete it first.");
        }
        let Some(point) = item.point(named.point) else { return Err(Box::new(super::no_point(named.point))) };
        self.fits(vault, &item.source_id, named, point, (&ask, &wanted))?;
        self.access_fits(point, &ask)?;
        let crosses = self.subscription_fits(n, vault, &ask)?;
        self.encryption_fits(point, &ask, crosses)?;
        let secondary = if let Wanted::There(region) = wanted { Some(region) } else { None };
        let reads = self.source_of(point, &ask, crosses || secondary.is_some())?;
        self.zone_fits(vault, point, &ask, (reads, secondary.as_deref()))?;
        Ok(Plan {
            ask,
            taken: point.taken.clone(),
            point: point.name.clone(),
            source_id: item.source_id.clone(),
            friendly_name: item.friendly_name.clone(),
            data_id: item.data_id.clone(),
            vault: (vault.subscription_id.clone(), vault.resource_group.clone(), vault.name.clone()),
            reads,
            secondary,
        })
    }

    fn no<T>(&self, refusal: &Refusal, message: impl Into<String>) -> Result<T, Refused> {
        Err(Box::new(refused(refusal, message)))
    }

    /// The request is about this point and this vault.
    fn fits(
        &self,
        vault: &Vault,
        source_id: &str,
        named: &Named<'_>,
        point: &Point,
        (ask, wanted): (&Ask, &Wanted),
    ) -> Result<(), Refused> {
        let refusal = &self.settings.restore.refusals.request;
        if ask.point.as_deref().is_some_and(|name| name != named.point) {
            return self.no(refusal, "recoveryPointId is not that of the request's path.");
        }
        if ask.source.as_deref().is_none_or(|source| !source.eq_ignore_ascii_case(source_id)) {
            return self.no(refusal, "sourceResourceId is not the machine that the recovery point is of.");
        }
        let region = match wanted {
            Wanted::Here => vault.location.clone(),
            Wanted::There(region) => canonical_location(region),
        };
        if ask.region != region {
            return self.no(refusal, format!("The region of the restore is '{region}'."));
        }
        if *wanted != Wanted::Here && ask.goal == Goal::Replace {
            return self.no(&self.settings.restore.refusals.replace, "Disks cannot be replaced from the secondary region.");
        }
        let held = |lun: &i32| point.taken.included.iter().any(|disk| disk.lun == *lun);
        match &ask.goal {
            Goal::Disks { luns: Some(luns) } if !luns.iter().all(held) => {
                self.no(refusal, "restoreDiskLunList names a disk that the recovery point does not have.")
            }
            _ => Ok(()),
        }
    }

    /// Network access settings are there when, and only when, a disk of the point is private (§13).
    fn access_fits(&self, point: &Point, ask: &Ask) -> Result<(), Refused> {
        let refusal = &self.settings.restore.refusals.network_access;
        match (point.taken.is_private(), &ask.access) {
            (true, None) => self.no(refusal, "targetDiskNetworkAccessSettings are needed: a disk of the recovery point is private."),
            (false, Some(_)) => self.no(refusal, "targetDiskNetworkAccessSettings go with recovery points of private disks alone."),
            _ => Ok(()),
        }
    }

    /// Disks that the guest encrypted keep its keys, in their subscription and under no living machine ("Back up and restore
    /// encrypted Azure virtual machines"); an encryption set of the OS disk goes with confidential machines.
    fn encryption_fits(&self, point: &Point, ask: &Ask, crosses: bool) -> Result<(), Refused> {
        let refusals = &self.settings.restore.refusals;
        let encrypted = point.taken.encrypted;
        if encrypted && ask.goal == Goal::Replace {
            return self.no(&refusals.replace, "Replace existing is not supported for encrypted virtual machines.");
        }
        if encrypted && crosses {
            return self.no(&refusals.cross_subscription, "An encrypted virtual machine is restored in its own subscription.");
        }
        if encrypted && ask.encryption_set.is_some() {
            return self.no(&refusals.request, "diskEncryptionSetId does not go with an encrypted virtual machine.");
        }
        if ask.says_encrypted && !encrypted {
            return self.no(&refusals.request, "encryptionDetails say that the virtual machine was encrypted, and it was not.");
        }
        if ask.secured_set.is_some() && point.taken.security_type != CONFIDENTIAL {
            return self.no(&refusals.request, "securedVMDetails go with confidential virtual machines alone.");
        }
        Ok(())
    }

    /// Whether the restore goes to another subscription, when it may.
    fn subscription_fits(&self, n: &dyn Neighbours, vault: &Vault, ask: &Ask) -> Result<bool, Refused> {
        let refusal = &self.settings.restore.refusals.cross_subscription;
        let targets = ask.group.iter().chain(match &ask.goal {
            Goal::Machine { id, network, subnet } => vec![id, network, subnet],
            _ => Vec::new(),
        });
        let foreign = targets.map(|id| subscription(id)).find(|id| !id.eq_ignore_ascii_case(&vault.subscription_id));
        let Some(foreign) = foreign else { return Ok(false) };
        let state = &vault.settings["restoreSettings"]["crossSubscriptionRestoreSettings"]["crossSubscriptionRestoreState"];
        if state != "Enabled" {
            return self.no(refusal, "Cross subscription restore is disabled for the vault.");
        }
        if n.tenant_of(&foreign).is_none_or(|tenant| n.tenant_of(&vault.subscription_id) != Some(tenant)) {
            return self.no(refusal, "The target subscription is not in the tenant of the vault.");
        }
        Ok(true)
    }

    /// Where the data is read. "Unsupported from snapshots" is documented of other subscriptions and other zones; disks as
    /// blobs come from the vault as well.
    fn source_of(&self, point: &Point, ask: &Ask, far: bool) -> Result<Reads, Refused> {
        let now = self.clock;
        let refusals = &self.settings.restore.refusals;
        let archived = point.archive != Archive::Never && !point.archive.is_back(now);
        match (&ask.rehydration, archived) {
            (None, true) => {
                return self.no(&refusals.archived, "The recovery point is in the archive tier. Rehydrate it with the restore.");
            }
            (Some(_), false) => return self.no(&refusals.archived, "The recovery point is not in the archive tier."),
            (Some(_), true) if far => {
                return self.no(&refusals.archived, "A recovery point in the archive tier is restored in its region.");
            }
            (Some(_), true) => return Ok(Reads::Vault),
            (None, false) => {}
        }
        let unmanaged = matches!(ask.goal, Goal::Disks { .. }) && ask.group.is_none();
        let other_zone = matches!(&ask.zone, Zone::Pinned(zone) if !point.taken.zones.contains(zone));
        let needs_vault = far || unmanaged || other_zone;
        match (point.instant == Tier::Valid && !needs_vault, point.is_readable_in_vault(now)) {
            (true, _) => Ok(Reads::Snapshot),
            (false, true) => Ok(Reads::Vault),
            (false, false) => {
                self.no(&refusals.request, "This restore needs a recovery point that is in the vault; it is in its snapshot alone.")
            }
        }
    }

    /// Another zone needs a zone-redundant vault, or the secondary region of one with cross-region restore (documented).
    /// `NoZone` is recorded of a restore that read a snapshot.
    fn zone_fits(&self, vault: &Vault, point: &Point, ask: &Ask, (reads, secondary): (Reads, Option<&str>)) -> Result<(), Refused> {
        let Zone::Pinned(zone) = &ask.zone else { return Ok(()) };
        let zonal = vault.settings["redundancySettings"]["standardTierStorageRedundancy"] == "ZoneRedundant";
        let same = secondary.is_none() && point.taken.zones.contains(zone);
        if same || (zonal && reads == Reads::Vault) || secondary.is_some() {
            return Ok(());
        }
        self.no(&self.settings.restore.refusals.zones, format!("The vault's redundancy does not allow a restore to zone {zone}."))
    }
}
