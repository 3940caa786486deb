//! Whose turns look at an object that changed.
//!
//! Upward, an object wakes those that it names, since they count it. Downward, it wakes those that name it, but only when it
//! was touched or its standing moved: a policy of a thousand machines whose count moves must not wake a thousand machines.

use breakwater_engine::ports::ObjectKey;
use kube::ResourceExt;

use crate::{
    kinds::{REFERENCES, Role},
    watch::{Change, Kept, Watched, Watches, What},
};

/// The kinds whose objects name a single machine.
const ON_MACHINES: [&str; 3] = ["Approval", "BackupRun", "RestoreRun"];

/// The objects to wake, the changed one not among them.
pub fn woken_by(watches: &Watches, change: &Change) -> Vec<ObjectKey> {
    let mut woken = change.names.clone();
    // How an access stands moves with every token that is late; nobody goes by that, but by what it declares.
    let moves = change.what != What::Status && !(change.key.kind == "AzureAccess" && change.what == What::Standing);
    if moves {
        woken.extend(downward(watches, &change.key));
    }
    woken.retain(|key| *key != change.key);
    woken.sort();
    woken.dedup();
    woken
}

/// Whether an object is woken as one that is counted on by many: by what names it in a reference. An answer to its question is
/// for it alone.
pub fn is_woken_by_many(woken: &ObjectKey, change: &Change) -> bool {
    change.names.contains(woken) && change.key.kind != "Approval"
}

fn downward(watches: &Watches, changed: &ObjectKey) -> Vec<ObjectKey> {
    match changed.kind.as_str() {
        // A grant moved: every object may have another access, or none.
        "AzureAccess" => turned(watches, |watched, _| watched.kind.kind != "AzureAccess"),
        // A namespace's labels moved: what is in it may be admitted by another grant, which says whom it admits.
        "Namespace" => turned(watches, |watched, kept| {
            watched.kind.kind == "AzureAccess" || kept.namespace().as_deref() == Some(changed.name.as_str())
        }),
        // Of the many that stand alone, only answers to their questions and runs on them are looked for.
        "ProtectedMachine" => turned(watches, |watched, kept| ON_MACHINES.contains(&watched.kind.kind) && kept.names(changed)),
        // A question is answered, or is none any more.
        "BackupRun" | "RestoreRun" => turned(watches, |watched, kept| watched.kind.kind == "Approval" && kept.names(changed)),
        kind if REFERENCES.iter().any(|(_, named)| *named == kind) => turned(watches, |_, kept| kept.names(changed)),
        _ => Vec::new(),
    }
}

fn turned(watches: &Watches, wanted: impl Fn(&Watched, &Kept) -> bool) -> Vec<ObjectKey> {
    let mut keys = Vec::new();
    for watched in watches.all().filter(|w| w.kind.role == Role::Turned) {
        for kept in watched.store.state_filter(|kept| wanted(watched, kept)) {
            let namespace = kept.namespace().unwrap_or_default();
            keys.push(ObjectKey { kind: watched.kind.kind.to_owned(), namespace, name: kept.name_any() });
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{metrics::Metrics, watch, wire::ApiServer};

    fn key(text: &str) -> ObjectKey {
        let [kind, namespace, name] = text.split('/').collect::<Vec<_>>().try_into().unwrap();
        ObjectKey { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_woken_by_what() {
        let server = ApiServer::new();
        for text in ["AzureAccess//production", "RecoveryVault/shop/main", "RecoveryVault/other/main"] {
            let key = key(text);
            server.apply(&key.kind, &key.namespace, &key.name, json!({ "spec": {} }));
        }
        server.apply("BackupPolicy", "shop", "daily", json!({ "spec": { "vaultRef": { "name": "main" } } }));
        server.apply("ProtectedMachine", "shop", "db", json!({ "spec": { "policyRef": { "name": "daily" } } }));
        let point = json!({ "protectedMachineRef": { "name": "db" } });
        server.apply("RestoreRun", "shop", "back", json!({ "spec": { "from": { "recoveryPoint": point } } }));
        let asked = json!({ "kind": "RestoreRun", "name": "back" });
        server.apply("Approval", "shop", "yes", json!({ "spec": { "targetRef": asked } }));
        let (watches, feeds) = watch::unread();
        feeds.into_iter().for_each(|feed| drop(tokio::spawn(feed.run(server.client(), Metrics::default()))));
        watches.synced().await.unwrap();
        let (policy, machine, vault) = ("BackupPolicy/shop/daily", "ProtectedMachine/shop/db", "RecoveryVault/shop/main");
        let (other, run, yes) = ("RecoveryVault/other/main", "RestoreRun/shop/back", "Approval/shop/yes");
        let cases = [
            ("RecoveryVault/shop/main", What::Touched, None, vec![policy]),
            ("RecoveryVault/shop/main", What::Standing, None, vec![policy]),
            ("RecoveryVault/shop/main", What::Status, None, vec![]),
            ("BackupPolicy/shop/daily", What::Standing, Some(vault), vec![machine, vault]),
            ("BackupPolicy/shop/daily", What::Status, Some(vault), vec![vault]),
            ("ProtectedMachine/shop/db", What::Status, Some(policy), vec![policy]),
            ("ProtectedMachine/shop/db", What::Standing, Some(policy), vec![policy, run]),
            ("RestoreRun/shop/back", What::Status, Some(machine), vec![machine]),
            ("RestoreRun/shop/back", What::Standing, Some(machine), vec![yes, machine]),
            ("ProtectedMachine/shop/gone", What::Gone, Some(policy), vec![policy]),
            ("AzureAccess//production", What::Touched, None, vec![yes, policy, machine, other, vault, run]),
            ("AzureAccess//production", What::Standing, None, vec![]),
            ("AzureAccess//production", What::Gone, None, vec![yes, policy, machine, other, vault, run]),
            ("Namespace//shop", What::Touched, None, vec![yes, "AzureAccess//production", policy, machine, vault, run]),
        ];
        for (changed, what, names, woken) in cases {
            let change = Change { key: key(changed), what, names: names.into_iter().map(key).collect() };
            let expected: Vec<ObjectKey> = woken.into_iter().map(key).collect();
            assert_eq!(woken_by(&watches, &change), expected, "{changed} {what:?}");
        }
    }
}
