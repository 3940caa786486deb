//! The shipped operator binary as a process outside of the cluster, under its own ServiceAccount.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::child::{Child, Ending, Program, first_line};
use crate::http::Http;

/// How long it may take to bind its port.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to finish what it was saving when asked to end.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// What to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder for its logs and its audit record.
    pub dir: PathBuf,
    /// The estate's name: names and owner tags in Azure derive from it.
    pub estate: String,
    /// Who it is in Kubernetes.
    pub kubeconfig: PathBuf,
    /// Where ARM is, and Entra.
    pub azure: Azure,
    /// What is logged, as tracing directives.
    pub log_filter: String,
    /// Flags beside these.
    pub more: Vec<String>,
    /// Environment variables, as a pod's platform sets them.
    pub env: Vec<(String, String)>,
}

/// A simulated Azure.
#[derive(Clone, Debug)]
pub struct Azure {
    /// The origin of ARM and of Entra.
    pub endpoint: String,
    /// The CA of that origin.
    pub ca: PathBuf,
    /// `WALL=WORLD`: when its clock and ours are known to stand together.
    pub world_origin: String,
    /// How many times faster than the wall its clock runs.
    pub world_factor: u32,
}

#[derive(Deserialize)]
struct Ports {
    health: u16,
}

/// How its memory is kept: as the shipped Deployment says.
const ALLOCATOR: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// A running operator. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    child: Child,
    health: String,
    audit: PathBuf,
}

impl Operator {
    /// Starts `binary` and waits until its health port is bound; it need not lead yet.
    ///
    /// # Errors
    /// It ends, or binds nothing in time; with the tail of its log.
    pub fn start(binary: &Path, launcher: &Path, settings: &Settings) -> Result<Self> {
        fs::create_dir_all(&settings.dir).with_context(|| format!("creating {}", settings.dir.display()))?;
        let audit = settings.dir.join("audit.jsonl");
        let program = Program {
            name: "operator".into(),
            path: binary.into(),
            args: args(settings, &audit),
            env: settings.env.iter().cloned().chain(ALLOCATOR.map(|(name, value)| (name.to_owned(), value.into()))).collect(),
            logs: settings.dir.join("logs"),
        };
        // What an earlier run printed is not what this one prints.
        let _ = fs::remove_file(program.logs.join("operator.out"));
        let mut child = Child::start(launcher, program)?;
        let line = first_line(&mut child, READY_WITHIN)?;
        let ports: Ports = serde_json::from_str(&line).with_context(|| format!("the operator's first line: {line}"))?;
        Ok(Self { child, health: format!("http://127.0.0.1:{}", ports.health), audit })
    }

    /// The origin of /healthz, /readyz and /metrics.
    pub fn health(&self) -> &str {
        &self.health
    }

    /// What it has asked of Kubernetes so far, by verb, as its own metrics count it.
    ///
    /// # Errors
    /// It does not answer.
    pub fn kubernetes_calls(&self) -> Result<BTreeMap<String, u64>> {
        let (status, page) = Http::new()?.get(&format!("{}/metrics", self.health))?;
        anyhow::ensure!(status == 200, "the operator's metrics: {status}: {page}");
        Ok(calls_by_verb(&page))
    }

    /// How much memory it holds, in MiB; `None` when it is gone.
    pub fn resident_mib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 1024)
    }

    /// Its audit record, one JSON object a line.
    pub fn audit(&self) -> &Path {
        &self.audit
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The last lines of its log, for error messages.
    pub fn log_tail(&self, lines: usize) -> String {
        self.child.log_tail(lines)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Asks it to end and waits; killed when it takes longer than it may.
    ///
    /// # Errors
    /// The system refuses to say whether it ended.
    pub fn stop(mut self) -> Result<Ending> {
        self.child.stop(STOP_WITHIN)
    }

    /// `kill -9`: no farewell, nothing finished.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()
    }

    /// `kill -STOP`: it holds its Lease and does nothing, until [`Operator::thaw`].
    ///
    /// # Errors
    /// It is gone.
    pub fn freeze(&self) -> Result<()> {
        self.child.signal(Signal::SIGSTOP)
    }

    /// Undoes [`Operator::freeze`].
    ///
    /// # Errors
    /// It is gone.
    pub fn thaw(&self) -> Result<()> {
        self.child.signal(Signal::SIGCONT)
    }
}

fn calls_by_verb(page: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("breakwater_kubernetes_calls_total{")) {
        let verb = line.split_once("verb=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(verb, _)| verb);
        let count = line.rsplit_once(' ').and_then(|(_, count)| count.parse::<u64>().ok());
        if let (Some(verb), Some(count)) = (verb, count) {
            *calls.entry(verb.to_owned()).or_default() += count;
        }
    }
    calls
}

fn args(settings: &Settings, audit: &Path) -> Vec<OsString> {
    let azure = &settings.azure;
    let mut args: Vec<OsString> = Vec::new();
    for (name, value) in [
        ("--estate", settings.estate.as_str()),
        ("--namespace", crate::stack::NAMESPACE),
        ("--arm-endpoint", &azure.endpoint),
        ("--authority", &azure.endpoint),
        ("--world-origin", &azure.world_origin),
        ("--world-factor", &azure.world_factor.to_string()),
        ("--bind", "127.0.0.1"),
        ("--health-port", "0"),
        ("--log-filter", &settings.log_filter),
    ] {
        args.extend([OsString::from(name), OsString::from(value)]);
    }
    for (name, value) in [("--kubeconfig", settings.kubeconfig.as_path()), ("--ca-file", &azure.ca), ("--audit-log", audit)] {
        args.extend([OsString::from(name), value.into()]);
    }
    args.push("--print-ports".into());
    args.extend(settings.more.iter().map(OsString::from));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_summed_by_verb() {
        let page = "# TYPE breakwater_kubernetes_calls counter\n\
                    breakwater_kubernetes_calls_total{kind=\"RecoveryVault\",verb=\"patch-status\",result=\"ok\"} 4\n\
                    breakwater_kubernetes_calls_total{kind=\"BackupPolicy\",verb=\"patch-status\",result=\"conflict\"} 1\n\
                    breakwater_kubernetes_calls_total{kind=\"ProtectedMachine\",verb=\"create\",result=\"ok\"} 9\n\
                    breakwater_leader 1\n";
        assert_eq!(calls_by_verb(page), BTreeMap::from([("create".to_owned(), 9), ("patch-status".to_owned(), 5)]));
    }
}
