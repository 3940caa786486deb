//! Carrying a deployment out: a resource is written as soon as all that it depends on is there.

use serde_json::Value;

use super::{Step, StepState};
use crate::{
    arm::{self, errors, gate},
    model::Model,
    path::Target,
    wire::{Inbound, Reply},
    world::World,
};

/// Takes every running deployment as far as it goes at the world's present time.
pub fn advance(model: &mut Model) {
    let running: Vec<String> =
        model.world.deployments.iter().filter(|(_, found)| found.ended.is_none()).map(|(key, _)| key.clone()).collect();
    for key in running {
        let Some(mut deployment) = model.world.deployments.get(&key).cloned() else { continue };
        while step_forward(model, &mut deployment.steps) {}
        let over = |step: &Step| matches!(step.state, StepState::Succeeded | StepState::Failed { .. });
        let failed = deployment.steps.iter().any(|step| matches!(step.state, StepState::Failed { .. }));
        let open = deployment.steps.iter().any(|step| step.state == StepState::Running);
        if deployment.steps.iter().all(over) || failed && !open {
            deployment.ended = Some(model.world.now);
        }
        // Deleting its group may have taken it away meanwhile.
        if let Some(stored) = model.world.deployments.get_mut(&key) {
            *stored = deployment;
        }
    }
}

/// Looks after every step once; whether anything moved.
fn step_forward(model: &mut Model, steps: &mut [Step]) -> bool {
    let mut moved = false;
    for at in 0..steps.len() {
        let next = match steps[at].state {
            StepState::Waiting if steps[at].after.iter().all(|before| steps[*before].state == StepState::Succeeded) => {
                send(model, &steps[at])
            }
            StepState::Running => look(model, &steps[at]),
            _ => continue,
        };
        moved |= next != steps[at].state;
        steps[at].state = next;
    }
    moved
}

/// What the front end says to a step's request, if it refuses it.
pub fn refusal(world: &World, step: &Step) -> Option<Reply> {
    let target = Target::read("PUT", &step.request.path);
    match arm::owner(&target, &step.request.path) {
        None => Some(errors::not_implemented("PUT", &step.id)),
        Some(owner) => gate::refusal(world, &step.request, &target, owner, true),
    }
}

fn send(model: &mut Model, step: &Step) -> StepState {
    let request = Inbound { now: model.world.now, ..step.request.clone() };
    let target = Target::read("PUT", &request.path);
    let reply = match (refusal(&model.world, step), arm::owner(&target, &request.path)) {
        (Some(refusal), _) => refusal,
        (None, Some(owner)) => arm::dispatch(model, &request, &target, owner),
        (None, None) => errors::not_implemented("PUT", &step.id),
    };
    if reply.status < 400 { look(model, step) } else { failure(&reply) }
}

/// Asks for the resource: it is there when its state is final, or when it has none. A 404 may be an item that appears
/// only when its operation ends.
fn look(model: &mut Model, step: &Step) -> StepState {
    let request = Inbound { method: "GET".to_owned(), body: Value::Null, now: model.world.now, ..step.request.clone() };
    let target = Target::read("GET", &request.path);
    let Some(owner) = arm::owner(&target, &request.path) else { return StepState::Running };
    let reply = arm::dispatch(model, &request, &target, owner);
    let state = reply.body.as_ref().and_then(|body| body.pointer("/properties/provisioningState")).and_then(Value::as_str);
    match (reply.status, state) {
        (404, _) => StepState::Running,
        (400.., _) => failure(&reply),
        (_, None | Some("Succeeded")) => StepState::Succeeded,
        (_, Some("Failed")) => {
            let message = format!(
                "The resource write operation failed to complete successfully, because it reached terminal provisioning state 'Failed': {}.",
                step.id
            );
            StepState::Failed { status: 409, code: "ResourceDeploymentFailure".to_owned(), message }
        }
        _ => StepState::Running,
    }
}

fn failure(reply: &Reply) -> StepState {
    let text = |field: &str| {
        let found = reply.body.as_ref().and_then(|body| body.pointer(&format!("/error/{field}"))).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    StepState::Failed { status: reply.status, code: text("code"), message: text("message") }
}
