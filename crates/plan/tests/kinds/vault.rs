//! `RecoveryVault`: made with all its settings, raised, never lowered, never taken over, never made anew.

use breakwater_api::{ConditionType, Reason, RecoveryVault};
use breakwater_plan::{
    defence::TAG_WRITER,
    facts::Facts,
    graph::HoldKind,
    kind::{Kind as _, Subject},
    kinds::items_of,
};
use serde_json::{Value, json};

use crate::estate::*;

fn declares(spec: Value, status: Value) -> Subject<RecoveryVault> {
    subject("main", vault_spec(spec), status)
}

fn shown(properties: Value, config_state: (&str, i64)) -> Facts {
    let mut facts = Facts::default();
    see(&mut facts, &vault(), Some(vault_body(properties)));
    see(&mut facts, &config(), Some(config_body(config_state.0, config_state.1)));
    list(&mut facts, items_of(&vault()), &[]);
    facts
}

#[test]
fn a_vault_is_made_with_all_that_is_declared() {
    let spec = json!({ "redundancy": "GeoRedundant", "crossRegionRestore": true, "immutability": "Unlocked",
        "softDelete": { "state": "AlwaysOn", "retentionDays": 30 }, "publicNetworkAccess": "Disabled", "tags": { "cost-center": "shop" } });
    let s = declares(spec, json!({}));
    let mut facts = Facts::default();
    see(&mut facts, &vault(), None);
    let plan = planned(&s, &facts);
    let expected = json!({
        "location": "westeurope", "tags": with(tags(), json!({ "cost-center": "shop" })), "sku": { "name": "RS0", "tier": "Standard" },
        "properties": { "publicNetworkAccess": "Disabled",
            "redundancySettings": { "standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Enabled" },
            "securitySettings": { "immutabilitySettings": { "state": "Unlocked" } } },
    });
    assert_eq!((told(&plan, "vault").as_str(), body(&plan, "vault")), ("PUT", expected));
    assert_eq!(
        (told(&plan, "tags").as_str(), told(&plan, "soft-delete").as_str()),
        ("wait: DependencyNotReady", "wait: DependencyNotReady")
    );

    let made = json!({ "publicNetworkAccess": "Disabled",
        "redundancySettings": { "standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Enabled" } });
    let plan = planned(&s, &shown(made, ("Enabled", 14)));
    assert_eq!(told(&plan, "vault"), "done");
    let raised = json!({ "properties": { "enhancedSecurityState": "Enabled", "softDeleteFeatureState": "AlwaysOn", "softDeleteRetentionPeriodInDays": 30 } });
    assert_eq!((told(&plan, "soft-delete").as_str(), body(&plan, "soft-delete")), ("PATCH", raised));
    assert_eq!(body(&plan, "tags"), json!({ "operation": "Merge", "properties": { "tags": { "cost-center": "shop" } } }));
}

#[test]
fn a_defence_that_is_weaker_than_declared_is_raised_by_one_patch() {
    let s = declares(json!({ "immutability": "Unlocked", "publicNetworkAccess": "Disabled" }), json!({ "vault": { "id": vault() } }));
    let facts = shown(json!({ "securitySettings": null }), ("Enabled", 14));
    let raised = json!({ "properties": { "publicNetworkAccess": "Disabled", "securitySettings": { "immutabilitySettings": { "state": "Unlocked" } } } });
    assert_eq!(body(&planned(&s, &facts), "vault"), raised);
    let drifted = said(&reported(&s, &facts), ConditionType::Drifted);
    assert_eq!((drifted.holds, drifted.reason), (Some(true), Reason::Drifted));
}

#[test]
fn an_edit_that_asks_for_less_stops_and_names_the_field() {
    let cases = [
        (json!({ "softDelete": { "state": "Enabled" } }), "softDelete.state", "AlwaysOn"),
        (json!({ "softDelete": { "state": "AlwaysOn", "retentionDays": 14 } }), "softDelete.retentionDays", "30"),
        (json!({ "immutability": "Disabled" }), "immutability", "Unlocked"),
        (json!({ "redundancy": "LocallyRedundant" }), "redundancy", "GeoRedundant"),
    ];
    for (spec, field, before) in cases {
        let s = declares(spec, json!({ "vault": { "id": vault() }, "declared": { field: before } }));
        let plan = planned(&s, &shown(json!({}), ("AlwaysON", 30)));
        assert_eq!(plan.stuck().map(|s| s.0), Some(Reason::WouldWeaken), "{field}: {plan:?}");
        assert!(message(&plan).contains(&format!("spec.{field}")), "{}", message(&plan));
        assert_eq!(plan.steps().count(), 0, "{field}");
    }
}

#[test]
fn a_field_that_is_declared_late_asks_for_less_than_the_vault_was_made_with() {
    let made = json!({ "vault": { "id": vault() } });
    for (spec, field) in [(json!({ "immutability": "Disabled" }), "immutability"), (json!({ "redundancy": "ZoneRedundant" }), "redundancy")]
    {
        let plan = planned(&declares(spec.clone(), made.clone()), &shown(json!({}), ("Enabled", 14)));
        assert_eq!(plan.stuck().map(|s| s.0), Some(Reason::WouldWeaken), "{spec}: {plan:?}");
        assert!(message(&plan).contains(&format!("spec.{field}")), "{}", message(&plan));
    }
    // Declared before there was a vault, and made so.
    let weak = json!({ "securitySettings": { "immutabilitySettings": { "state": "Disabled" } } });
    assert!(planned(&declares(json!({ "immutability": "Disabled" }), made), &shown(weak, ("Enabled", 14))).converged());
}

#[test]
fn tags_that_azure_would_take_for_one_or_for_ours_are_refused_by_name() {
    let cases = [
        (json!({ "a": "1", "A": "2" }), "spec.tags: A and a are one key"),
        (json!({ "Breakwater-Owner": "me" }), "spec.tags.Breakwater-Owner"),
    ];
    for (tags, words) in cases {
        let hold = RecoveryVault::desire(&declares(json!({ "tags": tags }), json!({})), &shown(json!({}), ("Enabled", 14))).unwrap_err();
        assert_eq!((hold.reason, hold.kind), (Reason::InvalidSpec, HoldKind::Stuck));
        assert!(hold.message.contains(words), "{}", hold.message);
    }
}

#[test]
fn a_cluster_in_the_region_that_it_protects_is_told_so_where_the_operator_knows() {
    let facts = shown(json!({}), ("Enabled", 14));
    let told = |region: Option<&str>| {
        let s = Subject { region: region.map(Into::into), ..declares(json!({}), json!({})) };
        reported(&s, &facts).conditions.into_iter().find(|c| c.about == ConditionType::ControlPlaneInSourceRegion).and_then(|c| c.holds)
    };
    assert_eq!((told(None), told(Some("West Europe")), told(Some("northeurope"))), (None, Some(true), Some(false)));
}

#[test]
fn what_somebody_made_stronger_is_left_and_told() {
    let spec = json!({ "softDelete": { "state": "Enabled", "retentionDays": 14 }, "immutability": "Disabled" });
    let s =
        declares(spec, json!({ "vault": { "id": vault() }, "declared": { "softDelete.state": "Enabled", "immutability": "Disabled" } }));
    let facts = shown(json!({}), ("AlwaysON", 30));
    assert!(planned(&s, &facts).converged(), "{:?}", planned(&s, &facts));
    let report = reported(&s, &facts);
    let drifted = said(&report, ConditionType::Drifted);
    assert_eq!((drifted.holds, drifted.reason), (Some(true), Reason::StrongerThanDeclared));
    assert_eq!((report.promise.kept, report.promise.reason), (true, Reason::AsDeclared));
    assert_eq!(report.owned, [owned(&vault())].map(|o| breakwater_api::status::Owned { name: Some("vault".into()), ..o }));
}

#[test]
fn one_way_settings_stop_once_the_vault_held_an_item() {
    let never = |spec: Value| planned(&declares(spec, json!({ "vault": { "id": vault() } })), &shown(json!({}), ("Enabled", 14)));
    let held = |spec: Value| {
        planned(&declares(spec, json!({ "vault": { "id": vault() }, "everProtected": true })), &shown(json!({}), ("Enabled", 14)))
    };
    let (crr, always) = (json!({ "crossRegionRestore": true }), json!({ "softDelete": { "state": "AlwaysOn" } }));
    assert_eq!(told(&never(crr.clone()), "vault"), "PATCH");
    assert_eq!(told(&held(crr), "vault"), "stuck: OneWay");
    assert_eq!(told(&never(always.clone()), "soft-delete"), "PATCH");
    assert_eq!(told(&held(always), "soft-delete"), "stuck: OneWay");
    assert_eq!(
        told(&held(json!({ "softDelete": { "state": "Enabled", "retentionDays": 30 } })), "soft-delete"),
        "PATCH",
        "more days are no one-way street"
    );
}

#[test]
fn a_vault_that_is_not_ours_is_not_touched_even_when_it_is_as_declared() {
    let s = declares(json!({ "immutability": "Unlocked" }), json!({}));
    let stands = |change: fn(&mut Value)| {
        let mut facts = shown(json!({}), ("Enabled", 14));
        let mut body = vault_body(json!({}));
        change(&mut body);
        see(&mut facts, &vault(), Some(body));
        facts
    };
    #[rustfmt::skip]
    let cases = [
        (stands(|b| b["tags"] = json!({})),                     "stuck: NotOurs"),
        (stands(|b| b["tags"][TAG_WRITER] = "w2".into()),       "stuck: OwnedByOtherCluster"),
        (stands(|b| b["location"] = "northeurope".into()),      "stuck: LocationMismatch"),
        (stands(|b| b["location"] = "West Europe".into()),      "done"),
    ];
    for (facts, expected) in cases {
        let plan = planned(&s, &facts);
        assert_eq!(told(&plan, "vault"), expected);
        assert_eq!(reported(&s, &facts).promise.kept, expected == "done");
    }
    assert!(reported(&s, &stands(|b| b["tags"] = json!({}))).owned.is_empty(), "nor called our own");
}

#[test]
fn a_vault_that_was_there_and_is_gone_is_not_made_again_empty() {
    let mut facts = Facts::default();
    see(&mut facts, &vault(), None);
    let plan = planned(&declares(json!({}), json!({ "vault": { "id": vault() } })), &facts);
    assert_eq!(told(&plan, "vault"), "stuck: Missing");
}
