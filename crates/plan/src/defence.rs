//! What a write may never do, as pure checks on (what is there, what is sent): the gate's and the kinds' own.

use std::sync::Arc;

use breakwater_arm::{ArmTime, ResourceId, names, wire::Request};
use jiff::Timestamp;
use serde_json::Value;

use crate::{disks, policy, questions::Stake, strength};

/// The tag that names the estate.
pub const TAG_ESTATE: &str = "breakwater-estate";
/// The tag that names the owner by hash.
pub const TAG_OWNER: &str = "breakwater-owner";
/// The tag that names the writing cluster.
pub const TAG_WRITER: &str = "breakwater-writer";

/// Whether a resource says that a restore of that once-key made it.
pub fn is_restored_for(body: &Value, key: &str) -> bool {
    let tags = body.get("tags").and_then(Value::as_object);
    tags.is_some_and(|t| t.iter().any(|(name, value)| name.eq_ignore_ascii_case(names::TAG_RESTORE) && value.as_str() == Some(key)))
}

/// When a machine or a disk was made.
pub fn made_at(body: &Value) -> Option<Timestamp> {
    serde_json::from_value::<ArmTime>(body.pointer("/properties/timeCreated")?.clone()).ok()?.instant()
}

/// Whose a resource is by its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagOwner {
    /// Ours, and this cluster writes it.
    Ours,
    /// Ours by estate and owner, and another cluster writes it.
    OtherWriter(String),
    /// Somebody else's.
    NotOurs,
}

/// Reads a body's tags. Tag names compare without case, values exactly (compute-and-arm.md E.8).
pub fn tag_owner(body: &Value, estate: &str, owner: &str, writer: &str) -> TagOwner {
    let tags = body.get("tags").and_then(Value::as_object);
    let tag = |name: &str| tags.and_then(|t| t.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.as_str()));
    if tag(TAG_ESTATE) != Some(estate) || tag(TAG_OWNER) != Some(owner) {
        return TagOwner::NotOurs;
    }
    match tag(TAG_WRITER) {
        Some(w) if w == writer => TagOwner::Ours,
        Some(other) => TagOwner::OtherWriter(other.chars().take(64).collect()),
        None => TagOwner::OtherWriter("none".into()),
    }
}

/// The first defence that a body would make weaker than what is there, in words.
pub fn weaker_defence(before: &Value, after: &Value) -> Option<String> {
    strength::lowered(before, after).first().map(ToString::to_string)
}

/// Whether a DELETE may be sent at all, by what a direct read of a moment ago shows. What may hold recovery points is
/// never deleted: a protected item, a point, a snapshot; a policy only while nothing is under it, a vault only while a
/// listing of a moment ago shows nothing in it.
///
/// # Errors
/// Why not, in words.
pub fn may_be_removed(id: &ResourceId, before: Option<&Value>) -> Result<(), String> {
    let kind = id.resource_type();
    let Some(before) = before else { return Err(format!("{id} was not seen")) };
    if kind == *names::BACKUP_POLICY {
        return match before.pointer("/properties/protectedItemsCount").and_then(Value::as_i64) {
            Some(0) => Ok(()),
            Some(n) => Err(format!("{n} machines are under {id}")),
            None => Err(format!("{id} does not say how many machines are under it")),
        };
    }
    if kind == *names::VAULT {
        return Ok(()); // whether anything is in it, the gate looks live just before
    }
    let shared = SHARED.iter().any(|s| kind == **s);
    if shared { Ok(()) } else { Err(format!("{id} may hold recovery points, or other people's things: it is never deleted")) }
}

/// Types that hold no data of their own: Site Recovery's frames (site-recovery.md §2), removed when empty.
const SHARED: [&str; 3] = [
    "Microsoft.RecoveryServices/vaults/replicationFabrics",
    "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers",
    "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectionContainerMappings",
];

/// Other resources that a decision about a request looks at: the vault, the policies that an item leaves and gets.
pub type Around<'a> = &'a dyn Fn(&ResourceId) -> Option<Arc<Value>>;

/// Whether a PUT stops protection of an item and keeps all of its points, in Azure's own words (backup.md §9).
pub fn stops_and_retains(request: &Request) -> bool {
    let body = request.body.as_ref();
    let word = |pointer: &str| body.and_then(|b| text(b, pointer));
    let is_item = request.path.parse::<ResourceId>().is_ok_and(|id| id.resource_type() == *names::PROTECTED_ITEM);
    is_item && word("/properties/protectionState") == Some("ProtectionStopped") && word("/properties/policyId") == Some("")
}

/// Whether any Breakwater has marked a resource.
pub fn is_marked(body: &Value) -> bool {
    let tags = body.get("tags").and_then(Value::as_object);
    tags.is_some_and(|t| t.keys().any(|k| [TAG_ESTATE, TAG_OWNER, TAG_WRITER].iter().any(|ours| k.eq_ignore_ascii_case(ours))))
}

/// What a write puts at stake that a person must agree to first: points that would expire earlier or be made less often, and
/// doors that open one way. `None` where it puts nothing at stake.
pub fn at_stake(request: &Request, before: Option<&Value>, around: Around<'_>) -> Option<Stake> {
    let (before, after) = (before?, request.body.as_ref()?);
    let (id, tags) = match request.path.rsplit_once(TAGS) {
        Some((id, "")) => (id.parse::<ResourceId>().ok()?, true),
        _ => (request.path.parse::<ResourceId>().ok()?, false),
    };
    if tags {
        return taken_over(&id, before, after);
    }
    let kind = id.resource_type();
    let held = || id.ancestor(names::VAULT).is_none_or(|vault| ever_held(&vault, before, around));
    let mut lost: Vec<Lost> = if kind == *names::BACKUP_POLICY {
        of_policy(before, after, &held)
    } else if kind == *names::PROTECTED_ITEM {
        of_item(&id, before, after, around)
    } else {
        one_way(before, after, &held)
    };
    if lost.is_empty() {
        return None;
    }
    lost.sort();
    let join = |pick: fn(&Lost) -> &String| lost.iter().map(|l| pick(l).as_str()).collect::<Vec<_>>().join("; ");
    let loses_points = lost.iter().any(|l| l.points);
    Some(Stake { ids: vec![id], field: join(|l| &l.field), from: join(|l| &l.from), to: join(|l| &l.to), loses_points })
}

/// The path of a resource's tags, below the resource.
const TAGS: &str = "/providers/Microsoft.Resources/tags/default";

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Lost {
    field: String,
    from: String,
    to: String,
    points: bool,
}

fn lost(field: &str, from: impl ToString, to: impl ToString, points: bool) -> Lost {
    Lost { field: field.to_owned(), from: from.to_string(), to: to.to_string(), points }
}

/// Another cluster's mark on a vault, replaced by a merge of tags.
fn taken_over(id: &ResourceId, before: &Value, after: &Value) -> Option<Stake> {
    let tag = |tags: Option<&Value>| {
        let tags = tags.and_then(Value::as_object);
        tags.and_then(|t| t.iter().find(|(k, _)| k.eq_ignore_ascii_case(TAG_WRITER)).and_then(|(_, v)| v.as_str().map(str::to_owned)))
    };
    let from = tag(before.get("tags")).unwrap_or_else(|| "none".to_owned());
    let to = tag(after.pointer("/properties/tags"))?;
    (is_marked(before) && from != to).then(|| Stake {
        ids: vec![id.clone()],
        field: format!("tags.{TAG_WRITER}"),
        from,
        to,
        loses_points: false,
    })
}

/// Whether a vault ever held an item, as it shows it; what is not known counts as yes (backup.md §5.2: `Unassigned` while
/// unused).
fn ever_held(vault: &ResourceId, before: &Value, around: Around<'_>) -> bool {
    let shown = |body: &Value| text(body, "/properties/backupStorageVersion").map(|v| v.eq_ignore_ascii_case("Unassigned"));
    let unused = shown(before).or_else(|| around(vault).and_then(|body| shown(&body)));
    unused != Some(true)
}

fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer)?.as_str()
}

fn of_policy(before: &Value, after: &Value, held: &dyn Fn() -> bool) -> Vec<Lost> {
    let mut all = Vec::new();
    // A policy that protects nothing has no points to lose.
    if before.pointer("/properties/protectedItemsCount").and_then(Value::as_i64) != Some(0) {
        all.extend(policy::weakens(before, after).iter().map(|w| lost(w.field, &w.from, &w.to, true)));
    }
    if !is_enhanced(before) && is_enhanced(after) && held() {
        all.push(lost("tier", "Standard", "Enhanced", false));
    }
    all
}

/// Whether a policy is of Azure's second kind: neither it nor a machine under it ever goes back (backup.md §7.3).
fn is_enhanced(policy: &Value) -> bool {
    text(policy, "/properties/policyType").is_some_and(|t| t.eq_ignore_ascii_case("V2"))
}

fn of_item(id: &ResourceId, before: &Value, after: &Value, around: Around<'_>) -> Vec<Lost> {
    let mut all = Vec::new();
    let state = |body: &Value| text(body, "/properties/protectionState").unwrap_or_default().to_owned();
    let (was, wanted) = (state(before), state(after));
    let policy = |body: &Value| text(body, "/properties/policyId").filter(|p| !p.is_empty()).and_then(|p| p.parse::<ResourceId>().ok());
    let (old, new) = (policy(before), policy(after));
    let stops = !wanted.is_empty() && !wanted.eq_ignore_ascii_case("Protected");
    if stops && !is_stopped(&was) {
        // Points of a stopped machine are kept for good only where the vault is not immutable (backup.md §9).
        let vault = id.ancestor(names::VAULT).and_then(|vault| around(&vault));
        let kept = vault.is_some_and(|v| !is_immutable(&v));
        if !kept || !wanted.eq_ignore_ascii_case("ProtectionStopped") {
            all.push(lost("protection", was_of(&was), &wanted, true));
        }
    }
    // What was suspended expires as its policy says already: where that is seen, the policies are compared below.
    let expires = was.eq_ignore_ascii_case(SUSPENDED) && old.is_some();
    if !stops && is_stopped(&was) && !expires && new.is_some() {
        let name = new.as_ref().map(|id| id.name().to_owned()).unwrap_or_default();
        let keeps = new.as_ref().and_then(around).map_or("not known".to_owned(), |policy| retention(&policy));
        all.push(lost("protection", "stopped, points kept", format!("protected under {name} (retention: {keeps})"), true));
    }
    if disks::loses(before, after) {
        all.push(lost("disks", disks::Coverage::of_item(before).show(), disks::Coverage::of_item(after).show(), true));
    }
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        let seen = around(&old).zip(around(&new));
        if seen.as_ref().is_some_and(|(old, new)| !is_enhanced(old) && is_enhanced(new)) {
            all.push(lost("tier", "Standard", "Enhanced", false));
        }
        let weaker = match seen {
            Some((old, new)) => policy::weakens(&old, &new).iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            None => "not known".to_owned(),
        };
        if !weaker.is_empty() {
            all.push(lost("policyRef", old.name(), format!("{} ({weaker})", new.name()), true));
        }
    }
    all
}

/// How long a policy keeps points, in words: what of it a policy without any rule would be weaker in.
fn retention(policy: &Value) -> String {
    let all = policy::weakens(policy, &Value::Null);
    let rules = all.iter().filter_map(|rule| Some(format!("{} {}", rule.field.strip_prefix("retention.")?, rule.from)));
    let rules = rules.collect::<Vec<_>>().join(", ");
    if rules.is_empty() { "none".to_owned() } else { rules }
}

/// The state of a machine that gets no backups and whose points expire as its policy says (backup.md §9).
pub const SUSPENDED: &str = "BackupsSuspended";

/// Whether no backups are taken of an item in that state, by somebody's word.
pub fn is_stopped(state: &str) -> bool {
    ["ProtectionStopped", "ProtectionPaused", SUSPENDED].iter().any(|s| state.eq_ignore_ascii_case(s))
}

/// Whether an item is without backups by somebody's word, stopped or deleted softly: it has no policy to tell whose it is, and in
/// a vault of ours its machine's object takes it up again.
pub fn is_left(item: &Value) -> bool {
    let soft = item.pointer("/properties/isScheduledForDeferredDelete").and_then(Value::as_bool) == Some(true);
    soft || text(item, "/properties/protectionState").is_some_and(is_stopped)
}

fn was_of(state: &str) -> &str {
    if state.is_empty() { "protected" } else { state }
}

/// Whether a vault, as it shows itself, lets points die only as their policy says. A word that is not known counts as one.
pub fn is_immutable(vault: &Value) -> bool {
    text(vault, IMMUTABILITY).is_some_and(|state| !state.eq_ignore_ascii_case("Disabled"))
}

/// Where a vault shows its immutability.
const IMMUTABILITY: &str = "/properties/securitySettings/immutabilitySettings/state";

/// Settings that Azure never takes back (backup.md §5.3, §6.2): Locked always, the others once the vault has held an item.
fn one_way(before: &Value, after: &Value, held: &dyn Fn() -> bool) -> Vec<Lost> {
    let mut all = Vec::new();
    let mut door = |field: &str, pointer: &str, word: &str, always: bool| {
        let (have, want) = (text(before, pointer).unwrap_or("Disabled"), text(after, pointer).unwrap_or_default());
        if want.eq_ignore_ascii_case(word) && !have.eq_ignore_ascii_case(word) && (always || held()) {
            all.push(lost(field, have, word, false));
        }
    };
    door("immutability", IMMUTABILITY, "Locked", true);
    door("softDelete.state", "/properties/softDeleteFeatureState", "AlwaysON", false);
    door("softDelete.state", "/properties/securitySettings/softDeleteSettings/softDeleteState", "AlwaysON", false);
    door("crossRegionRestore", "/properties/redundancySettings/crossRegionRestore", "Enabled", false);
    let key = |body: &Value| text(body, "/properties/encryption/keyVaultProperties/keyUri").map(str::to_owned);
    if let (None, Some(uri)) = (key(before), key(after))
        && held()
    {
        all.push(lost("encryption", "platform keys", uri, false));
    }
    all
}
