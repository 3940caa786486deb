//! What must hold after every step, whatever was injected.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use azure_sim::Azure;
use breakwater_arm::wire::Request;
use jiff::Timestamp;
use serde_json::Value;

use super::SimArm;
use crate::cluster::MemoryCluster;

/// The oracle of a run: it looks at what Azure and Kubernetes hold, never at what the engine thinks.
pub struct Invariants {
    unsaved: Arc<Mutex<Vec<String>>>,
    seen: u64,
    backups: BTreeMap<String, u64>,
    defences: BTreeMap<String, BTreeMap<&'static str, i64>>,
    ids: BTreeSet<String>,
}

/// Group names that the grant of the tests admits.
const GRANTED: [&str; 2] = ["rg-shop", "rg-backup"];

impl Invariants {
    /// Watches every write: its intent must be saved before it leaves.
    pub fn new(arm: &Arc<SimArm>, cluster: &Arc<MemoryCluster>) -> Self {
        let unsaved = Arc::new(Mutex::new(Vec::new()));
        let (into, cluster) = (unsaved.clone(), cluster.clone());
        arm.watch(Box::new(move |request| {
            if !has_intent(&cluster, request) {
                let line = format!("{} {} left without a saved intent", request.method, request.path);
                into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        }));
        Invariants { unsaved, seen: 0, backups: BTreeMap::new(), defences: BTreeMap::new(), ids: BTreeSet::new() }
    }

    /// Checks everything since the last step.
    ///
    /// # Panics
    /// With the rule that was broken.
    pub fn check(&mut self, now: Timestamp, azure: &Arc<Mutex<Azure>>, _: &Arc<MemoryCluster>) {
        let unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(unsaved.is_empty(), "{now}: {unsaved:?}");
        let azure = azure.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<azure_sim::journal::Entry> = azure.journal().since(self.seen).to_vec();
        for entry in &new {
            self.seen = entry.seq;
            assert_ne!(entry.status, 501, "{now}: azure-sim does not know {} {}", entry.method, entry.path);
            assert!(
                entry.status != 403 || entry.fault.is_some(),
                "{now}: a right is missing for {} {}: {:?}",
                entry.method,
                entry.path,
                entry.code
            );
            assert_ne!(entry.method, "DELETE", "{now}: nothing is ever deleted: {}", entry.path);
            self.action(now, entry);
            self.grant(now, entry);
        }
        // Summing up the whole state is dear: only a write can have changed a defence.
        if new.iter().any(|e| e.method != "GET" && e.path.to_ascii_lowercase().contains("/vaults/")) {
            self.defended(now, &azure);
        }
    }

    /// No second action: one backup a machine that we start, whatever others do.
    fn action(&mut self, now: Timestamp, entry: &azure_sim::journal::Entry) {
        let lower = entry.path.to_ascii_lowercase();
        if entry.method == "POST" && lower.ends_with("/backup") && entry.applied {
            let count = self.backups.entry(format!("{} {lower}", entry.client)).or_default();
            *count += 1;
            assert_eq!(*count, 1, "{now}: a second first backup of {lower} by {}", entry.client);
        }
        if entry.method == "PUT" && lower.contains("/protecteditems/") {
            let state = entry.body.pointer("/properties/protectionState").and_then(Value::as_str);
            assert!(state.is_none(), "{now}: protection of {lower} was stopped");
        }
    }

    /// No act outside the grant.
    fn grant(&mut self, now: Timestamp, entry: &azure_sim::journal::Entry) {
        let is_write = !matches!(entry.method.as_str(), "GET" | "HEAD") && !entry.path.to_ascii_lowercase().ends_with("/backupstatus");
        let group = entry.path.split('/').nth(4).unwrap_or_default().to_ascii_lowercase();
        let in_group = entry.path.split('/').nth(3).is_some_and(|s| s.eq_ignore_ascii_case("resourceGroups"));
        assert!(!in_group || GRANTED.contains(&group.as_str()), "{now}: {} {} is outside the grant", entry.method, entry.path);
        assert!(!is_write || in_group, "{now}: {} {} is outside every group", entry.method, entry.path);
        if let Some(id) = entry.client_request_id.as_ref().filter(|_| is_write) {
            self.ids.insert(id.clone());
        }
    }

    /// No defence lowered, no retention shortened.
    fn defended(&mut self, now: Timestamp, azure: &Azure) {
        let state = azure_sim::edit::summary(azure);
        for (id, body) in vaults(&state) {
            let kept = self.defences.entry(id.clone()).or_default();
            for (name, value) in strengths(&body) {
                let before = kept.get(name).copied().unwrap_or(i64::MIN);
                assert!(value >= before, "{now}: {name} of {id} went from {before} to {value}");
                kept.insert(name, value);
            }
        }
    }
}

/// The saved objects hold a record with the request's id, or a debt whose closing request this is.
fn has_intent(cluster: &MemoryCluster, request: &Request) -> bool {
    let id = request.client_request_id.map(|id| id.to_string()).unwrap_or_default();
    let kinds = ["RecoveryVault", "BackupPolicy", "ProtectedMachine", "Rehearsal"];
    kinds.iter().flat_map(|kind| cluster.live_all(kind)).any(|object| {
        let operations = object.data.pointer("/status/operations").and_then(Value::as_array).cloned().unwrap_or_default();
        operations
            .iter()
            .any(|o| o["clientRequestId"] == id.as_str() || o.pointer("/debt/path").and_then(Value::as_str) == Some(&request.path))
    })
}

fn vaults(state: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    walk(state, &mut found);
    found
}

fn walk(value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            let is_vault =
                map.get("type").and_then(Value::as_str).is_some_and(|t| t.eq_ignore_ascii_case("Microsoft.RecoveryServices/vaults"));
            if let (true, Some(id)) = (is_vault, map.get("id").and_then(Value::as_str)) {
                found.push((id.to_ascii_lowercase(), value.clone()));
            }
            map.values().for_each(|v| walk(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| walk(v, found)),
        _ => {}
    }
}

fn strengths(vault: &Value) -> Vec<(&'static str, i64)> {
    let word = |pointer: &str| vault.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let rank = |text: &str, order: &[&str]| order.iter().position(|w| *w == text).map_or(0, |at| at as i64);
    vec![
        ("immutability", rank(&word("/properties/securitySettings/immutabilitySettings/state"), &["disabled", "unlocked", "locked"])),
        ("cross-region restore", rank(&word("/properties/redundancySettings/crossRegionRestore"), &["disabled", "enabled"])),
        (
            "soft delete",
            rank(&word("/properties/securitySettings/softDeleteSettings/softDeleteState"), &["disabled", "enabled", "alwayson"]),
        ),
        (
            "soft delete days",
            vault
                .pointer("/properties/securitySettings/softDeleteSettings/softDeleteRetentionPeriodInDays")
                .and_then(Value::as_i64)
                .unwrap_or(0),
        ),
    ]
}
