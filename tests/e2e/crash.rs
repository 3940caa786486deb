//! `kill -9` between the saved intent and the saved handle of a first backup: after a restart it happened once.

use std::thread;
use std::time::{Duration, Instant};

use breakwater_tests::e2e::{self, NAMESPACE, policy};
use serde_json::json;

#[test]
fn a_first_backup_is_not_doubled_when_the_operator_is_killed_before_it_heard_the_answer() {
    let mut stack = e2e::stack("crash");
    e2e::vault(&stack);
    // Carried out at once, answered an hour of world time later: the operator waits for it with the intent saved.
    let fault = json!({ "id": "held", "match": { "method": "POST", "path": "*/protectedItems/*/backup", "count": 1 }, "fault": { "delay": { "seconds": 3600 } } });
    stack.simulator().tell("/faults", &fault).unwrap();
    stack.kubectl().apply(&policy("web-01", "30d", "Now", "")).unwrap();

    let deadline = Instant::now() + Duration::from_secs(120);
    while backups(&stack) == 0 {
        let tail = stack.operator().log_tail(30);
        assert!(Instant::now() < deadline, "no first backup was asked for; operator: {tail}");
        thread::sleep(Duration::from_millis(50));
    }
    let machine = stack.kubectl().items(&["pmach", "-n", NAMESPACE]).unwrap().remove(0);
    let operations = machine["status"]["operations"].as_array().cloned().unwrap_or_default();
    let open: Vec<_> = operations.iter().filter(|operation| operation["handle"].is_null()).collect();
    assert_eq!(open.len(), 1, "one intent without a handle: {operations:#?}");

    stack.take_operator().kill().unwrap();
    stack.start_operator(&[]).unwrap();
    let done = stack.kubectl().wait_until("the first backup", Duration::from_secs(300), &["get", "pmach", "-n", NAMESPACE], |list| {
        let status = &list["items"][0]["status"];
        let settled = status["operations"].as_array().is_none_or(Vec::is_empty);
        (settled && status["recoveryPoints"]["count"].as_i64() >= Some(1)).then(|| status.clone())
    });
    let status = done.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(40)));
    assert!(status["firstBackup"]["job"].is_string(), "{status:#}");
    assert_eq!(backups(&stack), 1, "one POST, before the kill; none after it");
}

fn backups(stack: &breakwater_dev::stack::Stack) -> usize {
    stack.simulator().journal().writes_to("POST", "/backup").unwrap().len()
}
