//! What restores that have yet to begin are about to need of Azure's patience: so that those who come first leave it to the others.

use std::{collections::BTreeMap, sync::Mutex, sync::PoisonError, time::Duration};

use kube::core::DynamicObject;
use serde_json::Value;

use crate::{access, budget::Expected, ports::Cluster};

/// The kind whose objects are counted.
const KIND: &str = "RestoreRun";

/// The phase of one that has not begun.
const PENDING: &str = "Pending";

/// Reads of recovery points that one needs before it begins: which there are, and once more the one that is restored.
const READS: f64 = 2.0;

/// Between two counts, wall time.
const COUNTED_EVERY: Duration = Duration::from_secs(1);

/// When it was counted last.
#[derive(Debug, Default)]
pub struct Demand {
    counted: Mutex<Option<Duration>>,
}

impl Demand {
    /// What is expected now; none where it was counted a moment ago.
    pub fn count(&self, cluster: &dyn Cluster, wall: Duration) -> Option<Expected> {
        {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            if counted.is_some_and(|at| wall < at + COUNTED_EVERY) {
                return None;
            }
            *counted = Some(wall);
        }
        // Nobody waits for who counts: there may be ten thousand.
        Some(expected(cluster))
    }
}

/// Whether nothing but Azure's patience may keep a run from beginning: what a person must mend first needs nothing now.
fn is_about_to_begin(run: &DynamicObject) -> bool {
    let phase = run.data.pointer("/status/phase").and_then(Value::as_str);
    let conditions = run.data.pointer("/status/conditions").and_then(Value::as_array);
    let is_stalled = conditions.into_iter().flatten().any(|c| c["type"] == "Stalled" && c["status"] == "True");
    let is_let = run.data.pointer("/spec/suspend") != Some(&Value::Bool(true)) && run.metadata.deletion_timestamp.is_none();
    phase.is_none_or(|phase| phase == PENDING) && is_let && !is_stalled
}

fn expected(cluster: &dyn Cluster) -> Expected {
    let mut reads: BTreeMap<(String, Option<String>), f64> = BTreeMap::new();
    for run in cluster.cached_all(KIND, None) {
        if !is_about_to_begin(&run) {
            continue;
        }
        let named = ["/status/access/name", "/spec/accessRef/name"].iter().find_map(|at| run.data.pointer(at)?.as_str());
        let namespace = run.metadata.namespace.clone().unwrap_or_default();
        *reads.entry((namespace, named.map(str::to_owned))).or_default() += READS;
    }
    let mut all = Expected::new();
    for ((namespace, named), reads) in reads {
        let only = || access::resolve(cluster, &namespace, None, None).ok().map(|found| found.identity.access);
        if let Some(access) = named.or_else(only) {
            *all.entry(access).or_default().entry(namespace).or_default() += reads;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_waits_for_a_person_or_has_begun_is_about_to_need_nothing() {
        let stalled = |status: &str| json!({ "phase": "Pending", "conditions": [{ "type": "Stalled", "status": status }] });
        let cases = [
            ("new", json!({}), json!({}), true),
            ("waits for its turn", json!({ "suspend": false }), stalled("False"), true),
            ("waits for a person", json!({}), stalled("True"), false),
            ("suspended", json!({ "suspend": true }), json!({ "phase": "Pending" }), false),
            ("runs", json!({}), json!({ "phase": "Running" }), false),
            ("over", json!({}), json!({ "phase": "Expired" }), false),
        ];
        for (situation, spec, status, wanted) in cases {
            let object = json!({ "metadata": { "name": "one" }, "spec": spec, "status": status });
            let run: DynamicObject = serde_json::from_value(object).unwrap();
            assert_eq!(is_about_to_begin(&run), wanted, "{situation}");
        }
        let gone = json!({ "metadata": { "name": "one", "deletionTimestamp": "2026-01-01T00:00:00Z" }, "spec": {} });
        assert!(!is_about_to_begin(&serde_json::from_value(gone).unwrap()));
    }
}
