//! What goes wrong in a seed's run, drawn from the seed.

use std::sync::PoisonError;

use azure_sim::faults::{Fault, Match, Rule, Shape, When};
use breakwater_engine::ports::{Entropy, Leadership};
use jiff::SignedDuration;

use crate::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        view::Lag,
    },
    entropy::SeededEntropy,
    halt::Incident,
    sim::{ArmFault, Simulation},
};

/// What the names of rules begin with that end something in Azure for good: a job that fails, an operation that fails or
/// never ends. Such a run may end with a machine that says why it has no point.
pub const FOR_GOOD: &str = "for good: ";

/// Faults that strike by chance while the run is young.
pub fn plan(sim: &mut Simulation, chance: &SeededEntropy, seed: u64) {
    let faults =
        [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::Conflict, WriteFault::DiesBefore, WriteFault::DiesAfter];
    let plan = faults.into_iter().fold(FaultPlan::seeded(seed), |plan, fault| plan.with(Strike::Chance(0.02 * chance.unit()), fault));
    sim.cluster_faults(plan);
    for fault in [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter] {
        if chance.unit() < 0.5 {
            sim.arm_fault(1 + chance.below(10), fault);
        }
    }
    let mut azure = sim.azure.lock().unwrap_or_else(PoisonError::into_inner);
    // In every third run all lists are behind what a read shows, for as long as there are faults.
    if chance.below(3) == 0 {
        let fault = Fault::ListLag { seconds: 30.0 + 90.0 * chance.unit() };
        azure.faults_mut().add(Rule { id: "lists lag".into(), matches: Match::default(), fault });
    }
    for nth in 0..chance.below(6) {
        let fault = passing(chance);
        let matches = Match { nth: Some(1 + chance.below(40) as u32), count: Some(1 + chance.below(3) as u32), ..Match::default() };
        azure.faults_mut().add(Rule { id: format!("fault {nth}"), matches, fault });
    }
    // In every fourth run something in Azure comes to a bad end.
    if chance.below(4) == 0 {
        let (path, fault) = lasting(chance);
        let method = if path.ends_with("/backup") { "POST" } else { "PUT" };
        let matches = Match { method: Some(method.to_owned()), path: Some(path.to_owned()), count: Some(1), ..Match::default() };
        azure.faults_mut().add(Rule { id: format!("{FOR_GOOD}{path}"), matches, fault });
    }
}

/// What passes by itself.
fn passing(chance: &SeededEntropy) -> Fault {
    let status = |status, retry_after, body, when| Fault::Status { status, retry_after, body, code: None, message: None, when };
    match chance.below(14) {
        0 => Fault::DropBeforeApply,
        1 => Fault::DropAfterApply,
        2 => status(429, Some(20), Shape::Standard, When::BeforeApply),
        3 => status(503, None, Shape::Empty, When::BeforeApply),
        4 => status(504, None, Shape::Standard, When::AfterApply),
        5 => Fault::CutBody,
        6 => Fault::MalformedBody,
        7 => Fault::ListLag { seconds: 90.0 },
        8 => Fault::OperationExpired,
        9 => Fault::Delay { seconds: 1.0 + 90.0 * chance.unit() },
        10 => Fault::TokenRefused,
        11 => status(502, None, Shape::Html, When::BeforeApply),
        12 => status(500, None, Shape::Html, When::AfterApply),
        _ => status(409, None, Shape::Standard, When::BeforeApply),
    }
}

/// What ends badly, and where. An operation that fails is one whose failure is all that there is: of a backup the job would
/// run on beside it, which the planner does not expect (crates/plan/src/once.rs, `by_job` looks at the error first).
fn lasting(chance: &SeededEntropy) -> (&'static str, Fault) {
    let failed = || Fault::OperationFailed { code: "BMSUserErrorObjectLocked".into(), message: "Another operation is in progress.".into() };
    match chance.below(4) {
        0 => ("*/protectedItems/*/backup", Fault::JobFailed { code: "UserErrorVmNotInDesirableState".into() }),
        1 => ("*/protectedItems/*/backup", Fault::OperationStuck),
        2 => ("*/backupPolicies/*", failed()),
        _ => ("*/protectionContainers/*/protectedItems/*", failed()),
    }
}

/// People and clusters do things meanwhile.
pub fn disturb(sim: &mut Simulation, chance: &SeededEntropy, hour: i64) {
    match chance.below(7) {
        0 => sim.die("for no reason"),
        1 => sim.set_watch_lag(Lag::Random { stall: 0.5 }),
        2 => sim.set_watch_lag(Lag::None),
        3 => {
            sim.leadership.lose();
            sim.run_for(SignedDuration::from_mins(2));
            sim.leadership.gain();
        }
        4 => sim.arm.halt().at(1 + chance.below(60), Incident::LosesLease),
        5 => sim.arm.halt().at(1 + chance.below(60), Incident::StandsStill),
        _ => sim.story.push(format!("{} hour {hour} is quiet", sim.now())),
    }
}

/// What follows from a lost lease, and from a process that stood still long enough.
pub fn recover(sim: &mut Simulation) {
    if !sim.leadership.leads() {
        sim.hand_over();
    }
    sim.wake();
}

/// Nothing goes wrong any more.
pub fn peace(sim: &mut Simulation) {
    recover(sim);
    sim.arm.halt().calm();
    sim.cluster_faults(FaultPlan::default());
    sim.set_watch_lag(Lag::None);
    sim.azure.lock().unwrap_or_else(PoisonError::into_inner).faults_mut().clear();
}
