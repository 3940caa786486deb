//! A protected machine in a vault (backup.md §8.4, §9).

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::limits::Daily;
use super::names::{ItemKey, NEVER, VAULT_TYPE, VM_TYPE, time_text, timespan_text};
use super::points::Point;
use super::policy_rules::Generation;
use super::settings::Settings;
use super::vault::Vault;

/// From this api-version on items carry `policyType` and no `sourceSideScanning` (recorded 2024 and 2026).
const VERSION_WITH_POLICY_TYPE: &str = "2025-01-01";

/// `protectionState`; `Invalid` and `ProtectionPaused` exist in the SDK and were never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    IrPending,
    Protected,
    Error,
    Stopped,
    Suspended,
}

impl Protection {
    const ALL: [Protection; 5] =
        [Protection::IrPending, Protection::Protected, Protection::Error, Protection::Stopped, Protection::Suspended];

    pub fn name(self) -> &'static str {
        match self {
            Protection::IrPending => "IRPending",
            Protection::Protected => "Protected",
            Protection::Error => "ProtectionError",
            Protection::Stopped => "ProtectionStopped",
            Protection::Suspended => "BackupsSuspended",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Protection::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether schedule and on-demand backups run.
    pub fn backs_up(self) -> bool {
        matches!(self, Protection::IrPending | Protection::Protected | Protection::Error)
    }
}

/// `healthStatus`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HealthStatus {
    Passed,
    ActionSuggested,
    ActionRequired,
}

/// A finding of the service: an error of a job, a detail of health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Number of the code, e.g. 320001.
    pub code: i64,
    /// Its name, e.g. `ResourceNotFound`.
    pub title: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub recommendations: Vec<String>,
}

const KNOWN: [(i64, &str); 18] = [
    (320_001, "ResourceNotFound"),
    (400_136, "UserErrorVmNotFoundV2"),
    (400_175, "UserErrorVmVaultLocationMismatch"),
    (400_196, "UserErrorGuestAgentStatusUnavailable"),
    (380_016, "UserErrorGuestAgentVersionUnsupported"),
    (400_039, "GuestAgentSnapshotTaskStatusError"),
    (400_206, "ExtensionSnapshotFailedNoNetwork"),
    (380_020, "ExtensionVCRedistInstallationFailure"),
    (400_198, "UserErrorKeyVaultPermissionsNotConfigured"),
    (400_288, "UserErrorRpCollectionDeleted"),
    (400_349, "UserErrorCrpReportedUserError"),
    (400_002, "BackUpOperationFailed"),
    (400_158, "UserErrorJobSuccessfullyCancelled"),
    (400_052, "DiffCopyFailedToTransferData"),
    (400_048, "UserErrorBCMRestoreStorageAccountNotFound"),
    (400_309, "UserErrorGenericResourceNotFound"),
    (400_003, "RestoreOperationFailed"),
    (400_390, "UserErrorInsufficientMSIPermissions"),
];

impl Finding {
    /// A finding without a recommendation.
    pub fn new(code: i64, title: &str, message: &str) -> Self {
        Finding { code, title: title.to_owned(), message: message.to_owned(), recommendations: Vec::new() }
    }

    /// The finding of a code seen on jobs or items (§9, §11.2), by number or name; any other name gets the number of
    /// "Backup failed with an internal error".
    pub fn known(code: &str) -> Self {
        let known = KNOWN.iter().find(|(number, name)| name.eq_ignore_ascii_case(code) || number.to_string() == code);
        match known {
            Some((320_001, _)) => Finding::machine_gone(),
            Some((400_003, _)) => Finding::restore_failed(),
            Some((number, name)) => Finding::new(*number, name, &format!("The operation failed: {name}.")),
            None => Finding::new(400_002, code, "Backup failed with an internal error."),
        }
    }

    /// A restore failed (recorded words).
    pub fn restore_failed() -> Self {
        let mut finding = Finding::new(400_003, "RestoreOperationFailed", "Restore failed with an internal error.");
        finding.recommendations =
            vec!["Please retry the operation in a few minutes. If the problem persists, please contact Microsoft support.".to_owned()];
        finding
    }

    /// The machine is gone (recorded words).
    pub fn machine_gone() -> Self {
        let mut finding = Finding::new(320_001, "ResourceNotFound", "Could not perform the operation as VM no longer exists.");
        finding.recommendations = vec![
            "Stop protecting virtual machine without deleting backup data. More details at http://go.microsoft.com/fwlink/?LinkId=808124 "
                .to_owned(),
        ];
        finding
    }

    /// As it stands in `errorDetails` of a job.
    pub fn as_error(&self) -> Value {
        json!({"errorCode": self.code, "errorTitle": self.title, "errorString": self.message, "recommendations": self.recommendations})
    }

    /// As it stands in `healthDetails`.
    pub fn as_health(&self) -> Value {
        json!({"code": self.code, "title": self.title, "message": self.message, "recommendations": self.recommendations})
    }
}

/// What the service thinks of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    pub status: HealthStatus,
    /// `healthDetails`; absent before the first backup.
    pub details: Option<Finding>,
    /// `kpisHealths`: status and finding of the last backup, when it went wrong.
    pub backup: Option<(&'static str, Finding)>,
}

impl Health {
    /// Before the first backup.
    pub fn unknown() -> Self {
        Health { status: HealthStatus::Passed, details: None, backup: None }
    }

    /// After a good one (recorded words).
    pub fn good() -> Self {
        let finding = Finding::new(400_239, "IaasVmHealthGreenDefault", "Backup pre-check status of this virtual machine is OK.");
        Health { status: HealthStatus::Passed, details: Some(finding), backup: None }
    }
}

/// Outcome of the last backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackupResult {
    Completed,
    Failed,
}

/// A soft-deleted item's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SoftDeleted {
    /// Of the delete: `deferredDeleteTimeInUTC`.
    pub at: Timestamp,
    /// Of the purge.
    pub until: Timestamp,
}

/// One protected item.
#[derive(Clone, Debug)]
pub struct Item {
    pub(super) key: ItemKey,
    /// ARM id of the machine, as the caller spelled it.
    pub source_id: String,
    /// Name of the machine; not unique.
    pub friendly_name: String,
    /// Key of its policy in the vault; none when stopped or soft-deleted.
    pub(super) policy: Option<String>,
    pub(super) generation: Generation,
    pub(super) state: Protection,
    /// `extendedProperties` as last sent.
    pub(super) extended: Option<Value>,
    pub(super) soft_deleted: Option<SoftDeleted>,
    pub(super) last_backup: Option<(Timestamp, BackupResult)>,
    pub(super) last_point: Option<Timestamp>,
    pub(super) data_id: String,
    pub(super) health: Health,
    pub(super) failures_in_a_row: u32,
    /// Oldest first.
    pub(super) points: Vec<Point>,
    /// The backup job under way.
    pub(super) running: Option<String>,
    pub(super) on_demand: Daily,
    /// Number of the current schedule; older schedule events are void.
    pub(super) schedule: u64,
    pub(super) sweep_at: Option<Timestamp>,
    pub(super) stale_container_until: Option<Timestamp>,
    /// Properties set behind everybody's back.
    pub(super) overrides: BTreeMap<String, Value>,
}

impl Item {
    /// Its ARM id.
    pub(super) fn id(&self, vault: &Vault) -> String {
        format!("{}/backupFabrics/Azure/protectionContainers/{}/protectedItems/{}", vault.id, self.key.container(), self.key.item())
    }

    /// Whether no other vault may protect that machine. What is soft-deleted lets it (§9), and what is stopped does too: the
    /// documented way to another vault is to stop in this one, with the points kept, and to protect in the other
    /// [docs: azure/business-continuity-center/tutorial-reconfigure-backup-alternate-vault; sdk: azure-cli
    /// `reconfigure_vm_protection`].
    pub(super) fn holds(&self, source_id: &str) -> bool {
        let lets = self.soft_deleted.is_some() || self.state == Protection::Stopped;
        !lets && self.source_id.eq_ignore_ascii_case(source_id)
    }

    /// The state after protection resumes (§9).
    pub(super) fn resumed_state(&self) -> Protection {
        if self.points.is_empty() { Protection::IrPending } else { Protection::Protected }
    }

    /// The item as JSON; list and GET show the same (§8.4).
    pub(super) fn render(&self, vault: &Vault, settings: &Settings, now: Timestamp, version: &str) -> Value {
        let policy = self.policy.as_deref().and_then(|name| vault.policy(name));
        let (last_time, last_status) = match self.last_backup {
            None => (NEVER.to_owned(), ""),
            Some((at, BackupResult::Completed)) => (time_text(at), "Completed"),
            Some((at, BackupResult::Failed)) => (time_text(at), "Failed"),
        };
        let health = match self.health.status {
            HealthStatus::Passed => "Passed",
            HealthStatus::ActionSuggested => "ActionSuggested",
            HealthStatus::ActionRequired => "ActionRequired",
        };
        let mut properties = json!({
            "friendlyName": self.friendly_name,
            "virtualMachineId": self.source_id,
            "protectionStatus": if self.state == Protection::Error { "Unhealthy" } else { "Healthy" },
            "protectionState": self.state.name(),
            "healthStatus": health,
            "lastBackupStatus": last_status,
            "lastBackupTime": last_time,
            "protectedItemDataId": self.data_id,
            "protectedItemType": VM_TYPE,
            "backupManagementType": "AzureIaasVM",
            "workloadType": "VM",
            "containerName": self.key.as_str(),
            "sourceResourceId": self.source_id,
            "policyId": policy.map_or_else(String::new, |policy| format!("{}/backupPolicies/{}", vault.id, policy.name)),
            "policyName": policy.map_or("", |policy| policy.name.as_str()),
            // A full URL, unlike every other id.
            "vaultId": format!("{}{}", settings.vault_url_prefix, vault.id),
            "isArchiveEnabled": false,
            "softDeleteRetentionPeriod": 0,
        });
        let map = properties.as_object_mut().expect("made as an object above");
        self.render_optional(map, now, version);
        map.extend(self.overrides.clone());
        json!({
            "id": self.id(vault),
            "name": self.key.item(),
            "type": format!("{VAULT_TYPE}/backupFabrics/protectionContainers/protectedItems"),
            "properties": properties,
        })
    }

    fn render_optional(&self, map: &mut Map<String, Value>, now: Timestamp, version: &str) {
        if version >= VERSION_WITH_POLICY_TYPE {
            map.insert("policyType".to_owned(), json!(self.generation.name()));
        } else {
            map.insert("sourceSideScanning".to_owned(), json!(0));
        }
        if let Some(details) = &self.health.details {
            map.insert("healthDetails".to_owned(), json!([details.as_health()]));
        }
        if let Some((status, finding)) = &self.health.backup {
            let kpi = json!({"BackupOperationStatusKPI": {"resourceHealthStatus": status, "resourceHealthDetails": [finding.as_health()]}});
            map.insert("kpisHealths".to_owned(), kpi);
        }
        if let Some(extended) = &self.extended {
            map.insert("extendedProperties".to_owned(), extended.clone());
        }
        if let Some(last) = self.last_point {
            map.insert("lastRecoveryPoint".to_owned(), json!(time_text(last)));
        }
        if let Some(deleted) = self.soft_deleted {
            let period = deleted.until.duration_since(deleted.at).as_hours() / 24;
            map.insert("isScheduledForDeferredDelete".to_owned(), json!(true));
            map.insert("deferredDeleteTimeInUTC".to_owned(), json!(time_text(deleted.at)));
            map.insert(
                "deferredDeleteTimeRemaining".to_owned(),
                json!(timespan_text(deleted.until.duration_since(now).max(SignedDuration::ZERO))),
            );
            map.insert("softDeleteRetentionPeriod".to_owned(), json!(period));
        }
    }

    /// `extendedInfo`, which a GET shows only when asked to expand it (§8.4).
    pub(super) fn extended_info(&self) -> Value {
        let mut info = json!({"recoveryPointCount": self.points.len(), "policyInconsistent": false});
        if let Some(oldest) = self.points.first() {
            info["oldestRecoveryPoint"] = json!(time_text(oldest.taken.time));
        }
        info
    }
}
