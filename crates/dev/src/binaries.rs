//! The control plane's binaries: found, or built once per machine from their published Go modules.
//!
//! In this order: `KUBEBUILDER_ASSETS`; the cache folder, keyed by version; built into the cache. The build of
//! all four takes five to six minutes on two cores (design/control-plane.md).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;

/// What we build, pinned: the versions below are read from it.
const GO_MOD: &str = include_str!("../controlplane/go.mod");

/// One binary of the control plane.
#[derive(Clone, Copy, Debug)]
struct Tool {
    name: &'static str,
    /// The Go package that holds its `main`.
    package: &'static str,
    /// What `go build` calls the result.
    built_as: &'static str,
    /// How long a cold build takes on two cores, for the progress line.
    seconds: u32,
}

const TOOLS: [Tool; 4] = [
    Tool { name: "etcd", package: "go.etcd.io/etcd/server/v3", built_as: "server", seconds: 45 },
    Tool { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver", built_as: "kube-apiserver", seconds: 200 },
    Tool {
        name: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        built_as: "kube-controller-manager",
        seconds: 60,
    },
    Tool { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl", built_as: "kubectl", seconds: 20 },
];

/// Paths of the control plane's binaries.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// etcd.
    pub etcd: PathBuf,
    /// kube-apiserver.
    pub kube_apiserver: PathBuf,
    /// kube-controller-manager.
    pub kube_controller_manager: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Finds the binaries, and builds those that are nowhere. Several processes may ask at once: one builds, the
    /// others wait for it.
    ///
    /// # Errors
    /// No Go on the `PATH`, a build that fails (with the tail of Go's output), a cache folder we may not write.
    pub fn find_or_build(progress: &Progress) -> Result<Self> {
        let cache = cache_dir()?;
        let assets = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let find =
            |tool: Tool| -> Option<PathBuf> { assets.iter().chain([&cache]).map(|dir| dir.join(tool.name)).find(|path| path.is_file()) };
        if TOOLS.into_iter().any(|tool| find(tool).is_none()) {
            fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
            let lock = File::create(cache.join(".lock")).context("the cache's lock file")?;
            if lock.try_lock().is_err() {
                progress.step("another process is building the control plane; waiting for it");
                lock.lock().context("locking the cache")?;
            }
            for tool in TOOLS.into_iter().filter(|tool| find(*tool).is_none()) {
                build(tool, &cache, progress)?;
            }
        }
        let found = |tool: Tool| find(tool).with_context(|| format!("{} was neither found nor built", tool.name));
        let [etcd, kube_apiserver, kube_controller_manager, kubectl] = TOOLS;
        Ok(Self {
            etcd: found(etcd)?,
            kube_apiserver: found(kube_apiserver)?,
            kube_controller_manager: found(kube_controller_manager)?,
            kubectl: found(kubectl)?,
        })
    }
}

/// Where built binaries of these versions are kept: `$XDG_CACHE_HOME` or `~/.cache`, then `breakwater/<versions>`.
///
/// # Errors
/// Neither variable nor home directory is set.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    let versions = format!("kubernetes-{}-etcd-{}", version_of("k8s.io/kubernetes"), version_of("go.etcd.io/etcd/server/v3"));
    Ok(base.join("breakwater").join(versions))
}

/// The version that go.mod requires of `module`.
fn version_of(module: &str) -> &'static str {
    GO_MOD
        .lines()
        .filter_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '))
        .find_map(|rest| rest.split_whitespace().next().filter(|version| version.starts_with('v')))
        .expect("go.mod requires every module that it has a tool line for")
}

/// Builds one tool into the cache. The file appears under its name only when it is whole.
fn build(tool: Tool, cache: &Path, progress: &Progress) -> Result<()> {
    let started = Instant::now();
    progress.step(format!("building {} from its Go module, once per machine (about {} s on two cores)", tool.name, tool.seconds));
    let scratch = tempfile::tempdir_in(cache).context("a scratch folder in the cache")?;
    let output = Command::new("go")
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", &ldflags(), "-o"])
        .arg(scratch.path())
        .arg(tool.package)
        .env("CGO_ENABLED", "0")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane"))
        .output()
        .context("running `go build`: Go 1.26 or later must be on the PATH to build the control plane")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = said.lines().rev().take(20).collect();
        bail!("building {}: {}", tool.package, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    fs::rename(scratch.path().join(tool.built_as), cache.join(tool.name)).with_context(|| format!("keeping {}", tool.name))?;
    progress.step(format!("{} built in {} s", tool.name, started.elapsed().as_secs()));
    Ok(())
}

/// Without the version the server calls itself v0.0.0, and clients that look at it misbehave.
fn ldflags() -> String {
    let version = version_of("k8s.io/kubernetes");
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let of = "k8s.io/component-base/version";
    format!("-s -w -X {of}.gitVersion={version} -X {of}.gitMajor={major} -X {of}.gitMinor={minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_of_go_mod() {
        assert_eq!(version_of("k8s.io/kubernetes"), "v1.36.3");
        assert_eq!(version_of("go.etcd.io/etcd/server/v3"), "v3.6.8");
        assert!(ldflags().ends_with("gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"));
    }
}
