//! What an estate may tune: limits, lags, durations. Every default is what Azure shows (compute-and-arm.md E, backup.md §4.4).

use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;

/// The `settings` of an estate file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// How requests are counted and refused.
    pub throttling: Throttling,
    /// How long operations take.
    pub durations: Durations,
    /// How many items a page of a list holds.
    pub pages: Pages,
    /// Handed as it stands to the Recovery Services model.
    pub recovery: Value,
    /// Lists answer as of this long ago (seconds of world time), as a standing fault.
    pub list_lag_seconds: u64,
    /// Seconds a token lives, wall time.
    pub token_lifetime_seconds: Option<u64>,
}

/// One token bucket.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketSize {
    /// Requests it holds when full.
    pub bucket: u32,
    /// Requests it gains per second of world time.
    pub per_second: f64,
}

/// Limits of ARM, Compute and Recovery Services.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Throttling {
    /// Whether anything is refused at all; headers are sent either way.
    pub enforce: Enforce,
    /// Per subscription and principal (compute-and-arm.md E.6).
    pub reads: BucketSize,
    /// Per subscription and principal.
    pub writes: BucketSize,
    /// Per subscription and principal.
    pub deletes: BucketSize,
    /// How many times larger the bucket of all principals of a subscription is.
    pub global_factor: u32,
    /// Multiplies every Compute policy bucket (compute-and-arm.md E.7).
    pub compute_scale: f64,
    /// Job reads an hour and subscription (backup.md §4.4: 150 in 2022, 449 in 2024, 249 in 2025/26).
    pub backup_job_reads_per_hour: u32,
    /// Other backup reads an hour and subscription, per action (backup.md §4.4: 299 in 2024, 1,099 in 2025/26).
    pub backup_reads_per_hour: u32,
    /// PUT and PATCH of vaults an hour and subscription.
    pub vault_writes_per_hour: u32,
    /// DELETE of vaults an hour and subscription.
    pub vault_deletes_per_hour: u32,
}

/// Whether limits refuse requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Enforce {
    /// 429 when a bucket is empty.
    #[default]
    Refuse,
    /// Counted and shown in headers, never refused.
    CountOnly,
}

impl Default for Throttling {
    fn default() -> Self {
        Throttling {
            enforce: Enforce::Refuse,
            reads: BucketSize { bucket: 250, per_second: 25.0 },
            writes: BucketSize { bucket: 200, per_second: 10.0 },
            deletes: BucketSize { bucket: 200, per_second: 10.0 },
            global_factor: 15,
            compute_scale: 1.0,
            backup_job_reads_per_hour: 449,
            backup_reads_per_hour: 1_099,
            vault_writes_per_hour: 299,
            vault_deletes_per_hour: 49,
        }
    }
}

/// How many items a page of a list holds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Pages {
    /// Machines and disks: 50 is the one size ever recorded, in 2015 (compute-and-arm.md C.6); today's is not known.
    pub compute: usize,
    /// `…/resources`: recorded (resources_list__200_page_of_1000_nextlink).
    pub resources: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Pages { compute: 50, resources: 1_000 }
    }
}

/// How long things take, in seconds of world time.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Durations {
    /// Multiplies all of the others.
    pub scale: f64,
    /// A disk PUT, PATCH or DELETE: 0.2 to 3 s recorded (compute-and-arm.md A.3).
    pub disk: f64,
    /// A VM created: 37 s recorded.
    pub vm_create: f64,
    /// A VM changed.
    pub vm_update: f64,
    /// A VM deleted.
    pub vm_delete: f64,
    /// start, deallocate, powerOff, restart: 51 s recorded for deallocate.
    pub vm_power: f64,
    /// Networks and subnets.
    pub network: f64,
    /// A resource group deleted.
    pub group_delete: f64,
    /// How long a deleted resource answers `NotFound` of its provider before ARM's own `ResourceNotFound`.
    pub two_step_404: f64,
}

impl Default for Durations {
    fn default() -> Self {
        Durations {
            scale: 1.0,
            disk: 1.5,
            vm_create: 37.0,
            vm_update: 12.0,
            vm_delete: 45.0,
            vm_power: 40.0,
            network: 3.0,
            group_delete: 60.0,
            two_step_404: 10.0,
        }
    }
}

impl Durations {
    /// A duration after scaling.
    pub fn scaled(&self, seconds: f64) -> SignedDuration {
        let span = Duration::try_from_secs_f64((seconds * self.scale).max(0.0)).unwrap_or(Duration::ZERO);
        SignedDuration::try_from(span).unwrap_or(SignedDuration::ZERO)
    }
}
