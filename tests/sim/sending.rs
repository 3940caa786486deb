//! Orders as the engine hands them to the gate, made by hand.

use std::{collections::BTreeMap, sync::Arc};

use breakwater_api::Reason;
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use breakwater_engine::{
    budget::{Budget, Priority},
    gate::{Gate, GateParts, LastLook, Order},
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
use breakwater_tests::sim::Simulation;
use futures::FutureExt;
use serde_json::{Value, json};

pub const SUBSCRIPTION: &str = "50b50000-0000-4000-8000-000000000001";

pub fn vault() -> ResourceId {
    let text = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu");
    text.parse().expect("a literal id")
}

pub fn policy(name: &str) -> ResourceId {
    vault().child("backupPolicies", name).expect("a plain word")
}

/// The body of a policy that keeps daily points for so long, with so many machines under it.
pub fn keeps(days: i64, machines: i64) -> Value {
    json!({ "properties": { "backupManagementType": "AzureIaasVM", "protectedItemsCount": machines,
        "schedulePolicy": { "schedulePolicyType": "SimpleSchedulePolicy", "scheduleRunFrequency": "Daily", "scheduleRunTimes": ["2024-04-28T16:30:00Z"] },
        "retentionPolicy": { "retentionPolicyType": "LongTermRetentionPolicy", "dailySchedule": {
            "retentionTimes": ["2024-04-28T16:30:00Z"], "retentionDuration": { "count": days, "durationType": "Days" } } } } })
}

pub fn gate(sim: &Simulation) -> Gate {
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

/// A direct read of now.
pub fn seen(sim: &Simulation, what: Option<Value>) -> Option<Sighting> {
    Some(Sighting { at: sim.now(), how: How::Read, what: what.map(Arc::new) })
}

/// A last live look of now.
pub fn look(sim: &Simulation, answers_stand: bool, items: Option<usize>) -> LastLook {
    LastLook { at: sim.clock.wall(), answers_stand, items }
}

/// The tags of a vault, by whose estate and written from which cluster.
pub fn marks(estate: &str, writer: &str) -> Value {
    json!({ "tags": { TAG_ESTATE: estate, TAG_OWNER: "o", TAG_WRITER: writer } })
}

pub fn grant(allow: &[(&str, &[&str])]) -> Arc<Grant> {
    let allowed = |(group, acts): &(&str, &[&str])| Allowed {
        subscription_id: SUBSCRIPTION.into(),
        resource_groups: vec![(*group).to_owned()],
        acts: acts.iter().map(|act| (*act).to_owned()).collect(),
    };
    Arc::new(Grant { name: "shop".into(), uid: "a".into(), allow: allow.iter().map(allowed).collect() })
}

/// A sound order: the policy `mine` in a vault of ours is to keep points longer.
pub fn longer(sim: &Simulation) -> Order {
    let credential = Credential::Operator { client_id: "c11e0000-0000-4000-8000-000000000001".into() };
    Order {
        holder: (ObjectKey { kind: "X".into(), namespace: "shop".into(), name: "x".into() }, "n".to_owned()),
        uid: "u".into(),
        generation: 1,
        requested_by: None,
        closes: &[],
        identity: Identity { access: "shop".into(), cloud: Cloud::AzurePublic, tenant_id: String::new(), credential },
        grant: grant(&[("rg-backup", &["Read", "Protect", "Delete"]), ("rg-shop", &["Read", "Protect", "Delete"]), ("rg-look", &["Read"])]),
        request: Request::new(Method::Put, policy("mine").as_str(), RECOVERY_SERVICES).with_body(keeps(40, 1)),
        ownership: Ownership::Named { vault: vault(), owner: "o".into(), name: "mine".into() },
        locks: Vec::new(),
        paused: false,
        debt: false,
        intent_wall: sim.clock.wall(),
        evidence: seen(sim, Some(keeps(30, 1))),
        vault: seen(sim, Some(marks("e", "w"))),
        owned: Vec::new(),
        plan_digest: String::new(),
        priority: Priority::UserChange,
        looked_again: Some(look(sim, false, None)),
        consents: Vec::new(),
        around: BTreeMap::new(),
        brake: None,
    }
}

/// A DELETE of that resource, which a moment ago looked like this, in a vault of ours.
pub fn removal(sim: &Simulation, id: &ResourceId, body: Value) -> Order {
    Order {
        grant: grant(&[("rg-backup", &["Read", "Delete"])]),
        request: Request::new(Method::Delete, id.as_str(), RECOVERY_SERVICES),
        ownership: Ownership::Named { vault: vault(), owner: "o".into(), name: id.name().to_owned() },
        evidence: seen(sim, Some(body)),
        ..longer(sim)
    }
}

/// Why it did not leave; `None` when it left, whatever Azure said.
pub fn refused(gate: &Gate, order: &Order) -> Option<Reason> {
    gate.send(order).now_or_never().expect("the simulator answers at once").err().map(|refusal| refusal.reason)
}

/// Each order is refused for its reason and sends nothing, or leaves as one write.
pub fn judges<'a>(sim: &Simulation, gate: &Gate, cases: impl IntoIterator<Item = (&'a str, Order, Option<Reason>)>) {
    for (situation, order, expected) in cases {
        let before = sim.arm.writes();
        assert_eq!(refused(gate, &order), expected, "{situation}");
        assert_eq!(sim.arm.writes() - before, u64::from(expected.is_none()), "{situation}");
    }
}
