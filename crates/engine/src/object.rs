//! A watched object, parsed: bad input becomes a condition, never a dead watch.

use breakwater_api::SharedStatus;
use breakwater_plan::{
    kind::{Kind, Meta, NAMED},
    sighting::{Packed, Sample},
};
use jiff::Timestamp;
use kube::core::{DynamicObject, ObjectMeta};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ports::{Clock, ObjectKey};

/// Spec and status of an object, typed.
pub struct Parsed<K: Kind> {
    /// What it declares.
    pub spec: K::Spec,
    /// Its own status; the default before the first visit.
    pub status: K::Status,
    /// The shared part of status.
    pub shared: SharedStatus,
    /// The kind's own status as JSON, with its shared part.
    pub own: Map<String, Value>,
}

impl<K: Kind> Parsed<K> {
    /// Parses an object.
    ///
    /// # Errors
    /// A sentence that names the field, when spec or the shared status cannot be read.
    pub fn of(object: &DynamicObject) -> Result<Self, String> {
        let Typed { spec, status } = Typed::<K>::of(object)?;
        let shared = shared(object)?;
        let own = serde_json::to_value(&status).ok().and_then(|v| v.as_object().cloned()).unwrap_or_default();
        Ok(Parsed { spec, status, shared, own })
    }
}

/// What others see of an object: a policy looks at a thousand.
pub struct Typed<K: Kind> {
    /// What it declares.
    pub spec: K::Spec,
    /// Its status; the default before the first visit.
    pub status: K::Status,
}

impl<K: Kind> Typed<K> {
    /// Parses an object, without copies of its JSON.
    ///
    /// # Errors
    /// A sentence that names the field, when spec or status cannot be read.
    pub fn of(object: &DynamicObject) -> Result<Self, String> {
        let spec = object.data.get("spec").unwrap_or(&Value::Null);
        let spec = serde_path_to_error::deserialize(spec).map_err(|e| match e.path().to_string().as_str() {
            "." => format!("spec: {}", e.inner()),
            path => format!("spec.{path}: {}", e.inner()),
        })?;
        // What was once seen must not be forgotten: a status that cannot be read stops the object.
        let status: K::Status = match object.data.get("status") {
            None | Some(Value::Null) => K::Status::default(),
            Some(status) => K::Status::deserialize(status).map_err(|e| format!("status cannot be read: {e}"))?,
        };
        Ok(Typed { spec, status })
    }
}

/// The shared part of status. One that cannot be read stops the object: what it holds of operations must not be lost.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn shared(object: &DynamicObject) -> Result<SharedStatus, String> {
    match object.data.get("status") {
        None | Some(Value::Null) => Ok(SharedStatus::default()),
        Some(status) => SharedStatus::deserialize(status).map(in_our_times).map_err(|e| format!("status cannot be read: {e}")),
    }
}

/// No operation of ours is later. A status may be anybody's writing, and to a time at the end of the calendar nothing can be added.
const LATEST: Timestamp = Timestamp::constant(7_258_118_400, 0); // 2200-01-01

fn in_our_times(mut status: SharedStatus) -> SharedStatus {
    for record in &mut status.operations {
        record.intent_at = record.intent_at.clamp(Timestamp::UNIX_EPOCH, LATEST);
        let of_debt = record.debt.iter_mut().flat_map(|debt| [Some(&mut debt.until), debt.retry_at.as_mut()]);
        let of_error = record.error.iter_mut().map(|error| error.retry_at.as_mut());
        let own = [record.ended_at.as_mut(), record.next_poll.as_mut(), record.azure_date.as_mut()];
        own.into_iter().chain(of_debt).chain(of_error).flatten().for_each(|at| *at = (*at).clamp(Timestamp::UNIX_EPOCH, LATEST));
    }
    status
}

/// Its key.
pub fn key(kind: &str, object: &DynamicObject) -> ObjectKey {
    ObjectKey {
        kind: kind.to_owned(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// An object for keeping, packed among others of its kind: there may be ten thousand.
pub fn packed(object: &DynamicObject, sample: &mut Option<Sample>) -> Packed {
    Packed::among(&serde_json::to_value(object).unwrap_or_default(), sample)
}

/// An object as it was before it was packed.
pub fn opened(packed: &Packed) -> DynamicObject {
    packed.read().unwrap_or_else(|| DynamicObject { types: None, metadata: ObjectMeta::default(), data: Value::Null })
}

/// Who it is. Kubernetes timestamps are mapped to world time where a clock is given.
pub fn meta(_kind: &str, object: &DynamicObject, clock: Option<&dyn Clock>) -> Meta {
    let created = object.metadata.creation_timestamp.as_ref().map(|t| t.0).unwrap_or_default();
    Meta {
        name: object.metadata.name.clone().unwrap_or_default(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or(0),
        created: clock.map_or(created, |c| c.to_world(created)),
        deleting: object.metadata.deletion_timestamp.is_some(),
        controlled: object.metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true)),
        named: object.metadata.annotations.iter().flatten().any(|(key, value)| key == NAMED && value == "true"),
    }
}

/// The newer of two versions of one object: resource versions of one object are comparable numbers (Kubernetes 1.35 on).
pub fn is_newer(a: &DynamicObject, b: &DynamicObject) -> bool {
    let number = |o: &DynamicObject| o.metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
    matches!((number(a), number(b)), (Some(a), Some(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_in_a_record_is_one_that_nothing_can_be_added_to() {
        let last = "9999-12-30T21:00:00Z";
        let record = serde_json::json!({ "node": "n", "verb": "act", "act": "Backup", "method": "POST", "target": "t", "key": "k",
            "clientRequestId": "c", "intentAt": last, "azureDate": last, "endedAt": last, "nextPoll": last, "attempt": 1 });
        let object = serde_json::json!({ "metadata": { "name": "a" }, "status": { "operations": [record] } });
        let shared = shared(&serde_json::from_value(object).expect("an object")).expect("a status");
        let record = &shared.operations[0];
        assert_eq!((record.intent_at, record.azure_date), (LATEST, Some(LATEST)));
        assert_eq!((record.ended_at, record.next_poll), (Some(LATEST), Some(LATEST)));
    }

    #[test]
    fn what_was_packed_is_opened_as_it_was() {
        let whole = serde_json::json!({ "metadata": { "name": "a", "labels": { "l": "ü" }, "resourceVersion": "7" },
            "spec": { "machines": [], "n": 9_007_199_254_740_993_u64 }, "status": { "conditions": [{ "type": "Ready", "message": "\"x\"\n" }] } });
        let mut sample = None;
        for object in [whole, serde_json::json!({ "metadata": { "name": "labels-only" } })] {
            let object: DynamicObject = serde_json::from_value(object).expect("an object");
            assert_eq!(opened(&packed(&object, &mut sample)), object);
        }
    }
}
