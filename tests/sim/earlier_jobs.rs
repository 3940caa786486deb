//! Jobs of earlier days: a run of a key that was used long ago finds them, and takes few of the reads that Azure admits.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Rule, Shape, When};
use breakwater_arm::names::TAG_RESTORE;
use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    people::{self, asked, key, member, sent},
    restores::{disks, manifest, phase, ready, run_to, until},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn restore(sim: &Simulation, name: &str, to: Value, more: Value) {
    sim.cluster.user().apply_object(&run_to(sim, name, to, more)).expect("the API server takes it");
}

fn backup(sim: &Simulation, name: &str, with: Value) {
    let mut spec = json!({ "protectedMachineRef": { "name": member(sim, "web-1") } });
    with.as_object().expect("fields").iter().for_each(|(field, value)| spec[field] = value.clone());
    let object = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": name, "namespace": "shop" }, "spec": spec });
    sim.cluster.user().apply_object(&object).expect("the API server takes it");
}

/// Another cluster takes the vault over after that time.
fn taken_over(sim: &mut Simulation, after: SignedDuration) {
    sim.lose_cluster("cluster-two");
    sim.run_for(after);
    sim.apply_the_rule();
    sim.apply(&manifest());
    let asks = asked(sim, "RecoveryVault", "main", "takeover");
    people::answer(sim, ("RecoveryVault", "main"), &asks, "approve");
    sim.run_until("its machine", HOUR * 2, |sim| !sim.cluster.live_all("ProtectedMachine").is_empty());
}

/// The filters under which jobs were listed since, one a page.
fn filters(sim: &Simulation, from: usize) -> Vec<String> {
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    let pages = azure.journal().entries().iter().skip(from).filter(|entry| entry.path.ends_with("/backupJobs"));
    pages.filter_map(|entry| entry.query["$filter"].as_str().map(str::to_owned)).collect()
}

/// How many days before now a filter begins.
fn reach(sim: &Simulation, filter: &str) -> i64 {
    let from = filter.split("startTime eq '").nth(1).and_then(|rest| rest.get(..10)).expect("a beginning");
    let from = format!("{from}T00:00:00Z").parse::<jiff::Timestamp>().expect("a day");
    sim.now().duration_since(from).as_hours() / 24
}

#[test]
fn what_was_done_ten_days_ago_is_found_and_of_those_days_only_the_jobs_of_its_kind_are_listed() {
    let mut sim = ready();
    restore(&sim, "restore", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "restore", "Succeeded");
    backup(&sim, "backup", json!({ "key": "release-41" }));
    sim.run_until("the backup", HOUR * 6, |sim| sim.status("BackupRun", "backup")["phase"] == "Succeeded");
    let job = sim.status("RestoreRun", "restore")["job"]["name"].clone();
    // Only Azure's jobs are to tell it.
    let made: Vec<String> = sim.status("RestoreRun", "restore")["made"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|made| made["id"].as_str().map(str::to_owned))
        .collect();
    for id in made {
        sim.behind_our_back(&[json!({ "method": "PATCH", "id": id, "body": { "tags": { TAG_RESTORE: "" } } })]);
    }
    taken_over(&mut sim, HOUR * 24 * 10);
    let from = sim.requests().len();
    restore(&sim, "again", disks(), json!({ "key": "incident-7" }));
    backup(&sim, "again", json!({ "key": "release-41" }));
    until(&mut sim, "again", "AlreadyDone");
    sim.run_until("the backup", HOUR, |sim| sim.status("BackupRun", "again")["phase"] == "AlreadyDone");
    assert_eq!(sim.status("RestoreRun", "again")["job"]["name"], job, "{}", sim.tell());
    assert_eq!(sent(&sim, from), Vec::<String>::new(), "{}", sim.tell());
    let filters = filters(&sim, from);
    let (far, near): (Vec<&String>, Vec<&String>) = filters.iter().partition(|filter| reach(&sim, filter) > 3);
    assert!(far.iter().all(|filter| filter.contains("operation eq '")) && !far.is_empty() && !near.is_empty(), "{filters:#?}");
    assert!(near.iter().all(|filter| !filter.contains("operation eq")), "{filters:#?}");
    // A key that is new is done, and the earlier days are not listed for it again.
    let from = sim.requests().len();
    restore(&sim, "next", disks(), json!({ "key": "incident-8" }));
    until(&mut sim, "next", "Succeeded");
    let filters = self::filters(&sim, from);
    assert!(filters.iter().all(|filter| !filter.contains("operation eq")), "{filters:#?}");
}

#[test]
fn nothing_is_begun_before_the_jobs_of_earlier_days_were_listed() {
    let mut sim = ready();
    backup(&sim, "backup", json!({ "key": "release-41" }));
    sim.run_until("the backup", HOUR * 6, |sim| sim.status("BackupRun", "backup")["phase"] == "Succeeded");
    taken_over(&mut sim, HOUR * 24 * 10);
    let from = sim.requests().len();
    // The second list is that of the earlier days.
    let full =
        Fault::Status { status: 429, retry_after: Some(1_200), body: Shape::Standard, code: None, message: None, when: When::BeforeApply };
    let mut rule = Rule::once("full", "GET", "*/backupJobs", full);
    rule.matches.nth = Some(2);
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().add(rule);
    backup(&sim, "again", json!({ "key": "release-41" }));
    sim.run_for(SignedDuration::from_mins(10));
    let (ready, _, told) = sim.condition("BackupRun", "again", "Ready");
    assert!(ready == "False" && told.contains("the earlier jobs of"), "{told}");
    sim.run_until("the backup", HOUR, |sim| sim.status("BackupRun", "again")["phase"] == "AlreadyDone");
    assert_eq!(sent(&sim, from), Vec::<String>::new(), "{}", sim.tell());
}

#[test]
fn a_restore_that_azure_works_on_since_days_is_followed_to_its_end_by_a_rebuilt_cluster() {
    let mut sim = ready();
    let days = SignedDuration::from_hours(24 * 4);
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).recovery_mut().settings_mut().restore.durations.from_snapshot =
        azure_sim::recovery::Span::exactly(days.as_secs());
    restore(&sim, "one", disks(), json!({ "key": "incident-7" }));
    sim.run_until("its job", HOUR, |sim| sim.status("RestoreRun", "one")["job"]["name"].is_string());
    let job = sim.status("RestoreRun", "one")["job"]["name"].clone();
    taken_over(&mut sim, HOUR * 24 * 3);
    let from = sim.requests().len();
    restore(&sim, "again", disks(), json!({ "key": "incident-7" }));
    sim.run_until("its job", HOUR, |sim| sim.status("RestoreRun", "again")["job"]["name"] == job);
    assert_eq!(phase(&sim, "again"), "Running", "{}", sim.tell());
    sim.run_for(HOUR * 30);
    assert!(["Succeeded", "AlreadyDone"].contains(&phase(&sim, "again").as_str()), "{}", sim.tell());
    let restores = sim.requests()[from..].iter().filter(|line| line.contains("/restore -> ")).count();
    assert_eq!(restores, 0, "{:#?}", sent(&sim, from));
    assert!(sim.cluster.live(&key("RestoreRun", "again")).is_some());
}
