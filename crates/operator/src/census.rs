//! How many objects stand how: counted from the stores when somebody asks for metrics, and never between.

use std::collections::BTreeMap;

use breakwater_api::Reason;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::{
    kinds::Role,
    metrics::{Metrics, Readiness},
    watch::Watches,
};

/// Records readiness and open operations of every kind with turns. Only the leader's figures are worth having: two replicas
/// that both tell them would be added up.
pub fn take(watches: &Watches, metrics: &Metrics) {
    let mut counts: BTreeMap<Readiness, i64> = BTreeMap::new();
    for watched in watches.all().filter(|w| w.kind.role == Role::Turned) {
        let (mut open, mut debts, mut questions) = (0, 0, 0);
        for kept in watched.store.state() {
            let object = kept.open();
            open += open_operations(&object);
            debts += entries(&object, "operations").filter(|o| o.get("debt").is_some_and(|d| !d.is_null())).count();
            questions += entries(&object, "questions").count();
            *counts.entry(readiness(watched.kind.kind, &object)).or_default() += 1;
        }
        metrics.record_open_operations(watched.kind.kind, open);
        metrics.record_debts_and_questions(watched.kind.kind, debts, questions);
    }
    metrics.record_ready(&counts);
}

/// Forgets what was recorded: this process does not lead.
pub fn forget(watches: &Watches, metrics: &Metrics) {
    metrics.record_ready(&BTreeMap::new());
    metrics.forget_term();
    for watched in watches.all().filter(|w| w.kind.role == Role::Turned) {
        metrics.record_open_operations(watched.kind.kind, 0);
        metrics.record_debts_and_questions(watched.kind.kind, 0, 0);
    }
}

fn readiness(kind: &str, object: &DynamicObject) -> Readiness {
    let conditions = object.data.get("status").and_then(|s| s.get("conditions")?.as_array());
    let ready = conditions.and_then(|all| all.iter().find(|c| c["type"] == "Ready"));
    let word = |field: &str| ready.and_then(|r| r.get(field)?.as_str());
    // A status may be anybody's writing: what is no word of ours is no label of its own.
    let known = |word: Option<&str>, is_known: &dyn Fn(&str) -> bool| {
        let word = word.map_or("Unset", |word| if is_known(word) { word } else { "Other" });
        word.to_owned()
    };
    Readiness {
        kind: kind.to_owned(),
        ready: known(word("status"), &|word| ["True", "False", "Unknown"].contains(&word)),
        reason: known(word("reason"), &|word| Reason::from_word(word).is_some()),
    }
}

fn open_operations(object: &DynamicObject) -> usize {
    entries(object, "operations").filter(|o| o.get("endedAt").is_none_or(Value::is_null)).count()
}

/// The entries of a list of status.
fn entries<'a>(object: &'a DynamicObject, list: &str) -> impl Iterator<Item = &'a Value> {
    let all = object.data.get("status").and_then(|s| s.get(list)?.as_array());
    all.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{watch, wire::ApiServer};

    #[tokio::test(start_paused = true)]
    async fn objects_are_counted_by_how_they_stand_and_forgotten_by_a_standby() {
        let server = ApiServer::new();
        let waiting = json!({ "conditions": [{ "type": "Ready", "status": "False", "reason": "OperationRunning" }],
            "questions": [{ "id": "q" }],
            "operations": [{ "node": "a", "debt": { "method": "POST" } }, { "node": "b", "endedAt": "2026-11-24T00:00:00Z" }] });
        for name in ["a", "b"] {
            server.apply("ProtectedMachine", "shop", name, json!({ "spec": {}, "status": waiting }));
        }
        server.apply("RecoveryVault", "shop", "main", json!({ "spec": {} }));
        let forged = json!({ "conditions": [{ "type": "Ready", "status": "x1", "reason": "x2" }] });
        server.apply("RecoveryVault", "shop", "forged", json!({ "spec": {}, "status": forged }));
        let (watches, feeds) = watch::unread();
        let metrics = Metrics::default();
        feeds.into_iter().for_each(|feed| drop(tokio::spawn(feed.run(server.client(), metrics.clone()))));
        watches.synced().await.unwrap();
        take(&watches, &metrics);
        let page = metrics.encode().unwrap();
        for line in [
            r#"breakwater_ready{kind="ProtectedMachine",ready="False",reason="OperationRunning"} 2"#,
            r#"breakwater_ready{kind="RecoveryVault",ready="Unset",reason="Unset"} 1"#,
            r#"breakwater_ready{kind="RecoveryVault",ready="Other",reason="Other"} 1"#,
            r#"breakwater_open_operations{kind="ProtectedMachine"} 2"#,
            r#"breakwater_debts{kind="ProtectedMachine"} 2"#,
            r#"breakwater_questions{kind="ProtectedMachine"} 2"#,
        ] {
            assert!(page.contains(line), "{line} is missing from\n{page}");
        }
        metrics.record_budget("backup", 0.25);
        forget(&watches, &metrics);
        let page = metrics.encode().unwrap();
        assert!(!page.contains("breakwater_ready{") && !page.contains("breakwater_budget_level{"), "{page}");
    }
}
