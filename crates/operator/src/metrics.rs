//! What is counted and measured, by kind, reason, class and result: never by the name of an object.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
    time::{Duration, Instant},
};

use breakwater_engine::telemetry::Telemetry;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

/// The content type of [`Metrics::encode`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindResult {
    kind: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindReason {
    kind: String,
    reason: String,
}

/// How objects of a kind stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct Readiness {
    /// Their kind.
    pub kind: String,
    /// `True`, `False`, `Unknown`; `Unset` before the first turn.
    pub ready: String,
    /// Why.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArmCall {
    class: String,
    method: &'static str,
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KubernetesCall {
    kind: String,
    verb: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByClass {
    class: String,
}

type Seconds = Family<ByKind, Histogram, fn() -> Histogram>;
type CallSeconds = Family<ByClass, Histogram, fn() -> Histogram>;
type Fraction = Gauge<f64, AtomicU64>;
/// When the oldest whole listing of a type was read, and how many never came whole.
type Read = (Option<Instant>, usize);

/// Every family of the operator. Cheap to clone; clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    turns: Family<KindResult, Counter>,
    turn_seconds: Seconds,
    arm_calls: Family<ArmCall, Counter>,
    arm_seconds: CallSeconds,
    kubernetes_calls: Family<KubernetesCall, Counter>,
    watch_errors: Family<ByKind, Counter>,
    objects: Family<ByKind, Gauge>,
    turn_reasons: Family<KindReason, Counter>,
    ready: Family<Readiness, Gauge>,
    open_operations: Family<ByKind, Gauge>,
    debts: Family<ByKind, Gauge>,
    questions: Family<ByKind, Gauge>,
    inventory_age: Family<ByKind, Fraction>,
    never_read: Family<ByKind, Gauge>,
    inventories: Arc<Mutex<BTreeMap<String, Read>>>,
    budget: Family<ByClass, Fraction>,
    leader: Gauge<i64, AtomicI64>,
}

fn turn_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 3.0, 9))
}

fn call_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.02, 2.5, 9))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Arc::default(),
            turns: Family::default(),
            turn_seconds: Family::new_with_constructor(turn_buckets),
            arm_calls: Family::default(),
            arm_seconds: Family::new_with_constructor(call_buckets),
            kubernetes_calls: Family::default(),
            watch_errors: Family::default(),
            objects: Family::default(),
            turn_reasons: Family::default(),
            ready: Family::default(),
            open_operations: Family::default(),
            debts: Family::default(),
            questions: Family::default(),
            inventory_age: Family::default(),
            never_read: Family::default(),
            inventories: Arc::default(),
            budget: Family::default(),
            leader: Gauge::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }
}

impl Metrics {
    fn register(&self) -> Registry {
        let mut all = Registry::with_prefix("breakwater");
        all.register("turns", "Turns by kind and result: done, panicked; what done ones came to is in turn_reasons", self.turns.clone());
        all.register_with_unit("turn_duration", "How long turns took", Unit::Seconds, self.turn_seconds.clone());
        all.register(
            "arm_calls",
            "Calls to Azure Resource Manager by class, method and result: a status, or why there is none",
            self.arm_calls.clone(),
        );
        all.register_with_unit(
            "arm_call_duration",
            "How long calls to Azure Resource Manager took",
            Unit::Seconds,
            self.arm_seconds.clone(),
        );
        all.register(
            "kubernetes_calls",
            "Calls to the Kubernetes API by kind, verb and result, watches apart",
            self.kubernetes_calls.clone(),
        );
        all.register("watch_errors", "Watches that failed and began again", self.watch_errors.clone());
        all.register("objects", "Objects in the watched stores", self.objects.clone());
        all.register("turn_reasons", "Turns by the reason they ended with, waits among them", self.turn_reasons.clone());
        all.register("ready", "Objects by their Ready condition and its reason", self.ready.clone());
        all.register("open_operations", "Operations in Azure that are begun and not ended", self.open_operations.clone());
        all.register("debts", "What is lent or half-open in Azure and must be closed", self.debts.clone());
        all.register("questions", "Questions that wait for a person", self.questions.clone());
        all.register_with_unit(
            "inventory_age",
            "Wall time since the oldest whole listing, by type of what is listed",
            Unit::Seconds,
            self.inventory_age.clone(),
        );
        all.register(
            "inventories_never_read",
            "Listings that are wanted and never came whole in this term, by type of what is listed",
            self.never_read.clone(),
        );
        all.register("budget_level", "How full the token bucket of a class is: 0 empty, 1 full", self.budget.clone());
        all.register("leader", "1 while this process leads", self.leader.clone());
        all
    }

    /// A turn ended.
    pub fn record_turn(&self, kind: &str, result: TurnResult, took: Duration) {
        self.turns.get_or_create(&KindResult { kind: kind.to_owned(), result: result.as_str() }).inc();
        self.turn_seconds.get_or_create(&ByKind { kind: kind.to_owned() }).observe(took.as_secs_f64());
    }

    /// A call to ARM ended: `result` is the status, or a word for why there is none.
    pub fn record_arm_call(&self, class: &str, method: &'static str, result: &str, took: Duration) {
        self.arm_calls.get_or_create(&ArmCall { class: class.to_owned(), method, result: result.to_owned() }).inc();
        self.arm_seconds.get_or_create(&ByClass { class: class.to_owned() }).observe(took.as_secs_f64());
    }

    /// A call to the Kubernetes API ended.
    pub fn record_kubernetes_call(&self, kind: &str, verb: &'static str, result: &'static str) {
        self.kubernetes_calls.get_or_create(&KubernetesCall { kind: kind.to_owned(), verb, result }).inc();
    }

    /// A watch failed; it begins again by itself.
    pub fn record_watch_error(&self, kind: &str) {
        self.watch_errors.get_or_create(&ByKind { kind: kind.to_owned() }).inc();
    }

    /// How many objects of a kind are in its store.
    pub fn record_objects(&self, kind: &str, count: usize) {
        self.objects.get_or_create(&ByKind { kind: kind.to_owned() }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A turn ended with this reason.
    pub fn record_turn_reason(&self, kind: &str, reason: &str) {
        self.turn_reasons.get_or_create(&KindReason { kind: kind.to_owned(), reason: reason.to_owned() }).inc();
    }

    /// How many objects stand how; what was recorded before is forgotten. The time spent in a wait is this over time.
    pub fn record_ready(&self, counts: &BTreeMap<Readiness, i64>) {
        self.ready.clear();
        for (readiness, count) in counts {
            self.ready.get_or_create(readiness).set(*count);
        }
    }

    /// How many operations of a kind's objects are open.
    pub fn record_open_operations(&self, kind: &str, count: usize) {
        self.open_operations.get_or_create(&ByKind { kind: kind.to_owned() }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How much of a kind's objects is lent, and how many questions they ask.
    pub fn record_debts_and_questions(&self, kind: &str, debts: usize, questions: usize) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.debts.get_or_create(&ByKind { kind: kind.to_owned() }).set(gauge(debts));
        self.questions.get_or_create(&ByKind { kind: kind.to_owned() }).set(gauge(questions));
    }

    /// How the wanted listings of each type stand; what was recorded before is forgotten. Ages grow by themselves until the
    /// next record, so that a sweep that hangs shows.
    pub fn record_inventory(&self, inventories: &BTreeMap<String, Inventory>) {
        let now = Instant::now();
        let read_at = |age: Duration| now.checked_sub(age).unwrap_or(now);
        let read = inventories.iter().map(|(kind, of)| (kind.clone(), (of.age.map(read_at), of.never_read)));
        *self.inventories.lock().unwrap_or_else(PoisonError::into_inner) = read.collect();
    }

    /// How full the bucket of a class is, 0 to 1.
    pub fn record_budget(&self, class: &str, level: f64) {
        self.budget.get_or_create(&ByClass { class: class.to_owned() }).set(level);
    }

    /// Forgets what a term's engine told of what it may still send and what it listed: the next term has another engine.
    pub fn forget_term(&self) {
        self.budget.clear();
        self.record_inventory(&BTreeMap::new());
    }

    /// Whether this process leads.
    pub fn record_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// All of it as OpenMetrics text.
    ///
    /// # Errors
    /// When the encoder fails, which is a bug of a family.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        // Held to the end, so that another page is not written while the families are empty.
        let inventories = self.inventories.lock().unwrap_or_else(PoisonError::into_inner);
        self.inventory_age.clear();
        self.never_read.clear();
        for (kind, (read, never_read)) in inventories.iter() {
            let kind = ByKind { kind: kind.clone() };
            self.never_read.get_or_create(&kind).set(i64::try_from(*never_read).unwrap_or(i64::MAX));
            if let Some(read) = read {
                self.inventory_age.get_or_create(&kind).set(read.elapsed().as_secs_f64());
            }
        }
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// Calls to ARM are counted with their time by [`crate::azure`], writes to Kubernetes with their result by
/// [`crate::cluster`]; of the engine's own counts only the reasons are new.
impl Telemetry for Metrics {
    fn turn(&self, kind: &str, result: &str) {
        self.record_turn_reason(kind, result);
    }
}

/// How the wanted listings of one type stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// How long ago the oldest of those that came whole was read, wall time; none where none came.
    pub age: Option<Duration>,
    /// How many never came whole.
    pub never_read: usize,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnResult {
    /// It came to its end and said when to come back.
    Done,
    /// It panicked: a bug.
    Panicked,
}

impl TurnResult {
    fn as_str(self) -> &'static str {
        match self {
            TurnResult::Done => "done",
            TurnResult::Panicked => "panicked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_on_the_page() {
        let metrics = Metrics::default();
        let clone = metrics.clone();
        clone.record_turn("RecoveryVault", TurnResult::Done, Duration::from_millis(20));
        clone.record_turn("RecoveryVault", TurnResult::Panicked, Duration::from_millis(20));
        clone.record_arm_call("backup", "PUT", "202", Duration::from_millis(700));
        clone.record_kubernetes_call("RecoveryVault", "patch-status", "conflict");
        clone.record_watch_error("Namespace");
        clone.record_objects("ProtectedMachine", 9);
        clone.turn("ProtectedMachine", "OperationRunning");
        let standing = |ready: &str| Readiness { kind: "ProtectedMachine".into(), ready: ready.into(), reason: "Why".into() };
        clone.record_ready(&BTreeMap::from([(standing("True"), 7)]));
        clone.record_ready(&BTreeMap::from([(standing("False"), 9)]));
        clone.record_open_operations("ProtectedMachine", 2);
        clone.record_budget("backup", 0.25);
        clone.record_leader(true);
        let page = metrics.encode().unwrap();
        for line in [
            r#"breakwater_turns_total{kind="RecoveryVault",result="done"} 1"#,
            r#"breakwater_turns_total{kind="RecoveryVault",result="panicked"} 1"#,
            r#"breakwater_turn_duration_seconds_count{kind="RecoveryVault"} 2"#,
            r#"breakwater_arm_calls_total{class="backup",method="PUT",result="202"} 1"#,
            r#"breakwater_kubernetes_calls_total{kind="RecoveryVault",verb="patch-status",result="conflict"} 1"#,
            r#"breakwater_watch_errors_total{kind="Namespace"} 1"#,
            r#"breakwater_objects{kind="ProtectedMachine"} 9"#,
            r#"breakwater_turn_reasons_total{kind="ProtectedMachine",reason="OperationRunning"} 1"#,
            r#"breakwater_ready{kind="ProtectedMachine",ready="False",reason="Why"} 9"#,
            r#"breakwater_open_operations{kind="ProtectedMachine"} 2"#,
            r#"breakwater_budget_level{class="backup"} 0.25"#,
            "breakwater_leader 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is missing from\n{page}");
        }
        assert!(!page.contains(r#"ready="True""#), "nobody stands there any more");
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn an_inventory_ages_while_nobody_records_it() {
        let metrics = Metrics::default();
        assert!(!metrics.encode().unwrap().contains("inventory_age_seconds{"));
        let of = Inventory { age: Some(Duration::from_secs(90)), never_read: 0 };
        metrics.record_inventory(&BTreeMap::from([("resources".to_owned(), of)]));
        let age = |page: String| -> f64 {
            let line = page.lines().find(|l| l.starts_with("breakwater_inventory_age_seconds{")).expect("the age").to_owned();
            line.split_whitespace().last().unwrap().parse().unwrap()
        };
        let first = age(metrics.encode().unwrap());
        let second = age(metrics.encode().unwrap());
        assert!(first >= 90.0 && second > first);
        metrics.record_inventory(&BTreeMap::new());
        assert!(!metrics.encode().unwrap().contains("inventory_age_seconds{"));
    }

    #[test]
    fn an_inventory_that_never_came_is_counted_until_it_comes() {
        let metrics = Metrics::default();
        let mut shown = Vec::new();
        for (age, never_read) in [(None, 2), (Some(Duration::ZERO), 0)] {
            metrics.record_inventory(&BTreeMap::from([("resources".to_owned(), Inventory { age, never_read })]));
            let page = metrics.encode().unwrap();
            let line = page.lines().find(|l| l.starts_with("breakwater_inventories_never_read{")).expect("the count").to_owned();
            shown.push((line, page.contains("inventory_age_seconds{")));
        }
        let line = |count: usize| format!(r#"breakwater_inventories_never_read{{kind="resources"}} {count}"#);
        assert_eq!(shown, [(line(2), false), (line(0), true)]);
    }

    #[test]
    fn a_turn_is_told_as_done_or_panicked_and_nothing_else_is_promised() {
        let metrics = Metrics::default();
        metrics.record_turn("RecoveryVault", TurnResult::Done, Duration::ZERO);
        let page = metrics.encode().unwrap();
        let help = page.lines().find(|l| l.starts_with("# HELP breakwater_turns ")).expect("the help");
        let told = [TurnResult::Done, TurnResult::Panicked].map(TurnResult::as_str);
        assert!(told.iter().all(|word| help.contains(word)) && !help.contains("failed"), "{help}");
    }
}
