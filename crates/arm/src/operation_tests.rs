//! The table of operation answers.

use serde_json::json;

use super::*;

const V: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v";
const GUID: &str = "22222222-2222-2222-2222-222222222222";

const WEU: &str = "/subscriptions/11111111-1111-1111-1111-111111111111/providers/Microsoft.RecoveryServices/locations/westeurope";
const CRR: &str = "ODk5NDc5ODY2MTgyNDU2ODI5MjszZDgwOGJjOC00NmZhLTQ2OGYtODNiMS0zN2JlYzFiZTIzNzU=";

fn answer(status: u16, headers: &[(&str, String)], body: Value) -> Answer {
    Answer { status, headers: headers.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(), body }
}

#[test]
fn a_link_gives_its_family_and_id() {
    let host = "https://management.azure.com";
    let item = format!("{V}/backupFabrics/Azure/protectionContainers/c/protectedItems/i");
    let cases = [
        (format!("{host}{item}/operationsStatus/{GUID}?api-version=1&t=x&c={}", "c".repeat(4000)), Some((Family::Backup, GUID))),
        (format!("{host}{item}/operationResults/{GUID}?api-version=1"), Some((Family::Backup, GUID))),
        (format!("{host}{V}/backupOperations/{GUID}?api-version=1"), Some((Family::Backup, GUID))),
        (format!("{host}{V}/backupFabrics/Azure/operationsStatus/{GUID}?api-version=1"), Some((Family::Backup, GUID))),
        (format!("{host}{V}/backupPolicies/p/operations/{GUID}?api-version=1"), Some((Family::Backup, GUID))),
        (format!("{host}{V}/operationStatus/MjA0NztmZg==?api-version=1"), Some((Family::Vault, "MjA0NztmZg=="))),
        (format!("{host}{V}/operationResults/MTAyMztmZg%3D%3D?api-version=1"), Some((Family::Vault, "MTAyMztmZg=="))),
        (format!("{host}{V}/backupValidateOperationsStatuses/{GUID}?api-version=1"), Some((Family::Validation, GUID))),
        (format!("{host}{V}/backupValidateOperationResults/{GUID}?api-version=1"), Some((Family::Validation, GUID))),
        (format!("{host}{V}/backupJobs/j/operationResults/{GUID}?api-version=1"), Some((Family::Backup, GUID))),
        (format!("{host}{WEU}/backupCrrOperationsStatus/{CRR}?api-version=1&t=x"), Some((Family::CrossRegion, CRR))),
        (format!("{host}{WEU}/backupCrrOperationResults/{CRR}?api-version=1&t=x"), Some((Family::CrossRegion, CRR))),
        (format!("{host}{V}/replicationJobs/{GUID}?api-version=1"), Some((Family::SiteRecovery, GUID))),
        (format!("{host}/subscriptions/x/providers/Microsoft.Compute/locations/l/operations/{GUID}?p=1"), Some((Family::Arm, GUID))),
        (format!("{host}/subscriptions/x/operationresults/{}", "e".repeat(129)), None),
    ];
    for (link, wanted) in cases {
        let accepted = Accepted::from_answer(&answer(202, &[("azure-asyncoperation", link.clone())], Value::Null)).unwrap();
        let got = accepted.handle.as_ref().map(|h| (h.family(), h.id()));
        assert_eq!(got, wanted, "{link}");
        assert_eq!(accepted.poll.as_deref(), Some(link.as_str()));
    }
}

#[test]
fn an_answer_is_accepted_or_done() {
    let link = || format!("https://h{V}/backupOperations/{GUID}");
    let state = |s: &str| json!({"properties": {"provisioningState": s}});
    assert_eq!(Accepted::from_answer(&answer(200, &[], state("Succeeded"))), None);
    assert_eq!(Accepted::from_answer(&answer(204, &[], Value::Null)), None);
    assert_eq!(Accepted::from_answer(&answer(200, &[("location", link())], Value::Null)), None, "a Location counts on a 202 only");
    assert_eq!(Accepted::from_answer(&answer(409, &[("location", link())], Value::Null)), None);
    let follow = Accepted::from_answer(&answer(201, &[("retry-after", "10".into())], state("Creating"))).unwrap();
    assert_eq!(follow, Accepted { handle: None, poll: None, retry_after: Some(Duration::from_secs(10)) });
    let bare = Accepted::from_answer(&answer(202, &[], Value::Null)).unwrap();
    assert_eq!(bare.handle, None);
    let async_first = answer(202, &[("azure-asyncoperation", link()), ("location", "https://h/other".into())], Value::Null);
    assert_eq!(Accepted::from_answer(&async_first).unwrap().poll, Some(link()));
}

#[test]
fn a_handle_polls_without_its_link_where_the_service_allows_it() {
    let item: ResourceId = format!("{V}/backupFabrics/Azure/protectionContainers/c/protectedItems/i").parse().unwrap();
    let fabric: ResourceId = format!("{V}/backupFabrics/Azure").parse().unwrap();
    let path = |family, target: &ResourceId| poll_request(&Handle::new(family, GUID).unwrap(), target).map(|r| r.path);
    assert_eq!(path(Family::Backup, &item), Some(format!("{V}/backupOperations/{GUID}")));
    assert_eq!(path(Family::Backup, &fabric), Some(format!("{V}/backupFabrics/Azure/operationResults/{GUID}")));
    let policy: ResourceId = format!("{V}/backupPolicies/p").parse().unwrap();
    assert_eq!(path(Family::Backup, &policy), Some(format!("{policy}/operations/{GUID}")));
    assert_eq!(path(Family::Vault, &V.parse().unwrap()), Some(format!("{V}/operationStatus/{GUID}")));
    let job: ResourceId = format!("{V}/backupJobs/j").parse().unwrap();
    assert_eq!(path(Family::Backup, &job), Some(format!("{job}/operationResults/{GUID}")));
    let point = item.child("recoveryPoints", "1").unwrap();
    assert_eq!(path(Family::Backup, &point), Some(format!("{V}/backupOperations/{GUID}")));
    assert_eq!(path(Family::Validation, &V.parse().unwrap()), Some(format!("{V}/backupValidateOperationsStatuses/{GUID}")));
    let location: ResourceId = WEU.parse().unwrap();
    assert_eq!(path(Family::CrossRegion, &location), Some(format!("{WEU}/backupCrrOperationsStatus/{GUID}")));
    let crr = poll_request(&Handle::new(Family::CrossRegion, CRR).unwrap(), &location).unwrap();
    assert_eq!(crr.query, [("api-version".to_owned(), RECOVERY_SERVICES_CROSS_REGION.to_owned())]);
    for (family, target) in
        [(Family::Arm, &item), (Family::CrossRegion, &item), (Family::Validation, &location), (Family::Backup, &location)]
    {
        assert_eq!(path(family, target), None, "{family:?} {target}");
    }
}

#[test]
fn every_poll_by_a_handle_is_a_read_of_the_table() {
    let point: ResourceId = format!("{V}/backupFabrics/Azure/protectionContainers/c/protectedItems/i/recoveryPoints/1").parse().unwrap();
    let targets = [point, format!("{V}/backupFabrics/Azure").parse().unwrap(), format!("{V}/backupJobs/j").parse().unwrap()];
    let targets = targets.into_iter().chain([V.parse().unwrap(), format!("{V}/backupPolicies/p").parse().unwrap(), WEU.parse().unwrap()]);
    for target in targets {
        for family in [Family::Backup, Family::Vault, Family::Validation, Family::CrossRegion] {
            let Some(request) = poll_request(&Handle::new(family, GUID).unwrap(), &target) else { continue };
            let class = crate::classify(request.method, &request.path, None);
            assert_eq!(class.map(|c| (c.act, c.effect)), Some((crate::Act::Read, crate::Effect::Read)), "{}", request.path);
        }
    }
}

#[test]
fn a_restore_in_the_other_region_names_its_job() {
    let body = json!({
        "id": format!("{WEU}/backupCrrOperationsStatus/{CRR}"), "name": CRR, "status": "Succeeded",
        "startTime": "2024-04-28T07:28:38.2093068Z", "endTime": "2024-04-28T07:28:38Z",
        "properties": {"objectType": "OperationStatusJobExtendedInfo", "jobId": GUID}
    });
    let status = OperationStatus::parse(&answer(200, &[], body)).unwrap();
    assert_eq!((status.state, status.job_id.as_deref()), (OperationState::Succeeded, Some(GUID)));
    let own = json!({"ErrorCode": "CloudInternalError", "Message": {"Language": "en-US", "Value": "late"}, "Values": []});
    assert_eq!(OperationStatus::parse(&answer(500, &[], own)).unwrap_err().status, 500, "it says nothing about the operation");
}

#[test]
fn every_way_to_say_how_it_stands() {
    use OperationState::{Canceled, Gone, InProgress, Succeeded};
    let failed = |code: &str, message: &str| OperationState::Failed { code: code.into(), message: message.into() };
    let cases = [
        (200, json!({"status": "InProgress", "endTime": "0001-01-01T00:00:00"}), InProgress),
        (200, json!({"status": "Accepted"}), InProgress),
        (200, json!({"status": "somethingNew"}), InProgress),
        (200, json!({"status": "Succeeded", "properties": {"jobId": GUID}}), Succeeded),
        (200, json!({"status": "cancelled"}), Canceled),
        (
            200,
            json!({"status": "Failed", "error": {"code": "OSProvisioningTimedOut", "message": "late"}}),
            failed("OSProvisioningTimedOut", "late"),
        ),
        (202, Value::Null, InProgress),
        (204, Value::Null, Succeeded),
        (200, Value::Null, Succeeded),
        (200, json!({"id": V, "properties": {"provisioningState": "Updating"}}), InProgress),
        (200, json!({"id": V, "properties": {"provisioningState": "Succeeded"}}), Succeeded),
        (200, json!({"accessSAS": "x"}), Succeeded),
        (404, Value::Null, Gone),
        (409, json!({"Error": {"Code": "ResourceGroupDeletionBlocked", "Message": "no"}}), failed("ResourceGroupDeletionBlocked", "no")),
    ];
    for (status, body, wanted) in cases {
        let got = OperationStatus::parse(&answer(status, &[], body.clone())).unwrap();
        assert_eq!(got.state, wanted, "{status} {body}");
    }
    for status in [401, 403, 408, 429, 500, 503, 504] {
        assert_eq!(OperationStatus::parse(&answer(status, &[], Value::Null)).unwrap_err().status, status);
    }
}

#[test]
fn the_job_and_the_next_link_are_told() {
    let done = OperationStatus::parse(&answer(200, &[], json!({"status": "Succeeded", "properties": {"jobId": GUID}}))).unwrap();
    assert_eq!(done.job_id.as_deref(), Some(GUID));
    let running = OperationStatus::parse(&answer(202, &[("location", "https://h/next".into())], Value::Null)).unwrap();
    assert_eq!(running.next_poll.as_deref(), Some("https://h/next"));
}

#[test]
fn a_handle_never_holds_a_url() {
    assert!(matches!(Handle::new(Family::Arm, "x".repeat(129)), Err(HandleError::TooLong(129))));
    assert!(Handle::new(Family::Arm, "https://h/x?sig=1").is_err());
    assert!(serde_json::from_value::<Handle>(json!({"family": "Backup", "id": "../x"})).is_err());
    let handle = Handle::new(Family::Backup, GUID).unwrap();
    assert_eq!(serde_json::from_value::<Handle>(serde_json::to_value(&handle).unwrap()).unwrap(), handle);
}

#[test]
fn what_cannot_be_the_name_of_a_job_is_none() {
    let named = |id: &str| {
        let body = json!({ "status": "Succeeded", "properties": { "jobId": id } });
        OperationStatus::parse(&answer(200, &[], body)).map(|status| status.job_id)
    };
    assert_eq!(named(GUID).unwrap().as_deref(), Some(GUID));
    for odd in ["", "../x", "a b", &"a".repeat(65)] {
        assert_eq!(named(odd).unwrap(), None, "{odd}");
    }
}
