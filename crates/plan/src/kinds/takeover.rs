//! A vault that is there and not ours to write: another cluster's, until an approved takeover; nobody's, until it is adopted.
//! Either is one merge of tags and nothing else.

use breakwater_api::{Reason, RecoveryVault, references::Adopt};
use breakwater_arm::{
    ResourceId,
    versions::RESOURCES,
    wire::{Method, Request},
};
use serde_json::{Value, json};

use super::owner_tags;
use crate::{
    defence::{self, TAG_WRITER, TagOwner},
    facts::Facts,
    graph::{Change, Desired, Difference, Goal, Hold, Node, Ownership},
    kind::Subject,
    questions::Question,
    sighting::Known,
};

/// What must happen before anything else is written into the vault, where something must.
pub(super) fn before_ours(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts, hold: Option<Hold>) -> Option<Desired> {
    let Known::Present(_, body) = facts.resource(id) else { return None };
    let owner = s.owner();
    let (change, ownership, asked) = match defence::tag_owner(body, &s.estate, &owner, &s.writer) {
        TagOwner::Ours => return None,
        TagOwner::OtherWriter(other) => {
            let change = merge(id, body, json!({ TAG_WRITER: &*s.writer }));
            let asks = format!(
                "{id} is written by another cluster (tag {TAG_WRITER}={other}). Is that cluster gone, or its operator stopped, so that this one ({}) may write it",
                s.writer
            );
            let stake = defence::at_stake(&change.request, Some(body), &|_| None)?;
            let asked = s.consent(Reason::OwnedByOtherCluster, Question::to_approve("takeover", stake, 1, asks));
            (change, Ownership::TakenOver { owner }, asked.map(Some))
        }
        TagOwner::NotOurs => {
            let change = merge(id, body, owner_tags(&s.estate, &owner, &s.writer));
            (change, Ownership::Adopted { owner }, adoptable(s, id, body).map_or(Ok(None), Err))
        }
    };
    let (approved, not_yet) = match asked {
        Ok(approved) => (approved, None),
        Err(hold) => (None, Some(hold)),
    };
    let goal = Goal::Exists { create: None, change: Some(change) };
    let mut graph = Desired::new();
    let lock = [format!("vault-config:{}", id.key())];
    graph.node("ownership", Node::arm(id.clone(), goal, ownership).locking(lock).held(hold.or(not_yet)).approved(approved));
    Some(graph)
}

/// Why a vault made by hand is not taken over, where it is not.
fn adoptable(s: &Subject<RecoveryVault>, id: &ResourceId, body: &Value) -> Option<Hold> {
    if defence::is_marked(body) {
        let message = format!(
            "{id} belongs to another object or estate by its breakwater tags: choose another azureName; where it was declared under another \
             name or namespace before, declare it there again, or let a person take the tags off in Azure and set spec.adopt: IfNotWeaker"
        );
        return Some(Hold::stuck(Reason::NotOurs, message));
    }
    (s.spec.adopt == Adopt::Never).then(|| {
        let message = format!(
            "{id} exists and was not made by this object: choose another azureName, or set spec.adopt: IfNotWeaker to take it over as it is"
        );
        Hold::stuck(Reason::NotOurs, message)
    })
}

fn merge(id: &ResourceId, body: &Value, tags: Value) -> Change {
    let have = |name: &str| {
        let all = body.get("tags").and_then(Value::as_object);
        all.and_then(|t| t.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.as_str())).unwrap_or("none").to_owned()
    };
    let wanted = tags.as_object().into_iter().flatten();
    let differences = wanted
        .map(|(name, value)| Difference {
            field: format!("tags.{name}"),
            have: have(name),
            want: value.as_str().unwrap_or_default().to_owned(),
        })
        .collect();
    let body = json!({ "operation": "Merge", "properties": { "tags": tags } });
    let request = Request::new(Method::Patch, format!("{id}/providers/Microsoft.Resources/tags/default"), RESOURCES).with_body(body);
    Change { differences, request }
}
