//! An object that goes by itself: its time after the end is over, and its spec says so.

use breakwater_plan::kind::Kind;
use jiff::Timestamp;

use crate::{
    engine::Next,
    ports::ClusterError,
    publish::Pause,
    turn::{AT_THE_LATEST, Turn},
};

impl<K: Kind> Turn<'_, K> {
    /// Whether the object itself is to be deleted now: its time is over, and nothing of it is open.
    pub(crate) fn is_to_go(&self, at: Option<Timestamp>) -> bool {
        let due = at.is_some_and(|at| at <= self.engine.now());
        due && self.subject.operations.is_empty() && self.pause == Pause::None && !self.subject.meta.deleting
    }

    /// Deletes the object, as its spec says. What it made in Azure stays.
    pub(crate) async fn remove(&self) -> Next {
        if !self.engine.outside.leadership.leads() {
            return Next::At(self.engine.now() + self.engine.backoff(1));
        }
        tracing::info!("deleted, as its spec says: its time after the end is over");
        self.engine.outside.telemetry.kube_write(K::NAME, "delete");
        match self.engine.outside.cluster.delete(&self.key, &self.subject.meta.uid, &self.engine.outside.leads()).await {
            Ok(()) | Err(ClusterError::NotFound) => Next::At(self.engine.now() + AT_THE_LATEST),
            Err(e) => {
                tracing::warn!(error = %e, "not deleted yet");
                Next::At(self.engine.now() + self.engine.backoff(3))
            }
        }
    }
}
