//! Long-running operations: what an accepted write says about where to ask, and what the answers mean.
//!
//! Backup has two families of its own (backup.md §3); the rest is ARM's (compute-and-arm.md E.3).

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::ArmError,
    id::ResourceId,
    names,
    redact::{Shown, shown_text},
    versions::{RECOVERY_SERVICES, RECOVERY_SERVICES_CROSS_REGION},
    wire::{Answer, Method, Request},
    word::Word,
};

/// Whose operation it is: decides how it is polled without its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// Any provider's: only its signed link can be polled.
    Arm,
    /// Items, backups, restores: `V/backupOperations/{guid}`.
    Backup,
    /// The vault itself: `V/operationStatus/{id}`.
    Vault,
    /// Site Recovery's jobs.
    SiteRecovery,
    /// Validations: `V/backupValidateOperationsStatuses/{guid}`. That the universal poll knows them was never seen.
    Validation,
    /// Restores in the other region: `SUB/locations/{region}/backupCrrOperationsStatus/{id}`.
    CrossRegion,
}

/// An operation as it may be saved: never a signed URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawHandle")]
pub struct Handle {
    family: Family,
    id: String,
}

#[derive(Deserialize)]
struct RawHandle {
    family: Family,
    id: String,
}

/// An operation id that cannot be a handle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Longer than [`Handle::MAX_BYTES`]: a URL or a token got in.
    #[error("an operation id of {0} bytes cannot be kept (at most {max} bytes)", max = Handle::MAX_BYTES)]
    TooLong(usize),
    /// Empty, or with characters that no operation id has.
    #[error("an operation id holds only letters, digits and -_=.;:!")]
    BadCharacter,
}

impl Handle {
    /// What fits in a status.
    pub const MAX_BYTES: usize = 128;

    /// A handle of that family.
    ///
    /// # Errors
    /// When the id is no operation id.
    pub fn new(family: Family, id: impl Into<String>) -> Result<Self, HandleError> {
        let id = id.into();
        if id.len() > Self::MAX_BYTES {
            return Err(HandleError::TooLong(id.len()));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.;:!".contains(c);
        if id.is_empty() || id == "." || id == ".." || !id.chars().all(plain) {
            return Err(HandleError::BadCharacter);
        }
        Ok(Handle { family, id })
    }

    /// Whose operation.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The operation id.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl TryFrom<RawHandle> for Handle {
    type Error = HandleError;

    fn try_from(raw: RawHandle) -> Result<Self, HandleError> {
        Handle::new(raw.family, raw.id)
    }
}

/// A write that was accepted and is not finished. `Debug` hides the query of the link.
#[derive(Clone, PartialEq)]
pub struct Accepted {
    /// What may be saved; `None` when there is no operation to ask (then the target is followed).
    pub handle: Option<Handle>,
    /// The signed link to poll, verbatim. Kept in memory only.
    pub poll: Option<String>,
    /// How long the service asks to wait, as it stands on the wire.
    pub retry_after: Option<Duration>,
}

impl Accepted {
    /// What a successful answer to a write says: `None` when the work is done with the answer itself.
    ///
    /// In this order (compute-and-arm.md E.3): `Azure-AsyncOperation`; 202 with `Location`; the body's
    /// `properties.provisioningState`; a bare 202.
    pub fn from_answer(answer: &Answer) -> Option<Accepted> {
        if !answer.is_success() {
            return None;
        }
        let location = answer.header("location").filter(|_| answer.status == 202);
        let link = answer.header("azure-asyncoperation").or(location).filter(|link| !link.is_empty());
        let retry_after = answer.retry_after();
        if let Some(link) = link {
            return Some(Accepted { handle: handle_of(link), poll: Some(link.to_owned()), retry_after });
        }
        let running = answer.body.pointer("/properties/provisioningState").and_then(Value::as_str).is_some_and(|s| !is_end(s));
        (running || answer.status == 202).then_some(Accepted { handle: None, poll: None, retry_after })
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let poll = self.poll.as_deref().map(shown_text);
        f.debug_struct("Accepted").field("handle", &self.handle).field("poll", &poll).field("retry_after", &self.retry_after).finish()
    }
}

/// Family and operation id of a poll link.
fn handle_of(link: &str) -> Option<Handle> {
    let path = link.split(['?', '#']).next().unwrap_or_default();
    let lower = path.to_ascii_lowercase();
    let (rest, id) = path.rsplit_once('/')?;
    let word = rest.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let in_vault = lower.contains("/microsoft.recoveryservices/vaults/");
    let in_region = lower.contains("/microsoft.recoveryservices/locations/");
    let family = match word.as_str() {
        "backupcrroperationsstatus" | "backupcrroperationresults" if in_region => Family::CrossRegion,
        _ if !in_vault => Family::Arm,
        _ if lower.contains("/replication") => Family::SiteRecovery,
        "backupvalidateoperationsstatuses" | "backupvalidateoperationresults" => Family::Validation,
        "operationsstatus" | "backupoperations" | "backupoperationresults" => Family::Backup,
        "operationresults" if lower.contains("/backup") => Family::Backup,
        "operations" if lower.contains("/backuppolicies/") => Family::Backup,
        "operationstatus" | "operationresults" => Family::Vault,
        _ => Family::Arm,
    };
    let id = percent_encoding::percent_decode_str(id).decode_utf8().ok()?;
    Handle::new(family, id).ok()
}

/// The request that asks about an operation by its handle alone, as after a restart. `target` is the resource that
/// the write was sent to. `None` where only the link can be polled: then the target itself is followed.
pub fn poll_request(handle: &Handle, target: &ResourceId) -> Option<Request> {
    let id = &handle.id;
    let below = |resource_type: &str, word: &str| target.ancestor(resource_type).map(|holder| format!("{holder}/{word}/{id}"));
    let target_type = target.resource_type();
    let path = match handle.family {
        Family::Arm | Family::SiteRecovery => None,
        Family::CrossRegion => {
            let path = below(names::LOCATION, "backupCrrOperationsStatus")?;
            return Some(Request::new(Method::Get, path, RECOVERY_SERVICES_CROSS_REGION));
        }
        Family::Validation => below(names::VAULT, "backupValidateOperationsStatuses"),
        Family::Vault => below(names::VAULT, "operationStatus"),
        // a refresh, a cancel and a policy's change are not among the universal poll's operations (backup.md §3.2, §7.2, §8.2)
        Family::Backup if target_type == *names::FABRIC => below(names::FABRIC, "operationResults"),
        Family::Backup if target_type == *names::BACKUP_JOB => below(names::BACKUP_JOB, "operationResults"),
        Family::Backup if target_type == *names::BACKUP_POLICY => below(names::BACKUP_POLICY, "operations"),
        Family::Backup => below(names::VAULT, "backupOperations"),
    };
    Some(Request::new(Method::Get, path?, RECOVERY_SERVICES))
}

/// Whether a text may be the name of a job: a GUID, as far as is known (backup.md §3.2).
fn is_job_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// How an operation stands.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationState {
    /// Not at its end, in whatever word.
    InProgress,
    /// Done. Of a backup or restore that means: its *job* has begun (backup.md §3.2).
    Succeeded,
    /// It ended without effect, or with half of it.
    Failed {
        /// The error code; empty when none was given.
        code: String,
        /// The message, fit to be shown.
        message: String,
    },
    /// Somebody or something stopped it.
    Canceled,
    /// The record is gone (404): look at the resource.
    Gone,
}

/// One answer about an operation. `Debug` hides what is secret in its properties, and the query of the link.
#[derive(Clone, PartialEq)]
pub struct OperationStatus {
    /// How it stands.
    pub state: OperationState,
    /// The job that does the work. Never assume it equals the operation's id (backup.md §3.2).
    pub job_id: Option<String>,
    /// What the operation carries besides; `Null` when nothing.
    pub properties: Value,
    /// 0.0 to 100.0, where told. Never a sign of the end.
    pub percent: Option<f64>,
    /// Where to ask next, when this answer changed the link (`Location` of a 202).
    pub next_poll: Option<String>,
}

impl OperationStatus {
    /// Reads the answer to a poll: of a status URL, of a `Location`, or of the target itself.
    ///
    /// # Errors
    /// 401, 403, 408, 429 and 5xx say nothing about the operation: they come back as the error they are.
    pub fn parse(answer: &Answer) -> Result<OperationStatus, Box<ArmError>> {
        let body = &answer.body;
        let properties = body.get("properties").cloned().unwrap_or(Value::Null);
        let state = if answer.is_success() { state_of(answer) } else { state_of_refusal(answer)? };
        let job_id = properties.get("jobId").and_then(Value::as_str).filter(|id| is_job_id(id)).map(str::to_owned);
        let percent = ["percentComplete", "progressPercentage"].iter().find_map(|p| body.get(*p).or_else(|| properties.get(*p))?.as_f64());
        let next_poll = answer.header("location").filter(|_| answer.status == 202).map(str::to_owned);
        Ok(OperationStatus { state, job_id, properties, percent, next_poll })
    }
}

impl fmt::Debug for OperationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationStatus")
            .field("state", &self.state)
            .field("job_id", &self.job_id)
            .field("properties", &Shown(&self.properties))
            .field("percent", &self.percent)
            .field("next_poll", &self.next_poll.as_deref().map(shown_text))
            .finish()
    }
}

fn state_of(answer: &Answer) -> OperationState {
    let word = |pointer: &str| answer.body.pointer(pointer).and_then(Value::as_str).map(Word::from);
    // a `status` beside an `id` under the same name may be a resource's own; ARM's status bodies have it on top
    let Some(status) = word("/status").or_else(|| word("/properties/provisioningState")) else {
        return if answer.status == 202 { OperationState::InProgress } else { OperationState::Succeeded };
    };
    if status.is_any(&["Succeeded", "Completed"]) {
        OperationState::Succeeded
    } else if status.is("Failed") {
        let error = ArmError::from_answer(answer);
        OperationState::Failed { code: error.code, message: error.message }
    } else if status.is_any(&["Canceled", "Cancelled"]) {
        OperationState::Canceled
    } else {
        OperationState::InProgress
    }
}

fn state_of_refusal(answer: &Answer) -> Result<OperationState, Box<ArmError>> {
    let error = ArmError::from_answer(answer);
    match answer.status {
        404 => Ok(OperationState::Gone),
        401 | 403 | 408 | 429 | 500.. => Err(Box::new(error)),
        // of a `Location`, a 4xx is the operation's own end (compute-and-arm.md E.3, resource group delete)
        400..=499 => Ok(OperationState::Failed { code: error.code, message: error.message }),
        _ => Err(Box::new(error)),
    }
}

fn is_end(state: &str) -> bool {
    Word::from(state).is_any(&["Succeeded", "Failed", "Canceled", "Cancelled"])
}

#[cfg(test)]
#[path = "operation_tests.rs"]
mod tests;
