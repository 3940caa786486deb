//! Objects that the API server took while an older definition stood: each says what is wrong with it, and the others go on.
//! The API server takes no status of an object on which a rule of the definition cannot even be worked out, as where a field has
//! another form: that one says it by an Event.

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
        (
            "form",
            json!({ "vaultRef": { "name": "main" }, "schedule": "0 2 * * *", "retention": keep, "machines": [] }),
            "Event: spec.schedule: ",
        ),
        ("missing", json!({ "vaultRef": { "name": "main" }, "machines": [] }), "Ready: spec: missing field `schedule`"),
        (
            "word",
            json!({ "vaultRef": { "name": "main" }, "tier": "Premium", "schedule": { "daily": { "at": "02:00" } }, "retention": keep }),
            "Ready: spec.tier: ",
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
    for (name, _, words) in &cases {
        let heard = e2e::until(Duration::from_secs(90), || told(&stack, name).filter(|told| told.starts_with(words)));
        heard.unwrap_or_else(|error| panic!("{name}: {error:#}: {:?}\noperator: {}", told(&stack, name), stack.operator().log_tail(30)));
    }
    e2e::vault(&stack);
    kubectl.apply(&policy("web-01", "30d", "OnSchedule", "")).unwrap();
    e2e::ready(&stack, &["bpol/one"]);
    e2e::protected(&stack);
}

/// What a person hears of a policy that cannot be read: its condition, or else its Event.
fn told(stack: &Stack, name: &str) -> Option<String> {
    let kubectl = stack.kubectl();
    let object = kubectl.json(&["get", "bpol", name, "-n", NAMESPACE]).ok()?;
    let ready = condition(&object, "Ready");
    if ready["reason"] == "InvalidSpec" {
        assert_eq!(condition(&object, "Stalled")["status"], "True", "{name}");
        return ready["message"].as_str().map(|message| format!("Ready: {message}"));
    }
    let of = format!("involvedObject.name={name},reason=InvalidSpec");
    let events = kubectl.items(&["events", "-n", NAMESPACE, "--field-selector", &of]).ok()?;
    events.first()?["message"].as_str().map(|message| format!("Event: {message}"))
}
