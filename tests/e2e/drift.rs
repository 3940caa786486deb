//! Somebody changes Azure by hand: what weakens is put back, and what strengthens is left and told.

use std::thread;
use std::time::{Duration, Instant};

use breakwater_dev::stack::Stack;
use breakwater_tests::e2e::{self, NAMESPACE, condition};
use serde_json::{Value, json};

const SETTINGS: &str = "securitySettings";

fn vault_id() -> String {
    format!("/subscriptions/{}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu", e2e::SUBSCRIPTION)
}

/// As somebody in the portal does, without a trace in our status.
fn by_hand(stack: &Stack, security: &Value) {
    let edit = json!({ "method": "PATCH", "id": vault_id(), "body": { "properties": { SETTINGS: security } } });
    stack.simulator().tell("/edit", &edit).unwrap();
}

fn seen(stack: &Stack, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let args = ["get", "rvault", "main", "-n", NAMESPACE];
    let found = stack.kubectl().wait_until(what, Duration::from_secs(120), &args, |vault| done(vault).then(|| vault.clone()));
    found.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)))
}

#[test]
fn a_defence_that_somebody_lowered_is_put_back() {
    let stack = e2e::stack("drift-down");
    e2e::vault(&stack);
    let before = stack.simulator().journal().writes().unwrap().len();
    by_hand(&stack, &json!({ "immutabilitySettings": { "state": "Disabled" } }));

    let deadline = Instant::now() + Duration::from_secs(120);
    let writes = loop {
        let since = stack.simulator().journal().writes().unwrap().split_off(before);
        if !since.is_empty() {
            break since;
        }
        assert!(Instant::now() < deadline, "nothing was put back; operator: {}", stack.operator().log_tail(30));
        thread::sleep(Duration::from_millis(100));
    };
    let sent = writes[0].pointer("/body/properties/securitySettings/immutabilitySettings/state");
    assert_eq!(sent, Some(&json!("Unlocked")), "{writes:#?}");
    seen(&stack, "the vault as declared", |vault| {
        condition(vault, "Ready")["status"] == "True"
            && condition(vault, "Drifted")["status"] == "False"
            && vault["status"]["vault"]["immutability"] == "Unlocked"
    });
}

#[test]
fn a_defence_that_somebody_raised_is_told_and_left() {
    let stack = e2e::stack("drift-up");
    e2e::vault(&stack);
    let before = stack.simulator().journal().writes().unwrap().len();
    by_hand(&stack, &json!({ "softDeleteSettings": { "softDeleteRetentionPeriodInDays": 60 } }));

    let vault = seen(&stack, "the condition Drifted", |vault| condition(vault, "Drifted")["status"] == "True");
    assert_eq!(condition(&vault, "Drifted")["reason"], "StrongerThanDeclared", "{vault:#}");
    assert_eq!(condition(&vault, "Ready")["status"], "True", "a stronger defence keeps the promise: {vault:#}");
    let since = stack.simulator().journal().writes().unwrap().split_off(before);
    assert!(since.is_empty(), "nothing was sent: {since:#?}");
}
