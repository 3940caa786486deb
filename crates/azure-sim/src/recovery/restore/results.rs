//! What a restore makes, and what it calls it.
//!
//! Recorded are the names of blobs and of their container alone. Names of disks and interfaces are a guess: the machine's,
//! what it is, and the time of the restore, as people report them.

use serde_json::json;

use super::super::names::{group_of, leaf};
use super::request::{Access, Goal, Zone};
use super::{Plan, RestoreRun};
use crate::orders::{Blobs, NewDisk, NewInterface, NewMachine, Order, Swap};
use crate::wire::{DiskView, Neighbours};

impl Plan {
    /// The machine's name as blobs and their container have it: letters and digits alone, in lower case.
    pub fn blob_stem(&self) -> String {
        self.friendly_name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
    }

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

    /// The name that disks begin with.
    fn stem(&self) -> &str {
        match &self.ask.goal {
            Goal::Machine { id, .. } => leaf(id),
            _ => &self.friendly_name,
        }
    }

    /// `properties` of a restored disk beyond its size.
    fn disk_properties(&self, disk: &DiskView) -> Vec<(&'static str, serde_json::Value)> {
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
        let stamp = self.start.strftime("%Y%m%d-%H%M%S").to_string();
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
                orders.push(Order::Interface(NewInterface { id: interface.clone(), location, subnet }));
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
        }
    }

    /// `config-{machine}-{job}.json`, recorded.
    pub fn config_blob(&self) -> String {
        format!("config-{}-{}.json", self.plan.blob_stem(), self.job)
    }

    /// `azuredeploy{job}.json`, recorded.
    pub fn template_blob(&self) -> String {
        format!("azuredeploy{}.json", self.job)
    }
}
