//! Suspended and Plan mode: nothing is sent; what would be sent can be read.

use std::thread;
use std::time::Duration;

use breakwater_tests::e2e::{self, NAMESPACE, condition, policy};

/// Long enough for many turns: ten minutes of world time.
const A_WHILE: Duration = Duration::from_secs(5);

#[test]
fn a_plan_is_shown_and_nothing_is_sent_until_the_mode_says_so() {
    let stack = e2e::stack("plan-mode");
    let kubectl = stack.kubectl();
    e2e::vault(&stack);
    let before = stack.simulator().journal().writes().unwrap().len();
    kubectl.apply(&policy("web-01", "30d", "OnSchedule", "  mode: Plan\n")).unwrap();
    let get = ["get", "bpol", "one", "-n", NAMESPACE];
    let planned = kubectl.wait_until("a published plan", Duration::from_secs(60), &get, |object| {
        object["status"]["plan"].as_str().filter(|plan| !plan.is_empty()).map(|_| object.clone())
    });
    let planned = planned.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)));
    assert!(planned["status"]["plan"].as_str().unwrap().contains("backupPolicies"), "{planned:#}");
    assert_eq!(condition(&planned, "Ready")["status"], "False");
    assert_eq!(condition(&planned, "Ready")["reason"], "PlanOnly");
    thread::sleep(A_WHILE);
    assert_eq!(stack.simulator().journal().writes().unwrap().len(), before, "Plan mode sends nothing");

    kubectl.run(&["patch", "bpol", "one", "-n", NAMESPACE, "--type=merge", "-p", r#"{"spec":{"mode":"Manage"}}"#]).unwrap();
    e2e::ready(&stack, &["bpol/one"]);
    e2e::protected(&stack);
}

#[test]
fn a_suspended_machine_is_left_as_it_is_until_it_is_not() {
    let stack = e2e::stack("suspend");
    let kubectl = stack.kubectl();
    e2e::vault(&stack);
    kubectl.apply(&policy("web-01", "30d", "OnSchedule", "  suspend: true\n")).unwrap();
    let get = ["get", "bpol", "one", "-n", NAMESPACE];
    let before = stack.simulator().journal().writes().unwrap().len();
    let suspended = kubectl.wait_until("the condition Suspended", Duration::from_secs(60), &get, |object| {
        (condition(object, "Suspended")["status"] == "True").then(|| object.clone())
    });
    suspended.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)));
    thread::sleep(A_WHILE);
    assert_eq!(stack.simulator().journal().writes().unwrap().len(), before, "nothing is sent while suspended");
    kubectl.run(&["patch", "bpol", "one", "-n", NAMESPACE, "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]).unwrap();
    e2e::ready(&stack, &["bpol/one"]);
    e2e::protected(&stack);
}
