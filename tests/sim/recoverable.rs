//! "Could I restore this machine to yesterday 14:00, and how long would it take?": status answers.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    people::{member, protected_in, vault_with},
    restores::manifest,
};

fn time(value: &Value) -> Timestamp {
    value.as_str().expect("a time").parse().expect("a time")
}

#[test]
fn status_tells_to_which_moments_where_and_how_fast_a_machine_can_be_restored() {
    let mut sim = protected_in("tests/sim/estates/restore.yaml", &vault_with(&manifest(), "crossRegionRestore: true"), 1);
    sim.run_for(SignedDuration::from_hours(24 * 5));
    let name = member(&sim, "web-1");
    let status = sim.status("ProtectedMachine", &name);
    let points = status["points"].as_array().expect("points");
    assert!(points.len() >= 5, "one of every day and the first: {points:#?}");
    let times: Vec<Timestamp> = points.iter().map(|p| time(&p["at"])).collect();
    assert!(times.windows(2).all(|pair| pair[0] > pair[1]), "the youngest first: {times:?}");
    let yesterday = sim.now() - SignedDuration::from_hours(24);
    let fit = points.iter().find(|p| time(&p["at"]) <= yesterday).expect("a point of then");
    assert!(fit["consistency"] == "FileSystemConsistent" && fit["tiers"].as_array().is_some_and(|t| !t.is_empty()), "{fit:#}");
    let sums = &status["recoveryPoints"];
    assert_eq!((time(&sums["latest"]["at"]), time(&sums["oldest"]["at"])), (times[0], times[times.len() - 1]), "{sums:#}");
    assert_eq!(sums["regions"], json!(["westeurope", "northeurope"]));
    assert!(sums["tiers"]["vault"].as_i64() >= Some(5) && sums["tiers"]["archive"] == 0, "{sums:#}");
    let tiers: Vec<&Value> = status["restoreTimes"].as_array().expect("times").iter().map(|t| &t["tier"]).collect();
    assert_eq!(tiers, ["Snapshot", "Vault", "Archive"], "{status:#}");
    assert!(status["restoreTimes"][1]["basis"].as_str().is_some_and(|b| b.contains("GB provisioned")), "{status:#}");
    let recovery = sim.status("BackupPolicy", "daily")["recovery"].clone();
    assert_eq!((recovery["recoverable"].clone(), recovery["applicationConsistent"].clone()), (json!(1), json!(0)), "{recovery:#}");
    assert_eq!((time(&recovery["allFrom"]), time(&recovery["allTo"])), (times[times.len() - 1], times[0]), "{recovery:#}");
    assert_eq!((&recovery["tiers"], &recovery["restoreTimes"]), (&sums["tiers"], &status["restoreTimes"]), "of its only machine");
    assert_eq!(recovery["regions"], json!(["northeurope", "westeurope"]));
}
