//! One seed, one run with everything going wrong at random; the same seed gives the same bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_engine::ports::Entropy;
use jiff::SignedDuration;

use super::{ArmFault, Options, Simulation};
use crate::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        view::Lag,
    },
    entropy::SeededEntropy,
};

/// What one seed did.
pub struct Outcome {
    /// Whether both machines ended with points and nothing was left open.
    pub settled: bool,
    /// What waits for a person, if it stopped with a reason.
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
    let mut sim = Simulation::new(Options { seed, ..Options::default() });
    plan(&mut sim, &chance, seed);
    sim.apply(manifest);
    // The simulation is only read after a panic: what it holds is what had happened.
    let broken = catch_unwind(AssertUnwindSafe(|| play(&mut sim, &chance))).err().map(|panic| words(&*panic));
    outcome(&sim, broken)
}

fn play(sim: &mut Simulation, chance: &SeededEntropy) {
    for hour in 0..6 {
        sim.run_for(SignedDuration::from_mins(20));
        disturb(sim, chance, hour);
    }
    peace(sim);
    sim.run_for(SignedDuration::from_hours(8));
}

/// What a panic says.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_else(|| "a panic without words".to_owned())
}

fn outcome(sim: &Simulation, broken: Option<String>) -> Outcome {
    let all = sim.cluster.live_all("ProtectedMachine");
    let points = all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latest").is_some()).count();
    let open = all.iter().filter(|o| o.data.pointer("/status/operations").is_some()).count();
    let told: Vec<String> = all.iter().flat_map(|o| unknown(o)).collect();
    let settled = points == 2 && open == 0 && sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily");
    let reason = (!settled && !told.is_empty()).then(|| "OutcomeUnknown".to_owned());
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

/// What an object says of an outcome that nobody knows: its conditions, and its plan.
fn unknown(object: &kube::core::DynamicObject) -> Vec<String> {
    let conditions = object.data.pointer("/status/conditions").and_then(serde_json::Value::as_array);
    let conditions = conditions.into_iter().flatten().filter(|c| c["reason"] == "OutcomeUnknown");
    let conditions = conditions.map(|c| format!("{}: {}", c["type"].as_str().unwrap_or("?"), c["message"].as_str().unwrap_or("?")));
    let plan = object.data.pointer("/status/plan").and_then(serde_json::Value::as_str).unwrap_or_default();
    conditions.chain(plan.lines().filter(|line| line.contains("OutcomeUnknown")).map(|line| format!("plan: {line}"))).collect()
}

/// Faults that strike by chance while the run is young.
fn plan(sim: &mut Simulation, chance: &SeededEntropy, seed: u64) {
    let faults =
        [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::Conflict, WriteFault::DiesBefore, WriteFault::DiesAfter];
    let plan = faults.into_iter().fold(FaultPlan::seeded(seed), |plan, fault| plan.with(Strike::Chance(0.02 * chance.unit()), fault));
    sim.cluster_faults(plan);
    for fault in [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter] {
        if chance.unit() < 0.5 {
            sim.arm_fault(1 + chance.below(10), fault);
        }
    }
    let mut azure = sim.azure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // In every third run all lists are behind what a read shows, for as long as there are faults.
    if chance.below(3) == 0 {
        let fault = Fault::ListLag { seconds: 30.0 + 90.0 * chance.unit() };
        azure.faults_mut().add(Rule { id: "lists lag".into(), matches: Match::default(), fault });
    }
    for _ in 0..chance.below(6) {
        let fault = azure_fault(chance);
        let matches = Match { nth: Some(1 + chance.below(40) as u32), count: Some(1 + chance.below(3) as u32), ..Match::default() };
        azure.faults_mut().add(Rule { id: String::new(), matches, fault });
    }
}

fn azure_fault(chance: &SeededEntropy) -> Fault {
    let status = |status, retry_after, body, when| Fault::Status { status, retry_after, body, code: None, message: None, when };
    match chance.below(9) {
        0 => Fault::DropBeforeApply,
        1 => Fault::DropAfterApply,
        2 => status(429, Some(20), Shape::Standard, When::BeforeApply),
        3 => status(503, None, Shape::Empty, When::BeforeApply),
        4 => status(504, None, Shape::Standard, When::AfterApply),
        5 => Fault::CutBody,
        6 => Fault::MalformedBody,
        7 => Fault::ListLag { seconds: 90.0 },
        _ => Fault::OperationExpired,
    }
}

/// People and clusters do things meanwhile.
fn disturb(sim: &mut Simulation, chance: &SeededEntropy, hour: i64) {
    match chance.below(5) {
        0 => sim.die("for no reason"),
        1 => sim.set_watch_lag(Lag::Random { stall: 0.5 }),
        2 => sim.set_watch_lag(Lag::None),
        3 => {
            sim.leadership.lose();
            sim.run_for(SignedDuration::from_mins(2));
            sim.leadership.gain();
        }
        _ => sim.story.push(format!("{} hour {hour} is quiet", sim.now())),
    }
}

fn peace(sim: &mut Simulation) {
    sim.cluster_faults(FaultPlan::default());
    sim.set_watch_lag(Lag::None);
    sim.azure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).faults_mut().clear();
}
