//! Every manifest in deploy/samples is accepted by the API server as it stands.

use std::fs;

use breakwater_dev::workspace;

#[test]
fn all_samples_apply_with_strict_validation() {
    let kubectl = super::installed().kubectl();
    let dir = workspace::root().join("deploy/samples");
    let said = kubectl.run(&["apply", "--validate=strict", "-f", &dir.display().to_string()]).unwrap();
    let files = fs::read_dir(&dir).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "yaml"));
    assert!(said.lines().count() >= files.count(), "{said}");
    for kind in ["azureaccess", "recoveryvault", "backuppolicy"] {
        assert!(said.contains(&format!("{kind}.breakwater.io/")), "no sample of {kind}:\n{said}");
    }
    for folder in ["runs", "further"] {
        let dir = dir.join(folder);
        kubectl
            .run(&["apply", "--validate=strict", "-f", &dir.display().to_string()])
            .unwrap_or_else(|error| panic!("{folder}: {error:#}"));
    }
    // What a person sees before any operator has looked.
    let policy = kubectl.json(&["get", "bpol", "shop-daily", "-n", "shop"]).unwrap();
    assert_eq!(policy["status"]["observedGeneration"], -1);
    let all = kubectl.run(&["get", "breakwater", "-A", "-o", "name"]).unwrap();
    assert!(all.contains("recoveryvault.breakwater.io/main"), "{all}");
}
