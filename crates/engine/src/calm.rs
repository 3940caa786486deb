//! Wake-ups of an object that many others wake, as a policy of a thousand machines is by each of them: the first goes through
//! at once, those of the next seconds go together when these are over. While they keep coming the wait doubles, up to a
//! minute: what counts ten thousand is told each minute while they all move, and at once when one does. None is lost.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use crate::ports::ObjectKey;

/// How long after a wake-up that went through the next ones wait at first.
pub const LEAST: Duration = Duration::from_secs(5);

/// And at most.
pub const MOST: Duration = Duration::from_secs(60);

/// Who was woken of late. Times count from whenever the caller began to.
#[derive(Debug, Default)]
pub struct Calm {
    spans: HashMap<ObjectKey, Span>,
    ends: BTreeSet<(Duration, ObjectKey)>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    lasts: Duration,
    /// Whether another wake-up came meanwhile.
    kept: bool,
}

impl Calm {
    /// Whether a wake-up goes through now. Otherwise it is kept.
    pub fn passes(&mut self, key: &ObjectKey, now: Duration) -> bool {
        if let Some(span) = self.spans.get_mut(key) {
            span.kept = true;
            return false;
        }
        self.begin(key.clone(), now, LEAST);
        true
    }

    /// When [`Calm::over`] has something to say next.
    pub fn next(&self) -> Option<Duration> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// Whose kept wake-ups go through now.
    pub fn over(&mut self, now: Duration) -> Vec<ObjectKey> {
        let mut woken = Vec::new();
        while self.ends.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, key)) = self.ends.pop_first()
        {
            if let Some(span) = self.spans.remove(&key).filter(|span| span.kept) {
                self.begin(key.clone(), now, (span.lasts * 2).min(MOST));
                woken.push(key);
            }
        }
        woken
    }

    fn begin(&mut self, key: ObjectKey, now: Duration, lasts: Duration) {
        self.spans.insert(key.clone(), Span { lasts, kept: false });
        self.ends.insert((now + lasts, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { kind: "BackupPolicy".into(), namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn the_first_goes_through_at_once_and_those_that_follow_once_together() {
        let (mut calm, second) = (Calm::default(), Duration::from_secs(1));
        assert!(calm.passes(&key("a"), second * 10) && calm.passes(&key("b"), second * 11));
        assert!((11..15).all(|at| !calm.passes(&key("a"), second * at)));
        assert_eq!((calm.next(), calm.over(second * 14)), (Some(second * 15), vec![]));
        assert_eq!(calm.over(second * 15), [key("a")], "one for all of them");
        assert!(!calm.passes(&key("a"), second * 16), "and that one counts as well");
        assert_eq!(calm.over(second * 16), [], "nobody asked for b meanwhile");
        assert!(calm.passes(&key("b"), second * 17));
        assert_eq!(calm.over(second * 20), []);
        assert_eq!(calm.over(second * 25), [key("a")], "the second wait is twice as long");
        assert_eq!((calm.over(second * 60), calm.next()), (vec![], None), "at rest nothing is kept");
    }

    #[test]
    fn while_they_keep_coming_they_wait_up_to_a_minute_and_after_a_quiet_one_no_longer() {
        let (mut calm, mut at) = (Calm::default(), Vec::new());
        for second in 0..300 {
            let now = Duration::from_secs(second);
            let over = calm.over(now).len();
            if calm.passes(&key("a"), now) || over > 0 {
                at.push(second);
            }
        }
        assert_eq!(at, [0, 5, 15, 35, 75, 135, 195, 255]);
        assert_eq!(calm.over(Duration::from_secs(315)), [key("a")], "the last one is not lost");
        assert_eq!(calm.over(Duration::from_secs(375)), []);
        assert!(calm.passes(&key("a"), Duration::from_secs(376)) && calm.next() == Some(Duration::from_secs(381)));
    }
}
