//! The gate before what cannot be taken back: a removal leaves only right after a last live look, and never where recovery
//! points may be.

use std::{sync::Arc, time::Duration};

use breakwater_api::Reason;
use breakwater_arm::{
    ResourceId,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use breakwater_engine::{
    budget::{Budget, Priority},
    gate::{Gate, GateParts, LAST_LOOK, Order},
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

/// A DELETE of that resource, which a moment ago looked like this, in a vault of ours.
fn removal(sim: &Simulation, id: &ResourceId, body: Value) -> Order {
    let seen = |what: Value| Some(Sighting { at: sim.now(), how: How::Read, what: Some(Arc::new(what)) });
    let holder = (ObjectKey { kind: "X".into(), namespace: "shop".into(), name: "x".into() }, "n".to_owned());
    let credential = Credential::Operator { client_id: "c11e0000-0000-4000-8000-000000000001".into() };
    let identity = Identity { access: "shop".into(), cloud: Cloud::AzurePublic, tenant_id: String::new(), credential };
    let acts = vec!["Read".into(), "Delete".into()];
    let allow = vec![Allowed { subscription_id: SUBSCRIPTION.into(), resource_groups: vec!["rg-backup".into()], acts }];
    Order {
        holder,
        uid: "u".into(),
        generation: 1,
        identity,
        grant: Arc::new(Grant { name: "shop".into(), uid: "a".into(), allow }),
        request: Request::new(Method::Delete, id.as_str(), RECOVERY_SERVICES),
        ownership: Ownership::Named { vault: vault(), owner: "o".into(), name: id.name().to_owned() },
        locks: Vec::new(),
        paused: false,
        debt: false,
        intent_wall: sim.clock.wall(),
        evidence: seen(body),
        vault: seen(json!({ "tags": { TAG_ESTATE: "e", TAG_OWNER: "o", TAG_WRITER: "w" } })),
        owned: Vec::new(),
        plan_digest: String::new(),
        priority: Priority::UserChange,
        looked_again: Some(sim.clock.wall()),
    }
}

/// Why it did not leave; `None` when it left, whatever Azure said.
fn refused(gate: &Gate, order: &Order) -> Option<Reason> {
    gate.send(order).now_or_never().expect("the simulator answers at once").err().map(|refusal| refusal.reason)
}

#[test]
fn a_removal_leaves_only_after_a_last_look_and_never_where_points_may_be() {
    let sim = Simulation::new(Options::default());
    sim.clock.advance(Duration::from_secs(60));
    let gate = gate(&sim);
    let policy = vault().child("backupPolicies", "spare").expect("a plain word");
    let item: ResourceId = format!(
        "{}/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;rg-shop;web-1/protectedItems/VM;iaasvmcontainerv2;rg-shop;web-1",
        vault()
    )
    .parse()
    .expect("a literal id");
    let under = |n: i64| json!({ "properties": { "protectedItemsCount": n } });
    let empty = removal(&sim, &policy, under(0));
    let stale = Order { looked_again: Some(sim.clock.wall() - LAST_LOOK - Duration::from_millis(1)), ..empty.clone() };
    let grant = Grant { allow: Vec::new(), ..(*empty.grant).clone() };
    let strangers = Some(Sighting { at: sim.now(), how: How::Read, what: Some(Arc::new(json!({ "tags": {} }))) });
    let cases = [
        ("an empty policy, looked at again", empty.clone(), None),
        ("nobody looked again", Order { looked_again: None, ..empty.clone() }, Some(Reason::Retrying)),
        ("the last look is too old", stale, Some(Reason::Retrying)),
        ("paused meanwhile", Order { paused: true, ..empty.clone() }, Some(Reason::Suspended)),
        ("not granted", Order { grant: Arc::new(grant), ..empty.clone() }, Some(Reason::AccessDenied)),
        ("the vault is not ours", Order { vault: strangers, ..empty.clone() }, Some(Reason::NotOurs)),
        ("machines are under it", removal(&sim, &policy, under(1)), Some(Reason::WouldExpirePoints)),
        ("it does not say", removal(&sim, &policy, json!({})), Some(Reason::WouldExpirePoints)),
        (
            "an item, whatever it holds",
            Order { owned: vec![item.to_string()], ..removal(&sim, &item, json!({})) },
            Some(Reason::WouldExpirePoints),
        ),
    ];
    for (situation, order, expected) in cases {
        let before = sim.arm.writes();
        assert_eq!(refused(&gate, &order), expected, "{situation}");
        assert_eq!(sim.arm.writes() - before, u64::from(expected.is_none()), "{situation}");
    }
    let told: Vec<Value> = sim.audit.lines();
    assert!(told.iter().all(|line| line["act"] == "Delete") && told.len() == 2, "before and after the one that left: {told:#?}");
    sim.leadership.lose();
    assert_eq!(refused(&gate, &empty), Some(Reason::Busy), "who does not lead sends nothing");
}
