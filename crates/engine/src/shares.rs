//! Whose turn it is where a window of Azure's patience is nearly used up: no namespace takes what others are about to need.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// Who has asked within this is about to ask again, as much as in it.
const LATELY: SignedDuration = SignedDuration::from_mins(2);

/// When somebody may come back whose share is used up while the window is not: by then it shows who asks no more.
pub const AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// Beyond so many namespaces those that asked for nothing lately are forgotten.
const MOST: usize = 1_000;

/// What each namespace took of a window.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    taken: BTreeMap<String, Taken>,
}

/// What is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A window: what was taken is gone until it is over.
    Window,
    /// What comes by and by.
    Flow,
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

    /// Whether a namespace may take one of those that are left: within its share of all (of a whole window, or of what was taken
    /// lately), or where the others will not need them, by what they took lately and by what is `expected` of them.
    pub fn admit(&self, namespace: &str, of: Of, left: f64, now: Timestamp, expected: &BTreeMap<String, f64>) -> bool {
        let count = |taken: &Taken| if of == Of::Window { taken.count } else { taken.lately(now) };
        let own = self.taken.get(namespace).map_or(0.0, count);
        let about = |name: &str, taken: Option<&Taken>| {
            let lately = taken.map_or(0.0, |taken| taken.lately(now));
            (taken.map_or(0.0, count), lately.max(expected.get(name).copied().unwrap_or_default()))
        };
        let known = self.taken.iter().map(|(name, taken)| (name, about(name, Some(taken))));
        let new = expected.keys().filter(|name| !self.taken.contains_key(*name)).map(|name| (name, about(name, None)));
        let others = known.chain(new).filter(|(name, (_, needs))| *name != namespace && *needs > 0.0);
        let others: Vec<(f64, f64)> = others.map(|(_, about)| about).collect();
        let all = own + others.iter().map(|(count, _)| count).sum::<f64>();
        let share = (all + left) / (others.len() + 1) as f64;
        let needed: f64 = others.iter().map(|(count, needs)| needs.min((share - count).max(0.0))).sum();
        own < share || left - needed >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    const NOBODY: BTreeMap<String, f64> = BTreeMap::new();

    /// Takes as long as it may and something is left; how many each took.
    fn takes(shares: &mut Shares, expected: &BTreeMap<String, f64>, left: &mut f64, who: &[&str], second: i64) -> Vec<usize> {
        let mut took = vec![0; who.len()];
        for (nth, namespace) in who.iter().enumerate() {
            while *left >= 1.0 && shares.admit(namespace, Of::Window, *left, at(second), expected) {
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
        assert_eq!(takes(&mut shares, &NOBODY, &mut left, &["a"], 0), [100]);
    }

    #[test]
    fn of_those_who_ask_none_takes_what_the_others_are_about_to_need() {
        let (mut shares, mut left) = (Shares::default(), 200.0);
        let all = ["a", "b", "c", "d"];
        for namespace in all {
            (0..100).for_each(|_| shares.take(namespace, at(0)));
        }
        assert_eq!(takes(&mut shares, &NOBODY, &mut left, &all, 60), [50, 50, 50, 50], "one after the other, each its share");
    }

    #[test]
    fn what_others_do_not_need_is_not_kept_for_them() {
        let (mut shares, mut left) = (Shares::default(), 200.0);
        (0..2).for_each(|_| shares.take("quiet", at(0)));
        assert_eq!(takes(&mut shares, &NOBODY, &mut left, &["busy"], 10), [198], "as much as it took lately is left to it");
        assert_eq!(takes(&mut shares, &NOBODY, &mut left, &["quiet"], 20), [2]);
        let mut left = 50.0;
        assert_eq!(takes(&mut shares, &NOBODY, &mut left, &["busy"], 200), [50], "who asks no more is waited for no longer");
    }

    #[test]
    fn who_has_not_asked_yet_is_left_what_is_expected_of_it() {
        let (mut shares, mut left) = (Shares::default(), 100.0);
        let expected = BTreeMap::from([("many".to_owned(), 90.0), ("few".to_owned(), 10.0), ("first".to_owned(), 200.0)]);
        assert_eq!(takes(&mut shares, &expected, &mut left, &["first", "many", "few"], 0), [56, 34, 10], "each its share at least");
    }

    #[test]
    fn of_what_comes_by_and_by_only_what_was_taken_lately_counts() {
        let mut shares = Shares::default();
        (0..500).for_each(|_| shares.take("old", at(0)));
        (0..20).for_each(|_| shares.take("new", at(300)));
        let expected = BTreeMap::from([("old".to_owned(), 50.0), ("new".to_owned(), 50.0)]);
        let may = |namespace: &str| shares.admit(namespace, Of::Flow, 10.0, at(301), &expected);
        assert_eq!((may("old"), may("new")), (true, false));
    }
}
