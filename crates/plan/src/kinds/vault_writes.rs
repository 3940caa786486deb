//! The requests that make a vault and raise what is weaker than declared: none of them lowers anything.

use std::collections::BTreeMap;

use breakwater_api::{Reason, RecoveryVault, RecoveryVaultSpec, recovery_vault::Immutability};
use breakwater_arm::{
    ResourceId, ids_in,
    versions::{RECOVERY_SERVICES, RESOURCES},
    wire::{Method, Request},
};
use serde_json::{Map, Value, json};

use super::{
    owner_tags,
    recovery_vault::config_id,
    text,
    vault_defences::{declared, ever_protected, seen},
    vault_guard, vault_id,
};
use crate::{
    defence,
    facts::Facts,
    graph::{Change, Difference, Hold},
    kind::Subject,
    questions::{Approved, Question, Stake},
    strength::{self, Defence},
};

/// Where a text is held to be an id or none: any subscription.
const ANYWHERE: &str = "/subscriptions/00000000-0000-0000-0000-000000000000";

/// Azure's tag keys know no case (compute-and-arm.md E.8): two that differ in it only would be written over each other
/// for ever, and ours under another spelling would be ours.
pub(super) fn wrong_tags(spec: &RecoveryVaultSpec) -> Option<Hold> {
    // What reads as an id is held to the grant, wherever it stands: one that is none could be sent by nobody.
    let unreadable = spec.tags.iter().find_map(|(key, value)| {
        let wrong = ids_in(ANYWHERE, Some(&json!({ key: value }))).err()?;
        let message = format!("spec.tags.{key}: its value begins like an ARM id and is none ({wrong}): write it another way");
        Some(Hold::stuck(Reason::InvalidSpec, message))
    });
    let mut kept: BTreeMap<String, &String> = BTreeMap::new();
    let twice = || {
        spec.tags.keys().find_map(|key| {
            let lower = key.to_lowercase();
            let message = if lower.starts_with("breakwater-") {
                format!("spec.tags.{key}: tags that begin with breakwater- are kept by Breakwater, in any case: leave it out")
            } else {
                let twin = kept.insert(lower, key)?;
                format!("spec.tags: {twin} and {key} are one key to Azure, which knows no case there: keep one of them")
            };
            Some(Hold::stuck(Reason::InvalidSpec, message))
        })
    };
    unreadable.or_else(twice)
}

/// The vault as it is made (backup.md §5.1): what is declared, and strong where nothing is.
pub(super) fn put(s: &Subject<RecoveryVault>, id: &ResourceId) -> Request {
    let spec = &s.spec;
    let mut tags = json!(spec.tags);
    let marks = owner_tags(&s.estate, &s.owner(), &s.writer);
    tags.as_object_mut().expect("a map").extend(marks.as_object().cloned().unwrap_or_default());
    let body = json!({
        "location": spec.location,
        "tags": tags,
        "sku": { "name": "RS0", "tier": "Standard" },
        "properties": {
            "publicNetworkAccess": spec.public_network_access.map_or(json!("Enabled"), |p| json!(p)),
            "redundancySettings": {
                "standardTierStorageRedundancy": spec.redundancy.map_or(json!("GeoRedundant"), |r| json!(r)),
                "crossRegionRestore": if spec.cross_region_restore == Some(true) { "Enabled" } else { "Disabled" },
            },
            "securitySettings": { "immutabilitySettings": { "state": spec.immutability.map_or(json!("Unlocked"), |i| json!(i.min(Immutability::Unlocked))) } },
        },
    });
    let mut body = body;
    if let Some(encryption) = &spec.encryption {
        body["identity"] = vault_guard::identity(encryption, None);
    }
    Request::new(Method::Put, id.as_str(), RECOVERY_SERVICES).with_body(body)
}

/// The PATCH that raises what is weaker than declared.
pub(super) fn raise(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Change> {
    let mut differences = Vec::new();
    let mut properties = Map::new();
    for (defence, want) in declared(&s.spec) {
        let Some(have) = seen(defence, id, facts) else { continue };
        let Some(want) = unasked(s, facts, defence, &have, want) else { continue };
        let (name, value) = match defence {
            Defence::SoftDelete | Defence::SoftDeleteDays => continue,
            Defence::Immutability => ("securitySettings", json!({ "immutabilitySettings": { "state": want } })),
            Defence::CrossRegionRestore => ("redundancySettings", json!({ "crossRegionRestore": want })),
            Defence::Redundancy => ("redundancySettings", json!({ "standardTierStorageRedundancy": want })),
            Defence::PublicNetworkAccess => ("publicNetworkAccess", json!(want)),
        };
        match (properties.get_mut(name).and_then(Value::as_object_mut), &value) {
            (Some(there), Value::Object(more)) => there.extend(more.clone()),
            _ => drop(properties.insert(name.to_owned(), value)),
        }
        differences.push(Difference { field: defence.field().into(), have, want });
    }
    if let Some(settings) = properties.get_mut("redundancySettings") {
        *settings = both(facts.resource(id).into_present().map(|body| &**body), settings.take());
    }
    let request = Request::new(Method::Patch, id.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties }));
    (!differences.is_empty()).then_some(Change { differences, request })
}

/// Both settings of redundancy, as every recorded PATCH has them: the one that is not changed stays as Azure shows it.
fn both(body: Option<&Value>, changed: Value) -> Value {
    let mut settings = Map::new();
    for field in ["standardTierStorageRedundancy", "crossRegionRestore"] {
        let shown = body.and_then(|b| b.pointer(&format!("/properties/redundancySettings/{field}")));
        settings.extend(shown.map(|value| (field.to_owned(), value.clone())));
    }
    settings.extend(changed.as_object().cloned().unwrap_or_default());
    Value::Object(settings)
}

/// Whether a declared value opens one way only, and a person is asked first: Locked always, the others once the vault has
/// held an item (backup.md §5.2, §5.3).
fn is_door(s: &Subject<RecoveryVault>, facts: &Facts, defence: Defence, want: &str) -> bool {
    match defence {
        Defence::Immutability => want.eq_ignore_ascii_case("Locked"),
        Defence::SoftDelete => want.eq_ignore_ascii_case("AlwaysOn") && ever_protected(s, facts),
        Defence::CrossRegionRestore => want.eq_ignore_ascii_case("Enabled") && ever_protected(s, facts),
        Defence::SoftDeleteDays | Defence::PublicNetworkAccess | Defence::Redundancy => false,
    }
}

/// The last value before a door, which goes without a question: what is declared is at least half there until a person answers,
/// and Azure takes `Locked` from `Unlocked` only (backup.md §5.3).
fn before_door(defence: Defence) -> Option<&'static str> {
    match defence {
        Defence::Immutability => Some("Unlocked"),
        Defence::SoftDelete => Some("Enabled"),
        Defence::SoftDeleteDays | Defence::CrossRegionRestore | Defence::Redundancy | Defence::PublicNetworkAccess => None,
    }
}

/// What is raised to without a question: what is declared, or the last value before its door. Nothing where that stands.
fn unasked(s: &Subject<RecoveryVault>, facts: &Facts, defence: Defence, have: &str, want: String) -> Option<String> {
    let is_weaker = |want: &str| !strength::at_least(defence, have, want);
    let step = if is_door(s, facts, defence, &want) { before_door(defence)?.to_owned() } else { want };
    is_weaker(&step).then_some(step)
}

/// The doors that are declared and closed, and that nothing stands before any more.
pub(super) fn doors(s: &Subject<RecoveryVault>, facts: &Facts) -> Vec<Defence> {
    let Ok(id) = vault_id(&s.meta, &s.spec) else { return Vec::new() };
    let closed = |(defence, want): &(Defence, String)| {
        let closed = |have: &String| {
            !strength::at_least(*defence, have, want) && before_door(*defence).is_none_or(|step| strength::at_least(*defence, have, step))
        };
        seen(*defence, &id, facts).as_ref().is_some_and(closed) && is_door(s, facts, *defence, want)
    };
    declared(&s.spec).iter().filter(|door| closed(door)).map(|(defence, _)| *defence).collect()
}

/// The resource, the PATCH that opens one door, and the answer that it waits for.
pub(super) fn open(
    s: &Subject<RecoveryVault>,
    id: &ResourceId,
    facts: &Facts,
    door: Defence,
) -> (ResourceId, Change, Result<Approved, Hold>) {
    let have = seen(door, id, facts).unwrap_or_default();
    let (target, want, properties) = match door {
        Defence::SoftDelete => {
            let config = config_id(id);
            let body = facts.resource(&config).into_present().cloned().unwrap_or_default();
            let days = body.pointer("/properties/softDeleteRetentionPeriodInDays").cloned().unwrap_or(json!(14));
            let enhanced = text(&body, "/properties/enhancedSecurityState").unwrap_or("Enabled");
            let fields =
                json!({ "enhancedSecurityState": enhanced, "softDeleteFeatureState": "AlwaysON", "softDeleteRetentionPeriodInDays": days });
            (config, "AlwaysON", fields)
        }
        Defence::CrossRegionRestore => {
            let fields = both(facts.resource(id).into_present().map(|body| &**body), json!({ "crossRegionRestore": "Enabled" }));
            (id.clone(), "Enabled", json!({ "redundancySettings": fields }))
        }
        _ => (id.clone(), "Locked", json!({ "securitySettings": { "immutabilitySettings": { "state": "Locked" } } })),
    };
    let request = Request::new(Method::Patch, target.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties }));
    let before = facts.resource(&target).into_present().cloned();
    let around = |id: &ResourceId| facts.resource(id).into_present().cloned();
    let unseen = Stake { ids: vec![target.clone()], field: door.field().into(), from: have.clone(), to: want.into(), loses_points: false };
    let stake = defence::at_stake(&request, before.as_deref(), &around).unwrap_or(unseen);
    let asks = format!("spec.{}: {have} -> {want} on {id} can never be taken back, by nobody. Shall it be done", door.field());
    let answer = s.consent(Reason::OneWay, Question::to_approve(format!("one-way-{}", door.kebab()), stake, 1, asks));
    let differences = vec![Difference { field: door.field().into(), have, want: want.into() }];
    (target, Change { differences, request }, answer)
}

/// What is written whole must be known whole: a body that lacks soft delete or its days is not filled in by us.
pub(super) fn config_hold(config: &ResourceId, facts: &Facts) -> Option<Hold> {
    let body = facts.resource(config).into_present()?;
    let properties = body.get("properties")?;
    let is_whole = properties["softDeleteFeatureState"].is_string() && properties["softDeleteRetentionPeriodInDays"].is_i64();
    let message = || format!("{config} does not show soft delete and its days: nothing of it is written until it does");
    (!is_whole).then(|| Hold::wait(Reason::Unreadable, message()))
}

/// The PATCH of soft delete; all three fields, as clients send them (backup.md §6.2).
pub(super) fn soften_never(s: &Subject<RecoveryVault>, config: &ResourceId, facts: &Facts) -> Option<Change> {
    let soft = s.spec.soft_delete.as_ref()?;
    let body = facts.resource(config).present().cloned()?;
    let want_state = json!(soft.state).as_str().unwrap_or("Enabled").to_owned();
    let patch =
        |properties: Value| Request::new(Method::Patch, config.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties }));
    let shown = text(body, "/properties/softDeleteFeatureState").map(str::to_owned);
    let have_days = body.pointer("/properties/softDeleteRetentionPeriodInDays").and_then(Value::as_i64);
    let (Some(have_state), Some(_)) = (shown, have_days) else {
        // It differs until it is shown; that it is not sent is `config_hold`'s word.
        let unknown = Difference { field: Defence::SoftDelete.field().into(), have: "not shown".to_owned(), want: want_state };
        return Some(Change { differences: vec![unknown], request: patch(json!({})) });
    };
    let state = unasked(s, facts, Defence::SoftDelete, &have_state, want_state).unwrap_or_else(|| have_state.clone());
    let days = soft.retention_days.map(i64::from).max(have_days).unwrap_or(14);
    let mut differences = Vec::new();
    if state != have_state {
        differences.push(Difference { field: Defence::SoftDelete.field().into(), have: have_state, want: state.clone() });
    }
    if Some(days) != have_days {
        let have = have_days.map_or("nothing".to_owned(), |d| d.to_string());
        differences.push(Difference { field: Defence::SoftDeleteDays.field().into(), have, want: days.to_string() });
    }
    let enhanced = text(body, "/properties/enhancedSecurityState").unwrap_or("Enabled");
    let properties = json!({ "enhancedSecurityState": enhanced, "softDeleteFeatureState": state, "softDeleteRetentionPeriodInDays": days });
    (!differences.is_empty()).then_some(Change { differences, request: patch(properties) })
}

/// The merge of tags that are declared or ours and differ; never a replacement of the set.
pub(super) fn retag(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Change> {
    let body = facts.resource(id).into_present()?;
    let have = body.get("tags").and_then(Value::as_object).cloned().unwrap_or_default();
    let same = |key: &str, value: &str| have.iter().any(|(k, v)| k.eq_ignore_ascii_case(key) && v.as_str() == Some(value));
    let missing: BTreeMap<&String, &String> = s.spec.tags.iter().filter(|(k, v)| !same(k, v)).collect();
    let differences =
        missing.iter().map(|(k, v)| Difference { field: format!("tags.{k}"), have: "otherwise".into(), want: (*v).clone() }).collect();
    let path = format!("{id}/providers/Microsoft.Resources/tags/default");
    let body = json!({ "operation": "Merge", "properties": { "tags": missing } });
    let request = Request::new(Method::Patch, path, RESOURCES).with_body(body);
    (!missing.is_empty()).then_some(Change { differences, request })
}
