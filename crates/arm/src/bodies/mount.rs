//! File recovery: a point's disks mounted by a script (backup.md §15).

use serde_json::{Value, json};

use crate::{
    id::ResourceId,
    versions::{RECOVERY_SERVICES, RECOVERY_SERVICES_SCRIPTS},
    wire::{Method, Request},
};

/// The body of `POST {point}/provisionInstantItemRecovery`. `renew` where the point has `isInstantIlrSessionActive`;
/// `initiator` is shown to people in Azure.
pub fn provision_body(point: &ResourceId, vm: &ResourceId, initiator: Option<&str>, renew: bool) -> Value {
    let mut properties = json!({
        "objectType": "IaasVMILRRegistrationRequest",
        "recoveryPointId": point.name(),
        "virtualMachineId": vm,
        "renewExistingRegistration": renew,
    });
    if let Some(initiator) = initiator {
        properties["initiatorName"] = json!(initiator);
    }
    json!({"properties": properties})
}

/// Mounts a point's disks: 202, and an operation whose end carries the scripts. Always to be revoked.
pub fn provision_request(point: &ResourceId, vm: &ResourceId, initiator: Option<&str>, renew: bool) -> Request {
    Request::new(Method::Post, format!("{point}/provisionInstantItemRecovery"), RECOVERY_SERVICES)
        .with_body(provision_body(point, vm, initiator, renew))
}

/// Gives back what was mounted: 202, and an operation that ends without a job.
pub fn revoke_request(point: &ResourceId) -> Request {
    Request::new(Method::Post, format!("{point}/revokeInstantItemRecovery"), RECOVERY_SERVICES)
}

/// Asks for the scripts of a mount by the operation that made it.
pub fn scripts_request(point: &ResourceId, provision_operation: &str) -> Request {
    Request::new(Method::Post, format!("{point}/listInstantItemRecoveryOperationResult"), RECOVERY_SERVICES_SCRIPTS)
        .with_body(json!({"provisionInstantItemRecoveryOperationId": provision_operation}))
}
