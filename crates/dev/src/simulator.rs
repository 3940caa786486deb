//! azure-sim as a process: an estate, a clock that may run fast, a journal, and the admin door for faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::Value;

use crate::child::{Child, Program, first_line};
use crate::http::Http;
use crate::journal::Journal;

/// How long it may take to print its ports.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long it may take to end when asked.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder for its logs, its CA and its journal.
    pub dir: PathBuf,
    /// The estate file.
    pub estate: PathBuf,
    /// What `${NAME}` in the estate file stands for.
    pub values: Vec<(String, String)>,
    /// How many times faster than the wall its clock runs.
    pub clock_factor: u32,
    /// World time at the start (RFC 3339).
    pub clock_origin: String,
    /// Decides everything in it that looks random.
    pub seed: u64,
    /// A CA whose servers it trusts when it fetches an issuer's keys.
    pub trust_ca: Option<PathBuf>,
}

/// The one line it prints when it is ready: three origins and a file.
#[derive(Clone, Debug, Deserialize)]
struct Doors {
    http: String,
    https: String,
    admin: String,
    ca: PathBuf,
}

/// A running simulator. Dropping it kills it.
#[derive(Debug)]
pub struct Simulator {
    child: Child,
    doors: Doors,
    journal: Journal,
    http: Http,
}

impl Simulator {
    /// Starts `azure_sim` on free ports and waits for the line that says which.
    ///
    /// # Errors
    /// It ends (an estate it cannot read, say), or prints nothing in time; with the tail of its log.
    pub fn start(azure_sim: &Path, launcher: &Path, settings: &Settings) -> Result<Self> {
        let dir = &settings.dir;
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let journal = dir.join("journal.jsonl");
        let mut args: Vec<std::ffi::OsString> = vec!["serve".into()];
        args.extend(["--http-port", "0", "--https-port", "0", "--admin-port", "0"].map(Into::into));
        args.extend(["--estate".into(), settings.estate.clone().into_os_string()]);
        args.extend(["--ca-out".into(), dir.join("azure-sim-ca.crt").into_os_string()]);
        args.extend(["--journal".into(), journal.clone().into_os_string()]);
        args.extend(["--clock-factor".into(), settings.clock_factor.to_string().into()]);
        args.extend(["--clock-origin".into(), settings.clock_origin.clone().into()]);
        args.extend(["--seed".into(), settings.seed.to_string().into()]);
        for (name, value) in &settings.values {
            args.extend(["--set".into(), format!("{name}={value}").into()]);
        }
        if let Some(ca) = &settings.trust_ca {
            args.extend(["--trust-ca".into(), ca.clone().into_os_string()]);
        }
        let program = Program { name: "azure-sim".into(), path: azure_sim.into(), args, env: Vec::new(), logs: dir.join("logs") };
        // What an earlier run printed is not what this one prints.
        let _ = fs::remove_file(program.logs.join("azure-sim.out"));
        let mut child = Child::start(launcher, program)?;
        let line = first_line(&mut child, READY_WITHIN)?;
        let doors: Doors = serde_json::from_str(&line).with_context(|| format!("azure-sim's first line: {line}"))?;
        Ok(Self { child, doors, journal: Journal::at(journal), http: Http::new()? })
    }

    /// The origin of ARM and Entra over HTTPS.
    pub fn https(&self) -> &str {
        &self.doors.https
    }

    /// The same over plain HTTP on loopback.
    pub fn http(&self) -> &str {
        &self.doors.http
    }

    /// The origin of the admin door.
    pub fn admin(&self) -> &str {
        &self.doors.admin
    }

    /// The CA of its HTTPS door.
    pub fn ca(&self) -> &Path {
        &self.doors.ca
    }

    /// Every request it ever got, with what it answered.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// `WALL=WORLD`: one instant by our clock, and what the simulator's clock showed then.
    ///
    /// # Errors
    /// As [`Simulator::ask`].
    pub fn world_origin(&self) -> Result<String> {
        let before = jiff::Timestamp::now();
        let clock = self.ask("/clock")?;
        // The answer was made somewhere between asking and hearing.
        let wall = before + before.duration_until(jiff::Timestamp::now()) / 2;
        let world = clock["now"].as_str().with_context(|| format!("the simulator's clock: {clock}"))?;
        Ok(format!("{wall}={world}"))
    }

    /// GET at the admin door.
    ///
    /// # Errors
    /// Transport, a status other than 2xx (with the body), a body that is not JSON.
    pub fn ask(&self, path: &str) -> Result<Value> {
        self.admin_call("GET", path, "")
    }

    /// POST at the admin door.
    ///
    /// # Errors
    /// As [`Simulator::ask`].
    pub fn tell(&self, path: &str, body: &Value) -> Result<Value> {
        self.admin_call("POST", path, &body.to_string())
    }

    /// DELETE at the admin door: `/faults`, `/faults?id=ID`.
    ///
    /// # Errors
    /// As [`Simulator::ask`].
    pub fn withdraw(&self, path: &str) -> Result<Value> {
        self.admin_call("DELETE", path, "")
    }

    fn admin_call(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let url = format!("{}{path}", self.doors.admin);
        let (status, text) = self.http.call(method, &url, &[], body)?;
        if !(200..300).contains(&status) {
            bail!("{method} {url}: {status}: {text}");
        }
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{method} {url}: not JSON: {text}"))
    }

    /// Any request at the plain HTTP door of ARM and Entra, as somebody who is not the operator: status and body.
    ///
    /// # Errors
    /// Transport only.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
        self.http.call(method, &format!("{}{path}", self.doors.http), headers, body)
    }

    /// Stops time for the process (`kill -STOP`): connections are accepted, nothing is answered.
    ///
    /// # Errors
    /// It is gone.
    pub fn freeze(&self) -> Result<()> {
        self.child.signal(Signal::SIGSTOP)
    }

    /// Undoes [`Simulator::freeze`].
    ///
    /// # Errors
    /// It is gone.
    pub fn thaw(&self) -> Result<()> {
        self.child.signal(Signal::SIGCONT)
    }

    /// Ends it.
    ///
    /// # Errors
    /// The system refuses to say whether it ended.
    pub fn stop(mut self) -> Result<()> {
        self.child.stop(STOP_WITHIN).map(drop)
    }
}
