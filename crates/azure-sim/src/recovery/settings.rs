//! What can be set about the pretend Recovery Services: how long things take, which limits hold, and every
//! behaviour that backup.md marks as unverified, so that a test can try both answers.

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

use super::restore_settings::RestoreSettings;

/// A closed range of whole seconds from which one duration is drawn with the simulator's seeded generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// Shortest, in seconds.
    pub from: i64,
    /// Longest, in seconds.
    pub to: i64,
}

impl Span {
    /// Always the same number of seconds.
    pub const fn exactly(seconds: i64) -> Self {
        Span { from: seconds, to: seconds }
    }

    /// Between two numbers of seconds.
    pub const fn between(from: i64, to: i64) -> Self {
        Span { from, to }
    }

    /// One duration of the range; `chance` is in `0.0..1.0`.
    pub fn pick(self, chance: f64) -> SignedDuration {
        let width = (self.to - self.from).max(0) as f64;
        SignedDuration::from_secs(self.from) + SignedDuration::from_millis((width * chance * 1000.0) as i64)
    }
}

/// How long operations and jobs take in world time (backup.md §9 and §16, medians of small test machines).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Durations {
    /// PUT of a new vault.
    pub vault_create: Span,
    /// PATCH of a vault.
    pub vault_patch: Span,
    /// DELETE of a vault.
    pub vault_delete: Span,
    /// First protection of a machine.
    pub enable: Span,
    /// Change of policy or disks, resume.
    pub change: Span,
    /// Stop with retention, suspension.
    pub stop: Span,
    /// Undelete.
    pub undelete: Span,
    /// DELETE of an item with soft delete on.
    pub soft_delete: Span,
    /// DELETE of an item with soft delete off.
    pub hard_delete: Span,
    /// `refreshContainers`.
    pub refresh: Span,
    /// From the POST of a backup to its operation's success: the job goes on.
    pub backup_accept: Span,
    /// Task "Take Snapshot".
    pub snapshot: Span,
    /// Task "Transfer data to vault".
    pub transfer: Span,
    /// Task "Validate Backup".
    pub validate: Span,
    /// From `cancel` to the end of the job.
    pub cancel: Span,
    /// How late a scheduled backup may start (recorded points lie up to ten minutes after the scheduled time).
    pub schedule_jitter: Span,
    /// How long after an edit points that a shorter retention lets expire are removed. A guess: §12.4 names no time.
    pub expiry_sweep: Span,
}

impl Default for Durations {
    fn default() -> Self {
        Durations {
            vault_create: Span::between(5, 30),
            vault_patch: Span::between(5, 40),
            vault_delete: Span::between(10, 60),
            enable: Span::between(40, 90),
            change: Span::between(8, 12),
            stop: Span::between(2, 10),
            undelete: Span::between(11, 17),
            soft_delete: Span::between(12, 20),
            hard_delete: Span::between(100, 140),
            refresh: Span::between(10, 20),
            backup_accept: Span::exactly(1),
            snapshot: Span::between(420, 500),
            transfer: Span::between(1800, 2400),
            validate: Span::between(300, 700),
            cancel: Span::between(20, 60),
            schedule_jitter: Span::between(10, 600),
            expiry_sweep: Span::exactly(3600),
        }
    }
}

/// The services' own limits (backup.md §4.4 and §10).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Vaults in a subscription and region.
    pub vaults: usize,
    /// Policy writes per vault in 24 h.
    pub policy_writes: usize,
    /// Protection changes per vault in 24 h.
    pub protection_changes: usize,
    /// Azure machines in one vault.
    pub machines_per_vault: usize,
    /// Machines under one policy.
    pub machines_per_policy: usize,
    /// On-demand backups per item in 24 h.
    pub on_demand_backups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            vaults: 500,
            policy_writes: 50,
            protection_changes: 1000,
            machines_per_vault: 1000,
            machines_per_policy: 1000,
            on_demand_backups: 9,
        }
    }
}

/// Status and code of one refusal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error.code`
    pub code: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str) -> Self {
        Refusal { status, code: code.to_owned() }
    }
}

/// Refusals whose exact code nobody has recorded: each default is a guess unless its comment says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Refusals {
    /// A second operation on an item that is busy.
    pub item_busy: Refusal,
    /// A second on-demand backup while one runs (§10).
    pub backup_running: Refusal,
    /// DELETE of a policy with items (§7.3).
    pub policy_in_use: Refusal,
    /// PUT of an item whose machine belongs to another vault (§4.3 has the words, not the code).
    pub elsewhere_protected: Refusal,
    /// More policy writes than a vault takes in a day.
    pub policy_writes: Refusal,
    /// More protection changes than a vault takes in a day.
    pub protection_changes: Refusal,
    /// More machines than a vault or policy holds.
    pub machines: Refusal,
    /// More on-demand backups than an item takes in a day; the code is documented (§4.3).
    pub on_demand_backups: Refusal,
    /// Anything immutability forbids; the code is documented for one such case (§4.3).
    pub immutable: Refusal,
    /// A forbidden change of the vault's immutability.
    pub immutability_step: Refusal,
    /// Redundancy after the first protection.
    pub redundancy_locked: Refusal,
    /// Any other one-way setting asked to go back.
    pub one_way: Refusal,
    /// Backup of a stopped item.
    pub stopped: Refusal,
    /// Anything but undelete on a soft-deleted item.
    pub soft_deleted: Refusal,
    /// Policy or item from V2 back to V1 (§7.3).
    pub policy_downgrade: Refusal,
    /// Cancel of a job that cannot be cancelled (§11.3 has the status).
    pub not_cancellable: Refusal,
    /// A guarded call without the guard's request (§4.3 has the words, neither status nor code).
    pub guarded: Refusal,
    /// A key that the vault's identity cannot use.
    pub key_access: Refusal,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals {
            item_busy: Refusal::new(409, "UserErrorConflictingOperationInProgress"),
            backup_running: Refusal::new(400, "UserErrorBackupOperationInProgress"),
            policy_in_use: Refusal::new(400, "BMSUserErrorPolicyInUse"),
            elsewhere_protected: Refusal::new(400, "BMSUserErrorVMAlreadyRegistered"),
            policy_writes: Refusal::new(400, "CloudDosTimeboudLimitReached"),
            protection_changes: Refusal::new(400, "CloudDosTimeboudLimitReached"),
            machines: Refusal::new(400, "CloudDosAbsoluteLimitReached"),
            on_demand_backups: Refusal::new(400, "CloudDosTimeboudLimitReached"),
            immutable: Refusal::new(400, "UserErrorOperationDeniedOnImmutableItem"),
            immutability_step: Refusal::new(400, "CloudInvalidInputError"),
            redundancy_locked: Refusal::new(400, "CloudInvalidInputError"),
            one_way: Refusal::new(400, "CloudInvalidInputError"),
            stopped: Refusal::new(400, "UserErrorBackupNotAllowedInStoppedState"),
            soft_deleted: Refusal::new(400, "BMSUserErrorItemSoftDeleted"),
            policy_downgrade: Refusal::new(400, "BMSUserErrorInvalidPolicyInput"),
            not_cancellable: Refusal::new(400, "UserErrorJobCannotBeCancelled"),
            guarded: Refusal::new(403, "BMSUserErrorResourceGuardOperationRequestMissing"),
            key_access: Refusal::new(400, "BMSUserErrorKeyVaultAccessDenied"),
        }
    }
}

/// What a status URL under a vault answers once the vault is gone (§3.1: both are recorded).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum GoneVaultStatus {
    /// 404 `ResourceNotFound`.
    NotFound,
    /// 200 `Succeeded`.
    Succeeded,
    /// `Succeeded` to the first who asks, and 404 from then on.
    SucceededOnce,
}

/// What soft-deleted items mean for the deletion of their vault (§5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum VaultDeletion {
    /// They block it.
    Classic,
    /// They do not; the vault goes to the deleted vaults.
    SecureByDefault,
    /// As secure by default where the vault's soft delete is `AlwaysON`, else classic.
    BySoftDeleteState,
}

/// Which immutability forbids what shortens the life of points (§9 says "immutable vault"; whether `Unlocked` counts is [doc]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ImmutabilityReach {
    /// `Unlocked` and `Locked`.
    Enabled,
    /// `Locked` only.
    LockedOnly,
}

/// What a vault PUT or PATCH that says nothing of soft delete does to `vaultconfig` (§5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum VaultWrite {
    /// Nothing.
    KeepsConfig,
    /// Back to Enabled, 14 days, Enabled; `AlwaysON` stays.
    ResetsConfig,
}

/// What `backupStatus` says of a soft-deleted item: §8.1 remembers `Protected`, §16 recorded `NotProtected` after a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SoftDeletedStatus {
    /// `NotProtected`
    NotProtected,
    /// `Protected`
    Protected,
}

/// Tasks of a backup job (§11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum BackupTasks {
    /// Snapshot and transfer.
    Two,
    /// Also "Validate Backup", as recorded since 2026.
    Three,
}

/// Everything that can be set. `Default` is Azure as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How long things take.
    pub durations: Durations,
    /// The services' limits.
    pub limits: Limits,
    /// Codes of refusals.
    pub refusals: Refusals,
    /// Restores, file recovery, archive, the secondary region.
    pub restore: RestoreSettings,
    /// Tasks of backup jobs.
    pub backup_tasks: BackupTasks,
    /// Status URL of a deleted vault.
    pub gone_vault_status: GoneVaultStatus,
    /// Deletion of vaults with soft-deleted items.
    pub vault_deletion: VaultDeletion,
    /// Reach of immutability.
    pub immutability_reach: ImmutabilityReach,
    /// Effect of vault writes on `vaultconfig`.
    pub vault_write: VaultWrite,
    /// How long `vaultconfig` answers as before after a vault or config write (§5.3: terraform waits for three equal reads).
    pub stale_vaultconfig: SignedDuration,
    /// How long the container list shows `SoftDeleted` after an undelete (§9).
    pub stale_container: SignedDuration,
    /// `backupStatus` of soft-deleted items.
    pub soft_deleted_status: SoftDeletedStatus,
    /// Failed backups in a row after which an item becomes `ProtectionError`; 0 is never (§9 has both).
    pub error_state_after: u32,
    /// Page size of lists; 0 is one page (§4.5: documented 200, more recorded in one page).
    pub page_size: usize,
    /// `Retry-After` of 202s and of the vault's 201, in seconds (§3.2).
    pub retry_after: u32,
    /// Characters of the signature parameters in poll URLs (§0: 3 to 4 kB).
    pub signature_length: usize,
    /// What `vaultId` of an item begins with (§8.4: a full URL).
    pub vault_url_prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            durations: Durations::default(),
            limits: Limits::default(),
            refusals: Refusals::default(),
            restore: RestoreSettings::default(),
            backup_tasks: BackupTasks::Three,
            gone_vault_status: GoneVaultStatus::SucceededOnce,
            vault_deletion: VaultDeletion::BySoftDeleteState,
            immutability_reach: ImmutabilityReach::Enabled,
            vault_write: VaultWrite::KeepsConfig,
            stale_vaultconfig: SignedDuration::ZERO,
            stale_container: SignedDuration::from_secs(30),
            soft_deleted_status: SoftDeletedStatus::NotProtected,
            error_state_after: 0,
            page_size: 200,
            retry_after: 60,
            signature_length: 3600,
            vault_url_prefix: "https://management.azure.com".to_owned(),
        }
    }
}

impl Settings {
    /// Reads the `recovery` settings of an estate file (camelCase names as here, durations as `30s` or `PT30S`); null is the default.
    ///
    /// # Errors
    ///
    /// On a name that is not a setting, or a value of another type.
    pub fn from_json(value: &Value) -> Result<Self, serde_json::Error> {
        if value.is_null() { Ok(Settings::default()) } else { serde_json::from_value(value.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_estate_file_changes_what_it_names_and_nothing_else() {
        let read = Settings::from_json(&json!({"durations": {"enable": {"from": 1, "to": 2}}, "staleVaultconfig": "30s",
            "vaultWrite": "ResetsConfig", "refusals": {"itemBusy": {"status": 429, "code": "Busy"}}}))
        .unwrap();
        assert_eq!(read.durations.enable, Span::between(1, 2));
        assert_eq!(read.stale_vaultconfig, SignedDuration::from_secs(30));
        assert_eq!(read.vault_write, VaultWrite::ResetsConfig);
        assert_eq!(read.refusals.item_busy.code, "Busy");
        assert_eq!(read.durations.snapshot, Durations::default().snapshot);
        assert_eq!(Settings::from_json(&Value::Null).unwrap(), Settings::default());
        assert!(Settings::from_json(&json!({"enable": 3})).is_err());
    }

    #[test]
    fn a_span_is_drawn_from_its_ends() {
        assert_eq!(Span::between(40, 90).pick(0.0), SignedDuration::from_secs(40));
        assert_eq!(Span::between(40, 90).pick(0.5), SignedDuration::from_secs(65));
        assert_eq!(Span::exactly(7).pick(0.99), SignedDuration::from_secs(7));
    }
}
