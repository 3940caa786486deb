//! Management locks, own and inherited (compute-and-arm.md E.8, I.10).

use serde_json::{Value, json};

use crate::{
    arm::errors,
    model::Model,
    path::{Form, Target},
    wire::{Inbound, Reply},
    world::World,
};

/// What a lock forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
pub enum Level {
    /// DELETE.
    CanNotDelete,
    /// Every write: PUT, PATCH, POST, DELETE.
    ReadOnly,
}

/// A lock.
#[derive(Clone, Debug)]
pub struct Lock {
    /// Its id.
    pub id: String,
    /// What it lies on.
    pub scope: String,
    /// Its name.
    pub name: String,
    /// What it forbids.
    pub level: Level,
    /// What somebody wrote about it.
    pub notes: Option<String>,
}

impl Lock {
    fn show(&self) -> Value {
        let level = if self.level == Level::ReadOnly { "ReadOnly" } else { "CanNotDelete" };
        let mut properties = json!({"level": level});
        if let Some(notes) = &self.notes {
            properties["notes"] = json!(notes);
        }
        json!({"properties": properties, "id": self.id, "type": "Microsoft.Authorization/locks", "name": self.name})
    }
}

/// Whether `scope` is `id` itself or above it.
pub fn covers(scope: &str, id: &str) -> bool {
    let (scope, id) = (scope.to_ascii_lowercase(), id.to_ascii_lowercase());
    scope == "/" || id == scope || id.starts_with(&format!("{}/", scope.trim_end_matches('/')))
}

/// The refusal of a request that a lock forbids. Deleting a group is also refused for locks below it.
pub fn refusal(world: &World, req: &Inbound, target: &Target) -> Option<Reply> {
    if matches!(req.method.as_str(), "GET" | "HEAD") || target.in_namespace("Microsoft.Authorization") {
        return None;
    }
    let deletes = req.method == "DELETE";
    let scope = if target.in_namespace("Microsoft.Resources") { target.scope_id() } else { target.resource_id() };
    let whole_group = deletes && target.namespace.is_none();
    let forbids = |lock: &&Lock| {
        let reaches = covers(&lock.scope, &scope) || (whole_group && covers(&scope, &lock.scope));
        reaches && (deletes || lock.level == Level::ReadOnly)
    };
    let locked: Vec<String> = world.locks.values().filter(forbids).map(|lock| lock.scope.clone()).collect();
    let act = if deletes { "delete" } else { "write" };
    (!locked.is_empty()).then(|| errors::scope_locked(&scope, act, &locked))
}

/// Answers `{scope}/providers/Microsoft.Authorization/locks…`.
pub fn handle(model: &mut Model, req: &Inbound, target: &Target) -> Reply {
    let scope = target.scope_id();
    if let Err(refusal) = model.scope_exists(&target.scope) {
        return refusal;
    }
    let world = &mut model.world;
    if target.form() == Form::Collection {
        let whole = target.scope.len() <= 4;
        let shown = world.locks.values().filter(|lock| covers(&lock.scope, &scope) || (whole && covers(&scope, &lock.scope)));
        let value: Vec<Value> = shown.map(Lock::show).collect();
        return if req.method == "GET" { Reply::json(200, json!({"value": value})) } else { errors::method_not_allowed(&req.method) };
    }
    let name = target.names.first().cloned().unwrap_or_default();
    let id = format!("{scope}/providers/Microsoft.Authorization/locks/{name}");
    let key = id.to_ascii_lowercase();
    let held = world.locks.contains_key(&key);
    match req.method.as_str() {
        "GET" => match world.locks.get(&key) {
            Some(lock) => Reply::json(200, lock.show()),
            None => errors::gateway(404, "LockNotFound", format!("The lock '{name}' could not be found.")),
        },
        "DELETE" => Reply::empty(if world.locks.remove(&key).is_some() { 200 } else { 204 }),
        "PUT" => {
            let Ok(level) = serde_json::from_value(req.body.pointer("/properties/level").cloned().unwrap_or_default()) else {
                return errors::gateway(400, "InvalidLockLevel", "The lock level is not valid: CanNotDelete or ReadOnly.");
            };
            let notes = req.body.pointer("/properties/notes").and_then(Value::as_str).map(str::to_owned);
            let lock = Lock { id, scope, name, level, notes };
            let shown = lock.show();
            world.locks.insert(key, lock);
            Reply::json(if held { 200 } else { 201 }, shown)
        }
        other => errors::method_not_allowed(other),
    }
}
