//! The disks that a declaration of LUNs means. A LUN is a place, and what is attached there may change: so what it meant when
//! it was first seen is pinned by Azure's unique ids, and coverage follows the disks, never to less than the LUNs say.

use std::collections::BTreeSet;

use breakwater_api::{
    ProtectedMachine,
    protected_machine::{PinnedDisk, PinnedDisks},
};
use breakwater_arm::{ResourceId, bodies::VirtualMachine};
use serde_json::Value;

use super::{
    machine_place::{Place, vm},
    machines_of,
};
use crate::{
    disks::Coverage,
    facts::{Facts, Fresh, Need},
    kind::Subject,
};

/// The data disks as the machine shows them, else as it last did: LUN and id.
fn attached(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Vec<(i64, ResourceId)> {
    let Some(vm) = vm(p, facts) else {
        let told = s.status.disks.iter().filter(|d| d.lun >= 0);
        return told.filter_map(|d| Some((i64::from(d.lun), d.id.parse().ok()?))).collect();
    };
    data_disks(&vm)
}

fn data_disks(vm: &VirtualMachine) -> Vec<(i64, ResourceId)> {
    let storage = vm.properties.storage_profile.as_ref();
    let disks = storage.and_then(|s| s.data_disks.as_ref()).into_iter().flatten();
    disks.filter_map(|d| Some((d.lun?, d.managed_disk.as_ref()?.id.as_ref()?.id()?))).collect()
}

fn luns(declared: &Coverage) -> Option<&BTreeSet<i64>> {
    match declared {
        Coverage::All => None,
        Coverage::Only(luns) | Coverage::AllBut(luns) => Some(luns).filter(|l| !l.is_empty()),
    }
}

/// The pins that speak of this declaration.
fn pins<'a>(s: &'a Subject<ProtectedMachine>, declared: &Coverage) -> &'a [PinnedDisk] {
    s.status.pinned_disks.as_ref().filter(|pinned| pinned.declared == declared.show()).map_or(&[], |pinned| &pinned.disks)
}

fn unique_id(disk: &ResourceId, facts: &Facts) -> Option<String> {
    let body = facts.read(disk).into_present()?;
    body.pointer("/properties/uniqueId").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Disks are read where a declaration is to be pinned or to leave more out, and again when the machine changed: one of the same
/// name may be another.
pub(super) fn needs(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts, declared: &Coverage) -> Vec<Need> {
    let Some(luns) = luns(declared) else { return Vec::new() };
    let pinned = pins(s, declared);
    let changed = vm(p, facts).is_some();
    let listed = facts.listed(&machines_of(p.machine.subscription_id()), &p.machine);
    let version = listed.present().and_then(|b| b.get("changedTime")).and_then(Value::as_str).unwrap_or_default();
    let have = p.item_body(facts).map(|body| Coverage::of_item(body));
    let drops = |lun: i64| !declared.covers(lun) && have.as_ref().is_some_and(|have| have.covers(lun));
    let meant = |lun: i64, id: &ResourceId| {
        let here = pinned.iter().any(|pin| i64::from(pin.lun) == lun || is_named(id, pin));
        if here { changed || drops(lun) } else { luns.contains(&lun) }
    };
    let disks = attached(s, p, facts).into_iter().filter(|(lun, id)| meant(*lun, id));
    disks.map(|(_, id)| Need::Read { id, fresh: Fresh::Version(version.to_owned()) }).collect()
}

fn is_named(id: &ResourceId, pin: &PinnedDisk) -> bool {
    pin.id.parse::<ResourceId>().is_ok_and(|pinned| pinned == *id)
}

/// What the declaration means now. Disks to back up are covered wherever they are attached, beside their LUNs. A LUN to leave
/// out is left out only while the disk that was meant is there: another one in its place, and that one elsewhere, are covered.
pub(super) fn follow(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts, declared: Coverage, have: Option<&Coverage>) -> Coverage {
    let pinned = pins(s, &declared);
    if pinned.is_empty() {
        return declared;
    }
    let attached = attached(s, p, facts);
    // Of a disk that was not read nothing new is said.
    let same = |id: &ResourceId, pin: &PinnedDisk| is_named(id, pin) && unique_id(id, facts).is_none_or(|unique| unique == pin.unique_id);
    match declared {
        Coverage::All => Coverage::All,
        Coverage::Only(luns) => {
            let now = attached.iter().filter(|(_, id)| pinned.iter().any(|pin| same(id, pin))).map(|(lun, _)| *lun);
            Coverage::Only(luns.into_iter().chain(now).collect())
        }
        Coverage::AllBut(luns) => {
            let left_out = |lun: &i64| {
                let Some(pin) = pinned.iter().find(|pin| i64::from(pin.lun) == *lun) else { return true };
                let Some((_, here)) = attached.iter().find(|(at, _)| at == lun) else { return true };
                // Where nobody looked since a start, what Azure covers by now stays covered.
                let unsure = unique_id(here, facts).is_none() && have.is_some_and(|have| have.covers(*lun));
                same(here, pin) && !unsure
            };
            let left = luns.into_iter().filter(left_out).collect::<BTreeSet<_>>();
            if left.is_empty() { Coverage::All } else { Coverage::AllBut(left) }
        }
    }
}

/// The pins to save: those there are, and those of LUNs whose disk is known by now.
pub(super) fn pinned(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts, declared: &Coverage) -> Option<PinnedDisks> {
    let luns = luns(declared)?;
    let mut disks = pins(s, declared).to_vec();
    for (lun, id) in attached(s, p, facts) {
        let Ok(at) = i32::try_from(lun) else { continue };
        if !luns.contains(&lun) || disks.iter().any(|pin| pin.lun == at) {
            continue;
        }
        disks.extend(unique_id(&id, facts).map(|unique_id| PinnedDisk { lun: at, id: id.to_string(), unique_id }));
    }
    disks.sort_by_key(|pin| pin.lun);
    (!disks.is_empty()).then(|| PinnedDisks { declared: declared.show(), disks })
}
