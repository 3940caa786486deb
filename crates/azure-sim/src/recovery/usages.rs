//! `V/usages`: the recorded table, with the counts of machines and their jobs filled in.

use serde_json::{Value, json};

use super::item::HealthStatus;
use super::jobs::JobStatus;
use super::vault::Vault;

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

/// One row per counter of the backup service. Those of Site Recovery and MARS that the recording has too are left out.
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
    BACKUP.iter().map(row).collect()
}
