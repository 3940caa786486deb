//! A backup job (backup.md §11). Lists lack `extendedInfo`.

use std::collections::BTreeMap;

use super::Resource;
use crate::{
    time::{ArmDuration, ArmTime},
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
}

/// True when a job's `status` says that it ended, well or not. A word nobody knows is no end.
pub fn job_is_over(status: &Word) -> bool {
    status.is_any(&["Completed", "CompletedWithWarnings", "Failed", "Cancelled"])
}
