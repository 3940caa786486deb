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

    /// The requests that change something and were carried out, whatever the answer became.
    ///
    /// # Errors
    /// As [`Journal::requests`].
    pub fn writes(&self) -> Result<Vec<Value>> {
        Ok(self.requests()?.into_iter().filter(|request| request["applied"] == true && changes_something(request)).collect())
    }

    /// The writes of one method whose path ends in `ending`, ASCII case aside.
    ///
    /// # Errors
    /// As [`Journal::requests`].
    pub fn writes_to(&self, method: &str, ending: &str) -> Result<Vec<Value>> {
        let ending = ending.to_ascii_lowercase();
        let is_one = |request: &Value| request["method"] == method && path_of(request).ends_with(&ending);
        Ok(self.writes()?.into_iter().filter(is_one).collect())
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

/// POSTs that only ask: Entra's tokens, and what Azure Backup looks up (crates/arm, the table of acts).
const QUESTIONS: [&str; 3] = ["/token", "/backupstatus", "/recoverypointsrecommendedformove"];

fn changes_something(request: &Value) -> bool {
    match request["method"].as_str() {
        Some("PUT" | "PATCH" | "DELETE") => true,
        Some("POST") => !QUESTIONS.iter().any(|question| path_of(request).ends_with(question)),
        _ => false,
    }
}

/// Lower case, as ARM compares it.
fn path_of(request: &Value) -> String {
    request["path"].as_str().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_what_changed_something() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let lines = [
            r#"{"method":"GET","path":"/subscriptions/s","applied":true}"#,
            r#"{"method":"PUT","path":"/subscriptions/s/vaults/v","applied":true}"#,
            r#"{"method":"PUT","path":"/subscriptions/s/vaults/v","applied":false}"#,
            r#"{"method":"POST","path":"/t/oauth2/v2.0/token","applied":true}"#,
            r#"{"method":"POST","path":"/subscriptions/s/locations/l/backupStatus","applied":true}"#,
            r#"{"method":"POST","path":"/subscriptions/s/protectedItems/i/backup","applied":true}"#,
        ];
        fs::write(&path, format!("{}\n{{\"method\":\"half", lines.join("\n"))).unwrap();
        let journal = Journal::at(path);
        let writes: Vec<String> = journal.writes().unwrap().iter().map(path_of).collect();
        assert_eq!(writes, ["/subscriptions/s/vaults/v", "/subscriptions/s/protecteditems/i/backup"]);
        assert_eq!(journal.writes_to("PUT", "/VAULTS/V").unwrap().len(), 1);
        assert_eq!(journal.counts().unwrap()["POST"], 3);
    }

    #[test]
    fn a_journal_that_is_not_there_yet_is_empty() {
        assert!(Journal::at(PathBuf::from("/nowhere/journal")).requests().unwrap().is_empty());
    }
}
