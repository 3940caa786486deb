//! What is told apart: a 404 of something else from an absence, labels that nobody saw from none, a limit of a day from a budget.

use std::panic::AssertUnwindSafe;

use azure_sim::{
    faults::{Fault, Shape, When},
    recovery::VaultWrite,
};
use breakwater_tests::{
    cluster::{
        record::{Verb, Writer},
        view::Lag,
    },
    sim::{Options, Simulation},
};
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    azures_words::{answer, config, fault, mended, settings, soft_delete, times, vault},
    main_job::protected,
    manifests::SMALL,
    neighbours::{
        FIRST, NAMESPACE, SECOND, all_deleted, apply, by_labels, first_protects, namespace, object, points, reached, second_access,
        terminates, vault_of,
    },
    people::{edit, granted, is_free, key, member, protected as protected_by, sent, vault_with},
};

const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

#[test]
fn a_policy_whose_machines_went_with_its_namespace_does_not_make_them_anew_again_and_again() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(NAMESPACE);
    sim.apply(SMALL);
    sim.run_until("points", HOUR * 6, |sim| points(sim).len() >= 2 && is_free(sim));
    terminates(&sim);
    // The namespace's controller has come no further yet.
    all_deleted(&sim, "ProtectedMachine");
    let since = sim.cluster.write_log(0).len();
    sim.run_for(HOUR * 3);
    let log = sim.cluster.write_log(since);
    let tried = log.iter().filter(|w| w.writer == Writer::Operator && w.verb == Verb::Create).count();
    assert!(tried <= 2 * 40, "{tried} tries in three hours: {}", sim.tell());
    let told = log.iter().filter(|w| w.writer == Writer::Operator && w.key.kind == "BackupPolicy").count();
    assert!(told <= 6, "{told} writes of its status: {}", sim.tell());
    assert_eq!(sim.deaths(), 0);
}

/// Two answers of 404 that say nothing of the resource: both are recorded or documented (compute-and-arm.md E.4, K).
fn no_word_of_it() -> [(&'static str, Fault); 2] {
    let page = Fault::Status { status: 404, retry_after: None, body: Shape::Html, code: None, message: None, when: When::BeforeApply };
    [("no such subscription", answer(404, "SubscriptionNotFound", "The subscription could not be found.")), ("a page", page)]
}

fn every_read(sim: &Simulation, bad: &Fault) {
    for path in [SUBSCRIPTION.to_owned(), format!("{SUBSCRIPTION}/*")] {
        fault(sim, "GET", &path, bad.clone());
    }
}

#[test]
fn a_404_that_says_nothing_of_the_resource_makes_nothing_missing() {
    let mut wrong = Vec::new();
    for (what, bad) in no_word_of_it() {
        let mut sim = protected();
        sim.run_for(HOUR);
        let writes = sim.arm.writes();
        every_read(&sim, &bad);
        sim.run_for(HOUR * 4);
        for (kind, name, about) in [
            ("RecoveryVault", "main".to_owned(), "Ready"),
            ("ProtectedMachine", member(&sim, "web-1"), "Ready"),
            ("ProtectedMachine", member(&sim, "web-1"), "Recoverable"),
        ] {
            let (_, reason, message) = sim.condition(kind, &name, about);
            if ["Missing", "MachineNotFound", "Moved"].contains(&reason.as_str()) {
                wrong.push(format!("{what}: {kind} {about}: {message}"));
            }
        }
        assert_eq!(sim.arm.writes(), writes, "{what}: {}", sim.tell());
        mended(&sim);
        sim.run_for(HOUR * 2);
        assert!(sim.is_ready("RecoveryVault", "main") && sim.is_ready("ProtectedMachine", &member(&sim, "web-1")), "{}", sim.tell());
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_404_that_says_nothing_of_the_vault_lets_go_of_no_vault_that_was_to_be_deleted() {
    let mut wrong = Vec::new();
    for (what, bad) in no_word_of_it() {
        let mut sim = protected_by(&vault_with(&granted("Disabled"), "deletionPolicy: Delete"));
        sim.run_for(HOUR);
        every_read(&sim, &bad);
        sim.run_for(MINUTE * 10);
        sim.cluster.user().delete(&key("RecoveryVault", "main")).expect("it is there");
        sim.run_for(HOUR * 2);
        let stands = soft_delete(&sim).1 > 0;
        if stands && sim.cluster.live(&key("RecoveryVault", "main")).is_none() {
            wrong.push(what);
        }
    }
    assert_eq!(wrong, Vec::<&str>::new(), "the object is let go of, without a DELETE, and the vault stands");
}

#[test]
fn a_limit_of_a_day_is_told_as_such_and_leaves_something_to_other_policies() {
    let mut sim = Simulation::new(Options::default());
    fault(&sim, "PUT", "*-daily", answer(400, "CloudDosTimeboudLimitReached", "Azure says so."));
    sim.apply(SMALL);
    sim.run_for(HOUR * 4);
    let (_, reason, message) = sim.condition("BackupPolicy", "daily", "Ready");
    let tries = times(&sim, "PUT", "-daily").len();
    assert_eq!(reason, "QuotaReached", "after {tries} tries: {message}");
}

/// Goes on past a finding of the oracle, and says what it was.
fn past_the_oracle(sim: &mut Simulation, time: SignedDuration) -> Vec<String> {
    let (until, mut found) = (sim.now() + time, Vec::new());
    loop {
        match std::panic::catch_unwind(AssertUnwindSafe(|| sim.step(until))) {
            Ok(true) => {}
            Ok(false) => return found,
            Err(why) => {
                found.push(why.downcast_ref::<String>().cloned().unwrap_or_default());
                sim.behind_our_back(&[]);
            }
        }
    }
}

#[test]
fn a_vault_write_that_resets_soft_delete_does_not_begin_a_quarrel() {
    for stale in [0, 90] {
        let mut sim = protected();
        settings(&sim, |s| (s.vault_write, s.stale_vaultconfig) = (VaultWrite::ResetsConfig, SignedDuration::from_secs(stale)));
        sim.run_for(HOUR);
        let before = times(&sim, "PATCH", &config()).len();
        edit(&sim, "RecoveryVault", "main", json!({ "publicNetworkAccess": "Disabled" }));
        past_the_oracle(&mut sim, HOUR * 24);
        let written = (times(&sim, "PATCH", &vault()).len(), times(&sim, "PATCH", &config()).len() - before);
        assert_eq!(written, (1, 1), "{stale} s: {}", sim.tell());
        assert_eq!(soft_delete(&sim), ("Enabled".to_owned(), 30), "{stale} s");
        assert!(sim.is_ready("RecoveryVault", "main"), "{stale} s: {}", sim.tell());
    }
}

#[test]
fn what_azure_lowers_when_the_vault_is_written_is_raised_again_at_once() {
    let mut sim = protected();
    settings(&sim, |s| s.vault_write = VaultWrite::ResetsConfig);
    sim.run_for(HOUR);
    let before = times(&sim, "PATCH", &config()).len();
    edit(&sim, "RecoveryVault", "main", json!({ "publicNetworkAccess": "Disabled" }));
    let found = past_the_oracle(&mut sim, HOUR);
    let (reset, raised) = (times(&sim, "PATCH", &vault())[0], times(&sim, "PATCH", &config()));
    let took = raised.get(before).map(|at| at.duration_since(reset));
    assert!(took.is_some_and(|took| took <= MINUTE), "raised again after {took:?}: {found:#?}");
    assert!(found.iter().all(|finding| finding.contains("soft delete days")), "{found:#?}");
}

#[test]
fn a_namespace_whose_labels_were_not_seen_yet_is_not_taken_for_one_without_labels() {
    let mut sim = Simulation::new(Options::default());
    let mut access = by_labels();
    access["spec"]["namespaces"]["selector"] = json!({ "matchExpressions": [{ "key": "closed", "operator": "DoesNotExist" }] });
    apply(&sim, &[access]);
    sim.run_for(MINUTE);
    sim.cluster.set_lag_of("Namespace", Lag::Held);
    apply(&sim, &[namespace("team", &json!({ "closed": "" })), vault_of("team")]);
    let found = past_the_oracle(&mut sim, MINUTE * 10);
    assert_eq!(reached(&sim, "team"), 0, "{:?}: {:#?}", found.first(), sent(&sim, 0));
}

#[test]
fn a_policy_that_runs_goes_on_to_take_in_machines_when_a_second_access_comes() {
    let mut sim = protected();
    sim.run_for(HOUR);
    apply(&sim, &[second_access()]);
    let off = format!("{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/off-1");
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": off, "body": { "tags": { "app": "shop" } } })]);
    sim.run_for(HOUR * 6);
    let name = member(&sim, "off-1");
    let (_, reason, message) = sim.condition("ProtectedMachine", &name, "Ready");
    assert_ne!(reason, "AmbiguousAccess", "{message}");
    assert!(sim.status("ProtectedMachine", &name)["recoveryPoints"].is_object(), "{}", sim.tell());
}

#[test]
fn the_team_that_lost_is_told_nothing_of_the_other_ones_vault() {
    let sim = first_protects();
    let reads = SECOND.reads(&sim);
    let at = reads.find(&FIRST.mark()).unwrap_or(0);
    assert!(!reads.contains(&FIRST.mark()), "...{}...", &reads[at.saturating_sub(200)..(at + 100).min(reads.len())]);
}

#[test]
fn a_machine_that_somebody_names_comes_before_one_that_a_selector_finds() {
    let mut sim = Simulation::new(Options::default());
    sim.apply(SMALL);
    sim.run_until("the policy made its object", HOUR, |sim| !sim.cluster.live_all("ProtectedMachine").is_empty());
    assert_eq!(times(&sim, "PUT", ";web-1").len(), 0, "nobody holds it yet: {}", sim.tell());
    let id = format!("{SUBSCRIPTION}/resourceGroups/rg-shop/providers/Microsoft.Compute/virtualMachines/web-1");
    let spec = json!({ "policyRef": { "name": "daily" }, "machineId": id });
    apply(&sim, &[object("ProtectedMachine", "shop", "mine", spec)]);
    sim.run_for(HOUR * 6);
    assert!(sim.is_ready("ProtectedMachine", "mine"), "{:?}", sim.condition("ProtectedMachine", "mine", "Ready"));
}

#[test]
fn a_subscription_that_is_disabled_is_told_so() {
    let mut sim = Simulation::new(Options::default());
    let words = "The subscription 'x' is disabled and therefore marked as read only.";
    fault(&sim, "PUT", "*/vaults/rv-shop-weu", answer(409, "ReadOnlyDisabledSubscription", words));
    sim.apply(SMALL);
    sim.run_for(HOUR * 4);
    let tries = times(&sim, "PUT", &vault()).len();
    let (_, reason, message) = sim.condition("RecoveryVault", "main", "Ready");
    assert_eq!((reason.as_str(), tries <= 8), ("SubscriptionNotReady", true), "{tries} tries: {message}");
}
