//! The bodies that we read, what they must hold, and what our types make of them. Which fields there are is told by the
//! types themselves ([`super::known`]); here is only what must not be missing or empty.

use std::{collections::BTreeMap, sync::LazyLock};

use breakwater_arm::bodies;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::known::{Known, known};

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A vault.
    Vault,
    /// `backupconfig/vaultconfig`
    VaultConfig,
    /// `backupstorageconfig/vaultstorageconfig`
    StorageConfig,
    /// `backupEncryptionConfigs/backupResourceEncryptionConfig`
    EncryptionConfig,
    /// A backup policy.
    Policy,
    /// A protected item.
    Item,
    /// A backup job.
    Job,
    /// A recovery point.
    Point,
    /// The answer of `backupStatus`.
    BackupStatus,
    /// A virtual machine.
    Machine,
    /// How a machine runs, read by itself.
    InstanceView,
    /// A line of the resource list.
    Listed,
    /// A resource group.
    Group,
    /// A subscription.
    Subscription,
    /// A lock.
    Lock,
    /// Tags.
    Tags,
}

/// Whether it may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it the body is useless.
    Must,
    /// It may be missing in a list only.
    Alone,
    /// It may be, but it is not empty.
    NotEmpty,
    /// It is needed, and is a guid.
    Guid,
}

use Need::{Alone, Guid, Must, NotEmpty};

/// One demand: a JSON pointer in which `*` stands for every member.
pub type Demand = (&'static str, Need);

const VAULT: &[Demand] = &[
    ("/id", Must),
    ("/name", Must),
    ("/type", Must),
    ("/location", Must),
    ("/properties/provisioningState", Must),
    ("/identity/type", NotEmpty),
    ("/properties/redundancySettings/standardTierStorageRedundancy", NotEmpty),
    ("/properties/securitySettings/softDeleteSettings/softDeleteState", NotEmpty),
    ("/properties/securitySettings/immutabilitySettings/state", NotEmpty),
];

const VAULT_CONFIG: &[Demand] = &[("/id", Must), ("/properties/enhancedSecurityState", Must)];

const STORAGE_CONFIG: &[Demand] = &[("/id", Must), ("/properties/storageType", Must), ("/properties/storageTypeState", Must)];

const ENCRYPTION_CONFIG: &[Demand] = &[("/id", Must), ("/properties/encryptionAtRestType", Must)];

const POLICY: &[Demand] = &[
    ("/id", Must),
    ("/name", Must),
    ("/properties/backupManagementType", Must),
    ("/properties/schedulePolicy/schedulePolicyType", Must),
    ("/properties/schedulePolicy/scheduleRunFrequency", Must),
    ("/properties/retentionPolicy/retentionPolicyType", Must),
    ("/properties/retentionPolicy/*/retentionDuration/durationType", NotEmpty),
];

const ITEM: &[Demand] = &[
    ("/id", Must),
    ("/name", Must),
    ("/properties/protectionState", Must),
    ("/properties/sourceResourceId", Must),
    ("/properties/backupManagementType", Must),
    ("/properties/protectedItemType", Must),
];

const JOB: &[Demand] = &[
    ("/id", Must),
    ("/name", Must),
    ("/properties/operation", Must),
    ("/properties/status", Must),
    ("/properties/startTime", Must),
    ("/properties/extendedInfo/tasksList/*/status", NotEmpty),
];

const POINT: &[Demand] =
    &[("/id", Must), ("/name", Must), ("/properties/recoveryPointType", Must), ("/properties/recoveryPointTime", Must)];

const BACKUP_STATUS: &[Demand] = &[("/protectionStatus", Must)];

const MACHINE: &[Demand] = &[
    ("/id", Must),
    ("/name", Must),
    ("/type", Must),
    ("/location", Must),
    ("/properties/vmId", Alone),
    ("/properties/provisioningState", Alone),
    ("/properties/storageProfile/osDisk/osType", NotEmpty),
    ("/properties/instanceView/statuses/*/code", NotEmpty),
];

const INSTANCE_VIEW: &[Demand] = &[("/statuses/*/code", Must)];

const LISTED: &[Demand] = &[("/id", Must), ("/name", Must), ("/type", Must)];

const GROUP: &[Demand] = &[("/id", Must), ("/name", Must), ("/location", Must), ("/properties/provisioningState", NotEmpty)];

const SUBSCRIPTION: &[Demand] = &[("/id", Must), ("/subscriptionId", Guid), ("/state", Must)];

const LOCK: &[Demand] = &[("/id", Must), ("/name", Must), ("/properties/level", Must)];

const TAGS: &[Demand] = &[("/id", Must)];

/// All there are.
pub const ALL_KINDS: [Kind; 16] = [
    Kind::Vault,
    Kind::VaultConfig,
    Kind::StorageConfig,
    Kind::EncryptionConfig,
    Kind::Policy,
    Kind::Item,
    Kind::Job,
    Kind::Point,
    Kind::BackupStatus,
    Kind::Machine,
    Kind::InstanceView,
    Kind::Listed,
    Kind::Group,
    Kind::Subscription,
    Kind::Lock,
    Kind::Tags,
];

impl Kind {
    /// The kind of a resource type, as of one resource or of the members of a list.
    pub fn of(resource_type: &str) -> Option<Kind> {
        const ITEMS: &str = "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems";
        let lower = resource_type.to_ascii_lowercase();
        Some(match lower.as_str() {
            "microsoft.recoveryservices/vaults" => Kind::Vault,
            "microsoft.recoveryservices/vaults/backupconfig" => Kind::VaultConfig,
            "microsoft.recoveryservices/vaults/backupstorageconfig" => Kind::StorageConfig,
            "microsoft.recoveryservices/vaults/backupencryptionconfigs" => Kind::EncryptionConfig,
            "microsoft.recoveryservices/vaults/backuppolicies" => Kind::Policy,
            "microsoft.recoveryservices/vaults/backupprotecteditems" | ITEMS => Kind::Item,
            "microsoft.recoveryservices/vaults/backupjobs" => Kind::Job,
            _ if lower.strip_prefix(ITEMS) == Some("/recoverypoints") => Kind::Point,
            "microsoft.compute/virtualmachines" => Kind::Machine,
            "microsoft.compute/virtualmachines/instanceview" => Kind::InstanceView,
            "microsoft.resources/resources" => Kind::Listed,
            "microsoft.resources/resourcegroups" => Kind::Group,
            "microsoft.resources/subscriptions" => Kind::Subscription,
            "microsoft.resources/tags" => Kind::Tags,
            "microsoft.authorization/locks" => Kind::Lock,
            _ => return None,
        })
    }

    /// Every field that our types know of it.
    pub fn known(self) -> &'static [Known] {
        static ALL: LazyLock<BTreeMap<Kind, Vec<Known>>> = LazyLock::new(|| ALL_KINDS.into_iter().map(|kind| (kind, kind.ask())).collect());
        ALL.get(&self).map_or(&[], Vec::as_slice)
    }

    fn ask(self) -> Vec<Known> {
        match self {
            Kind::Vault => known::<bodies::Vault>(),
            Kind::VaultConfig => known::<bodies::VaultConfig>(),
            Kind::StorageConfig => known::<bodies::StorageConfig>(),
            Kind::EncryptionConfig => known::<bodies::EncryptionConfig>(),
            // a policy keeps its raw body beside these
            Kind::Policy => known::<bodies::Resource<bodies::PolicyProperties>>(),
            Kind::Item => known::<bodies::ProtectedItem>(),
            Kind::Job => known::<bodies::Job>(),
            Kind::Point => known::<bodies::RecoveryPoint>(),
            Kind::BackupStatus => known::<bodies::BackupStatus>(),
            Kind::Machine => known::<bodies::VirtualMachine>(),
            Kind::InstanceView => known::<bodies::InstanceView>(),
            Kind::Listed => known::<bodies::ResourceListItem>(),
            Kind::Group => known::<bodies::ResourceGroup>(),
            Kind::Subscription => known::<bodies::Subscription>(),
            Kind::Lock => known::<bodies::Lock>(),
            Kind::Tags => known::<bodies::Tags>(),
        }
    }

    /// What must not be missing or empty.
    pub fn demands(self) -> &'static [Demand] {
        match self {
            Kind::Vault => VAULT,
            Kind::VaultConfig => VAULT_CONFIG,
            Kind::StorageConfig => STORAGE_CONFIG,
            Kind::EncryptionConfig => ENCRYPTION_CONFIG,
            Kind::Policy => POLICY,
            Kind::Item => ITEM,
            Kind::Job => JOB,
            Kind::Point => POINT,
            Kind::BackupStatus => BACKUP_STATUS,
            Kind::Machine => MACHINE,
            Kind::InstanceView => INSTANCE_VIEW,
            Kind::Listed => LISTED,
            Kind::Group => GROUP,
            Kind::Subscription => SUBSCRIPTION,
            Kind::Lock => LOCK,
            Kind::Tags => TAGS,
        }
    }

    /// The body through our types and back.
    pub fn through_types(self, body: &Value) -> Result<Value, serde_json::Error> {
        match self {
            Kind::Vault => through::<bodies::Vault>(body),
            Kind::VaultConfig => through::<bodies::VaultConfig>(body),
            Kind::StorageConfig => through::<bodies::StorageConfig>(body),
            Kind::EncryptionConfig => through::<bodies::EncryptionConfig>(body),
            Kind::Policy => through::<bodies::Policy>(body),
            Kind::Item => through::<bodies::ProtectedItem>(body),
            Kind::Job => through::<bodies::Job>(body),
            Kind::Point => through::<bodies::RecoveryPoint>(body),
            Kind::BackupStatus => through::<bodies::BackupStatus>(body),
            Kind::Machine => through::<bodies::VirtualMachine>(body),
            Kind::InstanceView => through::<bodies::InstanceView>(body),
            Kind::Listed => through::<bodies::ResourceListItem>(body),
            Kind::Group => through::<bodies::ResourceGroup>(body),
            Kind::Subscription => through::<bodies::Subscription>(body),
            Kind::Lock => through::<bodies::Lock>(body),
            Kind::Tags => through::<bodies::Tags>(body),
        }
    }
}

fn through<T: DeserializeOwned + Serialize>(body: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(body.clone())?)
}

/// Every place in a body that a pattern means, with what stands there; null stands for nothing.
pub fn places<'a>(body: &'a Value, pattern: &str) -> Vec<(String, &'a Value)> {
    let mut found = vec![(String::new(), body)];
    for segment in pattern.split('/').skip(1) {
        let mut next = Vec::new();
        for (at, value) in found {
            match (segment, value) {
                ("*", Value::Array(members)) => next.extend(members.iter().enumerate().map(|(i, v)| (format!("{at}/{i}"), v))),
                ("*", Value::Object(members)) => next.extend(members.iter().map(|(key, v)| (format!("{at}/{}", escaped(key)), v))),
                _ => next.extend(value.get(segment).map(|v| (format!("{at}/{segment}"), v))),
            }
        }
        found = next;
    }
    found.retain(|(_, value)| !value.is_null());
    found
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Fields that a body has under a name that ours has in another case, as (place, our name): our types pass them over.
/// Where the right name is there too, nothing is lost.
pub fn misspelt(body: &Value, known: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    compare_names(body, String::new(), known, &mut found);
    found
}

/// `below` are the patterns that begin where the value is.
fn compare_names(value: &Value, at: String, below: &[&str], found: &mut Vec<(String, String)>) {
    let of = |name: &str| -> Vec<&str> {
        let rest = below.iter().filter_map(|pattern| pattern.strip_prefix('/')?.strip_prefix(name));
        rest.filter(|rest| rest.is_empty() || rest.starts_with('/')).collect()
    };
    match value {
        Value::Array(members) => {
            let inner = of("*");
            members.iter().enumerate().for_each(|(i, member)| compare_names(member, format!("{at}/{i}"), &inner, found));
        }
        Value::Object(members) => {
            let names: Vec<&str> = below.iter().filter_map(|pattern| pattern.split('/').nth(1)).collect();
            for (key, member) in members {
                let place = format!("{at}/{}", escaped(key));
                if names.contains(&key.as_str()) {
                    compare_names(member, place, &of(key), found);
                } else if names.contains(&"*") {
                    compare_names(member, place, &of("*"), found);
                } else if let Some(ours) = names.iter().find(|name| name.eq_ignore_ascii_case(key))
                    && !members.contains_key(*ours)
                    && !member.is_null()
                {
                    found.push((place, (*ours).to_owned()));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_demand_is_about_a_field_that_the_types_know() {
        for kind in ALL_KINDS {
            let known: Vec<&str> = kind.known().iter().map(|k| k.pattern.as_str()).collect();
            for (pattern, _) in kind.demands() {
                // the rules of a policy stand under four names
                let is_known = known.contains(pattern) || pattern.contains("/retentionPolicy/*/");
                assert!(is_known, "{pattern} of {kind:?} is in no type");
            }
            assert!(known.len() > 1, "{kind:?} knows {known:?}");
        }
    }

    #[test]
    fn the_fields_of_a_type_are_found_to_the_bottom() {
        let item: Vec<&str> = Kind::Item.known().iter().map(|k| k.pattern.as_str()).collect();
        for wanted in [
            "/properties/deferredDeleteTimeInUTC",
            "/properties/extendedProperties/diskExclusionProperties/diskLunList/*",
            "/properties/kpisHealths/*/resourceHealthDetails/*/recommendations/*",
        ] {
            assert!(item.contains(&wanted), "{item:#?}");
        }
    }

    #[test]
    fn a_name_in_another_case_is_found_wherever_it_is() {
        let body = json!({"Tags": {"a": "b"}, "properties": {"VmId": "x", "vmid": null, "storageProfile": {"dataDisks": [{"LUN": 0, "lun": 1}, {"Lun": 2}]}}});
        let known: Vec<&str> = Kind::Machine.known().iter().map(|k| k.pattern.as_str()).collect();
        let found = misspelt(&body, &known);
        let places: Vec<&str> = found.iter().map(|(at, _)| at.as_str()).collect();
        assert_eq!(places, ["/Tags", "/properties/VmId", "/properties/storageProfile/dataDisks/1/Lun"]);
        assert!(misspelt(&json!({"tags": {"Id": "x", "ID": "y"}}), &known).is_empty());
    }
}
