//! Recovery points: tiers, consistency, expiry (backup.md §12).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::archive::Archive;
use super::item::{Item, Protection};
use super::lists::span_of;
use super::names::{ItemKey, VAULT_TYPE, time_text, zoneless_text};
use super::policy_rules::Generation;
use super::protect::{item_key, no_item};
use super::restore_settings::RestoreSettings;
use super::retention::Kept;
use super::schedule::{Slot, instant_days};
use super::state::{Event, State, backup_error};
use super::vault::{Vault, VaultPath};
use crate::wire::{DiskView, Inbound, MachineView, Reply};

/// A point in one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Absent,
    Valid,
    Deleted,
}

/// How long a point lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// As the request said.
    OnDemand { until: Timestamp },
    /// As the policy says, now and after each of its edits; `None` when no rule wants the point.
    Scheduled { slot: Slot, kept: Option<Kept> },
}

/// What a snapshot holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Taken {
    pub time: Timestamp,
    /// `properties.vmId` of the machine.
    pub vm_id: String,
    consistency: &'static str,
    pub os: String,
    pub size: String,
    pub security_type: String,
    pub encrypted: bool,
    pub zones: Vec<String>,
    /// Tags of the machine, which what is restored of it bears.
    pub tags: BTreeMap<String, String>,
    pub included: Vec<DiskView>,
    excluded: Vec<DiskView>,
    generation: Generation,
}

impl Taken {
    /// The snapshot of a machine. Windows is application consistent and Linux file system consistent, when running
    /// with its agent answering; everything else, and what the policy wants so, is crash consistent.
    pub fn of(
        machine: &MachineView,
        tags: BTreeMap<String, String>,
        disks: Option<&Value>,
        generation: Generation,
        crash_only: bool,
        time: Timestamp,
    ) -> Self {
        let quiesced = machine.power_state == "running" && machine.agent_ready && !crash_only;
        let consistency = match (quiesced, machine.os.as_str()) {
            (true, "Windows") => "AppConsistent",
            (true, _) => "FileSystemConsistent",
            (false, _) => "CrashConsistent",
        };
        let list = disks.map_or(&Value::Null, |disks| &disks["diskExclusionProperties"]);
        let named =
            |lun: i32| list["diskLunList"].as_array().is_some_and(|luns| luns.iter().any(|named| named.as_i64() == Some(i64::from(lun))));
        // The OS disk is always in (§8.3).
        let wanted = |disk: &DiskView| disk.lun < 0 || list.is_null() || named(disk.lun) == (list["isInclusionList"] == true);
        let (included, excluded) = machine.disks.iter().cloned().partition(wanted);
        Taken {
            time,
            vm_id: machine.vm_id.clone(),
            consistency,
            os: machine.os.clone(),
            size: machine.size.clone(),
            security_type: machine.security_type.clone(),
            encrypted: machine.encrypted,
            zones: machine.zones.clone(),
            tags,
            included,
            excluded,
            generation,
        }
    }

    /// Provisioned size of the disks in it.
    pub fn gigabytes(&self) -> i64 {
        self.included.iter().map(|disk| disk.size_gb).sum()
    }

    /// Whether any of its disks is open through a disk access resource alone. That this is what the flag means is a guess.
    pub fn is_private(&self) -> bool {
        self.included.iter().any(|disk| disk.network_access == "AllowPrivate")
    }

    /// Only the mixed premium form is recorded; the other's name is a guess.
    fn storage_type(&self) -> &'static str {
        let premium = self.included.iter().any(|disk| disk.sku.starts_with("Premium"));
        if premium { "PremiumVMOnPartialPremiumStorage" } else { "NormalStorage" }
    }
}

/// One recovery point.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub name: String,
    pub taken: Taken,
    pub instant: Tier,
    pub hardened: Tier,
    /// Since when it is in the vault.
    pub hardened_at: Option<Timestamp>,
    pub archive: Archive,
    /// Until when its disks are mounted for file recovery.
    pub mounted_until: Option<Timestamp>,
    /// When its snapshot goes, by the policy's days.
    pub instant_until: Option<Timestamp>,
    pub life: Life,
}

impl Point {
    /// Whether its data is in the vault or its archive, so that it outlives its snapshot.
    fn is_stored(&self) -> bool {
        self.hardened == Tier::Valid || self.archive != Archive::Never
    }

    /// Whether its disks can be read from the vault: it is there, or was brought back from the archive.
    pub fn is_readable_in_vault(&self, now: Timestamp) -> bool {
        self.hardened == Tier::Valid || self.archive.is_back(now)
    }

    /// Whether its disks are mounted.
    pub fn is_mounted(&self, now: Timestamp) -> bool {
        self.mounted_until.is_some_and(|until| until > now)
    }

    pub fn until(&self) -> Option<Timestamp> {
        match self.life {
            Life::OnDemand { until } => Some(until),
            Life::Scheduled { kept, .. } => kept.map(|kept| kept.until),
        }
    }

    /// Sets a field as a GET shows it: until when the point lives, when it was taken, whether its snapshot is there.
    pub fn edit(&mut self, pointer: &str, value: &Value) -> Option<()> {
        let time = || value.as_str().and_then(|text| text.parse().ok().or_else(|| format!("{text}Z").parse().ok()));
        match pointer {
            "/recoveryPointProperties/expiryTime" => {
                let until = time()?;
                match &mut self.life {
                    Life::Scheduled { kept: Some(kept), .. } => kept.until = until,
                    life => *life = Life::OnDemand { until },
                }
            }
            "/recoveryPointTime" => self.taken.time = time()?,
            "/recoveryPointTierDetails/InstantRP" => self.instant = if value == "Valid" { Tier::Valid } else { Tier::Deleted },
            _ => return None,
        }
        Some(())
    }

    fn next_end(&self) -> Option<Timestamp> {
        let snapshot = self.instant_until.filter(|_| self.instant == Tier::Valid);
        self.until().into_iter().chain(snapshot).min()
    }

    pub fn render(&self, item: &Item, item_id: &str, detail: Detail, (now, settings): (Timestamp, &RestoreSettings)) -> Value {
        let tier = |kind: &str, tier: Tier| {
            let status = match tier {
                Tier::Absent => return None,
                Tier::Valid => "Valid",
                Tier::Deleted => "Deleted",
            };
            Some(json!({"type": kind, "status": status}))
        };
        let tiers = [tier("InstantRP", self.instant), tier("HardenedRP", self.hardened), self.archive.tier(now)];
        let tiers: Vec<Value> = tiers.into_iter().flatten().collect();
        let taken = &self.taken;
        let mut properties = json!({
            "objectType": "IaasVMRecoveryPoint",
            "recoveryPointType": taken.consistency,
            "recoveryPointTime": time_text(taken.time),
            "recoveryPointAdditionalInfo": "",
            "sourceVMStorageType": taken.storage_type(),
            "isSourceVMEncrypted": taken.encrypted,
            "isInstantIlrSessionActive": self.is_mounted(now),
            "recoveryPointTierDetails": tiers,
            "isManagedVirtualMachine": true,
            "virtualMachineSize": taken.size,
            "originalStorageAccountOption": false,
            "osType": taken.os,
            "recoveryPointMoveReadinessInfo": {"ArchivedRP": self.readiness(settings, now)},
            "securityType": if taken.security_type.is_empty() { "None" } else { &taken.security_type },
            "isPrivateAccessEnabledOnAnyDisk": taken.is_private(),
            "createdWithPolicyType": taken.generation.name(),
            "threatStatus": 0,
        });
        if !taken.zones.is_empty() {
            properties["zones"] = json!(taken.zones);
        }
        if taken.encrypted && detail == Detail::Full {
            properties["keyAndSecret"] = keys_of(&taken.vm_id);
        }
        if !taken.excluded.is_empty() {
            let mut disks = json!({"numberOfDisksIncludedInBackup": taken.included.len(), "numberOfDisksAttachedToVm": taken.included.len() + taken.excluded.len()});
            if detail == Detail::Full {
                let list = |disks: &[DiskView]| disks.iter().map(|disk| json!({"lun": disk.lun, "name": disk.name})).collect::<Vec<_>>();
                disks["includedDiskList"] = json!(list(&taken.included));
                disks["excludedDiskList"] = json!(list(&taken.excluded));
            }
            properties["recoveryPointDiskConfiguration"] = disks;
        }
        // Absent on on-demand points and on those not yet in the vault (§12.1); that the archive keeps it is a guess.
        if let (Life::Scheduled { kept: Some(kept), .. }, true) = (self.life, self.is_stored()) {
            // True below a soft-deleted item is a guess: no such point is recorded.
            let gone = item.soft_deleted.is_some();
            properties["recoveryPointProperties"] =
                json!({"expiryTime": zoneless_text(kept.until), "ruleName": kept.rule.name(), "isSoftDeleted": gone});
        }
        json!({
            "id": format!("{item_id}/recoveryPoints/{}", self.name),
            "name": self.name,
            "type": format!("{VAULT_TYPE}/backupFabrics/protectionContainers/protectedItems/recoveryPoints"),
            "properties": properties,
        })
    }
}

/// `keyAndSecret` of a machine that its guest encrypted [sdk]: where its keys are, and backups of the keys themselves, by which
/// whoever reads the point could restore them.
fn keys_of(vm_id: &str) -> Value {
    let vault = "/subscriptions/00000000-0000-4000-8000-00000000aaaa/resourceGroups/rg-keys/providers/Microsoft.KeyVault/vaults/kv-ade";
    let url = |kind: &str| format!("https://kv-ade.vault.azure.net/{kind}/{vm_id}/1");
    json!({
        "encryptionMechanism": "BEKWithKEK",
        "kekDetails": {"keyUrl": url("keys"), "keyVaultId": vault, "keyBackupData": "S0VZLUJBQ0tVUC1DQU5BUlk"},
        "bekDetails": {"secretUrl": url("secrets"), "secretVaultId": vault, "secretData": "U0VDUkVULURBVEEtQ0FOQVJZ"},
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// In a list: disks are only counted.
    Counts,
    /// In a GET.
    Full,
}

impl State {
    /// Points of an item, newest first; `startDate` and `endDate` of the filter bound their time.
    pub(super) fn list_points(&self, req: &Inbound, path: &VaultPath, container: &str, item: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(key) = item_key(container, item).filter(|key| vault.items.contains_key(key)) else { return no_item() };
        self.list(
            req,
            path,
            |vault: &Vault, terms, _| {
                let inside = span_of(terms, ("startdate", "enddate"))?;
                // An item that the lagging view does not have yet has no points in it.
                let Some(item) = vault.items.get(&key) else { return Ok(Vec::new()) };
                let id = item.id(vault);
                let wanted = item.points.iter().rev().filter(|point| inside(point.taken.time));
                Ok(wanted.map(|point| (point, item, id.clone())).collect())
            },
            |(_, now), (point, item, id)| point.render(item, &id, Detail::Counts, (now, &self.settings.restore)),
        )
    }

    /// GET of a point.
    pub(super) fn get_point(&self, path: &VaultPath, container: &str, item: &str, name: &str) -> Reply {
        let Some(vault) = self.vault(&path.key) else { return path.not_found() };
        let Some(item) = item_key(container, item).and_then(|key| vault.items.get(&key)) else { return no_item() };
        match item.point(name) {
            Some(point) => Reply::json(200, point.render(item, &item.id(vault), Detail::Full, (self.clock, &self.settings.restore))),
            None => no_point(name),
        }
    }

    /// Lays an item's policy over the points it has (§12.4). Points that are past their end by it go with the next sweep.
    pub(super) fn keep_by_policy(&mut self, vault_key: &str, key: &ItemKey) {
        let Some(vault) = self.vault_mut(vault_key) else { return };
        let policy = vault.items.get(key).and_then(|item| vault.policy(item.policy.as_deref()?));
        let Some((retention, days)) = policy.and_then(|policy| Some((policy.retention()?, instant_days(&policy.properties)))) else {
            return;
        };
        let Some(item) = vault.items.get_mut(key) else { return };
        for point in &mut item.points {
            point.instant_until = Some(point.taken.time + days);
            if let Life::Scheduled { slot, kept } = &mut point.life {
                *kept = retention.keep(point.taken.time, slot);
            }
        }
        self.arm_sweep(vault_key, key);
    }

    /// Sets the next sweep of an item for when the first of its points or snapshots ends.
    pub(super) fn arm_sweep(&mut self, vault_key: &str, key: &ItemKey) {
        let (now, delay) = (self.clock, self.settings.durations.expiry_sweep.pick(0.0));
        let Some(item) = self.item_mut(vault_key, key) else { return };
        let next = item.points.iter().filter_map(Point::next_end).min();
        let due = next.map(|end| if end <= now { now + delay } else { end });
        if item.sweep_at != due {
            item.sweep_at = due;
            if let Some(due) = due {
                self.after(due, Event::Sweep { vault: vault_key.to_owned(), item: key.clone() });
            }
        }
    }

    /// Removes what has ended. Nothing ends while protection is stopped or the item soft-deleted (§9: points are kept).
    pub(super) fn sweep(&mut self, vault_key: &str, key: &ItemKey) {
        let now = self.clock;
        let Some(item) = self.item_mut(vault_key, key).filter(|item| item.sweep_at == Some(now)) else { return };
        item.sweep_at = None;
        if item.state == Protection::Stopped || item.soft_deleted.is_some() {
            return;
        }
        item.points.retain(|point| point.until().is_none_or(|until| until > now));
        item.drop_snapshots(now);
        self.arm_sweep(vault_key, key);
    }
}

/// The answer for a point that is not there: the code is a guess.
pub(super) fn no_point(name: &str) -> Reply {
    backup_error(404, "UserErrorRecoveryPointNotFound", format!("The recovery point '{name}' was not found."))
}

impl Item {
    /// The point of that name.
    pub(super) fn point(&self, name: &str) -> Option<&Point> {
        self.points.iter().find(|point| point.name == name)
    }

    pub(super) fn point_mut(&mut self, name: &str) -> Option<&mut Point> {
        self.points.iter_mut().find(|point| point.name == name)
    }

    /// Snapshots past their days go: from points that are in the vault, and with those that never got there.
    fn drop_snapshots(&mut self, now: Timestamp) {
        let ended = |point: &Point| point.instant == Tier::Valid && point.instant_until.is_some_and(|until| until <= now);
        self.points.retain(|point| !ended(point) || point.is_stored());
        for point in &mut self.points {
            if ended(point) {
                point.instant = Tier::Deleted;
            }
        }
    }
}
