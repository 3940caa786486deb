//! `BackupPolicy`: kept in place, never so that points expire; one member for each machine that it may see.

use std::sync::Arc;

use breakwater_api::{BackupPolicy, ConditionType, ProtectedMachine, Reason};
use breakwater_arm::ResourceId;
use breakwater_plan::{
    facts::{Facts, Need},
    graph::{Goal, HoldKind},
    keys,
    kind::{Kind as _, Meta, NAMED, Subject, View},
    kinds::machines_of,
    sighting::{Listed, Seen, Trouble},
};
use serde_json::{Value, json};

use crate::estate::*;

fn declares(spec: Value, status: Value) -> Subject<BackupPolicy> {
    subject("daily", policy_spec(spec), status)
}

fn keep(days: i32) -> Value {
    json!({ "retention": { "daily": { "keep": format!("{days}d") } } })
}

fn in_azure(days: i32, items: i64) -> Facts {
    let mut facts = standing_vault();
    see(&mut facts, &daily(), Some(policy_body(policy_spec(keep(days)), items)));
    facts
}

/// What status says once Azure showed the policy as this spec has it.
fn applied(spec: Value) -> Value {
    let status = reported(&declares(spec.clone(), json!({ "policyId": daily() })), &{
        let mut facts = standing_vault();
        see(&mut facts, &daily(), Some(policy_body(policy_spec(spec), 1)));
        facts
    });
    assert!(status.status.contains_key("applied"), "{status:?}");
    Value::Object(status.status)
}

#[test]
fn a_policy_is_made_in_a_vault_that_stands() {
    let mut facts = standing_vault();
    see(&mut facts, &daily(), None);
    let s = declares(json!({}), json!({}));
    let plan = planned(&s, &facts);
    assert_eq!(told(&plan, "policy"), "PUT");
    assert_eq!(body(&plan, "policy"), breakwater_plan::policy::to_azure(&s.spec).unwrap());
    assert_eq!(daily().name(), format!("bw-{}-daily", keys::hash8(&["acme", "shop", "BackupPolicy", "daily"])));
    see(&mut facts, &vault(), None);
    let hold = BackupPolicy::desire(&s, &facts).unwrap_err();
    assert_eq!((hold.reason, hold.kind), (Reason::Missing, HoldKind::Stuck), "its object has seen it: it was there");
    assert_eq!(BackupPolicy::desire(&s, &Facts::default()).unwrap_err().reason, Reason::ReferenceNotFound);
}

#[test]
fn an_edit_that_keeps_points_shorter_stops_while_there_are_points() {
    let edited = |days, items| planned(&declares(keep(days), applied(keep(30))), &in_azure(30, items));
    let stopped = edited(7, 9);
    assert_eq!(told(&stopped, "policy"), "stuck: WouldExpirePoints");
    assert!(message(&stopped).contains("(machines: 9)") && message(&stopped).contains("retention.daily"), "{}", message(&stopped));
    assert_eq!(told(&edited(7, 0), "policy"), "PUT", "without items there are no points");
    assert_eq!(told(&edited(60, 9), "policy"), "PUT", "longer lets nothing expire");
}

#[test]
fn what_points_would_expire_is_asked_of_machines_that_have_some_under_the_policy() {
    let mut facts = in_azure(30, 2);
    let points = |count: u64| json!({ "count": count });
    add_member(&mut facts, "web-1", "daily", json!({ "protection": "Protected", "recoveryPoints": points(4) }));
    add_member(&mut facts, "old-1", "daily", json!({ "protection": "ForeignPolicy", "recoveryPoints": points(90) }));
    let asks = message(&planned(&declares(keep(7), applied(keep(30))), &facts));
    // Four of the one that is known, and one at least of the other that the policy has.
    assert!(asks.contains("up to 5 points (machines: 2)") && asks.contains("machines without an object here, not counted: 1"), "{asks}");
    assert_eq!(asks.matches(": up to ").count(), 2, "one machine is named: {asks}");
}

#[test]
fn drift_downward_is_repaired_and_drift_upward_is_told_and_left() {
    let s = declares(keep(30), applied(keep(30)));
    assert!(planned(&s, &in_azure(30, 1)).converged());
    let weaker = in_azure(7, 1);
    assert_eq!(told(&planned(&s, &weaker), "policy"), "PUT");
    assert_eq!(body(&planned(&s, &weaker), "policy")["properties"]["retentionPolicy"]["dailySchedule"]["retentionDuration"]["count"], 30);
    let drifted = |facts: &Facts| said(&reported(&s, facts), ConditionType::Drifted);
    assert_eq!((drifted(&weaker).holds, drifted(&weaker).reason), (Some(true), Reason::Drifted));
    let stronger = in_azure(90, 1);
    assert!(planned(&s, &stronger).converged());
    assert_eq!((drifted(&stronger).holds, drifted(&stronger).reason), (Some(true), Reason::StrongerThanDeclared));
}

#[test]
fn of_an_edit_in_azure_that_made_one_field_stronger_and_another_weaker_the_weaker_one_is_raised() {
    let kept = |daily: u8, weeks: u8| {
        let retention = json!({ "daily": { "keep": format!("{daily}d") }, "weekly": { "keep": weeks, "days": ["Sunday"] } });
        json!({ "retention": retention })
    };
    let s = declares(kept(30, 12), applied(kept(30, 12)));
    let shows = |days: u8, weeks: u8, at: &str| {
        let mut facts = standing_vault();
        let mut body = policy_body(policy_spec(kept(days, weeks)), 1);
        body["properties"]["retentionPolicy"]["dailySchedule"]["retentionTimes"] = json!([at]);
        see(&mut facts, &daily(), Some(body));
        facts
    };
    let usual = policy_body(policy_spec(kept(30, 12)), 1)["properties"]["retentionPolicy"]["dailySchedule"]["retentionTimes"][0].clone();
    let mixed = shows(60, 4, "2026-01-01T01:00:00Z");
    let plan = planned(&s, &mixed);
    assert_eq!(told(&plan, "policy"), "PUT", "{plan:?}");
    let sent = body(&plan, "policy")["properties"]["retentionPolicy"].clone();
    let count = |rule: &str| sent[rule]["retentionDuration"]["count"].clone();
    assert_eq!((count("dailySchedule"), count("weeklySchedule")), (json!(60), json!(12)), "{sent:#}");
    // Azure wants the times of every rule to be the schedule's.
    assert_eq!(sent["dailySchedule"]["retentionTimes"][0], usual, "{sent:#}");
    let told_of = |facts: &Facts| said(&reported(&s, facts), ConditionType::Drifted).reason;
    assert_eq!(told_of(&mixed), Reason::Drifted);
    assert_eq!(told_of(&shows(60, 12, usual.as_str().unwrap())), Reason::StrongerThanDeclared);
}

#[test]
fn a_policy_that_was_there_is_not_made_again_and_one_by_that_name_is_not_taken() {
    let mut facts = standing_vault();
    see(&mut facts, &daily(), None);
    assert_eq!(told(&planned(&declares(json!({}), json!({ "policyId": daily() })), &facts), "policy"), "stuck: Missing");
    let named = declares(json!({ "azureName": "nightly" }), json!({}));
    see(&mut facts, &vault().child("backupPolicies", "nightly").unwrap(), Some(policy_body(policy_spec(json!({})), 0)));
    assert_eq!(told(&planned(&named, &facts), "policy"), "stuck: NotOurs", "though it says the same");
}

fn vm(group: &str, name: &str, location: &str, app: &str) -> (ResourceId, Value) {
    let id = id(group, &format!("Microsoft.Compute/virtualMachines/{name}"));
    let body = json!({ "id": id, "name": name, "type": "Microsoft.Compute/virtualMachines", "location": location, "tags": { "app": app } });
    (id, body)
}

fn member_name(id: &ResourceId) -> String {
    keys::object_name(id.name(), &[&id.key()])
}

#[test]
fn each_machine_that_is_meant_gets_one_member_under_a_derived_name() {
    let mut facts = in_azure(30, 0);
    let (db, far, other) =
        (vm("rg-shop", "DB1", "westeurope", "shop"), vm("rg-shop", "far", "northeurope", "shop"), vm("rg-shop", "x", "westeurope", "mail"));
    let tenants = vm("rg-tenant", "secret", "westeurope", "shop");
    list(&mut facts, machines_of(SUB), &[db.clone(), far.clone(), other.clone(), tenants]);
    let s = declares(keep(30), applied(keep(30)));
    let desired = BackupPolicy::desire(&s, &facts).unwrap();
    let name = member_name(&db.0);
    assert!(name.starts_with("db1-") && name.len() == 12, "{name}");
    assert_eq!(desired.nodes.keys().cloned().collect::<Vec<_>>(), [format!("machine-{name}"), "policy".into()]);
    let Goal::Child { exists: false, object } = &desired.nodes[&format!("machine-{name}")].goal else { panic!("{desired:?}") };
    assert_eq!(object["spec"], json!({ "policyRef": { "name": "daily" }, "machineId": db.0, "accessRef": { "name": "shop" } }));
    assert_eq!(object["metadata"]["ownerReferences"][0]["name"], "daily");

    let report = reported(&s, &facts);
    let excluded: Vec<(String, String)> = report.status["excluded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["machine"].as_str().unwrap().to_owned(), e["reason"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(excluded, [(far.0.to_string(), "LocationMismatch".to_owned()), (other.0.to_string(), "TagsDoNotMatch".to_owned())]);
    assert!(!Value::Object(report.status).to_string().contains("secret"), "a machine outside the grant is never named");
}

/// Who is left out and why, in the order of status.
fn left_out(report: &breakwater_plan::kind::Report) -> Vec<(String, String)> {
    let all = report.status.get("excluded").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |e: &Value, field: &str| e[field].as_str().unwrap().to_owned();
    all.iter().map(|e| (text(e, "machine"), text(e, "reason"))).collect()
}

#[test]
fn a_machine_that_is_named_and_does_not_exist_is_left_out_and_counts_as_failing() {
    let db = vm("rg-shop", "db1", "westeurope", "shop").0;
    let mut facts = in_azure(30, 0);
    let s = declares(with(keep(30), json!({ "machines": [{ "id": db }] })), json!({ "policyId": daily() }));
    let asked = |facts: &Facts| BackupPolicy::needs(&s, facts).iter().any(|n| matches!(n, Need::Read { id, .. } if *id == db));
    assert!(asked(&facts), "no listing says that it is not there");
    assert_eq!(left_out(&reported(&s, &facts)), [], "not read yet: not known");
    see(&mut facts, &db, None);
    let report = reported(&s, &facts);
    assert_eq!(left_out(&report), [(db.to_string(), "MachineNotFound".to_owned())]);
    assert_eq!((report.status["failing"].clone(), said(&report, ConditionType::MachinesHealthy).holds), (json!(1), Some(false)));
    // The listing lags behind: it is there after all.
    see(&mut facts, &db, Some(json!({ "id": db, "location": "westeurope", "tags": { "app": "shop" } })));
    assert!(planned(&s, &facts).verdicts.contains_key(&format!("machine-{}", member_name(&db))));
    list(&mut facts, machines_of(SUB), &[vm("rg-shop", "db1", "westeurope", "shop")]);
    assert!(!asked(&facts), "listed: no read of its own");
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let wrong = with(keep(30), json!({ "timeZone": "Europe/Atlantis", "retention": { "daily": { "keep": "6d" } } }));
    let Err(hold) = BackupPolicy::desire(&declares(wrong, json!({})), &in_azure(30, 0)) else { panic!("it is taken") };
    assert_eq!(hold.reason, Reason::InvalidSpec);
    assert!(hold.message.contains("timeZone") && hold.message.contains("retention.daily.keep"), "{}", hold.message);
}

#[test]
fn what_is_outside_the_grant_is_named_only_where_the_spec_names_it() {
    let mut facts = in_azure(30, 0);
    let machines = [
        vm("rg-tenant", "far", "northeurope", "shop"),
        vm("AzureBackupRG_westeurope_1", "strange", "westeurope", "shop"),
        vm("rg-tenant", "db9", "westeurope", "shop"),
    ];
    list(&mut facts, machines_of(SUB), &machines);
    add_member(&mut facts, &member_name(&machines[2].0), "hourly", json!({}));
    let by_selector = reported(&declares(keep(30), applied(keep(30))), &facts);
    assert_eq!(left_out(&by_selector), []);
    assert_eq!(by_selector.status["coverage"]["machines"], 0);
    let named = with(keep(30), json!({ "machines": [{ "id": machines[2].0 }] }));
    let by_id = reported(&declares(named, json!({ "policyId": daily() })), &facts);
    assert_eq!(left_out(&by_id), [(machines[2].0.to_string(), "OutsideGrant".to_owned())], "not that somebody has it");
    assert_eq!(by_id.status["failing"], 1, "somebody believes it protected");
}

#[test]
fn a_group_that_a_selector_names_and_the_access_does_not_admit_is_told() {
    let facts = in_azure(30, 0);
    let within = |groups: Value| {
        let spec = with(keep(30), json!({ "machines": [{ "selector": { "subscriptionId": SUB, "resourceGroups": groups } }] }));
        reported(&declares(spec.clone(), applied(spec)), &facts).promise
    };
    let told = within(json!(["rg-shop", "rg-tenant"]));
    assert_eq!((told.kept, told.reason), (false, Reason::OutsideGrant));
    assert!(
        told.message.starts_with("spec.machines[0].selector.resourceGroups:") && told.message.contains("rg-tenant"),
        "{}",
        told.message
    );
    assert!(within(json!(["RG-SHOP"])).kept);
    assert!(within(json!(["rg-*"])).kept, "a pattern means what is there");
}

#[test]
fn machines_go_on_under_a_policy_whose_edit_waits_for_a_person() {
    let mut facts = in_azure(40, 9);
    list(&mut facts, machines_of(SUB), &[vm("rg-shop", "db1", "westeurope", "shop")]);
    // A rebuilt cluster, whose manifests ask for less than Azure keeps.
    let plan = planned(&declares(keep(30), json!({})), &facts);
    assert_eq!(told(&plan, "policy"), "stuck: WouldExpirePoints");
    let name = member_name(&vm("rg-shop", "db1", "westeurope", "shop").0);
    assert_eq!(told(&plan, &format!("machine-{name}")), "create");
    see(&mut facts, &daily(), None);
    assert_eq!(told(&planned(&declares(keep(30), json!({})), &facts), &format!("machine-{name}")), "wait: DependencyNotReady");
}

#[test]
fn a_machine_under_another_policy_is_left_to_it() {
    let mut facts = in_azure(30, 0);
    let db = vm("rg-shop", "db1", "westeurope", "shop");
    list(&mut facts, machines_of(SUB), std::slice::from_ref(&db));
    let s = declares(keep(30), applied(keep(30)));
    let child = |facts: &Facts| told(&planned(&s, facts), &format!("machine-{}", member_name(&db.0)));
    assert_eq!(child(&facts), "create");
    let mut taken = facts.clone();
    add_member(&mut taken, &member_name(&db.0), "hourly", json!({}));
    assert_eq!(BackupPolicy::desire(&s, &taken).unwrap().nodes.len(), 1);
    // Which machine the other policy means no more is told, and where it still does it is nobody's trouble.
    let healthy = |facts: &Facts| said(&reported(&s, facts), ConditionType::MachinesHealthy);
    let selects = |app: &str| json!({ "machines": [{ "selector": { "subscriptionId": SUB, "tags": { "all": { "app": [app] } } } }] });
    let under = |app: &str| {
        let mut facts = taken.clone();
        add_policy(&mut facts, "hourly", selects(app));
        healthy(&facts)
    };
    assert_eq!(under("shop").holds, Some(true));
    let stranded = under("other");
    assert_eq!(stranded.holds, Some(false));
    let remedy = format!("set spec.policyRef.name of it to {}", s.meta.name);
    assert!(stranded.message.contains(db.0.as_str()) && stranded.message.contains(&remedy), "{}", stranded.message);
    assert_eq!(reported(&s, &taken).status["excluded"][0]["reason"], "Conflict");
    add_member(&mut facts, &member_name(&db.0), "daily", json!({ "protection": "Protected" }));
    assert_eq!(child(&facts), "done");
    let report = reported(&s, &facts);
    assert_eq!((&report.status["matched"], &report.status["protected"], &report.status["failing"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!(said(&report, ConditionType::MachinesHealthy).holds, Some(true));
}

#[test]
fn ten_thousand_matches_are_counted_whole_and_listed_short() {
    let mut facts = in_azure(30, 0);
    let all: Vec<(ResourceId, Value)> = (0..10_000).map(|n| vm("rg-shop", &format!("machine-{n:05}"), "westeurope", "shop")).collect();
    list(&mut facts, machines_of(SUB), &all);
    let s = declares(keep(30), applied(keep(30)));
    let desired = BackupPolicy::desire(&s, &facts).unwrap();
    assert_eq!(desired.nodes.len(), 10_001, "each its own object, and the policy");
    let full = json!({ "conditions": [{ "type": "Ready", "status": "False", "reason": "VaultFull", "message": "", "lastTransitionTime": "2026-11-24T08:00:00Z" }] });
    for (n, (id, _)) in all.iter().enumerate() {
        let status = if n < 1000 { json!({ "protection": "Protected" }) } else { full.clone() };
        add_member(&mut facts, &member_name(id), "daily", status);
    }
    let report = reported(&s, &facts);
    let count = |field: &str| report.status[field].as_i64().unwrap();
    assert_eq!((count("matched"), count("protected"), count("failing"), count("excludedCount")), (10_000, 1000, 9000, 9000));
    let listed = left_out(&report);
    assert!(listed.len() == 50 && listed.iter().all(|(_, reason)| reason == "VaultFull"), "{listed:?}");
    let healthy = said(&report, ConditionType::MachinesHealthy);
    assert_eq!(healthy.holds, Some(false), "{}", healthy.message);
    assert!(Value::Object(report.status).to_string().len() < 16 * 1024);
}

#[test]
fn a_machine_that_another_policy_names_is_left_to_it_until_somebody_holds_it() {
    let mut facts = in_azure(30, 0);
    let db = vm("rg-shop", "db1", "westeurope", "shop");
    list(&mut facts, machines_of(SUB), std::slice::from_ref(&db));
    add_policy(&mut facts, "hourly", json!({ "machines": [{ "id": db.0 }] }));
    let s = declares(keep(30), applied(keep(30)));
    assert_eq!(left_out(&reported(&s, &facts)), [(db.0.to_string(), "Conflict".to_owned())], "explicit id before selector");
    add_member(&mut facts, &member_name(&db.0), "daily", json!({ "protection": "Protected" }));
    assert_eq!(left_out(&reported(&s, &facts)), [], "the holder keeps it");
}

#[test]
fn an_edit_that_costs_points_goes_on_by_an_answer_and_counts_them_by_machine() {
    let mut facts = in_azure(30, 2);
    add_member(&mut facts, "db1-1", "daily", json!({ "recoveryPoints": { "count": 12 } }));
    let asks = || declares(keep(7), applied(keep(30)));
    let plan = planned(&asks(), &facts);
    assert_eq!(told(&plan, "policy"), "stuck: WouldExpirePoints");
    let words = message(&plan);
    assert!(
        words.contains("up to 20 points (machines: 2)")
            && words.contains("db1: up to 20")
            && words.contains("machines without an object here, not counted: 1"),
        "{words}"
    );
    assert_eq!(told(&planned(&answered(asks(), &facts), &facts), "policy"), "PUT");
    // The same answer is none to a later edit, nor when Azure keeps something else by now.
    let answers = answered(asks(), &facts).answers;
    let shorter = breakwater_plan::kind::Subject { answers: answers.clone(), ..declares(keep(8), applied(keep(30))) };
    assert_eq!(told(&planned(&shorter, &facts), "policy"), "stuck: WouldExpirePoints");
    let elsewhere = breakwater_plan::kind::Subject { answers, ..asks() };
    assert_eq!(told(&planned(&elsewhere, &in_azure(60, 2)), "policy"), "stuck: WouldExpirePoints");
}

#[test]
fn a_policy_is_deleted_on_request_only_while_no_machine_is_under_it() {
    let going = || {
        let spec = with(keep(30), json!({ "deletionPolicy": "Delete" }));
        let mut s = declares(spec, applied(keep(30)));
        s.meta.deleting = true;
        s
    };
    assert_eq!(told(&planned(&going(), &in_azure(30, 1)), "policy"), "stuck: Blocked");
    assert_eq!(told(&planned(&going(), &in_azure(30, 0)), "policy"), "DELETE");
}

#[test]
fn a_policy_made_by_hand_is_taken_over_only_where_declared_and_never_weaker() {
    let by_hand = |days: i32, more: Value| {
        let azure_name = with(keep(days), json!({ "azureName": "old" }));
        declares(with(azure_name, more), json!({}))
    };
    let named = vault().child("backupPolicies", "old").unwrap();
    let mut facts = standing_vault();
    see(&mut facts, &named, Some(policy_body(policy_spec(keep(30)), 3)));
    assert_eq!(told(&planned(&by_hand(30, json!({})), &facts), "policy"), "stuck: NotOurs");
    let adopting = json!({ "adopt": "IfNotWeaker" });
    assert_eq!(told(&planned(&by_hand(30, adopting.clone()), &facts), "policy"), "done");
    assert_eq!(told(&planned(&by_hand(40, adopting.clone()), &facts), "policy"), "PUT");
    let weaker = planned(&answered(by_hand(7, adopting.clone()), &facts), &facts);
    assert_eq!(told(&weaker, "policy"), "stuck: WouldWeaken", "not even by an answer: the first plan of an adoption weakens nothing");
}

/// A subscription that the access does not reach, or that Azure lets nobody list.
const ELSEWHERE: &str = "50b50000-0000-4000-8000-00000000dead";

fn trouble(reason: Reason) -> Trouble {
    Trouble { at: now(), reason, message: "it is shut".into(), until: now() }
}

#[test]
fn what_cannot_be_looked_at_is_told_by_its_field_and_the_rest_goes_on() {
    let db = vm("rg-shop", "db1", "westeurope", "shop");
    let shut = format!("/subscriptions/{ELSEWHERE}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/a");
    let entries = [
        (json!({ "selector": { "subscriptionId": ELSEWHERE } }), "spec.machines[1].selector.subscriptionId"),
        (json!({ "selector": { "subscriptionId": ELSEWHERE.to_uppercase() } }), "spec.machines[1].selector.subscriptionId"),
    ];
    for (entry, field) in entries {
        let shop = json!({ "selector": { "subscriptionId": SUB, "tags": { "all": { "app": ["shop"] } } } });
        let s = declares(with(keep(30), json!({ "machines": [shop, entry] })), json!({ "policyId": daily() }));
        let mut facts = in_azure(30, 0);
        list(&mut facts, machines_of(SUB), std::slice::from_ref(&db));
        // Not seen yet: nothing is said of it, and nothing is counted.
        assert!(reported(&s, &facts).promise.kept);
        for (reason, kept) in [(Reason::Throttled, true), (Reason::Unreadable, true), (Reason::AccessDenied, false)] {
            let listed = Listed { last: None, trouble: Some(trouble(reason)) };
            facts.lists.insert(machines_of(ELSEWHERE), listed);
            let report = reported(&s, &facts);
            assert_eq!(report.promise.kept, kept, "{reason}");
            let healthy = said(&report, ConditionType::MachinesHealthy);
            if kept {
                assert_eq!(healthy.reason, Reason::NotYetObserved, "{reason}");
                continue;
            }
            assert_eq!(report.promise.reason, reason);
            assert!(report.promise.message.starts_with(field), "{}", report.promise.message);
            assert_eq!(report.status["matched"], 1, "the others are counted");
            assert_ne!(healthy.holds, Some(true));
            let member = format!("machine-{}", member_name(&db.0));
            assert!(planned(&s, &facts).verdicts.contains_key(&member), "and protected");
        }
    }
    // A machine that is named is among those that are left out, whatever keeps it from being seen.
    let s = declares(with(keep(30), json!({ "machines": [{ "id": shut }] })), json!({ "policyId": daily() }));
    let mut facts = in_azure(30, 0);
    facts.lists.insert(machines_of(ELSEWHERE), Listed { last: None, trouble: Some(trouble(Reason::AccessDenied)) });
    let report = reported(&s, &facts);
    assert_eq!(left_out(&report), [(shut, "OutsideGrant".to_owned())]);
    assert_eq!((report.status["failing"].clone(), said(&report, ConditionType::MachinesHealthy).holds), (json!(1), Some(false)));
    let s = declares(with(keep(30), json!({ "machines": [{ "id": db.0 }] })), json!({ "policyId": daily() }));
    facts.seen.insert(db.0.clone(), Seen { trouble: Some(trouble(Reason::AuthorizationFailed)), ..Seen::default() });
    let report = reported(&s, &facts);
    assert_eq!(left_out(&report), [(db.0.to_string(), "AuthorizationFailed".to_owned())]);
    assert_eq!((report.promise.reason, report.status["failing"].clone()), (Reason::AuthorizationFailed, json!(1)));
}

#[test]
fn an_edit_that_azure_must_refuse_for_what_nobody_declared_is_told_before_anybody_is_asked() {
    let monthly = |keep: i32| json!({ "daily": { "keep": "30d" }, "monthly": { "keep": keep, "when": { "days": [1] } } });
    let before = policy_spec(json!({ "retention": monthly(12), "archive": { "mode": "After", "months": 3 } }));
    let mut facts = standing_vault();
    see(&mut facts, &daily(), Some(policy_body(before, 4)));
    let edited = |keep: i32| declares(json!({ "retention": monthly(keep) }), json!({ "policyId": daily() }));
    let plan = planned(&edited(8), &facts);
    assert_eq!(told(&plan, "policy"), "stuck: InvalidSpec");
    assert!(message(&plan).contains("spec.archive") && message(&plan).contains("9 months"), "{}", message(&plan));
    assert_eq!(told(&planned(&edited(10), &facts), "policy"), "stuck: WouldExpirePoints", "Azure takes it, and a person is asked");
}

#[test]
fn a_member_that_an_entry_names_says_so_and_claims_its_machine_before_one_that_a_selector_means() {
    let db = vm("rg-shop", "db1", "westeurope", "shop");
    let mut facts = in_azure(30, 0);
    list(&mut facts, machines_of(SUB), std::slice::from_ref(&db));
    for (entry, named) in [(json!({ "id": db.0 }), true), (json!({ "selector": { "subscriptionId": SUB } }), false)] {
        let s = declares(with(keep(30), json!({ "machines": [entry] })), json!({ "policyId": daily() }));
        let desired = BackupPolicy::desire(&s, &facts).unwrap();
        let Goal::Child { object, .. } = &desired.nodes[&format!("machine-{}", member_name(&db.0))].goal else { panic!("{desired:?}") };
        let marked = object["metadata"]["annotations"][NAMED] == "true";
        assert_eq!(marked, named);
        let meta = Meta { controlled: true, named: marked, ..meta("db1") };
        let claims = ProtectedMachine::claims(&meta, &serde_json::from_value(machine_spec(json!({}))).unwrap(), &[]);
        assert_eq!(claims[0].explicit, named);
    }
}

#[test]
fn an_edit_of_a_policy_that_nothing_is_under_yet_is_asked_about_where_a_machine_brings_points_to_it() {
    let edited = |status: Value| {
        let mut facts = in_azure(3650, 0);
        add_member(&mut facts, "db1", "daily", status);
        planned(&declares(keep(7), applied(keep(3650))), &facts)
    };
    let brings = |protection: &str, count: i64| json!({ "protection": protection, "recoveryPoints": { "count": count } });
    let asked = edited(brings("Protected", 40));
    assert_eq!(told(&asked, "policy"), "stuck: WouldExpirePoints");
    let words = message(&asked);
    assert!(words.contains("up to 50 points (machines: 1)") && words.contains("db1: up to 50"), "{words}");
    assert_eq!(told(&edited(brings("Stopped", 40)), "policy"), "stuck: WouldExpirePoints", "it may be resumed to it");
    assert_eq!(told(&edited(brings("ForeignPolicy", 40)), "policy"), "PUT", "somebody else's points");
    assert_eq!(told(&edited(brings("InitialBackupPending", 0)), "policy"), "PUT", "it has none");
}

#[test]
fn only_machines_of_namespaces_that_the_policy_admits_are_counted_and_none_for_more_than_it_can_have() {
    let mut facts = in_azure(30, 2);
    let named = machine_spec(json!({ "policyRef": { "name": "daily", "namespace": "shop" } }));
    let other: Subject<ProtectedMachine> = subject("theirs", named, json!({ "recoveryPoints": { "count": i64::MAX } }));
    let mut view = View::<ProtectedMachine> { meta: other.meta, spec: other.spec, status: other.status };
    view.meta.namespace = "other".into();
    facts.collections.entry((ProtectedMachine::NAME, String::new())).or_default().push(Arc::new(view));
    add_member(&mut facts, "db1", "daily", json!({ "recoveryPoints": { "count": 4 } }));
    let admits = |name: &str| {
        declares(
            with(keep(7), json!({ "allowedNamespaces": { "from": "Selector", "selector": { "matchLabels": { "team": name } } } })),
            applied(keep(30)),
        )
    };
    facts.namespaces.insert("other".into(), [("team".to_owned(), "other".to_owned())].into());
    let words = |name: &str| message(&planned(&admits(name), &facts));
    assert!(words("other").contains("up to 20000 points (machines: 2)"), "{}", words("other"));
    assert!(words("nobody").contains("up to 5 points (machines: 2)"), "{}", words("nobody"));
    let asks = BackupPolicy::needs(&admits("other"), &facts);
    assert!(asks.iter().any(|need| matches!(need, Need::Namespace(name) if name == "other")), "{asks:?}");
}
