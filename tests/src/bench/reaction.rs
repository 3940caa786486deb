//! What stands between a person's edit and the first request that it leads to: turns in line, in an idle fleet and in a busy
//! one. Wall time is measured on the real operator (`processes`).

use std::time::Instant;

use jiff::SignedDuration;
use serde_json::json;

use super::{
    fleet::Fleet,
    layout::{FirstBackup, Layout},
    table::{Row, Verdict},
};

/// Edits in each state of the fleet.
const EDITS: usize = 20;

/// What an edit of a vault's tags leads to.
const EDIT: &str = "PATCH tags/{}";

/// What the operator runs at once of each kind by default (crates/operator/src/args.rs, `--concurrency`).
const CONCURRENCY: u32 = 16;

/// One edit: turns that were taken before the request left, the vault's own included, and what they took of the wall.
#[derive(Clone, Copy, Debug)]
pub struct Reaction {
    /// Turns in one line for all kinds.
    pub turns: u64,
    /// Turns of the edited object's own kind: the operator has a line for each.
    pub of_its_kind: u64,
    /// World time: waits for a budget show here.
    pub world: SignedDuration,
    /// All of it on the wall, one turn after the other.
    pub wall: std::time::Duration,
}

/// Edits a vault's spec again and again and looks how long it takes until Azure is asked.
fn react(fleet: &mut Fleet, edits: usize) -> Vec<Reaction> {
    let mut all = Vec::new();
    let mut policies = fleet.layout.manifests();
    policies.retain(|manifest| manifest["kind"] == "RecoveryVault");
    for edit in 0..edits {
        let mut vault = policies[edit % policies.len()].clone();
        vault["spec"]["tags"] = json!({ "edit": edit.to_string() });
        fleet.objects.apply(&vault);
        let of_kind = |fleet: &Fleet| fleet.spent.get("RecoveryVault").map_or(0, |(n, _)| *n);
        let (turns, own, began, wall) = (fleet.turns, of_kind(fleet), fleet.now(), Instant::now());
        let before = fleet.calls().of(EDIT);
        let until = began + SignedDuration::from_mins(30);
        while fleet.calls().of(EDIT) == before && fleet.step(until) {}
        all.push(Reaction {
            turns: fleet.turns - turns,
            of_its_kind: of_kind(fleet) - own,
            world: fleet.now().duration_since(began),
            wall: wall.elapsed(),
        });
    }
    all
}

/// The 99th percentile, which of so few is the largest.
fn worst<T: Ord + Copy>(all: &[Reaction], of: impl Fn(&Reaction) -> T) -> T {
    all.iter().map(of).max().expect("there were edits")
}

/// Rows for an idle fleet and for one whose machines are all being protected.
pub fn rows(machines: usize, vaults: usize) -> Vec<Row> {
    let mut fleet = Fleet::new(Layout { first_backup: FirstBackup::OnSchedule, ..Layout::of(machines, vaults) });
    // Vaults and policies stand, and every machine has had its first turn: from here on all of them are busy.
    let all_there = |fleet: &Fleet| fleet.machines_where(|s| s.get("conditions").is_some()) == machines;
    fleet.run_until(SignedDuration::from_hours(4), SignedDuration::from_secs(5), all_there);
    let in_line = fleet.waiting();
    let busy = react(&mut fleet, EDITS);
    let mut idle_fleet = Fleet::new(Layout::of(1, 1));
    idle_fleet.run_for(SignedDuration::from_hours(2));
    let idle = react(&mut idle_fleet, EDITS);
    vec![
        row("idle", &idle, "0.1 s", ""),
        row(
            &format!("{machines} machines busy"),
            &busy,
            "0.5 s",
            &format!(
                "{in_line} turns stood in line when it began; the operator has a line a kind and takes {CONCURRENCY} at once of each; "
            ),
        ),
    ]
}

fn row(state: &str, all: &[Reaction], goal: &str, more: &str) -> Row {
    let world = worst(all, |r| r.world);
    Row::new(
        format!("a vault's edit to its PATCH, {state}, worst of {}: turns before it", all.len()),
        format!("{goal} on the wall, see there"),
        format!("{} of all kinds, {} of its own, {world:#} of world time", worst(all, |r| r.turns), worst(all, |r| r.of_its_kind)),
        Verdict::Told,
        format!("{more}one after the other they took {:.0} ms of this machine", worst(all, |r| r.wall).as_secs_f64() * 1_000.0),
    )
}
