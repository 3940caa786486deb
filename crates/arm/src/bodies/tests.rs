//! What the bodies forgive, and what they do not.

use serde_json::json;

use super::*;

#[test]
fn nulls_unknown_fields_and_missing_ones_are_forgiven() {
    let item =
        ProtectedItem::parse(&json!({"id": null, "properties": {"policyId": "", "lastRecoveryPoint": null, "sourceSideScanning": 0}}))
            .unwrap();
    assert!(item.properties.policy_id.as_ref().unwrap().is_empty());
    assert_eq!(item.properties.last_recovery_point, None);
    assert_eq!(Vault::parse(&json!({"properties": null})).unwrap(), Vault::default());
}

#[test]
fn a_field_of_another_form_is_an_error() {
    assert!(ProtectedItem::parse(&json!({"properties": {"policyId": {"a": 1}}})).is_err());
    assert!(
        ProtectedItem::parse(&json!({"properties": {"extendedProperties": {"diskExclusionProperties": {"diskLunList": ["x"]}}}})).is_err()
    );
}

#[test]
fn an_answer_without_its_list_is_not_an_empty_list() {
    assert!(Page::<ProtectedItem>::parse(&json!({"nextLink": "x"})).is_err());
    assert!(Page::<ProtectedItem>::parse(&json!({"value": null})).is_err());
    let page = Page::<ProtectedItem>::parse(&json!({"value": [], "nextLink": ""})).unwrap();
    assert_eq!(page.next_link, None);
}

#[test]
fn power_is_unknown_until_told() {
    let vm = |statuses: Value| VirtualMachine::parse(&json!({"properties": {"instanceView": {"statuses": statuses}}})).unwrap().properties;
    assert_eq!(vm(json!([{"code": "ProvisioningState/creating"}])).power_state(), None);
    assert_eq!(vm(json!([{"code": "P"}, {"code": "PowerState/deallocated"}])).power_state(), Some("Deallocated".into()));
}

#[test]
fn a_machine_replicates_by_site_recoverys_own_extension() {
    let extension = |name: &str, more: Value| {
        let mut shown =
            json!({"id": format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v/extensions/{name}")});
        shown.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shown
    };
    let of = |publisher: &str| json!({"properties": {"publisher": publisher}});
    let found = |resources: Value| replicating_extension(&json!({ "resources": resources }));
    let other = extension("SiteRecovery-Not", of("Contoso.SiteRecovery"));
    assert_eq!(found(json!([other])), None);
    assert_eq!(found(json!([other, extension("any", of("microsoft.azure.RecoveryServices.SiteRecovery2"))])), Some("any".to_owned()));
    assert_eq!(found(json!([extension("siterecovery-Windows", json!({}))])), Some("siterecovery-Windows".to_owned()));
    let nameless = json!({"properties": {"publisher": "Microsoft.Azure.RecoveryServices.SiteRecovery"}});
    assert!(found(json!([nameless])).is_some(), "the publisher is enough");
    assert_eq!((found(json!([{}])), found(json!("x")), replicating_extension(&json!({}))), (None, None, None));
}

#[test]
fn an_unmanaged_disk_is_seen() {
    let vm =
        VirtualMachine::parse(&json!({"properties": {"storageProfile": {"dataDisks": [{"lun": 0, "vhd": {"uri": "http://x"}}]}}})).unwrap();
    assert!(vm.properties.has_unmanaged_disks());
}

#[test]
fn a_policy_keeps_what_its_types_do_not_know() {
    let policy: Policy = serde_json::from_value(json!({"name": "p", "properties": {"policyType": "v2", "new": 1}})).unwrap();
    assert!(policy.is_enhanced());
    assert_eq!(policy.raw["properties"]["new"], 1);
}

#[test]
fn a_point_is_where_a_tier_is_valid() {
    let point = RecoveryPoint::parse(&json!({"properties": {"recoveryPointTierDetails": [{"type": "InstantRP", "status": "Deleted"}, {"type": "HardenedRP", "status": "Valid"}]}})).unwrap();
    assert!(point.properties.is_in("hardenedrp") && !point.properties.is_in("InstantRP"));
}
