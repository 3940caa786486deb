//! `BackupRun`: one backup now, exactly once for its key, whoever declares it again.

use std::sync::Arc;

use breakwater_api::{BackupRun, BackupRunSpec, BackupRunStatus, Protection, Reason, RunPhase, runs::RunSource};
use breakwater_arm::{
    ResourceId, names,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{
    backup_run_report::{awaits_its_point, point, report},
    items_of, kept,
    machine_place::{Place, Site, not_yet, vanished},
    protected_machine::points_of,
    protection,
    run_jobs::{self, Looked},
    runs, unreadable, vault_is_ours,
};
use crate::{
    facts::{Facts, Fresh, Need},
    graph::{Acted, Counts, Desired, Goal, Hold, JobProof, Node, Ownership, Proof, Repeat},
    jobs::SeenJob,
    keys,
    kind::{Decided, Kind, Report, Subject},
    sighting::Known,
};

/// The node of the backup itself.
pub(super) const BACKUP: &str = "backup";

/// A run is begun within this of its creation, unless it says otherwise.
const EXPIRES_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// How long Azure keeps a point that nobody said anything of (backup.md §10).
const RETAIN_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long a point may take to be listed after its job ended.
pub(super) const LISTED_WITHIN: SignedDuration = SignedDuration::from_mins(30);

impl Kind for BackupRun {
    const NAME: &'static str = "BackupRun";
    type Spec = BackupRunSpec;
    type Status = BackupRunStatus;

    fn needs(s: &Subject<Self>, known: &Facts) -> Vec<Need> {
        let name = s.spec.protected_machine_ref.name.as_str();
        if is_over(s) {
            return runs::end_needs(s.spec.ttl_seconds_after_finished, &s.meta.namespace, Some(name));
        }
        let mut needs = runs::machine_needs(&s.meta.namespace, name, known);
        needs.extend(recorded(s).map(|source| Need::Object(runs::vault_of(&s.meta.namespace, source))));
        let p = match found(s, known) {
            Ok((view, p)) if is_done_before(s, &view, &p) => return needs,
            Ok((_, p)) => {
                needs.push(kept(&p.policy));
                p.site
            }
            Err(_) => match of_record(s, known) {
                Some(site) => site,
                None => return needs,
            },
        };
        needs.push(kept(&p.vault));
        needs.push(Need::Inventory { list: items_of(&p.vault), watch: Some(vec![p.item.clone()]) });
        let looked = looked(s, &p);
        needs.extend(looked.needs(&own(s, &p), known));
        let Some(name) = own(s, &p).name(looked.jobs(known).as_deref()) else { return needs };
        let seen = seen_job(s, &p, known);
        needs.extend(runs::job_need(&p.vault, &name, seen.as_ref(), s.operations.contains_key(BACKUP), false));
        if seen.is_some_and(|j| j.over && j.status.starts_with("Completed")) {
            let list = points_of(&p.item);
            needs.push(Need::ListUnder { list: list.clone(), fresh: Fresh::Version(name) });
            if known.list(&list).is_some() && point(s, &p, known).is_none() {
                needs.push(Need::ListUnder { list, fresh: Fresh::Within(SignedDuration::from_mins(2)) });
            }
        }
        needs
    }

    fn desire(s: &Subject<Self>, facts: &Facts) -> Result<Desired, Hold> {
        // What nothing was begun of has nothing to cancel.
        let untouched = s.meta.deleting && s.operations.is_empty() && s.status.job.is_none();
        if is_over(s) || untouched {
            return Ok(Desired::new());
        }
        let (p, place) = match found(s, facts) {
            Ok((view, p)) if is_done_before(s, &view, &p) => return Ok(Desired::new()),
            Ok((_, p)) => (p.site.clone(), Ok(p)),
            // Whose machine's object is gone, or points elsewhere by now, is followed to its end all the same, and cancelled where it
            // is to be.
            Err(gone) => match of_record(s, facts) {
                Some(site) => (site, Err(gone)),
                None if s.meta.deleting => return Ok(Desired::new()),
                None => return Err(gone),
            },
        };
        if s.meta.deleting {
            return Ok(cancelling(s, &p, facts));
        }
        if let Ok(place) = &place {
            for id in [&place.vault, &place.policy] {
                match facts.resource(id) {
                    Known::Unknown => return Err(unreadable(id, facts)),
                    Known::Absent(_) => return Err(vanished(place, facts).unwrap_or_else(|| not_yet(id))),
                    Known::Present(..) => {}
                }
            }
        }
        let mut graph = Desired::new();
        let job = seen_job(s, &p, facts);
        let begun = s.status.job.is_some() || s.record(BACKUP).is_some_and(runs::is_begun);
        // What may have happened is followed, or asked about, also when its time is over.
        let open = s.record(BACKUP).is_some_and(runs::is_open);
        if job.is_none() && !begun && !open && s.now >= expires_at(s) {
            return Ok(graph);
        }
        let hold = own(s, &p).begun_before(job.as_ref()).or_else(|| match &place {
            _ if job.is_some() => None,
            Ok(place) => hold(s, place, facts),
            Err(gone) => Some(gone.clone()),
        });
        let policies = place.as_ref().map(|place| protection::our_policies(&s.estate, place, facts, false)).unwrap_or_default();
        let ownership = Ownership::Item { vault: p.vault.clone(), owner: p.owner.clone(), policies };
        let over = job.as_ref().is_some_and(|j| j.over) || s.finished.contains_key(BACKUP);
        let done = over || runs::said_to_have_happened(s, &key(s, &p));
        let node = Node::arm(p.item.clone(), Goal::Acted(backup(s, &p, done)), ownership.clone());
        graph.node(BACKUP, node.locking([format!("machine:{}", p.machine.key())]).held(hold).until(expires_at(s)));
        if awaits_its_point(s, &p, facts) {
            let hold =
                Hold::wait(Reason::Settling, format!("the backup of {} is done; waiting until Azure lists its recovery point", p.machine));
            graph.node("recovery-point", Node::arm(p.item.clone(), Goal::Holds { met: false }, ownership).held(Some(hold)));
        }
        Ok(graph)
    }

    fn report(s: &Subject<Self>, facts: &Facts, decided: Decided<'_>) -> Report {
        report(s, facts, decided)
    }

    const LETS_GO: &'static str = "spec.cancelOnDelete: false";

    fn acts_on_deletion(spec: &BackupRunSpec) -> bool {
        spec.cancel_on_delete
    }
}

/// The machine's object, and where its backups are. What was begun elsewhere is followed there, whatever the object says by now.
pub(super) fn found(s: &Subject<BackupRun>, facts: &Facts) -> Result<(Arc<runs::MachineView>, Place), Hold> {
    let name = &s.spec.protected_machine_ref.name;
    let (view, p) = runs::machine(s, name, facts)?;
    // What is begun in this turn has the key of its record, whatever was kept before.
    let told = s.record(BACKUP).map(|record| &record.key).or(s.status.key.as_ref());
    let is_here = |kept| runs::is_at(&s.meta.namespace, kept, &p.vault_view.meta, &p.machine) || told == Some(&key(s, &p.site));
    if recorded(s).is_none_or(is_here) { Ok((view, p)) } else { Err(runs::moved(name)) }
}

/// Where the backups of a run's machine are that was begun, as it was kept.
fn recorded(s: &Subject<BackupRun>) -> Option<&RunSource> {
    s.status.source.as_ref().filter(|_| s.status.job.is_some() || s.record(BACKUP).is_some())
}

/// The same, resolved. A status may be anybody's word: by it only what the grant admits is looked at.
pub(super) fn of_record(s: &Subject<BackupRun>, facts: &Facts) -> Option<Site> {
    let source = recorded(s)?;
    let vault_view = facts.object(&runs::vault_of(&s.meta.namespace, source))?;
    let site = Site::of(&s.estate, vault_view, "status.source.machineId", &source.machine_id).ok()?;
    runs::not_granted(s, "Backup", &site.machine).is_none().then_some(site)
}

/// Whether nothing of it happens any more.
pub(super) fn is_over(s: &Subject<BackupRun>) -> bool {
    s.status.phase.as_ref().is_some_and(RunPhase::is_over)
}

/// Whether the machine's own object remembers that another object of the same key did it.
pub(super) fn is_done_before(s: &Subject<BackupRun>, view: &runs::MachineView, p: &Site) -> bool {
    let own = s.record(BACKUP).is_some() || s.status.job.is_some();
    !own && runs::done_before(view, &key(s, p)).is_some()
}

/// From when on it is not begun any more.
pub(super) fn expires_at(s: &Subject<BackupRun>) -> Timestamp {
    s.spec.expires_at.unwrap_or(s.meta.created + EXPIRES_AFTER)
}

/// Until when the point is to be kept. Made from what never changes, so that two looks ask for the same.
pub(super) fn retain_until(s: &Subject<BackupRun>) -> Timestamp {
    super::seconds(s.spec.retain_until.unwrap_or(s.meta.created + RETAIN_FOR))
}

/// The once-key: the machine's item, and what the run says of itself or who it is and what it asks for.
pub(super) fn key(s: &Subject<BackupRun>, p: &Site) -> String {
    let declared = match &s.spec.key {
        Some(key) => keys::hash(&["key", key]),
        None => {
            let asked = s.spec.retain_until.map(|at| at.to_string()).unwrap_or_default();
            keys::hash(&["object", &s.meta.namespace, &s.meta.name, &asked])
        }
    };
    keys::hash(&[BACKUP, &p.item.key(), &declared])[..32].to_owned()
}

fn backup(s: &Subject<BackupRun>, p: &Site, done: bool) -> Acted {
    // Milliseconds and `Z`, as clients send it (backup.md §10).
    let until = retain_until(s).strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    let body = json!({ "properties": { "objectType": "IaasVMBackupRequest", "recoveryPointExpiryTimeInUTC": until } });
    Acted {
        request: Request::new(Method::Post, format!("{}/backup", p.item), RECOVERY_SERVICES).with_body(body),
        proof: Proof::Job(JobProof {
            vault: p.vault.clone(),
            operation: run_jobs::BACKUP.into(),
            container: names::job_container(&p.machine),
            counts: Counts::Ours,
        }),
        repeat: Repeat::Once,
        key: key(s, p),
        done,
        from: Vec::new(),
    }
}

/// What this run has begun.
pub(super) fn own<'a>(s: &'a Subject<BackupRun>, p: &Site) -> runs::Own<'a> {
    let record = s.record(BACKUP);
    runs::Own { estate: &s.estate, key: key(s, p), node: BACKUP, record, told: s.status.job.as_ref() }
}

/// The job that is this run, as the vault's list shows it.
pub(super) fn seen_job(s: &Subject<BackupRun>, p: &Site, facts: &Facts) -> Option<SeenJob> {
    own(s, p).seen(&looked(s, p), facts)
}

/// The jobs that it looks through for its own.
pub(super) fn looked<'a>(s: &Subject<BackupRun>, p: &'a Site) -> Looked<'a> {
    let begun = s.record(BACKUP).map(|o| o.intent_at).or_else(|| Some(s.status.job.as_ref()?.started_at.unwrap_or(s.meta.created)));
    Looked { vault: &p.vault, machine: &p.machine, operation: run_jobs::BACKUP, created: s.meta.created, begun }
}

/// What forbids to begin it.
fn hold(s: &Subject<BackupRun>, p: &Place, facts: &Facts) -> Option<Hold> {
    let until = retain_until(s);
    if until <= s.now {
        let message = format!("spec.retainUntil ({until}) is over: make a new BackupRun that keeps its point longer");
        return Some(Hold::stuck(Reason::InvalidSpec, message));
    }
    vault_is_ours(&p.vault, facts, &s.estate, &p.owner, &s.writer)
        .or_else(|| runs::not_granted(s, "Backup", &p.machine))
        .or_else(|| item_hold(s, p, facts))
        .or_else(|| looked(s, p).hold(facts))
}

/// A backup needs protection that runs (backup.md §10).
fn item_hold(s: &Subject<BackupRun>, p: &Place, facts: &Facts) -> Option<Hold> {
    if facts.resource(&p.item).is_absent() {
        let message = format!("{} is not protected in {} (yet)", p.machine, p.vault);
        return Some(Hold::wait(Reason::NotProtected, message));
    }
    let ours = protection::our_policies(&s.estate, p, facts, false);
    let wanted = protection::Wanted::default();
    let (item, vault, machine) = (&p.item, &p.vault, &p.machine);
    let stands = protection::standing(
        &protection::Question { item, vault, machine, ours: &ours, owned: false, working: false, grant: s.access.as_deref(), wanted },
        facts,
    );
    let runs = matches!(stands.protection, Protection::Protected | Protection::InitialBackupPending);
    stands.hold.or_else(|| (!runs).then(|| Hold::wait(Reason::NotProtected, format!("{} is not protected as declared yet", p.machine))))
}

/// An object on its way out asks Azure once to cancel what runs; it does not wait for the end.
fn cancelling(s: &Subject<BackupRun>, p: &Site, facts: &Facts) -> Desired {
    let mut graph = Desired::new();
    let seen = seen_job(s, p, facts);
    let Some(id) = seen.as_ref().and_then(|j| runs::job_id(&p.vault, &j.name)) else { return graph };
    let done = s.status.cancel_asked_at.is_some() || seen.as_ref().is_some_and(|j| j.over || j.status.eq_ignore_ascii_case("Cancelling"));
    if !done && is_own(s, p, seen.as_ref()) {
        graph.node("cancel", Node::arm(id.clone(), Goal::Acted(cancel(s, p, &id)), owned(p, &id)));
    }
    graph
}

fn cancel(s: &Subject<BackupRun>, p: &Site, job: &ResourceId) -> Acted {
    Acted {
        request: Request::new(Method::Post, format!("{job}/cancel"), RECOVERY_SERVICES),
        proof: Proof::Field,
        repeat: Repeat::Safe,
        key: key(s, p),
        done: false,
        from: Vec::new(),
    }
}

/// A job is cancelled only when the vault itself says that this run started it: a status is anybody's word.
fn is_own(s: &Subject<BackupRun>, p: &Site, seen: Option<&SeenJob>) -> bool {
    let one = seen.map(std::slice::from_ref).unwrap_or_default();
    own(s, p).by_id(one).is_some_and(|j| j.container.eq_ignore_ascii_case(&names::job_container(&p.machine)))
}

fn owned(p: &Site, job: &ResourceId) -> Ownership {
    Ownership::Named { vault: p.vault.clone(), owner: p.owner.clone(), name: job.name().to_owned() }
}
