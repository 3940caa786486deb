//! `RecoveryVault`: made with all its settings, raised, never lowered, never taken over, never made anew.

use breakwater_api::{ConditionType, Reason, RecoveryVault};
use breakwater_arm::ResourceId;
use breakwater_plan::{
    defence::{TAG_ESTATE, TAG_WRITER},
    facts::{Facts, List, Need},
    graph::HoldKind,
    kind::{Kind as _, Meta, Subject},
    kinds::{all_items_of, items_of},
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
        (json!({ "plan": "subscriptions/gold" }), "spec.tags.plan: its value begins like an ARM id"),
        (json!({ "doc": "/providers/x" }), "spec.tags.doc"),
        (json!({ "/providers/x": "1" }), "spec.tags./providers/x"),
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
fn one_way_doors_are_asked_about_each_by_itself_once_the_vault_held_an_item() {
    let shows = |version: &str| shown(json!({ "backupStorageVersion": version }), ("Enabled", 14));
    let (new, used) = (shows("Unassigned"), shows("V2"));
    let never = |spec: Value| planned(&declares(spec, json!({ "vault": { "id": vault() } })), &new);
    let subject = |spec: Value| declares(spec, json!({ "vault": { "id": vault() }, "everProtected": true }));
    let held = |spec: Value| planned(&subject(spec), &used);
    let (crr, always) = (json!({ "crossRegionRestore": true }), json!({ "softDelete": { "state": "AlwaysOn" } }));
    assert_eq!(told(&never(crr.clone()), "vault"), "PATCH");
    assert_eq!(told(&held(crr.clone()), "one-way-cross-region-restore"), "stuck: OneWay");
    assert_eq!(told(&held(crr.clone()), "vault"), "done", "everything else goes on");
    assert_eq!(told(&never(always.clone()), "soft-delete"), "PATCH");
    assert_eq!(told(&held(always.clone()), "one-way-soft-delete"), "stuck: OneWay");
    let locked = json!({ "immutability": "Locked" });
    assert_eq!(told(&never(locked.clone()), "one-way-immutability"), "stuck: OneWay", "Locked is asked about always");
    assert_eq!(
        told(&held(json!({ "softDelete": { "state": "Enabled", "retentionDays": 30 } })), "soft-delete"),
        "PATCH",
        "more days are no one-way street"
    );
    for (spec, node, pointer, word) in [
        (crr, "one-way-cross-region-restore", "/properties/redundancySettings/crossRegionRestore", "Enabled"),
        (always, "one-way-soft-delete", "/properties/softDeleteFeatureState", "AlwaysON"),
        (locked, "one-way-immutability", "/properties/securitySettings/immutabilitySettings/state", "Locked"),
    ] {
        let plan = planned(&answered(subject(spec.clone()), &used), &used);
        assert_eq!(body(&plan, node).pointer(pointer), Some(&json!(word)), "{node}");
        let edited = Subject { meta: Meta { generation: 2, ..meta("main") }, ..answered(subject(spec), &used) };
        assert_eq!(told(&planned(&edited, &used), node), "stuck: OneWay", "an answer is good for one generation");
    }
}

/// The body of that PATCH is whole: what the vault does not show would be filled in with something weaker.
#[test]
fn a_soft_delete_that_is_not_shown_whole_is_not_written() {
    let soft = json!({ "softDelete": { "state": "Enabled" } });
    let s = declares(soft, json!({ "vault": { "id": vault() } }));
    let always = declares(json!({ "softDelete": { "state": "AlwaysOn" } }), json!({ "vault": { "id": vault() }, "everProtected": true }));
    let mut facts = shown(json!({ "backupStorageVersion": "V2" }), ("Disabled", 180));
    let days = |facts: &Facts| body(&planned(&s, facts), "soft-delete").pointer("/properties/softDeleteRetentionPeriodInDays").cloned();
    assert_eq!(days(&facts), Some(json!(180)), "what is declared nowhere stays");
    for lacking in [json!({ "softDeleteFeatureState": "Disabled" }), json!({ "softDeleteRetentionPeriodInDays": 180 }), json!({})] {
        see(&mut facts, &config(), Some(json!({ "id": config(), "properties": lacking })));
        assert_eq!(told(&planned(&s, &facts), "soft-delete"), "wait: Unreadable", "{lacking}");
        assert!(!reported(&s, &facts).promise.kept);
    }
    see(&mut facts, &config(), Some(json!({ "id": config(), "properties": { "softDeleteFeatureState": "Enabled" } })));
    assert_eq!(told(&planned(&always, &facts), "one-way-soft-delete"), "wait: Unreadable");
}

#[test]
fn both_settings_of_redundancy_are_sent_and_only_one_is_changed() {
    let s = declares(json!({ "crossRegionRestore": true }), json!({ "vault": { "id": vault() } }));
    let sent = body(&planned(&s, &shown(json!({ "backupStorageVersion": "Unassigned" }), ("Enabled", 14))), "vault");
    let both = json!({ "standardTierStorageRedundancy": "GeoRedundant", "crossRegionRestore": "Enabled" });
    assert_eq!(sent, json!({ "properties": { "redundancySettings": both } }));
}

#[test]
fn what_stands_before_a_door_is_raised_to_without_a_question_and_the_door_asked_about_then() {
    let state = |state: &str| json!({ "securitySettings": { "immutabilitySettings": { "state": state } }, "backupStorageVersion": "V2" });
    let subject = |spec: Value| declares(spec, json!({ "vault": { "id": vault() }, "everProtected": true }));
    // Azure takes Locked from Unlocked only (backup.md §5.3).
    let locked = subject(json!({ "immutability": "Locked" }));
    let plan = planned(&answered(locked.clone(), &shown(state("Unlocked"), ("Enabled", 14))), &shown(state("Disabled"), ("Enabled", 14)));
    assert_eq!(body(&plan, "vault").pointer("/properties/securitySettings/immutabilitySettings/state"), Some(&json!("Unlocked")));
    assert!(!plan.verdicts.contains_key("one-way-immutability"), "{plan:?}");
    assert_eq!(told(&planned(&locked, &shown(state("Unlocked"), ("Enabled", 14))), "one-way-immutability"), "stuck: OneWay");
    let always = subject(json!({ "softDelete": { "state": "AlwaysOn" } }));
    let plan = planned(&always, &shown(state("Unlocked"), ("Disabled", 14)));
    assert_eq!(body(&plan, "soft-delete").pointer("/properties/softDeleteFeatureState"), Some(&json!("Enabled")));
    assert!(!plan.verdicts.contains_key("one-way-soft-delete"), "{plan:?}");
}

#[test]
fn a_vault_without_a_copy_elsewhere_is_not_asked_about_restores_there() {
    let local = json!({ "redundancySettings": { "standardTierStorageRedundancy": "LocallyRedundant", "crossRegionRestore": "Disabled" } });
    let facts = shown(local, ("Enabled", 14));
    for (held, words) in [(false, "declare spec.redundancy: GeoRedundant"), (true, "leave crossRegionRestore out")] {
        let s = declares(json!({ "crossRegionRestore": true }), json!({ "vault": { "id": vault() }, "everProtected": held }));
        let plan = planned(&s, &facts);
        assert_eq!(plan.stuck().map(|s| s.0), Some(Reason::InvalidSpec), "{plan:?}");
        assert!(message(&plan).contains("LocallyRedundant") && message(&plan).contains(words), "{}", message(&plan));
    }
}

#[test]
fn a_new_vault_is_never_made_locked_by_itself() {
    let mut facts = Facts::default();
    see(&mut facts, &vault(), None);
    let made = body(&planned(&declares(json!({ "immutability": "Locked" }), json!({})), &facts), "vault");
    assert_eq!(made.pointer("/properties/securitySettings/immutabilitySettings/state"), Some(&json!("Unlocked")));
}

#[test]
fn another_clusters_vault_gets_one_tag_after_an_answer_and_nobodys_gets_ours_where_declared() {
    let shows = |tags: Value| {
        let mut facts = shown(json!({}), ("Enabled", 14));
        let mut body = vault_body(json!({ "publicNetworkAccess": "Enabled" }));
        body["tags"] = tags;
        see(&mut facts, &vault(), Some(body));
        facts
    };
    let strict = || declares(json!({ "publicNetworkAccess": "Disabled" }), json!({}));
    let mut others = tags();
    others[TAG_WRITER] = "w2".into();
    let facts = shows(others);
    let plan = planned(&strict(), &facts);
    assert_eq!((told(&plan, "ownership"), plan.verdicts.len()), ("stuck: OwnedByOtherCluster".into(), 1), "and nothing else is planned");
    let plan = planned(&answered(strict(), &facts), &facts);
    let merge = json!({ "operation": "Merge", "properties": { "tags": { TAG_WRITER: "w1" } } });
    assert_eq!((body(&plan, "ownership"), plan.verdicts.len()), (merge, 1));
    let nobodys = shows(json!({ "cost": "x" }));
    assert_eq!(told(&planned(&strict(), &nobodys), "ownership"), "stuck: NotOurs");
    let adopting = || declares(json!({ "publicNetworkAccess": "Disabled", "adopt": "IfNotWeaker" }), json!({}));
    let plan = planned(&adopting(), &nobodys);
    assert_eq!((body(&plan, "ownership")["properties"]["tags"].clone(), plan.verdicts.len()), (tags(), 1));
    let mut foreign = tags();
    foreign[TAG_ESTATE] = "other".into();
    assert_eq!(told(&planned(&adopting(), &shows(foreign)), "ownership"), "stuck: NotOurs", "another estate's is never taken");
}

#[test]
fn a_vault_is_deleted_on_request_only_while_nothing_is_in_it_soft_deleted_backups_neither() {
    let going = || {
        let s = declares(json!({ "deletionPolicy": "Delete" }), json!({ "vault": { "id": vault() } }));
        Subject { meta: Meta { deleting: true, ..meta("main") }, ..s }
    };
    let asked = |facts: &mut Facts, items: &[(ResourceId, Value)]| {
        let lists: Vec<List> = RecoveryVault::needs(&going(), facts)
            .into_iter()
            .filter_map(|need| if let Need::ListUnder { list, .. } = need { Some(list) } else { None })
            .collect();
        assert_eq!(lists.len(), 7, "items, containers of four kinds, fabrics, locks");
        for one in lists {
            let full = one == all_items_of(&vault());
            list(facts, one, if full { items } else { &[] });
        }
    };
    let mut facts = shown(json!({}), ("Enabled", 14));
    assert_eq!(told(&planned(&going(), &facts), "vault"), "wait: NotYetObserved", "what was not listed may be full");
    asked(&mut facts, &[]);
    assert_eq!(told(&planned(&going(), &facts), "vault"), "DELETE");
    let item = (crate::machine::item(), json!({ "properties": { "sourceResourceId": machine(), "isScheduledForDeferredDelete": true } }));
    asked(&mut facts, &[item]);
    assert_eq!(told(&planned(&going(), &facts), "vault"), "stuck: Blocked");
    let blockers = reported(&going(), &facts).status["blockers"].clone();
    assert_eq!(blockers, json!([format!("soft-deleted backups of {}", machine())]));
    asked(&mut facts, &[]);
    let below = |rest: &str| format!("{}/{rest}", vault()).parse::<ResourceId>().unwrap();
    let in_list = |facts: &mut Facts, path: &str, filter: &str, item: (ResourceId, Value)| {
        let all = RecoveryVault::needs(&going(), facts).into_iter().filter_map(|need| match need {
            Need::ListUnder { list, .. } => Some(list),
            _ => None,
        });
        let mut fit = all.filter(|list| list.path.ends_with(path) && format!("{:?}", list.query).contains(filter));
        let (one, none) = (fit.next().unwrap(), fit.next());
        assert!(none.is_none());
        list(facts, one, &[item]);
    };
    let fabric = (below("replicationFabrics/asr-weu"), json!({ "properties": { "friendlyName": "West Europe" } }));
    in_list(&mut facts, "/replicationFabrics", "", fabric);
    let sql = below("backupFabrics/Azure/protectionContainers/VMAppContainer;Compute;rg;sql-1");
    in_list(&mut facts, "/backupProtectionContainers", "AzureWorkload", (sql, json!({ "properties": { "friendlyName": "sql-1" } })));
    let connection = json!({ "id": format!("{}/privateEndpointConnections/pe-1", vault()) });
    see(&mut facts, &vault(), Some(vault_body(json!({ "privateEndpointConnections": [connection] }))));
    assert_eq!(told(&planned(&going(), &facts), "vault"), "stuck: Blocked");
    let blockers = reported(&going(), &facts).status["blockers"].clone();
    let private = format!("private endpoint connection {}/privateEndpointConnections/pe-1", vault());
    assert_eq!(blockers, json!(["container sql-1", "replication of machines in West Europe (fabric asr-weu)", private]));
    see(&mut facts, &vault(), None);
    assert!(planned(&going(), &facts).converged(), "it is gone");
    let mut foreign = shown(json!({}), ("Enabled", 14));
    let mut other = vault_body(json!({}));
    other["tags"][TAG_WRITER] = "w2".into();
    see(&mut foreign, &vault(), Some(other));
    asked(&mut foreign, &[]);
    assert_eq!(told(&planned(&going(), &foreign), "vault"), "stuck: OwnedByOtherCluster");
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
        (stands(|b| b["tags"] = json!({})),                     "ownership", "stuck: NotOurs"),
        (stands(|b| b["tags"][TAG_WRITER] = "w2".into()),       "ownership", "stuck: OwnedByOtherCluster"),
        (stands(|b| b["location"] = "northeurope".into()),      "vault",     "stuck: LocationMismatch"),
        (stands(|b| b["location"] = "West Europe".into()),      "vault",     "done"),
    ];
    for (facts, node, expected) in cases {
        let plan = planned(&s, &facts);
        assert_eq!(told(&plan, node), expected);
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

#[test]
fn the_identity_that_reads_the_key_is_part_of_what_is_declared() {
    let user = id("rg-backup", "Microsoft.ManagedIdentity/userAssignedIdentities/reader").to_string();
    let key = "https://kv.vault.azure.net/keys/k/1";
    let encrypted = |by: Value| {
        let body = json!({ "encryption": { "keyVaultProperties": { "keyUri": key }, "kekIdentity": by } });
        let mut facts = shown(body, ("Enabled", 14));
        let mut vault_now = facts.resource(&vault()).into_present().unwrap().as_ref().clone();
        vault_now["identity"] = json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { &user: {} } });
        see(&mut facts, &vault(), Some(vault_now));
        facts
    };
    let declared =
        |identity: &str| declares(json!({ "encryption": { "keyUri": key, "identity": identity } }), json!({ "vault": { "id": vault() } }));
    let own = json!({ "useSystemAssignedIdentity": true });
    let of_user = json!({ "useSystemAssignedIdentity": false, "userAssignedIdentity": user.to_uppercase() });
    for (shown, declares, expected) in [
        (own.clone(), "SystemAssigned", "done"),
        (own.clone(), "System", "done"),
        (own, user.as_str(), "PATCH"),
        (of_user.clone(), user.as_str(), "done"),
        (of_user, "SystemAssigned", "PATCH"),
        (Value::Null, user.as_str(), "done"),
    ] {
        let plan = planned(&declared(declares), &encrypted(shown.clone()));
        assert_eq!(told(&plan, "encryption"), expected, "{shown} {declares}: {}", message(&plan));
    }
    let plan = planned(&declared(&user), &encrypted(json!({ "useSystemAssignedIdentity": true })));
    assert_eq!(body(&plan, "encryption")["properties"]["encryption"]["kekIdentity"]["userAssignedIdentity"], user.as_str());
}
