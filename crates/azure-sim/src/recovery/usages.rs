//! `V/usages`: the recorded table, with the counts of machines and their jobs filled in. `V/backupUsageSummaries`: counts by
//! workload, as in the service's own example.

use serde_json::{Value, json};

use super::item::HealthStatus;
use super::jobs::JobStatus;
use super::state::{State, backup_error};
use super::vault::{Vault, VaultPath};
use crate::wire::{Inbound, Reply};

/// Name, localised name and unit of every counter of Azure Backup, in recorded order.
const BACKUP: [(&str, &str, &str); 18] = [
    ("MABContainersCount", "Backup management servers", "Count"),
    ("ProtectedItemCount", "Backup items/Azure virtual machine backup", "Count"),
    ("ProtectedItemCriticalCount", "Critical", "Count"),
    ("ProtectedItemWarningCount", "Warning", "Count"),
    ("IaaSVMProtectedItemCount", "Azure Virtual Machines", "Count"),
    ("IaaSVMProtectedItemCriticalCount", "Critical", "Count"),
    ("IaaSVMProtectedItemWarningCount", "Warning", "Count"),
    ("MABProtectedItemCount", "File-Folders", "Count"),
    ("DPMProtectedItemCount", "DPM Protected Items Count", "Count"),
    ("AzureBackupServerProtectedItemCount", "Azure Backup Server Protected Items Count", "Count"),
    ("InProgressJobsCount", "In progress", "Count"),
    ("FailedJobsCount", "Failed", "Count"),
    ("GRSStorageUsage", "Cloud - GRS", "Bytes"),
    ("LRSStorageUsage", "Cloud - LRS", "Bytes"),
    ("ManagedInstances", "Protected Instances", "Count"),
    ("GRSDedupStorageUsage", "Dedup - GRS", "Bytes"),
    ("LRSDedupStorageUsage", "Dedup - LRS", "Bytes"),
    ("UsedDiskSize", "Backup Engines' Disk Used", "Bytes"),
];

/// Those of Site Recovery, which nothing counts here.
const REPLICATION: [(&str, &str); 19] = [
    ("ProtectedItem", "Replicated Items"),
    ("RecoveryPlan", "Recovery Plans"),
    ("UnHealthyProvider", "Server health critical"),
    ("DeprecatedProvider", "Deprecated servers"),
    ("UnSupportedProvider", "Unsupported servers"),
    ("SupportedProvider", "Supported servers"),
    ("Event", "Events"),
    ("FailedJob", "Failed"),
    ("InProgressJob", "In progress"),
    ("SuspendedJob", "User input required"),
    ("RegisteredServersCount", "Registered servers count"),
    ("RecoveryServicesProviderAuthType", "Recovery Services Providers auth type"),
    ("ReplicatingProtectedItemsCount", "Replicating protected items count."),
    ("FailedOverProtectedItemsCount", "Failed over protected items count."),
    ("TestFailoverApplicableProtectedItemsCount", "Test failover applicable protected items count."),
    ("HyperVToAzureProtectedItemsCount", "HyperV to Azure protected items count."),
    ("VMMToAzureProtectedItemsCount", "Vmm to Azure protected items count."),
    ("VMWareToAzureProtectedItemsCount", "Vmware to Azure protected items count."),
    ("AzureToAzureProtectedItemsCount", "Azure to Azure protected items count."),
];

/// Two more, whose unit is a number [recorded].
const UNITLESS: [&str; 2] = ["Critical", "Warning"];

/// Workloads of a summary of items, in the order of the service's example.
const ITEMS: [(&str, &str); 5] = [
    ("AzureIaasVM", "Azure Virtual Machine"),
    ("MAB", "Azure Backup Agent"),
    ("AzureBackupServer", "Azure Backup Server"),
    ("AzureStorage", "Azure Storage (Azure Files)"),
    ("AzureWorkload", "SQL in Azure VM"),
];
/// Those of a summary of containers: machines are not among them there.
const CONTAINERS: [(&str, &str); 3] =
    [("AzureBackupServer", "Azure Backup Server"), ("MAB", "Azure Backup Agent"), ("AzureWorkload", "SQL in Azure VM")];

/// A row per workload: there are machines and nothing else. That soft-deleted items do not count is a guess.
fn summary(vault: &Vault, workloads: &[(&str, &str)]) -> Vec<Value> {
    let machines = vault.items.values().filter(|item| item.soft_deleted.is_none()).count();
    let row = |(name, words): &(&str, &str)| {
        let count = if *name == "AzureIaasVM" { machines } else { 0 };
        json!({"unit": "Count", "currentValue": count, "limit": -1, "name": {"value": name, "localizedValue": words}})
    };
    workloads.iter().map(row).collect()
}

impl State {
    /// GET `V/backupUsageSummaries`, whose filter names what is counted.
    pub(super) fn usage_summaries(&self, req: &Inbound, path: &VaultPath) -> Reply {
        let show = |_, row: Value| row;
        self.list(
            req,
            path,
            |vault, terms, _| match terms.get("type").map(String::as_str) {
                Some(kind) if kind.eq_ignore_ascii_case("BackupProtectedItemCountSummary") => Ok(summary(vault, &ITEMS)),
                Some(kind) if kind.eq_ignore_ascii_case("BackupProtectionContainerCountSummary") => Ok(summary(vault, &CONTAINERS)),
                _ => {
                    let message = "Input provided for the call is invalid. The type of the summary is missing or not valid.";
                    Err(Box::new(backup_error(400, "BMSUserErrorInvalidInput", message)))
                }
            },
            show,
        )
    }
}

/// One row per counter, as recorded.
pub(super) fn rows(vault: &Vault) -> Vec<Value> {
    let live = || vault.items.values().filter(|item| item.soft_deleted.is_none());
    let items = live().count();
    let critical = live().filter(|item| item.health.status == HealthStatus::ActionRequired).count();
    let warning = live().filter(|item| item.health.status == HealthStatus::ActionSuggested).count();
    let jobs = |status: JobStatus| vault.jobs.values().filter(|job| job.status == status).count();
    let count = |name: &str| match name {
        "ProtectedItemCount" | "IaaSVMProtectedItemCount" | "ManagedInstances" => items,
        "ProtectedItemCriticalCount" | "IaaSVMProtectedItemCriticalCount" => critical,
        "ProtectedItemWarningCount" | "IaaSVMProtectedItemWarningCount" => warning,
        "InProgressJobsCount" => jobs(JobStatus::InProgress) + jobs(JobStatus::Cancelling),
        "FailedJobsCount" => jobs(JobStatus::Failed),
        _ => 0,
    };
    let row = |(name, words, unit): &(&str, &str, &str)| {
        let mut row = json!({"unit": unit, "currentValue": count(name), "limit": -1, "name": {"value": name, "localizedValue": words}});
        if name.ends_with("JobsCount") {
            row["quotaPeriod"] = json!("P1D");
        }
        row
    };
    let zero = |unit: Value, name: &str, words: &str| json!({"unit": unit, "currentValue": 0, "limit": -1, "name": {"value": name, "localizedValue": words}});
    let replication = REPLICATION.iter().map(|(name, words)| zero(json!("Count"), name, words));
    BACKUP.iter().map(row).chain(replication).chain(UNITLESS.iter().map(|name| zero(json!(0), name, name))).collect()
}
