//! Runs of single tests, with one bug planted or none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::overlay::{Overlay, PLANTED};
use super::table::{Bug, NamedTest, Target};

/// A bug may make a test run for ever: that proves nothing, and is cut here.
const AT_THE_LONGEST: Duration = Duration::from_secs(600);

/// How often we look whether a run is over.
const GLANCE: Duration = Duration::from_millis(20);

/// What a test's process answers when a test failed.
const FAILED: i32 = 101;

/// One test, run once.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What is planted; `None` is nothing.
    pub bug: Option<&'a Bug>,
    /// The test.
    pub test: &'a NamedTest,
}

impl Run<'_> {
    /// The name of the file that holds what it said.
    pub fn log(&self) -> String {
        format!("{}-{}.log", self.bug.map_or("nothing", |bug| bug.name.as_str()), self.test.path.replace("::", "."))
    }
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The test passed.
    Passed,
    /// The test failed, and said what it should, after so many seconds.
    Failed(f64),
    /// It failed with other words than the bug's.
    OtherWords,
    /// It was not over in time.
    Endless,
    /// There is no such test, or its process ended otherwise.
    Broken(String),
}

impl Outcome {
    /// The seconds that it took to catch a bug.
    ///
    /// # Errors
    /// Why it was not caught, in words.
    pub fn caught(&self) -> Result<f64, String> {
        match self {
            Outcome::Failed(seconds) => Ok(*seconds),
            Outcome::Passed => Err("NOT CAUGHT".to_owned()),
            Outcome::OtherWords => Err("it failed, and not with the words of the bug".to_owned()),
            Outcome::Endless => Err(format!("not over after {} s", AT_THE_LONGEST.as_secs())),
            Outcome::Broken(how) => Err(how.clone()),
        }
    }
}

/// Each test once with nothing planted, then each bug under each of its tests.
pub fn runs<'a>(bugs: &[&'a Bug]) -> Vec<Run<'a>> {
    let tests: BTreeSet<&NamedTest> = bugs.iter().flat_map(|bug| &bug.tests).collect();
    let sound = tests.into_iter().map(|test| Run { bug: None, test });
    sound.chain(bugs.iter().flat_map(|bug| bug.tests.iter().map(|test| Run { bug: Some(bug), test }))).collect()
}

/// Plays all runs, as many at a time as there are cores, in the order of the list.
///
/// # Errors
/// A process that cannot be started.
pub fn all<'a>(runs: &[Run<'a>], programs: &BTreeMap<Target, PathBuf>, overlay: &Overlay, logs: &Path) -> Result<Vec<(Run<'a>, Outcome)>> {
    let (next, done) = (Mutex::new(0..runs.len()), Mutex::new(BTreeMap::new()));
    let work = || {
        while let Some(at) = next.lock().ok().and_then(|mut next| next.next()) {
            let target = runs[at].test.target;
            let outcome = programs.get(&target).context("all targets are built");
            let outcome = outcome.and_then(|program| play(&runs[at], program, &overlay.package(target), logs));
            if let Ok(mut done) = done.lock() {
                done.insert(at, outcome);
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let done = done.into_inner().unwrap_or_default();
    done.into_iter().map(|(at, outcome)| Ok((runs[at], outcome?))).collect()
}

fn play(run: &Run<'_>, program: &Path, folder: &Path, logs: &Path) -> Result<Outcome> {
    let log = logs.join(run.log());
    let out = File::create(&log).with_context(|| log.display().to_string())?;
    let err = out.try_clone().context("one file for both")?;
    let mut command = Command::new(program);
    command.args(["--exact", &run.test.path]).current_dir(folder).stdin(Stdio::null()).stdout(out).stderr(err);
    command.env(PLANTED, run.bug.map_or("", |bug| bug.name.as_str()));
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| program.display().to_string())?;
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for a test")? {
            break status;
        }
        if began.elapsed() > AT_THE_LONGEST {
            child.kill().context("ending a test")?;
            child.wait().context("waiting for a test")?;
            return Ok(Outcome::Endless);
        }
        thread::sleep(GLANCE);
    };
    let said = fs::read(&log).with_context(|| log.display().to_string())?;
    let says = run.bug.and_then(|bug| bug.says.as_deref());
    Ok(outcome(status.code(), &String::from_utf8_lossy(&said), says, began.elapsed().as_secs_f64()))
}

/// Reads what a test's process said.
fn outcome(code: Option<i32>, said: &str, says: Option<&str>, seconds: f64) -> Outcome {
    let ends = |line: &str| said.lines().any(|l| l.starts_with(line));
    match code {
        Some(0) if ends("test result: ok. 1 passed;") => Outcome::Passed,
        Some(0) => Outcome::Broken("there is no such test, or it is ignored".to_owned()),
        Some(FAILED) if !ends("test result: FAILED. 0 passed; 1 failed;") => Outcome::Broken("the test's process panicked".to_owned()),
        Some(FAILED) if says.is_none_or(|words| said.contains(words)) => Outcome::Failed(seconds),
        Some(FAILED) => Outcome::OtherWords,
        other => Outcome::Broken(format!("the test's process ended with {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_test_that_ran_and_failed_with_the_words_of_the_bug_has_caught_it() {
        let (passed, none) = ("test result: ok. 1 passed; 0 failed", "test result: ok. 0 passed; 0 failed");
        let failed = "panicked at x:\na write at rest\ntest result: FAILED. 0 passed; 1 failed; 0 ignored";
        let cases = [
            ("passed", outcome(Some(0), passed, None, 1.0), false),
            ("no such test", outcome(Some(0), none, None, 1.0), false),
            ("failed", outcome(Some(101), failed, None, 1.0), true),
            ("failed with its words", outcome(Some(101), failed, Some("at rest"), 1.0), true),
            ("failed with others", outcome(Some(101), failed, Some("the lease"), 1.0), false),
            ("panicked outside the test", outcome(Some(101), "panicked at x", None, 1.0), false),
            ("killed", outcome(None, failed, None, 1.0), false),
            ("endless", Outcome::Endless, false),
        ];
        for (situation, outcome, caught) in cases {
            assert_eq!(outcome.caught().is_ok(), caught, "{situation}: {outcome:?}");
        }
    }

    #[test]
    fn every_test_is_played_with_nothing_planted_first_and_once() {
        let bug = |name: &str| Bug {
            name: name.to_owned(),
            rule: String::new(),
            at: Vec::new(),
            tests: vec![NamedTest::try_from("core a::b".to_owned()).expect("a test")],
            says: None,
        };
        let (one, two) = (bug("one"), bug("two"));
        let all = runs(&[&one, &two]);
        let told: Vec<Option<&str>> = all.iter().map(|run| run.bug.map(|bug| bug.name.as_str())).collect();
        assert_eq!(told, [None, Some("one"), Some("two")]);
    }
}
