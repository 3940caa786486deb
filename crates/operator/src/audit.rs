//! Where audit records go: one JSON line each, durable before the act it speaks of.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use breakwater_engine::ports::AuditSink;
use serde_json::Value;

/// A file that is appended to and synced, or standard output.
#[derive(Debug)]
pub enum AuditLog {
    /// Each line is in the file, and the file on the disk, when `write` returns.
    File(Mutex<Lines>),
    /// Each line is flushed; how durable it is depends on who reads. `kubectl logs` shows it between nothing else: logs go to stderr.
    Stdout,
}

/// A file of lines, of which the last may be torn: by a crash, or a full disk.
#[derive(Debug)]
pub struct Lines {
    file: File,
    is_torn: bool,
}

impl Lines {
    /// What is in it may end in the middle of a line.
    fn of(mut file: File) -> io::Result<Self> {
        let mut last = [b'\n'];
        if file.metadata()?.is_file() && file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Lines { file, is_torn: last != [b'\n'] })
    }

    /// What follows a torn line begins a line of its own: the act that it tells of is read.
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        let whole = if self.is_torn { [b"\n", line].concat() } else { line.to_vec() };
        self.is_torn = true;
        self.file.write_all(&whole)?;
        self.is_torn = false;
        self.file.sync_data()
    }
}

impl AuditLog {
    /// Opens what `--audit-log` names: `-` is standard output, anything else a file, made when missing, for its owner only.
    ///
    /// # Errors
    /// When the file cannot be opened for appending.
    pub fn open(target: &str) -> io::Result<Self> {
        if target == "-" {
            return Ok(AuditLog::Stdout);
        }
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(Path::new(target))?;
        file.sync_all()?;
        Ok(AuditLog::File(Mutex::new(Lines::of(file)?)))
    }
}

impl AuditSink for AuditLog {
    fn write(&self, line: &Value) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        match self {
            AuditLog::File(file) => {
                // One write call per line, so that a crash leaves whole lines and at most one part of one. A panic
                // elsewhere cannot leave the file half-written: nothing between lock and sync panics.
                file.lock().unwrap_or_else(PoisonError::into_inner).add(&bytes)
            }
            AuditLog::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_are_appended_and_survive_a_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let name = path.to_str().unwrap();
        AuditLog::open(name).unwrap().write(&json!({"act": "Backup", "note": "two\nlines"})).unwrap();
        AuditLog::open(name).unwrap().write(&json!({"act": "Protect"})).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let acts: Vec<Value> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["act"].clone()).collect();
        assert_eq!(acts, [json!("Backup"), json!("Protect")]);
    }

    #[test]
    fn a_line_after_a_torn_one_is_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "{\"act\": \"Backup\"}\n{\"act\": \"Pro").unwrap();
        let log = AuditLog::open(path.to_str().unwrap()).unwrap();
        log.write(&json!({"act": "Delete"})).unwrap();
        log.write(&json!({"act": "Restore"})).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().skip(2).collect::<Vec<_>>(), ["{\"act\":\"Delete\"}", "{\"act\":\"Restore\"}"]);
    }

    #[test]
    fn a_record_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(AuditLog::open(folder.path().to_str().unwrap()).is_err(), "a folder is no log");
        let full = AuditLog::open("/dev/full");
        if let Ok(log) = full {
            assert!(log.write(&json!({})).is_err());
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        AuditLog::open(path.to_str().unwrap()).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o077, 0);
    }
}
