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

    // legacy-01 is among the nine that the tags mean, and somebody else's vault protects it.
    let (left_alone, ours) = ("ElsewhereProtected", 8);
    let all = kubectl.wait_until("eight recovery points", Duration::from_secs(300), &["get", "pmach", "-n", NAMESPACE], |list| {
        let items = list["items"].as_array().filter(|items| items.len() == 9)?;
        let settled = |item: &&Value| {
            item["status"]["recoveryPoints"]["count"].as_i64() >= Some(1) || item["status"]["protection"] == left_alone
        };
        items.iter().all(|item| settled(&item)).then(|| items.clone())
    });
    let all = all.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(40)));
    let (others, machines): (Vec<Value>, Vec<Value>) = all.into_iter().partition(|item| item["status"]["protection"] == left_alone);
    assert_eq!(machines.len(), ours);
    assert_eq!(others[0]["spec"]["machineId"], e2e::machine("legacy-01"));
    let get = ["get", "bpol", "shop-daily", "-n", NAMESPACE];
    let policy = kubectl.wait_until("what was left out", Duration::from_secs(60), &get, |policy| {
        (policy["status"]["matched"] == ours && policy["status"]["protected"] == ours).then(|| policy.clone())
    });
    let policy = policy.unwrap();
    for (name, reason) in [("legacy-01", left_alone), ("scratch-01", "TagsDoNotMatch")] {
        let excluded = policy["status"]["excluded"].as_array().unwrap();
        let entry = excluded.iter().find(|entry| entry["machine"].as_str().unwrap().to_ascii_lowercase().ends_with(&format!("/{name}")));
        assert_eq!(entry.unwrap_or(&Value::Null)["reason"], reason, "{name}: {policy:#}");
    }
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
    assert_eq!(backups.len(), ours, "one first backup for each machine: {backups:#?}");
    assert!(backups.values().all(|times| *times == 1), "and no second: {backups:#?}");
    let outside: Vec<Value> = journal.writes().unwrap().into_iter().filter(|request| !may_write(request)).collect();
    assert!(outside.is_empty(), "writes outside of the vault: {outside:#?}");
}

/// All that this story may write lies in the one vault or are tags of it.
fn may_write(request: &Value) -> bool {
    let path = request["path"].as_str().unwrap_or_default().to_ascii_lowercase();
    path.contains("/resourcegroups/rg-backup/providers/microsoft.recoveryservices/vaults/rv-shop-weu")
}
