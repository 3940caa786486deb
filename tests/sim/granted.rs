//! The shipped Azure roles hold what is used and nothing else: every action that a story asks of the operator's roles is
//! in one of them, and every action in them is asked for by a story.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use breakwater_tests::sim::{Options, Simulation};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    files,
    manifests::SMALL,
    paired,
    people::{asked, edit, granted, key, member, policy_with, protected, sent, vault_with},
    restores,
};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const SUBSCRIPTION: &str = "/subscriptions/50b50000-0000-4000-8000-000000000001";
const GUARD: &str =
    "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-guard/providers/Microsoft.DataProtection/resourceGuards/guard";
const KEY: &str = "https://kv-shop.vault.azure.net/keys/backup";

/// What only Azure's documentation asks for, and azure-sim never does: writing to the machine whose backup is enabled, and
/// polling a policy's change, which every recording shows done at once (backup.md §7.2); and what a list of a group's
/// resources shows only to whoever may read it.
const DOCUMENTED: [&str; 3] = [
    "microsoft.compute/virtualmachines/write",
    "microsoft.recoveryservices/vaults/backuppolicies/operations/read",
    "microsoft.network/networkinterfaces/read",
];

fn all_acts(manifest: &str) -> String {
    manifest
        .replace("acts: [Read, Protect, Backup]", "acts: [Read, Protect, Backup, Delete]")
        .replace("immutability: Unlocked", "immutability: Disabled")
}

/// The actions that the operator was let through with.
fn used(sim: &Simulation) -> BTreeSet<String> {
    let azure = sim.azure.lock().expect("no thread died");
    let ours = azure.journal().entries().iter().filter(|e| e.client == "c11e0000-0000-4000-8000-000000000001");
    ours.flat_map(|e| e.actions.iter().map(|a| a.to_ascii_lowercase())).collect()
}

/// Each role's actions.
fn roles() -> BTreeMap<String, BTreeSet<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("deploy/azure-roles");
    let files = std::fs::read_dir(folder).expect("the roles").map(|f| f.expect("a file").path());
    let read = |path: std::path::PathBuf| {
        let role: Value = serde_json::from_slice(&std::fs::read(&path).expect("a role")).expect("a role is JSON");
        let actions = role["Actions"].as_array().expect("Actions").iter().map(|a| a.as_str().expect("a word").to_ascii_lowercase());
        (path.file_stem().expect("a name").to_string_lossy().into_owned(), actions.collect())
    };
    files.filter(|path| path.extension().is_some_and(|e| e == "json")).map(read).collect()
}

/// Protected and backed up, stopped, a policy edited, everything taken away.
fn the_main_story() -> Simulation {
    let manifest = policy_with(&all_acts(SMALL), "deletionPolicy: Delete");
    let manifest = manifest.replace("    - selector:", "    - disks: { include: [0] }\n      selector:");
    let mut sim = Simulation::new(Options::default());
    sim.apply(&manifest);
    sim.run_until("points", HOUR * 8, |sim| {
        let all = sim.cluster.live_all("ProtectedMachine");
        all.iter().filter(|o| o.data.pointer("/status/recoveryPoints/latestInVault").is_some()).count() == 2
    });
    sim.apply(&manifest.replace("keep: 30d", "keep: 40d").replace("cost-center: shop", "cost-center: web"));
    sim.run_until("both edits", HOUR * 2, |sim| {
        let written = |word: &str| sim.requests().iter().filter(|line| line.contains(word) && !line.contains(" GET ")).count();
        written("/backupPolicies/") == 2 && written("/tags/default") == 1 && sim.is_ready("BackupPolicy", "daily")
    });
    sim
}

/// An empty vault and a policy that go again.
fn a_vault_goes() -> Simulation {
    let manifest = vault_with(&policy_with(&all_acts(SMALL), "deletionPolicy: Delete"), "deletionPolicy: Delete");
    let manifest = manifest.replace("all: { app: [shop] }", "all: { app: [nothing] }");
    let mut sim = Simulation::new(Options::default());
    sim.apply(&manifest);
    sim.run_until("both", HOUR * 2, |sim| sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily"));
    for (kind, name) in [("BackupPolicy", "daily"), ("RecoveryVault", "main")] {
        let key = key(kind, name);
        sim.cluster.user().delete(&key).expect("the API server takes it");
        sim.run_until("it goes", HOUR * 2, |sim| sim.cluster.live(&key).is_none());
    }
    sim
}

/// A vault that somebody deletes.
fn a_vault_is_gone() -> Simulation {
    let mut sim = Simulation::new(Options::default());
    sim.apply(&SMALL.split("---").take(2).collect::<Vec<_>>().join("---"));
    sim.run_until("the vault", HOUR, |sim| sim.is_ready("RecoveryVault", "main"));
    let id = format!("{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.RecoveryServices/vaults/rv-shop-weu");
    sim.behind_our_back(&[json!({ "method": "DELETE", "id": id })]);
    sim.run_for(HOUR);
    sim
}

/// A vault under a resource guard. Who looks at it may read its groups, not the subscription.
fn a_guarded_vault() -> Simulation {
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/guarded.yaml", ..Options::default() });
    let guard = format!("  tags: {{ cost-center: shop }}\n  resourceGuard: {{ id: {GUARD} }}");
    let manifest = all_acts(SMALL)
        .replace("resourceGroups: [rg-shop, rg-backup]", "resourceGroups: [rg-shop, rg-backup, rg-guard]")
        .replace("  tags: { cost-center: shop }", &guard);
    sim.apply(&manifest);
    sim.run_until("all stands", HOUR * 3, |sim| sim.is_ready("RecoveryVault", "main") && sim.is_ready("BackupPolicy", "daily"));
    sim
}

/// A vault with a key of one's own, which a user-assigned identity reads.
fn a_vault_with_a_key() -> Simulation {
    let mut sim = Simulation::new(Options { estate: "tests/sim/estates/guarded.yaml", ..Options::default() });
    let reader = format!("{SUBSCRIPTION}/resourceGroups/rg-backup/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-backup");
    sim.apply(&vault_with(&all_acts(SMALL), &format!("encryption: {{ keyUri: '{KEY}', identity: {reader} }}")));
    sim.run_until("it has its key", HOUR * 3, |sim| sim.is_ready("RecoveryVault", "main"));
    assert_eq!(sim.status("RecoveryVault", "main")["keyUri"], KEY, "{}", sim.tell());
    sim
}

/// A backup that is cancelled, a restore to a new machine, and one in place of disks.
fn runs() -> Simulation {
    let mut sim = restores::ready();
    let backup = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "BackupRun", "metadata": { "name": "one", "namespace": "shop" },
        "spec": { "protectedMachineRef": { "name": member(&sim, "web-1") }, "cancelOnDelete": true } });
    sim.cluster.user().apply_object(&backup).expect("the API server takes it");
    sim.run_until("its job", HOUR, |sim| sim.status("BackupRun", "one")["job"]["name"].is_string());
    sim.cluster.user().delete(&key("BackupRun", "one")).expect("it is there");
    let (replaced, until) = restores::replace(&sim, json!({}));
    let set = "/subscriptions/50b50000-0000-4000-8000-000000000001/resourceGroups/rg-shop/providers/Microsoft.Compute/diskEncryptionSets/d";
    let beside = restores::run_to(&sim, "beside", restores::new_machine("web-2"), json!({ "diskEncryptionSetId": set }));
    sim.cluster.user().apply_object(&beside).expect("the API server takes it");
    restores::until(&mut sim, "beside", "Succeeded");
    sim.cluster.user().apply_object(&restores::run_to(&sim, "in-place", replaced, until)).expect("the API server takes it");
    restores::until(&mut sim, "in-place", "Succeeded");
    sim.cluster.user().apply_object(&files::run(&sim, "files", "15m")).expect("the API server takes it");
    restores::until(&mut sim, "files", "Succeeded");
    sim
}

/// A restore in the paired region.
fn a_restore_there() -> Simulation {
    let mut sim = paired::arrived();
    sim.cluster.user().apply_object(&paired::run(&sim, "one", paired::machine_there())).expect("the API server takes it");
    restores::until(&mut sim, "one", "Succeeded");
    sim
}

#[test]
fn the_azure_roles_hold_what_is_used_and_nothing_else() {
    let stories = [the_main_story(), a_vault_goes(), a_vault_is_gone(), a_guarded_vault(), a_vault_with_a_key(), runs(), a_restore_there()];
    let used: BTreeSet<String> = stories.iter().flat_map(used).collect();
    let roles = roles();
    assert_eq!(
        roles.keys().collect::<Vec<_>>(),
        [
            "assign-identity",
            "backup",
            "delete",
            "protect",
            "read",
            "read-data",
            "read-subscription",
            "replace-disks",
            "restore",
            "restore-paired-region"
        ]
    );
    let granted: BTreeSet<String> = roles.values().flatten().cloned().collect();
    let idle: Vec<&String> = granted.iter().filter(|a| !used.contains(*a) && !DOCUMENTED.contains(&a.as_str())).collect();
    // A guard's owner gives the rights on the guard, for a time: they are in no role of ours.
    let missing: Vec<&String> = used.iter().filter(|a| !granted.contains(*a) && !a.starts_with("microsoft.dataprotection/")).collect();
    assert!(idle.is_empty() && missing.is_empty(), "granted and not used: {idle:#?}\nused and not granted: {missing:#?}");
    // Whoever restores writes machines as whoever protects them does; each role stands without the other.
    let twice = roles.values().map(BTreeSet::len).sum::<usize>() - granted.len();
    assert_eq!(twice, 2, "a tag and a machine are written for two acts");
}

#[test]
fn an_object_made_by_hand_for_a_machine_that_is_not_granted_shows_nothing_of_it() {
    let mut sim = protected(&granted("Disabled"));
    let web = key("ProtectedMachine", &member(&sim, "web-1"));
    let machine = sim.cluster.live(&web).expect("it is there").data["spec"]["machineId"].clone();
    let narrow = json!([{ "subscriptionId": "50b50000-0000-4000-8000-000000000001", "resourceGroups": ["rg-backup"],
        "acts": ["Read", "Protect", "Backup"] }]);
    edit(&sim, "AzureAccess", "shop", json!({ "allow": narrow }));
    sim.cluster.user().delete(&web).expect("it is there");
    sim.run_for(HOUR);
    let by_hand = json!({ "apiVersion": "breakwater.io/v1alpha1", "kind": "ProtectedMachine",
        "metadata": { "name": "peek", "namespace": "shop" }, "spec": { "policyRef": { "name": "daily" }, "machineId": machine } });
    sim.cluster.user().apply_object(&by_hand).expect("the API server takes it");
    let from = sim.requests().len();
    sim.run_for(HOUR * 2);
    assert_eq!(sim.condition("ProtectedMachine", "peek", "Ready").1, "AccessDenied", "{}", sim.tell());
    let status = sim.status("ProtectedMachine", "peek");
    for field in ["recoveryPoints", "points", "lastBackup", "machine", "disks"] {
        assert!(status[field].is_null(), "{field}: {status:#}");
    }
    let looks: Vec<String> = sim.requests().iter().skip(from).filter(|line| line.contains("/recoveryPoints")).cloned().collect();
    assert_eq!(looks, Vec::<String>::new());
}

#[test]
fn a_machine_is_not_moved_to_a_policy_while_that_is_made_shorter_without_anybody_being_asked() {
    let manifest = granted("Disabled");
    let mut sim = protected(&manifest);
    let late = manifest.split("---").last().expect("the policy").replace("name: daily,", "name: late,");
    sim.cluster.user().apply(&late.replace("all: { app: [shop] }", "all: { app: [nothing] }")).expect("the API server takes it");
    sim.run_until("the other policy", HOUR, |sim| sim.is_ready("BackupPolicy", "late"));
    let (web, from) = (member(&sim, "web-1"), sim.requests().len());
    edit(&sim, "ProtectedMachine", &web, json!({ "policyRef": { "name": "late" } }));
    edit(&sim, "BackupPolicy", "late", json!({ "retention": { "daily": { "keep": "7d" } } }));
    asked(&mut sim, "BackupPolicy", "late", "points-expire");
    sim.run_until("it moves to the policy as it stands", HOUR * 2, |sim| sent(sim, from).iter().any(|l| l.contains("/protectedItems/")));
    sim.run_for(HOUR * 2);
    let policies: Vec<String> = sent(&sim, from).into_iter().filter(|line| line.contains("/backupPolicies/")).collect();
    assert_eq!(policies, Vec::<String>::new(), "nobody agreed to the edit");
}
