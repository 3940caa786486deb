//! `RecoveryVault`: one Recovery Services vault with its defences. Raises them as declared, never lowers one, never
//! makes a vault anew that was there before.

use breakwater_api::{
    ConditionType, Reason, RecoveryVault, RecoveryVaultSpec, RecoveryVaultStatus,
    recovery_vault::{ObservedSoftDelete, ObservedVault},
    references::DeletionPolicy,
    status::Owned,
};
use breakwater_arm::ResourceId;
use serde_json::Value;

use super::{
    DRIFT_WITHIN, as_map, gone, items_of, kept, seconds,
    takeover::before_ours,
    text,
    vault_defences::{asks_for_less, drifted, ever_protected, remember_declared, too_late},
    vault_deletion, vault_guard, vault_id, vault_is_ours,
    vault_writes::{config_hold, doors, open, put, raise, retag, soften_never, wrong_tags},
};
use crate::{
    facts::{Facts, Fresh, Need},
    graph::{Desired, Goal, Hold, Node, Ownership},
    kind::{Claim, Decided, Kind, Meta, Promise, Report, Said, Subject},
    selection::same_location,
    sighting::Known,
};

impl Kind for RecoveryVault {
    const NAME: &'static str = "RecoveryVault";
    type Spec = RecoveryVaultSpec;
    type Status = RecoveryVaultStatus;
    const LISTS: &'static [&'static str] = &["blockers"];

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let Ok(id) = vault_id(&s.meta, &s.spec) else { return Vec::new() };
        let mut needs = vec![kept(&id)];
        needs.extend(gone::vault_needs(s, &id, known));
        if s.meta.deleting && s.spec.deletion_policy == DeletionPolicy::Delete {
            needs.extend(vault_deletion::needs(&id));
        }
        if let Known::Present(at, _) = known.read(&id) {
            // A write of a vault may set its config back (backup.md §5.3): the config is never older than the vault.
            needs.push(Need::Read { id: config_id(&id), fresh: Fresh::After(at) });
        }
        if known.resource(&id).present().is_some() {
            needs.extend(s.spec.resource_guard.as_ref().map(|_| kept(&vault_guard::proxy_id(&id))));
            needs.push(Need::Inventory { list: items_of(&id), watch: None });
        }
        needs
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        let id = vault_id(&s.meta, &s.spec)?;
        let owner = s.owner();
        if s.meta.deleting {
            return vault_deletion::desire(s, &id, facts);
        }
        if let Some(wrong) = wrong_tags(&s.spec) {
            return Err(wrong);
        }
        let hold = gone::vault_hold(s, &id, facts)
            .or_else(|| in_another_region(s, &id, facts))
            .or_else(|| asks_for_less(s, facts))
            .or_else(|| too_late(s, facts));
        if let Some(first) = before_ours(s, &id, facts, hold.clone()) {
            return Ok(first);
        }
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
            let mut change = soften_never(s, &config, facts);
            if let Some(change) = &mut change {
                vault_guard::guarded(&mut change.request, &id, facts, CONFIG_WRITE);
            }
            let hold = hold.clone().or_else(|| config_hold(&config, facts));
            let goal = Goal::Exists { create: None, change };
            graph.node("soft-delete", Node::arm(config, goal, tagged()).after(&["vault"]).locking(lock()).held(hold));
        }
        vault_guard::add(s, &id, facts, hold.as_ref(), &mut graph);
        // What cannot be taken back is asked about, each door by itself; everything else goes on.
        for door in doors(s, facts) {
            let (target, mut change, answer) = open(s, &id, facts, door);
            if target == config_id(&id) {
                vault_guard::guarded(&mut change.request, &id, facts, CONFIG_WRITE);
            }
            let (approved, asked) = (answer.as_ref().ok().cloned(), answer.err());
            let unknown = (target == config_id(&id)).then(|| config_hold(&target, facts)).flatten();
            let goal = Goal::Exists { create: None, change: Some(change) };
            let node = Node::arm(target, goal, tagged()).after(&["vault"]).locking(lock()).held(hold.clone().or(unknown).or(asked));
            graph.node(&format!("one-way-{}", door.kebab()), node.approved(approved));
        }
        Ok(graph)
    }

    fn report(s: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report {
        let id = vault_id(&s.meta, &s.spec).ok();
        let body = id.as_ref().and_then(|id| facts.resource(id).into_present().cloned());
        let mut status = s.status.clone();
        if let (Some(id), Some(body)) = (&id, &body) {
            let config = facts.resource(&config_id(id)).present().cloned();
            let guard =
                facts.resource(&vault_guard::proxy_id(id)).into_present().and_then(|b| text(b, "/properties/resourceGuardResourceId"));
            let resource_guard = guard.map(str::to_owned);
            status.vault = Some(ObservedVault { resource_guard, ..observed(s, id, body, config.map(|c| &**c)) });
            status.key_uri = text(body, "/properties/encryption/keyVaultProperties/keyUri").map(str::to_owned);
            status.ever_protected = ever_protected(s, facts);
            status.protected_items = facts.list(&items_of(id)).map(|items| items.len() as i64);
            remember_declared(s, facts, &mut status.declared);
            status.blockers = if s.meta.deleting { vault_deletion::shown(id, facts) } else { Vec::new() };
        }
        let ours = decided.is_ok_and(|plan| plan.converged());
        let promise = match (&id, ours) {
            (Some(id), true) => Promise::kept(Reason::AsDeclared, format!("{id} is as declared")),
            (Some(id), false) if facts.read(id).is_absent() => Promise::broken(Reason::Missing, format!("{id} does not exist")),
            (Some(id), false) => Promise::broken(Reason::NotYetObserved, format!("{id} is not as declared")),
            (None, _) => Promise::broken(Reason::InvalidSpec, "the spec makes no vault id"),
        };
        let made = body.is_some() && facts_are_ours(s, id.as_ref(), facts);
        Report {
            status: as_map(&status),
            promise,
            conditions: [drifted(s, facts)].into_iter().chain(in_source_region(s)).collect(),
            owned: if made { owned(s, id.as_ref()) } else { s.owned.clone() },
            next: Some(s.now + DRIFT_WITHIN),
            remove_at: None,
        }
    }

    fn acts_on_deletion(spec: &RecoveryVaultSpec) -> bool {
        spec.deletion_policy == DeletionPolicy::Delete
    }

    fn claims(meta: &Meta, spec: &RecoveryVaultSpec, owned: &[Owned]) -> Vec<Claim> {
        let claim = |id: ResourceId| {
            let holds = owned.iter().any(|o| o.id.eq_ignore_ascii_case(id.as_str()));
            Claim { key: format!("vault {}", id.key()), target: id, holds, explicit: true }
        };
        vault_id(meta, spec).map(claim).into_iter().collect()
    }
}

/// What a guard calls a write of a vault's config.
const CONFIG_WRITE: &[&str] = &["backupconfig/write"];

pub(super) fn config_id(vault: &ResourceId) -> ResourceId {
    vault.child("backupconfig", "vaultconfig").expect("two plain words below a vault")
}

fn facts_are_ours(s: &Subject<RecoveryVault>, id: Option<&ResourceId>, facts: &Facts) -> bool {
    id.is_some_and(|id| vault_is_ours(id, facts, &s.estate, &s.owner(), &s.writer).is_none())
}

fn owned(s: &Subject<RecoveryVault>, id: Option<&ResourceId>) -> Vec<Owned> {
    let mut owned = s.owned.clone();
    if let Some(id) = id.filter(|id| !s.owns(id)) {
        owned.push(Owned { id: id.to_string(), name: Some("vault".into()), since: seconds(s.now) });
    }
    owned
}

/// A vault of that id in another region is not the one that is declared.
fn in_another_region(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    let body = facts.resource(id).into_present()?;
    let there = text(body, "/location").unwrap_or_default();
    (!same_location(there, &s.spec.location)).then(|| {
        let message =
            format!("{id} is in {there}, and spec.location says {}: location is immutable, make a new RecoveryVault", s.spec.location);
        Hold::stuck(Reason::LocationMismatch, message)
    })
}

/// Whether the cluster would be lost together with what it protects; nothing is said where the operator was not told.
fn in_source_region(s: &Subject<RecoveryVault>) -> Option<Said> {
    let (region, there) = (s.region.as_deref()?, &s.spec.location);
    let same = same_location(region, there);
    let (reason, message) = if same {
        let message = format!(
            "this cluster runs in {region}, where the vault is: to restore when the region is lost, keep the manifests and a cluster elsewhere"
        );
        (Reason::SameRegion, message)
    } else {
        (Reason::OtherRegion, format!("this cluster runs in {region}, the vault is in {there}"))
    };
    Some(Said::new(ConditionType::ControlPlaneInSourceRegion, Some(same), reason, message))
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
        cross_region_restore: own("/properties/redundancySettings/crossRegionRestore").map(|w| w.eq_ignore_ascii_case("Enabled")),
        soft_delete: soft.or(before.soft_delete),
        immutability: own("/properties/securitySettings/immutabilitySettings/state").or(Some("Disabled".into())),
        public_network_access: own("/properties/publicNetworkAccess"),
        resource_guard: None,
        first_seen: before.first_seen.or(Some(seconds(s.now))),
    }
}
