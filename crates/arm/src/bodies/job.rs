//! A backup job (backup.md §11). Lists lack `extendedInfo`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Resource;
use crate::{
    time::{ArmDuration, ArmTime, parse_time, parse_us_time},
    word::Word,
};

/// A job.
pub type Job = Resource<JobProperties>;

body! {
    /// What a job adds.
    JobProperties {
        /// `AzureIaaSVMJob`.
        job_type: Word,
        /// Not a sign that it can be cancelled now.
        actions_info: Vec<Word>,
        /// Without its prefix.
        container_name: String,
        /// So far.
        duration: ArmDuration,
        /// What went wrong.
        error_details: Vec<JobError>,
        /// Tasks and facts.
        extended_info: JobExtendedInfo,
        /// The machine's name; not unique.
        entity_friendly_name: String,
        /// `AzureIaasVM`.
        backup_management_type: Word,
        /// `Backup`, `ConfigureBackup`, `Restore`, ...
        operation: Word,
        /// `InProgress`, `Completed`, `CompletedWithWarnings`, `Failed`, ... The only sign of the end.
        status: Word,
        /// Begun.
        start_time: ArmTime,
        /// Absent while it runs.
        end_time: ArmTime,
        /// The client request id of who started it.
        activity_id: String,
    }
    /// One error of a job.
    JobError {
        /// The service's number.
        error_code: i64,
        /// In short.
        error_title: String,
        /// In long.
        error_string: String,
        /// What to do.
        recommendations: Vec<String>,
    }
    /// Tasks and facts of a job.
    JobExtendedInfo {
        /// The tasks.
        tasks_list: Vec<JobTask>,
        /// Facts by name; a value may be null.
        property_bag: BTreeMap<String, Option<String>>,
        /// More of them.
        internal_property_bag: BTreeMap<String, Option<String>>,
        /// 100.0 is reached before the end.
        progress_percentage: f64,
        /// As guessed by the service.
        estimated_remaining_duration: ArmDuration,
        /// What went wrong, in one text.
        dynamic_error_message: String,
    }
    /// One task of a job.
    JobTask {
        /// `Take Snapshot`, `Transfer data to vault`, ...
        task_id: String,
        /// Before year 2 when not begun.
        start_time: ArmTime,
        /// Absent while it runs.
        end_time: ArmTime,
        /// So far.
        duration: ArmDuration,
        /// `NotStarted` and the job's words.
        status: Word,
        /// 0 to 100.
        progress_percentage: f64,
        /// In words.
        task_execution_details: String,
    }
}

impl JobProperties {
    /// True when it ended, well or not. A word nobody knows is no end.
    pub fn is_over(&self) -> bool {
        self.status.as_ref().is_some_and(job_is_over)
    }

    /// How far it is as the service tells it, 0.0 to 100.0. Never a sign of the end: 100.0 comes before it, and 1.0 is told
    /// for most of the time (backup.md §11.2).
    pub fn percent(&self) -> Option<f64> {
        self.extended_info.as_ref()?.progress_percentage.filter(|percent| percent.is_finite()).map(|percent| percent.clamp(0.0, 100.0))
    }

    /// Name and status of each task that has both. Empty in lists, which do not tell.
    pub fn tasks(&self) -> impl Iterator<Item = (&str, &Word)> {
        let tasks = self.extended_info.iter().flat_map(|info| info.tasks_list.iter().flatten());
        tasks.filter_map(|task| Some((task.task_id.as_deref()?, task.status.as_ref()?)))
    }

    /// A fact of the property bag by its name, whatever the case and the blanks around it: one of the names on the wire ends
    /// in a blank (backup.md §11.1). `None` when it is missing, null or empty.
    pub fn fact(&self, name: &str) -> Option<&str> {
        let bag = self.extended_info.as_ref()?.property_bag.as_ref()?;
        let named = bag.iter().filter(|(key, _)| key.trim().eq_ignore_ascii_case(name.trim()));
        named.filter_map(|(_, value)| value.as_deref().map(str::trim)).find(|value| !value.is_empty())
    }

    /// The same of a fact that is a time: American or ISO 8601, UTC.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        let text = self.fact(name)?;
        parse_us_time(text).or_else(|| parse_time(text))
    }

    /// What a backup moved, in bytes: `11390 MB` on the wire. That a megabyte is 1,048,576 bytes is taken from how Azure
    /// counts disks; nothing recorded says so. 0 for a backup that moved nothing.
    pub fn backup_size_bytes(&self) -> Option<u64> {
        let (number, unit) = self.fact("Backup Size")?.split_once(' ')?;
        let shift = ["KB", "MB", "GB", "TB"].iter().position(|u| u.eq_ignore_ascii_case(unit.trim()))? + 1;
        number.parse::<u64>().ok()?.checked_mul(1 << (10 * shift))
    }

    /// Until when the point lives that a backup made.
    pub fn expiry(&self) -> Option<Timestamp> {
        self.time("Recovery Point Expiry Time in UTC")
    }

    /// The point that a restore is of, by its time.
    pub fn point_time(&self) -> Option<Timestamp> {
        self.time("Recovery point time")
    }

    /// Where a restore wrote what it made; every field is `None` until it is told.
    pub fn restored(&self) -> Restored<'_> {
        let job_type = self.fact("Job Type");
        // restored disks have no machine, and the service then calls it by this word
        let has_machine = |name: &&str| *name != "vmName" || job_type != Some("Recover disks");
        Restored {
            job_type,
            config_blob_name: self.fact("Config Blob Name"),
            config_blob_container: self.fact("Config Blob Container Name"),
            config_blob_uri: self.fact("Config Blob Uri"),
            template_blob_uri: self.fact("Template Blob Uri"),
            target_machine: self.fact("Target VM Name").filter(has_machine),
            target_group: self.fact("Target resource group"),
            target_account: self.fact("Target Storage Account Name"),
            target_network: self.fact("Target VNet Name"),
            target_subscription: self.fact("Target Subscription ID"),
            disks: self.fact("Restored disk(s)").map(|names| names.split(';').map(str::trim).filter(|n| !n.is_empty()).collect()),
        }
    }
}

/// What the property bag of a restore's job tells of its target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored<'a> {
    /// `Recover disks`, `Recover VM to an alternate location`, `Replace disks`.
    pub job_type: Option<&'a str>,
    /// The description of the machine, in the staging account.
    pub config_blob_name: Option<&'a str>,
    /// Its container.
    pub config_blob_container: Option<&'a str>,
    /// Its URL, without a signature.
    pub config_blob_uri: Option<&'a str>,
    /// A template that deploys a machine from the restored disks; its URL, without a signature.
    pub template_blob_uri: Option<&'a str>,
    /// The new machine's name.
    pub target_machine: Option<&'a str>,
    /// The group's name, without its subscription.
    pub target_group: Option<&'a str>,
    /// The staging account's name.
    pub target_account: Option<&'a str>,
    /// In words: `Group {group} {network}`.
    pub target_network: Option<&'a str>,
    /// Where it is not the vault's own.
    pub target_subscription: Option<&'a str>,
    /// The disks of the machine that were restored, by name; told when not all were.
    pub disks: Option<Vec<&'a str>>,
}

/// True when a job's `status` says that it ended, well or not. A word nobody knows is no end.
pub fn job_is_over(status: &Word) -> bool {
    status.is_any(&["Completed", "CompletedWithWarnings", "Failed", "Cancelled"])
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
