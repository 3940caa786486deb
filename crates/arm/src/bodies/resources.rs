//! ARM's own lists: subscriptions, resource groups, and the resources of a scope.

use std::collections::BTreeMap;

use super::{Resource, Sku};
use crate::{
    id::{IdText, ResourceId},
    time::ArmTime,
    word::Word,
};

/// A resource group.
pub type ResourceGroup = Resource<ResourceGroupProperties>;

body! {
    /// One line of `/subscriptions/{s}/resources` (1,000 a page; compute-and-arm.md C.6, F.4).
    ResourceListItem {
        /// Its id. The group may be in upper case.
        id: IdText,
        /// Its name.
        name: String,
        /// Its type.
        #[serde(rename = "type")]
        resource_type: String,
        /// Its region.
        location: String,
        /// Its tags.
        tags: BTreeMap<String, String>,
        /// Its zones.
        zones: Vec<String>,
        /// Its tier.
        sku: Sku,
        /// Who made it.
        managed_by: String,
        /// Only with `$expand=createdTime`.
        created_time: ArmTime,
        /// Only with `$expand=changedTime`.
        changed_time: ArmTime,
        /// Only with `$expand=provisioningState`.
        provisioning_state: Word,
    }
    /// What a resource group adds.
    ResourceGroupProperties {
        /// `Succeeded`, `Deleting`.
        provisioning_state: Word,
    }
    /// A subscription.
    Subscription {
        /// Its id.
        id: IdText,
        /// Its guid.
        subscription_id: String,
        /// Its name.
        display_name: String,
        /// `Enabled`, `Disabled`, `Warned`, ...
        state: Word,
        /// Its tenant.
        tenant_id: String,
    }
}

impl ResourceListItem {
    /// Its id, parsed.
    pub fn resource_id(&self) -> Option<ResourceId> {
        self.id.as_ref()?.id()
    }
}
