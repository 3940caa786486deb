//! What is mended is noticed soon, what was answered is not forgotten, and nothing is tried in vain again and again.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        record::Verb,
    },
    sim::Simulation,
};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    backup_runs::{self, backups, ready},
    files,
    people::{answer, edit, key},
    restores,
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

fn inject(sim: &Simulation, id: &str, matches: Match, fault: Fault) {
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(Rule { id: id.into(), matches, fault });
}

/// What the access of the namespace allows.
fn allows(sim: &Simulation, groups: Value) {
    let allow = sim.cluster.live(&key("AzureAccess", "shop")).expect("an access").data["spec"]["allow"].clone();
    let mut scope = allow[0].clone();
    scope["resourceGroups"] = groups;
    edit(sim, "AzureAccess", "shop", json!({ "allow": [scope] }));
}

#[test]
fn what_azure_answered_is_known_though_no_write_of_it_came_through() {
    // Whichever of the first writes is the first that is lost.
    for first in 1..=3 {
        let mut sim = ready();
        let from = sim.requests().len();
        // No list shows the job: what is left is the operation that Azure named.
        let jobs = Match { path: Some("*/backupJobs".into()), ..Match::default() };
        inject(&sim, "late", jobs, Fault::ListLag { seconds: 720_000.0 });
        let lost = |plan: FaultPlan, n| {
            let strike = Strike::NthOf { verb: Verb::PatchStatus, kind: "BackupRun".into(), n };
            plan.with(strike, WriteFault::NeverSent)
        };
        sim.cluster_faults((first..first + 5).fold(FaultPlan::seeded(1), lost));
        backup_runs::declare(&sim, "one", json!({}));
        sim.run_for(MINUTE * 12);
        assert_eq!(sim.status("BackupRun", "one")["operations"].as_array().map(Vec::len), Some(1), "{first}: {}", sim.tell());
        assert_ne!(sim.condition("BackupRun", "one", "Ready").1, "OutcomeUnknown", "{first}: {}", sim.tell());
        backup_runs::until(&mut sim, "one", "Succeeded");
        assert_eq!(backups(&sim, from), 1, "{first}: {}", sim.tell());
    }
}

#[test]
fn a_grant_that_is_mended_is_noticed_at_once() {
    let mut sim = ready();
    allows(&sim, json!(["rg-shop"]));
    sim.run_for(MINUTE * 75);
    assert_eq!(sim.condition("RecoveryVault", "main", "Ready").1, "AccessDenied", "{}", sim.tell());
    allows(&sim, json!(["rg-shop", "rg-backup"]));
    sim.run_until("all is ready", MINUTE * 2, |sim| {
        let machine = &sim.cluster.live_all("ProtectedMachine")[0].metadata.name.clone().unwrap_or_default();
        sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily") && sim.is_ready("ProtectedMachine", machine)
    });
}

#[test]
fn an_outage_that_lasts_is_told_and_forgotten_when_it_is_over() {
    let mut sim = ready();
    let away = Fault::Status { status: 503, retry_after: None, body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    inject(&sim, "away", Match { method: Some("GET".into()), ..Match::default() }, away);
    sim.run_for(MINUTE * 30);
    assert!(sim.is_ready("RecoveryVault", "main"), "for a while the last word stands: {}", sim.tell());
    sim.run_for(MINUTE * 60);
    let (ready, _, message) = sim.condition("RecoveryVault", "main", "Ready");
    assert!(ready == "False" && message.contains("cannot be looked at since"), "{message}");
    assert!(sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().remove("away"));
    sim.run_until("all is ready", MINUTE * 15, |sim| sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily"));
}

#[test]
fn a_mount_that_azure_forbids_is_not_asked_for_every_few_minutes() {
    let mut sim = restores::ready();
    let forbidden = Fault::Status {
        status: 403,
        retry_after: None,
        body: Shape::Standard,
        code: Some("AuthorizationFailed".into()),
        message: None,
        when: When::BeforeApply,
    };
    let mount = Match { method: Some("POST".into()), path: Some("*/provisionInstantItemRecovery".into()), ..Match::default() };
    inject(&sim, "forbidden", mount, forbidden);
    sim.cluster.user().apply_object(&files::run(&sim, "one", "2h")).expect("the API server takes it");
    sim.run_for(MINUTE * 50);
    let asked = || sim.requests().iter().filter(|line| line.contains("/provision") && line.contains("-> 403")).count();
    assert!((2..=6).contains(&asked()), "{} in 50 minutes: {}", asked(), sim.tell());
    assert_eq!(sim.condition("RestoreRun", "one", "Ready").1, "AuthorizationFailed", "{}", sim.tell());
    // An edit makes it try again at once.
    let before = asked();
    sim.cluster.user().patch(&key("RestoreRun", "one"), &json!({ "spec": { "ttlSecondsAfterFinished": 3600 } })).expect("it is there");
    sim.run_for(MINUTE);
    let asked = sim.requests().iter().filter(|line| line.contains("/provision") && line.contains("-> 403")).count();
    assert_eq!(asked, before + 1, "{}", sim.tell());
}

#[test]
fn a_finalizer_that_is_refused_is_told_and_tried_slowly() {
    let mut sim = ready();
    let every = Strike::Every { verb: Verb::PatchMetadata, kind: "BackupRun".into() };
    sim.cluster_faults(FaultPlan::seeded(1).with(every, WriteFault::Refused("admission webhook \"frozen\" denied the request".into())));
    let steps = sim.steps;
    backup_runs::declare(&sim, "one", json!({}));
    sim.run_for(MINUTE * 50);
    let (_, _, message) = sim.condition("BackupRun", "one", "Ready");
    assert!(message.contains("finalizer") && message.contains("frozen"), "{message}");
    assert!(sim.steps - steps < 150, "{} steps in 50 minutes", sim.steps - steps);
    sim.cluster_faults(FaultPlan::seeded(1));
    sim.run_until("it is done", SignedDuration::from_hours(8), |sim| backup_runs::phase(sim, "one") == "Succeeded");
}

#[test]
fn what_runs_holds_its_lock_again_when_its_access_is_back() {
    let mut sim = ready();
    let from = sim.requests().len();
    backup_runs::declare(&sim, "one", json!({}));
    sim.run_until("it runs", MINUTE * 30, |sim| sim.status("BackupRun", "one")["job"]["name"].is_string());
    let names = sim.cluster.live(&key("AzureAccess", "shop")).expect("an access").data["spec"]["namespaces"].clone();
    edit(&sim, "AzureAccess", "shop", json!({ "namespaces": { "names": ["nobody"] } }));
    sim.run_for(SECOND * 10);
    sim.die("while its access does not admit it");
    sim.run_for(SECOND * 10);
    edit(&sim, "AzureAccess", "shop", json!({ "namespaces": names }));
    sim.run_for(SECOND * 10);
    backup_runs::declare(&sim, "two", json!({}));
    sim.run_until("it waits, or does not", MINUTE * 2, |sim| {
        sim.condition("BackupRun", "two", "Ready").1 == "Busy" || backups(sim, from) > 1
    });
    assert_eq!(backups(&sim, from), 1, "{}", sim.tell());
}

#[test]
fn a_word_that_the_audit_record_did_not_take_is_used_as_soon_as_it_does() {
    let mut sim = ready();
    let asks = backup_runs::taken_and_not_seen(&mut sim, 9.0);
    sim.run_for(MINUTE * 180);
    sim.audit.break_disk();
    answer(&sim, ("BackupRun", "one"), &asks, "happened");
    sim.run_for(MINUTE);
    assert_ne!(backup_runs::phase(&sim, "one"), "Succeeded", "what nobody recorded is not used");
    sim.audit.mend_disk();
    sim.run_until("it is used", MINUTE * 2, |sim| backup_runs::phase(sim, "one") == "Succeeded");
}
