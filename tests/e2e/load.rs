//! The API server restarts again and again while everything is at work, and Azure is away for ten minutes: it costs time.

use std::collections::BTreeMap;
use std::time::Duration;

use breakwater_dev::stack::Stack;
use breakwater_dev::workspace;
use breakwater_tests::e2e::{self, CLOCK_FACTOR, NAMESPACE};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(420);

/// Ten minutes of the simulated world.
const TEN_MINUTES: Duration = Duration::from_millis(10 * 60 * 1000 / CLOCK_FACTOR as u64);

fn apply_samples(stack: &Stack) {
    let samples = workspace::root().join("deploy/samples").display().to_string();
    stack.kubectl().run(&["apply", "-f", &samples]).unwrap();
}

/// Waits for nine machines with recovery points; each was backed up once.
fn nine_points(stack: &Stack) {
    let get = ["get", "pmach", "-n", NAMESPACE];
    let done = stack.kubectl().wait_until("nine recovery points", PATIENCE, &get, |list| {
        let items = list["items"].as_array().filter(|items| items.len() == 9)?;
        items.iter().all(|item| item["status"]["recoveryPoints"]["count"].as_i64() >= Some(1)).then_some(())
    });
    done.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(40)));
    let mut backups: BTreeMap<String, usize> = BTreeMap::new();
    for request in stack.simulator().journal().writes_to("POST", "/backup").unwrap() {
        if request["applied"] == true {
            *backups.entry(request["path"].as_str().unwrap_or_default().to_ascii_lowercase()).or_default() += 1;
        }
    }
    assert!(backups.len() == 9 && backups.values().all(|count| *count == 1), "{backups:?}");
}

#[test]
fn an_api_server_that_restarts_three_times_under_load_costs_nothing_but_time() {
    let mut stack = e2e::stack("restarts");
    apply_samples(&stack);
    let pid = stack.operator().pid();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_secs(3));
        stack.plane_mut().restart_api_server().unwrap();
    }
    nine_points(&stack);
    stack.must_run().unwrap();
    assert_eq!(stack.operator().pid(), pid, "the same process all along");
}

#[test]
fn an_azure_that_is_away_for_ten_minutes_costs_nothing_but_time() {
    let mut stack = e2e::stack("azure-away");
    apply_samples(&stack);
    let pid = stack.operator().pid();
    e2e::ready(&stack, &["rvault/main"]);
    // First it accepts connections and answers nothing; then it refuses whatever comes.
    stack.simulator().freeze().unwrap();
    std::thread::sleep(TEN_MINUTES);
    stack.simulator().thaw().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    stack.simulator().tell("/faults", &json!({ "id": "away", "match": {}, "fault": "dropBeforeApply" })).unwrap();
    std::thread::sleep(TEN_MINUTES);
    stack.simulator().withdraw("/faults").unwrap();
    nine_points(&stack);
    e2e::ready(&stack, &["rvault/main", "bpol/shop-daily"]);
    stack.must_run().unwrap();
    assert_eq!(stack.operator().pid(), pid, "the same process all along");
}
