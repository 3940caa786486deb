//! The brake: how many destructive calls leave in an hour. What was sent is written down with the lease, so that neither a
//! restart nor another leader begins to count anew.

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

/// When destructive calls left, by scope.
#[derive(Debug, Default)]
pub(crate) struct Brake(Mutex<BTreeMap<String, VecDeque<Timestamp>>>);

impl Brake {
    /// What holds an order back: how many calls its scope allows, and when it allows the next one.
    pub fn holds(&self, order: &Order, now: Timestamp, is_lifted: impl Fn(&Question) -> bool) -> Option<(Question, Timestamp)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scopes(order).into_iter().find_map(|(scope, most)| {
            let sent = all.entry(scope).or_default();
            drop_old(sent, now);
            let question = question(order, most);
            let first = *sent.front()?;
            (sent.len() >= most && !is_lifted(&question)).then_some((question, first + COUNTS_FOR))
        })
    }

    /// Counts a call that is about to leave; the text to write down.
    pub fn count(&self, order: &Order, now: Timestamp) -> String {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (scope, _) in scopes(order) {
            all.entry(scope).or_default().push_back(now);
        }
        all.retain(|_, sent| {
            drop_old(sent, now);
            !sent.is_empty()
        });
        let seconds = |sent: &VecDeque<Timestamp>| sent.iter().map(|at| at.as_second()).collect::<Vec<_>>();
        let text: BTreeMap<&String, Vec<i64>> = all.iter().map(|(scope, sent)| (scope, seconds(sent))).collect();
        serde_json::to_string(&text).unwrap_or_default()
    }

    /// Takes over what an earlier leader wrote down.
    pub fn recall(&self, text: &str) {
        let Ok(noted) = serde_json::from_str::<BTreeMap<String, Vec<i64>>>(text) else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (scope, sent) in noted {
            let mut sent: VecDeque<Timestamp> = sent.into_iter().filter_map(|at| Timestamp::from_second(at).ok()).collect();
            sent.make_contiguous().sort();
            all.insert(scope, sent);
        }
    }

    /// Counts a destructive call whose record is still there, unless it was written down.
    pub fn recall_intent(&self, access: &str, at: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = all.entry(scope(access, "")).or_default();
        let written = |call: &Timestamp| *call + SignedDuration::from_secs(1) >= at && *call <= at + SAME_CALL;
        if !sent.iter().any(written) {
            sent.push_back(at);
            sent.make_contiguous().sort();
        }
    }
}

fn drop_old(sent: &mut VecDeque<Timestamp>, now: Timestamp) {
    while sent.front().is_some_and(|at| *at + COUNTS_FOR < now) {
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
        "{most} destructive calls were sent within the hour. Shall {} {} be sent all the same",
        order.request.method, order.request.path
    );
    Question::to_approve(format!("brake-{}", order.holder.1), stake, 1, asks)
}
