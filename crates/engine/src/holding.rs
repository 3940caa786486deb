//! What an object's open operations hold, and for how long.

use breakwater_api::{OperationRecord, Reason};
use breakwater_plan::{
    kind::Kind,
    planner::{Plan, Verdict},
};

use crate::{debts, engine::locks_of, turn::Turn};

impl<K: Kind> Turn<'_, K> {
    /// What is open holds its locks, also where they could not be taken when this process began to lead: its access may have been
    /// away then.
    pub(crate) fn hold_locks(&self) {
        // What only others keep from going holds nothing and claims nothing.
        if debts::is_left(&self.object) {
            self.engine.claims.withdraw(&self.key);
            return self.engine.locks.keep_only(&self.key, &[]);
        }
        // What was taken for an intent that was never saved is nobody's.
        let open: Vec<&str> = self.subject.operations.keys().map(String::as_str).collect();
        self.engine.locks.keep_only(&self.key, &open);
        let Ok(by) = &self.access else { return };
        for record in self.subject.operations.values() {
            let (locks, holder) = (locks_of(record, &by.grant, self.began), (self.key.clone(), record.node.clone()));
            if let Err((lock, (by, _))) = self.engine.locks.take(&locks, &holder) {
                tracing::debug!(lock, holder = by.name, "a lock is held twice");
            }
        }
    }

    /// What may be sent again, got no answer and shows in nothing holds nobody up meanwhile: its locks are taken again before it is.
    pub(crate) fn rest(&self, plan: &Plan) {
        let settled = |record: &&OperationRecord| record.intent_at + self.engine.bounds.settle <= self.engine.now();
        let unheard = |record: &&OperationRecord| {
            record.handle.is_none() && record.ended_at.is_none() && record.job.is_none() && record.debt.is_none() && record.verb != "act"
        };
        let runs = |record: &&OperationRecord| {
            matches!(plan.verdicts.get(&record.node), Some(Verdict::Wait { reason: Reason::OperationRunning, .. }))
        };
        for record in self.subject.operations.values().filter(|r| settled(r) && unheard(r) && !runs(r)) {
            self.engine.locks.release(&(self.key.clone(), record.node.clone()));
        }
    }
}
