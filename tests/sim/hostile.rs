//! What nobody would think of: names and tags in Azure that are legal and odd, more of them than anybody reads, and objects that an older Breakwater left in the cluster. Each is protected or told; the others go on; nothing crashes.

use std::collections::BTreeMap;

use azure_sim::Estate;
use breakwater_api::status::MAX_STATUS;
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::{manifests::SMALL, people::is_free};

/// Groups may have parentheses, dots and letters of any language in their names.
const GROUP: &str = "rg-(Straße)_1.a";
/// The longest name of a machine, and odd ones.
const NAMES: [&str; 6] = ["9", "UPPER.lower_under-dash", "a--b__c", "x.y.z-", "ALLCAPS", "Ünïcode-vm"];

fn long_name() -> String {
    format!("m{}", "0123456789".repeat(6) + "abc")
}

/// The estate `one.yaml` with these groups instead of its own shop.
fn estate(groups: Vec<Value>) -> Estate {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sim/estates/one.yaml");
    let mut estate = Estate::read(&path, &BTreeMap::new()).expect("the estate");
    let all = &mut estate.subscriptions[0].resource_groups;
    for group in groups {
        let group = serde_json::from_value(group).expect("a group");
        all.push(group);
    }
    let protect = |group: &str| {
        let scope = format!("/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/{group}");
        serde_json::from_value(json!({ "principal": "operator", "role": "Breakwater Protect", "scope": scope })).expect("an assignment")
    };
    estate.role_assignments.push(protect(GROUP));
    estate
}

/// Every tag that one machine can hold, each as long as Azure lets it be (50 of 512 and 256 characters), and odd ones.
fn many_tags() -> Map<String, Value> {
    let odd = [
        ("app", "shop"),
        ("new\nline", "a\r\nb"),
        ("{{ .Values.secret }}", "${HOME} $(reboot) `id`"),
        ("\u{1b}[31mred", "\u{202e}gnisrever\u{0}"),
        ("hidden-title", "'; DROP TABLE backups; --"),
    ];
    let long = (0..45).map(|n| (format!("{n:03}{}", "k".repeat(509)), json!("v".repeat(256))));
    odd.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).chain(long).collect()
}

fn machine(name: &str, tags: &Map<String, Value>) -> Value {
    json!({ "name": name, "os": "Linux", "size": "Standard_B2s", "tags": tags })
}

/// Everything that the operator says is one line that a terminal can show, and no longer than it may be.
fn is_well_told(sim: &Simulation) {
    for object in ["AzureAccess", "RecoveryVault", "BackupPolicy", "ProtectedMachine"].iter().flat_map(|kind| sim.cluster.live_all(kind)) {
        let (name, status) = (object.metadata.name.clone().unwrap_or_default(), &object.data["status"]);
        assert!(name.len() <= 253 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c)), "{name}");
        assert!(status.to_string().len() <= MAX_STATUS, "{name}: {} bytes", status.to_string().len());
        for condition in status["conditions"].as_array().into_iter().flatten() {
            let message = condition["message"].as_str().unwrap_or_default();
            assert!(!message.contains(char::is_control) && message.len() <= 1024, "{name}: {message:?}");
        }
    }
}

fn protected(sim: &Simulation) -> usize {
    let all = sim.cluster.live_all("ProtectedMachine");
    all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count()
}

#[test]
fn odd_names_and_a_megabyte_of_tags_are_protected_like_any_other() {
    let tags = many_tags();
    let plain = json!({ "app": "shop" }).as_object().cloned().expect("an object");
    let mut machines: Vec<Value> = NAMES.iter().map(|name| machine(name, &plain)).collect();
    machines.push(machine(&long_name(), &tags));
    machines.extend((0..28).map(|n| machine(&format!("tagged-{n}"), &tags)));
    let mut disks = machine("disks", &tags);
    disks["dataDisks"] = json!(vec![4; 64]);
    machines.push(disks);
    let count = machines.len();
    let size: usize = machines.iter().map(|m| m["tags"].to_string().len()).sum();
    assert!(size > 1_000_000, "{size}");
    let mut sim = Simulation::of(
        estate(vec![json!({ "name": GROUP, "location": "westeurope", "machines": machines })]),
        Options { estate: "", ..Options::default() },
    );
    sim.apply(&SMALL.replace("[rg-shop, rg-backup]", "['rg-(*)_1.a', rg-shop, rg-backup]").replace("[rg-shop]", "['rg-(*)_1.a']"));
    sim.run_until("all are protected", SignedDuration::from_hours(12), |sim| protected(sim) == count && is_free(sim));
    is_well_told(&sim);
    sim.run_for(SignedDuration::from_hours(6));
    assert!(sim.invariants.rested() > 0, "it comes to rest");
    let disks =
        sim.cluster.live_all("ProtectedMachine").into_iter().find(|o| o.metadata.name.as_ref().is_some_and(|n| n.starts_with("disks-")));
    assert!(disks.expect("its object").data["status"]["disks"].as_array().is_some_and(|d| d.len() == 65));
}

/// A BackupPolicy as some older schema let it be: a field that is gone, one of another form, one that is missing.
#[test]
fn an_object_of_an_older_schema_is_told_what_to_do_and_the_others_go_on() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    let cases = [
        (
            "form",
            json!({ "vaultRef": { "name": "main" }, "schedule": "0 2 * * *", "retention": { "daily": { "keep": "30d" } }, "machines": [] }),
            "schedule",
        ),
        ("missing", json!({ "vaultRef": { "name": "main" }, "machines": [] }), "schedule"),
        (
            "word",
            json!({ "vaultRef": { "name": "main" }, "tier": "Premium", "schedule": { "daily": { "at": "02:00" } }, "retention": { "daily": { "keep": "30d" } }, "machines": [] }),
            "tier",
        ),
        ("nothing", Value::Null, "spec"),
    ];
    for (name, spec, _) in &cases {
        let mut object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupPolicy", "spec": spec,
            "metadata": { "name": name, "namespace": "shop" }, "status": { "conditions": "none", "phase": "Done" } });
        if spec.is_null() {
            object.as_object_mut().expect("an object").remove("spec");
        }
        sim.cluster.user().left_behind(&object).expect("it can be decoded");
    }
    sim.run_until("the others are protected", SignedDuration::from_hours(6), |sim| protected(sim) == 2);
    for (name, _, field) in &cases {
        let (ready, reason, message) = sim.condition("BackupPolicy", name, "Ready");
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "InvalidSpec"), "{name}: {}", sim.tell());
        assert!(message.contains(field), "{name}: {message}");
    }
    is_well_told(&sim);
    let steps = sim.steps;
    sim.run_for(SignedDuration::from_hours(2));
    assert!(sim.steps - steps < 2000, "{} steps: a storm", sim.steps - steps);
}
