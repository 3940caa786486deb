//! Microsoft.Storage/storageAccounts, as far as restores go through them: read and listed. What is in them is not
//! modelled, and nobody makes one by a request: the estate or an edit does.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    arm::{errors, operations::long_time},
    estate::AccountEntry,
    path::{Form, Target},
    wire::{Inbound, Reply, StorageView},
    world::{Kind, Resource, World},
};

/// Whether this part models the type.
pub fn knows(type_path: &str) -> bool {
    type_path == "storageaccounts"
}

/// Answers GETs under `providers/Microsoft.Storage`.
pub fn handle(world: &World, req: &Inbound, target: &Target) -> Reply {
    match (target.form(), req.method.as_str()) {
        (Form::Collection, "GET") => {
            let value: Vec<Value> = world.below(&target.scope_id(), Kind::Account).into_iter().map(|found| world.show(found)).collect();
            Reply::json(200, json!({"value": value}))
        }
        (Form::Element, "GET") => match world.resource(&target.resource_id()) {
            Some(found) => Reply::json(200, world.show(found)),
            None => {
                let group = target.group.as_deref().unwrap_or_default();
                errors::resource_not_found(Kind::Account.type_name(), &target.names.join("/"), group)
            }
        },
        _ => errors::not_implemented(&req.method, &req.raw_path()),
    }
}

/// The account of an estate's entry; a body as documented for a GET, as far as anybody here reads it.
pub(crate) fn account(group: &str, entry: &AccountEntry, location: &str, now: Timestamp) -> Resource {
    let acls = if entry.network_acls.is_object() { entry.network_acls.clone() } else { json!({}) };
    let rule = |name: &str, usual: Value| if acls[name].is_null() { usual } else { acls[name].clone() };
    let host = |service: &str| format!("https://{}.{service}.core.windows.net/", entry.name);
    let mut body = Map::new();
    body.insert("location".to_owned(), json!(location));
    body.insert("kind".to_owned(), json!(entry.kind));
    body.insert(
        "sku".to_owned(),
        json!({"name": entry.sku, "tier": if entry.sku.starts_with("Premium") { "Premium" } else { "Standard" }}),
    );
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
