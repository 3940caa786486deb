//! `cargo dev test`: everything that tests need is built first, then every test of every level runs.

use std::time::Duration;

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
    progress.step("control plane: looking for etcd, kube-apiserver, kube-controller-manager and kubectl");
    Binaries::find_or_build(&progress)?;
    go_client::build(&progress)?;
    progress.step("cargo: building the operator, azure-sim and dev");
    // The whole workspace, as below: the same features, so nothing is built twice.
    cargo(&["build", "--workspace", "--bins"])?;
    progress.step("cargo: building the tests");
    cargo(&["test", "--workspace", "--no-run"])?;
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

fn cargo(args: &[&str]) -> Result<()> {
    let bins = workspace::target_dir()?.join("debug");
    let status = workspace::cargo().args(args).env(BIN_DIR, bins).status().context("running cargo")?;
    if !status.success() {
        bail!("cargo {}: {status}", args.join(" "));
    }
    Ok(())
}

fn minutes(seconds: u64) -> String {
    let whole = Duration::from_secs(seconds).as_secs();
    if whole < 60 { format!("{whole} s") } else { format!("{} min {:02} s", whole / 60, whole % 60) }
}
