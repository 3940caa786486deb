//! Error answers in ARM's words (compute-and-arm.md E.4). Those that the front end makes itself, not a resource
//! provider, carry `x-ms-failure-cause: gateway`.

use serde_json::json;

use crate::wire::{Caller, Reply};

/// An error made by the ARM front end.
pub fn gateway(status: u16, code: &str, message: impl Into<String>) -> Reply {
    Reply::error(status, code, message).with_header("x-ms-failure-cause", "gateway")
}

/// An error of a provider with a `target`.
pub fn targeted(status: u16, code: &str, message: impl Into<String>, target: &str) -> Reply {
    Reply::json(status, json!({"error": {"code": code, "message": message.into(), "target": target}}))
}

/// 404: the resource is unknown to ARM's cache (compute-and-arm.md A.3).
pub fn resource_not_found(type_name: &str, name: &str, group: &str) -> Reply {
    let message = format!(
        "The Resource '{type_name}/{name}' under resource group '{group}' was not found. \
         For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    );
    gateway(404, "ResourceNotFound", message)
}

/// 404 of a group.
pub fn group_not_found(group: &str) -> Reply {
    gateway(404, "ResourceGroupNotFound", format!("Resource group '{group}' could not be found."))
}

/// 409 of a write into a group that is being deleted (well-known words; not among the recordings).
pub fn group_being_deleted(group: &str) -> Reply {
    let message = format!("The resource group '{group}' is in deprovisioning state and cannot perform this operation.");
    gateway(409, "ResourceGroupBeingDeleted", message)
}

/// 404 of a subscription, also when the caller may see nothing in it.
pub fn subscription_not_found(subscription: &str) -> Reply {
    gateway(404, "SubscriptionNotFound", format!("The subscription '{subscription}' could not be found."))
}

/// 403 by action and scope.
pub fn authorization_failed(caller: &Caller, action: &str, scope: &str) -> Reply {
    let message = format!(
        "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope '{scope}' or the scope \
         is invalid. If access was recently granted, please refresh your credentials.",
        caller.client_id, caller.object_id
    );
    gateway(403, "AuthorizationFailed", message)
}

/// 403 on an id inside a body.
pub fn linked_authorization_failed(caller: &Caller, (action, scope): (&str, &str), (linked, linked_scope): (&str, &str)) -> Reply {
    let message = format!(
        "The client '{}' with object id '{}' has permission to perform action '{action}' on scope '{scope}'; however, it does not have \
         permission to perform action(s) '{linked}' on the linked scope(s) '{linked_scope}' (respectively) or the linked scope(s) are invalid.",
        caller.client_id, caller.object_id
    );
    gateway(403, "LinkedAuthorizationFailed", message)
}

/// 409 under a lock; `act` is `delete` or `write`.
pub fn scope_locked(scope: &str, act: &str, locked: &[String]) -> Reply {
    let message = format!(
        "The scope '{scope}' cannot perform {act} operation because following scope(s) are locked: '{}'. \
         Please remove the lock and try again.",
        locked.join(",")
    );
    gateway(409, "ScopeLocked", message)
}

/// 409 of a namespace that the subscription has not registered.
pub fn missing_registration(namespace: &str) -> Reply {
    let message = format!(
        "The subscription is not registered to use namespace '{namespace}'. \
         See https://aka.ms/rps-not-found for how to register subscriptions."
    );
    let code = "MissingSubscriptionRegistration";
    let body = json!({"error": {"code": code, "message": message, "details": [{"code": code, "target": namespace, "message": message}]}});
    Reply::json(409, body).with_header("x-ms-failure-cause", "gateway")
}

/// 404 of a parent; `act` is `write` or `delete`.
pub fn parent_not_found(act: &str, type_path: &str, parent: &str) -> Reply {
    let message = format!(
        "Failed to perform '{act}' on resource(s) of type '{type_path}', because the parent resource '{parent}' could not be found."
    );
    gateway(404, "ParentResourceNotFound", message)
}

/// 501: not modelled. Never an invented answer.
pub fn not_implemented(method: &str, path: &str) -> Reply {
    Reply::error(501, "SimulatorNotImplemented", format!("azure-sim does not model {method} {path}"))
}

/// 405 of a method that the resource does not have.
pub fn method_not_allowed(method: &str) -> Reply {
    gateway(405, "MethodNotAllowed", format!("The requested resource does not support http method '{method}'."))
}

/// 400 of a value.
pub fn invalid_parameter(name: &str, message: impl Into<String>) -> Reply {
    targeted(400, "InvalidParameter", message, name)
}

/// 400 of a body that cannot be read.
pub fn invalid_content(message: impl Into<String>) -> Reply {
    gateway(400, "InvalidRequestContent", message)
}
