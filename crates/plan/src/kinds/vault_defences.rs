//! The defences of a vault: what is declared, what Azure shows, and what may not be asked for.

use std::collections::BTreeMap;

use breakwater_api::{ConditionType, Reason, RecoveryVault, RecoveryVaultSpec};
use breakwater_arm::ResourceId;
use serde_json::{Value, json};

use super::{items_of, recovery_vault::config_id, text, unreadable, vault_id};
use crate::{
    facts::Facts,
    graph::Hold,
    kind::{Said, Subject},
    sighting::Known,
    strength::{self, Defence},
};

/// What spec declares of each defence, in Azure's words; what it leaves out is not managed.
pub(super) fn declared(spec: &RecoveryVaultSpec) -> Vec<(Defence, String)> {
    let word = |v: Value| v.as_str().map(str::to_owned).unwrap_or_default();
    let mut all = Vec::new();
    if let Some(r) = spec.redundancy {
        all.push((Defence::Redundancy, word(json!(r))));
    }
    if let Some(on) = spec.cross_region_restore {
        all.push((Defence::CrossRegionRestore, if on { "Enabled" } else { "Disabled" }.to_owned()));
    }
    if let Some(soft) = &spec.soft_delete {
        all.push((Defence::SoftDelete, word(json!(soft.state))));
        all.extend(soft.retention_days.map(|days| (Defence::SoftDeleteDays, days.to_string())));
    }
    all.extend(spec.immutability.map(|i| (Defence::Immutability, word(json!(i)))));
    all.extend(spec.public_network_access.map(|p| (Defence::PublicNetworkAccess, word(json!(p)))));
    all
}

/// What Azure shows of a defence; `None` where it was not seen.
pub(super) fn seen(defence: Defence, id: &ResourceId, facts: &Facts) -> Option<String> {
    let vault = facts.resource(id).into_present().cloned()?;
    let config = facts.resource(&config_id(id)).present().cloned();
    let of_config = |pointer: &str| config.as_ref().and_then(|c| c.pointer(pointer).cloned());
    let plain = |v: Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    match defence {
        Defence::SoftDelete => of_config("/properties/softDeleteFeatureState").map(plain),
        Defence::SoftDeleteDays => of_config("/properties/softDeleteRetentionPeriodInDays").map(plain),
        // `null` and absent both mean Disabled (backup.md §5.2).
        Defence::Immutability => {
            Some(text(&vault, "/properties/securitySettings/immutabilitySettings/state").unwrap_or("Disabled").to_owned())
        }
        Defence::CrossRegionRestore => text(&vault, "/properties/redundancySettings/crossRegionRestore").map(str::to_owned),
        Defence::PublicNetworkAccess => text(&vault, "/properties/publicNetworkAccess").map(str::to_owned),
        Defence::Redundancy => text(&vault, "/properties/redundancySettings/standardTierStorageRedundancy").map(str::to_owned),
    }
}

/// Whether the vault ever held an item: then one-way settings wait for a person (backup.md §5.2, §5.3).
pub(super) fn ever_protected(s: &Subject<RecoveryVault>, facts: &Facts) -> bool {
    let Ok(id) = vault_id(&s.meta, &s.spec) else { return s.status.ever_protected };
    let items = facts.list(&items_of(&id)).is_some_and(|items| !items.is_empty());
    let version = facts.resource(&id).present().and_then(|b| text(b, "/properties/backupStorageVersion").map(str::to_owned));
    s.status.ever_protected || items || version.is_some_and(|v| !v.eq_ignore_ascii_case("Unassigned"))
}

/// A spec that asks for less than it declared before, or than a new vault would get.
pub(super) fn asks_for_less(s: &Subject<RecoveryVault>, facts: &Facts) -> Option<Hold> {
    let id = vault_id(&s.meta, &s.spec).ok()?;
    declared(&s.spec).into_iter().find_map(|(defence, want)| {
        let have = seen(defence, &id, facts)?;
        let made = s.status.vault.is_some().then(|| made_with(defence));
        let before = s.status.declared.get(defence.field()).map(String::as_str).or(made)?;
        (strength::weaker(defence, before, &want) && strength::weaker(defence, &have, &want)).then(|| {
            let message = format!(
                "spec.{} asks for {want}, and {id} has {have}: a defence is never lowered; set it back to {before} or stronger, or leave the field out: then it is not managed any more",
                defence.field()
            );
            Hold::stuck(Reason::WouldWeaken, message)
        })
    })
}

/// What a vault is made with where nothing is declared (api.md, "Literals").
fn made_with(defence: Defence) -> &'static str {
    match defence {
        Defence::Redundancy => "GeoRedundant",
        Defence::CrossRegionRestore => "Disabled",
        Defence::SoftDelete | Defence::PublicNetworkAccess => "Enabled",
        Defence::SoftDeleteDays => "14",
        Defence::Immutability => "Unlocked",
    }
}

/// What Azure no longer changes once the vault has held an item.
pub(super) fn too_late(s: &Subject<RecoveryVault>, facts: &Facts) -> Option<Hold> {
    let id = vault_id(&s.meta, &s.spec).ok()?;
    if !ever_protected(s, facts) {
        return alone_in_its_region(s, &id, facts);
    }
    declared(&s.spec).into_iter().find_map(|(defence, want)| {
        let have = seen(defence, &id, facts)?;
        let lacks = !strength::at_least(defence, &have, &want);
        (lacks && defence == Defence::Redundancy).then(|| {
            let message = format!(
                "spec.{} asks for {want}, {id} has {have}, and the vault has held backups: Azure changes it only before the first protection; set it to {have}",
                defence.field()
            );
            Hold::stuck(Reason::OneWay, message)
        })
    })
    .or_else(|| alone_in_its_region(s, &id, facts))
}

/// A vault without a copy in another region has nothing to restore there: nobody is asked about what Azure would refuse.
fn alone_in_its_region(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let wanted = s.spec.cross_region_restore == Some(true) && s.spec.redundancy.is_none();
    let closed = seen(Defence::CrossRegionRestore, id, facts).is_some_and(|have| !have.eq_ignore_ascii_case("Enabled"));
    let kept = seen(Defence::Redundancy, id, facts).filter(|have| !have.eq_ignore_ascii_case("GeoRedundant"))?;
    (wanted && closed).then(|| {
        let mend = match ever_protected(s, facts) {
            true => {
                "it has held backups, so Azure does not change that any more: leave crossRegionRestore out, or protect in another vault"
            }
            false => "declare spec.redundancy: GeoRedundant too, before the first protection",
        };
        Hold::stuck(Reason::InvalidSpec, format!("spec.crossRegionRestore needs a vault that is GeoRedundant, and {id} is {kept}; {mend}"))
    })
}

/// Keeps the strongest value that was declared and is met.
pub(super) fn remember_declared(s: &Subject<RecoveryVault>, facts: &Facts, kept: &mut BTreeMap<String, String>) {
    let Ok(id) = vault_id(&s.meta, &s.spec) else { return };
    for (defence, want) in declared(&s.spec) {
        let met = seen(defence, &id, facts).is_some_and(|have| strength::at_least(defence, &have, &want));
        let stronger = kept.get(defence.field()).is_none_or(|before| !strength::at_least(defence, before, &want));
        if met && stronger {
            kept.insert(defence.field().to_owned(), want);
        }
    }
}

/// Drift: stronger in Azure is left so and said; weaker is being raised.
pub(super) fn drifted(s: &Subject<RecoveryVault>, facts: &Facts) -> Said {
    let Ok(id) = vault_id(&s.meta, &s.spec) else {
        return Said::new(ConditionType::Drifted, None, Reason::InvalidSpec, "");
    };
    if !matches!(facts.resource(&id), Known::Present(..)) {
        return Said::new(ConditionType::Drifted, None, Reason::Unreadable, unreadable(&id, facts).message);
    }
    let differing = |pick: fn(Defence, &str, &str) -> bool| {
        let all = declared(&s.spec).into_iter().filter_map(|(d, want)| {
            seen(d, &id, facts).filter(|have| pick(d, have, &want)).map(|have| format!("{}: {have}, declared {want}", d.field()))
        });
        all.collect::<Vec<_>>().join("; ")
    };
    let weaker = differing(|d, have, want| !strength::at_least(d, have, want));
    let stronger = differing(strength::weaker);
    match (weaker.as_str(), stronger.as_str()) {
        ("", "") => Said::new(ConditionType::Drifted, Some(false), Reason::AsDeclared, ""),
        ("", stronger) => Said::new(ConditionType::Drifted, Some(true), Reason::StrongerThanDeclared, stronger),
        (weaker, _) => Said::new(ConditionType::Drifted, Some(true), Reason::Drifted, weaker),
    }
}
