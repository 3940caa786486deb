//! Restores that go wrong by a test's wish, and those that are cancelled.

use azure_sim::faults::{Ending, Fault, Rule};
use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, code};

fn doomed(how: Ending) -> Client {
    let mut client = world();
    client.azure.faults_mut().add(Rule::once("fate", "POST", "*/restore", Fault::RestoreFate { how, code: None }));
    client
}

#[test]
fn a_restore_fails_in_its_transfer_in_recorded_words() {
    let mut client = doomed(Ending::FailsInTransfer);
    let before = resources(&mut client);
    let ended = restore(&mut client, "vm-a", &json!({}));
    assert_eq!((trouble(&ended).as_str(), &ended["errorDetails"][0]["errorCode"]), ("Failed RestoreOperationFailed", &json!(400_003)));
    assert!(ended["extendedInfo"].get("progressPercentage").is_none());
    assert_eq!(resources(&mut client), before);
}

#[test]
fn a_restore_that_fails_late_leaves_what_it_made() {
    let mut client = doomed(Ending::FailsLate);
    let ended = restore(&mut client, "vm-a", &new_machine("vm-a2"));
    assert_eq!(trouble(&ended), "Failed RestoreOperationFailed");
    let made = ["Microsoft.Compute/disks", "Microsoft.Network/networkInterfaces", "Microsoft.Compute/virtualMachines"]
        .map(|kind| names(&mut client, TWO, kind).len());
    assert_eq!(made, [3, 1, 0], "disks, an interface, no machine");
}

#[test]
fn a_restore_that_fails_before_its_end_leaves_nothing_whatever_fate_it_has() {
    let mut client = doomed(Ending::FailsLate);
    let before = resources(&mut client);
    let mut more = new_machine("vm-a2");
    more["storageAccountId"] = json!(account("nowhere"));
    assert_eq!(trouble(&restore(&mut client, "vm-a", &more)), "Failed UserErrorBCMRestoreStorageAccountNotFound");
    assert_eq!(resources(&mut client), before);
}

#[test]
fn a_restore_with_warnings_is_done_or_is_not() {
    let mut done = doomed(Ending::Warns);
    assert_eq!(restore(&mut done, "vm-a", &new_machine("vm-a2"))["status"], "CompletedWithWarnings");
    assert_eq!(names(&mut done, TWO, "Microsoft.Compute/virtualMachines"), ["vm-a2"]);
    let mut undone = doomed(Ending::WarnsUndone);
    let before = undone.read(&vm("vm-a"))["properties"]["storageProfile"].clone();
    let ended = restore(&mut undone, "vm-a", &replacing());
    assert_eq!(trouble(&ended), "CompletedWithWarnings RestoreOperationFailed");
    assert_eq!(undone.read(&vm("vm-a"))["properties"]["storageProfile"], before, "a status that says less than it seems to");
}

#[test]
fn a_restore_that_is_stuck_stays_so_until_it_gets_another_fate() {
    let mut client = doomed(Ending::Sticks);
    let id = start(&mut client, "vm-a", &json!({}));
    client.wait(30 * 86_400);
    assert_eq!(job(&mut client, &id)["status"], "InProgress");
    client
        .azure
        .recovery_mut()
        .doom_restore(&id, azure_sim::recovery::Fate::Warns(azure_sim::recovery::Finding::restore_failed()))
        .unwrap();
    client.wait(7_200);
    assert_eq!(job(&mut client, &id)["status"], "Failed", "its point went meanwhile");
}

#[test]
fn the_old_fault_of_jobs_strikes_restores_too() {
    let mut client = world();
    client.azure.faults_mut().add(Rule::once("job", "POST", "*/restore", Fault::JobFailed { code: "UserErrorSkuNotAvailable".into() }));
    let ended = restore(&mut client, "vm-a", &json!({}));
    assert_eq!(trouble(&ended), "Failed UserErrorSkuNotAvailable");
}

fn cancel(client: &mut Client, id: &str) -> azure_sim::wire::WireReply {
    client.send("POST", &format!("{}/backupJobs/{id}/cancel", vault()), Value::Null)
}

#[test]
fn a_restore_is_cancelled_until_its_data_is_there() {
    let mut client = world();
    let id = start(&mut client, "vm-a", &json!({"targetResourceGroupId": null}));
    client.wait(300);
    assert_eq!(cancel(&mut client, &id).status, 202);
    assert_eq!(job(&mut client, &id)["status"], "Cancelling");
    client.wait(120);
    let ended = job(&mut client, &id);
    assert_eq!(
        (trouble(&ended).as_str(), &ended["extendedInfo"]["tasksList"][0]["status"]),
        ("Cancelled UserErrorJobSuccessfullyCancelled", &json!("Cancelled"))
    );
    assert!(!client.azure.world().blobs.contains_key(&account("stage").to_lowercase()));
    let again = cancel(&mut client, &id);
    assert_eq!((again.status, code(&again).as_str()), (400, "UserErrorJobCannotBeCancelled"));
    let late = start(&mut client, "vm-a", &new_machine("vm-a2"));
    client.wait(60);
    assert_eq!(cancel(&mut client, &late).status, 400, "once the machine is being made");
    client.wait(600);
    assert_eq!(job(&mut client, &late)["status"], "Completed");
}
