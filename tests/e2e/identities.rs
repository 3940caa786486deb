//! The four identities of an AzureAccess: each gets its token and looks at its subscription; one that cannot says why.

use std::time::Duration;

use breakwater_dev::progress::Progress;
use breakwater_dev::stack::{NAMESPACE, Settings, Stack};
use breakwater_tests::e2e::{self, SUBSCRIPTION, condition};
use serde_json::{Value, json};

const SECRET: &str = "azure-sim-admin-secret";

/// An access of that identity to the shop's subscription.
fn access(name: &str, identity: &Value) -> String {
    let spec = json!({
        "tenantId": "72f988bf-0000-4000-8000-00000000000a", "identity": identity, "namespaces": { "names": ["shop"] },
        "allow": [{ "subscriptionId": SUBSCRIPTION, "resourceGroups": ["rg-shop"], "acts": ["Read"] }],
    });
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "AzureAccess", "metadata": { "name": name }, "spec": spec }).to_string()
}

/// The shop's estate, whose application also trusts the operator's own ServiceAccount.
fn estate_that_trusts_the_pod(dir: &std::path::Path) -> std::path::PathBuf {
    let shop = breakwater_dev::workspace::root().join("crates/azure-sim/estates/shop.yaml");
    let text = std::fs::read_to_string(shop).unwrap();
    let account = "subject: system:serviceaccount:breakwater-system:azure-shop\n        audience: api://AzureADTokenExchange\n";
    assert!(text.contains(account), "the shop's estate has another shape by now");
    let both = format!(
        "{account}      - issuer: ${{ISSUER}}\n        subject: system:serviceaccount:breakwater-system:breakwater-operator\n        audience: api://AzureADTokenExchange\n"
    );
    let path = dir.join("estate.yaml");
    std::fs::create_dir_all(dir).unwrap();
    // Its roles are looked for beside the file and above.
    std::fs::write(&path, text.replace(account, &both)).unwrap();
    path
}

fn secret(stack: &Stack, name: &str, value: &str) {
    stack.kubectl().run(&["create", "secret", "generic", name, "-n", NAMESPACE, &format!("--from-literal=key={value}")]).unwrap();
}

fn told(stack: &Stack, name: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let get = ["get", "azaccess", name];
    let seen = stack.kubectl().wait_until(what, Duration::from_secs(90), &get, |access| done(access).then(|| access.clone()));
    seen.unwrap_or_else(|error| panic!("{name}: {error:#}\noperator: {}", stack.operator().log_tail(30)))
}

#[test]
fn each_of_the_four_identities_gets_its_token_and_one_that_cannot_says_why() {
    let estate_file = estate_that_trusts_the_pod(&e2e::dir("identities-estate"));
    let settings = Settings { estate_file, ..Settings::shop(e2e::dir("identities"), e2e::CLOCK_FACTOR) };
    let mut stack = Stack::start_without_operator(e2e::tools(), &settings, &Progress::start()).unwrap();
    let kubectl = stack.kubectl();
    let audience = "api://AzureADTokenExchange";
    let pod = kubectl.run(&["create", "token", "breakwater-operator", "-n", NAMESPACE, "--audience", audience]).unwrap();
    let token_file = settings.dir.join("projected-token");
    std::fs::write(&token_file, pod.trim()).unwrap();
    let endpoint = format!("{}/metadata/identity/oauth2/token", stack.simulator().https());
    let env = [("AZURE_FEDERATED_TOKEN_FILE", token_file.to_str().unwrap()), ("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", "h")];
    stack.start_operator_in(&env, &[]).unwrap();
    // The shipped Role lets it read this one Secret; others are granted by name.
    secret(&stack, "azure-client-secret", SECRET);
    let names = json!([{ "op": "add", "path": "/rules/3/resourceNames/-", "value": "wrong" }]).to_string();
    kubectl.run(&["patch", "role", "breakwater-operator", "-n", NAMESPACE, "--type=json", "-p", &names]).unwrap();
    let (app, admin, node) =
        ("c11e0000-0000-4000-8000-000000000001", "c11e0000-0000-4000-8000-000000000002", "c11e0000-0000-4000-8000-000000000004");
    let identities = [
        ("workload", json!({ "workload": { "clientId": app, "serviceAccount": "azure-shop" } })),
        ("operator", json!({ "operator": { "clientId": app } })),
        ("managed", json!({ "managed": { "clientId": node } })),
        ("secret", json!({ "clientSecret": { "clientId": admin, "secretRef": { "name": "azure-client-secret", "key": "key" } } })),
    ];
    for (name, identity) in &identities {
        kubectl.apply(&access(name, identity)).unwrap();
    }
    for (name, _) in &identities {
        told(&stack, name, "a token and a look", |access| condition(access, "Ready")["status"] == "True");
    }

    let missing = json!({ "clientSecret": { "clientId": admin, "secretRef": { "name": "nowhere", "key": "key" } } });
    let stranger = json!({ "workload": { "clientId": admin, "serviceAccount": "azure-shop" } });
    secret(&stack, "wrong", "not-the-secret");
    let wrong = json!({ "clientSecret": { "clientId": admin, "secretRef": { "name": "wrong", "key": "key" } } });
    let malformed = json!([{ "op": "add", "path": "/data/empty", "value": "" }, { "op": "add", "path": "/data/binary", "value": "/wD/" }]);
    kubectl.run(&["patch", "secret", "wrong", "-n", NAMESPACE, "--type=json", "-p", &malformed.to_string()]).unwrap();
    let of_key = |key: &str| json!({ "clientSecret": { "clientId": admin, "secretRef": { "name": "wrong", "key": key } } });
    let no_text = "has no text under the key";
    for (name, identity, names) in [
        ("missing", missing, "add its name to the resourceNames"),
        ("stranger", stranger, "AADSTS"),
        ("wrong", wrong, "AADSTS"),
        ("absent", of_key("absent"), no_text),
        ("empty", of_key("empty"), no_text),
        ("binary", of_key("binary"), no_text),
    ] {
        kubectl.apply(&access(name, &identity)).unwrap();
        let access = told(&stack, name, "a refusal", |access| condition(access, "Ready")["reason"] == "TokenRefused");
        let message = condition(&access, "Ready")["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(names) && message.contains(admin), "{name}: {message}");
        assert_eq!(condition(&access, "Stalled")["status"], "True", "{name}: {access:#}");
    }
    let log = stack.operator().log_tail(10_000);
    let everything = kubectl.run(&["get", "azaccess,events", "-A", "-o", "yaml"]).unwrap();
    for secret in [SECRET, "not-the-secret", pod.trim()] {
        assert!(!log.contains(secret) && !everything.contains(secret), "a secret is told");
    }
}
