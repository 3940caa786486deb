//! `cargo dev up` and `cargo dev down`: a stack that outlives the command which started it.
//!
//! `up` leaves a supervisor behind, in a session of its own; the stack's processes are its children and die with
//! it. What it knows is in `target/dev/NAME/state.json`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, setsid};
use serde::{Deserialize, Serialize};

use crate::progress::Progress;
use crate::stack::{Settings, Stack, Tools};
use crate::workspace;

/// The hidden subcommand of `dev` that the supervisor runs as.
pub const SUPERVISE: &str = "__supervise";

/// How long `down` waits for an orderly end before it kills.
const DOWN_WITHIN: Duration = Duration::from_secs(60);

/// What `up` leaves for `down`, and for a person who wants to know.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The stack's name.
    pub name: String,
    /// The supervisor's process id.
    pub supervisor: u32,
    /// Where everything is, once it is ready.
    pub ready: Option<Ready>,
}

/// Where the parts of a running stack are.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The admin's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The API server.
    pub server: String,
    /// ARM and Entra.
    pub azure: String,
    /// The CA of that origin.
    pub azure_ca: PathBuf,
    /// The simulator's admin door.
    pub azure_admin: String,
    /// The operator's /healthz, /readyz and /metrics.
    pub operator: String,
}

impl Ready {
    /// Where the parts of `stack` are.
    pub fn of(stack: &Stack) -> Self {
        let (plane, simulator) = (stack.plane(), stack.simulator());
        Self {
            kubeconfig: plane.kubeconfig().to_owned(),
            server: plane.server(),
            azure: simulator.https().to_owned(),
            azure_ca: simulator.ca().to_owned(),
            azure_admin: simulator.admin().to_owned(),
            operator: stack.operator().health().to_owned(),
        }
    }

    /// How to use the stack from another shell.
    pub fn advice(&self) -> String {
        format!(
            "In another shell:\n\n    export KUBECONFIG={}\n    kubectl get breakwater -A\n\n\
             Azure: {} (CA {})\nIts admin door, for faults and the clock: {}\nThe operator: {}/metrics\n",
            self.kubeconfig.display(),
            self.azure,
            self.azure_ca.display(),
            self.azure_admin,
            self.operator
        )
    }
}

/// The folder of the stack called `name`.
///
/// # Errors
/// Cargo does not say where it builds to.
pub fn dir(name: &str) -> Result<PathBuf> {
    Ok(workspace::target_dir()?.join("dev").join(name))
}

/// Starts a supervisor for a stack called `name` and waits until the stack is ready, showing its progress.
///
/// # Errors
/// One of that name runs already; or it does not start, for the reason shown.
pub fn up(name: &str, clock_factor: u32, progress: &Progress) -> Result<Ready> {
    let dir = dir(name)?;
    if running(&dir)?.is_some() {
        bail!("{name} is up already; `cargo dev down --name {name}` ends it");
    }
    // Built here, where the user sees it, and found again by the supervisor.
    let tools = Tools::find_or_build(progress)?;
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let log = dir.join("supervisor.log");
    let log_file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut supervisor = Command::new(&tools.own.dev)
        .args([SUPERVISE, "--name", name, "--clock-factor", &clock_factor.to_string()])
        .env(workspace::BIN_DIR, tools.own.dev.parent().expect("a binary lies in a folder"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        .spawn()
        .context("starting the supervisor")?;
    let mut shown = File::open(&log).with_context(|| format!("opening {}", log.display()))?;
    loop {
        show_more(&mut shown)?;
        if let Some(ready) = read_state(&dir).and_then(|state| state.ready) {
            show_more(&mut shown)?;
            return Ok(ready);
        }
        if let Some(status) = supervisor.try_wait().context("asking after the supervisor")? {
            show_more(&mut shown)?;
            bail!("the stack did not start ({status}); its log is {}", log.display());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Ends the stack called `name`.
///
/// # Errors
/// It cannot be ended. That none runs is no error: `false` says so.
pub fn down(name: &str) -> Result<bool> {
    let dir = dir(name)?;
    let Some(state) = running(&dir)? else { return Ok(false) };
    let pid = Pid::from_raw(i32::try_from(state.supervisor).context("the supervisor's process id")?);
    signal::kill(pid, Signal::SIGTERM).context("asking the supervisor to end")?;
    let deadline = Instant::now() + DOWN_WITHIN;
    while running(&dir)?.is_some() {
        if Instant::now() >= deadline {
            // Its children die with it.
            signal::kill(pid, Signal::SIGKILL).context("killing the supervisor")?;
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let _ = fs::remove_file(state_file(&dir));
    Ok(true)
}

/// The supervisor itself: starts the stack, keeps it, ends it on SIGTERM.
///
/// # Errors
/// The stack does not start, or a part of it ends by itself.
pub fn supervise(name: &str, clock_factor: u32) -> Result<()> {
    setsid().context("a session of its own")?;
    let dir = dir(name)?;
    let interrupt = Interrupt::listen()?;
    let mut state = State { name: name.to_owned(), supervisor: std::process::id(), ready: None };
    write_state(&dir, &state)?;
    let progress = Progress::start();
    let outcome = keep(&dir, clock_factor, &progress, &mut state, &interrupt);
    let _ = fs::remove_file(state_file(&dir));
    outcome
}

fn keep(dir: &Path, clock_factor: u32, progress: &Progress, state: &mut State, interrupt: &Interrupt) -> Result<()> {
    let tools = Tools::find_or_build(progress)?;
    let mut stack = Stack::start(&tools, &Settings::shop(dir.join("stack"), clock_factor), progress)?;
    state.ready = Some(Ready::of(&stack));
    write_state(dir, state)?;
    while !interrupt.within(Duration::from_secs(1)) {
        stack.must_run()?;
    }
    stack.stop()
}

/// The stack that runs in `dir`: its supervisor is alive and is one of ours.
fn running(dir: &Path) -> Result<Option<State>> {
    let Some(state) = read_state(dir) else { return Ok(None) };
    let command = fs::read(format!("/proc/{}/cmdline", state.supervisor)).unwrap_or_default();
    let mut words = command.split(|byte| *byte == 0);
    let ours = words.any(|word| word == SUPERVISE.as_bytes()) && words.any(|word| word == state.name.as_bytes());
    Ok(ours.then_some(state))
}

fn state_file(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

/// `None` when there is no stack, and while the file is being replaced.
fn read_state(dir: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(state_file(dir)).ok()?).ok()
}

fn write_state(dir: &Path, state: &State) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    let scratch = dir.join("state.json.new");
    fs::write(&scratch, serde_json::to_vec_pretty(state).context("the state as JSON")?).context("writing the state")?;
    fs::rename(&scratch, state_file(dir)).context("keeping the state")
}

fn show_more(log: &mut File) -> Result<()> {
    let mut text = Vec::new();
    let from = log.stream_position().context("reading the supervisor's log")?;
    log.read_to_end(&mut text).context("reading the supervisor's log")?;
    // Whole lines only; the rest comes with the next look.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    log.seek(SeekFrom::Start(from + whole as u64)).context("reading the supervisor's log")?;
    std::io::stderr().write_all(&text[..whole]).context("showing the supervisor's log")
}

/// Ctrl-C and SIGTERM, as something to wait for.
#[derive(Debug)]
pub struct Interrupt {
    signals: mpsc::Receiver<()>,
}

impl Interrupt {
    /// From now on both signals end no process by themselves.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime for signals")?;
        let (sender, signals) = mpsc::channel();
        let (installed, done) = mpsc::channel();
        thread::spawn(move || {
            runtime.block_on(async move {
                let streams = signal(SignalKind::interrupt()).and_then(|one| Ok((one, signal(SignalKind::terminate())?)));
                let (mut interrupt, mut terminate) = match streams {
                    Ok(streams) => streams,
                    Err(error) => return drop(installed.send(Err(error))),
                };
                let _ = installed.send(Ok(()));
                loop {
                    tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                    if sender.send(()).is_err() {
                        return;
                    }
                }
            });
        });
        done.recv().map_err(|_| anyhow!("the thread for signals ended"))?.context("listening for Ctrl-C")?;
        Ok(Self { signals })
    }

    /// Waits at most `patience` for a signal; whether one came.
    pub fn within(&self, patience: Duration) -> bool {
        self.signals.recv_timeout(patience).is_ok()
    }
}
