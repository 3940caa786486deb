use super::*;
use crate::{watch, wire::ApiServer};

async fn cluster(server: &ApiServer) -> KubeCluster {
    let client = server.client();
    let (watches, feeds) = watch::unread();
    let metrics = Metrics::default();
    for feed in feeds {
        tokio::spawn(feed.run(client.clone(), metrics.clone()));
    }
    watches.synced().await.unwrap();
    let clients = Clients { reads: client.clone(), writes: client.clone(), lease: client.clone() };
    KubeCluster::new(watches, &clients, Events::new(client, "pod"), metrics)
}

fn key(kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

fn vault() -> (ObjectKey, Value) {
    (key("RecoveryVault", "shop", "main"), json!({ "spec": { "location": "westeurope" }, "status": { "owned": ["a"], "old": 1 } }))
}

#[tokio::test(start_paused = true)]
async fn a_status_patch_carries_the_version_and_touches_nothing_else() {
    let server = ApiServer::new();
    let (key, body) = vault();
    let version = server.apply("RecoveryVault", "shop", "main", body);
    let cluster = cluster(&server).await;
    let after = cluster.patch_status(&key, &version, &json!({ "observedGeneration": 1, "old": null }), &|| true).await.unwrap();
    assert_eq!(after.data["status"], json!({ "owned": ["a"], "observedGeneration": 1 }));
    assert_ne!(after.resource_version().unwrap(), version);
    let (method, path, sent) = server.written().pop().unwrap();
    assert_eq!((method.as_str(), path.as_str()), ("PATCH", "/apis/breakwater.io/v1alpha1/namespaces/shop/recoveryvaults/main/status"));
    assert_eq!(sent, json!({ "metadata": { "resourceVersion": version }, "status": { "observedGeneration": 1, "old": null } }));

    let stale = cluster.patch_status(&key, &version, &json!({}), &|| true).await;
    assert_eq!(stale.unwrap_err(), ClusterError::Conflict, "who decided on an older copy loses");
}

#[tokio::test(start_paused = true)]
async fn a_metadata_patch_sets_finalizers_under_the_version() {
    let server = ApiServer::new();
    let (key, body) = vault();
    let version = server.apply("RecoveryVault", "shop", "main", body);
    let cluster = cluster(&server).await;
    let after = cluster.patch_metadata(&key, &version, &json!({ "finalizers": ["breakwater.io/azure"] }), &|| true).await.unwrap();
    assert_eq!(after.finalizers(), ["breakwater.io/azure"]);
    assert_eq!(after.data["spec"], json!({ "location": "westeurope" }));
    let stale = cluster.patch_metadata(&key, &version, &json!({ "finalizers": [] }), &|| true).await;
    assert_eq!(stale.unwrap_err(), ClusterError::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_created_once_and_deleted_only_by_its_uid() {
    let server = ApiServer::new();
    let cluster = cluster(&server).await;
    let key = key("ProtectedMachine", "shop", "db-1");
    let body = json!({ "metadata": { "uid": "uid-db-1" }, "spec": { "machineId": "/x" } });
    let created = cluster.create(&key, &body, &|| true).await.unwrap();
    assert_eq!((created.name_any().as_str(), created.namespace().as_deref()), ("db-1", Some("shop")));
    assert_eq!(cluster.create(&key, &body, &|| true).await.unwrap_err(), ClusterError::Exists);
    assert_eq!(cluster.delete(&key, "another", &|| true).await.unwrap_err(), ClusterError::Conflict);
    cluster.delete(&key, "uid-db-1", &|| true).await.unwrap();
    assert_eq!(cluster.delete(&key, "uid-db-1", &|| true).await.unwrap_err(), ClusterError::NotFound);
    assert_eq!(cluster.get(&key).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn cached_objects_come_in_key_order_of_one_namespace_or_of_all() {
    let server = ApiServer::new();
    for (namespace, name) in [("b", "x"), ("a", "y"), ("a", "x")] {
        server.apply("BackupPolicy", namespace, name, json!({ "spec": {} }));
    }
    server.apply("AzureAccess", "", "production", json!({ "spec": {} }));
    let cluster = cluster(&server).await;
    let names =
        |all: Opening<'_>| -> Vec<String> { all.map(|o| format!("{}/{}", o.namespace().unwrap_or_default(), o.name_any())).collect() };
    assert_eq!(names(cluster.cached_all("BackupPolicy", None)), ["a/x", "a/y", "b/x"]);
    assert_eq!(names(cluster.cached_all("BackupPolicy", Some("a"))), ["a/x", "a/y"]);
    assert_eq!(names(cluster.cached_all("AzureAccess", None)), ["/production"]);
    assert!(cluster.cached(&key("AzureAccess", "", "production")).is_some());
    assert!(cluster.cached(&key("BackupPolicy", "c", "x")).is_none());
    assert_eq!(names(cluster.cached_all("Secret", None)), [] as [&str; 0]);
}

#[tokio::test(start_paused = true)]
async fn every_answer_says_whether_the_write_certainly_did_not_happen() {
    let server = ApiServer::new();
    let (key, body) = vault();
    server.apply("RecoveryVault", "shop", "main", body);
    let cluster = cluster(&server).await;
    let cases = [
        (403, "Forbidden", ClusterError::Refused("words".into())),
        (422, "Invalid", ClusterError::Refused("words".into())),
        (400, "BadRequest", ClusterError::Refused("words".into())),
        (401, "Unauthorized", ClusterError::Refused("words".into())),
        (404, "NotFound", ClusterError::NotFound),
        (409, "Conflict", ClusterError::Conflict),
        (409, "AlreadyExists", ClusterError::Exists),
        (429, "TooManyRequests", ClusterError::Unknown("words".into())),
        (408, "Timeout", ClusterError::Unknown("words".into())),
        (500, "InternalError", ClusterError::Unknown("500: words".into())),
        (504, "Timeout", ClusterError::Unknown("504: words".into())),
    ];
    for (code, reason, expected) in cases {
        server.refuse(code, reason, "words");
        let before = server.written().len();
        let told = cluster.patch_status(&key, "1", &json!({}), &|| true).await.unwrap_err();
        assert_eq!(told, expected, "{code} {reason}");
        assert_eq!(server.written().len(), before + 1, "one request, whatever the answer");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_watched_is_refused_unsent() {
    let server = ApiServer::new();
    let cluster = cluster(&server).await;
    let told = cluster.create(&key("ConfigMap", "shop", "x"), &json!({}), &|| true).await.unwrap_err();
    assert!(matches!(told, ClusterError::Refused(words) if words.contains("ConfigMap")));
    // Secrets are made and removed, and never changed.
    let told = cluster.patch_metadata(&key("Secret", "shop", "x"), "1", &json!({}), &|| true).await.unwrap_err();
    assert!(matches!(told, ClusterError::Refused(words) if words.contains("Secret")));
    assert!(server.written().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_live_read_sees_what_the_store_does_not_yet() {
    let server = ApiServer::new();
    let cluster = cluster(&server).await;
    server.apply("RecoveryVault", "shop", "main", json!({ "spec": {}, "metadata": { "managedFields": [{ "manager": "kubectl" }] } }));
    let (key, _) = vault();
    assert!(cluster.cached(&key).is_none());
    let live = cluster.get(&key).await.unwrap().unwrap();
    assert_eq!(live.metadata.managed_fields, None);
    assert_eq!(live.types.unwrap().kind, "RecoveryVault");
}
