//! What a write may never do, as pure checks on (what is there, what is sent): the gate's and the kinds' own.

use breakwater_arm::{ResourceId, names};
use serde_json::Value;

use crate::{policy, strength};

/// The tag that names the estate.
pub const TAG_ESTATE: &str = "breakwater-estate";
/// The tag that names the owner by hash.
pub const TAG_OWNER: &str = "breakwater-owner";
/// The tag that names the writing cluster.
pub const TAG_WRITER: &str = "breakwater-writer";

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
/// never deleted: a protected item, a point, a snapshot, a vault; a policy only while nothing is under it.
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
    let shared = SHARED.iter().any(|s| kind == **s);
    if shared { Ok(()) } else { Err(format!("{id} may hold recovery points, or other people's things: it is never deleted")) }
}

/// Types that hold no data of their own: Site Recovery's frames (site-recovery.md §2), removed when empty.
const SHARED: [&str; 3] = [
    "Microsoft.RecoveryServices/vaults/replicationFabrics",
    "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers",
    "Microsoft.RecoveryServices/vaults/replicationFabrics/replicationProtectionContainers/replicationProtectionContainerMappings",
];

/// Whether a write would let existing recovery points expire earlier: a shorter or thinner policy, a stop, fewer disks.
pub fn lets_points_expire(path: &str, before: &Value, after: &Value) -> bool {
    let Ok(id) = path.parse::<ResourceId>() else { return false };
    let kind = id.resource_type();
    if kind == *names::BACKUP_POLICY {
        // A policy that protects nothing has no points to lose.
        if before.pointer("/properties/protectedItemsCount").and_then(Value::as_i64) == Some(0) {
            return false;
        }
        return !policy::weakens(before, after).is_empty();
    }
    kind == *names::PROTECTED_ITEM && crate::disks::drops_a_disk(before, after)
}
