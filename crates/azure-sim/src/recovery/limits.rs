//! Counts over the last 24 hours (backup.md §4.4).

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

/// The moments of some kind of act within the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Daily(VecDeque<Timestamp>);

impl Daily {
    /// Counts one act; `false`, and nothing counted, when `limit` acts already lie in the 24 hours before `now`.
    pub fn admit(&mut self, now: Timestamp, limit: usize) -> bool {
        let start = now - SignedDuration::from_hours(24);
        while self.0.front().is_some_and(|first| *first <= start) {
            self.0.pop_front();
        }
        if self.0.len() >= limit {
            return false;
        }
        self.0.push_back(now);
        true
    }

    /// So many acts of somebody else, all of them now.
    pub fn spend(&mut self, now: Timestamp, count: usize) {
        self.0.extend(std::iter::repeat_n(now, count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_forgotten_after_a_day() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut daily = Daily::default();
        assert!(daily.admit(start, 2));
        assert!(daily.admit(start + SignedDuration::from_hours(1), 2));
        assert!(!daily.admit(start + SignedDuration::from_hours(23), 2));
        assert!(daily.admit(start + SignedDuration::from_hours(24), 2));
        assert!(!daily.admit(start + SignedDuration::from_hours(24), 2));
    }
}
