//! The rules of the schemas, run as the API server runs them, on the definitions that we ship.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use breakwater_api::crdgen::crds;
use kube::core::cel::{Validator, compile_schema};
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "11111111-1111-1111-1111-111111111111";

fn schema(kind: &str) -> Value {
    let crd = crds().into_iter().find(|c| c.spec.names.kind == kind).unwrap();
    serde_json::to_value(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap()).unwrap()
}

/// Every message of every broken rule, after defaulting; `old` is what was stored before.
fn refusals(kind: &str, spec: &Value, old: Option<&Value>) -> Vec<String> {
    let object = |spec: &Value| json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": "main", "namespace": "shop" }, "spec": spec });
    let result = Validator::new().validate_with_defaults(&schema(kind), &object(spec), old.map(object).as_ref());
    result.err().map(|errors| errors.into_vec().into_iter().map(|e| e.message).collect()).unwrap_or_default()
}

/// `base` with the value at each pointer set, or taken away where it is null. Missing parents are made.
fn with(base: &Value, changes: &[(&str, Value)]) -> Value {
    let mut spec = base.clone();
    for (pointer, value) in changes {
        let (parent, leaf) = pointer.rsplit_once('/').unwrap();
        let mut at = &mut spec;
        for segment in parent.split('/').filter(|s| !s.is_empty()) {
            let index = segment.parse::<usize>();
            at = match index {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[segment],
            };
        }
        match value {
            Value::Null => drop(at.as_object_mut().unwrap().remove(leaf)),
            value => at[leaf] = value.clone(),
        }
    }
    spec
}

fn vault() -> Value {
    json!({ "subscriptionId": SUBSCRIPTION, "resourceGroup": "rg-backup", "location": "westeurope", "redundancy": "GeoRedundant",
            "crossRegionRestore": true, "softDelete": { "state": "Enabled", "retentionDays": 14 }, "immutability": "Unlocked", "tags": { "team": "shop" } })
}

fn policy() -> Value {
    json!({ "vaultRef": { "name": "main" }, "schedule": { "daily": { "at": "02:00" } }, "retention": { "daily": { "keep": "30d" } },
            "machines": [{ "id": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/db-1") }] })
}

fn access() -> Value {
    json!({ "tenantId": SUBSCRIPTION, "identity": { "operator": { "clientId": SUBSCRIPTION } }, "namespaces": { "names": ["shop"] },
            "allow": [{ "subscriptionId": SUBSCRIPTION, "resourceGroups": ["*"], "acts": ["Read"] }] })
}

fn machine() -> Value {
    json!({ "policyRef": { "name": "daily" }, "machineId": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/db-1") })
}

fn account(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/{name}")
}

fn base(kind: &str) -> Value {
    match kind {
        "AzureAccess" => access(),
        "RecoveryVault" => vault(),
        "BackupPolicy" => policy(),
        "BackupRun" => json!({ "protectedMachineRef": { "name": "db-1-3fa81c02" } }),
        "RestoreRun" => {
            json!({ "from": { "recoveryPoint": { "protectedMachineRef": { "name": "db-1-3fa81c02" }, "point": { "latest": {} } } },
            "to": { "disks": { "resourceGroup": "rg-restore" } }, "staging": { "storageAccountId": account("stage") } })
        }
        _ => machine(),
    }
}

#[test]
fn every_rule_compiles() {
    for crd in crds() {
        let compiled = compile_schema(&schema(&crd.spec.names.kind));
        assert!(!compiled.has_errors(), "{}: {:?}", crd.spec.names.kind, compiled.compilation_errors());
    }
}

type Case = (&'static str, Vec<(&'static str, Value)>, &'static str);

/// Accesses, vaults and single machines.
fn small_objects() -> Vec<Case> {
    vec![
        ("AzureAccess", vec![], ""),
        ("AzureAccess", vec![("/identity/managed", json!({ "clientId": SUBSCRIPTION }))], "identity needs exactly one"),
        ("AzureAccess", vec![("/identity", json!({}))], "identity needs exactly one"),
        ("AzureAccess", vec![("/namespaces/selector", json!({}))], "namespaces needs exactly one"),
        ("AzureAccess", vec![("/namespaces", json!({}))], "namespaces needs exactly one"),
        (
            "AzureAccess",
            vec![("/namespaces", json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Gt", "values": ["1"] }] } }))],
            "In or NotIn with values",
        ),
        (
            "AzureAccess",
            vec![("/namespaces", json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "In" }] } }))],
            "In or NotIn with values",
        ),
        (
            "AzureAccess",
            vec![("/namespaces", json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "Exists", "values": ["x"] }] } }))],
            "Exists or DoesNotExist without",
        ),
        (
            "AzureAccess",
            vec![(
                "/namespaces",
                json!({ "selector": { "matchExpressions": [{ "key": "a", "operator": "NotIn", "values": ["x"] }, { "key": "b", "operator": "Exists" }] } }),
            )],
            "",
        ),
        ("RecoveryVault", vec![], ""),
        ("RecoveryVault", vec![("/redundancy", json!("LocallyRedundant"))], "crossRegionRestore needs redundancy: GeoRedundant"),
        ("RecoveryVault", vec![("/redundancy", Value::Null)], ""),
        ("RecoveryVault", vec![("/redundancy", json!("ZoneRedundant")), ("/crossRegionRestore", json!(false))], ""),
        ("RecoveryVault", vec![("/tags", json!({ "breakwater-owner": "x" }))], "kept by Breakwater"),
        ("RecoveryVault", vec![("/tags", json!({ "Breakwater-Estate": "x" }))], "kept by Breakwater"),
        ("RecoveryVault", vec![("/tags", json!({ "team": "a", "Team": "b" }))], "tags names one key twice"),
        ("RecoveryVault", vec![("/tags", json!({ "cost/centre": "a" }))], "a tag's key has 1 to 512 characters"),
        ("RecoveryVault", vec![("/tags", json!({ "": "a" }))], "a tag's key has 1 to 512 characters"),
        ("RecoveryVault", vec![("/tags", json!({ "Kostenstelle für Ü": "a/b" }))], ""),
        ("ProtectedMachine", vec![], ""),
        ("ProtectedMachine", vec![("/disks", json!({}))], "exactly one of include, exclude, osOnly"),
    ]
}

/// When a policy backs up, and how long it keeps.
fn schedules_and_retention() -> Vec<Case> {
    let weekly = || json!({ "weekly": { "days": ["Sunday"], "at": "02:00" } });
    let keep_weekly = || json!({ "weekly": { "keep": 12, "days": ["Sunday"] } });
    let hourly = |every: &str, window: &str| json!({ "hourly": { "every": every, "from": "08:00", "for": window } });
    vec![
        ("BackupPolicy", vec![], ""),
        ("BackupPolicy", vec![("/azureName", json!("nightly"))], "azureName needs adopt: IfNotWeaker"),
        ("BackupPolicy", vec![("/azureName", json!("nightly")), ("/adopt", json!("Never"))], "azureName needs adopt: IfNotWeaker"),
        ("BackupPolicy", vec![("/azureName", json!("nightly")), ("/adopt", json!("IfNotWeaker"))], ""),
        ("BackupPolicy", vec![("/schedule", json!({}))], "exactly one of daily, weekly, hourly"),
        ("BackupPolicy", vec![("/schedule/hourly", hourly("4h", "12h")["hourly"].clone())], "exactly one of daily, weekly, hourly"),
        ("BackupPolicy", vec![("/schedule", hourly("4h", "12h"))], ""),
        ("BackupPolicy", vec![("/schedule", hourly("12h", "1d"))], ""),
        ("BackupPolicy", vec![("/schedule", hourly("5h", "10h"))], "must be 4h, 6h, 8h or 12h"),
        ("BackupPolicy", vec![("/schedule", hourly("8h", "12h"))], "must be a multiple of hourly.every"),
        ("BackupPolicy", vec![("/schedule", hourly("4h", "12h")), ("/tier", json!("Standard"))], "an hourly schedule needs tier: Enhanced"),
        ("BackupPolicy", vec![("/schedule", weekly())], "impossible with a weekly one"),
        ("BackupPolicy", vec![("/schedule", weekly()), ("/retention", keep_weekly())], ""),
        (
            "BackupPolicy",
            vec![("/schedule", weekly()), ("/retention", json!({ "weekly": { "keep": 2, "days": ["Monday"] } }))],
            "on the same days",
        ),
        ("BackupPolicy", vec![("/schedule", weekly()), ("/retention", json!({}))], "on the same days"),
        ("BackupPolicy", vec![("/retention", json!({}))], "retention.daily is needed"),
        ("BackupPolicy", vec![("/retention/daily/keep", json!("6d"))], "7d to 9999d"),
        ("BackupPolicy", vec![("/retention/daily/keep", json!("30d12h"))], "7d to 9999d"),
        ("BackupPolicy", vec![("/retention/daily/keep", json!("10000d"))], "7d to 9999d"),
        ("BackupPolicy", vec![("/retention/daily/keep", json!("9999d"))], ""),
        ("BackupPolicy", vec![("/retention/instantRestoreDays", json!(30))], ""),
        ("BackupPolicy", vec![("/retention/instantRestoreDays", json!(6)), ("/tier", json!("Standard"))], "instantRestoreDays is 1 to 5"),
        (
            "BackupPolicy",
            vec![
                ("/schedule", weekly()),
                ("/retention", keep_weekly()),
                ("/retention/instantRestoreDays", json!(2)),
                ("/tier", json!("Standard")),
            ],
            "exactly 5",
        ),
        (
            "BackupPolicy",
            vec![
                ("/schedule", weekly()),
                ("/retention", keep_weekly()),
                ("/retention/instantRestoreDays", json!(5)),
                ("/tier", json!("Standard")),
            ],
            "",
        ),
    ]
}

/// What else a policy says.
fn archive_months_and_machines() -> Vec<Case> {
    let on_first = || json!({ "keep": 12, "when": { "week": "First", "day": "Sunday" } });
    vec![
        ("BackupPolicy", vec![("/archive", json!({ "mode": "Recommended" }))], "archive needs retention.monthly"),
        ("BackupPolicy", vec![("/archive", json!({ "mode": "Recommended" })), ("/retention/monthly", on_first())], ""),
        ("BackupPolicy", vec![("/archive", json!({ "mode": "After" })), ("/retention/monthly", on_first())], "archive.months is needed"),
        (
            "BackupPolicy",
            vec![("/archive", json!({ "mode": "Recommended", "months": 3 })), ("/retention/monthly", on_first())],
            "archive.months is needed",
        ),
        ("BackupPolicy", vec![("/retention/monthly", json!({ "keep": 1, "when": { "days": [1, "last"] } }))], ""),
        ("BackupPolicy", vec![("/retention/monthly", json!({ "keep": 1, "when": { "days": [29] } }))], "from 1 to 28, or last"),
        ("BackupPolicy", vec![("/retention/monthly", json!({ "keep": 1, "when": { "days": ["first"] } }))], "from 1 to 28, or last"),
        ("BackupPolicy", vec![("/retention/monthly", json!({ "keep": 1, "when": { "week": "First" } }))], "week and day together"),
        ("BackupPolicy", vec![("/retention/monthly", json!({ "keep": 1, "when": {} }))], "week and day together"),
        ("BackupPolicy", vec![("/machines/0/selector", json!({ "subscriptionId": SUBSCRIPTION }))], "exactly one of id, selector"),
        ("BackupPolicy", vec![("/machines/0/id", Value::Null)], "exactly one of id, selector"),
        (
            "BackupPolicy",
            vec![("/machines", json!([{ "selector": { "subscriptionId": SUBSCRIPTION, "tags": {} } }]))],
            "at least one of all, any, not",
        ),
        ("BackupPolicy", vec![("/machines/0/disks", json!({ "include": [0], "exclude": [1] }))], "exactly one of include, exclude, osOnly"),
        ("BackupPolicy", vec![("/machines/0/disks", json!({ "osOnly": false }))], "osOnly can only be true"),
    ]
}

#[test]
fn a_new_object_is_taken_or_refused_with_words_that_say_what_to_do() {
    let cases = [small_objects(), schedules_and_retention(), archive_months_and_machines()].concat();
    for (kind, changes, words) in cases {
        let refused = refusals(kind, &with(&base(kind), &changes), None);
        match words {
            "" => assert!(refused.is_empty(), "{kind} with {changes:?} is refused: {refused:?}"),
            words => assert!(refused.iter().any(|r| r.contains(words)), "{kind} with {changes:?}: expected {words:?}, got {refused:?}"),
        }
    }
}

/// A restore is one restore: what it restores, to where and how does not change.
fn of_a_restore() -> Vec<Case> {
    let set = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Compute/diskEncryptionSets/des");
    let fields = [
        ("from", "/from/recoveryPoint/point", json!({ "name": "1" })),
        ("to", "/to/disks/resourceGroup", json!("rg-other")),
        ("staging", "/staging/storageAccountId", json!(account("other"))),
        ("diskAccess", "/diskAccess", json!("SameAsSource")),
        ("diskEncryptionSetId", "/diskEncryptionSetId", json!(set)),
        ("securedVmOsDiskEncryptionSetId", "/securedVmOsDiskEncryptionSetId", json!(set)),
        ("validateFirst", "/validateFirst", json!(false)),
        ("key", "/key", json!("other")),
        ("expiresAt", "/expiresAt", json!("2027-01-31T00:00:00Z")),
        ("requestedBy", "/requestedBy", json!("ann@example.com")),
    ];
    let said = |field: &str| -> &'static str { format!("{field} is immutable: make a new RestoreRun").leak() };
    let immutable = fields.map(|(field, pointer, value)| ("RestoreRun", vec![(pointer, value)], said(field)));
    let others: [Case; 2] = [
        ("RestoreRun", vec![("/mode", json!("Plan"))], "mode may go from Plan to Manage, and nowhere else"),
        ("RestoreRun", vec![("/suspend", json!(true)), ("/ttlSecondsAfterFinished", json!(60))], ""),
    ];
    immutable.into_iter().chain(others).collect()
}

#[test]
fn what_is_immutable_says_to_make_a_new_object() {
    let cases: Vec<Case> = vec![
        (
            "RecoveryVault",
            vec![("/subscriptionId", json!("22222222-2222-2222-2222-222222222222"))],
            "subscriptionId is immutable: make a new RecoveryVault",
        ),
        ("RecoveryVault", vec![("/resourceGroup", json!("rg-other"))], "resourceGroup is immutable: make a new RecoveryVault"),
        ("RecoveryVault", vec![("/location", json!("northeurope"))], "location is immutable: make a new RecoveryVault"),
        ("RecoveryVault", vec![("/azureName", json!("other"))], "azureName is immutable: make a new RecoveryVault"),
        ("RecoveryVault", vec![("/azureName", json!("main"))], ""),
        ("RecoveryVault", vec![("/redundancy", Value::Null), ("/tags", json!({})), ("/suspend", json!(true))], ""),
        ("BackupPolicy", vec![("/vaultRef/name", json!("other"))], "vaultRef is immutable: make a new BackupPolicy"),
        ("BackupPolicy", vec![("/azureName", json!("abc"))], "azureName is immutable: make a new BackupPolicy"),
        ("BackupPolicy", vec![("/tier", json!("Standard"))], "tier cannot go from Enhanced to Standard"),
        ("BackupPolicy", vec![("/schedule/daily/at", json!("03:00")), ("/timeZone", json!("Europe/Amsterdam"))], ""),
        ("ProtectedMachine", vec![("/machineId", json!("/subscriptions/x"))], "machineId is immutable: make a new ProtectedMachine"),
        ("ProtectedMachine", vec![("/policyRef/name", json!("hourly"))], ""),
        ("BackupRun", vec![("/protectedMachineRef/name", json!("other"))], "protectedMachineRef is immutable: make a new BackupRun"),
        ("BackupRun", vec![("/retainUntil", json!("2027-01-31T00:00:00Z"))], "retainUntil is immutable: make a new BackupRun"),
        ("BackupRun", vec![("/key", json!("other"))], "key is immutable: make a new BackupRun"),
        ("BackupRun", vec![("/expiresAt", json!("2027-01-31T00:00:00Z"))], "expiresAt is immutable: make a new BackupRun"),
        ("BackupRun", vec![("/mode", json!("Plan"))], "mode may go from Plan to Manage, and nowhere else"),
        ("BackupRun", vec![("/suspend", json!(true)), ("/cancelOnDelete", json!(true)), ("/ttlSecondsAfterFinished", json!(60))], ""),
    ];
    for (kind, changes, words) in [cases, of_a_restore()].concat() {
        let old = with(&base(kind), &if kind == "BackupPolicy" { vec![("/tier", json!("Enhanced"))] } else { vec![] });
        let refused = refusals(kind, &with(&old, &changes), Some(&old));
        match words {
            "" => assert!(refused.is_empty(), "{kind} with {changes:?} is refused: {refused:?}"),
            words => assert!(refused.iter().any(|r| r.contains(words)), "{kind} with {changes:?}: expected {words:?}, got {refused:?}"),
        }
    }
    let standard = with(&policy(), &[("/tier", json!("Standard"))]);
    assert!(refusals("BackupPolicy", &with(&standard, &[("/tier", json!("Enhanced"))]), Some(&standard)).is_empty(), "an upgrade is taken");
}

#[test]
fn an_access_that_was_resolved_is_kept() {
    for kind in ["RecoveryVault", "BackupPolicy", "ProtectedMachine", "BackupRun"] {
        let refused = |named: &str, pinned: Option<&str>| {
            let spec = with(&base(kind), &[("/accessRef", json!({ "name": named }))]);
            let status = pinned.map_or(json!({}), |name| json!({ "access": { "name": name } }));
            let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": kind, "metadata": { "name": "main", "namespace": "shop" }, "spec": spec, "status": status });
            let result = Validator::new().validate_with_defaults(&schema(kind), &object, None);
            result.err().is_some_and(|errors| errors.into_vec().iter().any(|e| e.message.contains("is kept: set it to that")))
        };
        assert!(!refused("shop", None), "{kind}: a name that did not resolve yet can be corrected");
        assert!(!refused("shop", Some("shop")), "{kind}: the name it has anyway may be spelt out");
        assert!(refused("other", Some("shop")), "{kind}: another one would be ignored");
    }
}
