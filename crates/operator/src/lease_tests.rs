//! Two candidates against a Lease in process, on a paused clock: hours of election in milliseconds.

use std::sync::atomic::AtomicBool;

use axum::{
    Json, Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;

/// The API server's one lease, with its resourceVersion.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Option<Value>>>);

impl Server {
    fn read(&self) -> Response {
        self.0.lock().unwrap().clone().map_or_else(|| refusal(404, "NotFound"), |lease| Json(lease).into_response())
    }

    fn write(&self, mut lease: Value, creating: bool) -> Response {
        let mut stored = self.0.lock().unwrap();
        let version = stored.as_ref().map(|s| s["metadata"]["resourceVersion"].as_str().unwrap().to_owned());
        match (creating, &version) {
            (true, Some(_)) => return refusal(409, "AlreadyExists"),
            (false, None) => return refusal(404, "NotFound"),
            (false, Some(version)) if lease["metadata"]["resourceVersion"] != json!(version) => return refusal(409, "Conflict"),
            _ => {}
        }
        let next = version.map_or(1, |v| v.parse::<u64>().unwrap() + 1);
        lease["metadata"]["resourceVersion"] = json!(next.to_string());
        *stored = Some(lease.clone());
        Json(lease).into_response()
    }

    fn holder(&self) -> String {
        self.0.lock().unwrap().as_ref().map_or_else(String::new, |l| l["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    }

    /// A client whose network can be cut: then no answer ever comes, as with a dropped packet. Other answers take `delay`
    /// after the server did what was asked.
    fn client(&self, cut: &Arc<AtomicBool>, delay: Duration) -> Client {
        let one = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l";
        let all = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";
        let (reader, creator, replacer) = (self.clone(), self.clone(), self.clone());
        let line = cut.clone();
        let app = Router::new()
            .route(one, get(move || async move { reader.read() }).put(move |Json(l): Json<Value>| async move { replacer.write(l, false) }))
            .route(all, axum::routing::post(move |Json(l): Json<Value>| async move { creator.write(l, true) }))
            .layer(axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
                let line = line.clone();
                async move {
                    if line.load(Ordering::SeqCst) {
                        std::future::pending::<()>().await;
                    }
                    let answer = next.run(request).await;
                    sleep(delay).await;
                    answer
                }
            }));
        Client::new(app, "ns")
    }
}

fn refusal(code: u16, reason: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code});
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}

struct Candidate {
    lead: Arc<Lead>,
    cut: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The lease as an earlier leader gave it back: who comes first need not wait.
fn given_back() -> Server {
    let spec = json!({ "holderIdentity": "", "leaseDurationSeconds": 15 });
    Server(Arc::new(Mutex::new(Some(json!({ "metadata": { "name": "l", "namespace": "ns", "resourceVersion": "1" }, "spec": spec })))))
}

fn candidate(server: &Server, identity: &str) -> Candidate {
    slow_candidate(server, identity, Duration::ZERO)
}

fn slow_candidate(server: &Server, identity: &str, delay: Duration) -> Candidate {
    let (cut, stop) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
    let api = Api::namespaced(server.client(&cut, delay), "ns");
    let elector = Elector::new(api, "l", identity, Timing::default(), Heartbeat::default());
    let lead = elector.lead();
    let task = tokio::spawn(elector.run(stop.clone()));
    Candidate { lead, cut, stop, task }
}

/// Lets the clock run, and looks every 50 ms that at most one leads. Returns how many seconds each led.
async fn watch_for(seconds: u64, candidates: &[&Candidate]) -> Vec<f64> {
    let mut led = vec![0.0; candidates.len()];
    for _ in 0..seconds * 20 {
        sleep(Duration::from_millis(50)).await;
        let leading: Vec<usize> = (0..candidates.len()).filter(|&i| candidates[i].lead.leads()).collect();
        assert!(leading.len() <= 1, "two lead at once: {leading:?}");
        leading.into_iter().for_each(|i| led[i] += 0.05);
    }
    led
}

#[tokio::test(start_paused = true)]
async fn one_of_two_leads_and_goes_on_leading() {
    let server = given_back();
    let (a, b) = (candidate(&server, "a"), candidate(&server, "b"));
    let led = watch_for(300, &[&a, &b]).await;
    assert!(led[0].max(led[1]) > 299.0 && led[0].min(led[1]) == 0.0, "{led:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_network_stops_before_another_begins() {
    let server = given_back();
    let a = candidate(&server, "a");
    watch_for(5, &[&a]).await;
    let b = candidate(&server, "b");
    watch_for(20, &[&a, &b]).await;
    assert!(a.lead.leads() && !b.lead.leads());

    a.cut.store(true, Ordering::SeqCst);
    let led = watch_for(10, &[&a, &b]).await;
    assert!(!a.lead.leads() && led[1] == 0.0, "the old leader stops by its own clock: {led:?}");
    watch_for(10, &[&a, &b]).await;
    assert!(b.lead.leads(), "the other takes over when the lease has not moved for its duration");

    a.cut.store(false, Ordering::SeqCst);
    let led = watch_for(60, &[&a, &b]).await;
    assert!(led[0] == 0.0 && b.lead.leads(), "who comes back finds the lease taken: {led:?}");
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_does_not_cost_the_lease() {
    let server = given_back();
    let (a, b) = (candidate(&server, "a"), candidate(&server, "b"));
    watch_for(20, &[&a, &b]).await;
    let (first, second) = if a.lead.leads() { (a, b) } else { (b, a) };
    first.cut.store(true, Ordering::SeqCst);
    watch_for(4, &[&first, &second]).await;
    first.cut.store(false, Ordering::SeqCst);
    let led = watch_for(30, &[&first, &second]).await;
    assert!(led[0] > 29.0, "{led:?}");
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_lease_nobody_leads_before_one_that_was_there_is_over() {
    let server = Server::default();
    let a = candidate(&server, "a");
    let led = watch_for(15, &[&a]).await;
    assert_eq!(led, [0.0], "the first one of all waits too: it cannot know");
    watch_for(4, &[&a]).await;
    assert!(a.lead.leads());

    let b = candidate(&server, "b");
    watch_for(5, &[&a, &b]).await;
    a.cut.store(true, Ordering::SeqCst);
    *server.0.lock().unwrap() = None;
    let led = watch_for(14, &[&a, &b]).await;
    assert!(!a.lead.leads() && led[1] == 0.0, "a deleted lease is as good as one that stands: {led:?}");
    watch_for(5, &[&a, &b]).await;
    assert!(b.lead.leads());
    *server.0.lock().unwrap() = None;
    let led = watch_for(30, &[&a, &b]).await;
    assert!(led[1] > 29.0, "who leads makes it anew and goes on: {led:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_promises_less_than_ours_is_waited_for_as_ours_is() {
    let server = given_back();
    let a = candidate(&server, "a");
    watch_for(3, &[&a]).await;
    a.cut.store(true, Ordering::SeqCst);
    server.0.lock().unwrap().as_mut().unwrap()["spec"]["leaseDurationSeconds"] = json!(0);
    let b = candidate(&server, "b");
    let led = watch_for(14, &[&a, &b]).await;
    assert_eq!(led[1], 0.0);
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_the_lease_back_at_once() {
    let server = given_back();
    let a = candidate(&server, "a");
    watch_for(3, &[&a]).await;
    let b = candidate(&server, "b");
    watch_for(3, &[&a, &b]).await;
    assert_eq!(server.holder(), "a");
    a.stop.cancel();
    a.task.await.unwrap();
    assert_eq!(server.holder(), "");
    assert!(!a.lead.leads());
    watch_for(3, &[&b]).await;
    assert!(b.lead.leads(), "no wait for the duration after a clean stop");
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_noted_is_with_whoever_leads_next() {
    let server = given_back();
    let a = candidate(&server, "a");
    watch_for(3, &[&a]).await;
    a.lead.note("first");
    watch_for(5, &[&a]).await;
    let b = candidate(&server, "b");
    // Without a clean end: the lease goes stale.
    a.cut.store(true, Ordering::SeqCst);
    watch_for(30, &[&a, &b]).await;
    assert!(b.lead.leads());
    assert_eq!(b.lead.noted(), "first");
    // With one: what was noted a moment ago goes with it.
    b.lead.note("second");
    b.stop.cancel();
    b.task.await.unwrap();
    let c = candidate(&server, "c");
    watch_for(3, &[&c]).await;
    assert_eq!((c.lead.leads(), c.lead.noted().as_str()), (true, "second"));
}

#[tokio::test(start_paused = true)]
async fn a_lease_taken_away_ends_leadership_at_the_next_attempt() {
    let server = given_back();
    let a = candidate(&server, "a");
    let terms = a.lead.terms();
    watch_for(3, &[&a]).await;
    assert_eq!(*terms.borrow(), Some(Term(1)));
    {
        let mut lease = server.0.lock().unwrap();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("somebody");
        lease["metadata"]["resourceVersion"] = json!("1000");
    }
    watch_for(5, &[&a]).await;
    assert!(!a.lead.leads() && terms.borrow().is_none());
    watch_for(16, &[&a]).await;
    assert!(a.lead.leads(), "and the abandoned lease is taken again");
    assert_eq!(*terms.borrow(), Some(Term(2)), "as another term");
}

#[tokio::test(start_paused = true)]
async fn stopping_without_network_ends_all_the_same() {
    let server = given_back();
    let a = candidate(&server, "a");
    watch_for(3, &[&a]).await;
    a.cut.store(true, Ordering::SeqCst);
    let asked = Instant::now();
    a.stop.cancel();
    a.task.await.unwrap();
    assert!(asked.elapsed() <= Duration::from_secs(6));
    assert_eq!(server.holder(), "a");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_before_the_question_however_slow_the_answer() {
    let server = given_back();
    // A read and a write of 2 s each: 4 s from question to answer, and 2 s from the write to the answer.
    let a = slow_candidate(&server, "a", Duration::from_secs(2));
    while !a.lead.leads() {
        watch_for(1, &[&a]).await;
    }
    let answered = Instant::now();
    a.cut.store(true, Ordering::SeqCst);
    while a.lead.leads() {
        watch_for(1, &[&a]).await;
    }
    let led = answered.elapsed();
    assert!(led <= Duration::from_secs(7), "10 s from the question are at most 6 s from its answer: {led:?}");
}

#[test]
fn what_was_begun_in_a_term_that_ended_may_do_nothing_in_the_next() {
    let lead = Arc::new(Lead::default());
    assert!(!lead.this_term().leads(), "none has begun");
    lead.lead_for(Duration::from_secs(60));
    let first = lead.this_term();
    assert!(first.leads());
    lead.lose();
    assert!(!first.leads());
    lead.lead_for(Duration::from_secs(60));
    assert!(!first.leads() && lead.this_term().leads());
    first.note("what the old term knew");
    assert_eq!(lead.noted(), "");
}
