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
