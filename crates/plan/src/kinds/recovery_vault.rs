//! `RecoveryVault`: one Recovery Services vault with its defences. Raises them as declared, never lowers one, never
//! makes a vault anew that was there before.

use std::collections::BTreeMap;

use breakwater_api::{
    Reason, RecoveryVault, RecoveryVaultSpec, RecoveryVaultStatus,
    recovery_vault::{ObservedSoftDelete, ObservedVault},
    status::Owned,
};
use breakwater_arm::{
    ResourceId,
    versions::{RECOVERY_SERVICES, RESOURCES},
    wire::{Method, Request},
};
use serde_json::{Map, Value, json};

use super::{
    DRIFT_WITHIN, items_of, kept, owner_tags, text,
    vault_defences::{asks_for_less, declared, drifted, ever_protected, remember_declared, seen, too_late},
    vault_id, vault_is_ours,
};
use crate::{
    facts::{Facts, Need},
    graph::{Change, Desired, Difference, Goal, Hold, Node, Ownership},
    kind::{Claim, Decided, Kind, Meta, Promise, Report, Subject},
    strength::{self, Defence},
};

impl Kind for RecoveryVault {
    const NAME: &'static str = "RecoveryVault";
    type Spec = RecoveryVaultSpec;
    type Status = RecoveryVaultStatus;

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let Ok(id) = vault_id(&s.meta, &s.spec) else { return Vec::new() };
        let mut needs = vec![kept(&id)];
        if known.resource(&id).present().is_some() {
            needs.push(kept(&config_id(&id)));
            needs.push(Need::Inventory { list: items_of(&id), watch: None });
        }
        needs
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        let id = vault_id(&s.meta, &s.spec)?;
        let owner = s.owner();
        let not_ours = vault_is_ours(&id, facts, &s.estate, &owner, &s.writer);
        let hold = not_ours.or_else(|| moved(s, &id, facts)).or_else(|| asks_for_less(s, facts)).or_else(|| too_late(s, facts));
        let tagged = || Ownership::Tagged { owner: owner.clone() };
        let lock = || [format!("vault-config:{}", id.key())];
        let mut graph = Desired::new();
        // Once seen, never made again empty.
        let create = s.status.vault.is_none().then(|| put(s, &id));
        let vault = Goal::Exists { create, change: raise(s, &id, facts) };
        graph.node("vault", Node::arm(id.clone(), vault, tagged()).locking(lock()).held(hold.clone()));
        let tags = Goal::Exists { create: None, change: retag(s, &id, facts) };
        graph.node("tags", Node::arm(id.clone(), tags, tagged()).after(&["vault"]).locking(lock()).held(hold.clone()));
        if s.spec.soft_delete.is_some() {
            let config = config_id(&id);
            let goal = Goal::Exists { create: None, change: soften_never(s, &config, facts) };
            graph.node("soft-delete", Node::arm(config, goal, tagged()).after(&["vault"]).locking(lock()).held(hold));
        }
        Ok(graph)
    }

    fn report(s: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report {
        let id = vault_id(&s.meta, &s.spec).ok();
        let body = id.as_ref().and_then(|id| facts.resource(id).into_present().cloned());
        let mut status = s.status.clone();
        if let (Some(id), Some(body)) = (&id, &body) {
            let config = facts.resource(&config_id(id)).present().cloned();
            status.vault = Some(observed(s, id, body, config.as_deref().map(|c| &**c)));
            status.ever_protected = ever_protected(s, facts);
            status.protected_items = facts.list(&items_of(id)).map(|items| items.len() as i64);
            remember_declared(s, facts, &mut status.declared);
        }
        let ours = decided.is_ok_and(|plan| plan.converged());
        let promise = match (&id, ours) {
            (Some(id), true) => Promise::kept(Reason::AsDeclared, format!("{id} is as declared")),
            (Some(id), false) => Promise::broken(Reason::NotYetObserved, format!("{id} is not as declared")),
            (None, _) => Promise::broken(Reason::InvalidSpec, "the spec makes no vault id"),
        };
        let made = body.is_some() && facts_are_ours(s, id.as_ref(), facts);
        Report {
            status: as_map(&status),
            promise,
            conditions: vec![drifted(s, facts)],
            owned: if made { owned(s, id.as_ref()) } else { s.owned.clone() },
            next: Some(s.now + DRIFT_WITHIN),
        }
    }

    fn claims(meta: &Meta, spec: &RecoveryVaultSpec, owned: &[Owned]) -> Vec<Claim> {
        let claim = |id: ResourceId| {
            let holds = owned.iter().any(|o| o.id.eq_ignore_ascii_case(id.as_str()));
            Claim { key: format!("vault {}", id.key()), holds, explicit: true }
        };
        vault_id(meta, spec).map(claim).into_iter().collect()
    }
}

pub(super) fn config_id(vault: &ResourceId) -> ResourceId {
    vault.child("backupconfig", "vaultconfig").expect("two plain words below a vault")
}

fn facts_are_ours(s: &Subject<RecoveryVault>, id: Option<&ResourceId>, facts: &Facts) -> bool {
    id.is_some_and(|id| vault_is_ours(id, facts, &s.estate, &s.owner(), &s.writer).is_none())
}

fn owned(s: &Subject<RecoveryVault>, id: Option<&ResourceId>) -> Vec<Owned> {
    let mut owned = s.owned.clone();
    if let Some(id) = id.filter(|id| !s.owns(id)) {
        owned.push(Owned { id: id.to_string(), name: Some("vault".into()), since: s.now });
    }
    owned
}

/// A vault of that id in another region, or on the move, is not the one that is declared.
fn moved(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let body = facts.resource(id).into_present()?;
    let there = text(body, "/location").unwrap_or_default();
    (!crate::selection::same_location(there, &s.spec.location)).then(|| {
        let message =
            format!("{id} is in {there}, and spec.location says {}: location is immutable, make a new RecoveryVault", s.spec.location);
        Hold::stuck(Reason::LocationMismatch, message)
    })
}

/// The vault as it is made (backup.md §5.1): what is declared, and strong where nothing is.
fn put(s: &Subject<RecoveryVault>, id: &ResourceId) -> Request {
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
            "securitySettings": { "immutabilitySettings": { "state": spec.immutability.map_or(json!("Unlocked"), |i| json!(i)) } },
        },
    });
    Request::new(Method::Put, id.as_str(), RECOVERY_SERVICES).with_body(body)
}

/// The PATCH that raises what is weaker than declared.
fn raise(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Change> {
    let mut differences = Vec::new();
    let mut properties = Map::new();
    for (defence, want) in declared(&s.spec) {
        let Some(have) = seen(defence, id, facts) else { continue };
        if strength::at_least(defence, &have, &want) {
            continue;
        }
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
    let request = Request::new(Method::Patch, id.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties }));
    (!differences.is_empty()).then_some(Change { differences, request })
}

/// The PATCH of soft delete; all three fields, as clients send them (backup.md §6.2).
fn soften_never(s: &Subject<RecoveryVault>, config: &ResourceId, facts: &Facts) -> Option<Change> {
    let soft = s.spec.soft_delete.as_ref()?;
    let body = facts.resource(config).present().cloned()?;
    let have_state = text(&body, "/properties/softDeleteFeatureState").unwrap_or("Disabled").to_owned();
    let have_days = body.pointer("/properties/softDeleteRetentionPeriodInDays").and_then(Value::as_i64);
    let want_state = json!(soft.state).as_str().unwrap_or("Enabled").to_owned();
    let state = if strength::at_least(Defence::SoftDelete, &have_state, &want_state) { have_state.clone() } else { want_state };
    let days = soft.retention_days.map(i64::from).max(have_days).unwrap_or(14);
    let mut differences = Vec::new();
    if state != have_state {
        differences.push(Difference { field: Defence::SoftDelete.field().into(), have: have_state, want: state.clone() });
    }
    if Some(days) != have_days {
        let have = have_days.map_or("nothing".to_owned(), |d| d.to_string());
        differences.push(Difference { field: Defence::SoftDeleteDays.field().into(), have, want: days.to_string() });
    }
    let enhanced = text(&body, "/properties/enhancedSecurityState").unwrap_or("Enabled");
    let properties = json!({ "enhancedSecurityState": enhanced, "softDeleteFeatureState": state, "softDeleteRetentionPeriodInDays": days });
    let request = Request::new(Method::Patch, config.as_str(), RECOVERY_SERVICES).with_body(json!({ "properties": properties }));
    (!differences.is_empty()).then_some(Change { differences, request })
}

/// The merge of tags that are declared or ours and differ; never a replacement of the set.
fn retag(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Change> {
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

fn observed(s: &Subject<RecoveryVault>, id: &ResourceId, body: &Value, config: Option<&Value>) -> ObservedVault {
    let own = |pointer: &str| text(body, pointer).map(str::to_owned);
    let soft = config.and_then(|c| {
        let days = c.pointer("/properties/softDeleteRetentionPeriodInDays").and_then(Value::as_i64);
        let retention_days = days.and_then(|d| i32::try_from(d).ok());
        Some(ObservedSoftDelete { state: text(c, "/properties/softDeleteFeatureState")?.to_owned(), retention_days })
    });
    let before = s.status.vault.clone().unwrap_or_default();
    ObservedVault {
        id: id.to_string(),
        location: own("/location"),
        redundancy: own("/properties/redundancySettings/standardTierStorageRedundancy"),
        redundancy_state: before.redundancy_state,
        cross_region_restore: own("/properties/redundancySettings/crossRegionRestore").map(|w| w.eq_ignore_ascii_case("Enabled")),
        soft_delete: soft.or(before.soft_delete),
        immutability: own("/properties/securitySettings/immutabilitySettings/state").or(Some("Disabled".into())),
        public_network_access: own("/properties/publicNetworkAccess"),
        first_seen: before.first_seen.or(Some(s.now)),
    }
}

fn as_map<T: serde::Serialize>(status: &T) -> Map<String, Value> {
    serde_json::to_value(status).ok().and_then(|v| v.as_object().cloned()).unwrap_or_default()
}
