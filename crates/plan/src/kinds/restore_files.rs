//! Files of a recovery point: its disks mounted for a while, by a script that goes into a Secret (backup.md §15). What is
//! mounted is a debt from the intent on.

use breakwater_api::{
    OperationRecord, Reason, RestoreRun, RestoreRunStatus, RunPhase,
    conditions::ConditionType,
    operations::Outcome,
    restore_run::{MountedFiles, ToFiles},
};
use breakwater_arm::{
    ResourceId,
    bodies::{provision_request, revoke_request},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    restore_demands,
    restore_run::{expires_at, key},
    restore_source::{self, Source, considered},
    runs, seconds, vault_is_ours,
};
use crate::{
    facts::{Facts, Need, NewSecret},
    graph::{Desired, Goal, Handed, Hold, Lent, Node, Ownership},
    kind::{Promise, Said, Subject},
};

/// The node of the mount.
pub(super) const MOUNT: &str = "mount";

/// Azure ends a mount twelve hours after it began (backup.md §15.5): ours ends well before.
const LONGEST: SignedDuration = SignedDuration::from_hours(11);

/// Who opened it, as Azure shows it to people.
const INITIATOR: &str = "breakwater";

fn record(s: &Subject<RestoreRun>) -> Option<&OperationRecord> {
    s.operations.get(MOUNT)
}

/// Whether it was begun: what was mounted once is not mounted again when its time is over. A request that Azure refused has
/// mounted nothing: its record is gone, and nothing was told but until when it would have been.
pub(super) fn is_begun(s: &Subject<RestoreRun>) -> bool {
    let ended = |files: &MountedFiles| files.mounted_at.is_some() || files.closed_at.is_some();
    record(s).is_some() || s.status.files.as_ref().is_some_and(ended) || until_told(s).is_some_and(|until| until <= s.now)
}

/// Until when it is mounted, as it was saved with the intent.
fn until_told(s: &Subject<RestoreRun>) -> Option<Timestamp> {
    s.status.files.as_ref()?.mounted_until
}

/// What must be known before anything is mounted.
pub(super) fn needs(s: &Subject<RestoreRun>, wanted: &ToFiles) -> Vec<Need> {
    let before = !is_begun(s);
    before.then(|| Need::NewSecret { name: wanted.secret_name.clone() }).into_iter().collect()
}

/// The mount, as long as it is due.
pub(super) fn desire(s: &Subject<RestoreRun>, wanted: &ToFiles, source: &Source, facts: &Facts, point: &str) -> Result<Desired, Hold> {
    let mut graph = Desired::new();
    let before = !is_begun(s);
    if !before && record(s).is_none() {
        return Ok(graph);
    }
    let Some(id) = source.point(point) else {
        return Err(Hold::stuck(Reason::InvalidSpec, format!("{point} is no name of a recovery point")));
    };
    let of_record = record(s).and_then(|r| r.debt.as_ref()).map(|debt| debt.until);
    let lent = Lent {
        open: provision_request(&id, &source.machine, Some(INITIATOR), false),
        close: revoke_request(&id),
        until: of_record.or_else(|| until_told(s).filter(|_| !before)).unwrap_or(seconds(s.now + wanted.mount_for.as_signed())),
        is_open: false,
        key: key(s, source),
        handed: Some(Handed { secret: wanted.secret_name.clone() }),
    };
    let lock = format!("mount:{}", id.key());
    let ownership = Ownership::Point { vault: source.vault.clone(), owner: source.owner.clone() };
    // What lost its script is closed and opened once more: the grant admits that opening too, or there is none.
    let hold = if before { hold(s, wanted, source, facts) } else { granted(s, source, &id) };
    let node = Node::arm(id, Goal::Lent(lent), ownership).locking([lock]).held(hold);
    graph.node(MOUNT, if before { node.until(expires_at(s)) } else { node });
    Ok(graph)
}

/// What forbids to mount it.
fn hold(s: &Subject<RestoreRun>, wanted: &ToFiles, source: &Source, facts: &Facts) -> Option<Hold> {
    length(wanted)
        .or_else(|| vault_is_ours(&source.vault, facts, &s.estate, &source.owner, &s.writer))
        .or_else(|| granted(s, source, &source.item))
        .or_else(|| restore_source::stranger(source, facts))
        .or_else(|| point_hold(s, source, facts))
        .or_else(|| secret_hold(s, wanted, facts))
}

/// The data is read at the machine's point, and is the machine's.
fn granted(s: &Subject<RestoreRun>, source: &Source, at: &ResourceId) -> Option<Hold> {
    [&source.machine, at].into_iter().find_map(|id| runs::not_granted(s, "ReadData", id))
}

fn length(wanted: &ToFiles) -> Option<Hold> {
    let length = wanted.mount_for.as_signed();
    (length > LONGEST || length < SignedDuration::from_mins(5)).then(|| {
        let message = format!(
            "spec.to.files.mountFor: {} is not between 5m and 11h (Azure ends a mount after twelve hours by itself): make a new RestoreRun",
            wanted.mount_for
        );
        Hold::stuck(Reason::InvalidSpec, message)
    })
}

/// What the point itself says: whether its files can be mounted, and whether somebody did so already.
fn point_hold(s: &Subject<RestoreRun>, source: &Source, facts: &Facts) -> Option<Hold> {
    let name = considered(s, source, facts)?;
    let point = match restore_demands::point(s, source, facts) {
        Ok(point) => point,
        Err(hold) => return Some(hold),
    };
    let instead = "restore its disks instead, by a new RestoreRun with to.disks";
    if point.is_archived_only() {
        let message =
            format!("spec.to.files: recovery point {name} is in the archive only, and no files are mounted from there: {instead}");
        return Some(Hold::stuck(Reason::InvalidSpec, message));
    }
    if point.is_source_vm_encrypted == Some(true) {
        let message = format!(
            "spec.to.files: the machine was encrypted inside when recovery point {name} was made, and Azure mounts no files of such a machine: {instead}"
        );
        return Some(Hold::stuck(Reason::InvalidSpec, message));
    }
    (point.is_instant_ilr_session_active == Some(true)).then(|| {
        let message = format!(
            "recovery point {name} is mounted already, and not by this run: nothing is taken from under anybody; wait until that mount ends (twelve hours at most), or have whoever made it end it (az backup restore files unmount-rp)"
        );
        Hold::stuck(Reason::NotOurs, message)
    })
}

/// Whether the script could be handed over: looked at before there is one.
fn secret_hold(s: &Subject<RestoreRun>, wanted: &ToFiles, facts: &Facts) -> Option<Hold> {
    let (name, namespace) = (&wanted.secret_name, &s.meta.namespace);
    match facts.new_secrets.get(name) {
        None => Some(Hold::wait(Reason::NotYetObserved, format!("whether Secret {name} can be made is not known yet"))),
        Some(NewSecret::Possible) => None,
        Some(NewSecret::Exists) => {
            let message = format!(
                "spec.to.files.secretName: Secret {name} exists in namespace {namespace} and is never overwritten: make a new RestoreRun with another name, or delete it"
            );
            Some(Hold::stuck(Reason::TargetExists, message))
        }
        Some(NewSecret::Forbidden(words)) => {
            let message = format!(
                "the operator may not make and remove Secrets in namespace {namespace}: bind the ClusterRole breakwater-file-recovery there to the ServiceAccount of the operator (kubectl create rolebinding breakwater-file-recovery -n {namespace} --clusterrole=breakwater-file-recovery --serviceaccount=breakwater-system:breakwater-operator); the API server says: {words}"
            );
            Some(Hold::stuck(Reason::SecretAccessMissing, message))
        }
        Some(NewSecret::Refused(words)) => {
            let message = format!("spec.to.files.secretName: the API server would refuse Secret {name} in namespace {namespace}: {words}");
            Some(Hold::stuck(Reason::InvalidSpec, message))
        }
        Some(NewSecret::Unknown(words)) => {
            Some(Hold::wait(Reason::NotYetObserved, format!("whether Secret {name} can be made is not known: {words}")))
        }
    }
}

/// How far it is.
pub(super) fn look(s: &Subject<RestoreRun>, wanted: &ToFiles, expired: bool, status: &mut RestoreRunStatus) {
    let record = record(s);
    let before = status.files.clone().unwrap_or_default();
    let told = before.mounted_until.filter(|_| is_begun(s));
    let until = record.and_then(|r| r.debt.as_ref()).map(|debt| debt.until).or(told);
    let delivered = record.filter(|r| r.outcome == Some(Outcome::Succeeded)).and_then(|r| r.ended_at);
    let open = record.is_some_and(|r| r.debt.is_some());
    // Of what could not be opened, and was closed again, the reason is on record.
    let trouble = record.filter(|r| r.outcome != Some(Outcome::Succeeded)).and_then(|r| r.error.as_ref());
    let again = record.is_some_and(|r| r.outcome == Some(Outcome::Lost) && r.attempt < crate::once::MOST_OPENINGS);
    let mounted_at = before.mounted_at.or(delivered.map(seconds));
    if until.is_some() || !expired {
        let closed_at = before.closed_at.or((until.is_some() && !open && !again).then(|| seconds(s.now)));
        status.files = Some(MountedFiles { secret_name: wanted.secret_name.clone(), mounted_at, mounted_until: until, closed_at });
    }
    if let Some(trouble) = trouble {
        status.error = Some(trouble.message.clone());
    }
    status.phase = Some(match (open, until) {
        (false, None) if expired => RunPhase::Expired,
        (false, None) => RunPhase::Pending,
        (true, _) => RunPhase::Running,
        (false, Some(until)) if again && s.now < until => RunPhase::Running,
        (false, Some(_)) if mounted_at.is_some() => RunPhase::Succeeded,
        (false, Some(_)) => RunPhase::Failed,
    });
    if status.phase == Some(RunPhase::Succeeded) {
        status.error = None;
    }
}

/// `Mounted`: what a pipeline waits for.
pub(super) fn mounted(status: &RestoreRunStatus) -> Option<Said> {
    let files = status.files.as_ref()?;
    if files.mounted_at.is_none() && files.closed_at.is_some() {
        let message = "it was never mounted: status.error says why, and nothing is open".to_owned();
        return Some(Said { about: ConditionType::Mounted, holds: Some(false), reason: Reason::NothingMade, message });
    }
    let is_open = files.mounted_at.is_some() && files.closed_at.is_none();
    let (reason, message) = match (is_open, files.closed_at, files.mounted_until) {
        (true, _, Some(until)) => (
            Reason::DebtOpen,
            format!("mounted until {until}: the script and its password are in Secret {}, and go when the mount ends", files.secret_name),
        ),
        (false, Some(at), _) => (Reason::Succeeded, format!("not mounted any more since {at}; Secret {} went with it", files.secret_name)),
        _ => (Reason::NotYetObserved, "not mounted yet".to_owned()),
    };
    Some(Said { about: ConditionType::Mounted, holds: Some(is_open), reason, message })
}

/// The words of the end.
pub(super) fn over(status: &RestoreRunStatus) -> String {
    let files = status.files.clone().unwrap_or_default();
    let (from, to) = (files.mounted_at.unwrap_or_default(), files.closed_at.unwrap_or_default());
    format!("files were mounted from {from} to {to}; the mount was revoked, and Secret {} is gone", files.secret_name)
}

/// The words of the mount while it stands or is being made.
pub(super) fn running(status: &RestoreRunStatus) -> String {
    match status.files.as_ref().and_then(|f| f.mounted_at.zip(f.mounted_until).map(|(_, until)| (f, until))) {
        Some((files, until)) => format!("files are mounted until {until}: the script and its password are in Secret {}", files.secret_name),
        None => "Azure prepares the mount".to_owned(),
    }
}

/// The words of a mount that never stood.
pub(super) fn failed(s: &Subject<RestoreRun>, status: &RestoreRunStatus, again: &str) -> Promise {
    let words = status.error.clone().unwrap_or_else(|| "it was closed before it stood: this run, or its access, was suspended".to_owned());
    let reason = record(s).and_then(|r| Reason::from_word(&r.error.as_ref()?.reason)).unwrap_or(Reason::NothingMade);
    Promise::broken(reason, format!("no files were mounted: {words}; nothing is open; {again}"))
}
