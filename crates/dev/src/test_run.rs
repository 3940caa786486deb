//! `cargo dev test`: everything that tests need is built first, then every test of every level runs.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;
use crate::go_client;
use crate::planted;
use crate::progress::Progress;
use crate::workspace::{self, BIN_DIR};

/// Builds the control plane and the binaries, then runs `cargo test --workspace`, held to names that contain
/// `filter` if there is one; without one, plays the planted bugs as well.
///
/// # Errors
/// A build or a test that failed, or a planted bug that nothing caught.
pub fn run(filter: Option<&str>) -> Result<()> {
    let progress = Progress::start();
    build(&progress)?;
    let built = progress.seconds();
    progress.step("running every test of every level");
    let outcome = match filter {
        Some(_) => cargo(&[&["test", "--workspace", "--no-fail-fast"], filter.as_slice()].concat(), waiting()),
        None => everything(),
    };
    let total = progress.seconds();
    progress.step(format!(
        "{} in {} ({} of it building)",
        if outcome.is_ok() { "all tests passed" } else { "some tests FAILED" },
        minutes(total),
        minutes(built)
    ));
    outcome
}

/// The tests of whole stacks, which wait for most of their time, and beside them all others, with what they leave of the cores.
fn everything() -> Result<()> {
    let others = targets_but(STACKS)?;
    let stacks = || cargo(&["test", "--workspace", "--no-fail-fast", "--test", STACKS], waiting());
    let rest = || {
        // Of this thread, and of what it starts.
        rustix::process::nice(10).context("giving way to the tests of whole stacks")?;
        let mut tests = vec!["test", "--workspace", "--no-fail-fast", "--lib", "--bins"];
        tests.extend(others.iter().flat_map(|name| ["--test", name.as_str()]));
        let outcome = cargo(&tests, cores());
        let outcome = outcome.and(cargo(&["test", "--workspace", "--no-fail-fast", "--doc"], cores()));
        // A bug that is planted proves nothing where a test fails without one.
        outcome.and_then(|()| planted::run(None))
    };
    thread::scope(|scope| {
        let rest = scope.spawn(rest);
        let stacks = stacks();
        let rest = rest.join().unwrap_or_else(|_| bail!("running the tests panicked"));
        stacks.and(rest)
    })
}

/// The test target whose tests start whole stacks.
const STACKS: &str = "e2e";

/// The names of all test targets of the workspace but one.
fn targets_but(left_out: &str) -> Result<Vec<String>> {
    let metadata = workspace::metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let targets = packages.iter().filter_map(|package| package["targets"].as_array()).flatten();
    let tests = targets.filter(|target| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "test")));
    let mut names: Vec<String> =
        tests.filter_map(|target| target["name"].as_str()).filter(|name| *name != left_out).map(str::to_owned).collect();
    // One name may stand for targets of several packages.
    names.sort();
    names.dedup();
    Ok(names)
}

/// The control plane is built beside the workspace: neither keeps all cores busy by itself.
fn build(progress: &Progress) -> Result<()> {
    thread::scope(|scope| {
        let control_plane = scope.spawn(|| {
            progress.step("control plane: looking for etcd, kube-apiserver, kube-controller-manager and kubectl");
            let built = Binaries::find_or_build(progress).and_then(|_| go_client::build(progress).map(drop));
            // Told at once, and not only when cargo is through.
            built.inspect_err(|error| progress.step(format!("control plane: FAILED: {error:#}")))
        });
        progress.step("cargo: building the operator, azure-sim and dev");
        // The whole workspace, as below: the same features, so nothing is built twice.
        let built = cargo(&["build", "--workspace", "--bins"], cores()).and_then(|()| {
            progress.step("cargo: building the tests");
            cargo(&["test", "--workspace", "--no-run"], cores())
        });
        let control_plane = control_plane.join().unwrap_or_else(|_| bail!("the build of the control plane panicked"));
        built.and(control_plane)
    })
}

/// Runs cargo; of the tests that it runs so many at once, if the user has not said how many.
fn cargo(args: &[&str], tests_at_once: usize) -> Result<()> {
    let bins = workspace::target_dir()?.join("debug");
    let at_once = std::env::var_os(AT_ONCE).unwrap_or_else(|| tests_at_once.to_string().into());
    let status = workspace::cargo().args(args).env(BIN_DIR, bins).env(AT_ONCE, at_once).status().context("running cargo")?;
    if !status.success() {
        bail!("cargo {}: {status}", args.join(" "));
    }
    Ok(())
}

/// The variable by which the harness is told how many tests to run at once.
const AT_ONCE: &str = "RUST_TEST_THREADS";

/// As many tests as there are cores.
fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Half as many again: a test of a whole stack waits for most of its time.
fn waiting() -> usize {
    (cores() * 3).div_ceil(2)
}

fn minutes(seconds: u64) -> String {
    let whole = Duration::from_secs(seconds).as_secs();
    if whole < 60 { format!("{whole} s") } else { format!("{} min {:02} s", whole / 60, whole % 60) }
}
