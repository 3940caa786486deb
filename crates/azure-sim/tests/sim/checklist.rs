//! What of backup.md §17 shows at the front alone: faults by request (point 8), headers (point 9); and that no fault of
//! `faults.rs` is without a test.

use azure_sim::{
    faults::{Ending, Fault, Rule, Shape, When},
    wire::{Disposition, WireReply},
};
use serde_json::{Value, json};

use crate::wire::{Client, RG, code, header, small};

const TAIL: &str = "iaasvmcontainerv2;rg-one;vm-a";

fn vault() -> String {
    format!("{RG}/providers/Microsoft.RecoveryServices/vaults/rv-one")
}

fn item() -> String {
    format!("{}/backupFabrics/Azure/protectionContainers/IaasVMContainer%3B{TAIL}/protectedItems/VM%3B{TAIL}", vault())
}

fn protecting() -> Value {
    json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "policyId": format!("{}/backupPolicies/DefaultPolicy", vault()),
        "sourceResourceId": format!("{RG}/providers/Microsoft.Compute/virtualMachines/vm-a")}})
}

fn with_vault() -> Client {
    let mut client = small();
    let body = json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "properties": {}});
    assert_eq!(client.send("PUT", &vault(), body).status, 201);
    client.wait(120);
    client
}

fn status(status: u16, body: Shape, code: &str, message: &str, when: When) -> Fault {
    Fault::Status { status, retry_after: None, body, code: Some(code.to_owned()), message: Some(message.to_owned()), when }
}

fn struck(client: &mut Client, fault: Fault, method: &str, url: &str, body: Value) -> WireReply {
    client.azure.faults_mut().add(Rule::once("fault", method, "*", fault));
    client.send(method, url, body)
}

#[test]
fn s17_08_a_504_hides_a_protection_that_goes_on() {
    let mut client = with_vault();
    let lost = status(504, Shape::Standard, "GatewayTimeout", "The gateway did not receive a response.", When::AfterApply);
    assert_eq!(struck(&mut client, lost, "PUT", &item(), protecting()).status, 504);
    assert_eq!(client.send("PUT", &item(), protecting()).status, 409, "it is under way: re-read before repeating");
    client.wait(120);
    assert_eq!(client.read(&item())["properties"]["protectionState"], "IRPending");
}

#[test]
fn s17_08_errors_without_message_without_shape_and_of_one_machine_in_a_list() {
    let mut client = with_vault();
    let empty = status(500, Shape::Standard, "CloudStorageUnexpectedError", "", When::BeforeApply);
    let reply = struck(&mut client, empty, "GET", &vault(), Value::Null);
    assert_eq!((reply.status, reply.json()["error"]["message"].as_str()), (500, Some("")));
    let foreign = status(500, Shape::NonArm, "CloudInternalError", "x", When::BeforeApply);
    let reply = struck(&mut client, foreign, "GET", &format!("{}/backupOperations/x", vault()), Value::Null);
    assert_eq!((reply.json()["ErrorCode"].as_str(), reply.json().get("error")), (Some("CloudInternalError"), None));
    let gone =
        status(404, Shape::Standard, "ResourceNotFound", "Could not perform the operation as VM no longer exists.", When::BeforeApply);
    let reply = struck(&mut client, gone, "GET", &format!("{}/backupProtectedItems", vault()), Value::Null);
    assert_eq!((reply.status, code(&reply).as_str()), (404, "ResourceNotFound"));
    assert_eq!(client.read(&format!("{}/backupProtectedItems", vault()))["value"], json!([]), "the next one answers");
}

#[test]
fn s17_08_the_operation_of_a_vault_put_may_be_unknown() {
    let mut client = small();
    let body = json!({"location": "westeurope", "sku": {"name": "RS0", "tier": "Standard"}, "properties": {}});
    let reply = struck(&mut client, Fault::OperationExpired, "PUT", &vault(), body);
    assert_eq!((reply.status, client.get(&header(&reply, "azure-asyncoperation")).status), (201, 404));
    client.wait(120);
    assert_eq!(client.read(&vault())["properties"]["provisioningState"], "Succeeded");
}

#[test]
fn i06_i11_i13_i14_snapshots_restore_points_and_the_graph_are_not_modelled() {
    let mut client = small();
    let compute = format!("{RG}/providers/Microsoft.Compute");
    for (method, url) in [
        ("PUT", format!("{compute}/snapshots/s")),
        ("PUT", format!("{compute}/restorePointCollections/c/restorePoints/p")),
        ("POST", format!("{compute}/disks/d/beginGetAccess")),
        ("POST", "/providers/Microsoft.ResourceGraph/resources".to_owned()),
        ("PUT", format!("{}/certificates/c", vault())),
    ] {
        let reply = client.send(method, &url, json!({}));
        assert_eq!((reply.status, code(&reply).as_str()), (501, "SimulatorNotImplemented"), "{method} {url}");
        assert!(reply.json()["error"]["message"].as_str().unwrap().contains(&url), "{}", reply.json());
    }
}

#[test]
fn s17_09_every_kind_of_call_shows_its_budget() {
    let mut client = with_vault();
    let budget =
        |reply: &WireReply, kind: &str| header(reply, &format!("x-ms-ratelimit-remaining-subscription-{kind}")).parse::<u32>().unwrap();
    let first = client.send("PUT", &item(), protecting());
    assert!(budget(&first, "writes") < 200);
    assert_eq!(header(&first, "retry-after"), "60");
    client.wait(120);
    assert_eq!(budget(&client.get(&format!("{}/backupJobs", vault())), "resource-requests"), 448, "job reads have their own");
    assert_eq!(budget(&client.get(&format!("{}/backupProtectedItems", vault())), "resource-requests"), 1_098);
    assert_eq!(budget(&client.get(&format!("{}/backupPolicies", vault())), "resource-requests"), 1_098, "by action");
    assert!(budget(&client.send("DELETE", &item(), Value::Null), "deletes") < 200);
    let patched = client.send("PATCH", &vault(), json!({"properties": {"publicNetworkAccess": "Disabled"}}));
    assert_eq!(budget(&patched, "resource-requests"), 297, "one PUT before");
}

#[test]
fn every_fault_strikes_a_backup_call_as_it_says() {
    let failed = Fault::OperationFailed { code: "CloudInternalError".into(), message: "no".into() };
    let all = [
        Fault::DropBeforeApply,
        Fault::DropAfterApply,
        Fault::Delay { seconds: 30.0 },
        status(503, Shape::Html, "ServerTimeout", "x", When::BeforeApply),
        Fault::CutBody,
        Fault::MalformedBody,
        Fault::OperationStuck,
        Fault::OperationExpired,
        failed,
        Fault::JobFailed { code: "400002".into() },
        Fault::RestoreFate { how: Ending::Sticks, code: None },
        Fault::ListLag { seconds: 600.0 },
        Fault::TokenRefused,
    ];
    for fault in all {
        let mut client = with_vault();
        let reply = struck(&mut client, fault.clone(), "PUT", &item(), protecting());
        let polled = reply.header("azure-asyncoperation").map(str::to_owned);
        client.wait(600);
        let exists = client.get(&item()).status == 200;
        let poll = |client: &mut Client| client.get(polled.as_deref().unwrap());
        // Exhaustive, so that a new fault asks for its line here.
        match fault {
            Fault::DropBeforeApply => assert_eq!((reply.disposition, exists), (Disposition::DropConnection, false)),
            Fault::DropAfterApply => assert_eq!((reply.disposition, exists), (Disposition::DropConnection, true)),
            Fault::Delay { .. } => assert_eq!((reply.delay.as_secs(), exists), (30, true)),
            Fault::Status { .. } => assert_eq!((reply.status, exists), (503, false)),
            Fault::CutBody => assert_eq!((reply.disposition, exists), (Disposition::CutBody, true)),
            Fault::MalformedBody => assert!(serde_json::from_slice::<Value>(&reply.body).is_err() && exists),
            Fault::OperationStuck => assert_eq!((poll(&mut client).json()["status"].as_str(), exists), (Some("InProgress"), false)),
            Fault::OperationExpired => assert_eq!((poll(&mut client).status, exists), (404, true)),
            // A PUT restores nothing.
            Fault::RestoreFate { .. } => assert!(exists),
            Fault::OperationFailed { .. } | Fault::JobFailed { .. } => {
                assert_eq!((poll(&mut client).json()["status"].as_str(), exists), (Some("Failed"), false));
                let jobs = client.read(&format!("{}/backupJobs?$filter=status eq 'Failed'", vault()));
                assert_eq!(jobs["value"].as_array().unwrap().len(), 1);
            }
            // A PUT is no list.
            Fault::ListLag { .. } => assert!(exists),
            Fault::TokenRefused => assert_eq!((reply.status, exists), (401, false)),
        }
    }
}
