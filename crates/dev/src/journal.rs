//! azure-sim's journal: one JSON object a line, one line a request. It is the oracle of the tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// A journal file that a simulator writes.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

impl Journal {
    /// The journal at `path`; it need not exist yet.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every whole line so far; empty before the first request.
    ///
    /// # Errors
    /// A line that is not JSON.
    pub fn requests(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        // The last line may be half written; every other one ends.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| format!("{}: {line}", self.path.display()))).collect()
    }

    /// How many requests of each method there were.
    ///
    /// # Errors
    /// As [`Journal::requests`].
    pub fn counts(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for request in self.requests()? {
            *counts.entry(request["method"].as_str().unwrap_or("?").to_owned()).or_default() += 1;
        }
        Ok(counts)
    }
}
