//! The traps of backup.md §17 that restores have: one test a number.

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, SUB, header};

#[test]
fn s17_01_both_families_of_urls_answer_for_a_restore() {
    let mut client = world();
    let reply = post(&mut client, "vm-a", &json!({}));
    let url = header(&reply, "azure-asyncoperation");
    let id = url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    client.wait(5);
    let universal = client.read(&format!("{}/backupOperations/{id}", vault()));
    assert_eq!(universal, client.read(&url));
    assert_eq!(client.get(&format!("{}/operationsStatus/{id}", item("vm-w"))).status, 404, "below another item it is unknown");
}

#[test]
fn s17_02_a_restore_may_be_polled_before_it_was_taken_up() {
    let mut client = world_with("{ restore: { durations: { accept: { from: 5, to: 5 } } } }", &json!({}));
    let id = start(&mut client, "vm-a", &json!({}));
    let poll = |client: &mut Client| client.read(&format!("{}/backupOperations/{id}", vault()));
    let first = poll(&mut client);
    assert_eq!((&first["status"], &first["endTime"]), (&json!("InProgress"), &json!("0001-01-01T00:00:00")), "no time, and no zone");
    assert!(first.get("properties").is_none());
    client.wait(6);
    let second = poll(&mut client);
    assert_eq!((&second["endTime"], &second["properties"]["jobId"]), (&second["startTime"], &json!(id)));
}

#[test]
fn s17_03_names_match_in_any_case_and_come_back_as_sent() {
    let mut client = world();
    let name = point(&mut client, "vm-a").rsplit('/').next().unwrap().to_owned();
    let tail = "IaasVMContainerV2%3BRG-One%3BVM-A";
    let path = format!(
        "{}/BackupFabrics/azure/protectioncontainers/iaasvmcontainer%3B{tail}/ProtectedItems/vm;{}/recoverypoints/{name}/Restore",
        vault().to_uppercase(),
        tail.replace("%3B", ";")
    );
    let reply = client.send("POST", &path, asking("vm-a", &json!({"sourceResourceId": vm("VM-A")})));
    assert_eq!(reply.status, 202, "{}", reply.json());
    let url = header(&reply, "azure-asyncoperation");
    assert!(url.contains("/ProtectedItems/vm;IaasVMContainerV2;RG-One;VM-A/operationsStatus/"), "{url}");
}

#[test]
fn s17_04_a_task_is_done_before_its_job_and_a_hundred_percent_is_not_the_end_of_it() {
    let mut client = world();
    let id = start(&mut client, "vm-a", &json!({}));
    client.wait(45);
    let running = job(&mut client, &id);
    let info = &running["extendedInfo"];
    assert_eq!((&running["status"], &info["tasksList"][0]["status"]), (&json!("InProgress"), &json!("Completed")));
    assert_eq!(disks(&mut client, TWO).len(), 3, "disks are there before the job ends");
    assert!(running.get("endTime").is_none());
}

#[test]
fn s17_05_a_point_is_restored_from_its_snapshot_long_before_its_backup_ends() {
    let mut client = empty("{}", &json!({}));
    protect(&mut client, "vm-a");
    client.send("POST", &format!("{}/backup", item("vm-a")), json!({"properties": {"objectType": "IaasVMBackupRequest"}}));
    client.wait(900);
    assert_eq!(shown(&mut client, "vm-a")["recoveryPointTierDetails"], json!([{"type": "InstantRP", "status": "Valid"}]));
    let refused = post(&mut client, "vm-a", &json!({"targetResourceGroupId": null}));
    assert_eq!(refused.status, 400, "blobs come from the vault");
    assert_eq!(restore(&mut client, "vm-a", &json!({}))["status"], "Completed");
}

#[test]
fn s17_06_a_soft_deleted_item_is_undeleted_before_it_is_restored() {
    let mut client = world();
    let id = point(&mut client, "vm-a");
    client.send("DELETE", &item("vm-a"), Value::Null);
    client.wait(120);
    let refused = client.send("POST", &format!("{id}/restore"), asking("vm-a", &json!({})));
    assert_eq!((refused.status, crate::wire::code(&refused).as_str()), (400, "BMSUserErrorItemSoftDeleted"));
}

#[test]
fn s17_08_an_operation_of_the_secondary_region_answers_500_in_a_shape_of_its_own() {
    let mut client = world();
    let fault = Fault::Status {
        status: 500,
        retry_after: None,
        body: Shape::NonArm,
        code: Some("CloudInternalError".into()),
        message: None,
        when: When::BeforeApply,
    };
    let matches = Match { path: Some("*/backupCrrOperationsStatus/*".into()), ..Match::default() };
    client.azure.faults_mut().add(Rule { id: "crr".into(), matches, fault });
    let url =
        format!("{SUB}/providers/Microsoft.RecoveryServices/locations/northeurope/backupCrrOperationsStatus/x?api-version=2021-11-15");
    let reply = client.get(&url);
    assert_eq!((reply.status, &reply.json()["ErrorCode"]), (500, &json!("CloudInternalError")));
}

#[test]
fn s17_08_a_lost_answer_has_restored_all_the_same() {
    let mut client = world();
    client.azure.faults_mut().add(Rule::once("lost", "POST", "*/restore", Fault::DropAfterApply));
    let reply = post(&mut client, "vm-a", &json!({}));
    assert_eq!(reply.disposition, azure_sim::wire::Disposition::DropConnection);
    client.wait(600);
    let list = client.read(&format!("{}/backupJobs?$filter=operation eq 'Restore'", vault()));
    assert_eq!((list["value"].as_array().unwrap().len(), disks(&mut client, TWO).len()), (1, 3), "sent again it would be done twice");
}

#[test]
fn s17_09_a_restore_shows_its_budget_and_a_long_signed_link() {
    let mut client = world();
    let reply = post(&mut client, "vm-a", &json!({}));
    assert_eq!(header(&reply, "retry-after"), "60");
    assert!(reply.header("x-ms-ratelimit-remaining-subscription-writes").is_some());
    assert!(header(&reply, "location").len() > 3_000);
}
