//! The `extendedInfo` of a restore's job (backup.md §11.1), as recorded.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::jobs::{JobStatus, TaskStatus};
use super::super::names::{group_of, leaf, us_text};
use super::super::settings::BackupTasks;
use super::request::Goal;
use super::{Reads, RestoreRun, Stage};

impl RestoreRun {
    /// Tasks, bags and progress at a moment.
    pub fn extended_info(&self, status: JobStatus, now: Timestamp) -> Value {
        let mut info =
            json!({"tasksList": self.tasks_list(), "propertyBag": self.bag(status, now), "internalPropertyBag": self.internal_bag()});
        match status {
            JobStatus::InProgress | JobStatus::Cancelling => {
                // A job that brought its data from the vault tells how far it is while it makes the machine.
                let tells = self.plan.reads == Reads::Vault && self.stage == Stage::Finish && self.tasks.len() > 1;
                info["progressPercentage"] = json!(if tells { 64.0 } else { 1.0 });
                info["dynamicErrorMessage"] = json!("");
                if tells {
                    info["estimatedRemainingDuration"] = json!("PT10M");
                }
            }
            JobStatus::Completed | JobStatus::CompletedWithWarnings => {
                info["progressPercentage"] = json!(100.0);
                info["estimatedRemainingDuration"] = json!("PT0S");
            }
            JobStatus::Failed | JobStatus::Cancelled => info["estimatedRemainingDuration"] = json!("PT0S"),
        }
        info
    }

    /// Neither times nor real durations: tasks of restores have none in any recording.
    fn tasks_list(&self) -> Vec<Value> {
        let shown = self.tasks.iter().enumerate().map(|(at, (name, status))| {
            let mut task = json!({"taskId": name, "duration": "PT0S", "status": status.name(), "taskType": "Normal"});
            if at == 0 && *status == TaskStatus::Completed && self.plan.reads == Reads::Vault {
                let size: i64 = self.plan.disks().iter().map(|disk| disk.size_gb).sum();
                task["taskExecutionDetails"] = json!(format!("{size} GBs / {size} GBs Transferred"));
            }
            task
        });
        shown.collect()
    }

    fn internal_bag(&self) -> Value {
        let kind = match self.plan.ask.goal {
            Goal::Disks { .. } => "RestoreDisks",
            Goal::Machine { .. } => "AlternateLocation",
            Goal::Replace => "OriginalLocation",
        };
        if self.plan.secondary.is_some() {
            json!({"AdHoc": "AdHoc", "restoreLocationType": kind})
        } else {
            json!({"restoreLocationType": kind})
        }
    }

    fn bag(&self, status: JobStatus, now: Timestamp) -> Map<String, Value> {
        let plan = &self.plan;
        let mut bag = Map::new();
        let mut put = |name: &str, value: Value| drop(bag.insert(name.to_owned(), value));
        let known = now >= self.point_known || !status.is_running();
        // The trailing blank is the service's.
        put("Recovery point time ", if known { json!(us_text(plan.taken.time)) } else { Value::Null });
        put("Target Storage Account Name", json!(leaf(&plan.ask.staging)));
        if let Some(group) = plan.group_name() {
            put("Target resource group", json!(group));
        }
        match &plan.ask.goal {
            Goal::Disks { .. } => {
                put("Job Type", json!("Recover disks"));
                if self.era == BackupTasks::Two {
                    put("Target VM Name", json!("vmName"));
                }
            }
            Goal::Machine { id, network, .. } => {
                put("Job Type", json!("Recover VM to an alternate location"));
                put("Original VM Name", json!(plan.friendly_name));
                put("Target VM Name", json!(leaf(id)));
                put("Target VNet Name", json!(format!("Group {} {}", group_of(network), leaf(network))));
            }
            Goal::Replace => {
                put("Job Type", json!("Replace disks"));
                put("Target VM Name", if status.is_running() { Value::Null } else { json!(plan.friendly_name) });
            }
        }
        self.add_subscriptions(&mut bag);
        if matches!(status, JobStatus::Completed | JobStatus::CompletedWithWarnings) {
            self.add_blobs(&mut bag);
        }
        bag
    }

    fn add_subscriptions(&self, bag: &mut Map<String, Value>) {
        let plan = &self.plan;
        let mut put = |name: &str, value: &str| drop(bag.insert(name.to_owned(), json!(value)));
        let (subscription, group, vault) = &plan.vault;
        if !plan.target_subscription().eq_ignore_ascii_case(subscription) {
            put("Target Subscription ID", plan.target_subscription());
        }
        if self.era == BackupTasks::Three && plan.secondary.is_none() {
            put("VM Subscription ID", plan.source_id.split('/').nth(2).unwrap_or_default());
        }
        if plan.secondary.is_some() {
            put("Subscription Id of the vault", subscription);
            put("Resource Group Name of the vault", group);
            put("Vault name", vault);
        }
    }

    /// What a finished restore of disks names besides.
    fn add_blobs(&self, bag: &mut Map<String, Value>) {
        let Goal::Disks { luns } = &self.plan.ask.goal else { return };
        let mut put = |name: &str, value: String| drop(bag.insert(name.to_owned(), json!(value)));
        let uri = |blob: &str| format!("https://{}.blob.core.windows.net/{}/{blob}", leaf(&self.plan.ask.staging), self.container);
        put("Config Blob Name", self.config_blob());
        put("Config Blob Container Name", self.container.clone());
        put("Config Blob Uri", uri(&self.config_blob()));
        put("Template Blob Uri", uri(&self.template_blob()));
        // Both are recorded of a restore of some disks, and of no other.
        if luns.is_some() {
            let names = |disks: Vec<&crate::wire::DiskView>| disks.iter().map(|disk| disk.name.as_str()).collect::<Vec<_>>().join("; ");
            put("Restored disk(s)", names(self.plan.disks()));
            put("Backed-up disk(s)", names(self.plan.taken.included.iter().collect()));
        }
    }
}
