//! Wake-ups of an object that many others wake, as a policy of a thousand machines is by each of them: the first goes through
//! at once, those of the next seconds go together when these are over. None is lost.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use crate::ports::ObjectKey;

/// How long after a wake-up that went through the next ones wait.
pub const CALM: Duration = Duration::from_secs(5);

/// Who was woken of late. Times count from whenever the caller began to.
#[derive(Debug, Default)]
pub struct Calm {
    /// Whether another wake-up came meanwhile.
    spans: HashMap<ObjectKey, bool>,
    ends: BTreeSet<(Duration, ObjectKey)>,
}

impl Calm {
    /// Whether a wake-up goes through now. Otherwise it is kept.
    pub fn passes(&mut self, key: &ObjectKey, now: Duration) -> bool {
        if let Some(kept) = self.spans.get_mut(key) {
            *kept = true;
            return false;
        }
        self.begin(key.clone(), now);
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
            if self.spans.remove(&key) == Some(true) {
                self.begin(key.clone(), now);
                woken.push(key);
            }
        }
        woken
    }

    fn begin(&mut self, key: ObjectKey, now: Duration) {
        self.spans.insert(key.clone(), false);
        self.ends.insert((now + CALM, key));
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
        assert_eq!(calm.over(second * 20), [key("a")]);
        assert_eq!((calm.over(second * 60), calm.next()), (vec![], None), "at rest nothing is kept");
    }
}
