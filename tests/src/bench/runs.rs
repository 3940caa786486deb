//! What one backup and one restore cost, and how five hundred restores that are asked for at once get their turn.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    calls::Calls,
    fleet::Fleet,
    layout::{FirstBackup, Layout},
    table::{Row, Verdict},
};
use crate::cluster::record::Verb;

/// What one run cost.
pub struct Cost {
    /// `BackupRun`, `RestoreRun`.
    pub kind: &'static str,
    /// Patches of its status.
    pub status: u64,
    /// Patches of its metadata: the finalizer.
    pub metadata: u64,
    /// The fewest patches of status that the protocol allows, progress apart.
    pub floor: u64,
    /// In words.
    pub floor_in_words: &'static str,
    /// Requests to Azure in its time, listings that come anyway apart.
    pub calls: Calls,
    /// The fewest that the protocol allows, polls apart.
    pub calls_floor: u64,
    /// In words.
    pub calls_in_words: &'static str,
}

/// Requests that come with or without a run: inventory, drift, and what the machine's own object asks.
const ANYWAY: [&str; 10] = [
    "backupprotecteditems",
    "resources",
    "virtualmachines",
    "vaults/{}",
    "backuppolicies/{}",
    "backupconfig/{}",
    "50b50000-0000-4000-8000-000000000001",
    "protecteditems/{}",
    "virtualmachines/{}",
    "backupstatus",
];

/// Writes of progress at most: ten times ten percent, and three tasks that begin.
const PROGRESS: u64 = 13;

/// How running work is asked about: their number is the work's length.
const POLLS: [&str; 3] = ["GET backupoperations/{}", "GET backupjobs", "GET backupjobs/{}"];

impl Cost {
    fn polls(&self) -> u64 {
        POLLS.iter().map(|kind| self.calls.of(kind)).sum()
    }

    /// Requests beside polls.
    pub fn calls_without_polls(&self) -> u64 {
        self.calls.all() - self.polls()
    }

    /// Rows for the table.
    pub fn rows(&self) -> Vec<Row> {
        let Cost { kind, status, metadata, floor, .. } = self;
        vec![
            Row::new(
                format!("Kubernetes writes of one {kind}"),
                format!("{floor} status and progress, 2 metadata"),
                format!("{status} status, {metadata} metadata"),
                Verdict::of(*metadata <= 2 && *status <= floor + PROGRESS),
                self.floor_in_words,
            ),
            Row::new(
                format!("ARM calls of one {kind}"),
                format!("{} and polls", self.calls_floor),
                format!("{} and {} polls", self.calls_without_polls(), self.polls()),
                Verdict::of(self.calls_without_polls() <= self.calls_floor),
                format!("floor: {}; measured: {}", self.calls_in_words, self.calls),
            ),
        ]
    }
}

/// How often a long run tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(30);

fn has_point(status: &Value) -> bool {
    status.pointer("/recoveryPoints/latestInVault").is_some() && status["operations"].as_array().is_none_or(Vec::is_empty)
}

fn over(fleet: &Fleet, kind: &str) -> usize {
    let all = fleet.objects.all(kind);
    all.iter().filter(|o| o.data.pointer("/status/phase").and_then(Value::as_str) == Some("Succeeded")).count()
}

/// Restores that came to an end of any kind.
fn ended(fleet: &Fleet) -> usize {
    let waits = |o: &&std::sync::Arc<kube::core::DynamicObject>| {
        matches!(o.data.pointer("/status/phase").and_then(Value::as_str), None | Some("Pending" | "Running"))
    };
    let all = fleet.objects.all("RestoreRun");
    all.len() - all.iter().filter(waits).count()
}

/// Machines with the point of their first backup, and their objects by vault.
fn backed_up(layout: Layout) -> (Fleet, Vec<(usize, String)>) {
    let mut fleet = Fleet::new(layout);
    let came =
        fleet.run_until(SignedDuration::from_hours(48), SignedDuration::from_mins(5), |f| f.machines_where(has_point) == layout.machines);
    assert!(came, "not all have a point: {}", fleet.calls());
    let vaults: BTreeMap<String, usize> = (0..layout.vaults).map(|vault| (Layout::namespace_of(vault), vault)).collect();
    let named = |o: &kube::core::DynamicObject| {
        let vault = vaults.get(o.metadata.namespace.as_deref()?)?;
        Some((*vault, o.metadata.name.clone()?))
    };
    let machines = fleet.objects.all("ProtectedMachine").iter().filter_map(|o| named(o)).collect();
    (fleet, machines)
}

/// One run, from its creation to its end.
///
/// # Panics
/// When it does not come to its end within six hours.
pub fn one(kind: &'static str) -> Cost {
    let layout = Layout { first_backup: FirstBackup::Now, ..Layout::of(1, 1) };
    let (mut fleet, machines) = backed_up(layout);
    fleet.run_for(SignedDuration::from_mins(30));
    let before = fleet.calls().clone();
    let (vault, machine) = &machines[0];
    fleet.objects.apply(&if kind == "BackupRun" { layout.backup(*vault, machine) } else { layout.restore(*vault, machine) });
    let came = fleet.run_until(SignedDuration::from_hours(6), SignedDuration::from_secs(10), |f| over(f, kind) == 1);
    assert!(came, "not done: {}", fleet.calls());
    let mut calls = fleet.calls().since(&before);
    calls.by_kind.retain(|kind, _| kind.split_once(' ').is_some_and(|(_, what)| !ANYWAY.contains(&what)));
    let (status, metadata) = (fleet.kube_writes_of(Verb::PatchStatus, kind), fleet.kube_writes_of(Verb::PatchMetadata, kind));
    match kind {
        "BackupRun" => Cost {
            kind,
            status,
            metadata,
            floor: 4,
            floor_in_words: "intent (with the first visit), handle, job, end with its point; each ten percent and each task that moves is one more",
            calls,
            calls_floor: 5,
            calls_in_words: "the POST; the points by the run when its job has ended; the points three times by the machine, as its item moves",
        },
        _ => Cost {
            kind,
            status,
            metadata,
            floor: 7,
            floor_in_words: "the choice of the point, intent, handle, job, intent of the tag, its end, end with what was made",
            calls,
            calls_floor: 11,
            calls_in_words: "the points, the account, the disks before it, the validation and its end, the point, the POST, the disks after \
                             it, the disk that gets the tag, the tag, and the disk again",
        },
    }
}

/// What restores leave of every budget: their reserve of a twentieth, and the last call.
pub const KEPT_FREE: f64 = 0.04;

/// Restores that were asked for at once.
pub struct Rush {
    /// How many, in how many namespaces.
    pub layout: Layout,
    /// World time until all were done; none when that did not come within a day.
    pub time: Option<SignedDuration>,
    /// When the restores of each namespace began in Azure, from the beginning, in order: how long one then takes is Azure's
    /// affair.
    pub by_namespace: BTreeMap<String, Vec<SignedDuration>>,
    /// Runs by phase and reason at the end.
    pub ends: BTreeMap<String, usize>,
    /// What was left of each budget at the lowest, as a share of its size.
    pub left: BTreeMap<&'static str, f64>,
    /// Requests in that time.
    pub calls: Calls,
    /// On the wall.
    pub wall: Duration,
}

/// Asks for a restore of every machine in one moment, all of one namespace before those of the next.
///
/// # Panics
/// When the machines do not get their points.
pub fn rush(restores: usize, vaults: usize) -> Rush {
    let began = Instant::now();
    let layout = Layout { first_backup: FirstBackup::Now, ..Layout::of(restores, vaults) };
    let (mut fleet, machines) = backed_up(layout);
    // Long after their backups: what was listed then is forgotten.
    fleet.run_for(SignedDuration::from_hours(4));
    let (start, before) = (fleet.now(), fleet.calls().clone());
    machines.iter().for_each(|(vault, machine)| fleet.objects.apply(&layout.restore(*vault, machine)));
    let (mut spoke, mut left) = (Instant::now(), BTreeMap::new());
    let done = fleet.run_until(SignedDuration::from_hours(24), SignedDuration::from_secs(30), |fleet| {
        let ended = ended(fleet);
        for (class, level) in fleet.budget_levels() {
            left.entry(class).and_modify(|least: &mut f64| *least = least.min(level)).or_insert(level);
        }
        if spoke.elapsed() >= TELL_EVERY {
            spoke = Instant::now();
            eprintln!(
                "{ended} of {restores} restores have ended after {:#}; {} s here",
                fleet.now().duration_since(start),
                began.elapsed().as_secs()
            );
        }
        ended == restores
    });
    let done = done && over(&fleet, "RestoreRun") == restores;
    let mut by_namespace: BTreeMap<String, Vec<SignedDuration>> = BTreeMap::new();
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for run in fleet.objects.all("RestoreRun") {
        *ends.entry(told(&run.data)).or_default() += 1;
        let at = run.data.pointer("/status/job/startedAt").and_then(Value::as_str).and_then(|t| t.parse::<Timestamp>().ok());
        let (Some(at), Some(namespace)) = (at, run.metadata.namespace.clone()) else { continue };
        by_namespace.entry(namespace).or_default().push(at.duration_since(start));
    }
    by_namespace.values_mut().for_each(|begun| begun.sort());
    let time = done.then(|| fleet.now().duration_since(start));
    Rush { layout, time, by_namespace, ends, left, calls: fleet.calls().since(&before), wall: began.elapsed() }
}

/// A run's phase, and why it is not ready.
fn told(run: &Value) -> String {
    let ready = run.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten().find(|c| c["type"] == "Ready");
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    format!("{} {}", text(run.pointer("/status/phase")), text(ready.map(|ready| &ready["reason"])))
}

impl Rush {
    /// The least that was left of any budget for what goes before restores: failovers, and what is lent and must be closed.
    pub fn kept_free(&self) -> f64 {
        self.left.values().copied().fold(1.0, f64::min)
    }

    /// When nine of ten restores of the namespace that waited longest had begun, over that of the one that waited least: 1.0 is
    /// fair. The last of all wait for Azure's hour of reads, whosever they are.
    pub fn spread(&self) -> f64 {
        let of = |begun: &Vec<SignedDuration>| begun.get((begun.len() * 9).div_ceil(10).saturating_sub(1)).map(|at| at.as_secs_f64());
        let all = || self.by_namespace.values().filter_map(of);
        all().fold(0.0, f64::max) / all().fold(f64::INFINITY, f64::min)
    }

    /// The first and the last to begin of each namespace.
    fn ends(&self) -> BTreeMap<&String, (SignedDuration, SignedDuration)> {
        let ends = self.by_namespace.iter().filter_map(|(name, begun)| Some((name, (*begun.first()?, *begun.last()?))));
        ends.collect()
    }

    /// Rows for the table.
    pub fn rows(&self) -> Vec<Row> {
        let what = format!("{} restores at once in {} namespaces", self.layout.machines, self.layout.vaults);
        let time = self.time.map_or("not within a day".to_owned(), |time| format!("{time:#}"));
        let told = format!("{:?}; {}; on the wall {} s", self.ends, self.calls, self.wall.as_secs());
        let spread = self.spread();
        let throttled = self.calls.throttled as f64 / self.calls.all().max(1) as f64;
        vec![
            Row::new(format!("{what}: done after"), "all of them", time, Verdict::of(self.time.is_some()), told),
            Row::new(
                format!("{what}: nine of ten begun in the last namespace / in the first one"),
                "<= 1.5",
                format!("{spread:.2}"),
                Verdict::of(spread <= 1.5),
                format!("the first and the last of each: {:?}", self.ends()),
            ),
            Row::new(
                format!("{what}: left for failovers, of the budget that held least"),
                ">= 4 %",
                format!("{:.0} %", 100.0 * self.kept_free()),
                Verdict::of(self.kept_free() >= KEPT_FREE),
                format!("{:.2?}", self.left),
            ),
            Row::new(
                format!("{what}: answers 429"),
                "<= 0.10 %",
                format!("{:.2} %", 100.0 * throttled),
                Verdict::of(throttled <= 0.001),
                format!("{:?}", self.calls.throttled_by_kind),
            ),
        ]
    }
}
