//! What the gate itself finds against an order, whatever the planner thought: whose a thing is, what is granted, how old a
//! look is, what would get weaker, and how much may be removed in an hour.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use breakwater_api::Reason;
use breakwater_arm::{
    ResourceId, names,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use breakwater_engine::{
    gate::{Gate, Order, SEND_WITHIN, Sent},
    ports::Clock,
};
use breakwater_plan::{
    graph::Ownership,
    sighting::{How, Sighting},
};
use breakwater_tests::sim::{Options, Simulation};
use serde_json::json;

use crate::sending::{SUBSCRIPTION, gate, judges, keeps, longer, policy, refused, removal, seen, vault};

fn machine(group: &str) -> ResourceId {
    let text = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/web-1");
    text.parse().expect("a literal id")
}

/// A world ten minutes old.
fn world() -> Simulation {
    let sim = Simulation::new(Options::default());
    sim.clock.advance(Duration::from_secs(600));
    sim
}

/// A DELETE of an empty policy.
fn spare(sim: &Simulation, n: usize) -> Order {
    removal(sim, &policy(&format!("spare-{n}")), json!({ "properties": { "protectedItemsCount": 0 } }))
}

/// The protection of a machine under a policy, where Azure shows the item under another one, or shows none.
fn protection(sim: &Simulation, machine: &ResourceId, under: &str, shown: Option<&str>) -> Order {
    let item = names::item_id(&vault(), machine).expect("a machine has an item");
    let properties = json!({ "protectedItemType": names::VIRTUAL_MACHINE, "sourceResourceId": machine, "policyId": under });
    Order {
        request: Request::new(Method::Put, item.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties })),
        ownership: Ownership::Item { vault: vault(), owner: "o".into(), policies: BTreeSet::from([policy("mine")]) },
        evidence: seen(sim, shown.map(|policy| json!({ "properties": { "policyId": policy } }))),
        ..longer(sim)
    }
}

#[test]
fn an_order_leaves_only_when_the_gate_itself_finds_nothing_against_it() {
    let sim = world();
    let gate = gate(&sim);
    let (mine, theirs) = (policy("mine").to_string(), policy("theirs").to_string());
    let elsewhere = mine.replace("rg-backup", "rg-secret");
    let shorter = Request::new(Method::Put, policy("mine").as_str(), RECOVERY_SERVICES).with_body(keeps(7, 1));
    let config = vault().child("backupconfig", "vaultconfig").expect("two plain words");
    let soft_delete = |state: &str| json!({ "properties": { "softDeleteFeatureState": state } });
    let off = Order {
        request: Request::new(Method::Patch, config.as_str(), RECOVERY_SERVICES).with_body(soft_delete("Disabled")),
        ownership: Ownership::Tagged { owner: "o".into() },
        evidence: seen(&sim, Some(soft_delete("Enabled"))),
        ..longer(&sim)
    };
    let another = Ownership::Named { vault: vault(), owner: "o".into(), name: "another".into() };
    let (read_then, intent) = (sim.now() - jiff::SignedDuration::from_mins(2), sim.clock.wall() - SEND_WITHIN - Duration::from_millis(1));
    let old_read = Sighting { at: read_then, how: How::Read, what: Some(Arc::new(keeps(30, 1))) };
    let (shop, look) = (machine("rg-shop"), machine("rg-look"));
    #[rustfmt::skip]
    let cases = [
        ("a policy of ours keeps longer",                  longer(&sim),                                                      None),
        ("a machine that nobody protects",                 protection(&sim, &shop, &mine, None),                              None),
        ("its intent is old",                              Order { intent_wall: intent, ..longer(&sim) },                     Some(Reason::Retrying)),
        ("not read just before",                           Order { evidence: Some(old_read), ..longer(&sim) },                Some(Reason::Unreadable)),
        ("never read",                                     Order { evidence: None, ..longer(&sim) },                          Some(Reason::Unreadable)),
        ("its locks are not held",                         Order { locks: vec!["machine:m".into()], ..longer(&sim) },         Some(Reason::Busy)),
        ("a policy of another name in our vault",          Order { ownership: another, ..longer(&sim) },                      Some(Reason::NotOurs)),
        ("an item under somebody's policy",                protection(&sim, &shop, &mine, Some(&theirs)),                     Some(Reason::ForeignPolicy)),
        ("a machine in its body that may only be read",    protection(&sim, &look, &mine, None),                              Some(Reason::AccessDenied)),
        ("a policy in its body that is not granted",       protection(&sim, &shop, &elsewhere, None),                         Some(Reason::AccessDenied)),
        ("points would expire",                            Order { request: shorter, ..longer(&sim) },                        Some(Reason::WouldExpirePoints)),
        ("soft delete is switched off",                    off,                                                               Some(Reason::WouldWeaken)),
    ];
    judges(&sim, &gate, cases);
    sim.audit.break_disk();
    let before = sim.arm.writes();
    assert_eq!(refused(&gate, &longer(&sim)), Some(Reason::InternalError), "nothing leaves that cannot be put on record");
    assert_eq!(sim.arm.writes(), before);
}

#[test]
fn twenty_destructive_calls_leave_in_an_hour_and_no_more() {
    let sim = world();
    let gate = gate(&sim);
    for n in 0..20 {
        assert_eq!(refused(&gate, &spare(&sim, n)), None, "{n}");
    }
    let before = sim.arm.writes();
    assert_eq!(refused(&gate, &spare(&sim, 20)), Some(Reason::Brake));
    assert_eq!(sim.arm.writes(), before);
    assert_eq!(refused(&gate, &longer(&sim)), None, "what removes nothing goes on");
    sim.clock.advance(Duration::from_secs(3601));
    assert_eq!(refused(&gate, &spare(&sim, 20)), None, "an hour later");
}

#[test]
fn what_an_earlier_leader_sent_counts_for_the_next() {
    let sim = world();
    let before = gate(&sim);
    for n in 0..12 {
        assert_eq!(refused(&before, &spare(&sim, n)), None, "{n}");
    }
    // A record of a call that the leader's last word does not hold, and one of a call that it does.
    let late = sim.now() - jiff::SignedDuration::from_mins(9);
    let after = gate(&sim);
    after.recall(&[late, sim.now()].map(|at| Sent { access: "shop".to_owned(), own: None, at }));
    for n in 12..19 {
        assert_eq!(refused(&after, &spare(&sim, n)), None, "{n}");
    }
    assert_eq!(refused(&after, &spare(&sim, 19)), Some(Reason::Brake), "twelve, one that nobody wrote down, and seven");
}

#[test]
fn what_an_earlier_leader_spent_of_a_vaults_day_is_spent_for_the_next() {
    let sim = world();
    let before = gate(&sim);
    let affords = |gate: &Gate| gate.afford(&longer(&sim)).err().map(|refusal| refusal.reason).or_else(|| refused(gate, &longer(&sim)));
    let sent = |gate: &Gate| (0..60).take_while(|_| affords(gate).is_none()).count();
    assert_eq!(sent(&before), 35, "thirty in a hundred are left to others");
    let after = gate(&sim);
    assert_eq!(sent(&after), 35, "who recalls nothing knows nothing");
    let next = gate(&sim);
    next.recall(&[]);
    assert_eq!(affords(&next), Some(Reason::Throttled), "the day is the vault's, whoever leads");
}
