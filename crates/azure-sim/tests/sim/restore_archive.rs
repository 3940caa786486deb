//! The archive: what may go there, and how a point comes back.

use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, code};

const DAY: i64 = 86_400;

/// A policy that keeps the point of every Sunday's first week for a year.
fn monthly() -> Value {
    let times = json!(["2026-01-01T16:30:00Z"]);
    json!({"properties": {"backupManagementType": "AzureIaasVM", "timeZone": "UTC", "instantRpRetentionRangeInDays": 2,
        "schedulePolicy": {"schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": times},
        "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy",
            "dailySchedule": {"retentionTimes": times, "retentionDuration": {"count": 7, "durationType": "Days"}},
            "monthlySchedule": {"retentionScheduleFormatType": "Daily", "retentionTimes": times,
                "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 1, "isLast": false}]},
                "retentionDuration": {"count": 12, "durationType": "Months"}}}}})
}

/// A world four months on, with monthly points.
fn old() -> Client {
    let mut client = empty("{}", &json!({}));
    client.send("PUT", &format!("{}/backupPolicies/monthly", vault()), monthly());
    let body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("vm-a"),
        "policyId": format!("{}/backupPolicies/monthly", vault())}});
    assert_eq!(client.send("PUT", &item("vm-a"), body).status, 202);
    for _ in 0..40 {
        client.wait(3 * DAY);
    }
    client
}

fn recommended(client: &mut Client, excluded: &Value) -> Vec<String> {
    let reply = client.send("POST", &format!("{}/recoveryPointsRecommendedForMove", item("vm-a")), json!({"excludedRPList": excluded}));
    assert_eq!(reply.status, 200, "{}", reply.json());
    reply.json()["value"].as_array().unwrap().iter().map(|point| point["id"].as_str().unwrap().replace(';', "%3B")).collect()
}

fn moving() -> Value {
    json!({"objectType": "MoveRPAcrossTiersRequest", "sourceTierType": "HardenedRP", "targetTierType": "ArchivedRP"})
}

/// Moves the oldest point that may go: its id.
fn archive(client: &mut Client) -> String {
    let id = recommended(client, &json!([])).pop().unwrap();
    let reply = client.send("POST", &format!("{id}/move"), moving());
    assert_eq!(reply.status, 202, "{}", reply.json());
    client.wait(3 * 3_600);
    id
}

fn tiers(client: &mut Client, id: &str) -> Vec<String> {
    let point = client.read(id);
    let tiers = point["properties"]["recoveryPointTierDetails"].as_array().unwrap();
    tiers.iter().map(|tier| format!("{} {}", tier["type"].as_str().unwrap(), tier["status"].as_str().unwrap())).collect()
}

fn rehydrating(priority: &str, days: i64) -> Value {
    json!({"objectType": "IaasVMRestoreWithRehydrationRequest",
        "recoveryPointRehydrationInfo": {"rehydrationPriority": priority, "rehydrationRetentionDuration": format!("P{days}D")}})
}

fn restore_of(client: &mut Client, id: &str, more: &Value) -> azure_sim::wire::WireReply {
    client.send("POST", &format!("{id}/restore"), asking("vm-a", more))
}

/// The newest restore job.
fn newest(client: &mut Client) -> Value {
    let list = client.read(&format!("{}/backupJobs?$filter=operation eq 'Restore'", vault()));
    let name = list["value"][0]["name"].as_str().unwrap().to_owned();
    job(client, &name)
}

#[test]
fn monthly_points_go_to_the_archive_after_three_months() {
    let mut client = old();
    let may = recommended(&mut client, &json!([]));
    assert_eq!(may.len(), 1, "of the first of December; later ones are too young: {may:?}");
    assert_eq!(recommended(&mut client, &json!([may[0].rsplit('/').next().unwrap()])), Vec::<String>::new());
    assert_eq!(client.read(&may[0])["properties"]["recoveryPointMoveReadinessInfo"]["ArchivedRP"]["isReadyForMove"], true);
    let young = point(&mut client, "vm-a");
    let refused = client.send("POST", &format!("{young}/move"), moving());
    assert_eq!((refused.status, code(&refused).as_str()), (400, "UserErrorRecoveryPointCannotBeMoved"));
    let id = archive(&mut client);
    assert_eq!(tiers(&mut client, &id), ["InstantRP Deleted", "HardenedRP Deleted", "ArchivedRP Valid"]);
    assert_eq!(recommended(&mut client, &json!([])), Vec::<String>::new());
    let jobs = client.read(&format!("{}/backupJobs", vault()));
    assert!(jobs["value"].as_array().unwrap().iter().any(|job| job["properties"]["operation"] == "MoveRecoveryPoint"));
}

#[test]
fn the_request_of_a_move_may_leave_its_type_out_but_names_no_other() {
    let mut client = old();
    let id = recommended(&mut client, &json!([])).remove(0);
    let tiers = json!({"sourceTierType": "HardenedRP", "targetTierType": "ArchivedRP"});
    let mut other = tiers.clone();
    other["objectType"] = json!("IaasVMRestoreRequest");
    assert_eq!(client.send("POST", &format!("{id}/move"), other).status, 400);
    assert_eq!(client.send("POST", &format!("{id}/move"), tiers).status, 202, "as azure-cli sends it");
}

#[test]
fn an_archived_point_is_restored_when_it_was_brought_back() {
    for (priority, soon, late) in [("High", 3_600, 3 * 3_600), ("Standard", 10 * 3_600, 18 * 3_600)] {
        let mut client = old();
        let id = archive(&mut client);
        let refused = restore_of(&mut client, &id, &json!({}));
        assert_eq!((refused.status, code(&refused).as_str()), (400, "UserErrorRecoveryPointInArchiveTier"));
        assert_eq!(restore_of(&mut client, &id, &rehydrating(priority, 12)).status, 202);
        client.wait(soon / 4);
        assert_eq!(newest(&mut client)["status"], "InProgress", "{priority}");
        assert_eq!(tiers(&mut client, &id)[2], "ArchivedRP Valid");
        client.wait(late);
        assert_eq!(newest(&mut client)["status"], "Completed", "{priority}: {}", newest(&mut client));
        assert_eq!(tiers(&mut client, &id)[2], "ArchivedRP Rehydrated");
        assert!(client.read(&id)["properties"]["recoveryPointTierDetails"][2]["extendedInfo"]["RehydratedRPExpiryTime"].is_string());
        assert_eq!(restore_of(&mut client, &id, &json!({})).status, 202, "as any other, while it lasts");
        client.wait(12 * DAY);
        assert_eq!(tiers(&mut client, &id)[2], "ArchivedRP Valid");
        assert_eq!(restore_of(&mut client, &id, &json!({})).status, 400);
    }
}

#[test]
fn files_of_an_archived_point_are_not_recovered() {
    let mut client = old();
    let id = archive(&mut client);
    let body = json!({"properties": {"objectType": "IaasVMILRRegistrationRequest", "virtualMachineId": vm("vm-a")}});
    assert_eq!(code(&client.send("POST", &format!("{id}/provisionInstantItemRecovery"), body)), "UserErrorRecoveryPointInArchiveTier");
}

#[test]
fn only_archived_points_are_rehydrated_and_only_from_the_vault_to_the_archive_is_moved() {
    let mut client = old();
    let id = recommended(&mut client, &json!([])).remove(0);
    assert_eq!(restore_of(&mut client, &id, &rehydrating("High", 10)).status, 400);
    let back = json!({"objectType": "MoveRPAcrossTiersRequest", "sourceTierType": "ArchivedRP", "targetTierType": "HardenedRP"});
    assert_eq!(client.send("POST", &format!("{id}/move"), back).status, 400);
    let stop = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": vm("vm-a"),
        "policyId": "", "protectionState": "ProtectionStopped"}});
    client.send("PUT", &item("vm-a"), stop);
    client.wait(60);
    assert_eq!(recommended(&mut client, &json!([])), Vec::<String>::new(), "points of a stopped item stay");
}
