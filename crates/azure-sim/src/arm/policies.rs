//! Azure Policy assignments with the effect `deny` (compute-and-arm.md H, I.10).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    arm::locks::covers,
    path::Target,
    wire::{Inbound, Reply},
    world::World,
};

/// An assignment that denies.
#[derive(Clone, Debug)]
pub struct PolicyAssignment {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub display_name: String,
    /// Where it holds: a subscription, a group, a resource, or `/`.
    pub scope: String,
    /// The resource type it is about, with its namespace.
    pub resource_type: String,
    /// Denied only without this tag; `None` denies always.
    pub without_tag: Option<String>,
}

/// The refusal of a write of a resource that an assignment denies.
pub fn refusal(world: &World, req: &Inbound, target: &Target) -> Option<Reply> {
    if !matches!(req.method.as_str(), "PUT" | "PATCH") || target.names.is_empty() {
        return None;
    }
    let (id, namespace) = (target.resource_id(), target.namespace.clone()?);
    let kind = format!("{namespace}/{}", target.type_path());
    let name = target.names.last()?;
    let denies = |p: &&PolicyAssignment| p.resource_type.eq_ignore_ascii_case(&kind) && covers(&p.scope, &id) && p.applies(world, req, &id);
    world.policy_assignments.iter().find(denies).map(|assignment| assignment.refuse(name))
}

/// Whether an assignment denies a resource of that type, with those tags, at that id: what a service makes for somebody.
pub fn denies_made(world: &World, id: &str, resource_type: &str, tags: &BTreeMap<String, String>) -> bool {
    let lacks = |wanted: &String| !tags.keys().any(|name| name.eq_ignore_ascii_case(wanted));
    let denies = |p: &PolicyAssignment| p.resource_type.eq_ignore_ascii_case(resource_type) && covers(&p.scope, id);
    world.policy_assignments.iter().any(|p| denies(p) && p.without_tag.as_ref().is_none_or(lacks))
}

impl PolicyAssignment {
    fn applies(&self, world: &World, req: &Inbound, id: &str) -> bool {
        let Some(tag) = &self.without_tag else { return true };
        let has = |name: &str| name.eq_ignore_ascii_case(tag);
        match req.body.get("tags").and_then(Value::as_object) {
            Some(sent) => !sent.keys().any(|name| has(name)),
            // A PATCH that sends no tags leaves them.
            None if req.method == "PATCH" => {
                !world.tags.get(&id.to_ascii_lowercase()).is_some_and(|tags: &BTreeMap<String, String>| tags.keys().any(|n| has(n)))
            }
            None => true,
        }
    }

    /// 403 with the assignment in `additionalInfo`, as documented.
    fn refuse(&self, target: &str) -> Reply {
        let scope = self.scope.trim_end_matches('/');
        let assignment = format!("{scope}/providers/Microsoft.Authorization/policyAssignments/{}", self.name);
        let definition = format!("{scope}/providers/Microsoft.Authorization/policyDefinitions/{}", self.name);
        let identifiers = json!([{
            "policyAssignment": {"name": self.display_name, "id": assignment},
            "policyDefinition": {"name": self.display_name, "id": definition},
        }]);
        let info = json!({
            "policyDefinitionId": definition, "policyDefinitionName": self.name, "policyDefinitionDisplayName": self.display_name,
            "policyDefinitionEffect": "deny", "policyAssignmentId": assignment, "policyAssignmentName": self.name,
            "policyAssignmentDisplayName": self.display_name, "policyAssignmentScope": self.scope, "policyAssignmentParameters": {},
        });
        let message = format!("Resource '{target}' was disallowed by policy. Policy identifiers: '{identifiers}'.");
        let additional = json!([{"type": "PolicyViolation", "info": info}]);
        let error = json!({"code": "RequestDisallowedByPolicy", "target": target, "message": message, "additionalInfo": additional});
        Reply::json(403, json!({"error": error})).with_header("x-ms-failure-cause", "gateway")
    }
}
