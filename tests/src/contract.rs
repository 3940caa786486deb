//! Recorded traffic against our parsers: does anything that a real service said get lost, or misread? And against
//! azure-sim: are its answers shaped like the real ones?
//!
//! Any folder of recordings in the format of backup.md §0 and compute-and-arm.md §K can be checked: one exchange
//! `{request: {method, url, body}, response: {status, headers, body}}` a file, or `{sequence: [exchange, ...]}`.

mod checks;
pub mod differences;
mod fields;
pub mod key;
mod recording;
pub mod shape;
pub mod simulated;
pub mod tour;

use std::{fmt, fs, io, path::Path};

use serde_json::Value;

pub use fields::Kind;
pub use recording::{Exchange, exchanges};
use simulated::{Compared, How, simulated};

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
    /// How its answers compare with azure-sim's, when they were compared.
    pub compared: Option<Compared>,
}

impl FileReport {
    fn new(file: String, outcome: Outcome, checked: Vec<String>) -> Self {
        FileReport { file, outcome, checked, compared: None }
    }

    /// What our parsers lost, and where azure-sim differs: nothing when all is well.
    pub fn failures(&self) -> Vec<String> {
        let lost = if let Outcome::Failed(why) = &self.outcome { why.as_slice() } else { &[] };
        let different = self.compared.iter().flat_map(|compared| &compared.different).map(|why| format!("azure-sim: {why}"));
        lost.iter().cloned().chain(different).collect()
    }

    /// Whether azure-sim gives none of its answers.
    pub fn is_not_modelled(&self) -> bool {
        self.compared.as_ref().is_some_and(|c| c.same == 0 && c.different.is_empty() && !c.not_modelled.is_empty())
    }
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
        self.files.iter().filter(|f| f.outcome == Outcome::Passed && f.failures().is_empty()).count()
    }

    /// How many files are not ours.
    pub fn not_ours(&self) -> usize {
        self.files.iter().filter(|f| matches!(f.outcome, Outcome::NotOurs(_)) && f.failures().is_empty()).count()
    }

    /// The files that failed, in our parsers or by azure-sim's answers.
    pub fn failed(&self) -> Vec<&FileReport> {
        self.files.iter().filter(|f| !f.failures().is_empty()).collect()
    }
}

/// A line a file and a total.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            let failures = file.failures();
            if !failures.is_empty() {
                writeln!(f, "{}: FAILED: {}", file.file, failures.join("; "))?;
                continue;
            }
            match &file.outcome {
                Outcome::NotOurs(what) => write!(f, "{}: not ours: {what}", file.file)?,
                _ => write!(f, "{}: ok ({} values)", file.file, file.checked.len())?,
            }
            match &file.compared {
                Some(compared) => writeln!(f, "; azure-sim: {compared}")?,
                None => writeln!(f)?,
            }
        }
        let values: usize = self.files.iter().map(|file| file.checked.len()).sum();
        let same: usize = self.files.iter().filter_map(|file| file.compared.as_ref()).map(|compared| compared.same).sum();
        let foreign = self.files.iter().filter(|file| file.is_not_modelled()).count();
        let (all, passed, not_ours, failed) = (self.files.len(), self.passed(), self.not_ours(), self.failed().len());
        write!(
            f,
            "{all} files: {passed} ok, {not_ours} not ours, {failed} failed; {values} values read without loss; \
             {same} answers of azure-sim shaped as recorded, {foreign} files not modelled by it"
        )
    }
}

/// What came of one file's answers, in words.
impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<String> = self
            .not_modelled
            .iter()
            .map(|one| match one.how {
                How::Refused => format!("{} (501)", one.key),
                How::NeverShown => one.key.to_string(),
            })
            .collect();
        match (self.same, missing.len()) {
            (0, 0) => write!(f, "nothing to compare"),
            (same, 0) => write!(f, "ok ({same} answers)"),
            (0, _) => write!(f, "not modelled: {}", missing.join(", ")),
            (same, _) => write!(f, "ok ({same} answers), not modelled: {}", missing.join(", ")),
        }
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
            Ok(recording) => FileReport { compared: compare_recording(&recording), ..check_recording(&name, &recording) },
            Err(error) => FileReport::new(name, Outcome::Failed(vec![format!("no JSON: {error}")]), Vec::new()),
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

/// Checks one recording against our parsers: a single exchange or a sequence.
pub fn check_recording(name: &str, recording: &Value) -> FileReport {
    let file = name.to_owned();
    let exchanges = match exchanges(recording) {
        Ok(exchanges) => exchanges,
        Err(why) => return FileReport::new(file, Outcome::Failed(vec![why]), Vec::new()),
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
    FileReport::new(file, outcome, findings.checked)
}

/// Holds a recording's answers against azure-sim's; nothing when it is no recording of ARM's traffic.
pub fn compare_recording(recording: &Value) -> Option<Compared> {
    let exchanges = exchanges(recording).ok()?;
    let mut compared = Compared::default();
    for exchange in exchanges.iter().filter(|exchange| is_arm(&exchange.path)) {
        simulated().compare(exchange, &mut compared);
    }
    (compared != Compared::default()).then_some(compared)
}

/// Whether a path is Resource Manager's, and not a login's or a data plane's.
fn is_arm(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.starts_with("/subscriptions") || lower.starts_with("/providers/")
}
