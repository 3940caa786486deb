use std::time::Duration;

use kube::core::TypeMeta;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::wire::ApiServer;

fn key(kind: &str, name: &str) -> ObjectKey {
    let namespace = if kind == "Namespace" { "" } else { "shop" };
    ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

fn vault(location: &str) -> Value {
    json!({ "spec": { "location": location } })
}

async fn running(server: &ApiServer) -> (Arc<Watches>, Vec<JoinHandle<()>>, Metrics) {
    let (watches, feeds) = unread();
    let metrics = Metrics::default();
    let tasks = feeds.into_iter().map(|feed| tokio::spawn(feed.run(server.client(), metrics.clone()))).collect();
    watches.synced().await.unwrap();
    (watches, tasks, metrics)
}

async fn next(changes: &mut mpsc::UnboundedReceiver<Change>) -> Change {
    tokio::time::timeout(Duration::from_secs(60), changes.recv()).await.expect("a change within a minute").expect("feeds run")
}

#[tokio::test(start_paused = true)]
async fn stores_show_what_was_there_and_what_comes() {
    let server = ApiServer::new();
    server.apply("RecoveryVault", "shop", "main", vault("westeurope"));
    server.apply("Namespace", "", "shop", json!({ "metadata": { "labels": { "team": "a" } } }));
    let (watches, _tasks, metrics) = running(&server).await;
    assert!(watches.unsynced().is_empty());
    let main = watches.of("RecoveryVault").unwrap().get("shop", "main").unwrap();
    assert_eq!(main.data["spec"]["location"], "westeurope");
    assert_eq!(main.types, Some(TypeMeta { api_version: "breakwater.io/v1alpha1".into(), kind: "RecoveryVault".into() }));
    assert_eq!(watches.of("Namespace").unwrap().get("", "shop").unwrap().labels()["team"], "a");

    let mut changes = watches.subscribe();
    server.apply("RecoveryVault", "shop", "second", vault("northeurope"));
    assert_eq!(next(&mut changes).await, Change { key: key("RecoveryVault", "second"), what: What::Touched, names: Vec::new() });
    assert!(watches.of("RecoveryVault").unwrap().get("shop", "second").is_some(), "the store shows what a change tells of");
    server.remove("RecoveryVault", "shop", "second");
    assert_eq!(next(&mut changes).await.what, What::Gone);
    assert!(watches.of("RecoveryVault").unwrap().get("shop", "second").is_none());
    assert!(metrics.encode().unwrap().contains(r#"breakwater_objects{kind="RecoveryVault"} 1"#));
}

#[tokio::test(start_paused = true)]
async fn a_status_is_no_touch_and_everything_else_is() {
    let server = ApiServer::new();
    let spec = json!({ "location": "westeurope" });
    server.apply("RecoveryVault", "shop", "main", json!({ "spec": spec }));
    let (watches, _tasks, _) = running(&server).await;
    let mut changes = watches.subscribe();
    let cases = [
        (json!({ "spec": spec, "status": { "a": 1 } }), What::Status),
        (
            json!({ "spec": spec, "status": { "a": 1, "conditions": [{ "type": "Ready", "status": "False", "reason": "NotYetObserved" }] } }),
            What::Standing,
        ),
        (
            json!({ "spec": spec, "status": { "a": 2, "conditions": [{ "type": "Ready", "status": "False", "reason": "NotYetObserved", "message": "m" }] } }),
            What::Status,
        ),
        (json!({ "spec": { "location": "northeurope" }, "status": { "a": 1 } }), What::Touched),
        (
            json!({ "spec": { "location": "northeurope" }, "metadata": { "annotations": { "breakwater.io/requested-at": "1" } } }),
            What::Touched,
        ),
        (json!({ "spec": { "location": "northeurope" }, "metadata": { "labels": { "a": "b" } } }), What::Touched),
        (json!({ "spec": { "location": "northeurope" }, "metadata": { "labels": { "a": "b" }, "finalizers": ["f/f"] } }), What::Touched),
        (
            json!({ "spec": { "location": "northeurope" }, "metadata": { "labels": { "a": "b" }, "finalizers": ["f/f"], "managedFields": [{ "manager": "x" }] } }),
            What::Status,
        ),
    ];
    for (body, what) in cases {
        server.apply("RecoveryVault", "shop", "main", body.clone());
        assert_eq!(next(&mut changes).await.what, what, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_was_cut_goes_on_and_misses_nothing() {
    let server = ApiServer::new();
    for name in ["a", "b", "c"] {
        server.apply("BackupPolicy", "shop", name, json!({ "spec": { "n": 1 } }));
    }
    let (watches, _tasks, _) = running(&server).await;
    let mut changes = watches.subscribe();
    server.cut_watches();
    server.apply("BackupPolicy", "shop", "c", json!({ "spec": { "n": 2 } }));
    // This server's watch does not replay, so a resumed watch shows the change only through a later event of the object.
    tokio::time::sleep(Duration::from_secs(60)).await;
    server.apply("BackupPolicy", "shop", "c", json!({ "spec": { "n": 3 } }));
    assert_eq!(next(&mut changes).await, Change { key: key("BackupPolicy", "c"), what: What::Touched, names: Vec::new() });
    assert_eq!(watches.of("BackupPolicy").unwrap().get("shop", "c").unwrap().data["spec"]["n"], 3);
}

#[test]
fn a_new_list_tells_what_moved_and_what_is_missing_once_the_store_shows_it() {
    let kind = *KINDS.iter().find(|k| k.kind == "RecoveryVault").unwrap();
    let object = |name: &str, version: &str, generation: i64| -> DynamicObject {
        let metadata = json!({ "name": name, "namespace": "shop", "resourceVersion": version, "generation": generation });
        serde_json::from_value(json!({ "metadata": metadata, "spec": { "vaultRef": { "name": "of-the-gone" } } })).unwrap()
    };
    let mut seen = Seen::new(kind);
    for (name, version) in [("same", "1"), ("edited", "2"), ("gone", "3"), ("status", "4")] {
        assert_eq!(seen.see(&Event::Apply(object(name, version, 1))).len(), 1);
    }
    assert_eq!(seen.see(&Event::Init), []);
    for (name, version, generation) in [("same", "1", 1), ("edited", "9", 2), ("status", "8", 1), ("new", "7", 1)] {
        assert_eq!(seen.see(&Event::InitApply(object(name, version, generation))), [], "the store does not show it yet");
    }
    let changes = seen.see(&Event::InitDone);
    assert_eq!(changes.last().unwrap().names, [key("RecoveryVault", "of-the-gone")], "what it named is remembered");
    let told: Vec<(String, What)> = changes.into_iter().map(|c| (c.key.name, c.what)).collect();
    let expected = [("edited", What::Touched), ("status", What::Status), ("new", What::Touched), ("gone", What::Gone)];
    assert_eq!(told, expected.map(|(name, what)| (name.to_owned(), what)));
}

#[test]
fn what_a_list_that_was_cut_short_showed_is_told_by_the_next_one() {
    let kind = *KINDS.iter().find(|k| k.kind == "RecoveryVault").unwrap();
    let object = |name: &str, generation: i64| -> DynamicObject {
        let metadata = json!({ "name": name, "namespace": "shop", "resourceVersion": "1", "generation": generation });
        serde_json::from_value(json!({ "metadata": metadata, "spec": {} })).unwrap()
    };
    let mut seen = Seen::new(kind);
    assert_eq!(seen.see(&Event::Apply(object("edited", 1))).len(), 1);
    // Its first page comes, its second one does not: kube begins anew.
    for generation in [2, 2] {
        assert_eq!(seen.see(&Event::Init), []);
        assert_eq!(seen.see(&Event::InitApply(object("edited", generation))), []);
        assert_eq!(seen.see(&Event::InitApply(object("new", 1))), []);
    }
    let told: Vec<(String, What)> = seen.see(&Event::InitDone).into_iter().map(|c| (c.key.name, c.what)).collect();
    assert_eq!(told, [("edited".to_owned(), What::Touched), ("new".to_owned(), What::Touched)]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_or_falls_silent_is_begun_again_soon_and_neither_lists_nor_is_an_error() {
    let server = ApiServer::new();
    server.apply("AzureAccess", "", "prod", json!({ "spec": { "suspend": false } }));
    let (watches, _tasks, metrics) = running(&server).await;
    let (lists, mut changes) = (server.lists(), watches.subscribe());
    server.cut_watches();
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.hang_watches();
    tokio::time::sleep(Duration::from_secs(70)).await;
    server.apply("AzureAccess", "", "prod", json!({ "spec": { "suspend": true } }));
    assert_eq!(next(&mut changes).await.what, What::Touched);
    assert_eq!(server.lists(), lists);
    assert!(!metrics.encode().unwrap().contains("breakwater_watch_errors_total{"));
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_crd_is_told_and_never_synced() {
    let (watches, feeds) = Watches::unread(KINDS);
    let metrics = Metrics::default();
    for feed in feeds {
        tokio::spawn(feed.run(Client::new(axum::Router::new(), "default"), metrics.clone()));
    }
    assert!(tokio::time::timeout(Duration::from_secs(120), watches.synced()).await.is_err());
    assert_eq!(watches.unsynced().len(), KINDS.len());
    assert!(metrics.encode().unwrap().contains(r#"breakwater_watch_errors_total{kind="RecoveryVault"}"#));
}
