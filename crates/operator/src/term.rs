//! One term of leadership after another: wait for the lease, let the stores catch up, build the engine anew, drive it until
//! the term or the process ends, and let its turns finish.

use std::{sync::Arc, time::Duration};

use breakwater_engine::ports::Entropy;
use futures::future::BoxFuture;
use kube::Client;
use tokio::{sync::watch::Receiver, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    controllers::{Driver, Ended, Turns, Waker},
    history::{NotCompared, WentBackwards},
    lease::{Lead, Term},
    metrics::Metrics,
    watch::Watches,
};

/// Before asking the API server again when it could not be read.
const AGAIN: Duration = Duration::from_secs(2);

/// What one term does: made by the wiring at its start, so that nothing that an earlier term knew lives on.
pub struct Work {
    /// The engine's turns.
    pub turns: Arc<dyn Turns>,
    /// What runs beside them until the term ends, by name: sweeps. Dropped at an await when it ends.
    pub beside: Vec<(&'static str, BoxFuture<'static, ()>)>,
}

/// Why terms came to an end that nobody asked for. The process must exit: what runs is no longer what should.
#[derive(Debug, thiserror::Error)]
pub enum TermError {
    /// The election itself ended.
    #[error("the election ended by itself")]
    NoElection,
    /// The stores are of another history than the API server.
    #[error(transparent)]
    Backwards(#[from] WentBackwards),
    /// The engine could not be built.
    #[error("the engine could not be started")]
    Start(#[source] anyhow::Error),
    /// A controller ended.
    #[error(transparent)]
    Controller(#[from] Ended),
    /// What ran beside the turns ended.
    #[error("{0} ended by itself")]
    Beside(String),
    /// Turns did not end in time. The lease must not be given back: they may still write.
    #[error("turns still ran {} s after they were asked to end", .0.as_secs())]
    StillRunning(Duration),
}

/// What terms need.
pub struct Terms {
    /// The stores, synced.
    pub watches: Arc<Watches>,
    /// For live reads.
    pub live: Client,
    /// The election.
    pub lead: Arc<Lead>,
    /// Counters.
    pub metrics: Metrics,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Turns at once, a kind.
    pub concurrency: u16,
    /// How long running turns may take to end.
    pub patience: Duration,
}

impl Terms {
    /// Leads whenever the lease is ours, until `stop`. Returns with no turn running, but for [`TermError::StillRunning`].
    ///
    /// # Errors
    /// When something ended that should not have.
    pub async fn run(&self, start: impl Fn(Waker) -> anyhow::Result<Work>, stop: &CancellationToken) -> Result<(), TermError> {
        let mut terms = self.lead.terms();
        loop {
            let term = tokio::select! {
                biased; // a stop wins over a term that could begin
                () = stop.cancelled() => return Ok(()),
                begun = terms.wait_for(Option::is_some) => begun.ok().and_then(|term| *term).ok_or(TermError::NoElection)?,
            };
            tracing::info!(term = term.0, "a term begins");
            let ended = self.serve(term, &start, stop).await;
            tracing::info!(term = term.0, "the term ended");
            ended?;
        }
    }

    async fn serve(&self, term: Term, start: impl Fn(Waker) -> anyhow::Result<Work>, stop: &CancellationToken) -> Result<(), TermError> {
        let over = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = ended(self.lead.terms(), term) => {}
            }
        };
        tokio::pin!(over);
        self.metrics.forget_term();
        tokio::select! {
            caught_up = self.caught_up() => caught_up?,
            () = &mut over => return Ok(()),
        }
        let halt = CancellationToken::new();
        let driver = Driver::new(&self.watches, self.metrics.clone(), self.entropy.clone(), self.concurrency);
        let work = start(driver.waker()).map_err(TermError::Start)?;
        let mut beside = JoinSet::new();
        for (name, future) in work.beside {
            beside.spawn(async move {
                future.await;
                name.to_owned()
            });
        }
        let driving = driver.run(work.turns, halt.clone());
        tokio::pin!(driving);
        let trouble = tokio::select! {
            ended = &mut driving => return ended.map_err(TermError::from),
            Some(ended) = beside.join_next() => Some(TermError::Beside(ended.unwrap_or_else(|panic| panic.to_string()))),
            () = &mut over => None,
        };
        halt.cancel();
        drop(beside);
        match timeout(self.patience, driving).await {
            Err(_) => Err(TermError::StillRunning(self.patience)),
            Ok(Err(ended)) => Err(ended.into()),
            Ok(Ok(())) => trouble.map_or(Ok(()), Err),
        }
    }

    /// Waits, however long it takes, until the stores show what the API server shows.
    async fn caught_up(&self) -> Result<(), WentBackwards> {
        loop {
            match self.watches.caught_up(&self.live).await {
                Ok(()) => return Ok(()),
                Err(NotCompared::Backwards(error)) => return Err(error),
                Err(NotCompared::Unread(error)) => {
                    tracing::warn!(%error, "cannot compare the stores with the API server; no turn begins before that");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

async fn ended(mut terms: Receiver<Option<Term>>, term: Term) {
    // An error means that the election is gone, which ends the term as well.
    let _gone = terms.wait_for(|now| *now != Some(term)).await.map(drop);
}

#[cfg(test)]
#[path = "term_tests.rs"]
mod tests;
