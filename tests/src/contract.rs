//! Recorded traffic against our parsers: does anything that a real service said get lost, or misread? And against
//! azure-sim: are its answers shaped like the real ones?
//!
//! Any folder of recordings in the format of backup.md §0 and compute-and-arm.md §K can be checked: one exchange
//! `{request: {method, url, body}, response: {status, headers, body}}` a file, or `{sequence: [exchange, ...]}`.
//!
//! A file fails where our parsers lose or misread something, and where azure-sim's answer lacks something that they
//! read. What azure-sim lacks and nothing of ours reads is told, and is no failure: Azure grows fields every month.

mod checks;
pub mod differences;
mod fields;
pub mod key;
mod known;
mod recording;
pub mod shape;
pub mod simulated;
pub mod tour;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

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
    /// How many exchanges were read, and what those were about that are not ours.
    pub exchanges: Exchanges,
    /// How its answers compare with azure-sim's, when they were compared.
    pub compared: Option<Compared>,
}

/// The exchanges of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchanges {
    /// How many are ours.
    pub ours: usize,
    /// Verb and type of each that is not.
    pub not_ours: Vec<String>,
}

impl FileReport {
    /// A file that could not even be read as a recording.
    fn unreadable(file: String, why: String) -> Self {
        FileReport { file, outcome: Outcome::Failed(vec![why]), checked: Vec::new(), exchanges: Exchanges::default(), compared: None }
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
                _ => write!(f, "{}: ok ({})", file.file, file.read())?,
            }
            match &file.compared {
                Some(compared) => writeln!(f, "; azure-sim: {compared}")?,
                None => writeln!(f)?,
            }
        }
        let sum = |of: &dyn Fn(&FileReport) -> usize| self.files.iter().map(of).sum::<usize>();
        let (values, same) = (sum(&|file| file.checked.len()), sum(&|file| file.compared.as_ref().map_or(0, |c| c.same)));
        let (ours, others) = (sum(&|file| file.exchanges.ours), sum(&|file| file.exchanges.not_ours.len()));
        let foreign = self.files.iter().filter(|file| file.is_not_modelled()).count();
        let (all, passed, not_ours, failed) = (self.files.len(), self.passed(), self.not_ours(), self.failed().len());
        write!(
            f,
            "{all} files: {passed} ok, {not_ours} not ours, {failed} failed; exchanges: {ours} ours with {values} values read, \
             {others} not ours; {same} answers of azure-sim shaped as recorded, {foreign} files not modelled by it"
        )
    }
}

impl FileReport {
    /// What was read of it, in words.
    fn read(&self) -> String {
        let values = match self.checked.len() {
            0 => "nothing in it to read".to_owned(),
            some => format!("{some} values"),
        };
        let more = match self.exchanges.not_ours.as_slice() {
            [] => String::new(),
            [one] => format!("; 1 exchange is not ours: {one}"),
            [first, ..] => format!("; {} exchanges are not ours, the first: {first}", self.exchanges.not_ours.len()),
        };
        format!("{values}{more}")
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
        let mut parts = Vec::new();
        if self.same > 0 {
            parts.push(format!("ok ({} answers)", self.same));
        }
        if !self.lacking.is_empty() {
            let lacking: Vec<&str> = self.lacking.iter().map(String::as_str).collect();
            parts.push(format!("not shown here, and no fault: {}", lacking.join(", ")));
        }
        if !missing.is_empty() {
            parts.push(format!("not modelled: {}", missing.join(", ")));
        }
        f.write_str(if parts.is_empty() { "nothing to compare" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// Checks every `.json` file in a folder and the folders below it; or one file. A file that cannot be read fails, and
/// the others are checked all the same. Links to folders are not followed.
///
/// # Errors
/// When a folder cannot be read.
pub fn check_folder(dir: &Path) -> io::Result<Report> {
    let mut files = Vec::new();
    if dir.is_file() {
        files.push(dir.to_owned());
    } else {
        find_json(dir, &mut files)?;
    }
    files.sort();
    Ok(Report { files: files.iter().map(|file| check_file(dir, file)).collect() })
}

fn check_file(dir: &Path, file: &Path) -> FileReport {
    let below = file.strip_prefix(dir).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.unwrap_or(file).display().to_string();
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => return FileReport::unreadable(name, format!("cannot be read: {error}")),
    };
    match serde_json::from_slice(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes)) {
        Ok(recording) => FileReport { compared: compare_recording(&recording), ..check_recording(&name, &recording) },
        Err(error) => FileReport::unreadable(name, format!("no JSON: {error}")),
    }
}

fn find_json(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
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
    let all = match exchanges(recording) {
        Ok(all) => all,
        Err(why) => return FileReport::unreadable(file, why),
    };
    let mut findings = checks::Findings::default();
    let mut exchanges = Exchanges::default();
    for exchange in &all {
        match checks::check(exchange, &mut findings) {
            checks::Whose::Ours => exchanges.ours += 1,
            checks::Whose::NotOurs(what) => exchanges.not_ours.push(what),
        }
    }
    let outcome = match exchanges.not_ours.first() {
        _ if !findings.failures.is_empty() => Outcome::Failed(findings.failures),
        Some(what) if exchanges.ours == 0 => Outcome::NotOurs(what.clone()),
        None if exchanges.ours == 0 => Outcome::NotOurs("no verb that we send".to_owned()),
        _ => Outcome::Passed,
    };
    FileReport { file, outcome, checked: findings.checked, exchanges, compared: None }
}

/// Holds a recording's answers against azure-sim's; nothing when it is no recording of ARM's traffic.
pub fn compare_recording(recording: &Value) -> Option<Compared> {
    let exchanges = exchanges(recording).ok()?;
    let mut compared = Compared::default();
    for exchange in exchanges.iter().filter(|exchange| is_arm(&exchange.path) && checks::concerns_us(&exchange.path)) {
        simulated().compare(exchange, &mut compared);
    }
    compared.different.dedup();
    (compared != Compared::default()).then_some(compared)
}

/// Whether a path is Resource Manager's, and not a login's or a data plane's.
fn is_arm(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.starts_with("/subscriptions") || lower.starts_with("/providers/")
}
