//! `azure-sim` as the engine's port to Azure: no socket, no token, and a crash or a lost answer at any write.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use azure_sim::{
    Azure,
    wire::{Caller, Disposition, WireReply, WireRequest},
};
use breakwater_arm::wire::{Answer, Request};
use breakwater_engine::ports::{Arm, Clock, Credential, Identity, SendError, TOO_LATE};
use serde_json::{Value, json};

use super::invariants::is_write;
use crate::{clock::VirtualClock, halt::Halt};

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
    /// The process stands still with the request in hand, and sends it when it is woken.
    StandsStill,
}

/// Hears every request, reads as well.
pub trait Ear: Send + Sync {
    /// It is about to leave.
    fn leaves(&self, identity: &Identity, request: &Request);
    /// What came of the one that left last; never said when the process died.
    fn answered(&self, result: &Result<Answer, SendError>);
}

/// Azure in process, as one process of the operator reaches it.
pub struct SimArm {
    azure: Arc<Mutex<Azure>>,
    clock: Arc<VirtualClock>,
    caller: Caller,
    /// Who else may be sent as, by client id.
    callers: BTreeMap<String, Caller>,
    halt: Arc<Halt>,
    /// Counts writes from 1.
    writes: AtomicU64,
    deaths: AtomicU64,
    faults: Mutex<Vec<(u64, ArmFault)>>,
    ear: Mutex<Option<Box<dyn Ear>>>,
    meanwhile: Mutex<Option<Meanwhile>>,
}

/// What somebody does while a request is on its way.
type Meanwhile = Box<dyn FnMut(&Request) + Send>;

fn open<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimArm {
    /// Azure as that caller sees it; as these callers, where an identity has their client id.
    pub fn new(
        azure: Arc<Mutex<Azure>>,
        clock: Arc<VirtualClock>,
        caller: Caller,
        callers: BTreeMap<String, Caller>,
        halt: Arc<Halt>,
    ) -> Self {
        let (writes, deaths) = (AtomicU64::new(0), AtomicU64::new(0));
        SimArm {
            azure,
            clock,
            caller,
            callers,
            halt,
            writes,
            deaths,
            faults: Mutex::default(),
            ear: Mutex::default(),
            meanwhile: Mutex::default(),
        }
    }

    /// Azure as another process reaches it.
    #[must_use]
    pub fn of_another_process(&self, halt: Arc<Halt>) -> Self {
        SimArm::new(self.azure.clone(), self.clock.clone(), self.caller.clone(), self.callers.clone(), halt)
    }

    /// Another Azure with another clock, reached as this one is.
    #[must_use]
    pub fn before_another_azure(&self, azure: Arc<Mutex<Azure>>, clock: Arc<VirtualClock>, halt: Arc<Halt>) -> Self {
        SimArm::new(azure, clock, self.caller.clone(), self.callers.clone(), halt)
    }

    /// The process's steps.
    pub fn halt(&self) -> &Arc<Halt> {
        &self.halt
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

    /// What happens outside at each request from now on, before it leaves.
    pub fn meanwhile(&self, does: impl FnMut(&Request) + Send + 'static) {
        *open(&self.meanwhile) = Some(Box::new(does));
    }

    fn apply(&self, caller: &Caller, request: &Request) -> Result<Answer, SendError> {
        let wire = wire(request);
        let reply = open(&self.azure).handle_as(self.clock.now(), caller.clone(), wire);
        self.clock.advance(reply.delay);
        answer(reply)
    }

    fn caller_of(&self, identity: &Identity) -> &Caller {
        let client_id = match &identity.credential {
            Credential::Workload { client_id, .. }
            | Credential::Operator { client_id }
            | Credential::Managed { client_id }
            | Credential::ClientSecret { client_id, .. } => client_id,
        };
        self.callers.get(client_id).unwrap_or(&self.caller)
    }

    async fn send(&self, caller: &Caller, request: &Request, fault: Option<ArmFault>) -> Result<Answer, SendError> {
        match fault {
            None | Some(ArmFault::StandsStill) => self.apply(caller, request),
            Some(ArmFault::NeverSent) => Err(SendError::Unknown("the connection was cut".into())),
            Some(ArmFault::AnswerLost) => {
                let _ = self.apply(caller, request);
                Err(SendError::Unknown("the connection was cut".into()))
            }
            Some(ArmFault::DiesBefore) => self.death().await,
            Some(ArmFault::DiesAfter) => {
                let _ = self.apply(caller, request);
                self.death().await
            }
        }
    }

    async fn death(&self) -> Result<Answer, SendError> {
        self.deaths.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }
}

#[async_trait]
impl Arm for SimArm {
    /// A token takes a step of its own.
    async fn ready(&self, _: &Identity) -> Result<(), SendError> {
        self.halt.step().await;
        Ok(())
    }

    async fn call(&self, identity: &Identity, request: &Request) -> Result<Answer, SendError> {
        self.call_if(identity, request, &|| true).await
    }

    async fn call_if(
        &self,
        identity: &Identity,
        request: &Request,
        may_leave: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Answer, SendError> {
        if let Some(does) = &mut *open(&self.meanwhile) {
            does(request);
        }
        let is_write = is_write(request);
        let nth = if is_write { self.writes.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        let fault = open(&self.faults).iter().find(|(at, _)| is_write && *at == nth).map(|(_, fault)| *fault);
        match (is_write, fault) {
            (false, _) => self.halt.step().await,
            // Between the gate's last look and the wire a process can only be stopped by force.
            (true, Some(ArmFault::StandsStill)) => {
                self.halt.stand();
                self.halt.moves().await;
            }
            (true, _) => self.halt.moves().await,
        }
        if !may_leave() {
            return Err(SendError::NotSent(TOO_LATE.to_owned()));
        }
        if let Some(ear) = &*open(&self.ear) {
            ear.leaves(identity, request);
        }
        let result = self.send(self.caller_of(identity), request, fault).await;
        if let Some(ear) = &*open(&self.ear) {
            ear.answered(&result);
        }
        result
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
