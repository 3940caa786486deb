//! An audit sink in memory, which the test can read and break.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use breakwater_engine::ports::AuditSink;
use serde_json::Value;

/// Keeps audit lines; refuses them while [`break_disk`](MemoryAudit::break_disk) holds.
#[derive(Debug, Default)]
pub struct MemoryAudit(Mutex<Disk>);

#[derive(Clone, Debug, Default)]
struct Disk {
    lines: Vec<Value>,
    health: Health,
}

#[derive(Clone, Debug, Default)]
enum Health {
    #[default]
    Fine,
    Broken,
    /// Takes this many lines more, then breaks.
    Filling(usize),
}

impl MemoryAudit {
    /// Another sink with the same lines in it.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    /// Everything written so far, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// The lines after so many.
    #[must_use]
    pub fn since(&self, lines: usize) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.get(lines..).unwrap_or_default().to_vec()
    }

    /// From now on every line is refused.
    pub fn break_disk(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).health = Health::Broken;
    }

    /// Takes `lines` more, then refuses.
    pub fn break_disk_after(&self, lines: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).health = Health::Filling(lines);
    }

    /// Takes lines again.
    pub fn mend_disk(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).health = Health::Fine;
    }
}

impl AuditSink for MemoryAudit {
    fn write(&self, line: &Value) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match disk.health {
            Health::Broken | Health::Filling(0) => return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device")),
            Health::Filling(left) => disk.health = Health::Filling(left - 1),
            Health::Fine => {}
        }
        disk.lines.push(line.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_that_was_accepted_is_kept_and_one_that_was_refused_is_not() {
        let audit = MemoryAudit::default();
        audit.break_disk_after(1);
        audit.write(&json!({"n": 1})).expect("room for one");
        assert_eq!(audit.write(&json!({"n": 2})).expect_err("full").kind(), io::ErrorKind::StorageFull);
        audit.mend_disk();
        audit.write(&json!({"n": 3})).expect("mended");
        audit.break_disk();
        audit.write(&json!({"n": 4})).expect_err("broken");
        assert_eq!(audit.lines(), [json!({"n": 1}), json!({"n": 3})]);
        assert_eq!(audit.since(1), [json!({"n": 3})]);
        assert!(audit.since(9).is_empty());
    }
}
