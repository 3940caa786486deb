//! `ProtectedMachine`: one machine under one policy.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    durations::Span, ids, references::ObjectReference, runs::RunRecord, selector::Disks, spec::SharedSpec, status::SharedStatus, times,
    words::open_words,
};

/// One machine under one backup policy.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "breakwater.io",
    version = "v1alpha1",
    kind = "ProtectedMachine",
    namespaced,
    doc = "One Azure machine under one BackupPolicy: its protection, its last good recovery point, its health. Made by the policy, or by hand. Deleting it never deletes a recovery point.",
    status = "ProtectedMachineStatus",
    shortname = "pmach",
    category = "breakwater",
    category = "backup",
    validation = Rule::new("!has(self.spec.accessRef) || !has(self.status) || !has(self.status.access) || self.spec.accessRef.name == self.status.access.name").message("accessRef was resolved to status.access.name and is kept: set it to that or leave it out; to act under another AzureAccess make a new object"),
    selectable = ".spec.machineId",
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policyRef.name"),
    printcolumn(name = "Protection", type_ = "string", json_path = ".status.protection"),
    printcolumn(name = "Last backup", type_ = "string", json_path = ".status.lastBackup.at"),
    printcolumn(name = "Result", type_ = "string", json_path = ".status.lastBackup.result", priority = 1),
    printcolumn(name = "Consistency", type_ = "string", json_path = ".status.recoveryPoints.latest.consistency"),
    printcolumn(name = "Points", type_ = "integer", json_path = ".status.recoveryPoints.count"),
    printcolumn(name = "Machine", type_ = "string", json_path = ".spec.machineId", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, kube(cel))]
#[serde(rename_all = "camelCase")]
pub struct ProtectedMachineSpec {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedSpec,
    /// The BackupPolicy that the machine is backed up by. A move to a policy that keeps points shorter is asked first, in
    /// status.questions.
    pub policy_ref: ObjectReference,
    /// The machine's full ARM id. Immutable.
    #[schemars(length(max = 512), regex(pattern = ids::MACHINE_ID))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("machineId is immutable: make a new ProtectedMachine"))]
    pub machine_id: String,
    /// Which disks are backed up; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disks: Option<Disks>,
    /// Protected: backups are taken; a machine that somebody stopped is resumed. Stopped: none are taken, and its points are
    /// kept. Left out: as Protected, but what somebody stopped in Azure stays stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<DeclaredProtection>,
    /// True: backups that somebody deleted, and that Azure still keeps, are brought back.
    #[serde(default)]
    pub undelete: bool,
    /// What happens when this object is deleted. Retain: protection goes on. StopAndRetain: it is stopped, and its points are
    /// kept. Nothing here ever deletes a backup. Delete this object before its BackupPolicy and RecoveryVault: without them
    /// nobody knows where its backups are.
    #[serde(default)]
    pub deletion_policy: MachineDeletionPolicy,
}

/// What is wanted of a machine's protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeclaredProtection {
    /// Backups are taken.
    Protected,
    /// None are taken; points are kept.
    Stopped,
}

/// What happens to a machine's protection when its object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum MachineDeletionPolicy {
    /// It goes on.
    #[default]
    Retain,
    /// It is stopped; points are kept.
    StopAndRetain,
}

/// What was seen of the machine's protection.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProtectedMachineStatus {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedStatus,
    /// Where protection stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protection: Option<Protection>,
    /// Since when the machine is protected as declared: the promise counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub protected_since: Option<Timestamp>,
    /// Since when no entry of the policy means the machine, by a direct read of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub unselected_since: Option<Timestamp>,
    /// The protected item's ARM id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1400))]
    pub item_id: Option<String>,
    /// The vault that protects the machine, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub elsewhere: Option<String>,
    /// The machine as Azure shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<ObservedMachine>,
    /// The machine's disks, at most 65.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 65))]
    pub disks: Vec<ObservedDisk>,
    /// The disks that a declaration of LUNs meant when it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_disks: Option<PinnedDisks>,
    /// The first backup, which happens exactly once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_backup: Option<FirstBackupRecord>,
    /// The last backup, whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup: Option<LastBackup>,
    /// The recovery points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_points: Option<RecoveryPoints>,
    /// The youngest recovery points, at most 24: what the machine could be restored to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 24))]
    pub points: Vec<RecoveryPoint>,
    /// How long a restore of its disks may take, by where the point lies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub restore_times: Vec<RestoreTime>,
    /// The last 50 runs on the machine by their once-keys: one that is made anew does nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub runs: Vec<RunRecord>,
}

open_words! {
    /// Where a machine's protection stands.
    Protection {
        /// Not in any vault that we know of.
        NotProtected,
        /// Protected, and no recovery point yet.
        InitialBackupPending,
        /// Protected, with recovery points.
        Protected,
        /// Stopped in Azure, points kept.
        Stopped,
        /// Suspended in Azure, points expire.
        Suspended,
        /// Soft-deleted in Azure.
        SoftDeleted,
        /// In another vault.
        ElsewhereProtected,
        /// In this vault under a policy that is not ours.
        ForeignPolicy,
        /// Was protected and is gone.
        Missing,
        /// Not known.
        Unknown,
    }
}

/// The machine as Azure shows it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedMachine {
    /// Azure's unique id of the machine; another one under the same ARM id is another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub vm_id: Option<String>,
    /// Windows or Linux.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub os: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub location: Option<String>,
    /// Azure's change time of the machine when it was read: it is read again when this moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub as_of: Option<String>,
    /// Running, deallocated, ...: Azure's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub power_state: Option<String>,
}

/// One disk of the machine.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObservedDisk {
    /// The disk's ARM id.
    #[schemars(length(max = 512))]
    pub id: String,
    /// Where it is attached; -1 for the OS disk.
    pub lun: i32,
    /// Whether it is backed up.
    pub covered: bool,
}

/// What a declaration of LUNs means: disks to back up are covered wherever they are attached later; a disk in the place of
/// one that is left out is covered.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedDisks {
    /// The declaration, in words: another one is pinned anew.
    #[schemars(length(max = 512))]
    pub declared: String,
    /// The disks.
    #[schemars(length(max = 64))]
    pub disks: Vec<PinnedDisk>,
}

/// One disk that a LUN meant.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedDisk {
    /// Where it was attached.
    pub lun: i32,
    /// Its ARM id.
    #[schemars(length(max = 512))]
    pub id: String,
    /// Azure's unique id of it: another disk may get the same name.
    #[schemars(length(max = 64))]
    pub unique_id: String,
}

/// The first backup.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FirstBackupRecord {
    /// The once-key: from vault, machine and vmId.
    #[schemars(length(max = 64))]
    pub key: String,
    /// The job that counts as it, whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job: Option<String>,
    /// How it ended, in Azure's words; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub result: Option<String>,
}

/// The last backup.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastBackup {
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub at: Option<Timestamp>,
    /// How it went, in Azure's words: Completed, CompletedWithWarnings, Failed, InProgress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub result: Option<String>,
    /// Azure's job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job: Option<String>,
    /// The consistency of the point it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Where its point is: Snapshot, Vault, SnapshotAndVault, Archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub tier: Option<String>,
    /// Azure's words, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub error: Option<String>,
}

open_words! {
    /// How consistent a recovery point really is.
    Consistency {
        /// As after a power cut.
        CrashConsistent,
        /// With the file systems flushed.
        FileSystemConsistent,
        /// With the applications quiesced.
        ApplicationConsistent,
    }
}

/// The recovery points: how many, and the ones that matter.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPoints {
    /// How many there are.
    pub count: i64,
    /// What the item showed when they were read: they are read again when this moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub as_of: Option<String>,
    /// The oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<RecoveryPoint>,
    /// The youngest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<RecoveryPoint>,
    /// The youngest that is application consistent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_application_consistent: Option<RecoveryPoint>,
    /// How many lie where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<TierCounts>,
    /// The regions that points can be restored in: the vault's, and its paired one where the vault allows that (points arrive there
    /// hours later).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), inner(length(max = 64)))]
    pub regions: Vec<String>,
    /// The youngest that reached the vault: the promise counts this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_in_vault: Option<RecoveryPoint>,
}

/// How long a restore of the machine's disks may take.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTime {
    /// Where the point lies: Snapshot, Vault, Archive.
    #[schemars(length(max = 32))]
    pub tier: String,
    /// About so long at most: an estimate, no promise.
    pub up_to: Span,
    /// What it is based on.
    #[schemars(length(max = 256))]
    pub basis: String,
}

/// How many recovery points lie where; one may lie in two places.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TierCounts {
    /// With an instant snapshot beside the machine.
    #[serde(default)]
    pub snapshot: i64,
    /// In the vault.
    #[serde(default)]
    pub vault: i64,
    /// In the archive.
    #[serde(default)]
    pub archive: i64,
}

/// One recovery point.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPoint {
    /// Azure's name of it.
    #[schemars(length(max = 128))]
    pub name: String,
    /// The moment it holds.
    #[schemars(schema_with = "times::date_time")]
    pub at: Timestamp,
    /// How consistent it is.
    pub consistency: Consistency,
    /// Where it is: Snapshot, Vault, Archive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 32)))]
    pub tiers: Vec<String>,
    /// When it expires, where Azure says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub expires: Option<Timestamp>,
}
