//! `/healthz`, `/readyz` and `/metrics`, on one listener.
//!
//! Live means that the loop which renews the lease still turns. Ready means that every store was read whole once: a standby
//! is ready too, and warm.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use breakwater_engine::ports::Leadership;
use tokio::time::Instant;

use crate::{
    census,
    lease::Lead,
    metrics::{Metrics, OPENMETRICS},
    watch::Watches,
};

/// The lease loop beats at least every 7 s (5 s for an attempt, 2 s between): so long without a beat, and it hangs.
const LOST: Duration = Duration::from_secs(60);

/// A pulse: somebody beats it, `/healthz` looks for the last beat.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Mutex<Instant>>);

impl Default for Heartbeat {
    fn default() -> Self {
        Heartbeat(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Heartbeat {
    /// Says: still alive, now.
    pub fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago that was said last.
    pub fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// What the three pages show.
#[derive(Clone)]
pub struct Health {
    /// Beaten by the lease loop.
    pub heartbeat: Heartbeat,
    /// The stores.
    pub watches: Arc<Watches>,
    /// The counters.
    pub metrics: Metrics,
    /// Whether we lead.
    pub lead: Arc<Lead>,
    /// Objects were counted not long ago.
    pub counted: Counted,
}

/// When objects were counted last. All of them are opened for that, and the page may be asked for by anybody in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Counted(Arc<Mutex<Option<Instant>>>);

/// Between two countings.
const COUNTED_FOR: Duration = Duration::from_secs(2);

impl Counted {
    /// Whether it is time to count again; then it counts from now.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= COUNTED_FOR);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The three pages as a router.
pub fn router(health: Health) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(metrics)).with_state(health)
}

async fn healthz(State(health): State<Health>) -> Response {
    let age = health.heartbeat.age();
    if age < LOST {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("the lease loop has been silent for {} s\n", age.as_secs())).into_response()
}

async fn readyz(State(health): State<Health>) -> Response {
    let missing = health.watches.unsynced();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not yet read: {}\n", missing.join(", "))).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    let leads = health.lead.leads();
    health.metrics.record_leader(leads);
    if !leads {
        health.counted.forget();
        census::forget(&health.watches, &health.metrics);
    } else if health.counted.is_due() {
        census::take(&health.watches, &health.metrics);
    }
    match health.metrics.encode() {
        Ok(page) => ([(CONTENT_TYPE, OPENMETRICS)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::{kinds::KINDS, watch::Watches};

    async fn page(health: &Health, path: &str) -> (StatusCode, String) {
        let answer = router(health.clone()).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn health() -> Health {
        Health {
            heartbeat: Heartbeat::default(),
            watches: Arc::new(Watches::unread(KINDS).0),
            metrics: Metrics::default(),
            lead: Arc::default(),
            counted: Counted::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn objects_are_counted_every_other_second_at_most() {
        let counted = Counted::default();
        let mut due = Vec::new();
        for passes in [0, 1, 1, 0, 2] {
            tokio::time::advance(Duration::from_secs(passes)).await;
            due.push(counted.is_due());
        }
        assert_eq!(due, [true, false, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn live_while_the_lease_loop_beats() {
        let health = health();
        assert_eq!(page(&health, "/healthz").await.0, StatusCode::OK);
        tokio::time::advance(Duration::from_secs(61)).await;
        let (status, text) = page(&health, "/healthz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("61 s"), "{text}");
        health.heartbeat.beat();
        assert_eq!(page(&health, "/healthz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn not_ready_until_every_store_was_read_and_says_which_was_not() {
        let (status, text) = page(&health(), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("RecoveryVault") && text.contains("Namespace"), "{text}");
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let health = health();
        let (status, text) = page(&health, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.contains("breakwater_leader 0") && text.ends_with("# EOF\n"), "{text}");
        health.lead.lead_for(Duration::from_secs(10));
        assert!(page(&health, "/metrics").await.1.contains("breakwater_leader 1"));
    }
}
