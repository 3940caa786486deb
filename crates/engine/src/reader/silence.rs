//! Who does not answer is not asked by everybody: each question would hold a turn until its time is over, and turns are few. What
//! one access suffers of one subscription is nobody else's.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use breakwater_api::Reason;
use breakwater_arm::wire::{Answer, Request};
use breakwater_plan::sighting::Trouble;
use jiff::SignedDuration;

use super::Reader;
use crate::ports::SendError;

/// A call that failed sooner cost nobody anything.
const SLOW: Duration = Duration::from_secs(5);

/// So many slow failures, none answered in between, are a silence.
const MOST: u32 = 3;

/// How long one question may take in which the others wait for its answer: a call's longest (arm-http, 60 s), and a token's.
const QUESTION: Duration = Duration::from_secs(100);

/// Between two questions: it doubles from the first to the last.
const FIRST: Duration = Duration::from_secs(30);
const LAST: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
struct Silent {
    failures: u32,
    until: Duration,
}

/// Access and subscription that did not answer last. All times are on the wall, since the process began.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<BTreeMap<(String, String), Silent>>);

impl Silence {
    /// Whether a question may leave now; else when the next one may. The first one after a while asks for all.
    pub fn admits(&self, of: &(String, String), now: Duration) -> Result<(), Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(of) {
            Some(silent) if silent.failures >= MOST && now < silent.until => Err(silent.until),
            Some(silent) if silent.failures >= MOST => {
                silent.until = now + QUESTION;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// It was answered, whatever the answer was.
    pub fn ended(&self, of: &(String, String)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }

    /// It was not, after so long on the wall.
    pub fn failed(&self, of: (String, String), took: Duration, now: Duration) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if took < SLOW && !all.contains_key(&of) {
            return;
        }
        let silent = all.entry(of).or_insert(Silent { failures: 0, until: now });
        silent.failures = silent.failures.saturating_add(1);
        let doubled = 1_u32 << silent.failures.saturating_sub(MOST).min(5);
        silent.until = now + (FIRST * doubled).min(LAST);
    }
}

impl Reader {
    /// Notes whether a question that began then was answered.
    pub(super) fn heard(&self, whom: (String, String), result: &Result<Answer, SendError>, began: Duration) {
        match result {
            Ok(_) | Err(SendError::BadLink(_)) => self.silence.ended(&whom),
            Err(_) => self.silence.failed(whom, self.clock.wall().saturating_sub(began), self.clock.wall()),
        }
    }

    /// What there is to say to who was not let ask. It cost nothing.
    pub(super) fn silent(&self, (access, subscription): &(String, String), request: &Request, wait: Duration) -> Trouble {
        let message =
            format!("Azure does not answer under AzureAccess {access} for subscription {subscription}: others wait for one that asks");
        let world = SignedDuration::from_secs_f64(wait.as_secs_f64() * self.clock.factor().max(1.0));
        let now = self.clock.now();
        self.budget.give_back(access, request, now);
        Trouble { at: now, reason: Reason::Unreadable, message, until: now + world }
    }
}

/// The subscription that a path is in, in lower case.
pub(super) fn subscription_of(path: &str) -> String {
    path.split('/').nth(2).unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn of(access: &str) -> (String, String) {
        (access.to_owned(), "s".to_owned())
    }

    #[test]
    fn who_does_not_answer_is_asked_by_one_at_a_time_and_ever_more_rarely() {
        let silence = Silence::default();
        let minute = Duration::from_secs(60);
        for _ in 0..2 {
            silence.failed(of("a"), minute, at(0));
            assert_eq!(silence.admits(&of("a"), at(0)), Ok(()), "a call may fail");
        }
        silence.failed(of("a"), minute, at(0));
        assert_eq!(silence.admits(&of("a"), at(29)), Err(at(30)));
        assert_eq!(silence.admits(&of("b"), at(29)), Ok(()), "another access is another matter");
        assert_eq!(silence.admits(&of("a"), at(30)), Ok(()));
        assert_eq!(silence.admits(&of("a"), at(31)), Err(at(130)), "one asks, the others wait for its answer");
        silence.failed(of("a"), minute, at(90));
        assert_eq!(silence.admits(&of("a"), at(149)), Err(at(150)));
        for _ in 0..100 {
            silence.failed(of("a"), minute, at(1_000));
        }
        assert_eq!(silence.admits(&of("a"), at(1_001)), Err(at(1_120)), "when Azure is back, that is soon known");
        silence.ended(&of("a"));
        assert_eq!(silence.admits(&of("a"), at(1_002)), Ok(()));
    }

    #[test]
    fn what_fails_at_once_holds_nobody_up_and_is_no_silence() {
        let silence = Silence::default();
        (0..10).for_each(|_| silence.failed(of("a"), Duration::from_millis(3), at(0)));
        assert_eq!(silence.admits(&of("a"), at(0)), Ok(()));
    }
}
