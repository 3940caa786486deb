//! What crosses the port to Azure, with how things stood in the cluster at that moment.

use std::sync::{Arc, Mutex, PoisonError};

use breakwater_arm::{
    Effect, classify,
    wire::{Answer, Request},
};
use breakwater_engine::ports::{Clock, Identity, Leadership, ObjectKey, SendError};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    clock::VirtualClock,
    cluster::{MemoryCluster, leadership::SwitchableLeadership},
    sim::arm::Ear,
};

/// One request of the operator.
#[derive(Clone, Debug)]
pub struct Call {
    /// World time at which it left.
    pub at: Timestamp,
    /// The `AzureAccess` that it was sent under.
    pub access: String,
    /// What was sent.
    pub request: Request,
    /// Whether it may change anything.
    pub is_write: bool,
    /// Whether the operator held the lease.
    pub leads: bool,
    /// Of a write: whose record it was sent from.
    pub holder: Option<Holder>,
    /// How many writes to Kubernetes anybody had made before.
    pub writes_before: usize,
    /// What came of it; none when the process died.
    pub answer: Option<Result<Answer, SendError>>,
    /// World time at which that was known.
    pub answered_at: Timestamp,
}

/// The object that holds the record of a write.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Which object.
    pub key: ObjectKey,
    /// Its spec at that moment.
    pub spec: Value,
    /// The record.
    pub record: Value,
    /// Whether the request closes what the record opened.
    pub is_debt: bool,
}

impl Call {
    /// Method and path.
    pub fn line(&self) -> String {
        format!("{} {}", self.request.method, self.request.link.as_ref().unwrap_or(&self.request.path))
    }

    /// The request id, empty where there is none.
    pub fn id(&self) -> String {
        self.request.client_request_id.map(|id| id.to_string()).unwrap_or_default()
    }

    /// Whether it certainly did nothing: refused by a whole answer (architecture.md, rule 3), or it never left.
    pub fn refused(&self) -> bool {
        match &self.answer {
            Some(Ok(answer)) => (400..500).contains(&answer.status) && answer.status != 408,
            Some(Err(error)) => !matches!(error, SendError::Unknown(_)),
            None => false,
        }
    }

    /// Whether Azure took it, and said so.
    pub fn accepted(&self) -> bool {
        matches!(&self.answer, Some(Ok(answer)) if answer.is_success())
    }

    #[cfg(test)]
    pub fn planted(request: Request, is_write: bool) -> Call {
        let at = "2026-11-24T08:00:00Z".parse().expect("a time");
        Call { at, access: "a".into(), request, is_write, leads: true, holder: None, writes_before: 0, answer: None, answered_at: at }
    }
}

#[cfg(test)]
impl Holder {
    pub fn planted(namespace: &str) -> Holder {
        let key = ObjectKey { kind: "RecoveryVault".into(), namespace: namespace.into(), name: "main".into() };
        Holder { key, spec: Value::Null, record: Value::Null, is_debt: false }
    }
}

/// Whether a request may change anything, by the one table; what it does not hold may.
pub fn is_write(request: &Request) -> bool {
    request.link.is_none() && classify(request.method, &request.path, request.body.as_ref()).is_none_or(|c| c.effect == Effect::Write)
}

/// Listens at the port.
pub struct Listener {
    /// Everything heard and not looked at yet.
    pub heard: Arc<Mutex<Vec<Call>>>,
    /// The server behind every process.
    pub cluster: Arc<MemoryCluster>,
    /// Time.
    pub clock: Arc<VirtualClock>,
    /// The lease.
    pub leadership: Arc<SwitchableLeadership>,
    /// Kinds that hold records.
    pub kinds: Vec<String>,
}

impl Ear for Listener {
    fn leaves(&self, identity: &Identity, request: &Request) {
        let is_write = is_write(request);
        let holder = is_write.then(|| self.holder(request)).flatten();
        let now = self.clock.now();
        let call = Call {
            at: now,
            access: identity.access.clone(),
            request: request.clone(),
            is_write,
            leads: self.leadership.leads(),
            holder,
            writes_before: self.cluster.written(),
            answer: None,
            answered_at: now,
        };
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    fn answered(&self, result: &Result<Answer, SendError>) {
        if let Some(last) = self.heard.lock().unwrap_or_else(PoisonError::into_inner).last_mut() {
            last.answer = Some(result.clone());
            last.answered_at = self.clock.now();
        }
    }
}

impl Listener {
    /// The saved record with the request's id, or the debt whose closing request this is.
    fn holder(&self, request: &Request) -> Option<Holder> {
        let id = request.client_request_id.map(|id| id.to_string()).unwrap_or_default();
        for object in self.kinds.iter().flat_map(|kind| self.cluster.live_all(kind)) {
            let records = object.data.pointer("/status/operations").and_then(Value::as_array);
            for record in records.into_iter().flatten() {
                let opens = record["clientRequestId"] == id.as_str();
                let closes = || record.pointer("/debt/path").and_then(Value::as_str) == Some(&request.path);
                if opens || closes() {
                    return Some(Holder {
                        key: key_of(&object),
                        spec: object.data["spec"].clone(),
                        record: record.clone(),
                        is_debt: !opens,
                    });
                }
            }
        }
        None
    }
}

/// An object's key.
pub fn key_of(object: &kube::core::DynamicObject) -> ObjectKey {
    ObjectKey {
        kind: object.types.as_ref().map(|types| types.kind.clone()).unwrap_or_default(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}
