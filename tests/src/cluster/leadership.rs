//! Leadership as a switch.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use breakwater_engine::ports::Leadership;

/// Leads while the test says so.
#[derive(Debug)]
pub struct SwitchableLeadership {
    leads: AtomicBool,
    /// The lease's, whoever holds it.
    note: Arc<Mutex<String>>,
}

impl SwitchableLeadership {
    /// A process that holds the lease.
    #[must_use]
    pub fn leading() -> Self {
        Self { leads: AtomicBool::new(true), note: Arc::default() }
    }

    /// A process that waits for the lease.
    #[must_use]
    pub fn standing_by() -> Self {
        Self { leads: AtomicBool::new(false), note: Arc::default() }
    }

    /// Another process that holds the lease of this one.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self { leads: AtomicBool::new(true), note: self.note.clone() }
    }

    /// Takes the lease.
    pub fn gain(&self) {
        self.leads.store(true, Ordering::SeqCst);
    }

    /// Loses the lease.
    pub fn lose(&self) {
        self.leads.store(false, Ordering::SeqCst);
    }
}

impl Leadership for SwitchableLeadership {
    fn leads(&self) -> bool {
        self.leads.load(Ordering::SeqCst)
    }

    fn note(&self, text: &str) {
        text.clone_into(&mut self.note.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn noted(&self) -> String {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leadership_is_what_the_test_says() {
        let lease = SwitchableLeadership::standing_by();
        assert!(!lease.leads());
        lease.gain();
        assert!(lease.leads());
        lease.lose();
        assert!(!lease.leads());
        assert!(SwitchableLeadership::leading().leads());
    }
}
