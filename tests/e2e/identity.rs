//! Identity is checked, not believed: Entra's stand-in accepts the ServiceAccount that the estate trusts, signed by
//! this very cluster, and nobody else; and the shipped Azure roles are enough for reading and no more.

use breakwater_dev::progress::Progress;
use breakwater_dev::stack::{NAMESPACE, Settings, Stack};
use breakwater_tests::e2e;
use serde_json::Value;

const TENANT: &str = "72f988bf-0000-4000-8000-00000000000a";
const CLIENT: &str = "c11e0000-0000-4000-8000-000000000001";
const AUDIENCE: &str = "api://AzureADTokenExchange";

fn assertion(stack: &Stack, account: &str, audience: &str) -> String {
    let token = stack.kubectl().run(&["create", "token", account, "-n", NAMESPACE, "--audience", audience]);
    token.unwrap().trim().to_owned()
}

/// What Entra says to a federated assertion: status and body.
fn exchange(stack: &Stack, assertion: &str) -> (u16, Value) {
    let scope = "https%3A%2F%2Fmanagement.azure.com%2F.default";
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let form =
        format!("grant_type=client_credentials&client_id={CLIENT}&scope={scope}&client_assertion_type={kind}&client_assertion={assertion}");
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let (status, body) = stack.simulator().call("POST", &path, &headers, &form).unwrap();
    (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status}: {body}")))
}

#[test]
fn only_the_trusted_service_account_of_this_cluster_gets_a_token_and_only_for_what_its_roles_say() {
    let settings = Settings::shop(e2e::dir("identity"), e2e::CLOCK_FACTOR);
    let stack = Stack::start_without_operator(e2e::tools(), &settings, &Progress::start()).unwrap();
    let trusted = assertion(&stack, "azure-shop", AUDIENCE);
    let (status, body) = exchange(&stack, &trusted);
    assert_eq!(status, 200, "{body:#}");
    let bearer = format!("Bearer {}", body["access_token"].as_str().unwrap());

    let another_account = assertion(&stack, "breakwater-operator", AUDIENCE);
    let another_audience = assertion(&stack, "azure-shop", "api://somebody-else");
    let mut forged = trusted.clone();
    let middle = forged.rfind('.').unwrap() + 10;
    let letter = if forged.as_bytes()[middle] == b'A' { "B" } else { "A" };
    forged.replace_range(middle..=middle, letter);
    for (who, assertion) in [("another account", another_account), ("another audience", another_audience), ("a forged signature", forged)] {
        let (status, body) = exchange(&stack, &assertion);
        assert!(matches!(status, 400 | 401), "{who}: {status} {body:#}");
        assert!(body["access_token"].is_null(), "{who} got a token");
    }

    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let call = |method: &str, path: &str| {
        let (status, body) = stack.simulator().call(method, path, &headers, "{}").unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap_or(Value::Null))
    };
    let machine = format!("{}?api-version=2024-07-01", e2e::machine("web-01"));
    assert_eq!(call("GET", &machine).0, 200);
    let (status, refusal) = call("DELETE", &machine);
    assert_eq!((status, &refusal["error"]["code"]), (403, &Value::from("AuthorizationFailed")), "{refusal:#}");
    let development = "/subscriptions/50b50000-0000-4000-8000-000000000002/resourceGroups/rg-dev?api-version=2024-11-01";
    assert_eq!(call("GET", development).0, 403, "a subscription that nobody granted");
}
