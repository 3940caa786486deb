//! `kubectl explain` has a sentence for every field of every spec.

use serde_json::Value;

#[test]
fn every_field_is_explained() {
    let kubectl = super::installed().kubectl();
    for kind in ["azureaccesses", "recoveryvaults", "backuppolicies", "protectedmachines"] {
        let crd = kubectl.json(&["get", "crd", &format!("{kind}.breakwater.io")]).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut silent = Vec::new();
        for part in ["spec", "status"] {
            without_description(&schema["properties"][part], &format!("{kind}.{part}"), &mut silent);
        }
        assert_eq!(silent, Vec::<String>::new());
    }
    let text = kubectl.run(&["explain", "backuppolicy.spec.schedule.hourly.every"]).unwrap();
    assert!(text.contains("4h, 6h, 8h or 12h"), "{text}");
    let tree = kubectl.run(&["explain", "rvault", "--recursive"]).unwrap();
    assert!(tree.contains("softDelete") && tree.contains("crossRegionRestore"), "{tree}");
}

fn without_description(schema: &Value, path: &str, silent: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if property["description"].as_str().unwrap_or_default().trim().is_empty() {
            silent.push(path.clone());
        }
        without_description(property, &path, silent);
        without_description(&property["items"], &path, silent);
        without_description(&property["additionalProperties"], &path, silent);
    }
}
