//! Whatever a network brings, the parsers answer: no JSON, no bytes and no spelling of an id make them panic.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use breakwater_arm::{
    Accepted, ArmDuration, ArmError, ArmTime, IdText, OperationStatus, ResourceId, Service,
    bodies::{self, Page},
    classify, ids_in, remedy,
    wire::{Answer, Method},
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names that parsers look for, so that arbitrary JSON reaches them.
const NAMES: [&str; 49] = [
    "value",
    "nextLink",
    "id",
    "name",
    "type",
    "location",
    "tags",
    "properties",
    "error",
    "Error",
    "code",
    "Code",
    "message",
    "details",
    "innererror",
    "additionalInfo",
    "info",
    "target",
    "status",
    "provisioningState",
    "jobId",
    "percentComplete",
    "instanceView",
    "statuses",
    "storageProfile",
    "osDisk",
    "dataDisks",
    "lun",
    "startTime",
    "duration",
    "policyId",
    "recoveryPointTierDetails",
    "schedulePolicy",
    "scheduleRunTimes",
    "extendedInfo",
    "propertyBag",
    "Backup Size",
    "Recovery point time ",
    "tasksList",
    "taskId",
    "progressPercentage",
    "recoveryTarget",
    "clientScripts",
    "scriptContent",
    "scriptNameSuffix",
    "scriptExtension",
    "validateOperationResponse",
    "validationResults",
    "networkAcls",
];

/// Texts that parsers take apart.
const TEXTS: [&str; 19] = [
    "",
    "PowerState/",
    "PowerState/läuft",
    "Succeeded",
    "Failed",
    "0001-01-01T00:00:00",
    "2026-02-30T25:61:61Z",
    "99999999.23:59:59.9999999",
    "P99999999999999999999Y",
    "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups//x",
    "https://",
    "scope(s) are locked: 'a','b",
    "try again after '18446744073709551616' seconds",
    "99999999999999999999 MB",
    "2/30/2026 12:00:00 AM",
    "_ééééééééééééééééééééééééééééééééééééé",
    "Zm9v",
    "\"accessTokenString\\\": \"",
    "does not have authorization to perform action 'a' over scope 'ü",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![prop::sample::select(&TEXTS[..]).prop_map(str::to_owned), "\\PC{0,40}", any::<String>()]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let name = prop_oneof![4 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => text()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|all| Value::Object(all.into_iter().collect::<Map<_, _>>()))
        ]
    })
}

fn headers() -> impl Strategy<Value = BTreeMap<String, String>> {
    let names = &["location", "azure-asyncoperation", "retry-after", "date", "x-ms-failure-cause"][..];
    prop::collection::btree_map(prop::sample::select(names).prop_map(str::to_owned), text(), 0..4)
}

fn answer() -> impl Strategy<Value = Answer> {
    (0u16..1000, headers(), anything()).prop_map(|(status, headers, body)| Answer { status, headers, body })
}

/// Runs every body's parser and everything that its types say of themselves.
fn read_all(body: &Value) {
    if let Ok(vm) = bodies::VirtualMachine::parse(body) {
        let _ = (vm.resource_id(), vm.properties.power_state(), vm.properties.has_unmanaged_disks(), vm.properties.os_type().is_some());
    }
    if let Ok(item) = bodies::ProtectedItem::parse(body) {
        let p = &item.properties;
        let _ = (p.is_soft_deleted(), p.policy_id.as_ref().map(IdText::id), p.last_backup_time.as_ref().map(ArmTime::instant));
        let _ = p.deferred_delete_time_remaining.as_ref().map(ArmDuration::duration);
    }
    if let Ok(job) = bodies::Job::parse(body) {
        let p = &job.properties;
        let _ = (p.is_over(), p.duration.as_ref().map(ArmDuration::duration), p.percent(), p.tasks().count());
        let _ = (p.backup_size_bytes(), p.expiry(), p.point_time(), p.restored());
    }
    if let Ok(point) = bodies::RecoveryPoint::parse(body) {
        let p = &point.properties;
        let _ = (p.is_in("HardenedRP"), p.is_archived_only(), p.is_restorable_from("ArchivedRP"), p.rehydrated_until());
    }
    for script in bodies::ClientScript::list(body).into_iter().flatten() {
        let _ = (script.content().is_some(), script.password().is_some(), script.file_name(), format!("{script:?}"));
    }
    let _ = (bodies::ValidationResults::parse(body).is_some(), bodies::AadProperties::parse(body).is_some());
    if let Ok(account) = bodies::StorageAccount::parse(body) {
        let _ = (account.is_zone_redundant(), account.properties.admits_azure_services());
    }
    let _ = bodies::VirtualNetwork::parse(body).is_ok();
    let _ = Page::<bodies::ComputeUsage>::parse(body).map(|page| page.value.iter().map(bodies::ComputeUsage::left).count());
    let _ = bodies::Policy::parse(body).map(|policy| policy.is_enhanced());
    let _ = (bodies::Vault::parse(body).is_ok(), bodies::VaultConfig::parse(body).is_ok(), bodies::StorageConfig::parse(body).is_ok());
    let _ = (bodies::EncryptionConfig::parse(body).is_ok(), bodies::Tags::parse(body).is_ok(), bodies::Lock::parse(body).is_ok());
    let _ = (bodies::ResourceGroup::parse(body).is_ok(), Page::<bodies::ResourceListItem>::parse(body).is_ok());
    let _ = (Page::<Value>::parse(body).is_ok(), serde_json::from_value::<bodies::BackupStatus>(body.clone()).is_ok());
}

/// A text with the case of its letters thrown anew.
fn recased(text: &str, coins: &[bool]) -> String {
    let flip = |(at, c): (usize, char)| if coins[at % coins.len()] { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().enumerate().map(flip).collect()
}

fn hash(id: &ResourceId) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #[test]
    fn arbitrary_json_is_read_or_refused(body in anything()) {
        read_all(&body);
        read_all(&json!({"value": [body.clone()], "properties": body}));
    }

    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = serde_json::from_slice::<bodies::ProtectedItem>(&bytes).is_ok();
        let _ = serde_json::from_slice::<Page<bodies::Job>>(&bytes).is_ok();
        let _ = serde_json::from_slice::<bodies::Policy>(&bytes).is_ok();
    }

    #[test]
    fn a_body_that_was_cut_is_refused(body in anything(), at in any::<prop::sample::Index>()) {
        let whole = json!({"id": "x", "properties": body}).to_string().into_bytes();
        let cut = &whole[..at.index(whole.len())];
        prop_assert!(serde_json::from_slice::<bodies::ProtectedItem>(cut).is_err());
        prop_assert!(serde_json::from_slice::<Value>(cut).is_err());
    }

    #[test]
    fn arbitrary_answers_make_a_bounded_sentence_and_an_operation_or_none(answer in answer()) {
        let error = ArmError::from_answer(&answer);
        let sentence = error.to_string();
        prop_assert!(sentence.len() <= 1024 && !sentence.is_empty() && !sentence.chars().any(char::is_control), "{sentence:?}");
        let _ = (error.locked_scopes().len(), error.missing_right().is_some());
        let _ = remedy(Service::RecoveryServices, Method::Put, &error);
        let _ = format!("{answer:?} {:?}", OperationStatus::parse(&answer));
        if let Some(handle) = Accepted::from_answer(&answer).and_then(|accepted| accepted.handle) {
            prop_assert!(handle.id().len() <= breakwater_arm::Handle::MAX_BYTES);
        }
    }

    #[test]
    fn arbitrary_paths_and_bodies_are_classified_or_refused(path in text(), body in anything()) {
        for method in [Method::Get, Method::Put, Method::Patch, Method::Post, Method::Delete] {
            let below = format!("/subscriptions/11111111-1111-4111-8111-111111111111/{path}");
            for path in [path.as_str(), below.as_str()] {
                let _ = (classify(method, path, Some(&body)).is_some(), ids_in(path, Some(&body)).is_ok());
            }
        }
    }

    #[test]
    fn times_and_durations_are_read_or_refused(text in text()) {
        let (time, span) = (ArmTime(text.clone()), ArmDuration(text.clone()));
        let _ = (time.instant().is_some() && !time.is_readable(), span.duration(), IdText(text).id());
    }

    #[test]
    fn an_id_is_shown_as_it_came_and_is_the_same_in_any_case(
        names in prop::collection::vec("[a-zA-Z0-9_()\\-][a-zA-Z0-9_.;()\\-]{0,20}[a-zA-Z0-9_]", 1..4),
        coins in prop::collection::vec(any::<bool>(), 8..64),
        group in prop::option::of("[a-zA-Z0-9_\\-]{1,30}"),
    ) {
        prop_assume!(!names.iter().chain(&group).any(|name| name.eq_ignore_ascii_case("providers")));
        let mut plain = "/subscriptions/1a2b3c4d-1111-4abc-8def-1234567890ab".to_owned();
        if let Some(group) = &group {
            plain.push_str(&format!("/resourceGroups/{group}"));
        }
        plain.push_str("/providers/Microsoft.RecoveryServices");
        for (at, name) in names.iter().enumerate() {
            plain.push_str(&format!("/type{at}/{name}"));
        }
        let other = recased(&plain, &coins);
        let (a, b): (ResourceId, ResourceId) = (plain.parse()?, other.parse()?);
        prop_assert_eq!(a.to_string(), plain.clone());
        prop_assert_eq!(b.to_string(), other);
        prop_assert!(a == b && a.cmp(&b).is_eq() && hash(&a) == hash(&b) && a.key() == b.key());
        prop_assert_eq!(a.name(), names.last().map_or("", String::as_str));
        prop_assert_eq!(a.resource_group(), group.as_deref());
        prop_assert!(a.within(&b) && a.parent().is_some_and(|parent| b.within(&parent)));
        let through: ResourceId = serde_json::from_value(serde_json::to_value(&a)?)?;
        prop_assert_eq!(through.to_string(), plain.clone());
        let encoded = plain.replace(';', "%3B");
        prop_assert_eq!(encoded.parse::<ResourceId>()?.to_string(), plain);
    }
}
