//! The shipped binary as a process, with a real API server and azure-sim over HTTPS: its memory, and how soon an edit leads to
//! a request.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use breakwater_dev::{
    progress::Progress,
    runs,
    stack::{Settings, Stack, Tools},
    workspace,
};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::json;

use super::{
    layout::{Layout, Limits},
    table::{Row, Verdict},
};

/// How many times faster than ours the simulated world runs: protection takes a second instead of a minute.
const CLOCK_FACTOR: u32 = 120;

/// Edits whose way to Azure is timed, in each state.
const EDITS: usize = 25;

/// Between two edits: the last one's operation is over.
const BETWEEN_EDITS: Duration = Duration::from_millis(1_500);

/// Goals of the issue, in KiB and on the wall.
const IDLE_GOAL_KIB: u64 = 25 * 1024;
const FULL_GOAL_KIB: u64 = 64 * 1024;
const IDLE_REACTION: Duration = Duration::from_millis(100);
const BUSY_REACTION: Duration = Duration::from_millis(500);

/// Which build of the operator is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The one that tests use.
    Debug,
    /// The one that ships; built by cargo first, which takes minutes.
    Release,
}

/// The binaries of a build.
///
/// # Errors
/// A build that fails.
pub fn tools(build: Build) -> Result<Tools> {
    let progress = Progress::start();
    let mut tools = Tools::find_or_build(&progress)?;
    if build == Build::Release {
        progress.step("cargo: building the operator and azure-sim for release");
        let args = ["build", "--quiet", "--release", "-p", "breakwater-operator", "-p", "azure-sim"];
        ensure!(workspace::cargo().args(args).status().context("cargo build")?.success(), "the release build failed");
        let dir = workspace::target_dir()?.join("release");
        (tools.own.operator, tools.own.azure_sim) = (dir.join("breakwater-operator"), dir.join("azure-sim"));
    }
    Ok(tools)
}

/// What a process holds, in KiB; none when it is gone.
pub fn resident_kib(pid: u32) -> Option<u64> {
    of_status(pid, "VmRSS:")
}

fn of_status(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// Runs a fleet on real processes. The limits of the pretend Azure are lifted, since it is memory that is asked for; the
/// operator keeps to its own budget all the same.
///
/// # Errors
/// Something does not start, or the fleet is not protected within `patience`.
pub fn rows(tools: &Tools, build: Build, machines: usize, vaults: usize, patience: Duration) -> Result<Vec<Row>> {
    let progress = Progress::start();
    let layout = Layout { limits: Limits::Lifted, ..Layout::of(machines, vaults) };
    let dir = runs::folder("bench", "fleet")?;
    let estate_file = dir.with_extension("estate.yaml");
    fs::create_dir_all(dir.parent().expect("a folder of runs has a parent"))?;
    fs::write(&estate_file, layout.estate_yaml()).context("writing the estate")?;
    let settings = Settings { estate_file, estate: "fleet".into(), log_filter: "warn".into(), ..Settings::shop(dir, CLOCK_FACTOR) };
    let mut stack = Stack::start(tools, &settings, &progress)?;
    thread::sleep(Duration::from_secs(20));
    let idle = resident_kib(stack.operator().pid()).context("the operator is gone")?;

    let manifests = layout.manifests();
    let (small, rest): (Vec<_>, Vec<_>) = manifests.into_iter().partition(|m| m["kind"] != "BackupPolicy");
    apply(&stack, &small)?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=300s", "-A", "rvault", "--all"];
    stack.kubectl().run(&ready).context("the vaults")?;
    let journal = stack.simulator().journal().path().to_owned();
    let editor = Editor::new(stack.plane().kubeconfig(), journal)?;
    progress.step("timing edits of an idle operator");
    let calm = editor.times(EDITS)?;
    progress.step(format!("{machines} machines: protecting them"));
    apply(&stack, &rest)?;
    let began = Instant::now();
    let mut busy = Vec::new();
    loop {
        stack.must_run()?;
        let protected = protected(&stack)?;
        progress.step(format!("{protected} of {machines} are protected after {} s", began.elapsed().as_secs()));
        if protected >= machines || began.elapsed() > patience {
            break;
        }
        // Not before the machines are there, and not when they are nearly all done: the line is long in between.
        if protected > machines / 10 && busy.len() < EDITS {
            busy.extend(editor.times(5)?);
        }
        thread::sleep(Duration::from_secs(5));
    }
    let (done, took) = (protected(&stack)?, began.elapsed());
    thread::sleep(Duration::from_secs(30));
    let pid = stack.operator().pid();
    let (full, peak) = (resident_kib(pid).context("the operator is gone")?, of_status(pid, "VmHWM:").unwrap_or(0));
    let calls = stack.operator().kubernetes_calls().map(|calls| format!("{calls:?}")).unwrap_or_default();
    stack.stop()?;
    let told = format!(
        "{done} of {machines} protected in {:.0} s of the wall; peak {:.1} MiB; calls to Kubernetes: {calls}",
        took.as_secs_f64(),
        mib(peak)
    );
    Ok(vec![
        memory(build, "idle", idle, IDLE_GOAL_KIB, String::new()),
        memory(build, &format!("{done} machines in {vaults} vaults"), full, FULL_GOAL_KIB, told),
        reaction(build, "idle", calm, IDLE_REACTION),
        reaction(build, &format!("{machines} machines busy"), busy, BUSY_REACTION),
    ])
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn memory(build: Build, state: &str, kib: u64, goal: u64, because: String) -> Row {
    let verdict = if build == Build::Release { Verdict::of(kib <= goal) } else { Verdict::Told };
    Row::new(
        format!("RSS of the operator ({build:?}), {state}"),
        format!("<= {} MiB", goal / 1024),
        format!("{:.1} MiB", mib(kib)),
        verdict,
        because,
    )
}

fn reaction(build: Build, state: &str, mut times: Vec<Duration>, goal: Duration) -> Row {
    times.sort();
    let what = format!("an edit to its first request ({build:?}), {state}, p99 of {}", times.len());
    let goal_in_words = format!("<= {:.1} s", goal.as_secs_f64());
    let Some(worst) = times.last().copied() else {
        return Row::new(what, goal_in_words, "not measured", Verdict::Told, "the fleet was protected before an edit could be timed");
    };
    let half = times[times.len() / 2];
    let because = format!(
        "half of them within {:.0} ms; of so few, p99 is the largest; the API server's own answer is in it",
        half.as_secs_f64() * 1_000.0
    );
    Row::new(what, goal_in_words, format!("{:.0} ms", worst.as_secs_f64() * 1_000.0), Verdict::of(worst <= goal), because)
}

fn apply(stack: &Stack, manifests: &[serde_json::Value]) -> Result<()> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests });
    stack.kubectl().apply(&list.to_string()).map(drop)
}

/// What the policies count.
fn protected(stack: &Stack) -> Result<usize> {
    let policies = stack.kubectl().items(&["backuppolicies", "-A"])?;
    Ok(policies.iter().filter_map(|policy| policy["status"]["protected"].as_u64()).sum::<u64>() as usize)
}

/// Edits a vault as a person does, and watches the pretend Azure for what it leads to.
struct Editor {
    runtime: tokio::runtime::Runtime,
    vaults: Api<DynamicObject>,
    journal: PathBuf,
}

impl Editor {
    fn new(kubeconfig: &Path, journal: PathBuf) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        let kind =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("breakwater.io", "v1alpha1", "RecoveryVault"), "recoveryvaults");
        let vaults = Api::namespaced_with(client, &Layout::namespace_of(0), &kind);
        Ok(Self { runtime, vaults, journal })
    }

    /// From the moment at which an edit is sent to the first request to that vault, so many times.
    fn times(&self, edits: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        for _ in 0..edits {
            thread::sleep(BETWEEN_EDITS);
            times.push(self.time()?);
        }
        Ok(times)
    }

    fn time(&self) -> Result<Duration> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let mut journal = File::open(&self.journal).context("the journal")?;
        journal.seek(SeekFrom::End(0))?;
        let began = Instant::now();
        let token = uuid::Uuid::new_v4().to_string();
        let edit = json!({ "spec": { "tags": { "edited": token } } });
        self.runtime.block_on(self.vaults.patch("main", &PatchParams::default(), &Patch::Merge(&edit)))?;
        let mut text = String::new();
        loop {
            journal.read_to_string(&mut text)?;
            // What is sent carries the edit: whatever else is asked of the vault in passing is not meant.
            if text.lines().any(|line| line.contains("\"PATCH\"") && line.contains(&token)) {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < PATIENCE, "an edit led to nothing within {} s", PATIENCE.as_secs());
            thread::sleep(Duration::from_millis(2));
        }
    }
}
