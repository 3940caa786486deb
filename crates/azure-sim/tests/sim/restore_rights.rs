//! Who may restore: the action on the point, and rights on what the request names.

use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, RG, code};

const OPERATOR: &str = "dddddddd-0000-4000-8000-000000000002";
const POINTS: &str = "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints";

/// What a restore of a new machine takes, by the service's table of minimum roles.
const NEEDED: [&str; 6] = [
    "Microsoft.RecoveryServices/Vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action",
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Resources/subscriptions/resourceGroups/write",
    "Microsoft.Network/virtualNetworks/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
    "Microsoft.Storage/storageAccounts/write",
];

/// A caller whose only role holds these actions in the whole subscription.
fn become_operator(client: &mut Client, actions: &[&str]) {
    let role = azure_sim::identity::authorise::RoleFile {
        name: "restorer".into(),
        id: None,
        is_custom: Some(true),
        description: String::new(),
        actions: actions.iter().map(|&action| action.to_owned()).collect(),
        not_actions: Vec::new(),
        data_actions: Vec::new(),
        not_data_actions: Vec::new(),
        assignable_scopes: vec!["/".into()],
    };
    let body = json!({"properties": {"roleName": role.name, "type": "CustomRole", "assignableScopes": ["/"],
        "permissions": [{"actions": role.actions, "notActions": [], "dataActions": [], "notDataActions": []}]}});
    let definition = format!("{}/providers/Microsoft.Authorization/roleDefinitions/eeeeeeee-0000-4000-8000-000000000001", crate::wire::SUB);
    let made = client.send("PUT", &definition, body);
    assert!(made.status < 300, "{}", made.json());
    let given = format!("{}/providers/Microsoft.Authorization/roleAssignments/eeeeeeee-0000-4000-8000-000000000002", crate::wire::SUB);
    let body = json!({"properties": {"roleDefinitionId": definition, "principalId": OPERATOR, "principalType": "ServicePrincipal"}});
    let made = client.send("PUT", &given, body);
    assert!(made.status < 300, "{}", made.json());
    client.caller.object_id = OPERATOR.into();
}

#[test]
fn a_restore_takes_every_right_of_the_table_and_no_other() {
    let mut client = world();
    let id = point(&mut client, "vm-a");
    become_operator(&mut client, &NEEDED);
    let reply = client.send("POST", &format!("{id}/restore"), asking("vm-a", &new_machine("vm-a2")));
    assert_eq!(reply.status, 202, "{}", reply.json());
    for missing in NEEDED {
        let mut client = world();
        let id = point(&mut client, "vm-a");
        let left: Vec<&str> = NEEDED.into_iter().filter(|action| *action != missing).collect();
        become_operator(&mut client, &left);
        let refused = client.send("POST", &format!("{id}/restore"), asking("vm-a", &new_machine("vm-a2")));
        let wanted = if missing.ends_with("restore/action") { "AuthorizationFailed" } else { "LinkedAuthorizationFailed" };
        assert_eq!((refused.status, code(&refused).as_str()), (403, wanted), "{missing}");
        let message = refused.json()["error"]["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(&missing.to_lowercase()), "{message}");
    }
}

#[test]
fn each_call_has_its_action() {
    let mut client = world();
    let id = point(&mut client, "vm-a");
    let region = format!("{}/providers/Microsoft.RecoveryServices/locations/northeurope", crate::wire::SUB);
    become_operator(&mut client, &["Microsoft.Compute/virtualMachines/write"]);
    let vault_type = "Microsoft.RecoveryServices/vaults";
    let calls = [
        ("POST", format!("{id}/restore"), format!("{POINTS}/restore/action")),
        ("POST", format!("{id}/provisionInstantItemRecovery"), format!("{POINTS}/provisionInstantItemRecovery/action")),
        ("POST", format!("{id}/revokeInstantItemRecovery"), format!("{POINTS}/revokeInstantItemRecovery/action")),
        ("POST", format!("{id}/accessToken"), format!("{POINTS}/accessToken/action")),
        ("POST", format!("{id}/move"), format!("{POINTS}/move/action")),
        ("POST", format!("{}/backupTriggerValidateOperation", vault()), format!("{vault_type}/backupTriggerValidateOperation/action")),
        ("GET", format!("{}/backupValidateOperationsStatuses/x", vault()), format!("{vault_type}/backupValidateOperationsStatuses/read")),
        ("GET", format!("{region}/backupAadProperties"), "Microsoft.RecoveryServices/locations/backupAadProperties/read".to_owned()),
        (
            "POST",
            format!("{region}/backupCrossRegionRestore"),
            "Microsoft.RecoveryServices/locations/backupCrossRegionRestore/action".to_owned(),
        ),
        (
            "GET",
            format!("{region}/backupCrrOperationsStatus/x"),
            "Microsoft.RecoveryServices/locations/backupCrrOperationsStatus/read".to_owned(),
        ),
        ("POST", format!("{region}/backupCrrJob"), "Microsoft.RecoveryServices/locations/backupCrrJob/action".to_owned()),
        ("POST", format!("{region}/backupCrrJobs"), "Microsoft.RecoveryServices/locations/backupCrrJobs/action".to_owned()),
    ];
    for (method, url, action) in calls {
        let reply = client.send(method, &url, if method == "GET" { Value::Null } else { json!({}) });
        assert_eq!((reply.status, code(&reply).as_str()), (403, "AuthorizationFailed"), "{url}: {}", reply.json());
        let message = reply.json()["error"]["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(&format!("'{}'", action.to_lowercase())), "{action}: {message}");
    }
}

#[test]
fn file_recovery_takes_a_right_on_the_machine() {
    let mut client = world();
    let id = point(&mut client, "vm-a");
    become_operator(&mut client, &[&format!("{POINTS}/provisionInstantItemRecovery/action")]);
    let body = json!({"properties": {"objectType": "IaasVMILRRegistrationRequest", "virtualMachineId": vm("vm-a")}});
    let refused = client.send("POST", &format!("{id}/provisionInstantItemRecovery"), body);
    assert_eq!((refused.status, code(&refused).as_str()), (403, "LinkedAuthorizationFailed"));
}

#[test]
fn a_guarded_restore_names_the_guards_request() {
    let mut client = world();
    let guard = format!("{RG}/providers/Microsoft.DataProtection/resourceGuards/g");
    let made = client.send("PUT", &guard, json!({"location": "westeurope", "properties": {}}));
    assert!(made.status < 300, "{}", made.json());
    client.wait(60);
    let proxy = client.send(
        "PUT",
        &format!("{}/backupResourceGuardProxies/VaultProxy", vault()),
        json!({"properties": {"resourceGuardResourceId": guard}}),
    );
    assert_eq!(proxy.status, 200, "{}", proxy.json());
    assert_eq!(post(&mut client, "vm-a", &json!({})).status, 403);
    let request = format!("{guard}/triggerRestoreRequests/default");
    assert_eq!(post(&mut client, "vm-a", &json!({"resourceGuardOperationRequests": [request]})).status, 202);
}
