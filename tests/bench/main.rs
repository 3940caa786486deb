//! Counts that must hold at any size, on fleets small enough for every test run. `cargo dev bench` prints them for large ones.

use std::sync::OnceLock;

use breakwater_tests::bench::{
    definitions,
    fleet::Fleet,
    layout::{FirstBackup, Layout},
    lifecycle::{self, Written},
    rest::{self, Figures},
    runs, throughput,
};
use jiff::SignedDuration;

/// Forty machines, settled and watched for a day.
fn at_rest() -> &'static Figures {
    static FIGURES: OnceLock<Figures> = OnceLock::new();
    FIGURES.get_or_init(|| rest::measure(40, 2))
}

#[test]
fn a_fleet_at_rest_writes_nothing_for_a_day() {
    let figures = at_rest();
    assert_eq!(figures.calls.writes, 0, "{}", figures.calls);
    assert_eq!(figures.kube_writes, 0, "{}", figures.kube_writes_by_kind);
}

#[test]
fn reads_at_rest_grow_with_pages_and_vaults_not_with_machines() {
    let figures = at_rest();
    let (reads, goal) = (figures.hourly_reads(), figures.hourly_goal());
    assert!(reads <= goal, "{reads} an hour, not {goal}: {}", figures.calls);
    assert!(reads >= goal / 2.0, "{reads} an hour would not see drift within five minutes: {}", figures.calls);
}

#[test]
fn drift_is_put_back_within_an_interval() {
    let after = at_rest().drift_mended_after.expect("it is put back");
    assert!(after <= SignedDuration::from_mins(5) + SignedDuration::from_secs(5), "{after}");
}

#[test]
fn a_restart_writes_nothing_and_reads_pages_only() {
    let restart = &at_rest().restart;
    assert_eq!((restart.calls.writes, restart.kube_writes), (0, 0), "{}", restart.calls);
    assert!(restart.calls.reads() <= restart.goal(), "{} reads, not {}: {}", restart.calls.reads(), restart.goal(), restart.calls);
}

#[test]
fn protection_takes_the_writes_of_its_protocol() {
    let cost = lifecycle::protection(FirstBackup::OnSchedule);
    assert_eq!(cost.written, Written { created: 1, status: 3, metadata: 0 }, "{}", cost.calls);
    let cost = lifecycle::protection(FirstBackup::Now);
    assert_eq!(cost.written, Written { created: 1, status: 8, metadata: 2 }, "{}", cost.calls);
}

#[test]
fn a_night_of_backups_takes_two_writes_a_machine() {
    let cost = lifecycle::recovery_point();
    assert!(cost.written.status <= cost.floor.status && cost.written.metadata == 0, "{:?}: {}", cost.written, cost.calls);
}

#[test]
fn a_backup_and_a_restore_take_the_calls_of_their_protocol() {
    for cost in ["BackupRun", "RestoreRun"].map(runs::one) {
        assert!(cost.calls_without_polls() <= cost.calls_floor, "{}: {}", cost.kind, cost.calls);
        assert!(cost.status <= 3 * cost.floor && cost.metadata == 2, "{}: {} and {}", cost.kind, cost.status, cost.metadata);
    }
}

#[test]
fn restores_at_once_are_served_fairly_and_none_is_refused() {
    let rush = runs::rush(40, 4);
    assert!(rush.time.is_some() && rush.calls.throttled == 0, "{}", rush.calls);
    assert!(rush.spread() <= 1.5, "{:?}", rush.by_namespace);
    assert!(rush.kept_free() >= runs::KEPT_FREE, "{:?}", rush.left);
}

#[test]
fn a_small_fleet_is_protected_without_a_single_429() {
    let figures = throughput::measure(Layout::of(60, 3));
    assert_eq!(figures.protected, 60, "{}", figures.calls);
    assert_eq!(figures.calls.throttled, 0, "{:?}", figures.calls.throttled_by_kind);
}

#[test]
fn a_listing_of_more_pages_than_the_budget_holds_goes_on_where_it_was_cut() {
    let pages = 200;
    let mut fleet = Fleet::new(Layout { page: Some(1), ..Layout::of(pages, 1) });
    fleet.run_until(SignedDuration::from_mins(5), SignedDuration::from_secs(5), |_| false);
    // It is due every quarter of an hour.
    assert_eq!(fleet.calls().of("GET virtualmachines"), pages as u64, "{}", fleet.calls());
    assert_eq!(fleet.calls().throttled, 0, "{:?}", fleet.calls().throttled_by_kind);
}

#[test]
fn every_definition_is_light() {
    for (name, bytes) in definitions::weights() {
        assert!(bytes <= breakwater_api::crdgen::MAX_BYTES, "{name}: {bytes} bytes");
    }
}
