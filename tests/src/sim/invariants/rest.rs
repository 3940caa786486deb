//! No write at rest: where nothing in Azure or in a spec has changed since all was settled, nothing is written.

use jiff::{SignedDuration, Timestamp};

use super::Verdict;

/// Settled is what wrote nothing for so long: every object had its hourly turn, and every reading came round.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(75);

/// When something last moved.
#[derive(Clone)]
pub struct Rest {
    moved: Timestamp,
    /// Runs in which this was looked at while at rest: a rule that never looks cannot fail.
    pub looked: u64,
}

impl Rest {
    /// From the beginning.
    pub fn new(now: Timestamp) -> Self {
        Rest { moved: now, looked: 0 }
    }

    /// Something outside the operator changed, or went wrong.
    pub fn disturb(&mut self, now: Timestamp) {
        self.moved = now;
    }

    /// What the operator wrote in this step, to whomever.
    ///
    /// # Errors
    /// The writes, when nothing called for them.
    pub fn check(&mut self, now: Timestamp, wrote: &[String]) -> Verdict {
        let settled = now.duration_since(self.moved) >= SETTLED_AFTER;
        self.looked += u64::from(settled);
        if wrote.is_empty() {
            return Ok(());
        }
        let since = std::mem::replace(&mut self.moved, now);
        if settled { Err(format!("a write at rest, nothing moved since {since}: {wrote:?}")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-24T{text}:00Z").parse().expect("a time")
    }

    #[test]
    fn a_write_is_told_when_nothing_moved_for_long_and_only_then() {
        let wrote = ["PATCH".to_owned()];
        let mut rest = Rest::new(at("08:00"));
        assert_eq!(rest.check(at("09:00"), &wrote), Ok(()), "still settling");
        assert_eq!(rest.check(at("10:00"), &wrote), Ok(()), "an hour after the last write");
        assert_eq!(rest.check(at("12:00"), &[]), Ok(()));
        rest.disturb(at("12:00"));
        assert_eq!(rest.check(at("12:01"), &wrote), Ok(()), "something moved");
        assert!(rest.check(at("14:00"), &wrote).unwrap_err().contains("a write at rest"));
        assert_eq!(rest.looked, 2);
    }
}
