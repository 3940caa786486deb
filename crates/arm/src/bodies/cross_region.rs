//! Restores in the other region (backup.md §14). `location` is `{sub}/providers/Microsoft.RecoveryServices/locations/{region}`.

use serde_json::{Value, json};

use super::RestoreBody;
use crate::{
    id::ResourceId,
    versions::RECOVERY_SERVICES_CROSS_REGION,
    wire::{Method, Request},
};

body! {
    /// The service's principal in a region: who an access token is for.
    AadProperties {
        /// Its tenant.
        tenant_id: String,
        /// Its audience.
        audience: String,
        /// Itself.
        service_principal_object_id: String,
    }
}

impl AadProperties {
    /// Reads an answer of `backupAadProperties`: `{"properties": {...}}`. `None` unless all three are told.
    pub fn parse(body: &Value) -> Option<Self> {
        let told: AadProperties = serde_json::from_value(body.get("properties")?.clone()).ok()?;
        let whole = told.tenant_id.is_some() && told.audience.is_some() && told.service_principal_object_id.is_some();
        whole.then_some(told)
    }
}

/// Asks for the service's principal in a region.
pub fn aad_properties_request(location: &ResourceId) -> Request {
    Request::new(Method::Get, format!("{location}/backupAadProperties"), RECOVERY_SERVICES_CROSS_REGION)
}

/// The body of `POST {point}/accessToken`.
pub fn access_token_body(aad: &AadProperties) -> Value {
    json!({"properties": aad})
}

/// Asks for what a restore in the other region is allowed with: the access details, `properties` of the answer.
pub fn access_token_request(point: &ResourceId, aad: &AadProperties) -> Request {
    post(format!("{point}/accessToken"), access_token_body(aad))
}

/// The body of `POST {location}/backupCrossRegionRestore`: without a `properties` wrapper. `access_details` are the whole
/// `properties` of an access token's answer, unknown fields included: whoever has them may restore the point.
pub fn cross_region_body(access_details: Value, restore: &RestoreBody) -> Value {
    json!({"crossRegionRestoreAccessDetails": access_details, "restoreRequest": restore})
}

/// Restores in the other region: 202, then a status (`Family::CrossRegion`) that names the job.
pub fn cross_region_request(location: &ResourceId, access_details: Value, restore: &RestoreBody) -> Request {
    post(format!("{location}/backupCrossRegionRestore"), cross_region_body(access_details, restore))
}

/// The body of `POST {location}/backupCrrJob`.
pub fn crr_job_body(vault: &ResourceId, job: &str) -> Value {
    json!({"resourceId": vault, "jobName": job})
}

/// Asks for a job in the other region. The answer is a [`super::Job`].
pub fn crr_job_request(location: &ResourceId, vault: &ResourceId, job: &str) -> Request {
    post(format!("{location}/backupCrrJob"), crr_job_body(vault, job))
}

/// Asks for the jobs of a vault in the other region: the first page.
pub fn crr_jobs_request(location: &ResourceId, vault: &ResourceId) -> Request {
    post(format!("{location}/backupCrrJobs"), json!({"resourceId": vault}))
}

fn post(path: String, body: Value) -> Request {
    Request::new(Method::Post, path, RECOVERY_SERVICES_CROSS_REGION).with_body(body)
}
