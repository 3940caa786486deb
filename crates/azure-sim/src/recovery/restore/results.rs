//! What a restore makes, and what it calls it.
//!
//! Disks, with their names, tags and `creationData`, are as azure-powershell's recording TestAzureVMCRRWithDES and exports of
//! groups with restored machines show them; the name of an interface is an export's. That disks that replace others are
//! named alike is reported by people, not recorded.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::names::{group_of, leaf};
use super::request::{Access, Goal, Zone};
use super::{Plan, Reads, RestoreRun};
use crate::orders::{Blobs, NewDisk, NewInterface, NewMachine, Order, Swap};
use crate::wire::{DiskView, Neighbours};

/// The tag of a restored disk that holds the name of its job.
const TAG: &str = "RSVaultBackup";
/// What a fixed VHD has beyond its data, and an upload therefore counts.
const FOOTER: i64 = 512;

/// A disk's name has at most 80 characters, and a machine's may have 64: that the machine's is cut is a guess.
const LONGEST_STEM: usize = 48;

/// A machine's name as disks, blobs and their container have it: letters and digits alone, in lower case.
pub(super) fn stem_of(machine: &str) -> String {
    machine.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

impl Plan {
    /// ARM id of the group that gets the disks; `None` when they become blobs.
    pub fn group_id(&self) -> Option<String> {
        match self.ask.goal {
            Goal::Replace => self.source_id.find("/providers/").map(|at| self.source_id[..at].to_owned()),
            _ => self.ask.group.clone(),
        }
    }

    /// The subscription that gets the disks.
    pub fn target_subscription(&self) -> &str {
        let id = self.ask.group.as_deref().unwrap_or(&self.source_id);
        id.split('/').nth(2).unwrap_or_default()
    }

    /// Name of the target group, as sent.
    pub fn group_name(&self) -> Option<String> {
        self.group_id().map(|id| group_of(&id).to_owned())
    }

    /// The disks that are asked for: the OS disk always.
    pub fn disks(&self) -> Vec<&DiskView> {
        let wanted = |disk: &&DiskView| match &self.ask.goal {
            Goal::Disks { luns: Some(luns) } => disk.lun < 0 || luns.contains(&disk.lun),
            _ => true,
        };
        self.taken.included.iter().filter(wanted).collect()
    }

    fn zone(&self) -> Option<String> {
        match &self.ask.zone {
            Zone::Pinned(zone) => Some(zone.clone()),
            Zone::Unpinned => None,
            // That a machine is not pinned in another region unless asked is a guess.
            Zone::AsSource => self.taken.zones.first().filter(|_| self.secondary.is_none()).cloned(),
        }
    }

    /// What names of disks begin with: the new machine's name, or that of the one that was backed up.
    fn stem(&self) -> String {
        let mut stem = match &self.ask.goal {
            Goal::Machine { id, .. } => stem_of(leaf(id)),
            _ => stem_of(&self.friendly_name),
        };
        stem.truncate(LONGEST_STEM);
        stem
    }

    /// ARM id of a disk's snapshot in the service's own group: `?id=` and all, as exported. The collection's name has the
    /// machine's in lower case.
    fn snapshot_id(&self, disk: &DiskView) -> String {
        let subscription = self.source_id.split('/').nth(2).unwrap_or_default();
        let group = format!("/subscriptions/{subscription}/resourceGroups/AzureBackupRG_{}_1", self.ask.region);
        let collection = format!("AzureBackup_{}_{}", self.friendly_name.to_lowercase(), self.data_id);
        let point = self.taken.time.strftime("AzureBackup_%Y%m%d_%H%M%S");
        let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("{} {}", self.point, disk.id).as_bytes());
        format!(
            "{group}/providers/Microsoft.Compute/restorePointCollections/{collection}/restorePoints/{point}/disks/{}?id={id}",
            disk.name
        )
    }

    /// `properties` of a restored disk beyond its size.
    fn disk_properties(&self, disk: &DiskView) -> Vec<(&'static str, Value)> {
        let mut properties = Vec::new();
        if disk.lun < 0 {
            properties.push(("osType", json!(self.taken.os)));
        }
        if !disk.hyper_v_generation.is_empty() {
            properties.push(("hyperVGeneration", json!(disk.hyper_v_generation)));
        }
        let (policy, access) = match &self.ask.access {
            Some(Access::SameAsSource) => (disk.network_access.as_str(), disk.disk_access_id.clone()),
            Some(Access::Private(id)) => ("AllowPrivate", Some(id.clone())),
            Some(Access::Public) | None => ("AllowAll", None),
        };
        properties.push(("networkAccessPolicy", json!(policy)));
        properties.extend(access.map(|id| ("diskAccessId", json!(id))));
        // "Restores CMK enabled machines as non-CMK enabled ones in the secondary region", documented.
        let own = disk.encryption_set.as_ref().filter(|_| self.secondary.is_none());
        if let Some(set) = self.ask.encryption_set.as_ref().or(own) {
            properties.push(("encryption", json!({"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": set})));
        }
        if self.taken.encrypted {
            properties.push(("encryptionSettingsCollection", json!({"enabled": true, "encryptionSettingsVersion": "1.1"})));
        }
        if disk.lun < 0
            && let Some(set) = &self.ask.secured_set
        {
            let profile = json!({"securityType": "ConfidentialVM_DiskEncryptedWithCustomerKey", "secureVMDiskEncryptionSetId": set});
            properties.push(("securityProfile", profile));
        }
        properties
    }
}

impl RestoreRun {
    /// Names of the disks by lun, none of them taken.
    fn names(&self, n: &dyn Neighbours) -> Vec<(i32, String)> {
        let stamp = self.stamp.strftime("%Y%m%d-%H%M%S").to_string();
        let stem = self.plan.stem();
        let free = |name: String| match self.plan.group_id() {
            None => name,
            Some(group) => {
                let id = |name: &str| format!("{group}/providers/Microsoft.Compute/disks/{name}");
                let names = std::iter::once(name.clone()).chain((1..).map(|count| format!("{name}-{count}")));
                names.into_iter().find(|name| !n.exists(&id(name))).map(|name| id(&name)).unwrap_or(name)
            }
        };
        let disks = self.plan.disks().into_iter().map(|disk| match disk.lun {
            ..0 => (disk.lun, free(format!("{stem}-osdisk-{stamp}"))),
            lun => (lun, free(format!("{stem}-datadisk-{lun:03}-{stamp}"))),
        });
        disks.collect()
    }

    /// `creationData` of a disk: a copy of its snapshot, an import of the blob that came from the vault, or an upload in the
    /// secondary region. Some disks of 2022 in the primary region were uploaded too: not told apart here.
    fn creation(&self, disk: &DiskView, id: &str) -> Value {
        let plan = &self.plan;
        match plan.reads {
            Reads::Vault if plan.secondary.is_some() => {
                json!({"createOption": "Upload", "uploadSizeBytes": (disk.size_gb << 30) + FOOTER})
            }
            Reads::Vault => {
                let uri = format!("https://{}.blob.core.windows.net/{}/{}.vhd", leaf(&plan.ask.staging), self.container, leaf(id));
                json!({"createOption": "Import", "storageAccountId": plan.ask.staging, "sourceUri": uri})
            }
            Reads::Snapshot => json!({"createOption": "Restore", "sourceResourceId": plan.snapshot_id(disk)}),
        }
    }

    /// Tags of its disks: the machine's, and the name of its job.
    fn disk_tags(&self) -> BTreeMap<String, String> {
        let mut tags = self.plan.taken.tags.clone();
        // A machine that was restored itself may bear another's.
        tags.retain(|name, _| !name.eq_ignore_ascii_case(TAG));
        tags.insert(TAG.to_owned(), self.job.clone());
        tags
    }

    /// The orders for its disks, with their ids by lun; blobs when they are not to be managed.
    pub fn disk_orders(&self, n: &dyn Neighbours) -> (Vec<Order>, Vec<(i32, String)>) {
        let names = self.names(n);
        if self.plan.group_id().is_none() {
            let blobs = names.iter().map(|(_, name)| format!("{}/{name}.vhd", self.container)).collect();
            return (vec![Order::Blobs(Blobs { account: self.plan.ask.staging.clone(), names: blobs })], names);
        }
        let order = |(disk, (_, id)): (&DiskView, &(i32, String))| {
            Order::Disk(NewDisk {
                id: id.clone(),
                location: self.plan.ask.region.clone(),
                zone: self.plan.zone(),
                sku: disk.sku.clone(),
                size_gb: disk.size_gb,
                creation: self.creation(disk, id),
                tags: self.disk_tags(),
                properties: self.plan.disk_properties(disk),
            })
        };
        (self.plan.disks().into_iter().zip(&names).map(order).collect(), names)
    }

    /// The orders for what comes after the disks. A machine is left out of what fails at its very end.
    pub fn last_orders(&self, n: &dyn Neighbours, ends_well: bool) -> Vec<Order> {
        let mut orders = Vec::new();
        match &self.plan.ask.goal {
            Goal::Disks { .. } => {
                let names = [self.config_blob(), self.template_blob()].map(|name| format!("{}/{name}", self.container)).to_vec();
                orders.push(Order::Blobs(Blobs { account: self.plan.ask.staging.clone(), names }));
            }
            Goal::Machine { id, subnet, .. } => {
                let group = self.plan.group_id().unwrap_or_default();
                let interface =
                    format!("{group}/providers/Microsoft.Network/networkInterfaces/{}-nic-{}", leaf(id), n.guid().replace('-', ""));
                let (location, subnet) = (self.plan.ask.region.clone(), subnet.clone());
                let tags = self.plan.taken.tags.clone();
                orders.push(Order::Interface(NewInterface { id: interface.clone(), location, subnet, tags }));
                if ends_well {
                    orders.push(Order::Machine(self.machine(id, interface)));
                }
            }
            Goal::Replace if ends_well => {
                orders.push(Order::Swap(Swap { machine: self.plan.source_id.clone(), disks: self.made.clone() }));
            }
            Goal::Replace => {}
        }
        orders
    }

    fn machine(&self, id: &str, interface: String) -> NewMachine {
        let taken = &self.plan.taken;
        let security = Some(&taken.security_type).filter(|kind| !kind.is_empty() && *kind != "None");
        NewMachine {
            id: id.to_owned(),
            location: self.plan.ask.region.clone(),
            zone: self.plan.zone(),
            size: taken.size.clone(),
            os: taken.os.clone(),
            security_type: security.cloned(),
            disks: self.made.clone(),
            interface,
            tags: taken.tags.clone(),
        }
    }

    /// `config-{machine}-{job}.json`, recorded.
    pub fn config_blob(&self) -> String {
        format!("config-{}-{}.json", stem_of(&self.plan.friendly_name), self.job)
    }

    /// `azuredeploy{job}.json`, recorded.
    pub fn template_blob(&self) -> String {
        format!("azuredeploy{}.json", self.job)
    }
}
