//! Policies: validation over the wire, use, limits, immutability, and what an edit does to points.

use serde_json::{Value, json};

use super::super::{Limits, Settings};
use super::lab::{Lab, VAULT, code, daily, default_policy, item};

fn url(name: &str) -> String {
    format!("{VAULT}/backupPolicies/{name}")
}

#[test]
fn a_bad_policy_is_refused_in_azures_words() {
    let mut lab = Lab::new();
    for (name, body) in [
        ("short", daily("16:15", 30)),
        ("few", daily("16:30", 6)),
        ("1st", daily("16:30", 30)),
        ("ab", daily("16:30", 30)),
        ("none", json!({})),
    ] {
        let reply = lab.put(&url(name), body);
        assert_eq!(code(&reply), (400, "BMSUserErrorInvalidPolicyInput".to_owned()), "{name}");
        let message = reply.body.unwrap()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("Input for create or update policy is not in proper format\r\n"));
        assert_eq!(lab.get(&url(name)).status, 404);
    }
}

#[test]
fn a_new_vault_holds_three_policies_and_the_filter_hides_other_workloads() {
    let mut lab = Lab::new();
    let names = |rows: Vec<Value>| rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(lab.rows(&format!("{VAULT}/backupPolicies"))), ["DefaultPolicy", "EnhancedPolicy", "HourlyLogBackup"]);
    assert_eq!(
        names(lab.rows(&format!("{VAULT}/backupPolicies?$filter=backupManagementType eq 'AzureIaasVM'"))),
        ["DefaultPolicy", "EnhancedPolicy"]
    );
    assert_eq!(lab.read(&url("defaultpolicy"))["name"], "DefaultPolicy");
}

#[test]
fn a_policy_in_use_counts_its_items_and_cannot_be_deleted() {
    let mut lab = Lab::new();
    lab.put(&url("shop"), daily("02:00", 30));
    lab.configure("win", json!({"policyId": url("SHOP")}));
    assert_eq!(lab.read(&url("shop"))["properties"]["protectedItemsCount"], 1);
    assert_eq!(code(&lab.send("DELETE", &url("shop"), Value::Null)), (400, "BMSUserErrorPolicyInUse".to_owned()));
    let listed = lab.rows(&format!("{VAULT}/backupProtectedItems?$filter=policyName eq 'shop'"));
    assert_eq!(listed.len(), 1);
    lab.protect("win");
    assert_eq!(lab.send("DELETE", &url("shop"), Value::Null).status, 200);
    assert_eq!(lab.send("DELETE", &url("shop"), Value::Null).status, 204);
}

#[test]
fn an_enhanced_policy_never_becomes_a_standard_one_again() {
    let mut lab = Lab::new();
    lab.put(&url("shop"), daily("02:00", 30));
    let mut v2 = daily("02:00", 30);
    v2["properties"]["policyType"] = json!("V2");
    v2["properties"]["schedulePolicy"] = json!({"schedulePolicyType": "SimpleSchedulePolicyV2", "scheduleRunFrequency": "Daily", "dailySchedule": {"scheduleRunTimes": ["2024-01-01T02:00:00Z"]}});
    assert_eq!(lab.put(&url("shop"), v2).status, 200);
    assert_eq!(lab.put(&url("shop"), daily("02:00", 30)).status, 400);
    lab.configure("win", json!({"policyId": url("shop")}));
    let back = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": super::lab::vm("win"), "policyId": default_policy(VAULT)}});
    assert_eq!(lab.put(&item("win"), back).status, 400);
}

#[test]
fn fifty_policy_writes_a_day_are_enough() {
    let mut lab = Lab::with(Settings { limits: Limits { policy_writes: 3, ..Limits::default() }, ..Settings::default() });
    for _ in 0..3 {
        assert_eq!(lab.put(&url("shop"), daily("02:00", 30)).status, 200);
    }
    assert_eq!(code(&lab.put(&url("shop"), daily("02:00", 30))), (400, "CloudDosTimeboudLimitReached".to_owned()));
    assert_eq!(code(&lab.send("DELETE", &url("shop"), Value::Null)).0, 400, "a delete is a write too");
    lab.wait_days(1);
    assert_eq!(lab.put(&url("shop"), daily("02:00", 30)).status, 200);
    assert_eq!(Limits::default().policy_writes, 50);
}

#[test]
fn an_edit_applies_to_the_points_there_are() {
    let mut lab = Lab::new();
    lab.put(&url("shop"), daily("02:00", 30));
    lab.configure("win", json!({"policyId": url("shop")}));
    lab.wait_days(20);
    assert_eq!(lab.points("win").len(), 20);
    lab.put(&url("shop"), daily("02:00", 60));
    let first = lab.points("win").pop().unwrap();
    let expiry = first["recoveryPointProperties"]["expiryTime"].as_str().unwrap().to_owned();
    assert!(expiry.starts_with("2026-03-07T02:"), "sixty days after 6 January: {expiry}");
    assert!(!expiry.ends_with('Z'));
    lab.put(&url("shop"), daily("02:00", 7));
    assert_eq!(lab.points("win").len(), 20, "the sweep is not at once");
    lab.wait(2 * 3600);
    assert_eq!(lab.points("win").len(), 7, "and lets go what is past its new end");
}

#[test]
fn immutability_forbids_shorter_retention() {
    for state in ["Unlocked", "Locked"] {
        let mut lab = Lab::new();
        lab.put(&url("shop"), daily("02:00", 30));
        lab.put(&url("thin"), daily("02:00", 10));
        lab.configure("win", json!({"policyId": url("shop")}));
        lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}));
        lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": state}}}));
        assert_eq!(lab.put(&url("shop"), daily("02:00", 29)).status, 400, "{state}");
        assert_eq!(lab.put(&url("shop"), daily("02:00", 31)).status, 200, "{state}");
        assert_eq!(lab.put(&url("thin"), daily("02:00", 7)).status, 200, "nobody uses it");
        let body = json!({"properties": {"protectedItemType": "Microsoft.Compute/virtualMachines", "sourceResourceId": super::lab::vm("win"), "policyId": url("thin")}});
        assert_eq!(code(&lab.put(&item("win"), body)), (400, "UserErrorOperationDeniedOnImmutableItem".to_owned()), "{state}");
    }
    let only_locked = Settings { immutability_reach: super::super::ImmutabilityReach::LockedOnly, ..Settings::default() };
    let mut lab = Lab::with(only_locked);
    lab.put(&url("shop"), daily("02:00", 30));
    lab.configure("win", json!({"policyId": url("shop")}));
    lab.patch_vault(json!({"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}));
    assert_eq!(lab.put(&url("shop"), daily("02:00", 29)).status, 200);
}
