//! What changes in the middle of a turn: an access that is suspended or that grants less, an object that moves.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use breakwater_arm::wire::Method;
use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    manifests::SMALL,
    people::{edit, key, sent},
    restores,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What is done to the access in the middle of the vault's first turn: no other object is there whose turn it might be.
fn withdrawn(change: Value) -> Simulation {
    let mut sim = Simulation::new(Options::default());
    let (cluster, done) = (sim.cluster.clone(), AtomicBool::new(false));
    sim.arm.meanwhile(move |request| {
        let looks = request.method == Method::Get && request.path.to_ascii_lowercase().contains("recoveryservices/vaults/");
        if looks && !done.swap(true, Ordering::SeqCst) {
            cluster.user().patch(&key("AzureAccess", "shop"), &change).expect("it is there");
        }
    });
    sim.apply(&SMALL.split("---").take(2).collect::<Vec<_>>().join("---"));
    sim.run_for(HOUR);
    sim
}

#[test]
fn an_access_that_is_suspended_while_a_turn_looks_lets_nothing_of_it_leave() {
    let mut sim = withdrawn(json!({ "spec": { "suspend": true } }));
    assert_eq!(sim.arm.writes(), 0, "{:#?}", sim.requests());
    edit(&sim, "AzureAccess", "shop", json!({ "suspend": false }));
    sim.run_until("the vault is made", HOUR, |sim| sim.is_ready("RecoveryVault", "main"));
}

#[test]
fn an_act_that_is_withdrawn_while_a_turn_looks_is_not_done() {
    let sim = withdrawn(json!({ "spec": { "allow": [{
        "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": ["*"], "acts": ["Read"] }] } }));
    assert_eq!(sim.arm.writes(), 0, "{:#?}", sim.requests());
}

#[test]
fn what_was_refused_at_the_last_look_leaves_no_record_though_the_object_moved() {
    let mut sim = restores::ready();
    let cluster = sim.cluster.clone();
    let done = Arc::new(AtomicBool::new(false));
    let suspended = done.clone();
    sim.arm.meanwhile(move |request| {
        let intended = || {
            let run = cluster.live(&key("RestoreRun", "one")).and_then(|run| run.data.pointer("/status/operations").cloned());
            run.and_then(|all| Some(all.as_array()?.iter().any(|o| o["node"] == "restore" && o["handle"].is_null()))).unwrap_or(false)
        };
        let looks = request.method == Method::Get && request.path.to_ascii_lowercase().ends_with("/vaults/rv-shop-weu");
        if looks && intended() && !done.swap(true, Ordering::SeqCst) {
            cluster.user().patch(&key("AzureAccess", "shop"), &json!({ "spec": { "suspend": true } })).expect("it is there");
            cluster
                .user()
                .patch(&key("RestoreRun", "one"), &json!({ "metadata": { "annotations": { "moved": "yes" } } }))
                .expect("it is there");
        }
    });
    let from = sim.requests().len();
    let (to, more) = restores::replace(&sim, json!({}));
    restores::declare(&sim, "one", to, more);
    sim.run_until("it is suspended at the last look", HOUR, |_| suspended.load(Ordering::SeqCst));
    sim.run_for(SignedDuration::from_mins(1));
    let open = sim.status("RestoreRun", "one")["operations"].as_array().cloned().unwrap_or_default();
    assert!(!open.iter().any(|o| o["node"] == "restore"), "it certainly did not leave: {open:#?}");
    edit(&sim, "AzureAccess", "shop", json!({ "suspend": false }));
    restores::until(&mut sim, "one", "Succeeded");
    assert_eq!(sent(&sim, from).iter().filter(|line| line.contains("/restore ")).count(), 1, "{:#?}", sent(&sim, from));
}
