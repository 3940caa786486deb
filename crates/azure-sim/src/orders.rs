//! What restores make outside Recovery Services. That model does not write to its neighbours: it leaves orders, and
//! [`World::carry_out`](crate::world::World::carry_out) carries each out in the instant it was given.

use std::collections::BTreeMap;

use serde_json::Value;

/// One thing to make or to change.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A managed disk.
    Disk(NewDisk),
    /// A network interface in a subnet.
    Interface(NewInterface),
    /// A machine of disks and an interface that are there.
    Machine(NewMachine),
    /// Other disks under a machine; the old ones stay, unattached.
    Swap(Swap),
    /// Blobs in a storage account: only their names are kept.
    Blobs(Blobs),
}

/// A managed disk of a recovery point.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDisk {
    /// Its ARM id.
    pub id: String,
    /// Canonical region.
    pub location: String,
    /// Availability zone, if pinned.
    pub zone: Option<String>,
    /// `Premium_LRS`, ...
    pub sku: String,
    /// Provisioned size.
    pub size_gb: i64,
    /// `creationData`
    pub creation: Value,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Further `properties`: `osType`, `hyperVGeneration`, `networkAccessPolicy`, `encryption`, ...
    pub properties: Vec<(&'static str, Value)>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq)]
pub struct NewInterface {
    /// Its ARM id.
    pub id: String,
    /// Canonical region.
    pub location: String,
    /// The subnet's ARM id.
    pub subnet: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMachine {
    /// Its ARM id.
    pub id: String,
    /// Canonical region.
    pub location: String,
    /// Availability zone, if pinned.
    pub zone: Option<String>,
    /// `vmSize`
    pub size: String,
    /// `Windows` or `Linux`.
    pub os: String,
    /// `TrustedLaunch`, ...; `None` without.
    pub security_type: Option<String>,
    /// Ids of its disks by lun, -1 for the OS disk.
    pub disks: Vec<(i32, String)>,
    /// Its interface's ARM id.
    pub interface: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// New disks for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The machine's ARM id.
    pub machine: String,
    /// Ids of new disks by lun, -1 for the OS disk.
    pub disks: Vec<(i32, String)>,
}

/// Blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blobs {
    /// The storage account's ARM id.
    pub account: String,
    /// `container/name` of each.
    pub names: Vec<String>,
}

/// The cores of a size, by the first number of its name: `Standard_D2s_v5` has 2. One without a number has 1.
pub fn cores_of(size: &str) -> i64 {
    let name = size.split('_').nth(1).unwrap_or(size);
    let digits: String = name.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(1)
}
