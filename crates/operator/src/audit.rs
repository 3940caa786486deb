//! Where audit records go: one JSON line each, durable before the act it speaks of.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use breakwater_engine::ports::AuditSink;
use serde_json::Value;

/// A file that is appended to and synced, or standard output.
#[derive(Debug)]
pub enum AuditLog {
    /// Each line is in the file, and the file on the disk, when `write` returns.
    File(Mutex<File>),
    /// Each line is flushed; how durable it is depends on who reads. `kubectl logs` shows it between nothing else: logs go to stderr.
    Stdout,
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
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(Path::new(target))?;
        file.sync_all()?;
        Ok(AuditLog::File(Mutex::new(file)))
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
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.write_all(&bytes)?;
                file.sync_data()
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
