//! Template deployments to a resource group, which is how `az vm create` makes everything it makes: PUT is accepted, its
//! resources are written in the order of their dependencies, each by the request that a client would send. Shapes are
//! the SDK's (azure-mgmt-resource, `DeploymentExtended`) and the azure-cli recordings' of 2025.

mod plan;
mod run;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    arm::{errors, operations::long_time, template::TemplateError},
    model::Model,
    path::{Form, Target},
    wire::{Inbound, Reply},
    world::World,
};

pub use run::advance;

/// World seconds between two looks at a deployment: a guess, as no recording kept the header. It is what Resource Manager
/// says of its own chain, a group's deletion.
const RETRY_AFTER: &str = "15";

/// One deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Its id in the spelling of its creator.
    pub id: String,
    /// The number in its status URL.
    pub operation: String,
    /// `correlationId`
    pub correlation: String,
    /// `templateHash`
    pub template_hash: String,
    /// Parameters as shown: without the values of secure ones.
    pub parameters: Value,
    /// When it was accepted.
    pub started: Timestamp,
    /// When its last resource was done, or the first failed with nothing left running.
    pub ended: Option<Timestamp>,
    /// Its resources.
    pub steps: Vec<Step>,
    /// Outputs, evaluated.
    pub outputs: Value,
}

/// One resource of a deployment.
#[derive(Clone, Debug)]
pub struct Step {
    /// The id of the resource.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its name, with its parents'.
    pub name: String,
    /// The PUT that makes it.
    pub request: Inbound,
    /// Which steps must be done before.
    pub after: Vec<usize>,
    /// How far it is.
    pub state: StepState,
}

/// How far a resource of a deployment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepState {
    /// Not sent yet.
    Waiting,
    /// Accepted, and not in a final state.
    Running,
    /// There.
    Succeeded,
    /// Refused, or ended badly.
    Failed {
        /// HTTP status of the refusal; 409 when it failed later.
        status: u16,
        /// `error.code`
        code: String,
        /// `error.message`
        message: String,
    },
}

impl Deployment {
    fn state(&self) -> &'static str {
        let failed = self.steps.iter().any(|step| matches!(step.state, StepState::Failed { .. }));
        match (self.ended, failed) {
            (None, _) => "Running",
            (Some(_), true) => "Failed",
            (Some(_), false) => "Succeeded",
        }
    }

    fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    fn error(&self) -> Option<Value> {
        let details = self.steps.iter().filter_map(|step| match &step.state {
            StepState::Failed { code, message, .. } => Some(json!({"code": code, "target": step.id, "message": message})),
            _ => None,
        });
        let details: Vec<Value> = details.collect();
        let message = "At least one resource deployment operation failed. Please list deployment operations for details. \
                       Please see https://aka.ms/arm-deployment-operations for usage details.";
        (!details.is_empty()).then(|| json!({"code": "DeploymentFailed", "target": self.id, "message": message, "details": details}))
    }

    fn show(&self, state: &str, now: Timestamp) -> Value {
        let mut properties = json!({
            "templateHash": self.template_hash,
            "parameters": self.parameters,
            "mode": "Incremental",
            "provisioningState": state,
            "timestamp": long_time(self.ended.unwrap_or(self.started)),
            "duration": duration(self.started, self.ended.unwrap_or(now)),
            "correlationId": self.correlation,
            "providers": self.providers(),
            "dependencies": self.dependencies(),
        });
        match state {
            "Succeeded" => {
                properties["outputs"] = self.outputs.clone();
                properties["outputResources"] = self.steps.iter().map(|step| json!({"id": step.id})).collect();
            }
            "Failed" => properties["error"] = self.error().unwrap_or_default(),
            _ => {}
        }
        json!({"id": self.id, "name": self.name(), "type": "Microsoft.Resources/deployments", "properties": properties})
    }

    fn providers(&self) -> Vec<Value> {
        let mut shown: Vec<Value> = Vec::new();
        for step in &self.steps {
            let (namespace, kind) = step.kind.split_once('/').unwrap_or((&step.kind, ""));
            let entry = json!({"resourceType": kind, "locations": [step.request.body["location"]]});
            match shown.iter_mut().find(|known| known["namespace"] == namespace) {
                None => shown.push(json!({"namespace": namespace, "resourceTypes": [entry]})),
                Some(known) => {
                    if let Some(types) = known["resourceTypes"].as_array_mut().filter(|types| !types.contains(&entry)) {
                        types.push(entry);
                    }
                }
            }
        }
        shown
    }

    fn dependencies(&self) -> Vec<Value> {
        let brief = |step: &Step| json!({"id": step.id, "resourceType": step.kind, "resourceName": step.name});
        let dependent = self.steps.iter().filter(|step| !step.after.is_empty()).map(|step| {
            let mut shown = brief(step);
            shown["dependsOn"] = step.after.iter().filter_map(|at| self.steps.get(*at)).map(brief).collect();
            shown
        });
        dependent.collect()
    }
}

fn duration(from: Timestamp, to: Timestamp) -> String {
    format!("PT{}S", to.duration_since(from).as_secs().max(0))
}

/// Whether this part answers for the type below `Microsoft.Resources`.
pub fn knows(type_path: &str) -> bool {
    matches!(type_path, "deployments" | "deployments/operations" | "deployments/operationstatuses")
}

/// Answers a request below `{group}/providers/Microsoft.Resources/deployments`.
pub fn handle(model: &mut Model, req: &Inbound, target: &Target) -> Reply {
    let key =
        format!("{}/providers/microsoft.resources/deployments/{}", target.scope_id(), target.names.first().map_or("", String::as_str));
    let key = key.to_ascii_lowercase();
    let now = model.world.now;
    match (target.type_path().as_str(), target.form(), req.method.as_str(), target.verb.as_deref()) {
        ("deployments", Form::Collection, "GET", None) => list(&model.world, req, target),
        ("deployments", Form::Element, "PUT", None) => put(model, req, target, key),
        ("deployments", Form::Element, "POST", Some(verb)) if verb.eq_ignore_ascii_case("validate") => validate(&model.world, req, target),
        (kind, form, method, None) => {
            let Some(deployment) = model.world.deployments.get(&key) else { return not_found(req, target) };
            match (kind, form, method) {
                ("deployments", Form::Element, "GET") => Reply::json(200, deployment.show(deployment.state(), now)),
                ("deployments", Form::Element, "DELETE") if deployment.ended.is_some() => {
                    model.world.deployments.remove(&key);
                    Reply::empty(204)
                }
                ("deployments/operationstatuses", Form::Element, "GET") => status(deployment, target),
                ("deployments/operations", Form::Collection, "GET") => operations(deployment),
                _ => errors::not_implemented(method, &req.raw_path()),
            }
        }
        (_, _, method, _) => errors::not_implemented(method, &req.raw_path()),
    }
}

fn not_found(req: &Inbound, target: &Target) -> Reply {
    match req.method.as_str() {
        "DELETE" => Reply::empty(204),
        _ => {
            let name = target.names.first().map_or("", String::as_str);
            errors::gateway(404, "DeploymentNotFound", format!("Deployment '{name}' could not be found."))
        }
    }
}

fn list(world: &World, req: &Inbound, target: &Target) -> Reply {
    if req.query.get("$filter").is_some_and(|filter| !filter.trim().is_empty()) {
        return errors::not_implemented("GET", &format!("{} with $filter", req.raw_path()));
    }
    let prefix = format!("{}/", target.scope_id().to_ascii_lowercase());
    let here = world.deployments.iter().filter(|(key, _)| key.starts_with(&prefix));
    Reply::json(200, json!({"value": here.map(|(_, found)| found.show(found.state(), world.now)).collect::<Vec<_>>()}))
}

fn put(model: &mut Model, req: &Inbound, target: &Target, key: String) -> Reply {
    let before = model.world.deployments.get(&key);
    if before.is_some_and(|running| running.ended.is_none()) {
        let name = target.names.first().map_or("", String::as_str);
        let message = format!("Unable to edit or replace deployment '{name}': previous deployment is still active.");
        return errors::gateway(409, "DeploymentActive", message);
    }
    let is_new = before.is_none();
    let deployment = match plan::read(&model.world, req, target) {
        Ok(deployment) => deployment,
        Err(refusal) => return refused(req, refusal),
    };
    let shown = deployment.show("Accepted", model.world.now);
    let url = format!(
        "{}{}/operationStatuses/{}?api-version={}&{}",
        req.origin,
        deployment.id,
        deployment.operation,
        req.api_version(),
        model.world.signature()
    );
    model.world.deployments.insert(key, deployment);
    advance(model);
    Reply::json(if is_new { 201 } else { 200 }, shown).with_header("azure-asyncoperation", url).with_header("retry-after", RETRY_AFTER)
}

fn validate(world: &World, req: &Inbound, target: &Target) -> Reply {
    let deployment = match plan::read(world, req, target) {
        Ok(deployment) => deployment,
        Err(refusal) => return refused(req, refusal),
    };
    if let Some(refusal) = deployment.steps.iter().find_map(|step| run::refusal(world, step)) {
        return refusal;
    }
    let mut shown = deployment.show("Succeeded", world.now);
    if let Some(properties) = shown["properties"].as_object_mut() {
        let validated = properties.remove("outputResources").unwrap_or_default();
        properties.remove("outputs");
        properties.insert("validatedResources".to_owned(), validated);
    }
    Reply::json(200, shown)
}

fn refused(req: &Inbound, refusal: TemplateError) -> Reply {
    match refusal {
        TemplateError::NotModelled(what) => errors::not_implemented(&req.method, &format!("{} with {what}", req.raw_path())),
        TemplateError::Invalid(why) => errors::gateway(400, "InvalidTemplate", format!("Deployment template validation failed: '{why}'.")),
    }
}

fn status(deployment: &Deployment, target: &Target) -> Reply {
    if target.names.get(1).is_none_or(|asked| *asked != deployment.operation) {
        return errors::gateway(404, "DeploymentOperationNotFound", "The deployment operation could not be found.");
    }
    if deployment.ended.is_none() {
        return Reply::json(200, json!({"status": deployment.state()})).with_header("retry-after", RETRY_AFTER);
    }
    let mut body = json!({"status": deployment.state()});
    if let Some(error) = deployment.error() {
        body["error"] = error;
    }
    Reply::json(200, body)
}

fn operations(deployment: &Deployment) -> Reply {
    let shown = deployment.steps.iter().enumerate().filter(|(_, step)| step.state != StepState::Waiting).map(|(at, step)| {
        let operation = format!("{:016X}", at + 1);
        let mut properties = json!({
            "provisioningOperation": "Create",
            "timestamp": long_time(deployment.ended.unwrap_or(deployment.started)),
            "targetResource": {"id": step.id, "resourceType": step.kind, "resourceName": step.name},
        });
        let (state, code) = match &step.state {
            StepState::Waiting | StepState::Running => ("Running", None),
            StepState::Succeeded => ("Succeeded", Some("OK".to_owned())),
            StepState::Failed { status, code, message } => {
                properties["statusMessage"] = json!({"error": {"code": code, "message": message}});
                ("Failed", Some(status.to_string()))
            }
        };
        properties["provisioningState"] = json!(state);
        if let Some(code) = code {
            properties["statusCode"] = json!(code);
        }
        json!({"id": format!("{}/operations/{operation}", deployment.id), "operationId": operation, "properties": properties})
    });
    Reply::json(200, json!({"value": shown.collect::<Vec<_>>()}))
}
