//! Leadership as a switch.

use std::sync::atomic::{AtomicBool, Ordering};

use breakwater_engine::ports::Leadership;

/// Leads while the test says so.
#[derive(Debug)]
pub struct SwitchableLeadership(AtomicBool);

impl SwitchableLeadership {
    /// A process that holds the lease.
    #[must_use]
    pub fn leading() -> Self {
        Self(AtomicBool::new(true))
    }

    /// A process that waits for the lease.
    #[must_use]
    pub fn standing_by() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Takes the lease.
    pub fn gain(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Loses the lease.
    pub fn lose(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Leadership for SwitchableLeadership {
    fn leads(&self) -> bool {
        self.0.load(Ordering::SeqCst)
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
