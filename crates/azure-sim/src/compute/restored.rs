//! What restores make: disks, interfaces and machines that appear at once, as the orders of Recovery Services say.
//!
//! A machine and its interface are made by the handlers that answer clients; their operations end in the same instant.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    compute::disks::{NewDisk as Disk, finished},
    estate::load::inbound,
    orders::{NewDisk, NewInterface, NewMachine, Order, Swap, cores_of},
    path::Target,
    world::World,
};

/// A body with these tags, when there are any.
fn tagged(mut body: Value, tags: &BTreeMap<String, String>) -> Value {
    if !tags.is_empty() {
        body["tags"] = json!(tags);
    }
    body
}

impl World {
    /// Carries out an order. The one who gave it has looked in the same instant whether it can be done; what cannot is
    /// left undone.
    pub fn carry_out(&mut self, order: Order) {
        match order {
            Order::Disk(disk) => self.make_disk(disk),
            Order::Interface(interface) => self.make_interface(&interface),
            Order::Machine(machine) => self.make_machine(&machine),
            Order::Swap(swap) => self.swap_disks(&swap),
            Order::Blobs(blobs) => self.blobs.entry(blobs.account.to_ascii_lowercase()).or_default().extend(blobs.names),
        }
    }

    fn make_disk(&mut self, order: NewDisk) {
        let unique_id = self.entropy.guid();
        let (creation, size_gb) = (order.creation, order.size_gb);
        let new = Disk { id: &order.id, location: &order.location, sku: &order.sku, size_gb, creation, unique_id };
        let mut disk = finished(self, new);
        if let Some(zone) = order.zone {
            disk.body.insert("zones".to_owned(), json!([zone]));
        }
        disk.properties_mut().extend(order.properties.into_iter().map(|(name, value)| (name.to_owned(), value)));
        self.tags.insert(order.id.to_ascii_lowercase(), order.tags);
        self.insert(disk);
    }

    fn make_interface(&mut self, order: &NewInterface) {
        let config = json!({"name": "ipconfig1", "properties": {"subnet": {"id": order.subnet}, "privateIPAllocationMethod": "Dynamic"}});
        let body = json!({"location": order.location, "properties": {"ipConfigurations": [config]}});
        self.put_at_once(&order.id, tagged(body, &order.tags));
    }

    fn make_machine(&mut self, order: &NewMachine) {
        let attached = |id: &str| json!({"createOption": "Attach", "managedDisk": {"id": id}});
        let mut os_disk = json!({});
        let mut data = Vec::new();
        for (lun, id) in &order.disks {
            let mut disk = attached(id);
            if *lun < 0 {
                disk["osType"] = json!(order.os);
                os_disk = disk;
            } else {
                disk["lun"] = json!(lun);
                data.push(disk);
            }
        }
        let mut body = json!({"location": order.location, "properties": {
            "hardwareProfile": {"vmSize": order.size},
            "storageProfile": {"osDisk": os_disk, "dataDisks": data},
            "networkProfile": {"networkInterfaces": [{"id": order.interface, "properties": {"primary": true}}]},
        }});
        if let Some(zone) = &order.zone {
            body["zones"] = json!([zone]);
        }
        if let Some(kind) = &order.security_type {
            body["properties"]["securityProfile"] = json!({"securityType": kind});
        }
        self.put_at_once(&order.id, tagged(body, &order.tags));
        let subscription = order.id.split('/').nth(2).unwrap_or_default().to_ascii_lowercase();
        if let Some(left) = self.subscriptions.get_mut(&subscription).and_then(|found| found.cores_left.get_mut(&order.location)) {
            *left -= cores_of(&order.size);
        }
    }

    /// A PUT of nobody whose operation ends in the same instant.
    fn put_at_once(&mut self, id: &str, body: Value) {
        let scale = std::mem::take(&mut self.settings.durations.scale);
        let req = inbound(self, "PUT", id, body);
        let target = Target::read("PUT", &req.path);
        if target.in_namespace("Microsoft.Network") {
            crate::network::handle(self, &req, &target);
        } else {
            super::handle(self, &req, &target);
        }
        self.settle_operations();
        self.settings.durations.scale = scale;
    }

    /// Puts other disks in the places of those with the same lun. Luns that only one side has stay as they are.
    fn swap_disks(&mut self, swap: &Swap) {
        let Some(mut profile) = self.resource(&swap.machine).and_then(|vm| vm.at("/properties/storageProfile")).cloned() else { return };
        for (lun, id) in &swap.disks {
            let place = match lun {
                ..0 => profile.get_mut("osDisk"),
                _ => profile["dataDisks"].as_array_mut().and_then(|data| data.iter_mut().find(|disk| disk["lun"] == *lun)),
            };
            let (Some(place), Some(new)) = (place, self.resource(id)) else { continue };
            let old = place["managedDisk"]["id"].as_str().map(str::to_owned);
            place["name"] = json!(new.name());
            place["diskSizeGB"] = new.at("/properties/diskSizeGB").cloned().unwrap_or_default();
            place["managedDisk"] = json!({"id": new.id, "storageAccountType": new.text("/sku/name")});
            if let Some(old) = old {
                self.release_disk(&old);
            }
            if let Some(new) = self.resource_mut(id) {
                new.body.insert("managedBy".to_owned(), json!(swap.machine));
            }
        }
        let now = self.now;
        if let Some(vm) = self.resource_mut(&swap.machine) {
            vm.properties_mut().insert("storageProfile".to_owned(), profile);
            vm.changed = now;
            vm.machine.iter_mut().for_each(|machine| machine.etag += 1);
        }
        self.refresh_disk_states(&swap.machine);
    }
}
