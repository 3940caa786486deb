//! File recovery: scripts, passwords, the end of a mount.

use azure_sim::{
    recovery::{CANARY_PASSWORD, CANARY_SCRIPT},
    wire::WireRequest,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::restoring::*;
use crate::wire::{Client, code, header, request};

fn asked(name: &str, renew: bool) -> Value {
    json!({"properties": {"objectType": "IaasVMILRRegistrationRequest", "virtualMachineId": vm(name), "initiatorName": "tests",
        "renewExistingRegistration": renew}})
}

/// Mounts the newest point: the operation's id.
fn mount(client: &mut Client, name: &str, renew: bool) -> String {
    let point = point(client, name);
    let reply = client.send("POST", &format!("{point}/provisionInstantItemRecovery"), asked(name, renew));
    assert_eq!((reply.status, reply.header("retry-after")), (202, Some("60")), "{}", reply.json());
    header(&reply, "azure-asyncoperation").split('?').next().unwrap().rsplit('/').next().unwrap().to_owned()
}

fn poll(client: &mut Client, id: &str) -> Value {
    client.read(&format!("{}/backupOperations/{id}", vault()))
}

fn scripts(operation: &Value) -> Vec<Value> {
    operation["properties"]["recoveryTarget"]["clientScripts"].as_array().cloned().unwrap_or_default()
}

/// As azure-cli takes it: 15 characters from the 33rd after the last underscore, which is right behind the GUID.
fn password(script: &Value) -> String {
    let suffix = script["scriptNameSuffix"].as_str().unwrap();
    suffix.rsplit('_').next().unwrap()[32..47].to_owned()
}

fn content(script: &Value) -> String {
    String::from_utf8(STANDARD.decode(script["scriptContent"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn windows_gets_two_entries_as_recorded() {
    let mut client = world();
    let id = mount(&mut client, "vm-w", false);
    assert_eq!((poll(&mut client, &id)["status"].as_str(), scripts(&poll(&mut client, &id)).len()), (Some("InProgress"), 0));
    client.wait(60);
    let ended = poll(&mut client, &id);
    assert_eq!(ended["properties"]["objectType"], "OperationStatusProvisionILRExtendedInfo");
    let made = scripts(&ended);
    let kinds: Vec<&str> = made.iter().map(|script| script["scriptExtension"].as_str().unwrap()).collect();
    assert_eq!(kinds, [".txt", ".exe"]);
    let text = content(&made[0]);
    assert!(text.starts_with("User - ") && text.contains("Expiry=11/2") && text.contains(", Sequence = "), "{text}");
    assert_eq!(content(&made[1]), "NA");
    // azure-cli downloads it, with no token.
    let url = made[1]["url"].as_str().unwrap().strip_prefix("https://localhost:1").expect("the service's own address");
    assert!(url.ends_with("/IaaSVMILRExeForWindows.exe"), "{url}");
    let program = WireRequest { url: url.into(), ..request("GET", url, Value::Null) };
    assert_eq!(client.azure.handle(client.now, program).status, 200);
    assert!(password(&made[1]).starts_with(CANARY_PASSWORD) && password(&made[1]).len() == 15);
}

#[test]
fn linux_gets_one_script() {
    let mut client = world();
    let id = mount(&mut client, "vm-a", false);
    client.wait(60);
    let made = scripts(&poll(&mut client, &id));
    assert_eq!((made.len(), &made[0]["scriptExtension"], &made[0]["osType"]), (1, &json!(".py"), &json!("Linux")));
    assert!(content(&made[0]).contains(CANARY_SCRIPT));
    assert!(password(&made[0]).starts_with(CANARY_PASSWORD));
    // azure-cli takes it out of the script by these very words.
    assert!(content(&made[0]).contains(&format!("TargetPassword=\"{}\"", password(&made[0]))));
}

#[test]
fn a_point_says_that_it_is_mounted_for_twelve_hours() {
    let mut client = world();
    let id = point(&mut client, "vm-a");
    let active = |client: &mut Client| client.read(&id)["properties"]["isInstantIlrSessionActive"] == true;
    assert!(!active(&mut client));
    mount(&mut client, "vm-a", false);
    assert!(!active(&mut client), "not before its operation has ended");
    client.wait(60);
    assert!(active(&mut client));
    client.wait(12 * 3_600 - 120);
    assert!(active(&mut client));
    client.wait(120);
    assert!(!active(&mut client));
}

#[test]
fn a_mounted_point_is_mounted_again_only_when_asked_so() {
    let mut client = world();
    let first = mount(&mut client, "vm-a", false);
    client.wait(60);
    let url = format!("{}/provisionInstantItemRecovery", point(&mut client, "vm-a"));
    let refused = client.send("POST", &url, asked("vm-a", false));
    assert_eq!((refused.status, code(&refused).as_str()), (400, "UserErrorInstantItemRecoveryActive"));
    let second = mount(&mut client, "vm-a", true);
    client.wait(60);
    let (one, two) = (poll(&mut client, &first), poll(&mut client, &second));
    assert_ne!(password(&scripts(&one)[0]), password(&scripts(&two)[0]));
}

#[test]
fn a_revocation_ends_without_properties_or_a_job() {
    let mut client = world();
    mount(&mut client, "vm-a", false);
    client.wait(60);
    let jobs = client.read(&format!("{}/backupJobs", vault()));
    let url = format!("{}/revokeInstantItemRecovery", point(&mut client, "vm-a"));
    let reply = client.send("POST", &url, Value::Null);
    assert_eq!(reply.status, 202);
    client.wait(60);
    let id = header(&reply, "azure-asyncoperation").split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let ended = poll(&mut client, &id);
    assert_eq!((ended["status"].as_str(), ended.get("properties")), (Some("Succeeded"), None));
    assert_eq!(shown(&mut client, "vm-a")["isInstantIlrSessionActive"], false);
    let after = client.read(&format!("{}/backupJobs", vault()));
    assert_eq!(after["value"].as_array().unwrap().len(), jobs["value"].as_array().unwrap().len());
}

#[test]
fn newer_versions_ask_for_the_scripts_by_a_call() {
    let mut client = world();
    let id = mount(&mut client, "vm-a", false);
    let call = |client: &mut Client, version: &str| {
        let url = format!("{}/listInstantItemRecoveryOperationResult?api-version={version}", point(client, "vm-a"));
        client.send("POST", &url, json!({"provisionInstantItemRecoveryOperationId": id}))
    };
    assert_eq!(call(&mut client, "2026-08-01").status, 404, "not there yet");
    client.wait(60);
    let told = client.read(&format!("{}/backupOperations/{id}?api-version=2026-08-01", vault()));
    assert_eq!((told["status"].as_str(), scripts(&told).len()), (Some("Succeeded"), 0));
    let older = scripts(&poll(&mut client, &id));
    assert_eq!(call(&mut client, "2026-08-01").json()["clientScripts"], json!(older));
    assert_eq!(call(&mut client, "2025-02-01").status, 501);
    client.wait(12 * 3_600);
    assert_eq!(call(&mut client, "2026-08-01").status, 404, "the mount is over");
}

#[test]
fn what_is_not_the_points_own_is_not_mounted() {
    let mut client = world();
    let url = format!("{}/provisionInstantItemRecovery", point(&mut client, "vm-a"));
    assert_eq!(client.send("POST", &url, asked("vm-w", false)).status, 400);
    assert_eq!(client.send("POST", &url, json!({"properties": {"objectType": "Other"}})).status, 400);
    let none = format!("{}/recoveryPoints/1/provisionInstantItemRecovery", item("vm-a"));
    assert_eq!(client.send("POST", &none, asked("vm-a", false)).status, 404);
}

#[test]
fn scripts_and_passwords_differ_by_seed_and_stay_out_of_the_journal() {
    let mut client = world();
    let id = mount(&mut client, "vm-a", false);
    client.wait(60);
    let script = scripts(&poll(&mut client, &id)).remove(0);
    let journal = serde_json::to_string(client.azure.journal().entries()).unwrap();
    for secret in [CANARY_PASSWORD, CANARY_SCRIPT, script["scriptContent"].as_str().unwrap()] {
        assert!(!journal.contains(secret), "{secret}");
    }
}
