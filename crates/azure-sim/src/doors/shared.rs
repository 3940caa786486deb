//! One simulator behind all doors.

use std::{
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    azure::Azure,
    doors::{WorldClock, issuers::Issuers},
    wire::{WireReply, WireRequest},
};

/// How many journal entries stay in memory behind the doors; all go to the journal file.
const KEPT_ENTRIES: usize = 200_000;

/// The simulator with its clock, its journal file and its way to other issuers' keys. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    inner: Arc<Mutex<Inner>>,
    issuers: Issuers,
}

pub(super) struct Inner {
    pub(super) azure: Azure,
    pub(super) clock: WorldClock,
    journal: Option<std::fs::File>,
    written: u64,
}

impl Shared {
    /// Puts a simulator behind doors.
    pub fn new(azure: Azure, clock: WorldClock, issuers: Issuers, journal: Option<std::fs::File>) -> Self {
        Shared { inner: Arc::new(Mutex::new(Inner { azure, clock, journal, written: 0 })), issuers }
    }

    /// A panic in one request must not close the doors for the others: the lock's poison is ignored.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at or changes the simulator, at the present world time.
    pub fn with<T>(&self, act: impl FnOnce(&mut Azure) -> T) -> T {
        let mut inner = self.lock();
        inner.catch_up();
        let result = act(&mut inner.azure);
        inner.write_journal();
        result
    }

    /// World time and the factor of the clock.
    pub fn clock(&self) -> (Timestamp, f64) {
        let inner = self.lock();
        (inner.clock.at(Timestamp::now()), inner.clock.factor())
    }

    /// Pushes the clock forward, sets its factor, or both; the world catches up at once.
    pub fn turn_clock(&self, by: Option<SignedDuration>, factor: Option<f64>) -> Timestamp {
        let mut inner = self.lock();
        let wall = Timestamp::now();
        if let Some(by) = by {
            inner.clock.push(wall, by);
        }
        if let Some(factor) = factor {
            inner.clock.set_factor(wall, factor);
        }
        inner.catch_up()
    }

    /// Answers one request, fetching an issuer's keys first when a federated assertion needs them.
    pub async fn answer(&self, request: WireRequest) -> (WireReply, f64) {
        let wall = Timestamp::now();
        let issuer = self.lock().azure.wanted_issuer(&request, wall);
        if let Some(issuer) = issuer {
            match self.issuers.keys(&issuer).await {
                Ok(keys) => self.lock().azure.learn_keys(&issuer, keys, wall),
                Err(error) => tracing::warn!(%issuer, error = &error as &dyn std::error::Error, "the issuer's keys cannot be fetched"),
            }
        }
        let mut inner = self.lock();
        let wall = Timestamp::now();
        let now = inner.clock.at(wall);
        let reply = inner.azure.handle_at(now, wall, request);
        inner.write_journal();
        let factor = inner.clock.factor();
        (reply, factor)
    }

    /// Lets the world run while nobody calls. Ends when dropped.
    pub async fn tick(self) {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            self.lock().catch_up();
        }
    }
}

impl Inner {
    fn catch_up(&mut self) -> Timestamp {
        let now = self.clock.at(Timestamp::now());
        self.azure.advance(now);
        now
    }

    fn write_journal(&mut self) {
        if let Some(file) = &mut self.journal {
            for entry in self.azure.journal().since(self.written) {
                let mut line = serde_json::to_vec(entry).unwrap_or_default();
                line.push(b'\n');
                if let Err(error) = file.write_all(&line).and_then(|()| file.flush()) {
                    tracing::error!(%error, "the journal file cannot be written");
                }
            }
        }
        self.written = self.azure.journal().next_seq() - 1;
        if self.azure.journal().entries().len() > KEPT_ENTRIES + KEPT_ENTRIES / 4 {
            self.azure.journal_mut().trim(KEPT_ENTRIES);
        }
    }
}
