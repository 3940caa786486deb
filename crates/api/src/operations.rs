//! Open operations, as they are saved: enough to find out after a crash what was sent and how it went.
//!
//! Handles are ids, never signed URLs; nothing here is a secret.

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{azure_access::Act, times, words::open_words};

/// How many operations one object may have open: at the bound nothing new is started.
pub const MAX_OPERATIONS: usize = 16;

/// Longest code and message of an error on record, in characters.
pub const MAX_CODE: usize = 128;
/// See [`MAX_CODE`].
pub const MAX_ERROR: usize = 512;

/// How often one intent may be sent, first time included.
pub const MAX_ATTEMPTS: i32 = 8;

/// One request to Azure that was intended, and what became of it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationRecord {
    /// Which node of the object's desired graph this is about.
    #[schemars(length(min = 1, max = 128))]
    pub node: String,
    /// What is done, in a word: create, update, backup.
    #[schemars(length(max = 64))]
    pub verb: String,
    /// The HTTP method.
    #[schemars(length(max = 8))]
    pub method: String,
    /// The path of the request: an ARM id, with an action behind it where there is one.
    #[schemars(length(max = 1400))]
    pub target: String,
    /// The act that the grant must admit.
    pub act: Act,
    /// When the intent was saved, in world time. Nothing is sent later than 20 s after it.
    #[schemars(schema_with = "times::date_time")]
    pub intent_at: Timestamp,
    /// Azure's own clock as last seen before the intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub azure_date: Option<Timestamp>,
    /// Which attempt this is, 1 to 8.
    #[schemars(range(min = 1, max = 8))]
    pub attempt: i32,
    /// The once-key that the request ids derive from.
    #[schemars(length(max = 64))]
    pub key: String,
    /// The request id that Azure shows as the job's activityId.
    #[schemars(length(max = 36))]
    pub client_request_id: String,
    /// Azure's jobs that were there before the intent: none of them is ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 64)))]
    pub known_jobs: Vec<String>,
    /// Where to ask how it goes; absent until Azure has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handle: Option<Handle>,
    /// When to ask next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub next_poll: Option<Timestamp>,
    /// How far Azure says it is, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
    /// The Azure job that does the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job: Option<String>,
    /// When the operation's end was seen; the record stays until the target agrees or has had time to settle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub ended_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// What went wrong and when it is tried again, where it failed or was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RecordedError>,
    /// Whether a job of ours had shown its request id in this vault before the intent: then a job without it is not ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub witness: bool,
    /// Whose list of jobs tells of it, where its own path names no vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1400))]
    pub jobs_of: Option<String>,
    /// What is locked while this is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 1400)))]
    pub locks: Vec<String>,
    /// The policy whose brake counts it, beside that of its access, where it is under one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1400))]
    pub brake: Option<String>,
    /// The uids of the Approvals that this was allowed by, where it needed any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 64)))]
    pub approvals: Vec<String>,
    /// What must be closed again, and how; absent again once it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debt: Option<Debt>,
}

/// Why an operation did not do what was asked.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedError {
    /// The reason word that the condition carries.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Azure's error code.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = MAX_CODE))]
    pub code: String,
    /// Azure's words.
    #[schemars(length(max = MAX_ERROR))]
    pub message: String,
    /// Whether it passes by itself; false where a person must move.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// When it is tried again; absent where it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub retry_at: Option<Timestamp>,
}

/// Where to ask how an operation goes.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handle {
    /// Which of Azure's ways of following an operation.
    pub family: HandleFamily,
    /// The operation's id.
    #[schemars(length(max = 128))]
    pub id: String,
}

open_words! {
    /// Azure's ways of following an operation (backup.md §3, compute-and-arm.md E.3).
    HandleFamily {
        /// The general one: a signed link that lives in memory only; after a restart the target itself is followed.
        Arm,
        /// `{vault}/backupOperations/{id}`: protection, backups, restores.
        Backup,
        /// `{vault}/operationStatus/{id}`: the vault itself.
        Vault,
        /// `{vault}/replicationJobs/{id}`.
        SiteRecovery,
        /// `{vault}/backupValidateOperationsStatuses/{id}`.
        Validation,
        /// `.../locations/{region}/backupCrrOperationsStatus/{id}`: restores in the other region.
        CrossRegion,
    }
}

open_words! {
    /// How an operation ended.
    Outcome {
        /// Azure says it succeeded.
        Succeeded,
        /// Azure says it failed.
        Failed,
        /// It was cancelled at Azure.
        Cancelled,
        /// Azure refused the request: nothing happened.
        Refused,
        /// Sent, and nobody knows.
        Unknown,
        /// What it handed out never arrived: it is closed, and may be opened once more.
        Lost,
    }
}

/// Something lent: the request that closes it again, saved when it is opened, so that it can be sent whatever the
/// spec says by then.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Debt {
    /// The HTTP method of the closing request.
    #[schemars(length(max = 8))]
    pub method: String,
    /// Its path.
    #[schemars(length(max = 1400))]
    pub path: String,
    /// Its api-version.
    #[schemars(length(max = 32))]
    pub api_version: String,
    /// Its body as JSON text; absent when it has none. Never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub body: Option<String>,
    /// When it must be closed at the latest.
    #[schemars(schema_with = "times::date_time")]
    pub until: Timestamp,
    /// The AzureAccess under which it was opened and will be closed.
    #[schemars(length(max = 253))]
    pub access: String,
    /// The Secret, in the object's namespace, that gets what the opening hands out; removed when it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret: Option<String>,
    /// Why closing it did not succeed when it was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub trouble: Option<String>,
    /// When closing it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub retry_at: Option<Timestamp>,
    /// How often closing it was tried and did not succeed.
    #[serde(default, skip_serializing_if = "is_none_yet")]
    #[schemars(range(min = 0))]
    pub attempts: i32,
    /// Where to ask how the closing goes, once Azure has taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing: Option<Handle>,
}

fn is_none_yet(attempts: &i32) -> bool {
    *attempts == 0
}
