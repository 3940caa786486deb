//! What Azure says beside yes: an Azure Policy that denies, quotas and subscriptions, settings that come back otherwise, lists
//! that fail because of one machine, and vaults that are secure by default.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use azure_sim::{
    faults::{Fault, Match, Rule, Shape, When},
    recovery::{Settings, VaultDeletion, VaultWrite},
};
use breakwater_tests::sim::{Options, Simulation, Truth};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    main_job::protected,
    manifests::SMALL,
    people::{PERSON, by_hand, edit, granted, key, member, protected as protected_by, protected_in, sent, vault_with},
};

const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

pub fn vault() -> String {
    format!("{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu")
}

pub fn config() -> String {
    format!("{}/backupconfig/vaultconfig", vault())
}

pub fn fault(sim: &Simulation, method: &str, path: &str, fault: Fault) {
    let matches = Match { method: Some(method.into()), path: Some(path.into()), ..Match::default() };
    let rule = Rule { id: format!("{method} {path}"), matches, fault };
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
}

pub fn mended(sim: &Simulation) {
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().clear();
}

pub fn answer(status: u16, code: &str, message: &str) -> Fault {
    let (code, message) = (Some(code.into()), Some(message.into()));
    Fault::Status { status, retry_after: None, body: Shape::Standard, code, message, when: When::BeforeApply }
}

/// On the request of that name that comes after so many, once: too many, come back then. Azure closes that action for so long.
pub fn full(sim: &Simulation, path: &str, nth: u32, minutes: u64) {
    let (body, when) = (Shape::Standard, When::BeforeApply);
    let refusal = Fault::Status { status: 429, retry_after: Some(minutes * 60), body, code: None, message: None, when };
    let mut rule = Rule::once(path, "GET", path, refusal);
    rule.matches.nth = Some(nth);
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
}

pub fn settings(sim: &Simulation, set: impl FnOnce(&mut Settings)) {
    set(sim.azure.lock().unwrap_or_else(PoisonError::into_inner).recovery_mut().settings_mut());
}

/// When such requests came, whatever was answered.
pub fn times(sim: &Simulation, method: &str, end: &str) -> Vec<Timestamp> {
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    let all = azure.journal().entries().iter().filter(|e| e.method == method && e.path.to_lowercase().ends_with(&end.to_lowercase()));
    all.map(|e| e.time).collect()
}

/// The shortest time between two of them.
fn shortest(times: &[Timestamp]) -> SignedDuration {
    times.windows(2).map(|pair| pair[1].duration_since(pair[0])).min().unwrap_or(SignedDuration::MAX)
}

fn members(sim: &Simulation) -> Vec<String> {
    sim.cluster.live_all("ProtectedMachine").iter().filter_map(|o| o.metadata.name.clone()).collect()
}

fn all_have_points(sim: &Simulation) -> bool {
    let all = sim.cluster.live_all("ProtectedMachine");
    all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count() == 2
}

/// Soft delete as the vault has it: state and days.
pub fn soft_delete(sim: &Simulation) -> (String, i64) {
    let truth = Truth::read(&mut sim.azure.lock().unwrap_or_else(PoisonError::into_inner));
    let soft = truth.vaults[&vault().to_lowercase()].body["properties"]["securitySettings"]["softDeleteSettings"].clone();
    (soft["softDeleteState"].as_str().unwrap_or_default().to_owned(), soft["softDeleteRetentionPeriodInDays"].as_i64().unwrap_or(0))
}

/// The object whose write that is, as far as it is there.
fn of_whom(sim: &Simulation, kind: &str) -> String {
    match kind {
        "RecoveryVault" => "main".into(),
        "BackupPolicy" => "daily".into(),
        _ => members(sim).into_iter().find(|name| name.starts_with("web-1-")).unwrap_or_default(),
    }
}

#[test]
fn what_an_azure_policy_denies_is_told_with_its_assignment_and_goes_on_without_it() {
    let denied = [
        ("vaults", "RecoveryVault", "/rv-shop-weu"),
        ("vaults/backupPolicies", "BackupPolicy", "-daily"),
        ("vaults/backupFabrics/protectionContainers/protectedItems", "ProtectedMachine", ";web-1"),
    ];
    for (what, kind, end) in denied {
        let mut sim = Simulation::new(Options::default());
        sim.invariants.rights_are_withdrawn();
        let assignment = format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/policyAssignments/no-backups");
        let body = json!({ "displayName": "Backups need a ticket", "deny": format!("Microsoft.RecoveryServices/{what}") });
        sim.behind_our_back(&[json!({ "method": "PUT", "id": assignment, "body": body })]);
        sim.apply(SMALL);
        let is_stalled = |sim: &Simulation| sim.condition(kind, &of_whom(sim, kind), "Stalled").0 == "True";
        sim.run_until(what, HOUR * 2, |sim| is_stalled(sim));
        let since = sim.now();
        while sim.step(since + HOUR * 6) {
            assert!(is_stalled(&sim), "{what}: it comes and goes: {}", sim.tell());
        }
        let (ready, reason, message) = sim.condition(kind, &of_whom(&sim, kind), "Ready");
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "DeniedByPolicy"), "{what}: {message}");
        assert!(message.contains("Backups need a ticket"), "{what}: {message}");
        let tries = times(&sim, "PUT", end);
        assert!((4..=10).contains(&tries.len()), "{what}: {tries:?}");
        assert!(shortest(&tries) >= MINUTE * 10, "{what}: {tries:?}");
        sim.behind_our_back(&[json!({ "method": "DELETE", "id": assignment })]);
        sim.run_until(what, HOUR * 6, |sim| sim.is_ready(kind, &of_whom(sim, kind)) && all_have_points(sim));
    }
}

#[test]
fn a_denial_that_another_assignment_takes_over_is_told_by_the_new_name() {
    let mut sim = Simulation::new(Options::default());
    sim.invariants.rights_are_withdrawn();
    let assignment = |name: &str| format!("{SUBSCRIPTION}/providers/Microsoft.Authorization/policyAssignments/{name}");
    let put = |name: &str| json!({ "method": "PUT", "id": assignment(name), "body": { "deny": "Microsoft.RecoveryServices/vaults" } });
    sim.behind_our_back(&[put("old-rule")]);
    sim.apply(SMALL);
    let message = |sim: &Simulation| sim.condition("RecoveryVault", "main", "Ready").2;
    sim.run_until("it is told", HOUR, |sim| message(sim).contains("old-rule"));
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": assignment("old-rule") }), put("new-rule")]);
    sim.run_for(HOUR * 2);
    assert!(message(&sim).contains("new-rule") && !message(&sim).contains("old-rule"), "{}", message(&sim));
}

#[test]
fn what_a_subscription_or_a_quota_refuses_is_named_and_retried_no_faster_than_promised() {
    let person = (MINUTE * 10, 3..=6);
    let passes = (MINUTE * 5, 4..=8);
    let cases = [
        (409, "MissingSubscriptionRegistration", "SubscriptionNotReady", "True", &person),
        (404, "SubscriptionNotFound", "SubscriptionNotReady", "True", &person),
        (400, "CloudDosAbsoluteLimitReached", "QuotaReached", "True", &person),
        (400, "QuotaExceeded", "QuotaReached", "True", &person),
        (400, "CloudDosTimeboudLimitReached", "QuotaReached", "True", &passes),
    ];
    let writes = [("RecoveryVault", "/rv-shop-weu"), ("BackupPolicy", "-daily"), ("ProtectedMachine", ";web-1")];
    for (kind, end) in writes {
        for (status, code, reason, stalled, (gap, count)) in &cases {
            let mut sim = Simulation::new(Options::default());
            fault(&sim, "PUT", &format!("*{end}"), answer(*status, code, "Azure says so."));
            sim.apply(SMALL);
            let since = sim.now();
            sim.run_until(code, HOUR * 2, |sim| !times(sim, "PUT", end).is_empty());
            sim.run_for(HOUR * 2 - sim.now().duration_since(since));
            let (ready, told, message) = sim.condition(kind, &of_whom(&sim, kind), "Ready");
            assert_eq!((ready.as_str(), told.as_str()), ("False", *reason), "{kind} {code}: {}", sim.tell());
            assert!(message.contains(code) && message.contains("Azure says so."), "{kind} {code}: {message}");
            assert_eq!(sim.condition(kind, &of_whom(&sim, kind), "Stalled").0, *stalled, "{kind} {code}: {}", sim.tell());
            let tries = times(&sim, "PUT", end);
            assert!(shortest(&tries) >= *gap && count.contains(&tries.len()), "{kind} {code}: {tries:?}");
            mended(&sim);
            sim.run_until(code, HOUR * 8, |sim| all_have_points(sim));
        }
    }
}

/// The operator loses every role that it has in the subscription: Azure then says that there is no such subscription.
fn loses_every_role(sim: &mut Simulation) {
    let roles: Vec<Value> = {
        let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
        let all = azure.world().access.assignments.iter().filter(|(_, a)| a.principal.ends_with("000000000001"));
        all.map(|(id, _)| json!({ "method": "DELETE", "id": id })).collect()
    };
    assert!(!roles.is_empty());
    sim.invariants.rights_are_withdrawn();
    sim.behind_our_back(&roles);
}

#[test]
fn an_operator_that_lost_its_last_role_does_not_say_that_backups_are_gone() {
    let mut sim = protected();
    sim.run_for(HOUR);
    loses_every_role(&mut sim);
    sim.run_for(HOUR * 3);
    let codes: Vec<String> = sim.requests().into_iter().rev().take(5).collect();
    for (kind, name) in [("RecoveryVault", "main".to_owned()), ("ProtectedMachine", member(&sim, "web-1"))] {
        let reason = sim.condition(kind, &name, "Ready").1;
        assert!(!["Missing", "MachineNotFound"].contains(&reason.as_str()), "{kind}: {reason} {codes:#?}");
    }
    let (_, reason, message) = sim.condition("ProtectedMachine", &member(&sim, "web-1"), "Recoverable");
    assert_ne!(reason, "Missing", "{message}");
}

#[test]
fn an_operator_that_lost_its_last_role_does_not_take_a_vault_for_deleted() {
    let mut sim = protected_by(&vault_with(&granted("Disabled"), "deletionPolicy: Delete"));
    sim.run_for(HOUR);
    loses_every_role(&mut sim);
    sim.run_for(MINUTE * 10);
    sim.cluster.user().delete(&key("RecoveryVault", "main")).expect("it is there");
    sim.run_for(HOUR * 2);
    let last: Vec<String> = sim.requests().into_iter().rev().take(8).collect();
    assert!(sim.cluster.live(&key("RecoveryVault", "main")).is_some(), "let go of, and the vault stands: {last:#?}");
    assert_eq!(sim.condition("RecoveryVault", "main", "Blocked").0, "True", "{}", sim.tell());
}

#[test]
fn soft_delete_that_is_not_read_back_at_once_is_not_written_again_and_again() {
    // Terraform waits for three equal reads, up to 30 s apart (backup.md §5.3); what is hidden for longer may be written again.
    for (stale, most) in [(30, 1), (90, 1), (240, 2)] {
        let mut sim = Simulation::new(Options::default());
        settings(&sim, |s| s.stale_vaultconfig = SignedDuration::from_secs(stale));
        sim.apply(SMALL);
        sim.run_until("it stands", HOUR * 2, |sim| sim.is_ready("RecoveryVault", "main"));
        sim.run_for(HOUR * 24);
        let written = times(&sim, "PATCH", &config()).len();
        assert!((1..=most).contains(&written), "{stale} s: {written} times: {}", sim.tell());
        assert_eq!(soft_delete(&sim), ("Enabled".to_owned(), 30), "{stale} s");
        assert!(sim.is_ready("RecoveryVault", "main"), "{stale} s: {}", sim.tell());
    }
}

#[test]
fn a_vault_that_is_made_where_a_vault_write_resets_soft_delete_ends_as_declared() {
    for stale in [0, 90] {
        let mut sim = Simulation::new(Options::default());
        settings(&sim, |s| (s.vault_write, s.stale_vaultconfig) = (VaultWrite::ResetsConfig, SignedDuration::from_secs(stale)));
        sim.apply(&vault_with(SMALL, "publicNetworkAccess: Disabled\n  crossRegionRestore: true"));
        sim.run_until("it stands", HOUR * 2, |sim| sim.is_ready("RecoveryVault", "main"));
        sim.run_for(HOUR * 24);
        let written = (times(&sim, "PUT", &vault()).len(), times(&sim, "PATCH", &vault()).len(), times(&sim, "PATCH", &config()).len());
        assert_eq!(written, (1, 0, 1), "{stale} s: {}", sim.tell());
        assert_eq!(soft_delete(&sim), ("Enabled".to_owned(), 30), "{stale} s");
    }
}

#[test]
fn soft_delete_that_somebodys_write_resets_is_raised_again_within_one_look() {
    let mut sim = protected();
    settings(&sim, |s| s.vault_write = VaultWrite::ResetsConfig);
    sim.run_for(HOUR);
    let body = json!({ "properties": { "monitoringSettings": { "classicAlertSettings": { "alertsForCriticalOperations": "Disabled" } } } });
    let (status, reply) = by_hand(&sim, PERSON, "PATCH", &vault(), "2024-04-01", body);
    assert!(status < 300, "{reply}");
    passes_unseen(&mut sim);
    assert_eq!(soft_delete(&sim).1, 14);
    sim.run_until("it is raised", MINUTE * 12, |sim| soft_delete(sim).1 == 30);
}

#[test]
fn a_vault_that_is_secure_by_default_is_made_no_weaker() {
    let mut sim = protected();
    sim.run_for(HOUR);
    let always = json!({ "softDeleteState": "AlwaysON", "enhancedSecurityState": "AlwaysON", "softDeleteRetentionPeriodInDays": 14 });
    let body = json!({ "properties": { "securitySettings": { "softDeleteSettings": always } } });
    sim.behind_our_back(&[json!({ "method": "PATCH", "id": vault(), "body": body })]);
    sim.run_until("the days are raised", HOUR, |sim| soft_delete(sim).1 == 30);
    sim.run_for(HOUR * 24);
    assert_eq!(soft_delete(&sim), ("AlwaysON".to_owned(), 30), "{}", sim.tell());
    assert_eq!(times(&sim, "PATCH", &config()).len(), 2, "once when it was made: {}", sim.tell());
    assert!(sim.is_ready("RecoveryVault", "main"), "{}", sim.tell());
    let (drifted, reason, message) = sim.condition("RecoveryVault", "main", "Drifted");
    assert_eq!((drifted.as_str(), reason.as_str()), ("True", "StrongerThanDeclared"), "{message}");
}

/// What a person asked of Azure comes to its end while nobody looks.
fn passes_unseen(sim: &mut Simulation) {
    sim.clock.advance(Duration::from_secs(120));
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).advance(sim.now());
    sim.behind_our_back(&[]);
}

#[test]
fn a_vault_that_azure_keeps_for_what_nobody_lists_is_asked_for_now_and_then_and_says_why() {
    let mut sim = Simulation::new(Options::default());
    let vault_alone: Vec<&str> = SMALL.split("---").take(2).collect();
    let granted = vault_alone.join("---").replace("acts: [Read, Protect, Backup]", "acts: [Read, Protect, Backup, Delete]");
    sim.apply(&vault_with(&granted, "deletionPolicy: Delete"));
    sim.run_until("it stands", HOUR, |sim| sim.is_ready("RecoveryVault", "main"));
    let words = "Recovery Services vault cannot be deleted as there are existing private endpoints.";
    fault(&sim, "DELETE", "*/vaults/rv-shop-weu", answer(400, "ServiceResourceNotEmptyWithContainerDetails", words));
    sim.cluster.user().delete(&key("RecoveryVault", "main")).expect("it is there");
    sim.run_for(HOUR * 6);
    let tries = times(&sim, "DELETE", &vault());
    assert!((3..=75).contains(&tries.len()) && shortest(&tries) >= MINUTE * 5, "{tries:?}");
    let (blocked, _, message) = sim.condition("RecoveryVault", "main", "Blocked");
    assert!(blocked == "True" && message.contains("private endpoints") && message.contains("deletionPolicy: Retain"), "{message}");
    mended(&sim);
    sim.run_until("it goes", HOUR, |sim| sim.cluster.live(&key("RecoveryVault", "main")).is_none());
}

/// A vault that is to go, with nothing in it but soft-deleted backups, where Azure would delete it with them.
fn emptied(how: VaultDeletion) -> Simulation {
    let manifest = vault_with(&granted("Disabled"), "deletionPolicy: Delete");
    let mut sim = protected_in("tests/sim/estates/guarded.yaml", &manifest, 1);
    settings(&sim, |s| s.vault_deletion = how);
    edit(&sim, "BackupPolicy", "daily", json!({ "suspend": true }));
    let items = members(&sim).into_iter().map(|name| sim.status("ProtectedMachine", &name)["itemId"].as_str().map(str::to_owned));
    let items: Vec<String> = items.flatten().collect();
    assert_eq!(items.len(), 1, "{}", sim.tell());
    for item in &items {
        let (status, reply) = by_hand(&sim, PERSON, "DELETE", item, "2024-04-01", Value::Null);
        assert!(status < 300, "{reply}");
    }
    passes_unseen(&mut sim);
    sim.run_for(MINUTE * 30);
    sim
}

#[test]
fn a_vault_that_azure_would_delete_over_soft_deleted_backups_is_not_deleted_over_them() {
    for how in [VaultDeletion::SecureByDefault, VaultDeletion::Classic] {
        let mut sim = emptied(how);
        let since = sim.requests().len();
        sim.cluster.user().delete(&key("RecoveryVault", "main")).expect("it is there");
        sim.run_for(HOUR * 24);
        assert_eq!(sent(&sim, since), Vec::<String>::new(), "{how:?}");
        let (blocked, reason, message) = sim.condition("RecoveryVault", "main", "Blocked");
        assert_eq!((blocked.as_str(), reason.as_str()), ("True", "Blocked"), "{how:?}: {message}");
        let blockers = sim.status("RecoveryVault", "main")["blockers"].to_string();
        assert!(blockers.contains("soft-deleted backups of") && blockers.contains("web-1"), "{how:?}: {blockers}");
    }
}

/// What machines are told, and how their policy counts them.
fn told(sim: &Simulation) -> (BTreeMap<String, Value>, Vec<Value>) {
    let about = |name: &String| {
        let status = sim.status("ProtectedMachine", name);
        json!([status["protection"], status["recoveryPoints"]["count"], sim.condition("ProtectedMachine", name, "Ready").0])
    };
    let machines = members(sim).into_iter().map(|name| (name.clone(), about(&name))).collect();
    let policy = sim.status("BackupPolicy", "daily");
    (machines, ["matched", "protected", "failing"].map(|field| policy[field].clone()).to_vec())
}

/// Each way in which a list was recorded to fail (backup.md §4.2).
fn bad_lists() -> [(&'static str, Fault); 3] {
    let gone = "Could not perform the operation as VM no longer exists. \r\nPlease delete the protected item.";
    [
        ("a machine is gone", answer(404, "ResourceNotFound", gone)),
        ("an empty message", answer(500, "CloudStorageUnexpectedError", "")),
        (
            "no body",
            Fault::Status { status: 500, retry_after: None, body: Shape::Empty, code: None, message: None, when: When::BeforeApply },
        ),
    ]
}

#[test]
fn a_list_that_fails_because_of_one_machine_makes_no_machine_unprotected() {
    for (what, bad) in bad_lists() {
        for list in ["*/backupProtectedItems", "*/backupJobs"] {
            let mut sim = protected();
            sim.run_for(HOUR);
            let (before, writes) = (told(&sim), sim.arm.writes());
            fault(&sim, "GET", list, bad.clone());
            let until = sim.now() + HOUR * 4;
            while sim.step(until) {
                assert_eq!(told(&sim), before, "{what}, {list}: {}", sim.tell());
            }
            assert_eq!(sim.arm.writes(), writes, "{what}, {list}: {}", sim.tell());
            let asked = times(&sim, "GET", &list[1..]).into_iter().filter(|at| *at > until - HOUR * 4).count();
            assert!(asked <= 4 * 60, "{what}, {list}: asked {asked} times in four hours");
        }
    }
}

#[test]
fn points_that_cannot_be_listed_after_a_backup_are_still_told_and_the_new_one_when_they_can() {
    for (what, bad) in bad_lists() {
        let mut sim = protected();
        sim.run_for(HOUR);
        fault(&sim, "GET", "*/recoveryPoints", bad);
        let (web, asked) = (member(&sim, "web-1"), times(&sim, "GET", "/recoveryPoints").len());
        // The schedule is at 01:00 UTC.
        let until = sim.now() + HOUR * 20;
        while sim.step(until) {
            assert!(sim.status("ProtectedMachine", &web)["recoveryPoints"]["count"].as_i64() >= Some(1), "{what}: {}", sim.tell());
            assert_eq!(sim.condition("ProtectedMachine", &web, "Recoverable").0, "True", "{what}: {}", sim.tell());
        }
        let asked = times(&sim, "GET", "/recoveryPoints").len() - asked;
        assert!((1..=2 * 8 * 60).contains(&asked), "{what}: asked {asked} times");
        mended(&sim);
        sim.run_for(HOUR);
        let told = sim.status("ProtectedMachine", &web)["recoveryPoints"]["count"].as_i64();
        assert_eq!((told, sim.is_ready("ProtectedMachine", &web)), (Some(2), true), "{what}: {}", sim.tell());
    }
}

#[test]
fn a_list_that_fails_from_the_beginning_leads_to_no_second_protection() {
    for (what, bad) in bad_lists() {
        let mut sim = Simulation::new(Options::default());
        fault(&sim, "GET", "*/backupProtectedItems", bad);
        sim.apply(SMALL);
        sim.run_for(HOUR * 4);
        mended(&sim);
        sim.run_until(what, HOUR * 8, |sim| all_have_points(sim));
        for machine in [";web-1", ";win-1"] {
            assert_eq!(times(&sim, "PUT", machine).len(), 1, "{what}: {}", sim.tell());
        }
        assert!(times(&sim, "PUT", ";old-1").is_empty(), "{what}: another vault has it");
    }
}

#[test]
fn a_write_whose_refusal_has_no_words_is_sent_again_and_told_in_a_whole_sentence() {
    for when in [When::BeforeApply, When::AfterApply] {
        let mut sim = Simulation::new(Options::default());
        let silent = Fault::Status {
            status: 500,
            retry_after: None,
            body: Shape::Standard,
            code: Some("CloudStorageUnexpectedError".into()),
            message: Some(String::new()),
            when,
        };
        let matches = Match { method: Some("PUT".into()), path: Some("*;web-1".into()), count: Some(2), ..Match::default() };
        sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(Rule { id: "silent".into(), matches, fault: silent });
        sim.apply(SMALL);
        let until = sim.now() + HOUR * 8;
        while sim.step(until) && !all_have_points(&sim) {
            for name in members(&sim) {
                let message = sim.condition("ProtectedMachine", &name, "Ready").2;
                assert!(!message.trim_end().ends_with(':') && !message.contains("  "), "{when:?}: {message:?}");
            }
        }
        assert!(all_have_points(&sim), "{when:?}: {}", sim.tell());
        let carried_out = sent(&sim, 0).iter().filter(|l| l.contains(" PUT ") && l.contains(";web-1 ") && l.contains("-> 20")).count();
        let wanted = usize::from(when == When::BeforeApply);
        assert_eq!(carried_out, wanted, "{when:?}: {:#?}", sent(&sim, 0));
    }
}

#[test]
fn a_page_that_says_200_is_nothing_that_was_seen() {
    let mut sim = protected_by(&granted("Disabled"));
    let soft = |sim: &Simulation| sim.status("RecoveryVault", "main")["vault"]["softDelete"].clone();
    let (before, from) = (soft(&sim), sim.requests().len());
    assert!(before["retentionDays"].is_i64(), "{before}");
    let page = Fault::Status { status: 200, retry_after: None, body: Shape::Html, code: None, message: None, when: When::BeforeApply };
    fault(&sim, "GET", "*/backupconfig/vaultconfig", page);
    edit(&sim, "RecoveryVault", "main", json!({ "softDelete": { "state": "Enabled" } }));
    sim.run_for(SignedDuration::from_hours(1));
    assert_eq!((soft(&sim), sent(&sim, from)), (before, Vec::new()), "{}", sim.tell());
    let (ready, _, message) = sim.condition("RecoveryVault", "main", "Ready");
    assert!(ready != "True" && message.contains("does not show it"), "{ready} {message}");
    mended(&sim);
    sim.run_until("it is seen", SignedDuration::from_hours(1), |sim| sim.is_ready("RecoveryVault", "main"));
}
