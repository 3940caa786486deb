//! Leader election by a Lease, written by hand because a leader must know by its own clock when it no longer leads
//! (rust-stack.md, "Leader election").
//!
//! The leader counts its deadline from *before* its last good call; the others count the lease's duration from when they
//! first saw its last change, or that there is none. No clock of another machine is ever read, so two never lead at once.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use breakwater_engine::ports::Leadership;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{Api, api::PostParams};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::health::Heartbeat;

/// What the leader writes down for whoever leads next.
const NOTE: &str = "breakwater.io/noted";

/// How long the release at the end may take, all tries together.
const RELEASE: Duration = Duration::from_secs(5);

/// The three durations of the election, wall time.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// After so long without a change, another may take the lease.
    pub duration: Duration,
    /// After so long without a good renewal, its holder stops. Shorter than `duration` by what a request may still need.
    pub renew_deadline: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// One unbroken time of leading, by its number in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term(pub u64);

/// How long we lead, by two clocks: the steady one stands still while the whole machine is suspended.
#[derive(Clone, Copy, Debug)]
struct Until {
    steady: Instant,
    wall: Timestamp,
}

/// What the rest of the process knows of the election.
#[derive(Debug)]
pub struct Lead {
    until: Mutex<Option<Until>>,
    terms: watch::Sender<Option<Term>>,
    begun: AtomicU64,
    note: Mutex<String>,
}

impl Default for Lead {
    fn default() -> Self {
        Lead { until: Mutex::new(None), terms: watch::Sender::new(None), begun: AtomicU64::new(0), note: Mutex::default() }
    }
}

impl Leadership for Lead {
    fn leads(&self) -> bool {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until.steady && Timestamp::now() < until.wall)
    }

    fn note(&self, text: &str) {
        text.clone_into(&mut self.note.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn noted(&self) -> String {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lead {
    /// Tells when a term begins and ends; `None` while another leads. A term that ended never comes back, however short the
    /// gap was: in a gap another may have led. It may lag behind [`Leadership::leads`] by a moment: the latter decides.
    pub fn terms(&self) -> watch::Receiver<Option<Term>> {
        self.terms.subscribe()
    }

    /// The term that runs now, for what is begun in it.
    pub fn this_term(self: &Arc<Self>) -> OfTerm {
        OfTerm { lead: self.clone(), term: *self.terms.borrow() }
    }

    /// For tests of what terms do: the lease is ours for so long.
    #[cfg(test)]
    pub(crate) fn lead_for(&self, time: Duration) {
        self.set(Some(Instant::now() + time));
    }

    /// For tests of what terms do: the lease is lost.
    #[cfg(test)]
    pub(crate) fn lose(&self) {
        self.set(None);
    }

    fn until(&self) -> Option<Instant> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner).map(|until| until.steady)
    }

    fn set(&self, until: Option<Instant>) {
        let by_both = until.map(|steady| {
            let left = SignedDuration::try_from(steady.saturating_duration_since(Instant::now())).unwrap_or_default();
            Until { steady, wall: Timestamp::now().checked_add(left).unwrap_or(Timestamp::MAX) }
        });
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = by_both;
        self.terms.send_if_modified(|term| match (until, *term) {
            (Some(_), None) => {
                *term = Some(Term(self.begun.fetch_add(1, Ordering::SeqCst) + 1));
                true
            }
            (None, Some(_)) => {
                *term = None;
                true
            }
            _ => false,
        });
    }
}

/// Whether the term still runs in which something was begun: what was begun in one that ended may not go on in the next, for
/// another may have led between them.
#[derive(Debug)]
pub struct OfTerm {
    lead: Arc<Lead>,
    term: Option<Term>,
}

impl Leadership for OfTerm {
    fn leads(&self) -> bool {
        self.term.is_some() && *self.lead.terms.borrow() == self.term && self.lead.leads()
    }

    fn note(&self, text: &str) {
        if self.leads() {
            self.lead.note(text);
        }
    }

    fn noted(&self) -> String {
        self.lead.noted()
    }
}

/// What one attempt found.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// The lease is ours, written just now.
    Held,
    /// Another holds it, and it is fresh.
    Theirs(String),
    /// There is none, and not for long enough that nobody can lead by one that was there.
    Missing,
    /// Somebody wrote between our read and our write: look again.
    Contended,
}

/// One candidate.
pub struct Elector {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    lead: Arc<Lead>,
    heartbeat: Heartbeat,
    /// The lease's last resourceVersion, empty where there is no lease, and when we first saw it so.
    seen: Option<(String, Instant)>,
}

impl Elector {
    /// A candidate for the lease `name`. `identity` must differ between processes. The client of `api` must not retry.
    pub fn new(api: Api<Lease>, name: &str, identity: &str, timing: Timing, heartbeat: Heartbeat) -> Self {
        let (name, identity) = (name.to_owned(), identity.to_owned());
        Elector { api, name, identity, timing, lead: Arc::default(), heartbeat, seen: None }
    }

    /// What the election says, for everybody else.
    pub fn lead(&self) -> Arc<Lead> {
        self.lead.clone()
    }

    /// Takes, keeps and loses the lease until `stop`, then gives it back, so that the next leader need not wait. Turns must
    /// have ended before `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.step() => {}
                () = stop.cancelled() => break,
            }
        }
        let led = self.lead.until().is_some();
        self.lead.set(None);
        if led && timeout(RELEASE, self.release()).await.is_err() {
            tracing::warn!(lease = %self.name, "could not give the lease back in time: the next leader waits until it is stale");
        }
    }

    /// One attempt and the pause after it.
    async fn step(&mut self) {
        let begun = Instant::now();
        let held_until = self.lead.until();
        // One slow call does not cost the lease, and none outlives it.
        let half = self.timing.renew_deadline / 2;
        let limit = held_until.map_or(half, |until| until.saturating_duration_since(begun).min(half));
        match timeout(limit, self.attempt()).await {
            Ok(Ok(Attempt::Held)) => {
                if held_until.is_none() {
                    tracing::info!(lease = %self.name, identity = %self.identity, "leading");
                }
                self.lead.set(Some(begun + self.timing.renew_deadline));
            }
            Ok(Ok(Attempt::Theirs(holder))) => self.lose(&format!("{holder} holds the lease")),
            Ok(Ok(Attempt::Missing)) => {
                tracing::info!(lease = %self.name, after = ?self.timing.duration, "no lease is there: it is made when nobody can lead by one that was");
            }
            Ok(Ok(Attempt::Contended)) => {}
            Ok(Err(error)) => tracing::warn!(lease = %self.name, %error, "cannot reach the lease"),
            Err(_) => tracing::warn!(lease = %self.name, after = ?limit, "no answer about the lease"),
        }
        self.heartbeat.beat();
        let pause =
            self.lead.until().map_or(self.timing.retry, |until| until.saturating_duration_since(Instant::now()).min(self.timing.retry));
        sleep(pause).await;
        if self.lead.until().is_some_and(|until| Instant::now() >= until) {
            self.lose("it could not be renewed in time");
        }
    }

    fn lose(&self, why: &str) {
        if self.lead.until().is_some() {
            tracing::warn!(lease = %self.name, why, "no longer leading");
            self.lead.set(None);
        }
    }

    async fn attempt(&mut self) -> kube::Result<Attempt> {
        let found = self.api.get_opt(&self.name).await?;
        let version = found.as_ref().map(|lease| lease.metadata.resource_version.clone().unwrap_or_default()).unwrap_or_default();
        let unchanged_for = self.see(version);
        let Some(mut lease) = found else {
            // Somebody may have deleted the lease of one who leads, and who learns of it with the next renewal only.
            if self.lead.until().is_none() && unchanged_for < self.timing.duration {
                return Ok(Attempt::Missing);
            }
            let mut lease = Lease::default();
            lease.metadata.name = Some(self.name.clone());
            // Who leads knows what was written down in the one that is gone.
            lease.metadata.annotations = Some([(NOTE.to_owned(), self.lead.noted())].into()).filter(|_| self.lead.until().is_some());
            self.sign(lease.spec.get_or_insert_default());
            return Self::written(self.api.create(&PostParams::default(), &lease).await);
        };
        let spec = lease.spec.get_or_insert_default();
        if let Some(holder) = spec.holder_identity.clone().filter(|holder| !holder.is_empty() && *holder != self.identity) {
            let promised = Duration::from_secs(u64::try_from(spec.lease_duration_seconds.unwrap_or(0)).unwrap_or(0));
            if unchanged_for < promised.max(self.timing.duration) {
                return Ok(Attempt::Theirs(holder));
            }
        }
        // Whoever led before has written down what must not be forgotten; who leads writes it anew.
        let leads = spec.holder_identity.as_deref() == Some(self.identity.as_str()) && self.lead.until().is_some();
        let notes = lease.metadata.annotations.get_or_insert_default();
        match leads {
            true => drop(notes.insert(NOTE.to_owned(), self.lead.noted())),
            false => self.lead.note(notes.get(NOTE).map_or("", String::as_str)),
        }
        self.sign(lease.spec.get_or_insert_default());
        // The replacement carries the resourceVersion read above: of two candidates that see a stale lease, one loses.
        Self::written(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    /// For how long the lease has been as it is, as far as this process saw.
    fn see(&mut self, version: String) -> Duration {
        let now = Instant::now();
        match &self.seen {
            Some((seen, since)) if *seen == version => now.duration_since(*since),
            _ => {
                self.seen = Some((version, now));
                Duration::ZERO
            }
        }
    }

    fn sign(&self, spec: &mut LeaseSpec) {
        let now = MicroTime(Timestamp::now());
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |n| n.saturating_add(1)));
            spec.holder_identity = Some(self.identity.clone());
        }
        spec.renew_time = Some(now);
        spec.lease_duration_seconds = Some(i32::try_from(self.timing.duration.as_secs()).unwrap_or(i32::MAX));
    }

    fn written(result: kube::Result<Lease>) -> kube::Result<Attempt> {
        match result {
            Ok(_) => Ok(Attempt::Held),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(Attempt::Contended),
            Err(error) => Err(error),
        }
    }

    /// Empties the holder, if that is still us. Tries until it is done: a renewal of ours may land in between.
    async fn release(&self) {
        loop {
            match self.give_back().await {
                Ok(()) => return,
                Err(error) => tracing::debug!(lease = %self.name, %error, "giving the lease back failed"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn give_back(&self) -> kube::Result<()> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(self.identity.as_str()) {
            return Ok(());
        }
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        lease.metadata.annotations.get_or_insert_default().insert(NOTE.to_owned(), self.lead.noted());
        self.api.replace(&self.name, &PostParams::default(), &lease).await.map(|_| ())
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
