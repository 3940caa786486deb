//! Policies as Azure really echoed them are understood, and what we would send has their shape.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, path::PathBuf};

use breakwater_api::BackupPolicySpec;
use breakwater_plan::policy::{differences, merged, to_azure, weakens};
use serde_json::{Value, json};

#[allow(clippy::disallowed_methods, reason = "a test finds its recordings where it is told")]
fn recorded(name: &str) -> Value {
    let folder = std::env::var_os("BREAKWATER_RECORDED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/azure/recorded"), PathBuf::from);
    let path = folder.join("backup").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{} is needed for this test: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn spec(json: Value) -> BackupPolicySpec {
    let mut whole = json!({ "vaultRef": { "name": "main" }, "tier": "Standard", "schedule": { "daily": { "at": "16:30" } }, "timeZone": "Etc/UTC",
                            "retention": { "daily": { "keep": "30d" }, "instantRestoreDays": 2 } });
    whole.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

/// (recording, the spec that means the same)
fn pairs() -> Vec<(&'static str, BackupPolicySpec)> {
    let monthly = json!({ "daily": { "keep": "30d" }, "instantRestoreDays": 2, "monthly": { "keep": 60, "when": { "days": [1] } },
                          "instantRestoreResourceGroup": { "prefix": "RG_prefix", "suffix": "RG_suffix" } });
    let hourly = json!({ "tier": "Enhanced", "schedule": { "hourly": { "every": "4h", "from": "08:00", "for": "12h" } } });
    vec![
        ("policy_put_v1_create__200.json", spec(json!({}))),
        ("policy_put_in_use_protecteditemscount__200.json", spec(json!({}))),
        ("policy_put_monthly_tiering_instantrp_rg__200.json", spec(json!({ "retention": monthly, "archive": { "mode": "Recommended" } }))),
        ("policy_put_v2_hourly__200.json", spec(hourly)),
    ]
}

/// The body as it counts: no date, no `.000`, no read-only count.
fn essence(body: &Value) -> Value {
    let mut text = body.to_string();
    for date in ["2024-04-28", "2024-01-01"] {
        text = text.replace(date, "");
    }
    let mut body: Value = serde_json::from_str(&text.replace(".000Z", "Z")).unwrap();
    body["properties"].as_object_mut().unwrap().remove("protectedItemsCount");
    body
}

#[test]
fn a_recorded_echo_is_no_difference_from_the_spec_that_means_it() {
    for (name, spec) in pairs() {
        let echoed = &recorded(name)["response"]["body"];
        assert_eq!(differences(&spec, echoed), Ok(vec![]), "{name}");
        assert_eq!(weakens(echoed, &merged(echoed, &spec).unwrap()), [], "{name}");
    }
    let default = &recorded("policy_get_default__200.json")["response"]["body"];
    assert_eq!(differences(&spec(json!({})), default), Ok(vec![]));
}

#[test]
fn what_we_would_send_is_what_the_recorded_client_sent() {
    for (name, spec) in pairs() {
        assert_eq!(essence(&to_azure(&spec).unwrap()), essence(&recorded(name)["request"]["body"]), "{name}");
    }
}

#[test]
fn an_old_echo_that_shows_no_zone_and_no_instant_days_is_no_difference() {
    let echoed = &recorded("policy_put_v1_without_instantrp_api_2016__200.json")["response"]["body"];
    let morning = spec(json!({ "schedule": { "daily": { "at": "03:00" } } }));
    assert_eq!(differences(&morning, echoed), Ok(vec![]));
}

#[test]
fn every_machine_policy_in_a_recorded_list_is_read_without_loss() {
    let list = recorded("policy_list__200.json");
    let policies = list["response"]["body"]["value"].as_array().unwrap();
    let of_machines: Vec<_> = policies.iter().filter(|p| p["properties"]["backupManagementType"] == "AzureIaasVM").collect();
    assert!(of_machines.len() >= 3);
    for policy in of_machines {
        let other = spec(json!({ "timeZone": "Asia/Tokyo", "schedule": { "daily": { "at": "00:30" } } }));
        for difference in differences(&other, policy).unwrap() {
            assert!(!difference.have.starts_with('{'), "{} was not understood: {}", difference.field, difference.have);
        }
        assert_eq!(weakens(policy, policy), []);
    }
}
