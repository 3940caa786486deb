//! What a namespace's admin and a GitOps prune can delete or edit, in any order: no recovery point is lost, nothing is
//! stopped or removed, no defence is lowered (the oracle sees to that after every step), and protection goes on when the
//! manifests are back.

use std::sync::PoisonError;

use breakwater_engine::ports::{Entropy, ObjectKey};
use breakwater_tests::{
    entropy::SeededEntropy,
    sim::{Simulation, Truth},
};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use crate::{main_job::protected, manifests::SMALL};

/// Seeded permutations in the test run.
const SEEDS: u64 = 24;

/// Between two moves at most so many minutes pass.
const MINUTES: u64 = 15;

/// The kinds that somebody can get at.
const KINDS: [&str; 4] = ["ProtectedMachine", "BackupPolicy", "RecoveryVault", "AzureAccess"];

/// One thing that somebody does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Move {
    /// Deletes every object of a kind.
    Delete(&'static str),
    /// Deletes every object of the namespace, as its end or a prune does.
    Prune,
    /// Takes the finalizers off everything.
    StripFinalizers,
    /// Takes labels and owner references off the members.
    Disown,
    /// Empties every status.
    WipeStatuses,
    /// Has every status tell something that is not so.
    ForgeStatuses,
    /// Suspends everything, or lets it go on.
    Suspend(bool),
    /// Sets the mode of everything.
    Mode(&'static str),
    /// Edits the policy's spec.
    Policy(Edit),
    /// Edits the vault's spec.
    Vault(Edit),
    /// Edits the members' specs.
    Members(Edit),
    /// Edits what the admin grants.
    Access(Edit),
    /// The operator dies.
    Die,
    /// Git applies everything again.
    Apply,
}

/// A merge patch of a spec.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Edit {
    KeepLess,
    NoMachines,
    OtherMachines,
    Weekly,
    Weaker,
    NoDefences,
    OsDiskOnly,
    ShorterPolicy,
    Stopped,
    FewerGroups,
    OtherNamespaces,
    ReadOnly,
}

impl Edit {
    fn spec(self) -> Value {
        match self {
            Edit::KeepLess => json!({ "retention": { "instantRestoreDays": 1, "daily": { "keep": "7d" } } }),
            Edit::NoMachines => json!({ "machines": null, "whenUnselected": "StopAndRetain" }),
            Edit::OtherMachines => {
                let selector = json!({ "subscriptionId": SUBSCRIPTION, "tags": { "all": { "app": ["nothing"] } } });
                json!({ "machines": [{ "selector": selector }] })
            }
            Edit::Weekly => json!({
                "schedule": { "daily": null, "weekly": { "days": ["Sunday"], "at": "02:00" } },
                "retention": { "daily": null, "weekly": { "keep": 4, "days": ["Sunday"] } },
            }),
            Edit::Weaker => {
                json!({ "immutability": "Disabled", "softDelete": { "state": "Enabled", "retentionDays": 14 }, "deletionPolicy": "Delete" })
            }
            Edit::NoDefences => json!({ "immutability": null, "softDelete": null, "redundancy": null, "tags": null }),
            Edit::OsDiskOnly => json!({ "disks": { "osOnly": true } }),
            Edit::ShorterPolicy => json!({ "policyRef": { "name": "short" } }),
            Edit::Stopped => json!({ "protection": "Stopped", "deletionPolicy": "StopAndRetain" }),
            Edit::FewerGroups => json!({ "allow": [{ "subscriptionId": SUBSCRIPTION, "resourceGroups": ["rg-other"], "acts": ["Read"] }] }),
            Edit::OtherNamespaces => json!({ "namespaces": { "names": ["elsewhere"] } }),
            Edit::ReadOnly => json!({ "allow": [{ "subscriptionId": SUBSCRIPTION, "resourceGroups": ["*"], "acts": ["Read"] }] }),
        }
    }
}

const SUBSCRIPTION: &str = "50b50000-0000-4000-8000-000000000001";

/// Every move once.
fn moves() -> Vec<Move> {
    let mut all: Vec<Move> = KINDS.into_iter().map(Move::Delete).collect();
    all.extend([Move::Prune, Move::StripFinalizers, Move::Disown, Move::WipeStatuses, Move::ForgeStatuses, Move::Die, Move::Apply]);
    all.extend([Move::Suspend(true), Move::Suspend(false), Move::Mode("Plan"), Move::Mode("Observe"), Move::Mode("Manage")]);
    all.extend([Edit::KeepLess, Edit::NoMachines, Edit::OtherMachines, Edit::Weekly].map(Move::Policy));
    all.extend([Edit::Weaker, Edit::NoDefences].map(Move::Vault));
    all.extend([Edit::OsDiskOnly, Edit::ShorterPolicy, Edit::Stopped].map(Move::Members));
    all.extend([Edit::FewerGroups, Edit::OtherNamespaces, Edit::ReadOnly].map(Move::Access));
    all
}

/// A policy that keeps less, to which somebody may move a machine.
fn short() -> String {
    let (_, policy) = SMALL.rsplit_once("---\n").expect("the policy comes last");
    let selector = policy.find("  machines:").expect("it selects");
    policy[..selector].replace("name: daily,", "name: short,").replace("keep: 30d", "keep: 7d")
}

/// All keys of a kind, as they are.
fn keys(sim: &Simulation, kind: &str) -> Vec<ObjectKey> {
    let all = sim.cluster.live_all(kind);
    let key = |o: &kube::core::DynamicObject| ObjectKey {
        kind: kind.to_owned(),
        namespace: o.metadata.namespace.clone().unwrap_or_default(),
        name: o.metadata.name.clone().unwrap_or_default(),
    };
    all.iter().map(|object| key(object)).collect()
}

/// Whatever the API server refuses was not done: that is all that a red team gets. The policy that nothing is under may
/// keep less whenever somebody wants: it stays as it is.
fn patch(sim: &Simulation, kinds: &[&str], patch: &Value) {
    for key in kinds.iter().flat_map(|kind| keys(sim, kind)).filter(|key| key.name != "short") {
        let _ = sim.cluster.user().patch(&key, patch);
    }
}

fn spec(sim: &Simulation, kind: &str, edit: Edit) {
    // Field by field, so that one that the schema does not know does not save the others.
    for (field, value) in edit.spec().as_object().into_iter().flatten() {
        let body: Map<String, Value> = [(field.clone(), value.clone())].into_iter().collect();
        patch(sim, &[kind], &json!({ "spec": body }));
    }
    patch(sim, &[kind], &json!({ "spec": edit.spec() }));
}

fn wipe(sim: &Simulation, keep: impl Fn(&str) -> bool) {
    for key in KINDS.iter().flat_map(|kind| keys(sim, kind)) {
        let status = sim.cluster.live(&key).and_then(|object| object.data.get("status").cloned());
        let fields = status.as_ref().and_then(Value::as_object).into_iter().flatten();
        let nulls: Map<String, Value> = fields.filter(|(name, _)| !keep(name)).map(|(name, _)| (name.clone(), Value::Null)).collect();
        let _ = sim.cluster.user().patch_status(&key, &Value::Object(nulls));
    }
}

fn forge(sim: &Simulation) {
    let said = |kind: &str| match kind {
        "RecoveryVault" => json!({ "everProtected": false, "vault": null, "owned": [], "declared": { "immutability": "Disabled" } }),
        "BackupPolicy" => json!({ "applied": "0", "matched": 0, "protected": 0, "rpo": "1d", "owned": [] }),
        "ProtectedMachine" => {
            json!({ "protection": "NotProtected", "firstBackup": null, "recoveryPoints": null, "protectedSince": null, "owned": [] })
        }
        _ => json!({ "observedGeneration": 99 }),
    };
    for key in KINDS.iter().flat_map(|kind| keys(sim, kind)) {
        let _ = sim.cluster.user().patch_status(&key, &said(&key.kind));
    }
}

fn prune(sim: &Simulation, chance: &SeededEntropy) {
    let mut all: Vec<ObjectKey> = KINDS[..3].iter().flat_map(|kind| keys(sim, kind)).collect();
    shuffle(&mut all, chance);
    for key in all {
        let _ = sim.cluster.user().delete(&key);
    }
}

fn make(sim: &mut Simulation, what: Move, chance: &SeededEntropy) {
    match what {
        Move::Delete(kind) => keys(sim, kind).iter().for_each(|key| drop(sim.cluster.user().delete(key))),
        Move::Prune => prune(sim, chance),
        Move::StripFinalizers => patch(sim, &KINDS, &json!({ "metadata": { "finalizers": null } })),
        Move::Disown => patch(sim, &KINDS[..1], &json!({ "metadata": { "ownerReferences": null, "labels": null } })),
        Move::WipeStatuses => wipe(sim, |_| false),
        Move::ForgeStatuses => forge(sim),
        Move::Suspend(suspend) => patch(sim, &KINDS, &json!({ "spec": { "suspend": suspend } })),
        Move::Mode(mode) => patch(sim, &KINDS, &json!({ "spec": { "mode": mode } })),
        Move::Policy(edit) => spec(sim, "BackupPolicy", edit),
        Move::Vault(edit) => spec(sim, "RecoveryVault", edit),
        Move::Members(edit) => spec(sim, "ProtectedMachine", edit),
        Move::Access(edit) => spec(sim, "AzureAccess", edit),
        Move::Die => sim.die("in the middle of it"),
        Move::Apply => apply(sim),
    }
}

/// Git applies what it can: what is on its way out stays so until it is gone.
fn apply(sim: &Simulation) {
    let _ = sim.cluster.user().apply(SMALL);
    let _ = sim.cluster.user().apply(&short());
}

fn shuffle<T>(all: &mut [T], chance: &SeededEntropy) {
    for at in (1..all.len()).rev() {
        all.swap(at, chance.below(at as u64 + 1) as usize);
    }
}

/// Takes back what was done and is in no manifest, and applies everything, until nothing is on its way out.
fn put_right(sim: &mut Simulation) {
    for _ in 0..3 {
        let fields = ["suspend", "mode", "whenUnselected", "deletionPolicy", "protection", "disks"];
        for field in fields {
            let body: Map<String, Value> = [(field.to_owned(), Value::Null)].into_iter().collect();
            patch(sim, &KINDS, &json!({ "spec": body }));
        }
        // Git knows nothing of weekly things, and a merge does not take out what Git never said.
        patch(
            sim,
            &["BackupPolicy"],
            &json!({ "spec": { "schedule": { "weekly": null, "daily": { "at": "02:00" } }, "retention": { "weekly": null, "daily": { "keep": "30d" } } } }),
        );
        patch(sim, &["ProtectedMachine"], &json!({ "spec": { "policyRef": { "name": "daily" } } }));
        apply(sim);
        sim.run_for(SignedDuration::from_mins(20));
    }
}

/// How many points each protected machine has in Azure.
fn points(sim: &Simulation) -> Vec<(String, usize)> {
    let truth = Truth::read(&mut sim.azure.lock().unwrap_or_else(PoisonError::into_inner));
    let items = truth.vaults.values().flat_map(|vault| vault.items.iter());
    items.map(|(id, item)| (id.clone(), item.points.len())).collect()
}

fn ready(sim: &Simulation) -> bool {
    let machines = sim.cluster.live_all("ProtectedMachine");
    let protected = |o: &&std::sync::Arc<kube::core::DynamicObject>| {
        let conditions = o.data.pointer("/status/conditions").and_then(Value::as_array);
        let is_ready = conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
        is_ready && o.data.pointer("/status/protection") == Some(&json!("Protected"))
    };
    sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily") && machines.iter().filter(protected).count() == 2
}

/// One permutation of all moves.
fn play(seed: u64) {
    let (chance, mut sim) = (SeededEntropy::new(seed), protected());
    sim.apply(&short());
    sim.run_for(SignedDuration::from_mins(10));
    let before = points(&sim);
    assert_eq!(before.len(), 3, "two machines of ours and one of somebody else's: {before:?}");
    let mut all = moves();
    shuffle(&mut all, &chance);
    for what in &all {
        sim.story.push(format!("{} seed {seed}: {what:?}", sim.now()));
        make(&mut sim, *what, &chance);
        if chance.unit() < 0.8 {
            sim.run_for(SignedDuration::from_mins(1 + chance.below(MINUTES) as i64));
        }
    }
    put_right(&mut sim);
    sim.run_until(&format!("seed {seed}: protection goes on after {all:?}"), SignedDuration::from_hours(3), |sim| ready(sim));
    // Two schedules of 02:00 in Amsterdam lie in it at most; the oracle has seen that nothing was lost.
    let now = points(&sim);
    assert!(before.iter().all(|(id, count)| now.iter().any(|(other, n)| other == id && n >= count)), "{before:?} became {now:?}");
    if seed.is_multiple_of(4) {
        sim.run_until(&format!("seed {seed}: the next backups"), SignedDuration::from_hours(26), |sim| {
            points(sim).iter().filter(|(id, n)| before.iter().any(|(other, count)| other == id && n > count)).count() == 3
        });
    }
}

fn permutations(part: u64) {
    (1..=SEEDS).filter(|seed| seed % 2 == part).for_each(play);
}

#[test]
fn whatever_is_deleted_or_edited_in_any_even_order_costs_no_point_and_protection_goes_on() {
    permutations(0);
}

#[test]
fn whatever_is_deleted_or_edited_in_any_odd_order_costs_no_point_and_protection_goes_on() {
    permutations(1);
}

#[test]
fn any_two_moves_in_either_order_cost_nothing() {
    let all = moves();
    for (first, second) in all.iter().enumerate().flat_map(|(at, first)| all[at + 1..].iter().map(move |second| (*first, *second))) {
        // One in so many: the seeds have all of them at once.
        if (all.iter().position(|m| *m == first).unwrap_or(0) + all.iter().position(|m| *m == second).unwrap_or(0)) % 29 != 0 {
            continue;
        }
        for pair in [[first, second], [second, first]] {
            let (chance, mut sim) = (SeededEntropy::new(1), protected());
            sim.apply(&short());
            for what in pair {
                make(&mut sim, what, &chance);
                sim.run_for(SignedDuration::from_mins(11));
            }
            put_right(&mut sim);
            sim.run_until(&format!("protection goes on after {pair:?}"), SignedDuration::from_hours(3), |sim| ready(sim));
        }
    }
}
