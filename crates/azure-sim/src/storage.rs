//! Microsoft.Storage/storageAccounts, as far as restores go through them: made, changed, read, listed and deleted. What is in
//! them is not modelled. Nothing of it was recorded: answers are as documented.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    arm::{
        errors, groups,
        operations::{Announce, Effect, Family, Start, long_time},
        tags,
    },
    estate::AccountEntry,
    path::{Form, Target},
    wire::{Inbound, Reply, StorageView},
    world::{Kind, Resource, World},
};

/// Whether this part models the type.
pub fn knows(type_path: &str) -> bool {
    matches!(type_path, "storageaccounts" | "locations/asyncoperations")
}

/// How long the making of an account takes, in seconds before scaling. A guess.
const MAKING: f64 = 20.0;

/// Answers requests under `providers/Microsoft.Storage`.
pub fn handle(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    match (target.form(), req.method.as_str()) {
        (Form::Element, "GET") if target.type_path() == "locations/asyncoperations" => world.poll(req, target),
        _ if target.type_path() != "storageaccounts" || target.verb.is_some() => errors::not_implemented(&req.method, &req.raw_path()),
        (Form::Collection, "GET") => {
            let value: Vec<Value> = world.below(&target.scope_id(), Kind::Account).into_iter().map(|found| world.show(found)).collect();
            Reply::json(200, json!({"value": value}))
        }
        (Form::Element, "GET") => match world.resource(&target.resource_id()) {
            Some(found) => Reply::json(200, world.show(found)),
            None => missing(target),
        },
        (Form::Element, "PUT" | "PATCH") => write(world, req, target),
        (Form::Element, "DELETE") => delete(world, target),
        _ => errors::not_implemented(&req.method, &req.raw_path()),
    }
}

fn missing(target: &Target) -> Reply {
    let group = target.group.as_deref().unwrap_or_default();
    errors::resource_not_found(Kind::Account.type_name(), &target.names.join("/"), group)
}

/// PUT and PATCH: an account that is there changes at once, 200; a new one is 202, and its `Location` ends with the account.
fn write(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    if let Err(refusal) = tags::check_body(&req.body) {
        return refusal;
    }
    let id = target.resource_id();
    match world.resource(&id).cloned() {
        Some(held) => change(world, req, held),
        None if req.method == "PATCH" => missing(target),
        None => create(world, req, target).unwrap_or_else(|refusal| *refusal),
    }
}

fn change(world: &mut World, req: &Inbound, mut held: Resource) -> Reply {
    if let Err(refusal) = groups::location_of_write(world, req, Some(&held)) {
        return refusal;
    }
    if let Some(sku) = req.body["sku"]["name"].as_str() {
        held.body.insert("sku".to_owned(), sku_of(sku));
    }
    lay_over(&mut held, &req.body["properties"]);
    held.changed = world.now;
    let shown = held.id.clone();
    world.insert(held);
    tags::take_from_body(world, &shown, req);
    Reply::json(200, world.resource(&shown).map(|found| world.show(found)).unwrap_or_default())
}

fn create(world: &mut World, req: &Inbound, target: &Target) -> Result<Reply, Box<Reply>> {
    let location = groups::location_of_write(world, req, None).map_err(Box::new)?;
    let name = target.names.last().map_or("", String::as_str);
    if !(3..=24).contains(&name.len()) || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        let message = format!(
            "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers \
             and lower-case letters only."
        );
        return Err(Box::new(Reply::error(400, "AccountNameInvalid", message)));
    }
    // Names are the whole cloud's.
    if world.resources.values().any(|other| other.kind == Kind::Account && other.name() == name) {
        let message = format!("The storage account named {name} is already taken.");
        return Err(Box::new(Reply::error(409, "StorageAccountAlreadyTaken", message)));
    }
    let (Some(kind), Some(sku)) = (req.body["kind"].as_str(), req.body["sku"]["name"].as_str()) else {
        let word = if req.body["kind"].is_string() { "sku" } else { "kind" };
        let message = format!("Values for request parameters are invalid: {word}.");
        return Err(Box::new(Reply::error(400, "InvalidValuesForRequestParameters", message)));
    };
    let acls = req.body["properties"]["networkAcls"].clone();
    let entry = AccountEntry { name: name.to_owned(), location: None, kind: kind.to_owned(), sku: sku.to_owned(), network_acls: acls };
    let mut made = account(&target.scope_id(), &entry, &location, world.now);
    lay_over(&mut made, &req.body["properties"]);
    made.set_state("Creating");
    let subject = made.id.clone();
    world.insert(made);
    tags::take_from_body(world, &subject, req);
    let start = Start { family: Family::Storage, location, subject, effect: Effect::Settle, seconds: MAKING };
    let operation = world.start_operation(target.subscription.as_deref().unwrap_or_default(), start);
    Ok(world.announce(Reply::empty(202).with_header("retry-after", "17"), &operation, req, Announce::Location))
}

/// Lays the properties that a caller may write over those of an account.
fn lay_over(account: &mut Resource, asked: &Value) {
    const OWN: [&str; 5] = ["provisioningState", "creationTime", "primaryLocation", "statusOfPrimary", "primaryEndpoints"];
    let properties = account.properties_mut();
    for (name, value) in asked.as_object().into_iter().flatten().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        match (properties.get_mut(name).and_then(Value::as_object_mut), value.as_object()) {
            (Some(held), Some(sent)) => held.extend(sent.clone()),
            _ => drop(properties.insert(name.clone(), value.clone())),
        }
    }
}

/// DELETE: 200, or 204 when there is none. The blobs go along.
fn delete(world: &mut World, target: &Target) -> Reply {
    let id = target.resource_id();
    match world.remove(&id) {
        None => Reply::empty(204),
        Some(_) => {
            world.blobs.remove(&id.to_ascii_lowercase());
            Reply::empty(200)
        }
    }
}

fn sku_of(name: &str) -> Value {
    json!({"name": name, "tier": if name.starts_with("Premium") { "Premium" } else { "Standard" }})
}

/// An account by its entry in an estate; a body as documented for a GET, as far as anybody here reads it.
pub(crate) fn account(group: &str, entry: &AccountEntry, location: &str, now: Timestamp) -> Resource {
    let acls = if entry.network_acls.is_object() { entry.network_acls.clone() } else { json!({}) };
    let rule = |name: &str, usual: Value| if acls[name].is_null() { usual } else { acls[name].clone() };
    let host = |service: &str| format!("https://{}.{service}.core.windows.net/", entry.name);
    let mut body = Map::new();
    body.insert("location".to_owned(), json!(location));
    body.insert("kind".to_owned(), json!(entry.kind));
    body.insert("sku".to_owned(), sku_of(&entry.sku));
    body.insert(
        "properties".to_owned(),
        json!({
            "provisioningState": "Succeeded",
            "creationTime": long_time(now),
            "primaryLocation": location,
            "statusOfPrimary": "available",
            "primaryEndpoints": {"blob": host("blob"), "file": host("file"), "queue": host("queue"), "table": host("table")},
            "networkAcls": {
                "bypass": rule("bypass", json!("AzureServices")),
                "defaultAction": rule("defaultAction", json!("Allow")),
                "ipRules": rule("ipRules", json!([])),
                "virtualNetworkRules": rule("virtualNetworkRules", json!([])),
            },
        }),
    );
    let id = format!("{group}/providers/{}/{}", Kind::Account.type_name(), entry.name);
    Resource { id, kind: Kind::Account, body, created: now, changed: now, pending: None, machine: None }
}

/// The account as a restore sees it.
pub(crate) fn view(account: &Resource) -> StorageView {
    let closed = account.text("/properties/networkAcls/defaultAction").eq_ignore_ascii_case("Deny");
    let services = account.text("/properties/networkAcls/bypass").to_ascii_lowercase();
    StorageView {
        id: account.id.clone(),
        location: account.location(),
        kind: account.text("/kind").to_owned(),
        sku: account.text("/sku/name").to_owned(),
        lets_azure_in: !closed || services.contains("azureservices"),
    }
}
