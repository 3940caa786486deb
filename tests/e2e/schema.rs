//! The API server refuses what cannot be meant, with a message that says what to do; and only that.

use breakwater_dev::kubectl::Kubectl;

const SUB: &str = "11111111-1111-4111-8111-111111111111";

fn in_namespace(name: &str) -> Kubectl {
    let kubectl = super::installed().kubectl();
    kubectl.run(&["create", "namespace", name]).unwrap();
    kubectl
}

fn vault(namespace: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: breakwater.io/v1alpha1\nkind: RecoveryVault\nmetadata: {{ name: {name}, namespace: {namespace} }}\n\
         spec: {{ subscriptionId: {SUB}, resourceGroup: rg-backup, location: westeurope{more} }}\n"
    )
}

fn policy(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: breakwater.io/v1alpha1\nkind: BackupPolicy\nmetadata: {{ name: nightly, namespace: {namespace} }}\n\
         spec:\n  vaultRef: {{ name: main }}\n  timeZone: Europe/Amsterdam\n{spec}"
    )
}

const DAILY: &str = "  schedule: { daily: { at: '02:00' } }\n  retention: { daily: { keep: 30d } }\n";

#[test]
fn what_cannot_be_meant_is_refused_with_what_to_do() {
    let kubectl = in_namespace("refused");
    let machines = "  machines: [{ selector: { subscriptionId: 11111111-1111-4111-8111-111111111111 } }]\n";
    let cases = [
        (vault("refused", "main", ", redundancy: LocallyRedundant, crossRegionRestore: true"), "crossRegionRestore needs redundancy: GeoRedundant"),
        (vault("refused", "'1'", ""), "set spec.azureName"),
        (vault("refused", "main", ", tags: { breakwater-owner: me }"), "are kept by Breakwater: leave them out"),
        (vault("refused", "main", ", redundancy: Triple"), "supported values"),
        (vault("refused", "main", ", softDelete: { state: Enabled, retentionDays: 1 }"), "should be greater than or equal to"),
        (policy("refused", "  schedule: {}\n  retention: { daily: { keep: 30d } }\n"), "schedule needs exactly one of daily, weekly, hourly"),
        (
            policy("refused", "  schedule: { hourly: { every: 4h, from: '08:00', for: 12h } }\n  tier: Standard\n  retention: { daily: { keep: 30d } }\n"),
            "an hourly schedule needs tier: Enhanced",
        ),
        (
            policy("refused", "  schedule: { hourly: { every: 4h, from: '08:00', for: 13h } }\n  retention: { daily: { keep: 30d } }\n"),
            "hourly.for must be a multiple of hourly.every",
        ),
        (policy("refused", "  schedule: { daily: { at: '02:10' } }\n  retention: { daily: { keep: 30d } }\n"), "spec.schedule.daily.at"),
        (policy("refused", "  schedule: { daily: { at: '02:00' } }\n  retention: { daily: { keep: 3d } }\n"), "whole days, 7d to 9999d"),
        (policy("refused", &format!("{DAILY}  archive: {{ mode: After }}\n")), "archive.months is needed with mode: After"),
        (policy("refused", &format!("{DAILY}  azureName: everybodys\n")), "azureName needs adopt: IfNotWeaker"),
        (policy("refused", &format!("{DAILY}  machines: [{{}}]\n")), "exactly one of id, selector"),
        (policy("refused", &format!("{DAILY}{machines}  whenUnselected: Delete\n")), "supported values"),
        (policy("refused", &format!("{DAILY}{machines}  whenDeleted: Keep\n")), "unknown field"),
        (policy("refused", &format!("{DAILY}  allowedNamespaces: {{ from: Selector }}\n")), "allowedNamespaces.selector is needed"),
        (vault("refused", "main", ", deletionPolicy: StopAndRetain"), "supported values"),
        // Left out means all of them: an empty list is more likely a slip.
        (policy("refused", &format!("{DAILY}{}", machines.replace(" } }]", ", resourceGroups: [] } }]"))), "at least 1 items"),
        (vault("refused", "main", ", tags: { Breakwater-Owner: me }"), "are kept by Breakwater: leave them out"),
        (vault("refused", "main", ", tags: { team: a, Team: b }"), "tags names one key twice"),
        (
            "apiVersion: breakwater.io/v1alpha1\nkind: AzureAccess\nmetadata: { name: two }\nspec: { tenantId: 11111111-1111-4111-8111-111111111111, \
             identity: { managed: { clientId: 11111111-1111-4111-8111-111111111111 }, operator: { clientId: 11111111-1111-4111-8111-111111111111 } }, \
             namespaces: { names: [shop] }, allow: [{ subscriptionId: 11111111-1111-4111-8111-111111111111, resourceGroups: ['*'], acts: [Read] }] }\n"
                .to_owned(),
            "identity needs exactly one of",
        ),
    ];
    for (manifest, told) in cases {
        let refusal = kubectl.refusal_of(&manifest).unwrap();
        assert!(refusal.contains(told), "expected {told:?} for\n{manifest}\nbut heard\n{refusal}");
    }
}

#[test]
fn what_is_immutable_may_not_change_while_the_rest_may() {
    let kubectl = in_namespace("immutable");
    kubectl.apply(&vault("immutable", "main", "")).unwrap();
    let patch = |patch: &str| kubectl.run(&["patch", "rvault", "main", "-n", "immutable", "--type=merge", "-p", patch]);
    for (change, told) in [
        (r#"{"spec":{"location":"northeurope"}}"#, "location is immutable: make a new RecoveryVault"),
        (r#"{"spec":{"resourceGroup":"rg-other"}}"#, "resourceGroup is immutable: make a new RecoveryVault"),
        (r#"{"spec":{"azureName":"other"}}"#, "azureName is immutable: make a new RecoveryVault"),
    ] {
        let refusal = patch(change).unwrap_err().to_string();
        assert!(refusal.contains(told), "{refusal}");
    }
    // The name it has anyway may be spelt out, and what is not immutable may change.
    patch(r#"{"spec":{"azureName":"main","tags":{"team":"shop"}}}"#).unwrap();

    kubectl.apply(&policy("immutable", &format!("{DAILY}  tier: Standard\n"))).unwrap();
    kubectl.apply(&policy("immutable", &format!("{DAILY}  tier: Enhanced\n"))).unwrap();
    let refusal = kubectl.refusal_of(&policy("immutable", &format!("{DAILY}  tier: Standard\n"))).unwrap();
    assert!(refusal.contains("tier cannot go from Enhanced to Standard"), "{refusal}");
}

#[test]
fn status_is_written_through_its_own_door_under_a_resource_version() {
    let kubectl = in_namespace("status");
    kubectl.apply(&vault("status", "main", "")).unwrap();
    let seen = kubectl.json(&["get", "rvault", "main", "-n", "status"]).unwrap();
    assert_eq!(seen["status"]["observedGeneration"], -1, "before anybody looked");
    let version = seen["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let save = || {
        let patch = format!(r#"{{"metadata":{{"resourceVersion":"{version}"}},"status":{{"observedGeneration":1}}}}"#);
        kubectl.run(&["patch", "rvault", "main", "-n", "status", "--subresource=status", "--type=merge", "-p", &patch])
    };
    save().unwrap();
    kubectl.run(&["label", "rvault", "main", "-n", "status", "moved=on"]).unwrap();
    let lost = save().unwrap_err().to_string();
    assert!(lost.contains("the object has been modified"), "a save made from a stale copy loses: {lost}");
}
