//! A turn that cannot say what should be: what was begun is followed all the same, what is owed falls due, and why is told.

use breakwater_api::{OperationRecord, operations::Outcome};
use breakwater_plan::{
    graph::{Desired, Hold, HoldKind},
    kind::Kind,
    planner::{Step, Verdict},
};
use jiff::{SignedDuration, Timestamp};

use crate::{debts, engine::Next, look, publish::Pause, resolve::Resolved, turn::Turn};

/// What becomes of operations whose nodes are not in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphans {
    /// Nobody wants them any more.
    Unwanted,
    /// For now nobody can say whether they are wanted: of what happens once nothing is forgotten.
    Untold,
}

impl<K: Kind> Turn<'_, K> {
    /// Operations whose nodes nobody wants any more, or cannot say: followed to their end all the same.
    pub(crate) async fn follow_orphans(&mut self, resolved: &Resolved, why: Orphans) {
        for _ in 0..4 {
            let none = Desired::new();
            let mut plan = self.plan(&none, resolved);
            if why == Orphans::Untold {
                let operations = &self.subject.operations;
                plan.verdicts.retain(|key, verdict| {
                    !matches!(verdict, Verdict::Do(Step::Forget)) || operations.get(key).is_none_or(|record| !may_run(record))
                });
            }
            if !look::look(self, &none, &plan).await {
                return self.come_back(plan.next());
            }
        }
    }

    /// Another object has what this one claims: what it has begun is followed to its end, and its locks go then.
    pub(crate) async fn lost_its_claim(&mut self, hold: &Hold) -> Next {
        if !self.subject.operations.is_empty() {
            self.overlay();
            let resolved = self.resolve().await;
            self.follow_orphans(&resolved, Orphans::Unwanted).await;
        }
        self.tell_hold(hold).await
    }

    /// Looks again at that time at the latest, whatever else is due.
    pub(crate) fn come_back(&mut self, at: Option<Timestamp>) {
        self.beside = [self.beside, at].into_iter().flatten().min();
    }

    /// Tells a hold.
    pub(crate) async fn tell_hold(&mut self, hold: &Hold) -> Next {
        let held = self.no_access().cloned().unwrap_or_else(|| hold.clone());
        let resolved = self.resolve().await;
        let report = K::report(&self.subject, &resolved.facts, Err(&held));
        self.publish(&report, None, Err(&held)).await;
        self.engine.outside.telemetry.turn(K::NAME, held.reason.as_str());
        let wait = match held.kind {
            _ if self.unwritten => self.engine.backoff(8),
            HoldKind::Wait => held.until.map_or(self.engine.bounds.read_every * 6, |at| at.duration_since(self.engine.now())),
            HoldKind::Stuck => SignedDuration::from_mins(10),
        };
        let wait = wait.max(self.engine.bounds.read_every);
        // What is owed falls due whatever is in the way of the rest.
        let now = self.engine.now();
        let early = self.pause != Pause::None || debts::is_refused(self);
        let debts = debts::next_due(&self.key, &self.subject.operations, &self.engine.reader.memory, early);
        // A time that is past and could not be used is no reason to turn again at once.
        let soonest = now + self.engine.bounds.read_every;
        let times = [report.next, debts, self.beside].into_iter().flatten().min();
        Next::At(times.map_or(now + wait, |at| at.max(soonest).min(now + wait)))
    }
}

/// Whether what happens once may have been begun, and no job of it is known yet.
fn may_run(record: &OperationRecord) -> bool {
    let refused = record.error.is_some() && !matches!(record.outcome, Some(Outcome::Failed | Outcome::Cancelled));
    record.verb == "act" && record.job.is_none() && !refused
}
