//! A policy is edited: longer retention is done, shorter retention of a policy with machines stops and says why.

use std::time::Duration;

use breakwater_tests::e2e::{self, NAMESPACE, condition, policy};

#[test]
fn longer_retention_is_done_and_shorter_stops_with_the_old_policy_in_force() {
    let stack = e2e::stack("policy-edit");
    let kubectl = stack.kubectl();
    e2e::vault(&stack);
    kubectl.apply(&policy("web-01", "30d", "OnSchedule", "")).unwrap();
    e2e::ready(&stack, &["bpol/one"]);
    e2e::protected(&stack);
    let kept = || {
        let writes = stack.simulator().journal().requests().unwrap();
        let policies = writes.iter().filter(|r| r["method"] == "PUT" && r["applied"] == true);
        let counts = policies.filter_map(|r| r.pointer("/body/properties/retentionPolicy/dailySchedule/retentionDuration/count")?.as_i64());
        counts.collect::<Vec<_>>()
    };
    assert_eq!(kept(), [30]);

    kubectl.apply(&policy("web-01", "60d", "OnSchedule", "")).unwrap();
    let until = |what: &str, args: &[&str], done: &dyn Fn(&serde_json::Value) -> bool| {
        let seen = kubectl.wait_until(what, Duration::from_secs(120), args, |object| done(object).then(|| object.clone()));
        seen.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)))
    };
    let get = ["get", "bpol", "one", "-n", NAMESPACE];
    until("the longer retention", &get, &|object| {
        condition(object, "Ready")["status"] == "True" && condition(object, "Ready")["observedGeneration"] == 2
    });
    assert_eq!(kept(), [30, 60]);

    kubectl.apply(&policy("web-01", "10d", "OnSchedule", "")).unwrap();
    let stopped = until("the stop", &get, &|object| condition(object, "Stalled")["status"] == "True");
    assert_eq!(condition(&stopped, "Ready")["reason"], "WouldExpirePoints", "{stopped:#}");
    assert_eq!(kept(), [30, 60], "the old policy stays");
}
