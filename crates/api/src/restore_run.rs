//! `RestoreRun`: one restore of a recovery point.

mod target;

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use target::{NewMachine, ReplaceDisks, RestoreTo, ToDisks, ToFiles, WhenReplicating};

use crate::{
    durations::Span,
    ids,
    protected_machine::{Consistency, RecoveryPoint},
    references::{ObjectReference, Reference},
    runs::{RunJob, RunPhase, RunSource},
    spec::SharedSpec,
    status::SharedStatus,
    times,
};

/// One restore of a recovery point.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "breakwater.io",
    version = "v1alpha1",
    kind = "RestoreRun",
    namespaced,
    doc = "One restore of a recovery point: to a new machine, to disks, or in place of a machine's disks. Carried out once: applied again, restored from an etcd backup or made anew under the same key, it does nothing. Deleting it removes nothing that it made.",
    status = "RestoreRunStatus",
    shortname = "rrun",
    category = "breakwater",
    category = "backup",
    validation = Rule::new("!has(self.spec.accessRef) || !has(self.status) || !has(self.status.access) || self.spec.accessRef.name == self.status.access.name").message("accessRef was resolved to status.access.name and is kept: set it to that or leave it out; to act under another AzureAccess make a new object"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "From", type_ = "string", json_path = ".spec.from.recoveryPoint.protectedMachineRef.name"),
    printcolumn(name = "To", type_ = "string", json_path = ".status.target"),
    printcolumn(name = "Point", type_ = "string", json_path = ".status.point.at"),
    printcolumn(name = "Consistency", type_ = "string", json_path = ".status.point.consistency"),
    printcolumn(name = "Percent", type_ = "integer", json_path = ".status.job.percent"),
    printcolumn(name = "Job", type_ = "string", json_path = ".status.job.name", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, kube(cel))]
#[x_kube(validation = Rule::new("self.from == oldSelf.from").message("from is immutable: make a new RestoreRun for another restore").field_path(".from"), validation = Rule::new("self.to == oldSelf.to").message("to is immutable: make a new RestoreRun for another restore").field_path(".to"), validation = Rule::new("has(self.staging) == has(oldSelf.staging) && (!has(self.staging) || self.staging == oldSelf.staging)").message("staging is immutable: make a new RestoreRun").field_path(".staging"), validation = Rule::new("has(self.diskAccess) == has(oldSelf.diskAccess) && (!has(self.diskAccess) || self.diskAccess == oldSelf.diskAccess)").message("diskAccess is immutable: make a new RestoreRun").field_path(".diskAccess"), validation = Rule::new("has(self.diskAccessId) == has(oldSelf.diskAccessId) && (!has(self.diskAccessId) || self.diskAccessId == oldSelf.diskAccessId)").message("diskAccessId is immutable: make a new RestoreRun").field_path(".diskAccessId"), validation = Rule::new("(has(self.diskAccess) && self.diskAccess == 'Private') == has(self.diskAccessId)").message("diskAccessId is needed with diskAccess: Private, and only then").field_path(".diskAccessId"), validation = Rule::new("has(self.diskEncryptionSetId) == has(oldSelf.diskEncryptionSetId) && (!has(self.diskEncryptionSetId) || self.diskEncryptionSetId == oldSelf.diskEncryptionSetId)").message("diskEncryptionSetId is immutable: make a new RestoreRun").field_path(".diskEncryptionSetId"), validation = Rule::new("has(self.securedVmOsDiskEncryptionSetId) == has(oldSelf.securedVmOsDiskEncryptionSetId) && (!has(self.securedVmOsDiskEncryptionSetId) || self.securedVmOsDiskEncryptionSetId == oldSelf.securedVmOsDiskEncryptionSetId)").message("securedVmOsDiskEncryptionSetId is immutable: make a new RestoreRun").field_path(".securedVmOsDiskEncryptionSetId"), validation = Rule::new("self.validateFirst == oldSelf.validateFirst").message("validateFirst is immutable: make a new RestoreRun").field_path(".validateFirst"), validation = Rule::new("has(self.key) == has(oldSelf.key) && (!has(self.key) || self.key == oldSelf.key)").message("key is immutable: make a new RestoreRun for another restore").field_path(".key"), validation = Rule::new("has(self.expiresAt) == has(oldSelf.expiresAt) && (!has(self.expiresAt) || self.expiresAt == oldSelf.expiresAt)").message("expiresAt is immutable: make a new RestoreRun to begin at another time").field_path(".expiresAt"), validation = Rule::new("has(self.requestedBy) == has(oldSelf.requestedBy) && (!has(self.requestedBy) || self.requestedBy == oldSelf.requestedBy)").message("requestedBy is immutable: make a new RestoreRun").field_path(".requestedBy"), validation = Rule::new("self.mode == oldSelf.mode || (oldSelf.mode == 'Plan' && self.mode == 'Manage')").message("mode may go from Plan to Manage, and nowhere else: make a new RestoreRun").field_path(".mode"), validation = Rule::new("!has(self.to.replaceDisks) || has(self.expiresAt)").message("to.replaceDisks needs expiresAt: say until when the disks may still be replaced, at most 24 hours ahead").field_path(".expiresAt"), validation = Rule::new("has(self.to.files) != has(self.staging)").message("staging is needed for every restore but files, which go through no storage account").field_path(".staging"), validation = Rule::new("!has(self.to.files) || !(has(self.diskAccess) || has(self.diskEncryptionSetId) || has(self.securedVmOsDiskEncryptionSetId) || has(self.from.recoveryPoint.rehydrate))").message("to.files makes no disks: leave out diskAccess, diskEncryptionSetId, securedVmOsDiskEncryptionSetId and from.recoveryPoint.rehydrate").field_path(".to.files"), validation = Rule::new("!has(self.from.recoveryPoint.region) || self.from.recoveryPoint.region != 'Paired' || ((has(self.to.newMachine) || has(self.to.disks)) && !has(self.from.recoveryPoint.rehydrate))").message("from.recoveryPoint.region Paired goes with to.newMachine and to.disks: the machine, its mounts and the archive are in the primary region").field_path(".from.recoveryPoint.region"))]
#[serde(rename_all = "camelCase")]
pub struct RestoreRunSpec {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedSpec,
    /// What is restored. Immutable.
    pub from: RestoreFrom,
    /// What it becomes; exactly one. Immutable.
    pub to: RestoreTo,
    /// The storage account through which Azure brings the data, in the vault's region. Needed but for files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<Staging>,
    /// How the restored disks may be reached: SameAsSource, Private (through the disk access resource of diskAccessId), or Public.
    /// Needed where a disk of the point allows private access only. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_access: Option<DiskAccess>,
    /// With diskAccess Private: the disk access resource's ARM id. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = ids::DISK_ACCESS_ID))]
    pub disk_access_id: Option<String>,
    /// The disk encryption set of the restored disks; as it was when left out. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = ids::DISK_ENCRYPTION_SET_ID))]
    pub disk_encryption_set_id: Option<String>,
    /// For points of confidential machines alone: the disk encryption set of the restored OS disk, where its key is a customer's.
    /// Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = ids::DISK_ENCRYPTION_SET_ID))]
    pub secured_vm_os_disk_encryption_set_id: Option<String>,
    /// Let Azure look first whether it can be done; what it finds is told, and nothing is restored until it finds nothing. Azure
    /// offers this for machines and disks in the vault's own region: for files and in the paired region there is nothing to ask.
    #[serde(default = "yes")]
    pub validate_first: bool,
    /// What makes this restore one and the same, wherever it is declared again: of two runs with the same key and source only
    /// one is carried out. Left out: this object's namespace, name and what it asks for. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub key: Option<String>,
    /// Not begun by then, it is not begun at all; one hour from this object's creation when left out. With replaceDisks it must
    /// be given, at most 24 hours ahead; a run that has stopped its machine by then has begun, and has an hour more. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub expires_at: Option<Timestamp>,
    /// Who asks for it: the user of Kubernetes that makes this object, held to that by the API server where the policy
    /// breakwater-requesters is installed. It is written to the audit record of all that is sent. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub requested_by: Option<String>,
    /// So long after it has succeeded this object is deleted; what it made stays. One that its ProtectedMachine, as long as that is
    /// there, does not remember is kept, and so is one that found its work already done, failed or expired: deleted, it would only be
    /// made again by whatever applies it, and in time be done by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

fn yes() -> bool {
    true
}

/// What is restored.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreFrom {
    /// A recovery point of Azure Backup.
    pub recovery_point: FromRecoveryPoint,
}

/// A recovery point of a machine.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.protectedMachineRef) != (has(self.vaultRef) && has(self.machineId)) && has(self.vaultRef) == has(self.machineId)").message("name the machine by protectedMachineRef, or by vaultRef and machineId (it may be long gone), and not by both").field_path(".protectedMachineRef"))]
#[serde(rename_all = "camelCase")]
pub struct FromRecoveryPoint {
    /// The ProtectedMachine of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_machine_ref: Option<Reference>,
    /// The RecoveryVault that has the machine's points, where no ProtectedMachine is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault_ref: Option<ObjectReference>,
    /// The machine's ARM id, with vaultRef.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = ids::MACHINE_ID))]
    pub machine_id: Option<String>,
    /// Which point: chosen once, told in status.point, and kept.
    pub point: PointChoice,
    /// Where the data is taken from: Primary (also when left out), or Paired: the copy in the region that the vault's region is
    /// paired with, hours behind. What is made is made there, from points of the vault, and staging and network are there too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<SourceRegion>,
    /// For a point that is in the archive only: it is brought back first, which takes hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehydrate: Option<Rehydrate>,
}

/// Which region's copy of the data is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum SourceRegion {
    /// The vault's own.
    Primary,
    /// The one that the vault's region is paired with.
    Paired,
}

/// Which point.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.latest) != has(self.name)").message("point needs exactly one of latest and name").field_path(".latest"))]
#[serde(rename_all = "camelCase")]
pub struct PointChoice {
    /// The youngest that fits; {} is the youngest of all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<LatestPoint>,
    /// Azure's name of the point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9-]+$"))]
    pub name: Option<String>,
}

/// What the youngest point must be.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LatestPoint {
    /// Not younger than this, to the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub before: Option<Timestamp>,
    /// At least as consistent as this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<LeastConsistency>,
}

/// How consistent a point must be at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum LeastConsistency {
    /// As after a power cut.
    CrashConsistent,
    /// With the file systems flushed.
    FileSystemConsistent,
    /// With the applications quiesced.
    ApplicationConsistent,
}

impl LeastConsistency {
    /// Whether a point is as consistent as that; a word that nobody knows is not.
    pub fn is_met(self, by: &Consistency) -> bool {
        let rank = match by {
            Consistency::CrashConsistent => 0,
            Consistency::FileSystemConsistent => 1,
            Consistency::ApplicationConsistent => 2,
            Consistency::Other(_) => return false,
        };
        rank >= self as i32
    }
}

/// How a point is brought back from the archive.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehydrate {
    /// Standard takes up to 15 hours, High up to one, and costs more.
    pub priority: RehydratePriority,
    /// How long the point stays out of the archive: whole days, 10d to 30d.
    #[x_kube(validation = Rule::new("self.matches('^0*([12][0-9]|30)d$')").message("from.recoveryPoint.rehydrate.retainFor must be whole days, 10d to 30d"))]
    pub retain_for: Span,
}

/// How fast a point is brought back from the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum RehydratePriority {
    /// Up to 15 hours.
    Standard,
    /// Up to one hour.
    High,
}

/// The storage account through which Azure brings the data.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Staging {
    /// Its ARM id: in the vault's region, general purpose, not zone-redundant, its firewall letting trusted Azure services in.
    #[schemars(length(max = 512), regex(pattern = ids::STORAGE_ACCOUNT_ID))]
    pub storage_account_id: String,
    /// The vault's identity that writes to it: SystemAssigned, or the ARM id of a managed identity of the vault. Left out: Azure Backup
    /// itself does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = ids::KEY_READER))]
    pub identity: Option<String>,
}

/// How restored disks may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DiskAccess {
    /// As each disk of the source did.
    SameAsSource,
    /// Through private endpoints of a disk access resource only.
    Private,
    /// From everywhere.
    Public,
}

/// What became of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRunStatus {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedStatus,
    /// How far it is; conditions tell more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<RunPhase>,
    /// What it becomes, in a word and a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 320))]
    pub target: Option<String>,
    /// The machine that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub target_id: Option<String>,
    /// Where its ProtectedMachine has its backups: that object may go before this run is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RunSource>,
    /// The once-key: Azure's request ids derive from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub key: Option<String>,
    /// Not begun by then, it is not begun at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub expires_at: Option<Timestamp>,
    /// The chosen point: chosen once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<RecoveryPoint>,
    /// What Azure found when it looked whether the restore can be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// Azure's job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<RunJob>,
    /// What the restore made, also where it failed. Deleting this object removes none of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 80))]
    pub made: Vec<Made>,
    /// With replaceDisks: the disks that the machine had before. They are kept, and cost what they cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 65))]
    pub old_disks: Vec<Made>,
    /// With replaceDisks and stopMachine: when the machine was told to stop. This run does not start it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub machine_stopped_at: Option<Timestamp>,
    /// With files: the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<MountedFiles>,
    /// For infrastructure code: what to import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_off: Option<HandOff>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub finished_at: Option<Timestamp>,
    /// Why it failed or could not begin, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub error: Option<String>,
}

/// What Azure found when it looked.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// When.
    #[schemars(schema_with = "times::date_time")]
    pub at: Timestamp,
    /// What stands in the way; nothing where it can be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub findings: Vec<Finding>,
}

/// One thing that stands in the way.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Azure's code.
    #[schemars(length(max = 128))]
    pub code: String,
    /// Azure's words.
    #[schemars(length(max = 512))]
    pub message: String,
    /// What Azure says to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub recommendation: Option<String>,
}

/// One resource that a restore made.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    /// Its ARM id.
    #[schemars(length(max = 1024))]
    pub id: String,
    /// Where a disk is attached or belongs: -1 for the OS disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lun: Option<i32>,
}

/// A mount of files.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountedFiles {
    /// The Secret with the script and its password.
    #[schemars(length(max = 253))]
    pub secret_name: String,
    /// Since when the Secret is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub mounted_at: Option<Timestamp>,
    /// When the mount is revoked, and the Secret removed, at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub mounted_until: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub closed_at: Option<Timestamp>,
}

/// For infrastructure code.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandOff {
    /// Terraform import blocks of all that was made.
    #[schemars(length(max = 16384))]
    pub terraform: String,
}
