//! What is counted: by class, kind and reason, never by object.

use breakwater_arm::wire::{Answer, Request};

use crate::ports::SendError;

/// Where counts go. The operator's is Prometheus; the tests' counts calls.
pub trait Telemetry: Send + Sync {
    /// One request to ARM and how it went.
    fn arm_call(&self, _request: &Request, _result: &Result<Answer, SendError>) {}
    /// One turn of a kind: how it ended, in a reason word.
    fn turn(&self, _kind: &str, _result: &str) {}
    /// One write to Kubernetes.
    fn kube_write(&self, _kind: &str, _what: &str) {}
}

/// Counts nothing.
pub struct Quiet;

impl Telemetry for Quiet {}
