//! Jobs of earlier days: a run of a key that was used long ago finds them, and takes few of the reads that Azure admits.

use std::sync::PoisonError;

use azure_sim::recovery::Span;
use breakwater_arm::names::TAG_RESTORE;
use breakwater_tests::sim::Simulation;
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    azures_words::{full, settings},
    backup_runs,
    people::{key, sent, taken_over},
    restores::{declare, disks, manifest, phase, ready, until},
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

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
    declare(&sim, "restore", disks(), json!({ "key": "incident-7" }));
    until(&mut sim, "restore", "Succeeded");
    backup_runs::declare(&sim, "backup", json!({ "key": "release-41" }));
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
    taken_over(&mut sim, &manifest(), HOUR * 24 * 10);
    let from = sim.requests().len();
    declare(&sim, "again", disks(), json!({ "key": "incident-7" }));
    backup_runs::declare(&sim, "again", json!({ "key": "release-41" }));
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
    declare(&sim, "next", disks(), json!({ "key": "incident-8" }));
    until(&mut sim, "next", "Succeeded");
    let filters = self::filters(&sim, from);
    assert!(filters.iter().all(|filter| !filter.contains("operation eq")), "{filters:#?}");
}

#[test]
fn nothing_is_begun_before_the_jobs_of_earlier_days_were_listed() {
    let mut sim = ready();
    backup_runs::declare(&sim, "backup", json!({ "key": "release-41" }));
    sim.run_until("the backup", HOUR * 6, |sim| sim.status("BackupRun", "backup")["phase"] == "Succeeded");
    taken_over(&mut sim, &manifest(), HOUR * 24 * 10);
    let from = sim.requests().len();
    // The second list is that of the earlier days.
    full(&sim, "*/backupJobs", 2, 20);
    backup_runs::declare(&sim, "again", json!({ "key": "release-41" }));
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
    settings(&sim, |settings| settings.restore.durations.from_snapshot = Span::exactly(days.as_secs()));
    declare(&sim, "one", disks(), json!({ "key": "incident-7" }));
    sim.run_until("its job", HOUR, |sim| sim.status("RestoreRun", "one")["job"]["name"].is_string());
    let job = sim.status("RestoreRun", "one")["job"]["name"].clone();
    taken_over(&mut sim, &manifest(), HOUR * 24 * 3);
    let from = sim.requests().len();
    declare(&sim, "again", disks(), json!({ "key": "incident-7" }));
    sim.run_until("its job", HOUR, |sim| sim.status("RestoreRun", "again")["job"]["name"] == job);
    assert_eq!(phase(&sim, "again"), "Running", "{}", sim.tell());
    sim.run_for(HOUR * 30);
    assert!(["Succeeded", "AlreadyDone"].contains(&phase(&sim, "again").as_str()), "{}", sim.tell());
    let restores = sim.requests()[from..].iter().filter(|line| line.contains("/restore -> ")).count();
    assert_eq!(restores, 0, "{:#?}", sent(&sim, from));
    assert!(sim.cluster.live(&key("RestoreRun", "again")).is_some());
}

#[test]
fn a_list_of_many_pages_is_begun_where_all_of_them_come_and_nothing_waits_for_good() {
    let mut sim = ready();
    (0..10).for_each(|n| {
        declare(&sim, &format!("before-{n}"), disks(), json!({}));
        until(&mut sim, &format!("before-{n}"), "Succeeded");
    });
    // From here on the vault's dozen jobs are a dozen pages, of which Azure lets 150 be read in an hour.
    settings(&sim, |settings| settings.page_size = 1);
    let (from, expires) = (sim.requests().len(), sim.now() + HOUR * 12);
    (0..10).for_each(|n| declare(&sim, &format!("crowded-{n}"), disks(), json!({ "expiresAt": expires })));
    sim.run_until("all of them", HOUR * 6, |sim| (0..10).all(|n| phase(sim, &format!("crowded-{n}")) == "Succeeded"));
    let pages = filters(&sim, from).len();
    assert!(pages > 200, "{pages} pages: they were not scarce");
}
