//! Sightings, facts, keys, grants, defences and the printed plan: small words that decisions are made of.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::Reason;
use breakwater_arm::{
    ResourceId,
    wire::{Method, Request},
};
use breakwater_plan::{
    defence::{TagOwner, at_stake, tag_owner, weaker_defence},
    facts::{Facts, List, ObjectRef},
    graph::{Counts, Hold, Node},
    keys,
    kind::{Allowed, Grant},
    show::show,
    sighting::{How, Known, Listed, Listing, Packed, Seen, Sighting, in_flight},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::*;

fn sighting(seconds: i64, how: How, what: Option<Value>) -> Option<Sighting> {
    Some(Sighting { at: at(seconds), how, what: what.map(Arc::new) })
}

#[test]
fn the_newest_sighting_counts_and_a_read_wins_a_tie() {
    let seen =
        |listed, read| Seen { listed: sighting(listed, How::Listed, None), read: sighting(read, How::Read, Some(equal())), trouble: None };
    assert_eq!(seen(2, 1).latest().unwrap().how, How::Listed);
    assert_eq!(seen(1, 2).latest().unwrap().how, How::Read);
    assert_eq!(seen(2, 2).latest().unwrap().how, How::Read);
    assert!(Seen::default().latest().is_none());
    assert!(seen(9, 5).read_since(at(5)).is_some() && seen(9, 5).read_since(at(6)).is_none(), "a listing is no read");
}

#[test]
fn unknown_is_not_absent() {
    let mut facts = Facts::default();
    assert!(facts.resource(&id("a")).is_unknown() && facts.read(&id("a")).is_unknown());
    facts.seen.insert(id("a"), Seen { listed: sighting(2, How::Listed, None), read: None, trouble: Some(trouble(9)) });
    assert!(facts.resource(&id("A")).is_absent(), "an id has no case");
    assert!(facts.read(&id("a")).is_unknown(), "a listing is no read");
    assert!(facts.trouble(&id("a")).is_some());
    let list = List { path: "/l".into(), query: vec![], api_version: "1", partial: false };
    assert!(facts.listed(&list, &id("a")).is_unknown() && facts.list(&list).is_none());
    facts.lists.insert(list.clone(), Listed { last: None, trouble: Some(trouble(9)) });
    assert!(facts.listed(&list, &id("a")).is_unknown(), "a listing that did not come whole says nothing");
    let items = Arc::new([(id("b"), Packed::of(&equal()))].into_iter().collect());
    facts.lists.insert(list.clone(), Listed { last: Some(Listing { at: at(3), items }), trouble: None });
    assert_eq!(facts.listed(&list, &id("a")), Known::Absent(at(3)));
    assert!(facts.listed(&list, &id("b")).present().is_some());
    assert_eq!(facts.listed_at(&list), Some(at(3)));
    let gone = ObjectRef { kind: "X", namespace: "n".into(), name: "o".into() };
    facts.objects.insert(gone.clone(), None);
    assert!(facts.object::<u8>(&gone).is_none());
    facts.objects.insert(gone.clone(), Some(Arc::new(7_u8)));
    assert_eq!(facts.object::<u8>(&gone).as_deref(), Some(&7));
    assert!(facts.object::<u16>(&gone).is_none(), "of another type");
}

#[test]
fn a_state_that_is_no_end_is_in_flight() {
    for (state, flies) in
        [("Succeeded", false), ("succeeded", false), ("Failed", false), ("Canceled", false), ("Updating", true), ("New", true)]
    {
        assert_eq!(in_flight(&thing(state, "4")), flies, "{state}");
    }
    assert!(!in_flight(&json!({})), "no word means Succeeded");
}

#[test]
fn an_owner_is_three_tags_and_a_tag_name_has_no_case() {
    let body = |estate: &str, owner: &str, writer: Option<&str>| {
        let mut tags = json!({ "Breakwater-Estate": estate, "breakwater-OWNER": owner });
        if let Some(writer) = writer {
            tags["breakwater-writer"] = writer.into();
        }
        json!({ "tags": tags })
    };
    let owner = |body: &Value| tag_owner(body, "acme", "o1", "w1");
    assert_eq!(owner(&body("acme", "o1", Some("w1"))), TagOwner::Ours);
    assert_eq!(owner(&body("acme", "o1", Some("w2"))), TagOwner::OtherWriter("w2".into()));
    assert_eq!(owner(&body("acme", "o1", None)), TagOwner::OtherWriter("none".into()));
    assert_eq!(owner(&body("Acme", "o1", Some("w1"))), TagOwner::NotOurs, "values are exact");
    assert_eq!(owner(&body("acme", "o2", Some("w1"))), TagOwner::NotOurs);
    assert_eq!(owner(&json!({ "tags": null })), TagOwner::NotOurs);
    assert_eq!(owner(&body("acme", "o1", Some(&"x".repeat(500)))), TagOwner::OtherWriter("x".repeat(64)));
}

#[test]
fn the_gates_own_checks_see_what_weakens() {
    let config = |state: &str| json!({ "properties": { "softDeleteFeatureState": state } });
    assert!(weaker_defence(&config("Enabled"), &config("Disabled")).is_some_and(|m| m.contains("softDelete.state")));
    assert_eq!(weaker_defence(&config("Disabled"), &config("Enabled")), None);
    let policy = |days: i64, items: Value| {
        json!({ "properties": { "backupManagementType": "AzureIaasVM", "protectedItemsCount": items,
            "schedulePolicy": { "schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": ["2024-04-28T16:30:00Z"] },
            "retentionPolicy": { "retentionPolicyType": "LongTermRetentionPolicy", "dailySchedule": {
                "retentionTimes": ["2024-04-28T16:30:00Z"], "retentionDuration": { "count": days, "durationType": "Days" } } } } })
    };
    let put = |path: &str, body: Value| Request::new(Method::Put, path, "1").with_body(body);
    let path = vault().child("backupPolicies", "daily").unwrap().to_string();
    let loses = |path: &str, before: Value, after: Value| {
        at_stake(&put(path, after), Some(&before), &|_| None).is_some_and(|stake| stake.loses_points)
    };
    assert!(loses(&path, policy(30, json!(2)), policy(7, json!(2))));
    assert!(loses(&path, policy(30, Value::Null), policy(7, Value::Null)), "a count that is not told is not none");
    assert!(!loses(&path, policy(30, json!(0)), policy(7, json!(0))));
    assert!(!loses(&path, policy(7, json!(2)), policy(30, json!(2))));
    assert!(!loses(id("a").as_str(), policy(30, json!(2)), policy(7, json!(2))), "only policies and items have points");
}

#[test]
fn what_opens_one_way_or_stops_is_at_stake_by_what_stands_around_it() {
    let vault_body = |state: &str, version: &str| {
        json!({ "properties": { "backupStorageVersion": version, "redundancySettings": { "crossRegionRestore": "Disabled" },
            "securitySettings": { "immutabilitySettings": { "state": state } } } })
    };
    let raise = |properties: Value| Request::new(Method::Patch, vault().as_str(), "1").with_body(json!({ "properties": properties }));
    let locked = || raise(json!({ "securitySettings": { "immutabilitySettings": { "state": "Locked" } } }));
    let regions = || raise(json!({ "redundancySettings": { "crossRegionRestore": "Enabled" } }));
    let field = |request: &Request, before: &Value, around: &Value| {
        let around = std::sync::Arc::new(around.clone());
        at_stake(request, Some(before), &|_| Some(around.clone())).map(|stake| format!("{}: {} -> {}", stake.field, stake.from, stake.to))
    };
    let (used, new) = (vault_body("Unlocked", "V2"), vault_body("Disabled", "Unassigned"));
    assert_eq!(field(&locked(), &used, &used).unwrap(), "immutability: Unlocked -> Locked");
    assert_eq!(field(&locked(), &new, &new).unwrap(), "immutability: Disabled -> Locked", "Locked is asked about always");
    assert_eq!(field(&regions(), &used, &used).unwrap(), "crossRegionRestore: Disabled -> Enabled");
    assert_eq!(field(&regions(), &new, &new), None, "nothing was ever in it");
    let item = |state: &str, policy: &str| json!({ "properties": { "protectionState": state, "policyId": policy } });
    let machine = format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/m").parse().unwrap();
    let item_id = breakwater_arm::names::item_id(&vault(), &machine).unwrap();
    let stop = Request::new(Method::Put, item_id.as_str(), "1").with_body(item("ProtectionStopped", ""));
    let daily = vault().child("backupPolicies", "daily").unwrap().to_string();
    let (running, stopped) = (item("Protected", &daily), item("ProtectionStopped", ""));
    assert!(field(&stop, &running, &used).is_some_and(|s| s.starts_with("protection")), "the vault is immutable");
    assert_eq!(field(&stop, &running, &new), None, "points of a stopped machine are kept for good");
    assert_eq!(field(&stop, &stopped, &used), None, "it is stopped already");
    let resume = Request::new(Method::Put, item_id.as_str(), "1").with_body(json!({ "properties": { "policyId": daily } }));
    assert!(field(&resume, &stopped, &used).is_some_and(|s| s.contains("protected under daily")));
}

fn grant(groups: &[&str], acts: &[&str]) -> Grant {
    let words = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    let scope =
        Allowed { subscription_id: "11111111-1111-1111-1111-111111111111".into(), resource_groups: words(groups), acts: words(acts) };
    Grant { name: "main".into(), uid: "u".into(), allow: vec![scope] }
}

#[test]
fn a_grant_admits_by_subscription_group_and_act() {
    let subscription: ResourceId = "/subscriptions/11111111-1111-1111-1111-111111111111".parse().unwrap();
    let elsewhere: ResourceId =
        "/subscriptions/22222222-2222-2222-2222-222222222222/resourceGroups/rg/providers/Microsoft.Test/things/a".parse().unwrap();
    #[rustfmt::skip]
    let cases = [
        // situation                              grant                                  act        id                    admits
        ("every group",                           grant(&[], &["Read", "Protect"]),      "Protect", id("a"),              true),
        ("a group by its name, whatever case",    grant(&["RG"], &["Protect"]),          "Protect", id("a"),              true),
        ("a group by pattern",                    grant(&["x", "r*"], &["Protect"]),     "Protect", id("a"),              true),
        ("another group",                         grant(&["rg2"], &["Protect"]),         "Protect", id("a"),              false),
        ("another act",                           grant(&[], &["Read"]),                 "Protect", id("a"),              false),
        ("another subscription",                  grant(&[], &["Protect"]),              "Protect", elsewhere.clone(),    false),
        ("the subscription itself, to read",      grant(&["rg"], &["Read"]),             "Read",    subscription.clone(), true),
        ("the subscription itself, to write",     grant(&[], &["Protect"]),              "Protect", subscription,         false),
        ("no scope at all",                       Grant::default(),                      "Read",    id("a"),              false),
    ];
    for (situation, grant, act, id, admits) in cases {
        assert_eq!(grant.admits(act, &id), admits, "{situation}");
    }
    let mut two = grant(&["rg"], &["Read"]);
    two.allow.extend(grant(&["other"], &["Protect"]).allow);
    assert!(!two.admits("Protect", &id("a")), "an act of one scope does not count in another");
}

#[test]
fn a_printed_plan_shows_what_differs_and_no_time_that_moves() {
    let scene = |later: i64| {
        Scene::new(100 + later, 100)
            .read("b", 100 + later, Some(thing("Succeeded", "9")))
            .read("a", 100, Some(equal()))
            .record(breakwater_api::OperationRecord { attempt: 2, ..refused(intent("b", 0), 10, true, Some(50)) })
    };
    let printed = |scene: &Scene| {
        let mut desired = one("a", scene.ensure("a"));
        desired.node("b", scene.ensure("b"));
        desired.node("c", scene.ensure("c"));
        desired.node("d", scene.ensure("d").held(Some(Hold::stuck(Reason::NotOurs, "hands off"))));
        desired.node("e", scene.ensure("e").after(&["c"]));
        desired.node("f", Node::child("ProtectedMachine", "db", false, json!({})));
        desired.node("g", act("b", backup("b", Counts::Ours)));
        show(&desired, &scene.plan(&desired))
    };
    let expected = format!(
        "b: PUT {b} (attempt 3)\n  size: 9 -> 4\nc: read {c}\nd: stuck, NotOurs: hands off\ne: wait, DependencyNotReady: waits for c\n\
         f: create ProtectedMachine/db\ng: list the jobs of {v}\n",
        b = id("b"),
        c = id("c"),
        v = vault(),
    );
    assert_eq!(printed(&scene(0)), expected);
    assert_eq!(printed(&scene(7)), expected, "the same a while later");
    assert_eq!(
        show(&one("a", scene(0).ensure("a")), &scene(0).plan(&one("a", scene(0).ensure("a")))),
        "",
        "nothing where all is as wanted"
    );
}

#[test]
fn a_request_that_asks_for_something_else_has_another_key() {
    let request = |size: &str| Request::new(Method::Put, id("a").as_str(), "1").with_body(json!({ "size": size }));
    assert_eq!(keys::safe_key(&request("4")), keys::safe_key(&request("4")));
    assert_ne!(keys::safe_key(&request("4")), keys::safe_key(&request("5")));
    let patch = Request { method: Method::Patch, ..request("4") };
    assert_ne!(keys::safe_key(&request("4")), keys::safe_key(&patch));
}

#[test]
fn an_objects_name_is_one_that_kubernetes_takes() {
    assert_eq!(keys::object_name("DB_1", &["x"]), format!("db-1-{}", keys::hash8(&["x"])));
    assert_eq!(keys::object_name("___", &["x"]), format!("m-{}", keys::hash8(&["x"])));
    assert!(keys::object_name(&"x".repeat(400), &["x"]).len() <= 63);
    assert_ne!(keys::object_name("db", &["x"]), keys::object_name("db", &["y"]));
}

#[test]
fn the_request_id_of_an_attempt_never_changes_with_a_version_of_ours() {
    // A rebuilt cluster finds its jobs by these ids: a change here is a change of what old jobs are called.
    let id = keys::request_id("acme", "once", "first-backup", 1);
    assert_eq!(id.get_version_num(), 5);
    assert_eq!(id.to_string(), "285d8331-a27b-530c-8901-cb3e053467e4");
}

proptest! {
    #[test]
    fn request_ids_are_stable_and_differ_by_estate_key_node_and_attempt(
        one in ("[a-c]{0,2}", "[a-c]{0,2}", "[a-c]{0,2}", 1..9i32), other in ("[a-c]{0,2}", "[a-c]{0,2}", "[a-c]{0,2}", 1..9i32),
    ) {
        let id = |(estate, key, node, attempt): &(String, String, String, i32)| keys::request_id(estate, key, node, *attempt);
        prop_assert_eq!(id(&one), id(&one));
        prop_assert_eq!(id(&one) == id(&other), one == other);
    }
}

#[test]
fn a_body_that_was_packed_is_opened_as_it_was() {
    let item = |name: &str| json!({ "id": format!("{}/backupPolicies/{name}", vault()), "properties": { "protectedItemsCount": 3, "name": name } });
    let mut sample = None;
    let first = Packed::among(&item("daily"), &mut sample);
    for body in
        [json!(null), json!({ "properties": { "ü \"n\"": [1.25, -7, u64::MAX, true], "empty": {} } }), item("daily"), item("weekly")]
    {
        let (alone, alike) = (Packed::of(&body), Packed::among(&body, &mut sample));
        assert_eq!((alone.open(), alike.open()), (body.clone(), body.clone()));
        assert_eq!(alike.read::<Value>(), Some(body.clone()));
        assert_eq!(alone, alike, "whatever it was packed by");
        assert_eq!(alike, Packed::among(&body, &mut sample), "equal bodies are equal bytes");
        assert_ne!(alike, Packed::among(&item("hourly"), &mut sample));
        assert_eq!(alike.sample(), first.sample());
    }
    assert_eq!(Packed::of(&json!({ "a": "text" })).read::<BTreeMap<String, u8>>(), None, "another form");
}
