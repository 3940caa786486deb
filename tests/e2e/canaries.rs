//! Canary secrets: the client secret, the federated assertion and the tokens that the real operator handles, and texts with
//! secrets in them that Azure answers with, come out nowhere: not in logs, status, events, metrics nor the audit record.

use std::fs;
use std::time::Duration;

use breakwater_dev::http::Http;
use breakwater_dev::progress::Progress;
use breakwater_dev::stack::{NAMESPACE as SYSTEM, Settings, Stack};
use breakwater_tests::e2e::{self, NAMESPACE, policy};
use serde_json::json;

/// The secret of the estate's admin (crates/azure-sim/estates/shop.yaml).
const CLIENT: &str = "c11e0000-0000-4000-8000-000000000002";

fn estate_with_a_secret(dir: &std::path::Path, secret: &str) -> std::path::PathBuf {
    let shop = breakwater_dev::workspace::root().join("crates/azure-sim/estates/shop.yaml");
    let text = fs::read_to_string(shop).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with("secrets:")).expect("the estate holds a client secret");
    let path = dir.join("estate.yaml");
    fs::create_dir_all(dir).unwrap();
    let indent = &line[..line.len() - line.trim_start().len()];
    fs::write(&path, text.replace(line, &format!("{indent}secrets: [\"{secret}\"]"))).unwrap();
    path
}

/// Everything that somebody could read of it.
fn said(stack: &Stack) -> Vec<(&'static str, String)> {
    let operator = stack.operator();
    let (_, metrics) = Http::new().unwrap().get(&format!("{}/metrics", operator.health())).unwrap();
    let objects = stack.kubectl().run(&["get", "breakwater,events", "-A", "-o", "yaml"]).unwrap();
    vec![
        ("logs", operator.log_tail(100_000)),
        ("metrics", metrics),
        ("status and events", objects),
        ("the audit record", fs::read_to_string(operator.audit()).unwrap_or_default()),
    ]
}

#[test]
fn no_secret_that_the_operator_handles_or_hears_comes_out_of_it() {
    let secret = "CANARY8Q~client-secret-of-the-admin-0123456789";
    let estate_file = estate_with_a_secret(&e2e::dir("canaries-estate"), secret);
    let settings = Settings { estate_file, log_filter: "trace".into(), ..Settings::shop(e2e::dir("canaries"), e2e::CLOCK_FACTOR) };
    let stack = Stack::start(e2e::tools(), &settings, &Progress::start()).unwrap();
    let kubectl = stack.kubectl();
    kubectl.run(&["create", "secret", "generic", "azure-client-secret", "-n", SYSTEM, &format!("--from-literal=key={secret}")]).unwrap();
    let spec = json!({
        "tenantId": "72f988bf-0000-4000-8000-00000000000a", "namespaces": { "names": ["nobody"] },
        "identity": { "clientSecret": { "clientId": CLIENT, "secretRef": { "name": "azure-client-secret", "key": "key" } } },
        "allow": [{ "subscriptionId": e2e::SUBSCRIPTION, "resourceGroups": ["rg-shop"], "acts": ["Read"] }],
    });
    let access =
        json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "AzureAccess", "metadata": { "name": "by-secret" }, "spec": spec });
    kubectl.apply(&access.to_string()).unwrap();
    // A federated assertion, a token and a signed URL, as an error of Azure's might quote them.
    let token = format!("eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJCANARY{}.signature", "b".repeat(60));
    let text = format!("client_assertion={token} Bearer {token} https://a.blob.core.windows.net/c?sv=1&sig=CANARY%3D AccountKey=CANARY==");
    for (nth, (method, path)) in [("PUT", "*/vaults/*"), ("GET", "*/backupJobs"), ("POST", "*/backup")].into_iter().enumerate() {
        let fault = json!({ "status": { "status": 400, "code": "UserErrorSomething", "message": text } });
        let rule = json!({ "id": format!("canary-{nth}"), "match": { "method": method, "path": path, "count": 2 }, "fault": fault });
        stack.simulator().tell("/faults", &rule).unwrap();
    }
    for name in ["00-namespace.yaml", "10-azure-access.yaml", "20-recovery-vault.yaml"] {
        kubectl.apply(&e2e::sample(name)).unwrap();
    }
    kubectl.apply(&policy("web-01", "30d", "Now", "")).unwrap();
    // Refused with those words, it waits: an edit makes it try again at once.
    std::thread::sleep(Duration::from_secs(10));
    let stamp = ["annotate", "rvault", "main", "-n", NAMESPACE, "--overwrite"];
    kubectl.run(&[&stamp[..], &["breakwater.io/requested-at=now"]].concat()).unwrap();
    std::thread::sleep(Duration::from_secs(15));

    let got = kubectl.wait_until("a token by secret", Duration::from_secs(60), &["get", "azaccess", "by-secret"], |object| {
        (e2e::condition(object, "Ready")["status"] == "True").then_some(())
    });
    got.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)));
    let played = stack
        .simulator()
        .journal()
        .requests()
        .unwrap()
        .iter()
        .filter(|r| r["fault"].as_str().is_some_and(|f| f.contains("canary")))
        .count();
    assert!(played > 0, "Azure never said it");
    for (what, text) in said(&stack) {
        assert!(!text.is_empty(), "{what}: nothing to look at");
        let at = text.find("CANARY").or_else(|| text.find("eyJ0eXAi"));
        let around = at.map(|at| text.chars().skip(text[..at].chars().count().saturating_sub(300)).take(400).collect::<String>());
        assert!(around.is_none(), "{what} tell a secret: …{}…", around.unwrap_or_default());
    }
}
