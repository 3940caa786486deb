//! Deleting YAML deletes nothing in Azure.

use std::thread;
use std::time::Duration;

use breakwater_tests::e2e::{self, NAMESPACE, policy};

#[test]
fn deleting_every_object_leaves_vault_policy_and_protection_as_they_are() {
    let stack = e2e::stack("deletion");
    let kubectl = stack.kubectl();
    e2e::vault(&stack);
    kubectl.apply(&policy("web-01", "30d", "OnSchedule", "")).unwrap();
    e2e::ready(&stack, &["bpol/one"]);
    e2e::protected(&stack);

    let before = stack.simulator().journal().writes().unwrap().len();
    for object in ["pmach --all", "bpol/one", "rvault/main"] {
        let words: Vec<&str> = object.split(' ').collect();
        let deletion = kubectl.run(&[&["delete", "-n", NAMESPACE, "--timeout=60s"], words.as_slice()].concat());
        deletion.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)));
    }
    thread::sleep(Duration::from_secs(5));
    let left = kubectl.run(&["get", "rvault,bpol", "-n", NAMESPACE, "-o", "name"]).unwrap();
    assert_eq!(left.trim(), "", "the objects are gone");
    let since: Vec<_> = stack.simulator().journal().writes().unwrap().split_off(before);
    assert!(since.is_empty(), "nothing was sent for it: {since:#?}");

    // The same YAML again finds what it left.
    e2e::vault(&stack);
    kubectl.apply(&policy("web-01", "30d", "OnSchedule", "")).unwrap();
    e2e::ready(&stack, &["bpol/one"]);
    e2e::protected(&stack);
    let since: Vec<_> = stack.simulator().journal().writes().unwrap().split_off(before);
    assert!(since.is_empty(), "and nothing had to be made again: {since:#?}");
}
