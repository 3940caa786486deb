//! For tests: an API server in process that keeps objects, answers lists, watches, patches, creates and deletes, and counts
//! resource versions. A Router, so it shares tokio's paused clock and needs no socket.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::kinds::{KINDS, Kind, Scope};

/// The event after which a watch is silent.
const HANG: &str = "hang";

/// A request that was not a read: verb, path and body.
pub type Written = (String, String, Value);

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    state: Mutex<Stored>,
    events: broadcast::Sender<(Kind, Value)>,
    written: Mutex<Vec<Written>>,
    refusal: Mutex<Option<(u16, &'static str, &'static str)>>,
    lists: AtomicUsize,
}

/// What etcd holds.
#[derive(Clone, Default)]
pub struct Stored {
    version: u64,
    objects: BTreeMap<String, Value>,
}

impl ApiServer {
    pub fn new() -> Self {
        ApiServer(Arc::new(Inner {
            state: Mutex::default(),
            events: broadcast::channel(1000).0,
            written: Mutex::default(),
            refusal: Mutex::default(),
            lists: AtomicUsize::new(0),
        }))
    }

    pub fn client(&self) -> Client {
        Client::new(Router::new().fallback(serve).with_state(self.clone()), "default")
    }

    /// Listens on a free port of loopback for as long as the runtime lives; answers its URL.
    pub async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(serve).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    /// The requests that were no reads, so far.
    pub fn written(&self) -> Vec<Written> {
        self.0.written.lock().unwrap().clone()
    }

    /// From now on every write gets this status, reason and message.
    pub fn refuse(&self, code: u16, reason: &'static str, message: &'static str) {
        *self.0.refusal.lock().unwrap() = Some((code, reason, message));
    }

    /// Puts an object there as a user would, or changes it: a new generation when its spec differs. Returns its resourceVersion.
    pub fn apply(&self, kind: &str, namespace: &str, name: &str, body: Value) -> String {
        let kind = kind_named(kind);
        let path = path_of(&kind, namespace, name);
        let before = self.0.state.lock().unwrap().objects.get(&path).cloned();
        let mut object = body;
        object["metadata"]["name"] = json!(name);
        if kind.scope == Scope::Namespaced {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let old = before.as_ref().map_or(0, |b| b["metadata"]["generation"].as_i64().unwrap_or(0));
        let same = before.as_ref().is_some_and(|b| b["spec"] == object["spec"]);
        object["metadata"]["generation"] = json!(if same { old } else { old + 1 });
        object["metadata"]["uid"] = json!(format!("uid-{name}"));
        self.store(kind, &path, object, if before.is_some() { "MODIFIED" } else { "ADDED" })["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Removes an object.
    pub fn remove(&self, kind: &str, namespace: &str, name: &str) {
        let kind = kind_named(kind);
        let removed = self.0.state.lock().unwrap().objects.remove(&path_of(&kind, namespace, name));
        self.tell(kind, "DELETED", removed.expect("it was there"));
    }

    /// Ends every watch, as a restarting API server does.
    pub fn cut_watches(&self) {
        let _nobody_watches = self.0.events.send((KINDS[0], Value::Null));
    }

    /// No watch that is open by now tells anything any more, nor ends: its peer is gone.
    pub fn hang_watches(&self) {
        let _nobody_watches = self.0.events.send((KINDS[0], json!(HANG)));
    }

    /// How many lists were answered so far.
    pub fn lists(&self) -> usize {
        self.0.lists.load(Ordering::SeqCst)
    }

    /// A snapshot of etcd.
    pub fn backup(&self) -> Stored {
        self.0.state.lock().unwrap().clone()
    }

    /// Puts a snapshot in the place of what is there. No watch tells of that.
    pub fn restore(&self, snapshot: Stored) {
        *self.0.state.lock().unwrap() = snapshot;
    }

    fn store(&self, kind: Kind, path: &str, mut object: Value, event: &str) -> Value {
        let mut state = self.0.state.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state.objects.insert(path.to_owned(), object.clone());
        drop(state);
        self.tell(kind, event, object.clone());
        object
    }

    fn tell(&self, kind: Kind, event: &str, mut object: Value) {
        object["apiVersion"] = json!(kind.resource().api_version);
        object["kind"] = json!(kind.kind);
        let _nobody_watches = self.0.events.send((kind, json!({ "type": event, "object": object })));
    }
}

fn kind_named(name: &str) -> Kind {
    *KINDS.iter().find(|k| k.kind == name).expect("a watched kind")
}

fn root(kind: &Kind) -> String {
    if kind.group.is_empty() { format!("/api/{}", kind.version) } else { format!("/apis/{}/{}", kind.group, kind.version) }
}

fn path_of(kind: &Kind, namespace: &str, name: &str) -> String {
    let within = if kind.scope == Scope::Namespaced { format!("/namespaces/{namespace}") } else { String::new() };
    format!("{}{within}/{}/{name}", root(kind), kind.plural)
}

async fn serve(
    State(server): State<ApiServer>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    if method == Method::GET {
        if let Some(kind) = KINDS.iter().find(|k| path == format!("{}/{}", root(k), k.plural)) {
            return if query.contains_key("watch") { server.watch(*kind) } else { server.list(*kind) };
        }
        let found = server.0.state.lock().unwrap().objects.get(&path).cloned();
        return found.map_or_else(|| failure(404, "NotFound", "not found"), |object| Json(object).into_response());
    }
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    server.0.written.lock().unwrap().push((method.to_string(), path.clone(), body));
    let refusal = *server.0.refusal.lock().unwrap();
    if let Some((code, reason, message)) = refusal {
        return failure(code, reason, message);
    }
    let (_, _, body) = server.written().pop().expect("pushed above");
    match method {
        Method::POST => server.create(&path, body),
        Method::PATCH => server.patch(&path, &body),
        _ => server.delete(&path, &body),
    }
}

impl ApiServer {
    fn list(&self, kind: Kind) -> Response {
        self.0.lists.fetch_add(1, Ordering::SeqCst);
        let state = self.0.state.lock().unwrap();
        let of_kind = |path: &&String| path.starts_with(&root(&kind)) && path.rsplit('/').nth(1) == Some(kind.plural);
        let items: Vec<&Value> = state.objects.iter().filter(|(path, _)| of_kind(path)).map(|(_, object)| object).collect();
        let list = json!({ "apiVersion": kind.resource().api_version, "kind": format!("{}List", kind.kind),
            "metadata": { "resourceVersion": state.version.to_string() }, "items": items });
        Json(list).into_response()
    }

    fn watch(&self, kind: Kind) -> Response {
        let events = futures::stream::unfold(self.0.events.subscribe(), |mut receiver| async move {
            let event = receiver.recv().await.ok()?;
            if event.1 == HANG {
                std::future::pending::<()>().await;
            }
            Some((event, receiver))
        });
        let lines = events
            .take_while(|(_, event)| futures::future::ready(!event.is_null()))
            .filter_map(move |(of, event)| futures::future::ready((of == kind).then(|| Ok::<_, std::io::Error>(format!("{event}\n")))));
        Body::from_stream(lines).into_response()
    }

    fn create(&self, collection: &str, body: Value) -> Response {
        let Some(kind) = KINDS.iter().find(|k| collection.starts_with(&root(k)) && collection.ends_with(&format!("/{}", k.plural))) else {
            return Json(body).into_response();
        };
        let path = format!("{collection}/{}", body["metadata"]["name"].as_str().unwrap());
        if self.0.state.lock().unwrap().objects.contains_key(&path) {
            return failure(409, "AlreadyExists", "exists");
        }
        Json(self.store(*kind, &path, body, "ADDED")).into_response()
    }

    fn patch(&self, path: &str, body: &Value) -> Response {
        let path = path.strip_suffix("/status").unwrap_or(path);
        let Some(mut object) = self.0.state.lock().unwrap().objects.get(path).cloned() else {
            return failure(404, "NotFound", "not found");
        };
        if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return failure(409, "Conflict", "moved");
        }
        merge(&mut object, body);
        let kind = KINDS.iter().find(|k| path.rsplit('/').nth(1) == Some(k.plural)).expect("it was stored");
        Json(self.store(*kind, path, object, "MODIFIED")).into_response()
    }

    fn delete(&self, path: &str, body: &Value) -> Response {
        let Some(object) = self.0.state.lock().unwrap().objects.get(path).cloned() else { return failure(404, "NotFound", "not found") };
        if body["preconditions"]["uid"] != object["metadata"]["uid"] {
            return failure(409, "Conflict", "another uid");
        }
        let kind = KINDS.iter().find(|k| path.rsplit('/').nth(1) == Some(k.plural)).expect("it was stored");
        self.remove(kind.kind, object["metadata"]["namespace"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap());
        Json(object).into_response()
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

fn failure(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code });
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}
