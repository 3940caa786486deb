//! Everything the simulated Azure remembers outside Recovery Services: subscriptions, groups, resources, tags, locks,
//! access, running operations. A pure model: time comes from the caller, chance from the seed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::{
    arm::operations::Operation, compute::machines::Machine, entropy::Entropy, identity::authorise::Access, path::canonical_location,
    settings::Settings,
};

/// A subscription.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Its GUID, as in the estate file.
    pub id: String,
    /// What people call it.
    pub display_name: String,
    /// The Entra tenant that it trusts.
    pub tenant_id: String,
    /// Namespaces that are registered, lower case.
    pub registered: BTreeSet<String>,
    /// The `p` of signed operation URLs.
    pub partition: String,
    /// Cores that may still be used, by canonical region; where none is set there is no end to them.
    pub cores_left: BTreeMap<String, i64>,
}

/// A resource group.
#[derive(Clone, Debug)]
pub struct Group {
    /// `/subscriptions/…/resourceGroups/name` in the spelling of its creator.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Canonical region.
    pub location: String,
    /// The operation that is deleting it.
    pub deleting: Option<String>,
}

/// The resource types modelled here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Microsoft.Compute/virtualMachines
    Machine,
    /// Microsoft.Compute/disks
    Disk,
    /// Microsoft.Network/networkInterfaces
    Interface,
    /// Microsoft.Network/virtualNetworks
    Network,
    /// Microsoft.Network/virtualNetworks/subnets
    Subnet,
    /// Microsoft.Network/networkSecurityGroups
    SecurityGroup,
    /// Microsoft.Network/publicIPAddresses
    PublicAddress,
    /// Microsoft.DataProtection/resourceGuards
    Guard,
    /// Microsoft.Storage/storageAccounts
    Account,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 9] = [
        Kind::Machine,
        Kind::Disk,
        Kind::Interface,
        Kind::Network,
        Kind::Subnet,
        Kind::SecurityGroup,
        Kind::PublicAddress,
        Kind::Guard,
        Kind::Account,
    ];

    /// The full type name.
    pub fn type_name(self) -> &'static str {
        match self {
            Kind::Machine => "Microsoft.Compute/virtualMachines",
            Kind::Disk => "Microsoft.Compute/disks",
            Kind::Interface => "Microsoft.Network/networkInterfaces",
            Kind::Network => "Microsoft.Network/virtualNetworks",
            Kind::Subnet => "Microsoft.Network/virtualNetworks/subnets",
            Kind::SecurityGroup => "Microsoft.Network/networkSecurityGroups",
            Kind::PublicAddress => "Microsoft.Network/publicIPAddresses",
            Kind::Guard => "Microsoft.DataProtection/resourceGuards",
            Kind::Account => "Microsoft.Storage/storageAccounts",
        }
    }

    /// The kind of a namespace and a type path, without case.
    pub fn of(namespace: &str, type_path: &str) -> Option<Kind> {
        let name = format!("{namespace}/{type_path}");
        Kind::ALL.into_iter().find(|kind| kind.type_name().eq_ignore_ascii_case(&name))
    }
}

/// One ARM resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// Its id in the spelling of its creator.
    pub id: String,
    /// Its type.
    pub kind: Kind,
    /// Everything a GET shows but `id`, `name`, `type` and `tags`.
    pub body: Map<String, Value>,
    /// When it was created.
    pub created: Timestamp,
    /// When it last changed.
    pub changed: Timestamp,
    /// The operation that works on it.
    pub pending: Option<String>,
    /// What only virtual machines have.
    pub machine: Option<Machine>,
}

impl Resource {
    /// The last segment of the id.
    pub fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    /// `properties`, made when it is missing.
    pub fn properties_mut(&mut self) -> &mut Map<String, Value> {
        let entry = self.body.entry("properties").or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        entry.as_object_mut().expect("made an object above")
    }

    /// A value by JSON pointer below the body.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        let (first, rest) = pointer.trim_start_matches('/').split_once('/').unwrap_or((pointer.trim_start_matches('/'), ""));
        let top = self.body.get(first)?;
        if rest.is_empty() { Some(top) } else { top.pointer(&format!("/{rest}")) }
    }

    /// A string by JSON pointer, empty when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Sets `properties.provisioningState`.
    pub fn set_state(&mut self, state: &str) {
        self.properties_mut().insert("provisioningState".to_owned(), json!(state));
    }

    /// Canonical region.
    pub fn location(&self) -> String {
        canonical_location(self.text("/location"))
    }
}

/// The world without Recovery Services.
#[derive(Clone, Debug)]
pub struct World {
    /// World time.
    pub now: Timestamp,
    /// The seeded generator.
    pub entropy: Entropy,
    /// What the estate tuned.
    pub settings: Settings,
    /// By lower-case id.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// By lower-case (subscription, name).
    pub groups: BTreeMap<(String, String), Group>,
    /// By lower-case id. Put in and taken out by [`World::insert`] and [`World::remove`] alone, which keep `kinds`.
    pub resources: BTreeMap<String, Resource>,
    /// The same ids by kind, so that a page of a list costs what is on it.
    pub(crate) kinds: BTreeSet<(Kind, String)>,
    /// Addresses of interfaces with their ids, by subnet, so that the next free one is found without a look at them all.
    pub(crate) addresses: BTreeMap<String, BTreeSet<(u32, String)>>,
    /// Key vaults, by lower-case name.
    pub key_vaults: BTreeMap<String, KeyVault>,
    /// Object id and client id of user-assigned identities, by lower-case ARM id.
    pub identities: BTreeMap<String, (String, String)>,
    /// Object ids of the estate's apps and managed identities, in lower case.
    pub principals: BTreeSet<String>,
    /// Names of blobs (`container/name`) that restores wrote, by lower-case id of the account.
    pub blobs: BTreeMap<String, BTreeSet<String>>,
    /// Tags of resources and groups, by lower-case id.
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
    /// Tag names put there ahead of use.
    pub tag_names: crate::arm::tag_names::Predefined,
    /// By lower-case id.
    pub locks: BTreeMap<String, crate::arm::locks::Lock>,
    /// Policy assignments that deny.
    pub policy_assignments: Vec<crate::arm::policies::PolicyAssignment>,
    /// Role definitions and assignments.
    pub access: Access,
    /// Template deployments, by lower-case id.
    pub deployments: BTreeMap<String, crate::arm::deployments::Deployment>,
    /// Running and ended operations, by id.
    pub operations: BTreeMap<String, Operation>,
    /// When operations are due to end, and when they ended: kept beside `operations`, which stays the truth.
    pub(crate) agenda: BTreeSet<(Timestamp, String)>,
    pub(crate) ended: BTreeSet<(Timestamp, String)>,
    /// Deleted resources whose provider still answers `NotFound`, with the end of that time, by lower-case id.
    pub retired: BTreeMap<String, Timestamp>,
    /// The `c` of signed operation URLs.
    pub certificate: String,
}

impl World {
    /// An empty world.
    pub fn new(now: Timestamp, seed: u64, settings: Settings) -> Self {
        let entropy = Entropy::new(seed);
        let certificate = format!("MIIHpTCCBo2gAwIB{}", entropy.text(2_240));
        World {
            now,
            entropy,
            settings,
            subscriptions: BTreeMap::new(),
            groups: BTreeMap::new(),
            resources: BTreeMap::new(),
            kinds: BTreeSet::new(),
            addresses: BTreeMap::new(),
            key_vaults: BTreeMap::new(),
            identities: BTreeMap::new(),
            principals: BTreeSet::new(),
            blobs: BTreeMap::new(),
            tags: BTreeMap::new(),
            tag_names: BTreeMap::new(),
            locks: BTreeMap::new(),
            policy_assignments: Vec::new(),
            access: Access::default(),
            deployments: BTreeMap::new(),
            operations: BTreeMap::new(),
            agenda: BTreeSet::new(),
            ended: BTreeSet::new(),
            retired: BTreeMap::new(),
            certificate,
        }
    }

    /// A subscription by id, without case.
    pub fn subscription(&self, id: &str) -> Option<&Subscription> {
        self.subscriptions.get(&id.to_ascii_lowercase())
    }

    /// A group by subscription and name, without case.
    pub fn group(&self, subscription: &str, name: &str) -> Option<&Group> {
        self.groups.get(&(subscription.to_ascii_lowercase(), name.to_ascii_lowercase()))
    }

    /// A resource by id, without case.
    pub fn resource(&self, id: &str) -> Option<&Resource> {
        self.resources.get(&id.to_ascii_lowercase())
    }

    /// A resource by id, without case.
    pub fn resource_mut(&mut self, id: &str) -> Option<&mut Resource> {
        self.resources.get_mut(&id.to_ascii_lowercase())
    }

    /// Stores a resource under its id.
    pub fn insert(&mut self, resource: Resource) {
        let key = resource.id.to_ascii_lowercase();
        self.retired.remove(&key);
        self.kinds.insert((resource.kind, key.clone()));
        let seat = crate::network::seat(&resource);
        let before = self.resources.insert(key.clone(), resource);
        before.iter().for_each(|old| self.leave_seat(old, &key));
        if let Some((subnet, address)) = seat {
            self.addresses.entry(subnet).or_default().insert((address, key));
        }
    }

    /// Takes a resource away, with its tags and locks; its provider answers `NotFound` for a moment longer.
    pub fn remove(&mut self, id: &str) -> Option<Resource> {
        let key = id.to_ascii_lowercase();
        let removed = self.resources.remove(&key)?;
        self.kinds.remove(&(removed.kind, key.clone()));
        self.leave_seat(&removed, &key);
        self.tags.remove(&key);
        self.locks.retain(|_, lock| !lock.scope.eq_ignore_ascii_case(id));
        let until = self.now + self.settings.durations.scaled(self.settings.durations.two_step_404);
        self.retired.insert(key, until);
        Some(removed)
    }

    fn leave_seat(&mut self, interface: &Resource, key: &str) {
        if let Some((subnet, address)) = crate::network::seat(interface)
            && let Some(taken) = self.addresses.get_mut(&subnet)
        {
            taken.remove(&(address, key.to_owned()));
        }
    }

    /// Resources of a kind whose id begins with a scope, in order of id.
    pub fn below(&self, scope: &str, kind: Kind) -> Vec<&Resource> {
        self.page_of(scope, kind, None).collect()
    }

    /// The same from after an id in lower case on, found one by one.
    pub fn page_of<'w>(&'w self, scope: &str, kind: Kind, after: Option<&str>) -> impl Iterator<Item = &'w Resource> + use<'w> {
        let prefix = format!("{}/", scope.to_ascii_lowercase());
        let from = after.filter(|after| **after > *prefix).unwrap_or(&prefix).to_owned();
        let after = after.map(str::to_owned);
        self.kinds
            .range((kind, from)..)
            .take_while(move |(of, key)| *of == kind && key.starts_with(&prefix))
            .filter(move |(_, key)| after.as_ref().is_none_or(|after| key > after))
            .filter_map(|(_, key)| self.resources.get(key))
    }

    /// Resources of every kind whose id begins with a scope, from after an id in lower case on, in order of id.
    pub fn all_below<'w>(&'w self, scope: &str, after: Option<&str>) -> impl Iterator<Item = &'w Resource> + use<'w> {
        let prefix = format!("{}/", scope.to_ascii_lowercase());
        let from = after.filter(|after| **after > *prefix).unwrap_or(&prefix).to_owned();
        let after = after.map(str::to_owned);
        self.resources
            .range(from..)
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .filter(move |(key, _)| after.as_ref().is_none_or(|after| *key > after))
            .map(|(_, resource)| resource)
    }

    /// A resource as a GET shows it.
    pub fn show(&self, resource: &Resource) -> Value {
        let mut shown = Map::new();
        shown.insert("name".to_owned(), json!(resource.name()));
        shown.insert("id".to_owned(), json!(resource.id));
        shown.insert("type".to_owned(), json!(resource.kind.type_name()));
        if let Some(tags) = self.tags.get(&resource.id.to_ascii_lowercase()) {
            shown.insert("tags".to_owned(), json!(tags));
        }
        shown.extend(resource.body.iter().map(|(key, value)| (key.clone(), value.clone())));
        if let Some(machine) = &resource.machine {
            shown.insert("etag".to_owned(), json!(machine.etag_text()));
            // Only a GET that asks for it shows this (compute-and-arm.md C.4).
            shown.get_mut("properties").and_then(Value::as_object_mut).map(|properties| properties.remove("userData"));
        }
        if resource.kind == Kind::Network {
            let subnets: Vec<Value> = self.below(&resource.id, Kind::Subnet).into_iter().map(|subnet| self.show(subnet)).collect();
            if let Some(properties) = shown.get_mut("properties").and_then(Value::as_object_mut) {
                properties.insert("subnets".to_owned(), json!(subnets));
            }
        }
        Value::Object(shown)
    }

    /// When something of this part of the world happens next.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.agenda.iter().find_map(|(_, id)| self.operations.get(id).and_then(Operation::next_event))
    }

    /// A duration from the settings as a span from now.
    pub fn later(&self, seconds: f64) -> Timestamp {
        let span: SignedDuration = self.settings.durations.scaled(seconds);
        self.now.saturating_add(span).unwrap_or(Timestamp::MAX)
    }
}

/// A key vault: what it holds is a list of names, and roles say who may use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVault {
    /// Its ARM id.
    pub id: String,
    /// Names of its keys.
    pub keys: Vec<String>,
}
