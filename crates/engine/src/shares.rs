//! Whose turn it is where a window of Azure's patience is nearly used up: no namespace takes what others are about to need.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// Who has asked within this is about to ask again, as much as in it.
const LATELY: SignedDuration = SignedDuration::from_mins(2);

/// When somebody may come back whose share is used up while the window is not: by then it shows who asks no more.
pub const AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Beyond so many namespaces those that asked least lately are forgotten.
const MOST: usize = 1_000;

/// What each namespace took of a window.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    taken: BTreeMap<String, Taken>,
}

#[derive(Clone, Debug)]
struct Taken {
    count: f64,
    /// So many in the spell that began then, and in the one before.
    spell: (Timestamp, f64, f64),
}

impl Taken {
    fn lately(&self, now: Timestamp) -> f64 {
        let (began, these, before) = self.spell;
        match () {
            () if began + LATELY / 2 > now => these + before,
            () if began + LATELY > now => these,
            () => 0.0,
        }
    }
}

impl Shares {
    /// Notes that one was taken.
    pub fn take(&mut self, namespace: &str, now: Timestamp) {
        if self.taken.len() >= MOST && !self.taken.contains_key(namespace) {
            self.taken.retain(|_, taken| taken.lately(now) > 0.0);
        }
        let taken = self.taken.entry(namespace.to_owned()).or_insert(Taken { count: 0.0, spell: (now, 0.0, 0.0) });
        taken.count += 1.0;
        if taken.spell.0 + LATELY / 2 <= now {
            let before = if taken.spell.0 + LATELY > now { taken.spell.1 } else { 0.0 };
            taken.spell = (now, 0.0, before);
        }
        taken.spell.1 += 1.0;
    }

    /// Whether a namespace may take one of those that are left: within its share of all, or where the others, by what they took
    /// lately, will not need them.
    pub fn admit(&self, namespace: &str, left: f64, now: Timestamp) -> bool {
        let own = self.taken.get(namespace).map_or(0.0, |taken| taken.count);
        let others: Vec<(f64, f64)> = (self.taken.iter().filter(|(name, _)| *name != namespace))
            .map(|(_, taken)| (taken.count, taken.lately(now)))
            .filter(|(_, lately)| *lately > 0.0)
            .collect();
        let all = own + others.iter().map(|(count, _)| count).sum::<f64>();
        let share = (all + left) / (others.len() + 1) as f64;
        let needed: f64 = others.iter().map(|(count, lately)| lately.min((share - count).max(0.0))).sum();
        own < share || left - needed >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// Takes as long as it may and something is left; how many each took.
    fn takes(shares: &mut Shares, left: &mut f64, who: &[&str], second: i64) -> Vec<usize> {
        let mut took = vec![0; who.len()];
        for (nth, namespace) in who.iter().enumerate() {
            while *left >= 1.0 && shares.admit(namespace, *left, at(second)) {
                shares.take(namespace, at(second));
                *left -= 1.0;
                took[nth] += 1;
            }
        }
        took
    }

    #[test]
    fn who_is_alone_takes_all_of_it() {
        let (mut shares, mut left) = (Shares::default(), 100.0);
        assert_eq!(takes(&mut shares, &mut left, &["a"], 0), [100]);
    }

    #[test]
    fn of_those_who_ask_none_takes_what_the_others_are_about_to_need() {
        let (mut shares, mut left) = (Shares::default(), 1_000.0);
        let all = ["a", "b", "c", "d"];
        for namespace in all {
            (0..100).for_each(|_| shares.take(namespace, at(0)));
        }
        left -= 400.0;
        left -= 400.0;
        assert_eq!(takes(&mut shares, &mut left, &all, 60), [50, 50, 50, 50], "one after the other, each its share");
    }

    #[test]
    fn what_others_do_not_need_is_not_kept_for_them() {
        let (mut shares, mut left) = (Shares::default(), 200.0);
        (0..2).for_each(|_| shares.take("quiet", at(0)));
        assert_eq!(takes(&mut shares, &mut left, &["busy"], 10), [198], "as much as it took lately is left to it");
        assert_eq!(takes(&mut shares, &mut left, &["quiet"], 20), [2]);
        let mut left = 50.0;
        assert_eq!(takes(&mut shares, &mut left, &["busy"], 200), [50], "who asks no more is waited for no longer");
    }
}
