//! Jobs of a vault, as far as they prove that something happened.

use breakwater_arm::bodies::Job;
use jiff::Timestamp;
use serde_json::Value;

use crate::sighting::Listing;

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
    /// The first error, in Azure's words.
    pub error: Option<String>,
}

impl SeenJob {
    /// Reads a job of a list; `None` for what is no job.
    pub fn read(body: &Value) -> Option<SeenJob> {
        let job = Job::parse(body).ok()?;
        let p = &job.properties;
        let word = |w: &Option<breakwater_arm::Word>| w.as_ref().map(ToString::to_string).unwrap_or_default();
        let error = p.error_details.iter().flatten().next().map(|e| {
            let code = e.error_code.map(|c| c.to_string()).unwrap_or_default();
            format!("{code} {}", e.error_string.as_deref().or(e.error_title.as_deref()).unwrap_or_default()).trim().to_owned()
        });
        Some(SeenJob {
            name: job.name.clone()?,
            operation: word(&p.operation),
            container: p.container_name.clone().unwrap_or_default(),
            activity: p.activity_id.clone().unwrap_or_default(),
            start: p.start_time.as_ref().and_then(breakwater_arm::ArmTime::instant),
            end: p.end_time.as_ref().and_then(breakwater_arm::ArmTime::instant),
            status: word(&p.status),
            over: p.is_over(),
            error,
        })
    }

    /// All jobs of a list.
    pub fn all(listing: &Listing) -> Vec<SeenJob> {
        listing.items.values().filter_map(|body| SeenJob::read(body)).collect()
    }
}
