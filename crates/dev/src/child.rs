//! Child processes that never outlive us.
//!
//! Each is started as `dev __run-child PARENT PROGRAM ARGS...`, which asks the kernel for SIGKILL on its parent's
//! death and then becomes the program under the same process id. So nothing is left behind even when the parent
//! is killed with -9. The kernel watches the *thread* that started the child, not the process: all children are
//! therefore started by one thread that lasts as long as the process does.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, getppid};

/// The hidden subcommand of `dev` that [`run`] serves.
pub const RUN_CHILD: &str = "__run-child";

/// How often we look whether something has happened to a child.
const GLANCE: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Clone, Debug)]
pub struct Program {
    /// The name for messages and for the log files.
    pub name: String,
    /// The binary.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables beside the inherited ones.
    pub env: Vec<(String, String)>,
    /// Where `NAME.out` (standard output) and `NAME.log` (standard error) go.
    pub logs: PathBuf,
}

/// How a child ended when we asked it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was over within the time given.
    Gentle,
    /// It had to be killed.
    Killed,
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    program: Program,
    process: std::process::Child,
}

impl Child {
    /// Starts `program` through the `dev` binary at `launcher`; its logs are appended to.
    ///
    /// # Errors
    /// A log file that cannot be opened, or a process that cannot be made.
    pub fn start(launcher: &Path, program: Program) -> Result<Self> {
        fs::create_dir_all(&program.logs).with_context(|| format!("creating {}", program.logs.display()))?;
        let mut command = Command::new(launcher);
        command
            .arg(RUN_CHILD)
            .arg(std::process::id().to_string())
            .arg(&program.path)
            .args(&program.args)
            .envs(program.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(append(&log_path(&program, "out"))?)
            .stderr(append(&log_path(&program, "log"))?)
            // A Ctrl-C in the terminal is ours to handle, in the right order.
            .process_group(0);
        let process = spawn_from_lasting_thread(command).with_context(|| format!("starting {}", program.name))?;
        Ok(Self { program, process })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// Its standard error.
    pub fn log(&self) -> PathBuf {
        log_path(&self.program, "log")
    }

    /// Its standard output.
    pub fn out(&self) -> PathBuf {
        log_path(&self.program, "out")
    }

    /// How it ended, `None` while it runs.
    ///
    /// # Errors
    /// The system refuses to say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.try_wait().with_context(|| format!("asking after {}", self.program.name))
    }

    /// Fails, with the tail of the log, when the child has ended by itself.
    ///
    /// # Errors
    /// The child is over.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {}\n{}", self.program.name, told(status), self.log_tail(20)),
        }
    }

    /// The last lines of its standard error, for error messages.
    pub fn log_tail(&self, lines: usize) -> String {
        let path = self.log();
        let text = fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let skip = text.lines().count().saturating_sub(lines);
        let tail: Vec<String> = text.lines().skip(skip).map(|line| format!("    {line}")).collect();
        format!("the end of {}:\n{}", path.display(), tail.join("\n"))
    }

    /// Sends a signal, SIGSTOP and SIGCONT included.
    ///
    /// # Errors
    /// The process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal::kill(self.unix_pid(), signal).with_context(|| format!("sending {signal} to {}", self.program.name))
    }

    /// Asks the child to end, waits for `patience`, then kills it.
    ///
    /// # Errors
    /// The system refuses to say whether it ended.
    pub fn stop(&mut self, patience: Duration) -> Result<Ending> {
        if self.ended()?.is_some() {
            return Ok(Ending::Gentle);
        }
        self.signal(Signal::SIGTERM)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.ended()?.is_some() {
                return Ok(Ending::Gentle);
            }
            thread::sleep(GLANCE);
        }
        self.kill()?;
        Ok(Ending::Killed)
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// The system refuses.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            self.process.kill().with_context(|| format!("killing {}", self.program.name))?;
            self.process.wait().with_context(|| format!("waiting for {}", self.program.name))?;
        }
        Ok(())
    }

    fn unix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).expect("process ids fit in an i32"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already gone is as good; there is nobody left to tell of anything else.
        let _ = self.kill();
    }
}

/// Becomes `program`, tied to the life of the process `parent`. Returns only when that fails.
///
/// # Errors
/// The parent is already gone, or the program cannot be run.
pub fn run(parent: &str, program: &OsString, args: &[OsString]) -> Result<std::convert::Infallible> {
    prctl::set_pdeathsig(Signal::SIGKILL).context("asking for a signal on the parent's death")?;
    // The parent may have died before the line above; then nobody would ever tell us.
    if getppid().to_string() != parent {
        bail!("the parent {parent} is gone");
    }
    Err(Command::new(program).args(args).exec()).with_context(|| format!("running {}", program.display()))
}

/// The first whole line of a child's standard output: how ours say which ports they took.
///
/// # Errors
/// The child ends, or prints nothing within `patience`; with the tail of its log.
pub fn first_line(child: &mut Child, patience: Duration) -> Result<String> {
    let deadline = Instant::now() + patience;
    loop {
        let printed = fs::read_to_string(child.out()).unwrap_or_default();
        if let Some((line, _)) = printed.split_once('\n') {
            return Ok(line.to_owned());
        }
        child.must_run()?;
        if Instant::now() >= deadline {
            bail!("{} printed nothing within {} s\n{}", child.name(), patience.as_secs(), child.log_tail(20));
        }
        thread::sleep(GLANCE);
    }
}

fn log_path(program: &Program, extension: &str) -> PathBuf {
    program.logs.join(format!("{}.{extension}", program.name))
}

fn append(path: &Path) -> Result<File> {
    File::options().create(true).append(true).open(path).with_context(|| format!("opening {}", path.display()))
}

fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    }
}

type Job = (Command, mpsc::Sender<std::io::Result<std::process::Child>>);

/// See the module's comment: a test's thread ends long before the plane that it started for all tests.
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<std::process::Child> {
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // The asker waits for the answer below, so it is there to get it.
                let _ = answer.send(command.spawn());
            }
        });
        jobs
    });
    let (answer, outcome) = mpsc::channel();
    spawner.send((command, answer)).expect("the spawner thread lasts as long as the process");
    outcome.recv().expect("the spawner answers every job")
}
