//! What Azure hands out at the end of an opening (scripts and their password) goes from the answer into a Secret of the
//! object's namespace, and nowhere else; it goes again when the opening is closed.

use breakwater_api::{OperationRecord, Reason, operations::Outcome};
use breakwater_arm::{OperationState, OperationStatus, bodies::ClientScript};
use breakwater_plan::{facts::NewSecret, keys, kind::Kind};
use jiff::SignedDuration;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};

use crate::{
    debts::{is_withdrawn, unopened},
    ports::{Cluster, ClusterError, ObjectKey},
    publish::Pause,
    turn::Turn,
};

/// Between two tries to make the Secret.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// Names the request whose script is in a Secret: with the owner's uid, what makes it ours.
const INTENT: &str = "breakwater.io/intent";

/// The Secret's type: it tells `kubectl get secrets` what it is for.
const TYPE: &str = "breakwater.io/file-recovery";

/// What became of that which an operation handed out.
pub enum HandedOver {
    /// It is in its Secret, or there was nothing to hand over.
    Nothing,
    /// The API server did not say; it is tried again.
    Later,
    /// It cannot be handed over: what was opened is closed again.
    Not,
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: "Secret".into(), namespace: namespace.to_owned(), name: name.to_owned() }
}

/// Hands over what an operation that ended well carries.
pub async fn handed_over<K: Kind>(turn: &mut Turn<'_, K>, node: &str, status: &OperationStatus, body: &Value) -> HandedOver {
    let Some(record) = turn.subject.operations.get(node).cloned() else { return HandedOver::Nothing };
    let Some(secret) = record.debt.as_ref().and_then(|debt| debt.secret.clone()) else { return HandedOver::Nothing };
    if status.state != OperationState::Succeeded {
        return HandedOver::Nothing;
    }
    // Nothing new is started by whoever is paused, and nothing is written by whoever does not lead.
    let closes = record.debt.as_ref().is_some_and(|debt| debt.closing.is_some());
    if closes
        || is_withdrawn(turn, &record)
        || turn.pause != Pause::None
        || turn.subject.meta.deleting
        || !turn.engine.outside.leadership.leads()
    {
        return later(turn, &record);
    }
    let scripts = ClientScript::list(body).unwrap_or_default();
    let Some(data) = data(&scripts) else {
        return not(turn, node, Outcome::Lost, Reason::ScriptsLost, "Azure says that it is open, and handed out no script");
    };
    let object = object(turn, &record, &secret, data);
    let at = key(&turn.key.namespace, &secret);
    turn.engine.outside.telemetry.kube_write("Secret", "create");
    let outside = &turn.engine.outside;
    match outside.cluster.create(&at, &object, &outside.leads()).await {
        Ok(_) => HandedOver::Nothing,
        Err(ClusterError::Exists) => match turn.engine.outside.cluster.get(&at).await {
            Ok(Some(there)) if is_of(&there, &turn.subject.meta.uid, &record) => HandedOver::Nothing,
            Ok(Some(_)) => {
                let message = format!("Secret {secret} was made by somebody else meanwhile, and is never overwritten");
                not(turn, node, Outcome::Failed, Reason::TargetExists, &message)
            }
            _ => later(turn, &record),
        },
        // What the API server, or a webhook behind it, says of an object may quote the object: of this one nothing is repeated.
        Err(ClusterError::Refused(_)) => {
            let message = format!(
                "Secret {secret} could not be made: the API server, or an admission webhook, refused it; see whether the namespace still binds breakwater-file-recovery, and the API server's log"
            );
            not(turn, node, Outcome::Failed, Reason::SecretAccessMissing, &message)
        }
        Err(_) => {
            tracing::info!(secret, "what was handed out is not in its Secret yet: the API server did not answer");
            later(turn, &record)
        }
    }
}

fn later<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord) -> HandedOver {
    let again = turn.engine.now() + AGAIN_AFTER.max(turn.engine.bounds.read_every);
    turn.engine.reader.memory.advance(&turn.key, &record.client_request_id, |p| p.next_poll = Some(again));
    HandedOver::Later
}

fn not<K: Kind>(turn: &mut Turn<'_, K>, node: &str, outcome: Outcome, reason: Reason, message: &str) -> HandedOver {
    let now = turn.engine.now();
    tracing::warn!(node, %reason, message, "closed again");
    if let Some(record) = turn.subject.operations.get_mut(node) {
        (record.ended_at, record.outcome) = (Some(now), Some(outcome));
        record.error = Some(unopened(reason, message));
    }
    HandedOver::Not
}

/// Files by name. `None` without a script that can be run.
fn data(scripts: &[ClientScript]) -> Option<Map<String, Value>> {
    let mut data = Map::new();
    let mut put = |name: String, text: &str| data.insert(name, json!(text));
    let mut runnable = false;
    for script in scripts {
        let extension: String = script.extension.iter().flat_map(|e| e.chars()).filter(|c| c.is_ascii_alphanumeric()).collect();
        let name = script.file_name().filter(|n| n.len() < 240).unwrap_or_else(|| format!("script.{extension}"));
        if let Some(url) = &script.url {
            put(format!("{name}.url"), url);
            runnable = true;
        }
        if let Some(content) = script.content() {
            put(name, content.reveal());
            runnable = true;
        }
        if let Some(password) = script.password() {
            put("password".to_owned(), password.reveal());
        }
    }
    runnable.then_some(data)
}

fn object<K: Kind>(turn: &Turn<'_, K>, record: &OperationRecord, name: &str, data: Map<String, Value>) -> Value {
    let until = record.debt.as_ref().map(|debt| debt.until.to_string()).unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": turn.key.namespace,
            "labels": { "app.kubernetes.io/managed-by": "breakwater" },
            "annotations": { INTENT: record.client_request_id, "breakwater.io/mounted-until": until },
            "ownerReferences": [owner(turn)],
        },
        "type": TYPE,
        "immutable": true,
        "stringData": data,
    })
}

fn owner<K: Kind>(turn: &Turn<'_, K>) -> Value {
    json!({
        "apiVersion": "breakwater.io/v1alpha1",
        "kind": K::NAME,
        "name": turn.key.name,
        "uid": turn.subject.meta.uid,
        "controller": true,
    })
}

fn intent_of(secret: &DynamicObject) -> Option<&String> {
    secret.metadata.annotations.as_ref()?.get(INTENT)
}

/// Whether a Secret holds what that request was answered with.
fn is_of(secret: &DynamicObject, uid: &str, record: &OperationRecord) -> bool {
    let owned = secret.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid);
    owned && intent_of(secret) == Some(&record.client_request_id)
}

/// Whether a Secret holds what any request of that opening was answered with: by what it says itself, for an owner reference
/// can be taken off it.
fn is_ours<K: Kind>(turn: &Turn<'_, K>, secret: &DynamicObject, record: &OperationRecord) -> bool {
    let ids = (1..=record.attempt).map(|n| keys::request_id(&turn.subject.estate, &record.key, &record.node, n).to_string());
    intent_of(secret).is_some_and(|intent| ids.into_iter().any(|id| *intent == id))
}

/// Removes the Secret of an opening that is closed: what its requests were answered with, and no other of that name.
///
/// # Errors
/// Why it may still be there.
pub async fn take_back<K: Kind>(turn: &Turn<'_, K>, name: &str, record: &OperationRecord) -> Result<(), (Reason, String)> {
    if !turn.engine.outside.leadership.leads() {
        return Err((Reason::Busy, "this process does not hold the lease".into()));
    }
    let at = key(&turn.key.namespace, name);
    let cluster = &turn.engine.outside.cluster;
    let unread = |error: &ClusterError| (Reason::DebtOpen, format!("whether Secret {name} is still there is not known: {error}"));
    let found = match cluster.get(&at).await {
        Ok(None) | Err(ClusterError::NotFound) => return Ok(()),
        // It is owned by this object: Kubernetes removes it with it.
        Err(ClusterError::Refused(_)) if turn.subject.meta.deleting => return Ok(()),
        Err(ClusterError::Refused(words)) => {
            let message = format!(
                "Secret {name} cannot be looked at any more: bind the ClusterRole breakwater-file-recovery again, or delete the Secret and this object: {words}"
            );
            return Err((Reason::SecretAccessMissing, message));
        }
        Err(error) => return Err(unread(&error)),
        Ok(Some(found)) => found,
    };
    if !is_ours(turn, &found, record) {
        return Ok(());
    }
    let uid = found.metadata.uid.unwrap_or_default();
    turn.engine.outside.telemetry.kube_write("Secret", "delete");
    match cluster.delete(&at, &uid, &turn.engine.outside.leads()).await {
        Ok(()) | Err(ClusterError::NotFound | ClusterError::Conflict) => Ok(()),
        Err(ClusterError::Refused(_)) if turn.subject.meta.deleting => Ok(()),
        Err(error) => Err((Reason::DebtOpen, format!("Secret {name} could not be removed: {error}"))),
    }
}

/// Whether a Secret of that name could be made there, and removed again.
pub async fn could_be_made(cluster: &dyn Cluster, namespace: &str, name: &str) -> NewSecret {
    let at = key(namespace, name);
    match cluster.get(&at).await {
        Ok(Some(_)) => return NewSecret::Exists,
        Ok(None) | Err(ClusterError::NotFound) => {}
        Err(ClusterError::Refused(words)) => return refused(words),
        Err(error) => return NewSecret::Unknown(error.to_string()),
    }
    let dry = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace },
        "type": TYPE, "immutable": true, "stringData": {},
    });
    match cluster.may_create(&at, &dry).await {
        Ok(()) => NewSecret::Possible,
        Err(ClusterError::Exists) => NewSecret::Exists,
        Err(ClusterError::Refused(words)) => refused(words),
        Err(error) => NewSecret::Unknown(error.to_string()),
    }
}

/// A right that is missing, in the API server's fixed words, or anything else that it says of the name, a quota, a policy.
fn refused(words: String) -> NewSecret {
    let of_rights = words.contains("secrets") && words.contains("is forbidden") && words.contains("cannot ");
    if of_rights { NewSecret::Forbidden(words) } else { NewSecret::Refused(words) }
}
