//! The first backup of a machine: an action that happens exactly once, whoever does it.

use breakwater_api::{ProtectedMachine, backup_policy::FirstBackup, protected_machine::FirstBackupRecord};
use breakwater_arm::{
    names,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use jiff::SignedDuration;
use serde_json::json;

use super::{
    machine_place::{Place, vm},
    protection, runs,
};
use crate::{
    facts::Facts,
    graph::{Acted, Counts, JobProof, Proof, Repeat},
    jobs::SeenJob,
    keys,
    kind::Subject,
};

/// The node of the first backup.
pub(super) const FIRST_BACKUP: &str = "first-backup";

pub(super) fn wants_first_backup(s: &Subject<ProtectedMachine>, p: &Place) -> bool {
    p.policy_view.spec.first_backup == FirstBackup::Now || s.record(FIRST_BACKUP).is_some()
}

/// Whether status already tells which job counted as the first backup and how it ended.
pub(super) fn first_backup_known(s: &Subject<ProtectedMachine>) -> bool {
    s.status.first_backup.as_ref().is_some_and(|f| f.result.is_some())
}

/// The once-key: vault, machine and the machine's own identity.
pub(super) fn first_backup_key(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> String {
    let vm_id = vm(p, facts).and_then(|vm| vm.properties.vm_id).or_else(|| s.status.machine.as_ref()?.vm_id.clone()).unwrap_or_default();
    keys::hash(&[&p.vault.key(), &p.machine.key(), &vm_id.to_ascii_lowercase()])[..32].to_owned()
}

/// How far back jobs count as the first backup: since protection. A machine that is found protected (a rebuilt cluster)
/// was protected at an unknown time: then as far as Azure keeps jobs in reach.
pub(super) fn jobs_since(s: &Subject<ProtectedMachine>) -> jiff::Timestamp {
    match s.status.protected_since {
        Some(since) => since - SignedDuration::from_mins(10),
        None => s.now - SignedDuration::from_hours(60 * 24),
    }
}

/// Backup jobs of this machine since it was protected, newest first.
pub(super) fn backup_jobs(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Vec<SeenJob> {
    let since = jobs_since(s);
    let container = names::job_container(&p.machine);
    let mut jobs = runs::jobs(&p.vault, &p.machine, facts).unwrap_or_default();
    jobs.retain(|j| {
        j.operation.eq_ignore_ascii_case("Backup") && j.container.eq_ignore_ascii_case(&container) && j.start.is_none_or(|at| at >= since)
    });
    jobs.sort_by_key(|job| std::cmp::Reverse(job.start));
    jobs
}

/// Any Backup job since protection, or a recovery point, counts as it, whoever started it; a failed one is not repeated.
pub(super) fn first_backup(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Acted {
    let point = p.item_body(facts).and_then(|b| protection::Item::read(b)).and_then(|i| i.last_point);
    let has_job = told(s, &first_backup_key(s, p, facts)).is_some_and(|first| first.job.is_some());
    let done = first_backup_known(s) || has_job || point.is_some() || !backup_jobs(s, p, facts).is_empty();
    let body = json!({ "properties": { "objectType": "IaasVMBackupRequest" } });
    Acted {
        request: Request::new(Method::Post, format!("{}/backup", p.item), RECOVERY_SERVICES).with_body(body),
        proof: Proof::Job(JobProof {
            vault: p.vault.clone(),
            operation: "Backup".into(),
            container: names::job_container(&p.machine),
            counts: Counts::Anybodys,
        }),
        repeat: Repeat::Once,
        key: first_backup_key(s, p, facts),
        done,
        from: Vec::new(),
    }
}

/// What was told of the first backup of that key, and the job of one that ended in this turn.
fn told(s: &Subject<ProtectedMachine>, key: &str) -> Option<FirstBackupRecord> {
    let before = s.status.first_backup.clone().filter(|first| first.key == key);
    let ended = || s.finished.get(FIRST_BACKUP).filter(|record| record.key == key)?.job.clone();
    before.or_else(|| Some(FirstBackupRecord { key: key.to_owned(), job: Some(ended()?), result: None }))
}

/// What status tells of the first backup.
pub(super) fn first_backup_record(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<FirstBackupRecord> {
    if first_backup_known(s) || !wants_first_backup(s, p) {
        return s.status.first_backup.clone();
    }
    let key = first_backup_key(s, p, facts);
    let jobs = backup_jobs(s, p, facts);
    // What no list shows now was begun all the same.
    let Some(first) = jobs.last() else { return told(s, &key) };
    let result = first.over.then(|| first.status.clone());
    Some(FirstBackupRecord { key, job: Some(first.name.clone()), result })
}
