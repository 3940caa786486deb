//! Faults by request.

use azure_sim::{
    edit::{Edit, apply},
    faults::{Fault, Match, Rule, Shape, When},
    wire::Disposition,
};
use serde_json::{Value, json};

use crate::wire::{RG, SUB, code, header, small};

fn disk() -> String {
    format!("{RG}/providers/Microsoft.Compute/disks/d")
}

fn body() -> Value {
    json!({"location": "westeurope", "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}})
}

#[test]
fn i08_a_dropped_request_is_applied_or_not_as_the_rule_says() {
    for (fault, exists) in [(Fault::DropBeforeApply, 404), (Fault::DropAfterApply, 200)] {
        let mut client = small();
        client.azure.faults_mut().add(Rule::once("lost", "PUT", "*/disks/*", fault));
        let reply = client.send("PUT", &disk(), body());
        assert_eq!(reply.disposition, Disposition::DropConnection);
        assert_eq!(client.get(&disk()).status, exists);
        let noted = &client.azure.journal().entries()[0];
        assert_eq!((noted.fault.as_deref(), noted.applied), (Some("lost"), exists == 200));
        assert_eq!(client.send("PUT", &disk(), body()).disposition, Disposition::Deliver, "once only");
    }
}

#[test]
fn i08_a_gateway_timeout_may_hide_an_accepted_put() {
    let mut client = small();
    let status = |status, body, when| Fault::Status { status, retry_after: Some(7), body, code: None, message: None, when };
    client.azure.faults_mut().add(Rule::once("a", "PUT", "*", status(504, Shape::Standard, When::AfterApply)));
    let reply = client.send("PUT", &disk(), body());
    assert_eq!((reply.status, code(&reply).as_str(), header(&reply, "retry-after").as_str()), (504, "GatewayTimeout", "7"));
    assert_eq!(client.get(&disk()).status, 200);
}

#[test]
fn i08_a_503_with_an_empty_body_strikes_a_post_a_poll_and_a_get() {
    let mut client = small();
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a");
    let deallocate = format!("{vm}/deallocate");
    let strike = |client: &mut crate::wire::Client, method: &str, url: &str| {
        let fault =
            Fault::Status { status: 503, retry_after: None, body: Shape::Empty, code: None, message: None, when: When::BeforeApply };
        client.azure.faults_mut().add(Rule::once("busy", method, "*", fault));
        let reply = client.send(method, url, Value::Null);
        assert_eq!((reply.status, reply.body.len()), (503, 0), "{method} {url}");
        client.send(method, url, Value::Null)
    };
    let accepted = strike(&mut client, "POST", &deallocate);
    assert_eq!(accepted.status, 202, "the next one is accepted");
    client.wait(120);
    let poll = strike(&mut client, "GET", &header(&accepted, "azure-asyncoperation"));
    assert_eq!(poll.json()["status"], "Succeeded");
    assert_eq!(strike(&mut client, "GET", &vm).status, 200);
}

#[test]
fn i15_error_bodies_come_in_every_shape() {
    let mut client = small();
    for (shape, word) in [(Shape::Standard, "\"error\""), (Shape::Empty, ""), (Shape::Html, "<html>"), (Shape::NonArm, "\"ErrorCode\"")] {
        let fault = Fault::Status { status: 503, retry_after: None, body: shape, code: None, message: None, when: When::BeforeApply };
        client.azure.faults_mut().add(Rule::once("zoo", "GET", "*", fault));
        let reply = client.get(SUB);
        let text = String::from_utf8(reply.body.clone()).unwrap();
        assert!(reply.status == 503 && text.contains(word) && text.is_empty() == word.is_empty(), "{text}");
    }
    client.azure.faults_mut().add(Rule::once("cut", "GET", "*", Fault::CutBody));
    let cut = client.get(SUB);
    let promised: usize = header(&cut, "content-length").parse().unwrap();
    assert!(cut.disposition == Disposition::CutBody && cut.body.len() < promised);
    client.azure.faults_mut().add(Rule::once("bad", "GET", "*", Fault::MalformedBody));
    assert!(serde_json::from_slice::<Value>(&client.get(SUB).body).is_err());
}

#[test]
fn operations_stick_expire_and_fail_on_request() {
    let failed = Fault::OperationFailed { code: "Broken".into(), message: "no".into() };
    for (fault, status, word, after) in [
        (Fault::OperationStuck, 200, "InProgress", "Creating"),
        (Fault::OperationExpired, 404, "", "Succeeded"),
        (failed, 200, "Failed", "Failed"),
    ] {
        let mut client = small();
        client.azure.faults_mut().add(Rule::once("op", "PUT", "*/disks/*", fault));
        let reply = client.send("PUT", &disk(), body());
        client.wait(3_600);
        let poll = client.get(&header(&reply, "azure-asyncoperation"));
        assert_eq!((poll.status, poll.json()["status"].as_str().unwrap_or("")), (status, word));
        assert_eq!(client.read(&disk())["properties"]["provisioningState"], after);
    }
}

#[test]
fn faults_of_operations_never_strike_a_resource() {
    for fault in [Fault::OperationExpired, Fault::OperationStuck, Fault::OperationFailed { code: "Broken".into(), message: "no".into() }] {
        let mut client = small();
        client.send("PUT", &disk(), body());
        client.wait(3_600);
        let whole = client.read(&disk());
        client.azure.faults_mut().add(Rule { id: "op".into(), matches: Match::default(), fault: fault.clone() });
        for url in [disk(), RG.to_owned(), SUB.to_owned(), format!("{RG}/providers/Microsoft.Compute/disks")] {
            assert_eq!(client.get(&url).status, 200, "{fault:?} {url}");
        }
        client.azure.faults_mut().clear();
        assert_eq!(client.read(&disk()), whole, "{fault:?}");
    }
}

#[test]
fn an_operation_expires_at_the_poll_that_a_rule_strikes() {
    for url in [disk(), RG.replace("rg-one", "rg-two")] {
        let mut client = small();
        let reply = if url == disk() { client.send("PUT", &url, body()) } else { client.send("DELETE", &url, Value::Null) };
        let poll = header(&reply, "location");
        assert_eq!(client.get(&poll).status, 202);
        client.azure.faults_mut().add(Rule::once("op", "GET", "*perationresults/*", Fault::OperationExpired));
        client.azure.faults_mut().add(Rule::once("op2", "GET", "*/DiskOperations/*", Fault::OperationExpired));
        assert_eq!((client.get(&poll).status, client.get(&poll).status), (404, 404), "{url}");
        client.wait(3_600);
        let there = if url == disk() { 200 } else { 404 };
        assert_eq!(client.get(&url).status, there, "what it does happens all the same");
    }
}

#[test]
fn lists_lag_behind_gets() {
    let mut client = small();
    let rule = Rule { id: "lag".into(), matches: Match::default(), fault: Fault::ListLag { seconds: 60.0 } };
    client.azure.faults_mut().add(rule);
    let list = format!("{RG}/providers/Microsoft.Compute/disks");
    let before = client.read(&list)["value"].as_array().unwrap().len();
    client.wait(5);
    client.send("PUT", &disk(), body());
    client.wait(30);
    assert_eq!((client.get(&disk()).status, client.read(&list)["value"].as_array().unwrap().len()), (200, before));
    client.wait(60);
    assert_eq!(client.read(&list)["value"].as_array().unwrap().len(), before + 1);
}

#[test]
fn rules_count_their_matches() {
    let mut client = small();
    let matches = Match { nth: Some(2), count: Some(2), ..Match::default() };
    let fault = Fault::Status { status: 500, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    client.azure.faults_mut().add(Rule { id: "n".into(), matches, fault });
    let statuses: Vec<u16> = (0..5).map(|_| client.get(SUB).status).collect();
    assert_eq!(statuses, [200, 500, 500, 200, 200]);
    assert_eq!(client.azure.faults_mut().played("n"), 2);
    client.azure.faults_mut().add(Rule::once("late", "GET", "*", Fault::Delay { seconds: 90.0 }));
    assert_eq!(client.get(SUB).delay.as_secs(), 90);
}

#[test]
fn edits_behind_our_back_leave_no_trace_in_the_journal() {
    let mut client = small();
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a");
    let edit = |method: &str, body: Value| serde_json::from_value::<Edit>(json!({"method": method, "id": vm, "body": body})).unwrap();
    apply(&mut client.azure, edit("PATCH", json!({"tags": {"by": "hand"}, "power": "stopped"}))).unwrap();
    assert_eq!(client.azure.journal().entries().len(), 0);
    let seen = client.read(&format!("{vm}?$expand=instanceView"));
    assert_eq!(
        (seen["tags"]["by"].as_str(), seen["properties"]["instanceView"]["statuses"][1]["code"].as_str()),
        (Some("hand"), Some("PowerState/stopped"))
    );
    apply(&mut client.azure, edit("DELETE", Value::Null)).unwrap();
    assert_eq!(client.get(&vm).status, 404);
    assert!(apply(&mut client.azure, edit("DELETE", Value::Null)).unwrap_err().contains("there is no"));
}

#[test]
fn an_edit_shows_tags_that_arm_would_refuse() {
    let mut client = small();
    let vm = format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a");
    let tags: serde_json::Map<String, Value> = (0..64).map(|n| (format!("a?{n}\u{202e}<b>"), json!("x".repeat(16_384)))).collect();
    assert_eq!(client.send("PATCH", &vm, json!({"tags": tags})).status, 400);
    apply(&mut client.azure, serde_json::from_value(json!({"method": "PATCH", "id": vm, "body": {"tags": tags}})).unwrap()).unwrap();
    assert_eq!(client.read(&vm)["tags"], json!(tags), "a megabyte of them");
}

#[test]
fn a_standing_lag_is_a_setting_of_the_estate() {
    let mut client = crate::wire::with_settings("{ listLagSeconds: 60 }");
    let list = format!("{RG}/providers/Microsoft.Compute/disks");
    let before = client.read(&list)["value"].as_array().unwrap().len();
    client.wait(1);
    client.send("PUT", &disk(), body());
    client.wait(30);
    assert_eq!((client.get(&disk()).status, client.read(&list)["value"].as_array().unwrap().len()), (200, before));
    client.wait(60);
    assert_eq!(client.read(&list)["value"].as_array().unwrap().len(), before + 1);
}

#[test]
fn a_right_taken_away_behind_our_back_looks_like_an_empty_list() {
    let mut client = small();
    client.caller = crate::wire::reader();
    let list = format!("{SUB}/providers/Microsoft.Compute/virtualMachines");
    assert_eq!(client.read(&list)["value"].as_array().unwrap().len(), 2);
    let lock = json!({"method": "PUT", "id": format!("{RG}/providers/Microsoft.Authorization/locks/l"), "body": {"properties": {"level": "ReadOnly"}}});
    apply(&mut client.azure, serde_json::from_value(lock).unwrap()).unwrap();
    assert_eq!(client.read(&format!("{RG}/providers/Microsoft.Authorization/locks"))["value"][0]["name"], "l");
    let state = azure_sim::edit::summary(&client.azure);
    let mine = |given: &&Value| given["principalId"] == crate::wire::reader().object_id;
    let given = state["roleAssignments"].as_array().unwrap().iter().find(mine).unwrap()["id"].clone();
    let elsewhere =
        format!("{SUB}/resourceGroups/rg-two/providers/Microsoft.Authorization/roleAssignments/cccccccc-0000-4000-8000-000000000009");
    let reading = json!({"properties": {"principalId": crate::wire::reader().object_id, "roleDefinitionId": "/x/acdd72a7-3385-48ef-bd42-f606fba81ae7"}});
    for edit in [json!({"method": "PUT", "id": elsewhere, "body": reading}), json!({"method": "DELETE", "id": given})] {
        apply(&mut client.azure, serde_json::from_value(edit).unwrap()).unwrap();
    }
    assert_eq!(client.read(&list)["value"].as_array().unwrap().len(), 0);
    assert_eq!(client.get(&format!("{RG}/providers/Microsoft.Compute/virtualMachines")).status, 403);
}
