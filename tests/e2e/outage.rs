//! The API server goes away and comes back in the middle of the work: the operator carries on by itself.

use std::time::Duration;

use breakwater_tests::e2e::{self, NAMESPACE, policy};

#[test]
fn an_api_server_that_restarts_costs_nothing_but_time() {
    let mut stack = e2e::stack("outage");
    e2e::vault(&stack);
    stack.kubectl().apply(&policy("web-01", "30d", "Now", "")).unwrap();
    let pid = stack.operator().pid();
    stack.plane_mut().restart_api_server().unwrap();
    let get = ["get", "pmach", "-n", NAMESPACE];
    let done = stack.kubectl().wait_until("a recovery point", Duration::from_secs(180), &get, |list| {
        (list["items"][0]["status"]["recoveryPoints"]["count"].as_i64() >= Some(1)).then_some(())
    });
    done.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)));
    stack.must_run().unwrap();
    assert_eq!(stack.operator().pid(), pid, "the same process all along");
    assert_eq!(stack.simulator().journal().writes_to("POST", "/backup").unwrap().len(), 1);
}
