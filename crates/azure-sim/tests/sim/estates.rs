//! What an estate file can say of regions and vaults.

use azure_sim::{Azure, Estate, Options};
use serde_json::{Value, json};

use crate::wire::{Client, RG, SMALL, TENANT, owner};

fn loaded(text: &str) -> Result<Client, String> {
    let options = Options::default();
    let now = options.start;
    let azure = Estate::parse(text, &Default::default()).and_then(|estate| Azure::new(estate, options)).map_err(|e| e.to_string())?;
    Ok(Client { azure, now, caller: owner() })
}

/// The small estate with these lines in its first group.
fn group_with(lines: &str) -> String {
    SMALL.replace("        location: westeurope\n", &format!("        location: westeurope\n{lines}"))
}

fn vault(client: &mut Client) -> Value {
    client.read(&format!("{RG}/providers/Microsoft.RecoveryServices/vaults/rv?api-version=2024-04-01"))
}

#[test]
fn an_estate_in_a_region_that_there_is_not_is_refused() {
    let group = loaded(&SMALL.replace("rg-two, location: northeurope", "rg-two, location: North Atlantis")).err();
    assert_eq!(group.as_deref(), Some("subscriptions[0].resourceGroups[1].location: 'North Atlantis' is no region"));
    let account = loaded(&group_with("        storageAccounts: [{ name: a }, { name: b, location: atlantis }]\n")).err();
    assert_eq!(account.as_deref(), Some("subscriptions[0].resourceGroups[0].storageAccounts[1].location: 'atlantis' is no region"));
    assert!(loaded(&SMALL.replace("rg-two, location: northeurope", "rg-two, location: Poland Central")).is_ok());
}

#[test]
fn a_vault_of_an_estate_may_be_locked() {
    let state = |state: &str| {
        let text = format!(
            "        vaults: [{{ name: rv, properties: {{ securitySettings: {{ immutabilitySettings: {{ state: {state} }} }} }} }}]\n"
        );
        loaded(&group_with(&text)).map(|mut client| vault(&mut client)["properties"]["securitySettings"]["immutabilitySettings"].clone())
    };
    assert_eq!(state("Locked").unwrap(), json!({"state": "Locked"}));
    assert_eq!(state("Unlocked").unwrap(), json!({"state": "Unlocked"}));
    assert!(state("Welded").is_err());
}

#[test]
fn a_vault_of_an_estate_may_have_an_identity_and_a_key() {
    let person = format!("{RG}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/person");
    let (client_id, object_id) = ("cccccccc-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-000000000002");
    let lines = format!(
        "        keyVaults: [{{ name: kv, keys: [k] }}]
        vaults:
          - name: rv
            identity: {{ type: UserAssigned, userAssignedIdentities: {{ {person}: {{}} }} }}
            properties:
              encryption: {{ keyVaultProperties: {{ keyUri: \"https://kv.vault.azure.net/keys/k\" }}, kekIdentity: {{ userAssignedIdentity: {person} }} }}
"
    );
    let identities =
        format!("managedIdentities: [{{ name: person, clientId: {client_id}, objectId: {object_id}, resourceId: {person} }}]\n");
    let text = format!("{}{identities}", group_with(&lines));
    let denied = loaded(&text).err().unwrap();
    assert!(denied.starts_with("subscriptions[0].resourceGroups[0].vaults[0]") && denied.contains("has no access to the key"), "{denied}");
    let role = "Key Vault Crypto Service Encryption User";
    let given =
        format!("  - {{ principal: person, role: {role}, scope: {RG}/providers/Microsoft.KeyVault/vaults/kv }}\nmanagedIdentities:");
    let mut client = loaded(&text.replace("managedIdentities:", &given)).unwrap();
    let shown = vault(&mut client);
    assert_eq!(shown["properties"]["encryption"]["keyVaultProperties"]["keyUri"], "https://kv.vault.azure.net/keys/k");
    assert_eq!((&shown["identity"]["type"], &shown["identity"]["tenantId"]), (&json!("UserAssigned"), &json!(TENANT)));
    assert_eq!(shown["identity"]["userAssignedIdentities"][person]["principalId"], object_id);
}
