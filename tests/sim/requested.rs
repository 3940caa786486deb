//! Looking when somebody asks, and the power states that come on the side.

use std::sync::PoisonError;

use breakwater_engine::ports::ObjectKey;
use breakwater_tests::sim::Simulation;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::main_job::protected;

const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
const REQUESTED_AT: &str = "breakwater.io/requested-at";
const DAYS: &str = "/properties/securitySettings/softDeleteSettings/softDeleteRetentionPeriodInDays";

fn vault() -> String {
    format!("{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu")
}

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: kind.into(), namespace: "shop".into(), name: name.into() }
}

/// Both machines have points, and everything is at rest.
fn settled() -> Simulation {
    let mut sim = protected();
    // Between two of the turns that look every five minutes.
    sim.run_for(SignedDuration::from_mins(52));
    sim
}

/// How often the operator looked at a path since then.
fn looks(sim: &Simulation, path: &str, since: Timestamp) -> usize {
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    let all = azure.journal().entries().iter().filter(|e| e.method == "GET" && e.time >= since);
    all.filter(|e| e.path.eq_ignore_ascii_case(path)).count()
}

/// What a status says of the vault's soft delete days, in Azure.
fn days(sim: &Simulation) -> Option<i64> {
    let mut azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    let truth = breakwater_tests::sim::Truth::read(&mut azure);
    truth.vaults.get(&vault().to_lowercase())?.body.pointer(DAYS)?.as_i64()
}

/// Somebody weakens the vault past us.
fn weaken(sim: &mut Simulation) {
    let body = json!({ "properties": { "securitySettings": { "softDeleteSettings": { "softDeleteRetentionPeriodInDays": 14 } } } });
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": vault(), "body": body })]);
    assert_eq!(days(sim), Some(14));
}

#[test]
fn a_request_for_a_turn_sees_at_once_what_memory_would_not() {
    let mut sim = settled();
    assert_eq!(days(&sim), Some(30));
    // Right after a look of its own, nothing of drift is due for a while.
    let config = format!("{}/backupconfig/vaultconfig", vault());
    let since = sim.now();
    sim.run_until("a look of its own", SignedDuration::from_mins(20), |sim| looks(sim, &config, since) > 0);
    sim.cluster.user().annotate(&key("RecoveryVault", "main"), "example.com/note", Some("0")).expect("it is there");
    sim.run_for(SignedDuration::from_secs(20));
    weaken(&mut sim);
    sim.cluster.user().annotate(&key("RecoveryVault", "main"), "example.com/note", Some("a")).expect("it is there");
    sim.run_for(SignedDuration::from_secs(20));
    assert_eq!(days(&sim), Some(14), "a turn as any other stands on what is remembered: {}", sim.tell());
    sim.cluster.user().annotate(&key("RecoveryVault", "main"), REQUESTED_AT, Some("one")).expect("it is there");
    sim.run_until("it is mended", SignedDuration::from_secs(30), |sim| days(sim) == Some(30));
    assert_eq!(sim.status("RecoveryVault", "main")["lastHandledRequest"], "one");
}

#[test]
fn the_same_token_asks_once() {
    let mut sim = settled();
    sim.cluster.user().annotate(&key("RecoveryVault", "main"), REQUESTED_AT, Some("one")).expect("it is there");
    let asked = sim.now();
    sim.run_for(SignedDuration::from_secs(20));
    assert_eq!(sim.status("RecoveryVault", "main")["lastHandledRequest"], "one");
    let first = looks(&sim, &vault(), asked);
    assert!(first >= 1, "{}", sim.tell());
    let again = sim.now();
    sim.cluster.user().annotate(&key("RecoveryVault", "main"), "example.com/note", Some("b")).expect("it is there");
    sim.cluster.user().annotate(&key("RecoveryVault", "main"), REQUESTED_AT, Some("one")).expect("it is there");
    sim.run_for(SignedDuration::from_secs(20));
    assert_eq!(looks(&sim, &vault(), again), 0, "{:#?}", sim.requests().iter().rev().take(9).collect::<Vec<_>>());
    sim.cluster.user().annotate(&key("RecoveryVault", "main"), REQUESTED_AT, Some("two")).expect("it is there");
    sim.run_for(SignedDuration::from_secs(20));
    assert!(looks(&sim, &vault(), again) >= 1 && sim.status("RecoveryVault", "main")["lastHandledRequest"] == "two");
}

#[test]
fn power_states_cost_one_list_a_subscription_in_a_quarter_of_an_hour() {
    let mut sim = settled();
    let (since, list) = (sim.now(), format!("{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachines"));
    sim.run_for(SignedDuration::from_hours(4));
    let looks = looks(&sim, &list, since);
    assert!((4..=17).contains(&looks), "{looks} lists in four hours");
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    let power = azure.journal().entries().iter().filter(|e| e.path.eq_ignore_ascii_case(&list));
    let times: Vec<Timestamp> = power.inspect(|e| assert_eq!(e.query["statusonly"], "true", "{e:?}")).map(|e| e.time).collect();
    let between = times.windows(2).map(|pair| pair[1].duration_since(pair[0]));
    assert!(between.min().is_some_and(|gap| gap >= SignedDuration::from_mins(15)), "{times:?}");
}

#[test]
fn a_machine_that_was_stopped_shows_so_in_status() {
    let mut sim = settled();
    let all = sim.cluster.live_all("ProtectedMachine");
    let name = all.iter().filter_map(|o| o.metadata.name.clone()).find(|n| n.starts_with("web-1")).expect("a member");
    let power = |sim: &Simulation| sim.status("ProtectedMachine", &name)["machine"]["powerState"].as_str().map(str::to_lowercase);
    assert_eq!(power(&sim).as_deref(), Some("running"), "{}", sim.tell());
    let id = format!("{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": id, "body": { "power": "deallocated" } })]);
    let (since, list) = (sim.now(), format!("{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachines"));
    sim.run_until("it is listed", SignedDuration::from_mins(16), |sim| looks(sim, &list, since) > 0);
    // A change in the list wakes the machine, whose own next turn may be an hour away.
    sim.run_until("it shows", SignedDuration::from_secs(30), |sim| power(sim).as_deref() == Some("deallocated"));
}
