//! `cargo dev demo`: from nothing to nine machines with recovery points, told as it happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::kubectl::Kubectl;
use crate::progress::Progress;
use crate::runs;
use crate::stack::{Settings, Stack, Tools};
use crate::story::Story;
use crate::supervisor::{Interrupt, Ready};
use crate::workspace;

/// How long the story may take, on a busy machine too. On an idle one it takes about a minute.
const STORY_WITHIN: Duration = Duration::from_secs(600);

/// How often we look for news.
const GLANCE: Duration = Duration::from_millis(700);

/// What the story is told from: one list of every kind.
const KINDS: &str = "azureaccesses,recoveryvaults,backuppolicies,protectedmachines,backupruns,restoreruns";

/// What happens when the story is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// The stack stays up until Ctrl-C.
    Stay,
    /// The stack is stopped and the command ends.
    Leave,
}

/// Runs the demo, at `clock_factor` times the speed of the world.
///
/// # Errors
/// Something did not start, or the story was not complete in time: what was still missing.
pub fn run(afterwards: Afterwards, clock_factor: u32) -> Result<()> {
    let progress = Progress::start();
    let tools = Tools::find_or_build(&progress)?;
    let interrupt = Interrupt::listen()?;
    let dir = runs::folder("demo", "shop")?;
    let mut stack = Stack::start(&tools, &Settings::shop(dir, clock_factor), &progress)?;
    let outcome = tell(&mut stack, &progress, &interrupt, afterwards, clock_factor);
    progress.step("stopping the operator, azure-sim and the control plane");
    stack.stop()?;
    outcome
}

fn tell(stack: &mut Stack, progress: &Progress, interrupt: &Interrupt, afterwards: Afterwards, clock_factor: u32) -> Result<()> {
    let kubectl = stack.kubectl();
    let samples = workspace::root().join("deploy/samples");
    progress.step("kubectl apply -f deploy/samples/");
    let applied = kubectl.run(&["apply", "-f", &samples.display().to_string()]).context("applying the samples")?;
    applied.lines().for_each(|line| progress.step(format!("  {line}")));
    progress.step(format!("world time began a month ago and runs {clock_factor} times as fast as yours; this is what happens:"));
    let protected = "the story is complete: every machine that is ours to protect has a recovery point";
    let mut told = follow(stack, &kubectl, progress, interrupt, (Story::missing, protected))?;
    if told == Told::Complete {
        let runs = samples.join("runs");
        progress.step("kubectl apply -f deploy/samples/runs/");
        let applied = kubectl.run(&["apply", "-f", &runs.display().to_string()]).context("applying the runs")?;
        applied.lines().for_each(|line| progress.step(format!("  {line}")));
        let restored = "a backup was taken on demand, and a machine came back beside its source";
        told = follow(stack, &kubectl, progress, interrupt, (Story::runs_missing, restored))?;
    }
    if told == Told::Interrupted {
        if afterwards == Afterwards::Leave {
            bail!("interrupted before the story was complete");
        }
        return Ok(());
    }
    tables(&kubectl)?;
    costs(stack)?;
    println!("{}", Ready::of(stack).advice());
    println!("Everything is in {}; logs are in the folders called `logs`.", stack.dir().display());
    if afterwards == Afterwards::Stay {
        println!("It stays up until Ctrl-C.");
        while !interrupt.within(Duration::from_secs(1)) {
            stack.must_run()?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Complete,
    Interrupted,
}

/// What is still missing of a part of the story, and what to say when nothing is.
type Part = (fn(&[Value]) -> Vec<String>, &'static str);

fn follow(stack: &mut Stack, kubectl: &Kubectl, progress: &Progress, interrupt: &Interrupt, part: Part) -> Result<Told> {
    let mut story = Story::default();
    let deadline = Instant::now() + STORY_WITHIN;
    loop {
        stack.must_run()?;
        let objects = kubectl.items(&[KINDS, "-A"])?;
        story.news(&objects).iter().for_each(|line| progress.step(line));
        let missing = part.0(&objects);
        if missing.is_empty() {
            progress.step(part.1);
            return Ok(Told::Complete);
        }
        if Instant::now() >= deadline {
            bail!("not complete within {} s; still missing:\n  {}", STORY_WITHIN.as_secs(), missing.join("\n  "));
        }
        if interrupt.within(GLANCE) {
            return Ok(Told::Interrupted);
        }
    }
}

fn tables(kubectl: &Kubectl) -> Result<()> {
    for kind in KINDS.split(',') {
        println!("\n$ kubectl get {kind} -A\n{}", kubectl.run(&["get", kind, "-A"])?.trim_end());
    }
    println!();
    Ok(())
}

/// What the story cost: Azure by the simulator's journal, Kubernetes by the operator's metrics.
fn costs(stack: &Stack) -> Result<()> {
    let azure = listed(stack.simulator().journal().counts()?);
    let kubernetes = listed(stack.operator().kubernetes_calls()?);
    let memory = stack.operator().resident_mib().map_or("unknown".to_owned(), |mib| format!("{mib} MiB"));
    println!("Requests to Azure: {azure}. Writes to Kubernetes: {kubernetes}. Memory of the operator (debug build): {memory}.\n");
    Ok(())
}

fn listed<N: std::fmt::Display>(counts: impl IntoIterator<Item = (String, N)>) -> String {
    let told: Vec<String> = counts.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
    told.join(", ")
}
