//! Progress for people: one line per step, with the time since the start.

use std::time::Instant;

/// Prints one line per step to standard error, so that standard output stays free for what was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    started: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self::start()
    }
}

impl Progress {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Prints one line, with the seconds since the start before it.
    pub fn step(&self, line: impl AsRef<str>) {
        eprintln!("[{:>5.1} s] {}", self.started.elapsed().as_secs_f64(), line.as_ref());
    }

    /// Whole seconds since the start.
    pub fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}
