//! What ARM's front end checks before a provider is asked: version, body, subscription, rights, registration, group,
//! locks, policies.

use crate::{
    arm::{Owner, errors, locks, policies},
    identity::actions,
    path::Target,
    wire::{Inbound, Reply},
    world::World,
};

/// What ARM's front end refuses before a provider is asked.
pub fn refusal(world: &World, req: &Inbound, target: &Target, owner: Owner, readable: bool) -> Option<Reply> {
    if let Some(refusal) = bad_version(req) {
        return Some(refusal);
    }
    // A tag name is all in its path.
    let has_body = matches!(req.method.as_str(), "PUT" | "PATCH") && owner != Owner::TagNames;
    if !readable || (has_body && !req.body.is_object()) {
        return Some(errors::invalid_content("The request content was invalid and could not be deserialized."));
    }
    if let Some(id) = &target.subscription {
        let Some(subscription) = world.subscription(id) else { return Some(errors::subscription_not_found(id)) };
        if let Some(refusal) = actions::refusal(world, req, target, owner) {
            return Some(refusal);
        }
        let writes = !matches!(req.method.as_str(), "GET" | "HEAD");
        if let Some(namespace) = target
            .namespace
            .as_ref()
            .filter(|_| writes && matches!(owner, Owner::Compute | Owner::Network | Owner::Recovery | Owner::Guards | Owner::Storage))
            && !subscription.registered.contains(&namespace.to_ascii_lowercase())
        {
            return Some(errors::missing_registration(namespace));
        }
        if let Some(refusal) = target.group.as_ref().and_then(|group| group_refusal(world, req, (id, group), owner)) {
            return Some(refusal);
        }
    }
    locks::refusal(world, req, target).or_else(|| policies::refusal(world, req, target))
}

/// The group must be there, but for a request about itself, and nothing is put into one that is on its way out.
fn group_refusal(world: &World, req: &Inbound, (subscription, name): (&str, &str), owner: Owner) -> Option<Reply> {
    match world.group(subscription, name) {
        None if owner != Owner::Groups => Some(errors::group_not_found(name)),
        Some(group) if group.deleting.is_some() && req.method == "PUT" => Some(errors::group_being_deleted(&group.name)),
        _ => None,
    }
}

/// Any well-formed version is accepted, with the words that ARM uses for the rest.
fn bad_version(req: &Inbound) -> Option<Reply> {
    let version = req.api_version();
    if version.is_empty() {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Some(errors::gateway(400, "MissingApiVersionParameter", message));
    }
    let (date, suffix) = version.split_at_checked(10).unwrap_or((version, ""));
    let well_formed = date.parse::<jiff::civil::Date>().is_ok() && (suffix.is_empty() || suffix.starts_with('-') && suffix.len() > 1);
    (!well_formed).then(|| errors::gateway(400, "InvalidApiVersionParameter", format!("The api-version '{version}' is invalid.")))
}
