//! An object whose spec or status cannot be read: that is told, what it lent falls due all the same, and the rest of it is left
//! as it is.

use std::sync::Arc;

use breakwater_api::{Reason, Standing, State, conditions};
use breakwater_plan::kind::Kind;
use kube::core::DynamicObject;
use serde_json::{Map, Value, json};

use crate::{
    debts,
    engine::{Engine, Next},
    object::{self, Parsed},
    ports::{ClusterError, Event, ObjectKey},
    publish::{Pause, merge_patch},
    turn::{AT_THE_LATEST, Turn, with},
};

/// One turn of it.
pub(crate) async fn told<K: Kind>(engine: &Engine, key: ObjectKey, object: Arc<DynamicObject>, why: &str) -> Next {
    let mut turn = payer::<K>(engine, &key, &object);
    let mut owed = None;
    if let Some(turn) = &mut turn {
        debts::pay(turn).await;
        let early = turn.pause != Pause::None || turn.subject.meta.deleting || debts::is_refused(turn);
        owed = debts::next_due(&turn.key, &turn.subject.operations, &engine.reader.memory, early);
        if turn.subject.meta.deleting && owed.is_none() {
            return debts::last_turn(turn).await;
        }
    }
    let object = turn.as_ref().map_or(&*object, |turn| &turn.object);
    let trouble = turn.iter().flat_map(|turn| turn.subject.operations.values()).find_map(|record| record.debt.as_ref()?.trouble.as_ref());
    let message = match trouble {
        Some(trouble) => format!("{why}; what was lent is not closed yet: {trouble}"),
        None if turn.is_none() && object.metadata.deletion_timestamp.is_some() && debts::is_held(object) => {
            format!("{why}; to let go of it as it is, take {} off its metadata.finalizers", debts::FINALIZER)
        }
        None => why.to_owned(),
    };
    let latest = engine.now() + AT_THE_LATEST;
    let again = match tell(engine, &key, object, &message).await {
        Ok(()) => latest,
        Err(ClusterError::Refused(_)) => engine.now() + engine.backoff(8),
        Err(_) => engine.now() + engine.backoff(3),
    };
    engine.outside.telemetry.turn(&key.kind, Reason::InvalidSpec.as_str());
    Next::At(owed.map_or(again, |at| at.max(engine.now() + engine.bounds.read_every).min(again)))
}

/// A turn that pays what the object owes, and nothing else: of what it declares nothing is known in it. None where its kind lends
/// nothing, and where what it lent cannot be read either.
fn payer<'e, K: Kind>(engine: &'e Engine, key: &ObjectKey, object: &DynamicObject) -> Option<Turn<'e, K>> {
    let (spec, shared) = (K::nothing()?, object::shared(object).ok()?);
    let parsed = Parsed { spec, status: K::Status::default(), shared, own: Map::new() };
    Some(Turn::of(engine, key.clone(), object, parsed))
}

/// Says it in the object's conditions, or where those cannot be written in an Event.
async fn tell(engine: &Engine, key: &ObjectKey, object: &DynamicObject, why: &str) -> Result<(), ClusterError> {
    let old = object.data.get("status").cloned().unwrap_or(Value::Null);
    let mut all = old.get("conditions").and_then(|c| serde_json::from_value(c.clone()).ok()).unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or(0);
    let standing = Standing { ready: State::False, reconciling: false, reason: Reason::InvalidSpec, message: why.to_owned() };
    conditions::set_standing(&mut all, &standing, generation, engine.now());
    let new = with(&old, json!({ "conditions": all, "observedGeneration": generation }));
    let Some(patch) = merge_patch(&old, &new) else { return Ok(()) };
    if !engine.outside.leadership.leads() {
        return Ok(());
    }
    let version = object.metadata.resource_version.clone().unwrap_or_default();
    engine.outside.telemetry.kube_write(&key.kind, "status");
    let written = engine.outside.cluster.patch_status(key, &version, &patch, &engine.outside.leads()).await.map(drop);
    if let Err(e) = &written {
        tracing::warn!(error = %e, why, "an object cannot be read, and its status was not written");
    }
    if let Err(ClusterError::Refused(_)) = &written {
        // A definition that is newer than the object refuses every write of it, its status too: what is left is an Event.
        let note = format!("{why}: correct it. The API server takes no status of this object until then");
        let event = Event { warning: true, reason: Reason::InvalidSpec.to_string(), action: "Read".into(), note };
        engine.outside.cluster.event(object, &event).await;
    }
    written
}
