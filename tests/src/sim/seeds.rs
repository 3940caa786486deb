//! One seed, one run with everything going wrong at random; the same seed gives the same bytes. Every fourth seed is a larger
//! story, with people in it.

mod story;
mod weather;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
};

use jiff::SignedDuration;
use kube::core::DynamicObject;
use serde_json::Value;

use self::story::Story;
pub use self::story::is_one as is_story;
use super::{Options, Simulation};
use crate::entropy::SeededEntropy;

/// The longest that a run has peace for.
const PEACE: SignedDuration = SignedDuration::from_hours(8);

/// How long a settled run is watched for what should not come.
const AFTERWARDS: SignedDuration = SignedDuration::from_mins(20);

/// Steps of rest after which a settled run that is to rest may end: most of an hour of it.
const RESTED: u64 = 30;

/// How a run ends: time at rest is most of a run's cost, so not every run has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Soon after it has settled.
    Settled,
    /// When it has been at rest for most of an hour.
    Rested,
    /// When all of its peace is over.
    Late,
}

impl Ends {
    /// How this seed's run ends.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 20 {
            0 | 1 => Ends::Late,
            4 | 5 | 10 | 11 | 14 | 15 => Ends::Rested,
            _ => Ends::Settled,
        }
    }
}

/// What one seed did.
pub struct Outcome {
    /// Whether both machines ended with points and nothing was left open; of a story, whether all came to rest.
    pub settled: bool,
    /// What waits for a person, if it stopped with a reason; of a story, also that its time was over.
    pub reason: Option<String>,
    /// What the objects say of it, a line each.
    pub told: Vec<String>,
    /// How often the operator died.
    pub deaths: u64,
    /// Everything that the run left behind.
    pub fingerprint: String,
    /// How things stood in the end: conditions, open operations, the last requests.
    pub story: String,
    /// Every request that reached Azure, in order, a line each.
    pub requests: Vec<String>,
    /// The rule that was broken, if one was: the run ended there.
    pub broken: Option<String>,
    /// In how many steps nothing was to be written.
    pub rested: u64,
    /// How long the oracle looked, on the wall.
    pub watched: std::time::Duration,
}

impl Outcome {
    /// Whether it ended as every seed must: no rule broken, and protected or with a reason why not.
    pub fn holds(&self) -> bool {
        self.broken.is_none() && (self.settled || self.reason.is_some())
    }
}

/// Runs one seed: faults for a day of the world, then a day of peace.
///
/// # Panics
/// With the rule that was broken, and the story so far.
pub fn run(seed: u64, manifest: &str) -> Outcome {
    let outcome = replay(seed, manifest);
    assert!(outcome.broken.is_none(), "seed {seed}: {}\n{}", outcome.broken.unwrap_or_default(), outcome.story);
    outcome
}

/// The same for reading: a broken rule ends the run and is told in the outcome.
///
/// # Panics
/// When the world cannot be built or the manifest is refused.
pub fn replay(seed: u64, manifest: &str) -> Outcome {
    let chance = SeededEntropy::new(seed);
    if story::is_one(seed) {
        return tell_a_story(seed, &chance);
    }
    let mut sim = Simulation::new(Options { seed, ..Options::default() });
    weather::plan(&mut sim, &chance, seed);
    sim.apply(manifest);
    // The simulation is only read after a panic: what it holds is what had happened.
    let broken = catch_unwind(AssertUnwindSafe(|| play(&mut sim, &chance, seed))).err().map(|panic| words(&*panic));
    outcome(&sim, seed, broken)
}

/// A story has an estate and a manifest of its own.
fn tell_a_story(seed: u64, chance: &SeededEntropy) -> Outcome {
    let mut sim = Simulation::new(Options { seed, estate: story::ESTATE, ..Options::default() });
    let broken = catch_unwind(AssertUnwindSafe(|| {
        sim.apply_the_rule();
        weather::plan(&mut sim, chance, seed);
        let mut story = Story::new(chance);
        story.apply(&sim);
        trouble(&mut sim, chance);
        story.play(&mut sim, seed);
        peace(&mut sim, seed);
    }));
    outcome(&sim, seed, broken.err().map(|panic| words(&*panic)))
}

fn play(sim: &mut Simulation, chance: &SeededEntropy, seed: u64) {
    trouble(sim, chance);
    weather::peace(sim);
    peace(sim, seed);
}

/// Two hours of it.
fn trouble(sim: &mut Simulation, chance: &SeededEntropy) {
    for hour in 0..6 {
        sim.run_for(SignedDuration::from_mins(20));
        weather::recover(sim);
        weather::disturb(sim, chance, hour);
    }
}

/// Until all is settled, and for as long as this seed is watched then.
fn peace(sim: &mut Simulation, seed: u64) {
    let is_settled = if story::is_one(seed) { story::is_settled } else { is_settled };
    let (until, rested) = (sim.now() + PEACE, sim.invariants.rested());
    while sim.now() < until {
        sim.run_for(AFTERWARDS);
        let is_over = match Ends::of(seed) {
            Ends::Late => false,
            Ends::Rested => is_settled(sim) && sim.invariants.rested() >= rested + RESTED,
            Ends::Settled => is_settled(sim),
        };
        if is_over {
            sim.run_for(AFTERWARDS);
            return;
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic without words".to_owned())
}

/// Whether both machines have points and nothing is left open.
fn is_settled(sim: &Simulation) -> bool {
    let all = sim.cluster.live_all("ProtectedMachine");
    let points = all.iter().filter(|o| has_point(o)).count();
    let open = all.iter().filter(|o| o.data.pointer("/status/operations").is_some()).count();
    points == 2 && open == 0 && sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily")
}

fn has_point(object: &DynamicObject) -> bool {
    object.data.pointer("/status/recoveryPoints/latest").is_some()
}

/// How a story ended that did not settle: with questions, with an outcome that nobody knows, or when its time was over.
fn unsettled(sim: &Simulation) -> (String, Vec<String>) {
    let asked = story::asked(sim).into_iter();
    let asked: Vec<String> = asked.map(|(key, question)| format!("{} {}: {}", key.kind, key.name, question["asks"])).collect();
    let reason = if asked.is_empty() { "Deadline" } else { "Question" };
    (reason.to_owned(), asked.into_iter().chain(story::under_way(sim)).collect())
}

fn outcome(sim: &Simulation, seed: u64, broken: Option<String>) -> Outcome {
    let of_story = story::is_one(seed).then(|| (story::is_settled(sim), unsettled(sim)));
    let all = sim.cluster.live_all("ProtectedMachine");
    let asked: Vec<String> = all.iter().flat_map(|o| unknown(o)).collect();
    let settled = is_settled(sim);
    let failed = if !settled && ended_badly(sim) { failures(sim, &all) } else { Vec::new() };
    let reason = match () {
        () if settled => None,
        () if !asked.is_empty() => Some("OutcomeUnknown".to_owned()),
        () if !failed.is_empty() => Some("FailedInAzure".to_owned()),
        () => None,
    };
    let told = asked.into_iter().chain(failed).collect();
    let (settled, reason, told) = match of_story {
        Some((true, _)) => (true, None, Vec::new()),
        Some((false, (reason, told))) => (false, Some(reason), told),
        None => (settled, reason, told),
    };
    Outcome {
        settled,
        reason,
        told,
        deaths: sim.deaths(),
        fingerprint: sim.fingerprint(),
        story: sim.tell(),
        requests: sim.requests(),
        broken,
        rested: sim.invariants.rested(),
        watched: sim.watched,
    }
}

/// Whether something came to a bad end in Azure.
fn ended_badly(sim: &Simulation) -> bool {
    let azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    azure.journal().entries().iter().any(|entry| entry.fault.as_ref().is_some_and(|rules| rules.contains(weather::FOR_GOOD)))
}

/// What machines without a point say of it; empty where one says nothing, or where vault or policy do not stand.
fn failures(sim: &Simulation, machines: &[std::sync::Arc<DynamicObject>]) -> Vec<String> {
    let stands = sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily");
    let without = machines.iter().filter(|o| !has_point(o) && o.data.pointer("/status/protection") != Some(&"ElsewhereProtected".into()));
    let told: Vec<String> = without
        .map(|object| {
            let all = object.data.pointer("/status/conditions").and_then(Value::as_array);
            let about = all.into_iter().flatten().find(|c| c["type"] == "Recoverable" && c["status"] == "False");
            let failed = object.data.pointer("/status/lastBackup/result") == Some(&"Failed".into());
            let open = object.data.pointer("/status/operations").is_some();
            let words = about.and_then(|c| c["message"].as_str()).unwrap_or_default();
            if words.is_empty() || !(failed || open) { String::new() } else { words.to_owned() }
        })
        .collect();
    if stands && told.iter().all(|words| !words.is_empty()) { told } else { Vec::new() }
}

/// What an object says of an outcome that nobody knows: its conditions, and its plan.
fn unknown(object: &DynamicObject) -> Vec<String> {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    let conditions = conditions.into_iter().flatten().filter(|c| c["reason"] == "OutcomeUnknown");
    let conditions = conditions.map(|c| format!("{}: {}", c["type"].as_str().unwrap_or("?"), c["message"].as_str().unwrap_or("?")));
    let plan = object.data.pointer("/status/plan").and_then(Value::as_str).unwrap_or_default();
    conditions.chain(plan.lines().filter(|line| line.contains("OutcomeUnknown")).map(|line| format!("plan: {line}"))).collect()
}
