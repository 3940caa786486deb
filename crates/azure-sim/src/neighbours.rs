//! The world as Recovery Services sees it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    arm::{
        locks::{Level, covers},
        policies,
    },
    path::canonical_location,
    storage,
    wire::{Bar, DiskView, GuardView, KeyAccess, MachineView, Neighbours, Right, StorageView},
    world::{Kind, Resource, World},
};

impl World {
    fn disk_view(&self, lun: i32, described: &Value) -> Option<DiskView> {
        let id = described.pointer("/managedDisk/id").and_then(Value::as_str)?;
        let disk = self.resource(id);
        let told = |pointer: &str| described.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(DiskView {
            id: disk.map_or_else(|| id.to_owned(), |disk| disk.id.clone()),
            lun,
            name: disk.map_or_else(|| told("/name"), |disk| disk.name().to_owned()),
            size_gb: disk.and_then(|d| d.at("/properties/diskSizeGB")).or(described.get("diskSizeGB")).and_then(Value::as_i64).unwrap_or(0),
            sku: disk.map_or_else(|| told("/managedDisk/storageAccountType"), |disk| disk.text("/sku/name").to_owned()),
            hyper_v_generation: disk.map(|disk| disk.text("/properties/hyperVGeneration").to_owned()).unwrap_or_default(),
            network_access: disk.map(|disk| disk.text("/properties/networkAccessPolicy").to_owned()).unwrap_or_default(),
            disk_access_id: named(disk, "/properties/diskAccessId"),
            encryption_set: named(disk, "/properties/encryption/diskEncryptionSetId"),
        })
    }

    fn machine_view(&self, resource: &Resource) -> Option<MachineView> {
        let machine = resource.machine.as_ref()?;
        let os_disk = resource.at("/properties/storageProfile/osDisk")?;
        let data = resource.at("/properties/storageProfile/dataDisks").and_then(Value::as_array);
        let luns = data.into_iter().flatten().filter_map(|disk| {
            let lun = disk.get("lun").and_then(Value::as_i64).and_then(|lun| i32::try_from(lun).ok())?;
            self.disk_view(lun, disk)
        });
        let zones = resource.at("/zones").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let security = resource.text("/properties/securityProfile/securityType");
        Some(MachineView {
            id: resource.id.clone(),
            vm_id: resource.text("/properties/vmId").to_owned(),
            location: resource.location(),
            os: os_disk.get("osType").and_then(Value::as_str).unwrap_or("Linux").to_owned(),
            power_state: machine.power.word().to_owned(),
            agent_ready: machine.agent_answers(),
            size: resource.text("/properties/hardwareProfile/vmSize").to_owned(),
            security_type: if security.is_empty() { "None".to_owned() } else { security.to_owned() },
            encrypted: encrypts(resource),
            disks: self.disk_view(-1, os_disk).into_iter().chain(luns).collect(),
            zones: zones.map(str::to_owned).collect(),
        })
    }
}

/// Whether the extension of Azure Disk Encryption is among a machine's (`AzureDiskEncryption`, `AzureDiskEncryptionForLinux`).
fn encrypts(machine: &Resource) -> bool {
    let all = machine.at("/resources").and_then(Value::as_array);
    all.into_iter().flatten().any(|extension| {
        let publisher = extension.pointer("/properties/publisher").and_then(Value::as_str).unwrap_or_default();
        let id = extension["id"].as_str().unwrap_or_default();
        publisher.eq_ignore_ascii_case("Microsoft.Azure.Security")
            && id.rsplit('/').next().is_some_and(|name| name.to_ascii_lowercase().starts_with("azurediskencryption"))
    })
}

/// A text of a resource, when it is there and not empty.
fn named(resource: Option<&Resource>, pointer: &str) -> Option<String> {
    resource.map(|resource| resource.text(pointer)).filter(|text| !text.is_empty()).map(str::to_owned)
}

impl Neighbours for World {
    fn machine(&self, id: &str) -> Option<MachineView> {
        self.machine_view(self.resource(id)?)
    }

    fn machines_in(&self, subscription_id: &str, location: &str) -> Vec<MachineView> {
        let location = canonical_location(location);
        let machines = self.below(&format!("/subscriptions/{subscription_id}"), Kind::Machine);
        machines.into_iter().filter(|vm| vm.location() == location).filter_map(|vm| self.machine_view(vm)).collect()
    }

    fn group_location(&self, subscription_id: &str, resource_group: &str) -> Option<String> {
        self.group(subscription_id, resource_group).map(|group| group.location.clone())
    }

    fn tags(&self, id: &str) -> BTreeMap<String, String> {
        self.tags.get(&id.to_ascii_lowercase()).cloned().unwrap_or_default()
    }

    fn chance(&self) -> f64 {
        self.entropy.chance()
    }

    fn guid(&self) -> String {
        self.entropy.guid()
    }

    fn guard(&self, id: &str) -> Option<GuardView> {
        self.resource(id).filter(|found| found.kind == Kind::Guard).map(crate::guards::view)
    }

    fn identity(&self, id: &str) -> Option<(String, String)> {
        self.identities.get(&id.to_ascii_lowercase()).cloned()
    }

    fn key_access(&self, principal: &str, key_uri: &str) -> KeyAccess {
        let rest = key_uri.strip_prefix("https://").unwrap_or(key_uri);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let name = host.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let Some(vault) = self.key_vaults.get(&name) else { return KeyAccess::Unmodelled };
        let key = path.strip_prefix("keys/").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        if !vault.keys.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            return KeyAccess::NoSuchKey;
        }
        let wraps = self.access.may_with_data(principal, "Microsoft.KeyVault/vaults/keys/wrap/action", &vault.id);
        if wraps { KeyAccess::Granted } else { KeyAccess::Denied }
    }

    fn exists(&self, id: &str) -> bool {
        self.resource(id).is_some()
    }

    fn subnet_region(&self, id: &str) -> Option<String> {
        let subnet = self.resource(id).filter(|found| found.kind == Kind::Subnet)?;
        self.resource(subnet.id.rsplitn(3, '/').nth(2)?).map(Resource::location)
    }

    fn storage_account(&self, id: &str) -> Option<StorageView> {
        self.resource(id).filter(|found| found.kind == Kind::Account).map(storage::view)
    }

    fn tenant_of(&self, subscription_id: &str) -> Option<String> {
        self.subscription(subscription_id).map(|found| found.tenant_id.clone())
    }

    fn may(&self, principal: &str, action: &str, scope: &str, right: Right) -> bool {
        match right {
            Right::Control => self.access.may(principal, action, scope),
            Right::Data => self.access.may_with_data(principal, action, scope),
        }
    }

    fn cores_left(&self, subscription_id: &str, region: &str) -> Option<i64> {
        self.subscription(subscription_id)?.cores_left.get(region).copied()
    }

    fn bar(&self, id: &str, resource_type: &str, tags: &BTreeMap<String, String>) -> Option<Bar> {
        if self.locks.values().any(|lock| lock.level == Level::ReadOnly && covers(&lock.scope, id)) {
            return Some(Bar::Lock);
        }
        policies::denies_made(self, id, resource_type, tags).then_some(Bar::Policy)
    }
}
