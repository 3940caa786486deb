//! What the gate itself finds against an order, whatever the planner thought: whose a thing is, what is granted, how old a
//! look is, what would get weaker, and how much may be removed in an hour.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use breakwater_api::Reason;
use breakwater_arm::{
    ResourceId, names,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use breakwater_engine::{
    budget::{Budget, Priority},
    gate::{Gate, GateParts, LastLook, Order, SEND_WITHIN},
    locks::Locks,
    ports::{Clock, Cloud, Credential, Identity, ObjectKey},
    telemetry::Quiet,
};
use breakwater_plan::{
    defence::{TAG_ESTATE, TAG_OWNER, TAG_WRITER},
    graph::Ownership,
    kind::{Allowed, Grant},
    sighting::{How, Sighting},
};
use breakwater_tests::sim::{Options, Simulation};
use futures::FutureExt;
use serde_json::{Value, json};

const SUBSCRIPTION: &str = "50b50000-0000-4000-8000-000000000001";

fn vault() -> ResourceId {
    let text = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu");
    text.parse().expect("a literal id")
}

fn policy(name: &str) -> ResourceId {
    vault().child("backupPolicies", name).expect("a plain word")
}

fn machine(group: &str) -> ResourceId {
    let text = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachines/web-1");
    text.parse().expect("a literal id")
}

/// A policy that keeps daily points for so long, with one machine under it.
fn keeps(days: i64) -> Value {
    json!({ "properties": { "backupManagementType": "AzureIaasVM", "protectedItemsCount": 1,
        "schedulePolicy": { "schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": ["2024-04-28T16:30:00Z"] },
        "retentionPolicy": { "retentionPolicyType": "LongTermRetentionPolicy", "dailySchedule": {
            "retentionTimes": ["2024-04-28T16:30:00Z"], "retentionDuration": { "count": days, "durationType": "Days" } } } } })
}

fn gate(sim: &Simulation) -> Gate {
    Gate::new(GateParts {
        arm: sim.arm.clone(),
        clock: sim.clock.clone(),
        leadership: sim.leadership.clone(),
        audit: sim.audit.clone(),
        budget: Arc::new(Budget::default()),
        locks: Arc::new(Locks::default()),
        telemetry: Arc::new(Quiet),
        estate: "e".into(),
        writer: "w".into(),
    })
}

/// A world ten minutes old.
fn world() -> Simulation {
    let sim = Simulation::new(Options::default());
    sim.clock.advance(Duration::from_secs(600));
    sim
}

fn seen(sim: &Simulation, what: Option<Value>) -> Option<Sighting> {
    Some(Sighting { at: sim.now(), how: How::Read, what: what.map(Arc::new) })
}

fn allowed(group: &str, acts: &[&str]) -> Allowed {
    let acts = acts.iter().map(|act| (*act).to_owned()).collect();
    Allowed { subscription_id: SUBSCRIPTION.into(), resource_groups: vec![group.into()], acts }
}

/// A sound order: the policy `mine` in a vault of ours is to keep points longer.
fn longer(sim: &Simulation) -> Order {
    let credential = Credential::Operator { client_id: "c11e0000-0000-4000-8000-000000000001".into() };
    let allow = vec![
        allowed("rg-backup", &["Read", "Protect", "Delete"]),
        allowed("rg-shop", &["Read", "Protect", "Delete"]),
        allowed("rg-look", &["Read"]),
    ];
    Order {
        holder: (ObjectKey { kind: "X".into(), namespace: "shop".into(), name: "x".into() }, "n".to_owned()),
        uid: "u".into(),
        generation: 1,
        identity: Identity { access: "shop".into(), cloud: Cloud::AzurePublic, tenant_id: String::new(), credential },
        grant: Arc::new(Grant { name: "shop".into(), uid: "a".into(), allow }),
        request: Request::new(Method::Put, policy("mine").as_str(), RECOVERY_SERVICES).with_body(keeps(40)),
        ownership: Ownership::Named { vault: vault(), owner: "o".into(), name: "mine".into() },
        locks: Vec::new(),
        paused: false,
        debt: false,
        intent_wall: sim.clock.wall(),
        evidence: seen(sim, Some(keeps(30))),
        vault: seen(sim, Some(json!({ "tags": { TAG_ESTATE: "e", TAG_OWNER: "o", TAG_WRITER: "w" } }))),
        owned: Vec::new(),
        plan_digest: String::new(),
        priority: Priority::UserChange,
        looked_again: Some(LastLook { at: sim.clock.wall(), answers_stand: false, items: None }),
        consents: Vec::new(),
        around: BTreeMap::new(),
        brake: None,
    }
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

/// Why it did not leave; `None` when it left, whatever Azure said.
fn refused(gate: &Gate, order: &Order) -> Option<Reason> {
    gate.send(order).now_or_never().expect("the simulator answers at once").err().map(|refusal| refusal.reason)
}

#[test]
fn an_order_leaves_only_when_the_gate_itself_finds_nothing_against_it() {
    let sim = world();
    let gate = gate(&sim);
    let (mine, theirs) = (policy("mine").to_string(), policy("theirs").to_string());
    let elsewhere = mine.replace("rg-backup", "rg-secret");
    let shorter = Request::new(Method::Put, policy("mine").as_str(), RECOVERY_SERVICES).with_body(keeps(7));
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
    let old_read = Sighting { at: read_then, how: How::Read, what: Some(Arc::new(keeps(30))) };
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
    for (situation, order, expected) in cases {
        let before = sim.arm.writes();
        assert_eq!(refused(&gate, &order), expected, "{situation}");
        assert_eq!(sim.arm.writes() - before, u64::from(expected.is_none()), "{situation}");
    }
    sim.audit.break_disk();
    let before = sim.arm.writes();
    assert_eq!(refused(&gate, &longer(&sim)), Some(Reason::InternalError), "nothing leaves that cannot be put on record");
    assert_eq!(sim.arm.writes(), before);
}

#[test]
fn twenty_destructive_calls_leave_in_an_hour_and_no_more() {
    let sim = world();
    let gate = gate(&sim);
    let removal = |n: usize| {
        let spare = policy(&format!("spare-{n}"));
        Order {
            request: Request::new(Method::Delete, spare.as_str(), RECOVERY_SERVICES),
            ownership: Ownership::Named { vault: vault(), owner: "o".into(), name: spare.name().to_owned() },
            evidence: seen(&sim, Some(json!({ "properties": { "protectedItemsCount": 0 } }))),
            ..longer(&sim)
        }
    };
    for n in 0..20 {
        assert_eq!(refused(&gate, &removal(n)), None, "{n}");
    }
    let before = sim.arm.writes();
    assert_eq!(refused(&gate, &removal(20)), Some(Reason::Brake));
    assert_eq!(sim.arm.writes(), before);
    assert_eq!(refused(&gate, &longer(&sim)), None, "what removes nothing goes on");
    sim.clock.advance(Duration::from_secs(3601));
    assert_eq!(refused(&gate, &removal(20)), None, "an hour later");
}

#[test]
fn what_an_earlier_leader_sent_counts_for_the_next() {
    let sim = world();
    let removal = |n: usize| {
        let spare = policy(&format!("spare-{n}"));
        Order {
            request: Request::new(Method::Delete, spare.as_str(), RECOVERY_SERVICES),
            ownership: Ownership::Named { vault: vault(), owner: "o".into(), name: spare.name().to_owned() },
            evidence: seen(&sim, Some(json!({ "properties": { "protectedItemsCount": 0 } }))),
            ..longer(&sim)
        }
    };
    let before = gate(&sim);
    for n in 0..12 {
        assert_eq!(refused(&before, &removal(n)), None, "{n}");
    }
    // A record of a call that the leader's last word does not hold, and one of a call that it does.
    let late = sim.now() - jiff::SignedDuration::from_mins(9);
    let after = gate(&sim);
    after.recall(&[("shop".to_owned(), late), ("shop".to_owned(), sim.now())]);
    for n in 12..19 {
        assert_eq!(refused(&after, &removal(n)), None, "{n}");
    }
    assert_eq!(refused(&after, &removal(19)), Some(Reason::Brake), "twelve, one that nobody wrote down, and seven");
}
