//! Events of events.k8s.io, one create each, best effort.
//!
//! Not kube's `Recorder`: it folds repeats by object, reason and action, and a fold shows the *first* note for six minutes
//! (rust-stack.md, trap 12). Here the same sentence about the same object within ten minutes is one Event, since its name
//! derives from them; another sentence is another Event.

use breakwater_engine::ports::Event;
use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
    core::DynamicObject,
};
use sha2::{Digest, Sha256};

/// Who reports: a qualified name, as events.k8s.io wants it.
const CONTROLLER: &str = "breakwater.io/operator";
/// The API server's bound of a note, in bytes.
const NOTE: usize = 1024;
/// How long equal sentences are one Event.
const FOLD_SECONDS: i64 = 600;

/// Publishes Events under this process's name.
#[derive(Clone)]
pub struct Events {
    client: Client,
    instance: String,
}

impl Events {
    /// Events signed `instance`, sent through `client`, which must not retry.
    pub fn new(client: Client, instance: &str) -> Self {
        Events { client, instance: within(instance, 128).to_owned() }
    }

    /// Publishes one. A failure is logged and forgotten: an Event is news, not a record.
    pub async fn publish(&self, about: &DynamicObject, event: &Event) {
        let body = self.body(about, event, Timestamp::now());
        let namespace = body.metadata.namespace.clone().unwrap_or_default();
        match Api::<v1::Event>::namespaced(self.client.clone(), &namespace).create(&PostParams::default(), &body).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {} // the same news, a moment ago
            Err(error) => tracing::warn!(object = %about.name_any(), reason = %event.reason, %error, "the event was not published"),
        }
    }

    fn body(&self, about: &DynamicObject, event: &Event, now: Timestamp) -> v1::Event {
        let uid = about.uid().unwrap_or_default();
        let fold = now.as_second().div_euclid(FOLD_SECONDS).to_string();
        let digest = Sha256::digest([uid.as_str(), &event.reason, &event.action, &event.note, &fold].join("\0"));
        let suffix: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let types = about.types.clone().unwrap_or_default();
        v1::Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{suffix}", within(&about.name_any(), 230).trim_end_matches(['.', '-']))),
                // Events are namespaced; those of cluster-scoped objects live in `default`, by convention.
                namespace: Some(about.namespace().unwrap_or_else(|| "default".to_owned())),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
            reason: Some(within(&event.reason, 128).to_owned()),
            action: Some(within(&event.action, 128).to_owned()),
            note: Some(within(&event.note, NOTE).to_owned()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            regarding: Some(ObjectReference {
                api_version: Some(types.api_version),
                kind: Some(types.kind),
                name: Some(about.name_any()),
                namespace: about.namespace(),
                uid: about.uid(),
                resource_version: about.resource_version(),
                field_path: None,
            }),
            ..v1::Event::default()
        }
    }
}

/// As much of a text as fits into so many bytes, whole characters only.
fn within(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Json, Router, routing::post};
    use serde_json::{Value, json};

    use super::*;

    fn vault() -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "breakwater.io/v1alpha1", "kind": "RecoveryVault",
            "metadata": { "name": "main", "namespace": "shop", "uid": "u-1", "resourceVersion": "7" }
        }))
        .unwrap()
    }

    fn news(note: &str) -> Event {
        Event { warning: true, reason: "WouldWeaken".into(), action: "Plan".into(), note: note.into() }
    }

    fn name(event: &v1::Event) -> String {
        event.metadata.name.clone().unwrap()
    }

    #[tokio::test]
    async fn an_event_says_who_what_and_about_whom() {
        let received: Arc<Mutex<Vec<Value>>> = Arc::default();
        let inbox = received.clone();
        let app = Router::new().route(
            "/apis/events.k8s.io/v1/namespaces/shop/events",
            post(move |Json(event): Json<Value>| async move {
                inbox.lock().unwrap().push(event.clone());
                Json(event)
            }),
        );
        Events::new(Client::new(app, "default"), "pod_1").publish(&vault(), &news("softDelete would be lowered")).await;
        let event = received.lock().unwrap().pop().unwrap();
        assert_eq!(event["regarding"]["uid"], "u-1");
        assert_eq!(event["regarding"]["kind"], "RecoveryVault");
        assert_eq!((event["type"].as_str(), event["reason"].as_str()), (Some("Warning"), Some("WouldWeaken")));
        assert_eq!(event["reportingController"], "breakwater.io/operator");
        assert_eq!(event["reportingInstance"], "pod_1");
    }

    #[tokio::test]
    async fn the_same_news_is_one_event_and_other_news_another() {
        let events = Events::new(Client::new(Router::new(), "default"), "pod");
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let first = events.body(&vault(), &news("a"), at("2026-11-24T10:00:01Z"));
        let again = events.body(&vault(), &news("a"), at("2026-11-24T10:09:59Z"));
        let other = events.body(&vault(), &news("b"), at("2026-11-24T10:00:01Z"));
        let later = events.body(&vault(), &news("a"), at("2026-11-24T10:10:01Z"));
        assert_eq!(name(&first), name(&again));
        assert_ne!(name(&first), name(&other));
        assert_ne!(name(&first), name(&later));
    }

    #[tokio::test]
    async fn what_the_api_server_would_refuse_is_cut() {
        let events = Events::new(Client::new(Router::new(), "default"), "pod");
        let mut access = vault();
        access.metadata.namespace = None;
        let body = events.body(&access, &news(&"ü".repeat(2000)), Timestamp::UNIX_EPOCH);
        assert_eq!(body.note.unwrap().len(), 1024);
        assert_eq!(body.metadata.namespace.as_deref(), Some("default"));
        assert_eq!(within("aü", 2), "a");
    }

    #[tokio::test]
    async fn a_refused_event_fails_nobody() {
        Events::new(Client::new(Router::new(), "default"), "pod").publish(&vault(), &news("a")).await;
    }
}
