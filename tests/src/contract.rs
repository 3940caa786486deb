//! Recorded traffic against our parsers: does anything that a real service said get lost, or misread?
//!
//! Any folder of recordings in the format of backup.md §0 and compute-and-arm.md §K can be checked: one exchange
//! `{request: {method, url, body}, response: {status, headers, body}}` a file, or `{sequence: [exchange, ...]}`.

mod checks;
mod fields;
mod recording;

use std::{fmt, fs, io, path::Path};

use serde_json::Value;

pub use fields::Kind;
pub use recording::{Exchange, exchanges};

/// What became of one file.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Everything in it that is ours was understood.
    Passed,
    /// Nothing in it is a request, an operation or an error that we read: the first request's method and type.
    NotOurs(String),
    /// What was lost or misread.
    Failed(Vec<String>),
}

/// One file's line.
#[derive(Clone, Debug, PartialEq)]
pub struct FileReport {
    /// Its path below the folder.
    pub file: String,
    /// What became of it.
    pub outcome: Outcome,
    /// JSON pointers, into the file, of every value that was compared or read.
    pub checked: Vec<String>,
}

/// All files of a folder, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// One entry a file.
    pub files: Vec<FileReport>,
}

impl Report {
    /// How many files passed.
    pub fn passed(&self) -> usize {
        self.files.iter().filter(|f| f.outcome == Outcome::Passed).count()
    }

    /// How many files are not ours.
    pub fn not_ours(&self) -> usize {
        self.files.iter().filter(|f| matches!(f.outcome, Outcome::NotOurs(_))).count()
    }

    /// The files that failed.
    pub fn failed(&self) -> Vec<&FileReport> {
        self.files.iter().filter(|f| matches!(f.outcome, Outcome::Failed(_))).collect()
    }
}

/// A line a file and a total.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            match &file.outcome {
                Outcome::Passed => writeln!(f, "{}: ok ({} values)", file.file, file.checked.len())?,
                Outcome::NotOurs(what) => writeln!(f, "{}: not ours: {what}", file.file)?,
                Outcome::Failed(why) => writeln!(f, "{}: FAILED: {}", file.file, why.join("; "))?,
            }
        }
        let values: usize = self.files.iter().map(|file| file.checked.len()).sum();
        let (all, passed, not_ours, failed) = (self.files.len(), self.passed(), self.not_ours(), self.failed().len());
        write!(f, "{all} files: {passed} ok, {not_ours} not ours, {failed} failed; {values} values read without loss")
    }
}

/// Checks every `.json` file in a folder and the folders below it.
///
/// # Errors
/// When the folder or a file in it cannot be read.
pub fn check_folder(dir: &Path) -> io::Result<Report> {
    let mut files = Vec::new();
    find_json(dir, &mut files)?;
    files.sort();
    let mut report = Report::default();
    for file in files {
        let name = file.strip_prefix(dir).unwrap_or(&file).display().to_string();
        let bytes = fs::read(&file)?;
        report.files.push(match serde_json::from_slice(&bytes) {
            Ok(recording) => check_recording(&name, &recording),
            Err(error) => FileReport { file: name, outcome: Outcome::Failed(vec![format!("no JSON: {error}")]), checked: Vec::new() },
        });
    }
    Ok(report)
}

fn find_json(dir: &Path, found: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            find_json(&path, found)?;
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
            found.push(path);
        }
    }
    Ok(())
}

/// Checks one recording: a single exchange or a sequence.
pub fn check_recording(name: &str, recording: &Value) -> FileReport {
    let file = name.to_owned();
    let exchanges = match exchanges(recording) {
        Ok(exchanges) => exchanges,
        Err(why) => return FileReport { file, outcome: Outcome::Failed(vec![why]), checked: Vec::new() },
    };
    let mut findings = checks::Findings::default();
    let mut first_foreign = None;
    let mut ours = false;
    for exchange in &exchanges {
        match checks::check(exchange, &mut findings) {
            checks::Whose::Ours => ours = true,
            checks::Whose::NotOurs(what) => first_foreign = first_foreign.or(Some(what)),
        }
    }
    if exchanges.is_empty() {
        first_foreign = Some("no verb of ARM's".to_owned());
    }
    let outcome = match first_foreign {
        _ if !findings.failures.is_empty() => Outcome::Failed(findings.failures),
        Some(what) if !ours => Outcome::NotOurs(what),
        _ => Outcome::Passed,
    };
    FileReport { file, outcome, checked: findings.checked }
}
