//! The main job: machines are backed up because YAML says so.

use std::collections::BTreeMap;
use std::time::Duration;

use breakwater_dev::workspace;
use breakwater_tests::e2e::{self, NAMESPACE};
use serde_json::Value;

#[test]
fn machines_found_by_tag_are_protected_and_backed_up_exactly_once() {
    let stack = e2e::stack("protection");
    let kubectl = stack.kubectl();
    let samples = workspace::root().join("deploy/samples").display().to_string();
    kubectl.run(&["apply", "-f", &samples]).unwrap();
    e2e::ready(&stack, &["rvault/main", "bpol/shop-daily"]);

    let get = ["get", "pmach", "-n", NAMESPACE];
    let machines = kubectl.wait_until("nine recovery points", Duration::from_secs(300), &get, |list| {
        let items = list["items"].as_array().filter(|items| items.len() == 9)?;
        let all = items.iter().all(|item| item["status"]["recoveryPoints"]["count"].as_i64() >= Some(1));
        all.then(|| items.clone())
    });
    let machines = machines.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(40)));
    e2e::ready(&stack, &["pmach", "--all"]);
    let get = ["get", "bpol", "shop-daily", "-n", NAMESPACE];
    let counted = |policy: &Value| policy["status"]["matched"] == 9 && policy["status"]["protected"] == 9;
    let policy = kubectl.wait_until("nine of nine", Duration::from_secs(60), &get, |policy| counted(policy).then(|| policy.clone()));
    let excluded = policy.unwrap()["status"]["excluded"].clone();
    assert_eq!(excluded.as_array().map(Vec::len), Some(1), "{excluded:#}");
    assert_eq!(excluded[0]["reason"], "TagsDoNotMatch", "{excluded:#}");
    assert!(excluded[0]["machine"].as_str().unwrap().to_ascii_lowercase().ends_with("/legacy-01"), "{excluded:#}");

    for machine in &machines {
        let power = machine["status"]["machine"]["powerState"].as_str().unwrap_or_default().to_ascii_lowercase();
        let (os, running) = (machine["status"]["machine"]["os"].as_str(), power.contains("running"));
        let consistency = machine["status"]["recoveryPoints"]["latest"]["consistency"].as_str().unwrap();
        let expected = match (os, running) {
            (Some("Windows"), true) => "ApplicationConsistent",
            (Some("Linux"), true) => "FileSystemConsistent",
            // A machine that is off has nothing to quiesce: Azure says what it made of it.
            _ => consistency,
        };
        assert_eq!(consistency, expected, "{machine:#}");
        assert_eq!(e2e::condition(machine, "Recoverable")["status"], "True", "{machine:#}");
    }

    let journal = stack.simulator().journal();
    let mut backups: BTreeMap<String, usize> = BTreeMap::new();
    for request in journal.writes_to("POST", "/backup").unwrap() {
        *backups.entry(request["path"].as_str().unwrap().to_ascii_lowercase()).or_default() += 1;
    }
    assert_eq!(backups.len(), 9, "one first backup for each machine: {backups:#?}");
    assert!(backups.values().all(|times| *times == 1), "and no second: {backups:#?}");
    let outside: Vec<Value> = journal.writes().unwrap().into_iter().filter(|request| !may_write(request)).collect();
    assert!(outside.is_empty(), "writes outside of the vault: {outside:#?}");
}

#[test]
fn a_machine_that_another_vault_protects_is_left_alone_and_says_where() {
    let stack = e2e::stack("elsewhere");
    e2e::vault(&stack);
    let before = stack.simulator().journal().writes().unwrap().len();
    stack.kubectl().apply(&e2e::policy("legacy-01", "30d", "Now", "")).unwrap();
    let get = ["get", "pmach", "-n", NAMESPACE];
    let machine = stack.kubectl().wait_until("a machine left alone", Duration::from_secs(120), &get, |list| {
        let machine = list["items"].get(0)?;
        (machine["status"]["protection"] == "ElsewhereProtected").then(|| machine.clone())
    });
    let machine = machine.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(30)));
    assert_eq!(e2e::condition(&machine, "Ready")["reason"], "ElsewhereProtected", "{machine:#}");
    let elsewhere = machine["status"]["elsewhere"].as_str().unwrap_or_default().to_ascii_lowercase();
    assert!(elsewhere.contains("rv-legacy"), "{machine:#}");
    let since = stack.simulator().journal().writes().unwrap().split_off(before);
    let on_machine: Vec<&Value> = since.iter().filter(|r| r["path"].as_str().unwrap().to_ascii_lowercase().contains("legacy-01")).collect();
    assert!(on_machine.is_empty(), "{on_machine:#?}");
}

/// All that this story may write lies in the one vault or are tags of it.
fn may_write(request: &Value) -> bool {
    let path = request["path"].as_str().unwrap_or_default().to_ascii_lowercase();
    path.contains("/resourcegroups/rg-backup/providers/microsoft.recoveryservices/vaults/rv-shop-weu")
}
