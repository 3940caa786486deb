//! The zoo of error bodies, and what each asks of us.

use serde_json::json;

use super::*;

fn answer(status: u16, body: Value) -> Answer {
    Answer { status, body, ..Answer::default() }
}

fn error(status: u16, code: &str, message: &str) -> ArmError {
    ArmError::from_answer(&answer(status, json!({"error": {"code": code, "message": message}})))
}

#[test]
fn every_recorded_shape_gives_its_code_and_message() {
    let cases = [
        (json!({"error": {"code": "A", "message": "m"}}), "A", "m"),
        (json!({"error": {"code": "A", "message": "m", "target": null, "details": null, "innerError": null}}), "A", "m"),
        (json!({"code": "A", "message": "m"}), "A", "m"),
        (json!({"Error": {"Code": "A", "Target": null, "Message": "m", "Details": null}}), "A", "m"),
        (json!({"ErrorCode": "A", "Message": {"Language": "en-US", "Value": "m"}, "Values": []}), "A", "m"),
        (json!({"Message": "m"}), "", "m"),
        (json!({"error": "m"}), "", "m"),
        (json!({"odata.error": {"code": "A", "message": {"lang": "en", "value": "m"}}}), "A", "m"),
        (json!([{"code": "A", "message": "m"}, {"code": "B", "message": "n"}]), "A", "m"),
        (json!({"type": "https://tools.ietf.org/html/rfc9110", "title": "m", "status": 400, "traceId": "t"}), "", "m"),
        (json!({"error": {"code": "429", "message": "m"}}), "429", "m"),
        (json!({"error": {"code": 500, "message": ""}}), "500", ""),
        (json!({"error": {"code": "A", "message": "m", "details": "text"}}), "A", "m"),
        (json!({"raw": "<html>no</html>"}), "", ""),
        (Value::Null, "", ""),
    ];
    for (body, code, message) in cases {
        let got = ArmError::from_answer(&answer(500, body.clone()));
        assert_eq!((got.code.as_str(), got.message.as_str()), (code, message), "{body}");
        assert!(!got.to_string().is_empty());
    }
}

#[test]
fn inner_errors_are_found_however_deep() {
    let body = json!({"error": {"code": "InvalidTemplateDeployment", "message": "see details",
        "details": [{"code": "Outer", "message": "o", "details": [{"code": "QuotaExceeded", "message": "Current Limit: 100"}]}]}});
    let got = ArmError::from_answer(&answer(400, body));
    assert!(got.has_code("quotaexceeded"));
    assert_eq!(remedy(Service::Compute, Method::Put, &got), Remedy::AwaitHuman);
    let text = ArmError::from_answer(&answer(400, json!({"error": {"code": "A", "details": "what went wrong"}})));
    assert_eq!(text.details[0].message, "what went wrong");
}

#[test]
fn throttling_tells_its_seconds_in_the_message_when_the_header_is_missing() {
    let message = "exceeded the limit of '150' for time interval '01:00:00'. Please try again after '324' seconds.";
    assert_eq!(error(429, "ResourceRequestsThrottled", message).retry_after, Some(Duration::from_secs(324)));
    let mut with_header = answer(429, json!({"error": {"code": "x", "message": message}}));
    with_header.headers.insert("retry-after".into(), "7".into());
    assert_eq!(ArmError::from_answer(&with_header).retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn what_stands_in_the_way_is_named() {
    let denied = error(
        403,
        "AuthorizationFailed",
        "The client 'u' with object id 'o' does not have authorization to perform action 'Microsoft.Compute/virtualMachines/read' over scope '/subscriptions/s' or the scope is invalid.",
    );
    assert_eq!(denied.missing_right(), Some(("Microsoft.Compute/virtualMachines/read", "/subscriptions/s")));
    let linked = error(
        403,
        "LinkedAuthorizationFailed",
        "The client has permission to perform action 'A' on scope 'S'; however, it does not have permission to perform action(s) 'B' on the linked scope(s) 'L' (respectively) or the linked scope(s) are invalid.",
    );
    assert_eq!(linked.missing_right(), Some(("B", "L")));
    let one = error(
        403,
        "LinkedAuthorizationFailed",
        "The client has permission to perform action 'A' on scope 'S'; however, it does not have permission to perform action 'B' on the linked scope 'L'.",
    );
    assert_eq!(one.missing_right(), Some(("B", "L")));
    let foreign = error(
        403,
        "LinkedAuthorizationFailed",
        "The client has permission to perform action 'A' on scope 'S', however the current tenant 'T' is not authorized to access linked subscription 'L'.",
    );
    assert_eq!(foreign.missing_right(), Some(("A", "L")));
    let locked = error(
        409,
        "ScopeLocked",
        "The scope '/s/r' cannot perform delete operation because following scope(s) are locked: '/s/r,/s'. Please remove the lock and try again.",
    );
    assert_eq!(locked.locked_scopes(), ["/s/r", "/s"]);
    let policy = ArmError::from_answer(&answer(
        403,
        json!({"error": {"code": "RequestDisallowedByPolicy", "message": "no", "target": "v",
        "additionalInfo": [{"type": "PolicyViolation", "info": {"policyAssignmentName": "only-zrs"}}]}}),
    ));
    assert_eq!(policy.policy_assignment.as_deref(), Some("only-zrs"));
    assert!(policy.to_string().contains("only-zrs"));
}

#[test]
fn a_sentence_is_bounded_and_holds_nothing_secret() {
    let token = format!("eyJ{}.x.y", "a".repeat(60));
    let got = error(400, "BadRequest", &format!("line\r\nBearer {token} https://h/x?sig=CANARY {}", "long ".repeat(1000)));
    for text in [got.to_string(), format!("{got:?}")] {
        assert!(!text.contains("CANARY") && !text.contains(&token), "{text}");
    }
    assert!(got.to_string().len() <= MAX_SENTENCE && !got.to_string().contains('\r'));
}

#[test]
fn each_error_asks_one_thing() {
    use Remedy::{AwaitEdit, AwaitHuman, RetrySlowly};
    let retry = Remedy::Retry { after: None };
    let cases = [
        (Service::RecoveryServices, 429, "ResourceRequestsThrottled", retry),
        (Service::RecoveryServices, 500, "CloudInternalError", retry),
        (Service::RecoveryServices, 504, "GatewayTimeout", retry),
        (Service::RecoveryServices, 400, "BMSUserErrorInvalidPolicyInput", AwaitEdit),
        (Service::RecoveryServices, 400, "ServiceResourceNotEmptyWithBackendMessage", RetrySlowly),
        (Service::Compute, 400, "ServiceResourceNotEmptyWithBackendMessage", AwaitEdit),
        (Service::RecoveryServices, 400, "CloudDosAbsoluteLimitReached", AwaitHuman),
        (Service::RecoveryServices, 400, "CloudDosTimeboudLimitReached", RetrySlowly),
        (Service::Network, 400, "NicInUse", RetrySlowly),
        (Service::Compute, 400, "NicInUse", AwaitEdit),
        (Service::Compute, 400, "InvalidParameter", AwaitEdit),
        (Service::Resources, 401, "ExpiredAuthenticationToken", retry),
        (Service::Resources, 401, "InvalidAuthenticationTokenTenant", AwaitHuman),
        (Service::Resources, 403, "AuthorizationFailed", AwaitHuman),
        (Service::Resources, 404, "ResourceGroupNotFound", AwaitHuman),
        (Service::Resources, 404, "ResourceNotFound", RetrySlowly),
        (Service::Network, 409, "AnotherOperationInProgress", retry),
        (Service::RecoveryServices, 409, "SomethingNew", retry),
        (Service::Compute, 409, "PropertyChangeNotAllowed", AwaitEdit),
        (Service::RecoveryServices, 409, "ScopeLocked", AwaitHuman),
        (Service::RecoveryServices, 409, "MissingSubscriptionRegistration", AwaitHuman),
        (Service::Compute, 409, "OperationNotAllowed", RetrySlowly),
        (Service::Resources, 412, "PreconditionFailed", retry),
        (Service::Resources, 405, "", AwaitHuman),
    ];
    for (service, status, code, wanted) in cases {
        assert_eq!(remedy(service, Method::Put, &error(status, code, "")), wanted, "{service:?} {status} {code}");
    }
    let quota = error(
        409,
        "OperationNotAllowed",
        "Operation could not be completed as it results in exceeding approved Total Regional Cores quota.",
    );
    assert_eq!(remedy(Service::Compute, Method::Put, &quota), AwaitHuman);
}

#[test]
fn only_a_whole_4xx_proves_that_nothing_happened() {
    for (status, refused, unknown) in [
        (200, false, false),
        (202, false, false),
        (400, true, false),
        (408, false, true),
        (429, true, false),
        (499, true, false),
        (500, false, true),
        (504, false, true),
    ] {
        assert_eq!((whole_refusal(status), outcome_unknown(status)), (refused, unknown), "{status}");
    }
}

#[test]
fn an_answer_shows_a_resource_with_its_id_and_its_properties_alone() {
    let vault: ResourceId =
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.RecoveryServices/vaults/v"
            .parse()
            .unwrap();
    let subscription = vault.ancestor("Microsoft.Resources/subscriptions").unwrap();
    let odd = vault.child("things", "Ünïcode").unwrap();
    let upper = vault.to_string().replace("/rg/", "/RG/");
    for (body, of, wanted) in [
        (json!({ "id": upper, "properties": {} }), &vault, true),
        (json!({ "id": odd.to_string().to_lowercase(), "properties": {} }), &odd, true),
        (json!({ "id": vault, "properties": null }), &vault, false),
        (json!({ "id": vault }), &vault, false),
        (json!({ "properties": {} }), &vault, false),
        (json!({ "id": subscription, "properties": {} }), &vault, false),
        (json!({ "id": subscription }), &subscription, true),
        (json!({ "raw": "<html>" }), &subscription, false),
        (Value::Null, &subscription, false),
    ] {
        assert_eq!(shows(&answer(200, body.clone()), of), wanted, "{body}");
    }
}

#[test]
fn a_backup_whose_machine_is_gone_is_not_absent() {
    let gone = json!({"error": {"code": "ResourceNotFound", "message": "Could not perform the operation as VM no longer exists."}});
    assert!(!says_absent(&answer(404, gone)));
    assert!(says_absent(&answer(404, json!({"error": {"code": "ResourceNotFound", "message": "The Resource was not found."}}))));
}
