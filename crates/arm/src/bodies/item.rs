//! A protected item (backup.md §8.4, §9).

use std::collections::BTreeMap;

use super::Resource;
use crate::{
    id::IdText,
    time::{ArmDuration, ArmTime},
    word::Word,
};

/// A protected item.
pub type ProtectedItem = Resource<ProtectedItemProperties>;

body! {
    /// What a protected item adds.
    ProtectedItemProperties {
        /// The machine's name.
        friendly_name: String,
        /// The machine.
        virtual_machine_id: IdText,
        /// The machine, in its own case. Identify by this one (backup.md §1.3).
        source_resource_id: IdText,
        /// `Healthy` or `Unhealthy`.
        protection_status: Word,
        /// `IRPending`, `Protected`, `ProtectionStopped`, ...
        protection_state: Word,
        /// `Passed`, `ActionRequired`, `ActionSuggested`, `Invalid`.
        health_status: Word,
        /// Why.
        health_details: Vec<HealthDetail>,
        /// Why, by measure.
        kpis_healths: BTreeMap<String, KpiHealth>,
        /// Empty before the first.
        last_backup_status: Word,
        /// In 2001 before the first.
        last_backup_time: ArmTime,
        /// Absent before the first.
        last_recovery_point: ArmTime,
        /// Names the data, over renames.
        protected_item_data_id: String,
        /// Which disks.
        extended_properties: ItemExtendedProperties,
        /// `Microsoft.Compute/virtualMachines`.
        protected_item_type: Word,
        /// `AzureIaasVM`.
        backup_management_type: Word,
        /// `VM`.
        workload_type: Word,
        /// Without its prefix.
        container_name: String,
        /// Empty when it has none.
        policy_id: IdText,
        /// Empty when it has none.
        policy_name: String,
        /// `V1` or `V2`, where told.
        policy_type: Word,
        /// A full URL.
        vault_id: IdText,
        /// Points can go to the archive.
        is_archive_enabled: bool,
        /// Days that it is kept when deleted.
        soft_delete_retention_period: i64,
        /// True when it is soft-deleted.
        is_scheduled_for_deferred_delete: bool,
        /// When it *was* deleted.
        #[serde(rename = "deferredDeleteTimeInUTC")]
        deferred_delete_time_in_utc: ArmTime,
        /// Until it is purged.
        deferred_delete_time_remaining: ArmDuration,
        /// The purge is near.
        is_deferred_delete_schedule_upcoming: bool,
        /// It is being undeleted.
        is_rehydrate: bool,
        /// Only when asked for.
        extended_info: ItemExtendedInfo,
    }
    /// One reason for a health.
    HealthDetail {
        /// The service's number.
        code: i64,
        /// In short.
        title: String,
        /// In long.
        message: String,
        /// What to do.
        recommendations: Vec<String>,
    }
    /// One measure of health.
    KpiHealth {
        /// `Healthy`, `Degraded`, ...
        resource_health_status: Word,
        /// Why.
        resource_health_details: Vec<ResourceHealthDetail>,
    }
    /// One reason for a measure.
    ResourceHealthDetail {
        /// The service's number.
        code: i64,
        /// In short.
        title: String,
        /// In long.
        message: String,
        /// What to do.
        recommendations: Vec<String>,
    }
    /// What is kept with the item.
    ItemExtendedProperties {
        /// Absent: all disks.
        disk_exclusion_properties: DiskExclusion,
    }
    /// Which data disks are backed up; the OS disk always is.
    DiskExclusion {
        /// LUNs.
        disk_lun_list: Vec<i64>,
        /// True: only these; false: all but these.
        is_inclusion_list: bool,
    }
    /// Only with `$filter=expand eq 'extendedinfo'`.
    ItemExtendedInfo {
        /// The oldest point.
        oldest_recovery_point: ArmTime,
        /// How many points.
        recovery_point_count: i64,
        /// The policy was edited and not yet applied.
        policy_inconsistent: bool,
    }
}

impl ProtectedItemProperties {
    /// When it is purged for good: the time of its deletion and the days that it is kept (backup.md §9).
    pub fn purged_at(&self) -> Option<jiff::Timestamp> {
        let deleted = self.deferred_delete_time_in_utc.as_ref()?.instant()?;
        let days = self.soft_delete_retention_period.filter(|days| (0..=36_500).contains(days))?;
        deleted.checked_add(jiff::SignedDuration::from_hours(24 * days)).ok().filter(|_| self.is_soft_deleted())
    }

    /// True when it is soft-deleted: still listed, still found by GET (backup.md §9).
    pub fn is_soft_deleted(&self) -> bool {
        self.is_scheduled_for_deferred_delete == Some(true)
    }
}
