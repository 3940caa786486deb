//! `mode: Observe` reports and sends nothing; `requested-at` forces a turn; the operator says how it is.

use std::thread;
use std::time::Duration;

use breakwater_dev::http::Http;
use breakwater_tests::e2e::{self, NAMESPACE};
use serde_json::json;

#[test]
fn an_observed_vault_is_reported_and_not_touched_and_a_request_is_echoed() {
    let stack = e2e::stack("observe");
    e2e::vault(&stack);
    let kubectl = stack.kubectl();
    let change = r#"{"spec":{"mode":"Observe","tags":{"cost-center":"other"}}}"#;
    kubectl.run(&["patch", "rvault", "main", "-n", NAMESPACE, "--type=merge", "-p", change]).unwrap();
    let before = stack.simulator().journal().writes().unwrap().len();
    kubectl.run(&["annotate", "rvault", "main", "-n", NAMESPACE, "breakwater.io/requested-at=now-please"]).unwrap();
    let get = ["get", "rvault", "main", "-n", NAMESPACE];
    let seen = kubectl.wait_until("the echo", Duration::from_secs(60), &get, |vault| {
        (vault["status"]["lastHandledRequest"] == "now-please").then(|| vault.clone())
    });
    let seen = seen.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)));
    assert_eq!(seen["status"]["observedGeneration"], seen["metadata"]["generation"], "{seen:#}");
    thread::sleep(Duration::from_secs(5));
    assert_eq!(stack.simulator().journal().writes().unwrap().len(), before, "Observe sends nothing");

    // What stands still is not written: ten minutes of world time go by.
    let version = |object: &serde_json::Value| object["metadata"]["resourceVersion"].clone();
    let settled = version(&kubectl.json(&get).unwrap());
    thread::sleep(Duration::from_secs(5));
    assert_eq!(version(&kubectl.json(&get).unwrap()), settled, "a settled object is never written");
}

#[test]
fn the_operator_says_how_it_is() {
    let stack = e2e::stack("health");
    e2e::vault(&stack);
    let http = Http::new().unwrap();
    let page = |path: &str| http.get(&format!("{}{path}", stack.operator().health())).unwrap();
    assert_eq!(page("/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(page("/readyz"), (200, "ok\n".to_owned()));
    let (status, metrics) = page("/metrics");
    assert_eq!(status, 200);
    for told in ["breakwater_leader 1", "breakwater_turns_total{kind=\"RecoveryVault\"", "breakwater_arm_calls_total{"] {
        assert!(metrics.contains(told), "{told} is not in\n{metrics}");
    }
    let audit = std::fs::read_to_string(stack.operator().audit()).unwrap();
    let records: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!records.is_empty() && !audit.contains("Bearer"), "every act is on record, without a secret");
    assert!(records.iter().any(|record| *record != json!({})), "{audit}");
}
