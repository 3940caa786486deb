//! Something happens to a process between two of its steps: it stands still, as under SIGSTOP, or loses its lease. A step is
//! a call to the world outside: to Azure, to Kubernetes, for a token.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
};

use crate::cluster::leadership::SwitchableLeadership;

/// What happens to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// It stands still until it is woken.
    StandsStill,
    /// Its lease is lost, and it goes on with what it is at.
    LosesLease,
}

/// One process's steps, and what happens before which of them.
#[derive(Debug)]
pub struct Halt {
    steps: AtomicU64,
    plan: Mutex<Option<(u64, Incident)>>,
    standing: AtomicBool,
    leadership: Arc<SwitchableLeadership>,
}

impl Halt {
    /// A process to which nothing happens yet.
    #[must_use]
    pub fn new(leadership: Arc<SwitchableLeadership>) -> Self {
        Halt { steps: AtomicU64::new(0), plan: Mutex::new(None), standing: AtomicBool::new(false), leadership }
    }

    /// Lets something happen before the n-th step from now, counting from 1.
    pub fn at(&self, nth: u64, incident: Incident) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.steps() + nth, incident));
    }

    /// Lets nothing happen that has not happened yet.
    pub fn calm(&self) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How many steps were taken or begun.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    /// Whether it stands still.
    pub fn is_standing(&self) -> bool {
        self.standing.load(Ordering::SeqCst)
    }

    /// Makes it stand still in the middle of a step.
    pub fn stand(&self) {
        self.standing.store(true, Ordering::SeqCst);
    }

    /// Lets it go on.
    pub fn wake(&self) {
        self.standing.store(false, Ordering::SeqCst);
    }

    /// Begins a step, when it may.
    pub async fn step(&self) {
        let nth = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        let due = self.plan.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(at, _)| *at == nth);
        match due {
            Some((_, Incident::StandsStill)) => self.stand(),
            Some((_, Incident::LosesLease)) => self.leadership.lose(),
            None => {}
        }
        self.moves().await;
    }

    /// Ready while it does not stand still: whatever else the process was about to do waits as well.
    pub async fn moves(&self) {
        poll_fn(|_| if self.is_standing() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

#[cfg(test)]
mod tests {
    use breakwater_engine::ports::Leadership;
    use futures::FutureExt;

    use super::*;

    fn halt() -> (Halt, Arc<SwitchableLeadership>) {
        let leadership = Arc::new(SwitchableLeadership::leading());
        (Halt::new(leadership.clone()), leadership)
    }

    #[test]
    fn from_its_step_on_nothing_of_the_process_moves_until_it_is_woken() {
        let (halt, _) = halt();
        halt.at(2, Incident::StandsStill);
        assert!(halt.step().now_or_never().is_some(), "the first step");
        let mut second = Box::pin(halt.step());
        assert!((&mut second).now_or_never().is_none());
        assert!(halt.step().now_or_never().is_none(), "nor anything else of it");
        halt.wake();
        assert!((&mut second).now_or_never().is_some());
        assert!(halt.step().now_or_never().is_some(), "it happens once");
    }

    #[test]
    fn a_lease_is_lost_before_its_step_and_the_process_goes_on() {
        let (halt, leadership) = halt();
        halt.at(1, Incident::LosesLease);
        assert!(leadership.leads());
        assert!(halt.step().now_or_never().is_some());
        assert!(!leadership.leads());
    }
}
