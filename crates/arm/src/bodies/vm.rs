//! A virtual machine (compute-and-arm.md C.1, C.2).

use serde_json::Value;

use super::Resource;
use crate::{id::IdText, time::ArmTime, word::Word};

/// A virtual machine.
pub type VirtualMachine = Resource<VirtualMachineProperties>;

body! {
    /// What a machine adds.
    VirtualMachineProperties {
        /// Stable until the machine is made anew under the same id.
        vm_id: String,
        /// `Succeeded`, `Updating`, ...
        provisioning_state: Word,
        /// Made.
        time_created: ArmTime,
        /// Its size.
        hardware_profile: HardwareProfile,
        /// Its disks.
        storage_profile: StorageProfile,
        /// Trusted launch.
        security_profile: SecurityProfile,
        /// Only with `$expand=instanceView` or in a status list.
        instance_view: InstanceView,
    }
    /// Size.
    HardwareProfile {
        /// `Standard_D4s_v5`.
        vm_size: String,
    }
    /// Disks.
    StorageProfile {
        /// The OS disk.
        os_disk: OsDisk,
        /// The others.
        data_disks: Vec<DataDisk>,
    }
    /// The OS disk.
    OsDisk {
        /// `Windows` or `Linux`.
        os_type: Word,
        /// Its name.
        name: String,
        /// Absent for an unmanaged disk.
        managed_disk: ManagedDisk,
        /// An unmanaged disk's blob.
        vhd: VhdUri,
        /// Provisioned.
        #[serde(rename = "diskSizeGB")]
        disk_size_gb: i64,
        /// An ephemeral disk.
        diff_disk_settings: DiskSettings,
    }
    /// A data disk.
    DataDisk {
        /// Its place.
        lun: i64,
        /// Its name.
        name: String,
        /// Absent for an unmanaged disk.
        managed_disk: ManagedDisk,
        /// An unmanaged disk's blob.
        vhd: VhdUri,
        /// Provisioned.
        #[serde(rename = "diskSizeGB")]
        disk_size_gb: i64,
        /// It is going.
        to_be_detached: bool,
    }
    /// A managed disk, seen from the machine.
    ManagedDisk {
        /// Its id.
        id: IdText,
        /// May be missing while the machine is deallocated.
        storage_account_type: Word,
    }
    /// An unmanaged disk's blob.
    VhdUri {
        /// Its URL.
        uri: String,
    }
    /// How an OS disk lives.
    DiskSettings {
        /// `Local`: ephemeral.
        option: Word,
    }
    /// Trusted launch.
    SecurityProfile {
        /// `TrustedLaunch`, `ConfidentialVM`, `Standard`; absent = standard.
        security_type: Word,
    }
    /// How it runs.
    InstanceView {
        /// `ProvisioningState/...`, `PowerState/...`.
        statuses: Vec<InstanceStatus>,
        /// The agent; absent while it does not run.
        vm_agent: VmAgent,
    }
    /// The agent inside.
    VmAgent {
        /// Its version.
        vm_agent_version: String,
        /// Its health.
        statuses: Vec<InstanceStatus>,
    }
    /// One status.
    InstanceStatus {
        /// `PowerState/running`.
        code: Word,
        /// In words.
        display_status: String,
    }
}

/// Whose extension Azure Site Recovery puts into a machine that it replicates (a digit may follow); Site Recovery takes it out
/// when replication is disabled (learn.microsoft.com, "Troubleshoot Azure-to-Azure VM extension").
const SITE_RECOVERY: &str = "Microsoft.Azure.RecoveryServices.SiteRecovery";

/// The extension by which Azure Site Recovery replicates a machine, from the body of the machine's own GET, which carries them
/// whole in `resources` (compute-and-arm.md C.1). Items that tell nothing but their id are known by its name, `SiteRecovery-Linux`
/// or `SiteRecovery-Windows`.
pub fn replicating_extension(body: &Value) -> Option<String> {
    let starts = |text: &str, with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    body.get("resources")?.as_array()?.iter().find_map(|extension| {
        let text = |pointer: &str| extension.pointer(pointer).and_then(Value::as_str);
        let name = text("/name").or_else(|| text("/id")?.rsplit('/').next());
        let is_its = match text("/properties/publisher") {
            Some(publisher) => starts(publisher, SITE_RECOVERY),
            None => name.is_some_and(|name| starts(name, "SiteRecovery-")),
        };
        is_its.then(|| name.unwrap_or(SITE_RECOVERY).to_owned())
    })
}

impl VirtualMachineProperties {
    /// `running`, `deallocated`, `stopped`, ...; `None` when not told: unknown.
    pub fn power_state(&self) -> Option<Word> {
        const PREFIX: &str = "PowerState/";
        let statuses = self.instance_view.as_ref()?.statuses.as_ref()?;
        statuses.iter().find_map(|status| {
            let code = status.code.as_ref()?.as_str();
            let known = code.get(..PREFIX.len())?.eq_ignore_ascii_case(PREFIX);
            known.then(|| Word::from(&code[PREFIX.len()..]))
        })
    }

    /// True when a disk is a blob, which nothing here can back up disk by disk.
    pub fn has_unmanaged_disks(&self) -> bool {
        let storage = self.storage_profile.as_ref();
        let os = storage.and_then(|s| s.os_disk.as_ref()).is_some_and(|d| d.vhd.is_some() && d.managed_disk.is_none());
        let data = storage.and_then(|s| s.data_disks.as_ref()).into_iter().flatten();
        os || data.into_iter().any(|d| d.vhd.is_some() && d.managed_disk.is_none())
    }

    /// The OS, where told.
    pub fn os_type(&self) -> Option<&Word> {
        self.storage_profile.as_ref()?.os_disk.as_ref()?.os_type.as_ref()
    }
}
