//! Role assignments and role definitions as ARM resources (compute-and-arm.md G.4).

use serde_json::{Value, json};

use crate::{
    arm::{errors, locks::covers},
    identity::authorise::{Assignment, Origin, Role},
    model::Model,
    path::{Form, Target},
    wire::{Inbound, Reply},
    world::{Resource, World},
};

/// Answers `{scope}/providers/Microsoft.Authorization/role…`.
pub fn handle(model: &mut Model, req: &Inbound, target: &Target) -> Reply {
    let unknown = if req.method == "PUT" { unknown_principal(model, req) } else { None };
    let world = &mut model.world;
    let scope = target.scope_id();
    let name = target.names.first().cloned().unwrap_or_default();
    match (target.type_path().as_str(), target.form(), req.method.as_str()) {
        ("roleassignments", Form::Collection, "GET") => {
            let value: Vec<Value> = world
                .access
                .assignments
                .values()
                .filter(|a| covers(&scope, &a.scope) || covers(&a.scope, &scope))
                .map(|a| show(a, &scope))
                .collect();
            Reply::json(200, json!({"value": value}))
        }
        ("roleassignments", Form::Element, "GET") => match world.access.assignments.get(&target.resource_id().to_ascii_lowercase()) {
            Some(found) => Reply::json(200, show(found, &scope)),
            None => not_found(&name),
        },
        ("roleassignments", Form::Element, "PUT") => match unknown {
            Some(refusal) => refusal,
            None => assign(world, req, target, (&scope, &name)),
        },
        ("roleassignments", Form::Element, "DELETE") => match world.access.assignments.remove(&target.resource_id().to_ascii_lowercase()) {
            Some(removed) => Reply::json(200, show(&removed, &scope)),
            None => Reply::empty(204),
        },
        ("roledefinitions", Form::Collection, "GET") => {
            let filter = req.query.get("$filter").map_or("", String::as_str);
            let wanted = crate::arm::tags::filter_value(filter, "roleName");
            let named = |role: &&Role| wanted.as_ref().is_none_or(|name| role.name.eq_ignore_ascii_case(name));
            let value: Vec<Value> = world.access.roles.values().filter(named).map(|role| show_role(role, &scope)).collect();
            Reply::json(200, json!({"value": value}))
        }
        ("roledefinitions", Form::Element, "GET") => match world.access.roles.get(&name.to_ascii_lowercase()) {
            Some(role) => Reply::json(200, show_role(role, &scope)),
            None => errors::gateway(
                404,
                "RoleDefinitionDoesNotExist",
                format!("The specified role definition with ID '{name}' does not exist."),
            ),
        },
        ("roledefinitions", Form::Element, "PUT") => define(world, req, (&scope, &name)),
        ("roledefinitions", Form::Element, "DELETE") => undefine(world, (&scope, &name)),
        (_, _, method) => errors::not_implemented(method, &req.raw_path()),
    }
}

fn not_found(name: &str) -> Reply {
    errors::gateway(404, "RoleAssignmentNotFound", format!("The role assignment '{name}' is not found."))
}

fn role_id(role: &str, scope: &str) -> String {
    let subscription: String = scope.split('/').take(3).collect::<Vec<_>>().join("/");
    let prefix = if subscription.len() > 1 { subscription } else { String::new() };
    format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{role}")
}

fn show(given: &Assignment, scope: &str) -> Value {
    json!({
        "properties": {
            "roleDefinitionId": role_id(&given.role, scope),
            "principalId": given.principal,
            "principalType": given.principal_type,
            "scope": given.scope,
            "condition": null,
            "conditionVersion": null,
            "createdOn": given.created.to_string(),
            "updatedOn": given.created.to_string(),
            "createdBy": null,
            "updatedBy": null,
            "delegatedManagedIdentityResourceId": null,
            "description": null,
        },
        "id": given.id,
        "type": "Microsoft.Authorization/roleAssignments",
        "name": given.name,
    })
}

fn show_role(role: &Role, scope: &str) -> Value {
    json!({
        "properties": {
            "roleName": role.name,
            "type": if role.origin == Origin::BuiltIn { "BuiltInRole" } else { "CustomRole" },
            "description": role.description,
            "assignableScopes": role.assignable_scopes,
            "permissions": [{"actions": role.actions, "notActions": role.not_actions,
                "dataActions": role.data_actions, "notDataActions": role.not_data_actions}],
        },
        "id": role_id(&role.id, scope),
        "type": "Microsoft.Authorization/roleDefinitions",
        "name": role.id,
    })
}

/// Recorded: roleassignment_put__400_principalnotfound. Its own words say that a `principalType` does without the look into the
/// directory, which holds the estate's principals and the identities of machines and vaults.
fn unknown_principal(model: &Model, req: &Inbound) -> Option<Reply> {
    let properties = &req.body["properties"];
    let principal = uuid::Uuid::parse_str(properties["principalId"].as_str()?).ok()?;
    let plain = principal.to_string();
    let of_machine = |vm: &Resource| vm.text("/identity/principalId").eq_ignore_ascii_case(&plain);
    let known =
        model.world.principals.contains(&plain) || model.world.resources.values().any(of_machine) || model.recovery.has_principal(&plain);
    let typed = properties["principalType"].as_str().is_some_and(|kind| !kind.is_empty());
    (!known && !typed).then(|| {
        let message = format!(
            "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this \
             principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the \
             role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See \
             https://aka.ms/docs-principaltype",
            principal.simple(),
            req.caller.tenant_id
        );
        errors::gateway(400, "PrincipalNotFound", message)
    })
}

fn assign(world: &mut World, req: &Inbound, target: &Target, (scope, name): (&str, &str)) -> Reply {
    let text = |field: &str| req.body.pointer(&format!("/properties/{field}")).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (definition, principal) = (text("roleDefinitionId"), text("principalId"));
    let role = definition.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    if !world.access.roles.contains_key(&role) {
        return errors::gateway(
            404,
            "RoleDefinitionDoesNotExist",
            format!("The specified role definition with ID '{role}' does not exist."),
        );
    }
    if uuid::Uuid::parse_str(&principal).is_err() {
        return errors::gateway(
            400,
            "InvalidPrincipalId",
            format!("A valid principal ID must be provided for role assignment: '{principal}'."),
        );
    }
    let key = target.resource_id().to_ascii_lowercase();
    // A name is used once, and what it stands for does not change: 400 in the words of Azure/Azure-Landing-Zones#2040.
    let moved = |a: &Assignment| a.role != role || !a.principal.eq_ignore_ascii_case(&principal) || !a.scope.eq_ignore_ascii_case(scope);
    if world.access.assignments.values().any(|a| a.name.eq_ignore_ascii_case(name) && moved(a)) {
        let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.";
        return errors::gateway(400, "RoleAssignmentUpdateNotPermitted", message);
    }
    let same = |a: &Assignment| a.role == role && a.principal.eq_ignore_ascii_case(&principal) && a.scope.eq_ignore_ascii_case(scope);
    if let Some(existing) = world.access.assignments.values().find(|a| same(a)) {
        return if existing.id.eq_ignore_ascii_case(&key) {
            Reply::json(200, show(existing, scope))
        } else {
            errors::gateway(409, "RoleAssignmentExists", "The role assignment already exists.")
        };
    }
    let kind = text("principalType");
    let given = Assignment {
        id: target.resource_id(),
        name: name.to_owned(),
        scope: scope.to_owned(),
        role,
        principal,
        principal_type: if kind.is_empty() { "ServicePrincipal".to_owned() } else { kind },
        created: world.now,
    };
    let shown = show(&given, scope);
    world.access.assignments.insert(key, given);
    Reply::json(201, shown)
}

fn define(world: &mut World, req: &Inbound, (scope, name): (&str, &str)) -> Reply {
    let words = |pointer: &str| -> Vec<String> {
        let found = req.body.pointer(pointer).and_then(Value::as_array);
        found.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let text = |pointer: &str| req.body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let role = Role {
        id: name.to_ascii_lowercase(),
        name: text("/properties/roleName"),
        description: text("/properties/description"),
        origin: Origin::Custom,
        actions: words("/properties/permissions/0/actions"),
        not_actions: words("/properties/permissions/0/notActions"),
        data_actions: words("/properties/permissions/0/dataActions"),
        not_data_actions: words("/properties/permissions/0/notDataActions"),
        assignable_scopes: words("/properties/assignableScopes"),
    };
    if role.assignable_scopes.is_empty() {
        return errors::gateway(400, "MissingAssignableScopes", "The role definition has no assignable scopes.");
    }
    if world.access.roles.values().any(|other| other.id != role.id && other.name.eq_ignore_ascii_case(&role.name)) {
        return errors::gateway(
            409,
            "RoleDefinitionWithSameNameExists",
            format!("A custom role with the same name '{}' already exists in this directory.", role.name),
        );
    }
    let shown = show_role(&role, scope);
    world.access.roles.insert(role.id.clone(), role);
    Reply::json(201, shown)
}

fn undefine(world: &mut World, (scope, name): (&str, &str)) -> Reply {
    let key = name.to_ascii_lowercase();
    if world.access.assignments.values().any(|given| given.role == key) {
        return errors::gateway(400, "RoleDefinitionHasAssignments", "There are existing role assignments referencing role.");
    }
    match world.access.roles.remove(&key) {
        Some(role) => Reply::json(200, show_role(&role, scope)),
        None => Reply::empty(204),
    }
}
