//! The gate before what cannot be taken back: a removal leaves only right after a last live look, and never where recovery
//! points may be.

use std::time::Duration;

use breakwater_api::{Reason, questions::APPROVE};
use breakwater_arm::{
    ResourceId,
    names::TAG_RESTORE,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use breakwater_engine::gate::{LAST_LOOK, LastLook, Order};
use breakwater_plan::{
    defence::TAG_WRITER,
    graph::Ownership,
    questions::{Approved, Asker, Given, Question, Stake},
};
use breakwater_tests::sim::{Options, Simulation};
use serde_json::{Value, json};

use crate::sending::{SUBSCRIPTION, gate, grant, judges, keeps, look, marks as tags, policy, refused, removal, seen, vault};

#[test]
fn a_removal_leaves_only_after_a_last_look_and_never_where_points_may_be() {
    let sim = Simulation::new(Options::default());
    sim.clock.advance(Duration::from_secs(60));
    let gate = gate(&sim);
    let policy = policy("spare");
    let item: ResourceId = format!(
        "{}/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;rg-shop;web-1/protectedItems/VM;iaasvmcontainerv2;rg-shop;web-1",
        vault()
    )
    .parse()
    .expect("a literal id");
    let under = |n: i64| json!({ "properties": { "protectedItemsCount": n } });
    let empty = removal(&sim, &policy, under(0));
    let stale = {
        let fresh = look(&sim, false, None);
        let at = fresh.at.saturating_sub(LAST_LOOK + Duration::from_millis(1));
        Order { looked_again: Some(LastLook { at, ..fresh }), ..empty.clone() }
    };
    let strangers = seen(&sim, Some(json!({ "tags": {} })));
    let cases = [
        ("an empty policy, looked at again", empty.clone(), None),
        ("nobody looked again", Order { looked_again: None, ..empty.clone() }, Some(Reason::Retrying)),
        ("the last look is too old", stale, Some(Reason::Retrying)),
        ("paused meanwhile", Order { paused: true, ..empty.clone() }, Some(Reason::Suspended)),
        ("not granted", Order { grant: grant(&[]), ..empty.clone() }, Some(Reason::AccessDenied)),
        ("the vault is not ours", Order { vault: strangers, ..empty.clone() }, Some(Reason::NotOurs)),
        ("machines are under it", removal(&sim, &policy, under(1)), Some(Reason::WouldExpirePoints)),
        ("it does not say", removal(&sim, &policy, json!({})), Some(Reason::WouldExpirePoints)),
        (
            "an item, whatever it holds",
            Order { owned: vec![item.to_string()], ..removal(&sim, &item, json!({})) },
            Some(Reason::WouldExpirePoints),
        ),
    ];
    judges(&sim, &gate, cases);
    let told: Vec<Value> = sim.audit.lines();
    assert!(told.iter().all(|line| line["act"] == "Delete") && told.len() == 2, "before and after the one that left: {told:#?}");
    sim.leadership.lose();
    assert_eq!(refused(&gate, &empty), Some(Reason::Busy), "who does not lead sends nothing");
}

/// `approve`, by an Approval of that question for the object `u` at that generation, for another hour.
fn consent(sim: &Simulation, stake: Stake, generation: i64) -> Approved {
    let question = Question::to_approve("points-expire", stake, 1, "may they go?");
    let given = Given {
        approval: "a1".into(),
        name: "yes".into(),
        question: question.id.clone(),
        digest: question.digest(&Asker { uid: "u".into(), generation }),
        answer: APPROVE.into(),
        by: "ann".into(),
        expires: sim.now() + jiff::SignedDuration::from_hours(1),
    };
    Approved { question, given }
}

#[test]
fn points_expire_earlier_only_by_an_answer_to_exactly_that() {
    let sim = Simulation::new(Options::default());
    sim.clock.advance(Duration::from_secs(60));
    let gate = gate(&sim);
    let id = policy("spare");
    let shorter = |days: i64| Request::new(Method::Put, id.as_str(), RECOVERY_SERVICES).with_body(keeps(days, 2));
    let stake =
        |days: i64| breakwater_plan::defence::at_stake(&shorter(days), Some(&keeps(30, 2)), &|_| None).expect("something is at stake");
    let right = consent(&sim, stake(7), 1);
    let asking = Order { request: shorter(7), ..removal(&sim, &id, keeps(30, 2)) };
    let agreed = |consent: Approved| Order { consents: vec![consent], looked_again: Some(look(&sim, true, None)), ..asking.clone() };
    let other_words = Approved { given: Given { answer: "yes".into(), ..right.given.clone() }, ..right.clone() };
    let expired = Approved { given: Given { expires: sim.now(), ..right.given.clone() }, ..right.clone() };
    let lent = Approved { question: consent(&sim, stake(6), 1).question, given: right.given.clone() };
    let only_protect = grant(&[("rg-backup", &["Read", "Protect"])]);
    let cases = [
        ("agreed to", agreed(right.clone()), None),
        ("nobody was asked", asking.clone(), Some(Reason::WouldExpirePoints)),
        ("agreed to another length", agreed(consent(&sim, stake(6), 1)), Some(Reason::WouldExpirePoints)),
        ("the answer to one question under another", agreed(lent), Some(Reason::WouldExpirePoints)),
        ("agreed to for another generation", agreed(consent(&sim, stake(7), 2)), Some(Reason::WouldExpirePoints)),
        ("another word", agreed(other_words), Some(Reason::WouldExpirePoints)),
        ("expired", agreed(expired), Some(Reason::WouldExpirePoints)),
        ("without the act Delete", Order { grant: only_protect, ..agreed(right.clone()) }, Some(Reason::AccessDenied)),
        (
            "the answer was taken back meanwhile",
            Order { looked_again: Some(look(&sim, false, None)), ..agreed(right.clone()) },
            Some(Reason::Retrying),
        ),
        ("nobody looked again", Order { looked_again: None, ..agreed(right) }, Some(Reason::Retrying)),
    ];
    judges(&sim, &gate, cases);
    let told: Vec<Value> = sim.audit.lines();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|line| line["approvals"][0]["by"] == "ann" && line["approvals"][0]["uid"] == "a1"), "{told:#?}");
}

#[test]
fn a_vault_goes_only_when_a_look_of_now_found_nothing_in_it_and_a_foreign_one_gets_our_marks_and_nothing_else() {
    let sim = Simulation::new(Options::default());
    sim.clock.advance(Duration::from_secs(60));
    let gate = gate(&sim);
    let going = |items| Order {
        ownership: Ownership::Tagged { owner: "o".into() },
        looked_again: Some(look(&sim, false, items)),
        ..removal(&sim, &vault(), tags("e", "w"))
    };
    let marks = |ownership: Ownership, seen: Value, tags: Value, agreed: bool| {
        let request = Request::new(Method::Patch, format!("{}/providers/Microsoft.Resources/tags/default", vault()), "2022-09-01")
            .with_body(json!({ "operation": "Merge", "properties": { "tags": tags } }));
        let stake = breakwater_plan::defence::at_stake(&request, Some(&seen), &|_| None);
        let consents = stake.filter(|_| agreed).map(|stake| consent(&sim, stake, 1)).into_iter().collect();
        let grant = grant(&[("rg-backup", &["Read", "Protect"])]);
        let order = removal(&sim, &vault(), seen);
        Order { request, ownership, consents, grant, looked_again: Some(look(&sim, true, None)), vault: order.evidence.clone(), ..order }
    };
    let (taken, adopted) = (Ownership::TakenOver { owner: "o".into() }, Ownership::Adopted { owner: "o".into() });
    let (writer, all) = (json!({ TAG_WRITER: "w" }), tags("e", "w")["tags"].clone());
    let mut more = writer.clone();
    more["cost"] = json!("ours");
    let meanwhile = Order { vault: seen(&sim, Some(tags("e", "x"))), ..marks(taken.clone(), tags("e", "v"), writer.clone(), true) };
    let cases = [
        ("an empty vault", going(Some(0)), None),
        ("something is in it", going(Some(1)), Some(Reason::Retrying)),
        ("nobody looked into it", going(None), Some(Reason::Retrying)),
        ("another cluster's, agreed", marks(taken.clone(), tags("e", "v"), writer.clone(), true), None),
        ("another cluster's, and a third took it over meanwhile", meanwhile, Some(Reason::OneWay)),
        ("another cluster's, not agreed", marks(taken.clone(), tags("e", "v"), writer.clone(), false), Some(Reason::OneWay)),
        ("another cluster's, and a tag of its own", marks(taken.clone(), tags("e", "v"), more, true), Some(Reason::NotOurs)),
        ("another estate's", marks(taken, tags("f", "v"), writer.clone(), true), Some(Reason::NotOurs)),
        ("nobody's", marks(adopted.clone(), json!({ "tags": { "a": "b" } }), all.clone(), false), None),
        ("nobody's, by the writer alone", marks(adopted.clone(), json!({}), writer, false), Some(Reason::NotOurs)),
        ("somebody's", marks(adopted, tags("f", "v"), all, true), Some(Reason::NotOurs)),
    ];
    judges(&sim, &gate, cases);
}

#[test]
fn a_restore_marks_what_it_made_with_its_key_and_nothing_else() {
    let sim = Simulation::new(Options::default());
    sim.clock.advance(Duration::from_secs(60));
    let gate = gate(&sim);
    let id = |text: &str| format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{text}").parse::<ResourceId>().expect("a literal id");
    let (group, disk) = (id("rg-shop"), id("rg-shop/providers/Microsoft.Compute/disks/d"));
    let since = sim.now() - jiff::SignedDuration::from_mins(10);
    let made = |ago: i64| json!({ "properties": { "timeCreated": sim.now() - jiff::SignedDuration::from_mins(ago) } });
    let mark = |target: &ResourceId, tags: Value, seen: Value| {
        let request = Request::new(Method::Patch, format!("{target}/providers/Microsoft.Resources/tags/default"), "2022-09-01")
            .with_body(json!({ "operation": "Merge", "properties": { "tags": tags } }));
        let ownership = Ownership::Restored { group: group.clone(), since, key: "k".into() };
        let grant = grant(&[("rg-shop", &["Read", "Restore"]), ("rg-look", &["Read", "Restore"])]);
        Order { request, ownership, grant, ..removal(&sim, target, seen) }
    };
    let ours = || json!({ TAG_RESTORE: "k" });
    let read_only = Order { grant: grant(&[("rg-shop", &["Read", "Protect"])]), ..mark(&disk, ours(), made(5)) };
    let network = id("rg-shop/providers/Microsoft.Network/networkInterfaces/n");
    let on_its_word = Order { debt: true, ..mark(&disk, ours(), made(5)) };
    let cases = [
        ("a disk that it made", mark(&disk, ours(), made(5)), None),
        ("there before", mark(&disk, ours(), made(11)), Some(Reason::NotOurs)),
        ("nobody knows since when", mark(&disk, ours(), json!({})), Some(Reason::NotOurs)),
        ("another key", mark(&disk, json!({ TAG_RESTORE: "l" }), made(5)), Some(Reason::NotOurs)),
        ("another tag beside it", mark(&disk, json!({ TAG_RESTORE: "k", "cost": "ours" }), made(5)), Some(Reason::AccessDenied)),
        ("a mark of ownership", mark(&disk, json!({ TAG_WRITER: "w" }), made(5)), Some(Reason::AccessDenied)),
        ("in another group", mark(&id("rg-look/providers/Microsoft.Compute/disks/d"), ours(), made(5)), Some(Reason::NotOurs)),
        ("the group itself", mark(&group, ours(), made(5)), Some(Reason::NotOurs)),
        ("what bears none", mark(&network, ours(), made(5)), Some(Reason::NotOurs)),
        ("without the act Restore", read_only, Some(Reason::AccessDenied)),
        ("on a record's word", on_its_word, Some(Reason::DebtUnpayable)),
    ];
    judges(&sim, &gate, cases);
}
