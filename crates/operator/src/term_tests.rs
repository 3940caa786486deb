use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use breakwater_engine::ports::ObjectKey;
use serde_json::json;
use tokio::task::JoinHandle;

use super::*;
use crate::{entropy::SystemEntropy, metrics::Inventory, watch, watch::Change, wire::ApiServer};

/// Counts its turns, each of which takes so long.
struct Slow {
    takes: Duration,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

#[async_trait]
impl Turns for Slow {
    async fn turn(&self, _: &ObjectKey) -> Duration {
        self.begun.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.ended.fetch_add(1, Ordering::SeqCst);
        Duration::from_secs(3600)
    }

    fn woken_by(&self, _: &Change) -> Vec<ObjectKey> {
        Vec::new()
    }
}

struct Running {
    server: ApiServer,
    feeds: Vec<JoinHandle<()>>,
    lead: Arc<Lead>,
    metrics: Metrics,
    stop: CancellationToken,
    engines: Arc<Mutex<Vec<Arc<Slow>>>>,
    terms: JoinHandle<Result<(), TermError>>,
}

async fn run(takes: Duration, beside: Option<Duration>) -> Running {
    let server = ApiServer::new();
    server.apply("RecoveryVault", "shop", "main", json!({ "spec": {} }));
    let (watches, feeds) = watch::unread();
    let metrics = Metrics::default();
    let feeds: Vec<JoinHandle<()>> = feeds.into_iter().map(|feed| tokio::spawn(feed.run(server.client(), metrics.clone()))).collect();
    watches.synced().await.unwrap();
    let (lead, stop, engines) = (Arc::new(Lead::default()), CancellationToken::new(), Arc::new(Mutex::new(Vec::new())));
    let terms = Terms {
        watches,
        live: server.client(),
        lead: lead.clone(),
        metrics: metrics.clone(),
        entropy: Arc::new(SystemEntropy),
        concurrency: 4,
        patience: Duration::from_secs(20),
    };
    let (built, until) = (engines.clone(), stop.clone());
    let start = move |_: Waker| {
        let engine = Arc::new(Slow { takes, begun: AtomicUsize::new(0), ended: AtomicUsize::new(0) });
        built.lock().unwrap().push(engine.clone());
        let beside: Vec<(&'static str, BoxFuture<'static, ()>)> =
            beside.into_iter().map(|lasts| ("the sweep", Box::pin(tokio::time::sleep(lasts)) as BoxFuture<'static, ()>)).collect();
        Ok(Work { turns: engine, beside })
    };
    let terms = tokio::spawn(async move { terms.run(start, &until).await });
    Running { server, feeds, lead, metrics, stop, engines, terms }
}

impl Running {
    fn engine(&self, n: usize) -> Arc<Slow> {
        self.engines.lock().unwrap()[n].clone()
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_built_before_the_lease_is_ours() {
    let running = run(Duration::ZERO, None).await;
    pass(600).await;
    assert!(running.engines.lock().unwrap().is_empty());
    running.lead.lead_for(Duration::from_secs(10));
    pass(1).await;
    assert_eq!(running.engine(0).ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_term_has_a_new_engine_even_after_the_shortest_gap() {
    let running = run(Duration::ZERO, None).await;
    running.lead.lead_for(Duration::from_secs(10));
    pass(1).await;
    running.lead.lose();
    running.lead.lead_for(Duration::from_secs(10));
    pass(1).await;
    assert_eq!(running.engines.lock().unwrap().len(), 2);
    assert_eq!(running.engine(1).begun.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_when_its_turns_have() {
    let running = run(Duration::from_secs(15), None).await;
    running.lead.lead_for(Duration::from_secs(10));
    pass(5).await;
    running.lead.lose();
    running.lead.lead_for(Duration::from_secs(60));
    pass(5).await;
    assert_eq!(running.engines.lock().unwrap().len(), 1, "the old term's turn still runs");
    pass(10).await;
    assert_eq!(running.engine(0).ended.load(Ordering::SeqCst), 1);
    assert_eq!(running.engines.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_turns_and_no_longer_than_it_may() {
    for (takes, clean) in [(15, true), (300, false)] {
        let running = run(Duration::from_secs(takes), None).await;
        running.lead.lead_for(Duration::from_secs(600));
        pass(1).await;
        let asked = tokio::time::Instant::now();
        running.stop.cancel();
        let ended = running.terms.await.unwrap();
        assert_eq!(ended.is_ok(), clean, "{ended:?}");
        assert!(asked.elapsed() <= Duration::from_secs(20));
    }
}

#[tokio::test(start_paused = true)]
async fn what_ends_by_itself_ends_the_process() {
    let running = run(Duration::ZERO, Some(Duration::from_secs(30))).await;
    running.lead.lead_for(Duration::from_secs(600));
    let ended = running.terms.await.unwrap().unwrap_err();
    assert!(ended.to_string().contains("the sweep ended by itself"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_built_while_the_stores_lag_behind_the_last_leader() {
    let running = run(Duration::ZERO, None).await;
    running.feeds.iter().for_each(JoinHandle::abort);
    running.server.apply("RecoveryVault", "shop", "main", json!({ "spec": {}, "status": { "operations": [{ "node": "vault" }] } }));
    running.lead.lead_for(Duration::from_secs(600));
    pass(60).await;
    assert!(running.engines.lock().unwrap().is_empty());
    running.lead.lose();
    running.stop.cancel();
    assert!(running.terms.await.unwrap().is_ok(), "and the wait ends with the term");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_went_backwards_ends_the_process_before_anything_is_built() {
    let running = run(Duration::ZERO, None).await;
    let backup = running.server.backup();
    running.server.apply("RecoveryVault", "shop", "main", json!({ "spec": {}, "status": { "operations": [{ "node": "vault" }] } }));
    pass(1).await;
    running.server.restore(backup);
    running.lead.lead_for(Duration::from_secs(600));
    let ended = tokio::time::timeout(Duration::from_secs(60), running.terms).await.expect("an end").unwrap().unwrap_err();
    assert!(ended.to_string().contains("history went backwards"), "{ended}");
    assert!(running.engines.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_term_begins_with_nothing_told_of_what_the_last_one_had_left() {
    let running = run(Duration::ZERO, None).await;
    running.metrics.record_budget("backup", 0.25);
    running.metrics.record_inventory(&BTreeMap::from([("resources".to_owned(), Inventory { age: Some(Duration::ZERO), never_read: 1 })]));
    running.lead.lead_for(Duration::from_secs(10));
    pass(1).await;
    let page = running.metrics.encode().unwrap();
    for family in ["breakwater_budget_level{", "breakwater_inventory_age_seconds{", "breakwater_inventories_never_read{"] {
        assert!(!page.contains(family), "{family} is still told in\n{page}");
    }
}
