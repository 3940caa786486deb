//! Protection that was stopped, or deleted softly, is taken up again on request, through kubectl, and no point is lost.

use std::time::Duration;

use breakwater_dev::stack::Stack;
use breakwater_tests::e2e::{self, NAMESPACE, condition, policy, sample};
use serde_json::{Value, json};

use crate::{
    approval::{approval_of, put},
    restore_choices::by_hand,
};

/// The machine's object, once it says so.
fn seen(stack: &Stack, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let args = ["get", "pmach", name, "-n", NAMESPACE];
    let found = stack.kubectl().wait_until(what, Duration::from_secs(180), &args, |machine| holds(machine).then(|| machine.clone()));
    found.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)))
}

fn wants(stack: &Stack, name: &str, spec: &Value) {
    let patch = json!({ "spec": spec }).to_string();
    stack.kubectl().run(&["patch", "pmach", name, "-n", NAMESPACE, "--type=merge", "-p", &patch]).unwrap();
}

fn is(machine: &Value, protection: &str) -> bool {
    machine["status"]["protection"] == protection && machine["status"]["operations"].as_array().is_none_or(Vec::is_empty)
}

/// A person answers the question.
fn approved(stack: &Stack, name: &str, id: &str, approval: &str) {
    let asking = seen(stack, name, id, |m| m["status"]["questions"][0]["id"] == id);
    let uid = asking["metadata"]["uid"].as_str().unwrap();
    let answer = approval_of(("ProtectedMachine", name), approval, uid, &asking["status"]["questions"][0], "ann");
    put(&stack.kubectl(), &answer, "ann").unwrap();
}

#[test]
fn what_was_stopped_or_deleted_softly_is_brought_back_on_request() {
    let stack = e2e::stack("ways-back");
    let kubectl = stack.kubectl();
    kubectl.apply(&sample("00-namespace.yaml")).unwrap();
    kubectl.run(&["create", "rolebinding", "ann", "-n", NAMESPACE, "--clusterrole", "breakwater-approvals", "--user", "ann"]).unwrap();
    // A stop is under the act Delete.
    kubectl.apply(&sample("10-azure-access.yaml").replace("ReadData]", "ReadData, Delete]")).unwrap();
    // Where a vault is immutable, Azure lets the points of a stopped machine expire, and a person is asked first.
    kubectl.apply(&sample("20-recovery-vault.yaml").replace("immutability: Unlocked", "immutability: Disabled")).unwrap();
    e2e::ready(&stack, &["rvault/main"]);
    kubectl.apply(&policy("web-01", "30d", "Now", "")).unwrap();
    let machine = e2e::protected(&stack);
    let name = machine["metadata"]["name"].as_str().unwrap().to_owned();
    let points = |machine: &Value| machine["status"]["recoveryPoints"]["count"].as_i64().unwrap_or(0);
    let with_point = seen(&stack, &name, "its first point in the vault", |m| {
        points(m) > 0 && condition(m, "Recoverable")["status"] == "True" && is(m, "Protected")
    });

    wants(&stack, &name, &json!({ "protection": "Stopped" }));
    let stopped = seen(&stack, &name, "stopped", |m| is(m, "Stopped") && condition(m, "Ready")["status"] == "True");
    assert_eq!(points(&stopped), points(&with_point), "every point is kept");
    // What was kept for good falls under the policy again: that is asked about.
    wants(&stack, &name, &json!({ "protection": "Protected" }));
    approved(&stack, &name, "resume", "first");
    seen(&stack, &name, "resumed", |m| is(m, "Protected") && condition(m, "Ready")["status"] == "True");

    let item = machine["status"]["itemId"].as_str().or_else(|| stopped["status"]["itemId"].as_str()).expect("its item").to_owned();
    by_hand(&stack, "DELETE", &format!("{item}?api-version=2025-08-01"), &Value::Null);
    let deleted = seen(&stack, &name, "the deletion told", |m| condition(m, "Ready")["reason"] == "SoftDeleted");
    assert!(condition(&deleted, "Ready")["message"].as_str().is_some_and(|words| words.contains("undelete")), "{deleted:#}");
    let before = stack.simulator().journal().writes().unwrap().len();
    // Nothing of it comes back by itself; and then as it stood, until it is to be protected again.
    wants(&stack, &name, &json!({ "undelete": true, "protection": "Stopped" }));
    let back = seen(&stack, &name, "brought back", |m| is(m, "Stopped") && condition(m, "Ready")["status"] == "True");
    assert_eq!(points(&back), points(&with_point), "every point is there: {back:#}");
    let sent = stack.simulator().journal().writes().unwrap().split_off(before);
    assert_eq!(sent.len(), 1, "{sent:#?}");
    wants(&stack, &name, &json!({ "undelete": false, "protection": "Protected" }));
    approved(&stack, &name, "resume", "second");
    seen(&stack, &name, "protected again", |m| is(m, "Protected") && condition(m, "Ready")["status"] == "True");
}
