//! Storage accounts as clients make them, and HEAD, which asks whether something is there.

use serde_json::{Value, json};

use crate::restoring::{account, post, restore, world};
use crate::wire::{Client, RG, SUB, code, header, reader, small};

fn made(client: &mut Client, name: &str) -> azure_sim::wire::WireReply {
    let body = json!({"location": "West Europe", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "tags": {"for": "restores"},
        "properties": {"allowBlobPublicAccess": false, "minimumTlsVersion": "TLS1_2"}});
    client.send("PUT", &account(name), body)
}

#[test]
fn an_account_that_a_client_makes_stages_a_restore() {
    let mut client = world();
    let reply = made(&mut client, "fresh01");
    assert_eq!((reply.status, reply.body.is_empty(), header(&reply, "retry-after").as_str()), (202, true, "17"));
    let poll = header(&reply, "location");
    assert!(poll.contains("/providers/Microsoft.Storage/locations/westeurope/asyncoperations/") && poll.contains("monitor=true"), "{poll}");
    assert_eq!(client.get(&poll).status, 202);
    client.wait(60);
    let ended = client.read(&poll);
    let read = client.read(&account("fresh01"));
    assert_eq!(ended, read, "the end is the account");
    let properties = &read["properties"];
    assert_eq!((&properties["provisioningState"], &properties["allowBlobPublicAccess"]), (&json!("Succeeded"), &json!(false)));
    assert_eq!(properties["primaryEndpoints"]["blob"], "https://fresh01.blob.core.windows.net/");
    assert_eq!((&read["tags"]["for"], &read["location"]), (&json!("restores"), &json!("westeurope")));
    let ended = restore(&mut client, "vm-a", &json!({"storageAccountId": account("fresh01")}));
    assert_eq!(ended["status"], "Completed", "{ended}");
    assert_eq!(client.send("DELETE", &account("fresh01"), Value::Null).status, 200);
    assert_eq!(client.send("DELETE", &account("fresh01"), Value::Null).status, 204);
    assert_eq!(client.get(&account("fresh01")).status, 404);
    assert!(!client.azure.world().blobs.contains_key(&account("fresh01").to_lowercase()), "and what was in it");
    post(&mut client, "vm-a", &json!({"storageAccountId": account("fresh01")}));
}

#[test]
fn an_account_changes_at_once_and_keeps_what_is_not_named() {
    let mut client = world();
    made(&mut client, "fresh01");
    client.wait(60);
    let closed = json!({"properties": {"networkAcls": {"defaultAction": "Deny"}}});
    let changed = client.send("PATCH", &account("fresh01"), closed);
    assert_eq!(changed.status, 200, "{}", changed.json());
    let shown = changed.json();
    let acls = &shown["properties"]["networkAcls"];
    assert_eq!((&acls["defaultAction"], &acls["bypass"]), (&json!("Deny"), &json!("AzureServices")));
    assert_eq!((&shown["tags"]["for"], &shown["properties"]["minimumTlsVersion"]), (&json!("restores"), &json!("TLS1_2")));
    let again = made(&mut client, "fresh01");
    assert_eq!((again.status, &again.json()["properties"]["networkAcls"]["defaultAction"]), (200, &json!("Deny")));
    assert_eq!(client.send("PATCH", &account("nobody"), json!({})).status, 404);
}

#[test]
fn accounts_have_names_that_nobody_else_has() {
    let mut client = world();
    for name in ["ab", "Fresh", "with-hyphen", "abcdefghijklmnopqrstuvwxy"] {
        let refused = made(&mut client, name);
        assert_eq!((refused.status, code(&refused).as_str()), (400, "AccountNameInvalid"), "{name}");
    }
    let taken = made(&mut client, "stagenorth");
    assert_eq!((taken.status, code(&taken).as_str()), (409, "StorageAccountAlreadyTaken"), "in another group");
    let bare = client.send("PUT", &account("fresh01"), json!({"location": "westeurope"}));
    assert_eq!((bare.status, code(&bare).as_str()), (400, "InvalidValuesForRequestParameters"));
    let moved =
        client.send("PUT", &account("stage"), json!({"location": "northeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}));
    assert_eq!((moved.status, code(&moved).as_str()), (409, "InvalidResourceLocation"));
    assert_eq!(client.send("POST", &format!("{}/listKeys", account("stage")), Value::Null).status, 501);
}

#[test]
fn a_head_says_whether_something_is_there_and_never_what() {
    let mut client = world();
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a");
    let vault = crate::restoring::vault();
    let nic = format!("{RG}/providers/Microsoft.Network/networkInterfaces/vm-a-nic");
    for id in [&vm, &vault, &nic, &account("stage"), &crate::restoring::item("vm-a"), &RG.to_owned(), &SUB.to_owned()] {
        let there = client.send("HEAD", id, Value::Null);
        assert_eq!((there.status, there.body.len()), (204, 0), "{id}");
        let gone = client.send("HEAD", &format!("{id}-not"), Value::Null);
        assert_eq!((gone.status, gone.body.len()), (404, 0), "{id}");
    }
    let before = client.azure.next_event();
    client.send("HEAD", &vm, Value::Null);
    assert_eq!(client.azure.next_event(), before, "it starts nothing");
    let last = client.azure.journal().entries().last().unwrap();
    assert_eq!((last.method.as_str(), last.actions.clone()), ("HEAD", vec!["Microsoft.Compute/virtualMachines/read".to_owned()]));
    let mut small = small();
    small.caller = reader();
    assert_eq!(small.send("HEAD", &vm, Value::Null).status, 204);
    let other = format!("{SUB}/resourceGroups/rg-two/providers/Microsoft.Compute/virtualMachines/vm-z");
    assert_eq!(small.send("HEAD", &other, Value::Null).status, 403, "rights are those of a read");
    let unknown = client.send("HEAD", &format!("{RG}/providers/Microsoft.Compute/snapshots/s"), Value::Null);
    assert_eq!(unknown.status, 501);
}

#[test]
fn recovery_services_tells_a_request_its_own_id_unasked() {
    let mut client = world();
    let mut told = |method: &str, url: &str, asks: bool| {
        let mut request = crate::wire::request(method, url, Value::Null);
        request.headers.insert("x-ms-client-request-id".to_owned(), "mine".to_owned());
        if asks {
            request.headers.insert("x-ms-return-client-request-id".to_owned(), "true".to_owned());
        }
        let reply = client.azure.handle_as(client.now, client.caller.clone(), request);
        reply.headers.iter().filter(|(name, value)| name == "x-ms-client-request-id" && value == "mine").count()
    };
    let (vault, vm) = (crate::restoring::vault(), format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a"));
    for asks in [true, false] {
        assert_eq!(told("GET", &vault, asks), 1);
        assert_eq!(told("GET", &format!("{vault}/backupJobs/none"), asks), 1, "errors too");
        assert_eq!(told("POST", &format!("{vault}/backupFabrics/Azure/refreshContainers"), asks), 1);
        assert_eq!(told("GET", &vm, asks), usize::from(asks), "Compute when asked");
    }
}
