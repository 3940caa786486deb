//! Where things are in this workspace, and how its own binaries are built.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;

/// The folder that holds the workspace's Cargo.toml.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/dev lies two folders below the root")
}

/// A command that runs the cargo which runs us, in the workspace root.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The folder that cargo puts programs into, wherever the user's configuration has put it.
///
/// # Errors
/// Cargo does not say.
pub fn target_dir() -> Result<PathBuf> {
    metadata_dir("target_directory")
}

/// The folder in which cargo keeps what it builds on the way to them: the same unless configured otherwise.
///
/// # Errors
/// Cargo does not say.
pub fn build_dir() -> Result<PathBuf> {
    metadata_dir("build_directory")
}

/// What cargo says of the workspace and its packages.
///
/// # Errors
/// Cargo does not say.
pub fn metadata() -> Result<serde_json::Value> {
    let output = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata's answer")
}

fn metadata_dir(field: &str) -> Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata[field].as_str().with_context(|| format!("cargo metadata names no {field}"))?;
    Ok(PathBuf::from(dir))
}

/// How a binary is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// As the tests are.
    Dev,
    /// For hours of work: everything optimized, with every check that the tests have. Takes minutes to build.
    Sweep,
}

/// Builds and runs `bin` of the tests' package, which knows more than this crate may depend on.
///
/// # Errors
/// It cannot be built, or says no by its exit code.
pub fn run_of_tests(profile: Profile, bin: &str, args: &[&OsStr]) -> Result<()> {
    let profile = match profile {
        Profile::Dev => "dev",
        Profile::Sweep => "sweep",
    };
    let built = ["run", "--quiet", "--profile", profile, "-p", "breakwater-tests", "--bin", bin, "--"];
    let status = cargo().args(built).args(args).status().context("running cargo")?;
    if !status.success() {
        bail!("{bin}: {status}");
    }
    Ok(())
}

/// The workspace's own binaries that a stack runs as processes.
#[derive(Clone, Debug)]
pub struct OwnBinaries {
    /// `dev`: every child is started through it, so that it dies with its parent (see `child`).
    pub dev: PathBuf,
    /// `breakwater-operator`.
    pub operator: PathBuf,
    /// `azure-sim`.
    pub azure_sim: PathBuf,
}

/// Names the folder that holds the already built binaries; `cargo dev test` sets it, so that tests build nothing.
pub const BIN_DIR: &str = "BREAKWATER_BIN_DIR";

impl OwnBinaries {
    /// The binaries in the folder named by [`BIN_DIR`], else built now by cargo with a progress line.
    ///
    /// # Errors
    /// A build that fails (cargo's own output has said why), or a folder without the binaries.
    pub fn find_or_build(progress: &Progress) -> Result<Self> {
        if let Some(dir) = std::env::var_os(BIN_DIR) {
            return Self::in_dir(Path::new(&dir));
        }
        progress.step("building the operator and azure-sim with cargo");
        // The whole workspace, as the tests do: the same features, so that nothing is built twice.
        let status = cargo().args(["build", "--quiet", "--workspace", "--bins"]).status().context("cargo build")?;
        if !status.success() {
            bail!("cargo build of the operator and azure-sim failed");
        }
        Self::in_dir(&target_dir()?.join("debug"))
    }

    /// The binaries in `dir`.
    ///
    /// # Errors
    /// Names the first one that is missing.
    pub fn in_dir(dir: &Path) -> Result<Self> {
        let found = |name: &str| {
            let path = dir.join(name);
            if path.is_file() { Ok(path) } else { bail!("{} is missing", path.display()) }
        };
        Ok(Self { dev: found("dev")?, operator: found("breakwater-operator")?, azure_sim: found("azure-sim")? })
    }
}
