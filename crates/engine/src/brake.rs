//! The brake: how many destructive calls leave in an hour. What was sent is written down with the lease, so that neither a
//! restart nor another leader begins to count anew. So is under which access something was lent to a namespace: a status may be a
//! tenant's own writing, and the lease is not.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use breakwater_plan::{
    keys,
    questions::{Question, Stake},
};
use jiff::{SignedDuration, Timestamp};

use crate::order::Order;

/// Destructive calls at most, an hour and access.
const MOST: usize = 20;

/// For how long a call counts.
const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(1);

/// An intent and the call that came of it lie no further apart (twice what may pass between them).
const SAME_CALL: SignedDuration = SignedDuration::from_secs(40);

/// A destructive call, as its record tells of it.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The access that it was sent under.
    pub access: String,
    /// The narrower brake that counts it.
    pub own: Option<String>,
    /// When its intent was saved.
    pub at: Timestamp,
}

/// What left within the hour.
#[derive(Debug, Default)]
pub(crate) struct Brake(Mutex<Sendings>);

impl Brake {
    /// What holds an order back: how many calls its scope allows, and when it allows the next one.
    pub fn holds(&self, order: &Order, now: Timestamp, is_lifted: impl Fn(&Question) -> bool) -> Option<(Question, Timestamp)> {
        holds(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), order, now, is_lifted)
    }

    /// Counts a call that is about to leave, unless as many have left since it was looked at: then what holds it back.
    pub fn count(&self, order: &Order, now: Timestamp, is_lifted: impl Fn(&Question) -> bool) -> Option<(Question, Timestamp)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = holds(&mut all, order, now, is_lifted);
        if held.is_none() {
            scopes(order).into_iter().for_each(|(scope, _)| all.entry(scope).or_default().push_back(now));
        }
        held
    }

    /// Notes that something is lent to a namespace under an access until then; whether that is news.
    pub fn lend(&self, access: &str, namespace: &str, until: Timestamp, now: Timestamp) -> bool {
        let until = until.min(now.saturating_add(LENT_FOR).unwrap_or(now));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lent = all.entry(lent_scope(access, namespace)).or_default();
        if lent.front().is_some_and(|noted| *noted >= until) {
            return false;
        }
        *lent = [until].into();
        true
    }

    /// What is written down, without what counts no more: seconds by scope.
    pub fn noted(&self, now: Timestamp) -> BTreeMap<String, Vec<i64>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, sent| {
            drop_old(sent, now);
            !sent.is_empty()
        });
        all.iter().map(|(scope, sent)| (scope.clone(), sent.iter().map(|at| at.as_second()).collect())).collect()
    }

    /// Whether something was lent to a namespace under an access not long ago.
    pub fn has_lent(&self, access: &str, namespace: &str) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&lent_scope(access, namespace)).is_some_and(|lent| !lent.is_empty())
    }

    /// Takes over what an earlier leader wrote down.
    pub fn recall(&self, noted: BTreeMap<String, Vec<i64>>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (scope, sent) in noted {
            let mut sent: VecDeque<Timestamp> = sent.into_iter().filter_map(|at| Timestamp::from_second(at).ok()).collect();
            sent.make_contiguous().sort();
            all.insert(scope, sent);
        }
    }

    /// Counts the destructive calls whose records are still there, unless they were written down: a call that was stands for one
    /// record.
    pub fn recall_intents(&self, intents: &[Sent]) {
        let mut by_scope: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
        for Sent { access, own, at } in intents {
            let own = own.iter().map(|own| scope(access, own));
            own.chain([scope(access, "")]).for_each(|scope| by_scope.entry(scope).or_default().push(*at));
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (scope, mut intents) in by_scope {
            intents.sort();
            let sent = all.entry(scope).or_default();
            let mut written: Vec<Timestamp> = sent.iter().copied().collect();
            for at in intents {
                match written.iter().position(|call| is_of(*call, at)) {
                    Some(its) => drop(written.remove(its)),
                    None => sent.push_back(at),
                }
            }
            sent.make_contiguous().sort();
        }
    }
}

/// When destructive calls left, by scope.
type Sendings = BTreeMap<String, VecDeque<Timestamp>>;

fn holds(all: &mut Sendings, order: &Order, now: Timestamp, is_lifted: impl Fn(&Question) -> bool) -> Option<(Question, Timestamp)> {
    scopes(order).into_iter().find_map(|(scope, most)| {
        let sent = all.entry(scope).or_default();
        drop_old(sent, now);
        let question = question(order, most);
        let first = *sent.front()?;
        (sent.len() >= most && !is_lifted(&question)).then_some((question, first + COUNTS_FOR))
    })
}

/// Whether a call that was written down may have come of this intent.
fn is_of(call: Timestamp, intent: Timestamp) -> bool {
    let after = call.duration_since(intent);
    // A note is in whole seconds.
    after >= -SignedDuration::from_secs(1) && after <= SAME_CALL
}

/// Nothing is lent for longer: Azure ends a mount after 12 h by itself (backup.md §15), and it may take a while to close one.
const LENT_FOR: SignedDuration = SignedDuration::from_hours(48);

/// No brake is named so: its names are of words.
fn lent_scope(access: &str, namespace: &str) -> String {
    scope(access, &format!("lent to {namespace}"))
}

fn drop_old(sent: &mut VecDeque<Timestamp>, now: Timestamp) {
    while sent.front().is_some_and(|at| now.duration_since(*at) > COUNTS_FOR) {
        sent.pop_front();
    }
}

/// Short, for it is written down: the names are of no use to anybody who reads the lease.
fn scope(access: &str, own: &str) -> String {
    keys::hash(&[access, own]).chars().take(16).collect()
}

/// The brakes that an order is under: of its own scope, and of all calls of its access.
fn scopes(order: &Order) -> Vec<(String, usize)> {
    let access = &order.identity.access;
    let own = order.brake.iter().map(|b| (scope(access, &b.scope), b.most));
    own.chain([(scope(access, ""), MOST)]).collect()
}

/// The question that lifts the brake for one call.
fn question(order: &Order, most: usize) -> Question {
    let stake = Stake {
        ids: order.request.path.parse().into_iter().collect(),
        field: "brake".into(),
        from: format!("{most} destructive calls an hour"),
        to: "one more".into(),
        loses_points: false,
    };
    let asks = format!(
        "{most} destructive calls were sent within the hour. Shall {} {} be sent all the same?",
        order.request.method, order.request.path
    );
    Question::to_approve(format!("brake-{}", order.holder.1), stake, 1, asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + s).unwrap()
    }

    fn sent(access: &str, own: Option<&str>, at: Timestamp) -> Sent {
        Sent { access: access.to_owned(), own: own.map(str::to_owned), at }
    }

    fn counted(brake: &Brake, access: &str) -> usize {
        brake.0.lock().unwrap().get(&scope(access, "")).map_or(0, VecDeque::len)
    }

    #[test]
    fn times_at_the_end_of_the_calendar_do_no_harm() {
        let brake = Brake::default();
        for when in [Timestamp::MAX, Timestamp::MAX, at(0), at(0), Timestamp::MIN] {
            brake.recall_intents(&[sent("a", None, when)]);
        }
        assert_eq!(counted(&brake, "a"), 3, "one that is counted already is not counted again");
        brake.recall([("x".to_owned(), vec![i64::MAX, Timestamp::MAX.as_second()])].into());
        assert!(brake.lend("a", "shop", Timestamp::MAX, at(0)));
        brake.recall_intents(&[sent("a", None, at(10))]);
    }

    #[test]
    fn every_record_counts_that_was_not_written_down_also_by_its_policy() {
        let brake = Brake::default();
        brake.recall([(scope("a", ""), vec![at(0).as_second()]), (scope("a", "p"), vec![at(0).as_second()])].into());
        let intents: Vec<Sent> = (0..5).map(|s| sent("a", Some("p"), at(s))).chain([sent("a", None, at(5))]).collect();
        brake.recall_intents(&intents);
        assert_eq!(counted(&brake, "a"), 6, "five more than the one that the lease knew");
        assert_eq!(brake.0.lock().unwrap()[&scope("a", "p")].len(), 5);
    }

    #[test]
    fn what_is_lent_is_written_down_once_and_known_to_the_next_leader_for_its_time() {
        let brake = Brake::default();
        assert!(!brake.has_lent("a", "shop"));
        assert!(brake.lend("a", "shop", at(3_600), at(0)));
        assert!(!brake.lend("a", "shop", at(3_600), at(60)), "a lease that says so already is not written");
        let next = Brake::default();
        next.recall(brake.noted(at(60)));
        assert!(next.has_lent("a", "shop") && !next.has_lent("a", "other") && !next.has_lent("b", "shop"));
        assert_eq!(counted(&next, "a"), 0, "nothing destructive was sent");
        assert!(next.lend("b", "shop", at(99_000), at(90_000)));
        let last = Brake::default();
        last.recall(next.noted(at(90_000)));
        assert!(!last.has_lent("a", "shop"), "it is over for long");
    }
}
