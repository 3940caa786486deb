//! Objects that the API server took while an older definition stood: each says what is wrong with it, and the others go on.

use std::time::Duration;

use breakwater_dev::{
    progress::Progress,
    stack::{Settings, Stack},
};
use breakwater_tests::e2e::{self, NAMESPACE, condition, policy};
use serde_json::{Value, json};

/// A definition that lets every spec in.
fn loose(definition: &Value) -> Value {
    let mut loose = definition.clone();
    let schema = &mut loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let anything = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    *schema = json!({ "type": "object", "properties": { "spec": anything, "status": anything } });
    for field in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
        loose["metadata"].as_object_mut().unwrap().remove(field);
    }
    loose.as_object_mut().unwrap().remove("status");
    loose
}

fn old_policy(name: &str, spec: &Value) -> String {
    let metadata = json!({ "name": name, "namespace": NAMESPACE });
    json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupPolicy", "metadata": metadata, "spec": spec }).to_string()
}

#[test]
fn an_object_of_an_older_schema_names_its_field_and_the_others_are_protected() {
    let settings = Settings::shop(e2e::dir("older-schema"), e2e::CLOCK_FACTOR);
    let mut stack = Stack::start_without_operator(e2e::tools(), &settings, &Progress::start()).unwrap();
    let kubectl = stack.kubectl();
    kubectl.apply(&e2e::sample("00-namespace.yaml")).unwrap();
    let name = "backuppolicies.breakwater.io";
    let definition = kubectl.json(&["get", "crd", name]).unwrap();
    kubectl.run_with(&["replace", "-f", "-"], &loose(&definition).to_string()).unwrap();
    let keep = json!({ "daily": { "keep": "30d" } });
    let cases = [
        ("form", json!({ "vaultRef": { "name": "main" }, "schedule": "0 2 * * *", "retention": keep, "machines": [] }), "schedule"),
        ("missing", json!({ "vaultRef": { "name": "main" }, "machines": [] }), "schedule"),
        (
            "word",
            json!({ "vaultRef": { "name": "main" }, "tier": "Premium", "schedule": { "daily": { "at": "02:00" } }, "retention": keep }),
            "tier",
        ),
    ];
    // The server needs a moment to take a definition into use.
    for (name, spec, _) in &cases {
        let applied = e2e::until(Duration::from_secs(30), || kubectl.apply(&old_policy(name, spec)).ok());
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut strict = definition.clone();
    strict["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    kubectl.run_with(&["replace", "-f", "-"], &strict.to_string()).unwrap();
    let refused = || kubectl.refusal_of(&old_policy("late", &cases[0].1)).ok().filter(|words| words.contains("spec.schedule"));
    e2e::until(Duration::from_secs(30), refused).expect("the strict definition is in use again");
    // Only now: what it writes of them is written under the strict definition.
    stack.start_operator(&[]).unwrap();
    let kubectl = stack.kubectl();
    for (name, _, field) in &cases {
        let get = ["get", "bpol", name, "-n", NAMESPACE];
        let seen = kubectl.wait_until("what is wrong", Duration::from_secs(90), &get, |object| {
            (condition(object, "Ready")["reason"] == "InvalidSpec").then(|| object.clone())
        });
        let seen = seen.unwrap_or_else(|error| panic!("{name}: {error:#}\noperator: {}", stack.operator().log_tail(30)));
        let message = condition(&seen, "Ready")["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(field), "{name}: {message}");
        assert_eq!(condition(&seen, "Stalled")["status"], "True", "{name}");
    }
    e2e::vault(&stack);
    kubectl.apply(&policy("web-01", "30d", "OnSchedule", "")).unwrap();
    e2e::ready(&stack, &["bpol/one"]);
    e2e::protected(&stack);
}
