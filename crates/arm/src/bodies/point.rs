//! A recovery point (backup.md §12).

use std::collections::BTreeMap;

use super::Resource;
use crate::{time::ArmTime, word::Word};

/// A recovery point.
pub type RecoveryPoint = Resource<RecoveryPointProperties>;

body! {
    /// What a recovery point adds.
    RecoveryPointProperties {
        /// `IaasVMRecoveryPoint`.
        object_type: Word,
        /// `AppConsistent`, `FileSystemConsistent`, `CrashConsistent`.
        recovery_point_type: Word,
        /// Of the data.
        recovery_point_time: ArmTime,
        /// Where it lies.
        recovery_point_tier_details: Vec<PointTier>,
        /// Absent on on-demand and new points.
        recovery_point_properties: PointExpiry,
        /// Present when disks were left out.
        recovery_point_disk_configuration: PointDisks,
        /// Can it go to another tier, by tier.
        recovery_point_move_readiness_info: BTreeMap<String, MoveReadiness>,
        /// Managed disks.
        is_managed_virtual_machine: bool,
        /// Encrypted inside the machine.
        #[serde(rename = "isSourceVMEncrypted")]
        is_source_vm_encrypted: bool,
        /// A file recovery is open.
        is_instant_ilr_session_active: bool,
        /// Of the machine then.
        virtual_machine_size: String,
        /// Of the machine then.
        os_type: Word,
        /// Zones it can be restored to.
        zones: Vec<String>,
        /// `None`, `TrustedLaunch`, ...
        security_type: Word,
        /// A restore must say how its disks are reached.
        is_private_access_enabled_on_any_disk: bool,
    }
    /// One place that a point lies in.
    PointTier {
        /// `InstantRP`, `HardenedRP`, `ArchivedRP`.
        #[serde(rename = "type")]
        tier: Word,
        /// `Valid`, `Disabled`, `Deleted`, `Rehydrated`.
        status: Word,
    }
    /// How long a scheduled point lives.
    PointExpiry {
        /// Without a zone: UTC.
        expiry_time: ArmTime,
        /// `Daily`, `Weekly`, `Monthly`, `Yearly`.
        rule_name: Word,
        /// It is going.
        is_soft_deleted: bool,
    }
    /// Which disks are in it.
    PointDisks {
        /// How many.
        number_of_disks_included_in_backup: i64,
        /// Of how many.
        number_of_disks_attached_to_vm: i64,
        /// Only on a single GET.
        included_disk_list: Vec<PointDisk>,
        /// Only on a single GET.
        excluded_disk_list: Vec<PointDisk>,
    }
    /// One disk.
    PointDisk {
        /// -1 is the OS disk.
        lun: i64,
        /// Its name.
        name: String,
    }
    /// Can it go to another tier.
    MoveReadiness {
        /// Now.
        is_ready_for_move: bool,
        /// Why not.
        additional_info: String,
    }
}

impl RecoveryPointProperties {
    /// True when a tier of that type holds it and can be restored from.
    pub fn is_in(&self, tier: &str) -> bool {
        let tiers = self.recovery_point_tier_details.iter().flatten();
        tiers
            .into_iter()
            .any(|t| t.tier.as_ref().is_some_and(|x| x.is(tier)) && t.status.as_ref().is_some_and(|s| s.is_any(&["Valid", "Rehydrated"])))
    }
}
