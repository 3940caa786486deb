//! Where audit records go: one JSON line each, durable before the act it speaks of.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
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
    path: PathBuf,
    file: File,
    is_torn: bool,
}

impl Lines {
    /// What is in it may end in the middle of a line. It is made when missing, for its owner only.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
        file.sync_all()?;
        let mut last = [b'\n'];
        if file.metadata()?.is_file() && file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Lines { path: path.to_owned(), file, is_torn: last != [b'\n'] })
    }

    /// Whether the path still names the open file. Who rotates a log renames or removes it and says nothing; what is written to
    /// it from then on, nobody may read.
    fn is_in_place(&self) -> io::Result<bool> {
        let open = self.file.metadata()?;
        Ok(fs::metadata(&self.path).is_ok_and(|named| (named.dev(), named.ino()) == (open.dev(), open.ino())))
    }

    /// What follows a torn line begins a line of its own: the act that it tells of is read.
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.is_in_place()? {
            *self = Lines::open(&self.path)?;
            tracing::info!(path = %self.path.display(), "the audit log was moved or removed, and is opened anew");
        }
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
        Ok(AuditLog::File(Mutex::new(Lines::open(Path::new(target))?)))
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
    fn what_follows_a_rotation_is_in_the_file_of_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let log = AuditLog::open(path.to_str().unwrap()).unwrap();
        let write = |act: &str| log.write(&json!({ "act": act }));
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        write("Backup").unwrap();
        fs::rename(&path, &moved).unwrap();
        write("Protect").unwrap();
        assert_eq!(text(&moved), "{\"act\":\"Backup\"}\n");
        assert_eq!(text(&path), "{\"act\":\"Protect\"}\n");
        fs::remove_file(&path).unwrap();
        write("Delete").unwrap();
        write("Restore").unwrap();
        assert_eq!(text(&path), "{\"act\":\"Delete\"}\n{\"act\":\"Restore\"}\n");
    }

    #[test]
    fn a_file_that_takes_the_place_of_the_log_may_end_in_a_torn_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        fs::write(&path, "{\"act\": \"Bac").unwrap();
        let log = AuditLog::open(path.to_str().unwrap()).unwrap();
        let after = |rest: &str| {
            fs::rename(&path, folder.path().join("moved")).unwrap();
            fs::write(&path, rest).unwrap();
            log.write(&json!({ "act": "Delete" })).unwrap();
            fs::read_to_string(&path).unwrap()
        };
        assert_eq!(after("whole\n"), "whole\n{\"act\":\"Delete\"}\n", "the torn line is in the file that was moved");
        assert_eq!(after("to"), "to\n{\"act\":\"Delete\"}\n");
    }

    #[test]
    fn a_log_that_cannot_be_opened_anew_is_a_failed_write_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let (within, away) = (folder.path().join("logs"), folder.path().join("away"));
        fs::create_dir(&within).unwrap();
        let path = within.join("audit.jsonl");
        let log = AuditLog::open(path.to_str().unwrap()).unwrap();
        fs::rename(&within, &away).unwrap();
        assert!(log.write(&json!({ "act": "Backup" })).is_err());
        fs::create_dir(&within).unwrap();
        log.write(&json!({ "act": "Backup" })).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"act\":\"Backup\"}\n");
        assert_eq!(fs::read_to_string(away.join("audit.jsonl")).unwrap(), "");
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

    #[test]
    fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        AuditLog::open(path.to_str().unwrap()).unwrap();
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o077, 0);
    }
}
