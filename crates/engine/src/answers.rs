//! The answers that an object has: Approvals of its namespace that name it, not expired, not used for something else, and
//! made while the rule of who may answer was in force (api.md, "Approval").

use breakwater_api::{Approval, admission};
use breakwater_plan::{
    kind::{AccessNeed, Kind},
    questions::{Answers, Approved, Given},
};
use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;
use serde_json::Value;

use crate::{
    ports::{Cluster, ClusterError, ObjectKey},
    turn::Turn,
};

/// What counts for the object of this turn. The rule is only looked at, live, where there is an answer.
pub async fn given<K: Kind>(turn: &Turn<'_, K>) -> Answers {
    let cluster = &*turn.engine.outside.cluster;
    if K::NAME == "Approval" {
        return Answers { given: Vec::new(), not_in_force: rule(cluster).await.and_then(|since| made_under(since, &turn.object)).err() };
    }
    if K::ACCESS != AccessNeed::Namespace {
        return Answers::default();
    }
    let now = turn.engine.now();
    let candidates: Vec<(Given, std::sync::Arc<DynamicObject>)> =
        cluster.cached_all("Approval", Some(&turn.key.namespace)).filter_map(|object| Some((read(turn, &object, now)?, object))).collect();
    if candidates.is_empty() {
        return Answers::default();
    }
    match rule(cluster).await {
        Err(why) => Answers { given: Vec::new(), not_in_force: Some(why) },
        Ok(since) => {
            let (good, late): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|(_, object)| made_under(since, object).is_ok());
            let why = late.first().and_then(|(_, object)| made_under(since, object).err()).filter(|_| good.is_empty());
            Answers { given: good.into_iter().map(|(given, _)| given).collect(), not_in_force: why }
        }
    }
}

/// An Approval that names this object and may still be used.
fn read<K: Kind>(turn: &Turn<'_, K>, object: &DynamicObject, now: Timestamp) -> Option<Given> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let approval: Approval = object.clone().try_parse().ok()?;
    let (spec, uid) = (approval.spec, approval.metadata.uid?);
    let names = spec.target_ref.kind == K::NAME && spec.target_ref.name == turn.key.name && spec.target_uid == turn.subject.meta.uid;
    // One use: what an open record was begun with may go on with it.
    let begun = turn.subject.operations.values().any(|record| record.approvals.contains(&uid));
    let used = turn.answered.iter().any(|a| a.approval == uid) && !begun;
    (names && !used && spec.expires_at > now).then(|| Given {
        approval: uid,
        name: approval.metadata.name.unwrap_or_default(),
        question: spec.question,
        digest: spec.digest,
        answer: spec.answer,
        by: spec.approved_by,
        expires: spec.expires_at,
    })
}

/// Since when the rule stands, wall time.
async fn rule(cluster: &dyn Cluster) -> Result<Timestamp, String> {
    let (policy, binding) = (live(cluster, POLICY).await?, live(cluster, BINDING).await?);
    if let Some(why) = admission::not_in_force(policy.as_ref(), binding.as_ref()) {
        return Err(why);
    }
    let changed = [policy, binding].into_iter().flatten().filter_map(|object| admission::last_changed(&object)).max();
    changed.ok_or_else(|| format!("since when {} stands is not told: {}", admission::APPROVALS, admission::remedy()))
}

const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

async fn live(cluster: &dyn Cluster, kind: &str) -> Result<Option<Value>, String> {
    let key = ObjectKey { kind: kind.to_owned(), namespace: String::new(), name: admission::APPROVALS.to_owned() };
    match cluster.get(&key).await {
        Ok(found) => Ok(found.and_then(|object| serde_json::to_value(object).ok())),
        Err(ClusterError::NotFound) => Ok(None),
        Err(e) => Err(format!("{kind} {} cannot be read ({e}): let the operator read it (deploy/kustomize/access)", admission::APPROVALS)),
    }
}

/// An answer that was made before the rule had stood for a while may be anybody's.
fn made_under(since: Timestamp, approval: &DynamicObject) -> Result<(), String> {
    let made = approval.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let from = since + SignedDuration::from_secs(admission::STANDS_FOR);
    match made {
        Some(made) if made >= from => Ok(()),
        _ => Err(format!(
            "the rule of who may answer stands since {since}, and the answer was not made {} s later: delete the Approval and make it again",
            admission::STANDS_FOR
        )),
    }
}

/// Whether answers still stand, read live: each Approval as it was, none expired, the rule in force.
pub async fn still_stand<K: Kind>(turn: &Turn<'_, K>, approved: &[Approved]) -> bool {
    let cluster = &*turn.engine.outside.cluster;
    let Ok(since) = rule(cluster).await else { return false };
    for consent in approved {
        let key = ObjectKey { kind: "Approval".into(), namespace: turn.key.namespace.clone(), name: consent.given.name.clone() };
        let Ok(Some(object)) = cluster.get(&key).await else { return false };
        if made_under(since, &object).is_err() || read(turn, &object, turn.engine.now()).as_ref() != Some(&consent.given) {
            return false;
        }
    }
    true
}
