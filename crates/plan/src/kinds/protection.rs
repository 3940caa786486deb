//! Where a machine's protection stands, from everything that is known of it.

use std::collections::BTreeSet;

use breakwater_api::{BackupPolicy, Mode, Protection, Reason, references::Adopt};
use breakwater_arm::{
    ArmTime, ResourceId,
    bodies::{BackupStatus, ProtectedItem},
    redacted,
};
use serde_json::Value;

use super::{
    PolicyView,
    machine_place::{Place, vault_ref},
    policy_id, unreadable,
};
use crate::{
    defence,
    facts::Facts,
    graph::Hold,
    keys,
    kind::{Grant, Kind as _},
    policy,
    sighting::Known,
};

/// The name of the ask that tells whether and where a machine is protected (backup.md §8.1).
pub const BACKUP_STATUS: &str = "backupStatus";

/// What is kept of a health detail at most.
const HEALTH_BYTES: usize = 1_000;

/// A protected item, as far as decisions look at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `IRPending`, `Protected`, ...
    pub state: String,
    /// Its policy; `None` when it has none.
    pub policy: Option<ResourceId>,
    /// Whether it is soft-deleted.
    pub soft_deleted: bool,
    /// When soft-deleted backups are purged, where Azure tells.
    pub purged_at: Option<jiff::Timestamp>,
    /// The newest recovery point's moment.
    pub last_point: Option<jiff::Timestamp>,
    /// The last backup's begin.
    pub last_backup: Option<jiff::Timestamp>,
    /// `Completed`, `Failed`, ...; empty before the first.
    pub last_result: String,
    /// The first health detail, in Azure's words without what is secret in them.
    pub health: Option<String>,
}

impl Item {
    /// Reads an item's body.
    pub fn read(body: &Value) -> Option<Item> {
        let item = ProtectedItem::parse(body).ok()?;
        let p = &item.properties;
        let word = |w: &Option<breakwater_arm::Word>| w.as_ref().map(ToString::to_string).unwrap_or_default();
        let health = p
            .health_details
            .iter()
            .flatten()
            .next()
            .map(|h| format!("{} {}", h.code.unwrap_or_default(), h.message.as_deref().or(h.title.as_deref()).unwrap_or_default()))
            .map(|told| redacted(&told, HEALTH_BYTES));
        Some(Item {
            state: word(&p.protection_state),
            policy: p.policy_id.as_ref().and_then(breakwater_arm::IdText::id),
            soft_deleted: p.is_soft_deleted(),
            purged_at: p.purged_at(),
            last_point: p.last_recovery_point.as_ref().and_then(ArmTime::instant),
            last_backup: p.last_backup_time.as_ref().and_then(ArmTime::instant),
            last_result: word(&p.last_backup_status),
            health,
        })
    }

    /// Whether no backups are taken of it, by somebody's word.
    pub fn is_stopped(&self) -> bool {
        defence::is_stopped(&self.state)
    }

    /// What the recovery points depend on: they are read again when it moves.
    pub fn token(&self) -> String {
        let time = |t: Option<jiff::Timestamp>| t.map(|t| t.to_string()).unwrap_or_default();
        format!("{}|{}|{}|{}", time(self.last_point), time(self.last_backup), self.last_result, self.state)
    }
}

/// Where a machine's item stands, and what that forbids.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// For status.
    pub protection: Protection,
    /// Why nothing may be written, if so.
    pub hold: Option<Hold>,
    /// The other vault, where it is protected there.
    pub elsewhere: Option<String>,
}

/// What decides beside the item itself.
pub struct Question<'a> {
    /// The item's id in our vault.
    pub item: &'a ResourceId,
    /// Our vault.
    pub vault: &'a ResourceId,
    /// The machine.
    pub machine: &'a ResourceId,
    /// All policies in the vault that are ours.
    pub ours: &'a BTreeSet<ResourceId>,
    /// Whether `status.owned` holds the item.
    pub owned: bool,
    /// Whether an operation of ours is open on the item.
    pub working: bool,
    /// What its access grants: another's vault is not named to it.
    pub grant: Option<&'a Grant>,
    /// What the object says of a machine that was stopped or deleted in Azure.
    pub wanted: Wanted,
}

/// What is wanted of a machine whose protection does not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// It is to run again.
    pub resumed: bool,
    /// It is to be stopped.
    pub stopped: bool,
    /// Deleted backups are to be brought back.
    pub undeleted: bool,
}

/// Policies in a vault that are ours: those that the policies of this cluster derive, and the one that the item is under,
/// where its name derives from a policy of this namespace that is no more (it was renamed). A name that is merely declared makes
/// nothing ours before it was taken over; and what is to be stopped is not taken over for that.
pub fn our_policies(estate: &str, p: &Place, facts: &Facts, stops: bool) -> BTreeSet<ResourceId> {
    let namespace = p.policy_view.meta.namespace.as_str();
    let views = facts.objects::<PolicyView>(BackupPolicy::NAME, namespace);
    let has_it = |v: &PolicyView| v.spec.azure_name.is_none() || v.status.policy_id.is_some();
    let here = views.iter().filter(|v| vault_ref(v) == vault_ref(&p.policy_view) && has_it(v));
    let declared = here.filter_map(|v| policy_id(estate, &v.meta, &v.spec, &p.vault).ok());
    let own = Some(p.policy.clone()).filter(|_| has_it(&p.policy_view));
    let mut ours: BTreeSet<ResourceId> = declared.chain(own).collect();
    let of_item = p.item_body(facts).and_then(|body| Item::read(body)?.policy).filter(|id| !ours.contains(id));
    let was_ours = |id: &ResourceId| is_derived(estate, namespace, id.name());
    ours.extend(of_item.filter(|id| id.within(&p.vault) && (was_ours(id) || (!stops && is_adopted(p, id, facts)))));
    ours
}

/// Whether a machine may be taken over from a policy that is not ours: declared so, and no point would expire earlier.
fn is_adopted(p: &Place, theirs: &ResourceId, facts: &Facts) -> bool {
    let (theirs, ours) = (facts.resource(theirs).into_present(), facts.resource(&p.policy).into_present());
    let not_weaker = theirs.zip(ours).is_some_and(|(theirs, ours)| policy::weakens(theirs, ours).is_empty());
    // What a policy only plans, or is not to do now, its machines do not do for it.
    p.policy_view.spec.adopt == Adopt::IfNotWeaker && not_weaker && acts(&p.policy_view)
}

/// Whether a policy itself may act: neither suspended nor in a mode that sends nothing.
pub fn acts(policy: &PolicyView) -> bool {
    !policy.spec.shared.suspend && policy.spec.shared.mode == Mode::Manage
}

/// Whether an Azure policy's name is the one that a BackupPolicy of this namespace would give it. A dash of it may have been a
/// dot: of a name with more dashes than these no dot is looked for behind them.
fn is_derived(estate: &str, namespace: &str, azure_name: &str) -> bool {
    const MOST_DOTS: usize = 10;
    let Some((hash, name)) = azure_name.strip_prefix("bw-").and_then(|rest| rest.split_once('-')) else { return false };
    let dashes: Vec<usize> = name.match_indices('-').map(|(at, _)| at).take(MOST_DOTS).collect();
    (0..1_u32 << dashes.len()).any(|dotted| {
        let mut object = name.to_owned();
        let dots = dashes.iter().enumerate().filter(|(bit, _)| dotted >> bit & 1 == 1);
        dots.for_each(|(_, at)| object.replace_range(at..=at, "."));
        hash.eq_ignore_ascii_case(&keys::hash8(&[estate, namespace, BackupPolicy::NAME, &object]))
    })
}

/// Whether an item is of another machine: its name holds its machine's group and name and not its subscription, so that of two
/// machines of one name in groups of one name the item says itself which one it is of.
pub fn of_another(body: &Value, machine: &ResourceId) -> bool {
    let of: Option<ResourceId> = body.pointer("/properties/sourceResourceId").and_then(Value::as_str).and_then(|id| id.parse().ok());
    of.is_some_and(|of| of != *machine)
}

/// What there is to say to a machine whose name another one has in the vault. Which one that is may be nobody's business here.
pub fn name_taken(vault: &ResourceId, machine: &ResourceId) -> Hold {
    let message = format!(
        "under the name that the backups of {machine} would have, {vault} holds those of another one, as the item's \
         sourceResourceId says: what is there is left alone; use another vault for one of the two"
    );
    Hold::stuck(Reason::NameTaken, message)
}

/// The one place where the states of backup.md §9 are told apart.
pub fn standing(q: &Question<'_>, facts: &Facts) -> Standing {
    let plain = |protection| Standing { protection, hold: None, elsewhere: None };
    let stuck = |protection, reason, message| Standing { protection, hold: Some(Hold::stuck(reason, message)), elsewhere: None };
    let body = match facts.resource(q.item) {
        Known::Unknown => return Standing { protection: Protection::Unknown, hold: Some(unreadable(q.item, facts)), elsewhere: None },
        Known::Absent(_) => return absent(q, facts),
        Known::Present(_, body) => body,
    };
    if of_another(body, q.machine) {
        let hold = Some(name_taken(q.vault, q.machine));
        return Standing { protection: Protection::NotProtected, hold, elsewhere: None };
    }
    let Some(item) = Item::read(body) else { return plain(Protection::Unknown) };
    if item.soft_deleted {
        let until = item.purged_at.map_or(String::new(), |at| format!(" and are purged at {}", super::seconds(at)));
        let message = format!(
            "the backups of {} are soft-deleted in {}{until}: set spec.undelete: true to bring them back (they are then stopped, with all points)",
            q.machine, q.vault
        );
        return if q.wanted.undeleted {
            plain(Protection::SoftDeleted)
        } else {
            stuck(Protection::SoftDeleted, Reason::SoftDeleted, message)
        };
    }
    let ours = item.policy.as_ref().is_some_and(|p| q.ours.contains(p));
    match (item.state.to_ascii_lowercase().as_str(), &item.policy) {
        // Not resumed by itself: what was kept for good would fall under the policy again, and older points would expire.
        ("protectionstopped" | "protectionpaused", _) if q.wanted.resumed || q.wanted.stopped => plain(Protection::Stopped),
        ("protectionstopped" | "protectionpaused", _) => {
            let message = format!(
                "protection of {} was stopped in {} and its points are kept: set spec.protection: Protected to resume it (points older than the policy keeps then expire, which is asked first), or Stopped to leave it so",
                q.machine, q.vault
            );
            stuck(Protection::Stopped, Reason::ProtectionStopped, message)
        }
        ("backupssuspended", _) if q.wanted.resumed || q.wanted.stopped => plain(Protection::Suspended),
        ("backupssuspended", _) => {
            let message = format!(
                "backups of {} are suspended in {} and its points expire: set spec.protection: Protected to resume them, or Stopped to leave it so",
                q.machine, q.vault
            );
            stuck(Protection::Suspended, Reason::BackupsSuspended, message)
        }
        (_, Some(policy)) if !ours => {
            let message = format!(
                "{} is protected in {} under policy {}, which is not ours: it is left alone; with the policy's spec.adopt: IfNotWeaker it is taken over where no point would expire earlier",
                q.machine,
                q.vault,
                policy.name()
            );
            stuck(Protection::ForeignPolicy, Reason::ForeignPolicy, message)
        }
        ("irpending", _) => plain(Protection::InitialBackupPending),
        ("protected" | "protectionerror", _) => plain(Protection::Protected),
        _ => plain(Protection::Unknown),
    }
}

/// No item in our vault: never protected, gone, or in another vault.
fn absent(q: &Question<'_>, facts: &Facts) -> Standing {
    // A listing ends nothing: gone is what a direct read says is gone.
    if q.owned && !q.working && facts.read(q.item).is_absent() {
        let message = format!(
            "the item of {} in {} was there and is gone: nothing is made in its place; delete this object and make a new one to protect the machine anew",
            q.machine, q.vault
        );
        return Standing { protection: Protection::Missing, hold: Some(Hold::stuck(Reason::Missing, message)), elsewhere: None };
    }
    let answer = facts.answer(BACKUP_STATUS);
    let Some(status) = answer.and_then(|a| a.body.as_ref()).and_then(|b| serde_json::from_value::<BackupStatus>((**b).clone()).ok()) else {
        // It is asked where the machine is: a machine that cannot be read holds the question up.
        let trouble = answer.and_then(|a| a.trouble.as_ref()).or_else(|| facts.trouble(q.machine));
        let hold = match trouble {
            Some(t) => Hold::trouble(t, format!("backupStatus of {}: {}", q.machine, t.message)),
            None => Hold::wait(Reason::NotYetObserved, format!("it is not known yet whether another vault protects {}", q.machine)),
        };
        return Standing { protection: Protection::NotProtected, hold: Some(hold), elsewhere: None };
    };
    let vault = status.vault_id.as_ref().and_then(breakwater_arm::IdText::id);
    let protected = status.protection_status.as_ref().is_some_and(|s| s.is_any(&["Protected", "Protecting", "ProtectionFailed"]));
    match vault {
        Some(other) if protected && other != *q.vault => {
            let shown = q.grant.is_some_and(|grant| grant.admits("Read", &other));
            let there = if shown { format!(" ({other})") } else { ", outside what the AzureAccess allows".to_owned() };
            let message = format!("{} is protected in another vault{there}: it is left alone; asked again every hour", q.machine);
            Standing {
                protection: Protection::ElsewhereProtected,
                hold: Some(Hold::stuck(Reason::ElsewhereProtected, message)),
                elsewhere: shown.then(|| other.to_string()),
            }
        }
        _ => Standing { protection: Protection::NotProtected, hold: None, elsewhere: None },
    }
}
