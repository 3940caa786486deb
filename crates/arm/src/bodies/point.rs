//! A recovery point (backup.md §12).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::{ExtendedLocation, Resource};
use crate::{
    id::IdText,
    time::{ArmTime, parse_time, parse_us_time},
    word::Word,
};

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
        /// Empty in all that was recorded.
        recovery_point_additional_info: String,
        /// `PremiumVMOnPartialPremiumStorage`, ...
        #[serde(rename = "sourceVMStorageType")]
        source_vm_storage_type: Word,
        /// Of unmanaged disks: they can go back to their own account.
        original_storage_account_option: bool,
        /// Keys of a machine that is encrypted inside.
        key_and_secret: KeyAndSecret,
        /// `Supported`: only told by the other region.
        cross_region_restore_state: Word,
        /// `V1` or `V2`.
        created_with_policy_type: Word,
        /// `0` in all that was recorded; what the other numbers mean is not documented.
        threat_status: Word,
        /// The edge zone it came from.
        extended_location: ExtendedLocation,
    }
    /// Keys of a machine that is encrypted inside. The secrets themselves, which the service may send along, are not kept.
    KeyAndSecret {
        /// How.
        encryption_mechanism: Word,
        /// The key that wraps.
        kek_details: KeyOfPoint,
        /// The wrapped secret.
        bek_details: SecretOfPoint,
    }
    /// The key that wraps.
    KeyOfPoint {
        /// Its URL.
        key_url: String,
        /// Its vault.
        key_vault_id: IdText,
    }
    /// The wrapped secret.
    SecretOfPoint {
        /// Its URL.
        secret_url: String,
        /// Its vault.
        secret_vault_id: IdText,
    }
    /// One place that a point lies in.
    PointTier {
        /// `InstantRP`, `HardenedRP`, `ArchivedRP`.
        #[serde(rename = "type")]
        tier: Word,
        /// `Valid`, `Disabled`, `Deleted`, `Rehydrated`.
        status: Word,
        /// More of it, by name.
        extended_info: BTreeMap<String, Value>,
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

/// The tiers that are read at once.
const ONLINE: [&str; 3] = ["InstantRP", "HardenedRP", "IASnapshotRP"];
const ARCHIVE: &str = "ArchivedRP";

impl RecoveryPointProperties {
    /// True when a tier of that type holds it and can be restored from.
    pub fn is_in(&self, tier: &str) -> bool {
        self.tiers(tier).any(|t| t.status.as_ref().is_some_and(|s| s.is_any(&["Valid", "Rehydrated"])))
    }

    /// True when it lies in the archive and nowhere else: a restore must bring it back first (backup.md §12.2, §13). Also
    /// false when its tiers are not told.
    pub fn is_archived_only(&self) -> bool {
        self.is_in(ARCHIVE) && !self.is_rehydrated() && !ONLINE.iter().any(|tier| self.is_in(tier))
    }

    /// True when it was brought back from the archive, and is restorable as long as that lasts.
    pub fn is_rehydrated(&self) -> bool {
        self.tiers(ARCHIVE).any(|t| t.status.as_ref().is_some_and(|s| s.is("Rehydrated")))
    }

    /// True when a restore can read it from that tier at once. Of the archive that is so while it is brought back.
    pub fn is_restorable_from(&self, tier: &str) -> bool {
        if tier.eq_ignore_ascii_case(ARCHIVE) { self.is_rehydrated() } else { self.is_in(tier) }
    }

    /// Until when it stays brought back from the archive; `None` when it is not, or that is not told. The name is that of
    /// Azure PowerShell (RecoveryPointConversions, `RehydratedRPExpiryTime`); nobody recorded one, so that both notations
    /// of times are read, as UTC.
    pub fn rehydrated_until(&self) -> Option<Timestamp> {
        let infos = self.tiers(ARCHIVE).filter_map(|t| t.extended_info.as_ref()).flatten();
        let mut texts = infos.filter(|(name, _)| name.trim().eq_ignore_ascii_case("RehydratedRPExpiryTime"));
        let text = texts.find_map(|(_, value)| value.as_str())?;
        parse_time(text).or_else(|| parse_us_time(text)).filter(|_| self.is_rehydrated())
    }

    fn tiers(&self, tier: &str) -> impl Iterator<Item = &PointTier> {
        let tiers = self.recovery_point_tier_details.iter().flatten();
        tiers.filter(move |t| t.tier.as_ref().is_some_and(|x| x.is(tier)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn point(properties: Value) -> RecoveryPointProperties {
        RecoveryPoint::parse(&json!({"properties": properties})).unwrap().properties
    }

    #[test]
    fn where_a_point_lies_decides_how_it_is_restored() {
        let cases = [
            // tiers                                            archived only, instant, vault, archive
            (json!([["InstantRP", "Valid"]]), [false, true, false, false]),
            (json!([["InstantRP", "Valid"], ["HardenedRP", "Valid"]]), [false, true, true, false]),
            (json!([["InstantRP", "Deleted"], ["HardenedRP", "Valid"]]), [false, false, true, false]),
            (json!([["HardenedRP", "Deleted"], ["ArchivedRP", "Valid"]]), [true, false, false, false]),
            (json!([["hardenedrp", "deleted"], ["archivedrp", "valid"]]), [true, false, false, false]),
            (json!([["HardenedRP", "Valid"], ["ArchivedRP", "Valid"]]), [false, false, true, false]),
            (json!([["HardenedRP", "Deleted"], ["ArchivedRP", "Rehydrated"]]), [false, false, false, true]),
            (json!([["ArchivedRP", "Disabled"]]), [false, false, false, false]),
            (json!([]), [false, false, false, false]),
        ];
        for (tiers, wanted) in cases {
            let all = tiers.as_array().unwrap().iter().map(|t| json!({"type": t[0], "status": t[1]})).collect::<Value>();
            let p = point(json!({"recoveryPointTierDetails": all}));
            let from = |tier| p.is_restorable_from(tier);
            assert_eq!([p.is_archived_only(), from("InstantRP"), from("HardenedRP"), from("ArchivedRP")], wanted, "{tiers}");
        }
        assert!(!point(json!({})).is_archived_only(), "unknown is not archived");
    }

    #[test]
    fn a_point_brought_back_says_until_when() {
        let until = |status: &str, text: Value| {
            let info = json!({"RehydratedRPExpiryTime": text});
            point(json!({"recoveryPointTierDetails": [{"type": "ArchivedRP", "status": status, "extendedInfo": info}]})).rehydrated_until()
        };
        let wanted = "2024-06-13T08:00:00Z".parse().ok();
        assert_eq!(until("Rehydrated", json!("6/13/2024 8:00:00 AM")), wanted);
        assert_eq!(until("Rehydrated", json!("2024-06-13T08:00:00")), wanted);
        assert_eq!(until("Valid", json!("2024-06-13T08:00:00")), None);
        assert_eq!(until("Rehydrated", json!("soon")), None);
        assert_eq!((until("Rehydrated", Value::Null), until("Rehydrated", json!({"a": 1}))), (None, None));
    }

    #[test]
    fn a_recorded_point_is_read_whole() {
        // recoverypoints_list__200.json, and keys as the SDK has them
        let p = point(json!({
            "objectType": "IaasVMRecoveryPoint", "recoveryPointType": "AppConsistent", "recoveryPointTime": "2024-05-14T08:49:45.8802125Z",
            "recoveryPointAdditionalInfo": "", "sourceVMStorageType": "PremiumVMOnPartialPremiumStorage", "isSourceVMEncrypted": true,
            "originalStorageAccountOption": false, "threatStatus": 0, "createdWithPolicyType": "V1", "crossRegionRestoreState": "Supported",
            "keyAndSecret": {
                "kekDetails": {"keyUrl": "https://k/keys/a", "keyVaultId": "/subscriptions/x", "keyBackupData": "CANARY"},
                "bekDetails": {"secretUrl": "https://k/secrets/b", "secretVaultId": "/subscriptions/x", "secretData": "CANARY"}
            }
        }));
        assert_eq!(p.source_vm_storage_type, Some("PremiumVMOnPartialPremiumStorage".into()));
        assert_eq!((p.threat_status.clone(), p.original_storage_account_option), (Some("0".into()), Some(false)));
        assert_eq!(p.cross_region_restore_state, Some("supported".into()));
        let keys = p.key_and_secret.clone().unwrap();
        assert_eq!(keys.bek_details.unwrap().secret_url.as_deref(), Some("https://k/secrets/b"));
        let kept = format!("{p:?} {}", serde_json::to_string(&p).unwrap());
        assert!(!kept.contains("CANARY"), "{kept}");
    }
}
