//! Who has the next turn of a kind: first due, first served.
//!
//! kube's Controller keeps what is due beyond its limit of concurrent reconciliations in a hash set, and takes it out in no
//! order (kube-runtime 5.0, scheduler.rs): where more is due than can be done, some are served again and again, and others
//! never. Without its limit it polls every waiting future at each wake-up (future_hash_map.rs). Every step here costs the same
//! however long the line is.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use breakwater_engine::ports::ObjectKey;
use futures::StreamExt;
use tokio_util::time::{DelayQueue, delay_queue};

/// The objects of one kind: each has its turn, stands in line for it, or comes back later.
#[derive(Default)]
pub struct Line {
    due: VecDeque<Arc<ObjectKey>>,
    standing: HashSet<Arc<ObjectKey>>,
    /// Who has a turn, and whether it was woken in it.
    in_turn: HashMap<Arc<ObjectKey>, bool>,
    delays: DelayQueue<Arc<ObjectKey>>,
    later: HashMap<Arc<ObjectKey>, delay_queue::Key>,
}

impl Line {
    /// It is due: at the end of the line, in its place if it stands there already, or once more after the turn that it has.
    pub fn wake(&mut self, key: Arc<ObjectKey>) {
        if let Some(woken) = self.in_turn.get_mut(&key) {
            *woken = true;
            return;
        }
        if let Some(delay) = self.later.remove(&key) {
            self.delays.remove(&delay);
        }
        if self.standing.insert(key.clone()) {
            self.due.push_back(key);
        }
    }

    /// Who stands first has its turn from here on.
    pub fn begin(&mut self) -> Option<Arc<ObjectKey>> {
        let key = self.due.pop_front()?;
        self.standing.remove(&key);
        self.in_turn.insert(key.clone(), false);
        Some(key)
    }

    /// Its turn is over, and it comes back after so long; at once when it was woken meanwhile.
    pub fn end(&mut self, key: Arc<ObjectKey>, after: Duration) {
        if self.in_turn.remove(&key) == Some(true) {
            return self.wake(key);
        }
        let delay = self.delays.insert(key.clone(), after);
        self.later.insert(key, delay);
    }

    /// It is not there: no turn, and none later.
    pub fn leave(&mut self, key: &Arc<ObjectKey>) {
        self.in_turn.remove(key);
    }

    /// Waits until somebody who was to come back is due; for ever when there is nobody.
    pub async fn come_back(&mut self) -> Arc<ObjectKey> {
        match self.delays.next().await {
            Some(expired) => {
                let key = expired.into_inner();
                self.later.remove(&key);
                key
            }
            None => std::future::pending().await,
        }
    }
}
