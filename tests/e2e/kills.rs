//! `kill -9` at each saved intent and each saved handle of first protection, first backup and a policy's edit: the moment is
//! seen by a watch. After the restart there is one item, one first backup and one policy, as was wanted.

use std::time::Duration;

use breakwater_dev::stack::Stack;
use breakwater_tests::e2e::{self, NAMESPACE, OpenOperations, condition, machine};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(300);

/// When it is killed, by what its record says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// The intent is saved, and the answer not heard.
    Intent,
    /// What Azure answered is saved.
    Handle,
}

impl Moment {
    fn is_now(self, node: &str, operation: &Value) -> bool {
        let answered = !operation["handle"].is_null() || !operation["endedAt"].is_null() || !operation["job"].is_null();
        operation["node"] == node && answered == (self == Moment::Handle)
    }
}

/// A policy of these machines.
fn policy(machines: &[&str], keep: &str) -> String {
    let ids: Vec<String> = machines.iter().map(|name| format!("{{ id: {} }}", machine(name))).collect();
    format!(
        "apiVersion: breakwater.io/v1alpha1\nkind: BackupPolicy\nmetadata: {{ name: one, namespace: {NAMESPACE} }}\nspec:\n  \
         vaultRef: {{ name: main }}\n  tier: Enhanced\n  schedule: {{ daily: {{ at: '02:00' }} }}\n  timeZone: Europe/Amsterdam\n  \
         retention: {{ instantRestoreDays: 2, daily: {{ keep: {keep} }} }}\n  firstBackup: Now\n  machines: [{}]\n",
        ids.join(", ")
    )
}

/// Kills the operator at that moment of what `act` sets going, and starts it again.
fn kill_at(stack: &mut Stack, kind: &str, node: &str, moment: Moment, act: impl FnOnce(&Stack)) {
    // Carried out at once, answered five world minutes later: the operator has its intent saved and waits.
    let (method, path) = match node {
        "first-backup" => ("POST", "*/protectedItems/*/backup"),
        "protection" => ("PUT", "*/protectedItems/*"),
        _ => ("PUT", "*/backupPolicies/*"),
    };
    if moment == Moment::Intent {
        let fault =
            json!({ "id": "held", "match": { "method": method, "path": path, "count": 1 }, "fault": { "delay": { "seconds": 300 } } });
        stack.simulator().tell("/faults", &fault).unwrap();
    }
    let mut watch = OpenOperations::of(stack, kind);
    act(stack);
    let seen = watch.until(&format!("{moment:?} of {node}"), |operation| moment.is_now(node, operation));
    if moment == Moment::Intent {
        // So that it is killed with the request under way, and not before it left.
        let _ = e2e::until(PATIENCE, || {
            stack.simulator().journal().writes().unwrap().iter().any(|r| r["clientRequestId"] == seen["clientRequestId"]).then_some(())
        });
    }
    stack.take_operator().kill().unwrap();
    let _ = stack.simulator().withdraw("/faults");
    stack.start_operator(&[]).unwrap();
}

/// Waits until so many machines have a recovery point and nothing is open.
fn until_backed_up(stack: &Stack, machines: usize) -> Vec<Value> {
    let done = stack.kubectl().wait_until("recovery points", PATIENCE, &["get", "pmach", "-n", NAMESPACE], |list| {
        let items = list["items"].as_array().filter(|items| items.len() == machines)?;
        let settled = |item: &Value| item["status"]["operations"].as_array().is_none_or(Vec::is_empty);
        let backed_up = |item: &Value| item["status"]["recoveryPoints"]["count"].as_i64() >= Some(1);
        items.iter().all(|item| settled(item) && backed_up(item)).then(|| items.clone())
    });
    done.unwrap_or_else(|error| panic!("{error:#}\noperator: {}", stack.operator().log_tail(40)))
}

/// How many requests of that kind Azure carried out for each path.
fn carried_out(stack: &Stack, method: &str, part: &str, ending: &str) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for request in stack.simulator().journal().writes().unwrap() {
        let path = request["path"].as_str().unwrap_or_default().to_ascii_lowercase();
        if request["method"] == method && request["applied"] == true && path.contains(part) && path.ends_with(ending) {
            *counts.entry(path).or_default() += 1;
        }
    }
    counts.into_iter().collect()
}

#[test]
fn a_kill_at_any_saved_point_of_protection_and_first_backup_doubles_nothing() {
    let mut stack = e2e::stack("kills");
    e2e::vault(&stack);
    let points = [
        ("protection", Moment::Intent, "web-01"),
        ("protection", Moment::Handle, "web-02"),
        ("first-backup", Moment::Intent, "web-03"),
        ("first-backup", Moment::Handle, "api-01"),
    ];
    let mut machines = Vec::new();
    for (node, moment, machine) in points {
        machines.push(machine);
        let manifest = policy(&machines, "30d");
        kill_at(&mut stack, "pmach", node, moment, |stack| drop(stack.kubectl().apply(&manifest).unwrap()));
        until_backed_up(&stack, machines.len());
    }
    let backups = carried_out(&stack, "POST", "/protecteditems/", "/backup");
    assert_eq!(backups.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1; 4], "{backups:?}");
    let items = carried_out(&stack, "PUT", "/protecteditems/", "");
    assert_eq!(items.len(), 4, "one item a machine: {items:?}");
    assert_eq!(carried_out(&stack, "PUT", "/backuppolicies/", "").len(), 1, "one policy");
}

#[test]
fn a_kill_at_any_saved_point_of_a_policys_making_and_edits_leaves_one_policy_as_declared() {
    let mut stack = e2e::stack("kills-policy");
    e2e::vault(&stack);
    // Which node writes the policy is the operator's own affair: it is the only one that its record names.
    for (moment, keep, days) in [(Moment::Intent, "30d", 30), (Moment::Handle, "40d", 40), (Moment::Intent, "50d", 50)] {
        let manifest = policy(&["web-01"], keep);
        kill_at(&mut stack, "bpol", "policy", moment, |stack| drop(stack.kubectl().apply(&manifest).unwrap()));
        let get = ["get", "bpol", "one", "-n", NAMESPACE];
        let done = stack.kubectl().wait_until("the policy as declared", PATIENCE, &get, |object| {
            let ready = condition(object, "Ready");
            (ready["status"] == "True" && ready["observedGeneration"] == object["metadata"]["generation"]).then_some(())
        });
        done.unwrap_or_else(|error| panic!("{moment:?}: {error:#}\noperator: {}", stack.operator().log_tail(40)));
        let written = stack.simulator().journal().writes().unwrap();
        let last = written.iter().rev().find(|r| r["path"].as_str().is_some_and(|path| path.contains("/backupPolicies/")));
        let kept = last.and_then(|r| r.pointer("/body/properties/retentionPolicy/dailySchedule/retentionDuration/count")?.as_i64());
        assert_eq!(kept, Some(days), "{last:#?}");
    }
    assert_eq!(carried_out(&stack, "PUT", "/backuppolicies/", "").len(), 1, "one policy");
    until_backed_up(&stack, 1);
    assert_eq!(carried_out(&stack, "POST", "/protecteditems/", "/backup").len(), 1);
}
