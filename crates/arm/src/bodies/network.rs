//! Virtual networks and subnets, and what a region admits of compute.

use super::Resource;
use crate::{id::IdText, word::Word};

/// A virtual network.
pub type VirtualNetwork = Resource<VirtualNetworkProperties>;
/// A subnet.
pub type Subnet = Resource<SubnetProperties>;

body! {
    /// What a virtual network adds.
    VirtualNetworkProperties {
        /// `Succeeded`, `Updating`, ...
        provisioning_state: Word,
        /// Its subnets.
        subnets: Vec<Subnet>,
    }
    /// What a subnet adds.
    SubnetProperties {
        /// `Succeeded`, `Updating`, ...
        provisioning_state: Word,
        /// `10.0.0.0/24`; absent where there are several.
        address_prefix: String,
        /// Where there are several.
        address_prefixes: Vec<String>,
    }
    /// One line of `{sub}/providers/Microsoft.Compute/locations/{region}/usages`.
    ComputeUsage {
        /// What is counted.
        name: UsageName,
        /// How much of it is in use.
        current_value: i64,
        /// How much of it may be; -1 for as much as is wanted.
        limit: i64,
    }
    /// What is counted.
    UsageName {
        /// `cores`, `standardDSv5Family`, ...
        value: Word,
        /// In words.
        localized_value: String,
    }
}

impl VirtualNetwork {
    /// Its subnet of that id, however it is spelt.
    pub fn subnet(&self, id: &crate::ResourceId) -> Option<&Subnet> {
        let is_it = |subnet: &&Subnet| subnet.id.as_ref().and_then(IdText::id).as_ref() == Some(id);
        self.properties.subnets.iter().flatten().find(is_it)
    }
}

impl ComputeUsage {
    /// How much of it is left, never below zero. `None` when use or limit are not told, or there is no limit.
    pub fn left(&self) -> Option<i64> {
        let limit = self.limit.filter(|limit| *limit >= 0)?;
        Some(limit.saturating_sub(self.current_value?).max(0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::Page, *};

    const SUBNET: &str =
        "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/A/providers/Microsoft.Network/virtualNetworks/v/subnets/s";

    #[test]
    fn a_network_knows_its_subnets() {
        let network = VirtualNetwork::parse(&json!({
            "location": "westus2",
            "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [
                {"name": "s", "id": SUBNET, "properties": {"provisioningState": "Updating", "addressPrefix": "10.0.0.0/24", "delegations": []}}
            ]}
        }))
        .unwrap();
        let subnet = network.subnet(&SUBNET.to_lowercase().parse().unwrap()).unwrap();
        assert_eq!(subnet.properties.address_prefix.as_deref(), Some("10.0.0.0/24"));
        assert_eq!(network.subnet(&format!("{SUBNET}2").parse().unwrap()), None);
        assert_eq!(VirtualNetwork::parse(&json!({"properties": {"subnets": null}})).unwrap().subnet(&SUBNET.parse().unwrap()), None);
    }

    #[test]
    fn usages_say_what_is_left() {
        // compute_usages_list__200.json
        let page = Page::<ComputeUsage>::parse(&json!({"value": [
            {"limit": 100, "unit": "Count", "currentValue": 5, "name": {"value": "cores", "localizedValue": "Total Regional vCPUs"}},
            {"limit": 3, "currentValue": 5}, {"limit": -1, "currentValue": 5}, {"limit": 4}
        ]}))
        .unwrap();
        let left: Vec<Value> = page.value.iter().map(|usage| json!(usage.left())).collect();
        assert_eq!(json!(left), json!([95, 0, null, null]));
        assert_eq!(page.value[0].name.as_ref().unwrap().value, Some("Cores".into()));
    }
}
