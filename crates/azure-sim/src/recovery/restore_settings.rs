//! What can be set about restores: how long they take, what they check and when, and the codes of what goes wrong.

use jiff::SignedDuration;
use serde::Deserialize;

use super::item::Finding;
use super::settings::{Refusal, Span};

/// How long restores take, in world time (backup.md §16 and the recorded jobs).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RestoreDurations {
    /// From the POST to the operation's success: at the first look in most recordings.
    pub accept: Span,
    /// From the POST until the job knows its point: until then `Recovery point time ` is null (recorded in 2026 only).
    pub point_known: Span,
    /// From the POST until the job has looked at where it is to restore to. A guess.
    pub preflight: Span,
    /// Task "Transfer data from vault", when the point has its snapshot.
    pub from_snapshot: Span,
    /// The same from the vault: also all restores into an account, another region or another subscription.
    pub from_vault: Span,
    /// From the end of the transfer to the end of a job that restores disks.
    pub finish_disks: Span,
    /// Task "Create the restored virtual machine".
    pub create_machine: Span,
    /// Task "Update the virtual machine".
    pub replace_disks: Span,
    /// From `cancel` to the end of the job.
    pub cancel: Span,
    /// An operation that validates. A guess.
    pub validate: Span,
    /// Provisioning of file recovery: at most 34 s recorded.
    pub mount: Span,
    /// Its revocation. A guess.
    pub unmount: Span,
    /// Move of a point to the archive. A guess: nobody recorded one.
    pub archive: Span,
    /// Rehydration with standard priority: up to 15 hours, documented.
    pub rehydrate_standard: Span,
    /// Rehydration with high priority: less than one hour, documented.
    pub rehydrate_high: Span,
}

impl Default for RestoreDurations {
    fn default() -> Self {
        RestoreDurations {
            accept: Span::between(0, 2),
            point_known: Span::between(3, 4),
            preflight: Span::between(5, 15),
            from_snapshot: Span::between(18, 22),
            from_vault: Span::between(1000, 2000),
            finish_disks: Span::between(30, 36),
            create_machine: Span::between(92, 105),
            replace_disks: Span::between(1200, 1230),
            cancel: Span::between(20, 60),
            validate: Span::between(5, 20),
            mount: Span::between(10, 30),
            unmount: Span::between(2, 10),
            archive: Span::between(1800, 7200),
            rehydrate_standard: Span::between(12 * 3600, 15 * 3600),
            rehydrate_high: Span::between(1800, 3500),
        }
    }
}

/// A finding as people set it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Coded {
    /// `errorCode`; those from 499 000 on are made up.
    pub code: i64,
    /// `errorTitle`
    pub title: String,
    /// `errorString`
    pub message: String,
}

impl Coded {
    fn new(code: i64, title: &str, message: &str) -> Self {
        Coded { code, title: title.to_owned(), message: message.to_owned() }
    }

    /// As a finding, with one piece of advice: every recorded error of a restore has some.
    pub(super) fn finding(&self) -> Finding {
        let mut finding = Finding::new(self.code, &self.title, &self.message);
        finding.recommendations = vec!["Correct what the message names and start the restore again.".to_owned()];
        finding
    }
}

/// What a restore may find wrong where it is to restore to. Titles are guesses unless their comment says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RestoreFindings {
    /// The staging account is not there: code and title recorded.
    pub staging_missing: Coded,
    /// It is in another region than the vault (documented rule).
    pub staging_region: Coded,
    /// It is for blobs only (documented rule).
    pub staging_kind: Coded,
    /// It is zone redundant (documented rule).
    pub staging_zone_redundant: Coded,
    /// Its firewall keeps Azure's services out.
    pub staging_firewalled: Coded,
    /// The identity lacks a right: code and title recorded.
    pub identity_denied: Coded,
    /// The identity is not the vault's (documented rule).
    pub identity_unknown: Coded,
    /// The target group is not there.
    pub group_missing: Coded,
    /// A lock keeps the target group from being written to.
    pub group_locked: Coded,
    /// Azure Policy denies what the restore makes: the title is documented.
    pub policy_denied: Coded,
    /// A machine of that name is there.
    pub target_exists: Coded,
    /// The subnet is not there (documented rule).
    pub subnet_missing: Coded,
    /// The network is in another region.
    pub subnet_region: Coded,
    /// Too few cores are left: the title is documented.
    pub quota: Coded,
    /// The machine whose disks are to be replaced is gone (documented rule); the code is one of backups.
    pub machine_gone: Coded,
    /// Another machine of that name is there.
    pub machine_changed: Coded,
    /// The machine is not off, where [`ReplaceNeeds`] wants it so.
    pub machine_not_off: Coded,
    /// The point's snapshot went before the point got into the vault: the title is documented.
    pub snapshot_gone: Coded,
    /// Cancelled: code and title recorded of backups.
    pub cancelled: Coded,
}

impl Default for RestoreFindings {
    fn default() -> Self {
        let found = Coded::new;
        RestoreFindings {
            staging_missing: found(
                400_048,
                "UserErrorBCMRestoreStorageAccountNotFound",
                "The storage account selected for the restore was not found.",
            ),
            staging_region: found(
                499_001,
                "UserErrorStorageAccountRegionMismatch",
                "The Recovery Services vault and target storage account are in two different regions.",
            ),
            staging_kind: found(
                499_002,
                "UserErrorStorageAccountNotSupported",
                "The storage account specified for the restore operation isn't supported.",
            ),
            staging_zone_redundant: found(
                499_003,
                "UserErrorStorageAccountZoneRedundant",
                "Zone redundant storage accounts aren't supported for restore.",
            ),
            staging_firewalled: found(
                499_004,
                "UserErrorStorageAccountNetworkRules",
                "The network rules of the storage account don't let Azure Backup in.",
            ),
            identity_denied: found(
                400_390,
                "UserErrorInsufficientMSIPermissions",
                "The managed identity doesn't have the permissions that the restore needs.",
            ),
            identity_unknown: found(
                499_005,
                "UserErrorIdentityNotAssociatedWithVault",
                "The managed identity isn't associated with the vault.",
            ),
            group_missing: found(400_309, "UserErrorGenericResourceNotFound", "The target resource group was not found."),
            group_locked: found(499_006, "UserErrorResourceGroupLocked", "A lock on the target resource group forbids the restore."),
            policy_denied: found(
                499_007,
                "UserErrorRequestDisallowedByPolicy",
                "An Azure Policy of the subscription disallows what the restore creates.",
            ),
            target_exists: found(499_008, "UserErrorTargetVmAlreadyExists", "A virtual machine of the target's name exists already."),
            subnet_missing: found(499_009, "UserErrorSubnetNotFound", "The selected subnet doesn't exist."),
            subnet_region: found(499_010, "UserErrorVnetRegionMismatch", "The virtual network is not in the region of the restore."),
            quota: found(
                499_011,
                "UserErrorCoreCountSubscriptionQuotaReached",
                "The cores that the virtual machine needs exceed the quota of the subscription.",
            ),
            machine_gone: found(400_136, "UserErrorVmNotFoundV2", "The virtual machine was not found."),
            machine_changed: found(
                499_012,
                "UserErrorVmRecreated",
                "The virtual machine is not the one that the recovery point was taken of.",
            ),
            machine_not_off: found(499_013, "UserErrorVmNotDeallocated", "The virtual machine has to be deallocated."),
            snapshot_gone: found(499_014, "UserErrorInstantRpNotFound", "Restore failed because the snapshot of the VM was not found."),
            cancelled: found(400_158, "UserErrorJobSuccessfullyCancelled", "Job is cancelled."),
        }
    }
}

/// Refusals of restores, file recovery, archive and cross-region calls: status and code are guesses throughout.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RestoreRefusals {
    /// A request that does not fit together.
    pub request: Refusal,
    /// Into another subscription than the vault's settings allow.
    pub cross_subscription: Refusal,
    /// Network access settings missing, or not wanted (§13).
    pub network_access: Refusal,
    /// A zone that the vault's redundancy or the point does not allow.
    pub zones: Refusal,
    /// A point in the archive that nobody rehydrated.
    pub archived: Refusal,
    /// Replacing the disks of a machine that cannot have it.
    pub replace: Refusal,
    /// A second mount of a point without `renewExistingRegistration`.
    pub mounted: Refusal,
    /// A point that cannot go to the archive.
    pub not_movable: Refusal,
    /// A token that was altered, is unknown, or too old.
    pub token: Refusal,
    /// Passive calls of a vault without cross-region restore: the code is documented (§4.3).
    pub not_cross_region: Refusal,
}

impl Default for RestoreRefusals {
    fn default() -> Self {
        RestoreRefusals {
            request: Refusal::new(400, "UserErrorInvalidRequestParameter"),
            cross_subscription: Refusal::new(400, "UserErrorCrossSubscriptionRestoreNotAllowed"),
            network_access: Refusal::new(400, "UserErrorTargetDiskNetworkAccessSettingsInvalid"),
            zones: Refusal::new(400, "UserErrorCrossZonalRestoreNotSupported"),
            archived: Refusal::new(400, "UserErrorRecoveryPointInArchiveTier"),
            replace: Refusal::new(400, "UserErrorReplaceDisksNotPossible"),
            mounted: Refusal::new(400, "UserErrorInstantItemRecoveryActive"),
            not_movable: Refusal::new(400, "UserErrorRecoveryPointCannotBeMoved"),
            token: Refusal::new(400, "BMSUserErrorInvalidCrrAccessToken"),
            not_cross_region: Refusal::new(400, "BMSUserErrorCrossRegionRestoreNotEnabledInThisVault"),
        }
    }
}

/// When a restore looks at where it is to restore to. Azure names the codes on jobs and in validation alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Checked {
    /// In the job, after the 202: recorded of a missing account.
    InJob,
    /// Before the 202: a 400 with the first finding's title.
    AtOnce,
}

/// What a machine must be for its disks to be replaced. No documentation asks for more than that it exists, and the recorded
/// one ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ReplaceNeeds {
    /// In whatever power state.
    Any,
    /// Deallocated.
    Deallocated,
}

/// What a restore's managed identity must have rights on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum IdentityReach {
    /// The staging account alone, as documented.
    Staging,
    /// Also the target group (§13).
    StagingAndTarget,
}

/// What a job that replaces disks does first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum BeforeReplace {
    /// A backup of the machine as it is, in a job of its own: documented.
    BacksUp,
    /// Nothing.
    Nothing,
}

/// Everything that can be set about restores. `Default` is Azure as recorded, then as documented.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RestoreSettings {
    /// How long things take.
    pub durations: RestoreDurations,
    /// What is found wrong.
    pub findings: RestoreFindings,
    /// What is refused.
    pub refusals: RestoreRefusals,
    /// When it is found.
    pub checked: Checked,
    /// Power state for replacing disks.
    pub replace_needs: ReplaceNeeds,
    /// Backup before replacing disks.
    pub before_replace: BeforeReplace,
    /// Rights of the identity.
    pub identity_reach: IdentityReach,
    /// How long after it was stored in the vault a point is known in the secondary region: up to 12 hours, documented.
    pub secondary_lag: SignedDuration,
    /// How long an access token for the secondary region holds. A guess.
    pub token_life: SignedDuration,
    /// How long a mount lasts: recorded twice.
    pub mount_life: SignedDuration,
    /// Secondary regions by primary one, beside the fixed pairs of Azure.
    pub region_pairs: std::collections::BTreeMap<String, String>,
    /// Least age of a point that goes to the archive, in days: three months, documented.
    pub archive_age_days: i64,
    /// Least retention left of a point that goes to the archive, in days: six months, documented.
    pub archive_left_days: i64,
}

impl Default for RestoreSettings {
    fn default() -> Self {
        RestoreSettings {
            durations: RestoreDurations::default(),
            findings: RestoreFindings::default(),
            refusals: RestoreRefusals::default(),
            checked: Checked::InJob,
            replace_needs: ReplaceNeeds::Any,
            before_replace: BeforeReplace::BacksUp,
            identity_reach: IdentityReach::StagingAndTarget,
            secondary_lag: SignedDuration::from_hours(12),
            token_life: SignedDuration::from_hours(1),
            mount_life: SignedDuration::from_hours(12),
            region_pairs: std::collections::BTreeMap::new(),
            archive_age_days: 90,
            archive_left_days: 180,
        }
    }
}
