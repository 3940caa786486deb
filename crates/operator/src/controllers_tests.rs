use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::{watch, wire::ApiServer};

struct Half;

impl Entropy for Half {
    fn unit(&self) -> f64 {
        0.5
    }
}

type Script = Box<dyn Fn(&ObjectKey, usize) -> Duration + Send + Sync>;

/// Turns by script; remembers who had one.
struct Scripted {
    had: Mutex<Vec<ObjectKey>>,
    script: Script,
    takes: Duration,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Scripted {
    fn new(takes: Duration, script: impl Fn(&ObjectKey, usize) -> Duration + Send + Sync + 'static) -> Arc<Self> {
        let counters = || AtomicUsize::new(0);
        Arc::new(Scripted { had: Mutex::default(), script: Box::new(script), takes, at_once: counters(), most_at_once: counters() })
    }

    fn count(&self, kind: &str) -> usize {
        self.had.lock().unwrap().iter().filter(|k| k.kind == kind).count()
    }
}

#[async_trait]
impl Turns for Scripted {
    async fn turn(&self, key: &ObjectKey) -> Duration {
        let nth = {
            let mut had = self.had.lock().unwrap();
            had.push(key.clone());
            had.iter().filter(|k| *k == key).count()
        };
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        (self.script)(key, nth)
    }

    fn woken_by(&self, change: &Change) -> Vec<ObjectKey> {
        // A policy's turn looks at its machines, of the same name here.
        if change.key.kind == "ProtectedMachine" {
            vec![ObjectKey { kind: "BackupPolicy".into(), ..change.key.clone() }]
        } else {
            Vec::new()
        }
    }
}

struct Running {
    server: ApiServer,
    waker: Waker,
    metrics: Metrics,
    stop: CancellationToken,
    driver: JoinHandle<Result<(), Ended>>,
}

/// What each object declares at first: a machine names policy `a`.
fn spec() -> Value {
    json!({ "policyRef": { "name": "a" } })
}

async fn run(objects: &[(&str, &str)], turns: &Arc<Scripted>) -> Running {
    let server = ApiServer::new();
    objects.iter().for_each(|(kind, name)| drop(server.apply(kind, "shop", name, json!({ "spec": spec() }))));
    let (watches, feeds) = watch::unread();
    let metrics = Metrics::default();
    for feed in feeds {
        tokio::spawn(feed.run(server.client(), metrics.clone()));
    }
    watches.synced().await.unwrap();
    let driver = Driver::new(&watches, metrics.clone(), Arc::new(Half), 2);
    let (waker, stop) = (driver.waker(), CancellationToken::new());
    let driver = tokio::spawn(driver.run(turns.clone(), stop.clone()));
    Running { server, waker, metrics, stop, driver }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn every_object_has_a_turn_at_start_and_comes_back_when_it_said() {
    let turns = Scripted::new(Duration::ZERO, |_, _| Duration::from_secs(60));
    let _running = run(&[("RecoveryVault", "main"), ("BackupPolicy", "daily")], &turns).await;
    pass(1).await;
    assert_eq!((turns.count("RecoveryVault"), turns.count("BackupPolicy")), (1, 1));
    pass(125).await;
    assert_eq!((turns.count("RecoveryVault"), turns.count("BackupPolicy")), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn nothing_sleeps_longer_than_an_hour_and_nothing_spins() {
    let lazy = Scripted::new(Duration::ZERO, |_, _| Duration::MAX);
    let _running = run(&[("RecoveryVault", "main")], &lazy).await;
    pass(3610).await;
    assert_eq!(lazy.count("RecoveryVault"), 2);
    let eager = Scripted::new(Duration::ZERO, |_, _| Duration::ZERO);
    let _running = run(&[("BackupPolicy", "daily")], &eager).await;
    pass(5).await;
    assert!((50..=101).contains(&eager.count("BackupPolicy")), "{}", eager.count("BackupPolicy"));
}

#[tokio::test(start_paused = true)]
async fn an_edit_causes_a_turn_and_a_status_does_not() {
    let turns = Scripted::new(Duration::ZERO, |_, _| HOUR);
    let running = run(&[("RecoveryVault", "main")], &turns).await;
    pass(1).await;
    running.server.apply("RecoveryVault", "shop", "main", json!({ "spec": spec(), "status": { "a": 1 } }));
    pass(1).await;
    assert_eq!(turns.count("RecoveryVault"), 1);
    running.server.apply("RecoveryVault", "shop", "main", json!({ "spec": { "n": 2 } }));
    pass(1).await;
    assert_eq!(turns.count("RecoveryVault"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_engine_and_other_objects_wake_a_turn() {
    let turns = Scripted::new(Duration::ZERO, |_, _| HOUR);
    let running = run(&[("BackupPolicy", "a"), ("ProtectedMachine", "a"), ("Namespace", "shop")], &turns).await;
    pass(1).await;
    let before = turns.count("BackupPolicy");
    running.waker.wake(&ObjectKey { kind: "BackupPolicy".into(), namespace: "shop".into(), name: "a".into() });
    pass(1).await;
    assert_eq!(turns.count("BackupPolicy"), before + 1);
    running.server.apply("ProtectedMachine", "shop", "a", json!({ "spec": spec(), "status": { "protection": "Protected" } }));
    pass(1).await;
    assert_eq!((turns.count("BackupPolicy"), turns.count("ProtectedMachine")), (before + 2, 1), "a child's status wakes its policy");
    running.waker.wake(&ObjectKey { kind: "BackupPolicy".into(), namespace: "shop".into(), name: "missing".into() });
    running.waker.wake(&ObjectKey { kind: "Secret".into(), namespace: "shop".into(), name: "a".into() });
    pass(1).await;
    assert_eq!(turns.count("BackupPolicy"), before + 2);
    assert!(!running.driver.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_that_objects_trouble_only_and_it_comes_back_later_each_time() {
    let turns = Scripted::new(Duration::ZERO, |key, _| if key.name == "bad" { panic!("of the test") } else { Duration::from_secs(5) });
    let running = run(&[("RecoveryVault", "bad"), ("RecoveryVault", "good")], &turns).await;
    let bad = |turns: &Scripted| turns.had.lock().unwrap().iter().filter(|k| k.name == "bad").count();
    pass(60).await;
    // Waits of 1.5, 3, 6, 12, 24 and 48 s: three quarters of 2 s doubling.
    assert_eq!(bad(&turns), 6);
    assert!(turns.count("RecoveryVault") - bad(&turns) >= 11);
    assert!(!running.driver.is_finished());
    assert!(running.metrics.encode().unwrap().contains(r#"breakwater_turns_total{kind="RecoveryVault",result="panicked"} 6"#));
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_not_woken_by_each_of_its_machines_and_misses_none() {
    let turns = Scripted::new(Duration::ZERO, |_, _| HOUR);
    let running = run(&[("BackupPolicy", "a"), ("ProtectedMachine", "a")], &turns).await;
    pass(60).await;
    let before = turns.count("BackupPolicy");
    for n in 0..20 {
        running.server.apply("ProtectedMachine", "shop", "a", json!({ "spec": spec(), "status": { "protection": format!("{n}") } }));
        pass(1).await;
    }
    pass(60).await;
    assert_eq!(turns.count("BackupPolicy") - before, 4, "at once, after 5, 10 and 20 s, the last one for what came last");
    // A touch of its own is no such thing.
    running.server.apply("ProtectedMachine", "shop", "a", json!({ "spec": spec(), "status": { "protection": "last" } }));
    pass(1).await;
    running.server.apply("BackupPolicy", "shop", "a", json!({ "spec": { "n": 2 } }));
    pass(1).await;
    assert_eq!(turns.count("BackupPolicy") - before, 6);
}

#[tokio::test(start_paused = true)]
async fn panics_in_a_row_wait_longer_and_a_good_turn_forgets_them() {
    let turns = Scripted::new(Duration::ZERO, |_, nth| if nth == 4 { Duration::from_secs(1) } else { panic!("of the test") });
    let _running = run(&[("RecoveryVault", "main")], &turns).await;
    // Turns at 0, 1.5, 4.5, 10.5 (good), 11.5, 13 s.
    let began = tokio::time::Instant::now();
    for (at, count) in [(1, 1), (2, 2), (5, 3), (11, 4), (12, 5), (14, 6)] {
        tokio::time::sleep_until(began + Duration::from_secs(at)).await;
        assert_eq!(turns.count("RecoveryVault"), count, "after {at} s");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_turns_at_once_than_allowed_and_never_two_of_one_object() {
    let turns = Scripted::new(Duration::from_secs(10), |_, _| HOUR);
    let objects: Vec<(&str, String)> = (0..7).map(|n| ("RecoveryVault", format!("v{n}"))).collect();
    let objects: Vec<(&str, &str)> = objects.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
    let running = run(&objects, &turns).await;
    for _ in 0..20 {
        running.waker.wake(&ObjectKey { kind: "RecoveryVault".into(), namespace: "shop".into(), name: "v0".into() });
        pass(1).await;
    }
    pass(60).await;
    assert_eq!(turns.most_at_once.load(Ordering::SeqCst), 2);
    assert!(turns.had.lock().unwrap().iter().filter(|k| k.name == "v0").count() <= 4, "wakes before a turn count once");
}

#[tokio::test(start_paused = true)]
async fn stopping_starts_nothing_and_lets_the_running_turn_finish() {
    let turns = Scripted::new(Duration::from_secs(10), |_, _| Duration::from_secs(1));
    let running = run(&[("RecoveryVault", "a"), ("RecoveryVault", "b"), ("RecoveryVault", "c")], &turns).await;
    pass(5).await;
    assert_eq!(turns.count("RecoveryVault"), 2);
    running.stop.cancel();
    running.driver.await.unwrap().unwrap();
    assert_eq!(turns.at_once.load(Ordering::SeqCst), 0, "the turn came to its end");
    pass(60).await;
    assert_eq!(turns.count("RecoveryVault"), 2, "and none was started");
}

/// So many policies.
fn policies(many: usize) -> Vec<String> {
    (0..many).map(|n| format!("p{n}")).collect()
}

fn named(names: &[String]) -> Vec<(&str, &str)> {
    names.iter().map(|name| ("BackupPolicy", name.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn where_more_is_due_than_can_be_done_nobody_has_two_turns_more_than_another() {
    let turns = Scripted::new(Duration::from_millis(500), |_, _| Duration::from_millis(50));
    let names = policies(40);
    let _running = run(&named(&names), &turns).await;
    pass(60).await;
    let had = turns.had.lock().unwrap();
    let counts: Vec<usize> = names.iter().map(|name| had.iter().filter(|key| key.name == *name).count()).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least >= 4 && most - least <= 1, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn who_stands_in_line_when_it_stops_begins_nothing() {
    let turns = Scripted::new(Duration::from_secs(10), |_, _| HOUR);
    let names = policies(10);
    let running = run(&named(&names), &turns).await;
    pass(1).await;
    running.stop.cancel();
    running.driver.await.unwrap().unwrap();
    assert_eq!(turns.count("BackupPolicy"), 2);
}

#[tokio::test(start_paused = true)]
async fn who_is_woken_in_line_has_one_turn_and_who_is_woken_in_its_turn_another() {
    let turns = Scripted::new(Duration::from_secs(10), |_, _| HOUR);
    let names = policies(4);
    let running = run(&named(&names), &turns).await;
    let wake = || {
        names
            .iter()
            .for_each(|name| running.waker.wake(&ObjectKey { kind: "BackupPolicy".into(), namespace: "shop".into(), name: name.clone() }))
    };
    pass(1).await;
    wake();
    pass(60).await;
    assert_eq!(turns.count("BackupPolicy"), 6);
}
