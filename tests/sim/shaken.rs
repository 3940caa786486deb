//! What people ask for beside the main job, under every fault: each write of each workflow x {never sent, applied and answer
//! lost, died before, died after}, all pairs of writes to Azure, pairs with writes to Kubernetes, a process that stands still
//! with each request in hand, and lists that are behind. A workflow's world is made once and taken up again for every run.
//!
//! All pairs with writes to Kubernetes, and leadership lost at every step, by hand:
//! `cargo test --workspace --test sim -- --ignored shaken::`.

mod changes;
mod runs;
mod workflows;

use std::ops::RangeInclusive;

use breakwater_tests::{
    cluster::{
        fault::{FaultPlan, Strike, WriteFault},
        view::Lag,
    },
    halt::Incident,
    sim::{ArmFault, Simulation},
};
use jiff::SignedDuration;

use crate::people::is_free;

/// The longest that a workflow may take, with faults.
const IN_TIME: SignedDuration = SignedDuration::from_hours(8);

/// Of the pairs with a write to Kubernetes one in so many is played in the test run.
const SAMPLE: usize = 97;

/// Leadership is lost before one step in so many in the test run.
const STEPS: usize = 29;

const ARM: [ArmFault; 4] = [ArmFault::NeverSent, ArmFault::AnswerLost, ArmFault::DiesBefore, ArmFault::DiesAfter];
const KUBE: [WriteFault; 4] = [WriteFault::NeverSent, WriteFault::AppliedAnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter];

/// Something that a person asks for, in a world where all is ready for it.
pub struct Workflow {
    /// The world, up to the moment before.
    ready: fn() -> Simulation,
    /// What the person does.
    ask: fn(&mut Simulation),
    /// Whether it came to pass.
    done: fn(&Simulation) -> bool,
    /// How many writes Azure must carry out for it, and how many it may.
    writes: RangeInclusive<usize>,
}

/// One fault: where, which write, and which of the four.
#[derive(Clone, Copy, Debug)]
enum Hit {
    Azure(u64, usize),
    Kubernetes(u64, usize),
}

/// A workflow with its world, ready to be taken up.
struct Stage<'a> {
    workflow: &'a Workflow,
    world: Simulation,
    /// Writes that a run without faults tries: to Azure, to Kubernetes.
    tries: (u64, u64),
    /// Steps that such a run takes until it is done: reads, tokens, writes.
    steps: u64,
}

impl<'a> Stage<'a> {
    fn of(workflow: &'a Workflow) -> Self {
        let world = (workflow.ready)();
        let mut sim = world.fork();
        let (azure, kubernetes) = (sim.arm.writes(), sim.cluster.writes());
        assert!(!(workflow.done)(&sim), "there is nothing to do: {}", sim.tell());
        let before = sim.arm.halt().steps();
        (workflow.ask)(&mut sim);
        sim.run_until("the fault-free run", IN_TIME, |sim| (workflow.done)(sim) && is_free(sim));
        let steps = sim.arm.halt().steps() - before;
        until_done(workflow, &mut sim, "the fault-free run");
        let tries = (sim.arm.writes() - azure, sim.cluster.writes() - kubernetes);
        carried_out_once(workflow, &world, &sim, "the fault-free run");
        Stage { workflow, world, tries, steps }
    }

    /// A run with these faults, in a world that is as it is or behind.
    fn play(&self, hits: &[Hit], behind: bool) {
        let (what, mut sim) = (format!("{hits:?}, behind: {behind}"), self.world.fork());
        let mut plan = FaultPlan::seeded(1);
        for hit in hits {
            match *hit {
                Hit::Azure(nth, fault) => sim.arm_fault(nth, ARM[fault]),
                Hit::Kubernetes(nth, fault) => plan = plan.with(Strike::Nth(nth), KUBE[fault].clone()),
            }
        }
        sim.cluster_faults(plan);
        if behind {
            sim.set_list_lag(90.0);
            sim.set_watch_lag(Lag::Random { stall: 0.5 });
        }
        (self.workflow.ask)(&mut sim);
        until_done(self.workflow, &mut sim, &what);
        carried_out_once(self.workflow, &self.world, &sim, &what);
        // The first fault comes as it came without any; a second one may find that nothing is left to be struck. Which of two is
        // the first is known of those to one server.
        if !behind {
            let dies = matches!(hits, [Hit::Azure(_, 2 | 3)] | [Hit::Kubernetes(_, 2 | 3)])
                || matches!(hits, [Hit::Azure(_, 2 | 3), Hit::Azure(..)] | [Hit::Kubernetes(_, 2 | 3), Hit::Kubernetes(..)]);
            assert!(!dies || sim.deaths() > 0, "{what}: the fault was not played");
        }
    }

    /// A run in which the process stands still with the request of that write in hand, another one ends the work, and the
    /// old one wakes.
    fn wakes_late(&self, nth: u64) {
        let (what, mut sim) = (format!("it wakes with the request of write {nth} in hand"), self.world.fork());
        sim.arm_fault(nth, ArmFault::StandsStill);
        (self.workflow.ask)(&mut sim);
        sim.run_until(&what, IN_TIME, |sim| sim.has_sleeper());
        until_done(self.workflow, &mut sim, &what);
        sim.wake();
        until_done(self.workflow, &mut sim, &what);
        carried_out_once(self.workflow, &self.world, &sim, &what);
    }

    /// A run in which the lease is lost before that step, whatever turn it belongs to, and another process takes over.
    fn loses_lease(&self, step: u64) {
        let (what, mut sim) = (format!("the lease is lost before step {step} of {}", self.steps), self.world.fork());
        sim.has_heir = true;
        sim.arm.halt().at(step, Incident::LosesLease);
        (self.workflow.ask)(&mut sim);
        until_done(self.workflow, &mut sim, &what);
        carried_out_once(self.workflow, &self.world, &sim, &what);
        assert!(sim.story.iter().any(|line| line.ends_with("takes over")), "{what}: it never came to that");
    }

    /// A run in which the process stands still before that step, and wakes when another one has begun or ended the work.
    fn stands_still(&self, step: u64, late: bool) {
        let (what, mut sim) = (format!("it stands still before step {step} of {}; late: {late}", self.steps), self.world.fork());
        sim.arm.halt().at(step, Incident::StandsStill);
        (self.workflow.ask)(&mut sim);
        sim.run_until(&what, IN_TIME, |sim| sim.has_sleeper());
        match late {
            true => until_done(self.workflow, &mut sim, &what),
            false => sim.run_for(SignedDuration::from_secs(20)),
        }
        sim.wake();
        until_done(self.workflow, &mut sim, &what);
        carried_out_once(self.workflow, &self.world, &sim, &what);
    }

    /// Before each of these steps something happens to the one that leads.
    fn led_by_others(&self, steps: impl Iterator<Item = u64>) {
        for step in steps {
            self.loses_lease(step);
            self.stands_still(step, step % 2 == 0);
        }
    }

    fn singles(&self) -> Vec<Hit> {
        let azure = (1..=self.tries.0).flat_map(|nth| (0..4).map(move |fault| Hit::Azure(nth, fault)));
        azure.chain((1..=self.tries.1).flat_map(|nth| (0..4).map(move |fault| Hit::Kubernetes(nth, fault)))).collect()
    }

    /// All pairs of writes to Azure, and all others.
    fn pairs(&self) -> (Vec<[Hit; 2]>, Vec<[Hit; 2]>) {
        let (azure, kubernetes) = self.tries;
        let all = pairs(azure, azure + 1, Hit::Azure, Hit::Azure);
        let mixed = (1..=azure).flat_map(|a| (1..=kubernetes + 1).map(move |k| (a, k)));
        let mixed = mixed.flat_map(|(a, k)| (0..16).map(move |f| [Hit::Azure(a, f / 4), Hit::Kubernetes(k, f % 4)]));
        let others = pairs(kubernetes, kubernetes + 1, Hit::Kubernetes, Hit::Kubernetes).into_iter().chain(mixed);
        (all, others.collect())
    }
}

/// Every two writes, the second of them up to `last`, with all combinations of faults.
fn pairs(first: u64, last: u64, one: fn(u64, usize) -> Hit, other: fn(u64, usize) -> Hit) -> Vec<[Hit; 2]> {
    let both = (1..=first).flat_map(|i| (i + 1..=last).map(move |j| (i, j)));
    both.flat_map(|(i, j)| (0..16).map(move |fault| [one(i, fault / 4), other(j, fault % 4)])).collect()
}

fn until_done(workflow: &Workflow, sim: &mut Simulation, what: &str) {
    sim.run_until(what, IN_TIME, |sim| (workflow.done)(sim) && is_free(sim));
    sim.run_for(SignedDuration::from_mins(30));
    assert!((workflow.done)(sim) && is_free(sim), "{what}: it did not last: {}", sim.tell());
}

/// Azure carried each write out, and none a second time.
fn carried_out_once(workflow: &Workflow, before: &Simulation, sim: &Simulation, what: &str) {
    let since = before.requests().len();
    let azure = sim.azure.lock().expect("no thread died");
    let questions = ["/backupStatus", "/backupTriggerValidateOperation", "/accessToken", "/backupCrrJob", "/backupCrrJobs"];
    let asks = |path: &str| questions.iter().any(|question| path.ends_with(question));
    let writes = azure.journal().entries().iter().skip(since).filter(|e| e.applied && e.method != "GET" && !asks(&e.path));
    let writes: Vec<String> = writes.map(|e| format!("{} {} -> {}", e.method, e.path, e.status)).collect();
    assert!(workflow.writes.contains(&writes.len()), "{what}: {writes:#?}");
}

/// All of it.
fn shaken(workflow: &Workflow) {
    let stage = Stage::of(workflow);
    let (azure, others) = stage.pairs();
    let singles = stage.singles();
    println!("{:?} writes, {} singles, {} and {} pairs", stage.tries, singles.len(), azure.len(), others.len());
    for (at, hit) in singles.into_iter().enumerate() {
        stage.play(&[hit], false);
        if at % 3 == 0 {
            stage.play(&[hit], true);
        }
    }
    (1..=stage.tries.0).for_each(|nth| stage.wakes_late(nth));
    azure.iter().chain(others.iter().step_by(SAMPLE)).for_each(|hits| stage.play(hits, false));
    stage.led_by_others((1..=stage.steps).step_by(STEPS));
}

/// The rest of it.
fn shaken_by_all(workflow: &Workflow) {
    let stage = Stage::of(workflow);
    stage.pairs().1.iter().for_each(|hits| stage.play(hits, false));
}

/// Leadership is lost before every step.
fn led_by_others_at_every_step(workflow: &Workflow) {
    let stage = Stage::of(workflow);
    println!("{} steps", stage.steps);
    stage.led_by_others(1..=stage.steps);
}
