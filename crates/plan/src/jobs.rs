//! Jobs of a vault, as far as they prove that something happened.

use breakwater_arm::{ArmTime, Word, bodies::job_is_over, redacted};
use jiff::Timestamp;
use serde_json::Value;

use crate::sighting::Listing;

/// What is kept of an error at most.
const ERROR_BYTES: usize = 2_000;

/// What is kept of a name at most: a GUID has 36. A longer one would be in a status that the API server does not take.
const NAME_CHARS: usize = 64;

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenJob {
    /// Its name: a GUID.
    pub name: String,
    /// `Backup`, `ConfigureBackup`, ...
    pub operation: String,
    /// The container's name without its prefix.
    pub container: String,
    /// The request id of whoever started it (backup.md §11.1).
    pub activity: String,
    /// When it began; `None` when Azure does not say.
    pub start: Option<Timestamp>,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// `Completed`, `Failed`, ...
    pub status: String,
    /// Whether it ended, well or not.
    pub over: bool,
    /// The first error, in Azure's words without what is secret in them.
    pub error: Option<String>,
}

impl SeenJob {
    /// Reads a job of a list, field by field: a job with a field of another type than we know is still a job, and one that
    /// were passed over would look as if nothing had happened.
    pub fn read(name: &str, body: &Value) -> SeenJob {
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = |pointer: &str| serde_json::from_value::<ArmTime>(body.pointer(pointer)?.clone()).ok()?.instant();
        let error = body.pointer("/properties/errorDetails/0").map(|e| {
            let word = |field: &str| match e.get(field) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(n)) => n.to_string(),
                _ => String::new(),
            };
            let sentence = Some(word("errorString")).filter(|s| !s.is_empty()).unwrap_or_else(|| word("errorTitle"));
            redacted(format!("{} {sentence}", word("errorCode")).trim(), ERROR_BYTES)
        });
        let status = text("/properties/status");
        SeenJob {
            name: Some(text("/name")).filter(|n| !n.is_empty()).unwrap_or_else(|| name.to_owned()).chars().take(NAME_CHARS).collect(),
            operation: text("/properties/operation"),
            container: text("/properties/containerName"),
            activity: text("/properties/activityId"),
            start: time("/properties/startTime"),
            end: time("/properties/endTime"),
            over: job_is_over(&Word::from(status.as_str())),
            status,
            error,
        }
    }

    /// Whether it did what it was to do, without reservations.
    pub fn succeeded(&self) -> bool {
        self.status.eq_ignore_ascii_case("Completed")
    }

    /// The jobs of a list on that container, and those that do not say on which machine's.
    pub fn of(listing: &Listing, container: &str) -> Vec<SeenJob> {
        listing.items.of_container(container).map(|(id, body)| SeenJob::read(id.name(), &body.open())).collect()
    }

    /// The job of a list that has that name.
    pub fn named(listing: &Listing, name: &str) -> Option<SeenJob> {
        let (id, body) = listing.items.iter().find(|(id, _)| id.name().eq_ignore_ascii_case(name))?;
        Some(SeenJob::read(id.name(), &body.open()))
    }

    /// All jobs of a list.
    pub fn all(listing: &Listing) -> Vec<SeenJob> {
        listing.items.iter().map(|(id, body)| SeenJob::read(id.name(), &body.open())).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_with_a_field_of_another_type_is_still_a_job() {
        let body = json!({ "name": "j", "properties": { "operation": "Backup", "status": "InProgress", "containerName": "c;a", "activityId": "x",
            "startTime": "2026-11-24T08:00:00.1234567Z", "duration": 7, "errorDetails": [{ "errorCode": "320001", "errorTitle": "late" }],
            "extendedInfo": "none", "actionsInfo": { "a": 1 } } });
        let job = SeenJob::read("other", &body);
        assert_eq!((job.name.as_str(), job.operation.as_str(), job.container.as_str(), job.activity.as_str()), ("j", "Backup", "c;a", "x"));
        assert_eq!((job.over, job.start.is_some(), job.error.as_deref()), (false, true, Some("320001 late")));
        assert_eq!(SeenJob::read("named-by-id", &json!({})).name, "named-by-id");
    }

    #[test]
    fn a_machines_jobs_are_found_among_those_of_a_vault_and_one_that_says_nothing_with_every_machines() {
        let vault = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v";
        let job = |name: &str, container: Value| {
            let id = format!("{vault}/backupJobs/{name}").parse().unwrap();
            (id, crate::sighting::Packed::of(&json!({ "name": name, "properties": { "containerName": container } })))
        };
        let one = job("a", json!("iaasvmcontainerv2;RG;One"));
        let jobs = [one, job("b", json!("iaasvmcontainerv2;rg;two")), job("c", json!(7)), job("d", json!("one"))];
        let listing = Listing { at: Timestamp::UNIX_EPOCH, items: std::sync::Arc::new(jobs.into_iter().collect()) };
        let names = |container| SeenJob::of(&listing, container).into_iter().map(|job| job.name).collect::<Vec<_>>();
        assert_eq!(names("iaasvmcontainerv2;rg;one"), ["a", "c", "d"]);
        assert_eq!(names("iaasvmcontainerv2;rg;three"), ["c", "d"]);
        assert_eq!(SeenJob::named(&listing, "B").map(|job| job.name).as_deref(), Some("b"));
        assert!(SeenJob::named(&listing, "e").is_none());
    }
}
