//! Where a restore's data comes from: the vault, the machine's item, and the one point that was chosen.

mod points;

use std::sync::Arc;

use breakwater_api::{
    ProtectedMachine, Reason, RecoveryVault, RestoreRun,
    restore_run::{FromRecoveryPoint, SourceRegion},
};
use breakwater_arm::{ResourceId, names, regions, versions};
use jiff::SignedDuration;
use serde_json::Value;

use self::points::listed;
pub(super) use self::points::{of_job, pick, read, rehydration, shown};
use super::{
    VaultView, is_admitted_by, kept,
    machine_place::Site,
    no_such,
    protected_machine::points_of,
    protection, restore_checks, restore_files,
    restore_run::{self, RESTORE},
    runs::{self, MachineView},
    unreadable, vault_guard,
};
use crate::{
    facts::{Facts, Fresh, List, Need, ObjectRef},
    graph::Hold,
    kind::{Kind, Subject},
    sighting::Known,
};

/// The choice under which the point's name is saved.
pub(super) const POINT: &str = "recovery-point";

/// How old a list of points may be from which one is chosen.
const POINTS_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// How old the item may be by which an older list of points is known to be whole: somewhat more than one interval of the inventory.
const ITEM_SEEN_WITHIN: SignedDuration = SignedDuration::from_mins(6);

/// How old that list may be: points expire, and move between tiers.
const LISTED_WITHIN: SignedDuration = SignedDuration::from_hours(26);

/// How old the item may be by which the machine is known.
const ITEM_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// How old the list may be that the chosen point is known by. The point itself is read when the request is sent: of many runs
/// that wait for their turn each would list again and again, and reads are what they wait for.
const CHOSEN_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// Where the data is.
pub(super) struct Source {
    pub vault_view: Arc<VaultView>,
    pub vault: ResourceId,
    pub owner: String,
    pub machine: ResourceId,
    pub item: ResourceId,
    /// The machine's object, where the run names one.
    pub view: Option<Arc<MachineView>>,
    /// The machine's object that remembers what was done: the same, or where the run names the machine by its id, one of its
    /// namespace.
    pub memory: Option<Arc<MachineView>>,
    /// The other region, where the data is taken from there.
    pub paired: Option<Paired>,
    /// The vault whose jobs tell of this run: the vault itself, or the vault as the other region shows it.
    pub jobs: ResourceId,
}

/// The region that a vault's region is paired with.
pub(super) struct Paired {
    /// `westeurope`, ...
    pub region: &'static str,
    /// As the backup service has it.
    pub location: ResourceId,
}

impl Source {
    /// The region in which everything of the restore is.
    pub fn region(&self) -> &str {
        self.paired.as_ref().map_or(self.vault_view.spec.location.as_str(), |paired| paired.region)
    }

    /// The points, as the region shows them that the data is taken from. The trailing slash is the other region's
    /// (backup.md §14.1).
    pub fn points(&self) -> List {
        let list = points_of(&self.item);
        match self.paired {
            None => list,
            Some(_) => List {
                path: format!("{}/", list.path),
                query: Vec::new(),
                api_version: versions::RECOVERY_SERVICES_CROSS_REGION,
                partial: false,
            },
        }
    }

    /// The items, as the other region shows them: what says there whose points they are, also when the vault's own region does not
    /// answer. None where the item itself is read.
    fn items(&self) -> Option<List> {
        self.paired.as_ref()?;
        let query = vec![("$filter".to_owned(), "backupManagementType eq 'AzureIaasVM' and itemType eq 'VM'".to_owned())];
        let path = format!("{}/backupProtectedItems/", self.vault);
        Some(List { path, query, api_version: versions::RECOVERY_SERVICES_CROSS_REGION, partial: false })
    }

    /// A point's id.
    pub fn point(&self, name: &str) -> Option<ResourceId> {
        self.item.child("recoveryPoints", name).ok()
    }
}

fn from(s: &Subject<RestoreRun>) -> &FromRecoveryPoint {
    &s.spec.from.recovery_point
}

fn vault_at(s: &Subject<RestoreRun>) -> Option<ObjectRef> {
    let reference = from(s).vault_ref.as_ref()?;
    let namespace = reference.namespace_from(&s.meta.namespace).to_owned();
    Some(ObjectRef { kind: RecoveryVault::NAME, namespace, name: reference.name.clone() })
}

/// What is needed to know where the data is.
pub(super) fn needs(s: &Subject<RestoreRun>, known: &Facts) -> Vec<Need> {
    let own = s.meta.namespace.as_str();
    let mut needs = match (&from(s).protected_machine_ref, vault_at(s)) {
        (Some(machine), _) => {
            let of_record = recorded(s).map(|(vault, _)| Need::Object(vault));
            runs::machine_needs(own, &machine.name, known).into_iter().chain(of_record).collect()
        }
        (None, Some(vault)) => {
            let naming = from(s).machine_id.clone().map(|id| vec![("machineId", id)]);
            let namespace = own.to_owned();
            vec![Need::Object(vault), Need::Namespace(namespace.clone()), Need::Objects { kind: ProtectedMachine::NAME, namespace, naming }]
        }
        (None, None) => Vec::new(),
    };
    let Ok(source) = source(s, known) else { return needs };
    needs.push(kept(&source.vault));
    needs.extend(vault_guard::need(&source.vault, &source.vault_view));
    let within = if item(&source, known).is_absent() { POINTS_WITHIN } else { ITEM_WITHIN };
    needs.push(match source.items() {
        Some(list) => Need::ListUnder { list, fresh: Fresh::Within(within) },
        None => Need::Read { id: source.item.clone(), fresh: Fresh::Within(within) },
    });
    // What has a job has no use for points any more; another machine's are not looked at.
    if (chosen(s).is_none() || s.status.job.is_none()) && stranger(&source, known).is_none() {
        needs.extend(points_fresh(s, &source, known).into_iter().map(|fresh| Need::ListUnder { list: source.points(), fresh }));
        needs.extend(chosen(s).and_then(|name| source.point(name)).filter(|_| source.paired.is_none()).map(|id| {
            // That it is not listed any more does not say that it is gone; and where somebody else's session or a machine that is
            // stopped hangs on it, a list is not enough.
            let gone = known.listed(&source.points(), &id).is_absent();
            let matters = s.spec.to.files.is_some() || s.spec.to.replace_disks.is_some();
            let fresh = if gone || matters { Fresh::Within(POINTS_WITHIN) } else { Fresh::Known };
            Need::Read { id, fresh }
        }));
    }
    needs
}

/// How new the list of points must be. The machine's object lists them whenever its item shows that they moved: as long as the item
/// shows nothing newer, that list serves here as well, or five hundred restores at once would use up Azure's hour of reads.
fn points_fresh(s: &Subject<RestoreRun>, source: &Source, known: &Facts) -> Vec<Fresh> {
    let unmoved = || {
        let seen = known.seen.get(&source.item)?.latest().filter(|seen| seen.at + ITEM_SEEN_WITHIN >= s.now)?;
        let item = protection::Item::read(seen.what.as_ref()?)?;
        let last = super::seconds(item.last_point?);
        let shows = listed(source, known).is_none_or(|points| points.first().is_some_and(|newest| newest.point.at >= last));
        shows.then(|| item.token())
    };
    match chosen(s) {
        Some(_) => vec![Fresh::Within(CHOSEN_WITHIN)],
        None if source.paired.is_some() => vec![Fresh::Within(POINTS_WITHIN)],
        None => {
            unmoved().map_or_else(|| vec![Fresh::Within(POINTS_WITHIN)], |token| vec![Fresh::Version(token), Fresh::Within(LISTED_WITHIN)])
        }
    }
}

/// Resolves the references. What its access does not admit is not even looked at: in a shared vault the points of a machine are
/// its own tenant's. What was begun is followed all the same.
pub(super) fn source(s: &Subject<RestoreRun>, facts: &Facts) -> Result<Source, Hold> {
    let source = resolved(s, facts)?;
    let begun = s.status.job.is_some() || s.record(RESTORE).is_some() || restore_files::is_begun(s);
    match restore_checks::machine_not_granted(s, &source.machine) {
        Some(hold) if !begun => Err(hold),
        _ => Ok(source),
    }
}

fn resolved(s: &Subject<RestoreRun>, facts: &Facts) -> Result<Source, Hold> {
    if let Some(reference) = &from(s).protected_machine_ref {
        // What was begun and whose machine's object is gone, or points elsewhere by now, is followed where it was begun.
        return by_machine(s, facts, &reference.name).or_else(|hold| of_record(s, facts).unwrap_or(Err(hold)));
    }
    let invalid = |field: &str, why: String| Hold::stuck(Reason::InvalidSpec, format!("spec.from.recoveryPoint.{field}: {why}"));
    let at = vault_at(s).ok_or_else(|| invalid("vaultRef", "is needed where no protectedMachineRef is given".into()))?;
    let own = s.meta.namespace.as_str();
    let vault_view = facts
        .object::<VaultView>(&at)
        .filter(|v| is_admitted_by(v.spec.allowed_namespaces.as_ref(), &at.namespace, own, facts))
        .ok_or_else(|| no_such("spec.from.recoveryPoint.vaultRef", at.kind, &at.name, &at.namespace, own))?;
    by_vault(s, facts, vault_view, from(s).machine_id.as_deref().unwrap_or_default())
}

/// By the machine's object, as long as it points to where the run was begun.
fn by_machine(s: &Subject<RestoreRun>, facts: &Facts, name: &str) -> Result<Source, Hold> {
    let (view, p) = runs::machine_at(s, "spec.from.recoveryPoint.protectedMachineRef", name, facts)?;
    let (paired, jobs) = region(s, &p.vault, &p.vault_view)?;
    let Site { vault_view, vault, owner, machine, item } = p.site;
    let source = Source { vault_view, vault, owner, machine, item, memory: Some(view.clone()), view: Some(view), paired, jobs };
    let kept = s.status.source.as_ref().filter(|_| is_recorded(s));
    // What is begun in this turn has the key of its record, whatever was kept before.
    let record = s.record(RESTORE).or_else(|| s.operations.get(restore_files::MOUNT));
    let told = record.map(|record| &record.key).or(s.status.key.as_ref());
    let is_here = |kept| {
        runs::is_at(&s.meta.namespace, kept, &source.vault_view.meta, &source.machine) || told == Some(&restore_run::key(s, &source))
    };
    if kept.is_none_or(is_here) { Ok(source) } else { Err(runs::moved(name)) }
}

/// Whether it was begun, by what is kept of it.
fn is_recorded(s: &Subject<RestoreRun>) -> bool {
    s.status.job.is_some() || s.record(RESTORE).is_some() || s.operations.contains_key(restore_files::MOUNT)
}

/// Where the data of a run is that was begun, and what it was recorded by then: its machine's object may go before its job ends.
fn recorded(s: &Subject<RestoreRun>) -> Option<(ObjectRef, &str)> {
    let source = s.status.source.as_ref().filter(|_| is_recorded(s))?;
    Some((runs::vault_of(&s.meta.namespace, source), &source.machine_id))
}

/// The same, resolved. A status may be anybody's word: by it only what the grant admits is looked at.
fn of_record(s: &Subject<RestoreRun>, facts: &Facts) -> Option<Result<Source, Hold>> {
    let (vault, machine) = recorded(s)?;
    let source = by_vault(s, facts, facts.object::<VaultView>(&vault)?, machine);
    Some(source.and_then(|source| restore_checks::machine_not_granted(s, &source.machine).map_or(Ok(source), Err)))
}

/// By the vault and the machine's id: its object may be long gone.
fn by_vault(s: &Subject<RestoreRun>, facts: &Facts, vault_view: Arc<VaultView>, machine: &str) -> Result<Source, Hold> {
    let site = Site::of(&s.estate, vault_view, "spec.from.recoveryPoint.machineId", machine)?;
    let Site { vault_view, vault, owner, machine, item } = site;
    let (paired, jobs) = region(s, &vault, &vault_view)?;
    let all = facts.objects::<MachineView>(ProtectedMachine::NAME, &s.meta.namespace);
    let memory = all.into_iter().find(|view| view.spec.machine_id.parse::<ResourceId>().is_ok_and(|id| id == machine));
    Ok(Source { vault_view, vault, owner, machine, item, view: None, memory, paired, jobs })
}

/// The other region, where the run asks for it, and where the jobs are.
fn region(s: &Subject<RestoreRun>, vault: &ResourceId, view: &VaultView) -> Result<(Option<Paired>, ResourceId), Hold> {
    if from(s).region != Some(SourceRegion::Paired) {
        return Ok((None, vault.clone()));
    }
    let here = &view.spec.location;
    let invalid = |why: String| Hold::stuck(Reason::InvalidSpec, format!("spec.from.recoveryPoint.region: {why}"));
    let region = regions::paired(here).ok_or_else(|| invalid(format!("{here} has no paired region that Azure Backup copies to")))?;
    let location = names::location_id(vault.subscription_id(), region).map_err(|e| invalid(e.to_string()))?;
    let jobs = names::vault_in(vault, region).map_err(|e| invalid(e.to_string()))?;
    Ok((Some(Paired { region, location }), jobs))
}

/// The item, as the region shows it that the data is taken from.
fn item(source: &Source, facts: &Facts) -> Known<Value> {
    match (source.items(), facts.read(&source.item)) {
        (Some(list), _) => facts.listed(&list, &source.item),
        (None, Known::Present(at, body)) => Known::Present(at, (**body).clone()),
        (None, Known::Absent(at)) => Known::Absent(at),
        (None, Known::Unknown) => Known::Unknown,
    }
}

/// Why the item is not known to be the machine's: in a vault that tenants share it may be another's of the same name, whose points
/// are neither shown nor restored.
pub(super) fn stranger(source: &Source, facts: &Facts) -> Option<Hold> {
    let body = match (item(source, facts), &source.paired) {
        (Known::Present(_, body), _) => body,
        (Known::Absent(_), None) => {
            let message = format!("{} is not backed up in {}", source.machine, source.vault);
            return Some(Hold::stuck(Reason::NoRecoveryPoint, message));
        }
        (Known::Absent(_), Some(paired)) => {
            let message = format!(
                "{} shows no backups of {} yet: what is stored in {} is copied there within a day",
                paired.region, source.machine, source.vault
            );
            return Some(Hold::wait(Reason::NoRecoveryPoint, message));
        }
        (Known::Unknown, None) => return Some(unreadable(&source.item, facts)),
        (Known::Unknown, Some(paired)) => {
            let trouble = source.items().and_then(|list| facts.lists.get(&list)?.trouble.as_ref());
            let what = format!("what is backed up in {}, as {} shows it", source.vault, paired.region);
            let unseen = || Hold::wait(Reason::NotYetObserved, format!("{what}, was not listed yet"));
            return Some(trouble.map_or_else(unseen, |t| Hold::trouble(t, format!("{what}: {}", t.message))));
        }
    };
    let body = &body;
    let told = body.pointer("/properties/sourceResourceId").and_then(Value::as_str);
    if told.is_none_or(|id| id.parse::<ResourceId>().is_err()) {
        return Some(Hold::wait(Reason::Unreadable, format!("{} does not tell which machine it is of", source.item)));
    }
    protection::of_another(body, &source.machine).then(|| protection::name_taken(&source.vault, &source.machine))
}

/// The point that was chosen, or the one that would be.
pub(super) fn considered(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<String> {
    chosen(s).map(str::to_owned).or_else(|| pick(s, source, facts).ok().map(|point| point.name))
}

/// The point that was chosen, once and for all.
pub(super) fn chosen(s: &Subject<RestoreRun>) -> Option<&str> {
    s.choices.get(POINT).map(String::as_str)
}
