//! Who holds what: the registry of locks and the order of claims. In memory, rebuilt from every object's
//! `status.operations` before a new leader's first write.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use breakwater_plan::kind::Claim;
use jiff::Timestamp;

use crate::ports::ObjectKey;

/// One node of one object.
pub type Holder = (ObjectKey, String);

/// Locks that open operations hold.
#[derive(Default)]
pub struct Locks {
    held: Mutex<BTreeMap<String, Holder>>,
}

impl Locks {
    /// Takes all or none; the answer names the first that somebody else holds.
    ///
    /// # Errors
    /// The lock and its holder.
    pub fn take(&self, locks: &[String], holder: &Holder) -> Result<(), (String, Holder)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = anothers(&held, locks, holder) {
            return Err(held);
        }
        for lock in locks {
            held.insert(lock.clone(), holder.clone());
        }
        Ok(())
    }

    /// The first of these that somebody else holds, and who.
    pub fn held_by_another(&self, locks: impl IntoIterator<Item = impl AsRef<str>>, holder: &Holder) -> Option<(String, Holder)> {
        anothers(&self.held.lock().unwrap_or_else(PoisonError::into_inner), locks, holder)
    }

    /// Whether this holder holds all of them.
    pub fn holds(&self, locks: &[String], holder: &Holder) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        locks.iter().all(|l| held.get(l) == Some(holder))
    }

    /// Gives back all that a holder held.
    pub fn release(&self, holder: &Holder) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, by| by != holder);
    }

    /// Gives back all that an object held except for these nodes.
    pub fn keep_only(&self, object: &ObjectKey, nodes: &[&str]) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, (by, node)| by != object || nodes.contains(&node.as_str()));
    }

    /// How many are held.
    pub fn count(&self) -> usize {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The first of these locks that somebody else holds.
fn anothers(
    held: &BTreeMap<String, Holder>,
    locks: impl IntoIterator<Item = impl AsRef<str>>,
    holder: &Holder,
) -> Option<(String, Holder)> {
    locks.into_iter().find_map(|l| held.get(l.as_ref()).filter(|h| *h != holder).map(|h| (l.as_ref().to_owned(), h.clone())))
}

/// What an object brings to a contest: the smaller wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// The holder keeps it.
    not_held: bool,
    /// Else explicit before selector.
    not_explicit: bool,
    /// Else the older.
    created: Timestamp,
    uid: String,
}

/// Claims of all live objects.
#[derive(Default)]
pub struct Claims {
    all: Mutex<Contests>,
}

/// Each claim has one contender as a rule, and there are tens of thousands of claims: a list of them is small, a tree is not.
#[derive(Default)]
struct Contests {
    by_key: BTreeMap<Arc<str>, Vec<(ObjectKey, Rank)>>,
    /// What each object claims: a turn looks at its own claims, not at everybody's.
    of: BTreeMap<ObjectKey, Box<[Arc<str>]>>,
}

impl Contests {
    fn withdraw(&mut self, object: &ObjectKey) {
        for key in self.of.remove(object).unwrap_or_default() {
            if let Some(contenders) = self.by_key.get_mut(&key) {
                contenders.retain(|(contender, _)| contender != object);
                if contenders.is_empty() {
                    self.by_key.remove(&key);
                }
            }
        }
    }

    fn state(&mut self, object: &ObjectKey, key: &Arc<str>, rank: Rank) {
        let contenders = self.by_key.entry(key.clone()).or_insert_with(|| Vec::with_capacity(1));
        contenders.retain(|(contender, _)| contender != object);
        contenders.push((object.clone(), rank));
    }
}

impl Claims {
    fn open(&self) -> MutexGuard<'_, Contests> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// States an object's claims anew, in place of all that it claimed before.
    pub fn state(&self, object: &ObjectKey, uid: &str, created: Timestamp, claims: &[Claim]) {
        let mut all = self.open();
        all.withdraw(object);
        let keys: Box<[Arc<str>]> = claims.iter().map(|claim| Arc::from(claim.key.as_str())).collect();
        for (claim, key) in claims.iter().zip(&keys) {
            let rank = Rank { not_held: !claim.holds, not_explicit: !claim.explicit, created, uid: uid.to_owned() };
            all.state(object, key, rank);
        }
        if !keys.is_empty() {
            all.of.insert(object.clone(), keys);
        }
    }

    /// Withdraws all claims of an object that is gone.
    pub fn withdraw(&self, object: &ObjectKey) {
        self.open().withdraw(object);
    }

    /// The first claim of this object that another one wins. Says nothing of the other.
    pub fn lost(&self, object: &ObjectKey, claims: &[Claim]) -> Option<String> {
        let all = self.open();
        claims.iter().find_map(|claim| {
            let contenders = all.by_key.get(claim.key.as_str())?;
            // Of two that rank alike the first by name: the same one whoever asks.
            let (winner, _) = contenders.iter().min_by(|(a, of_a), (b, of_b)| (of_a, a).cmp(&(of_b, b)))?;
            (winner != object).then(|| claim.key.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { kind: "ProtectedMachine".into(), namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn locks_are_taken_all_or_none() {
        let locks = Locks::default();
        let (a, b) = ((key("a"), "n".to_owned()), (key("b"), "n".to_owned()));
        locks.take(&["x".into()], &a).unwrap();
        assert_eq!(locks.take(&["y".into(), "x".into()], &b).unwrap_err(), ("x".into(), a.clone()));
        assert_eq!(locks.count(), 1);
        locks.take(&["x".into()], &a).unwrap();
        locks.release(&a);
        locks.take(&["y".into(), "x".into()], &b).unwrap();
        assert!(locks.holds(&["x".into(), "y".into()], &b));
    }

    #[test]
    fn the_holder_keeps_a_claim_then_explicit_wins_then_the_older() {
        let claims = Claims::default();
        let machine: breakwater_arm::ResourceId = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg".parse().unwrap();
        let claim = |holds, explicit| vec![Claim { key: "m".into(), target: machine.clone(), holds, explicit }];
        let at = |s| Timestamp::from_second(s).unwrap();
        claims.state(&key("young"), "2", at(20), &claim(false, false));
        claims.state(&key("old"), "1", at(10), &claim(false, false));
        assert_eq!(claims.lost(&key("young"), &claim(false, false)), Some("m".into()));
        assert_eq!(claims.lost(&key("old"), &claim(false, false)), None);
        claims.state(&key("young"), "2", at(20), &claim(false, true));
        assert_eq!(claims.lost(&key("old"), &claim(false, false)), Some("m".into()));
        claims.state(&key("old"), "1", at(10), &claim(true, false));
        assert_eq!(claims.lost(&key("young"), &claim(false, true)), Some("m".into()));
        claims.withdraw(&key("old"));
        assert_eq!(claims.lost(&key("young"), &claim(false, true)), None);
    }
}
