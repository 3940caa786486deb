//! The rules of the pretend API server, one test each. Where the real one is meant, kube-apiserver 1.33 is.

mod faults;
mod kubectl;
mod objects;
mod watches;

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use breakwater_engine::ports::{Cluster, Event};
use jiff::Timestamp;

use super::{schema::tests::gadget_crd, *};

pub(super) const START: &str = "2026-03-01T00:00:00Z";

/// An empty cluster that knows the kind `Gadget`, and its clock.
fn cluster() -> (MemoryCluster, Arc<VirtualClock>) {
    let clock = Arc::new(VirtualClock::new(START.parse::<Timestamp>().expect("a timestamp")));
    (MemoryCluster::new(clock.clone(), &[gadget_crd()], 1).expect("the CRD compiles"), clock)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: "Gadget".to_owned(), namespace: "team".to_owned(), name: name.to_owned() }
}

fn gadget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "test.example/v1", "kind": "Gadget", "metadata": {"name": name, "namespace": "team"}, "spec": spec})
}

/// A cluster with one gadget, `g`, of size 1.
fn with_g() -> (MemoryCluster, DynamicObject) {
    let (cluster, _) = cluster();
    let g = ready(cluster.create(&key("g"), &gadget("g", &json!({"size": 1})), &|| true)).expect("valid");
    (cluster, g)
}

fn version(object: &DynamicObject) -> String {
    object.metadata.resource_version.clone().expect("stored objects have a version")
}

fn uid(object: &DynamicObject) -> String {
    object.metadata.uid.clone().expect("stored objects have a uid")
}

fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Nothing in this cluster ever waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match poll(future) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the pretend cluster waits for nothing"),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClusterError>) -> String {
    match result {
        Err(ClusterError::Refused(words)) => words,
        other => panic!("not refused: {other:?}"),
    }
}
