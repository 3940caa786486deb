//! Virtual networks: one write at a time, subnets that a PUT replaces, and what is in use.

use azure_sim::wire::WireReply;
use serde_json::{Value, json};

use crate::wire::{Client, RG, code, header, small};

fn of(kind: &str, name: &str) -> String {
    format!("{RG}/providers/Microsoft.Network/{kind}/{name}")
}

fn network() -> String {
    of("virtualNetworks", "vnet-westeurope")
}

fn subnet(name: &str) -> String {
    format!("{}/subnets/{name}", network())
}

fn prefix() -> Value {
    json!({"properties": {"addressPrefix": "10.1.0.0/24"}})
}

/// A network with these subnets, or without a word of them.
fn body(subnets: Option<&[&str]>) -> Value {
    let mut body = json!({"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}}});
    if let Some(names) = subnets {
        body["properties"]["subnets"] = names.iter().map(|name| json!({"name": name, "properties": prefix()["properties"]})).collect();
    }
    body
}

fn answer(reply: &WireReply) -> (u16, String) {
    (reply.status, code(reply))
}

fn names(client: &mut Client) -> Vec<String> {
    let shown = client.read(&network());
    shown["properties"]["subnets"].as_array().unwrap().iter().map(|subnet| subnet["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_only_begins_like_something_in_use_is_deleted() {
    let mut client = small();
    for (kind, name) in [("virtualNetworks", "vnet"), ("virtualNetworks", "vnet-west"), ("publicIPAddresses", "ip")] {
        assert_eq!(client.send("PUT", &of(kind, name), body(None)).status, 201);
    }
    assert_eq!(client.send("PUT", &subnet("def"), prefix()).status, 201);
    assert_eq!(client.send("PUT", &of("publicIPAddresses", "ip-2"), json!({"location": "westeurope"})).status, 201);
    client.wait(30);
    let config = json!({"name": "i", "properties": {"subnet": {"id": subnet("default")}, "publicIPAddress": {"id": of("publicIPAddresses", "ip-2")}}});
    let nic = json!({"location": "westeurope", "properties": {"ipConfigurations": [config]}});
    assert_eq!(client.send("PUT", &of("networkInterfaces", "n"), nic).status, 201);
    for unused in [of("virtualNetworks", "vnet"), of("virtualNetworks", "vnet-west"), of("publicIPAddresses", "ip"), subnet("def")] {
        assert_eq!(client.send("DELETE", &unused, Value::Null).status, 202, "{unused}");
    }
    client.wait(30);
    for (used, expected) in [
        (network(), "InUseVirtualNetworkCannotBeDeleted"),
        (subnet("DEFAULT"), "InUseSubnetCannotBeDeleted"),
        (of("publicIPAddresses", "ip-2"), "PublicIPAddressCannotBeDeleted"),
    ] {
        assert_eq!(answer(&client.send("DELETE", &used, Value::Null)), (400, expected.to_owned()));
    }
}

#[test]
fn a_network_and_its_subnets_are_written_one_at_a_time() {
    let mut client = small();
    let first = client.send("PUT", &subnet("one"), prefix());
    assert_eq!(first.status, 201);
    let busy = (409, "AnotherOperationInProgress".to_owned());
    for (method, url, sent) in [
        ("PUT", subnet("one"), prefix()),
        ("PUT", subnet("two"), prefix()),
        ("DELETE", subnet("one"), Value::Null),
        ("DELETE", subnet("default"), Value::Null),
        ("PUT", network(), body(None)),
        ("DELETE", network(), Value::Null),
    ] {
        let refused = client.send(method, &url, sent);
        assert_eq!(answer(&refused), busy, "{method} {url}");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("https://localhost:1/subscriptions/") && message.ends_with("?api-version=2024-07-01."), "{message}");
    }
    client.wait(30);
    assert_eq!(client.read(&header(&first, "azure-asyncoperation")), json!({"status": "Succeeded"}), "nothing put an end to the first");
    assert_eq!(client.send("DELETE", &subnet("one"), Value::Null).status, 202);
    assert_eq!(answer(&client.send("PUT", &subnet("two"), prefix())), busy);
    client.wait(30);
    assert_eq!(client.send("PUT", &subnet("two"), prefix()).status, 201);
}

#[test]
fn a_network_put_takes_away_the_subnets_that_it_leaves_out() {
    let mut client = small();
    let in_use = client.send("PUT", &network(), body(Some(&["a"])));
    assert_eq!(answer(&in_use), (400, "InUseSubnetCannotBeDeleted".to_owned()));
    assert_eq!(names(&mut client), ["default"], "nothing was done");
    for (subnets, version, expected) in [
        (Some(&["Default", "a", "b"][..]), "2024-01-01", vec!["a", "b", "default"]),
        (Some(&["default", "b"][..]), "2024-01-01", vec!["b", "default"]),
        (None, "2023-09-01", vec!["b", "default"]),
    ] {
        let reply = client.send("PUT", &format!("{}?api-version={version}", network()), body(subnets));
        assert_eq!(reply.status, 200, "{}", reply.json());
        client.wait(30);
        assert_eq!(names(&mut client), expected);
    }
    let old = client.send("PUT", &format!("{}?api-version=2022-01-01", network()), body(None));
    assert_eq!(answer(&old), (400, "InUseSubnetCannotBeDeleted".to_owned()), "before, saying nothing of them meant none");
    assert_eq!(client.get(&subnet("a")).status, 404);
}
