//! The real kubectl, as a user runs it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Between two looks at what is waited for. A look is a process, and takes a tenth of a second of an idle core or a second of a
/// busy one.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(2500);

/// kubectl with one kubeconfig, and a discovery cache of its own.
///
/// kubectl keys its cache by host and port, and ports are used again by the next plane.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// kubectl at `program`, as the user of `kubeconfig`, with its cache in `cache`.
    pub fn new(program: &Path, kubeconfig: &Path, cache: &Path) -> Self {
        Self { program: program.to_owned(), kubeconfig: kubeconfig.to_owned(), cache: cache.to_owned() }
    }

    /// The command with `args`, not yet run.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", &self.cache).stdin(Stdio::null());
        command
    }

    /// Standard output of `kubectl ARGS`.
    ///
    /// # Errors
    /// A non-zero exit, with what kubectl said.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output().context("running kubectl")?;
        read(args, &output)
    }

    /// `kubectl ARGS` with `input` on standard input, for `apply -f -` and the like.
    ///
    /// # Errors
    /// A non-zero exit, with what kubectl said.
    pub fn run_with(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("running kubectl")?;
        let mut stdin = child.stdin.take().expect("standard input was asked to be piped");
        stdin.write_all(input.as_bytes()).context("writing to kubectl")?;
        drop(stdin);
        let output = child.wait_with_output().context("waiting for kubectl")?;
        read(args, &output)
    }

    /// Applies `manifests`, one or more YAML documents.
    ///
    /// # Errors
    /// As [`Kubectl::run`]: the server's refusal is in the message.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        self.run_with(&["apply", "-f", "-"], manifests)
    }

    /// What the server says when it refuses `manifests`.
    ///
    /// # Errors
    /// It did not refuse.
    pub fn refusal_of(&self, manifests: &str) -> Result<String> {
        match self.apply(manifests) {
            Ok(said) => bail!("the API server accepted what it should refuse: {}", said.trim()),
            Err(refusal) => Ok(refusal.to_string()),
        }
    }

    /// `kubectl ARGS -o json`, parsed.
    ///
    /// # Errors
    /// As [`Kubectl::run`], and an answer that is not JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.run(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("kubectl {}: not JSON", args.join(" ")))
    }

    /// The items of `kubectl get ARGS -o json`.
    ///
    /// # Errors
    /// As [`Kubectl::json`].
    pub fn items(&self, args: &[&str]) -> Result<Vec<Value>> {
        let list = self.json(&[&["get"], args].concat())?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Asks again and again until `done` gives a value, at most for `patience`.
    ///
    /// # Errors
    /// The time is over: `what` was waited for, and the last error or answer.
    pub fn wait_until<T>(&self, what: &str, patience: Duration, args: &[&str], done: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            let asked = Instant::now();
            let seen = self.json(args);
            if let Some(value) = seen.as_ref().ok().and_then(&done) {
                return Ok(value);
            }
            if Instant::now() >= deadline {
                let last = seen.map_or_else(|error| format!("{error:#}"), |value| format!("{value:#}"));
                bail!("{what}: not within {} s; last seen by kubectl {}:\n{last}", patience.as_secs(), args.join(" "));
            }
            // Who waits leaves most of the machine to what he waits for.
            thread::sleep((asked.elapsed() * 3).clamp(SHORTEST_PAUSE, LONGEST_PAUSE));
        }
    }
}

fn read(args: &[&str], output: &Output) -> Result<String> {
    if !output.status.success() {
        bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout.clone()).with_context(|| format!("kubectl {}: not UTF-8", args.join(" ")))
}
