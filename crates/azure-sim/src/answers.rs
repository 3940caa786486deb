//! The last steps before the wire: the headers every answer carries, and what fault rules do to an answer.

use std::time::Duration;

use serde_json::Value;

use crate::{
    arm::operations::Rig,
    faults::{Ending, Fault, When, status_answer},
    path::Target,
    recovery::{Fate, Finding, Phase, Stage, State, operation_id},
    wire::{Disposition, Inbound, Reply, WireReply},
    world::World,
};

/// The faults that play on one request.
pub(crate) struct Played(Vec<(String, Fault)>);

impl Played {
    pub(crate) fn new(firing: Vec<(String, Fault)>) -> Self {
        Played(firing)
    }

    pub(crate) fn has(&self, is: impl Fn(&Fault) -> bool) -> bool {
        self.0.iter().any(|(_, fault)| is(fault))
    }

    /// The rules' ids, for the journal.
    pub(crate) fn names(&self) -> Option<String> {
        let names: Vec<&str> = self.0.iter().map(|(id, _)| id.as_str()).collect();
        (!names.is_empty()).then(|| names.join(","))
    }

    pub(crate) fn delay(&self) -> Duration {
        let seconds: f64 = self.0.iter().map(|(_, fault)| if let Fault::Delay { seconds } = fault { *seconds } else { 0.0 }).sum();
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO)
    }

    pub(crate) fn lag(&self) -> Option<f64> {
        self.0.iter().find_map(|(_, fault)| if let Fault::ListLag { seconds } = fault { Some(*seconds) } else { None })
    }

    pub(crate) fn failing_job(&self) -> Option<&str> {
        self.0.iter().find_map(|(_, fault)| if let Fault::JobFailed { code } = fault { Some(code.as_str()) } else { None })
    }

    pub(crate) fn fate(&self) -> Option<Fate> {
        let (how, code) = self.0.iter().find_map(|(_, fault)| match fault {
            Fault::RestoreFate { how, code } => Some((*how, code.as_deref().unwrap_or("RestoreOperationFailed"))),
            _ => None,
        })?;
        let finding = Finding::known(code);
        Some(match how {
            Ending::FailsInTransfer => Fate::Fails { at: Stage::Transfer, finding },
            Ending::FailsLate => Fate::Fails { at: Stage::Finish, finding },
            Ending::Warns => Fate::Warns(finding),
            Ending::WarnsUndone => Fate::WarnsUndone(finding),
            Ending::Sticks => Fate::Sticks,
        })
    }

    pub(crate) fn rig(&self) -> Option<Rig> {
        self.0.iter().find_map(|(_, fault)| match fault {
            Fault::OperationStuck => Some(Rig::Stuck),
            Fault::OperationExpired => Some(Rig::Expired),
            Fault::OperationFailed { code, message } => Some(Rig::Failed { code: code.clone(), message: message.clone() }),
            _ => None,
        })
    }

    pub(crate) fn status(&self, at: When, req: &Inbound) -> Option<(Reply, Option<Vec<u8>>)> {
        let fault = self.0.iter().map(|(_, fault)| fault).find(|fault| matches!(fault, Fault::Status { when, .. } if *when == at))?;
        status_answer(fault, req.client_request_id().unwrap_or_default())
    }

    /// Cuts or garbles a finished answer.
    pub(crate) fn spoil(&self, wire: &mut WireReply) {
        if self.has(|fault| matches!(fault, Fault::MalformedBody)) {
            let half = wire.body.len() / 2;
            wire.body.truncate(half);
            wire.body.extend_from_slice(b"<<not json");
            set_header(wire, "content-length", wire.body.len().to_string());
        }
        if self.has(|fault| matches!(fault, Fault::CutBody)) {
            let half = wire.body.len() / 2;
            wire.body.truncate(half);
            wire.disposition = Disposition::CutBody;
        }
    }
}

fn set_header(wire: &mut WireReply, name: &str, value: String) {
    wire.headers.retain(|(key, _)| key != name);
    wire.headers.push((name.to_owned(), value));
}

/// `error.code` of an answer, whatever its shape.
pub(crate) fn error_code(reply: &Reply) -> Option<String> {
    let body = reply.body.as_ref().filter(|_| reply.status >= 400)?;
    let found =
        ["/error/code", "/Error/Code", "/ErrorCode", "/code", "/error"].iter().find_map(|at| body.pointer(at).and_then(Value::as_str));
    found.map(str::to_owned)
}

/// Lets the job fail that an accepted request started: a backup's own job, or the operation of a configuration.
pub(crate) fn fail_job(recovery: &mut State, reply: &Reply, code: &str) {
    let Some(operation) = operation_id(reply).filter(|_| reply.status == 202) else { return };
    let message = "The operation failed: a fault rule of the simulator says so.";
    let finding = Finding::new(code.parse().unwrap_or(0), code, message);
    let job = recovery.job_of_operation(&operation).map(str::to_owned);
    let failed = job.map(|job| recovery.fail_job(&job, Phase::Snapshot, finding));
    if !matches!(failed, Some(Ok(()))) {
        // Not a backup job, so the operation itself fails; one that has ended meanwhile stays as it is.
        let _ = recovery.fail_operation(&operation, code, message);
    }
}

/// Gives the restore that an accepted request started its fate; a request that started none stays as it is.
pub(crate) fn doom_restore(recovery: &mut State, reply: &Reply, fate: Fate) {
    let operation = operation_id(reply).filter(|_| reply.status == 202);
    let job = operation.and_then(|operation| recovery.job_of_operation(&operation).map(str::to_owned));
    if let Some(job) = job {
        // What is no restore has no such fate.
        let _ = recovery.doom_restore(&job, fate);
    }
}

/// Plays a fault on an operation of Recovery Services. There may be none of that id, or one that has ended: then nothing
/// is left to play on.
pub(crate) fn rig_recovery(recovery: &mut State, id: &str, rig: &Rig) {
    let _ = match rig {
        Rig::Stuck => recovery.stick_operation(id),
        Rig::Expired => recovery.expire_operation(id),
        Rig::Failed { code, message } => recovery.fail_operation(id, code, message),
    };
}

/// Bytes and the headers that every answer carries (compute-and-arm.md E.5).
pub(crate) fn finish(world: &World, req: &Inbound, reply: Reply, bytes: Option<Vec<u8>>) -> WireReply {
    let mut wire = WireReply { status: reply.status, headers: reply.headers, ..WireReply::default() };
    wire.body = match (&bytes, &reply.body) {
        (Some(bytes), _) => bytes.clone(),
        (None, Some(body)) => serde_json::to_vec(body).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    if req.method == "HEAD" {
        wire.body.clear();
    }
    let entra = crate::identity::entra::owns(&req.path);
    let request_id = world.entropy.guid();
    let correlation = req.headers.get("x-ms-correlation-request-id").cloned().unwrap_or_else(|| request_id.clone());
    let time = world.now.strftime("%Y%m%dT%H%M%SZ");
    let mut add = |name: &str, value: String| {
        if !wire.headers.iter().any(|(key, _)| key == name) {
            wire.headers.push((name.to_owned(), value));
        }
    };
    add("date", world.now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    add("cache-control", if entra { "no-store, no-cache" } else { "no-cache" }.to_owned());
    add("pragma", "no-cache".to_owned());
    add("expires", "-1".to_owned());
    add("strict-transport-security", "max-age=31536000; includeSubDomains".to_owned());
    add("x-content-type-options", "nosniff".to_owned());
    add("x-ms-request-id", request_id.clone());
    if !entra {
        add("x-ms-correlation-request-id", correlation);
        add("x-ms-routing-request-id", format!("WESTEUROPE:{time}:{request_id}"));
    }
    // Recovery Services echoes it unasked [recorded].
    let echoes = Target::read(&req.method, &req.path).in_namespace("Microsoft.RecoveryServices");
    if let Some(id) = req.client_request_id()
        && (echoes || req.headers.get("x-ms-return-client-request-id").is_some_and(|value| value == "true"))
    {
        add("x-ms-client-request-id", id.to_owned());
    }
    if !wire.body.is_empty() && !wire.headers.iter().any(|(key, _)| key == "content-type") {
        wire.headers.push(("content-type".to_owned(), "application/json; charset=utf-8".to_owned()));
    }
    let length = wire.body.len().to_string();
    if wire.status != 204 {
        wire.headers.push(("content-length".to_owned(), length));
    }
    wire
}
