//! `cargo dev planted`: rules of the product broken on purpose, each shown caught by a named test.
//!
//! The lists are in tests/planted. A copy of the workspace is made in which every broken line is chosen at run time by
//! [`PLANTED`], so that one build serves all bugs and the product's own sources stay clean. Each test that they name must pass
//! in that build with nothing planted, and fail, by its own assertions, with its bug.

mod overlay;
mod play;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

pub use overlay::{Overlay, PLANTED};
pub use table::{Bug, Edit, NamedTest, Table};

use crate::planted::play::{Outcome, Run};
use crate::progress::Progress;
use crate::workspace;

/// Builds the copy, then plays every bug whose name contains `filter`, or all of them, and prints what caught each.
///
/// # Errors
/// A table that is stale, a copy that does not build, a test that fails with nothing planted, or a bug that nothing caught.
pub fn run(filter: Option<&str>) -> Result<()> {
    let progress = Progress::start();
    let root = workspace::root();
    let table = Table::read(root)?;
    let stale = table.stale(root)?;
    if !stale.is_empty() {
        bail!("tests/planted is stale:\n  {}", stale.join("\n  "));
    }
    let folder = workspace::target_dir()?.join("planted");
    let overlay = Overlay::write(root, &folder.join("workspace"), &table.bugs)?;
    progress.step(format!("planted bugs: building the workspace with {} of them", table.bugs.len()));
    let tests = overlay.build(&folder)?;
    let bugs: Vec<&Bug> = table.bugs.iter().filter(|bug| filter.is_none_or(|part| bug.name.contains(part))).collect();
    let logs = folder.join("logs");
    if logs.exists() {
        fs::remove_dir_all(&logs).with_context(|| logs.display().to_string())?;
    }
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let runs = play::runs(&bugs);
    progress.step(format!("playing {} bugs, in {} runs", bugs.len(), runs.len()));
    let outcomes = play::all(&runs, &tests, &overlay, &logs)?;
    let failed = tell(&outcomes, &logs);
    progress.step(format!("{} bugs planted, {} not as they should be", bugs.len(), failed.len()));
    if failed.is_empty() { Ok(()) } else { bail!("planted bugs: {}", failed.join("; ")) }
}

/// Prints the table; answers what is wrong, a line each.
fn tell(outcomes: &[(Run<'_>, Outcome)], logs: &Path) -> Vec<String> {
    let mut failed = Vec::new();
    let name = outcomes.iter().filter_map(|(run, _)| run.bug).map(|bug| bug.name.len()).max().unwrap_or(0);
    let test = outcomes.iter().map(|(run, _)| run.test.to_string().len()).max().unwrap_or(0);
    println!("{:name$}  {:test$}  {:>7}  broken rule", "bug", "caught by", "seconds");
    for (run, outcome) in outcomes {
        let log = logs.join(run.log());
        match (run.bug, outcome.caught()) {
            (Some(bug), Ok(seconds)) => println!("{:name$}  {:test$}  {seconds:>7.1}  {}", bug.name, run.test.to_string(), bug.rule),
            (Some(bug), Err(why)) => failed.push(format!("{} by {}: {why}, see {}", bug.name, run.test, log.display())),
            (None, _) if *outcome == Outcome::Passed => {}
            (None, _) => failed.push(format!("{} does not pass with nothing planted, see {}", run.test, log.display())),
        }
    }
    failed
}
