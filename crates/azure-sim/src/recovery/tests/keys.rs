//! Customer-managed keys (backup.md §5.2, §5.3, §6.3).

use serde_json::{Value, json};

use super::super::operation_id;
use super::lab::{Lab, VAULT, code};
use crate::wire::KeyAccess;

const CONFIG: &str = "backupEncryptionConfigs/backupResourceEncryptionConfig";
const PERSON: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/person";

fn with_identity() -> Lab {
    let mut lab = Lab::new();
    assert_eq!(lab.send("PATCH", VAULT, json!({"identity": {"type": "SystemAssigned"}})).status, 200);
    lab
}

fn key(version: &str) -> Value {
    json!({"properties": {"encryption": {"keyVaultProperties": {"keyUri": format!("https://kv.vault.azure.net/keys/k/{version}")},
        "kekIdentity": {"useSystemAssignedIdentity": true}}}})
}

fn status(lab: &mut Lab) -> Value {
    lab.read(&format!("{VAULT}/{CONFIG}"))["properties"]["lastUpdateStatus"].clone()
}

#[test]
fn a_key_needs_an_identity_that_the_vault_has() {
    let mut lab = Lab::new();
    let denied = (400, "BMSUserErrorKeyVaultAccessDenied".to_owned());
    assert_eq!(code(&lab.send("PATCH", VAULT, key("1"))), denied, "it has none");
    let mut by_person = key("1");
    by_person["properties"]["encryption"]["kekIdentity"] = json!({"userAssignedIdentity": PERSON});
    let mut lab = with_identity();
    assert_eq!(code(&lab.send("PATCH", VAULT, by_person.clone())), denied, "it has another");
    by_person["identity"] = json!({"type": "UserAssigned", "userAssignedIdentities": {PERSON: {}}});
    assert_eq!(lab.send("PATCH", VAULT, by_person).status, 202, "it gets it with the key");
    lab.wait(60);
    assert_eq!(status(&mut lab), "Succeeded");
    assert_eq!(code(&lab.send("PATCH", VAULT, json!({"identity": {"type": "None"}}))), denied, "and keeps it as long as the key needs it");
}

#[test]
fn an_identity_without_access_to_the_key_fails_late_and_leaves_the_vault_as_it_was() {
    for (access, word) in [(KeyAccess::Denied, "no access"), (KeyAccess::NoSuchKey, "was not found")] {
        let mut lab = with_identity();
        lab.world.keys = Some(access);
        let reply = lab.send("PATCH", VAULT, key("1"));
        assert_eq!(reply.status, 202);
        lab.wait(60);
        let end = lab.read(&format!("{VAULT}/operationStatus/{}", operation_id(&reply).unwrap()));
        assert_eq!((&end["status"], &end["error"]["code"]), (&json!("Failed"), &json!("BMSUserErrorKeyVaultAccessDenied")));
        assert!(end["error"]["message"].as_str().unwrap().contains(word), "{end}");
        assert!(lab.read(VAULT)["properties"].get("encryption").is_none());
        let config = lab.read(&format!("{VAULT}/{CONFIG}"))["properties"].clone();
        assert_eq!((&config["encryptionAtRestType"], &config["lastUpdateStatus"]), (&json!("MicrosoftManaged"), &json!("Failed")));
        lab.world.keys = Some(KeyAccess::Granted);
        lab.send("PATCH", VAULT, key("1"));
        lab.wait(60);
        assert_eq!(status(&mut lab), "Succeeded", "granted, the same write does it");
    }
    let mut lab = Lab::bare(super::super::Settings::default());
    lab.world.keys = Some(KeyAccess::Denied);
    let mut made = key("1");
    made["location"] = json!("westeurope");
    made["identity"] = json!({"type": "SystemAssigned"});
    assert_eq!(lab.put(VAULT, made).status, 400, "an identity that is born with the vault has no access yet");
    assert_eq!(lab.get(VAULT).status, 404);
}

#[test]
fn a_key_changes_and_never_goes() {
    let mut lab = with_identity();
    lab.send("PATCH", VAULT, key("1"));
    lab.wait(60);
    lab.send("PATCH", VAULT, key("2"));
    lab.wait(60);
    assert_eq!(lab.read(VAULT)["properties"]["encryption"]["keyVaultProperties"]["keyUri"], "https://kv.vault.azure.net/keys/k/2");
    for encryption in [json!({"keyVaultProperties": null}), json!({"keyVaultProperties": {"keyUri": ""}})] {
        let reply = lab.send("PATCH", VAULT, json!({"properties": {"encryption": encryption}}));
        assert_eq!(code(&reply), (400, "CloudInvalidInputError".to_owned()), "{encryption}");
    }
    let only_key = json!({"properties": {"encryption": {"keyVaultProperties": {"keyUri": "https://kv.vault.azure.net/keys/k/3"}}}});
    assert_eq!(lab.send("PATCH", VAULT, only_key).status, 202);
    lab.wait(60);
    let kept = lab.read(VAULT)["properties"]["encryption"].clone();
    assert_eq!(kept["kekIdentity"]["useSystemAssignedIdentity"], true, "a PATCH with the key alone keeps the identity");
    let late = json!({"properties": {"encryption": {"infrastructureEncryption": "Enabled"}}});
    assert_eq!(lab.send("PATCH", VAULT, late).status, 400, "infrastructure encryption comes with the first key or never");
    lab.world.keys = Some(KeyAccess::Denied);
    lab.send("PATCH", VAULT, key("4"));
    lab.wait(60);
    assert_eq!((status(&mut lab), lab.read(VAULT)["properties"]["encryption"].clone()), (json!("Failed"), kept), "the old key stays");
}

#[test]
fn the_encryption_config_is_written_as_it_is_read() {
    let config = format!("{VAULT}/{CONFIG}");
    let key = |more: Value| {
        let mut body = json!({"properties": {"encryptionAtRestType": "CustomerManaged", "keyUri": "https://kv.vault.azure.net/keys/k/1",
            "subscriptionId": "s", "infrastructureEncryptionState": "Enabled"}});
        body["properties"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let denied = (400, "BMSUserErrorKeyVaultAccessDenied".to_owned());
    let mut lab = Lab::new();
    assert_eq!(lab.put(&config, json!({"properties": {"encryptionAtRestType": "MicrosoftManaged"}})).status, 200, "it is so already");
    assert_eq!(code(&lab.put(&config, key(json!({"useSystemAssignedIdentity": true})))), denied, "it has no identity");
    let mut lab = with_identity();
    lab.world.keys = Some(KeyAccess::Denied);
    assert_eq!(code(&lab.put(&config, key(json!({"useSystemAssignedIdentity": true})))), denied);
    lab.world.keys = None;
    let written = lab.put(&config, key(json!({"useSystemAssignedIdentity": true})));
    assert_eq!((written.status, written.body), (200, None));
    let read = lab.read(&config)["properties"].clone();
    assert_eq!(
        (&read["encryptionAtRestType"], &read["keyUri"]),
        (&json!("CustomerManaged"), &json!("https://kv.vault.azure.net/keys/k/1"))
    );
    assert_eq!((&read["lastUpdateStatus"], &read["infrastructureEncryptionState"]), (&json!("Succeeded"), &json!("Enabled")));
    let shown = lab.read(VAULT)["properties"]["encryption"].clone();
    assert_eq!(shown["kekIdentity"]["useSystemAssignedIdentity"], true, "the vault shows the same");
    assert_eq!(code(&lab.put(&config, json!({"properties": {"encryptionAtRestType": "MicrosoftManaged"}}))).0, 400, "there is no way back");
    assert_eq!(code(&lab.send("PATCH", &config, key(json!({"userAssignedIdentity": PERSON})))), denied, "another identity");
    let person = json!({"identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {PERSON: {}}}});
    assert_eq!(lab.send("PATCH", VAULT, person).status, 202);
    lab.wait(60);
    assert_eq!(lab.send("PATCH", &config, key(json!({"userAssignedIdentity": PERSON}))).status, 200);
    let read = lab.read(&config)["properties"].clone();
    assert_eq!((&read["useSystemAssignedIdentity"], &read["userAssignedIdentity"]), (&json!(false), &json!(PERSON)));
    // By the vault as well: who reads it by now is all that there is [recorded].
    let reader = |who: Value| json!({"properties": {"encryption": {"kekIdentity": who}}});
    for (who, of_config) in [
        (json!({"useSystemAssignedIdentity": true, "userAssignedIdentity": null}), None),
        (json!({"useSystemAssignedIdentity": false, "userAssignedIdentity": PERSON}), Some(json!(PERSON))),
    ] {
        let mut asked = who.clone();
        asked.as_object_mut().unwrap().retain(|_, said| *said == json!(true) || said.is_string());
        assert_eq!(lab.send("PATCH", VAULT, reader(asked)).status, 202);
        lab.wait(60);
        assert_eq!(lab.read(VAULT)["properties"]["encryption"]["kekIdentity"], who);
        assert_eq!(lab.read(&config)["properties"].get("userAssignedIdentity").cloned(), of_config);
    }
}
