//! Every way to be somebody, and what is said when it fails.

use std::sync::Arc;

use breakwater_arm::wire::{Method, Request};
use breakwater_engine::ports::{Arm, Cloud, Credential, Identity, SendError};

use super::router::{
    CLIENT, InProcess, SECRET_CANARY, Script, Source, TENANT, TOKEN_ANSWER, TOKEN_CANARY, identity, login_ok, with_secret,
};
use crate::{ArmHttp, Endpoints};

const SUB: &str = "/subscriptions/11111111-1111-1111-1111-111111111111";

struct Azure {
    doors: InProcess,
    source: Arc<Source>,
    client: ArmHttp,
}

fn azure(login: Script, arm: Script) -> Azure {
    let (doors, source) = (InProcess { login, arm }, Arc::new(Source::default()));
    let client = ArmHttp::with_http_client(Endpoints::default(), source.clone(), Arc::new(doors.clone()));
    Azure { doors, source, client }
}

fn get() -> Request {
    Request::new(Method::Get, SUB, "1")
}

/// Entra's refusal, in its own shape: escapes in the description, and (as no real one would) our secret in it.
fn refusal(code: u32) -> String {
    format!(
        r#"{{"error":"invalid_client","error_description":"AADSTS{code}: Refused {SECRET_CANARY} {TOKEN_CANARY} for the app.\r\nTrace ID: 5\r\nTimestamp: 6","error_codes":[{code}]}}"#
    )
}

#[tokio::test]
async fn a_secret_is_exchanged_once_and_its_token_is_kept() {
    let azure = azure(login_ok(), Script::default());
    for _ in 0..3 {
        assert_eq!(azure.client.call(&with_secret(), &get()).await.unwrap().status, 200);
    }
    assert_eq!((azure.doors.login.count(), azure.doors.arm.count()), (1, 3));
    assert_eq!(*azure.source.asked.lock().unwrap(), ["azure/key"]);
    let login = azure.doors.login.nth(0);
    assert_eq!(login.line, format!("Post https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
    assert!(login.body.contains("scope=https%3A%2F%2Fmanagement.azure.com%2F.default"), "{}", login.body);
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_token() {
    let azure = azure(login_ok(), Script::default());
    let (identity, request) = (with_secret(), get());
    let calls = (0..8).map(|_| azure.client.call(&identity, &request));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!((azure.doors.login.count(), azure.doors.arm.count()), (1, 8));
}

#[tokio::test]
async fn a_service_account_token_is_the_assertion() {
    let azure = azure(login_ok(), Script::default());
    let workload = identity(Credential::Workload { client_id: CLIENT.into(), service_account: "azure-production".into() });
    azure.client.call(&workload, &get()).await.unwrap();
    assert_eq!(*azure.source.asked.lock().unwrap(), ["azure-production"]);
    let login = azure.doors.login.nth(0);
    assert!(login.body.contains(&format!("client_assertion={TOKEN_CANARY}")) && login.body.contains("jwt-bearer"), "{}", login.body);
}

#[tokio::test]
async fn each_cloud_has_its_own_hosts_and_audience() {
    for (cloud, login_host, arm_host, audience) in [
        (Cloud::AzureUsGovernment, "login.microsoftonline.us", "management.usgovcloudapi.net", "management.core.usgovcloudapi.net"),
        (Cloud::AzureChina, "login.chinacloudapi.cn", "management.chinacloudapi.cn", "management.chinacloudapi.cn"),
    ] {
        let azure = azure(login_ok(), Script::default());
        azure.client.call(&Identity { cloud, ..with_secret() }, &get()).await.unwrap();
        assert!(azure.doors.login.nth(0).line.contains(login_host));
        assert!(azure.doors.login.nth(0).body.contains(audience));
        assert!(azure.doors.arm.nth(0).line.contains(arm_host));
    }
}

#[tokio::test]
async fn a_refused_token_names_its_code_and_identity_and_nothing_secret() {
    for code in [7000215, 700016, 700213, 90002] {
        let azure = azure(Script::of(&[(401, "application/json", &refusal(code))]), Script::default());
        let workload = identity(Credential::Workload { client_id: CLIENT.into(), service_account: "azure-production".into() });
        for identity in [with_secret(), workload] {
            let error = azure.client.call(&identity, &get()).await.unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(matches!(error, SendError::NoToken(_)), "{text}");
            assert!(text.contains(&format!("AADSTS{code}")) && text.contains(CLIENT) && text.contains(TENANT), "{text}");
            let secret_of_it = if matches!(identity.credential, Credential::ClientSecret { .. }) { SECRET_CANARY } else { TOKEN_CANARY };
            assert!(!text.contains(secret_of_it) && !text.contains(TOKEN_CANARY), "{text}");
        }
        assert_eq!(azure.doors.arm.count(), 0);
    }
}

#[tokio::test]
async fn a_changed_secret_is_picked_up() {
    let token = |body: &'static str, status| (status, "application/json", body);
    let refused = refusal(7000222);
    let expired = TOKEN_ANSWER.replace("3599", "1");
    let login =
        Script::of(&[token(Box::leak(expired.into_boxed_str()), 200), (401, "application/json", &refused), token(TOKEN_ANSWER, 200)]);
    let azure = azure(login, Script::default());
    azure.source.secrets.lock().unwrap().extend([Ok("first".to_owned()), Ok("second".to_owned())]);
    azure.client.call(&with_secret(), &get()).await.unwrap();
    azure.client.call(&with_secret(), &get()).await.unwrap();
    assert!(azure.doors.login.nth(1).body.contains("client_secret=first"));
    assert!(azure.doors.login.nth(2).body.contains("client_secret=second"));
    assert_eq!(azure.source.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_token_that_arm_does_not_take_is_not_used_again() {
    let azure = azure(
        login_ok(),
        Script::of(&[(401, "application/json", r#"{"error":{"code":"ExpiredAuthenticationToken"}}"#), (200, "application/json", "{}")]),
    );
    assert_eq!(azure.client.call(&with_secret(), &get()).await.unwrap().status, 401);
    assert_eq!(azure.client.call(&with_secret(), &get()).await.unwrap().status, 200);
    assert_eq!((azure.doors.login.count(), azure.doors.arm.count()), (2, 2));
}

#[tokio::test]
async fn a_login_that_is_down_is_not_a_refusal() {
    for status in [429, 500, 503] {
        let azure = azure(
            Script::of(&[(status, "application/json", r#"{"error":"temporarily_unavailable","error_description":"later"}"#)]),
            Script::default(),
        );
        let error = azure.client.call(&with_secret(), &get()).await.unwrap_err();
        assert!(matches!(error, SendError::NotSent(_)), "{error}");
        assert_eq!(azure.doors.login.count(), 1, "asked once, not eight times");
    }
}

#[tokio::test]
async fn a_missing_secret_or_service_account_says_which() {
    let azure = azure(login_ok(), Script::default());
    let workload = identity(Credential::Workload { client_id: CLIENT.into(), service_account: "azure-production".into() });
    for identity in [with_secret(), workload] {
        azure.source.secrets.lock().unwrap().push_back(Err("not found".to_owned()));
        let error = azure.client.call(&identity, &get()).await.unwrap_err();
        assert!(matches!(&error, SendError::NoToken(text) if text.contains("not found") && text.contains("azure")), "{error}");
    }
    assert_eq!(azure.doors.arm.count(), 0);
}

#[tokio::test]
async fn a_client_shows_nothing_secret() {
    let azure = azure(login_ok(), Script::default());
    azure.client.call(&with_secret(), &get()).await.unwrap();
    assert!(!format!("{:?}", azure.client).contains("CANARY"));
}
