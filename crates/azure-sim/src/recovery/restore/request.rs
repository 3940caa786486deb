//! What an `IaasVMRestoreRequest` asks for (backup.md §13).

use serde_json::Value;

use super::super::names::lun;
use crate::path::canonical_location;

/// What a restore is to bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recovery) enum Goal {
    /// `RestoreDisks`; `None` is all of the point's disks.
    Disks { luns: Option<Vec<i32>> },
    /// `AlternateLocation`: a new machine.
    Machine { id: String, network: String, subnet: String },
    /// `OriginalLocation`: the machine's disks replaced.
    Replace,
}

/// `identityInfo`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recovery) enum Identity {
    System,
    User(String),
}

/// `zones`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recovery) enum Zone {
    /// Left out: where the machine was.
    AsSource,
    /// `NoZone`
    Unpinned,
    Pinned(String),
}

/// `targetDiskNetworkAccessSettings`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recovery) enum Access {
    SameAsSource,
    Private(String),
    Public,
}

/// `recoveryPointRehydrationInfo`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recovery) struct Rehydration {
    pub priority: Priority,
    /// `rehydrationRetentionDuration`
    pub days: i64,
}

/// `rehydrationPriority`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recovery) enum Priority {
    Standard,
    High,
}

/// A request that fits together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recovery) struct Ask {
    pub goal: Goal,
    /// ARM id of the machine that the point is of.
    pub source: Option<String>,
    pub point: Option<String>,
    /// `targetResourceGroupId`
    pub group: Option<String>,
    /// ARM id of the staging account.
    pub staging: String,
    pub identity: Option<Identity>,
    pub zone: Zone,
    pub access: Option<Access>,
    pub encryption_set: Option<String>,
    /// `securedVMDetails/securedVMOsDiskEncryptionSetId`
    pub secured_set: Option<String>,
    /// `encryptionDetails/encryptionEnabled`: it says that the guest encrypted the disks.
    pub says_encrypted: bool,
    pub rehydration: Option<Rehydration>,
    /// Canonical region.
    pub region: String,
}

/// Why a request is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recovery) enum Flaw {
    /// It does not fit together.
    Wrong(String),
    /// It asks for something that is not modelled.
    Unmodelled(&'static str),
}

fn wrong<T>(message: impl Into<String>) -> Result<T, Flaw> {
    Err(Flaw::Wrong(message.into()))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

impl Ask {
    /// Reads `properties` of a restore, or the `restoreRequest` of a validation or a cross-region restore.
    pub fn read(properties: &Value) -> Result<Ask, Flaw> {
        unmodelled(properties)?;
        let needed = |name: &str| text(&properties[name]).ok_or_else(|| Flaw::Wrong(format!("{name} is missing.")));
        let ask = Ask {
            goal: goal(properties)?,
            source: text(&properties["sourceResourceId"]),
            point: text(&properties["recoveryPointId"]),
            group: text(&properties["targetResourceGroupId"]),
            staging: staging(properties)?,
            identity: identity(&properties["identityInfo"])?,
            zone: zone(&properties["zones"])?,
            access: access(&properties["targetDiskNetworkAccessSettings"])?,
            encryption_set: text(&properties["diskEncryptionSetId"]),
            secured_set: text(&properties["securedVMDetails"]["securedVMOsDiskEncryptionSetId"]),
            says_encrypted: properties["encryptionDetails"]["encryptionEnabled"] == true,
            rehydration: rehydration(properties)?,
            region: canonical_location(&needed("region")?),
        };
        match ask.goal {
            Goal::Machine { .. } if ask.group.is_none() => wrong("targetResourceGroupId is missing."),
            Goal::Replace if ask.zone != Zone::AsSource => wrong("Disks are replaced in the zone of their machine."),
            _ => Ok(ask),
        }
    }
}

/// Fields of the request that this model has nothing for.
fn unmodelled(properties: &Value) -> Result<(), Flaw> {
    let refused = |name: &'static str| Err(Flaw::Unmodelled(name));
    for name in ["extendedLocation", "targetDomainNameId"] {
        if !properties[name].is_null() {
            return refused(name);
        }
    }
    if !properties["securedVMDetails"]["dataDiskEncryptionSettings"].is_null() {
        return refused("dataDiskEncryptionSettings");
    }
    for name in ["originalStorageAccountOption", "createNewCloudService"] {
        if properties[name] == true {
            return refused(name);
        }
    }
    Ok(())
}

fn goal(properties: &Value) -> Result<Goal, Flaw> {
    let luns = &properties["restoreDiskLunList"];
    let needed = |name: &str| text(&properties[name]).ok_or_else(|| Flaw::Wrong(format!("{name} is missing.")));
    match properties["recoveryType"].as_str() {
        Some("RestoreDisks") if luns.is_null() => Ok(Goal::Disks { luns: None }),
        Some("RestoreDisks") => {
            let read = luns.as_array().map(|luns| luns.iter().map(lun).collect::<Option<Vec<i32>>>());
            read.flatten().map_or_else(|| wrong("restoreDiskLunList is not a list of luns."), |luns| Ok(Goal::Disks { luns: Some(luns) }))
        }
        Some(_) if !luns.is_null() => wrong("restoreDiskLunList goes with RestoreDisks alone."),
        Some("AlternateLocation") => {
            Ok(Goal::Machine { id: needed("targetVirtualMachineId")?, network: needed("virtualNetworkId")?, subnet: needed("subnetId")? })
        }
        Some("OriginalLocation") => Ok(Goal::Replace),
        other => wrong(format!("The recovery type '{}' is not valid.", other.unwrap_or_default())),
    }
}

/// The staging account: named in one place with a managed identity, in another without.
fn staging(properties: &Value) -> Result<String, Flaw> {
    let (plain, by_identity) =
        (text(&properties["storageAccountId"]), text(&properties["identityBasedRestoreDetails"]["targetStorageAccountId"]));
    match (plain, by_identity, properties["identityInfo"].is_object()) {
        (Some(account), None, false) | (None, Some(account), true) => Ok(account),
        (None, None, false) => wrong("storageAccountId is missing."),
        (_, _, true) => wrong("With identityInfo the account is named in identityBasedRestoreDetails alone."),
        (_, Some(_), false) => wrong("identityBasedRestoreDetails go with identityInfo."),
    }
}

fn identity(info: &Value) -> Result<Option<Identity>, Flaw> {
    match (info["isSystemAssignedIdentity"].as_bool(), text(&info["managedIdentityResourceId"])) {
        _ if info.is_null() => Ok(None),
        (Some(true), None) => Ok(Some(Identity::System)),
        (None | Some(false), Some(id)) => Ok(Some(Identity::User(id))),
        _ => wrong("identityInfo names either the system-assigned identity or one other."),
    }
}

fn zone(zones: &Value) -> Result<Zone, Flaw> {
    let Some(list) = zones.as_array() else { return if zones.is_null() { Ok(Zone::AsSource) } else { wrong("zones is not a list.") } };
    match list.as_slice() {
        [] => Ok(Zone::AsSource),
        [one] => match one.as_str() {
            Some("NoZone") => Ok(Zone::Unpinned),
            Some(zone @ ("1" | "2" | "3")) => Ok(Zone::Pinned(zone.to_owned())),
            _ => wrong("A zone is 1, 2, 3 or NoZone."),
        },
        _ => wrong("A restore goes to one zone."),
    }
}

fn access(settings: &Value) -> Result<Option<Access>, Flaw> {
    match settings["targetDiskNetworkAccessOption"].as_str() {
        None if settings.is_null() => Ok(None),
        Some("SameAsOnSourceDisks") => Ok(Some(Access::SameAsSource)),
        Some("EnablePublicAccessForAllDisks") => Ok(Some(Access::Public)),
        Some("EnablePrivateAccessForAllDisks") => match text(&settings["targetDiskAccessId"]) {
            Some(id) => Ok(Some(Access::Private(id))),
            None => wrong("targetDiskAccessId is missing."),
        },
        _ => wrong("The network access option is not valid."),
    }
}

fn rehydration(properties: &Value) -> Result<Option<Rehydration>, Flaw> {
    let info = &properties["recoveryPointRehydrationInfo"];
    match properties["objectType"].as_str() {
        Some("IaasVMRestoreRequest") if info.is_null() => return Ok(None),
        Some("IaasVMRestoreWithRehydrationRequest") => {}
        other => return wrong(format!("The object type '{}' is not that of the request.", other.unwrap_or_default())),
    }
    let priority = match info["rehydrationPriority"].as_str() {
        Some("Standard") => Priority::Standard,
        Some("High") => Priority::High,
        _ => return wrong("The priority of a rehydration is Standard or High."),
    };
    let days = info["rehydrationRetentionDuration"].as_str().and_then(|text| text.strip_prefix('P')?.strip_suffix('D')?.parse().ok());
    match days {
        Some(days @ 10..=30) => Ok(Some(Rehydration { priority, days })),
        _ => wrong("A rehydrated recovery point is kept for P10D to P30D."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn base() -> Value {
        json!({"objectType": "IaasVMRestoreRequest", "recoveryType": "RestoreDisks", "storageAccountId": "/s", "region": "West Europe"})
    }

    fn with(more: Value) -> Result<Ask, Flaw> {
        let mut request = base();
        if let (Some(ours), Some(more)) = (request.as_object_mut(), more.as_object()) {
            ours.extend(more.clone());
        }
        Ask::read(&request)
    }

    #[test]
    fn requests_read_as_they_are_meant() {
        let plain = with(json!({})).unwrap();
        assert_eq!((plain.goal, plain.region.as_str(), plain.zone), (Goal::Disks { luns: None }, "westeurope", Zone::AsSource));
        assert_eq!(with(json!({"restoreDiskLunList": ["1", 0]})).unwrap().goal, Goal::Disks { luns: Some(vec![1, 0]) });
        assert_eq!(with(json!({"restoreDiskLunList": []})).unwrap().goal, Goal::Disks { luns: Some(vec![]) });
        assert_eq!(with(json!({"zones": ["NoZone"]})).unwrap().zone, Zone::Unpinned);
        let own = json!({"storageAccountId": null, "identityInfo": {"isSystemAssignedIdentity": true},
            "identityBasedRestoreDetails": {"targetStorageAccountId": "/t"}});
        assert_eq!(with(own.clone()).map(|ask| (ask.identity, ask.staging)), Ok((Some(Identity::System), "/t".to_owned())));
        let archive = json!({"objectType": "IaasVMRestoreWithRehydrationRequest",
            "recoveryPointRehydrationInfo": {"rehydrationPriority": "High", "rehydrationRetentionDuration": "P15D"}});
        assert_eq!(with(archive).unwrap().rehydration, Some(Rehydration { priority: Priority::High, days: 15 }));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_and_what_is_not_modelled_is_said_so() {
        let rehydrated = |days: &str| {
            json!({"objectType": "IaasVMRestoreWithRehydrationRequest",
            "recoveryPointRehydrationInfo": {"rehydrationPriority": "High", "rehydrationRetentionDuration": days}})
        };
        for wrong in [
            json!({"objectType": "AzureFileShareRestoreRequest"}),
            json!({"recoveryType": "Offline"}),
            json!({"recoveryType": "AlternateLocation"}),
            json!({"recoveryType": "OriginalLocation", "restoreDiskLunList": [0]}),
            json!({"restoreDiskLunList": "all"}),
            json!({"restoreDiskLunList": ["all"]}),
            json!({"storageAccountId": null}),
            json!({"identityInfo": {"isSystemAssignedIdentity": true}}),
            json!({"zones": ["1", "2"]}),
            json!({"zones": ["4"]}),
            json!({"region": null}),
            json!({"targetDiskNetworkAccessSettings": {"targetDiskNetworkAccessOption": "EnablePrivateAccessForAllDisks"}}),
            rehydrated("P9D"),
            rehydrated("P31D"),
            rehydrated("15"),
        ] {
            assert!(matches!(with(wrong.clone()), Err(Flaw::Wrong(_))), "{wrong}");
        }
        for unknown in [json!({"extendedLocation": {}}), json!({"securedVMDetails": {"dataDiskEncryptionSettings": {}}})] {
            assert!(matches!(with(unknown.clone()), Err(Flaw::Unmodelled(_))), "{unknown}");
        }
        let says = |enabled: bool| with(json!({"encryptionDetails": {"encryptionEnabled": enabled}})).unwrap().says_encrypted;
        assert_eq!((says(true), says(false)), (true, false));
    }
}
