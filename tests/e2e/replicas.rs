//! Two operators and one Lease: the leader is stopped in the middle of a turn (`SIGSTOP`) and goes on when the other leads.
//! Nothing is written twice.

use std::time::{Duration, Instant};

use breakwater_dev::http::Http;
use breakwater_dev::operator::Operator;
use breakwater_dev::stack::Stack;
use breakwater_tests::e2e::{self, NAMESPACE, OpenOperations, policy};
use serde_json::{Value, json};

/// Longer than the Lease's duration, on a busy machine.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(60);

fn leads(operator: &Operator) -> bool {
    let page = Http::new().unwrap().get(&format!("{}/metrics", operator.health()));
    page.is_ok_and(|(_, page)| page.lines().any(|line| line == "breakwater_leader 1"))
}

fn until_it_leads(operator: &Operator) {
    let deadline = Instant::now() + TAKE_OVER_WITHIN;
    while !leads(operator) {
        assert!(Instant::now() < deadline, "it does not lead: {}", operator.log_tail(20));
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn until_backed_up(stack: &Stack, second: &Operator) {
    let get = ["get", "pmach", "-n", NAMESPACE];
    let done = stack.kubectl().wait_until("a recovery point", Duration::from_secs(300), &get, |list| {
        let status = &list["items"][0]["status"];
        let settled = status["operations"].as_array().is_none_or(Vec::is_empty);
        (settled && status["recoveryPoints"]["count"].as_i64() >= Some(1)).then_some(())
    });
    done.unwrap_or_else(|error| panic!("{error:#}\nsecond: {}", second.log_tail(30)));
}

/// Stops the leader when its record of that node is as `now` wants, lets the other one lead, and lets the first go on.
fn frozen_at(name: &str, node: &str, now: impl Fn(&Value) -> bool) {
    let stack = e2e::stack(name);
    e2e::vault(&stack);
    let second = stack.another_operator("second-operator", &[]).unwrap();
    assert!(leads(stack.operator()) && !leads(&second));
    let path = if node == "protection" { "*/protectedItems/*" } else { "*/protectedItems/*/backup" };
    let fault = json!({ "id": "held", "match": { "path": path, "count": 1 }, "fault": { "delay": { "seconds": 120 } } });
    stack.simulator().tell("/faults", &fault).unwrap();
    let mut watch = OpenOperations::of(&stack, "pmach");
    stack.kubectl().apply(&policy("web-01", "30d", "Now", "")).unwrap();
    let record = watch.until(node, |operation| operation["node"] == node && now(operation));
    stack.operator().freeze().unwrap();
    until_it_leads(&second);
    // The new leader has found the record, and maybe what came of it, when the old one goes on.
    stack.operator().thaw().unwrap();
    until_backed_up(&stack, &second);
    assert!(!leads(stack.operator()), "the thawed one knows that it leads no more");
    let writes = stack.simulator().journal().writes().unwrap();
    let backups = writes
        .iter()
        .filter(|r| r["method"] == "POST" && r["applied"] == true && r["path"].as_str().is_some_and(|p| p.ends_with("/backup")));
    assert_eq!(backups.count(), 1, "one first backup");
    let same = writes.iter().filter(|r| r["clientRequestId"] == record["clientRequestId"] && r["applied"] == true);
    assert!(same.count() <= 1, "one request was sent twice: {record}");
}

#[test]
fn a_leader_that_is_stopped_with_a_backups_intent_saved_does_not_double_it_when_it_goes_on() {
    frozen_at("frozen-backup", "first-backup", |operation| operation["handle"].is_null());
}

#[test]
fn a_leader_that_is_stopped_with_a_protections_intent_saved_does_not_double_it_when_it_goes_on() {
    frozen_at("frozen-protection", "protection", |operation| operation["handle"].is_null());
}
