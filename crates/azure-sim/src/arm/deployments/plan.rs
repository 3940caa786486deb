//! From a template to the requests it stands for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Deployment, Step, StepState};
use crate::{
    arm::template::{Scope, TemplateError, resource_path},
    path::{Target, split_url},
    wire::Inbound,
    world::World,
};

/// Reads the body of a PUT or of `validate`.
///
/// # Errors
/// A template that is wrong, or that uses what is not modelled.
pub fn read(world: &World, req: &Inbound, target: &Target) -> Result<Deployment, TemplateError> {
    let properties = &req.body["properties"];
    if !properties["mode"].as_str().is_some_and(|mode| mode.eq_ignore_ascii_case("Incremental")) {
        return Err(TemplateError::NotModelled(format!("the deployment mode {}", properties["mode"])));
    }
    let template = properties.get("template").filter(|template| template.is_object());
    let template = template.ok_or_else(|| TemplateError::NotModelled("a template behind a link".to_owned()))?;
    let (subscription, group) = (target.subscription.clone().unwrap_or_default(), target.group.clone().unwrap_or_default());
    let location = world.group(&subscription, &group).map(|group| group.location.clone()).unwrap_or_default();
    let mut scope = Scope { subscription, group, location, ..Scope::default() };
    let parameters = parameters(&mut scope, template, &properties["parameters"])?;
    for (name, value) in template["variables"].as_object().into_iter().flatten() {
        let value = scope.evaluate(value)?;
        scope.variables.insert(name.clone(), value);
    }
    let steps = steps(&scope, req, template)?;
    let mut outputs = Map::new();
    for (name, output) in template["outputs"].as_object().into_iter().flatten() {
        outputs.insert(name.clone(), json!({"type": output["type"], "value": scope.evaluate(&output["value"])?}));
    }
    let digest = Sha256::digest(template.to_string().as_bytes());
    let template_hash = u64::from_be_bytes(digest.first_chunk::<8>().copied().unwrap_or_default()).to_string();
    Ok(Deployment {
        id: target.resource_id(),
        operation: format!("0858{:016}", world.entropy.next() % 10_000_000_000_000_000),
        correlation: req.headers.get("x-ms-correlation-request-id").cloned().unwrap_or_else(|| world.entropy.guid()),
        template_hash,
        parameters: Value::Object(parameters),
        started: world.now,
        ended: None,
        steps,
        outputs: Value::Object(outputs),
    })
}

/// Gives every parameter its value; what is returned is what may be shown.
fn parameters(scope: &mut Scope, template: &Value, sent: &Value) -> Result<Map<String, Value>, TemplateError> {
    let mut shown = Map::new();
    let sent: BTreeMap<String, &Value> =
        sent.as_object().into_iter().flatten().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    for (name, declared) in template["parameters"].as_object().into_iter().flatten() {
        let value = match sent.get(&name.to_ascii_lowercase()) {
            Some(given) if given.get("value").is_some() => given["value"].clone(),
            Some(_) => return Err(TemplateError::NotModelled(format!("the reference that is parameter '{name}'"))),
            None => match declared.get("defaultValue") {
                Some(default) => scope.evaluate(default)?,
                None => return Err(TemplateError::Invalid(format!("The value for the template parameter '{name}' is not provided."))),
            },
        };
        let kind = declared["type"].as_str().unwrap_or_default();
        let mut entry = json!({"type": kind});
        if !kind.to_ascii_lowercase().starts_with("secure") {
            entry["value"] = value.clone();
        }
        shown.insert(name.clone(), entry);
        scope.parameters.insert(name.clone(), value);
    }
    Ok(shown)
}

fn steps(scope: &Scope, req: &Inbound, template: &Value) -> Result<Vec<Step>, TemplateError> {
    let listed = template["resources"].as_array().cloned().unwrap_or_default();
    let mut steps = Vec::new();
    let mut named = Vec::new();
    for resource in &listed {
        for unknown in ["copy", "condition", "resources", "scope", "resourceGroup"] {
            if resource.get(unknown).is_some() {
                return Err(TemplateError::NotModelled(format!("'{unknown}' of a template's resource")));
            }
        }
        let resource = scope.evaluate(resource)?;
        steps.push(step(scope, req, &resource)?);
        let needs = resource["dependsOn"].as_array().cloned().unwrap_or_default();
        named.push(needs.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<String>>());
    }
    for at in 0..steps.len() {
        let mut after = Vec::new();
        for name in &named[at] {
            let found = steps.iter().position(|other| names(other, name));
            after.push(found.ok_or_else(|| TemplateError::Invalid(format!("The resource '{name}' is not defined in the template")))?);
        }
        steps[at].after = after;
    }
    if has_circle(&steps) { Err(TemplateError::Invalid("Circular dependency detected on resources".to_owned())) } else { Ok(steps) }
}

/// Whether a word of `dependsOn` means a step: its id, its type and name, or its name.
fn names(step: &Step, word: &str) -> bool {
    let long = format!("{}/{}", step.kind, step.name);
    [step.id.as_str(), long.as_str(), step.name.as_str()].iter().any(|known| known.eq_ignore_ascii_case(word))
}

fn has_circle(steps: &[Step]) -> bool {
    let mut done = vec![false; steps.len()];
    loop {
        let ready: Vec<usize> = (0..steps.len()).filter(|at| !done[*at] && steps[*at].after.iter().all(|before| done[*before])).collect();
        if ready.is_empty() {
            return done.contains(&false);
        }
        ready.into_iter().for_each(|at| done[at] = true);
    }
}

fn step(scope: &Scope, req: &Inbound, resource: &Value) -> Result<Step, TemplateError> {
    let text = |field: &str| {
        let found = resource[field].as_str().map(str::to_owned);
        found.ok_or_else(|| TemplateError::Invalid(format!("The template resource has no '{field}'")))
    };
    let (kind, name, version) = (text("type")?, text("name")?, text("apiVersion")?);
    let names: Vec<&str> = name.split('/').collect();
    let id = resource_path(&scope.subscription, &scope.group, &kind, &names).ok_or_else(|| {
        TemplateError::Invalid(format!("The template resource '{name}' has incorrect segment lengths for its type '{kind}'"))
    })?;
    let fields = resource.as_object().into_iter().flatten();
    let body: Map<String, Value> = fields
        .filter(|(field, value)| !value.is_null() && !matches!(field.as_str(), "type" | "name" | "apiVersion" | "dependsOn" | "comments"))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    let request = Inbound {
        method: "PUT".to_owned(),
        path: split_url(&id).0,
        query: [("api-version".to_owned(), version)].into(),
        body: Value::Object(body),
        ..req.clone()
    };
    Ok(Step { id, kind, name, request, after: Vec::new(), state: StepState::Waiting })
}
