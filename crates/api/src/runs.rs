//! What every Run shows: how far it is, and the job of Azure that does the work.

use jiff::Timestamp;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{references::ObjectReference, times, words::open_words};

/// How many runs a machine remembers, the youngest first.
pub const MAX_REMEMBERED: usize = 50;

/// How many tasks of a job are shown.
pub const MAX_TASKS: usize = 8;

open_words! {
    /// How far a run is.
    RunPhase {
        /// Nothing was sent yet.
        Pending,
        /// Azure works on it, or may.
        Running,
        /// It is done.
        Succeeded,
        /// It had been done before this object was made: nothing was sent.
        AlreadyDone,
        /// It was not done, or went wrong: a new object under another name, or with another key, is a new try.
        Failed,
        /// Its time passed before it could begin: nothing was sent.
        Expired,
    }
}

impl RunPhase {
    /// Whether nothing of the run happens any more.
    pub fn is_over(&self) -> bool {
        matches!(self, RunPhase::Succeeded | RunPhase::AlreadyDone | RunPhase::Failed | RunPhase::Expired)
    }
}

/// Where a machine's backups are, as a run keeps it: the machine's own object may go before the run is over.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSource {
    /// The RecoveryVault that has the machine's points.
    pub vault_ref: ObjectReference,
    /// The machine's ARM id.
    #[schemars(length(max = 1024))]
    pub machine_id: String,
}

/// The job of Azure that does a run's work.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunJob {
    /// Its name: a GUID.
    #[schemars(length(max = 64))]
    pub name: String,
    /// InProgress, Completed, CompletedWithWarnings, Failed, Cancelling, Cancelled: Azure's word, and the only sign of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub status: Option<String>,
    /// How far Azure says it is, in percent, in steps of ten. 100 is no sign of the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub ended_at: Option<Timestamp>,
    /// What it consists of, in Azure's words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub tasks: Vec<RunTask>,
    /// Bytes that it moves or moved, where Azure tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub size_bytes: Option<i64>,
    /// What went wrong, in Azure's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub error: Option<String>,
}

/// A run that was carried out on a machine: kept with the machine, longer than the run's own object may live.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// The run's once-key.
    #[schemars(length(min = 1, max = 64))]
    pub key: String,
    /// BackupRun or RestoreRun, and its name.
    #[schemars(length(max = 320))]
    pub run: String,
    /// Azure's job; file-recovery for a mount of files, which has none.
    #[schemars(length(max = 64))]
    pub job: String,
    /// How the job ended, in Azure's words, and Completed where it did its work with warnings; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub result: Option<String>,
    /// When the job began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub at: Option<Timestamp>,
    /// The machine that it made, where it made one: no selector means it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub made: Option<String>,
}

/// One task of a job.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunTask {
    /// Take Snapshot, Transfer data to vault, ...: Azure's word.
    #[schemars(length(max = 128))]
    pub name: String,
    /// NotStarted, InProgress, Completed, ...: Azure's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub status: Option<String>,
}
