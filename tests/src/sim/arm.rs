//! `azure-sim` as the engine's port to Azure: no socket, no token, and a crash or a lost answer at any write.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use azure_sim::{
    Azure,
    wire::{Caller, Disposition, WireReply, WireRequest},
};
use breakwater_arm::wire::{Answer, Request};
use breakwater_engine::ports::{Arm, Clock, Identity, SendError};
use serde_json::{Value, json};

use super::invariants::is_write;
use crate::clock::VirtualClock;

/// What happens at one write to Azure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmFault {
    /// The process dies before the request leaves.
    DiesBefore,
    /// It is applied, and the process dies before the answer comes.
    DiesAfter,
    /// It never leaves, and nobody knows.
    NeverSent,
    /// It is applied, and the answer is lost.
    AnswerLost,
}

/// Hears every request, reads as well.
pub trait Ear: Send + Sync {
    /// It is about to leave.
    fn leaves(&self, identity: &Identity, request: &Request);
    /// What came of the one that left last; never said when the process died.
    fn answered(&self, result: &Result<Answer, SendError>);
}

/// Azure in process.
pub struct SimArm {
    azure: Arc<Mutex<Azure>>,
    clock: Arc<VirtualClock>,
    caller: Caller,
    /// Counts writes from 1.
    writes: AtomicU64,
    deaths: AtomicU64,
    faults: Mutex<Vec<(u64, ArmFault)>>,
    ear: Mutex<Option<Box<dyn Ear>>>,
}

fn open<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimArm {
    /// Azure as that caller sees it.
    pub fn new(azure: Arc<Mutex<Azure>>, clock: Arc<VirtualClock>, caller: Caller) -> Self {
        let (writes, deaths) = (AtomicU64::new(0), AtomicU64::new(0));
        SimArm { azure, clock, caller, writes, deaths, faults: Mutex::default(), ear: Mutex::default() }
    }

    /// Plays a fault at the n-th write from now on, counting from 1.
    pub fn fault_at(&self, nth: u64, fault: ArmFault) {
        open(&self.faults).push((self.writes.load(Ordering::SeqCst) + nth, fault));
    }

    /// How many writes were tried.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// How often the process died at a write.
    pub fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::SeqCst)
    }

    /// Who hears of every request from now on.
    pub fn listen(&self, ear: Box<dyn Ear>) {
        *open(&self.ear) = Some(ear);
    }

    fn apply(&self, request: &Request) -> Result<Answer, SendError> {
        let wire = wire(request);
        let reply = open(&self.azure).handle_as(self.clock.now(), self.caller.clone(), wire);
        self.clock.advance(reply.delay);
        answer(reply)
    }
}

#[async_trait]
impl Arm for SimArm {
    async fn call(&self, identity: &Identity, request: &Request) -> Result<Answer, SendError> {
        if let Some(ear) = &*open(&self.ear) {
            ear.leaves(identity, request);
        }
        let result = self.send(request).await;
        if let Some(ear) = &*open(&self.ear) {
            ear.answered(&result);
        }
        result
    }
}

impl SimArm {
    async fn send(&self, request: &Request) -> Result<Answer, SendError> {
        if !is_write(request) {
            return self.apply(request);
        }
        let nth = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = open(&self.faults).iter().find(|(at, _)| *at == nth).map(|(_, fault)| *fault);
        if matches!(fault, Some(ArmFault::DiesAfter | ArmFault::AnswerLost)) {
            let _ = self.apply(request);
        }
        match fault {
            None => self.apply(request),
            Some(ArmFault::NeverSent | ArmFault::AnswerLost) => Err(SendError::Unknown("the connection was cut".into())),
            Some(ArmFault::DiesBefore | ArmFault::DiesAfter) => {
                self.deaths.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
        }
    }
}

/// A request as it goes onto the wire.
fn wire(request: &Request) -> WireRequest {
    let mut headers = std::collections::BTreeMap::from([("accept".to_owned(), "application/json".to_owned())]);
    if let Some(id) = request.client_request_id {
        headers.insert("x-ms-client-request-id".to_owned(), id.to_string());
        headers.insert("x-ms-correlation-request-id".to_owned(), id.to_string());
    }
    let encode = |text: &str| text.replace('%', "%25").replace(' ', "%20").replace('&', "%26").replace('+', "%2B").replace('#', "%23");
    let url = request.link.clone().unwrap_or_else(|| {
        let path = request.path.replace('%', "%25").replace(' ', "%20").replace(';', "%3B");
        let query: Vec<String> = request.query.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        format!("{path}?{}", query.join("&"))
    });
    let body = request.body.as_ref().map(|b| b.to_string().into_bytes()).unwrap_or_default();
    if !body.is_empty() {
        headers.insert("content-type".to_owned(), "application/json".to_owned());
    }
    WireRequest { method: request.method.as_str().to_owned(), url, headers, body, origin: "https://management.azure.com".into() }
}

fn answer(reply: WireReply) -> Result<Answer, SendError> {
    if reply.disposition != Disposition::Deliver {
        return Err(SendError::Unknown("the connection was cut".into()));
    }
    let body = match serde_json::from_slice::<Value>(&reply.body) {
        _ if reply.body.is_empty() => Value::Null,
        Ok(body) => body,
        Err(_) if reply.headers.iter().any(|(k, v)| k == "content-type" && v.contains("json")) => {
            return Err(SendError::Unknown("the body is not JSON".into()));
        }
        Err(_) => json!({ "raw": String::from_utf8_lossy(&reply.body).chars().take(2000).collect::<String>() }),
    };
    Ok(Answer { status: reply.status, headers: reply.headers.into_iter().collect(), body })
}
