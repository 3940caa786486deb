//! `cargo dev test`: everything that tests need is built first, then every test of every level runs.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;
use crate::go_client;
use crate::planted;
use crate::progress::Progress;
use crate::workspace::{self, BIN_DIR};

/// Builds the control plane and the binaries, then runs `cargo test --workspace`, held to names that contain
/// `filter` if there is one; without one, plays the planted bugs after it.
///
/// # Errors
/// A build or a test that failed, or a planted bug that nothing caught.
pub fn run(filter: Option<&str>) -> Result<()> {
    let progress = Progress::start();
    build(&progress)?;
    let built = progress.seconds();
    progress.step("running every test of every level");
    let outcome = cargo(&[&["test", "--workspace", "--no-fail-fast"], filter.as_slice()].concat());
    // A bug that is planted proves nothing where a test fails without one.
    let outcome = outcome.and_then(|()| if filter.is_none() { planted::run(None) } else { Ok(()) });
    let total = progress.seconds();
    progress.step(format!(
        "{} in {} ({} of it building)",
        if outcome.is_ok() { "all tests passed" } else { "some tests FAILED" },
        minutes(total),
        minutes(built)
    ));
    outcome
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
        let built = cargo(&["build", "--workspace", "--bins"]).and_then(|()| {
            progress.step("cargo: building the tests");
            cargo(&["test", "--workspace", "--no-run"])
        });
        let control_plane = control_plane.join().unwrap_or_else(|_| bail!("the build of the control plane panicked"));
        built.and(control_plane)
    })
}

fn cargo(args: &[&str]) -> Result<()> {
    let bins = workspace::target_dir()?.join("debug");
    let at_once = std::env::var_os(AT_ONCE).unwrap_or_else(|| tests_at_once().to_string().into());
    let status = workspace::cargo().args(args).env(BIN_DIR, bins).env(AT_ONCE, at_once).status().context("running cargo")?;
    if !status.success() {
        bail!("cargo {}: {status}", args.join(" "));
    }
    Ok(())
}

/// How many tests the harness runs at once.
const AT_ONCE: &str = "RUST_TEST_THREADS";

/// Half as many again as there are cores: a test of a whole stack waits for most of its time.
fn tests_at_once() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (cores * 3).div_ceil(2)
}

fn minutes(seconds: u64) -> String {
    let whole = Duration::from_secs(seconds).as_secs();
    if whole < 60 { format!("{whole} s") } else { format!("{} min {:02} s", whole / 60, whole % 60) }
}
