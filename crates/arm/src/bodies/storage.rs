//! A storage account, as far as a restore stages in one (backup.md §13).

use super::Resource;
use crate::word::Word;

/// A storage account.
pub type StorageAccount = Resource<StorageAccountProperties>;

body! {
    /// What a storage account adds.
    StorageAccountProperties {
        /// `Creating`, `ResolvingDNS`, `Succeeded`.
        provisioning_state: Word,
        /// Who reaches it.
        network_acls: NetworkAcls,
        /// `Enabled`, `Disabled`, `SecuredByPerimeter`; null for accounts of old, which are enabled.
        public_network_access: Word,
    }
    /// Who reaches an account.
    NetworkAcls {
        /// `Allow` or `Deny`.
        default_action: Word,
        /// `None`, or any of `Logging`, `Metrics`, `AzureServices`, with commas between.
        bypass: Word,
    }
}

impl StorageAccount {
    /// True when its copies lie in several zones: `Standard_ZRS`, `Standard_GZRS`, `Standard_RAGZRS`, `Premium_ZRS`. A
    /// zone-redundant account cannot stage. `None` when its tier is not told.
    pub fn is_zone_redundant(&self) -> Option<bool> {
        let name = self.sku.as_ref()?.name.as_ref()?.to_ascii_uppercase();
        Some(name.ends_with("ZRS"))
    }
}

impl StorageAccountProperties {
    /// True when Azure's own services get in whatever the firewall says. `None` when that is not told.
    pub fn admits_azure_services(&self) -> Option<bool> {
        let acls = self.network_acls.as_ref()?;
        let open = acls.default_action.as_ref()?.is("Allow");
        let bypass = acls.bypass.as_ref()?.as_str().split(',').any(|word| word.trim().eq_ignore_ascii_case("AzureServices"));
        Some(open || bypass)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn account(sku: Value, acls: Value) -> StorageAccount {
        StorageAccount::parse(&json!({
            "location": "westeurope", "kind": "StorageV2", "sku": {"name": sku, "tier": "Standard"},
            "properties": {"networkAcls": acls, "publicNetworkAccess": "Enabled", "provisioningState": "Succeeded"}
        }))
        .unwrap()
    }

    #[test]
    fn an_account_says_whether_it_can_stage() {
        let read = account(json!("Standard_LRS"), json!({"defaultAction": "Deny", "bypass": "Logging, AzureServices"}));
        assert_eq!((read.kind.as_deref(), read.location.as_deref()), (Some("StorageV2"), Some("westeurope")));
        assert_eq!((read.is_zone_redundant(), read.properties.admits_azure_services()), (Some(false), Some(true)));
        for sku in ["Standard_ZRS", "standard_gzrs", "Standard_RAGZRS", "Premium_ZRS"] {
            assert_eq!(account(json!(sku), Value::Null).is_zone_redundant(), Some(true), "{sku}");
        }
        for (acls, wanted) in [
            (json!({"defaultAction": "Allow", "bypass": "None"}), Some(true)),
            (json!({"defaultAction": "Deny", "bypass": "None"}), Some(false)),
            (json!({"defaultAction": "Deny", "bypass": "Metrics"}), Some(false)),
            (json!({"defaultAction": "Deny"}), None),
            (Value::Null, None),
        ] {
            let read = account(Value::Null, acls.clone());
            assert_eq!((read.is_zone_redundant(), read.properties.admits_azure_services()), (None, wanted), "{acls}");
        }
    }
}
