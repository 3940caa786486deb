//! A namespace gets what an AzureAccess admits, and nothing else.

use std::thread;
use std::time::Duration;

use breakwater_dev::stack::Stack;
use breakwater_tests::e2e::{self, condition, sample};
use serde_json::Value;

fn vault_in(stack: &Stack, namespace: &str, what: &str, done: impl Fn(&Value) -> bool) -> Value {
    let get = ["get", "rvault", "main", "-n", namespace];
    let seen = stack.kubectl().wait_until(what, Duration::from_secs(60), &get, |vault| done(vault).then(|| vault.clone()));
    seen.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)))
}

#[test]
fn a_namespace_that_no_access_admits_gets_nothing_and_is_told_why() {
    let stack = e2e::stack("stranger");
    let kubectl = stack.kubectl();
    kubectl.apply(&sample("10-azure-access.yaml")).unwrap();
    kubectl.run(&["create", "namespace", "stranger"]).unwrap();
    kubectl.apply(&sample("20-recovery-vault.yaml").replace("namespace: shop", "namespace: stranger")).unwrap();
    let vault = vault_in(&stack, "stranger", "a refusal", |vault| condition(vault, "Ready")["reason"] == "NoAccess");
    assert_eq!(condition(&vault, "Ready")["status"], "False", "{vault:#}");
    thread::sleep(Duration::from_secs(3));
    assert_eq!(stack.simulator().journal().writes().unwrap(), Vec::<Value>::new(), "nothing is sent");

    // Admitted, it goes on by itself.
    let admitted = sample("10-azure-access.yaml").replace("names: [shop]", "names: [shop, stranger]");
    kubectl.apply(&admitted).unwrap();
    vault_in(&stack, "stranger", "the vault", |vault| condition(vault, "Ready")["status"] == "True");
}

#[test]
fn an_access_that_may_only_look_makes_nothing() {
    let stack = e2e::stack("read-only");
    let kubectl = stack.kubectl();
    kubectl.apply(&sample("00-namespace.yaml")).unwrap();
    let whole = sample("10-azure-access.yaml");
    let narrow = whole.replace("acts: [Read, Protect, Backup, Restore, ReplaceDisks, ReadData]", "acts: [Read]");
    assert_ne!(narrow, whole, "the sample has other acts");
    kubectl.apply(&narrow).unwrap();
    kubectl.apply(&sample("20-recovery-vault.yaml")).unwrap();
    // At first the access may not be there yet for the operator: that is another refusal, and passes.
    let refused = |vault: &Value| condition(vault, "Stalled")["status"] == "True" && condition(vault, "Ready")["reason"] == "AccessDenied";
    let vault = vault_in(&stack, e2e::NAMESPACE, "a refusal", refused);
    let message = condition(&vault, "Ready")["message"].as_str().unwrap_or_default();
    assert!(message.contains("Protect"), "the missing act is named: {vault:#}");
    thread::sleep(Duration::from_secs(3));
    assert_eq!(stack.simulator().journal().writes().unwrap(), Vec::<Value>::new(), "nothing is sent");
}
