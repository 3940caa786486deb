//! The front end of Resource Manager: what every request meets, and the types it keeps itself.

pub mod access;
pub mod deployments;
pub mod errors;
pub mod filter;
pub mod gate;
pub mod groups;
pub mod locks;
pub mod moves;
pub mod operations;
pub mod paging;
pub mod policies;
pub mod resources;
pub mod subscriptions;
pub mod tag_names;
pub mod tags;
pub mod template;

use crate::{
    model::Model,
    path::Target,
    wire::{Inbound, Reply},
};

/// Which part of the simulator answers a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Subscriptions, their regions and providers.
    Subscriptions,
    /// Resource groups.
    Groups,
    /// `moveResources` and `validateMoveResources` of a group.
    Moves,
    /// `…/resources` of a subscription or a group.
    Resources,
    /// `/subscriptions/{s}/operationresults/{id}`
    GroupOperations,
    /// `…/providers/Microsoft.Resources/deployments` of a group
    Deployments,
    /// `/subscriptions/{s}/tagNames…`
    TagNames,
    /// `…/providers/Microsoft.Resources/tags/default`
    Tags,
    /// `…/providers/Microsoft.Authorization/locks`
    Locks,
    /// `…/providers/Microsoft.Authorization/role…`
    Access,
    /// Microsoft.Compute
    Compute,
    /// Microsoft.Network
    Network,
    /// Microsoft.RecoveryServices
    Recovery,
    /// Microsoft.DataProtection
    Guards,
    /// Microsoft.Storage
    Storage,
}

/// Who answers, or nobody: then the answer is 501.
pub fn owner(target: &Target, path: &[String]) -> Option<Owner> {
    let segment = |at: usize| path.get(at).map(|s| s.to_ascii_lowercase()).unwrap_or_default();
    let Some(namespace) = &target.namespace else {
        let words: Vec<String> = (0..path.len()).map(segment).collect();
        return match (words.first().map_or("", String::as_str), words.len(), words.get(2).map_or("", String::as_str)) {
            ("subscriptions", 1 | 2, _) | ("subscriptions", 3, "locations" | "providers") => Some(Owner::Subscriptions),
            ("subscriptions", 3 | 4, "resourcegroups") => Some(Owner::Groups),
            ("subscriptions", 3, "resources") => Some(Owner::Resources),
            ("subscriptions", 5, "resourcegroups") if words[4] == "resources" => Some(Owner::Resources),
            ("subscriptions", 5, "resourcegroups") if matches!(words[4].as_str(), "moveresources" | "validatemoveresources") => {
                Some(Owner::Moves)
            }
            ("subscriptions", 4, "operationresults") => Some(Owner::GroupOperations),
            ("subscriptions", 3 | 4, "tagnames") => Some(Owner::TagNames),
            ("subscriptions", 6, "tagnames") if words[4] == "tagvalues" => Some(Owner::TagNames),
            _ => None,
        };
    };
    let kind = target.type_path();
    match namespace.to_ascii_lowercase().as_str() {
        _ if target.types.is_empty() && target.scope.len() == 2 => Some(Owner::Subscriptions),
        "microsoft.resources" if kind == "tags" => Some(Owner::Tags),
        "microsoft.resources" if deployments::knows(&kind) && target.scope.len() == 4 => Some(Owner::Deployments),
        "microsoft.authorization" if kind == "locks" => Some(Owner::Locks),
        "microsoft.authorization" if matches!(kind.as_str(), "roleassignments" | "roledefinitions") => Some(Owner::Access),
        "microsoft.compute" if crate::compute::knows(&kind) => Some(Owner::Compute),
        "microsoft.network" if crate::network::knows(&kind) => Some(Owner::Network),
        "microsoft.dataprotection" if crate::guards::knows(&kind) => Some(Owner::Guards),
        "microsoft.storage" if crate::storage::knows(&kind) => Some(Owner::Storage),
        "microsoft.recoveryservices" if target.scope.len() >= 2 => Some(Owner::Recovery),
        _ => None,
    }
}

/// Hands a request, already authorised, to its owner.
pub fn dispatch(model: &mut Model, req: &Inbound, target: &Target, owner: Owner) -> Reply {
    match owner {
        Owner::Subscriptions => subscriptions::handle(&mut model.world, req, target),
        Owner::Groups => groups::handle(&mut model.world, req, target),
        Owner::Moves => moves::handle(&mut model.world, req, target),
        Owner::Resources => resources::list(model, req, target),
        Owner::GroupOperations => model.world.poll_group(req),
        Owner::Deployments => deployments::handle(model, req, target),
        Owner::TagNames => tag_names::handle(&mut model.world, req),
        Owner::Tags => tags::handle(model, req, target),
        Owner::Locks => locks::handle(model, req, target),
        Owner::Access => access::handle(model, req, target),
        Owner::Compute => crate::compute::handle(&mut model.world, req, target),
        Owner::Network => crate::network::handle(&mut model.world, req, target),
        Owner::Recovery => model.recovery_services(req, target),
        Owner::Guards => crate::guards::handle(&mut model.world, req, target),
        Owner::Storage => crate::storage::handle(&mut model.world, req, target),
    }
}
