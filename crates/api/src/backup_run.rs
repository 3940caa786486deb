//! `BackupRun`: one backup now.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    protected_machine::RecoveryPoint,
    references::Reference,
    runs::{RunJob, RunPhase, RunSource},
    spec::SharedSpec,
    status::SharedStatus,
    times,
};

/// One backup now.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "breakwater.io",
    version = "v1alpha1",
    kind = "BackupRun",
    namespaced,
    doc = "One backup of a ProtectedMachine now, taken once: applied again, restored from an etcd backup or made anew under the same key, it does nothing. Deleting it never deletes a recovery point.",
    status = "BackupRunStatus",
    shortname = "brun",
    category = "breakwater",
    category = "backup",
    validation = Rule::new("!has(self.spec.accessRef) || !has(self.status) || !has(self.status.access) || self.spec.accessRef.name == self.status.access.name").message("accessRef was resolved to status.access.name and is kept: set it to that or leave it out; to act under another AzureAccess make a new object"),
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.protectedMachineRef.name"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Percent", type_ = "integer", json_path = ".status.job.percent"),
    printcolumn(name = "Point", type_ = "string", json_path = ".status.recoveryPoint.at"),
    printcolumn(name = "Consistency", type_ = "string", json_path = ".status.recoveryPoint.consistency"),
    printcolumn(name = "Retained until", type_ = "string", json_path = ".status.retainUntil", priority = 1),
    printcolumn(name = "Job", type_ = "string", json_path = ".status.job.name", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, kube(cel))]
#[x_kube(validation = Rule::new("self.protectedMachineRef == oldSelf.protectedMachineRef").message("protectedMachineRef is immutable: make a new BackupRun for another machine").field_path(".protectedMachineRef"), validation = Rule::new("has(self.retainUntil) == has(oldSelf.retainUntil) && (!has(self.retainUntil) || self.retainUntil == oldSelf.retainUntil)").message("retainUntil is immutable: make a new BackupRun for another backup").field_path(".retainUntil"), validation = Rule::new("has(self.key) == has(oldSelf.key) && (!has(self.key) || self.key == oldSelf.key)").message("key is immutable: make a new BackupRun for another backup").field_path(".key"), validation = Rule::new("has(self.expiresAt) == has(oldSelf.expiresAt) && (!has(self.expiresAt) || self.expiresAt == oldSelf.expiresAt)").message("expiresAt is immutable: make a new BackupRun to begin at another time").field_path(".expiresAt"), validation = Rule::new("has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy)").message("requestedBy is immutable: make a new BackupRun").field_path(".requestedBy"), validation = Rule::new("self.mode == oldSelf.mode || (oldSelf.mode == 'Plan' && self.mode == 'Manage')").message("mode may go from Plan to Manage, and nowhere else: make a new BackupRun").field_path(".mode"))]
#[serde(rename_all = "camelCase")]
pub struct BackupRunSpec {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedSpec,
    /// The ProtectedMachine of this namespace to back up. Immutable.
    pub protected_machine_ref: Reference,
    /// Until when Azure keeps the recovery point; 30 days from this object's creation when left out. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub retain_until: Option<Timestamp>,
    /// What makes this backup one and the same, wherever it is declared again: of two runs of one machine with the same key
    /// only one is carried out. Left out: this object's namespace, name and what it asks for. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub key: Option<String>,
    /// Not begun by then, it is not begun at all; one hour from this object's creation when left out. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub expires_at: Option<Timestamp>,
    /// True: deleting this object while its backup runs asks Azure to cancel it. Azure cancels a backup only while it takes
    /// the snapshot; later it goes on.
    #[serde(default)]
    pub cancel_on_delete: bool,
    /// Who asks for it: the user of Kubernetes that makes this object, held to that by the API server where the policy
    /// breakwater-requesters is installed. It is written to the audit record of all that is sent. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub requested_by: Option<String>,
    /// So long after it has succeeded this object is deleted. One that found its work already done, failed or expired is kept: deleted,
    /// it would only be made again by whatever applies it, and in time be done by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// What became of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRunStatus {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedStatus,
    /// How far it is; conditions tell more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RunPhase>,
    /// The once-key: Azure's request ids derive from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key: Option<String>,
    /// Not begun by then, it is not begun at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub expires_at: Option<Timestamp>,
    /// Until when Azure was asked to keep the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub retain_until: Option<Timestamp>,
    /// Where its machine has its backups: the machine's object may go before this run is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RunSource>,
    /// Azure's job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunJob>,
    /// The recovery point that came out of it, as it really is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPoint>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub finished_at: Option<Timestamp>,
    /// When Azure was asked to cancel the job, because this object was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub cancel_asked_at: Option<Timestamp>,
    /// Why it failed or could not begin, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub error: Option<String>,
}
