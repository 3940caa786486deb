//! Microsoft.Network as far as machines need it (compute-and-arm.md C.5): virtual networks, subnets, interfaces,
//! security groups, public addresses.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use crate::{
    arm::{
        errors, groups,
        locks::covers,
        operations::{Announce, Effect, Family, Start},
        tags,
    },
    path::{Form, Target},
    wire::{Inbound, Reply},
    world::{Kind, Resource, World},
};

/// Whether this part models the type.
pub fn knows(type_path: &str) -> bool {
    type_path == "locations/operations" || Kind::of("Microsoft.Network", type_path).is_some()
}

/// Answers a request under `providers/Microsoft.Network`. The group, when the path names one, exists.
pub fn handle(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    if target.type_path() == "locations/operations" {
        return world.poll(req, target);
    }
    let Some(kind) = Kind::of("Microsoft.Network", &target.type_path()) else {
        return errors::not_implemented(&req.method, &req.raw_path());
    };
    match (target.form(), req.method.as_str()) {
        (Form::Collection, "GET") => list(world, target, kind),
        (Form::Element, "GET") => match world.resource(&target.resource_id()) {
            Some(found) => Reply::json(200, world.show(found)).with_header("etag", found.text("/etag")),
            None => super::compute::missing(world, target, "Network"),
        },
        (Form::Element, "PUT") => put(world, req, target, kind),
        (Form::Element, "DELETE") => delete(world, req, target, kind),
        (Form::Element, "PATCH") => patch_tags(world, req, target),
        _ => errors::not_implemented(&req.method, &req.raw_path()),
    }
}

fn list(world: &World, target: &Target, kind: Kind) -> Reply {
    let scope = if kind == Kind::Subnet { target.resource_id() } else { target.scope_id() };
    let value: Vec<Value> = world.below(&scope, kind).into_iter().map(|found| world.show(found)).collect();
    Reply::json(200, json!({"value": value}))
}

fn patch_tags(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let Some(id) = world.resource(&target.resource_id()).map(|found| found.id.clone()) else {
        return super::compute::missing(world, target, "Network");
    };
    if let Err(refusal) = tags::check_body(&req.body) {
        return refusal;
    }
    tags::take_from_body(world, &id, req);
    Reply::json(200, world.resource(&id).map(|found| world.show(found)).unwrap_or_default())
}

/// The id that a subnet's id begins with.
fn parent_of(subnet: &str) -> &str {
    subnet.rsplitn(3, '/').nth(2).unwrap_or_default()
}

/// 409 while an operation runs on the resource or, with a network and its subnets, on any of them (recorded:
/// arm__409_anotheroperationinprogress; that a subnet waits for its neighbour is concluded from its "or dependent resource").
fn busy(world: &World, req: &Inbound, id: &str, kind: Kind) -> Option<Reply> {
    let whole = if kind == Kind::Subnet { parent_of(id) } else { id };
    let parts = if matches!(kind, Kind::Subnet | Kind::Network) { world.below(whole, Kind::Subnet) } else { Vec::new() };
    let pending = world.resource(whole).into_iter().chain(parts).filter_map(|found| found.pending.as_ref());
    let running = pending.filter_map(|op| world.operations.get(op)).find(|operation| operation.ended.is_none())?;
    let message = format!(
        "Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: \
         {}/subscriptions/{}/providers/Microsoft.Network/locations/{}/operations/{}?api-version={}.",
        req.origin,
        running.subscription,
        running.location,
        running.id,
        req.api_version()
    );
    Some(Reply::json(409, json!({"error": {"code": "AnotherOperationInProgress", "message": message, "details": []}})))
}

/// The region of a write; a subnet is where its network is.
fn location_of(world: &World, req: &Inbound, target: &Target, (id, before): (&str, Option<&Resource>)) -> Result<String, Reply> {
    if Kind::of("Microsoft.Network", &target.type_path()) != Some(Kind::Subnet) {
        return groups::location_of_write(world, req, before);
    }
    let parent = parent_of(id);
    world.resource(parent).map(Resource::location).ok_or_else(|| errors::parent_not_found("write", &target.types.join("/"), parent))
}

fn put(world: &mut World, req: &Inbound, target: &Target, kind: Kind) -> Reply {
    let id = target.resource_id();
    let before = world.resource(&id).cloned();
    if let Some(refusal) = busy(world, req, &id, kind) {
        return refusal;
    }
    let location = match location_of(world, req, target, (&id, before.as_ref())) {
        Ok(location) => location,
        Err(refusal) => return refusal,
    };
    if let Err(refusal) = tags::check_body(&req.body).and_then(|()| references_exist(world, kind, &req.body)) {
        return refusal;
    }
    let is_new = before.is_none();
    let id = before.as_ref().map_or(id, |old| old.id.clone());
    let left_out = if kind == Kind::Network { subnets_left_out(world, req, &id) } else { Vec::new() };
    if let Some(refusal) = left_out.iter().find_map(|subnet| in_use(world, subnet, Kind::Subnet)) {
        return refusal;
    }
    let stored = model(world, req, &id, kind, before);
    world.insert(stored);
    left_out.iter().for_each(|subnet| drop(world.remove(&subnet.id)));
    if kind == Kind::Network {
        put_subnets(world, req, &id);
    }
    tags::take_from_body(world, &id, req);
    let seconds = if kind == Kind::Interface { 0.0 } else { world.settings.durations.network };
    let start = Start { family: Family::Network, location, subject: id.clone(), effect: Effect::Settle, seconds };
    let operation = world.start_operation(target.subscription.as_deref().unwrap_or_default(), start);
    if kind == Kind::Interface {
        world.settle_operations();
    }
    let shown = world.resource(&id).map(|found| world.show(found)).unwrap_or_default();
    let reply = Reply::json(if is_new { 201 } else { 200 }, shown);
    if kind == Kind::Interface {
        // Done already, and recorded without any operation's header (nic_put__201_succeeded).
        return reply;
    }
    let reply = reply.with_header("retry-after", "3");
    world.announce(reply, &operation, req, Announce::Status)
}

/// The subnets that a network's body names.
fn subnets_in(body: &Value) -> Option<&Vec<Value>> {
    body.pointer("/properties/subnets").and_then(Value::as_array)
}

fn subnet_name(subnet: &Value) -> &str {
    subnet["name"].as_str().unwrap_or("default")
}

/// Subnets that a PUT of their network takes away, because it does not name them: PUT is replace (compute-and-arm.md E.8). A body
/// that says nothing of subnets leaves them alone from api-version 2023-09-01 on (Microsoft's announcement "Azure Virtual Network
/// now supports updates without subnet property").
fn subnets_left_out(world: &World, req: &Inbound, network: &str) -> Vec<Resource> {
    let named = subnets_in(&req.body);
    if named.is_none() && req.api_version() >= "2023-09-01" {
        return Vec::new();
    }
    let stays = |held: &Resource| named.into_iter().flatten().any(|subnet| subnet_name(subnet).eq_ignore_ascii_case(held.name()));
    world.below(network, Kind::Subnet).into_iter().filter(|held| !stays(held)).cloned().collect()
}

/// Stores the subnets of a network's body.
fn put_subnets(world: &mut World, req: &Inbound, network: &str) {
    for subnet in subnets_in(&req.body).into_iter().flatten() {
        let child = format!("{network}/subnets/{}", subnet_name(subnet));
        let inner = Inbound { body: subnet.clone(), ..req.clone() };
        let old = world.resource(&child).cloned();
        let child = old.as_ref().map_or(child, |old| old.id.clone());
        let made = model(world, &inner, &child, Kind::Subnet, old);
        world.insert(made);
        world.settle(&child);
    }
}

/// Ids that an interface's body names must exist.
fn references_exist(world: &World, kind: Kind, body: &Value) -> Result<(), Reply> {
    if kind != Kind::Interface {
        return Ok(());
    }
    let mut named: Vec<&str> = body.pointer("/properties/networkSecurityGroup/id").and_then(Value::as_str).into_iter().collect();
    for config in body.pointer("/properties/ipConfigurations").and_then(Value::as_array).into_iter().flatten() {
        named.extend(config.pointer("/properties/subnet/id").and_then(Value::as_str));
        named.extend(config.pointer("/properties/publicIPAddress/id").and_then(Value::as_str));
    }
    match named.into_iter().find(|id| world.resource(id).is_none()) {
        Some(missing) => {
            let message = format!(
                "Resource {missing} referenced by resource was not found. Please make sure that the referenced resource exists, \
                 and that both resources are in the same region."
            );
            Err(Reply::json(400, json!({"error": {"code": "InvalidResourceReference", "message": message, "details": []}})))
        }
        None => Ok(()),
    }
}

fn model(world: &World, req: &Inbound, id: &str, kind: Kind, before: Option<Resource>) -> Resource {
    let sent = req.body.as_object().cloned().unwrap_or_default();
    let mut body: Map<String, Value> =
        sent.into_iter().filter(|(name, _)| !matches!(name.as_str(), "name" | "id" | "type" | "tags" | "etag")).collect();
    let etag = format!("W/\"{}\"", world.entropy.guid());
    body.insert("etag".to_owned(), json!(etag));
    let created = before.as_ref().map_or(world.now, |old| old.created);
    let mut stored = Resource { id: id.to_owned(), kind, body, created, changed: world.now, pending: None, machine: None };
    let kept = |pointer: &str| before.as_ref().and_then(|old| old.at(pointer)).cloned();
    let guid = kept("/properties/resourceGuid").unwrap_or_else(|| json!(world.entropy.guid()));
    let (machine, mac) = (kept("/properties/virtualMachine"), kept("/properties/macAddress"));
    let primary = kept("/properties/primary");
    let address = kept("/properties/ipConfigurations/0/properties/privateIPAddress");
    let properties = stored.properties_mut();
    properties.insert("provisioningState".to_owned(), json!("Updating"));
    match kind {
        Kind::Network => {
            properties.remove("subnets");
            properties.insert("resourceGuid".to_owned(), guid);
            properties.entry("virtualNetworkPeerings").or_insert_with(|| json!([]));
            properties.entry("enableDdosProtection").or_insert(json!(false));
        }
        Kind::Subnet => {
            properties.entry("delegations").or_insert_with(|| json!([]));
            properties.entry("privateEndpointNetworkPolicies").or_insert(json!("Disabled"));
            properties.entry("privateLinkServiceNetworkPolicies").or_insert(json!("Enabled"));
        }
        Kind::Interface => {
            properties.insert("resourceGuid".to_owned(), guid.clone());
            if let Some(machine) = machine {
                properties.insert("virtualMachine".to_owned(), machine);
            }
            if let Some(primary) = primary {
                properties.insert("primary".to_owned(), primary);
            }
            properties.insert("macAddress".to_owned(), mac.unwrap_or_else(|| json!(mac_address(world))));
            for name in ["enableIPForwarding", "enableAcceleratedNetworking", "vnetEncryptionSupported"] {
                properties.entry(name).or_insert(json!(false));
            }
            for name in ["hostedWorkloads", "tapConfigurations"] {
                properties.entry(name).or_insert_with(|| json!([]));
            }
            let suffix = format!("{}.ax.internal.cloudapp.net", guid.as_str().unwrap_or_default().replace('-', ""));
            properties
                .entry("dnsSettings")
                .or_insert_with(|| json!({"dnsServers": [], "appliedDnsServers": [], "internalDomainNameSuffix": suffix}));
            properties.entry("nicType").or_insert(json!("Standard"));
            let address = address.unwrap_or_else(|| json!(next_address(world, properties)));
            number_configurations(properties, id, &etag, &address);
        }
        _ => {
            properties.insert("resourceGuid".to_owned(), guid);
        }
    }
    stored
}

fn number_configurations(properties: &mut Map<String, Value>, id: &str, etag: &str, address: &Value) {
    let Some(configs) = properties.get_mut("ipConfigurations").and_then(Value::as_array_mut) else { return };
    for (index, config) in configs.iter_mut().enumerate() {
        let name = config["name"].as_str().unwrap_or("ipconfig1").to_owned();
        config["id"] = json!(format!("{id}/ipConfigurations/{name}"));
        config["etag"] = json!(etag);
        config["type"] = json!("Microsoft.Network/networkInterfaces/ipConfigurations");
        let inner = &mut config["properties"];
        inner["provisioningState"] = json!("Succeeded");
        inner["primary"] = json!(index == 0);
        inner["privateIPAddressVersion"] = json!("IPv4");
        if inner["privateIPAddress"].is_null() {
            inner["privateIPAddress"] = address.clone();
        }
        if inner["privateIPAllocationMethod"].is_null() {
            inner["privateIPAllocationMethod"] = json!("Dynamic");
        }
    }
}

fn mac_address(world: &World) -> String {
    let bits = world.entropy.next();
    format!("60-45-BD-{:02X}-{:02X}-{:02X}", bits & 255, (bits >> 8) & 255, (bits >> 16) & 255)
}

/// The first address of the interface's subnet that no interface has; Azure keeps the first four for itself. A subnet
/// without a readable IPv4 prefix has addresses of the usual private network.
fn next_address(world: &World, properties: &Map<String, Value>) -> String {
    let subnet_of = |configs: Option<&Value>| {
        configs.and_then(|found| found.pointer("/0/properties/subnet/id")).and_then(Value::as_str).map(str::to_owned)
    };
    let subnet = subnet_of(properties.get("ipConfigurations")).unwrap_or_default();
    let known = world.resource(&subnet);
    let prefix =
        known.and_then(|found| found.at("/properties/addressPrefix").or(found.at("/properties/addressPrefixes/0"))).and_then(Value::as_str);
    let base: Ipv4Addr = prefix.and_then(|prefix| prefix.split('/').next()?.parse().ok()).unwrap_or(Ipv4Addr::new(10, 0, 0, 0));
    let first = u32::from(base).saturating_add(4);
    let mut address = first;
    let taken = world.addresses.get(&subnet.to_ascii_lowercase());
    for (held, _) in taken.into_iter().flat_map(|taken| taken.range((first, String::new())..)) {
        if *held > address {
            break;
        }
        address = held.saturating_add(1);
    }
    Ipv4Addr::from(address).to_string()
}

/// The subnet, in lower case, and the address of an interface.
pub(crate) fn seat(interface: &Resource) -> Option<(String, u32)> {
    let subnet = interface.text("/properties/ipConfigurations/0/properties/subnet/id").to_ascii_lowercase();
    let address: Ipv4Addr = interface.text("/properties/ipConfigurations/0/properties/privateIPAddress").parse().ok()?;
    (interface.kind == Kind::Interface).then_some((subnet, u32::from(address)))
}

fn delete(world: &mut World, req: &Inbound, target: &Target, kind: Kind) -> Reply {
    let Some(found) = world.resource(&target.resource_id()).cloned() else { return Reply::empty(204) };
    if let Some(refusal) = busy(world, req, &found.id, kind).or_else(|| in_use(world, &found, kind)) {
        return refusal;
    }
    let seconds = world.settings.durations.network;
    let location = match kind {
        Kind::Subnet => world.resource(parent_of(&found.id)).map(Resource::location).unwrap_or_default(),
        _ => found.location(),
    };
    let start = Start { family: Family::Network, location, subject: found.id.clone(), effect: Effect::Remove, seconds };
    let operation = world.start_operation(target.subscription.as_deref().unwrap_or_default(), start);
    if let Some(found) = world.resource_mut(&found.id) {
        found.set_state("Deleting");
    }
    world.announce(Reply::empty(202).with_header("retry-after", "10"), &operation, req, Announce::Both)
}

/// Deleting what is used is a 400, not a 409 (compute-and-arm.md C.5).
fn in_use(world: &World, found: &Resource, kind: Kind) -> Option<Reply> {
    let interfaces = || world.resources.values().filter(|other| other.kind == Kind::Interface);
    let names = |nic: &Resource, pointer: &str| {
        let configs = nic.at("/properties/ipConfigurations").and_then(Value::as_array).into_iter().flatten();
        configs.filter_map(|config| config.pointer(pointer).and_then(Value::as_str)).any(|id| covers(&found.id, id))
    };
    let (code, user) = match kind {
        Kind::Interface => ("NicInUse", found.at("/properties/virtualMachine/id").and_then(Value::as_str).map(str::to_owned)),
        Kind::Subnet | Kind::Network => {
            let code = if kind == Kind::Subnet { "InUseSubnetCannotBeDeleted" } else { "InUseVirtualNetworkCannotBeDeleted" };
            (code, interfaces().find(|nic| names(nic, "/properties/subnet/id")).map(|nic| nic.id.clone()))
        }
        Kind::PublicAddress => (
            "PublicIPAddressCannotBeDeleted",
            interfaces().find(|nic| names(nic, "/properties/publicIPAddress/id")).map(|nic| nic.id.clone()),
        ),
        Kind::SecurityGroup => {
            let user = interfaces().find(|nic| nic.text("/properties/networkSecurityGroup/id").eq_ignore_ascii_case(&found.id));
            ("InUseNetworkSecurityGroupCannotBeDeleted", user.map(|nic| nic.id.clone()))
        }
        _ => return None,
    };
    let user = user?;
    let message = format!("{} is used by existing resource {user} and cannot be deleted.", found.id);
    Some(Reply::json(400, json!({"error": {"code": code, "message": message, "details": []}})))
}
