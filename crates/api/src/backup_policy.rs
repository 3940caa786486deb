//! `BackupPolicy`: when machines are backed up, how long points live, and which machines.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    durations::Span,
    ids,
    protected_machine::{RestoreTime, TierCounts},
    references::{Adopt, AllowedNamespaces, DeletionPolicy, ObjectReference},
    retention::Retention,
    schedule::Schedule,
    selector::MachineEntry,
    spec::SharedSpec,
    status::SharedStatus,
    times,
};

/// When machines are backed up, how long their recovery points live, and which machines.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "breakwater.io",
    version = "v1alpha1",
    kind = "BackupPolicy",
    plural = "backuppolicies",
    namespaced,
    doc = "When Azure machines are backed up, how long their recovery points live, and which machines. One ProtectedMachine is made per machine that matches.",
    status = "BackupPolicyStatus",
    shortname = "bpol",
    category = "breakwater",
    category = "backup",
    validation = Rule::new("!has(self.spec.accessRef) || !has(self.status) || !has(self.status.access) || self.spec.accessRef.name == self.status.access.name").message("accessRef was resolved to status.access.name and is kept: set it to that or leave it out; to act under another AzureAccess make a new object"),
    validation = Rule::new("size(self.metadata.name) <= 128").message("metadata.name must leave room for the names that derive from it: at most 128 characters"),
    validation = Rule::new("has(self.spec.azureName) == has(oldSelf.spec.azureName) && (!has(self.spec.azureName) || self.spec.azureName == oldSelf.spec.azureName)").message("azureName is immutable: make a new BackupPolicy"),
    printcolumn(name = "Vault", type_ = "string", json_path = ".spec.vaultRef.name"),
    printcolumn(name = "Tier", type_ = "string", json_path = ".spec.tier"),
    printcolumn(name = "Matched", type_ = "integer", json_path = ".status.matched"),
    printcolumn(name = "Protected", type_ = "integer", json_path = ".status.protected"),
    printcolumn(name = "Failing", type_ = "integer", json_path = ".status.failing"),
    printcolumn(name = "Excluded", type_ = "integer", json_path = ".status.excludedCount", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[cfg_attr(test, kube(cel))]
// A rule asks for each field, required ones too: where one cannot be worked out for an object that is older than the
// definition, the API server refuses every write of that object, its status included.
#[x_kube(
    validation = Rule::new("self.tier == oldSelf.tier || self.tier == 'Enhanced'").message("tier cannot go from Enhanced to Standard: make a new BackupPolicy").field_path(".tier"),
    validation = Rule::new("!has(self.azureName) || (has(self.adopt) && self.adopt == 'IfNotWeaker')").message("azureName needs adopt: IfNotWeaker: a name that does not derive from this object may be another's, and on a rebuilt cluster nothing else tells that it was made here").field_path(".adopt"),
    validation = Rule::new("self.tier == 'Enhanced' || !has(self.schedule) || !has(self.schedule.hourly)").message("an hourly schedule needs tier: Enhanced").field_path(".schedule"),
    validation = Rule::new("self.tier == 'Enhanced' || !has(self.schedule) || !has(self.retention) || !has(self.retention.instantRestoreDays) || (has(self.schedule.weekly) ? self.retention.instantRestoreDays == 5 : self.retention.instantRestoreDays <= 5)").message("in tier Standard instantRestoreDays is 1 to 5, and exactly 5 with a weekly schedule").field_path(".retention"),
    validation = Rule::new("!has(self.schedule) || !has(self.retention) || has(self.schedule.weekly) != has(self.retention.daily)").message("retention.daily is needed with a daily or hourly schedule, and impossible with a weekly one").field_path(".retention"),
    validation = Rule::new("!has(self.schedule) || !has(self.retention) || !has(self.schedule.weekly) || (has(self.retention.weekly) && size(self.retention.weekly.days) == size(self.schedule.weekly.days) && self.retention.weekly.days.all(day, day in self.schedule.weekly.days))").message("with a weekly schedule retention.weekly is needed, on the same days as the schedule").field_path(".retention"),
    validation = Rule::new("!has(self.archive) || !has(self.retention) || has(self.retention.monthly) || has(self.retention.yearly)").message("archive needs retention.monthly or retention.yearly: only those points move").field_path(".archive"),
)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicySpec {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedSpec,
    /// The RecoveryVault that holds the backups. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf").message("vaultRef is immutable: make a new BackupPolicy"))]
    pub vault_ref: ObjectReference,
    /// The policy's name in Azure; derived when left out. Needs adopt: IfNotWeaker. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 150), regex(pattern = ids::POLICY_NAME))]
    pub azure_name: Option<String>,
    /// Enhanced (Azure's V2: hourly schedules, zones, Trusted Launch, longer instant restore; its snapshots cost more) or
    /// Standard (V1). From Standard to Enhanced is one-way.
    #[serde(default)]
    pub tier: Tier,
    /// When backups are taken.
    pub schedule: Schedule,
    /// The IANA zone of the schedule's times, like Europe/Amsterdam; daylight saving time is followed.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64), regex(pattern = ids::TIME_ZONE))]
    pub time_zone: String,
    /// How long recovery points live. Making it shorter lets existing points expire: that is asked first, in status.questions.
    pub retention: Retention,
    /// Whether old points move to the archive tier; not managed when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// How consistent points must be: CrashConsistent < FileSystemConsistent < ApplicationConsistent; BestForOs is application
    /// on Windows and file system on Linux. CrashConsistent in tier Enhanced asks Azure for agentless snapshots.
    #[serde(default)]
    pub consistency: DeclaredConsistency,
    /// Which machines. An explicit id wins over selectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub machines: Vec<MachineEntry>,
    /// Whether a policy under azureName that this object did not make, and machines in the vault under a policy that is not
    /// ours, are taken over. IfNotWeaker: where no point would expire earlier.
    #[serde(default)]
    pub adopt: Adopt,
    /// What happens to a machine that no entry means any more. Keep: it stays protected. StopAndRetain: after
    /// unselectGracePeriod its protection is stopped and its points are kept, on a direct read of the machine, and at most 5 %
    /// of the policy's machines an hour.
    #[serde(default)]
    pub when_unselected: WhenUnselected,
    /// With whenUnselected: StopAndRetain, how long a machine must be unselected first; 24h when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unselect_grace_period: Option<Span>,
    /// Which namespaces' ProtectedMachines may name this policy; only this one's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespaces>,
    /// What happens to the policy in Azure when this object is deleted. Delete: it is deleted too, once no machine is under it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Now: take the first backup as soon as a machine is protected. OnSchedule: wait for the schedule.
    #[serde(default)]
    pub first_backup: FirstBackup,
    /// What is promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Azure's two generations of backup policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Tier {
    /// V1.
    Standard,
    /// V2.
    #[default]
    Enhanced,
}

/// How consistent points must be at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum DeclaredConsistency {
    /// As after a power cut.
    CrashConsistent,
    /// With the file systems flushed.
    FileSystemConsistent,
    /// With the applications quiesced.
    ApplicationConsistent,
    /// ApplicationConsistent on Windows, FileSystemConsistent on Linux.
    #[default]
    BestForOs,
}

/// Whether a newly protected machine is backed up at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum FirstBackup {
    /// The schedule decides.
    #[default]
    OnSchedule,
    /// At once, once.
    Now,
}

/// What happens to a machine that no entry means any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum WhenUnselected {
    /// It stays protected.
    #[default]
    Keep,
    /// Its protection is stopped, and its points are kept.
    StopAndRetain,
}

/// When points move to the archive tier.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(self.mode == 'After') == has(self.months)").message("archive.months is needed with mode: After, and only then"))]
#[serde(rename_all = "camelCase")]
pub struct Archive {
    /// Recommended: Azure decides which points. After: all that are so old.
    pub mode: ArchiveMode,
    /// With mode After: how many months old, at least 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 3, max = 1188))]
    pub months: Option<i32>,
}

/// Who decides which points move to the archive tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ArchiveMode {
    /// Azure.
    Recommended,
    /// The age.
    After,
}

/// What is promised.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// How old the youngest recovery point in the vault may be, like 28h. When left out: the largest gap of the schedule (nights,
    /// weekends and clock changes included) and 4 hours.
    pub rpo: Span,
}

/// What was seen of the policy and its machines.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicyStatus {
    /// What every kind has.
    #[serde(flatten)]
    pub shared: SharedStatus,
    /// The policy's ARM id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub policy_id: Option<String>,
    /// A hash of the policy as declared when Azure last showed it so: tells an edit of the spec from a change in Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub applied: Option<String>,
    /// The promise in force: declared, or derived from the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Span>,
    /// How many machines the entries match and are not left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<i64>,
    /// How many of them are protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected: Option<i64>,
    /// How many of them do not keep their promise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<i64>,
    /// Machines that are left out, with the reason; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub excluded: Vec<ExcludedMachine>,
    /// How many are left out in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_count: Option<i64>,
    /// What all its machines could be restored to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<PolicyRecovery>,
    /// How much of what the selectors can see is protected by anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
}

/// What the machines of a policy could be restored to.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRecovery {
    /// How many machines have a recovery point.
    pub recoverable: i64,
    /// How many of them have one that is application consistent.
    pub application_consistent: i64,
    /// Every machine that has points has one of this time or before: the latest of their oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub all_from: Option<Timestamp>,
    /// Every machine that has points has one of this time or later: the earliest of their latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "times::date_time")]
    pub all_to: Option<Timestamp>,
    /// How many points of all machines lie where; one may lie in two places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiers: Option<TierCounts>,
    /// About how long a restore of the largest of them may take, by where the point lies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub restore_times: Vec<RestoreTime>,
    /// The regions that points can be restored in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), inner(length(max = 64)))]
    pub regions: Vec<String>,
}

/// One machine that is left out.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExcludedMachine {
    /// The machine's ARM id.
    #[schemars(length(max = 512))]
    pub machine: String,
    /// Why.
    #[schemars(length(max = 64))]
    pub reason: String,
}

/// Coverage of the selectors' scope: their subscriptions, groups and regions, whatever the tags.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// How many machines are in scope.
    pub machines: i64,
    /// How many of them are known to be protected, here or elsewhere.
    pub protected: i64,
}
