//! Two replicas: one leads. A leader that stops answering loses the Lease, and what it had begun is finished once.

use std::time::{Duration, Instant};

use breakwater_dev::child::Ending;
use breakwater_dev::http::Http;
use breakwater_dev::operator::Operator;
use breakwater_dev::stack::{NAMESPACE as SYSTEM, Stack};
use breakwater_tests::e2e::{self, NAMESPACE, policy};

/// Longer than the Lease's duration, on a busy machine.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(60);

fn leads(operator: &Operator) -> bool {
    let (status, page) = Http::new().unwrap().get(&format!("{}/metrics", operator.health())).unwrap();
    assert_eq!(status, 200, "{page}");
    page.lines().any(|line| line == "breakwater_leader 1")
}

fn until_it_leads(operator: &Operator, within: Duration) {
    let deadline = Instant::now() + within;
    while !leads(operator) {
        assert!(Instant::now() < deadline, "it does not lead within {} s: {}", within.as_secs(), operator.log_tail(20));
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn holder(stack: &Stack) -> String {
    let lease = stack.kubectl().json(&["get", "lease", "breakwater-operator", "-n", SYSTEM]).unwrap();
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_frozen_leader_is_replaced_and_finds_out_when_it_thaws() {
    let stack = e2e::stack("frozen");
    e2e::vault(&stack);
    let second = stack.another_operator("second-operator", &[]).unwrap();
    assert!(leads(stack.operator()) && !leads(&second));
    let first_holder = holder(&stack);

    stack.operator().freeze().unwrap();
    stack.kubectl().apply(&policy("web-01", "30d", "Now", "")).unwrap();
    until_it_leads(&second, TAKE_OVER_WITHIN);
    assert_ne!(holder(&stack), first_holder);
    stack.operator().thaw().unwrap();

    let get = ["get", "pmach", "-n", NAMESPACE];
    let done = stack.kubectl().wait_until("a recovery point", Duration::from_secs(180), &get, |list| {
        (list["items"][0]["status"]["recoveryPoints"]["count"].as_i64() >= Some(1)).then_some(())
    });
    done.unwrap_or_else(|error| panic!("{error:#}\nsecond: {}", second.log_tail(30)));
    assert!(!leads(stack.operator()), "the thawed one knows that it leads no more");
    let journal = stack.simulator().journal();
    assert_eq!(journal.writes_to("POST", "/backup").unwrap().len(), 1, "one first backup");
}

#[test]
fn a_leader_that_is_asked_to_end_gives_the_lease_back_at_once() {
    let mut stack = e2e::stack("handover");
    e2e::vault(&stack);
    let second = stack.another_operator("second-operator", &[]).unwrap();
    assert_eq!(stack.take_operator().stop().unwrap(), Ending::Gentle);
    // Much less than the fifteen seconds after which an abandoned Lease may be taken.
    until_it_leads(&second, Duration::from_secs(12));
}
