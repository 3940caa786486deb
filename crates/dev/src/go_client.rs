//! The client program of tests/contract/clients: the official Go SDK at work, built from its module like the control plane.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;
use crate::workspace;

/// Builds the program into the target folder; Go's own cache makes every build but the first a matter of a second.
///
/// # Errors
/// No Go on the `PATH`, or a build that fails (with the tail of Go's output).
pub fn build(progress: &Progress) -> Result<PathBuf> {
    let started = Instant::now();
    progress.step("building the client of the official Go SDK (the first time about 90 s on two cores)");
    let program = workspace::target_dir()?.join("dev/bin/azure-go-client");
    let output = Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w", "-o"])
        .arg(&program)
        .arg(".")
        .env("CGO_ENABLED", "0")
        .current_dir(workspace::root().join("tests/contract/clients"))
        .output()
        .context("running `go build`: Go 1.26 or later must be on the PATH")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = said.lines().rev().take(20).collect();
        bail!("building tests/contract/clients: {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    progress.step(format!("the Go client is built ({} s)", started.elapsed().as_secs()));
    Ok(program)
}
